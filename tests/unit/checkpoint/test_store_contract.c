/* One contract, held by every store: the same tests against sqlite in memory, a sqlite file and
 * Postgres. */
#include "tests/unit/checkpoint/store_world.h"

/* --- sessions --- */
static void a_session_lives_once(void **state)
{
	struct world *w = *state;
	struct store_session all[4];
	size_t count;
	bool done;

	assert_kind(ERROR_FENCED, store_session_begin(w->s, SESSION_A, "again", "", 10000, err));
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	assert_ok(store_session_beat(w->s, SESSION_A, err));
	assert_ok(store_session_beat(w->s, SESSION_A, err));
	assert_ok(store_sessions(w->s, all, 4, &count, err));
	assert_int_equal(count, 2);
	assert_string_equal(all[0].id, SESSION_A);
	assert_string_equal(all[0].worker, "worker-a");
	assert_string_equal(all[0].address, "10.0.0.1:8080");
	assert_int_equal(all[0].beat, 2);
	assert_int_equal(all[0].state, SESSION_LIVE);
	assert_string_equal(all[1].id, SESSION_B);
	assert_ok(store_sessions(w->s, all, 1, &count, err));
	assert_int_equal(count, 1);

	assert_ok(store_session_kill(w->s, SESSION_A, 1, &done, err)); /* it has beaten since */
	assert_false(done);
	assert_ok(store_session_beat(w->s, SESSION_A, err));
	assert_ok(store_session_kill(w->s, SESSION_A, 3, &done, err));
	assert_true(done);
	assert_ok(store_session_kill(w->s, SESSION_A, 3, &done, err));
	assert_false(done);
	assert_kind(ERROR_FENCED, store_session_beat(w->s, SESSION_A, err));
	assert_ok(store_sessions(w->s, all, 4, &count, err));
	assert_int_equal(all[0].state, SESSION_DEAD);

	assert_ok(store_session_bury(w->s, SESSION_A, err));
	assert_ok(store_session_bury(w->s, SESSION_A, err));
	assert_kind(ERROR_FENCED, store_session_beat(w->s, SESSION_A, err));
	assert_kind(ERROR_FENCED, store_session_begin(w->s, SESSION_A, "again", "", 10000, err));
	assert_ok(store_sessions(w->s, all, 4, &count, err));
	assert_int_equal(count, 1);
	assert_ok(store_session_bury(w->s, SESSION_B, err)); /* alive: its owner says goodbye */
	assert_kind(ERROR_FENCED, store_session_beat(w->s, SESSION_B, err));
}

static void an_unknown_session_can_do_nothing(void **state)
{
	struct world *w = *state;
	struct store_lane lane = lane_named(9);
	struct store_move m = move(w, 0, "", "1");
	struct store_save save = save_of(SESSION_C, 1, &m, 1);
	struct store_round_fns looking = { 0 };
	struct seen seen = { 0 };
	uint32_t wished;
	bool done;

	assert_kind(ERROR_FENCED, store_session_beat(w->s, SESSION_C, err));
	assert_ok(store_session_kill(w->s, SESSION_C, 0, &done, err));
	assert_false(done);
	assert_kind(ERROR_NOT_FOUND, store_session_bury(w->s, SESSION_C, err));
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	assert_kind(ERROR_FENCED, store_lanes_add(w->s, SESSION_C, w->stream, 0, true, &lane, 1,
						  &w->sink, 1, err));
	assert_kind(ERROR_FENCED, store_join(w->s, SESSION_C, w->stream, 0, &w->sink, 1, err));
	assert_kind(ERROR_FENCED, store_round(w->s, SESSION_C, &looking, NULL, err));
	assert_kind(ERROR_FENCED, store_lanes_claim(w->s, SESSION_C, w->stream, &w->sink, 1, 9,
						    seen_lane, seen_position, &seen, err));
	assert_kind(ERROR_FENCED,
		    store_lanes_wish(w->s, SESSION_C, SESSION_A, w->stream, 9, &wished, err));
	assert_kind(ERROR_FENCED, store_lanes_release(w->s, SESSION_C, &w->lanes[0].id, 1, err));
	assert_int_equal(seen.lane_count, 0);
}

