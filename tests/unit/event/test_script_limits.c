/* What a script cannot do: reach out, run for ever, take all memory; and what is there behind it.
 */
#include "tests/unit/event/scripting.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <time.h>

#include "base/rng.h"

/* The fault of one record; NULL: there was none. */
static const char *fault_of(const struct transform *t, const char **label)
{
	static char error[600];
	AUTO(batch) struct batch *b = scripting_run(t, FORMAT_PLAIN, "{\"a\":{\"S\":\"x\"}}", "{}");

	if (b->fault_count == 0)
		return NULL;
	snprintf(error, sizeof(error), "%s", b->faults[0].error);
	if (label)
		*label = b->faults[0].script;
	return error;
}

/* ---- the sandbox ---- */

static void what_reaches_out_is_not_there(void **state)
{
	static const char *const absent[] = {
		"io",
		"os",
		"package",
		"debug",
		"coroutine",
		"require",
		"load",
		"loadstring",
		"loadfile",
		"dofile",
		"print",
		"warn",
		"collectgarbage",
		"xpcall",
		"string.dump",
		"string.pack",
		"string.unpack",
		"string.packsize",
		"table.move",
		"math.random",
		"math.randomseed",
		"os and os.getenv",
		"_G.io",
		"_ENV.os",
		"_G[\"load\"]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		char body[200];
		const char *fault;

		snprintf(body, sizeof(body), "assert(not (%s)) return event", absent[i]);
		{
			AUTO(transform) struct transform *t = scripting(body);

			fault = fault_of(t, NULL);
			if (fault)
				fail_msg("%s is there: %s", absent[i], fault);
		}
	}
}

static void known_ways_out_are_closed(void **state)
{
	static const char *const bodies[] = {
		/* Metatables that all values of a kind have. */
		"assert(getmetatable(\"\") == false)",
		"assert(not pcall(setmetatable, \"\", {}))",
		"assert(not pcall(setmetatable, event.new, {}))",
		"assert(getmetatable(event.new) == false and getmetatable(dynamodb.list()) == "
		"false)",
		"assert(getmetatable(lookup) == nil and getmetatable(null) == nil)",
		"assert(not pcall(setmetatable, dynamodb.list(), {}))",
		"assert(not pcall(rawset, event.new, \"a\", 1) and not pcall(rawget, event.new, "
		"\"a\"))",
		/* Finalizers run where nothing counts. */
		"assert(not pcall(setmetatable, {}, { __gc = function() while true do end end }))",
		"local mt = {} setmetatable({}, mt) mt.__gc = function() while true do end end\n"
		"for i = 1, 1000 do local t = {} end",
		/* A method with another's self. */
		"local s = dynamodb.string_set{ \"a\" }\n"
		"assert(not pcall(s.has, 1, 2) and not pcall(s.list, event.new) and not "
		"pcall(s.has))",
		"assert(not pcall(s_list, dynamodb.binary(\"x\")))",
		"assert(not pcall(function() return dynamodb.binary(\"x\") < 1 end))",
		"local d = dynamodb.number(\"1234567890.1234567890\")\n"
		"assert(not pcall(function() return d < {} end) and not pcall(function() return d "
		"+ 1 end))",
		"assert(d ~= 1 and not pcall(function() return #dynamodb.number(\"1\") end))",
		/* Other arguments than are meant. */
		"assert(not pcall(dynamodb.list, event.new) and not pcall(dynamodb.map, 1))",
		"assert(not pcall(dynamodb.number, {}) and not pcall(dynamodb.number, \"0x10\"))",
		"assert(not pcall(dynamodb.number, \"1e200\") and not pcall(dynamodb.number, "
		"(\"1\"):rep(300)))",
		"assert(not pcall(dynamodb.binary) and not pcall(dynamodb.binary_set, { \"x\" }))",
		"assert(not pcall(copy) and copy(1) == 1 and dynamodb.type(pairs) == nil)",
		"assert(not pcall(next, event.new) and #lookup == 0)",
		"assert(not pcall(string.rep))",
		"assert((\"\"):rep(1e15) == \"\" and (\"x\"):rep(-1) == \"\" and (\"a\"):rep(2, "
		"\",\") == \"a,a\")",
		"assert(not pcall(table.unpack, {}, 1, 1e8) and not pcall(table.unpack, {}, -1e18, "
		"1e18))",
		"assert(not pcall(table.concat, {}, \"\", 1, 1e15))",
		"assert(not pcall(string.format, \"%d\", \"x\") and (\"%5.1f\"):format(1.25) == \" "
		" 1.2\")",
		"_G.transform = nil _ENV = nil",
		"local t = {} for i = 1, 190 do t = { t } end assert(not pcall(function() "
		"event.new.a = t end))",
		"event.new = nil event.old = nil event.keys = nil return event",
		"local t = setmetatable({}, { __index = event.new }) assert(t.a == \"x\")",
		"local t = setmetatable({}, { __pairs = event.new }) assert(not pcall(pairs, t))",
		"for i = 1, 40 do event.new.m = { event.new.m } end",
		"string.find = nil assert((\"x\").find == nil)",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		AUTO(transform) struct transform *t = scripting(bodies[i]);
		const char *fault = fault_of(t, NULL);

		/* Deep values are refused, and nothing else of these fails. */
		if (fault && !strstr(fault, "at most 32 maps and lists"))
			fail_msg("%s\n%s", bodies[i], fault);
	}
}

