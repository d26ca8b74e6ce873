/* An event's way through a script: what `transform` gets, and what it returned. */
#include <string.h>

#include "event/script_internal.h"

static const char *const item_names[SCRIPT_ITEMS] = { "keys", "new", "old" };

static void set_text(lua_State *L, const char *name, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, name);
}

/* What no script changes, into the table at the top. */
static void set_facts(lua_State *L, const struct script_facts *f)
{
	char op = event_op_letter(f->op);

	lua_pushlstring(L, &op, 1);
	lua_setfield(L, -2, "op");
	lua_pushinteger(L, f->time_ms);
	lua_setfield(L, -2, "ts");
	lua_pushlstring(L, f->sequence->digits, f->sequence->length);
	lua_setfield(L, -2, "sequence");
	lua_pushboolean(L, f->ttl);
	lua_setfield(L, -2, "ttl");
}

static void push_event(lua_State *L, const struct script_run *run)
{
	lua_createtable(L, 0, 9);
	set_facts(L, run->facts);
	set_text(L, "table", run->facts->source->table);
	set_text(L, "stream", run->facts->source->stream);
	for (int i = 0; i < SCRIPT_ITEMS; i++) {
		if (!run->in->items[i])
			continue;
		script_push_node(L, NULL, run->in->items[i]);
		lua_setfield(L, -2, item_names[i]);
	}
}

/* ---- what was returned ---- */

static struct script_event *add_event(lua_State *L, struct script_run *run)
{
	if (run->count == SCRIPT_EVENTS_MAX)
		luaL_error(L, "more than %d events of one", SCRIPT_EVENTS_MAX);
	if (run->count == run->capacity) {
		size_t capacity = 2 * run->capacity + 4;
		struct script_event *more =
			(struct script_event *)(void *)script_bytes(L, capacity * sizeof(*more));

		if (run->count)
			memcpy(more, run->out, run->count * sizeof(*more));
		run->out = more;
		run->capacity = capacity;
	}
	run->out[run->count] = (struct script_event){ 0 };
	return &run->out[run->count++];
}

/* Of the table at 3; where it has them they are the record's. */
static void check_facts(lua_State *L, const struct script_facts *f)
{
	static const char *const names[] = { "op", "ts", "sequence", "ttl" };

	lua_createtable(L, 0, 4);
	set_facts(L, f);
	lua_replace(L, 2);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int type = lua_getfield(L, 3, names[i]);

		lua_getfield(L, 2, names[i]);
		if (type != LUA_TNIL && !lua_rawequal(L, -1, -2))
			luaL_error(L,
				   "event.%s cannot be another one: a script changes keys, new and "
				   "old",
				   names[i]);
		lua_pop(L, 2);
	}
}

/* Whether the tree went into an event already, or is to be one of its other items. */
static bool is_taken(const struct script_run *run, const struct tree *t)
{
	for (size_t i = 0; i < run->count; i++)
		for (int k = 0; k < SCRIPT_ITEMS; k++)
			if (run->out[i].items[k] == t)
				return true;
	return false;
}

/* The trees that came in may go out; of all else there are copies. */
static struct tree *own(lua_State *L, struct script_run *run, struct tree *t, int item)
{
	struct tree *copy;

	if (t == run->in->items[item] && !is_taken(run, t))
		return t;
	copy = script_clone(L, t, 0);
	if (!tree_open(script_of(L)->memory, copy))
		script_no_room(L);
	tree_changed(copy);
	return copy;
}

/* The value at the top. */
static struct tree *take_item(lua_State *L, struct script_run *run, int item)
{
	struct script_path *path = script_node(L, -1);
	struct tree *t;

	if (path)
		t = path->node;
	else if (lua_istable(L, -1))
		t = script_value(L, lua_gettop(L), 0);
	else
		t = NULL;
	if (!t || t->type != TREE_M)
		luaL_error(L, "event.%s is a map of attributes, not a %s", item_names[item],
			   path || t ? "list" : luaL_typename(L, -1));
	return path ? own(L, run, t, item) : t;
}

/* The table at 3. What it does not have is as it stands in the event that came. */
static void take_event(lua_State *L, struct script_run *run)
{
	struct script_event *e;

	check_facts(L, run->facts);
	script_charge(L, run->count);
	e = add_event(L, run);
	for (int i = 0; i < SCRIPT_ITEMS; i++) {
		struct tree *there = run->in->items[i];

		if (lua_getfield(L, 3, item_names[i]) == LUA_TNIL)
			e->items[i] = there ? own(L, run, there, i) : NULL;
		else if (there)
			e->items[i] = take_item(L, run, i);
		else
			luaL_error(L, "event.%s cannot be set: the record has none", item_names[i]);
		lua_pop(L, 1);
	}
}

static bool is_event(lua_State *L, int index)
{
	static const char *const names[] = { "new", "old", "keys", "op" };
	bool is = false;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !is; i++) {
		is = lua_getfield(L, index, names[i]) != LUA_TNIL;
		lua_pop(L, 1);
	}
	return is;
}

/* nil, an event, or a list of events; at `index`. */
static void take_result(lua_State *L, struct script_run *run, int index)
{
	lua_Integer n;

	if (!lua_toboolean(L, index))
		return;
	if (!lua_istable(L, index))
		luaL_error(L, "transform returned a %s: expected an event, a list of events or nil",
			   luaL_typename(L, index));
	if (is_event(L, index)) {
		lua_pushvalue(L, index);
		lua_replace(L, 3);
		take_event(L, run);
		return;
	}
	n = (lua_Integer)lua_rawlen(L, index);
	for (lua_Integer i = 1; i <= n; i++) {
		if (lua_rawgeti(L, index, i) != LUA_TTABLE || !is_event(L, -1))
			luaL_error(L, "transform returned a list whose element %I is no event",
				   (LUAI_UACINT)i);
		lua_replace(L, 3);
		take_event(L, run);
	}
}

int script_run_event(lua_State *L)
{
	struct script_run *run = lua_touserdata(L, 1);
	int count;

	lua_pushnil(L); /* 2 and 3 are used by what takes the results */
	lua_pushnil(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, SCRIPT_SLOT_TRANSFORM);
	push_event(L, run);
	lua_call(L, 1, LUA_MULTRET);
	run->returned = true;
	count = lua_gettop(L) - 3;
	luaL_checkstack(L, 20, "results");
	for (int i = 0; i < count; i++)
		take_result(L, run, 4 + i);
	return 0;
}
