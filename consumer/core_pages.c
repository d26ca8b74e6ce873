/* Pages: fetched on credit, answered by the sinks, released. */
#include <assert.h>

#include "consumer/core_internal.h"

/* Body, arena and output live side by side (design, "Credits"). */
#define CHARGE_FACTOR 4
#define CHARGE_LEAST  ((size_t)16 << 10)

static void credit_take(struct core *c, size_t bytes)
{
	c->credit -= (int64_t)bytes;
	c->charged += (int64_t)bytes;
}

static void credit_return(struct core *c, size_t bytes)
{
	c->credit += (int64_t)bytes;
	c->charged -= (int64_t)bytes;
	assert(c->charged >= 0);
}

static void page_learn_size(struct core_lane *l, size_t bytes)
{
	l->recent_bytes -= l->recent_bytes / 8;
	if (bytes > l->recent_bytes)
		l->recent_bytes = bytes;
	if (l->recent_bytes < CHARGE_LEAST)
		l->recent_bytes = CHARGE_LEAST;
}

static bool all_saved(const struct core *c, const struct core_lane *l)
{
	for (uint32_t slot = 0; slot < c->streams[l->stream].sink_count; slot++)
		if (!frontier_clean(&l->frontiers[slot]))
			return false;
	return true;
}

static void page_empty(const struct core *c, struct core_lane *l, int64_t now_ms)
{
	if (l->empty_since_ms == 0)
		l->empty_since_ms = now_ms;
	l->empty_at_ms = now_ms;
	if (core_outstanding(l) > 0)
		return;
	l->delivered_at_ms = now_ms;
	if (all_saved(c, l))
		l->saved_at_ms = now_ms;
}

/* A lane is busy while a request or a page of it is under way: what queues have room for. */
static void lane_busy(struct core *c, struct core_lane *l)
{
	bool busy = l->state == LANE_FETCHING || core_outstanding(l) > 0;

	c->busy += (uint32_t)busy - (uint32_t)l->busy;
	l->busy = busy;
}

/* Pages that every sink has answered give their credit back. */
static void pages_release(struct core *c, uint32_t lane, int64_t now_ms)
{
	struct core_lane *l = &c->lanes[lane];
	uint64_t least = l->pages_read;
	bool released = false;

	for (uint32_t slot = 0; slot < core_stream_of(c, l)->sink_count; slot++)
		if (!l->stood[slot] && l->answered[slot] < least)
			least = l->answered[slot];
	while (l->pages_released < least) {
		credit_return(c, l->pages[l->pages_released++ % CORE_PAGES].charge);
		released = true;
	}
	if (released && l->state != LANE_FETCHING && l->state != LANE_DUE)
		core_lane_settle(c, lane, now_ms, 0);
	lane_busy(c, l);
}

void core_on_page(struct core *c, const struct core_event *e)
{
	struct core_lane *l = &c->lanes[e->lane];
	bool records = !sequence_is_none(&e->end);
	size_t bytes = e->bytes + CORE_RECORD_BYTES * e->records;
	int64_t delay_ms;

	assert(l->state == LANE_FETCHING);
	c->fetches--;
	credit_return(c, l->charge);
	l->read = true;
	page_learn_size(l, bytes);
	if (records) {
		struct core_page *page = &l->pages[l->pages_read++ % CORE_PAGES];

		*page = (struct core_page){ .end = e->end,
					    .end_ms = e->end_ms,
					    .charge = CHARGE_FACTOR * bytes };
		credit_take(c, page->charge);
		l->event_ms = e->end_ms;
		l->empty_since_ms = 0;
		pacing_page(&l->pacing, &core_stream_of(c, l)->limits,
			    &(struct pacing_page){ .records = e->records,
						   .limit = e->limit,
						   .bytes = e->bytes,
						   .age_ms = e->age_ms });
	} else {
		page_empty(c, l, e->now_ms);
	}
	delay_ms = pacing_after(&l->pacing, &core_stream_of(c, l)->limits,
				records ? PACING_RECORDS : PACING_EMPTY, &c->rng);
	if (c->settings.idle_ms > 0 && delay_ms > c->settings.idle_ms / 2)
		delay_ms = c->settings.idle_ms / 2;
	l->stopping = l->stopping || e->stopped;
	l->closed = e->closed;
	if (l->closed && (e->childless || core_stream_of(c, l)->files))
		l->children_known = true;
	else if (l->closed)
		core_stream_of(c, l)->discovering++;
	core_lane_settle(c, e->lane, e->now_ms, delay_ms);
	if (l->stopping)
		pages_release(c, e->lane, e->now_ms); /* nobody may be left to answer it */
	lane_busy(c, l);
}

