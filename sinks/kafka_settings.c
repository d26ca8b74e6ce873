#include <stdlib.h>

#include "base/memory.h"
#include "config/sections.h"
#include "sinks/kafka.h"

/* What librdkafka holds for a message besides its payload, which stays the batch's: the message, a
 * copy of the key, seven headers. The limit of messages is made of it and of the sink's share. */
#define OVERHEAD_BYTES     1024
#define QUEUE_MESSAGES_MIN 1000

static const char *const mechanisms[] = { "aws_msk_iam", NULL };
static const char *const deliveries[] = { "at_least_once", "exactly_once", NULL };

#define ROW(key, kind, field, ...)                                                                 \
	{                                                                                          \
		.name = (key), .type = (kind), .offset = offsetof(struct kafka_settings, field),   \
		__VA_ARGS__                                                                        \
	}
const struct option kafka_options[] = {
	ROW("brokers", OPTION_TEXT, brokers, .flags = OPTION_REQUIRED,
	    .help = "Brokers to begin with: host:port, separated by commas."),
	ROW("topic", OPTION_TEXT, topic, .def = KAFKA_TOPIC_DEFAULT, .flags = OPTION_TEMPLATE,
	    .help = "Topic; ${table}, ${stream}, ${region}, ${account}, ${op}, ${schema} and "
		    "${attribute:PATH} are the event's."),
	ROW("missing", OPTION_ENUM, missing, .def = "_missing", .choices = sink_missing,
	    .help = "What stands in the topic for what an event does not have; dead_letter: such "
		    "an "
		    "event is bad, and the stream's `on_error` decides."),
	ROW("topics_max", OPTION_INT, topics_max, .def = "1000", .min = 1, .max = 100000,
	    .help = "The most topics that ${schema} and ${attribute:PATH} may name in a worker's "
		    "life, for each of its producers; events for further ones are refused."),
	ROW("create_topics.partitions", OPTION_INT, create_partitions, .def = "0", .min = 0,
	    .max = 100000,
	    .help = "Topics that are missing are made, before their first message, with so many "
		    "partitions; 0: they have to be there, or the brokers make them."),
	ROW("create_topics.replication", OPTION_INT, create_replication, .def = "0", .min = 0,
	    .max = 100, .help = "And so many replicas; 0: the brokers' default."),
	ROW("create_topics.config", OPTION_MAP, create_config,
	    .help = "And these settings of topics: cleanup.policy, retention.ms, …"),
	ROW("control_topic", OPTION_TEXT, control_topic,
	    .help = "Topic of the control events, a gap or the end of a repair, say: not the "
		    "data's. "
		    "Without it they are not told here."),
	ROW("format", OPTION_ENUM, format, .def = "debezium", .choices = sink_formats,
	    .help = "Form of the message's value."),
	ROW("numbers", OPTION_ENUM, numbers, .def = "exact", .choices = sink_numbers,
	    .help = "Numbers with the digits that DynamoDB gave, or as strings."),
	SINK_FIELDS(struct kafka_settings),
	ROW("tombstones", OPTION_BOOL, tombstones, .def = "true",
	    .help = "After each delete a message without value, for compacted topics."),
	ROW("delivery", OPTION_ENUM, delivery, .def = "at_least_once", .choices = deliveries,
	    .help = "at_least_once: after a crash, a suffix of a shard comes again, in order. "
		    "exactly_once: in transactions, for consumers with "
		    "isolation.level=read_committed."),
	ROW("id_prefix", OPTION_TEXT, id_prefix, .def = "sluice.",
	    .help = "Of exactly_once: what its transactional ids and groups begin with, for ACLs."),
	ROW("sasl.mechanism", OPTION_TEXT, sasl_mechanism, .choices = mechanisms,
	    .help = "aws_msk_iam: the brokers are Amazon MSK's and know us by AWS's credentials "
		    "(security.protocol is sasl_ssl then); by default what `properties` say."),
	ROW("sasl.region", OPTION_TEXT, sasl_region,
	    .help = "The region of that cluster; by default aws.region."),
	ROW("large.bucket", OPTION_TEXT, large_bucket, .instead = "dead_letter",
	    .help = "Where the payload of an event goes that is larger than Kafka takes; a "
		    "reference to the object is sent in its place (docs/delivery.md). Without it, "
		    "or with large: dead_letter, such a record goes to the dead letters."),
	ROW("large.prefix", OPTION_TEXT, large_prefix,
	    .help = "What the keys of these objects begin with."),
	ROW("large.bucket_owner", OPTION_TEXT, large_owner,
	    .help = "The 12 digits of the account that must own the bucket; else nothing is "
		    "written."),
	/* May hold passwords (sasl.password, ssl.key.password): printed as a secret. */
	ROW("properties", OPTION_MAP, properties, .flags = OPTION_SECRET,
	    .help = "More settings of librdkafka: security, compression.codec (lz4), linger.ms "
		    "(5), "
		    "message.max.bytes (8388608; a topic's own limit decides), …; what delivery "
		    "depends on is refused."),
	{ 0 },
};

