/* A record's way where there are scripts, which are given whole events: all of its items are taken
 * apart, and each step is done to all events that there are then. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/transformer_internal.h"

/* The events of one record. */
struct events {
	struct script_event *all;
	size_t count;
};

static void keep_root(struct transformer *x, struct tree *out)
{
	*out = x->root;
	out->open = true;
	out->type = TREE_M;
}

/* The item's attributes, each ready to be looked at. Those of a key are not kept by the reader. */
static struct tree *item_tree(struct transformer *x, const struct item *item, bool kept)
{
	struct tree *root = tree_new(&x->memory);
	uint32_t seen = kept ? item->seen_n : 0;

	if (!transformer_room(x, root))
		return NULL;
	x->root = (struct tree){ .type = TREE_M, .open = true, .settled = true };
	if (!seen && !transformer_members(x, item->raw.p))
		return NULL;
	for (uint32_t i = 0; i < seen; i++) {
		struct tree *t = tree_new(&x->memory);

		if (!transformer_room(x, t))
			return NULL;
		t->seen = &item->seen[i];
		if (!transformer_settle(x, t))
			return NULL;
		tree_add(&x->root, NULL, t);
	}
	keep_root(x, root);
	return root;
}

static const struct item *item_of(const struct record *r, enum script_item which)
{
	return which == SCRIPT_KEYS  ? &r->keys
	       : which == SCRIPT_NEW ? &r->new_image
				     : &r->old_image;
}

/* The item is x->root from here on, until keep_root. */
static void enter_item(struct transformer *x, const struct tree *item)
{
	x->root = *item;
	memset(x->by_id, 0, (x->name_count + 1) * sizeof(x->by_id[0]));
	for (struct tree *t = x->root.first; t; t = t->next) {
		t->id = t->gone ? 0 : transformer_id(x, t->name);
		x->by_id[t->id] = t;
	}
	x->by_id[0] = NULL;
	transformer_any_name(x);
}

static const struct record_fill *fills_of(const struct record_fills *fills, enum script_item which)
{
	return which == SCRIPT_NEW   ? fills->new_image
	       : which == SCRIPT_OLD ? fills->old_image
				     : NULL;
}

/* What the item lacks and a schema has a default for. */
static void fill_item(struct transformer *x, struct tree *item, const struct record_fill *fill)
{
	if (!fill)
		return;
	enter_item(x, item);
	for (; fill && !x->fault; fill = fill->next)
		transformer_fill(x, fill);
	keep_root(x, item);
}

static bool begin(struct transformer *x, const struct record *r, const struct record_fills *fills,
		  struct events *e)
{
	e->count = 1;
	e->all = (struct script_event *)(void *)tree_bytes(&x->memory, sizeof(*e->all));
	if (!transformer_room(x, e->all))
		return false;
	*e->all = (struct script_event){ 0 };
	for (int i = 0; i < SCRIPT_ITEMS; i++) {
		const struct item *item = item_of(r, (enum script_item)i);

		if (!item->raw.p)
			continue;
		e->all->items[i] = item_tree(x, item, i != SCRIPT_KEYS);
		if (!x->fault)
			fill_item(x, e->all->items[i], fills_of(fills, (enum script_item)i));
		if (x->fault) {
			transformer_name_fault(x, (enum script_item)i);
			return false;
		}
	}
	return true;
}

/* Steps from s up to the next script or the end, to one item. */
static void steps_of(struct transformer *x, const struct transform_step *s, struct tree *item,
		     bool bare)
{
	enter_item(x, item);
	for (; s && s->kind != TRANSFORM_LUA && !x->fault; s = s->next)
		if (!bare || s->kind != TRANSFORM_SET)
			transformer_step(x, s);
	keep_root(x, item);
}

/* last: no script comes behind them, so that only what is shown has to be made. */
static void steps(struct transformer *x, const struct transform_step *s, struct events *e,
		  const struct item *const shown[SCRIPT_ITEMS], bool last)
{
	for (size_t k = 0; k < e->count; k++)
		for (int i = 0; i < SCRIPT_ITEMS && !x->fault; i++) {
			bool bare = x->format == FORMAT_DYNAMODB && i == SCRIPT_KEYS;

			if (!e->all[k].items[i] || (last && !shown[i]))
				continue;
			steps_of(x, s, e->all[k].items[i], bare);
			if (x->fault)
				transformer_name_fault(x, (enum script_item)i);
		}
}

