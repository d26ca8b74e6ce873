/* Which of the lanes that are due is fetched: the real core in virtual time, with shards that are
 * idle, that trickle, that are behind or that throttle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "consumer/core.h"

#define LANES_MAX   12000
#define STREAMS_MAX 4
#define ACTIONS_MAX 64
#define LATENCY_MS  10

/* A record each TRICKLE_MS: TRICKLE. */
enum kind { IDLE, WARM, BEHIND, OLD, TRICKLE };
#define TRICKLE_MS 13

struct shard {
	enum kind kind;
	bool out; /* a request is under way */
	int64_t asked_ms, longest_ms;
	uint64_t calls;
	int end;
	int64_t read_ms; /* TRICKLE: what came until then */
};

static struct {
	struct core core;
	uint32_t sink;
	int64_t now_ms;
	struct shard shards[LANES_MAX];
	uint32_t out[LANES_MAX]; /* requests in the order of their answers */
	int64_t answer_ms[LANES_MAX];
	size_t out_first, out_count;
	uint64_t calls[STREAMS_MAX], throttled[STREAMS_MAX];
	/* More calls than these in a second are throttled; 0: none. */
	uint64_t limit[STREAMS_MAX], this_second[STREAMS_MAX];
	uint64_t steps;
	int64_t waited_ms,
		waited_longest_ms; /* records of TRICKLE, from their coming to their page */
	size_t waited;
} t;

static struct sequence at(int n)
{
	struct sequence s;
	struct error err;
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", 100000 + n);

	assert_true(sequence_parse(&s, (struct str){ text, (size_t)length }, &err));
	return s;
}

static void begin(uint32_t streams, const int64_t *budgets, uint32_t fetches_max)
{
	struct core_settings settings = { .memory_bytes = INT64_MAX / 2,
					  .save_interval_ms = 60000,
					  .fetches_max = fetches_max,
					  .lanes_max = LANES_MAX,
					  .seed = 1 };

	memset(&t, 0, sizeof(t));
	t.now_ms = 5000000;
	core_init(&t.core, &settings);
	t.sink = core_add_sink(&t.core, SINK_IMMEDIATE);
	for (uint32_t i = 0; i < streams; i++) {
		struct pacing_limits limits = { .min_ms = 100,
						.max_ms = 5000,
						.budget = budgets[i] };

		assert_int_equal(core_add_stream(&t.core, &limits, &t.sink, 1), i);
	}
}

static void asked(uint32_t lane)
{
	struct shard *s = &t.shards[lane];
	uint32_t stream = t.core.lanes[lane].stream;
	size_t last = (t.out_first + t.out_count++) % LANES_MAX;

	assert_false(s->out); /* a shard has room for two readers, one of them somebody else's */
	s->out = true;
	s->calls++;
	if (t.now_ms - s->asked_ms > s->longest_ms)
		s->longest_ms = t.now_ms - s->asked_ms;
	s->asked_ms = t.now_ms;
	t.calls[stream]++;
	t.this_second[stream]++;
	t.out[last] = lane;
	t.answer_ms[last] = t.now_ms + LATENCY_MS;
}

static void feed(struct core_event e)
{
	struct core_action actions[ACTIONS_MAX];
	uint32_t lane;
	int64_t due_ms;
	size_t n;

	e.now_ms = t.now_ms;
	do {
		n = core_step(&t.core, &e, actions, ACTIONS_MAX);
		t.steps++;
		for (size_t i = 0; i < n; i++) {
			if (actions[i].type == CORE_FETCH)
				asked(actions[i].lane);
			if (actions[i].type == CORE_SAVE)
				feed((struct core_event){ .type = CORE_SAVED });
		}
		e = (struct core_event){ .type = CORE_TICK, .now_ms = t.now_ms };
	} while (n == ACTIONS_MAX);
	/* Nobody is looked at again and again while it cannot be asked. */
	if (heap_top(&t.core.due, &lane, &due_ms) && t.core.fetches < t.core.settings.fetches_max &&
	    !t.core.stopping)
		assert_true(due_ms > t.now_ms);
}

