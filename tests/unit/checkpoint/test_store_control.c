/* Control events are put once, handed out to the sinks, told in order by one session at a time: the
 * same contract for every store. */
#include "checkpoint/control.h"
#include "tests/unit/checkpoint/store_world.h"

#define AT_MS   1700000000000
#define TOLD_MS (AT_MS + 1000)

struct heard {
	struct store_control events[250];
	size_t count;
};

static bool waits; /* what the last claim said */

static void hear(void *arg, const struct store_control *e)
{
	struct heard *h = arg;
	struct store_control *out = &h->events[h->count++];

	assert_true(h->count <= 250);
	*out = *e;
	out->name = memory_text(e->name);
	out->arn = memory_text(e->arn);
	out->key = memory_text(e->key);
	out->detail = memory_text(e->detail);
	out->rolls = memory_text(e->rolls);
}

static void heard_release(struct heard *h)
{
	for (size_t i = 0; i < h->count; i++) {
		free((void *)(uintptr_t)h->events[i].name);
		free((void *)(uintptr_t)h->events[i].arn);
		free((void *)(uintptr_t)h->events[i].key);
		free((void *)(uintptr_t)h->events[i].detail);
		free((void *)(uintptr_t)h->events[i].rolls);
	}
	h->count = 0;
}

#define HEARD __attribute__((cleanup(heard_release))) struct heard

static struct heard claim(struct world *w, const char *session, int32_t sink)
{
	const struct store_control_of of = { "orders", sink };
	struct heard h = { .count = 0 };

	assert_ok(store_control_claim(w->s, session, &of, 1, AT_MS, &waits, hear, &h, err));
	return h;
}

static void tell(struct world *w, const char *session, const struct store_control *e)
{
	assert_ok(store_control_told(w->s, session, e->sink, &e->id, 1, TOLD_MS, err));
}

static bool put_by(struct world *w, const char *session, enum store_control_kind kind,
		   enum store_control_phase phase, const char *key)
{
	const struct store_control e = { .stream = w->stream,
					 .kind = kind,
					 .phase = phase,
					 .time_ms = AT_MS,
					 .key = key,
					 .detail = "{\"windows\":2}" };
	bool added = false;

	assert_ok(store_control_put(w->s, session, &e, &added, err));
	return added;
}

static bool put(struct world *w, enum store_control_kind kind, enum store_control_phase phase,
		const char *key)
{
	return put_by(w, SESSION_A, kind, phase, key);
}

static void begin_b(struct world *w)
{
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
}

static void kill_a(struct world *w)
{
	bool done;

	assert_ok(store_session_kill(w->s, SESSION_A, 0, &done, err));
}

static void an_event_is_put_once_and_told_in_each_sink(void **state)
{
	struct world *w = *state;
	const struct store_control_of of[2] = { { "orders", w->sink }, { "orders", w->other } };
	HEARD h = { .count = 0 };

	assert_true(put(w, STORE_CONTROL_REPAIR, STORE_CONTROL_BEGIN, "repair 1 begin"));
	assert_false(put(w, STORE_CONTROL_REPAIR, STORE_CONTROL_BEGIN, "repair 1 begin"));
	assert_ok(store_control_claim(w->s, SESSION_A, of, 2, AT_MS, &waits, hear, &h, err));
	assert_int_equal(h.count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct store_control *e = &h.events[i];

		assert_int_equal(e->sink, of[i].sink);
		assert_true(e->id > 0);
		assert_int_equal(e->id, h.events[0].id);
		assert_int_equal(e->stream, w->stream);
		assert_string_equal(e->name, "orders");
		assert_string_equal(e->arn, "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x");
		assert_int_equal(e->kind, STORE_CONTROL_REPAIR);
		assert_int_equal(e->phase, STORE_CONTROL_BEGIN);
		assert_int_equal(e->generation, 1);
		assert_int_equal(e->time_ms, AT_MS);
		assert_string_equal(e->key, "repair 1 begin");
		assert_string_equal(e->detail, "{\"windows\":2}");
		assert_string_equal(e->rolls, "");
	}
	tell(w, SESSION_A, &h.events[0]);
	heard_release(&h);
	assert_ok(store_control_claim(w->s, SESSION_A, of, 2, AT_MS, &waits, hear, &h, err));
	assert_int_equal(h.count, 1); /* said again: what is not told yet */
	assert_int_equal(h.events[0].sink, w->other);
	tell(w, SESSION_A, &h.events[0]);
	heard_release(&h);
	assert_ok(store_control_claim(w->s, SESSION_A, of, 2, AT_MS, &waits, hear, &h, err));
	assert_int_equal(h.count, 0);
}

