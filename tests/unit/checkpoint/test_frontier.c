/* How far a sink has a lane, and what of that may be saved: rolls, what is settled behind them, the
 * end of the lane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/frontier.h"

static struct sequence at(int n)
{
	struct sequence s;
	struct error err;
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", 100000 + n);

	assert_true(sequence_parse(&s, (struct str){ text, (size_t)length }, &err));
	return s;
}

static void answer(struct frontier *f, int n, uint64_t roll)
{
	struct sequence end = at(n);

	frontier_answer(f, &end, n * 1000, roll);
}

/* What a save with this roll moves: from and to, 0 for none; saves it. */
static void assert_saves(struct frontier *f, uint64_t roll, int from, int to, bool done)
{
	struct frontier_move move;
	struct sequence a = from ? at(from) : SEQUENCE_NONE, b = to ? at(to) : SEQUENCE_NONE;

	assert_true(frontier_move(f, roll, true, &move));
	assert_true(sequence_equal(&move.from, &a));
	assert_true(sequence_equal(&move.to, &b));
	assert_int_equal(move.event_ms, to * 1000);
	assert_int_equal(move.done, done);
	frontier_saved(f, roll, &move);
}

static void assert_saves_nothing(const struct frontier *f, uint64_t roll)
{
	struct frontier_move move;

	assert_false(frontier_move(f, roll, true, &move));
}

/* Where transaction `roll` will bring the lane; 0: it has nothing of it. */
static void assert_pending(const struct frontier *f, uint64_t roll, int to)
{
	struct frontier_move move;
	struct sequence b = to ? at(to) : SEQUENCE_NONE;

	assert_int_equal(frontier_pending(f, roll, &move), to != 0);
	if (to == 0)
		return;
	assert_true(sequence_equal(&move.to, &b));
	assert_int_equal(move.event_ms, to * 1000);
}

static struct frontier begun(void)
{
	struct frontier f;

	frontier_start(&f, &SEQUENCE_NONE, 0, false);
	assert_true(frontier_clean(&f));
	assert_saves_nothing(&f, 0);
	assert_saves_nothing(&f, 1);
	return f;
}

static void settled_pages_are_saved_at_once(void **state)
{
	struct frontier f = begun();

	(void)state;
	answer(&f, 1, 0);
	answer(&f, 2, 0);
	assert_false(frontier_clean(&f));
	assert_saves(&f, 0, 0, 2, false);
	assert_true(frontier_clean(&f));
	assert_saves_nothing(&f, 0);
}

static void what_a_roll_holds_waits_for_it(void **state)
{
	struct frontier f = begun();

	(void)state;
	answer(&f, 1, 7);
	answer(&f, 2, 7);
	assert_saves_nothing(&f, 0);
	assert_saves_nothing(&f, 6);
	assert_saves_nothing(&f, 8);
	assert_saves(&f, 7, 0, 2, false);
	assert_true(frontier_clean(&f));
}

static void a_transaction_is_pending_before_it_moves(void **state)
{
	struct frontier f = begun();

	(void)state;
	assert_pending(&f, 0, 0);
	answer(&f, 1, 0);
	assert_pending(&f, 1, 0);
	answer(&f, 2, 1);
	answer(&f, 3, 0);
	assert_pending(&f, 0, 0);
	assert_pending(&f, 2, 0);
	assert_pending(&f, 1, 3);
	assert_saves_nothing(&f, 0);
	assert_false(frontier_clean(&f)); /* it may never be committed */
	answer(&f, 4, 2);
	answer(&f, 5, 0);
	assert_pending(&f, 2, 5);
	assert_saves(&f, 1, 0, 2, false);
	assert_pending(&f, 2, 5);
	assert_saves(&f, 2, 2, 5, false);
	assert_true(frontier_clean(&f));
}

static void a_settled_page_before_a_roll_goes_with_it(void **state)
{
	struct frontier f = begun();

	(void)state;
	answer(&f, 1, 0);
	answer(&f, 2, 1);
	assert_saves_nothing(&f, 0);
	assert_saves(&f, 1, 0, 2, false);
}

static void a_settled_page_behind_the_last_roll_goes_with_it(void **state)
{
	struct frontier f = begun();

	(void)state;
	answer(&f, 1, 1);
	answer(&f, 2, 0);
	assert_saves_nothing(&f, 0);
	assert_saves(&f, 1, 0, 2, false);
	assert_true(frontier_clean(&f));
}

