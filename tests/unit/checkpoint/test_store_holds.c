/* A stream is held, let go, reset and read again: the same contract for every store. */
#include "checkpoint/exports.h"
#include "tests/unit/checkpoint/store_world.h"

#define T 1700000000000

/* --- what the tests say --- */
static struct store_hold hold_of(enum store_hold_why why, const char *who, int64_t since_ms)
{
	struct store_hold h = { .why = why, .since_ms = since_ms };

	snprintf(h.who, sizeof(h.who), "%s", who);
	snprintf(h.said, sizeof(h.said), "because");
	return h;
}

static bool holds(struct world *w, struct store_hold *h)
{
	bool done;

	assert_ok(store_stream_hold(w->s, w->stream, 0, h, &done, err));
	return done;
}

static int64_t held(struct world *w, enum store_hold_why why)
{
	struct store_hold h = hold_of(why, "ann", T);

	assert_true(holds(w, &h));
	return h.id;
}

static bool goes_on(struct world *w, int64_t hold)
{
	bool ended;

	assert_ok(store_stream_go_on(w->s, w->stream, hold, "ann", T + 9, &ended, err));
	return ended;
}

static struct store_reset reset_of(int64_t hold, uint64_t generation)
{
	return (struct store_reset){ .hold = hold,
				     .generation = generation,
				     .start_ms = T - 300000,
				     .gaps = STORE_GAP_REPAIR,
				     .who = "ben",
				     .said = "from five minutes before",
				     .at_ms = T + 5 };
}

static bool resets(struct world *w, struct store_reset *r)
{
	bool done;

	assert_ok(store_stream_reset(w->s, w->stream, r, &done, err));
	return done;
}

static struct store_stream stream_now(struct world *w)
{
	struct store_stream stream;

	assert_ok(store_stream(w->s, "orders", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 7,
			       &stream, err));
	assert_int_equal(stream.id, w->stream);
	assert_false(stream.created);
	return stream;
}

static uint32_t owned(struct world *w)
{
	uint32_t count;

	assert_ok(store_stream_owned(w->s, w->stream, &count, err));
	return count;
}

static void release_all(struct world *w, const char *session)
{
	int64_t ids[3];

	for (int i = 0; i < 3; i++)
		ids[i] = w->lanes[i].id;
	assert_ok(store_lanes_release(w->s, session, ids, 3, err));
}

static size_t lanes_now(struct world *w)
{
	struct seen seen = { 0 };
	size_t count;

	assert_ok(store_lanes_list(w->s, w->stream, seen_lane, seen_position, &seen, err));
	count = seen.lane_count;
	seen_release(&seen);
	return count;
}

static size_t claims(struct world *w, const char *session)
{
	struct seen seen = { 0 };
	size_t count;

	assert_ok(store_lanes_claim(w->s, session, w->stream, &w->sink, 1, 9, seen_lane,
				    seen_position, &seen, err));
	count = seen.lane_count;
	seen_release(&seen);
	return count;
}

struct round {
	struct store_round_stream stream;
	struct store_round_member members[4];
	size_t member_count;
};

static void round_stream(void *arg, const struct store_round_stream *r)
{
	((struct round *)arg)->stream = *r;
}

static void round_member(void *arg, const struct store_round_member *m)
{
	struct round *r = arg;

	r->members[r->member_count++] = *m;
}

static void round_wanted(void *arg, int64_t stream, int64_t lane)
{
	(void)arg;
	(void)stream;
	(void)lane;
}

static struct round round_of(struct world *w, const char *session)
{
	static const struct store_round_fns fns = { .stream = round_stream,
						    .member = round_member,
						    .wanted = round_wanted };
	struct round r = { 0 };

	assert_ok(store_round(w->s, session, &fns, &r, err));
	return r;
}

static void join(struct world *w, const char *session)
{
	assert_ok(store_join(w->s, session, w->stream, stream_now(w).epoch, &w->sink, 1, err));
}

struct audit {
	struct store_audit rows[16];
	char who[16][STORE_NAME_MAX + 1], said[16][STORE_NAME_MAX + 1];
	size_t count;
};

