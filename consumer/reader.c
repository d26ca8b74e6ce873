#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "aws/streams.h"
#include "base/clock.h"
#include "base/memory.h"
#include "consumer/reader_internal.h"
#include "event/decode.h"

/* A body over this is asked for again with fewer records (design, "Credits"). */
#define BODY_MAX   ((size_t)16 << 20)
#define LIMIT_FULL 1000
/* A page that stays broken this often is taken apart, so that one bad record holds nobody up. */
#define BAD_PAGES_MAX 3
/* A stream keeps 24 hours. What was not read for this long is a gap whatever AWS answers: a shard
 * that was trimmed from its beginning on gives no error, and one that is gone is only not found. */
#define UNREAD_MAX_MS    (23LL * 60 * 60 * 1000)
#define COMMANDS_AT_ONCE 64
#define TOLD_AT_ONCE     16
#define TOLD_AFTER_MS    5
#define LOG_EVERY_MS     10000

void reader_tell_core(struct reader *r, struct core_event event)
{
	event.now_ms = loop_now_ms(r->loop);
	queue_push(r->settings.core, &event);
}

static void wake_core(void *arg)
{
	struct reader *r = arg;

	r->told = 0;
	loop_timer_arm(r->tell, -1);
	queue_wake(r->settings.core);
}

/* Nobody waits for the result of an empty fetch: the core is woken for several. */
static void tell_empty(struct reader *r, struct core_event event)
{
	event.now_ms = loop_now_ms(r->loop);
	queue_add(r->settings.core, &event);
	if (++r->told == TOLD_AT_ONCE || r->fetching == 0)
		wake_core(r);
	else if (r->told == 1)
		loop_timer_arm(r->tell, TOLD_AFTER_MS);
}

void reader_wait(struct reader *r, struct reader_wait wait, int64_t delay_ms)
{
	wait.at_ms = loop_now_ms(r->loop) + delay_ms;
	if (r->wait_count == r->wait_capacity) {
		r->wait_capacity = r->wait_capacity ? 2 * r->wait_capacity : 16;
		r->waits = memory_resize(r->waits, r->wait_capacity * sizeof(*r->waits));
	}
	r->waits[r->wait_count++] = wait;
	if (r->wait_count == 1 || wait.at_ms < r->waits[0].at_ms) {
		r->waits[r->wait_count - 1] = r->waits[0];
		r->waits[0] = wait;
		loop_timer_arm(r->timer, delay_ms);
	}
}

/* waits[0] is the next one to come due. */
static void arm_next(struct reader *r)
{
	size_t next = 0;

	for (size_t i = 1; i < r->wait_count; i++)
		if (r->waits[i].at_ms < r->waits[next].at_ms)
			next = i;
	if (r->wait_count == 0)
		return;

	struct reader_wait first = r->waits[next];
	int64_t delay_ms = first.at_ms - loop_now_ms(r->loop);

	r->waits[next] = r->waits[0];
	r->waits[0] = first;
	loop_timer_arm(r->timer, delay_ms > 0 ? delay_ms : 0);
}

static void on_timer(void *arg)
{
	struct reader *r = arg;
	int64_t now_ms = loop_now_ms(r->loop);

	for (size_t i = 0; i < r->wait_count;) {
		struct reader_wait w = r->waits[i];

		if (w.at_ms > now_ms) {
			i++;
			continue;
		}
		r->waits[i] = r->waits[--r->wait_count];
		if (w.letter)
			r->settings.letter(r->settings.arg, w.letter);
		else
			hand_again(r, w.lane, w.slot);
	}
	arm_next(r);
}

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

static void stream_health(struct reader *r, const struct lane_stream *s, const char *trouble)
{
	char part[160];

	snprintf(part, sizeof(part), "stream %s", s->source.stream);
	health_set(r->settings.health, part, trouble);
}

/* Each stream has a row of the health, which is well while all of its shards can be read. Another
 * reader's shard that becomes well at the same moment may cover this trouble until it is told
 * again: with the shard's next try. */
