#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "checkpoint/store.h"
#include "consumer/joining.h"
#include "consumer/loss.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/exports.h"
#include "sinks/sink.h"

/* What the store knows: it works beside running workers, and when there are none. */

#define STORE_TIMEOUT_MS 10000
#define SESSIONS_MAX     256
#define WATCH_MS         2000
/* Of those that are over; the newest. */
#define CLOSED_GAPS_SHOWN    5
#define CLOSED_EXPORTS_SHOWN 5
/* Of what was done to a stream; the newest. */
#define AUDIT_SHOWN 5

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

struct lane_row {
	struct store_lane lane;
	bool done, known;
	int64_t event_ms;
	struct sequence sequence;
};

struct stream_row {
	char name[STORE_NAME_MAX + 1];
	char arn[1025];
	struct store_stream stream;
	struct lane_row *lanes;
	size_t lane_count;
	struct store_gap *gaps;
	size_t gap_count;
	struct audit_row *audit;
	size_t audit_count;
};

struct audit_row {
	struct store_audit audit;
	char who[STORE_NAME_MAX + 1], said[STORE_NAME_MAX + 1];
};

struct status {
	struct store *store;
	struct store_session sessions[SESSIONS_MAX];
	size_t session_count;
	struct stream_row *streams;
	size_t stream_count;
	struct stream_row *filling;
	uint64_t letters;
	struct exports_shown exports;
	int64_t now_ms;
};

static void on_stream(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	struct status *t = arg;
	struct stream_row *row;

	t->streams = memory_resize(t->streams, (t->stream_count + 1) * sizeof(*t->streams));
	row = &t->streams[t->stream_count++];
	*row = (struct stream_row){ .stream = *s };
	snprintf(row->name, sizeof(row->name), "%s", name);
	snprintf(row->arn, sizeof(row->arn), "%s", arn);
}

/* This machine's clock may be behind AWS's, which the store's times are of. */
static void later(struct status *t, int64_t ms)
{
	t->now_ms = ms > t->now_ms ? ms : t->now_ms;
}

static void on_lane(void *arg, const struct store_lane *lane)
{
	struct status *t = arg;
	struct stream_row *row = t->filling;

	row->lanes = memory_room(row->lanes, row->lane_count, sizeof(*row->lanes));
	row->lanes[row->lane_count++] = (struct lane_row){ .lane = *lane, .done = true };
	later(t, lane->read_at_ms);
}

