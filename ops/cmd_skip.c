#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "checkpoint/letters.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/operator.h"
#include "sinks/sink.h"

/* Sends one record that blocks its shard to the dead letters. The stream's workers hear of it as
 * they open the stream, so that it is held and goes on at once: they let go of its shards, and take
 * them again. */

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "stream", .value = "S", .help = "the stream's name", .required = true },
	{ .name = "shard", .value = "ID", .help = "the shard, as in `status`", .required = true },
	{ .name = "sequence",
	  .value = "N",
	  .help = "the record's sequence number, as the log has it",
	  .required = true },
	{ .name = "yes", .help = "without asking" },
	{ 0 },
};

struct plan {
	const char *shard;
	struct sequence sequence;
	struct operator_streams streams;
	/* Where the shard is found. */
	const struct store_stream *stream;
	struct store_lane lane;
	size_t sinks, behind;  /* behind: those that may still get the record */
	struct sequence least; /* where the last of these is */
};

static void on_lane(void *arg, const struct store_lane *l)
{
	struct plan *p = arg;

	if (strcmp(l->shard, p->shard) == 0)
		p->lane = *l;
}

static void on_position(void *arg, const struct store_position *at)
{
	struct plan *p = arg;

	if (p->lane.id == 0 || at->lane != p->lane.id)
		return;
	p->sinks++;
	if (at->done || sequence_compare(&at->sequence, &p->sequence) >= 0)
		return;
	if (p->behind++ == 0 || sequence_compare(&at->sequence, &p->least) < 0)
		p->least = at->sequence;
}

static bool find(struct store *store, struct plan *p, struct error *err)
{
	char sequence[SEQUENCE_TEXT_SIZE];

	if (!operator_streams(store, &p->streams, err))
		return false;
	for (size_t i = 0; i < p->streams.count && p->lane.id == 0; i++) {
		p->stream = &p->streams.rows[i];
		if (!store_lanes_list(store, p->stream->id, on_lane, on_position, p, err))
			return false;
	}
	if (p->lane.id == 0)
		return error_set(err, ERROR_NOT_FOUND,
				 "%s has no shard %s; `sluice status` lists them", p->streams.name,
				 p->shard);
	if (p->behind == 0)
		return error_set(err, ERROR_REFUSED,
				 "every sink of %s is past record %s of that shard already",
				 p->streams.name, sequence_text(&p->sequence, sequence));
	return true;
}

static void show(const struct plan *p)
{
	char least[SEQUENCE_TEXT_SIZE], sequence[SEQUENCE_TEXT_SIZE];

	printf("Skip record %s of %s, %s: it goes to the dead letters, and not to the sinks that "
	       "do\n"
	       "not have it yet, %zu of %zu. They have what is before it, up to %s.\n",
	       sequence_text(&p->sequence, sequence), p->streams.name, p->shard, p->behind,
	       p->sinks, sequence_is_none(&p->least) ? "nothing" : sequence_text(&p->least, least));
	if (p->stream->hold.id != 0)
		printf("%s is held now: it is skipped once it goes on.\n", p->streams.name);
	else
		puts("Workers let go of the stream's shards, and take them again within seconds.");
}

/* It is in the audit as a pause that ended at once. */
static bool reopen(struct store *store, const struct plan *p, const struct store_skip *skip,
		   struct error *err)
{
	struct store_hold h = { .why = STORE_HOLD_PAUSE, .since_ms = skip->at_ms };
	char sequence[SEQUENCE_TEXT_SIZE];
	bool done, ended;

	snprintf(h.who, sizeof(h.who), "%s", skip->who);
	snprintf(h.said, sizeof(h.said), "skip %s of %s", sequence_text(&skip->sequence, sequence),
		 skip->shard);
	if (!store_stream_hold(store, p->stream->id, 0, &h, &done, err))
		return false;
	/* Held by someone else since a moment ago: that ends with the same. */
	return !done ||
	       store_stream_go_on(store, p->stream->id, h.id, h.who, skip->at_ms, &ended, err);
}

static bool skip(const char *url, const struct plan *p, struct error *err)
{
	AUTO(store) struct store *store = store_open(url, OPERATOR_STORE_TIMEOUT_MS, err);
	struct store_skip k = { .sequence = p->sequence };
	struct clock clock;

	if (!store)
		return false;
	clock_init(&clock);
	k.at_ms = clock_aws_ms(&clock);
	snprintf(k.shard, sizeof(k.shard), "%s", p->shard);
	operator_name(k.who, sizeof(k.who));
	if (!store_skip_put(store, p->stream->id, &k, err) ||
	    (p->stream->hold.id == 0 && !reopen(store, p, &k, err)))
		return false;
	printf("The record is skipped: %s\n",
	       store_exclusive(store) ? "with the next start of the worker"
				      : "running workers come to it within seconds");
	return true;
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	struct plan p = { .streams.name = arguments_get(a, "stream"),
			  .shard = arguments_get(a, "shard") };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	AUTO(store) struct store *store = NULL;

	if (!c) {
		fprintf(stderr, "sluice skip: %s\n", err.message);
		return EXIT_USAGE;
	}
	if (!sequence_parse(&p.sequence, str_of(arguments_get(a, "sequence")), &err) ||
	    sequence_is_none(&p.sequence))
		return command_usage_error(&command_skip,
					   "--sequence: the record's number, up to 40 digits");
	store = store_open_reader(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);
	if (store && find(store, &p, &err)) {
		show(&p);
		if (!operator_sure("skip", "Skip it?", arguments_get(a, "yes")))
			return EXIT_USAGE;
		if (skip(c->checkpoint.store, &p, &err))
			return EXIT_DONE;
	}
	fprintf(stderr, "sluice skip: %s\n", err.message);
	return EXIT_FAILED;
}

const struct command command_skip = {
	.name = "skip",
	.usage = "-c FILE --stream S --shard ID --sequence N [--yes]",
	.help = "Send one record that blocks its shard to the dead letters.",
	.more = "It works beside running workers; on a sqlite store only while no worker has it.",
	.flags = flags,
	.run = run,
};
