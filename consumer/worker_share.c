/* The lanes of this worker among those of the others: taken, let go of, and dropped. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

/* Rounds in a row in which the store and this worker differ on what the worker holds: a claim or a
 * save may be on its way, a lost reply shows in each. */
#define DIFFERS_ASK 3
#define DIFFERS_END 30

/* --- let go of --- */

void worker_give_back(struct worker *w, struct lane *l)
{
	if (reader_drop(w->readers[l->reader], l))
		return;
	l->next = w->dropped;
	w->dropped = l;
}

/* A worker may have more lanes than it reads at once, and all of them may end in one save. */
void worker_drop_rest(struct worker *w)
{
	struct lane *rest = MOVE(w->dropped);

	while (rest) {
		struct lane *l = rest;

		rest = l->next;
		worker_give_back(w, l);
	}
}

static void drop(struct worker *w, uint32_t index, uint32_t then)
{
	struct lane *l = w->lanes[index];
	struct worker_stream *s = w->streams[l->stream->index];

	uint32_t in_lineage = lineage_find(&s->lineage, l->shard);

	for (uint32_t i = 0; i < s->settled_count; i++)
		if (s->settled[i] == index)
			s->settled[i] = CORE_NONE;
	s->core_lanes[in_lineage] = then;
	s->lineage.shards[in_lineage].seen_ms = loop_now_ms(w->loop);
	core_drop_lane(&w->core, index);
	w->lanes[index] = NULL;
	worker_give_back(w, l);
	worker_follow_lane(w, s);
}

void worker_ended(struct worker *w, uint32_t index)
{
	drop(w, index, LANE_OVER);
}

static int by_id(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void release_wanted(struct worker *w, const struct steward_view *v)
{
	struct core_event e = { .type = CORE_RELEASE, .now_ms = loop_now_ms(w->loop) };

	for (uint32_t i = 0; v->wanted_count > 0 && i < w->core.lane_count; i++) {
		if (!w->lanes[i] || !bsearch(&w->core.lanes[i].store_id, v->wanted, v->wanted_count,
					     sizeof(*v->wanted), by_id))
			continue;
		e.lane = i;
		worker_feed(w, &e);
	}
}

static void let_go(struct worker *w, int64_t store_id, uint32_t index)
{
	struct steward_release *r = w->letting_go;

	if (!r)
		r = w->letting_go = memory_new(sizeof(*r));
	if (r->count == r->capacity) {
		r->capacity = r->capacity ? 2 * r->capacity : 64;
		r->lanes = memory_resize(r->lanes, r->capacity * sizeof(*r->lanes));
		r->indices = memory_resize(r->indices, r->capacity * sizeof(*r->indices));
	}
	r->lanes[r->count] = store_id;
	r->indices[r->count++] = index;
	w->let_go++;
}

void worker_let_go_unread(struct worker *w, int64_t store_id)
{
	let_go(w, store_id, CORE_NONE);
}

void worker_let_go(struct worker *w, uint32_t index)
{
	let_go(w, w->core.lanes[index].store_id, index);
}

/* Where there is no steward, as nobody else can have the lanes, but the stream is held. */
struct releasing {
	struct worker_task task; /* first */
	struct steward_release *job;
	const char *session;
};

static bool release_work(struct saver_task *task, struct store *store, struct error *err)
{
	const struct releasing *r = (struct releasing *)task;

	return store_lanes_release(store, r->session, r->job->lanes, r->job->count, err);
}

static void release_done(struct worker *w, struct worker_task *task)
{
	struct steward_release *job = ((struct releasing *)task)->job;

	if (task->saver.ok)
		worker_released(w, job);
	else
		steward_release_free(job);
}

void worker_let_go_send(struct worker *w)
{
	struct releasing *r;

	if (!w->letting_go)
		return;
	if (w->steward) {
		steward_let_go(w->steward, MOVE(w->letting_go));
		return;
	}
	r = memory_new(sizeof(*r));
	*r = (struct releasing){ .task = { .saver.work = release_work, .done = release_done },
				 .job = MOVE(w->letting_go),
				 .session = w->session };
	saver_work(w->saver, &r->task.saver);
}

void worker_released(struct worker *w, struct steward_release *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->indices[i] != CORE_NONE)
			drop(w, r->indices[i], CORE_NONE);
	log_info("shards released", log_int("shards", (int64_t)r->count));
	steward_release_free(r);
}

