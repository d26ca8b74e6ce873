/* The folder of a raw export, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "export/path.h"

static void assert_path(const char *prefix, struct window w, const char *want)
{
	struct export_place place = { prefix, "123456789012", "eu-west-1", "orders" };
	struct error err;
	struct buf out;

	buf_init(&out, 0);
	assert_true(path_export(&place, &w, &out, &err));
	assert_string_equal(out.data, want);
	buf_release(&out);
}

static void folders(void **state)
{
	(void)state;
	assert_path("sluice", (struct window){ 0, 1710460800000 },
		    "sluice/123456789012/eu-west-1/orders/exports/"
		    "1970-01-01-00-00-00-000000_2024-03-15-00-00-00-000000");
	assert_path("/a/b//", (struct window){ 1709164800001, 4107542399999 },
		    "a/b/123456789012/eu-west-1/orders/exports/"
		    "2024-02-29-00-00-00-001000_2100-02-28-23-59-59-999000");
	assert_path("", (struct window){ 0, 1000 },
		    "123456789012/eu-west-1/orders/exports/"
		    "1970-01-01-00-00-00-000000_1970-01-01-00-00-01-000000");
	assert_path("/", (struct window){ 0, 1000 },
		    "123456789012/eu-west-1/orders/exports/"
		    "1970-01-01-00-00-00-000000_1970-01-01-00-00-01-000000");
}

static void a_long_prefix_is_refused(void **state)
{
	struct window w = { 0, 1000 };
	char prefix[PATH_PREFIX_MAX + 1];
	struct export_place place = { prefix, "123456789012", "eu-west-1", "orders" };
	struct error err;
	struct buf out;

	(void)state;
	memset(prefix, 'p', sizeof(prefix) - 1);
	prefix[sizeof(prefix) - 1] = '\0';
	buf_init(&out, 0);
	assert_false(path_export(&place, &w, &out, &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	/* All of AWS's limit can be used. */
	prefix[PATH_PREFIX_MAX - strlen("/123456789012/eu-west-1/orders/exports/") - 26 * 2 - 1] =
		'\0';
	buf_clear(&out);
	assert_true(path_export(&place, &w, &out, &err));
	assert_int_equal(out.size, PATH_PREFIX_MAX);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folders),
		cmocka_unit_test(a_long_prefix_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
