#include "consumer/lane.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "consumer/batching.h"
#include "consumer/loss.h"

#define LIMIT_FULL 1000
/* A start is kept to the second; services whose times are whole minutes get a minute (design,
 * "`latest` is a start time"). Times are rounded down, so that an end needs no more than the second
 * by which clocks differ. */
#define SLACK_MS        1000
#define MINUTE_SLACK_MS 60000

struct lane *lane_new(struct lane_stream *stream, const char *shard)
{
	struct lane *l = memory_new(sizeof(*l) + stream->sink_count * sizeof(l->slots[0]));

	assert(strlen(shard) <= STREAMS_SHARD_MAX);
	l->stream = stream;
	atomic_fetch_add(&stream->lanes, 1);
	memcpy(l->shard, shard, strlen(shard));
	l->limit = LIMIT_FULL;
	for (uint32_t slot = 0; slot < stream->sink_count; slot++) {
		struct lane_delivery *d = &l->slots[slot].sent;

		d->lane = l;
		d->slot = slot;
		d->delivery.lane = d;
	}
	return l;
}

static struct lane *new_file(struct lane_stream *stream, const char *name)
{
	struct lane *l = lane_new(stream, name);

	l->file = memory_new(sizeof(*l->file));
	l->file->lane = l;
	buf_init(&l->file->lines, 0);
	return l;
}

static struct lane *new_range(struct lane_stream *stream, const char *name)
{
	uint32_t part, parts;
	struct lane *l;

	if (!batching_range(name, &part, &parts))
		return NULL;
	l = new_file(stream, name);
	l->file->part = part;
	l->file->parts = parts;
	return l;
}

struct lane *lane_new_file(struct lane_stream *stream, const char *name, const char *location,
			   const char *md5, uint64_t items)
{
	static const char scheme[] = "s3://";
	const char *bucket = location + sizeof(scheme) - 1, *slash;
	struct lane_file *f;
	struct lane *l;

	if (stream->batch)
		return new_range(stream, name);
	if (strncmp(location, scheme, sizeof(scheme) - 1) != 0 || !(slash = strchr(bucket, '/')) ||
	    slash == bucket || !slash[1])
		return NULL;
	l = new_file(stream, name);
	f = l->file;
	f->bucket = memory_text_n(bucket, (size_t)(slash - bucket));
	f->key = memory_text(slash + 1);
	f->md5 = *md5 ? memory_text(md5) : NULL;
	f->items = items;
	return l;
}

static void file_part_free(struct lane_file *f)
{
	if (!f)
		return;
	assert(!f->file && !f->merging);
	free(f->bucket);
	free(f->key);
	free(f->md5);
	buf_release(&f->lines);
	free(f);
}

void lane_free(struct lane *l)
{
	if (!l)
		return;
	file_part_free(l->file);
	for (; l->pages_released < l->pages_read; l->pages_released++)
		batch_free(lane_page_at(l, l->pages_released)->batch);
	for (uint32_t slot = 0; slot < l->stream->sink_count; slot++)
		free(l->slots[slot].sent.error);
	free(l->iterator);
	free(l->gap);
	atomic_fetch_sub(&l->stream->lanes, 1); /* the stream may be gone from here on */
	free(l);
}

void lane_set_positions(struct lane *l, const struct frontier_move *at)
{
	bool first = true;

	for (uint32_t slot = 0; slot < l->stream->sink_count; slot++) {
		l->slots[slot].have = at[slot].to;
		if (at[slot].done) {
			handover_stop(&l->slots[slot].handover);
			continue;
		}
		if (first || sequence_compare(&at[slot].to, &l->read) < 0) {
			l->read = at[slot].to;
			l->read_ms = at[slot].event_ms;
		}
		first = false;
	}
}

/* All that a stream keeps is behind this place. */
static bool is_behind_all(const struct frontier_move *at, int64_t now_ms)
{
	return at->event_ms > 0 && now_ms - at->event_ms > LOSS_RETENTION_MS;
}

void lane_begin_added(struct lane *l, const struct frontier_move *at, int64_t now_ms)
{
	const struct frontier_move *behind = NULL;
	int64_t added_ms = 0;
	bool alone = true;

	for (uint32_t slot = 0; slot < l->stream->sink_count; slot++) {
		const struct lane_sink *k = &l->stream->sinks[slot];

		if (at[slot].done)
			continue;
		if (k->added_ms == 0 || !sequence_is_none(&at[slot].to)) {
			alone = false;
			if (now_ms - l->read_at_ms > LOSS_UNREAD_MAX_MS)
				return;
			if (is_behind_all(&at[slot], now_ms) &&
			    (!behind || sequence_compare(&at[slot].to, &behind->to) < 0))
				behind = &at[slot];
		} else if (added_ms == 0 || k->added_ms < added_ms) {
			added_ms = k->added_ms;
		}
	}
	if (added_ms > 0 && behind) {
		/* From there AWS says what this sink lacks; from the oldest record it does not. */
		l->read = behind->to;
		l->read_ms = behind->event_ms;
		return;
	}
	if (added_ms == 0 || now_ms - added_ms > LOSS_UNREAD_MAX_MS)
		return;
	if (alone && l->read_at_ms > 0 && l->read_at_ms < added_ms)
		l->read_at_ms = added_ms; /* until then nobody had to read it */
	l->gap_accepted = loss_may_have_begun(l->shard, added_ms);
	l->may_be_gone = l->gap_accepted && alone;
}

