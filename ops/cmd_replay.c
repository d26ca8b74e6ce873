#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "consumer/loss.h"
#include "ops/arguments.h"
#include "ops/aws_time.h"
#include "ops/command.h"
#include "ops/replay_exports.h"
#include "ops/replay_find.h"
#include "ops/rewind.h"
#include "ops/side_run.h"
#include "sinks/sink.h"

/* A stream, or one sink of it, goes back: beside running workers, or when there are none. With
 * --into it stays where it is, and is read once more. */

#define STREAM_KEEPS_MS (24LL * 60 * 60 * 1000) /* DynamoDB */

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "stream", .value = "S", .help = "the stream's name", .required = true },
	{ .name = "from",
	  .value = "WHERE",
	  .help = "oldest, a time, -2h, SEQUENCE@SHARD, savepoint:NAME" },
	{ .name = "sink", .value = "K", .help = "this sink alone: from a savepoint or a record" },
	{ .name = "into",
	  .value = "SINK",
	  .help = "a sink that the stream does not have: it is read aside, by this command" },
	{ .name = "to", .value = "TIME", .help = "with --into: up to then; now (default)" },
	{ .name = "drop", .help = "with --into: end what was begun into it and is not done" },
	{ .name = "dry-run", .help = "show the plan, change nothing" },
	{ .name = "yes", .help = "without asking" },
	{ 0 },
};

enum from { FROM_TIME, FROM_SAVEPOINT, FROM_RECORD };

struct replay {
	const struct arguments *arguments;
	const struct config *config;
	struct rewind rewind;
	enum from from;
	const char *savepoint, *sink_name, *into;
	char shard[STORE_SHARD_SIZE];
	struct sequence record;
	int32_t sink;
	struct clock clock;
	int64_t start_ms, now_ms;
	/* Of a savepoint. */
	struct store_place *kept;
	size_t kept_count;
	int64_t kept_ms;
	struct store_place before; /* of a record */
	struct side_run side;      /* with --into */
	bool beyond;               /* what the stream keeps: a time that exports go back to */
	struct replay_exports exports;
};

/* --- what was said --- */

static bool parse_record(struct replay *r, const char *text, struct error *err)
{
	const char *at = strchr(text, '@');

	r->from = FROM_RECORD;
	if (strlen(at + 1) == 0 || strlen(at + 1) >= sizeof(r->shard))
		return error_set(err, ERROR_INVALID, "not a shard: %s", at + 1);
	snprintf(r->shard, sizeof(r->shard), "%s", at + 1);
	return sequence_parse(&r->record, (struct str){ text, (size_t)(at - text) }, err);
}

static bool parse_time(struct replay *r, const char *text, struct error *err)
{
	enum config_start kind;

	r->from = FROM_TIME;
	if (!config_start_parse(text, r->now_ms, &kind, &r->start_ms, err))
		return error_set(err, ERROR_INVALID,
				 "expected oldest, a time such as 2026-11-21T10:00:00Z, a duration "
				 "back such as -2h, SEQUENCE@SHARD or savepoint:NAME, not '%.60s'",
				 text);
	if (kind == START_LATEST)
		return error_set(err, ERROR_INVALID, "latest is where it is");
	if (kind == START_OLDEST)
		r->start_ms = 0;
	return true;
}

static bool parse_from(struct replay *r, struct error *err)
{
	static const char savepoint[] = "savepoint:";
	const char *text = arguments_get(r->arguments, "from");

	if (strncmp(text, savepoint, strlen(savepoint)) == 0) {
		r->from = FROM_SAVEPOINT;
		r->savepoint = text + strlen(savepoint);
		return true;
	}
	return strchr(text, '@') ? parse_record(r, text, err) : parse_time(r, text, err);
}

static bool parse_to(struct replay *r, struct error *err)
{
	const char *text = arguments_get(r->arguments, "to");
	enum config_start kind = START_TIME;
	int64_t until_ms = r->now_ms;

	if (text &&
	    (!config_start_parse(text, r->now_ms, &kind, &until_ms, err) || kind != START_TIME))
		return error_set(err, ERROR_INVALID,
				 "expected a time such as 2026-11-21T10:00:00Z or a duration back "
				 "such as -2h, not '%.60s'",
				 text);
	r->side.to = text;
	r->side.until_ms = until_ms;
	return true;
}

