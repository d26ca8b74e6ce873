/* What the commands of an operator have in common. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "checkpoint/store.h"
#include "ops/operator.h"

/* Of a table whose stream was turned on again and again the newest is the one that is read. */
static void the_newest_stream_of_a_name_is_there_however_many_there_were(void **state)
{
	enum { MANY = OPERATOR_STREAMS_MAX + 3 };
	struct error err = { 0 };
	AUTO(store) struct store *s = store_open("sqlite::memory:", 1000, &err);
	struct operator_streams all = { .name = "orders" };
	struct store_stream one, other;
	char arn[64];

	(void)state;
	assert_non_null(s);
	for (int i = 0; i < MANY; i++) {
		snprintf(arn, sizeof(arn), "arn:%d", i);
		assert_true(store_stream(s, "orders", arn, 0, &one, &err));
		assert_true(store_stream(s, "others", arn, 0, &other, &err));
	}
	assert_true(operator_streams(s, &all, &err));
	assert_int_equal(all.count, OPERATOR_STREAMS_MAX);
	assert_int_equal(all.rows[all.count - 1].id, one.id);
	assert_string_equal(all.arn, arn);
	for (size_t i = 1; i < all.count; i++)
		assert_true(all.rows[i - 1].id < all.rows[i].id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_stream_of_a_name_is_there_however_many_there_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
