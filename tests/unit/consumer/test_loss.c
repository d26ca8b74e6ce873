/* When what is not delivered leaves the stream, and when that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/loss.h"

#define HOUR  (60LL * 60 * 1000)
#define SHARD "shardId-00000001700000000000-abcdef01"

static void the_place_is_the_best_that_is_known(void **state)
{
	(void)state;
	assert_int_equal(loss_place_ms(SHARD, 1800000000000, 1, 2), 1800000000000);
	assert_int_equal(loss_place_ms(SHARD, 0, 0, 1900000000000), 1700000000000);
	assert_int_equal(loss_place_ms(SHARD, 0, 1750000000000, 1900000000000), 1750000000000);
	assert_int_equal(loss_place_ms("another service's", 0, 5, 9), 5);
	assert_int_equal(loss_place_ms("another service's", 0, 0, 9), 9);
	assert_int_equal(loss_place_ms("another service's", 0, 0, 0), 0);
}

static void a_day_is_kept(void **state)
{
	(void)state;
	assert_int_equal(loss_left_ms(0), 24 * HOUR);
	assert_int_equal(loss_left_ms(23 * HOUR), HOUR);
	assert_int_equal(loss_left_ms(24 * HOUR), 0);
	assert_int_equal(loss_left_ms(90 * HOUR), 0);
}

static void a_shard_begins_to_go_a_day_after_it_came(void **state)
{
	const int64_t made_ms = 1700000000000;

	(void)state;
	assert_false(loss_may_have_begun(SHARD, made_ms + 23 * HOUR));
	assert_true(loss_may_have_begun(SHARD, made_ms + 23 * HOUR + 1)); /* it is about to */
	assert_true(loss_may_have_begun("another service's", made_ms));
}

static void what_nobody_read_for_long_may_be_gone(void **state)
{
	const int64_t made = 1700000000000, old = made + 100 * HOUR;

	(void)state;
	assert_int_equal(loss_unread_ms(SHARD, 0, 0, old), 0); /* nothing is known */
	assert_int_equal(loss_unread_ms(SHARD, old, 0, old + 23 * HOUR), 0);
	assert_int_equal(loss_unread_ms(SHARD, old, 0, old + 23 * HOUR + 1), old);
	/* Nobody had to read it before it was there. */
	assert_int_equal(loss_unread_ms(SHARD, made - HOUR, 0, made + 24 * HOUR), 0);
	assert_int_equal(loss_unread_ms(SHARD, made - HOUR, 0, made + 24 * HOUR + 1), made);
	assert_int_equal(loss_unread_ms("another's", 5, 0, 23 * HOUR + 6), 5);
}

static void what_has_to_be_read_from_a_time_on_may_be_gone(void **state)
{
	const int64_t old = 1800000000000;

	(void)state;
	assert_int_equal(loss_unread_ms(SHARD, 0, old, old + 24 * HOUR), 0);
	assert_int_equal(loss_unread_ms(SHARD, 0, old, old + 24 * HOUR + 1), old);
	/* That others of its stream were read meanwhile says nothing of it. */
	assert_int_equal(loss_unread_ms(SHARD, old + 20 * HOUR, old, old + 24 * HOUR), 0);
	assert_int_equal(loss_unread_ms(SHARD, old + 20 * HOUR, old, old + 24 * HOUR + 1), old);
}

static void what_was_set_back_is_kept_for_a_day(void **state)
{
	const int64_t at = 1800000000000, read_at = loss_set_back_ms(at);

	(void)state;
	assert_int_equal(loss_unread_ms(SHARD, read_at, 0, at + 24 * HOUR), 0);
	assert_int_not_equal(loss_unread_ms(SHARD, read_at, 0, at + 24 * HOUR + 1), 0);
}

/* How many of these watches said `word`. */
static int says(struct loss *l, int watches, int64_t left_ms, enum loss_word word)
{
	int said = 0;

	for (int i = 0; i < watches; i++)
		said += loss_watch(l, left_ms, 6 * HOUR) == word;
	return said;
}

static void it_is_said_once(void **state)
{
	struct loss l = { 0 };

	(void)state;
	assert_int_equal(says(&l, 100, 6 * HOUR, LOSS_NOTHING), 100);
	assert_int_equal(says(&l, 4, HOUR, LOSS_NOTHING), 4); /* it may be a start */
	assert_int_equal(says(&l, 1, 24 * HOUR, LOSS_NOTHING), 1);
	assert_int_equal(says(&l, 4, HOUR, LOSS_NEAR), 0);
	assert_int_equal(says(&l, 100, HOUR, LOSS_NEAR), 1);
	/* To and fro about the limit says nothing more. */
	for (int i = 0; i < 20; i++)
		assert_int_equal(says(&l, 6, i % 2 ? 6 * HOUR : 5 * HOUR, LOSS_NOTHING), 6);
	assert_int_equal(says(&l, 9, 7 * HOUR, LOSS_AVERTED), 1);
	assert_int_equal(says(&l, 9, HOUR, LOSS_NEAR), 1);
}

static void a_limit_of_a_day_is_averted_by_having_nothing_to_lose(void **state)
{
	struct loss l = { 0 };

	(void)state;
	for (int i = 0; i < 9; i++)
		loss_watch(&l, 23 * HOUR, 24 * HOUR);
	assert_true(l.near);
	assert_int_equal(loss_watch(&l, 24 * HOUR, 24 * HOUR), LOSS_AVERTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_place_is_the_best_that_is_known),
		cmocka_unit_test(a_day_is_kept),
		cmocka_unit_test(a_shard_begins_to_go_a_day_after_it_came),
		cmocka_unit_test(what_nobody_read_for_long_may_be_gone),
		cmocka_unit_test(what_has_to_be_read_from_a_time_on_may_be_gone),
		cmocka_unit_test(what_was_set_back_is_kept_for_a_day),
		cmocka_unit_test(it_is_said_once),
		cmocka_unit_test(a_limit_of_a_day_is_averted_by_having_nothing_to_lose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
