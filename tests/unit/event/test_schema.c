/* What schemas say of records, what they put in, and what is refused of them. */
#include "tests/unit/event/schemas.h"

#define KEY     "\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}"
#define ITEM(x) "{" KEY "," x "}"
#define ORDER                                                                                      \
	"[{\"name\":\"order\",\"when\":{\"type\":\"order\"},\"columns\":["                         \
	"{\"path\":\"type\",\"type\":\"string\",\"required\":true},"                               \
	"{\"path\":\"total\",\"type\":\"number\",\"required\":true},"                              \
	"{\"path\":\"count\",\"type\":\"integer\"},"                                               \
	"{\"path\":\"address.town\",\"type\":\"string\"},"                                         \
	"{\"path\":\"more\",\"type\":\"map\"},{\"path\":\"more.id\",\"type\":\"any\"}]"            \
	",\"mode\":\"MODE\"}]"
#define GOOD "\"type\":{\"S\":\"order\"},\"total\":{\"N\":\"1.50\"}"

static struct schemas *schemas_with(const char *list, const char *mode)
{
	struct error err = { 0 };
	char text[4096];
	const char *at = strstr(list, "MODE");
	struct schemas *s;

	snprintf(text, sizeof(text), "%.*s%s%s", at ? (int)(at - list) : (int)strlen(list), list,
		 at ? mode : "", at ? at + 4 : "");
	s = schemas_try(text, &err);
	if (!s)
		fail_msg("%s: %s", text, err.message);
	return s;
}

static const struct {
	const char *item;
	const char *strict, *evolve; /* NULL: good; the fault */
	const char *news;
} items[] = {
	{ ITEM(GOOD), NULL, NULL, NULL },
	{ ITEM(GOOD ",\"count\":{\"N\":\"3.0\"}"), NULL, NULL, NULL },
	{ ITEM(GOOD ",\"count\":{\"N\":\"12E2\"}"), NULL, NULL, NULL },
	{ ITEM(GOOD ",\"count\":{\"N\":\"0\"}"), NULL, NULL, NULL },
	{ ITEM(GOOD ",\"count\":{\"NULL\":true}"), NULL, NULL, NULL },
	{ ITEM(GOOD ",\"count\":{\"N\":\"3.5\"}"),
	  "schema order: count: expected an integer, found 3.5", "", NULL },
	{ ITEM("\"type\":{\"S\":\"order\"}"), "schema order: total: it is required, and missing",
	  "", NULL },
	{ ITEM("\"type\":{\"S\":\"order\"},\"total\":{\"NULL\":true}"),
	  "schema order: total: it is required, and NULL", "", NULL },
	{ ITEM("\"type\":{\"S\":\"order\"},\"total\":{\"S\":\"1.50\"}"),
	  "schema order: total: expected a number, found a string", "", NULL },
	{ ITEM(GOOD ",\"address\":{\"S\":\"Porto\"}"),
	  "schema order: address: expected a map, found a string", "", NULL },
	{ ITEM(GOOD ",\"address\":{\"M\":{\"town\":{\"SS\":[\"a\"]}}}"),
	  "schema order: address.town: expected a string, found a set of strings", "", NULL },
	/* What no column is called. */
	{ ITEM(GOOD ",\"note\":{\"S\":\"x\"}"),
	  "schema order: note: no column is called so (mode: strict)", NULL, "note" },
	{ ITEM(GOOD ",\"address\":{\"M\":{\"zip\":{\"S\":\"1\"}}}"),
	  "schema order: address.zip: no column is called so (mode: strict)", NULL, "address.zip" },
	{ ITEM(GOOD ",\"more\":{\"M\":{\"id\":{\"N\":\"1\"},\"x\":{\"S\":\"y\"}}}"), NULL, NULL,
	  NULL },
	{ ITEM(GOOD ",\"aws:rep:updateregion\":{\"S\":\"eu-west-1\"}"), NULL, NULL, NULL },
	/* Names as they may be spelled, in any order. */
	{ "{\"t\\u006ftal\":{\"N\":\"1\"},\"\\u0070k\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"},"
	  "\"type\":{\"S\":\"\\u006frder\"}}",
	  NULL, NULL, NULL },
	{ "{ \"total\" : { \"S\" : \"1\" } , \"type\" : { \"S\" : \"order\" } }",
	  "schema order: total: expected a number, found a string", "", NULL },
	/* Another kind of item. */
	{ ITEM("\"type\":{\"S\":\"Order\"},\"total\":{\"S\":\"1\"}"), NULL, NULL, NULL },
	{ ITEM("\"total\":{\"S\":\"1\"}"), NULL, NULL, NULL },
};

