/* Canonical keys: one item has one key for ever. These vectors must never change. */
#include "tests/unit/event/decoding.h"

/* The key that `keys`, the value of dynamodb.Keys, makes; NULL where the page is refused. */
static struct batch *decode_keys(const char *keys, const struct source *source)
{
	struct encoding encoding = { .format = FORMAT_PLAIN };
	struct decode_options o = {
		.encodings = &encoding, .encoding_count = 1, .lenient = false, .now_ms = 0
	};
	struct buf page;
	struct batch *b;
	struct error err;

	buf_init(&page, 0);
	buf_printf(&page,
		   "{\"Records\":[{\"eventName\":\"INSERT\",\"dynamodb\":{\"Keys\":%s,"
		   "\"ApproximateCreationDateTime\":1,\"SequenceNumber\":\"1\"}}]}",
		   keys);
	b = decoding_batch(buf_str(&page), source);
	buf_release(&page);
	if (decode_page(b, &o, &err))
		return b;
	batch_free(b);
	return NULL;
}

static void assert_key(const char *keys, const struct source *source, const char *want)
{
	struct batch *b = decode_keys(keys, source);

	if (!b)
		fail_msg("%s was refused", keys);
	assert_str(b->events[0].key, want);
	batch_free(b);
}

static void the_hash_key_comes_first(void **state)
{
	(void)state;
	assert_key("{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}", &decoding_source,
		   "{\"pk\":\"a\",\"sk\":1}");
	assert_key("{\"sk\":{\"N\":\"1\"},\"pk\":{\"S\":\"a\"}}", &decoding_source,
		   "{\"pk\":\"a\",\"sk\":1}");
	assert_key("{ \"sk\" : {\"B\":\"AA\\/+\"} , \"pk\" : {\"N\":\"1.0\"} }", &decoding_source,
		   "{\"pk\":1,\"sk\":\"AA/+\"}");
	assert_key("{\"\\u0070k\":{\"S\":\"a\"},\"sk\":{\"S\":\"\"}}", &decoding_source,
		   "{\"pk\":\"a\",\"sk\":\"\"}");
}

static void strings_have_one_spelling(void **state)
{
	static const struct {
		const char *wire, *key;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "a\\/b/c", "a/b/c" },
		{ "\\u0041\\u00e9\\u20AC", "A\u00e9\u20ac" },
		{ "A\u00e9\u20ac", "A\u00e9\u20ac" },
		{ "\\ud83d\\ude00", "\U0001f600" },
		{ "\\uD83D\\uDE00 \U0001f600", "\U0001f600 \U0001f600" },
		{ "\\uD7FF\\uE000", "\uD7FF\uE000" },
		{ "\\\"\\\\", "\\\"\\\\" },
		{ "\\u0022\\u005c\\u005C", "\\\"\\\\\\\\" },
		{ "\\b\\t\\n\\f\\r", "\\b\\t\\n\\f\\r" },
		{ "\\u0008\\u0009\\u000a\\u000C\\u000d", "\\b\\t\\n\\f\\r" },
		{ "\\u0000\\u0001\\u001F\\u000b", "\\u0000\\u0001\\u001f\\u000b" },
		{ "\\u007f\x7f", "\x7f\x7f" },
		{ "a string that is longer than one block \\u002f of a vector",
		  "a string that is longer than one block / of a vector" },
		{ "a string that is longer than one block of a vector but plain",
		  "a string that is longer than one block of a vector but plain" },
	};
	char keys[256], want[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(keys, sizeof(keys), "{\"pk\":{\"S\":\"%s\"},\"sk\":{\"N\":\"0\"}}",
			 rows[i].wire);
		snprintf(want, sizeof(want), "{\"pk\":\"%s\",\"sk\":0}", rows[i].key);
		assert_key(keys, &decoding_source, want);
	}
}

