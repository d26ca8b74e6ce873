/* Letters that are tried once more: in batches that keep their letters until it is known what
 * became of each, whoever tries; the same contract for every store. */
#include "checkpoint/letters.h"
#include "checkpoint/store_ops.h"
#include "tests/unit/checkpoint/store_world.h"

#define AT_MS     1700000000000
#define LETTERS_X 120
#define MIB       (1 << 20)

struct tried {
	int64_t ids[LETTERS_X];
	uint64_t generation;
	char chain[STORE_ID_SIZE], json[40], shard[STORE_SHARD_SIZE];
	int64_t batch;
	size_t count;
	int64_t early;
	size_t early_count;
};

static void hear(void *arg, const struct store_retried *l)
{
	struct tried *t = arg;

	if (l->early) {
		t->early = l->id;
		t->early_count++;
		return;
	}
	assert_true(t->count < LETTERS_X);
	t->ids[t->count++] = l->id;
	t->generation = l->generation;
	t->batch = l->batch;
	snprintf(t->chain, sizeof(t->chain), "%s", l->chain);
	snprintf(t->shard, sizeof(t->shard), "%s", l->shard);
	snprintf(t->json, sizeof(t->json), "%.*s", (int)l->json.n, l->json.p);
}

static bool ask(struct world *w, const char *owner, bool first, const int64_t *ids, size_t count,
		struct tried *out, struct error *err)
{
	const struct store_retry r = { .owner = owner,
				       .first = first,
				       .stream = "orders",
				       .sink = w->sink,
				       .letters = ids,
				       .count = count,
				       .at_ms = AT_MS };

	*out = (struct tried){ .count = 0 };
	return store_letters_retry(w->s, &r, hear, out, err);
}

static struct tried take(struct world *w, const char *owner, bool first, const int64_t *ids,
			 size_t count)
{
	struct tried t;

	assert_ok(ask(w, owner, first, ids, count, &t, err));
	return t;
}

static void put_for(struct world *w, const char *sink, int n, const char *json)
{
	char sequence[16];
	struct store_letter l = { "orders", sink, "shard-1", sequence, "refused", str_of(json) };

	snprintf(sequence, sizeof(sequence), "%d", n);
	assert_ok(store_letter_put(w->s, &l, 64 * MIB, err));
}

struct listed {
	int64_t ids[LETTERS_X];
	char json[LETTERS_X][24];
	size_t count;
};

static void list(void *arg, int64_t id, struct str json)
{
	struct listed *l = arg;

	assert_true(l->count < LETTERS_X);
	snprintf(l->json[l->count], sizeof(l->json[0]), "%.*s", (int)json.n, json.p);
	l->ids[l->count++] = id;
}

static struct listed all(struct world *w)
{
	struct listed l = { .count = 0 };

	assert_ok(store_letters(w->s, list, &l, err));
	return l;
}

/* How many bytes the letters take: one more fits in where `max` has room for it. */
static void assert_bytes(struct world *w, int64_t bytes)
{
	struct store_letter l = { "orders", "probe", "s", "1", "refused", STR("x") };
	struct listed now;

	assert_kind(ERROR_INVALID, store_letter_put(w->s, &l, bytes, err));
	assert_ok(store_letter_put(w->s, &l, bytes + 1, err));
	now = all(w);
	assert_ok(store_letter_drop(w->s, now.ids[now.count - 1], err));
}

static void put_some(struct world *w, struct listed *l, int count)
{
	for (int i = 0; i < count; i++)
		put_for(w, "events", i, "{\"n\":1}");
	*l = all(w);
	assert_int_equal(l->count, count);
}

static void a_batch_is_what_was_chosen(void **state)
{
	struct world *w = *state;
	struct listed l;
	struct tried t;

	put_some(w, &l, 4);
	t = take(w, SESSION_B, true, l.ids + 1, 2);
	assert_int_equal(t.count, 2);
	assert_int_equal(t.ids[0], l.ids[1]);
	assert_int_equal(t.ids[1], l.ids[2]);
	assert_string_equal(t.chain, SESSION_B);
	assert_int_equal(t.batch, AT_MS);
	assert_int_equal(t.generation, 1);
	assert_string_equal(t.json, "{\"n\":1}");
	assert_string_equal(t.shard, "shard-1");
	assert_ok(store_letters_gone(w->s, t.ids, 2, err));
	assert_ok(store_letters_gone(w->s, t.ids, 2, err)); /* the reply was lost */
	assert_int_equal(all(w).count, 2);
	assert_bytes(w, 14);
	assert_int_equal(take(w, SESSION_B, false, NULL, 0).count, 0);
	assert_int_equal(take(w, SESSION_B, false, t.ids, 2).count, 0);
}