void core_on_fetch_failed(struct core *c, const struct core_event *e)
{
	struct core_lane *l = &c->lanes[e->lane];
	bool throttled = e->failure == ERROR_THROTTLED;

	assert(l->state == LANE_FETCHING);
	c->fetches--;
	credit_return(c, l->charge);
	l->stopping = l->stopping || (e->failure == ERROR_INVALID && !e->leaves);
	l->at_gap = e->failure == ERROR_TRIMMED;
	l->gap_open = false;
	if (throttled)
		core_stream_throttled(c, l, e->now_ms);
	core_lane_settle(c, e->lane, e->now_ms,
			 pacing_after(&l->pacing, &core_stream_of(c, l)->limits,
				      throttled ? PACING_THROTTLED : PACING_FAILED, &c->rng));
	lane_busy(c, l);
}

static void count_roll(struct core_sink *k, uint64_t roll)
{
	uint64_t at = roll % FRONTIER_ROLLS;

	if (roll > k->taken_roll)
		k->taken_roll = roll;
	if (k->rolls_open[at].number != roll) {
		k->rolls_open[at].number = roll;
		k->rolls_open[at].answers = 0;
	}
	k->rolls_open[at].answers++;
}

static void frontier_forward(struct core *c, uint32_t lane, uint32_t slot,
			     const struct sequence *end, int64_t end_ms, uint64_t roll)
{
	struct frontier *f = &c->lanes[lane].frontiers[slot];

	/* A sink that is ahead of the others sees pages again that it already has. */
	if (sequence_compare(end, &f->end) <= 0)
		return;
	frontier_answer(f, end, end_ms, roll);
	core_mark_dirty(c, lane);
	if (c->lanes[lane].leaving)
		core_lane_hurry(c, &c->lanes[lane]);
}

void core_on_answer(struct core *c, const struct core_event *e)
{
	struct core_lane *l = &c->lanes[e->lane];
	uint32_t slot = core_sink_slot(c, e->lane, e->sink);

	assert(!l->stood[slot] && l->answered[slot] < l->pages_read);
	if (e->roll)
		count_roll(&c->sinks[e->sink], e->roll);

	const struct core_page *page = &l->pages[l->answered[slot]++ % CORE_PAGES];

	frontier_forward(c, e->lane, slot, &page->end, page->end_ms, e->roll);
	pages_release(c, e->lane, e->now_ms);
}

void core_on_part(struct core *c, const struct core_event *e)
{
	const struct core_lane *l = &c->lanes[e->lane];
	uint32_t slot = core_sink_slot(c, e->lane, e->sink);

	assert(e->roll && !l->stood[slot] && l->answered[slot] < l->pages_read);
	count_roll(&c->sinks[e->sink], e->roll);
	frontier_forward(c, e->lane, slot, &e->end, e->end_ms, e->roll);
}

void core_on_stand(struct core *c, const struct core_event *e)
{
	struct core_lane *l = &c->lanes[e->lane];
	uint32_t slot = core_sink_slot(c, e->lane, e->sink);

	if (!sequence_is_none(&e->end))
		frontier_forward(c, e->lane, slot, &e->end, e->end_ms, e->roll);
	l->stood[slot] = true;
	l->stopping = l->stopping || !e->leaves;
	if (e->leaves) {
		/* It was read to its end, and yet that is not in the sink. */
		l->closed = l->children_known = false;
		core_lane_leave(c, e->lane);
	}
	if (l->state != LANE_FETCHING)
		core_lane_settle(c, e->lane, e->now_ms, 0);
	pages_release(c, e->lane, e->now_ms);
}

/* --- fetching --- */

static size_t charge_of(const struct core_lane *l)
{
	return CHARGE_FACTOR * l->recent_bytes;
}

bool core_fetch_fits(struct core *c, const struct core_lane *l)
{
	if (!l->busy && c->busy >= c->settings.lanes_max)
		return false;
	if (c->charged > 0 && c->credit < (int64_t)charge_of(l)) {
		c->credit_waits++;
		return false;
	}
	return true;
}

void core_fetch(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];

	core_lane_move(l, LANE_FETCHING);
	lane_busy(c, l);
	l->charge = charge_of(l);
	credit_take(c, l->charge);
	c->fetches++;
}
