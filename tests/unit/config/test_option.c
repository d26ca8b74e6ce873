/* The table engine: values, messages, near names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <string.h>

#include "config/option.h"

struct settings {
	const char *text, *choice;
	bool flag;
	long number, free_number, price, ms, bytes, kind;
};

static const char *const kinds[] = { "red", "green", "blue", NULL };
static const char *const two[] = { "on", "off", NULL };
#define ROW(name_, type_, field_, ...)                                                             \
	{                                                                                          \
		.name = (name_), .type = (type_), .offset = offsetof(struct settings, field_),     \
		__VA_ARGS__                                                                        \
	}
static const struct option table[] = {
	ROW("text", OPTION_TEXT, text),
	ROW("choice", OPTION_TEXT, choice, .choices = two),
	ROW("flag", OPTION_BOOL, flag, .def = "true"),
	ROW("number", OPTION_INT, number, .def = "7", .min = 1, .max = 256),
	ROW("free.number", OPTION_INT, free_number),
	ROW("price", OPTION_DECIMAL, price, .def = "0.02", .max = 3 * OPTION_DECIMAL_ONE),
	ROW("ms", OPTION_MS, ms, .def = "10s", .min = 1000, .max = 600000),
	ROW("bytes", OPTION_BYTES, bytes, .min = 1024, .max = LONG_MAX),
	ROW("kind", OPTION_ENUM, kind, .def = "green", .choices = kinds),
	{ 0 },
};

static const struct option *row(const char *name)
{
	const struct option *o = table;

	while (strcmp(o->name, name) != 0)
		o++;
	return o;
}

static void values_are_read_with_their_units(void **state)
{
	static const struct {
		const char *row, *text, *again; /* again: as option_text prints it */
	} all[] = {
		{ "text", "anything", "anything" },
		{ "choice", "off", "off" },
		{ "flag", "false", "false" },
		{ "number", "256", "256" },
		{ "free.number", "0", "0" },
		{ "price", "0.02", "0.02" },
		{ "price", "3", "3" },
		{ "price", "0", "0" },
		{ "price", "1.000001", "1.000001" },
		{ "price", "2.50", "2.5" },
		{ "ms", "1000ms", "1s" },
		{ "ms", "90s", "90s" },
		{ "ms", "120s", "2m" },
		{ "ms", "1500ms", "1500ms" },
		{ "bytes", "64KiB", "64KiB" },
		{ "bytes", "2048KiB", "2MiB" },
		{ "bytes", "1025", "1025" },
		{ "bytes", "3TiB", "3TiB" },
		{ "kind", "blue", "blue" },
	};
	struct settings s = { 0 };
	struct error err = { 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!option_set(row(all[i].row), &s, all[i].text, &err))
			fail_msg("%s", err.message);
		buf_clear(&out);
		assert_true(option_text(row(all[i].row), &s, &out));
		assert_string_equal(out.data, all[i].again);
	}
	assert_int_equal(s.price, 2500000);
	assert_int_equal(s.kind, 2);
	assert_int_equal(s.bytes, 3L << 40);
	s.text = NULL;
	assert_false(option_text(row("text"), &s, &out));
	s.bytes = 0; /* below its bound and without a default */
	assert_false(option_text(row("bytes"), &s, &out));
	s.free_number = 0;
	assert_true(option_text(row("free.number"), &s, &out));
	buf_release(&out);
}

static void wrong_values_say_what_was_expected(void **state)
{
	static const struct {
		const char *row, *text, *message;
	} all[] = {
		{ "choice", "of", "expected on or off, not 'of'" },
		{ "flag", "yes", "expected true or false, not 'yes'" },
		{ "flag", "", "expected true or false, not ''" },
		{ "number", "0", "expected a number from 1 to 256, not '0'" },
		{ "number", "257", "expected a number from 1 to 256, not '257'" },
		{ "number", "-1", "expected a number from 1 to 256, not '-1'" },
		{ "number", "1.5", "expected a number from 1 to 256, not '1.5'" },
		{ "number", "0x10", "expected a number from 1 to 256, not '0x10'" },
		{ "free.number", "99999999999999999999",
		  "expected a number, not '99999999999999999999'" },
		{ "price", "3.01", "expected a number from 0 to 3, not '3.01'" },
		{ "price", "0.0000001", "expected a number from 0 to 3, not '0.0000001'" },
		{ "price", ".5", "expected a number from 0 to 3, not '.5'" },
		{ "price", "1.", "expected a number from 0 to 3, not '1.'" },
		{ "price", "1.2.3", "expected a number from 0 to 3, not '1.2.3'" },
		{ "price", "1e3", "expected a number from 0 to 3, not '1e3'" },
		{ "price", "-1", "expected a number from 0 to 3, not '-1'" },
		{ "price", "99999999999999999999",
		  "expected a number from 0 to 3, not '99999999999999999999'" },
		{ "price", "9223372036854.999999",
		  "expected a number from 0 to 3, not '9223372036854.999999'" },
		{ "ms", "soon", "expected a duration such as 500ms, 2s, 5m, 24h, not 'soon'" },
		{ "ms", "5", "expected a duration such as 500ms, 2s, 5m, 24h, not '5'" },
		{ "ms", "5 s", "expected a duration such as 500ms, 2s, 5m, 24h, not '5 s'" },
		{ "ms", "9223372036854775807h",
		  "expected a duration such as 500ms, 2s, 5m, 24h, not '9223372036854775807h'" },
		{ "ms", "500ms", "expected a duration of 1s to 10m, not '500ms'" },
		{ "ms", "11m", "expected a duration of 1s to 10m, not '11m'" },
		{ "bytes", "1MB", "expected a size such as 64KiB, 256MiB, 1GiB, not '1MB'" },
		{ "bytes", "1", "expected a size of at least 1KiB, not '1'" },
		{ "kind", "Red", "expected red, green or blue, not 'Red'" },
		{ "kind", "0123456789012345678901234567890123456789012345678901234567890123456789",
		  "expected red, green or blue, not "
		  "'012345678901234567890123456789012345678901234567890123456789…'" },
	};
	struct settings s = { .kind = 1, .number = 3 };
	struct error err = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_false(option_set(row(all[i].row), &s, all[i].text, &err));
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_string_equal(err.message, all[i].message);
	}
	assert_int_equal(s.kind, 1);
	assert_int_equal(s.number, 3);
}