static void a_settled_page_between_two_rolls_goes_with_the_second(void **state)
{
	struct frontier f = begun();

	(void)state;
	answer(&f, 1, 1);
	answer(&f, 2, 0);
	answer(&f, 3, 2);
	answer(&f, 4, 0);
	assert_saves_nothing(&f, 2);
	assert_saves(&f, 1, 0, 1, false);
	assert_false(frontier_clean(&f));
	assert_saves_nothing(&f, 0);
	assert_saves_nothing(&f, 1);
	assert_saves(&f, 2, 1, 4, false);
	assert_true(frontier_clean(&f));
}

/* Answers may come while the save is under way. */
static void what_came_during_a_save_is_not_lost(void **state)
{
	struct frontier f = begun();
	struct frontier_move move;

	(void)state;
	answer(&f, 1, 1);
	assert_true(frontier_move(&f, 1, true, &move));
	answer(&f, 2, 2);
	frontier_saved(&f, 1, &move);
	assert_false(frontier_clean(&f));
	assert_saves_nothing(&f, 0);
	assert_saves(&f, 2, 1, 2, false);

	answer(&f, 3, 0);
	assert_true(frontier_move(&f, 0, true, &move));
	answer(&f, 4, 0);
	frontier_close(&f);
	frontier_saved(&f, 0, &move);
	assert_saves(&f, 0, 3, 4, true);
	assert_true(frontier_clean(&f));
}

static void the_end_is_saved_with_the_last_page(void **state)
{
	struct frontier f = begun();

	(void)state;
	answer(&f, 1, 1);
	answer(&f, 2, 2);
	frontier_close(&f);
	assert_saves(&f, 1, 0, 1, false);
	assert_saves(&f, 2, 1, 2, true);
	assert_true(frontier_clean(&f));
	assert_saves_nothing(&f, 0);
}

static void the_end_alone_is_worth_a_save(void **state)
{
	struct frontier f = begun();

	(void)state;
	answer(&f, 1, 0);
	assert_saves(&f, 0, 0, 1, false);
	frontier_close(&f);
	assert_false(frontier_clean(&f));
	assert_saves(&f, 0, 1, 1, true);
	assert_true(frontier_clean(&f));
}

/* Another session relies on it: all of the lane has to be visible. */
static void the_end_waits_until_it_may_be_saved(void **state)
{
	struct frontier f = begun();
	struct frontier_move move;

	(void)state;
	answer(&f, 1, 4);
	frontier_close(&f);
	assert_false(frontier_visible(&f, 3));
	assert_true(frontier_move(&f, 4, false, &move));
	assert_false(move.done);
	frontier_saved(&f, 4, &move);
	assert_false(frontier_clean(&f));
	assert_false(frontier_move(&f, 0, false, &move));
	assert_true(frontier_visible(&f, 4));
	assert_saves(&f, 0, 1, 1, true);
	assert_true(frontier_clean(&f));
	assert_false(frontier_move(&f, 0, false, &move)); /* and is never taken back */
}

static void an_empty_shard_ends_without_a_place(void **state)
{
	struct frontier f = begun();

	(void)state;
	frontier_close(&f);
	assert_saves(&f, 0, 0, 0, true);
	assert_true(frontier_clean(&f));
}

static void another_session_goes_on_from_the_store(void **state)
{
	struct frontier f;
	struct sequence saved = at(5);

	(void)state;
	frontier_start(&f, &saved, 5000, false);
	assert_true(frontier_clean(&f));
	answer(&f, 6, 1);
	assert_saves(&f, 1, 5, 6, false);

	frontier_start(&f, &saved, 5000, true);
	assert_true(frontier_clean(&f));
	assert_saves_nothing(&f, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settled_pages_are_saved_at_once),
		cmocka_unit_test(what_a_roll_holds_waits_for_it),
		cmocka_unit_test(a_transaction_is_pending_before_it_moves),
		cmocka_unit_test(a_settled_page_before_a_roll_goes_with_it),
		cmocka_unit_test(a_settled_page_behind_the_last_roll_goes_with_it),
		cmocka_unit_test(a_settled_page_between_two_rolls_goes_with_the_second),
		cmocka_unit_test(what_came_during_a_save_is_not_lost),
		cmocka_unit_test(the_end_is_saved_with_the_last_page),
		cmocka_unit_test(the_end_alone_is_worth_a_save),
		cmocka_unit_test(the_end_waits_until_it_may_be_saved),
		cmocka_unit_test(an_empty_shard_ends_without_a_place),
		cmocka_unit_test(another_session_goes_on_from_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
