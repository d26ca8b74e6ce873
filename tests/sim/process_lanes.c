/* How lanes come and go: what worker_lanes.c and worker_share.c do. */
#include <string.h>

#include "process.h"

/* Rounds in a row in which database and process differ on what the process holds. */
#define DIFFERS_ASK 3
#define DIFFERS_END 30

/* --- the lineage --- */

static uint32_t know(struct world *w, struct process *p, int shard)
{
	const struct shard *s = &w->shards[shard];
	uint32_t at = lineage_find(&p->lineage, s->id), parent = LINEAGE_NONE;

	if (at != LINEAGE_NONE)
		return at;
	if (s->parent >= 0)
		parent = lineage_find(&p->lineage, w->shards[s->parent].id);
	at = lineage_add(&p->lineage, s->id, parent);
	assert(at < SHARDS_MAX);
	p->lane_of[at] = CORE_NONE;
	return at;
}

/* The parent's lane, CORE_NONE or LANE_OVER. */
static uint32_t parent_lane(const struct world *w, const struct process *p, int shard)
{
	int parent = w->shards[shard].parent;
	uint32_t at = parent < 0 ? LINEAGE_NONE : lineage_find(&p->lineage, w->shards[parent].id);

	return at == LINEAGE_NONE ? CORE_NONE : p->lane_of[at];
}

/* --- into the core --- */

static void start_at(const struct world *w, const struct process *p, struct sim_lane *l,
		     const struct given *g, struct core_lane_start *start)
{
	const struct shard *s = &w->shards[l->shard];

	l->next = s->count;
	for (uint32_t sink = 0; sink < p->sink_count; sink++) {
		const struct position *at = &g->at[p->sinks[sink]];
		int index = world_index_after(s, &at->sequence);

		start->at[sink] = (struct frontier_move){ .to = at->sequence, .done = at->done };
		l->have[sink] = index;
		if (at->done)
			handover_stop(&l->handovers[sink]);
		else if (index < l->next)
			l->next = index;
	}
}

/* As in lane.c. */
static void begin_added(const struct world *w, const struct process *p, struct sim_lane *l,
			const struct given *g)
{
	int64_t now_ms = process_aws_now(w, p), added_ms = 0;
	const struct shard *s = &w->shards[l->shard];
	int kept = world_first_kept(w, s), behind = s->count + 1;
	bool alone = true;

	for (uint32_t sink = 0; sink < p->sink_count; sink++) {
		const struct position *at = &g->at[p->sinks[sink]];
		const struct sink_world *k = &w->sinks[p->sinks[sink]];
		int index = world_index_after(s, &at->sequence);

		if (at->done)
			continue;
		if (k->added_ms == 0 || !sequence_is_none(&at->sequence)) {
			alone = false;
			if (now_ms - l->read_at_ms > LOSS_UNREAD_MAX_MS)
				return;
			if (index > 0 && index <= kept && index < behind)
				behind = index;
		} else if (added_ms == 0 || k->added_ms < added_ms) {
			added_ms = k->added_ms;
		}
	}
	if (added_ms > 0 && behind <= s->count) {
		l->next = behind;
		return;
	}
	if (added_ms == 0 || now_ms - added_ms > LOSS_UNREAD_MAX_MS)
		return;
	if (alone && l->read_at_ms > 0 && l->read_at_ms < added_ms)
		l->read_at_ms = added_ms;
	l->left = l->gap_accepted = loss_may_have_begun(s->id, added_ms);
	l->may_be_gone = l->left && alone;
}

static void add_lane(struct world *w, struct process *p, const struct given *g)
{
	uint32_t in_lineage = know(w, p, g->shard), above = parent_lane(w, p, g->shard), lane;
	struct core_lane_start start = { .parent = above == LANE_OVER ? CORE_NONE : above,
					 .store_id = g->row + 1 };
	struct sim_lane l = { .used = true,
			      .shard = g->shard,
			      .row = g->row,
			      .generation = p->generation,
			      .root = g->root,
			      .read_at_ms = g->read_at_ms };

	start_at(w, p, &l, g, &start);
	begin_added(w, p, &l, g);
	lane = core_add_lane(&p->core, &start, process_now(w, p));
	assert(lane < SHARDS_MAX && !p->lanes[lane].used);
	p->lanes[lane] = l;
	p->lane_of[in_lineage] = lane;
}

