/* What the answer to a DescribeStream call means. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "consumer/lineage.h"
#include "consumer/search_internal.h"

/* Three times what AWS lists of ten thousand open shards that rotate; some 45 MiB. */
#define LISTED_MAX ((size_t)250000)
/* A stream that is on has shards: a listing without any is believed when it came this often. */
#define EMPTY_TRIES 5
/* CHILD_SHARDS is not known to the service where it was refused this often in a row. */
#define FILTER_TRIES 3
/* What was created this long before a listing stands in it. Where not, the next complete one has
 * it. */
#define LATE_MS 60000

static void failed(struct search *s, const struct search_stream *st, const struct error *err)
{
	s->settings.failed(s->settings.arg, st->number, err);
}

static void parent_done(struct search *s, struct search_stream *st, struct search_parent *p)
{
	char id[STREAMS_SHARD_MAX + 1];

	memcpy(id, p->id, sizeof(id));
	search_parent_free(st, p);
	s->settings.done(s->settings.arg, st->number, id);
}

/* No child of it was seen. A service that knows no filter shows it in tails. */
static void look_again(struct search *s, struct search_stream *st, struct search_parent *p,
		       bool last, int64_t now_ms)
{
	int64_t wait_ms = (int64_t)CHILD_BASE_MS << ++p->tries;

	if (last || p->tries >= CHILD_TRIES) {
		p->state = SEARCH_LAST;
		search_list(s, st->number, now_ms);
		return;
	}
	if (wait_ms > CHILD_MAX_MS)
		wait_ms = CHILD_MAX_MS;
	p->state = SEARCH_WAITING;
	p->due_ms = now_ms + wait_ms / 2 + (int64_t)rng_below(&s->rng, (uint64_t)wait_ms);
}

/* --- CHILD_SHARDS --- */

/* Those that are its children: a service that reads over the filter shows anything. */
static bool children_found(struct search *s, struct search_stream *st, struct search_parent *p,
			   const struct streams_description *d)
{
	struct streams_shard *children = memory_array(d->shard_count + 1, sizeof(*children));
	struct discover_listing l = { .parent = p->id, .shards = children };

	for (size_t i = 0; i < d->shard_count; i++)
		if (strcmp(d->shards[i].parent, p->id) == 0)
			children[l.count++] = d->shards[i];
	s->no_filter = s->no_filter || l.count < d->shard_count;
	if (l.count > 0)
		s->settings.found(s->settings.arg, st->number, &l);
	free(children);
	return l.count > 0;
}

static void on_children(struct search *s, struct search_stream *st, struct search_parent *p,
			const struct error *err, const struct streams_description *d,
			int64_t now_ms)
{
	bool last = false;

	if (err->kind == ERROR_THROTTLED) { /* the quota waits */
		p->state = SEARCH_WAITING;
		failed(s, st, err);
		return;
	}
	if (err->kind == ERROR_NONE) {
		s->filter_refusals = 0;
		last = d->status == STREAM_DISABLED && d->shard_count == 0;
		if (children_found(s, st, p, d)) {
			parent_done(s, st, p);
			return;
		}
	} else if (err->kind == ERROR_NOT_FOUND) {
		last = true; /* the complete listing tells */
	} else if (err->kind == ERROR_INVALID) {
		s->no_filter = s->no_filter || ++s->filter_refusals >= FILTER_TRIES;
	} else {
		failed(s, st, err);
	}
	look_again(s, st, p, last, now_ms);
}

/* --- listings --- */

static void listing_add(struct search_listing *l, const struct streams_description *d)
{
	if (l->count + d->shard_count > l->capacity) {
		l->capacity = 2 * (l->count + d->shard_count);
		l->shards = memory_resize(l->shards, l->capacity * sizeof(*l->shards));
	}
	if (d->shard_count > 0)
		memcpy(l->shards + l->count, d->shards, d->shard_count * sizeof(*l->shards));
	l->count += d->shard_count;
	l->pages++;
}