static void check_one(const struct schemas *s, const char *item, const char *fault,
		      const char *news)
{
	struct encoding plain = { .format = FORMAT_PLAIN };
	struct batch *b = schemas_page(s, false, "INSERT", item, NULL, plain);

	if (fault) {
		assert_int_equal(b->fault_count, 1);
		assert_int_equal(b->faults[0].why, FAULT_SCHEMA);
		assert_int_equal(b->events[0].faulty, UINT32_MAX);
		assert_null(b->payloads[0][0].p);
		assert_string_equal(b->faults[0].error, fault);
	} else {
		if (b->fault_count > 0)
			fail_msg("%s: %s", item, b->faults[0].error);
		assert_int_equal(b->events[0].faulty, 0);
		assert_non_null(b->payloads[0][0].p);
	}
	assert_int_equal(b->news_count, news != NULL);
	if (news) {
		assert_string_equal(b->news[0].attribute, news);
		assert_string_equal(b->news[0].schema, "order");
	}
	batch_free(b);
}

static void what_does_not_fit_is_told_with_its_attribute(void **state)
{
	AUTO(schemas) struct schemas *strict = schemas_with(ORDER, "strict");
	AUTO(schemas) struct schemas *evolve = schemas_with(ORDER, "evolve");

	(void)state;
	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		const char *of_evolve = items[i].evolve;

		check_one(strict, items[i].item, items[i].strict, NULL);
		check_one(evolve, items[i].item,
			  of_evolve && !*of_evolve ? items[i].strict : of_evolve, items[i].news);
	}
}

/* ---- conditions ---- */

static const struct {
	const char *when, *attribute;
	bool fits;
} conditions[] = {
	{ "{\"a\":\"x\"}", "\"a\":{\"S\":\"x\"}", true },
	{ "{\"a\":\"x\"}", "\"a\":{\"S\":\"X\"}", false },
	{ "{\"a\":\"x\"}", "\"a\":{\"B\":\"xA==\"}", false },
	{ "{\"a\":\"x\"}", "\"b\":{\"S\":\"x\"}", false },
	{ "{\"a\":\"q\\\"\\n\"}", "\"a\":{\"S\":\"q\\\"\\u000a\"}", true },
	{ "{\"a\":[\"x\",\"y\"]}", "\"a\":{\"S\":\"y\"}", true },
	{ "{\"a\":2}", "\"a\":{\"N\":\"2.0\"}", true },
	{ "{\"a\":2}", "\"a\":{\"S\":\"2\"}", false },
	{ "{\"a\":\"2\"}", "\"a\":{\"N\":\"2\"}", false },
	{ "{\"a\":true}", "\"a\":{\"BOOL\":true}", true },
	{ "{\"a\":true}", "\"a\":{\"BOOL\":false}", false },
	{ "{\"a\":false}", "\"a\":{\"BOOL\":false}", true },
	{ "{\"a\":null}", "\"a\":{\"NULL\":true}", true },
	{ "{\"a\":null}", "\"b\":{\"NULL\":true}", false },
	{ "{\"pk\":{\"prefix\":\"a\"},\"a\":{\"suffix\":\"yz\"}}", "\"a\":{\"S\":\"xyz\"}", true },
	{ "{\"pk\":{\"prefix\":\"b\"},\"a\":{\"suffix\":\"yz\"}}", "\"a\":{\"S\":\"xyz\"}", false },
	{ "{\"a\":{\"prefix\":\"xyz\"}}", "\"a\":{\"S\":\"xy\"}", false },
	{ "{\"a\":{\"exists\":true}}", "\"a\":{\"L\":[]}", true },
	{ "{\"a\":{\"exists\":false}}", "\"a\":{\"L\":[]}", false },
	{ "{\"a\":{\"exists\":false}}", "\"b\":{\"L\":[]}", true },
	{ "{\"a\":[\"x\",{\"exists\":false}]}", "\"b\":{\"L\":[]}", true },
	{ "{\"a\":{\"anything-but\":\"x\"}}", "\"a\":{\"N\":\"1\"}", true },
	{ "{\"a\":{\"anything-but\":[\"y\",\"x\"]}}", "\"a\":{\"S\":\"x\"}", false },
	{ "{\"a\":{\"anything-but\":[\"y\",\"x\"]}}", "\"b\":{\"S\":\"x\"}", false },
	{ "{\"a.b\":\"x\"}", "\"a\":{\"M\":{\"c\":{\"S\":\"y\"},\"b\":{\"S\":\"x\"}}}", true },
	{ "{\"a.b\":\"x\"}", "\"a\":{\"S\":\"x\"}", false },
	{ "{\"a\\\\.b\":\"x\"}", "\"a.b\":{\"S\":\"x\"}", true },
};

