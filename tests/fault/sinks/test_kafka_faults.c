#include "tests/fault/sinks/kafka_cluster.h"

/* The sink against a cluster that refuses, is away, or does not come back. */

#define PRODUCE 0 /* ApiKey */

static void inject(struct world *w, size_t count, const rd_kafka_resp_err_t *errors)
{
	rd_kafka_mock_push_request_errors_array(w->mock, PRODUCE, count, errors);
}

static struct sink_answer write_and_wait(struct world *w, struct delivery *d, size_t n)
{
	struct sink_answer a;

	sink_kafka.write(w->sink, d);
	a = world_wait(w, n);
	assert_ptr_equal(a.delivery, d);
	return a;
}

/* One partition: everything of [0, count) is there, and read to its end each key is at its newest.
 */
static void expect_all(struct world *w, size_t count, size_t keys)
{
	size_t seen_count;
	struct seen *seen = world_consume(w, "t", 1, &seen_count);
	bool *there = memory_array(count, sizeof(*there));
	long *last = memory_array(keys, sizeof(*last));

	for (size_t i = 0; i < seen_count; i++) {
		assert_in_range(seen[i].n, 0, count - 1);
		there[seen[i].n] = true;
		last[(size_t)seen[i].n % keys] = seen[i].n;
	}
	for (size_t i = 0; i < count; i++)
		if (!there[i])
			fail_msg("record %zu is missing", i);
	for (size_t k = 0; k < keys; k++)
		assert_true((size_t)last[k] + keys >= count);
	free(there);
	free(last);
	free(seen);
}

/* What passes is librdkafka's to retry: nobody hears of it, and nothing is out of order. */
static void test_passing_errors(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 200, 7, 100);
	struct seen *seen;
	size_t count;

	(void)state;
	world_property(w, "batch.num.messages", "20");
	world_topic(w, "t", 1);
	world_open(w);
	inject(w, 4,
	       (const rd_kafka_resp_err_t[]){ RD_KAFKA_RESP_ERR_NO_ERROR,
					      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
					      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
					      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS });
	assert_int_equal(write_and_wait(w, d, 0).kind, SINK_TAKEN);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 200);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen[i].n, i);
	free(seen);
	world_free(w);
	delivery_free(d);
}

/* The third request of ten records fails: the answer is its first record, though later ones came
 * through, and sent again from there everything is in and in order per key. */
static void test_fails_from_the_first_failed_record(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 100, 7, 100);
	struct sink_answer a;
	char text[400];

	(void)state;
	world_property(w, "batch.num.messages", "10");
	world_topic(w, "t", 1);
	world_open(w);
	inject(w, 3,
	       (const rd_kafka_resp_err_t[]){ RD_KAFKA_RESP_ERR_NO_ERROR,
					      RD_KAFKA_RESP_ERR_NO_ERROR,
					      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED });
	a = write_and_wait(w, d, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 20);
	assert_int_equal(a.err.kind, ERROR_REFUSED);
	assert_non_null(strstr(a.err.message, "topic t: "));
	assert_non_null(strstr(a.err.message, "allow WRITE"));
	assert_int_equal(world_metric(w, METRIC_DELIVERED, NULL), 20);
	assert_int_equal(world_metric(w, METRIC_SINK_RETRIES, "topic_authorization_failed"), 1);
	assert_non_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	for (size_t n = 1; a.kind == SINK_FAILED; n++) {
		/* librdkafka keeps a refused topic for refused until its next look at it. */
		d->first = a.first;
		d->count = 100 - a.first;
		a = write_and_wait(w, d, n);
		if (n >= ANSWERS_MAX - 2)
			fail_msg("it never recovered: %s", a.err.message);
		if (a.kind == SINK_FAILED)
			rd_kafka_metadata(w->sink->channels[0]->rk, 1, NULL,
					  &(const struct rd_kafka_metadata *){ NULL }, 1000);
	}
	assert_int_equal(a.kind, SINK_TAKEN);
	assert_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	assert_int_equal(world_metric(w, METRIC_DELIVERED, NULL), 100);
	expect_all(w, 100, 7);
	world_free(w);
	delivery_free(d);
}

/* A tenth of a second goes by at each look. */
static int64_t slow_boot_ms(const struct clock *c)
{
	static _Atomic int64_t now_ms;

	(void)c;
	return atomic_fetch_add(&now_ms, 100);
}

