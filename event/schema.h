#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "event/record.h"
#include "event/transformer.h"

/* What the items of a table may look like: a list of definitions, of which a record has the first
 * whose condition its item fulfils. Compiled once, then constant: any thread may use it. Each
 * definition is a map, as JSON:
 *
 *     {"name": "order",
 *      "when": {"type": "order"},                 a condition; none: it fits every item
 *      "columns": [{"path": "total", "type": "number", "required": true},
 *                  {"path": "address.town", "type": "string", "default": "?"}],
 *      "mode": "strict",                          or evolve
 *      "append_only": true}
 *
 * Items are taken as they came, before any transform. What is checked is a new image; a delete is
 * sorted by its old image, or its keys, and never bad. docs/schemas.md says what each means. */
#define SCHEMAS_MAX        100
#define SCHEMA_COLUMNS_MAX 1000
#define SCHEMA_NAME_MAX    100
#define SCHEMA_FILLS_MAX   100 /* columns with a default */
struct schemas;

/* NULL and ERROR_INVALID: the message begins with the place inside the definition. count > 0. */
struct schemas *schemas_new(const struct str *definitions, size_t count, struct error *err);
void schemas_free(struct schemas *s);
DEFINE_AUTO(schemas)
/* Whether the last of these may be used behind the others, which were found good; *at: the byte in
 * it that the message is about. */
bool schemas_check(const struct str *definitions, size_t count, size_t *at,
		   struct error *err) MUST_CHECK;

/* An attribute that a schema does not name and accepts (mode: evolve). */
struct schema_news {
	const char *schema;
	uint64_t hash; /* of schema and attribute */
	char attribute[100];
};
#define SCHEMA_NEWS_MAX 64

/* Sorts the records of a page, one after the other, of a reader that keeps attributes. Zeroed
 * before. */
struct schema_sorter {
	const struct schemas *schemas;
	const struct source *source;
	bool rows; /* of an export, not of a stream */
	size_t news_count;
	struct schema_news news[SCHEMA_NEWS_MAX]; /* of all records so far; more are left out */
	/* Of the last record. */
	struct str name;           /* of its schema; n 0: it fits none */
	struct record_fills fills; /* what its images lack that has a default */
	char fault[240];
	struct record_fill lacks[2][SCHEMA_FILLS_MAX];
};
/* NULL, or why the record does not fit: text that lives until the next one. unfit: it is bad where
 * no schema fits it. */
const char *schema_sort(struct schema_sorter *s, const struct record *r, bool unfit);
