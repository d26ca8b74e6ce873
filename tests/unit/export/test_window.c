/* The window planner: nothing between two windows, AWS's limits, and what windows cannot tell. The
 * histories are those of a model in which one item is inserted, changed and deleted at every
 * combination of minutes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "export/window.h"

#define MIN(n)  ((int64_t)(n)*WINDOW_MINUTE_MS)
#define HOUR(n) ((int64_t)(n)*WINDOW_HOUR_MS)
/* Any time will do; this one is no whole day. */
#define DAY0 (1763700000000 - 1763700000000 % MIN(1))

static void assert_contiguous(const struct window_plan *p)
{
	assert_true(p->count > 0);
	for (size_t i = 0; i < p->count; i++) {
		const struct window *w = &p->windows[i];

		assert_true(w->to_ms - w->from_ms >= MIN(15));
		assert_true(w->to_ms - w->from_ms <= HOUR(24));
		assert_int_equal(w->from_ms % 1000, 0);
		assert_int_equal(w->to_ms % 1000, 0);
		assert_true(i == 0 || p->windows[i - 1].to_ms == w->from_ms);
	}
}

static void the_first_window_is_short_and_ends_behind_the_cut(void **state)
{
	struct window w = window_first(DAY0 + 750), next = window_next(w.to_ms, HOUR(1));

	(void)state;
	assert_int_equal(w.from_ms, DAY0 - MIN(13));
	assert_int_equal(w.to_ms, DAY0 + MIN(2));
	assert_int_equal(next.from_ms, w.to_ms);
	assert_int_equal(next.to_ms, DAY0 + MIN(62));
	/* PITR that begins at this moment has the first window of a cut 13 minutes later. */
	w = window_first(window_cut_earliest(DAY0 + 1));
	assert_true(w.from_ms >= DAY0 + 1);
	assert_true(w.from_ms < DAY0 + 1 + 1000);
	assert_int_equal(window_cut_earliest(DAY0), DAY0 + MIN(13));
}

static void windows_behind_are_counted(void **state)
{
	(void)state;
	assert_int_equal(window_behind(DAY0, HOUR(1), DAY0 - HOUR(5)), 0);
	assert_int_equal(window_behind(DAY0, HOUR(1), DAY0), 0);
	assert_int_equal(window_behind(DAY0, HOUR(1), DAY0 + HOUR(1) - 1), 0);
	assert_int_equal(window_behind(DAY0, HOUR(1), DAY0 + HOUR(1)), 1);
	assert_int_equal(window_behind(DAY0, HOUR(1), DAY0 + HOUR(72) + MIN(59)), 72);
	assert_int_equal(window_behind(DAY0, MIN(15), DAY0 + HOUR(24)), 96);
}

/* After a pause of any length the windows are made one by one until none is due. */
static void a_pause_is_caught_up_without_gap_or_overlap(void **state)
{
	(void)state;
	for (int64_t pause = 0; pause < HOUR(30); pause += MIN(7)) {
		struct window w = window_first(DAY0);
		int64_t latest_ms = w.to_ms + pause, end_ms = w.to_ms;

		for (int64_t behind = window_behind(end_ms, HOUR(1), latest_ms); behind > 0;
		     behind--) {
			w = window_next(end_ms, HOUR(1));
			assert_int_equal(w.from_ms, end_ms);
			assert_int_equal(window_state(&w, DAY0 - MIN(13), latest_ms), WINDOW_READY);
			end_ms = w.to_ms;
			assert_int_equal(window_behind(end_ms, HOUR(1), latest_ms), behind - 1);
		}
		w = window_next(end_ms, HOUR(1));
		assert_int_equal(window_state(&w, DAY0 - MIN(13), latest_ms), WINDOW_EARLY);
	}
}

static void point_in_time_recovery_bounds_a_window(void **state)
{
	struct window w = { DAY0, DAY0 + HOUR(1) };
	struct error err;

	(void)state;
	assert_int_equal(window_state(&w, DAY0, DAY0 + HOUR(1)), WINDOW_READY);
	assert_int_equal(window_state(&w, DAY0, DAY0 + HOUR(1) - 1), WINDOW_EARLY);
	assert_int_equal(window_state(&w, DAY0 + 1, DAY0 + HOUR(9)), WINDOW_LOST);
	/* Lost for good, whatever may still come. */
	assert_int_equal(window_state(&w, DAY0 + 1, DAY0), WINDOW_LOST);
	assert_false(window_lost(&w, DAY0 + MIN(30), "orders", &err));
	assert_int_equal(err.kind, ERROR_TRIMMED);
	assert_non_null(strstr(err.message, "table orders"));
	assert_non_null(strstr(err.message, "full export"));
}

