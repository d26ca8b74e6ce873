/* The tree of shards out of listings that may be stale or wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "consumer/lineage.h"

#define SHARDS_MAX 512
#define NOW_MS     1763700000000
#define HOUR_MS    (3600 * 1000)

struct listing {
	struct streams_shard shards[SHARDS_MAX];
	size_t count;
	struct lineage lineage;
	struct lineage_found found[SHARDS_MAX];
	size_t found_count;
};

static int setup(void **state)
{
	static struct listing l;

	memset(&l, 0, sizeof(l));
	lineage_init(&l.lineage);
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	struct listing *l = *state;

	lineage_release(&l->lineage);
	return 0;
}

static const char *shard_id(int64_t created_ms, int number, char out[STREAMS_SHARD_MAX + 1])
{
	snprintf(out, STREAMS_SHARD_MAX + 1, "shardId-%020lld-%08x", (long long)created_ms, number);
	return out;
}

static void list(struct listing *l, const char *id, const char *parent, bool closed)
{
	struct streams_shard *s = &l->shards[l->count++];

	snprintf(s->id, sizeof(s->id), "%s", id);
	snprintf(s->parent, sizeof(s->parent), "%s", parent);
	s->closed = closed;
}

static void diff(struct listing *l, bool first, int64_t start_ms)
{
	l->found_count =
		lineage_diff(&l->lineage, l->shards, l->count, first, start_ms, NOW_MS, l->found);
}

/* As the worker does with what was found. */
static void know(struct listing *l)
{
	for (size_t i = 0; i < l->found_count; i++)
		lineage_add(&l->lineage, l->found[i].shard->id,
			    lineage_find(&l->lineage, l->found[i].shard->parent));
	l->count = 0;
}

static size_t place_of(const struct listing *l, const char *id)
{
	for (size_t i = 0; i < l->found_count; i++)
		if (strcmp(l->found[i].shard->id, id) == 0)
			return i;
	fail_msg("%s was not found", id);
	return 0;
}

static enum lineage_kind kind_of(const struct listing *l, const char *id)
{
	return l->found[place_of(l, id)].kind;
}

static void a_first_listing_has_roots_and_children(void **state)
{
	struct listing *l = *state;

	list(l, "a", "", true);
	list(l, "b", "a", true);
	list(l, "c", "b", false);
	list(l, "d", "gone", false);
	diff(l, true, 0);
	assert_int_equal(l->found_count, 4);
	assert_int_equal(kind_of(l, "a"), LINEAGE_ROOT);
	assert_int_equal(kind_of(l, "b"), LINEAGE_CHILD);
	assert_int_equal(kind_of(l, "c"), LINEAGE_CHILD);
	assert_int_equal(kind_of(l, "d"), LINEAGE_ROOT);
}

static void parents_come_before_children_whatever_the_listing_says(void **state)
{
	struct listing *l = *state;

	list(l, "a-grandchild", "m-child", false);
	list(l, "z-root", "", true);
	list(l, "b-grandchild", "m-child", false);
	list(l, "m-child", "z-root", true);
	diff(l, true, 0);
	assert_int_equal(l->found_count, 4);
	assert_string_equal(l->found[0].shard->id, "z-root");
	assert_string_equal(l->found[1].shard->id, "m-child");
}

static void later_a_shard_needs_a_parent_that_is_known(void **state)
{
	struct listing *l = *state;

	list(l, "a", "", false);
	diff(l, true, 0);
	know(l);
	list(l, "b", "a", false); /* the parent is known, and not listed any more */
	list(l, "c", "never-seen", true);
	list(l, "d", "c", false);
	list(l, "e", "", false);
	diff(l, false, 0);
	assert_int_equal(l->found_count, 4);
	assert_int_equal(kind_of(l, "b"), LINEAGE_CHILD);
	assert_int_equal(kind_of(l, "c"), LINEAGE_ORPHAN);
	assert_int_equal(kind_of(l, "d"), LINEAGE_CHILD); /* of the orphan */
	assert_int_equal(kind_of(l, "e"), LINEAGE_ORPHAN);
}

static void what_is_known_is_not_found_again(void **state)
{
	struct listing *l = *state;

	for (int round = 0; round < 2; round++) {
		list(l, "a", "", true);
		list(l, "b", "a", false);
		diff(l, round == 0, 0);
		assert_int_equal(l->found_count, round == 0 ? 2 : 0);
		know(l);
	}
}

static void pages_of_a_moving_listing_may_name_a_shard_twice(void **state)
{
	struct listing *l = *state;

	list(l, "b", "a", false);
	list(l, "a", "", true);
	list(l, "b", "a", false);
	list(l, "a", "", true);
	diff(l, true, 0);
	assert_int_equal(l->found_count, 2);
}

