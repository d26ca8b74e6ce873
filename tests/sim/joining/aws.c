/* Exports, as AWS makes them and workers load them. */
#include <string.h>

#include "world.h"

#define LATEST_MS (5 * MIN_MS) /* so much is not restorable yet */
#define ATTEMPTS  4

int64_t latest_ms(const struct world *w)
{
	return w->now_ms - LATEST_MS;
}

static uint64_t hash(uint64_t a, uint64_t b)
{
	struct rng r;

	rng_seed(&r, a ^ (b * 0x9e3779b97f4a7c15u));
	return rng_next(&r);
}

/* The clock by which windows are cut is AWS's own, and so is that of each item of a full export. */
static int64_t cut(const struct world *w, int64_t at_ms, int key)
{
	uint64_t h = hash(w->salt, (uint64_t)at_ms * 64 + (uint64_t)key);

	return w->exact ? at_ms : at_ms + (int64_t)(h % (2 * FUZZ_MS + 1)) - FUZZ_MS;
}

/* --- begun --- */

static void note_join(struct world *w, const struct op *op)
{
	struct join *j = &w->joins[w->join_count++];

	assert(w->join_count < JOINS_MAX);
	*j = (struct join){ .generation = op->generation,
			    .hold = w->hold.id,
			    .full = op->window.from_ms == 0,
			    .t_ms = op->window.to_ms,
			    .oldest_ms = NEVER };
	for (int i = 0; i < w->lanes_count; i++) {
		const struct lane *l = &w->lanes[i];

		j->places_ms[i] = joining_place_ms("", l->event_ms, w->start_ms);
		j->delivered_ms[i] = l->delivered_ms;
		if (j->places_ms[i] < j->oldest_ms)
			j->oldest_ms = j->places_ms[i];
	}
	for (int i = 0; i < w->export_count && !j->full; i++)
		if (w->exports[i].exported_ms > 0)
			j->loaded_ms[j->loaded_count++] = w->exports[i].to_ms;
	w->counted[j->full ? FAULT_BASELINE : FAULT_REPAIR]++;
	w->counted[FAULT_ANEW] += j->full && op->generation > 2;
}

/* The join before this one in the same hold was given up. */
static void check_anew(const struct world *w)
{
	const struct join *before = w->join_count ? &w->joins[w->join_count - 1] : NULL;
	bool over = true;

	if (!before || before->hold != w->hold.id)
		return;
	for (int i = 0; i < w->export_count; i++)
		over = over && (w->exports[i].generation != before->generation ||
				w->exports[i].published_ms > 0);
	assert(!over);
}

/* As the store has it: a generation that is one above the stream's raises it, its windows are
 * contiguous, its full export is the first, and the stream is held meanwhile. */
bool export_begin(struct world *w, const struct op *op)
{
	const struct store_export *last = NULL;
	struct store_export *e = &w->exports[w->export_count];
	unsigned repairs = 0;

	if (w->hold.why == JOINING_NONE)
		return false;
	for (int i = 0; i < w->export_count; i++) {
		const struct store_export *x = &w->exports[i];

		if (x->generation == op->generation && x->from_ms == op->window.from_ms &&
		    x->to_ms == op->window.to_ms)
			return true;
		if (x->generation == op->generation)
			last = x;
		repairs += x->kind == STORE_EXPORT_REPAIR && x->number == 1 &&
			   w->now_ms - x->begun_ms < DAY_MS;
	}
	if (op->generation != w->generation + 1 && op->generation != w->generation)
		return false;
	if (last &&
	    (op->window.from_ms == 0 || (last->from_ms > 0 && last->to_ms != op->window.from_ms)))
		return false;
	assert(w->export_count < EXPORTS_MAX);
	if (op->generation > w->generation) {
		for (int i = 0; i < w->lanes_count && w->listed; i++)
			assert(w->lanes[i].owner < 0); /* nobody reads on in the old one */
		w->generation = op->generation;
	}
	if (!last) {
		check_anew(w);
		note_join(w, op);
		assert(op->kind != JOINING_REPAIR || repairs < JOINING_REPAIRS_MAX);
	} else if (op->kind == JOINING_BASELINE) {
		w->counted[FAULT_WINDOWS] += last->number == 0;
	} else {
		w->counted[FAULT_ROUNDS] += last->status == STORE_EXPORT_COMPLETE;
	}
	*e = (struct store_export){ .kind = op->kind == JOINING_BASELINE ? STORE_EXPORT_BASELINE
									 : STORE_EXPORT_REPAIR,
				    .id = w->export_count + 1,
				    .from_ms = op->window.from_ms,
				    .to_ms = op->window.to_ms,
				    .generation = op->generation,
				    .number = op->window.from_ms == 0 ? 0
					      : last                  ? last->number + 1
								      : 1,
				    .status = STORE_EXPORT_WAITING,
				    .begun_ms = op->at_ms,
				    .files = 1 };
	w->due_ms[w->export_count] = w->now_ms + between(w, 1, MIN_MS);
	w->zombie_ms[w->export_count++] = NEVER;
	return true;
}

/* --- at AWS --- */

static int64_t duration_ms(struct world *w, const struct store_export *e)
{
	if (w->now_ms >= w->chaos_ms)
		return between(w, 5 * MIN_MS, 40 * MIN_MS);
	if (w->aws == 3 && one_in(w, e->from_ms == 0 ? 2 : 12)) {
		w->counted[FAULT_LONG]++;
		return between(w, DAY_MS, 40 * HOUR_MS);
	}
	if (w->aws >= 2 && one_in(w, 3))
		return between(w, HOUR_MS, 10 * HOUR_MS);
	return between(w, 5 * MIN_MS, 40 * MIN_MS);
}

