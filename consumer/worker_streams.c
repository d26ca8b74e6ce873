/* Streams of a session: they are opened while it runs, and leave it again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "aws/answer.h"
#include "base/log.h"
#include "base/memory.h"
#include "checkpoint/sides.h"
#include "consumer/compile.h"
#include "consumer/worker_internal.h"

/* --- what lanes see of a stream --- */

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
	if (s->config->gap == GAP_REPAIR)
		metrics_cell(m, METRIC_REPAIRS, name, NULL);
	l->polls_records = metrics_cell(m, METRIC_POLLS, name, "records");
	l->polls_empty = metrics_cell(m, METRIC_POLLS, name, "empty");
	for (int kind = ERROR_NONE + 1; kind < ERROR_KINDS; kind++)
		if (kind != ERROR_FENCED)
			l->polls_failed[kind] = metrics_cell(m, METRIC_POLLS, name,
							     answer_result((enum error_kind)kind));
}

static void describe_source(struct worker_stream *s, const struct worker_side *side)
{
	struct lane_stream *l = &s->lanes;
	const struct resolved_stream *r = &s->resolved;

	l->source = (struct source){ .stream = side ? side->stream : s->config->name,
				     .table = r->table,
				     .arn = r->arn,
				     .account = r->account,
				     .region = r->region,
				     .key_hash = r->key_hash,
				     .key_range = r->key_range,
				     .version = SLUICE_VERSION,
				     .new_images = r->new_images,
				     .old_images = r->old_images };
	l->until_ms = side ? side->until_ms : 0;
	l->gap = (enum config_gap)s->config->gap;
	l->on_error = (enum config_on_error)s->config->on_error;
}

/* Equal encodings are made once for all sinks of the stream. */
static unsigned encoding_of(struct lane_stream *l, struct encoding e)
{
	for (unsigned i = 0; i < l->encoding_count; i++)
		if (l->encodings[i].format == e.format &&
		    l->encodings[i].numbers_as_strings == e.numbers_as_strings &&
		    l->encodings[i].fields == e.fields && l->encodings[i].transform == e.transform)
			return i;
	l->encodings[l->encoding_count] = e;
	return (unsigned)l->encoding_count++;
}

static bool same_list(const struct option_list *a, const struct option_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->texts[i], b->texts[i]) != 0)
			return false;
	return true;
}

/* The stream's transforms and then the sink's own. Sinks with the same ones share what is made of a
 * record. NULL: there are none. */
static const struct transform *transform_of(const struct lane_stream *l,
					    const struct worker_uses *uses, uint32_t slot,
					    struct worker_attached *out)
{
	const struct option_list *own = &uses->sinks[slot].transform;

	if ((!uses->transform || uses->transform->count == 0) && own->count == 0)
		return NULL;
	for (uint32_t i = 0; i < slot; i++)
		if (same_list(own, &uses->sinks[i].transform))
			return l->encodings[l->outputs[i].encoding].transform;
	out->transforms[slot] = compile_transform(uses->transform, own);
	return out->transforms[slot];
}

/* A record may be bad for the sink because of it. */
static bool may_fault(const struct lane_stream *l, uint32_t slot, enum batch_why why)
{
	const struct decode_output *o = &l->outputs[slot];

	switch (why) {
	case FAULT_TRANSFORM:
		return l->encodings[o->encoding].transform != NULL;
	case FAULT_SCHEMA:
		return l->schemas != NULL;
	case FAULT_ROUTE:
		return o->route && o->route_required;
	}
	return false;
}

static void fate_cell(struct metrics *m, const struct lane_stream *l, const char *sink,
		      const char *reason)
{
	if (l->on_error == ON_ERROR_DROP)
		metrics_cell(m, METRIC_DROPPED, reason, NULL);
	else if (l->on_error == ON_ERROR_DEAD_LETTER)
		metrics_cell(m, METRIC_DEAD_LETTERS, sink, reason);
}

