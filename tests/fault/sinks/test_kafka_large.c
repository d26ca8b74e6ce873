#include "tests/fault/sinks/kafka_cluster.h"
#include "tests/unit/aws/s3_server.h"

#include <signal.h>

#include "aws/client.h"
#include "aws/credentials.h"
#include "sinks/kafka_reference.h"

/* Events that are too large for Kafka, against librdkafka's mock cluster and an S3 that fails on
 * order. */

#define PRODUCE 0 /* ApiKey */
#define LIMIT   "50000"
#define LARGE   60000

static struct s3_server server;
static struct aws_settings aws;

/* A clock that can be put forward. */
static _Atomic int64_t ahead_ms;
static int64_t boot_ahead(const struct clock *c)
{
	struct timespec now;

	(void)c;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000 + ahead_ms;
}

static struct world *world_large(long delivery)
{
	struct world *w = world_new(1);
	struct error err = { 0 };

	ahead_ms = 0;
	w->clock.boot_ms = boot_ahead;
	s3_server_start(&server);
	aws = (struct aws_settings){ .region = "us-east-1", .connections_max = 8 };
	aws.endpoints[AWS_S3] = server.url;
	w->host.aws = &aws;
	w->host.credentials = credentials_open(&aws, NULL, &w->clock, w->metrics, &err);
	assert_non_null(w->host.credentials);
	w->settings.delivery = delivery;
	w->settings.large_bucket = S3_BUCKET;
	w->settings.large_prefix = "big";
	world_property(w, "message.max.bytes", LIMIT);
	world_topic(w, "t", 1);
	return w;
}

static void world_end(struct world *w)
{
	world_close(w);
	credentials_close(w->host.credentials);
	world_free(w);
	s3_server_stop(&server);
}

/* Record `large` (from 1; 0: none) is an event whose image is too large. */
static struct delivery *delivery_with(size_t from, size_t count, size_t large)
{
	struct delivery *d = delivery_new(from, count, 100, 0);
	char *text;
	int n;

	if (large == 0)
		return d;
	text = arena_alloc(&d->batch->arena, LARGE + 200);
	n = snprintf(text, LARGE + 200,
		     "{\"before\":null,\"after\":{\"t\":\"%0*d\"},\"source\":{\"version\":\"0\"},"
		     "\"op\":\"c\",\"ts_ms\":1795228199349}",
		     LARGE, 0);
	((struct str *)(uintptr_t)d->payloads)[large - from] = (struct str){ text, (size_t)n };
	d->batch->events[large - from].time_ms = 1700000000123;
	return d;
}

static void write_to(struct world *w, struct delivery *d)
{
	sink_kafka.write(w->sink, d);
}

static void expect_object(const char *key)
{
	struct s3_server_object *o;

	pthread_mutex_lock(&server.lock);
	o = s3_object_find(&server, key);
	assert_non_null(o);
	assert_true(o->body.size > LARGE);
	/* The same bytes whoever writes it: not the time of delivery. */
	assert_non_null(strstr(o->body.data, "\"op\":\"c\",\"ts_ms\":1700000000123}"));
	pthread_mutex_unlock(&server.lock);
}

#define KEY(n) "big/events/shop/7/shardId-1/" n ".json"

/* "1", "2": a record; "R": a reference. */
static void expect_topic(struct world *w, const char *wanted)
{
	size_t count;
	struct seen *seen = world_consume(w, "t", 1, &count);

	assert_int_equal(count, strlen(wanted));
	for (size_t i = 0; i < count; i++)
		if (wanted[i] == 'R')
			assert_non_null(strstr(seen[i].value, "\"large\":{\"bucket\":\"lake\","));
		else
			assert_int_equal(seen[i].n, wanted[i] - '0');
	free(seen);
}

static void one_lane_waits_and_no_other(void **state)
{
	struct world *w = world_large(0);
	struct delivery *large = delivery_with(1, 3, 2), *small = delivery_with(4, 2, 0);
	const struct str *own = large->payloads;
	struct sink_answer a;

	(void)state;
	s3_server_fault(&server, (struct s3_fault){ "PUT", "", S3_HOLD, 0, NULL, 1 });
	world_open(w);
	write_to(w, large);
	s3_server_wait_held(&server, 1);
	write_to(w, small);
	a = world_wait(w, 0);
	assert_ptr_equal(a.delivery, small);
	assert_int_equal(a.kind, SINK_TAKEN);
	s3_server_let_go(&server);
	a = world_wait(w, 1);
	assert_ptr_equal(a.delivery, large);
	assert_int_equal(a.kind, SINK_TAKEN);
	assert_ptr_equal(large->payloads, own);
	expect_topic(w, "451R3");
	expect_object(KEY("2"));
	assert_int_equal(world_metric(w, METRIC_LARGE_OBJECTS, NULL), 1);
	assert_true(world_metric(w, METRIC_LARGE_BYTES, NULL) > LARGE);
	world_end(w);
	delivery_free(large);
	delivery_free(small);
}

