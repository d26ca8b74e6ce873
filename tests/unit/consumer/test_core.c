/* How lanes leave a session that lives on, and when they have ended for good. What the simulator
 * cannot see (a lane that leaves for nothing, an index that is never used again) is held here. */
#include "tests/unit/consumer/core_world.h"

static void an_idle_lane_leaves_at_once(void **state)
{
	uint32_t lane, other;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	lane = add(CORE_NONE);
	other = add(CORE_NONE);
	release(lane);
	assert_true(did(CORE_RELEASED, lane));
	assert_false(did(CORE_FETCH, lane));
	assert_true(did(CORE_FETCH, other));
	assert_int_equal(t.core.lanes[lane].state, LANE_RELEASED);
	release(lane); /* again is nothing */
	assert_false(did(CORE_RELEASED, CORE_NONE));
	core_release(&t.core);
}

static void what_is_out_comes_home_first(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	lane = add(CORE_NONE);
	tick();
	assert_true(did(CORE_FETCH, lane));
	release(lane);
	assert_false(did(CORE_RELEASED, lane));
	page(lane, 1, false);
	assert_false(did(CORE_FETCH, CORE_NONE));
	assert_false(did(CORE_RELEASED, lane));
	answer(lane, 0);
	assert_true(did(CORE_SAVE, CORE_NONE));
	assert_false(did(CORE_RELEASED, lane));
	saved();
	assert_true(did(CORE_RELEASED, lane));
	core_release(&t.core);
}

static void a_failed_fetch_is_home_as_well(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	lane = add(CORE_NONE);
	tick();
	release(lane);
	feed((struct core_event){
		.type = CORE_FETCH_FAILED, .lane = lane, .failure = ERROR_THROTTLED });
	assert_true(did(CORE_RELEASED, lane));
	core_release(&t.core);
}

/* The roll is asked for at once, and saved is not enough: it has to be visible. */
static void a_roll_is_asked_for_and_waited_for(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_ROLL, 0);
	lane = add(CORE_NONE);
	tick();
	page(lane, 1, false);
	answer(lane, 7);
	assert_false(did(CORE_PREPARE, CORE_NONE));
	page(lane, 0, false);
	release(lane);
	assert_true(did(CORE_PREPARE, CORE_NONE));
	prepared(7, 1);
	assert_true(did(CORE_SAVE, CORE_NONE));
	saved();
	assert_true(did(CORE_FINISH, CORE_NONE));
	assert_false(did(CORE_RELEASED, lane));
	finished(7);
	assert_true(did(CORE_RELEASED, lane));
	core_release(&t.core);
}

static void a_roll_that_took_later_is_asked_for_too(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_ROLL, 0);
	lane = add(CORE_NONE);
	tick();
	page(lane, 1, false);
	release(lane);
	assert_false(did(CORE_PREPARE, CORE_NONE)); /* the fetch that followed the page is out */
	page(lane, 2, false);
	answer(lane, 7);
	assert_true(did(CORE_PREPARE, CORE_NONE));
	core_release(&t.core);
}

static void descendants_that_wait_leave_behind_their_parent(void **state)
{
	uint32_t parent, child, grandchild, late;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	parent = add(CORE_NONE);
	child = add(parent);
	grandchild = add(child);
	tick();
	release(parent);
	assert_false(did(CORE_RELEASED, CORE_NONE));
	late = add(parent); /* listed while its parent is on its way out */
	page(parent, 0, false);
	assert_int_equal(t.count, 4);
	assert_int_equal(t.actions[0].lane, parent);
	assert_true(did(CORE_RELEASED, child) && did(CORE_RELEASED, late));
	assert_int_equal(t.core.lanes[grandchild].state, LANE_RELEASED);
	late = add(parent);
	tick();
	assert_true(did(CORE_RELEASED, late));
	core_release(&t.core);
}