/* --- taken --- */

static bool take_one(struct worker *w, struct worker_stream *s, const struct taken *t,
		     const struct store_lane *lane)
{
	struct frontier_move at[CORE_SINKS_MAX] = { 0 };
	uint32_t in_lineage = worker_know(s, lane->shard, lane->parent);

	if (s->core_lanes[in_lineage] != CORE_NONE)
		return false;
	if (s->removing || s->held) {
		let_go(w, lane->id, CORE_NONE);
		return false;
	}
	if (worker_must_wait(w, s, lane)) {
		/* Everything that this session holds was looked at, and its parent is not there. */
		if (t->all)
			let_go(w, lane->id, CORE_NONE);
		else
			worker_ask_held(w, s);
		return false;
	}
	taken_positions(t, lane->id, s->attached.sink_ids, s->lanes.sink_count, at);
	worker_add_lane(w, s, lane, in_lineage, at);
	return true;
}

/* The one under way may have been answered before what this one is for: another comes after it. */
void worker_ask_held(struct worker *w, struct worker_stream *s)
{
	if (!s->asked_held)
		steward_ask_held(w->steward, s->lanes.index);
	else
		s->asks_held_again = true;
	s->asked_held = true;
}

static void told_held(struct worker *w, struct worker_stream *s)
{
	bool again = s->asks_held_again;

	s->asked_held = s->asks_held_again = false;
	if (again)
		worker_ask_held(w, s);
}

/* The store gives lanes in the order in which they were added: parents first, but where a listing
 * showed a child before its parent. Such a child waits for a later pass. */
void worker_take(struct worker *w, struct taken *t)
{
	struct worker_stream *s = w->streams[t->stream];
	struct core_event tick = { .type = CORE_TICK, .now_ms = loop_now_ms(w->loop) };
	AUTO(taken_shards) struct taken_shards *waiting = taken_shards_new(t);
	int64_t added = 0;
	size_t left = t->count, before;

	do {
		before = left;
		for (size_t i = 0; i < t->count; i++) {
			if (!taken_shards_has(waiting, t->lanes[i].shard) ||
			    taken_shards_has(waiting, t->lanes[i].parent))
				continue;
			added += take_one(w, s, t, &t->lanes[i]);
			taken_shards_remove(waiting, t->lanes[i].shard);
			left--;
		}
	} while (left > 0 && left < before);
	if (t->all)
		told_held(w, s);
	if (added > 0)
		log_info("shards taken over", log_text("stream", s->config->name),
			 log_int("shards", added));
	worker_let_go_send(w);
	worker_feed(w, &tick);
}

/* --- a round --- */

struct held {
	uint32_t count;
	uint64_t sum;
};

/* As the store counts: what is not done in every sink. */
static bool is_held(const struct worker *w, uint32_t index)
{
	const struct core_lane *l = &w->core.lanes[index];

	if (!w->lanes[index])
		return false;
	for (uint32_t slot = 0; slot < w->core.streams[l->stream].sink_count; slot++)
		if (!l->frontiers[slot].done)
			return true;
	return false;
}

/* By stream: data files, which no round tells of, are left out. The lanes are walked over once,
 * however many streams there are. */
static struct held *held_by_stream(const struct worker *w)
{
	struct held *all = memory_array(w->stream_count + 1, sizeof(*all));

	for (uint32_t i = 0; i < w->core.lane_count; i++) {
		const struct core_lane *l = &w->core.lanes[i];

		if (!is_held(w, i) || w->lanes[i]->file)
			continue;
		all[l->stream].count++;
		all[l->stream].sum += (uint64_t)l->store_id;
	}
	return all;
}

/* The reply to a claim may be lost: the lanes are ours, and nobody reads them (hazards, A4). */
static void reconcile(struct worker *w, struct worker_stream *s, const struct store_round_stream *r,
		      const struct held *mine)
{
	struct error err = { 0 };

	if (mine->count == r->held && mine->sum == r->held_sum) {
		s->differs = 0;
		return;
	}
	if (++s->differs % DIFFERS_ASK == 0)
		worker_ask_held(w, s);
	if (s->differs < DIFFERS_END)
		return;
	error_set(&err, ERROR_FENCED,
		  "stream %s: the store says that this session holds %u shards, it has %u",
		  s->config->name, r->held, mine->count);
	worker_end_with(w, WORKER_AGAIN, &err);
}

