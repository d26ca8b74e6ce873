/* When a shard is asked again, and how the calls of a stream are shared out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "consumer/pacing.h"

static const struct pacing_limits limits = { .min_ms = 100, .max_ms = 5000 };

/* The longest and the shortest of the waits that jitter gives after `times` results in a row. */
static void waits(enum pacing_result result, int times, int64_t *least, int64_t *most)
{
	struct rng rng;

	rng_seed(&rng, 7);
	*least = INT64_MAX;
	*most = 0;
	for (int round = 0; round < 500; round++) {
		struct pacing p = { 0 };
		int64_t ms = 0;

		for (int i = 0; i < times; i++)
			ms = pacing_after(&p, &limits, result, &rng);
		if (ms < *least)
			*least = ms;
		if (ms > *most)
			*most = ms;
	}
}

/* Half is fixed, half is jitter: 500 rounds come close to both ends. */
static void assert_waits_around(enum pacing_result result, int times, int64_t ms)
{
	int64_t least, most;

	waits(result, times, &least, &most);
	assert_in_range(least, ms / 2, ms * 6 / 10);
	assert_in_range(most, ms * 9 / 10, ms);
}

static void an_empty_shard_backs_off_to_the_maximum(void **state)
{
	(void)state;
	assert_waits_around(PACING_EMPTY, 1, 100);
	assert_waits_around(PACING_EMPTY, 2, 200);
	assert_waits_around(PACING_EMPTY, 4, 800);
	assert_waits_around(PACING_EMPTY, 7, 5000);
	assert_waits_around(PACING_EMPTY, 1000, 5000);
}

static void faults_and_throttles_back_off_on_their_own(void **state)
{
	(void)state;
	assert_waits_around(PACING_FAILED, 1, 100);
	assert_waits_around(PACING_FAILED, 5, 1600);
	assert_waits_around(PACING_FAILED, 1000, 20000);
	assert_waits_around(PACING_THROTTLED, 1, 200);
	assert_waits_around(PACING_THROTTLED, 1000, 10000);
}

static void records_start_again_at_once(void **state)
{
	struct pacing p = { 0 };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	for (int i = 0; i < 20; i++) {
		pacing_after(&p, &limits, PACING_EMPTY, &rng);
		pacing_after(&p, &limits, PACING_FAILED, &rng);
	}
	assert_int_equal(pacing_after(&p, &limits, PACING_RECORDS, &rng), 0);
	assert_in_range(pacing_after(&p, &limits, PACING_EMPTY, &rng), 50, 100);
	assert_in_range(pacing_after(&p, &limits, PACING_FAILED, &rng), 50, 100);
}

static void an_empty_answer_ends_a_row_of_faults(void **state)
{
	struct pacing p = { 0 };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	for (int i = 0; i < 10; i++)
		pacing_after(&p, &limits, PACING_FAILED, &rng);
	pacing_after(&p, &limits, PACING_EMPTY, &rng);
	assert_in_range(pacing_after(&p, &limits, PACING_FAILED, &rng), 50, 100);
}

/* --- who is behind --- */

static enum pacing_class class_after(struct pacing_page page)
{
	struct pacing p = { 0 };
	struct rng rng;

	rng_seed(&rng, 1);
	pacing_after(&p, &limits, PACING_RECORDS, &rng);
	pacing_page(&p, &limits, &page);
	return pacing_class(&p);
}

static void a_full_or_an_old_page_is_behind(void **state)
{
	const size_t mb = (size_t)1 << 20;

	(void)state;
	assert_int_equal(class_after((struct pacing_page){ 999, 1000, mb / 2, 3000 }), PACING_WARM);
	assert_int_equal(class_after((struct pacing_page){ 1000, 1000, mb / 2, 0 }), PACING_BEHIND);
	assert_int_equal(class_after((struct pacing_page){ 500, 500, 1, 0 }), PACING_BEHIND);
	assert_int_equal(class_after((struct pacing_page){ 7, 1000, mb, 0 }), PACING_BEHIND);
	assert_int_equal(class_after((struct pacing_page){ 7, 0, 1, 0 }), PACING_WARM);
	/* An idle shard's pause explains an age up to poll.max. */
	assert_int_equal(class_after((struct pacing_page){ 7, 1000, 1, 10000 }), PACING_WARM);
	assert_int_equal(class_after((struct pacing_page){ 7, 1000, 1, 10001 }), PACING_BEHIND);
	assert_int_equal(class_after((struct pacing_page){ 7, 1000, 1, -5000 }), PACING_WARM);
}