static void what_closes_or_stands_stays_with_its_descendants(void **state)
{
	for (int closes = 0; closes <= 1; closes++) {
		uint32_t parent, child;

		begin(SINK_IMMEDIATE, 0);
		parent = add(CORE_NONE);
		child = add(parent);
		tick();
		release(parent);
		if (closes)
			page(parent, 0, true);
		else
			feed((struct core_event){ .type = CORE_FETCH_FAILED,
						  .lane = parent,
						  .failure = ERROR_TRIMMED });
		assert_int_equal(did(CORE_FETCH, child), closes);
		release(parent);
		tick();
		assert_false(did(CORE_RELEASED, CORE_NONE));
		core_release(&t.core);
	}
	(void)state;
}

static void a_gap_holds_a_lane_until_it_is_accepted(void **state)
{
	uint32_t parent, child, other;

	(void)state;
	begin(SINK_IMMEDIATE, 20);
	parent = add(CORE_NONE);
	child = add(parent);
	other = add(CORE_NONE);
	feed((struct core_event){ .type = CORE_CHILDREN, .lane = CORE_NONE });
	fail_with(parent, ERROR_TRIMMED);
	for (int i = 0, out = 1; i < 40; i++) { /* the other one is idle for long */
		if (out)
			page(other, 0, false);
		else
			tick();
		out = did(CORE_FETCH, other);
		assert_false(did(CORE_FETCH, parent) || did(CORE_FETCH, child));
		assert_false(did(CORE_IDLE, CORE_NONE)); /* whether it stays is not known yet */
	}
	gap(parent, false);
	assert_true(did(CORE_IDLE, CORE_NONE));
	assert_false(did(CORE_FETCH, parent));
	gap(parent, true);
	assert_true(did(CORE_FETCH, parent));
	gap(parent, true); /* told again */
	assert_false(did(CORE_FETCH, parent));
	page(parent, 0, true);
	assert_true(did(CORE_FETCH, child));
	core_release(&t.core);
}

static void an_accepted_gap_does_not_pass_over_a_bad_record(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	lane = add(CORE_NONE);
	tick();
	page(lane, 1, false);
	while (!did(CORE_FETCH, lane))
		tick();
	fail_with(lane, ERROR_TRIMMED);
	feed((struct core_event){ .type = CORE_STAND, .lane = lane, .sink = t.sink });
	gap(lane, true);
	tick();
	assert_false(did(CORE_FETCH, lane));
	core_release(&t.core);
}

static void pages_that_wait_still_count_behind_a_gap(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	lane = add(CORE_NONE);
	tick();
	page(lane, 1, false);
	while (!did(CORE_FETCH, lane))
		tick();
	fail_with(lane, ERROR_TRIMMED);
	answer(lane, 0); /* delivered, and saved, while it stands */
	assert_true(did(CORE_SAVE, CORE_NONE));
	assert_int_equal(t.core.save.move_count, 1);
	saved();
	gap(lane, true);
	assert_true(did(CORE_FETCH, lane));
	core_release(&t.core);
}

/* --- how old what is not delivered, or not saved, may be --- */

#define EPOCH_MS 1700000000000

static struct core_ages ages(void)
{
	struct core_ages a;

	assert_int_equal(t.core.stream_count, 1);
	/* The lanes' epoch runs with the steps. */
	core_ages(&t.core, t.now_ms, EPOCH_MS + t.now_ms, &a);
	return a;
}

static uint32_t add_since(uint32_t parent, int64_t age_ms)
{
	struct core_lane_start start = { .parent = parent,
					 .store_id = 1,
					 .since_ms = EPOCH_MS + t.now_ms - age_ms };

	return core_add_lane(&t.core, &start, t.now_ms);
}