/* They come in the order of their ids. */
static struct lane_row *lane_of(struct stream_row *row, int64_t id)
{
	size_t low = 0, high = row->lane_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (row->lanes[middle].lane.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < row->lane_count && row->lanes[low].lane.id == id ? &row->lanes[low] : NULL;
}

/* A lane is as far as the sink that is furthest behind. */
static void on_position(void *arg, const struct store_position *p)
{
	struct status *t = arg;
	struct lane_row *l = lane_of(t->filling, p->lane);

	if (!l)
		return;
	if (!l->known || sequence_compare(&p->sequence, &l->sequence) < 0) {
		l->sequence = p->sequence;
		l->event_ms = p->event_ms;
	}
	l->known = true;
	l->done = l->done && p->done;
}

static void on_letter(void *arg, int64_t id, struct str json)
{
	struct status *t = arg;

	(void)id;
	(void)json;
	t->letters++;
}

static void on_gap(void *arg, const struct store_gap *gap)
{
	struct status *t = arg;
	struct stream_row *row = t->filling;

	row->gaps = memory_room(row->gaps, row->gap_count, sizeof(*row->gaps));
	row->gaps[row->gap_count++] = *gap;
	later(t, gap->found_ms);
}

static void on_audit(void *arg, const struct store_audit *a)
{
	struct stream_row *row = arg;
	struct audit_row *r;

	row->audit = memory_room(row->audit, row->audit_count, sizeof(*row->audit));
	r = &row->audit[row->audit_count++];
	r->audit = *a;
	snprintf(r->who, sizeof(r->who), "%s", a->who);
	snprintf(r->said, sizeof(r->said), "%s", a->said);
}

static bool collect(struct status *t, struct error *err)
{
	struct clock clock;

	clock_init(&clock);
	t->now_ms = clock_aws_ms(&clock);
	if (!store_sessions(t->store, t->sessions, SESSIONS_MAX, &t->session_count, err) ||
	    !store_streams(t->store, on_stream, t, err) ||
	    !store_letters(t->store, on_letter, t, err) ||
	    !exports_collect(t->store, NULL, CLOSED_EXPORTS_SHOWN, &t->exports, err))
		return false;
	for (size_t i = 0; i < t->stream_count; i++) {
		t->filling = &t->streams[i];
		if (!store_lanes_list(t->store, t->streams[i].stream.id, on_lane, on_position, t,
				      err) ||
		    !store_gaps(t->store, t->streams[i].stream.id, on_gap, t, err) ||
		    !store_audit(t->store, t->streams[i].stream.id, AUDIT_SHOWN, on_audit,
				 &t->streams[i], err))
			return false;
		later(t, t->streams[i].stream.hold.since_ms);
	}
	return true;
}

static const char *lane_state(const struct lane_row *l)
{
	return !l->known ? "new" : l->done ? "done" : *l->lane.owner ? "open" : "free";
}

/* The oldest place of a lane that is not done; 0: nothing was read yet. */
static int64_t oldest_ms(const struct stream_row *s)
{
	int64_t oldest = 0;

	for (size_t i = 0; i < s->lane_count; i++)
		if (!s->lanes[i].done && s->lanes[i].event_ms > 0 &&
		    (oldest == 0 || s->lanes[i].event_ms < oldest))
			oldest = s->lanes[i].event_ms;
	return oldest;
}

static void age_of(const struct stream_row *s, const char *shard, int64_t event_ms,
		   int64_t read_at_ms, int64_t now_ms, int64_t *oldest_ms)
{
	int64_t place_ms = loss_place_ms(shard, event_ms, s->stream.start_ms, read_at_ms);

	if (place_ms > 0 && now_ms - place_ms > *oldest_ms)
		*oldest_ms = now_ms - place_ms;
}

/* How long at least until the stream loses something: the store does not know of a shard whether
 * anything came after its last record. What waits for its parent is younger than that one. */
static int64_t left_ms(const struct stream_row *s, int64_t now_ms)
{
	int64_t oldest_ms = 0;

	for (size_t i = 0; i < s->lane_count; i++) {
		const struct lane_row *l = &s->lanes[i];

		if (!l->lane.done && !l->lane.waits)
			age_of(s, l->lane.shard, l->event_ms, l->lane.read_at_ms, now_ms,
			       &oldest_ms);
	}
	for (size_t i = 0; i < s->gap_count; i++)
		if (s->gaps[i].state == STORE_GAP_OPEN && s->gaps[i].kind == STORE_GAP_ORPHAN)
			age_of(s, s->gaps[i].shard, 0, s->gaps[i].found_ms, now_ms, &oldest_ms);
	return loss_left_ms(oldest_ms);
}

static size_t open_lanes(const struct stream_row *s)
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

static void print_gaps(const struct stream_row *s)
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

static size_t owned_lanes(const struct stream_row *s)
{
	size_t owned = 0;

	for (size_t i = 0; i < s->lane_count; i++)
		owned += *s->lanes[i].lane.owner != 0;
	return owned;
}

static void print_hold(const struct stream_row *s)
{
	const struct store_hold *h = &s->stream.hold;
	char since[CLOCK_TEXT_SIZE];

	if (h->id == 0)
		return;
	printf("  held   %s  since %s by %s%s%s: nothing of it is read, %zu shards are still to be "
	       "let go of\n",
	       store_hold_why_name(h->why), clock_text(h->since_ms, since), h->who,
	       *h->said ? ", " : "", h->said, owned_lanes(s));
	if (h->why == STORE_HOLD_PAUSE)
		printf("         until `sluice resume -c FILE --stream %s`\n", s->name);
}

static void print_audit(const struct stream_row *s)
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
}