/* ---- limits ---- */

struct endless {
	const char *body, *error, *label;
};

#define STEPS "more than 100000 instructions an event"
#define BYTES "more memory than 2 MiB"

static const struct endless loops[] = {
	{ "while true do end", "script.lua:2: " STEPS, "instructions" },
	{ "while true do pcall(function() while true do end end) end", STEPS, "instructions" },
	{ "while true do pcall(error) end", STEPS, "instructions" },
	{ "local function f() return f() end f()", STEPS, "instructions" },
	{ "local function f() pcall(f) f() end f()", NULL, "" },
	{ "local x <close> = setmetatable({}, { __close = function() while true do end end }) "
	  "while true do end",
	  STEPS, "instructions" },
	{ "setmetatable({}, { __index = function(t, k) return t[k + 1] end })[1] = nil\n"
	  "local t = setmetatable({}, { __index = function(t, k) while true do end end }) return "
	  "t.x",
	  STEPS, "instructions" },
	{ "for s in (\"x\"):gmatch(\"\") do end while true do (\"x\"):find(\"y\") end", STEPS,
	  "instructions" },
	/* Patterns that take for ever. */
	{ "(\"a\"):rep(3000):find((\"a*\"):rep(30) .. \"b\")", "script.lua:2: " STEPS,
	  "instructions" },
	{ "(\"a\"):rep(100000):match(\".-.-.-.-b\")", STEPS, "instructions" },
	{ "(\"(\"):rep(100000):find(\"%b()\")", STEPS, "instructions" },
	{ "(\"a\"):rep(100000):gsub(\"a-b\", \"\")", STEPS, "instructions" },
	{ "for x in (\"a\"):rep(100000):gmatch(\"a*b\") do end", STEPS, "instructions" },
	{ "local s = (\"a\"):rep(100000) while true do s:find(\"b\", 1, true) end", STEPS,
	  "instructions" },
	/* Much work in one call. */
	{ "local s = (\"a\"):rep(50) for i = 1, 13 do s = s .. s end while true do local t = s .. "
	  "\"x\" end",
	  STEPS, "instructions" },
	{ "local t = {} for i = 1, 5000 do t[i] = i end while true do table.sort(t) end", STEPS,
	  "instructions" },
	{ "local t = {} while true do table.insert(t, 1, 0) end", STEPS, "instructions" },
	{ "local s = (\"1\"):rep(500000) while true do tonumber(s) end", STEPS, "instructions" },
	{ "local s = (\"a\"):rep(9000) while true do local x = { s:byte(1, -1) } end", STEPS,
	  "instructions" },
	{ "local s = (\"a\"):rep(500000) while true do utf8.len(s) end", STEPS, "instructions" },
	{ "while true do event.new.x = { event.new.a } end", NULL, "" },
	{ "for i = 1, 1e9 do event.new[\"x\" .. i] = i end", NULL, "" },
	{ "while true do event.new.l = event.new.l or dynamodb.list() event.new.l[#event.new.l + "
	  "1] = 1 "
	  "end",
	  NULL, "" },
	/* Memory. */
	{ "local t, s = {}, (\"x\"):rep(9999) while true do t[#t + 1] = s .. #t end",
	  "script.lua:2: " BYTES, "memory" },
	{ "local s = \"x\" while true do s = s .. s end", BYTES, "memory" },
	{ "local s = (\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"):rep(50000) .. "
	  "(\"yyyyyyyyyyyyyyyyyyyy\"):rep(50000)",
	  BYTES, "memory" },
	{ "local s = (\"x\"):rep(100000000)", "script.lua:2: " BYTES, "memory" },
	{ "while true do pcall(string.rep, \"x\", 1e15) end", BYTES, "memory" },
	{ "local t, s = {}, (\"x\"):rep(9999)\n"
	  "while true do pcall(function() while true do t[#t + 1] = s .. #t end end) end",
	  BYTES, "memory" },
	{ "kept = kept or {} for i = 1, 3000 do kept[#kept + 1] = { i } end", NULL, "" },
	{ "local function f(...) return f(1, ...) end f()", NULL, "" },
};

