/* What a script has of Lua's libraries: what computes. Not there: files, processes, clock, chance,
 * other code (load, require, string.dump), coroutines, debug, the garbage collector. What does much
 * work in one call is counted. */
#include <stdlib.h>
#include <string.h>

#include "event/script_internal.h"

#define UNPACK_MAX 10000

/* ---- calls that are caught ---- */

/* What a limit stopped is not caught. */
static int safe_pcall(lua_State *L)
{
	struct script_state *s = script_of(L);
	int status;

	luaL_checkany(L, 1);
	status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
	if (status == LUA_ERRMEM && !s->stop)
		s->stop = SCRIPT_SPACE;
	if (s->stop)
		return lua_error(L);
	lua_pushboolean(L, status == LUA_OK);
	lua_insert(L, 1);
	return lua_gettop(L);
}

/* __gc would be called where nothing counts. Lua looks for it only here. */
static int safe_setmetatable(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	if (lua_istable(L, 2)) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "a metatable with __gc cannot be used here");
	}
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

/* Upvalue: the library's. A decimal becomes the float that is nearest. */
static int safe_tonumber(lua_State *L)
{
	const struct script_whole *w = script_whole(L, 1, SCRIPT_SLOT_DECIMAL);

	if (w && lua_isnoneornil(L, 2)) {
		char text[SCRIPT_NUMBER_SIZE];
		struct str body = script_whole_body(w);
		size_t n = body.n < sizeof(text) ? body.n : sizeof(text) - 1;

		memcpy(text, body.p, n);
		text[n] = '\0';
		lua_pushnumber(L, strtod(text, NULL));
		return 1;
	}
	if (lua_type(L, 1) == LUA_TSTRING)
		script_charge(L, lua_rawlen(L, 1) / 4);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

/* ---- counted calls ---- */

/* Upvalues: the library's function, and how many parts of an instruction an element of its first
 * argument takes. */
static int counted(lua_State *L)
{
	size_t each = (size_t)lua_tointeger(L, lua_upvalueindex(2));
	lua_Integer n = 0;

	if (lua_type(L, 1) == LUA_TTABLE || lua_type(L, 1) == LUA_TUSERDATA)
		n = luaL_len(L, 1);
	else if (lua_type(L, 1) == LUA_TSTRING)
		n = (lua_Integer)lua_rawlen(L, 1);
	if (n < 0 || n > INT32_MAX)
		return luaL_error(L, "too many elements");
	script_charge(L, (size_t)n * each);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

struct count {
	const char *name;
	lua_Integer each;
};

/* Of the library at the top. */
static void count_calls(lua_State *L, const struct count *counts)
{
	for (; counts->name; counts++) {
		lua_getfield(L, -1, counts->name);
		lua_pushinteger(L, counts->each);
		lua_pushcclosure(L, counted, 2);
		lua_setfield(L, -2, counts->name);
	}
}

/* Upvalue: the library's, which would take the stack for as many as it is told. */
static int safe_unpack(lua_State *L)
{
	lua_Integer from = luaL_optinteger(L, 2, 1);
	lua_Integer to = luaL_opt(L, luaL_checkinteger, 3, luaL_len(L, 1));

	if (from <= to && (lua_Unsigned)to - (lua_Unsigned)from >= UNPACK_MAX)
		return luaL_error(L, "too many results to unpack");
	script_charge(L, from <= to ? (size_t)(to - from) : 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

/* ---- libraries ---- */

/* From the table at the top, which may have been there before. */
static void remove_all(lua_State *L, const char *const *names)
{
	for (; *names; names++) {
		lua_pushnil(L);
		lua_setfield(L, -2, *names);
	}
}

static void base_open(lua_State *L)
{
	static const char *const away[] = { "collectgarbage", "dofile", "load",   "loadfile",
					    "print",          "warn",   "xpcall", NULL };
	static const luaL_Reg ours[] = { { "pcall", safe_pcall },
					 { "setmetatable", safe_setmetatable },
					 { NULL, NULL } };

	luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
	remove_all(L, away);
	luaL_setfuncs(L, ours, 0);
	lua_getfield(L, -1, "tonumber");
	lua_pushcclosure(L, safe_tonumber, 1);
	lua_setfield(L, -2, "tonumber");
	lua_pop(L, 1);
}

static void string_open(lua_State *L)
{
	static const char *const away[] = { "dump", "pack", "packsize", "unpack", NULL };
	static const struct count counts[] = { { "byte", 1 }, { NULL, 0 } };

	luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 1);
	remove_all(L, away);
	script_strings_open(L);
	count_calls(L, counts);
	lua_pop(L, 1);
	/* What all strings have is not a script's to change. */
	lua_pushliteral(L, "");
	if (lua_getmetatable(L, -1)) {
		lua_pushboolean(L, false);
		lua_setfield(L, -2, "__metatable");
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static void table_open(lua_State *L)
{
	static const char *const away[] = { "move", NULL };
	/* Sorting takes more the more there are; a comparison of Lua's is counted by itself. */
	static const struct count counts[] = {
		{ "concat", 4 }, { "insert", 1 }, { "remove", 1 }, { "sort", 100 }, { NULL, 0 }
	};

	luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 1);
	remove_all(L, away);
	count_calls(L, counts);
	lua_getfield(L, -1, "unpack");
	lua_pushcclosure(L, safe_unpack, 1);
	lua_setfield(L, -2, "unpack");
	lua_pop(L, 1);
}

static void rest_open(lua_State *L)
{
	static const char *const chance[] = { "random", "randomseed", NULL };
	static const struct count counts[] = {
		{ "len", 1 }, { "codepoint", 1 }, { "offset", 1 }, { NULL, 0 }
	};

	luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 1);
	remove_all(L, chance);
	lua_pop(L, 1);
	luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 1);
	count_calls(L, counts);
	lua_pop(L, 1);
}

void script_sandbox_open(lua_State *L)
{
	base_open(L);
	string_open(L);
	table_open(L);
	rest_open(L);
	/* Loaded libraries are found there by nobody. */
	lua_pushnil(L);
	lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}
