#include "sinks/kafka_post.h"

#include <stdlib.h>

#include "base/memory.h"

#define POLL_MS 100
/* For partitions: a stop waits for it. */
#define ASK_MS 1000

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka_post *p = opaque;

	(void)rk;
	p->reported = true;
	p->code = m->err;
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct kafka_post *p = opaque;

	(void)rk;
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		snprintf(p->broker, sizeof(p->broker), "%.*s%s", KAFKA_REASON_MAX, reason,
			 kafka_error_advice((rd_kafka_resp_err_t)code));
}

/* What it logs comes back as errors. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(void)level;
	log_debug("librdkafka", log_text("facility", facility), log_text("text", text));
}

bool kafka_post_failed(const struct kafka_post *p, rd_kafka_resp_err_t code, const char *topic,
		       struct error *err)
{
	kafka_error(err, code, topic);
	if (p->broker[0] && kafka_error_kind(code) == ERROR_RETRY) {
		size_t n = strlen(err->message);

		snprintf(err->message + n, sizeof(err->message) - n, ": %s", p->broker);
	}
	return false;
}

bool kafka_post_stopped(const struct kafka_post *p, struct error *err)
{
	return atomic_load(p->stop) && !error_set(err, ERROR_CANCELLED, "stopped");
}

bool kafka_post_open(struct kafka_post *p, rd_kafka_conf_t *conf, struct error *err)
{
	if (!conf)
		return false;
	rd_kafka_conf_set_opaque(conf, p);
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	p->rk = kafka_handle_new(RD_KAFKA_PRODUCER, conf, p->settings, p->host, err);
	return p->rk != NULL;
}

void kafka_post_close(struct kafka_post *p)
{
	if (!p->rk)
		return;
	rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
				      RD_KAFKA_PURGE_F_NON_BLOCKING);
	for (size_t i = 0; i < p->topic_count; i++)
		rd_kafka_topic_destroy(p->topics[i]);
	free(p->topics);
	p->topics = NULL;
	p->topic_count = p->topic_capacity = 0;
	rd_kafka_destroy(p->rk);
	p->rk = NULL;
}

/* Where the settings ask for it: until the topic is there. */
static bool topic_made(struct kafka_post *p, const char *topic, struct error *err)
{
	struct kafka_creation *c;
	bool over, there, stopped = false;

	if (!p->settings->create_partitions)
		return true;
	c = kafka_creation_new(p->rk, p->settings, topic, err);
	if (!c)
		return false;
	do
		over = kafka_creation_over(c, POLL_MS, &there, err);
	while (!over && !(stopped = kafka_post_stopped(p, err)));
	kafka_creation_free(c);
	return !stopped && there;
}

/* A handle of its own asks for the partitions at once. Those of a topic that librdkafka only meets
 * in a message are asked for when it looks for such, once a second. */
static rd_kafka_topic_t *topic_of(struct kafka_post *p, const char *name, struct error *err)
{
	rd_kafka_topic_t *topic;

	for (size_t i = 0; i < p->topic_count; i++)
		if (strcmp(rd_kafka_topic_name(p->topics[i]), name) == 0)
			return p->topics[i];
	if (!topic_made(p, name, err))
		return NULL;
	topic = rd_kafka_topic_new(p->rk, name, NULL);
	if (!topic) {
		p->code = rd_kafka_last_error();
		kafka_post_failed(p, p->code, name, err);
		return NULL;
	}
	if (p->topic_count == p->topic_capacity) {
		p->topic_capacity = p->topic_capacity ? 2 * p->topic_capacity : 8;
		p->topics = memory_resize(p->topics, p->topic_capacity * sizeof(*p->topics));
	}
	return p->topics[p->topic_count++] = topic;
}

/* The brokers may be making it, or be away for a moment. */
static bool may_come(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	       kafka_error_kind(code) == ERROR_RETRY;
}

static rd_kafka_resp_err_t ask(struct kafka_post *p, rd_kafka_topic_t *topic)
{
	const struct rd_kafka_metadata *m;
	rd_kafka_resp_err_t code = rd_kafka_metadata(p->rk, 0, topic, &m, ASK_MS);

	if (code)
		return code;
	code = m->topic_cnt > 0 ? m->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	rd_kafka_metadata_destroy(m);
	return code;
}

/* One that is not there should be named so, and soon. */
static bool meet(struct kafka_post *p, const char *name, struct error *err)
{
	int64_t until_ms = clock_boot_ms(p->host->clock) + kafka_message_timeout_ms(p->host) / 2;
	rd_kafka_topic_t *topic = topic_of(p, name, err);

	if (!topic)
		return false;
	for (;;) {
		p->code = ask(p, topic);
		if (!p->code)
			return true;
		if (!may_come(p->code) || clock_boot_ms(p->host->clock) >= until_ms)
			return kafka_post_failed(p, p->code, name, err);
		rd_kafka_poll(p->rk, POLL_MS);
		if (kafka_post_stopped(p, err))
			return false;
	}
}

bool kafka_post_meet(struct kafka_post *p, const char *const *topics, size_t count,
		     struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!meet(p, topics[i], err))
			return false;
	return true;
}

bool kafka_post_send(struct kafka_post *p, const char *topic, struct str key,
		     rd_kafka_headers_t *headers, struct str body, struct error *err)
{
	rd_kafka_topic_t *handle;

	p->reported = false;
	p->code = RD_KAFKA_RESP_ERR_NO_ERROR;
	handle = topic_of(p, topic, err);
	if (!handle) {
		if (headers)
			rd_kafka_headers_destroy(headers);
		return false;
	}
	p->code = rd_kafka_producev(
		p->rk, RD_KAFKA_V_RKT(handle), RD_KAFKA_V_KEY((void *)(uintptr_t)key.p, key.n),
		RD_KAFKA_V_VALUE((void *)(uintptr_t)body.p, body.n), RD_KAFKA_V_HEADERS(headers),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
	if (p->code) {
		if (headers)
			rd_kafka_headers_destroy(headers);
		return kafka_post_failed(p, p->code, topic, err);
	}
	while (!p->reported) {
		rd_kafka_poll(p->rk, POLL_MS);
		if (!p->reported && kafka_post_stopped(p, err))
			return false;
	}
	return !p->code || kafka_post_failed(p, p->code, topic, err);
}
