#include "consumer/joining.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "consumer/lineage.h"

/* How far a shard's id may be off its first record (design, "start at time X"). */
#define CREATED_SLACK_MS WINDOW_HOUR_MS
#define SECOND_MS        ((int64_t)1000)

/* The exports of the newest generation, where they belong to this hold. */
struct join {
	const struct store_export *first;
	size_t count, complete;
	bool open, over, failed;
};

static bool is_complete(const struct store_export *e)
{
	return e->status == STORE_EXPORT_COMPLETE;
}

static bool is_full(const struct store_export *e)
{
	return e->from_ms == 0;
}

static enum joining_kind kind_of(const struct store_export *e)
{
	return e->kind == STORE_EXPORT_BASELINE ? JOINING_BASELINE : JOINING_REPAIR;
}

/* One with an export that nobody goes on with is given up as a whole. */
static struct join newest(const struct joining_facts *f)
{
	struct join j = { 0 };
	bool abandoned = false, published = true;

	for (size_t i = 0; i < f->export_count; i++) {
		const struct store_export *e = &f->exports[i];

		if (!j.first || e->generation != j.first->generation) {
			j = (struct join){ .first = e };
			abandoned = false;
			published = true;
		}
		j.count++;
		j.complete += is_complete(e);
		j.failed = j.failed || e->status == STORE_EXPORT_FAILED;
		abandoned = abandoned || e->status == STORE_EXPORT_ABANDONED;
		published = published && e->published_ms > 0;
	}
	if (j.count > 0 && !abandoned && f->hold != JOINING_NONE &&
	    j.first->generation > f->hold_generation) {
		j.open = !published;
		j.over = published;
	}
	return j;
}

/* Something is left of a join that was given up, or whose hold has ended. */
static bool has_left(const struct joining_facts *f, const struct join *j, uint64_t *generation)
{
	for (size_t i = 0; i < f->export_count; i++) {
		const struct store_export *e = &f->exports[i];

		*generation = e->generation;
		if (e->published_ms == 0 && e->status != STORE_EXPORT_ABANDONED &&
		    !(j->open && e->generation == j->first->generation))
			return true;
	}
	return false;
}

static const struct store_export *last_of(const struct join *j)
{
	return &j->first[j->count - 1];
}

bool joining_loads(const struct store_export *exports, size_t count, size_t at)
{
	for (size_t i = 0; i < count; i++)
		if (exports[i].generation == exports[at].generation &&
		    exports[i].number < exports[at].number && !is_complete(&exports[i]))
			return false;
	return true;
}

int64_t joining_place_ms(const char *shard, int64_t event_ms, int64_t start_ms)
{
	int64_t created_ms = lineage_created_ms(shard), place_ms = event_ms;

	/* Nothing in a shard is older than the shard. */
	if (created_ms - CREATED_SLACK_MS > place_ms)
		place_ms = created_ms - CREATED_SLACK_MS;
	return start_ms > place_ms ? start_ms : place_ms;
}

/* --- steps --- */

static void wait(struct joining_step *step, int64_t until_ms)
{
	step->act = JOINING_WAIT;
	step->until_ms = until_ms;
}

static void start(struct joining_step *step, int64_t cut_ms)
{
	step->act = JOINING_START;
	step->start_ms = cut_ms - WINDOW_STREAM_OVERLAP_MS;
}

static void begin(const struct joining_facts *f, struct joining_step *step, uint64_t generation,
		  const struct window *windows, size_t count)
{
	step->act = JOINING_BEGIN;
	step->at_ms = f->now_ms;
	step->generation = generation;
	step->windows = memory_array(count, sizeof(*windows));
	step->count = count;
	memcpy(step->windows, windows, count * sizeof(*windows));
}

static void stop(struct joining_step *step, enum error_kind kind)
{
	step->act = JOINING_STOP;
	step->error.kind = kind;
}

