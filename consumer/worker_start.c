/* What a session needs before its first fetch: what its streams are, and its sinks. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "consumer/worker_internal.h"

#define RESOLVE_BASE_MS 200
#define RESOLVE_MAX_MS  10000

/* --- streams --- */

/* A neighbour that is away at the start is waited for; what only a person can change is not. */
static bool resolve_patiently(struct worker *w, struct worker_stream *s)
{
	struct rng rng;
	struct loop *loop = w->loop;

	rng_seed(&rng, (uint64_t)clock_boot_ms(w->settings.clock));
	for (unsigned tries = 0;; tries++) {
		int64_t until;

		if (resolve_stream(w->client, s->config->table, s->config->enable_stream,
				   &s->resolved, &w->error)) {
			health_set(w->settings.health, "aws", NULL);
			return true;
		}
		error_wrap(&w->error, "stream %s", s->config->name);
		if (!error_passes(w->error.kind))
			return false;
		health_set(w->settings.health, "aws", w->error.message);
		log_warn("a stream could not be looked up, it is tried again",
			 log_text("stream", s->config->name), log_text("error", w->error.message));
		until = loop_now_ms(loop) +
			rng_backoff_ms(&rng, tries, RESOLVE_BASE_MS, RESOLVE_MAX_MS);
		while (loop_now_ms(loop) < until && !atomic_load(w->settings.stop))
			loop_once(loop, 50);
		if (atomic_load(w->settings.stop))
			return error_set(&w->error, ERROR_CANCELLED, "stopped while starting");
	}
}

static bool images_fit(const struct worker_stream *s, const struct worker_sink *k,
		       struct error *err)
{
	return resolve_images_fit(&s->resolved, s->config->name, k->config->name,
				  k->ops->encoding(k->config->settings), err);
}

/* On the heap from the start: nothing of it moves once it is opened. */
static bool resolve_one(struct worker *w, const struct config_stream *config)
{
	struct worker_stream *s = memory_new(sizeof(*s));

	s->config = config;
	s->next = w->unopened;
	w->unopened = s;
	if (!resolve_patiently(w, s))
		return false;
	for (size_t k = 0; k < config->sink_count; k++)
		if (!images_fit(s, &w->sinks[config->sinks[k].sink], &w->error))
			return false;
	log_info("stream", log_text("stream", config->name), log_text("arn", s->resolved.arn),
		 log_text("view", s->resolved.view_type));
	return true;
}

bool worker_resolve(struct worker *w)
{
	for (size_t i = w->settings.config->stream_count; i-- > 0;)
		if (!resolve_one(w, &w->settings.config->streams[i]))
			return false;
	return true;
}

/* --- sinks --- */

static void answered(struct worker *w, const struct sink_answer *a)
{
	struct lane_delivery *d = a->delivery->lane;

	d->kind = a->kind;
	d->first = a->first;
	d->roll = a->roll;
	d->error = a->kind == SINK_TAKEN ? NULL : memory_text(a->err.message);
	if (a->kind != SINK_FAILED)
		atomic_fetch_add(&w->sinks[a->sink].load.answers, 1);
	if (a->kind == SINK_TAKEN && a->roll)
		atomic_fetch_add(&w->sinks[a->sink].taken[a->roll % 4], 1);
	reader_answer(w->readers[d->lane->reader], d);
}

static void on_answer(void *arg, const struct sink_answer *a)
{
	struct worker *w = arg;
	struct worker_note n = { .sink = a->sink, .roll = a->roll };

	switch (a->kind) {
	case SINK_TAKEN:
	case SINK_FAILED:
	case SINK_REFUSED:
		answered(w, a);
		break;
	case SINK_PREPARED:
		atomic_fetch_add(&w->sinks[a->sink].load.answers, 1);
		n.type = NOTE_PREPARED;
		n.deliveries = atomic_exchange(&w->sinks[a->sink].taken[a->roll % 4], 0);
		n.blob = (struct str){ memory_text_n(a->blob.p, a->blob.n), a->blob.n };
		worker_push_note(w, n);
		break;
	case SINK_FINISHED:
		atomic_fetch_add(&w->sinks[a->sink].load.answers, 1);
		n.type = NOTE_FINISHED;
		worker_push_note(w, n);
		break;
	case SINK_FATAL:
		n.type = NOTE_LOST;
		n.error = memory_text(a->err.message);
		worker_push_note(w, n);
		break;
	}
}

bool worker_open_sinks(struct worker *w)
{
	const struct config *c = w->settings.config;

	for (uint32_t i = 0; i < w->sink_count; i++) {
		struct worker_sink *k = &w->sinks[i];

		k->host = (struct sink_host){ .index = i,
					      .name = k->config->name,
					      .session = w->session,
					      .readers = w->reader_count,
					      .lease_ms = c->checkpoint.lease_ms,
					      .memory_bytes = (size_t)c->worker.memory_bytes / 4,
					      .clock = w->settings.clock,
					      .metrics = w->settings.metrics,
					      .aws = w->settings.aws,
					      .credentials = w->settings.credentials,
					      .answer = on_answer,
					      .arg = w };
		k->sink = k->ops->open(k->config->settings, &k->host, &w->error);
		if (!k->sink)
			return error_wrap(&w->error, "sink %s", k->config->name);
	}
	return true;
}

void worker_purge_sinks(struct worker *w)
{
	for (uint32_t i = 0; i < w->sink_count; i++)
		if (w->sinks[i].sink)
			w->sinks[i].ops->purge(w->sinks[i].sink);
}

void worker_close_sinks(struct worker *w)
{
	for (uint32_t i = 0; i < w->sink_count; i++) {
		if (!w->sinks[i].sink)
			continue;
		w->sinks[i].ops->close(w->sinks[i].sink);
		w->sinks[i].sink = NULL;
		free(w->sinks[i].blob);
		w->sinks[i].blob = NULL;
	}
}

bool worker_find_sinks(struct worker *w)
{
	for (uint32_t i = 0; i < w->sink_count; i++)
		if (!store_sink(w->settings.store, w->sinks[i].config->name, &w->sinks[i].store_id,
				&w->error))
			return false;
	return true;
}
