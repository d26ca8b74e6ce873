/* Which lane is fetched next. A lane waits for its time in c->due. Then it is ready, in its
 * stream's ring of its class; and the stream, as one that has something to fetch, stands in
 * c->turns, or in c->paused until its budget has a call again. So a call costs O(log n), and what
 * waits costs nothing, however much it is. */
#include <assert.h>

#include "consumer/core_internal.h"

void core_due_init(struct core *c)
{
	heap_init(&c->due, 64);
	heap_init(&c->paused, 8);
	for (int k = 0; k < PACING_CLASSES; k++)
		heap_init(&c->turns[k], 8);
}

void core_due_release(struct core *c)
{
	heap_release(&c->due);
	heap_release(&c->paused);
	for (int k = 0; k < PACING_CLASSES; k++)
		heap_release(&c->turns[k]);
}

void core_due_add_stream(struct core *c, uint32_t stream)
{
	struct core_stream *s = &c->streams[stream];

	heap_resize(&c->paused, stream + 1);
	for (int k = 0; k < PACING_CLASSES; k++) {
		heap_resize(&c->turns[k], stream + 1);
		s->ready[k] = CORE_NONE;
	}
	s->share_milli = s->limits.budget * 1000;
}

/* --- streams --- */

static unsigned classes_ready(const struct core_stream *s)
{
	unsigned classes = 0;

	for (unsigned k = 0; k < PACING_CLASSES; k++)
		classes |= (unsigned)(s->ready[k] != CORE_NONE) << k;
	return classes;
}

/* Puts the stream where it belongs after its ready lanes, its turn or its pause changed. */
static void stream_place(struct core *c, uint32_t stream)
{
	const struct core_stream *s = &c->streams[stream];
	unsigned classes = classes_ready(s), place = PACING_CLASSES;

	if (classes == 0)
		heap_remove(&c->paused, stream);
	else if (!heap_contains(&c->paused, stream))
		place = pacing_turn(&s->turns, classes);
	for (unsigned k = 0; k < PACING_CLASSES; k++)
		if (k == place)
			heap_set(&c->turns[k], stream, (int64_t)s->called);
		else
			heap_remove(&c->turns[k], stream);
}

static void stream_pause(struct core *c, uint32_t stream, int64_t until_ms)
{
	heap_set(&c->paused, stream, until_ms);
	stream_place(c, stream);
}

static void stream_resume(struct core *c, uint32_t stream)
{
	heap_remove(&c->paused, stream);
	stream_place(c, stream);
}

void core_set_budget(struct core *c, uint32_t stream, int64_t milli)
{
	struct core_stream *s = &c->streams[stream];

	assert((milli > 0) == (s->limits.budget > 0));
	if (s->share_milli == milli)
		return;
	s->share_milli = milli;
	stream_resume(c, stream);
}

/* Calls a second, thousandths; 0: no limit. */
static int64_t stream_rate(struct core *c, struct core_stream *s, int64_t now_ms)
{
	bool braked = pacing_brake_turn(&s->brake, now_ms);
	int64_t rate = pacing_limit_milli(&s->brake, s->share_milli);

	/* Up to a second of silence: not all workers shall come back at once. */
	if (braked) {
		s->bucket.tokens = -(int64_t)rng_below(&c->rng, (uint64_t)rate * 1000);
		s->bucket.at_ms = now_ms;
	}
	return rate;
}

void core_stream_throttled(struct core *c, struct core_lane *l, int64_t now_ms)
{
	struct core_stream *s = core_stream_of(c, l);

	stream_rate(c, s, now_ms);
	pacing_brake_throttled(&s->brake, &l->pacing);
}

/* --- lanes --- */

static void ready_add(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];
	uint32_t *first = &core_stream_of(c, l)->ready[pacing_class(&l->pacing)];

	l->ready = true;
	if (*first == CORE_NONE) {
		*first = l->ready_next = l->ready_before = lane;
	} else {
		l->ready_next = *first;
		l->ready_before = c->lanes[*first].ready_before;
		c->lanes[l->ready_before].ready_next = lane;
		c->lanes[*first].ready_before = lane;
	}
	stream_place(c, l->stream);
}

