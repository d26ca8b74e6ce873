/* Scripts: what they see of a record, what becomes of what they write and return. */
#include "tests/unit/event/scripting.h"

#include "base/rng.h"
#include "event/number.h"
#include "tests/unit/event/random_trees.h"

/* Bodies of transform(event), a new image, and what it is then; both without their braces. */
struct becomes {
	const char *body, *item, *expected;
};

static const struct becomes values[] = {
	{ "return event", "\"b\":{\"N\":\"1.50\"},\"a\":{\"S\":\"x\"}",
	  "\"b\":{\"N\":\"1.50\"},\"a\":{\"S\":\"x\"}" },
	{ "event.new.t = event.new.a .. event.new.b return event",
	  "\"a\":{\"S\":\"\\u00e9\\\"\\n\"},\"b\":{\"S\":\"\\\\\"}",
	  "\"a\":{\"S\":\"\\u00e9\\\"\\n\"},\"b\":{\"S\":\"\\\\\"},\"t\":{\"S\":"
	  "\"é\\\"\\n\\\\\"}" },
	{ "event.new.s = \"a\\0b\" return event", "", "\"s\":{\"S\":\"a\\u0000b\"}" },
	{ "event.new.b = event.new.a event.new.a = nil return event", "\"a\":{\"N\":\"7\"}",
	  "\"b\":{\"N\":\"7\"}" },
	{ "event.new.a = event.new.a + 1 return event", "\"a\":{\"N\":\"41\"},\"z\":{\"N\":\"1\"}",
	  "\"a\":{\"N\":\"42\"},\"z\":{\"N\":\"1\"}" },
	{ "event.new.a = event.new.a * 2 return event", "\"a\":{\"N\":\"0.1\"}",
	  "\"a\":{\"N\":\"0.2\"}" },
	{ "event.new.a = 0.1 + 0.2 return event", "", "\"a\":{\"N\":\"0.30000000000000004\"}" },
	{ "event.new.a = 1e100 event.new.b = 3.0 event.new.c = -1e-7 return event", "",
	  "\"a\":{\"N\":\"1"
	  "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
	  "000000000000\"},\"b\":{\"N\":\"3\"},\"c\":{\"N\":\"-0.0000001\"}" },
	{ "event.new.a = math.mininteger return event", "",
	  "\"a\":{\"N\":\"-9223372036854775808\"}" },
	/* 38 digits are kept where they are copied, compared and printed. */
	{ "local n = event.new.a\n"
	  "assert(dynamodb.type(n) == \"N\" and n > 5 and n == n and n <= event.new.b)\n"
	  "assert(not (n < 12345678901234567) and -1 < n and not pcall(function() return n < \"x\" "
	  "end))\n"
	  "event.new.c = n event.new.d = tostring(n) event.new.e = \"<\" .. n .. \">\"\n"
	  "event.new.f = dynamodb.number_set{ n, 1 } return event",
	  "\"a\":{\"N\":\"12345678901234567890123456789012345678\"},"
	  "\"b\":{\"N\":\"12345678901234567890123456789012345678.0\"}",
	  "\"a\":{\"N\":\"12345678901234567890123456789012345678\"},"
	  "\"b\":{\"N\":\"12345678901234567890123456789012345678.0\"},"
	  "\"c\":{\"N\":\"12345678901234567890123456789012345678\"},"
	  "\"d\":{\"S\":\"12345678901234567890123456789012345678\"},"
	  "\"e\":{\"S\":\"<12345678901234567890123456789012345678>\"},"
	  "\"f\":{\"NS\":[\"12345678901234567890123456789012345678\",\"1\"]}" },
	{ "event.new.b = dynamodb.number(\"0.10000000000000000000000000000000000001\")\n"
	  "event.new.c = dynamodb.number(\"12\") + 1\n"
	  "event.new.d = tonumber(event.new.b) return event",
	  "",
	  "\"b\":{\"N\":\"0.10000000000000000000000000000000000001\"},\"c\":{\"N\":\"13\"},"
	  "\"d\":{\"N\":\"0.1\"}" },
	/* Each number has one kind. */
	{ "local n = event.new\n"
	  "assert(math.type(n.a) == \"integer\" and math.type(n.b) == \"integer\")\n"
	  "assert(math.type(n.c) == \"float\" and type(n.d) == \"userdata\" and n.a == n.b)\n"
	  "assert(n.e == 9223372036854775807 and math.type(n.f) == \"float\")\n"
	  "assert(n.g == 0 and n.h == -12) n.a, n.b = n.c, n.e return { new = { x = n.h } }",
	  "\"a\":{\"N\":\"5\"},\"b\":{\"N\":\"5.0\"},\"c\":{\"N\":\"5.5\"},\"d\":{\"N\":"
	  "\"1234567890.1234567890\"},\"e\":{\"N\":\"9223372036854775807\"},\"f\":{\"N\":\"1E-"
	  "130\"},"
	  "\"g\":{\"N\":\"-0\"},\"h\":{\"N\":\"-1.2E1\"}",
	  "\"x\":{\"N\":\"-12\"}" },
	{ "assert(event.new.a == true and event.new.n == null and event.new.x == nil)\n"
	  "event.new.b = not event.new.a event.new.c = null return event",
	  "\"a\":{\"BOOL\":true},\"n\":{\"NULL\":true}",
	  "\"a\":{\"BOOL\":true},\"n\":{\"NULL\":true},\"b\":{\"BOOL\":false},\"c\":{\"NULL\":"
	  "true}" },
	{ "local b = event.new.b\n"
	  "assert(#b == 4 and tostring(b) == \"\\0\\1\\2\\255\" and b == "
	  "dynamodb.binary(tostring(b)))\n"
	  "assert(dynamodb.type(b) == \"B\" and dynamodb.type(\"x\") == \"S\")\n"
	  "event.new.c = b event.new.d = dynamodb.binary(\"hi\") event.new.e = "
	  "dynamodb.binary(\"\")\n"
	  "return event",
	  "\"b\":{\"B\":\"AAEC\\/w==\"}",
	  "\"b\":{\"B\":\"AAEC\\/w==\"},\"c\":{\"B\":\"AAEC/w==\"},\"d\":{\"B\":\"aGk=\"},"
	  "\"e\":{\"B\":\"\"}" },
	{ "local s = event.new.s\n"
	  "assert(#s == 2 and s[1] == \"a\" and s[3] == nil and s:has(\"b\") and not "
	  "s:has(\"c\"))\n"
	  "assert(dynamodb.type(s) == \"SS\" and event.new.n:has(10) and event.new.n[2] == 2.5)\n"
	  "local list = s:list() list[#list + 1] = \"\\\"q\" event.new.s = "
	  "dynamodb.string_set(list)\n"
	  "event.new.t = dynamodb.binary_set{ event.new.b[1], dynamodb.binary(\"x\") } return "
	  "event",
	  "\"s\":{\"SS\":[\"a\",\"b\"]},\"n\":{\"NS\":[\"1E1\",\"2.5\"]},\"b\":{\"BS\":[\"aGk=\"]}",
	  "\"s\":{\"SS\":[\"a\",\"b\",\"\\\"q\"]},\"n\":{\"NS\":[\"1E1\",\"2.5\"]},\"b\":{\"BS\":["
	  "\"aGk=\"]},\"t\":{\"BS\":[\"aGk=\",\"eA==\"]}" },
	/* Maps and lists are changed where they are. */
	{ "event.new.m.x.y = 2 event.new.m.z = { q = { 1, \"a\" }, a = {}, l = dynamodb.list() }\n"
	  "return event",
	  "\"m\":{\"M\":{\"x\":{\"M\":{\"y\":{\"N\":\"1\"},\"k\":{\"S\":\"v\"}}}}},\"e\":{\"M\":{}"
	  "}",
	  "\"m\":{\"M\":{\"x\":{\"M\":{\"y\":{\"N\":\"2\"},\"k\":{\"S\":\"v\"}}},\"z\":{\"M\":{"
	  "\"a\":{"
	  "\"M\":{}},\"l\":{\"L\":[]},\"q\":{\"L\":[{\"N\":\"1\"},{\"S\":\"a\"}]}}}}},\"e\":{\"M\":"
	  "{}}" },
	{ "local l = event.new.l\n"
	  "assert(#l == 3 and l[2] == \"b\" and l[4] == nil and l[0] == nil and #event.new == 1)\n"
	  "l[2] = 5 l[#l + 1] = true table.insert(l, 1, \"first\") table.remove(l, 2)\n"
	  "l[#l] = nil return event",
	  "\"l\":{\"L\":[{\"S\":\"a\"},{\"S\":\"b\"},{\"N\":\"3.0\"}]}",
	  "\"l\":{\"L\":[{\"S\":\"first\"},{\"N\":\"5\"},{\"N\":\"3\"}]}" },
	{ "local t = {} for i, v in ipairs(event.new.l) do t[i] = v end\n"
	  "for i, v in pairs(event.new.l) do assert(t[i] == v) end\n"
	  "event.new.t = table.concat(t, \"-\") .. table.concat(event.new.l) return event",
	  "\"l\":{\"L\":[{\"N\":\"1\"},{\"S\":\"b\"}]}",
	  "\"l\":{\"L\":[{\"N\":\"1\"},{\"S\":\"b\"}]},\"t\":{\"S\":\"1-b1b\"}" },
	{ "local all = \"\" for k, v in pairs(event.new) do all = all .. k .. \"=\" .. tostring(v) "
	  ".. \";\"\n"
	  "event.new[k] = nil end event.new.all = all return event",
	  "\"z\":{\"N\":\"1\"},\"a\\u0022\":{\"S\":\"2\"},\"m\":{\"BOOL\":false}",
	  "\"all\":{\"S\":\"z=1;a\\\"=2;m=false;\"}" },
	/* A value that is copied is another one. */
	{ "event.new.b = event.new.a event.new.b.x = 2 event.new.c = { event.new.a }\n"
	  "event.new.a.x = 3 return event",
	  "\"a\":{\"M\":{\"x\":{\"N\":\"1\"}}}",
	  "\"a\":{\"M\":{\"x\":{\"N\":\"3\"}}},\"b\":{\"M\":{\"x\":{\"N\":\"2\"}}},\"c\":{\"L\":[{"
	  "\"M\":{"
	  "\"x\":{\"N\":\"1\"}}}]}" },
	{ "local a = event.new.a event.new.a = 1 a.x = 2 return event",
	  "\"a\":{\"M\":{\"x\":{\"N\":\"1\"}}}", "\"a\":{\"N\":\"1\"}" },
	{ "event.new = { b = 1, a = event.new.a } return event", "\"a\":{\"N\":\"1.0\"}",
	  "\"a\":{\"N\":\"1\"},\"b\":{\"N\":\"1\"}" },
	{ "event.new = event.new.m return event", "\"m\":{\"M\":{\"x\":{\"N\":\"1.0\"}}}",
	  "\"x\":{\"N\":\"1.0\"}" },
	{ "return copy(event)", "\"a\":{\"N\":\"1.0\"},\"m\":{\"M\":{\"x\":{\"N\":\"1.0\"}}}",
	  "\"a\":{\"N\":\"1.0\"},\"m\":{\"M\":{\"x\":{\"N\":\"1.0\"}}}" },
	{ "assert(event.new == event.new and event.new ~= event.old)\n"
	  "assert(event.op == \"u\" and event.ts == 1763700000000 and event.ttl == false)\n"
	  "assert(event.sequence == \"111111111111111111111\" and event.table == "
	  "\"orders-table\")\n"
	  "assert(event.stream == \"orders\" and event.keys.pk == \"k\" and event.keys.sk == 1)\n"
	  "assert(event.old.a == 1 and dynamodb.type(event.new) == \"M\")",
	  "\"a\":{\"N\":\"1.0\"}", NULL },
	{ "return false", "\"a\":{\"N\":\"1.0\"}", NULL },
	{ "return {}", "\"a\":{\"N\":\"1.0\"}", NULL },
	{ "local ok, why = pcall(function() event.new.a = pairs end)\n"
	  "assert(not ok) event.new.why = why return event",
	  "", "\"why\":{\"S\":\"script.lua:2: a function cannot be an attribute's value\"}" },
	{ "event.new[\"a\\\"b\"] = (event.new[\"a\\\"b\"] or 0) + 1 return event",
	  "\"a\\u0022b\":{\"N\":\"1\"}", "\"a\\\"b\":{\"N\":\"2\"}" },
};