/* Whoever comes goes on with what another left, under the same number. */
static void a_batch_is_over_before_the_next_one(void **state)
{
	struct world *w = *state;
	struct listed l;
	struct tried t, again;

	put_some(w, &l, 4);
	t = take(w, SESSION_B, true, l.ids, 2);
	again = take(w, SESSION_C, true, l.ids + 2, 2);
	assert_int_equal(again.count, 2);
	assert_int_equal(again.ids[0], l.ids[0]);
	assert_int_equal(again.batch, t.batch);
	assert_string_equal(again.chain, SESSION_B);
	assert_kind(ERROR_FENCED, ask(w, SESSION_B, false, l.ids, 4, &t, err));
	/* What it did is done. */
	assert_ok(store_letters_gone(w->s, l.ids, 1, err));
	again = take(w, SESSION_C, false, l.ids + 2, 2);
	assert_int_equal(again.count, 1);
	assert_int_equal(again.ids[0], l.ids[1]);
	assert_ok(store_letters_gone(w->s, l.ids + 1, 1, err));
	again = take(w, SESSION_C, false, l.ids + 2, 2);
	assert_int_equal(again.count, 2);
	assert_int_equal(again.ids[0], l.ids[2]);
	assert_int_equal(again.batch, AT_MS + 1);
}

/* It must not look as if all were tried: a call makes the batch, and the next one reads it. */
static void another_comes_between_the_calls(void **state)
{
	struct world *w = *state;
	const struct store_letter_ops *ops = w->s->ops->letter;
	struct store_retry r = { .owner = SESSION_B,
				 .first = true,
				 .stream = "orders",
				 .sink = w->sink,
				 .at_ms = AT_MS };
	struct tried t = { .count = 0 };
	struct listed l;

	put_some(w, &l, 2);
	r.letters = l.ids;
	r.count = 2;
	assert_ok(ops->retry(w->s, &r, hear, &t, err));
	assert_int_equal(take(w, SESSION_C, true, NULL, 0).count, 2);
	assert_kind(ERROR_FENCED, ops->retried(w->s, &r, hear, &t, err));
	assert_int_equal(t.count, 0);
}

static void what_failed_again_leaves_its_batch(void **state)
{
	struct world *w = *state;
	struct listed l;
	struct tried t;

	put_some(w, &l, 3);
	t = take(w, SESSION_B, true, l.ids, 2);
	assert_ok(store_letter_again(w->s, t.ids[0], "schema", STR("{\"longer\":1}"), err));
	assert_bytes(w, 7 + 7 + 12);
	t = take(w, SESSION_B, false, NULL, 0);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.ids[0], l.ids[1]);
	assert_ok(store_letters_gone(w->s, t.ids, 1, err));
	l = all(w);
	assert_int_equal(l.count, 2);
	assert_string_equal(l.json[0], "{\"longer\":1}");
	t = take(w, SESSION_B, false, l.ids, 2);
	assert_int_equal(t.count, 2);
	assert_string_equal(t.json, "{\"n\":1}");
	/* One that is gone is fine. */
	assert_ok(store_letter_again(w->s, 4711, "schema", STR("{}"), err));
}

static void batches_have_limits(void **state)
{
	struct world *w = *state;
	struct listed l;
	struct tried t;
	char *large = memory_new(STORE_OUTGOING_BYTES_MAX / 2 + 2);

	put_some(w, &l, 110);
	t = take(w, SESSION_B, true, l.ids, 110);
	assert_int_equal(t.count, STORE_OUTGOING_MAX);
	assert_ok(store_letters_gone(w->s, l.ids, 110, err));
	memset(large, 'x', STORE_OUTGOING_BYTES_MAX / 2 + 1);
	for (int i = 0; i < 3; i++)
		put_for(w, "events", i, large);
	l = all(w);
	t = take(w, SESSION_B, false, l.ids, 3);
	assert_int_equal(t.count, 2);
	free(large);
}

static void count_one(void *arg, const struct store_outgoing *letter)
{
	(void)letter;
	++*(size_t *)arg;
}

