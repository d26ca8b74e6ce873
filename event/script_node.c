/* Maps and lists of an item as a script sees them: it looks into the tree itself, so that what it
 * does not touch stays as it came, in its order. */
#include <string.h>

#include "event/script_internal.h"

struct script_ref {
	struct script_path *path; /* of the event's memory */
	uint64_t epoch;
};

/* ---- from and to Lua ---- */

static void push_path(lua_State *L, struct script_path *path)
{
	struct script_ref *ref = lua_newuserdatauv(L, sizeof(*ref), 0);

	ref->path = path;
	ref->epoch = script_of(L)->epoch;
	lua_rawgeti(L, LUA_REGISTRYINDEX,
		    path->node->type == TREE_M ? SCRIPT_SLOT_MAP : SCRIPT_SLOT_LIST);
	lua_setmetatable(L, -2);
}

void script_push_node(lua_State *L, struct script_path *parent, struct tree *t)
{
	struct script_path *path;

	if (!tree_open(script_of(L)->memory, t))
		script_no_room(L);
	path = (struct script_path *)(void *)script_bytes(L, sizeof(*path));
	*path = (struct script_path){ .node = t,
				      .parent = parent,
				      .depth = parent ? parent->depth + 1 : 0 };
	push_path(L, path);
}

static struct script_path *path_of(lua_State *L, int index)
{
	const struct script_ref *ref = lua_touserdata(L, index);

	if (ref->epoch != script_of(L)->epoch)
		luaL_error(L, "a map or list of another event: keep a copy of its values, not it");
	return ref->path;
}

struct script_path *script_node(lua_State *L, int index)
{
	if (script_is(L, index, SCRIPT_SLOT_MAP) || script_is(L, index, SCRIPT_SLOT_LIST))
		return path_of(L, index);
	return NULL;
}

struct tree *script_clone(lua_State *L, const struct tree *t, unsigned depth)
{
	struct tree *copy = tree_new(script_of(L)->memory);

	if (!copy)
		script_no_room(L);
	*copy = *t;
	copy->seen = NULL;
	copy->next = copy->first = copy->last = NULL;
	copy->name = (struct str){ 0 };
	copy->settled = true;
	copy->renamed = false;
	copy->id = 0;
	if (t->raw.p) {
		copy->open = false;
		return copy;
	}
	if (depth >= VALUE_DEPTH_MAX)
		luaL_error(L, "at most 32 maps and lists inside each other");
	for (struct tree *c = t->first; c; c = c->next) {
		struct tree *child;

		script_charge(L, 8);
		if (c->gone)
			continue;
		child = script_clone(L, c, depth + 1);
		child->name = c->name;
		tree_add(copy, NULL, child);
	}
	return copy;
}

/* Around what was changed all is made anew. */
static void changed(struct script_path *path)
{
	for (; path; path = path->parent)
		tree_changed(path->node);
}

/* Takes the place of `old`, behind `after` or at the end. What scripts may still hold is left as it
 * is. */
static void replace(struct script_path *path, struct tree *old, struct tree *t)
{
	t->name = old->name;
	t->id = old->id;
	tree_add(path->node, old, t);
	old->gone = true;
	if (path->at == old)
		path->at = NULL;
}

static bool is_scalar(struct tree *t)
{
	return tree_type(t) != TREE_M && t->type != TREE_L;
}

/* ---- maps ---- */

/* The name as JSON has it; without an escape it is the key's own bytes. */
static struct str name_at(lua_State *L, int index)
{
	struct str name;

	name.p = lua_tolstring(L, index, &name.n);
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < 0x20 || c == '"' || c == '\\')
			return script_escaped(L, name, "an attribute's name");
	}
	return name;
}

static struct tree *find(lua_State *L, const struct script_path *path, struct str name)
{
	size_t n = 0;
	struct tree *t;

	for (t = path->node->first; t; t = t->next, n++)
		if (t->name.n == name.n && !t->gone && memcmp(t->name.p, name.p, name.n) == 0)
			break;
	script_charge(L, n);
	return t;
}

static int map_index(lua_State *L)
{
	struct script_path *path = path_of(L, 1);
	struct tree *t = NULL;

	if (lua_type(L, 2) == LUA_TSTRING)
		t = find(L, path, name_at(L, 2));
	if (t)
		script_push(L, path, t);
	else
		lua_pushnil(L);
	return 1;
}

static int map_newindex(lua_State *L)
{
	struct script_path *path = path_of(L, 1);
	struct tree *old, *t;
	struct str name;

	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "an attribute's name is a text, not a %s",
				  luaL_typename(L, 2));
	name = name_at(L, 2);
	if (name.n == 0)
		return luaL_error(L, "an attribute needs a name");
	old = find(L, path, name);
	if (lua_isnil(L, 3)) {
		if (old) {
			old->gone = true;
			changed(path);
		}
		return 0;
	}
	t = script_value(L, 3, path->depth + 1);
	if (old && is_scalar(old) && is_scalar(t)) {
		tree_replace(old, (enum tree_type)t->type, t->raw);
	} else if (old) {
		replace(path, old, t);
	} else {
		name.p = lua_tolstring(L, 2, &name.n);
		t->name = script_escaped(L, name, "an attribute's name");
		tree_add(path->node, NULL, t);
	}
	changed(path);
	return 0;
}

