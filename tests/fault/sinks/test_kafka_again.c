#include "tests/fault/sinks/kafka_cluster.h"

/* Records of dead letters once more, against librdkafka's mock cluster: the messages that a worker
 * makes of them, at least or exactly once. */

#define CHAIN "4f5c6d7e-0000-4000-8000-00000000000a"
#define GROUP "sluice." CHAIN "/events/again/shop"

static const _Atomic bool go_on = false, stopped = true;
static size_t sent, refused;
static struct error err;
static bool even_twice;

/* Each record is a delivery of its own. */
struct parcel {
	struct delivery *d[4];
	size_t count;
};

static struct parcel parcel_new(size_t count)
{
	struct parcel p = { .count = count };

	for (size_t i = 0; i < count; i++)
		p.d[i] = delivery_new(i + 1, 1, 100, 0);
	return p;
}

static void parcel_free(struct parcel *p)
{
	for (size_t i = 0; i < p->count; i++)
		delivery_free(p->d[i]);
}
#define PARCEL __attribute__((cleanup(parcel_free))) struct parcel

static bool deliver(struct world *w, const struct parcel *p, int64_t batch,
		    const _Atomic bool *stop)
{
	const struct sink_again b = { .chain = CHAIN,
				      .batch = batch,
				      .stream = "shop",
				      .records = (const struct delivery *const *)p->d,
				      .count = p->count,
				      .even_twice = even_twice };

	sent = refused = 99;
	return sink_kafka.again(&w->settings, &w->host, &b, stop, &sent, &refused, &err);
}

static void expect(struct world *w, const char *topic, const char *numbers)
{
	size_t count;
	struct seen *seen = world_consume(w, topic, 1, &count);

	assert_int_equal(count, strlen(numbers));
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen[i].n, numbers[i] - '0');
	free(seen);
}

static void they_are_the_same_messages(void **state)
{
	struct world *w = world_new(1);
	PARCEL p = parcel_new(2);
	struct seen *seen;
	size_t count;

	(void)state;
	world_topic(w, "t", 1);
	p.d[1]->batch->events[0].op = EVENT_DELETE;
	if (!deliver(w, &p, 1, &go_on))
		fail_msg("%s", err.message);
	assert_int_equal(sent, 2);
	assert_int_equal(refused, 2);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 3);
	assert_string_equal(seen[0].value, "{\"n\":1}");
	assert_string_equal(seen[0].key, "{\"pk\":1}");
	assert_string_equal(seen[0].headers,
			    "sluice.op=c;sluice.stream=shop;sluice.shard=shardId-1;"
			    "sluice.sequence=1;sluice.generation=7;sluice.order=0000000007-"
			    "0000000000000000000000000000000000000001;sluice.event_id=id;");
	assert_false(seen[1].tombstone);
	assert_true(seen[2].tombstone);
	assert_string_equal(seen[2].key, seen[1].key);
	free(seen);
	world_free(w);
}

static void several_events_of_a_record(void **state)
{
	struct world *w = world_new(1);
	PARCEL p = parcel_new(1);
	struct str payload = STR("{\"n\":1}\n{\"n\":2}");
	struct seen *seen;
	size_t count;

	(void)state;
	world_topic(w, "t", 1);
	p.d[0]->batch->several = true;
	p.d[0]->payloads = &payload;
	assert_true(deliver(w, &p, 1, &go_on));
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 2);
	assert_int_equal(seen[1].n, 2);
	assert_non_null(strstr(seen[1].headers, "sluice.part=2;"));
	free(seen);
	world_free(w);
}

static void each_goes_to_its_topic(void **state)
{
	struct world *w = world_new(1);
	PARCEL p = parcel_new(2);

	(void)state;
	w->settings.topic = "t.${op}";
	w->settings.tombstones = false;
	world_topic(w, "t.c", 1);
	world_topic(w, "t.d", 1);
	p.d[1]->batch->events[0].op = EVENT_DELETE;
	for (size_t i = 0; i < 2; i++)
		delivery_route(p.d[i], cluster_ops, 4, place_by_op);
	if (!deliver(w, &p, 1, &go_on))
		fail_msg("%s", err.message);
	expect(w, "t.c", "1");
	expect(w, "t.d", "2");
	/* What is told there is something else. */
	w->settings.control_topic = "t.d";
	assert_false(deliver(w, &p, 2, &go_on));
	assert_int_equal(sent, 1);
	assert_int_equal(refused, 1);
	world_free(w);
}

static void one_that_can_never_get_in_is_named(void **state)
{
	(void)state;
	for (long delivery = 0; delivery < 2; delivery++) {
		struct world *w = world_new(1);
		PARCEL p = parcel_new(3);

		w->settings.delivery = delivery;
		world_topic(w, "t", 1);
		world_property(w, "message.max.bytes", "50000");
		delivery_free(p.d[1]);
		p.d[1] = delivery_new(2, 1, 100, 60000);
		assert_false(deliver(w, &p, clock_aws_ms(&w->clock), &go_on));
		assert_int_equal(refused, 1);
		/* Of a transaction all or nothing is in. */
		assert_int_equal(sent, delivery == 0 ? 1 : 0);
		world_free(w);
	}
}

