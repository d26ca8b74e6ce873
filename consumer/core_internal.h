#pragma once
#include "consumer/core.h"

/* Between core.c (a step), core_lane.c (states, the tree, who leaves), core_pages.c (pages and
 * credit), core_due.c (who is fetched next), core_save.c (what may be saved) and core_view.c (what
 * can be seen). */

/* What a record costs besides its text, before it is charged: its event, and its message with key
 * and headers in librdkafka. Measured; of short records it is the larger part. */
#define CORE_RECORD_BYTES ((size_t)768)
/* What a lane is taken for before it has shown how large its pages are: DynamoDB's largest page, as
 * after a pause all shards have such pages at once. */
#define CORE_PAGE_FIRST (((size_t)1 << 20) + 1000 * CORE_RECORD_BYTES)

static inline struct core_stream *core_stream_of(struct core *c, const struct core_lane *l)
{
	return &c->streams[l->stream];
}

static inline uint64_t core_outstanding(const struct core_lane *l)
{
	return l->pages_read - l->pages_released;
}

/* Nothing more is fetched of it, whatever the time. */
static inline bool core_stands(const struct core_lane *l)
{
	return l->stopping || l->at_gap;
}

/* core_lane.c: asserts that the move is allowed */
void core_lane_move(struct core_lane *l, enum lane_state to);
/* Where the lane goes after a page was read, failed or was released. */
void core_lane_settle(struct core *c, uint32_t lane, int64_t now_ms, int64_t delay_ms);
void core_lane_leave(struct core *c, uint32_t lane);
void core_lanes_hold(struct core *c, uint32_t stream, int64_t now_ms);
void core_lane_gap(struct core *c, uint32_t lane, bool accepted, int64_t now_ms);
/* The open rolls that took of a lane on its way out cannot wait for their size or age. */
void core_lane_hurry(struct core *c, const struct core_lane *l);
/* The same of the stream's closed lanes. */
void core_hurry(struct core *c, uint32_t stream);
void core_lane_children_known(struct core *c, uint32_t lane);
/* CORE_RELEASED and CORE_ENDED for those that are ready; what did not fit stays ready. */
size_t core_part(struct core *c, struct core_action *out, size_t max);

/* core_due.c */
void core_due_init(struct core *c);
void core_due_release(struct core *c);
/* After its limits are set. */
void core_due_add_stream(struct core *c, uint32_t stream);
/* The lane, which is LANE_DUE, will be fetched at its time; or not, where it was to be. */
void core_due_add(struct core *c, uint32_t lane, int64_t at_ms);
void core_due_remove(struct core *c, uint32_t lane);
/* One of the stream's lanes was throttled. */
void core_stream_throttled(struct core *c, struct core_lane *l, int64_t now_ms);
/* Issues the fetches that time, budget and credit allow. */
size_t core_fetch_due(struct core *c, int64_t now_ms, struct core_action *out, size_t max);
/* When there may be more to fetch by itself; INT64_MAX: only when something happens. */
int64_t core_due_wake_ms(const struct core *c, int64_t now_ms);

/* core_pages.c */
/* There is credit for the lane's next page, and room in the queues. */
bool core_fetch_fits(struct core *c, const struct core_lane *l);
void core_fetch(struct core *c, uint32_t lane);
void core_on_page(struct core *c, const struct core_event *e);
void core_on_fetch_failed(struct core *c, const struct core_event *e);
void core_on_answer(struct core *c, const struct core_event *e);
void core_on_part(struct core *c, const struct core_event *e);
void core_on_stand(struct core *c, const struct core_event *e);

/* core_save.c */
void core_mark_dirty(struct core *c, uint32_t lane);
/* Fills c->save and says whether there is anything in it. */
bool core_save_build(struct core *c, int64_t now_ms);
/* The save in flight is in the store: positions, rolls, rows. */
void core_save_done(struct core *c, int64_t now_ms);
/* Room in the save's arrays for one more lane with this many sinks: a step needs no memory. */
void core_save_reserve(struct core *c, uint32_t slots);
/* A roll, or a roll's row, that is not where it should be at the end. */
bool core_sink_unsettled(const struct core_sink *k);

/* core_view.c: every lane was empty for long enough */
bool core_idle(const struct core *c);
