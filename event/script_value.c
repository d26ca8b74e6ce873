/* Values between Lua and DynamoDB's JSON: texts, numbers, and tables that become maps and lists. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/number.h"
#include "event/script_internal.h"

/* Any decimal of so many digits is the same again after it was a double. */
#define FLOAT_DIGITS   DBL_DIG
#define INTEGER_DIGITS 19
#define WHOLE_MAX      9007199254740992.0

void script_no_room(lua_State *L)
{
	luaL_error(L, "more of it than fits in 32 MiB");
	abort(); /* it does not return */
}

char *script_bytes(lua_State *L, size_t n)
{
	char *p = tree_bytes(script_of(L)->memory, n);

	if (!p)
		script_no_room(L);
	return p;
}

/* ---- to Lua ---- */

/* Digits alone, with a sign perhaps. */
static bool push_integer(lua_State *L, struct str text)
{
	bool negative = text.n > 0 && *text.p == '-';
	size_t n = text.n - negative;
	const char *p = text.p + negative;
	lua_Unsigned v = 0;

	if (n == 0 || n > INTEGER_DIGITS || (*p == '0' && text.n > 1))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (lua_Unsigned)(p[i] - '0');
	}
	if (v > (lua_Unsigned)LUA_MAXINTEGER + negative)
		return false;
	lua_pushinteger(L, (lua_Integer)(negative ? 0 - v : v));
	return true;
}

void script_push_number(lua_State *L, struct str text)
{
	char plain[SCRIPT_NUMBER_SIZE], digits[NUMBER_CANONICAL_MAX + SCAN_PADDING];
	struct number view;
	struct span end;
	size_t n;

	if (LIKELY(push_integer(L, text)))
		return;
	if (text.n >= sizeof(plain)) { /* with zeros that say nothing */
		script_push_whole(L, SCRIPT_SLOT_DECIMAL, script_scalar(L, TREE_N, text)->raw);
		return;
	}
	memcpy(plain, text.p, text.n);
	plain[text.n] = '\0';
	number_view(plain, &view, NULL);
	end = number_canonical(plain, digits);
	*end.out = '\0';
	n = (size_t)(end.out - digits);
	if (push_integer(L, (struct str){ digits, n }))
		return;
	if (view.last - view.first <= FLOAT_DIGITS)
		lua_pushnumber(L, strtod(digits, NULL));
	else
		script_push_whole(L, SCRIPT_SLOT_DECIMAL, script_scalar(L, TREE_N, text)->raw);
}

struct str script_plain(lua_State *L, struct str body)
{
	char *p;

	if (LIKELY(!memchr(body.p, '\\', body.n)))
		return body;
	p = script_bytes(L, body.n);
	return (struct str){ p, scan_unescape(body, p) };
}

/* Of a record with white space between its tokens; it may outlive the record. */
static struct str compact(lua_State *L, struct str raw)
{
	char *begin = script_bytes(L, raw.n), *o = begin;
	bool quoted = false;

	for (const char *p = raw.p; p < raw.p + raw.n; p++) {
		if (!quoted && (unsigned char)*p <= ' ')
			continue;
		*o++ = *p;
		if (*p == '\\')
			*o++ = *++p;
		else if (*p == '"')
			quoted = !quoted;
	}
	return (struct str){ begin, (size_t)(o - begin) };
}

void script_push(lua_State *L, struct script_path *parent, struct tree *t)
{
	enum tree_type type = tree_type(t);
	struct str plain;

	switch (type) {
	case TREE_S:
		plain = script_plain(L, tree_body(t));
		lua_pushlstring(L, plain.p, plain.n);
		break;
	case TREE_N:
		script_push_number(L, tree_body(t));
		break;
	case TREE_BOOL:
		lua_pushboolean(L, *tree_inside(t) == 't');
		break;
	case TREE_NULL:
		lua_rawgeti(L, LUA_REGISTRYINDEX, SCRIPT_SLOT_NULL);
		break;
	case TREE_M:
	case TREE_L:
		script_push_node(L, parent, t);
		break;
	case TREE_B:
		script_push_whole(L, SCRIPT_SLOT_BINARY,
				  script_scalar(L, TREE_B, script_plain(L, tree_body(t)))->raw);
		break;
	case TREE_SS:
	case TREE_NS:
	case TREE_BS:
	case TREE_UNKNOWN:
	default:
		script_push_whole(L, SCRIPT_SLOT_SET, compact(L, t->raw));
	}
}

