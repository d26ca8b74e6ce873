#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/batching.h"

#define MIB ((int64_t)1 << 20)

static void memory_is_kept_where_windows_are_merged(void **state)
{
	struct config_export entries[2] = { { .load_every = 1 }, { .load_every = 1 } };
	struct config c = { .exports = entries, .worker.memory_bytes = 64 * MIB };

	(void)state;
	assert_int_equal(batching_kept(&c), 0);
	c.export_count = 2;
	assert_int_equal(batching_kept(&c), 0);
	/* What was begun with another configuration is merged with as much. */
	assert_int_equal(batching_memory(&c), 16 * MIB);
	entries[1].load_every = 2;
	assert_int_equal(batching_kept(&c), 16 * MIB);
}

/* One range where all fits, and no more of them than the store takes. */
static void ranges_follow_from_memory(void **state)
{
	(void)state;
	assert_int_equal(batching_ranges(0, 16 * MIB), 1);
	assert_int_equal(batching_ranges(7 * MIB, 16 * MIB), 1);
	assert_int_equal(batching_ranges(20 * MIB, 16 * MIB), 3);
	assert_int_equal(batching_ranges(1000 * MIB, 16 * MIB), 126);
	/* As docs/exports.md has it: 1 GB, with 256MiB and 1GiB. */
	assert_int_equal(batching_ranges(1000000000, 64 * MIB), 30);
	assert_int_equal(batching_ranges(1000000000, 256 * MIB), 8);
	assert_int_equal(batching_ranges(UINT64_MAX, 4 * MIB), BATCHING_RANGES_MAX);
}

static void a_range_is_known_by_its_name(void **state)
{
	static const char *const others[] = {
		"",
		"range-1-of-4",
		"batch-7-range-0-of-4",
		"batch-7-range-5-of-4",
		"batch-7-range-1-of-",
		"batch-7-range-1-of-4x",
		"xbatch-7-range-1-of-4",
	};
	uint32_t part, parts;

	(void)state;
	assert_true(batching_range("batch-7-range-1-of-4", &part, &parts));
	assert_true(part == 0 && parts == 4);
	assert_true(batching_range("batch-123456789012-range-1000-of-1000", &part, &parts));
	assert_true(part == 999 && parts == 1000);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(batching_range(others[i], &part, &parts));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_kept_where_windows_are_merged),
		cmocka_unit_test(ranges_follow_from_memory),
		cmocka_unit_test(a_range_is_known_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
