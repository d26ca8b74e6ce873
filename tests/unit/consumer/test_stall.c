/* For how long a sink was silent while something waited for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/stall.h"

static void silence_counts_while_something_waits(void **state)
{
	struct stall s = { 0 };

	(void)state;
	assert_int_equal(stall_note(&s, false, 0, 5000), 0);
	/* It began to wait now, however long nothing had to be said before. */
	assert_int_equal(stall_note(&s, true, 0, 900000), 0);
	assert_int_equal(stall_note(&s, true, 0, 901000), 1000);
	assert_int_equal(stall_note(&s, true, 0, 960000), 60000);
}

static void any_answer_ends_it(void **state)
{
	struct stall s = { 0 };

	(void)state;
	stall_note(&s, true, 7, 1000);
	assert_int_equal(stall_note(&s, true, 7, 300000), 299000);
	assert_int_equal(stall_note(&s, true, 8, 301000), 0);
	assert_int_equal(stall_note(&s, true, 8, 302000), 1000);
}

/* The lease was in doubt, or all was answered: it counts anew. */
static void what_need_not_be_answered_does_not_count(void **state)
{
	struct stall s = { 0 };

	(void)state;
	stall_note(&s, true, 7, 1000);
	assert_int_equal(stall_note(&s, false, 7, 200000), 0);
	assert_int_equal(stall_note(&s, true, 7, 400000), 0);
	assert_int_equal(stall_note(&s, true, 7, 400500), 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_counts_while_something_waits),
		cmocka_unit_test(any_answer_ends_it),
		cmocka_unit_test(what_need_not_be_answered_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