struct property {
	const char *key, *value;
};

/* The operator may change these. A broker counts a batch's compressed bytes, so that what it takes
 * cannot be told here: the limit only keeps out what no broker is set up for, and a record that the
 * broker refuses is found and goes to the dead letters. An outage should end for us soon after it
 * ended for the brokers, hence the short reconnects. */
static const struct property defaults[] = {
	{ "client.id", "sluice" },
	{ "compression.codec", "lz4" },
	{ "linger.ms", "5" },
	{ "message.max.bytes", "8388608" },
	{ "reconnect.backoff.max.ms", "2000" },
	{ "socket.keepalive.enable", "true" },
	{ "socket.timeout.ms", "10000" },
	{ NULL, NULL },
};

/* And these not. murmur2_random is the Java client's for records with a key. Two requests in flight
 * keep a broker busy, as it answers those of one connection one by one. With more, librdkafka (seen
 * with 2.0.2) polls without a pause: an idempotent partition has one request out at a time, and
 * where further ones are due and nothing else waits to be sent, its thread asks again and again. */
static const struct property fixed[] = {
	{ "acks", "all" },        { "enable.idempotence", "true" },
	{ "max.in.flight", "2" }, { "partitioner", "murmur2_random" },
	{ "log.queue", "true" },  { "queue.buffering.max.kbytes", "2147483647" },
	{ NULL, NULL },
};

/* Each message of a request of its own, at once. */
static const struct property alone[] = {
	{ "batch.num.messages", "1" },
	{ "linger.ms", "0" },
	{ NULL, NULL },
};

/* AWS's tokens go where OAuth's would: before the properties, which may change the protocol, and
 * behind them. */
static const struct property login_default[] = {
	{ "security.protocol", "sasl_ssl" },
	{ NULL, NULL },
};
static const struct property login_fixed[] = {
	{ "sasl.mechanisms", "OAUTHBEARER" },
	{ NULL, NULL },
};

/* The same. And what is in a transaction that is still open counts as well: nothing may end up
 * behind an end offset that was told. */
static const struct property control[] = {
	{ "isolation.level", "read_uncommitted" },
	{ "linger.ms", "0" },
	{ NULL, NULL },
};

#define BY_BROKERS  "is given as `brokers`"
#define BY_DELIVERY "is set by Sluice, as delivery depends on it"
#define BY_LEASE    "is set by Sluice: half of checkpoint.lease"
#define BY_MEMORY   "is set by Sluice, out of worker.memory"
#define BY_KEYS     "is set by Sluice: keys go where the Java client puts them"
#define BY_REPORTS  "is set by Sluice, which lives on the reports"
static const struct property refused[] = {
	{ "bootstrap.servers", BY_BROKERS },
	{ "metadata.broker.list", BY_BROKERS },
	{ "acks", BY_DELIVERY },
	{ "request.required.acks", BY_DELIVERY },
	{ "enable.idempotence", BY_DELIVERY },
	{ "enable.gapless.guarantee", BY_DELIVERY },
	{ "transactional.id", BY_DELIVERY },
	{ "transaction.timeout.ms", BY_DELIVERY },
	{ "max.in.flight", BY_DELIVERY },
	{ "max.in.flight.requests.per.connection", BY_DELIVERY },
	{ "retries", BY_DELIVERY },
	{ "message.send.max.retries", BY_DELIVERY },
	{ "queuing.strategy", BY_DELIVERY },
	{ "request.timeout.ms", BY_DELIVERY },
	{ "message.timeout.ms", BY_LEASE },
	{ "delivery.timeout.ms", BY_LEASE },
	{ "queue.buffering.max.messages", BY_MEMORY },
	{ "queue.buffering.max.kbytes", BY_MEMORY },
	{ "partitioner", BY_KEYS },
	{ "delivery.report.only.error", BY_REPORTS },
	{ "enabled_events", BY_REPORTS },
	{ "log.queue", BY_REPORTS },
	{ "test.mock.num.brokers", "would send everything to brokers that do not exist" },
	{ NULL, NULL },
};

