#include "consumer/drive.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* Between an attempt that failed and the next one. */
#define RETRY_BASE_MS ((int64_t)60 * 1000)
#define RETRY_MAX_MS  ((int64_t)60 * 60 * 1000)

static bool is_over(const struct store_export *e)
{
	return e->status == STORE_EXPORT_COMPLETE || e->status == STORE_EXPORT_ABANDONED;
}

/* Its windows are loaded in batches. */
static bool batches(const struct drive_rules *rules, const struct store_export *e)
{
	return rules->load && rules->load_every > 1 && e->kind == STORE_EXPORT_INCREMENTAL &&
	       e->stream == 0;
}

/* Exported, and not loaded. */
static bool collects(const struct store_export *e)
{
	return e->status == STORE_EXPORT_EXPORTED && e->batch == 0;
}

struct chain drive_chain(const struct store_export *full, const struct store_export *window,
			 const struct drive_rules *rules)
{
	bool follows = window->id != 0 && window->generation >= full->generation;
	bool full_open = full->id != 0 && !is_over(full);
	struct chain c = {
		.full_ms = full->id ? full->to_ms : 0,
		.end_ms = follows ? window->to_ms : 0,
		.full_open = full_open && full->status != STORE_EXPORT_FAILED,
		.window_undone = follows && !is_over(window) &&
				 !(batches(rules, window) && collects(window)),
	};

	c.open = full_open || c.window_undone;
	return c;
}

uint64_t drive_generation(const struct store_export *full, const struct store_export *window)
{
	uint64_t newest = full->id ? full->generation : 0;

	if (window->id && window->generation > newest)
		newest = window->generation;
	return newest ? newest : DRIVE_BESIDE_WINDOWS - 1;
}

bool drive_in_flight(const struct store_export *e)
{
	return e->status == STORE_EXPORT_WAITING && e->attempt > 0 && e->retry_at_ms == 0;
}

/* Nothing of it is under way: a person, or its time, has to come first. */
static bool at_rest(const struct store_export *e)
{
	return e->status == STORE_EXPORT_FAILED ||
	       (e->status == STORE_EXPORT_WAITING && !drive_in_flight(e));
}

static bool same_chain(const struct store_export *a, const struct store_export *b)
{
	return a->stream == b->stream &&
	       (a->kind == STORE_EXPORT_LOAD) == (b->kind == STORE_EXPORT_LOAD) &&
	       strcmp(a->table_arn, b->table_arn) == 0 && strcmp(a->name, b->name) == 0;
}

/* `o` has to be done before `e`. */
static bool comes_first(const struct store_export *o, const struct store_export *e)
{
	if (!same_chain(o, e) || o->id == e->id || is_over(o))
		return false;
	if (o->generation != e->generation)
		return o->generation < e->generation && !at_rest(o);
	return o->number < e->number;
}

static bool same_generation(const struct store_export *a, const struct store_export *b)
{
	return same_chain(a, b) && a->generation == b->generation && a->kind == b->kind;
}

/* The window of e's generation with this number, if it is there and not over. */
static const struct store_export *window_at(const struct store_export *e,
					    const struct store_export *const *others, size_t count,
					    uint64_t number)
{
	for (size_t i = 0; i < count; i++)
		if (others[i]->number == number && same_generation(others[i], e) &&
		    !is_over(others[i]))
			return others[i];
	return NULL;
}

/* The batch that comes first among those that are exported: `last` its last window so far. */
struct collected {
	const struct store_export *first, *last;
	uint32_t lacks;
};

static struct collected collect(const struct store_export *e,
				const struct store_export *const *others, size_t count,
				bool useless, uint32_t load_every)
{
	struct collected c = { .first = e, .lacks = load_every };
	const struct store_export *next = NULL;

	for (size_t i = 0; i < count; i++)
		if (same_generation(others[i], e) && collects(others[i]) &&
		    others[i]->number < c.first->number)
			c.first = others[i];
	for (next = c.first; next && collects(next) && strcmp(next->view, c.first->view) == 0;) {
		c.last = next;
		if (--c.lacks == 0 || next->ends_batch) {
			c.lacks = 0;
			return c;
		}
		next = window_at(e, others, count, c.last->number + 1);
	}
	/* Another view, or nothing more to come. */
	if ((next && collects(next)) || (useless && (!next || at_rest(next))))
		c.lacks = 0;
	return c;
}

/* What comes before it and keeps it from being submitted: of windows that are loaded in batches
 * those that are not exported. */
static bool keeps_back(const struct store_export *o, const struct store_export *e, bool in_batches)
{
	if (!comes_first(o, e))
		return false;
	return !in_batches || o->from_ms == 0 || o->generation != e->generation ||
	       (o->status != STORE_EXPORT_EXPORTED && o->status != STORE_EXPORT_LOADING);
}

struct drive_place drive_place(const struct store_export *e,
			       const struct store_export *const *others, size_t count,
			       uint64_t newest, const struct drive_rules *rules)
{
	bool in_batches = batches(rules, e);
	struct drive_place p = { .useless = e->stream == 0 && e->kind != STORE_EXPORT_LOAD &&
					    e->generation < newest };
	struct collected c = { 0 };

	if (in_batches && collects(e)) {
		c = collect(e, others, count, p.useless, rules->load_every);
		/* One behind the batch waits for its own. */
		if (e->number <= c.last->number) {
			p.first = c.first->number;
			p.lacks = c.lacks;
			p.leads = c.lacks == 0 && e->number == c.last->number;
		}
	}
	for (size_t i = 0; i < count; i++) {
		const struct store_export *o = others[i];
		bool with_it =
			p.first && same_generation(o, e) && collects(o) && o->number >= p.first;

		p.held_load = p.held_load || (comes_first(o, e) && !with_it);
		p.held = p.held || (e->stream == 0 && keeps_back(o, e, in_batches));
	}
	return p;
}