/* The first write of `d` fails, as the bucket is away. */
static void fails_once(struct world *w, struct delivery *d)
{
	struct sink_answer a;
	char text[300];

	s3_server_fault(&server,
			(struct s3_fault){ "PUT", "", S3_ANSWER, 503, "ServiceUnavailable", 100 });
	world_open(w);
	write_to(w, d);
	a = world_wait(w, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 0);
	assert_true(error_passes(a.err.kind));
	assert_non_null(strstr(a.err.message, "bucket lake"));
	assert_non_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	assert_non_null(strstr(text, "bucket lake"));
	s3_server_let_go(&server);
}

static void a_bucket_that_is_away_is_tried_again(void **state)
{
	struct world *w = world_large(0);
	struct delivery *d = delivery_with(1, 3, 2);
	struct sink_answer a;
	char text[300];

	(void)state;
	fails_once(w, d);
	assert_int_equal(world_metric(w, METRIC_SINK_RETRIES, "large_object"), 1);
	write_to(w, d);
	a = world_wait(w, 1);
	assert_int_equal(a.kind, SINK_TAKEN);
	assert_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	expect_topic(w, "1R3");
	world_end(w);
	delivery_free(d);
}

static bool is_in_trouble(struct world *w)
{
	char text[300];

	return sink_kafka.trouble(w->sink, text, sizeof(text)) != NULL;
}

/* The lane may go on in another worker. */
static void trouble_that_nobody_tries_again_ends(void **state)
{
	struct world *w = world_large(0);
	struct delivery *d = delivery_with(1, 3, 2);

	(void)state;
	fails_once(w, d);
	ahead_ms += SINK_AGAIN_MS_MAX;
	assert_true(is_in_trouble(w));
	ahead_ms += 3 * SINK_AGAIN_MS_MAX;
	assert_false(is_in_trouble(w));
	/* Where somebody does it stays, however long that takes. */
	s3_server_fault(&server,
			(struct s3_fault){ "PUT", "", S3_ANSWER, 503, "ServiceUnavailable", 100 });
	write_to(w, d);
	assert_int_equal(world_wait(w, 1).kind, SINK_FAILED);
	assert_true(is_in_trouble(w));
	s3_server_let_go(&server);
	pthread_mutex_lock(&server.lock);
	server.let_go = false;
	pthread_mutex_unlock(&server.lock);
	s3_server_fault(&server, (struct s3_fault){ "PUT", "", S3_HOLD, 0, NULL, 1 });
	write_to(w, d);
	s3_server_wait_held(&server, 1);
	ahead_ms += 4 * SINK_AGAIN_MS_MAX;
	assert_true(is_in_trouble(w));
	s3_server_let_go(&server);
	assert_int_equal(world_wait(w, 2).kind, SINK_TAKEN);
	assert_false(is_in_trouble(w));
	world_end(w);
	delivery_free(d);
}

/* What it can never take is refused as what Kafka cannot: those before it are in. */
static void a_bucket_that_may_not_be_written(void **state)
{
	struct world *w = world_large(0);
	struct delivery *d = delivery_with(1, 3, 2);
	struct sink_answer a;
	char text[300];

	(void)state;
	fails_once(w, d);
	s3_server_fault(&server,
			(struct s3_fault){ "PUT", "", S3_ANSWER, 403, "AccessDenied", 100 });
	write_to(w, d);
	a = world_wait(w, 1);
	assert_int_equal(a.kind, SINK_REFUSED);
	assert_int_equal(a.first, 1);
	assert_non_null(strstr(a.err.message, "not to be put into bucket lake"));
	/* It answers, and nothing waits for it any more. */
	assert_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	expect_topic(w, "1");
	world_end(w);
	delivery_free(d);
}

static void what_waits_ends_with_the_session(void **state)
{
	(void)state;
	for (int purged = 0; purged < 2; purged++) {
		struct world *w = world_large(0);
		struct delivery *d[12];

		s3_server_fault(&server, (struct s3_fault){ "PUT", "", S3_HOLD, 0, NULL, 100 });
		world_open(w);
		for (size_t i = 0; i < 12; i++)
			write_to(w, d[i] = delivery_with(i + 1, 1, i + 1));
		s3_server_wait_held(&server, 1);
		if (purged)
			sink_kafka.purge(w->sink);
		else
			world_close(w);
		for (size_t i = 0; i < 12; i++) {
			struct sink_answer a = world_wait(w, i);

			assert_int_equal(a.kind, SINK_FAILED);
			assert_int_equal(a.err.kind, ERROR_CANCELLED);
		}
		world_end(w);
		for (size_t i = 0; i < 12; i++)
			delivery_free(d[i]);
	}
}

