/* What is known of a transform's steps before there is an item: which attributes are asked for once
 * names alone are settled, and which steps have to do with each other. */
#include <string.h>

#include "event/transform_internal.h"

static bool names_alone(const struct transform_step *s)
{
	switch (s->kind) {
	case TRANSFORM_KEEP:
		for (const struct transform_keep *k = s->keep; k; k = k->next)
			if (!k->all)
				return false;
		return true;
	case TRANSFORM_DROP:
	case TRANSFORM_RENAME:
		return s->path.count == 1;
	default:
		return false;
	}
}

/* Whether all that the step does is inside of the attribute that its path begins with, or is that
 * an attribute of the item gets another value. */
static bool is_contained(const struct transform_step *s)
{
	switch (s->kind) {
	case TRANSFORM_CAST:
	case TRANSFORM_MASK:
	case TRANSFORM_HASH:
	case TRANSFORM_TRUNCATE:
	case TRANSFORM_PARSE:
		return true;
	case TRANSFORM_DROP:
	case TRANSFORM_RENAME:
	case TRANSFORM_FLATTEN:
	case TRANSFORM_SPLIT:
		return s->path.count > 1;
	case TRANSFORM_SET:
		return s->path.count == 1;
	default:
		return false;
	}
}

/* Attributes of one group have one head. */
static uint32_t head_of(const uint32_t *groups, uint32_t id)
{
	while (groups[id] != id)
		id = groups[id];
	return id;
}

static void ask(struct transform *t, uint32_t *groups, uint32_t id, uint32_t with)
{
	t->asked[id] = true;
	groups[head_of(groups, id)] = head_of(groups, with);
}

static void ask_all(struct transform *t, uint32_t *groups, const struct transform_step *s)
{
	uint32_t id = s->path.count ? s->path.parts[0].id : 0;

	if (s->kind == TRANSFORM_KEEP || s->kind == TRANSFORM_STRIP)
		t->asked_all = true;
	if (id)
		ask(t, groups, id, id);
	if (s->kind == TRANSFORM_RENAME && s->path.count == 1)
		ask(t, groups, s->rename.id, id);
	if (s->kind == TRANSFORM_MOVE)
		ask(t, groups, s->to.parts[0].id, id);
	if (s->kind != TRANSFORM_SET)
		return;
	for (const struct transform_piece *p = s->set.pieces; p; p = p->next)
		if (p->kind == PIECE_ATTRIBUTE)
			ask(t, groups, p->path.parts[0].id, id);
}

void transform_plan(struct transform *t)
{
	/* A source adds the names of its key. */
	uint32_t count = t->name_count + 3;
	uint32_t *groups = arena_alloc(&t->arena, count * sizeof(groups[0]));
	const struct transform_step **of =
		arena_alloc(&t->arena, count * sizeof(struct transform_step *));
	uint32_t *steps = arena_alloc(&t->arena, count * sizeof(steps[0]));

	t->asked = arena_alloc(&t->arena, count * sizeof(t->asked[0]));
	t->alone = arena_alloc(&t->arena, count * sizeof(struct transform_step *));
	memset(t->asked, 0, count * sizeof(t->asked[0]));
	memset(steps, 0, count * sizeof(steps[0]));
	for (uint32_t id = 0; id < count; id++)
		groups[id] = id;
	for (t->rest = t->steps; t->rest && names_alone(t->rest);)
		t->rest = t->rest->next;
	for (const struct transform_step *s = t->rest; s; s = s->next)
		ask_all(t, groups, s);
	for (const struct transform_step *s = t->rest; s; s = s->next) {
		uint32_t head = head_of(groups, s->path.count ? s->path.parts[0].id : 0);

		steps[head]++;
		of[head] = s;
	}
	for (uint32_t id = 0; id < count; id++) {
		uint32_t head = head_of(groups, id);

		t->alone[id] = steps[head] == 1 && is_contained(of[head]) ? of[head] : NULL;
	}
}
