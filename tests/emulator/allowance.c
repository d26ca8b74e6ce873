#include "tests/emulator/allowance.h"

bool allowance_take(struct allowance *a, uint64_t rate, int64_t now_ms)
{
	if (rate == 0)
		return true;
	a->left = a->at_ms ? a->left + (double)(now_ms - a->at_ms) * (double)rate / 1000
			   : (double)rate;
	if (a->left > (double)rate)
		a->left = (double)rate;
	a->at_ms = now_ms;
	if (a->left < 1)
		return false;
	a->left--;
	return true;
}

void rush_note(struct rush *r, int64_t now_ms)
{
	uint32_t count = 1;

	while (count < RUSH_MAX) {
		int64_t at_ms = r->at_ms[(r->next + RUSH_MAX - count) % RUSH_MAX];

		if (at_ms == 0 || at_ms <= now_ms - 1000)
			break;
		count++;
	}
	r->at_ms[r->next] = now_ms;
	r->next = (r->next + 1) % RUSH_MAX;
	if (count > r->most)
		r->most = count;
}
