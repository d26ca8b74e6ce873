#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sinks/kafka.h"

static struct kafka_settings settings_new(void)
{
	struct kafka_settings s = { 0 };
	struct error err = { 0 };

	assert_true(option_defaults(kafka_options, &s, &err));
	s.brokers = "kafka:9092";
	return s;
}

static void with_property(const char *key, const char *value, const char *part_of_message)
{
	struct kafka_settings s = settings_new();
	struct option_pair pair = { key, value };
	struct error err = { 0 };
	bool ok;

	s.properties = (struct option_map){ &pair, 1 };
	ok = kafka_validate(&s, &err);
	if (!part_of_message && !ok)
		fail_msg("%s: %s", key, err.message);
	if (!part_of_message)
		return;
	assert_false(ok);
	assert_int_equal(err.kind, ERROR_INVALID);
	if (!strstr(err.message, part_of_message) || !strstr(err.message, key))
		fail_msg("%s: \"%s\" lacks \"%s\"", key, err.message, part_of_message);
}

static void test_defaults(void **state)
{
	struct kafka_settings s = settings_new();
	struct error err = { 0 };

	(void)state;
	assert_true(kafka_validate(&s, &err));
	assert_string_equal(s.topic, "dynamodb.${table}");
	assert_true(s.tombstones);
	assert_int_equal(s.format, FORMAT_DEBEZIUM);
	assert_int_equal(s.numbers, 0);
	assert_int_equal(sink_kafka.commit(&s), SINK_IMMEDIATE);
	assert_string_equal(s.id_prefix, "sluice.");
	s.delivery = 1;
	assert_int_equal(sink_kafka.commit(&s), SINK_TRANSACTION);
	s.format = FORMAT_PLAIN;
	s.numbers = 1;
	assert_int_equal(sink_kafka.encoding(&s).format, FORMAT_PLAIN);
	assert_true(sink_kafka.encoding(&s).numbers_as_strings);
}

/* The choices' order is the enum's. */
static void test_formats(void **state)
{
	(void)state;
	assert_string_equal(sink_formats[FORMAT_DEBEZIUM], "debezium");
	assert_string_equal(sink_formats[FORMAT_PLAIN], "plain");
	assert_string_equal(sink_formats[FORMAT_DYNAMODB], "dynamodb");
}

static void test_control_topic(void **state)
{
	struct kafka_settings s = settings_new();
	struct error err = { 0 };

	(void)state;
	assert_null(s.control_topic);
	assert_false(sink_kafka.tells(&s));
	s.control_topic = "sluice.control";
	assert_true(kafka_validate(&s, &err));
	assert_true(sink_kafka.tells(&s));
	s.topic = "sluice.control";
	assert_false(kafka_validate(&s, &err));
	assert_non_null(strstr(err.message, "control_topic: it has to be another one"));
	s.topic = "t";
	s.control_topic = "control.${table}";
	assert_false(kafka_validate(&s, &err));
	assert_non_null(strstr(err.message, "control_topic: one topic"));
	s.control_topic = "not a topic";
	assert_false(kafka_validate(&s, &err));
	assert_non_null(strstr(err.message, "control_topic: "));
}

static void test_topic(void **state)
{
	struct kafka_settings s = settings_new();
	struct error err = { 0 };

	(void)state;
	s.topic = "x.${when}";
	assert_false(kafka_validate(&s, &err));
	assert_non_null(strstr(err.message, "topic: "));
	assert_non_null(strstr(err.message, "${when}"));
	s = settings_new();
	s.brokers = "";
	assert_false(kafka_validate(&s, &err));
	assert_non_null(strstr(err.message, "brokers"));
}