/* Letters that go into a sink of letters are not held up by this, nor the other way round. */
static void the_way_to_a_sink_of_letters_is_another(void **state)
{
	static const char *const streams[] = { "orders" };
	struct world *w = *state;
	struct listed l;
	struct tried t;
	size_t outgoing = 0;

	put_some(w, &l, 2);
	t = take(w, SESSION_B, true, l.ids, 2);
	assert_int_equal(t.count, 2);
	assert_ok(store_letters_claim(w->s, SESSION_A, w->other, streams, 1, AT_MS, count_one,
				      &outgoing, err));
	assert_int_equal(outgoing, 2);
	assert_ok(store_letters_sent(w->s, SESSION_A, l.ids, 1, AT_MS, err));
	t = take(w, SESSION_B, false, NULL, 0);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.ids[0], l.ids[1]);
}

/* --- one for each sink --- */

struct parts {
	int64_t events, lake;
	size_t count;
};

static void on_part(void *arg, const char *sink, int64_t id)
{
	struct parts *p = arg;

	*(strcmp(sink, "lake") == 0 ? &p->lake : &p->events) = id;
	p->count++;
}

static const struct store_part two[] = { { "events", { "{\"s\":1}", 7 } },
					 { "lake", { "{\"s\":\"b\"}", 9 } } };

static void one_for_all_becomes_one_for_each(void **state)
{
	struct world *w = *state;
	struct parts p = { .count = 0 };
	struct listed l;

	put_for(w, "", 1, "{}");
	put_for(w, "lake", 1, "{\"old\":1}"); /* stays as it is */
	l = all(w);
	assert_ok(store_letter_split(w->s, l.ids[0], two, 2, 64 * MIB, on_part, &p, err));
	assert_int_equal(p.count, 2);
	assert_int_equal(p.lake, l.ids[1]);
	l = all(w);
	assert_int_equal(l.count, 2);
	assert_string_equal(l.json[0], "{\"old\":1}");
	assert_string_equal(l.json[1], "{\"s\":1}");
	assert_int_equal(l.ids[1], p.events);
	assert_bytes(w, 9 + 7);
	/* It is no more. */
	p.count = 0;
	assert_ok(store_letter_split(w->s, 4711, two, 2, 64 * MIB, on_part, &p, err));
	assert_int_equal(p.count, 0);
}

static void one_that_was_sent_is_one_again(void **state)
{
	struct world *w = *state;
	struct parts p = { .count = 0 };
	struct listed l;

	put_for(w, "lake", 1, "{\"old\":1}");
	l = all(w);
	assert_ok(store_letters_sent(w->s, SESSION_A, l.ids, 1, AT_MS, err));
	put_for(w, "", 1, "{}");
	l = all(w);
	assert_ok(store_letter_split(w->s, l.ids[0], two, 2, 64 * MIB, on_part, &p, err));
	l = all(w);
	assert_int_equal(l.count, 2);
	assert_string_equal(l.json[0], "{\"s\":\"b\"}");
	assert_bytes(w, 7 + 9);
}

/* The limit holds for what one becomes, too: then it stays one, and nothing is said of parts. */
static void what_has_no_room_stays_one(void **state)
{
	struct world *w = *state;
	struct parts p = { .count = 0 };
	struct listed l;

	put_for(w, "", 1, "{}");
	put_for(w, "events", 2, "{\"n\":1}");
	l = all(w);
	assert_kind(ERROR_INVALID,
		    store_letter_split(w->s, l.ids[0], two, 2, 22, on_part, &p, err));
	assert_int_equal(p.count, 0);
	l = all(w);
	assert_int_equal(l.count, 2);
	assert_string_equal(l.json[0], "{}");
	assert_bytes(w, 2 + 7);
	assert_ok(store_letter_split(w->s, l.ids[0], two, 2, 23, on_part, &p, err));
	assert_int_equal(p.count, 2);
	assert_bytes(w, 7 + 7 + 9);
	/* One that takes less is welcome where the limit is lower by now. */
	put_for(w, "", 3, "{\"longer\":1}");
	l = all(w);
	assert_ok(store_letter_split(w->s, l.ids[3], two, 1, 1, on_part, &p, err));
	assert_bytes(w, 7 + 7 + 9 + 7);
}

/* --- from a sink of letters --- */

