/* Where lanes stand is kept under a name and set again, and a rewind ends once all of it is read
 * again: the same contract for every store. */
#include "checkpoint/control.h"
#include "checkpoint/savepoints.h"
#include "tests/unit/checkpoint/store_world.h"

#define T 1700000000000

/* --- what the tests say --- */
static uint64_t saves; /* of session A */

static int rewinds_up(void **state)
{
	saves = 0;
	return world_up(state);
}

static void saved(struct world *w, int lane, const char *from, const char *to, bool done)
{
	struct store_move m = move(w, lane, from, to);
	struct store_save save = save_of(SESSION_A, ++saves, &m, 1);

	m.done = done;
	assert_ok(store_save(w->s, &save, err));
}

static bool keeps(struct world *w, const char *name, const char *who, int64_t at_ms)
{
	bool made;

	assert_ok(store_savepoint_put(w->s, name, &w->stream, 1, who, at_ms, &made, err));
	return made;
}

struct kept {
	struct store_place places[8];
	char shards[8][STORE_SHARD_SIZE];
	size_t count;
};

static void on_place(void *arg, const struct store_place *p)
{
	struct kept *k = arg;

	assert_true(k->count < 8);
	snprintf(k->shards[k->count], sizeof(k->shards[0]), "%s", p->shard);
	k->places[k->count++] = *p;
}

static struct kept places_of(struct world *w, const char *name)
{
	struct kept k = { 0 };

	assert_ok(store_savepoint_places(w->s, name, w->stream, on_place, &k, err));
	return k;
}

struct points {
	struct store_savepoint rows[4];
	char names[4][64];
	size_t count;
};

static void on_savepoint(void *arg, const struct store_savepoint *v)
{
	struct points *p = arg;

	assert_true(p->count < 4);
	assert_string_equal(v->stream_name, "orders");
	assert_string_equal(v->arn, "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x");
	snprintf(p->names[p->count], sizeof(p->names[0]), "%s %s", v->name, v->who);
	p->rows[p->count++] = *v;
}

static struct points points_of(struct world *w)
{
	struct points p = { 0 };

	assert_ok(store_savepoints(w->s, on_savepoint, &p, err));
	return p;
}

static int64_t held(struct world *w, enum store_hold_why why, int64_t since_ms)
{
	struct store_hold h = { .why = why, .who = "ann", .since_ms = since_ms };
	bool done;

	assert_ok(store_stream_hold(w->s, w->stream, 0, &h, &done, err));
	assert_true(done);
	return h.id;
}

static void release_all(struct world *w)
{
	int64_t ids[3];

	for (int i = 0; i < 3; i++)
		ids[i] = w->lanes[i].id;
	assert_ok(store_lanes_release(w->s, SESSION_A, ids, 3, err));
}

static void goes_on(struct world *w, int64_t hold)
{
	bool ended;

	assert_ok(store_stream_go_on(w->s, w->stream, hold, "ann", T + 9, &ended, err));
	assert_true(ended);
}

static struct store_rewind rewind_of(int64_t hold, uint64_t generation,
				     const struct store_place *places, size_t count)
{
	return (struct store_rewind){ .hold = hold,
				      .generation = generation,
				      .places = places,
				      .count = count,
				      .who = "ben",
				      .said = "from savepoint:monday",
				      .at_ms = T + 5 };
}

static bool rewinds(struct world *w, struct store_rewind *r)
{
	bool done;

	assert_ok(store_stream_rewind(w->s, w->stream, r, &done, err));
	return done;
}

static struct store_place place(const struct world *w, int lane, const char *sequence)
{
	return (struct store_place){ .shard = w->lanes[lane].shard,
				     .sink = w->sink,
				     .sequence = seq(sequence),
				     .event_ms = *sequence ? T - 1000 : 0 };
}

static bool is_done(struct world *w, int lane)
{
	struct seen seen = { 0 };
	bool done;

	assert_ok(store_lanes_list(w->s, w->stream, seen_lane, seen_position, &seen, err));
	done = seen.lanes[lane].done;
	seen_release(&seen);
	return done;
}

static struct seen taken_again(struct world *w)
{
	struct seen seen = { 0 };
	struct store_stream now;

