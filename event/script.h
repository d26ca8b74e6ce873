#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "event/event.h"
#include "event/tree.h"

/* A Lua script that events go through: its global function `transform` is called with one event and
 * returns those that become of it (docs/transforms.md has the language's side). Constant once made,
 * but for its states, of which each is used by one thread at a time. A script reaches neither
 * files nor network, clock nor chance; it may use so many instructions an event and so much memory,
 * and is stopped where it wants more. */
struct script;

#define SCRIPT_INSTRUCTIONS     100000
#define SCRIPT_INSTRUCTIONS_MIN 1000
#define SCRIPT_INSTRUCTIONS_MAX 100000000
#define SCRIPT_MEMORY           ((size_t)8 << 20)
#define SCRIPT_MEMORY_MIN       ((size_t)1 << 20)
#define SCRIPT_MEMORY_MAX       ((size_t)1 << 30)
#define SCRIPT_SOURCE_MAX       ((size_t)1 << 20)
#define SCRIPT_LOOKUPS_MAX      16
#define SCRIPT_EVENTS_MAX       1000 /* that become of one */

struct script_lookup;
struct script_setting {
	struct str name; /* of the script, in messages: orders.lua */
	struct str source;
	uint64_t instructions; /* an event */
	size_t memory_bytes;   /* a state */
	/* Tables that it may look into; they outlive the script. */
	const char *const *lookup_names;
	const struct script_lookup *const *lookups;
	size_t lookup_count;
};
/* NULL and ERROR_INVALID where it cannot be compiled, fails while it is loaded, or has no function
 * `transform`; the message begins with NAME:LINE: where that is known. Copies what it needs. */
struct script *script_new(const struct script_setting *setting, struct error *err);
void script_free(struct script *s); /* none of its states is in use */
DEFINE_AUTO(script)

/* A script at work. */
struct script_state;
struct script_state *script_take(struct script *s);
void script_give(struct script *s, struct script_state *state);

/* Why an event could not be made. */
enum script_fault {
	SCRIPT_FINE,
	SCRIPT_ERROR,  /* the script's own */
	SCRIPT_RESULT, /* what it returned is no event */
	SCRIPT_STEPS,  /* more instructions, or a second of CPU time */
	SCRIPT_SPACE,  /* more memory */
};
/* "error", "result", "instructions", "memory": for a metric's label. */
const char *script_fault_name(enum script_fault fault);

/* An event's items, open trees whose attributes are settled; NULL where the record has none. */
enum script_item { SCRIPT_KEYS, SCRIPT_NEW, SCRIPT_OLD, SCRIPT_ITEMS };
struct script_event {
	struct tree *items[SCRIPT_ITEMS];
};
/* What else an event says. */
struct script_facts {
	enum event_op op;
	bool ttl;
	int64_t time_ms;
	const struct sequence *sequence;
	const struct source *source;
};
/* Events that become of `in`, *count of them in *out; each has the items that `in` has, and none
 * shares a tree with another. All of it lives in `memory`, until that is cleared. A fault is told
 * in message. After SCRIPT_STEPS and SCRIPT_SPACE the state begins anew. */
enum script_fault script_run(struct script_state *state, struct tree_memory *memory,
			     const struct script_facts *facts, const struct script_event *in,
			     struct script_event **out, size_t *count, char *message, size_t size);

/* --- lookups --- */
#define SCRIPT_LOOKUP_MAX ((size_t)64 << 20) /* bytes of its file */
/* A table of what stands in a JSON object, by its members' names, or in a CSV file with a head, by
 * its first column: constant, for any thread. NULL and ERROR_INVALID; the message begins with the
 * line. */
struct script_lookup *script_lookup_new(struct str text, bool csv, struct error *err);
void script_lookup_free(struct script_lookup *l);
size_t script_lookup_count(const struct script_lookup *l);
/* The value of a key, DynamoDB's JSON, padded; p NULL: there is none. */
struct str script_lookup_find(const struct script_lookup *l, struct str key);

/* --- files --- */
/* The script of a file and its lookups' files: read once a process, when it is asked for the first
 * time, and kept until it ends, so that streams which are opened later run what was checked; the
 * same settings are the same script. Any thread. NULL and ERROR_INVALID. */
struct script_files {
	const char *file;
	uint64_t instructions;
	size_t memory_bytes;
	size_t lookup_count;
	struct {
		const char *name, *file;
	} lookups[SCRIPT_LOOKUPS_MAX];
};
struct script *script_load(const struct script_files *files, struct error *err);
