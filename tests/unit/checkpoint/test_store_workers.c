/* Several sessions serve a stream: who they are, and what a round tells them. The same contract for
 * every store. */
#include "tests/unit/checkpoint/workers_world.h"

/* --- members --- */
static void a_stream_has_one_set_of_sinks(void **state)
{
	struct world *w = *state;
	int32_t both[3] = { w->other, w->sink, w->other }, same[2] = { w->sink, w->other };
	struct looked l;

	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, both, 3, err));
	assert_ok(
		store_join(w->s, SESSION_A, w->stream, 0, same, 2, err)); /* again, in any order */
	begin_joined(w, SESSION_B);
	assert_true(look(w, SESSION_A).streams[0].served);
	l = look(w, SESSION_B);
	assert_int_equal(l.member_count, 2);
	assert_true(member_of(&l, SESSION_A).served);
	assert_false(member_of(&l, SESSION_B).served);
	assert_false(l.streams[0].served);
	release(w, SESSION_A, &w->lanes[0]);
	assert_int_equal(look(w, SESSION_A).streams[0].claimable, 1);
	assert_int_equal(look(w, SESSION_B).streams[0].claimable, 0);
	assert_claims(w, SESSION_B, 9);
	assert_int_equal(wish(w, SESSION_B, SESSION_A, 9), 0);

	/* A third one has the stored set: it stays while that one lives. */
	begin(w, SESSION_C);
	assert_ok(store_join(w->s, SESSION_C, w->stream, 0, same, 2, err));
	kill_session(w, SESSION_A);
	assert_false(look(w, SESSION_B).streams[0].served);
	kill_session(w, SESSION_C); /* dead is enough, buried or not */
	l = look(w, SESSION_B);
	assert_true(l.streams[0].served);
	assert_int_equal(l.member_count, 1);
	assert_int_equal(l.streams[0].claimable, 1);
	assert_claims(w, SESSION_B, 9, w->lanes[0].id);
}

static void a_set_is_free_for_who_joins_after_it(void **state)
{
	struct world *w = *state;
	int32_t both[2] = { w->sink, w->other };

	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, both, 2, err));
	assert_ok(store_session_bury(w->s, SESSION_A, err));
	begin_joined(w, SESSION_B);
	assert_claims(w, SESSION_B, 9, w->lanes[0].id, w->lanes[1].id, w->lanes[2].id);
}

static void what_is_done_depends_on_the_set(void **state)
{
	struct world *w = *state;
	int32_t both[2] = { w->sink, w->other };
	struct store_lane lane = lane_named(9);
	struct seen seen;

	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, both, 2, err));
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &lane, 1, both, 2, err));
	finish_lane(w, SESSION_A, 1, lane.id);
	assert_false(stored(w, lane.id).done); /* one of two */
	assert_ok(store_session_bury(w->s, SESSION_A, err));

	begin_joined(w, SESSION_B); /* without the other */
	assert_true(stored(w, lane.id).done);
	assert_ok(store_session_bury(w->s, SESSION_B, err));

	begin(w, SESSION_C); /* which comes back to where it was */
	seen = claimed(w->s, SESSION_C, w->stream, both, 2, 9);
	assert_int_equal(seen.lane_count, 4);
	assert_int_equal(seen.lanes[3].id, lane.id);
	assert_false(seen.lanes[3].done);
	seen_release(&seen);
	/* And a sink that is new to a done lane has nothing to do there. */
	finish_lane(w, SESSION_C, 1, w->lanes[0].id);
	assert_false(stored(w, w->lanes[0].id).done);
	assert_ok(store_session_bury(w->s, SESSION_C, err));
}