static void one_session_tells_and_another_after_its_death(void **state)
{
	struct world *w = *state;
	HEARD a = { .count = 0 };
	HEARD b = { .count = 0 };

	begin_b(w);
	put(w, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, "1");
	put(w, STORE_CONTROL_REWIND, STORE_CONTROL_END, "2");
	a = claim(w, SESSION_A, w->sink);
	assert_int_equal(a.count, 2);
	put(w, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, "3");
	b = claim(w, SESSION_B, w->sink);
	assert_int_equal(b.count, 0); /* not the third one: the first is not told */
	tell(w, SESSION_A, &a.events[0]);
	kill_a(w);
	assert_kind(ERROR_FENCED,
		    store_control_told(w->s, SESSION_A, w->sink, &a.events[1].id, 1, TOLD_MS, err));
	b = claim(w, SESSION_B, w->sink);
	assert_int_equal(b.count, 2);
	assert_string_equal(b.events[0].key, "2");
	assert_string_equal(b.events[1].key, "3");
}

static void many_come_in_parts(void **state)
{
	struct world *w = *state;
	HEARD h = { .count = 0 };
	int64_t ids[STORE_CONTROL_CLAIM_MAX];
	char key[16];

	for (int i = 0; i < STORE_CONTROL_CLAIM_MAX + 7; i++) {
		snprintf(key, sizeof(key), "%d", i);
		put(w, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, key);
	}
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, STORE_CONTROL_CLAIM_MAX);
	for (size_t i = 0; i < h.count; i++)
		ids[i] = h.events[i].id;
	assert_ok(store_control_told(w->s, SESSION_A, w->sink, ids, h.count, TOLD_MS, err));
	heard_release(&h);
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 7);
	assert_string_equal(h.events[0].key, "100");
}

/* --- who hands it out --- */

static void the_stored_sinks_get_it(void **state)
{
	struct world *w = *state;
	HEARD h = { .count = 0 };

	begin_b(w);
	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, &w->sink, 1, err));
	assert_ok(store_join(w->s, SESSION_B, w->stream, 0, &w->other, 1, err));
	put(w, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, "1");
	h = claim(w, SESSION_B, w->other);
	assert_int_equal(h.count, 0); /* a deployment with other sinks is not served yet */
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 1);
	heard_release(&h);
	kill_a(w);
	put_by(w, SESSION_B, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, "2");
	h = claim(w, SESSION_B, w->other); /* the last of the others has gone */
	assert_int_equal(h.count, 1);
	assert_string_equal(h.events[0].key, "2");
}

static void a_stream_without_a_teller_has_told_all(void **state)
{
	struct world *w = *state;
	HEARD h = { .count = 0 };

	put(w, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, "1");
	h = claim(w, SESSION_A, 0);
	assert_int_equal(h.count, 0);
	h = claim(w, SESSION_A, w->sink); /* a sink that comes later hears what comes later */
	assert_int_equal(h.count, 0);
	put(w, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, "2");
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 1);
}

static void other_streams_are_not_held_up(void **state)
{
	struct world *w = *state;
	const struct store_control_of of[2] = { { "orders", w->sink }, { "users", w->sink } };
	HEARD a = { .count = 0 };
	HEARD b = { .count = 0 };

	begin_b(w);
	put(w, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, "1");
	a = claim(w, SESSION_A, w->sink);
	assert_int_equal(a.count, 1);
	w->stream = stream_named(w->s, "users");
	put(w, STORE_CONTROL_REWIND, STORE_CONTROL_BEGIN, "1");
	assert_ok(store_control_claim(w->s, SESSION_B, of, 2, AT_MS, &waits, hear, &b, err));
	assert_int_equal(b.count, 1);
	assert_string_equal(b.events[0].name, "users");
}

static void one_may_be_for_one_sink(void **state)
{
	struct world *w = *state;
	const struct store_control_of of[2] = { { "orders", w->sink }, { "orders", w->other } };
	const struct store_control e = { .stream = w->stream,
					 .kind = STORE_CONTROL_BASELINE,
					 .phase = STORE_CONTROL_BEGIN,
					 .generation = 7,
					 .time_ms = AT_MS,
					 .key = "baseline 7 begin",
					 .sink = w->other };
	HEARD h = { .count = 0 };
	bool added;

	assert_ok(store_control_put(w->s, NULL, &e, &added, err)); /* a person's command */
	assert_true(added);
	assert_ok(store_control_claim(w->s, SESSION_A, of, 2, AT_MS, &waits, hear, &h, err));
	assert_int_equal(h.count, 1);
	assert_int_equal(h.events[0].sink, w->other);
	assert_int_equal(h.events[0].generation, 7);
	assert_string_equal(h.events[0].detail, "");
}

