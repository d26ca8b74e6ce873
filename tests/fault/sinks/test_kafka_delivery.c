#include "tests/fault/sinks/kafka_cluster.h"

/* The sink against a cluster that works. */

static void expect_taken(struct world *w, size_t n, const struct delivery *d)
{
	struct sink_answer a = world_wait(w, n);

	if (a.kind != SINK_TAKEN)
		fail_msg("answer %zu is %d: %s", n, (int)a.kind, a.err.message);
	assert_int_equal(a.sink, 3);
	assert_ptr_equal(a.delivery, d);
	assert_int_equal(a.roll, 0);
}

static void test_order_keys_headers(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(100, 500, 5, 200);
	struct seen *seen;
	size_t count;

	(void)state;
	world_topic(w, "t", 1);
	world_open(w);
	sink_kafka.write(w->sink, d);
	expect_taken(w, 0, d);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 500);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen[i].n, 100 + i);
	assert_string_equal(seen[3].key, "{\"pk\":3}");
	assert_string_equal(seen[3].headers,
			    "sluice.op=c;sluice.stream=shop;sluice.shard=shardId-1;"
			    "sluice.sequence=103;sluice.generation=7;"
			    "sluice.order=0000000007-0000000000000000000000000000000000000103;"
			    "sluice.event_id=id;");
	assert_int_equal(world_metric(w, METRIC_DELIVERED, NULL), 500);
	assert_int_equal(world_metric(w, METRIC_DELIVERED_BYTES, NULL), 500 * 200);
	assert_int_equal(world_metric(w, METRIC_SINK_UNANSWERED_BYTES, NULL), 0);
	free(seen);
	world_free(w);
	delivery_free(d);
}

/* Headers are used again by later messages, whatever those look like. */
static void test_headers_of_later_messages(void **state)
{
	struct world *w = world_new(1);
	struct source rewound = orders;
	struct delivery *d[4];
	struct seen *seen;
	size_t count;

	(void)state;
	rewound.generation = 12;
	for (size_t i = 0; i < 4; i++)
		d[i] = delivery_new(i == 1 ? 5000 : 100 + i, 3, 5, 20);
	d[1]->batch->source = &rewound;
	d[2]->batch->shard = NULL;
	d[2]->batch->events[1].op = EVENT_DELETE;
	d[3]->batch->events[1].id = STR("di");
	world_topic(w, "t", 1);
	world_open(w);
	for (size_t i = 0; i < 4; i++) {
		sink_kafka.write(w->sink, d[i]);
		expect_taken(w, i, d[i]);
	}
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 13);
	assert_string_equal(seen[4].headers,
			    "sluice.op=c;sluice.stream=shop;sluice.shard=shardId-1;"
			    "sluice.sequence=5001;sluice.generation=12;"
			    "sluice.order=0000000012-0000000000000000000000000000000000005001;"
			    "sluice.event_id=id;");
	assert_string_equal(seen[7].headers,
			    "sluice.op=d;sluice.stream=shop;sluice.sequence=103;"
			    "sluice.generation=7;"
			    "sluice.order=0000000007-0000000000000000000000000000000000000103;"
			    "sluice.event_id=id;");
	assert_string_equal(seen[8].headers, seen[7].headers);
	assert_string_equal(seen[11].headers,
			    "sluice.op=c;sluice.stream=shop;sluice.shard=shardId-1;"
			    "sluice.sequence=104;sluice.generation=7;"
			    "sluice.order=0000000007-0000000000000000000000000000000000000104;"
			    "sluice.event_id=di;");
	free(seen);
	world_free(w);
	for (size_t i = 0; i < 4; i++)
		delivery_free(d[i]);
}

/* Rows of an export have no shard and no event id. */
static void test_header_without_value_is_absent(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 1, 1, 20);
	struct seen *seen;
	size_t count;

	(void)state;
	d->batch->shard = NULL;
	d->batch->events[0].op = EVENT_READ;
	d->batch->events[0].id = (struct str){ NULL, 0 };
	world_topic(w, "t", 1);
	world_open(w);
	sink_kafka.write(w->sink, d);
	expect_taken(w, 0, d);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 1);
	assert_string_equal(seen[0].headers,
			    "sluice.op=r;sluice.stream=shop;sluice.sequence=0;sluice.generation=7;"
			    "sluice.order=0000000007-0000000000000000000000000000000000000000;");
	free(seen);
	world_free(w);
	delivery_free(d);
}

