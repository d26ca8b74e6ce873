/* Which DescribeStream call comes next: against a service in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "consumer/search.h"

#define AWS_MS     1763700000000 /* at boot */
#define HOUR_MS    (3600 * 1000)
#define RTT_MS     20
#define PAGE       100
#define SHARDS_MAX 6000
#define NEVER_MS   INT64_MAX

struct fake_shard {
	struct streams_shard shard;
	int64_t listed_ms; /* from then on */
	bool told;         /* was found */
};

struct fake_call {
	int64_t at_ms; /* when it is answered */
	char after[STREAMS_SHARD_MAX + 1], parent[STREAMS_SHARD_MAX + 1];
	struct search_ask ask;
};

struct fake {
	struct search *search;
	struct fake_call out[QUOTA_CALLS + 1];
	size_t outs;
	int64_t now_ms;
	struct fake_shard *shards; /* of stream 0, by id */
	size_t count;
	enum streams_status status;
	bool refuses_filter, ignores_filter, unsorted, gone;
	int64_t *calls_ms; /* when they arrived */
	size_t calls, calls_capacity, child_calls, pages;
	unsigned throttle, fail; /* the next so many calls */
	size_t completes, complete_count, partials, dones, failures, gones;
	enum error_kind failed;
	char last_done[STREAMS_SHARD_MAX + 1];
};

/* --- what it is told --- */

/* By its number, which stands at the end of its id. */
static struct fake_shard *shard_of(struct fake *f, const char *id)
{
	size_t i = strtoul(strrchr(id, '-') + 1, NULL, 16);

	return i < f->count && strcmp(f->shards[i].shard.id, id) == 0 ? &f->shards[i] : NULL;
}

static void on_found(void *arg, uint32_t stream, const struct discover_listing *l)
{
	struct fake *f = arg;

	if (l->complete)
		f->complete_count = l->count;
	f->completes += l->complete;
	f->partials += !l->complete;
	for (size_t i = 0; stream == 0 && i < l->count; i++) {
		if (l->parent)
			assert_string_equal(l->shards[i].parent, l->parent);
		shard_of(f, l->shards[i].id)->told = true;
	}
}

static void on_done(void *arg, uint32_t stream, const char *parent)
{
	struct fake *f = arg;

	(void)stream;
	f->dones++;
	snprintf(f->last_done, sizeof(f->last_done), "%s", parent);
}

static void on_failed(void *arg, uint32_t stream, const struct error *err)
{
	struct fake *f = arg;

	(void)stream;
	f->failures++;
	f->failed = err->kind;
}

static void on_gone(void *arg, uint32_t stream)
{
	struct fake *f = arg;

	assert_int_equal(stream, 0);
	f->gones++;
}

