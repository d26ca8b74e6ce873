/* Shards that were found become rows of the store, then lanes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

/* AWS lists a closed shard for 24 hours; twice that is safe (aws-semantics, 1.5). */
#define REMEMBER_DONE_MS (48LL * 60 * 60 * 1000)

/* What a job needs to find its way back. */
struct addition {
	struct worker_stream *stream;
	uint32_t *in_lineage; /* by index of the job's lanes */
};

uint32_t worker_know(struct worker_stream *s, const char *shard, const char *parent)
{
	uint32_t at = *parent ? lineage_find(&s->lineage, parent) : LINEAGE_NONE;
	uint32_t index = lineage_find(&s->lineage, shard);

	if (index != LINEAGE_NONE)
		return index;
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

void worker_add_lane(struct worker *w, struct worker_stream *s, const struct store_lane *stored,
		     uint32_t in_lineage, const struct frontier_move *at, bool stopped)
{
	struct lane *l = lane_new(&s->lanes, stored->shard);
	/* The store may know a parent that came after its child. */
	uint32_t parent = *stored->parent ? lineage_find(&s->lineage, stored->parent)
					  : s->lineage.shards[in_lineage].parent;
	uint32_t above = parent == LINEAGE_NONE ? CORE_NONE : s->core_lanes[parent];
	struct core_lane_start start = { .stream = s->lanes.index,
					 .parent = above == LANE_OVER ? CORE_NONE : above,
					 .store_id = stored->id,
					 .stopped = stopped };

	l->store_id = stored->id;
	l->root = stored->root;
	l->starting = stored->starting;
	l->read_at_ms = stored->read_at_ms;
	l->reader = w->next_reader++ % w->reader_count;
	lane_set_positions(l, at);
	memcpy(start.at, at, s->lanes.sink_count * sizeof(*at));
	l->index = core_add_lane(&w->core, &start, loop_now_ms(w->loop));
	if (l->index >= w->lane_capacity) {
		w->lane_capacity = w->lane_capacity ? 2 * w->lane_capacity : 64;
		w->lanes = memory_resize(w->lanes, w->lane_capacity * sizeof(*w->lanes));
	}
	w->lanes[l->index] = l;
	s->core_lanes[in_lineage] = l->index;
}

/* What stands still behind a gap is not in the store, so that every session finds the gap again
 * until somebody chooses `gap: oldest`: neither the shard whose parent was never seen nor what
 * descends from it. */
static bool behind_gap(const struct worker *w, const struct worker_stream *s,
		       const struct lineage_found *f)
{
	uint32_t parent = lineage_find(&s->lineage, f->shard->parent);

	if (f->kind == LINEAGE_ORPHAN)
		return s->lanes.gap != GAP_OLDEST;
	return parent != LINEAGE_NONE && s->core_lanes[parent] < LANE_OVER &&
	       w->core.lanes[s->core_lanes[parent]].store_id == LANE_NOT_STORED;
}

static void stand_behind_gap(struct worker *w, struct worker_stream *s,
			     const struct lineage_found *f)
{
	struct store_lane lane = { .id = LANE_NOT_STORED };
	struct frontier_move at[CORE_SINKS_MAX] = { 0 };

	snprintf(lane.shard, sizeof(lane.shard), "%s", f->shard->id);
	worker_add_lane(w, s, &lane, worker_know(s, f->shard->id, f->shard->parent), at,
			f->kind == LINEAGE_ORPHAN);
}

static void gap_before(struct worker_stream *s, const struct streams_shard *shard)
{
	metric_add(s->lanes.gaps, 1);
	log_error(s->lanes.gap == GAP_OLDEST
			  ? "gap: a shard's parent was never seen; it is read from its beginning"
			  : "gap: a shard's parent was never seen; it stands still (gap: stop)",
		  log_text("stream", s->lanes.source.stream), log_text("shard", shard->id),
		  log_text("parent", shard->parent));
}

static void fill(struct store_lane *lane, const struct lineage_found *f)
{
	snprintf(lane->shard, sizeof(lane->shard), "%s", f->shard->id);
	snprintf(lane->parent, sizeof(lane->parent), "%s", f->shard->parent);
	lane->starting = f->shard->starting;
	lane->root = f->kind == LINEAGE_ROOT || f->kind == LINEAGE_UNREAD;
	lane->done_unread = f->kind == LINEAGE_UNREAD;
}

static void add_found(struct worker *w, struct worker_stream *s, const struct lineage_found *found,
		      size_t count, bool own)
{
	struct addition *a = memory_new(sizeof(*a));
	struct saver_lanes *job = memory_new(sizeof(*job));

	a->stream = s;
	a->in_lineage = memory_array(count + 1, sizeof(*a->in_lineage));
	job->lanes = memory_array(count + 1, sizeof(*job->lanes));
	for (size_t i = 0; i < count; i++) {
		if (found[i].kind == LINEAGE_ORPHAN)
			gap_before(s, found[i].shard);
		if (behind_gap(w, s, &found[i])) {
			stand_behind_gap(w, s, &found[i]);
			continue;
		}
		a->in_lineage[job->count] =
			worker_know(s, found[i].shard->id, found[i].shard->parent);
		fill(&job->lanes[job->count++], &found[i]);
	}
	job->stream = s->stored.id;
	job->own = own || store_exclusive(w->settings.store);
	job->sinks = s->sink_ids;
	job->sink_count = s->lanes.sink_count;
	job->arg = a;
	s->adding++;
	saver_lanes(w->saver, job);
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

void worker_settle(struct worker *w, struct worker_stream *s, uint32_t lane)
{
	if (s->settled_count == s->settled_capacity) {
		s->settled_capacity = s->settled_capacity ? 2 * s->settled_capacity : 8;
		s->settled = memory_resize(s->settled, s->settled_capacity * sizeof(*s->settled));
	}
	s->settled[s->settled_count++] = lane;
	worker_report_settled(w, s);
}

static void look_through(struct worker *w, struct worker_stream *s, const char *parent,
			 const struct streams_shard *shards, size_t count)
{
	struct lineage_found *found = memory_array(count + 1, sizeof(*found));
	bool first = !s->stored.rooted && !parent;
	size_t n = lineage_diff(&s->lineage, shards, count, first, s->stored.start_ms,
				clock_aws_ms(w->settings.clock), found);

	if (n > 0) {
		if (!parent)
			s->stored.rooted = true;
		add_found(w, s, found, n, parent != NULL);
	}
	free(found);
	if (!parent && !s->listed) {
		s->listed = true;
		/* Where lanes are shared, what was found is taken first. */
		if (!w->steward)
			worker_settle(w, s, CORE_NONE);
	}
}

/* What others added meanwhile is no news, and no orphan's parent either: the store is asked before
 * a listing is looked through. One that comes while it is asked takes the place of the one before.
 */
static void keep_listing(struct worker *w, struct worker_stream *s,
			 const struct streams_shard *shards, size_t count)
{
	bool asked = s->listing != NULL;
	struct saver_shards *job;

	free(s->listing);
	s->listing = memory_array(count + 1, sizeof(*s->listing));
	memcpy(s->listing, shards, count * sizeof(*shards));
	s->listing_count = count;
	if (asked)
		return;
	job = memory_new(sizeof(*job));
	job->stream = s->stored.id;
	job->after = s->known_id;
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
	if (job->ok) {
		struct streams_shard *listing = MOVE(s->listing);

		look_through(w, s, NULL, listing, s->listing_count);
		free(listing);
	} else if (job->error.kind != ERROR_CANCELLED && job->error.kind != ERROR_FENCED) {
		worker_end_with(w, WORKER_FAILED, &job->error);
	}
	saver_shards_free(job);
}

void worker_found(void *arg, uint32_t stream, const struct discover_listing *l)
{
	struct worker *w = arg;
	struct worker_stream *s = w->streams[stream];

	if (l->complete && w->steward)
		keep_listing(w, s, l->shards, l->count);
	else
		look_through(w, s, l->parent, l->shards, l->count);
}

void worker_discovered(void *arg, uint32_t stream, const char *parent)
{
	struct worker *w = arg;
	struct worker_stream *s = w->streams[stream];

	worker_settle(w, s, s->core_lanes[lineage_find(&s->lineage, parent)]);
}

static void take_lanes(struct worker *w, struct worker_stream *s, const struct saver_lanes *job,
		       const struct addition *a)
{
	struct core_event tick = { .type = CORE_TICK, .now_ms = loop_now_ms(w->loop) };
	bool free_ones = false;

	for (size_t i = 0; i < job->count; i++) {
		struct frontier_move at[CORE_SINKS_MAX] = { 0 };

		if (strcmp(job->lanes[i].owner, w->session) != 0) {
			free_ones = free_ones || (!*job->lanes[i].owner && !job->lanes[i].done);
			continue;
		}
		if (s->core_lanes[a->in_lineage[i]] != CORE_NONE)
			continue; /* it was taken over meanwhile */
		if (worker_must_wait(w, s, &job->lanes[i])) {
			worker_ask_held(w, s);
			continue;
		}
		worker_add_lane(w, s, &job->lanes[i], a->in_lineage[i], at, false);
		log_info("shard found", log_text("stream", s->lanes.source.stream),
			 log_text("shard", job->lanes[i].shard),
			 log_text("parent", job->lanes[i].parent));
	}
	if (free_ones && w->steward) {
		/* The round under way may not have seen them, the one after it has. */
		s->adding += s->unclaimed == 0;
		s->unclaimed = 2;
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
