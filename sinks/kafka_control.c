#include <inttypes.h>

#include "sinks/kafka_post.h"

/* Control events are few, and go one after the other. */

#define ASK_MS 5000

/* --- how far the data reaches --- */

static bool add_topic(struct kafka_post *t, const struct rd_kafka_metadata_topic *topic,
		      struct buf *out, struct error *err)
{
	if (topic->err)
		return kafka_post_failed(t, topic->err, topic->topic, err);
	buf_printf(out, "%s\"%s\":{", out->size > 1 ? "," : "", topic->topic);
	for (int i = 0; i < topic->partition_cnt; i++) {
		int64_t low, high;
		rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
			t->rk, topic->topic, topic->partitions[i].id, &low, &high, ASK_MS);

		if (code)
			return kafka_post_failed(t, code, topic->topic, err);
		if (kafka_post_stopped(t, err))
			return false;
		buf_printf(out, "%s\"%" PRId32 "\":%" PRId64, i ? "," : "", topic->partitions[i].id,
			   high);
	}
	buf_text(out, "}");
	return true;
}

/* The topics that the stream's records may have gone to, of those that are there. */
static bool add_topics(struct kafka_post *t, const struct template *topic,
		       const struct source *source, const struct rd_kafka_metadata *m,
		       struct buf *out, struct error *err)
{
	bool ok = true;

	buf_text(out, "{");
	for (int i = 0; ok && i < m->topic_cnt; i++) {
		const struct rd_kafka_metadata_topic *there = &m->topics[i];

		if (there->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
		    strcmp(there->topic, t->settings->control_topic) == 0 ||
		    !template_may_be(topic, source, there->topic))
			continue;
		ok = add_topic(t, there, out, err);
	}
	buf_text(out, "}");
	return ok;
}

static bool end_offsets(struct kafka_post *t, const struct source *source, struct buf *out,
			struct error *err)
{
	AUTO(template)
	struct template *topic = template_new(t->settings->topic, TEMPLATE_TOPIC, err);
	const struct rd_kafka_metadata *m;
	rd_kafka_resp_err_t code;
	bool ok;

	if (!topic)
		return false;
	/* All topics: asking for one by name may create it. */
	code = rd_kafka_metadata(t->rk, 1, NULL, &m, ASK_MS);
	if (code) {
		rd_kafka_poll(t->rk, 0); /* what the brokers have to say */
		return kafka_post_failed(t, code, NULL, err);
	}
	ok = add_topics(t, topic, source, m, out, err);
	rd_kafka_metadata_destroy(m);
	return ok;
}

/* --- telling --- */

static bool tell(struct kafka_post *t, const struct sink_control *c, struct error *err)
{
	struct buf body, offsets;
	bool ok = true;

	buf_init(&body, 0);
	buf_init(&offsets, 0);
	if (c->end) {
		ok = end_offsets(t, c->source, &offsets, err);
		if (ok)
			sink_control_with(c, "offsets", buf_str(&offsets), &body);
	}
	ok = ok && kafka_post_send(t, t->settings->control_topic, str_of(c->source->stream), NULL,
				   c->end ? buf_str(&body) : c->json, err);
	buf_release(&body);
	buf_release(&offsets);
	return ok;
}

bool kafka_tells(const void *settings)
{
	const struct kafka_settings *s = settings;

	return s->control_topic != NULL;
}

bool kafka_control(const void *settings, const struct sink_host *host,
		   const struct sink_control *events, size_t count, const _Atomic bool *stop,
		   size_t *told, struct error *err)
{
	struct kafka_post t = { .settings = settings, .host = host, .stop = stop };
	bool ok = kafka_post_open(&t, kafka_conf(settings, host, KAFKA_FOR_CONTROL, err), err);

	*told = 0;
	for (size_t i = 0; ok && i < count; i++) {
		ok = tell(&t, &events[i], err);
		*told += ok;
	}
	kafka_post_close(&t);
	return ok || error_wrap(err, "sink %s", host->name);
}
