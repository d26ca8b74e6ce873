/* Pages: members in any order, what is refused and how, the lenient second look. */
#include "tests/unit/event/decoding.h"

static const struct encoding debezium = { .format = FORMAT_DEBEZIUM };

#define KEYS "\"Keys\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}"
#define TIME "\"ApproximateCreationDateTime\":1763700000"
#define RECORD                                                                                     \
	"{\"eventName\":\"INSERT\",\"dynamodb\":{" KEYS "," TIME ",\"SequenceNumber\":\"12\"}}"
/* A record with another sequence, and one that is bad only to whoever reads it closely. */
#define RECORD_13                                                                                  \
	"{\"eventName\":\"INSERT\",\"dynamodb\":{" KEYS "," TIME ",\"SequenceNumber\":\"13\"}}"

static void assert_refused(const char *page, const char *why)
{
	struct error err;

	assert_null(decoding_try(str_of(page), false, debezium, &err));
	assert_int_equal(err.kind, ERROR_RETRY);
	if (!strstr(err.message, why))
		fail_msg("%s: got \"%s\", not \"%s\"", page, err.message, why);
}

static void empty_pages_are_open_or_closed(void **state)
{
	static const struct {
		const char *page, *iterator;
	} rows[] = {
		{ "{\"Records\":[]}", "" },
		{ "{\"Records\":[],\"NextShardIterator\":null}", "" },
		{ "{\"NextShardIterator\":\"arn|1|a\\/b\\u003d\",\"Records\":[]}", "arn|1|a/b=" },
		{ " { \"Records\" : [ ] , \"NextShardIterator\" : \"x\" } \n", "x" },
		{ "{\"MillisBehindLatest\":-1.5e3,\"Records\":[],\"More\":[{\"a\":[true,null]}]}",
		  "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct batch *b = decoding_page(rows[i].page);

		assert_int_equal(b->count, 0);
		assert_int_equal(b->closed, rows[i].iterator[0] == '\0');
		assert_str(b->next_iterator, rows[i].iterator);
		batch_free(b);
	}
}

static void members_come_in_any_order_with_unknown_ones_between(void **state)
{
	static const char page[] =
		"{\"NextShardIterator\":\"it\",\"Records\":[{\"new\":{\"deep\":[1,{\"x\":\"\\\"}\"}"
		"]},"
		"\"dynamodb\":{\"SequenceNumber\":\"0042\",\"OldImage\":{\"v\":{\"N\":\"1\"}},"
		"\"more\":[], " TIME " , \"NewImage\":{ \"v\" : { \"N\" : \"2\" } } ," KEYS "},"
		"\"userIdentity\":null,\"eventName\":\"MODIFY\"}\n,\t" RECORD "]}";
	struct batch *b = decoding_page(page);

	(void)state;
	assert_int_equal(b->count, 2);
	assert_int_equal(b->events[0].op, EVENT_UPDATE);
	assert_int_equal(b->events[0].sequence.length, 2);
	assert_int_equal(b->events[0].id.n, 0);
	assert_non_null(strstr(b->payloads[0][0].p, "{\"before\":{\"v\":1},\"after\":{\"v\":2},"));
	assert_non_null(strstr(b->payloads[0][0].p, "\"event_id\":null,"));
	batch_free(b);
}

/* A new line inside a record must not become one between two lines of a file. */
static void white_space_does_not_reach_the_payloads(void **state)
{
	static const char page[] =
		"{\"Records\":[ {\n\"eventName\" : \"INSERT\" , \"a b\":\"c \\\" d\","
		"\n\"dynamodb\":{" KEYS ",\r\n" TIME ",\"SequenceNumber\":\"12\"}}"
		"," RECORD "," RECORD "]}";
	struct encoding lambda = { .format = FORMAT_DYNAMODB };
	struct error err;
	struct batch *b = decoding_try(str_of(page), false, lambda, &err);

	(void)state;
	assert_non_null(b);
	assert_str(b->payloads[0][0],
		   "{\"eventName\":\"INSERT\",\"a b\":\"c \\\" d\",\"dynamodb\":{" KEYS "," TIME
		   ",\"SequenceNumber\":\"12\"},\"eventSourceARN\":\"" DECODING_ARN "\"}");
	batch_free(b);
}

static void every_byte_of_a_page_counts(void **state)
{
	(void)state;
	assert_refused("", "byte 0 of 0: expected an answer of GetRecords, '{', found the end");
	assert_refused("[]", "found '['");
	assert_refused("{}", "expected a page with Records");
	assert_refused("{\"Records\":[]}x", "byte 14 of 15: expected nothing behind the page");
	assert_refused("{\"Records\":[]} {}", "nothing behind the page");
	assert_refused("{\"Records\":[],}", "a member's name");
	assert_refused("{,\"Records\":[]}", "a member's name");
	assert_refused("{\"Records\":[]", "',' or '}', found the end of the page");
	assert_refused("{\"Records\":{}}", "one array of Records");
	assert_refused("{\"Records\":[],\"Records\":[]}", "one array of Records");
	assert_refused("{\"Records\":[],\"NextShardIterator\":\"\"}", "an iterator, or null");
	assert_refused("{\"Records\":[],\"NextShardIterator\":7}", "an iterator, or null");
	assert_refused("{\"Records\":[],\"x\":01}", "',' or '}', found '1'");
	assert_refused("{\"Records\":[],\"x\":1.}", "a digit");
	assert_refused("{\"Records\":[],\"x\":tru}", "a value");
	assert_refused("{\"Records\":[],\"x\":[1,]}", "a value");
	assert_refused("{\"Records\":[],\"x\":{\"a\" 1}}", "':'");
	assert_refused("{\"Records\":[],\"x\":\"\x1f\"}", "controls escaped, found byte 0x1f");
	assert_refused("{\"Records\":[],\"x\":\"\\x\"}", "an escape that JSON knows");
	assert_refused("{\"Records\":[],\"x\":\"\\u12g4\"}", "four hexadecimal digits");
	assert_refused("{\"Records\":[],\"x\":\"\\ud800\"}", "the low half of a surrogate pair");
	assert_refused("{\"Records\":[],\"x\":\"\\udc00\"}", "the high half of a surrogate pair");
	assert_refused("{\"Records\":[" RECORD " " RECORD "]}", "',' or ']', found '{'");
	assert_refused("{\"Records\":[" RECORD ",]}", "'{', found ']'");
	assert_refused("{\"Records\":[null]}", "'{', found 'n'");
}

static void utf8_is_checked_to_the_letter(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "\xc2\x80", true },
		{ "\xdf\xbf", true },
		{ "\xe0\xa0\x80", true },
		{ "\xed\x9f\xbf", true },
		{ "\xee\x80\x80", true },
		{ "\xef\xbf\xbf", true },
		{ "\xf0\x90\x80\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\x7f", true },
		{ "\x80", false },
		{ "\xc0\x80", false },
		{ "\xc1\xbf", false },
		{ "\xc2", false },
		{ "\xc2\x41", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xed\xa0\x80", false },
		{ "\xe1\x80", false },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false },
		{ "\xf5\x80\x80\x80", false },
		{ "\xf1\x80\x80", false },
		{ "\xff", false },
	};
	char value[128];

	(void)state;
	/* At every place relative to a block of a vector. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int before = 0; before < 40; before++) {
			struct error err;
			struct batch *b;

			snprintf(value, sizeof(value), "{\"S\":\"%*s%s\"}", before, "",
				 rows[i].text);
			b = decoding_value(value, debezium, &err);
			assert_int_equal(b != NULL, rows[i].good);
			assert_true(b || strstr(err.message, "valid UTF-8"));
			batch_free(b);
		}
}

static void records_have_what_records_have(void **state)
{
	(void)state;
	assert_refused("{\"Records\":[{}]}", "a record with an eventName");
	assert_refused("{\"Records\":[{\"eventName\":\"INSERT\"}]}", "dynamodb.Keys");
	assert_refused("{\"Records\":[{\"eventName\":\"INSERT\",\"dynamodb\":{" KEYS "," TIME
		       "}}]}",
		       "a record with a dynamodb.SequenceNumber");
	assert_refused("{\"Records\":[{\"eventName\":\"INSERT\",\"dynamodb\":{" KEYS
		       ",\"SequenceNumber\":\"1\"}}]}",
		       "dynamodb.ApproximateCreationDateTime");
	assert_refused("{\"Records\":[{\"eventName\":\"UPSERT\"}]}", "INSERT, MODIFY or REMOVE");
	assert_refused("{\"Records\":[{\"eventName\":\"INSERT\",\"eventName\":\"INSERT\"}]}",
		       "each member of a record once");
	assert_refused("{\"Records\":[{\"dynamodb\":{\"SequenceNumber\":\"12x\"}}]}",
		       "a sequence number");
	assert_refused("{\"Records\":[{\"dynamodb\":{\"SequenceNumber\":\"\"}}]}",
		       "a sequence number");
	assert_refused("{\"Records\":[{\"dynamodb\":{\"SequenceNumber\":12}}]}",
		       "a sequence number");
	assert_refused("{\"Records\":[{\"dynamodb\":{\"SequenceNumber\":"
		       "\"11111111111111111111111111111111111111111\"}}]}",
		       "a sequence number");
	assert_refused("{\"Records\":[{\"dynamodb\":{\"ApproximateCreationDateTime\":-1}}]}",
		       "epoch seconds");
	assert_refused("{\"Records\":[{\"dynamodb\":{\"ApproximateCreationDateTime\":1e12}}]}",
		       "epoch seconds");
	assert_refused("{\"Records\":[{\"dynamodb\":{\"Keys\":[]}}]}", "an item, '{'");
	assert_refused("{\"Records\":[{\"eventName\":\"INSERT\",\"dynamodb\":{\"Keys\":{\"pk\":"
		       "{\"S\":\"a\"}}," TIME ",\"SequenceNumber\":\"1\"}}]}",
		       "Keys with pk and sk as S, N or B");
}

static void times_become_milliseconds(void **state)
{
	static const struct {
		const char *seconds;
		int64_t ms;
	} rows[] = {
		{ "1.46480431E9", 1464804310000 },
		{ "1763700000", 1763700000000 },
		{ "1763700000.0", 1763700000000 },
		{ "1763700000.123", 1763700000123 },
		{ "1763700000.9999", 1763700000999 },
		{ "1.763700000123e9", 1763700000123 },
		{ "17637000001E-1", 1763700000100 },
		{ "0", 0 },
		{ "0e400", 0 },
		{ "1E-9", 0 },
		{ "253402300799.999", 253402300799999 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char page[512];
		struct batch *b;

		snprintf(page, sizeof(page),
			 "{\"Records\":[{\"eventName\":\"REMOVE\",\"dynamodb\":{" KEYS
			 ",\"ApproximateCreationDateTime\":%s,\"SequenceNumber\":\"1\"}}]}",
			 rows[i].seconds);
		b = decoding_page(page);
		assert_int_equal(b->events[0].time_ms, rows[i].ms);
		batch_free(b);
	}
}

static void time_to_live_is_told_by_service_and_remove(void **state)
{
	static const struct {
		const char *name, *identity;
		bool ttl;
	} rows[] = {
		{ "REMOVE", "{\"Type\":\"Service\",\"PrincipalId\":\"dynamodb.amazonaws.com\"}",
		  true },
		{ "REMOVE", "{\"principalId\":\"dynamodb.amazonaws.com\",\"type\":\"Service\"}",
		  true },
		{ "MODIFY", "{\"type\":\"Service\",\"principalId\":\"dynamodb.amazonaws.com\"}",
		  false },
		{ "REMOVE", "{\"type\":\"Service\",\"principalId\":\"other.amazonaws.com\"}",
		  false },
		{ "REMOVE", "{\"type\":\"User\",\"principalId\":\"dynamodb.amazonaws.com\"}",
		  false },
		{ "REMOVE", "{}", false },
		{ "REMOVE", "null", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf page;
		struct batch *b;
		char identity[256];

		buf_init(&page, 0);
		snprintf(identity, sizeof(identity), "\"userIdentity\":%s,", rows[i].identity);
		buf_text(&page, "{\"Records\":[");
		decoding_record(&page, rows[i].name, "", identity);
		buf_text(&page, "," RECORD "]}"); /* and the next record is not told by this one */
		b = decoding_page(page.data);
		assert_int_equal(b->events[0].ttl, rows[i].ttl);
		assert_false(b->events[1].ttl);
		batch_free(b);
		buf_release(&page);
	}
}

