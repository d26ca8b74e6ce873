/* What a session of transactions left: the last one that may be pending was committed, or never
 * will be. Its producer is fenced first, by another one that takes its id; then the group that
 * counts its commits says how far they got. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/memory.h"
#include "sinks/kafka.h"

#define BLOB_VERSION 1
/* What a completing commit needs, and brokers that look for their coordinator. */
#define WAIT_MS         10000
#define COUNTED_KEPT_MS (6LL * 24 * 60 * 60 * 1000)

void kafka_blob(const char *id, const char *topic, uint64_t number, int64_t closed_ms,
		struct buf *out)
{
	buf_printf(out, "{\"version\":%d,\"type\":\"kafka\",\"id\":", BLOB_VERSION);
	buf_json_text(out, str_of(id));
	buf_text(out, ",\"topic\":");
	buf_json_text(out, str_of(topic));
	buf_printf(out, ",\"number\":%" PRIu64 ",\"closed_ms\":%" PRId64 "}", number, closed_ms);
}

struct pending {
	json_t *json;
	const char *id, *topic;
	json_int_t number;
	json_int_t closed_ms; /* 0: written before it was noted */
};

static bool pending_decode(struct pending *p, struct str blob, struct error *err)
{
	const char *type = "";
	int version = 0;

	p->json = json_loadb(blob.p, blob.n, JSON_REJECT_DUPLICATES, NULL);
	if (!p->json || json_unpack(p->json, "{si,ss}", "version", &version, "type", &type) != 0)
		return error_set(err, ERROR_INVALID,
				 "the stored transaction cannot be read: its row in the store was "
				 "changed or damaged");
	if (strcmp(type, "kafka") != 0)
		return error_set(err, ERROR_INVALID,
				 "what is stored was written by a sink of type %s, this one is "
				 "kafka: give the new sink a name of its own, and let the old one "
				 "finish its rolls",
				 type);
	if (version != BLOB_VERSION)
		return error_set(err, ERROR_INVALID,
				 "the stored transaction has form %d, this program knows form %d: "
				 "finish it with the version that wrote it, or a later one",
				 version, BLOB_VERSION);
	if (json_unpack(p->json, "{ss,ss,sI,s?I}", "id", &p->id, "topic", &p->topic, "number",
			&p->number, "closed_ms", &p->closed_ms) != 0 ||
	    p->number < 1)
		return error_set(err, ERROR_INVALID, "the stored transaction lacks a member");
	return true;
}

/* librdkafka's own words go to the log of people who look for them. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(void)level;
	log_debug("librdkafka", log_text("facility", facility), log_text("text", text));
}

static rd_kafka_t *open_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf,
			       const struct kafka_settings *s, const struct sink_host *host,
			       struct error *err)
{
	rd_kafka_conf_set_log_cb(conf, on_log);
	return kafka_handle_new(type, conf, s, host, err);
}

/* From here on nobody else commits with this id. What it had begun to commit is committed, anything
 * else is aborted. */
static bool fence(const struct kafka_settings *s, const struct sink_host *host, const char *id,
		  struct error *err)
{
	rd_kafka_conf_t *conf = kafka_conf(s, host, KAFKA_FOR_CHECK, err);
	rd_kafka_error_t *error;
	rd_kafka_t *rk;

	if (!conf)
		return false;
	if (!kafka_conf_transactional(conf, id, host, err)) {
		rd_kafka_conf_destroy(conf);
		return false;
	}
	rk = open_handle(RD_KAFKA_PRODUCER, conf, s, host, err);
	if (!rk)
		return false;
	error = rd_kafka_init_transactions(rk, WAIT_MS);
	if (error) {
		kafka_error_take(err, error);
		error_wrap(err, "transactional id %s", id);
	}
	rd_kafka_destroy(rk);
	return !error;
}

bool kafka_counted(const struct kafka_settings *s, const struct sink_host *host, const char *id,
		   const char *const *topics, size_t count, int64_t *offset, struct error *err)
{
	rd_kafka_conf_t *conf = kafka_conf_group(s, id, err);
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;
	rd_kafka_t *rk;
	size_t bad = 0;

	rk = conf ? open_handle(RD_KAFKA_CONSUMER, conf, s, host, err) : NULL;
	if (!rk)
		return false;
	list = rd_kafka_topic_partition_list_new((int)count);
	for (size_t i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, topics[i], 0);
	code = rd_kafka_committed(rk, list, WAIT_MS);
	*offset = RD_KAFKA_OFFSET_INVALID;
	for (size_t i = 0; i < count && !code; i++) {
		code = list->elems[i].err;
		bad = i;
		if (list->elems[i].offset > *offset)
			*offset = list->elems[i].offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(rk);
	if (!code)
		return true;
	kafka_error(err, code, topics[bad]);
	return error_wrap(err, "group %s", id);
}

bool kafka_may_be_forgotten(const struct sink_host *host, int64_t begun_ms)
{
	return begun_ms < clock_aws_ms(host->clock) - COUNTED_KEPT_MS;
}

/* Where the group knows of no commit at all; of an earlier one it would only be known that this one
 * is not there. */
static void say_forgotten(const struct sink_host *host, const struct pending *p)
{
	char time[CLOCK_TEXT_SIZE];

	log_warn("whether a transaction was committed is forgotten by now: its records may come "
		 "twice",
		 log_text("sink", host->name), log_text("group", p->id),
		 log_int("roll", (int64_t)p->number), log_text("topic", p->topic),
		 log_text("closed", clock_text(p->closed_ms, time)));
}

bool kafka_bury(const void *settings, const struct sink_host *host, struct str blob,
		bool *committed, struct error *err)
{
	const struct kafka_settings *s = settings;
	struct pending p = { 0 };
	int64_t offset = -1;
	bool forgotten, ok = pending_decode(&p, blob, err) && fence(s, host, p.id, err) &&
			     kafka_counted(s, host, p.id, &p.topic, 1, &offset, err);

	*committed = ok && offset >= p.number;
	forgotten =
		ok && offset < 0 && p.closed_ms > 0 && kafka_may_be_forgotten(host, p.closed_ms);
	if (forgotten)
		say_forgotten(host, &p);
	if (ok)
		metric_add(metrics_cell(host->metrics, METRIC_ROLLS, host->name,
					*committed  ? "buried"
					: forgotten ? "forgotten"
						    : "dropped"),
			   1);
	json_decref(p.json);
	return ok;
}

bool kafka_sweep(const void *settings, const struct sink_host *host, const char *session,
		 struct error *err)
{
	struct sink_host of = *host;
	char *id;
	bool ok;

	of.session = session;
	id = kafka_transactional_id(settings, &of);
	ok = fence(settings, &of, id, err);
	free(id);
	return ok;
}