static void ready_remove(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];
	uint32_t *first = &core_stream_of(c, l)->ready[pacing_class(&l->pacing)];

	l->ready = false;
	c->lanes[l->ready_before].ready_next = l->ready_next;
	c->lanes[l->ready_next].ready_before = l->ready_before;
	if (*first == lane)
		*first = l->ready_next == lane ? CORE_NONE : l->ready_next;
	stream_place(c, l->stream);
}

void core_due_add(struct core *c, uint32_t lane, int64_t at_ms)
{
	heap_set(&c->due, lane, at_ms);
}

void core_due_remove(struct core *c, uint32_t lane)
{
	heap_remove(&c->due, lane);
	if (c->lanes[lane].ready)
		ready_remove(c, lane);
}

/* --- fetching --- */

/* Whose time has come. */
static void ripen(struct core *c, int64_t now_ms)
{
	uint32_t id;
	int64_t at_ms;

	while (heap_top(&c->due, &id, &at_ms) && at_ms <= now_ms) {
		heap_remove(&c->due, id);
		ready_add(c, id);
	}
	while (heap_top(&c->paused, &id, &at_ms) && at_ms <= now_ms)
		stream_resume(c, id);
}

/* The stream of the class whose turn it is that has waited longest for a call, among those that
 * may make one. */
static uint32_t next_stream(struct core *c, int64_t now_ms, unsigned *classes)
{
	for (;;) {
		struct core_stream *s;
		uint32_t stream;
		int64_t key, wait_ms;

		*classes = 0;
		for (unsigned k = 0; k < PACING_CLASSES; k++)
			*classes |= (unsigned)(c->turns[k].count > 0) << k;
		if (*classes == 0)
			return CORE_NONE;
		heap_top(&c->turns[pacing_turn(&c->stream_turns, *classes)], &stream, &key);
		s = &c->streams[stream];
		wait_ms = pacing_wait_ms(&s->bucket, stream_rate(c, s, now_ms), now_ms);
		if (wait_ms == 0)
			return stream;
		stream_pause(c, stream, now_ms + wait_ms);
	}
}

/* The lane's stream makes a call. */
static void count_call(struct core *c, uint32_t lane, unsigned classes)
{
	struct core_lane *l = &c->lanes[lane];
	struct core_stream *s = core_stream_of(c, l);
	unsigned ready = classes_ready(s);
	enum pacing_class own = pacing_turn(&s->turns, ready);

	pacing_take(&s->bucket, pacing_limit_milli(&s->brake, s->share_milli));
	pacing_brake_call(&s->brake, &l->pacing);
	pacing_turn_taken(&c->stream_turns, classes, own);
	pacing_turn_taken(&s->turns, ready, own);
	s->called = ++c->calls;
}

size_t core_fetch_due(struct core *c, int64_t now_ms, struct core_action *out, size_t max)
{
	size_t n = 0;

	if (c->stopping || c->fetches >= c->settings.fetches_max)
		return 0;
	ripen(c, now_ms);
	while (n < max && c->fetches < c->settings.fetches_max) {
		unsigned classes;
		uint32_t stream = next_stream(c, now_ms, &classes), lane;

		if (stream == CORE_NONE)
			break;
		lane = c->streams[stream].ready[pacing_turn(&c->streams[stream].turns,
							    classes_ready(&c->streams[stream]))];
		if (!core_fetch_fits(c, &c->lanes[lane]))
			break;
		count_call(c, lane, classes);
		core_due_remove(c, lane);
		core_fetch(c, lane);
		out[n++] = (struct core_action){ .type = CORE_FETCH, .lane = lane };
	}
	return n;
}

int64_t core_due_wake_ms(const struct core *c, int64_t now_ms)
{
	int64_t wake_ms = INT64_MAX, at_ms;
	uint32_t id;

	if (c->stopping || c->fetches >= c->settings.fetches_max)
		return INT64_MAX;
	if (heap_top(&c->due, &id, &at_ms) && at_ms > now_ms)
		wake_ms = at_ms;
	if (heap_top(&c->paused, &id, &at_ms) && at_ms > now_ms && at_ms < wake_ms)
		wake_ms = at_ms;
	return wake_ms;
}
