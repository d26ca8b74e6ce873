/* Dead letters: messages of the sink's topic, one after the other; exactly once, a batch in one
 * transaction (kafka_batch.c). */
#include "sinks/kafka_post.h"
#include "sinks/template.h"

static bool topic_of(const struct kafka_settings *s, const struct source *source, struct buf *out,
		     struct error *err)
{
	AUTO(template) struct template *topic = template_new(s->topic, TEMPLATE_TOPIC, err);
	const struct template_values values = { .source = source };

	return topic && template_render(topic, &values, out, err);
}

static rd_kafka_headers_t *headers_of(const struct source *source, const struct sink_letter *l)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(4);

	rd_kafka_header_add(h, "sluice.stream", -1, source->stream, -1);
	rd_kafka_header_add(h, "sluice.shard", -1, l->shard, -1);
	rd_kafka_header_add(h, "sluice.sequence", -1, l->sequence, -1);
	rd_kafka_header_add(h, "sluice.reason", -1, l->reason, -1);
	return h;
}

struct sending {
	const struct sink_letters *batch;
	const char *topic;
};

static bool send_one(struct kafka_post *p, void *arg, size_t i, bool *bad, struct error *err)
{
	const struct sending *s = arg;
	const struct sink_letter *l = &s->batch->letters[i];
	bool sent = kafka_post_send(p, s->topic, str_of(l->shard), headers_of(s->batch->source, l),
				    l->json, err);

	*bad = !sent && kafka_error_is_records(p->code);
	return sent;
}

bool kafka_letters_validate(const void *settings, struct error *err)
{
	const struct kafka_settings *s = settings;
	AUTO(template) struct template *topic = template_new(s->topic, TEMPLATE_TOPIC, err);

	if (!topic)
		return error_wrap(err, "topic");
	if (strcmp(s->topic, KAFKA_TOPIC_DEFAULT) == 0)
		return error_set(err, ERROR_INVALID,
				 "topic: dead letters need a topic of their own, letters.${stream} "
				 "for example: " KAFKA_TOPIC_DEFAULT " is where changes go");
	return (template_needs(topic) & ~(unsigned)TEMPLATE_NEEDS_SOURCE) == 0 ||
	       error_set(err, ERROR_INVALID,
			 "topic: a dead letter has ${stream}, ${table}, ${region} and ${account}, "
			 "and nothing else");
}

bool kafka_letters(const void *settings, const struct sink_host *host,
		   const struct sink_letters *batch, const _Atomic bool *stop, size_t *sent,
		   size_t *refused, struct error *err)
{
	const struct kafka_settings *s = settings;
	struct kafka_post p = { .settings = s, .host = host, .stop = stop };
	struct buf topic = { 0 };
	struct sending sending = { .batch = batch };
	struct kafka_batch b = { .kind = "letters",
				 .chain = batch->chain,
				 .number = batch->batch,
				 .stream = batch->source->stream,
				 .topics = &sending.topic,
				 .topic_count = 1,
				 .count = batch->count,
				 .doubtful = kafka_may_be_forgotten(host, batch->batch),
				 .even_twice = true,
				 .send = send_one,
				 .arg = &sending };
	bool ok = topic_of(s, batch->source, &topic, err);

	*sent = 0;
	*refused = batch->count;
	sending.topic = topic.data;
	ok = ok && kafka_batch_post(&p, &b, sent, refused, err);
	buf_release(&topic);
	return ok || error_wrap(err, "sink %s", host->name);
}
