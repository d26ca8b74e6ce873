/* When a shard is asked again, and how the calls of a stream are shared out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

static void no_budget_is_no_limit(void **state)
{
	struct pacing_budget b = { 0 };
	int64_t wait = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(pacing_take(&b, 0, 0, &wait));
}

/* Every millisecond somebody asks: what is given is the budget, to the call. */
static void a_budget_is_kept_to_the_call(void **state)
{
	static const int64_t budgets[] = { 1, 3, 7, 10, 333, 1000 };

	(void)state;
	for (size_t i = 0; i < sizeof(budgets) / sizeof(*budgets); i++) {
		struct pacing_budget b = { .at_ms = 0 };
		int64_t wait, taken = 0;

		for (int64_t now = 1; now <= 60000; now++)
			taken += pacing_take(&b, budgets[i], now, &wait);
		assert_int_equal(taken, budgets[i] * 60);
	}
}

static void the_wait_that_is_told_is_long_enough_and_no_longer(void **state)
{
	static const int64_t budgets[] = { 1, 3, 7, 10, 333 };

	(void)state;
	for (size_t i = 0; i < sizeof(budgets) / sizeof(*budgets); i++) {
		struct pacing_budget b = { .at_ms = 1000000 };
		int64_t now = 1000000, wait = 0;

		for (int n = 0; n < 1000; n++) {
			struct pacing_budget before;

			if (pacing_take(&b, budgets[i], now, &wait))
				continue;
			assert_true(wait > 0);
			before = b;
			assert_false(
				pacing_take(&before, budgets[i], now + wait - 1, &(int64_t){ 0 }));
			now += wait;
			assert_true(pacing_take(&b, budgets[i], now, &wait));
		}
	}
}

static void a_second_of_calls_is_all_that_is_put_by(void **state)
{
	struct pacing_budget b = { 0 };
	int64_t wait, taken = 0;

	(void)state;
	while (pacing_take(&b, 10, 3600 * 1000, &wait))
		taken++;
	assert_int_equal(taken, 10);
	assert_int_equal(wait, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_shard_backs_off_to_the_maximum),
		cmocka_unit_test(faults_and_throttles_back_off_on_their_own),
		cmocka_unit_test(records_start_again_at_once),
		cmocka_unit_test(an_empty_answer_ends_a_row_of_faults),
		cmocka_unit_test(no_budget_is_no_limit),
		cmocka_unit_test(a_budget_is_kept_to_the_call),
		cmocka_unit_test(the_wait_that_is_told_is_long_enough_and_no_longer),
		cmocka_unit_test(a_second_of_calls_is_all_that_is_put_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