static void print_exports(const struct status *t)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < t->exports.count; i++) {
		buf_clear(&text);
		exports_text(&t->exports.rows[i], t->now_ms, &text);
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
		const struct stream_row *s = &t->streams[i];
		int64_t oldest = oldest_ms(s), left = left_ms(s, t->now_ms);

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
			const struct lane_row *l = &s->lanes[n];

			printf("  shard  %s  %-4s  at %s  %s\n", l->lane.shard, lane_state(l),
			       sequence_is_none(&l->sequence)
				       ? "its beginning"
				       : sequence_text(&l->sequence, sequence),
			       l->event_ms ? clock_text(l->event_ms, time) : "");
		}
	}
	print_exports(t);
	printf("dead letters %" PRIu64 "\n", t->letters);
}

static void json_member(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "\"%s\":", name);
	buf_json_text(b, str_of(value));
}

static void json_lane(struct buf *b, const struct lane_row *l)
{
	char sequence[SEQUENCE_TEXT_SIZE];

	buf_text(b, "{");
	json_member(b, "shard", l->lane.shard);
	buf_text(b, ",");
	json_member(b, "parent", l->lane.parent);
	buf_text(b, ",");
	json_member(b, "state", lane_state(l));
	buf_text(b, ",");
	json_member(b, "owner", l->lane.owner);
	buf_text(b, ",");
	json_member(b, "sequence", sequence_text(&l->sequence, sequence));
	buf_printf(b, ",\"event_ms\":%" PRId64 "}", l->event_ms);
}

static void json_gap(struct buf *b, const struct store_gap *g)
{
	char text[SEQUENCE_TEXT_SIZE];

	buf_text(b, "{");
	json_member(b, "shard", g->shard);
	buf_text(b, ",");
	json_member(b, "kind", store_gap_kind_name(g->kind));
	buf_text(b, ",");
	json_member(b, "state", store_gap_state_name(g->state));
	buf_text(b, ",");
	json_member(b, "how", store_gap_how_name(g->how));
	buf_text(b, ",");
	if (g->how == STORE_GAP_REPAIR)
		buf_printf(b, "\"deletes_may_lack_until_ms\":%" PRId64 ",",
			   g->from_ms ? g->from_ms + JOINING_MISSES_MS : 0);
	json_member(b, "from", sequence_text(&g->from, text));
	buf_text(b, ",");
	json_member(b, "to", sequence_text(&g->to, text));
	buf_printf(b,
		   ",\"from_ms\":%" PRId64 ",\"to_ms\":%" PRId64 ",\"found_ms\":%" PRId64
		   ",\"closed_ms\":%" PRId64 ",",
		   g->from_ms, g->to_ms, g->found_ms, g->closed_ms);
	json_member(b, "worker", g->worker);
	buf_text(b, ",");
	json_member(b, "session", g->session);
	buf_text(b, "}");
}

static void json_hold(struct buf *b, const struct stream_row *s)
{
	const struct store_hold *h = &s->stream.hold;

	if (h->id == 0) {
		buf_text(b, "\"hold\":null");
		return;
	}
	buf_text(b, "\"hold\":{");
	json_member(b, "why", store_hold_why_name(h->why));
	buf_text(b, ",");
	json_member(b, "who", h->who);
	buf_text(b, ",");
	json_member(b, "said", h->said);
	buf_printf(b, ",\"since_ms\":%" PRId64 ",\"shards_owned\":%zu}", h->since_ms,
		   owned_lanes(s));
}