static void see_lister(struct worker *w, struct worker_stream *s, bool lister)
{
	if (s->lister == lister)
		return;
	s->lister = lister;
	if (!lister)
		worker_forget_severed(s);
	discover_set_lister(w->discover, s->lanes.index, lister);
	s->known_id = 0; /* it may have forgotten what the store still has */
	if (lister)
		log_info("this worker lists the shards of a stream from now on",
			 log_text("stream", s->config->name));
}

/* Everything that there is to take was taken. The first time also: nobody is dead whom nobody has
 * buried yet. */
static void nothing_left(struct worker *w, struct worker_stream *s,
			 const struct store_round_stream *r, unsigned silent)
{
	struct core_event tick = { .type = CORE_TICK, .now_ms = loop_now_ms(w->loop) };

	if (s->unclaimed > 0 && --s->unclaimed == 0) {
		worker_expect(w);
		worker_feed(w, &tick);
	}
	if (s->unclaimed > 0 || s->settled_first || silent > 0 || !r->rooted ||
	    (r->lister && !s->listed))
		return;
	s->settled_first = true;
	worker_settle(w, s, CORE_NONE);
}

/* The workers share the stream's budget as they share its shards. */
static void see_part(struct worker *w, const struct worker_stream *s,
		     const struct balance_part *part)
{
	core_set_budget(&w->core, s->lanes.index,
			pacing_share_milli(s->config->poll_budget, part->own, part->all));
}

void worker_viewed(struct worker *w, struct steward_view *v)
{
	struct held *held = held_by_stream(w);

	w->others = v->others;
	for (uint32_t i = 0; i < v->stream_count; i++) {
		const struct store_round_stream *r = &v->streams[i];
		struct worker_stream *s = r->stream ? w->streams[i] : NULL;

		if (!s || s->removing)
			continue;
		s->unheld_ms = v->unheld_ms[i];
		if (worker_hold_see(w, s, r)) {
			if (!s->removing && !v->claimed)
				reconcile(w, s, r, &held[i]);
			continue;
		}
		s->stored.rooted = s->stored.rooted || r->rooted;
		if (!worker_served_see(w, s, r))
			continue;
		see_lister(w, s, r->lister);
		if (v->parts)
			see_part(w, s, &v->parts[i]);
		/* A round that claimed tells of lanes that are on their way. */
		if (!v->claimed)
			reconcile(w, s, r, &held[i]);
		if (!v->claimed && s->differs == 0 && r->served && r->claimable == 0)
			nothing_left(w, s, r, v->silent);
	}
	free(held);
	for (size_t i = 0; i < v->gap_count; i++)
		worker_gap_accepted(w, &v->gaps[i]);
	worker_add_accepted(w);
	release_wanted(w, v);
	steward_view_free(v);
}

/* --- the steward's callbacks, on its thread --- */

static void on_viewed(void *arg, struct steward_view *view)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_VIEWED, .view = view });
}

static void on_taken(void *arg, struct taken *t)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_TAKEN, .taken = t });
}

static void on_released(void *arg, struct steward_release *r)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_RELEASED, .release = r });
}

static void on_removed(void *arg, uint32_t stream)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_REMOVED, .stream = stream });
}

/* --- beginning and end --- */

bool worker_share(struct worker *w)
{
	struct steward_settings settings = {
		.session = w->session_settings,
		.id = w->session,
		.held_max = (uint32_t)w->settings.config->worker.max_shards,
		.viewed = on_viewed,
		.taken = on_taken,
		.released = on_released,
		.removed = on_removed,
		.lost = worker_on_lost,
		.arg = w
	};

	if (store_exclusive(w->settings.store))
		return true; /* nobody to share with */
	w->second_store = store_open(w->settings.config->checkpoint.store,
				     w->settings.config->checkpoint.lease_ms / 2 - 1, &w->error);
	if (!w->second_store)
		return false;
	settings.session.store = w->second_store;
	rng_random(&settings.seed, sizeof(settings.seed));
	w->steward = steward_start(&settings);
	return true;
}

void worker_share_end(struct worker *w)
{
	if (w->steward)
		steward_stop(w->steward);
	w->steward = NULL;
	store_free(w->second_store);
	w->second_store = NULL;
	if (w->letting_go)
		steward_release_free(w->letting_go);
}
