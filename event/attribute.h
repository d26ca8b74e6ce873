#pragma once
#include <stdbool.h>

#include "event/record.h"
#include "event/tree.h"

/* Attributes of an item in DynamoDB's JSON, looked up where they stand: the item was found valid
 * before and is padded. Nothing is kept. */
struct attribute {
	struct str name;  /* as JSON writes it, without quotes */
	struct str value; /* in DynamoDB's JSON */
	enum tree_type type;
	const char *inside; /* of the value, behind its type */
};

/* Those of an item, or of a map, that are still to come. */
struct attributes {
	const char *p;                       /* behind the last one */
	const struct value_seen *seen, *end; /* of an image whose attributes were kept; else NULL */
};
static inline struct attributes attributes_in(const char *map)
{
	return (struct attributes){ .p = map };
}
/* Of what says what a record is about: its new image, else the old one, else its key. kept: the
 * reader of records keeps attributes. */
struct attributes attributes_of(const struct record *r, bool kept);
struct attributes attributes_of_image(const struct item *image, bool kept);
bool attribute_next(struct attributes *a, struct attribute *out);
/* Whether a name as JSON writes it says `plain`; `attribute_says` of any, at more cost. */
bool attribute_says(struct str name, struct str plain);
static inline bool attribute_is_called(struct str name, struct str plain)
{
	/* Escapes are longer than what they stand for. */
	if (name.n <= plain.n)
		return name.n == plain.n && memcmp(name.p, plain.p, plain.n) == 0 &&
		       !memchr(plain.p, '\\', plain.n);
	return UNLIKELY(memchr(name.p, '\\', name.n) != NULL) && attribute_says(name, plain);
}
/* What a path of plain names leads to. False: it is not there. */
bool attribute_find(struct attributes a, const struct str *names, size_t count,
		    struct attribute *out);
/* What stands between the quotes of an S, N or B. */
struct str attribute_body(const struct attribute *a);