static void conditions_ask_plain_values(void **state)
{
	struct encoding plain = { .format = FORMAT_PLAIN };

	(void)state;
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		char list[512], item[512];
		struct schemas *s;
		struct batch *b;

		/* Who fits it is bad. */
		snprintf(list, sizeof(list),
			 "[{\"name\":\"s\",\"when\":%s,\"columns\":[{\"path\":\"never\",\"type\":"
			 "\"any\",\"required\":true}]}]",
			 conditions[i].when);
		snprintf(item, sizeof(item), "{" KEY ",%s}", conditions[i].attribute);
		s = schemas_with(list, "");
		b = schemas_page(s, false, "INSERT", item, NULL, plain);
		if ((b->fault_count == 1) != conditions[i].fits)
			fail_msg("%s %s", conditions[i].when, item);
		batch_free(b);
		schemas_free(s);
	}
}

static void the_first_that_fits_counts(void **state)
{
	AUTO(schemas)
	struct schemas *s = schemas_with(
		"[{\"name\":\"one\",\"when\":{\"a\":1},\"columns\":[{\"path\":\"a\",\"type\":"
		"\"number\"}]},{\"name\":\"two\",\"columns\":[{\"path\":\"a\",\"type\":\"string\"}]"
		"}]",
		"");

	(void)state;
	check_one(s, ITEM("\"a\":{\"N\":\"1\"}"), NULL, NULL);
	check_one(s, ITEM("\"a\":{\"N\":\"2\"}"),
		  "schema two: a: expected a string, found a number", NULL);
}

/* ---- what is not a new image ---- */

static void faults_of(const struct schemas *s, bool unfit, const char *name, const char *new_image,
		      const char *old_image, const char *fault)
{
	struct encoding dynamodb = { .format = FORMAT_DYNAMODB };
	struct batch *b = schemas_page(s, unfit, name, new_image, old_image, dynamodb);

	if (b->fault_count != (fault != NULL))
		fail_msg("%s: %s", name, b->fault_count ? b->faults[0].error : "no fault");
	if (fault)
		assert_string_equal(b->faults[0].error, fault);
	batch_free(b);
}

