/* Lanes: their states, the tree they stand in, and how they leave. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "consumer/core_internal.h"

/* A shard's pause may be cut by this part, so that several end at once. */
#define DUE_SHARE 32

#define TO(s)     (1u << LANE_##s)
static const unsigned allowed[LANE_STATES] = {
	[LANE_WAITING] = TO(DUE) | TO(RELEASED),
	[LANE_DUE] = TO(FETCHING) | TO(DRAINING) | TO(STOPPED),
	[LANE_FETCHING] = TO(DUE) | TO(FULL) | TO(DRAINING) | TO(ENDED) | TO(STOPPED),
	[LANE_FULL] = TO(DUE) | TO(DRAINING) | TO(STOPPED),
	[LANE_DRAINING] = TO(ENDED) | TO(STOPPED) | TO(RELEASED),
	[LANE_ENDED] = 0,
	[LANE_STOPPED] = TO(DUE) | TO(FULL) | TO(DRAINING) | TO(RELEASED),
	[LANE_RELEASED] = 0,
};

const char *lane_state_name(enum lane_state s)
{
	static const char *const names[LANE_STATES] = {
		[LANE_WAITING] = "waiting",   [LANE_DUE] = "reading",
		[LANE_FETCHING] = "fetching", [LANE_FULL] = "blocked",
		[LANE_DRAINING] = "draining", [LANE_ENDED] = "done",
		[LANE_STOPPED] = "stopped",   [LANE_RELEASED] = "released",
	};

	return names[s];
}

void core_lane_move(struct core_lane *l, enum lane_state to)
{
	assert(allowed[l->state] & (1u << to));
	l->state = to;
}

static void lane_due(struct core *c, uint32_t lane, int64_t at_ms)
{
	core_lane_move(&c->lanes[lane], LANE_DUE);
	core_due_add(c, lane, at_ms);
}

static bool parent_ended(const struct core *c, const struct core_lane *l)
{
	return l->parent == CORE_NONE || c->lanes[l->parent].state == LANE_ENDED;
}

/* Looking through the list costs its length: only when one of it may be ready. */
static void part_later(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];

	if (l->parting)
		return;
	l->parting = true;
	l->parting_next = c->parting_first;
	c->parting_first = lane;
}

/* Every sink has every record of the lane: its children may be read. */
static void lane_ended(struct core *c, uint32_t lane, int64_t now_ms)
{
	struct core_lane *l = &c->lanes[lane];

	core_lane_move(l, LANE_ENDED);
	for (uint32_t slot = 0; slot < core_stream_of(c, l)->sink_count; slot++)
		if (!l->frontiers[slot].done)
			frontier_close(&l->frontiers[slot]);
	core_mark_dirty(c, lane);
	part_later(c, lane); /* not before its end is saved */
	for (uint32_t child = l->first_child; child != CORE_NONE;
	     child = c->lanes[child].next_sibling)
		if (c->lanes[child].state == LANE_WAITING && !c->lanes[child].leaving)
			lane_due(c, child, now_ms);
}

/* The lane after `at` among `top` and its descendants, parents first; CORE_NONE: that was all. */
static uint32_t descend(const struct core *c, uint32_t top, uint32_t at)
{
	uint32_t next = c->lanes[at].first_child;

	while (next == CORE_NONE && at != top) {
		next = c->lanes[at].next_sibling;
		at = c->lanes[at].parent;
	}
	return next;
}

/* What holds the lane here is worth more than a wish; its descendants stay with it. */
static void stay(struct core *c, uint32_t lane)
{
	for (uint32_t at = lane; at != CORE_NONE; at = descend(c, lane, at))
		c->lanes[at].leaving = false;
}

/* Shards that are due at about the same time become due at once: asked one by one, each would wake
 * the core and its reader anew. At most a 32nd earlier. */
static int64_t due_together_ms(int64_t now_ms, int64_t delay_ms)
{
	int64_t grid_ms = 1;

	while (2 * DUE_SHARE * grid_ms <= delay_ms)
		grid_ms *= 2;
	return (now_ms + delay_ms) & ~(grid_ms - 1);
}

/* Of a stream that is held: all leaves, but what is closed ends. */
static void leave_held(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];

	l->leaving = core_stands(l) || !l->closed;
	if (l->leaving)
		part_later(c, lane);
	c->parting_check = true;
}

