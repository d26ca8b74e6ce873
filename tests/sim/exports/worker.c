/* A worker as worker_exports.c and its neighbours are: it looks, decides by the pure parts, does
 * one thing at AWS and then one in the store. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

void worker_begin(struct world *w, struct worker *k)
{
	memset(k, 0, sizeof(*k));
	snprintf(k->session, sizeof(k->session), "session-%u", ++w->lives);
}

static void refresh(struct worker *k, const struct store_export *e)
{
	size_t i = (size_t)e->id - 1;

	if (k->known_of[i].status == e->status && k->known_of[i].attempt == e->attempt &&
	    k->known_of[i].retry_at_ms == e->retry_at_ms)
		return;
	k->known[i] = (struct drive_known){ 0 };
	k->known_of[i].status = e->status;
	k->known_of[i].attempt = e->attempt;
	k->known_of[i].retry_at_ms = e->retry_at_ms;
}

static bool is_over(const struct store_export *e)
{
	return e->status == STORE_EXPORT_ABANDONED ||
	       (e->status == STORE_EXPORT_COMPLETE && e->published_ms);
}

static void look(struct world *w, struct worker *k)
{
	k->count = 0;
	k->full = k->window = (struct store_export){ 0 };
	for (size_t i = 0; i < w->count; i++) {
		struct store_export *e = &w->rows[i].e;

		strcpy(e->driver, w->rows[i].driver);
		if (e->from_ms == 0)
			k->full = *e;
		else
			k->window = *e;
		if (is_over(e))
			continue;
		k->rows[k->count++] = *e;
		refresh(k, e);
	}
	k->newest = k->full.generation;
	k->looked = true;
	k->looked_ms = w->now_ms;
}

static void ask(struct world *w, struct worker *k)
{
	if (!w->quiet && chance(w, 5))
		return; /* AWS does not answer */
	k->pitr.state = w->pitr_since_ms ? RECOVERY_ON : RECOVERY_OFF;
	k->pitr.asked_ms = w->now_ms;
	k->pitr.earliest_ms = w->pitr_since_ms;
	k->pitr.latest_ms = aws_latest_ms(w);
}

/* True where there is something to do. */
static bool chain_step(struct world *w, struct worker *k)
{
	struct chain c = drive_chain(&k->full, &k->window, &w->drive);
	struct chain_next n = chain_next(&w->rules, &c, &k->pitr, w->now_ms);

	if (n.what == CHAIN_ASK)
		ask(w, k);
	if (n.what != CHAIN_FULL && n.what != CHAIN_WINDOW)
		return false;
	k->doing = (struct doing){ .what = BEGIN, .window = n.window };
	if (n.what == CHAIN_WINDOW)
		k->doing.generation = drive_generation(&k->full, &k->window);
	return true;
}

static bool row_step(struct world *w, struct worker *k, const struct store_export *e)
{
	const struct store_export *others[ROWS_MAX];
	struct drive_place place;
	struct drive_next n;

	if (strcmp(e->driver, k->session) != 0) {
		if (is_live(w, e->driver))
			return false;
		k->doing = (struct doing){ .what = TAKE, .id = e->id };
		return true;
	}
	for (size_t i = 0; i < k->count; i++)
		others[i] = &k->rows[i];
	place = drive_place(e, others, k->count, k->newest, &w->drive);
	n = drive_next(e, &place, &k->known[e->id - 1], &k->pitr, &w->drive, w->now_ms);
	if (n.what == DRIVE_WAIT)
		return false;
	if (n.what == DRIVE_ASK) {
		ask(w, k);
		return false;
	}
	k->doing = (struct doing){ .what = STEP,
				   .step = n.what,
				   .id = e->id,
				   .attempt = e->attempt,
				   .first = place.first,
				   .aws = -1 };
	return true;
}

static void decide(struct world *w, struct worker *k)
{
	if (k->pitr.state == RECOVERY_UNKNOWN)
		ask(w, k);
	if (!k->looked || chance(w, 4)) {
		look(w, k);
		return;
	}
	if (chance(w, 3) && chain_step(w, k))
		return;
	for (size_t i = 0; i < k->count; i++)
		if (row_step(w, k, &k->rows[i]))
			return;
}

