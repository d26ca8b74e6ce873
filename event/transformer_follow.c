/* The second image of a change, which is mostly like the first: what has not changed in between
 * becomes what it became there. */
#include "event/transformer_internal.h"

#define REDO_MAX 8

/* A second image that follows the first one, whose attributes are x->root's. */
struct follow {
	struct transformer *x;
	const struct transform_layout *layout; /* of the first */
	const struct item *first, *second;
	const struct transform_step *redo[REDO_MAX]; /* what has to be done again */
	size_t redo_count;
};

static bool is_same(const struct value_seen *a, const struct value_seen *b)
{
	if (a->in_n != b->in_n)
		return false;
	if (LIKELY(a->in_n <= 32))
		return scan_common(a->in, b->in) >= a->in_n;
	return memcmp(a->in, b->in, a->in_n) == 0;
}

/* The attribute as the first step finds it; NULL: the image has none. */
static const struct tree *node_of(const struct follow *f, uint32_t id)
{
	const struct tree *work = f->layout->by_id[id];

	return work ? &f->layout->nodes[work - f->layout->work] : NULL;
}

static const struct value_seen *seen_of(const struct follow *f, const struct value_seen *first)
{
	return f->second->seen + (first - f->first->seen);
}

/* False: a step has to be done again that is not alone. */
static bool find_changes(struct follow *f)
{
	const struct transform *t = f->x->transform;

	for (uint32_t id = 1; id <= t->name_count; id++) {
		const struct tree *node = t->asked[id] ? node_of(f, id) : NULL;
		const struct transform_step *s = t->alone[id];
		size_t i = 0;

		if (!node || is_same(node->seen, seen_of(f, node->seen)))
			continue;
		while (i < f->redo_count && f->redo[i] != s)
			i++;
		if (!s || i == REDO_MAX)
			return false;
		f->redo[i] = s;
		f->redo_count = i < f->redo_count ? f->redo_count : i + 1;
	}
	return true;
}

static struct tree fresh_of(const struct follow *f, const struct tree *node)
{
	struct tree fresh = *node;

	fresh.seen = seen_of(f, node->seen);
	fresh.next = NULL;
	return fresh;
}

/* In its place, and called like it. */
static void replace(struct tree *old, const struct tree *t)
{
	struct tree *next = old->next;
	struct str name = old->name;
	bool renamed = old->renamed;
	uint32_t id = old->id;

	*old = *t;
	old->next = next;
	old->name = name;
	old->renamed = renamed;
	old->id = id;
}

/* What the step makes of an attribute's value. */
static bool redo_value(const struct follow *f, const struct transform_step *s)
{
	struct transformer *x = f->x;
	uint32_t id = s->path.parts[0].id;
	const struct tree *node = node_of(f, id);
	struct tree *old = x->by_id[id], fresh;

	if (!old || !node)
		return false;
	fresh = fresh_of(f, node);
	if (!transformer_settle(x, &fresh))
		return false;
	transformer_inside(x, s, &fresh);
	replace(old, &fresh);
	return !x->fault;
}

/* The value that it sets, of attributes that no other step has to do with. */
static bool redo_set(const struct follow *f, const struct transform_step *s)
{
	struct transformer *x = f->x;
	struct tree *old = x->by_id[s->path.parts[0].id], *now;
	struct tree fresh[REDO_MAX], *before[REDO_MAX];
	uint32_t ids[REDO_MAX];
	size_t n = 0;

	/* Where nothing was set, it may still be called as it was read. */
	if (!old || old->seen)
		return false;
	for (const struct transform_piece *p = s->set.pieces; p; p = p->next) {
		const struct tree *node;
		size_t i = 0;

		if (p->kind != PIECE_ATTRIBUTE)
			continue;
		while (i < n && ids[i] != p->path.parts[0].id)
			i++;
		if (i < n)
			continue;
		if (n == REDO_MAX)
			break;
		ids[n] = p->path.parts[0].id;
		node = node_of(f, ids[n]);
		before[n] = x->by_id[ids[n]];
		if (node)
			fresh[n] = fresh_of(f, node);
		x->by_id[ids[n]] = node ? &fresh[n] : NULL;
		n++;
	}
	now = n < REDO_MAX ? transformer_set_value(x, s) : NULL;
	for (size_t i = 0; i < n; i++)
		x->by_id[ids[i]] = before[i];
	if (!now || x->fault)
		return false;
	replace(old, now);
	return true;
}

bool transformer_follow(struct transformer *x, const struct transform_layout *l,
			const struct item *first, const struct item *second)
{
	struct follow f = { .x = x, .layout = l, .first = first, .second = second };

	if (!first || !second->seen_n || second->seen_n != l->n || second->changes != l->changes ||
	    x->transform->asked_all || !find_changes(&f))
		return false;
	for (struct tree *t = x->root.first; t; t = t->next)
		if (t->seen)
			t->seen = seen_of(&f, t->seen);
	for (size_t i = 0; i < f.redo_count; i++) {
		const struct transform_step *s = f.redo[i];

		if (s->kind == TRANSFORM_SET ? redo_set(&f, s) : redo_value(&f, s))
			continue;
		/* From the beginning, then; the fault comes up again there. */
		x->fault = NULL;
		return false;
	}
	return true;
}