static void lane_ill(struct reader *r, struct lane *l, const char *trouble)
{
	struct lane_stream *s = l->stream;

	if (!l->ill)
		atomic_fetch_add_explicit(&s->ill, 1, memory_order_relaxed);
	l->ill = true;
	atomic_store_explicit(&s->well, false, memory_order_relaxed);
	stream_health(r, s, trouble);
}

static void lane_well(struct reader *r, struct lane *l)
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
	else if (l->gap_accepted)
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

/* The page's end: its last record whose sequence could be read. */
static bool page_end(const struct batch *b, size_t count, struct core_event *e)
{
	for (size_t i = count; i-- > 0;) {
		if (sequence_is_none(&b->events[i].sequence))
			continue;
		e->end = b->events[i].sequence;
		/* A bad record may have no time: then the last one that has. */
		while (i > 0 && b->events[i].time_ms == 0)
			i--;
		e->end_ms = b->events[i].time_ms;
		return true;
	}
	return false;
}

/* A page that cannot be used is fetched again; after BAD_PAGES_MAX of them in a row it is taken
 * apart, and where even that fails, with fewer records at a time: *fewer says to ask for them at
 * once, so that what comes before the fault is not held up. Without a single sequence number there
 * is no place to go on from. */
static bool decode(struct fetch *f, struct batch *b, bool *fewer, struct error *err)
{
	struct lane *l = f->lane;
	struct core_event end = { 0 };
	struct decode_options o = { .encodings = l->stream->encodings,
				    .encoding_count = l->stream->encoding_count,
				    .now_ms = clock_aws_ms(f->reader->settings.clock),
				    .lenient = l->bad_pages >= BAD_PAGES_MAX,
				    .filter = l->stream->filter,
				    .outputs = l->stream->outputs,
				    .output_count = l->stream->sink_count };

	if (decode_page(b, &o, err)) {
		if (b->count == 0 || page_end(b, b->count, &end))
			return true;
		l->limit = LIMIT_FULL;
		error_set(err, ERROR_RETRY, "none of its records has a sequence number");
	} else if (o.lenient && l->limit > 1) {
		l->limit /= 2;
		*fewer = true;
	}
	l->bad_pages++;
	err->kind = ERROR_RETRY;
	return error_wrap(err, "shard %s: the page cannot be used", l->shard);
}

static void count_page(const struct lane *l, const struct batch *b)
{
	int64_t by_op[4] = { 0 };

	for (size_t i = 0; i < b->count; i++)
		by_op[b->events[i].op]++;
	for (int op = 0; op < 4; op++)
		if (by_op[op] > 0)
			metric_add(l->stream->records[op], by_op[op]);
	metric_add(l->stream->bytes, (int64_t)b->body.size);
	metric_add(b->count ? l->stream->polls_records : l->stream->polls_empty, 1);
}

static void drop_bad(struct reader *r, const struct lane *l, const struct batch *b)
{
	if (b->bad_count > 0 && l->stream->on_error == ON_ERROR_DROP)
		metric_add(metrics_cell(r->settings.metrics, METRIC_DROPPED, "undecodable", NULL),
			   (int64_t)b->bad_count);
}

static void stands_still(struct reader *r, struct lane *l, const char *bad)
{
	struct error err = { 0 };

	error_set(&err, ERROR_INVALID, "shard %s stands still (on_error: stop): %s", l->shard, bad);
	lane_ill(r, l, err.message);
	log_error("shard stands still: a record cannot be decoded (on_error: stop)",
		  log_text("stream", l->stream->source.stream), log_text("shard", l->shard),
		  log_text("error", bad));
}

