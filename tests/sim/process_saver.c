/* The saver's thread: beats, and one job after the other until it is done (saver.c). */
#include "process.h"

#define RETRY_BASE_MS 50
#define RETRY_MAX_MS  2000
#define REMEMBER_MS   (48 * HOUR_MS)

/* One wake-up is under way at a time, the earliest that was asked for. */
static void wake_at(struct world *w, struct process *p, int64_t at_ms)
{
	int64_t delay_ms = at_ms - process_now(w, p);

	if (p->saver.wake_ms <= at_ms)
		return;
	p->saver.wake_ms = at_ms;
	process_pend(w, p, (struct event){ .type = EVENT_SAVER }, delay_ms > 0 ? delay_ms : 0);
}

void saver_begin(struct world *w, struct process *p)
{
	p->saver.beat_at_ms = process_now(w, p);
	p->saver.wake_ms = INT64_MAX;
	p->emit_until_ms = watch_emit_until_ms(p->beat_from_ms, w->lease_ms);
	saver_run(w, p);
}

struct job *saver_job(struct process *p, enum job_type type)
{
	struct saver *s = &p->saver;
	struct job *j = &s->jobs[(s->job_first + s->job_count) % JOBS_MAX];

	assert(s->job_count < JOBS_MAX);
	s->job_count++;
	j->type = type;
	return j;
}

/* --- calls --- */

/* It stands for a process whose core and readers move. */
static bool is_alive(const struct world *w, const struct process *p)
{
	return w->now_ms >= p->hung_until_ms || w->now_ms - p->hung_since_ms < w->lease_ms / 2;
}

static void beat(struct world *w, struct process *p)
{
	struct saver *s = &p->saver;

	s->beat_sent_ms = process_now(w, p);
	s->beat_at_ms = s->beat_sent_ms + w->lease_ms / WATCH_LOOKS;
	if (!is_alive(w, p))
		return;
	s->busy = s->beating = true;
	request_send(w, p, request_new(w, p, CALLER_SAVER, CALL_BEAT));
}

static void fill_save(struct world *w, struct process *p, struct save *out)
{
	out->number = p->save_number;
	out->read_at_ms = process_aws_now(w, p);
	for (size_t i = 0; i < p->save.move_count; i++) {
		const struct core_move *m = &p->moves[i];

		out->moves[out->move_count].row = (int)m->store_id - 1;
		out->moves[out->move_count].sink = p->sinks[m->sink];
		out->moves[out->move_count++].move = m->move;
	}
	for (size_t i = 0; i < p->save.roll_count; i++) {
		out->rolls[out->roll_count].sink = p->sinks[p->save.rolls[i].sink];
		out->rolls[out->roll_count++].number = p->save.rolls[i].roll;
	}
	for (size_t i = 0; i < p->save.finished_count; i++) {
		out->finished[out->finished_count].sink = p->sinks[p->save.finished[i].sink];
		out->finished[out->finished_count++].number = p->save.finished[i].roll;
	}
	for (size_t i = 0; i < p->save.pending_count; i++) {
		out->pending[out->pending_count].row = (int)p->pending[i].store_id - 1;
		out->pending[out->pending_count].sink = p->sinks[p->pending[i].sink];
		out->pending[out->pending_count++].to = p->pending[i].move.to;
	}
	for (size_t i = 0; i < p->save.read_count; i++)
		out->reads[out->read_count++] = p->reads[i];
}