static void the_age_of_what_is_missing(void **state)
{
	struct core_event e = { .type = CORE_PAGE, .records = 1, .bytes = 100, .end = at(1) };
	uint32_t lane, child;
	int64_t before;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	lane = add_since(CORE_NONE, 5000);
	child = add_since(lane, 9000); /* not before its parent: older than that it cannot be */
	assert_int_equal(ages().undelivered_ms, 5000);
	tick();
	page(lane, 0, false); /* nothing was there */
	assert_int_equal(ages().undelivered_ms, 0);
	assert_int_equal(ages().unsaved_ms, 0);

	before = t.now_ms;
	while (!did(CORE_FETCH, lane))
		tick();
	e.lane = lane;
	e.end_ms = EPOCH_MS + t.now_ms - 400000; /* its clock says so; but we looked since */
	feed(e);                                 /* and the next page is asked for at once */
	assert_int_equal(ages().undelivered_ms, t.now_ms - before);
	assert_int_equal(ages().unsaved_ms, t.now_ms - before);
	answer(lane, 0);
	page(lane, 0, false); /* delivered, but the save is not answered */
	assert_int_equal(ages().undelivered_ms, 0);
	assert_int_equal(ages().unsaved_ms, t.now_ms - before);
	saved();
	while (!did(CORE_FETCH, lane))
		tick();
	page(lane, 0, false);
	assert_int_equal(ages().unsaved_ms, 0);

	before = t.now_ms;
	while (!did(CORE_FETCH, lane))
		tick();
	fail_with(lane, ERROR_TRIMMED); /* nobody knows what comes: it runs down */
	for (int i = 0; i < 200; i++)
		tick();
	assert_int_equal(ages().undelivered_ms, t.now_ms - before);
	assert_int_equal(ages().unsaved_ms, t.now_ms - before);
	(void)child;
	core_release(&t.core);
}

static void each_stream_has_an_age_of_its_own(void **state)
{
	struct pacing_limits limits = { .min_ms = 50, .max_ms = 50 };
	struct core_lane_start start = { .parent = CORE_NONE, .store_id = 2 };
	struct core_ages all[3];

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	core_add_stream(&t.core, &limits, &t.sink, 1);
	start.stream = core_add_stream(&t.core, &limits, &t.sink, 1);
	start.since_ms = EPOCH_MS + t.now_ms - 7000;
	add_since(CORE_NONE, 5000);
	core_add_lane(&t.core, &start, t.now_ms);
	core_ages(&t.core, t.now_ms, EPOCH_MS + t.now_ms, all);
	assert_int_equal(all[0].undelivered_ms, 5000);
	assert_int_equal(all[1].undelivered_ms, 0);
	assert_int_equal(all[1].unsaved_ms, 0);
	assert_int_equal(all[2].undelivered_ms, 7000);
	core_release(&t.core);
}

/* Dropped only when its end is in the store and nobody asks for its children any more. */
static void a_lane_has_ended_once(void **state)
{
	uint32_t lane, child;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	lane = add(CORE_NONE);
	tick();
	page(lane, 0, true);
	assert_true(did(CORE_SAVE, CORE_NONE));
	saved();
	assert_false(did(CORE_ENDED, lane));
	child = add(lane);
	feed((struct core_event){ .type = CORE_CHILDREN, .lane = lane });
	assert_true(did(CORE_ENDED, lane));
	assert_true(did(CORE_FETCH, child));
	tick();
	assert_false(did(CORE_ENDED, lane));
	core_release(&t.core);
}

/* Another session starts the child as soon as it sees the end. */
static void an_end_is_saved_when_all_of_it_is_visible(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_ROLL, 0);
	lane = add(CORE_NONE);
	tick();
	page(lane, 1, true);
	answer(lane, 1);
	prepared(1, 1);
	assert_true(did(CORE_SAVE, CORE_NONE));
	assert_int_equal(t.core.save.move_count, 1);
	assert_false(t.core.save.moves[0].move.done);
	saved();
	tick();
	assert_false(did(CORE_SAVE, CORE_NONE));
	finished(1);
	assert_true(did(CORE_SAVE, CORE_NONE));
	assert_true(t.core.save.moves[0].move.done);
	core_release(&t.core);
}