static void a_baseline_covers_everything_up_to_the_present(void **state)
{
	(void)state;
	for (int64_t behind = MIN(2); behind < HOUR(80); behind += 61000) {
		struct window_plan p = { 0 };
		size_t before;

		window_plan_baseline(&p, DAY0, DAY0 + behind);
		assert_contiguous(&p);
		assert_int_equal(p.windows[0].from_ms, DAY0 - MIN(13));
		assert_int_equal(p.windows[0].to_ms, DAY0 + MIN(2));
		assert_true(window_plan_end(&p) <= DAY0 + behind);
		assert_true(DAY0 + behind - window_plan_end(&p) < MIN(15) + 1000);
		/* The fewest that AWS allows. */
		assert_true(p.count <= 1 + (size_t)((behind + HOUR(24) - 1) / HOUR(24)));
		before = p.count;
		window_plan_more(&p, window_plan_end(&p) + MIN(15) - 1);
		assert_int_equal(p.count, before);
		window_plan_more(&p, window_plan_end(&p) + HOUR(25));
		assert_int_equal(p.count, before + 2);
		assert_contiguous(&p);
		window_plan_release(&p);
	}
}

/* Every trimmed position has a cut not long behind it, and no window is shorter than allowed. */
static void assert_repairs(const int64_t *positions, size_t count, int64_t end_ms)
{
	struct window_plan p = { 0 };
	int64_t oldest = positions[0], newest = positions[0], end;

	window_plan_repair(&p, positions, count, end_ms);
	assert_contiguous(&p);
	for (size_t i = 0; i < count; i++) {
		oldest = positions[i] < oldest ? positions[i] : oldest;
		newest = positions[i] > newest ? positions[i] : newest;
	}
	assert_true(p.windows[0].from_ms <= oldest - MIN(13));
	assert_true(p.windows[0].from_ms > oldest - MIN(13) - 1000);
	end = window_plan_end(&p);
	assert_true(end > end_ms - 1000);
	assert_true(end <= (end_ms > newest + MIN(32) ? end_ms : newest + MIN(32) + 1000));
	for (size_t i = 0; i < count; i++) {
		int64_t cut = 0;

		for (size_t k = 0; k < p.count && cut == 0; k++)
			if (p.windows[k].to_ms >= positions[i] + MIN(2))
				cut = p.windows[k].to_ms;
		/* Else the stream begins before it. */
		if (positions[i] < end - MIN(5))
			assert_true(cut > 0 && cut <= positions[i] + MIN(17) + 1000);
	}
	window_plan_release(&p);
}

static void a_repair_cuts_behind_every_trimmed_position(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 5);
	for (unsigned i = 0; i < 20000; i++) {
		int64_t positions[12], end = DAY0 + HOUR(24) + (int64_t)rng_below(&rng, HOUR(60));
		size_t count = 1 + rng_below(&rng, 12);
		uint64_t spread = rng_below(&rng, 2) ? MIN(40) : HOUR(50);

		for (size_t k = 0; k < count; k++) {
			positions[k] = DAY0 + (int64_t)rng_below(&rng, spread);
			/* Where a healthy shard stands, or nearly. */
			if (rng_below(&rng, 4) == 0)
				positions[k] = end - (int64_t)rng_below(&rng, MIN(40));
		}
		assert_repairs(positions, count, end);
	}
}

static void cuts_that_lie_close_are_shared(void **state)
{
	const int64_t positions[] = { DAY0 + MIN(60), DAY0, DAY0 + MIN(5), DAY0 + MIN(9) };
	static const int64_t cuts[] = { 2, 17, 62, 600 };
	struct window_plan p = { 0 };

	(void)state;
	window_plan_repair(&p, positions, 4, DAY0 + MIN(600));
	assert_int_equal(p.count, 4);
	for (size_t i = 0; i < p.count; i++)
		assert_int_equal(p.windows[i].to_ms, DAY0 + MIN(cuts[i]));
	window_plan_release(&p);
}

