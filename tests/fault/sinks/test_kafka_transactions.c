/* Exactly once against librdkafka's mock cluster: what is in which transaction, and what becomes of
 * it where brokers refuse, delay or fence. */
#include "tests/fault/sinks/kafka_cluster.h"

#define PRODUCE           0
#define ADD_PARTITIONS    24
#define ADD_OFFSETS       25
#define END_TXN           26
#define TXN_OFFSET_COMMIT 28
#define INIT_PRODUCER_ID  22

static struct world *w;

static void begin(int partitions)
{
	w = world_new(1);
	w->settings.delivery = 1;
	world_topic(w, "t", partitions);
}

static void write_one(struct delivery *d)
{
	sink_kafka.write(w->sink, d);
}

static void wait_answer(size_t n, enum sink_answer_kind kind, size_t first, uint64_t roll)
{
	struct sink_answer a = world_wait(w, n);

	if (a.kind != kind)
		fail_msg("answer %zu is %d, not %d: %s", n, a.kind, kind, a.err.message);
	assert_int_equal(a.roll, roll);
	if (a.delivery)
		assert_int_equal(a.first, first);
}

static void wait_says(size_t n, enum sink_answer_kind kind, const char *words)
{
	struct sink_answer a = world_wait(w, n);

	assert_int_equal(a.kind, kind);
	if (!strstr(a.err.message, words))
		fail_msg("%s", a.err.message);
}

/* librdkafka needs a transaction that fails to mend what a refused request leaves. Returns the
 * number of the answer that is not that. */
static size_t write_until_in(struct delivery *d, size_t from)
{
	for (size_t n = from; n < from + 4; n++) {
		struct sink_answer a;

		write_one(d);
		a = world_wait(w, n);
		if (a.kind != SINK_FAILED || a.roll != 0)
			return n;
		assert_int_equal(a.first, d->first);
	}
	fail_msg("it never got in");
	return 0;
}

/* Was transaction `number` of the sink's producer committed? */
static bool buried_of(uint64_t number, int64_t closed_ms)
{
	struct buf blob = { 0 };
	struct error err = { 0 };
	bool committed = false;

	kafka_blob("sluice.0/events", "t", number, closed_ms, &blob);
	if (!sink_kafka.bury(&w->settings, &w->host, buf_str(&blob), &committed, &err))
		fail_msg("%s", err.message);
	buf_release(&blob);
	return committed;
}

static bool buried(uint64_t number)
{
	return buried_of(number, clock_aws_ms(&w->clock));
}

/* Taken and prepared as roll 1, then finished. */
static void assert_commits(size_t from)
{
	wait_answer(from, SINK_TAKEN, 10, 1);
	wait_answer(from + 1, SINK_PREPARED, 0, 1);
	sink_kafka.finish(w->sink, 1);
	wait_answer(from + 2, SINK_FINISHED, 0, 1);
}

static void a_transaction_is_taken_prepared_and_finished(void **state)
{
	struct delivery *d, *during;
	struct seen *seen;
	size_t count;

	(void)state;
	begin(2);
	world_open(w);
	d = delivery_new(1, 10, 4, 0);
	during = delivery_new(11, 10, 4, 0);
	write_one(d);
	wait_answer(0, SINK_TAKEN, 10, 1);
	wait_answer(1, SINK_PREPARED, 0, 1);
	write_one(during); /* goes into the next one */
	sink_kafka.finish(w->sink, 1);
	wait_answer(2, SINK_FINISHED, 0, 1);
	wait_answer(3, SINK_TAKEN, 10, 2);
	wait_answer(4, SINK_PREPARED, 0, 2);
	sink_kafka.finish(w->sink, 2);
	wait_answer(5, SINK_FINISHED, 0, 2);
	assert_int_equal(world_metric(w, METRIC_ROLLS, "committed"), 2);
	world_close(w);
	seen = world_consume(w, "t", 2, &count);
	assert_int_equal(count, 20);
	assert_false(buried(2));
	world_count(w, "sluice.0/events", "t", 2);
	assert_true(buried(2));
	assert_false(buried(3));
	free(seen);
	delivery_free(d);
	delivery_free(during);
	world_free(w);
}

