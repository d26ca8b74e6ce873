#include "consumer/saver.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/queue.h"
#include "base/rng.h"
#include "consumer/watch.h"

#define RETRY_BASE_MS 50
#define RETRY_MAX_MS  2000
#define LOG_EVERY_MS  10000
/* Saves wait while a database is busy with what it does not get done. */
#define TIDY_AGAIN_MS (10LL * 60 * 1000)

enum saver_job_type { SAVER_SAVE, SAVER_LANES, SAVER_SHARDS, SAVER_WORK, SAVER_LETTER };
struct saver_job {
	enum saver_job_type type;
	union {
		const struct store_save *save;
		struct saver_lanes *lanes;
		struct saver_shards *shards;
		struct saver_task *task;
		struct letter *letter;
	};
};

struct saver {
	struct saver_settings settings;
	pthread_t thread;
	struct queue *jobs;
	int stop_fd; /* readable once it shall stop */
	struct rng rng;
	_Atomic int64_t turned_ms;
	int64_t beat_at_ms; /* when the next one is due */
	bool doubtful;      /* delivery pauses, and the log says so */
	bool lost;
	int64_t tidy_at_ms; /* not earlier, as it failed */
	struct log_limit log;
	struct metric_cell *saves_ok, *saves_failed, *save_ms;
};

static int64_t now(const struct saver *s)
{
	return clock_boot_ms(s->settings.clock);
}

/* Waits, but not beyond stop. */
static bool saver_pause(struct saver *s, int64_t ms)
{
	struct pollfd p = { .fd = s->stop_fd, .events = POLLIN };

	return poll(&p, 1, (int)ms) == 0;
}

static bool stopping(struct saver *s)
{
	return !saver_pause(s, 0);
}

static void lose(struct saver *s, const struct error *err)
{
	if (s->lost)
		return;
	s->lost = true;
	s->settings.lost(s->settings.arg, err);
}

static void count_error(struct saver *s, const struct error *err)
{
	metric_add(metrics_cell(s->settings.metrics, METRIC_STORE_ERRORS,
				error_kind_name(err->kind), NULL),
		   1);
}

static void trouble(struct saver *s, const struct error *err)
{
	uint64_t repeated;

	count_error(s, err);
	health_set(s->settings.health, "store", err->message);
	if (log_limit_pass(&s->log, now(s), LOG_EVERY_MS, &repeated))
		log_warn("the store did not answer, it is asked again",
			 log_text("store", store_describe(s->settings.store)),
			 log_text("error", err->message), log_int("repeated", (int64_t)repeated));
}

/* Most of a lease without an answered beat: stop before somebody else may start. */
static void extend_lease(struct saver *s, int64_t beat_ms)
{
	int64_t until_ms = store_exclusive(s->settings.store)
				   ? INT64_MAX
				   : watch_emit_until_ms(beat_ms, s->settings.lease_ms);

	if (s->doubtful)
		log_info("the lease is well again: delivery goes on");
	s->doubtful = false;
	atomic_store_explicit(s->settings.emit_until_ms, until_ms, memory_order_relaxed);
}

static void doubt_lease(struct saver *s)
{
	bool over = now(s) >= atomic_load_explicit(s->settings.emit_until_ms, memory_order_relaxed);

	if (over && !s->doubtful)
		log_warn("no beat was answered for most of the lease: delivery pauses");
	s->doubtful = over;
}

static void beat(struct saver *s)
{
	struct error err = { 0 };
	int64_t before = now(s);

	s->beat_at_ms = before + s->settings.lease_ms / WATCH_LOOKS;
	if (s->settings.alive(s->settings.arg)) {
		if (store_session_beat(s->settings.store, s->settings.session, &err)) {
			extend_lease(s, before);
			health_set(s->settings.health, "store", NULL);
		} else if (error_passes(err.kind)) {
			trouble(s, &err);
		} else {
			lose(s, &err);
		}
	}
	doubt_lease(s);
}

int64_t saver_turned_ms(const struct saver *s)
{
	return atomic_load_explicit(&s->turned_ms, memory_order_relaxed);
}