/* --- sinks and streams --- */
static void a_name_has_one_id(void **state)
{
	struct world *w = *state;
	struct store_stream one, again, other;

	assert_int_equal(sink_named(w->s, "events"), w->sink);
	assert_int_not_equal(w->other, w->sink);
	assert_ok(store_stream(w->s, "users", "arn:1", 77, &one, err));
	assert_true(one.created);
	assert_int_equal(one.generation, 1);
	assert_int_equal(one.start_ms, 77);
	assert_false(one.rooted);
	assert_ok(store_stream(w->s, "users", "arn:1", 99, &again, err));
	assert_false(again.created);
	assert_int_equal(again.id, one.id);
	assert_int_equal(again.start_ms, 77); /* the first one counts */
	assert_ok(store_stream(w->s, "users", "arn:2", 99, &other, err));
	assert_true(other.created);
	assert_int_not_equal(other.id, one.id);
}

static void collect_stream(void *arg, const char *name, const char *arn,
			   const struct store_stream *stream)
{
	char *text = arg;
	size_t used = strlen(text);

	snprintf(text + used, 200 - used, "%s %s %d;", name, strrchr(arn, ':') + 1, stream->rooted);
}

static void streams_are_listed(void **state)
{
	struct world *w = *state;
	struct store_stream one;
	char text[200] = "";

	assert_ok(store_stream(w->s, "users", "arn:1", 0, &one, err));
	assert_ok(store_streams(w->s, collect_stream, text, err));
	assert_string_equal(text, "orders table/t/stream/x 1;users 1 0;");
}

/* --- lanes --- */
static void lanes_are_added_once(void **state)
{
	struct world *w = *state;
	struct store_lane more[3] = { lane_named(1), lane_named(7), lane_named(8) };
	int32_t both[2] = { w->sink, w->other };
	struct store_stream stream;
	struct seen seen = { 0 };

	more[1].starting = seq("1234567890123456789012345678901234567890");
	more[1].done_unread = true;
	more[1].root = true;
	snprintf(more[2].parent, sizeof(more[2].parent), "a \"quoted\", {odd} \\ parent");
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	for (int twice = 0; twice < 2; twice++) {
		assert_ok(store_lanes_add(w->s, SESSION_B, w->stream, 0, true, more, 3, both, 2,
					  err));
		assert_int_equal(more[0].id, w->lanes[1].id);
		assert_string_equal(more[0].owner, SESSION_A);
		assert_string_equal(more[1].owner, ""); /* it is done */
		assert_string_equal(more[2].owner, SESSION_B);
		assert_int_equal(more[1].done, true);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(more[i].begun, i == 1);
			assert_int_equal(more[i].root, i == 1);
			assert_false(more[i].waits);
		}
		more[1].root = false; /* the first one counts */
	}
	assert_ok(store_lanes_list(w->s, w->stream, seen_lane, seen_position, &seen, err));
	assert_int_equal(seen.lane_count, 5);
	assert_int_equal(seen.position_count, 3 + 2 * 2);
	for (size_t i = 0; i < seen.lane_count; i++) {
		const struct store_lane *l = &seen.lanes[i];

		assert_int_equal(l->root, l->id == more[1].id);
		assert_true(sequence_equal(&l->starting, l->id == more[1].id ? &more[1].starting
									     : &SEQUENCE_NONE));
		assert_string_equal(l->parent, l->id == more[2].id ? more[2].parent : "");
		assert_string_equal(l->owner, i < 3                 ? SESSION_A
					      : l->id == more[1].id ? ""
								    : SESSION_B);
		assert_int_equal(l->done, l->id == more[1].id);
		assert_int_equal(l->read_at_ms, 0);
	}
	for (size_t i = 0; i < seen.position_count; i++)
		assert_int_equal(seen.positions[i].done, seen.positions[i].lane == more[1].id);
	seen_release(&seen);
	assert_ok(store_stream(w->s, "orders", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0,
			       &stream, err));
	assert_true(stream.rooted);
	assert_kind(ERROR_NOT_FOUND, store_lanes_add(w->s, SESSION_B, w->stream + 1000, 0, true,
						     more, 3, both, 2, err));
	/* No lanes is a listing, too. */
	assert_ok(store_lanes_add(w->s, SESSION_B, w->stream, 0, true, NULL, 0, both, 2, err));
}

