#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "checkpoint/frontier.h"
#include "checkpoint/store.h"

/* Lanes as the store gave them to this session, with their positions. */
struct taken {
	uint32_t stream; /* the worker's index */
	bool all;        /* everything that the session holds of the stream, not only what is new */
	struct store_lane *lanes; /* parents before children */
	size_t count, capacity;
	struct store_position *positions; /* by lane and sink */
	size_t position_count, position_capacity;
};

struct taken *taken_new(uint32_t stream, bool all);
void taken_free(struct taken *t);
DEFINE_AUTO(taken)
/* For the store's calls; arg is the struct taken. */
store_lane_fn taken_lane;
store_position_fn taken_position;
/* The taken lanes by shard, to tell which are still to be dealt with. */
struct taken_shards;
struct taken_shards *taken_shards_new(const struct taken *t); /* has all of them */
void taken_shards_free(struct taken_shards *s);
DEFINE_AUTO(taken_shards)
bool taken_shards_has(const struct taken_shards *s, const char *shard);
void taken_shards_remove(struct taken_shards *s, const char *shard);
/* Where the sinks are in a lane, by slot of `sinks`: zeros where there is no position. */
void taken_positions(const struct taken *t, int64_t lane, const int32_t *sinks, size_t sink_count,
		     struct frontier_move *at);