static void deletes(bool tombstones)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(1, 3, 10, 20);
	struct seen *seen;
	size_t count;

	w->settings.tombstones = tombstones;
	d->batch->events[1].op = EVENT_DELETE;
	world_topic(w, "t", 1);
	world_open(w);
	sink_kafka.write(w->sink, d);
	expect_taken(w, 0, d);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, tombstones ? 4 : 3);
	assert_int_equal(seen[1].n, 2);
	assert_false(seen[1].tombstone);
	if (tombstones) {
		assert_true(seen[2].tombstone);
		assert_string_equal(seen[2].key, seen[1].key);
		assert_string_equal(seen[2].headers, seen[1].headers);
		assert_non_null(strstr(seen[2].headers, "sluice.op=d;"));
	}
	assert_int_equal(seen[count - 1].n, 3);
	assert_int_equal(world_metric(w, METRIC_DELIVERED, NULL), 3);
	free(seen);
	world_free(w);
	delivery_free(d);
}

static void test_tombstones(void **state)
{
	(void)state;
	deletes(true);
	deletes(false);
}

static void test_begins_at_first_and_skips_what_is_not_for_it(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 10, 10, 20);
	struct delivery *none = delivery_new(0, 2, 10, 20);
	struct delivery *empty = delivery_new(0, 0, 10, 20);
	struct str *payloads = memory_array(10, sizeof(*payloads));
	struct str nothing[2] = { { NULL, 0 } };
	const long expected[] = { 3, 5, 6, 7, 8 };
	struct seen *seen;
	size_t count;

	(void)state;
	memcpy(payloads, d->payloads, 10 * sizeof(*payloads));
	payloads[4].p = payloads[9].p = NULL;
	d->payloads = payloads;
	d->first = 3;
	none->payloads = nothing;
	world_topic(w, "t", 1);
	world_open(w);
	sink_kafka.write(w->sink, none);
	expect_taken(w, 0, none);
	sink_kafka.write(w->sink, empty);
	expect_taken(w, 1, empty);
	sink_kafka.write(w->sink, d);
	expect_taken(w, 2, d);
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 5);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen[i].n, expected[i]);
	assert_int_equal(world_metric(w, METRIC_DELIVERED, NULL), 5);
	free(seen);
	free(payloads);
	world_free(w);
	delivery_free(d);
	delivery_free(none);
	delivery_free(empty);
}

/* A script made several of records 1 and 3, of which the last is a delete: messages one behind the
 * other, of one key, each with its number; then the tombstone. */
static void several_events_of_a_record_are_messages_in_their_order(void **state)
{
	static const struct {
		const char *value, *part;
	} expected[] = { { "{\"n\":0}", NULL }, { "{\"n\":10}", "1" }, { "{\"n\":11}", "2" },
			 { "{\"n\":12}", "3" }, { "{\"n\":2}", NULL }, { "{\"n\":30}", "1" },
			 { "{\"n\":31}", "2" }, { "", NULL },          { "{\"n\":4}", NULL } };
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 5, 1, 0);
	struct str *payloads = (struct str *)(uintptr_t)d->payloads;
	struct seen *seen;
	size_t count;

	(void)state;
	payloads[1] = STR("{\"n\":10}\n{\"n\":11}\n{\"n\":12}");
	payloads[3] = STR("{\"n\":30}\n{\"n\":31}");
	d->batch->several = true;
	d->batch->events[3].op = EVENT_DELETE;
	world_topic(w, "t", 1);
	world_open(w);
	/* Again: with headers that the first time left. */
	for (size_t again = 0; again < 2; again++) {
		sink_kafka.write(w->sink, d);
		expect_taken(w, again, d);
	}
	seen = world_consume(w, "t", 1, &count);
	assert_int_equal(count, 18);
	for (size_t i = 0; i < count; i++) {
		const char *part = strstr(seen[i].headers, "sluice.part=");

		assert_string_equal(seen[i].value, expected[i % 9].value);
		assert_string_equal(seen[i].key, "{\"pk\":0}");
		assert_int_equal(part != NULL, expected[i % 9].part != NULL);
		if (part)
			assert_memory_equal(part + strlen("sluice.part="), expected[i % 9].part, 1);
	}
	assert_int_equal(world_metric(w, METRIC_DELIVERED, NULL), 10);
	free(seen);
	world_free(w);
	delivery_free(d);
}