static void page_read(struct fetch *f, struct batch *page)
{
	AUTO(batch) struct batch *b = page;
	struct reader *r = f->reader;
	struct lane *l = f->lane;
	struct core_event e = { .type = CORE_PAGE,
				.lane = l->index,
				.bytes = b->body.size,
				.records = b->count,
				.limit = (size_t)l->limit,
				.closed = b->closed };
	struct sequence none = SEQUENCE_NONE;
	struct lane_page *p = NULL;

	free(f);
	r->fetching--;
	lane_well(r, l);
	forget_iterator(l);
	if (!b->closed)
		l->iterator = memory_text_n(b->next_iterator.p, b->next_iterator.n);
	l->read_at_ms = clock_aws_ms(r->settings.clock);
	l->gap_accepted = l->from_horizon = l->unlisted = l->stream_gone = false;
	count_page(l, b);
	if (b->count > 0 || b->closed)
		gap_over(r, l, b->count ? &b->events[0].sequence : &none,
			 b->count ? b->events[0].time_ms : 0);
	if (b->count > 0) {
		size_t all = b->count;

		page_end(b, all, &e);
		if (!sequence_is_none(&e.end)) {
			l->read = e.end;
			l->read_ms = e.end_ms;
		}
		drop_bad(r, l, b);
		p = lane_add_page(l, b);
		e.stopped = !p || p->count < all;
		if (e.stopped) {
			e.end = SEQUENCE_NONE;
			page_end(b, p ? p->count : 0, &e);
			stands_still(r, l, b->events[p ? p->count : 0].bad);
		}
		(void)(p ? MOVE(b) : NULL);
	}
	if (e.end_ms > 0)
		e.age_ms = l->read_at_ms - e.end_ms;
	l->bad_pages = 0;
	if (l->limit < LIMIT_FULL)
		l->limit = l->limit * 2 < LIMIT_FULL ? l->limit * 2 : LIMIT_FULL;
	if (sequence_is_none(&e.end) && !e.closed && !e.stopped)
		tell_empty(r, e);
	else
		reader_tell_core(r, e);
	if (p) {
		hand_page(r, l);
	} else if (!r->spare) {
		batch_clear(b);
		r->spare = MOVE(b);
	}
}

/* The answer's memory goes to the batch, and what the batch had of an empty page to the next
 * answer.
 */
static struct batch *batch_for(struct reader *r, const struct lane *l, struct buf *answer)
{
	struct batch *b = r->spare ? MOVE(r->spare) : batch_new();
	struct buf body = *answer;

	*answer = b->body;
	b->body = body;
	b->source = &l->stream->source;
	b->shard = l->shard;
	return b;
}

