/* The core's events and actions, and what belongs to rolls. */
#include "process.h"

#include <string.h>

#define ACTIONS 64

int64_t process_now(const struct world *w, const struct process *p)
{
	return w->now_ms + w->worker[p->worker].boot_offset_ms;
}

int64_t process_aws_now(const struct world *w, const struct process *p)
{
	return AWS_EPOCH_MS + w->now_ms + w->worker[p->worker].aws_offset_ms;
}

void process_pend(struct world *w, struct process *p, struct event e, int64_t delay_ms)
{
	e.worker = p->worker;
	e.life = p->life;
	pend(w, e, delay_ms);
}

/* --- rolls --- */

static void prepare(struct world *w, struct process *p, uint32_t sink)
{
	struct open_roll *o = &p->open[sink];
	struct roll_under_way *k = &p->rolls[sink];
	struct roll *r;

	if (k->unfinished || o->deliveries == 0)
		return;
	if (w->sinks[p->sinks[sink]].transactions) {
		bool aborted = noise(w, FAULT_ABORTED);

		process_transaction(w, p, sink, aborted);
		if (aborted) {
			o->deliveries = 0;
			o->count = 0;
			return;
		}
	}
	*k = (struct roll_under_way){ .number = o->number,
				      .deliveries = o->deliveries,
				      .unfinished = true };
	r = roll_new(w, p->session, p->sinks[sink], o->number);
	r->count = o->count;
	memcpy(r->refs, o->refs, o->count * sizeof(*o->refs));
	o->number++;
	o->deliveries = 0;
	o->count = 0;
	/* The blob may overtake the answers of what it took. */
	process_pend(w, p, (struct event){ .type = EVENT_PREPARED, .sink = sink },
		     soon(w, w->sink_ms));
}

void process_roll(struct world *w, struct process *p)
{
	for (uint32_t lane = 0; lane < p->core.lane_count; lane++)
		if (p->lanes[lane].used && p->core.lanes[lane].leaving)
			return;
	for (uint32_t sink = 0; sink < p->sink_count; sink++)
		prepare(w, p, sink);
}

/* Its request may still be under way when the process is gone. */
static void finish(struct world *w, struct process *p, uint32_t sink, uint64_t number)
{
	bool transaction = w->sinks[p->sinks[sink]].transactions;
	int64_t ms = soon(w, w->sink_ms);

	if (noise(w, FAULT_SINK_FAILED))
		ms += soon(w, w->lease_ms);
	/* A request to commit may be on its way for longer than it takes to bury its session. */
	if (transaction && noise(w, FAULT_SINK_SLOW))
		ms += soon(w, 4 * w->lease_ms);
	process_pend(w, p,
		     (struct event){ .type = transaction ? EVENT_COMMIT : EVENT_VISIBLE,
				     .session = p->session,
				     .sink = p->sinks[sink],
				     .roll = number },
		     ms);
	process_pend(w, p, (struct event){ .type = EVENT_FINISHED, .sink = sink, .roll = number },
		     ms + soon(w, 20));
}

static void on_finished(struct world *w, struct process *p, const struct event *e)
{
	if (w->sinks[p->sinks[e->sink]].transactions &&
	    (noise(w, FAULT_COMMIT_UNKNOWN) ||
	     !producer_committed(w, p->session, p->sinks[e->sink], e->roll))) {
		process_lost(w, p);
		return;
	}
	p->rolls[e->sink].unfinished = false;
	process_feed(
		w, p,
		(struct core_event){ .type = CORE_FINISHED, .sink = e->sink, .roll = e->roll });
	if (p->phase != PHASE_END)
		prepare(w, p, e->sink); /* what was asked for meanwhile */
	if (p->phase != PHASE_END)
		process_unpark(w, p, e->sink);
}

static void on_prepared(struct world *w, struct process *p, uint32_t sink)
{
	process_feed(w, p,
		     (struct core_event){ .type = CORE_PREPARED,
					  .sink = sink,
					  .roll = p->rolls[sink].number,
					  .deliveries = p->rolls[sink].deliveries });
}