static void a_repair_goes_on_with_the_windows_it_has(void **state)
{
	const int64_t positions[] = { DAY0, DAY0 + MIN(60), DAY0 + MIN(300) };
	struct window_plan whole = { 0 };

	(void)state;
	window_plan_repair(&whole, positions, 3, DAY0 + MIN(600));
	assert_int_equal(whole.count, 4);
	for (size_t have = 1; have <= whole.count; have++) {
		struct window_plan p = { 0 };

		for (size_t i = 0; i < have; i++)
			window_plan_add(&p, &whole.windows[i]);
		window_plan_repair(&p, positions, 3, DAY0 + MIN(600));
		assert_int_equal(p.count, whole.count);
		assert_memory_equal(p.windows, whole.windows, whole.count * sizeof(*whole.windows));
		window_plan_release(&p);
	}
	window_plan_release(&whole);
}

/* ---- the model: one item, its changes at whole minutes ---- */

struct change {
	int at, value; /* value 0: deleted */
};
struct history {
	struct change changes[3];
	int count;
};

/* 0: it does not exist before t. */
static int exists(const struct history *h, int64_t t)
{
	int value = 0;

	for (int i = 0; i < h->count; i++)
		if (DAY0 + MIN(h->changes[i].at) < t)
			value = h->changes[i].value;
	return value;
}

/* What the consumer has after the lines of the window [a, b). */
static int window_apply(const struct history *h, int64_t a, int64_t b, int have)
{
	bool touched = false;

	for (int i = 0; i < h->count; i++)
		touched |= DAY0 + MIN(h->changes[i].at) >= a && DAY0 + MIN(h->changes[i].at) < b;
	if (!touched || (!exists(h, a) && !exists(h, b)))
		return have;
	return exists(h, b);
}

static int stream_apply(const struct history *h, int64_t a, int64_t b, int have)
{
	for (int i = 0; i < h->count; i++)
		if (DAY0 + MIN(h->changes[i].at) >= a && DAY0 + MIN(h->changes[i].at) < b)
			have = h->changes[i].value;
	return have;
}

/* A case: the plan, delivered before it by the stream up to `position`, or by a full export of that
 * T; the stream goes on 5 min before its end, up to `until`. */
struct model {
	struct window_plan plan;
	int64_t position_ms, until_ms;
	bool full;
	unsigned histories, wrong, unforeseen, too_careful;
};

/* With every cut off by a minute, by none or by one in either direction: neighbours share cuts. */
static bool ends_wrong(const struct model *m, const struct history *h)
{
	size_t cuts = m->plan.count + 1 + m->full;
	unsigned combinations = 1;

	for (size_t i = 0; i < cuts; i++)
		combinations *= 3;
	for (unsigned c = 0; c < combinations; c++) {
		int64_t at[8];
		unsigned rest = c;
		int have;

		for (size_t i = 0; i < cuts; i++, rest /= 3) {
			int64_t cut = i > m->plan.count    ? m->position_ms
				      : i == m->plan.count ? window_plan_end(&m->plan)
							   : m->plan.windows[i].from_ms;

			at[i] = cut + MIN((int64_t)(rest % 3) - 1);
		}
		have = m->full ? exists(h, at[cuts - 1]) : stream_apply(h, DAY0, m->position_ms, 0);
		for (size_t i = 0; i < m->plan.count; i++)
			have = window_apply(h, at[i], at[i + 1], have);
		have = stream_apply(h, window_plan_end(&m->plan) - WINDOW_STREAM_OVERLAP_MS,
				    m->until_ms, have);
		if (have != exists(h, m->until_ms))
			return true;
	}
	return false;
}

/* Born at changes[first], deleted by the change behind its life. */
static bool foreseen(const struct model *m, const struct history *h)
{
	int born = -1;

	for (int i = 0; i < h->count; i++) {
		if (h->changes[i].value && born < 0)
			born = h->changes[i].at;
		if (h->changes[i].value || born < 0)
			continue;
		/* One that is born again is given back by that. */
		if (i == h->count - 1 &&
		    window_plan_misses(&m->plan, m->position_ms - 1, m->full, DAY0 + MIN(born),
				       DAY0 + MIN(h->changes[i].at), MIN(1)))
			return true;
		born = -1;
	}
	return false;
}

