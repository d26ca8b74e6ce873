#include "consumer/quota.h"

#include <assert.h>

#define SECOND_MS   1000
#define GROW_MS     2000
#define HOLD_MS     200
#define HOLD_MAX_MS 10000

void quota_init(struct quota *q)
{
	*q = (struct quota){ .calls = QUOTA_CALLS };
}

unsigned quota_free(const struct quota *q, int64_t now_ms)
{
	unsigned used = 0;

	for (unsigned i = 0; i < QUOTA_CALLS; i++)
		used += q->busy_ms[i] > now_ms;
	return now_ms < q->hold_ms || used >= q->calls ? 0 : q->calls - used;
}

int64_t quota_grows_ms(const struct quota *q, int64_t now_ms)
{
	int64_t first_ms = INT64_MAX;

	if (now_ms < q->hold_ms)
		return q->hold_ms;
	for (unsigned i = 0; i < QUOTA_CALLS; i++)
		if (q->busy_ms[i] > now_ms && q->busy_ms[i] < first_ms)
			first_ms = q->busy_ms[i];
	return first_ms;
}

unsigned quota_spend(struct quota *q, int64_t now_ms)
{
	unsigned place = 0;

	assert(quota_free(q, now_ms) > 0);
	while (q->busy_ms[place] > now_ms)
		place++;
	q->busy_ms[place] = INT64_MAX;
	return place;
}

/* Answers to calls of the same second tell the same thing: they halve it once. */
void quota_answered(struct quota *q, unsigned place, bool throttled, int64_t now_ms,
		    struct rng *rng)
{
	bool settled = now_ms >= q->changed_ms + (throttled ? SECOND_MS : GROW_MS);

	q->busy_ms[place] = now_ms + SECOND_MS;
	if (throttled)
		q->hold_ms = now_ms + rng_backoff_ms(rng, q->throttles++, HOLD_MS, HOLD_MAX_MS);
	else
		q->throttles = 0;
	if (!settled || (!throttled && q->calls == QUOTA_CALLS))
		return;
	q->calls = throttled ? (q->calls + 1) / 2 : q->calls + 1;
	q->changed_ms = now_ms;
}
