#include <stdlib.h>

#include "base/memory.h"
#include "sinks/kafka.h"

/* The thread wakes for every report; this only bounds how late it sees a purge. */
#define POLL_MS      100
#define LOG_EVERY_MS 10000
/* Of syslog, whose header has names that are ours, too. */
#define SYSLOG_WARNING 4

struct kafka_topic {
	char *name;
	rd_kafka_topic_t *handle;
	struct kafka_watched *watched;
};

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka_channel *c = opaque;
	bool shared = c->sink->transactions != NULL;

	(void)rk;
	if (shared)
		pthread_mutex_lock(&c->served);
	/* The message is librdkafka's and not const: its headers may be detached here. */
	kafka_flight_report((rd_kafka_message_t *)(uintptr_t)m);
	if (shared)
		pthread_mutex_unlock(&c->served);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct kafka_channel *c = opaque;
	char text[320], fatal[256];

	if (code == RD_KAFKA_RESP_ERR__FATAL) {
		rd_kafka_fatal_error(rk, fatal, sizeof(fatal));
		kafka_fatal(c->sink, fatal);
	} else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		kafka_trouble_set(c->sink, "no broker can be reached");
	} else {
		snprintf(text, sizeof(text), "%.*s%s", KAFKA_REASON_MAX, reason,
			 kafka_error_advice((rd_kafka_resp_err_t)code));
		kafka_trouble_broker(c->sink, text);
	}
}

/* Served by the channel's thread (log.queue). What librdkafka calls an error it handles itself. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	struct kafka_channel *c = rd_kafka_opaque(rk);
	const struct sink_host *host = c->sink->host;
	uint64_t repeated;
	bool say;

	if (level > SYSLOG_WARNING) {
		log_debug("librdkafka", log_text("sink", host->name),
			  log_text("facility", facility), log_text("text", text));
		return;
	}
	pthread_mutex_lock(&c->served);
	say = log_limit_pass(&c->log_limit, clock_boot_ms(host->clock), LOG_EVERY_MS, &repeated);
	pthread_mutex_unlock(&c->served);
	if (say)
		log_warn("librdkafka", log_text("sink", host->name), log_text("facility", facility),
			 log_text("text", text), log_int("repeated", (int64_t)repeated));
}

/* It asks when most of a token's time is over, and again some seconds after a failure, which it
 * tells as an error of the brokers. */
static void on_token(rd_kafka_t *rk, const char *config, void *opaque)
{
	struct kafka_channel *c = opaque;
	struct error err;

	(void)config;
	if (!kafka_login(rk, c->sink->settings, c->sink->host, &err))
		rd_kafka_oauthbearer_set_token_failure(rk, err.message);
}

static void tell_partitions(struct kafka_channel *c)
{
	pthread_mutex_lock(&c->topics_lock);
	for (size_t i = 0; i < c->topic_count; i++)
		kafka_watched_tell(c->topics[i].watched);
	pthread_mutex_unlock(&c->topics_lock);
}

static void *run(void *arg)
{
	struct kafka_channel *c = arg;

	while (!atomic_load_explicit(&c->stop, memory_order_acquire)) {
		rd_kafka_poll(c->rk, POLL_MS);
		if (atomic_exchange_explicit(&c->recount, false, memory_order_acquire))
			tell_partitions(c);
		/* Catches what a writer produced while the purge was under way. */
		if (atomic_load_explicit(&c->sink->purged, memory_order_relaxed))
			kafka_channel_purge(c);
	}
	return NULL;
}

void kafka_channel_purge(struct kafka_channel *c)
{
	rd_kafka_purge(c->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
				      RD_KAFKA_PURGE_F_NON_BLOCKING);
}

static void channel_free(struct kafka_channel *c)
{
	kafka_creation_free(c->creation);
	for (size_t i = 0; i < c->topic_count; i++)
		rd_kafka_topic_destroy(c->topics[i].handle);
	if (c->rk)
		rd_kafka_destroy(c->rk);
	/* Nothing asks for a partition any more. */
	for (size_t i = 0; i < c->topic_count; i++) {
		kafka_watched_free(c->topics[i].watched);
		free(c->topics[i].name);
	}
	free(c->topics);
	kafka_used_release(&c->used);
	pthread_mutex_destroy(&c->topics_lock);
	pthread_mutex_destroy(&c->served);
	free(c);
}

static rd_kafka_conf_t *channel_conf(const struct sink *s, enum kafka_purpose purpose,
				     struct error *err)
{
	rd_kafka_conf_t *conf = kafka_conf(s->settings, s->host, purpose, err);
	char *id;
	bool ok;

	if (!conf || purpose != KAFKA_FOR_TRANSACTIONS)
		return conf;
	id = kafka_transactional_id(s->settings, s->host);
	ok = kafka_conf_transactional(conf, id, s->host, err);
	free(id);
	if (ok)
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

struct kafka_channel *kafka_channel_open(struct sink *s, enum kafka_purpose purpose,
					 struct error *err)
{
	rd_kafka_conf_t *conf = channel_conf(s, purpose, err);
	const struct kafka_settings *settings = s->settings;
	struct kafka_channel *c;