/* Whoever waits here comes by at each turn. */
static void beat_if_due(struct saver *s)
{
	atomic_store_explicit(&s->turned_ms, now(s), memory_order_relaxed);
	if (!s->lost && now(s) >= s->beat_at_ms)
		beat(s);
}

void saver_shards_free(struct saver_shards *job)
{
	free(job->found);
	free(job);
}

static void shard_known(void *arg, int64_t lane, const char *shard, const char *parent, bool done)
{
	struct saver_shards *job = arg;

	(void)done;
	if (job->count == job->capacity) {
		job->capacity = job->capacity ? 2 * job->capacity : 64;
		job->found = memory_resize(job->found, job->capacity * sizeof(*job->found));
	}

	struct saver_shard *k = &job->found[job->count++];

	k->lane = lane;
	snprintf(k->shard, sizeof(k->shard), "%s", shard);
	snprintf(k->parent, sizeof(k->parent), "%s", parent);
}

static bool ask_shards(struct saver *s, struct saver_shards *job, struct error *err)
{
	job->count = 0;
	return store_shards(s->settings.store, job->stream, job->after, shard_known, job, err);
}

static bool attempt(struct saver *s, const struct saver_job *job, struct error *err)
{
	struct store *store = s->settings.store;
	struct saver_lanes *l = job->lanes;

	switch (job->type) {
	case SAVER_SAVE:
		return store_save(store, job->save, err);
	case SAVER_LANES:
		return store_lanes_add(store, s->settings.session, l->stream, l->epoch, l->own,
				       l->lanes, l->count, l->sinks, l->sink_count, err);
	case SAVER_SHARDS:
		return ask_shards(s, job->shards, err);
	case SAVER_WORK:
		return job->task->work(job->task, store, err);
	case SAVER_LETTER:
		return store_letter_put(store, &job->letter->row, s->settings.letters_max_bytes,
					err);
	}
	__builtin_unreachable();
}

/* Until it is done, refused, or nobody wants it any more. */
static bool persist(struct saver *s, const struct saver_job *job, struct error *err)
{
	for (unsigned tries = 0; !s->lost && !stopping(s); tries++) {
		if (attempt(s, job, err))
			return true;
		if (!error_passes(err->kind))
			return false;
		trouble(s, err);
		if (!saver_pause(s, rng_backoff_ms(&s->rng, tries, RETRY_BASE_MS, RETRY_MAX_MS)))
			break;
		beat_if_due(s);
	}
	return error_set(err, ERROR_CANCELLED, "the session ends");
}

static void do_save(struct saver *s, const struct saver_job *job)
{
	struct error err = { 0 };
	int64_t before = now(s);
	bool ok = persist(s, job, &err);

	metric_add(s->save_ms, now(s) - before);
	metric_add(ok ? s->saves_ok : s->saves_failed, 1);
	if (ok)
		s->settings.saved(s->settings.arg);
	else if (err.kind != ERROR_CANCELLED)
		lose(s, &err);
}

static void do_lanes(struct saver *s, const struct saver_job *job)
{
	struct saver_lanes *l = job->lanes;

	l->ok = persist(s, job, &l->error);
	if (!l->ok && l->error.kind == ERROR_FENCED)
		lose(s, &l->error);
	s->settings.lanes_added(s->settings.arg, l);
}

/* Tried once: what it leaves costs room and nothing else, so that nothing waits for it. */
static void tidy(struct saver *s, const struct saver_shards *job)
{
	struct error err = { 0 };
	uint32_t removed;

	if (s->lost || stopping(s) || now(s) < s->tidy_at_ms)
		return;
	if (!store_tidy(s->settings.store, job->stream, job->tidy_before_ms, &removed, &err)) {
		s->tidy_at_ms = now(s) + TIDY_AGAIN_MS;
		count_error(s, &err);
		log_warn("ended shards could not be removed from the store, it is tried later",
			 log_text("store", store_describe(s->settings.store)),
			 log_text("error", err.message));
	}
	beat_if_due(s);
}

static void do_shards(struct saver *s, const struct saver_job *job)
{
	struct saver_shards *k = job->shards;

	tidy(s, k);
	k->ok = persist(s, job, &k->error);
	s->settings.shards(s->settings.arg, k);
}

