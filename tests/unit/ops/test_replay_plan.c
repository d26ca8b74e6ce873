/* Which lanes go back, and to where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "ops/replay_plan.h"

#define EVENTS 1
#define LAKE   2
#define DONE   "done"

/* a ─ b ─ d
 *   └ c
 * e          */
enum { A, B, C, D, E, LANES };
static const char *const names[] = { "a", "b", "c", "d", "e" };
static const char *const parents[] = { "", "a", "a", "b", "" };

struct world {
	struct replay_lane lanes[LANES];
	struct store_position positions[2 * LANES];
	struct replay_stream stream;
	struct replay_plan plan;
	struct error err;
};

static struct sequence seq(const char *digits)
{
	struct sequence q = SEQUENCE_NONE;
	struct error err;

	if (*digits)
		assert_true(sequence_parse(&q, str_of(digits), &err));
	return q;
}

static void at(struct world *w, int lane, int32_t sink, const char *place)
{
	struct store_position *p = &w->positions[2 * lane + (sink == LAKE)];
	bool done = strcmp(place, DONE) == 0;

	*p = (struct store_position){
		.lane = lane, .sink = sink, .sequence = seq(done ? "99" : place), .done = done
	};
}

static void both(struct world *w, int lane, const char *place)
{
	at(w, lane, EVENTS, place);
	at(w, lane, LAKE, place);
}

/* a, b and c are read to their ends, d and e are under way. */
static void world_init(struct world *w)
{
	*w = (struct world){ .stream = { .lanes = w->lanes,
					 .positions = w->positions,
					 .lane_count = LANES,
					 .position_count = (size_t)2 * LANES } };
	for (int i = 0; i < LANES; i++) {
		w->lanes[i].lane.id = i;
		snprintf(w->lanes[i].lane.shard, STORE_SHARD_SIZE, "%s", names[i]);
		snprintf(w->lanes[i].lane.parent, STORE_SHARD_SIZE, "%s", parents[i]);
		w->lanes[i].positions = &w->positions[2 * i];
		w->lanes[i].count = 2;
		both(w, i, i == D ? "40" : i == E ? "50" : DONE);
	}
}

static struct store_place place(int lane, int32_t sink, const char *where)
{
	bool done = strcmp(where, DONE) == 0;

	return (struct store_place){ .shard = names[lane],
				     .sink = sink,
				     .sequence = seq(done ? "99" : where),
				     .event_ms = 1000,
				     .done = done };
}

static void expect(const struct world *w, int lane, int32_t sink, const char *where)
{
	struct store_place wanted = place(lane, sink, where);

	for (size_t i = 0; i < w->plan.count; i++) {
		const struct store_place *p = &w->plan.places[i];

		if (strcmp(p->shard, names[lane]) != 0 || p->sink != sink)
			continue;
		assert_true(sequence_equal(&p->sequence, &wanted.sequence));
		assert_int_equal(p->done, wanted.done);
		return;
	}
	fail_msg("shard %s does not move in sink %d", names[lane], sink);
}

static void expect_count(const struct world *w, size_t places, size_t lanes, size_t to_begin)
{
	assert_int_equal(w->plan.count, places);
	assert_int_equal(w->plan.lanes, lanes);
	assert_int_equal(w->plan.to_begin, to_begin);
}

static void to_savepoint(struct world *w, const struct store_place *kept, size_t count,
			 int32_t sink)
{
	if (!replay_to_savepoint(&w->stream, kept, count, sink, &w->plan, &w->err))
		fail_msg("%s", w->err.message);
}

/* When a was half read, and nothing else was known but e. */
static void lanes_that_came_later_go_to_their_beginning(void **state)
{
	const struct store_place kept[] = { place(E, LAKE, "50"), place(A, LAKE, "7"),
					    place(E, EVENTS, "45"), place(A, EVENTS, "9") };
	struct world w;

	(void)state;
	world_init(&w);
	to_savepoint(&w, kept, 4, REPLAY_ALL_SINKS);
	expect(&w, A, EVENTS, "9");
	expect(&w, A, LAKE, "7");
	for (int lane = B; lane <= D; lane++) {
		expect(&w, lane, EVENTS, "");
		expect(&w, lane, LAKE, "");
	}
	expect(&w, E, EVENTS, "45"); /* in LAKE it is there */
	expect_count(&w, 9, 5, 3);
	assert_int_equal(w.plan.oldest_ms, 1000);
	replay_plan_release(&w.plan);
}

static void what_is_behind_the_savepoint_stays(void **state)
{
	struct store_place kept[2 * LANES];
	struct world w;

	(void)state;
	world_init(&w);
	for (int i = 0; i < LANES; i++) {
		kept[2 * i] = place(i, EVENTS, i == D ? "41" : DONE);
		kept[2 * i + 1] = place(i, LAKE, i == D ? "40" : DONE);
	}
	both(&w, B, ""); /* it was set back before */
	to_savepoint(&w, kept, (size_t)2 * LANES, REPLAY_ALL_SINKS);
	expect_count(&w, 0, 0, 0);
	replay_plan_release(&w.plan);
}

