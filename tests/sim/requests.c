/* Between a process and the database: requests and replies that are lost or late, and the burial of
 * a session, which is a row of requests. */
#include "process.h"

#define FAILS_MS 30 /* how soon a connection is refused */

static uint32_t index_of(const struct request *r, const struct request *all)
{
	return (uint32_t)(r - all);
}

static struct request requests[REQUESTS_MAX];

struct request *request_new(struct world *w, struct process *p, enum caller caller, enum call call)
{
	struct request *r = requests;

	(void)w;
	while (r->used)
		assert(++r < requests + REQUESTS_MAX);
	r->used = true;
	r->executing = r->awaited = false;
	r->call = call;
	r->caller = caller;
	r->worker = p->worker;
	r->life = p->life;
	r->session = p->session;
	r->other = p->session;
	r->sinks = p->sink_set;
	r->found_count = r->row_count = 0;
	r->save.move_count = r->save.roll_count = r->save.finished_count = r->save.read_count = 0;
	r->save.pending_count = 0;
	return r;
}

static bool reachable(const struct world *w, int worker)
{
	return w->now_ms >= w->database->away_until_ms &&
	       w->now_ms >= w->worker[worker].cut_until_ms;
}

static void reply_later(struct world *w, struct process *p, struct request *r, enum how how,
			int64_t ms)
{
	r->awaited = true;
	process_pend(w, p,
		     (struct event){ .type = EVENT_REPLY,
				     .request = index_of(r, requests),
				     .outcome = how == HOW_OK ? OUTCOME_TAKEN : OUTCOME_FAILED },
		     ms);
}

static void execute_later(struct world *w, struct request *r, int64_t ms)
{
	r->executing = true;
	pend(w, (struct event){ .type = EVENT_EXECUTE, .request = index_of(r, requests) }, ms);
}

/* A long reply is lost more easily. */
static bool is_long(const struct request *r)
{
	return r->call == CALL_CLAIM || r->call == CALL_ADD || r->call == CALL_SHARDS;
}

/* A call gives up under half a lease. What it asked for may be done all the same, at any time. */
void request_send(struct world *w, struct process *p, struct request *r)
{
	int64_t timeout_ms = w->lease_ms / 2 - 1;
	int64_t arrives_ms = soon(w, w->store_ms);

	if (!reachable(w, p->worker)) {
		reply_later(w, p, r, HOW_RETRY, one_in(w, 2) ? soon(w, FAILS_MS) : timeout_ms);
		return;
	}
	if (noise(w, FAULT_LOST_REQUEST)) {
		reply_later(w, p, r, HOW_RETRY, soon(w, timeout_ms));
		return;
	}
	if (noise(w, FAULT_LATE_REQUEST)) {
		execute_later(w, r, soon(w, one_in(w, 3) ? 4 * w->lease_ms : w->lease_ms));
		reply_later(w, p, r, HOW_RETRY, soon(w, timeout_ms));
		return;
	}
	execute_later(w, r, arrives_ms);
	if (noise(w, FAULT_LOST_REPLY) || (is_long(r) && noise(w, FAULT_LOST_REPLY)))
		reply_later(w, p, r, HOW_RETRY, arrives_ms + soon(w, timeout_ms - w->store_ms));
	else
		reply_later(w, p, r, HOW_OK, arrives_ms + soon(w, w->store_ms));
}

static void request_free(struct request *r)
{
	r->used = r->executing || r->awaited;
}

/* Where it cannot be reached any more, the connection broke on the way. */
void request_execute(struct world *w, uint32_t request)
{
	struct request *r = &requests[request];

	r->executing = false;
	if (w->now_ms < w->database->away_until_ms)
		r->reply.how = HOW_RETRY;
	else
		database_execute(w, r);
	request_free(r);
}

enum caller request_caller(uint32_t request)
{
	return requests[request].caller;
}

