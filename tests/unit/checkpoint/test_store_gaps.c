/* Gaps are recorded once, accepted and closed: the same contract for every store. */
#include "tests/unit/checkpoint/store_world.h"

#define FOUND_MS 1700000000000

struct listed {
	struct store_gap gaps[8];
	size_t count;
};

static void list_one(void *arg, const struct store_gap *gap)
{
	struct listed *l = arg;

	assert_true(l->count < 8);
	l->gaps[l->count++] = *gap;
}

static struct listed listed(struct store *s, int64_t stream)
{
	struct listed l = { 0 };

	assert_ok(store_gaps(s, stream, list_one, &l, err));
	return l;
}

static size_t accepted_count(struct world *w)
{
	struct listed l = { 0 };

	assert_ok(store_gaps_accepted(w->s, &w->stream, 1, list_one, &l, err));
	for (size_t i = 0; i < l.count; i++)
		assert_int_equal(l.gaps[i].state, STORE_GAP_ACCEPTED);
	return l.count;
}

static struct store_gap gap_of(const struct world *w, int lane, enum store_gap_kind kind,
			       const char *from)
{
	struct store_gap g = { .stream = w->stream,
			       .kind = kind,
			       .from = seq(from),
			       .from_ms = *from ? 1699900000000 : 0,
			       .found_ms = FOUND_MS };

	if (lane >= 0)
		memcpy(g.shard, w->lanes[lane].shard, sizeof(g.shard));
	return g;
}

static bool put(struct world *w, const char *session, struct store_gap *g, bool accept)
{
	bool added = !accept;

	assert_ok(store_gap_put(w->s, session, g, accept, &added, err));
	return added;
}

static void a_gap_is_one_row_whoever_finds_it(void **state)
{
	struct world *w = *state;
	struct store_gap g = gap_of(w, 0, STORE_GAP_TRIMMED, "1234567890123456789012345"), again;
	struct listed l;

	assert_true(put(w, SESSION_A, &g, false));
	assert_true(g.id > 0);
	assert_int_equal(g.state, STORE_GAP_OPEN);
	again = g;
	assert_true(put(w, SESSION_A, &again, false)); /* its reply was lost */
	again.found_ms++;
	assert_false(put(w, SESSION_A, &again, false));
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	again.kind = STORE_GAP_VANISHED; /* a day later nothing is left of the shard */
	assert_false(put(w, SESSION_B, &again, false));
	assert_int_equal(again.id, g.id);

	l = listed(w->s, w->stream);
	assert_int_equal(l.count, 1);
	assert_int_equal(l.gaps[0].id, g.id);
	assert_int_equal(l.gaps[0].stream, w->stream);
	assert_string_equal(l.gaps[0].shard, w->lanes[0].shard);
	assert_int_equal(l.gaps[0].kind, STORE_GAP_TRIMMED);
	assert_int_equal(sequence_compare(&l.gaps[0].from, &g.from), 0);
	assert_true(sequence_is_none(&l.gaps[0].to));
	assert_int_equal(l.gaps[0].from_ms, 1699900000000);
	assert_int_equal(l.gaps[0].to_ms, 0);
	assert_int_equal(l.gaps[0].found_ms, FOUND_MS);
	assert_string_equal(l.gaps[0].session, SESSION_A);
	assert_string_equal(l.gaps[0].worker, "worker-a");
	assert_int_equal(l.gaps[0].state, STORE_GAP_OPEN);
	assert_int_equal(l.gaps[0].how, STORE_GAP_NOHOW);
	assert_int_equal(l.gaps[0].closed_ms, 0);
}

