/* What a session needs before its first fetch: what its streams are, and its sinks. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "consumer/worker_internal.h"

#define RESOLVE_BASE_MS 200
#define RESOLVE_MAX_MS  10000

bool worker_images_fit(const struct worker *w, const struct worker_table *t,
		       const struct resolved_stream *r, struct error *err)
{
	for (size_t i = 0; i < t->config.sink_count; i++) {
		const struct worker_sink *k = &w->sinks[t->config.sinks[i].sink];

		if (!resolve_images_fit(r, t->config.name, k->config->name,
					k->ops->encoding(k->config->settings), err))
			return false;
	}
	return true;
}

static void answered(struct worker *w, const struct sink_answer *a)
{
	struct lane_delivery *d = a->delivery->lane;

	d->kind = a->kind;
	d->first = a->first;
	d->roll = a->roll;
	d->error = a->kind == SINK_TAKEN ? NULL : memory_text(a->err.message);
	if (a->kind != SINK_FAILED)
		atomic_fetch_add(&w->sinks[a->sink].load.answers, 1);
	if (a->roll)
		atomic_fetch_add(&w->sinks[a->sink].taken[a->roll % 4], 1);
	reader_answer(w->readers[d->lane->reader], d);
}

static struct worker_partitions *partitions_of(const struct sink_answer *a)
{
	struct worker_partitions *p = memory_new(sizeof(*p));

	*p = (struct worker_partitions){ .stream = memory_text(a->stream),
					 .topic = memory_text(a->topic),
					 .partitions = a->partitions };
	return p;
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
	case SINK_PARTITIONS:
		n.type = NOTE_PARTITIONS;
		n.partitions = partitions_of(a);
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