static void submit(struct world *w, int at)
{
	struct store_export *e = &w->exports[at];
	struct window window = { e->from_ms, e->to_ms };

	if (e->from_ms == 0)
		window.from_ms = e->to_ms;
	w->due_ms[at] = w->now_ms + between(w, MIN_MS, 5 * MIN_MS);
	if (!w->pitr || window_state(&window, w->earliest_ms, latest_ms(w)) == WINDOW_LOST) {
		e->status = STORE_EXPORT_FAILED; /* it can never be exported */
		e->error = "lost";
		w->due_ms[at] = NEVER;
	} else if (window_state(&window, w->earliest_ms, latest_ms(w)) == WINDOW_READY) {
		e->status = STORE_EXPORT_RUNNING;
		e->attempt++;
		w->due_ms[at] = w->now_ms + duration_ms(w, e);
	}
}

static void end_attempt(struct world *w, int at)
{
	struct store_export *e = &w->exports[at];

	w->due_ms[at] = w->now_ms + between(w, 1, 5 * MIN_MS);
	if (w->now_ms >= w->chaos_ms || !one_in(w, w->aws_fails ? 2 : 12)) {
		e->status = STORE_EXPORT_EXPORTED;
		e->exported_ms = w->now_ms;
		return;
	}
	w->counted[FAULT_ATTEMPT]++;
	e->status = e->attempt % ATTEMPTS ? STORE_EXPORT_WAITING : STORE_EXPORT_FAILED;
	if (e->status == STORE_EXPORT_FAILED)
		w->due_ms[at] = NEVER;
}

/* --- loaded --- */

static void load_begin(struct world *w, int at)
{
	struct store_export *e = &w->exports[at];
	int64_t length_ms = e->from_ms ? e->to_ms - e->from_ms : HOUR_MS;

	w->due_ms[at] = w->now_ms + between(w, 10 * SECOND_MS, 3 * MIN_MS);
	if (w->hold.why == JOINING_NONE ||
	    !joining_loads(w->exports, (size_t)w->export_count, (size_t)at))
		return;
	e->status = STORE_EXPORT_LOADING;
	w->due_ms[at] = w->now_ms + between(w, SECOND_MS, 5 * MIN_MS) +
			(int64_t)((double)length_ms * w->slowness);
}

static void load(struct world *w, const struct store_export *e, bool zombie)
{
	for (int key = 0; key < KEYS; key++) {
		int before = 0, after;
		bool changed = false;
		int64_t from_ms, to_ms;

		if (e->from_ms == 0) {
			after = table_state(w, key, cut(w, e->to_ms, key));
			if (after)
				deliver(w, e->generation, 0, key, after, zombie);
			continue;
		}
		from_ms = cut(w, e->from_ms, KEYS);
		to_ms = cut(w, e->to_ms, KEYS);
		for (int i = w->newest[key]; i >= 0; i = w->changes[i].before)
			changed = changed ||
				  (w->changes[i].at_ms >= from_ms && w->changes[i].at_ms < to_ms);
		before = table_state(w, key, from_ms);
		after = table_state(w, key, to_ms);
		if (changed && (before || after))
			deliver(w, e->generation, e->number, key, after, zombie);
	}
}

static void load_end(struct world *w, int at)
{
	struct store_export *e = &w->exports[at];

	load(w, e, false);
	e->status = STORE_EXPORT_COMPLETE;
	e->files_done = 1;
	e->finished_ms = w->now_ms;
	w->due_ms[at] = NEVER;
	/* A file that another worker had begun: what it had in flight lands late. */
	if (one_in(w, 6))
		w->zombie_ms[at] = w->now_ms + between(w, 1, 3 * HOUR_MS);
}

int64_t export_next_ms(const struct world *w, int at)
{
	return w->due_ms[at] < w->zombie_ms[at] ? w->due_ms[at] : w->zombie_ms[at];
}

void export_happen(struct world *w, int at)
{
	struct store_export *e = &w->exports[at];

	if (w->zombie_ms[at] <= w->now_ms) {
		load(w, e, true);
		w->zombie_ms[at] = NEVER;
		return;
	}
	switch (e->status) {
	case STORE_EXPORT_WAITING:
		submit(w, at);
		break;
	case STORE_EXPORT_RUNNING:
		end_attempt(w, at);
		break;
	case STORE_EXPORT_EXPORTED:
		load_begin(w, at);
		break;
	case STORE_EXPORT_LOADING:
		load_end(w, at);
		break;
	case STORE_EXPORT_COMPLETE:
	case STORE_EXPORT_FAILED:
	case STORE_EXPORT_ABANDONED:
		w->due_ms[at] = NEVER;
		break;
	}
}

/* --- point-in-time recovery --- */

void pitr_happen(struct world *w)
{
	if (w->now_ms >= w->pitr_off_ms) {
		w->pitr = false;
		w->pitr_was_off = true;
		w->pitr_off_ms = NEVER;
		w->pitr_on_ms = w->now_ms + between(w, 1, 20 * HOUR_MS);
	} else if (w->now_ms >= w->pitr_on_ms) {
		w->pitr = true;
		w->earliest_ms = w->now_ms;
		w->pitr_on_ms = NEVER;
	}
}
