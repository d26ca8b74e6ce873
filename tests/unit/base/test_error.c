/* Failures and their messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"

static void set_formats_and_returns_false(void **state)
{
	struct error err = { 0 };

	(void)state;
	assert_false(error_set(&err, ERROR_REFUSED, "port %d", 80));
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_string_equal(err.message, "port 80");
	assert_false(error_set(&err, ERROR_RETRY, "again: %s", err.message));
	assert_string_equal(err.message, "again: port 80");
}

static void wrap_puts_the_outer_first_and_keeps_the_kind(void **state)
{
	struct error err = { 0 };

	(void)state;
	error_set(&err, ERROR_TRIMMED, "gone");
	assert_false(error_wrap(&err, "shard %s", "s1"));
	assert_false(error_wrap(&err, "stream"));
	assert_int_equal(err.kind, ERROR_TRIMMED);
	assert_string_equal(err.message, "stream: shard s1: gone");
}

static void long_messages_are_cut_and_terminated(void **state)
{
	struct error err = { 0 };
	char text[600];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	error_set(&err, ERROR_RETRY, "%s", text);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	error_wrap(&err, "outer");
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_memory_equal(err.message, "outer: xxx", 10);
	error_wrap(&err, "%s", text);
	assert_true(strlen(err.message) < sizeof(err.message));
}

static void kinds_have_names_and_some_pass(void **state)
{
	static const struct {
		enum error_kind kind;
		const char *name;
		bool passes;
	} all[] = {
		{ ERROR_NONE, "none", false },          { ERROR_RETRY, "retry", true },
		{ ERROR_THROTTLED, "throttled", true }, { ERROR_EXPIRED, "expired", true },
		{ ERROR_TRIMMED, "trimmed", false },    { ERROR_NOT_FOUND, "not_found", false },
		{ ERROR_FENCED, "fenced", false },      { ERROR_REFUSED, "refused", false },
		{ ERROR_INVALID, "invalid", false },    { ERROR_CANCELLED, "cancelled", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_string_equal(error_kind_name(all[i].kind), all[i].name);
		assert_int_equal(error_passes(all[i].kind), all[i].passes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_formats_and_returns_false),
		cmocka_unit_test(wrap_puts_the_outer_first_and_keeps_the_kind),
		cmocka_unit_test(long_messages_are_cut_and_terminated),
		cmocka_unit_test(kinds_have_names_and_some_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