static void one_that_was_sent_comes_back(void **state)
{
	static const char *const streams[] = { "orders" };
	struct world *w = *state;
	struct store_letter letter = { "orders", "events",  "shard-1",
				       "7",      "refused", STR("{\"n\":1}") };
	size_t outgoing = 0;
	struct listed l;
	struct tried t;
	bool added;

	put_for(w, "events", 7, "{\"n\":1}");
	l = all(w);
	assert_ok(store_letters_sent(w->s, SESSION_A, l.ids, 1, AT_MS, err));
	assert_ok(store_letter_load(w->s, &letter, 3, MIB, &added, err));
	assert_true(added);
	assert_ok(store_letter_load(w->s, &letter, 3, MIB, &added, err));
	assert_false(added);
	letter.sequence = "8";
	assert_ok(store_letter_load(w->s, &letter, 3, MIB, &added, err));
	assert_true(added);
	letter.sequence = "9";
	assert_kind(ERROR_INVALID, store_letter_load(w->s, &letter, 3, 20, &added, err));
	assert_bytes(w, 14);
	l = all(w);
	assert_int_equal(l.count, 2);
	/* Not back into the sink, also after it failed again. */
	assert_ok(store_letter_again(w->s, l.ids[0], "schema", STR("{\"n\":2}"), err));
	assert_ok(store_letters_claim(w->s, SESSION_A, w->other, streams, 1, AT_MS, count_one,
				      &outgoing, err));
	assert_int_equal(outgoing, 0);
	t = take(w, SESSION_B, true, l.ids, 2);
	assert_int_equal(t.count, 2);
	assert_int_equal(t.generation, 3);
}

/* The batch that it was in may be in the sink, without it: a file of that name, or a commit of that
 * number. */
static void one_that_comes_back_is_in_no_batch(void **state)
{
	struct world *w = *state;
	const struct store_letter letter = { "orders", "events",  "shard-1",
					     "0",      "refused", STR("{\"n\":1}") };
	struct parts p = { .count = 0 };
	struct listed l;
	struct tried t;
	int64_t batch;
	bool added;

	put_some(w, &l, 3);
	t = take(w, SESSION_B, true, l.ids, 3);
	assert_int_equal(t.count, 3);
	batch = t.batch;
	assert_ok(store_letters_sent(w->s, SESSION_A, l.ids, 2, AT_MS, err));
	t = take(w, SESSION_B, false, NULL, 0);
	assert_int_equal(t.count, 1);
	assert_ok(store_letters_gone(w->s, t.ids, 1, err));
	assert_ok(store_letter_load(w->s, &letter, 1, MIB, &added, err));
	assert_true(added);
	put_for(w, "", 1, "{}");
	l = all(w);
	assert_ok(store_letter_split(w->s, l.ids[1], two, 1, MIB, on_part, &p, err));
	assert_int_equal(p.count, 1);
	assert_int_equal(take(w, SESSION_B, false, NULL, 0).count, 0);
	l = all(w);
	t = take(w, SESSION_B, false, l.ids, 2);
	assert_int_equal(t.count, 2);
	assert_true(t.batch > batch);
}

/* Who noted that it is in the sink, and was not answered, says so again. */
static void one_that_came_back_is_not_sent(void **state)
{
	struct world *w = *state;
	const struct store_letter letter = { "orders", "events",  "shard-1",
					     "0",      "refused", STR("{\"n\":1}") };
	struct listed l;
	bool added;

	put_some(w, &l, 1);
	assert_ok(store_letters_sent(w->s, SESSION_A, l.ids, 1, AT_MS, err));
	assert_ok(store_letter_load(w->s, &letter, 1, MIB, &added, err));
	assert_ok(store_letters_sent(w->s, SESSION_A, l.ids, 1, AT_MS, err));
	assert_int_equal(all(w).count, 1);
	assert_bytes(w, 7);
}

/* --- what may be read again --- */

static void put_in(struct world *w, const char *shard, const char *sequence)
{
	struct store_letter l = { "orders", "events", shard, sequence, "refused", STR("{}") };

	assert_ok(store_letter_put(w->s, &l, MIB, err));
}

/* A record comes once: from its shard, or out of its letter. */
static void one_that_may_be_read_again_is_not_tried(void **state)
{
	struct world *w = *state;
	const char *shard = w->lanes[0].shard;
	struct store_move to = { .lane = w->lanes[0].id, .sink = w->sink, .to = seq("99") };
	struct store_save save = save_of(SESSION_A, 1, &to, 1);
	struct listed l;
	struct tried t;

	put_in(w, shard, "98");
	put_in(w, shard, "100");
	put_in(w, shard, "none:0123456789abcdef"); /* no place tells of it */
	l = all(w);
	t = take(w, SESSION_B, true, l.ids, 3);
	assert_int_equal(t.count, 0);
	assert_int_equal(t.early_count, 3);
	assert_ok(store_save(w->s, &save, err));
	t = take(w, SESSION_B, false, l.ids, 3);
	assert_int_equal(t.count, 2);
	assert_int_equal(t.ids[0], l.ids[0]);
	assert_int_equal(t.ids[1], l.ids[2]);
	assert_int_equal(t.early_count, 1);
	assert_int_equal(t.early, l.ids[1]);
	assert_ok(store_letters_gone(w->s, t.ids, 2, err));
	/* The shard is at its end. */
	to.from = seq("99");
	to.done = true;
	save = save_of(SESSION_A, 2, &to, 1);
	to.to = seq("99");
	assert_ok(store_save(w->s, &save, err));
	t = take(w, SESSION_B, false, l.ids + 1, 1);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.early_count, 0);
}

