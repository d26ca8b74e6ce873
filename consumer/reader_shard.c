/* Shards are fetched: iterators and records, and what stands in the way. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/streams.h"
#include "base/clock.h"
#include "base/memory.h"
#include "consumer/loss.h"
#include "consumer/reader_internal.h"
#include "consumer/skip.h"

/* A body over this is asked for again with fewer records (design, "Credits"). */
#define BODY_MAX   ((size_t)16 << 20)
#define LIMIT_FULL 1000
/* A page that stays broken this often is taken apart, so that one bad record holds nobody up. */
#define BAD_PAGES_MAX 3
#define LOG_EVERY_MS  10000

/* What a call's callback needs: its lane, and through it everything else. The reader of a lane does
 * not change while its session runs. */
struct fetch {
	struct reader *reader;
	struct lane *lane;
};

static void ask_records(struct fetch *f);

static void forget_iterator(struct lane *l)
{
	free(l->iterator);
	l->iterator = NULL;
}

static void log_failure(struct reader *r, const struct lane *l, const struct error *err)
{
	uint64_t repeated;

	if (err->kind == ERROR_CANCELLED || err->kind == ERROR_TRIMMED)
		return; /* nobody's fault; told as a gap */
	if (err->kind == ERROR_INVALID)
		log_error("shard stands still: it cannot be read",
			  log_text("stream", l->stream->source.stream), log_text("shard", l->shard),
			  log_text("error", err->message));
	else if (log_limit_pass(&r->fetch_log, loop_now_ms(r->loop), LOG_EVERY_MS, &repeated))
		log_fields(err->kind == ERROR_REFUSED ? LOG_ERROR : LOG_WARN,
			   "shard could not be read, it is asked again",
			   (const struct log_field[]){
				   log_text("stream", l->stream->source.stream),
				   log_text("shard", l->shard),
				   log_text("kind", error_kind_name(err->kind)),
				   log_text("error", err->message),
				   log_int("repeated", (int64_t)repeated),
				   { 0 },
			   });
}

static void fetch_failed(struct fetch *f, const struct error *err)
{
	struct reader *r = f->reader;
	struct lane *l = f->lane;
	bool cancelled = err->kind == ERROR_CANCELLED;

	r->fetching--;
	if (err->kind == ERROR_TRIMMED)
		lane_well(r, l); /* it can be read; the gap is told of elsewhere */
	else if (!cancelled && err->kind != ERROR_THROTTLED)
		lane_ill(r, l, err->message);
	metric_add(l->stream->polls_failed[err->kind], 1);
	log_failure(r, l, err);
	reader_tell_core(r, (struct core_event){ .type = CORE_FETCH_FAILED,
						 .lane = l->index,
						 .failure = cancelled ? ERROR_RETRY : err->kind });
	free(f);
}

static void ask_iterator(struct fetch *f);

/* Records are lost, and nobody may overlook it: the lane stands still until the gap is in the store
 * and accepted, by the worker (gap: oldest) or by a person. */
static void gap(struct fetch *f, enum store_gap_kind kind, const struct error *err)
{
	struct lane *l = f->lane;
	struct error told = *err;

	if (!l->gap)
		l->gap = memory_new(sizeof(*l->gap));
	l->gap->row = (struct store_gap){ .stream = l->stream->store_id,
					  .kind = kind,
					  .found_ms = clock_aws_ms(f->reader->settings.clock) };
	if (!l->stream_gone) {
		memcpy(l->gap->row.shard, l->shard, sizeof(l->shard));
		l->gap->row.from = l->read;
		l->gap->row.from_ms = l->read_ms;
	}
	snprintf(l->gap->reason, sizeof(l->gap->reason), "%s", err->message);
	forget_iterator(l);
	told.kind = ERROR_TRIMMED;
	fetch_failed(f, &told);
}

/* The place fell out of the stream's 24 hours. */
static void trimmed(struct fetch *f, const struct error *err)
{
	struct lane *l = f->lane;
	struct error passing = *err;

	forget_iterator(l);
	if (!l->gap_accepted) {
		gap(f, STORE_GAP_TRIMMED, err);
	} else if (l->from_horizon) {
		passing.kind = ERROR_RETRY; /* the oldest record went while it was asked for */
		fetch_failed(f, &passing);
	} else {
		metric_add(l->stream->polls_failed[ERROR_TRIMMED], 1);
		l->from_horizon = true;
		ask_iterator(f);
	}
}

static void gap_over(struct reader *r, struct lane *l, const struct sequence *to, int64_t to_ms)
{
	if (l->gap_id != 0)
		r->settings.gap_over(r->settings.arg, l->gap_id, to, to_ms);
	l->gap_id = 0;
}

