#include "ops/side_run.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "consumer/worker.h"
#include "ops/command.h"
#include "ops/service.h"
#include "ops/side_burial.h"

/* An open shard says nowhere that it has no more for now: so many empty pages in a row do, and what
 * the stream's own sinks have is asked for besides. */
#define IDLE_POLLS   4
#define SESSIONS_MAX 256

const struct config_sink *side_run_sink(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->sink_count; i++)
		if (strcmp(c->sinks[i].name, name) == 0)
			return &c->sinks[i];
	return NULL;
}

FILE *side_run_out(const struct side_run *r)
{
	return strcmp(r->sink->type->type, "stdout") == 0 ? stderr : stdout;
}

/* --- may it be? --- */

static bool is_free(const struct side_run *r, struct error *err)
{
	const char *stream = r->streams->name;
	const struct config_dead_letter *letters = &r->config->dead_letter;

	if (!r->entry)
		return error_set(err, ERROR_NOT_FOUND,
				 "the configuration has no stream %s: what is made of its records "
				 "stands there",
				 stream);
	for (size_t i = 0; i < r->entry->sink_count; i++)
		if (&r->config->sinks[r->entry->sinks[i].sink] == r->sink)
			return error_set(err, ERROR_REFUSED,
					 "%s is a sink of %s, and gets everything in its order: "
					 "`--sink %s` instead of --into sets it back",
					 r->into, stream, r->into);
	return !letters->sink || strcmp(letters->sink, r->into) != 0 ||
	       error_set(err, ERROR_REFUSED, "%s is where dead letters go: take another sink",
			 r->into);
}

static void on_side(void *arg, const struct store_side *d)
{
	struct side_run *r = arg;

	if (d->source != r->source->id || d->sink != r->known.sink)
		return;
	r->known = *d;
	snprintf(r->known_said, sizeof(r->known_said), "%s", d->said);
	snprintf(r->known_who, sizeof(r->known_who), "%s", d->who);
}

bool side_run_look(struct side_run *r, struct store *s, struct error *err)
{
	struct error unknown;

	r->entry = operator_entry(r->config, r->streams);
	snprintf(r->name, sizeof(r->name), "%s>%s", r->streams->name, r->into);
	snprintf(r->said, sizeof(r->said), "from %.100s into %.60s%s%.60s", r->from, r->into,
		 r->to ? " to " : "", r->to ? r->to : "");
	if (!is_free(r, err))
		return false;
	/* What the store has never seen has no side run either. */
	return !operator_sink(s, r->into, &r->known.sink, &unknown) ||
	       store_sides(s, on_side, r, err);
}

bool side_run_goes_on(const struct side_run *r)
{
	return r->known.stream != 0 && strcmp(r->known_said, r->said) == 0;
}

/* --- the plan --- */

static void show_places(const struct side_run *r, FILE *out)
{
	char time[CLOCK_TEXT_SIZE];

	if (!r->placed) {
		fprintf(out, "  all shards that AWS lists are read, from %s\n",
			r->start_ms ? clock_text(r->start_ms, time) : "their oldest records");
		return;
	}
	fprintf(out, "  %zu of %zu shards are read, %zu of them from their beginning",
		r->plan.lanes, r->plan.count, r->plan.to_begin);
	if (r->plan.oldest_ms > 0)
		fprintf(out, ", the others at the furthest from %s",
			clock_text(r->plan.oldest_ms, time));
	fputs("\n", out);
}

void side_run_show(const struct side_run *r)
{
	FILE *out = side_run_out(r);
	char time[CLOCK_TEXT_SIZE];
	const char *name = r->streams->name;

	fprintf(out, "Read %s %s, aside:\n", name, r->said);
	if (side_run_goes_on(r)) {
		fprintf(out, "  it was begun %s by %s, and goes on where it was\n",
			clock_text(r->known.begun_ms, time), r->known_who);
		fprintf(out, "  up to %s\n", clock_text(r->known.until_ms, time));
	} else {
		show_places(r, out);
		fprintf(out, "  up to %s\n", clock_text(r->until_ms, time));
	}
	fprintf(out,
		"This command reads them from the stream itself, as the second reader of its "
		"shards: DynamoDB\nallows two, with a global table one. %s, its places and its "
		"sinks stay as they are. Records\ncome as they came before, as generation %llu, "
		"in the order of their shards; `sluice status` shows\nhow far it is, as %s. "
		"Where it is stopped, the same again goes on.\n",
		name, (unsigned long long)r->source->generation, r->name);
	if (r->known.stream != 0 && !side_run_goes_on(r))
		fprintf(out,
			"An earlier one that is not done (%s, begun %s by %s) is given up: what "
			"it delivered stays in %s.\n",
			r->known_said, clock_text(r->known.begun_ms, time), r->known_who, r->into);
}

/* --- is another process at it? --- */

struct owners {
	char ids[SESSIONS_MAX][STORE_ID_SIZE];
	size_t count;
};