/* Rates are made of what a counter was before: what may become of a record counts from 0. */
static void fate_cells(struct metrics *m, const struct lane_stream *l)
{
	static const enum batch_why whys[] = { FAULT_TRANSFORM, FAULT_SCHEMA, FAULT_ROUTE };

	fate_cell(m, l, "", "undecodable");
	for (uint32_t slot = 0; slot < l->sink_count; slot++) {
		fate_cell(m, l, l->sinks[slot].name, "refused");
		for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++)
			if (may_fault(l, slot, whys[i]))
				fate_cell(m, l, l->sinks[slot].name, lane_why(whys[i]));
	}
}

void worker_attach_sinks(struct worker *w, struct lane_stream *l, const struct worker_uses *uses,
			 struct worker_attached *out)
{
	ratio_init(&l->ratio, w->settings.config->dead_letter.max_ratio);
	l->letters_over =
		metrics_cell(w->settings.metrics, METRIC_LETTERS_OVER, l->source.stream, NULL);
	metric_set(l->letters_over, 0);
	l->filter = out->filter = uses->filter ? compile_filter(uses->filter) : NULL;
	l->schemas = out->schemas = uses->schemas ? compile_schemas(uses->schemas) : NULL;
	l->unfit = uses->unfit;
	l->sink_count = (uint32_t)uses->sink_count;
	for (uint32_t slot = 0; slot < l->sink_count; slot++) {
		const struct config_stream_sink *use = &uses->sinks[slot];
		struct worker_sink *k = &w->sinks[use->sink];
		struct encoding encoding = k->ops->encoding(k->config->settings);

		encoding.transform = transform_of(l, uses, slot, out);
		out->sink_filters[slot] = compile_filter(&use->filter);
		l->sinks[slot] = (struct lane_sink){
			.index = k->host.index,
			.ops = k->ops,
			.sink = k->sink,
			.name = k->config->name,
			.load = &k->load,
		};
		l->outputs[slot] = (struct decode_output){
			.filter = out->sink_filters[slot],
			.encoding = encoding_of(l, encoding),
		};
		if (k->ops->route)
			l->outputs[slot].route =
				k->ops->route(k->sink, &l->outputs[slot].route_required);
		if (out->filter || out->sink_filters[slot] ||
		    (encoding.transform && transform_has_script(encoding.transform)))
			l->sinks[slot].filtered = metrics_cell(w->settings.metrics, METRIC_FILTERED,
							       l->source.stream, k->config->name);
		out->sink_ids[slot] = k->store_id;
	}
	fate_cells(w->settings.metrics, l);
}

void worker_detach_sinks(struct worker_attached *a)
{
	filter_free(a->filter);
	schemas_free(a->schemas);
	for (size_t slot = 0; slot < CORE_SINKS_MAX; slot++) {
		filter_free(a->sink_filters[slot]);
		transform_free(a->transforms[slot]);
	}
}

/* --- opening --- */

struct opening {
	struct worker_task task;
	struct worker_stream *stream;
	const char *session;
	const struct worker_side *side; /* NULL: it is none */
	struct store_hold hold;         /* why NONE: it is read at once */
};

/* Where only one worker can be, it takes all there is at once. */
static bool take_all(struct opening *o, struct store *store, struct error *err)
{
	struct worker_stream *s = o->stream;

	if (!store_exclusive(store))
		return true;
	taken_free(s->claimed);
	s->claimed = taken_new(0, true);
	return store_lanes_claim(store, o->session, s->stored.id, s->attached.sink_ids,
				 s->lanes.sink_count, UINT32_MAX, taken_lane, taken_position,
				 s->claimed, err);
}

static void saw_gap(void *arg, const struct store_gap *g)
{
	bool *open = arg;

	*open = *open || (g->kind == STORE_GAP_REENABLED && g->state == STORE_GAP_OPEN);
}

/* Where another process has ended it, it would be made anew; where that began another one under
 * the same name, that has an end of its own. */
