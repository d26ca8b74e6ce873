/* Patterns against one record, and patterns that are refused with the place and the words. */
#include "tests/unit/event/decoding.h"

#include "base/arena.h"
#include "event/filter.h"
#include "event/fold.h"
#include "event/number.h"
#include "event/scan.h"

static const char record[] =
	"{\"eventID\":\"e1\",\"eventName\":\"REMOVE\",\"eventVersion\":\"1.1\",\"eventSource\":"
	"\"aws:dynamodb\",\"awsRegion\":\"eu-west-1\",\"dynamodb\":{"
	"\"ApproximateCreationDateTime\":1795227233,\"Keys\":{\"pk\":{\"S\":\"customer-7\"},"
	"\"sk\":{\"N\":\"41\"}},\"OldImage\":{\"pk\":{\"S\":\"customer-7\"},\"sk\":{\"N\":\"41\"},"
	"\"total\":{\"N\":\"129.90\"},\"big\":{\"N\":\"12345678901234567890123456789012345678\"},"
	"\"tiny\":{\"N\":\"1E-130\"},\"minus\":{\"N\":\"-0.5\"},\"zero\":{\"N\":\"-0\"},"
	"\"state\":{\"S\":\"Paid\"},\"empty\":{\"S\":\"\"},\"city\":{\"S\":\"K\\u00d6LN \\\"Mitte"
	"\\\"\"},\"price\":{\"S\":\"5\"},\"tags\":{\"SS\":[\"new\",\"web\"]},\"marks\":{\"NS\":["
	"\"1\",\"2.0\"]},\"raw\":{\"B\":\"q83v\"},\"vip\":{\"BOOL\":true},\"none\":{\"NULL\":true},"
	"\"S\":{\"M\":{\"N\":{\"S\":\"inner\"}}},\"address\":{\"M\":{\"city\":{\"S\":\"Bonn\"},"
	"\"zip\":{\"N\":\"53111\"}}},\"void\":{\"M\":{}},\"nothing\":{\"L\":[]},\"lines\":{\"L\":["
	"{\"M\":{\"sku\":{\"S\":\"a\"},\"n\":{\"N\":\"1\"}}},{\"M\":{\"sku\":{\"S\":\"b\"},"
	"\"n\":{\"N\":\"2\"},\"gift\":{\"BOOL\":true}}},{\"S\":\"note\"},{\"L\":[{\"S\":\"deep\"}]}"
	"]}},\"SequenceNumber\":\"111\",\"SizeBytes\":183,\"StreamViewType\":\"NEW_AND_OLD_"
	"IMAGES\"}"
	",\"userIdentity\":{\"PrincipalId\":\"dynamodb.amazonaws.com\",\"Type\":\"Service\"}}";

#define OLD(pattern)       "{\"dynamodb\":{\"OldImage\":" pattern "}}"
#define N(attribute, list) OLD("{\"" attribute "\":{\"N\":[" list "]}}")
#define S(attribute, list) OLD("{\"" attribute "\":{\"S\":[" list "]}}")
#define LINES(pattern)     OLD("{\"lines\":{\"L\":" pattern "}}")