static void test_topic_by_table_and_op(void **state)
{
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 6, 10, 20);
	struct seen *seen;
	size_t count;

	(void)state;
	w->settings.topic = "dynamodb.${table}.${op}";
	w->settings.tombstones = false;
	d->batch->events[2].op = d->batch->events[5].op = EVENT_DELETE;
	delivery_route(d, cluster_ops, 4, place_by_op);
	world_topic(w, "dynamodb.orders.c", 1);
	world_topic(w, "dynamodb.orders.d", 1);
	world_open(w);
	sink_kafka.write(w->sink, d);
	expect_taken(w, 0, d);
	seen = world_consume(w, "dynamodb.orders.d", 1, &count);
	assert_int_equal(count, 2);
	assert_int_equal(seen[0].n, 2);
	assert_int_equal(seen[1].n, 5);
	free(seen);
	seen = world_consume(w, "dynamodb.orders.c", 1, &count);
	assert_int_equal(count, 4);
	free(seen);
	world_free(w);
	delivery_free(d);
}

static size_t place_by_number(const struct delivery *d, size_t event)
{
	(void)d;
	return event % 4;
}

/* What can be no topic is refused, at its record; the rest goes on behind it. */
static void test_topics_that_cannot_be(void **state)
{
	static char text[251];
	const struct str towns[] = { STR("a"), { text, 250 }, STR("control"), STR("b") };
	static const char *const why[] = { NULL, "gives a name that Kafka does not take",
					   "it is the "
					   "control topic",
					   "events have named 1 others (topics_max)" };
	struct world *w = world_new(1);
	struct delivery *d = delivery_new(0, 8, 10, 20);
	struct seen *seen;
	size_t count;

	(void)state;
	memset(text, 'x', sizeof(text));
	w->settings.topic = "${attribute:town}";
	w->settings.control_topic = "control";
	w->settings.topics_max = 1;
	delivery_route(d, towns, 4, place_by_number);
	world_topic(w, "a", 1);
	world_open(w);
	for (size_t n = 0; n < 6; n++) {
		struct sink_answer a;

		sink_kafka.write(w->sink, d);
		a = world_wait(w, n);
		assert_int_equal(a.kind, SINK_REFUSED);
		assert_int_equal(a.first, n / 3 * 4 + n % 3 + 1);
		if (!strstr(a.err.message, why[a.first % 4]))
			fail_msg("%s", a.err.message);
		d->first = a.first + 1;
	}
	seen = world_consume(w, "a", 1, &count);
	assert_int_equal(count, 2);
	assert_int_equal(seen[0].n, 0);
	assert_int_equal(seen[1].n, 4);
	free(seen);
	world_free(w);
	delivery_free(d);
}

/* One key stays in one partition, the one of the Java client. */
static void test_partitions(void **state)
{
	struct world *w = world_new(3);
	struct delivery *d = delivery_new(0, 300, 30, 50);
	struct seen *seen;
	size_t count;
	long last[30];

	(void)state;
	memset(last, -1, sizeof(last));
	world_topic(w, "t", 12);
	world_open(w);
	sink_kafka.write(w->sink, d);
	expect_taken(w, 0, d);
	seen = world_consume(w, "t", 12, &count);
	assert_int_equal(count, 300);
	for (size_t i = 0; i < count; i++) {
		int want = rd_kafka_msg_partitioner_murmur2(NULL, seen[i].key, strlen(seen[i].key),
							    12, NULL, NULL);

		assert_int_equal(seen[i].partition, want);
		assert_true(seen[i].n > last[seen[i].n % 30]);
		last[seen[i].n % 30] = seen[i].n;
	}
	free(seen);
	world_free(w);
	delivery_free(d);
}

