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

/* Puts the values into the headers of an earlier message, where each has the same size. librdkafka
 * keeps values in memory of the list's, which is ours again; making the list anew costs nine
 * allocations a message, more than all the rest of sending it. False: use another. */
static bool refill(rd_kafka_headers_t *list, const struct kafka_headers *h)
{
	size_t at = 0;

	for (size_t i = 0; i < KAFKA_HEADERS; i++) {
		struct str want = h->values[i];
		const char *name;
		const void *value;
		size_t size;

		if (want.n == 0)
			continue;
		if (rd_kafka_header_get_all(list, at++, &name, &value, &size) || size != want.n ||
		    strcmp(name, names[i].p) != 0)
			return false;
		memcpy((void *)(uintptr_t)value, want.p, want.n);
	}
	return at == rd_kafka_header_cnt(list);
}

rd_kafka_headers_t *kafka_headers_of(struct kafka_headers *h, size_t i, rd_kafka_headers_t *used)
{
	rd_kafka_headers_t *list;

	set_values(h, &h->batch->events[i]);
	if (used && refill(used, h))
		return used;
	if (used)
		rd_kafka_headers_destroy(used);
	list = rd_kafka_headers_new(KAFKA_HEADERS);
	/* A header without a value is absent. Adding fails on nothing: librdkafka aborts where
	 * there is no memory. */
	for (size_t k = 0; k < KAFKA_HEADERS; k++)
		if (h->values[k].n > 0)
			(void)rd_kafka_header_add(list, names[k].p, (ssize_t)names[k].n,
						  h->values[k].p, (ssize_t)h->values[k].n);
	return list;
}

void kafka_used_init(struct kafka_used *u)
{
	pthread_mutex_init(&u->lock, NULL);
}

void kafka_used_release(struct kafka_used *u)
{
	while (u->count > 0)
		rd_kafka_headers_destroy(u->lists[--u->count]);
	pthread_mutex_destroy(&u->lock);
}

void kafka_used_take(struct kafka_used *u, struct kafka_mark *marks, size_t count)
{
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < count && u->count > 0; i++)
		marks[i].used = u->lists[--u->count];
	pthread_mutex_unlock(&u->lock);
}

void kafka_used_give(struct kafka_used *u, struct kafka_mark *marks, size_t count)
{
	size_t i;

	pthread_mutex_lock(&u->lock);
	for (i = 0; i < count && u->count < KAFKA_USED_MAX; i++)
		if (marks[i].used)
			u->lists[u->count++] = marks[i].used;
	pthread_mutex_unlock(&u->lock);
	for (; i < count; i++)
		if (marks[i].used)
			rd_kafka_headers_destroy(marks[i].used);
}
