/* Scripts and their states. */
#include "event/script.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "event/script_internal.h"

#define CPU_MAX_NS ((int64_t)1000000000)
/* What a state may take beyond its limit until that is noticed, with the line at fault. */
#define MEMORY_SLACK 2

const char *script_fault_name(enum script_fault fault)
{
	static const char *const names[] = { "", "error", "result", "instructions", "memory" };

	return names[fault];
}

/* ---- limits ---- */

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The script's own line: what called, or called that. */
static void push_line(lua_State *L)
{
	lua_Debug info;

	for (int level = 0; lua_getstack(L, level, &info); level++) {
		lua_getinfo(L, "Sl", &info);
		if (info.currentline > 0) {
			lua_pushfstring(L, "%s:%d: ", info.short_src, info.currentline);
			return;
		}
	}
	lua_pushliteral(L, "");
}

_Noreturn void script_stop(lua_State *L, enum script_fault fault)
{
	struct script_state *s = script_of(L);
	const struct script *script = s->script;

	if (!s->stop)
		s->stop = fault;
	push_line(L);
	if (s->stop == SCRIPT_SPACE)
		lua_pushfstring(L, "more memory than %I MiB",
				(LUAI_UACINT)(script->memory_bytes >> 20));
	else
		lua_pushfstring(L, "more than %I instructions an event",
				(LUAI_UACINT)script->instructions);
	lua_concat(L, 2);
	lua_error(L);
	abort(); /* lua_error does not return */
}

/* Also called at the next instruction after memory was taken that is too much. */
static void hook(lua_State *L, lua_Debug *info)
{
	struct script_state *s = script_of(L);

	(void)info;
	if (s->stop)
		script_stop(L, s->stop);
	s->fuel -= (int64_t)lua_gethookcount(L) * SCRIPT_FUEL_INSTRUCTION;
	if (s->memory_used > s->script->memory_bytes) {
		lua_gc(L, LUA_GCCOLLECT);
		if (s->memory_used > s->script->memory_bytes)
			script_stop(L, SCRIPT_SPACE);
	}
	/* Asking for the time costs about as much as a small script. */
	if (s->cpu_end_ns == 0)
		s->cpu_end_ns = cpu_ns() + CPU_MAX_NS;
	if (s->fuel < 0 || cpu_ns() > s->cpu_end_ns)
		script_stop(L, SCRIPT_STEPS);
	lua_sethook(L, hook, LUA_MASKCOUNT, SCRIPT_HOOK_EVERY);
}

void *script_allocate(void *ud, void *p, size_t old, size_t size)
{
	struct script_state *s = ud;
	size_t had = p ? old : 0;
	bool more = size > had;
	void *new;

	if (size == 0) {
		free(p);
		s->memory_used -= had;
		return NULL;
	}
	if (more && s->memory_used + (size - had) > MEMORY_SLACK * s->script->memory_bytes)
		return NULL;
	new = realloc(p, size);
	if (!new)
		return NULL;
	s->memory_used += size;
	s->memory_used -= had;
	if (!more || !s->limited)
		return new;
	s->fuel -= (int64_t)((size - had) / SCRIPT_FUEL_BYTES);
	/* Lua asks the hook before its next instruction: then there is a line to blame. */
	if (s->fuel < 0 || s->memory_used > s->script->memory_bytes)
		lua_sethook(s->L, hook, LUA_MASKCOUNT, 1);
	return new;
}

void script_meter_begin(struct script_state *s)
{
	s->stop = SCRIPT_FINE;
	s->fuel = (int64_t)s->script->instructions * SCRIPT_FUEL_INSTRUCTION;
	s->cpu_end_ns = 0;
	s->limited = true;
	lua_sethook(s->L, hook, LUA_MASKCOUNT, SCRIPT_HOOK_EVERY);
}

void script_meter_end(struct script_state *s)
{
	s->limited = false;
	lua_sethook(s->L, NULL, 0, 0);
}

/* ---- states ---- */

static int panic(lua_State *L)
{
	/* All of it runs in protected calls. */
	(void)L;
	abort();
}

static int open_state(lua_State *L)
{
	script_sandbox_open(L);
	script_values_open(L);
	script_nodes_open(L);
	script_wholes_open(L);
	script_lookups_open(L);
	return 0;
}

/* Runs the script's text and finds its function. */
static int load_script(lua_State *L)
{
	const struct script *s = lua_touserdata(L, 1);

	if (luaL_loadbufferx(L, s->source, s->source_n, s->name, "t") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 0);
	if (lua_getglobal(L, "transform") != LUA_TFUNCTION)
		return luaL_error(L,
				  "%s: there is no function transform(event), such as: function "
				  "transform(event) return event end",
				  s->name + 1);
	lua_rawseti(L, LUA_REGISTRYINDEX, SCRIPT_SLOT_TRANSFORM);
	return 0;
}

static bool call(lua_State *L, int (*function)(lua_State *), void *argument, struct error *err)
{
	const char *text;

	lua_pushcfunction(L, function);
	lua_pushlightuserdata(L, argument);
	if (lua_pcall(L, 1, 0, 0) == LUA_OK)
		return true;
	text = lua_tostring(L, -1);
	error_set(err, ERROR_INVALID, "%s", text ? text : "an error that is no text");
	lua_settop(L, 0);
	return false;
}