/* The memory of the last record must not answer for this one. */
static void records_that_are_not_like_the_last(void **state)
{
	static const char page[] =
		"{\"Records\":[{\"eventID\":\"one\",\"eventName\":\"INSERT\",\"n\":1,\"dynamodb\":"
		"{" KEYS "," TIME
		",\"NewImage\":{\"a\":{\"S\":\"x\"},\"b\":{\"N\":\"1\"},\"c\":{\"L\":[]}},"
		"\"SequenceNumber\":\"1\"}},"
		"{\"eventID\":\"two\",\"eventName\":\"INSERT\",\"n\":12,\"dynamodb\":{" KEYS
		"," TIME "5,\"NewImage\":{\"a\":{\"N\":\"7\"},\"c\":{\"L\":[{\"S\":\"\"}]},"
		"\"b\":{\"N\":\"12\"},\"bb\":{\"M\":{}}},\"SequenceNumber\":\"2\"}},"
		"{\"eventName\":\"INSERT\",\"eventID\":\"three\",\"dynamodb\":{" TIME "," KEYS
		",\"NewImage\":{\"b\":{\"S\":\"1\"}},\"SequenceNumber\":\"3\"}}]}";
	struct batch *b = decoding_page(page);

	(void)state;
	assert_int_equal(b->count, 3);
	assert_non_null(strstr(b->payloads[0][0].p, "\"after\":{\"a\":\"x\",\"b\":1,\"c\":[]},"));
	assert_non_null(strstr(b->payloads[0][1].p,
			       "\"after\":{\"a\":7,\"c\":[\"\"],\"b\":12,\"bb\":{}},"));
	assert_non_null(strstr(b->payloads[0][2].p, "\"after\":{\"b\":\"1\"},"));
	assert_int_equal(b->events[0].time_ms, 1763700000000);
	assert_int_equal(b->events[1].time_ms, 17637000005000);
	assert_int_equal(b->events[2].time_ms, 1763700000000);
	assert_str(b->events[1].id, "two");
	assert_str(b->events[2].id, "three");
	batch_free(b);
}

