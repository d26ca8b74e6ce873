/* Shards that a gap cuts off: which they are, what is kept of them, and that a large stream after a
 * long absence takes no longer than it has to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/severed.h"

/* --- the texts that were compared (linked with --wrap=strcmp) --- */

static size_t compared;

int __real_strcmp(const char *a, const char *b);
int __wrap_strcmp(const char *a, const char *b);

int __wrap_strcmp(const char *a, const char *b)
{
	compared++;
	return __real_strcmp(a, b);
}

/* --- a listing --- */

#define FOUND_MAX 60000
#define LINES     10000

static struct streams_shard shards[FOUND_MAX];
static struct lineage_found found[FOUND_MAX];
static struct severed_list list;
static char mended[8][STREAMS_SHARD_MAX + 1];
static size_t mended_count;

static void note_mended(void *arg, const struct severed *b)
{
	assert_null(arg);
	assert_true(mended_count < 8);
	strcpy(mended[mended_count++], b->shard.id);
}

static void find_one(size_t i, const char *id, const char *parent, enum lineage_kind kind)
{
	snprintf(shards[i].id, sizeof(shards[i].id), "%s", id);
	snprintf(shards[i].parent, sizeof(shards[i].parent), "%s", parent);
	found[i] = (struct lineage_found){ .shard = &shards[i],
					   .parent = shards[i].parent,
					   .kind = kind };
}

/* a is an orphan with a child and a grandchild, x is none; d is another orphan. */
static size_t small_listing(void)
{
	find_one(0, "a", "lost", LINEAGE_ORPHAN);
	find_one(1, "x", "known", LINEAGE_CHILD);
	find_one(2, "b", "a", LINEAGE_CHILD);
	find_one(3, "c", "b", LINEAGE_CHILD);
	find_one(4, "d", "lost too", LINEAGE_ORPHAN);
	return 5;
}

static size_t see(size_t count)
{
	mended_count = 0;
	return severed_see(&list, found, count, note_mended, NULL);
}

static int begin(void **state)
{
	(void)state;
	severed_init(&list);
	return 0;
}

static int end(void **state)
{
	(void)state;
	severed_release(&list);
	return 0;
}

static void what_descends_from_an_orphan_is_held_back_with_it(void **state)
{
	size_t count = small_listing();

	(void)state;
	assert_int_equal(severed_new_orphans(&list, found, count), 2);
	assert_int_equal(see(count), 1);
	assert_string_equal(found[0].shard->id, "x");
	assert_int_equal(list.count, 4);
	assert_true(severed_find(&list, "a")->orphan);
	assert_false(severed_find(&list, "c")->orphan);
	assert_string_equal(severed_find(&list, "c")->parent, "b");
	assert_null(severed_find(&list, "x"));
	assert_int_equal(mended_count, 0);
}

static void news_without_orphans(void **state)
{
	size_t count = small_listing();

	(void)state;
	assert_int_equal(lineage_without_orphans(found, count), 1);
	assert_string_equal(found[0].shard->id, "x");
}

static void what_is_known_of_an_orphan_is_kept(void **state)
{
	(void)state;
	see(small_listing());
	severed_find(&list, "a")->gap = 7;
	severed_find(&list, "d")->recording = true;
	assert_int_equal(severed_new_orphans(&list, found, small_listing()), 0);
	see(small_listing());
	assert_int_equal(severed_find(&list, "a")->gap, 7);
	assert_true(severed_find(&list, "d")->recording);
	/* What is not listed any more is not severed any more. */
	find_one(0, "d", "lost too", LINEAGE_ORPHAN);
	see(1);
	assert_int_equal(list.count, 1);
	assert_null(severed_find(&list, "a"));
}

static void a_listing_that_was_mended_gives_them_back(void **state)
{
	(void)state;
	see(small_listing());
	small_listing();
	found[0].kind = LINEAGE_CHILD; /* its parent is listed after all */
	assert_int_equal(see(5), 4);
	assert_int_equal(mended_count, 3);
	assert_string_equal(mended[0], "a");
	assert_string_equal(found[2].shard->id, "b");
	assert_int_equal(list.count, 1);
	assert_non_null(severed_find(&list, "d"));
}

