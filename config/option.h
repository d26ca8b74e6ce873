#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

/* One setting: its name in the file, where it lives, what it may be, what it means. From these rows
 * come parsing, "did you mean", `config print`, the reference and the JSON Schema. */
enum option_type {
	OPTION_TEXT,       /* const char * */
	OPTION_BOOL,       /* bool */
	OPTION_INT,        /* long */
	OPTION_DECIMAL,    /* long, millionths; written 0.02 or 3 */
	OPTION_MS,         /* long, ms; written 500ms 2s 5m 24h */
	OPTION_BYTES,      /* long; written 64KiB 256MiB 1GiB or a number */
	OPTION_ENUM,       /* long, an index into choices */
	OPTION_MAP,        /* struct option_map: text to text, any keys */
	OPTION_PATTERNS,   /* struct option_list: event patterns, as JSON texts */
	OPTION_TRANSFORMS, /* struct option_list: transforms, as JSON texts */
	OPTION_SCHEMAS,    /* struct option_list: schemas, as JSON texts */
};

enum {
	OPTION_REQUIRED = 1, /* the file must give it */
	OPTION_SECRET = 2,   /* printed as *** */
	OPTION_TEMPLATE = 4, /* ${…} is the event's placeholder, the environment ${env:NAME} */
	OPTION_RELOAD = 8,   /* read again on SIGHUP */
};

#define OPTION_DECIMAL_ONE 1000000L

struct option {
	const char *name; /* of a nested map with dots: "roll.size" */
	enum option_type type;
	size_t offset;
	const char *def;            /* as in the file; NULL: none (NULL, 0, false) */
	long min, max;              /* INT, DECIMAL, MS, BYTES; both 0: not bounded */
	const char *const *choices; /* ENUM, and TEXT that must be one of these: ends with NULL */
	unsigned flags;
	const char *help; /* one sentence */
	/* Of a group's first row: the word that may stand for the whole group, with nothing set. */
	const char *instead;
};

struct option_pair {
	const char *key, *value;
};
struct option_map {
	struct option_pair *pairs;
	size_t count;
};

#define OPTION_PATTERNS_MAX         100
#define OPTION_TRANSFORMS_BYTES_MAX ((size_t)64 << 10) /* of all of a list */
struct option_list {
	const char **texts;
	const char **shown; /* of TRANSFORMS and SCHEMAS, for config print: without secrets */
	size_t count;
};

/* One value into its field. `text` is kept, not copied (MAP, PATTERNS, TRANSFORMS and SCHEMAS rows
 * are not for this). The message says what was expected and not the setting's name: the caller
 * knows where it stands.
 */
bool option_set(const struct option *o, void *base, const char *text, struct error *err) MUST_CHECK;
/* Every row's default into its field. */
bool option_defaults(const struct option *table, void *base, struct error *err) MUST_CHECK;
/* The field as option_set reads it again, "2m" or "64KiB"; false where nothing is set. Not for
 * MAP, PATTERNS, TRANSFORMS and SCHEMAS rows. Secrets come out as they are. */
bool option_text(const struct option *o, const void *base, struct buf *out);
/* What may be written, for people: "a duration of 1s to 10m". */
void option_expected(const struct option *o, struct buf *out);
/* Whether a MAP row's value under this key is to be printed as ***. */
bool option_key_is_secret(const char *key);

/* NULL, or the name nearest to `name`, for "did you mean". */
const char *option_nearest(const struct option *table, const char *name);
/* The same over any names: offer each, then look at `best`. */
struct nearest {
	const char *name, *best;
	size_t distance;
};
void nearest_init(struct nearest *n, const char *name);
void nearest_offer(struct nearest *n, const char *candidate);

/* A duration such as 500ms, 2s, 5m, 24h in milliseconds. */
bool option_parse_ms(const char *text, long *out);
/* A size such as 64KiB, 256MiB, 1GiB or a number of bytes. */
bool option_parse_bytes(const char *text, long *out);

/* A table as the nested maps it is in the file: "roll.size" is `size` between enter("roll") and
 * leave("roll"). Each group comes once, where its first row stands. `key` is valid during the call.
 */
struct option_visitor {
	void (*row)(void *arg, const struct option *o, const char *key);
	void (*enter)(void *arg, const char *key);
	void (*leave)(void *arg, const char *key);
	void *arg;
};
void option_visit(const struct option *table, const struct option_visitor *v);
