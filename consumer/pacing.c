#include "consumer/pacing.h"

#include <assert.h>

#define SECOND_MS 1000
#define CALL      ((int64_t)1000000) /* in a bucket */
/* AWS's own reader waits 100 ms to 10 s after a throttle (aws-semantics, 3.4). */
#define THROTTLE_BASE_MS 200
#define THROTTLE_MAX_MS  10000
#define FAILURE_BASE_MS  100
#define FAILURE_MAX_MS   20000

/* A page ends at 1 MB as DynamoDB counts, of which JSON is never shorter. */
#define PAGE_FULL_BYTES ((size_t)900 << 10)
/* Whole seconds, clocks, and the way here. */
#define BEHIND_AGE_MS 5000
/* AWS gives empty pages in the middle of data as well. */
#define EMPTIES_IDLE 4
/* Calls in a row for others. */
#define PASSED_MAX 3

/* It brakes when a quarter of the shards that are read is throttled within a second. */
#define BRAKE_SHARE        4
#define BRAKE_SHARDS_LEAST 3
#define BRAKE_STEPS        10

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

void pacing_page(struct pacing *p, const struct pacing_limits *limits,
		 const struct pacing_page *page)
{
	bool full =
		page->bytes >= PAGE_FULL_BYTES || (page->limit > 0 && page->records >= page->limit);

	p->behind = full || page->age_ms > BEHIND_AGE_MS + limits->max_ms;
}

enum pacing_class pacing_class(const struct pacing *p)
{
	if (p->bulk || p->empties >= EMPTIES_IDLE)
		return PACING_IDLE;
	return p->behind ? PACING_BEHIND : PACING_WARM;
}

/* --- turns --- */

enum pacing_class pacing_turn(const struct pacing_turns *t, unsigned waiting)
{
	enum pacing_class class = PACING_BEHIND;

	for (int k = PACING_IDLE; k > PACING_BEHIND; k--)
		if (waiting & 1u << k && t->passed[k] >= PASSED_MAX)
			return (enum pacing_class)k;
	while (!(waiting & 1u << class))
		class ++;
	return class;
}

void pacing_turn_taken(struct pacing_turns *t, unsigned waiting, enum pacing_class taken)
{
	for (unsigned k = 0; k < PACING_CLASSES; k++)
		t->passed[k] = k == taken || !(waiting & 1u << k) ? 0 : one_more(t->passed[k]);
}

/* --- calls a second --- */

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t pacing_wait_ms(struct pacing_bucket *b, int64_t rate_milli, int64_t now_ms)
{
	int64_t full = larger(rate_milli * SECOND_MS, CALL);

	if (rate_milli == 0)
		return 0;
	/* By division first: a machine may be up for years before the first call. */
	if (now_ms - b->at_ms > (full - b->tokens) / rate_milli)
		b->tokens = full;
	else
		b->tokens += (now_ms - b->at_ms) * rate_milli;
	b->at_ms = now_ms;
	if (b->tokens > full) /* of a higher rate */
		b->tokens = full;
	return b->tokens >= CALL ? 0 : (CALL - b->tokens + rate_milli - 1) / rate_milli;
}

void pacing_take(struct pacing_bucket *b, int64_t rate_milli)
{
	if (rate_milli == 0)
		return;
	assert(b->tokens >= CALL);
	b->tokens -= CALL;
}

int64_t pacing_share_milli(int64_t budget, uint64_t own, uint64_t all)
{
	if (own >= all) /* alone; or nobody holds anything yet */
		return budget * 1000;
	/* Who holds nothing is about to. */
	return larger((int64_t)((double)budget * 1000 * (own ? (double)own : 1.0) / (double)all),
		      budget > 0);
}

/* --- the brake --- */

bool pacing_brake_turn(struct pacing_brake *b, int64_t now_ms)
{
	int64_t seconds = b->second > 0 ? (now_ms - b->since_ms) / SECOND_MS : 1;
	bool braked = !b->held && b->throttled >= BRAKE_SHARDS_LEAST &&
		      (uint64_t)b->throttled * BRAKE_SHARE >= b->called;

	if (seconds == 0)
		return false;
	if (braked) {
		/* The calls may have been made in the second before. */
		b->from_milli = 1000 * larger(b->calls, b->throttled);
		b->rate_milli = b->from_milli / 2;
	} else if (b->rate_milli > 0) {
		b->rate_milli += b->from_milli / BRAKE_STEPS * (seconds - b->held);
		if (b->rate_milli >= 2 * b->from_milli)
			b->rate_milli = 0;
	}
	b->since_ms = b->second > 0 ? b->since_ms + seconds * SECOND_MS : now_ms;
	b->second = b->second < UINT8_MAX ? (uint8_t)(b->second + 1) : 1;
	b->held = braked;
	b->calls = b->called = b->throttled = 0;
	return braked;
}

void pacing_brake_call(struct pacing_brake *b, struct pacing *p)
{
	b->calls++;
	b->called += p->called_in != b->second;
	p->called_in = b->second;
}

void pacing_brake_throttled(struct pacing_brake *b, struct pacing *p)
{
	b->throttled += p->throttled_in != b->second;
	p->throttled_in = b->second;
}

int64_t pacing_limit_milli(const struct pacing_brake *b, int64_t share_milli)
{
	if (b->rate_milli == 0 || (share_milli > 0 && share_milli < b->rate_milli))
		return share_milli;
	return b->rate_milli;
}
