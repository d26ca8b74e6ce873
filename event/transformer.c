#include "event/transformer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/transformer_internal.h"

bool transformer_room(struct transformer *x, const void *p)
{
	if (LIKELY(p))
		return true;
	if (!x->fault)
		x->fault = "transforms make more of it than fits in 32 MiB";
	return false;
}

bool transformer_fail(struct transformer *x, const struct transform_step *s, struct tree *parent,
		      struct tree *t, const char *why)
{
	switch (s->fail) {
	case FAIL_KEEP:
		return false;
	case FAIL_NULL:
		tree_replace(t, TREE_NULL, TRANSFORM_PADDED("{\"NULL\":true}"));
		return true;
	case FAIL_DROP:
		transformer_remove(x, parent, t);
		return true;
	case FAIL_ERROR:
	default:
		if (!x->fault) {
			snprintf(x->message, sizeof(x->message), "%s: %.60s: %s", s->name,
				 s->path.text, why);
			x->fault = x->message;
		}
		return false;
	}
}

/* ---- attributes ---- */

static unsigned name_bit(struct str name)
{
	if (name.n == 0)
		return 0;
	return ((unsigned)name.n * 37 + (unsigned char)name.p[0] * 5 +
		(unsigned char)name.p[name.n - 1] * 11) &
	       255;
}

static void names_add(struct transform_names *names, struct str name)
{
	unsigned bit = name_bit(name);

	names->bits[bit / 64] |= (uint64_t)1 << bit % 64;
}

static bool names_may_have(const struct transform_names *names, struct str name)
{
	unsigned bit = name_bit(name);

	return names->bits[bit / 64] >> bit % 64 & 1;
}

uint32_t transformer_id(const struct transformer *x, struct str name)
{
	if (!names_may_have(&x->known, name))
		return 0;
	for (uint32_t id = 1; id <= x->name_count; id++)
		if (str_equal(x->names[id], name))
			return id;
	return 0;
}

void transformer_any_name(struct transformer *x)
{
	memset(&x->there, 0xFF, sizeof(x->there));
}

bool transformer_settle_seen(struct transformer *x, struct tree *t)
{
	assert(!t->run);
	return tree_settle(&x->memory, t) || transformer_room(x, NULL);
}

struct tree *transformer_child(struct transformer *x, const struct tree *parent,
			       const struct transform_part *part)
{
	struct tree *t;
	size_t i = 0;

	if (part->kind == PART_NAME && parent == &x->root)
		t = x->by_id[part->id];
	else if (part->kind == PART_NAME)
		t = tree_find(parent, part->name);
	else
		for (t = parent->first; t; t = t->next)
			if (!t->gone && i++ == part->index)
				break;
	return t && transformer_settle(x, t) ? t : NULL;
}

bool transformer_enter(struct transformer *x, struct tree *t, enum tree_type type)
{
	return tree_type(t) == type && (tree_open(&x->memory, t) || transformer_room(x, NULL));
}

void transformer_remove(struct transformer *x, struct tree *parent, struct tree *t)
{
	t->gone = true;
	if (parent == &x->root && x->by_id[t->id] == t)
		x->by_id[t->id] = NULL;
}

struct tree *transformer_namesake(struct transformer *x, const struct tree *parent, struct str name,
				  uint32_t id)
{
	if (parent != &x->root)
		return tree_find(parent, name);
	if (id)
		return x->by_id[id];
	if (!names_may_have(&x->there, name))
		return NULL;
	for (struct tree *t = parent->first; t; t = t->next) {
		if (t->gone || (t->id && !t->run))
			continue;
		if (t->name.n == 0 && !transformer_settle(x, t))
			return NULL;
		if (str_equal(t->name, name))
			return t;
		for (unsigned i = 1; i <= t->run; i++)
			if (str_equal(tree_read(&t->seen[i]).name, name))
				return t;
	}
	return NULL;
}

void transformer_add(struct transformer *x, struct tree *parent, struct tree *after, struct tree *t)
{
	tree_add(parent, after, t);
	if (parent != &x->root)
		return;
	names_add(&x->there, t->name);
	if (t->id)
		x->by_id[t->id] = t;
}