static void add(uint32_t stream, enum kind kind, int count)
{
	struct core_lane_start start = { .stream = stream, .parent = CORE_NONE, .store_id = 1 };

	while (count-- > 0) {
		uint32_t lane = core_add_lane(&t.core, &start, t.now_ms);

		t.shards[lane] = (struct shard){ .kind = kind,
						 .asked_ms = t.now_ms,
						 .read_ms = t.now_ms - count % TRICKLE_MS };
	}
	feed((struct core_event){ .type = CORE_TICK });
}

/* What has come since the last page. */
static size_t trickle(struct shard *s)
{
	size_t records = 0;

	for (; s->read_ms + TRICKLE_MS <= t.now_ms; records++) {
		int64_t ms = t.now_ms - (s->read_ms += TRICKLE_MS);

		t.waited_ms += ms;
		t.waited++;
		t.waited_longest_ms = ms > t.waited_longest_ms ? ms : t.waited_longest_ms;
	}
	return records;
}

static void answer_first(void)
{
	uint32_t lane = t.out[t.out_first], stream = t.core.lanes[lane].stream;
	struct shard *s = &t.shards[lane];
	struct core_event e = { .type = CORE_PAGE, .lane = lane, .limit = 1000 };
	struct core_event taken = { .type = CORE_ANSWER, .lane = lane, .sink = t.sink };

	t.out_first = (t.out_first + 1) % LANES_MAX;
	t.out_count--;
	s->out = false;
	if (t.limit[stream] > 0 && t.this_second[stream] > t.limit[stream]) {
		t.throttled[stream]++;
		e = (struct core_event){ .type = CORE_FETCH_FAILED,
					 .lane = lane,
					 .failure = ERROR_THROTTLED };
	} else {
		e.records = s->kind == IDLE      ? 0
			    : s->kind == BEHIND  ? 1000
			    : s->kind == TRICKLE ? trickle(s)
						 : 1;
		e.age_ms = s->kind == OLD ? 3600000 : 1000;
	}
	if (e.records > 0) {
		e.bytes = e.records * 100;
		e.end = at(++s->end);
		e.end_ms = 1;
	}
	feed(e);
	if (e.records > 0)
		feed(taken);
}

static void run(int64_t ms)
{
	int64_t until_ms = t.now_ms + ms;

	for (;;) {
		int64_t next_ms = core_wake_ms(&t.core);

		if (t.out_count > 0 && t.answer_ms[t.out_first] < next_ms)
			next_ms = t.answer_ms[t.out_first];
		if (next_ms > until_ms)
			break;
		assert_true(next_ms >= t.now_ms);
		if (next_ms / 1000 != t.now_ms / 1000)
			memset(t.this_second, 0, sizeof(t.this_second));
		t.now_ms = next_ms;
		if (t.out_count > 0 && t.answer_ms[t.out_first] <= next_ms)
			answer_first();
		else
			feed((struct core_event){ .type = CORE_TICK });
	}
	t.now_ms = until_ms;
}

static uint64_t calls_of(enum kind kind)
{
	uint64_t calls = 0;

	for (uint32_t i = 0; i < t.core.lane_count; i++)
		calls += t.shards[i].kind == kind ? t.shards[i].calls : 0;
	return calls;
}

static int64_t longest_of(enum kind kind)
{
	int64_t longest = 0;

	for (uint32_t i = 0; i < t.core.lane_count; i++) {
		const struct shard *s = &t.shards[i];
		int64_t since = t.now_ms - s->asked_ms;

		if (s->kind != kind)
			continue;
		longest = s->longest_ms > longest ? s->longest_ms : longest;
		longest = since > longest ? since : longest;
	}
	return longest;
}

/* --- one stream --- */

