#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "export/chain.h"

#define M   WINDOW_MINUTE_MS
#define H   WINDOW_HOUR_MS
#define D   (24 * H)
#define DAY ((int64_t)1700006400000) /* 2023-11-15T00:00:00Z, a Wednesday */

static const struct recovery long_on = { RECOVERY_ON, DAY, DAY - 30 * D, DAY + 30 * D };

static struct schedule schedule_of(const char *text)
{
	struct schedule s;
	struct error err = { 0 };

	assert_true(schedule_parse(&s, text, &err));
	return s;
}

/* What follows, with times against DAY in minutes. */
static const struct {
	const char *name;
	const char *full; /* "": none */
	int64_t length;   /* minutes */
	struct chain c;   /* absolute */
	int64_t now;      /* minutes behind DAY */
	int recovery;     /* 0 unknown, 1 off, 2 on for long, 3 on since DAY */
	enum chain_what what;
	int64_t from, to;  /* minutes; from INT64_MIN: a full export */
	int64_t look, due; /* minutes; INT64_MIN: 0, INT64_MAX: never */
	bool left_out;
} cases[] = {
	/* full exports */
	{ "the last minute that was due counts before the first start, too",
	  "0 4 * * *",
	  0,
	  { 0 },
	  60,
	  2,
	  CHAIN_FULL,
	  INT64_MIN,
	  -20 * 60,
	  240,
	  -20 * 60,
	  false },
	{ "at its minute",
	  "0 4 * * *",
	  0,
	  { .full_ms = DAY - 20 * H },
	  240,
	  2,
	  CHAIN_FULL,
	  INT64_MIN,
	  240,
	  24 * 60 + 240,
	  240,
	  false },
	{ "a moment before",
	  "0 4 * * *",
	  0,
	  { .full_ms = DAY - 20 * H },
	  239,
	  2,
	  CHAIN_NOTHING,
	  0,
	  0,
	  240,
	  INT64_MIN,
	  false },
	{ "it was begun",
	  "0 4 * * *",
	  0,
	  { .full_ms = DAY + 4 * H, .open = true, .full_open = true },
	  241,
	  2,
	  CHAIN_NOTHING,
	  0,
	  0,
	  24 * 60 + 240,
	  INT64_MIN,
	  false },
	{ "of several that were missed the last",
	  "0 4 * * *",
	  0,
	  { .full_ms = DAY - 20 * H },
	  5 * 24 * 60 + 300,
	  2,
	  CHAIN_FULL,
	  INT64_MIN,
	  5 * 24 * 60 + 240,
	  6 * 24 * 60 + 240,
	  5 * 24 * 60 + 240,
	  false },
	{ "one by hand is newer",
	  "0 4 * * *",
	  0,
	  { .full_ms = DAY + 5 * H },
	  360,
	  2,
	  CHAIN_NOTHING,
	  0,
	  0,
	  24 * 60 + 240,
	  INT64_MIN,
	  false },
	{ "the one before still runs",
	  "0 4 * * *",
	  0,
	  { .full_ms = DAY - 20 * H, .open = true, .full_open = true },
	  300,
	  2,
	  CHAIN_NOTHING,
	  0,
	  0,
	  24 * 60 + 240,
	  240,
	  false },
	{ "the one before has failed",
	  "0 4 * * *",
	  0,
	  { .full_ms = DAY - 20 * H, .open = true },
	  300,
	  2,
	  CHAIN_FULL,
	  INT64_MIN,
	  240,
	  24 * 60 + 240,
	  240,
	  false },
	{ "nothing is known of PITR",
	  "0 4 * * *",
	  0,
	  { 0 },
	  300,
	  0,
	  CHAIN_ASK,
	  0,
	  0,
	  24 * 60 + 240,
	  240,
	  false },
	{ "PITR is off",
	  "0 4 * * *",
	  0,
	  { 0 },
	  300,
	  1,
	  CHAIN_ASK,
	  0,
	  0,
	  24 * 60 + 240,
	  240,
	  false },
	{ "PITR does not reach back to it",
	  "0 4 * * *",
	  0,
	  { 0 },
	  200,
	  3,
	  CHAIN_NOTHING,
	  0,
	  0,
	  240,
	  INT64_MIN,
	  true },
	{ "to it, but not to its first window",
	  "5 0 * * *",
	  60,
	  { 0 },
	  10,
	  3,
	  CHAIN_NOTHING,
	  0,
	  0,
	  24 * 60 + 5,
	  INT64_MIN,
	  true },
	{ "without windows that is enough",
	  "5 0 * * *",
	  0,
	  { 0 },
	  10,
	  3,
	  CHAIN_FULL,
	  INT64_MIN,
	  5,
	  24 * 60 + 5,
	  5,
	  false },
	{ "nothing by itself",
	  "",
	  0,
	  { 0 },
	  10,
	  2,
	  CHAIN_NOTHING,
	  0,
	  0,
	  INT64_MAX,
	  INT64_MIN,
	  false },

	/* windows */
	{ "the first behind a full export",
	  "",
	  60,
	  { .full_ms = DAY },
	  2,
	  2,
	  CHAIN_WINDOW,
	  -13,
	  2,
	  INT64_MAX,
	  2,
	  false },
	{ "not yet", "", 60, { .full_ms = DAY }, 1, 2, CHAIN_NOTHING, 0, 0, 2, INT64_MIN, false },
	{ "while that is loaded",
	  "",
	  60,
	  { .full_ms = DAY, .open = true, .full_open = true },
	  500,
	  2,
	  CHAIN_NOTHING,
	  0,
	  0,
	  INT64_MAX,
	  INT64_MIN,
	  false },
	{ "the next",
	  "",
	  60,
	  { .full_ms = DAY, .end_ms = DAY + 2 * M },
	  62,
	  2,
	  CHAIN_WINDOW,
	  2,
	  62,
	  INT64_MAX,
	  62,
	  false },
	{ "in order after a pause",
	  "",
	  60,
	  { .full_ms = DAY, .end_ms = DAY + 2 * M },
	  6000,
	  2,
	  CHAIN_WINDOW,
	  2,
	  62,
	  INT64_MAX,
	  62,
	  false },
	{ "one by one",
	  "",
	  60,
	  { .full_ms = DAY, .end_ms = DAY + 2 * M, .open = true, .window_undone = true },
	  6000,
	  2,
	  CHAIN_NOTHING,
	  0,
	  0,
	  INT64_MAX,
	  INT64_MIN,
	  false },
	{ "the schedule comes first",
	  "0 4 * * *",
	  60,
	  { .full_ms = DAY, .end_ms = DAY + 2 * M },
	  241,
	  2,
	  CHAIN_FULL,
	  INT64_MIN,
	  240,
	  24 * 60 + 240,
	  240,
	  false },
	{ "between two of them",
	  "0 4 * * *",
	  60,
	  { .full_ms = DAY + 4 * H, .end_ms = DAY + 242 * M },
	  250,
	  2,
	  CHAIN_NOTHING,
	  0,
	  0,
	  302,
	  INT64_MIN,
	  false },
	{ "none before the first full export",
	  "0 4 * * *",
	  60,
	  { 0 },
	  200,
	  3,
	  CHAIN_NOTHING,
	  0,
	  0,
	  240,
	  INT64_MIN,
	  true },
	{ "where there will be none, from a whole multiple on",
	  "",
	  60,
	  { 0 },
	  90,
	  2,
	  CHAIN_WINDOW,
	  60,
	  120,
	  INT64_MAX,
	  INT64_MIN,
	  false },
	{ "as far as PITR reaches",
	  "",
	  60,
	  { 0 },
	  -10,
	  3,
	  CHAIN_WINDOW,
	  0,
	  60,
	  INT64_MAX,
	  INT64_MIN,
	  false },
	{ "PITR is not known", "", 60, { 0 }, 90, 0, CHAIN_ASK, 0, 0, INT64_MAX, INT64_MIN, false },
	{ "and on from there",
	  "",
	  60,
	  { .end_ms = DAY + 2 * H },
	  180,
	  1,
	  CHAIN_WINDOW,
	  120,
	  180,
	  INT64_MAX,
	  180,
	  false },
};