	assert_ok(store_stream(w->s, "orders", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0,
			       &now, err));
	assert_ok(store_join(w->s, SESSION_A, w->stream, now.epoch, &w->sink, 1, err));
	assert_ok(store_lanes_claim(w->s, SESSION_A, w->stream, &w->sink, 1, 9, seen_lane,
				    seen_position, &seen, err));
	return seen;
}

static void take_again(struct world *w)
{
	struct seen seen = taken_again(w);

	seen_release(&seen);
}

static void on_event(void *arg, const struct store_control *e)
{
	assert_int_equal(e->kind, STORE_CONTROL_REWIND);
	assert_int_equal(e->phase, STORE_CONTROL_END);
	*(uint64_t *)arg = e->generation;
}

/* The generation of the rewind that has ended; 0: none has. */
static uint64_t ended(struct world *w)
{
	const struct store_control_of of = { "orders", w->sink };
	uint64_t generation = 0;
	bool waits;

	assert_ok(store_control_claim(w->s, SESSION_A, &of, 1, T, &waits, on_event, &generation,
				      err));
	return generation;
}

/* --- savepoints --- */
static void a_savepoint_keeps_where_lanes_stand(void **state)
{
	struct world *w = *state;
	struct points all;
	struct sequence five;
	struct kept k;

	saved(w, 1, "", "5", false);
	saved(w, 2, "", "7", true);
	assert_true(keeps(w, "monday", "ann", T));
	saved(w, 1, "5", "12", false);
	k = places_of(w, "monday");
	assert_int_equal(k.count, 3);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(k.shards[i], w->lanes[i].shard);
		assert_int_equal(k.places[i].sink, w->sink);
		assert_int_equal(k.places[i].done, i == 2);
	}
	assert_true(sequence_is_none(&k.places[0].sequence));
	assert_int_equal(k.places[0].event_ms, 0);
	five = seq("5");
	assert_true(sequence_equal(&k.places[1].sequence, &five));
	assert_int_equal(k.places[1].event_ms, 1700000000123);
	assert_int_equal(places_of(w, "tuesday").count, 0);

	assert_true(keeps(w, "after", "ben", T + 1));
	all = points_of(w);
	assert_int_equal(all.count, 2);
	assert_string_equal(all.names[0], "monday ann");
	assert_string_equal(all.names[1], "after ben");
	assert_int_equal(all.rows[0].at_ms, T);
	assert_int_equal(all.rows[0].generation, 1);
	assert_int_equal(all.rows[0].places, 3);
	assert_int_equal(all.rows[0].stream, w->stream);
}

static void a_savepoints_name_is_given_once(void **state)
{
	struct world *w = *state;
	bool dropped;

	assert_true(keeps(w, "monday", "ann", T));
	saved(w, 1, "", "5", false);
	assert_true(keeps(w, "monday", "ann", T)); /* said again: it is as it was */
	assert_true(sequence_is_none(&places_of(w, "monday").places[1].sequence));
	assert_false(keeps(w, "monday", "ben", T));
	assert_false(keeps(w, "monday", "ann", T + 1));
	assert_ok(store_savepoint_drop(w->s, "monday", &dropped, err));
	assert_true(dropped);
	assert_ok(store_savepoint_drop(w->s, "monday", &dropped, err));
	assert_false(dropped);
	assert_int_equal(points_of(w).count, 0);
	assert_int_equal(places_of(w, "monday").count, 0);
	assert_true(keeps(w, "monday", "ben", T + 2));
}

/* --- rewinds --- */
static void lanes_go_back_to_their_places(void **state)
{
	struct world *w = *state;
	struct store_place places[4];
	struct store_rewind r;
	struct store_stream now;
	int64_t hold;

	saved(w, 0, "", "3", false);
	saved(w, 1, "", "9", false);
	saved(w, 2, "", "7", true);
	hold = held(w, STORE_HOLD_REWIND, T);
	release_all(w);
	places[0] = place(w, 1, "5");
	places[1] = place(w, 2, "");
	places[2] = place(w, 0, "1");
	places[2].sink = w->other; /* which the lane does not have */
	places[3] = place(w, 0, "1");
	places[3].shard = "shardId-of-another-stream";
	r = rewind_of(hold, 1, places, 4);
	assert_true(rewinds(w, &r));
	assert_int_equal(r.generation, 2);
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "3");
	assert_at(w->s, w->stream, w->lanes[1].id, w->sink, "5");
	assert_at(w->s, w->stream, w->lanes[2].id, w->sink, "");
	assert_false(is_done(w, 2));
	assert_ok(store_stream(w->s, "orders", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0,
			       &now, err));
	assert_int_equal(now.generation, 2);
	assert_int_equal(now.hold.id, hold); /* until it goes on */
	assert_true(now.rooted);
}

