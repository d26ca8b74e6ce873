#pragma once
#include <stdint.h>

/* A seeded generator (xoshiro256**): the same seed gives the same numbers for ever. */
struct rng {
	uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0..n-1; n > 0 */
double rng_unit(struct rng *r);                /* [0, 1) */
/* Full jitter: 0..min(base·2^attempt, max), at least 1 (ms). */
int64_t rng_backoff_ms(struct rng *r, unsigned attempt, int64_t base_ms, int64_t max_ms);
/* From the kernel: session ids and seeds. */
void rng_random(void *out, uint64_t size);