/* Topics have limits of their own, which only a refusal tells. */
static void what_the_brokers_refuse_comes_again_as_a_reference(void **state)
{
	struct world *w = world_large(0);
	struct delivery *d;
	struct sink_answer a;

	(void)state;
	w->pairs[0].value = "1000000";
	d = delivery_with(1, 3, 2);
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 3, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
					  RD_KAFKA_RESP_ERR_NO_ERROR,
					  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	world_open(w);
	write_to(w, d);
	a = world_wait(w, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 1);
	assert_int_equal(a.err.kind, ERROR_THROTTLED);
	assert_non_null(strstr(a.err.message, "it goes into an object"));
	d->first = 1;
	write_to(w, d);
	a = world_wait(w, 1);
	assert_int_equal(a.kind, SINK_TAKEN);
	expect_topic(w, "1R3");
	expect_object(KEY("2"));
	world_end(w);
	delivery_free(d);
}

/* One of a record's events is a reference already when the brokers refuse another one. */
static void of_several_events_each_may_be_a_reference(void **state)
{
	struct world *w = world_large(0);
	struct delivery *d = delivery_with(1, 1, 1), *small = delivery_with(1, 1, 0);
	struct str *payload = (struct str *)(uintptr_t)d->payloads;
	struct buf two;
	struct sink_answer a;

	(void)state;
	buf_init(&two, 0);
	buf_printf(&two,
		   "%.*s\n{\"before\":null,\"after\":{\"n\":\"%01000d\"},"
		   "\"source\":{\"version\":\"0\"},\"op\":\"c\",\"ts_ms\":1}",
		   STR_ARG(*payload), 0);
	*payload = buf_str(&two);
	d->batch->several = true;
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 3, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
					  RD_KAFKA_RESP_ERR_NO_ERROR,
					  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	world_open(w);
	write_to(w, d);
	a = world_wait(w, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 0);
	assert_non_null(strstr(a.err.message, "it goes into an object"));
	assert_int_equal(world_metric(w, METRIC_LARGE_OBJECTS, NULL), 1);
	write_to(w, d);
	a = world_wait(w, 1);
	assert_int_equal(a.kind, SINK_TAKEN);
	assert_int_equal(world_metric(w, METRIC_LARGE_OBJECTS, NULL), 3);
	expect_object(KEY("1-1"));
	/* Where all of them are, nothing more can be done. */
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 2, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
					  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	write_to(w, d);
	a = world_wait(w, 2);
	assert_int_equal(a.kind, SINK_REFUSED);
	/* And smaller ones than were refused go as they are. */
	write_to(w, small);
	assert_int_equal(world_wait(w, 3).kind, SINK_TAKEN);
	expect_topic(w, "RRRR1");
	world_end(w);
	delivery_free(d);
	delivery_free(small);
	buf_release(&two);
}

static void in_a_transaction(void **state)
{
	struct world *w = world_large(1);
	struct delivery *d = delivery_with(1, 3, 2);

	(void)state;
	world_open(w);
	write_to(w, d);
	for (size_t n = 0;; n++) {
		struct sink_answer a = world_wait(w, n);

		if (a.kind == SINK_PREPARED)
			continue;
		assert_int_equal(a.kind, SINK_TAKEN);
		assert_ptr_equal(a.delivery, d);
		break;
	}
	expect_object(KEY("2"));
	world_end(w);
	delivery_free(d);
}

/* --- references --- */

static void expect_reference(long format, enum event_op op, const char *payload, const char *wanted)
{
	const struct kafka_settings s = {
		.format = format,
		.fields = { .op = strstr(wanted, "\"op\":") ? "op" : "_op" },
		.large_bucket = "b",
	};
	const struct event e = { .op = op, .time_ms = 7, .key = STR("{\"pk\":\"a\"}") };
	struct buf out;

	buf_init(&out, 0);
	kafka_reference(&s, &e, str_of(payload), STR("k"), STR("body"), &out);
	assert_string_equal(out.data, wanted);
	buf_release(&out);
}

#define WHERE                                                                                      \
	"{\"bucket\":\"b\",\"key\":\"k\",\"bytes\":4,\"sha256\":"                                  \
	"\"230d8358dc8e8890b4c58deeb62912ee2"                                                      \
	"f20357ae92a5cc861b98e68fe31acb5\"}"

