/* Workers: they read the stream's lanes, and take the steps of its joins. */
#include <string.h>

#include "world.h"

#define UNREAD_MS  (23 * HOUR_MS) /* a lane that was left alone for so long has lost something */
#define UNSAVED_MS (30 * SECOND_MS)

static int64_t seconds(int64_t ms)
{
	return ms - ms % SECOND_MS;
}

/* --- lanes --- */

static const struct change *record(const struct world *w, const struct lane *l, int at)
{
	return &w->changes[l->records[at]];
}

/* Each lane from the stream's start; or at a gap, where that is not there any more. */
static void list(struct world *w)
{
	for (int i = 0; i < w->lanes_count; i++) {
		struct lane *l = &w->lanes[i];

		l->saved = 0;
		while (l->saved < l->count &&
		       seconds(record(w, l, l->saved)->at_ms) < w->start_ms - SECOND_MS)
			l->saved++;
		l->event_ms = l->read_at_ms = 0;
		l->gap = w->now_ms - w->start_ms > UNREAD_MS;
		l->owner = -1;
	}
	w->listed = true;
}

static void claim(struct world *w, int worker)
{
	if (!w->listed)
		list(w);
	for (int i = 0; i < w->lanes_count; i++) {
		struct lane *l = &w->lanes[i];

		if (l->owner >= 0 || one_in(w, 3))
			continue;
		l->owner = worker;
		l->next = l->saved;
		l->generation = w->generation;
	}
}

static void save(const struct world *w, struct lane *l, int up_to)
{
	l->saved = up_to;
	if (up_to > 0)
		l->event_ms = seconds(record(w, l, up_to - 1)->at_ms);
}

static bool at_gap(const struct world *w, const struct lane *l)
{
	int64_t read_ms = l->read_at_ms ? l->read_at_ms : w->start_ms;

	return w->now_ms - read_ms > UNREAD_MS ||
	       (l->next < l->count && record(w, l, l->next)->at_ms < w->now_ms - RETENTION_MS);
}

static void read_lane(struct world *w, struct lane *l)
{
	int saved, some = 1 + (int)roll(w, 300);

	if (l->gap || w->now_ms < l->stuck_until_ms)
		return;
	if (at_gap(w, l)) {
		save(w, l, l->next);
		l->gap = true;
		return;
	}
	for (; l->next < l->count && some > 0; some--) {
		const struct change *r = record(w, l, l->next++);

		deliver(w, l->generation, 1000000 + (uint64_t)l->next, r->key, r->value, false);
		if (r->at_ms > l->delivered_ms)
			l->delivered_ms = r->at_ms;
	}
	l->read_at_ms = w->now_ms;
	/* What was delivered last may not be saved yet. (A birth that was delivered and not saved,
	 * long behind the record before it, is one more delete that exports cannot give back.) */
	saved = l->next;
	while (one_in(w, 2) && saved - 1 > l->saved &&
	       record(w, l, saved - 2)->at_ms > record(w, l, l->next - 1)->at_ms - UNSAVED_MS)
		saved--;
	save(w, l, saved);
	if (w->now_ms < w->chaos_ms && one_in(w, 500)) {
		w->counted[FAULT_STUCK]++;
		l->stuck_until_ms = w->now_ms + between(w, MIN_MS, 30 * HOUR_MS);
	}
}

static void bury(struct world *w, int worker)
{
	for (int i = 0; i < w->lanes_count; i++)
		if (w->lanes[i].owner == worker)
			w->lanes[i].owner = -1;
	w->workers[worker].buried = true;
}

void worker_read(struct world *w, int worker)
{
	/* It may see a hold late. */
	bool held = w->hold.why != JOINING_NONE && !one_in(w, 3);

	for (int i = 0; i < w->worker_count; i++)
		if (!w->workers[i].up && !w->workers[i].buried && one_in(w, 2))
			bury(w, i);
	if (w->hold.why == JOINING_NONE)
		claim(w, worker);
	for (int i = 0; i < w->lanes_count; i++) {
		struct lane *l = &w->lanes[i];

		if (l->owner != worker || !w->listed)
			continue;
		if (!held) {
			read_lane(w, l);
		} else {
			if (!l->gap)
				save(w, l, l->next);
			l->owner = -1;
		}
	}
	w->workers[worker].read_ms = w->now_ms + between(w, MIN_MS, 12 * MIN_MS);
}

/* --- steps --- */

static bool released(const struct world *w)
{
	for (int i = 0; i < w->lanes_count; i++)
		if (w->listed && w->lanes[i].owner >= 0)
			return false;
	return true;
}