static bool set(rd_kafka_conf_t *conf, const char *key, const char *value, struct error *err)
{
	char why[256];

	if (rd_kafka_conf_set(conf, key, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
		return true;
	return error_set(err, ERROR_INVALID, "properties.%s: %s", key, why);
}

static bool set_all(rd_kafka_conf_t *conf, const struct property *table, struct error *err)
{
	for (; table->key; table++)
		if (!set(conf, table->key, table->value, err))
			return false;
	return true;
}

static bool set_number(rd_kafka_conf_t *conf, const char *key, int64_t value, struct error *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	return set(conf, key, text, err);
}

/* Whether the property says who we are. */
static bool is_login(const char *key)
{
	return strncmp(key, "sasl.", 5) == 0 || strncmp(key, "enable.sasl.", 12) == 0;
}

static bool set_properties(rd_kafka_conf_t *conf, const struct kafka_settings *s, struct error *err)
{
	const struct option_map *map = &s->properties;

	if (s->sasl_mechanism && !set_all(conf, login_default, err))
		return false;
	for (size_t i = 0; i < map->count; i++) {
		const struct option_pair *p = &map->pairs[i];

		if (s->sasl_mechanism && is_login(p->key))
			return error_set(err, ERROR_INVALID,
					 "properties.%s: it is set by Sluice: sasl.mechanism",
					 p->key);
		for (const struct property *r = refused; r->key; r++)
			if (strcmp(p->key, r->key) == 0)
				return error_set(err, ERROR_INVALID, "properties.%s: it %s", r->key,
						 r->value);
		if (!set(conf, p->key, p->value, err))
			return false;
	}
	return !s->sasl_mechanism || set_all(conf, login_fixed, err);
}

size_t kafka_message_bytes_max(const struct kafka_settings *s)
{
	static const char name[] = "message.max.bytes";
	const char *value = NULL;

	for (const struct property *d = defaults; d->key; d++)
		if (strcmp(d->key, name) == 0)
			value = d->value;
	for (size_t i = 0; i < s->properties.count; i++)
		if (strcmp(s->properties.pairs[i].key, name) == 0)
			value = s->properties.pairs[i].value;
	return (size_t)strtoll(value, NULL, 10);
}

char *kafka_transactional_id(const struct kafka_settings *s, const struct sink_host *host)
{
	struct buf id = { 0 };

	buf_printf(&id, "%s%s/%s", s->id_prefix, host->session, host->name);
	return id.data;
}

int64_t kafka_message_timeout_ms(const struct sink_host *host)
{
	return host->lease_ms / 2;
}

static int64_t queue_messages(const struct sink_host *host, unsigned producers)
{
	size_t share = host->memory_bytes / producers / OVERHEAD_BYTES;

	if (share < QUEUE_MESSAGES_MIN)
		return QUEUE_MESSAGES_MIN;
	return share > INT32_MAX ? INT32_MAX : (int64_t)share;
}

static bool fill(rd_kafka_conf_t *conf, const struct kafka_settings *s,
		 const struct sink_host *host, enum kafka_purpose purpose, struct error *err)
{
	int64_t timeout_ms = kafka_message_timeout_ms(host);
	unsigned producers =
		purpose == KAFKA_FOR_TRANSACTIONS || host->readers == 0 ? 1 : host->readers;

	return set_all(conf, defaults, err) && set_properties(conf, s, err) &&
	       set(conf, "bootstrap.servers", s->brokers, err) && set_all(conf, fixed, err) &&
	       (purpose != KAFKA_FOR_ALONE || set_all(conf, alone, err)) &&
	       (purpose != KAFKA_FOR_CONTROL || set_all(conf, control, err)) &&
	       set_number(conf, "message.timeout.ms", timeout_ms, err) &&
	       /* A topic that is not there should be named so before its records time out. */
	       set_number(conf, "topic.metadata.propagation.max.ms", timeout_ms / 2, err) &&
	       set_number(conf, "queue.buffering.max.messages", queue_messages(host, producers),
			  err);
}

rd_kafka_conf_t *kafka_conf(const struct kafka_settings *s, const struct sink_host *host,
			    enum kafka_purpose purpose, struct error *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	if (fill(conf, s, host, purpose, err))
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static bool control_topic_fits(const struct kafka_settings *s, const struct template *topic,
			       struct error *err)
{
	AUTO(template)
	struct template *told = template_new(s->control_topic, TEMPLATE_TOPIC, err);
	struct buf name = { 0 }, data = { 0 };
	bool ok;

	if (!told)
		return false;
	if (template_needs(told) != 0)
		return error_set(err, ERROR_INVALID, "one topic, without placeholders");
	ok = template_render(told, &(struct template_values){ 0 }, &name, err);
	if (ok && template_needs(topic) == 0)
		ok = template_render(topic, &(struct template_values){ 0 }, &data, err) &&
		     (strcmp(name.data, data.data) != 0 ||
		      error_set(err, ERROR_INVALID, "it has to be another one than topic"));
	buf_release(&name);
	buf_release(&data);
	return ok;
}

bool kafka_conf_transactional(rd_kafka_conf_t *conf, const char *id, const struct sink_host *host,
			      struct error *err)
{
	char why[256], value[24];
	size_t size = sizeof(value);

	if (!set(conf, "transactional.id", id, err) ||
	    !set_number(conf, "transaction.timeout.ms", host->lease_ms, err))
		return false;
	/* librdkafka wants a request to end with the transaction, at the latest. */
	if (rd_kafka_conf_get(conf, "socket.timeout.ms", value, &size) == RD_KAFKA_CONF_OK &&
	    strtoll(value, NULL, 10) <= host->lease_ms)
		return true;
	snprintf(value, sizeof(value), "%lld", (long long)host->lease_ms);
	return rd_kafka_conf_set(conf, "socket.timeout.ms", value, why, sizeof(why)) ==
		       RD_KAFKA_CONF_OK ||
	       error_set(err, ERROR_INVALID, "socket.timeout.ms: %s", why);
}

rd_kafka_conf_t *kafka_conf_group(const struct kafka_settings *s, const char *group,
				  struct error *err)
{
	/* read_committed: what an open transaction may still change is waited for. */
	static const struct property asking[] = {
		{ "isolation.level", "read_committed" },
		{ "enable.auto.commit", "false" },
		{ "log.queue", "true" },
		{ NULL, NULL },
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	if (set_properties(conf, s, err) && set(conf, "bootstrap.servers", s->brokers, err) &&
	    set(conf, "group.id", group, err) && set_all(conf, asking, err))
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static bool region_fits(const struct kafka_settings *s, struct error *err)
{
	size_t n = strlen(s->sasl_region);

	if (!s->sasl_mechanism)
		return error_set(err, ERROR_INVALID, "sasl.mechanism is required for it");
	return (n > 0 && n < 64 &&
		strspn(s->sasl_region, "abcdefghijklmnopqrstuvwxyz0123456789-") == n) ||
	       error_set(err, ERROR_INVALID, "expected a region such as eu-west-1, not '%.60s'",
			 s->sasl_region);
}

static bool large_fits(const struct kafka_settings *s, struct error *err)
{
	if (!s->large_bucket)
		return (!s->large_prefix && !s->large_owner) ||
		       error_set(err, ERROR_INVALID, "large.%s: needs large.bucket",
				 s->large_prefix ? "prefix" : "bucket_owner");
	return config_bucket_check("large.bucket", s->large_bucket, err) &&
	       config_prefix_check("large.prefix", s->large_prefix, err) &&
	       config_owner_check("large.bucket_owner", s->large_owner, err);
}

bool kafka_validate(const void *settings, struct error *err)
{
	const struct kafka_settings *s = settings;
	AUTO(template) struct template *topic = template_new(s->topic, TEMPLATE_TOPIC, err);
	rd_kafka_conf_t *conf;
	bool ok;

	if (!topic)
		return error_wrap(err, "topic");
	if (s->control_topic && !control_topic_fits(s, topic, err))
		return error_wrap(err, "control_topic");
	if (!large_fits(s, err) || !sink_fields_check(&s->fields, s->format, err))
		return false;
	if (!s->brokers[0])
		return error_set(err, ERROR_INVALID, "brokers: host:port, separated by commas");
	if (!s->create_partitions && (s->create_replication || s->create_config.count))
		return error_set(err, ERROR_INVALID,
				 "create_topics.partitions: is required to make topics");
	if (s->sasl_region && !region_fits(s, err))
		return error_wrap(err, "sasl.region");
	conf = rd_kafka_conf_new();
	ok = set_properties(conf, s, err);
	rd_kafka_conf_destroy(conf);
	return ok;
}
