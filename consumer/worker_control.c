/* Control events: claimed in the store, told to the sinks by the teller, marked as told; and what
 * the sinks say of their topics' partitions, which may become an event. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/watch.h"
#include "consumer/worker_internal.h"

#define RETRY_BASE_MS 500
#define RETRY_MAX_MS  60000
#define LOG_EVERY_MS  60000

/* --- claiming --- */

struct claim {
	struct worker_task task; /* first */
	struct worker *worker;
	int64_t at_ms;
	bool waits;
};

static void of_add(struct worker_control *k, const char *name, int32_t sink)
{
	k->of = memory_room(k->of, k->of_count, sizeof(*k->of));
	k->of[k->of_count++] = (struct store_control_of){ memory_text(name), sink };
}

/* Also what has no sink that can tell: those events are over then. */
static void of_table(struct worker *w, const struct worker_table *t)
{
	bool tells = false;

	for (size_t i = 0; i < t->config.sink_count; i++) {
		const struct worker_sink *k = &w->sinks[t->config.sinks[i].sink];

		if (!k->ops->tells || !k->ops->tells(k->config->settings))
			continue;
		tells = true;
		of_add(&w->control, t->config.name, k->store_id);
	}
	if (!tells)
		of_add(&w->control, t->config.name, 0);
}

static void of_clear(struct worker_control *k)
{
	for (size_t i = 0; i < k->of_count; i++)
		free((void *)(uintptr_t)k->of[i].name);
	free(k->of);
	k->of = NULL;
	k->of_count = 0;
}

static void drop_jobs(struct worker_control *k)
{
	for (uint32_t i = 0; i < CORE_SINKS_MAX; i++) {
		if (k->jobs[i])
			teller_job_free(k->jobs[i]);
		k->jobs[i] = NULL;
	}
}

static void heard(void *arg, const struct store_control *e)
{
	struct worker *w = arg;

	for (uint32_t i = 0; i < w->sink_count; i++) {
		struct teller_job **job = &w->control.jobs[i];

		if (w->sinks[i].store_id != e->sink)
			continue;
		if (!*job)
			*job = teller_job_new(w->sinks[i].config, i);
		teller_job_add(*job, e);
	}
}

/* On the saver's thread. */
static bool claim_work(struct saver_task *task, struct store *store, struct error *err)
{
	struct claim *c = (struct claim *)task;
	struct worker_control *k = &c->worker->control;

	drop_jobs(k);
	return store_control_claim(store, c->worker->session, k->of, k->of_count, c->at_ms,
				   &c->waits, heard, c->worker, err);
}

/* The core asks again whether all is idle. */
static void settle(struct worker *w)
{
	struct worker_control *k = &w->control;
	struct core_event tick = { .type = CORE_TICK, .now_ms = loop_now_ms(w->loop) };

	if (!k->unsettled)
		return;
	k->unsettled = false;
	k->settled = true;
	worker_expect(w);
	worker_feed(w, &tick);
}

static void claim(struct worker *w);

static void claimed(struct worker *w, struct worker_task *task)
{
	const struct claim *c = (const struct claim *)task;
	struct worker_control *k = &w->control;
	int64_t now_ms = loop_now_ms(w->loop);

	k->claiming = false;
	if (!task->saver.ok && task->saver.error.kind != ERROR_CANCELLED)
		log_warn("control events could not be read from the store",
			 log_text("error", task->saver.error.message));
	for (uint32_t i = 0; task->saver.ok && k->teller && i < w->sink_count; i++) {
		if (!k->jobs[i] || now_ms < k->sinks[i].at_ms)
			continue;
		k->telling++;
		teller_tell(k->teller, MOVE(k->jobs[i]));
	}
	drop_jobs(k);
	of_clear(k);
	if (k->telling == 0 && k->again)
		claim(w);
	else if (k->telling == 0 && !c->waits)
		settle(w);
}

static void claim(struct worker *w)
{
	struct worker_control *k = &w->control;
	struct claim *c;

	k->again = k->claiming;
	if (k->claiming || k->telling > 0 || !k->teller || !w->serving)
		return;
	c = memory_new(sizeof(*c));
	*c = (struct claim){ .task = { .saver.work = claim_work, .done = claimed },
			     .worker = w,
			     .at_ms = clock_aws_ms(w->settings.clock) };
	for (const struct worker_table *t = w->tables; t; t = t->next)
		of_table(w, t);
	k->claiming = true;
	k->settled = false;
	saver_work(w->saver, &c->task.saver);
}

