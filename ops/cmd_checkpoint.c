#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/memory.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/rewind.h"
#include "sinks/sink.h"

/* Where streams stand: shown, kept under a name, set by hand. */

#define SINKS_MAX 64

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "stream", .value = "S", .help = "of this stream" },
	{ .name = "shard", .value = "ID", .help = "set: the shard" },
	{ .name = "sequence",
	  .value = "N",
	  .help = "set: the last record that counts as delivered" },
	{ .name = "sink", .value = "K", .help = "set: of this sink alone" },
	{ .name = "yes", .help = "without asking" },
	{ 0 },
};

struct sinks {
	int32_t ids[SINKS_MAX];
	char names[SINKS_MAX][STORE_NAME_MAX + 1];
	size_t count;
};

struct checkpoint {
	const struct arguments *arguments;
	const struct config *config;
	const char *name; /* of a savepoint */
	struct clock clock;
	struct sinks sinks;
	struct rewind rewind;
	struct store_place to;
	int32_t sink;
};

static void on_sink(void *arg, int32_t id, const char *name)
{
	struct sinks *s = arg;

	if (s->count == SINKS_MAX)
		return;
	s->ids[s->count] = id;
	snprintf(s->names[s->count++], sizeof(s->names[0]), "%s", name);
}

static const char *sink_name(const struct sinks *s, int32_t id)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->ids[i] == id)
			return s->names[i];
	return "?";
}

static struct store *open_reader(const struct checkpoint *k, struct error *err)
{
	return store_open_reader(k->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
}

/* --- list --- */

static void on_savepoint(void *arg, const struct store_savepoint *v)
{
	const char *stream = arg;
	char time[CLOCK_TEXT_SIZE];

	if (!stream || strcmp(stream, v->stream_name) == 0)
		printf("savepoint %s  %s  %s  generation %llu  %u places  by %s\n", v->name,
		       v->stream_name, clock_text(v->at_ms, time),
		       (unsigned long long)v->generation, v->places, v->who);
}

static void show_lane(const struct checkpoint *k, const struct replay_lane *l)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct store_position *p = &l->positions[i];
		char digits[SEQUENCE_TEXT_SIZE], time[CLOCK_TEXT_SIZE];

		printf("  %s  %s  ", l->lane.shard, sink_name(&k->sinks, p->sink));
		if (p->done)
			puts("done");
		else if (sequence_is_none(&p->sequence))
			puts("before its first record");
		else
			printf("%s  %s\n", sequence_text(&p->sequence, digits),
			       clock_text(p->event_ms, time));
	}
}

static bool show_places(struct checkpoint *k, struct store *store, struct error *err)
{
	struct operator_streams all = { .name = arguments_get(k->arguments, "stream") };
	bool ok = operator_streams(store, &all, err) && store_sinks(store, on_sink, &k->sinks, err);

	for (size_t i = 0; ok && i < all.count; i++) {
		struct replay_stream now;

		ok = replay_stream_read(store, all.rows[i].id, &now, err);
		printf("%s  generation %llu  %zu shards\n", all.name,
		       (unsigned long long)all.rows[i].generation, now.lane_count);
		for (size_t l = 0; ok && l < now.lane_count; l++)
			show_lane(k, &now.lanes[l]);
		replay_stream_release(&now);
	}
	return ok;
}

static int list(struct checkpoint *k, struct error *err)
{
	const char *stream = arguments_get(k->arguments, "stream");
	AUTO(store) struct store *store = open_reader(k, err);

	return store && (!stream || show_places(k, store, err)) &&
			       store_savepoints(store, on_savepoint, (void *)(uintptr_t)stream, err)
		       ? EXIT_DONE
		       : EXIT_FAILED;
}

/* --- savepoint, drop --- */

struct ids {
	const char *stream; /* NULL: of all */
	int64_t *ids;
	size_t count;
};

static void on_stream(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	struct ids *all = arg;

	(void)arn;
	if (all->stream && strcmp(name, all->stream) != 0)
		return;
	all->ids = memory_room(all->ids, all->count, sizeof(*all->ids));
	all->ids[all->count++] = s->id;
}

