#include "tests/fault/sinks/kafka_cluster.h"

/* Dead letters against librdkafka's mock cluster: in their order, at least or exactly once. */

#define PRODUCE 0 /* ApiKey */
#define END_TXN 26
#define CHAIN   "4f5c6d7e-0000-4000-8000-00000000000a"
#define GROUP   "sluice." CHAIN "/events/letters/shop"

static const _Atomic bool go_on = false, stopped = true;
static char large[70000]; /* a letter that the producer's limit keeps out */
static struct sink_letter letters[] = {
	{ "shard-1", "11", "refused", { "{\"n\":1}", 7 } },
	{ "shard-1", "12", "transform", { "{\"n\":2}", 7 } },
	{ "shard-2", "13", "refused", { "{\"n\":3}", 7 } },
};
static size_t sent, refused;
static struct error err;

static struct world *world_lettered(long delivery)
{
	struct world *w = world_new(1);

	w->settings.topic = "letters.${stream}";
	w->settings.delivery = delivery;
	world_topic(w, "letters.shop", 1);
	return w;
}

static bool deliver(struct world *w, int64_t batch, const _Atomic bool *stop)
{
	const struct sink_letters b = {
		.chain = CHAIN, .batch = batch, .source = &orders, .letters = letters, .count = 3
	};

	sent = refused = 99;
	return sink_kafka.letters(&w->settings, &w->host, &b, stop, &sent, &refused, &err);
}

static void expect(struct world *w, const char *numbers)
{
	size_t count;
	struct seen *seen = world_consume(w, "letters.shop", 1, &count);

	assert_int_equal(count, strlen(numbers));
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen[i].n, numbers[i] - '0');
	free(seen);
}

static void they_come_with_their_place(void **state)
{
	struct world *w = world_lettered(0);
	struct seen *seen;
	size_t count;

	(void)state;
	if (!deliver(w, 1, &go_on))
		fail_msg("%s", err.message);
	assert_int_equal(sent, 3);
	assert_int_equal(refused, 3);
	seen = world_consume(w, "letters.shop", 1, &count);
	assert_int_equal(count, 3);
	assert_string_equal(seen[0].value, "{\"n\":1}");
	assert_string_equal(seen[0].key, "shard-1");
	assert_string_equal(seen[1].headers, "sluice.stream=shop;sluice.shard=shard-1;"
					     "sluice.sequence=12;sluice.reason=transform;");
	assert_string_equal(seen[2].key, "shard-2");
	free(seen);
	world_free(w);
}

static void what_is_in_is_not_sent_again(void **state)
{
	struct world *w = world_lettered(0);

	(void)state;
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 2, RD_KAFKA_RESP_ERR_NO_ERROR,
					  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	assert_false(deliver(w, 1, &go_on));
	assert_int_equal(sent, 1);
	assert_int_equal(refused, 3); /* it may be allowed later */
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_non_null(strstr(err.message, "topic letters.shop"));
	expect(w, "1");
	world_free(w);
}

static void one_that_can_never_get_in_is_named(void **state)
{
	(void)state;
	for (long delivery = 0; delivery < 2; delivery++) {
		struct world *w = world_lettered(delivery);
		struct str was = letters[1].json;

		world_property(w, "message.max.bytes", "50000");
		letters[1].json = (struct str){ large, sizeof(large) };
		assert_false(deliver(w, 1, &go_on));
		assert_int_equal(refused, 1);
		/* Of a transaction all or nothing is in. */
		assert_int_equal(sent, delivery == 0 ? 1 : 0);
		letters[1].json = was;
		world_free(w);
	}
}

static void stop_does_not_wait_for_the_brokers(void **state)
{
	(void)state;
	for (long delivery = 0; delivery < 2; delivery++) {
		struct world *w = world_lettered(delivery);

		rd_kafka_mock_broker_set_down(w->mock, 1);
		assert_false(deliver(w, 1, &stopped));
		assert_int_equal(sent, 0);
		world_free(w);
	}
}

static void brokers_that_are_away_are_told_of(void **state)
{
	(void)state;
	for (long delivery = 0; delivery < 2; delivery++) {
		struct world *w = world_lettered(delivery);

		w->host.lease_ms = 4000;
		rd_kafka_mock_broker_set_down(w->mock, 1);
		assert_false(deliver(w, 1, &go_on));
		assert_int_equal(sent, 0);
		assert_int_equal(refused, 3);
		assert_int_equal(err.kind, ERROR_RETRY);
		world_free(w);
	}
}

/* --- exactly once --- */

static void a_batch_that_was_committed_is_not_sent_again(void **state)
{
	struct world *w = world_lettered(1);

	(void)state;
	if (!deliver(w, 1700000000000, &go_on))
		fail_msg("%s", err.message);
	assert_int_equal(sent, 3);
	expect(w, "123");
	world_count(w, GROUP, "letters.shop", 1700000000000);
	assert_true(deliver(w, 1700000000000, &go_on));
	assert_int_equal(sent, 3);                      /* as far as the caller is concerned */
	assert_true(deliver(w, 1600000000000, &go_on)); /* a worker that slept for long */
	expect(w, "123");
	assert_true(deliver(w, 1700000000001, &go_on));
	expect(w, "123123");
	world_free(w);
}

static void a_commit_that_fails_is_tried_again(void **state)
{
	struct world *w = world_lettered(1);

	(void)state;
	rd_kafka_mock_push_request_errors(w->mock, END_TXN, 1,
					  RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
	assert_false(deliver(w, 1, &go_on));
	assert_int_equal(sent, 0);
	assert_int_equal(refused, 3);
	if (!deliver(w, 1, &go_on))
		fail_msg("%s", err.message);
	assert_int_equal(sent, 3);
	world_free(w);
}

static void topics_of_their_own(void **state)
{
	struct kafka_settings s = { .topic = KAFKA_TOPIC_DEFAULT };

	(void)state;
	assert_false(kafka_letters_validate(&s, &err));
	assert_non_null(strstr(err.message, "a topic of their own"));
	s.topic = "letters.${op}";
	assert_false(kafka_letters_validate(&s, &err));
	assert_non_null(strstr(err.message, "and nothing else"));
	s.topic = "letters.${stream}.${table}";
	assert_true(kafka_letters_validate(&s, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_with_their_place),
		cmocka_unit_test(what_is_in_is_not_sent_again),
		cmocka_unit_test(one_that_can_never_get_in_is_named),
		cmocka_unit_test(stop_does_not_wait_for_the_brokers),
		cmocka_unit_test(brokers_that_are_away_are_told_of),
		cmocka_unit_test(a_batch_that_was_committed_is_not_sent_again),
		cmocka_unit_test(a_commit_that_fails_is_tried_again),
		cmocka_unit_test(topics_of_their_own),
	};

	memset(large, '1', sizeof(large));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
