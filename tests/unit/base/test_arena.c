/* The bump allocator and small allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"

static void allocations_are_aligned_and_do_not_overlap(void **state)
{
	struct arena a;
	char *before = NULL;
	size_t before_size = 0;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < 5000; i++) {
		size_t size = i % 97;
		char *p = arena_alloc(&a, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		memset(p, (int)(i % 251), size);
		for (size_t k = 0; k < before_size; k++)
			assert_int_equal((unsigned char)before[k], (i - 1) % 251);
		before = p;
		before_size = size;
	}
	arena_release(&a);
	assert_int_equal(a.bytes, 0);
	assert_null(a.chunks);
}

static void chunks_double_up_to_four_mebibytes(void **state)
{
	struct arena a;
	size_t steps = 0, seen = 0;

	(void)state;
	arena_init(&a);
	arena_alloc(&a, 1);
	assert_int_equal(a.bytes, 64 << 10);
	for (size_t i = 0; i < (64u << 20) / 1024; i++) {
		arena_alloc(&a, 1024);
		if (a.bytes != seen) {
			assert_true(seen == 0 || a.bytes - seen <= (4u << 20));
			seen = a.bytes;
			steps++;
		}
	}
	/* 64 KiB, then doubled in total to 4 MiB, then 4 MiB each. */
	assert_in_range(steps, 20, 26);
	assert_in_range(a.bytes, 64u << 20, 70u << 20);
	arena_release(&a);
}

static void what_is_larger_than_a_chunk_gets_its_own(void **state)
{
	struct arena a;
	char *p;

	(void)state;
	arena_init(&a);
	p = arena_alloc(&a, 20u << 20);
	memset(p, 1, 20u << 20);
	assert_in_range(a.bytes, 20u << 20, (20u << 20) + 64);
	arena_release(&a);
}

static void clear_keeps_memory_in_one_chunk(void **state)
{
	struct arena a;
	char *p;

	(void)state;
	arena_init(&a);
	arena_clear(&a); /* nothing is there */
	p = arena_alloc(&a, 100);
	for (unsigned i = 0; i < 100; i++) {
		arena_clear(&a);
		assert_ptr_equal(arena_alloc(&a, 100), p);
	}
	/* What was in two chunks is in one from then on. */
	arena_alloc(&a, 1u << 20);
	arena_clear(&a);
	assert_in_range(a.bytes, 1u << 20, (1u << 20) + (1u << 17));
	p = arena_alloc(&a, 1u << 20);
	arena_clear(&a);
	assert_ptr_equal(arena_alloc(&a, 1u << 20), p);
	/* Not more than that. */
	arena_alloc(&a, 20u << 20);
	arena_clear(&a);
	assert_in_range(a.bytes, 4u << 20, (4u << 20) + 64);
	arena_release(&a);
}

static void reserve_takes_nothing_until_take(void **state)
{
	struct arena a;
	char *p, *q;
	size_t bytes;

	(void)state;
	arena_init(&a);
	p = arena_reserve(&a, 1000);
	assert_ptr_equal(arena_reserve(&a, 1000), p);
	memcpy(p, "12345", 5);
	arena_take(&a, 5);
	q = arena_alloc(&a, 1);
	assert_ptr_equal(q, p + 16);
	*q = 'x';
	assert_memory_equal(p, "12345", 5);
	bytes = a.bytes;
	p = arena_reserve(&a, bytes); /* does not fit behind what is there */
	assert_true(a.bytes >= 2 * bytes);
	memset(p, 2, bytes);
	arena_take(&a, bytes);
	assert_ptr_not_equal(arena_alloc(&a, 1), p);
	arena_reserve(&a, 10);
	arena_take(&a, 0);
	arena_release(&a);
}

static void copies_and_prints(void **state)
{
	struct arena a;
	struct str s;

	(void)state;
	arena_init(&a);
	s = arena_copy(&a, STR("a\0b"));
	assert_int_equal(s.n, 3);
	assert_memory_equal(s.p, "a\0b", 3);
	assert_int_equal(arena_copy(&a, (struct str){ NULL, 0 }).n, 0);
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 7), "x-7");
	assert_string_equal(arena_printf(&a, "%s", ""), "");
	arena_release(&a);
}

static void small_allocations_are_zeroed_and_never_null(void **state)
{
	char *p = memory_new(64), *t;
	void *none = memory_array(0, 8);

	(void)state;
	for (int i = 0; i < 64; i++)
		assert_int_equal(p[i], 0);
	p = memory_resize(p, 128);
	free(p);
	assert_non_null(none);
	free(none);
	assert_null(memory_text(NULL));
	t = memory_text_n("abcdef", 3);
	assert_string_equal(t, "abc");
	free(t);
	t = memory_text("");
	assert_string_equal(t, "");
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_aligned_and_do_not_overlap),
		cmocka_unit_test(chunks_double_up_to_four_mebibytes),
		cmocka_unit_test(what_is_larger_than_a_chunk_gets_its_own),
		cmocka_unit_test(clear_keeps_memory_in_one_chunk),
		cmocka_unit_test(reserve_takes_nothing_until_take),
		cmocka_unit_test(copies_and_prints),
		cmocka_unit_test(small_allocations_are_zeroed_and_never_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
