#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

/* Pure: when a shard is asked again. At once while it gives records; backing off from `min` towards
 * `max` while it is empty; slower when it throttles; jitter everywhere. */
struct pacing_limits {
	int64_t min_ms, max_ms;
	int64_t budget; /* calls a second for the whole stream; 0: no limit */
};

struct pacing {
	uint8_t empties;  /* in a row */
	uint8_t failures; /* in a row: faults and throttles */
};

enum pacing_result { PACING_RECORDS, PACING_EMPTY, PACING_THROTTLED, PACING_FAILED };

/* How long to wait (ms, 0: not at all) after this result. */
int64_t pacing_after(struct pacing *p, const struct pacing_limits *limits,
		     enum pacing_result result, struct rng *rng);

/* Calls a second shared by the shards of a stream: a bucket that holds one second's worth. */
struct pacing_budget {
	int64_t tokens_milli; /* thousandths of a call */
	int64_t at_ms;
};
/* Takes one call; else false and *wait_ms says when there will be one. budget 0 always gives. */
bool pacing_take(struct pacing_budget *b, int64_t budget, int64_t now_ms, int64_t *wait_ms);