static void stop_failed(const struct join *j, struct joining_step *step)
{
	const struct store_export *e = j->first;
	char to[CLOCK_TEXT_SIZE];

	while (e->status != STORE_EXPORT_FAILED)
		e++;
	(void)!error_set(&step->error, ERROR_INVALID,
			 "the export up to %s failed for good: %s; mend it, then `sluice export "
			 "retry`",
			 clock_text(e->to_ms, to),
			 e->error && *e->error ? e->error : "see its files");
	stop(step, ERROR_INVALID);
}

static bool reaches(const struct joining_facts *f, int64_t from_ms, struct joining_step *step)
{
	struct window w = { from_ms, from_ms + WINDOW_SHORTEST_MS };
	int64_t earliest_ms = f->pitr ? f->earliest_ms : f->now_ms;
	char from[CLOCK_TEXT_SIZE], earliest[CLOCK_TEXT_SIZE];

	if (window_state(&w, earliest_ms, f->latest_ms) != WINDOW_LOST)
		return true;
	(void)!error_set(
		&step->error, ERROR_TRIMMED,
		"table %s: point-in-time recovery reaches back to %s only, and the changes "
		"from %s on are wanted: they can never be exported (was PITR off?); only a "
		"new baseline helps (`sluice export baseline`)%s",
		f->table, clock_text(earliest_ms, earliest), clock_text(from_ms, from),
		step->kind == JOINING_REPAIR && f->hold == JOINING_NONE
			? ", or accept the loss (`sluice resume`)"
			: "");
	stop(step, ERROR_TRIMMED);
	return false;
}

/* --- a join that is under way --- */

static int64_t oldest_place_ms(const struct joining_facts *f)
{
	int64_t oldest_ms = f->place_count ? f->places_ms[0] : 0;

	for (size_t i = 0; i < f->place_count; i++)
		if (f->places_ms[i] < oldest_ms)
			oldest_ms = f->places_ms[i];
	return oldest_ms;
}

/* Up to end_ms. What an earlier join has loaded was delivered, too, also where the stream does not
 * stand there (yet): with a cut behind it, as behind what lanes delivered. */
static void plan_repair(const struct joining_facts *f, struct window_plan *p, int64_t end_ms)
{
	int64_t *places_ms = memory_array(f->place_count + f->export_count, sizeof(*places_ms));
	int64_t oldest_ms = oldest_place_ms(f);
	size_t count = f->place_count;

	memcpy(places_ms, f->places_ms, count * sizeof(*places_ms));
	for (size_t i = 0; i < f->export_count; i++) {
		const struct store_export *e = &f->exports[i];

		if (e->exported_ms > 0 && e->to_ms > oldest_ms && e->to_ms <= f->now_ms)
			places_ms[count++] = e->to_ms;
	}
	window_plan_repair(p, places_ms, count, end_ms);
	free(places_ms);
}

/* Everything so far is loaded: the stream where it is near enough, else what is missing up to now.
 */
static void go_on_with_windows(const struct joining_facts *f, const struct join *j,
			       struct joining_step *step)
{
	struct window_plan p = { 0 };
	size_t have;

	for (size_t i = 0; i < j->count; i++)
		if (!is_full(&j->first[i]))
			window_plan_add(&p,
					&(struct window){ j->first[i].from_ms, j->first[i].to_ms });
	have = p.count;
	if (step->kind == JOINING_REPAIR) {
		int64_t hold_ms = j->first->begun_ms + JOINING_BEHIND_HOLD_MS;

		if (window_plan_end(&p) <= hold_ms - SECOND_MS)
			plan_repair(f, &p, hold_ms);
	}
	if (p.count == have && f->now_ms - window_plan_end(&p) < WINDOW_NEAR_MS) {
		start(step, window_plan_end(&p));
	} else {
		window_plan_more(&p, f->latest_ms);
		if (p.count == have)
			wait(step, 0);
		else if (reaches(f, p.windows[have].from_ms, step))
			begin(f, step, j->first->generation, p.windows + have, p.count - have);
	}
	window_plan_release(&p);
}

static void go_on_with_full(const struct joining_facts *f, const struct join *j,
			    struct joining_step *step)
{
	int64_t t_ms = j->first->to_ms;
	struct window_plan p = { 0 };

