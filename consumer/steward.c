#include "consumer/steward.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/queue.h"
#include "base/rng.h"
#include "consumer/balance.h"
#include "consumer/burial.h"
#include "consumer/loss.h"
#include "consumer/neighbours.h"
#include "consumer/watch.h"

#define JOBS_MAX      65536
#define RETRY_BASE_MS 100
#define RETRY_MAX_MS  5000
#define LOG_EVERY_MS  10000

enum job_type { JOB_RELEASE, JOB_HELD, JOB_ADD, JOB_REMOVE };
struct job {
	enum job_type type;
	uint32_t stream;
	union {
		struct steward_release *release;
		struct steward_stream *add; /* allocated */
	};
};

struct steward {
	struct steward_settings settings;
	pthread_t thread;
	struct steward_stream *streams; /* by the worker's index */
	uint32_t stream_count;
	struct queue *jobs;
	int stop_fd;
	int poke_fd; /* readable: a round now */
	_Atomic bool quiet;
	struct rng rng;
	int64_t round_at_ms;
	int64_t not_before_ms; /* after a round that failed */
	unsigned failures;     /* in a row */
	uint32_t patience;
	bool lost;
	bool burial_told; /* in the health, that one failed */
	struct log_limit log, left_log;
	struct watch watch;
	char buried[STORE_ID_SIZE]; /* in this round; "": none */
	struct neighbours neighbours;
	int64_t *doubtful; /* lanes whose release had no reply, ascending */
	size_t doubtful_count, doubtful_capacity;
	struct store_session *sessions; /* WATCH_MAX */
	/* of the round */
	struct steward_view *view;
	struct store_round_member *members;
	uint32_t member_count, member_capacity;
	uint32_t *claims;
	uint64_t rounds;
};

static int64_t now(const struct steward *s)
{
	return clock_boot_ms(s->settings.session.clock);
}

static int64_t lease_ms(const struct steward *s)
{
	return s->settings.session.config->checkpoint.lease_ms;
}

static struct store *store_of(struct steward *s)
{
	return s->settings.session.store;
}

/* --- what it gives away --- */

void steward_view_free(struct steward_view *v)
{
	free(v->streams);
	free(v->parts);
	free(v->unheld_ms);
	free(v->gaps);
	free(v->wanted);
	free(v);
}

void steward_release_free(struct steward_release *r)
{
	free(r->lanes);
	free(r->indices);
	free(r);
}

/* --- trouble --- */

static void lose(struct steward *s, const struct error *err)
{
	if (s->lost)
		return;
	s->lost = true;
	s->settings.lost(s->settings.arg, err);
}

/* The session is lost where the store says so. */
static void failed(struct steward *s, const struct error *err)
{
	uint64_t repeated;

	if (!error_passes(err->kind)) {
		lose(s, err);
		return;
	}
	metric_add(metrics_cell(s->settings.session.metrics, METRIC_STORE_ERRORS,
				error_kind_name(err->kind), NULL),
		   1);
	if (log_limit_pass(&s->log, now(s), LOG_EVERY_MS, &repeated))
		log_warn("the shards cannot be shared with other workers, it is tried again",
			 log_text("store", store_describe(store_of(s))),
			 log_text("error", err->message), log_int("repeated", (int64_t)repeated));
}

/* --- a round: what the store shows --- */

static uint32_t stream_index(const struct steward *s, int64_t id)
{
	for (uint32_t i = 0; i < s->stream_count; i++)
		if (s->streams[i].id == id)
			return i;
	return UINT32_MAX;
}

static void saw_stream(void *arg, const struct store_round_stream *r)
{
	struct steward *s = arg;
	uint32_t i = stream_index(s, r->stream);

	if (i == UINT32_MAX)
		return;
	s->view->streams[i] = *r;
	s->streams[i].held = s->streams[i].held || r->hold != 0 || r->stale || !r->served;
	if (s->streams[i].held)
		s->view->streams[i].claimable = 0;
}

static void saw_member(void *arg, const struct store_round_member *m)
{
	struct steward *s = arg;

	if (s->member_count == s->member_capacity) {
		s->member_capacity = s->member_capacity ? 2 * s->member_capacity : 64;
		s->members = memory_resize(s->members, s->member_capacity * sizeof(*s->members));
	}
	s->members[s->member_count++] = *m;
}