static void audit_row(void *arg, const struct store_audit *a)
{
	struct audit *all = arg;

	assert_true(all->count < 16);
	snprintf(all->who[all->count], sizeof(all->who[0]), "%s", a->who);
	snprintf(all->said[all->count], sizeof(all->said[0]), "%s", a->said);
	all->rows[all->count++] = *a;
}

static struct audit audit_of(struct world *w, int64_t stream)
{
	struct audit a = { 0 };

	assert_ok(store_audit(w->s, stream, 16, audit_row, &a, err));
	return a;
}

/* --- a hold --- */
static void a_hold_is_seen_until_it_ends(void **state)
{
	struct world *w = *state;
	struct store_hold h = hold_of(STORE_HOLD_PAUSE, "ann", T);
	struct store_stream now;

	assert_int_equal(stream_now(w).hold.id, 0);
	assert_true(holds(w, &h));
	assert_true(h.id > 0);
	assert_int_equal(h.generation, 1);
	now = stream_now(w);
	assert_int_equal(now.hold.id, h.id);
	assert_int_equal(now.hold.why, STORE_HOLD_PAUSE);
	assert_string_equal(now.hold.who, "ann");
	assert_string_equal(now.hold.said, "because");
	assert_int_equal(now.hold.since_ms, T);
	assert_int_equal(now.hold.generation, 1);
	assert_true(goes_on(w, h.id));
	now = stream_now(w);
	assert_int_equal(now.hold.id, 0);
	assert_int_equal(now.generation, 1); /* nothing else has changed */
	assert_true(now.rooted);
	assert_int_equal(lanes_now(w), 3);
}

static void a_held_stream_is_held_by_one(void **state)
{
	struct world *w = *state;
	struct store_hold h = hold_of(STORE_HOLD_PAUSE, "ann", T), again = h;
	struct store_hold other = hold_of(STORE_HOLD_REPAIR, "worker-b", T + 1);

	assert_true(holds(w, &h));
	assert_true(holds(w, &again)); /* its reply was lost */
	assert_int_equal(again.id, h.id);
	assert_false(holds(w, &other));
	assert_int_equal(other.id, h.id);
	assert_int_equal(other.why, STORE_HOLD_PAUSE);
	assert_string_equal(other.who, "ann");
	assert_int_equal(audit_of(w, w->stream).count, 1);
}

static void a_hold_said_again_after_its_end_holds_nothing(void **state)
{
	struct world *w = *state;
	struct store_hold h = hold_of(STORE_HOLD_REPAIR, "worker-a", T), again = h, next;
	int64_t first;

	assert_true(holds(w, &h));
	first = h.id;
	assert_true(goes_on(w, first));
	assert_false(holds(w, &again));
	assert_int_equal(again.id, 0);
	next = hold_of(STORE_HOLD_REPAIR, "worker-a", T + 1);
	assert_true(holds(w, &next));
	assert_true(next.id != first);
	assert_true(goes_on(w, first)); /* its own reply was lost: the next one stays */
	assert_int_equal(stream_now(w).hold.id, next.id);
}

static void a_hold_may_ask_for_a_generation(void **state)
{
	struct world *w = *state;
	struct store_hold h = hold_of(STORE_HOLD_REPAIR, "worker-a", T);
	bool done;

	assert_ok(store_stream_hold(w->s, w->stream, 2, &h, &done, err));
	assert_false(done);
	assert_int_equal(h.id, 0);
	h = hold_of(STORE_HOLD_REPAIR, "worker-a", T);
	assert_ok(store_stream_hold(w->s, w->stream, 1, &h, &done, err));
	assert_true(done);
}

static void the_end_of_another_hold_ends_nothing(void **state)
{
	struct world *w = *state;
	int64_t hold = held(w, STORE_HOLD_PAUSE);

	assert_false(goes_on(w, hold + 100));
	assert_int_equal(stream_now(w).hold.id, hold);
	assert_true(goes_on(w, hold));
	assert_true(goes_on(w, hold)); /* its reply was lost */
	assert_int_equal(audit_of(w, w->stream).count, 2);
}

