#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "event/hmac.h"
#include "event/script.h"
#include "event/transform.h"

/* Between transform.c (definitions are made into steps), transform_path.c, transform_define.c (what
 * a definition says) and transformer.c (steps are applied). All lives in the transform's arena. */

/* --- a definition, as the tree that its JSON is --- */
enum define_kind {
	DEFINE_TEXT,
	DEFINE_NUMBER,
	DEFINE_TRUE,
	DEFINE_FALSE,
	DEFINE_NULL,
	DEFINE_LIST,
	DEFINE_MAP
};
struct define {
	enum define_kind kind;
	const char *at;  /* in the JSON */
	struct str name; /* in a map */
	struct str text; /* what a TEXT says; a NUMBER's digits */
	struct define *first, *next;
	size_t count;
};

/* A constant as values have it: with what may be read behind. */
#define TRANSFORM_PADDED(json)                                                                     \
	((struct str){ json "                                "                                     \
			    "                                ",                                    \
		       sizeof(json) - 1 })

/* --- paths --- */
enum transform_part_kind { PART_NAME, PART_INDEX, PART_ALL };
struct transform_part {
	enum transform_part_kind kind;
	struct str name; /* as JSON writes it, in its one spelling */
	uint32_t id;     /* of the first part's name */
	size_t index;
};
#define TRANSFORM_PARTS_MAX 32
struct transform_path {
	size_t count;
	struct transform_part *parts;
	const char *text; /* as it was written, for people */
};

/* --- steps --- */
enum transform_kind {
	TRANSFORM_KEEP,
	TRANSFORM_DROP,
	TRANSFORM_RENAME,
	TRANSFORM_MOVE,
	TRANSFORM_SET,
	TRANSFORM_CAST,
	TRANSFORM_MASK,
	TRANSFORM_HASH,
	TRANSFORM_TRUNCATE,
	TRANSFORM_FLATTEN,
	TRANSFORM_PARSE,
	TRANSFORM_SPLIT,
	TRANSFORM_STRIP,
	TRANSFORM_LUA, /* of the whole event, not of an item */
};
enum transform_fail {
	FAIL_ERROR = 1, /* the record is bad */
	FAIL_KEEP = 2,  /* the attribute stays as it is */
	FAIL_NULL = 4,
	FAIL_DROP = 8,
};
enum transform_cast { CAST_STRING, CAST_NUMBER, CAST_BOOL };

/* What of a map or list is kept. */
struct transform_keep {
	struct transform_part part;
	bool all;                      /* with all that is in it */
	struct transform_keep *inside; /* else this */
	struct transform_keep *next;
};

/* Texts and placeholders of `set`. */
enum transform_piece_kind {
	PIECE_TEXT, /* as JSON writes it */
	PIECE_ATTRIBUTE,
	PIECE_TABLE,
	PIECE_STREAM,
	PIECE_REGION,
	PIECE_ACCOUNT,
	PIECE_OP,
};
struct transform_piece {
	enum transform_piece_kind kind;
	struct str text; /* of PIECE_TEXT; an attribute's default, p NULL: none */
	struct transform_path path;
	struct transform_piece *next;
};
struct transform_set {
	struct str raw; /* a constant that is no text, in DynamoDB's JSON */
	uint8_t type;   /* of it, enum tree_type */
	struct transform_piece *pieces;
};

struct transform_step {
	enum transform_kind kind;
	enum transform_fail fail;
	struct transform_path path;
	const char *name; /* of the kind, for people */
	struct transform_step *next;
	union {
		struct transform_keep *keep;
		struct transform_part rename;
		struct transform_path to; /* of move */
		struct transform_set set;
		enum transform_cast cast;
		struct {
			struct str with;
			size_t first, last; /* characters that are shown */
		} mask;
		struct {
			struct hmac_key *key;
			bool base64;
			unsigned memo;
		} hash;
		size_t truncate;
		struct str separator; /* of flatten and split */
		struct {
			struct script *script; /* of the process */
			unsigned index;
		} lua;
	};
};

struct transform {
	struct arena arena;
	struct transform_step *steps, *last;
	/* Names of top level that steps speak of; their place is their id, from 1 on. */
	struct str *names;
	uint32_t name_count;
	unsigned hash_count, script_count;

	/* Of transform_plan. */
	const struct transform_step *rest; /* the first step that asks for more than names */
	bool *asked;    /* by id: a step from `rest` on asks for that attribute */
	bool asked_all; /* such a step asks for each */
	/* By id: the only one of those steps that has to do with the attribute, with what else that
	 * step asks for, and with what it makes, if it only changes values. NULL: there is none. */
	const struct transform_step **alone;
};
/* When all steps are there. */
void transform_plan(struct transform *t);

/* While definitions are read. */
struct definer {
	struct transform *transform;
	const char *what; /* is defined: "transform" */
	const char *text; /* the definition */
	const char *at;   /* in it, after a fault */
	struct error *err;
};

/* False, after noting place and message. */
bool define_fail(struct definer *d, const char *at, const char *fmt, ...) PRINTF(3, 4);
/* For "%.*s" of what may be long. */
#define SHORT(s) (int)((s).n < 60 ? (s).n : 60), (s).p
/* NULL after a fault. The arena keeps a copy, d->text. */
struct define *define_parse(struct definer *d, struct str json);
struct define *define_member(const struct define *map, const char *name);

/* The path that a text says; `at`: of it, for faults. */
bool path_parse(struct definer *d, struct str text, const char *at, struct transform_path *out);
bool path_has(const struct transform_path *path, enum transform_part_kind kind);
/* Whether `path` begins with all of `with`. */
bool path_begins(const struct transform_path *path, const struct transform_path *with);

/* The steps of one definition, behind the others. */
bool define_steps(struct definer *d, const struct define *definition);
/* What `lua` says; value: its file, or a map. Faults are told with its name. */
bool define_script(struct definer *d, const struct define *value, struct transform_step *out);
/* The template of a `set`. */
bool define_template(struct definer *d, const struct define *value, struct transform_set *out);
