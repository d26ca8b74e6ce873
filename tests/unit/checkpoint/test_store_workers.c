/* Several sessions share the lanes of a stream: the same contract for every store. */
#include "tests/unit/checkpoint/store_world.h"

#define CHAIN 3

/* --- what a round says --- */
struct looked {
	struct store_round_stream streams[4];
	struct store_round_member members[8];
	int64_t wanted[8];
	size_t stream_count, member_count, wanted_count;
};

static void looked_stream(void *arg, const struct store_round_stream *r)
{
	struct looked *l = arg;

	assert_true(l->stream_count < 4);
	assert_int_equal(l->member_count + l->wanted_count, 0); /* streams come first */
	l->streams[l->stream_count++] = *r;
}

static void looked_member(void *arg, const struct store_round_member *m)
{
	struct looked *l = arg;

	assert_true(l->member_count < 8);
	assert_int_equal(l->wanted_count, 0);
	l->members[l->member_count++] = *m;
}

static void looked_wanted(void *arg, int64_t stream, int64_t lane)
{
	struct looked *l = arg;

	assert_true(l->wanted_count < 8);
	assert_int_equal(stream, l->streams[0].stream);
	l->wanted[l->wanted_count++] = lane;
}

static struct looked look(struct world *w, const char *session)
{
	static const struct store_round_fns fns = { looked_stream, looked_member, looked_wanted };
	struct looked l = { 0 };

	assert_ok(store_round(w->s, session, &fns, &l, err));
	return l;
}

static struct store_round_member member_of(const struct looked *l, const char *session)
{
	for (size_t i = 0; i < l->member_count; i++)
		if (strcmp(l->members[i].session, session) == 0)
			return l->members[i];
	fail_msg("session %s is no member", session);
	return l->members[0];
}

/* --- short words --- */
static void begin(struct world *w, const char *session)
{
	assert_ok(store_session_begin(w->s, session, "worker", "", 10000, err));
}

static void join(struct world *w, const char *session)
{
	assert_ok(store_join(w->s, session, w->stream, &w->sink, 1, err));
}

static void begin_joined(struct world *w, const char *session)
{
	begin(w, session);
	join(w, session);
}

static void kill_session(struct world *w, const char *session)
{
	struct store_session all[8];
	size_t count;
	bool done = false;

	assert_ok(store_sessions(w->s, all, 8, &count, err));
	for (size_t i = 0; i < count; i++)
		if (strcmp(all[i].id, session) == 0)
			assert_ok(store_session_kill(w->s, session, all[i].beat, &done, err));
	assert_true(done);
}

static struct store_lane child_named(int n, const struct store_lane *parent)
{
	struct store_lane l = lane_named(n);

	snprintf(l.parent, sizeof(l.parent), "%s", parent->shard);
	return l;
}

static void add(struct world *w, const char *session, bool own, struct store_lane *lanes,
		size_t count)
{
	assert_ok(store_lanes_add(w->s, session, w->stream, own, lanes, count, &w->sink, 1, err));
}

static void release(struct world *w, const char *session, const struct store_lane *lane)
{
	assert_ok(store_lanes_release(w->s, session, &lane->id, 1, err));
}

static uint32_t wish(struct world *w, const char *session, const char *from, uint32_t max)
{
	uint32_t wished;

	assert_ok(store_lanes_wish(w->s, session, from, w->stream, max, &wished, err));
	return wished;
}

static void finish_lane(struct world *w, const char *session, uint64_t save, int64_t lane)
{
	struct store_move m = { .lane = lane, .sink = w->sink, .done = true };
	struct store_save s = save_of(session, save, &m, 1);

	assert_ok(store_save(w->s, &s, err));
}