/* Whoever finds a lane once more learns whether there is more to know of it than it says. */
static void a_lane_tells_that_it_was_begun(void **state)
{
	struct world *w = *state;
	struct store_lane again[3] = { lane_named(0), lane_named(1), lane_named(2) };
	struct store_lane children[2] = { lane_named(7), lane_named(8) };
	struct store_move moves[2] = { move(w, 0, "", "100"), move(w, 1, "", "") };
	struct store_save save = save_of(SESSION_A, 1, moves, 2);
	struct store_save read = save_of(SESSION_A, 2, NULL, 0);

	moves[1].done = true;
	assert_ok(store_save(w->s, &save, err));
	for (int twice = 0; twice < 2; twice++) {
		assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, again, 3, &w->sink,
					  1, err));
		assert_true(again[0].begun && again[1].begun);
		assert_int_equal(again[2].begun, twice);
		/* Read, and there was nothing in it. */
		read.read_lanes = &w->lanes[2].id;
		read.read_count = 1;
		read.read_at_ms = 1700000000000;
		if (!twice)
			assert_ok(store_save(w->s, &read, err));
	}
	for (int i = 0; i < 2; i++)
		strcpy(children[i].parent, again[i].shard);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, children, 2, &w->sink, 1,
				  err));
	assert_true(children[0].waits && !children[1].waits);
	assert_false(children[0].begun || children[1].begun);
}

static void burial_frees_and_claim_takes(void **state)
{
	struct world *w = *state;
	struct store_move moves[2] = { move(w, 0, "", "100"), move(w, 1, "", "99") };
	struct store_save save = save_of(SESSION_A, 1, moves, 2);
	int32_t both[2] = { w->sink, w->other };
	struct seen seen;
	bool done;

	moves[1].done = true;
	assert_ok(store_save(w->s, &save, err));
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	seen = claimed(w->s, SESSION_B, w->stream, both, 2, 9);
	assert_int_equal(seen.lane_count, 0); /* the owner lives */
	assert_ok(store_session_kill(w->s, SESSION_A, 0, &done, err));
	seen = claimed(w->s, SESSION_B, w->stream, both, 2, 9);
	assert_int_equal(seen.lane_count, 0); /* dead is not buried */
	assert_ok(store_session_bury(w->s, SESSION_A, err));
	seen = claimed(w->s, SESSION_B, w->stream, both, 2, 9);
	assert_int_equal(seen.lane_count, 2); /* what is done is nobody's */
	assert_int_equal(seen.position_count, 4);
	assert_int_equal(seen.lanes[0].id, w->lanes[0].id);
	assert_int_equal(seen.lanes[1].id, w->lanes[2].id);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(seen.lanes[i].owner, SESSION_B);
	seen_release(&seen);
	/* A new sink begins where the lane's furthest one is. */
	assert_at(w->s, w->stream, w->lanes[0].id, w->other, "100");
	assert_at(w->s, w->stream, w->lanes[2].id, w->other, "");
	assert_int_equal(position_of(w->s, w->stream, w->lanes[0].id, w->other).event_ms,
			 moves[0].event_ms);
	assert_ok(store_session_bury(w->s, SESSION_B, err));
	assert_kind(ERROR_FENCED, store_lanes_claim(w->s, SESSION_B, w->stream, both, 2, 9,
						    seen_lane, seen_position, &seen, err));
}