/* Nothing of it is left behind the gap: it ends, so that its children go on. */
static void shard_gone(struct fetch *f)
{
	struct lane *l = f->lane;
	struct sequence none = SEQUENCE_NONE;

	log_warn("a shard is gone, nothing of it is left to read",
		 log_text("stream", l->stream->source.stream), log_text("shard", l->shard));
	lane_well(f->reader, l);
	gap_over(f->reader, l, &none, 0);
	f->reader->fetching--;
	reader_tell_core(f->reader, (struct core_event){
					    .type = CORE_PAGE, .lane = l->index, .closed = true });
	free(f);
}

/* AWS's word alone is not believed: it says the same of a shard that is not ready yet. */
static void not_found(struct fetch *f, const struct error *err)
{
	struct lane *l = f->lane;

	forget_iterator(l);
	if (!l->unlisted)
		fetch_failed(f, err);
	else if (l->gap_accepted && (l->gap || l->may_be_gone))
		shard_gone(f);
	else
		gap(f, STORE_GAP_VANISHED, err);
}

static void on_iterator(void *arg, const struct error *err, const char *iterator)
{
	struct fetch *f = arg;
	struct lane *l = f->lane;

	if (err->kind == ERROR_NONE) {
		l->iterator = memory_text(iterator);
		ask_records(f);
	} else if (err->kind == ERROR_TRIMMED) {
		trimmed(f, err);
	} else if (err->kind == ERROR_NOT_FOUND) {
		not_found(f, err);
	} else if (err->kind == ERROR_INVALID && !f->reader->no_timestamps &&
		   (l->root || sequence_is_none(&l->starting)) && sequence_is_none(&l->read) &&
		   l->stream->start_ms > 0) {
		f->reader->no_timestamps = true;
		ask_iterator(f);
	} else {
		fetch_failed(f, err);
	}
}

static void ask_iterator(struct fetch *f)
{
	struct lane *l = f->lane;
	const struct lane_stream *s = l->stream;
	enum streams_iterator_type type = ITERATOR_TRIM_HORIZON;
	const struct sequence *sequence = NULL;

	if (l->from_horizon) {
		type = ITERATOR_TRIM_HORIZON;
	} else if (!sequence_is_none(&l->read)) {
		type = ITERATOR_AFTER_SEQUENCE;
		sequence = &l->read;
	} else if (!l->root && !sequence_is_none(&l->starting)) {
		type = ITERATOR_AT_SEQUENCE;
		sequence = &l->starting;
	} else if (s->start_ms > 0 && !f->reader->no_timestamps) {
		type = ITERATOR_AT_TIMESTAMP;
	}
	streams_iterator(f->reader->client, s->source.arn, l->shard, type, sequence, s->start_ms,
			 on_iterator, f);
}

/* A page that cannot be used is fetched again; after BAD_PAGES_MAX of them in a row it is taken
 * apart, and where even that fails, with fewer records at a time: *fewer says to ask for them at
 * once, so that what comes before the fault is not held up. Without a single sequence number there
 * is no place to go on from. */
static bool decode(struct fetch *f, struct batch *b, bool *fewer, struct error *err)
{
	struct lane *l = f->lane;
	struct core_event end = { 0 };
	char number[SEQUENCE_TEXT_SIZE];
	struct decode_options o = { .encodings = l->stream->encodings,
				    .encoding_count = l->stream->encoding_count,
				    .now_ms = clock_aws_ms(f->reader->settings.clock),
				    .lenient = l->bad_pages >= BAD_PAGES_MAX,
				    .filter = l->stream->filter,
				    .schemas = l->stream->schemas,
				    .unfit = l->stream->unfit,
				    .outputs = l->stream->outputs,
				    .output_count = l->stream->sink_count };

	if (decode_page(b, &o, err)) {
		if (b->count == 0 || page_end(l, b, b->count, &end)) {
			skip_records(l, b);
			return true;
		}
		if (o.lenient && b->count == 1 && skip_page(l, b))
			return true;
		l->limit = o.lenient && l->limit > 1 && skip_waits(l) ? 1 : LIMIT_FULL;
		error_set(err, ERROR_RETRY, "none of its records has a sequence number");
	} else if (o.lenient && l->limit > 1) {
		l->limit /= 2;
		*fewer = true;
	} else if (o.lenient && skip_page(l, b)) {
		return true;
	}
	l->bad_pages++;
	err->kind = ERROR_RETRY;
	/* Its only record is the one at fault. */
	if (o.lenient && l->limit == 1 && *skip_number(b, number))
		return error_wrap(err, "shard %s: the page of record %s cannot be used", l->shard,
				  number);
	return error_wrap(err, "shard %s: the page cannot be used", l->shard);
}