/* By the clock as it is: a time of -2h is another one once AWS has told its own. */
static bool parse_times(struct replay *r, struct error *err)
{
	r->now_ms = clock_aws_ms(&r->clock);
	if (!parse_from(r, err))
		return error_wrap(err, "--from");
	return !r->into || parse_to(r, err) || error_wrap(err, "--to");
}

static bool has_sink(const struct replay *r, struct error *err)
{
	return r->side.sink || error_set(err, ERROR_INVALID,
					 "--into: the configuration has no sink '%.100s'", r->into);
}

static bool parse_into(struct replay *r, struct error *err)
{
	r->side.config = r->config;
	r->side.into = r->into;
	r->side.from = arguments_get(r->arguments, "from");
	r->side.sink = side_run_sink(r->config, r->into);
	if (!has_sink(r, err))
		return false;
	return !r->sink_name || r->from == FROM_SAVEPOINT ||
	       error_set(err, ERROR_INVALID,
			 "--sink with --into says whose place of a savepoint it is");
}

static bool parse(struct replay *r, struct error *err)
{
	clock_init(&r->clock);
	r->sink_name = arguments_get(r->arguments, "sink");
	r->into = arguments_get(r->arguments, "into");
	if (!parse_times(r, err))
		return false;
	if (r->into)
		return parse_into(r, err);
	if (arguments_get(r->arguments, "to"))
		return error_set(err, ERROR_INVALID,
				 "--to goes with --into: a stream that goes back is read on from "
				 "there");
	return r->from != FROM_TIME || !r->sink_name ||
	       error_set(err, ERROR_INVALID,
			 "--sink goes with a savepoint or a record; a time is the whole stream's, "
			 "or goes --into another sink");
}

/* Now that AWS's time is known. */
static bool judge_times(struct replay *r, struct error *err)
{
	if (!parse_times(r, err))
		return false;
	r->side.now_ms = r->now_ms;
	r->side.start_ms = r->start_ms;
	if (r->side.until_ms > r->now_ms)
		return error_set(err, ERROR_INVALID,
				 "--to: it is in the future: what is read for good is a sink of "
				 "the stream");
	return r->side.until_ms > r->start_ms ||
	       error_set(err, ERROR_INVALID, "--to: it is not behind --from");
}

/* --- where it goes --- */

static void on_savepoint(void *arg, const struct store_savepoint *v)
{
	struct replay *r = arg;

	if (strcmp(v->name, r->savepoint) == 0 && v->stream == r->rewind.stream->id)
		r->kept_ms = v->at_ms;
}

static void on_place(void *arg, const struct store_place *p)
{
	struct replay *r = arg;

	r->kept = memory_room(r->kept, r->kept_count, sizeof(*r->kept));
	r->kept[r->kept_count] = *p;
	r->kept[r->kept_count++].shard = memory_text(p->shard);
}

static bool is_too_old(const struct replay *r, int64_t ms)
{
	return ms > 0 && r->now_ms - ms >= STREAM_KEEPS_MS;
}

/* Places are in the stream, and a side run reads that alone. */
static bool too_old(const struct replay *r, int64_t ms, struct error *err)
{
	char time[CLOCK_TEXT_SIZE];

	clock_text(ms, time);
	if (r->into)
		return error_set(
			err, ERROR_REFUSED,
			"a stream keeps 24 hours, and %s is longer ago: what is left begins with "
			"--from oldest. What the items of the table became since then, exports "
			"bring: `sluice export -c FILE incremental` makes them as `exports` has "
			"it, `sluice export -c FILE load --from URL --table T --into %s` loads "
			"one window after the other",
			time, r->into);
	return error_set(
		err, ERROR_REFUSED,
		"a stream keeps 24 hours, and the savepoint is older: --from %s brings with "
		"exports what items became since then, --from oldest what is left of the stream",
		time);
}

