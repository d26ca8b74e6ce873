/* The tree of shards out of listings that may be stale or wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/lineage.h"

#define SHARDS_MAX 512
#define NOW_MS     1763700000000
#define HOUR_MS    (3600LL * 1000)

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

/* A first listing may come before all roots are listed. An old one may have lost its parent. */
static void a_young_root_may_be_listed_late(void **state)
{
	struct listing *l = *state;
	char young[STREAMS_SHARD_MAX + 1], old[STREAMS_SHARD_MAX + 1];

	lineage_add(&l->lineage, "a", LINEAGE_NONE);
	list(l, shard_id(NOW_MS - 22 * HOUR_MS, 1, young), "", false);
	list(l, shard_id(NOW_MS - 24 * HOUR_MS, 2, old), "", false);
	diff(l, false, 0);
	assert_int_equal(l->found[place_of(l, young)].kind, LINEAGE_ROOT);
	assert_int_equal(l->found[place_of(l, old)].kind, LINEAGE_ORPHAN);
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

/* What a listing says of these parents cannot be: the oldest of a loop has none that was seen. */
static void a_loop_of_parents_is_cut_at_its_oldest(void **state)
{
	struct listing *l = *state;

	list(l, "b", "d", true);
	list(l, "c", "b", true);
	list(l, "d", "c", true);
	list(l, "self", "self", false);
	list(l, "a", "d", false); /* behind the loop, though its name is before */
	list(l, "z", "a", false);
	diff(l, true, 0);
	assert_int_equal(l->found_count, 6);
	assert_int_equal(l->found[place_of(l, "b")].kind, LINEAGE_ORPHAN);
	assert_string_equal(l->found[place_of(l, "b")].parent, "");
	assert_int_equal(l->found[place_of(l, "self")].kind, LINEAGE_ORPHAN);
	assert_string_equal(l->found[place_of(l, "self")].parent, "");
	for (const char *const *id = (const char *const[]){ "c", "d", "a", "z", NULL }; *id; id++)
		assert_int_equal(l->found[place_of(l, *id)].kind, LINEAGE_CHILD);
	assert_true(place_of(l, "b") < place_of(l, "c"));
	assert_true(place_of(l, "c") < place_of(l, "d"));
	assert_true(place_of(l, "d") < place_of(l, "a"));
	assert_true(place_of(l, "a") < place_of(l, "z"));
	know(l);
	assert_int_equal(l->lineage.shards[lineage_find(&l->lineage, "a")].parent,
			 lineage_find(&l->lineage, "d"));
}

/* What is known has its place; the rest of the loop descends from it. */
static void a_loop_through_a_known_shard_is_cut_there(void **state)
{
	struct listing *l = *state;

	lineage_add(&l->lineage, "c", LINEAGE_NONE);
	list(l, "b", "d", true);
	list(l, "c", "b", true);
	list(l, "d", "c", true);
	diff(l, false, 0);
	assert_int_equal(l->found_count, 2);
	assert_string_equal(l->found[0].shard->id, "d");
	assert_string_equal(l->found[1].shard->id, "b");
	assert_int_equal(l->found[0].kind, LINEAGE_CHILD);
	assert_int_equal(l->found[1].kind, LINEAGE_CHILD);
}

/* A chain in the wrong order, and one large loop: each shard is climbed over once. */
static void a_listing_of_one_chain_takes_no_time(void **state)
{
	const size_t count = 100000;
	struct listing *l = *state;
	struct streams_shard *shards = calloc(count, sizeof(*shards));
	struct lineage_found *found = calloc(count, sizeof(*found));

	for (int loop = 0; loop < 2; loop++) {
		for (size_t i = 0; i < count; i++) {
			snprintf(shards[i].id, sizeof(shards[i].id), "%08zu", i);
			snprintf(shards[i].parent, sizeof(shards[i].parent), "%08zu",
				 loop ? (i + 1) % count : i + 1);
		}
		assert_int_equal(lineage_diff(&l->lineage, shards, count, true, 0, NOW_MS, found),
				 count);
		assert_string_equal(found[0].shard->id, loop ? "00000000" : "00099999");
		assert_int_equal(found[0].kind, loop ? LINEAGE_ORPHAN : LINEAGE_ROOT);
		for (size_t i = 1; i < count; i++)
			assert_string_equal(found[i].parent, found[i - 1].shard->id);
	}
	free(shards);
	free(found);
}

/* Pages that were read at different times: the newer says that it is closed. */
static void of_a_shard_listed_twice_the_closed_one_counts(void **state)
{
	struct listing *l = *state;

	list(l, "a", "", false);
	list(l, "a", "", true);
	diff(l, true, NOW_MS);
	assert_int_equal(l->found_count, 1);
	assert_int_equal(l->found[0].kind, LINEAGE_UNREAD);
}

static void the_newest_child_of_a_shard_is_known(void **state)
{
	struct listing *l = *state;
	char id[STREAMS_SHARD_MAX + 1];
	uint32_t parent = lineage_add(&l->lineage, "p", LINEAGE_NONE);

	assert_int_equal(l->lineage.shards[parent].child_ms, 0);
	lineage_add(&l->lineage, shard_id(NOW_MS, 1, id), parent);
	lineage_add(&l->lineage, shard_id(NOW_MS - 5, 2, id), parent);
	assert_int_equal(l->lineage.shards[parent].child_ms, NOW_MS);
	lineage_add(&l->lineage, "without a time", parent);
	assert_true(l->lineage.shards[parent].child_ms == INT64_MAX);
}

/* --- forgetting --- */

static bool is_held(void *arg, uint32_t index)
{
	(void)arg;
	return index == 0; /* the first shard stands still: it is a lane all the time */
}

/* 500 shards that rotate six times a day, listed for a day after that: over a month the lineage
 * holds what is listed, and what was within the last two days. */
static void a_month_of_rotation_takes_bounded_memory(void **state)
{
	enum { SHARDS = 500, GENERATIONS = 180, LISTED = 7 };
	struct listing *l = *state;
	struct lineage *lineage = &l->lineage;
	struct streams_shard *listed = calloc((size_t)SHARDS * LISTED, sizeof(*listed));
	struct lineage_found *found = calloc((size_t)SHARDS * LISTED, sizeof(*found));
	uint32_t most = 0, found_all = 0;

	for (int g = 0; g < GENERATIONS; g++) {
		int64_t now_ms = (int64_t)(g + 1) * 4 * HOUR_MS;
		size_t count = 0;

		for (int old = g >= LISTED ? g - LISTED + 1 : 0; old <= g; old++)
			for (int i = 0; i < SHARDS; i++) {
				struct streams_shard *s = &listed[count++];

				shard_id(old * 4LL * HOUR_MS + i, i, s->id);
				s->parent[0] = '\0';
				if (old > 0)
					shard_id((old - 1) * 4LL * HOUR_MS + i, i, s->parent);
				s->closed = old < g;
			}
		lineage_listed(lineage, listed, count, now_ms);
		lineage_forget(lineage, now_ms - 48 * HOUR_MS, is_held, NULL);
		l->found_count = lineage_diff(lineage, listed, count, g == 0, 0, NOW_MS, found);
		for (size_t i = 0; i < l->found_count; i++) {
			assert_int_equal(found[i].kind, g == 0 ? LINEAGE_ROOT : LINEAGE_CHILD);
			lineage_add(lineage, found[i].shard->id,
				    lineage_find(lineage, found[i].parent));
		}
		found_all += (uint32_t)l->found_count;
		most = lineage->count > most ? lineage->count : most;
	}
	assert_int_equal(found_all, SHARDS * GENERATIONS); /* none twice */
	assert_in_range(most, SHARDS * LISTED, SHARDS * (LISTED + 13));
	assert_true(lineage->capacity <= 2 * most);
	assert_true(*lineage->shards[0].id); /* needed all the time */
	for (uint32_t i = 0; i < lineage->count; i++) {
		const struct lineage_shard *s = &lineage->shards[i];

		if (!*s->id)
			continue;
		assert_int_equal(lineage_find(lineage, s->id), i);
		if (s->parent != LINEAGE_NONE) /* never of another shard that took its place */
			assert_true(lineage_created_ms(lineage->shards[s->parent].id) ==
				    lineage_created_ms(s->id) - 4 * HOUR_MS);
	}
	free(listed);
	free(found);
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

/* As where this machine's clock is behind: the shard was still open at the start. */
static void a_child_made_after_now_has_its_parent_read(void **state)
{
	struct listing *l = *state;
	char open[66], ended[66], child[66];

	list(l, shard_id(NOW_MS - 4 * HOUR_MS, 1, ended), "", true);
	list(l, shard_id(NOW_MS, 2, open), ended, true);
	list(l, shard_id(NOW_MS + 60000, 3, child), open, false);
	diff(l, true, NOW_MS);
	assert_int_equal(kind_of(l, ended), LINEAGE_UNREAD);
	assert_int_equal(kind_of(l, open), LINEAGE_ROOT);
	assert_int_equal(kind_of(l, child), LINEAGE_CHILD);
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

/* As behind a crash in the middle of the first listing: what was left out is neither lost nor read,
 * where it certainly ended before the start. */
static void a_later_listing_leaves_out_what_certainly_ended_before(void **state)
{
	struct listing *l = *state;
	char old[66], ended[66], near[66], child[66];

	for (int now = 0; now < 2; now++) {
		int64_t start_ms = now ? NOW_MS : NOW_MS - 3 * HOUR_MS;

		lineage_release(&l->lineage);
		lineage_init(&l->lineage);
		l->count = 0;
		shard_id(NOW_MS - 20 * HOUR_MS, 1, old);
		shard_id(start_ms - HOUR_MS - 1, 2, ended);
		shard_id(start_ms - HOUR_MS, 3, near);
		shard_id(start_ms - HOUR_MS, 4, child);
		list(l, old, "gone", true);
		list(l, ended, old, true);
		list(l, near, "gone, too", true);
		list(l, child, near, false);
		lineage_add(&l->lineage, child, LINEAGE_NONE);
		diff(l, false, start_ms);
		assert_int_equal(l->found_count, 3);
		assert_int_equal(kind_of(l, old), LINEAGE_UNREAD);
		assert_int_equal(kind_of(l, ended), LINEAGE_CHILD);
		assert_int_equal(kind_of(l, near), LINEAGE_ORPHAN);
	}
}

/* What is lost to a later listing where only a part was stored goes first. */
static void roots_and_what_is_before_them_go_first(void **state)
{
	struct listing *l = *state;
	struct lineage_found ordered[6];

	list(l, "a", "", true);
	list(l, "b", "a", true);
	list(l, "c", "b", false);
	list(l, "d", "gone", true);
	list(l, "e", "", false);
	list(l, "f", "e", false);
	diff(l, true, NOW_MS);
	assert_int_equal(l->found_count, 6);
	assert_int_equal(lineage_order(l->found, l->found_count, ordered), 4);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(ordered[i].shard->id[0], "acdebf"[i]);

	/* Only these were stored: the others are found again, and nothing is lost. */
	for (size_t i = 0; i < 4; i++)
		lineage_add(&l->lineage, ordered[i].shard->id, LINEAGE_NONE);
	diff(l, false, NOW_MS);
	assert_int_equal(l->found_count, 2);
	assert_int_equal(kind_of(l, "b"), LINEAGE_CHILD);
	assert_int_equal(kind_of(l, "f"), LINEAGE_CHILD);
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

static void a_start_of_now_counts_in_the_first_listing_only(void **state)
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

static void of_one_shard_nothing_else_is_wanted(void **state)
{
	struct listing *l = *state;

	list(l, "a", "", true);
	list(l, "b", "", true);
	diff(l, true, 0);
	know(l);
	/* One that came before its parent. */
	lineage_add(&l->lineage, "a2", LINEAGE_NONE);
	lineage_add(&l->lineage, "a1", lineage_find(&l->lineage, "a"));
	lineage_link(&l->lineage, lineage_find(&l->lineage, "a2"), lineage_find(&l->lineage, "a1"));
	list(l, "a3", "a2", true);
	list(l, "a4", "a3", false);
	list(l, "b1", "b", true);
	list(l, "b2", "b1", false);
	list(l, "c", "never-seen", true);
	list(l, "c1", "c", false);
	diff(l, false, 0);
	lineage_only_below(&l->lineage, "a", l->found, l->found_count);
	assert_int_equal(kind_of(l, "a3"), LINEAGE_CHILD);
	assert_int_equal(kind_of(l, "a4"), LINEAGE_CHILD);
	assert_int_equal(kind_of(l, "b1"), LINEAGE_UNREAD);
	assert_int_equal(kind_of(l, "b2"), LINEAGE_UNREAD);
	assert_int_equal(kind_of(l, "c"), LINEAGE_ORPHAN);
	assert_int_equal(kind_of(l, "c1"), LINEAGE_CHILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(of_one_shard_nothing_else_is_wanted, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_first_listing_has_roots_and_children, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			parents_come_before_children_whatever_the_listing_says, setup, teardown),
		cmocka_unit_test_setup_teardown(later_a_shard_needs_a_parent_that_is_known, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_known_is_not_found_again, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_of_a_moving_listing_may_name_a_shard_twice,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_young_root_may_be_listed_late, setup, teardown),
		cmocka_unit_test_setup_teardown(a_loop_of_parents_is_cut_at_its_oldest, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_loop_through_a_known_shard_is_cut_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_listing_of_one_chain_takes_no_time, setup,
						teardown),
		cmocka_unit_test_setup_teardown(of_a_shard_listed_twice_the_closed_one_counts,
						setup, teardown),
		cmocka_unit_test_setup_teardown(the_newest_child_of_a_shard_is_known, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_month_of_rotation_takes_bounded_memory, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_empty_listing_finds_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_start_of_now_wants_nothing_that_is_closed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_child_made_after_now_has_its_parent_read, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_start_in_the_past_leaves_out_what_certainly_ended_before, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_later_listing_leaves_out_what_certainly_ended_before, setup, teardown),
		cmocka_unit_test_setup_teardown(roots_and_what_is_before_them_go_first, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_child_whose_id_tells_no_time_has_its_parent_read,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_start_of_now_counts_in_the_first_listing_only,
						setup, teardown),
		cmocka_unit_test(the_creation_time_stands_in_the_id),
		cmocka_unit_test(thousands_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