static bool find_side(struct opening *o, struct store *store, struct error *err)
{
	struct worker_stream *s = o->stream;
	bool over;

	return store_side_over(store, o->side->id, &over, err) &&
	       store_stream(store, s->config->name, s->resolved.arn, s->start_ms, &s->stored,
			    err) &&
	       (s->stored.id == o->side->id ||
		error_set(err, ERROR_NOT_FOUND, "another side run has taken its place"));
}

/* The stream's row. Of one that is joined to exports first, nothing is read before that. */
static bool find_row(struct opening *o, struct store *store, struct error *err)
{
	struct worker_stream *s = o->stream;
	struct store_hold hold = o->hold;
	bool done, open = false;

	if (o->side)
		return find_side(o, store, err);
	if (hold.why == STORE_HOLD_BASELINE)
		return store_stream_held(store, s->config->name, s->resolved.arn, &hold, &s->stored,
					 err);
	if (!store_stream(store, s->config->name, s->resolved.arn, s->start_ms, &s->stored, err))
		return false;
	if (hold.why == STORE_HOLD_NONE || s->stored.hold.id != 0)
		return true;
	/* It may be repaired already, by this session or another. */
	if (!store_gaps(store, s->stored.id, saw_gap, &open, err))
		return false;
	if (!open)
		return true;
	return store_stream_hold(store, s->stored.id, s->stored.generation, &hold, &done, err) &&
	       store_stream(store, s->config->name, s->resolved.arn, s->start_ms, &s->stored, err);
}

static void saw_skip(void *arg, const struct store_skip *skip)
{
	struct lane_stream *l = arg;
	struct store_skip *skips =
		memory_room((void *)(uintptr_t)l->skips, l->skip_count, sizeof(*skips));

	skips[l->skip_count++] = *skip;
	l->skips = skips;
}

static bool find_skips(struct worker_stream *s, struct store *store, struct error *err)
{
	s->lanes.skip_count = 0;
	return store_skips(store, s->stored.id, saw_skip, &s->lanes, err);
}

static int64_t configured_start_ms(const struct config_stream_sink *use, int64_t now_ms)
{
	enum config_start kind;
	struct error err;
	int64_t at_ms;

	/* The configuration's check took it. */
	if (!config_start_parse(use->start, now_ms, &kind, &at_ms, &err) || kind == START_LATEST)
		return STORE_START_LATEST;
	return kind == START_OLDEST ? 0 : at_ms;
}

static void log_added(const struct worker_stream *s, const struct lane_sink *k)
{
	char time[CLOCK_TEXT_SIZE];

	log_info("a sink is new to a stream, and begins before the others",
		 log_text("stream", s->config->name), log_text("sink", k->name),
		 log_text("from", k->start_ms ? clock_text(k->start_ms, time) : "oldest"));
}

/* Where its sinks begin; the stream itself is read from the first of these times on. */
static bool find_starts(struct opening *o, struct store *store, struct error *err)
{
	struct worker_stream *s = o->stream;
	struct store_start starts[CORE_SINKS_MAX];
	int64_t now_ms = o->hold.since_ms;

	for (uint32_t slot = 0; slot < s->lanes.sink_count; slot++)
		starts[slot] = (struct store_start){ .sink = s->attached.sink_ids[slot],
						     .start_ms = configured_start_ms(
							     &s->config->sinks[slot], now_ms) };
	if (!store_sinks_start(store, s->stored.id, starts, s->lanes.sink_count, now_ms, err))
		return false;
	s->lanes.start_ms = s->stored.start_ms;
	for (uint32_t slot = 0; slot < s->lanes.sink_count; slot++) {
		struct lane_sink *k = &s->lanes.sinks[slot];

		k->added_ms = starts[slot].at_ms;
		k->start_ms = k->added_ms > 0 ? starts[slot].start_ms : s->stored.start_ms;
		if (k->start_ms < s->lanes.start_ms)
			s->lanes.start_ms = k->start_ms;
		if (k->added_ms == now_ms)
			log_added(s, k);
	}
	return true;
}