static int setup(void **state)
{
	static struct fake f;
	struct search_settings s = { .found = on_found,
				     .done = on_done,
				     .failed = on_failed,
				     .gone = on_gone,
				     .arg = &f,
				     .seed = 7 };

	f = (struct fake){ .now_ms = HOUR_MS, .status = STREAM_ENABLED, .search = search_new(&s) };
	f.shards = memory_array(SHARDS_MAX, sizeof(*f.shards));
	search_add(f.search, 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;

	for (struct error err = { .kind = ERROR_CANCELLED }; f->outs > 0;)
		search_answer(f->search, f->out[--f->outs].ask.call, &err, NULL, f->now_ms);
	search_free(f->search);
	free(f->shards);
	free(f->calls_ms);
	return 0;
}

/* --- the service --- */

static const char *list_shard(struct fake *f, int64_t created_ms, const char *parent,
			      int64_t listed_ms)
{
	struct fake_shard *s;

	assert_true(f->count < SHARDS_MAX);
	s = &f->shards[f->count];
	*s = (struct fake_shard){ .listed_ms = listed_ms };
	snprintf(s->shard.id, sizeof(s->shard.id), "shardId-%020lld-%08zx",
		 (long long)(AWS_MS + created_ms), f->count);
	snprintf(s->shard.parent, sizeof(s->shard.parent), "%s", parent);
	f->count++;
	return s->shard.id;
}

static bool in_page(const struct fake *f, const struct fake_shard *s, const struct search_ask *ask)
{
	if (s->listed_ms > f->now_ms || (*ask->after && strcmp(s->shard.id, ask->after) <= 0))
		return false;
	return !ask->parent || f->ignores_filter || strcmp(s->shard.parent, ask->parent) == 0;
}

static void page(struct fake *f, const struct search_ask *ask, struct streams_description *d,
		 struct streams_shard shards[PAGE])
{
	bool unknown = *ask->after && !shard_of(f, ask->after);

	d->shards = shards;
	for (size_t k = 0; k < f->count && !unknown; k++) {
		const struct fake_shard *s = &f->shards[f->unsorted ? f->count - 1 - k : k];

		if (!in_page(f, s, ask))
			continue;
		if (d->shard_count == PAGE) {
			memcpy(d->last_shard, shards[PAGE - 1].id, sizeof(d->last_shard));
			return;
		}
		shards[d->shard_count++] = s->shard;
	}
}

static void answer(struct fake *f, const struct search_ask *ask)
{
	struct streams_description d = { .status = f->status };
	struct streams_shard shards[PAGE];
	struct error err = { 0 };

	if (f->throttle > 0) {
		f->throttle--;
		error_set(&err, ERROR_THROTTLED, "slow down");
	} else if (f->fail > 0) {
		f->fail--;
		error_set(&err, ERROR_RETRY, "away");
	} else if (f->gone && ask->stream == 0) {
		error_set(&err, ERROR_NOT_FOUND, "no such stream");
	} else if (ask->parent && f->refuses_filter) {
		error_set(&err, ERROR_INVALID, "no such member");
	} else if (ask->stream == 0) {
		page(f, ask, &d, shards);
	}
	search_answer(f->search, ask->call, &err, &d, f->now_ms);
}

static void note_call(struct fake *f, const struct search_ask *ask)
{
	if (f->calls == f->calls_capacity) {
		f->calls_capacity = f->calls_capacity ? 2 * f->calls_capacity : 64;
		f->calls_ms = memory_resize(f->calls_ms, f->calls_capacity * sizeof(int64_t));
	}
	f->calls_ms[f->calls++] = f->now_ms;
	f->child_calls += ask->parent != NULL;
	f->pages += ask->parent == NULL;
}

static void make_calls(struct fake *f)
{
	struct fake_call *c = &f->out[f->outs];

	while (f->outs < QUOTA_CALLS &&
	       search_next(f->search, f->now_ms, AWS_MS + f->now_ms, &c->ask)) {
		note_call(f, &c->ask);
		c->at_ms = f->now_ms + RTT_MS;
		snprintf(c->after, sizeof(c->after), "%s", c->ask.after);
		snprintf(c->parent, sizeof(c->parent), "%s", c->ask.parent ? c->ask.parent : "");
		c = &f->out[++f->outs];
	}
	if (f->calls > QUOTA_CALLS)
		assert_true(f->calls_ms[f->calls - 1] - f->calls_ms[f->calls - 1 - QUOTA_CALLS] >=
			    1000);
}

/* Lets so much time pass. Calls are answered after a while, in the order in which they were made.
 */
static void pass(struct fake *f, int64_t ms)
{
	for (int64_t end_ms = f->now_ms + ms, next_ms; f->now_ms < end_ms; f->now_ms = next_ms) {
		while (f->outs > 0 && f->out[0].at_ms <= f->now_ms) {
			struct fake_call c = f->out[0];

			c.ask.after = c.after;
			c.ask.parent = c.ask.parent ? c.parent : NULL;
			memmove(f->out, f->out + 1, --f->outs * sizeof(c));
			answer(f, &c.ask);
		}
		make_calls(f);
		next_ms = search_wake_ms(f->search, f->now_ms);
		if (f->outs > 0 && f->out[0].at_ms < next_ms)
			next_ms = f->out[0].at_ms;
		if (next_ms <= f->now_ms)
			next_ms = f->now_ms + 1;
		if (next_ms > end_ms)
			next_ms = end_ms;
	}
}

static size_t told(const struct fake *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->count; i++)
		n += f->shards[i].told;
	return n;
}

/* `count` shards of some hours ago, listed completely. */
static void begin(struct fake *f, size_t count)
{
	for (size_t i = 0; i < count; i++)
		list_shard(f, -5 * HOUR_MS + (int64_t)i, "", 0);
	search_set_lister(f->search, 0, true, f->now_ms);
	while (f->completes == 0)
		pass(f, 10);
	pass(f, 1000);
	assert_int_equal(f->complete_count, count);
	f->calls = f->child_calls = f->pages = f->partials = 0;
}

/* --- */

