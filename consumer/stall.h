#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Does a sink still answer? Its load is counted where deliveries leave and answers come; how long
 * it has been silent is decided once in a while, by one thread. */

struct stall_load {
	_Atomic int64_t waiting;  /* deliveries on their way to the sink, its failures included */
	_Atomic uint64_t answers; /* that brought something further: all but failures */
};

struct stall {
	bool waits;
	uint64_t answers;
	int64_t since_ms;
};

/* Pure. `waits`: something waits for the sink now, and we could have sent it. Returns for how long
 * that has been so without an answer; 0: not at all. */
int64_t stall_note(struct stall *s, bool waits, uint64_t answers, int64_t now_ms);