static void a_few_empty_pages_prove_nothing(void **state)
{
	struct pacing p = { 0 };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	assert_int_equal(pacing_class(&p), PACING_WARM); /* never read: it may have anything */
	pacing_page(&p, &limits, &(struct pacing_page){ .age_ms = 3600000 });
	for (int i = 0; i < 3; i++)
		pacing_after(&p, &limits, PACING_EMPTY, &rng);
	pacing_after(&p, &limits, PACING_THROTTLED, &rng);
	pacing_after(&p, &limits, PACING_FAILED, &rng);
	assert_int_equal(pacing_class(&p), PACING_BEHIND);
	pacing_after(&p, &limits, PACING_EMPTY, &rng);
	assert_int_equal(pacing_class(&p), PACING_IDLE);
	pacing_after(&p, &limits, PACING_RECORDS, &rng);
	pacing_page(&p, &limits, &(struct pacing_page){ .records = 1 });
	assert_int_equal(pacing_class(&p), PACING_WARM);
}

/* --- turns --- */

static void those_behind_come_first_and_nobody_starves(void **state)
{
	static const struct {
		unsigned waiting;
		int least[PACING_CLASSES]; /* of 60 calls */
	} cases[] = {
		{ 1, { 60, 0, 0 } },   { 2, { 0, 60, 0 } },  { 4, { 0, 0, 60 } },
		{ 3, { 45, 15, 0 } },  { 5, { 45, 0, 15 } }, { 6, { 0, 45, 15 } },
		{ 7, { 30, 14, 15 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pacing_turns t = { 0 };
		int taken[PACING_CLASSES] = { 0 }, idle_passed = 0;

		for (int call = 0; call < 60; call++) {
			enum pacing_class class = pacing_turn(&t, cases[i].waiting);

			if (call == 0) /* in their order, until somebody has waited */
				assert_int_equal(cases[i].waiting & ((1u << class) - 1), 0);
			assert_true(cases[i].waiting & 1u << class);
			pacing_turn_taken(&t, cases[i].waiting, class);
			taken[class]++;
			idle_passed = class == PACING_IDLE ? 0 : idle_passed + 1;
			if (cases[i].waiting & 1u << PACING_IDLE)
				assert_true(idle_passed <= 3);
		}
		for (int k = 0; k < PACING_CLASSES; k++)
			assert_true(taken[k] >= cases[i].least[k]);
	}
}

/* Who did not wait was not passed over. */
static void a_turn_is_not_put_by(void **state)
{
	struct pacing_turns t = { 0 };

	(void)state;
	for (int i = 0; i < 100; i++)
		pacing_turn_taken(&t, 1, PACING_BEHIND);
	assert_int_equal(pacing_turn(&t, 7), PACING_BEHIND);
}

/* --- calls a second --- */

static bool take(struct pacing_bucket *b, int64_t rate_milli, int64_t now_ms)
{
	if (pacing_wait_ms(b, rate_milli, now_ms) > 0)
		return false;
	pacing_take(b, rate_milli);
	return true;
}

static void no_budget_is_no_limit(void **state)
{
	struct pacing_bucket b = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(take(&b, 0, 0));
}

/* Every millisecond somebody asks: what is given is the budget, to the call. */
static void a_budget_is_kept_to_the_call(void **state)
{
	static const int64_t rates[] = { 100, 1000, 3000, 7500, 10000, 333000, 1000000 };

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		struct pacing_bucket b = { .at_ms = 0 };
		int64_t taken = 0;

		for (int64_t now = 1; now <= 60000; now++)
			taken += take(&b, rates[i], now);
		assert_int_equal(taken, rates[i] * 60 / 1000);
	}
}

static void the_wait_that_is_told_is_long_enough_and_no_longer(void **state)
{
	static const int64_t rates[] = { 100, 1000, 3000, 7000, 10000, 333000 };

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		struct pacing_bucket b = { .at_ms = 1000000 };
		int64_t now = 1000000;

		for (int n = 0; n < 1000; n++) {
			struct pacing_bucket before;
			int64_t wait = pacing_wait_ms(&b, rates[i], now);

			if (wait == 0) {
				pacing_take(&b, rates[i]);
				continue;
			}
			before = b;
			assert_int_equal(pacing_wait_ms(&before, rates[i], now + wait - 1), 1);
			now += wait;
			assert_true(take(&b, rates[i], now));
		}
	}
}