/* A claim took exactly these, in this order. */
#define assert_claims(w, session, max, ...)                                                        \
	do {                                                                                       \
		int64_t wanted_[] = { __VA_ARGS__ };                                               \
		struct seen seen_ = { 0 };                                                         \
		assert_ok(store_lanes_claim((w)->s, session, (w)->stream, &(w)->sink, 1, max,      \
					    seen_lane, seen_position, &seen_, err));               \
		assert_int_equal(seen_.lane_count, sizeof(wanted_) / sizeof(*wanted_));            \
		assert_int_equal(seen_.position_count, seen_.lane_count);                          \
		for (size_t i_ = 0; i_ < seen_.lane_count; i_++) {                                 \
			assert_int_equal(seen_.lanes[i_].id, wanted_[i_]);                         \
			assert_int_equal(seen_.positions[i_].lane, wanted_[i_]);                   \
			assert_string_equal(seen_.lanes[i_].owner, session);                       \
		}                                                                                  \
		seen_release(&seen_);                                                              \
	} while (0)

static struct seen everything(struct world *w)
{
	struct seen seen = { 0 };

	assert_ok(store_lanes_list(w->s, w->stream, seen_lane, seen_position, &seen, err));
	return seen;
}

static struct store_lane stored(struct world *w, int64_t id)
{
	struct seen seen = everything(w);
	struct store_lane found = { .id = -1 };

	for (size_t i = 0; i < seen.lane_count; i++)
		if (seen.lanes[i].id == id)
			found = seen.lanes[i];
	seen_release(&seen);
	return found;
}

/* --- members --- */
static void a_stream_has_one_set_of_sinks(void **state)
{
	struct world *w = *state;
	int32_t both[3] = { w->other, w->sink, w->other }, same[2] = { w->sink, w->other };
	struct looked l;

	assert_ok(store_join(w->s, SESSION_A, w->stream, both, 3, err));
	assert_ok(store_join(w->s, SESSION_A, w->stream, same, 2, err)); /* again, in any order */
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
	assert_ok(store_join(w->s, SESSION_C, w->stream, same, 2, err));
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

	assert_ok(store_join(w->s, SESSION_A, w->stream, both, 2, err));
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

	assert_ok(store_join(w->s, SESSION_A, w->stream, both, 2, err));
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, true, &lane, 1, both, 2, err));
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

	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, true, &lane, 1, both, 2, err));
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
	assert_ok(store_join(w->s, SESSION_A, elsewhere, &w->sink, 1, err));
	assert_ok(store_lanes_add(w->s, SESSION_A, elsewhere, true, &there, 1, &w->sink, 1, err));
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
	assert_ok(store_join(w->s, SESSION_C, w->stream, both, 2, err));
	for (int rounds = 0; rounds < 2; rounds++) {
		assert_false(look(w, SESSION_C).streams[0].lister);
		assert_false(look(w, SESSION_B).streams[0].lister);
		assert_true(look(w, SESSION_A).streams[0].lister);
	}
	kill_session(w, SESSION_A);
	assert_ok(store_join(w->s, SESSION_C, w->stream, both, 2, err));
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
	assert_ok(store_join(w->s, SESSION_A, elsewhere, &w->sink, 1, err));
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

/* --- claims --- */
static void a_claim_takes_the_oldest_heads_and_what_descends(void **state)
{
	struct world *w = *state;
	struct store_lane chain[CHAIN] = { child_named(10, &w->lanes[0]), lane_named(11) };

	chain[1] = child_named(11, &chain[0]);
	chain[2] = child_named(12, &w->lanes[2]);
	add(w, SESSION_A, true, chain, CHAIN);
	bury_a(w);
	begin_joined(w, SESSION_B);
	assert_int_equal(look(w, SESSION_B).streams[0].claimable, 3);
	assert_claims(w, SESSION_B, 0);
	assert_claims(w, SESSION_B, 1, w->lanes[0].id, chain[0].id, chain[1].id);
	assert_int_equal(look(w, SESSION_B).streams[0].held, 3);
	assert_int_equal(look(w, SESSION_B).streams[0].claimable, 2);
	assert_claims(w, SESSION_B, 9, w->lanes[1].id, w->lanes[2].id, chain[2].id);
	assert_claims(w, SESSION_B, 9);
}

