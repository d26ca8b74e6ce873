#pragma once
#include "checkpoint/savepoints.h"

/* Side runs: a stream is read a second time, into a sink that it does not have. To the store that
 * is a stream of its own, with the source's ARN and generation: it has lanes, positions and members
 * as any other, and is gone with the end of the run. Of a source and a sink there is one. In the
 * same store and under the same rules as store.h. */

struct store_side {
	int64_t stream; /* that it is read as */
	int64_t source;
	int32_t sink;
	const char *said; /* what was asked for */
	const char *who;
	int64_t start_ms; /* of `stream` */
	int64_t until_ms; /* nothing younger is wanted; all times are AWS time */
	int64_t begun_ms;
};
/* All of them, the oldest first. */
typedef void store_side_fn(void *arg, const struct store_side *d);
bool store_sides(struct store *s, store_side_fn *fn, void *arg, struct error *err) MUST_CHECK;

struct store_side_start {
	const char *name; /* of the stream that it is read as: nobody else's */
	/* `placed`: it has these shards of the source from the first, where its first listing is
	 * done, each from its place (whose sink does not count), last read at read_at_ms. */
	bool placed;
	const struct store_place *places;
	size_t count;
	int64_t read_at_ms;
};
/* Begins it; `stream` is given back. *begun: by this call or by one that said the same (who,
 * begun_ms); else there is another one. NOT_FOUND: no such source. */
bool store_side_begin(struct store *s, struct store_side *d, const struct store_side_start *start,
		      bool *begun, struct error *err) MUST_CHECK;
/* *over: it has come to where its source was when it began, in all shards that it has. NOT_FOUND:
 * there is no such run (any more). */
bool store_side_over(struct store *s, int64_t stream, bool *over, struct error *err) MUST_CHECK;
/* It is gone, with all that the store knows of its stream. Nobody serves that. Again is fine. */
bool store_side_end(struct store *s, int64_t stream, const char *who, const char *said,
		    int64_t at_ms, struct error *err) MUST_CHECK;