static void read_at(struct world *w, int lane, int64_t at_ms)
{
	struct store_save save = save_of(SESSION_A, ++saves, NULL, 0);

	save.read_lanes = &w->lanes[lane].id;
	save.read_count = 1;
	save.read_at_ms = at_ms;
	assert_ok(store_save(w->s, &save, err));
}

/* What was read since its place is unread again. */
static void what_goes_back_was_read_when_it_was_there(void **state)
{
	struct world *w = *state;
	const int64_t reads[3] = { T - 100, T - 100, T - 5000 };
	const int64_t is[3] = { T - 1000, T - 100, T - 5000 };
	struct store_place places[3] = { place(w, 0, ""), place(w, 1, "5"), place(w, 2, "") };
	struct seen seen = { 0 };
	struct store_rewind r;

	for (int i = 0; i < 3; i++)
		read_at(w, i, reads[i]);
	r = rewind_of(held(w, STORE_HOLD_REWIND, T), 1, places, 3);
	release_all(w);
	places[1].done = true; /* nothing of it is read again */
	r.read_at_ms = T - 1000;
	assert_true(rewinds(w, &r));
	assert_ok(store_lanes_list(w->s, w->stream, seen_lane, seen_position, &seen, err));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(seen.lanes[i].read_at_ms, is[i]);
		assert_true(seen.lanes[i].was_read);
	}
	seen_release(&seen);
}

static void when_a_lane_was_read_may_be_unknown(void **state)
{
	struct world *w = *state;
	struct store_place places[2] = { place(w, 0, ""), place(w, 1, "") };
	struct seen seen = { 0 };
	struct store_rewind r;

	read_at(w, 0, T - 100);
	r = rewind_of(held(w, STORE_HOLD_REWIND, T), 1, places, 2);
	release_all(w);
	assert_true(rewinds(w, &r)); /* nothing is said of it */
	assert_ok(store_lanes_list(w->s, w->stream, seen_lane, seen_position, &seen, err));
	assert_int_equal(seen.lanes[0].read_at_ms, T - 100);
	assert_int_equal(seen.lanes[1].read_at_ms, 0);
	assert_false(seen.lanes[1].was_read);
	seen_release(&seen);
	goes_on(w, r.hold);
	seen = taken_again(w);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(seen.lanes[i].read_at_ms, T - 100); /* its stream was */
		assert_int_equal(seen.lanes[i].was_read, i == 0);
	}
	seen_release(&seen);
}

static void a_place_may_be_done(void **state)
{
	struct world *w = *state;
	struct store_place p = place(w, 1, "5");
	struct store_rewind r;
	int64_t hold = held(w, STORE_HOLD_REWIND, T);

	release_all(w);
	p.done = true;
	r = rewind_of(hold, 1, &p, 1);
	assert_true(rewinds(w, &r));
	assert_true(is_done(w, 1));
	assert_false(is_done(w, 0));
}

static void nothing_goes_back_before_all_is_released(void **state)
{
	struct world *w = *state;
	struct store_place p = place(w, 1, "");
	struct store_rewind r;
	int64_t hold;

	saved(w, 1, "", "9", false);
	hold = held(w, STORE_HOLD_REWIND, T);
	r = rewind_of(hold, 1, &p, 1);
	assert_false(rewinds(w, &r));
	assert_int_equal(r.owned, 3);
	release_all(w);
	r.generation = 2;
	assert_false(rewinds(w, &r)); /* it was raised, this is about another */
	assert_int_equal(r.owned, 0);
	r.generation = 1;
	r.hold = hold + 100;
	assert_false(rewinds(w, &r));
	assert_at(w->s, w->stream, w->lanes[1].id, w->sink, "9");
	r.hold = hold;
	assert_true(rewinds(w, &r));
	assert_at(w->s, w->stream, w->lanes[1].id, w->sink, "");
}

