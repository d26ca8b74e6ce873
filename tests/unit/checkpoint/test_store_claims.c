/* Several sessions share the lanes of a stream: the same contract for every store. */
#include "tests/unit/checkpoint/workers_world.h"

#define CHAIN 3

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

	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, both, 2, err));
	begin(w, SESSION_B);
	assert_ok(store_join(w->s, SESSION_B, w->stream, 0, both, 2, err));
	pair[1] = child_named(11, &pair[0]);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, pair, 2, both, 2, err));
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

static int run(const char *name)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