void worker_facts(const struct world *w, struct joining_facts *f, int64_t places_ms[LANES_MAX])
{
	*f = (struct joining_facts){ .now_ms = w->now_ms,
				     .table = "orders",
				     .enabled = w->now_ms >= w->enabled_ms,
				     .enabled_ms = w->enabled_ms,
				     .generation = w->generation,
				     .hold = w->hold.why,
				     .hold_generation = w->hold.generation,
				     .released = released(w),
				     .places_ms = places_ms,
				     .pitr_known = true,
				     .pitr = w->pitr,
				     .may_enable_pitr = w->may_enable,
				     .earliest_ms = w->earliest_ms,
				     .latest_ms = latest_ms(w),
				     .exports = w->exports,
				     .export_count = (size_t)w->export_count };
	for (int i = 0; i < w->lanes_count && w->listed; i++) {
		const struct lane *l = &w->lanes[i];

		f->repair = f->repair || l->gap;
		places_ms[f->place_count++] = joining_place_ms("", l->event_ms, w->start_ms);
	}
}

static void push(struct world *w, struct worker *p, struct op op)
{
	assert(p->op_count < OPS_MAX);
	op.hold = w->hold.id;
	p->ops[p->op_count++] = op;
}

static void push_ends(struct world *w, struct worker *p, uint64_t generation)
{
	for (int i = 0; i < w->export_count; i++)
		if (w->exports[i].generation == generation)
			push(w, p,
			     (struct op){ .type = w->exports[i].status == STORE_EXPORT_COMPLETE
							  ? OP_PUBLISH
							  : OP_ABANDON,
					  .export = i });
}

static void take(struct world *w, struct worker *p, const struct joining_step *step)
{
	struct op op = { .kind = step->kind, .generation = step->generation };

	switch (step->act) {
	case JOINING_NOTHING:
	case JOINING_WAIT:
		break;
	case JOINING_ENABLE_PITR:
		op.type = OP_ENABLE;
		push(w, p, op);
		break;
	case JOINING_HOLD:
		op.type = OP_HOLD;
		push(w, p, op);
		break;
	case JOINING_BEGIN:
		op.type = OP_BEGIN;
		op.at_ms = step->at_ms;
		for (size_t i = 0; i < step->count; i++) {
			op.window = step->windows[i];
			push(w, p, op);
		}
		break;
	case JOINING_START:
		op.type = OP_RESET;
		op.start_ms = step->start_ms;
		push(w, p, op);
		push_ends(w, p, step->generation);
		op.type = OP_GO_ON;
		push(w, p, op);
		break;
	case JOINING_GO_ON:
		op.type = OP_GO_ON;
		push(w, p, op);
		break;
	case JOINING_LEAVE:
		push_ends(w, p, step->generation);
		break;
	case JOINING_STOP:
		/* What a baseline needs behind it is had, unless PITR was off in between. */
		assert(step->error.kind != ERROR_TRIMMED || step->kind != JOINING_BASELINE ||
		       w->pitr_was_off);
		w->stopped = step->error.kind;
		w->counted[FAULT_TOO_MANY] += step->error.kind == ERROR_INVALID &&
					      step->kind == JOINING_REPAIR && step->until_ms > 0;
		w->counted[FAULT_BEYOND] += step->error.kind == ERROR_TRIMMED;
		break;
	}
}

void worker_drive(struct world *w, int worker)
{
	struct worker *p = &w->workers[worker];
	int64_t places_ms[LANES_MAX];
	struct joining_facts f;
	struct joining_step step;
	bool busy;

	worker_facts(w, &f, places_ms);
	joining_next(&f, &step);
	w->stopped = ERROR_NONE;
	p->op_count = p->op_next = 0;
	take(w, p, &step);
	busy = step.act != JOINING_NOTHING && step.act != JOINING_STOP;
	joining_step_release(&step);
	p->drive_ms = w->now_ms + between(w, 20 * SECOND_MS, busy ? 5 * MIN_MS : 30 * MIN_MS);
	if (p->op_count == 0)
		return;
	p->drive_ms = NEVER;
	p->op_ms = w->now_ms + between(w, 1, one_in(w, 20) ? 8 * MIN_MS : 20 * SECOND_MS);
	for (int i = 0; i < w->worker_count; i++)
		w->counted[FAULT_STALE] += i != worker && w->workers[i].op_ms != NEVER;
}

/* --- calls to the store --- */

static void forget_untouched(struct known *known, uint64_t generation)
{
	for (int key = 0; key < KEYS; key++)
		if (known[key].generation < generation)
			known[key] = (struct known){ .generation = generation };
}

/* What a reset stands on: everything up to the stream's start was loaded, and it is still there. */
static void check_start(const struct world *w, const struct op *op)
{
	int64_t end_ms = 0;

	for (int i = 0; i < w->export_count; i++) {
		const struct store_export *e = &w->exports[i];

		if (e->generation != op->generation)
			continue;
		assert(e->status == STORE_EXPORT_COMPLETE || end_ms > 0);
		if (e->to_ms == op->start_ms + WINDOW_STREAM_OVERLAP_MS)
			end_ms = e->to_ms;
	}
	assert(end_ms > 0 || op->start_ms % SECOND_MS == 0);
	assert(w->now_ms - op->start_ms < UNREAD_MS);
}

