#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "consumer/search_internal.h"

/* The net: how often a stream is looked at again, and how much of the quota that may take. Turns
 * and complete listings together, each a call per so much time at most. */
#define TURN_MS     30000
#define NET_CALL_MS 500
/* Of ten calls, those that are left to tails that shards wait for, and to all but the net. */
#define KEPT_TAILS 2
#define KEPT_NET   5
/* What a tail is taken to cost where none was read yet and nothing says where news begins. */
#define TAIL_PAGES_FIRST 8

struct search *search_new(const struct search_settings *settings)
{
	struct search *s = memory_new(sizeof(*s));

	s->settings = *settings;
	quota_init(&s->quota);
	rng_seed(&s->rng, settings->seed);
	return s;
}

void search_add(struct search *s, uint32_t stream)
{
	struct search_stream *st = memory_new(sizeof(*st));

	if (stream >= s->stream_count) {
		s->streams =
			memory_resize(s->streams, (stream + 1) * sizeof(struct search_stream *));
		for (; s->stream_count <= stream; s->stream_count++)
			s->streams[s->stream_count] = NULL;
	}
	assert(!s->streams[stream]);
	st->number = stream;
	st->parents_end = &st->parents;
	s->streams[stream] = st;
}

void search_parent_free(struct search_stream *st, struct search_parent *p)
{
	*p->place = p->next;
	if (p->next)
		p->next->place = p->place;
	else
		st->parents_end = p->place;
	free(p);
}

void search_listing_end(struct search_listing *l)
{
	free(l->shards);
	l->shards = NULL;
	l->count = l->capacity = 0;
	l->running = false;
}

