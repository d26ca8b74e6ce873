#pragma once
#include <stdbool.h>

#include "event/tree.h"

/* Attributes of an item in DynamoDB's JSON, looked up where they stand: the item was found valid
 * before and is padded. Nothing is kept. */
struct attribute {
	struct str name;  /* as JSON writes it, without quotes */
	struct str value; /* in DynamoDB's JSON */
	enum tree_type type;
	const char *inside; /* of the value, behind its type */
};

/* The attribute at *p, and *p behind it; *p begins behind the item's '{'. False: there are no more.
 */
bool attribute_next(const char **p, struct attribute *out);
/* Whether a name as JSON writes it says `plain`. */
bool attribute_is_called(struct str name, struct str plain);
/* What a path of plain names leads to, from the item's '{'. False: it is not there. */
bool attribute_find(const char *item, const struct str *names, size_t count, struct attribute *out);
/* What stands between the quotes of an S, N or B. */
struct str attribute_body(const struct attribute *a);
