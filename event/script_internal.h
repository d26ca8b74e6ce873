#pragma once
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>

#include "event/script.h"

/* Between script.c (scripts and their states), script_run.c (an event's way through one),
 * script_sandbox.c (what of Lua's libraries there is), script_pattern.c and script_string.c (its
 * patterns, whose work is counted), script_value.c, script_node.c and script_whole.c (DynamoDB's
 * values in Lua).
 *
 * Lua's errors are longjmps: a function that may raise one owns nothing when it calls Lua. What
 * lives as long as the event is in its tree_memory. */

/* Work is counted in parts of an instruction. */
#define SCRIPT_FUEL_INSTRUCTION 16
#define SCRIPT_FUEL_BYTES       8 /* of new memory, for one part */
#define SCRIPT_HOOK_EVERY       1000

struct script_state {
	lua_State *L; /* NULL: to be made anew */
	struct script *script;
	size_t memory_used;
	int64_t fuel;
	int64_t cpu_end_ns;
	bool limited; /* memory: false while the state itself is made */
	enum script_fault stop;
	/* The event in work; what belongs to another one is not looked into. */
	uint64_t epoch;
	struct tree_memory *memory;
	struct script_state *next; /* of those that nobody uses */
};

struct script {
	pthread_mutex_t lock; /* of `free`: readers take and give back states, once a page */
	struct script_state *free;
	char *name, *source;
	size_t source_n;
	uint64_t instructions;
	size_t memory_bytes;
	char *lookup_names[SCRIPT_LOOKUPS_MAX];
	const struct script_lookup *lookups[SCRIPT_LOOKUPS_MAX];
	size_t lookup_count;
};

static inline struct script_state *script_of(lua_State *L)
{
	return *(struct script_state **)lua_getextraspace(L);
}

/* Places in the registry. */
enum script_slot {
	SCRIPT_SLOT_TRANSFORM = LUA_RIDX_LAST + 1,
	SCRIPT_SLOT_NULL,
	SCRIPT_SLOT_MAP, /* metatables of userdata, */
	SCRIPT_SLOT_LIST,
	SCRIPT_SLOT_SET,
	SCRIPT_SLOT_BINARY,
	SCRIPT_SLOT_DECIMAL,
	SCRIPT_SLOT_AS_LIST, /* and of tables that say what they are */
	SCRIPT_SLOT_AS_MAP,
	SCRIPT_SLOTS
};

_Noreturn void script_stop(lua_State *L, enum script_fault fault);
/* Raises where nothing is left. */
static inline void script_charge(lua_State *L, size_t parts)
{
	struct script_state *s = script_of(L);

	s->fuel -= (int64_t)parts;
	if (UNLIKELY(s->fuel < 0))
		script_stop(L, SCRIPT_STEPS);
}
/* Starts and ends counting. */
void script_meter_begin(struct script_state *s);
void script_meter_end(struct script_state *s);
void *script_allocate(void *ud, void *p, size_t old, size_t size);

/* The libraries, with what this program adds, as globals. */
void script_sandbox_open(lua_State *L);
void script_strings_open(lua_State *L);
void script_values_open(lua_State *L);
void script_nodes_open(lua_State *L);
void script_wholes_open(lua_State *L); /* behind the values */
void script_lookups_open(lua_State *L);

/* One event in a script. */
struct script_run {
	const struct script_facts *facts;
	const struct script_event *in;
	struct script_event *out;
	size_t count, capacity;
	bool returned; /* what fails now is not the script, but what it returned */
};
/* Its argument is a light userdata, a struct script_run. */
int script_run_event(lua_State *L);

/* --- patterns --- */
#define SCRIPT_CAPTURES_MAX 32
struct script_match {
	lua_State *L;
	const char *text, *text_end, *pattern_end;
	unsigned depth; /* that is left */
	int level;      /* captures, finished or not */
	struct {
		const char *p;
		ptrdiff_t n;
	} captures[SCRIPT_CAPTURES_MAX];
};
#define SCRIPT_CAPTURE_OPEN  (-1)
#define SCRIPT_CAPTURE_PLACE (-2)
void script_match_init(struct script_match *m, lua_State *L, struct str text, struct str pattern);
/* The end of a match that begins at p; NULL: there is none. */
const char *script_match_at(struct script_match *m, const char *p, const char *pattern);

/* --- values --- */
/* Raises: the event's memory is used up. */
_Noreturn void script_no_room(lua_State *L);
/* Memory of the event's; raises where there is none. */
char *script_bytes(lua_State *L, size_t n);
/* An attribute's value, whose container is `parent`. */
struct script_path;
void script_push(lua_State *L, struct script_path *parent, struct tree *t);
/* The same of what is in no item. */
void script_push_raw(lua_State *L, struct str raw);
/* A number's text. */
void script_push_number(lua_State *L, struct str text);
/* A value of Lua as a new tree, in a container `depth` deep; raises where it is none. */
struct tree *script_value(lua_State *L, int index, unsigned depth);
struct tree *script_scalar(lua_State *L, enum tree_type type, struct str body);
/* The text of a number; raises where DynamoDB cannot hold it. */
#define SCRIPT_NUMBER_SIZE 256
struct str script_number(lua_State *L, int index, char out[SCRIPT_NUMBER_SIZE]);
/* A text as JSON writes it between quotes, padded; raises where it is no UTF-8. */
struct str script_escaped(lua_State *L, struct str plain, const char *what);
/* What a text between JSON's quotes says, in the event's memory. */
struct str script_plain(lua_State *L, struct str body);

/* Whether the userdata at index has the metatable of that slot. */
bool script_is(lua_State *L, int index, enum script_slot slot);
/* A new metatable, in its slot and on the stack; scripts do not get at it. */
void script_metatable(lua_State *L, enum script_slot slot, const char *name,
		      const luaL_Reg *functions);

/* A map or list that a script looks at, and those around it. */
struct script_path {
	struct tree *node;
	struct script_path *parent; /* NULL: it is an item, or in none */
	unsigned depth;             /* of containers inside the item */
	/* The element that was asked for last, and its index from 1 on; NULL: none. */
	struct tree *at;
	lua_Integer index;
};
void script_push_node(lua_State *L, struct script_path *parent, struct tree *t);
/* NULL: it is none. Raises for one of another event. */
struct script_path *script_node(lua_State *L, int index);
/* A copy without a name; raises where it would be too deep. */
struct tree *script_clone(lua_State *L, const struct tree *t, unsigned depth);

/* Values that are whole in themselves: DynamoDB's JSON, which a script can keep. */
struct script_whole {
	size_t n; /* SCAN_PADDING zeros behind */
	char raw[];
};
void script_push_whole(lua_State *L, enum script_slot slot, struct str raw);
/* NULL: not a set, binary or decimal. */
const struct script_whole *script_whole(lua_State *L, int index, enum script_slot slot);
/* What stands between the quotes of a binary or decimal. */
static inline struct str script_whole_body(const struct script_whole *w)
{
	return (struct str){ w->raw + 6, w->n - 8 };
}