/* What is produced so slowly that its beginning may time out alone goes in parts: while one part is
 * not in, nothing of what comes behind it is. */
static void test_what_is_slow_does_not_overtake(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 40, 7, 100);
	struct sink_answer a;
	struct seen *seen;
	size_t count, n = 1;

	(void)state;
	w->clock.boot_ms = slow_boot_ms;
	((struct str *)(uintptr_t)d->payloads)[4].p = NULL;
	world_topic(w, "t", 1);
	world_open(w);
	inject(w, 3,
	       (const rd_kafka_resp_err_t[]){ RD_KAFKA_RESP_ERR_NO_ERROR,
					      RD_KAFKA_RESP_ERR_NO_ERROR,
					      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED });
	a = write_and_wait(w, d, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 2);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 2);
	free(seen);
	for (; a.kind == SINK_FAILED && n < ANSWERS_MAX - 2; n++) {
		rd_kafka_metadata(w->sink->channels[0]->rk, 1, NULL,
				  &(const struct rd_kafka_metadata *){ NULL }, 1000);
		d->first = a.first;
		a = write_and_wait(w, d, n);
	}
	assert_int_equal(a.kind, SINK_TAKEN);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 39);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen[i].n, i < 4 ? i : i + 1);
	free(seen);
	world_free(w);
	delivery_free(d);
}

static void test_too_large_for_us(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 10, 10, 3000);
	struct sink_answer a;
	struct seen *seen;
	size_t count;

	(void)state;
	for (size_t i = 0; i < 10; i++)
		if (i != 6)
			((struct str *)(uintptr_t)d->payloads)[i].n = 100;
	world_property(w, "message.max.bytes", "2000");
	world_topic(w, "t", 1);
	world_open(w);
	a = write_and_wait(w, d, 0);
	assert_int_equal(a.kind, SINK_REFUSED);
	assert_int_equal(a.first, 6);
	assert_int_equal(a.err.kind, ERROR_INVALID);
	assert_non_null(strstr(a.err.message, "max.message.bytes"));
	d->first = 7;
	a = write_and_wait(w, d, 1);
	assert_int_equal(a.kind, SINK_TAKEN);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 9);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen[i].n, i < 6 ? i : i + 1);
	free(seen);
	world_free(w);
	delivery_free(d);
}

/* The broker refuses a request of ten; sent one by one, it turns out to be the fourth record. */
static void test_the_culprit_of_a_refused_request(void **state)
{
	const rd_kafka_resp_err_t ok = RD_KAFKA_RESP_ERR_NO_ERROR;
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 10, 10, 50);
	struct sink_answer a;
	struct seen *seen;
	size_t count;

	(void)state;
	world_property(w, "linger.ms", "200"); /* one request, however slow the writer */
	world_topic(w, "t", 1);
	world_open(w);
	inject(w, 5,
	       (const rd_kafka_resp_err_t[]){ RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ok, ok, ok,
					      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE });
	a = write_and_wait(w, d, 0);
	assert_int_equal(a.kind, SINK_REFUSED);
	assert_int_equal(a.first, 3);
	assert_int_equal(world_metric(w, METRIC_DELIVERED, NULL), 3);
	d->first = 4;
	a = write_and_wait(w, d, 1);
	assert_int_equal(a.kind, SINK_TAKEN);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 9);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen[i].n, i < 3 ? i : i + 1);
	free(seen);
	world_free(w);
	delivery_free(d);
}

/* Whose neighbour in the request was at fault, gets in. Something else on the way is a failure. */
static void test_alone_and_innocent(void **state)
{
	const rd_kafka_resp_err_t ok = RD_KAFKA_RESP_ERR_NO_ERROR;
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 6, 10, 50);
	struct sink_answer a;

	(void)state;
	d->batch->events[2].op = EVENT_DELETE;
	world_property(w, "linger.ms", "200");
	world_topic(w, "t", 1);
	world_open(w);
	inject(w, 1, (const rd_kafka_resp_err_t[]){ RD_KAFKA_RESP_ERR_INVALID_RECORD });
	a = write_and_wait(w, d, 0);
	assert_int_equal(a.kind, SINK_TAKEN);
	inject(w, 3,
	       (const rd_kafka_resp_err_t[]){ RD_KAFKA_RESP_ERR_INVALID_RECORD, ok,
					      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED });
	a = write_and_wait(w, d, 1);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 1);
	world_free(w);
	delivery_free(d);
}