void transformer_name(struct transformer *x, struct tree *parent, struct tree *t, struct str name,
		      uint32_t id)
{
	struct tree *other = transformer_namesake(x, parent, name, id);

	if (other && other != t) {
		assert(!other->run);
		transformer_remove(x, parent, other);
	}
	if (parent == &x->root) {
		names_add(&x->there, name);
		if (x->by_id[t->id] == t)
			x->by_id[t->id] = NULL;
		t->id = id;
		if (id)
			x->by_id[id] = t;
	}
	t->name = name;
	t->renamed = true;
}

/* ---- items ---- */

/* Whether no step looks into it any more. */
static bool is_unasked(const struct transformer *x, const struct tree *t)
{
	return !x->transform->asked_all && !x->transform->asked[t->id] && !t->renamed &&
	       t->name.n > 0 && t->name.p[0] != '_';
}

/* What is left of the item when names alone were asked for, neighbours joined. */
static void layout_keep(struct transformer *x, struct transform_layout *l)
{
	struct tree *last = NULL;

	l->count = 0;
	l->there = x->there;
	memset(l->by_id, 0, (x->name_count + 1) * sizeof(l->by_id[0]));
	for (const struct tree *t = x->root.first; t; t = t->next) {
		if (t->gone)
			continue;
		if (last && is_unasked(x, last) && is_unasked(x, t) &&
		    t->seen == last->seen + last->run + 1) {
			last->run++;
		} else {
			last = &l->nodes[l->count++];
			*last = *t;
			last->next = &l->work[l->count];
		}
		if (t->id && x->by_id[t->id] == t)
			l->by_id[t->id] = &l->work[l->count - 1];
	}
	if (last)
		last->next = NULL;
}

static void layout_use(struct transformer *x, struct transform_layout *l)
{
	memcpy(l->work, l->nodes, l->count * sizeof(l->nodes[0]));
	memcpy(x->by_id, l->by_id, (x->name_count + 1) * sizeof(l->by_id[0]));
	x->there = l->there;
	x->root.first = l->count ? l->work : NULL;
	x->root.last = l->count ? &l->work[l->count - 1] : NULL;
}

/* A new layout, from an item that is the first of its kind. */
static void layout_learn(struct transformer *x, struct transform_layout *l, const struct item *item)
{
	uint32_t n = item->seen_n;

	l->n = 0;
	x->there = (struct transform_names){ 0 };
	for (uint32_t i = 0; i < n; i++) {
		struct tree *t = &l->work[i], settled = { .seen = &item->seen[i] };

		*t = (struct tree){ .seen = settled.seen, .next = t + 1 };
		if (!transformer_settle(x, &settled))
			return;
		t->id = transformer_id(x, settled.name);
		x->by_id[t->id] = t;
		names_add(&x->there, settled.name);
		/* What was respelled does not outlive the item. */
		if (settled.name.p == t->seen->in + 1)
			t->name = settled.name;
	}
	l->work[n - 1].next = NULL;
	x->root.first = l->work;
	x->root.last = &l->work[n - 1];
	x->by_id[0] = NULL;
	for (const struct transform_step *s = x->transform->steps; s != x->transform->rest;
	     s = s->next)
		transformer_step(x, s);
	layout_keep(x, l);
	l->n = n;
	l->changes = item->changes;
	layout_use(x, l);
}

bool transformer_members(struct transformer *x, const char *raw)
{
	if (!tree_members(&x->memory, &x->root, raw))
		return transformer_room(x, NULL);
	for (struct tree *t = x->root.first; t; t = t->next) {
		t->id = transformer_id(x, t->name);
		x->by_id[t->id] = t;
	}
	x->by_id[0] = NULL;
	transformer_any_name(x);
	return true;
}

/* True: the steps that ask for names alone are done. */
static bool item_begin(struct transformer *x, const struct item *item, struct transform_layout *l)
{
	tree_memory_clear(&x->memory);
	x->root = (struct tree){ .type = TREE_M, .open = true };
	x->followed = l && item->seen_n ? item : NULL;
	if (LIKELY(l && item->seen_n && l->n == item->seen_n && l->changes == item->changes)) {
		layout_use(x, l);
		return true;
	}
	memset(x->by_id, 0, (x->name_count + 1) * sizeof(x->by_id[0]));
	if (l && item->seen_n) {
		layout_learn(x, l, item);
		return true;
	}
	(void)transformer_members(x, item->raw.p);
	return false;
}