static void stop_does_not_wait_for_the_brokers(void **state)
{
	(void)state;
	for (long delivery = 0; delivery < 2; delivery++) {
		struct world *w = world_new(1);
		PARCEL p = parcel_new(1);

		w->settings.delivery = delivery;
		rd_kafka_mock_broker_set_down(w->mock, 1);
		assert_false(deliver(w, &p, 1, &stopped));
		assert_int_equal(sent, 0);
		assert_int_equal(refused, 1);
		world_free(w);
	}
}

static void a_batch_that_was_committed_is_not_sent_again(void **state)
{
	struct world *w = world_new(1);
	PARCEL p = parcel_new(2);
	int64_t number = clock_aws_ms(&w->clock);

	(void)state;
	w->settings.delivery = 1;
	world_topic(w, "t", 1);
	if (!deliver(w, &p, number, &go_on))
		fail_msg("%s", err.message);
	assert_int_equal(sent, 2);
	world_count(w, GROUP, "t", number);
	assert_true(deliver(w, &p, number, &go_on));
	assert_int_equal(sent, 2); /* as far as the caller is concerned */
	expect(w, "t", "12");
	assert_true(deliver(w, &p, number + 1, &go_on));
	expect(w, "t", "1212");
	world_free(w);
}

/* Exactly once, the first of two letters into t.c and the second into t.d. */
static void into_two_topics(struct world *w, struct parcel *p)
{
	w->settings.delivery = 1;
	w->settings.topic = "t.${op}";
	w->settings.tombstones = false;
	world_topic(w, "t.c", 1);
	world_topic(w, "t.d", 1);
	p->d[1]->batch->events[0].op = EVENT_DELETE;
	for (size_t i = 0; i < 2; i++)
		delivery_route(p->d[i], cluster_ops, 4, place_by_op);
}

/* A commit is counted at each of its topics: it is found whichever of its letters is left. */
static void whatever_is_left_of_it(void **state)
{
	struct world *w = world_new(1);
	PARCEL p = parcel_new(2);
	int64_t number = clock_aws_ms(&w->clock);

	(void)state;
	into_two_topics(w, &p);
	world_count(w, GROUP, "t.d", number);
	assert_true(deliver(w, &p, number, &go_on));
	assert_int_equal(sent, 2);
	expect(w, "t.c", "");
	expect(w, "t.d", "");
	world_free(w);
}

#define ADD_PARTITIONS 24

/* Whether a transaction has been written into, since the last look. */
static bool was_written_into(struct world *w)
{
	size_t left = 0;

	rd_kafka_mock_broker_error_stack_cnt(w->mock, 1, ADD_PARTITIONS, &left);
	if (left == 0)
		rd_kafka_mock_broker_push_request_error_rtts(w->mock, 1, ADD_PARTITIONS, 1,
							     RD_KAFKA_RESP_ERR_NO_ERROR, 0);
	return left == 0;
}

/* It ends with the lease: there is no time in it to look for one topic after the other. */
static void its_topics_are_met_before_its_transaction(void **state)
{
	struct world *w = world_new(1);
	PARCEL p = parcel_new(2);

	(void)state;
	into_two_topics(w, &p);
	rd_kafka_mock_topic_set_error(w->mock, "t.d", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	was_written_into(w);
	assert_false(deliver(w, &p, clock_aws_ms(&w->clock), &go_on));
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_non_null(strstr(err.message, "topic t.d: "));
	assert_int_equal(refused, 2); /* no record is at fault */
	assert_false(was_written_into(w));
	rd_kafka_mock_topic_set_error(w->mock, "t.d", RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_true(deliver(w, &p, clock_aws_ms(&w->clock), &go_on));
	assert_true(was_written_into(w));
	world_free(w);
}

/* A command that died, and came again when the brokers had forgotten the group's commit. */
static void one_whose_commit_may_be_forgotten_is_not_sent(void **state)
{
	struct world *w = world_new(1);
	PARCEL p = parcel_new(1);
	int64_t week_ago = clock_aws_ms(&w->clock) - 7LL * 24 * 60 * 60 * 1000;

	(void)state;
	w->settings.delivery = 1;
	world_topic(w, "t", 1);
	assert_false(deliver(w, &p, week_ago, &go_on));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_non_null(strstr(err.message, GROUP " has forgotten"));
	assert_int_equal(sent, 0);
	assert_int_equal(refused, 1); /* no letter is at fault */
	expect(w, "t", "");
	/* Of an earlier one it is known: so it was not committed. */
	world_count(w, GROUP, "t", week_ago - 1);
	assert_true(deliver(w, &p, week_ago, &go_on));
	expect(w, "t", "1");
	world_free(w);

	w = world_new(1);
	w->settings.delivery = 1;
	world_topic(w, "t", 1);
	even_twice = true;
	assert_true(deliver(w, &p, week_ago, &go_on));
	expect(w, "t", "1");
	even_twice = false;
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_the_same_messages),
		cmocka_unit_test(several_events_of_a_record),
		cmocka_unit_test(each_goes_to_its_topic),
		cmocka_unit_test(one_that_can_never_get_in_is_named),
		cmocka_unit_test(stop_does_not_wait_for_the_brokers),
		cmocka_unit_test(a_batch_that_was_committed_is_not_sent_again),
		cmocka_unit_test(whatever_is_left_of_it),
		cmocka_unit_test(its_topics_are_met_before_its_transaction),
		cmocka_unit_test(one_whose_commit_may_be_forgotten_is_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
