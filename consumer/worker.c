#include "consumer/worker.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "consumer/batching.h"
#include "consumer/standby.h"
#include "consumer/worker_exports.h"
#include "consumer/worker_internal.h"

/* A pool of this many connections serves ten thousand shards (limits, 4). */
#define CONNECTIONS_MAX 64
/* Listing calls need few. */
#define OWN_CONNECTIONS 4
/* Notes that can wait: one for each shard that closed while the store was away, and a few more. */
#define NOTES_MAX 16384

static void on_wake(void *arg)
{
	struct worker *w = arg;
	struct core_event e = { .type = CORE_TICK, .now_ms = loop_now_ms(w->loop) };

	worker_feed(w, &e);
}

static void on_stop(void *arg, int fd, uint32_t events)
{
	struct worker *w = arg;
	struct core_event e = { .type = CORE_STOP, .now_ms = loop_now_ms(w->loop) };
	int64_t shutdown_ms = w->settings.config->worker.shutdown_ms;

	(void)events;
	loop_watch(w->loop, fd, 0, NULL, NULL);
	log_info("stopping: what is in flight is delivered and saved");
	w->end = WORKER_STOPPED;
	worker_follow_stop(w);
	worker_exports_stop(w);
	if (w->steward)
		steward_quiet(w->steward);
	loop_timer_arm(w->deadline, shutdown_ms);
	store_end_by(w->settings.store, e.now_ms + shutdown_ms);
	if (w->second_store)
		store_end_by(w->second_store, e.now_ms + shutdown_ms);
	worker_feed(w, &e);
	for (unsigned i = 0; i < w->reader_count; i++)
		reader_halt_files(w->readers[i]);
}

static void on_deadline(void *arg)
{
	struct worker *w = arg;

	log_warn("not everything could be delivered within worker.shutdown; the rest is read again "
		 "at the next start");
	w->late = true;
	loop_stop(w->loop);
}

void worker_task_free(struct worker_task *task)
{
	if (task->release)
		task->release(task);
	free(task);
}

/* --- the saver's callbacks, on its thread --- */

void worker_note_free(struct worker_note *n)
{
	free((void *)(uintptr_t)n->blob.p);
	free(n->error);
	switch (n->type) {
	case NOTE_LANES:
		worker_lanes_free(n->lanes);
		break;
	case NOTE_SHARDS:
		saver_shards_free(n->shards);
		break;
	case NOTE_VIEWED:
		steward_view_free(n->view);
		break;
	case NOTE_TAKEN:
		taken_free(n->taken);
		break;
	case NOTE_RELEASED:
		steward_release_free(n->release);
		break;
	case NOTE_WORKED:
		worker_task_free(n->task);
		break;
	case NOTE_TOLD:
	case NOTE_LETTERS_TOLD:
		teller_job_free(n->told);
		break;
	case NOTE_PARTITIONS:
		worker_partitions_free(n->partitions);
		break;
	case NOTE_SAVED:
	case NOTE_REMOVED:
	case NOTE_PREPARED:
	case NOTE_FINISHED:
	case NOTE_LOST:
		break;
	}
}

void worker_push_note(struct worker *w, struct worker_note n)
{
	if (!queue_push(w->notes, &n))
		worker_note_free(&n);
}

static void on_saved(void *arg)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_SAVED });
}

static void on_lanes_added(void *arg, struct saver_lanes *job)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_LANES, .lanes = job });
}

static void on_shards(void *arg, struct saver_shards *job)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_SHARDS, .shards = job });
}

static void on_worked(void *arg, struct saver_task *task)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_WORKED,
						    .task = (struct worker_task *)task });
}

static void on_lettered(void *arg, struct letter *l, bool stored)
{
	struct worker *w = arg;

	reader_lettered(w->readers[l->lane->reader], l, stored);
}

void worker_on_lost(void *arg, const struct error *err)
{
	worker_push_note(
		arg, (struct worker_note){ .type = NOTE_LOST, .error = memory_text(err->message) });
}

static void on_letter(void *arg, struct letter *l)
{
	struct worker *w = arg;

	saver_letter(w->saver, l);
}

/* --- threads --- */

static uint64_t seed(void)
{
	uint64_t s;

	rng_random(&s, sizeof(s));
	return s;
}

static uint32_t lanes_max(const struct worker *w)
{
	return (uint32_t)w->settings.config->worker.max_shards;
}

/* Each lane may stand at a gap that is being recorded, or go on behind one. */
static uint32_t notes_max(const struct worker *w)
{
	return NOTES_MAX + 2 * lanes_max(w);
}

