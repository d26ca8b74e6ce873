/* A stream is read a second time as a stream of its own: the same contract for every store. */
#include "checkpoint/control.h"
#include "checkpoint/letters.h"
#include "checkpoint/sides.h"
#include "tests/unit/checkpoint/store_world.h"

#define T     1700000000000
#define LATER (T + 60000)
#define ARN   "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x"

/* --- what the tests say --- */
static uint64_t saves, aside_saves; /* of sessions A and B */

static int sides_up(void **state)
{
	saves = aside_saves = 0;
	return world_up(state);
}

static void saved(struct world *w, int lane, const char *from, const char *to, bool done)
{
	struct store_move m = move(w, lane, from, to);
	struct store_save save = save_of(SESSION_A, ++saves, &m, 1);

	m.done = done;
	assert_ok(store_save(w->s, &save, err));
}

static struct store_side side_of(const struct world *w)
{
	return (struct store_side){ .source = w->stream,
				    .sink = w->other,
				    .said = "from oldest into lake",
				    .who = "ann",
				    .start_ms = T - 5000,
				    .until_ms = T,
				    .begun_ms = T };
}

static struct store_place place(const struct world *w, int lane, const char *sequence, bool done)
{
	return (struct store_place){ .shard = w->lanes[lane].shard,
				     .sequence = seq(sequence),
				     .event_ms = *sequence ? T - 1000 : 0,
				     .done = done };
}

static bool begins(struct world *w, struct store_side *d, const struct store_place *places,
		   size_t count)
{
	struct store_side_start start = { .name = "orders>lake",
					  .placed = count > 0,
					  .places = places,
					  .count = count,
					  .read_at_ms = T - 2000 };
	bool begun;

	assert_ok(store_side_begin(w->s, d, &start, &begun, err));
	return begun;
}

static struct store_stream stream_of(struct world *w, const char *name)
{
	struct store_stream found;

	assert_ok(store_stream(w->s, name, ARN, 0, &found, err));
	return found;
}

static bool is_over(struct world *w, const struct store_side *d)
{
	bool over;

	assert_ok(store_side_over(w->s, d->stream, &over, err));
	return over;
}

static void ends(struct world *w, const struct store_side *d)
{
	assert_ok(store_side_end(w->s, d->stream, "ben", "from oldest into lake: 7 records", LATER,
				 err));
}

static struct seen seen_of(struct world *w, int64_t stream)
{
	struct seen seen = { 0 };

	assert_ok(store_lanes_list(w->s, stream, seen_lane, seen_position, &seen, err));
	return seen;
}

/* Session B, which serves the side run, saves its lane there. */
static void aside_saved(struct world *w, const struct store_side *d, const char *shard,
			const char *from, const char *to, bool done)
{
	struct store_move m = { .sink = w->other,
				.from = seq(from),
				.to = seq(to),
				.event_ms = T - 500,
				.done = done };
	struct store_save save = save_of(SESSION_B, ++aside_saves, &m, 1);
	struct seen seen = seen_of(w, d->stream);

	for (size_t i = 0; i < seen.lane_count; i++)
		if (strcmp(seen.lanes[i].shard, shard) == 0)
			m.lane = seen.lanes[i].id;
	seen_release(&seen);
	assert_ok(store_save(w->s, &save, err));
}

static void aside_taken(struct world *w, const struct store_side *d, uint32_t lanes)
{
	struct seen seen;

	assert_ok(store_session_begin(w->s, SESSION_B, "b", "", 10000, err));
	seen = claimed(w->s, SESSION_B, d->stream, &w->other, 1, 9);
	assert_int_equal(seen.lane_count, lanes);
	seen_release(&seen);
}

struct known {
	struct store_side rows[3];
	char said[3][64], who[3][16];
	size_t count;
};

static void on_side(void *arg, const struct store_side *d)
{
	struct known *k = arg;

	assert_true(k->count < 3);
	snprintf(k->said[k->count], sizeof(k->said[0]), "%s", d->said);
	snprintf(k->who[k->count], sizeof(k->who[0]), "%s", d->who);
	k->rows[k->count++] = *d;
}

static struct known known(struct world *w)
{
	struct known k = { 0 };

	assert_ok(store_sides(w->s, on_side, &k, err));
	return k;
}