struct lane_page *lane_page_at(struct lane *l, uint64_t number)
{
	return &l->pages[number % CORE_PAGES];
}

struct sequence lane_at_place(uint64_t place)
{
	struct sequence at = SEQUENCE_NONE;

	if (place > 0) {
		char digits[24];

		at.length = (uint8_t)snprintf(digits, sizeof(digits), "%" PRIu64, place);
		memcpy(at.digits, digits, at.length);
	}
	return at;
}

uint64_t lane_place(const struct sequence *position)
{
	char digits[SEQUENCE_TEXT_SIZE];

	return strtoull(sequence_text(position, digits), NULL, 10);
}

uint64_t lane_row_place(const struct batch *b, const struct event *e)
{
	if (b->numbered)
		return b->place + (uint64_t)(e - b->events);
	return b->place + (uint64_t)(e->raw.p - b->body.data);
}

struct sequence lane_position(const struct lane *l, const struct batch *b, size_t i)
{
	const struct event *e = &b->events[i];
	const char *behind, *end = b->body.data + b->body.size;

	if (!l->file)
		return e->sequence;
	if (b->numbered)
		return lane_at_place(b->place + i + 1);
	behind = memchr(e->raw.p + e->raw.n, '\n', (size_t)(end - (e->raw.p + e->raw.n)));
	assert(behind); /* each line has its end */
	return lane_at_place(b->place + (uint64_t)(behind + 1 - b->body.data));
}

/* How much older than it is a record of the page may look. */
static int64_t slack_ms(const struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->events[i].time_ms % 60000 != 0)
			return SLACK_MS;
	return MINUTE_SLACK_MS;
}

/* What is older than this is not for a slot's sink. */
static int64_t start_threshold(const struct lane *l, const struct batch *b, uint32_t slot)
{
	int64_t start_ms = l->stream->sinks[slot].start_ms;

	return start_ms == 0 ? INT64_MIN : start_ms - slack_ms(b);
}

bool lane_ends_in(const struct lane *l, struct batch *b)
{
	int64_t last_ms;
	size_t bad = 0;

	if (l->stream->until_ms == 0)
		return false;
	last_ms = l->stream->until_ms + SLACK_MS;
	for (size_t i = 0; i < b->count; i++) {
		if (b->events[i].time_ms <= last_ms) {
			bad += b->events[i].bad != NULL;
			continue;
		}
		b->count = i;
		b->bad_count = bad;
		while (b->fault_count > 0 && b->faults[b->fault_count - 1].event >= i)
			b->fault_count--;
		return true;
	}
	return false;
}

static bool is_filtered(const struct event *e, uint32_t slot)
{
	return e->unwanted >> slot & 1;
}

static bool passes_all(const struct batch *b, uint32_t slot)
{
	for (size_t i = 0; i < b->count; i++)
		if (is_filtered(&b->events[i], slot))
			return false;
	return true;
}

/* Where record i is, against what the sink has: as memcmp. */
static int against(const struct lane *l, const struct batch *b, size_t i,
		   const struct sequence *have)
{
	struct sequence at = lane_position(l, b, i);

	return sequence_compare(&at, have);
}

/* The payloads as they are where every record is for the sink, else a copy with holes. */
static const struct str *payloads_for(struct lane *l, struct batch *b, uint32_t slot, size_t count)
{
	int64_t threshold = start_threshold(l, b, slot);
	const struct str *all = b->payloads[l->stream->outputs[slot].encoding];
	const struct sequence *have = &l->slots[slot].have;
	bool passed = sequence_is_none(have);
	struct metric_cell *filtered = l->stream->sinks[slot].filtered;
	struct str *some = NULL;
	int64_t kept_from = 0;

	if (threshold == INT64_MIN && passed && count == b->count && b->fault_count == 0 &&
	    (!filtered || passes_all(b, slot)))
		return all;
	for (size_t i = 0; i < b->count; i++) {
		const struct event *e = &b->events[i];
		bool out = i >= count || (e->time_ms < threshold && !e->bad);

		if (!out && (passed || against(l, b, i, have) > 0)) {
			if (is_filtered(e, slot))
				kept_from++;
			else if (!(e->faulty >> slot & 1))
				continue;
		}
		if (!some) {
			some = arena_alloc(&b->arena, b->count * sizeof(*some));
			memcpy(some, all, b->count * sizeof(*some));
		}
		some[i] = (struct str){ 0 };
	}
	if (kept_from > 0)
		metric_add(filtered, kept_from);
	if (!passed && against(l, b, b->count - 1, have) >= 0)
		l->slots[slot].have = SEQUENCE_NONE;
	return some ? some : all;
}