static void one_sink_goes_back_alone(void **state)
{
	const struct store_place kept[] = { place(A, EVENTS, "9"), place(A, LAKE, "7") };
	struct world w;

	(void)state;
	world_init(&w);
	to_savepoint(&w, kept, 2, LAKE);
	expect(&w, A, LAKE, "7");
	expect(&w, D, LAKE, "");
	expect_count(&w, 5, 5, 4);
	replay_plan_release(&w.plan);
}

static void a_shard_that_is_gone_cannot_be_read_again(void **state)
{
	struct store_place kept[] = { place(A, EVENTS, DONE), place(A, LAKE, DONE) };
	struct world w;

	(void)state;
	world_init(&w);
	kept[0].shard = kept[1].shard = "z";
	to_savepoint(&w, kept, 2, REPLAY_ALL_SINKS); /* it was read to its end */
	replay_plan_release(&w.plan);
	kept[1].done = false;
	to_savepoint(&w, kept, 2, EVENTS);
	replay_plan_release(&w.plan);
	assert_false(replay_to_savepoint(&w.stream, kept, 2, LAKE, &w.plan, &w.err));
	assert_int_equal(w.err.kind, ERROR_NOT_FOUND);
	assert_non_null(strstr(w.err.message, "shard z"));
	replay_plan_release(&w.plan);
}

static void descendants_go_along(void **state)
{
	struct store_place to = place(B, 0, "3");
	struct world w;

	(void)state;
	world_init(&w);
	assert_true(replay_to_place(&w.stream, &to, REPLAY_ALL_SINKS, false, &w.plan, &w.err));
	expect(&w, B, EVENTS, "3");
	expect(&w, B, LAKE, "3");
	expect(&w, D, EVENTS, "");
	expect(&w, D, LAKE, "");
	expect_count(&w, 4, 2, 1);
	replay_plan_release(&w.plan);
	to = place(A, 0, "");
	assert_true(replay_to_place(&w.stream, &to, LAKE, false, &w.plan, &w.err));
	expect_count(&w, 4, 4, 4);
	replay_plan_release(&w.plan);
}

static void seen_late(struct world *w)
{
	struct replay_lane b;

	world_init(w);
	b = w->lanes[B];
	w->lanes[B] = w->lanes[D];
	w->lanes[D] = b;
}

/* d was seen before b, which it descends from. */
static void a_parent_that_was_seen_late_takes_its_own_along(void **state)
{
	struct store_place to = place(A, 0, "3");
	struct world w;

	(void)state;
	seen_late(&w);
	assert_true(replay_to_place(&w.stream, &to, LAKE, false, &w.plan, &w.err));
	expect(&w, B, LAKE, "");
	expect(&w, D, LAKE, "");
	expect_count(&w, 4, 4, 3);
	replay_plan_release(&w.plan);
	assert_true(replay_aside_place(&w.stream, &to, &w.plan, &w.err));
	expect(&w, D, 0, "");
	expect_count(&w, LANES, 4, 3);
	replay_plan_release(&w.plan);
}

/* As many as a big table has in a day, each the child of the one before. */
static void a_long_line_goes_along(void **state)
{
	enum { MANY = 60000 };
	struct replay_lane *lanes = memory_array(MANY, sizeof(*lanes));
	struct store_position *positions = memory_array(MANY, sizeof(*positions));
	struct replay_stream s = {
		.lanes = lanes, .positions = positions, .lane_count = MANY, .position_count = MANY
	};
	struct store_place to = { .sequence = seq("3"), .event_ms = 1000 }, *kept;
	struct replay_plan plan;
	struct error failed;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		lanes[i] = (struct replay_lane){ .lane.id = i,
						 .positions = &positions[i],
						 .count = 1 };
		/* In an order of their own. */
		snprintf(lanes[i].lane.shard, STORE_SHARD_SIZE, "shard-%d", MANY - i);
		if (i > 0)
			snprintf(lanes[i].lane.parent, STORE_SHARD_SIZE, "shard-%d", MANY - i + 1);
		positions[i] = (struct store_position){
			.lane = i, .sink = EVENTS, .sequence = seq("99"), .done = true
		};
	}
	to.shard = lanes[MANY / 2].lane.shard;
	assert_true(replay_to_place(&s, &to, REPLAY_ALL_SINKS, false, &plan, &failed));
	assert_int_equal(plan.lanes, MANY / 2);
	assert_int_equal(plan.to_begin, MANY / 2 - 1);
	replay_plan_release(&plan);
	kept = memory_array(MANY, sizeof(*kept));
	for (int i = 0; i < MANY; i++) {
		kept[i] = to;
		kept[i].shard = lanes[i].lane.shard;
		kept[i].sink = EVENTS;
	}
	assert_true(replay_to_savepoint(&s, kept, MANY, REPLAY_ALL_SINKS, &plan, &failed));
	assert_int_equal(plan.lanes, MANY);
	assert_int_equal(plan.to_begin, 0);
	replay_plan_release(&plan);
	free(kept);
	free(positions);
	free(lanes);
}

