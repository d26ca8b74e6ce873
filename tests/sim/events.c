/* What will happen, in the order of time. */
#include "world.h"

static bool before(const struct event *a, const struct event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void put(struct world *w, size_t at, const struct event *e)
{
	while (at > 0 && before(e, &w->events[(at - 1) / 2])) {
		w->events[at] = w->events[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	w->events[at] = *e;
}

void pend(struct world *w, struct event e, int64_t delay_ms)
{
	assert(w->event_count < EVENTS_MAX && delay_ms >= 0);
	e.at_ms = w->now_ms + delay_ms;
	e.order = w->event_order++;
	put(w, w->event_count++, &e);
}

int64_t events_next_ms(const struct world *w)
{
	return w->event_count ? w->events[0].at_ms : INT64_MAX;
}

bool events_pop(struct world *w, struct event *out)
{
	struct event last;
	size_t at = 0;

	if (w->event_count == 0)
		return false;
	*out = w->events[0];
	last = w->events[--w->event_count];
	for (size_t child = 1; child < w->event_count; child = 2 * at + 1) {
		if (child + 1 < w->event_count && before(&w->events[child + 1], &w->events[child]))
			child++;
		if (!before(&w->events[child], &last))
			break;
		w->events[at] = w->events[child];
		at = child;
	}
	w->events[at] = last;
	return true;
}