static void a_shard_that_ends_costs_one_call(void **state)
{
	struct fake *f = *state;
	int64_t began_ms;

	begin(f, 250);
	list_shard(f, f->now_ms, f->shards[7].shard.id, 0);
	list_shard(f, f->now_ms + 1, f->shards[7].shard.id, 0);
	began_ms = f->now_ms;
	search_children(f->search, 0, f->shards[7].shard.id, f->now_ms);
	pass(f, 100);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->calls, 1);
	assert_int_equal(f->calls_ms[0], began_ms);
	assert_true(f->shards[250].told && f->shards[251].told);
}

/* Just after a close the answer may be empty (aws-semantics, 1.3). */
static void children_that_come_late_are_asked_for_again(void **state)
{
	struct fake *f = *state;

	begin(f, 250);
	list_shard(f, f->now_ms, f->shards[7].shard.id, f->now_ms + 700);
	search_children(f->search, 0, f->shards[7].shard.id, f->now_ms);
	pass(f, 600);
	assert_int_equal(f->dones, 0);
	pass(f, 2000);
	assert_int_equal(f->dones, 1);
	assert_true(f->shards[250].told);
	assert_in_range(f->calls, 2, 10);
	assert_int_equal(f->pages, 0);
}

/* A thousand that split: some twenty pages instead of a thousand calls. */
static void many_ends_share_the_tail(void **state)
{
	struct fake *f = *state;
	int64_t began_ms;

	begin(f, 4000);
	for (int64_t i = 0; i < 500; i++)
		for (int64_t k = 0; k < 2; k++)
			list_shard(f, f->now_ms + 2 * i + k, f->shards[3500 + i].shard.id, 0);
	f->completes = 0;
	began_ms = f->now_ms;
	for (size_t i = 0; i < 500; i++)
		search_children(f->search, 0, f->shards[3500 + i].shard.id, f->now_ms);
	while (f->dones < 500)
		pass(f, 50);
	assert_true(f->now_ms - began_ms < 3000);
	assert_in_range(f->calls, 10, 14);
	assert_int_equal(f->completes, 0); /* a part is never told as the whole */
	for (size_t i = 4000; i < 5000; i++)
		assert_true(f->shards[i].told);
}

/* The net's tail is between two pages when shards end that wait for it. */
static void a_tail_that_has_begun_hurries_up(void **state)
{
	struct fake *f = *state;
	struct fake_call c;

	begin(f, 4000);
	while (f->outs == 0 || strcmp(f->out[0].after, f->shards[3998].shard.id) != 0)
		pass(f, 1);
	for (int64_t i = 0; i < 300; i++)
		list_shard(f, f->now_ms + i, f->shards[3700 + i].shard.id, 0);
	c = f->out[--f->outs];
	f->now_ms = c.at_ms;
	c.ask.after = c.after;
	answer(f, &c.ask);
	for (size_t i = 0; i < 300; i++)
		search_children(f->search, 0, f->shards[3700 + i].shard.id, f->now_ms);
	make_calls(f);
	assert_int_equal(f->outs, 1);
	assert_string_equal(f->out[0].after, f->shards[4098].shard.id);
}

/* Some end while the tail of the others is read, after the pages with their children: these come
 * again, as nobody waited for them, and no call is made for it. */
static void children_that_were_listed_too_early_come_again(void **state)
{
	struct fake *f = *state;

	begin(f, 4000);
	for (int64_t i = 0; i < 500; i++)
		for (int64_t k = 0; k < 2; k++)
			list_shard(f, f->now_ms + 2 * i + k, f->shards[3500 + i].shard.id, 0);
	for (size_t i = 200; i < 500; i++)
		search_children(f->search, 0, f->shards[3500 + i].shard.id, f->now_ms);
	while (f->partials < 5)
		pass(f, 1);
	for (size_t i = 0; i < 200; i++)
		search_children(f->search, 0, f->shards[3500 + i].shard.id, f->now_ms);
	for (size_t i = 0; i < 2 * 200; i++) {
		assert_true(f->shards[4000 + i].told);
		f->shards[4000 + i].told = false;
	}
	while (f->dones < 500)
		pass(f, 50);
	assert_in_range(f->calls, 10, 14);
	for (size_t i = 4000; i < 5000; i++)
		assert_true(f->shards[i].told);
}

/* Those that no tail shows are ended by a complete listing alone. */
static void a_tail_proves_no_end(void **state)
{
	struct fake *f = *state;
	size_t ends;

	begin(f, 300);
	f->completes = 0;
	for (size_t i = 0; i < 50; i++)
		search_children(f->search, 0, f->shards[i].shard.id, f->now_ms);
	pass(f, 4000);
	assert_int_equal(f->dones, 0);
	for (ends = 0; f->dones < 50; ends++)
		pass(f, 100);
	assert_true(f->completes >= 1);
}