static void look(struct model *m, const struct history *h)
{
	bool wrong = ends_wrong(m, h), known = foreseen(m, h);

	m->histories++;
	m->wrong += wrong;
	m->unforeseen += wrong && !known;
	m->too_careful += known && !wrong;
}

static void histories(struct model *m, struct history *h, int from, int most)
{
	int until = (int)((m->until_ms - DAY0) / MIN(1));
	bool there = h->count && h->changes[h->count - 1].value;

	look(m, h);
	if (h->count == most)
		return;
	for (int at = from; at < until; at++) {
		for (int value = there ? 0 : 1; value < 2; value++) {
			h->changes[h->count] = (struct change){ at, value ? 1 + h->count : 0 };
			h->count++;
			histories(m, h, at + 1, most);
			h->count--;
		}
	}
}

static void run_model(struct model *m, int most)
{
	struct history h = { 0 };

	histories(m, &h, 0, most);
	/* What can go wrong is known beforehand, and nothing else goes wrong. */
	assert_int_equal(m->unforeseen, 0);
	assert_int_equal(m->too_careful, 0);
	window_plan_release(&m->plan);
}

static void a_repair_misses_exactly_what_is_foreseen(void **state)
{
	const int64_t p = DAY0 + MIN(20);
	struct model m = { .position_ms = p, .until_ms = DAY0 + MIN(64) };

	(void)state;
	window_plan_repair(&m.plan, &p, 1, DAY0 + MIN(60));
	assert_int_equal(m.plan.count, 2);
	run_model(&m, 2);
	assert_int_equal(m.histories, 4097);
	assert_int_equal(m.wrong, 42);
}

static void a_baseline_misses_exactly_what_is_foreseen(void **state)
{
	struct model m = { .position_ms = DAY0 + MIN(20),
			   .until_ms = DAY0 + MIN(64),
			   .full = true };

	(void)state;
	window_plan_baseline(&m.plan, m.position_ms, DAY0 + MIN(60));
	run_model(&m, 2);
	/* Four of them because the first window may begin a minute early. */
	assert_int_equal(m.wrong, 57);
}

/* A long first window, or one whose end is late, is what the rule is there to avoid. */
static void other_cuts_would_miss_more(void **state)
{
	static const struct {
		int from, cut;
		unsigned wrong;
	} rows[] = { { 15, 0, 210 }, { 15, 30, 0 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct model m = { .position_ms = DAY0 + MIN(20), .until_ms = DAY0 + MIN(64) };
		int64_t from = DAY0 + MIN(rows[i].from), end = DAY0 + MIN(60);
		int64_t cut = rows[i].cut ? DAY0 + MIN(rows[i].cut) : end;

		window_plan_add(&m.plan, &(struct window){ from, cut });
		if (cut < end)
			window_plan_add(&m.plan, &(struct window){ cut, end });
		run_model(&m, 2);
		assert_true(m.wrong > 42);
		if (rows[i].wrong)
			assert_int_equal(m.wrong, rows[i].wrong);
	}
}

/* Three changes of an item on a coarser clock, of a shard that is trimmed later than the oldest. */
static void two_trimmed_shards(void **state)
{
	const int64_t positions[] = { DAY0 + MIN(14), DAY0 + MIN(34) };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct model m = { .position_ms = positions[i], .until_ms = DAY0 + MIN(70) };

		window_plan_repair(&m.plan, positions, 2, DAY0 + MIN(66));
		assert_int_equal(m.plan.count, 3);
		run_model(&m, 2);
		assert_true(m.wrong < 60);
	}
}

/* Two windows of a healthy shard step back, then end right. */
static void a_healthy_shard_ends_right(void **state)
{
	const int64_t p = DAY0 + MIN(14);
	struct model m = { .position_ms = DAY0 + MIN(40), .until_ms = DAY0 + MIN(44) };

	(void)state;
	window_plan_repair(&m.plan, &p, 1, DAY0 + MIN(42));
	run_model(&m, 2);
	assert_int_equal(m.wrong, 0);
}