static void a_repair_says_what_it_goes_back_to(void **state)
{
	struct world *w = *state;
	struct store_hold h = hold_of(STORE_HOLD_REPAIR, "ann", T), other = h;
	bool done;

	h.back_ms = T - 5000;
	assert_ok(store_stream_hold(w->s, w->stream, 0, &h, &done, err));
	assert_true(done);
	assert_int_equal(h.back_ms, T - 5000);
	assert_int_equal(stream_now(w).hold.back_ms, T - 5000);
	other.since_ms = T + 1;
	assert_ok(store_stream_hold(w->s, w->stream, 0, &other, &done, err));
	assert_false(done);
	assert_int_equal(other.back_ms, T - 5000); /* the one that it is held by */
	assert_int_equal(audit_of(w, w->stream).rows[0].to_ms, T - 5000);
	assert_true(goes_on(w, h.id));
	held(w, STORE_HOLD_PAUSE);
	assert_int_equal(stream_now(w).hold.back_ms, 0);
}

static void a_hold_takes_the_place_of_another(void **state)
{
	struct world *w = *state;
	int64_t pause = held(w, STORE_HOLD_PAUSE);
	struct store_hold h = hold_of(STORE_HOLD_REWIND, "ben", T + 1), late = h, other = h;
	bool done;

	assert_ok(store_stream_hold_instead(w->s, w->stream, 1, pause, &h, &done, err));
	assert_true(done);
	assert_int_equal(stream_now(w).hold.id, h.id);
	assert_int_equal(h.why, STORE_HOLD_REWIND);
	assert_int_equal(audit_of(w, w->stream).count, 3);
	/* Its reply was lost. */
	assert_ok(store_stream_hold_instead(w->s, w->stream, 1, pause, &late, &done, err));
	assert_true(done);
	assert_int_equal(late.id, h.id);
	/* One that has ended is nobody's place. */
	other.since_ms = T + 2;
	assert_ok(store_stream_hold_instead(w->s, w->stream, 1, pause, &other, &done, err));
	assert_false(done);
	assert_int_equal(other.id, h.id);
	assert_int_equal(audit_of(w, w->stream).count, 3);
}

/* A baseline that begins while somebody still looks at the plan raises the generation: it is not
 * ended by a hold that is refused for that. */
static void a_hold_that_is_refused_ends_no_other(void **state)
{
	struct world *w = *state;
	int64_t baseline = held(w, STORE_HOLD_BASELINE);
	struct store_hold h = hold_of(STORE_HOLD_REWIND, "ben", T + 1);
	size_t count = audit_of(w, w->stream).count;
	bool done;

	assert_ok(store_stream_hold_instead(w->s, w->stream, 7, baseline, &h, &done, err));
	assert_false(done);
	assert_int_equal(h.id, baseline);
	assert_int_equal(stream_now(w).hold.id, baseline);
	assert_int_equal(audit_of(w, w->stream).count, count);
	h = hold_of(STORE_HOLD_REWIND, "ben", T + 1);
	assert_ok(store_stream_hold_instead(w->s, w->stream, 0, baseline, &h, &done, err));
	assert_true(done);
}

static void streams_that_are_not_known_cannot_be_held(void **state)
{
	struct world *w = *state;
	struct store_hold h = hold_of(STORE_HOLD_PAUSE, "ann", T);
	struct store_reset r = reset_of(1, 1);
	bool done;

	assert_kind(ERROR_NOT_FOUND, store_stream_hold(w->s, 999, 0, &h, &done, err));
	assert_kind(ERROR_NOT_FOUND, store_stream_reset(w->s, 999, &r, &done, err));
	assert_kind(ERROR_NOT_FOUND, store_stream_go_on(w->s, 999, 1, "ann", T, &done, err));
}

