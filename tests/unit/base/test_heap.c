/* The heap of timers and shards against a plain search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/rng.h"
#include <cmocka.h>

#define IDS 200

static bool smallest(const int64_t *keys, const bool *in, uint32_t *id)
{
	bool found = false;

	for (uint32_t i = 0; i < IDS; i++)
		if (in[i] && (!found || keys[i] < keys[*id])) {
			*id = i;
			found = true;
		}
	return found;
}

static void agrees_with_a_search_under_random_moves(void **state)
{
	struct heap h;
	struct rng r;
	int64_t keys[IDS] = { 0 };
	bool in[IDS] = { 0 };

	(void)state;
	rng_seed(&r, 1);
	heap_init(&h, 8);
	heap_resize(&h, IDS);
	for (int i = 0; i < 50000; i++) {
		uint32_t id = (uint32_t)rng_below(&r, IDS), want = 0, top;
		int64_t key;

		if (rng_below(&r, 3) == 0) {
			heap_remove(&h, id);
			in[id] = false;
		} else {
			keys[id] = (int64_t)rng_below(&r, 50) - 25;
			heap_set(&h, id, keys[id]);
			in[id] = true;
		}
		assert_int_equal(heap_contains(&h, id), in[id]);
		if (!smallest(keys, in, &want)) {
			assert_false(heap_top(&h, &top, &key));
			continue;
		}
		assert_true(heap_top(&h, &top, &key));
		assert_int_equal(top, want);
		assert_int_equal(key, keys[want]);
	}
	heap_release(&h);
}

static void ties_come_out_by_id(void **state)
{
	struct heap h;
	uint32_t id;
	int64_t key;

	(void)state;
	heap_init(&h, 10);
	for (uint32_t i = 10; i-- > 0;)
		heap_set(&h, i, 5);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(heap_top(&h, &id, &key));
		assert_int_equal(id, i);
		heap_remove(&h, id);
	}
	assert_int_equal(h.count, 0);
	heap_remove(&h, 3);
	assert_false(heap_contains(&h, 11));
	heap_release(&h);
}

static void growing_keeps_what_is_in(void **state)
{
	struct heap h;
	uint32_t id;
	int64_t key;

	(void)state;
	heap_init(&h, 0);
	heap_resize(&h, 2);
	heap_set(&h, 1, INT64_MIN);
	heap_set(&h, 0, INT64_MAX);
	heap_resize(&h, 1000);
	heap_resize(&h, 10);
	assert_int_equal(h.capacity, 1000);
	heap_set(&h, 999, 0);
	assert_true(heap_top(&h, &id, &key));
	assert_int_equal(id, 1);
	heap_remove(&h, 1);
	assert_true(heap_top(&h, &id, &key));
	assert_int_equal(id, 999);
	heap_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_search_under_random_moves),
		cmocka_unit_test(ties_come_out_by_id),
		cmocka_unit_test(growing_keeps_what_is_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
