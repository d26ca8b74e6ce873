/* A sink that is added to a stream may begin before where the others are: the same contract for
 * every store. */
#include "tests/unit/checkpoint/workers_world.h"

#define T    1700000000000
#define HOUR (60LL * 60 * 1000)

static const char arn[] = "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x";

static struct store_start says(struct world *w, int32_t sink, int64_t start_ms, int64_t at_ms)
{
	struct store_start start = { .sink = sink, .start_ms = start_ms };

	assert_ok(store_sinks_start(w->s, w->stream, &start, 1, at_ms, err));
	return start;
}

/* Lane 1 stands at 9, lane 2 is done at 7 and was last read at read_ms; nobody has them. */
static void read_by_the_first(struct world *w, int64_t read_ms)
{
	struct store_move moves[2] = { move(w, 1, "", "9"), move(w, 2, "", "7") };
	struct store_save save = save_of(SESSION_A, 1, moves, 2);

	join(w, SESSION_A);
	moves[1].done = true;
	save.read_at_ms = read_ms;
	assert_ok(store_save(w->s, &save, err));
	assert_ok(store_session_bury(w->s, SESSION_A, err));
}

/* Session B joins with both sinks, and claims what there is. */
static struct seen taken_with_both(struct world *w)
{
	int32_t both[2] = { w->sink, w->other };

	begin(w, SESSION_B);
	return claimed(w->s, SESSION_B, w->stream, both, 2, 9);
}

static void before_everything_that_is_left(void **state)
{
	struct world *w = *state;
	struct seen seen;
	struct store_start start;

	read_by_the_first(w, T);
	start = says(w, w->other, 0, T + 5);
	assert_int_equal(start.start_ms, 0);
	assert_int_equal(start.at_ms, T + 5);
	seen = taken_with_both(w);
	assert_int_equal(seen.lane_count, 3); /* the one that was done, too */
	assert_false(stored(w, w->lanes[2].id).done);
	for (int i = 0; i < 3; i++)
		assert_at(w->s, w->stream, w->lanes[i].id, w->other, "");
	/* The other sink is where it was. */
	assert_at(w->s, w->stream, w->lanes[1].id, w->sink, "9");
	assert_at(w->s, w->stream, w->lanes[2].id, w->sink, "7");
	for (size_t i = 0; i < seen.position_count; i++)
		assert_int_equal(seen.positions[i].done, seen.positions[i].lane == w->lanes[2].id &&
								 seen.positions[i].sink == w->sink);
	seen_release(&seen);
}

static void nothing_is_left_of_what_was_done_a_day_before(void **state)
{
	struct world *w = *state;
	struct seen seen;

	read_by_the_first(w, T);
	says(w, w->other, 0, T + 24 * HOUR + 1);
	seen = taken_with_both(w);
	assert_int_equal(seen.lane_count, 2);
	assert_true(stored(w, w->lanes[2].id).done);
	seen_release(&seen);
}

static void latest_is_where_the_others_are(void **state)
{
	struct world *w = *state;
	struct seen seen;

	read_by_the_first(w, T);
	says(w, w->other, 0, T);
	/* It was said otherwise before it came. */
	assert_int_equal(says(w, w->other, STORE_START_LATEST, T).start_ms, STORE_START_LATEST);
	seen = taken_with_both(w);
	assert_int_equal(seen.lane_count, 2);
	assert_at(w->s, w->stream, w->lanes[1].id, w->other, "9");
	seen_release(&seen);
}

static void the_first_word_counts(void **state)
{
	struct world *w = *state;
	struct store_start start;
	struct seen seen;

	read_by_the_first(w, T);
	says(w, w->other, T - HOUR, T);
	start = says(w, w->other, T - HOUR + 9, T + 9); /* another worker of the deployment */
	assert_int_equal(start.start_ms, T - HOUR);
	assert_int_equal(start.at_ms, T);
	seen = taken_with_both(w);
	seen_release(&seen);
	/* And from then on, whatever is said. */
	assert_int_equal(says(w, w->other, 0, T + 90 * HOUR).start_ms, T - HOUR);
	assert_int_equal(says(w, w->other, STORE_START_LATEST, T + 9).start_ms, T - HOUR);
	/* But what was said for a deployment that never came does not. */
	assert_int_equal(says(w, sink_named(w->s, "third"), T, T).start_ms, T);
	start = says(w, sink_named(w->s, "third"), 0, T + 25 * HOUR);
	assert_int_equal(start.start_ms, 0);
	assert_int_equal(start.at_ms, T + 25 * HOUR);
}

static void one_that_is_there_goes_on(void **state)
{
	struct world *w = *state;
	struct seen seen;

	read_by_the_first(w, T);
	assert_int_equal(says(w, w->sink, 0, T).start_ms, STORE_START_LATEST);
	/* Also where it was taken away, and comes back. */
	seen = taken_with_both(w);
	seen_release(&seen);
	assert_ok(store_session_bury(w->s, SESSION_B, err));
	begin_joined(w, SESSION_C);
	assert_int_equal(says(w, w->other, 0, T).start_ms, STORE_START_LATEST);
}

static void a_new_stream_begins_where_it_says_itself(void **state)
{
	struct world *w = *state;
	struct store_start starts[2] = { { .sink = w->sink }, { .sink = w->other } };

	assert_ok(store_sinks_start(w->s, stream_named(w->s, "users"), starts, 2, T, err));
	assert_int_equal(starts[0].start_ms, STORE_START_LATEST);
	assert_int_equal(starts[1].at_ms, 0);
	assert_kind(ERROR_NOT_FOUND, store_sinks_start(w->s, 999, starts, 2, T, err));
}

static void a_reset_begins_anew_for_all(void **state)
{
	struct world *w = *state;
	struct store_hold hold = { .why = STORE_HOLD_REWIND, .who = "ann", .since_ms = T };
	struct store_reset reset = { .generation = 1, .who = "ann", .said = "", .at_ms = T };
	struct store_stream now;
	struct seen seen;
	bool done;

	read_by_the_first(w, T);
	says(w, w->other, T - HOUR, T);
	seen = taken_with_both(w);
	seen_release(&seen);
	assert_ok(store_session_bury(w->s, SESSION_B, err));
	assert_ok(store_stream_hold(w->s, w->stream, 0, &hold, &done, err));
	reset.hold = hold.id;
	assert_ok(store_stream_reset(w->s, w->stream, &reset, &done, err));
	assert_true(done);
	assert_int_equal(says(w, w->other, 0, T).start_ms, STORE_START_LATEST);
	assert_ok(store_stream(w->s, "orders", arn, 0, &now, err));
	assert_false(now.rooted);
}

static int run(const char *name)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
	const struct CMUnitTest tests[] = {
		TEST(before_everything_that_is_left),
		TEST(nothing_is_left_of_what_was_done_a_day_before),
		TEST(latest_is_where_the_others_are),
		TEST(the_first_word_counts),
		TEST(one_that_is_there_goes_on),
		TEST(a_new_stream_begins_where_it_says_itself),
		TEST(a_reset_begins_anew_for_all),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
