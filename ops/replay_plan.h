#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoint/savepoints.h"

/* Pure: which lanes of a stream go back in a replay, and to where. A lane that goes back takes all
 * that descends from it along, each to its beginning: else a child's records would come before
 * those that its parent brings again. */

struct replay_lane {
	struct store_lane lane;
	const struct store_position *positions; /* of its sinks */
	size_t count;
};
struct replay_stream {
	struct replay_lane *lanes; /* in the order of their ids */
	struct store_position *positions;
	size_t lane_count, position_count;
};
/* As the store has it now; to be released, also after an error. */
bool replay_stream_read(struct store *s, int64_t stream, struct replay_stream *out,
			struct error *err) MUST_CHECK;
void replay_stream_release(struct replay_stream *s);

struct replay_plan {
	struct store_place *places; /* their shards are the stream's */
	size_t count;
	size_t lanes;      /* that are set */
	size_t to_begin;   /* of these, to before their first record */
	int64_t oldest_ms; /* the oldest place of the others, by its record's time; 0: none */
};
void replay_plan_release(struct replay_plan *p);

#define REPLAY_ALL_SINKS 0
/* To where a savepoint has them, those that are behind it stay. Lanes that came later go to their
 * beginning. NOT_FOUND where the savepoint keeps a shard that was not read to its end, and the
 * store does not know it any more: its records have left the stream. */
bool replay_to_savepoint(const struct replay_stream *s, const struct store_place *kept,
			 size_t count, int32_t sink, struct replay_plan *out,
			 struct error *err) MUST_CHECK;
/* One shard to this place, its descendants to their beginning. A place ahead of where a sink is
 * moves that sink forward where `ahead` says so, and is INVALID otherwise. NOT_FOUND: the store
 * does not know the shard, or none of its lanes has the sink. */
bool replay_to_place(const struct replay_stream *s, const struct store_place *to, int32_t sink,
		     bool ahead, struct replay_plan *out, struct error *err) MUST_CHECK;
/* The same for a second reading, into a sink that has no places of its own: every shard that it is
 * to know has one (sink 0), and `lanes` are those that it reads. Nothing is set back. From a
 * savepoint it begins where the furthest of its sinks was; from a place with that one shard, others
 * but its descendants are done. */
bool replay_aside_savepoint(const struct replay_stream *s, const struct store_place *kept,
			    size_t count, int32_t sink, struct replay_plan *out,
			    struct error *err) MUST_CHECK;
bool replay_aside_place(const struct replay_stream *s, const struct store_place *to,
			struct replay_plan *out, struct error *err) MUST_CHECK;