static void dispatch(struct world *w, struct process *p, const struct request *r)
{
	switch (r->caller) {
	case CALLER_LIFE:
		process_life_reply(w, p, r);
		break;
	case CALLER_SAVER:
		saver_reply(w, p, r);
		break;
	case CALLER_STEWARD:
		steward_reply(w, p, r);
		break;
	case CALLERS:
		assert(false);
	}
}

void request_reply(struct world *w, struct process *p, uint32_t request, bool came)
{
	struct request *r = &requests[request];

	if (!came)
		r->reply.how = HOW_RETRY;
	if (p)
		dispatch(w, p, r);
	r->awaited = false;
	request_free(r);
}

bool requests_late(void)
{
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (requests[i].used && !requests[i].awaited)
			return true;
	return false;
}

void requests_reset(void)
{
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		requests[i].used = false;
}

/* --- burials --- */

static void ask(struct world *w, struct process *p, struct burial *b, enum call call)
{
	struct request *r = request_new(w, p, b->caller, call);

	r->other = b->session;
	if (call == CALL_ROLL_FINISHED) {
		r->sink = b->rolls[b->at].sink;
		r->number = b->rolls[b->at].number;
		r->committed = b->committed;
	}
	request_send(w, p, r);
}

/* The next roll, or the session itself. */
static void next(struct world *w, struct process *p, struct burial *b)
{
	if (b->at < b->roll_count) {
		b->step = BURIAL_SINK;
		producer_fence(w, b->session, b->rolls[b->at].sink);
		process_pend(w, p,
			     (struct event){ .type = EVENT_BURIED,
					     .sink = b->caller,
					     .outcome = noise(w, FAULT_BURY_FAILED)
								? OUTCOME_FAILED
								: OUTCOME_TAKEN },
			     soon(w, w->sink_ms));
		return;
	}
	b->step = BURIAL_SESSION;
	ask(w, p, b, CALL_BURY);
}

void burial_start(struct world *w, struct process *p, struct burial *b, enum caller caller,
		  uint64_t session)
{
	b->caller = caller;
	b->session = session;
	b->roll_count = b->at = 0;
	b->step = BURIAL_ROLLS;
	ask(w, p, b, CALL_ROLLS);
}

enum burial_result burial_sink(struct world *w, struct process *p, struct burial *b, bool ok)
{
	struct roll *k;

	if (!ok)
		return BURIAL_LEFT;
	b->committed = true;
	k = roll_find(w, b->session, b->rolls[b->at].sink, b->rolls[b->at].number);
	if (w->sinks[b->rolls[b->at].sink].transactions) {
		b->committed = producer_committed(w, b->session, b->rolls[b->at].sink,
						  b->rolls[b->at].number);
		count_fault(w, b->committed ? FAULT_COMMIT_BURIED : FAULT_COMMIT_NEVER);
	} else {
		if (k && k->state == ROLL_STORED && b->session != p->session)
			count_fault(w, FAULT_ROLL_BURIED);
		roll_visible(w, k);
	}
	b->step = BURIAL_ROLL_FINISHED;
	ask(w, p, b, CALL_ROLL_FINISHED);
	return BURIAL_GOES_ON;
}

enum burial_result burial_reply(struct world *w, struct process *p, struct burial *b,
				const struct request *r)
{
	if (r->reply.how != HOW_OK)
		return r->reply.how == HOW_RETRY ? BURIAL_UNHEARD : BURIAL_LEFT;
	switch (b->step) {
	case BURIAL_ROLLS:
		b->roll_count = r->reply.roll_count;
		for (size_t i = 0; i < b->roll_count; i++) {
			b->rolls[i].sink = r->reply.rolls[i].sink;
			b->rolls[i].number = r->reply.rolls[i].number;
		}
		break;
	case BURIAL_ROLL_FINISHED:
		b->at++;
		break;
	case BURIAL_SESSION:
		return BURIAL_DONE;
	case BURIAL_SINK:
		assert(false);
	}
	next(w, p, b);
	return BURIAL_GOES_ON;
}
