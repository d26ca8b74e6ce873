#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

/* Pure: how many calls of one operation may be made. At most QUOTA_CALLS in any second, as the
 * service counts them for the whole account: whenever a call arrives there, it was not after its
 * answer came. Fewer where the service throttles all the same, because others call it too, and then
 * by and by more again. Times are CLOCK_BOOTTIME in ms. */
#define QUOTA_CALLS 10 /* DescribeStream's (aws-semantics, 1.3) */

struct quota {
	int64_t busy_ms[QUOTA_CALLS]; /* until then; INT64_MAX: a call that is out */
	unsigned calls;               /* allowed in a second now: 1..QUOTA_CALLS */
	int64_t changed_ms;
	int64_t hold_ms;    /* none before that: it throttled */
	unsigned throttles; /* in a row */
};

void quota_init(struct quota *q);
/* How many calls may be made now. */
unsigned quota_free(const struct quota *q, int64_t now_ms);
/* When that grows at the earliest, if no answer comes before. */
int64_t quota_grows_ms(const struct quota *q, int64_t now_ms);
/* One call that may be made now is. Returns its place, for its answer. */
unsigned quota_spend(struct quota *q, int64_t now_ms);
void quota_answered(struct quota *q, unsigned place, bool throttled, int64_t now_ms,
		    struct rng *rng);
