/* Joins of a stream with exports, step by step on every store. What the steps have to be is the
 * simulator's (tests/sim/joining); here they are taken. */
#include "checkpoint/control.h"
#include "consumer/joiner.h"

#include "tests/unit/checkpoint/store_exports.h"

#define ARN   "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x"
#define HOUR  (60 * (int64_t)MINUTE)
#define NEW   "arn:aws:dynamodb:eu-west-1:1:table/fresh/stream/x"
#define FRESH "fresh"

static struct joiner joiner_of(const char *name, const char *arn, int64_t now_ms)
{
	return (struct joiner){ .session = SESSION_A,
				.worker = "worker-a",
				.name = name,
				.arn = arn,
				.table = name,
				.repairs = true,
				.enabled = true,
				.enabled_ms = T - HOUR,
				.pitr_known = true,
				.pitr = true,
				.earliest_ms = T - 900 * HOUR,
				.latest_ms = now_ms - 5 * MINUTE,
				.now_ms = now_ms };
}

static struct joiner_step taken(struct world *w, const struct joiner *j)
{
	struct joiner_step step;

	assert_ok(joiner_take(w->s, j, &step, err));
	return step;
}

static struct joiner_step takes(struct world *w, const struct joiner *j, enum joining_act act)
{
	struct joiner_step step = taken(w, j);

	if (step.act != act)
		fail_msg("step %d, not %d: %s", step.act, act, step.error.message);
	return step;
}

/* AWS has made it, and it has no files. */
static void exported_at(struct world *w, int64_t id, int64_t at_ms)
{
	struct store_exported what = { .manifest = "s3://exports/m.json" };
	struct store_attempt_made made = { .attempt = 1, .token = "one" };

	assert_done(true, store_export_attempt, w->s, SESSION_A, id, &made, at_ms);
	assert_done(true, store_export_submitted, w->s, SESSION_A, id, 1, "arn:1", at_ms);
	assert_done(true, store_export_exported, w->s, SESSION_A, id, 1, &what, at_ms);
}

static void complete(struct world *w, int64_t id, int64_t at_ms)
{
	exported_at(w, id, at_ms);
	assert_done(true, store_export_load, w->s, SESSION_A, id, at_ms);
}

struct ids {
	int64_t id[50];
	size_t count;
};

static void saw_open(void *arg, const struct store_export *e)
{
	struct ids *ids = arg;

	if (e->status == STORE_EXPORT_WAITING)
		ids->id[ids->count++] = e->id;
}

static size_t complete_all(struct world *w, int64_t at_ms)
{
	struct store_exports_of open = { .open = true, .max = 50 };
	struct ids ids = { 0 };

	assert_ok(store_exports(w->s, &open, saw_open, &ids, err));
	for (size_t i = 0; i < ids.count; i++)
		complete(w, ids.id[i], at_ms);
	return ids.count;
}

static struct store_stream stream_of(struct world *w, const char *name, const char *arn)
{
	struct store_stream s;

	assert_ok(store_stream(w->s, name, arn, 0, &s, err));
	return s;
}

struct told {
	char text[400];
};

static void saw_event(void *arg, const struct store_control *e)
{
	struct told *told = arg;
	size_t n = strlen(told->text);

	snprintf(told->text + n, sizeof(told->text) - n, "%s %s %d; ",
		 store_control_kind_name(e->kind), store_control_phase_name(e->phase),
		 (int)e->generation);
}

static void assert_told(struct world *w, const char *name, int64_t stream, const char *wanted)
{
	struct store_control_of of = { .name = name, .sink = w->sink };
	struct told told = { 0 };
	bool waits;

	assert_ok(store_join(w->s, SESSION_A, stream, 0, &w->sink, 1, err));
	assert_ok(store_control_claim(w->s, SESSION_A, &of, 1, T, &waits, saw_event, &told, err));
	assert_string_equal(told.text, wanted);
}

/* --- a baseline --- */

static void made_held(struct world *w)
{
	struct store_hold h = { .why = STORE_HOLD_BASELINE, .who = "worker-a", .since_ms = T };
	struct store_stream s;

	assert_ok(store_stream_held(w->s, FRESH, NEW, &h, &s, err));
	assert_true(s.created);
}