/* One that is a word of a command line, and can be told from another one. */
static bool is_name(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	return n > 0 && n <= STORE_NAME_MAX;
}

static bool keep(struct checkpoint *k, struct ids *all, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open(k->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	char who[STORE_NAME_MAX + 1];
	bool made;

	if (!store || !store_streams(store, on_stream, all, err))
		return false;
	if (all->count == 0)
		return error_set(err, ERROR_NOT_FOUND, "the store has no stream%s%s",
				 all->stream ? " " : "", all->stream ? all->stream : "");
	operator_name(who, sizeof(who));
	if (!store_savepoint_put(store, k->name, all->ids, all->count, who, clock_aws_ms(&k->clock),
				 &made, err))
		return false;
	if (!made)
		return error_set(err, ERROR_REFUSED,
				 "there is a savepoint %s already: drop it, or choose another name",
				 k->name);
	printf("savepoint %s is made: `sluice replay -c FILE --stream S --from savepoint:%s` goes "
	       "back to it\nwithin the 24 hours that a stream keeps\n",
	       k->name, k->name);
	return true;
}

static int savepoint(struct checkpoint *k, struct error *err)
{
	struct ids all = { .stream = arguments_get(k->arguments, "stream") };
	bool ok;

	if (!is_name(k->name))
		return command_usage_error(&command_checkpoint,
					   "savepoint: a name of 1 to %d bytes without blanks",
					   STORE_NAME_MAX);
	ok = keep(k, &all, err);
	free(all.ids);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

struct named {
	const char *name;
	size_t count;
};

static void on_named(void *arg, const struct store_savepoint *v)
{
	struct named *of = arg;

	if (strcmp(v->name, of->name) != 0)
		return;
	if (of->count++ == 0)
		puts("Drop for good:");
	on_savepoint(NULL, v);
}

static int drop(struct checkpoint *k, struct error *err)
{
	AUTO(store) struct store *store = open_reader(k, err);
	struct named of = { .name = k->name };
	bool dropped;

	if (!store || !store_savepoints(store, on_named, &of, err))
		return EXIT_FAILED;
	if (of.count == 0) {
		error_set(err, ERROR_NOT_FOUND, "there is no savepoint %s", k->name);
		return EXIT_FAILED;
	}
	store_close(MOVE(store)); /* an exclusive one is opened again */
	if (!operator_sure("checkpoint", "Drop it?", arguments_get(k->arguments, "yes")))
		return EXIT_USAGE;
	store = store_open(k->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	if (!store || !store_savepoint_drop(store, k->name, &dropped, err))
		return EXIT_FAILED;
	if (!dropped) {
		error_set(err, ERROR_NOT_FOUND, "there is no savepoint %s", k->name);
		return EXIT_FAILED;
	}
	printf("savepoint %s is dropped\n", k->name);
	return EXIT_DONE;
}

/* --- set --- */

static bool plan(const struct rewind *w, const struct replay_stream *now, struct replay_plan *out,
		 struct error *err)
{
	const struct checkpoint *k = w->arg;

	return replay_to_place(now, &k->to, k->sink, true, out, err);
}

static bool find_stream(struct checkpoint *k, struct store *store, struct error *err)
{
	struct operator_streams *all = &k->rewind.streams;

	all->name = arguments_get(k->arguments, "stream");
	if (!operator_streams(store, all, err))
		return false;
	k->rewind.stream = &all->rows[all->count - 1];
	return rewind_allowed(&k->rewind, err);
}

static bool show_set(struct checkpoint *k, struct store *store, struct error *err)
{
	struct replay_stream now;
	struct replay_plan p = { 0 };
	bool ok = replay_stream_read(store, k->rewind.stream->id, &now, err) &&
		  plan(&k->rewind, &now, &p, err);

	if (ok)
		printf("Set shard %s of %s to behind record %s: it is read on from there. Records "
		       "between here and\nthere are delivered again, or, where it goes forward, "
		       "never. %zu shards are set, %zu of them to their\nbeginning, as they follow "
		       "it. Its workers let go of all shards for that moment.\n",
		       k->to.shard, k->rewind.streams.name, arguments_get(k->arguments, "sequence"),
		       p.lanes, p.to_begin);
	replay_plan_release(&p);
	replay_stream_release(&now);
	return ok;
}

static int set(struct checkpoint *k, struct error *err)
{
	const char *sink = arguments_get(k->arguments, "sink");
	struct buf said = { 0 };
	AUTO(store) struct store *store = NULL;
	bool ok;

	k->to.shard = arguments_get(k->arguments, "shard");
	k->rewind.plan = plan;
	k->rewind.arg = k;
	if (!sequence_parse(&k->to.sequence, str_of(arguments_get(k->arguments, "sequence")), err))
		return EXIT_FAILED;
	store = open_reader(k, err);
	if (!store || !find_stream(k, store, err) ||
	    (sink && !operator_sink(store, sink, &k->sink, err)) || !show_set(k, store, err))
		return EXIT_FAILED;
	store_close(MOVE(store)); /* an exclusive one is opened again */
	if (!operator_sure("checkpoint", "Set it?", arguments_get(k->arguments, "yes")))
		return EXIT_USAGE;
	buf_printf(&said, "set %s to %s", k->to.shard, arguments_get(k->arguments, "sequence"));
	k->rewind.said = said.data;
	k->rewind.detail = "";
	/* Its own time is not known; the next save has one. */
	k->to.event_ms = clock_aws_ms(&k->clock);
	ok = rewind_run(&k->rewind, k->config, err);
	buf_release(&said);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

/* --- which one --- */

static const struct subcommand {
	const char *name;
	int (*run)(struct checkpoint *k, struct error *err);
	bool named;
	const char *needed[4];
} subcommands[] = {
	{ "list", list, false, { NULL } },
	{ "savepoint", savepoint, true, { NULL } },
	{ "drop", drop, true, { NULL } },
	{ "set", set, false, { "stream", "shard", "sequence", NULL } },
};

static int run_one(const struct arguments *a, const struct subcommand *s)
{
	struct error err = { 0 };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	struct checkpoint k = { .arguments = a, .config = c };
	int code = EXIT_USAGE;

	if (c) {
		if (s->named)
			k.name = a->words[1];
		clock_init(&k.clock);
		code = s->run(&k, &err);
	}
	if (!c || code == EXIT_FAILED)
		fprintf(stderr, "sluice checkpoint: %s\n", err.message);
	return code;
}

static int run(const struct arguments *a)
{
	for (size_t i = 0; a->word_count > 0 && i < sizeof(subcommands) / sizeof(*subcommands);
	     i++) {
		const struct subcommand *s = &subcommands[i];

		if (strcmp(a->words[0], s->name) != 0)
			continue;
		if (a->word_count != (s->named ? 2u : 1u))
			return command_usage_error(&command_checkpoint, "%s takes %s", s->name,
						   s->named ? "a name" : "no name");
		for (const char *const *flag = s->needed; *flag; flag++)
			if (!arguments_get(a, *flag))
				return command_usage_error(&command_checkpoint, "%s needs --%s",
							   s->name, *flag);
		return run_one(a, s);
	}
	return command_usage_error(&command_checkpoint,
				   "expected one of list, savepoint NAME, drop NAME, set");
}

const struct command command_checkpoint = {
	.name = "checkpoint",
	.usage =
		"-c FILE list [--stream S] | savepoint NAME [--stream S] | drop NAME [--yes]\n"
		"                      | set --stream S --shard ID --sequence N [--sink K] [--yes]",
	.help = "Show where streams stand, keep it under a name, or set a shard's place.",
	.more = "It works beside running workers; a sqlite store is changed only while no worker "
		"has it.",
	.words = "list savepoint drop set",
	.flags = flags,
	.run = run,
};