static void numbers_have_one_spelling(void **state)
{
	static const struct {
		const char *wire, *key;
	} rows[] = {
		{ "0", "0" },
		{ "-0", "0" },
		{ "0.000", "0" },
		{ "-0E5", "0" },
		{ "1", "1" },
		{ "1.0", "1" },
		{ "1E0", "1" },
		{ "+001.00", "1" },
		{ "100", "100" },
		{ "1E2", "100" },
		{ "1e+2", "100" },
		{ "0.01e4", "100" },
		{ "-12.50", "-12.5" },
		{ "-1250E-2", "-12.5" },
		{ ".5", "0.5" },
		{ "5E-1", "0.5" },
		{ "0.00120", "0.0012" },
		{ "12E-4", "0.0012" },
		{ "12345678901234567890123456789012345678",
		  "12345678901234567890123456789012345678" },
		{ "1.2345678901234567890123456789012345678E37",
		  "12345678901234567890123456789012345678" },
		{ "123456789012345678901234567890.12345678",
		  "123456789012345678901234567890.12345678" },
		{ "1E-30", "0.000000000000000000000000000001" },
	};
	char keys[256], want[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(keys, sizeof(keys), "{\"pk\":{\"N\":\"%s\"},\"sk\":{\"N\":\"%s\"}}",
			 rows[i].wire, rows[i].wire);
		snprintf(want, sizeof(want), "{\"pk\":%s,\"sk\":%s}", rows[i].key, rows[i].key);
		assert_key(keys, &decoding_source, want);
	}
}

static void the_longest_numbers_fit(void **state)
{
	char want[400] = "{\"pk\":9";
	size_t n = strlen(want);

	(void)state;
	memset(want + n, '0', 125);
	snprintf(want + n + 125, 20, ",\"sk\":-0.");
	n = strlen(want);
	memset(want + n, '0', 129);
	snprintf(want + n + 129, 60, "12345678901234567890123456789012345678}");
	assert_key("{\"pk\":{\"N\":\"9E125\"},"
		   "\"sk\":{\"N\":\"-1.2345678901234567890123456789012345678E-130\"}}",
		   &decoding_source, want);
}

static void a_table_without_a_range_key(void **state)
{
	struct source source = decoding_source;

	(void)state;
	source.key_hash = "the \"id\"\n";
	source.key_range = "";
	assert_key("{\"the \\u0022id\\\"\\n\":{\"S\":\"x\"}}", &source,
		   "{\"the \\\"id\\\"\\n\":\"x\"}");
	source.key_hash = "a name of a key attribute that is longer than any block";
	assert_key("{\"a name of a key attribute that is longer than any block\":{\"S\":\"x\"}}",
		   &source, "{\"a name of a key attribute that is longer than any block\":\"x\"}");
	source.key_hash = "pk";
	assert_key("{\"pk\":{\"S\":\"x\"}}", &source, "{\"pk\":\"x\"}");
	assert_key("{\"more\":{\"L\":[{\"S\":\"}\"}]},\"pk\":{\"S\":\"x\"}}", &source,
		   "{\"pk\":\"x\"}");
}

static void keys_that_are_none_are_refused(void **state)
{
	static const char *const rows[] = {
		"{}",
		"{\"pk\":{\"S\":\"a\"}}",
		"{\"sk\":{\"S\":\"a\"}}",
		"{\"pk\":{\"S\":\"a\"},\"sk\":{\"BOOL\":true}}",
		"{\"pk\":{\"NULL\":true},\"sk\":{\"S\":\"a\"}}",
		"{\"pk\":{\"L\":[]},\"sk\":{\"S\":\"a\"}}",
		"{\"pk\":{\"M\":{}},\"sk\":{\"S\":\"a\"}}",
		"{\"pk\":{\"SS\":[\"a\"]},\"sk\":{\"S\":\"a\"}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_null(decode_keys(rows[i], &decoding_source));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_key_comes_first),
		cmocka_unit_test(strings_have_one_spelling),
		cmocka_unit_test(numbers_have_one_spelling),
		cmocka_unit_test(the_longest_numbers_fit),
		cmocka_unit_test(a_table_without_a_range_key),
		cmocka_unit_test(keys_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
