/* What of Lua's string library works with patterns, and what could work for ever. */
#include <string.h>

#include "event/script_internal.h"

#define PATTERN_SPECIALS "^$*+?.([%-"

static struct str text_at(lua_State *L, int index)
{
	struct str s;

	s.p = luaL_checklstring(L, index, &s.n);
	return s;
}

static void push_capture(struct script_match *m, int i, const char *begin, const char *end)
{
	if (i >= m->level) {
		if (i != 0)
			luaL_error(m->L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(m->L, begin, (size_t)(end - begin));
	} else if (m->captures[i].n == SCRIPT_CAPTURE_OPEN) {
		luaL_error(m->L, "unfinished capture");
	} else if (m->captures[i].n == SCRIPT_CAPTURE_PLACE) {
		lua_pushinteger(m->L, m->captures[i].p - m->text + 1);
	} else {
		lua_pushlstring(m->L, m->captures[i].p, (size_t)m->captures[i].n);
	}
}

/* begin NULL: not the whole match where there are no captures. */
static int push_captures(struct script_match *m, const char *begin, const char *end)
{
	int count = m->level == 0 && begin ? 1 : m->level;

	luaL_checkstack(m->L, count, "too many captures");
	for (int i = 0; i < count; i++)
		push_capture(m, i, begin, end);
	return count;
}

/* The start that a script asks for, as an offset; above n: behind the end. */
static size_t start_at(lua_State *L, int index, size_t n)
{
	lua_Integer i = luaL_optinteger(L, index, 1);

	if (i > 0)
		return (size_t)i - 1;
	if (i == 0 || i < -(lua_Integer)n)
		return 0;
	return n - (size_t)-i;
}

static bool is_plain(struct str pattern)
{
	for (size_t i = 0; i < pattern.n; i++)
		if (pattern.p[i] && strchr(PATTERN_SPECIALS, pattern.p[i]))
			return false;
	return true;
}

static int search(lua_State *L, bool find)
{
	struct str text = text_at(L, 1), pattern = text_at(L, 2);
	size_t from = start_at(L, 3, text.n);
	struct script_match m;
	const char *p, *s;
	bool anchored;

	if (from > text.n) {
		luaL_pushfail(L);
		return 1;
	}
	if (find && (lua_toboolean(L, 4) || is_plain(pattern))) {
		/* memmem is linear. */
		s = memmem(text.p + from, text.n - from, pattern.p, pattern.n);
		script_charge(L, (s ? (size_t)(s - text.p) - from : text.n - from) / 4);
		if (!s) {
			luaL_pushfail(L);
			return 1;
		}
		lua_pushinteger(L, s - text.p + 1);
		lua_pushinteger(L, s - text.p + (lua_Integer)pattern.n);
		return 2;
	}
	script_match_init(&m, L, text, pattern);
	p = pattern.p;
	anchored = pattern.n > 0 && *p == '^';
	p += anchored;
	for (s = text.p + from; s <= m.text_end; s++) {
		const char *end = script_match_at(&m, s, p);

		if (end && find) {
			lua_pushinteger(L, s - text.p + 1);
			lua_pushinteger(L, end - text.p);
			return push_captures(&m, NULL, NULL) + 2;
		}
		if (end)
			return push_captures(&m, s, end);
		if (anchored)
			break;
	}
	luaL_pushfail(L);
	return 1;
}

static int string_find(lua_State *L)
{
	return search(L, true);
}

static int string_match(lua_State *L)
{
	return search(L, false);
}

/* Upvalues: text, pattern, where to go on, the end of the last match (0: none). */
static int gmatch_next(lua_State *L)
{
	struct str text = text_at(L, lua_upvalueindex(1)),
		   pattern = text_at(L, lua_upvalueindex(2));
	size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(3));
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
	struct script_match m;

	script_match_init(&m, L, text, pattern);
	for (const char *s = text.p + from; from <= text.n && s <= m.text_end; s++) {
		const char *end = script_match_at(&m, s, pattern.p);

		if (!end || end - text.p + 1 == last)
			continue;
		lua_pushinteger(L, end - text.p);
		lua_replace(L, lua_upvalueindex(3));
		lua_pushinteger(L, end - text.p + 1);
		lua_replace(L, lua_upvalueindex(4));
		return push_captures(&m, s, end);
	}
	return 0;
}

