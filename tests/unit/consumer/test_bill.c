/* What the reads of a stream cost a month. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/bill.h"

#define MONTH_S ((int64_t)30 * 24 * 3600)

static void a_steady_pace_goes_on_for_30_days(void **state)
{
	struct bill b = { 0 };
	int64_t units = -1, calls = 1000000; /* of earlier sessions */

	(void)state;
	for (int64_t s = 0; s < 1000; s++, calls += 20) {
		bill_note(&b, 777000 + s * 1000, calls);
		assert_int_equal(bill_units_month(&b, 777000 + s * 1000, calls, &units), s >= 10);
		if (s >= 10)
			assert_int_equal(units, 20 * MONTH_S);
	}
	assert_int_equal(units, 51840000);
}

static void five_minutes_are_looked_at(void **state)
{
	struct bill b = { 0 };
	int64_t units, calls = 0, s = 0;

	(void)state;
	for (; s < 600; s++, calls += 100)
		bill_note(&b, s * 1000, calls);
	for (; s < 600 + 150; s++)
		bill_note(&b, s * 1000, calls);
	assert_true(bill_units_month(&b, s * 1000, calls, &units));
	assert_in_range(units, 45 * MONTH_S, 55 * MONTH_S);
	for (; s < 600 + 340; s++)
		bill_note(&b, s * 1000, calls);
	assert_true(bill_units_month(&b, s * 1000, calls, &units));
	assert_int_equal(units, 0);
}

static void its_price_is_that_of_100000(void **state)
{
	(void)state;
	assert_int_equal(bill_cost_milli(0, 20000), 0);
	assert_int_equal(bill_cost_milli(100000, 20000), 20);      /* 2 cents */
	assert_int_equal(bill_cost_milli(51840000, 20000), 10368); /* 10.368 dollars */
	assert_int_equal(bill_cost_milli(51840000, 0), 0);
	/* 10,000 calls a second, at the highest price that can be configured */
	assert_int_equal(bill_cost_milli(10000 * MONTH_S, 1000000000), 259200000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steady_pace_goes_on_for_30_days),
		cmocka_unit_test(five_minutes_are_looked_at),
		cmocka_unit_test(its_price_is_that_of_100000),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