static void check_value(const struct becomes *c)
{
	AUTO(transform) struct transform *t = scripting(c->body);
	AUTO(batch) struct batch *b = NULL;
	char *item = NULL, *expected = NULL;

	assert_true(asprintf(&item, "{%s}", c->item) > 0);
	b = scripting_run(t, FORMAT_DYNAMODB, item, item);
	if (b->fault_count)
		fail_msg("%s\n%s", c->body, b->faults[0].error);
	if (!c->expected) {
		assert_null(b->payloads[0][0].p);
	} else {
		assert_true(asprintf(&expected, "\"NewImage\":{%s},\"SequenceNumber\"",
				     c->expected) > 0);
		if (!b->payloads[0][0].p || !decoding_has(b->payloads[0][0], expected))
			fail_msg("%s\n%.*s\nexpected\n%s", c->body, STR_ARG(b->payloads[0][0]),
				 expected);
	}
	free(item);
	free(expected);
}

static void values_are_read_and_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		check_value(&values[i]);
}

/* ---- random records ---- */

static const char rebuild[] = "local function again(v)\n"
			      "  local t = dynamodb.type(v)\n"
			      "  if t == \"M\" then\n"
			      "    local map = dynamodb.map()\n"
			      "    for k, x in pairs(v) do map[k] = again(x) end\n"
			      "    return map\n"
			      "  elseif t == \"L\" then\n"
			      "    local list = dynamodb.list()\n"
			      "    for i, x in ipairs(v) do list[i] = again(x) end\n"
			      "    return list\n"
			      "  elseif t == \"SS\" then return dynamodb.string_set(v:list())\n"
			      "  elseif t == \"NS\" then return dynamodb.number_set(v:list())\n"
			      "  elseif t == \"B\" then return dynamodb.binary(tostring(v))\n"
			      "  end\n"
			      "  return v\n"
			      "end\n"
			      "function transform(event)\n"
			      "  event.new = again(event.new)\n"
			      "  return event\n"
			      "end\n";

