#include "consumer/core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "consumer/core_internal.h"

/* Body, arena and output live side by side (design, "Credits"). */
#define CHARGE_FACTOR 4
/* What a record costs besides its text, before that factor: its event, and its message with key and
 * headers in librdkafka. Measured; of short records it is the larger part. */
#define RECORD_BYTES ((size_t)768)
/* What a lane is charged before it has shown how large its pages are: DynamoDB's largest page, as
 * after a pause all shards have such pages at once. And the least ever. */
#define CHARGE_FIRST (((size_t)1 << 20) + 1000 * RECORD_BYTES)
#define CHARGE_LEAST ((size_t)16 << 10)
/* A sink that was asked to prepare and has not answered is asked again after this long. */
#define PREPARE_AGAIN_MS 200
/* A shard's pause may be cut by this part, so that several end at once. */
#define DUE_SHARE 32

#define TO(s)     (1u << LANE_##s)
static const unsigned allowed[LANE_STATES] = {
	[LANE_WAITING] = TO(DUE),
	[LANE_DUE] = TO(FETCHING) | TO(STOPPED),
	[LANE_FETCHING] = TO(DUE) | TO(FULL) | TO(DRAINING) | TO(ENDED) | TO(STOPPED),
	[LANE_FULL] = TO(DUE) | TO(STOPPED),
	[LANE_DRAINING] = TO(ENDED) | TO(STOPPED),
	[LANE_ENDED] = 0,
	[LANE_STOPPED] = 0,
};

const char *lane_state_name(enum lane_state s)
{
	static const char *const names[LANE_STATES] = {
		[LANE_WAITING] = "waiting",   [LANE_DUE] = "reading",
		[LANE_FETCHING] = "fetching", [LANE_FULL] = "blocked",
		[LANE_DRAINING] = "draining", [LANE_ENDED] = "done",
		[LANE_STOPPED] = "stopped",
	};

	return names[s];
}

static void lane_move(struct core_lane *l, enum lane_state to)
{
	assert(allowed[l->state] & (1u << to));
	l->state = to;
}

void core_init(struct core *c, const struct core_settings *settings, uint32_t streams)
{
	*c = (struct core){ .settings = *settings,
			    .stream_count = streams,
			    .credit = settings->memory_bytes,
			    .dirty_first = CORE_NONE,
			    .next_wake_ms = INT64_MAX };
	c->streams = memory_array(streams, sizeof(*c->streams));
	heap_init(&c->due, 64);
	rng_seed(&c->rng, settings->seed);
}

void core_release(struct core *c)
{
	for (uint32_t i = 0; i < c->lane_count; i++)
		free(c->lanes[i].frontiers);
	free(c->lanes);
	free(c->streams);
	free(c->save.moves);
	free(c->save.reads);
	heap_release(&c->due);
	*c = (struct core){ 0 };
}

uint32_t core_add_sink(struct core *c, bool rolls)
{
	assert(c->sink_count < CORE_SINKS_MAX);
	c->sinks[c->sink_count] = (struct core_sink){ .rolls = rolls };
	return c->sink_count++;
}

void core_set_stream(struct core *c, uint32_t stream, const struct pacing_limits *limits,
		     const uint32_t *sinks, uint32_t sink_count)
{
	struct core_stream *s = &c->streams[stream];

	assert(sink_count > 0 && sink_count <= CORE_SINKS_MAX);
	s->limits = *limits;
	memcpy(s->sinks, sinks, sink_count * sizeof(*sinks));
	s->sink_count = sink_count;
	s->discovering = 1;
}

uint32_t core_sink_slot(const struct core *c, uint32_t lane, uint32_t sink)
{
	const struct core_stream *s = &c->streams[c->lanes[lane].stream];

	for (uint32_t slot = 0; slot < s->sink_count; slot++)
		if (s->sinks[slot] == sink)
			return slot;
	assert(false && "a sink that the lane's stream does not have");
	return CORE_NONE;
}

static struct core_stream *stream_of(struct core *c, const struct core_lane *l)
{
	return &c->streams[l->stream];
}

static uint64_t lane_outstanding(const struct core_lane *l)
{
	return l->pages_read - l->pages_released;
}

static void lane_due(struct core *c, uint32_t lane, int64_t at_ms)
{
	lane_move(&c->lanes[lane], LANE_DUE);
	heap_set(&c->due, lane, at_ms);
}

static bool parent_ended(const struct core *c, const struct core_lane *l)
{
	return l->parent == CORE_NONE || c->lanes[l->parent].state == LANE_ENDED;
}