/* --- the core --- */

void process_core(struct world *w, struct process *p)
{
	struct core_settings settings = { .memory_bytes = w->memory,
					  .save_interval_ms = w->save_ms,
					  .fetches_max = 4,
					  .lanes_max = 1 + (uint32_t)roll(w, 6),
					  .seed = roll(w, 1 << 30) };

	core_init(&p->core, &settings);
	lineage_init(&p->lineage);
	for (uint32_t sink = 0; sink < w->sink_count; sink++) {
		if (!(p->sink_set & (1u << sink)))
			continue;
		p->sinks[p->sink_count] = sink;
		p->open[p->sink_count].number = 1;
		core_add_sink(&p->core, w->sinks[sink].transactions ? SINK_TRANSACTION
					: w->sinks[sink].rolls      ? SINK_ROLL
								    : SINK_IMMEDIATE);
		p->sink_count++;
	}
	process_core_stream(w, p);
}

void process_core_stream(struct world *w, struct process *p)
{
	struct pacing_limits limits = { .min_ms = w->poll_min_ms,
					.max_ms = w->poll_max_ms,
					.budget = w->budget };
	uint32_t of_core[SINKS_MAX];

	for (uint32_t sink = 0; sink < p->sink_count; sink++)
		of_core[sink] = sink;
	core_add_stream(&p->core, &limits, of_core, p->sink_count);
}

/* A second's worth may have been put by, each time that the stream was opened. */
static void fetch(struct world *w, struct process *p, uint32_t lane)
{
	p->calls++;
	assert(w->budget == 0 || p->calls * 1000 <= w->budget * (w->now_ms - p->booted_ms +
								 1000 * (1 + (int64_t)p->opened)));
	process_pend(w, p, (struct event){ .type = EVENT_FETCH, .lane = lane }, soon(w, 80));
}

static void save(struct world *w, struct process *p)
{
	p->save = p->core.save;
	memcpy(p->moves, p->core.save.moves, p->save.move_count * sizeof(*p->moves));
	memcpy(p->pending, p->core.save.pending, p->save.pending_count * sizeof(*p->pending));
	for (size_t i = 0; i < p->save.read_count; i++)
		p->reads[i] = p->lanes[p->core.save.reads[i]].row;
	p->save_number++;
	saver_job(p, JOB_SAVE);
	saver_run(w, p);
}

static bool about_lane(const struct event *e)
{
	return e->type == EVENT_FETCH || e->type == EVENT_GAP || e->type == EVENT_ANSWER ||
	       e->type == EVENT_RETRY;
}

/* Nothing of it is under way, and all of it can be seen; parents go first. */
static void released(struct world *w, struct process *p, uint32_t lane)
{
	uint32_t parent = p->core.lanes[lane].parent;

	assert(parent == CORE_NONE || !p->core.lanes[parent].leaving);
	for (size_t i = 0; i < w->event_count; i++)
		assert(!about_lane(&w->events[i]) || w->events[i].life != p->life ||
		       w->events[i].lane != lane);
	if (database_owner(w, p->lanes[lane].shard) == p->session)
		database_check_visible(w, p->lanes[lane].row);
	steward_let_go(w, p, p->lanes[lane].row, lane);
}

static void act(struct world *w, struct process *p, const struct core_action *a)
{
	switch (a->type) {
	case CORE_FETCH:
		fetch(w, p, a->lane);
		break;
	case CORE_DISCOVER:
		p->lanes[a->lane].searches = 0;
		process_pend(w, p,
			     (struct event){ .type = EVENT_CHILDREN,
					     .lane = a->lane,
					     .shard = p->lanes[a->lane].shard,
					     .generation = p->opened },
			     soon(w, 80));
		break;
	case CORE_PREPARE:
		prepare(w, p, a->sink);
		break;
	case CORE_SAVE:
		save(w, p);
		break;
	case CORE_FINISH:
		finish(w, p, a->sink, a->roll);
		break;
	case CORE_DRAINED:
		process_drained(w, p);
		break;
	case CORE_IDLE:
		break;
	case CORE_RELEASED:
		released(w, p, a->lane);
		break;
	case CORE_ENDED:
		if (one_in(w, 2))
			process_drop(w, p, a->lane, LANE_OVER);
		else
			process_pend(w, p, (struct event){ .type = EVENT_DROP, .lane = a->lane },
				     soon(w, 300));
		break;
	}
}