static int64_t at(int64_t minutes)
{
	return minutes == INT64_MIN ? 0 : minutes == INT64_MAX ? INT64_MAX : DAY + minutes * M;
}

static void what_comes_next(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct recovery known[] = {
			{ 0 }, { .state = RECOVERY_OFF }, long_on, { RECOVERY_ON, DAY, DAY, DAY }
		};
		struct schedule s = schedule_of(*cases[i].full ? cases[i].full : "0 0 * * *");
		struct error err = { 0 };
		struct zone *utc = zone_open("UTC", &err);
		struct chain_rules r = { *cases[i].full ? &s : NULL, utc, cases[i].length * M };
		struct chain_next n =
			chain_next(&r, &cases[i].c, &known[cases[i].recovery], at(cases[i].now));
		bool begins = n.what == CHAIN_FULL || n.what == CHAIN_WINDOW;

		if (n.what != cases[i].what || n.due_ms != at(cases[i].due) ||
		    (n.what == CHAIN_NOTHING && n.look_at_ms != at(cases[i].look)) ||
		    (n.left_out_ms != 0) != cases[i].left_out ||
		    (begins &&
		     (n.window.from_ms != at(cases[i].from) || n.window.to_ms != at(cases[i].to))))
			fail_msg("%s: %d [%lld, %lld) look %lld due %lld left out %d",
				 cases[i].name, n.what, (long long)(n.window.from_ms - DAY) / M,
				 (long long)(n.window.to_ms - DAY) / M,
				 (long long)(n.look_at_ms - DAY) / M,
				 (long long)(n.due_ms - DAY) / M, n.left_out_ms != 0);
		zone_close(utc);
	}
}

