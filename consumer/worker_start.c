/* What a session needs before its first fetch: streams, sinks, and the lanes that the store has. */
#include <stdlib.h>
#include <string.h>

#include "aws/answer.h"
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

static void stream_cells(struct worker *w, struct worker_stream *s)
{
	static const char *const ops[] = { "c", "u", "d", "r" };
	struct metrics *m = w->settings.metrics;
	struct lane_stream *l = &s->lanes;
	const char *name = s->config->name;

	for (int op = 0; op < 4; op++)
		l->records[op] = metrics_cell(m, METRIC_RECORDS, name, ops[op]);
	l->bytes = metrics_cell(m, METRIC_RECORD_BYTES, name, NULL);
	l->gaps = metrics_cell(m, METRIC_GAPS, name, NULL);
	l->polls_records = metrics_cell(m, METRIC_POLLS, name, "records");
	l->polls_empty = metrics_cell(m, METRIC_POLLS, name, "empty");
	for (int kind = ERROR_NONE + 1; kind < ERROR_KINDS; kind++)
		if (kind != ERROR_FENCED)
			l->polls_failed[kind] = metrics_cell(m, METRIC_POLLS, name,
							     answer_result((enum error_kind)kind));
}

static void describe_source(struct worker_stream *s)
{
	struct lane_stream *l = &s->lanes;
	const struct resolved_stream *r = &s->resolved;

	l->source = (struct source){ .stream = s->config->name,
				     .table = r->table,
				     .arn = r->arn,
				     .account = r->account,
				     .region = r->region,
				     .key_hash = r->key_hash,
				     .key_range = r->key_range,
				     .version = SLUICE_VERSION,
				     .new_images = r->new_images,
				     .old_images = r->old_images };
	l->gap = (enum config_gap)s->config->gap;
	l->on_error = (enum config_on_error)s->config->on_error;
}

static bool images_fit(const struct worker_stream *s, const struct worker_sink *k,
		       struct error *err)
{
	return resolve_images_fit(&s->resolved, s->config->name, k->config->name,
				  k->ops->encoding(k->config->settings), err);
}

bool worker_resolve(struct worker *w)
{
	for (uint32_t i = 0; i < w->stream_count; i++) {
		struct worker_stream *s = &w->streams[i];

		s->config = &w->settings.config->streams[i];
		s->lanes.index = i;
		lineage_init(&s->lineage);
		if (!resolve_patiently(w, s))
			return false;
		describe_source(s);
		stream_cells(w, s);
		for (size_t k = 0; k < s->config->sink_count; k++)
			if (!images_fit(s, &w->sinks[s->config->sinks[k].sink], &w->error))
				return false;
		log_info("stream", log_text("stream", s->config->name),
			 log_text("arn", s->resolved.arn), log_text("view", s->resolved.view_type));
	}
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
		n.type = NOTE_PREPARED;
		n.deliveries = atomic_exchange(&w->sinks[a->sink].taken[a->roll % 4], 0);
		n.blob = (struct str){ memory_text_n(a->blob.p, a->blob.n), a->blob.n };
		worker_push_note(w, n);
		break;
	case SINK_FINISHED:
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

/* Equal encodings are made once for all sinks of the stream. */
static unsigned encoding_of(struct lane_stream *l, struct encoding e)
{
	for (unsigned i = 0; i < l->encoding_count; i++)
		if (l->encodings[i].format == e.format &&
		    l->encodings[i].numbers_as_strings == e.numbers_as_strings)
			return i;
	l->encodings[l->encoding_count] = e;
	return (unsigned)l->encoding_count++;
}

static void attach_sinks(struct worker *w, struct worker_stream *s)
{
	struct lane_stream *l = &s->lanes;
	uint32_t of_core[CORE_SINKS_MAX];
	struct pacing_limits limits = { .min_ms = s->config->poll_min_ms,
					.max_ms = s->config->poll_max_ms,
					.budget = s->config->poll_budget };

	l->sink_count = (uint32_t)s->config->sink_count;
	for (uint32_t slot = 0; slot < l->sink_count; slot++) {
		struct worker_sink *k = &w->sinks[s->config->sinks[slot].sink];

		l->sinks[slot] = (struct lane_sink){
			.index = k->host.index,
			.encoding = encoding_of(l, k->ops->encoding(k->config->settings)),
			.ops = k->ops,
			.sink = k->sink,
			.name = k->config->name,
		};
		s->sink_ids[slot] = k->store_id;
		of_core[slot] = k->host.index;
	}
	core_set_stream(&w->core, l->index, &limits, of_core, l->sink_count);
}

/* --- streams in the store --- */

static bool find_stream(struct worker *w, struct worker_stream *s)
{
	int64_t now_ms = clock_aws_ms(w->settings.clock), start_ms = 0;
	enum config_start start;

	if (!config_start_parse(s->config->start, now_ms, &start, &start_ms, &w->error))
		return false;
	if (start == START_LATEST)
		start_ms = now_ms;
	if (!store_stream(w->settings.store, s->config->name, s->resolved.arn, start_ms, &s->stored,
			  &w->error))
		return false;
	s->lanes.source.generation = s->stored.generation;
	s->lanes.start_ms = s->stored.start_ms;
	attach_sinks(w, s);
	return store_join(w->settings.store, w->session, s->stored.id, s->sink_ids,
			  s->lanes.sink_count, &w->error) &&
	       store_shards(w->settings.store, s->stored.id, 0, worker_know_shard, s, &w->error);
}

bool worker_find_streams(struct worker *w)
{
	for (uint32_t i = 0; i < w->sink_count; i++)
		if (!store_sink(w->settings.store, w->sinks[i].config->name, &w->sinks[i].store_id,
				&w->error))
			return false;
	for (uint32_t i = 0; i < w->stream_count; i++)
		if (!find_stream(w, &w->streams[i]))
			return error_wrap(&w->error, "stream %s", w->streams[i].config->name);
	return true;
}

void worker_release_streams(struct worker *w)
{
	for (uint32_t i = 0; i < w->stream_count; i++) {
		lineage_release(&w->streams[i].lineage);
		free(w->streams[i].core_lanes);
		free(w->streams[i].listing);
		free(w->streams[i].settled);
	}
	free(w->streams);
}
