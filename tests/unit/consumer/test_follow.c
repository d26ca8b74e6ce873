/* Which tables are read, which of a table's streams, and from where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/follow.h"

static void patterns_match(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} rows[] = {
		{ "orders-*", "orders-", true },
		{ "orders-*", "orders-eu", true },
		{ "orders-*", "orders", false },
		{ "orders-*", "old-orders-eu", false },
		{ "*", "x", true },
		{ "*orders*", "old-orders-eu", true },
		{ "*-eu", "orders-eu-eu", true },
		{ "*-eu", "orders-eu-us", false },
		{ "a*b*c", "a-b-b-c", true },
		{ "a*b*c", "a-c-b", false },
		{ "orders-?", "orders-1", true },
		{ "orders-?", "orders-12", false },
		{ "orders-?", "orders-", false },
		{ "?*", "x", true },
		{ "*?", "", false },
		{ "a**b", "ab", true },
		{ "orders", "orders", true },
		{ "Orders-*", "orders-1", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (follow_matches(rows[i].pattern, rows[i].name) != rows[i].matches)
			fail_msg("%s and %s", rows[i].pattern, rows[i].name);
}

/* Many stars over a long name that nearly matches. */
static void a_match_takes_no_time(void **state)
{
	char name[256];

	(void)state;
	for (size_t i = 0; i < sizeof(name) - 1; i++)
		name[i] = 'a';
	name[sizeof(name) - 1] = '\0';
	assert_false(follow_matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name));
}

static void a_name_goes_before_patterns(void **state)
{
	struct config_stream streams[] = {
		{ .table = "orders-*", .is_pattern = true },
		{ .table = "orders-eu" },
		{ .table = "*-eu", .is_pattern = true },
		{ .table = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders-us" },
	};
	struct config c = { .streams = streams, .stream_count = 4 };
	const struct config_stream *other;

	(void)state;
	assert_ptr_equal(follow_entry(&c, "orders-eu", &other), &streams[1]);
	assert_null(other);
	assert_ptr_equal(follow_entry(&c, "orders-a-eu", &other), &streams[0]);
	assert_ptr_equal(other, &streams[2]);
	assert_ptr_equal(follow_entry(&c, "orders-us", &other), &streams[0]);
	assert_null(other);
	assert_ptr_equal(follow_entry(&c, "users-eu", &other), &streams[2]);
	assert_null(other);
	assert_null(follow_entry(&c, "users", &other));
}

static void assert_choice(const struct follow_row *rows, size_t count, const char *latest,
			  const char *arn, const char *next)
{
	struct follow_choice c = follow_choose(rows, count, latest);

	if (arn)
		assert_string_equal(c.arn, arn);
	else
		assert_null(c.arn);
	if (next)
		assert_string_equal(c.next, next);
	else
		assert_null(c.next);
}

static void streams_are_read_one_after_the_other(void **state)
{
	struct follow_row rows[] = { { "a", true }, { "b", false }, { "c", false } };

	(void)state;
	assert_choice(NULL, 0, "a", "a", NULL);
	assert_choice(NULL, 0, NULL, NULL, NULL);
	assert_choice(rows, 1, "a", "a", NULL);
	assert_choice(rows, 1, "b", "a", "b");
	assert_choice(rows, 1, NULL, "a", NULL); /* the table is gone */
	assert_choice(rows, 2, "b", "a", "b");
	assert_choice(rows, 3, "c", "a", "b"); /* twice off and on */
	assert_choice(rows, 3, "d", "a", "b");
	rows[1].begun = true;
	assert_choice(rows, 3, "c", "b", "c");
	assert_choice(rows, 2, "b", "b", NULL);
	assert_choice(rows, 2, "c", "b", "c");
	assert_choice(rows, 2, "a", "b", NULL); /* an answer that is old */
	rows[0].begun = rows[1].begun = false;
	assert_choice(rows, 1, "b", "a", "b"); /* made, and never listed */
}

static void what_began_later_is_read_whole(void **state)
{
	(void)state;
	assert_int_equal(follow_start_ms(START_LATEST, 0, 500, 100, 200), 500);
	assert_int_equal(follow_start_ms(START_LATEST, 0, 500, -1, 200), 500);
	assert_int_equal(follow_start_ms(START_LATEST, 0, 500, 200, 200), 0);
	assert_int_equal(follow_start_ms(START_LATEST, 0, 500, 300, 200), 0);
	assert_int_equal(follow_start_ms(START_OLDEST, 0, 500, 100, 200), 0);
	assert_int_equal(follow_start_ms(START_TIME, 400, 500, 300, 200), 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match),
		cmocka_unit_test(a_match_takes_no_time),
		cmocka_unit_test(a_name_goes_before_patterns),
		cmocka_unit_test(streams_are_read_one_after_the_other),
		cmocka_unit_test(what_began_later_is_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