static void the_furthest_position_is_by_number(void **state)
{
	struct world *w = *state;
	int32_t third = sink_named(w->s, "third");
	int32_t all[3] = { w->sink, w->other, third };
	struct store_lane lane = lane_named(9);
	struct store_move moves[2] = { { .to = seq("9"), .sink = w->sink },
				       { .to = seq("10"), .sink = w->other } };
	struct store_save save = save_of(SESSION_A, 1, moves, 2);
	struct seen seen;

	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &lane, 1, all, 2, err));
	moves[0].lane = moves[1].lane = lane.id;
	assert_ok(store_save(w->s, &save, err));
	bury_a(w);
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	seen = claimed(w->s, SESSION_B, w->stream, all, 3, 9);
	seen_release(&seen);
	assert_at(w->s, w->stream, lane.id, third, "10");
	assert_at(w->s, w->stream, lane.id, w->sink, "9");
}

/* --- saves --- */
static void a_save_moves_everything(void **state)
{
	struct world *w = *state;
	const char *big = "9999999999999999999999999999999999999999";
	struct store_move moves[3] = { move(w, 0, "", "21"), move(w, 1, "", big),
				       move(w, 2, "", "") };
	struct store_save save = save_of(SESSION_A, 1, moves, 3);
	int64_t read[2] = { w->lanes[0].id, w->lanes[2].id };
	struct store_position p;
	struct seen seen = { 0 };

	moves[2].done = true; /* a shard without records */
	save.read_lanes = read;
	save.read_count = 2;
	save.read_at_ms = 1700000009999;
	assert_ok(store_save(w->s, &save, err));
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "21");
	assert_at(w->s, w->stream, w->lanes[1].id, w->sink, big);
	assert_at(w->s, w->stream, w->lanes[2].id, w->sink, "");
	p = position_of(w->s, w->stream, w->lanes[0].id, w->sink);
	assert_int_equal(p.event_ms, 1700000000123);
	assert_false(p.done);
	assert_true(position_of(w->s, w->stream, w->lanes[2].id, w->sink).done);
	assert_ok(store_lanes_list(w->s, w->stream, seen_lane, seen_position, &seen, err));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(seen.lanes[i].read_at_ms, i == 1 ? 0 : 1700000009999);
	seen_release(&seen);

	moves[0] = move(w, 1, big, big); /* only its time or done moves */
	save = save_of(SESSION_A, 2, moves, 1);
	assert_ok(store_save(w->s, &save, err));
	save = save_of(SESSION_A, 3, NULL, 0); /* nothing to move is a save, too */
	assert_ok(store_save(w->s, &save, err));
}

static void a_save_is_all_or_nothing(void **state)
{
	struct world *w = *state;
	struct store_move moves[2] = { move(w, 0, "", "10"), move(w, 1, "7", "11") };
	struct store_roll roll = { .sink = w->sink, .number = 1, .blob = STR("blob") };
	struct store_save save = save_of(SESSION_A, 1, moves, 2);
	int64_t read = w->lanes[0].id;

	save.rolls = &roll;
	save.roll_count = 1;
	save.read_lanes = &read;
	save.read_count = 1;
	save.read_at_ms = 5;
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err)); /* lane 1 is at none, not at 7 */
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "");
	moves[1] = move(w, 1, "", "11");
	moves[1].lane = 123456789;
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	moves[1] = move(w, 1, "", "11");
	moves[1].sink = w->other;
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "");
	/* Neither the number nor the roll counted. */
	moves[1] = move(w, 1, "", "11");
	assert_ok(store_save(w->s, &save, err));
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "10");
	assert_at(w->s, w->stream, w->lanes[1].id, w->sink, "11");
	/* From none it moves once. */
	moves[0] = move(w, 0, "", "12");
	save = save_of(SESSION_A, 2, moves, 1);
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
}

