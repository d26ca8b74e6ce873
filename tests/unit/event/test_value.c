/* Attribute values: each type, numbers to the digit, depth, and what is refused. */
#include "tests/unit/event/decoding.h"

static const struct encoding exact = { .format = FORMAT_DEBEZIUM };
static const struct encoding strings = { .format = FORMAT_DEBEZIUM, .numbers_as_strings = true };

/* v as it stands in the payload: {"before":null,"after":{"v":…},"source":… */
static void assert_value(const char *value, struct encoding encoding, const char *want)
{
	static const char before[] = "{\"before\":null,\"after\":{\"v\":";
	struct error err;
	struct batch *b = decoding_value(value, encoding, &err);
	const char *text, *end;

	if (!b)
		fail_msg("%s: %s", value, err.message);
	text = b->payloads[0][0].p;
	assert_memory_equal(text, before, sizeof(before) - 1);
	text += sizeof(before) - 1;
	end = strstr(text, "},\"source\"");
	assert_str(((struct str){ text, (size_t)(end - text) }), want);
	batch_free(b);
}

static void assert_no_value(const char *value)
{
	struct error err;
	struct batch *b = decoding_value(value, exact, &err);

	if (b)
		fail_msg("%s was taken", value);
	assert_int_equal(err.kind, ERROR_RETRY);
}

static void each_type_becomes_plain_json(void **state)
{
	(void)state;
	assert_value("{\"S\":\"a\\u0000\\ud83d\\ude00\"}", exact, "\"a\\u0000\\ud83d\\ude00\"");
	assert_value("{\"BOOL\":true}", exact, "true");
	assert_value("{\"BOOL\":false}", exact, "false");
	assert_value("{\"NULL\":true}", exact, "null");
	assert_value("{\"B\":\"\"}", exact, "\"\"");
	assert_value("{\"B\":\"ab+\\/AA==\"}", exact, "\"ab+\\/AA==\"");
	assert_value("{\"B\":\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk=\"}", exact,
		     "\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk=\"");
	assert_value("{\"SS\":[\"\",\"b\"]}", exact, "[\"\",\"b\"]");
	assert_value("{\"NS\":[\"1\",\"+2\"]}", exact, "[1,2]");
	assert_value("{\"NS\":[\"1\",\"+2\"]}", strings, "[\"1\",\"+2\"]");
	assert_value("{\"BS\":[\"AA==\"]}", exact, "[\"AA==\"]");
	assert_value("{\"L\":[]}", exact, "[]");
	assert_value("{\"M\":{}}", exact, "{}");
	assert_value("{\"M\":{\"\\u0061\":{\"L\":[{\"N\":\"1\"},{\"M\":{}}]}}}", exact,
		     "{\"\\u0061\":[1,{}]}");
	assert_value(" { \"L\" : [ { \"S\" : \" \" } , { \"NS\" : [ \"1\" , \"2\" ] } ] } ", exact,
		     "[\" \",[1,2]]");
}