static struct tree *new_tree(lua_State *L)
{
	struct tree *t = tree_new(script_of(L)->memory);

	if (!t)
		script_no_room(L);
	t->settled = true;
	return t;
}

void script_push_raw(lua_State *L, struct str raw)
{
	struct tree *t = new_tree(L);

	t->raw = raw;
	script_push(L, NULL, t);
}

/* ---- from Lua ---- */

struct str script_escaped(lua_State *L, struct str plain, const char *what)
{
	size_t special = 0;
	struct scan scan;
	char *o, *end;

	for (size_t i = 0; i < plain.n; i++) {
		unsigned char c = (unsigned char)plain.p[i];

		special += c < 0x20 || c == '"' || c == '\\';
	}
	o = script_bytes(L, plain.n + (TREE_ESCAPE - 1) * special + 1);
	end = tree_escape(plain, o);
	memset(end, 0, SCAN_PADDING);
	*end = '"';
	if (scan_string(&scan, o) != end)
		luaL_error(L, "%s is no UTF-8; dynamodb.binary makes a value of any bytes", what);
	return (struct str){ o, (size_t)(end - o) };
}

struct tree *script_scalar(lua_State *L, enum tree_type type, struct str body)
{
	struct tree *t = new_tree(L);

	if (!tree_replace_scalar(script_of(L)->memory, t, type, body))
		script_no_room(L);
	return t;
}

/* The fewest digits that are this float again. */
static void write_float(lua_Number v, char out[SCRIPT_NUMBER_SIZE])
{
	if (fabs(v) < WHOLE_MAX && floor(v) == v) {
		snprintf(out, SCRIPT_NUMBER_SIZE, "%.0f", v);
		return;
	}
	for (int digits = FLOAT_DIGITS; digits <= DBL_DECIMAL_DIG; digits++) {
		snprintf(out, SCRIPT_NUMBER_SIZE, "%.*g", digits, v);
		if (strtod(out, NULL) == v)
			return;
	}
}

struct str script_number(lua_State *L, int index, char out[SCRIPT_NUMBER_SIZE])
{
	char written[SCRIPT_NUMBER_SIZE];
	struct number view;
	lua_Number v;

	if (lua_isinteger(L, index)) {
		int n = snprintf(out, SCRIPT_NUMBER_SIZE, "%lld",
				 (long long)lua_tointeger(L, index));

		return (struct str){ out, (size_t)n };
	}
	v = lua_tonumber(L, index);
	if (!isfinite(v))
		luaL_error(L, "%f is no number that DynamoDB can hold", v);
	write_float(v, written);
	if (!number_view(written, &view, NULL) || !number_fits(&view))
		luaL_error(L, "%f is no number that DynamoDB can hold", v);
	return (struct str){ out, (size_t)(number_canonical(written, out).out - out) };
}

/* A list's elements, or a map's members by their names, from the table at index. */
static struct tree *list_of(lua_State *L, int index, unsigned depth)
{
	struct tree *list = new_tree(L);
	lua_Integer n = (lua_Integer)lua_rawlen(L, index);

	list->type = TREE_L;
	list->open = true;
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, index, i);
		tree_add(list, NULL, script_value(L, lua_gettop(L), depth));
		lua_pop(L, 1);
	}
	return list;
}

