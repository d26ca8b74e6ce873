#include "consumer/stall.h"

int64_t stall_note(struct stall *s, bool waits, uint64_t answers, int64_t now_ms)
{
	if (!waits || !s->waits || answers != s->answers)
		*s = (struct stall){ .waits = waits, .answers = answers, .since_ms = now_ms };
	return waits ? now_ms - s->since_ms : 0;
}
