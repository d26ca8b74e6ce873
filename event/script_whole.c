/* Values that Lua has no type for, whole in themselves: sets, binary, and decimals, which are
 * numbers with more digits than a number of Lua's has. */
#include <openssl/evp.h>
#include <string.h>

#include "event/number.h"
#include "event/script_internal.h"

#define ELEMENT_PARTS 4

bool script_is(lua_State *L, int index, enum script_slot slot)
{
	bool same;

	if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
		return false;
	lua_rawgeti(L, LUA_REGISTRYINDEX, slot);
	same = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return same;
}

void script_metatable(lua_State *L, enum script_slot slot, const char *name,
		      const luaL_Reg *functions)
{
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, false);
	lua_setfield(L, -2, "__metatable");
	lua_pushvalue(L, -1);
	lua_rawseti(L, LUA_REGISTRYINDEX, slot);
}

void script_push_whole(lua_State *L, enum script_slot slot, struct str raw)
{
	struct script_whole *w = lua_newuserdatauv(L, sizeof(*w) + raw.n + SCAN_PADDING, 0);

	w->n = raw.n;
	memcpy(w->raw, raw.p, raw.n);
	memset(w->raw + raw.n, 0, SCAN_PADDING);
	lua_rawgeti(L, LUA_REGISTRYINDEX, slot);
	lua_setmetatable(L, -2);
}

const struct script_whole *script_whole(lua_State *L, int index, enum script_slot slot)
{
	return script_is(L, index, slot) ? lua_touserdata(L, index) : NULL;
}

static const struct script_whole *check(lua_State *L, int index, enum script_slot slot,
					const char *name)
{
	const struct script_whole *w = script_whole(L, index, slot);

	luaL_argexpected(L, w, index, name);
	return w;
}

static int same_bytes(lua_State *L, enum script_slot slot)
{
	const struct script_whole *a = script_whole(L, 1, slot), *b = script_whole(L, 2, slot);

	lua_pushboolean(L, a && b && a->n == b->n && memcmp(a->raw, b->raw, a->n) == 0);
	return 1;
}

/* ---- binary ---- */

static size_t decoded_size(struct str body)
{
	size_t n = body.n / 4 * 3;

	for (size_t i = body.n; n > 0 && i > 0 && body.p[i - 1] == '='; i--)
		n--;
	return n;
}

static int binary_bytes(lua_State *L)
{
	struct str body = script_whole_body(check(L, 1, SCRIPT_SLOT_BINARY, "binary"));
	char *out = script_bytes(L, body.n + 4);

	if (body.n > 0)
		EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)body.p, (int)body.n);
	lua_pushlstring(L, out, decoded_size(body));
	return 1;
}

static int binary_len(lua_State *L)
{
	struct str body = script_whole_body(check(L, 1, SCRIPT_SLOT_BINARY, "binary"));

	lua_pushinteger(L, (lua_Integer)decoded_size(body));
	return 1;
}

static int binary_eq(lua_State *L)
{
	return same_bytes(L, SCRIPT_SLOT_BINARY);
}

static struct str base64(lua_State *L, struct str bytes)
{
	char *out = script_bytes(L, bytes.n / 3 * 4 + 8);
	int n = EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)bytes.p, (int)bytes.n);

	return (struct str){ out, (size_t)n };
}

static int make_binary(lua_State *L)
{
	struct str bytes;

	bytes.p = luaL_checklstring(L, 1, &bytes.n);
	script_push_whole(L, SCRIPT_SLOT_BINARY, script_scalar(L, TREE_B, base64(L, bytes))->raw);
	return 1;
}

/* ---- decimals ---- */

static int decimal_text(lua_State *L)
{
	struct str body = script_whole_body(check(L, 1, SCRIPT_SLOT_DECIMAL, "decimal"));

	lua_pushlstring(L, body.p, body.n);
	return 1;
}

