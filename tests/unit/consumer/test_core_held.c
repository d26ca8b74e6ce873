/* All lanes of a stream that is held leave, also those that stand still. */
#include "tests/unit/consumer/core_world.h"

static int up(void **state)
{
	(void)state;
	begin(false, 0);
	return 0;
}

static int down(void **state)
{
	(void)state;
	core_release(&t.core);
	return 0;
}

static void hold(void)
{
	feed((struct core_event){ .type = CORE_HOLD });
}

/* The parent is being read. */
static void add_family(uint32_t *parent, uint32_t *child)
{
	*parent = add(CORE_NONE);
	*child = add(*parent);
	tick();
}

static void all_of_a_held_stream_leaves(void **state)
{
	uint32_t idle, out, parent, child;

	(void)state;
	out = add(CORE_NONE);
	parent = add(CORE_NONE);
	tick();
	child = add(parent);
	idle = add(CORE_NONE);
	hold();
	assert_true(did(CORE_RELEASED, idle));
	assert_false(did(CORE_FETCH, CORE_NONE));
	page(out, 1, false);
	assert_false(did(CORE_RELEASED, out));
	answer(out, 0);
	saved();
	assert_true(did(CORE_RELEASED, out));
	page(parent, 0, false);
	assert_true(did(CORE_RELEASED, parent));
	assert_true(did(CORE_RELEASED, child));
}

static void its_rolls_are_asked_for(void **state)
{
	uint32_t lane;

	(void)state;
	core_release(&t.core);
	begin(true, 0);
	lane = add(CORE_NONE);
	tick();
	page(lane, 1, false);
	answer(lane, 7);
	page(lane, 0, false);
	hold();
	assert_true(did(CORE_PREPARE, CORE_NONE));
	prepared(7, 1);
	saved();
	assert_false(did(CORE_RELEASED, lane));
	finished(7);
	assert_true(did(CORE_RELEASED, lane));
}

static void what_stands_at_a_gap_leaves_once_it_is_recorded(void **state)
{
	uint32_t before, after;

	(void)state;
	before = add(CORE_NONE);
	after = add(CORE_NONE);
	tick();
	fail_with(before, ERROR_TRIMMED);
	gap(before, false);
	hold();
	assert_true(did(CORE_RELEASED, before));
	fail_with(after, ERROR_TRIMMED); /* while it is on its way out */
	tick();
	assert_false(did(CORE_RELEASED, after));
	gap(after, false);
	assert_true(did(CORE_RELEASED, after));
	core_drop_lane(&t.core, before);
	core_drop_lane(&t.core, after);
}

static void behind_an_accepted_gap_it_leaves_too(void **state)
{
	uint32_t lane;

	(void)state;
	lane = add(CORE_NONE);
	tick();
	fail_with(lane, ERROR_TRIMMED);
	hold();
	assert_false(did(CORE_RELEASED, lane));
	gap(lane, true);
	assert_true(did(CORE_RELEASED, lane));
	assert_false(did(CORE_FETCH, CORE_NONE));
}

/* Its descendants too: they wait for a lane that ends never. */
static void what_stands_for_good_leaves(void **state)
{
	uint32_t invalid, stopped, child;

	(void)state;
	invalid = add(CORE_NONE);
	stopped = add(CORE_NONE);
	child = add(stopped);
	tick();
	fail_with(invalid, ERROR_INVALID);
	feed((struct core_event){ .type = CORE_PAGE, .lane = stopped, .stopped = true });
	hold();
	assert_true(did(CORE_RELEASED, invalid));
	assert_true(did(CORE_RELEASED, stopped));
	assert_true(did(CORE_RELEASED, child));
}

static void what_is_closed_ends_and_its_children_leave(void **state)
{
	uint32_t parent, child;

	(void)state;
	add_family(&parent, &child);
	page(parent, 1, true);
	assert_true(did(CORE_DISCOVER, parent));
	hold();
	assert_true(did(CORE_RELEASED, child));
	assert_false(did(CORE_RELEASED, parent));
	answer(parent, 0);
	assert_true(did(CORE_SAVE, CORE_NONE));
	assert_true(t.core.save.moves[0].move.done);
	saved();
	feed((struct core_event){ .type = CORE_CHILDREN, .lane = parent });
	assert_true(did(CORE_ENDED, parent));
	assert_false(did(CORE_FETCH, CORE_NONE));
}

/* Of one that ends early nobody asks for children; those that are known come behind it. */
static void what_is_childless_ends_at_once(void **state)
{
	uint32_t parent, child;
	struct core_event end = { .type = CORE_PAGE, .closed = true, .childless = true };

	(void)state;
	add_family(&parent, &child);
	end.lane = parent;
	feed(end);
	assert_false(did(CORE_DISCOVER, CORE_NONE));
	assert_true(did(CORE_FETCH, child));
	assert_true(did(CORE_SAVE, CORE_NONE));
	assert_true(t.core.save.moves[0].move.done);
	saved();
	assert_true(did(CORE_ENDED, parent));
}

static void one_that_closes_on_its_way_out_ends(void **state)
{
	uint32_t parent, child;

	(void)state;
	add_family(&parent, &child);
	hold();
	page(parent, 0, true);
	assert_false(did(CORE_FETCH, CORE_NONE));
	assert_true(did(CORE_RELEASED, child));
	assert_int_equal(t.core.lanes[parent].state, LANE_ENDED);
}

static void what_comes_late_to_a_held_stream_leaves(void **state)
{
	uint32_t lane;

	(void)state;
	hold();
	lane = add(CORE_NONE);
	tick();
	assert_true(did(CORE_RELEASED, lane));
	assert_false(did(CORE_FETCH, CORE_NONE));
	core_drop_lane(&t.core, lane);
	core_remove_stream(&t.core, 0);
}

static void other_streams_go_on(void **state)
{
	struct pacing_limits limits = { .min_ms = 50, .max_ms = 50 };
	struct core_lane_start start = { .parent = CORE_NONE, .store_id = 2 };
	uint32_t held, other;

	(void)state;
	held = add(CORE_NONE);
	start.stream = core_add_stream(&t.core, &limits, &t.sink, 1);
	other = core_add_lane(&t.core, &start, t.now_ms);
	hold();
	assert_true(did(CORE_RELEASED, held));
	assert_true(did(CORE_FETCH, other));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_of_a_held_stream_leaves),
		TEST(its_rolls_are_asked_for),
		TEST(what_stands_at_a_gap_leaves_once_it_is_recorded),
		TEST(behind_an_accepted_gap_it_leaves_too),
		TEST(what_stands_for_good_leaves),
		TEST(what_is_closed_ends_and_its_children_leave),
		TEST(what_is_childless_ends_at_once),
		TEST(one_that_closes_on_its_way_out_ends),
		TEST(what_comes_late_to_a_held_stream_leaves),
		TEST(other_streams_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