static void test_properties(void **state)
{
	static const char *const refused[] = {
		"acks",
		"request.required.acks",
		"enable.idempotence",
		"transactional.id",
		"transaction.timeout.ms",
		"message.timeout.ms",
		"delivery.timeout.ms",
		"request.timeout.ms",
		"max.in.flight",
		"max.in.flight.requests.per.connection",
		"retries",
		"message.send.max.retries",
		"partitioner",
		"queuing.strategy",
		"enable.gapless.guarantee",
		"delivery.report.only.error",
		"enabled_events",
		"queue.buffering.max.messages",
		"queue.buffering.max.kbytes",
		"test.mock.num.brokers",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		with_property(refused[i], "1", "it ");
	with_property("bootstrap.servers", "a:1", "`brokers`");
	with_property("metadata.broker.list", "a:1", "`brokers`");
	with_property("linger.ms", "50", NULL);
	with_property("compression.codec", "zstd", NULL);
	with_property("message.max.bytes", "1000000", NULL);
	with_property("security.protocol", "sasl_ssl", NULL);
	with_property("sasl.password", "secret", NULL);
	with_property("lingre.ms", "50", "No such configuration property");
	with_property("linger.ms", "soon", "linger.ms");
	with_property("compression.codec", "rar", "rar");
}

static void expect_conf(rd_kafka_conf_t *conf, const char *key, const char *value)
{
	char have[256];
	size_t size = sizeof(have);

	assert_int_equal(rd_kafka_conf_get(conf, key, have, &size), RD_KAFKA_CONF_OK);
	assert_string_equal(have, value);
}

static void test_configuration(void **state)
{
	struct kafka_settings s = settings_new();
	struct option_pair pairs[] = { { "linger.ms", "70" }, { "compression.codec", "zstd" } };
	struct sink_host host = { .readers = 2, .lease_ms = 10000, .memory_bytes = 64 << 20 };
	struct error err = { 0 };
	rd_kafka_conf_t *conf = kafka_conf(&s, &host, KAFKA_FOR_READER, &err);

	(void)state;
	assert_non_null(conf);
	expect_conf(conf, "bootstrap.servers", "kafka:9092");
	expect_conf(conf, "enable.idempotence", "true");
	expect_conf(conf, "acks", "-1");
	expect_conf(conf, "message.timeout.ms", "5000");
	expect_conf(conf, "partitioner", "murmur2_random");
	expect_conf(conf, "compression.codec", "lz4");
	expect_conf(conf, "linger.ms", "5");
	expect_conf(conf, "message.max.bytes", "8388608");
	expect_conf(conf, "queue.buffering.max.messages", "32768");
	rd_kafka_conf_destroy(conf);
	s.properties = (struct option_map){ pairs, 2 };
	host.memory_bytes = 0;
	conf = kafka_conf(&s, &host, KAFKA_FOR_READER, &err);
	expect_conf(conf, "linger.ms", "70");
	expect_conf(conf, "compression.codec", "zstd");
	expect_conf(conf, "queue.buffering.max.messages", "1000");
	rd_kafka_conf_destroy(conf);
	conf = kafka_conf(&s, &host, KAFKA_FOR_ALONE, &err);
	expect_conf(conf, "linger.ms", "0");
	expect_conf(conf, "batch.num.messages", "1");
	rd_kafka_conf_destroy(conf);
}

/* Who we are is either AWS's matter or that of the properties. */
static void test_login_by_aws(void **state)
{
	struct kafka_settings s = settings_new();
	struct option_pair plaintext = { "security.protocol", "sasl_plaintext" };
	struct option_pair own[] = { { "sasl.mechanisms", "PLAIN" },
				     { "sasl.password", "secret" },
				     { "enable.sasl.oauthbearer.unsecure.jwt", "true" } };
	struct sink_host host = { .readers = 1, .lease_ms = 10000 };
	struct error err = { 0 };
	rd_kafka_conf_t *conf;

	(void)state;
	assert_null(s.sasl_mechanism);
	conf = kafka_conf(&s, &host, KAFKA_FOR_READER, &err);
	expect_conf(conf, "security.protocol", "plaintext");
	rd_kafka_conf_destroy(conf);
	s.sasl_region = "eu-west-1";
	assert_false(kafka_validate(&s, &err));
	assert_non_null(strstr(err.message, "sasl.region: sasl.mechanism is required"));
	s.sasl_mechanism = "aws_msk_iam";
	assert_true(kafka_validate(&s, &err));
	conf = kafka_conf(&s, &host, KAFKA_FOR_READER, &err);
	expect_conf(conf, "security.protocol", "sasl_ssl");
	expect_conf(conf, "sasl.mechanisms", "OAUTHBEARER");
	rd_kafka_conf_destroy(conf);
	s.properties = (struct option_map){ &plaintext, 1 };
	assert_true(kafka_validate(&s, &err));
	conf = kafka_conf_group(&s, "g", &err);
	expect_conf(conf, "security.protocol", "sasl_plaintext");
	expect_conf(conf, "sasl.mechanisms", "OAUTHBEARER");
	rd_kafka_conf_destroy(conf);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		s.properties = (struct option_map){ &own[i], 1 };
		assert_false(kafka_validate(&s, &err));
		assert_non_null(strstr(err.message, own[i].key));
		assert_non_null(strstr(err.message, "it is set by Sluice: sasl.mechanism"));
	}
	s = settings_new();
	s.create_replication = 3;
	assert_false(kafka_validate(&s, &err));
	assert_non_null(strstr(err.message, "create_topics.partitions: is required"));
	s.create_partitions = 1;
	assert_true(kafka_validate(&s, &err));
	s = settings_new();
	s.sasl_mechanism = "aws_msk_iam";
	s.sasl_region = "eu/west";
	assert_false(kafka_validate(&s, &err));
	assert_non_null(strstr(err.message, "sasl.region: expected a region"));
}