static void a_new_sink_leaves_done_lanes_done(void **state)
{
	struct world *w = *state;
	int32_t both[2] = { w->sink, w->other };
	struct seen seen;

	join(w, SESSION_A);
	finish_lane(w, SESSION_A, 1, w->lanes[0].id);
	assert_ok(store_session_bury(w->s, SESSION_A, err));
	begin(w, SESSION_B);
	seen = claimed(w->s, SESSION_B, w->stream, both, 2, 9);
	assert_int_equal(seen.lane_count, 2);
	assert_int_equal(seen.position_count, 4);
	seen_release(&seen);
	assert_true(stored(w, w->lanes[0].id).done);
}

static void a_sink_that_went_holds_up_nothing(void **state)
{
	struct world *w = *state;
	int32_t both[2] = { w->sink, w->other };
	struct store_lane lane = lane_named(9);

	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &lane, 1, both, 2, err));
	join(w, SESSION_A); /* with one sink only */
	finish_lane(w, SESSION_A, 1, lane.id);
	assert_true(stored(w, lane.id).done);
}

static void a_round_counts(void **state)
{
	struct world *w = *state;
	struct store_lane more[3] = { lane_named(3), lane_named(4), lane_named(5) };
	int64_t sum = w->lanes[0].id + w->lanes[1].id + w->lanes[2].id;
	int64_t elsewhere = stream_named(w->s, "users");
	struct store_lane there = lane_named(1);
	struct looked l;

	join(w, SESSION_A);
	begin_joined(w, SESSION_B);
	assert_ok(store_join(w->s, SESSION_A, elsewhere, 0, &w->sink, 1, err));
	assert_ok(
		store_lanes_add(w->s, SESSION_A, elsewhere, 0, true, &there, 1, &w->sink, 1, err));
	add(w, SESSION_B, true, more, 2);
	add(w, SESSION_A, false, &more[2], 1);
	assert_int_equal(wish(w, SESSION_B, SESSION_A, 2), 2);
	assert_int_equal(wish(w, SESSION_A, SESSION_B, 1), 1);

	l = look(w, SESSION_A);
	assert_int_equal(l.stream_count, 2);
	assert_int_equal(l.streams[0].stream, w->stream);
	assert_true(l.streams[0].rooted);
	assert_int_equal(l.streams[0].held, 3);
	assert_int_equal(l.streams[0].held_sum, sum);
	assert_int_equal(l.streams[0].claimable, 1);
	assert_int_equal(l.streams[1].held, 1);
	assert_int_equal(l.streams[1].held_sum, there.id);
	assert_int_equal(l.streams[1].claimable, 0);
	assert_int_equal(l.member_count, 3); /* two here, one there */
	assert_int_equal(l.wanted_count, 2);
	assert_int_equal(l.wanted[0], w->lanes[1].id); /* the oldest of the newest two */
	assert_int_equal(l.wanted[1], w->lanes[2].id);

	l = look(w, SESSION_B);
	assert_int_equal(l.stream_count, 1);
	assert_int_equal(l.member_count, 2);
	assert_int_equal(l.streams[0].held, 2);
	assert_int_equal(member_of(&l, SESSION_A).held, 3);
	assert_int_equal(member_of(&l, SESSION_A).leaving, 2);
	assert_int_equal(member_of(&l, SESSION_A).coming, 1);
	assert_int_equal(member_of(&l, SESSION_B).held, 2);
	assert_int_equal(member_of(&l, SESSION_B).leaving, 1);
	assert_int_equal(member_of(&l, SESSION_B).coming, 2);
	assert_int_equal(l.wanted_count, 1);
	assert_int_equal(l.wanted[0], more[1].id);

	release(w, SESSION_A, &w->lanes[1]); /* it still comes */
	l = look(w, SESSION_B);
	assert_int_equal(member_of(&l, SESSION_A).held, 2);
	assert_int_equal(member_of(&l, SESSION_A).leaving, 1);
	assert_int_equal(member_of(&l, SESSION_B).coming, 2);
	assert_int_equal(l.streams[0].claimable, 2);
	assert_int_equal(look(w, SESSION_A).streams[0].claimable, 1);
}