static int by_name(const void *a, const void *b)
{
	const struct tree *x = *(struct tree *const *)a, *y = *(struct tree *const *)b;
	size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
	int order = memcmp(x->name.p, y->name.p, n);

	return order ? order : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

/* In the order of their names: Lua's own is another one each time. */
static struct tree *map_of(lua_State *L, int index, size_t count, unsigned depth)
{
	struct tree *map = new_tree(L), **members;
	size_t n = 0;

	map->type = TREE_M;
	map->open = true;
	members = (struct tree **)(void *)script_bytes(L, count * sizeof(struct tree *));
	lua_pushnil(L);
	while (lua_next(L, index)) {
		struct str name;

		name.p = lua_tolstring(L, -2, &name.n);
		if (name.n == 0)
			luaL_error(L, "an attribute needs a name");
		members[n] = script_value(L, lua_gettop(L), depth);
		members[n++]->name = script_escaped(L, name, "an attribute's name");
		lua_pop(L, 1);
	}
	qsort(members, n, sizeof(struct tree *), by_name);
	for (size_t i = 0; i < n; i++)
		tree_add(map, NULL, members[i]);
	return map;
}

/* How many keys it has, all of the same kind. */
static size_t count_keys(lua_State *L, int index, bool *list)
{
	lua_Integer length = (lua_Integer)lua_rawlen(L, index);
	size_t count = 0, names = 0;

	lua_pushnil(L);
	while (lua_next(L, index)) {
		if (lua_type(L, -2) == LUA_TSTRING)
			names++;
		else if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 ||
			 lua_tointeger(L, -2) > length)
			luaL_error(L, "a table is a map of names or a list without holes");
		count++;
		lua_pop(L, 1);
	}
	if (names > 0 && names < count)
		luaL_error(L, "a table is a map of names or a list, not both");
	if (names == 0 && count < (size_t)length)
		luaL_error(L, "a table is a map of names or a list without holes");
	*list = names == 0 && count > 0;
	return count;
}

/* Of tables that dynamodb.list or dynamodb.map made. */
static bool marked(lua_State *L, int index, enum script_slot slot)
{
	bool same;

	if (!lua_getmetatable(L, index))
		return false;
	lua_rawgeti(L, LUA_REGISTRYINDEX, slot);
	same = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return same;
}

static struct tree *table_of(lua_State *L, int index, unsigned depth)
{
	size_t count;
	bool list;

	if (depth >= VALUE_DEPTH_MAX)
		luaL_error(L, "at most 32 maps and lists inside each other");
	luaL_checkstack(L, 8, "value");
	count = count_keys(L, index, &list);
	script_charge(L, 8 * count);
	if (marked(L, index, SCRIPT_SLOT_AS_LIST)) {
		if (count > 0 && !list)
			luaL_error(L, "a list has no names");
		list = true;
	} else if (list && marked(L, index, SCRIPT_SLOT_AS_MAP)) {
		luaL_error(L, "a map has names only");
	}
	return list ? list_of(L, index, depth + 1) : map_of(L, index, count, depth + 1);
}

static struct tree *userdata_of(lua_State *L, int index, unsigned depth)
{
	static const struct {
		enum script_slot slot;
		enum tree_type type;
	} kinds[] = { { SCRIPT_SLOT_BINARY, TREE_B },
		      { SCRIPT_SLOT_DECIMAL, TREE_N },
		      { SCRIPT_SLOT_SET, TREE_UNKNOWN } };
	struct script_path *path = script_node(L, index);
	struct tree *t;

	if (path)
		return script_clone(L, path->node, depth);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct script_whole *w = script_whole(L, index, kinds[i].slot);
		char *o;

		if (!w)
			continue;
		t = new_tree(L);
		o = script_bytes(L, w->n);
		memcpy(o, w->raw, w->n);
		memset(o + w->n, 0, SCAN_PADDING);
		tree_replace(t, kinds[i].type, (struct str){ o, w->n });
		return t;
	}
	luaL_error(L, "this value cannot be an attribute's");
	return NULL;
}

static struct tree *constant(lua_State *L, enum tree_type type, struct str raw)
{
	struct tree *t = new_tree(L);

	tree_replace(t, type, raw);
	return t;
}

struct tree *script_value(lua_State *L, int index, unsigned depth)
{
	/* With what may be read behind. */
	static const char yes[SCAN_PADDING * 2] = "{\"BOOL\":true}",
					     no[SCAN_PADDING * 2] = "{\"BOOL\":false}",
					     null[SCAN_PADDING * 2] = "{\"NULL\":true}";
	char digits[SCRIPT_NUMBER_SIZE];
	struct str text;

