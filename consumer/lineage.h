#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/streams.h"

/* Pure: the tree of a stream's shards, out of listings that may be stale or inconsistent.
 *
 * Roots exist only in a stream's first listing: a shard without a parent, or whose parent is no
 * longer listed. Later a shard must have a parent that we know, else something was never read: an
 * orphan, which is a gap (hazards, A5 and A6); but one without any parent that is too young to have
 * lost it was only listed late. A shard stays known until it is forgotten, which it may be once
 * nothing can ask for it any more. */
#define LINEAGE_NONE UINT32_MAX

struct lineage_shard {
	char id[STREAMS_SHARD_MAX + 1];
	uint32_t parent;  /* index, or LINEAGE_NONE */
	uint32_t next;    /* of the same hash bucket; of one that is not in use, the next such */
	int64_t child_ms; /* when its newest known child was created, by the child's id; 0: none
			     is known, INT64_MAX: its id does not tell */
	int64_t seen_ms;  /* lineage_listed; 0: not yet */
};

struct lineage {
	struct lineage_shard *shards;
	uint32_t count, capacity; /* indices that are or were in use */
	uint32_t unused;          /* the first that is not in use any more, or LINEAGE_NONE */
	uint32_t *buckets;        /* power of two of them */
	uint32_t bucket_count;
};

void lineage_init(struct lineage *l);
void lineage_release(struct lineage *l);
/* LINEAGE_NONE where it is unknown. */
uint32_t lineage_find(const struct lineage *l, const char *id);
/* Adds a shard that is not known yet; returns its index: 0, 1, … in the order of adding, or that of
 * one that was forgotten. */
uint32_t lineage_add(struct lineage *l, const char *id, uint32_t parent);
/* The parent of a shard that was added before it. */
void lineage_link(struct lineage *l, uint32_t index, uint32_t parent);
/* Notes that these shards are listed now; the others that were not noted yet count from now, too.
 * now_ms is of any clock that only goes forward. */
void lineage_listed(struct lineage *l, const struct streams_shard *listed, size_t count,
		    int64_t now_ms);
/* Forgets what was last noted before before_ms, but for what is needed. Returns how many. */
typedef bool lineage_needed_fn(void *arg, uint32_t index);
uint32_t lineage_forget(struct lineage *l, int64_t before_ms, lineage_needed_fn *needed, void *arg);

enum lineage_kind {
	LINEAGE_ROOT,   /* first listing: read from the stream's start */
	LINEAGE_UNREAD, /* nothing of it is wanted, done as it is */
	LINEAGE_CHILD,  /* read from its beginning once its parent is done */
	LINEAGE_ORPHAN, /* its parent was never seen, or is a descendant of its: a gap before it */
};

struct lineage_found {
	const struct streams_shard *shard;
	const char *parent; /* as the listing has it; "" where that would close a loop */
	enum lineage_kind kind;
};

/* What is new in a complete listing, parents before their children. Where parents form a loop, its
 * oldest shard is an orphan. `first`: the stream has no
 * lanes yet. start_ms: the stream's start (AWS time; 0: from the oldest record), now_ms: AWS time.
 * `found` has room for `count`; returns how many it wrote. Adds nothing. */
size_t lineage_diff(const struct lineage *l, const struct streams_shard *listed, size_t count,
		    bool first, int64_t start_ms, int64_t now_ms, struct lineage_found *found);

/* Takes the orphans and what descends from them out of `found`; the rest is as it was. Returns how
 * many are left. */
size_t lineage_without_orphans(struct lineage_found *found, size_t count);

/* Nothing is wanted but what descends from this shard: the rest of `found` is done unread. Orphans
 * stay what they are, with what descends from them: nobody knows from where they do. */
void lineage_only_below(const struct lineage *l, const char *shard, struct lineage_found *found,
			size_t count);

/* `found` once more, into `ordered`: what would be taken for something else if only a part of it
 * were known when the stream is listed again comes first, which are roots, and what is done unread
 * without a parent before it. In both parts parents come before their children. Returns how many
 * are in the first. */
size_t lineage_order(const struct lineage_found *found, size_t count,
		     struct lineage_found *ordered);

/* Creation time out of "shardId-<epoch ms, 20 digits>-…"; -1 where the id does not look like that.
 */
int64_t lineage_created_ms(const char *shard);