/* --- what is held is not given out --- */
static void a_held_streams_lanes_are_given_to_nobody(void **state)
{
	struct world *w = *state;
	struct round r;
	uint32_t wished;
	int64_t hold;

	join(w, SESSION_A);
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	join(w, SESSION_B);
	hold = held(w, STORE_HOLD_PAUSE);
	assert_int_equal(owned(w), 3);
	assert_ok(store_lanes_wish(w->s, SESSION_B, SESSION_A, w->stream, 9, &wished, err));
	assert_int_equal(wished, 0);
	release_all(w, SESSION_A);
	assert_int_equal(owned(w), 0);
	assert_int_equal(claims(w, SESSION_A), 0);
	assert_int_equal(claims(w, SESSION_B), 0);
	r = round_of(w, SESSION_B);
	assert_int_equal(r.stream.hold, hold);
	assert_int_equal(r.stream.hold_why, STORE_HOLD_PAUSE);
	assert_true(r.stream.served);
	assert_true(r.stream.stale);
	assert_int_equal(r.stream.claimable, 0);
	assert_int_equal(r.member_count, 2);
	assert_true(r.members[0].stream_held && r.members[1].stream_held);

	/* Who has not seen it yet finds out that he has to join again. */
	assert_true(goes_on(w, hold));
	r = round_of(w, SESSION_B);
	assert_int_equal(r.stream.hold, 0);
	assert_int_equal(r.stream.hold_why, STORE_HOLD_NONE);
	assert_true(r.stream.stale);
	assert_int_equal(r.stream.claimable, 0);
	assert_false(r.members[0].stream_held);
	assert_int_equal(claims(w, SESSION_B), 0);
	join(w, SESSION_B); /* without a reset all is as it was */
	r = round_of(w, SESSION_B);
	assert_false(r.stream.stale);
	assert_int_equal(r.stream.claimable, 3);
	assert_int_equal(claims(w, SESSION_B), 3);
}

static void nothing_is_added_to_a_held_stream(void **state)
{
	struct world *w = *state;
	struct store_lane l = lane_named(7);
	int64_t hold;

	join(w, SESSION_A);
	hold = held(w, STORE_HOLD_PAUSE);
	l.id = 5;
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &l, 1, &w->sink, 1, err));
	assert_int_equal(l.id, 0);
	assert_int_equal(lanes_now(w), 3);
	assert_true(goes_on(w, hold));
	/* What was refused before it may be what this one descends from. */
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &l, 1, &w->sink, 1, err));
	assert_int_equal(l.id, 0);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, hold, true, &l, 1, &w->sink, 1, err));
	assert_true(l.id > 0);
	assert_int_equal(lanes_now(w), 4);
}

static void what_is_under_way_is_saved_while_held(void **state)
{
	struct world *w = *state;
	struct store_move m = move(w, 0, "", "5");
	struct store_save save = save_of(SESSION_A, 1, &m, 1);

	held(w, STORE_HOLD_PAUSE);
	assert_ok(store_save(w->s, &save, err));
	assert_at(w->s, w->stream, w->lanes[0].id, w->sink, "5");
	m = move(w, 0, "5", "6");
	m.done = true; /* its end, too: and then it is nobody's */
	save = save_of(SESSION_A, 2, &m, 1);
	assert_ok(store_save(w->s, &save, err));
	assert_int_equal(owned(w), 2);
}

static void who_joins_a_held_stream_has_to_join_again(void **state)
{
	struct world *w = *state;
	int64_t hold;

	release_all(w, SESSION_A);
	hold = held(w, STORE_HOLD_PAUSE);
	join(w, SESSION_A);
	assert_true(round_of(w, SESSION_A).stream.stale);
	assert_true(goes_on(w, hold));
	assert_true(round_of(w, SESSION_A).stream.stale);
	assert_int_equal(round_of(w, SESSION_A).stream.claimable, 0);
	assert_int_equal(claims(w, SESSION_A), 0);
	join(w, SESSION_A);
	assert_false(round_of(w, SESSION_A).stream.stale);
	assert_int_equal(claims(w, SESSION_A), 3);
}

