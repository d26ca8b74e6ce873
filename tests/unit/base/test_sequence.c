/* Sequence numbers: as numbers, never as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/sequence.h"

static struct sequence of(const char *text)
{
	struct error err = { 0 };
	struct sequence s;

	if (!sequence_parse(&s, str_of(text), &err))
		fail_msg("%s", err.message);
	return s;
}

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

static void compares_as_numbers(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 2);
	for (int i = 0; i < 20000; i++) {
		uint64_t a = rng_next(&r) >> rng_below(&r, 64);
		uint64_t b = rng_below(&r, 4) ? rng_next(&r) >> rng_below(&r, 64) : a;
		char text[2][64];
		struct sequence x, y;

		snprintf(text[0], 64, "%0*llu", (int)rng_below(&r, 30), (unsigned long long)a);
		snprintf(text[1], 64, "%0*llu", (int)rng_below(&r, 30), (unsigned long long)b);
		x = of(text[0]);
		y = of(text[1]);
		assert_int_equal(sign(sequence_compare(&x, &y)), (a > b) - (a < b));
		assert_int_equal(sequence_equal(&x, &y), a == b);
	}
}

static void forty_digits_are_told_apart(void **state)
{
	struct sequence a = of("9999999999999999999999999999999999999998");
	struct sequence b = of("9999999999999999999999999999999999999999");
	struct sequence c = of("999999999999999999999");
	struct sequence none = SEQUENCE_NONE, zero = of("0");

	(void)state;
	assert_true(sequence_compare(&a, &b) < 0);
	assert_true(sequence_compare(&c, &a) < 0);
	assert_true(sequence_compare(&none, &zero) < 0);
	assert_true(sequence_is_none(&none));
	assert_false(sequence_is_none(&zero));
	assert_true(sequence_equal(&none, &none));
}

static void zeros_in_front_go_and_text_comes_back(void **state)
{
	char text[SEQUENCE_TEXT_SIZE];
	struct sequence s;

	(void)state;
	s = of("000000000000000000123");
	assert_string_equal(sequence_text(&s, text), "123");
	s = of("0000");
	assert_string_equal(sequence_text(&s, text), "0");
	s = of("00000000001234567890123456789012345678901234567890");
	assert_string_equal(sequence_text(&s, text), "1234567890123456789012345678901234567890");
	s = SEQUENCE_NONE;
	assert_string_equal(sequence_text(&s, text), "");
}

static void refuses_what_is_no_number(void **state)
{
	static const char *const bad[] = {
		"",   "-1",  "+1",  " 1",
		"1 ", "1e3", "0x1", "12345678901234567890123456789012345678901",
	};
	struct error err = { 0 };
	struct sequence s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(sequence_parse(&s, str_of(bad[i]), &err));
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_true(sequence_is_none(&s));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_as_numbers),
		cmocka_unit_test(forty_digits_are_told_apart),
		cmocka_unit_test(zeros_in_front_go_and_text_comes_back),
		cmocka_unit_test(refuses_what_is_no_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
