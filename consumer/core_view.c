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
	case LANE_STOPPED:
	case LANE_RELEASED:
		return true;
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

/* How far a sink is in the lane: what it has answered, else the first page that waits for it. */
static int64_t answered_ms(const struct core_lane *l, uint32_t slot)
{
	if (l->frontiers[slot].end_ms > 0 || l->answered[slot] == l->pages_read)
		return l->frontiers[slot].end_ms;
	return l->pages[l->answered[slot] % CORE_PAGES].end_ms;
}

static bool reads(const struct core_lane *l)
{
	return l->state == LANE_DUE || l->state == LANE_FETCHING || l->state == LANE_FULL;
}

void core_view(const struct core *c, uint32_t stream, struct core_view *view)
{
	const struct core_stream *s = &c->streams[stream];

	*view = (struct core_view){ .limit_milli = pacing_limit_milli(&s->brake, s->share_milli),
				    .braking = s->brake.rate_milli > 0 };
	for (uint32_t i = 0; i < c->lane_count; i++) {
		const struct core_lane *l = &c->lanes[i];
		bool unread = l->state != LANE_ENDED && l->state != LANE_RELEASED &&
			      (core_outstanding(l) > 0 || l->empty_since_ms == 0);

		if (l->stream != stream)
			continue;
		view->shards[l->state]++;
		if (l->state == LANE_STOPPED || descends_from_stopped(c, i))
			view->standing++;
		view->behind += reads(l) && pacing_class(&l->pacing) == PACING_BEHIND;
		for (uint32_t slot = 0; unread && slot < s->sink_count; slot++) {
			int64_t at = answered_ms(l, slot);

			if (at > 0 && (view->oldest_event_ms == 0 || at < view->oldest_event_ms))
				view->oldest_event_ms = at;
		}
	}
}
