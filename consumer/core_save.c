#include <assert.h>

#include "base/memory.h"
#include "consumer/core_internal.h"

/* That a lane was read is worth a row change only now and then (design, "Sessions"). */
#define READ_SAVE_MS (5 * 60 * 1000)

void core_mark_dirty(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];

	if (l->dirty)
		return;
	l->dirty = true;
	l->dirty_next = c->dirty_first;
	c->dirty_first = lane;
}

void core_save_reserve(struct core *c, uint32_t slots)
{
	struct core_save *s = &c->save;

	if (c->lane_count > s->read_capacity) {
		s->read_capacity = 2 * c->lane_count;
		s->reads = memory_resize(s->reads, s->read_capacity * sizeof(*s->reads));
	}
	c->slot_count += slots;
	if (c->slot_count > s->move_capacity) {
		s->move_capacity = 2 * c->slot_count;
		s->moves = memory_resize(s->moves, s->move_capacity * sizeof(*s->moves));
		s->pending = memory_resize(s->pending, s->move_capacity * sizeof(*s->pending));
	}
}

bool core_sink_unsettled(const struct core_sink *k)
{
	return k->taken_roll > k->saved || k->finished < k->saved || k->reported < k->finished;
}

/* Its answers travel another way than its blob: all have to be here before the save. */
static bool roll_ready(const struct core_sink *k)
{
	return k->prepared && k->rolls_open[k->prepared % FRONTIER_ROLLS].number == k->prepared &&
	       k->rolls_open[k->prepared % FRONTIER_ROLLS].answers == k->deliveries;
}

static void collect_rolls(struct core *c)
{
	struct core_save *s = &c->save;

	for (uint32_t i = 0; i < c->sink_count; i++) {
		struct core_sink *k = &c->sinks[i];

		if (roll_ready(k)) {
			s->rolls[s->roll_count].sink = i;
			s->rolls[s->roll_count++].roll = k->prepared;
			k->saving = k->prepared;
			k->prepared = 0;
		}
		if (k->finished > k->reported) {
			s->finished[s->finished_count].sink = i;
			s->finished[s->finished_count++].roll = k->finished;
			k->reporting = k->finished;
		}
	}
}

/* Another session starts a child as soon as its parent's end is in the store. It gets there once
 * everything of the parent is visible, and with the ends of all before it or after them: else a
 * crash would leave a grandchild that may start while the first of the three is read again. */
static bool may_end(const struct core *c, uint32_t lane, uint32_t slot)
{
	for (uint32_t up = lane; up != CORE_NONE; up = c->lanes[up].parent) {
		const struct frontier *f = &c->lanes[up].frontiers[slot];
		uint32_t sink = c->streams[c->lanes[up].stream].sinks[slot];

		if (f->done)
			return true;
		if (!f->closed || !frontier_visible(f, c->sinks[sink].finished))
			return false;
	}
	return true;
}

/* Whose range the positions of this save move over. */
static uint64_t moved_roll(const struct core_sink *k)
{
	return k->commit == SINK_TRANSACTION ? k->reporting : k->saving;
}

static void collect_pending(struct core *c, uint32_t lane, uint32_t slot)
{
	struct core_save *s = &c->save;
	const struct core_lane *l = &c->lanes[lane];
	uint32_t sink = c->streams[l->stream].sinks[slot];
	struct frontier_move move;

	if (c->sinks[sink].commit != SINK_TRANSACTION ||
	    !frontier_pending(&l->frontiers[slot], c->sinks[sink].saving, &move))
		return;
	assert(s->pending_count < s->move_capacity);
	s->pending[s->pending_count++] = (struct core_move){
		.store_id = l->store_id, .lane = lane, .sink = sink, .move = move
	};
}

static void collect_moves(struct core *c)
{
	struct core_save *s = &c->save;
	uint32_t lane = c->dirty_first, next;

	c->dirty_first = CORE_NONE;
	for (; lane != CORE_NONE; lane = next) {
		struct core_lane *l = &c->lanes[lane];
		const struct core_stream *stream = &c->streams[l->stream];
		bool waits = false;

		next = l->dirty_next;
		l->dirty = false;
		for (uint32_t slot = 0; slot < stream->sink_count; slot++) {
			uint32_t sink = stream->sinks[slot];
			struct frontier_move move;

			collect_pending(c, lane, slot);
			if (!frontier_move(&l->frontiers[slot], moved_roll(&c->sinks[sink]),
					   may_end(c, lane, slot), &move)) {
				waits = waits || !frontier_clean(&l->frontiers[slot]);
				continue;
			}
			assert(s->move_count < s->move_capacity);
			s->moves[s->move_count++] = (struct core_move){
				.store_id = l->store_id, .lane = lane, .sink = sink, .move = move
			};
		}
		/* For its roll; what moves is looked at again when the save is done. */
		if (waits)
			core_mark_dirty(c, lane);
	}
}

static void collect_read(struct core *c, uint32_t lane)
{
	struct core_lane *l = &c->lanes[lane];

	/* When a data file was read, nobody asks: nothing of it is lost with time. */
	if (l->read && !c->streams[l->stream].files)
		c->save.reads[c->save.read_count++] = lane;
	l->read_saved = l->read_saved || l->read;
	l->read = false;
}

static void collect_first_reads(struct core *c, const struct core_move *moves, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!c->lanes[moves[i].lane].read_saved)
			collect_read(c, moves[i].lane);
}

/* The first time it comes with the lane's position, or what may become it at the burial: where it
 * is not known when a place was read, nobody can tell that it was left alone for too long. */
static void collect_reads(struct core *c, int64_t now_ms)
{
	if (!c->stopping && now_ms < c->read_saved_at_ms + READ_SAVE_MS) {
		collect_first_reads(c, c->save.moves, c->save.move_count);
		collect_first_reads(c, c->save.pending, c->save.pending_count);
		return;
	}
	c->read_saved_at_ms = now_ms;
	for (uint32_t i = 0; i < c->lane_count; i++)
		collect_read(c, i);
}

bool core_save_build(struct core *c, int64_t now_ms)
{
	bool urgent = c->stopping;

	for (uint32_t i = 0; i < c->sink_count; i++)
		urgent = urgent || roll_ready(&c->sinks[i]);
	if (!urgent && now_ms < c->saved_at_ms + c->settings.save_interval_ms)
		return false;

	c->save.move_count = c->save.roll_count = c->save.finished_count = c->save.read_count = 0;
	c->save.pending_count = 0;
	c->saved_at_ms = now_ms;
	collect_rolls(c);
	collect_moves(c);
	collect_reads(c, now_ms);
	return c->save.move_count + c->save.roll_count + c->save.finished_count +
		       c->save.read_count >
	       0;
}

void core_save_done(struct core *c, int64_t now_ms)
{
	assert(c->saving);
	c->saving = false;
	c->saved_at_ms = now_ms;
	for (size_t i = 0; i < c->save.move_count; i++) {
		const struct core_move *m = &c->save.moves[i];
		struct frontier *f =
			&c->lanes[m->lane].frontiers[core_sink_slot(c, m->lane, m->sink)];

		frontier_saved(f, moved_roll(&c->sinks[m->sink]), &m->move);
		if (!frontier_clean(f))
			core_mark_dirty(c, m->lane);
	}
	for (uint32_t i = 0; i < c->sink_count; i++) {
		struct core_sink *k = &c->sinks[i];

		if (k->saving)
			k->saved = k->saving;
		if (k->reporting)
			k->reported = k->reporting;
		k->saving = k->reporting = 0;
	}
}
