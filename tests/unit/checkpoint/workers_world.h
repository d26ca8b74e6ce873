#pragma once
/* What the tests of several sessions share: what a round says, and short words for their calls. */
#include "tests/unit/checkpoint/store_world.h"

/* --- what a round says --- */
struct looked {
	struct store_round_stream streams[4];
	struct store_round_member members[8];
	int64_t wanted[8];
	size_t stream_count, member_count, wanted_count;
};

FIXTURE void looked_stream(void *arg, const struct store_round_stream *r)
{
	struct looked *l = arg;

	assert_true(l->stream_count < 4);
	assert_int_equal(l->member_count + l->wanted_count, 0); /* streams come first */
	l->streams[l->stream_count++] = *r;
}

FIXTURE void looked_member(void *arg, const struct store_round_member *m)
{
	struct looked *l = arg;

	assert_true(l->member_count < 8);
	assert_int_equal(l->wanted_count, 0);
	l->members[l->member_count++] = *m;
}

FIXTURE void looked_wanted(void *arg, int64_t stream, int64_t lane)
{
	struct looked *l = arg;

	assert_true(l->wanted_count < 8);
	assert_int_equal(stream, l->streams[0].stream);
	l->wanted[l->wanted_count++] = lane;
}

FIXTURE struct looked look(struct world *w, const char *session)
{
	static const struct store_round_fns fns = { looked_stream, looked_member, looked_wanted };
	struct looked l = { 0 };

	assert_ok(store_round(w->s, session, &fns, &l, err));
	return l;
}

FIXTURE struct store_round_member member_of(const struct looked *l, const char *session)
{
	for (size_t i = 0; i < l->member_count; i++)
		if (strcmp(l->members[i].session, session) == 0)
			return l->members[i];
	fail_msg("session %s is no member", session);
	return l->members[0];
}

/* --- short words --- */
FIXTURE void begin(struct world *w, const char *session)
{
	assert_ok(store_session_begin(w->s, session, "worker", "", 10000, err));
}

FIXTURE void join(struct world *w, const char *session)
{
	assert_ok(store_join(w->s, session, w->stream, 0, &w->sink, 1, err));
}

FIXTURE void begin_joined(struct world *w, const char *session)
{
	begin(w, session);
	join(w, session);
}

FIXTURE void kill_session(struct world *w, const char *session)
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

FIXTURE struct store_lane child_named(int n, const struct store_lane *parent)
{
	struct store_lane l = lane_named(n);

	snprintf(l.parent, sizeof(l.parent), "%s", parent->shard);
	return l;
}

FIXTURE void add(struct world *w, const char *session, bool own, struct store_lane *lanes,
		 size_t count)
{
	assert_ok(
		store_lanes_add(w->s, session, w->stream, 0, own, lanes, count, &w->sink, 1, err));
}

FIXTURE void release(struct world *w, const char *session, const struct store_lane *lane)
{
	assert_ok(store_lanes_release(w->s, session, &lane->id, 1, err));
}

FIXTURE uint32_t wish(struct world *w, const char *session, const char *from, uint32_t max)
{
	uint32_t wished;

	assert_ok(store_lanes_wish(w->s, session, from, w->stream, max, &wished, err));
	return wished;
}

FIXTURE void finish_lane(struct world *w, const char *session, uint64_t save, int64_t lane)
{
	struct store_move m = { .lane = lane, .sink = w->sink, .done = true };
	struct store_save s = save_of(session, save, &m, 1);

	assert_ok(store_save(w->s, &s, err));
}

/* A claim took exactly these, in this order. */
#define assert_claims(w, session, max, ...)                                                        \
	do {                                                                                       \
		int64_t wanted_[] = { __VA_ARGS__ };                                               \
		size_t count_ = sizeof(wanted_) / sizeof(*wanted_);                                \
		struct seen seen_ = { 0 };                                                         \
		assert_ok(store_lanes_claim((w)->s, session, (w)->stream, &(w)->sink, 1, max,      \
					    seen_lane, seen_position, &seen_, err));               \
		assert_int_equal(seen_.lane_count, count_);                                        \
		assert_int_equal(seen_.position_count, seen_.lane_count);                          \
		for (size_t i_ = 0; i_ < count_; i_++) {                                           \
			assert_int_equal(seen_.lanes[i_].id, wanted_[i_]);                         \
			assert_int_equal(seen_.positions[i_].lane, wanted_[i_]);                   \
			assert_string_equal(seen_.lanes[i_].owner, session);                       \
		}                                                                                  \
		seen_release(&seen_);                                                              \
	} while (0)

FIXTURE struct seen everything(struct world *w)
{
	struct seen seen = { 0 };

	assert_ok(store_lanes_list(w->s, w->stream, seen_lane, seen_position, &seen, err));
	return seen;
}

FIXTURE struct store_lane stored(struct world *w, int64_t id)
{
	struct seen seen = everything(w);
	struct store_lane found = { .id = -1 };

	for (size_t i = 0; i < seen.lane_count; i++)
		if (seen.lanes[i].id == id)
			found = seen.lanes[i];
	seen_release(&seen);
	return found;
}