static const struct {
	const char *pattern;
	bool matches;
} golden[] = {
	/* Exact values. */
	{ "{\"eventName\":[\"REMOVE\"]}", true },
	{ "{\"eventName\":[\"INSERT\",\"MODIFY\"]}", false },
	{ "{\"eventName\":[\"INSERT\",\"REMOVE\"]}", true },
	{ " { \"event\\u004eame\" : [ \"REMOVE\" ] } ", true },
	{ S("state", "\"Paid\""), true },
	{ S("state", "\"paid\""), false },
	{ S("state", "\"Pai\""), false },
	{ S("empty", "\"\""), true },
	{ S("state", "\"\""), false },
	{ S("city", "\"KÖLN \\\"Mitte\\\"\""), true },
	{ S("price", "\"5\""), true },
	{ N("sk", "\"41\""), true },
	{ N("total", "\"129.9\""), false },
	{ OLD("{\"vip\":{\"BOOL\":[true]}}"), true },
	{ OLD("{\"vip\":{\"BOOL\":[false]}}"), false },
	{ OLD("{\"none\":{\"NULL\":[true]}}"), true },
	{ OLD("{\"vip\":{\"NULL\":[true]}}"), false },
	{ OLD("{\"raw\":{\"B\":[\"q83v\"]}}"), true },
	{ OLD("{\"S\":{\"M\":{\"N\":{\"S\":[\"inner\"]}}}}"), true },
	{ "{\"eventID\":[null]}", false },
	{ "{\"eventName\":[\"REMOVE\"],\"awsRegion\":[\"eu-west-1\"]}", true },
	{ "{\"eventName\":[\"REMOVE\"],\"awsRegion\":[\"eu-west-2\"]}", false },
	{ "{\"dynamodb\":{\"NewImage\":{\"state\":{\"S\":[\"Paid\"]}}}}", false },
	/* Who deleted it, in the spelling of Lambda, and where it comes from. */
	{ "{\"userIdentity\":{\"type\":[\"Service\"],\"principalId\":[\"dynamodb.amazonaws.com\"]}"
	  "}",
	  true },
	{ "{\"userIdentity\":{\"type\":[{\"exists\":false}]}}", false },
	{ "{\"eventSourceARN\":[{\"prefix\":\"arn:aws:dynamodb:eu-west-1:\"}]}", true },
	{ "{\"eventSourceARN\":[{\"exists\":true}]}", true },
	{ "{\"eventSourceARN\":[{\"exists\":false}]}", false },
	{ "{\"eventSourceARN\":[\"x\"]}", false },
	/* Numbers by value. */
	{ N("sk", "41"), true },
	{ N("sk", "41.0"), true },
	{ N("sk", "4.1e1"), true },
	{ N("sk", "41.00000000000000000000000000000000001"), false },
	{ N("zero", "0"), true },
	{ N("minus", "-5e-1"), true },
	{ N("total", "129.9"), true },
	{ N("big", "12345678901234567890123456789012345678"), true },
	{ N("big", "12345678901234567890123456789012345677"), false },
	{ N("big", "{\"numeric\":[\">\",12345678901234567890123456789012345677]}"), true },
	{ N("big", "{\"numeric\":[\">\",12345678901234567890123456789012345678]}"), false },
	{ N("big", "{\"numeric\":[\">=\",12345678901234567890123456789012345678]}"), true },
	{ N("tiny", "{\"numeric\":[\">\",0,\"<\",1.1e-130]}"), true },
	{ N("minus", "{\"numeric\":[\"<\",0]}"), true },
	{ N("minus", "{\"numeric\":[\"<\",-1]}"), false },
	{ N("zero", "{\"numeric\":[\">=\",0,\"<=\",0]}"), true },
	{ N("total", "{\"numeric\":[\"=\",129.9]}"), true },
	{ N("total", "{\"numeric\":[\"<=\",130,\">\",129]}"), true },
	{ N("total", "{\"numeric\":[\">\",0,\"<=\",129.899]}"), false },
	{ OLD("{\"marks\":{\"NS\":[2]}}"), true },
	{ OLD("{\"marks\":{\"NS\":[{\"numeric\":[\">\",2]}]}}"), false },
	{ "{\"dynamodb\":{\"SizeBytes\":[183]}}", true },
	{ "{\"dynamodb\":{\"ApproximateCreationDateTime\":[{\"numeric\":[\">=\",1795227233,\"<\","
	  "1795227234]}]}}",
	  true },
	{ "{\"dynamodb\":{\"ApproximateCreationDateTime\":[{\"numeric\":[\"<\",1795227233]}]}}",
	  false },
	/* Beginnings, ends and case. */
	{ S("pk", "{\"prefix\":\"customer-\"}"), true },
	{ S("pk", "{\"prefix\":\"Customer-\"}"), false },
	{ S("pk", "{\"prefix\":\"customer-77\"}"), false },
	{ S("pk", "{\"suffix\":\"-7\"}"), true },
	{ S("city", "{\"suffix\":\"\\\"\"}"), true },
	{ S("empty", "{\"prefix\":\"a\"}"), false },
	{ S("state", "{\"equals-ignore-case\":\"pAID\"}"), true },
	{ S("state", "{\"equals-ignore-case\":\"pAI\"}"), false },
	{ S("city", "{\"equals-ignore-case\":\"köln \\\"mitte\\\"\"}"), true },
	{ S("city", "{\"prefix\":{\"equals-ignore-case\":\"köl\"}}"), true },
	{ S("city", "{\"suffix\":{\"equals-ignore-case\":\"MITTE\\\"\"}}"), true },
	{ S("city", "{\"suffix\":{\"equals-ignore-case\":\"MITTE\"}}"), false },
	{ N("total", "{\"prefix\":\"129.\"}"), true },
	{ OLD("{\"tags\":{\"SS\":[{\"suffix\":\"eb\"}]}}"), true },
	/* Anything but. */
	{ S("state", "{\"anything-but\":\"Paid\"}"), false },
	{ S("state", "{\"anything-but\":\"Open\"}"), true },
	{ S("state", "{\"anything-but\":[\"Open\",\"Paid\"]}"), false },
	{ S("state", "{\"anything-but\":{\"prefix\":\"Pa\"}}"), false },
	{ S("state", "{\"anything-but\":{\"prefix\":[\"x\",\"y\"]}}"), true },
	{ S("state", "{\"anything-but\":{\"suffix\":\"id\"}}"), false },
	{ S("state", "{\"anything-but\":{\"equals-ignore-case\":[\"OPEN\",\"PAID\"]}}"), false },
	{ S("gone", "{\"anything-but\":\"Paid\"}"), false },
	{ N("sk", "{\"anything-but\":[40,41.0]}"), false },
	{ N("sk", "{\"anything-but\":42}"), true },
	{ N("sk", "{\"anything-but\":\"41\"}"), false },
	{ OLD("{\"tags\":{\"SS\":[{\"anything-but\":\"web\"}]}}"), true },
	{ OLD("{\"tags\":{\"SS\":[{\"anything-but\":[\"web\",\"new\"]}]}}"), false },
	/* What is there and what is not. */
	{ S("state", "{\"exists\":true}"), true },
	{ S("state", "{\"exists\":false}"), false },
	{ S("gone", "{\"exists\":true}"), false },
	{ S("gone", "{\"exists\":false}"), true },
	{ N("state", "{\"exists\":false}"), true },
	{ S("gone", "{\"exists\":false},\"x\""), true },
	{ S("state", "{\"exists\":false},\"Paid\""), true },
	{ S("state", "{\"exists\":false},\"Open\""), false },
	{ "{\"dynamodb\":{\"NewImage\":{\"state\":{\"S\":[{\"exists\":false}]}}}}", true },
	{ OLD("{\"nothing\":{\"L\":[{\"exists\":true}]}}"), true },
	{ OLD("{\"void\":{\"M\":[{\"exists\":true}]}}"), true },
	{ OLD("{\"void\":{\"L\":[{\"exists\":false}]}}"), true },
	{ OLD("{\"lines\":{\"L\":[{\"exists\":false}]}}"), false },
	/* Inside of maps and lists. */
	{ OLD("{\"address\":{\"M\":{\"city\":{\"S\":[\"Bonn\"]},\"zip\":{\"N\":[53111]}}}}"),
	  true },
	{ OLD("{\"address\":{\"M\":{\"city\":{\"S\":[\"Bonn\"]},\"zip\":{\"N\":[1]}}}}"), false },
	{ LINES("{\"S\":[\"note\"]}"), true },
	{ LINES("{\"L\":{\"S\":[\"deep\"]}}"), true },
	{ LINES("{\"M\":{\"sku\":{\"S\":[\"b\"]}}}"), true },
	{ LINES("{\"M\":{\"sku\":{\"S\":[\"b\"]},\"n\":{\"N\":[2]}}}"), true },
	{ LINES("{\"M\":{\"sku\":{\"S\":[\"a\"]},\"n\":{\"N\":[2]}}}"), false },
	{ LINES("{\"M\":{\"sku\":{\"S\":[\"a\"]},\"gift\":{\"BOOL\":[{\"exists\":false}]}}}"),
	  false },
	{ LINES("{\"M\":{\"sku\":{\"S\":[\"a\"]},\"gone\":{\"S\":[{\"exists\":false}]}}}"), true },
	{ LINES("{\"M\":{\"gift\":{\"BOOL\":[{\"exists\":true}]},\"n\":{\"N\":[2]}}}"), true },
	{ LINES("{\"M\":{\"gift\":{\"BOOL\":[{\"exists\":true}]},\"n\":{\"N\":[1]}}}"), false },
	/* One of several. */
	{ "{\"$or\":[{\"eventName\":[\"INSERT\"]},{\"awsRegion\":[\"eu-west-1\"]}]}", true },
	{ "{\"$or\":[{\"eventName\":[\"INSERT\"]},{\"awsRegion\":[\"eu-west-2\"]}]}", false },
	{ "{\"eventName\":[\"INSERT\"],\"$or\":[{\"eventID\":[\"e1\"]},{\"eventID\":[\"e2\"]}]}",
	  false },
	{ OLD("{\"$or\":[{\"sk\":{\"N\":[1]}},{\"state\":{\"S\":[\"Paid\"]},\"$or\":[{\"gone\":{"
	      "\"S\":[\"x\"]}},{\"price\":{\"S\":[\"5\"]}}]}]}"),
	  true },
	{ OLD("{\"price\":{\"$or\":[{\"N\":[5]},{\"S\":[\"5\"]}]}}"), true },
	{ LINES("{\"M\":{\"$or\":[{\"sku\":{\"S\":[\"a\"]}},{\"gift\":{\"BOOL\":[true]}}],\"n\":{"
		"\"N\":[2]}}}"),
	  true },
};