static void what_is_added_after_all_leaves(void **state)
{
	(void)state;
	see(small_listing());
	find_one(0, "b", "a", LINEAGE_CHILD);
	find_one(1, "x", "known", LINEAGE_CHILD);
	mended_count = 0;
	severed_leave(&list, found, 2, note_mended, NULL);
	assert_int_equal(mended_count, 1);
	assert_string_equal(mended[0], "b");
	assert_int_equal(list.count, 3);
	assert_null(severed_find(&list, "b"));
	assert_string_equal(severed_find(&list, "c")->shard.id, "c");
	assert_string_equal(severed_find(&list, "d")->shard.id, "d");
}

static void the_accepted_go_with_what_descends_from_them(void **state)
{
	struct severed_list out;

	(void)state;
	severed_init(&out);
	see(small_listing());
	severed_accept(&list, &out);
	assert_int_equal(out.count, 0);
	assert_int_equal(list.count, 4);
	severed_find(&list, "a")->accepted = true;
	severed_accept(&list, &out);
	assert_int_equal(out.count, 3);
	assert_string_equal(out.shards[0].shard.id, "a");
	assert_string_equal(out.shards[2].shard.id, "c");
	assert_int_equal(list.count, 1);
	assert_non_null(severed_find(&list, "d"));
	severed_release(&out);
}

/* --- after a day's absence from 10,000 shards --- */

/* Each line is an orphan and what came of it since. */
static size_t large_listing(void)
{
	for (size_t i = 0; i < FOUND_MAX; i++) {
		char id[STREAMS_SHARD_MAX + 1], parent[STREAMS_SHARD_MAX + 1];

		snprintf(id, sizeof(id), "shardId-%020zu-%08zx", 1763700000000 + i, i);
		snprintf(parent, sizeof(parent), "shardId-%020zu-%08zx", 1763700000000 + i - LINES,
			 i - LINES);
		find_one(i, id, i < LINES ? "shardId-gone" : parent,
			 i < LINES ? LINEAGE_ORPHAN : LINEAGE_CHILD);
	}
	return FOUND_MAX;
}

/* So few for each shard, whatever their number. */
static void assert_compared(size_t each)
{
	assert_in_range(compared, 1, each * FOUND_MAX);
	compared = 0;
}

static void a_large_stream_is_sorted_out_in_few_steps(void **state)
{
	struct severed_list out;

	(void)state;
	large_listing();
	compared = 0;
	assert_int_equal(severed_new_orphans(&list, found, FOUND_MAX), LINES);
	assert_int_equal(see(FOUND_MAX), 0);
	assert_int_equal(list.count, FOUND_MAX);
	assert_compared(10);
	/* The next listing, and each one until somebody accepts it. */
	large_listing();
	severed_new_orphans(&list, found, FOUND_MAX);
	assert_int_equal(see(FOUND_MAX), 0);
	assert_compared(20);
	severed_leave(&list, found + FOUND_MAX - 8, 8, note_mended, NULL);
	assert_int_equal(list.count, FOUND_MAX - 8);
	assert_compared(10);

	for (size_t i = 0; i < LINES; i++)
		severed_find(&list, found[i].shard->id)->accepted = true;
	severed_init(&out);
	severed_accept(&list, &out);
	assert_int_equal(out.count, FOUND_MAX - 8);
	assert_int_equal(list.count, 0);
	assert_compared(20);
	severed_release(&out);
}

static void so_is_what_a_part_of_its_listing_shows(void **state)
{
	(void)state;
	large_listing();
	compared = 0;
	assert_int_equal(lineage_without_orphans(found, FOUND_MAX), 0);
	assert_compared(10);
}

int main(void)
{
#define SEVERED(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		SEVERED(what_descends_from_an_orphan_is_held_back_with_it),
		SEVERED(news_without_orphans),
		SEVERED(what_is_known_of_an_orphan_is_kept),
		SEVERED(a_listing_that_was_mended_gives_them_back),
		SEVERED(what_is_added_after_all_leaves),
		SEVERED(the_accepted_go_with_what_descends_from_them),
		SEVERED(a_large_stream_is_sorted_out_in_few_steps),
		SEVERED(so_is_what_a_part_of_its_listing_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