static void a_child_goes_where_its_parent_is(void **state)
{
	struct world *w = *state;
	struct store_lane children[2] = { child_named(10, &w->lanes[0]),
					  child_named(11, &w->lanes[1]) };
	struct store_lane orphan = lane_named(12);

	join(w, SESSION_A);
	begin_joined(w, SESSION_B);
	snprintf(orphan.parent, sizeof(orphan.parent), "a shard that nobody has seen");
	add(w, SESSION_B, false, children, 2);
	add(w, SESSION_A, false, &orphan, 1);
	assert_int_equal(look(w, SESSION_B).streams[0].claimable, 1);
	assert_claims(w, SESSION_B, 9, orphan.id);
	assert_int_equal(look(w, SESSION_A).streams[0].claimable, 2);
	finish_lane(w, SESSION_A, 1, w->lanes[1].id);
	assert_claims(w, SESSION_B, 9, children[1].id); /* its parent is done */
	assert_claims(w, SESSION_A, 9, children[0].id); /* the other's is its own */
	/* A free parent takes it along, but not out of another's hands. */
	release(w, SESSION_A, &w->lanes[0]);
	assert_claims(w, SESSION_B, 9, w->lanes[0].id);
	release(w, SESSION_B, &w->lanes[0]);
	release(w, SESSION_A, &children[0]);
	assert_int_equal(look(w, SESSION_B).streams[0].claimable, 1);
	assert_claims(w, SESSION_B, 9, w->lanes[0].id, children[0].id);
}

static void a_lost_reply_is_found(void **state)
{
	struct world *w = *state;
	struct looked l;
	struct seen seen = { 0 };

	bury_a(w);
	begin_joined(w, SESSION_B);
	assert_claims(w, SESSION_B, 1, w->lanes[0].id);
	assert_claims(w, SESSION_B, 1, w->lanes[1].id); /* and this reply went astray */
	l = look(w, SESSION_B);
	assert_int_equal(l.streams[0].held, 2);
	assert_int_equal(l.streams[0].held_sum, w->lanes[0].id + w->lanes[1].id);
	assert_ok(
		store_lanes_held(w->s, SESSION_B, w->stream, seen_lane, seen_position, &seen, err));
	assert_int_equal(seen.lane_count, 2);
	assert_int_equal(seen.position_count, 2);
	assert_int_equal(seen.lanes[1].id, w->lanes[1].id);
	assert_int_equal(seen.positions[1].lane, w->lanes[1].id);
	seen_release(&seen);
}

static void an_unread_lane_is_as_old_as_its_stream(void **state)
{
	struct world *w = *state;
	struct store_save save = save_of(SESSION_A, 1, NULL, 0);
	struct seen seen;

	save.read_lanes = &w->lanes[1].id;
	save.read_count = 1;
	save.read_at_ms = 1700000000000;
	assert_ok(store_save(w->s, &save, err));
	bury_a(w);
	begin(w, SESSION_B);
	seen = claimed(w->s, SESSION_B, w->stream, &w->sink, 1, 9);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(seen.lanes[i].read_at_ms, 1700000000000);
	seen_release(&seen);
	assert_int_equal(stored(w, w->lanes[0].id).read_at_ms, 0);
}

/* --- wishes --- */
static void a_wish_is_for_what_can_be_read(void **state)
{
	struct world *w = *state;
	struct store_lane child = child_named(10, &w->lanes[0]);
	struct looked l;

	join(w, SESSION_A);
	begin_joined(w, SESSION_B);
	begin_joined(w, SESSION_C);
	add(w, SESSION_A, true, &child, 1);
	assert_int_equal(wish(w, SESSION_A, SESSION_A, 9), 0);
	assert_int_equal(wish(w, SESSION_B, SESSION_A, 1), 1);
	assert_int_equal(wish(w, SESSION_C, SESSION_A, 9), 2); /* the child is not read yet */
	l = look(w, SESSION_C);
	assert_int_equal(member_of(&l, SESSION_A).leaving, 3);
	assert_int_equal(member_of(&l, SESSION_B).coming, 1);
	assert_int_equal(member_of(&l, SESSION_C).coming, 2);
	assert_int_equal(wish(w, SESSION_A, SESSION_B, 9), 0); /* it has none */
	kill_session(w, SESSION_B);
	kill_session(w, SESSION_A);
	assert_int_equal(wish(w, SESSION_C, SESSION_A, 9), 0); /* it is not live */
}

