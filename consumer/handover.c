#include "consumer/handover.h"

#include <assert.h>

#define TO(s) (1u << HANDOVER_##s)
static const unsigned allowed[] = {
	[HANDOVER_IDLE] = TO(SENT) | TO(IDLE) | TO(RETRY) | TO(STOPPED),
	[HANDOVER_SENT] = TO(IDLE) | TO(RETRY) | TO(LETTER) | TO(STOPPED),
	[HANDOVER_RETRY] = TO(IDLE) | TO(STOPPED),
	[HANDOVER_LETTER] = TO(IDLE) | TO(STOPPED),
	[HANDOVER_STOPPED] = 0,
};

static void handover_move(struct handover *h, enum handover_state to)
{
	assert(allowed[h->state] & (1u << to));
	h->state = to;
}

bool handover_ready(const struct handover *h, uint64_t pages_read)
{
	return h->state == HANDOVER_IDLE && h->page < pages_read;
}

void handover_sent(struct handover *h)
{
	handover_move(h, HANDOVER_SENT);
}

void handover_held(struct handover *h)
{
	assert(h->state == HANDOVER_IDLE);
	handover_move(h, HANDOVER_RETRY);
}

void handover_taken(struct handover *h)
{
	handover_move(h, HANDOVER_IDLE);
	h->page++;
	h->first = 0;
	h->attempts = 0;
}

/* Going back behind `first` would send again what is in; the sink's contract forbids it. */
static void progress(struct handover *h, size_t first)
{
	assert(first >= h->first);
	h->attempts = first > h->first ? 0 : h->attempts + 1;
	h->first = first;
}

void handover_failed(struct handover *h, size_t first)
{
	assert(h->state == HANDOVER_SENT);
	handover_move(h, HANDOVER_RETRY);
	progress(h, first);
}

void handover_refused(struct handover *h, size_t first)
{
	handover_move(h, HANDOVER_LETTER);
	progress(h, first);
}

void handover_again(struct handover *h)
{
	handover_move(h, HANDOVER_IDLE);
}

void handover_lettered(struct handover *h)
{
	handover_move(h, HANDOVER_IDLE);
	h->first++;
	h->attempts = 0;
}

void handover_stop(struct handover *h)
{
	handover_move(h, HANDOVER_STOPPED);
}