/* Of the whole stream, exports bring it. */
static bool look_time(struct replay *r, struct store *store, struct error *err)
{
	r->exports = (struct replay_exports){ .config = r->config,
					      .streams = &r->rewind.streams,
					      .stream = r->rewind.stream,
					      .from = arguments_get(r->arguments, "from"),
					      .from_ms = r->start_ms,
					      .now_ms = r->now_ms };
	r->beyond = is_too_old(r, r->start_ms);
	if (!r->beyond)
		return true;
	return r->into ? too_old(r, r->start_ms, err)
		       : replay_exports_look(&r->exports, store, err);
}

static bool plan(const struct rewind *w, const struct replay_stream *now, struct replay_plan *out,
		 struct error *err)
{
	const struct replay *r = w->arg;

	if (r->from == FROM_SAVEPOINT)
		return replay_to_savepoint(now, r->kept, r->kept_count, r->sink, out, err);
	return replay_to_place(now, &r->before, r->sink, false, out, err);
}

static bool look_savepoint(struct replay *r, struct store *store, struct error *err)
{
	if (!store_savepoints(store, on_savepoint, r, err) ||
	    !store_savepoint_places(store, r->savepoint, r->rewind.stream->id, on_place, r, err))
		return false;
	if (r->kept_ms == 0)
		return error_set(err, ERROR_NOT_FOUND,
				 "there is no savepoint %s of %s; `sluice checkpoint -c FILE list` "
				 "shows them",
				 r->savepoint, r->rewind.streams.name);
	r->rewind.read_at_ms = loss_set_back_ms(r->kept_ms);
	return !is_too_old(r, r->kept_ms) || too_old(r, r->kept_ms, err);
}

/* Whoever comes a day after it lacks it: of a shard that begins with it AWS would not say so. */
static bool look_record(struct replay *r, struct error *err)
{
	int64_t record_ms;

	if (!replay_find(r->config, r->rewind.streams.arn, r->shard, &r->record, &r->before,
			 &record_ms, err))
		return false;
	r->rewind.read_at_ms = loss_set_back_ms(record_ms);
	return true;
}

/* The table's stream now; one that was turned off meanwhile is not read again. */
static bool find_stream(struct replay *r, struct store *store, struct error *err)
{
	struct operator_streams *all = &r->rewind.streams;

	all->name = arguments_get(r->arguments, "stream");
	if (!operator_streams(store, all, err))
		return false;
	r->rewind.stream = &all->rows[all->count - 1];
	return true;
}

static bool look(struct replay *r, struct store *store, struct error *err)
{
	if (!r->into && !rewind_allowed(&r->rewind, err))
		return false;
	if (r->sink_name && !operator_sink(store, r->sink_name, &r->sink, err))
		return false;
	switch (r->from) {
	case FROM_SAVEPOINT:
		r->rewind.plan = plan;
		return look_savepoint(r, store, err);
	case FROM_RECORD:
		r->rewind.plan = plan;
		return look_record(r, err);
	default:
		return look_time(r, store, err);
	}
}

/* --- the plan --- */

static bool show_places(struct replay *r, const struct replay_stream *now, struct error *err)
{
	struct replay_plan p;
	char time[CLOCK_TEXT_SIZE];
	bool ok = plan(&r->rewind, now, &p, err);

	if (ok) {
		printf("  %zu of %zu shards go back, %zu of them to their beginning", p.lanes,
		       now->lane_count, p.to_begin);
		if (p.oldest_ms > 0)
			printf(", the others at the furthest to %s", clock_text(p.oldest_ms, time));
		puts("");
	}
	replay_plan_release(&p);
	return ok;
}

static bool show(struct replay *r, struct store *store, struct error *err)
{
	const struct store_stream *s = r->rewind.stream;
	struct replay_stream now;
	char time[CLOCK_TEXT_SIZE];
	bool ok = replay_stream_read(store, s->id, &now, err);

	if (ok) {
		printf("Replay %s%s%s from %s:\n", r->rewind.streams.name,
		       r->sink_name ? " into " : "", r->sink_name ? r->sink_name : "",
		       arguments_get(r->arguments, "from"));
		if (r->from == FROM_TIME)
			printf("  all shards that AWS lists are read again, from %s\n",
			       r->start_ms ? clock_text(r->start_ms, time)
					   : "their oldest records");
		else
			ok = show_places(r, &now, err);
	}
	if (ok)
		printf("Its workers deliver what is under way and let go of its shards; then it "
		       "is read again as\ngeneration %llu. Consumers see older states once more, "
		       "then the newest: the highest\n(generation, sequence) of a key is right.\n",
		       (unsigned long long)s->generation + 1);
	if (ok && s->hold.id != 0)
		printf("It is held since %s by %s (%s): that ends.\n",
		       clock_text(s->hold.since_ms, time), s->hold.who,
		       store_hold_why_name(s->hold.why));
	replay_stream_release(&now);
	return ok;
}