/* Who asks what descends from a shard needs every parent, also one that came after its child: that
 * is known when all have been seen. */
static bool find_shards(const struct opening *o, struct store *store, struct error *err)
{
	int passes = o->side && o->side->shard ? 2 : 1;
	bool ok = true;

	for (int i = 0; ok && i < passes; i++)
		ok = store_shards(store, o->stream->stored.id, 0, worker_know_shard, o->stream,
				  err);
	return ok;
}

/* On the saver's thread, which alone has the stream meanwhile. */
static bool find(struct saver_task *task, struct store *store, struct error *err)
{
	struct opening *o = (struct opening *)task;
	struct worker_stream *s = o->stream;

	return (find_row(o, store, err) && find_starts(o, store, err) &&
		store_join(store, o->session, s->stored.id, s->stored.epoch, s->attached.sink_ids,
			   s->lanes.sink_count, err) &&
		find_shards(o, store, err) && find_skips(s, store, err) &&
		take_all(o, store, err)) ||
	       error_wrap(err, "stream %s", s->config->name);
}

static void take_out(struct worker_stream **list, struct worker_stream *s)
{
	while (*list != s)
		list = &(*list)->next;
	*list = s->next;
	s->next = NULL;
}

void worker_note_stream(struct worker *w, uint32_t index)
{
	if (index < w->stream_count)
		return;
	w->streams = memory_resize(w->streams, (index + 1) * sizeof(struct worker_stream *));
	for (uint32_t i = w->stream_count; i <= index; i++)
		w->streams[i] = NULL;
	w->stream_count = index + 1;
}

static void add_to_core(struct worker *w, struct worker_stream *s)
{
	struct pacing_limits limits = { .min_ms = s->config->poll_min_ms,
					.max_ms = s->config->poll_max_ms,
					.budget = s->config->poll_budget };
	uint32_t of_core[CORE_SINKS_MAX], index;

	for (uint32_t slot = 0; slot < s->lanes.sink_count; slot++)
		of_core[slot] = s->lanes.sinks[slot].index;
	index = core_add_stream(&w->core, &limits, of_core, s->lanes.sink_count);
	worker_note_stream(w, index);
	w->streams[index] = s;
	s->lanes.index = index;
}

static void begin_sharing(struct worker *w, struct worker_stream *s)
{
	struct steward_stream what = { .id = s->stored.id,
				       .start_ms = s->stored.start_ms,
				       .held = s->stored.hold.id != 0,
				       .sink_count = s->lanes.sink_count };
	struct taken *claimed = MOVE(s->claimed);

	memcpy(what.sinks, s->attached.sink_ids, s->lanes.sink_count * sizeof(*what.sinks));
	if (w->steward) {
		steward_add_stream(w->steward, s->lanes.index, &what);
		return;
	}
	claimed->stream = s->lanes.index;
	worker_take(w, claimed);
	taken_free(claimed);
}

static void opened(struct worker *w, struct worker_task *task)
{
	struct opening *o = (struct opening *)task;
	struct worker_stream *s = o->stream;

	if (!task->saver.ok) {
		if (task->saver.error.kind != ERROR_CANCELLED &&
		    task->saver.error.kind != ERROR_FENCED)
			worker_end_with(w, WORKER_FAILED, &task->saver.error);
		return;
	}
	take_out(&w->unopened, s);
	s->lanes.source.generation = s->stored.generation;
	s->lanes.store_id = s->stored.id;
	add_to_core(w, s);
	s->added = true;
	w->opening--;
	worker_expect(w);
	discover_add(w->discover, s->lanes.index, s->resolved.arn, s->config->name);
	begin_sharing(w, s);
	/* Where there are other workers, the store says who lists. */
	if (!worker_hold_opened(w, s) && !w->steward)
		discover_set_lister(w->discover, s->lanes.index, true);
	worker_follow_opened(w, s);
}

