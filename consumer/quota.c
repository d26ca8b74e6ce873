#include "consumer/quota.h"

/* A second, and by how much two calls may come closer to each other on their way. */
#define WINDOW_MS   1100
#define GROW_MS     2000
#define HOLD_MS     200
#define HOLD_MAX_MS 10000

void quota_init(struct quota *q)
{
	*q = (struct quota){ .calls = QUOTA_CALLS };
}

static bool counts(const struct quota *q, unsigned i, int64_t now_ms)
{
	return q->sent_ms[i] != 0 && q->sent_ms[i] + WINDOW_MS > now_ms;
}

unsigned quota_free(const struct quota *q, int64_t now_ms)
{
	unsigned used = 0;

	for (unsigned i = 0; i < QUOTA_CALLS; i++)
		used += counts(q, i, now_ms);
	return now_ms < q->hold_ms || used >= q->calls ? 0 : q->calls - used;
}

int64_t quota_grows_ms(const struct quota *q, int64_t now_ms)
{
	int64_t first_ms = INT64_MAX;

	if (now_ms < q->hold_ms)
		return q->hold_ms;
	for (unsigned i = 0; i < QUOTA_CALLS; i++)
		if (counts(q, i, now_ms) && q->sent_ms[i] + WINDOW_MS < first_ms)
			first_ms = q->sent_ms[i] + WINDOW_MS;
	return first_ms;
}

void quota_spend(struct quota *q, int64_t now_ms)
{
	q->sent_ms[q->at] = now_ms;
	q->at = (q->at + 1) % QUOTA_CALLS;
}

/* Answers to calls of the same second tell the same thing: they halve it once. */
void quota_answered(struct quota *q, bool throttled, int64_t now_ms, struct rng *rng)
{
	bool settled = now_ms >= q->changed_ms + (throttled ? WINDOW_MS : GROW_MS);

	if (throttled) {
		q->hold_ms = now_ms + rng_backoff_ms(rng, q->throttles++, HOLD_MS, HOLD_MAX_MS);
	} else {
		q->throttles = 0;
	}
	if (!settled || (!throttled && q->calls == QUOTA_CALLS))
		return;
	q->calls = throttled ? (q->calls + 1) / 2 : q->calls + 1;
	q->changed_ms = now_ms;
}