static void state_close(struct script_state *s)
{
	if (s->L)
		lua_close(s->L);
	s->L = NULL;
	assert(s->memory_used == 0);
}

/* With the script loaded. */
static bool state_open(struct script_state *s, struct error *err)
{
	struct tree_memory memory = { .left = TREE_BYTES_MAX };
	bool ok;

	s->limited = false;
	s->L = lua_newstate(script_allocate, s);
	if (!s->L)
		return error_set(err, ERROR_INVALID, "%s: no memory for a state of Lua",
				 s->script->name + 1);
	*(struct script_state **)lua_getextraspace(s->L) = s;
	lua_atpanic(s->L, panic);
	arena_init(&memory.arena);
	s->memory = &memory;
	ok = call(s->L, open_state, NULL, err);
	if (ok) {
		script_meter_begin(s);
		ok = call(s->L, load_script, s->script, err);
		script_meter_end(s);
	}
	s->memory = NULL;
	s->epoch++;
	arena_release(&memory.arena);
	if (!ok)
		state_close(s);
	return ok;
}

static struct script_state *state_new(struct script *script)
{
	struct script_state *s = memory_new(sizeof(*s));

	s->script = script;
	return s;
}

struct script_state *script_take(struct script *s)
{
	struct script_state *state;

	pthread_mutex_lock(&s->lock);
	state = s->free;
	if (state)
		s->free = state->next;
	pthread_mutex_unlock(&s->lock);
	return state ? state : state_new(s);
}

void script_give(struct script *s, struct script_state *state)
{
	pthread_mutex_lock(&s->lock);
	state->next = s->free;
	s->free = state;
	pthread_mutex_unlock(&s->lock);
}

/* ---- one event ---- */

enum script_fault script_run(struct script_state *s, struct tree_memory *memory,
			     const struct script_facts *facts, const struct script_event *in,
			     struct script_event **out, size_t *count, char *message, size_t size)
{
	struct script_run run = { .facts = facts, .in = in };
	struct error err = { 0 };
	int status;

	if (!s->L && !state_open(s, &err)) {
		snprintf(message, size, "%s", err.message);
		return SCRIPT_ERROR;
	}
	s->memory = memory;
	s->epoch++;
	script_meter_begin(s);
	lua_pushcfunction(s->L, script_run_event);
	lua_pushlightuserdata(s->L, &run);
	status = lua_pcall(s->L, 1, 0, 0);
	script_meter_end(s);
	s->memory = NULL;
	s->epoch++;
	if (status == LUA_OK && !s->stop) {
		*out = run.out;
		*count = run.count;
		return SCRIPT_FINE;
	}
	if (status == LUA_ERRMEM && !s->stop) {
		s->stop = SCRIPT_SPACE;
		snprintf(message, size, "%s: more memory than %zu MiB", s->script->name + 1,
			 s->script->memory_bytes >> 20);
	} else {
		const char *text = lua_tostring(s->L, -1);

		if (text && !run.returned) /* its file and line are part of it */
			snprintf(message, size, "%s", text);
		else
			snprintf(message, size, "%s: %s", s->script->name + 1,
				 text ? text : "an error that is no text");
	}
	lua_settop(s->L, 0);
	if (!s->stop)
		return run.returned ? SCRIPT_RESULT : SCRIPT_ERROR;
	state_close(s);
	return s->stop;
}

/* ---- life ---- */

struct script *script_new(const struct script_setting *setting, struct error *err)
{
	AUTO(script) struct script *s = memory_new(sizeof(*s));
	struct script_state *state;

	pthread_mutex_init(&s->lock, NULL);
	assert(setting->lookup_count <= SCRIPT_LOOKUPS_MAX);
	/* Lua takes a name that begins with '@' for a file's. */
	s->name = memory_resize(NULL, setting->name.n + 2);
	s->name[0] = '@';
	memcpy(s->name + 1, setting->name.p, setting->name.n);
	s->name[setting->name.n + 1] = '\0';
	s->source = memory_text_n(setting->source.p, setting->source.n);
	s->source_n = setting->source.n;
	s->instructions = setting->instructions;
	s->memory_bytes = setting->memory_bytes;
	for (; s->lookup_count < setting->lookup_count; s->lookup_count++) {
		s->lookup_names[s->lookup_count] =
			memory_text(setting->lookup_names[s->lookup_count]);
		s->lookups[s->lookup_count] = setting->lookups[s->lookup_count];
	}
	state = state_new(s);
	script_give(s, state);
	if (!state_open(state, err))
		return NULL;
	return MOVE(s);
}

void script_free(struct script *s)
{
	if (!s)
		return;
	for (struct script_state *state = s->free, *next; state; state = next) {
		next = state->next;
		state_close(state);
		free(state);
	}
	for (size_t i = 0; i < s->lookup_count; i++)
		free(s->lookup_names[i]);
	pthread_mutex_destroy(&s->lock);
	free(s->name);
	free(s->source);
	free(s);
}
