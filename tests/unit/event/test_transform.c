/* Each transform on values of every type: what it makes of an item is what a page has that holds
 * that item from the first, in every form, as new image and as old. */
#include "tests/unit/event/transforming.h"

#define KEYS   "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}"
#define PK     "\"pk\":{\"S\":\"a\"}"
#define SK     "\"sk\":{\"N\":\"1\"}"
#define DIGITS "12345678901234567890123456789012345678"

#define HASH_E "26382c5adb93384755a55b17c0c37aae724ec74042101cae59fd075e577a743c"
#define HASH_1 "6f51b61a3db920f1cbe06a4c38501bc0b002ebaf9ceab835ca0a6f899817de7a"
#define HASH_B "e3072954c8906347606441e61e9acff6350adb1786be4315948904bdf6d2e9db"
#define HASH_T "d3af9eb57408b54bafc0bcbfe2fd11d315c8c29753e669ef720860cd8286bb1c"
#define BASE_1 "b1G2Gj25IPHL4GpMOFAbwLAC66+c6rg1ygpviZgX3no="

static const struct {
	const char *transform, *item, *expected; /* items without their braces */
} cases[] = {
	/* keep: and the key, always */
	{ "[{\"keep\":\"a\"}]", PK "," SK ",\"a\":{\"S\":\"x\"},\"b\":{\"S\":\"y\"}",
	  PK "," SK ",\"a\":{\"S\":\"x\"}" },
	{ "[{\"keep\":[\"m.x\",\"l[1]\",\"l[3]\",\"none\"]}]",
	  PK
	  "," SK
	  ",\"m\":{\"M\":{\"x\":{\"N\":\"1\"},\"y\":{\"N\":\"2\"}}},\"l\":{\"L\":[{\"N\":\"0\"},{"
	  "\"N\":\"1\"},{\"N\":\"2\"},{\"N\":\"3\"}]}",
	  PK "," SK
	     ",\"m\":{\"M\":{\"x\":{\"N\":\"1\"}}},\"l\":{\"L\":[{\"N\":\"1\"},{\"N\":\"3\"}]}" },
	{ "[{\"keep\":[\"l[*].x\",\"s.x\",\"m.z\"]}]",
	  PK ",\"l\":{\"L\":[{\"M\":{\"x\":{\"S\":\"1\"},\"y\":{\"S\":\"2\"}}},{\"S\":\"no "
	     "map\"}]},\"s\":{"
	     "\"S\":\"no map\"},\"m\":{\"M\":{\"x\":{\"S\":\"1\"}}}," SK,
	  PK ",\"l\":{\"L\":[{\"M\":{\"x\":{\"S\":\"1\"}}}]}," SK },
	{ "[{\"keep\":[\"m\",\"m.x\"]}]", "\"m\":{\"M\":{\"x\":{\"N\":\"1\"},\"y\":{\"N\":\"2\"}}}",
	  "\"m\":{\"M\":{\"x\":{\"N\":\"1\"},\"y\":{\"N\":\"2\"}}}" },
	{ "[{\"keep\":[\"a\"]},{\"drop\":[\"pk\",\"sk\"]}]", PK "," SK ",\"a\":{\"S\":\"x\"}",
	  "\"a\":{\"S\":\"x\"}" },
	/* drop */
	{ "[{\"drop\":\"a\"}]", "\"a\":{\"S\":\"x\"}," PK, PK },
	{ "[{\"drop\":[\"a\",\"c\",\"none\"]}]",
	  "\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"},\"c\":{\"BS\":[\"q80=\"]},\"d\":{\"NULL\":true}",
	  "\"b\":{\"S\":\"2\"},\"d\":{\"NULL\":true}" },
	{ "[{\"drop\":[\"l[*].y\",\"m.a.b\",\"l[0]\"]}]",
	  "\"l\":{\"L\":[{\"M\":{\"x\":{\"S\":\"1\"},\"y\":{\"S\":\"2\"}}},{\"M\":{\"y\":{\"S\":"
	  "\"2\"}}},{\"N\":"
	  "\"3\"}]},\"m\":{\"M\":{\"a\":{\"M\":{\"b\":{\"S\":\"x\"}}}}}",
	  "\"l\":{\"L\":[{\"M\":{}},{\"N\":\"3\"}]},\"m\":{\"M\":{\"a\":{\"M\":{}}}}" },
	{ "[{\"drop\":[\"a\\\\.b\",\"c\\\\[0\\\\]\",\"\xc3\xa9\",\"q\\\\\\\\\\\"\"]}]",
	  "\"a.b\":{\"S\":\"1\"},\"c[0]\":{\"S\":\"2\"},\"\\u00e9\":{\"S\":\"3\"},\"q\\\\\\\"\":{"
	  "\"S\":\"4\"},"
	  "\"k\":{\"S\":\"5\"}",
	  "\"k\":{\"S\":\"5\"}" },
	/* rename: in its place; another of that name goes */
	{ "[{\"rename\":{\"a\":\"A\",\"m.x\":\"y\"}}]",
	  "\"a\":{\"N\":\"" DIGITS
	  "\"},\"b\":{\"S\":\"\"},\"m\":{\"M\":{\"x\":{\"N\":\"1\"},\"y\":{\"N\":\"2\"}}}",
	  "\"A\":{\"N\":\"" DIGITS "\"},\"b\":{\"S\":\"\"},\"m\":{\"M\":{\"y\":{\"N\":\"1\"}}}" },
	{ "[{\"rename\":{\"a\":\"b\"}}]",
	  "\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"},\"c\":{\"S\":\"3\"}",
	  "\"b\":{\"S\":\"1\"},\"c\":{\"S\":\"3\"}" },
	{ "[{\"rename\":{\"a\":\"_op\",\"b\":\"x\\\\.y\\\"\"}}]",
	  "\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"}",
	  "\"_op\":{\"S\":\"1\"},\"x.y\\\"\":{\"S\":\"2\"}" },
	{ "[{\"rename\":{\"a\":\"t\"}},{\"rename\":{\"b\":\"a\"}},{\"rename\":{\"t\":\"b\"}}]",
	  "\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"}", "\"b\":{\"S\":\"1\"},\"a\":{\"S\":\"2\"}" },
	/* move */
	{ "[{\"move\":{\"m.x\":\"x\",\"a\":\"n.o.a\"}}]",
	  "\"m\":{\"M\":{\"x\":{\"N\":\"1\"}}},\"a\":{\"SS\":[\"1\"]},\"b\":{\"BOOL\":true}",
	  "\"m\":{\"M\":{}},\"b\":{\"BOOL\":true},\"x\":{\"N\":\"1\"},\"n\":{\"M\":{\"o\":{\"M\":{"
	  "\"a\":{\"SS\":["
	  "\"1\"]}}}}}" },
	{ "[{\"move\":{\"m.x\":\"m\"}}]",
	  "\"m\":{\"M\":{\"x\":{\"N\":\"1\"},\"y\":{\"N\":\"2\"}}},\"z\":{\"N\":\"0\"}",
	  "\"m\":{\"N\":\"1\"},\"z\":{\"N\":\"0\"}" },
	{ "[{\"move\":{\"l[1]\":\"one\",\"none.x\":\"y\"}}]",
	  "\"l\":{\"L\":[{\"N\":\"0\"},{\"N\":\"1\"},{\"N\":\"2\"}]}",
	  "\"l\":{\"L\":[{\"N\":\"0\"},{\"N\":\"2\"}]},\"one\":{\"N\":\"1\"}" },
	{ "[{\"move\":{\"a\":\"b.x\"},\"on_fail\":\"keep\"}]",
	  "\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"}", "\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"}" },
	/* set: a placeholder alone keeps the type; one that is missing sets nothing */
	{ "[{\"set\":{\"x\":\"\",\"n\":12.50,\"t\":true,\"f\":false,\"z\":null,\"m.k\":\"v\"}}]",
	  "\"n\":{\"S\":\"old\"},\"a\":{\"S\":\"1\"}",
	  "\"n\":{\"N\":\"12.5\"},\"a\":{\"S\":\"1\"},\"x\":{\"S\":\"\"},\"t\":{\"BOOL\":true},"
	  "\"f\":{\"BOOL\":"
	  "false},\"z\":{\"NULL\":true},\"m\":{\"M\":{\"k\":{\"S\":\"v\"}}}" },
	{ "[{\"set\":{\"c\":\"${attribute:m}\",\"d\":\"${attribute:m.n}\",\"e\":\"${attribute:none}"
	  "\",\"g\":\"${"
	  "attribute:none:-7}\",\"h\":\"${attribute:l[1]}\"}}]",
	  "\"m\":{\"M\":{\"n\":{\"N\":\"" DIGITS
	  "\"}}},\"l\":{\"L\":[{\"S\":\"0\"},{\"NS\":[\"1\"]}]}",
	  "\"m\":{\"M\":{\"n\":{\"N\":\"" DIGITS
	  "\"}}},\"l\":{\"L\":[{\"S\":\"0\"},{\"NS\":[\"1\"]}]},\"c\":{\"M\":{"
	  "\"n\":{\"N\":\"" DIGITS "\"}}},\"d\":{\"N\":\"" DIGITS
	  "\"},\"g\":{\"S\":\"7\"},\"h\":{\"NS\":[\"1\"]}" },
	{ "[{\"set\":{\"t\":\"<${attribute:s}|${attribute:n}|${attribute:b}|${attribute:y}|${"
	  "attribute:z}|${"
	  "attribute:m}|${attribute:ss}>\"}}]",
	  "\"s\":{\"S\":\"q\\\"\\u00e9\\n\"},\"n\":{\"N\":\"1.50\"},\"b\":{\"B\":\"q80=\"},\"y\":{"
	  "\"BOOL\":true},\"z\":"
	  "{\"NULL\":true},\"m\":{\"M\":{\"k\":{\"S\":\"\\\"\\\\\"}}},\"ss\":{\"SS\":[\"a\"]}",
	  "\"s\":{\"S\":\"q\\\"\\u00e9\\n\"},\"n\":{\"N\":\"1.50\"},\"b\":{\"B\":\"q80=\"},\"y\":{"
	  "\"BOOL\":true},\"z\":"
	  "{\"NULL\":true},\"m\":{\"M\":{\"k\":{\"S\":\"\\\"\\\\\"}}},\"ss\":{\"SS\":[\"a\"]},"
	  "\"t\":{\"S\":\"<q\\\"\\u00e9"
	  "\\n|1.50|q80=|true|null|{\\\"k\\\":\\\"\\\\\\\"\\\\\\\\\\\"}|[\\\"a\\\"]>\"}" },
	{ "[{\"set\":{\"t\":\"${table} ${stream} ${region} ${account} $${x} $\"}}]", PK,
	  PK ",\"t\":{\"S\":\"orders-table orders eu-west-1 123456789012 ${x} $\"}" },
	{ "[{\"set\":{\"t\":\"a ${attribute:none} b\"}}]", "\"t\":{\"S\":\"as it was\"}",
	  "\"t\":{\"S\":\"as it was\"}" },
	/* cast */
	{ "[{\"cast\":{\"s\":\"string\",\"n\":\"string\",\"b\":\"string\",\"y\":\"string\",\"z\":"
	  "\"string\",\"m\":"
	  "\"string\",\"ns\":\"string\",\"none\":\"number\"}}]",
	  "\"s\":{\"S\":\"a\\/b\"},\"n\":{\"N\":\"-" DIGITS
	  "\"},\"b\":{\"B\":\"q80=\"},\"y\":{\"BOOL\":false},\"z\":{"
	  "\"NULL\":true},\"m\":{\"M\":{\"k\":{\"L\":[]}}},\"ns\":{\"NS\":[\"1\",\"2\"]}",
	  "\"s\":{\"S\":\"a\\/b\"},\"n\":{\"S\":\"-" DIGITS
	  "\"},\"b\":{\"S\":\"q80=\"},\"y\":{\"S\":\"false\"},\"z\":{"
	  "\"NULL\":true},\"m\":{\"S\":\"{\\\"k\\\":[]}\"},\"ns\":{\"S\":\"[1,2]\"}" },
	{ "[{\"cast\":{\"s\":\"number\",\"n\":\"number\",\"y\":\"number\",\"x\":\"number\",\"z\":"
	  "\"number\"}}]",
	  "\"s\":{\"S\":\"-" DIGITS
	  "E-5\"},\"n\":{\"N\":\"1.0\"},\"y\":{\"BOOL\":true},\"x\":{\"BOOL\":false},\"z\":{"
	  "\"NULL\":true}",
	  "\"s\":{\"N\":\"-" DIGITS
	  "E-5\"},\"n\":{\"N\":\"1.0\"},\"y\":{\"N\":\"1\"},\"x\":{\"N\":\"0\"},\"z\":{\"NULL\":"
	  "true}" },
	{ "[{\"cast\":{\"a\":\"bool\",\"b\":\"bool\",\"c\":\"bool\",\"d\":\"bool\",\"e\":\"bool\","
	  "\"f\":\"bool\"}}]",
	  "\"a\":{\"S\":\"TRUE\"},\"b\":{\"S\":\"false\"},\"c\":{\"N\":\"1\"},\"d\":{\"S\":\"0\"},"
	  "\"e\":{\"BOOL\":true},"
	  "\"f\":{\"NULL\":true}",
	  "\"a\":{\"BOOL\":true},\"b\":{\"BOOL\":false},\"c\":{\"BOOL\":true},\"d\":{\"BOOL\":"
	  "false},\"e\":{\"BOOL\":"
	  "true},\"f\":{\"NULL\":true}" },
	{ "[{\"cast\":{\"a\":\"number\",\"b\":\"number\",\"c\":\"bool\",\"d\":\"number\"},\"on_"
	  "fail\":null}]",
	  "\"a\":{\"S\":\"1x\"},\"b\":{\"S\":\"" DIGITS "9\"},\"c\":{\"M\":{}},\"d\":{\"S\":\"2\"}",
	  "\"a\":{\"NULL\":true},\"b\":{\"NULL\":true},\"c\":{\"NULL\":true},\"d\":{\"N\":\"2\"}" },
	{ "[{\"cast\":{\"a\":\"number\"},\"on_fail\":\"keep\"},{\"cast\":{\"b\":\"number\"},\"on_"
	  "fail\":\"drop\"}]",
	  "\"a\":{\"S\":\"\"},\"b\":{\"S\":\"0x10\"}", "\"a\":{\"S\":\"\"}" },
	{ "[{\"cast\":{\"l[*].n\":\"number\"}}]",
	  "\"l\":{\"L\":[{\"M\":{\"n\":{\"S\":\"1\"}}},{\"M\":{\"n\":{\"N\":\"2\"}}},{\"S\":\"x\"}]"
	  "}",
	  "\"l\":{\"L\":[{\"M\":{\"n\":{\"N\":\"1\"}}},{\"M\":{\"n\":{\"N\":\"2\"}}},{\"S\":\"x\"}]"
	  "}" },
	/* mask: of a short text nothing is told */
	{ "[{\"mask\":[\"s\",\"n\",\"b\",\"y\",\"z\",\"ss\",\"m\"]}]",
	  "\"s\":{\"S\":\"secret\"},\"n\":{\"N\":\"42\"},\"b\":{\"B\":\"q80=\"},\"y\":{\"BOOL\":"
	  "true},\"z\":{\"NULL\":"
	  "true},\"ss\":{\"SS\":[\"a\",\"b\"]},\"m\":{\"M\":{\"k\":{\"L\":[{\"S\":\"x\"},{\"NULL\":"
	  "true}]}}}",
	  "\"s\":{\"S\":\"***\"},\"n\":{\"S\":\"***\"},\"b\":{\"S\":\"***\"},\"y\":{\"S\":\"***\"},"
	  "\"z\":{\"NULL\":"
	  "true},\"ss\":{\"L\":[{\"S\":\"***\"},{\"S\":\"***\"}]},\"m\":{\"M\":{\"k\":{\"L\":[{"
	  "\"S\":\"***\"},{\"NULL\":"
	  "true}]}}}" },
	{ "[{\"mask\":{\"paths\":[\"a\",\"b\",\"c\",\"d\"],\"with\":\"\\\"\",\"keep_first\":1,"
	  "\"keep_last\":2}}]",
	  "\"a\":{\"S\":\"4000123412341234\"},\"b\":{\"S\":\"12345\"},\"c\":{\"S\":"
	  "\"\\u00e9\xc3\xa9\\n\xf0\x9f\x98\x80"
	  "\\ud83d\\ude00x\"},\"d\":{\"N\":\"123456\"}",
	  "\"a\":{\"S\":\"4\\\"34\"},\"b\":{\"S\":\"\\\"\"},\"c\":{\"S\":"
	  "\"\\u00e9\\\"\\ud83d\\ude00x\"},\"d\":{\"S\":"
	  "\"1\\\"56\"}" },
	/* truncate: characters, bytes, elements */
	{ "[{\"truncate\":{\"a\":3,\"b\":3,\"c\":3,\"d\":3}}]",
	  "\"a\":{\"S\":\"abcd\"},\"b\":{\"S\":\"abc\"},\"c\":{\"S\":"
	  "\"\\u00e9\xf0\x9f\x98\x80\\ud83d\\ude00x\"},\"d\":{"
	  "\"N\":\"12345\"}",
	  "\"a\":{\"S\":\"abc\"},\"b\":{\"S\":\"abc\"},\"c\":{\"S\":"
	  "\"\\u00e9\xf0\x9f\x98\x80\\ud83d\\ude00\"},\"d\":{"
	  "\"N\":\"12345\"}" },
	{ "[{\"truncate\":{\"a\":1,\"b\":2,\"c\":3,\"d\":4}}]",
	  "\"a\":{\"B\":\"////\"},\"b\":{\"B\":\"\\/\\/\\/\\/\"},\"c\":{\"B\":\"////"
	  "\"},\"d\":{\"B\":\"////////\"}",
	  "\"a\":{\"B\":\"/w==\"},\"b\":{\"B\":\"//8=\"},\"c\":{\"B\":\"////\"},\"d\":{\"B\":\"////"
	  "/w==\"}" },
	{ "[{\"truncate\":{\"a\":2,\"b\":1,\"c\":5,\"d\":1,\"e\":1}}]",
	  "\"a\":{\"L\":[{\"S\":\"1\"},{\"S\":\"2\"},{\"S\":\"3\"}]},\"b\":{\"SS\":[\"x\\\"\","
	  "\"y\"]},\"c\":{\"NS\":[\"1\","
	  "\"2\"]},\"d\":{\"BS\":[\"q80=\",\"////\"]},\"e\":{\"M\":{\"long\":{\"S\":\"text\"}}}",
	  "\"a\":{\"L\":[{\"S\":\"1\"},{\"S\":\"2\"}]},\"b\":{\"SS\":[\"x\\\"\"]},\"c\":{\"NS\":["
	  "\"1\",\"2\"]},\"d\":{\"BS\":["
	  "\"q80=\"]},\"e\":{\"M\":{\"long\":{\"S\":\"text\"}}}" },
	/* flatten */
	{ "[{\"flatten\":\"m\"}]",
	  "\"m\":{\"M\":{\"a\":{\"N\":\"1\"},\"n\":{\"M\":{\"b\":{\"S\":\"x\"},\"e\":{\"M\":{}}}},"
	  "\"l\":{\"L\":[]}}},\"z\":{"
	  "\"S\":\"\"}",
	  "\"m_a\":{\"N\":\"1\"},\"m_n_b\":{\"S\":\"x\"},\"m_n_e\":{\"M\":{}},\"m_l\":{\"L\":[]},"
	  "\"z\":{\"S\":\"\"}" },
	{ "[{\"flatten\":{\"paths\":[\"m.n\",\"s\",\"e\"],\"separator\":\"\"}}]",
	  "\"m\":{\"M\":{\"n\":{\"M\":{\"\":{\"S\":\"x\"},\"o\":{\"S\":\"y\"}}}}},\"s\":{\"S\":"
	  "\"no map\"},\"e\":{\"M\":{}}",
	  "\"m\":{\"M\":{\"n\":{\"S\":\"x\"},\"no\":{\"S\":\"y\"}}},\"s\":{\"S\":\"no "
	  "map\"},\"e\":{\"M\":{}}" },
	{ "[{\"flatten\":\"m\",\"on_fail\":\"keep\"}]",
	  "\"m\":{\"M\":{\"b\":{\"N\":\"2\"},\"a\":{\"N\":\"1\"}}},\"m_a\":{\"S\":\"taken\"}",
	  "\"m\":{\"M\":{\"b\":{\"N\":\"2\"},\"a\":{\"N\":\"1\"}}},\"m_a\":{\"S\":\"taken\"}" },
	/* parse */
	{ "[{\"parse\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\"]}]",
	  "\"a\":{\"S\":\" {\\\"x\\\" : [1, 2.50, \\\"s\\\", true, false, null, {}, "
	  "[]]}\\n\"},\"b\":{\"S\":\"\\\"text\\\"\"},"
	  "\"c\":{\"S\":\"" DIGITS "\"},\"d\":{\"S\":\"null\"},\"e\":{\"N\":\"1\"},\"f\":{\"M\":{}}"
	  ",\"g\":{\"S\":\"{\\\"u\\\":"
	  "\\\"\\\\u00e9\\\\n\\\"}\"}",
	  "\"a\":{\"M\":{\"x\":{\"L\":[{\"N\":\"1\"},{\"N\":\"2.50\"},{\"S\":\"s\"},{\"BOOL\":true}"
	  ",{\"BOOL\":false},{"
	  "\"NULL\":true},{\"M\":{}},{\"L\":[]}]}}},\"b\":{\"S\":\"text\"},\"c\":{\"N\":\"" DIGITS
	  "\"},\"d\":{\"NULL\":"
	  "true},\"e\":{\"N\":\"1\"},\"f\":{\"M\":{}},\"g\":{\"M\":{\"u\":{\"S\":\"\\u00e9\\n\"}}"
	  "}" },
	{ "[{\"parse\":[\"a\",\"b\",\"c\",\"d\"],\"on_fail\":\"null\"}]",
	  "\"a\":{\"S\":\"{\"},\"b\":{\"S\":\"{\\\"a\\\":1,\\\"\\\\u0061\\\":2}\"},\"c\":{\"S\":"
	  "\"" DIGITS "9\"},\"d\":{\"S\":\"\"}",
	  "\"a\":{\"NULL\":true},\"b\":{\"NULL\":true},\"c\":{\"NULL\":true},\"d\":{\"NULL\":"
	  "true}" },
	{ "[{\"parse\":\"p\"},{\"flatten\":\"p\"},{\"cast\":{\"p_n\":\"string\"}},{\"drop\":\"p_"
	  "x\"}]",
	  "\"p\":{\"S\":\"{\\\"n\\\":1.0,\\\"x\\\":2,\\\"y\\\":3}\"}",
	  "\"p_n\":{\"S\":\"1.0\"},\"p_y\":{\"N\":\"3\"}" },
	/* split */
	{ "[{\"split\":[\"s\",\"n\",\"b\",\"y\",\"z\",\"m\",\"l\",\"ss\",\"ns\",\"bs\"]}]",
	  "\"s\":{\"S\":\"\"},\"n\":{\"N\":\"1\"},\"b\":{\"B\":\"\"},\"y\":{\"BOOL\":true},\"z\":{"
	  "\"NULL\":true},\"m\":{"
	  "\"M\":{}},\"l\":{\"L\":[]},\"ss\":{\"SS\":[\"a\"]},\"ns\":{\"NS\":[\"1\"]},\"bs\":{"
	  "\"BS\":[\"q80=\"]}",
	  "\"s_s\":{\"S\":\"\"},\"n_n\":{\"N\":\"1\"},\"b_b\":{\"B\":\"\"},\"y_bool\":{\"BOOL\":"
	  "true},\"z\":{\"NULL\":"
	  "true},\"m_m\":{\"M\":{}},\"l_l\":{\"L\":[]},\"ss_ss\":{\"SS\":[\"a\"]},\"ns_ns\":{"
	  "\"NS\":[\"1\"]},\"bs_bs\":{"
	  "\"BS\":[\"q80=\"]}" },
	{ "[{\"split\":{\"paths\":[\"m.v\",\"w\"],\"separator\":\"#\"},\"on_fail\":\"keep\"}]",
	  "\"m\":{\"M\":{\"v\":{\"N\":\"1\"}}},\"w\":{\"S\":\"x\"},\"w#s\":{\"S\":\"taken\"}",
	  "\"m\":{\"M\":{\"v#n\":{\"N\":\"1\"}}},\"w\":{\"S\":\"x\"},\"w#s\":{\"S\":\"taken\"}" },
	/* strip_replication */
	{ "[\"strip_replication\"]",
	  "\"aws:rep:deleting\":{\"BOOL\":false}," PK
	  ",\"aws:rep:updatetime\":{\"N\":\"1\"},\"aws:repx\":{\"S\":\"\"}",
	  PK ",\"aws:repx\":{\"S\":\"\"}" },
	{ "[{\"strip_replication\":true},{\"drop\":[\"a\"]}]",
	  "\"a\":{\"S\":\"\"},\"aws\\u003arep:x\":{\"S\":\"\"}", "" },
	/* hash: HMAC-SHA-256 as `openssl dgst -hmac` and Python's hmac have it */
	{ "[{\"hash\":{\"paths\":[\"s\",\"n\",\"o\",\"b\",\"y\",\"z\",\"ss\",\"m\"],\"key\":"
	  "\"0123456789abcdef\"}}]",
	  "\"s\":{\"S\":\"\\u00e9\"},\"n\":{\"N\":\"1.0\"},\"o\":{\"N\":\"1\"},\"b\":{\"B\":\"q80="
	  "\"},\"y\":{\"BOOL\":true},"
	  "\"z\":{\"NULL\":true},\"ss\":{\"SS\":[\"\xc3\xa9\"]},\"m\":{\"M\":{\"k\":{\"S\":"
	  "\"true\"}}}",
	  "\"s\":{\"S\":\"" HASH_E "\"},\"n\":{\"S\":\"" HASH_1 "\"},\"o\":{\"S\":\"" HASH_1
	  "\"},\"b\":{\"S\":\"" HASH_B "\"},\"y\":{\"S\":"
	  "\"" HASH_T "\"},\"z\":{\"NULL\":true},\"ss\":{\"L\":[{\"S\":\"" HASH_E
	  "\"}]},\"m\":{\"M\":{\"k\":{\"S\":\"" HASH_T "\"}}}" },
	{ "[{\"hash\":{\"paths\":\"s\",\"key\":\"0123456789abcdef\",\"encoding\":\"base64\"}}]",
	  "\"s\":{\"S\":\"1\"}", "\"s\":{\"S\":\"" BASE_1 "\"}" },
};