static void json_audit(struct buf *b, const struct audit_row *r)
{
	buf_text(b, "{");
	json_member(b, "what", store_audit_what_name(r->audit.what));
	buf_text(b, ",");
	json_member(b, "why", store_hold_why_name(r->audit.why));
	buf_text(b, ",");
	json_member(b, "who", r->who);
	buf_text(b, ",");
	json_member(b, "said", r->said);
	buf_printf(b,
		   ",\"at_ms\":%" PRId64 ",\"from_generation\":%" PRIu64
		   ",\"to_generation\":%" PRIu64 ",\"from_ms\":%" PRId64 ",\"to_ms\":%" PRId64
		   ",\"shards\":%u}",
		   r->audit.at_ms, r->audit.from_generation, r->audit.to_generation,
		   r->audit.from_ms, r->audit.to_ms, r->audit.lanes);
}

static void json_stream(struct buf *b, const struct stream_row *s, int64_t now_ms)
{
	int64_t oldest = oldest_ms(s);

	buf_text(b, "{");
	json_member(b, "stream", s->name);
	buf_text(b, ",");
	json_member(b, "arn", s->arn);
	buf_printf(b, ",\"generation\":%" PRIu64 ",\"last_event_ms\":%" PRId64,
		   s->stream.generation, oldest);
	buf_printf(b, ",\"age_of_last_event_seconds\":%" PRId64 ",\"retention_seconds\":%d",
		   oldest ? (now_ms - oldest) / 1000 : 0, (int)(LOSS_RETENTION_MS / 1000));
	buf_printf(b, ",\"time_to_loss_seconds\":%" PRId64 ",", left_ms(s, now_ms) / 1000);
	json_hold(b, s);
	buf_text(b, ",\"audit\":[");
	for (size_t i = 0; i < s->audit_count; i++) {
		buf_text(b, i ? "," : "");
		json_audit(b, &s->audit[i]);
	}
	buf_text(b, "],\"gaps\":[");
	for (size_t i = 0; i < s->gap_count; i++) {
		buf_text(b, i ? "," : "");
		json_gap(b, &s->gaps[i]);
	}
	buf_text(b, "],\"shards\":[");
	for (size_t i = 0; i < s->lane_count; i++) {
		buf_text(b, i ? "," : "");
		json_lane(b, &s->lanes[i]);
	}
	buf_text(b, "]}");
}

static void print_json(const struct status *t)
{
	struct buf b = { 0 };

	buf_text(&b, "{");
	json_member(&b, "store", store_describe(t->store));
	buf_text(&b, ",\"workers\":[");
	for (size_t i = 0; i < t->session_count; i++) {
		buf_text(&b, i ? ",{" : "{");
		json_member(&b, "worker", t->sessions[i].worker);
		buf_text(&b, ",");
		json_member(&b, "session", t->sessions[i].id);
		buf_text(&b, ",");
		json_member(&b, "state", t->sessions[i].state == SESSION_LIVE ? "live" : "dead");
		buf_printf(&b, ",\"beat\":%" PRId64 "}", t->sessions[i].beat);
	}
	buf_text(&b, "],\"streams\":[");
	for (size_t i = 0; i < t->stream_count; i++) {
		buf_text(&b, i ? "," : "");
		json_stream(&b, &t->streams[i], t->now_ms);
	}
	buf_text(&b, "],\"exports\":[");
	for (size_t i = 0; i < t->exports.count; i++) {
		buf_text(&b, i ? ",{" : "{");
		exports_json(&t->exports.rows[i], t->now_ms, &b);
		buf_text(&b, "}");
	}
	buf_printf(&b, "],\"dead_letters\":%" PRIu64 "}", t->letters);
	puts(b.data);
	buf_release(&b);
}

static bool show(const struct arguments *a, struct store *store, struct error *err)
{
	struct status t = { .store = store };
	bool ok = collect(&t, err);

	if (ok && arguments_get(a, "json"))
		print_json(&t);
	else if (ok)
		print_text(&t);
	fflush(stdout);
	for (size_t i = 0; i < t.stream_count; i++) {
		free(t.streams[i].lanes);
		free(t.streams[i].gaps);
		free(t.streams[i].audit);
	}
	free(t.streams);
	exports_release(&t.exports);
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
	store = store_open_reader(c->checkpoint.store, STORE_TIMEOUT_MS, &err);
	while (store && show(a, store, &err)) {
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
