#include "ops/replay_exports.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "aws/exports.h"
#include "consumer/joining.h"
#include "consumer/resolve.h"
#include "ops/export_command.h"

/* --- can they be had? --- */

struct asked {
	bool done;
	struct error err;
	struct exports_recovery recovery;
};

static void on_recovery(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct asked *a = arg;

	a->done = true;
	a->err = *err;
	if (r)
		a->recovery = *r;
}

static bool ask(const struct replay_exports *r, struct exports_recovery *out, struct error *err)
{
	char table[STREAMS_ARN_MAX + 1];
	struct service_client aws;
	struct asked a = { 0 };
	struct clock clock;
	bool ok = false;

	clock_init(&clock);
	resolve_table_arn(r->streams->arn, table);
	if (service_client_open(&aws, r->config, &clock, err)) {
		exports_recovery_get(aws.client, table, on_recovery, &a);
		aws_wait(aws.client, &a.done);
		*err = a.err;
		ok = err->kind == ERROR_NONE;
	}
	service_client_close(&aws);
	*out = a.recovery;
	return ok;
}

static bool too_old(const struct replay_exports *r, const char *why, struct error *err)
{
	char time[CLOCK_TEXT_SIZE];

	return error_set(err, ERROR_REFUSED,
			 "a stream keeps 24 hours, and %s is longer ago: it could only come from "
			 "exports of the table, and %s. What the stream still has begins with "
			 "--from oldest",
			 clock_text(r->from_ms, time), why);
}

static bool reaches(const struct replay_exports *r, const struct exports_recovery *recovery,
		    struct error *err)
{
	/* As the first window of a repair begins. */
	int64_t first_ms = r->from_ms - WINDOW_BEFORE_CUT_MS;
	char why[200], earliest[CLOCK_TEXT_SIZE];

	if (!recovery->enabled)
		return too_old(r,
			       "point-in-time recovery of the table is off; `sluice export -c FILE "
			       "baseline` turns it on where it may, and loads the table as it is",
			       err);
	if (first_ms >= recovery->earliest_ms)
		return true;
	snprintf(why, sizeof(why),
		 "point-in-time recovery reaches back to %s only (and 13 minutes before the time "
		 "are wanted); `sluice export -c FILE baseline` loads the table as it is",
		 clock_text(recovery->earliest_ms, earliest));
	return too_old(r, why, err);
}

struct repairs {
	int64_t since_ms;
	uint64_t last; /* generation */
	unsigned count;
};

static void on_export(void *arg, const struct store_export *e)
{
	struct repairs *p = arg;

	if (e->kind != STORE_EXPORT_REPAIR || e->begun_ms < p->since_ms || e->generation == p->last)
		return;
	p->last = e->generation;
	p->count++;
}

/* As the workers count them: they would end the hold, and nothing would come. */
static bool too_many(const struct replay_exports *r, struct store *s, struct error *err)
{
	struct store_exports_of of = { .stream = r->stream->id, .unsummed = true, .max = 1000 };
	struct repairs p = { .since_ms = r->now_ms - JOINING_REPAIRS_WITHIN_MS };

	return store_exports(s, &of, on_export, &p, err) &&
	       (p.count < JOINING_REPAIRS_MAX ||
		error_set(err, ERROR_REFUSED,
			  "%s was joined to exports %u times within a day: its workers make no "
			  "more of them before tomorrow",
			  r->streams->name, p.count));
}

bool replay_exports_look(const struct replay_exports *r, struct store *s, struct error *err)
{
	const struct config_stream *entry = operator_entry(r->config, r->streams);
	struct exports_recovery recovery;

	if (!entry)
		return too_old(r, "the configuration has no such stream", err);
	if (!entry->baseline.bucket)
		return too_old(r,
			       "the configuration says nowhere that they may be made: a `baseline` "
			       "block of the stream does (docs/exports.md), for this and for "
			       "`gap: repair`",
			       err);
	return ask(r, &recovery, err) && reaches(r, &recovery, err) && too_many(r, s, err);
}

/* --- the plan --- */

void replay_exports_show(const struct replay_exports *r)
{
	char from[CLOCK_TEXT_SIZE];

	printf("Replay %s from %s, which its stream does not have any more:\n", r->streams->name,
	       r->from);
	printf("  incremental exports of the table bring what changed from %s (13 minutes before "
	       "are\n  exported, too) until now; then the stream is read on from 5 minutes before "
	       "their end\n",
	       clock_text(r->from_ms, from));
	printf("Its workers let go of its shards, export and load, which takes a quarter of an "
	       "hour and more; until\nthen nothing of the stream is delivered. Consumers see, as "
	       "generation %" PRIu64 ", what each item\nbecame in each window (`r`, or a delete): "
	       "not every change, and not what it was before. The highest\n(generation, sequence) "
	       "of a key is right. What exports cannot give is in docs/exports.md.\n",
	       r->stream->generation + 1);
	if (r->stream->hold.id != 0)
		printf("It is held since %s by %s (%s): that ends.\n",
		       clock_text(r->stream->hold.since_ms, from), r->stream->hold.who,
		       store_hold_why_name(r->stream->hold.why));
}

/* --- the hold --- */

bool replay_exports_begin(const struct replay_exports *r, struct error *err)
{
	AUTO(store)
	struct store *s = store_open(r->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	struct store_hold h = { .why = STORE_HOLD_REPAIR,
				.since_ms = r->now_ms,
				.back_ms = r->from_ms };
	bool done;

	operator_name(h.who, sizeof(h.who));
	snprintf(h.said, sizeof(h.said), "replay from %s", r->from);
	if (!s || !store_stream_hold_instead(s, r->stream->id, r->stream->generation,
					     r->stream->hold.id, &h, &done, err))
		return false;
	if (!done)
		return error_set(
			err, ERROR_RETRY,
			"%s was changed by somebody else a moment ago; look at `sluice status`, "
			"and try again",
			r->streams->name);
	printf("%s is held, and goes back with exports: `sluice export status` shows how far they "
	       "are\n",
	       r->streams->name);
	return export_say_workers(s, err);
}