/* Each number in its one spelling. */
static void same_spelling(json_t *v, bool number)
{
	char digits[NUMBER_CANONICAL_MAX + SCAN_PADDING];
	const char *name;
	json_t *child;
	size_t i;

	if (json_is_object(v))
		json_object_foreach(v, name, child)
		{
			/* Maps have such names, too. */
			bool is = (!strcmp(name, "N") || !strcmp(name, "NS")) &&
				  json_object_size(v) == 1 && !json_is_object(child);

			same_spelling(child, is);
		}
	if (json_is_array(v))
		json_array_foreach(v, i, child) same_spelling(child, number);
	if (json_is_string(v) && number) {
		char padded[256] = "";

		snprintf(padded, sizeof(padded), "%s", json_string_value(v));
		*number_canonical(padded, digits).out = '\0';
		json_string_set(v, digits);
	}
}

/* Of payloads in the `dynamodb` form. */
static void assert_same_items(struct str a, struct str b)
{
	json_t *x = json_loadb(a.p, a.n, JSON_ALLOW_NUL, NULL);
	json_t *y = json_loadb(b.p, b.n, JSON_ALLOW_NUL, NULL);

	assert_non_null(x);
	assert_non_null(y);
	same_spelling(x, false);
	same_spelling(y, false);
	if (!json_equal(x, y))
		fail_msg("%.*s\nbecame\n%.*s", STR_ARG(a), STR_ARG(b));
	json_decref(x);
	json_decref(y);
}

