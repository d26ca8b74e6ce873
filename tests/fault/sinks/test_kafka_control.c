#include "tests/fault/sinks/kafka_cluster.h"

/* Control events, and what is said of topics' partitions, against librdkafka's mock cluster. */

#define PRODUCE 0 /* ApiKey */

static const _Atomic bool go_on = false, stopped = true;
static const struct sink_control events[] = {
	{ .id = 7,
	  .kind = "repair",
	  .phase = "begin",
	  .source = &orders,
	  .json = { "{\"id\":7}", 8 } },
	{ .id = 8,
	  .kind = "repair",
	  .phase = "end",
	  .source = &orders,
	  .json = { "{\"id\":8}", 8 },
	  .end = true,
	  .rolls = "" },
};

static struct world *world_told(void)
{
	struct world *w = world_new(1);

	w->settings.control_topic = "control";
	world_topic(w, "control", 1);
	return w;
}

static bool tell(struct world *w, const _Atomic bool *stop, size_t *told, struct error *err)
{
	return sink_kafka.control(&w->settings, &w->host, events, 2, stop, told, err);
}

static void expect_told(struct world *w, size_t n, const char *const *values)
{
	size_t count;
	struct seen *seen = world_consume(w, "control", 1, &count);

	assert_int_equal(count, n);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(seen[i].key, "shop");
		assert_string_equal(seen[i].value, values[i]);
	}
	free(seen);
}

static void test_an_end_says_how_far_the_data_reaches(void **state)
{
	struct world *w = world_told();
	struct delivery *d = delivery_new(0, 6, 10, 20);
	struct error err = { 0 };
	size_t told = 0;

	(void)state;
	w->settings.topic = "dynamodb.${table}.${op}";
	w->settings.tombstones = false;
	d->batch->events[2].op = EVENT_DELETE;
	delivery_route(d, cluster_ops, 4, place_by_op);
	world_topic(w, "dynamodb.orders.c", 1);
	world_topic(w, "dynamodb.orders.d", 2); /* and r and u: nothing ever went there */
	world_open(w);
	assert_true(sink_kafka.tells(&w->settings));
	sink_kafka.write(w->sink, d);
	assert_int_equal(world_wait(w, 0).kind, SINK_TAKEN);
	if (!tell(w, &go_on, &told, &err))
		fail_msg("%s", err.message);
	assert_int_equal(told, 2);
	int place = rd_kafka_msg_partitioner_murmur2(NULL, "{\"pk\":2}", 8, 2, NULL, NULL);

	expect_told(w, 2,
		    (const char *const[]){
			    "{\"id\":7}",
			    place == 0 ? "{\"id\":8,\"offsets\":{\"dynamodb.orders.c\":{\"0\":5},"
					 "\"dynamodb.orders.d\":{\"0\":1,\"1\":0}}}"
				       : "{\"id\":8,\"offsets\":{\"dynamodb.orders.c\":{\"0\":5},"
					 "\"dynamodb.orders.d\":{\"0\":0,\"1\":1}}}" });
	world_free(w);
	delivery_free(d);
}

/* What is refused keeps what comes behind it back, and is told again. */
static void test_what_is_refused_is_told_again_in_its_order(void **state)
{
	struct world *w = world_told();
	struct error err = { 0 };
	size_t told = 9;

	(void)state;
	rd_kafka_mock_push_request_errors(w->mock, PRODUCE, 2, RD_KAFKA_RESP_ERR_NO_ERROR,
					  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	assert_false(tell(w, &go_on, &told, &err));
	assert_int_equal(told, 1);
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_non_null(strstr(err.message, "topic control"));
	assert_true(tell(w, &go_on, &told, &err));
	assert_int_equal(told, 2);
	expect_told(
		w, 3,
		(const char *const[]){ "{\"id\":7}", "{\"id\":7}", "{\"id\":8,\"offsets\":{}}" });
	world_free(w);
}

static void test_stop_does_not_wait_for_the_brokers(void **state)
{
	struct world *w = world_told();
	struct error err = { 0 };
	size_t told = 9;

	(void)state;
	rd_kafka_mock_broker_set_down(w->mock, 1);
	assert_false(tell(w, &stopped, &told, &err));
	assert_int_equal(told, 0);
	assert_int_equal(err.kind, ERROR_CANCELLED);
	world_free(w);
}

static void test_without_a_topic_nothing_is_told(void **state)
{
	struct world *w = world_new(1);

	(void)state;
	assert_false(sink_kafka.tells(&w->settings));
	world_free(w);
}

/* --- partitions --- */

static void expect_partitions(struct world *w, const char *said)
{
	for (bool there = false; !there;) {
		pthread_mutex_lock(&w->lock);
		there = strlen(w->partitions) >= strlen(said);
		pthread_mutex_unlock(&w->lock);
	}
	assert_string_equal(w->partitions, said);
}

static void test_partitions_are_said_once_for_each_stream(void **state)
{
	struct world *w = world_new(1);
	struct source other = orders;
	struct delivery *d[3];

	(void)state;
	other.stream = "another";
	world_topic(w, "t", 5);
	world_open(w);
	for (int i = 0; i < 3; i++) {
		d[i] = delivery_new(0, 6, 10, 20);
		if (i == 2)
			d[i]->batch->source = &other;
		sink_kafka.write(w->sink, d[i]);
		assert_int_equal(world_wait(w, (size_t)i).kind, SINK_TAKEN);
		expect_partitions(w, i < 2 ? "t shop 5;" : "t shop 5;t another 5;");
	}
	world_free(w);
	for (int i = 0; i < 3; i++)
		delivery_free(d[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_end_says_how_far_the_data_reaches),
		cmocka_unit_test(test_what_is_refused_is_told_again_in_its_order),
		cmocka_unit_test(test_stop_does_not_wait_for_the_brokers),
		cmocka_unit_test(test_without_a_topic_nothing_is_told),
		cmocka_unit_test(test_partitions_are_said_once_for_each_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