static void a_budget_is_kept_used_up_and_shared(void **state)
{
	int64_t budget = 50;

	(void)state;
	begin(1, &budget, 64);
	add(0, IDLE, 1000);
	run(60000);
	assert_in_range(t.calls[0], 60 * 50, 61 * 50);
	assert_true(longest_of(IDLE) <= 1000 * 1000 / 50 + 1000);
	core_release(&t.core);
}

/* As much as there is to ask, with the smallest budget. */
static void what_waits_for_a_budget_costs_nothing(void **state)
{
	int64_t budget = 2;

	(void)state;
	begin(1, &budget, 64);
	add(0, IDLE, 10000);
	run(20000);
	assert_in_range(t.calls[0], 40, 43);
	/* An answer and two wakings a call (a call that there is, a pause that is over). */
	assert_true(t.steps <= 3 * t.calls[0] + 4);
	core_release(&t.core);
}

static void those_behind_come_before_the_idle_who_do_not_starve(void **state)
{
	/* 100 calls a second: by the budget, or as there is one request at a time. */
	static const struct {
		int64_t budget;
		uint32_t fetches_max;
	} cases[] = { { 100, 64 }, { 0, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct core_view view;

		begin(1, &cases[i].budget, cases[i].fetches_max);
		add(0, IDLE, 1000);
		add(0, BEHIND, 5);
		run(200000);
		core_view(&t.core, 0, &view);
		assert_int_equal(view.behind, 5);
		assert_in_range(calls_of(BEHIND), 13000, 15000);
		assert_in_range(calls_of(IDLE), 4900, 7000);
		/* The first round, and 4 calls for each of the idle. */
		assert_true(longest_of(IDLE) <= 40 * 1000 + 6000);
		core_release(&t.core);
	}
}

static void those_behind_come_before_those_that_trickle(void **state)
{
	int64_t budget = 40;

	(void)state;
	begin(1, &budget, 64);
	add(0, WARM, 100);
	add(0, BEHIND, 1); /* full pages */
	add(0, OLD, 1);    /* or small ones of an hour ago */
	run(100000);
	assert_in_range(calls_of(BEHIND), 1400, 1600);
	assert_in_range(calls_of(OLD), 1400, 1600);
	assert_in_range(calls_of(WARM), 950, 1200);
	core_release(&t.core);
}

/* Most shards are idle: their calls do not come out of what the others need. */
static void with_room_for_all_nobody_waits(void **state)
{
	int64_t budget = 0;

	(void)state;
	begin(1, &budget, 64);
	add(0, IDLE, 2000);
	add(0, WARM, 10);
	run(60000);
	assert_true(longest_of(IDLE) <= 5000 + LATENCY_MS);
	assert_true(calls_of(WARM) >= 10 * (60000 / LATENCY_MS) * 95 / 100);
	core_release(&t.core);
}

/* 64 shards with 5,000 records a second. A page is asked for at once behind one with records, and
 * mostly finds none; then half of poll.min to all of it is waited. */
static void records_wait_for_poll_min_at_most(void **state)
{
	int64_t budget = 0;

	(void)state;
	begin(1, &budget, 64);
	add(0, TRICKLE, 64);
	add(0, IDLE, 1000);
	run(20000); /* all shards were read, and the idle ones spread out */
	t.waited = 0;
	t.waited_ms = t.waited_longest_ms = 0;
	run(20000);
	assert_true(t.waited > 64 * 20000 / TRICKLE_MS * 98 / 100);
	assert_true(t.waited_longest_ms <= 100 + 3 * LATENCY_MS);
	assert_true(t.waited_ms / (int64_t)t.waited <= 50);
	core_release(&t.core);
}

/* --- several --- */

static void a_stream_without_calls_left_does_not_hold_up_others(void **state)
{
	int64_t budgets[] = { 1, 0, 10 };

	(void)state;
	begin(3, budgets, 4);
	add(0, BEHIND, 500);
	add(1, IDLE, 20);
	add(2, IDLE, 500);
	run(100000);
	assert_in_range(t.calls[0], 100, 101);
	assert_in_range(t.calls[1], 20 * 20, 20 * 35); /* each 2.5 to 5 s, and a few at first */
	assert_in_range(t.calls[2], 1000, 1010);
	core_release(&t.core);
}

static void streams_take_turns(void **state)
{
	int64_t budgets[] = { 0, 0, 0 };

	(void)state;
	begin(3, budgets, 1);
	add(0, BEHIND, 1);
	add(1, BEHIND, 300);
	add(2, IDLE, 3000);
	run(100000);
	/* The first has one shard, but its turn as often as the second with its 300; of the third
	 * none is behind. */
	assert_in_range(t.calls[0], 3300, 4300);
	assert_in_range(t.calls[1], 3300, 4300);
	assert_in_range(t.calls[2], 2000, 3000);
	core_release(&t.core);
}

static void a_worker_takes_its_share_of_a_budget(void **state)
{
	int64_t budget = 100;
	uint64_t before;

	(void)state;
	begin(1, &budget, 64);
	add(0, IDLE, 2000);
	run(10000);
	core_set_budget(&t.core, 0, pacing_share_milli(budget, 1, 200));
	run(10000);
	before = t.calls[0];
	run(10000);
	assert_int_equal(t.calls[0] - before, 5);
	/* More comes at once, and not only when the next of the few calls would have come. */
	core_set_budget(&t.core, 0, pacing_share_milli(budget, 1, 2));
	feed((struct core_event){ .type = CORE_TICK });
	before = t.calls[0];
	run(1000);
	assert_in_range(t.calls[0] - before, 48, 51);
	core_release(&t.core);
}

/* --- throttles --- */

static void a_throttled_stream_slows_down_and_recovers(void **state)
{
	int64_t budgets[] = { 0, 0 };
	struct core_view view, views[2];
	uint64_t before, throttled;

	(void)state;
	begin(2, budgets, 64);
	add(0, WARM, 200);
	add(1, WARM, 5);
	t.limit[0] = 200;
	run(20000);
	core_view(&t.core, 0, &view);
	assert_true(view.braking);
	before = t.calls[0];
	throttled = t.throttled[0];
	run(60000);
	/* Around what there is, with few calls for nothing. */
	assert_in_range(t.calls[0] - before, 60 * 100, 60 * 300);
	assert_true(10 * (t.throttled[0] - throttled) < 4 * (t.calls[0] - before));
	/* The other stream has nothing to do with it. */
	core_views(&t.core, views);
	for (uint32_t i = 0; i < 2; i++) {
		core_view(&t.core, i, &view);
		assert_memory_equal(view.shards, views[i].shards, sizeof(view.shards));
		assert_int_equal(view.behind, views[i].behind);
		assert_int_equal(view.limit_milli, views[i].limit_milli);
		assert_int_equal(view.braking, views[i].braking);
	}
	assert_int_equal(views[0].shards[LANE_DUE] + views[0].shards[LANE_FETCHING], 200);
	assert_int_equal(views[1].shards[LANE_DUE] + views[1].shards[LANE_FETCHING], 5);
	assert_false(view.braking);
	assert_true(t.calls[1] > 5 * (80000 / LATENCY_MS) * 7 / 10);
	t.limit[0] = 0;
	run(60000);
	core_view(&t.core, 0, &view);
	assert_false(view.braking);
	assert_int_equal(view.limit_milli, 0);
	before = t.calls[0];
	run(10000);
	assert_true(t.calls[0] - before > 20000);
	core_release(&t.core);
}

/* Several workers are throttled at the same time. */
static void workers_come_back_at_different_times(void **state)
{
	int64_t budget = 0, least = INT64_MAX, most = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 40; seed++) {
		const struct pacing_bucket *b;

		begin(1, &budget, 64);
		rng_seed(&t.core.rng, seed);
		add(0, WARM, 50);
		t.limit[0] = 1;
		b = &t.core.streams[0].bucket;
		while (b->tokens >= 0)
			run(1);
		least = -b->tokens < least ? -b->tokens : least;
		most = -b->tokens > most ? -b->tokens : most;
		core_release(&t.core);
	}
	assert_true(least < most / 5);
}