/* Where the lane goes after a page was read, failed or was released. */
void core_lane_settle(struct core *c, uint32_t lane, int64_t now_ms, int64_t delay_ms)
{
	struct core_lane *l = &c->lanes[lane];

	if (core_stream_of(c, l)->held)
		leave_held(c, lane);
	else if (l->leaving && (core_stands(l) || l->closed))
		stay(c, lane);
	if (core_stands(l)) {
		if (l->state == LANE_DUE)
			core_due_remove(c, lane);
		if (l->state != LANE_STOPPED)
			core_lane_move(l, LANE_STOPPED);
	} else if (l->closed) {
		if (core_outstanding(l) == 0)
			lane_ended(c, lane, now_ms);
		else if (l->state != LANE_DRAINING)
			core_lane_move(l, LANE_DRAINING);
	} else if (l->leaving) {
		if (l->state == LANE_DUE)
			core_due_remove(c, lane);
		if (l->state != LANE_DRAINING)
			core_lane_move(l, LANE_DRAINING);
		c->parting_check = true;
	} else if (core_outstanding(l) == CORE_PAGES) {
		core_lane_move(l, LANE_FULL);
	} else if (l->state != LANE_DUE) {
		lane_due(c, lane, due_together_ms(now_ms, delay_ms));
	}
}

static void link_child(struct core *c, uint32_t parent, uint32_t lane)
{
	c->lanes[lane].next_sibling = c->lanes[parent].first_child;
	c->lanes[parent].first_child = lane;
}

static void unlink_child(struct core *c, uint32_t parent, uint32_t lane)
{
	uint32_t *at = &c->lanes[parent].first_child;

	while (*at != lane)
		at = &c->lanes[*at].next_sibling;
	*at = c->lanes[lane].next_sibling;
}

static uint32_t index_take(struct core *c)
{
	uint32_t lane = c->unused_first;

	if (lane != CORE_NONE) {
		c->unused_first = c->lanes[lane].next_sibling;
		return lane;
	}
	if (c->lane_count == c->lane_capacity) {
		c->lane_capacity = c->lane_capacity ? 2 * c->lane_capacity : 64;
		c->lanes = memory_resize(c->lanes, c->lane_capacity * sizeof(*c->lanes));
		heap_resize(&c->due, c->lane_capacity);
	}
	return c->lane_count++;
}

/* What the store has of it; true: it is done for every sink. */
static bool start_frontiers(struct core *c, struct core_lane *l, const struct core_lane_start *from)
{
	uint32_t slots = core_stream_of(c, l)->sink_count;
	bool done = true;

	l->frontiers = memory_array(slots, sizeof(*l->frontiers));
	for (uint32_t slot = 0; slot < slots; slot++) {
		const struct frontier_move *at = &from->at[slot];

		frontier_start(&l->frontiers[slot], &at->to, at->event_ms, at->done);
		l->stood[slot] = at->done;
		done = done && at->done;
		if (at->event_ms > l->event_ms)
			l->event_ms = at->event_ms;
	}
	return done;
}

static bool goes_with_parent(const struct core *c, const struct core_lane *l)
{
	return l->parent != CORE_NONE &&
	       (c->lanes[l->parent].leaving || c->lanes[l->parent].state == LANE_RELEASED);
}

uint32_t core_add_lane(struct core *c, const struct core_lane_start *start, int64_t now_ms)
{
	uint32_t lane = index_take(c);
	struct core_lane *l = &c->lanes[lane];

	assert(c->streams[start->stream].sink_count > 0);
	core_save_reserve(c, c->streams[start->stream].sink_count);
	c->streams[start->stream].lane_count++;
	*l = (struct core_lane){ .stream = start->stream,
				 .parent = start->parent,
				 .first_child = CORE_NONE,
				 .next_sibling = CORE_NONE,
				 .dirty_next = CORE_NONE,
				 .store_id = start->store_id,
				 .since_ms = start->since_ms,
				 .recent_bytes = CORE_PAGE_FIRST,
				 .pacing.bulk = c->streams[start->stream].files };
	if (start->parent != CORE_NONE)
		link_child(c, start->parent, lane);
	if (start_frontiers(c, l, start)) {
		l->state = LANE_ENDED;
		l->closed = l->children_known = true;
		part_later(c, lane);
		c->parting_check = true;
	} else if (c->streams[start->stream].held) {
		leave_held(c, lane);
	} else if (goes_with_parent(c, l)) {
		core_lane_leave(c, lane);
	} else if (parent_ended(c, l)) {
		lane_due(c, lane, now_ms);
	}
	c->idle_said = false;
	return lane;
}

void core_drop_lane(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];

	assert(!l->parting && !l->busy && !l->dirty);
	assert(l->state == LANE_RELEASED || (l->state == LANE_ENDED && l->children_known));
	if (l->parent != CORE_NONE)
		unlink_child(c, l->parent, lane);
	for (uint32_t child = l->first_child, next; child != CORE_NONE; child = next) {
		next = c->lanes[child].next_sibling;
		c->lanes[child].parent = c->lanes[child].next_sibling = CORE_NONE;
	}
	c->slot_count -= core_stream_of(c, l)->sink_count;
	core_stream_of(c, l)->lane_count--;
	free(l->frontiers);
	*l = (struct core_lane){ .state = LANE_RELEASED,
				 .stream = CORE_NONE,
				 .next_sibling = c->unused_first };
	c->unused_first = lane;
}