/* Sets of random values may have an element twice, which no set of DynamoDB's has. */
static bool has_sets(const char *item)
{
	return strstr(item, "\"SS\"") || strstr(item, "\"NS\"") || strstr(item, "\"BS\"");
}

static void what_is_not_touched_stays_bit_for_bit(void **state)
{
	AUTO(transform) struct transform *same = scripting("return event");
	AUTO(transform)
	struct transform *copied = scripting("event.new = copy(event.new) return copy(event)");
	AUTO(transform) struct transform *again = scripting_with(rebuild, "");
	static const enum event_format formats[] = { FORMAT_DEBEZIUM, FORMAT_PLAIN,
						     FORMAT_DYNAMODB };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 7);
	for (unsigned i = 0; i < 3000; i++) {
		json_t *trees[2] = { random_item(&rng, 0), random_item(&rng, 0) };
		char *new_image = json_dumps(trees[0], JSON_COMPACT);
		char *old_image = json_dumps(trees[1], i % 3 ? JSON_COMPACT : 0);
		enum event_format format = formats[i % 3];
		AUTO(batch) struct batch *b = scripting_run(NULL, format, new_image, old_image);
		AUTO(batch) struct batch *x = scripting_run(same, format, new_image, old_image);
		AUTO(batch) struct batch *y = scripting_run(copied, format, new_image, old_image);

		assert_int_equal(x->fault_count, 0);
		assert_int_equal(y->fault_count, 0);
		if (!str_equal(b->payloads[0][0], x->payloads[0][0]) ||
		    !str_equal(b->payloads[0][0], y->payloads[0][0]))
			fail_msg("%.*s\nbecame\n%.*s\n%.*s", STR_ARG(b->payloads[0][0]),
				 STR_ARG(x->payloads[0][0]), STR_ARG(y->payloads[0][0]));
		if (format == FORMAT_DYNAMODB && !has_sets(new_image)) {
			AUTO(batch)
			struct batch *z = scripting_run(again, format, new_image, old_image);

			if (z->fault_count)
				fail_msg("%s\n%s", new_image, z->faults[0].error);
			assert_same_items(b->payloads[0][0], z->payloads[0][0]);
		}
		free(new_image);
		free(old_image);
		json_decref(trees[0]);
		json_decref(trees[1]);
	}
}

/* ---- several events, and none ---- */

static void assert_payload(const struct batch *b, const char *expected)
{
	if (b->fault_count)
		fail_msg("%s", b->faults[0].error);
	if (!b->payloads[0][0].p || !str_equal(b->payloads[0][0], str_of(expected)))
		fail_msg("%.*s\nexpected\n%s", STR_ARG(b->payloads[0][0]), expected);
}

#define PLAIN_TAIL                                                                                 \
	"\"_op\":\"u\",\"_ts\":1763700000000,\"_seq\":\"111111111111111111111\",\"_gen\":7,"       \
	"\"_order\":\"0000000007-0000000000000000000111111111111111111111\""