static void start_saver(struct worker *w)
{
	const struct config *c = w->settings.config;
	struct saver_settings s = { .store = w->settings.store,
				    .session = w->session,
				    .lease_ms = c->checkpoint.lease_ms,
				    .beat_from_ms = w->beat_from_ms,
				    .letters_max_bytes = c->dead_letter.max_bytes,
				    /* what ends in a note, a letter a page or sink */
				    .jobs_max = notes_max(w) +
						lanes_max(w) * (CORE_SINKS_MAX + CORE_PAGES),
				    .clock = w->settings.clock,
				    .metrics = w->settings.metrics,
				    .health = w->settings.health,
				    .seed = seed(),
				    .emit_until_ms = &w->emit_until_ms,
				    .alive = worker_alive,
				    .saved = on_saved,
				    .lanes_added = on_lanes_added,
				    .shards = on_shards,
				    .worked = on_worked,
				    .lettered = on_lettered,
				    .lost = worker_on_lost,
				    .arg = w };

	w->saver = saver_start(&s);
}

static bool start_readers(struct worker *w)
{
	for (unsigned i = 0; i < w->reader_count; i++) {
		struct reader_settings s = { .index = i,
					     .aws = &w->reader_aws,
					     .credentials = w->settings.credentials,
					     .clock = w->settings.clock,
					     .metrics = w->settings.metrics,
					     .health = w->settings.health,
					     .lanes_max = lanes_max(w),
					     .fetches_max = CONNECTIONS_MAX,
					     .core = w->events,
					     .emit_until_ms = &w->emit_until_ms,
					     .letter = on_letter,
					     .gap_over = worker_gap_over,
					     .arg = w,
					     .seed = seed() };

		w->readers[i] = reader_start(&s, &w->error);
		if (!w->readers[i])
			return false;
	}
	return true;
}

static void start_discovery(struct worker *w)
{
	struct discover_settings s = { .client = w->client,
				       .clock = w->settings.clock,
				       .found = worker_found,
				       .done = worker_discovered,
				       .gone = worker_stream_gone,
				       .arg = w,
				       .seed = seed() };

	w->discover = discover_new(&s);
}

/* Where all have the same trouble, one ends after the other, and the last one stays. */
static int64_t stall_max_ms(int64_t timeout_ms)
{
	struct rng rng;

	rng_seed(&rng, seed());
	return timeout_ms + (int64_t)rng_below(&rng, (uint64_t)timeout_ms / 4 + 1);
}

/* --- a life --- */

static bool prepare(struct worker *w)
{
	const struct config *c = w->settings.config;
	struct aws_settings own = *w->settings.aws;

	own.connections_max = OWN_CONNECTIONS;
	w->reader_aws = *w->settings.aws;
	w->reader_aws.connections_max =
		(CONNECTIONS_MAX + c->worker.threads - 1) / c->worker.threads;
	w->client = aws_client_new(w->loop, &own, w->settings.credentials, w->settings.clock,
				   w->settings.metrics, &w->error);
	return w->client != NULL;
}

static void prepare_core(struct worker *w)
{
	const struct config *c = w->settings.config;
	struct core_settings s = { .memory_bytes = c->worker.memory_bytes - batching_kept(c),
				   .save_interval_ms = c->checkpoint.interval_ms,
				   .idle_ms = w->settings.idle_ms,
				   .fetches_max = CONNECTIONS_MAX,
				   .lanes_max = lanes_max(w),
				   .seed = seed() };

	core_init(&w->core, &s);
	for (uint32_t i = 0; i < w->sink_count; i++) {
		struct worker_sink *k = &w->sinks[i];

		k->config = &c->sinks[i];
		k->ops = sink_ops_find(k->config->type->type);
		core_add_sink(&w->core, k->ops->commit(k->config->settings));
	}
}

/* Readers fetch only what the core tells them, so that lanes may be claimed after they started. */
static bool begin(struct worker *w)
{
	return prepare(w) && worker_look_up(w) &&
	       session_begin(&w->session_settings, w->session, &w->beat_from_ms, &w->error) &&
	       worker_judge(w) && worker_open_sinks(w) && start_readers(w) &&
	       worker_find_sinks(w) && worker_share(w);
}

static void serve(struct worker *w)
{
	struct core_event first = { .type = CORE_TICK };

	start_saver(w);
	start_discovery(w);
	loop_watch(w->loop, queue_fd(w->events), EPOLLIN, worker_on_events, w);
	loop_watch(w->loop, queue_fd(w->notes), EPOLLIN, worker_on_events, w);
	loop_watch(w->loop, w->settings.stop_fd, EPOLLIN, on_stop, w);
	log_info("session begun", log_text("session", w->session),
		 log_text("store", store_describe(w->settings.store)));
	health_set(w->settings.health, "session", NULL);
	worker_follow(w);
	worker_control_start(w);
	worker_letters_start(w);
	if (!w->settings.side) {
		worker_load(w);
		worker_exports_start(w);
	}
	worker_watch(w);
	first.now_ms = loop_now_ms(w->loop);
	worker_feed(w, &first);
	loop_run(w->loop);
}

/* A neighbour that is away must not hold up the process beyond worker.shutdown: what is late is
 * left to the next session, which buries this one. */
static void end_session(struct worker *w)
{
	struct error err = { 0 };
	bool drained =
		w->end != WORKER_AGAIN && w->end != WORKER_STALLED && w->end != WORKER_FAILED;

	if (!*w->session || w->late ||
	    session_end(&w->session_settings, w->session, !drained, &err))
		return;
	log_warn("the session could not be ended in the store; the next one waits a lease",
		 log_text("session", w->session), log_text("error", err.message));
}