/* Any number of Lua's or DynamoDB's. */
static void view_number(lua_State *L, int index, char text[SCRIPT_NUMBER_SIZE], struct number *out)
{
	const struct script_whole *w = script_whole(L, index, SCRIPT_SLOT_DECIMAL);

	if (w) {
		number_view(script_whole_body(w).p, out, NULL);
		return;
	}
	if (lua_type(L, index) != LUA_TNUMBER)
		luaL_error(L, "a decimal is compared with numbers only, not with a %s",
			   luaL_typename(L, index));
	text[script_number(L, index, text).n] = '\0';
	number_view(text, out, NULL);
}

static int compare(lua_State *L)
{
	char texts[2][SCRIPT_NUMBER_SIZE];
	struct number a, b;

	view_number(L, 1, texts[0], &a);
	view_number(L, 2, texts[1], &b);
	return number_compare(&a, &b);
}

static int decimal_eq(lua_State *L)
{
	lua_pushboolean(L, script_is(L, 1, SCRIPT_SLOT_DECIMAL) &&
				   script_is(L, 2, SCRIPT_SLOT_DECIMAL) && compare(L) == 0);
	return 1;
}

static int decimal_lt(lua_State *L)
{
	lua_pushboolean(L, compare(L) < 0);
	return 1;
}

static int decimal_le(lua_State *L)
{
	lua_pushboolean(L, compare(L) <= 0);
	return 1;
}

static int decimal_concat(lua_State *L)
{
	luaL_tolstring(L, 1, NULL);
	luaL_tolstring(L, 2, NULL);
	lua_concat(L, 2);
	return 1;
}

static int decimal_arithmetic(lua_State *L)
{
	return luaL_error(L, "a decimal has more digits than Lua's numbers, and is not reckoned "
			     "with; tonumber makes the nearest one of it");
}

/* ---- sets ---- */

/* The place of the first element's quote, or of the ']'. */
static const char *first_element(const struct script_whole *set)
{
	struct tree t = { .raw = { set->raw, set->n } };
	struct scan scan;

	return scan_space(&scan, tree_inside(&t) + 1);
}

/* Behind the element at p, whose text is *body. */
static const char *next_element(const char *p, struct str *body)
{
	struct scan scan;
	const char *end = scan_string(&scan, p + 1);

	*body = (struct str){ p + 1, (size_t)(end - p) - 1 };
	p = scan_space(&scan, end + 1);
	return *p == ',' ? scan_space(&scan, p + 1) : p;
}

static char set_kind(const struct script_whole *set)
{
	struct tree t = { .raw = { set->raw, set->n } };
	enum tree_type type = tree_type(&t);

	return type == TREE_NS ? 'N' : type == TREE_BS ? 'B' : 'S';
}

static void push_element(lua_State *L, char kind, struct str body)
{
	struct str plain = script_plain(L, body);

	if (kind == 'N')
		script_push_number(L, body);
	else if (kind == 'B')
		script_push_whole(L, SCRIPT_SLOT_BINARY, script_scalar(L, TREE_B, plain)->raw);
	else
		lua_pushlstring(L, plain.p, plain.n);
}

/* The elements as a table. */
static int set_list(lua_State *L)
{
	const struct script_whole *set = check(L, 1, SCRIPT_SLOT_SET, "set");
	char kind = set_kind(set);
	lua_Integer i = 0;
	struct str body;

	lua_newtable(L);
	for (const char *p = first_element(set); *p != ']';) {
		p = next_element(p, &body);
		push_element(L, kind, body);
		lua_rawseti(L, -2, ++i);
		script_charge(L, ELEMENT_PARTS);
	}
	return 1;
}

static int set_has(lua_State *L)
{
	const struct script_whole *set = check(L, 1, SCRIPT_SLOT_SET, "set");
	char kind = set_kind(set);
	bool has = false;
	struct str body;

	luaL_checkany(L, 2);
	for (const char *p = first_element(set); *p != ']' && !has;) {
		p = next_element(p, &body);
		push_element(L, kind, body);
		has = lua_compare(L, 2, -1, LUA_OPEQ);
		lua_pop(L, 1);
		script_charge(L, ELEMENT_PARTS);
	}
	lua_pushboolean(L, has);
	return 1;
}

