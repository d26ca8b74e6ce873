/* A sink of transactions: what is pending, what moves, and when a lane may leave. */
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
	uint32_t sink, lane;
	int64_t now_ms;
	struct core_action actions[ACTIONS_MAX]; /* of the last step */
	size_t count;
} t;

static struct sequence at(int n)
{
	struct sequence s;
	struct error err;
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", 100000 + n);

	assert_true(sequence_parse(&s, (struct str){ text, (size_t)length }, &err));
	return s;
}

static void feed(struct core_event e)
{
	e.now_ms = ++t.now_ms;
	e.sink = t.sink;
	e.lane = t.lane;
	t.count = core_step(&t.core, &e, t.actions, ACTIONS_MAX);
}

static bool did(enum core_action_type type)
{
	for (size_t i = 0; i < t.count; i++)
		if (t.actions[i].type == type)
			return true;
	return false;
}

static void page(int end)
{
	struct core_event e = { .type = CORE_PAGE };

	if (end > 0) {
		e.end = at(end);
		e.records = 1;
		e.bytes = 100;
		e.end_ms = end;
	}
	feed(e);
}

/* A request that is out has nothing for us. */
static void come_home(void)
{
	if (t.core.lanes[t.lane].state == LANE_FETCHING)
		page(0);
}

static void answer(uint64_t roll)
{
	feed((struct core_event){ .type = CORE_ANSWER, .roll = roll });
}

static void prepared(uint64_t roll, uint64_t deliveries)
{
	feed((struct core_event){ .type = CORE_PREPARED, .roll = roll, .deliveries = deliveries });
}

static void of_roll(enum core_event_type type, uint64_t roll)
{
	feed((struct core_event){ .type = type, .roll = roll });
}

static void assert_place(const struct core_move *m, int to)
{
	struct sequence s = at(to);

	assert_true(sequence_equal(&m->move.to, &s));
	assert_int_equal(m->move.event_ms, to);
}

/* One lane that was read once; a save a second. */
static int begin(void **state)
{
	struct core_settings settings = {
		.memory_bytes = 1 << 30, .save_interval_ms = 1000, .fetches_max = 4, .lanes_max = 4
	};
	struct pacing_limits limits = { .min_ms = 1, .max_ms = 1 };
	struct core_lane_start start = { .parent = CORE_NONE, .store_id = 1 };

	(void)state;
	memset(&t, 0, sizeof(t));
	t.now_ms = 100000;
	core_init(&t.core, &settings);
	t.core.saved_at_ms = t.core.read_saved_at_ms = t.now_ms;
	t.sink = core_add_sink(&t.core, SINK_TRANSACTION);
	core_add_stream(&t.core, &limits, &t.sink, 1);
	t.lane = core_add_lane(&t.core, &start, t.now_ms);
	of_roll(CORE_TICK, 0);
	assert_true(did(CORE_FETCH));
	page(1);
	return 0;
}

static int end(void **state)
{
	(void)state;
	core_release(&t.core);
	return 0;
}

/* Transaction 1, committed; the lane's next page is read. */
static void commit_first(void)
{
	answer(1);
	prepared(1, 1);
	assert_true(did(CORE_SAVE));
	assert_int_equal(t.core.save.move_count, 0);
	assert_int_equal(t.core.save.roll_count, 1);
	assert_int_equal(t.core.save.pending_count, 1);
	assert_place(&t.core.save.pending[0], 1);
	of_roll(CORE_SAVED, 0);
	assert_true(did(CORE_FINISH));
	of_roll(CORE_FINISHED, 1);
}

static void the_next_transaction_s_save_moves(void **state)
{
	(void)state;
	commit_first();
	assert_false(did(CORE_SAVE)); /* in its time */
	page(2);
	answer(2);
	prepared(2, 1);
	assert_true(did(CORE_SAVE));
	assert_int_equal(t.core.save.move_count, 1);
	assert_place(&t.core.save.moves[0], 1);
	assert_int_equal(t.core.save.finished_count, 1);
	assert_int_equal(t.core.save.finished[0].roll, 1);
	assert_int_equal(t.core.save.pending_count, 1);
	assert_place(&t.core.save.pending[0], 2);
}

