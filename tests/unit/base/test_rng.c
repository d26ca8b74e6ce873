/* Seeded numbers are the same for ever; clocks print as RFC 3339. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"

/* The generator's own test: state 1, 2, 3, 4 gives these (its authors' C code, and others'). */
static void first_numbers_of_a_known_state(void **state)
{
	static const uint64_t want[] = { 11520u, 0u, 1509978240u, 1215971899390074240u,
					 1216172134540287360u };
	struct rng r = { { 1, 2, 3, 4 } };

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_true(rng_next(&r) == want[i]);
}

static void seeds_spread_by_splitmix64(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 0);
	assert_true(r.s[0] == 0xe220a8397b1dcdafu);
	assert_true(r.s[1] == 0x6e789e6aa1b965f4u);
	assert_true(r.s[2] == 0x06c45d188009454fu);
	assert_true(r.s[3] == 0xf88bb8a8724c81ecu);
}

static void below_reaches_every_number_and_no_more(void **state)
{
	struct rng r;
	unsigned hits[7] = { 0 };

	(void)state;
	rng_seed(&r, 3);
	for (int i = 0; i < 7000; i++)
		hits[rng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(hits[i], 800, 1200);
	assert_int_equal(rng_below(&r, 1), 0);
	for (int i = 0; i < 1000; i++) {
		double u = rng_unit(&r);

		assert_true(u >= 0 && u < 1);
	}
}

static void backoff_doubles_to_its_cap(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 4);
	for (unsigned attempt = 0; attempt < 80; attempt++) {
		int64_t cap = attempt < 7 ? 100 << attempt : 10000, most = 0;

		if (cap > 10000)
			cap = 10000;
		for (int i = 0; i < 200; i++) {
			int64_t ms = rng_backoff_ms(&r, attempt, 100, 10000);

			assert_true(ms >= 1 && ms <= cap);
			most = ms > most ? ms : most;
		}
		assert_true(most > cap / 2);
	}
	assert_int_equal(rng_backoff_ms(&r, 4000000000u, 1, 1), 1);
	assert_true(rng_backoff_ms(&r, 70, INT64_MAX / 3, INT64_MAX) >= 1);
}

static void kernel_numbers_differ(void **state)
{
	unsigned char a[300] = { 0 }, b[300] = { 0 };

	(void)state;
	rng_random(a, sizeof(a));
	rng_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

static void times_print_in_utc(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} all[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1795255872345, "2026-11-21T10:11:12.345Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ -1000, "1969-12-31T23:59:59.000Z" },
	};
	char text[CLOCK_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_string_equal(clock_text(all[i].ms, text), all[i].text);
	clock_text(INT64_MAX, text);
	assert_true(strlen(text) < sizeof(text));
	clock_text(INT64_MIN, text);
	assert_true(strlen(text) < sizeof(text));
}

static void aws_time_is_the_wall_clock_corrected(void **state)
{
	struct clock c;
	int64_t before, after;

	(void)state;
	clock_init(&c);
	before = clock_boot_ms(&c);
	after = clock_boot_ms(&c);
	assert_true(after >= before && before > 0);
	before = c.wall_ms(&c);
	atomic_store(&c.aws_offset_ms, 3600000);
	assert_true(clock_aws_ms(&c) >= before + 3600000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_numbers_of_a_known_state),
		cmocka_unit_test(seeds_spread_by_splitmix64),
		cmocka_unit_test(below_reaches_every_number_and_no_more),
		cmocka_unit_test(backoff_doubles_to_its_cap),
		cmocka_unit_test(kernel_numbers_differ),
		cmocka_unit_test(times_print_in_utc),
		cmocka_unit_test(aws_time_is_the_wall_clock_corrected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