static void brokers_set(struct world *w, bool up)
{
	if (up)
		rd_kafka_mock_broker_set_up(w->mock, 1);
	else
		rd_kafka_mock_broker_set_down(w->mock, 1);
}

/* Down for longer than half a lease: failed, visible; up again: in. */
static void test_broker_down_and_up(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 50, 7, 100);
	struct sink_answer a;
	char text[400];

	(void)state;
	w->host.lease_ms = 2000;
	world_topic(w, "t", 1);
	world_open(w);
	assert_int_equal(write_and_wait(w, d, 0).kind, SINK_TAKEN);
	assert_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	brokers_set(w, false);
	a = write_and_wait(w, d, 1);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 0);
	assert_int_equal(a.err.kind, ERROR_RETRY);
	assert_non_null(strstr(a.err.message, "after 1000 ms"));
	assert_non_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	assert_non_null(strstr(text, "since "));
	brokers_set(w, true);
	for (size_t n = 2; a.kind == SINK_FAILED; n++) {
		assert_in_range(n, 2, 60);
		a = write_and_wait(w, d, n);
	}
	assert_int_equal(a.kind, SINK_TAKEN);
	assert_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	assert_int_equal(world_metric(w, METRIC_SINK_UNANSWERED_BYTES, NULL), 0);
	expect_all(w, 50, 7);
	world_free(w);
	delivery_free(d);
}

static void test_queue_full(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 1500, 7, 20);
	struct sink_answer a;

	(void)state;
	w->host.memory_bytes = 0; /* the smallest queue: 1000 messages */
	world_topic(w, "t", 1);
	brokers_set(w, false);
	world_open(w);
	sink_kafka.write(w->sink, d);
	brokers_set(w, true);
	a = world_wait(w, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 1000);
	assert_int_equal(a.err.kind, ERROR_THROTTLED);
	d->first = 1000;
	assert_int_equal(write_and_wait(w, d, 1).kind, SINK_TAKEN);
	expect_all(w, 1500, 7);
	world_free(w);
	delivery_free(d);
}

static void test_topic_that_is_not_there(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 5, 7, 20);
	struct sink_answer a;

	(void)state;
	w->host.lease_ms = 12000;
	world_open(w);
	rd_kafka_mock_topic_set_error(w->mock, "t", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	a = write_and_wait(w, d, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 0);
	assert_int_equal(a.err.kind, ERROR_NOT_FOUND);
	assert_non_null(strstr(a.err.message, "create the topic"));
	rd_kafka_mock_topic_set_error(w->mock, "t", RD_KAFKA_RESP_ERR_NO_ERROR);
	for (size_t n = 1; a.kind == SINK_FAILED; n++) {
		rd_kafka_metadata(w->sink->channels[0]->rk, 1, NULL,
				  &(const struct rd_kafka_metadata *){ NULL }, 1000);
		assert_in_range(n, 1, 60);
		a = write_and_wait(w, d, n);
	}
	assert_int_equal(a.kind, SINK_TAKEN);
	world_free(w);
	delivery_free(d);
}

static void test_name_that_is_no_topic(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 5, 7, 20);
	struct sink_answer a;
	struct source long_name = orders;
	char name[256];

	(void)state;
	memset(name, 'a', 255);
	name[255] = '\0';
	long_name.table = name;
	d->batch->source = &long_name;
	w->settings.topic = "${table}";
	world_open(w);
	a = write_and_wait(w, d, 0);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.first, 0);
	assert_int_equal(a.err.kind, ERROR_INVALID);
	assert_non_null(strstr(a.err.message, "249"));
	world_free(w);
	delivery_free(d);
}

