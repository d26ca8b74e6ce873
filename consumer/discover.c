#include "consumer/discover.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/rng.h"

/* AWS's own adapter asks up to 10 times, 50 ms · 2^n up to 1 s (aws-semantics, 1.3). */
#define CHILD_TRIES   10
#define CHILD_BASE_MS 50
#define CHILD_MAX_MS  1000
/* The net under CHILD_SHARDS; DescribeStream is free, at 10 calls a second. */
#define LIST_EVERY_MS 30000
#define RETRY_BASE_MS 200
#define RETRY_MAX_MS  10000
/* 1,024 pages of 100: far over what a stream has; a listing without end is not followed. */
#define LISTED_MAX 102400
/* A stream that is on has shards: a listing without any is believed when it came this often. */
#define EMPTY_TRIES  5
#define LOG_EVERY_MS 30000

/* A closed shard whose children are looked for. */
struct search {
	struct discover *discover;
	struct search *next;
	struct loop_timer *timer;
	uint32_t stream;
	unsigned tries;
	bool wants_listing; /* CHILD_SHARDS gave nothing: the next full listing decides */
	bool in_listing;    /* the one that runs began after that */
	bool asking, gone;  /* a call is out; the stream was removed meanwhile */
	char parent[STREAMS_SHARD_MAX + 1];
};

struct listing {
	struct discover *discover;
	struct listing *next; /* of those that were removed while they ran */
	struct loop_timer *timer;
	uint32_t stream;
	const char *arn, *name;
	bool lister;
	bool running, gone;
	bool again;                 /* asked for while one was running */
	unsigned failures, empties; /* in a row */
	struct streams_shard *shards;
	size_t count, capacity;
	struct log_limit log;
};

struct discover {
	struct discover_settings settings;
	struct listing **listings; /* by stream; NULL: there is none */
	uint32_t stream_count;
	struct listing *removed;
	struct search *searches;
	struct rng rng;
	bool no_child_filter; /* the service does not know CHILD_SHARDS */
};

static void list_page(struct listing *l, const char *after);
static void listing_drop(struct listing *l);

static void search_free(struct search *s)
{
	struct search **at = &s->discover->searches;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	loop_timer_free(s->timer);
	free(s);
}

static void search_done(struct search *s)
{
	s->discover->settings.done(s->discover->settings.arg, s->stream, s->parent);
	search_free(s);
}

/* --- the full listing --- */

static void list_start(void *arg)
{
	struct listing *l = arg;

	if (l->running) {
		l->again = true;
		return;
	}
	l->running = true;
	l->again = false;
	l->count = 0;
	for (struct search *s = l->discover->searches; s; s = s->next)
		if (s->stream == l->stream && !s->gone)
			s->in_listing = s->wants_listing;
	list_page(l, "");
}

static void list_add(struct listing *l, const struct streams_description *d)
{
	if (d->shard_count == 0)
		return;
	if (l->count + d->shard_count > l->capacity) {
		l->capacity = 2 * (l->count + d->shard_count);
		l->shards = memory_resize(l->shards, l->capacity * sizeof(*l->shards));
	}
	memcpy(l->shards + l->count, d->shards, d->shard_count * sizeof(*l->shards));
	l->count += d->shard_count;
}

static void list_failed(struct listing *l, const struct error *err)
{
	uint64_t repeated;
	int64_t now_ms = loop_now_ms(aws_client_loop(l->discover->settings.client));

	l->running = false;
	if (err->kind == ERROR_CANCELLED)
		return;
	if (log_limit_pass(&l->log, now_ms, LOG_EVERY_MS, &repeated))
		log_warn("the shards could not be listed, it is tried again",
			 log_text("stream", l->name), log_text("error", err->message),
			 log_int("repeated", (int64_t)repeated));
	loop_timer_arm(l->timer, rng_backoff_ms(&l->discover->rng, l->failures++, RETRY_BASE_MS,
						RETRY_MAX_MS));
}

static void list_complete(struct listing *l)
{
	struct discover *d = l->discover;

	l->running = false;
	l->failures = 0;
	l->empties = l->count ? 0 : l->empties + 1;
	if (l->empties > 0 && l->empties < EMPTY_TRIES) {
		loop_timer_arm(l->timer,
			       rng_backoff_ms(&d->rng, l->empties, RETRY_BASE_MS, RETRY_MAX_MS));
		return;
	}
	d->settings.found(d->settings.arg, l->stream,
			  &(struct discover_listing){
				  .complete = true, .shards = l->shards, .count = l->count });
	for (struct search *s = d->searches, *next; s; s = next) {
		next = s->next;
		if (s->stream == l->stream && s->in_listing && !s->gone)
			search_done(s);
	}
	if (l->again)
		list_start(l);
	else if (l->lister)
		loop_timer_arm(l->timer,
			       LIST_EVERY_MS / 2 + (int64_t)rng_below(&d->rng, LIST_EVERY_MS));
}