/* Every sink has every record of the lane: its children may be read. */
static void lane_ended(struct core *c, uint32_t lane, int64_t now_ms)
{
	struct core_lane *l = &c->lanes[lane];

	lane_move(l, LANE_ENDED);
	for (uint32_t slot = 0; slot < stream_of(c, l)->sink_count; slot++)
		if (!l->frontiers[slot].done)
			frontier_close(&l->frontiers[slot]);
	core_mark_dirty(c, lane);
	for (uint32_t child = l->first_child; child != CORE_NONE;
	     child = c->lanes[child].next_sibling)
		if (c->lanes[child].state == LANE_WAITING)
			lane_due(c, child, now_ms);
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

/* Where the lane goes after a page was read, failed or was released. */
static void lane_settle(struct core *c, uint32_t lane, int64_t now_ms, int64_t delay_ms)
{
	struct core_lane *l = &c->lanes[lane];

	if (l->stopping) {
		if (l->state == LANE_DUE)
			heap_remove(&c->due, lane);
		if (l->state != LANE_STOPPED)
			lane_move(l, LANE_STOPPED);
	} else if (l->closed) {
		if (lane_outstanding(l) == 0)
			lane_ended(c, lane, now_ms);
		else if (l->state != LANE_DRAINING)
			lane_move(l, LANE_DRAINING);
	} else if (lane_outstanding(l) == CORE_PAGES) {
		lane_move(l, LANE_FULL);
	} else if (l->state != LANE_DUE) {
		lane_due(c, lane, due_together_ms(now_ms, delay_ms));
	}
}

static void link_child(struct core *c, uint32_t parent, uint32_t lane)
{
	c->lanes[lane].next_sibling = c->lanes[parent].first_child;
	c->lanes[parent].first_child = lane;
}

uint32_t core_add_lane(struct core *c, const struct core_lane_start *start, int64_t now_ms)
{
	uint32_t lane = c->lane_count, slots = c->streams[start->stream].sink_count;
	bool done = true;

	assert(slots > 0);
	if (lane == c->lane_capacity) {
		c->lane_capacity = c->lane_capacity ? 2 * c->lane_capacity : 64;
		c->lanes = memory_resize(c->lanes, c->lane_capacity * sizeof(*c->lanes));
		heap_resize(&c->due, c->lane_capacity);
	}
	c->lane_count++;
	core_save_reserve(c, slots);

	struct core_lane *l = &c->lanes[lane];

	*l = (struct core_lane){ .stream = start->stream,
				 .parent = start->parent,
				 .first_child = CORE_NONE,
				 .next_sibling = CORE_NONE,
				 .dirty_next = CORE_NONE,
				 .store_id = start->store_id,
				 .recent_bytes = CHARGE_FIRST,
				 .frontiers = memory_array(slots, sizeof(*l->frontiers)) };
	for (uint32_t slot = 0; slot < slots; slot++) {
		const struct frontier_move *at = &start->at[slot];

		frontier_start(&l->frontiers[slot], &at->to, at->event_ms, at->done);
		l->stood[slot] = at->done;
		done = done && at->done;
		if (at->event_ms > l->event_ms)
			l->event_ms = at->event_ms;
	}
	if (start->parent != CORE_NONE)
		link_child(c, start->parent, lane);
	if (done) {
		l->state = LANE_ENDED;
		l->closed = true;
	} else if (start->stopped) {
		l->state = LANE_STOPPED;
		l->stopping = true;
	} else if (parent_ended(c, l)) {
		lane_due(c, lane, now_ms);
	}
	c->idle_said = false;
	return lane;
}

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

static void page_empty(struct core_lane *l, int64_t now_ms)
{
	if (l->empty_since_ms == 0)
		l->empty_since_ms = now_ms;
	l->empty_at_ms = now_ms;
}

/* A lane is busy while a request or a page of it is under way: what queues have room for. */
static void lane_busy(struct core *c, struct core_lane *l)
{
	bool busy = l->state == LANE_FETCHING || lane_outstanding(l) > 0;

	c->busy += (uint32_t)busy - (uint32_t)l->busy;
	l->busy = busy;
}

/* Pages that every sink has answered give their credit back. */
static void pages_release(struct core *c, uint32_t lane, int64_t now_ms)
{
	struct core_lane *l = &c->lanes[lane];
	uint64_t least = l->pages_read;
	bool released = false;

	for (uint32_t slot = 0; slot < stream_of(c, l)->sink_count; slot++)
		if (!l->stood[slot] && l->answered[slot] < least)
			least = l->answered[slot];
	while (l->pages_released < least) {
		credit_return(c, l->pages[l->pages_released++ % CORE_PAGES].charge);
		released = true;
	}
	if (released && l->state != LANE_FETCHING && l->state != LANE_DUE)
		lane_settle(c, lane, now_ms, 0);
	lane_busy(c, l);
}

static void on_page(struct core *c, const struct core_event *e)
{
	struct core_lane *l = &c->lanes[e->lane];
	bool records = !sequence_is_none(&e->end);
	size_t bytes = e->bytes + RECORD_BYTES * e->records;
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
	} else {
		page_empty(l, e->now_ms);
	}
	delay_ms = pacing_after(&l->pacing, &stream_of(c, l)->limits,
				records ? PACING_RECORDS : PACING_EMPTY, &c->rng);
	if (c->settings.idle_ms > 0 && delay_ms > c->settings.idle_ms / 2)
		delay_ms = c->settings.idle_ms / 2;
	l->stopping = l->stopping || e->stopped;
	l->closed = e->closed;
	if (l->closed)
		stream_of(c, l)->discovering++;
	lane_settle(c, e->lane, e->now_ms, delay_ms);
	if (l->stopping)
		pages_release(c, e->lane, e->now_ms); /* nobody may be left to answer it */
	lane_busy(c, l);
}

