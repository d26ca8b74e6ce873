/* Pages that were decoded: told to the core, and handed over. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "consumer/reader_internal.h"

static void stream_health(struct reader *r, const struct lane_stream *s, const char *trouble)
{
	char part[160];

	snprintf(part, sizeof(part), "%s %s", s->files ? "export" : "stream", s->source.stream);
	health_set(r->settings.health, part, trouble);
}

/* Each stream has a row of the health, which is well while all of its lanes can be read. Another
 * reader's lane that becomes well at the same moment may cover this trouble until it is told
 * again: with the lane's next try. */
void lane_ill(struct reader *r, struct lane *l, const char *trouble)
{
	struct lane_stream *s = l->stream;

	if (!l->ill)
		atomic_fetch_add_explicit(&s->ill, 1, memory_order_relaxed);
	l->ill = true;
	atomic_store_explicit(&s->well, false, memory_order_relaxed);
	stream_health(r, s, trouble);
}

void lane_well(struct reader *r, struct lane *l)
{
	struct lane_stream *s = l->stream;

	if (l->ill)
		atomic_fetch_sub_explicit(&s->ill, 1, memory_order_relaxed);
	l->ill = false;
	if (atomic_load_explicit(&s->well, memory_order_relaxed) ||
	    atomic_load_explicit(&s->ill, memory_order_relaxed) > 0)
		return;
	atomic_store_explicit(&s->well, true, memory_order_relaxed);
	stream_health(r, s, NULL);
}

bool page_end(const struct lane *l, const struct batch *b, size_t count, struct core_event *e)
{
	for (size_t i = count; i-- > 0;) {
		struct sequence at = lane_position(l, b, i);

		if (sequence_is_none(&at))
			continue;
		e->end = at;
		/* A bad record may have no time: then the last one that has. */
		while (i > 0 && b->events[i].time_ms == 0)
			i--;
		e->end_ms = b->events[i].time_ms;
		return true;
	}
	return false;
}

static void count_page(struct reader *r, const struct lane *l, const struct batch *b)
{
	int64_t by_op[4] = { 0 };

	for (size_t i = 0; i < b->count; i++)
		by_op[b->events[i].op]++;
	for (int op = 0; op < 4; op++)
		if (by_op[op] > 0)
			metric_add(l->stream->records[op], by_op[op]);
	metric_add(l->stream->bytes, (int64_t)b->body.size);
	for (size_t i = 0; i < b->fault_count; i++)
		if (b->faults[i].script)
			metric_add(metrics_cell(r->settings.metrics, METRIC_SCRIPT_ERRORS,
						l->stream->source.stream, b->faults[i].script),
				   1);
	if (!l->file)
		return;
	metric_add(l->stream->file_rows, (int64_t)b->count);
	metric_add(l->stream->file_bytes, (int64_t)b->body.size);
}

static void drop_bad(struct reader *r, const struct lane *l, const struct lane_page *p)
{
	struct metrics *m = r->settings.metrics;
	int64_t bad = 0;

	if (!p || l->stream->on_error != ON_ERROR_DROP)
		return;
	for (size_t i = 0; p->batch->bad_count > 0 && i < p->count; i++)
		bad += p->batch->events[i].bad && !p->batch->events[i].skipped;
	if (bad > 0)
		metric_add(metrics_cell(m, METRIC_DROPPED, "undecodable", NULL), bad);
	for (size_t i = 0; i < p->fault_count; i++)
		metric_add(metrics_cell(m, METRIC_DROPPED, lane_why(p->faults[i].why), NULL), 1);
}

/* Attributes that schemas accepted (mode: evolve): each is told of once. */
static void tell_news(struct reader *r, struct lane_stream *s, const struct batch *b)
{
	for (size_t i = 0; i < b->news_count; i++) {
		const struct schema_news *news = &b->news[i];
		bool last;

		if (!lane_is_news(s, news->hash, &last))
			continue;
		metric_add(metrics_cell(r->settings.metrics, METRIC_NEW_ATTRIBUTES,
					s->source.stream, news->schema),
			   1);
		log_info(last ? "an attribute that its schema has no column for; no further one is "
				"told of"
			      : "an attribute that its schema has no column for",
			 log_text("stream", s->source.stream), log_text("schema", news->schema),
			 log_text("attribute", news->attribute));
	}
}