static void several_events_say_which_they_are(void **state)
{
	AUTO(transform)
	struct transform *t = scripting("local all = {}\n"
					"for i, line in ipairs(event.new.lines) do\n"
					"  all[i] = { new = { line = line, _part = i } }\n"
					"end\n"
					"return all");
	const char *item = "{\"lines\":{\"L\":[{\"S\":\"a\"},{\"M\":{\"x\":{\"N\":\"1.0\"}}}]}}";
	AUTO(batch) struct batch *plain = scripting_run(t, FORMAT_PLAIN, item, item);
	AUTO(batch) struct batch *debezium = scripting_run(t, FORMAT_DEBEZIUM, item, item);
	AUTO(batch) struct batch *dynamodb = scripting_run(t, FORMAT_DYNAMODB, item, item);

	(void)state;
	assert_payload(plain, "{\"__part\":1,\"line\":\"a\"," PLAIN_TAIL ",\"_part\":1}\n"
			      "{\"__part\":2,\"line\":{\"x\":1.0}," PLAIN_TAIL ",\"_part\":2}");
	assert_true(plain->several);
	assert_int_equal(plain->count, 1);
	assert_true(
		decoding_has(debezium->payloads[0][0],
			     "{\"before\":{\"lines\":[\"a\",{\"x\":1.0}]},\"after\":{\"_part\":1,"
			     "\"line\":\"a\"},\"source\":{"));
	assert_true(
		decoding_has(debezium->payloads[0][0], ",\"ttl\":false,\"part\":1},\"op\":\"u\""));
	assert_true(
		decoding_has(debezium->payloads[0][0], ",\"ttl\":false,\"part\":2},\"op\":\"u\""));
	assert_true(decoding_has(dynamodb->payloads[0][0],
				 "\",\"sluice\":{\"part\":1}}\n{\"eventID\""));
	assert_true(decoding_has(dynamodb->payloads[0][0], "\"sluice\":{\"part\":2}}"));
}

/* Whichever way they are returned; none shares what it has with another. */
static void each_way_to_return_events(void **state)
{
	static const char *const bodies[] = {
		"return event, { new = { a = 2 } }",
		"return { event, { new = { a = 2 } } }",
		"local two = copy(event) two.new.a = 2 return event, nil, { two }",
		"local b = copy(event.new) b.a = 2 return { { new = event.new }, { new = b } }",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		AUTO(transform) struct transform *t = scripting(bodies[i]);
		AUTO(batch)
		struct batch *b = scripting_run(t, FORMAT_PLAIN, "{\"a\":{\"N\":\"1\"}}", "{}");

		assert_payload(b, "{\"a\":1," PLAIN_TAIL ",\"_part\":1}\n"
				  "{\"a\":2," PLAIN_TAIL ",\"_part\":2}");
	}
}

/* Other steps before, between and behind. */
static void steps_go_on_with_each_event(void **state)
{
	struct scripting_file f[2] = {
		scripting_write("one.lua", STR("function transform(event) return event, "
					       "copy(event), { new = { a = event.new.a } } end")),
		scripting_write("two.lua", STR("function transform(event)\n"
					       "event.new.b = event.new.a return event end")),
	};
	char scripts[2][128];
	AUTO(transform) struct transform *t = NULL;
	AUTO(batch) struct batch *b = NULL;
	struct str definitions[5];
	struct error err = { 0 };

	(void)state;
	snprintf(scripts[0], sizeof(scripts[0]), "{\"lua\":\"%s\"}", f[0].path);
	snprintf(scripts[1], sizeof(scripts[1]), "{\"lua\":{\"file\":\"%s\"}}", f[1].path);
	definitions[0] = STR("{\"rename\":{\"x\":\"a\"}}");
	definitions[1] = str_of(scripts[0]);
	definitions[2] = STR("{\"cast\":{\"a\":\"string\"}}");
	definitions[3] = str_of(scripts[1]);
	definitions[4] = STR("{\"set\":{\"c\":\"${attribute:b}!\"}}");
	t = transform_new(definitions, 5, &err);
	if (!t)
		fail_msg("%s", err.message);
	b = scripting_run(t, FORMAT_PLAIN, "{\"x\":{\"N\":\"1\"}}", "{}");
#define ONE "{\"a\":\"1\",\"b\":\"1\",\"c\":\"1!\"," PLAIN_TAIL
	assert_payload(b, ONE ",\"_part\":1}\n" ONE ",\"_part\":2}\n" ONE ",\"_part\":3}");
	scripting_remove(&f[0]);
	scripting_remove(&f[1]);
}

/* A script sees old image and keys whatever the form shows, after the steps before it. */
static void a_script_sees_the_whole_record(void **state)
{
	AUTO(transform)
	struct transform *t = scripting("assert(event.new == nil and event.old.a == 1)\n"
					"event.keys.was = event.old.a return event");
	AUTO(batch) struct batch *b = scripting_run(t, FORMAT_PLAIN, NULL, "{\"a\":{\"N\":\"1\"}}");

	(void)state;
	assert_payload(
		b, "{\"pk\":\"k\",\"sk\":1,\"was\":1,\"_op\":\"d\",\"_ts\":1763700000000,\"_seq\":"
		   "\"111111111111111111111\",\"_gen\":7,\"_order\":"
		   "\"0000000007-0000000000000000000111111111111111111111\"}");
	assert_true(str_equal(b->events[0].key, STR("{\"pk\":\"k\",\"sk\":1}")));
}

