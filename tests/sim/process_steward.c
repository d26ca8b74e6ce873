/* The steward's thread: rounds, the others' deaths and burials, and what lanes come and go
 * (steward.c). */
#include <stdio.h>
#include <string.h>

#include "consumer/balance.h"
#include "process.h"

#define RETRY_BASE_MS 100
#define RETRY_MAX_MS  5000

static void wake_at(struct world *w, struct process *p, int64_t at_ms)
{
	int64_t delay_ms = at_ms - process_now(w, p);

	if (p->steward.wake_ms <= at_ms)
		return;
	p->steward.wake_ms = at_ms;
	process_pend(w, p, (struct event){ .type = EVENT_STEWARD }, delay_ms > 0 ? delay_ms : 0);
}

static int64_t later(struct world *w, const struct process *p, unsigned tries)
{
	return process_now(w, p) + rng_backoff_ms(&w->rng, tries, RETRY_BASE_MS, RETRY_MAX_MS);
}

void steward_begin(struct world *w, struct process *p)
{
	watch_init(&p->steward.watch, w->lease_ms);
	p->steward.wake_ms = INT64_MAX;
	steward_run(w, p);
}

static void ask(struct world *w, struct process *p, enum steward_step step, enum call call)
{
	struct request *r = request_new(w, p, CALLER_STEWARD, call);
	const struct steward *s = &p->steward;

	p->steward.step = step;
	if (call == CALL_KILL) {
		r->other = s->sessions.sessions[s->session_at].id;
		r->beat = s->sessions.sessions[s->session_at].beat;
	} else if (call == CALL_WISH) {
		r->other = s->wish_from;
		r->max = s->wish;
	} else if (call == CALL_CLAIM) {
		r->max = s->view.claimable;
	}
	for (size_t i = 0; call == CALL_RELEASE && i < s->leaving_sent; i++)
		r->rows[r->row_count++] = s->leaving[i].row;
	request_send(w, p, r);
}

/* --- a round --- */

static void id_text(uint64_t id, char out[STORE_ID_SIZE])
{
	char *at = out + STORE_ID_SIZE - 1;

	memset(out, '0', STORE_ID_SIZE - 1);
	*at = '\0';
	for (; id > 0; id /= 10)
		*--at = (char)('0' + id % 10);
}

static uint64_t id_number(const char *text)
{
	uint64_t id = 0;

	for (; *text; text++)
		id = id * 10 + (uint64_t)(*text - '0');
	return id;
}

static void round_over(struct world *w, struct process *p, bool ok)
{
	struct steward *s = &p->steward;

	s->step = STEWARD_IDLE;
	if (ok) {
		s->failures = 0;
		if (s->buried && !s->quiet)
			rolls_sweep(w, s->buried);
		s->buried = 0;
	} else {
		s->not_before_ms = later(w, p, s->failures++);
	}
	steward_run(w, p);
}

static void viewed(struct world *w, struct process *p, bool ok)
{
	process_viewed(w, p, &p->steward.view);
	if (p->phase != PHASE_END)
		round_over(w, p, ok);
}

static void wish(struct world *w, struct process *p)
{
	if (p->steward.wish > 0)
		ask(w, p, STEWARD_WISH, CALL_WISH);
	else
		viewed(w, p, true);
}

static void share(struct world *w, struct process *p)
{
	struct steward *s = &p->steward;
	struct store_round_stream stream = { .stream = 1,
					     .served = s->view.served,
					     .claimable = s->view.claimable };
	struct store_round_member members[MEMBERS_MAX];
	char own[STORE_ID_SIZE];
	uint32_t claims, left;
	struct balance_round round = { .session = own,
				       .held_max = w->worker[p->worker].held_max,
				       .streams = &stream,
				       .stream_count = 1,
				       .members = members,
				       .member_count = (uint32_t)s->view.member_count,
				       .patience = s->patience };
	struct balance_plan plan = { .claims = &claims };
	struct balance_part part;

	id_text(p->session, own);
	for (size_t i = 0; i < s->view.member_count; i++) {
		members[i] = (struct store_round_member){ .stream = 1,
							  .served = s->view.members[i].served,
							  .stream_held = s->view.hold != 0,
							  .held = s->view.members[i].held,
							  .leaving = s->view.members[i].leaving,
							  .coming = s->view.members[i].coming };
		id_text(s->view.members[i].session, members[i].session);
	}
	balance_decide(&round, &plan);
	part = balance_part(&round, &plan, 0);
	core_set_budget(&p->core, 0, pacing_share_milli(w->budget, part.own, part.all));
	left = stream.served ? stream.claimable - claims : 0;
	s->patience = left > 0 ? s->patience + 1 : 0;
	s->claimed = claims > 0;
	s->wish = plan.wish;
	s->wish_from = plan.wish ? id_number(plan.from) : 0;
	s->view.claimable = s->claimed ? claims : s->view.claimable;
	if (s->claimed)
		ask(w, p, STEWARD_CLAIM, CALL_CLAIM);
	else
		wish(w, p);
}