static void deletes_pass_and_old_images_too(void **state)
{
	AUTO(schemas) struct schemas *s = schemas_with(ORDER, "strict");
	const char *bad = ITEM("\"type\":{\"S\":\"order\"},\"x\":{\"S\":\"\"}");

	(void)state;
	faults_of(s, true, "REMOVE", NULL, bad, NULL);
	faults_of(s, true, "REMOVE", NULL, NULL, NULL);
	faults_of(s, true, "MODIFY", ITEM(GOOD), bad, NULL);
	faults_of(s, true, "MODIFY", NULL, NULL, NULL);
	faults_of(s, true, "INSERT", "{" KEY "}", NULL,
		  "no schema fits it (schemaless: dead_letter)");
	faults_of(s, false, "INSERT", "{" KEY "}", NULL, NULL);
}

static void append_only_takes_no_change(void **state)
{
	AUTO(schemas)
	struct schemas *s =
		schemas_with("[{\"name\":\"log\",\"when\":{\"a\":1},\"append_only\":true}]", "");
	const char *item = ITEM("\"a\":{\"N\":\"1\"}"), *other = ITEM("\"a\":{\"N\":\"2\"}");
	const char *fault = "schema log: the item was changed (append_only)";

	(void)state;
	faults_of(s, false, "INSERT", item, NULL, NULL);
	faults_of(s, false, "MODIFY", item, other, fault);
	faults_of(s, false, "MODIFY", item, NULL, fault);
	faults_of(s, false, "MODIFY", NULL, item, fault);
	faults_of(s, false, "MODIFY", other, item, NULL);
	faults_of(s, false, "REMOVE", NULL, item, NULL);
}

/* ---- defaults ---- */

#define DEFAULTS                                                                                   \
	"[{\"name\":\"v1\",\"when\":{\"v\":1},\"columns\":[{\"path\":\"v\",\"type\":\"number\"},"  \
	"{\"path\":\"a\",\"type\":\"any\",\"default\":\"q\\\"\"}]},"                               \
	"{\"name\":\"v2\",\"mode\":\"evolve\",\"columns\":["                                       \
	"{\"path\":\"a\",\"type\":\"string\",\"default\":\"x\",\"required\":true},"                \
	"{\"path\":\"m.n\",\"type\":\"integer\",\"default\":5},"                                   \
	"{\"path\":\"m.o.p\",\"type\":\"boolean\",\"default\":true}]}]"

static const struct {
	const char *new_image, *old_image, *after, *before;
} defaults[] = {
	{ ITEM("\"a\":{\"S\":\"y\"},\"m\":{\"M\":{\"n\":{\"N\":\"1\"},\"o\":{\"M\":{\"p\":{"
	       "\"BOOL\":"
	       "false}}}}}"),
	  "{" KEY ",\"v\":{\"N\":\"1\"}}",
	  "{\"pk\":\"a\",\"sk\":1,\"a\":\"y\",\"m\":{\"n\":1,\"o\":{\"p\":false}}}",
	  "{\"pk\":\"a\",\"sk\":1,\"v\":1,\"a\":\"q\\\"\"}" },
	{ "{" KEY "}", "{" KEY "}",
	  "{\"pk\":\"a\",\"sk\":1,\"a\":\"x\",\"m\":{\"n\":5,\"o\":{\"p\":true}}}",
	  "{\"pk\":\"a\",\"sk\":1,\"a\":\"x\",\"m\":{\"n\":5,\"o\":{\"p\":true}}}" },
	/* NULL is there; and in the old image anything may be in the way. */
	{ ITEM("\"m\":{\"NULL\":true},\"a\":{\"S\":\"\"}"), ITEM("\"m\":{\"S\":\"\"}"),
	  "{\"pk\":\"a\",\"sk\":1,\"m\":null,\"a\":\"\"}",
	  "{\"pk\":\"a\",\"sk\":1,\"m\":\"\",\"a\":\"x\"}" },
	{ ITEM("\"m\":{\"M\":{\"o\":{\"M\":{}}}}"), "{" KEY "}",
	  "{\"pk\":\"a\",\"sk\":1,\"m\":{\"o\":{\"p\":true},\"n\":5},\"a\":\"x\"}",
	  "{\"pk\":\"a\",\"sk\":1,\"a\":\"x\",\"m\":{\"n\":5,\"o\":{\"p\":true}}}" },
};