static void only_the_wisher_takes_what_it_wished_for(void **state)
{
	struct world *w = *state;

	join(w, SESSION_A);
	begin_joined(w, SESSION_B);
	begin_joined(w, SESSION_C);
	assert_int_equal(wish(w, SESSION_B, SESSION_A, 1), 1); /* the newest */
	release(w, SESSION_A, &w->lanes[2]);
	release(w, SESSION_A, &w->lanes[0]);
	assert_int_equal(look(w, SESSION_A).streams[0].claimable, 1);
	assert_int_equal(look(w, SESSION_C).streams[0].claimable, 1);
	assert_int_equal(look(w, SESSION_B).streams[0].claimable, 2);
	assert_claims(w, SESSION_C, 9, w->lanes[0].id);
	release(w, SESSION_C, &w->lanes[0]);
	assert_claims(w, SESSION_B, 1, w->lanes[2].id); /* before the older one */
	assert_int_equal(member_of(&(struct looked[]){ look(w, SESSION_B) }[0], SESSION_B).coming,
			 0);
	/* What was claimed is wanted no more. */
	release(w, SESSION_B, &w->lanes[2]);
	assert_claims(w, SESSION_A, 9, w->lanes[0].id, w->lanes[2].id);
}

static void a_wish_ends_with_its_wisher(void **state)
{
	struct world *w = *state;

	join(w, SESSION_A);
	begin_joined(w, SESSION_B);
	begin_joined(w, SESSION_C);
	assert_int_equal(wish(w, SESSION_B, SESSION_A, 2), 2);
	release(w, SESSION_A, &w->lanes[2]);
	assert_claims(w, SESSION_C, 9);
	kill_session(w, SESSION_B);
	assert_int_equal(look(w, SESSION_A).wanted_count, 0);
	assert_int_equal(wish(w, SESSION_C, SESSION_A, 9), 2); /* one of them anew */
	assert_claims(w, SESSION_C, 9, w->lanes[2].id);
	/* A buried owner's lanes are still the wisher's to take. */
	kill_session(w, SESSION_A);
	assert_ok(store_session_bury(w->s, SESSION_A, err));
	assert_ok(store_session_bury(w->s, SESSION_B, err));
	assert_claims(w, SESSION_C, 9, w->lanes[0].id, w->lanes[1].id);
}

/* --- leaving --- */
static void a_released_lane_is_nobodys(void **state)
{
	struct world *w = *state;
	int64_t ids[4] = { w->lanes[0].id, 0, w->lanes[1].id, 123456789 };
	struct store_lane other = lane_named(9);
	struct store_move m = move(w, 0, "", "10");
	struct store_save save = save_of(SESSION_A, 1, &m, 1);

	begin(w, SESSION_B);
	add(w, SESSION_B, true, &other, 1);
	ids[1] = other.id;
	for (int twice = 0; twice < 2; twice++)
		assert_ok(store_lanes_release(w->s, SESSION_A, ids, 4, err));
	assert_string_equal(stored(w, w->lanes[0].id).owner, "");
	assert_string_equal(stored(w, w->lanes[1].id).owner, "");
	assert_string_equal(stored(w, w->lanes[2].id).owner, SESSION_A);
	assert_string_equal(stored(w, other.id).owner, SESSION_B);
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err));
	kill_session(w, SESSION_A);
	assert_kind(ERROR_FENCED, store_lanes_release(w->s, SESSION_A, ids, 4, err));
}

