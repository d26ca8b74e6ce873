/* Lanes that are data files: nothing is asked about children, shards come first, and a file that
 * failed leaves instead of standing still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "consumer/core.h"

#define ACTIONS_MAX 64

static struct {
	struct core core;
	uint32_t sinks[2], stream;
	int64_t now_ms;
	struct core_action actions[ACTIONS_MAX]; /* of the last step */
	size_t count;
	uint32_t fetched; /* the last lane that was to be */
} t;

static struct sequence at(int place)
{
	struct sequence s;
	struct error err;
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", place);

	assert_true(sequence_parse(&s, (struct str){ text, (size_t)length }, &err));
	return s;
}

static void begin(bool rolls)
{
	struct core_settings settings = { .memory_bytes = 1 << 30,
					  .save_interval_ms = 10,
					  .idle_ms = 100,
					  .fetches_max = 1,
					  .lanes_max = 16 };

	memset(&t, 0, sizeof(t));
	t.now_ms = 1000;
	core_init(&t.core, &settings);
	for (unsigned i = 0; i < 2; i++)
		t.sinks[i] = core_add_sink(&t.core, rolls ? SINK_ROLL : SINK_IMMEDIATE);
	t.stream = core_add_files(&t.core, t.sinks, 2);
}

static uint32_t add(uint32_t stream)
{
	struct core_lane_start start = { .stream = stream, .parent = CORE_NONE, .store_id = 1 };

	return core_add_lane(&t.core, &start, t.now_ms);
}

static void feed(struct core_event e)
{
	e.now_ms = t.now_ms += 20;
	t.count = core_step(&t.core, &e, t.actions, ACTIONS_MAX);
	for (size_t i = 0; i < t.count; i++)
		if (t.actions[i].type == CORE_FETCH)
			t.fetched = t.actions[i].lane;
}

static void tick(void)
{
	feed((struct core_event){ .type = CORE_TICK });
}

static bool did(enum core_action_type type, uint32_t lane)
{
	for (size_t i = 0; i < t.count; i++)
		if (t.actions[i].type == type && (lane == CORE_NONE || t.actions[i].lane == lane))
			return true;
	return false;
}

static void wait_fetch(void)
{
	for (unsigned i = 0; i < 100 && t.fetched == CORE_NONE; i++)
		tick();
	assert_int_not_equal(t.fetched, CORE_NONE);
}

static void page(uint32_t lane, int to, bool leaves)
{
	assert_int_equal(t.fetched, lane);
	t.fetched = CORE_NONE;
	feed((struct core_event){ .type = CORE_PAGE,
				  .lane = lane,
				  .end = at(to),
				  .records = 1000,
				  .bytes = 1 << 20,
				  .leaves = leaves });
}

static void end_of(uint32_t lane)
{
	wait_fetch();
	feed((struct core_event){ .type = CORE_PAGE, .lane = lane, .closed = true });
}

static void answer(uint32_t lane, unsigned sink, uint64_t roll)
{
	feed((struct core_event){
		.type = CORE_ANSWER, .lane = lane, .sink = t.sinks[sink], .roll = roll });
}

static void both(uint32_t lane)
{
	answer(lane, 0, 0);
	answer(lane, 1, 0);
}

/* Saves until nothing is left to be saved; whether it was said meanwhile. */
static bool until(enum core_action_type type, uint32_t lane)
{
	bool seen = did(type, lane);

	for (unsigned i = 0; i < 8; i++) {
		feed((struct core_event){ .type = t.core.saving ? CORE_SAVED : CORE_TICK });
		seen = seen || did(type, lane);
	}
	return seen;
}

static void assert_saved(uint32_t lane, unsigned sink, int place)
{
	struct sequence wanted = at(place);

	assert_true(sequence_equal(&t.core.lanes[lane].frontiers[sink].saved, &wanted));
	assert_false(t.core.lanes[lane].frontiers[sink].done);
}

static void a_file_ends_without_children(void **state)
{
	uint32_t lane;

	(void)state;
	begin(false);
	lane = add(t.stream);
	tick();
	page(lane, 1000, false);
	both(lane);
	end_of(lane);
	assert_false(did(CORE_DISCOVER, CORE_NONE));
	assert_true(until(CORE_ENDED, lane));
	assert_true(t.core.lanes[lane].frontiers[0].done && t.core.lanes[lane].frontiers[1].done);
	core_drop_lane(&t.core, lane);
	core_remove_stream(&t.core, t.stream);
	core_release(&t.core);
}