static void on_lane(void *arg, const struct store_lane *lane)
{
	struct owners *o = arg;

	for (size_t i = 0; i < o->count; i++)
		if (strcmp(o->ids[i], lane->owner) == 0)
			return;
	if (*lane->owner && o->count < SESSIONS_MAX)
		memcpy(o->ids[o->count++], lane->owner, STORE_ID_SIZE);
}

static void on_position(void *arg, const struct store_position *p)
{
	(void)arg;
	(void)p;
}

static const struct store_session *session_of(const struct store_session *some, size_t count,
					      const char *id)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(some[i].id, id) == 0 && some[i].state == SESSION_LIVE)
			return &some[i];
	return NULL;
}

static void wait_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Whoever began it a moment ago may have no shards yet. */
static bool is_fresh(const struct side_run *r)
{
	return r->now_ms - r->known.begun_ms < r->config->checkpoint.lease_ms;
}

/* Who has shards of it and beats is at work. */
static bool nobody_reads(const struct side_run *r, struct store *s, struct error *err)
{
	static struct store_session before[SESSIONS_MAX], after[SESSIONS_MAX];
	static struct owners o;
	const struct store_session *was, *is;
	size_t known, left;
	int64_t lease_ms = 0;

	o.count = 0;
	if (store_exclusive(s))
		return true;
	if (!store_lanes_list(s, r->known.stream, on_lane, on_position, &o, err) ||
	    !store_sessions(s, before, SESSIONS_MAX, &known, err))
		return false;
	for (size_t i = 0; i < o.count; i++) {
		was = session_of(before, known, o.ids[i]);
		if (was && was->lease_ms > lease_ms)
			lease_ms = was->lease_ms;
	}
	if (lease_ms == 0 && is_fresh(r))
		lease_ms = r->config->checkpoint.lease_ms;
	if (lease_ms == 0)
		return true;
	fprintf(side_run_out(r), "waiting for %lld s: is the process that read it still there?\n",
		(long long)lease_ms / 1000);
	fflush(side_run_out(r));
	wait_ms(lease_ms);
	if (!store_lanes_list(s, r->known.stream, on_lane, on_position, &o, err) ||
	    !store_sessions(s, after, SESSIONS_MAX, &left, err))
		return false;
	for (size_t i = 0; i < o.count; i++) {
		was = session_of(before, known, o.ids[i]);
		is = session_of(after, left, o.ids[i]);
		if (is && (!was || was->beat != is->beat))
			return error_set(err, ERROR_REFUSED, "it is under way: %s reads %s (%s)",
					 is->worker, r->name, r->known_said);
	}
	return true;
}

/* --- the run --- */

static bool give_up(struct side_run *r, struct store *s, const char *who, struct error *err)
{
	char said[STORE_NAME_MAX + 16];

	snprintf(said, sizeof(said), "%s: given up", r->known_said);
	return side_burial(r->config, s, r->known.stream, r->known.sink, err) &&
	       store_side_end(s, r->known.stream, who, said, r->now_ms, err);
}