static void page_read(struct fetch *f, struct batch *page)
{
	AUTO(batch) struct batch *b = page;
	struct reader *r = f->reader;
	struct lane *l = f->lane;
	bool ends = lane_ends_in(l, b);
	struct core_event e = { .type = CORE_PAGE,
				.lane = l->index,
				.bytes = b->body.size,
				.records = b->count,
				.limit = (size_t)l->limit,
				.closed = b->closed || ends,
				.childless = ends };
	struct sequence none = SEQUENCE_NONE;

	free(f);
	r->fetching--;
	lane_well(r, l);
	forget_iterator(l);
	if (!e.closed && b->next_iterator.n > 0)
		l->iterator = memory_text_n(b->next_iterator.p, b->next_iterator.n);
	l->read_at_ms = clock_aws_ms(r->settings.clock);
	l->begin_ms = 0;
	l->gap_accepted = l->from_horizon = l->unlisted = l->stream_gone = false;
	metric_add(b->count ? l->stream->polls_records : l->stream->polls_empty, 1);
	if (b->count > 0 || e.closed)
		gap_over(r, l, b->count ? &b->events[0].sequence : &none,
			 b->count ? b->events[0].time_ms : 0);
	if (page_end(l, b, b->count, &e)) {
		l->read = e.end;
		l->read_ms = e.end_ms;
	}
	if (e.end_ms > 0)
		e.age_ms = l->read_at_ms - e.end_ms;
	page_deliver(r, l, MOVE(b), &e);
	l->bad_pages = 0;
	if (l->limit < LIMIT_FULL)
		l->limit = l->limit * 2 < LIMIT_FULL ? l->limit * 2 : LIMIT_FULL;
}

static void on_records(void *arg, const struct error *err, struct streams_records *got)
{
	struct fetch *f = arg;
	struct lane *l = f->lane;
	struct error fault = *err;

	if (err->kind == ERROR_NONE) {
		AUTO(batch) struct batch *b = page_batch(f->reader, l, got->body);
		bool fewer = false;

		if (decode(f, b, &fewer, &fault))
			page_read(f, MOVE(b));
		else if (fewer)
			ask_records(f);
		else
			fetch_failed(f, &fault);
	} else if (err->kind == ERROR_EXPIRED) {
		metric_add(l->stream->polls_failed[ERROR_EXPIRED], 1);
		forget_iterator(l);
		ask_iterator(f);
	} else if (got && got->too_large && l->limit > 1) {
		l->limit /= 2;
		ask_records(f);
	} else if (err->kind == ERROR_TRIMMED) {
		trimmed(f, err);
	} else if (err->kind == ERROR_NOT_FOUND) {
		not_found(f, err);
	} else {
		/* An iterator is good for 15 minutes; after a fault a new one costs nothing. A
		 * throttled shard is spared the second call. */
		if (err->kind != ERROR_THROTTLED)
			forget_iterator(l);
		fetch_failed(f, &fault);
	}
}

static void ask_records(struct fetch *f)
{
	streams_records(f->reader->client, f->lane->iterator, f->lane->limit, BODY_MAX, on_records,
			f);
}

static bool unread_too_long(const struct reader *r, const struct lane *l, struct error *err)
{
	int64_t since_ms = loss_unread_ms(l->shard, l->read_at_ms, l->begin_ms,
					  clock_aws_ms(r->settings.clock));
	char since[CLOCK_TEXT_SIZE];

	if (l->gap_accepted || since_ms == 0)
		return false;
	error_set(err, ERROR_TRIMMED, "nobody read it since %s, and its stream keeps 24 hours",
		  clock_text(since_ms, since));
	return true;
}

void reader_fetch_shard(struct reader *r, struct lane *l)
{
	struct fetch *f = memory_new(sizeof(*f));
	struct error err = { 0 };

	*f = (struct fetch){ .reader = r, .lane = l };
	r->fetching++;
	if (unread_too_long(r, l, &err))
		gap(f, STORE_GAP_TRIMMED, &err);
	else if (l->iterator)
		ask_records(f);
	else
		ask_iterator(f);
}

/* A gap of the whole stream may stand in the way of other lanes as well: it is not closed. */
void reader_go_on_shard(struct lane *l)
{
	l->gap_accepted = true;
	l->gap_id = *l->gap->row.shard ? l->gap->row.id : 0;
}
