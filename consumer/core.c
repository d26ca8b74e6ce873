#include "consumer/core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "consumer/core_internal.h"

/* A sink that was asked to prepare and has not answered is asked again after this long. */
#define PREPARE_AGAIN_MS 200

void core_init(struct core *c, const struct core_settings *settings)
{
	*c = (struct core){ .settings = *settings,
			    .credit = settings->memory_bytes,
			    .unused_first = CORE_NONE,
			    .dirty_first = CORE_NONE,
			    .parting_first = CORE_NONE,
			    .next_wake_ms = INT64_MAX };
	core_due_init(c);
	rng_seed(&c->rng, settings->seed);
}

void core_release(struct core *c)
{
	for (uint32_t i = 0; i < c->lane_count; i++)
		free(c->lanes[i].frontiers);
	free(c->lanes);
	free(c->streams);
	free(c->save.moves);
	free(c->save.pending);
	free(c->save.reads);
	core_due_release(c);
	*c = (struct core){ 0 };
}

uint32_t core_add_sink(struct core *c, enum sink_commit commit)
{
	assert(c->sink_count < CORE_SINKS_MAX);
	c->sinks[c->sink_count] = (struct core_sink){ .commit = commit };
	return c->sink_count++;
}

static uint32_t stream_take(struct core *c)
{
	uint32_t stream = 0;

	while (stream < c->stream_count && c->streams[stream].sink_count > 0)
		stream++;
	if (stream < c->stream_count)
		return stream;
	if (c->stream_count == c->stream_capacity) {
		c->stream_capacity = c->stream_capacity ? 2 * c->stream_capacity : 8;
		c->streams = memory_resize(c->streams, c->stream_capacity * sizeof(*c->streams));
	}
	return c->stream_count++;
}

uint32_t core_add_stream(struct core *c, const struct pacing_limits *limits, const uint32_t *sinks,
			 uint32_t sink_count)
{
	uint32_t stream = stream_take(c);
	struct core_stream *s = &c->streams[stream];

	assert(sink_count > 0 && sink_count <= CORE_SINKS_MAX);
	*s = (struct core_stream){ .limits = *limits, .sink_count = sink_count, .discovering = 1 };
	memcpy(s->sinks, sinks, sink_count * sizeof(*sinks));
	core_due_add_stream(c, stream);
	c->idle_said = false;
	return stream;
}

uint32_t core_add_files(struct core *c, const uint32_t *sinks, uint32_t sink_count)
{
	const struct pacing_limits none = { 0 };
	uint32_t stream = core_add_stream(c, &none, sinks, sink_count);

	c->streams[stream].files = true;
	c->streams[stream].discovering = 0;
	return stream;
}

void core_expect(struct core *c, uint32_t streams)
{
	if (streams < c->expected)
		c->idle_said = false;
	c->expected = streams;
}

