/* Dead letters on their way into dead_letter.sink: claimed in the store, delivered by a thread of
 * their own, and marked as sent. Nothing waits for them: a record's place is saved once its letter
 * is in the store. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "checkpoint/letters.h"
#include "config/sections.h"
#include "consumer/watch.h"
#include "consumer/worker_files.h"
#include "consumer/worker_internal.h"

#define RETRY_BASE_MS 500
#define RETRY_MAX_MS  60000
#define LOG_EVERY_MS  60000

static const struct worker_sink *sink_of(const struct worker *w)
{
	return &w->sinks[w->settings.config->dead_letter.sink_at];
}

/* --- claiming --- */

struct claim {
	struct worker_task task; /* first */
	const char *session;
	const struct config_sink *sink;
	int32_t store_id;
	int64_t at_ms;
	char **streams;
	size_t stream_count;
	struct teller_job *first, **last; /* one a stream */
};

static void claim_release(struct worker_task *task)
{
	struct claim *c = (struct claim *)task;

	for (size_t i = 0; i < c->stream_count; i++)
		free(c->streams[i]);
	free(c->streams);
	for (struct teller_job *job = c->first, *next; job; job = next) {
		next = job->next;
		teller_job_free(job);
	}
}

static void add_stream(struct claim *c, const char *name)
{
	c->streams = memory_room(c->streams, c->stream_count, sizeof(*c->streams));
	c->streams[c->stream_count++] = memory_text(name);
}

static void heard(void *arg, const struct store_outgoing *l)
{
	struct claim *c = arg;
	struct teller_job *job = c->first;

	while (job && strcmp(teller_letters_stream(job), l->stream) != 0)
		job = job->next;
	if (!job) {
		job = teller_letters_new(c->sink, l);
		*c->last = job;
		c->last = &job->next;
	}
	teller_letters_add(job, l);
}

/* On the saver's thread. */
static bool claim_work(struct saver_task *task, struct store *store, struct error *err)
{
	struct claim *c = (struct claim *)task;

	while (c->first) { /* of an earlier try */
		struct teller_job *job = c->first;

		c->first = job->next;
		teller_job_free(job);
	}
	c->last = &c->first;
	return store_letters_claim(store, c->session, c->store_id, (const char *const *)c->streams,
				   c->stream_count, c->at_ms, heard, c, err);
}

/* The core asks again whether all is idle. */
static void settle(struct worker *w)
{
	struct core_event tick = { .type = CORE_TICK, .now_ms = loop_now_ms(w->loop) };

	if (!w->letters.unsettled)
		return;
	w->letters.unsettled = false;
	w->letters.settled = true;
	worker_expect(w);
	worker_feed(w, &tick);
}

static void claim(struct worker *w);

static void claimed(struct worker *w, struct worker_task *task)
{
	struct claim *c = (struct claim *)task;
	struct worker_letters *k = &w->letters;

	k->claiming = false;
	if (!task->saver.ok && task->saver.error.kind != ERROR_CANCELLED)
		log_warn("dead letters could not be read from the store",
			 log_text("error", task->saver.error.message));
	/* What is left comes with the next claim. */
	while (task->saver.ok && k->teller && c->first && k->sending < TELLER_JOBS_MAX) {
		struct teller_job *job = c->first;

		c->first = job->next;
		k->sending++;
		teller_tell(k->teller, job);
	}
	if (k->sending == 0 && k->again)
		claim(w);
	else if (k->sending == 0)
		settle(w);
}

/* Letters are named by their stream, those of an export's files by its table. */
static void claim(struct worker *w)
{
	struct worker_letters *k = &w->letters;
	const struct config *config = w->settings.config;
	struct claim *c;

	k->again = k->claiming;
	if (k->claiming || k->sending > 0 || !k->teller || !w->serving ||
	    loop_now_ms(w->loop) < k->at_ms)
		return;
	c = memory_new(sizeof(*c));
	*c = (struct claim){
		.task = { .saver.work = claim_work, .done = claimed, .release = claim_release },
		.session = w->session,
		.sink = sink_of(w)->config,
		.store_id = sink_of(w)->store_id,
		.at_ms = clock_aws_ms(w->settings.clock)
	};
	c->last = &c->first;
	for (const struct worker_table *t = w->tables; t; t = t->next)
		add_stream(c, t->config.name);
	for (size_t i = 0; i < config->export_count; i++) {
		struct str table = config_table_name(config->exports[i].table);
		char *name = memory_text_n(table.p, table.n);

		add_stream(c, name);
		free(name);
	}
	for (const struct worker_load *l = w->loads ? w->loads->first : NULL; l; l = l->next)
		if (l->lanes.source.stream)
			add_stream(c, l->lanes.source.stream);
	k->claiming = true;
	k->settled = false;
	saver_work(w->saver, &c->task.saver);
}

/* --- sent --- */