	if (f->now_ms - (t_ms - WINDOW_STREAM_OVERLAP_MS) <= WINDOW_DIRECT_MS) {
		start(step, t_ms);
	} else if (f->latest_ms < t_ms + WINDOW_AFTER_CUT_MS) {
		wait(step, 0);
	} else if (reaches(f, window_first(t_ms).from_ms, step)) {
		window_plan_baseline(&p, t_ms, f->latest_ms);
		begin(f, step, j->first->generation, p.windows, p.count);
		window_plan_release(&p);
	}
}

static void go_on(const struct joining_facts *f, const struct join *j, struct joining_step *step)
{
	step->kind = kind_of(j->first);
	step->generation = j->first->generation;
	if (j->failed)
		stop_failed(j, step);
	else if (j->complete < j->count)
		wait(step, 0);
	else if (is_full(last_of(j)))
		go_on_with_full(f, j, step);
	else
		go_on_with_windows(f, j, step);
}

/* --- a new one --- */

static bool has_pitr(const struct joining_facts *f, struct joining_step *step)
{
	if (!f->pitr_known) {
		wait(step, 0);
	} else if (!f->pitr && f->may_enable_pitr) {
		step->act = JOINING_ENABLE_PITR;
	} else if (!f->pitr) {
		(void)!error_set(&step->error, ERROR_INVALID,
				 "table %s: point-in-time recovery is off, and exports need it: "
				 "switch it on, or set baseline.enable_pitr",
				 f->table);
		stop(step, ERROR_INVALID);
	}
	return f->pitr_known && f->pitr;
}

static void begin_baseline(const struct joining_facts *f, struct joining_step *step)
{
	int64_t t_ms = f->enabled_ms + JOINING_ENABLED_MS;

	step->kind = JOINING_BASELINE;
	if (!has_pitr(f, step))
		return;
	if (!f->enabled || !f->released || f->now_ms < t_ms) {
		wait(step, f->enabled ? t_ms : 0);
		return;
	}
	if (f->latest_ms > t_ms)
		t_ms = f->latest_ms;
	/* Windows may have to follow it. */
	if (window_cut_earliest(f->earliest_ms) > t_ms)
		t_ms = window_cut_earliest(f->earliest_ms);
	t_ms += SECOND_MS - 1 - (t_ms + SECOND_MS - 1) % SECOND_MS;
	begin(f, step, f->generation + 1, &(struct window){ 0, t_ms }, 1);
}

static bool too_many(const struct joining_facts *f, struct joining_step *step)
{
	uint64_t seen = 0;
	int64_t oldest_ms = 0;
	unsigned count = 0;
	char at[CLOCK_TEXT_SIZE];

	for (size_t i = 0; i < f->export_count; i++) {
		const struct store_export *e = &f->exports[i];

		if (kind_of(e) != JOINING_REPAIR || e->generation == seen ||
		    f->now_ms - e->begun_ms >= JOINING_REPAIRS_WITHIN_MS)
			continue;
		seen = e->generation;
		if (count++ == 0)
			oldest_ms = e->begun_ms;
	}
	if (count < JOINING_REPAIRS_MAX)
		return false;
	(void)!error_set(&step->error, ERROR_INVALID,
			 "table %s: %u repairs within a day, and the next gap is here: the sinks "
			 "are slower than the table; mend that, then accept the loss (`sluice "
			 "resume`), or wait until %s for the next repair",
			 f->table, count, clock_text(oldest_ms + JOINING_REPAIRS_WITHIN_MS, at));
	stop(step, ERROR_INVALID);
	step->until_ms = oldest_ms + JOINING_REPAIRS_WITHIN_MS;
	return true;
}

