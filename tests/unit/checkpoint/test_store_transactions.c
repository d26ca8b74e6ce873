/* Rolls that are transactions: what they will move is pending until it is known whether they were
 * committed. */
#include "tests/unit/checkpoint/store_world.h"

struct place {
	int64_t lane;
	char text[SEQUENCE_TEXT_SIZE];
	int64_t event_ms;
	bool done;
};

static void note_place(void *arg, const struct store_position *p)
{
	struct place *place = arg;

	if (p->lane != place->lane)
		return;
	sequence_text(&p->sequence, place->text);
	place->event_ms = p->event_ms;
	place->done = p->done;
}

static void no_lane(void *arg, const struct store_lane *lane)
{
	(void)arg;
	(void)lane;
}

static struct place place_of(struct world *w, int lane)
{
	struct place place = { .lane = w->lanes[lane].id };

	assert_ok(store_lanes_list(w->s, w->stream, no_lane, note_place, &place, err));
	return place;
}

static void assert_place(struct world *w, int lane, const char *text, int64_t event_ms)
{
	struct place place = place_of(w, lane);

	assert_string_equal(place.text, text);
	assert_int_equal(place.event_ms, event_ms);
	assert_false(place.done);
}

static struct store_pending pending(const struct world *w, int lane, const char *to, int64_t ms)
{
	return (struct store_pending){
		.lane = w->lanes[lane].id, .sink = w->sink, .to = seq(to), .event_ms = ms
	};
}

/* Save 1: lane 0 is at 10; transaction 1 will bring it to 20 and lane 1 to 7. */
static void save_first(struct world *w)
{
	struct store_move m = move(w, 0, "", "10");
	struct store_roll roll = { .sink = w->sink, .number = 1, .blob = STR("one") };
	struct store_pending places[2] = { pending(w, 0, "20", 2000), pending(w, 1, "7", 700) };
	struct store_save save = save_of(SESSION_A, 1, &m, 1);

	save.rolls = &roll;
	save.roll_count = 1;
	save.pending = places;
	save.pending_count = 2;
	assert_ok(store_save(w->s, &save, err));
	assert_ok(store_save(w->s, &save, err)); /* its reply was lost */
	assert_place(w, 0, "10", m.event_ms);
	assert_place(w, 1, "", 0);
}

static void kill_a(struct world *w)
{
	bool done;

	assert_ok(store_session_kill(w->s, SESSION_A, 0, &done, err));
	assert_true(done);
	assert_kind(ERROR_INVALID, store_session_bury(w->s, SESSION_A, err));
}

static void finish(struct world *w, uint64_t number, bool committed)
{
	assert_ok(store_roll_finished(w->s, SESSION_A, "events", number, committed, err));
}

static void what_was_committed_moves_at_the_burial(void **state)
{
	struct world *w = *state;

	save_first(w);
	kill_a(w);
	finish(w, 1, true);
	finish(w, 1, false); /* somebody else was first */
	assert_place(w, 0, "20", 2000);
	assert_place(w, 1, "7", 700);
	assert_place(w, 2, "", 0);
	assert_ok(store_session_bury(w->s, SESSION_A, err));
}

static void what_was_not_committed_never_happened(void **state)
{
	struct world *w = *state;

	save_first(w);
	kill_a(w);
	finish(w, 1, false);
	finish(w, 1, true);
	assert_place(w, 0, "10", 1700000000123);
	assert_place(w, 1, "", 0);
	assert_ok(store_session_bury(w->s, SESSION_A, err));
}