/* A month of rotation: the same few indices. */
static void an_index_is_used_again(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	lane = add(CORE_NONE);
	tick();
	for (int i = 0; i < 1000; i++) {
		uint32_t next = add(lane);

		page(lane, 0, true);
		saved();
		feed((struct core_event){ .type = CORE_CHILDREN, .lane = lane });
		assert_true(did(CORE_ENDED, lane));
		core_drop_lane(&t.core, lane);
		assert_int_equal(t.core.lanes[next].parent, CORE_NONE);
		assert_int_equal(t.core.lanes[next].state, LANE_FETCHING);
		lane = next;
	}
	assert_int_equal(t.core.lane_count, 2);
	assert_int_equal(t.core.slot_count, 1);
	core_release(&t.core);
}

static void a_stop_brings_home_what_was_on_its_way_out(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_ROLL, 0);
	lane = add(CORE_NONE);
	tick();
	page(lane, 1, false);
	release(lane);
	feed((struct core_event){ .type = CORE_STOP });
	page(lane, 2, false);
	answer(lane, 3);
	assert_true(did(CORE_PREPARE, CORE_NONE));
	answer(lane, 3);
	prepared(3, 2);
	while (t.core.saving) /* when it was read last, then the roll */
		saved();
	assert_true(did(CORE_FINISH, CORE_NONE));
	finished(3);
	assert_true(did(CORE_RELEASED, lane));
	assert_false(did(CORE_DRAINED, CORE_NONE));
	saved(); /* the finished roll's row */
	assert_true(did(CORE_DRAINED, CORE_NONE));
	core_release(&t.core);
}

static void what_has_left_is_not_waited_for(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_IMMEDIATE, 100);
	lane = add(CORE_NONE);
	feed((struct core_event){ .type = CORE_CHILDREN, .lane = CORE_NONE });
	assert_true(did(CORE_FETCH, lane));
	assert_false(did(CORE_IDLE, CORE_NONE));
	release(lane);
	page(lane, 0, false);
	assert_true(did(CORE_RELEASED, lane) && did(CORE_IDLE, CORE_NONE));
	core_drop_lane(&t.core, lane);
	tick();
	lane = add(CORE_NONE); /* and it begins anew with one that comes */
	for (int i = 0; i < 20 && !did(CORE_IDLE, CORE_NONE); i++) {
		tick();
		if (did(CORE_FETCH, lane))
			page(lane, 0, false);
	}
	assert_true(did(CORE_IDLE, CORE_NONE));
	core_release(&t.core);
}

/* A stream that is left makes room; its lanes, pages and numbers are no concern of the next one. */
static void streams_come_and_go(void **state)
{
	struct pacing_limits limits = { .min_ms = 50, .max_ms = 50 };
	uint32_t lane, second;

	(void)state;
	begin(SINK_IMMEDIATE, 100);
	core_expect(&t.core, 1);
	feed((struct core_event){ .type = CORE_CHILDREN, .lane = CORE_NONE });
	assert_false(did(CORE_IDLE, CORE_NONE)); /* one is on its way */
	second = core_add_stream(&t.core, &limits, &t.sink, 1);
	core_expect(&t.core, 0);
	assert_int_equal(second, 1);
	tick();
	assert_false(did(CORE_IDLE, CORE_NONE)); /* it is not listed yet */
	feed((struct core_event){ .type = CORE_CHILDREN, .stream = second, .lane = CORE_NONE });
	assert_true(did(CORE_IDLE, CORE_NONE));

	core_remove_stream(&t.core, 0);
	assert_int_equal(core_add_stream(&t.core, &limits, &t.sink, 1), 0);
	tick();
	assert_false(did(CORE_IDLE, CORE_NONE));
	lane = add(CORE_NONE);
	feed((struct core_event){ .type = CORE_CHILDREN, .lane = CORE_NONE });
	assert_true(did(CORE_FETCH, lane));
	page(lane, 0, true);
	saved();
	feed((struct core_event){ .type = CORE_CHILDREN, .lane = lane });
	assert_true(did(CORE_ENDED, lane));
	core_drop_lane(&t.core, lane);
	core_remove_stream(&t.core, 0);
	for (uint32_t want = 0; want < 20; want++)
		assert_int_equal(core_add_stream(&t.core, &limits, &t.sink, 1),
				 want ? want + 1 : 0);
	core_release(&t.core);
}

