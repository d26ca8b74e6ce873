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
	static const struct str null = { "{\"NULL\":true}" /* padded */
					 "                                                        "
					 "                ",
					 13 };

	switch (s->fail) {
	case FAIL_KEEP:
		return false;
	case FAIL_NULL:
		tree_replace(t, TREE_NULL, null);
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

uint32_t transformer_id(const struct transformer *x, struct str name)
{
	for (uint32_t id = 1; id <= x->name_count; id++)
		if (str_equal(x->names[id], name))
			return id;
	return 0;
}

bool transformer_settle(struct transformer *x, struct tree *t)
{
	if (LIKELY(!t->seen))
		return true;
	return tree_settle(&x->memory, t, t->name.n ? t->name.n : SIZE_MAX) ||
	       transformer_room(x, NULL);
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

/* Attributes that no step speaks of may have the name, too. */
static struct tree *namesake(struct transformer *x, const struct tree *parent, struct str name,
			     uint32_t id)
{
	if (parent != &x->root)
		return tree_find(parent, name);
	if (id)
		return x->by_id[id];
	for (struct tree *t = parent->first; t; t = t->next) {
		if (t->gone || t->id)
			continue;
		if (t->name.n == 0 && !transformer_settle(x, t))
			return NULL;
		if (str_equal(t->name, name))
			return t;
	}
	return NULL;
}

void transformer_name(struct transformer *x, struct tree *parent, struct tree *t, struct str name,
		      uint32_t id)
{
	struct tree *other = namesake(x, parent, name, id);

	if (other && other != t)
		transformer_remove(x, parent, other);
	if (parent == &x->root) {
		if (x->by_id[t->id] == t)
			x->by_id[t->id] = NULL;
		t->id = id;
		if (id)
			x->by_id[id] = t;
	}
	t->name = name;
}

/* ---- items ---- */

/* An attribute whose name is not the one that the item before had at its place. */
static __attribute__((noinline)) void add_other(struct transformer *x, struct transform_slot *slot,
						struct tree *t)
{
	struct tree read = { .seen = t->seen };
	const char *in = t->seen->in;
	size_t n;

	if (!transformer_settle(x, &read))
		return;
	t->id = slot->id = transformer_id(x, read.name);
	slot->name = in;
	n = read.name.n + 3;
	slot->n = UINT32_MAX;
	if (n > 32 || read.name.p != in + 1 || in[n - 1] != ':')
		return;
	slot->n = (uint32_t)n;
	t->name = read.name;
}

static bool add_seen(struct transformer *x, const struct item *item)
{
	size_t size = item->seen_n * sizeof(struct tree);
	struct tree *t = (struct tree *)(void *)tree_bytes(&x->memory, size);

	if (!t)
		return false;
	memset(t, 0, size);
	for (unsigned i = 0; i < item->seen_n; i++, t++) {
		struct transform_slot *slot = &x->slots[i];

		t->seen = &item->seen[i];
		if (LIKELY(scan_common(t->seen->in, slot->name) >= slot->n)) {
			t->name = (struct str){ t->seen->in + 1, slot->n - 3 };
			t->id = slot->id;
		} else {
			add_other(x, slot, t);
		}
		x->by_id[t->id] = t;
		t->next = t + 1;
	}
	x->root.first = t - item->seen_n;
	x->root.last = t - 1;
	t[-1].next = NULL;
	x->root.open = true;
	return true;
}

static bool add_members(struct transformer *x, const char *raw)
{
	if (!tree_members(&x->memory, &x->root, raw))
		return false;
	for (struct tree *t = x->root.first; t; t = t->next) {
		t->id = transformer_id(x, t->name);
		x->by_id[t->id] = t;
	}
	return true;
}

static void item_begin(struct transformer *x, const struct item *item, bool known)
{
	bool room;

	tree_memory_clear(&x->memory);
	memset(x->by_id, 0, (x->name_count + 1) * sizeof(x->by_id[0]));
	x->root = (struct tree){ .type = TREE_M };
	room = known && item->seen_n ? add_seen(x, item) : add_members(x, item->raw.p);
	if (!room)
		transformer_room(x, NULL);
	x->by_id[0] = NULL;
}

/* Its place in x->out; p NULL after a fault. keys: it is the record's Keys in the `dynamodb` form,
 * to which nothing is added. */
static struct str item_make(struct transformer *x, const struct record *r, const struct item *item,
			    bool known, const char *which)
{
	bool raw = x->format == FORMAT_DYNAMODB, bare = raw && item == &r->keys;
	size_t begin = (size_t)(x->out.at - x->out.begin);

	if (x->fault)
		return (struct str){ 0 };
	item_begin(x, item, known);
	for (const struct transform_step *s = x->transform->steps; s && !x->fault; s = s->next)
		if (!bare || s->kind != TRANSFORM_SET)
			transformer_step(x, s);
	if (raw)
		tree_write_item(&x->out, &x->root, r->spaced);
	else
		tree_write_item_plain(&x->out, &x->root, x->have, x->want);
	if (x->out.full && !x->fault)
		x->fault = "transforms make it longer than 8 MiB";
	if (x->fault) {
		char message[sizeof(x->message)];

		snprintf(message, sizeof(message), "%s: %s", which, x->fault);
		memcpy(x->message, message, sizeof(message));
		x->fault = x->message;
	}
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

const char *transformer_apply(struct transformer *x, const struct record *r,
			      struct transformed *out)
{
	const struct item *keys = NULL, *new_image = NULL, *old_image = NULL;
	const char *p;

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
	x->op = r->op;
	x->fault = NULL;
	x->out.at = x->out.begin;
	x->out.full = false;
	*out = (struct transformed){ 0 };
	if (keys)
		out->keys = item_make(x, r, keys, false, "Keys");
	if (new_image)
		out->new_image = item_make(x, r, new_image, true, "NewImage");
	if (old_image)
		out->old_image = item_make(x, r, old_image, true, "OldImage");
	p = place(keys, &out->keys, x->out.begin);
	p = place(new_image, &out->new_image, p);
	place(old_image, &out->old_image, p);
	return x->fault;
}

/* ---- life ---- */

static uint32_t key_id(struct transformer *x, const char *name)
{
	struct str plain = str_of(name), spelled;
	char *o = arena_alloc(&x->memory.arena, TREE_ESCAPE * plain.n + 1);
	uint32_t id;

	spelled = (struct str){ o, (size_t)(tree_escape(plain, o) - o) };
	id = transformer_id(x, spelled);
	if (id || plain.n == 0)
		return id;
	id = ++x->name_count;
	x->names[id] = (struct str){ memory_text_n(spelled.p, spelled.n), spelled.n };
	return id;
}

struct transformer *transformer_new(const struct transform *t, const struct source *source,
				    enum event_format format, struct value_style have,
				    struct value_style want)
{
	static const char none[SCAN_PADDING];
	struct transformer *x = memory_new(sizeof(*x));

	x->transform = t;
	x->source = source;
	x->format = format;
	x->have = have;
	x->want = want;
	arena_init(&x->memory.arena);
	x->names = memory_array(t->name_count + 3, sizeof(x->names[0]));
	x->by_id = memory_array(t->name_count + 3, sizeof(struct tree *));
	x->memos = memory_array(t->hash_count + 1, sizeof(x->memos[0]));
	if (t->name_count)
		memcpy(x->names + 1, t->names, t->name_count * sizeof(x->names[0]));
	x->name_count = t->name_count;
	x->key_ids[0] = key_id(x, source->key_hash);
	x->key_ids[1] = key_id(x, source->key_range);
	for (unsigned i = 0; i < VALUE_MEMORY_MAX; i++)
		x->slots[i] = (struct transform_slot){ .name = none, .n = UINT32_MAX };
	return x;
}

void transformer_free(struct transformer *x)
{
	if (!x)
		return;
	for (uint32_t id = x->transform->name_count + 1; id <= x->name_count; id++)
		free((char *)(uintptr_t)x->names[id].p);
	arena_release(&x->memory.arena);
	tree_out_release(&x->out);
	tree_out_release(&x->text);
	free(x->names);
	free(x->by_id);
	free(x->memos);
	free(x);
}
