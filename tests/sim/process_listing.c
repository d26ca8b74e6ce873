/* Shards are looked for: what discover.c does, and what AWS shows. */
#include <string.h>

#include "process.h"

#define CHILD_TRIES   10
#define CHILD_BASE_MS 50
#define CHILD_MAX_MS  1000
#define LIST_EVERY_MS 10000
#define EMPTY_TRIES   5

/* --- what AWS shows --- */

static void show(const struct world *w, const struct shard *s, struct streams_shard *out)
{
	*out = (struct streams_shard){ .starting = s->sequence[0], .closed = world_closed(w, s) };
	memcpy(out->id, s->id, sizeof(out->id));
	if (s->parent >= 0)
		memcpy(out->parent, w->shards[s->parent].id, sizeof(out->parent));
}

/* A listing that is some time old. */
static bool is_listed(struct world *w, const struct shard *s, int64_t age_ms)
{
	if (world_gone(w, s) || w->now_ms - age_ms < s->listed_ms)
		return false;
	if (s->parent >= 0 && w->now_ms < w->shards[s->parent].closes_ms)
		count_fault(w, FAULT_EARLY);
	return true;
}

/* Of the shards whose parents are known to it, a listing may lack a parent. */
static bool lacks(struct world *w, const struct process *p, int shard)
{
	bool has_child = false;

	for (int i = 0; i < w->shard_count; i++)
		has_child = has_child || w->shards[i].parent == shard;
	return has_child && lineage_find(&p->lineage, w->shards[shard].id) != LINEAGE_NONE &&
	       noise(w, FAULT_PARENT_MISSING);
}

static size_t shuffle(struct world *w, struct streams_shard *out, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = roll(w, i);
		struct streams_shard swap = out[i - 1];

		out[i - 1] = out[other];
		out[other] = swap;
	}
	out[n] = out[0];
	return n + 1;
}

static size_t listing(struct world *w, const struct process *p, struct streams_shard *out)
{
	int64_t age_ms = noise(w, FAULT_STALE) ? soon(w, 8000) : 0;
	size_t n = 0;

	for (int i = 0; i < w->shard_count; i++)
		if (is_listed(w, &w->shards[i], age_ms) && !lacks(w, p, i))
			show(w, &w->shards[i], &out[n++]);
	return n > 1 && noise(w, FAULT_SHUFFLED) ? shuffle(w, out, n) : n;
}

static size_t children(struct world *w, int parent, struct streams_shard *out)
{
	size_t n = 0;

	for (int i = 0; i < w->shard_count; i++)
		if (w->shards[i].parent == parent && is_listed(w, &w->shards[i], 0))
			show(w, &w->shards[i], &out[n++]);
	return n > 0 && noise(w, FAULT_NO_CHILDREN) ? 0 : n;
}

/* --- the full listing --- */

void process_list_start(struct world *w, struct process *p, int64_t delay_ms)
{
	if (p->listing_runs)
		return;
	p->listing_runs = true;
	process_pend(w, p, (struct event){ .type = EVENT_LIST }, delay_ms);
}

static void children_known(struct world *w, struct process *p, uint32_t lane)
{
	p->settled[p->settled_count++] = lane;
	process_settled(w, p);
}

/* What others added meanwhile is no news: the database is asked before it is looked through. */
static void keep_listing(struct world *w, struct process *p, const struct streams_shard *shards,
			 size_t count)
{
	bool asked = p->listing_waits;

	memcpy(p->listing, shards, count * sizeof(*shards));
	p->listing_count = count;
	p->listing_waits = true;
	if (asked)
		return;
	saver_job(p, JOB_SHARDS);
	p->adding++;
	saver_run(w, p);
}

void process_list(struct world *w, struct process *p)
{
	struct streams_shard shards[2 * SHARDS_MAX];
	size_t count;

	p->listing_runs = false;
	if (p->opening)
		return; /* it is of what is left */
	if (noise(w, FAULT_LISTING_FAILED)) {
		process_list_start(w, p, soon(w, 2000));
		return;
	}
	count = noise(w, FAULT_LISTING_EMPTY) ? 0 : listing(w, p, shards);
	p->empties = count ? 0 : p->empties + 1;
	if (count == 0 && p->empties < EMPTY_TRIES) {
		process_list_start(w, p, soon(w, 1000));
		return;
	}
	keep_listing(w, p, shards, count);
	for (uint32_t lane = 0; lane < SHARDS_MAX; lane++) {
		struct sim_lane *l = &p->lanes[lane];

		if (!l->used || !l->wants_listing)
			continue;
		l->wants_listing = false;
		children_known(w, p, lane);
	}
	if (p->lister)
		process_list_start(w, p, LIST_EVERY_MS / 2 + (int64_t)roll(w, LIST_EVERY_MS));
}

/* --- children --- */

void process_children(struct world *w, struct process *p, const struct event *e)
{
	struct streams_shard shards[SHARDS_MAX];
	uint32_t lane = e->lane;
	struct sim_lane *l = &p->lanes[lane];
	size_t count;

	if (e->generation != p->opened)
		return;
	if (!l->used || l->shard != e->shard || !p->core.lanes[lane].closed) {
		children_known(w, p, CORE_NONE); /* it stood still, and was let go of */
		return;
	}
	count = children(w, l->shard, shards);
	if (count > 0) {
		process_look_through(w, p, l->shard, shards, count);
		children_known(w, p, lane);
	} else if (++l->searches < CHILD_TRIES) {
		int64_t wait_ms = (int64_t)CHILD_BASE_MS << l->searches;

		process_pend(w, p,
			     (struct event){ .type = EVENT_CHILDREN,
					     .lane = lane,
					     .shard = e->shard,
					     .generation = e->generation },
			     soon(w, wait_ms < CHILD_MAX_MS ? wait_ms : CHILD_MAX_MS));
	} else { /* the next full listing decides */
		l->wants_listing = true;
		process_list_start(w, p, soon(w, 80));
	}
}