static void a_done_lane_is_nobodys(void **state)
{
	struct world *w = *state;
	int32_t both[2] = { w->sink, w->other };
	struct store_lane pair[2] = { lane_named(10) };
	struct store_move moves[2] = { { .sink = w->sink, .to = seq("5"), .done = true },
				       { .sink = w->other, .to = seq("5") } };
	struct store_save save = save_of(SESSION_A, 1, moves, 2);
	struct looked l;

	assert_ok(store_join(w->s, SESSION_A, w->stream, both, 2, err));
	begin(w, SESSION_B);
	assert_ok(store_join(w->s, SESSION_B, w->stream, both, 2, err));
	pair[1] = child_named(11, &pair[0]);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, true, pair, 2, both, 2, err));
	release(w, SESSION_A, &pair[1]);
	assert_int_equal(wish(w, SESSION_B, SESSION_A, 1), 1);
	assert_int_equal(look(w, SESSION_A).wanted[0], pair[0].id);
	moves[0].lane = moves[1].lane = pair[0].id;
	assert_ok(store_save(w->s, &save, err));
	assert_false(stored(w, pair[0].id).done);
	assert_string_equal(stored(w, pair[0].id).owner, SESSION_A);
	assert_int_equal(look(w, SESSION_B).streams[0].claimable, 0);

	moves[0] = moves[1];
	moves[0].from = seq("5");
	moves[0].done = true;
	save = save_of(SESSION_A, 2, moves, 1);
	save.read_at_ms = 77;
	for (int twice = 0; twice < 2; twice++)
		assert_ok(store_save(w->s, &save, err));
	assert_true(stored(w, pair[0].id).done);
	assert_string_equal(stored(w, pair[0].id).owner, "");
	assert_int_equal(stored(w, pair[0].id).read_at_ms, 77);
	l = look(w, SESSION_A);
	assert_int_equal(l.wanted_count, 0);
	assert_int_equal(l.streams[0].held, 3);
	assert_int_equal(member_of(&l, SESSION_B).coming, 0);
	assert_int_equal(look(w, SESSION_B).streams[0].claimable, 1);
	save.number = 3;
	assert_kind(ERROR_FENCED, store_save(w->s, &save, err)); /* it is over */
	moves[0].lane = w->lanes[1].id;                          /* the rest goes on */
	moves[0].sink = w->sink;
	moves[0].from = SEQUENCE_NONE;
	assert_ok(store_save(w->s, &save, err));
}

/* --- shards --- */
struct shards {
	char text[400];
	int64_t last;
};

static void collect_shard(void *arg, int64_t lane, const char *shard, const char *parent, bool done)
{
	struct shards *c = arg;
	size_t used = strlen(c->text);

	assert_true(lane > c->last);
	c->last = lane;
	snprintf(c->text + used, sizeof(c->text) - used, "%d<%d%s ", atoi(shard + 8),
		 *parent ? atoi(parent + 8) : -1, done ? " done" : "");
}

static void shards_are_known(void **state)
{
	struct world *w = *state;
	struct store_lane child = child_named(10, &w->lanes[0]);
	struct shards all = { 0 }, later = { 0 };

	finish_lane(w, SESSION_A, 1, w->lanes[0].id);
	assert_ok(store_shards(w->s, w->stream, 0, collect_shard, &all, err));
	assert_string_equal(all.text, "0<-1 done 1<-1 2<-1 ");
	add(w, SESSION_A, false, &child, 1);
	assert_ok(store_shards(w->s, w->stream, all.last, collect_shard, &later, err));
	assert_string_equal(later.text, "10<0 ");
	assert_ok(store_shards(w->s, w->stream, later.last, collect_shard, &later, err));
	assert_string_equal(later.text, "10<0 ");
}

static void count_shard(void *arg, int64_t lane, const char *shard, const char *parent, bool done)
{
	(void)lane;
	(void)shard;
	(void)parent;
	(void)done;
	++*(int *)arg;
}