static void saw_wanted(void *arg, int64_t stream, int64_t lane)
{
	struct steward *s = arg;
	struct steward_view *v = s->view;

	(void)stream;
	if (v->wanted_count == v->wanted_capacity) {
		v->wanted_capacity = v->wanted_capacity ? 2 * v->wanted_capacity : 64;
		v->wanted = memory_resize(v->wanted, v->wanted_capacity * sizeof(*v->wanted));
	}
	v->wanted[v->wanted_count++] = lane;
}

static int by_session(const void *a, const void *b)
{
	const struct store_round_member *x = a, *y = b;

	return strcmp(x->session, y->session);
}

static int by_id(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool look(struct steward *s, struct error *err)
{
	static const struct store_round_fns fns = { .stream = saw_stream,
						    .member = saw_member,
						    .wanted = saw_wanted };
	struct steward_view *v = memory_new(sizeof(*v));

	v->stream_count = s->stream_count;
	v->streams = memory_array(v->stream_count + 1, sizeof(*v->streams));
	v->unheld_ms = memory_array(v->stream_count + 1, sizeof(*v->unheld_ms));
	s->view = v;
	s->member_count = 0;
	/* Who serves no stream shares none. */
	if (s->stream_count > 0 && !store_round(store_of(s), s->settings.id, &fns, s, err)) {
		steward_view_free(v);
		s->view = NULL;
		return false;
	}
	if (s->member_count)
		qsort(s->members, s->member_count, sizeof(*s->members), by_session);
	if (v->wanted_count)
		qsort(v->wanted, v->wanted_count, sizeof(*v->wanted), by_id);
	return true;
}

/* --- the others --- */

static bool kill_session(struct steward *s, const struct store_session *o,
			 enum watch_verdict *verdict, struct error *err)
{
	bool killed;

	*verdict = WATCH_LET;
	if (!store_session_kill(store_of(s), o->id, o->beat, &killed, err))
		return false;
	if (!killed)
		return true;
	log_warn("a session is dead: its beat stood still for a whole lease",
		 log_text("session", o->id), log_text("worker", o->worker));
	*verdict = watch_killed(&s->watch, o->id, now(s));
	return true;
}

/* What keeps it from its burial may be mended by a person: it is tried until it is done, by every
 * worker. */
static void bury(struct steward *s, const struct store_session *o)
{
	struct error err = { 0 };
	const struct watched *w = watch_find(&s->watch, o->id);
	enum burial_end end = burial_try(&s->settings.session, o->id, false, &err);
	uint64_t repeated;

	if (end == BURIAL_DONE) {
		log_info("a dead session is buried, its shards are free",
			 log_text("session", o->id), log_text("worker", o->worker));
		memcpy(s->buried, o->id, sizeof(s->buried));
		watch_buried(&s->watch, o->id);
		return;
	}
	watch_unburied(
		&s->watch, o->id,
		now(s) + rng_backoff_ms(&s->rng, w ? w->tries : 0, RETRY_BASE_MS, RETRY_MAX_MS),
		end != BURIAL_UNHEARD);
	s->burial_told = true;
	health_set(s->settings.session.health, "burial", err.message);
	if (log_limit_pass(&s->log, now(s), LOG_EVERY_MS, &repeated))
		log_error("an ended session cannot be buried, its shards wait",
			  log_text("session", o->id), log_text("error", err.message),
			  log_int("repeated", (int64_t)repeated));
}

/* The trouble is over once no burial is left that failed: this worker's own try may succeed for
 * another session, and another worker's for this one. */
static void see_buried(struct steward *s)
{
	if (!s->burial_told || watch_unburied_count(&s->watch) > 0)
		return;
	s->burial_told = false;
	health_forget(s->settings.session.health, "burial");
}

static bool lives(const struct steward *s, const char *id)
{
	const struct watched *w = watch_find(&s->watch, id);

	return w && w->beats && !w->dead;
}

static bool watch_others(struct steward *s, struct error *err)
{
	size_t count;

	if (!store_sessions_near(store_of(s), s->settings.id, s->sessions, WATCH_MAX, &count, err))
		return false;
	watch_look(&s->watch, now(s));
	for (size_t i = 0; i < count; i++) {
		const struct store_session *o = &s->sessions[i];
		enum watch_verdict verdict;

		if (strcmp(o->id, s->settings.id) == 0)
			continue;
		verdict = watch_see(&s->watch, o);
		if (verdict == WATCH_KILL && !kill_session(s, o, &verdict, err))
			return false;
		if (lives(s, o->id))
			neighbours_see(&s->neighbours, &s->settings.session, o);
		if (verdict == WATCH_BURY)
			bury(s, o);
	}
	watch_looked(&s->watch, now(s));
	see_buried(s);
	return true;
}

/* --- what is lost, or may be --- */

static void saw_gap(void *arg, const struct store_gap *gap)
{
	struct steward_view *v = arg;

	v->gaps = memory_room(v->gaps, v->gap_count, sizeof(*v->gaps));
	v->gaps[v->gap_count++] = *gap;
}

static bool ask_unheld(struct steward *s, uint32_t stream, struct error *err)
{
	struct steward_stream *t = &s->streams[stream];
	struct loss_unheld unheld = { .start_ms = t->start_ms };

	if (s->view->streams[stream].lister &&
	    !store_unheld(store_of(s), t->id, loss_unheld, &unheld, err))
		return false;
	t->unheld_ms = unheld.place_ms;
	return true;
}

/* Lanes on their way from one session to the next are nobody's for a moment: not each round asks
 * for those. */
static bool look_at_losses(struct steward *s, struct error *err)
{
	struct steward_view *v = s->view;
	int64_t *ids = memory_array(v->stream_count + 1, sizeof(*ids));
	bool unheld = s->rounds++ % WATCH_LOOKS == 0, ok = true;

	for (uint32_t i = 0; i < v->stream_count && ok; i++) {
		ids[i] = s->streams[i].id;
		ok = !unheld || ask_unheld(s, i, err);
		v->unheld_ms[i] = s->streams[i].unheld_ms;
	}
	ok = ok && (v->stream_count == 0 ||
		    store_gaps_accepted(store_of(s), ids, v->stream_count, saw_gap, v, err));
	free(ids);
	return ok;
}

/* --- taking --- */

/* A release that had no reply is sent again; the first one may still be under way, and free a lane
 * that this session has taken again since. */
static void doubt(struct steward *s, const struct steward_release *job)
{
	size_t count = s->doubtful_count + job->count;

	if (count > s->doubtful_capacity) {
		s->doubtful_capacity = 2 * count;
		s->doubtful = memory_resize(s->doubtful, 2 * count * sizeof(*s->doubtful));
	}
	memcpy(s->doubtful + s->doubtful_count, job->lanes, job->count * sizeof(*job->lanes));
	s->doubtful_count = count;
	qsort(s->doubtful, count, sizeof(*s->doubtful), by_id);
}

/* Gives the lanes to the worker, but for a session that cannot be sure to keep them. */
static void give(struct steward *s, struct taken *got)
{
	struct error err = { 0 };

	for (size_t i = 0; s->doubtful_count > 0 && i < got->count; i++)
		if (bsearch(&got->lanes[i].id, s->doubtful, s->doubtful_count, sizeof(*s->doubtful),
			    by_id))
			error_set(&err, ERROR_FENCED,
				  "shard %s came back to a session that may still release it",
				  got->lanes[i].shard);
	if (err.kind == ERROR_NONE) {
		s->settings.taken(s->settings.arg, got);
		return;
	}
	taken_free(got);
	lose(s, &err);
}

static bool claim(struct steward *s, uint32_t stream, uint32_t max, struct error *err)
{
	const struct steward_stream *t = &s->streams[stream];
	AUTO(taken) struct taken *got = taken_new(stream, false);

	if (!store_lanes_claim(store_of(s), s->settings.id, t->id, t->sinks, t->sink_count, max,
			       taken_lane, taken_position, got, err))
		return false;
	if (got->count > 0)
		give(s, MOVE(got));
	return true;
}

/* Others may be about to take them: not at once. */
static void tell_left(struct steward *s, uint32_t left)
{
	uint64_t repeated;

	if (s->patience > 2 * BALANCE_PATIENCE &&
	    log_limit_pass(&s->left_log, now(s), LOG_EVERY_MS, &repeated))
		log_warn("shards are read by nobody: this worker holds as many as it may",
			 log_int("shards", left), log_int("max_shards", s->settings.held_max),
			 log_int("repeated", (int64_t)repeated));
}

static bool share(struct steward *s, struct error *err)
{
	struct balance_round r = { .session = s->settings.id,
				   .held_max = s->settings.held_max,
				   .streams = s->view->streams,
				   .stream_count = s->view->stream_count,
				   .members = s->members,
				   .member_count = s->member_count,
				   .patience = s->patience };
	struct balance_plan plan = { .claims = s->claims };
	uint32_t left = 0, wished;

	balance_decide(&r, &plan);
	s->view->parts = memory_array(r.stream_count + 1, sizeof(*s->view->parts));
	for (uint32_t i = 0; i < r.stream_count; i++) {
		s->view->parts[i] = balance_part(&r, &plan, i);
		left += r.streams[i].served ? r.streams[i].claimable - plan.claims[i] : 0;
		s->view->claimed = s->view->claimed || plan.claims[i] > 0;
		if (plan.claims[i] > 0 && !claim(s, i, plan.claims[i], err))
			return false;
	}
	s->patience = left > 0 ? s->patience + 1 : 0;
	tell_left(s, left);
	if (plan.wish == 0)
		return true;
	if (!store_lanes_wish(store_of(s), s->settings.id, plan.from, plan.wish_stream, plan.wish,
			      &wished, err))
		return false;
	log_debug("asked another session for shards", log_text("session", plan.from),
		  log_int("shards", wished));
	return true;
}

/* --- the thread --- */

/* Its litter waits until its lanes are read again; of several that were buried in one round, the
 * bucket's rule for incomplete uploads takes the others'. */
static void sweep_buried(struct steward *s)
{
	if (*s->buried && !atomic_load(&s->quiet))
		burial_sweep(&s->settings.session, s->buried);
	s->buried[0] = '\0';
}

/* Members come sorted by session; one's own is not watched. */
static unsigned able_ones(const struct steward *s)
{
	const char *last = "";
	unsigned n = 0;

	for (uint32_t i = 0; i < s->member_count; i++) {
		const struct store_round_member *m = &s->members[i];

		if (!m->served || strcmp(m->session, last) == 0)
			continue;
		last = m->session;
		n += lives(s, m->session);
	}
	return n;
}

static bool make_round(struct steward *s, struct error *err)
{
	bool ok;

	if (!watch_others(s, err) ||
	    !neighbours_look(&s->neighbours, &s->settings.session, s->settings.id, err) ||
	    !look(s, err))
		return false;
	s->view->silent = watch_silent(&s->watch);
	s->view->others = able_ones(s);
	ok = (atomic_load(&s->quiet) || share(s, err)) && look_at_losses(s, err);
	s->settings.viewed(s->settings.arg, s->view);
	s->view = NULL;
	return ok;
}

static void round_if_due(struct steward *s)
{
	struct error err = { 0 };
	int64_t beat_ms = lease_ms(s) / WATCH_LOOKS;

	if (s->lost || now(s) < s->round_at_ms || now(s) < s->not_before_ms)
		return;
	s->round_at_ms = now(s) + beat_ms - beat_ms / 8 +
			 (int64_t)rng_below(&s->rng, (uint64_t)beat_ms / 4 + 1);
	if (make_round(s, &err)) {
		s->failures = 0;
		sweep_buried(s);
		return;
	}
	failed(s, &err);
	s->not_before_ms =
		now(s) + rng_backoff_ms(&s->rng, s->failures++, RETRY_BASE_MS, RETRY_MAX_MS);
}

static bool stop_within(const struct steward *s, int64_t ms)
{
	struct pollfd p = { .fd = s->stop_fd, .events = POLLIN };

	return poll(&p, 1, (int)ms) != 0;
}

/* After a call that failed. False: nobody needs it any more. */
static bool again(struct steward *s, unsigned tries, const struct error *err)
{
	failed(s, err);
	return !s->lost &&
	       !stop_within(s, rng_backoff_ms(&s->rng, tries, RETRY_BASE_MS, RETRY_MAX_MS));
}

static void release_lanes(struct steward *s, struct steward_release *job)
{
	struct error err = { 0 };

	for (unsigned tries = 0; !s->lost; tries++) {
		if (store_lanes_release(store_of(s), s->settings.id, job->lanes, job->count, &err))
			break;
		if (tries == 0)
			doubt(s, job);
		if (!again(s, tries, &err))
			break;
	}
	s->settings.released(s->settings.arg, job);
}

static void tell_held(struct steward *s, uint32_t stream)
{
	struct error err = { 0 };

	for (unsigned tries = 0; !s->lost; tries++) {
		AUTO(taken) struct taken *got = taken_new(stream, true);

		if (store_lanes_held(store_of(s), s->settings.id, s->streams[stream].id, taken_lane,
				     taken_position, got, &err)) {
			give(s, MOVE(got));
			return;
		}
		if (!again(s, tries, &err))
			return;
	}
}

static void add_stream(struct steward *s, uint32_t stream, struct steward_stream *what)
{
	if (stream >= s->stream_count) {
		uint32_t count = stream + 1;

		s->streams = memory_resize(s->streams, count * sizeof(*s->streams));
		memset(s->streams + s->stream_count, 0,
		       (count - s->stream_count) * sizeof(*s->streams));
		s->claims = memory_resize(s->claims, count * sizeof(*s->claims));
		s->stream_count = count;
	}
	s->streams[stream] = *what;
	free(what);
	s->round_at_ms = 0;
}

static void remove_stream(struct steward *s, uint32_t stream)
{
	struct error err = { 0 };

	for (unsigned tries = 0; !s->lost; tries++)
		if (store_leave(store_of(s), s->settings.id, s->streams[stream].id, &err) ||
		    !again(s, tries, &err))
			break;
	s->streams[stream] = (struct steward_stream){ 0 };
	s->settings.removed(s->settings.arg, stream);
}

static void do_job(struct steward *s, const struct job *job)
{
	switch (job->type) {
	case JOB_RELEASE:
		release_lanes(s, job->release);
		break;
	case JOB_HELD:
		tell_held(s, job->stream);
		break;
	case JOB_ADD:
		add_stream(s, job->stream, job->add);
		break;
	case JOB_REMOVE:
		remove_stream(s, job->stream);
		break;
	}
}

static int64_t wake_ms(const struct steward *s)
{
	int64_t watch_ms = watch_wake_ms(&s->watch);
	int64_t at_ms = s->round_at_ms < watch_ms ? s->round_at_ms : watch_ms;

	return at_ms > s->not_before_ms ? at_ms : s->not_before_ms;
}

static void *steward_main(void *arg)
{
	struct steward *s = arg;

	while (!stop_within(s, 0)) {
		struct pollfd p[3] = { { .fd = s->stop_fd, .events = POLLIN },
				       { .fd = queue_fd(s->jobs), .events = POLLIN },
				       { .fd = s->poke_fd, .events = POLLIN } };
		int64_t due_ms = wake_ms(s), wait_ms = due_ms - now(s);
		eventfd_t pokes;
		struct job job;

		poll(p, 3, s->lost ? -1 : wait_ms > 0 ? (int)wait_ms : 0);
		while (queue_drain(s->jobs, &job, 1) == 1)
			do_job(s, &job);
		if (eventfd_read(s->poke_fd, &pokes) == 0 || now(s) >= due_ms)
			s->round_at_ms = 0;
		round_if_due(s);
	}
	return NULL;
}

struct steward *steward_start(const struct steward_settings *settings)
{
	struct steward *s = memory_new(sizeof(*s));
	int error;

	s->settings = *settings;
	s->jobs = queue_new(sizeof(struct job), JOBS_MAX);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->poke_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	watch_init(&s->watch, settings->session.config->checkpoint.lease_ms);
	s->sessions = memory_array(WATCH_MAX, sizeof(*s->sessions));
	rng_seed(&s->rng, settings->seed);
	error = pthread_create(&s->thread, NULL, steward_main, s);
	assert(!error && s->stop_fd >= 0 && s->poke_fd >= 0);
	pthread_setname_np(s->thread, "steward");
	return s;
}

void steward_stop(struct steward *s)
{
	struct job job;

	eventfd_write(s->stop_fd, 1);
	pthread_join(s->thread, NULL);
	queue_close(s->jobs);
	while (queue_drain(s->jobs, &job, 1) == 1)
		if (job.type == JOB_RELEASE)
			s->settings.released(s->settings.arg, job.release);
		else if (job.type == JOB_ADD)
			free(job.add);
	close(s->stop_fd);
	close(s->poke_fd);
	queue_free(s->jobs);
	neighbours_release(&s->neighbours, &s->settings.session);
	free(s->sessions);
	free(s->streams);
	free(s->claims);
	free(s->doubtful);
	free(s->members);
	free(s);
}

static void push(struct steward *s, struct job job)
{
	bool taken = queue_push(s->jobs, &job);

	assert(taken);
}

void steward_add_stream(struct steward *s, uint32_t stream, const struct steward_stream *what)
{
	struct steward_stream *copy = memory_new(sizeof(*copy));

	*copy = *what;
	push(s, (struct job){ .type = JOB_ADD, .stream = stream, .add = copy });
}

void steward_remove_stream(struct steward *s, uint32_t stream)
{
	push(s, (struct job){ .type = JOB_REMOVE, .stream = stream });
}

void steward_let_go(struct steward *s, struct steward_release *job)
{
	push(s, (struct job){ .type = JOB_RELEASE, .release = job });
}

void steward_ask_held(struct steward *s, uint32_t stream)
{
	push(s, (struct job){ .type = JOB_HELD, .stream = stream });
}

void steward_poke(struct steward *s)
{
	eventfd_write(s->poke_fd, 1);
}

void steward_quiet(struct steward *s)
{
	atomic_store(&s->quiet, true);
}