/* The save behind a commit moves its places, and has the next transaction's. */
static void a_living_session_moves_them_itself(void **state)
{
	struct world *w = *state;
	struct store_move moves[2] = { move(w, 0, "10", "20"), move(w, 1, "", "7") };
	struct store_roll one = { .sink = w->sink, .number = 1 };
	struct store_roll two = { .sink = w->sink, .number = 2, .blob = STR("two") };
	struct store_pending next = pending(w, 2, "99", 9900);
	struct store_save save = save_of(SESSION_A, 2, moves, 2);

	save_first(w);
	save.finished = &one;
	save.finished_count = 1;
	save.rolls = &two;
	save.roll_count = 1;
	save.pending = &next;
	save.pending_count = 1;
	assert_ok(store_save(w->s, &save, err));
	assert_place(w, 0, "20", moves[0].event_ms);
	assert_place(w, 1, "7", moves[1].event_ms);
	kill_a(w);
	finish(w, 1, false); /* it is over */
	assert_place(w, 0, "20", moves[0].event_ms);
	finish(w, 2, true);
	assert_place(w, 2, "99", 9900);
	assert_ok(store_session_bury(w->s, SESSION_A, err));
}

static void each_sink_has_its_own(void **state)
{
	struct world *w = *state;
	struct store_roll rolls[2] = { { w->sink, 1, STR("a") }, { w->other, 1, STR("b") } };
	struct store_pending place = pending(w, 0, "5", 500);
	struct store_save save = save_of(SESSION_A, 1, NULL, 0);

	save.rolls = rolls;
	save.roll_count = 2;
	save.pending = &place;
	save.pending_count = 1;
	assert_ok(store_save(w->s, &save, err));
	kill_a(w);
	assert_ok(store_roll_finished(w->s, SESSION_A, "lake", 1, true, err)); /* moved with it */
	assert_place(w, 0, "", 0);
	finish(w, 1, true);
	assert_place(w, 0, "5", 500);
}

static void the_dead_have_nothing_pending(void **state)
{
	struct world *w = *state;
	struct store_roll roll = { .sink = w->sink, .number = 1, .blob = STR("one") };
	struct store_pending place = pending(w, 0, "5", 500);
	struct store_save save = save_of(SESSION_A, 1, NULL, 0);
	bool done;

	save.rolls = &roll;
	save.roll_count = 1;
	save.pending = &place;
	save.pending_count = 1;
	assert_ok(store_session_kill(w->s, SESSION_A, 0, &done, err));
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	assert_ok(store_session_bury(w->s, SESSION_A, err));
	assert_place(w, 0, "", 0);
}

static void ten_thousand_lanes_are_one_transaction(void **state)
{
	enum { MANY = 10000 };
	struct world *w = *state;
	struct store_lane *lanes = memory_array(MANY, sizeof(*lanes));
	struct store_pending *places = memory_array(MANY, sizeof(*places));
	struct store_roll roll = { .sink = w->sink, .number = 1, .blob = STR("one") };
	struct store_save save = save_of(SESSION_A, 1, NULL, 0);
	struct place last = { 0 };

	for (int i = 0; i < MANY; i++)
		lanes[i] = lane_named(1000 + i);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, lanes, MANY, &w->sink, 1,
				  err));
	for (int i = 0; i < MANY; i++)
		places[i] = (struct store_pending){
			.lane = lanes[i].id, .sink = w->sink, .to = seq("123"), .event_ms = i + 1
		};
	save.rolls = &roll;
	save.roll_count = 1;
	save.pending = places;
	save.pending_count = MANY;
	assert_ok(store_save(w->s, &save, err));
	kill_a(w);
	finish(w, 1, true);
	last.lane = lanes[MANY - 1].id;
	assert_ok(store_lanes_list(w->s, w->stream, no_lane, note_place, &last, err));
	assert_string_equal(last.text, "123");
	assert_int_equal(last.event_ms, MANY);
	free(lanes);
	free(places);
}

static int run(const char *name)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(what_was_committed_moves_at_the_burial),
		T(what_was_not_committed_never_happened),
		T(a_living_session_moves_them_itself),
		T(each_sink_has_its_own),
		T(the_dead_have_nothing_pending),
		T(ten_thousand_lanes_are_one_transaction),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
