#include <inttypes.h>
#include <stdio.h>

#include "sinks/kafka.h"

static void add(rd_kafka_headers_t *h, struct str name, const void *value, size_t n)
{
	/* Fails on nothing: librdkafka aborts where there is no memory. A header without a value is
	 * absent. */
	if (n > 0)
		(void)rd_kafka_header_add(h, name.p, (ssize_t)name.n, value, (ssize_t)n);
}

void kafka_headers_init(struct kafka_headers *h, const struct batch *b)
{
	h->batch = b;
	h->generation_n = (size_t)snprintf(h->generation, sizeof(h->generation), "%" PRIu64,
					   b->source->generation);
	h->order_prefix_n = (size_t)snprintf(h->order, sizeof(h->order), "%010" PRIu64 "-",
					     b->source->generation);
}

/* Generation and sequence as text that sorts: zeros in front. */
static struct str order(struct kafka_headers *h, const struct sequence *s)
{
	char *at = h->order + h->order_prefix_n;

	memset(at, '0', SEQUENCE_DIGITS_MAX - s->length);
	memcpy(at + SEQUENCE_DIGITS_MAX - s->length, s->digits, s->length);
	return (struct str){ h->order, h->order_prefix_n + SEQUENCE_DIGITS_MAX };
}

rd_kafka_headers_t *kafka_headers_of(struct kafka_headers *h, size_t i)
{
	rd_kafka_headers_t *out = rd_kafka_headers_new(7);
	const struct batch *b = h->batch;
	const struct event *e = &b->events[i];
	char op = event_op_letter(e->op);
	struct str sorts = order(h, &e->sequence);

	add(out, STR("sluice.op"), &op, 1);
	add(out, STR("sluice.stream"), b->source->stream, strlen(b->source->stream));
	if (b->shard)
		add(out, STR("sluice.shard"), b->shard, strlen(b->shard));
	add(out, STR("sluice.sequence"), e->sequence.digits, e->sequence.length);
	add(out, STR("sluice.generation"), h->generation, h->generation_n);
	add(out, STR("sluice.order"), sorts.p, sorts.n);
	add(out, STR("sluice.event_id"), e->id.p, e->id.n);
	return out;
}