void search_remove(struct search *s, uint32_t stream)
{
	struct search_stream *st = s->streams[stream];

	for (struct search_call *c = s->calls; c; c = c->next)
		if (c->stream == st)
			c->stream = NULL;
	for (struct search_parent *p = st->parents, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	search_listing_end(&st->complete);
	search_listing_end(&st->tail);
	free(st);
	s->streams[stream] = NULL;
}

void search_free(struct search *s)
{
	if (!s)
		return;
	assert(!s->calls);
	for (uint32_t i = 0; i < s->stream_count; i++)
		if (s->streams[i])
			search_remove(s, i);
	free(s->streams);
	free(s);
}

/* --- what is wanted --- */

void search_list(struct search *s, uint32_t stream, int64_t at_ms)
{
	struct search_stream *st = s->streams[stream];

	st->asked_ms = st->asked && st->asked_ms < at_ms ? st->asked_ms : at_ms;
	st->asked = true;
}

void search_set_lister(struct search *s, uint32_t stream, bool lister, int64_t now_ms)
{
	s->streams[stream]->lister = lister;
	if (lister)
		search_list(s, stream, now_ms);
}

void search_children(struct search *s, uint32_t stream, const char *parent, int64_t now_ms)
{
	struct search_stream *st = s->streams[stream];
	struct search_parent *p = memory_new(sizeof(*p));

	strncpy(p->id, parent, sizeof(p->id) - 1);
	p->due_ms = now_ms;
	p->place = st->parents_end;
	*st->parents_end = p;
	st->parents_end = &p->next;
}

static int64_t jittered(struct search *s, int64_t ms)
{
	return ms / 2 + (int64_t)rng_below(&s->rng, (uint64_t)ms);
}

/* Of everything that this process lists. */
static int64_t net_ms(const struct search *s, bool complete)
{
	int64_t calls = 0;

	for (uint32_t i = 0; i < s->stream_count; i++)
		if (s->streams[i] && s->streams[i]->lister)
			calls += complete ? s->streams[i]->complete.pages : 1;
	return calls * NET_CALL_MS > TURN_MS ? calls * NET_CALL_MS : TURN_MS;
}

void search_plan_turn(struct search *s, struct search_stream *st, int64_t now_ms)
{
	st->turn_ms = now_ms + jittered(s, net_ms(s, false));
}

void search_plan_complete(struct search *s, struct search_stream *st, int64_t now_ms)
{
	st->complete_ms = now_ms + jittered(s, net_ms(s, true));
}

/* --- listings begin --- */

static void begin(struct search_listing *l, const char *start, bool urgent, int64_t aws_ms)
{
	l->running = true;
	l->urgent = urgent;
	l->pages = 0;
	l->failures = 0;
	l->not_before_ms = 0;
	l->begun_aws_ms = aws_ms;
	memcpy(l->start, start, strlen(start) + 1);
	memcpy(l->after, l->start, sizeof(l->after));
}

static void begin_complete(struct search_stream *st, bool urgent, int64_t aws_ms)
{
	begin(&st->complete, "", urgent, aws_ms);
	for (struct search_parent *p = st->parents; p; p = p->next)
		if (p->state == SEARCH_LAST)
			p->state = SEARCH_LISTED;
}

/* A child's id is behind its parent's, as it was created later. */
static const char *tail_start(const struct search_stream *st, int64_t now_ms)
{
	const char *first = NULL;

	for (const struct search_parent *p = st->parents; p; p = p->next)
		if (p->state == SEARCH_WAITING && p->due_ms <= now_ms &&
		    (!first || strcmp(p->id, first) < 0))
			first = p->id;
	if (!first)
		return st->anchor;
	return *st->anchor && (st->from_start || strcmp(st->from, first) <= 0) &&
			       strcmp(st->anchor, first) > 0
		       ? st->anchor
		       : first;
}

static void begin_tail(struct search_stream *st, bool urgent, int64_t now_ms, int64_t aws_ms)
{
	begin(&st->tail, tail_start(st, now_ms), urgent, aws_ms);
	for (struct search_parent *p = st->parents; p; p = p->next)
		if (p->state == SEARCH_WAITING && p->due_ms <= now_ms)
			p->state = SEARCH_SHARED;
}

/* A net that runs when somebody begins to wait for such a listing hurries up, then comes another.
 */
static void begin_asked(struct search *s, int64_t now_ms, int64_t aws_ms)
{
	for (uint32_t i = 0; i < s->stream_count; i++) {
		struct search_stream *st = s->streams[i];

		if (!st || !st->asked || st->asked_ms > now_ms)
			continue;
		if (st->complete.running) {
			st->complete.urgent = true;
			continue;
		}
		st->asked = false;
		begin_complete(st, true, aws_ms);
	}
}

static bool turn_is_due(const struct search_stream *st, int64_t now_ms)
{
	return st->lister && st->turn_ms <= now_ms && !st->asked && !st->complete.running &&
	       !st->tail.running;
}

static void begin_turns(struct search *s, int64_t now_ms, int64_t aws_ms)
{
	for (uint32_t i = 0; i < s->stream_count; i++) {
		struct search_stream *st = s->streams[i];

		if (!st || !turn_is_due(st, now_ms))
			continue;
		search_plan_turn(s, st, now_ms);
		if (st->complete_ms <= now_ms || !*st->anchor || st->complete.pages <= 1)
			begin_complete(st, false, aws_ms);
		else
			begin_tail(st, false, now_ms, aws_ms);
	}
}

/* --- the next call --- */

static struct search_call *call_new(struct search *s, struct search_stream *st,
				    struct search_parent *p, struct search_listing *l)
{
	struct search_call *c = memory_new(sizeof(*c));

	*c = (struct search_call){ .next = s->calls, .stream = st, .parent = p, .listing = l };
	s->calls = c;
	if (l)
		l->out = true;
	else
		p->state = SEARCH_ASKED;
	return c;
}

static struct search_stream *stream_in_turn(const struct search *s, uint32_t i)
{
	return s->streams[(s->turn + i) % s->stream_count];
}

static bool wants_page(const struct search_listing *l, bool urgent, int64_t now_ms)
{
	return l->running && !l->out && l->urgent == urgent && l->not_before_ms <= now_ms;
}

static struct search_call *page_of(struct search *s, bool tail, bool urgent, int64_t now_ms)
{
	for (uint32_t i = 0; i < s->stream_count; i++) {
		struct search_stream *st = stream_in_turn(s, i);
		struct search_listing *l = !st ? NULL : tail ? &st->tail : &st->complete;

		if (l && wants_page(l, urgent, now_ms))
			return call_new(s, st, NULL, l);
	}
	return NULL;
}

static unsigned due_parents(const struct search_stream *st, int64_t now_ms)
{
	unsigned n = 0;

	for (const struct search_parent *p = st->parents; p; p = p->next)
		n += p->state == SEARCH_WAITING && p->due_ms <= now_ms;
	return n;
}

static struct search_parent *longest_due(const struct search_stream *st, int64_t now_ms)
{
	struct search_parent *found = NULL;

	for (struct search_parent *p = st->parents; p; p = p->next)
		if (p->state == SEARCH_WAITING && p->due_ms <= now_ms &&
		    (!found || p->due_ms < found->due_ms))
			found = p;
	return found;
}

/* Reading the tail is worth it where it takes fewer calls than asking for each. */
static bool worth_a_tail(const struct search *s, const struct search_stream *st, unsigned due)
{
	unsigned pages = st->tail.pages ? st->tail.pages : *st->anchor ? 1 : TAIL_PAGES_FIRST;

	return !st->unsorted && (s->no_filter || due > pages);
}

/* Where there are no tails, the complete listing has to do. */
static void search_by_listing(struct search *s, struct search_stream *st, int64_t now_ms)
{
	for (struct search_parent *p = st->parents; p; p = p->next)
		if (p->state == SEARCH_WAITING && p->due_ms <= now_ms)
			p->state = SEARCH_LAST;
	search_list(s, st->number, now_ms);
}

/* `free`: calls for children; one for a tail there always is. */
static struct search_call *next_for_children(struct search *s, unsigned free, int64_t now_ms,
					     int64_t aws_ms)
{
	unsigned total = 0;

	for (uint32_t i = 0; i < s->stream_count; i++)
		total += s->streams[i] ? due_parents(s->streams[i], now_ms) : 0;
	for (uint32_t i = 0; total > 0 && i < s->stream_count; i++) {
		struct search_stream *st = stream_in_turn(s, i);
		unsigned due = st ? due_parents(st, now_ms) : 0;

		if (due == 0)
			continue;
		if (s->no_filter && st->unsorted) {
			search_by_listing(s, st, now_ms);
		} else if ((s->no_filter || total > free) && worth_a_tail(s, st, due)) {
			st->tail.urgent = true;
			if (st->tail.running)
				continue; /* they share the one after it */
			begin_tail(st, true, now_ms, aws_ms);
			return call_new(s, st, NULL, &st->tail);
		} else if (free > 0) {
			return call_new(s, st, longest_due(st, now_ms), NULL);
		}
	}
	return NULL;
}

static unsigned kept(const struct search *s, unsigned of_all)
{
	return s->quota.calls * of_all / QUOTA_CALLS;
}

static struct search_call *choose(struct search *s, unsigned free, int64_t now_ms, int64_t aws_ms)
{
	unsigned left = free > kept(s, KEPT_TAILS) ? free - kept(s, KEPT_TAILS) : 0;
	struct search_call *c = page_of(s, true, true, now_ms);

	if (!c)
		c = next_for_children(s, left, now_ms, aws_ms);
	if (!c) /* one that just became urgent */
		c = page_of(s, true, true, now_ms);
	begin_asked(s, now_ms, aws_ms);
	if (!c && left > 0)
		c = page_of(s, false, true, now_ms);
	if (!c && free > kept(s, KEPT_NET))
		c = page_of(s, true, false, now_ms);
	if (!c && free > kept(s, KEPT_NET))
		c = page_of(s, false, false, now_ms);
	return c;
}

bool search_next(struct search *s, int64_t now_ms, int64_t aws_ms, struct search_ask *ask)
{
	unsigned free = quota_free(&s->quota, now_ms);
	struct search_call *c;

	if (s->stream_count == 0)
		return false;
	begin_turns(s, now_ms, aws_ms);
	c = free > 0 ? choose(s, free, now_ms, aws_ms) : NULL;
	if (!c)
		return false;
	c->place = quota_spend(&s->quota, now_ms);
	s->turn = (c->stream->number + 1) % s->stream_count;
	*ask = (struct search_ask){ .call = c,
				    .stream = c->stream->number,
				    .after = c->listing ? c->listing->after : "",
				    .parent = c->listing ? NULL : c->parent->id };
	return true;
}

/* --- when --- */

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t listing_wake_ms(const struct search_listing *l)
{
	return l->running && !l->out ? l->not_before_ms : INT64_MAX;
}

static int64_t stream_wake_ms(const struct search_stream *st)
{
	int64_t at = earlier(listing_wake_ms(&st->complete), listing_wake_ms(&st->tail));

	if (st->asked && !st->complete.running)
		at = earlier(at, st->asked_ms);
	if (st->lister && !st->asked && !st->complete.running && !st->tail.running)
		at = earlier(at, st->turn_ms);
	for (const struct search_parent *p = st->parents; p; p = p->next)
		if (p->state == SEARCH_WAITING)
			at = earlier(at, p->due_ms);
	return at;
}

/* What is due waits for a call, or for a tail to end, which is an answer. */
int64_t search_wake_ms(const struct search *s, int64_t now_ms)
{
	int64_t at = INT64_MAX;

	for (uint32_t i = 0; i < s->stream_count; i++)
		if (s->streams[i])
			at = earlier(at, stream_wake_ms(s->streams[i]));
	return at > now_ms ? at : quota_grows_ms(&s->quota, now_ms);
}
