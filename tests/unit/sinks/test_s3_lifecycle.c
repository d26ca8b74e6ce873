#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sinks/s3_lifecycle.h"

#define WHOLE                                                                                      \
	{                                                                                          \
		"whole", "", 7, false                                                              \
	}
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct str orders[] = { { "orders", 6 } };
static const struct str both[] = { { "orders", 6 }, { "customers", 9 } };
static const struct str pattern[] = { { "orders-*", 8 } };
static const struct s3_keys raw = { "raw/", "${table}/date=${yyyy}-${MM}/", NULL, orders, 1 };
static const struct s3_keys anything = { "", "${table}/date=${yyyy}/", NULL, NULL, 0 };

struct simple {
	const char *id, *prefix;
	int days;
	bool narrowed;
};

/* rule: the id of the one that decides; NULL: none does. */
static void judged(const struct s3_keys *k, const struct simple *rules, size_t count,
		   enum s3_lifecycle_fit fit, const char *rule)
{
	struct lifecycle_rule room[4];
	struct s3_lifecycle_verdict v;

	for (size_t i = 0; i < count; i++)
		room[i] = (struct lifecycle_rule){ .id = (char *)(uintptr_t)rules[i].id,
						   .prefix = (char *)(uintptr_t)rules[i].prefix,
						   .days = rules[i].days,
						   .narrowed = rules[i].narrowed };
	v = s3_lifecycle_judge(&(struct lifecycle){ room, count }, k);
	assert_int_equal(v.fit, fit);
	assert_int_equal(v.rule != NULL, rule != NULL);
	if (rule)
		assert_string_equal(v.rule->id, rule);
}

static void one(const struct s3_keys *k, const char *prefix, int days, enum s3_lifecycle_fit fit)
{
	const struct simple rules[] = { { "it", prefix, days, false } };

	judged(k, rules, 1, fit,
	       fit == S3_LIFECYCLE_ALL || fit == S3_LIFECYCLE_SHORT ? "it" : NULL);
}

static void test_days(void **state)
{
	(void)state;
	judged(&raw, NULL, 0, S3_LIFECYCLE_NONE, NULL);
	one(&raw, "", 7, S3_LIFECYCLE_ALL);
	one(&raw, "", 365, S3_LIFECYCLE_ALL);
	one(&raw, "", 6, S3_LIFECYCLE_SHORT);
	one(&raw, "", 1, S3_LIFECYCLE_SHORT);
}

static void test_prefixes(void **state)
{
	const struct s3_keys flat = { "raw/", "", NULL, orders, 1 };
	const struct s3_keys later = { "", "${yyyy}/${table}-x/${attribute:a}/y", NULL, orders, 1 };

	(void)state;
	one(&raw, "raw/", 7, S3_LIFECYCLE_ALL);
	one(&raw, "raw/orders/date=", 7, S3_LIFECYCLE_ALL);
	one(&raw, "raw/orders/date=2026", 7, S3_LIFECYCLE_SOME);
	one(&raw, "raw/orders/date=2026-11/20261126", 7, S3_LIFECYCLE_SOME);
	one(&raw, "raw/orders/date=2026-11/20261126", 1, S3_LIFECYCLE_SHORT);
	one(&raw, "raw/orders/date=2026-11/20261126/", 1, S3_LIFECYCLE_NONE);
	one(&raw, "raw/orders2/", 1, S3_LIFECYCLE_NONE);
	one(&raw, "raw/order", 1, S3_LIFECYCLE_SHORT);
	one(&raw, "raw/orders/hour=", 1, S3_LIFECYCLE_NONE);
	one(&raw, "tmp/", 1, S3_LIFECYCLE_NONE);
	one(&raw, "raw/athena/", 1, S3_LIFECYCLE_NONE);
	one(&flat, "raw/", 7, S3_LIFECYCLE_ALL);
	one(&flat, "raw/2026", 7, S3_LIFECYCLE_SOME);
	one(&flat, "raw/a/", 1, S3_LIFECYCLE_NONE);
	one(&later, "2026/orders-x/", 7, S3_LIFECYCLE_SOME);
	one(&later, "2026/orders-x/v/y/", 1, S3_LIFECYCLE_SHORT);
	one(&later, "2026/orders-x/v/z", 1, S3_LIFECYCLE_NONE);
	one(&later, "2026/customers", 1, S3_LIFECYCLE_NONE);
}