struct reader {
	struct world *w;
	struct delivery *d[8];
	pthread_t thread;
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;

	for (size_t i = 0; i < 8; i++)
		sink_kafka.write(r->w->sink, r->d[i]);
	return NULL;
}

static void test_many_readers_and_lanes(void **state)
{
	struct world *w = world_new(2);
	struct reader readers[4] = { 0 };
	bool there[32 * 100] = { false };
	struct seen *seen;
	size_t count;

	(void)state;
	w->host.readers = 4;
	world_topic(w, "t", 4);
	world_open(w);
	for (unsigned r = 0; r < 4; r++) {
		readers[r].w = w;
		for (size_t i = 0; i < 8; i++) {
			readers[r].d[i] = delivery_new((r * 8 + i) * 100, 100, 50, 100);
			readers[r].d[i]->reader = r;
		}
		assert_int_equal(pthread_create(&readers[r].thread, NULL, reader_run, &readers[r]),
				 0);
	}
	for (unsigned r = 0; r < 4; r++)
		pthread_join(readers[r].thread, NULL);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(world_wait(w, i).kind, SINK_TAKEN);
	seen = world_consume(w, "t", 4, &count);
	assert_int_equal(count, 3200);
	for (size_t i = 0; i < count; i++) {
		assert_false(there[seen[i].n]);
		there[seen[i].n] = true;
	}
	free(seen);
	world_free(w);
	for (unsigned r = 0; r < 4; r++)
		for (size_t i = 0; i < 8; i++)
			delivery_free(readers[r].d[i]);
}

static bool check(struct world *w, struct buf *said, struct error *err)
{
	return sink_kafka.check(&w->settings, &w->host, said, err);
}

static void test_check(void **state)
{
	struct world *w = world_new(2);
	struct error err = { 0 };
	struct buf said = { 0 };

	(void)state;
	world_topic(w, "t", 6);
	assert_true(check(w, &said, &err));
	assert_string_equal(said.data, "2 brokers, topic t with 6 partitions");
	buf_clear(&said);
	w->settings.control_topic = "told";
	assert_true(check(w, &said, &err));
	assert_non_null(strstr(said.data, "topic t with 6 partitions, no topic told"));
	w->settings.control_topic = NULL;
	buf_clear(&said);
	w->settings.topic = "absent";
	assert_true(check(w, &said, &err));
	assert_non_null(strstr(said.data, "no topic absent"));
	buf_clear(&said);
	w->settings.topic = "dynamodb.${table}";
	assert_true(check(w, &said, &err));
	assert_non_null(strstr(said.data, "2 brokers, 1 topic to be seen"));
	/* Where the tables are known, so are their topics; a pattern's are not. */
	world_topic(w, "dynamodb.orders", 3);
	w->host.tables = (const struct str[]){ STR("users"), STR("orders"), STR("x-*") };
	w->host.table_count = 3;
	buf_clear(&said);
	assert_true(check(w, &said, &err));
	assert_non_null(strstr(said.data, "no topic dynamodb.users to be seen: create it"));
	assert_non_null(strstr(said.data, "topic dynamodb.orders with 3 partitions"));
	assert_null(strstr(said.data, "dynamodb.x"));
	buf_clear(&said);
	w->settings.topic = "dynamodb.${table}.${op}";
	assert_true(check(w, &said, &err));
	assert_null(strstr(said.data, "dynamodb.orders"));
	w->settings.brokers = "127.0.0.1:1";
	assert_false(check(w, &said, &err));
	assert_non_null(strstr(err.message, "127.0.0.1:1"));
	buf_release(&said);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_keys_headers),
		cmocka_unit_test(test_headers_of_later_messages),
		cmocka_unit_test(test_header_without_value_is_absent),
		cmocka_unit_test(test_tombstones),
		cmocka_unit_test(test_begins_at_first_and_skips_what_is_not_for_it),
		cmocka_unit_test(several_events_of_a_record_are_messages_in_their_order),
		cmocka_unit_test(test_topic_by_table_and_op),
		cmocka_unit_test(test_topics_that_cannot_be),
		cmocka_unit_test(test_partitions),
		cmocka_unit_test(test_many_readers_and_lanes),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