/* --- told --- */

struct telling {
	struct worker_task task; /* first */
	const char *session;
	int32_t sink;
	int64_t at_ms;
	size_t count;
	int64_t events[];
};

static bool told_work(struct saver_task *task, struct store *store, struct error *err)
{
	const struct telling *t = (const struct telling *)task;

	return store_control_told(store, t->session, t->sink, t->events, t->count, t->at_ms, err);
}

/* There may be more. */
static void told_done(struct worker *w, struct worker_task *task)
{
	(void)task;
	w->control.telling--;
	claim(w);
}

static void note_failure(struct worker *w, const struct teller_job *job)
{
	struct worker_control *k = &w->control;
	int64_t now_ms = loop_now_ms(w->loop);
	char part[160];
	uint64_t repeated;

	k->sinks[job->slot].at_ms = now_ms + rng_backoff_ms(&w->rng, k->sinks[job->slot].failures++,
							    RETRY_BASE_MS, RETRY_MAX_MS);
	metric_add(
		metrics_cell(w->settings.metrics, METRIC_CONTROL_EVENTS, job->sink->name, "failed"),
		1);
	snprintf(part, sizeof(part), "control %s", job->sink->name);
	health_set(w->settings.health, part, job->error.message);
	if (log_limit_pass(&k->log, now_ms, LOG_EVERY_MS, &repeated))
		log_warn("control events could not be told; trying again",
			 log_text("sink", job->sink->name), log_text("error", job->error.message),
			 log_int("repeated", (int64_t)repeated));
}

static void note_success(struct worker *w, const struct teller_job *job)
{
	struct worker_control *k = &w->control;
	char part[160];

	if (k->sinks[job->slot].failures > 0) {
		snprintf(part, sizeof(part), "control %s", job->sink->name);
		health_forget(w->settings.health, part);
	}
	k->sinks[job->slot].failures = 0;
	k->sinks[job->slot].at_ms = 0;
}

void worker_told(struct worker *w, struct teller_job *job)
{
	struct telling *t = memory_new(sizeof(*t) + job->told * sizeof(t->events[0]));

	if (job->error.kind == ERROR_NONE)
		note_success(w, job);
	else if (job->error.kind != ERROR_CANCELLED)
		note_failure(w, job);
	metric_add(
		metrics_cell(w->settings.metrics, METRIC_CONTROL_EVENTS, job->sink->name, "told"),
		(int64_t)job->told);
	t->task = (struct worker_task){ .saver.work = told_work, .done = told_done };
	t->session = w->session;
	t->sink = w->sinks[job->slot].store_id;
	t->at_ms = clock_aws_ms(w->settings.clock);
	t->count = job->told;
	memcpy(t->events, job->ids, job->told * sizeof(t->events[0]));
	teller_job_free(job);
	saver_work(w->saver, &t->task.saver);
}

/* --- partitions --- */

struct topic_seen {
	struct worker_task task; /* first */
	const char *session;
	int64_t at_ms;
	struct store_topic row;
	uint32_t sink, before;
	char name[]; /* of the topic */
};

static bool seen_work(struct saver_task *task, struct store *store, struct error *err)
{
	struct topic_seen *t = (struct topic_seen *)task;

	return store_topic_seen(store, t->session, &t->row, t->at_ms, &t->before, err);
}

static struct worker_stream *stream_named(const struct worker *w, const char *name)
{
	for (uint32_t i = 0; i < w->stream_count; i++)
		if (w->streams[i] && strcmp(w->streams[i]->config->name, name) == 0)
			return w->streams[i];
	return NULL;
}

static struct worker_stream *stream_stored(const struct worker *w, int64_t id)
{
	for (uint32_t i = 0; i < w->stream_count; i++)
		if (w->streams[i] && w->streams[i]->stored.id == id)
			return w->streams[i];
	return NULL;
}

