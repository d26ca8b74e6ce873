#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Pure: what the reads of a stream cost a month, if they go on as in the last minutes. AWS counts a
 * read request unit for each GetRecords that it answers with a page, be it empty. */

#define BILL_POINTS 11

struct bill {
	struct {
		int64_t at_ms, calls;
	} points[BILL_POINTS]; /* a ring: of each 30 s, so that the oldest is 5 minutes old */
	unsigned count, newest;
};

/* Calls since some beginning. Whenever one likes, but not less often than each few seconds. */
void bill_note(struct bill *b, int64_t now_ms, int64_t calls);
/* For 30 days; false in the first ten seconds, which say nothing yet. */
bool bill_units_month(const struct bill *b, int64_t now_ms, int64_t calls, int64_t *units);
/* In thousandths of a dollar; the price is millionths of a dollar for 100,000 units. */
int64_t bill_cost_milli(int64_t units, int64_t price);