static void one_lists_until_it_is_gone(void **state)
{
	struct world *w = *state;
	int32_t both[2] = { w->sink, w->other };

	join(w, SESSION_A);
	begin_joined(w, SESSION_B);
	begin(w, SESSION_C); /* not served, so never a lister */
	assert_ok(store_join(w->s, SESSION_C, w->stream, 0, both, 2, err));
	for (int rounds = 0; rounds < 2; rounds++) {
		assert_false(look(w, SESSION_C).streams[0].lister);
		assert_false(look(w, SESSION_B).streams[0].lister);
		assert_true(look(w, SESSION_A).streams[0].lister);
	}
	kill_session(w, SESSION_A);
	assert_ok(store_join(w->s, SESSION_C, w->stream, 0, both, 2, err));
	assert_false(look(w, SESSION_C).streams[0].lister);
	assert_true(look(w, SESSION_B).streams[0].lister);
	assert_true(look(w, SESSION_B).streams[0].lister);
	assert_ok(store_session_bury(w->s, SESSION_B, err));
	assert_true(look(w, SESSION_C).streams[0].lister); /* its set is stored now */
}

/* --- adding --- */
/* A stream that is over leaves its sessions; they live on with their other streams. */
static void who_leaves_serves_no_longer(void **state)
{
	struct world *w = *state;
	int64_t elsewhere = stream_named(w->s, "users");
	struct looked l;

	join(w, SESSION_A);
	begin_joined(w, SESSION_B);
	assert_ok(store_join(w->s, SESSION_A, elsewhere, 0, &w->sink, 1, err));
	for (int i = 0; i < 2; i++) { /* again is fine */
		assert_ok(store_leave(w->s, SESSION_A, w->stream, err));
		l = look(w, SESSION_A);
		assert_int_equal(l.stream_count, 1);
		assert_int_equal(l.streams[0].stream, elsewhere);
		assert_true(l.streams[0].lister);
	}
	l = look(w, SESSION_B);
	assert_int_equal(l.member_count, 1);
	assert_true(l.streams[0].lister); /* its place was empty */
	assert_claims(w, SESSION_A, 10);
	join(w, SESSION_A);
	assert_int_equal(look(w, SESSION_A).stream_count, 2);
	assert_false(look(w, SESSION_A).streams[0].lister);
}

static void what_a_lister_finds_is_free(void **state)
{
	struct world *w = *state;
	struct store_lane lanes[5] = { child_named(10, &w->lanes[0]), lane_named(11) };
	struct store_lane done[2] = { lane_named(20) };

	lanes[2] = child_named(12, &lanes[0]); /* through its parent */
	lanes[3] = child_named(13, &lanes[1]);
	lanes[4] = child_named(2, &lanes[0]); /* is there already */
	begin(w, SESSION_B);
	add(w, SESSION_A, false, lanes, 5);
	assert_string_equal(lanes[0].owner, SESSION_A);
	assert_string_equal(lanes[1].owner, "");
	assert_string_equal(lanes[2].owner, SESSION_A);
	assert_string_equal(lanes[3].owner, "");
	assert_int_equal(lanes[4].id, w->lanes[2].id);
	add(w, SESSION_B, false, lanes, 5); /* no difference: they are there */
	assert_string_equal(lanes[0].owner, SESSION_A);
	assert_string_equal(lanes[1].owner, "");
	add(w, SESSION_B, true, lanes, 5);
	assert_string_equal(lanes[1].owner, "");

	done[0].done_unread = true;
	done[1] = child_named(21, &done[0]);
	add(w, SESSION_A, true, done, 2);
	assert_true(done[0].done);
	assert_string_equal(done[0].owner, "");
	assert_string_equal(done[1].owner, SESSION_A);
	assert_true(position_of(w->s, w->stream, done[0].id, w->sink).done);
}