static void on_records(void *arg, const struct error *err, struct streams_records *got)
{
	struct fetch *f = arg;
	struct lane *l = f->lane;
	struct error fault = *err;

	if (err->kind == ERROR_NONE) {
		AUTO(batch) struct batch *b = batch_for(f->reader, l, got->body);
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
	char since[CLOCK_TEXT_SIZE];

	if (l->gap_accepted || l->read_at_ms == 0 ||
	    clock_aws_ms(r->settings.clock) - l->read_at_ms <= UNREAD_MAX_MS)
		return false;
	error_set(err, ERROR_TRIMMED, "it was last read at %s, and its stream keeps 24 hours",
		  clock_text(l->read_at_ms, since));
	return true;
}

static void fetch(struct reader *r, struct lane *l)
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
static void go_on(struct lane *l)
{
	l->gap_accepted = true;
	l->gap_id = *l->gap->row.shard ? l->gap->row.id : 0;
}

static void on_commands(void *arg, int fd, uint32_t events)
{
	struct reader *r = arg;
	struct reader_command some[COMMANDS_AT_ONCE];
	size_t count = queue_drain(r->commands, some, COMMANDS_AT_ONCE);

	(void)fd;
	(void)events;
	for (size_t i = 0; i < count; i++) {
		switch (some[i].type) {
		case READER_FETCH:
			fetch(r, some[i].lane);
			break;
		case READER_ANSWER:
			hand_answer(r, some[i].delivery);
			break;
		case READER_LETTERED:
			hand_lettered(r, some[i].letter, some[i].stored);
			break;
		case READER_GO_ON:
			go_on(some[i].lane);
			break;
		case READER_UNLISTED:
			some[i].lane->unlisted = true;
			some[i].lane->stream_gone = some[i].stream_gone;
			break;
		case READER_DROP:
			lane_well(r, some[i].lane);
			lane_free(some[i].lane);
			atomic_fetch_sub(&r->drops, 1);
			break;
		}
	}
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	loop_run(r->loop);
	return NULL;
}

struct reader *reader_start(const struct reader_settings *settings, struct error *err)
{
	struct reader *r = memory_new(sizeof(*r));

	r->settings = *settings;
	rng_seed(&r->rng, settings->seed);
	r->loop = loop_new(settings->clock);
	r->client = aws_client_new(r->loop, settings->aws, settings->credentials, settings->clock,
				   settings->metrics, err);
	if (!r->client) {
		loop_free(r->loop);
		free(r);
		return NULL;
	}
	/* A fetch, an answer a sink, a letter a sink or page: what a lane can have under way; that
	 * it is not listed, that it goes on, and its end. */
	r->commands = queue_new(sizeof(struct reader_command),
				settings->fetches_max + (size_t)settings->lanes_max *
								(CORE_SINKS_MAX + CORE_PAGES + 3));
	r->timer = loop_timer_new(r->loop, on_timer, r);
	r->tell = loop_timer_new(r->loop, wake_core, r);
	loop_watch(r->loop, queue_fd(r->commands), EPOLLIN, on_commands, r);
	if (pthread_create(&r->thread, NULL, reader_main, r) != 0) {
		error_set(err, ERROR_INVALID, "reader %u: no thread could be started",
			  settings->index);
		r->thread = 0;
		reader_free(r);
		return NULL;
	}
	pthread_setname_np(r->thread, "reader");
	return r;
}

void reader_stop(struct reader *r)
{
	loop_stop(r->loop);
	pthread_join(r->thread, NULL);
	aws_client_free(r->client);
	r->client = NULL;
}

static void command_free(const struct reader_command *c)
{
	if (c->type == READER_LETTERED)
		letter_free(c->letter);
	else if (c->type == READER_DROP)
		lane_free(c->lane);
}

void reader_free(struct reader *r)
{
	struct reader_command c;

	if (!r)
		return;
	aws_client_free(r->client);
	while (queue_drain(r->commands, &c, 1) == 1)
		command_free(&c);
	for (size_t i = 0; i < r->wait_count; i++)
		letter_free(r->waits[i].letter);
	free(r->waits);
	batch_free(r->spare);
	loop_timer_free(r->timer);
	loop_timer_free(r->tell);
	queue_free(r->commands);
	loop_free(r->loop);
	free(r);
}

static void command(struct reader *r, struct reader_command c)
{
	/* A queue that was closed belongs to a reader that has stopped. */
	if (!queue_push(r->commands, &c))
		command_free(&c);
}

void reader_fetch(struct reader *r, struct lane *lane)
{
	struct reader_command c = { .type = READER_FETCH, .lane = lane };

	queue_add(r->commands, &c);
}

void reader_wake(struct reader *r)
{
	queue_wake(r->commands);
}

bool reader_drop(struct reader *r, struct lane *lane)
{
	if (atomic_load(&r->drops) >= r->settings.lanes_max)
		return false;
	atomic_fetch_add(&r->drops, 1);
	command(r, (struct reader_command){ .type = READER_DROP, .lane = lane });
	return true;
}

void reader_go_on(struct reader *r, struct lane *lane)
{
	command(r, (struct reader_command){ .type = READER_GO_ON, .lane = lane });
}

void reader_unlisted(struct reader *r, struct lane *lane, bool stream_gone)
{
	command(r, (struct reader_command){
			   .type = READER_UNLISTED, .lane = lane, .stream_gone = stream_gone });
}

void reader_answer(struct reader *r, struct lane_delivery *d)
{
	command(r, (struct reader_command){ .type = READER_ANSWER, .delivery = d });
}

void reader_lettered(struct reader *r, struct letter *l, bool stored)
{
	command(r,
		(struct reader_command){ .type = READER_LETTERED, .letter = l, .stored = stored });
}

int64_t reader_beat_ms(const struct reader *r)
{
	return loop_beat_ms(r->loop);
}