static bool too_many(struct transformer *x)
{
	snprintf(x->message, sizeof(x->message), "lua: more than %d events of one record",
		 SCRIPT_EVENTS_MAX);
	x->fault = x->message;
	x->script_fault = SCRIPT_RESULT;
	return false;
}

/* Each event goes through the script; what becomes of them are the events then. */
static bool run(struct transformer *x, const struct transform_step *s, const struct record *r,
		struct events *e)
{
	const struct script_facts facts = { .op = r->op,
					    .ttl = r->ttl,
					    .time_ms = r->time_ms,
					    .sequence = &r->sequence,
					    .source = x->source };
	struct events now = { 0 };
	char message[sizeof(x->message) - 8];

	if (e->count > 1) {
		now.all = (struct script_event *)(void *)tree_bytes(
			&x->memory, SCRIPT_EVENTS_MAX * sizeof(*now.all));
		if (!transformer_room(x, now.all))
			return false;
	}
	for (size_t i = 0; i < e->count; i++) {
		struct script_event *made = NULL;
		size_t count = 0;

		x->script_fault = script_run(x->states[s->lua.index], &x->memory, &facts,
					     &e->all[i], &made, &count, message, sizeof(message));
		if (x->script_fault) {
			snprintf(x->message, sizeof(x->message), "lua: %s", message);
			x->fault = x->message;
			return false;
		}
		if (now.count + count > SCRIPT_EVENTS_MAX)
			return too_many(x);
		if (e->count == 1)
			now.all = made;
		else if (count)
			memcpy(now.all + now.count, made, count * sizeof(*made));
		now.count += count;
	}
	*e = now;
	return true;
}

/* The text of each shown item, in x->out; where it begins is said when all are made, as the memory
 * may move. */
static void write_events(struct transformer *x, const struct record *r, const struct events *e,
			 const struct item *const shown[SCRIPT_ITEMS])
{
	for (size_t k = 0; k < e->count; k++) {
		struct transformed *made = &x->made[k];
		struct str *texts[] = { &made->keys, &made->new_image, &made->old_image };

		*made = (struct transformed){ .part = e->count > 1 ? (unsigned)k + 1 : 0 };
		for (int i = 0; i < SCRIPT_ITEMS; i++) {
			size_t begin = (size_t)(x->out.at - x->out.begin);

			if (!shown[i])
				continue;
			if (x->format == FORMAT_DYNAMODB)
				tree_write_item(&x->out, e->all[k].items[i], r->spaced);
			else
				tree_write_item_plain(&x->out, e->all[k].items[i], x->have,
						      x->want);
			texts[i]->n = (size_t)(x->out.at - x->out.begin) - begin;
		}
	}
	if (x->out.full)
		x->fault = "transforms make it longer than 8 MiB";
}

static void place_events(struct transformer *x, size_t count,
			 const struct item *const shown[SCRIPT_ITEMS])
{
	const char *p = x->out.begin;

	for (size_t k = 0; k < count; k++) {
		struct transformed *made = &x->made[k];
		struct str *texts[] = { &made->keys, &made->new_image, &made->old_image };

		for (int i = 0; i < SCRIPT_ITEMS; i++)
			if (shown[i]) {
				texts[i]->p = p;
				p += texts[i]->n;
			}
	}
}

const char *transformer_events(struct transformer *x, const struct record *r,
			       const struct record_fills *fills, const struct transformed **out,
			       size_t *count)
{
	const struct item *shown[SCRIPT_ITEMS];
	const struct transform_step *s = x->transform->steps;
	unsigned scripts = x->transform->script_count;
	struct events e;

	tree_memory_clear(&x->memory);
	transformer_shown(x, r, shown);
	if (!begin(x, r, fills, &e))
		return x->fault;
	while (s && !x->fault) {
		if (s->kind == TRANSFORM_LUA) {
			scripts--;
			run(x, s, r, &e);
			s = s->next;
			continue;
		}
		steps(x, s, &e, shown, scripts == 0);
		while (s && s->kind != TRANSFORM_LUA)
			s = s->next;
	}
	if (x->fault)
		return x->fault;
	if (e.count > x->room) {
		x->room = 2 * e.count;
		x->made = memory_resize(x->made, x->room * sizeof(*x->made));
	}
	write_events(x, r, &e, shown);
	if (x->fault)
		return x->fault;
	place_events(x, e.count, shown);
	*out = x->made;
	*count = e.count;
	return NULL;
}