/* Readers first, so that nothing new is handed over; then the sinks answer what they have. */
static void end(struct worker *w)
{
	struct worker_note n;

	atomic_store(&w->settings.pulse->active, false);
	metrics_replace(w->settings.metrics, METRIC_SHARD_LAG, &(struct buf){ 0 });
	worker_follow_stop(w);
	worker_exports_stop(w);
	for (unsigned i = 0; i < w->reader_count; i++)
		if (w->readers[i])
			reader_stop(w->readers[i]);
	aws_client_free(w->client);
	discover_free(w->discover);
	/* A session that was declared dead may send nothing more, whatever else takes its time. */
	if (w->end == WORKER_AGAIN || w->end == WORKER_STALLED)
		worker_purge_sinks(w);
	if (w->end == WORKER_STALLED)
		worker_watch_end(w);
	worker_control_stop(w);
	worker_letters_stop(w);
	worker_share_end(w);
	if (w->saver)
		saver_stop(w->saver);
	worker_close_sinks(w);
	while (queue_drain(w->notes, &n, 1) == 1)
		worker_note_free(&n);
	end_session(w);
	for (unsigned i = 0; i < w->reader_count; i++)
		reader_free(w->readers[i]);
}

static void release(struct worker *w)
{
	for (uint32_t i = 0; i < w->core.lane_count; i++)
		lane_free(w->lanes[i]);
	for (struct lane *l = w->dropped, *next; l; l = next) {
		next = l->next;
		lane_free(l);
	}
	free(w->lanes);
	free(w->moves);
	free(w->pending);
	free(w->reads);
	worker_release_streams(w);
	worker_exports_release(w);
	worker_release_loads(w);
	free(w->files);
	worker_follow_release(w);
	worker_control_release(w);
	core_release(&w->core);
	queue_free(w->events);
	queue_free(w->notes);
	loop_timer_free(w->wake);
	loop_timer_free(w->tick);
	loop_timer_free(w->deadline);
	loop_free(w->loop);
}

static struct session_settings session_settings_of(const struct worker_settings *w)
{
	return (struct session_settings){ .store = w->store,
					  .config = w->config,
					  .aws = w->aws,
					  .credentials = w->credentials,
					  .clock = w->clock,
					  .metrics = w->metrics,
					  .health = w->health,
					  .stop = w->stop };
}

static void init(struct worker *w, const struct worker_settings *settings)
{
	const struct config *c = settings->config;

	w->settings = *settings;
	w->session_settings = session_settings_of(settings);
	w->sink_count = (uint32_t)c->sink_count;
	w->reader_count = (unsigned)c->worker.threads;
	/* A page a fetch, an answer a page and sink of a busy lane. */
	w->events = queue_new(sizeof(struct core_event),
			      CONNECTIONS_MAX + (size_t)lanes_max(w) * w->sink_count * CORE_PAGES);
	w->notes = queue_new(sizeof(struct worker_note), notes_max(w));
	w->loop = loop_new(settings->clock);
	w->wake = loop_timer_new(w->loop, on_wake, w);
	w->tick = loop_timer_new(w->loop, worker_watch, w);
	w->deadline = loop_timer_new(w->loop, on_deadline, w);
	w->inflight = metrics_cell(settings->metrics, METRIC_INFLIGHT_BYTES, NULL, NULL);
	w->credit_waits = metrics_cell(settings->metrics, METRIC_CREDIT_WAITS, NULL, NULL);
	metric_set(metrics_cell(settings->metrics, METRIC_INFLIGHT_LIMIT, NULL, NULL),
		   c->worker.memory_bytes);
}

enum worker_end worker_run(const struct worker_settings *settings, struct error *err)
{
	struct worker *w = memory_new(sizeof(*w));
	enum worker_end how;

	init(w, settings);
	w->stall_max_ms = stall_max_ms(settings->config->worker.sink_timeout_ms);
	prepare_core(w);
	if (begin(w))
		serve(w);
	else if (w->error.kind == ERROR_CANCELLED)
		w->end = WORKER_STOPPED;
	else
		w->end = error_passes(w->error.kind) || w->error.kind == ERROR_FENCED
				 ? WORKER_AGAIN
				 : WORKER_FAILED;
	end(w);
	release(w);
	*err = w->error;
	how = w->end;
	free(w);
	return how;
}

const char *worker_end_name(enum worker_end end)
{
	static const char *const names[] = {
		[WORKER_STOPPED] = "stopped", [WORKER_IDLE] = "idle",
		[WORKER_STANDS] = "idle",     [WORKER_AGAIN] = "lost",
		[WORKER_FAILED] = "failed",   [WORKER_STALLED] = "sink_silent",
	};

	return names[end];
}

bool worker_stand_by(const struct worker_settings *settings)
{
	struct session_settings s = session_settings_of(settings);

	return standby_wait(&s, settings->standby);
}