static bool matches(const struct filter *f, const char *text)
{
	char *padded = memory_new(strlen(text) + SCAN_PADDING);
	bool yes;

	memcpy(padded, text, strlen(text));
	yes = filter_match(f, padded, STR(DECODING_ARN));
	free(padded);
	return yes;
}

static struct filter *compile(const char *pattern)
{
	struct str text = str_of(pattern);
	struct error err = { 0 };
	struct filter *f = filter_new(&text, 1, &err);

	if (!f)
		fail_msg("%s: %s", pattern, err.message);
	return f;
}

static void test_golden(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		AUTO(filter) struct filter *f = compile(golden[i].pattern);

		if (matches(f, record) != golden[i].matches)
			fail_msg("%s: expected %s", golden[i].pattern,
				 golden[i].matches ? "a match" : "none");
	}
}

static const struct {
	const char *pattern;
	size_t at;
	const char *message;
} wrong[] = {
	{ "", 0,
	  "not valid JSON: expected a value at byte 0; a pattern is a map, "
	  "such as {\"eventName\": [\"INSERT\"]}" },
	{ "{\"eventName\":[\"INSERT\"]", 23,
	  "not valid JSON: expected ',' or the end of the container at byte 23; a pattern is a "
	  "map, "
	  "such as {\"eventName\": [\"INSERT\"]}" },
	{ "{} x", 3,
	  "not valid JSON: expected nothing behind the map at byte 3; a pattern is a map, "
	  "such as {\"eventName\": [\"INSERT\"]}" },
	{ "[]", 0, "expected a map such as {\"eventName\": [\"INSERT\"]}, not a list" },
	{ "{}", 0,
	  "the map is empty; leave it out to ask for nothing, or fill it, "
	  "such as {\"eventName\": [\"INSERT\"]}" },
	{ "{\"eventname\":[\"INSERT\"]}", 1,
	  "there is no 'eventname' here; expected eventID, eventName, eventVersion, eventSource, "
	  "awsRegion, eventSourceARN, userIdentity, dynamodb or sluice, "
	  "such as {\"eventName\": [\"INSERT\"]}" },
	{ "{\"eventName\":\"INSERT\"}", 13,
	  "eventName: expected a list, such as [\"INSERT\"], not a text" },
	{ "{\"eventName\":[\"DELETE\"]}", 14,
	  "eventName: expected \"INSERT\", \"MODIFY\" or \"REMOVE\", not \"DELETE\"" },
	{ "{\"eventName\":[]}", 14,
	  "eventName: the list is empty; expected \"INSERT\", \"MODIFY\" or \"REMOVE\"" },
	{ "{\"eventName\":[\"INSERT\"],\"eventName\":[\"INSERT\"]}", 24,
	  "'eventName' is given twice" },
	{ "{\"userIdentity\":[null]}", 16,
	  "userIdentity: expected a map of type or principalId, such as {\"type\": [\"Service\"]}, "
	  "not a list" },
	{ "{\"dynamodb\":{\"NewImages\":{}}}", 13,
	  "dynamodb: there is no 'NewImages' here; expected ApproximateCreationDateTime, Keys, "
	  "NewImage, OldImage, SequenceNumber, SizeBytes or StreamViewType, such as {\"NewImage\": "
	  "{\"state\": {\"S\": [\"paid\"]}}}" },
	{ "{\"dynamodb\":{\"NewImage\":[{\"exists\":false}]}}", 24,
	  "dynamodb.NewImage: expected a map of attributes, such as {\"state\": {\"S\": "
	  "[\"paid\"]}}, not a list" },
	{ OLD("{\"status\":[\"paid\"]}"), 34,
	  "dynamodb.OldImage.status: expected the attribute's type around it, such as {\"S\": "
	  "[\"paid\"]} or {\"S\": [{\"exists\": false}]}" },
	{ OLD("{\"status\":{\"s\":[\"paid\"]}}"), 35,
	  "dynamodb.OldImage.status: 's' is no type of DynamoDB; expected a value's type, such as "
	  "{\"S\": [\"paid\"]}; the types are S, N, B, BOOL, NULL, M, L, SS, NS or BS" },
	{ S("a", "5"), 35,
	  "dynamodb.OldImage.a.S: expected a text in quotes such as \"paid\", or {\"prefix\": "
	  "\"pa\"}, not a number" },
	{ S("a", "[\"b\"]"), 35,
	  "dynamodb.OldImage.a.S: a list inside of a list; expected a text in quotes such as "
	  "\"paid\", or {\"prefix\": \"pa\"}" },
	{ N("a", "true"), 35,
	  "dynamodb.OldImage.a.N: expected a number such as 5, {\"numeric\": [\">=\", 5]} or a "
	  "text, not true or false" },
	{ N("a", "123456789012345678901234567890123456789"), 35,
	  "dynamodb.OldImage.a.N: a number has at most 38 digits and lies between 1E-130 and "
	  "9.9E+125, such as 129.90" },
	{ N("a", "1e126"), 35,
	  "dynamodb.OldImage.a.N: a number has at most 38 digits and lies between 1E-130 and "
	  "9.9E+125, such as 129.90" },
	{ OLD("{\"a\":{\"BOOL\":[\"true\"]}}"), 38,
	  "dynamodb.OldImage.a.BOOL: expected true, false or {\"exists\": false}, not a text" },
	{ OLD("{\"a\":{\"NULL\":[false]}}"), 38,
	  "dynamodb.OldImage.a.NULL: expected true or {\"exists\": false}, not true or false" },
	{ OLD("{\"a\":{\"L\":[\"x\"]}}"), 35,
	  "dynamodb.OldImage.a.L: expected {\"exists\": true}, {\"exists\": false}, or a map that "
	  "asks for what is inside, not a text" },
	{ OLD("{\"a\":{\"BOOL\":[{\"prefix\":\"t\"}]}}"), 39,
	  "dynamodb.OldImage.a.BOOL: prefix does not go with this; expected true, false or "
	  "{\"exists\": false}" },
	{ S("a", "{\"prefx\":\"x\"}"), 36,
	  "dynamodb.OldImage.a.S: there is no operator 'prefx'; expected prefix, suffix, "
	  "anything-but, numeric, exists or equals-ignore-case, such as {\"prefix\": \"pa\"}" },
	{ S("a", "{}"), 35,
	  "dynamodb.OldImage.a.S: a map in a list names one operator, such as {\"prefix\": "
	  "\"pa\"}; this one is empty" },
	{ S("a", "{\"prefix\":\"x\",\"suffix\":\"y\"}"), 48,
	  "dynamodb.OldImage.a.S: a map in a list names one operator; write two maps for either of "
	  "two, such as {\"prefix\": \"pa\"}, "
	  "{\"suffix\": \"id\"}" },
	{ S("a", "{\"prefix\":5}"), 45,
	  "dynamodb.OldImage.a.S: prefix: expected a text, such as {\"prefix\": \"pa\"}, not a "
	  "number" },
	{ S("a", "{\"prefix\":{\"suffix\":\"x\"}}"), 46,
	  "dynamodb.OldImage.a.S: prefix: expected a text, such as \"pa\" or "
	  "{\"equals-ignore-case\": \"pa\"}" },
	{ S("a", "{\"exists\":\"true\"}"), 45,
	  "dynamodb.OldImage.a.S: exists: expected true or false, such as {\"exists\": false}, not "
	  "a text" },
	{ S("a", "{\"anything-but\":[]}"), 52,
	  "dynamodb.OldImage.a.S: anything-but: the list is empty; expected values, such as "
	  "{\"anything-but\": [\"draft\", \"test\"]}" },
	{ S("a", "{\"anything-but\":null}"), 51,
	  "dynamodb.OldImage.a.S: anything-but: expected a text, a number, a list of these such as "
	  "[\"draft\", "
	  "\"test\"], or {\"prefix\": \"pa\"}; not null" },
	{ S("a", "{\"anything-but\":{\"numeric\":[\"=\",1]}}"), 52,
	  "dynamodb.OldImage.a.S: anything-but: expected prefix, suffix or equals-ignore-case, "
	  "such as "
	  "{\"prefix\": \"pa\"}, not 'numeric'" },
	{ N("a", "{\"anything-but\":[1,\"2\"]}"), 51,
	  "dynamodb.OldImage.a.N: anything-but: expected only texts or only numbers, such as "
	  "[\"draft\", "
	  "\"test\"] or [1, 2]" },
	{ S("a", "{\"anything-but\":{\"prefix\":\"\"}}"), 51,
	  "dynamodb.OldImage.a.S: anything-but: every text begins and ends with \"\"; expected one "
	  "such as \"pa\"" },
	{ S("a", "{\"numeric\":[\">\",5]}"), 46,
	  "dynamodb.OldImage.a.S: numeric compares numbers (N, NS, SizeBytes, "
	  "ApproximateCreationDateTime); expected a text in quotes such as \"paid\", or "
	  "{\"prefix\": \"pa\"}" },
	{ N("a", "{\"numeric\":\">5\"}"), 46,
	  "dynamodb.OldImage.a.N: numeric: expected a list such as [\">\", 0, \"<=\", 5]" },
	{ N("a", "{\"numeric\":[]}"), 46,
	  "dynamodb.OldImage.a.N: numeric: expected a list such as [\">\", 0, \"<=\", 5]" },
	{ N("a", "{\"numeric\":[5]}"), 47,
	  "dynamodb.OldImage.a.N: numeric: expected one of = < <= > >= in quotes, such as [\">=\", "
	  "5], not a number" },
	{ N("a", "{\"numeric\":[\">\"]}"), 50,
	  "dynamodb.OldImage.a.N: numeric: a number is missing behind \">\"; expected one such as "
	  "[\">=\", 5]" },
	{ N("a", "{\"numeric\":[\">\",\"5\"]}"), 51,
	  "dynamodb.OldImage.a.N: expected a number such as 5, not a text" },
	{ N("a", "{\"numeric\":[\"!=\",5]}"), 46,
	  "dynamodb.OldImage.a.N: numeric: expected one comparison, or a lower and an upper one, "
	  "such as [\">\", 0, \"<=\", 5]" },
	{ N("a", "{\"numeric\":[\">\",1,\">=\",2]}"), 46,
	  "dynamodb.OldImage.a.N: numeric: expected one comparison, or a lower and an upper one, "
	  "such as [\">\", 0, \"<=\", 5]" },
	{ N("a", "{\"numeric\":[\">\",5,\"<\",5]}"), 46,
	  "dynamodb.OldImage.a.N: numeric: no number is in this range; expected one such as "
	  "[\">\", 0, \"<=\", 5]" },
	{ "{\"$or\":[{\"eventID\":[\"a\"]}]}", 25,
	  "$or: expected a list of two maps or more, such as [{\"eventName\": [\"INSERT\"]}, "
	  "{\"userIdentity\": {\"type\": [\"Service\"]}}]" },
	{ "{\"$or\":{\"eventID\":[\"a\"]}}", 1,
	  "$or: expected a list of two maps or more, such as [{\"eventName\": [\"INSERT\"]}, "
	  "{\"userIdentity\": {\"type\": [\"Service\"]}}]" },
	{ "{\"eventID\":[\"a\"],\"$or\":[{\"eventID\":[\"b\"]},{\"awsRegion\":[\"c\"]}]}", 35,
	  "eventID: is asked for beside $or and inside of it; move one to the other" },
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error err = { 0 };
		size_t at = 0;

		if (filter_check(str_of(wrong[i].pattern), &at, &err))
			fail_msg("%s: is taken", wrong[i].pattern);
		if (strcmp(err.message, wrong[i].message) != 0 || at != wrong[i].at)
			fail_msg("%s:\n  %s (%zu)\nnot\n  %s (%zu)", wrong[i].pattern, err.message,
				 at, wrong[i].message, wrong[i].at);
		assert_int_equal(err.kind, ERROR_INVALID);
	}
}