/* --- the beginning --- */
static void a_side_run_begins_at_its_places(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w);
	struct store_place places[3];
	struct seen seen;
	struct sequence five = seq("5");
	struct known k;

	saved(w, 1, "", "9", false);
	saved(w, 2, "", "7", true);
	for (int i = 0; i < 3; i++)
		places[i] = place(w, i, i == 1 ? "5" : "", i == 2);
	assert_true(begins(w, &d, places, 3));
	assert_int_not_equal(d.stream, w->stream);
	assert_int_equal(stream_of(w, "orders>lake").id, d.stream);
	assert_true(stream_of(w, "orders>lake").rooted);
	assert_int_equal(stream_of(w, "orders>lake").start_ms, T - 5000);
	assert_int_equal(stream_of(w, "orders>lake").generation, 1);
	seen = seen_of(w, d.stream);
	assert_int_equal(seen.lane_count, 3);
	assert_int_equal(seen.position_count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(seen.lanes[i].shard, w->lanes[i].shard);
		assert_int_equal(seen.lanes[i].done, i == 2);
		assert_int_equal(seen.positions[i].done, i == 2);
		assert_int_equal(seen.positions[i].sink, w->other);
		assert_int_equal(seen.lanes[i].read_at_ms, i == 1 ? T - 2000 : 0);
	}
	assert_true(sequence_equal(&seen.positions[1].sequence, &five));
	assert_int_equal(seen.positions[1].event_ms, T - 1000);
	seen_release(&seen);
	k = known(w);
	assert_int_equal(k.count, 1);
	assert_int_equal(k.rows[0].stream, d.stream);
	assert_int_equal(k.rows[0].source, w->stream);
	assert_int_equal(k.rows[0].sink, w->other);
	assert_int_equal(k.rows[0].start_ms, T - 5000);
	assert_int_equal(k.rows[0].until_ms, T);
	assert_int_equal(k.rows[0].begun_ms, T);
	assert_string_equal(k.said[0], "from oldest into lake");
	assert_string_equal(k.who[0], "ann");
	/* The source is as it was. */
	assert_at(w->s, w->stream, w->lanes[1].id, w->sink, "9");
	seen = seen_of(w, w->stream);
	assert_int_equal(seen.lane_count, 3);
	seen_release(&seen);
}

static void without_places_its_first_listing_is_awaited(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w);
	struct seen seen;

	assert_true(begins(w, &d, NULL, 0));
	assert_false(stream_of(w, "orders>lake").rooted);
	seen = seen_of(w, d.stream);
	assert_int_equal(seen.lane_count, 0);
	seen_release(&seen);
}

static void a_source_and_a_sink_have_one(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w), again = d, other = d;

	assert_true(begins(w, &d, NULL, 0));
	assert_true(begins(w, &again, NULL, 0)); /* said again */
	assert_int_equal(again.stream, d.stream);
	other.who = "ben";
	assert_false(begins(w, &other, NULL, 0));
	other = d;
	other.begun_ms = T + 1;
	assert_false(begins(w, &other, NULL, 0));
	assert_int_equal(known(w).count, 1);
	other.source = w->stream + 100;
	other.stream = 0;
	assert_kind(ERROR_NOT_FOUND,
		    store_side_begin(w->s, &other, &(struct store_side_start){ .name = "x" },
				     &(bool){ false }, err));
}

static void on_skip(void *arg, const struct store_skip *skip)
{
	(void)skip;
	++*(int *)arg;
}

static void what_is_skipped_is_skipped_aside(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w);
	struct store_skip skip = { .sequence = seq("8"), .who = "ann", .at_ms = T };
	int count = 0;

	memcpy(skip.shard, w->lanes[0].shard, sizeof(skip.shard));
	assert_ok(store_skip_put(w->s, w->stream, &skip, err));
	assert_true(begins(w, &d, NULL, 0));
	assert_ok(store_skips(w->s, d.stream, on_skip, &count, err));
	assert_int_equal(count, 1);
}

static void collect_twin(void *arg, const char *name, const char *other)
{
	(void)name;
	(void)other;
	++*(int *)arg;
}

static void it_is_no_twin_of_its_source(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w);
	struct store_place places[3];
	int twins = 0;

	for (int i = 0; i < 3; i++)
		places[i] = place(w, i, "", false);
	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, &w->sink, 1, err));
	assert_true(begins(w, &d, places, 3));
	aside_taken(w, &d, 3);
	assert_ok(store_twins(w->s, SESSION_A, collect_twin, &twins, err));
	assert_ok(store_twins(w->s, SESSION_B, collect_twin, &twins, err));
	assert_int_equal(twins, 0);
}

/* --- the end --- */
static void it_is_over_where_its_source_was(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w);
	struct store_place places[3];

	saved(w, 0, "", "99", false);
	saved(w, 1, "", "100", false);
	saved(w, 2, "", "7", true);
	for (int i = 0; i < 3; i++)
		places[i] = place(w, i, i == 0 ? "99" : "", false);
	assert_true(begins(w, &d, places, 3));
	saved(w, 1, "100", "200", false); /* what comes now is not asked for */
	assert_false(is_over(w, &d));
	aside_taken(w, &d, 3);
	aside_saved(w, &d, w->lanes[1].shard, "", "99", false);
	aside_saved(w, &d, w->lanes[2].shard, "", "7", false);
	assert_false(is_over(w, &d));
	aside_saved(w, &d, w->lanes[1].shard, "99", "100", false);
	assert_false(is_over(w, &d)); /* a shard that was read to its end is so again */
	aside_saved(w, &d, w->lanes[2].shard, "7", "7", true);
	assert_true(is_over(w, &d));
}