static void a_value_has_one_type_and_the_right_json(void **state)
{
	static const char *const values[] = {
		"{}",
		"null",
		"\"a\"",
		"[]",
		"{\"S\":\"a\",\"N\":\"1\"}",
		"{\"S\":\"a\",\"S\":\"b\"}",
		"{\"S\":1}",
		"{\"S\":null}",
		"{\"X\":\"a\"}",
		"{\"s\":\"a\"}",
		"{\"SSS\":[\"a\"]}",
		"{\"\":\"a\"}",
		"{\"N\":1}",
		"{\"B\":[\"AA==\"]}",
		"{\"BOOL\":\"true\"}",
		"{\"BOOL\":1}",
		"{\"BOOL\":truefalse}",
		"{\"NULL\":false}",
		"{\"NULL\":null}",
		"{\"L\":{}}",
		"{\"M\":[]}",
		"{\"L\":[{\"S\":\"a\"},]}",
		"{\"L\":[\"a\"]}",
		"{\"M\":{\"a\":{\"S\":\"\"},}}",
		"{\"M\":{\"a\":\"b\"}}",
		"{\"M\":{a:{\"S\":\"\"}}}",
		"{\"SS\":[]}",
		"{\"NS\":[]}",
		"{\"BS\":[]}",
		"{\"SS\":\"a\"}",
		"{\"SS\":[1]}",
		"{\"SS\":[\"a\",]}",
		"{\"NS\":[\"a\"]}",
		"{\"BS\":[\"a\"]}",
		"{\"S\":\"a\"",
		"{\"S\":\"a\"]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_no_value(values[i]);
}

static void binary_is_base64(void **state)
{
	static const char *const values[] = {
		"A",           "AA",       "AAA",  "A===", "=",      "AA=A",
		"AAAA=",       "AA==AA==", "AA-_", "AA A", "AA\\n=", "\\u0041AAA",
		"AAA\xc3\xa9", "AA:A",     "AA@A", "AA[A", "AA`A",   "AA{A",
	};
	char value[64];

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(value, sizeof(value), "{\"B\":\"%s\"}", values[i]);
		assert_no_value(value);
	}
}

#define DIGITS_38 "12345678901234567890123456789012345678"

static void numbers_keep_their_digits(void **state)
{
	static const struct {
		const char *text, *json;
	} rows[] = {
		{ "0", "0" },
		{ "-0", "-0" },
		{ "-1", "-1" },
		{ "1.50", "1.50" },
		{ "0.001", "0.001" },
		{ "1E+125", "1E+125" },
		{ "9.9e125", "9.9E125" },
		{ "-1E-130", "-1E-130" },
		{ "10E124", "10E124" },
		{ "0.1E126", "0.1E126" },
		{ "0E999999999999999999999", "0E999999999999999999999" },
		{ DIGITS_38, DIGITS_38 },
		{ "-" DIGITS_38 "000", "-" DIGITS_38 "000" },
		{ "0.000" DIGITS_38, "0.000" DIGITS_38 },
		{ "1234567890123456789.0123456789012345678",
		  "1234567890123456789.0123456789012345678" },
		{ "12345678901234567890123456789012", "12345678901234567890123456789012" },
		/* What JSON does not allow is changed as little as it asks. */
		{ "+1", "1" },
		{ "007", "7" },
		{ "-007.5", "-7.5" },
		{ "00", "0" },
		{ ".5", "0.5" },
		{ "-.5", "-0.5" },
		{ "5.", "5" },
		{ "5.E3", "5E3" },
		{ "+.5e-3", "0.5E-3" },
		{ "00.10", "0.10" },
	};
	char value[128], quoted[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(value, sizeof(value), "{\"N\":\"%s\"}", rows[i].text);
		assert_value(value, exact, rows[i].json);
		snprintf(quoted, sizeof(quoted), "\"%s\"", rows[i].text);
		assert_value(value, strings, quoted);
	}
}

static void numbers_beyond_dynamodb_are_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"-",
		"+",
		".",
		"E5",
		"1E",
		"1E+",
		"--1",
		"1.2.3",
		"1,5",
		" 1",
		"1 ",
		"0x1",
		"NaN",
		"Infinity",
		"1_000",
		"1e5e5",
		"1E126",
		"10E125",
		"1E-131",
		"0.1E-130",
		"-1E126",
		DIGITS_38 "9",
		"0." DIGITS_38 "9",
		"1E99999999999999999999",
		"\\u0031",
		"1234567890123456789012345678901234567a",
	};
	char value[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(value, sizeof(value), "{\"N\":\"%s\"}", rows[i]);
		assert_no_value(value);
		snprintf(value, sizeof(value), "{\"NS\":[\"1\",\"%s\"]}", rows[i]);
		assert_no_value(value);
	}
}

