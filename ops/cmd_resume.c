#include <stdio.h>

#include "base/clock.h"
#include "checkpoint/store.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/rewind.h"
#include "sinks/sink.h"

/* What stands still of a stream goes on: its pause ends, and its open gaps are accepted. Beside
 * running workers, or when there are none. */

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
	struct operator_streams streams;
	size_t paused, open;
	int64_t newest; /* of the gaps shown */
};

static void on_gap(void *arg, const struct store_gap *g)
{
	struct plan *p = arg;
	char after[SEQUENCE_TEXT_SIZE], from[CLOCK_TEXT_SIZE], found[CLOCK_TEXT_SIZE];

	if (g->state != STORE_GAP_OPEN)
		return;
	p->newest = g->id > p->newest ? g->id : p->newest;
	if (p->open++ == 0)
		printf("Gaps of %s: records left the stream before they were read, and are lost.\n",
		       p->streams.name);
	printf("  %s  %s  after %s %s  found %s by %s\n", *g->shard ? g->shard : "the whole stream",
	       store_gap_kind_name(g->kind),
	       sequence_is_none(&g->from) ? "its beginning" : sequence_text(&g->from, after),
	       g->from_ms ? clock_text(g->from_ms, from) : "", clock_text(g->found_ms, found),
	       g->worker);
}

/* A pause ends here, and so does a replay that was given up: its lanes are where they were, or
 * where it has put them. What else holds a stream does so for a reason that is not over. */
static bool show_holds(struct plan *p, struct error *err)
{
	char since[CLOCK_TEXT_SIZE];

	for (size_t i = 0; i < p->streams.count; i++) {
		const struct store_hold *h = &p->streams.rows[i].hold;

		if (h->id == 0)
			continue;
		if (h->why != STORE_HOLD_PAUSE && h->why != STORE_HOLD_REWIND)
			return error_set(
				err, ERROR_REFUSED,
				"%s is held until its %s is done (since %s, by %s), and goes on by "
				"itself then; to read it before would mix what is older with what "
				"is loaded. `sluice status -c FILE` shows what it waits for",
				p->streams.name, store_hold_why_name(h->why),
				clock_text(h->since_ms, since), h->who);
		if (p->paused++ == 0)
			printf("%s is %s since %s by %s%s%s: its shards are read again from "
			       "where they %s.\n",
			       p->streams.name,
			       h->why == STORE_HOLD_PAUSE ? "paused" : "held for a replay",
			       clock_text(h->since_ms, since), h->who, *h->said ? ", " : "",
			       h->said, h->why == STORE_HOLD_PAUSE ? "were" : "are now");
	}
	return true;
}

static bool show_plan(struct store *store, struct plan *p, struct error *err)
{
	if (!operator_streams(store, &p->streams, err) || !show_holds(p, err))
		return false;
	for (size_t i = 0; i < p->streams.count; i++)
		if (!store_gaps(store, p->streams.rows[i].id, on_gap, p, err))
			return false;
	if (p->open > 0)
		puts("What stands still behind them goes on at the oldest record that is left. "
		     "What "
		     "is lost\nhas to be fetched from the table.");
	else if (p->paused == 0)
		printf("%s is not paused and has no open gap: nothing to do\n", p->streams.name);
	return true;
}

static bool accept_gaps(struct store *store, const struct plan *p, int64_t now_ms,
			struct error *err)
{
	uint32_t accepted, all = 0;

	for (size_t i = 0; i < p->streams.count; i++) {
		if (!store_gaps_accept(store, p->streams.rows[i].id, p->newest, now_ms, &accepted,
				       err))
			return false;
		all += accepted;
	}
	printf("%u gaps accepted: %s\n", all,
	       store_exclusive(store) ? "reading goes on with the next start of the worker"
				      : "running workers go on within seconds");
	return true;
}

struct back {
	int64_t hold;
	bool gone;
};

static void on_audit(void *arg, const struct store_audit *a)
{
	struct back *b = arg;

	b->gone = b->gone || (a->hold == b->hold && a->what != STORE_AUDIT_HOLD);
}

/* A replay that was given up may have set its stream back already: its end will be told. */
static bool end_hold(struct store *store, const struct store_stream *s, const char *who,
		     int64_t now_ms, struct error *err)
{
	struct back b = { .hold = s->hold.why == STORE_HOLD_REWIND ? s->hold.id : -1 };
	bool ended;

	if (!store_audit(store, s->id, 1, on_audit, &b, err))
		return false;
	if (b.gone && !rewind_tell(store, s->id, s->generation, "", now_ms, err))
		return false;
	return store_stream_go_on(store, s->id, s->hold.id, who, now_ms, &ended, err);
}

static bool end_pause(struct store *store, const struct plan *p, int64_t now_ms, struct error *err)
{
	char who[STORE_NAME_MAX + 1];

	operator_name(who, sizeof(who));
	for (size_t i = 0; i < p->streams.count; i++)
		if (p->streams.rows[i].hold.id != 0 &&
		    !end_hold(store, &p->streams.rows[i], who, now_ms, err))
			return false;
	printf("%s is not paused any more: %s\n", p->streams.name,
	       store_exclusive(store) ? "reading goes on with the next start of the worker"
				      : "running workers read it again within seconds");
	return true;
}

/* The gaps first: what stands at one is then read on at once. */
static bool go_on(const char *url, const struct plan *p, struct error *err)
{
	AUTO(store) struct store *store = store_open(url, OPERATOR_STORE_TIMEOUT_MS, err);
	struct clock clock;

	if (!store)
		return false;
	clock_init(&clock);
	return (p->open == 0 || accept_gaps(store, p, clock_aws_ms(&clock), err)) &&
	       (p->paused == 0 || end_pause(store, p, clock_aws_ms(&clock), err));
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	struct plan plan = { .streams.name = arguments_get(a, "stream") };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	AUTO(store) struct store *store = NULL;

	if (!c) {
		fprintf(stderr, "sluice resume: %s\n", err.message);
		return EXIT_USAGE;
	}
	store = store_open_reader(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);
	if (store && show_plan(store, &plan, &err)) {
		if (plan.open == 0 && plan.paused == 0)
			return EXIT_DONE;
		if (!operator_sure("resume", plan.open ? "Accept the loss and go on?" : "Go on?",
				   arguments_get(a, "yes")))
			return EXIT_USAGE;
		if (go_on(c->checkpoint.store, &plan, &err))
			return EXIT_DONE;
	}
	fprintf(stderr, "sluice resume: %s\n", err.message);
	return EXIT_FAILED;
}

const struct command command_resume = {
	.name = "resume",
	.usage = "-c FILE --stream S [--yes]",
	.help = "End a stream's pause, and accept its gaps: what stands still goes on.",
	.more = "It works beside running workers; on a sqlite store only while no worker has it.",
	.flags = flags,
	.run = run,
};
