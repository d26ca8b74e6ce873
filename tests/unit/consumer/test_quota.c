/* Calls within what the service allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/quota.h"

#define START_MS 1000000

struct world {
	struct quota quota;
	struct rng rng;
};

static int setup(void **state)
{
	static struct world w;

	quota_init(&w.quota);
	rng_seed(&w.rng, 1);
	*state = &w;
	return 0;
}

/* As many calls as there are, whose answers come after so long. */
static unsigned call_all(struct world *w, int64_t now_ms, int64_t took_ms, bool throttled)
{
	unsigned places[QUOTA_CALLS], n = 0;

	while (quota_free(&w->quota, now_ms) > 0)
		places[n++] = quota_spend(&w->quota, now_ms);
	for (unsigned i = 0; i < n; i++)
		quota_answered(&w->quota, places[i], throttled, now_ms + took_ms, &w->rng);
	return n;
}

static void ten_in_a_second(void **state)
{
	struct world *w = *state;

	assert_int_equal(call_all(w, START_MS, 0, false), QUOTA_CALLS);
	assert_int_equal(quota_free(&w->quota, START_MS + 999), 0);
	assert_int_equal(quota_grows_ms(&w->quota, START_MS + 999), START_MS + 1000);
	assert_int_equal(quota_free(&w->quota, START_MS + 1000), QUOTA_CALLS);
}

/* It may have reached the service just before its answer left. */
static void a_call_counts_until_a_second_after_its_answer(void **state)
{
	struct world *w = *state;
	unsigned slow;

	slow = quota_spend(&w->quota, START_MS);
	assert_int_equal(call_all(w, START_MS, 0, false), QUOTA_CALLS - 1);
	assert_int_equal(call_all(w, START_MS + 5000, 0, false), QUOTA_CALLS - 1);
	quota_answered(&w->quota, slow, false, START_MS + 6500, &w->rng);
	assert_int_equal(quota_free(&w->quota, START_MS + 7499), QUOTA_CALLS - 1);
	assert_int_equal(quota_free(&w->quota, START_MS + 7500), QUOTA_CALLS);
}

/* In a long run of answers that take their time, no second has more than ten at the service. */
static void any_second(void **state)
{
	struct world *w = *state;
	int64_t arrived_ms[4000];
	unsigned count = 0;

	for (int64_t now_ms = START_MS; now_ms < START_MS + 300000; now_ms += 7) {
		int64_t took_ms = (int64_t)rng_below(&w->rng, 400);
		unsigned place;

		if (quota_free(&w->quota, now_ms) == 0)
			continue;
		place = quota_spend(&w->quota, now_ms);
		arrived_ms[count++] = now_ms + (int64_t)rng_below(&w->rng, (uint64_t)took_ms + 1);
		quota_answered(&w->quota, place, false, now_ms + took_ms, &w->rng);
	}
	assert_true(count > 2000);
	for (unsigned i = 0; i < count; i++) {
		unsigned in_second = 0;

		for (unsigned j = 0; j < count; j++)
			in_second += arrived_ms[j] >= arrived_ms[i] &&
				     arrived_ms[j] < arrived_ms[i] + 1000;
		assert_in_range(in_second, 1, QUOTA_CALLS);
	}
}

static void throttles_halve_it_and_time_restores_it(void **state)
{
	struct world *w = *state;
	int64_t now_ms = START_MS;

	call_all(w, now_ms, 10, true); /* of one second: once */
	assert_int_equal(w->quota.calls, QUOTA_CALLS / 2);
	assert_int_equal(quota_free(&w->quota, now_ms + 10), 0);
	for (int i = 0; i < 10; i++) {
		now_ms += 20000;
		assert_true(call_all(w, now_ms, 10, true) >= 1);
	}
	assert_int_equal(w->quota.calls, 1);
	for (int i = 0; i < QUOTA_CALLS; i++) {
		now_ms += 20000;
		call_all(w, now_ms, 10, false);
	}
	assert_int_equal(w->quota.calls, QUOTA_CALLS);
}

/* The pause after a throttle is bounded, so that nothing waits for ever. */
static void a_hold_ends(void **state)
{
	struct world *w = *state;
	int64_t now_ms = START_MS;

	for (int i = 0; i < 40; i++) {
		int64_t grows_ms;

		call_all(w, now_ms, 0, true);
		for (; quota_free(&w->quota, now_ms) == 0; now_ms = grows_ms) {
			grows_ms = quota_grows_ms(&w->quota, now_ms);
			assert_in_range(grows_ms, now_ms + 1, now_ms + 10000);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ten_in_a_second, setup),
		cmocka_unit_test_setup(a_call_counts_until_a_second_after_its_answer, setup),
		cmocka_unit_test_setup(any_second, setup),
		cmocka_unit_test_setup(throttles_halve_it_and_time_restores_it, setup),
		cmocka_unit_test_setup(a_hold_ends, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
