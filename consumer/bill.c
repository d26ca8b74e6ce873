#include "consumer/bill.h"

#define POINT_EVERY_MS  30000
#define SAYS_NOTHING_MS 10000
#define MONTH_MS        ((int64_t)30 * 24 * 60 * 60 * 1000)
#define UNITS_PRICED    100000

void bill_note(struct bill *b, int64_t now_ms, int64_t calls)
{
	if (b->count > 0 && now_ms < b->points[b->newest].at_ms + POINT_EVERY_MS)
		return;
	b->newest = b->count > 0 ? (b->newest + 1) % BILL_POINTS : 0;
	b->points[b->newest].at_ms = now_ms;
	b->points[b->newest].calls = calls;
	if (b->count < BILL_POINTS)
		b->count++;
}

bool bill_units_month(const struct bill *b, int64_t now_ms, int64_t calls, int64_t *units)
{
	unsigned oldest = b->count < BILL_POINTS ? 0 : (b->newest + 1) % BILL_POINTS;
	int64_t ms = now_ms - b->points[oldest].at_ms;

	if (b->count == 0 || ms < SAYS_NOTHING_MS)
		return false;
	*units = (int64_t)((double)(calls - b->points[oldest].calls) * (double)MONTH_MS /
			   (double)ms);
	return true;
}

int64_t bill_cost_milli(int64_t units, int64_t price)
{
	return (int64_t)((double)units / UNITS_PRICED * (double)price / 1000);
}