/* ---- faults ---- */

static void faults_name_the_line(void **state)
{
	static const struct {
		const char *body, *error, *label;
	} cases[] = {
		{ "return event.nothing.at",
		  "script.lua:2: attempt to index a nil value (field 'nothing')", "error" },
		{ "\nerror(\"bad: \" .. event.new.a)", "script.lua:3: bad: x", "error" },
		{ "error({})", "script.lua: an error that is no text", "error" },
		{ "event.new.a = {} .. \"\"", "script.lua:2: attempt to concatenate a table",
		  "error" },
		{ "event.new.a = 0/0 return event", "script.lua:2: -nan is no number that DynamoDB",
		  "error" },
		{ "event.new.a = 1e126 return event", "is no number that DynamoDB can hold",
		  "error" },
		{ "event.new.a = \"\\xff\" return event",
		  "script.lua:2: a text is no UTF-8; dynamodb.binary", "error" },
		{ "event.new[\"\"] = 1", "script.lua:2: an attribute needs a name", "error" },
		{ "event.new[1] = 1", "script.lua:2: an attribute's name is a text, not a number",
		  "error" },
		{ "event.new.a = { 1, x = 2 }", "a map of names or a list, not both", "error" },
		{ "event.new.a = { 1, nil, 3 } return event", "a list without holes", "error" },
		{ "local t = {} t.t = t event.new.a = t",
		  "at most 32 maps and lists inside each other", "error" },
		{ "event.new.a = dynamodb.string_set{}", "a set has at least one element",
		  "error" },
		{ "event.new.a = dynamodb.number_set{ 1, 1.0 }", "a set has each element once",
		  "error" },
		{ "event.new.l[5] = 1",
		  "a list has no holes: its elements are 1 to 1, and a new one", "error" },
		{ "event.new.s[1] = 1", "a set is replaced as a whole", "error" },
		{ "return event.new.n + 1", "a decimal has more digits than Lua's numbers",
		  "error" },
		{ "event.op = \"d\" return event", "script.lua: event.op cannot be another one",
		  "result" },
		{ "return { new = {}, sequence = \"1\" }", "event.sequence cannot be another one",
		  "result" },
		{ "return 5", "script.lua: transform returned a number: expected an event",
		  "result" },
		{ "return { 5 }", "a list whose element 1 is no event", "result" },
		{ "return { new = 5 }", "event.new is a map of attributes, not a number",
		  "result" },
		{ "return { new = { 1 } }", "event.new is a map of attributes, not a list",
		  "result" },
		{ "return { new = event.new.l }", "event.new is a map of attributes, not a list",
		  "result" },
		{ "event.old = {} return event", "event.old cannot be set: the record has none",
		  "result" },
		{ "local all = {} for i = 1, 1001 do all[i] = { new = {} } end return all",
		  "more than 1000 events of one", "result" },
		{ "return { new = { a = pairs } }", "a function cannot be an attribute's value",
		  "result" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(transform) struct transform *t = scripting(cases[i].body);
		AUTO(batch)
		struct batch *b = scripting_run(
			t, FORMAT_DEBEZIUM,
			"{\"a\":{\"S\":\"x\"},\"l\":{\"L\":[{\"S\":\"y\"}]},\"s\":{\"SS\":[\"z\"]},"
			"\"n\":{\"N\":\"1234567890.1234567890\"}}",
			NULL);

		if (b->fault_count != 1)
			fail_msg("%s: no fault: %.*s", cases[i].body, STR_ARG(b->payloads[0][0]));
		if (!strstr(b->faults[0].error, cases[i].error) ||
		    strncmp(b->faults[0].error, "lua: ", 5) != 0)
			fail_msg("%s: %s\nexpected %s", cases[i].body, b->faults[0].error,
				 cases[i].error);
		assert_string_equal(b->faults[0].script, cases[i].label);
		assert_null(b->payloads[0][0].p);
	}
}

static void what_another_event_had_is_out_of_reach(void **state)
{
	AUTO(transform)
	struct transform *t = scripting_with("local kept\n"
					     "function transform(event)\n"
					     "  if kept then event.new.b = kept.a.x end\n"
					     "  kept = event.new\n"
					     "  return event\n"
					     "end",
					     "");
	const char *item = "{\"a\":{\"M\":{\"x\":{\"N\":\"1\"}}}}";
	AUTO(batch) struct batch *first = scripting_run(t, FORMAT_PLAIN, item, NULL);
	AUTO(batch) struct batch *second = scripting_run(t, FORMAT_PLAIN, item, NULL);

	(void)state;
	assert_int_equal(first->fault_count, 0);
	assert_int_equal(second->fault_count, 1);
	assert_non_null(
		strstr(second->faults[0].error, "script.lua:3: a map or list of another event"));
}

/* ---- definitions ---- */

static void wrong_scripts_are_refused(void **state)
{
	static const struct {
		const char *source, *settings, *error;
	} cases[] = {
		{ "function transform(event)\n  return event event\nend", "",
		  "lua: script.lua:2: 'end' expected (to close 'function' at line 1) near "
		  "'event'" },
		{ "x = 1", "",
		  "lua: script.lua: there is no function transform(event), such as: function "
		  "transform(event) return event end" },
		{ "transform = 5", "", "there is no function transform(event)" },
		{ "\nlocal x = y.z", "", "lua: script.lua:2: attempt to index a nil value" },
		{ "while true do end", "", "lua: script.lua:1: more than 100000 instructions" },
		{ "\x1bLua", "", "attempt to load a binary chunk (mode is 't')" },
		{ "", ",\"memory\":\"5\"", "lua: expected 1MiB to 1GiB for memory" },
		{ "", ",\"instructions\":10", "lua: expected 1000 to 100000000 for instructions" },
		{ "", ",\"memroy\":1",
		  "lua: no such setting: 'memroy'; there are file, lookup, "
		  "instructions, memory, such as { lua: {" },
		{ "", ",\"lookup\":{\"a\":\"/none/towns.csv\"}",
		  "lua: /none/towns.csv: cannot be read: No such file" },
		{ "", ",\"lookup\":{\"a\":\"/none/towns.txt\"}",
		  "expected a file .json or .csv, such as data/towns.csv" },
		{ "", ",\"lookup\":{\"a b\":\"x.csv\"}", "a name of letters and digits" },
		{ "", ",\"lookup\":[\"a\"]", "a map of at most 16 names and files" },
	};
	size_t at = 0;
	struct error err = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err = (struct error){ 0 };
		assert_null(scripting_try(str_of(cases[i].source), cases[i].settings, &err));
		if (!strstr(err.message, cases[i].error))
			fail_msg("%s%s: %s\nexpected %s", cases[i].source, cases[i].settings,
				 err.message, cases[i].error);
	}
	assert_false(transform_check(STR("{\"lua\": \"none.lua\"}"), &at, &err));
	assert_string_equal(err.message,
			    "lua: none.lua: cannot be read: No such file or directory; expected a "
			    "file such as scripts/orders.lua, from the folder that the program is "
			    "started in");
	assert_int_equal(at, 1);
	assert_false(transform_check(STR("{\"lua\": {\"lookup\": {}}}"), &at, &err));
	assert_non_null(strstr(err.message, "lua: expected a script's file, such as { lua: {"));
}