static void seen_done(struct worker *w, struct worker_task *task)
{
	const struct topic_seen *t = (const struct topic_seen *)task;
	const struct worker_stream *s = stream_stored(w, t->row.stream);

	if (!task->saver.ok && task->saver.error.kind != ERROR_CANCELLED)
		log_warn("a topic's partitions could not be noted in the store",
			 log_text("topic", t->name), log_text("error", task->saver.error.message));
	if (!task->saver.ok || t->before == 0 || !s)
		return;
	metric_add(metrics_cell(w->settings.metrics, METRIC_PARTITION_CHANGES, s->config->name,
				w->sinks[t->sink].config->name),
		   1);
	log_warn("a topic has another number of partitions: keys go elsewhere from now on, and "
		 "their order is broken there",
		 log_text("stream", s->config->name),
		 log_text("sink", w->sinks[t->sink].config->name), log_text("topic", t->name),
		 log_int("before", t->before), log_int("partitions", t->row.partitions));
	claim(w);
}

/* Each reader's producer says it; true: it is news. */
static bool topic_news(struct worker_stream *s, uint32_t sink, const struct worker_partitions *p)
{
	for (size_t i = 0; i < s->topic_count; i++) {
		struct worker_topic *t = &s->topics[i];

		if (t->sink != sink || strcmp(t->name, p->topic) != 0)
			continue;
		if (t->partitions == p->partitions)
			return false;
		t->partitions = p->partitions;
		return true;
	}
	s->topics = memory_room(s->topics, s->topic_count, sizeof(*s->topics));
	s->topics[s->topic_count++] =
		(struct worker_topic){ sink, p->partitions, memory_text(p->topic) };
	return true;
}

void worker_partitions_seen(struct worker *w, uint32_t sink, const struct worker_partitions *p)
{
	struct worker_stream *s = stream_named(w, p->stream);
	size_t size = strlen(p->topic) + 1;
	struct topic_seen *t;

	if (!s || !topic_news(s, sink, p))
		return;
	t = memory_new(sizeof(*t) + size);
	t->task = (struct worker_task){ .saver.work = seen_work, .done = seen_done };
	t->session = w->session;
	t->at_ms = clock_aws_ms(w->settings.clock);
	t->sink = sink;
	memcpy(t->name, p->topic, size);
	t->row = (struct store_topic){ .stream = s->stored.id,
				       .sink = w->sinks[sink].store_id,
				       .topic = t->name,
				       .partitions = p->partitions };
	saver_work(w->saver, &t->task.saver);
}

void worker_partitions_free(struct worker_partitions *p)
{
	free(p->stream);
	free(p->topic);
	free(p);
}

/* --- a life --- */

static void on_told(void *arg, struct teller_job *job)
{
	worker_push_note(arg, (struct worker_note){ .type = NOTE_TOLD, .told = job });
}

static void tick(void *arg)
{
	struct worker *w = arg;

	claim(w);
	loop_timer_arm(w->control.timer, w->settings.config->checkpoint.lease_ms / WATCH_LOOKS);
}

static bool has_place(const struct worker_sink *k)
{
	return k->ops->tells && k->ops->tells(k->config->settings);
}

/* Rates are made of what a counter was before. */
static void count_from_0(struct worker *w)
{
	for (uint32_t i = 0; i < w->sink_count; i++) {
		if (!has_place(&w->sinks[i]))
			continue;
		metrics_cell(w->settings.metrics, METRIC_CONTROL_EVENTS, w->sinks[i].config->name,
			     "told");
		metrics_cell(w->settings.metrics, METRIC_CONTROL_EVENTS, w->sinks[i].config->name,
			     "failed");
	}
}

void worker_control_start(struct worker *w)
{
	count_from_0(w);
	w->control.teller = teller_start(&w->session_settings, w->session, on_told, w);
	w->control.timer = loop_timer_new(w->loop, tick, w);
	loop_timer_arm(w->control.timer, 0);
}

void worker_control_stop(struct worker *w)
{
	loop_timer_free(w->control.timer);
	w->control.timer = NULL;
	if (w->control.teller)
		teller_stop(w->control.teller);
	w->control.teller = NULL;
}

void worker_control_release(struct worker *w)
{
	drop_jobs(&w->control);
	of_clear(&w->control);
}

bool worker_control_idle(struct worker *w)
{
	struct worker_control *k = &w->control;

	if (k->settled) {
		k->settled = false;
		return true;
	}
	k->unsettled = true;
	worker_expect(w);
	claim(w);
	return false;
}