static void a_shard_that_ends_early_is_over(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w);
	struct store_place places[3];

	saved(w, 1, "", "100", false);
	for (int i = 0; i < 3; i++)
		places[i] = place(w, i, "", i != 1);
	assert_true(begins(w, &d, places, 3));
	aside_taken(w, &d, 1);
	assert_false(is_over(w, &d));
	aside_saved(w, &d, w->lanes[1].shard, "", "5", true);
	assert_true(is_over(w, &d));
}

static void it_is_not_over_before_its_listing(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w);
	struct store_lane lane = lane_named(1);

	saved(w, 0, "", "9", false);
	assert_true(begins(w, &d, NULL, 0));
	assert_false(is_over(w, &d));
	aside_taken(w, &d, 0);
	assert_ok(store_lanes_add(w->s, SESSION_B, d.stream, 0, true, &lane, 1, &w->other, 1, err));
	assert_true(is_over(w, &d)); /* AWS lists no other, and of that one nothing was read */
}

struct audit {
	struct store_audit rows[4];
	char said[4][64], who[4][16];
	size_t count;
};

static void on_audit(void *arg, const struct store_audit *a)
{
	struct audit *t = arg;

	assert_true(t->count < 4);
	snprintf(t->said[t->count], sizeof(t->said[0]), "%s", a->said);
	snprintf(t->who[t->count], sizeof(t->who[0]), "%s", a->who);
	t->rows[t->count++] = *a;
}

static void on_stream(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	(void)arn;
	(void)s;
	assert_string_equal(name, "orders");
	++*(int *)arg;
}

static void nothing_is_left_of_it_but_the_audit(void **state)
{
	struct world *w = *state;
	struct store_side d = side_of(w);
	struct store_place places[3];
	struct store_gap gap = { .shard = "x", .found_ms = T };
	struct store_hold hold = { .why = STORE_HOLD_PAUSE, .who = "ann", .since_ms = T };
	struct store_control event = { .kind = STORE_CONTROL_PARTITIONS, .time_ms = T, .key = "k" };
	struct store_topic topic = { .sink = w->other, .topic = "orders", .partitions = 3 };
	struct store_start start = { .sink = w->other + 9, .start_ms = T };
	struct audit audit = { 0 };
	uint32_t before;
	int streams = 0;
	bool done;

	for (int i = 0; i < 3; i++)
		places[i] = place(w, i, "", false);
	assert_true(begins(w, &d, places, 3));
	aside_taken(w, &d, 3);
	gap.stream = event.stream = topic.stream = d.stream;
	assert_ok(store_gap_put(w->s, SESSION_B, &gap, true, &done, err));
	assert_ok(store_control_put(w->s, SESSION_B, &event, &done, err));
	assert_ok(store_topic_seen(w->s, SESSION_B, &topic, T, &before, err));
	assert_ok(store_sinks_start(w->s, d.stream, &start, 1, T, err));
	assert_true(start.start_ms == T);
	assert_ok(store_savepoint_put(w->s, "monday", &d.stream, 1, "ann", T, &done, err));
	assert_ok(store_stream_hold(w->s, d.stream, 0, &hold, &done, err));
	assert_true(done);
	ends(w, &d);
	assert_int_equal(known(w).count, 0);
	assert_ok(store_streams(w->s, on_stream, &streams, err));
	assert_int_equal(streams, 1);
	assert_ok(store_audit(w->s, 0, 9, on_audit, &audit, err));
	assert_int_equal(audit.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(audit.rows[i].stream, w->stream);
		assert_int_equal(audit.rows[i].why, STORE_HOLD_REWIND);
		assert_int_equal(audit.rows[i].lanes, 3);
		assert_int_equal(audit.rows[i].from_generation, 1);
		assert_int_equal(audit.rows[i].to_generation, 1);
	}
	assert_int_equal(audit.rows[1].what, STORE_AUDIT_REWIND);
	assert_string_equal(audit.said[1], "from oldest into lake");
	assert_string_equal(audit.who[1], "ann");
	assert_int_equal(audit.rows[1].at_ms, T);
	assert_int_equal(audit.rows[1].to_ms, T - 5000);
	assert_int_equal(audit.rows[0].what, STORE_AUDIT_GO_ON);
	assert_string_equal(audit.said[0], "from oldest into lake: 7 records");
	assert_string_equal(audit.who[0], "ben");
	assert_int_equal(audit.rows[0].at_ms, LATER);
	assert_int_equal(audit.rows[0].to_ms, T);
	ends(w, &d); /* again */
	assert_kind(ERROR_NOT_FOUND, store_side_over(w->s, d.stream, &done, err));
	d.begun_ms = LATER;
	assert_true(begins(w, &d, NULL, 0));
}

static int run(const char *name)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, sides_up, world_down)
	const struct CMUnitTest tests[] = {
		TEST(a_side_run_begins_at_its_places),
		TEST(without_places_its_first_listing_is_awaited),
		TEST(a_source_and_a_sink_have_one),
		TEST(what_is_skipped_is_skipped_aside),
		TEST(it_is_no_twin_of_its_source),
		TEST(it_is_over_where_its_source_was),
		TEST(a_shard_that_ends_early_is_over),
		TEST(it_is_not_over_before_its_listing),
		TEST(nothing_is_left_of_it_but_the_audit),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