static void only_the_living_put_events_of_known_streams(void **state)
{
	struct world *w = *state;
	struct store_control e = { .stream = w->stream, .key = "1", .time_ms = AT_MS };
	bool added;

	assert_kind(ERROR_FENCED, store_control_put(w->s, SESSION_C, &e, &added, err));
	e.stream = 4711;
	assert_kind(ERROR_NOT_FOUND, store_control_put(w->s, SESSION_A, &e, &added, err));
	e.stream = w->stream;
	kill_a(w);
	assert_kind(ERROR_FENCED, store_control_put(w->s, SESSION_A, &e, &added, err));
	begin_b(w);
	HEARD h = claim(w, SESSION_B, w->sink);
	assert_int_equal(h.count, 0);
}

/* --- ends --- */

static void roll(struct world *w, const char *session, uint64_t save, uint64_t number)
{
	const struct store_roll r = { w->sink, number, STR("blob") };
	const struct store_roll last = { .sink = w->sink, .number = number - 1 };
	struct store_save what = { .session = session,
				   .number = save,
				   .rolls = &r,
				   .roll_count = 1,
				   .finished = &last,
				   .finished_count = number > 1 };

	assert_ok(store_save(w->s, &what, err));
}

static void an_end_waits_until_what_was_before_is_visible(void **state)
{
	struct world *w = *state;
	HEARD h = { .count = 0 };

	begin_b(w);
	roll(w, SESSION_A, 1, 1);
	roll(w, SESSION_A, 2, 2);
	roll(w, SESSION_B, 1, 1);
	put(w, STORE_CONTROL_REPAIR, STORE_CONTROL_BEGIN, "begin");
	put(w, STORE_CONTROL_REPAIR, STORE_CONTROL_END, "end");
	put(w, STORE_CONTROL_REPAIR, STORE_CONTROL_BEGIN, "next");
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 1); /* a begin waits for nothing */
	tell(w, SESSION_A, &h.events[0]);
	heard_release(&h);
	h = claim(w, SESSION_A, w->other);
	assert_int_equal(h.count, 0); /* handed out to the sinks of then */
	assert_ok(store_roll_finished(w->s, SESSION_B, "events", 1, true, err));
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 0);
	assert_true(waits);
	roll(w, SESSION_A, 3, 3); /* 2 is visible; what came behind the end does not count */
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 2);
	assert_false(waits);
	assert_string_equal(h.events[0].key, "end");
	assert_string_equal(h.events[0].rolls, "{\"" SESSION_A "\":2,\"" SESSION_B "\":1}");
	assert_string_equal(h.events[1].rolls, "");
}

static void the_end_of_a_session_does_not_hide_its_rolls(void **state)
{
	struct world *w = *state;
	HEARD h = { .count = 0 };

	begin_b(w);
	roll(w, SESSION_A, 1, 1);
	assert_ok(store_roll_finished(w->s, SESSION_A, "events", 1, true, err));
	bury_a(w);
	const struct store_control e = { .stream = w->stream,
					 .kind = STORE_CONTROL_BASELINE,
					 .phase = STORE_CONTROL_END,
					 .time_ms = AT_MS,
					 .key = "end" };
	bool added;

	assert_ok(store_control_put(w->s, SESSION_B, &e, &added, err));
	h = claim(w, SESSION_B, w->sink);
	assert_int_equal(h.count, 1);
	assert_string_equal(h.events[0].rolls, "{\"" SESSION_A "\":1}");
}

/* --- gaps --- */

static struct store_gap gap_of(const struct world *w, int lane, enum store_gap_kind kind,
			       const char *from)
{
	struct store_gap g = { .stream = w->stream,
			       .kind = kind,
			       .from = seq(from),
			       .from_ms = *from ? AT_MS - 500 : 0,
			       .found_ms = AT_MS };

	if (lane >= 0)
		memcpy(g.shard, w->lanes[lane].shard, sizeof(g.shard));
	return g;
}

static void put_gap(struct world *w, struct store_gap *g, bool accept)
{
	bool added;

	assert_ok(store_gap_put(w->s, SESSION_A, g, accept, &added, err));
}