void core_remove_stream(struct core *c, uint32_t stream)
{
	assert(c->streams[stream].sink_count > 0 && c->streams[stream].lane_count == 0);
	c->streams[stream] = (struct core_stream){ 0 };
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

static bool core_is_drained(const struct core *c)
{
	if (c->fetches > 0 || c->saving || c->charged > 0 || c->dirty_first != CORE_NONE)
		return false;
	for (uint32_t i = 0; i < c->sink_count; i++)
		if (core_sink_unsettled(&c->sinks[i]))
			return false;
	return true;
}

/* On the way out, of the session or of a lane, an open roll cannot wait for its size or age. */
static bool must_roll(const struct core *c, const struct core_sink *k)
{
	return k->commit != SINK_IMMEDIATE && (c->stopping ? k->taken_roll : k->leaving) > k->saved;
}

static size_t prepare(struct core *c, int64_t now_ms, struct core_action *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < c->sink_count; i++) {
		struct core_sink *k = &c->sinks[i];

		if (!must_roll(c, k) || k->prepared || k->saving ||
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
		core_on_page(c, e);
		if (e->leaves)
			core_lane_leave(c, e->lane);
		if (c->lanes[e->lane].closed && !c->lanes[e->lane].children_known)
			out[n++] = (struct core_action){ .type = CORE_DISCOVER, .lane = e->lane };
		break;
	case CORE_FETCH_FAILED:
		core_on_fetch_failed(c, e);
		if (e->leaves)
			core_lane_leave(c, e->lane);
		break;
	case CORE_ANSWER:
		core_on_answer(c, e);
		break;
	case CORE_PART:
		core_on_part(c, e);
		break;
	case CORE_STAND:
		core_on_stand(c, e);
		break;
	case CORE_PREPARED:
		assert(c->sinks[e->sink].prepared == 0);
		c->sinks[e->sink].prepared = e->roll;
		c->sinks[e->sink].deliveries = e->deliveries;
		break;
	case CORE_FINISHED:
		c->sinks[e->sink].finished = e->roll;
		c->parting_check = true;
		break;
	case CORE_SAVED:
		core_save_done(c, e->now_ms);
		c->parting_check = true;
		n = finish_saved(c, out);
		break;
	case CORE_CHILDREN:
		assert(c->streams[e->stream].discovering > 0);
		c->streams[e->stream].discovering--;
		if (e->lane != CORE_NONE)
			core_lane_children_known(c, e->lane);
		break;
	case CORE_GAP:
		core_lane_gap(c, e->lane, e->accepted, e->now_ms);
		break;
	case CORE_RELEASE:
		core_lane_leave(c, e->lane);
		break;
	case CORE_HURRY:
		core_hurry(c, e->stream);
		break;
	case CORE_HOLD:
		core_lanes_hold(c, e->stream, e->now_ms);
		break;
	case CORE_STOP:
		c->stopping = true;
		break;
	}
	return n;
}

static bool asks_again(const struct core *c)
{
	bool asks = c->stopping && !c->drained;

	for (uint32_t i = 0; i < c->sink_count; i++)
		asks = asks || must_roll(c, &c->sinks[i]);
	return asks;
}

static int64_t next_wake(const struct core *c, int64_t now_ms, bool more)
{
	int64_t wake;

	if (more)
		return now_ms;
	wake = core_due_wake_ms(c, now_ms);
	if (!c->saving && c->saved_at_ms + c->settings.save_interval_ms < wake)
		wake = c->saved_at_ms + c->settings.save_interval_ms;
	if (asks_again(c) && now_ms + PREPARE_AGAIN_MS < wake)
		wake = now_ms + PREPARE_AGAIN_MS;
	return wake > now_ms ? wake : now_ms + 1;
}

size_t core_step(struct core *c, const struct core_event *e, struct core_action *out, size_t max)
{
	size_t n = on_event(c, e, out), fetched;

	assert(max >= CORE_ACTIONS_MIN);
	n += prepare(c, e->now_ms, out + n);
	if (!c->saving && core_save_build(c, e->now_ms)) {
		c->saving = true;
		out[n++] = (struct core_action){ .type = CORE_SAVE };
	}
	n += core_part(c, out + n, max - n - 2); /* room for the two that follow */
	if (c->stopping && !c->drained && !c->parting_check && core_is_drained(c)) {
		c->drained = true;
		out[n++] = (struct core_action){ .type = CORE_DRAINED };
	}
	if (c->settings.idle_ms > 0 && !c->idle_said && !c->stopping && core_idle(c)) {
		c->idle_said = true;
		out[n++] = (struct core_action){ .type = CORE_IDLE };
	}
	fetched = core_fetch_due(c, e->now_ms, out + n, max - n);
	c->next_wake_ms = next_wake(c, e->now_ms, n + fetched == max || c->parting_check);
	return n + fetched;
}

int64_t core_wake_ms(const struct core *c)
{
	return c->next_wake_ms;
}