static bool go_back(struct replay *r, struct error *err)
{
	const char *from = arguments_get(r->arguments, "from");
	struct buf said = { 0 }, detail = { 0 };
	bool ok;

	buf_printf(&said, "from %s%s%s", from, r->sink_name ? " into " : "",
		   r->sink_name ? r->sink_name : "");
	buf_text(&detail, "{\"from\":");
	buf_json_text(&detail, str_of(from));
	buf_text(&detail, ",\"sink\":");
	if (r->sink_name)
		buf_json_text(&detail, str_of(r->sink_name));
	else
		buf_text(&detail, "null");
	buf_text(&detail, "}");
	r->rewind.said = said.data;
	r->rewind.detail = detail.data;
	r->rewind.start_ms = r->start_ms;
	r->rewind.arg = r;
	ok = rewind_run(&r->rewind, r->config, err);
	buf_release(&said);
	buf_release(&detail);
	return ok;
}

/* --- aside --- */

static bool plan_aside(struct replay *r, const struct replay_stream *now, struct error *err)
{
	struct side_run *side = &r->side;

	if (r->from == FROM_SAVEPOINT && side->until_ms <= r->kept_ms)
		return error_set(err, ERROR_INVALID, "--to: it is not behind the savepoint");
	side->placed = r->from != FROM_TIME;
	side->shard = r->from == FROM_RECORD ? r->shard : NULL;
	/* The place of a record was seen just now: that AWS has it is no guess. */
	side->read_at_ms = r->from == FROM_SAVEPOINT ? r->kept_ms : r->now_ms;
	switch (r->from) {
	case FROM_SAVEPOINT:
		return replay_aside_savepoint(now, r->kept, r->kept_count, r->sink, &side->plan,
					      err);
	case FROM_RECORD:
		return replay_aside_place(now, &r->before, &side->plan, err);
	default:
		return true;
	}
}

static int read_aside(struct replay *r, const struct replay_stream *now, struct store *looked,
		      struct error *err)
{
	AUTO(store) struct store *store = looked;

	r->side.streams = &r->rewind.streams;
	r->side.source = r->rewind.stream;
	if (!plan_aside(r, now, err) || !side_run_look(&r->side, store, err))
		return EXIT_FAILED;
	side_run_show(&r->side);
	store_close(MOVE(store)); /* an exclusive one is opened again */
	if (arguments_get(r->arguments, "dry-run"))
		return EXIT_DONE;
	if (!operator_sure("replay", "Read it?", arguments_get(r->arguments, "yes")))
		return EXIT_USAGE;
	return side_run_run(&r->side);
}

static int aside(struct replay *r, struct store *looked, struct error *err)
{
	AUTO(store) struct store *store = looked;
	struct replay_stream now;
	int code = EXIT_FAILED;

	if (replay_stream_read(store, r->rewind.stream->id, &now, err))
		code = read_aside(r, &now, MOVE(store), err);
	replay_plan_release(&r->side.plan);
	replay_stream_release(&now);
	return code;
}

/* --- beyond what the stream keeps --- */

static int with_exports(struct replay *r, struct error *err)
{
	replay_exports_show(&r->exports);
	if (arguments_get(r->arguments, "dry-run"))
		return EXIT_DONE;
	if (!operator_sure("replay", "Go back?", arguments_get(r->arguments, "yes")))
		return EXIT_USAGE;
	return replay_exports_begin(&r->exports, err) ? EXIT_DONE : EXIT_FAILED;
}

