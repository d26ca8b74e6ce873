/* Growable bytes: limits, text and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/buf.h"

static void adds_up_to_the_limit_and_nothing_beyond(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_true(buf_add(&b, "12345", 5));
	assert_false(buf_add(&b, "6789", 4));
	assert_int_equal(b.size, 5);
	assert_true(buf_add(&b, "678", 3));
	assert_string_equal(b.data, "12345678");
	assert_false(buf_add(&b, "9", 1));
	assert_false(buf_add(&b, "", SIZE_MAX));
	buf_release(&b);
	assert_null(b.data);
	assert_int_equal(b.limit, 8);
}

static void stays_terminated_while_it_grows(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	for (int i = 0; i < 10000; i++) {
		buf_printf(&b, "%d,", i % 10);
		assert_int_equal(b.data[b.size], 0);
	}
	assert_int_equal(b.size, 20000);
	buf_clear(&b);
	assert_string_equal(b.data, "");
	buf_text(&b, "kept");
	assert_true(str_equal(buf_str(&b), STR("kept")));
	buf_release(&b);
}

static void json_text_escapes_what_json_needs_and_no_more(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	buf_json_text(&b, STR("a\"b\\c/\b\t\n\f\r\x01\x1f\x7f\0z\u20ac"));
	assert_string_equal(b.data,
			    "\"a\\\"b\\\\c/\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\\u0000z\u20ac\"");
	buf_clear(&b);
	buf_json_text(&b, STR(""));
	assert_string_equal(b.data, "\"\"");
	buf_release(&b);
}

static void steal_gives_the_bytes_away(void **state)
{
	struct buf b;
	char *data;

	(void)state;
	buf_init(&b, 100);
	data = buf_steal(&b);
	assert_string_equal(data, "");
	free(data);
	buf_text(&b, "mine");
	data = buf_steal(&b);
	assert_string_equal(data, "mine");
	free(data);
	assert_null(b.data);
	assert_int_equal(b.limit, 100);
	assert_string_equal(buf_str(&b).p, "");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_up_to_the_limit_and_nothing_beyond),
		cmocka_unit_test(stays_terminated_while_it_grows),
		cmocka_unit_test(json_text_escapes_what_json_needs_and_no_more),
		cmocka_unit_test(steal_gives_the_bytes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