static void a_rewind_said_again_counts_once(void **state)
{
	struct world *w = *state;
	struct store_place p = place(w, 1, "");
	struct store_rewind r;
	int64_t hold;

	saved(w, 1, "", "9", false);
	hold = held(w, STORE_HOLD_REWIND, T);
	release_all(w);
	r = rewind_of(hold, 1, &p, 1);
	assert_true(rewinds(w, &r));
	goes_on(w, hold);
	take_again(w);
	saved(w, 1, "", "4", false);
	r.generation = 1;
	assert_true(rewinds(w, &r));
	assert_int_equal(r.generation, 2);
	assert_at(w->s, w->stream, w->lanes[1].id, w->sink, "4");
}

static void on_audit(void *arg, const struct store_audit *a)
{
	size_t *rows = arg;

	if ((*rows)++ > 0)
		return;
	assert_int_equal(a->what, STORE_AUDIT_REWIND);
	assert_int_equal(a->why, STORE_HOLD_REWIND);
	assert_string_equal(a->who, "ben");
	assert_string_equal(a->said, "from savepoint:monday");
	assert_int_equal(a->from_generation, 1);
	assert_int_equal(a->to_generation, 2);
	assert_int_equal(a->from_ms, 1700000000123);
	assert_int_equal(a->to_ms, T - 1000);
	assert_int_equal(a->lanes, 2);
	assert_int_equal(a->at_ms, T + 5);
}

static void the_audit_says_from_where_to_where(void **state)
{
	struct world *w = *state;
	struct store_place places[3] = { place(w, 0, "1"), place(w, 0, "1"), place(w, 1, "2") };
	struct store_rewind r;
	size_t rows = 0;

	places[0].sink = w->other; /* which the lane does not have; it counts for its own sink */
	places[2].event_ms = T - 500;
	saved(w, 0, "", "3", false);
	saved(w, 1, "", "9", false);
	r = rewind_of(held(w, STORE_HOLD_REWIND, T), 1, places, 3);
	release_all(w);
	assert_true(rewinds(w, &r));
	assert_ok(store_audit(w->s, w->stream, 9, on_audit, &rows, err));
	assert_int_equal(rows, 2);
}

/* --- the end --- */
static void a_rewind_ends_once_all_is_read_again(void **state)
{
	struct world *w = *state;
	struct store_place places[3];
	struct store_rewind r;
	int64_t hold;

	saved(w, 0, "", "3", false);
	saved(w, 1, "", "11", false);
	saved(w, 2, "", "7", true);
	assert_int_equal(ended(w), 0);
	hold = held(w, STORE_HOLD_REWIND, T);
	release_all(w);
	for (int i = 0; i < 3; i++)
		places[i] = place(w, i, i == 0 ? "3" : i == 1 ? "9" : "");
	r = rewind_of(hold, 1, places, 3);
	assert_true(rewinds(w, &r));
	assert_int_equal(ended(w), 0); /* it is held */
	goes_on(w, hold);
	take_again(w);
	assert_int_equal(ended(w), 0);
	saved(w, 1, "9", "10", false);
	saved(w, 2, "", "7", false);
	assert_int_equal(ended(w), 0);
	saved(w, 1, "10", "20", false);
	assert_int_equal(ended(w), 0); /* what was done is not done again */
	saved(w, 2, "7", "7", true);
	assert_int_equal(ended(w), 2);
}

static void the_end_of_two_rewinds_is_that_of_the_further_one(void **state)
{
	struct world *w = *state;
	struct store_place p = place(w, 1, "3");
	struct store_rewind r;
	int64_t hold;

	saved(w, 1, "", "11", false);
	hold = held(w, STORE_HOLD_REWIND, T);
	release_all(w);
	r = rewind_of(hold, 1, &p, 1);
	assert_true(rewinds(w, &r));
	goes_on(w, hold);
	take_again(w);
	saved(w, 1, "3", "5", false);
	hold = held(w, STORE_HOLD_REWIND, T + 100);
	release_all(w);
	r = rewind_of(hold, 2, &p, 1);
	r.at_ms += 100;
	assert_true(rewinds(w, &r));
	goes_on(w, hold);
	take_again(w);
	saved(w, 1, "3", "9", false);
	assert_int_equal(ended(w), 0);
	saved(w, 1, "9", "11", false);
	assert_int_equal(ended(w), 3);
}