void transformer_name_fault(struct transformer *x, enum script_item which)
{
	static const char *const names[] = { "Keys", "NewImage", "OldImage" };
	char message[sizeof(x->message)];

	snprintf(message, sizeof(message), "%s: %s", names[which], x->fault);
	memcpy(x->message, message, sizeof(message));
	x->fault = x->message;
}

void transformer_fill(struct transformer *x, const struct record_fill *f)
{
	struct tree *parent = &x->root;

	for (size_t i = 0; i < f->count && !x->fault; i++) {
		uint32_t id = parent == &x->root ? transformer_id(x, f->names[i]) : 0;
		struct tree *t = transformer_namesake(x, parent, f->names[i], id);
		bool last = i + 1 == f->count, there = t;

		if (x->fault || (there && (last || !transformer_settle(x, t))))
			return;
		if (!there) {
			t = tree_new(&x->memory);
			if (!transformer_room(x, t))
				return;
			t->type = TREE_M;
			t->open = true;
			tree_add(parent, NULL, t);
			transformer_name(x, parent, t, f->names[i], id);
		}
		if (last) {
			tree_replace(t, f->type, f->raw);
			return;
		}
		if (!transformer_enter(x, t, TREE_M))
			return;
		tree_changed(t);
		parent = t;
	}
}

/* Its place in x->out; p NULL after a fault. keys: it is the record's Keys in the `dynamodb` form,
 * to which nothing is added. */
static struct str item_make(struct transformer *x, const struct record *r, const struct item *item,
			    struct transform_layout *l, const struct record_fill *fill,
			    enum script_item which)
{
	bool raw = x->format == FORMAT_DYNAMODB, bare = raw && item == &r->keys;
	size_t begin = (size_t)(x->out.at - x->out.begin);
	const struct transform_step *s;

	if (x->fault)
		return (struct str){ 0 };
	if (which != SCRIPT_OLD || fill ||
	    !transformer_follow(x, &x->layouts[0], x->followed, item)) {
		/* A layout knows items as they are once steps were taken; without steps none is
		 * kept. */
		s = item_begin(x, item, fill || !x->transform->steps ? NULL : l)
			    ? x->transform->rest
			    : x->transform->steps;
		for (; fill && !x->fault; fill = fill->next)
			transformer_fill(x, fill);
		for (; s && !x->fault; s = s->next)
			if (!bare || s->kind != TRANSFORM_SET)
				transformer_step(x, s);
	}
	if (raw)
		tree_write_item(&x->out, &x->root, r->spaced);
	else
		tree_write_item_plain(&x->out, &x->root, x->have, x->want);
	if (x->out.full && !x->fault)
		x->fault = "transforms make it longer than 8 MiB";
	if (x->fault)
		transformer_name_fault(x, which);
	/* Where it is is said when all are made: the memory may move. */
	return (struct str){ NULL, (size_t)(x->out.at - x->out.begin) - begin };
}

static const char *place(const struct item *item, struct str *s, const char *p)
{
	if (!item)
		return p;
	s->p = p;
	return p + s->n;
}

void transformer_shown(const struct transformer *x, const struct record *r,
		       const struct item *shown[SCRIPT_ITEMS])
{
	const struct item *keys = NULL, *new_image = NULL, *old_image = NULL;

	if (x->format == FORMAT_DYNAMODB || (x->format == FORMAT_PLAIN && r->op == EVENT_DELETE))
		keys = &r->keys;
	if (r->new_image.raw.p && (x->format == FORMAT_DYNAMODB || r->op != EVENT_DELETE))
		new_image = &r->new_image;
	else if (r->op != EVENT_DELETE)
		keys = &r->keys;
	if (x->format != FORMAT_PLAIN && r->old_image.raw.p &&
	    (x->format == FORMAT_DYNAMODB || r->op == EVENT_UPDATE || r->op == EVENT_DELETE))
		old_image = &r->old_image;
	else if (x->format == FORMAT_DEBEZIUM && (r->op == EVENT_UPDATE || r->op == EVENT_DELETE))
		keys = &r->keys;
	shown[SCRIPT_KEYS] = keys;
	shown[SCRIPT_NEW] = new_image;
	shown[SCRIPT_OLD] = old_image;
}

