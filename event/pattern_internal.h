#pragma once
#include <stdbool.h>

#include "event/filter_internal.h"
#include "event/scan.h"

/* Between pattern.c (maps and lists) and pattern_operators.c (the values and operators of a list).
 */

/* What a map's names are about, or what a list's values are compared with. */
enum place {
	PLACE_NONE,
	PLACE_RECORD,   /* eventName, dynamodb, … */
	PLACE_IDENTITY, /* of userIdentity */
	PLACE_ROW,      /* of sluice, which rows of an export have */
	PLACE_CHANGE,   /* of dynamodb: NewImage, … */
	PLACE_ITEM,     /* attributes by name */
	PLACE_VALUE,    /* types: S, N, … */
	PLACE_TEXT,
	PLACE_NAME,   /* INSERT, MODIFY, REMOVE */
	PLACE_NUMBER, /* of the record: SizeBytes */
	PLACE_N,      /* a number written as text */
	PLACE_BOOL,
	PLACE_TRUE,   /* of NULL */
	PLACE_INSIDE, /* M and L: as a list only `exists` */
};

struct parser {
	struct scan scan; /* the pattern is found to be JSON before it is read */
	struct arena *arena;
	const char *at; /* after a fault */
	struct error *err;
};

/* Where a list stands, and what its values may be. */
struct spot {
	const struct filter_step *step;
	enum place place;
};

/* False, after noting the place and the message. */
bool pattern_fail(struct parser *ps, const char *p, const struct filter_step *step, const char *fmt,
		  ...) PRINTF(4, 5);
#define PATTERN_EXAMPLE "{\"eventName\": [\"INSERT\"]}"
/* For "%.*s" of what may be long. */
#define SHORT(s) (int)((s).n < 60 ? (s).n : 60), (s).p

/* "a map", "a text": what stands at p; and what a list's entry should be. For people. */
const char *pattern_kind(const char *p);
const char *pattern_expected(enum place place);

/* The following return the place behind what they read, or NULL after a fault. */

/* p at a string; what it says is the arena's. Cannot fail. */
const char *pattern_text(struct parser *ps, const char *p, struct str *out);
/* A text, number, true, false or null by itself. */
const char *pattern_plain(struct parser *ps, const struct spot *s, const char *p,
			  struct filter_test **out);
/* {"prefix": "a"} and all others but `exists`, whose value goes to *exists instead: 't', 'f' or 0.
 */
const char *pattern_operator(struct parser *ps, const struct spot *s, const char *p,
			     struct filter_test **out, char *exists);