static json_t *member_of(const struct batch *b, const char *name)
{
	json_t *payload = json_loadb(b->payloads[0][0].p, b->payloads[0][0].n, 0, NULL), *member;

	assert_non_null(payload);
	member = json_incref(json_object_get(payload, name));
	json_decref(payload);
	return member;
}

static void same(json_t *got, const char *wanted)
{
	json_t *w = json_loads(wanted, 0, NULL);
	char *text = json_dumps(got, JSON_COMPACT);

	assert_non_null(w);
	if (!json_equal(got, w))
		fail_msg("%s\nexpected\n%s", text, wanted);
	free(text);
	json_decref(w);
	json_decref(got);
}

static void what_is_missing_is_put_in(void **state)
{
	AUTO(schemas) struct schemas *s = schemas_with(DEFAULTS, "");
	struct encoding debezium = { .format = FORMAT_DEBEZIUM };

	(void)state;
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		struct batch *b = schemas_page(s, false, "MODIFY", defaults[i].new_image,
					       defaults[i].old_image, debezium);

		assert_int_equal(b->fault_count, 0);
		same(member_of(b, "after"), defaults[i].after);
		same(member_of(b, "before"), defaults[i].before);
		batch_free(b);
	}
}

/* Transforms see what was put in, of images with one layout and another. */
static void transforms_come_behind_defaults(void **state)
{
	AUTO(schemas) struct schemas *s = schemas_with(DEFAULTS, "");
	struct transform *t = transforming("[{\"rename\":{\"a\":\"b\"}},{\"move\":{\"m.n\":\"n\"}},"
					   "{\"drop\":[\"pk\",\"sk\",\"m\"]}]");
	struct encoding debezium = { .format = FORMAT_DEBEZIUM, .transform = t };
	const char *both[] = { "{" KEY "}",
			       ITEM("\"a\":{\"S\":\"y\"},\"m\":{\"M\":{\"n\":{\"N\":"
				    "\"1\"},\"o\":{\"M\":{\"p\":{\"BOOL\":true}}}}}") };
	struct batch *b;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		b = schemas_page(s, false, "MODIFY", both[i], both[!i], debezium);
		assert_int_equal(b->fault_count, 0);
		same(member_of(b, i ? "before" : "after"), "{\"b\":\"x\",\"n\":5}");
		same(member_of(b, i ? "after" : "before"), "{\"b\":\"y\",\"n\":1}");
		batch_free(b);
	}
	transform_free(t);
}

/* ---- rows of exports ---- */

#define META    "\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1763700000123456\"}}"
#define ROW_KEY "\"Keys\":{" KEY "}"

static void rows_are_sorted_as_records_are(void **state)
{
	static const struct rows full = { .window = 0 },
				 window = { .window = 3, .old_images = true };
	static const struct encoding plain = { .format = FORMAT_PLAIN };
	static const char full_lines[] = "{\"Item\":{" KEY ",\"a\":{\"N\":\"1\"}}}\n"
					 "{\"Item\":{\"a\":{\"S\":\"x\"}," KEY "}}\n"
					 "{\"Item\":{" KEY ",\"b\":{\"S\":\"x\"}}}\n";
	static const char window_lines[] =
		"{" META "," ROW_KEY ",\"NewImage\":{" KEY ",\"a\":{\"N\":\"1\"}}}\n"
		"{" META "," ROW_KEY ",\"OldImage\":{" KEY "},\"NewImage\":{" KEY "}}\n"
		"{" META "," ROW_KEY ",\"OldImage\":{" KEY ",\"a\":{\"L\":[]}}}\n";
	AUTO(schemas)
	struct schemas *s = schemas_with("[{\"name\":\"log\",\"append_only\":true,\"columns\":[{"
					 "\"path\":\"a\",\"type\":\"number\",\"default\":7}]}]",
					 "");
	struct decode_options o = { .encodings = &plain, .encoding_count = 1, .schemas = s };
	struct batch *b = decoding_batch(str_of(full_lines), &decoding_source);

	(void)state;
	b->shard = NULL;
	decode_lines(b, &o, &full);
	assert_int_equal(b->count, 3);
	assert_int_equal(b->bad_count, 0);
	assert_int_equal(b->fault_count, 2);
	assert_string_equal(b->faults[0].error, "schema log: a: expected a number, found a string");
	assert_string_equal(b->faults[1].error,
			    "schema log: b: no column is called so (mode: strict)");
	batch_free(b);

	b = decoding_batch(str_of(window_lines), &decoding_source);
	b->shard = NULL;
	decode_lines(b, &o, &window);
	assert_int_equal(b->count, 3);
	assert_int_equal(b->fault_count, 1);
	assert_int_equal(b->faults[0].event, 1);
	assert_string_equal(b->faults[0].error, "schema log: the item was changed (append_only)");
	batch_free(b);

	/* Without old images nobody knows what was changed. */
	b = decoding_batch(str_of(window_lines), &decoding_source);
	b->shard = NULL;
	decode_lines(b, &o, &(struct rows){ .window = 3 });
	assert_int_equal(b->fault_count, 0);
	assert_true(decoding_has(b->payloads[0][1], "\"a\":7"));
	batch_free(b);
}