struct sending {
	struct worker_task task; /* first */
	const char *session;
	int64_t at_ms, kept; /* kept: the letter that can never get in; 0: none */
	size_t count;
	int64_t letters[];
};

static bool sent_work(struct saver_task *task, struct store *store, struct error *err)
{
	const struct sending *t = (const struct sending *)task;

	return store_letters_sent(store, t->session, t->letters, t->count, t->at_ms, err) &&
	       (t->kept == 0 || store_letter_keep(store, t->session, t->kept, err));
}

/* There may be more. */
static void sent_done(struct worker *w, struct worker_task *task)
{
	(void)task;
	w->letters.sending--;
	claim(w);
}

static void health(struct worker *w, const char *trouble)
{
	char part[160];

	snprintf(part, sizeof(part), "dead letters %s", sink_of(w)->config->name);
	if (trouble)
		health_set(w->settings.health, part, trouble);
	else
		health_forget(w->settings.health, part);
}

static void note_failure(struct worker *w, const struct teller_job *job)
{
	struct worker_letters *k = &w->letters;
	int64_t now_ms = loop_now_ms(w->loop);
	uint64_t repeated;

	k->at_ms = now_ms + rng_backoff_ms(&w->rng, k->failures++, RETRY_BASE_MS, RETRY_MAX_MS);
	health(w, job->error.message);
	if (log_limit_pass(&k->log, now_ms, LOG_EVERY_MS, &repeated))
		log_warn("dead letters do not get into their sink; trying again",
			 log_text("sink", job->sink->name),
			 log_text("stream", teller_letters_stream(job)),
			 log_text("error", job->error.message),
			 log_int("repeated", (int64_t)repeated));
}

static void note_refused(struct worker *w, const struct teller_job *job)
{
	(void)w;
	log_error("a dead letter can never get into its sink: it stays in the store",
		  log_text("sink", job->sink->name), log_text("stream", teller_letters_stream(job)),
		  log_int("letter", job->ids[job->refused]), log_text("error", job->error.message));
}

static void note_success(struct worker *w)
{
	if (w->letters.failures > 0)
		health(w, NULL);
	w->letters.failures = 0;
	w->letters.at_ms = 0;
}

static void count(struct worker *w, const char *result, size_t n)
{
	if (n > 0)
		metric_add(metrics_cell(w->settings.metrics, METRIC_LETTERS_SENT,
					sink_of(w)->config->name, result),
			   (int64_t)n);
}

void worker_letters_told(struct worker *w, struct teller_job *job)
{
	struct sending *t = memory_new(sizeof(*t) + job->told * sizeof(t->letters[0]));
	bool refused = job->refused < job->count;

	if (job->error.kind == ERROR_NONE)
		note_success(w);
	else if (refused)
		note_refused(w, job);
	else if (job->error.kind != ERROR_CANCELLED)
		note_failure(w, job);
	count(w, "sent", job->told);
	count(w, "refused", refused);
	count(w, "failed",
	      job->error.kind != ERROR_NONE && !refused && job->error.kind != ERROR_CANCELLED);
	t->task = (struct worker_task){ .saver.work = sent_work, .done = sent_done };
	t->session = w->session;
	t->at_ms = clock_aws_ms(w->settings.clock);
	t->kept = refused ? job->ids[job->refused] : 0;
	t->count = job->told;
	memcpy(t->letters, job->ids, job->told * sizeof(t->letters[0]));
	teller_job_free(job);
	saver_work(w->saver, &t->task.saver);
}

/* --- a life --- */

static void on_told(void *arg, struct teller_job *job)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_LETTERS_TOLD, .told = job });
}

static void tick(void *arg)
{
	struct worker *w = arg;

	claim(w);
	loop_timer_arm(w->letters.timer, w->settings.config->checkpoint.lease_ms / WATCH_LOOKS);
}

void worker_letters_start(struct worker *w)
{
	static const char *const results[] = { "sent", "refused", "failed" };

	if (!w->settings.config->dead_letter.sink)
		return;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		metrics_cell(w->settings.metrics, METRIC_LETTERS_SENT, sink_of(w)->config->name,
			     results[i]);
	w->letters.teller = teller_start(&w->session_settings, w->session, on_told, w);
	w->letters.timer = loop_timer_new(w->loop, tick, w);
	loop_timer_arm(w->letters.timer, 0);
}

void worker_letters_stop(struct worker *w)
{
	loop_timer_free(w->letters.timer);
	w->letters.timer = NULL;
	if (w->letters.teller)
		teller_stop(w->letters.teller);
	w->letters.teller = NULL;
}

bool worker_letters_idle(struct worker *w)
{
	struct worker_letters *k = &w->letters;

	if (k->settled || !k->teller) {
		k->settled = false;
		return true;
	}
	k->unsettled = true;
	worker_expect(w);
	claim(w);
	return false;
}