static void a_session_with_a_file_is_not_idle(void **state)
{
	uint32_t lane;

	(void)state;
	begin(false);
	lane = add(t.stream);
	tick();
	page(lane, 1000, false);
	both(lane);
	for (unsigned i = 0; i < 50; i++) {
		tick();
		assert_false(did(CORE_IDLE, CORE_NONE));
	}
	core_release(&t.core);
}

/* Its pages are as full as those of a shard that is behind, and yet it does not take their turns;
 * nor does it starve. */
static void shards_come_first(void **state)
{
	struct pacing_limits limits = { .min_ms = 50, .max_ms = 50 };
	uint32_t file, of_file = 0;

	(void)state;
	begin(false);
	add(core_add_stream(&t.core, &limits, t.sinks, 2));
	file = add(t.stream);
	tick();
	for (int i = 1; i <= 100; i++) {
		uint32_t lane = t.fetched;

		of_file += lane == file;
		page(lane, i, false);
		both(lane);
		wait_fetch();
	}
	assert_in_range(of_file, 20, 30);
	core_release(&t.core);
}

static void a_file_that_failed_leaves(void **state)
{
	uint32_t lane;

	(void)state;
	begin(false);
	lane = add(t.stream);
	tick();
	page(lane, 1000, false);
	wait_fetch();
	feed((struct core_event){ .type = CORE_FETCH_FAILED,
				  .lane = lane,
				  .failure = ERROR_INVALID,
				  .leaves = true });
	assert_false(until(CORE_RELEASED, lane)); /* a page is still in the sinks */
	both(lane);
	assert_true(until(CORE_RELEASED, lane));
	assert_saved(lane, 0, 1000);
	assert_saved(lane, 1, 1000);
	core_drop_lane(&t.core, lane);
	core_remove_stream(&t.core, t.stream);
	core_release(&t.core);
}

static void what_comes_before_a_bad_row_is_saved(void **state)
{
	uint32_t lane;

	(void)state;
	begin(false);
	lane = add(t.stream);
	tick();
	page(lane, 700, true);
	both(lane);
	assert_true(until(CORE_RELEASED, lane));
	assert_saved(lane, 0, 700);
	assert_saved(lane, 1, 700);
	core_release(&t.core);
}

/* All of it is read, and then a sink refuses a row of its last page for good. */
static void a_file_that_a_sink_refused_is_not_done(void **state)
{
	uint32_t lane;

	(void)state;
	begin(false);
	lane = add(t.stream);
	tick();
	page(lane, 1000, false);
	end_of(lane);
	answer(lane, 0, 0);
	feed((struct core_event){ .type = CORE_STAND,
				  .lane = lane,
				  .sink = t.sinks[1],
				  .end = at(400),
				  .leaves = true });
	assert_true(until(CORE_RELEASED, lane));
	assert_saved(lane, 0, 1000);
	assert_saved(lane, 1, 400);
	core_drop_lane(&t.core, lane);
	core_release(&t.core);
}

/* The last files wait for their roll, which may stay open for minutes. */
static void a_roll_is_hurried(void **state)
{
	uint32_t lane;

	(void)state;
	begin(true);
	lane = add(t.stream);
	tick();
	page(lane, 1000, false);
	answer(lane, 0, 1);
	answer(lane, 1, 1);
	end_of(lane);
	assert_false(until(CORE_PREPARE, CORE_NONE));
	feed((struct core_event){ .type = CORE_HURRY, .stream = t.stream });
	assert_true(did(CORE_PREPARE, CORE_NONE));
	core_release(&t.core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_ends_without_children),
		cmocka_unit_test(a_session_with_a_file_is_not_idle),
		cmocka_unit_test(shards_come_first),
		cmocka_unit_test(a_file_that_failed_leaves),
		cmocka_unit_test(what_comes_before_a_bad_row_is_saved),
		cmocka_unit_test(a_file_that_a_sink_refused_is_not_done),
		cmocka_unit_test(a_roll_is_hurried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