	switch (lua_type(L, index)) {
	case LUA_TSTRING:
		text.p = lua_tolstring(L, index, &text.n);
		return script_scalar(L, TREE_S, script_escaped(L, text, "a text"));
	case LUA_TNUMBER:
		return script_scalar(L, TREE_N, script_number(L, index, digits));
	case LUA_TBOOLEAN:
		return lua_toboolean(L, index) ? constant(L, TREE_BOOL, (struct str){ yes, 13 })
					       : constant(L, TREE_BOOL, (struct str){ no, 14 });
	case LUA_TTABLE:
		return table_of(L, index, depth);
	case LUA_TLIGHTUSERDATA: /* there is no other one */
		return constant(L, TREE_NULL, (struct str){ null, 13 });
	case LUA_TUSERDATA:
		return userdata_of(L, index, depth);
	default:
		luaL_error(L, "a %s cannot be an attribute's value", luaL_typename(L, index));
		return NULL;
	}
}

/* ---- what scripts call ---- */

static int make_marked(lua_State *L, enum script_slot slot)
{
	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	if (lua_getmetatable(L, 1))
		return luaL_error(L, "a table without a metatable is expected");
	lua_rawgeti(L, LUA_REGISTRYINDEX, slot);
	lua_setmetatable(L, 1);
	return 1;
}

static int make_list(lua_State *L)
{
	return make_marked(L, SCRIPT_SLOT_AS_LIST);
}

static int make_map(lua_State *L)
{
	return make_marked(L, SCRIPT_SLOT_AS_MAP);
}

/* A number of any of DynamoDB's, from its text. */
static int make_number(lua_State *L)
{
	char plain[SCRIPT_NUMBER_SIZE];
	struct number view;
	const char *end;
	struct str text;

	if (lua_type(L, 1) != LUA_TSTRING) {
		if (!script_whole(L, 1, SCRIPT_SLOT_DECIMAL))
			luaL_checknumber(L, 1);
		lua_settop(L, 1);
		return 1;
	}
	text.p = lua_tolstring(L, 1, &text.n);
	if (text.n >= sizeof(plain))
		return luaL_error(L, "a text that is no number");
	memcpy(plain, text.p, text.n);
	plain[text.n] = '\0';
	if (!number_view(plain, &view, &end) || end != plain + text.n || !number_fits(&view))
		return luaL_error(L, "'%s' is no number that DynamoDB can hold", plain);
	script_push_number(L, text);
	return 1;
}

/* "S", "N", …; nil: no value can be that. */
static int type_name(lua_State *L)
{
	struct script_path *path = script_node(L, 1);
	const struct script_whole *set = script_whole(L, 1, SCRIPT_SLOT_SET);

	switch (lua_type(L, 1)) {
	case LUA_TSTRING:
		lua_pushliteral(L, "S");
		break;
	case LUA_TNUMBER:
		lua_pushliteral(L, "N");
		break;
	case LUA_TBOOLEAN:
		lua_pushliteral(L, "BOOL");
		break;
	case LUA_TLIGHTUSERDATA:
		lua_pushliteral(L, "NULL");
		break;
	case LUA_TUSERDATA:
		if (path)
			lua_pushstring(L, tree_type_name(tree_type(path->node)));
		else if (set)
			lua_pushlstring(L, set->raw + 2, 2);
		else
			lua_pushstring(L, script_is(L, 1, SCRIPT_SLOT_BINARY) ? "B" : "N");
		break;
	default:
		luaL_pushfail(L);
	}
	return 1;
}

void script_values_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "list", make_list },
					      { "map", make_map },
					      { "number", make_number },
					      { "type", type_name },
					      { NULL, NULL } };
	static const luaL_Reg none[] = { { NULL, NULL } };
	static char null;

	script_metatable(L, SCRIPT_SLOT_AS_LIST, "list", none);
	script_metatable(L, SCRIPT_SLOT_AS_MAP, "map", none);
	lua_pop(L, 2);
	lua_pushlightuserdata(L, &null);
	lua_pushvalue(L, -1);
	lua_rawseti(L, LUA_REGISTRYINDEX, SCRIPT_SLOT_NULL);
	lua_setglobal(L, "null");
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	lua_setglobal(L, "dynamodb");
}
