/* Who takes what: single decisions, and whole fleets that have to come to rest in balance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "consumer/balance.h"

#define ROWS(a) (a), (sizeof(a) / sizeof((a)[0]))

static struct store_round_stream stream_row(int64_t id, uint32_t claimable)
{
	return (struct store_round_stream){ .stream = id, .served = true, .claimable = claimable };
}

static struct store_round_member member_row(int64_t stream, const char *session, uint32_t held)
{
	struct store_round_member m = { .stream = stream, .served = true, .held = held };

	snprintf(m.session, sizeof(m.session), "%s", session);
	return m;
}

static struct balance_plan decide(const struct store_round_stream *streams, uint32_t stream_count,
				  const struct store_round_member *members, uint32_t member_count,
				  uint32_t held_max, uint32_t patience, uint32_t *claims)
{
	struct balance_round r = { .session = "me",
				   .held_max = held_max,
				   .streams = streams,
				   .stream_count = stream_count,
				   .members = members,
				   .member_count = member_count,
				   .patience = patience };
	struct balance_plan plan = { .claims = claims };

	balance_decide(&r, &plan);
	return plan;
}

static void alone_it_takes_everything(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 10), stream_row(2, 7) };
	struct store_round_member m[] = { member_row(1, "me", 0), member_row(2, "me", 3) };
	uint32_t claims[2];
	struct balance_plan p = decide(ROWS(s), ROWS(m), 1000, 0, claims);

	(void)state;
	assert_int_equal(claims[0], 10);
	assert_int_equal(claims[1], 7);
	assert_int_equal(p.wish, 0);
}

/* By it the workers share a stream's budget. */
static void a_part_is_what_is_held_and_claimed_of_a_stream(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 0), stream_row(2, 4), stream_row(3, 0) };
	struct store_round_member m[] = { member_row(1, "a", 30), member_row(2, "a", 2),
					  member_row(1, "me", 10) };
	struct balance_round r = {
		.session = "me", .streams = s, .stream_count = 3, .members = m, .member_count = 3
	};
	uint32_t claims[] = { 0, 4, 0 };
	struct balance_plan plan = { .claims = claims };
	static const struct balance_part parts[] = { { 10, 40 }, { 4, 6 }, { 0, 0 } };

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		struct balance_part p = balance_part(&r, &plan, i);

		assert_int_equal(p.own, parts[i].own);
		assert_int_equal(p.all, parts[i].all);
	}
}

static void no_more_than_it_may_hold(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 10), stream_row(2, 7) };
	struct store_round_member m[] = { member_row(1, "me", 0), member_row(2, "me", 3) };
	uint32_t claims[2];

	(void)state;
	decide(ROWS(s), ROWS(m), 8, 0, claims);
	assert_int_equal(claims[0] + claims[1], 5);
	decide(ROWS(s), ROWS(m), 3, BALANCE_PATIENCE, claims);
	assert_int_equal(claims[0] + claims[1], 0);
}

static void free_lanes_are_claimed_up_to_the_share(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 9) };
	struct store_round_member m[] = { member_row(1, "a", 4), member_row(1, "me", 2) };
	uint32_t claims[1];

	(void)state;
	decide(ROWS(s), ROWS(m), 1000, 0, claims);
	assert_int_equal(claims[0], 6); /* 15 lanes of two: 8 */
}

static void what_nobody_takes_is_taken_in_the_end(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 5) };
	struct store_round_member m[] = { member_row(1, "a", 1), member_row(1, "me", 20) };
	uint32_t claims[1];

	(void)state;
	decide(ROWS(s), ROWS(m), 1000, BALANCE_PATIENCE - 1, claims);
	assert_int_equal(claims[0], 0);
	decide(ROWS(s), ROWS(m), 1000, BALANCE_PATIENCE, claims);
	assert_int_equal(claims[0], 3);
}

static void the_poor_ask_the_richest(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 0), stream_row(2, 0) };
	struct store_round_member m[] = { member_row(1, "a", 4), member_row(2, "a", 9),
					  member_row(1, "b", 5), member_row(1, "me", 0) };
	uint32_t claims[2];
	struct balance_plan p = decide(ROWS(s), ROWS(m), 1000, 0, claims);

	(void)state;
	assert_string_equal(p.from, "a");
	assert_int_equal(p.wish_stream, 2);
	assert_int_equal(p.wish, 6); /* 18 of three: 6 */
	/* What is on its way counts. */
	m[3].coming = 4;
	m[1].leaving = 4;
	p = decide(ROWS(s), ROWS(m), 1000, 0, claims);
	assert_int_equal(p.wish, 2);
	m[3].coming = 6;
	m[1].leaving = 6;
	p = decide(ROWS(s), ROWS(m), 1000, 0, claims);
	assert_int_equal(p.wish, 0);
}

static void one_more_or_less_is_balance(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 0) };
	struct store_round_member m[] = { member_row(1, "a", 4), member_row(1, "me", 3) };
	uint32_t claims[1];

	(void)state;
	assert_int_equal(decide(ROWS(s), ROWS(m), 1000, 0, claims).wish, 0);
}