/* Nor must white space that only some of them have. */
static void spaces_in_some_records(void **state)
{
	static const char *const spaces[] = { "", " ", "", "\n", " ", "" };
	struct encoding lambda = { .format = FORMAT_DYNAMODB };
	struct buf page;
	struct batch *b;
	struct error err;

	(void)state;
	buf_init(&page, 0);
	buf_text(&page, "{\"Records\":[");
	for (size_t i = 0; i < 6; i++) {
		const char *s = spaces[i];

		buf_printf(&page,
			   "%s{%s\"eventID\":%s\"e\"%s,\"awsRegion\"%s:%s\"r\",\"eventName\":%s"
			   "\"INSERT\",\"dynamodb\":%s{" TIME ",\"Keys\":%s{%s\"pk\":%s{\"S\":%s"
			   "\"a\"}%s,\"sk\":%s{\"N\":\"1\"}},\"NewImage\":{\"v\":%s{\"L\":[]},"
			   "\"w\":{\"S\"%s:\"\"}},\"SizeBytes\":%s5,\"SequenceNumber\":%s\"12\"}}",
			   i ? "," : "", s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s);
	}
	buf_text(&page, "]}");
	b = decoding_page(page.data);
	for (size_t i = 0; i < 6; i++)
		assert_non_null(strstr(b->payloads[0][i].p,
				       "null,\"after\":{\"v\":[],\"w\":\"\"},\"source\""));
	batch_free(b);
	b = decoding_try(buf_str(&page), false, lambda, &err);
	assert_non_null(b);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(strcspn(b->payloads[0][i].p, " \n"), b->payloads[0][i].n);
	batch_free(b);
	buf_release(&page);
}

