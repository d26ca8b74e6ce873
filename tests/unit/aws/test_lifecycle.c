#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws/lifecycle.h"
#include "base/buf.h"

#define OPEN  "<?xml version=\"1.0\"?>\n<LifecycleConfiguration xmlns=\"http://s3/\">"
#define CLOSE "</LifecycleConfiguration>"
#define ABORT(days)                                                                                \
	"<AbortIncompleteMultipartUpload><DaysAfterInitiation>" days                               \
	"</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
#define ENABLED "<Status>Enabled</Status>"
#define ALL     "<Filter/>"

/* "id|prefix|days" of each rule with a ';' behind it, and '!' where it is narrowed. */
static void reads(const char *rules, const char *want)
{
	struct lifecycle l;
	struct buf xml = { 0 }, got = { 0 };

	buf_printf(&xml, "%s%s%s", OPEN, rules, CLOSE);
	buf_text(&got, "");
	assert_true(lifecycle_parse(buf_str(&xml), &l));
	for (size_t i = 0; i < l.count; i++)
		buf_printf(&got, "%s|%s|%d%s;", l.rules[i].id, l.rules[i].prefix, l.rules[i].days,
			   l.rules[i].narrowed ? "!" : "");
	assert_string_equal(got.data, want);
	lifecycle_release(&l);
	buf_release(&xml);
	buf_release(&got);
}

static void refuses(const char *xml)
{
	struct lifecycle l;

	assert_false(lifecycle_parse(str_of(xml), &l));
	assert_null(l.rules);
	assert_int_equal(l.count, 0);
}

static void test_rules_that_count(void **state)
{
	(void)state;
	reads("", "");
	reads("<Rule><ID>a</ID>" ALL ENABLED ABORT("7") "</Rule>", "a||7;");
	reads("<Rule><ID>a</ID>" ALL "<Status>Disabled</Status>" ABORT("1") "</Rule>", "");
	reads("<Rule><ID>a</ID>" ALL ENABLED "<Expiration><Days>1</Days></Expiration></Rule>", "");
	reads("<Rule><ID>old</ID>" ALL ENABLED "<Expiration><Days>30</Days></Expiration></Rule>"
	      "<Rule><ID>b</ID>" ALL ENABLED "<Expiration><Days>30</Days></Expiration>" ABORT(
		      "14") "</Rule><Rule>" ALL ENABLED ABORT("3") "</Rule>",
	      "b||14;||3;");
}

static void test_filters(void **state)
{
	(void)state;
	reads("<Rule>" ENABLED "<Prefix>raw/</Prefix>" ABORT("7") "</Rule>", "|raw/|7;");
	reads("<Rule>" ENABLED "<Prefix/>" ABORT("7") "</Rule>", "||7;");
	reads("<Rule>" ENABLED "<Filter><Prefix>a&amp;b/</Prefix></Filter>" ABORT("7") "</Rule>",
	      "|a&b/|7;");
	reads("<Rule>" ENABLED "<Filter><And><Prefix>raw/</Prefix><Tag><Key>k</Key><Value>v</Value>"
	      "</Tag></And></Filter>" ABORT("7") "</Rule>",
	      "|raw/|7!;");
	reads("<Rule>" ENABLED
	      "<Filter><Tag><Key>k</Key><Value/></Tag></Filter>" ABORT("7") "</Rule>",
	      "||7!;");
	reads("<Rule>" ENABLED "<Filter><And><Prefix>x</Prefix><ObjectSizeLessThan>9"
	      "</ObjectSizeLessThan></And></Filter>" ABORT("7") "</Rule>",
	      "|x|7!;");
	reads("<Rule>" ENABLED
	      "<Filter><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan></Filter>" ABORT(
		      "7") "</Rule>",
	      "||7!;");
}

/* What is skipped need not be understood. */
static void test_what_nobody_can_read(void **state)
{
	static const char *const days[] = { ABORT(""),   ABORT("0"),
					    ABORT("-1"), ABORT("7 days"),
					    ABORT("x"),  "<AbortIncompleteMultipartUpload/>" };
	struct buf xml = { 0 };

	(void)state;
	refuses("");
	refuses("<html>welcome</html>");
	refuses(OPEN);
	refuses("<LifecycleConfiguration");
	refuses(OPEN "<Rule>" ALL ABORT("7") "</Rule>" CLOSE); /* no status */
	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		buf_clear(&xml);
		buf_printf(&xml,
			   OPEN "<Rule><ID>a</ID>" ENABLED ABORT("7") "</Rule><Rule>" ENABLED
								      "%s</Rule>" CLOSE,
			   days[i]);
		refuses(xml.data);
	}
	/* A prefix that no key has is not the whole bucket. */
	buf_clear(&xml);
	buf_printf(&xml,
		   OPEN "<Rule>" ENABLED "<Filter><Prefix>%01100d</Prefix></Filter>%s</Rule>" CLOSE,
		   0, ABORT("7"));
	refuses(xml.data);
	buf_release(&xml);
	reads("<Rule><Status>Disabled</Status>" ABORT("x") "</Rule>", "");
	reads("<Rule>" ENABLED ABORT("99999999999") "</Rule>", "||2147483647;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_that_count),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_what_nobody_can_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