	if (!conf)
		return NULL;
	c = memory_new(sizeof(*c));
	c->sink = s;
	pthread_mutex_init(&c->topics_lock, NULL);
	pthread_mutex_init(&c->served, NULL);
	kafka_used_init(&c->used);
	rd_kafka_conf_set_opaque(conf, c);
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	if (settings->sasl_mechanism)
		rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, on_token);
	c->rk = kafka_handle_new(RD_KAFKA_PRODUCER, conf, settings, s->host, err);
	if (!c->rk) {
		channel_free(c);
		return NULL;
	}
	if (pthread_create(&c->thread, NULL, run, c) != 0) {
		channel_free(c);
		error_set(err, ERROR_RETRY, "the system gives no thread for a Kafka producer");
		return NULL;
	}
	pthread_setname_np(c->thread, "kafka");
	return c;
}

void kafka_channel_close(struct kafka_channel *c)
{
	rd_kafka_queue_t *queue;

	if (!c)
		return;
	atomic_store_explicit(&c->stop, true, memory_order_release);
	queue = rd_kafka_queue_get_main(c->rk);
	rd_kafka_queue_yield(queue);
	rd_kafka_queue_destroy(queue);
	pthread_join(c->thread, NULL);
	channel_free(c);
}

/* The place of `name` in the sorted table, or where it belongs. */
static size_t topic_place(const struct kafka_channel *c, const char *name, bool *there)
{
	size_t low = 0, high = c->topic_count;

	*there = false;
	while (low < high && !*there) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(c->topics[middle].name, name);

		*there = order == 0;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return *there ? high : low;
}

/* A topic that events name may be one too many: handles cannot be given up while the producer
 * lives. */
static bool may_add(const struct kafka_channel *c, const char *name, struct error *err)
{
	const struct kafka_settings *s = c->sink->settings;

	if (!(template_needs(c->sink->topic) & TEMPLATE_NEEDS_EVENT))
		return true;
	if (s->control_topic && strcmp(name, s->control_topic) == 0)
		return error_set(err, ERROR_INVALID, "topic %s: it is the control topic", name);
	return c->topic_count < (size_t)s->topics_max ||
	       error_set(err, ERROR_INVALID,
			 "topic %.100s: events have named %ld others (topics_max)", name,
			 s->topics_max);
}

static struct kafka_topic *topic_add(struct kafka_channel *c, const char *name, struct error *err)
{
	bool there;
	size_t place = topic_place(c, name, &there);
	struct kafka_topic made;

	if (there)
		return &c->topics[place];
	made.watched = kafka_watched_new(c, name);
	made.handle = kafka_watched_handle(made.watched);
	if (!made.handle) {
		error_set(err, ERROR_RETRY, "topic %s: %s", name,
			  rd_kafka_err2str(rd_kafka_last_error()));
		kafka_watched_free(made.watched);
		return NULL;
	}
	made.name = memory_text(name);
	if (c->topic_count == c->topic_capacity) {
		c->topic_capacity = c->topic_capacity ? 2 * c->topic_capacity : 8;
		c->topics = memory_resize(c->topics, c->topic_capacity * sizeof(*c->topics));
	}
	memmove(&c->topics[place + 1], &c->topics[place],
		(c->topic_count - place) * sizeof(*c->topics));
	c->topics[place] = made;
	c->topic_count++;
	return &c->topics[place];
}

/* Makes one topic after the other, by whoever asks for one; each that is there is kept, whoever
 * asked for it. The writer does not wait: its records come again. */
static bool topic_made(struct kafka_channel *c, const char *name, struct error *err)
{
	const struct kafka_settings *s = c->sink->settings;
	bool there, mine;

	if (!s->create_partitions)
		return true;
	if (!c->creation && !(c->creation = kafka_creation_new(c->rk, s, name, err)))
		return false;
	mine = strcmp(kafka_creation_name(c->creation), name) == 0;
	if (kafka_creation_over(c->creation, 0, &there, err)) {
		bool added = there && topic_add(c, kafka_creation_name(c->creation), err);

		kafka_creation_free(c->creation);
		c->creation = NULL;
		if (mine)
			return added;
	}
	return error_set(err, ERROR_THROTTLED, "topic %s is being made", name);
}

static struct kafka_topic *topic_find(struct kafka_channel *c, const char *name, struct error *err)
{
	bool there;
	size_t place = topic_place(c, name, &there);

	if (there)
		return &c->topics[place];
	if (!may_add(c, name, err) || !topic_made(c, name, err))
		return NULL;
	return topic_add(c, name, err);
}

rd_kafka_topic_t *kafka_channel_topic(struct kafka_channel *c, const struct source *source,
				      const struct str *place, struct error *err)
{
	const struct template_values values = { .source = source, .event = place };
	rd_kafka_topic_t *handle = NULL;
	struct buf name = { 0 };

	if (template_render(c->sink->topic, &values, &name, err)) {
		struct kafka_topic *topic;

		pthread_mutex_lock(&c->topics_lock);
		topic = topic_find(c, name.data, err);
		if (topic) {
			kafka_watched_stream(topic->watched, source->stream);
			handle = topic->handle;
		}
		pthread_mutex_unlock(&c->topics_lock);
	}
	buf_release(&name);
	return handle;
}