static void assert_says(const struct store_control *e, enum store_control_kind kind,
			enum store_control_phase phase, int64_t time_ms, const char *detail)
{
	assert_int_equal(e->kind, kind);
	assert_int_equal(e->phase, phase);
	assert_int_equal(e->time_ms, time_ms);
	assert_string_equal(e->detail, detail);
}

static void a_gap_says_where_it_begins_and_ends(void **state)
{
	struct world *w = *state;
	struct store_gap g = gap_of(w, 0, STORE_GAP_TRIMMED, "1234567890123456789012345");
	struct sequence to = seq("1234567890123456789012399");
	char detail[400];
	HEARD h = { .count = 0 };

	put_gap(w, &g, true);
	put_gap(w, &g, true);
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 1); /* accepted, but reading does not go on yet */
	snprintf(detail, sizeof(detail),
		 "{\"id\":%lld,\"reason\":\"trimmed\",\"shard\":\"%s\","
		 "\"from\":\"1234567890123456789012345\",\"from_ms\":1699999999500,"
		 "\"to\":null,\"to_ms\":null,\"how\":null}",
		 (long long)g.id, g.shard);
	assert_says(&h.events[0], STORE_CONTROL_GAP, STORE_CONTROL_BEGIN, AT_MS, detail);
	assert_ok(store_gap_close(w->s, g.id, STORE_GAP_NOHOW, &to, AT_MS - 100, AT_MS + 9, err));
	assert_ok(store_gap_close(w->s, g.id, STORE_GAP_NOHOW, &to, AT_MS - 100, AT_MS + 10, err));
	heard_release(&h);
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 2);
	snprintf(detail, sizeof(detail),
		 "{\"id\":%lld,\"reason\":\"trimmed\",\"shard\":\"%s\","
		 "\"from\":\"1234567890123456789012345\",\"from_ms\":1699999999500,"
		 "\"to\":\"1234567890123456789012399\",\"to_ms\":1699999999900,"
		 "\"how\":\"oldest\"}",
		 (long long)g.id, g.shard);
	assert_says(&h.events[1], STORE_CONTROL_GAP, STORE_CONTROL_END, AT_MS + 9, detail);
}

static void a_gap_of_the_whole_stream_ends_when_it_is_accepted(void **state)
{
	struct world *w = *state;
	struct store_gap g = gap_of(w, -1, STORE_GAP_REENABLED, "");
	uint32_t accepted;
	char detail[300];
	HEARD h = { .count = 0 };

	g.to_ms = AT_MS - 7;
	put_gap(w, &g, false);
	assert_ok(store_gaps_accept(w->s, w->stream, g.id, AT_MS + 5, &accepted, err));
	assert_ok(store_gap_close(w->s, g.id, STORE_GAP_NOHOW, &SEQUENCE_NONE, 0, AT_MS + 6, err));
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 2);
	snprintf(detail, sizeof(detail),
		 "{\"id\":%lld,\"reason\":\"reenabled\",\"shard\":null,\"from\":null,"
		 "\"from_ms\":null,\"to\":null,\"to_ms\":1699999999993,\"how\":null}",
		 (long long)g.id);
	assert_says(&h.events[0], STORE_CONTROL_REENABLED, STORE_CONTROL_BEGIN, AT_MS, detail);
	snprintf(detail, sizeof(detail),
		 "{\"id\":%lld,\"reason\":\"reenabled\",\"shard\":null,\"from\":null,"
		 "\"from_ms\":null,\"to\":null,\"to_ms\":1699999999993,\"how\":\"resume\"}",
		 (long long)g.id);
	assert_says(&h.events[1], STORE_CONTROL_REENABLED, STORE_CONTROL_END, AT_MS + 5, detail);
}

static void a_gap_that_nobody_closed_ends_when_it_is_forgotten(void **state)
{
	struct world *w = *state;
	struct store_gap g = gap_of(w, 0, STORE_GAP_TRIMMED, "5"), again = g;
	HEARD h = { .count = 0 };

	put_gap(w, &g, true);
	again.found_ms += STORE_GAP_AGAIN_MS + 1;
	put_gap(w, &again, false);
	h = claim(w, SESSION_A, w->sink);
	assert_int_equal(h.count, 3);
	assert_int_equal(h.events[0].phase, STORE_CONTROL_BEGIN);
	assert_int_equal(h.events[1].phase, STORE_CONTROL_END);
	assert_int_equal(h.events[1].time_ms, AT_MS);
	assert_int_equal(h.events[2].phase, STORE_CONTROL_BEGIN);
	assert_int_equal(h.events[2].time_ms, again.found_ms);
}