const char *transformer_apply(struct transformer *x, const struct record *r,
			      const struct record_fills *fills, const struct transformed **out,
			      size_t *count)
{
	const struct item *shown[SCRIPT_ITEMS];
	const char *p;

	x->op = r->op;
	x->fault = NULL;
	x->script_fault = SCRIPT_FINE;
	x->out.at = x->out.begin;
	x->out.full = false;
	if (x->states)
		return transformer_events(x, r, fills, out, count);
	transformer_shown(x, r, shown);
	x->one = (struct transformed){ 0 };
	x->followed = NULL;
	*out = &x->one;
	*count = 1;
	if (shown[SCRIPT_KEYS])
		x->one.keys = item_make(x, r, shown[SCRIPT_KEYS], NULL, NULL, SCRIPT_KEYS);
	if (shown[SCRIPT_NEW])
		x->one.new_image = item_make(x, r, shown[SCRIPT_NEW], &x->layouts[0],
					     fills->new_image, SCRIPT_NEW);
	if (shown[SCRIPT_OLD])
		x->one.old_image = item_make(x, r, shown[SCRIPT_OLD], &x->layouts[1],
					     fills->old_image, SCRIPT_OLD);
	p = place(shown[SCRIPT_KEYS], &x->one.keys, x->out.begin);
	p = place(shown[SCRIPT_NEW], &x->one.new_image, p);
	place(shown[SCRIPT_OLD], &x->one.old_image, p);
	return x->fault;
}

const char *transformer_script_fault(const struct transformer *x)
{
	return x->script_fault ? script_fault_name(x->script_fault) : NULL;
}

/* ---- life ---- */

static uint32_t key_id(struct transformer *x, const char *name)
{
	struct str plain = str_of(name), spelled;
	char *o = memory_resize(NULL, TREE_ESCAPE * plain.n + 1);
	uint32_t id;

	spelled = (struct str){ o, (size_t)(tree_escape(plain, o) - o) };
	id = transformer_id(x, spelled);
	if (id || plain.n == 0) {
		free(o);
		return id;
	}
	id = ++x->name_count;
	x->names[id] = spelled;
	names_add(&x->known, spelled);
	return id;
}

struct transformer *transformer_new(const struct transform *t, const struct source *source,
				    enum event_format format, struct value_style have,
				    struct value_style want)
{
	static const struct transform nothing;
	struct transformer *x = memory_new(sizeof(*x));

	if (!t)
		t = &nothing;
	x->transform = t;
	x->source = source;
	x->format = format;
	x->have = have;
	x->want = want;
	arena_init(&x->memory.arena);
	x->memory.left = TREE_BYTES_MAX;
	x->names = memory_array(t->name_count + 3, sizeof(x->names[0]));
	x->by_id = memory_array(t->name_count + 3, sizeof(struct tree *));
	x->memos = memory_array(t->hash_count + 1, sizeof(x->memos[0]));
	if (t->name_count)
		memcpy(x->names + 1, t->names, t->name_count * sizeof(x->names[0]));
	x->name_count = t->name_count;
	for (uint32_t id = 1; id <= x->name_count; id++)
		names_add(&x->known, x->names[id]);
	x->key_ids[0] = key_id(x, source->key_hash);
	x->key_ids[1] = key_id(x, source->key_range);
	for (unsigned i = 0; i < 2; i++)
		x->layouts[i].by_id = memory_array(t->name_count + 3, sizeof(struct tree *));
	if (t->script_count == 0)
		return x;
	x->states = memory_array(t->script_count, sizeof(struct script_state *));
	for (const struct transform_step *s = t->steps; s; s = s->next)
		if (s->kind == TRANSFORM_LUA)
			x->states[s->lua.index] = script_take(s->lua.script);
	return x;
}

void transformer_free(struct transformer *x)
{
	if (!x)
		return;
	for (uint32_t id = x->transform->name_count + 1; id <= x->name_count; id++)
		free((char *)(uintptr_t)x->names[id].p);
	for (const struct transform_step *s = x->transform->steps; s; s = s->next)
		if (s->kind == TRANSFORM_LUA)
			script_give(s->lua.script, x->states[s->lua.index]);
	free(x->states);
	free(x->made);
	arena_release(&x->memory.arena);
	tree_out_release(&x->out);
	tree_out_release(&x->text);
	free(x->names);
	free(x->by_id);
	free(x->layouts[0].by_id);
	free(x->layouts[1].by_id);
	free(x->memos);
	free(x);
}
