#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "consumer/joining.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/operator.h"
#include "ops/status.h"
#include "sinks/sink.h"

/* What the store knows: it works beside running workers, and when there are none. */

#define WATCH_MS 2000
/* Of those that are over; the newest. */
#define CLOSED_GAPS_SHOWN 5

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "json", .help = "one JSON object" },
	{ .name = "watch", .help = "again every two seconds" },
	{ 0 },
};

static size_t open_lanes(const struct status_stream *s)
{
	size_t open = 0;

	for (size_t i = 0; i < s->lane_count; i++)
		open += !s->lanes[i].done;
	return open;
}

static void print_gap(const struct store_gap *g)
{
	char after[SEQUENCE_TEXT_SIZE], until[SEQUENCE_TEXT_SIZE];
	char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE], found[CLOCK_TEXT_SIZE];

	printf("  gap    %s  %s  %s%s%s  after %s %s  until %s %s  found %s by %s\n",
	       *g->shard ? g->shard : "the whole stream", store_gap_kind_name(g->kind),
	       store_gap_state_name(g->state), g->how ? " by " : "", store_gap_how_name(g->how),
	       sequence_is_none(&g->from) ? "its beginning" : sequence_text(&g->from, after),
	       g->from_ms ? clock_text(g->from_ms, from) : "",
	       sequence_is_none(&g->to) ? "not known yet" : sequence_text(&g->to, until),
	       g->to_ms > 0 ? clock_text(g->to_ms, to) : "", clock_text(g->found_ms, found),
	       g->worker);
	if (g->how == STORE_GAP_REPAIR)
		printf("         repaired from exports; not given back: changes before an item's "
		       "last "
		       "one%s%s\n",
		       g->from_ms ? ", and some deletes of short-lived items until " : "",
		       g->from_ms ? clock_text(g->from_ms + JOINING_MISSES_MS, to) : "");
}

static void print_gaps(const struct status_stream *s)
{
	size_t closed = 0, open = 0;

	for (size_t i = 0; i < s->gap_count; i++) {
		closed += s->gaps[i].state == STORE_GAP_CLOSED;
		open += s->gaps[i].state == STORE_GAP_OPEN;
	}
	for (size_t i = 0; i < s->gap_count; i++)
		if (s->gaps[i].state != STORE_GAP_CLOSED || closed-- <= CLOSED_GAPS_SHOWN)
			print_gap(&s->gaps[i]);
	if (open > 0)
		printf("         %zu gaps are open: what is behind them stands still until `sluice "
		       "resume -c FILE --stream %s`\n",
		       open, s->name);
}

static void print_hold(const struct status_stream *s)
{
	const struct store_hold *h = &s->stream.hold;
	char since[CLOCK_TEXT_SIZE];

	if (h->id == 0)
		return;
	printf("  held   %s  since %s by %s%s%s: nothing of it is read, %zu shards are still to be "
	       "let go of\n",
	       store_hold_why_name(h->why), clock_text(h->since_ms, since), h->who,
	       *h->said ? ", " : "", h->said, status_owned(s));
	if (h->why == STORE_HOLD_PAUSE)
		printf("         until `sluice resume -c FILE --stream %s`\n", s->name);
}

static void print_audit(const struct status_stream *s)
{
	char at[CLOCK_TEXT_SIZE], from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];

	for (size_t i = 0; i < s->audit_count; i++) {
		const struct store_audit *a = &s->audit[i].audit;

		printf("  audit  %s  %s for %s  by %s%s%s", clock_text(a->at_ms, at),
		       store_audit_what_name(a->what), store_hold_why_name(a->why), s->audit[i].who,
		       *s->audit[i].said ? ", " : "", s->audit[i].said);
		if (a->what == STORE_AUDIT_RESET || a->what == STORE_AUDIT_REWIND)
			printf("  from %s to %s, generation %" PRIu64 " to %" PRIu64,
			       a->from_ms > 0 ? clock_text(a->from_ms, from) : "its beginning",
			       a->to_ms > 0 ? clock_text(a->to_ms, to) : "its oldest record",
			       a->from_generation, a->to_generation);
		puts("");
	}
	for (size_t i = 0; i < s->retry_count; i++) {
		const struct status_retry *r = &s->retries[i];

		printf("  audit  %s  retry of %" PRIu64 " dead letters  by %s, %s\n",
		       clock_text(r->audit.at_ms, at), r->audit.letters, r->who, r->said);
	}
}

static void print_exports(const struct status *t)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < t->exports.count; i++) {
		buf_clear(&text);
		exports_text(&t->exports.rows[i], t->exports.lacks[i], t->now_ms, &text);
		puts(text.data);
	}
	buf_release(&text);
}

static void print_text(const struct status *t)
{
	char time[CLOCK_TEXT_SIZE], sequence[SEQUENCE_TEXT_SIZE];

	printf("store    %s\n", store_describe(t->store));
	for (size_t i = 0; i < t->session_count; i++)
		printf("worker   %s  %s  %s  beat %" PRId64 "\n", t->sessions[i].worker,
		       t->sessions[i].state == SESSION_LIVE ? "live" : "dead", t->sessions[i].id,
		       t->sessions[i].beat);
	for (size_t i = 0; i < t->stream_count; i++) {
		const struct status_stream *s = &t->streams[i];
		int64_t oldest = status_oldest_ms(s), left = status_left_ms(s, t->now_ms);

		printf("stream   %s  generation %" PRIu64
		       "  shards %zu open, %zu done  last event %s  time to loss at least "
		       "%" PRId64 "h%02dm\n",
		       s->name, s->stream.generation, open_lanes(s), s->lane_count - open_lanes(s),
		       oldest ? clock_text(oldest, time) : "none yet", left / 3600000,
		       (int)(left / 60000 % 60));
		printf("         %s\n", s->arn);
		print_hold(s);
		print_gaps(s);
		print_audit(s);
		for (size_t n = 0; n < s->lane_count; n++) {
			const struct status_lane *l = &s->lanes[n];

			printf("  shard  %s  %-4s  at %s  %s\n", l->lane.shard,
			       status_lane_state(l),
			       sequence_is_none(&l->sequence)
				       ? "its beginning"
				       : sequence_text(&l->sequence, sequence),
			       l->event_ms ? clock_text(l->event_ms, time) : "");
		}
	}
	print_exports(t);
	printf("dead letters %" PRIu64 "\n", t->letters);
}

static bool show(const struct arguments *a, const struct config *config, struct store *store,
		 struct error *err)
{
	struct status t;
	struct buf json = { 0 };
	bool ok = status_collect(&t, config, store, err);

	if (ok && arguments_get(a, "json")) {
		status_json(&t, &json);
		puts(json.data);
	} else if (ok) {
		print_text(&t);
	}
	fflush(stdout);
	buf_release(&json);
	status_release(&t);
	return ok;
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	AUTO(store) struct store *store = NULL;

	if (!c) {
		fprintf(stderr, "sluice status: %s\n", err.message);
		return EXIT_USAGE;
	}
	store = store_open_reader(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);
	while (store && show(a, c, store, &err)) {
		if (!arguments_get(a, "watch"))
			return EXIT_DONE;
		nanosleep(&(struct timespec){ .tv_sec = WATCH_MS / 1000 }, NULL);
	}
	fprintf(stderr, "sluice status: %s\n", err.message);
	return EXIT_FAILED;
}

const struct command command_status = {
	.name = "status",
	.usage = "-c FILE [--json|--watch]",
	.help = "Streams, shards and where they are, gaps, exports, workers, dead letters: out of "
		"the store.",
	.flags = flags,
	.run = run,
};
