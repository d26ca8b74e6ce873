#pragma once
#include <stdbool.h>

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

/* p at the item's '{'. */
struct span value_item(struct scan *s, struct value_style style, const char *p, char *o);
/* Whether `name`, as it stands in the JSON, is one that escape_names is about. */
bool value_name_reserved(struct str name);