/* Those whose answers the queues need room for. */
static uint32_t lanes_busy(const struct core *c)
{
	uint32_t busy = 0;

	for (uint32_t i = 0; i < c->lane_count; i++)
		busy += c->lanes[i].state == LANE_FETCHING ||
			c->lanes[i].pages_read > c->lanes[i].pages_released;
	return busy;
}

void process_feed(struct world *w, struct process *p, struct core_event e)
{
	struct core_action actions[ACTIONS];
	size_t n;

	if (p->phase == PHASE_BEGIN || p->phase == PHASE_END)
		return;
	do {
		e.now_ms = process_now(w, p);
		n = core_step(&p->core, &e, actions, ACTIONS);
		w->steps++;
		for (size_t i = 0; i < n; i++)
			act(w, p, &actions[i]);
		e = (struct core_event){ .type = CORE_TICK };
	} while (n == ACTIONS);
	assert(lanes_busy(&p->core) <= p->core.settings.lanes_max);
	if (p->core.charged > w->most_charged)
		w->most_charged = p->core.charged;
}

void process_tick(struct world *w, struct process *p)
{
	process_feed(w, p, (struct core_event){ .type = CORE_TICK });
}

int64_t process_wake_ms(const struct world *w, const struct process *p)
{
	int64_t wake_ms;

	if (p->phase != PHASE_RUN && p->phase != PHASE_STOP)
		return INT64_MAX;
	wake_ms = core_wake_ms(&p->core);
	if (wake_ms == INT64_MAX)
		return wake_ms;
	wake_ms -= w->worker[p->worker].boot_offset_ms;
	if (wake_ms < p->paused_until_ms)
		wake_ms = p->paused_until_ms;
	return wake_ms < p->hung_until_ms ? p->hung_until_ms : wake_ms;
}

void process_happen(struct world *w, struct process *p, const struct event *e)
{
	switch (e->type) {
	case EVENT_REPLY:
		request_reply(w, p, e->request, e->outcome == OUTCOME_TAKEN);
		return;
	case EVENT_LIFE:
		process_life(w, p);
		return;
	case EVENT_DEADLINE:
		process_deadline(w, p);
		return;
	case EVENT_BURIED:
		if (e->sink == CALLER_LIFE)
			process_life_buried(w, p, e->outcome == OUTCOME_TAKEN);
		else
			steward_buried(w, p, e->outcome == OUTCOME_TAKEN);
		return;
	default:
		break;
	}
	if (p->phase == PHASE_BEGIN || p->phase == PHASE_END)
		return; /* its threads have ended */
	switch (e->type) {
	case EVENT_SAVER:
		saver_run(w, p);
		break;
	case EVENT_STEWARD:
		steward_run(w, p);
		break;
	case EVENT_FETCH:
		process_fetch(w, p, e);
		break;
	case EVENT_GAP:
		process_gap_recorded(w, p, e->lane);
		break;
	case EVENT_ANSWER:
		process_answer(w, p, e);
		break;
	case EVENT_RETRY:
		process_again(w, p, e);
		break;
	case EVENT_LIST:
		process_list(w, p);
		break;
	case EVENT_CHILDREN:
		process_children(w, p, e);
		break;
	case EVENT_PREPARED:
		on_prepared(w, p, e->sink);
		break;
	case EVENT_FINISHED:
		on_finished(w, p, e);
		break;
	case EVENT_ROLL:
		if (p->open[e->sink].number == e->roll)
			prepare(w, p, e->sink);
		break;
	case EVENT_DROP:
		process_drop(w, p, e->lane, LANE_OVER);
		break;
	default:
		assert(false && "not a process's event");
	}
}
