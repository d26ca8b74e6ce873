#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "event/filter.h"
#include "event/number.h"

/* Between pattern.c (what a pattern says), filter.c (made into programs) and filter_match.c (asked
 * of a record). Everything lives in the filter's arena. */

enum filter_test_kind {
	FILTER_TEXT,
	FILTER_PREFIX,
	FILTER_SUFFIX,
	FILTER_TEXT_FOLDED, /* these three without regard to case; `text` is folded */
	FILTER_PREFIX_FOLDED,
	FILTER_SUFFIX_FOLDED,
	FILTER_WORD,  /* true, false, null */
	FILTER_RANGE, /* of numbers; one number is a range, too */
	FILTER_NOT,   /* none of `inner` passes */
};
struct filter_bound {
	bool given, open;
	struct number number;
};
struct filter_test {
	enum filter_test_kind kind;
	struct str text;
	struct filter_bound low, high;
	const struct filter_test *inner; /* a list, too */
	const struct filter_test *next;
};

/* One list of a pattern: passed by a value that one of the tests lets pass. A list with
 * {"exists": false} and something else is two leaves, as alternatives. */
struct filter_leaf {
	const struct filter_test *tests;
	bool exists; /* any value passes */
	bool absent; /* there must be none */
};

/* The way to a leaf, from the inside out. */
struct filter_step {
	const struct filter_step *parent; /* NULL: a member of the record */
	struct str name, alias;           /* alias.n 0: none */
};

/* What a map of a pattern asks for: all clauses of a list, of which each is a leaf, or one of
 * several lists. */
struct filter_clause {
	const struct filter_step *step;
	const struct filter_leaf *leaf; /* NULL: it is `any` */
	const struct filter_alternative *any;
	const char *at; /* in the pattern */
	struct filter_clause *next;
};
struct filter_alternative {
	const struct filter_clause *clauses;
	const struct filter_alternative *next;
};

/* The arena keeps a copy of the pattern, *text, into which clauses point. NULL: *at is the place in
 * it that the message is about. */
const struct filter_clause *pattern_parse(struct str pattern, struct arena *arena,
					  const char **text, const char **at, struct error *err);
/* "dynamodb.NewImage.total", for people. */
char *pattern_path(const struct filter_step *step, struct arena *arena);

/* Alternatives are multiplied out: a branch is a set of leaves that all have to pass, and a bit of
 * one program. A program is the tree of all ways to the leaves of up to 64 branches. */
struct filter_use {
	const struct filter_leaf *leaf;
	uint64_t branches;
	struct filter_use *next;
};
struct filter_node {
	struct str name, alias;
	bool source_arn; /* eventSourceARN, which a page's record need not have */
	unsigned index;  /* among its siblings */
	unsigned count;  /* of children */
	struct filter_node *first, *last, *next;
	struct filter_use *uses;
	uint64_t here;     /* branches that ask something of this value, */
	uint64_t exists;   /* of these: that it is there, no more, */
	uint64_t below;    /* that ask for something inside of it, */
	uint64_t absent;   /* and that it is not there */
	bool absent_below; /* something inside of it has to be absent */
};
#define FILTER_CHILDREN_MAX 512
struct filter_program {
	struct filter_node root;
	uint64_t branches;
	struct filter_program *next;
};
struct filter {
	struct arena arena;
	struct filter_program *programs;
};
