#include <inttypes.h>

#include "sinks/kafka.h"

#define METADATA_MS 8000
/* Producers ask for an id as soon as they are connected; a refusal of that is fatal. */
#define SETTLE_MS 500

struct told {
	char text[256]; /* the last error of a broker */
};

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct told *told = opaque;

	(void)rk;
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		snprintf(told->text, sizeof(told->text), "%s%s", reason,
			 kafka_error_advice((rd_kafka_resp_err_t)code));
}

/* What it logs comes back as errors. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(void)level;
	log_debug("librdkafka", log_text("facility", facility), log_text("text", text));
}

static const struct rd_kafka_metadata_topic *find_topic(const struct rd_kafka_metadata *m,
							const char *name)
{
	for (int i = 0; i < m->topic_cnt; i++)
		if (strcmp(m->topics[i].topic, name) == 0)
			return &m->topics[i];
	return NULL;
}

static bool say_topic(const struct rd_kafka_metadata *m, const char *name, struct buf *said,
		      struct error *err)
{
	const struct rd_kafka_metadata_topic *t = find_topic(m, name);

	if (!t || t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
		buf_printf(said,
			   ", no topic %s to be seen: create it, allow DESCRIBE and WRITE, or let "
			   "the brokers create it (auto.create.topics.enable)",
			   name);
		return true;
	}
	if (t->err)
		return kafka_error(err, t->err, name);
	buf_printf(said, ", topic %s with %d partition%s", name, t->partition_cnt,
		   t->partition_cnt == 1 ? "" : "s");
	return true;
}

/* Permission to write shows only by writing; the first record will tell. */
static bool ask(rd_kafka_t *rk, const struct kafka_settings *s, const struct template *topic,
		struct told *told, struct buf *said, struct error *err)
{
	const struct rd_kafka_metadata *m;
	rd_kafka_resp_err_t code;
	bool ok = true;
	struct buf name = { 0 };

	/* All topics: asking for one by name may create it. */
	code = rd_kafka_metadata(rk, 1, NULL, &m, METADATA_MS);
	while (rd_kafka_poll(rk, code ? 0 : SETTLE_MS) > 0)
		;
	if (code)
		return error_set(err, kafka_error_kind(code), "brokers %s: %s%s%s", s->brokers,
				 rd_kafka_err2str(code), told->text[0] ? ": " : "", told->text);
	code = rd_kafka_fatal_error(rk, told->text, sizeof(told->text));
	if (code) {
		rd_kafka_metadata_destroy(m);
		return error_set(err, kafka_error_kind(code), "brokers %s: %s%s", s->brokers,
				 told->text, kafka_error_advice(code));
	}
	buf_printf(said, "%d broker%s", m->broker_cnt, m->broker_cnt == 1 ? "" : "s");
	if (template_needs(topic) == 0) {
		ok = template_render(topic, &(struct template_values){ 0 }, &name, err) &&
		     say_topic(m, name.data, said, err);
		buf_release(&name);
	} else {
		buf_printf(said, ", %d topic%s to be seen; %s takes its names from the records",
			   m->topic_cnt, m->topic_cnt == 1 ? "" : "s", s->topic);
	}
	if (ok && s->control_topic)
		ok = say_topic(m, s->control_topic, said, err);
	rd_kafka_metadata_destroy(m);
	return ok;
}

bool kafka_check(const void *settings, const struct sink_host *host, struct buf *said,
		 struct error *err)
{
	const struct kafka_settings *s = settings;
	AUTO(template) struct template *topic = template_new(s->topic, TEMPLATE_TOPIC, err);
	rd_kafka_conf_t *conf;
	struct told told = { "" };
	rd_kafka_t *rk;
	char why[256];
	bool ok;

	conf = topic ? kafka_conf(s, host, KAFKA_FOR_CHECK, err) : NULL;
	if (!conf)
		return false;
	rd_kafka_conf_set_opaque(conf, &told);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		return error_set(err, ERROR_INVALID, "librdkafka does not take the settings: %s",
				 why);
	}
	rd_kafka_set_log_queue(rk, NULL);
	ok = ask(rk, s, topic, &told, said, err);
	rd_kafka_destroy(rk);
	return ok;
}