static void other_places_are_other_gaps(void **state)
{
	struct world *w = *state;
	struct store_gap all[] = {
		gap_of(w, 0, STORE_GAP_TRIMMED, "5"),   gap_of(w, 0, STORE_GAP_TRIMMED, "6"),
		gap_of(w, 0, STORE_GAP_TRIMMED, ""),    gap_of(w, 1, STORE_GAP_TRIMMED, "5"),
		gap_of(w, 2, STORE_GAP_ORPHAN, ""),     gap_of(w, -1, STORE_GAP_VANISHED, ""),
		gap_of(w, -1, STORE_GAP_REENABLED, ""),
	};
	struct listed l;

	for (size_t i = 0; i < 7; i++)
		assert_true(put(w, SESSION_A, &all[i], false));
	l = listed(w->s, w->stream);
	assert_int_equal(l.count, 7);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(l.gaps[i].id, all[i].id);
		assert_int_equal(l.gaps[i].kind, all[i].kind);
	}
	assert_int_equal(listed(w->s, stream_named(w->s, "users")).count, 0);
	assert_int_equal(listed(w->s, 0).count, 7);
}

static void only_the_living_record_gaps_of_known_streams(void **state)
{
	struct world *w = *state;
	struct store_gap g = gap_of(w, 0, STORE_GAP_TRIMMED, "5");
	uint32_t accepted;
	bool added;

	assert_kind(ERROR_FENCED, store_gap_put(w->s, SESSION_C, &g, true, &added, err));
	g.stream = 4711;
	assert_kind(ERROR_NOT_FOUND, store_gap_put(w->s, SESSION_A, &g, true, &added, err));
	assert_kind(ERROR_NOT_FOUND, store_gaps_accept(w->s, 4711, 9, 1, &accepted, err));
	bury_a(w);
	g.stream = w->stream;
	assert_kind(ERROR_FENCED, store_gap_put(w->s, SESSION_A, &g, true, &added, err));
	assert_int_equal(listed(w->s, 0).count, 0);
}

static void a_person_accepts_and_a_worker_closes(void **state)
{
	struct world *w = *state;
	struct store_gap one = gap_of(w, 0, STORE_GAP_TRIMMED, "5"),
			 two = gap_of(w, 1, STORE_GAP_ORPHAN, ""),
			 other = gap_of(w, 0, STORE_GAP_TRIMMED, "5"),
			 later = gap_of(w, 2, STORE_GAP_TRIMMED, "5");
	struct sequence to = seq("99"), none = SEQUENCE_NONE;
	uint32_t accepted;
	struct listed l;

	other.stream = stream_named(w->s, "users");
	put(w, SESSION_A, &one, false);
	put(w, SESSION_A, &two, false);
	put(w, SESSION_A, &other, false);
	assert_int_equal(accepted_count(w), 0);
	put(w, SESSION_A, &later, false); /* not shown to who accepts */
	assert_ok(store_gaps_accept(w->s, w->stream, two.id, FOUND_MS + 5, &accepted, err));
	assert_int_equal(accepted, 2);
	assert_ok(store_gaps_accept(w->s, w->stream, two.id, FOUND_MS + 9, &accepted, err));
	assert_int_equal(accepted, 0);
	assert_int_equal(accepted_count(w), 2);
	assert_false(put(w, SESSION_A, &one, false) && one.state == STORE_GAP_OPEN);
	assert_int_equal(one.state, STORE_GAP_ACCEPTED);
	assert_int_equal(one.how, STORE_GAP_RESUME);

	for (int twice = 0; twice < 2; twice++)
		assert_ok(store_gap_close(w->s, one.id, STORE_GAP_NOHOW, &to, FOUND_MS - 7,
					  FOUND_MS + 20 + twice, err));
	assert_ok(store_gap_close(w->s, other.id, STORE_GAP_REPAIR, &none, 0, FOUND_MS + 30, err));
	assert_int_equal(accepted_count(w), 1);
	l = listed(w->s, 0);
	assert_int_equal(l.count, 4);
	assert_int_equal(l.gaps[3].state, STORE_GAP_OPEN);
	assert_int_equal(l.gaps[0].state, STORE_GAP_CLOSED);
	assert_int_equal(l.gaps[0].how, STORE_GAP_RESUME);
	assert_int_equal(sequence_compare(&l.gaps[0].to, &to), 0);
	assert_int_equal(l.gaps[0].to_ms, FOUND_MS - 7);
	assert_int_equal(l.gaps[0].closed_ms, FOUND_MS + 20);
	assert_int_equal(l.gaps[1].state, STORE_GAP_ACCEPTED);
	assert_int_equal(l.gaps[1].closed_ms, FOUND_MS + 5);
	assert_int_equal(l.gaps[2].state, STORE_GAP_CLOSED);
	assert_int_equal(l.gaps[2].how, STORE_GAP_REPAIR);
}