/* --- leaving --- */

/* Whoever is due stands in one place, and what leaves or stands still in none. */
static void what_leaves_takes_its_place_with_it(void **state)
{
	int64_t budgets[] = { 5, 0 };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 3);
	begin(2, budgets, 3);
	for (int round = 0; round < 300; round++) {
		uint32_t lane = (uint32_t)rng_below(&rng, t.core.lane_count + 1), ready = 0;

		add((uint32_t)rng_below(&rng, 2), (enum kind)rng_below(&rng, 3), 1);
		run((int64_t)rng_below(&rng, 200));
		if (lane < t.core.lane_count && rng_below(&rng, 2))
			feed((struct core_event){ .type = CORE_RELEASE, .lane = lane });
		else if (lane < t.core.lane_count && t.core.lanes[lane].state == LANE_DUE)
			feed((struct core_event){
				.type = CORE_STAND, .lane = lane, .sink = t.sink });
		for (uint32_t i = 0; i < t.core.lane_count; i++) {
			const struct core_lane *l = &t.core.lanes[i];

			assert_int_equal(l->ready + heap_contains(&t.core.due, i),
					 l->state == LANE_DUE);
			ready += l->ready;
		}
		for (uint32_t s = 0; s < 2; s++)
			for (int k = 0; k < PACING_CLASSES; k++) {
				uint32_t first = t.core.streams[s].ready[k], on = first;

				while (on != CORE_NONE) {
					ready--;
					assert_true(t.core.lanes[on].ready);
					on = t.core.lanes[on].ready_next;
					on = on == first ? CORE_NONE : on;
				}
			}
		assert_int_equal(ready, 0);
	}
	assert_in_range(t.calls[0], 50, 300 * 5);
	core_release(&t.core);
}