static bool begin(struct side_run *r, struct error *err)
{
	AUTO(store)
	struct store *s = store_open(r->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	struct store_side_start start = { .name = r->name,
					  .placed = r->placed,
					  .places = r->plan.places,
					  .count = r->plan.count,
					  .read_at_ms = r->read_at_ms };
	char who[STORE_NAME_MAX + 1];
	bool begun;

	operator_name(who, sizeof(who));
	if (!s || (r->known.stream != 0 && !nobody_reads(r, s, err)))
		return false;
	if (side_run_goes_on(r))
		return true;
	if (r->known.stream != 0 && !give_up(r, s, who, err))
		return false;
	if (!store_sink(s, r->into, &r->known.sink, err))
		return false;
	r->known = (struct store_side){ .source = r->source->id,
					.sink = r->known.sink,
					.said = r->said,
					.who = who,
					.start_ms = r->start_ms,
					.until_ms = r->until_ms,
					.begun_ms = r->now_ms };
	return store_side_begin(s, &r->known, &start, &begun, err) &&
	       (begun || error_set(err, ERROR_RETRY,
				   "somebody else has begun one into %s a moment ago", r->into));
}

/* The configuration of a worker that reads this alone. Gaps stop it: what it cannot bring it does
 * not leave out. Dead letters stay in the store until the stream's workers take them on. */
struct alone {
	struct config config;
	struct config_stream stream;
	struct config_stream_sink use;
	struct config_sink sink;
	char worker[STORE_NAME_MAX + 1];
};

static void make_alone(const struct side_run *r, struct alone *a)
{
	a->config = *r->config;
	a->stream = *r->entry;
	a->sink = *r->sink;
	a->use = (struct config_stream_sink){ .name = r->into, .start = "latest" };
	a->stream.table = r->streams->arn;
	a->stream.name = r->name;
	a->stream.is_pattern = false;
	/* The store has it; what is younger than a time is not lost in silence either. */
	a->stream.start = r->known.start_ms > 0 ? "latest" : "oldest";
	a->stream.enable_stream = NULL;
	a->stream.baseline = (struct config_baseline){ 0 };
	a->stream.gap = GAP_STOP;
	a->stream.warn_loss_ms = 0; /* old records are what it is for */
	a->stream.sinks = &a->use;
	a->stream.sink_count = 1;
	a->config.streams = &a->stream;
	a->config.stream_count = 1;
	a->config.sinks = &a->sink;
	a->config.sink_count = 1;
	a->config.export_count = 0;
	a->config.dead_letter.sink = NULL;
	a->config.http.listen = "";
	a->config.log.level = LOG_WARN;
	operator_name(a->worker, sizeof(a->worker));
	a->config.worker.name = a->worker;
}

struct reached {
	size_t shards;
	int64_t youngest_ms;
};

static void on_reached(void *arg, const struct store_position *p)
{
	struct reached *to = arg;

	to->shards += p->done || !sequence_is_none(&p->sequence);
	if (p->event_ms > to->youngest_ms)
		to->youngest_ms = p->event_ms;
}

static void on_any_lane(void *arg, const struct store_lane *lane)
{
	(void)arg;
	(void)lane;
}

static void summary(const struct side_run *r, const struct reached *to, int64_t delivered)
{
	FILE *out = side_run_out(r);
	char until[CLOCK_TEXT_SIZE], youngest[CLOCK_TEXT_SIZE];

	fprintf(out, "%s is read into %s up to %s: %lld records by this call, of %zu shards",
		r->streams->name, r->into, clock_text(r->known.until_ms, until),
		(long long)delivered, to->shards);
	if (to->youngest_ms > 0)
		fprintf(out, ", the youngest of %s", clock_text(to->youngest_ms, youngest));
	fputs("\n", out);
}

/* *over: it has everything, and is gone from the store. */
static bool end(struct side_run *r, int64_t delivered, bool *over, struct error *err)
{
	AUTO(store)
	struct store *s = store_open(r->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	struct reached to = { 0 };
	struct clock clock;
	char who[STORE_NAME_MAX + 1], said[STORE_NAME_MAX + 64];

	clock_init(&clock);
	operator_name(who, sizeof(who));
	if (!s || !store_side_over(s, r->known.stream, over, err))
		return false;
	if (!*over) {
		fprintf(side_run_out(r), "reading on: not all shards have come to where the "
					 "stream's own sinks were\n");
		return true;
	}
	if (!store_lanes_list(s, r->known.stream, on_any_lane, on_reached, &to, err))
		return false;
	snprintf(said, sizeof(said), "%s: %lld records", r->said, (long long)delivered);
	if (!store_side_end(s, r->known.stream, who, said, clock_aws_ms(&clock), err))
		return false;
	summary(r, &to, delivered);
	return true;
}

static int failed(const struct error *err)
{
	fprintf(stderr, "sluice replay: %s\n", err->message);
	return EXIT_FAILED;
}

int side_run_run(struct side_run *r)
{
	struct worker_side side = { .stream = r->streams->name, .shard = r->shard };
	struct service_end ended;
	struct service_options o = { .command = "replay",
				     .idle_ms = IDLE_POLLS * r->entry->poll_max_ms,
				     .side = &side,
				     .end = &ended };
	struct error err = { 0 };
	struct alone alone;
	int64_t delivered = 0;
	bool over = false;

	if (!begin(r, &err))
		return failed(&err);
	make_alone(r, &alone);
	side.id = r->known.stream;
	fflush(side_run_out(r));
	side.until_ms = r->known.until_ms;
	while (!over) {
		int code = service_run(&alone.config, &o);

		delivered += ended.delivered;
		if (code != EXIT_DONE || ended.how == WORKER_STOPPED) {
			fprintf(stderr,
				"sluice replay: %s is not done: say the same again to go on\n",
				r->name);
			return EXIT_FAILED;
		}
		if (!end(r, delivered, &over, &err))
			return failed(&err);
	}
	return EXIT_DONE;
}

/* --- the end of one that was given up --- */

bool side_run_find(struct side_run *r, struct store *s, struct error *err)
{
	int32_t sink;

	snprintf(r->name, sizeof(r->name), "%s>%s", r->streams->name, r->into);
	if (!operator_sink(s, r->into, &sink, err))
		return false;
	/* The table may have another stream by now. */
	for (size_t i = r->streams->count; i-- > 0 && r->known.stream == 0;) {
		r->source = &r->streams->rows[i];
		r->known.sink = sink;
		if (!store_sides(s, on_side, r, err))
			return false;
	}
	return r->known.stream != 0 ||
	       error_set(err, ERROR_NOT_FOUND, "there is no side run %s", r->name);
}

void side_run_show_drop(const struct side_run *r)
{
	char time[CLOCK_TEXT_SIZE];

	printf("Drop %s (%s, begun %s by %s): what it has delivered stays in %s, the rest is not "
	       "read.\n",
	       r->name, r->known_said, clock_text(r->known.begun_ms, time), r->known_who, r->into);
}

bool side_run_drop(struct side_run *r, struct error *err)
{
	AUTO(store)
	struct store *s = store_open(r->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	char who[STORE_NAME_MAX + 1];

	operator_name(who, sizeof(who));
	if (!s || !nobody_reads(r, s, err) || !give_up(r, s, who, err))
		return false;
	printf("%s is dropped\n", r->name);
	return true;
}