static void a_quiet_sink_s_last_one_moves_within_the_interval(void **state)
{
	(void)state;
	commit_first();
	t.now_ms += 1000;
	assert_true(core_wake_ms(&t.core) <= t.now_ms);
	of_roll(CORE_TICK, 0);
	assert_true(did(CORE_SAVE));
	assert_int_equal(t.core.save.move_count, 1);
	assert_place(&t.core.save.moves[0], 1);
	assert_int_equal(t.core.save.pending_count, 0);
	of_roll(CORE_SAVED, 0);
	t.now_ms += 1000;
	of_roll(CORE_TICK, 0);
	assert_false(did(CORE_SAVE));
}

/* At the burial what is pending becomes the lane's position: where it is not known when that was
 * read, nobody can tell that it was left alone for a day. */
static void that_it_was_read_comes_with_what_is_pending(void **state)
{
	(void)state;
	answer(1);
	prepared(1, 1);
	assert_int_equal(t.core.save.pending_count, 1);
	assert_int_equal(t.core.save.move_count, 0);
	assert_int_equal(t.core.save.read_count, 1);
	assert_int_equal(t.core.save.reads[0], t.lane);
	of_roll(CORE_SAVED, 0);
	of_roll(CORE_FINISHED, 1);
	page(2);
	answer(2);
	prepared(2, 1);
	assert_int_equal(t.core.save.pending_count, 1);
	assert_int_equal(t.core.save.read_count, 0); /* later in its time */
}

/* That it is pending is not enough, and that it is committed neither. */
static void a_lane_leaves_once_its_last_transaction_has_moved(void **state)
{
	(void)state;
	of_roll(CORE_RELEASE, 0);
	come_home();
	commit_first();
	assert_false(did(CORE_RELEASED));
	t.now_ms += 1000;
	of_roll(CORE_TICK, 0);
	assert_true(did(CORE_SAVE));
	assert_false(did(CORE_RELEASED));
	of_roll(CORE_SAVED, 0);
	assert_true(did(CORE_RELEASED));
}

static void a_stop_waits_for_it_too(void **state)
{
	(void)state;
	commit_first();
	of_roll(CORE_STOP, 0);
	assert_true(did(CORE_SAVE));
	come_home();
	assert_false(did(CORE_DRAINED));
	of_roll(CORE_SAVED, 0);
	while (did(CORE_SAVE)) /* when it was read last */
		of_roll(CORE_SAVED, 0);
	assert_true(did(CORE_DRAINED));
}

/* A page in two transactions: each moves its part. */
static void a_part_of_a_page_is_pending_for_itself(void **state)
{
	(void)state;
	page(9);
	answer(1);
	feed((struct core_event){ .type = CORE_PART, .end = at(5), .end_ms = 5, .roll = 1 });
	prepared(1, 2);
	assert_true(did(CORE_SAVE));
	assert_int_equal(t.core.save.pending_count, 1);
	assert_place(&t.core.save.pending[0], 5);
	of_roll(CORE_SAVED, 0);
	of_roll(CORE_FINISHED, 1);
	answer(2);
	prepared(2, 1);
	assert_place(&t.core.save.moves[0], 5);
	assert_place(&t.core.save.pending[0], 9);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		T(the_next_transaction_s_save_moves),
		T(a_quiet_sink_s_last_one_moves_within_the_interval),
		T(that_it_was_read_comes_with_what_is_pending),
		T(a_lane_leaves_once_its_last_transaction_has_moved),
		T(a_stop_waits_for_it_too),
		T(a_part_of_a_page_is_pending_for_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