static void test_tables(void **state)
{
	const struct s3_keys two = { "", "${table}/", NULL, both, COUNT(both) };
	const struct s3_keys some = { "", "${table}/", NULL, pattern, 1 };
	const struct simple each[] = { { "a", "orders/", 8, false },
				       { "b", "customers/", 7, false } };

	(void)state;
	one(&two, "orders/", 7, S3_LIFECYCLE_SOME);
	judged(&two, each, 2, S3_LIFECYCLE_ALL, "b");
	one(&two, "customers/", 1, S3_LIFECYCLE_SHORT);
	one(&some, "orders-", 7, S3_LIFECYCLE_ALL);
	one(&some, "orders-eu/", 7, S3_LIFECYCLE_SOME);
	one(&some, "customers/", 1, S3_LIFECYCLE_NONE);
	one(&anything, "customers/", 1, S3_LIFECYCLE_SHORT);
	one(&anything, "athena/results/", 1, S3_LIFECYCLE_NONE);
}

static void test_several_rules(void **state)
{
	const struct simple shortest[] = { WHOLE,
					   { "a", "raw/", 3, false },
					   { "b", "raw/o", 2, false } };
	const struct simple other[] = { { "tmp", "tmp/", 1, false }, WHOLE };
	const struct simple earliest[] = { { "a", "", 30, false }, { "b", "raw/", 14, false } };

	(void)state;
	judged(&raw, shortest, 3, S3_LIFECYCLE_SHORT, "b");
	judged(&raw, other, 2, S3_LIFECYCLE_ALL, "whole");
	judged(&raw, earliest, 2, S3_LIFECYCLE_ALL, "b");
}

/* Servers that take such a rule do what they like with it. */
static void test_rules_by_tags_and_sizes(void **state)
{
	const struct simple late[] = { { "tags", "", 7, true } };
	const struct simple early[] = { { "tags", "", 1, true }, WHOLE };

	(void)state;
	judged(&raw, late, 1, S3_LIFECYCLE_SOME, NULL);
	judged(&raw, early, 2, S3_LIFECYCLE_SHORT, "tags");
}

/* The lists of files are uploads, too. */
static void test_manifests(void **state)
{
	struct s3_keys with = raw;
	const struct simple rules[] = { { "a", "raw/orders/", 7, false },
					{ "b", "raw/_manifest/", 7, false } };

	(void)state;
	one(&with, "raw/_manifest/", 1, S3_LIFECYCLE_NONE);
	with.manifests = "raw/_manifest/";
	one(&with, "raw/_manifest/", 1, S3_LIFECYCLE_SHORT);
	one(&with, "raw/orders/", 7, S3_LIFECYCLE_SOME);
	judged(&with, rules, 2, S3_LIFECYCLE_ALL, "a");
}

static void test_words(void **state)
{
	struct lifecycle_rule rule = { (char[]){ "it" }, (char[]){ "raw/" }, 7, false };
	struct lifecycle l = { &rule, 1 };
	struct buf said = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_true(s3_lifecycle_say(&l, &raw, &said, &err));
	assert_non_null(strstr(said.data, "rule 'it' aborts incomplete uploads after 7 days"));
	buf_clear(&said);
	l.count = 0;
	assert_true(s3_lifecycle_say(&l, &raw, &said, &err));
	assert_non_null(strstr(said.data, "no lifecycle rule"));
	assert_non_null(strstr(said.data, "the prefix raw/, with DaysAfterInitiation 7 or more"));
	buf_clear(&said);
	assert_true(s3_lifecycle_say(&l, &anything, &said, &err));
	assert_non_null(strstr(said.data, "the bucket, with DaysAfterInitiation 7 or more"));
	buf_clear(&said);
	l.count = 1;
	rule.narrowed = true;
	assert_true(s3_lifecycle_say(&l, &raw, &said, &err));
	assert_non_null(strstr(said.data, "some of its incomplete uploads only"));
	buf_clear(&said);
	rule.days = 1;
	assert_false(s3_lifecycle_say(&l, &raw, &said, &err));
	assert_int_equal(said.size, 0);
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_non_null(strstr(err.message,
			       "rule 'it' aborts incomplete uploads under raw/ after 1 "
			       "day:"));
	assert_non_null(strstr(err.message, "7 days or more"));
	buf_release(&said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_several_rules),
		cmocka_unit_test(test_rules_by_tags_and_sizes),
		cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