static void add_alternatives(struct buf *b, unsigned lists, unsigned each)
{
	buf_text(b, "{\"dynamodb\":{\"OldImage\":{");
	for (unsigned i = 0; i < lists; i++) {
		buf_printf(b, "%s\"a%u\":{\"$or\":[", i ? "," : "", i);
		for (unsigned k = 0; k < each; k++)
			buf_printf(b, "%s{\"S\":[\"%u\"]}", k ? "," : "", k);
		buf_text(b, "]}");
	}
	buf_text(b, "}}}");
}

/* More alternatives than one program has bits, and more than are taken. */
static void test_many_alternatives(void **state)
{
	static const char hit[] = "{\"dynamodb\":{\"OldImage\":{\"a0\":{\"S\":\"9\"},\"a1\":{\"S\":"
				  "\"0\"},\"a2\":{\"S\":\"8\"}}}}";
	static const char miss[] =
		"{\"dynamodb\":{\"OldImage\":{\"a0\":{\"S\":\"9\"},\"a1\":{\"S\":"
		"\"0\"},\"a2\":{\"S\":\"x\"}}}}";
	struct error err = { 0 };
	struct buf b;
	size_t at;

	(void)state;
	buf_init(&b, 0);
	add_alternatives(&b, 3, 10);
	{
		AUTO(filter) struct filter *f = compile(b.data);

		assert_true(matches(f, hit));
		assert_false(matches(f, miss));
	}
	buf_clear(&b);
	add_alternatives(&b, 10, 10);
	assert_false(filter_check(buf_str(&b), &at, &err));
	assert_non_null(strstr(err.message, "alternatives multiply: more than 1000 of them"));
	buf_release(&b);
}