static void a_shard_of_a_disabled_stream_is_not_asked_again(void **state)
{
	struct fake *f = *state;

	begin(f, 120);
	f->status = STREAM_DISABLED;
	f->completes = 0;
	search_children(f->search, 0, f->shards[3].shard.id, f->now_ms);
	pass(f, 400);
	assert_int_equal(f->child_calls, 1);
	assert_int_equal(f->completes, 1);
	assert_int_equal(f->dones, 1);
}

static void without_the_filter_tails_do(void **state)
{
	struct fake *f = *state;

	begin(f, 250);
	f->refuses_filter = true;
	for (size_t i = 0; i < 5; i++) {
		list_shard(f, f->now_ms, f->shards[7 + i].shard.id, 0);
		search_children(f->search, 0, f->shards[7 + i].shard.id, f->now_ms);
		pass(f, 3000);
		assert_int_equal(f->dones, i + 1);
		assert_true(f->shards[250 + i].told);
	}
	assert_int_equal(f->child_calls, 3); /* then it is known */
	assert_int_equal(f->failures, 0);
}

static void a_filter_that_is_read_over_is_noticed(void **state)
{
	struct fake *f = *state;

	begin(f, 250);
	f->ignores_filter = true;
	list_shard(f, f->now_ms, f->shards[240].shard.id, 0);
	search_children(f->search, 0, f->shards[240].shard.id, f->now_ms);
	pass(f, 3000);
	assert_int_equal(f->dones, 1);
	assert_true(f->shards[250].told);
	assert_int_equal(f->child_calls, 1);
}

/* A service with another order has no tails: what is behind a shard is not what is new. */
static void a_listing_in_another_order_is_read_from_the_start(void **state)
{
	struct fake *f = *state;

	f->unsorted = true;
	f->refuses_filter = true;
	begin(f, 90);
	f->completes = 0;
	for (size_t i = 0; i < 4; i++) {
		list_shard(f, f->now_ms, f->shards[7 + i].shard.id, 0);
		search_children(f->search, 0, f->shards[7 + i].shard.id, f->now_ms);
	}
	pass(f, 20000);
	assert_int_equal(f->dones, 4);
	assert_true(f->completes >= 1);
	assert_int_equal(f->partials, 0);
	for (size_t i = 90; i < 94; i++)
		assert_true(f->shards[i].told || f->completes > 0);
}

/* Where the tail's start has left the listing, its answers are empty. */
static void a_start_that_is_gone_is_replaced(void **state)
{
	struct fake *f = *state;

	begin(f, 350);
	for (size_t i = 0; i < 350; i++) /* all that was listed is gone */
		f->shards[i].listed_ms = NEVER_MS;
	for (size_t i = 0; i < 350; i++)
		f->shards[i].shard.id[8] = '9';
	for (int64_t i = 0; i < 20; i++)
		list_shard(f, f->now_ms + i, "", 0);
	f->completes = 0;
	pass(f, 10 * 60 * 1000);
	assert_true(f->completes >= 1);
	assert_int_equal(told(f), 370);
}

static void an_empty_listing_is_believed_in_the_end(void **state)
{
	struct fake *f = *state;

	f->status = STREAM_ENABLING;
	search_set_lister(f->search, 0, true, f->now_ms);
	pass(f, 120 * 1000);
	assert_int_equal(f->completes, 0); /* not while it is being enabled */
	f->status = STREAM_ENABLED;
	pass(f, 60 * 1000);
	assert_true(f->completes >= 1);
	assert_int_equal(f->complete_count, 0);
}

static void a_stream_that_is_gone_is_told_as_such(void **state)
{
	struct fake *f = *state;

	begin(f, 10);
	search_children(f->search, 0, f->shards[0].shard.id, f->now_ms);
	f->gone = true;
	pass(f, 30);
	assert_int_equal(f->gones, 0); /* a shard may be unknown, and its stream is not */
	search_list(f->search, 0, f->now_ms);
	pass(f, 60 * 1000);
	assert_true(f->gones >= 2);
	assert_int_equal(f->complete_count, 0);
}

static void a_page_that_fails_is_read_again_alone(void **state)
{
	struct fake *f = *state;

	for (size_t i = 0; i < 1000; i++)
		list_shard(f, -5 * HOUR_MS + (int64_t)i, "", 0);
	search_set_lister(f->search, 0, true, f->now_ms);
	pass(f, 70);
	f->fail = 2;
	f->throttle = 2;
	pass(f, 60 * 1000);
	assert_true(f->completes >= 1);
	assert_int_equal(f->complete_count, 1000);
	assert_in_range(f->pages, 14, 30); /* and a turn or two of the net */
	assert_int_equal(f->failures, 4);
	assert_int_equal(told(f), 1000);
}

