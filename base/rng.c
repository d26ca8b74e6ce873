#include "base/rng.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

/* splitmix64 spreads the seed, so that seeds 1, 2, 3 give unrelated runs and never all zeros. */
void rng_seed(struct rng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15u);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		r->s[i] = z ^ (z >> 31);
	}
}

uint64_t rng_next(struct rng *r)
{
	uint64_t result = rotate(r->s[1] * 5, 7) * 9;
	uint64_t t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rotate(r->s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	uint64_t uneven, x;

	assert(n > 0);
	/* The lowest 2^64 mod n numbers would make some results likelier than others. */
	uneven = -n % n;
	do {
		x = rng_next(r);
	} while (x < uneven);
	return x % n;
}

double rng_unit(struct rng *r)
{
	return (double)(rng_next(r) >> 11) * 0x1p-53;
}

int64_t rng_backoff_ms(struct rng *r, unsigned attempt, int64_t base_ms, int64_t max_ms)
{
	int64_t cap = base_ms;

	assert(base_ms > 0 && max_ms > 0);
	for (unsigned i = 0; i < attempt && cap < max_ms; i++)
		cap = cap > max_ms / 2 ? max_ms : cap * 2;
	if (cap > max_ms)
		cap = max_ms;
	return 1 + (int64_t)rng_below(r, (uint64_t)cap);
}

void rng_random(void *out, uint64_t size)
{
	for (uint64_t done = 0; done < size;) {
		ssize_t n = getrandom((char *)out + done, size - done, 0);

		if (n >= 0) {
			done += (uint64_t)n;
		} else if (errno != EINTR) {
			perror("sluice: getrandom");
			abort();
		}
	}
}