/* --- generations --- */

static uint64_t raise(struct world *w)
{
	struct store_hold h = { .why = STORE_HOLD_PAUSE, .who = "me", .since_ms = AT_MS };
	struct store_reset r = { .generation = 1, .who = "me", .said = "", .at_ms = AT_MS };
	bool done, ended;
	int64_t lanes[3];

	for (int i = 0; i < 3; i++)
		lanes[i] = w->lanes[i].id;
	assert_ok(store_stream_hold(w->s, w->stream, 0, &h, &done, err));
	assert_ok(store_lanes_release(w->s, SESSION_A, lanes, 3, err));
	r.hold = h.id;
	assert_ok(store_stream_reset(w->s, w->stream, &r, &done, err));
	assert_true(done);
	assert_ok(store_stream_go_on(w->s, w->stream, h.id, "me", AT_MS, &ended, err));
	return r.generation;
}

/* That in which its record was read last: a consumer that keeps the highest is right then. */
static void a_letter_knows_its_generation(void **state)
{
	struct world *w = *state;
	struct listed l;
	struct tried t;

	put_for(w, "events", 1, "{\"n\":1}");
	put_for(w, "events", 2, "{\"n\":1}");
	assert_int_equal(raise(w), 2);
	put_for(w, "events", 2, "{\"n\":1}"); /* read again */
	l = all(w);
	t = take(w, SESSION_B, true, l.ids, 1);
	assert_int_equal(t.generation, 1);
	assert_ok(store_letters_gone(w->s, t.ids, 1, err));
	t = take(w, SESSION_B, false, l.ids + 1, 1);
	assert_int_equal(t.generation, 2);
}

/* --- the audit --- */

struct audits {
	struct store_retry_audit rows[4];
	char said[4][64];
	size_t count;
};

static void on_audit(void *arg, const struct store_retry_audit *a)
{
	struct audits *o = arg;

	assert_true(o->count < 4);
	snprintf(o->said[o->count], sizeof(o->said[0]), "%s %s %s", a->stream, a->who, a->said);
	o->rows[o->count++] = *a;
}

static void who_tried_what_is_known(void **state)
{
	struct world *w = *state;
	struct store_retry_audit a = { "orders", "me@here", "--all", AT_MS, 3 };
	struct audits o = { .count = 0 };

	assert_ok(store_retry_audit_put(w->s, &a, err));
	a.letters = 4;
	assert_ok(store_retry_audit_put(w->s, &a, err));
	a.stream = "users";
	assert_ok(store_retry_audit_put(w->s, &a, err));
	assert_ok(store_retry_audit(w->s, "orders", 4, on_audit, &o, err));
	assert_int_equal(o.count, 2);
	assert_int_equal(o.rows[0].letters, 4);
	assert_int_equal(o.rows[1].letters, 3);
	assert_int_equal(o.rows[1].at_ms, AT_MS);
	assert_string_equal(o.said[1], "orders me@here --all");
	a.at_ms += STORE_AUDIT_KEPT_MS + 1;
	assert_ok(store_retry_audit_put(w->s, &a, err));
	o.count = 0;
	assert_ok(store_retry_audit(w->s, "orders", 4, on_audit, &o, err));
	assert_int_equal(o.count, 0);
}

static int run(const char *name)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		WORLD(a_batch_is_what_was_chosen),
		WORLD(a_batch_is_over_before_the_next_one),
		WORLD(another_comes_between_the_calls),
		WORLD(what_failed_again_leaves_its_batch),
		WORLD(batches_have_limits),
		WORLD(the_way_to_a_sink_of_letters_is_another),
		WORLD(one_for_all_becomes_one_for_each),
		WORLD(one_that_was_sent_is_one_again),
		WORLD(what_has_no_room_stays_one),
		WORLD(one_that_may_be_read_again_is_not_tried),
		WORLD(one_that_was_sent_comes_back),
		WORLD(one_that_comes_back_is_in_no_batch),
		WORLD(one_that_came_back_is_not_sent),
		WORLD(a_letter_knows_its_generation),
		WORLD(who_tried_what_is_known),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