/* --- a reset --- */
static void a_reset_begins_anew(void **state)
{
	struct world *w = *state;
	struct store_move m = move(w, 1, "", "5");
	struct store_save save = save_of(SESSION_A, 1, &m, 1);
	struct store_reset r;
	struct store_stream now;
	struct store_lane root = lane_named(1);
	int64_t hold, before = w->lanes[1].id;

	join(w, SESSION_A);
	assert_ok(store_save(w->s, &save, err));
	hold = held(w, STORE_HOLD_REWIND);
	release_all(w, SESSION_A);
	r = reset_of(hold, 1);
	assert_true(resets(w, &r));
	assert_int_equal(r.generation, 2);
	now = stream_now(w);
	assert_int_equal(now.generation, 2);
	assert_int_equal(now.start_ms, T - 300000);
	assert_false(now.rooted);
	assert_int_equal(now.hold.id, hold); /* until it goes on */
	assert_int_equal(lanes_now(w), 0);
	/* The table's next stream is not older for readers. */
	assert_ok(store_stream(w->s, "orders", "arn:next", 0, &now, err));
	assert_int_equal(now.generation, 2);
	assert_ok(store_stream(w->s, "users", "arn:users", 0, &now, err));
	assert_int_equal(now.generation, 1);

	assert_true(goes_on(w, hold));
	assert_true(round_of(w, SESSION_A).stream.stale);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &root, 1, &w->sink, 1, err));
	assert_int_equal(root.id, 0); /* what it found under the old generation */
	assert_false(stream_now(w).rooted);
	/* A call that comes late. */
	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, &w->sink, 1, err));
	assert_true(round_of(w, SESSION_A).stream.stale);
	join(w, SESSION_A);
	assert_false(round_of(w, SESSION_A).stream.stale);
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, hold, true, &root, 1, &w->sink, 1,
				  err));
	assert_true(root.id > before);
	assert_at(w->s, w->stream, root.id, w->sink, "");
	assert_true(stream_now(w).rooted);
}

static void nothing_is_reset_before_all_is_released(void **state)
{
	struct world *w = *state;
	struct store_reset r;
	int64_t hold = held(w, STORE_HOLD_REWIND);
	bool killed;

	r = reset_of(hold, 1);
	assert_false(resets(w, &r));
	assert_int_equal(r.owned, 3);
	assert_ok(store_session_kill(w->s, SESSION_A, 0, &killed, err));
	assert_true(killed);
	assert_false(resets(w, &r)); /* what it delivered may not be saved yet */
	assert_int_equal(r.owned, 3);
	assert_int_equal(stream_now(w).generation, 1);
	assert_int_equal(lanes_now(w), 3);
	assert_ok(store_session_bury(w->s, SESSION_A, err));
	assert_true(resets(w, &r));
	assert_int_equal(r.owned, 0);
}

static void a_reset_said_again_counts_once(void **state)
{
	struct world *w = *state;
	struct store_reset r, again;
	int64_t hold = held(w, STORE_HOLD_REWIND);

	release_all(w, SESSION_A);
	again = r = reset_of(hold, 1);
	assert_true(resets(w, &r));
	assert_true(resets(w, &again));
	assert_int_equal(again.generation, 2);
	assert_int_equal(stream_now(w).generation, 2);
	assert_true(goes_on(w, hold));
	again.generation = 1;
	assert_true(resets(w, &again)); /* it was made, whatever came after it */
	assert_true(stream_now(w).hold.id == 0);
	assert_int_equal(stream_now(w).generation, 2);
}

static void another_holds_reset_resets_nothing(void **state)
{
	struct world *w = *state;
	int64_t hold = held(w, STORE_HOLD_PAUSE), next;
	struct store_hold h = hold_of(STORE_HOLD_PAUSE, "ann", T + 20);
	struct store_reset r;

	release_all(w, SESSION_A);
	r = reset_of(hold + 100, 1);
	assert_false(resets(w, &r));
	assert_int_equal(r.owned, 0);
	r = reset_of(hold, 2);
	assert_false(resets(w, &r));
	assert_true(goes_on(w, hold));
	r = reset_of(hold, 1);
	assert_false(resets(w, &r));
	assert_true(holds(w, &h));
	next = h.id;
	r = reset_of(hold, 1);
	assert_false(resets(w, &r));
	assert_int_equal(lanes_now(w), 3);
	r = reset_of(next, 1);
	assert_true(resets(w, &r));
	/* A second one under the same hold: nobody has read anything under its generation. */
	r = reset_of(next, 2);
	r.start_ms = 0;
	assert_true(resets(w, &r));
	assert_int_equal(r.generation, 2);
	assert_int_equal(stream_now(w).start_ms, 0);
}