static void ask(struct world *w, struct process *p)
{
	struct saver *s = &p->saver;
	const struct job *j = &s->jobs[s->job_first];
	struct request *r;

	s->busy = true;
	s->beating = false;
	switch (j->type) {
	case JOB_SAVE:
		r = request_new(w, p, CALLER_SAVER, CALL_SAVE);
		fill_save(w, p, &r->save);
		break;
	case JOB_ADD:
		r = request_new(w, p, CALLER_SAVER, CALL_ADD);
		r->own = j->own;
		r->epoch = p->epoch;
		for (size_t i = 0; i < j->found_count; i++) {
			r->found[i].shard = j->found[i].shard;
			r->found[i].root = j->found[i].root;
			r->found[i].done = j->found[i].done;
		}
		r->found_count = j->found_count;
		break;
	case JOB_SHARDS:
		r = request_new(w, p, CALLER_SAVER, CALL_SHARDS);
		r->after = p->known_rows;
		r->tidy_before_ms = process_aws_now(w, p) - REMEMBER_MS;
		break;
	case JOB_LETTER:
		r = request_new(w, p, CALLER_SAVER, CALL_LETTER);
		r->sink = p->sinks[j->sink];
		r->shard = p->lanes[j->lane].shard;
		r->index = p->lanes[j->lane]
				   .pages[p->lanes[j->lane].handovers[j->sink].page % CORE_PAGES]
				   .from +
			   (int)p->lanes[j->lane].handovers[j->sink].first;
		break;
	case JOB_STREAM:
		r = request_new(w, p, CALLER_SAVER, CALL_STREAM);
		break;
	case JOB_JOIN:
		r = request_new(w, p, CALLER_SAVER, CALL_JOIN);
		r->epoch = p->epoch;
		break;
	case JOB_FIRST:
		r = request_new(w, p, CALLER_SAVER, CALL_SHARDS);
		r->after = 0;
		r->tidy_before_ms = 0;
		break;
	default:
		return;
	}
	request_send(w, p, r);
}

void saver_run(struct world *w, struct process *p)
{
	struct saver *s = &p->saver;
	int64_t now_ms = process_now(w, p), at_ms;

	if (now_ms >= s->wake_ms)
		s->wake_ms = INT64_MAX;
	if (s->busy || p->phase == PHASE_END || p->phase == PHASE_BEGIN)
		return;
	if (now_ms >= s->beat_at_ms)
		beat(w, p);
	if (s->busy)
		return;
	/* While its owner hangs nobody gives it work, but a call that is due. */
	if (s->job_count > 0 && now_ms >= s->retry_at_ms && w->now_ms >= p->hung_until_ms) {
		ask(w, p);
		return;
	}
	at_ms = s->beat_at_ms;
	if (s->job_count > 0 && s->retry_at_ms < at_ms && s->retry_at_ms > now_ms)
		at_ms = s->retry_at_ms;
	wake_at(w, p, at_ms);
}

/* --- replies --- */

static void on_beat(struct world *w, struct process *p, enum how how)
{
	if (how == HOW_OK)
		p->emit_until_ms = watch_emit_until_ms(p->saver.beat_sent_ms, w->lease_ms);
	else if (how == HOW_FENCED)
		process_lost(w, p);
}

static void on_done(struct world *w, struct process *p, const struct job *j,
		    const struct request *r)
{
	switch (j->type) {
	case JOB_SAVE:
		process_feed(w, p, (struct core_event){ .type = CORE_SAVED });
		break;
	case JOB_ADD:
		process_added(w, p, &r->reply, j->let_go);
		break;
	case JOB_SHARDS:
		process_known(w, p, &r->reply);
		p->listing_waits = false;
		process_look_through(w, p, -1, p->listing, p->listing_count);
		p->adding--;
		process_settled(w, p);
		break;
	case JOB_LETTER:
		process_lettered(w, p, j->lane, j->sink);
		break;
	case JOB_STREAM:
		process_stream(p, &r->reply);
		saver_job(p, JOB_JOIN);
		break;
	case JOB_JOIN:
		saver_job(p, JOB_FIRST);
		break;
	case JOB_FIRST:
		process_opened(w, p, &r->reply);
		break;
	}
}

void saver_reply(struct world *w, struct process *p, const struct request *r)
{
	struct saver *s = &p->saver;
	bool was_beat = s->beating;
	struct job j;

	if (p->phase == PHASE_END)
		return;
	s->busy = s->beating = false;
	if (was_beat) {
		on_beat(w, p, r->reply.how);
	} else if (r->reply.how == HOW_RETRY) {
		s->retry_at_ms = process_now(w, p) +
				 rng_backoff_ms(&w->rng, s->tries++, RETRY_BASE_MS, RETRY_MAX_MS);
	} else if (r->reply.how != HOW_OK) {
		process_lost(w, p);
	} else {
		j = s->jobs[s->job_first];
		s->job_first = (s->job_first + 1) % JOBS_MAX;
		s->job_count--;
		s->tries = 0;
		s->retry_at_ms = 0;
		on_done(w, p, &j, r);
	}
	saver_run(w, p);
}