static void a_worker_accepts_at_once(void **state)
{
	struct world *w = *state;
	struct store_gap g = gap_of(w, 0, STORE_GAP_TRIMMED, "5"),
			 was_open = gap_of(w, 1, STORE_GAP_TRIMMED, "5");

	assert_true(put(w, SESSION_A, &g, true));
	assert_int_equal(g.state, STORE_GAP_ACCEPTED);
	assert_int_equal(g.how, STORE_GAP_OLDEST);
	assert_true(put(w, SESSION_A, &was_open, false));
	was_open.found_ms++; /* the worker was started again, with gap: oldest */
	assert_false(put(w, SESSION_A, &was_open, true));
	assert_int_equal(was_open.state, STORE_GAP_ACCEPTED);
	assert_int_equal(accepted_count(w), 2);
}

static void the_same_place_a_day_later_is_another_gap(void **state)
{
	struct world *w = *state;
	struct store_gap g = gap_of(w, 0, STORE_GAP_TRIMMED, "5"), again = g;
	int64_t first;

	put(w, SESSION_A, &g, true);
	first = g.id;
	again.found_ms += STORE_GAP_AGAIN_MS;
	assert_false(put(w, SESSION_A, &again, false));
	assert_int_equal(again.state, STORE_GAP_ACCEPTED);
	again.found_ms++;
	assert_true(put(w, SESSION_A, &again, false));
	assert_int_equal(again.state, STORE_GAP_OPEN);
	assert_int_not_equal(again.id, first);
	assert_int_equal(listed(w->s, 0).count, 1);
}

static void what_is_over_is_forgotten_after_a_month(void **state)
{
	struct world *w = *state;
	struct store_gap open = gap_of(w, 0, STORE_GAP_TRIMMED, "5"),
			 over = gap_of(w, 1, STORE_GAP_TRIMMED, "5"),
			 late = gap_of(w, 2, STORE_GAP_TRIMMED, "5");
	struct listed l;

	put(w, SESSION_A, &open, false);
	put(w, SESSION_A, &over, true);
	late.found_ms += STORE_GAP_KEPT_MS + 1;
	put(w, SESSION_A, &late, false);
	l = listed(w->s, 0);
	assert_int_equal(l.count, 2);
	assert_int_equal(l.gaps[0].id, open.id);
	assert_int_equal(l.gaps[1].id, late.id);
}

static void a_reader_sees_gaps(void **state)
{
	struct world *w = *state;
	struct store_gap g = gap_of(w, 0, STORE_GAP_TRIMMED, "5");
	struct store *reader;

	if (strcmp(store_url, "sqlite::memory:") == 0)
		return; /* nobody else can look into it */
	put(w, SESSION_A, &g, false);
	reader = opened_reader(store_url);
	assert_int_equal(listed(reader, w->stream).count, 1);
	store_close(reader);
}

/* --- what nobody reads may be lost --- */
struct unheld {
	char shards[4][STORE_SHARD_SIZE];
	int64_t event_ms[4], read_at_ms[4];
	size_t count;
};

static void see_unheld(void *arg, const char *shard, int64_t event_ms, int64_t read_at_ms)
{
	struct unheld *u = arg;

	assert_true(u->count < 4);
	snprintf(u->shards[u->count], STORE_SHARD_SIZE, "%s", shard);
	u->event_ms[u->count] = event_ms;
	u->read_at_ms[u->count++] = read_at_ms;
}

static struct unheld unheld(struct world *w)
{
	struct unheld u = { 0 };

	assert_ok(store_unheld(w->s, w->stream, see_unheld, &u, err));
	return u;
}

struct claimed {
	int lanes, positions;
};

static void on_claimed(void *arg, const struct store_lane *l)
{
	(void)l;
	((struct claimed *)arg)->lanes++;
}

static void on_position(void *arg, const struct store_position *p)
{
	(void)p;
	((struct claimed *)arg)->positions++;
}