/* Faults of records that a slot would get, in *out, which is the batch's. */
static size_t faults_of(struct lane *l, struct batch *b, const struct lane_fault **out)
{
	const struct lane_stream *s = l->stream;
	struct lane_fault *faults;
	size_t count = 0;

	if (b->fault_count == 0)
		return 0;
	*out = faults = arena_alloc(&b->arena, b->fault_count * s->sink_count * sizeof(*faults));
	for (size_t i = 0; i < b->fault_count; i++) {
		const struct batch_fault *f = &b->faults[i];
		const struct event *e = &b->events[f->event];

		for (uint32_t slot = 0; slot < s->sink_count; slot++) {
			const struct sequence *have = &l->slots[slot].have;

			if (!(f->outputs >> slot & 1) || is_filtered(e, slot) ||
			    e->time_ms < start_threshold(l, b, slot) ||
			    (!sequence_is_none(have) && against(l, b, f->event, have) <= 0))
				continue;
			faults[count++] = (struct lane_fault){ f->event, slot, f->why, f->error };
		}
	}
	return count;
}

/* With on_error: stop the lane stands still before its first bad record. */
static size_t usable(const struct lane *l, const struct batch *b, const struct lane_fault *faults,
		     size_t fault_count)
{
	size_t count = b->count;

	if (l->stream->on_error != ON_ERROR_STOP)
		return count;
	if (fault_count > 0)
		count = faults[0].record;
	for (size_t i = 0; b->bad_count > 0 && i < count; i++)
		if (b->events[i].bad && !b->events[i].skipped)
			return i;
	return count;
}

const char *lane_why(enum batch_why why)
{
	static const char *const words[] = {
		[FAULT_TRANSFORM] = "transform", [FAULT_SCHEMA] = "schema", [FAULT_ROUTE] = "route"
	};

	return words[why];
}

const char *lane_stopped_by(const struct batch *b, size_t record, const struct batch_fault **fault)
{
	*fault = NULL;
	if (b->events[record].bad)
		return b->events[record].bad;
	*fault = b->faults;
	while ((*fault)->event != record)
		++*fault;
	return (*fault)->error;
}

bool lane_is_news(struct lane_stream *s, uint64_t hash, bool *last)
{
	for (size_t i = 0; i < LANE_NEWS_MAX; i++) {
		uint64_t free_place = 0;

		*last = i + 1 == LANE_NEWS_MAX;
		if (atomic_compare_exchange_strong(&s->news[i], &free_place, hash))
			return true;
		if (free_place == hash)
			return false;
	}
	return false;
}

static bool has_letters(const struct lane *l, const struct batch *b, size_t fault_count)
{
	if (l->stream->on_error == ON_ERROR_DEAD_LETTER)
		return b->bad_count > 0 || fault_count > 0;
	for (size_t i = 0; b->bad_count > 0 && i < b->count; i++)
		if (b->events[i].skipped)
			return true;
	return false;
}

struct lane_page *lane_add_page(struct lane *l, struct batch *b)
{
	const struct lane_fault *faults = NULL;
	size_t fault_count = faults_of(l, b, &faults);
	size_t count = usable(l, b, faults, fault_count);

	assert(l->pages_read - l->pages_released < CORE_PAGES);
	if (count == 0)
		return NULL;

	struct lane_page *p = lane_page_at(l, l->pages_read++);

	*p = (struct lane_page){ .batch = b,
				 .count = count,
				 .attempts = l->bad_pages + 1,
				 .faults = faults,
				 .fault_count = fault_count };
	for (uint32_t slot = 0; slot < l->stream->sink_count; slot++)
		p->payloads[slot] = payloads_for(l, b, slot, count);
	if (!has_letters(l, b, fault_count))
		p->next_letter = count;
	return p;
}

size_t lane_page_left(const struct lane_page *p, uint32_t slot, size_t first)
{
	size_t left = 0;

	for (size_t i = first; i < p->count; i++)
		left += p->payloads[slot][i].p != NULL;
	return left;
}

void lane_release_pages(struct lane *l)
{
	uint64_t least = l->pages_read;

	for (uint32_t slot = 0; slot < l->stream->sink_count; slot++) {
		const struct handover *h = &l->slots[slot].handover;

		if (h->state != HANDOVER_STOPPED && h->page < least)
			least = h->page;
	}
	for (; l->pages_released < least; l->pages_released++)
		batch_free(lane_page_at(l, l->pages_released)->batch);
}