static void on_fetch_failed(struct core *c, const struct core_event *e)
{
	struct core_lane *l = &c->lanes[e->lane];
	bool throttled = e->failure == ERROR_THROTTLED;

	assert(l->state == LANE_FETCHING);
	c->fetches--;
	credit_return(c, l->charge);
	l->stopping = l->stopping || e->failure == ERROR_TRIMMED || e->failure == ERROR_INVALID;
	lane_settle(c, e->lane, e->now_ms,
		    pacing_after(&l->pacing, &stream_of(c, l)->limits,
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
}

static void on_answer(struct core *c, const struct core_event *e)
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

static void on_stand(struct core *c, const struct core_event *e)
{
	struct core_lane *l = &c->lanes[e->lane];
	uint32_t slot = core_sink_slot(c, e->lane, e->sink);

	if (!sequence_is_none(&e->end))
		frontier_forward(c, e->lane, slot, &e->end, e->end_ms, e->roll);
	l->stood[slot] = true;
	l->stopping = true;
	if (l->state != LANE_FETCHING)
		lane_settle(c, e->lane, e->now_ms, 0);
	pages_release(c, e->lane, e->now_ms);
}

/* Issues the fetches that time, budget and credit allow. */
static size_t fetch_due(struct core *c, int64_t now_ms, struct core_action *out, size_t max)
{
	size_t n = 0;
	uint32_t lane;
	int64_t due_ms, wait_ms;

	while (!c->stopping && n < max && c->fetches < c->settings.fetches_max &&
	       heap_top(&c->due, &lane, &due_ms) && due_ms <= now_ms) {
		struct core_lane *l = &c->lanes[lane];
		struct core_stream *s = stream_of(c, l);
		size_t charge = CHARGE_FACTOR * l->recent_bytes;

		if (!l->busy && c->busy >= c->settings.lanes_max)
			break;
		if (c->charged > 0 && c->credit < (int64_t)charge) {
			c->credit_waits++;
			break;
		}
		if (!pacing_take(&s->budget, s->limits.budget, now_ms, &wait_ms)) {
			heap_set(&c->due, lane, now_ms + wait_ms);
			continue;
		}
		heap_remove(&c->due, lane);
		lane_move(l, LANE_FETCHING);
		lane_busy(c, l);
		l->charge = charge;
		credit_take(c, charge);
		c->fetches++;
		out[n++] = (struct core_action){ .type = CORE_FETCH, .lane = lane };
	}
	return n;
}

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
		return true;
	case LANE_WAITING:
		return descends_from_stopped(c, lane);
	case LANE_DUE:
	case LANE_FETCHING:
		return lane_outstanding(l) == 0 && l->empty_since_ms != 0 &&
		       l->empty_at_ms - l->empty_since_ms >= c->settings.idle_ms;
	default:
		return false;
	}
}

static bool core_idle(const struct core *c)
{
	for (uint32_t i = 0; i < c->stream_count; i++)
		if (c->streams[i].discovering > 0)
			return false;
	for (uint32_t i = 0; i < c->lane_count; i++)
		if (!lane_idle(c, i))
			return false;
	return true;
}

static bool core_is_drained(const struct core *c)
{
	if (c->fetches > 0 || c->saving || c->charged > 0 || c->dirty_first != CORE_NONE)
		return false;
	for (uint32_t i = 0; i < c->sink_count; i++)
		if (core_sink_unsettled(&c->sinks[i]))
			return false;
	return true;
}

/* On the way out an open roll cannot wait for its size or age. */
static size_t prepare_all(struct core *c, int64_t now_ms, struct core_action *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < c->sink_count; i++) {
		struct core_sink *k = &c->sinks[i];

		if (!k->rolls || k->prepared || k->saving || k->taken_roll <= k->saved ||
		    (k->asked_ms && now_ms < k->asked_ms + PREPARE_AGAIN_MS))
			continue;
		k->asked_ms = now_ms;
		out[n++] = (struct core_action){ .type = CORE_PREPARE, .sink = i };
	}
	return n;
}

