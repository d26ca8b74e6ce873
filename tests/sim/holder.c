/* Who holds the stream, and maybe resets it, beside the workers (`sluice pause`, a rewind, a
 * repair). A reply may be lost, and then the call is made again; and one that was given up may
 * still come, at any time. */
#include <string.h>

#include "database.h"

#define POLL_MS 500

static void next(struct world *w, enum holder_step step, int64_t delay_ms)
{
	w->holder.step = step;
	if (w->outage_ms && w->now_ms >= w->outage_ms && w->now_ms < w->outage_until_ms)
		delay_ms += w->outage_until_ms - w->now_ms; /* nobody is there to let go */
	pend(w, (struct event){ .type = EVENT_HOLDER }, delay_ms);
}

/* Where a clock is off by minutes, a start that is near now is no time to speak of. */
static int64_t choose_start(struct world *w)
{
	int64_t back_ms = 0;

	for (int i = 0; i < w->plan_count; i++)
		if (w->plan[i].fault == FAULT_AWS_CLOCK)
			back_ms = HOUR_MS;
	if (one_in(w, 3))
		return 0;
	back_ms += one_in(w, 2) ? (int64_t)roll(w, 30000) : (int64_t)roll(w, 12 * HOUR_MS);
	return w->now_ms > back_ms ? w->now_ms - back_ms : 0;
}

bool holder_begin(struct world *w, enum fault what, int shard, int64_t length_ms)
{
	struct holder *o = &w->holder;

	if (o->step != HOLDER_NOBODY)
		return false;
	*o = (struct holder){ .what = what,
			      .said = ++w->holders,
			      .shard = shard,
			      .until_ms = w->now_ms + length_ms };
	next(w, HOLDER_HOLD, 0);
	return true;
}

/* Sent again after this one had its effect, or had it already. */
static bool reply_lost(struct world *w)
{
	struct event late = { .type = EVENT_HOLDER_LATE, .lane = w->holder.step };

	if (w->now_ms >= w->quiet_ms)
		return false;
	if (one_in(w, 2)) {
		late.session = (uint64_t)w->holder.hold;
		late.generation = w->holder.generation;
		late.roll = (uint64_t)w->holder.start_ms;
		late.first = (size_t)w->holder.said;
		late.shard = w->holder.shard;
		pend(w, late, soon(w, 8 * w->lease_ms));
	}
	return one_in(w, 4);
}

static void wait(struct world *w)
{
	const struct holder *o = &w->holder;

	if (w->now_ms < o->until_ms)
		next(w, HOLDER_WAIT, POLL_MS);
	else if (o->what == FAULT_HELD || (o->what == FAULT_REWIND && !world_kept(w, o->shard)))
		next(w, HOLDER_GO_ON, 0); /* a person need not wait until all is let go of */
	else
		next(w, HOLDER_RESET, 0);
}

/* The same again and again: the database says when all is let go of. */
static void reset(struct world *w, bool again)
{
	const struct holder *o = &w->holder;

	if (!database_reset(w, o->hold, o->generation, o->start_ms,
			    o->what == FAULT_REWIND ? o->shard : -1))
		next(w, HOLDER_WAIT, POLL_MS);
	else
		next(w, again ? HOLDER_RESET : HOLDER_GO_ON, soon(w, 4 * POLL_MS));
}

static void call(struct world *w)
{
	struct holder *o = &w->holder;
	bool again = reply_lost(w);

	switch (o->step) {
	case HOLDER_HOLD:
		o->hold = database_hold(w, o->said);
		assert(o->hold > 0); /* nobody else holds it */
		o->generation = w->database->generation;
		o->start_ms = choose_start(w);
		next(w, again ? HOLDER_HOLD : HOLDER_WAIT, soon(w, POLL_MS));
		break;
	case HOLDER_WAIT:
		wait(w);
		break;
	case HOLDER_RESET:
		reset(w, again);
		break;
	case HOLDER_GO_ON:
		database_go_on(w, o->hold);
		if (again) {
			next(w, HOLDER_GO_ON, soon(w, POLL_MS));
			break;
		}
		count_fault(w, o->what);
		o->step = HOLDER_NOBODY;
		break;
	case HOLDER_NOBODY:
		assert(false);
	}
}

void holder_happen(struct world *w, const struct event *e)
{
	if (w->now_ms < w->database->away_until_ms) {
		if (e->type == EVENT_HOLDER)
			next(w, w->holder.step, POLL_MS);
		return;
	}
	if (e->type == EVENT_HOLDER) {
		call(w);
		return;
	}
	switch ((enum holder_step)e->lane) {
	case HOLDER_HOLD:
		database_hold(w, (int)e->first);
		break;
	case HOLDER_RESET:
		database_reset(w, (int)e->session, e->generation, (int64_t)e->roll, e->shard);
		break;
	case HOLDER_GO_ON:
		database_go_on(w, (int)e->session);
		break;
	default:
		break;
	}
}