static void test_many_members(void **state)
{
	struct error err = { 0 };
	struct buf b, text;
	size_t at;

	(void)state;
	buf_init(&b, 0);
	buf_init(&text, 0);
	for (unsigned n = 512; n <= 513; n++) {
		buf_clear(&b);
		buf_clear(&text);
		buf_text(&b, "{\"dynamodb\":{\"OldImage\":{");
		buf_text(&text, "{\"dynamodb\":{\"OldImage\":{");
		for (unsigned i = 0; i < n; i++) {
			buf_printf(&b, "%s\"a%u\":{\"N\":[%u]}", i ? "," : "", i, i);
			buf_printf(&text, "%s\"a%u\":{\"N\":\"%u\"}", i ? "," : "", n - 1 - i,
				   n - 1 - i);
		}
		buf_text(&b, "}}}");
		buf_text(&text, "}}}");
		if (n == 512) {
			AUTO(filter) struct filter *f = compile(b.data);

			assert_true(matches(f, text.data));
			assert_false(matches(f, record));
		} else {
			assert_false(filter_check(buf_str(&b), &at, &err));
			assert_non_null(strstr(err.message, "a map has at most 512 members"));
		}
	}
	buf_release(&b);
	buf_release(&text);
}

static void test_long(void **state)
{
	struct error err = { 0 };
	struct buf b, text;
	size_t at;

	(void)state;
	buf_init(&b, 0);
	buf_init(&text, 0);
	buf_text(&text, "{\"eventID\":\"\\n");
	for (unsigned i = 0; i < 70000; i++)
		buf_text(&text, "x");
	buf_text(&text, "\",\"\\u0065ventName\":\"INSERT\"}");
	{
		AUTO(filter)
		struct filter *f = compile("{\"eventID\":[{\"prefix\":\"\\nxx\"}],"
					   "\"eventName\":[\"INSERT\"]}");

		assert_true(matches(f, text.data));
	}
	buf_text(&b, "{\"eventID\":[\"");
	for (unsigned i = 0; i < FILTER_PATTERN_MAX; i++)
		buf_text(&b, "x");
	buf_text(&b, "\"]}");
	assert_false(filter_check(buf_str(&b), &at, &err));
	assert_non_null(strstr(err.message, "a pattern has at most 64KiB"));
	buf_release(&b);
	buf_release(&text);
}