static void a_second_of_calls_is_all_that_is_put_by(void **state)
{
	static const struct {
		int64_t rate_milli, burst, wait_ms;
	} cases[] = { { 10000, 10, 100 }, { 100, 1, 10000 }, { 1000000000, 1000000, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		/* Ten years up. */
		int64_t now = (int64_t)10 * 365 * 24 * 3600 * 1000, taken = 0;
		struct pacing_bucket b = { 0 };

		while (take(&b, cases[i].rate_milli, now))
			taken++;
		assert_int_equal(taken, cases[i].burst);
		assert_int_equal(pacing_wait_ms(&b, cases[i].rate_milli, now), cases[i].wait_ms);
	}
}

static void workers_share_a_budget_by_their_shards(void **state)
{
	(void)state;
	assert_int_equal(pacing_share_milli(0, 3, 10), 0);
	assert_int_equal(pacing_share_milli(100, 0, 0), 100000);
	assert_int_equal(pacing_share_milli(100, 7, 7), 100000);
	assert_int_equal(pacing_share_milli(100, 8, 7), 100000);
	assert_int_equal(pacing_share_milli(100, 25, 100), 25000);
	assert_int_equal(pacing_share_milli(1, 1, 3), 333);
	assert_int_equal(pacing_share_milli(1, 1, 10000), 1);   /* never nothing: 0 is no limit */
	assert_int_equal(pacing_share_milli(100, 0, 50), 2000); /* as if it held one */
	assert_int_equal(pacing_share_milli(1000000, 999999, 1000000), 999999000);
	for (uint64_t a = 0; a <= 37; a++) {
		int64_t two = pacing_share_milli(10, a, 37) + pacing_share_milli(10, 37 - a, 37);

		if (a > 0 && a < 37)
			assert_in_range(two, 9999, 10000);
	}
}

/* --- the brake --- */

#define SHARDS 100
static struct {
	struct pacing_brake brake;
	struct pacing shards[SHARDS];
	int64_t now_ms;
} br;

static void brake_begin(void)
{
	memset(&br, 0, sizeof(br));
	br.now_ms = 5000000;
}

/* A second in which each of `shards` is called `times` times; the first `throttled` are throttled
 * each time. Whether it braked at the second's beginning. */
static bool brake_second(int shards, int times, int throttled)
{
	int braked = 0;

	for (int n = 0; n < times; n++)
		for (int i = 0; i < shards; i++) {
			int64_t at = br.now_ms + (n * shards + i) * 1000 / (shards * times);

			braked += pacing_brake_turn(&br.brake, at);
			pacing_brake_call(&br.brake, &br.shards[i]);
			if (i < throttled)
				pacing_brake_throttled(&br.brake, &br.shards[i]);
		}
	br.now_ms += 1000;
	assert_true(braked <= 1);
	return braked;
}

/* As it is at the beginning of the next second. */
static int64_t brake_rate(int64_t share_milli)
{
	pacing_brake_turn(&br.brake, br.now_ms);
	return pacing_limit_milli(&br.brake, share_milli);
}

static void a_few_throttled_shards_do_not_slow_the_stream(void **state)
{
	(void)state;
	brake_begin();
	for (int i = 0; i < 600; i++)
		assert_false(brake_second(SHARDS, 5, SHARDS / 4 - 1));
	assert_int_equal(brake_rate(0), 0);
	assert_int_equal(brake_rate(7000), 7000);
	/* Two of two are a few as well: each of them slows down by itself. */
	brake_begin();
	for (int i = 0; i < 20; i++)
		assert_false(brake_second(2, 50, 2));
}

static void many_throttled_shards_halve_the_streams_pace(void **state)
{
	(void)state;
	brake_begin();
	assert_false(brake_second(SHARDS, 5, SHARDS / 4));
	assert_int_equal(brake_rate(0), 250000);
	assert_int_equal(brake_rate(100000), 100000); /* a smaller budget stays */
	assert_int_equal(brake_rate(300000), 250000);
}

static void the_pace_comes_back_in_steps(void **state)
{
	int calm = 0;

	(void)state;
	brake_begin();
	brake_second(SHARDS, 5, SHARDS);
	assert_int_equal(brake_rate(0), 250000);
	brake_second(SHARDS, 2, SHARDS); /* answers to calls made before */
	assert_int_equal(brake_rate(0), 250000);
	for (int64_t rate = 250000; rate != 0; calm++) {
		assert_int_equal(rate, 250000 + calm * 50000);
		brake_second(SHARDS, 2, 2);
		rate = brake_rate(0);
	}
	assert_int_equal(calm, 15);
	/* And again, from what it did then. */
	brake_second(SHARDS, 3, SHARDS);
	assert_int_equal(brake_rate(0), 150000);
}

static void it_brakes_harder_when_it_goes_on(void **state)
{
	(void)state;
	brake_begin();
	brake_second(SHARDS, 8, SHARDS);
	for (int calls = 4; calls >= 1; calls /= 2) {
		assert_int_equal(brake_rate(0), calls * SHARDS * 1000);
		brake_second(SHARDS, calls, SHARDS);
		assert_int_equal(brake_rate(0), calls * SHARDS * 1000);
		brake_second(SHARDS, calls, SHARDS);
	}
	/* But never to nothing. */
	for (int i = 0; i < 30; i++)
		brake_second(3, 1, 3);
	assert_int_equal(brake_rate(0), 1500);
	/* Answers of a second without calls. */
	brake_begin();
	brake_second(SHARDS, 1, 0);
	pacing_brake_turn(&br.brake, br.now_ms);
	for (int i = 0; i < 50; i++)
		pacing_brake_throttled(&br.brake, &br.shards[i]);
	br.now_ms += 1000;
	assert_int_equal(brake_rate(0), 25000);
	/* A stream that was quiet for long starts as if nothing had been. */
	br.now_ms += 3600 * 1000;
	assert_int_equal(brake_rate(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_shard_backs_off_to_the_maximum),
		cmocka_unit_test(faults_and_throttles_back_off_on_their_own),
		cmocka_unit_test(records_start_again_at_once),
		cmocka_unit_test(an_empty_answer_ends_a_row_of_faults),
		cmocka_unit_test(a_full_or_an_old_page_is_behind),
		cmocka_unit_test(a_few_empty_pages_prove_nothing),
		cmocka_unit_test(those_behind_come_first_and_nobody_starves),
		cmocka_unit_test(a_turn_is_not_put_by),
		cmocka_unit_test(no_budget_is_no_limit),
		cmocka_unit_test(a_budget_is_kept_to_the_call),
		cmocka_unit_test(the_wait_that_is_told_is_long_enough_and_no_longer),
		cmocka_unit_test(a_second_of_calls_is_all_that_is_put_by),
		cmocka_unit_test(workers_share_a_budget_by_their_shards),
		cmocka_unit_test(a_few_throttled_shards_do_not_slow_the_stream),
		cmocka_unit_test(many_throttled_shards_halve_the_streams_pace),
		cmocka_unit_test(the_pace_comes_back_in_steps),
		cmocka_unit_test(it_brakes_harder_when_it_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