static void many_shards_are_known(void **state)
{
	enum { COUNT = 20000 };
	struct world *w = *state;
	struct store_lane *lanes = memory_array(COUNT, sizeof(*lanes));
	int count = 0;

	for (int i = 0; i < COUNT; i++)
		lanes[i] = lane_named(100 + i);
	add(w, SESSION_A, true, lanes, COUNT);
	assert_ok(store_shards(w->s, w->stream, lanes[0].id - 1, count_shard, &count, err));
	assert_int_equal(count, COUNT);
	free(lanes);
}

/* --- cleaning --- */
static void old_done_lanes_with_children_go(void **state)
{
	struct world *w = *state;
	struct store_lane children[2] = { child_named(10, &w->lanes[0]), lane_named(11) };
	struct store_lane unread[2] = { lane_named(20) };
	struct store_save save = save_of(SESSION_A, 1, NULL, 0);
	struct store_move moves[3] = { move(w, 0, "", "1"), move(w, 1, "", "1") };
	struct seen seen;
	uint32_t removed;

	children[1] = child_named(11, &w->lanes[2]); /* its parent is not done */
	unread[0].done_unread = true;
	unread[1] = child_named(21, &unread[0]);
	add(w, SESSION_A, true, children, 2);
	add(w, SESSION_A, true, unread, 2);
	assert_ok(store_tidy(w->s, w->stream, INT64_MAX, &removed, err));
	assert_int_equal(removed, 0);         /* nothing was ever read */
	moves[0].done = moves[1].done = true; /* the second one has no child */
	save = save_of(SESSION_A, 1, moves, 2);
	save.read_at_ms = 1000;
	assert_ok(store_save(w->s, &save, err));
	save = save_of(SESSION_A, 2, NULL, 0);
	save.read_lanes = &w->lanes[2].id;
	save.read_count = 1;
	save.read_at_ms = 5000;
	assert_ok(store_save(w->s, &save, err));

	assert_ok(store_tidy(w->s, w->stream, 1000, &removed, err));
	assert_int_equal(removed, 0);
	assert_ok(store_tidy(w->s, w->stream, 1001, &removed, err));
	assert_int_equal(removed, 1);
	assert_int_equal(stored(w, w->lanes[0].id).id, -1);
	assert_int_equal(stored(w, unread[0].id).read_at_ms, 5000);
	assert_ok(store_tidy(w->s, w->stream, 5001, &removed, err));
	assert_int_equal(removed, 1);
	seen = everything(w);
	assert_int_equal(seen.lane_count, 5);
	assert_int_equal(seen.position_count, 5);
	seen_release(&seen);
	/* The child goes on, its parent unknown. */
	join(w, SESSION_A);
	begin_joined(w, SESSION_B);
	release(w, SESSION_A, &children[0]);
	assert_claims(w, SESSION_B, 9, children[0].id);
	assert_kind(ERROR_NOT_FOUND, store_tidy(w->s, w->stream + 1000, 1, &removed, err));
}

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
	assert_ok(store_join(w->s, SESSION_B, other.id, &w->sink, 1, err));
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
	assert_ok(store_join(w->s, SESSION_B, other.id, &w->sink, 1, err));
	assert_twins(w, SESSION_A, ""); /* a name that was used once does no harm */
	assert_ok(store_join(w->s, SESSION_B, twin.id, &w->sink, 1, err));
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
		T(a_claim_takes_the_oldest_heads_and_what_descends),
		T(a_child_goes_where_its_parent_is),
		T(a_lost_reply_is_found),
		T(an_unread_lane_is_as_old_as_its_stream),
		T(a_wish_is_for_what_can_be_read),
		T(only_the_wisher_takes_what_it_wished_for),
		T(a_wish_ends_with_its_wisher),
		T(a_released_lane_is_nobodys),
		T(a_done_lane_is_nobodys),
		T(shards_are_known),
		T(many_shards_are_known),
		T(old_done_lanes_with_children_go),
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
