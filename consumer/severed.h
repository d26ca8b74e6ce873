#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/lineage.h"

/* Pure: the shards of a stream that a gap cuts off from their parent, or from what that descends
 * from. They are not in the store: what is listed of them is held back until the gap is accepted.
 * After a day's absence that may be all of a large stream. */
struct severed {
	struct streams_shard shard;
	char parent[STREAMS_SHARD_MAX + 1]; /* as in lineage.h */
	bool orphan;    /* it has no parent that was seen; else it descends from one of these */
	bool recording; /* as a gap */
	int64_t gap;    /* the store's; 0: not recorded yet */
	bool accepted;
};

struct severed_list {
	struct severed *shards; /* parents before their children; ids are there once */
	size_t count;
	struct lineage index; /* the same shards, with the same indices */
};

void severed_init(struct severed_list *l);
void severed_release(struct severed_list *l);
/* None is left. */
void severed_clear(struct severed_list *l);
/* NULL: it is not there. Valid until the list changes. */
struct severed *severed_find(const struct severed_list *l, const char *shard);

/* Orphans that are not known as such yet. */
size_t severed_new_orphans(const struct severed_list *l, const struct lineage_found *found,
			   size_t count);
/* Told of one that is not severed any more; it is gone afterwards. */
typedef void severed_fn(void *arg, const struct severed *b);
/* Takes the orphans and what descends from them out of what a complete listing shows, and nothing
 * else is severed from then on; what is known of those that stay is kept. Returns how many of
 * `found` are left, in their order; `mended` hears of those of them that were severed. */
size_t severed_see(struct severed_list *l, struct lineage_found *found, size_t count,
		   severed_fn *mended, void *arg);
/* These are added after all: they leave the list. */
void severed_leave(struct severed_list *l, const struct lineage_found *found, size_t count,
		   severed_fn *mended, void *arg);
/* The accepted orphans and what descends from them go from the list to the end of `out`. */
void severed_accept(struct severed_list *l, struct severed_list *out);
