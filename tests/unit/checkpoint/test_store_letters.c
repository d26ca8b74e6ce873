/* Dead letters go out in batches, by one session at a time, and come back as nothing; what a person
 * skips is remembered: the same contract for every store. */
#include "checkpoint/letters.h"
#include "tests/unit/checkpoint/store_world.h"

#define AT_MS     1700000000000
#define LETTERS_X 250
#define MIB       (1 << 20)

struct outgoing {
	struct store_outgoing letters[LETTERS_X];
	char json[LETTERS_X][32]; /* how it begins */
	size_t count;
};

static void hear(void *arg, const struct store_outgoing *l)
{
	struct outgoing *o = arg;
	struct store_outgoing *out = &o->letters[o->count];

	assert_true(o->count < LETTERS_X);
	*out = *l;
	out->stream = memory_text(l->stream);
	out->arn = memory_text(l->arn);
	out->chain = memory_text(l->chain);
	out->shard = memory_text(l->shard);
	out->sequence = memory_text(l->sequence);
	out->reason = memory_text(l->reason);
	snprintf(o->json[o->count++], sizeof(o->json[0]), "%.*s", (int)l->json.n, l->json.p);
}

static void outgoing_release(struct outgoing *o)
{
	for (size_t i = 0; i < o->count; i++) {
		const struct store_outgoing *l = &o->letters[i];
		const char *texts[] = { l->stream, l->arn,      l->chain,
					l->shard,  l->sequence, l->reason };

		for (size_t k = 0; k < 6; k++)
			free((void *)(uintptr_t)texts[k]);
	}
	o->count = 0;
}

#define OUTGOING __attribute__((cleanup(outgoing_release))) struct outgoing

static const char *const both[] = { "orders", "users" };

static struct outgoing claim_at(struct world *w, const char *session, int32_t sink, int64_t at_ms)
{
	struct outgoing o = { .count = 0 };

	assert_ok(store_letters_claim(w->s, session, sink, both, 2, at_ms, hear, &o, err));
	return o;
}

static struct outgoing claim(struct world *w, const char *session, int32_t sink)
{
	return claim_at(w, session, sink, AT_MS);
}

static void put(struct world *w, const char *stream, int n, const char *json)
{
	char sequence[16];
	struct store_letter l = { stream, "events", "shard-1", sequence, "refused", str_of(json) };

	snprintf(sequence, sizeof(sequence), "%d", n);
	assert_ok(store_letter_put(w->s, &l, 64 * MIB, err));
}

static void send(struct world *w, const char *session, const struct outgoing *o, size_t from,
		 size_t to)
{
	int64_t ids[LETTERS_X];

	for (size_t i = from; i < to; i++)
		ids[i - from] = o->letters[i].id;
	assert_ok(store_letters_sent(w->s, session, ids, to - from, AT_MS, err));
}

static void count_letter(void *arg, int64_t id, struct str json)
{
	(void)id;
	assert_true(json.n > 0);
	++*(int *)arg;
}

static int listed(struct world *w)
{
	int count = 0;
	uint64_t counted;

	assert_ok(store_letters(w->s, count_letter, &count, err));
	assert_ok(store_letters_count(w->s, &counted, err));
	assert_int_equal(counted, count);
	return count;
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

static void they_go_once_and_are_remembered(void **state)
{
	struct world *w = *state;
	OUTGOING o = { .count = 0 };

	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 0);
	put(w, "orders", 1, "{\"n\":1}");
	put(w, "orders", 2, "{\"n\":2}");
	put(w, "others", 1, "{\"n\":3}"); /* another deployment's */
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 2);
	for (int i = 0; i < 2; i++) {
		const struct store_outgoing *l = &o.letters[i];

		assert_string_equal(l->stream, "orders");
		assert_string_equal(l->arn, "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x");
		assert_string_equal(l->chain, SESSION_A);
		assert_int_equal(l->batch, AT_MS);
		assert_string_equal(l->shard, "shard-1");
		assert_string_equal(l->sequence, i == 0 ? "1" : "2");
		assert_string_equal(l->reason, "refused");
		assert_string_equal(o.json[i], i == 0 ? "{\"n\":1}" : "{\"n\":2}");
	}
	send(w, SESSION_A, &o, 0, 2);
	send(w, SESSION_A, &o, 0, 2); /* the reply was lost */
	assert_int_equal(listed(w), 1);
	put(w, "orders", 1, "{\"n\":1}"); /* its record was read again */
	outgoing_release(&o);
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 0);
}

static void a_batch_keeps_its_letters(void **state)
{
	struct world *w = *state;
	OUTGOING o = { .count = 0 };

	put(w, "orders", 1, "1");
	put(w, "orders", 2, "2");
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 2);
	put(w, "orders", 3, "3");
	send(w, SESSION_A, &o, 0, 1);
	outgoing_release(&o);
	o = claim_at(w, SESSION_A, w->sink, AT_MS + 5000);
	assert_int_equal(o.count, 1); /* what is left of it, and not the third one */
	assert_string_equal(o.json[0], "2");
	assert_int_equal(o.letters[0].batch, AT_MS);
	send(w, SESSION_A, &o, 0, 1);
	outgoing_release(&o);
	o = claim_at(w, SESSION_A, w->sink, AT_MS - 7000); /* a clock that steps back */
	assert_int_equal(o.count, 1);
	assert_string_equal(o.json[0], "3");
	assert_int_equal(o.letters[0].batch, AT_MS + 1);
}