static void test_several_patterns(void **state)
{
	const struct str patterns[] = { STR("{\"eventName\":[\"INSERT\"]}"),
					STR("{\"dynamodb\":{\"SizeBytes\":[183]}}") };
	struct error err = { 0 };

	(void)state;
	AUTO(filter) struct filter *f = filter_new(patterns, 2, &err);

	assert_non_null(f);
	assert_true(matches(f, record));
	assert_true(matches(f, "{\"eventName\":\"INSERT\"}"));
	assert_false(matches(f, "{\"eventName\":\"MODIFY\"}"));
}

/* What was taken one by one is taken together, also where one program does not hold it. */
static void test_many_patterns(void **state)
{
	struct str patterns[100];
	struct error err = { 0 };
	struct buf texts[100], hit;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		buf_init(&texts[i], 0);
		buf_text(&texts[i], "{\"dynamodb\":{\"OldImage\":{");
		for (unsigned k = 0; k < 20; k++)
			buf_printf(&texts[i], "%s\"p%u_%u\":{\"N\":[%u]}", k ? "," : "", i, k, k);
		buf_text(&texts[i], "}}}");
		patterns[i] = buf_str(&texts[i]);
	}

	AUTO(filter) struct filter *f = filter_new(patterns, 100, &err);

	assert_non_null(f);
	assert_false(matches(f, record));
	for (unsigned i = 0; i < 100; i += 33) {
		buf_init(&hit, 0);
		buf_text(&hit, "{\"dynamodb\":{\"OldImage\":{");
		for (unsigned k = 0; k < 20; k++)
			buf_printf(&hit, "%s\"p%u_%u\":{\"N\":\"%u\"}", k ? "," : "", i, k, k);
		buf_text(&hit, "}}}");
		assert_true(matches(f, hit.data));
		buf_release(&hit);
	}
	for (unsigned i = 0; i < 100; i++)
		buf_release(&texts[i]);
}