/* Nothing of it is read any more, so that its goals are reached by nobody. */
static void a_sink_that_was_taken_away_keeps_no_rewind_from_its_end(void **state)
{
	struct world *w = *state;
	const int32_t both[2] = { w->sink, w->other };
	struct seen seen = { 0 };
	struct store_place p;
	struct store_move m;
	struct store_save save;
	struct store_rewind r;
	int64_t hold;

	release_all(w);
	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, both, 2, err));
	assert_ok(store_lanes_claim(w->s, SESSION_A, w->stream, both, 2, 9, seen_lane,
				    seen_position, &seen, err));
	seen_release(&seen);
	m = move(w, 1, "", "11");
	m.sink = w->other;
	save = save_of(SESSION_A, ++saves, &m, 1);
	assert_ok(store_save(w->s, &save, err));
	hold = held(w, STORE_HOLD_REWIND, T);
	release_all(w);
	p = place(w, 1, "3");
	p.sink = w->other;
	r = rewind_of(hold, 1, &p, 1);
	assert_true(rewinds(w, &r));
	goes_on(w, hold);
	take_again(w); /* without the other sink */
	assert_int_equal(ended(w), 2);
}

static struct store_reset reset_of(int64_t hold)
{
	return (struct store_reset){
		.hold = hold, .generation = 1, .who = "ben", .said = "from oldest", .at_ms = T + 5
	};
}

/* The first listing after a reset. */
static void listed(struct world *w, struct store_lane *roots, size_t count)
{
	struct store_stream now;

	assert_ok(store_stream(w->s, "orders", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0,
			       &now, err));
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, now.epoch, true, roots, count,
				  &w->sink, 1, err));
}

static void a_reset_for_a_rewind_ends_so_too(void **state)
{
	struct world *w = *state;
	struct store_lane roots[2] = { lane_named(1), lane_named(2) };
	struct store_stream now;
	struct store_reset r;
	bool done;
	int64_t hold;

	saved(w, 0, "", "3", false); /* which is not listed any more then */
	saved(w, 1, "", "9", false);
	hold = held(w, STORE_HOLD_REWIND, T);
	release_all(w);
	r = reset_of(hold);
	assert_ok(store_stream_reset(w->s, w->stream, &r, &done, err));
	assert_true(done);
	goes_on(w, hold);
	assert_ok(store_stream(w->s, "orders", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0,
			       &now, err));
	assert_int_equal(now.reset_ms, r.at_ms); /* also once its hold has ended */
	take_again(w);
	assert_int_equal(ended(w), 0); /* nothing is listed yet */
	listed(w, roots, 2);
	assert_int_equal(ended(w), 0);
	w->lanes[1] = roots[0];
	saved(w, 1, "", "9", false);
	assert_int_equal(ended(w), 2);
}

static void what_is_reset_for_a_repair_is_no_rewind(void **state)
{
	struct world *w = *state;
	struct store_lane root = lane_named(1);
	struct store_reset r;
	bool done;
	int64_t hold;

	saved(w, 1, "", "9", false);
	hold = held(w, STORE_HOLD_REPAIR, T);
	release_all(w);
	r = reset_of(hold);
	assert_ok(store_stream_reset(w->s, w->stream, &r, &done, err));
	assert_true(done);
	goes_on(w, hold);
	take_again(w);
	listed(w, &root, 1);
	w->lanes[1] = root;
	saved(w, 1, "", "9", false);
	assert_int_equal(ended(w), 0);
}

static int run(const char *name)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, rewinds_up, world_down)
	const struct CMUnitTest tests[] = {
		TEST(a_savepoint_keeps_where_lanes_stand),
		TEST(a_savepoints_name_is_given_once),
		TEST(lanes_go_back_to_their_places),
		TEST(what_goes_back_was_read_when_it_was_there),
		TEST(when_a_lane_was_read_may_be_unknown),
		TEST(a_place_may_be_done),
		TEST(nothing_goes_back_before_all_is_released),
		TEST(a_rewind_said_again_counts_once),
		TEST(the_audit_says_from_where_to_where),
		TEST(a_rewind_ends_once_all_is_read_again),
		TEST(the_end_of_two_rewinds_is_that_of_the_further_one),
		TEST(a_sink_that_was_taken_away_keeps_no_rewind_from_its_end),
		TEST(a_reset_for_a_rewind_ends_so_too),
		TEST(what_is_reset_for_a_repair_is_no_rewind),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
