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

struct teller_letters {
	struct source source;
	char *stream, *arn, *table, *chain;
	char region[64], account[16];
	int64_t batch;
	struct sink_letter *letters; /* texts and JSON are each letter's own */
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

static void letters_free(struct teller_letters *l, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct sink_letter *s = &l->letters[i];

		free((void *)(uintptr_t)s->shard);
		free((void *)(uintptr_t)s->sequence);
		free((void *)(uintptr_t)s->reason);
		free((void *)(uintptr_t)s->json.p);
	}
	free(l->letters);
	free(l->stream);
	free(l->arn);
	free(l->table);
	free(l->chain);
	free(l);
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
	for (size_t i = 0; job->events && i < job->count; i++)
		event_free(job->events[i]);
	free(job->events);
	if (job->letters)
		letters_free(job->letters, job->count);
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

struct teller_job *teller_letters_new(const struct config_sink *sink,
				      const struct store_outgoing *first)
{
	struct teller_job *job = memory_new(sizeof(*job));
	struct teller_letters *l = job->letters = memory_new(sizeof(*l));
	struct str table = config_table_name(*first->arn ? first->arn : first->stream);

	job->sink = sink;
	l->stream = memory_text(first->stream);
	l->arn = memory_text(first->arn);
	l->table = memory_text_n(table.p, table.n);
	l->chain = memory_text(first->chain);
	l->batch = first->batch;
	resolve_arn_parts(first->arn, l->region, l->account);
	l->source = (struct source){ .stream = l->stream,
				     .table = l->table,
				     .arn = l->arn,
				     .account = l->account,
				     .region = l->region };
	return job;
}

void teller_letters_add(struct teller_job *job, const struct store_outgoing *letter)
{
	struct teller_letters *l = job->letters;

	job->ids = memory_room(job->ids, job->count, sizeof(*job->ids));
	job->ids[job->count] = letter->id;
	l->letters = memory_room(l->letters, job->count, sizeof(*l->letters));
	l->letters[job->count++] = (struct sink_letter){
		.shard = memory_text(letter->shard),
		.sequence = memory_text(letter->sequence),
		.reason = memory_text(letter->reason),
		.json = { memory_text_n(letter->json.p, letter->json.n), letter->json.n },
	};
}

const char *teller_letters_stream(const struct teller_job *job)
{
	return job->letters->stream;
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

static void deliver(struct teller *t, struct teller_job *job)
{
	const struct sink_ops *ops = sink_ops_find(job->sink->type->type);
	struct sink_host host = session_sink_host(&t->session, job->sink);
	const struct teller_letters *l = job->letters;
	const struct sink_letters batch = { .chain = l->chain,
					    .batch = l->batch,
					    .source = &l->source,
					    .letters = l->letters,
					    .count = job->count };

	host.session = t->id;
	(void)ops->letters(job->sink->settings, &host, &batch, &t->stop, &job->told, &job->refused,
			   &job->error);
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
		job->refused = job->count;
		if (atomic_load(&t->stop))
			error_set(&job->error, ERROR_CANCELLED, "the session ends");
		else if (job->letters)
			deliver(t, job);
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
	t->jobs = queue_new(sizeof(struct teller_job *), TELLER_JOBS_MAX);
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