void worker_open_stream(struct worker *w, struct worker_table *t, const struct resolved_stream *r,
			int64_t start_ms)
{
	struct worker_stream *s = memory_new(sizeof(*s));
	struct opening *o = memory_new(sizeof(*o));

	*o = (struct opening){ .task = { .saver.work = find, .done = opened },
			       .stream = s,
			       .session = w->session,
			       .side = w->settings.side,
			       .hold = { .why = worker_joining_hold(w, t),
					 .since_ms = clock_aws_ms(w->settings.clock) } };
	snprintf(o->hold.who, sizeof(o->hold.who), "%s", w->settings.config->worker.name);
	s->config = &t->config;
	s->table = t;
	s->resolved = *r;
	s->start_ms = start_ms;
	t->stream = s;
	t->streams++;
	s->next = w->unopened;
	w->unopened = s;
	lineage_init(&s->lineage);
	severed_init(&s->severed);
	describe_source(s, w->settings.side);
	stream_cells(w, s);
	worker_attach_sinks(w, &s->lanes,
			    &(struct worker_uses){ .filter = &t->config.filter,
						   .transform = &t->config.transform,
						   .schemas = &t->config.schemas,
						   .unfit = t->config.schemaless != 0,
						   .sinks = t->config.sinks,
						   .sink_count = t->config.sink_count },
			    &s->attached);
	w->opening++;
	worker_expect(w);
	log_info("stream", log_text("stream", t->config.name), log_text("arn", r->arn),
		 log_text("view", r->view_type));
	saver_work(w->saver, &o->task.saver);
}

/* --- leaving --- */

void worker_stream_removed(struct worker *w, uint32_t stream)
{
	struct worker_stream *s = w->streams[stream];

	core_remove_stream(&w->core, stream);
	w->streams[stream] = NULL;
	s->next = w->parted;
	w->parted = s;
	if (!s->again) {
		worker_follow_left(w, s);
		return;
	}
	s->table->stream = NULL;
	if (w->serving)
		worker_open_stream(w, s->table, &s->resolved, s->start_ms);
}

void worker_remove_stream(struct worker *w, struct worker_stream *s)
{
	assert(!s->removing && s->adding == 0);
	s->removing = true;
	s->unclaimed = 0;
	worker_expect(w);
	discover_remove(w->discover, s->lanes.index);
	if (w->steward)
		steward_remove_stream(w->steward, s->lanes.index);
	else
		worker_stream_removed(w, s->lanes.index);
}

void worker_free_stream(struct worker_stream *s)
{
	lineage_release(&s->lineage);
	worker_detach_sinks(&s->attached);
	free((void *)(uintptr_t)s->lanes.skips);
	taken_free(s->claimed);
	free(s->core_lanes);
	free(s->listing);
	free(s->settled);
	severed_release(&s->severed);
	for (size_t i = 0; i < s->topic_count; i++)
		free(s->topics[i].name);
	free(s->topics);
	free(s);
}

void worker_reap_streams(struct worker *w)
{
	for (struct worker_stream **at = &w->parted; *at;) {
		struct worker_stream *s = *at;

		if (atomic_load(&s->lanes.lanes) > 0) {
			at = &s->next;
			continue;
		}
		struct worker_table *t = s->table;

		*at = s->next;
		worker_free_stream(s);
		worker_follow_freed(w, t);
	}
}

static void free_list(struct worker_stream *s)
{
	while (s) {
		struct worker_stream *next = s->next;

		worker_free_stream(s);
		s = next;
	}
}

void worker_release_streams(struct worker *w)
{
	for (uint32_t i = 0; i < w->stream_count; i++)
		if (w->streams[i])
			worker_free_stream(w->streams[i]);
	free(w->streams);
	free_list(w->unopened);
	free_list(w->parted);
}