static void ahead_is_only_where_it_is_meant(void **state)
{
	struct store_place to = place(D, 0, "41");
	struct world w;

	(void)state;
	world_init(&w);
	assert_false(replay_to_place(&w.stream, &to, LAKE, false, &w.plan, &w.err));
	assert_int_equal(w.err.kind, ERROR_INVALID);
	replay_plan_release(&w.plan);
	assert_true(replay_to_place(&w.stream, &to, LAKE, true, &w.plan, &w.err));
	expect(&w, D, LAKE, "41");
	expect_count(&w, 1, 1, 0);
	replay_plan_release(&w.plan);
	assert_false(replay_to_place(&w.stream, &to, 7, true, &w.plan, &w.err));
	assert_int_equal(w.err.kind, ERROR_NOT_FOUND);
	replay_plan_release(&w.plan);
	to.shard = "z";
	assert_false(replay_to_place(&w.stream, &to, REPLAY_ALL_SINKS, true, &w.plan, &w.err));
	assert_int_equal(w.err.kind, ERROR_NOT_FOUND);
	replay_plan_release(&w.plan);
}

/* --- aside --- */

static void aside_begins_where_the_furthest_sink_was(void **state)
{
	const struct store_place kept[] = { place(A, EVENTS, "9"),  place(A, LAKE, "7"),
					    place(B, EVENTS, DONE), place(B, LAKE, "3"),
					    place(E, EVENTS, DONE), place(E, LAKE, DONE) };
	struct world w;

	(void)state;
	world_init(&w);
	assert_true(replay_aside_savepoint(&w.stream, kept, 6, REPLAY_ALL_SINKS, &w.plan, &w.err));
	expect(&w, A, REPLAY_ALL_SINKS, "7");
	expect(&w, B, REPLAY_ALL_SINKS, "3");
	expect(&w, C, REPLAY_ALL_SINKS, "");
	expect(&w, D, REPLAY_ALL_SINKS, "");
	expect(&w, E, REPLAY_ALL_SINKS, DONE);
	expect_count(&w, 5, 4, 2);
	assert_int_equal(w.plan.oldest_ms, 1000);
	replay_plan_release(&w.plan);
	assert_true(replay_aside_savepoint(&w.stream, kept, 6, EVENTS, &w.plan, &w.err));
	expect(&w, A, REPLAY_ALL_SINKS, "9");
	expect(&w, B, REPLAY_ALL_SINKS, DONE);
	expect_count(&w, 5, 3, 2);
	replay_plan_release(&w.plan);
}

static void aside_reads_no_shard_that_is_gone(void **state)
{
	struct store_place kept = place(A, LAKE, "7");
	struct world w;

	(void)state;
	world_init(&w);
	kept.shard = "z";
	assert_false(
		replay_aside_savepoint(&w.stream, &kept, 1, REPLAY_ALL_SINKS, &w.plan, &w.err));
	assert_int_equal(w.err.kind, ERROR_NOT_FOUND);
	replay_plan_release(&w.plan);
}

static void aside_from_a_record_reads_its_shard_and_what_descends_from_it(void **state)
{
	struct store_place to = place(B, LAKE, "3");
	struct world w;

	(void)state;
	world_init(&w);
	assert_true(replay_aside_place(&w.stream, &to, &w.plan, &w.err));
	expect(&w, B, REPLAY_ALL_SINKS, "3");
	expect(&w, D, REPLAY_ALL_SINKS, "");
	for (int i = 0; i < LANES; i++)
		if (i != B && i != D)
			assert_true(w.plan.places[i].done);
	expect_count(&w, 5, 2, 1);
	replay_plan_release(&w.plan);
	to.shard = "z";
	assert_false(replay_aside_place(&w.stream, &to, &w.plan, &w.err));
	assert_int_equal(w.err.kind, ERROR_NOT_FOUND);
	replay_plan_release(&w.plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lanes_that_came_later_go_to_their_beginning),
		cmocka_unit_test(what_is_behind_the_savepoint_stays),
		cmocka_unit_test(one_sink_goes_back_alone),
		cmocka_unit_test(a_shard_that_is_gone_cannot_be_read_again),
		cmocka_unit_test(descendants_go_along),
		cmocka_unit_test(a_parent_that_was_seen_late_takes_its_own_along),
		cmocka_unit_test(a_long_line_goes_along),
		cmocka_unit_test(ahead_is_only_where_it_is_meant),
		cmocka_unit_test(aside_begins_where_the_furthest_sink_was),
		cmocka_unit_test(aside_reads_no_shard_that_is_gone),
		cmocka_unit_test(aside_from_a_record_reads_its_shard_and_what_descends_from_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