static void fail(struct world *w, struct worker *k, bool lost)
{
	k->doing.what = FAIL;
	k->doing.lost = lost;
	k->doing.retry_at_ms =
		lost ? 0 : drive_retry_at(k->doing.attempt, RETRIES, w->now_ms, &w->rng);
}

static void again(struct world *w, struct worker *k)
{
	k->known[k->doing.id - 1].again_ms = w->now_ms + (int64_t)rng_below(&w->rng, MINUTE_MS);
	k->doing.what = NOTHING;
}

/* The export's row as it was when the worker looked: others may be further. */
static void at_aws(struct world *w, struct worker *k)
{
	struct row *r = &w->rows[k->doing.id - 1];
	bool answered = w->quiet || !chance(w, 6);

	switch (k->doing.step) {
	case DRIVE_SUBMIT:
		if (r->e.status != STORE_EXPORT_WAITING || r->e.attempt != k->doing.attempt) {
			k->doing.what = NOTHING; /* an old token: AWS gives the old export */
			k->looked = false;
			break;
		}
		k->doing.aws = aws_start(w, r);
		if (!answered) {
			again(w, k);
		} else if (k->doing.aws < 0) {
			k->pitr.asked_ms = 0;
			fail(w, k, false);
		} else {
			k->doing.what = SUBMITTED;
		}
		break;
	case DRIVE_POLL:
		if (!answered || r->aws < 0 || w->exports[r->aws].due_ms > w->now_ms) {
			k->known[k->doing.id - 1].again_ms =
				drive_poll_at(POLL_MS, w->now_ms, &w->rng);
			k->doing.what = NOTHING;
		} else if (w->exports[r->aws].fails) {
			fail(w, k, false);
		} else {
			k->known[k->doing.id - 1] = (struct drive_known){ .exported = true };
			k->doing.what = NOTHING;
		}
		break;
	case DRIVE_MANIFEST:
		if (!answered)
			again(w, k);
		else if (r->aws >= 0 && w->exports[r->aws].bad)
			fail(w, k, false);
		else
			k->doing.what = EXPORTED;
		break;
	case DRIVE_LOST:
		fail(w, k, true);
		break;
	case DRIVE_PUBLISH:
		if (answered)
			k->doing.what = PUBLISHED;
		else
			again(w, k);
		break;
	default:
		assert(false);
	}
}

static void in_store(struct world *w, struct worker *k)
{
	const struct doing *d = &k->doing;

	switch (d->what) {
	case BEGIN:
		(void)store_begin(w, k->session, d->window, d->generation);
		store_check(w);
		break;
	case TAKE:
		store_take(w, k->session, d->id);
		break;
	case FAIL:
		store_failed(w, d->id, d->attempt, d->retry_at_ms, d->lost);
		break;
	case SUBMITTED:
		store_submitted(w, d->id, d->attempt, d->aws);
		break;
	case EXPORTED:
		store_exported(w, d->id, d->attempt);
		break;
	case PUBLISHED:
		store_published(w, d->id);
		break;
	case STEP:
		if (d->step == DRIVE_ATTEMPT)
			store_attempt(w, d->id, d->attempt + 1, k->looked_ms);
		else if (d->step == DRIVE_FINISH)
			store_finish(w, d->id);
		else if (d->step == DRIVE_FILES)
			store_load(w, d->id);
		else if (d->step == DRIVE_BATCH)
			store_batch(w, d->id, d->first);
		else
			store_abandon(w, d->id);
		break;
	case NOTHING:
		break;
	}
}

static bool is_at_aws(const struct doing *d)
{
	return d->what == STEP &&
	       (d->step == DRIVE_SUBMIT || d->step == DRIVE_POLL || d->step == DRIVE_MANIFEST ||
		d->step == DRIVE_LOST || d->step == DRIVE_PUBLISH);
}

void worker_turn(struct world *w, struct worker *k)
{
	if (k->doing.what == NOTHING) {
		decide(w, k);
	} else if (is_at_aws(&k->doing)) {
		at_aws(w, k);
	} else {
		in_store(w, k);
		if (!w->quiet && chance(w, 10))
			in_store(w, k); /* its reply was lost */
		k->doing.what = NOTHING;
		k->looked = false;
	}
}