static void on_round(struct world *w, struct process *p, const struct request *r)
{
	struct steward *s = &p->steward;

	s->view = r->reply;
	s->held = s->held || s->view.hold || s->view.stale;
	if (s->held)
		s->view.claimable = 0;
	s->claimed = false;
	s->wish = 0;
	if (s->quiet)
		viewed(w, p, true);
	else
		share(w, p);
}

/* --- the others --- */

static void verdict(struct world *w, struct process *p, enum watch_verdict v);

static void next_session(struct world *w, struct process *p)
{
	struct steward *s = &p->steward;
	struct store_session o;

	if (s->session_at < s->sessions.session_count &&
	    s->sessions.sessions[s->session_at].id == p->session)
		s->session_at++;
	if (s->session_at == s->sessions.session_count) {
		watch_looked(&s->watch, process_now(w, p));
		ask(w, p, STEWARD_ROUND, CALL_ROUND);
		return;
	}
	id_text(s->sessions.sessions[s->session_at].id, o.id);
	o.beat = s->sessions.sessions[s->session_at].beat;
	o.lease_ms = s->sessions.sessions[s->session_at].lease_ms;
	o.state = s->sessions.sessions[s->session_at].dead ? SESSION_DEAD : SESSION_LIVE;
	verdict(w, p, watch_see(&s->watch, &o));
}

static void verdict(struct world *w, struct process *p, enum watch_verdict v)
{
	struct steward *s = &p->steward;
	uint64_t id = s->sessions.sessions[s->session_at].id;

	switch (v) {
	case WATCH_KILL:
		ask(w, p, STEWARD_KILL, CALL_KILL);
		break;
	case WATCH_BURY:
		s->step = STEWARD_BURIAL;
		burial_start(w, p, &s->burial, CALLER_STEWARD, id);
		break;
	case WATCH_LET:
		s->session_at++;
		next_session(w, p);
		break;
	}
}

static void on_sessions(struct world *w, struct process *p, const struct request *r)
{
	struct steward *s = &p->steward;

	s->sessions.session_count = r->reply.session_count;
	memcpy(s->sessions.sessions, r->reply.sessions, sizeof(s->sessions.sessions));
	s->session_at = 0;
	watch_look(&s->watch, process_now(w, p));
	next_session(w, p);
}

static void on_kill(struct world *w, struct process *p, const struct request *r)
{
	struct steward *s = &p->steward;
	char id[STORE_ID_SIZE];

	id_text(s->sessions.sessions[s->session_at].id, id);
	verdict(w, p, r->reply.done ? watch_killed(&s->watch, id, process_now(w, p)) : WATCH_LET);
}

static void on_burial(struct world *w, struct process *p, enum burial_result result)
{
	struct steward *s = &p->steward;
	char id[STORE_ID_SIZE];
	const struct watched *o;

	if (result == BURIAL_GOES_ON)
		return;
	id_text(s->burial.session, id);
	o = watch_find(&s->watch, id);
	if (result == BURIAL_DONE) {
		s->buried = s->burial.session;
		watch_buried(&s->watch, id);
	} else {
		watch_unburied(&s->watch, id, later(w, p, o ? o->tries : 0),
			       result != BURIAL_UNHEARD);
	}
	s->session_at++;
	next_session(w, p);
}

void steward_buried(struct world *w, struct process *p, bool ok)
{
	if (p->phase != PHASE_END)
		on_burial(w, p, burial_sink(w, p, &p->steward.burial, ok));
}

/* --- lanes that leave, and what is held --- */

void steward_let_go(struct world *w, struct process *p, int row, uint32_t lane)
{
	struct steward *s = &p->steward;

	assert(s->leaving_count < sizeof(s->leaving) / sizeof(*s->leaving));
	p->let_go++;
	s->leaving[s->leaving_count].row = row;
	s->leaving[s->leaving_count++].lane = lane;
	wake_at(w, p, process_now(w, p));
}

void steward_ask_held(struct world *w, struct process *p)
{
	p->steward.held_wanted = true;
	wake_at(w, p, process_now(w, p));
}

void steward_poke(struct world *w, struct process *p)
{
	p->steward.poked = true;
	wake_at(w, p, process_now(w, p));
}

static void on_released(struct world *w, struct process *p)
{
	struct steward *s = &p->steward;

	for (size_t i = 0; i < s->leaving_sent; i++)
		if (s->leaving[i].lane != CORE_NONE)
			process_drop(w, p, s->leaving[i].lane, CORE_NONE);
	s->leaving_count -= s->leaving_sent;
	memmove(s->leaving, s->leaving + s->leaving_sent, s->leaving_count * sizeof(*s->leaving));
	s->leaving_sent = 0;
}