/* Its parent is not done, and not in this process: to read it now would break the order. */
static bool must_wait(const struct world *w, const struct process *p, const struct given *g)
{
	return g->waits && parent_lane(w, p, g->shard) == CORE_NONE;
}

/* --- taken --- */

static void take_one(struct world *w, struct process *p, const struct given *g, bool all)
{
	if (p->lane_of[know(w, p, g->shard)] != CORE_NONE)
		return;
	if (p->held)
		steward_let_go(w, p, g->row, CORE_NONE);
	else if (!must_wait(w, p, g))
		add_lane(w, p, g);
	else if (all)
		steward_let_go(w, p, g->row, CORE_NONE);
	else
		steward_ask_held(w, p);
}

static bool among(const struct world *w, const struct reply *r, const bool *waiting, int shard)
{
	for (size_t i = 0; i < r->lane_count; i++)
		if (waiting[i] && r->lanes[i].shard == w->shards[shard].parent)
			return true;
	return false;
}

/* Parents first, also where a listing had shown a child before its parent. */
void process_take(struct world *w, struct process *p, const struct reply *r, bool all)
{
	bool waiting[SHARDS_MAX], more = true;

	for (size_t i = 0; i < r->lane_count; i++)
		waiting[i] = true;
	while (more) {
		more = false;
		for (size_t i = 0; i < r->lane_count; i++) {
			if (!waiting[i] || among(w, r, waiting, r->lanes[i].shard))
				continue;
			take_one(w, p, &r->lanes[i], all);
			waiting[i] = false;
			more = true;
		}
	}
	process_tick(w, p);
}

void process_drop(struct world *w, struct process *p, uint32_t lane, uint32_t then)
{
	struct sim_lane *l = &p->lanes[lane];

	assert(l->used);
	l->used = false;
	for (size_t i = 0; i < p->settled_count; i++)
		if (p->settled[i] == lane)
			p->settled[i] = CORE_NONE; /* it stood still, and was let go of */
	p->lane_of[lineage_find(&p->lineage, w->shards[l->shard].id)] = then;
	core_drop_lane(&p->core, lane);
}

/* --- a round --- */

static bool is_held(const struct process *p, uint32_t lane)
{
	const struct core_lane *l = &p->core.lanes[lane];

	if (!p->lanes[lane].used)
		return false;
	for (uint32_t sink = 0; sink < p->sink_count; sink++)
		if (!l->frontiers[sink].done)
			return true;
	return false;
}

/* The reply to a claim may be lost: the lanes are ours, and nobody reads them (hazards, A4). */
static void reconcile(struct world *w, struct process *p, const struct reply *view)
{
	uint64_t sum = 0;
	uint32_t count = 0;

	for (uint32_t i = 0; i < p->core.lane_count; i++) {
		if (!is_held(p, i))
			continue;
		count++;
		sum += (uint64_t)p->lanes[i].row + 1;
	}
	if (count == view->held && sum == view->held_sum) {
		p->differs = 0;
		return;
	}
	if (++p->differs % DIFFERS_ASK == 0)
		steward_ask_held(w, p);
	if (p->differs >= DIFFERS_END)
		process_lost(w, p);
}

static void release_wanted(struct world *w, struct process *p, const struct reply *view)
{
	for (size_t i = 0; i < view->wanted_count; i++)
		for (uint32_t lane = 0; lane < p->core.lane_count; lane++)
			if (p->lanes[lane].used && p->lanes[lane].row == view->wanted[i])
				process_feed(
					w, p,
					(struct core_event){ .type = CORE_RELEASE, .lane = lane });
}

void process_release_some(struct world *w, struct process *p)
{
	for (uint32_t lane = 0; lane < p->core.lane_count; lane++)
		if (p->lanes[lane].used && one_in(w, 3))
			process_feed(w, p,
				     (struct core_event){ .type = CORE_RELEASE, .lane = lane });
}

static void see_unclaimed(struct world *w, struct process *p)
{
	if (p->unclaimed > 0 && --p->unclaimed == 0) {
		core_expect(&p->core, 0);
		process_tick(w, p);
	}
}

