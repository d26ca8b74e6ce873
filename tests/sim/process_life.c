/* A process begins a session, serves, and ends: its own session's burial is the last that it does
 * (worker.c, session.c). */
#include <stdlib.h>

#include "process.h"

#define BEGIN_AGAIN_MS 1000

static void ask(struct world *w, struct process *p, enum call call)
{
	struct request *r = request_new(w, p, CALLER_LIFE, call);

	r->after = 0;
	r->tidy_before_ms = 0;
	r->epoch = p->epoch;
	request_send(w, p, r);
}

static void begin(struct world *w, struct process *p)
{
	p->session = database_new_session(w);
	p->beat_from_ms = process_now(w, p);
	ask(w, p, CALL_BEGIN);
}

void process_boot(struct world *w, int worker)
{
	struct worker *k = &w->worker[worker];
	struct process *p = calloc(1, sizeof(*p));

	assert(!k->process && p);
	k->process = p;
	k->boot_offset_ms = (int64_t)roll(w, 1000000);
	p->worker = worker;
	p->life = ++w->lives;
	p->booted_ms = w->now_ms;
	p->sink_set = k->sinks;
	process_core(w, p);
	begin(w, p);
}

static void serve(struct world *w, struct process *p)
{
	p->phase = PHASE_RUN;
	steward_begin(w, p);
	saver_begin(w, p);
	process_feed(w, p, (struct core_event){ .type = CORE_CHILDREN, .lane = CORE_NONE });
	p->steward.held = p->found_held;
	if (p->found_held)
		process_hold(w, p);
}

static void gone(struct world *w, struct process *p)
{
	core_release(&p->core);
	lineage_release(&p->lineage);
	w->worker[p->worker].process = NULL;
	free(p);
}

static void boot_later(struct world *w, int worker, int64_t ms)
{
	if (!w->stopping)
		pend(w, (struct event){ .type = EVENT_BOOT, .worker = worker }, ms);
}

void process_kill(struct world *w, struct process *p, int64_t down_ms)
{
	int worker = p->worker;

	sinks_cut(w, p->life, false);
	gone(w, p);
	boot_later(w, worker, down_ms);
}

/* --- the end --- */

static void end(struct world *w, struct process *p)
{
	p->phase = PHASE_END;
	if (p->again) /* nothing more may be sent, whatever else takes its time */
		sinks_cut(w, p->life, true);
	burial_start(w, p, &p->burial, CALLER_LIFE, p->session);
}

static void ended(struct world *w, struct process *p, bool buried)
{
	int worker = p->worker;

	if (buried && !p->drained)
		rolls_sweep(w, p->session);
	boot_later(w, worker, p->again ? soon(w, 1000) : soon(w, 2 * w->lease_ms));
	gone(w, p);
}

void process_lost(struct world *w, struct process *p)
{
	if (p->phase == PHASE_END)
		return;
	if (w->database->sessions[p->session].state > MEMBER_LIVE)
		count_fault(w, FAULT_ZOMBIE);
	p->again = true;
	p->drained = false;
	process_pend(w, p, (struct event){ .type = EVENT_LIFE }, soon(w, 20));
	p->phase = PHASE_END;
}

void process_stop(struct world *w, struct process *p)
{
	if (p->phase != PHASE_RUN) {
		process_kill(w, p, soon(w, w->lease_ms));
		return;
	}
	p->phase = PHASE_STOP;
	p->steward.quiet = true;
	process_pend(w, p, (struct event){ .type = EVENT_DEADLINE },
		     w->stopping ? 60 * w->lease_ms : soon(w, 4 * w->lease_ms));
	process_feed(w, p, (struct core_event){ .type = CORE_STOP });
}

/* After a stop everything that was answered is in the database, every roll is visible. */
static void check_drained(const struct world *w, const struct process *p)
{
	assert(p->core.charged == 0 && p->core.credit == w->memory);
	for (uint32_t i = 0; i < p->sink_count; i++)
		assert(!p->rolls[i].unfinished && p->open[i].deliveries == 0);
	for (uint32_t lane = 0; lane < p->core.lane_count; lane++)
		for (uint32_t sink = 0; p->lanes[lane].used && sink < p->sink_count; sink++)
			assert(frontier_clean(&p->core.lanes[lane].frontiers[sink]));
}

void process_drained(struct world *w, struct process *p)
{
	check_drained(w, p);
	p->drained = true;
	process_pend(w, p, (struct event){ .type = EVENT_LIFE }, 0);
}

void process_deadline(struct world *w, struct process *p)
{
	assert(!w->stopping || p->phase == PHASE_END);
	if (p->phase == PHASE_STOP) /* the next session buries this one */
		process_kill(w, p, soon(w, 2 * w->lease_ms));
}

/* --- steps --- */

void process_life(struct world *w, struct process *p)
{
	if (p->phase == PHASE_BEGIN)
		begin(w, p);
	else
		end(w, p);
}

void process_life_reply(struct world *w, struct process *p, const struct request *r)
{
	enum burial_result result;

	if (p->phase == PHASE_END) {
		result = burial_reply(w, p, &p->burial, r);
		if (result != BURIAL_GOES_ON)
			ended(w, p, result == BURIAL_DONE);
		return;
	}
	if (r->reply.how == HOW_RETRY && r->call == CALL_BEGIN) {
		process_pend(w, p, (struct event){ .type = EVENT_LIFE }, BEGIN_AGAIN_MS);
		return;
	}
	if (r->reply.how != HOW_OK) {
		process_lost(w, p);
		return;
	}
	switch (r->call) {
	case CALL_BEGIN:
		ask(w, p, CALL_STREAM);
		break;
	case CALL_STREAM:
		process_stream(p, &r->reply);
		ask(w, p, CALL_JOIN);
		break;
	case CALL_JOIN:
		ask(w, p, CALL_SHARDS);
		break;
	default:
		process_known(w, p, &r->reply);
		serve(w, p);
	}
}

void process_life_buried(struct world *w, struct process *p, bool ok)
{
	if (burial_sink(w, p, &p->burial, ok) == BURIAL_LEFT)
		ended(w, p, false);
}
