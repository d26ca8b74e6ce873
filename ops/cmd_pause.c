#include <stdio.h>

#include "base/clock.h"
#include "checkpoint/store.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/operator.h"
#include "sinks/sink.h"

/* Holds a stream until `sluice resume`: its workers let go of all its shards. */

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "stream", .value = "S", .help = "the stream's name", .required = true },
	{ .name = "why", .value = "TEXT", .help = "for the audit" },
	{ .name = "yes", .help = "without asking" },
	{ 0 },
};

struct plan {
	const char *why;
	struct operator_streams streams;
	size_t paused;
};

static bool show_plan(struct store *store, struct plan *p, struct error *err)
{
	const char *name = p->streams.name;
	uint32_t all = 0;

	if (!operator_streams(store, &p->streams, err))
		return false;
	for (size_t i = 0; i < p->streams.count; i++) {
		const struct store_stream *s = &p->streams.rows[i];
		char since[CLOCK_TEXT_SIZE];
		uint32_t owned;

		if (s->hold.id != 0 && s->hold.why != STORE_HOLD_PAUSE)
			return error_set(err, ERROR_REFUSED,
					 "%s is held already, until its %s is done (since %s, by "
					 "%s): nothing of it is read, and it goes on by itself",
					 name, store_hold_why_name(s->hold.why),
					 clock_text(s->hold.since_ms, since), s->hold.who);
		p->paused += s->hold.id != 0;
		if (!store_stream_owned(store, s->id, &owned, err))
			return false;
		all += owned;
	}
	if (p->paused == p->streams.count) {
		printf("%s is paused already: nothing to do\n", name);
		return true;
	}
	printf("Pause %s: its workers deliver what is under way and let go of its shards (%u are\n"
	       "held now). Nothing of it is read until `sluice resume -c FILE --stream %s`.\n"
	       "Records leave the stream 24 hours after they were written: `sluice status` shows\n"
	       "its time to loss.\n",
	       name, all, name);
	return true;
}

static bool hold_all(const char *url, const struct plan *p, struct error *err)
{
	AUTO(store) struct store *store = store_open(url, OPERATOR_STORE_TIMEOUT_MS, err);
	struct clock clock;

	if (!store)
		return false;
	clock_init(&clock);
	for (size_t i = 0; i < p->streams.count; i++) {
		struct store_hold h = { .why = STORE_HOLD_PAUSE, .since_ms = clock_aws_ms(&clock) };
		bool done;

		operator_name(h.who, sizeof(h.who));
		snprintf(h.said, sizeof(h.said), "%s", p->why ? p->why : "");
		if (!store_stream_hold(store, p->streams.rows[i].id, 0, &h, &done, err))
			return false;
		if (!done && h.why != STORE_HOLD_PAUSE)
			return error_set(err, ERROR_REFUSED,
					 "%s is held by its %s since a moment ago: try again when "
					 "that is done",
					 p->streams.name, store_hold_why_name(h.why));
	}
	printf("%s is paused: %s\n", p->streams.name,
	       store_exclusive(store) ? "the next start of the worker reads nothing of it"
				      : "running workers let go of its shards within seconds");
	return true;
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	struct plan plan = { .why = arguments_get(a, "why"),
			     .streams.name = arguments_get(a, "stream") };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	AUTO(store) struct store *store = NULL;

	if (!c) {
		fprintf(stderr, "sluice pause: %s\n", err.message);
		return EXIT_USAGE;
	}
	store = store_open_reader(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);
	if (store && show_plan(store, &plan, &err)) {
		if (plan.paused == plan.streams.count)
			return EXIT_DONE;
		if (!operator_sure("pause", "Pause it?", arguments_get(a, "yes")))
			return EXIT_USAGE;
		if (hold_all(c->checkpoint.store, &plan, &err))
			return EXIT_DONE;
	}
	fprintf(stderr, "sluice pause: %s\n", err.message);
	return EXIT_FAILED;
}

const struct command command_pause = {
	.name = "pause",
	.usage = "-c FILE --stream S [--why TEXT] [--yes]",
	.help = "Read nothing of a stream until `sluice resume`.",
	.more = "It works beside running workers; on a sqlite store only while no worker has it.",
	.flags = flags,
	.run = run,
};
