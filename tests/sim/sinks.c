/* Three kinds of sinks. What is sent to one that takes record by record (Kafka) lands up to half a
 * lease later, whether its sender still lives or not. In one of rolls nothing is seen before its
 * roll is stored, and then all of it at once. In one of transactions (Kafka, exactly once) neither,
 * but what is stored may never be seen: its producer may be fenced. */
#include "database.h"
#include "world.h"

struct roll *roll_find(struct world *w, uint64_t session, uint32_t sink, uint64_t number)
{
	for (size_t i = 0; i < ROLLS_MAX; i++) {
		struct roll *r = &w->rolls[i];

		if (r->state != ROLL_NONE && r->session == session && r->sink == sink &&
		    r->number == number)
			return r;
	}
	return NULL;
}

struct roll *roll_new(struct world *w, uint64_t session, uint32_t sink, uint64_t number)
{
	struct roll *r = w->rolls;

	assert(!roll_find(w, session, sink, number));
	while (r->state != ROLL_NONE && r->state != ROLL_NEVER)
		assert(++r < w->rolls + ROLLS_MAX);
	r->state = ROLL_PREPARED;
	r->row = false;
	r->session = session;
	r->sink = sink;
	r->number = number;
	r->count = r->pending_count = 0;
	return r;
}

/* Complete may come again and from anybody; of one that is forgotten it came before. */
void roll_visible(struct world *w, struct roll *r)
{
	if (!r || r->state == ROLL_VISIBLE)
		return;
	assert(r->state == ROLL_STORED || r->state == ROLL_NEVER);
	r->state = ROLL_VISIBLE;
	for (size_t i = 0; i < r->count; i++) {
		w->sinks[r->sink].stored[r->refs[i].shard][r->refs[i].index] = false;
		world_append(w, r->sink, r->refs[i]);
	}
}

void producer_fence(struct world *w, uint64_t session, uint32_t sink)
{
	w->sinks[sink].fenced[session] = true;
}

void producer_commit(struct world *w, const struct event *e)
{
	struct sink_world *k = &w->sinks[e->sink];

	if (k->fenced[e->session]) {
		count_fault(w, FAULT_COMMIT_FENCED);
		return;
	}
	k->counted[e->session] = e->roll;
	roll_visible(w, roll_find(w, e->session, e->sink, e->roll));
}

bool producer_committed(const struct world *w, uint64_t session, uint32_t sink, uint64_t number)
{
	return w->sinks[sink].counted[session] >= number;
}

void rolls_sweep(struct world *w, uint64_t session)
{
	for (size_t i = 0; i < ROLLS_MAX; i++)
		if (w->rolls[i].session == session && w->rolls[i].state == ROLL_PREPARED)
			w->rolls[i].state = ROLL_ABORTED;
}

/* Nobody can commit any of it any more. */
void rolls_forget(struct world *w, uint64_t session)
{
	for (size_t i = 0; i < ROLLS_MAX; i++)
		if (w->rolls[i].session == session && w->rolls[i].state != ROLL_STORED &&
		    w->rolls[i].state != ROLL_NEVER)
			w->rolls[i].state = ROLL_NONE;
}

void sink_land(struct world *w, const struct event *e)
{
	struct sink_world *k = &w->sinks[e->sink];

	database_check_landing(w, e);
	for (int i = e->from; i < e->to; i++)
		if (!k->filtered[e->shard][i] &&
		    world_record_ms(&w->shards[e->shard], i) >= w->start_ms)
			world_append(w, e->sink, (struct ref){ (uint8_t)e->shard, (uint8_t)i });
}

void sinks_cut(struct world *w, uint64_t life, bool purged)
{
	for (size_t i = 0; i < w->event_count; i++) {
		struct event *e = &w->events[i];

		if (e->life != life ||
		    (e->type != EVENT_LAND && e->type != EVENT_VISIBLE && e->type != EVENT_COMMIT))
			continue;
		if (one_in(w, 2)) {
			e->type = EVENT_NONE;
		} else if (purged && e->type == EVENT_LAND) {
			sink_land(w, e);
			e->type = EVENT_NONE;
		}
	}
}