/* A position that is known without the time when it was read looks as if nobody had ever been
 * there. */
static void the_first_position_comes_with_the_time_of_its_read(void **state)
{
	uint32_t lane;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	t.core.read_saved_at_ms = t.now_ms; /* of other lanes, just now */
	lane = add(CORE_NONE);
	tick();
	for (int n = 1; n <= 3; n++) {
		page(lane, n, false);
		answer(lane, 0);
		while (!did(CORE_SAVE, CORE_NONE))
			tick();
		assert_int_equal(t.core.save.move_count, 1);
		assert_int_equal(t.core.save.read_count, n == 1);
		saved();
		while (t.core.lanes[lane].state != LANE_FETCHING)
			tick();
	}
	core_release(&t.core);
}

static void a_view_says_which_sink_is_waited_for(void **state)
{
	struct pacing_limits limits = { .min_ms = 50, .max_ms = 50 };
	struct core_lane_start start = { .parent = CORE_NONE, .store_id = 1 };
	struct core_view view;
	uint32_t sinks[2], lane;

	(void)state;
	begin(SINK_IMMEDIATE, 0);
	sinks[0] = t.sink;
	sinks[1] = core_add_sink(&t.core, SINK_IMMEDIATE);
	start.stream = core_add_stream(&t.core, &limits, sinks, 2);
	lane = core_add_lane(&t.core, &start, t.now_ms);
	tick();
	assert_true(did(CORE_FETCH, lane));
	page(lane, 1, false);
	core_view(&t.core, start.stream, &view);
	assert_int_equal(view.waited_for[0] + view.waited_for[1], 0); /* each other's equal */
	answer(lane, 0);
	core_view(&t.core, start.stream, &view);
	assert_int_equal(view.waited_for[0], 0);
	assert_int_equal(view.waited_for[1], 1);
	t.sink = sinks[1];
	answer(lane, 0);
	core_view(&t.core, start.stream, &view);
	assert_int_equal(view.waited_for[0] + view.waited_for[1], 0);
	core_release(&t.core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_lane_leaves_at_once),
		cmocka_unit_test(what_is_out_comes_home_first),
		cmocka_unit_test(a_failed_fetch_is_home_as_well),
		cmocka_unit_test(a_roll_is_asked_for_and_waited_for),
		cmocka_unit_test(a_roll_that_took_later_is_asked_for_too),
		cmocka_unit_test(descendants_that_wait_leave_behind_their_parent),
		cmocka_unit_test(what_closes_or_stands_stays_with_its_descendants),
		cmocka_unit_test(a_lane_has_ended_once),
		cmocka_unit_test(an_end_is_saved_when_all_of_it_is_visible),
		cmocka_unit_test(an_index_is_used_again),
		cmocka_unit_test(a_stop_brings_home_what_was_on_its_way_out),
		cmocka_unit_test(what_has_left_is_not_waited_for),
		cmocka_unit_test(streams_come_and_go),
		cmocka_unit_test(a_gap_holds_a_lane_until_it_is_accepted),
		cmocka_unit_test(an_accepted_gap_does_not_pass_over_a_bad_record),
		cmocka_unit_test(pages_that_wait_still_count_behind_a_gap),
		cmocka_unit_test(the_age_of_what_is_missing),
		cmocka_unit_test(each_stream_has_an_age_of_its_own),
		cmocka_unit_test(the_first_position_comes_with_the_time_of_its_read),
		cmocka_unit_test(a_view_says_which_sink_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