/* --- who is there --- */
static void old_sessions_go(void **state)
{
	struct world *w = *state;
	char id[STORE_ID_SIZE];
	uint32_t removed;
	size_t count;
	struct store_session all[4];

	for (int i = 0; i < STORE_BURIED_MAX + 2; i++) {
		snprintf(id, sizeof(id), "dddddddd-0000-4000-8000-%012d", i);
		begin(w, id);
		assert_ok(store_session_bury(w->s, id, err));
	}
	assert_ok(store_tidy(w->s, w->stream, 1, &removed, err));
	assert_kind(ERROR_NOT_FOUND,
		    store_session_bury(w->s, "dddddddd-0000-4000-8000-000000000000", err));
	assert_kind(ERROR_NOT_FOUND,
		    store_session_bury(w->s, "dddddddd-0000-4000-8000-000000000001", err));
	assert_ok(store_session_bury(w->s, "dddddddd-0000-4000-8000-000000000002", err));
	assert_ok(store_sessions(w->s, all, 4, &count, err));
	assert_int_equal(count, 1); /* who is not buried stays, however old */
}

/* Who serves none of our streams is another deployment's; who joined nothing yet is everybody's. */
static void who_is_near_is_watched(void **state)
{
	struct world *w = *state;
	struct store_session all[4];
	struct store_stream other;
	size_t count;

	join(w, SESSION_A);
	begin(w, SESSION_B);
	assert_ok(store_sessions_near(w->s, SESSION_A, all, 4, &count, err));
	assert_int_equal(count, 2);
	assert_int_equal(all[0].lease_ms, 10000);
	if (store_exclusive(w->s))
		return; /* who else is in the file is dead */
	assert_ok(store_stream(w->s, "others", "arn:others", 0, &other, err));
	assert_ok(store_join(w->s, SESSION_B, other.id, 0, &w->sink, 1, err));
	assert_ok(store_sessions_near(w->s, SESSION_A, all, 4, &count, err));
	assert_int_equal(count, 1);
	assert_string_equal(all[0].id, SESSION_A);
	join(w, SESSION_B);
	assert_ok(store_sessions_near(w->s, SESSION_A, all, 4, &count, err));
	assert_int_equal(count, 2);
}

static void collect_twin(void *arg, const char *name, const char *other)
{
	char *text = arg;
	size_t used = strlen(text);

	snprintf(text + used, 200 - used, "%s %s;", name, other);
}

static void assert_twins(struct world *w, const char *session, const char *expected)
{
	char text[200] = "";

	assert_ok(store_twins(w->s, session, collect_twin, text, err));
	assert_string_equal(text, expected);
}

/* One ARN under two names: each has its own lanes, and who lives there can be told. */
static void a_stream_under_two_names_is_seen(void **state)
{
	struct world *w = *state;
	struct store_stream twin, other;

	join(w, SESSION_A);
	begin(w, SESSION_B);
	assert_ok(store_stream(w->s, "twin", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0,
			       &twin, err));
	assert_ok(store_stream(w->s, "other", "arn:other", 0, &other, err));
	assert_int_not_equal(twin.id, w->stream);
	assert_ok(store_join(w->s, SESSION_B, other.id, 0, &w->sink, 1, err));
	assert_twins(w, SESSION_A, ""); /* a name that was used once does no harm */
	assert_ok(store_join(w->s, SESSION_B, twin.id, 0, &w->sink, 1, err));
	assert_twins(w, SESSION_A, "orders twin;");
	assert_twins(w, SESSION_B, "twin orders;");
	kill_session(w, SESSION_B);
	assert_twins(w, SESSION_A, "");
}

static int run(const char *name)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(a_stream_has_one_set_of_sinks),
		T(a_set_is_free_for_who_joins_after_it),
		T(what_is_done_depends_on_the_set),
		T(a_new_sink_leaves_done_lanes_done),
		T(a_sink_that_went_holds_up_nothing),
		T(a_round_counts),
		T(one_lists_until_it_is_gone),
		T(who_leaves_serves_no_longer),
		T(what_a_lister_finds_is_free),
		T(old_sessions_go),
		T(who_is_near_is_watched),
		T(a_stream_under_two_names_is_seen),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