/* What the net takes is bounded, whatever is listed; and it finds what has no parent to ask for. */
static void the_net_takes_a_part_of_the_calls(void **state)
{
	struct fake *f = *state;

	begin(f, 4500);
	pass(f, 300 * 1000);
	assert_in_range(f->calls, 10, 300 * 4);
	list_shard(f, f->now_ms, "", 0);
	pass(f, 70 * 1000); /* a turn reads the tail */
	assert_true(f->shards[4500].told);
}

static void two_hundred_streams(void **state)
{
	struct fake *f = *state;

	begin(f, 30);
	for (uint32_t i = 1; i < 200; i++) {
		search_add(f->search, i);
		search_set_lister(f->search, i, true, f->now_ms);
	}
	f->completes = 0;
	/* Listings without a shard are asked for five times each before they are believed. */
	pass(f, 30 * 1000);
	list_shard(f, f->now_ms, f->shards[7].shard.id, 0);
	search_children(f->search, 0, f->shards[7].shard.id, f->now_ms);
	pass(f, 2200); /* it goes before all of them */
	assert_int_equal(f->dones, 1);
	pass(f, 150 * 1000);
	assert_true(f->completes >= 199);
	f->calls = 0;
	pass(f, 1000 * 1000);
	assert_in_range(f->calls, 1000, 1000 * 5);
	for (uint32_t i = 1; i < 200; i += 2)
		search_remove(f->search, i);
	pass(f, 10 * 1000);
	search_add(f->search, 1);
	search_list(f->search, 1, f->now_ms);
	pass(f, 60 * 1000);
}

/* A page that was out when its stream went says nothing any more. */
static void a_stream_goes_while_a_call_is_out(void **state)
{
	struct fake *f = *state;
	struct search_ask page_ask, child_ask;

	begin(f, 250);
	pass(f, 1000);
	search_list(f->search, 0, f->now_ms);
	search_children(f->search, 0, f->shards[3].shard.id, f->now_ms);
	assert_true(search_next(f->search, f->now_ms, AWS_MS + f->now_ms, &child_ask));
	assert_true(search_next(f->search, f->now_ms, AWS_MS + f->now_ms, &page_ask));
	assert_non_null(child_ask.parent);
	child_ask.parent = f->shards[3].shard.id;
	page_ask.after = "";
	search_remove(f->search, 0);
	f->completes = 0;
	answer(f, &page_ask);
	answer(f, &child_ask);
	assert_int_equal(f->completes + f->partials + f->dones, 0);
	assert_true(search_wake_ms(f->search, f->now_ms) > f->now_ms);
}

static void a_listing_on_request_begins_after_it(void **state)
{
	struct fake *f = *state;

	begin(f, 250);
	search_set_lister(f->search, 0, false, f->now_ms);
	f->completes = 0;
	pass(f, 600 * 1000);
	assert_int_equal(f->completes, 0); /* somebody else lists */
	search_list(f->search, 0, f->now_ms + 5000);
	pass(f, 4900);
	assert_int_equal(f->calls, 0);
	pass(f, 300);
	assert_int_equal(f->completes, 1);
	search_list(f->search, 0, f->now_ms);
	pass(f, 30); /* under way */
	search_list(f->search, 0, f->now_ms);
	pass(f, 1000);
	assert_int_equal(f->completes, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_shard_that_ends_costs_one_call),
		TEST(children_that_come_late_are_asked_for_again),
		TEST(many_ends_share_the_tail),
		TEST(children_that_were_listed_too_early_come_again),
		TEST(a_tail_that_has_begun_hurries_up),
		TEST(a_tail_proves_no_end),
		TEST(a_shard_of_a_disabled_stream_is_not_asked_again),
		TEST(without_the_filter_tails_do),
		TEST(a_filter_that_is_read_over_is_noticed),
		TEST(a_listing_in_another_order_is_read_from_the_start),
		TEST(a_start_that_is_gone_is_replaced),
		TEST(an_empty_listing_is_believed_in_the_end),
		TEST(a_stream_that_is_gone_is_told_as_such),
		TEST(a_page_that_fails_is_read_again_alone),
		TEST(the_net_takes_a_part_of_the_calls),
		TEST(two_hundred_streams),
		TEST(a_stream_goes_while_a_call_is_out),
		TEST(a_listing_on_request_begins_after_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