static void again_later(struct search *s, struct search_listing *l, int64_t now_ms)
{
	l->not_before_ms =
		now_ms + rng_backoff_ms(&s->rng, l->failures++, RETRY_BASE_MS, RETRY_MAX_MS);
}

static void from_its_start(struct search *s, struct search_listing *l, int64_t now_ms)
{
	memcpy(l->after, l->start, sizeof(l->after));
	l->count = 0;
	l->pages = 0;
	again_later(s, l, now_ms);
}

/* Where tails begin from now on: behind what was created long enough before this listing. A shard
 * that still is the last one is none, so that a tail has something to show while its start is
 * listed. */
static void anchor(struct search_stream *st, const struct search_listing *l)
{
	for (size_t i = l->count; i-- > 1;) {
		int64_t created_ms = lineage_created_ms(l->shards[i - 1].id);

		if (created_ms < 0 || created_ms > l->begun_aws_ms - LATE_MS)
			continue;
		memcpy(st->anchor, l->shards[i - 1].id, sizeof(st->anchor));
		return;
	}
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* The parents that a listing names, by id. */
static const char **parents_named(const struct search_listing *l)
{
	const char **named = memory_array(l->count + 1, sizeof(*named));

	for (size_t i = 0; i < l->count; i++)
		named[i] = l->shards[i].parent;
	qsort(named, l->count, sizeof(*named), by_text);
	return named;
}

static bool is_named(const char *const *named, size_t count, const char *id)
{
	return bsearch(&id, named, count, sizeof(*named), by_text) != NULL;
}

/* What is known without a hole reaches back to where this tail began. */
static void tail_covers(struct search_stream *st, const struct search_listing *l)
{
	if (l->count == 0 && strcmp(l->start, st->anchor) == 0) {
		*st->anchor = '\0'; /* it is not listed any more: the next one is complete */
		return;
	}
	if (*st->anchor && strcmp(l->start, st->anchor) > 0)
		return;
	if (!*st->anchor || (!st->from_start && strcmp(l->start, st->from) < 0)) {
		memcpy(st->from, l->start, sizeof(st->from));
		st->from_start = false;
	}
	anchor(st, l);
}

/* A parent that did not wait for this tail may still find its children in there. When they were
 * given nobody had asked for them: they come again. */
static void give_again(struct search *s, const struct search_stream *st,
		       const struct search_listing *l, const char *const *named)
{
	struct discover_listing all = { .shards = l->shards, .count = l->count };
	const struct search_parent *p = st->parents;

	while (p && (p->state != SEARCH_WAITING || !is_named(named, l->count, p->id)))
		p = p->next;
	if (p)
		s->settings.found(s->settings.arg, st->number, &all);
}

static void tail_end(struct search *s, struct search_stream *st, bool disabled, int64_t now_ms)
{
	struct search_listing *l = &st->tail;
	const char **named = parents_named(l);

	give_again(s, st, l, named);
	tail_covers(st, l);
	for (struct search_parent *p = st->parents, *next; p; p = next) {
		next = p->next;
		if (p->state != SEARCH_SHARED && p->state != SEARCH_WAITING)
			continue;
		if (is_named(named, l->count, p->id))
			parent_done(s, st, p);
		else if (p->state == SEARCH_SHARED)
			look_again(s, st, p, disabled, now_ms);
	}
	free(named);
	search_listing_end(l);
}

static bool is_sorted(const struct search_listing *l)
{
	for (size_t i = 1; i < l->count; i++)
		if (strcmp(l->shards[i - 1].id, l->shards[i].id) > 0)
			return false;
	return true;
}

static void complete_end(struct search *s, struct search_stream *st, enum streams_status status,
			 bool unknown, int64_t now_ms)
{
	struct search_listing *l = &st->complete;
	struct discover_listing all = {
		.complete = true, .unknown = unknown, .shards = l->shards, .count = l->count
	};

	st->empties = l->count > 0 ? 0 : st->empties + 1;
	if (l->count == 0 && (status == STREAM_ENABLING || st->empties < EMPTY_TRIES)) {
		from_its_start(s, l, now_ms);
		return;
	}
	st->unsorted = !is_sorted(l);
	st->from_start = true;
	*st->anchor = '\0';
	if (!st->unsorted)
		anchor(st, l);
	s->settings.found(s->settings.arg, st->number, &all);
	search_listing_end(l);
	for (struct search_parent *p = st->parents, *next; p; p = next) {
		next = p->next;
		if (p->state == SEARCH_LISTED)
			parent_done(s, st, p);
	}
	search_plan_complete(s, st, now_ms);
	search_plan_turn(s, st, now_ms);
}

/* Never a part for the whole: it is not told, and tried again when it may be shorter. */
static void too_many(struct search *s, struct search_stream *st, struct search_listing *l,
		     int64_t now_ms)
{
	struct error err = { 0 };

	error_set(&err, ERROR_INVALID,
		  "more than %zu shards are listed: new ones are only found by their parents",
		  LISTED_MAX);
	failed(s, st, &err);
	for (struct search_parent *p = st->parents; p; p = p->next) {
		if (p->state == SEARCH_LISTED)
			p->state = SEARCH_LAST;
		if (p->state == SEARCH_SHARED)
			p->state = SEARCH_WAITING;
	}
	if (l == &st->complete) {
		search_plan_complete(s, st, now_ms);
		search_list(s, st->number, st->complete_ms);
	}
	search_listing_end(l);
}

static void on_page(struct search *s, struct search_stream *st, struct search_listing *l,
		    const struct error *err, const struct streams_description *d, int64_t now_ms)
{
	struct discover_listing page = { 0 };
	struct error stuck = { 0 };

	/* Of a stream that AWS does not know nothing is listed: as with any empty listing, that is
	 * believed when it came often. */
	if (err->kind == ERROR_NOT_FOUND) {
		l->count = 0;
		failed(s, st, err);
		s->settings.gone(s->settings.arg, st->number);
		if (l == &st->tail)
			tail_end(s, st, true, now_ms);
		else
			complete_end(s, st, STREAM_DISABLED, true, now_ms);
		return;
	}
	if (err->kind != ERROR_NONE) {
		failed(s, st, err);
		if (err->kind != ERROR_THROTTLED)
			again_later(s, l, now_ms);
		return;
	}
	listing_add(l, d);
	page.shards = d->shards;
	page.count = d->shard_count;
	if (l == &st->tail && page.count > 0)
		s->settings.found(s->settings.arg, st->number, &page);
	if (l->count > LISTED_MAX) {
		too_many(s, st, l, now_ms);
	} else if (!*d->last_shard && l == &st->tail) {
		tail_end(s, st, d->status == STREAM_DISABLED, now_ms);
	} else if (!*d->last_shard) {
		complete_end(s, st, d->status, false, now_ms);
	} else if (strcmp(d->last_shard, l->after) == 0) {
		error_set(&stuck, ERROR_RETRY, "the page behind shard %s ends where it begins",
			  l->after);
		failed(s, st, &stuck);
		from_its_start(s, l, now_ms);
	} else {
		l->failures = 0;
		memcpy(l->after, d->last_shard, sizeof(l->after));
	}
}

void search_answer(struct search *s, struct search_call *call, const struct error *err,
		   const struct streams_description *d, int64_t now_ms)
{
	struct search_call **at = &s->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	quota_answered(&s->quota, call->place, err->kind == ERROR_THROTTLED, now_ms, &s->rng);
	if (call->listing && call->stream)
		call->listing->out = false;
	if (call->stream && err->kind != ERROR_CANCELLED) {
		if (call->parent)
			on_children(s, call->stream, call->parent, err, d, now_ms);
		else if (call->listing)
			on_page(s, call->stream, call->listing, err, d, now_ms);
	}
	free(call);
}