static void a_wrong_secret_is_not_shown(void **state)
{
	struct option o = table[1];
	struct settings s = { 0 };
	struct error err = { 0 };

	(void)state;
	o.flags = OPTION_SECRET;
	assert_false(option_set(&o, &s, "hunter2", &err));
	assert_string_equal(err.message, "expected on or off");
}

static void defaults_fill_every_row_that_has_one(void **state)
{
	static const struct option bad[] = { ROW("ms", OPTION_MS, ms, .def = "soon"), { 0 } };
	struct settings s = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_true(option_defaults(table, &s, &err));
	assert_true(s.flag);
	assert_int_equal(s.number, 7);
	assert_int_equal(s.ms, 10000);
	assert_int_equal(s.kind, 1);
	assert_null(s.text);
	assert_false(option_defaults(bad, &s, &err));
	assert_memory_equal(err.message, "ms: default: expected", 21);
}

static void near_names_are_found_and_far_ones_not(void **state)
{
	static const struct {
		const char *name, *nearest;
	} all[] = {
		{ "nummber", "number" }, { "numbre", "number" }, { "tet", "text" },
		{ "kinf", "kind" },      { "byte", "bytes" },    { "free.numbr", "free.number" },
		{ "s", "ms" },           { "checkpoint", NULL }, { "", NULL },
		{ "xyz", NULL },         { "FLAG", NULL },
	};
	char longest[3000];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const char *nearest = option_nearest(table, all[i].name);

		if (all[i].nearest) {
			assert_non_null(nearest);
			assert_string_equal(nearest, all[i].nearest);
		} else {
			assert_null(nearest);
		}
	}
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	assert_null(option_nearest(table, longest));
}

static void keys_that_look_secret(void **state)
{
	static const char *const secret[] = { "sasl.password", "SASL.username",
					      "ssl.key.pem",   "ssl.keystore.password",
					      "client_secret", "oauth.Token.url" };
	static const char *const open[] = { "client.id", "ssl.ca.location", "key", "sas" };

	(void)state;
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		assert_true(option_key_is_secret(secret[i]));
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		assert_false(option_key_is_secret(open[i]));
}

static void seen_row(void *arg, const struct option *o, const char *key)
{
	buf_printf(arg, "%s(%s) ", key, o->name);
}
static void seen_enter(void *arg, const char *key)
{
	buf_printf(arg, "%s{ ", key);
}
static void seen_leave(void *arg, const char *key)
{
	buf_printf(arg, "}%s ", key);
}

static void dotted_names_are_visited_as_nested_maps(void **state)
{
	static const struct option nested[] = {
		{ .name = "a" },     { .name = "b.x" }, { .name = "c.d.y" }, { .name = "b.z" },
		{ .name = "c.d.z" }, { .name = "bb" },  { .name = "c.e" },   { 0 },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	option_visit(nested, &(struct option_visitor){ seen_row, seen_enter, seen_leave, &out });
	assert_string_equal(out.data, "a(a) b{ x(b.x) z(b.z) }b c{ d{ y(c.d.y) z(c.d.z) }d "
				      "e(c.e) }c bb(bb) ");
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_read_with_their_units),
		cmocka_unit_test(wrong_values_say_what_was_expected),
		cmocka_unit_test(a_wrong_secret_is_not_shown),
		cmocka_unit_test(defaults_fill_every_row_that_has_one),
		cmocka_unit_test(near_names_are_found_and_far_ones_not),
		cmocka_unit_test(keys_that_look_secret),
		cmocka_unit_test(dotted_names_are_visited_as_nested_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