void process_viewed(struct world *w, struct process *p, const struct reply *view)
{
	if (process_hold_see(w, p, view)) {
		if (!p->steward.claimed && !p->opening)
			reconcile(w, p, view);
		return;
	}
	p->rooted = p->rooted || view->rooted;
	if (view->lister && !p->lister)
		process_list_start(w, p, soon(w, 80));
	p->lister = view->lister;
	/* A round that claimed tells of lanes that are on their way. */
	if (!p->steward.claimed)
		reconcile(w, p, view);
	if (!p->steward.claimed && p->differs == 0 && view->served && view->claimable == 0)
		see_unclaimed(w, p);
	release_wanted(w, p, view);
}

/* --- found --- */

void process_settled(struct world *w, struct process *p)
{
	while (p->adding == 0 && p->settled_count > 0)
		process_feed(w, p,
			     (struct core_event){ .type = CORE_CHILDREN,
						  .lane = p->settled[--p->settled_count] });
}

/* Neither an orphan nor what descends from one gets into the database until its gap is accepted. */
static bool behind_gap(const struct world *w, const struct process *p, bool orphan, int shard)
{
	int parent = w->shards[shard].parent;

	return orphan ? !w->gap_oldest : parent >= 0 && p->severed[parent];
}

static void add_found(struct world *w, struct process *p, const struct lineage_found *found,
		      size_t count, bool own)
{
	struct job *j = saver_job(p, JOB_ADD);

	j->own = own;
	j->let_go = p->let_go;
	j->found_count = 0;
	for (size_t i = 0; i < count; i++) {
		int shard = world_shard(w, found[i].shard->id);
		bool orphan = found[i].kind == LINEAGE_ORPHAN;

		if (orphan) {
			count_fault(w, FAULT_ORPHAN);
			world_tell_orphan(w, shard);
		}
		p->severed[shard] = behind_gap(w, p, orphan, shard);
		if (p->severed[shard]) {
			w->shards[shard].gap_stops = w->shards[shard].gap_stops || orphan;
			continue;
		}
		know(w, p, shard);
		j->found[j->found_count].shard = shard;
		j->found[j->found_count].done = found[i].kind == LINEAGE_UNREAD;
		j->found[j->found_count++].root =
			found[i].kind == LINEAGE_ROOT || found[i].kind == LINEAGE_UNREAD;
	}
	p->adding++;
	saver_run(w, p);
}

void process_look_through(struct world *w, struct process *p, int parent,
			  const struct streams_shard *shards, size_t count)
{
	struct lineage_found found[2 * SHARDS_MAX];
	bool first = !p->rooted && parent < 0;
	int64_t start_ms = p->start_ms > 0 ? AWS_EPOCH_MS + p->start_ms : 0;
	size_t n = lineage_diff(&p->lineage, shards, count, first, start_ms, process_aws_now(w, p),
				found);

	if (n == 0 || p->held)
		return;
	if (parent < 0)
		p->rooted = true;
	add_found(w, p, found, n, parent >= 0);
}

/* Else it may have positions, which the reply does not tell. */
static bool is_fresh(const struct world *w, const struct process *p, const struct given *g)
{
	return !g->begun && !must_wait(w, p, g);
}

void process_added(struct world *w, struct process *p, const struct reply *r, unsigned let_go)
{
	bool free_ones = false;

	for (size_t i = 0; i < r->lane_count; i++) {
		struct given fresh = r->lanes[i], *g = &fresh;

		memset(fresh.at, 0, sizeof(fresh.at)); /* the reply has no positions */
		if (g->owner != p->session) {
			free_ones = free_ones || (!g->owner && !g->done);
			continue;
		}
		if (p->lane_of[know(w, p, g->shard)] != CORE_NONE)
			continue; /* it was taken over meanwhile */
		if (p->held)
			steward_let_go(w, p, g->row, CORE_NONE);
		else if (is_fresh(w, p, g) && let_go == p->let_go)
			add_lane(w, p, g);
		else
			steward_ask_held(w, p);
	}
	if (free_ones) {
		/* The round under way may not have seen them, the one after it has. */
		p->unclaimed = 2;
		core_expect(&p->core, 1);
		steward_poke(w, p);
	}
	process_tick(w, p);
	p->adding--;
	process_settled(w, p);
}

void process_known(struct world *w, struct process *p, const struct reply *r)
{
	for (size_t i = 0; i < r->lane_count; i++) {
		know(w, p, r->lanes[i].shard);
		if (r->lanes[i].row >= p->known_rows)
			p->known_rows = r->lanes[i].row + 1;
	}
	p->rooted = p->rooted || p->known_rows > 0;
}
