/* Shards that were found become rows of the store, then lanes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

/* AWS lists a closed shard for 24 hours; twice that is safe (aws-semantics, 1.5). */
#define REMEMBER_DONE_MS (48LL * 60 * 60 * 1000)
#define SWEEP_EVERY_MS   (60 * 60 * 1000)
/* Lanes of one call to the store, but for the roots. */
#define ADD_MAX 2000
/* Calls of a stream under way. While there are so many, as where the store is away for long, what
 * else its listing shows in passing is left to the next complete one. */
#define ADDING_MAX 4
/* A split makes its children at once: so long after that no listing is without one of them. */
#define CHILDREN_ALL_MS (5 * 60 * 1000)
/* A child may be listed before its parent. A shard without one is believed to be so when so many
 * complete listings in a row have shown it, over so long. */
#define ORPHAN_LISTINGS 3
#define ORPHAN_MS       5000

/* What a job needs to find its way back. */
struct addition {
	struct worker_stream *stream;
	uint32_t *in_lineage; /* by index of the job's lanes */
	uint64_t let_go;      /* the worker's when it was asked for */
};

uint32_t worker_know(struct worker_stream *s, const char *shard, const char *parent)
{
	uint32_t at = *parent ? lineage_find(&s->lineage, parent) : LINEAGE_NONE;
	uint32_t index = lineage_find(&s->lineage, shard);

	if (index != LINEAGE_NONE) {
		lineage_link(&s->lineage, index, at);
		return index;
	}
	index = lineage_add(&s->lineage, shard, at);
	if (index >= s->core_lane_capacity) {
		s->core_lane_capacity = s->core_lane_capacity ? 2 * s->core_lane_capacity : 64;
		s->core_lanes = memory_resize(s->core_lanes,
					      s->core_lane_capacity * sizeof(*s->core_lanes));
	}
	s->core_lanes[index] = CORE_NONE;
	return index;
}

bool worker_must_wait(const struct worker *w, const struct worker_stream *s,
		      const struct store_lane *lane)
{
	bool waits = lane->waits && w->steward; /* alone, this session has every parent */
	uint32_t parent = waits ? lineage_find(&s->lineage, lane->parent) : LINEAGE_NONE;

	return waits && (parent == LINEAGE_NONE || s->core_lanes[parent] == CORE_NONE);
}

void worker_put_lane(struct worker *w, struct lane *l, const struct core_lane_start *start)
{
	l->store_id = start->store_id;
	l->reader = w->next_reader++ % w->reader_count;
	l->index = core_add_lane(&w->core, start, loop_now_ms(w->loop));
	if (l->index >= w->lane_capacity) {
		w->lane_capacity = w->lane_capacity ? 2 * w->lane_capacity : 64;
		w->lanes = memory_resize(w->lanes, w->lane_capacity * sizeof(*w->lanes));
	}
	w->lanes[l->index] = l;
}

/* After a baseline, a repair or a rewind, or where the stream begins with its latest. A start that
 * the configuration names may be older than what the stream ever had. */
static bool keeps_start(const struct worker_stream *s)
{
	enum config_start kind;
	int64_t at_ms;
	struct error err;

	return s->stored.start_ms > 0 &&
	       (s->stored.generation > 1 ||
		(config_start_parse(s->config->start, 0, &kind, &at_ms, &err) &&
		 kind == START_LATEST));
}

/* The oldest start of those sinks that have nothing of a lane yet. */
static int64_t wanted_from_ms(const struct worker_stream *s, const struct frontier_move *at)
{
	int64_t from_ms = INT64_MAX;

	for (uint32_t slot = 0; slot < s->lanes.sink_count; slot++)
		if (!at[slot].done && sequence_is_none(&at[slot].to) &&
		    s->lanes.sinks[slot].start_ms < from_ms)
			from_ms = s->lanes.sinks[slot].start_ms;
	return from_ms < INT64_MAX ? from_ms : s->stored.start_ms;
}