static void a_lane_moves_for_its_owner_only(void **state)
{
	struct world *w = *state;
	struct store_lane mine = lane_named(50);
	struct store_move moves[2] = { move(w, 0, "", "10"), move(w, 0, "", "10") };
	struct store_save save = save_of(SESSION_B, 1, moves, 2);

	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	assert_ok(store_lanes_add(w->s, SESSION_B, w->stream, 0, true, &mine, 1, &w->sink, 1, err));
	moves[0].lane = mine.id;
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	assert_at(w->s, w->stream, mine.id, w->sink, "");
	save.move_count = 1;
	assert_ok(store_save(w->s, &save, err));
	bury_a(w); /* a free lane is nobody's */
	moves[0] = move(w, 0, "", "10");
	save = save_of(SESSION_B, 2, moves, 1);
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
}

static void a_save_sent_twice_counts_once(void **state)
{
	struct world *w = *state;
	struct store_move m = move(w, 0, "", "10");
	struct store_roll roll = { .sink = w->sink, .number = 1, .blob = STR("blob") };
	struct store_save save = save_of(SESSION_A, 1, &m, 1);

	save.rolls = &roll;
	save.roll_count = 1;
	assert_ok(store_save(w->s, &save, err));
	assert_ok(store_save(w->s, &save, err));
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "10");
	m = move(w, 0, "10", "20");
	save = save_of(SESSION_A, 3, &m, 1); /* 2 was left out */
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	save.number = 2;
	assert_ok(store_save(w->s, &save, err));
	m = move(w, 0, "20", "30");
	save.number = 1; /* an old one again */
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "20");
}

static void the_dead_do_not_save(void **state)
{
	struct world *w = *state;
	struct store_move m = move(w, 0, "", "10");
	struct store_save save = save_of(SESSION_A, 1, &m, 1);
	struct store_lane lane = lane_named(9);
	bool done;

	assert_ok(store_save(w->s, &save, err));
	assert_ok(store_session_kill(w->s, SESSION_A, 0, &done, err));
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err)); /* also one that was there */
	m = move(w, 0, "10", "20");
	save.number = 2;
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	assert_kind(ERROR_FENCED, store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &lane, 1,
						  &w->sink, 1, err));
	assert_ok(store_session_bury(w->s, SESSION_A, err));
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "10");
}

static void ten_thousand_moves_are_one_save(void **state)
{
	enum { COUNT = 10000 };
	struct world *w = *state;
	struct store_lane *lanes = memory_array(COUNT, sizeof(*lanes));
	struct store_move *moves = memory_array(COUNT, sizeof(*moves));
	struct store_save save = save_of(SESSION_A, 1, moves, COUNT);

	for (int i = 0; i < COUNT; i++)
		lanes[i] = lane_named(100 + i);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, lanes, COUNT, &w->sink, 1,
				  err));
	for (int i = 0; i < COUNT; i++) {
		moves[i] = move(w, 0, "", "123456789012345678901");
		moves[i].lane = lanes[i].id;
	}
	moves[COUNT - 1].from = seq("1");
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	assert_at(w->s, w->stream, lanes[0].id, w->sink, "");
	moves[COUNT - 1].from = SEQUENCE_NONE;
	assert_ok(store_save(w->s, &save, err));
	assert_at(w->s, w->stream, lanes[COUNT - 1].id, w->sink, "123456789012345678901");
	free(lanes);
	free(moves);
}

/* --- rolls --- */
struct roll_text {
	char text[300];
};

static void collect_roll(void *arg, const char *sink, uint64_t number, struct str blob)
{
	struct roll_text *r = arg;
	size_t used = strlen(r->text);

	snprintf(r->text + used, sizeof(r->text) - used, "%s %d %zu:%.*s;", sink, (int)number,
		 blob.n, STR_ARG(blob));
}