static const struct encoding encodings[] = {
	{ .format = FORMAT_DEBEZIUM },
	{ .format = FORMAT_PLAIN },
	{ .format = FORMAT_DYNAMODB },
	{ .format = FORMAT_DEBEZIUM, .numbers_as_strings = true },
	{ .format = FORMAT_PLAIN, .numbers_as_strings = true },
};
#define ENCODINGS (sizeof(encodings) / sizeof(encodings[0]))

static char *braced(const char *members)
{
	char *text = memory_new(strlen(members) + 3);

	sprintf(text, "{%s}", members);
	return text;
}

static void check_case(const char *transform, const char *item, const char *expected,
		       struct encoding encoding)
{
	AUTO(transform) struct transform *t = transforming(transform);
	char *before = braced(item), *after = braced(expected);
	struct buf page, wanted;
	struct batch *a, *b;

	buf_init(&page, 0);
	buf_init(&wanted, 0);
	transforming_page(&page, "MODIFY", KEYS, before, before);
	transforming_page(&wanted, "MODIFY", KEYS, after, after);
	b = transforming_decode(buf_str(&wanted), encoding);
	encoding.transform = t;
	a = transforming_decode(buf_str(&page), encoding);
	if (a->fault_count)
		fail_msg("%s: %s", transform, a->faults[0].error);
	if (!str_equal(a->payloads[0][0], b->payloads[0][0]))
		fail_msg("%s\n%.*s\nexpected\n%.*s", transform, STR_ARG(a->payloads[0][0]),
			 STR_ARG(b->payloads[0][0]));
	/* The key that orders is made of what came. */
	assert_str(a->events[0].key, "{\"pk\":\"a\",\"sk\":1}");
	batch_free(a);
	batch_free(b);
	buf_release(&page);
	buf_release(&wanted);
	free(before);
	free(after);
}

static void each_transform_does_what_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t e = 0; e < ENCODINGS; e++)
			/* Keys of the dynamodb form are another test's. */
			if (encodings[e].format != FORMAT_DYNAMODB ||
			    !strstr(cases[i].transform, "\"pk\""))
				check_case(cases[i].transform, cases[i].item, cases[i].expected,
					   encodings[e]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_transform_does_what_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