/* ---- will it ever arrive? ---- */

static void a_fast_load_arrives(void **state)
{
	struct window_pace pace = { HOUR(10), HOUR(3), MIN(45) };
	struct window_forecast f = window_forecast(&pace, HOUR(30));
	char text[WINDOW_FORECAST_TEXT_SIZE];

	(void)state;
	/* 30 h: 9.75 h; 9.75 h: 3.7 h. */
	assert_true(f.arrives);
	assert_int_equal(f.rounds, 2);
	assert_int_equal(f.took_ms / MIN(1), (585 + 220));
	assert_non_null(
		strstr(window_forecast_text(&f, text), "takes 18.0 minutes; 2 more rounds"));
	f = window_forecast(&pace, HOUR(5));
	assert_true(f.arrives);
	assert_int_equal(f.rounds, 0);
	assert_int_equal(f.took_ms, 0);
}

static void a_slow_load_says_so(void **state)
{
	struct window_pace slow = { HOUR(10), HOUR(9), MIN(45) };
	struct window_pace slower = { HOUR(10), HOUR(11), 0 };
	struct window_forecast f = window_forecast(&slow, HOUR(30));
	char text[WINDOW_FORECAST_TEXT_SIZE];

	(void)state;
	assert_false(f.arrives);
	assert_non_null(strstr(window_forecast_text(&f, text), "54.0 minutes"));
	assert_non_null(strstr(text, "younger than 7.5 hours, and 6 are needed"));
	f = window_forecast(&slower, HOUR(30));
	assert_false(f.arrives);
	assert_int_equal(f.settles_ms, INT64_MAX);
	assert_non_null(strstr(window_forecast_text(&f, text), "66.0 minutes"));
	assert_non_null(strstr(text, "never catch up"));
	/* What settles below six hours arrives, near as it may be. */
	slow = (struct window_pace){ HOUR(100), HOUR(87), MIN(45) };
	f = window_forecast(&slow, HOUR(30));
	assert_true(f.arrives);
	assert_true(f.rounds > 10);
}

static void a_token_is_for_one_attempt_at_one_request(void **state)
{
	const struct window_request r = { "arn:aws:dynamodb:eu-west-1:1:table/a",
					  "bucket",
					  "prefix",
					  "NEW_IMAGE",
					  { DAY0, DAY0 + HOUR(1) },
					  1 };
	struct window_request other[] = { r, r, r, r, r, r, r };
	char token[WINDOW_TOKEN_SIZE], again[WINDOW_TOKEN_SIZE];

	(void)state;
	other[0].table_arn = "arn:aws:dynamodb:eu-west-1:1:table/b";
	other[1].bucket = "bucketprefix";
	other[1].prefix = "";
	other[2].view = "";
	other[3].window.from_ms++;
	other[4].window.to_ms++;
	other[5].attempt = 2;
	other[6].prefix = "prefiy";
	assert_string_equal(window_token(&r, token), window_token(&r, again));
	assert_int_equal(strlen(token), 47);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_string_not_equal(token, window_token(&other[i], again));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_window_is_short_and_ends_behind_the_cut),
		cmocka_unit_test(windows_behind_are_counted),
		cmocka_unit_test(a_pause_is_caught_up_without_gap_or_overlap),
		cmocka_unit_test(point_in_time_recovery_bounds_a_window),
		cmocka_unit_test(a_baseline_covers_everything_up_to_the_present),
		cmocka_unit_test(a_repair_cuts_behind_every_trimmed_position),
		cmocka_unit_test(cuts_that_lie_close_are_shared),
		cmocka_unit_test(a_repair_goes_on_with_the_windows_it_has),
		cmocka_unit_test(a_repair_misses_exactly_what_is_foreseen),
		cmocka_unit_test(a_baseline_misses_exactly_what_is_foreseen),
		cmocka_unit_test(other_cuts_would_miss_more),
		cmocka_unit_test(two_trimmed_shards),
		cmocka_unit_test(a_healthy_shard_ends_right),
		cmocka_unit_test(a_fast_load_arrives),
		cmocka_unit_test(a_slow_load_says_so),
		cmocka_unit_test(a_token_is_for_one_attempt_at_one_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