/* Upvalues: the userdata, and the place. */
static int map_next(lua_State *L)
{
	struct script_path *path = path_of(L, lua_upvalueindex(1));
	struct tree *t = lua_touserdata(L, lua_upvalueindex(2));

	script_charge(L, 4);
	t = t ? t->next : path->node->first;
	while (t && t->gone)
		t = t->next;
	if (!t)
		return 0;
	lua_pushlightuserdata(L, t);
	lua_replace(L, lua_upvalueindex(2));
	{
		struct str name = script_plain(L, t->name);

		lua_pushlstring(L, name.p, name.n);
	}
	script_push(L, path, t);
	return 2;
}

static int map_pairs(lua_State *L)
{
	path_of(L, 1);
	lua_pushvalue(L, 1);
	lua_pushlightuserdata(L, NULL);
	lua_pushcclosure(L, map_next, 2);
	return 1;
}

static size_t count_children(lua_State *L, const struct script_path *path)
{
	size_t count = 0, n = 0;

	for (const struct tree *t = path->node->first; t; t = t->next, n++)
		count += !t->gone;
	script_charge(L, n);
	return count;
}

static int node_len(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)count_children(L, path_of(L, 1)));
	return 1;
}

static int node_eq(lua_State *L)
{
	struct script_path *a = script_node(L, 1), *b = script_node(L, 2);

	lua_pushboolean(L, a && b && a->node == b->node);
	return 1;
}

/* ---- lists ---- */

static struct tree *element(lua_State *L, struct script_path *path, lua_Integer index)
{
	struct tree *t = path->node->first;
	lua_Integer i = 1;
	size_t n = 0;

	if (path->at && !path->at->gone && path->index <= index) {
		t = path->at;
		i = path->index;
	}
	for (; t; t = t->next, n++) {
		if (t->gone)
			continue;
		if (i == index)
			break;
		i++;
	}
	script_charge(L, n);
	if (t) {
		path->at = t;
		path->index = index;
	}
	return t;
}

static int list_index(lua_State *L)
{
	struct script_path *path = path_of(L, 1);
	struct tree *t = NULL;

	if (lua_isinteger(L, 2) && lua_tointeger(L, 2) > 0)
		t = element(L, path, lua_tointeger(L, 2));
	if (t)
		script_push(L, path, t);
	else
		lua_pushnil(L);
	return 1;
}

static int list_newindex(lua_State *L)
{
	struct script_path *path = path_of(L, 1);
	lua_Integer index = lua_isinteger(L, 2) ? lua_tointeger(L, 2) : 0;
	struct tree *old = index > 0 ? element(L, path, index) : NULL, *t;
	lua_Integer count = (lua_Integer)count_children(L, path);

	if (lua_isnil(L, 3) && index == count + 1)
		return 0;
	if (index < 1 || index > count + !lua_isnil(L, 3) || (lua_isnil(L, 3) && index < count))
		return luaL_error(L, "a list has no holes: its elements are 1 to %I, and %s",
				  (LUAI_UACINT)count,
				  lua_isnil(L, 3) ? "only the last one can be removed"
						  : "a new one is the next");
	if (lua_isnil(L, 3)) {
		old->gone = true;
		path->at = NULL;
	} else {
		t = script_value(L, 3, path->depth + 1);
		if (old && is_scalar(old) && is_scalar(t))
			tree_replace(old, (enum tree_type)t->type, t->raw);
		else if (old)
			replace(path, old, t);
		else
			tree_add(path->node, NULL, t);
	}
	changed(path);
	return 0;
}

static int list_next(lua_State *L)
{
	struct script_path *path = path_of(L, 1);
	lua_Integer index = luaL_checkinteger(L, 2) + 1;
	struct tree *t = element(L, path, index);

	if (!t)
		return 0;
	lua_pushinteger(L, index);
	script_push(L, path, t);
	return 2;
}

static int list_pairs(lua_State *L)
{
	lua_pushcfunction(L, list_next);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

/* ---- copies ---- */

static void push_copy(lua_State *L, int index)
{
	struct script_path *path = script_node(L, index);
	struct tree *t;

	if (!path) {
		lua_pushvalue(L, index);
		return;
	}
	t = script_clone(L, path->node, 0);
	script_push_node(L, NULL, t);
}

/* Of an event, or of a map or list. */
static int copy(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_settop(L, 1);
	if (lua_istable(L, 1)) {
		lua_newtable(L);
		lua_pushnil(L);
		while (lua_next(L, 1)) {
			lua_pushvalue(L, -2);
			push_copy(L, lua_gettop(L) - 1);
			lua_settable(L, 2);
			lua_pop(L, 1);
		}
		return 1;
	}
	push_copy(L, 1);
	return 1;
}

void script_nodes_open(lua_State *L)
{
	static const luaL_Reg of_maps[] = {
		{ "__index", map_index }, { "__newindex", map_newindex },
		{ "__pairs", map_pairs }, { "__len", node_len },
		{ "__eq", node_eq },      { NULL, NULL }
	};
	static const luaL_Reg of_lists[] = {
		{ "__index", list_index }, { "__newindex", list_newindex },
		{ "__pairs", list_pairs }, { "__len", node_len },
		{ "__eq", node_eq },       { NULL, NULL }
	};

	script_metatable(L, SCRIPT_SLOT_MAP, "map", of_maps);
	script_metatable(L, SCRIPT_SLOT_LIST, "list", of_lists);
	lua_pop(L, 2);
	lua_pushcfunction(L, copy);
	lua_setglobal(L, "copy");
}