static void nest(struct buf *out, const char *open, const char *close, unsigned depth)
{
	buf_clear(out);
	for (unsigned i = 0; i < depth; i++)
		buf_text(out, open);
	buf_text(out, "{\"S\":\"\"}");
	for (unsigned i = 0; i < depth; i++)
		buf_text(out, close);
}

static void nesting_ends_at_32_levels(void **state)
{
	static const char *const shapes[][2] = { { "{\"L\":[", "]}" }, { "{\"M\":{\"a\":", "}}" } };
	struct buf value;

	(void)state;
	buf_init(&value, 0);
	for (unsigned i = 0; i < 2; i++) {
		struct error err;
		struct batch *b;

		nest(&value, shapes[i][0], shapes[i][1], 32);
		b = decoding_value(value.data, exact, &err);
		assert_non_null(b);
		batch_free(b);
		nest(&value, shapes[i][0], shapes[i][1], 33);
		assert_null(decoding_value(value.data, exact, &err));
		assert_non_null(strstr(err.message, "at most 32 lists and maps"));
		nest(&value, shapes[i][0], shapes[i][1], 100000);
		assert_null(decoding_value(value.data, exact, &err));
	}
	buf_release(&value);
}

/* Strings that end before, at and behind each block of a vector. */
static void strings_of_every_length(void **state)
{
	char text[300], value[700], want[700];

	(void)state;
	for (int n = 0; n < 200; n++) {
		for (int i = 0; i < n; i++)
			text[i] = (char)('a' + i % 26);
		text[n] = '\0';
		snprintf(value, sizeof(value), "{\"S\":\"%s\"}", text);
		snprintf(want, sizeof(want), "\"%s\"", text);
		assert_value(value, exact, want);
		snprintf(value, sizeof(value), "{\"M\":{\"%s\":{\"S\":\"%s\\n\"}}}", text + n / 2,
			 text);
		snprintf(want, sizeof(want), "{\"%s\":\"%s\\n\"}", text + n / 2, text);
		assert_value(value, exact, want);
	}
}

/* An attribute never meets a member of the same name that the plain format adds. */
static void plain_sets_its_own_names_apart(void **state)
{
	static const char page[] =
		"{\"Records\":[{\"eventName\":\"INSERT\",\"dynamodb\":{"
		"\"ApproximateCreationDateTime\":1,"
		"\"Keys\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}},\"NewImage\":{"
		"\"_op\":{\"S\":\"1\"},\"__op\":{\"S\":\"2\"},\"_ops\":{\"S\":\"3\"},\"op\":{\"S\":"
		"\"4\"},"
		"\"\\u005fts\":{\"S\":\"5\"},\"_order\":{\"M\":{\"_order\":{\"S\":\"6\"}}},\"_\":{"
		"\"S\":\"7\"}},"
		"\"SequenceNumber\":\"9\"}}]}";
	static const char want[] =
		"{\"__op\":\"1\",\"___op\":\"2\",\"_ops\":\"3\",\"op\":\"4\",\"_\\u005fts\":\"5\","
		"\"__order\":{\"_order\":\"6\"},\"_\":\"7\",\"_op\":\"c\",\"_ts\":1000,\"_seq\":"
		"\"9\","
		"\"_gen\":7,\"_order\":\"0000000007-0000000000000000000000000000000000000009\"}";
	struct encoding encodings[] = { { .format = FORMAT_PLAIN }, { .format = FORMAT_DEBEZIUM } };

	(void)state;
	/* Read for plain, and read for another first. */
	for (unsigned first = 0; first < 2; first++) {
		struct encoding order[] = { encodings[first], encodings[!first] };
		struct decode_options o = {
			.encodings = order, .encoding_count = 2, .lenient = false, .now_ms = 0
		};
		AUTO(batch) struct batch *b = decoding_batch(str_of(page), &decoding_source);
		struct error err;

		assert_true(decode_page(b, &o, &err));
		assert_str(b->payloads[first][0], want);
		assert_non_null(strstr(b->payloads[!first][0].p, "\"after\":{\"_op\":\"1\","));
	}
}