#define assert_rolls(s, session, wanted)                                                           \
	do {                                                                                       \
		struct roll_text r_ = { "" };                                                      \
		assert_ok(store_rolls(s, session, collect_roll, &r_, err));                        \
		assert_string_equal(r_.text, wanted);                                              \
	} while (0)

static void rolls_go_with_their_save(void **state)
{
	struct world *w = *state;
	struct store_roll first[2] = { { w->other, 1, STR("b\0in\xff\\'\"") },
				       { w->sink, 10, STR("") } };
	struct store_roll second = { w->sink, 9, STR("x") };
	struct store_roll gone = { .sink = w->other, .number = 1 };
	struct store_save save = save_of(SESSION_A, 1, NULL, 0);

	save.rolls = first;
	save.roll_count = 2;
	assert_ok(store_save(w->s, &save, err));
	assert_rolls(w->s, SESSION_A, "events 10 0:;lake 1 8:b;");
	save = save_of(SESSION_A, 2, NULL, 0);
	save.rolls = &second;
	save.roll_count = 1;
	save.finished = &gone;
	save.finished_count = 1;
	assert_ok(store_save(w->s, &save, err));
	assert_rolls(w->s, SESSION_A, "events 9 1:x;events 10 0:;");
	assert_rolls(w->s, SESSION_B, "");

	/* Its lanes are free only after its rolls are finished. */
	assert_kind(ERROR_INVALID, store_session_bury(w->s, SESSION_A, err));
	assert_ok(store_session_beat(w->s, SESSION_A, err)); /* nothing changed */
	assert_ok(store_roll_finished(w->s, SESSION_A, "events", 9, true, err));
	assert_ok(store_roll_finished(w->s, SESSION_A, "events", 9, true, err));
	assert_rolls(w->s, SESSION_A, "events 10 0:;");
	assert_kind(ERROR_INVALID, store_session_bury(w->s, SESSION_A, err));
	assert_ok(store_roll_finished(w->s, SESSION_A, "events", 10, true, err));
	assert_ok(store_session_bury(w->s, SESSION_A, err));
}

static void collect_bytes(void *arg, const char *sink, uint64_t number, struct str blob)
{
	struct str *wanted = arg;

	(void)sink;
	(void)number;
	assert_int_equal(blob.n, wanted->n);
	assert_memory_equal(blob.p, wanted->p, wanted->n);
}

static void a_blob_is_bytes(void **state)
{
	struct world *w = *state;
	char *bytes = memory_new(STORE_ROLLS_MAX + 1);
	struct store_roll roll = { w->sink, 1, { bytes, STORE_ROLLS_MAX + 1 } };
	struct store_save save = save_of(SESSION_A, 1, NULL, 0);

	for (size_t i = 0; i < roll.blob.n; i++)
		bytes[i] = (char)(i * 7 + i / 256);
	save.rolls = &roll;
	save.roll_count = 1;
	assert_kind(ERROR_INVALID, store_save(w->s, &save, err));
	roll.blob.n = 100000;
	assert_ok(store_save(w->s, &save, err));
	assert_ok(store_rolls(w->s, SESSION_A, collect_bytes, &roll.blob, err));
	free(bytes);
}

/* --- dead letters --- */
struct letters {
	int count;
	int64_t first;
	size_t bytes;
};

static void collect_letter(void *arg, int64_t id, struct str json)
{
	struct letters *l = arg;

	if (l->count++ == 0)
		l->first = id;
	l->bytes += json.n;
}

static struct letters letters_of(struct store *s)
{
	struct letters l = { 0 };
	uint64_t count;

	assert_ok(store_letters(s, collect_letter, &l, err));
	assert_ok(store_letters_count(s, &count, err));
	assert_int_equal(count, l.count);
	return l;
}

