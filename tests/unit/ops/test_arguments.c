/* Flags and words of a subcommand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "ops/arguments.h"

static const struct flag flags[] = {
	{ .name = "config", .letter = 'c', .value = "FILE", .help = "", .required = true },
	{ .name = "json", .letter = 'j', .help = "" },
	{ .name = "from", .value = "TIME", .help = "" },
	{ 0 },
};

#define parse(a, err, ...)                                                                         \
	arguments_parse(a, flags, sizeof((char *[]){ __VA_ARGS__ }) / sizeof(char *),              \
			(char *[]){ __VA_ARGS__ }, err)

static void flags_come_in_four_spellings(void **state)
{
	struct arguments a;
	struct error err = { 0 };

	(void)state;
	assert_true(parse(&a, &err, "-c", "x.yaml", "--json", "--from=-2h"));
	assert_string_equal(arguments_get(&a, "config"), "x.yaml");
	assert_string_equal(arguments_get(&a, "json"), "");
	assert_string_equal(arguments_get(&a, "from"), "-2h");
	assert_true(parse(&a, &err, "-c=y.yaml", "-j", "--from", "-2h"));
	assert_string_equal(arguments_get(&a, "config"), "y.yaml");
	assert_string_equal(arguments_get(&a, "from"), "-2h");
	assert_true(parse(&a, &err, "--config", ""));
	assert_string_equal(arguments_get(&a, "config"), "");
	assert_null(arguments_get(&a, "json"));
}

static void words_are_kept_in_order(void **state)
{
	struct arguments a;
	struct error err = { 0 };

	(void)state;
	assert_true(parse(&a, &err, "show", "-c", "x", "-", "12"));
	assert_int_equal(a.word_count, 3);
	assert_string_equal(a.words[0], "show");
	assert_string_equal(a.words[1], "-");
	assert_string_equal(a.words[2], "12");
}

static void help_needs_nothing_else(void **state)
{
	struct arguments a;
	struct error err = { 0 };

	(void)state;
	assert_true(parse(&a, &err, "--help"));
	assert_true(a.help);
	assert_true(parse(&a, &err, "word", "-h"));
	assert_true(a.help);
}

#define assert_wrong(part, ...)                                                                    \
	do {                                                                                       \
		struct arguments a_;                                                               \
		struct error err_ = { 0 };                                                         \
		assert_false(parse(&a_, &err_, __VA_ARGS__));                                      \
		assert_int_equal(err_.kind, ERROR_INVALID);                                        \
		if (!strstr(err_.message, part))                                                   \
			fail_msg("%s", err_.message);                                              \
	} while (0)

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	assert_wrong("--jsn", "-c", "x", "--jsn");
	assert_wrong("--jsno", "-c", "x", "--jsno=1");
	assert_wrong("-x", "-c", "x", "-x");
	assert_wrong("-c FILE is missing", "--json");
	assert_wrong("FILE", "-c");
	assert_wrong("twice", "-c", "x", "--config", "y");
	assert_wrong("no value", "-c", "x", "--json=yes");
	assert_wrong("--", "-c", "x", "--");
	assert_wrong("too many", "-c", "x", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11",
		     "12", "13", "14", "15", "16", "17");
}

static void durations_have_a_unit_and_a_limit(void **state)
{
	struct error err = { 0 };
	long ms = 0;

	(void)state;
	assert_true(arguments_duration("2s", &ms, &err));
	assert_int_equal(ms, 2000);
	assert_true(arguments_duration("500ms", &ms, &err));
	assert_int_equal(ms, 500);
	assert_true(arguments_duration("24h", &ms, &err));
	assert_false(arguments_duration("25h", &ms, &err));
	assert_false(arguments_duration("0s", &ms, &err));
	assert_false(arguments_duration("2", &ms, &err));
	assert_false(arguments_duration("soon", &ms, &err));
	assert_false(arguments_duration("", &ms, &err));
	assert_int_equal(err.kind, ERROR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_come_in_four_spellings),
		cmocka_unit_test(words_are_kept_in_order),
		cmocka_unit_test(help_needs_nothing_else),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(durations_have_a_unit_and_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