static void lanes_that_nobody_has_are_told(void **state)
{
	struct world *w = *state;
	struct store_lane child = lane_named(3);
	struct store_move moves[2] = { move(w, 0, "", "5"), move(w, 1, "", "6") };
	struct store_save save = save_of(SESSION_A, 1, moves, 2);
	struct unheld u;
	bool done;

	memcpy(child.parent, w->lanes[0].shard, sizeof(child.parent));
	assert_ok(
		store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &child, 1, &w->sink, 1, err));
	moves[1].done = true;
	save.read_lanes = &w->lanes[0].id;
	save.read_count = 1;
	save.read_at_ms = FOUND_MS;
	assert_ok(store_save(w->s, &save, err));
	assert_int_equal(unheld(w).count, 0);
	assert_ok(store_lanes_release(w->s, SESSION_A, &w->lanes[2].id, 1, err));
	u = unheld(w);
	assert_int_equal(u.count, 1);
	assert_string_equal(u.shards[0], w->lanes[2].shard);
	assert_int_equal(u.event_ms[0], 0);
	assert_int_equal(u.read_at_ms[0], 0);
	assert_ok(store_session_kill(w->s, SESSION_A, 0, &done, err));
	u = unheld(w); /* not what is done, nor what waits for its parent */
	assert_int_equal(u.count, 2);
	assert_int_equal(u.event_ms[0] + u.event_ms[1], moves[0].event_ms);
	assert_int_equal(u.read_at_ms[0] + u.read_at_ms[1], FOUND_MS);
}

static void claim_lane(struct world *w, const int32_t *sinks, size_t count)
{
	struct claimed c = { 0 };

	assert_ok(store_lanes_claim(w->s, SESSION_A, w->stream, sinks, count, 1, on_claimed,
				    on_position, &c, err));
	assert_int_equal(c.lanes, 1);
	assert_int_equal(c.positions, (int)count);
}

static void a_sink_that_was_taken_away_holds_nobody(void **state)
{
	struct world *w = *state;
	const int32_t both[2] = { w->sink, w->other };
	struct store_move moves[2] = { move(w, 0, "", "5"), move(w, 0, "5", "9") };
	struct store_save first = save_of(SESSION_A, 1, &moves[0], 1);
	struct store_save second = save_of(SESSION_A, 2, &moves[1], 1);
	struct unheld u;

	for (int i = 1; i < 3; i++) {
		struct store_move done = move(w, i, "", "1");
		struct store_save save = save_of(SESSION_A, (uint64_t)i, &done, 1);

		done.done = true;
		assert_ok(store_save(w->s, &save, err));
	}
	first.number = 3;
	second.number = 4;
	assert_ok(store_save(w->s, &first, err));
	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, both, 2, err));
	assert_ok(store_lanes_release(w->s, SESSION_A, &w->lanes[0].id, 1, err));
	claim_lane(w, both, 2);
	moves[1].sink = w->other;
	moves[1].event_ms += 1000;
	assert_ok(store_save(w->s, &second, err));
	assert_ok(store_lanes_release(w->s, SESSION_A, &w->lanes[0].id, 1, err));
	u = unheld(w);
	assert_int_equal(u.count, 1);
	assert_int_equal(u.event_ms[0], moves[0].event_ms);
	assert_ok(store_leave(w->s, SESSION_A, w->stream, err));
	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, &w->other, 1, err));
	u = unheld(w);
	assert_int_equal(u.count, 1);
	assert_int_equal(u.event_ms[0], moves[1].event_ms);
}

static int run(const char *name)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(a_gap_is_one_row_whoever_finds_it),
		T(other_places_are_other_gaps),
		T(only_the_living_record_gaps_of_known_streams),
		T(a_person_accepts_and_a_worker_closes),
		T(a_worker_accepts_at_once),
		T(the_same_place_a_day_later_is_another_gap),
		T(what_is_over_is_forgotten_after_a_month),
		T(a_reader_sees_gaps),
		T(lanes_that_nobody_has_are_told),
		T(a_sink_that_was_taken_away_holds_nobody),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
