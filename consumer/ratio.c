#include "consumer/ratio.h"

#define LETTERS_MASK ((uint64_t)UINT32_MAX)

static uint64_t add(struct ratio *r, uint64_t records, uint64_t letters)
{
	uint64_t was = atomic_load_explicit(&r->counted, memory_order_relaxed), now;

	do {
		uint64_t all = was >> 32, bad = was & LETTERS_MASK;

		while (records > 0 && all + records > RATIO_RECORDS && all > RATIO_RECORDS / 2) {
			all /= 2;
			bad /= 2;
		}
		now = (all + records) << 32 | (bad + letters);
	} while (!atomic_compare_exchange_weak_explicit(
		&r->counted, &was, now, memory_order_relaxed, memory_order_relaxed));
	return now;
}

void ratio_init(struct ratio *r, int64_t max)
{
	r->max = max;
	atomic_init(&r->counted, 0);
	atomic_init(&r->over, false);
}

void ratio_records(struct ratio *r, uint64_t count)
{
	if (r->max < RATIO_ONE)
		add(r, count, 0);
}

bool ratio_letter(struct ratio *r, bool *first)
{
	uint64_t now, all, bad;

	*first = false;
	if (r->max >= RATIO_ONE)
		return true;
	if (atomic_load_explicit(&r->over, memory_order_relaxed))
		return false;
	now = add(r, 0, 1);
	all = now >> 32;
	bad = now & LETTERS_MASK;
	if (all < RATIO_RECORDS_MIN || bad * RATIO_ONE <= all * (uint64_t)r->max)
		return true;
	*first = !atomic_exchange_explicit(&r->over, true, memory_order_relaxed);
	return false;
}
