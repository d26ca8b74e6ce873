#include <assert.h>
#include <string.h>

#include "world.h"

/* --- into the core --- */

static uint32_t know(struct world *w, const struct shard *s)
{
	struct process *p = w->process;
	uint32_t at = lineage_find(&p->lineage, s->id), parent = LINEAGE_NONE;

	if (at != LINEAGE_NONE)
		return at;
	if (s->parent >= 0)
		parent = lineage_find(&p->lineage, w->shards[s->parent].id);
	at = lineage_add(&p->lineage, s->id, parent);
	p->lane_of[at] = CORE_NONE;
	return at;
}

static int index_after(const struct shard *s, const struct sequence *at)
{
	int i = 0;

	while (i < s->count) {
		struct sequence here = world_sequence(s, i);

		if (sequence_compare(&here, at) > 0)
			break;
		i++;
	}
	return i;
}

static void start_at(const struct world *w, struct sim_lane *l, struct core_lane_start *start)
{
	const struct row *r = &w->store.rows[l->row];
	const struct shard *s = &w->shards[r->shard];

	l->next = s->count;
	for (uint32_t sink = 0; sink < w->sink_count; sink++) {
		int at = index_after(s, &r->at[sink].sequence);

		start->at[sink] = (struct frontier_move){ .to = r->at[sink].sequence,
							  .done = r->at[sink].done };
		l->have[sink] = r->at[sink].sequence;
		if (r->at[sink].done)
			handover_stop(&l->handovers[sink]);
		else if (at < l->next)
			l->next = at;
	}
}

/* A row that is the session's becomes a lane. */
static void add_lane(struct world *w, int row)
{
	struct process *p = w->process;
	const struct row *r = &w->store.rows[row];
	uint32_t in_lineage = know(w, &w->shards[r->shard]);
	uint32_t parent = p->lineage.shards[in_lineage].parent, lane;
	struct core_lane_start start = { .parent = CORE_NONE, .store_id = row + 1 };
	struct sim_lane l = { .used = true, .shard = r->shard, .row = row };

	assert(r->owner == w->sessions && !r->done);
	if (parent != LINEAGE_NONE)
		start.parent = p->lane_of[parent];
	start_at(w, &l, &start);
	lane = core_add_lane(&p->core, &start, w->now_ms);
	assert(lane < SHARDS_MAX && !p->lanes[lane].used);
	p->lanes[lane] = l;
	p->lane_of[in_lineage] = lane;
}

/* --- found --- */

static int shard_of(const struct world *w, const char *id)
{
	for (int i = 0; i < w->shard_count; i++)
		if (strcmp(w->shards[i].id, id) == 0)
			return i;
	assert(false && "unknown shard");
	return -1;
}

/* What the stream shows now; with `only_children_of` >= 0 the CHILD_SHARDS filter. */
static size_t listing(const struct world *w, int only_children_of, struct streams_shard *out)
{
	size_t n = 0;

	for (int i = 0; i < w->shard_count; i++) {
		const struct shard *s = &w->shards[i];

		if (s->trimmed || w->now_ms < s->listed_ms || w->now_ms < s->opens_ms)
			continue;
		if (only_children_of >= 0 && s->parent != only_children_of)
			continue;
		out[n] = (struct streams_shard){ .starting = world_sequence(s, 0),
						 .closed = world_closed(w, s) };
		memcpy(out[n].id, s->id, sizeof(out[n].id));
		if (s->parent >= 0)
			memcpy(out[n].parent, w->shards[s->parent].id, sizeof(out[n].parent));
		n++;
	}
	return n;
}

/* A shard that was found by its parent's owner is its own; out of the full listing it is free,
 * unless its parent is the session's. */
static void add_row(struct world *w, int shard, bool own)
{
	int row = w->store.row_count++, parent = w->shards[shard].parent;
	int before = parent < 0 ? -1 : world_row(w, parent);

	own = own || (before >= 0 && w->store.rows[before].owner == w->sessions);
	w->store.rows[row] = (struct row){ .shard = shard, .owner = own ? w->sessions : 0 };
	know(w, &w->shards[shard]);
	if (own)
		add_lane(w, row);
}

void process_listed(struct world *w, const struct pending *e)
{
	struct process *p = w->process;
	struct streams_shard shards[SHARDS_MAX];
	struct lineage_found found[SHARDS_MAX];
	int only = e->children_of_lane ? p->lanes[e->lane].shard : -1;
	size_t count = listing(w, only, shards);
	bool first = !w->store.rooted && only < 0;
	size_t n;

	if (e->children_of_lane && count == 0 &&
	    world_roll(w, 4) != 0) { /* asked again; then the full listing is the net */
		pend(w, *e, soon(w, 200));
		return;
	}
	n = lineage_diff(&p->lineage, shards, count, first, 0, w->now_ms, found);
	for (size_t i = 0; i < n; i++) {
		int shard = shard_of(w, found[i].shard->id);

		if (found[i].kind == LINEAGE_ORPHAN)
			w->shards[shard].listed_again++;
		add_row(w, shard, e->children_of_lane);
		w->store.rooted = true;
	}
	if (e->children_of_lane)
		process_feed(w, (struct core_event){ .type = CORE_CHILDREN, .lane = e->lane });
	else
		process_feed(w, (struct core_event){ .type = CORE_TICK });
}

/* --- coming and going --- */

void process_claim(struct world *w)
{
	for (int i = 0; i < w->store.row_count; i++)
		know(w, &w->shards[w->store.rows[i].shard]);
	for (int i = 0; i < w->store.row_count; i++) {
		if (!world_claimable(w, i, w->sessions))
			continue;
		w->store.rows[i].owner = w->sessions;
		add_lane(w, i);
	}
	process_feed(w, (struct core_event){ .type = CORE_TICK });
}

/* Any lane may be asked for, in whatever state it is. */
void process_release_some(struct world *w)
{
	for (uint32_t i = 0; i < SHARDS_MAX; i++)
		if (w->process->lanes[i].used && world_roll(w, 3) == 0)
			process_feed(w, (struct core_event){ .type = CORE_RELEASE, .lane = i });
}

static bool about_lane(const struct pending *e)
{
	return e->type == PENDING_FETCH || e->type == PENDING_ANSWER || e->type == PENDING_RETRY ||
	       e->type == PENDING_LETTER || (e->type == PENDING_LIST && e->children_of_lane);
}

void process_released(struct world *w, uint32_t lane)
{
	const struct core *c = &w->process->core;
	uint32_t parent = c->lanes[lane].parent;

	assert(parent == CORE_NONE || !c->lanes[parent].leaving);
	for (size_t i = 0; i < w->pending_count; i++)
		assert(!about_lane(&w->pending[i]) || w->pending[i].lane != lane);
	world_check_visible(w, w->process->lanes[lane].row);
	pend(w, (struct pending){ .type = PENDING_RELEASE, .lane = lane }, soon(w, 100));
}

void process_drop(struct world *w, uint32_t lane)
{
	struct process *p = w->process;
	struct sim_lane *l = &p->lanes[lane];
	struct row *r = &w->store.rows[l->row];

	assert(l->used && r->owner == (r->done ? 0 : w->sessions));
	assert(r->done == (p->core.lanes[lane].state == LANE_ENDED));
	r->owner = 0;
	l->used = false;
	p->lane_of[lineage_find(&p->lineage, w->shards[l->shard].id)] = CORE_NONE;
	core_drop_lane(&p->core, lane);
}
