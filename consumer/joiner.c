#include "consumer/joiner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "checkpoint/control.h"
#include "consumer/resolve.h"

#define EXPORTS_MAX  10000
#define KEY_SIZE     64
#define WINDOW_VIEW  "NEW_IMAGE" /* what windows hold: `before` images would be of their start */
#define SAID_STARTED "the stream begins where its exports end"

struct lane_row {
	int64_t id, event_ms;
	char shard[STORE_SHARD_SIZE], parent[STORE_SHARD_SIZE];
	bool done, waits, placed;
};

struct look {
	struct store *store;
	const struct joiner *joiner;
	struct store_stream stream;
	struct arena texts;
	struct store_export *exports;
	size_t export_count;
	/* What was lost. */
	bool orphans, reenabled;
	size_t gaps;
	int64_t before; /* the table's stream before this one; 0: none */
	struct lane_row *lanes;
	size_t lane_count;
	int64_t *places_ms;
	size_t place_count;
};

/* --- what the store has --- */

static void saw_export(void *arg, const struct store_export *e)
{
	struct look *k = arg;
	struct store_export *row;

	k->exports = memory_room(k->exports, k->export_count, sizeof(*k->exports));
	row = &k->exports[k->export_count++];
	*row = *e;
	row->error = arena_printf(&k->texts, "%s", e->error);
	row->table_arn = row->name = row->view = row->manifest = row->token = row->arn = NULL;
}

/* The store has the newest first. */
static bool read_exports(struct look *k, struct error *err)
{
	struct store_exports_of of = { .stream = k->stream.id,
				       .unsummed = true,
				       .max = EXPORTS_MAX };

	if (!store_exports(k->store, &of, saw_export, k, err))
		return false;
	for (size_t i = 0; i + i + 1 < k->export_count; i++) {
		struct store_export *other = &k->exports[k->export_count - 1 - i], e = *other;

		*other = k->exports[i];
		k->exports[i] = e;
	}
	return true;
}

static void saw_gap(void *arg, const struct store_gap *g)
{
	struct look *k = arg;

	if (g->state != STORE_GAP_OPEN)
		return;
	k->gaps++;
	k->orphans = k->orphans || g->kind == STORE_GAP_ORPHAN;
	k->reenabled = k->reenabled || g->kind == STORE_GAP_REENABLED;
}

static void saw_stream(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	struct look *k = arg;

	if (s->id < k->stream.id && s->id > k->before && strcmp(name, k->joiner->name) == 0 &&
	    resolve_same_table(arn, k->joiner->arn))
		k->before = s->id;
}

static void saw_lane(void *arg, const struct store_lane *l)
{
	struct look *k = arg;
	struct lane_row *row;

	k->lanes = memory_room(k->lanes, k->lane_count, sizeof(*k->lanes));
	row = &k->lanes[k->lane_count++];
	*row = (struct lane_row){ .id = l->id, .done = l->done, .waits = l->waits };
	memcpy(row->shard, l->shard, sizeof(row->shard));
	memcpy(row->parent, l->parent, sizeof(row->parent));
}

static int by_id(const void *a, const void *b)
{
	int64_t x = ((const struct lane_row *)a)->id, y = ((const struct lane_row *)b)->id;

	return (x > y) - (x < y);
}

