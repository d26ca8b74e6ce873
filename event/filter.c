#include "event/filter_internal.h"

#include <stdlib.h>

#include "base/memory.h"

/* More are hardly meant; AWS's limit is the same. */
#define BRANCHES_MAX 1000
#define LEAVES_MAX   100000 /* of all branches together */
#define BRANCHES_ONE 64     /* of one program */

/* Branches share the leaves that were before their alternatives. */
struct taken {
	const struct filter_clause *clause;
	const struct taken *rest;
};
struct branches {
	const struct taken **last;
	size_t count;
};

struct maker {
	struct arena *arena;   /* of the filter */
	struct arena *scratch; /* of what is needed only to make it */
	const char *at;        /* in the pattern, after a fault */
	size_t leaves;         /* of one pattern's branches */
	unsigned used;         /* bits of the newest program */
	size_t program_leaves; /* and its leaves */
	struct error *err;
};

static bool fail(struct maker *m, const struct filter_clause *c, const char *what)
{
	const char *path = c->step ? pattern_path(c->step, m->scratch) : "$or";

	m->at = c->at;
	return error_set(m->err, ERROR_INVALID, "%.200s: %s", path, what);
}

static bool expand(struct maker *m, const struct filter_clause *clauses, struct branches *set);

/* Every branch so far, once for each alternative. */
static bool multiply(struct maker *m, const struct filter_clause *c, struct branches *set)
{
	struct branches all = { .last = arena_alloc(m->scratch, BRANCHES_MAX * sizeof(*all.last)) };

	for (const struct filter_alternative *a = c->any; a; a = a->next) {
		struct branches some = *set;
		const size_t bytes = BRANCHES_MAX * sizeof(*some.last);

		some.last = arena_alloc(m->scratch, bytes);
		memcpy(some.last, set->last, set->count * sizeof(*some.last));
		if (!expand(m, a->clauses, &some))
			return false;
		if (all.count + some.count > BRANCHES_MAX)
			return fail(m, c, "alternatives multiply: more than 1000 of them");
		memcpy(all.last + all.count, some.last, some.count * sizeof(*some.last));
		all.count += some.count;
	}
	*set = all;
	return true;
}

static bool expand(struct maker *m, const struct filter_clause *clauses, struct branches *set)
{
	for (const struct filter_clause *c = clauses; c; c = c->next) {
		if (!c->leaf) {
			if (!multiply(m, c, set))
				return false;
			continue;
		}
		m->leaves += set->count;
		if (m->leaves > LEAVES_MAX)
			return fail(m, c, "alternatives multiply: more than 100000 conditions");
		for (size_t i = 0; i < set->count; i++) {
			struct taken *t = arena_alloc(m->scratch, sizeof(*t));

			*t = (struct taken){ c, set->last[i] };
			set->last[i] = t;
		}
	}
	return true;
}

static struct filter_node *node_at(struct maker *m, struct filter_node *root,
				   const struct filter_step *step)
{
	struct filter_node *parent, *n;

	if (!step)
		return root;
	parent = node_at(m, root, step->parent);
	for (n = parent ? parent->first : NULL; n; n = n->next)
		if (str_equal(n->name, step->name))
			return n;
	if (!parent || parent->count == FILTER_CHILDREN_MAX)
		return NULL;
	n = arena_alloc(m->arena, sizeof(*n));
	*n = (struct filter_node){
		.name = step->name,
		.alias = step->alias,
		.index = parent->count++,
		.source_arn = !step->parent && str_equal(step->name, STR("eventSourceARN")),
	};
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
	return n;
}