static void test_purge(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d[3] = { delivery_new(0, 50, 7, 20), delivery_new(50, 50, 7, 20),
				  delivery_new(100, 50, 7, 20) };
	struct sink_answer a;
	size_t count;

	(void)state;
	world_topic(w, "t", 1);
	brokers_set(w, false);
	world_open(w);
	sink_kafka.write(w->sink, d[0]);
	sink_kafka.write(w->sink, d[1]);
	sink_kafka.purge(w->sink);
	sink_kafka.write(w->sink, d[2]);
	for (size_t i = 0; i < 3; i++) {
		a = world_wait(w, i);
		assert_int_equal(a.kind, SINK_FAILED);
		assert_int_equal(a.first, a.delivery->first);
		assert_int_equal(a.err.kind, ERROR_CANCELLED);
	}
	brokers_set(w, true);
	world_close(w);
	assert_int_equal(world_metric(w, METRIC_SINK_UNANSWERED_BYTES, NULL), 0);
	free(world_consume(w, "t", 1, &count));
	assert_int_equal(count, 0);
	world_free(w);
	for (size_t i = 0; i < 3; i++)
		delivery_free(d[i]);
}

/* In flight: the broker has the request and does not answer. */
static void test_purge_in_flight(void **state)
{
	struct world *w = world_new(1);
	struct delivery *first = delivery_new(0, 1, 7, 20), *d = delivery_new(1, 50, 7, 20);
	struct sink_answer a;

	(void)state;
	world_topic(w, "t", 1);
	world_open(w);
	assert_int_equal(write_and_wait(w, first, 0).kind, SINK_TAKEN);
	rd_kafka_mock_broker_set_rtt(w->mock, 1, 20000);
	sink_kafka.write(w->sink, d);
	sink_kafka.purge(w->sink);
	a = world_wait(w, 1);
	assert_int_equal(a.kind, SINK_FAILED);
	assert_int_equal(a.err.kind, ERROR_CANCELLED);
	world_free(w);
	delivery_free(first);
	delivery_free(d);
}

static void test_close_answers_all(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d[2] = { delivery_new(0, 50, 7, 20), delivery_new(50, 50, 7, 20) };

	(void)state;
	world_topic(w, "t", 1);
	brokers_set(w, false);
	world_open(w);
	sink_kafka.write(w->sink, d[0]);
	sink_kafka.write(w->sink, d[1]);
	world_close(w);
	assert_int_equal(w->answer_count, 2);
	assert_int_equal(w->answers[0].kind, SINK_FAILED);
	assert_int_equal(w->answers[1].kind, SINK_FAILED);
	world_free(w);
	delivery_free(d[0]);
	delivery_free(d[1]);
}

/* Said once, whatever was under way is answered, and nothing goes out any more. */
static void test_fatal(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 50, 7, 20), *later = delivery_new(50, 5, 7, 20);
	size_t fatals = 0, failures = 0;
	char text[400];

	(void)state;
	w->host.readers = 2;
	world_topic(w, "t", 1);
	brokers_set(w, false);
	world_open(w);
	sink_kafka.write(w->sink, d);
	rd_kafka_test_fatal_error(w->sink->channels[0]->rk,
				  RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "for the test");
	rd_kafka_test_fatal_error(w->sink->channels[1]->rk,
				  RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "for the test");
	world_wait(w, 1);
	sink_kafka.write(w->sink, later);
	world_wait(w, 2);
	assert_non_null(sink_kafka.trouble(w->sink, text, sizeof(text)));
	assert_non_null(strstr(text, "for the test"));
	world_close(w);
	assert_int_equal(w->answer_count, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct sink_answer *a = &w->answers[i];

		fatals += a->kind == SINK_FATAL;
		failures += a->kind == SINK_FAILED;
		if (a->kind == SINK_FATAL) {
			assert_int_equal(a->err.kind, ERROR_FENCED);
			assert_non_null(strstr(a->err.message, "for the test"));
		}
	}
	assert_int_equal(fatals, 1);
	assert_int_equal(failures, 2);
	world_free(w);
	delivery_free(d);
	delivery_free(later);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passing_errors),
		cmocka_unit_test(test_fails_from_the_first_failed_record),
		cmocka_unit_test(test_what_is_slow_does_not_overtake),
		cmocka_unit_test(test_too_large_for_us),
		cmocka_unit_test(test_the_culprit_of_a_refused_request),
		cmocka_unit_test(test_alone_and_innocent),
		cmocka_unit_test(test_broker_down_and_up),
		cmocka_unit_test(test_queue_full),
		cmocka_unit_test(test_topic_that_is_not_there),
		cmocka_unit_test(test_name_that_is_no_topic),
		cmocka_unit_test(test_purge),
		cmocka_unit_test(test_purge_in_flight),
		cmocka_unit_test(test_close_answers_all),
		cmocka_unit_test(test_fatal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
