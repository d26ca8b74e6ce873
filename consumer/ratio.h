#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Which share of a stream's latest records goes to the dead letters, of those that one worker
 * reads. The latest are RATIO_RECORDS / 2 to RATIO_RECORDS of them, and a page: where more were
 * counted, all that was counted is halved. Any reader counts. */
#define RATIO_RECORDS     2000
#define RATIO_RECORDS_MIN 100     /* of fewer nothing is said */
#define RATIO_ONE         1000000 /* of max: all of them may go there */

struct ratio {
	int64_t max; /* the share that may go there, in RATIO_ONE */
	/* Records in the upper half, letters in the lower one. */
	_Atomic uint64_t counted;
	_Atomic bool over; /* it was over the maximum once: from then on no letter may be written */
};

void ratio_init(struct ratio *r, int64_t max);
void ratio_records(struct ratio *r, uint64_t count);
/* One of them is bad. False: it may not become a letter. *first: that was well until now. */
bool ratio_letter(struct ratio *r, bool *first);