/* What waited for the budget of one stream is not in the way of the next one in its place. */
static void a_streams_place_is_used_again(void **state)
{
	struct pacing_limits limits = { .min_ms = 100, .max_ms = 5000 };
	int64_t budgets[] = { 1, 1 };

	(void)state;
	begin(2, budgets, 64);
	add(0, BEHIND, 20);
	run(5000);
	for (uint32_t i = 0; i < 20; i++)
		feed((struct core_event){ .type = CORE_RELEASE, .lane = i });
	run(61000); /* saved */
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(t.core.lanes[i].state, LANE_RELEASED);
		core_drop_lane(&t.core, i);
	}
	core_remove_stream(&t.core, 0);
	assert_int_equal(core_add_stream(&t.core, &limits, &t.sink, 1), 0);
	t.calls[0] = 0;
	add(0, WARM, 20);
	run(1000);
	assert_in_range(t.calls[0], 19 * 1000 / LATENCY_MS, 21 * 1000 / LATENCY_MS);
	core_release(&t.core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_budget_is_kept_used_up_and_shared),
		cmocka_unit_test(what_waits_for_a_budget_costs_nothing),
		cmocka_unit_test(those_behind_come_before_the_idle_who_do_not_starve),
		cmocka_unit_test(those_behind_come_before_those_that_trickle),
		cmocka_unit_test(with_room_for_all_nobody_waits),
		cmocka_unit_test(records_wait_for_poll_min_at_most),
		cmocka_unit_test(a_stream_without_calls_left_does_not_hold_up_others),
		cmocka_unit_test(streams_take_turns),
		cmocka_unit_test(a_worker_takes_its_share_of_a_budget),
		cmocka_unit_test(a_throttled_stream_slows_down_and_recovers),
		cmocka_unit_test(workers_come_back_at_different_times),
		cmocka_unit_test(what_leaves_takes_its_place_with_it),
		cmocka_unit_test(a_streams_place_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
