#pragma once
#include "checkpoint/store.h"

/* Where the lanes of streams stand: kept under a name, and set again. In the same store and under
 * the same rules as store.h. */

struct store_place {
	const char *shard;
	int32_t sink;
	struct sequence sequence; /* none: before its first record */
	int64_t event_ms;         /* of that record; 0: none */
	bool done;
};

/* --- savepoints --- */

struct store_savepoint { /* of one stream: one name may be of several */
	const char *name, *stream_name, *arn, *who;
	int64_t stream, at_ms; /* AWS time, the caller's */
	uint64_t generation;   /* the stream's at that time */
	uint32_t places;
};
/* Keeps where all lanes of these streams stand, as of one moment. *made: by this call or by one
 * that said the same (who, at_ms); else the name is taken. */
bool store_savepoint_put(struct store *s, const char *name, const int64_t *streams, size_t count,
			 const char *who, int64_t at_ms, bool *made, struct error *err) MUST_CHECK;
/* All of them, the oldest first, by name and stream. */
typedef void store_savepoint_fn(void *arg, const struct store_savepoint *v);
bool store_savepoints(struct store *s, store_savepoint_fn *fn, void *arg,
		      struct error *err) MUST_CHECK;
/* What one keeps of a stream, by shard and sink. */
typedef void store_place_fn(void *arg, const struct store_place *p);
bool store_savepoint_places(struct store *s, const char *name, int64_t stream, store_place_fn *fn,
			    void *arg, struct error *err) MUST_CHECK;
/* *dropped: it was there. */
bool store_savepoint_drop(struct store *s, const char *name, bool *dropped,
			  struct error *err) MUST_CHECK;

/* --- rewinds --- */

struct store_rewind {
	int64_t hold;
	uint64_t generation; /* the stream's now; given back: from now on */
	const struct store_place *places;
	size_t count;
	/* The lanes that are to be read again count as last read then, those that were read before
	 * it stay; 0: all stay. What was read since is read anew, and may be gone by then. */
	int64_t read_at_ms;
	const char *who, *said;
	int64_t at_ms;
	uint32_t owned; /* given back: store_stream_owned */
};
/* Lanes of a held stream are set to these places, under a generation of its own (as with
 * store_stream_reset, whose rules for *done hold here, too). Lanes and sinks without a place stay
 * where they are; places of what the store does not know are left out. The caller gives every
 * descendant of a lane that goes back a place before its first record: else its records would come
 * before those that its parent brings again.
 *
 * Once everything is delivered again that had been delivered before, this or a reset under a hold
 * for a rewind, is over: store_control_claim puts the control event that says so. */
bool store_stream_rewind(struct store *s, int64_t stream, struct store_rewind *rewind, bool *done,
			 struct error *err) MUST_CHECK;
