#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/store.h"

/* Pure: which of the other sessions are dead, and when what they left may be buried; and how long
 * one's own may still emit.
 *
 * No clock but the watcher's own decides: a session whose beat stood still for a whole lease under
 * the watcher's eyes may be declared dead, by compare-and-set on that beat. Its owner counts from
 * before it sent the beat and stops earlier (hazards, A1 and A2). What nobody looked at proves
 * nothing: after a pause in looking, as where the store was away, every beat is watched anew.
 * Times are CLOCK_BOOTTIME in ms. */
#define WATCH_MAX        256
#define WATCH_LOOKS      10 /* in a lease: how often the others are looked at, and beats are sent */
#define WATCH_PAUSE_LOOK 3  /* looks that may be missed */

/* What a watcher knows of another session. */
struct watched {
	char id[STORE_ID_SIZE];
	int64_t beat;
	int64_t since_ms; /* when this beat was first seen */
	int64_t lease_ms; /* its own */
	bool beats;       /* it was seen to */
	bool listed;      /* in the look under way */
	bool dead;
	int64_t bury_at_ms; /* of a dead one */
	unsigned tries;     /* at burying it */
};

struct watch {
	int64_t lease_ms;
	int64_t looked_at_ms; /* when the last look began; once it is over, when that was */
	bool unheard;         /* the store did not answer all that was asked since */
	unsigned count;
	struct watched rows[WATCH_MAX]; /* of more than these, the rest is seen in a later look */
};

enum watch_verdict {
	WATCH_LET, /* it lives, or its burial has to wait */
	WATCH_KILL,
	WATCH_BURY,
};

/* What a dead session sent to a sink (Kafka) may land until the sink's own timeout, which is half
 * its lease at most: it is buried that much later (hazards, A3). Always, since nobody else knows
 * which sinks it had: a worker with other sinks may be the one that buries it. */
void watch_init(struct watch *w, int64_t lease_ms);
/* The store showed them at now_ms: watch_see for each but oneself, then watch_looked. However long
 * the burials between them take, what was shown is no older and no younger than that, and it is no
 * pause in looking: the others' beats count meanwhile. But where the store left one of the burials
 * unanswered it may have been away: then all that passes until the next look is one. */
void watch_look(struct watch *w, int64_t now_ms);
enum watch_verdict watch_see(struct watch *w, const struct store_session *o);
/* The compare-and-set that WATCH_KILL asked for has made it dead. */
enum watch_verdict watch_killed(struct watch *w, const char *id, int64_t now_ms);
/* The burial that WATCH_BURY asked for is done. */
void watch_buried(struct watch *w, const char *id);
/* It failed, and is asked for again from again_ms on. `heard`: not because the store is away. */
void watch_unburied(struct watch *w, const char *id, int64_t again_ms, bool heard);
/* Those that were not shown any more are forgotten. */
void watch_looked(struct watch *w, int64_t now_ms);
/* NULL where it is not watched. */
const struct watched *watch_find(const struct watch *w, const char *id);
/* Sessions that may be dead: not seen to beat, or waiting for their burial. */
unsigned watch_silent(const struct watch *w);
/* Sessions whose burial failed and is not done, by nobody. */
unsigned watch_unburied_count(const struct watch *w);
/* When the next verdict other than WATCH_LET may come; INT64_MAX: only with a look. */
int64_t watch_wake_ms(const struct watch *w);

/* One's own: nothing new may leave from then on, where the last beat that was answered was sent at
 * sent_ms. It is earlier than anybody may declare the session dead. */
int64_t watch_emit_until_ms(int64_t sent_ms, int64_t lease_ms);
