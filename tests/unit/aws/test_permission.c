#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "aws/permission.h"

static struct permission last;
static char resource[128];
static unsigned told;

static void on_permission(void *arg, const struct permission *p)
{
	(void)arg;
	told++;
	last = *p;
	strncpy(resource, p->resource, sizeof(resource) - 1);
}

static bool judge(enum error_kind kind, const char *message)
{
	static struct error err; /* what is told is in its words */

	error_set(&err, kind, "%s", message);
	told = 0;
	return permission_judge(&err, "s3:PutObject", "arn:x", on_permission, NULL);
}

static void test_answers(void **state)
{
	static const enum error_kind given[] = { ERROR_NONE, ERROR_NOT_FOUND, ERROR_THROTTLED,
						 ERROR_EXPIRED, ERROR_TRIMMED };
	static const enum error_kind silent[] = { ERROR_RETRY, ERROR_INVALID, ERROR_CANCELLED,
						  ERROR_REFUSED };

	(void)state;
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		assert_true(judge(given[i], "words"));
		assert_int_equal(told, 1);
		assert_int_equal(last.state, PERMISSION_GIVEN);
		assert_string_equal(last.why, "");
	}
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
		assert_false(judge(silent[i], "ExpiredToken: AWS does not take the keys"));
		assert_int_equal(told, 0);
	}
}

static void test_missing(void **state)
{
	(void)state;
	assert_true(judge(ERROR_REFUSED, "AccessDenied: no; allow s3:PutObject"));
	assert_int_equal(last.state, PERMISSION_MISSING);
	assert_string_equal(last.action, "s3:PutObject");
	assert_string_equal(resource, "arn:x");
	assert_true(judge(ERROR_REFUSED, "no; allow s3:PutObject and s3:ListBucket"));
	assert_string_equal(last.action, "s3:PutObject");
	/* AWS's words may have ours in them: the last ones count. */
	assert_true(judge(ERROR_REFUSED, "says '; allow x:Y'; allow s3:PutObject"));
	assert_string_equal(last.action, "s3:PutObject");
	/* It is no refusal of a permission by the words alone. */
	assert_false(judge(ERROR_INVALID, "no; allow s3:PutObject"));
}

static void test_key(void **state)
{
	(void)state;
	assert_true(judge(ERROR_REFUSED, "no; allow kms:Decrypt on arn:aws:kms:r:1:key/k"));
	assert_int_equal(last.state, PERMISSION_MISSING);
	assert_string_equal(last.action, "kms:Decrypt on arn:aws:kms:r:1:key/k");
	assert_string_equal(resource, "");
	assert_true(judge(ERROR_REFUSED, "no; allow s3:PutObjectTagging"));
	assert_string_equal(last.action, "s3:PutObjectTagging");
	assert_true(judge(ERROR_REFUSED, "no; allow kms:Decrypt"));
	assert_string_equal(last.action, "kms:Decrypt");
	assert_string_equal(resource, "arn:x");
}

static bool judge_optional(enum error_kind kind, const char *message)
{
	struct error err;

	error_set(&err, kind, "%s", message);
	told = 0;
	return permission_judge_optional(&err, "s3:GetX", "arn:x", "no X", on_permission, NULL);
}

static void test_optional(void **state)
{
	(void)state;
	assert_true(judge_optional(ERROR_NONE, ""));
	assert_int_equal(last.state, PERMISSION_GIVEN);
	assert_string_equal(last.action, "s3:GetX");
	assert_true(judge_optional(ERROR_REFUSED, "AccessDenied: no; allow s3:GetX"));
	assert_int_equal(last.state, PERMISSION_OPTIONAL);
	assert_string_equal(last.action, "s3:GetX");
	assert_string_equal(last.why, "no X");
	assert_int_equal(told, 1);
	assert_false(judge_optional(ERROR_INVALID, "MethodNotAllowed"));
	assert_int_equal(told, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_optional),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
