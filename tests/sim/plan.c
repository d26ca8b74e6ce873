/* What goes wrong: faults that are planned, so that every seed has some, and noise that comes with
 * every call. Each seed has a choice of its own. */
#include <string.h>

#include "process.h"

const char *const fault_texts[FAULT_COUNT] = {
#define X(name, text) [FAULT_##name] = text,
	FAULTS(X)
#undef X
};

/* Of a thousand occasions, where a seed has this noise at its loudest. */
static const int loudest[FAULT_COUNT] = {
	[FAULT_LOST_REQUEST] = 80,    [FAULT_LATE_REQUEST] = 80,   [FAULT_LOST_REPLY] = 250,
	[FAULT_THROTTLED] = 100,      [FAULT_FETCH_FAILED] = 100,  [FAULT_EXPIRED] = 100,
	[FAULT_EMPTY_PAGE] = 300,     [FAULT_STALE] = 400,         [FAULT_SHUFFLED] = 500,
	[FAULT_PARENT_MISSING] = 200, [FAULT_LISTING_EMPTY] = 300, [FAULT_LISTING_FAILED] = 300,
	[FAULT_NO_CHILDREN] = 800,    [FAULT_SINK_FAILED] = 200,   [FAULT_SINK_SLOW] = 160,
	[FAULT_BURY_FAILED] = 500,    [FAULT_ABORTED] = 200,       [FAULT_COMMIT_UNKNOWN] = 60,
};

void count_fault(struct world *w, enum fault f)
{
	w->counted[f]++;
}

bool noise(struct world *w, enum fault f)
{
	if (w->noise[f] == 0 || w->now_ms >= w->quiet_ms)
		return false;
	if (roll(w, 1000) >= (uint64_t)w->noise[f])
		return false;
	count_fault(w, f);
	return true;
}

/* --- the plan --- */

static void plan_add(struct world *w, enum fault f, int64_t at_ms, int64_t length_ms, int worker)
{
	assert(w->plan_count < PLAN_MAX);
	w->plan[w->plan_count] = (struct planned){
		.fault = f, .at_ms = at_ms, .length_ms = length_ms, .worker = worker
	};
	pend(w, (struct event){ .type = EVENT_PLAN, .lane = (uint32_t)w->plan_count++ }, at_ms);
}

static int64_t length_of(struct world *w, enum fault f)
{
	int64_t lease_ms = w->lease_ms;

	switch (f) {
	case FAULT_PAUSE:
		return one_in(w, 2) ? soon(w, lease_ms / 2) : soon(w, 4 * lease_ms);
	case FAULT_HANG:
	case FAULT_CUT:
		return soon(w, 3 * lease_ms);
	case FAULT_AWAY:
		return one_in(w, 2) ? soon(w, lease_ms / 3) : soon(w, 3 * lease_ms);
	case FAULT_RELEASED:
		return soon(w, 6); /* times */
	case FAULT_CRASH:
		return one_in(w, 2) ? soon(w, 500) : soon(w, 3 * lease_ms);
	default:
		return 0;
	}
}

/* A time when there is somebody to whom it may happen. */
static int64_t time_of(struct world *w, int64_t length_ms)
{
	int64_t end_ms = w->quiet_ms - length_ms, at_ms;

	do {
		at_ms = 500 + (int64_t)roll(w, (uint64_t)(w->outage_ms ? w->outage_ms : end_ms));
		if (w->outage_ms && one_in(w, 2))
			at_ms = w->outage_until_ms +
				(int64_t)roll(w, (uint64_t)(end_ms - w->outage_until_ms));
	} while (at_ms > end_ms);
	return at_ms;
}