static void a_loop_of_parents_ends(void **state)
{
	struct listing *l = *state;

	list(l, "a", "c", true);
	list(l, "b", "a", true);
	list(l, "c", "b", true);
	list(l, "self", "self", false);
	diff(l, true, 0);
	assert_int_equal(l->found_count, 4);
	for (size_t i = 0; i < l->found_count; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(l->found[i].shard->id, l->found[j].shard->id);
}

static void an_empty_listing_finds_nothing(void **state)
{
	struct listing *l = *state;

	diff(l, true, 0);
	assert_int_equal(l->found_count, 0);
	diff(l, false, NOW_MS);
	assert_int_equal(l->found_count, 0);
}

static void a_start_of_now_wants_nothing_that_is_closed(void **state)
{
	struct listing *l = *state;

	list(l, "a", "", true);
	list(l, "b", "a", true);
	list(l, "c", "b", false);
	list(l, "d", "", false);
	diff(l, true, NOW_MS);
	assert_int_equal(kind_of(l, "a"), LINEAGE_UNREAD);
	assert_int_equal(kind_of(l, "b"), LINEAGE_UNREAD);
	/* The stream's start decides where it begins, not the shard's. */
	assert_int_equal(kind_of(l, "c"), LINEAGE_ROOT);
	assert_int_equal(kind_of(l, "d"), LINEAGE_ROOT);
}

static void a_start_in_the_past_leaves_out_what_certainly_ended_before(void **state)
{
	struct listing *l = *state;
	char old[66], ended[66], child_a[66], child_b[66], recent[66];
	int64_t start_ms = NOW_MS - 3 * HOUR_MS;

	shard_id(NOW_MS - 20 * HOUR_MS, 1, old);
	shard_id(NOW_MS - 9 * HOUR_MS, 2, ended);
	shard_id(start_ms - HOUR_MS - 1, 3, child_a);
	shard_id(start_ms - HOUR_MS, 4, child_b);
	shard_id(NOW_MS - 2 * HOUR_MS, 5, recent);
	list(l, old, "", true);        /* all of its children began early enough */
	list(l, ended, old, true);     /* one began an hour before the start: too close */
	list(l, child_a, ended, true); /* its only child is recent */
	list(l, child_b, ended, false);
	list(l, recent, child_a, false);
	diff(l, true, start_ms);
	assert_int_equal(kind_of(l, old), LINEAGE_UNREAD);
	assert_int_equal(kind_of(l, ended), LINEAGE_ROOT); /* behind one that is not read */
	assert_int_equal(kind_of(l, child_a), LINEAGE_CHILD);
	assert_int_equal(kind_of(l, child_b), LINEAGE_CHILD);
	assert_int_equal(kind_of(l, recent), LINEAGE_CHILD);
}

static void a_child_whose_id_tells_no_time_has_its_parent_read(void **state)
{
	struct listing *l = *state;
	char old[66];

	list(l, shard_id(NOW_MS - 20 * HOUR_MS, 1, old), "", true);
	list(l, "child", old, false);
	diff(l, true, NOW_MS - HOUR_MS);
	assert_int_equal(kind_of(l, old), LINEAGE_ROOT);
	assert_int_equal(kind_of(l, "child"), LINEAGE_CHILD);
}

static void a_start_counts_in_the_first_listing_only(void **state)
{
	struct listing *l = *state;

	list(l, "a", "", false);
	diff(l, true, NOW_MS);
	know(l);
	list(l, "b", "a", true);
	diff(l, false, NOW_MS);
	assert_int_equal(kind_of(l, "b"), LINEAGE_CHILD);
}

static void the_creation_time_stands_in_the_id(void **state)
{
	(void)state;
	assert_int_equal(lineage_created_ms("shardId-00000001491865608579-fc9175b5"),
			 1491865608579);
	assert_int_equal(lineage_created_ms("shardId-00000000000000000000-0"), 0);
	assert_int_equal(lineage_created_ms("shardId-1491865608579-fc9175b5"), -1);
	assert_int_equal(lineage_created_ms("shardId-000000014918656085791-fc9175b5"), -1);
	assert_int_equal(lineage_created_ms("shardId-00000001491865608579"), -1);
	assert_int_equal(lineage_created_ms("shardId-0000000149186560857x-fc9175b5"), -1);
	assert_int_equal(lineage_created_ms("shardId-99999999999999999999-fc9175b5"), -1);
	assert_int_equal(lineage_created_ms("shardid-00000001491865608579-fc9175b5"), -1);
	assert_int_equal(lineage_created_ms("shardId-"), -1);
	assert_int_equal(lineage_created_ms(""), -1);
}

static void thousands_are_found_by_name(void **state)
{
	struct lineage l;
	char id[66];

	(void)state;
	lineage_init(&l);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(lineage_add(&l, shard_id(i, i, id),
					     i ? (uint32_t)(i - 1) / 2 : LINEAGE_NONE),
				 i);
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(lineage_find(&l, shard_id(i, i, id)), i);
		assert_int_equal(l.shards[i].parent, i ? (uint32_t)(i - 1) / 2 : LINEAGE_NONE);
	}
	assert_int_equal(lineage_find(&l, "shardId-"), LINEAGE_NONE);
	lineage_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_first_listing_has_roots_and_children, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			parents_come_before_children_whatever_the_listing_says, setup, teardown),
		cmocka_unit_test_setup_teardown(later_a_shard_needs_a_parent_that_is_known, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_known_is_not_found_again, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_of_a_moving_listing_may_name_a_shard_twice,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_loop_of_parents_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_listing_finds_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_start_of_now_wants_nothing_that_is_closed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_start_in_the_past_leaves_out_what_certainly_ended_before, setup,
			teardown),
		cmocka_unit_test_setup_teardown(a_child_whose_id_tells_no_time_has_its_parent_read,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_start_counts_in_the_first_listing_only, setup,
						teardown),
		cmocka_unit_test(the_creation_time_stands_in_the_id),
		cmocka_unit_test(thousands_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
