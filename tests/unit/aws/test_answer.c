#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "aws/answer.h"
#include "aws/skew.h"
#include "aws/xml.h"

static void test_errors_are_parsed(void **state)
{
	static const struct {
		const char *body, *code, *message;
	} cases[] = {
		{ "{\"__type\":\"com.amazonaws.x#AbcException\",\"message\":\"m\"}", "AbcException",
		  "m" },
		{ "{\"__type\":\"AbcException:http://internal/\",\"Message\":\"M\"}",
		  "AbcException", "M" },
		{ "{\"__type\":\"AbcException\"}", "AbcException", "" },
		{ "{\"__type\":7,\"message\":\"line\\nbreak\"}", "", "line break" },
		{ "  <?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>a &lt;b&gt;"
		  "</Message></Error>",
		  "NoSuchKey", "a <b>" },
		{ "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>C</Code>"
		  "<Message>m</Message></Error></ErrorResponse>",
		  "C", "m" },
		{ "<Error><Code>cut", "", "" },
		{ "<html>502</html>", "", "" },
		{ "{\"__type\":", "", "" },
		{ "[]", "", "" },
		{ "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer_error e;

		answer_parse(str_of(cases[i].body), &e);
		assert_string_equal(e.code, cases[i].code);
		assert_string_equal(e.message, cases[i].message);
	}
}

static void test_verdicts(void **state)
{
	static const struct {
		const char *code, *message;
		int status;
		enum error_kind kind;
		enum answer_remedy remedy;
	} cases[] = {
		{ "ExpiredIteratorException", "", 400, ERROR_EXPIRED, ANSWER_NO_REMEDY },
		{ "TrimmedDataAccessException", "", 400, ERROR_TRIMMED, ANSWER_NO_REMEDY },
		{ "NoSuchUpload", "", 404, ERROR_NOT_FOUND, ANSWER_NO_REMEDY },
		{ "SlowDown", "", 503, ERROR_THROTTLED, ANSWER_AGAIN },
		{ "LimitExceededException", "", 400, ERROR_THROTTLED, ANSWER_AGAIN },
		{ "ExportNotFoundException", "", 400, ERROR_NOT_FOUND, ANSWER_NO_REMEDY },
		{ "ContinuousBackupsUnavailableException", "", 400, ERROR_RETRY, ANSWER_NO_REMEDY },
		{ "ExportConflictException", "", 400, ERROR_INVALID, ANSWER_NO_REMEDY },
		{ "InvalidExportTimeException", "", 400, ERROR_INVALID, ANSWER_NO_REMEDY },
		{ "PointInTimeRecoveryUnavailableException", "", 400, ERROR_INVALID,
		  ANSWER_NO_REMEDY },
		{ "PreconditionFailed", "", 412, ERROR_INVALID, ANSWER_NO_REMEDY },
		{ "InvalidRange", "", 416, ERROR_INVALID, ANSWER_NO_REMEDY },
		{ "InternalError", "", 200, ERROR_RETRY, ANSWER_AGAIN },
		{ "ExpiredToken", "", 400, ERROR_REFUSED, ANSWER_REFRESH },
		{ "UnrecognizedClientException", "", 400, ERROR_REFUSED, ANSWER_REFRESH },
		{ "RequestTimeTooSkewed", "", 403, ERROR_REFUSED, ANSWER_CLOCK },
		{ "SignatureDoesNotMatch", "Signature expired: x is now earlier", 403,
		  ERROR_REFUSED, ANSWER_CLOCK },
		{ "SignatureDoesNotMatch", "does not match", 403, ERROR_REFUSED, ANSWER_NO_REMEDY },
		{ "InvalidSignatureException", "Signature not yet current: x", 400, ERROR_REFUSED,
		  ANSWER_CLOCK },
		{ "InvalidSignatureException", "does not match", 400, ERROR_REFUSED,
		  ANSWER_NO_REMEDY },
		{ "ValidationException", "", 400, ERROR_INVALID, ANSWER_NO_REMEDY },
		{ "SomethingNew", "", 400, ERROR_INVALID, ANSWER_NO_REMEDY },
		{ "SomethingNew", "", 500, ERROR_RETRY, ANSWER_AGAIN },
		{ "", "", 429, ERROR_THROTTLED, ANSWER_AGAIN },
		{ "", "", 403, ERROR_REFUSED, ANSWER_NO_REMEDY },
		{ "", "", 404, ERROR_NOT_FOUND, ANSWER_NO_REMEDY },
		{ "", "", 412, ERROR_INVALID, ANSWER_NO_REMEDY },
		{ "", "", 501, ERROR_RETRY, ANSWER_NO_REMEDY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer_error e = { 0 };
		struct answer_verdict v;

		strcpy(e.code, cases[i].code);
		strcpy(e.message, cases[i].message);
		v = answer_judge(&e, cases[i].status);
		assert_int_equal(v.kind, cases[i].kind);
		assert_int_equal(v.remedy, cases[i].remedy);
	}
}

static void test_dates(void **state)
{
	static const char *const bad[] = {
		"",
		"Sat, 21 Nov 2026 10:11:12 UTC",
		"Sat, 21 Nov 2026 10:11:72 GMT",
		"Sat, 21 Nov 2026 25:11:12 GMT",
		"Sat, 00 Nov 2026 10:11:12 GMT",
		"Sat, 21 ovD 2026 10:11:12 GMT",
		"Thu, 01 Jan 1970 00:00:00 GMT",
		"Sat, 21 Nov 2999 10:11:12 GMT",
		"Sat, 21 Nov 2026 10:-1:12 GMT",
		"2026-11-21T10:11:12Z",
	};
	int64_t ms;

	(void)state;
	assert_true(answer_date(STR("Sat, 21 Nov 2026 10:11:12 GMT"), &ms));
	assert_int_equal(ms, 1795255872000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (answer_date(str_of(bad[i]), &ms))
			fail_msg("%s", bad[i]);
}

static void test_xml(void **state)
{
	struct str rest = STR("<L><K a=\"1\">one</K><Key>x</Key><K>t&amp;w&#x22;&#39;&bad;</K><K/>"
			      "<K>cut"),
		   inner;
	char text[16];

	(void)state;
	assert_true(xml_next(&rest, "K", &inner));
	assert_true(str_equal(inner, STR("one")));
	assert_true(xml_text(rest, "Key", text, sizeof(text)));
	assert_string_equal(text, "x");
	assert_true(xml_text(rest, "K", text, sizeof(text)));
	assert_string_equal(text, "t&w\"'&bad;");
	assert_false(xml_text(rest, "K", text, 5));
	assert_string_equal(text, "");
	assert_true(xml_next(&rest, "K", &inner));
	assert_true(xml_next(&rest, "K", &inner));
	assert_int_equal(inner.n, 0);
	assert_false(xml_next(&rest, "K", &inner));
	assert_false(xml_next(&rest, "Missing", &inner));
}

static void test_skew(void **state)
{
	struct skew s = { 0 };
	const int64_t hour = 3600000;
	int64_t wall = 1795255872000, offset = 0;

	(void)state;
	/* Within what a Date can say. */
	assert_false(skew_note(&s, wall, wall - 2000, 100, false, &offset));
	assert_false(skew_note(&s, wall, wall + 2000, 100, false, &offset));
	/* One answer alone, then the truth again, then another alone. */
	assert_false(skew_note(&s, wall, wall + hour, 0, false, &offset));
	assert_false(skew_note(&s, wall, wall, 0, false, &offset));
	assert_false(skew_note(&s, wall, wall + hour, 0, false, &offset));
	assert_int_equal(offset, 0);
	/* The second that agrees. */
	wall += 1000;
	assert_true(skew_note(&s, wall, wall + hour, 0, false, &offset));
	assert_int_equal(offset, hour + 500);
	assert_false(skew_note(&s, wall, wall + hour, 0, false, &offset));
	/* A refusal counts at once; half of the time on the way belongs to it. */
	assert_true(skew_note(&s, wall, wall - hour, 2000, true, &offset));
	assert_int_equal(offset, -hour + 500 + 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors_are_parsed),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_xml),
		cmocka_unit_test(test_skew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