static void on_page(void *arg, const struct error *err, const struct streams_description *d)
{
	struct listing *l = arg;

	if (l->gone) {
		listing_drop(l);
		return;
	}
	if (err->kind != ERROR_NONE) {
		list_failed(l, err);
		return;
	}
	list_add(l, d);
	if (*d->last_shard && l->count < LISTED_MAX)
		list_page(l, d->last_shard);
	else
		list_complete(l);
}

static void list_page(struct listing *l, const char *after)
{
	const struct discover_settings *s = &l->discover->settings;

	streams_describe(s->client, l->arn, after, NULL, on_page, l);
}

void discover_set_lister(struct discover *d, uint32_t stream, bool lister)
{
	d->listings[stream]->lister = lister;
	if (lister)
		list_start(d->listings[stream]);
}

void discover_list(struct discover *d, uint32_t stream)
{
	list_start(d->listings[stream]);
}

/* --- children --- */

static void search_by_listing(struct search *s)
{
	s->wants_listing = true;
	list_start(s->discover->listings[s->stream]);
}

static void on_children(void *arg, const struct error *err, const struct streams_description *d)
{
	struct search *s = arg;
	struct discover *all = s->discover;

	s->asking = false;
	if (s->gone) {
		search_free(s);
		return;
	}
	if (err->kind == ERROR_CANCELLED)
		return;
	if (err->kind == ERROR_NONE && d->shard_count > 0) {
		all->settings.found(all->settings.arg, s->stream,
				    &(struct discover_listing){ .parent = s->parent,
								.shards = d->shards,
								.count = d->shard_count });
		search_done(s);
		return;
	}
	if (err->kind == ERROR_INVALID)
		all->no_child_filter = true;
	s->tries++;
	if (all->no_child_filter || s->tries >= CHILD_TRIES ||
	    (err->kind == ERROR_NONE && d->status == STREAM_DISABLED)) {
		search_by_listing(s);
		return;
	}

	int64_t wait = (int64_t)CHILD_BASE_MS << s->tries;

	if (wait > CHILD_MAX_MS)
		wait = CHILD_MAX_MS;
	loop_timer_arm(s->timer, wait / 2 + (int64_t)rng_below(&all->rng, (uint64_t)wait));
}

static void ask_children(void *arg)
{
	struct search *s = arg;
	struct discover *d = s->discover;

	s->asking = true;
	streams_describe(d->settings.client, d->listings[s->stream]->arn, "", s->parent,
			 on_children, s);
}

void discover_children(struct discover *d, uint32_t stream, const char *parent)
{
	struct search *s = memory_new(sizeof(*s));

	s->discover = d;
	s->stream = stream;
	strncpy(s->parent, parent, sizeof(s->parent) - 1);
	s->timer = loop_timer_new(aws_client_loop(d->settings.client), ask_children, s);
	s->next = d->searches;
	d->searches = s;
	if (d->no_child_filter)
		search_by_listing(s);
	else
		ask_children(s);
}

/* --- streams --- */

static void listing_free(struct listing *l)
{
	loop_timer_free(l->timer);
	free(l->shards);
	free(l);
}

void discover_add(struct discover *d, uint32_t stream, const char *arn, const char *name)
{
	struct listing *l = memory_new(sizeof(*l));

	if (stream >= d->stream_count) {
		d->listings = memory_resize(d->listings, (stream + 1) * sizeof(*d->listings));
		for (; d->stream_count <= stream; d->stream_count++)
			d->listings[d->stream_count] = NULL;
	}
	assert(!d->listings[stream]);
	l->discover = d;
	l->stream = stream;
	l->arn = arn;
	l->name = name;
	l->timer = loop_timer_new(aws_client_loop(d->settings.client), list_start, l);
	d->listings[stream] = l;
}

/* What is out comes back to find itself alone. */
void discover_remove(struct discover *d, uint32_t stream)
{
	struct listing *l = d->listings[stream];

	for (struct search *s = d->searches, *next; s; s = next) {
		next = s->next;
		if (s->stream != stream || s->gone)
			continue;
		s->gone = true;
		if (!s->asking)
			search_free(s);
	}
	d->listings[stream] = NULL;
	if (!l->running) {
		listing_free(l);
		return;
	}
	l->gone = true;
	l->next = d->removed;
	d->removed = l;
}

static void listing_drop(struct listing *l)
{
	struct listing **at = &l->discover->removed;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	listing_free(l);
}

struct discover *discover_new(const struct discover_settings *settings)
{
	struct discover *d = memory_new(sizeof(*d));

	d->settings = *settings;
	rng_seed(&d->rng, settings->seed);
	return d;
}

void discover_free(struct discover *d)
{
	if (!d)
		return;
	for (struct search *s = d->searches, *next; s; s = next) {
		next = s->next;
		search_free(s);
	}
	for (struct listing *l = d->removed, *next; l; l = next) {
		next = l->next;
		listing_free(l);
	}
	for (uint32_t i = 0; i < d->stream_count; i++)
		if (d->listings[i])
			listing_free(d->listings[i]);
	free(d->listings);
	free(d);
}