static void reset(struct world *w, const struct op *op)
{
	if (w->hold.id != op->hold || w->generation != op->generation || !released(w))
		return;
	check_start(w, op);
	w->listed = false;
	w->start_ms = op->start_ms;
	if (w->generation < w->hold.generation + 1)
		w->generation = w->hold.generation + 1;
	for (int i = 0; i < w->lanes_count; i++)
		w->lanes[i].gap = false;
	/* A reader is told of the end of a baseline: what it did not touch is gone, and what is
	 * older than it does not count any more. */
	if (w->hold.why == JOINING_BASELINE) {
		forget_untouched(w->best, w->generation);
		forget_untouched(w->last, w->generation);
	}
}

static void hold(struct world *w, const struct op *op)
{
	if (w->hold.why != JOINING_NONE)
		return;
	w->hold = (struct hold){ ++w->last_hold, op->kind, w->generation };
	if (!one_in(w, 40) || w->now_ms >= w->chaos_ms)
		return;
	w->counted[FAULT_ACCEPT]++;
	w->lossy = true;
	for (int i = 0; i < w->lanes_count; i++) {
		struct lane *l = &w->lanes[i];

		while (l->gap && l->saved < l->count &&
		       record(w, l, l->saved)->at_ms < w->now_ms - RETENTION_MS + HOUR_MS)
			l->saved++;
		l->next = l->saved;
		l->read_at_ms = w->now_ms;
		l->gap = false;
	}
}

static bool execute(struct world *w, const struct op *op)
{
	struct store_export *e = &w->exports[op->export];

	switch (op->type) {
	case OP_HOLD:
		hold(w, op);
		break;
	case OP_ENABLE:
		if (!w->pitr)
			w->earliest_ms = w->now_ms;
		w->pitr = true;
		w->pitr_on_ms = NEVER;
		break;
	case OP_BEGIN:
		return export_begin(w, op);
	case OP_RESET:
		reset(w, op);
		break;
	case OP_PUBLISH:
		if (e->published_ms == 0 && e->status == STORE_EXPORT_COMPLETE)
			e->published_ms = w->now_ms;
		break;
	case OP_ABANDON:
		if (e->status != STORE_EXPORT_COMPLETE)
			e->status = STORE_EXPORT_ABANDONED;
		break;
	case OP_GO_ON:
		if (w->hold.id == op->hold)
			w->hold.why = JOINING_NONE;
		break;
	}
	return true;
}

void worker_op(struct world *w, int worker)
{
	struct worker *p = &w->workers[worker];

	if (w->now_ms < w->chaos_ms && one_in(w, 25)) {
		w->counted[FAULT_CRASH]++;
		worker_crash(w, worker);
		return;
	}
	if (!execute(w, &p->ops[p->op_next++]))
		p->op_next = p->op_count;
	p->op_ms = w->now_ms + between(w, 1, one_in(w, 60) ? 8 * MIN_MS : 5 * SECOND_MS);
	if (p->op_next < p->op_count)
		return;
	p->op_ms = NEVER;
	p->drive_ms = w->now_ms + between(w, 1, MIN_MS);
}

/* --- life --- */

void worker_crash(struct world *w, int worker)
{
	struct worker *p = &w->workers[worker];

	p->up = p->buried = false;
	p->read_ms = p->drive_ms = p->op_ms = NEVER;
	p->boot_ms = w->now_ms + between(w, SECOND_MS, one_in(w, 10) ? 6 * HOUR_MS : 5 * MIN_MS);
}

void worker_boot(struct world *w, int worker)
{
	struct worker *p = &w->workers[worker];

	bury(w, worker);
	p->up = true;
	p->boot_ms = NEVER;
	p->read_ms = w->now_ms + between(w, 1, MIN_MS);
	p->drive_ms = w->now_ms + between(w, 1, MIN_MS);
}

/* --- people --- */

static void give_up(struct world *w, uint64_t generation)
{
	w->counted[FAULT_ABANDON]++;
	for (int i = 0; i < w->export_count; i++)
		if (w->exports[i].generation == generation &&
		    w->exports[i].status != STORE_EXPORT_COMPLETE)
			w->exports[i].status = STORE_EXPORT_ABANDONED;
}

static void mend(struct world *w)
{
	for (int i = 0; i < w->export_count; i++) {
		struct store_export *e = &w->exports[i];

		if (e->status != STORE_EXPORT_FAILED)
			continue;
		if (e->error) {
			give_up(w, e->generation);
			continue;
		}
		w->counted[FAULT_RETRY]++;
		e->status = STORE_EXPORT_WAITING;
		w->due_ms[i] = w->now_ms + between(w, 1, MIN_MS);
	}
}

void person_happen(struct world *w)
{
	w->person_ms = w->now_ms + between(w, HOUR_MS / 2, 6 * HOUR_MS);
	mend(w);
	if (w->now_ms < w->chaos_ms && w->hold.why != JOINING_NONE && one_in(w, 12))
		give_up(w, w->generation);
	/* A new baseline, in the place of what is under way. */
	if (w->stopped == ERROR_TRIMMED)
		w->hold = (struct hold){ ++w->last_hold, JOINING_BASELINE, w->generation };
}