static int replay(struct replay *r, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open_reader(r->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);

	r->rewind.arg = r;
	if (!store || !find_stream(r, store, err) ||
	    (r->into && !aws_time(r->config, r->rewind.streams.arn, &r->clock, err)))
		return EXIT_FAILED;
	if (r->into && !judge_times(r, err))
		return EXIT_USAGE;
	if (!look(r, store, err))
		return EXIT_FAILED;
	if (r->into)
		return aside(r, MOVE(store), err);
	if (r->beyond) {
		store_close(MOVE(store));
		return with_exports(r, err);
	}
	if (!show(r, store, err))
		return EXIT_FAILED;
	store_close(MOVE(store)); /* an exclusive one is opened again */
	if (arguments_get(r->arguments, "dry-run"))
		return EXIT_DONE;
	if (!operator_sure("replay", "Go back?", arguments_get(r->arguments, "yes")))
		return EXIT_USAGE;
	return go_back(r, err) ? EXIT_DONE : EXIT_FAILED;
}

/* --- what was begun and is not wanted any more --- */

static int drop(struct replay *r, struct error *err)
{
	struct operator_streams *all = &r->rewind.streams;
	AUTO(store)
	struct store *store =
		store_open_reader(r->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);

	all->name = arguments_get(r->arguments, "stream");
	r->side = (struct side_run){ .config = r->config,
				     .into = r->into,
				     .streams = all,
				     .sink = side_run_sink(r->config, r->into),
				     .now_ms = clock_aws_ms(&r->clock) };
	if (!store || !has_sink(r, err) || !operator_streams(store, all, err) ||
	    !side_run_find(&r->side, store, err))
		return EXIT_FAILED;
	side_run_show_drop(&r->side);
	store_close(MOVE(store)); /* an exclusive one is opened again */
	if (arguments_get(r->arguments, "dry-run"))
		return EXIT_DONE;
	if (!operator_sure("replay", "Drop it?", arguments_get(r->arguments, "yes")))
		return EXIT_USAGE;
	return side_run_drop(&r->side, err) ? EXIT_DONE : EXIT_FAILED;
}

static int run_drop(struct replay *r)
{
	struct error err = { 0 };
	int code;

	clock_init(&r->clock);
	code = drop(r, &err);
	if (code != EXIT_DONE && err.kind != ERROR_NONE)
		fprintf(stderr, "sluice replay: %s\n", err.message);
	return code;
}

static bool is_drop(const struct arguments *a)
{
	return arguments_get(a, "drop") != NULL;
}

static bool fits(const struct arguments *a)
{
	bool from = arguments_get(a, "from") != NULL;

	if (is_drop(a))
		return arguments_get(a, "into") && !from && !arguments_get(a, "to") &&
		       !arguments_get(a, "sink");
	return from;
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	struct replay r = { .arguments = a, .config = c };
	int code;

	if (!fits(a))
		return command_usage_error(&command_replay,
					   "it needs --from, or --into and --drop alone");
	r.into = arguments_get(a, "into");
	/* What a side run that is given up leaves behind nobody comes for later. */
	log_setup(r.into ? LOG_WARN : LOG_ERROR, LOG_TEXT);
	if (c && is_drop(a))
		return run_drop(&r);
	if (!c || !parse(&r, &err)) {
		fprintf(stderr, "sluice replay: %s\n", err.message);
		return EXIT_USAGE;
	}
	code = replay(&r, &err);
	if (code != EXIT_DONE && err.kind != ERROR_NONE)
		fprintf(stderr, "sluice replay: %s\n", err.message);
	for (size_t i = 0; i < r.kept_count; i++)
		free((void *)(uintptr_t)r.kept[i].shard);
	free(r.kept);
	return code;
}

const struct command command_replay = {
	.name = "replay",
	.usage = "-c FILE --stream S [--sink K] --from oldest|TIME|SEQUENCE@SHARD|savepoint:NAME\n"
		 "                      [--into SINK [--to TIME]] [--dry-run] [--yes]\n"
		 "                      | --into SINK --drop [--dry-run] [--yes]",
	.help = "Deliver a stream again, from an earlier place.",
	.more = "SEQUENCE@SHARD begins with that record, in that shard and those that follow it. "
		"It works\nbeside running workers; on a sqlite store only while no worker has it.",
	.flags = flags,
	.run = run,
};
