#pragma once
#include "event/number.h"
#include "event/schema.h"
#include "event/transform_internal.h"

/* Between schema_define.c (definitions are made into schemas) and schema.c (records are sorted).
 * All lives in the arena of `names`. */

/* What a condition asks of one value. */
enum schema_test_kind {
	TEST_TEXT,
	TEST_NUMBER,
	TEST_TRUE,
	TEST_FALSE,
	TEST_NULL,
	TEST_PREFIX,
	TEST_SUFFIX,
	TEST_EXISTS,
	TEST_ABSENT,
	TEST_NOT
};
struct schema_test {
	enum schema_test_kind kind;
	struct str text;
	struct number number;
	struct schema_test *inner; /* of NOT: none of these */
	struct schema_test *next;  /* one of them is enough */
};
struct schema_condition {
	struct str *path; /* plain names */
	size_t count;
	struct schema_test *tests;
	struct schema_condition *next;
};

/* A name that columns' paths have: of a column, or of a map on the way to some. */
struct schema_column {
	struct str name;  /* plain */
	const char *path; /* of it, for people */
	bool is_column;   /* what is inside of it needs no column of its own */
	const struct schema_type *type;
	bool required;
	struct record_fill *fill; /* its default; NULL: none */
	unsigned id;              /* among the schema's columns */
	struct schema_column *parent, *first, *next;
};
struct schema_type {
	const char *name, *article; /* "number", "a number" */
	unsigned types;             /* bits by enum tree_type; 0: any */
	bool integer;
};

struct schema {
	struct str name; /* ends with a zero */
	struct schema_condition *when;
	bool evolve, append_only;
	struct schema_column root;      /* the item */
	struct schema_column **columns; /* by id */
	size_t column_count;
	size_t fill_count; /* columns with a default */
	struct schema *next;
};

struct schemas {
	struct transform *names; /* of paths; has no steps */
	struct schema *first, *last;
	bool fills; /* some column has a default */
};

/* p at a number with a byte behind it that is no part of it. */
bool schema_is_integer(const char *p);