static void letters_have_a_limit(void **state)
{
	struct world *w = *state;
	struct store_letter one = { "orders", "events", "shard-1",
				    "100",    "decode", STR("{\"e\":\"\xc3\xa9\"}") };
	struct store_letter two = one;
	size_t n = one.json.n;

	two.sequence = "101";
	assert_kind(ERROR_INVALID, store_letter_put(w->s, &one, (int64_t)n - 1, err));
	assert_int_equal(letters_of(w->s).count, 0);
	assert_ok(store_letter_put(w->s, &one, (int64_t)n, err));
	assert_ok(store_letter_put(w->s, &one, (int64_t)n, err)); /* the same again */
	assert_kind(ERROR_INVALID, store_letter_put(w->s, &two, (int64_t)n * 2 - 1, err));
	assert_int_equal(letters_of(w->s).count, 1);
	assert_ok(store_letter_put(w->s, &two, (int64_t)n * 2, err));
	two.sink = "lake"; /* another sink's is another letter */
	assert_ok(store_letter_put(w->s, &two, (int64_t)n * 3, err));
	assert_int_equal(letters_of(w->s).count, 3);
	assert_int_equal(letters_of(w->s).bytes, n * 3);
	/* Dropping makes room. */
	assert_ok(store_letter_drop(w->s, letters_of(w->s).first, err));
	assert_ok(store_letter_drop(w->s, 987654321, err));
	assert_int_equal(letters_of(w->s).count, 2);
	assert_ok(store_letter_put(w->s, &one, (int64_t)n * 3, err));
	assert_int_equal(letters_of(w->s).count, 3);
}

static void many_letters_come_in_order(void **state)
{
	struct world *w = *state;
	char sequence[16];
	struct store_letter l = { "orders", "events", "s", sequence, "decode", STR("{}") };

	for (int i = 0; i < 150; i++) {
		snprintf(sequence, sizeof(sequence), "%d", i);
		assert_ok(store_letter_put(w->s, &l, 1000, err));
	}
	assert_int_equal(letters_of(w->s).count, 150);
}

/* --- looking on --- */
static void a_reader_looks_beside_the_worker(void **state)
{
	struct world *w = *state;
	struct store_session all[4];
	struct seen seen = { 0 };
	struct store *reader;
	size_t count;

	if (strcmp(store_url, "sqlite::memory:") == 0) { /* nobody else can see it */
		assert_kind(ERROR_NOT_FOUND, store_open_reader(store_url, TIMEOUT_MS, err));
		return;
	}
	reader = opened_reader(store_url);
	assert_ok(store_sessions(reader, all, 4, &count, err));
	assert_int_equal(count, 1);
	assert_ok(store_lanes_list(reader, w->stream, seen_lane, seen_position, &seen, err));
	assert_int_equal(seen.lane_count, 3);
	seen_release(&seen);
	assert_ok(store_session_beat(w->s, SESSION_A, err)); /* the worker goes on */
	assert_ok(store_sessions(reader, all, 4, &count, err));
	assert_int_equal(all[0].beat, 1);
	store_close(reader);

	store_close(w->s); /* and it may look when nobody runs */
	reader = opened_reader(store_url);
	assert_ok(store_sessions(reader, all, 4, &count, err));
	assert_int_equal(count, 1);
	store_close(reader);
	w->s = opened(store_url);
	assert_int_equal(sink_named(w->s, "events"), w->sink);
}

static int run(const char *name)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(a_session_lives_once),
		T(an_unknown_session_can_do_nothing),
		T(a_name_has_one_id),
		T(streams_are_listed),
		T(lanes_are_added_once),
		T(a_lane_tells_that_it_was_begun),
		T(burial_frees_and_claim_takes),
		T(the_furthest_position_is_by_number),
		T(a_save_moves_everything),
		T(a_save_is_all_or_nothing),
		T(a_lane_moves_for_its_owner_only),
		T(a_save_sent_twice_counts_once),
		T(the_dead_do_not_save),
		T(ten_thousand_moves_are_one_save),
		T(rolls_go_with_their_save),
		T(a_blob_is_bytes),
		T(letters_have_a_limit),
		T(many_letters_come_in_order),
		T(a_reader_looks_beside_the_worker),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