static void a_schedule_has_its_time_zone(void **state)
{
	struct schedule s = schedule_of("30 2 * * *");
	struct error err = { 0 };
	struct zone *berlin = zone_open("Europe/Berlin", &err);
	struct chain_rules r = { &s, berlin, 0 };
	struct chain c = { .full_ms = DAY };
	struct chain_next n = chain_next(&r, &c, &long_on, DAY + 2 * H);

	(void)state;
	assert_int_equal(n.what, CHAIN_FULL);
	assert_int_equal(n.window.to_ms, DAY + 90 * M);
	zone_close(berlin);
}

static void what_is_behind(void **state)
{
	struct chain_rules r = { .length_ms = H };
	struct chain c = { 0 };

	(void)state;
	assert_int_equal(chain_behind(&r, &c, DAY), 0);
	c.full_ms = DAY;
	assert_int_equal(chain_behind(&r, &c, DAY + 2 * M - 1), 0);
	assert_int_equal(chain_behind(&r, &c, DAY + 2 * M), 1);
	assert_int_equal(chain_behind(&r, &c, DAY + 62 * M), 2);
	c.end_ms = DAY + 2 * M;
	c.window_undone = true;
	assert_int_equal(chain_behind(&r, &c, DAY + M), 0);
	assert_int_equal(chain_behind(&r, &c, DAY + 62 * M), 2);
	c.window_undone = false;
	assert_int_equal(chain_behind(&r, &c, DAY + 62 * M), 1);
	assert_int_equal(chain_behind(&r, &c, DAY + 61 * M), 0);
	r.length_ms = 0;
	assert_int_equal(chain_behind(&r, &c, DAY + 62 * M), 0);
}

static void by_hand(void **state)
{
	struct chain_rules r = { .length_ms = H };
	struct recovery young = { RECOVERY_ON, DAY, DAY + 500, DAY + 500 };
	struct chain c = { 0 };
	struct window w;
	struct error err = { 0 };

	(void)state;
	/* T leaves room for its first window. */
	assert_int_equal(chain_full_now(&r, &long_on, DAY + 90500), DAY + M);
	assert_int_equal(chain_full_now(&r, &young, DAY + 90500), DAY + 14 * M);
	r.length_ms = 0;
	assert_int_equal(chain_full_now(&r, &young, DAY + 900), DAY + M);

	assert_false(chain_window_now(&c, H, DAY, &w, &err));
	assert_non_null(strstr(err.message, "export full"));
	c = (struct chain){ .full_ms = DAY, .open = true };
	assert_false(chain_window_now(&c, H, DAY + H, &w, &err));
	assert_non_null(strstr(err.message, "one by one"));
	c.open = false;
	assert_true(chain_window_now(&c, H, DAY, &w, &err));
	assert_int_equal(w.from_ms, DAY - 13 * M);
	assert_int_equal(w.to_ms, DAY + 2 * M);
	c.end_ms = DAY + 2 * M;
	assert_false(chain_window_now(&c, H, DAY + 17 * M - 1, &w, &err));
	assert_non_null(strstr(err.message, "2023-11-15T00:02:00"));
	assert_true(chain_window_now(&c, H, DAY + 17 * M + 59999, &w, &err));
	assert_int_equal(w.to_ms, DAY + 17 * M);
	assert_true(chain_window_now(&c, H, DAY + 500 * M, &w, &err));
	assert_int_equal(w.from_ms, DAY + 2 * M);
	assert_int_equal(w.to_ms, DAY + 62 * M);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_next),
		cmocka_unit_test(a_schedule_has_its_time_zone),
		cmocka_unit_test(what_is_behind),
		cmocka_unit_test(by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