/* The save just stored had rolls: they may become visible now. */
static size_t finish_saved(const struct core *c, struct core_action *out)
{
	size_t n = 0;

	for (size_t i = 0; i < c->save.roll_count; i++)
		out[n++] = (struct core_action){ .type = CORE_FINISH,
						 .sink = c->save.rolls[i].sink,
						 .roll = c->save.rolls[i].roll };
	return n;
}

static size_t on_event(struct core *c, const struct core_event *e, struct core_action *out)
{
	size_t n = 0;

	switch (e->type) {
	case CORE_TICK:
		break;
	case CORE_PAGE:
		on_page(c, e);
		if (c->lanes[e->lane].closed)
			out[n++] = (struct core_action){ .type = CORE_DISCOVER, .lane = e->lane };
		break;
	case CORE_FETCH_FAILED:
		on_fetch_failed(c, e);
		break;
	case CORE_ANSWER:
		on_answer(c, e);
		break;
	case CORE_STAND:
		on_stand(c, e);
		break;
	case CORE_PREPARED:
		assert(c->sinks[e->sink].prepared == 0);
		c->sinks[e->sink].prepared = e->roll;
		c->sinks[e->sink].deliveries = e->deliveries;
		break;
	case CORE_FINISHED:
		c->sinks[e->sink].finished = e->roll;
		break;
	case CORE_SAVED:
		core_save_done(c, e->now_ms);
		n = finish_saved(c, out);
		break;
	case CORE_CHILDREN:
		assert(c->streams[e->stream].discovering > 0);
		c->streams[e->stream].discovering--;
		break;
	case CORE_STOP:
		c->stopping = true;
		break;
	}
	return n;
}

static int64_t next_wake(const struct core *c, int64_t now_ms, bool more)
{
	int64_t wake = INT64_MAX, due_ms;
	uint32_t lane;

	if (more)
		return now_ms;
	if (!c->stopping && c->fetches < c->settings.fetches_max &&
	    heap_top(&c->due, &lane, &due_ms) && due_ms > now_ms)
		wake = due_ms;
	if (!c->saving && c->saved_at_ms + c->settings.save_interval_ms < wake)
		wake = c->saved_at_ms + c->settings.save_interval_ms;
	if (c->stopping && !c->drained && now_ms + PREPARE_AGAIN_MS < wake)
		wake = now_ms + PREPARE_AGAIN_MS;
	return wake > now_ms ? wake : now_ms + 1;
}

size_t core_step(struct core *c, const struct core_event *e, struct core_action *out, size_t max)
{
	size_t n = on_event(c, e, out), fetched;

	assert(max >= CORE_ACTIONS_MIN);
	if (c->stopping)
		n += prepare_all(c, e->now_ms, out + n);
	if (!c->saving && core_save_build(c, e->now_ms)) {
		c->saving = true;
		out[n++] = (struct core_action){ .type = CORE_SAVE };
	}
	if (c->stopping && !c->drained && core_is_drained(c)) {
		c->drained = true;
		out[n++] = (struct core_action){ .type = CORE_DRAINED };
	}
	if (c->settings.idle_ms > 0 && !c->idle_said && !c->stopping && core_idle(c)) {
		c->idle_said = true;
		out[n++] = (struct core_action){ .type = CORE_IDLE };
	}
	fetched = fetch_due(c, e->now_ms, out + n, max - n);
	c->next_wake_ms = next_wake(c, e->now_ms, n + fetched == max);
	return n + fetched;
}

int64_t core_wake_ms(const struct core *c)
{
	return c->next_wake_ms;
}

/* How far a sink is in the lane: what it has answered, else the first page that waits for it. */
static int64_t answered_ms(const struct core_lane *l, uint32_t slot)
{
	if (l->frontiers[slot].end_ms > 0 || l->answered[slot] == l->pages_read)
		return l->frontiers[slot].end_ms;
	return l->pages[l->answered[slot] % CORE_PAGES].end_ms;
}

void core_view(const struct core *c, uint32_t stream, struct core_view *view)
{
	*view = (struct core_view){ 0 };
	for (uint32_t i = 0; i < c->lane_count; i++) {
		const struct core_lane *l = &c->lanes[i];
		bool behind = l->state != LANE_ENDED &&
			      (lane_outstanding(l) > 0 || l->empty_since_ms == 0);

		if (l->stream != stream)
			continue;
		view->shards[l->state]++;
		if (l->state == LANE_STOPPED || descends_from_stopped(c, i))
			view->standing++;
		for (uint32_t slot = 0; behind && slot < c->streams[stream].sink_count; slot++) {
			int64_t at = answered_ms(l, slot);

			if (at > 0 && (view->oldest_event_ms == 0 || at < view->oldest_event_ms))
				view->oldest_event_ms = at;
		}
	}
}
