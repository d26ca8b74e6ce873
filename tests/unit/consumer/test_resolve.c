/* What a stream's name tells, and whether its images are enough for a sink. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "consumer/resolve.h"

static void assert_parts(const char *arn, const char *want_region, const char *want_account)
{
	char region[64] = "left over", account[16] = "left over";

	resolve_arn_parts(arn, region, account);
	assert_string_equal(region, want_region);
	assert_string_equal(account, want_account);
}

static void region_and_account_stand_in_the_arn(void **state)
{
	(void)state;
	assert_parts("arn:aws:dynamodb:eu-west-1:123456789012:table/orders", "eu-west-1",
		     "123456789012");
	assert_parts("arn:aws-cn:dynamodb:cn-north-1:123456789012:table/o/stream/2026",
		     "cn-north-1", "123456789012");
	assert_parts("arn:aws-us-gov:dynamodb:us-gov-west-1:000000000000:table/x", "us-gov-west-1",
		     "000000000000");
}

/* DynamoDB Local gives ddblocal and twelve zeros; others leave parts empty. */
static void what_it_does_not_have_is_empty(void **state)
{
	(void)state;
	assert_parts("arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/l", "ddblocal",
		     "000000000000");
	assert_parts("orders", "", "");
	assert_parts("", "", "");
	assert_parts("arn:aws:s3:::bucket", "", "");
	assert_parts("arn:aws:dynamodb::123456789012:table/t", "", "");
	assert_parts("arn:aws:dynamodb:eu-west-1::table/t", "eu-west-1", "");
}

static void long_parts_are_cut_not_run_over(void **state)
{
	char arn[512], region[64], account[16];

	(void)state;
	strcpy(arn, "arn:aws:dynamodb:");
	memset(arn + strlen(arn), 'r', 200);
	strcpy(arn + strlen("arn:aws:dynamodb:") + 200, ":123456789012345678901234:table/t");
	resolve_arn_parts(arn, region, account);
	assert_true(strlen(region) < sizeof(region));
	assert_true(strlen(account) < sizeof(account));
}

#define TABLE "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"

static void a_label_is_a_time(void **state)
{
	(void)state;
	assert_int_equal(resolve_created_ms(TABLE "/stream/2015-05-11T21:21:33.291"),
			 1431379293291);
	assert_int_equal(resolve_created_ms(TABLE "/stream/label"), -1);
	assert_int_equal(resolve_created_ms(TABLE "/stream/-2h"), -1);
	assert_int_equal(resolve_created_ms(TABLE "/stream/"), -1);
	assert_int_equal(resolve_created_ms(TABLE), -1);
}

static void streams_of_one_table_have_its_arn(void **state)
{
	(void)state;
	assert_true(resolve_same_table(TABLE "/stream/a", TABLE "/stream/b"));
	assert_false(resolve_same_table(TABLE "/stream/a", TABLE "-2/stream/a"));
	assert_false(resolve_same_table(TABLE "-2/stream/a", TABLE "/stream/a"));
	assert_false(resolve_same_table("orders", TABLE "/stream/a"));
}

static bool fit(bool new_images, enum event_format format, struct error *err)
{
	struct resolved_stream r = { .new_images = new_images };

	strcpy(r.view_type, new_images ? "NEW_IMAGE" : "KEYS_ONLY");
	return resolve_images_fit(&r, "orders", "lake", (struct encoding){ .format = format }, err);
}

static void forms_that_need_images_are_told_from_the_one_that_does_not(void **state)
{
	struct error err = { 0 };

	(void)state;
	assert_true(fit(true, FORMAT_DEBEZIUM, &err));
	assert_true(fit(true, FORMAT_PLAIN, &err));
	assert_true(fit(false, FORMAT_DYNAMODB, &err));
	assert_false(fit(false, FORMAT_PLAIN, &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_false(fit(false, FORMAT_DEBEZIUM, &err));
	assert_non_null(strstr(err.message, "orders"));
	assert_non_null(strstr(err.message, "KEYS_ONLY"));
	assert_non_null(strstr(err.message, "lake"));
	assert_non_null(strstr(err.message, "NEW_AND_OLD_IMAGES"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(region_and_account_stand_in_the_arn),
		cmocka_unit_test(what_it_does_not_have_is_empty),
		cmocka_unit_test(long_parts_are_cut_not_run_over),
		cmocka_unit_test(a_label_is_a_time),
		cmocka_unit_test(streams_of_one_table_have_its_arn),
		cmocka_unit_test(forms_that_need_images_are_told_from_the_one_that_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