static void one_session_sends_and_another_after_its_death(void **state)
{
	struct world *w = *state;
	OUTGOING a = { .count = 0 };
	OUTGOING b = { .count = 0 };

	begin_b(w);
	put(w, "orders", 1, "1");
	put(w, "orders", 2, "2");
	a = claim(w, SESSION_A, w->sink);
	assert_int_equal(a.count, 2);
	put(w, "orders", 3, "3");
	put(w, "users", 1, "of users");
	b = claim_at(w, SESSION_B, w->sink, AT_MS + 1000);
	assert_int_equal(b.count, 1); /* other streams are not held up */
	assert_string_equal(b.json[0], "of users");
	assert_string_equal(b.letters[0].arn, "");
	assert_string_equal(b.letters[0].chain, SESSION_B);
	send(w, SESSION_B, &b, 0, 1);
	kill_a(w);
	assert_kind(ERROR_FENCED,
		    store_letters_sent(w->s, SESSION_A, &a.letters[0].id, 1, AT_MS, err));
	outgoing_release(&b);
	b = claim_at(w, SESSION_B, w->sink, AT_MS + 2000);
	assert_int_equal(b.count, 2); /* the same batch, as it was */
	assert_int_equal(b.letters[0].batch, a.letters[0].batch);
	assert_string_equal(b.letters[0].chain, SESSION_A);
	send(w, SESSION_B, &b, 0, 2);
	outgoing_release(&b);
	b = claim_at(w, SESSION_B, w->sink, AT_MS + 3000);
	assert_int_equal(b.count, 1);
	assert_string_equal(b.json[0], "3");
}

static void they_may_be_for_another_sink_now(void **state)
{
	struct world *w = *state;
	OUTGOING o = { .count = 0 };

	put(w, "orders", 1, "1");
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 1);
	outgoing_release(&o);
	o = claim(w, SESSION_A, w->other);
	assert_int_equal(o.count, 1);
	send(w, SESSION_A, &o, 0, 1);
	outgoing_release(&o);
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 0);
}

static void what_a_sink_cannot_take_stays(void **state)
{
	struct world *w = *state;
	OUTGOING o = { .count = 0 };

	put(w, "orders", 1, "1");
	put(w, "orders", 2, "2");
	o = claim(w, SESSION_A, w->sink);
	assert_ok(store_letter_keep(w->s, SESSION_A, o.letters[0].id, err));
	outgoing_release(&o);
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 1);
	assert_string_equal(o.json[0], "2");
	send(w, SESSION_A, &o, 0, 1);
	outgoing_release(&o);
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 0);
	assert_int_equal(listed(w), 1);
	begin_b(w);
	o = claim(w, SESSION_B, w->sink);
	assert_int_equal(o.count, 0);
	kill_a(w);
	o = claim(w, SESSION_B, w->sink); /* with another start it may be another sink */
	assert_int_equal(o.count, 1);
	assert_string_equal(o.json[0], "1");
	/* The sink may have that batch already, without it. */
	assert_true(o.letters[0].batch > AT_MS);
}

static void batches_have_limits(void **state)
{
	struct world *w = *state;
	OUTGOING o = { .count = 0 };
	char *large = memory_new(STORE_OUTGOING_BYTES_MAX + 1);

	for (int i = 0; i < STORE_OUTGOING_MAX + 7; i++)
		put(w, "orders", i, "{}");
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, STORE_OUTGOING_MAX);
	send(w, SESSION_A, &o, 0, o.count);
	outgoing_release(&o);
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 7);
	assert_string_equal(o.letters[0].sequence, "100");
	send(w, SESSION_A, &o, 0, o.count);
	outgoing_release(&o);
	memset(large, '1', STORE_OUTGOING_BYTES_MAX);
	put(w, "orders", 200, large);
	put(w, "orders", 201, "{}");
	o = claim(w, SESSION_A, w->sink);
	assert_int_equal(o.count, 1);
	free(large);
}

static void some_streams_at_a_time(void **state)
{
	struct world *w = *state;
	OUTGOING o = { .count = 0 };
	const char *names[STORE_OUTGOING_STREAMS + 3];
	char text[STORE_OUTGOING_STREAMS + 3][16];

	for (int i = 0; i < STORE_OUTGOING_STREAMS + 3; i++) {
		snprintf(text[i], sizeof(text[i]), "s%02d", 50 - i);
		names[i] = text[i];
		put(w, names[i], 1, "{}");
	}
	for (int turn = 0; turn < 2; turn++) {
		size_t want = turn == 0 ? STORE_OUTGOING_STREAMS : 3;

		assert_ok(store_letters_claim(w->s, SESSION_A, w->sink, names,
					      STORE_OUTGOING_STREAMS + 3, AT_MS, hear, &o, err));
		assert_int_equal(o.count, want);
		/* By name, and the first turn has the oldest. */
		assert_string_equal(o.letters[want - 1].stream, turn == 0 ? "s50" : "s42");
		send(w, SESSION_A, &o, 0, want);
		outgoing_release(&o);
	}
}

