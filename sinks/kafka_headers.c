#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "sinks/kafka.h"

/* In the order of the message. */
static const struct str names[KAFKA_HEADERS] = {
	{ "sluice.op", 9 },        { "sluice.stream", 13 },     { "sluice.shard", 12 },
	{ "sluice.sequence", 15 }, { "sluice.generation", 17 }, { "sluice.order", 12 },
	{ "sluice.event_id", 15 },
};
enum { OP, STREAM, SHARD, SEQUENCE, GENERATION, ORDER, EVENT_ID };

void kafka_headers_init(struct kafka_headers *h, const struct batch *b)
{
	size_t generation_n = (size_t)snprintf(h->generation, sizeof(h->generation), "%" PRIu64,
					       b->source->generation);

	h->batch = b;
	h->order_prefix_n = (size_t)snprintf(h->order, sizeof(h->order), "%010" PRIu64 "-",
					     b->source->generation);
	h->values[STREAM] = str_of(b->source->stream);
	h->values[SHARD] = str_of(b->shard ? b->shard : "");
	h->values[GENERATION] = (struct str){ h->generation, generation_n };
	h->values[ORDER] = (struct str){ h->order, h->order_prefix_n + SEQUENCE_DIGITS_MAX };
}

static void set_values(struct kafka_headers *h, const struct event *e)
{
	const struct sequence *s = &e->sequence;
	char *sorts = h->order + h->order_prefix_n;

	h->op = event_op_letter(e->op);
	h->values[OP] = (struct str){ &h->op, 1 };
	h->values[SEQUENCE] = (struct str){ s->digits, s->length };
	h->values[EVENT_ID] = e->id;
	/* Generation and sequence as text that sorts: zeros in front. */
	memset(sorts, '0', SEQUENCE_DIGITS_MAX - s->length);
	memcpy(sorts + SEQUENCE_DIGITS_MAX - s->length, s->digits, s->length);
}

static rd_kafka_headers_t *list_new(const struct kafka_headers *h)
{
	rd_kafka_headers_t *list = rd_kafka_headers_new(KAFKA_HEADERS);

	/* A header without a value is absent. Adding fails on nothing: librdkafka aborts where
	 * there is no memory. */
	for (size_t k = 0; k < KAFKA_HEADERS; k++)
		if (h->values[k].n > 0)
			(void)rd_kafka_header_add(list, names[k].p, (ssize_t)names[k].n,
						  h->values[k].p, (ssize_t)h->values[k].n);
	return list;
}

rd_kafka_headers_t *kafka_headers_new(struct kafka_headers *h, size_t i)
{
	set_values(h, &h->batch->events[i]);
	return list_new(h);
}

rd_kafka_headers_t *kafka_headers_part(struct kafka_headers *h, size_t i, unsigned part)
{
	rd_kafka_headers_t *list = kafka_headers_new(h, i);
	char digits[12];
	int n = snprintf(digits, sizeof(digits), "%u", part);

	(void)rd_kafka_header_add(list, "sluice.part", -1, digits, n);
	return list;
}

static void find_values(struct kafka_lent *l, const struct kafka_headers *h)
{
	size_t at = 0;

	for (size_t k = 0; k < KAFKA_HEADERS; k++) {
		const char *name;
		const void *value = NULL;
		size_t size = 0;

		if (h->values[k].n > 0)
			(void)rd_kafka_header_get_all(l->list, at++, &name, &value, &size);
		l->values[k].p = (char *)(uintptr_t)value;
		l->values[k].n = size;
	}
}

/* Puts the values into the headers of an earlier message, where each has the same size. librdkafka
 * keeps values in memory of the list's, which is ours again; making the list anew costs nine
 * allocations a message, more than all the rest of sending it. What may be the same is compared and
 * then left alone, as another core has read it; what never is would only be waited for. False: it
 * does not fit. */
static bool refill(const struct kafka_lent *l, const struct kafka_headers *h)
{
	for (size_t k = 0; k < KAFKA_HEADERS; k++)
		if (l->values[k].n != h->values[k].n)
			return false;
	for (size_t k = 0; k < KAFKA_HEADERS; k++) {
		bool differs = k == SEQUENCE || k == ORDER || k == EVENT_ID;
		struct str want = h->values[k];

		if (want.n > 0 && (differs || memcmp(l->values[k].p, want.p, want.n) != 0))
			memcpy(l->values[k].p, want.p, want.n);
	}
	return true;
}

rd_kafka_headers_t *kafka_headers_lend(struct kafka_headers *h, size_t i, struct kafka_lent **lent)
{
	struct kafka_lent *l = *lent;

	set_values(h, &h->batch->events[i]);
	if (!l)
		l = *lent = memory_new(sizeof(*l));
	if (!l->list || l->out || !refill(l, h)) {
		if (l->list && !l->out)
			rd_kafka_headers_destroy(l->list);
		l->list = list_new(h);
		find_values(l, h);
	}
	l->out = true;
	return l->list;
}

void kafka_headers_back(struct kafka_lent *l, rd_kafka_message_t *m)
{
	rd_kafka_headers_t *list;

	if (!rd_kafka_message_detach_headers(m, &list))
		l->out = false;
}

static void lent_free(struct kafka_lent *l)
{
	if (l->list && !l->out)
		rd_kafka_headers_destroy(l->list);
	free(l);
}

void kafka_used_init(struct kafka_used *u)
{
	pthread_mutex_init(&u->lock, NULL);
}

void kafka_used_release(struct kafka_used *u)
{
	while (u->count > 0)
		lent_free(u->lent[--u->count]);
	pthread_mutex_destroy(&u->lock);
}

void kafka_used_take(struct kafka_used *u, struct kafka_mark *marks, size_t count)
{
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < count && u->count > 0; i++)
		marks[i].lent = u->lent[--u->count];
	pthread_mutex_unlock(&u->lock);
}

void kafka_used_give(struct kafka_used *u, struct kafka_mark *marks, size_t count)
{
	size_t i;

	pthread_mutex_lock(&u->lock);
	for (i = 0; i < count && u->count < KAFKA_USED_MAX; i++)
		if (marks[i].lent)
			u->lent[u->count++] = marks[i].lent;
	pthread_mutex_unlock(&u->lock);
	for (; i < count; i++)
		if (marks[i].lent)
			lent_free(marks[i].lent);
}
