#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "checkpoint/store.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "sinks/sink.h"

/* Accepts the open gaps of a stream: what stands still behind them goes on. Beside running workers,
 * or when there are none. */

#define STORE_TIMEOUT_MS 10000
#define STREAMS_MAX      64 /* a stream's name may have had several ARNs */

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "stream", .value = "S", .help = "the stream's name", .required = true },
	{ .name = "yes", .help = "without asking" },
	{ 0 },
};

struct plan {
	const char *name;
	int64_t streams[STREAMS_MAX];
	size_t stream_count, open;
	int64_t newest; /* of the gaps shown */
};

static void on_stream(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	struct plan *p = arg;

	(void)arn;
	if (strcmp(name, p->name) == 0 && p->stream_count < STREAMS_MAX)
		p->streams[p->stream_count++] = s->id;
}

static void on_gap(void *arg, const struct store_gap *g)
{
	struct plan *p = arg;
	char after[SEQUENCE_TEXT_SIZE], from[CLOCK_TEXT_SIZE], found[CLOCK_TEXT_SIZE];

	if (g->state != STORE_GAP_OPEN)
		return;
	p->newest = g->id > p->newest ? g->id : p->newest;
	if (p->open++ == 0)
		printf("Gaps of %s: records left the stream before they were read, and are lost.\n",
		       p->name);
	printf("  %s  %s  after %s %s  found %s by %s\n", *g->shard ? g->shard : "the whole stream",
	       store_gap_kind_name(g->kind),
	       sequence_is_none(&g->from) ? "its beginning" : sequence_text(&g->from, after),
	       g->from_ms ? clock_text(g->from_ms, from) : "", clock_text(g->found_ms, found),
	       g->worker);
}

static bool show_plan(struct store *store, struct plan *p, struct error *err)
{
	if (!store_streams(store, on_stream, p, err))
		return false;
	if (p->stream_count == 0)
		return error_set(err, ERROR_NOT_FOUND,
				 "the store has no stream %s; `sluice status` lists them", p->name);
	for (size_t i = 0; i < p->stream_count; i++)
		if (!store_gaps(store, p->streams[i], on_gap, p, err))
			return false;
	if (p->open > 0)
		puts("What stands still behind them goes on at the oldest record that is left. "
		     "What "
		     "is lost\nhas to be fetched from the table.");
	else
		printf("%s has no open gap: nothing to do\n", p->name);
	return true;
}

static bool sure(const struct arguments *a)
{
	char answer[8] = "";

	if (arguments_get(a, "yes"))
		return true;
	fflush(stdout);
	if (!isatty(STDIN_FILENO)) {
		fputs("sluice resume: without a terminal it needs --yes\n", stderr);
		return false;
	}
	fputs("Accept the loss and go on? [y/N] ", stdout);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static bool accept_all(const char *url, const struct plan *p, struct error *err)
{
	AUTO(store) struct store *store = store_open(url, STORE_TIMEOUT_MS, err);
	struct clock clock;
	uint32_t accepted, all = 0;

	if (!store)
		return false;
	clock_init(&clock);
	for (size_t i = 0; i < p->stream_count; i++) {
		if (!store_gaps_accept(store, p->streams[i], p->newest, clock_aws_ms(&clock),
				       &accepted, err))
			return false;
		all += accepted;
	}
	printf("%u gaps accepted: %s\n", all,
	       store_exclusive(store) ? "reading goes on with the next start of the worker"
				      : "running workers go on within seconds");
	return true;
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	struct plan plan = { .name = arguments_get(a, "stream") };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	AUTO(store) struct store *store = NULL;

	if (!c) {
		fprintf(stderr, "sluice resume: %s\n", err.message);
		return EXIT_USAGE;
	}
	store = store_open_reader(c->checkpoint.store, STORE_TIMEOUT_MS, &err);
	if (store && show_plan(store, &plan, &err)) {
		if (plan.open == 0)
			return EXIT_DONE;
		if (!sure(a))
			return EXIT_USAGE;
		if (accept_all(c->checkpoint.store, &plan, &err))
			return EXIT_DONE;
	}
	fprintf(stderr, "sluice resume: %s\n", err.message);
	return EXIT_FAILED;
}

const struct command command_resume = {
	.name = "resume",
	.usage = "-c FILE --stream S [--yes]",
	.help = "Accept a stream's gaps: what stands still behind them goes on.",
	.more = "It works beside running workers; on a sqlite store only while no worker has it.",
	.flags = flags,
	.run = run,
};