static size_t set_count(lua_State *L, const struct script_whole *set)
{
	size_t count = 0;
	struct str body;

	for (const char *p = first_element(set); *p != ']'; count++)
		p = next_element(p, &body);
	script_charge(L, count);
	return count;
}

static int set_len(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)set_count(L, check(L, 1, SCRIPT_SLOT_SET, "set")));
	return 1;
}

static int set_index(lua_State *L)
{
	const struct script_whole *set = lua_touserdata(L, 1);
	struct str body = { 0 };
	lua_Integer left;

	if (!lua_isinteger(L, 2)) {
		const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";

		if (strcmp(name, "has") == 0)
			lua_pushcfunction(L, set_has);
		else if (strcmp(name, "list") == 0)
			lua_pushcfunction(L, set_list);
		else
			lua_pushnil(L);
		return 1;
	}
	left = lua_tointeger(L, 2);
	for (const char *p = first_element(set); left > 0 && *p != ']'; left--) {
		script_charge(L, 1);
		p = next_element(p, &body);
	}
	if (left == 0 && body.p)
		push_element(L, set_kind(set), body);
	else
		lua_pushnil(L);
	return 1;
}

static int set_newindex(lua_State *L)
{
	return luaL_error(L, "a set is replaced as a whole: event.new.tags = "
			     "dynamodb.string_set{\"a\", \"b\"}");
}

static int set_eq(lua_State *L)
{
	return same_bytes(L, SCRIPT_SLOT_SET);
}

/* Of what kind an element at index is, as text for the JSON. */
static struct str element_text(lua_State *L, char kind, int index)
{
	char digits[SCRIPT_NUMBER_SIZE];
	const struct script_whole *w;
	struct str text;
	char *o;

	if (kind == 'B') {
		w = script_whole(L, index, SCRIPT_SLOT_BINARY);
		if (!w)
			luaL_error(L, "a binary set has binary elements");
		return script_whole_body(w);
	}
	if (kind == 'S') {
		if (lua_type(L, index) != LUA_TSTRING)
			luaL_error(L, "a string set has texts as elements");
		text.p = lua_tolstring(L, index, &text.n);
		return script_escaped(L, text, "a text");
	}
	w = script_whole(L, index, SCRIPT_SLOT_DECIMAL);
	if (w)
		return script_whole_body(w);
	if (lua_type(L, index) != LUA_TNUMBER)
		luaL_error(L, "a number set has numbers as elements");
	text = script_number(L, index, digits);
	o = script_bytes(L, text.n);
	memcpy(o, text.p, text.n);
	return (struct str){ o, text.n };
}

/* The elements of the table that is the first argument, each once. */
static int make_set(lua_State *L, char kind)
{
	lua_Integer count;
	luaL_Buffer b;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	count = (lua_Integer)lua_rawlen(L, 1);
	if (count == 0)
		return luaL_error(L, "a set has at least one element");
	lua_newtable(L); /* texts that are in it */
	luaL_buffinit(L, &b);
	luaL_addstring(&b, kind == 'N' ? "{\"NS\":[" : kind == 'B' ? "{\"BS\":[" : "{\"SS\":[");
	for (lua_Integer i = 1; i <= count; i++) {
		struct str text;

		lua_rawgeti(L, 1, i);
		text = element_text(L, kind, lua_gettop(L));
		/* Stays below: the buffer may have something on the stack as well. */
		lua_pop(L, 1);
		lua_pushlstring(L, text.p, text.n);
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "a set has each element once");
		lua_pop(L, 1);
		lua_pushlstring(L, text.p, text.n);
		lua_pushboolean(L, true);
		lua_rawset(L, 2);
		luaL_addstring(&b, i > 1 ? ",\"" : "\"");
		luaL_addlstring(&b, text.p, text.n);
		luaL_addchar(&b, '"');
	}
	luaL_addstring(&b, "]}");
	luaL_pushresult(&b);
	{
		struct str raw;

		raw.p = lua_tolstring(L, -1, &raw.n);
		script_push_whole(L, SCRIPT_SLOT_SET, raw);
	}
	return 1;
}