static bool add_leaf(struct maker *m, struct filter_program *program, const struct filter_clause *c,
		     uint64_t bit)
{
	struct filter_node *n = node_at(m, &program->root, c->step);
	struct filter_use *u;

	if (!n)
		return fail(m, c, "a map of a filter has at most 512 members");
	if (c->leaf->absent) {
		n->absent |= bit;
		return true;
	}
	if (n->here & bit)
		return fail(m, c,
			    "is asked for beside $or and inside of it; move one to the other");
	n->here |= bit;
	if (c->leaf->exists)
		n->exists |= bit;
	for (u = n->uses; u && u->leaf != c->leaf;)
		u = u->next;
	if (!u) {
		u = arena_alloc(m->arena, sizeof(*u));
		*u = (struct filter_use){ .leaf = c->leaf, .next = n->uses };
		n->uses = u;
	}
	u->branches |= bit;
	return true;
}

/* What is asked for inside of a node, from the bottom up. */
static void sum_up(struct filter_node *n)
{
	for (struct filter_node *c = n->first; c; c = c->next) {
		sum_up(c);
		n->below |= c->here | c->below;
		n->absent_below |= c->absent != 0 || c->absent_below;
	}
}

/* A program of 512 leaves or fewer has no map of more members. */
static size_t leaves_of(const struct branches *set)
{
	size_t count = 0;

	for (size_t i = 0; i < set->count; i++)
		for (const struct taken *t = set->last[i]; t; t = t->rest)
			count++;
	return count;
}

/* leaves: that it will get, at most. */
static void begin_program(struct maker *m, struct filter *f, size_t leaves)
{
	struct filter_program *program = arena_alloc(m->arena, sizeof(*program));

	*program = (struct filter_program){ .next = f->programs };
	f->programs = program;
	m->used = 0;
	m->program_leaves = leaves;
}

/* Into the program that the patterns before began, where there is room. */
static bool add_branches(struct maker *m, struct filter *f, const struct branches *set)
{
	size_t leaves = leaves_of(set);

	m->program_leaves += leaves;
	if (!f->programs || m->program_leaves > FILTER_CHILDREN_MAX)
		begin_program(m, f, leaves);
	for (size_t i = 0; i < set->count; i++) {
		uint64_t bit;

		if (m->used == BRANCHES_ONE)
			begin_program(m, f, leaves);
		bit = (uint64_t)1 << m->used++;
		f->programs->branches |= bit;
		for (const struct taken *t = set->last[i]; t; t = t->rest)
			if (!add_leaf(m, f->programs, t->clause, bit))
				return false;
	}
	return true;
}

static bool add_pattern(struct maker *m, struct filter *f, struct str pattern, size_t *at)
{
	struct branches set = { .count = 1 };
	const char *text = NULL;
	const struct filter_clause *clauses =
		pattern_parse(pattern, m->arena, &text, &m->at, m->err);
	bool ok = clauses != NULL;

	m->leaves = 0;
	if (ok) {
		set.last = arena_alloc(m->scratch, BRANCHES_MAX * sizeof(*set.last));
		set.last[0] = NULL;
		ok = expand(m, clauses, &set) && add_branches(m, f, &set);
	}
	if (!ok && at)
		*at = m->at ? (size_t)(m->at - text) : 0;
	return ok;
}

static struct filter *make(const struct str *patterns, size_t count, size_t *at, struct error *err)
{
	AUTO(filter) struct filter *f = memory_new(sizeof(*f));
	struct arena scratch;
	struct maker m = { .arena = &f->arena, .scratch = &scratch, .err = err };
	bool ok = true;

	arena_init(&f->arena);
	arena_init(&scratch);
	for (size_t i = 0; ok && i < count; i++)
		ok = add_pattern(&m, f, patterns[i], at);
	for (struct filter_program *program = f->programs; program; program = program->next)
		sum_up(&program->root);
	arena_release(&scratch);
	return ok ? MOVE(f) : NULL;
}

struct filter *filter_new(const struct str *patterns, size_t count, struct error *err)
{
	return make(patterns, count, NULL, err);
}

bool filter_check(struct str pattern, size_t *at, struct error *err)
{
	struct filter *f = make(&pattern, 1, at, err);

	filter_free(f);
	return f != NULL;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	arena_release(&f->arena);
	free(f);
}