static void doubt(struct steward *s)
{
	for (size_t i = 0; i < s->leaving_sent; i++)
		s->doubtful[s->leaving[i].row] = true;
}

/* A release that had no reply may still be under way, and free what was taken again since. */
static void give(struct world *w, struct process *p, const struct reply *r, bool all)
{
	for (size_t i = 0; i < r->lane_count; i++)
		if (p->steward.doubtful[r->lanes[i].row]) {
			process_lost(w, p);
			return;
		}
	process_take(w, p, r, all);
}

static bool do_job(struct world *w, struct process *p)
{
	struct steward *s = &p->steward;

	if (process_now(w, p) < s->retry_at_ms)
		return s->leaving_sent > 0 || s->held_wanted; /* it is tried again */
	if (s->leaving_count > 0) {
		if (s->leaving_sent == 0)
			s->leaving_sent = s->leaving_count;
		ask(w, p, STEWARD_RELEASE, CALL_RELEASE);
		return true;
	}
	if (s->held_wanted) {
		s->held_wanted = false; /* asked meanwhile, it is asked again */
		ask(w, p, STEWARD_HELD, CALL_HELD);
		return true;
	}
	return false;
}

/* --- the thread --- */

static int64_t due_ms(const struct steward *s)
{
	int64_t watch_ms = watch_wake_ms(&s->watch);
	int64_t at_ms = s->round_at_ms < watch_ms ? s->round_at_ms : watch_ms;

	if (s->poked)
		at_ms = 0;
	return at_ms > s->not_before_ms ? at_ms : s->not_before_ms;
}

void steward_run(struct world *w, struct process *p)
{
	struct steward *s = &p->steward;
	int64_t now_ms = process_now(w, p), beat_ms = w->lease_ms / WATCH_LOOKS;

	if (now_ms >= s->wake_ms)
		s->wake_ms = INT64_MAX;
	if (s->step != STEWARD_IDLE || p->phase == PHASE_END || p->phase == PHASE_BEGIN)
		return;
	if (do_job(w, p)) {
		if (s->step == STEWARD_IDLE)
			wake_at(w, p, s->retry_at_ms);
		return;
	}
	if (now_ms < due_ms(s)) {
		wake_at(w, p, due_ms(s));
		return;
	}
	s->poked = false;
	s->round_at_ms =
		now_ms + beat_ms - beat_ms / 8 + (int64_t)roll(w, (uint64_t)beat_ms / 4 + 1);
	ask(w, p, STEWARD_SESSIONS, CALL_SESSIONS);
}

/* A call failed. Jobs are tried again, a round begins anew. */
static void failed(struct world *w, struct process *p, enum how how)
{
	struct steward *s = &p->steward;
	enum steward_step step = s->step;

	if (how != HOW_RETRY) {
		process_lost(w, p);
		return;
	}
	s->step = STEWARD_IDLE;
	if (step == STEWARD_RELEASE)
		doubt(s);
	s->held_wanted = s->held_wanted || step == STEWARD_HELD;
	if (step == STEWARD_RELEASE || step == STEWARD_HELD) {
		s->retry_at_ms = later(w, p, s->tries++);
		wake_at(w, p, s->retry_at_ms);
	} else if (step == STEWARD_CLAIM || step == STEWARD_WISH) {
		viewed(w, p, false);
	} else {
		round_over(w, p, false);
	}
}

static void go_on(struct world *w, struct process *p, const struct request *r)
{
	struct steward *s = &p->steward;

	switch (s->step) {
	case STEWARD_SESSIONS:
		on_sessions(w, p, r);
		break;
	case STEWARD_KILL:
		on_kill(w, p, r);
		break;
	case STEWARD_ROUND:
		on_round(w, p, r);
		break;
	case STEWARD_CLAIM:
		if (r->reply.lane_count > 0)
			give(w, p, &r->reply, false);
		if (p->phase != PHASE_END)
			wish(w, p);
		break;
	case STEWARD_WISH:
		viewed(w, p, true);
		break;
	case STEWARD_RELEASE:
		s->step = STEWARD_IDLE;
		s->tries = 0;
		on_released(w, p);
		steward_run(w, p);
		break;
	case STEWARD_HELD:
		s->step = STEWARD_IDLE;
		s->tries = 0;
		give(w, p, &r->reply, true);
		steward_run(w, p);
		break;
	case STEWARD_IDLE:
	case STEWARD_BURIAL:
		assert(false);
	}
}

void steward_reply(struct world *w, struct process *p, const struct request *r)
{
	struct steward *s = &p->steward;

	if (p->phase == PHASE_END)
		return;
	if (s->step == STEWARD_BURIAL)
		on_burial(w, p, burial_reply(w, p, &s->burial, r));
	else if (r->reply.how != HOW_OK)
		failed(w, p, r->reply.how);
	else
		go_on(w, p, r);
}