static void plan_some(struct world *w)
{
	static const enum fault kinds[] = { FAULT_CRASH,     FAULT_CRASH,      FAULT_CRASH,
					    FAULT_STOP,      FAULT_STOP,       FAULT_PAUSE,
					    FAULT_PAUSE,     FAULT_HANG,       FAULT_CUT,
					    FAULT_CUT,       FAULT_AWAY,       FAULT_STORE_CLOCK,
					    FAULT_AWS_CLOCK, FAULT_RELEASED,   FAULT_RELEASED,
					    FAULT_RELEASED,  FAULT_SINK_FATAL, FAULT_CUT };

	for (uint64_t n = 3 + roll(w, 7); n > 0; n--) {
		enum fault f = kinds[roll(w, sizeof(kinds) / sizeof(*kinds))];
		int64_t length_ms = length_of(w, f);

		plan_add(w, f, time_of(w, length_ms), length_ms,
			 (int)roll(w, (uint64_t)w->workers));
	}
	if (!w->stop_on_error && !(w->outage_ms && !w->gap_oldest) && one_in(w, 5))
		plan_add(w, FAULT_REWIND, time_of(w, 0), 0, 0);
	if (one_in(w, 3))
		plan_add(w, FAULT_HELD, time_of(w, 0), soon(w, 3 * w->lease_ms), 0);
	if (one_in(w, 3))
		plan_add(w, FAULT_RESET, time_of(w, 0), 0, 0);
	if (one_in(w, 6))
		plan_add(w, FAULT_RESET, time_of(w, 0), 0, 0);
}

/* The workers come back one after the other, with another set of sinks. A sink whose rolls somebody
 * has to finish stays. */
static void plan_deploy(struct world *w)
{
	unsigned all = (1u << w->sink_count) - 1, rolls = 0, then;

	for (uint32_t i = 0; i < w->sink_count; i++)
		rolls |= w->sinks[i].rolls ? 1u << i : 0;
	for (int i = 0; i < w->workers; i++)
		w->worker[i].sinks = all;
	if (w->sink_count == 1 || !one_in(w, 6))
		return;
	for (int i = 0; i < w->workers; i++)
		w->worker[i].sinks = 1u + (unsigned)roll(w, all);
	for (int i = 1; i < w->workers; i++)
		w->worker[i].sinks = w->worker[0].sinks;
	then = (w->worker[0].sinks & rolls) | (unsigned)roll(w, all + 1);
	if (then == 0 || then == w->worker[0].sinks)
		return;
	for (uint32_t i = 0; i < w->sink_count; i++)
		w->sinks[i].oldest = one_in(w, 2);
	for (int i = 0; i < w->workers; i++)
		plan_add(w, FAULT_DEPLOYED, time_of(w, 0), (int64_t)then, i);
}

static void choose_noise(struct world *w)
{
	for (int f = 0; f < FAULT_COUNT; f++)
		if (loudest[f] && one_in(w, 2))
			w->noise[f] = 1 + (int)roll(w, (uint64_t)loudest[f]);
}

void plan_make(struct world *w)
{
	w->workers = 2 + (int)roll(w, WORKERS_MAX - 1);
	w->lease_ms = 3000 + (int64_t)roll(w, 5000);
	w->save_ms = 200 + (int64_t)roll(w, 800);
	w->store_ms = 5 + (int64_t)roll(w, 80);
	w->sink_ms = 20 + (int64_t)roll(w, 250);
	w->poll_min_ms = 50 + (int64_t)roll(w, 100);
	w->poll_max_ms = 500 + (int64_t)roll(w, 2500);
	w->budget = one_in(w, 3) ? 10 + (int64_t)roll(w, 50) : 0;
	w->gap_oldest = one_in(w, 2);
	w->quiet_trims = one_in(w, 2);
	w->quiet_ms = 15000 + 4 * w->lease_ms + (int64_t)roll(w, 20000);
	if (one_in(w, 6)) {
		w->outage_ms = 5000 + (int64_t)roll(w, 15000);
		w->outage_until_ms = w->outage_ms + 12 * HOUR_MS + (int64_t)roll(w, 40 * HOUR_MS);
		w->quiet_ms = w->outage_until_ms + 30000 + 2 * w->lease_ms;
		plan_add(w, FAULT_OUTAGE, w->outage_ms, 0, 0);
	}
	for (int i = 0; i < w->workers; i++)
		w->worker[i].held_max = 10 * SHARDS_MAX;
	w->one_is_small = one_in(w, 4);
	if (w->one_is_small)
		w->worker[roll(w, (uint64_t)w->workers)].held_max = 1 + (uint32_t)roll(w, 3);
	choose_noise(w);
	plan_some(w);
	plan_deploy(w);
	for (int i = 0; i < w->workers; i++)
		pend(w, (struct event){ .type = EVENT_BOOT, .worker = i },
		     one_in(w, 2) ? soon(w, 100) : soon(w, 8000));
	pend(w, (struct event){ .type = EVENT_CHECK }, w->quiet_ms);
}