/* ---- lookups ---- */

static struct transform *with_lookup(const char *name, struct str table, const char *body,
				     struct error *err)
{
	struct scripting_file f = scripting_write(name, table);
	char settings[160], *source = NULL;
	struct transform *t;

	snprintf(settings, sizeof(settings), ",\"lookup\":{\"t\":\"%s\"}", f.path);
	assert_true(asprintf(&source, "function transform(event)\n%s\nend", body) > 0);
	t = scripting_try(str_of(source), settings, err);
	free(source);
	scripting_remove(&f);
	return t;
}

static void lookups_are_found(void **state)
{
	struct error err = { 0 };
	AUTO(transform)
	struct transform *json =
		with_lookup("t.json",
			    STR("{\"PT\": {\"name\": \"Portugal\", \"tax\": 0.23, \"big\": "
				"12345678901234567890123456789012345678, \"l\": [1, null]},\n"
				" \"7\": true, \"e\\u00e9\\\"\": \"x\"}"),
			    "local p = lookup.t[\"PT\"]\n"
			    "assert(p.name == \"Portugal\" and p.tax == 0.23 and p.l[2] == null)\n"
			    "assert(lookup.t[7] and lookup.t[\"e\xC3\xA9\\\"\"] == \"x\")\n"
			    "assert(lookup.t.none == nil and #lookup.t == 3)\n"
			    "p.name = \"X\" assert(lookup.t.PT.name == \"Portugal\")\n"
			    "assert(not pcall(function() lookup.t.PT = 1 end))\n"
			    "event.new.p = lookup.t.PT return event",
			    &err);
	AUTO(transform)
	struct transform *csv = with_lookup(
		"t.CSV",
		STR("\xEF\xBB\xBF"
		    "code,name,note\r\nPT,Porto,\"a, \"\"b\"\"\nc\"\r\n\r\nES,,x"),
		"assert(#lookup.t == 2 and lookup.t.ES.name == \"\")\n"
		"event.new.n = lookup.t.PT.note event.new.c = lookup.t.PT.code return event",
		&err);
	AUTO(batch) struct batch *a = NULL;
	AUTO(batch) struct batch *b = NULL;

	(void)state;
	if (!json || !csv)
		fail_msg("%s", err.message);
	a = scripting_run(json, FORMAT_PLAIN, "{}", "{}");
	assert_payload(a, "{\"p\":{\"name\":\"Portugal\",\"tax\":0.23,\"big\":"
			  "12345678901234567890123456789012345678,\"l\":[1,null]}," PLAIN_TAIL "}");
	b = scripting_run(csv, FORMAT_PLAIN, "{}", "{}");
	assert_payload(b, "{\"n\":\"a, \\\"b\\\"\\nc\",\"c\":\"PT\"," PLAIN_TAIL "}");
}