static void test_fold(void **state)
{
	static const char *const pairs[][2] = {
		{ "ÄÖÜß", "äöüß" },   { "ŁÓDŹ", "łódź" },         { "Ÿ", "ÿ" },
		{ "ΑΘΉΝΑ", "αθήνα" }, { "МОСКВА Ё", "москва ё" }, { "ԱԲ", "աբ" },
		{ "ẤỜ", "ấờ" },       { "ＡＺ", "ａｚ" },         { "日本 1", "日本 1" },
		{ "×÷", "×÷" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct str upper = str_of(pairs[i][0]), lower = str_of(pairs[i][1]);

		assert_str(((struct str){ out, fold_text(upper, out) }), pairs[i][1]);
		assert_true(fold_equal(lower, upper) && fold_equal(lower, lower));
		assert_true(fold_prefix(lower, upper) && fold_suffix(lower, upper));
		assert_false(fold_equal(lower, STR("x")));
		assert_false(fold_suffix(lower, STR("")));
	}
	assert_false(fold_equal(STR("ab"), STR("AbC")));
	assert_true(fold_prefix(STR("ab"), STR("AbC")));
	assert_true(fold_suffix(STR("öc"), STR("aÖC")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_many_alternatives),
		cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_several_patterns),
		cmocka_unit_test(test_many_patterns),
		cmocka_unit_test(test_fold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
