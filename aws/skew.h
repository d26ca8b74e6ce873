#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Learns the distance between AWS's clock and ours from the Date of its answers. Pure but for the
 * clock's offset, which it sets. One per client. */
struct skew {
	int64_t seen_ms; /* the offset that the last answer spoke for */
	int agreeing;    /* how many answers in a row spoke for that one */
};

struct clock;

/* An answer of the time date_ms (whole seconds) came elapsed_ms after it was asked for. `refused`:
 * AWS refused the request for its time, so that this answer alone is believed. True where the
 * clock's offset changed. */
bool skew_note(struct skew *s, struct clock *clock, int64_t date_ms, int64_t elapsed_ms,
	       bool refused);