/* ---- definitions ---- */

static const struct {
	const char *definition, *at, *message;
} wrong[] = {
	{ "[]", "[]", "expected a schema, such as { name: order, when:" },
	{ "{\"columns\":[]}", "{", "expected a schema with a name" },
	{ "{\"name\":\"a\",\"collumns\":[]}", "\"collumns", "a schema has no 'collumns'" },
	{ "{\"name\":\"a/b\"}", "\"name", "name: expected letters, digits, - and _" },
	{ "{\"name\":\"_missing\"}", "\"name", "name: expected letters, digits, - and _" },
	{ "{\"name\":\"first\"}", "\"name",
	  "name: 'first' is there twice; expected another one, such as name: first-2" },
	{ "{\"name\":\"a\",\"mode\":\"lax\"}", "\"mode", "expected strict or evolve" },
	{ "{\"name\":\"a\",\"mode\":\"evolve\"}", "\"mode",
	  "mode: says what becomes of what columns do not name; expected columns: [{ path:" },
	{ "{\"name\":\"a\",\"mode\":\"strict\",\"columns\":[]}", "\"mode",
	  "mode: says what becomes of what columns do not name" },
	{ "{\"name\":\"a\",\"append_only\":\"yes\"}", "\"append_only", "expected true or false" },
	{ "{\"name\":\"a\",\"when\":\"x\"}", "\"when",
	  "expected a map of paths and what fits them, such as when: { type:" },
	{ "{\"name\":\"a\",\"when\":{}}", "\"when", "expected a map of paths" },
	{ "{\"name\":\"a\",\"when\":{\"b\":[]}}", "\"b", "expected a value that fits" },
	{ "{\"name\":\"a\",\"when\":{\"b\":{\"perfix\":\"x\"}}}", "\"perfix",
	  "expected one of prefix, suffix, exists, anything-but" },
	{ "{\"name\":\"a\",\"when\":{\"b\":{\"prefix\":5}}}", "\"prefix",
	  "expected a text for it" },
	{ "{\"name\":\"a\",\"when\":{\"b\":{\"exists\":1}}}", "\"exists",
	  "expected true or false" },
	{ "{\"name\":\"a\",\"when\":{\"b\":{\"anything-but\":{\"prefix\":\"x\"}}}}",
	  "\"anything-but", "expected values, such as { anything-but: [draft, test] }" },
	{ "{\"name\":\"a\",\"when\":{\"b[0]\":\"x\"}}", "\"b[0]",
	  "'b[0]': expected names with dots between" },
	{ "{\"name\":\"a\",\"columns\":{\"b\":\"string\"}}", "\"columns",
	  "expected a list of columns, such as columns: [{ path:" },
	{ "{\"name\":\"a\",\"columns\":[\"b\"]}", "\"b", "expected a column, such as { path:" },
	{ "{\"name\":\"a\",\"columns\":[{\"type\":\"any\"}]}", "{\"type",
	  "expected a column with a path" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\"}]}", "{\"path",
	  "expected a column with a type" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"text\"}]}", "\"type",
	  "type: expected one of string, number, integer, boolean, binary, list, map, string_set, "
	  "number_set, binary_set, set, any, such as { path:" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"any\",\"requierd\":true}]}",
	  "\"requierd", "a column has no 'requierd'; expected path, type, required or default" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"any\",\"required\":1}]}",
	  "\"required", "expected true or false for required" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b[*]\",\"type\":\"any\"}]}", "\"path",
	  "'b[*]': expected names with dots between such as address.town" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"any\"},{\"path\":\"b\",\"type\":"
	  "\"any\"}]}",
	  "\"path\":\"b\",\"type\":\"any\"}]}",
	  "'b' is there twice; a path has one column, such as { path:" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"string\"},{\"path\":\"b.c\","
	  "\"type\":\"any\"}]}",
	  "\"path\":\"b.c", "'b.c': 'b' is no map; expected for it { path: b, type: map }" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b.c\",\"type\":\"any\"},{\"path\":\"b\","
	  "\"type\":\"string\"}]}",
	  "\"type\":\"string", "'b': expected a map, as it has columns, such as { path:" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"string\",\"default\":5}]}",
	  "\"default", "default: expected a string, as the column is one, such as default: open" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"boolean\",\"default\":5}]}",
	  "\"default",
	  "default: expected a boolean, as the column is one, such as default: false" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"list\",\"default\":5}]}",
	  "\"default", "default: a list has none; a text, number or boolean has, such as { path:" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"integer\",\"default\":0.5}]}",
	  "\"default", "default: expected an integer, such as default: 0" },
	{ "{\"name\":\"a\",\"columns\":[{\"path\":\"b\",\"type\":\"map\",\"default\":{}}]}",
	  "\"default", "expected a text, number, true or false for default" },
};