static void sent_ones_make_room(void **state)
{
	struct world *w = *state;
	struct store_letter l = { "orders", "events", "shard-1", "1", "refused", STR("12345") };
	OUTGOING o = { .count = 0 };

	assert_ok(store_letter_put(w->s, &l, 5, err));
	l.sequence = "2";
	assert_kind(ERROR_INVALID, store_letter_put(w->s, &l, 5, err));
	o = claim(w, SESSION_A, w->sink);
	send(w, SESSION_A, &o, 0, 1);
	assert_ok(store_letter_put(w->s, &l, 5, err));
	l.sequence = "3";
	assert_kind(ERROR_INVALID, store_letter_put(w->s, &l, 5, err));
}

static void what_was_sent_is_forgotten_in_the_end(void **state)
{
	struct world *w = *state;
	OUTGOING o = { .count = 0 };

	put(w, "orders", 1, "1");
	o = claim(w, SESSION_A, w->sink);
	send(w, SESSION_A, &o, 0, 1);
	assert_ok(store_letters_sent(w->s, SESSION_A, NULL, 0, AT_MS + STORE_SENT_KEPT_MS, err));
	put(w, "orders", 1, "1");
	assert_int_equal(listed(w), 0);
	assert_ok(
		store_letters_sent(w->s, SESSION_A, NULL, 0, AT_MS + STORE_SENT_KEPT_MS + 1, err));
	put(w, "orders", 1, "1");
	assert_int_equal(listed(w), 1);
}

static void only_the_living_send(void **state)
{
	struct world *w = *state;
	OUTGOING o = { .count = 0 };

	put(w, "orders", 1, "1");
	assert_kind(ERROR_FENCED,
		    store_letters_claim(w->s, SESSION_C, w->sink, both, 2, AT_MS, hear, &o, err));
	o = claim(w, SESSION_A, w->sink);
	kill_a(w);
	assert_kind(ERROR_FENCED, store_letter_keep(w->s, SESSION_A, o.letters[0].id, err));
}

/* --- skipping --- */

struct skips {
	struct store_skip rows[4];
	size_t count;
};

static void on_skip(void *arg, const struct store_skip *skip)
{
	struct skips *k = arg;

	assert_true(k->count < 4);
	k->rows[k->count++] = *skip;
}

static struct skips skips_of(struct world *w, int64_t stream)
{
	struct skips k = { .count = 0 };

	assert_ok(store_skips(w->s, stream, on_skip, &k, err));
	return k;
}

static void what_is_skipped_is_known_by_stream(void **state)
{
	struct world *w = *state;
	struct store_skip k = { "shard-1", seq("30"), "me@here", AT_MS };
	struct skips found;

	assert_ok(store_skip_put(w->s, w->stream, &k, err));
	k.at_ms++;
	snprintf(k.who, sizeof(k.who), "you@there");
	assert_ok(store_skip_put(w->s, w->stream, &k, err)); /* the first one counts */
	k.sequence = seq("7");
	assert_ok(store_skip_put(w->s, w->stream, &k, err));
	found = skips_of(w, w->stream);
	assert_int_equal(found.count, 2);
	assert_string_equal(found.rows[0].shard, "shard-1");
	assert_true(sequence_compare(&found.rows[0].sequence, &k.sequence) == 0);
	assert_string_equal(found.rows[1].who, "me@here");
	assert_int_equal(found.rows[1].at_ms, AT_MS);
	assert_int_equal(skips_of(w, stream_named(w->s, "users")).count, 0);
	assert_kind(ERROR_NOT_FOUND, store_skip_put(w->s, 4711, &k, err));
	k.at_ms = AT_MS + STORE_SKIP_KEPT_MS + 1;
	k.sequence = seq("8");
	assert_ok(store_skip_put(w->s, w->stream, &k, err));
	assert_int_equal(skips_of(w, w->stream).count, 2); /* the oldest one went */
}

static int run(const char *name)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		WORLD(they_go_once_and_are_remembered),
		WORLD(a_batch_keeps_its_letters),
		WORLD(one_session_sends_and_another_after_its_death),
		WORLD(they_may_be_for_another_sink_now),
		WORLD(what_a_sink_cannot_take_stays),
		WORLD(batches_have_limits),
		WORLD(some_streams_at_a_time),
		WORLD(sent_ones_make_room),
		WORLD(what_was_sent_is_forgotten_in_the_end),
		WORLD(only_the_living_send),
		WORLD(what_is_skipped_is_known_by_stream),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