static void do_work(struct saver *s, const struct saver_job *job)
{
	struct saver_task *t = job->task;

	t->ok = persist(s, job, &t->error);
	if (!t->ok && t->error.kind == ERROR_FENCED)
		lose(s, &t->error);
	s->settings.worked(s->settings.arg, t);
}

static void do_letter(struct saver *s, const struct saver_job *job)
{
	struct error err = { 0 };
	bool stored = persist(s, job, &err);

	if (!stored && err.kind != ERROR_CANCELLED)
		log_error("a dead letter was refused", log_text("error", err.message));
	s->settings.lettered(s->settings.arg, job->letter, stored);
}

static void do_job(struct saver *s, const struct saver_job *job)
{
	switch (job->type) {
	case SAVER_SAVE:
		do_save(s, job);
		break;
	case SAVER_LANES:
		do_lanes(s, job);
		break;
	case SAVER_SHARDS:
		do_shards(s, job);
		break;
	case SAVER_WORK:
		do_work(s, job);
		break;
	case SAVER_LETTER:
		do_letter(s, job);
		break;
	}
}

static void *saver_main(void *arg)
{
	struct saver *s = arg;

	while (!stopping(s)) {
		struct pollfd p[2] = { { .fd = s->stop_fd, .events = POLLIN },
				       { .fd = queue_fd(s->jobs), .events = POLLIN } };
		int64_t wait_ms = s->lost ? -1 : s->beat_at_ms - now(s);
		struct saver_job job;

		poll(p, 2, s->lost ? -1 : wait_ms > 0 ? (int)wait_ms : 0);
		beat_if_due(s);
		if (queue_drain(s->jobs, &job, 1) == 1)
			do_job(s, &job);
	}
	return NULL;
}

struct saver *saver_start(const struct saver_settings *settings)
{
	struct saver *s = memory_new(sizeof(*s));
	struct metrics *m = settings->metrics;
	int failed;

	s->settings = *settings;
	s->jobs = queue_new(sizeof(struct saver_job), settings->jobs_max);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	extend_lease(s, settings->beat_from_ms);
	s->turned_ms = now(s);
	s->saves_ok = metrics_cell(m, METRIC_SAVES, "ok", NULL);
	s->saves_failed = metrics_cell(m, METRIC_SAVES, "failed", NULL);
	s->save_ms = metrics_cell(m, METRIC_SAVE_SECONDS, NULL, NULL);
	rng_seed(&s->rng, settings->seed);
	failed = pthread_create(&s->thread, NULL, saver_main, s);
	assert(!failed && s->stop_fd >= 0);
	pthread_setname_np(s->thread, "saver");
	return s;
}

void saver_stop(struct saver *s)
{
	struct saver_job job;

	eventfd_write(s->stop_fd, 1);
	pthread_join(s->thread, NULL);
	queue_close(s->jobs);
	while (queue_drain(s->jobs, &job, 1) == 1)
		if (job.type != SAVER_SAVE)
			do_job(s, &job);
	close(s->stop_fd);
	queue_free(s->jobs);
	free(s);
}

static void saver_push(struct saver *s, struct saver_job job)
{
	bool taken = queue_push(s->jobs, &job);

	assert(taken);
}

void saver_save(struct saver *s, const struct store_save *save)
{
	saver_push(s, (struct saver_job){ .type = SAVER_SAVE, .save = save });
}

void saver_lanes(struct saver *s, struct saver_lanes *job)
{
	saver_push(s, (struct saver_job){ .type = SAVER_LANES, .lanes = job });
}

void saver_shards(struct saver *s, struct saver_shards *job)
{
	saver_push(s, (struct saver_job){ .type = SAVER_SHARDS, .shards = job });
}

void saver_work(struct saver *s, struct saver_task *task)
{
	saver_push(s, (struct saver_job){ .type = SAVER_WORK, .task = task });
}

void saver_letter(struct saver *s, struct letter *l)
{
	saver_push(s, (struct saver_job){ .type = SAVER_LETTER, .letter = l });
}