static void what_is_wrong_is_told_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const struct str both[] = { STR("{\"name\":\"first\",\"when\":{\"a\":1}}"),
					    str_of(wrong[i].definition) };
		struct error err = { 0 };
		size_t at = SIZE_MAX;

		if (schemas_check(both, 2, &at, &err))
			fail_msg("%s is taken", wrong[i].definition);
		if (err.kind != ERROR_INVALID ||
		    strncmp(err.message, wrong[i].message, strlen(wrong[i].message)) != 0)
			fail_msg("%s:\n%s\nexpected\n%s", wrong[i].definition, err.message,
				 wrong[i].message);
		assert_true(at <= both[1].n);
		if (strncmp(both[1].p + at, wrong[i].at, strlen(wrong[i].at)) != 0)
			fail_msg("%s: at %s", wrong[i].definition, both[1].p + at);
	}
}

static void one_that_is_never_reached_is_refused(void **state)
{
	const struct str both[] = { STR("{\"name\":\"all\"}"), STR("{\"name\":\"none\"}") };
	struct error err = { 0 };
	size_t at;

	(void)state;
	assert_true(schemas_check(both, 1, &at, &err));
	assert_false(schemas_check(both, 2, &at, &err));
	assert_non_null(strstr(err.message, "it is never reached: schema 'all' before it has no "
					    "`when`, and fits every item"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_fit_is_told_with_its_attribute),
		cmocka_unit_test(conditions_ask_plain_values),
		cmocka_unit_test(the_first_that_fits_counts),
		cmocka_unit_test(deletes_pass_and_old_images_too),
		cmocka_unit_test(append_only_takes_no_change),
		cmocka_unit_test(what_is_missing_is_put_in),
		cmocka_unit_test(transforms_come_behind_defaults),
		cmocka_unit_test(rows_are_sorted_as_records_are),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(one_that_is_never_reached_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