void worker_add_lane(struct worker *w, struct worker_stream *s, const struct store_lane *stored,
		     uint32_t in_lineage, const struct frontier_move *at)
{
	struct lane *l = lane_new(&s->lanes, stored->shard);
	/* The store may know a parent that came after its child. */
	uint32_t parent = *stored->parent ? lineage_find(&s->lineage, stored->parent)
					  : s->lineage.shards[in_lineage].parent;
	uint32_t above = parent == LINEAGE_NONE ? CORE_NONE : s->core_lanes[parent];
	struct core_lane_start start = { .stream = s->lanes.index,
					 .parent = above == LANE_OVER ? CORE_NONE : above,
					 .store_id = stored->id,
					 .since_ms = loss_place_ms(stored->shard, 0,
								   wanted_from_ms(s, at),
								   stored->read_at_ms) };

	if (start.since_ms == 0)
		start.since_ms = clock_aws_ms(w->settings.clock);
	l->root = stored->root;
	l->starting = stored->starting;
	l->read_at_ms = l->read_before_ms = stored->read_at_ms;
	/* What was set back as a whole is not read since then. */
	if (stored->root && l->read_at_ms == 0)
		l->read_at_ms = l->read_before_ms = s->stored.reset_ms;
	if (stored->root && !stored->was_read && keeps_start(s))
		l->begin_ms = loss_place_ms(stored->shard, 0, s->stored.start_ms, 0);
	lane_set_positions(l, at);
	lane_begin_added(l, at, clock_aws_ms(w->settings.clock));
	if (l->may_be_gone) /* it is too old to be one that is not ready yet */
		l->read_before_ms = loss_place_ms(l->shard, 0, 0, l->read_before_ms);
	memcpy(start.at, at, s->lanes.sink_count * sizeof(*at));
	worker_put_lane(w, l, &start);
	s->core_lanes[in_lineage] = l->index;
}

static void fill(struct store_lane *lane, const struct lineage_found *f)
{
	snprintf(lane->shard, sizeof(lane->shard), "%s", f->shard->id);
	snprintf(lane->parent, sizeof(lane->parent), "%s", f->parent);
	lane->starting = f->shard->starting;
	lane->root = f->kind == LINEAGE_ROOT || f->kind == LINEAGE_UNREAD;
	lane->done_unread = f->kind == LINEAGE_UNREAD;
}

void worker_add_found(struct worker *w, struct worker_stream *s, const struct lineage_found *found,
		      size_t count, bool own)
{
	struct addition *a;
	struct saver_lanes *job;

	if (count == 0)
		return;
	a = memory_new(sizeof(*a));
	job = memory_new(sizeof(*job));
	a->stream = s;
	a->let_go = w->let_go;
	a->in_lineage = memory_array(count, sizeof(*a->in_lineage));
	job->lanes = memory_array(count, sizeof(*job->lanes));
	worker_not_severed(w, s, found, count);
	for (size_t i = 0; i < count; i++) {
		a->in_lineage[job->count] = worker_know(s, found[i].shard->id, found[i].parent);
		fill(&job->lanes[job->count++], &found[i]);
	}
	job->stream = s->stored.id;
	job->epoch = s->stored.epoch;
	job->own = own || store_exclusive(w->settings.store);
	job->sinks = s->attached.sink_ids;
	job->sink_count = s->lanes.sink_count;
	job->arg = a;
	s->adding++;
	saver_lanes(w->saver, job);
}

/* Beats wait behind a call to the store. */
static void add_in_parts(struct worker *w, struct worker_stream *s,
			 const struct lineage_found *found, size_t count, bool own)
{
	for (size_t from = 0, part; from < count; from += part) {
		part = count - from > ADD_MAX ? ADD_MAX : count - from;
		worker_add_found(w, s, found + from, part, own);
	}
}

void worker_report_settled(struct worker *w, struct worker_stream *s)
{
	struct core_event e = { .type = CORE_CHILDREN,
				.now_ms = loop_now_ms(w->loop),
				.stream = s->lanes.index };

	while (s->adding == 0 && s->settled_count > 0) {
		e.lane = s->settled[--s->settled_count];
		worker_feed(w, &e);
	}
}

static void settle_later(struct worker_stream *s, uint32_t lane)
{
	if (s->settled_count == s->settled_capacity) {
		s->settled_capacity = s->settled_capacity ? 2 * s->settled_capacity : 8;
		s->settled = memory_resize(s->settled, s->settled_capacity * sizeof(*s->settled));
	}
	s->settled[s->settled_count++] = lane;
}

void worker_settle(struct worker *w, struct worker_stream *s, uint32_t lane)
{
	settle_later(s, lane);
	worker_report_settled(w, s);
}

