#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* One setting: its name in the file, where it lives, what it may be, what it means. From these rows
 * come parsing, "did you mean", `config print`, the reference and the JSON Schema. */
enum option_type {
	OPTION_TEXT,  /* const char * */
	OPTION_BOOL,  /* bool */
	OPTION_INT,   /* long */
	OPTION_MS,    /* long, ms; written 500ms 2s 5m 24h */
	OPTION_BYTES, /* long; written 64KiB 256MiB 1GiB or a number */
	OPTION_ENUM,  /* long, an index into choices */
	OPTION_MAP,   /* struct option_map: text to text, any keys */
};

enum {
	OPTION_REQUIRED = 1, /* the file must give it */
	OPTION_SECRET = 2,   /* printed as *** */
	OPTION_TEMPLATE = 4, /* ${…} is a placeholder of the event; the environment is ${env:NAME} */
	OPTION_RELOAD = 8,   /* read again on SIGHUP */
};

struct option {
	const char *name; /* of a nested map with dots: "roll.size" */
	enum option_type type;
	size_t offset;
	const char *def;            /* as in the file; NULL: none (NULL, 0, false) */
	long min, max;              /* INT, MS, BYTES; both 0: not bounded */
	const char *const *choices; /* ENUM: ends with NULL */
	unsigned flags;
	const char *help; /* one sentence */
};

struct option_pair {
	const char *key, *value;
};
struct option_map {
	struct option_pair *pairs;
	size_t count;
};

/* One value into its field. `text` is kept, not copied (MAP rows are not for this). */
bool option_set(const struct option *o, void *base, const char *text, struct error *err) MUST_CHECK;
/* Every row's default into its field. */
bool option_defaults(const struct option *table, void *base, struct error *err) MUST_CHECK;
/* NULL, or the name nearest to `name`, for "did you mean". */
const char *option_nearest(const struct option *table, const char *name);
