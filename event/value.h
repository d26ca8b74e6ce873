#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "event/scan.h"

/* Items and attribute values, from DynamoDB's JSON ({"S":"a"}) to plain JSON ("a"), checked as they
 * are copied: exactly one type, numbers, base64, sets that are not empty, depth. The output is
 * compact and not longer than the input, SCAN_PADDING apart. Binary stays base64, sets become
 * arrays, NULL null. */
#define VALUE_DEPTH_MAX 32 /* lists and maps inside each other, in one attribute */

struct event_fields;
struct value_style {
	bool numbers_as_strings;
	/* Top-level names that are `_op`, `_ts`, `_seq`, `_gen`, `_order` or `_part`, or what
	 * `fields` has in their place, with any more underscores in front, get another one, so that
	 * they never meet the members of that name that the `plain` format adds. */
	bool escape_names;
	const struct event_fields *fields; /* with escape_names; NULL: the default ones */
};

/* The attributes of the items read so far, in the order in which they come: the next item is mostly
 * like them. The same names and types come again in item after item, and the two images of an
 * update differ in a few attributes. A guess that is wrong costs a comparison; the output is the
 * same. */
#define VALUE_MEMORY_MAX 64
struct value_seen {
	const char *in, *out; /* from its name's quote to its value's end */
	uint32_t in_n, out_n;
	uint32_t head_n; /* of in, what announces the type: "name":{"S":" or "name": */
	uint32_t type;   /* S N M L; else the head is the name alone */
};
struct value_memory {
	struct value_seen seen[VALUE_MEMORY_MAX];
	/* What was seen from here on has its `out` still: set to where a record begins, whose items
	 * are written behind each other. */
	const char *since;
	/* Attributes of the last item, which are the first in `seen`; from VALUE_MEMORY_MAX - 1 on
	 * it may have more. */
	uint32_t count;
	/* Grows with each attribute that was not expected: while it stays, attributes at one place
	 * have one name. */
	uint32_t changes;
};
/* For one page, which begins before any item of it, and for one style. */
void value_memory_init(struct value_memory *m, const char *page);
/* What was seen so far is not to be used. */
void value_memory_forget(struct value_memory *m, const char *page);

/* p at the item's '{'. memory may be NULL. */
struct span value_item(struct scan *s, struct value_style style, struct value_memory *memory,
		       const char *p, char *o);
/* One attribute value, p at its '{', as part of an item. */
struct span value_plain(struct scan *s, struct value_style style, const char *p, char *o);
/* Whether `name`, as it stands in the JSON, is one that gets another underscore in this style. */
bool value_name_escaped(struct value_style style, struct str name);
/* Whether a text with the one style's names may serve for the other. plain: no name in it begins
 * with an underscore, or is escaped in JSON. */
static inline bool value_names_serve(struct value_style have, struct value_style want, bool plain)
{
	if (have.escape_names == want.escape_names && have.fields == want.fields)
		return true;
	return plain && !have.fields && !want.fields;
}
