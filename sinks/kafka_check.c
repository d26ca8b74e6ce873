#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/rng.h"
#include "sinks/kafka_large.h"
#include "sinks/kafka_post.h"

#define METADATA_MS 8000
/* Producers ask for an id as soon as they are connected; a refusal of that is fatal. */
#define SETTLE_MS      500
#define TRANSACTION_MS 8000
#define LIMIT_MS       2000
#define TOPICS_SAID    20 /* each is a request */

static const struct rd_kafka_metadata_topic *find_topic(const struct rd_kafka_metadata *m,
							const char *name)
{
	for (int i = 0; i < m->topic_cnt; i++)
		if (strcmp(m->topics[i].topic, name) == 0)
			return &m->topics[i];
	return NULL;
}

static const char *limit_of(rd_kafka_event_t *event)
{
	const rd_kafka_DescribeConfigs_result_t *result =
		rd_kafka_event_DescribeConfigs_result(event);
	size_t topics = 0, count = 0;
	const rd_kafka_ConfigResource_t **of =
		result ? rd_kafka_DescribeConfigs_result_resources(result, &topics) : NULL;
	const rd_kafka_ConfigEntry_t **entries =
		topics ? rd_kafka_ConfigResource_configs(of[0], &count) : NULL;

	for (size_t i = 0; i < count; i++)
		if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "max.message.bytes") == 0)
			return rd_kafka_ConfigEntry_value(entries[i]);
	return NULL;
}

/* Who may not ask for it (DESCRIBE_CONFIGS) is told nothing. */
static void say_limit(rd_kafka_t *rk, const char *name, struct buf *said)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_ConfigResource_t *topic =
		rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
	rd_kafka_event_t *event;
	const char *limit;

	rd_kafka_DescribeConfigs(rk, &topic, 1, NULL, queue);
	event = rd_kafka_queue_poll(queue, LIMIT_MS);
	limit = event ? limit_of(event) : NULL;
	if (limit)
		buf_printf(said, ", messages up to %s bytes as they are compressed", limit);
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_ConfigResource_destroy(topic);
	rd_kafka_queue_destroy(queue);
}

static bool say_topic(rd_kafka_t *rk, const struct kafka_settings *s,
		      const struct rd_kafka_metadata *m, const char *name, struct buf *said,
		      struct error *err)
{
	const struct rd_kafka_metadata_topic *t = find_topic(m, name);

	if ((!t || t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) && s->create_partitions) {
		buf_printf(said, ", topic %s is made with %ld partitions when it is needed", name,
			   s->create_partitions);
		return true;
	}
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
	say_limit(rk, name, said);
	return true;
}

/* One transaction that counts itself and is aborted: leaves nothing. `topic` NULL: there is none to
 * count at, as the records name it. */
static bool try_transaction(rd_kafka_t *rk, const char *id, const char *topic, struct error *err)
{
	rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
	rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new(id);
	rd_kafka_error_t *error = rd_kafka_init_transactions(rk, TRANSACTION_MS);

	if (topic)
		rd_kafka_topic_partition_list_add(offsets, topic, 0)->offset = 1;
	if (!error && topic)
		error = rd_kafka_begin_transaction(rk);
	if (!error && topic)
		error = rd_kafka_send_offsets_to_transaction(rk, offsets, group, TRANSACTION_MS);
	if (!error && topic)
		error = rd_kafka_abort_transaction(rk, TRANSACTION_MS);
	rd_kafka_consumer_group_metadata_destroy(group);
	rd_kafka_topic_partition_list_destroy(offsets);
	return !error || kafka_error_take(err, error);
}

static bool say_transactions(rd_kafka_t *rk, const struct rd_kafka_metadata *m, const char *id,
			     const char *topic, struct buf *said, struct error *err)
{
	const struct rd_kafka_metadata_topic *t = topic ? find_topic(m, topic) : NULL;
	bool there = t && !t->err;

	if (!try_transaction(rk, id, there ? topic : NULL, err))
		return error_wrap(err, "transactional id and group %s", id);
	buf_text(said, there ? ", transactions are allowed"
			     : ", transactions are allowed; whether their count in a group is, "
			       "the first one tells");
	return true;
}

