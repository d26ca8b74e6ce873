#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Learns the distance between a service's clock and ours from the Date of its answers. Pure. One
 * per client and clock. */
struct skew {
	int64_t seen_ms; /* the offset that the last answer spoke for */
	int agreeing;    /* how many answers in a row spoke for that one */
};

/* An answer of the time date_ms (whole seconds) came at wall_ms, elapsed_ms after it was asked for.
 * `refused`: the service refused the request for its time, so that this answer alone is believed.
 * True where *offset_ms changed. */
bool skew_note(struct skew *s, int64_t wall_ms, int64_t date_ms, int64_t elapsed_ms, bool refused,
	       int64_t *offset_ms);
