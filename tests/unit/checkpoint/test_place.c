/* Where the state is, told before it is opened, and without what is secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "checkpoint/store.h"

static void test_places(void **state)
{
	static const struct {
		const char *url, *place;
	} rows[] = {
		{ "sqlite:state.db", "sqlite state.db" },
		{ "postgres://sluice@db/sluice", "postgres db/sluice" },
		{ "postgres://u:plum@db.example.org:5433/x?sslmode=require",
		  "postgres db.example.org/x" },
		{ "postgresql://u:pl%40um@db/x?password=plum", "postgres db/x" },
		{ "postgres://u:plum@/x?host=/run/postgresql", "postgres /run/postgresql/x" },
		{ "postgres://u:plum@db", "postgres db/u" },
		{ "postgres://u:pl/um@db/x", "unreadable" },
		{ "plum", "unreadable" },
	};
	char place[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		store_place(rows[i].url, place, sizeof(place));
		assert_string_equal(place, rows[i].place);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