static void a_generation_that_exports_raised_is_kept(void **state)
{
	struct world *w = *state;
	struct store_export e = { .table_arn = "arn:aws:dynamodb:eu-west-1:1:table/t",
				  .name = "orders",
				  .kind = STORE_EXPORT_REPAIR,
				  .stream = w->stream,
				  .from_ms = T - 900000,
				  .to_ms = T,
				  .manifest = "" };
	struct store_reset r;
	int64_t hold = held(w, STORE_HOLD_REPAIR);
	bool created;

	release_all(w, SESSION_A);
	assert_ok(store_export_begin(w->s, SESSION_A, &e, T, &created, err));
	assert_int_equal(e.generation, 2);
	r = reset_of(hold, 1);
	assert_false(resets(w, &r));
	r = reset_of(hold, 2);
	assert_true(resets(w, &r));
	assert_int_equal(r.generation, 2);
	assert_int_equal(stream_now(w).generation, 2);
}

static void a_reset_closes_the_gaps_that_were_left(void **state)
{
	struct world *w = *state;
	struct store_gap open = { .stream = w->stream, .kind = STORE_GAP_TRIMMED, .found_ms = T };
	struct store_gap accepted = open, other = open;
	struct store_reset r;
	int64_t hold = held(w, STORE_HOLD_REPAIR), stream;
	bool added;

	snprintf(open.shard, sizeof(open.shard), "%s", w->lanes[0].shard);
	snprintf(accepted.shard, sizeof(accepted.shard), "%s", w->lanes[1].shard);
	stream = stream_named(w->s, "users");
	other.stream = stream;
	assert_ok(store_gap_put(w->s, SESSION_A, &open, false, &added, err));
	assert_ok(store_gap_put(w->s, SESSION_A, &accepted, true, &added, err));
	assert_ok(store_gap_put(w->s, SESSION_A, &other, false, &added, err));
	release_all(w, SESSION_A);
	r = reset_of(hold, 1);
	assert_true(resets(w, &r));
	assert_ok(store_gap_put(w->s, SESSION_A, &open, false, &added, err));
	assert_int_equal(open.state, STORE_GAP_CLOSED);
	assert_int_equal(open.how, STORE_GAP_REPAIR);
	assert_ok(store_gap_put(w->s, SESSION_A, &accepted, false, &added, err));
	assert_int_equal(accepted.state, STORE_GAP_CLOSED);
	assert_int_equal(accepted.how, STORE_GAP_REPAIR);
	assert_ok(store_gap_put(w->s, SESSION_A, &other, false, &added, err));
	assert_int_equal(other.state, STORE_GAP_OPEN);
}

/* --- a new stream that is held --- */
static void a_stream_may_be_made_held(void **state)
{
	struct world *w = *state;
	struct store_hold h = hold_of(STORE_HOLD_BASELINE, "worker-a", T);
	struct store_stream made, again;
	struct store_reset r;
	bool done;

	assert_ok(store_stream_held(w->s, "users", "arn:x", &h, &made, err));
	assert_true(made.created);
	assert_int_equal(made.hold.why, STORE_HOLD_BASELINE);
	assert_int_equal(made.hold.generation, 0);
	h.since_ms++; /* another worker */
	assert_ok(store_stream_held(w->s, "users", "arn:x", &h, &again, err));
	assert_false(again.created);
	assert_int_equal(again.id, made.id);
	assert_int_equal(again.hold.id, made.hold.id);
	assert_int_equal(again.hold.since_ms, T);

	r = reset_of(made.hold.id, 1);
	assert_ok(store_stream_reset(w->s, made.id, &r, &done, err));
	assert_true(done);
	assert_int_equal(r.generation, 1); /* nobody read an earlier one */
	assert_ok(store_stream_go_on(w->s, made.id, made.hold.id, "worker-a", T, &done, err));
	assert_true(done);
	assert_ok(store_stream_held(w->s, "users", "arn:x", &h, &again, err));
	assert_int_equal(again.hold.id, 0); /* one that is there is left as it is */
	assert_int_equal(again.start_ms, T - 300000);
}

