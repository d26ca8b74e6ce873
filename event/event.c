#include "event/event.h"

char event_op_letter(enum event_op op)
{
	return "cudr"[op];
}

char *event_order_text(uint64_t generation, const struct sequence *s, char out[EVENT_ORDER_SIZE])
{
	memset(out, '0', EVENT_ORDER_SIZE - 1);
	for (unsigned i = 10; i > 0; i--, generation /= 10)
		out[i - 1] = (char)('0' + generation % 10);
	out[10] = '-';
	memcpy(out + EVENT_ORDER_SIZE - 1 - s->length, s->digits, s->length);
	out[EVENT_ORDER_SIZE - 1] = '\0';
	return out;
}
