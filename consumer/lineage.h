#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/streams.h"

/* Pure: the tree of a stream's shards, out of listings that may be stale or inconsistent.
 *
 * Roots exist only in a stream's first listing: a shard without a parent, or whose parent is no
 * longer listed. Later a shard must have a parent that we know, else something was never read: an
 * orphan, which is a gap (hazards, A5 and A6). A shard is known for ever once it was added. */
#define LINEAGE_NONE UINT32_MAX

struct lineage_shard {
	char id[STREAMS_SHARD_MAX + 1];
	uint32_t parent; /* index, or LINEAGE_NONE */
	uint32_t next;   /* of the same hash bucket */
};

struct lineage {
	struct lineage_shard *shards;
	uint32_t count, capacity;
	uint32_t *buckets; /* power of two of them */
	uint32_t bucket_count;
};

void lineage_init(struct lineage *l);
void lineage_release(struct lineage *l);
/* LINEAGE_NONE where it is unknown. */
uint32_t lineage_find(const struct lineage *l, const char *id);
/* Adds a shard that is not known yet; returns its index (0, 1, … in the order of adding). */
uint32_t lineage_add(struct lineage *l, const char *id, uint32_t parent);

enum lineage_kind {
	LINEAGE_ROOT,   /* first listing: read from the stream's start */
	LINEAGE_UNREAD, /* first listing: nothing of it is wanted, done as it is */
	LINEAGE_CHILD,  /* read from its beginning once its parent is done */
	LINEAGE_ORPHAN, /* its parent was never seen: a gap before it */
};

struct lineage_found {
	const struct streams_shard *shard;
	enum lineage_kind kind;
};

/* What is new in a complete listing, parents before their children. `first`: the stream has no
 * lanes yet. start_ms: the stream's start (AWS time; 0: from the oldest record), now_ms: AWS time.
 * `found` has room for `count`; returns how many it wrote. Adds nothing. */
size_t lineage_diff(const struct lineage *l, const struct streams_shard *listed, size_t count,
		    bool first, int64_t start_ms, int64_t now_ms, struct lineage_found *found);

/* Creation time out of "shardId-<epoch ms, 20 digits>-…"; -1 where the id does not look like that.
 */
int64_t lineage_created_ms(const char *shard);
