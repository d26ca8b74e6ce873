#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pure: how the pages of one lane go to one sink. One page is in the sink at a time; after a
 * failure the page goes again from the first failed record to its end, never single records; a
 * refused record goes to the dead letters first and the rest of the page follows it (hazards, D1
 * and D2). Pages are numbered from 0 in the lane's order. */
enum handover_state {
	HANDOVER_IDLE,    /* nothing of this lane is in the sink */
	HANDOVER_SENT,    /* a page is in the sink, unanswered */
	HANDOVER_RETRY,   /* waits to send the page again */
	HANDOVER_LETTER,  /* waits until record `first` is in the dead letters */
	HANDOVER_STOPPED, /* on_error: stop; nothing more goes to this sink */
};

struct handover {
	enum handover_state state;
	uint64_t page;     /* the page that is or will next be in the sink */
	size_t first;      /* of that page: the first record that is not in */
	unsigned attempts; /* for `first`, without progress */
};

/* May page `page` (the lane's next for this sink) be sent now? */
bool handover_ready(const struct handover *h, uint64_t pages_read);
void handover_sent(struct handover *h);
/* It may not be sent now: it waits as after a failure, but nothing was tried. */
void handover_held(struct handover *h);
/* The sink has all of the page: true. */
void handover_taken(struct handover *h);
/* `first` and what follows is not in: wait, then send again. */
void handover_failed(struct handover *h, size_t first);
/* Record `first` can never get in: letter it. */
void handover_refused(struct handover *h, size_t first);
/* The wait is over: the page may be sent again from h->first. */
void handover_again(struct handover *h);
/* The letter is stored: on with the record behind it. */
void handover_lettered(struct handover *h);
void handover_stop(struct handover *h);