/* --- and what happens --- */

static void outage(struct world *w)
{
	for (int i = 0; i < w->workers; i++)
		if (w->worker[i].process)
			process_kill(w, w->worker[i].process,
				     w->outage_until_ms - w->now_ms + soon(w, 5000));
}

/* False: an operator is at work. */
static bool begin_hold(struct world *w, const struct planned *f)
{
	int shard = (int)roll(w, (uint64_t)w->shard_count);

	if (f->fault == FAULT_REWIND && (!database_knows(w, shard) || !world_kept(w, shard)))
		return true;
	return holder_begin(w, f->fault, f->fault == FAULT_REWIND ? shard : -1, f->length_ms);
}

/* A fault of one process, where there is one. */
static bool happen_to(struct world *w, struct planned *f, struct process *p)
{
	switch (f->fault) {
	case FAULT_CRASH:
		process_kill(w, p, f->length_ms);
		return true;
	case FAULT_STOP:
		process_stop(w, p);
		return true;
	case FAULT_PAUSE:
		p->paused_until_ms = w->now_ms + f->length_ms;
		return true;
	case FAULT_HANG:
		p->hung_since_ms = w->now_ms;
		p->hung_until_ms = w->now_ms + f->length_ms;
		return true;
	case FAULT_RELEASED:
		process_release_some(w, p);
		f->length_ms--;
		return true;
	case FAULT_SINK_FATAL:
		if (p->phase != PHASE_RUN)
			return false;
		process_lost(w, p);
		return true;
	default:
		assert(false && "not a process's fault");
		return false;
	}
}

static void happen(struct world *w, struct planned *f)
{
	struct worker *k = &w->worker[f->worker];

	switch (f->fault) {
	case FAULT_OUTAGE:
		outage(w);
		break;
	case FAULT_CUT:
		k->cut_until_ms = w->now_ms + f->length_ms;
		break;
	case FAULT_AWAY:
		if (w->now_ms < w->database->away_until_ms)
			return;
		w->database->away_until_ms = w->now_ms + f->length_ms;
		/* Long enough to be noticed, also by who tries to bury another meanwhile. */
		if (f->length_ms > w->lease_ms) {
			w->database->left_ms = w->now_ms;
			w->database->back_ms = w->database->away_until_ms;
		}
		break;
	case FAULT_STORE_CLOCK:
		w->database->clock_offset_ms = (int64_t)roll(w, 60 * 60000) - 30 * 60000;
		break;
	case FAULT_AWS_CLOCK:
		k->aws_offset_ms = (int64_t)roll(w, 40 * 60000) - 20 * 60000;
		break;
	case FAULT_REWIND:
	case FAULT_HELD:
	case FAULT_RESET:
		f->done = begin_hold(w, f);
		return; /* counted when it goes on */
	case FAULT_DEPLOYED:
		k->sinks = (unsigned)f->length_ms;
		if (k->process)
			process_stop(w, k->process);
		break;
	default:
		if (!k->process || !happen_to(w, f, k->process))
			return;
	}
	f->done = true;
	count_fault(w, f->fault);
}

void plan_happen(struct world *w, const struct event *e)
{
	struct planned *f = &w->plan[e->lane];
	bool again = f->fault == FAULT_RELEASED && w->now_ms < w->quiet_ms;
	int64_t again_ms = soon(w, 1500);

	happen(w, f);
	if (f->done && !(again && f->length_ms > 0))
		return;
	/* Nobody was there, or it happens again: to somebody else, a little later. */
	f->worker = (f->worker + 1) % w->workers;
	if (w->outage_ms && w->now_ms >= w->outage_ms && w->now_ms < w->outage_until_ms)
		again_ms = w->outage_until_ms - w->now_ms + soon(w, 5000);
	pend(w, *e, again_ms);
}
