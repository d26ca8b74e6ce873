#include "consumer/pacing.h"

/* AWS's own reader waits 100 ms to 10 s after a throttle (aws-semantics, 3.4). */
#define THROTTLE_BASE_MS 200
#define THROTTLE_MAX_MS  10000
#define FAILURE_BASE_MS  100
#define FAILURE_MAX_MS   20000

static uint8_t one_more(uint8_t n)
{
	return n < UINT8_MAX ? (uint8_t)(n + 1) : n;
}

/* Half of it is fixed, so that a storm of shards spreads without any of them polling hot. */
static int64_t spread(int64_t ms, struct rng *rng)
{
	return ms / 2 + (int64_t)rng_below(rng, (uint64_t)(ms / 2) + 1);
}

static int64_t doubled(int64_t base, unsigned times, int64_t max)
{
	int64_t ms = base;

	while (times-- > 0 && ms < max)
		ms *= 2;
	return ms < max ? ms : max;
}

int64_t pacing_after(struct pacing *p, const struct pacing_limits *limits,
		     enum pacing_result result, struct rng *rng)
{
	int64_t ms = 0;

	switch (result) {
	case PACING_RECORDS:
		p->empties = p->failures = 0;
		return 0;
	case PACING_EMPTY:
		ms = spread(doubled(limits->min_ms, p->empties, limits->max_ms), rng);
		p->empties = one_more(p->empties);
		p->failures = 0;
		return ms;
	case PACING_THROTTLED:
		ms = spread(doubled(THROTTLE_BASE_MS, p->failures, THROTTLE_MAX_MS), rng);
		break;
	case PACING_FAILED:
		ms = spread(doubled(FAILURE_BASE_MS, p->failures, FAILURE_MAX_MS), rng);
		break;
	}
	p->failures = one_more(p->failures);
	return ms;
}

bool pacing_take(struct pacing_budget *b, int64_t budget, int64_t now_ms, int64_t *wait_ms)
{
	int64_t full = budget * 1000;

	if (budget == 0)
		return true;
	b->tokens_milli += (now_ms - b->at_ms) * budget;
	b->at_ms = now_ms;
	if (b->tokens_milli > full)
		b->tokens_milli = full;
	if (b->tokens_milli >= 1000) {
		b->tokens_milli -= 1000;
		return true;
	}
	*wait_ms = (1000 - b->tokens_milli + budget - 1) / budget;
	return false;
}
