#include "consumer/discover.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memory.h"
#include "consumer/search.h"

#define LOG_EVERY_MS 30000

struct discover_stream {
	const char *arn, *name; /* NULL: not in use */
	struct log_limit log;
};

struct discover {
	struct discover_settings settings;
	struct search *search;
	struct discover_stream *streams;
	uint32_t stream_count;
	struct loop_timer *timer;
};

/* A call that is out. */
struct asked {
	struct discover *discover;
	struct search_call *call;
};

/* Of now, not of the loop's last turn: the quota counts when calls leave. */
static int64_t now(const struct discover *d)
{
	return clock_boot_ms(d->settings.clock);
}

/* What comes in the same turn of the loop is decided on together. */
static void soon(struct discover *d)
{
	loop_timer_arm(d->timer, 0);
}

static void on_answer(void *arg, const struct error *err, const struct streams_description *answer)
{
	struct asked *a = arg;
	struct discover *d = a->discover;

	search_answer(d->search, a->call, err, answer, now(d));
	free(a);
	if (err->kind != ERROR_CANCELLED)
		soon(d);
}

static void make_calls(void *arg)
{
	struct discover *d = arg;
	struct search_ask ask;
	int64_t wake_ms;

	while (search_next(d->search, now(d), clock_aws_ms(d->settings.clock), &ask)) {
		struct asked *a = memory_new(sizeof(*a));

		*a = (struct asked){ .discover = d, .call = ask.call };
		streams_describe_once(d->settings.client, d->streams[ask.stream].arn, ask.after,
				      ask.parent, on_answer, a);
	}
	wake_ms = search_wake_ms(d->search, now(d));
	loop_timer_arm(d->timer, wake_ms == INT64_MAX ? -1
				 : wake_ms > now(d)   ? wake_ms - now(d)
						      : 0);
}

static void on_failed(void *arg, uint32_t stream, const struct error *err)
{
	struct discover *d = arg;
	struct discover_stream *s = &d->streams[stream];
	uint64_t repeated;

	if (!log_limit_pass(&s->log, now(d), LOG_EVERY_MS, &repeated))
		return;
	if (error_passes(err->kind))
		log_warn("the shards could not be listed, it is tried again",
			 log_text("stream", s->name), log_text("error", err->message),
			 log_int("repeated", (int64_t)repeated));
	else
		log_error("the shards cannot be listed, it is tried again",
			  log_text("stream", s->name), log_text("error", err->message),
			  log_int("repeated", (int64_t)repeated));
}

static void on_found(void *arg, uint32_t stream, const struct discover_listing *listing)
{
	const struct discover_settings *s = &((struct discover *)arg)->settings;

	s->found(s->arg, stream, listing);
}

static void on_gone(void *arg, uint32_t stream)
{
	const struct discover_settings *s = &((struct discover *)arg)->settings;

	s->gone(s->arg, stream);
}

static void on_done(void *arg, uint32_t stream, const char *parent)
{
	const struct discover_settings *s = &((struct discover *)arg)->settings;

	s->done(s->arg, stream, parent);
}

void discover_add(struct discover *d, uint32_t stream, const char *arn, const char *name)
{
	if (stream >= d->stream_count) {
		d->streams = memory_resize(d->streams, (stream + 1) * sizeof(*d->streams));
		d->stream_count = stream + 1;
	}
	d->streams[stream] = (struct discover_stream){ .arn = arn, .name = name };
	search_add(d->search, stream);
}

void discover_remove(struct discover *d, uint32_t stream)
{
	search_remove(d->search, stream);
}

void discover_set_lister(struct discover *d, uint32_t stream, bool lister)
{
	search_set_lister(d->search, stream, lister, now(d));
	soon(d);
}

void discover_list(struct discover *d, uint32_t stream)
{
	discover_list_in(d, stream, 0);
}

void discover_list_in(struct discover *d, uint32_t stream, int64_t delay_ms)
{
	search_list(d->search, stream, now(d) + delay_ms);
	soon(d);
}

void discover_children(struct discover *d, uint32_t stream, const char *parent)
{
	search_children(d->search, stream, parent, now(d));
	soon(d);
}

struct discover *discover_new(const struct discover_settings *settings)
{
	struct discover *d = memory_new(sizeof(*d));
	struct search_settings s = { .found = on_found,
				     .done = on_done,
				     .gone = on_gone,
				     .failed = on_failed,
				     .arg = d,
				     .seed = settings->seed };

	d->settings = *settings;
	d->search = search_new(&s);
	d->timer = loop_timer_new(aws_client_loop(settings->client), make_calls, d);
	return d;
}

void discover_free(struct discover *d)
{
	if (!d)
		return;
	search_free(d->search);
	loop_timer_free(d->timer);
	free(d->streams);
	free(d);
}