static void a_baseline_step_by_step(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of(FRESH, NEW, T);
	struct joiner_step step;
	struct store_stream s;

	made_held(w);
	j.enabled_ms = T - MINUTE;
	step = takes(w, &j, JOINING_WAIT);
	assert_int_equal(step.kind, JOINING_BASELINE);
	assert_int_equal(step.until_ms, T + MINUTE);
	j = joiner_of(FRESH, NEW, T + MINUTE);
	step = takes(w, &j, JOINING_BEGIN);
	assert_int_equal(step.begun, 1);
	assert_int_equal(step.generation, 2);
	step = takes(w, &j, JOINING_WAIT);
	assert_int_equal(step.progress.exports, 1);
	assert_int_equal(complete_all(w, T + HOUR), 1);

	j = joiner_of(FRESH, NEW, T + 2 * HOUR);
	step = takes(w, &j, JOINING_START);
	assert_true(step.done);
	s = stream_of(w, FRESH, NEW);
	assert_int_equal(s.hold.id, 0);
	assert_int_equal(s.generation, 2);
	assert_int_equal(s.start_ms, T - 4 * MINUTE - 5 * MINUTE);
	takes(w, &j, JOINING_NOTHING);
	assert_told(w, FRESH, s.id, "baseline begin 2; baseline end 2; ");
}

static void a_baseline_that_took_long_is_followed_by_windows(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of(FRESH, NEW, T);
	struct joiner_step step;

	made_held(w);
	takes(w, &j, JOINING_BEGIN);
	complete_all(w, T + 30 * HOUR);
	j = joiner_of(FRESH, NEW, T + 30 * HOUR);
	step = takes(w, &j, JOINING_BEGIN);
	assert_int_equal(step.begun, 3);
	assert_int_equal(step.generation, 2);
	step = takes(w, &j, JOINING_WAIT);
	assert_int_equal(step.progress.loaded, 1);
	assert_int_equal(step.progress.up_to_ms, T - 5 * MINUTE);
	complete_all(w, T + 31 * HOUR);
	j = joiner_of(FRESH, NEW, T + 31 * HOUR);
	step = takes(w, &j, JOINING_START);
	/* The windows' end less the overlap. */
	assert_int_equal(step.start_ms, T + 30 * HOUR - 10 * MINUTE);
	assert_true(step.progress.foreseen && step.progress.forecast.arrives);
}

/* 30 hours of changes take 27 to load: said as soon as the first window shows it. */
static void a_load_that_is_too_slow_is_foreseen(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of(FRESH, NEW, T);
	struct store_exports_of open = { .open = true, .max = 50 };
	struct joiner_step step;
	struct ids ids = { 0 };
	char text[WINDOW_FORECAST_TEXT_SIZE];

	made_held(w);
	takes(w, &j, JOINING_BEGIN);
	complete_all(w, T + 30 * HOUR);
	j = joiner_of(FRESH, NEW, T + 30 * HOUR);
	takes(w, &j, JOINING_BEGIN);
	assert_ok(store_exports(w->s, &open, saw_open, &ids, err));
	assert_int_equal(ids.count, 3);
	exported_at(w, ids.id[2], T + 31 * HOUR);
	assert_done(true, store_export_load, w->s, SESSION_A, ids.id[2],
		    T + 31 * HOUR + 14 * MINUTE);
	j.now_ms = T + 32 * HOUR;
	step = takes(w, &j, JOINING_WAIT);
	assert_int_equal(step.progress.loaded, 2);
	assert_true(step.progress.foreseen);
	assert_false(step.progress.forecast.arrives);
	assert_non_null(strstr(window_forecast_text(&step.progress.forecast, text),
			       "loading an hour of changes takes 56.0 minutes"));
}

static void without_pitr_a_person_is_asked(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of(FRESH, NEW, T);
	struct joiner_step step;

	made_held(w);
	j.pitr = false;
	step = takes(w, &j, JOINING_STOP);
	assert_non_null(strstr(step.error.message, "baseline.enable_pitr"));
	j.may_enable_pitr = true;
	takes(w, &j, JOINING_ENABLE_PITR);
	j.pitr_known = false;
	takes(w, &j, JOINING_WAIT);
}

