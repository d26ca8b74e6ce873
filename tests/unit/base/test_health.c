/* The parts of the process: which of them make it ready, and that it stays so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/health.h"

static int64_t wall_ms;

static int64_t read_wall(const struct clock *c)
{
	(void)c;
	return wall_ms;
}

static struct clock clock_stub = { .wall_ms = read_wall };

static const char *printed(struct health *h)
{
	static char text[65536];
	struct buf b = { 0 };

	health_print(h, &b);
	snprintf(text, sizeof(text), "%.*s", (int)b.size, b.data);
	buf_release(&b);
	return text;
}

static void required_parts_are_waited_for(void **state)
{
	AUTO(health) struct health *h = health_new(&clock_stub);

	(void)state;
	assert_true(health_ready(h));
	health_require(h, "store");
	health_require(h, "aws");
	assert_false(health_ready(h));
	assert_non_null(strstr(printed(h), "not reached yet"));
	health_set(h, "store", NULL);
	assert_false(health_ready(h));
	health_set(h, "aws", "keys were refused");
	assert_false(health_ready(h));
	health_set(h, "aws", NULL);
	assert_true(health_ready(h));
}

static void what_was_well_once_never_takes_readiness_away(void **state)
{
	AUTO(health) struct health *h = health_new(&clock_stub);

	(void)state;
	health_require(h, "store");
	health_set(h, "store", NULL);
	for (int i = 0; i < 3; i++) {
		health_set(h, "store", "away");
		assert_true(health_ready(h));
		health_set(h, "store", NULL);
		assert_true(health_ready(h));
	}
	health_set(h, "sink events", "no broker answers");
	assert_true(health_ready(h));
	assert_non_null(strstr(printed(h), "\"ready\":true"));
	assert_non_null(strstr(printed(h), "no broker answers"));
}

static void a_row_says_since_when(void **state)
{
	AUTO(health) struct health *h = health_new(&clock_stub);

	(void)state;
	wall_ms = 1763700000000;
	health_set(h, "store", "away");
	wall_ms += 5000;
	health_set(h, "store", "still \"away\"");
	assert_non_null(strstr(printed(h), "\"part\":\"store\",\"ok\":false,"
					   "\"since\":\"2025-11-21T04:40:00.000Z\","
					   "\"age_seconds\":5,\"reason\":\"still \\\"away\\\"\""));
	health_set(h, "store", NULL);
	assert_non_null(strstr(printed(h), "\"ok\":true,\"since\":\"2025-11-21T04:40:05.000Z\","
					   "\"age_seconds\":0,\"reason\":null"));
}

static void a_row_is_forgotten(void **state)
{
	AUTO(health) struct health *h = health_new(&clock_stub);

	(void)state;
	health_set(h, "sink a", NULL);
	health_set(h, "sink", "x");
	health_forget(h, "sink");
	health_forget(h, "si");
	assert_null(strstr(printed(h), "\"sink\""));
	assert_non_null(strstr(printed(h), "\"sink a\""));
}

static void the_number_of_rows_is_limited(void **state)
{
	AUTO(health) struct health *h = health_new(&clock_stub);
	char name[32];

	(void)state;
	for (int i = 0; i < 3 * HEALTH_PARTS_MAX; i++) {
		snprintf(name, sizeof(name), "part %d", i);
		health_set(h, name, "x");
		health_require(h, name);
	}
	snprintf(name, sizeof(name), "\"part %d\"", HEALTH_PARTS_MAX);
	assert_null(strstr(printed(h), name));
	for (int i = 0; i < HEALTH_PARTS_MAX; i++) {
		snprintf(name, sizeof(name), "part %d", i);
		health_set(h, name, NULL);
	}
	assert_true(health_ready(h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(required_parts_are_waited_for),
		cmocka_unit_test(what_was_well_once_never_takes_readiness_away),
		cmocka_unit_test(a_row_says_since_when),
		cmocka_unit_test(a_row_is_forgotten),
		cmocka_unit_test(the_number_of_rows_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