/* A side run may be of one shard alone. */
static size_t only_wanted(const struct worker *w, const struct worker_stream *s,
			  struct lineage_found *found, size_t count)
{
	const struct worker_side *side = w->settings.side;

	if (side && side->shard)
		lineage_only_below(&s->lineage, side->shard, found, count);
	return count;
}

/* --- news: children, and tails of the listing --- */

/* Of a lane that this session has read to its end, whatever the store has of it by now. `news` are
 * those before it, and `own` says of each whether it is so. */
static bool is_own(const struct worker *w, const struct worker_stream *s,
		   const struct lineage_found *f, const struct lineage *news, const bool *own)
{
	uint32_t parent = lineage_find(&s->lineage, f->parent), before;
	uint32_t lane = parent == LINEAGE_NONE ? CORE_NONE : s->core_lanes[parent];

	if (lane < LANE_OVER)
		return w->core.lanes[lane].closed;
	before = parent == LINEAGE_NONE ? lineage_find(news, f->parent) : LINEAGE_NONE;
	return before != LINEAGE_NONE && own[before];
}

/* What descends from lanes of other workers is left to the lister, whose store knows them. */
static void look_at_news(struct worker *w, struct worker_stream *s,
			 const struct streams_shard *shards, size_t count)
{
	struct lineage_found *found = memory_array(count + 1, sizeof(*found));
	struct lineage_found *others = memory_array(count + 1, sizeof(*others));
	bool *own = memory_array(count + 1, sizeof(*own));
	struct lineage news;
	size_t own_count = 0, other_count = 0, n;

	n = lineage_diff(&s->lineage, shards, count, false, s->stored.start_ms,
			 clock_aws_ms(w->settings.clock), found);
	n = only_wanted(w, s, found, lineage_without_orphans(found, n));
	lineage_init(&news);
	for (size_t i = 0; i < n; i++) {
		own[i] = is_own(w, s, &found[i], &news, own);
		lineage_add(&news, found[i].shard->id, LINEAGE_NONE);
	}
	lineage_release(&news);
	for (size_t i = 0; i < n; i++)
		if (own[i])
			found[own_count++] = found[i];
		else
			others[other_count++] = found[i];
	add_in_parts(w, s, found, own_count, true);
	if ((s->lister || !w->steward) && s->adding < ADDING_MAX)
		add_in_parts(w, s, others, other_count, false);
	free(found);
	free(others);
	free(own);
}

/* --- complete listings --- */

/* Whether orphans of this listing are to be believed; else the next listing comes soon. */
static bool orphans_stand(struct worker *w, struct worker_stream *s, size_t orphans)
{
	int64_t now_ms = loop_now_ms(w->loop);

	if (s->orphans++ == 0) {
		s->orphans_since_ms = now_ms;
		log_warn("shards are listed without their parent, the listing is read again",
			 log_text("stream", s->lanes.source.stream),
			 log_int("shards", (int64_t)orphans));
	}
	if (s->orphans >= ORPHAN_LISTINGS && now_ms >= s->orphans_since_ms + ORPHAN_MS) {
		s->orphans = 0;
		return true;
	}
	discover_list_in(w->discover, s->lanes.index, ORPHAN_MS / (ORPHAN_LISTINGS - 1));
	return false;
}

/* Roots are one call, as there are none later; what a crash may leave out behind them is found
 * again. */
void worker_add_listed(struct worker *w, struct worker_stream *s, const struct lineage_found *found,
		       size_t count)
{
	struct lineage_found *ordered = memory_array(count + 1, sizeof(*ordered));
	size_t roots = lineage_order(found, count, ordered);

	worker_add_found(w, s, ordered, roots, false);
	add_in_parts(w, s, ordered + roots, count - roots, false);
	s->stored.rooted = s->stored.rooted || count > 0;
	free(ordered);
}

/* What is held back is for the session that lists the stream to look after: to others it only shows
 * that the stream is not over. */