static void a_failed_export_stops_its_join_until_it_is_retried(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of(FRESH, NEW, T);
	struct store_attempt_made made = { .attempt = 1, .token = "one" };
	struct joiner_step step;
	uint32_t retried;
	int64_t id;

	made_held(w);
	takes(w, &j, JOINING_BEGIN);
	id = exports_of(w->s, (struct store_exports_of){ .open = true, .max = 9 }).e.id;
	assert_done(true, store_export_attempt, w->s, SESSION_A, id, &made, T);
	assert_done(true, store_export_failed, w->s, SESSION_A, id, 1, "S3NoSuchBucket", 0, T);
	step = takes(w, &j, JOINING_STOP);
	assert_non_null(strstr(step.error.message, "S3NoSuchBucket"));
	assert_non_null(strstr(step.error.message, "sluice export retry"));
	assert_ok(store_export_retry(w->s, id, 0, T, &retried, err));
	takes(w, &j, JOINING_WAIT);
}

/* --- a repair --- */

static void gap_at(struct world *w, int lane)
{
	struct store_gap g = { .stream = w->stream,
			       .kind = STORE_GAP_TRIMMED,
			       .from = seq("5"),
			       .found_ms = T + 30 * HOUR };
	bool added;

	memcpy(g.shard, w->lanes[lane].shard, sizeof(g.shard));
	assert_ok(store_gap_put(w->s, SESSION_A, &g, false, &added, err));
}

/* All lanes stand at T, the first one an hour later. */
static void delivered(struct world *w)
{
	struct store_move m[3];
	struct store_save save = save_of(SESSION_A, 1, m, 3);

	for (int i = 0; i < 3; i++) {
		m[i] = move(w, i, "", "5");
		m[i].event_ms = i == 0 ? T + HOUR : T;
	}
	assert_ok(store_save(w->s, &save, err));
}

static void release(struct world *w)
{
	int64_t ids[3];

	for (int i = 0; i < 3; i++)
		ids[i] = w->lanes[i].id;
	assert_ok(store_lanes_release(w->s, SESSION_A, ids, 3, err));
}

static void saw_gap(void *arg, const struct store_gap *g)
{
	*(struct store_gap *)arg = *g;
}

static void a_repair_step_by_step(void **state)
{
	struct world *w = *state;
	int64_t now_ms = T + 30 * HOUR;
	struct joiner j = joiner_of("orders", ARN, now_ms);
	struct joiner_step step;
	struct store_stream s;
	struct store_gap gap = { 0 };

	delivered(w);
	takes(w, &j, JOINING_NOTHING);
	gap_at(w, 1);
	j.repairs = false;
	takes(w, &j, JOINING_NOTHING);
	j.repairs = true;
	step = takes(w, &j, JOINING_HOLD);
	assert_true(step.done);
	assert_int_equal(step.oldest_ms, T);
	takes(w, &j, JOINING_WAIT); /* until all is released */
	release(w);
	step = takes(w, &j, JOINING_BEGIN);
	/* A cut behind T, one behind T + 1 h, and the rest in two. */
	assert_int_equal(step.begun, 4);
	assert_int_equal(step.generation, 2);
	takes(w, &j, JOINING_WAIT);
	assert_int_equal(complete_all(w, now_ms + HOUR), 4);

	j = joiner_of("orders", ARN, now_ms + HOUR);
	step = takes(w, &j, JOINING_START);
	assert_int_equal(step.start_ms, now_ms + 2 * MINUTE - 5 * MINUTE);
	takes(w, &j, JOINING_NOTHING);
	s = stream_of(w, "orders", ARN);
	assert_int_equal(s.generation, 2);
	assert_int_equal(s.hold.id, 0);
	assert_false(s.rooted);
	assert_ok(store_gaps(w->s, w->stream, saw_gap, &gap, err));
	assert_int_equal(gap.state, STORE_GAP_CLOSED);
	assert_int_equal(gap.how, STORE_GAP_REPAIR);
}