static void what_takes_too_much_is_stopped(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		char *source = NULL;
		const char *fault, *label = "";

		/* Whatever one event did, the next one is as if nothing had been. */
		assert_true(asprintf(&source,
				     "function transform(event)\n"
				     "if event.new.a == \"x\" then %s end\n"
				     "event.new.fine = 1 return event end",
				     loops[i].body) > 0);
		AUTO(transform)
		struct transform *t = scripting_with(source, ",\"memory\":\"2MiB\"");
		for (int again = 0; again < 3; again++) {
			AUTO(batch) struct batch *b = NULL;

			fault = fault_of(t, &label);
			if (loops[i].error && (!fault || !strstr(fault, loops[i].error) ||
					       strcmp(label, loops[i].label) != 0))
				fail_msg("%s\n%s (%s)", loops[i].body, fault ? fault : "no fault",
					 label);
			b = scripting_run(t, FORMAT_PLAIN, "{\"a\":{\"S\":\"y\"}}", "{}");
			if (b->fault_count || !decoding_has(b->payloads[0][0], "\"fine\":1"))
				fail_msg("%s\nand then: %s", loops[i].body,
					 b->fault_count ? b->faults[0].error : b->payloads[0][0].p);
		}
		free(source);
	}
}

/* What one event leaves grows until the limit; then the state is a new one. */
static void what_is_kept_counts_until_the_state_is_new(void **state)
{
	AUTO(transform)
	struct transform *t = scripting_with("local kept = {}\n"
					     "function transform(event)\n"
					     "  for i = 1, 1000 do kept[#kept + 1] = { i } end\n"
					     "  return event\n"
					     "end",
					     ",\"memory\":\"1MiB\"");
	unsigned faults = 0, first = 0;
	const char *label;

	(void)state;
	for (unsigned i = 1; i <= 100; i++)
		if (fault_of(t, &label)) {
			assert_string_equal(label, "memory");
			first = first ? first : i;
			faults++;
		}
	assert_in_range(first, 5, 30);
	assert_in_range(faults, 100 / first - 2, 100 / first + 2);
}

/* ---- patterns ---- */