static int make_string_set(lua_State *L)
{
	return make_set(L, 'S');
}

static int make_number_set(lua_State *L)
{
	return make_set(L, 'N');
}

static int make_binary_set(lua_State *L)
{
	return make_set(L, 'B');
}

/* ---- lookups ---- */

/* Upvalue: the table of one file, as a light userdata. */
static int lookup_index(lua_State *L)
{
	const struct script_lookup *l = lua_touserdata(L, lua_upvalueindex(1));
	struct str key = { 0 }, raw = { 0 };

	if (lua_type(L, 2) == LUA_TSTRING || lua_type(L, 2) == LUA_TNUMBER) {
		lua_pushvalue(L, 2);
		key.p = lua_tolstring(L, -1, &key.n);
		raw = script_lookup_find(l, key);
		lua_pop(L, 1);
	}
	if (raw.p && script_of(L)->memory)
		script_push_raw(L, raw);
	else
		lua_pushnil(L);
	return 1;
}

static int lookup_newindex(lua_State *L)
{
	return luaL_error(L, "a lookup is not changed");
}

static int lookup_len(lua_State *L)
{
	const struct script_lookup *l = lua_touserdata(L, lua_upvalueindex(1));

	lua_pushinteger(L, (lua_Integer)script_lookup_count(l));
	return 1;
}

void script_lookups_open(lua_State *L)
{
	const struct script *s = script_of(L)->script;
	static const luaL_Reg functions[] = { { "__index", lookup_index },
					      { "__newindex", lookup_newindex },
					      { "__len", lookup_len },
					      { NULL, NULL } };

	lua_newtable(L);
	for (size_t i = 0; i < s->lookup_count; i++) {
		lua_newtable(L);
		lua_newtable(L);
		lua_pushlightuserdata(L, (void *)(uintptr_t)s->lookups[i]);
		luaL_setfuncs(L, functions, 1);
		lua_pushboolean(L, false);
		lua_setfield(L, -2, "__metatable");
		lua_setmetatable(L, -2);
		lua_setfield(L, -2, s->lookup_names[i]);
	}
	lua_setglobal(L, "lookup");
}

void script_wholes_open(lua_State *L)
{
	static const luaL_Reg of_binary[] = { { "__tostring", binary_bytes },
					      { "__len", binary_len },
					      { "__eq", binary_eq },
					      { NULL, NULL } };
	static const luaL_Reg of_decimals[] = {
		{ "__tostring", decimal_text },   { "__eq", decimal_eq },
		{ "__lt", decimal_lt },           { "__le", decimal_le },
		{ "__concat", decimal_concat },   { "__add", decimal_arithmetic },
		{ "__sub", decimal_arithmetic },  { "__mul", decimal_arithmetic },
		{ "__div", decimal_arithmetic },  { "__mod", decimal_arithmetic },
		{ "__idiv", decimal_arithmetic }, { "__pow", decimal_arithmetic },
		{ "__unm", decimal_arithmetic },  { NULL, NULL }
	};
	static const luaL_Reg of_sets[] = { { "__index", set_index },
					    { "__newindex", set_newindex },
					    { "__len", set_len },
					    { "__eq", set_eq },
					    { NULL, NULL } };
	static const luaL_Reg functions[] = { { "binary", make_binary },
					      { "string_set", make_string_set },
					      { "number_set", make_number_set },
					      { "binary_set", make_binary_set },
					      { NULL, NULL } };

	script_metatable(L, SCRIPT_SLOT_BINARY, "binary", of_binary);
	script_metatable(L, SCRIPT_SLOT_DECIMAL, "decimal", of_decimals);
	script_metatable(L, SCRIPT_SLOT_SET, "set", of_sets);
	lua_pop(L, 3);
	lua_getglobal(L, "dynamodb");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