static void who_has_other_sinks_is_no_peer(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 4) };
	struct store_round_member m[] = { member_row(1, "a", 0), member_row(1, "me", 0) };
	uint32_t claims[1];

	(void)state;
	m[0].served = false;
	decide(ROWS(s), ROWS(m), 1000, 0, claims);
	assert_int_equal(claims[0], 4);
	/* And who has them itself takes nothing. */
	s[0].served = m[1].served = false;
	m[0].served = true;
	decide(ROWS(s), ROWS(m), 1000, BALANCE_PATIENCE, claims);
	assert_int_equal(claims[0], 0);
}

/* --- fleets --- */

#define WORKERS 6
#define STREAMS 3
#define LANES   200

/* Lanes as rows of the store, workers that decide on what they saw some time ago. */
struct fleet {
	struct rng rng;
	uint32_t workers, lanes;
	bool live[WORKERS];
	uint32_t held_max[WORKERS], patience[WORKERS];
	int owner[LANES], wanted_by[LANES]; /* -1: nobody */
	struct store_round_stream streams[WORKERS][STREAMS];
	struct store_round_member members[WORKERS][WORKERS * STREAMS];
	uint32_t member_count[WORKERS];
};

static void name(uint32_t worker, char out[STORE_ID_SIZE])
{
	snprintf(out, STORE_ID_SIZE, "worker-%u", worker);
}

static bool wanted(const struct fleet *f, uint32_t lane)
{
	return f->wanted_by[lane] >= 0 && f->live[f->wanted_by[lane]];
}

static void see(struct fleet *f, uint32_t w)
{
	f->member_count[w] = 0;
	for (uint32_t s = 0; s < STREAMS; s++)
		f->streams[w][s] = stream_row(s + 1, 0);
	for (uint32_t lane = 0; lane < f->lanes; lane++)
		if (f->owner[lane] < 0 && (!wanted(f, lane) || f->wanted_by[lane] == (int)w))
			f->streams[w][lane % STREAMS].claimable++;
	for (uint32_t o = 0; o < f->workers; o++) {
		for (uint32_t s = 0; f->live[o] && s < STREAMS; s++) {
			struct store_round_member m = member_row(s + 1, "", 0);

			name(o, m.session);
			for (uint32_t lane = s; lane < f->lanes; lane += STREAMS) {
				bool mine = f->owner[lane] == (int)o;
				bool other = wanted(f, lane) && f->wanted_by[lane] != (int)o;

				m.held += mine;
				m.leaving += mine && other;
				m.coming += !mine && f->wanted_by[lane] == (int)o;
			}
			f->members[w][f->member_count[w]++] = m;
		}
	}
}

static void act(struct fleet *f, uint32_t w)
{
	char session[STORE_ID_SIZE], other[STORE_ID_SIZE];
	struct balance_round r = { .session = session,
				   .held_max = f->held_max[w],
				   .streams = f->streams[w],
				   .stream_count = STREAMS,
				   .members = f->members[w],
				   .member_count = f->member_count[w],
				   .patience = f->patience[w] };
	uint32_t claims[STREAMS];
	struct balance_plan p = { .claims = claims };
	bool left = false;

	name(w, session);
	balance_decide(&r, &p);
	for (uint32_t s = 0; s < STREAMS; s++) {
		left = left || claims[s] < f->streams[w][s].claimable;
		for (uint32_t lane = s; lane < f->lanes && claims[s] > 0; lane += STREAMS) {
			if (f->owner[lane] >= 0 ||
			    (wanted(f, lane) && f->wanted_by[lane] != (int)w))
				continue;
			f->owner[lane] = (int)w;
			f->wanted_by[lane] = -1;
			claims[s]--;
		}
	}
	f->patience[w] = left ? f->patience[w] + 1 : 0;
	for (uint32_t o = 0; p.wish > 0 && o < f->workers; o++) {
		name(o, other);
		for (uint32_t lane = (uint32_t)p.wish_stream - 1;
		     strcmp(other, p.from) == 0 && lane < f->lanes && p.wish > 0; lane += STREAMS) {
			if (f->owner[lane] != (int)o || wanted(f, lane))
				continue;
			f->wanted_by[lane] = (int)w;
			p.wish--;
		}
	}
}

static void let_go(struct fleet *f)
{
	for (uint32_t lane = 0; lane < f->lanes; lane++)
		if (f->owner[lane] >= 0 && wanted(f, lane) && rng_below(&f->rng, 3) > 0)
			f->owner[lane] = -1;
}

static uint32_t holds(const struct fleet *f, uint32_t w)
{
	uint32_t n = 0;

	for (uint32_t lane = 0; lane < f->lanes; lane++)
		n += f->owner[lane] == (int)w;
	return n;
}

static void die(struct fleet *f, uint32_t w)
{
	f->live[w] = false;
	for (uint32_t lane = 0; lane < f->lanes; lane++)
		if (f->owner[lane] == (int)w)
			f->owner[lane] = -1;
}