static void stands_still(struct reader *r, struct lane *l, const struct event *e, const char *bad,
			 const struct batch_fault *fault)
{
	struct error err = { 0 };
	char sequence[SEQUENCE_TEXT_SIZE];

	sequence_text(&e->sequence, sequence);
	error_set(&err, ERROR_INVALID, "shard %s stands still (on_error: stop): %s", l->shard, bad);
	lane_ill(r, l, err.message);
	if (fault && fault->why == FAULT_ROUTE)
		log_error("shard stands still: a record lacks what says where it goes (on_error: "
			  "stop)",
			  log_text("stream", l->stream->source.stream), log_text("shard", l->shard),
			  log_text("error", bad));
	else if (fault && fault->why == FAULT_SCHEMA)
		log_error("shard stands still: a record does not fit its schema (on_error: stop)",
			  log_text("stream", l->stream->source.stream), log_text("shard", l->shard),
			  log_text("error", bad));
	else if (fault)
		log_error("shard stands still: a transform of a record failed (on_error: stop)",
			  log_text("stream", l->stream->source.stream), log_text("shard", l->shard),
			  log_text("sequence", sequence), log_text("error", bad));
	else
		log_error("shard stands still: a record cannot be decoded (on_error: stop)",
			  log_text("stream", l->stream->source.stream), log_text("shard", l->shard),
			  log_text("sequence", sequence), log_text("error", bad));
}

struct batch *page_batch(struct reader *r, const struct lane *l, struct buf *answer)
{
	struct batch *b = r->spare ? MOVE(r->spare) : batch_new();
	struct buf body = *answer;

	*answer = b->body;
	b->body = body;
	b->source = &l->stream->source;
	b->shard = l->file ? NULL : l->shard;
	return b;
}

/* With on_error: stop it ends before its first bad record, and the lane with it. */
static void cut(struct reader *r, struct lane *l, const struct batch *b, size_t count,
		struct core_event *e)
{
	static const char *const why[] = { [FAULT_TRANSFORM] = "cannot be transformed",
					   [FAULT_SCHEMA] = "does not fit its schema",
					   [FAULT_ROUTE] = "lacks what says where it goes" };
	const struct batch_fault *fault;
	const char *bad = lane_stopped_by(b, count, &fault);

	e->end = SEQUENCE_NONE;
	page_end(l, b, count, e);
	e->closed = false;
	if (l->file) {
		char what[100];

		snprintf(what, sizeof(what), "the row at place %" PRIu64 " %s (on_error: stop)",
			 lane_row_place(b, &b->events[count]),
			 fault ? why[fault->why] : "cannot be decoded");
		reader_stop_file(r, l, what, bad);
		e->leaves = true;
	} else {
		e->stopped = true;
		stands_still(r, l, &b->events[count], bad, fault);
	}
}

static void spare(struct reader *r, struct batch *b)
{
	if (r->spare) {
		batch_free(b);
		return;
	}
	batch_clear(b);
	r->spare = b;
}

/* As its busiest sink gets them. */
static uint64_t wanted(const struct lane *l, const struct lane_page *p)
{
	size_t most = 0;

	for (uint32_t slot = 0; slot < l->stream->sink_count; slot++) {
		size_t left = lane_page_left(p, slot, 0);

		most = left > most ? left : most;
	}
	return most + p->batch->bad_count + p->fault_count;
}

void page_deliver(struct reader *r, struct lane *l, struct batch *b, struct core_event *e)
{
	struct lane_page *p = NULL;

	count_page(r, l, b);
	tell_news(r, l->stream, b);
	if (b->count > 0) {
		size_t all = b->count;

		p = lane_add_page(l, b);
		drop_bad(r, l, p);
		if (p && l->stream->on_error == ON_ERROR_DEAD_LETTER)
			ratio_records(&l->stream->ratio, wanted(l, p));
		if (!p || p->count < all)
			cut(r, l, b, p ? p->count : 0, e);
	}
	if (sequence_is_none(&e->end) && !e->closed && !e->stopped && !e->leaves)
		reader_tell_empty(r, *e);
	else
		reader_tell_core(r, *e);
	if (p)
		hand_page(r, l);
	else
		spare(r, b);
}