/* --- leaving and ending --- */

void core_lane_hurry(struct core *c, const struct core_lane *l)
{
	const struct core_stream *s = core_stream_of(c, l);

	for (uint32_t slot = 0; slot < s->sink_count; slot++) {
		struct core_sink *k = &c->sinks[s->sinks[slot]];

		if (l->frontiers[slot].newest_roll > k->leaving)
			k->leaving = l->frontiers[slot].newest_roll;
	}
}

void core_hurry(struct core *c, uint32_t stream)
{
	for (uint32_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].stream == stream && c->lanes[i].closed)
			core_lane_hurry(c, &c->lanes[i]);
}

void core_lane_leave(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];

	if (l->closed || core_stands(l) || l->state == LANE_RELEASED)
		return;
	if (l->state == LANE_DUE || l->state == LANE_FULL) {
		core_due_remove(c, lane);
		core_lane_move(l, LANE_DRAINING);
	}
	core_lane_hurry(c, l);
	for (uint32_t at = lane; at != CORE_NONE; at = descend(c, lane, at)) {
		struct core_lane *d = &c->lanes[at];

		if (at != lane && (d->state != LANE_WAITING || !c->lanes[d->parent].leaving))
			continue;
		d->leaving = true;
		part_later(c, at);
	}
	c->parting_check = true;
}

void core_lanes_hold(struct core *c, uint32_t stream, int64_t now_ms)
{
	c->streams[stream].held = true;
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct core_lane *l = &c->lanes[i];

		if (l->stream != stream || l->state == LANE_ENDED || l->state == LANE_RELEASED)
			continue;
		core_lane_hurry(c, l);
		if (l->state == LANE_WAITING || l->state == LANE_FETCHING)
			leave_held(c, i);
		else
			core_lane_settle(c, i, now_ms, 0);
	}
}

void core_lane_gap(struct core *c, uint32_t lane, bool accepted, int64_t now_ms)
{
	struct core_lane *l = &c->lanes[lane];

	if (!l->at_gap)
		return;
	l->gap_open = !accepted;
	c->parting_check = c->parting_check || l->leaving;
	if (!accepted)
		return;
	l->at_gap = false;
	if (!l->stopping)
		core_lane_settle(c, lane, now_ms, 0);
	c->idle_said = false;
}

static bool settled(struct core *c, const struct core_lane *l)
{
	const struct core_stream *s = core_stream_of(c, l);

	for (uint32_t slot = 0; slot < s->sink_count; slot++)
		if (!frontier_clean(&l->frontiers[slot]) ||
		    !frontier_visible(&l->frontiers[slot], c->sinks[s->sinks[slot]].finished))
			return false;
	return true;
}

void core_lane_children_known(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];

	l->children_known = true;
	c->parting_check = c->parting_check || settled(c, l);
}

/* Nothing of it is under way, nor what is about to be said of it. */
static bool is_quiet(const struct core_lane *l)
{
	if (l->state == LANE_STOPPED && l->at_gap && !l->gap_open)
		return false;
	return l->state == LANE_WAITING ||
	       ((l->state == LANE_DRAINING || l->state == LANE_STOPPED) &&
		core_outstanding(l) == 0);
}

static bool ready_to_part(struct core *c, const struct core_lane *l)
{
	if (!l->leaving)
		return l->state != LANE_ENDED || (l->children_known && settled(c, l));
	return is_quiet(l) && settled(c, l) &&
	       (l->parent == CORE_NONE || !c->lanes[l->parent].leaving);
}

/* Takes the lane out of the list; a lane that neither leaves any more nor has ended has nothing to
 * say. */
static size_t part(struct core_lane *l, uint32_t lane, struct core_action *out)
{
	l->parting = false;
	if (l->leaving) {
		l->leaving = false;
		core_lane_move(l, LANE_RELEASED);
		*out = (struct core_action){ .type = CORE_RELEASED, .lane = lane };
		return 1;
	}
	*out = (struct core_action){ .type = CORE_ENDED, .lane = lane };
	return l->state == LANE_ENDED;
}

size_t core_part(struct core *c, struct core_action *out, size_t max)
{
	size_t n = 0;
	bool again = c->parting_check;

	while (again) { /* a parent behind its child in the list */
		again = false;
		for (uint32_t *at = &c->parting_first; *at != CORE_NONE;) {
			uint32_t lane = *at;
			struct core_lane *l = &c->lanes[lane];

			if (!ready_to_part(c, l)) {
				at = &l->parting_next;
				continue;
			}
			if (n == max)
				return n;
			*at = l->parting_next;
			again = again || l->leaving;
			n += part(l, lane, out + n);
		}
	}
	c->parting_check = false;
	return n;
}