/* Every round each worker acts on what it saw at the round's beginning, or in the one before. */
static void rounds(struct fleet *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		for (uint32_t w = 0; w < f->workers; w++)
			if (f->live[w] && (i == 0 || rng_below(&f->rng, 4) > 0))
				see(f, w);
		for (uint32_t w = 0; w < f->workers; w++)
			if (f->live[w])
				act(f, w);
		let_go(f);
	}
	/* Nobody acts on old news when it comes to rest. */
	for (unsigned i = 0; i < 20; i++)
		for (uint32_t w = 0; w < f->workers; w++)
			if (f->live[w]) {
				see(f, w);
				act(f, w);
				let_go(f);
			}
}

static void assert_balanced(const struct fleet *f, uint64_t seed)
{
	uint32_t least = UINT32_MAX, most = 0, sum = 0;

	for (uint32_t w = 0; w < f->workers; w++) {
		uint32_t n = holds(f, w);

		if (!f->live[w])
			continue;
		sum += n;
		most = n > most ? n : most;
		least = n < least ? n : least;
	}
	if (sum != f->lanes || most > least + 1)
		fail_msg("seed %llu: %u of %u lanes are held, between %u and %u each",
			 (unsigned long long)seed, sum, f->lanes, least, most);
}

static void fleets_come_to_rest_in_balance(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 500; seed++) {
		struct fleet f = { 0 };

		rng_seed(&f.rng, seed);
		f.workers = 2 + (uint32_t)rng_below(&f.rng, WORKERS - 1);
		f.lanes = 1 + (uint32_t)rng_below(&f.rng, LANES);
		for (uint32_t lane = 0; lane < f.lanes; lane++)
			f.owner[lane] = f.wanted_by[lane] = -1;
		for (uint32_t w = 0; w < f.workers; w++)
			f.held_max[w] = 1000;
		f.live[0] = true;
		rounds(&f, 3);
		assert_int_equal(holds(&f, 0), f.lanes);
		for (uint32_t w = 1; w < f.workers; w++)
			f.live[w] = true;
		rounds(&f, 40);
		assert_balanced(&f, seed);
		die(&f, (uint32_t)rng_below(&f.rng, f.workers));
		rounds(&f, 40);
		assert_balanced(&f, seed);
	}
}

static void what_a_small_worker_cannot_hold_others_do(void **state)
{
	struct fleet f = { .workers = 3, .lanes = 90 };

	(void)state;
	rng_seed(&f.rng, 1);
	for (uint32_t lane = 0; lane < f.lanes; lane++)
		f.owner[lane] = f.wanted_by[lane] = -1;
	for (uint32_t w = 0; w < f.workers; w++) {
		f.held_max[w] = w == 0 ? 10 : 1000;
		f.live[w] = true;
	}
	rounds(&f, 40);
	assert_int_equal(holds(&f, 0), 10);
	assert_int_equal(holds(&f, 1) + holds(&f, 2), 80);
}

/* What leaves is nobody's share, but takes its room until it has left. */
static void a_held_stream_is_not_shared(void **state)
{
	struct store_round_stream s[] = { stream_row(1, 4), stream_row(2, 0) };
	struct store_round_member m[] = { member_row(1, "a", 4), member_row(2, "a", 0),
					  member_row(1, "me", 4), member_row(2, "me", 20) };
	struct balance_plan p;
	uint32_t claims[2];

	(void)state;
	m[1].stream_held = m[3].stream_held = true;
	p = decide(ROWS(s), ROWS(m), 1000, 0, claims);
	assert_int_equal(p.share, 6);
	assert_int_equal(claims[0], 2);
	assert_int_equal(claims[1], 0);
	decide(ROWS(s), ROWS(m), 21, BALANCE_PATIENCE, claims);
	assert_int_equal(claims[0], 0);
	s[0].claimable = 0;
	m[0].held = 0;
	m[2].held = 4;
	p = decide(ROWS(s), ROWS(m), 1000, 0, claims);
	assert_int_equal(p.wish, 0);
	strcpy(m[3].session, "b");
	m[3].held = 20;
	p = decide(ROWS(s), ROWS(m), 1000, 0, claims);
	assert_int_equal(p.wish, 0); /* nobody is asked for what is about to go */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone_it_takes_everything),
		cmocka_unit_test(a_part_is_what_is_held_and_claimed_of_a_stream),
		cmocka_unit_test(no_more_than_it_may_hold),
		cmocka_unit_test(free_lanes_are_claimed_up_to_the_share),
		cmocka_unit_test(what_nobody_takes_is_taken_in_the_end),
		cmocka_unit_test(the_poor_ask_the_richest),
		cmocka_unit_test(one_more_or_less_is_balance),
		cmocka_unit_test(who_has_other_sinks_is_no_peer),
		cmocka_unit_test(fleets_come_to_rest_in_balance),
		cmocka_unit_test(what_a_small_worker_cannot_hold_others_do),
		cmocka_unit_test(a_held_stream_is_not_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