static void look_through(struct worker *w, struct worker_stream *s,
			 const struct streams_shard *shards, size_t count)
{
	struct lineage_found *found = memory_array(count + 1, sizeof(*found));
	size_t n = lineage_diff(&s->lineage, shards, count, !s->stored.rooted, s->stored.start_ms,
				clock_aws_ms(w->settings.clock), found);
	size_t orphans = severed_new_orphans(&s->severed, found, n);
	bool tells = s->lister || !w->steward;
	bool sound = orphans == 0 || (tells && orphans_stand(w, s, orphans));

	if (orphans == 0)
		s->orphans = 0;
	n = only_wanted(w, s, found, worker_hold_back(w, s, found, n, sound));
	worker_add_listed(w, s, found, n);
	free(found);
	if (s->severed.count > 0)
		worker_follow_later(w, s);
	if (!tells)
		worker_forget_severed(s);
	s->listings += sound;
	s->listed = s->listed || sound;
	/* Where lanes are shared, what was found is taken first. */
	if (s->listed && !s->settled_first && !w->steward) {
		s->settled_first = true;
		worker_settle(w, s, CORE_NONE);
	}
}

static bool is_needed(void *arg, uint32_t index)
{
	const struct worker_stream *s = arg;

	return s->core_lanes[index] < LANE_OVER;
}

/* Only what this session has read to its end, as no listing tells how the others are. */
static bool is_not_over(void *arg, uint32_t index)
{
	const struct worker_stream *s = arg;

	return s->core_lanes[index] != LANE_OVER;
}

void worker_forget_shards(struct worker *w, struct worker_stream *s)
{
	int64_t now_ms = loop_now_ms(w->loop);

	if (s->lister || !w->steward || s->adding > 0 || now_ms < s->swept_ms + SWEEP_EVERY_MS)
		return;
	s->swept_ms = now_ms;
	lineage_listed(&s->lineage, NULL, 0, now_ms);
	lineage_forget(&s->lineage, now_ms - REMEMBER_DONE_MS, is_not_over, s);
}

/* Of a stream that has lanes, what is known already says nothing more. */
static void take_listing(struct worker_stream *s, const struct streams_shard *shards, size_t count)
{
	free(s->listing);
	s->listing = memory_array(count + 1, sizeof(*s->listing));
	s->listing_count = 0;
	for (size_t i = 0; i < count; i++)
		if (!s->stored.rooted || lineage_find(&s->lineage, shards[i].id) == LINEAGE_NONE)
			s->listing[s->listing_count++] = shards[i];
	s->listing = memory_resize(s->listing, (s->listing_count + 1) * sizeof(*s->listing));
}

/* What others added meanwhile is no news, and no orphan's parent either: the store is asked before
 * a listing is looked through. One that comes while it is asked takes the place of the one before.
 */
static void keep_listing(struct worker *w, struct worker_stream *s,
			 const struct streams_shard *shards, size_t count)
{
	int64_t now_ms = loop_now_ms(w->loop);
	struct saver_shards *job;

	lineage_listed(&s->lineage, shards, count, now_ms);
	if (s->adding == 0)
		lineage_forget(&s->lineage, now_ms - REMEMBER_DONE_MS, is_needed, s);
	take_listing(s, shards, count);
	if (s->asked_known)
		return;
	s->asked_known = true;
	job = memory_new(sizeof(*job));
	job->stream = s->stored.id;
	/* Who does not list may have forgotten what the store still has. */
	job->after = s->lister || !w->steward ? s->known_id : 0;
	job->tidy_before_ms = clock_aws_ms(w->settings.clock) - REMEMBER_DONE_MS;
	job->arg = s;
	s->adding++;
	saver_shards(w->saver, job);
}

void worker_know_shard(void *arg, int64_t lane, const char *shard, const char *parent, bool done)
{
	struct worker_stream *s = arg;

	(void)done;
	worker_know(s, shard, parent);
	if (lane > s->known_id)
		s->known_id = lane;
}

void worker_shards_known(struct worker *w, struct saver_shards *job)
{
	struct worker_stream *s = job->arg;

	for (size_t i = 0; i < job->count; i++)
		worker_know_shard(s, job->found[i].lane, job->found[i].shard, job->found[i].parent,
				  false);
	s->stored.rooted = s->stored.rooted || s->known_id > 0;
	s->adding--;
	s->asked_known = false;
	if (job->ok) {
		struct streams_shard *listing = MOVE(s->listing);

		/* Of one that is held, or was reset, it is looked at anew: no gap is told of it. */
		if (!s->held)
			look_through(w, s, listing, s->listing_count);
		free(listing);
	} else if (job->error.kind != ERROR_CANCELLED && job->error.kind != ERROR_FENCED) {
		worker_end_with(w, WORKER_FAILED, &job->error);
	}
	saver_shards_free(job);
	worker_report_settled(w, s);
}