/* The same for the names that a sink gives these members, beside a sink with the usual ones,
 * whichever the page is read for. */
static void fields_have_names_of_their_own(void **state)
{
	static const char page[] =
		"{\"Records\":[{\"eventName\":\"INSERT\",\"dynamodb\":{"
		"\"ApproximateCreationDateTime\":1,"
		"\"Keys\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}},\"NewImage\":{"
		"\"op\":{\"S\":\"1\"},\"_op\":{\"S\":\"2\"},\"at\":{\"S\":\"3\"},"
		"\"\\u0061t\":{\"S\":\"4\"},\"_ts\":{\"S\":\"5\"},\"_part\":{\"S\":\"6\"}},"
		"\"SequenceNumber\":\"9\"}}]}";
	static const struct event_fields fields = { "op", "at", "@seq", "_gen", "__order" };
	static const char *const want[] = {
		"{\"_op\":\"1\",\"__op\":\"2\",\"_at\":\"3\",\"_\\u0061t\":\"4\",\"_ts\":\"5\","
		"\"__part\":\"6\",\"op\":\"c\",\"at\":1000,\"@seq\":\"9\",\"_gen\":7,"
		"\"__order\":\"0000000007-0000000000000000000000000000000000000009\"}",
		"{\"op\":\"1\",\"__op\":\"2\",\"at\":\"3\",\"\\u0061t\":\"4\",\"__ts\":\"5\","
		"\"__part\":\"6\",\"_op\":\"c\",\"_ts\":1000,\"_seq\":\"9\",\"_gen\":7,"
		"\"_order\":\"0000000007-0000000000000000000000000000000000000009\"}",
	};
	const struct encoding encodings[] = { { .format = FORMAT_PLAIN, .fields = &fields },
					      { .format = FORMAT_PLAIN } };

	(void)state;
	for (unsigned first = 0; first < 2; first++) {
		struct encoding order[] = { encodings[first], encodings[!first] };
		struct decode_options o = { .encodings = order, .encoding_count = 2 };
		AUTO(batch) struct batch *b = decoding_batch(str_of(page), &decoding_source);
		struct error err;

		assert_true(decode_page(b, &o, &err));
		for (unsigned i = 0; i < 2; i++)
			assert_str(b->payloads[i][0], want[first ^ i]);
	}
}

static void names_of_fields_can_be_told_apart(void **state)
{
	static const struct event_fields bad[] = {
		{ "", "_ts", "_seq", "_gen", "_order" },
		{ "_op", "a b", "_seq", "_gen", "_order" },
		{ "_op", "_ts", "_seq\"", "_gen", "_order" },
		{ "_op", "_ts", "_seq", "_gen", "a23456789012345678901234567890123" },
		{ "_op", "_op", "_seq", "_gen", "_order" },
		{ "_op", "_ts", "__ts", "_gen", "_order" },
		{ "part", "_ts", "_seq", "_gen", "_order" },
	};
	const struct event_fields good = { "op", "@timestamp", "a.b-c", "__gen",
					   "a2345678901234567890123456789012" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(event_fields_fault(&bad[i]));
	assert_null(event_fields_fault(&good));
	assert_ptr_equal(event_fields_set(&good), &good);
	assert_null(event_fields_set(&event_fields_default));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_becomes_plain_json),
		cmocka_unit_test(a_value_has_one_type_and_the_right_json),
		cmocka_unit_test(binary_is_base64),
		cmocka_unit_test(numbers_keep_their_digits),
		cmocka_unit_test(numbers_beyond_dynamodb_are_refused),
		cmocka_unit_test(nesting_ends_at_32_levels),
		cmocka_unit_test(strings_of_every_length),
		cmocka_unit_test(plain_sets_its_own_names_apart),
		cmocka_unit_test(fields_have_names_of_their_own),
		cmocka_unit_test(names_of_fields_can_be_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