/* --- topics --- */

static uint32_t seen_topic(struct world *w, const char *session, uint32_t partitions, int64_t at_ms)
{
	const struct store_topic t = { w->stream, w->sink, "dynamodb.orders", partitions };
	uint32_t before = 99;

	assert_ok(store_topic_seen(w->s, session, &t, at_ms, &before, err));
	return before;
}

static void another_number_of_partitions_is_an_event_for_its_sink(void **state)
{
	struct world *w = *state;
	const struct store_control_of of[2] = { { "orders", w->sink }, { "orders", w->other } };
	HEARD h = { .count = 0 };

	begin_b(w);
	assert_int_equal(seen_topic(w, SESSION_A, 3, AT_MS), 0);
	assert_int_equal(seen_topic(w, SESSION_B, 3, AT_MS + 1), 0);
	assert_int_equal(seen_topic(w, SESSION_B, 6, AT_MS + 2), 3);
	assert_int_equal(seen_topic(w, SESSION_B, 6, AT_MS + 2), 3); /* its reply was lost */
	assert_int_equal(seen_topic(w, SESSION_A, 6, AT_MS + 3), 0);
	assert_ok(store_control_claim(w->s, SESSION_A, of, 2, AT_MS, &waits, hear, &h, err));
	assert_int_equal(h.count, 1);
	assert_int_equal(h.events[0].sink, w->sink);
	assert_says(&h.events[0], STORE_CONTROL_PARTITIONS, STORE_CONTROL_BEGIN, AT_MS + 2,
		    "{\"topic\":\"dynamodb.orders\",\"from\":3,\"to\":6}");
	assert_kind(ERROR_FENCED,
		    store_topic_seen(w->s, SESSION_C,
				     &(struct store_topic){ w->stream, w->sink, "t", 1 }, AT_MS,
				     &(uint32_t){ 0 }, err));
}

/* --- age --- */

static struct heard claim_at(struct world *w, int64_t at_ms)
{
	const struct store_control_of of = { "orders", w->sink };
	struct heard h = { .count = 0 };

	assert_ok(store_control_claim(w->s, SESSION_A, &of, 1, at_ms, &waits, hear, &h, err));
	return h;
}

static bool put_at(struct world *w, const char *key, int64_t at_ms)
{
	const struct store_control e = { .stream = w->stream, .time_ms = at_ms, .key = key };
	bool added = false;

	assert_ok(store_control_put(w->s, SESSION_A, &e, &added, err));
	return added;
}

static void what_was_told_is_kept_for_some_days(void **state)
{
	struct world *w = *state;
	const int64_t kept_ms = AT_MS + STORE_CONTROL_KEPT_MS;
	const int64_t late_ms = AT_MS + STORE_CONTROL_LATE_MS;
	HEARD h = { .count = 0 };

	put_at(w, "told", AT_MS);
	h = claim_at(w, AT_MS);
	tell(w, SESSION_A, &h.events[0]);
	put_at(w, "late", AT_MS);
	heard_release(&h);
	h = claim_at(w, kept_ms);
	assert_false(put_at(w, "told", AT_MS));
	heard_release(&h);
	h = claim_at(w, kept_ms + 1);
	assert_true(put_at(w, "told", late_ms)); /* it was forgotten */
	heard_release(&h);
	h = claim_at(w, late_ms);
	assert_int_equal(h.count, 2); /* what is not told is not forgotten */
	assert_string_equal(h.events[0].key, "late");
	heard_release(&h);
	h = claim_at(w, late_ms + 1); /* or only when it is no news any more */
	assert_int_equal(h.count, 1);
	assert_string_equal(h.events[0].key, "told");
}

static int run(const char *name)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(an_event_is_put_once_and_told_in_each_sink),
		T(one_session_tells_and_another_after_its_death),
		T(many_come_in_parts),
		T(the_stored_sinks_get_it),
		T(a_stream_without_a_teller_has_told_all),
		T(other_streams_are_not_held_up),
		T(one_may_be_for_one_sink),
		T(only_the_living_put_events_of_known_streams),
		T(an_end_waits_until_what_was_before_is_visible),
		T(the_end_of_a_session_does_not_hide_its_rolls),
		T(a_gap_says_where_it_begins_and_ends),
		T(a_gap_of_the_whole_stream_ends_when_it_is_accepted),
		T(a_gap_that_nobody_closed_ends_when_it_is_forgotten),
		T(another_number_of_partitions_is_an_event_for_its_sink),
		T(what_was_told_is_kept_for_some_days),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