/* Nothing is lost, and no gap has to be repaired by the configuration. */
static void a_person_goes_back_with_exports(void **state)
{
	struct world *w = *state;
	int64_t now_ms = T + 30 * HOUR;
	struct joiner j = joiner_of("orders", ARN, now_ms);
	struct store_hold h = { .why = STORE_HOLD_REPAIR,
				.who = "a person",
				.since_ms = now_ms,
				.back_ms = T - 2 * HOUR };
	struct joiner_step step;
	bool done;

	delivered(w);
	j.repairs = false;
	assert_ok(store_stream_hold(w->s, w->stream, 0, &h, &done, err));
	takes(w, &j, JOINING_WAIT);
	release(w);
	step = takes(w, &j, JOINING_BEGIN);
	assert_int_equal(step.oldest_ms, T - 2 * HOUR);
	assert_int_equal(step.generation, 2);
	/* As of the repair above, and a cut behind where it goes back to. */
	assert_int_equal(step.begun, 5);
	takes(w, &j, JOINING_WAIT);
	assert_int_equal(complete_all(w, now_ms + HOUR), 5);
	j = joiner_of("orders", ARN, now_ms + HOUR);
	j.repairs = false;
	step = takes(w, &j, JOINING_START);
	assert_int_equal(step.start_ms, now_ms + 2 * MINUTE - 5 * MINUTE);
	takes(w, &j, JOINING_NOTHING);
	assert_int_equal(stream_of(w, "orders", ARN).generation, 2);
	assert_int_equal(stream_of(w, "orders", ARN).hold.id, 0);
}

/* Nothing else would say why nothing came. */
static void further_back_than_pitr_the_hold_ends(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of("orders", ARN, T + 30 * HOUR);
	struct store_hold h = { .why = STORE_HOLD_REPAIR,
				.who = "a person",
				.since_ms = j.now_ms,
				.back_ms = T - 2 * HOUR };
	struct joiner_step step;
	bool done;

	delivered(w);
	j.earliest_ms = T - 2 * HOUR;
	assert_ok(store_stream_hold(w->s, w->stream, 0, &h, &done, err));
	step = takes(w, &j, JOINING_GO_ON);
	assert_non_null(strstr(step.error.message, "point-in-time recovery reaches back to"));
	takes(w, &j, JOINING_NOTHING);
	assert_int_equal(stream_of(w, "orders", ARN).generation, 1);
}

/* Neither the one that dies in between nor the one that is late makes a second join. */
static void two_workers_make_one_repair(void **state)
{
	struct world *w = *state;
	struct joiner a = joiner_of("orders", ARN, T + 30 * HOUR), b = a;
	struct joiner_step step;

	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	b.session = SESSION_B;
	b.worker = "worker-b";
	b.now_ms += 700;
	delivered(w);
	gap_at(w, 1);
	takes(w, &a, JOINING_HOLD);
	takes(w, &b, JOINING_WAIT);
	release(w);
	assert_int_equal(takes(w, &b, JOINING_BEGIN).begun, 4);
	takes(w, &a, JOINING_WAIT);
	complete_all(w, T + 31 * HOUR);
	step = takes(w, &a, JOINING_START);
	assert_true(step.done);
	takes(w, &b, JOINING_NOTHING);
	assert_int_equal(stream_of(w, "orders", ARN).generation, 2);
}

static void a_loss_that_is_accepted_meanwhile_needs_no_repair(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of("orders", ARN, T + 30 * HOUR);
	uint32_t accepted;

	delivered(w);
	gap_at(w, 1);
	takes(w, &j, JOINING_HOLD);
	assert_ok(store_gaps_accept(w->s, w->stream, INT64_MAX, j.now_ms, &accepted, err));
	takes(w, &j, JOINING_GO_ON);
	takes(w, &j, JOINING_NOTHING);
	assert_int_equal(stream_of(w, "orders", ARN).hold.id, 0);
}

static void beyond_pitr_only_a_baseline_helps(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of("orders", ARN, T + 30 * HOUR);
	struct joiner_step step;

	delivered(w);
	gap_at(w, 1);
	j.earliest_ms = T + 5 * HOUR;
	step = takes(w, &j, JOINING_STOP);
	assert_int_equal(step.error.kind, ERROR_TRIMMED);
	assert_non_null(strstr(step.error.message, "sluice export baseline"));
	assert_int_equal(stream_of(w, "orders", ARN).hold.id, 0);
}

static void a_paused_stream_is_repaired_when_it_goes_on(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of("orders", ARN, T + 30 * HOUR);
	struct store_hold h = { .why = STORE_HOLD_PAUSE, .who = "a person", .since_ms = T };
	bool done;

	delivered(w);
	gap_at(w, 1);
	assert_ok(store_stream_hold(w->s, w->stream, 0, &h, &done, err));
	takes(w, &j, JOINING_WAIT);
	assert_ok(store_stream_go_on(w->s, w->stream, h.id, "a person", T, &done, err));
	takes(w, &j, JOINING_HOLD);
}

