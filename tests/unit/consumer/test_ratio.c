#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/ratio.h"

/* Letters until one is refused, at most `max`. */
static uint64_t letters(struct ratio *r, uint64_t max)
{
	bool first = false;

	for (uint64_t i = 0; i < max; i++)
		if (!ratio_letter(r, &first))
			return i;
	return max;
}

static void a_share_is_allowed(void **state)
{
	struct ratio r;

	(void)state;
	ratio_init(&r, RATIO_ONE / 10);
	ratio_records(&r, 1000);
	assert_int_equal(letters(&r, 1000), 100);
	ratio_records(&r, 1000000); /* what comes later does not mend it */
	assert_int_equal(letters(&r, 1), 0);
}

static void it_is_told_once(void **state)
{
	struct ratio r;
	bool first;

	(void)state;
	ratio_init(&r, RATIO_ONE / 10);
	ratio_records(&r, 1000);
	for (int i = 0; i < 100; i++)
		assert_true(ratio_letter(&r, &first));
	assert_false(ratio_letter(&r, &first));
	assert_true(first);
	assert_false(ratio_letter(&r, &first));
	assert_false(first);
}

static void of_few_records_nothing_is_said(void **state)
{
	struct ratio r;

	(void)state;
	ratio_init(&r, RATIO_ONE / 10);
	for (int i = 1; i < RATIO_RECORDS_MIN; i++) {
		ratio_records(&r, 1);
		assert_int_equal(letters(&r, 1), 1);
	}
	ratio_records(&r, 1);
	assert_int_equal(letters(&r, 1), 0);
}

static void the_latest_records_count(void **state)
{
	struct ratio r;

	(void)state;
	ratio_init(&r, RATIO_ONE / 10);
	for (int i = 0; i < 1000; i++)
		ratio_records(&r, 100); /* a long time without a letter */
	for (uint64_t i = 0; i < RATIO_RECORDS / 5; i++) {
		ratio_records(&r, 1);
		if (letters(&r, 1) == 0)
			return;
	}
	fail_msg("old records make up for new ones");
}

static void a_small_share_goes_on_for_ever(void **state)
{
	struct ratio r;

	(void)state;
	ratio_init(&r, RATIO_ONE / 10);
	for (int i = 0; i < 10000; i++) {
		ratio_records(&r, 20);
		assert_int_equal(letters(&r, 1), 1);
	}
}

static void all_or_none_may_go(void **state)
{
	struct ratio r;

	(void)state;
	ratio_init(&r, RATIO_ONE);
	ratio_records(&r, 1000);
	assert_int_equal(letters(&r, 5000), 5000);
	ratio_init(&r, 0);
	ratio_records(&r, RATIO_RECORDS_MIN);
	assert_int_equal(letters(&r, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_share_is_allowed),
		cmocka_unit_test(it_is_told_once),
		cmocka_unit_test(of_few_records_nothing_is_said),
		cmocka_unit_test(the_latest_records_count),
		cmocka_unit_test(a_small_share_goes_on_for_ever),
		cmocka_unit_test(all_or_none_may_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