/* A topic for each table whose name is known; `first` gets one of them. */
static bool say_tables(struct kafka_post *p, const struct rd_kafka_metadata *m,
		       const struct template *topic, struct buf *first, struct buf *said,
		       struct error *err)
{
	size_t count = 0;
	bool ok = true;

	for (size_t i = 0; ok && i < p->host->table_count; i++) {
		struct str of = p->host->tables[i];
		struct source source = { .table = NULL };
		struct buf name = { 0 };
		char *table;

		if (memchr(of.p, '*', of.n) || memchr(of.p, '?', of.n) || ++count > TOPICS_SAID)
			continue;
		source.table = table = memory_text_n(of.p, of.n);
		ok = template_render(topic, &(struct template_values){ .source = &source }, &name,
				     err) &&
		     say_topic(p->rk, p->settings, m, name.data, said, err);
		if (ok && !first->size)
			buf_text(first, name.data);
		buf_release(&name);
		free(table);
	}
	if (count > TOPICS_SAID)
		buf_printf(said, ", %zu more were not looked at", count - TOPICS_SAID);
	return ok;
}

/* Permission to write shows only by writing; the first record will tell. */
static bool ask(struct kafka_post *p, const char *id, const struct template *topic,
		struct buf *said, struct error *err)
{
	const struct kafka_settings *s = p->settings;
	rd_kafka_t *rk = p->rk;
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
				 rd_kafka_err2str(code), p->broker[0] ? ": " : "", p->broker);
	code = rd_kafka_fatal_error(rk, p->broker, sizeof(p->broker));
	if (code) {
		rd_kafka_metadata_destroy(m);
		return error_set(err, kafka_error_kind(code), "brokers %s: %s%s", s->brokers,
				 p->broker, kafka_error_advice(code));
	}
	buf_printf(said, "%d broker%s", m->broker_cnt, m->broker_cnt == 1 ? "" : "s");
	if (template_needs(topic) == 0) {
		ok = template_render(topic, &(struct template_values){ 0 }, &name, err) &&
		     say_topic(rk, s, m, name.data, said, err);
	} else {
		buf_printf(said, ", %d topic%s to be seen; %s takes its names from the records",
			   m->topic_cnt, m->topic_cnt == 1 ? "" : "s", s->topic);
		if (template_of_table(topic))
			ok = say_tables(p, m, topic, &name, said, err);
	}
	if (ok && s->control_topic)
		ok = say_topic(rk, s, m, s->control_topic, said, err);
	ok = ok && (!id || say_transactions(rk, m, id, name.data, said, err));
	buf_release(&name);
	rd_kafka_metadata_destroy(m);
	return ok;
}

/* Of this run alone: two at once would fence each other. NULL: at least once. */
static char *check_id(const struct kafka_settings *s, const struct sink_host *host)
{
	struct sink_host of = *host;
	char session[32];
	uint64_t run;

	rng_random(&run, sizeof(run));
	snprintf(session, sizeof(session), "check-%016" PRIx64, run);
	of.session = session;
	return s->delivery ? kafka_transactional_id(s, &of) : NULL;
}

static bool open_post(struct kafka_post *p, const char *id, struct error *err)
{
	const struct kafka_settings *s = p->settings;
	rd_kafka_conf_t *conf;

	/* A check goes on without them; nothing else does. */
	if (!p->host->credentials && (s->sasl_mechanism || s->large_bucket))
		return error_set(err, ERROR_REFUSED, "there are no credentials");
	conf = kafka_conf(s, p->host, KAFKA_FOR_CHECK, err);
	if (conf && id && !kafka_conf_transactional(conf, id, p->host, err)) {
		rd_kafka_conf_destroy(conf);
		return false;
	}
	return kafka_post_open(p, conf, err);
}

bool kafka_check(const void *settings, const struct sink_host *host, struct buf *said,
		 struct error *err)
{
	const struct kafka_settings *s = settings;
	AUTO(template) struct template *topic = template_new(s->topic, TEMPLATE_TOPIC, err);
	struct kafka_post p = { .settings = s, .host = host };
	char *id = check_id(s, host);
	bool ok = topic && open_post(&p, id, err) && ask(&p, id, topic, said, err);

	kafka_post_close(&p);
	free(id);
	return ok && (!s->large_bucket || kafka_large_check(s, host, said, err));
}