/* The sink that is furthest behind; one that has all of a lane is not. */
static void saw_position(void *arg, const struct store_position *p)
{
	struct look *k = arg;
	struct lane_row wanted = { .id = p->lane }, *row;

	row = bsearch(&wanted, k->lanes, k->lane_count, sizeof(*row), by_id);
	if (!row || (p->done && !row->done) || (row->placed && row->event_ms <= p->event_ms))
		return;
	row->placed = true;
	row->event_ms = p->event_ms;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_place(struct look *k, int64_t at_ms)
{
	k->places_ms = memory_room(k->places_ms, k->place_count, sizeof(*k->places_ms));
	k->places_ms[k->place_count++] = at_ms;
}

/* Where what was lost may begin: at lanes that are not read to their end, and where shards were
 * never seen, also at the end of those of which nothing that comes behind them is known. */
static void place_lanes(struct look *k, bool ends)
{
	const char **parents = memory_array(k->lane_count + 1, sizeof(*parents));

	for (size_t i = 0; i < k->lane_count; i++)
		parents[i] = k->lanes[i].parent;
	qsort(parents, k->lane_count, sizeof(*parents), by_text);
	for (size_t i = 0; i < k->lane_count; i++) {
		const struct lane_row *l = &k->lanes[i];
		const char *shard = l->shard;

		if (l->done ? !ends || bsearch(&shard, parents, k->lane_count, sizeof(*parents),
					       by_text)
			    : l->waits)
			continue;
		put_place(k, joining_place_ms(l->shard, l->event_ms, k->stream.start_ms));
	}
	free(parents);
}

static bool read_lanes(struct look *k, int64_t stream, bool ends, struct error *err)
{
	k->lane_count = 0;
	if (!store_lanes_list(k->store, stream, saw_lane, saw_position, k, err))
		return false;
	place_lanes(k, ends);
	return true;
}

/* A join is under way and waits for its exports: its windows need no places until these are done.
 */
static bool waits_for_exports(const struct look *k)
{
	for (size_t i = 0; i < k->export_count; i++) {
		const struct store_export *e = &k->exports[i];

		if (e->generation > k->stream.hold.generation &&
		    e->status != STORE_EXPORT_COMPLETE && e->status != STORE_EXPORT_ABANDONED)
			return true;
	}
	return false;
}

/* Lanes are many: looked at where something is to be repaired alone. */
static bool read_losses(struct look *k, struct error *err)
{
	bool closes = k->joiner->repairs || k->stream.hold.back_ms > 0;

	/* The reset behind a join closes every gap: what they lost is brought, too. */
	if (closes && !store_gaps(k->store, k->stream.id, saw_gap, k, err))
		return false;
	if (k->stream.hold.why == STORE_HOLD_REPAIR
		    ? waits_for_exports(k)
		    : k->stream.hold.why == STORE_HOLD_BASELINE || k->gaps == 0)
		return true;
	if (k->reenabled && (!store_streams(k->store, saw_stream, k, err) ||
			     (k->before && !read_lanes(k, k->before, true, err))))
		return false;
	if (!read_lanes(k, k->stream.id, k->orphans, err))
		return false;
	if (k->stream.hold.back_ms > 0)
		put_place(k, k->stream.hold.back_ms);
	return true;
}

static enum joining_kind kind_of(enum store_hold_why why)
{
	if (why == STORE_HOLD_BASELINE)
		return JOINING_BASELINE;
	return why == STORE_HOLD_REPAIR ? JOINING_REPAIR : JOINING_NONE;
}

static bool look(struct look *k, struct joining_facts *f, struct error *err)
{
	const struct joiner *j = k->joiner;
	uint32_t owned = 0;

	if (!store_stream(k->store, j->name, j->arn, 0, &k->stream, err) || !read_exports(k, err) ||
	    !read_losses(k, err) ||
	    (k->stream.hold.id != 0 && !store_stream_owned(k->store, k->stream.id, &owned, err)))
		return false;
	*f = (struct joining_facts){
		.now_ms = j->now_ms,
		.table = j->table,
		.enabled = j->enabled,
		.enabled_ms = j->enabled_ms,
		.generation = k->stream.generation,
		.hold = kind_of(k->stream.hold.why),
		.hold_generation = k->stream.hold.generation,
		.released = owned == 0,
		.repair = k->gaps > 0 || k->stream.hold.back_ms > 0,
		.waits = k->reenabled && j->repairs,
		.places_ms = k->places_ms,
		.place_count = k->place_count,
		.pitr_known = j->pitr_known,
		.pitr = j->pitr,
		.may_enable_pitr = j->may_enable_pitr,
		.earliest_ms = j->earliest_ms,
		.latest_ms = j->latest_ms,
		.exports = k->exports,
		.export_count = k->export_count,
	};
	f->paused = k->stream.hold.id != 0 && f->hold == JOINING_NONE;
	return true;
}

/* --- what is done --- */

static bool tell(struct look *k, const struct joining_step *step, enum store_control_phase phase,
		 struct error *err)
{
	char key[KEY_SIZE];
	struct store_control event = {
		.stream = k->stream.id,
		.kind = step->kind == JOINING_BASELINE ? STORE_CONTROL_BASELINE
						       : STORE_CONTROL_REPAIR,
		.phase = phase,
		.generation = step->generation,
		.time_ms = k->joiner->now_ms,
		.key = key,
	};
	bool added;

	snprintf(key, sizeof(key), "%s %llu %s", store_control_kind_name(event.kind),
		 (unsigned long long)step->generation, store_control_phase_name(phase));
	return store_control_put(k->store, k->joiner->session, &event, &added, err);
}

static bool hold(struct look *k, struct joiner_step *out, struct error *err)
{
	struct store_hold h = { .why = STORE_HOLD_REPAIR, .since_ms = k->joiner->now_ms };

	snprintf(h.who, sizeof(h.who), "%s", k->joiner->worker);
	return store_stream_hold(k->store, k->stream.id, k->stream.generation, &h, &out->done, err);
}

static bool begin(struct look *k, const struct joining_step *step, struct joiner_step *out,
		  struct error *err)
{
	char arn[STREAMS_ARN_MAX + 1];

	resolve_table_arn(k->joiner->arn, arn);
	for (size_t i = 0; i < step->count; i++) {
		bool full = step->windows[i].from_ms == 0, created;
		struct store_export e = {
			.table_arn = arn,
			.name = k->joiner->name,
			.kind = step->kind == JOINING_BASELINE ? STORE_EXPORT_BASELINE
							       : STORE_EXPORT_REPAIR,
			.stream = k->stream.id,
			.from_ms = step->windows[i].from_ms,
			.to_ms = step->windows[i].to_ms,
			.generation = step->generation,
			.view = full ? "" : WINDOW_VIEW,
		};

		if (!store_export_begin(k->store, k->joiner->session, &e, step->at_ms, &created,
					err))
			return false;
		if (e.id == 0)
			return true; /* another worker was quicker */
		out->begun += created;
		if (i == 0 && !tell(k, step, STORE_CONTROL_BEGIN, err))
			return false;
	}
	return true;
}

static bool end_exports(struct look *k, uint64_t generation, struct error *err)
{
	for (size_t i = 0; i < k->export_count; i++) {
		const struct store_export *e = &k->exports[i];
		bool done;

		if (e->generation != generation)
			continue;
		if (e->status != STORE_EXPORT_COMPLETE &&
		    !store_export_abandon(k->store, e->id, "its join was given up",
					  k->joiner->now_ms, &done, err))
			return false;
		if (!store_export_published(k->store, k->joiner->session, e->id, k->joiner->now_ms,
					    &done, err))
			return false;
	}
	return true;
}

static bool end_hold(struct look *k, struct joiner_step *out, struct error *err)
{
	return store_stream_go_on(k->store, k->stream.id, k->stream.hold.id, k->joiner->worker,
				  k->joiner->now_ms, &out->done, err);
}

/* The end is told once more where that was cut off, and so is the beginning. */
static bool start(struct look *k, const struct joining_step *step, struct joiner_step *out,
		  struct error *err)
{
	struct store_reset r = { .hold = k->stream.hold.id,
				 .generation = step->generation,
				 .start_ms = step->start_ms,
				 .gaps = STORE_GAP_REPAIR,
				 .who = k->joiner->worker,
				 .said = SAID_STARTED,
				 .at_ms = k->joiner->now_ms };
	bool reset;

	if (!store_stream_reset(k->store, k->stream.id, &r, &reset, err))
		return false;
	if (!reset)
		return true; /* another worker was quicker */
	return tell(k, step, STORE_CONTROL_BEGIN, err) && tell(k, step, STORE_CONTROL_END, err) &&
	       end_exports(k, step->generation, err) && end_hold(k, out, err);
}

static bool take(struct look *k, const struct joining_step *step, struct joiner_step *out,
		 struct error *err)
{
	switch (step->act) {
	case JOINING_HOLD:
		return hold(k, out, err);
	case JOINING_BEGIN:
		return begin(k, step, out, err);
	case JOINING_START:
		return start(k, step, out, err);
	case JOINING_GO_ON:
		return end_hold(k, out, err);
	case JOINING_LEAVE:
		return end_exports(k, step->generation, err);
	case JOINING_NOTHING:
	case JOINING_WAIT:
	case JOINING_ENABLE_PITR:
	case JOINING_STOP:
		break;
	}
	return true;
}

static void report(const struct look *k, const struct joining_facts *f,
		   const struct joining_step *step, struct joiner_step *out)
{
	*out = (struct joiner_step){ .act = step->act,
				     .kind = step->kind,
				     .until_ms = step->until_ms,
				     .generation = step->generation,
				     .start_ms = step->start_ms,
				     .error = step->error,
				     .gaps = k->gaps,
				     .places = k->place_count };
	for (size_t i = 0; i < k->place_count; i++)
		if (i == 0 || k->places_ms[i] < out->oldest_ms)
			out->oldest_ms = k->places_ms[i];
	joining_progress(f, &out->progress);
}

bool joiner_take(struct store *s, const struct joiner *j, struct joiner_step *out,
		 struct error *err)
{
	struct look k = { .store = s, .joiner = j };
	struct joining_facts f;
	struct joining_step step = { 0 };
	bool ok;

	arena_init(&k.texts);
	ok = look(&k, &f, err);
	if (ok) {
		joining_next(&f, &step);
		report(&k, &f, &step, out);
		ok = take(&k, &step, out, err);
	}
	joining_step_release(&step);
	arena_release(&k.texts);
	free(k.exports);
	free(k.lanes);
	free(k.places_ms);
	return ok || error_wrap(err, "stream %s", j->name);
}