/* What librdkafka calls retriable it is asked again, in every step. */
static void what_may_be_tried_again_is(void **state)
{
	struct delivery *d = delivery_new(1, 10, 4, 0);

	(void)state;
	begin(1);
	rd_kafka_mock_push_request_errors(w->mock, INIT_PRODUCER_ID, 2,
					  RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
					  RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
	rd_kafka_mock_push_request_errors(w->mock, ADD_PARTITIONS, 1,
					  RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 1,
					  RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
	rd_kafka_mock_push_request_errors(w->mock, ADD_OFFSETS, 1,
					  RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
	rd_kafka_mock_push_request_errors(w->mock, TXN_OFFSET_COMMIT, 1,
					  RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
	rd_kafka_mock_push_request_errors(w->mock, END_TXN, 1,
					  RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
	world_open(w);
	write_one(d);
	assert_commits(0);
	world_free(w);
	delivery_free(d);
}

/* Everything of it comes again, as nothing was answered yet. */
static void what_spoils_a_transaction_aborts_it(void **state)
{
	struct delivery *d = delivery_new(1, 10, 4, 0);

	(void)state;
	begin(1);
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 1,
					  RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
	world_open(w);
	write_one(d);
	wait_answer(0, SINK_FAILED, 0, 0);
	wait_says(0, SINK_FAILED, "allow IDEMPOTENT_WRITE");
	assert_int_equal(world_metric(w, METRIC_ROLLS, "aborted"), 1);
	assert_commits(write_until_in(d, 1));
	world_free(w);
	delivery_free(d);
}

/* A request was refused for one of its records: half of them come again. */
static void a_refused_request_is_halved(void **state)
{
	struct delivery *d = delivery_new(1, 10, 1, 0);

	(void)state;
	begin(1);
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 1,
					  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	world_open(w);
	write_one(d);
	wait_answer(0, SINK_FAILED, 5, 1); /* the first half is in */
	wait_answer(1, SINK_PREPARED, 0, 1);
	sink_kafka.finish(w->sink, 1);
	wait_answer(2, SINK_FINISHED, 0, 1);
	d->first = 5;
	write_one(d);
	wait_answer(3, SINK_TAKEN, 10, 2);
	world_free(w);
	delivery_free(d);
}

/* Until it is one. Of two deliveries the other one is not accused. */
static void the_record_that_is_refused_is_found(void **state)
{
	struct delivery *d = delivery_new(1, 2, 1, 0);

	(void)state;
	begin(1);
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 2, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
					  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	world_open(w);
	write_one(d);
	wait_answer(0, SINK_REFUSED, 0, 0);
	wait_says(0, SINK_REFUSED, "max.message.bytes");
	assert_int_equal(world_metric(w, METRIC_ROLLS, "aborted"), 2);
	d->first = 1;
	wait_answer(write_until_in(d, 1), SINK_TAKEN, 2, 1);
	world_free(w);
	delivery_free(d);
}

/* What is too large for librdkafka is known before anything of it is sent. */
static void what_is_too_large_is_left_out(void **state)
{
	struct delivery *d = delivery_new(1, 4, 1, 0), *large = delivery_new(3, 1, 1, 100000);

	(void)state;
	begin(1);
	world_property(w, "message.max.bytes", "50000");
	((struct str *)(uintptr_t)d->payloads)[2] = large->payloads[0];
	world_open(w);
	write_one(d);
	wait_answer(0, SINK_REFUSED, 2, 1); /* those before it are in */
	wait_answer(1, SINK_PREPARED, 0, 1);
	sink_kafka.finish(w->sink, 1);
	wait_answer(2, SINK_FINISHED, 0, 1);
	d->first = 3;
	write_one(d);
	wait_answer(3, SINK_TAKEN, 4, 2);
	world_free(w);
	delivery_free(d);
	delivery_free(large);
}

/* The second event of a record is: the first one, which went, is not to stay. */
static void of_several_events_all_go_or_none(void **state)
{
	struct delivery *d = delivery_new(1, 4, 1, 0), *large = delivery_new(3, 1, 1, 60000);
	struct str *payloads = (struct str *)(uintptr_t)d->payloads;
	char *two = memory_resize(NULL, 70000);

	(void)state;
	begin(1);
	world_property(w, "message.max.bytes", "50000");
	payloads[2].n = (size_t)sprintf(two, "{\"n\":3}\n%.*s", STR_ARG(large->payloads[0]));
	payloads[2].p = two;
	d->batch->several = true;
	world_open(w);
	write_one(d);
	wait_answer(0, SINK_REFUSED, 2, 1);
	wait_says(0, SINK_REFUSED, "message.max.bytes");
	wait_answer(1, SINK_PREPARED, 0, 1);
	assert_int_equal(world_metric(w, METRIC_ROLLS, "aborted"), 1);
	sink_kafka.finish(w->sink, 1);
	wait_answer(2, SINK_FINISHED, 0, 1);
	d->first = 3;
	write_one(d);
	wait_answer(3, SINK_TAKEN, 4, 2);
	/* Where it is the first one, nothing goes before it. */
	wait_answer(4, SINK_PREPARED, 0, 2);
	sink_kafka.finish(w->sink, 2);
	wait_answer(5, SINK_FINISHED, 0, 2);
	d->first = 2;
	write_one(d);
	wait_answer(6, SINK_REFUSED, 2, 0);
	world_free(w);
	delivery_free(d);
	delivery_free(large);
	free(two);
}

/* After it was prepared nothing can be sent again. */
static void assert_ends_the_session(int16_t request, rd_kafka_resp_err_t code, const char *words)
{
	struct delivery *d = delivery_new(1, 10, 4, 0), *late = delivery_new(11, 1, 1, 0);

	begin(1);
	world_open(w);
	write_one(d);
	wait_answer(0, SINK_TAKEN, 10, 1);
	wait_answer(1, SINK_PREPARED, 0, 1);
	rd_kafka_mock_push_request_errors(w->mock, request, 1, code);
	sink_kafka.finish(w->sink, 1);
	wait_says(2, SINK_FATAL, words);
	write_one(late);
	wait_answer(3, SINK_FAILED, 0, 0);
	world_free(w);
	delivery_free(d);
	delivery_free(late);
}

static void a_fenced_producer_ends_the_session(void **state)
{
	(void)state;
	assert_ends_the_session(END_TXN, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, "fenced");
	assert_ends_the_session(ADD_OFFSETS, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "fenced");
}

static void what_cannot_be_committed_ends_the_session(void **state)
{
	(void)state;
	assert_ends_the_session(TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
				"allow READ on groups");
}

static void who_may_not_begin_ends_the_session(void **state)
{
	(void)state;
	begin(1);
	rd_kafka_mock_push_request_errors(w->mock, INIT_PRODUCER_ID, 1,
					  RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
	world_open(w);
	assert_int_equal(world_wait(w, 0).kind, SINK_FATAL);
	world_free(w);
}

/* The lease is over, or the session ends: what was not prepared is nobody's. */
static void a_purge_answers_what_is_open(void **state)
{
	struct delivery *d = delivery_new(1, 10, 4, 0), *late = delivery_new(11, 1, 1, 0);

	(void)state;
	begin(1);
	world_open(w);
	write_one(d);
	wait_answer(0, SINK_TAKEN, 10, 1);
	wait_answer(1, SINK_PREPARED, 0, 1);
	write_one(late);
	sink_kafka.purge(w->sink);
	wait_answer(2, SINK_FAILED, 0, 0);
	sink_kafka.finish(w->sink, 1); /* it is too late */
	world_close(w);
	assert_int_equal(w->answer_count, 3);
	assert_false(buried(1));
	world_free(w);
	delivery_free(d);
	delivery_free(late);
}

static void brokers_that_are_away_lose_nothing(void **state)
{
	struct delivery *d = delivery_new(1, 10, 4, 0);

	(void)state;
	begin(1);
	rd_kafka_mock_broker_set_down(w->mock, 1);
	world_open(w);
	write_one(d);
	sink_kafka.prepare(w->sink); /* nothing is open */
	rd_kafka_mock_broker_set_up(w->mock, 1);
	assert_commits(0);
	world_free(w);
	delivery_free(d);
}

static void a_close_does_not_wait_for_brokers_that_are_away(void **state)
{
	struct delivery *d = delivery_new(1, 10, 4, 0);

	(void)state;
	begin(1);
	rd_kafka_mock_broker_set_down(w->mock, 1);
	world_open(w);
	write_one(d);
	world_close(w);
	wait_answer(0, SINK_FAILED, 0, 0);
	world_free(w);
	delivery_free(d);
}

static void a_stored_transaction_that_is_damaged_is_no_one_s(void **state)
{
	static const struct {
		const char *blob, *words;
	} cases[] = {
		{ "", "cannot be read" },
		{ "{\"version\":1}", "cannot be read" },
		{ "{\"version\":1,\"type\":\"s3\"}", "type s3" },
		{ "{\"version\":9,\"type\":\"kafka\"}", "form 9" },
		{ "{\"version\":1,\"type\":\"kafka\",\"id\":\"a\",\"topic\":\"t\"}", "lacks" },
		{ "{\"version\":1,\"type\":\"kafka\",\"id\":\"a\",\"topic\":\"t\",\"number\":0}",
		  "lacks" },
	};

	(void)state;
	begin(1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = { 0 };
		bool committed = true;

		assert_false(sink_kafka.bury(&w->settings, &w->host, str_of(cases[i].blob),
					     &committed, &err));
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_non_null(strstr(err.message, cases[i].words));
		assert_false(committed);
	}
	world_free(w);
}

/* Nobody came for a week, after which brokers forget: it is dropped, as nothing may be lost, and
 * not in silence. */
static void a_commit_may_be_forgotten(void **state)
{
	int64_t week_ago_ms;

	(void)state;
	begin(1);
	week_ago_ms = clock_aws_ms(&w->clock) - 7LL * 24 * 60 * 60 * 1000;
	assert_false(buried(1));
	assert_int_equal(world_metric(w, METRIC_ROLLS, "dropped"), 1);
	assert_false(buried_of(2, week_ago_ms));
	assert_int_equal(world_metric(w, METRIC_ROLLS, "forgotten"), 1);
	world_count(w, "sluice.0/events", "t", 1);
	assert_false(buried_of(2, week_ago_ms)); /* an earlier one is known */
	assert_int_equal(world_metric(w, METRIC_ROLLS, "forgotten"), 1);
	assert_int_equal(world_metric(w, METRIC_ROLLS, "dropped"), 2);
	world_free(w);
}

static void a_sweep_takes_the_producer_s_place(void **state)
{
	struct error err = { 0 };

	(void)state;
	begin(1);
	assert_true(sink_kafka.sweep(&w->settings, &w->host, "another", &err));
	rd_kafka_mock_push_request_errors(w->mock, INIT_PRODUCER_ID, 1,
					  RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
	assert_false(sink_kafka.sweep(&w->settings, &w->host, "another", &err));
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_non_null(strstr(err.message, "sluice.another/events"));
	world_free(w);
}

static void a_check_tries_a_transaction(void **state)
{
	struct buf said = { 0 };
	struct error err = { 0 };

	(void)state;
	begin(6);
	assert_true(sink_kafka.check(&w->settings, &w->host, &said, &err));
	assert_string_equal(said.data,
			    "1 broker, topic t with 6 partitions, transactions are allowed");
	rd_kafka_mock_push_request_errors(w->mock, TXN_OFFSET_COMMIT, 1,
					  RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
	assert_false(sink_kafka.check(&w->settings, &w->host, &said, &err));
	/* Under the prefix that ACLs are given for, and no session's. */
	assert_non_null(strstr(err.message, "transactional id and group sluice.check-"));
	assert_non_null(strstr(err.message, "/events: "));
	assert_non_null(strstr(err.message, "allow READ on groups"));
	w->settings.topic = "dynamodb.${table}";
	buf_clear(&said);
	assert_true(sink_kafka.check(&w->settings, &w->host, &said, &err));
	assert_non_null(strstr(said.data, "the first one tells"));
	buf_release(&said);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_transaction_is_taken_prepared_and_finished),
		cmocka_unit_test(what_may_be_tried_again_is),
		cmocka_unit_test(what_spoils_a_transaction_aborts_it),
		cmocka_unit_test(a_refused_request_is_halved),
		cmocka_unit_test(the_record_that_is_refused_is_found),
		cmocka_unit_test(what_is_too_large_is_left_out),
		cmocka_unit_test(of_several_events_all_go_or_none),
		cmocka_unit_test(a_fenced_producer_ends_the_session),
		cmocka_unit_test(what_cannot_be_committed_ends_the_session),
		cmocka_unit_test(who_may_not_begin_ends_the_session),
		cmocka_unit_test(a_purge_answers_what_is_open),
		cmocka_unit_test(brokers_that_are_away_lose_nothing),
		cmocka_unit_test(a_close_does_not_wait_for_brokers_that_are_away),
		cmocka_unit_test(a_stored_transaction_that_is_damaged_is_no_one_s),
		cmocka_unit_test(a_commit_may_be_forgotten),
		cmocka_unit_test(a_sweep_takes_the_producer_s_place),
		cmocka_unit_test(a_check_tries_a_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
