/* What can be seen of the lanes. */
#include "consumer/core_internal.h"

static bool descends_from_stopped(const struct core *c, uint32_t lane)
{
	while (lane != CORE_NONE && c->lanes[lane].state == LANE_WAITING)
		lane = c->lanes[lane].parent;
	return lane != CORE_NONE && c->lanes[lane].state == LANE_STOPPED;
}

static bool lane_idle(const struct core *c, uint32_t lane)
{
	const struct core_lane *l = &c->lanes[lane];

	switch (l->state) {
	case LANE_ENDED:
	case LANE_RELEASED:
		return true;
	case LANE_STOPPED:
		return !l->at_gap || l->gap_open || l->stopping;
	case LANE_WAITING:
		return descends_from_stopped(c, lane);
	case LANE_DUE:
	case LANE_FETCHING:
		return core_outstanding(l) == 0 && l->empty_since_ms != 0 &&
		       l->empty_at_ms - l->empty_since_ms >= c->settings.idle_ms;
	default:
		return false;
	}
}

bool core_idle(const struct core *c)
{
	if (c->expected > 0)
		return false;
	for (uint32_t i = 0; i < c->stream_count; i++)
		if (c->streams[i].discovering > 0)
			return false;
	for (uint32_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].stream != CORE_NONE && !lane_idle(c, i))
			return false;
	return true;
}

/* An idle lane is read each poll.max; within this over it nothing is wrong yet. */
#define BLIND_LEAST_MS 1000

/* Of a lane that was read to its end, the time since then; else since the later of that time, if it
 * ever was, and of the record that is the last known to be behind us. */
static int64_t place_age_ms(const struct core_lane *l, int64_t event_ms, int64_t at_end_ms,
			    int64_t now_ms, int64_t epoch_ms)
{
	int64_t since_ms = event_ms > l->since_ms ? event_ms : l->since_ms;
	int64_t age_ms = epoch_ms - since_ms;

	return at_end_ms > 0 && now_ms - at_end_ms < age_ms ? now_ms - at_end_ms : age_ms;
}

static void grow(int64_t *ms, int64_t by_ms)
{
	if (by_ms > *ms)
		*ms = by_ms;
}

static void lane_ages(const struct core *c, const struct core_lane *l, int64_t now_ms,
		      int64_t epoch_ms, struct core_ages *ages)
{
	const struct core_stream *s = &c->streams[l->stream];
	bool ended = l->state == LANE_ENDED;
	bool idle = l->empty_since_ms != 0 && l->empty_at_ms == l->delivered_at_ms &&
		    now_ms - l->empty_at_ms <= 2 * s->limits.max_ms + BLIND_LEAST_MS;

	for (uint32_t slot = 0; slot < s->sink_count; slot++) {
		const struct frontier *f = &l->frontiers[slot];
		bool unsaved = f->roll_count > 0 || !sequence_equal(&f->saved, &f->end);

		if (f->done)
			continue;
		if (!ended && !idle)
			grow(&ages->undelivered_ms,
			     place_age_ms(l, f->end_ms, l->delivered_at_ms, now_ms, epoch_ms));
		if (unsaved || (!ended && !idle))
			grow(&ages->unsaved_ms,
			     place_age_ms(l, f->saved_ms, l->saved_at_ms, now_ms, epoch_ms));
	}
}

void core_lane_ages(const struct core *c, uint32_t lane, int64_t now_ms, int64_t epoch_ms,
		    struct core_ages *ages)
{
	const struct core_lane *l = &c->lanes[lane];

	*ages = (struct core_ages){ 0 };
	if (l->stream != CORE_NONE && l->state != LANE_WAITING && l->state != LANE_RELEASED)
		lane_ages(c, l, now_ms, epoch_ms, ages);
}

void core_ages(const struct core *c, int64_t now_ms, int64_t epoch_ms, struct core_ages *ages)
{
	for (uint32_t i = 0; i < c->stream_count; i++)
		ages[i] = (struct core_ages){ 0 };
	for (uint32_t i = 0; i < c->lane_count; i++) {
		const struct core_lane *l = &c->lanes[i];

		if (l->stream != CORE_NONE && l->state != LANE_WAITING && l->state != LANE_RELEASED)
			lane_ages(c, l, now_ms, epoch_ms, &ages[l->stream]);
	}
}

static bool reads(const struct core_lane *l)
{
	return l->state == LANE_DUE || l->state == LANE_FETCHING || l->state == LANE_FULL;
}

static struct core_view view_of(const struct core_stream *s)
{
	return (struct core_view){ .limit_milli = pacing_limit_milli(&s->brake, s->share_milli),
				   .braking = s->brake.rate_milli > 0 };
}

/* Whoever is behind the others holds them: the lane reads only so far ahead of it. */
static void view_slowest(const struct core_stream *s, const struct core_lane *l,
			 struct core_view *view)
{
	uint64_t most = 0;

	for (uint32_t slot = 0; slot < s->sink_count; slot++)
		if (!l->stood[slot] && l->answered[slot] > most)
			most = l->answered[slot];
	for (uint32_t slot = 0; slot < s->sink_count; slot++)
		view->waited_for[slot] += !l->stood[slot] && l->answered[slot] < most;
}

static void view_lane(const struct core *c, uint32_t lane, struct core_view *view)
{
	const struct core_lane *l = &c->lanes[lane];

	view->shards[l->state]++;
	if (l->state == LANE_STOPPED || descends_from_stopped(c, lane))
		view->standing++;
	view->behind += reads(l) && pacing_class(&l->pacing) == PACING_BEHIND;
	view->at_gap += l->at_gap;
	view_slowest(&c->streams[l->stream], l, view);
}

void core_view(const struct core *c, uint32_t stream, struct core_view *view)
{
	*view = view_of(&c->streams[stream]);
	for (uint32_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].stream == stream)
			view_lane(c, i, view);
}

void core_views(const struct core *c, struct core_view *views)
{
	for (uint32_t i = 0; i < c->stream_count; i++)
		views[i] = view_of(&c->streams[i]);
	for (uint32_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].stream != CORE_NONE)
			view_lane(c, i, &views[c->lanes[i].stream]);
}