/* A gap before a shard whose parent was never seen; the first of the three lanes is done. */
static void orphan_at(struct world *w, int64_t found_ms)
{
	struct store_gap g = { .stream = w->stream,
			       .kind = STORE_GAP_ORPHAN,
			       .shard = "shardId-x",
			       .found_ms = found_ms };
	struct store_move m[3];
	struct store_save save = save_of(SESSION_A, 1, m, 3);
	bool added;

	for (int i = 0; i < 3; i++) {
		m[i] = move(w, i, "", "5");
		m[i].event_ms = T + i * HOUR;
		m[i].done = i == 0;
	}
	assert_ok(store_save(w->s, &save, err));
	assert_ok(store_gap_put(w->s, SESSION_A, &g, false, &added, err));
}

/* Shards of which nothing was ever seen: what is missing begins where the known ones ended. */
static void orphans_are_repaired_from_the_ends_that_are_known(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of("orders", ARN, T + 30 * HOUR);
	struct joiner_step step;

	orphan_at(w, j.now_ms);
	step = takes(w, &j, JOINING_HOLD);
	assert_int_equal(step.places, 3);
	assert_int_equal(step.oldest_ms, T);
}

/* The reset behind it closes that gap as well, which nobody has a lane at. */
static void going_back_brings_what_every_open_gap_lost(void **state)
{
	struct world *w = *state;
	struct joiner j = joiner_of("orders", ARN, T + 30 * HOUR);
	struct store_hold h = { .why = STORE_HOLD_REPAIR,
				.who = "a person",
				.since_ms = j.now_ms,
				.back_ms = T + 3 * HOUR };
	struct joiner_step step;
	bool done;

	orphan_at(w, j.now_ms);
	j.repairs = false;
	assert_ok(store_stream_hold(w->s, w->stream, 0, &h, &done, err));
	step = takes(w, &j, JOINING_WAIT);
	assert_int_equal(step.places, 4);
	assert_int_equal(step.oldest_ms, T);
}

/* Between two streams of a table nothing was written down: from the ends of the first one. */
static void a_stream_that_was_off_is_repaired_from_the_one_before(void **state)
{
	static const char next[] = "arn:aws:dynamodb:eu-west-1:1:table/t/stream/y";
	struct world *w = *state;
	struct joiner j = joiner_of("orders", next, T + 30 * HOUR);
	struct store_gap g = { .kind = STORE_GAP_REENABLED, .found_ms = T + 30 * HOUR };
	struct store_move m[3];
	struct store_save save = save_of(SESSION_A, 1, m, 3);
	struct joiner_step step;
	bool added;

	for (int i = 0; i < 3; i++) {
		m[i] = move(w, i, "", "5");
		m[i].event_ms = T + i * HOUR;
		m[i].done = true;
	}
	assert_ok(store_save(w->s, &save, err));
	g.stream = stream_of(w, "orders", next).id;
	assert_ok(store_gap_put(w->s, SESSION_A, &g, false, &added, err));
	takes(w, &j, JOINING_HOLD);
	step = takes(w, &j, JOINING_BEGIN);
	assert_int_equal(step.oldest_ms, T);
	assert_int_equal(step.places, 3);
	assert_true(step.begun > 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)
static int run(const char *name)
{
	const struct CMUnitTest tests[] = {
		TEST(a_baseline_step_by_step),
		TEST(a_baseline_that_took_long_is_followed_by_windows),
		TEST(a_load_that_is_too_slow_is_foreseen),
		TEST(without_pitr_a_person_is_asked),
		TEST(a_failed_export_stops_its_join_until_it_is_retried),
		TEST(a_repair_step_by_step),
		TEST(a_person_goes_back_with_exports),
		TEST(further_back_than_pitr_the_hold_ends),
		TEST(two_workers_make_one_repair),
		TEST(a_loss_that_is_accepted_meanwhile_needs_no_repair),
		TEST(beyond_pitr_only_a_baseline_helps),
		TEST(a_paused_stream_is_repaired_when_it_goes_on),
		TEST(orphans_are_repaired_from_the_ends_that_are_known),
		TEST(going_back_brings_what_every_open_gap_lost),
		TEST(a_stream_that_was_off_is_repaired_from_the_one_before),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
