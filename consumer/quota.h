#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

/* Pure: how many calls of one operation may be made. At most QUOTA_CALLS in any second, as the
 * service counts them for the whole account; fewer where it throttles all the same, because others
 * call it too, and then by and by more again. Times are CLOCK_BOOTTIME in ms. */
#define QUOTA_CALLS 10 /* DescribeStream's (aws-semantics, 1.3) */

struct quota {
	int64_t sent_ms[QUOTA_CALLS]; /* of the last calls, a ring; 0: none yet */
	unsigned at;
	unsigned calls; /* allowed in a second now: 1..QUOTA_CALLS */
	int64_t changed_ms;
	int64_t hold_ms;    /* none before that: it throttled */
	unsigned throttles; /* in a row */
};

void quota_init(struct quota *q);
/* How many calls may be made now. */
unsigned quota_free(const struct quota *q, int64_t now_ms);
/* When that grows at the earliest. */
int64_t quota_grows_ms(const struct quota *q, int64_t now_ms);
void quota_spend(struct quota *q, int64_t now_ms);
void quota_answered(struct quota *q, bool throttled, int64_t now_ms, struct rng *rng);