static void they_keep_all_but_the_images(void **state)
{
	(void)state;
#define TAIL(op) ",\"source\":{\"version\":\"0\",\"n\":1},\"op\":\"" op "\",\"ts_ms\":9"
	/* An image may look like what follows it. */
	expect_reference(FORMAT_DEBEZIUM, EVENT_CREATE,
			 "{\"before\":null,\"after\":{\"x\":1" TAIL("c") "}" TAIL("c") "}",
			 "{\"before\":null,\"after\":{\"pk\":\"a\"}" TAIL("c") ",\"large\":" WHERE
									       "}");
	expect_reference(FORMAT_DEBEZIUM, EVENT_UPDATE, "{\"before\":{},\"after\":{}" TAIL("u") "}",
			 "{\"before\":{\"pk\":\"a\"},\"after\":{\"pk\":\"a\"}" TAIL(
				 "u") ",\"large\":" WHERE "}");
	expect_reference(
		FORMAT_DEBEZIUM, EVENT_DELETE, "{\"before\":{},\"after\":null" TAIL("d") "}",
		"{\"before\":{\"pk\":\"a\"},\"after\":null" TAIL("d") ",\"large\":" WHERE "}");
	expect_reference(FORMAT_PLAIN, EVENT_CREATE,
			 "{\"pk\":\"a\",\"x\":\"y\",\"_op\":\"c\",\"_ts\":7,\"_seq\":\"1\"}",
			 "{\"pk\":\"a\",\"_op\":\"c\",\"_ts\":7,\"_seq\":\"1\",\"_large\":" WHERE
			 "}");
	expect_reference(FORMAT_PLAIN, EVENT_CREATE,
			 "{\"pk\":\"a\",\"_op\":\"y\",\"op\":\"c\",\"_ts\":7,\"_seq\":\"1\"}",
			 "{\"pk\":\"a\",\"op\":\"c\",\"_ts\":7,\"_seq\":\"1\",\"_large\":" WHERE
			 "}");
	expect_reference(FORMAT_DYNAMODB, EVENT_UPDATE,
			 "{\"eventID\":\"1\",\"dynamodb\":{\"Keys\":{\"pk\":{\"S\":\"a\"}},"
			 "\"NewImage\":{\"x\":{\"S\":\"\\u0000\"}},\"OldImage\":{},"
			 "\"SizeBytes\":3},\"eventSourceARN\":\"arn\"}",
			 "{\"eventID\":\"1\",\"dynamodb\":{\"Keys\":{\"pk\":{\"S\":\"a\"}},"
			 "\"SizeBytes\":3},\"eventSourceARN\":\"arn\",\"large\":" WHERE "}");
}

/* Whatever the peer calls its records. */
static void what_follows_the_images_may_be_long(void **state)
{
	char payload[10000], wanted[10000];

	(void)state;
#define LONG_TAIL                                                                                  \
	",\"source\":{\"version\":\"0\",\"event_id\":\"%09000d\"},\"op\":\"c\",\"ts_ms\":9"
	snprintf(payload, sizeof(payload), "{\"before\":null,\"after\":{\"x\":1}" LONG_TAIL "}", 0);
	snprintf(wanted, sizeof(wanted),
		 "{\"before\":null,\"after\":{\"pk\":\"a\"}" LONG_TAIL ",\"large\":" WHERE "}", 0);
	expect_reference(FORMAT_DEBEZIUM, EVENT_CREATE, payload, wanted);
}

static void objects_have_the_same_names_for_ever(void **state)
{
	const struct kafka_settings s = { .large_prefix = "p/" };
	struct event e = { .key = STR("{\"pk\":\"a\"}") };
	struct batch b = { .source = &orders, .shard = "s-1", .events = &e };
	struct error err = { 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_true(sequence_parse(&e.sequence, STR("12"), &err));
	kafka_object_key(&s, "events", &b, 0, 0, &out);
	assert_string_equal(out.data, "p/events/shop/7/s-1/12.json");
	buf_clear(&out);
	kafka_object_key(&s, "events", &b, 0, 2, &out);
	assert_string_equal(out.data, "p/events/shop/7/s-1/12-2.json");
	/* Rows of one export have one sequence. */
	b.shard = NULL;
	buf_clear(&out);
	kafka_object_key(&s, "events", &b, 0, 0, &out);
	assert_int_equal(strncmp(out.data, "p/events/shop/7/export/12-", 26), 0);
	assert_int_equal(out.size, 26 + 64 + 5);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lane_waits_and_no_other),
		cmocka_unit_test(a_bucket_that_is_away_is_tried_again),
		cmocka_unit_test(trouble_that_nobody_tries_again_ends),
		cmocka_unit_test(a_bucket_that_may_not_be_written),
		cmocka_unit_test(what_waits_ends_with_the_session),
		cmocka_unit_test(what_the_brokers_refuse_comes_again_as_a_reference),
		cmocka_unit_test(of_several_events_each_may_be_a_reference),
		cmocka_unit_test(in_a_transaction),
		cmocka_unit_test(they_keep_all_but_the_images),
		cmocka_unit_test(what_follows_the_images_may_be_long),
		cmocka_unit_test(objects_have_the_same_names_for_ever),
	};

	signal(SIGPIPE, SIG_IGN);
	setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
