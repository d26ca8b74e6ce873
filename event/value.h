#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "event/scan.h"

/* Items and attribute values, from DynamoDB's JSON ({"S":"a"}) to plain JSON ("a"), checked as they
 * are copied: exactly one type, numbers, base64, sets that are not empty, depth. The output is
 * compact and not longer than the input, SCAN_PADDING apart. Binary stays base64, sets become
 * arrays, NULL null. */
#define VALUE_DEPTH_MAX 32 /* lists and maps inside each other, in one attribute */

struct value_style {
	bool numbers_as_strings;
	/* Top-level names that are `_op`, `_ts`, `_seq`, `_gen` or `_order`, with one underscore or
	 * more in front, get another one, so that they never meet the members of that name that
	 * the `plain` format adds. */
	bool escape_names;
};

/* Attributes of the items read last, in their order: what comes next is mostly like them. The same
 * names and types come again in item after item, and the two images of an update differ in a few
 * attributes. A guess that is wrong costs a comparison; the output is the same. Zeroed at first,
 * and for one style and one page. */
#define VALUE_MEMORY_MAX 64
struct value_seen {
	const char *in, *out; /* the attribute from its name's quote to its value's end */
	uint32_t in_n, out_n;
	uint32_t head_n; /* of in, what announces the type: "name":{"S":" or "name": */
	char type;       /* S N M L; else only the name is of use */
};
struct value_memory {
	struct value_seen seen[2][VALUE_MEMORY_MAX]; /* of the last item, and of this one */
	unsigned count, last;
	/* Of the last item: `out` still holds what it held. Cleared by who moves or overwrites it.
	 */
	bool fresh;
};

/* p at the item's '{'. memory may be NULL. */
struct span value_item(struct scan *s, struct value_style style, struct value_memory *memory,
		       const char *p, char *o);
/* Whether `name`, as it stands in the JSON, is one that escape_names is about. */
bool value_name_reserved(struct str name);