static void wrong_lookups_are_refused(void **state)
{
	static const struct {
		const char *name, *table, *error;
	} cases[] = {
		{ "t.json", "{\"a\": 1,\n \"b\": x}", "/t.json:2: not JSON: expected a value" },
		{ "t.json", "[1]", "/t.json:1: expected one JSON object" },
		{ "t.json", "{\"a\": 1}\n{}", "/t.json:1: expected one JSON object" },
		{ "t.json", "{\"a\": 1,\n\"a\": 1}", "/t.json:2: this name is there twice" },
		{ "t.json", "{\"a\":\n1,\"b\":1e200}", "/t.json:2: expected numbers of at most" },
		{ "t.csv", "", "/t.csv:1: expected a line with the columns' names" },
		{ "t.csv", "a,,b", "/t.csv:1: a column without a name; expected a line such as" },
		{ "t.csv", "a,b,a\n1,2,3",
		  "/t.csv:1: two columns have one name; expected a line such as zip,town" },
		{ "t.csv", "a,b\n1,2\n1", "/t.csv:3: another number of fields than columns" },
		{ "t.csv", "a,b\n1,2\n1,3", "/t.csv:3: the first column's text is there twice" },
		{ "t.csv", "a\n\"x", "/t.csv:2: a quote that does not end" },
		{ "t.csv", "a\n\"x\"y", "/t.csv:2: expected a comma behind the quote" },
		{ "t.csv", "a\n\xff", "/t.csv:2: a row that is no UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = { 0 };

		assert_null(with_lookup(cases[i].name, str_of(cases[i].table), "", &err));
		if (!strstr(err.message, cases[i].error))
			fail_msg("%s: %s\nexpected %s", cases[i].table, err.message,
				 cases[i].error);
	}
}

/* ---- documentation ---- */

/* Each script that the page shows does something with a record. */
static void the_scripts_of_the_documentation_work(void **state)
{
	static const char open[] = "```lua\n";
	unsigned scripts = 0;
	struct buf page;
	FILE *f = fopen("docs/scripts.md", "rb");
	char block[4096];
	size_t n;

	(void)state;
	assert_non_null(f);
	buf_init(&page, 0);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		assert_true(buf_add(&page, block, n));
	fclose(f);
	for (const char *p = page.data; (p = strstr(p, open)); scripts++) {
		char *source;
		AUTO(transform) struct transform *t = NULL;
		AUTO(batch) struct batch *b = NULL;

		p += sizeof(open) - 1;
		source = memory_text_n(p, (size_t)(strstr(p, "```") - p));
		t = scripting_with(source, "");
		b = scripting_run(
			t, FORMAT_PLAIN,
			"{\"pk\":{\"S\":\"k\"},\"zip\":{\"N\":\"1\"},\"tags\":{\"SS\":[\"vip\"]},"
			"\"lines\":{\"L\":[{\"M\":{\"sku\":{\"S\":\"a\"},\"price\":{\"N\":\"2.5\"},"
			"\"count\":{\"N\":\"2\"}}}]},\"payload\":{\"NULL\":true}}",
			"{}");
		if (b->fault_count || !b->payloads[0][0].p)
			fail_msg("%s\n%s", source, b->fault_count ? b->faults[0].error : "nothing");
		free(source);
	}
	assert_int_equal(scripts, 3);
	buf_release(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_read_and_written),
		cmocka_unit_test(what_is_not_touched_stays_bit_for_bit),
		cmocka_unit_test(several_events_say_which_they_are),
		cmocka_unit_test(each_way_to_return_events),
		cmocka_unit_test(steps_go_on_with_each_event),
		cmocka_unit_test(a_script_sees_the_whole_record),
		cmocka_unit_test(faults_name_the_line),
		cmocka_unit_test(what_another_event_had_is_out_of_reach),
		cmocka_unit_test(wrong_scripts_are_refused),
		cmocka_unit_test(lookups_are_found),
		cmocka_unit_test(wrong_lookups_are_refused),
		cmocka_unit_test(the_scripts_of_the_documentation_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
