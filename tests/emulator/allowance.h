#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Calls a second: a bucket that holds one second's worth (an allowance), and how many really came
 * within one (a rush). Pure; times are boot time in ms. */
struct allowance {
	double left;
	int64_t at_ms; /* 0: nobody has asked yet, it is full */
};

/* Takes one of `rate` calls a second; rate 0: no limit. */
bool allowance_take(struct allowance *a, uint64_t rate, int64_t now_ms);

#define RUSH_MAX 256 /* counts no further */
struct rush {
	int64_t at_ms[RUSH_MAX];
	uint32_t next, most; /* most calls within any second */
};
void rush_note(struct rush *r, int64_t now_ms);