static const char compare_source[] =
	"local function all(...) local n = select(\"#\", ...) local t = { ... }\n"
	"  for i = 1, n do t[i] = tostring(t[i]) end return table.concat(t, \"|\") end\n"
	"function work(p, s)\n"
	"  local out = {}\n"
	"  local function try(f, ...) out[#out + 1] = all(pcall(f, ...)) end\n"
	"  try(string.find, s, p) try(string.match, s, p) try(string.find, s, p, 2)\n"
	"  try(string.match, s, p, -2) try(string.find, s, p, 1, true) try(string.find, s, p, 9)\n"
	"  try(string.gsub, s, p, \"<%0>\") try(string.gsub, s, p, \"%1\", 2)\n"
	"  try(string.gsub, s, p, function(a, b) return b end)\n"
	"  try(string.gsub, s, p, { a = \"T\", b = false })\n"
	"  try(function() local r = {} for a, b in s:gmatch(p) do r[#r + 1] = all(a, b) end\n"
	"    return table.concat(r, \";\") end)\n"
	"  return table.concat(out, \"\\n\")\n"
	"end\n"
	"function transform(event) event.new.out = work(event.new.p, event.new.s) return event "
	"end\n";

static void random_pattern(struct rng *r, char *out, size_t size)
{
	static const char *const pieces[] = { "a",    "b",      ".",      "%a",    "%d", "%s", "%S",
					      "[ab]", "[^a]",   "[a-c]",  "[%d_]", "*",  "+",  "-",
					      "?",    "(",      ")",      "()",    "^",  "$",  "%1",
					      "%b()", "%f[%a]", "%",      "[",     "]",  "%%", "%2",
					      "%w",   "[]]",    "[^]a-]", "é" };
	size_t n = 0;

	*out = '\0';
	for (uint64_t count = rng_below(r, 7); count > 0; count--)
		n += (size_t)snprintf(out + n, size - n, "%s",
				      pieces[rng_below(r, sizeof(pieces) / sizeof(pieces[0]))]);
}

static void random_text(struct rng *r, char *out, size_t size)
{
	static const char letters[] = "aabbc1_ ()%-";
	size_t n = (size_t)rng_below(r, size);

	for (size_t i = 0; i < n; i++)
		out[i] = letters[rng_below(r, sizeof(letters) - 1)];
	out[n] = '\0';
}

static void patterns_match_as_lua_matches_them(void **state)
{
	AUTO(transform) struct transform *t = scripting_with(compare_source, "");
	lua_State *L = luaL_newstate();
	struct rng rng;

	(void)state;
	luaL_openlibs(L);
	assert_int_equal(
		luaL_loadbuffer(L, compare_source, sizeof(compare_source) - 1, "@script.lua"),
		LUA_OK);
	assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_OK);
	rng_seed(&rng, 3);
	for (unsigned i = 0; i < 5000; i++) {
		char pattern[80], text[12];
		const char *expected;
		struct buf item, wanted;
		AUTO(batch) struct batch *b = NULL;

		random_pattern(&rng, pattern, sizeof(pattern));
		random_text(&rng, text, sizeof(text));
		lua_getglobal(L, "work");
		lua_pushstring(L, pattern);
		lua_pushstring(L, text);
		assert_int_equal(lua_pcall(L, 2, 1, 0), LUA_OK);
		expected = lua_tostring(L, -1);
		buf_init(&item, 0);
		buf_init(&wanted, 0);
		buf_text(&item, "{\"p\":{\"S\":");
		buf_json_text(&item, str_of(pattern));
		buf_text(&item, "},\"s\":{\"S\":");
		buf_json_text(&item, str_of(text));
		buf_text(&item, "}}");
		buf_text(&wanted, "\"out\":");
		buf_json_text(&wanted, str_of(expected));
		b = scripting_run(t, FORMAT_PLAIN, item.data, NULL);
		if (b->fault_count)
			fail_msg("%s of %s: %s", pattern, text, b->faults[0].error);
		if (!decoding_has(b->payloads[0][0], wanted.data))
			fail_msg("%s of %s\n%.*s\nexpected\n%s", pattern, text,
				 STR_ARG(b->payloads[0][0]), wanted.data);
		buf_release(&item);
		buf_release(&wanted);
		lua_settop(L, 0);
	}
	lua_close(L);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_reaches_out_is_not_there),
		cmocka_unit_test(known_ways_out_are_closed),
		cmocka_unit_test(what_takes_too_much_is_stopped),
		cmocka_unit_test(what_is_kept_counts_until_the_state_is_new),
		cmocka_unit_test(patterns_match_as_lua_matches_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