static int string_gmatch(lua_State *L)
{
	struct str text = text_at(L, 1);
	size_t from;

	text_at(L, 2);
	from = start_at(L, 3, text.n);
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)(from > text.n ? text.n + 1 : from));
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

/* The replacement is a text with %0 to %9. */
static void add_text(struct script_match *m, luaL_Buffer *b, const char *begin, const char *end)
{
	struct str with = text_at(m->L, 3);

	for (size_t i = 0; i < with.n; i++) {
		if (with.p[i] != '%') {
			luaL_addchar(b, with.p[i]);
			continue;
		}
		i++;
		if (i < with.n && with.p[i] == '%') {
			luaL_addchar(b, '%');
		} else if (i < with.n && with.p[i] == '0') {
			luaL_addlstring(b, begin, (size_t)(end - begin));
		} else if (i < with.n && with.p[i] >= '1' && with.p[i] <= '9') {
			push_capture(m, with.p[i] - '1', begin, end);
			luaL_tolstring(m->L, -1, NULL);
			lua_remove(m->L, -2);
			luaL_addvalue(b);
		} else {
			luaL_error(m->L, "invalid use of '%%' in replacement string");
		}
	}
}

static void add_value(struct script_match *m, luaL_Buffer *b, const char *begin, const char *end,
		      int type)
{
	lua_State *L = m->L;

	if (type == LUA_TFUNCTION) {
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(m, begin, end), 1);
	} else if (type == LUA_TTABLE) {
		push_capture(m, 0, begin, end);
		lua_gettable(L, 3);
	} else {
		add_text(m, b, begin, end);
		return;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		luaL_addlstring(b, begin, (size_t)(end - begin));
	} else if (lua_isstring(L, -1)) {
		luaL_addvalue(b);
	} else {
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	}
}

static int string_gsub(lua_State *L)
{
	struct str text = text_at(L, 1), pattern = text_at(L, 2);
	int type = lua_type(L, 3);
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)text.n + 1), count = 0;
	const char *s = text.p, *p = pattern.p, *last = NULL;
	bool anchored = pattern.n > 0 && *p == '^';
	struct script_match m;
	luaL_Buffer b;

	luaL_argexpected(L,
			 type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
				 type == LUA_TTABLE,
			 3, "string/function/table");
	script_match_init(&m, L, text, pattern);
	p += anchored;
	luaL_buffinit(L, &b);
	while (count < most) {
		const char *end = script_match_at(&m, s, p);

		if (end && end != last) {
			count++;
			add_value(&m, &b, s, end, type);
			s = last = end;
		} else if (s < m.text_end) {
			luaL_addchar(&b, *s++);
		} else {
			break;
		}
		if (anchored)
			break;
	}
	luaL_addlstring(&b, s, (size_t)(m.text_end - s));
	luaL_pushresult(&b);
	lua_pushinteger(L, count);
	return 2;
}

/* Upvalue: the library's. It would repeat nothing as often as it is told to. */
static int string_rep(lua_State *L)
{
	struct str text = text_at(L, 1), between = { "", 0 };
	lua_Integer n = luaL_checkinteger(L, 2);

	if (!lua_isnoneornil(L, 3))
		between = text_at(L, 3);
	if (n <= 0 || text.n + between.n == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if ((size_t)n > script_of(L)->script->memory_bytes / (text.n + between.n))
		script_stop(L, SCRIPT_SPACE);
	script_charge(L, 2 * (size_t)n);
	lua_settop(L, 3);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 3, 1);
	return 1;
}

/* The library's table is at the top. */
void script_strings_open(lua_State *L)
{
	static const luaL_Reg ours[] = { { "find", string_find },
					 { "match", string_match },
					 { "gmatch", string_gmatch },
					 { "gsub", string_gsub },
					 { NULL, NULL } };

	luaL_setfuncs(L, ours, 0);
	lua_getfield(L, -1, "rep");
	lua_pushcclosure(L, string_rep, 1);
	lua_setfield(L, -2, "rep");
}
