#include "consumer/teller.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/queue.h"
#include "config/sections.h"
#include "consumer/resolve.h"
#include "sinks/sink.h"

struct teller_event {
	struct sink_control control;
	struct source source;
	char *stream, *arn, *table, *rolls;
	char region[64], account[16];
	struct buf json;
};

struct teller {
	struct session_settings session;
	const char *id;
	void (*told)(void *arg, struct teller_job *job);
	void *arg;
	pthread_t thread;
	struct queue *jobs;
	_Atomic bool stop;
};

/* --- jobs --- */

void teller_json(const struct store_control *e, struct buf *out)
{
	const char *kind = store_control_kind_name(e->kind);
	char time[CLOCK_TEXT_SIZE];

	buf_printf(out, "{\"id\":%" PRId64 ",\"stream\":", e->id);
	buf_json_text(out, str_of(e->name));
	buf_text(out, ",\"arn\":");
	buf_json_text(out, str_of(e->arn));
	buf_printf(out,
		   ",\"kind\":\"%s\",\"phase\":\"%s\",\"generation\":%" PRIu64 ",\"time\":\"%s\"",
		   kind, store_control_phase_name(e->phase), e->generation,
		   clock_text(e->time_ms, time));
	if (*e->detail)
		buf_printf(out, ",\"%s\":%s", kind, e->detail);
	buf_text(out, "}");
}

static struct teller_event *event_new(const struct store_control *e)
{
	struct teller_event *t = memory_new(sizeof(*t));
	struct str table = config_table_name(e->arn);

	t->stream = memory_text(e->name);
	t->arn = memory_text(e->arn);
	t->table = memory_text_n(table.p, table.n);
	t->rolls = memory_text(e->rolls);
	resolve_arn_parts(e->arn, t->region, t->account);
	t->source = (struct source){ .stream = t->stream,
				     .table = t->table,
				     .arn = t->arn,
				     .account = t->account,
				     .region = t->region,
				     .generation = e->generation };
	buf_init(&t->json, 0);
	teller_json(e, &t->json);
	t->control = (struct sink_control){
		.id = e->id,
		.time_ms = e->time_ms,
		.kind = store_control_kind_name(e->kind),
		.phase = store_control_phase_name(e->phase),
		.source = &t->source,
		.json = buf_str(&t->json),
		.end = e->phase == STORE_CONTROL_END &&
		       (e->kind == STORE_CONTROL_BASELINE || e->kind == STORE_CONTROL_REPAIR ||
			e->kind == STORE_CONTROL_REWIND),
		.rolls = t->rolls,
	};
	return t;
}

static void event_free(struct teller_event *t)
{
	free(t->stream);
	free(t->arn);
	free(t->table);
	free(t->rolls);
	buf_release(&t->json);
	free(t);
}

struct teller_job *teller_job_new(const struct config_sink *sink, uint32_t slot)
{
	struct teller_job *job = memory_new(sizeof(*job));

	job->sink = sink;
	job->slot = slot;
	return job;
}

void teller_job_free(struct teller_job *job)
{
	for (size_t i = 0; i < job->count; i++)
		event_free(job->events[i]);
	free(job->events);
	free(job->ids);
	free(job);
}

void teller_job_add(struct teller_job *job, const struct store_control *event)
{
	job->ids = memory_room(job->ids, job->count, sizeof(*job->ids));
	job->ids[job->count] = event->id;
	job->events = memory_room(job->events, job->count, sizeof(struct teller_event *));
	job->events[job->count++] = event_new(event);
}

/* --- the thread --- */

static void tell(struct teller *t, struct teller_job *job)
{
	const struct sink_ops *ops = sink_ops_find(job->sink->type->type);
	struct sink_host host = session_sink_host(&t->session, job->sink);
	struct sink_control *events = memory_array(job->count, sizeof(*events));

	host.session = t->id;
	for (size_t i = 0; i < job->count; i++)
		events[i] = job->events[i]->control;
	(void)ops->control(job->sink->settings, &host, events, job->count, &t->stop, &job->told,
			   &job->error);
	free(events);
}

static void *teller_main(void *arg)
{
	struct teller *t = arg;
	struct teller_job *job;

	for (;;) {
		if (queue_drain(t->jobs, &job, 1) == 0) {
			if (queue_closed(t->jobs))
				return NULL;
			queue_wait(t->jobs, -1);
			continue;
		}
		if (atomic_load(&t->stop))
			error_set(&job->error, ERROR_CANCELLED, "the session ends");
		else
			tell(t, job);
		t->told(t->arg, job);
	}
}

struct teller *teller_start(const struct session_settings *session, const char *id,
			    void (*told)(void *arg, struct teller_job *job), void *arg)
{
	struct teller *t = memory_new(sizeof(*t));
	int failed;

	t->session = *session;
	t->id = id;
	t->told = told;
	t->arg = arg;
	t->jobs = queue_new(sizeof(struct teller_job *), CONFIG_SINKS_MAX);
	failed = pthread_create(&t->thread, NULL, teller_main, t);
	assert(!failed);
	pthread_setname_np(t->thread, "teller");
	return t;
}

void teller_stop(struct teller *t)
{
	atomic_store(&t->stop, true);
	queue_close(t->jobs);
	pthread_join(t->thread, NULL);
	queue_free(t->jobs);
	free(t);
}

void teller_tell(struct teller *t, struct teller_job *job)
{
	bool taken = queue_push(t->jobs, &job);

	assert(taken);
}