static int32_t partition(const char *key, int32_t count)
{
	return rd_kafka_msg_partitioner_murmur2_random(NULL, key, strlen(key), count, NULL, NULL);
}

/* The hashes of Kafka's own UtilsTest.testMurmur2, as the Java client makes partitions of them:
 * the sign bit away, modulo the count. */
static void test_partitions_are_the_java_clients(void **state)
{
	static const struct {
		const char *key;
		int32_t hash;
	} golden[] = {
		{ "21", -973932308 },
		{ "foobar", -790332482 },
		{ "a-little-bit-long-string", -985981536 },
		{ "a-little-bit-longer-string", -1486304829 },
		{ "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
		{ "abc", 479470107 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		int32_t positive = golden[i].hash & 0x7fffffff;

		assert_int_equal(partition(golden[i].key, INT32_MAX), positive % INT32_MAX);
		assert_int_equal(partition(golden[i].key, 12), positive % 12);
		assert_int_equal(partition(golden[i].key, 1000), positive % 1000);
	}
}

/* NULL: it is fine, and `bucket` the one. */
static void with_large(const char *large, const char *bucket, const char *part_of_message)
{
	struct error err = { 0 };
	struct buf text = { 0 };
	struct config *c;

	buf_printf(&text,
		   "streams: [{ table: orders, sinks: [k] }]\n"
		   "sinks: { k: { type: kafka, brokers: b, large: %s } }\n",
		   large);
	c = config_parse(buf_str(&text), "test", sink_config_types(), &err);
	buf_release(&text);
	if (part_of_message) {
		assert_null(c);
		if (!strstr(err.message, part_of_message))
			fail_msg("%s: \"%s\" lacks \"%s\"", large, err.message, part_of_message);
		return;
	}
	if (!c)
		fail_msg("%s: %s", large, err.message);
	const struct kafka_settings *s = c->sinks[0].settings;

	if (bucket)
		assert_string_equal(s->large_bucket, bucket);
	else
		assert_null(s->large_bucket);
	config_free(c);
}

static void test_large(void **state)
{
	(void)state;
	with_large("dead_letter", NULL, NULL);
	with_large("\"dead_letter\"", NULL, NULL);
	with_large("{}", NULL, NULL);
	with_large("~", NULL, NULL);
	with_large("{ bucket: my-records, prefix: large }", "my-records", NULL);
	with_large("{ bucket: my-records, bucket_owner: \"123456789012\" }", "my-records", NULL);
	with_large("dead_letters", NULL, "large: expected a map of settings, or dead_letter");
	with_large("[]", NULL, "large: expected a map of settings, or dead_letter");
	with_large("{ prefix: large }", NULL, "large.prefix: needs large.bucket");
	with_large("{ bucket: My_Records }", NULL, "large.bucket");
	with_large("{ bucket: my-records, prefix: /large }", NULL, "large.prefix");
	with_large("{ bucket: my-records, bucket_owner: \"12\" }", NULL, "large.bucket_owner");
	with_large("{ buckets: my-records }", NULL, "did you mean 'bucket'");
}

static void test_message_bytes(void **state)
{
	struct kafka_settings s = settings_new();
	struct option_pair pair = { "message.max.bytes", "1000000" };

	(void)state;
	assert_int_equal(kafka_message_bytes_max(&s), 8388608);
	s.properties = (struct option_map){ &pair, 1 };
	assert_int_equal(kafka_message_bytes_max(&s), 1000000);
}

static void test_errors(void **state)
{
	struct error err = { 0 };
	char text[64];

	(void)state;
	assert_true(kafka_error_is_records(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE));
	assert_true(kafka_error_is_records(RD_KAFKA_RESP_ERR_INVALID_RECORD));
	assert_true(kafka_error_is_records(RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE));
	assert_false(kafka_error_is_records(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED));
	assert_false(kafka_error_is_records(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT));
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT), ERROR_RETRY);
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR__PURGE_QUEUE), ERROR_CANCELLED);
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR__QUEUE_FULL), ERROR_THROTTLED);
	assert_string_equal(
		kafka_error_reason(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, text, sizeof(text)),
		"msg_timed_out");
	assert_string_equal(kafka_error_reason(RD_KAFKA_RESP_ERR_INVALID_RECORD, text, 8),
			    "invalid");
	assert_false(kafka_error(&err, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "orders"));
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_non_null(strstr(err.message, "topic orders: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_topic),
		cmocka_unit_test(test_control_topic),
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_login_by_aws),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_partitions_are_the_java_clients),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_message_bytes),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
