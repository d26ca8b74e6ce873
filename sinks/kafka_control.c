#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "sinks/kafka.h"

/* Control events go one after the other over a producer of their own, the next one once the last
 * one was reported: so their order holds, whatever fails. They are few. */

#define ASK_MS  5000
#define POLL_MS 100

struct telling {
	const struct kafka_settings *settings;
	const struct sink_host *host;
	const _Atomic bool *stop;
	rd_kafka_t *rk;
	bool reported;
	rd_kafka_resp_err_t code; /* of the report */
	char broker[256];         /* the brokers' last error */
};

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct telling *t = opaque;

	(void)rk;
	t->reported = true;
	t->code = m->err;
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct telling *t = opaque;

	(void)rk;
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		snprintf(t->broker, sizeof(t->broker), "%s%s", reason,
			 kafka_error_advice((rd_kafka_resp_err_t)code));
}

/* What it logs comes back as errors. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(void)level;
	log_debug("librdkafka", log_text("facility", facility), log_text("text", text));
}

/* Kind and text, and what the brokers said last. Always false. */
static bool failed(const struct telling *t, rd_kafka_resp_err_t code, const char *topic,
		   struct error *err)
{
	kafka_error(err, code, topic);
	if (t->broker[0] && kafka_error_kind(code) == ERROR_RETRY) {
		size_t n = strlen(err->message);

		snprintf(err->message + n, sizeof(err->message) - n, ": %s", t->broker);
	}
	return false;
}

static bool stopped(const struct telling *t, struct error *err)
{
	return atomic_load(t->stop) && !error_set(err, ERROR_CANCELLED, "stopped");
}

static bool open_producer(struct telling *t, struct error *err)
{
	rd_kafka_conf_t *conf = kafka_conf(t->settings, t->host, KAFKA_FOR_CONTROL, err);
	char why[256];

	if (!conf)
		return false;
	rd_kafka_conf_set_opaque(conf, t);
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	t->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!t->rk) {
		rd_kafka_conf_destroy(conf);
		return error_set(err, ERROR_INVALID, "librdkafka does not take the settings: %s",
				 why);
	}
	rd_kafka_set_log_queue(t->rk, NULL);
	return true;
}

/* --- how far the data reaches --- */

static bool add_topic(struct telling *t, const struct rd_kafka_metadata_topic *topic,
		      struct buf *out, struct error *err)
{
	if (topic->err)
		return failed(t, topic->err, topic->topic, err);
	buf_printf(out, "%s\"%s\":{", out->size > 1 ? "," : "", topic->topic);
	for (int i = 0; i < topic->partition_cnt; i++) {
		int64_t low, high;
		rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
			t->rk, topic->topic, topic->partitions[i].id, &low, &high, ASK_MS);

		if (code)
			return failed(t, code, topic->topic, err);
		if (stopped(t, err))
			return false;
		buf_printf(out, "%s\"%" PRId32 "\":%" PRId64, i ? "," : "", topic->partitions[i].id,
			   high);
	}
	buf_text(out, "}");
	return true;
}

/* The topics that the stream's records may have gone to, of those that are there. */
static bool add_topics(struct telling *t, const struct template *topic, const struct source *source,
		       const struct rd_kafka_metadata *m, struct buf *out, struct error *err)
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

static bool end_offsets(struct telling *t, const struct source *source, struct buf *out,
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
		return failed(t, code, NULL, err);
	}
	ok = add_topics(t, topic, source, m, out, err);
	rd_kafka_metadata_destroy(m);
	return ok;
}

/* --- telling --- */

static bool send_event(struct telling *t, const struct sink_control *c, struct str body,
		       struct error *err)
{
	const char *topic = t->settings->control_topic, *key = c->source->stream;
	rd_kafka_resp_err_t code;

	t->reported = false;
	code = rd_kafka_producev(t->rk, RD_KAFKA_V_TOPIC(topic),
				 RD_KAFKA_V_KEY((void *)(uintptr_t)key, strlen(key)),
				 RD_KAFKA_V_VALUE((void *)(uintptr_t)body.p, body.n),
				 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
	if (code)
		return failed(t, code, topic, err);
	while (!t->reported) {
		rd_kafka_poll(t->rk, POLL_MS);
		if (!t->reported && stopped(t, err))
			return false;
	}
	return !t->code || failed(t, t->code, topic, err);
}

static bool tell(struct telling *t, const struct sink_control *c, struct error *err)
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
	ok = ok && send_event(t, c, c->end ? buf_str(&body) : c->json, err);
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
	struct telling t = { .settings = settings, .host = host, .stop = stop };
	bool ok = open_producer(&t, err);

	*told = 0;
	for (size_t i = 0; ok && i < count; i++) {
		ok = tell(&t, &events[i], err);
		*told += ok;
	}
	if (t.rk) {
		rd_kafka_purge(t.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
					     RD_KAFKA_PURGE_F_NON_BLOCKING);
		rd_kafka_destroy(t.rk);
	}
	return ok || error_wrap(err, "sink %s", host->name);
}