static void lenient_gives_the_good_records_and_names_the_bad(void **state)
{
	static const char page[] =
		"{\"Records\":[" RECORD ",{\"eventName\":\"INSERT\",\"dynamodb\":{"
		"\"SequenceNumber\" : \"0077\",\"NewImage\":{\"a\":{\"S\":\"\xff\"}}}} ,"
		"{\"eventName\":\"INSERT\"}, 5 ," RECORD_13 "],"
		"\"NextShardIterator\":\"next\"}";
	struct error err;
	struct batch *b;
	char text[SEQUENCE_TEXT_SIZE];

	(void)state;
	assert_null(decoding_try(str_of(page), false, debezium, &err));
	b = decoding_try(str_of(page), true, debezium, &err);
	assert_non_null(b);
	assert_int_equal(b->count, 5);
	assert_int_equal(b->bad_count, 3);
	assert_str(b->next_iterator, "next");
	assert_null(b->events[0].bad);
	assert_non_null(b->payloads[0][0].p);
	assert_string_equal(b->events[1].bad,
			    "byte 82 of the record: expected valid UTF-8, found byte 0xff");
	assert_string_equal(sequence_text(&b->events[1].sequence, text), "77");
	assert_null(b->payloads[0][1].p);
	assert_non_null(strstr(b->events[2].bad, "expected a record with dynamodb.Keys"));
	assert_true(sequence_is_none(&b->events[2].sequence));
	assert_str(b->events[2].raw, "{\"eventName\":\"INSERT\"}");
	assert_str(b->events[3].raw, "5");
	assert_non_null(b->events[3].bad);
	assert_string_equal(sequence_text(&b->events[4].sequence, text), "13");
	/* The payloads still stand one behind the other. */
	assert_ptr_equal(b->payloads[0][4].p, b->payloads[0][0].p + b->payloads[0][0].n + 1);
	batch_free(b);
}