void worker_found(void *arg, uint32_t stream, const struct discover_listing *l)
{
	struct worker *w = arg;
	struct worker_stream *s = w->streams[stream];

	if (l->complete && !l->unknown)
		worker_look_for_missing(w, s, l);
	if (l->complete)
		keep_listing(w, s, l->shards, l->count);
	else if (s->stored.rooted && !s->held)
		look_at_news(w, s, l->shards, l->count);
}

void worker_discovered(void *arg, uint32_t stream, const char *parent)
{
	struct worker *w = arg;
	struct worker_stream *s = w->streams[stream];

	worker_settle(w, s, s->core_lanes[lineage_find(&s->lineage, parent)]);
}

void worker_discover(struct worker *w, uint32_t lane)
{
	const struct lane *l = w->lanes[lane];
	struct worker_stream *s = w->streams[l->stream->index];
	int64_t child_ms = s->lineage.shards[lineage_find(&s->lineage, l->shard)].child_ms;

	/* Of a stream that is gone there is nobody to ask, and nothing to find. */
	if (!s->gone &&
	    (child_ms == 0 || child_ms > clock_aws_ms(w->settings.clock) - CHILDREN_ALL_MS)) {
		discover_children(w->discover, s->lanes.index, l->shard);
		return;
	}
	/* Not in the middle of a step. */
	settle_later(s, lane);
	w->settle_later = true;
}

void worker_settle_later(struct worker *w)
{
	if (!w->settle_later)
		return;
	w->settle_later = false;
	for (uint32_t i = 0; i < w->stream_count; i++)
		if (w->streams[i])
			worker_report_settled(w, w->streams[i]);
}

/* What is to be known of it is known. One that was begun has positions, which the store does not
 * tell here; one that waits has its parent on the way here, or elsewhere; and one that was let go
 * of meanwhile may not be ours any more. The steward, who takes and lets go, asks what is so. */
static bool is_fresh(const struct worker *w, const struct worker_stream *s,
		     const struct store_lane *lane, const struct addition *a)
{
	return !w->steward ||
	       (a->let_go == w->let_go && !lane->begun && !worker_must_wait(w, s, lane));
}

static void take_lanes(struct worker *w, struct worker_stream *s, const struct saver_lanes *job,
		       const struct addition *a)
{
	struct core_event tick = { .type = CORE_TICK, .now_ms = loop_now_ms(w->loop) };
	bool free_ones = false;

	for (size_t i = 0; i < job->count; i++) {
		struct frontier_move at[CORE_SINKS_MAX] = { 0 };

		if (job->lanes[i].id == 0)
			continue; /* it is held, or was: the next round shows it */
		if (strcmp(job->lanes[i].owner, w->session) != 0) {
			free_ones = free_ones || (!*job->lanes[i].owner && !job->lanes[i].done);
			continue;
		}
		if (s->core_lanes[a->in_lineage[i]] != CORE_NONE)
			continue; /* it was taken over meanwhile */
		if (s->held) {
			worker_let_go_unread(w, job->lanes[i].id);
			continue;
		}
		if (!is_fresh(w, s, &job->lanes[i], a)) {
			worker_ask_held(w, s);
			continue;
		}
		worker_add_lane(w, s, &job->lanes[i], a->in_lineage[i], at);
		log_info("shard found", log_text("stream", s->lanes.source.stream),
			 log_text("shard", job->lanes[i].shard),
			 log_text("parent", job->lanes[i].parent));
	}
	if (free_ones && w->steward) {
		/* The round under way may not have seen them, the one after it has. */
		s->unclaimed = 2;
		worker_expect(w);
		steward_poke(w->steward);
	}
	worker_feed(w, &tick);
}

void worker_lanes_free(struct saver_lanes *job)
{
	struct addition *a = job->arg;

	free(a->in_lineage);
	free(a);
	free(job->lanes);
	free(job);
}

void worker_lanes_added(struct worker *w, struct saver_lanes *job)
{
	struct addition *a = job->arg;
	struct worker_stream *s = a->stream;

	if (job->ok)
		take_lanes(w, s, job, a);
	else if (job->error.kind != ERROR_CANCELLED && job->error.kind != ERROR_FENCED)
		worker_end_with(w, WORKER_FAILED, &job->error);
	worker_lanes_free(job);
	s->adding--;
	worker_report_settled(w, s);
}