static void begin_repair(const struct joining_facts *f, struct joining_step *step)
{
	struct window_plan p = { 0 };

	step->kind = JOINING_REPAIR;
	if (!f->pitr_known)
		wait(step, 0);
	/* Healthy shards are not held for what cannot be had. */
	if (!f->pitr_known || too_many(f, step) ||
	    !reaches(f, oldest_place_ms(f) - WINDOW_BEFORE_CUT_MS - SECOND_MS, step))
		return;
	if (f->paused) {
		wait(step, 0);
	} else if (f->hold == JOINING_NONE) {
		step->act = JOINING_HOLD;
	} else if (!f->released) {
		wait(step, 0);
	} else {
		plan_repair(f, &p, f->now_ms + JOINING_BEHIND_HOLD_MS);
		begin(f, step, f->generation + 1, p.windows, p.count);
		window_plan_release(&p);
	}
}

void joining_next(const struct joining_facts *f, struct joining_step *step)
{
	struct join j = newest(f);

	*step = (struct joining_step){ .act = JOINING_NOTHING };
	if (has_left(f, &j, &step->generation))
		step->act = JOINING_LEAVE;
	else if (j.open)
		go_on(f, &j, step);
	else if (j.over)
		step->act = JOINING_GO_ON;
	else if (f->hold == JOINING_BASELINE)
		begin_baseline(f, step);
	else if (f->repair)
		begin_repair(f, step);
	/* Nothing was begun, and nothing can be. */
	if (f->hold == JOINING_REPAIR && !j.open &&
	    (step->act == JOINING_NOTHING || (step->act == JOINING_STOP && !f->waits)))
		*step = (struct joining_step){ .act = JOINING_GO_ON,
					       .kind = step->kind,
					       .error = step->error };
}

void joining_step_release(struct joining_step *step)
{
	free(step->windows);
	step->windows = NULL;
	step->count = 0;
}

/* --- how far it is --- */

/* Windows are loaded one after the other; the one that is being loaded counts by its files. */
static bool pace_of(const struct join *j, int64_t now_ms, struct window_pace *pace)
{
	int64_t free_ms = 0, fixed_until_ms = 0;

	*pace = (struct window_pace){ 0 };
	for (size_t i = 0; i < j->count; i++) {
		const struct store_export *e = &j->first[i];
		int64_t from_ms = e->exported_ms > free_ms ? e->exported_ms : free_ms;
		int64_t length_ms = e->to_ms - e->from_ms, took_ms;

		if (is_complete(e))
			free_ms = e->finished_ms;
		if (is_full(e))
			continue;
		if (fixed_until_ms == 0 && e->exported_ms > 0) {
			fixed_until_ms = from_ms;
			/* Workers' clocks may differ. */
			pace->fixed_ms = from_ms > e->begun_ms ? from_ms - e->begun_ms : 0;
		}
		took_ms = (is_complete(e) ? e->finished_ms : now_ms) - from_ms;
		if (is_complete(e)) {
			pace->covered_ms += length_ms;
		} else if (e->status == STORE_EXPORT_LOADING && e->files_done > 0) {
			pace->covered_ms += (int64_t)((double)length_ms * (double)e->files_done /
						      (double)e->files);
		} else {
			break;
		}
		pace->load_ms += took_ms > 0 ? took_ms : 0;
	}
	return pace->covered_ms > 0;
}

void joining_progress(const struct joining_facts *f, struct joining_progress *out)
{
	struct join j = newest(f);
	struct window_pace pace;
	int64_t left_ms = 0, age_ms;

	*out = (struct joining_progress){ 0 };
	if (!j.open)
		return;
	out->kind = kind_of(j.first);
	out->generation = j.first->generation;
	out->exports = j.count;
	out->loaded = j.complete;
	out->begun_ms = j.first->begun_ms;
	for (size_t i = 0; i < j.count; i++) {
		const struct store_export *e = &j.first[i];

		if (is_complete(e))
			out->up_to_ms = e->to_ms;
		else if (!is_full(e))
			left_ms += e->to_ms - e->from_ms;
	}
	if (!pace_of(&j, f->now_ms, &pace))
		return;
	/* So old will the end be once everything up to it is loaded. */
	age_ms = f->now_ms - last_of(&j)->to_ms +
		 (int64_t)((double)left_ms * (double)pace.load_ms / (double)pace.covered_ms);
	out->foreseen = true;
	out->forecast = window_forecast(&pace, age_ms > 0 ? age_ms : 0);
}