/* --- the audit --- */
static void the_audit_says_who_did_what(void **state)
{
	struct world *w = *state;
	struct store_move m = move(w, 2, "", "5");
	struct store_save save = save_of(SESSION_A, 1, &m, 1);
	struct store_reset r;
	struct audit a;
	int64_t hold;

	assert_ok(store_save(w->s, &save, err));
	hold = held(w, STORE_HOLD_REWIND);
	release_all(w, SESSION_A);
	r = reset_of(hold, 1);
	assert_true(resets(w, &r));
	assert_true(goes_on(w, hold));
	a = audit_of(w, w->stream);
	assert_int_equal(a.count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(a.rows[i].stream, w->stream);
		assert_int_equal(a.rows[i].hold, hold);
		assert_int_equal(a.rows[i].why, STORE_HOLD_REWIND);
	}
	assert_int_equal(a.rows[2].what, STORE_AUDIT_HOLD);
	assert_string_equal(a.who[2], "ann");
	assert_string_equal(a.said[2], "because");
	assert_int_equal(a.rows[2].at_ms, T);
	assert_int_equal(a.rows[1].what, STORE_AUDIT_RESET);
	assert_string_equal(a.who[1], "ben");
	assert_string_equal(a.said[1], "from five minutes before");
	assert_int_equal(a.rows[1].from_generation, 1);
	assert_int_equal(a.rows[1].to_generation, 2);
	assert_int_equal(a.rows[1].from_ms, 1700000000123);
	assert_int_equal(a.rows[1].to_ms, T - 300000);
	assert_int_equal(a.rows[1].lanes, 3);
	assert_int_equal(a.rows[0].what, STORE_AUDIT_GO_ON);
	assert_int_equal(a.rows[0].at_ms, T + 9);
	assert_int_equal(audit_of(w, 0).count, 3);
	assert_int_equal(audit_of(w, stream_named(w->s, "users")).count, 0);
}

static void old_audit_goes(void **state)
{
	struct world *w = *state;
	struct store_hold h = hold_of(STORE_HOLD_PAUSE, "ann", T + STORE_AUDIT_KEPT_MS + 10);
	struct audit a;
	int64_t hold = held(w, STORE_HOLD_PAUSE);

	assert_false(holds(w, &h)); /* what holds it is kept */
	assert_int_equal(audit_of(w, w->stream).count, 1);
	assert_true(goes_on(w, hold));
	h = hold_of(STORE_HOLD_PAUSE, "ann", T + STORE_AUDIT_KEPT_MS + 10);
	assert_true(holds(w, &h));
	a = audit_of(w, w->stream);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.rows[0].id, h.id);
}

static int run(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_hold_is_seen_until_it_ends, world_up, world_down),
		cmocka_unit_test_setup_teardown(a_held_stream_is_held_by_one, world_up, world_down),
		cmocka_unit_test_setup_teardown(a_hold_said_again_after_its_end_holds_nothing,
						world_up, world_down),
		cmocka_unit_test_setup_teardown(a_hold_may_ask_for_a_generation, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(the_end_of_another_hold_ends_nothing, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_repair_says_what_it_goes_back_to, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_hold_takes_the_place_of_another, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_hold_that_is_refused_ends_no_other, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(streams_that_are_not_known_cannot_be_held, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_held_streams_lanes_are_given_to_nobody, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(nothing_is_added_to_a_held_stream, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(what_is_under_way_is_saved_while_held, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(who_joins_a_held_stream_has_to_join_again, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_reset_begins_anew, world_up, world_down),
		cmocka_unit_test_setup_teardown(nothing_is_reset_before_all_is_released, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_reset_said_again_counts_once, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(another_holds_reset_resets_nothing, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_generation_that_exports_raised_is_kept, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_reset_closes_the_gaps_that_were_left, world_up,
						world_down),
		cmocka_unit_test_setup_teardown(a_stream_may_be_made_held, world_up, world_down),
		cmocka_unit_test_setup_teardown(the_audit_says_who_did_what, world_up, world_down),
		cmocka_unit_test_setup_teardown(old_audit_goes, world_up, world_down),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
