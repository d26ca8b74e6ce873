#include "consumer/severed.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

void severed_init(struct severed_list *l)
{
	*l = (struct severed_list){ 0 };
	lineage_init(&l->index);
}

void severed_release(struct severed_list *l)
{
	free(l->shards);
	lineage_release(&l->index);
	*l = (struct severed_list){ 0 };
}

void severed_clear(struct severed_list *l)
{
	severed_release(l);
	severed_init(l);
}

struct severed *severed_find(const struct severed_list *l, const char *shard)
{
	uint32_t at = lineage_find(&l->index, shard);

	return at == LINEAGE_NONE ? NULL : &l->shards[at];
}

static void add(struct severed_list *l, const struct severed *b)
{
	l->shards = memory_room(l->shards, l->count, sizeof(*l->shards));
	l->shards[l->count++] = *b;
	lineage_add(&l->index, b->shard.id, LINEAGE_NONE);
}

size_t severed_new_orphans(const struct severed_list *l, const struct lineage_found *found,
			   size_t count)
{
	size_t fresh = 0;

	for (size_t i = 0; i < count; i++) {
		const struct severed *b = found[i].kind == LINEAGE_ORPHAN
						  ? severed_find(l, found[i].shard->id)
						  : NULL;

		fresh += found[i].kind == LINEAGE_ORPHAN && !(b && (b->recording || b->gap != 0));
	}
	return fresh;
}

static void keep(struct severed_list *l, const struct lineage_found *f, const struct severed *old)
{
	struct severed b = { .shard = *f->shard, .orphan = f->kind == LINEAGE_ORPHAN };

	if (old && old->orphan == b.orphan)
		b = *old;
	snprintf(b.parent, sizeof(b.parent), "%s", f->parent);
	add(l, &b);
}

size_t severed_see(struct severed_list *l, struct lineage_found *found, size_t count,
		   severed_fn *mended, void *arg)
{
	struct severed_list was = *l;
	size_t left = 0;

	severed_init(l);
	for (size_t i = 0; i < count; i++) {
		const struct severed *old = severed_find(&was, found[i].shard->id);

		if (found[i].kind == LINEAGE_ORPHAN || severed_find(l, found[i].parent)) {
			keep(l, &found[i], old);
			continue;
		}
		if (old)
			mended(arg, old);
		found[left++] = found[i];
	}
	severed_release(&was);
	return left;
}

void severed_leave(struct severed_list *l, const struct lineage_found *found, size_t count,
		   severed_fn *mended, void *arg)
{
	struct severed_list was = *l;
	bool *leaves = memory_array(was.count + 1, sizeof(*leaves));
	bool some = false;

	for (size_t i = 0; i < count && was.count > 0; i++) {
		uint32_t at = lineage_find(&was.index, found[i].shard->id);

		if (at == LINEAGE_NONE)
			continue;
		mended(arg, &was.shards[at]);
		leaves[at] = some = true;
	}
	if (some) {
		severed_init(l);
		for (size_t i = 0; i < was.count; i++)
			if (!leaves[i])
				add(l, &was.shards[i]);
		severed_release(&was);
	}
	free(leaves);
}

void severed_accept(struct severed_list *l, struct severed_list *out)
{
	struct severed_list was = *l;

	severed_init(l);
	for (size_t i = 0; i < was.count; i++) {
		const struct severed *b = &was.shards[i];
		bool goes = b->orphan ? b->accepted : severed_find(out, b->parent) != NULL;

		add(goes ? out : l, b);
	}
	severed_release(&was);
}