static void lenient_wants_borders(void **state)
{
	static const char *const pages[] = {
		"",
		"{\"Records\":[" RECORD,
		"{\"Records\":[" RECORD ",{\"a\":\"]}",
		"{\"Records\":[" RECORD "}}",
		"{\"Records\":[{\"a\":[}]}",
		"{\"Records\":[" RECORD "]}]",
		"{\"Records\":[" RECORD "],\"x\":\"\xff\"}",
		"<html>busy</html>",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		struct error err;

		assert_null(decoding_try(str_of(pages[i]), true, debezium, &err));
		assert_int_equal(err.kind, ERROR_INVALID);
	}
}

/* No end of the input makes it read on: each prefix of a page is refused, from memory that ends
 * there. */
static void every_prefix_is_refused(void **state)
{
	static const char page[] =
		"{\"Records\":[{\"eventID\":\"\\u00e9\",\"eventName\":\"INSERT\",\"dynamodb\":"
		"{" KEYS "," TIME
		",\"NewImage\":{\"b\":{\"B\":\"AAAA\"},\"l\":{\"L\":[{\"NS\":[\"1\"]}]},"
		"\"t\":{\"BOOL\":true},\"u\":{\"S\":\"\xf0\x9f\x98\x80\"}},\"SequenceNumber\":"
		"\"1\"}}]}";

	(void)state;
	batch_free(decoding_page(page));
	for (size_t n = 0; n < sizeof(page) - 1; n++) {
		struct error err;

		assert_null(decoding_try((struct str){ page, n }, false, debezium, &err));
		assert_null(decoding_try((struct str){ page, n }, true, debezium, &err));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_pages_are_open_or_closed),
		cmocka_unit_test(members_come_in_any_order_with_unknown_ones_between),
		cmocka_unit_test(white_space_does_not_reach_the_payloads),
		cmocka_unit_test(every_byte_of_a_page_counts),
		cmocka_unit_test(utf8_is_checked_to_the_letter),
		cmocka_unit_test(records_have_what_records_have),
		cmocka_unit_test(times_become_milliseconds),
		cmocka_unit_test(time_to_live_is_told_by_service_and_remove),
		cmocka_unit_test(records_that_are_not_like_the_last),
		cmocka_unit_test(spaces_in_some_records),
		cmocka_unit_test(lenient_gives_the_good_records_and_names_the_bad),
		cmocka_unit_test(lenient_wants_borders),
		cmocka_unit_test(every_prefix_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
