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

struct chain drive_chain(const struct store_export *full, const struct store_export *window)
{
	bool follows = window->id != 0 && window->generation >= full->generation;
	bool full_open = full->id != 0 && !is_over(full);
	struct chain c = {
		.full_ms = full->id ? full->to_ms : 0,
		.end_ms = follows ? window->to_ms : 0,
		.full_open = full_open && full->status != STORE_EXPORT_FAILED,
		.window_undone = follows && !is_over(window),
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

struct drive_place drive_place(const struct store_export *e,
			       const struct store_export *const *others, size_t count,
			       uint64_t newest)
{
	struct drive_place p = { 0 };

	for (size_t i = 0; i < count; i++)
		p.held_load = p.held_load || comes_first(others[i], e);
	p.held = p.held_load && e->stream == 0;
	p.useless = e->stream == 0 && e->kind != STORE_EXPORT_LOAD && e->generation < newest;
	return p;
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
		if (!rules->load)
			return now_do(DRIVE_FINISH);
		return place->held_load ? wait_until(INT64_MAX) : now_do(DRIVE_FILES);
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

bool drive_is_late(const struct store_export *e, int64_t deadline_ms, int64_t now_ms)
{
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