bool drive_waits_for_batch(const struct store_export *e, const struct drive_place *place)
{
	return collects(e) && place->first && !place->leads;
}

static struct drive_next wait_until(int64_t at_ms)
{
	return (struct drive_next){ DRIVE_WAIT, at_ms };
}

static struct drive_next now_do(enum drive_what what)
{
	return (struct drive_next){ what, 0 };
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static struct drive_next waiting(const struct store_export *e, const struct drive_place *place,
				 const struct drive_known *known, const struct recovery *pitr,
				 const struct drive_rules *rules, int64_t now_ms)
{
	int64_t at_ms = later(known->again_ms, e->retry_at_ms);
	int64_t from_ms = e->from_ms ? e->from_ms : e->to_ms;

	if (drive_in_flight(e))
		return now_ms < at_ms ? wait_until(at_ms) : now_do(DRIVE_SUBMIT);
	if (place->useless)
		return now_do(DRIVE_ABANDON);
	if (place->held)
		return wait_until(INT64_MAX);
	if (now_ms < at_ms)
		return wait_until(at_ms);
	if (pitr->state != RECOVERY_ON || now_ms - pitr->asked_ms >= rules->poll_ms)
		return now_do(DRIVE_ASK);
	if (from_ms < pitr->earliest_ms)
		return now_do(DRIVE_LOST);
	if (e->to_ms > pitr->latest_ms)
		return wait_until(now_ms + later(e->to_ms - pitr->latest_ms, rules->poll_ms));
	return now_do(DRIVE_ATTEMPT);
}

struct drive_next drive_next(const struct store_export *e, const struct drive_place *place,
			     const struct drive_known *known, const struct recovery *pitr,
			     const struct drive_rules *rules, int64_t now_ms)
{
	int64_t at_ms = later(known->again_ms, e->retry_at_ms);

	switch (e->status) {
	case STORE_EXPORT_WAITING:
		return waiting(e, place, known, pitr, rules, now_ms);
	case STORE_EXPORT_RUNNING:
		if (now_ms < at_ms)
			return wait_until(at_ms);
		if (e->kind == STORE_EXPORT_LOAD && place->held)
			return wait_until(INT64_MAX);
		return now_do(e->kind == STORE_EXPORT_LOAD || known->exported ? DRIVE_MANIFEST
									      : DRIVE_POLL);
	case STORE_EXPORT_EXPORTED:
		if (now_ms < known->again_ms)
			return wait_until(known->again_ms);
		if (e->batch)
			break;
		if (!rules->load)
			return now_do(DRIVE_FINISH);
		if (place->held_load || drive_waits_for_batch(e, place))
			break;
		return now_do(place->leads && place->first < e->number ? DRIVE_BATCH : DRIVE_FILES);
	case STORE_EXPORT_COMPLETE:
		if (e->published_ms || !rules->publishes)
			break;
		return now_ms < known->again_ms ? wait_until(known->again_ms)
						: now_do(DRIVE_PUBLISH);
	case STORE_EXPORT_FAILED:
		if (place->useless)
			return now_do(DRIVE_ABANDON);
		break;
	case STORE_EXPORT_LOADING:
	case STORE_EXPORT_ABANDONED:
		break;
	}
	return wait_until(INT64_MAX);
}

int64_t drive_retry_at(uint32_t attempt, uint32_t retries, int64_t now_ms, struct rng *rng)
{
	int64_t most_ms = RETRY_BASE_MS;

	if (attempt > retries)
		return 0;
	for (uint32_t i = 1; i < attempt && most_ms < RETRY_MAX_MS; i++)
		most_ms *= 2;
	if (most_ms > RETRY_MAX_MS)
		most_ms = RETRY_MAX_MS;
	return now_ms + most_ms / 2 + (int64_t)rng_below(rng, (uint64_t)(most_ms / 2) + 1);
}

int64_t drive_poll_at(int64_t poll_ms, int64_t now_ms, struct rng *rng)
{
	return now_ms + poll_ms * 9 / 10 + (int64_t)rng_below(rng, (uint64_t)(poll_ms / 5) + 1);
}

bool drive_is_late(const struct store_export *e, const struct drive_rules *rules,
		   int64_t deadline_ms, int64_t now_ms)
{
	if (e->status == STORE_EXPORT_EXPORTED && (e->batch || batches(rules, e)))
		return false; /* what it waits for may be late, or the window that has the batch */
	return !is_over(e) && now_ms > e->to_ms + deadline_ms;
}

char *drive_window(const struct store_export *e, char out[DRIVE_WINDOW_SIZE])
{
	char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];

	if (e->from_ms == 0)
		snprintf(out, DRIVE_WINDOW_SIZE, "full at %s", clock_text(e->to_ms, to));
	else
		snprintf(out, DRIVE_WINDOW_SIZE, "%s to %s", clock_text(e->from_ms, from),
			 clock_text(e->to_ms, to));
	return out;
}
