#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/drive.h"

#define M         WINDOW_MINUTE_MS
#define T         ((int64_t)1700006400000)

#define WAITING   STORE_EXPORT_WAITING
#define RUNNING   STORE_EXPORT_RUNNING
#define EXPORTED  STORE_EXPORT_EXPORTED
#define LOADING   STORE_EXPORT_LOADING
#define COMPLETE  STORE_EXPORT_COMPLETE
#define FAILED    STORE_EXPORT_FAILED
#define ABANDONED STORE_EXPORT_ABANDONED
#define NEVER     INT64_MAX

/* A full export of T, or the window of an hour behind it; now is ten minutes behind its end, PITR
 * was asked a second ago and is five minutes behind. Times in minutes behind its end. */
static const struct {
	const char *name;
	struct store_export e; /* .from_ms 1: the window; retry_at_ms in minutes */
	struct drive_place place;
	int64_t again; /* INT64_MIN: 0 */
	bool exported;
	int recovery; /* 0 on, 1 unknown, 2 off, 3 stale, 4 not there yet, 5 too late */
	bool load, publishes;
	enum drive_what what;
	int64_t at; /* WAIT */
} cases[] = {
#define FULL(...)                                                                                  \
	{                                                                                          \
		.kind = STORE_EXPORT_FULL, __VA_ARGS__                                             \
	}
#define WINDOW(...)                                                                                \
	{                                                                                          \
		.kind = STORE_EXPORT_INCREMENTAL, .from_ms = 1, __VA_ARGS__                        \
	}
#define LOADS(...)                                                                                 \
	{                                                                                          \
		.kind = STORE_EXPORT_LOAD, __VA_ARGS__                                             \
	}
	{ "an attempt", FULL(0), { 0 }, INT64_MIN, 0, 0, 1, 1, DRIVE_ATTEMPT, 0 },
	{ "of a window", WINDOW(0), { 0 }, INT64_MIN, 0, 0, 1, 1, DRIVE_ATTEMPT, 0 },
	{ "it is written down", FULL(.attempt = 1), { 0 }, INT64_MIN, 0, 1, 1, 1, DRIVE_SUBMIT, 0 },
	{ "AWS did not answer", FULL(.attempt = 1), { 0 }, 11, 0, 0, 1, 1, DRIVE_WAIT, 11 },
	{ "another one comes first",
	  FULL(0),
	  { .held = true, .held_load = true },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_WAIT,
	  NEVER },
	{ "not while it is under way",
	  FULL(.attempt = 1),
	  { .held = true, .held_load = true },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_SUBMIT,
	  0 },
	{ "useless", WINDOW(0), { .useless = true }, INT64_MIN, 0, 0, 1, 1, DRIVE_ABANDON, 0 },
	{ "useless after a failure",
	  WINDOW(.attempt = 1, .retry_at_ms = 20),
	  { .useless = true },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_ABANDON,
	  0 },
	{ "useless, but under way",
	  WINDOW(.attempt = 1),
	  { .useless = true },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_SUBMIT,
	  0 },
	{ "the last attempt has failed",
	  FULL(.attempt = 1, .retry_at_ms = 20),
	  { 0 },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_WAIT,
	  20 },
	{ "a while ago",
	  FULL(.attempt = 1, .retry_at_ms = 9),
	  { 0 },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_ATTEMPT,
	  0 },
	{ "PITR is not known", FULL(0), { 0 }, INT64_MIN, 0, 1, 1, 1, DRIVE_ASK, 0 },
	{ "it is off", FULL(0), { 0 }, INT64_MIN, 0, 2, 1, 1, DRIVE_ASK, 0 },
	{ "it was asked long ago", FULL(0), { 0 }, INT64_MIN, 0, 3, 1, 1, DRIVE_ASK, 0 },
	{ "it has not come to it", FULL(0), { 0 }, INT64_MIN, 0, 4, 1, 1, DRIVE_WAIT, 13 },
	{ "nor to a window's end", WINDOW(0), { 0 }, INT64_MIN, 0, 4, 1, 1, DRIVE_WAIT, 13 },
	{ "it begins behind it", FULL(0), { 0 }, INT64_MIN, 0, 5, 1, 1, DRIVE_LOST, 0 },
	{ "or behind a window's beginning",
	  WINDOW(0),
	  { 0 },
	  INT64_MIN,
	  0,
	  5,
	  1,
	  1,
	  DRIVE_LOST,
	  0 },

	{ "AWS is at it", FULL(.status = RUNNING), { 0 }, INT64_MIN, 0, 1, 1, 1, DRIVE_POLL, 0 },
	{ "it was asked", FULL(.status = RUNNING), { 0 }, 11, 0, 1, 1, 1, DRIVE_WAIT, 11 },
	{ "it is done", FULL(.status = RUNNING), { 0 }, INT64_MIN, 1, 1, 1, 1, DRIVE_MANIFEST, 0 },
	{ "the manifest is not there",
	  FULL(.status = RUNNING),
	  { 0 },
	  11,
	  1,
	  1,
	  1,
	  1,
	  DRIVE_WAIT,
	  11 },
	{ "a load has nothing before",
	  LOADS(.status = RUNNING),
	  { 0 },
	  INT64_MIN,
	  0,
	  1,
	  1,
	  1,
	  DRIVE_MANIFEST,
	  0 },
	{ "but others",
	  LOADS(.status = RUNNING),
	  { .held = true, .held_load = true },
	  INT64_MIN,
	  0,
	  1,
	  1,
	  1,
	  DRIVE_WAIT,
	  NEVER },

	{ "to be loaded", FULL(.status = EXPORTED), { 0 }, INT64_MIN, 0, 1, 1, 1, DRIVE_FILES, 0 },
	{ "behind another",
	  FULL(.status = EXPORTED),
	  { .held_load = true },
	  INT64_MIN,
	  0,
	  1,
	  1,
	  1,
	  DRIVE_WAIT,
	  NEVER },
	{ "or not", FULL(.status = EXPORTED), { 0 }, INT64_MIN, 0, 1, 0, 1, DRIVE_FINISH, 0 },
	{ "S3 is away", FULL(.status = EXPORTED), { 0 }, 11, 0, 1, 1, 1, DRIVE_WAIT, 11 },
	{ "others load it",
	  FULL(.status = LOADING),
	  { 0 },
	  INT64_MIN,
	  0,
	  1,
	  1,
	  1,
	  DRIVE_WAIT,
	  NEVER },
	{ "its end is told",
	  FULL(.status = COMPLETE),
	  { 0 },
	  INT64_MIN,
	  0,
	  1,
	  1,
	  1,
	  DRIVE_PUBLISH,
	  0 },
	{ "a moment later", FULL(.status = COMPLETE), { 0 }, 11, 0, 1, 1, 1, DRIVE_WAIT, 11 },
	{ "by others", FULL(.status = COMPLETE), { 0 }, INT64_MIN, 0, 1, 1, 0, DRIVE_WAIT, NEVER },
	{ "once",
	  FULL(.status = COMPLETE, .published_ms = T),
	  { 0 },
	  INT64_MIN,
	  0,
	  1,
	  1,
	  1,
	  DRIVE_WAIT,
	  NEVER },
	{ "a person has to see to it",
	  FULL(.status = FAILED),
	  { 0 },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_WAIT,
	  NEVER },
	{ "or a newer one makes it useless",
	  FULL(.status = FAILED),
	  { .useless = true },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_ABANDON,
	  0 },
	{ "it is over",
	  FULL(.status = ABANDONED),
	  { .useless = true },
	  INT64_MIN,
	  0,
	  0,
	  1,
	  1,
	  DRIVE_WAIT,
	  NEVER },
};

static int64_t at(const struct store_export *e, int64_t minutes)
{
	return minutes == NEVER ? NEVER : e->to_ms + minutes * M;
}

static void what_is_done_next(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct store_export e = cases[i].e;
		struct drive_rules rules = { cases[i].load, cases[i].publishes, 30000, 5, 1 };
		struct drive_known known = { .exported = cases[i].exported };
		struct recovery pitr = { .state = RECOVERY_ON };
		struct drive_next n;
		int64_t now_ms;

		e.to_ms = e.from_ms ? T + 60 * M : T;
		e.from_ms = e.from_ms ? T : 0;
		e.retry_at_ms = e.retry_at_ms ? at(&e, e.retry_at_ms) : 0;
		now_ms = at(&e, 10);
		known.again_ms = cases[i].again == INT64_MIN ? 0 : at(&e, cases[i].again);
		pitr.asked_ms = now_ms - 1000;
		pitr.earliest_ms = T - 1000 * M;
		pitr.latest_ms = now_ms - 5 * M;
		if (cases[i].recovery == 1)
			pitr.state = RECOVERY_UNKNOWN;
		if (cases[i].recovery == 2)
			pitr.state = RECOVERY_OFF;
		if (cases[i].recovery == 3)
			pitr.asked_ms = now_ms - 30000;
		if (cases[i].recovery == 4)
			pitr.latest_ms = e.to_ms - 3 * M;
		if (cases[i].recovery == 5)
			pitr.earliest_ms = T + 1;
		n = drive_next(&e, &cases[i].place, &known, &pitr, &rules, now_ms);
		if (n.what != cases[i].what ||
		    (n.what == DRIVE_WAIT && n.at_ms != at(&e, cases[i].at)))
			fail_msg("%s: %d at %lld", cases[i].name, n.what,
				 (long long)(n.at_ms - e.to_ms) / M);
	}
}

static struct store_export row(int64_t id, uint64_t generation, uint64_t number,
			       enum store_export_status status)
{
	return (struct store_export){ .id = id,
				      .table_arn = "arn",
				      .name = "orders",
				      .kind = number ? STORE_EXPORT_INCREMENTAL : STORE_EXPORT_FULL,
				      .from_ms = number ? 1 : 0,
				      .generation = generation,
				      .number = number,
				      .view = "",
				      .status = status };
}

static const struct drive_rules alone = { .load = true };
static const struct drive_rules by_three = { .load = true, .load_every = 3 };

static struct drive_place place(struct store_export *e, struct store_export *o, uint64_t newest)
{
	const struct store_export *others[] = { o, e };

	return drive_place(e, others, 2, newest, &alone);
}

static void one_at_a_time(void **state)
{
	struct store_export full = row(1, 1, 0, WAITING), window = row(2, 1, 1, WAITING);
	struct store_export next = row(3, 2, 0, WAITING);

	(void)state;
	assert_true(place(&window, &full, 1).held);
	assert_false(place(&full, &window, 1).held);
	full.status = COMPLETE;
	assert_false(place(&window, &full, 1).held);
	full.status = FAILED;
	assert_true(place(&window, &full, 1).held);
	/* A new generation waits for what is under way, and nothing else. */
	assert_false(place(&next, &window, 2).held);
	assert_true(place(&window, &next, 2).useless);
	assert_false(place(&next, &window, 2).useless);
	window.attempt = 1;
	assert_true(place(&next, &window, 2).held);
	window.retry_at_ms = T;
	assert_false(place(&next, &window, 2).held);
	window.status = LOADING;
	assert_true(place(&next, &window, 2).held);
	window.status = FAILED;
	assert_false(place(&next, &window, 2).held);
	/* Other tables are none of its business. */
	window.status = LOADING;
	window.name = "users";
	assert_false(place(&next, &window, 2).held);
}

static void streams_are_submitted_at_once_and_loaded_in_order(void **state)
{
	struct store_export first = row(1, 7, 1, RUNNING), second = row(2, 7, 2, EXPORTED);

	(void)state;
	first.kind = second.kind = STORE_EXPORT_BASELINE;
	first.stream = second.stream = 4;
	assert_false(place(&second, &first, 0).held);
	assert_true(place(&second, &first, 0).held_load);
	assert_false(place(&first, &second, 0).held_load);
	first.status = COMPLETE;
	assert_false(place(&second, &first, 0).held_load);
}

static void loads_do_not_hold_up_exports(void **state)
{
	struct store_export load = row(1, 1, 0, LOADING), full = row(2, 1, 0, EXPORTED);

	(void)state;
	load.kind = STORE_EXPORT_LOAD;
	assert_false(place(&full, &load, 1).held);
	assert_false(place(&load, &full, 9).useless);
}

static void chains(void **state)
{
	struct store_export none = { 0 }, full = row(1, 2, 0, COMPLETE),
			    last = row(2, 1, 3, FAILED);
	struct chain c;

	(void)state;
	full.to_ms = T;
	last.to_ms = T + M;
	c = drive_chain(&none, &none, &alone);
	assert_true(c.full_ms == 0 && c.end_ms == 0 && !c.open);
	/* A window of the generation before. */
	c = drive_chain(&full, &last, &alone);
	assert_true(c.full_ms == T && c.end_ms == 0 && !c.open);
	last.generation = 2;
	c = drive_chain(&full, &last, &alone);
	assert_true(c.end_ms == T + M && c.open && c.window_undone && !c.full_open);
	last.status = COMPLETE;
	assert_false(drive_chain(&full, &last, &alone).open);
	full.status = RUNNING;
	c = drive_chain(&full, &none, &alone);
	assert_true(c.open && c.full_open && !c.window_undone);
	full.status = FAILED;
	c = drive_chain(&full, &none, &alone);
	assert_true(c.open && !c.full_open);
	c = drive_chain(&none, &last, &alone);
	assert_true(c.full_ms == 0 && c.end_ms == T + M && !c.open);
}

static void attempts_are_further_and_further_apart(void **state)
{
	struct rng rng;
	int64_t most_ms[] = { 0, 60000, 120000, 240000, 480000 };

	(void)state;
	rng_seed(&rng, 1);
	for (uint32_t n = 1; n < 5; n++)
		for (int i = 0; i < 100; i++) {
			int64_t in_ms = drive_retry_at(n, 5, T, &rng) - T;

			assert_true(in_ms >= most_ms[n] / 2 && in_ms <= most_ms[n]);
		}
	assert_true(drive_retry_at(40, 40, T, &rng) - T <= 60 * M);
	assert_int_equal(drive_retry_at(6, 5, T, &rng), 0);
	assert_int_equal(drive_retry_at(1, 0, T, &rng), 0);
	for (int i = 0; i < 100; i++) {
		int64_t in_ms = drive_poll_at(30000, T, &rng) - T;

		assert_true(in_ms >= 27000 && in_ms <= 33000);
	}
}

static void what_is_late(void **state)
{
	struct store_export e = row(1, 1, 0, LOADING);

	(void)state;
	e.to_ms = T;
	assert_false(drive_is_late(&e, &alone, 60 * M, T + 60 * M));
	assert_true(drive_is_late(&e, &alone, 60 * M, T + 60 * M + 1));
	e.status = FAILED;
	assert_true(drive_is_late(&e, &alone, 60 * M, T + 60 * M + 1));
	e.status = COMPLETE;
	assert_false(drive_is_late(&e, &alone, 60 * M, T + 60 * M + 1));
	/* What waits for others is not, while the one is that they wait for. */
	e = row(1, 1, 4, EXPORTED);
	assert_true(drive_is_late(&e, &alone, 60 * M, T + 60 * M + 1));
	assert_false(drive_is_late(&e, &by_three, 60 * M, T + 60 * M + 1));
	e.batch = 3;
	assert_false(drive_is_late(&e, &alone, 60 * M, T + 60 * M + 1));
	e.batch = 1;
	e.status = LOADING;
	assert_true(drive_is_late(&e, &by_three, 60 * M, T + 60 * M + 1));
}

/* ---- windows that are loaded together ---- */

/* Windows of generation 1 by their numbers from 1 on, as letters: e exported, b in a batch, w
 * waiting, s submitted (its attempt is under way), r running, l loading a batch, f failed, c
 * complete, x exported with another view, p exported and begun by a person. For each of them that
 * is exported what it is: a number of windows it lacks, L: it leads, with the first one's number in
 * `firsts`, .: it waits, h: it is held, A: it is loaded alone. */
static const struct {
	const char *windows, *are, *firsts;
	uint32_t every;
	bool newer; /* a full export was begun behind them */
} batches[] = {
	{ "e", "2", "1", 3, false },
	{ "ee", "11", "11", 3, false },
	{ "eee", "..L", "111", 3, false },
	{ "eeee", "..Lh", "1110", 3, false },
	{ "eeeeee", "..Lhhh", "111000", 3, false },
	{ "cceee", "  ..L", "  333", 3, false },
	{ "ccce", "   2", "   4", 3, false },
	/* What comes before is loaded before. */
	{ "bble", "   h", "   4", 3, false },
	{ "bbleee", "   hhh", "   444", 3, false },
	{ "bbfeee", "   hhh", "   444", 3, false },
	/* One between them is not there. */
	{ "ewe", "2 h", "1 0", 3, false },
	{ "efe", "2 h", "1 0", 3, false },
	{ "wee", " hh", " 22", 3, false },
	{ "eer", "11 ", "11 ", 3, false },
	/* Shorter ones. */
	{ "p", "A", "1", 3, false },
	{ "ep", ".L", "11", 3, false },
	{ "epe", ".Lh", "110", 3, false },
	{ "ex", "Ah", "10", 3, false },
	{ "eex", ".Lh", "110", 3, false },
	/* A newer full export: what is exported is all that comes. */
	{ "ee", ".L", "11", 3, true },
	{ "e", "A", "1", 3, true },
	{ "eew", ".L ", "11 ", 3, true },
	{ "eef", ".L ", "11 ", 3, true },
	{ "ees", "11 ", "11 ", 3, true },
	{ "eer", "11 ", "11 ", 3, true },
	{ "eeee", "..Lh", "1110", 3, true },
	/* One by one. */
	{ "eee", "Ahh", "000", 1, false },
	{ "eee", "Ahh", "000", 0, false },
	{ "bbleee", "   hhh", "   000", 1, false },
};

static struct store_export window_as(char letter, uint64_t number)
{
	struct store_export e = row((int64_t)number + 1, 1, number, EXPORTED);

	e.ends_batch = letter == 'p';
	if (letter == 'x')
		e.view = "NEW_IMAGE";
	e.batch = letter == 'b' || letter == 'l' ? 99 : 0;
	e.attempt = letter == 's';
	if (letter == 'w' || letter == 's')
		e.status = WAITING;
	else if (letter == 'r')
		e.status = RUNNING;
	else if (letter == 'l')
		e.status = LOADING;
	else if (letter == 'f')
		e.status = FAILED;
	else if (letter == 'c')
		e.status = COMPLETE;
	return e;
}

static char what_it_is(const struct store_export *e, const struct drive_place *p,
		       const struct drive_rules *rules)
{
	const struct drive_known known = { 0 };
	const struct recovery pitr = { 0 };
	enum drive_what what = drive_next(e, p, &known, &pitr, rules, T).what;

	assert_int_equal(what == DRIVE_BATCH || what == DRIVE_FILES, what != DRIVE_WAIT);
	if (what != DRIVE_WAIT)
		return what == DRIVE_BATCH ? 'L' : 'A';
	if (p->held_load || !p->first)
		return 'h';
	assert_true(drive_waits_for_batch(e, p));
	return p->lacks ? (char)('0' + p->lacks) : '.';
}

static void windows_are_collected(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(batches) / sizeof(*batches); i++) {
		struct store_export rows[8];
		const struct store_export *others[8];
		struct drive_rules rules = { .load = true, .load_every = batches[i].every };
		size_t count = strlen(batches[i].windows);

		for (size_t n = 0; n < count; n++) {
			rows[n] = window_as(batches[i].windows[n], n + 1);
			others[count - 1 - n] = &rows[n];
		}
		for (size_t n = 0; n < count; n++) {
			struct drive_place p = drive_place(&rows[n], others, count,
							   batches[i].newer ? 2 : 1, &rules);
			char is;

			if (batches[i].are[n] == ' ')
				continue;
			is = what_it_is(&rows[n], &p, &rules);
			if (is != batches[i].are[n] ||
			    (char)('0' + p.first) != batches[i].firsts[n])
				fail_msg("%s, window %zu: %c, of %d", batches[i].windows, n + 1, is,
					 (int)p.first);
		}
	}
}

/* Windows are exported while others wait for their batch, or while that is loaded. */
static void a_batch_does_not_keep_windows_back(void **state)
{
	static const struct {
		char before;
		bool held;
	} rows[] = { { 'e', false }, { 'b', false }, { 'l', false }, { 'c', false },
		     { 'w', true },  { 's', true },  { 'r', true },  { 'f', true } };
	struct store_export full = row(1, 1, 0, LOADING), next = row(3, 1, 2, WAITING);
	const struct store_export *others[] = { &full, &next };

	(void)state;
	assert_true(drive_place(&next, others, 2, 1, &by_three).held);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct store_export before = window_as(rows[i].before, 1);

		others[0] = &before;
		assert_int_equal(drive_place(&next, others, 2, 1, &by_three).held, rows[i].held);
		assert_int_equal(drive_place(&next, others, 2, 1, &alone).held,
				 rows[i].before != 'c');
		/* Nor the next one from being begun. */
		assert_int_equal(drive_chain(&(struct store_export){ 0 }, &before, &by_three).open,
				 rows[i].before != 'e' && rows[i].before != 'c');
	}
	/* A full export waits for all of them. */
	full = row(9, 2, 0, WAITING);
	next = window_as('e', 1);
	others[0] = &full;
	assert_true(drive_place(&full, others, 2, 2, &by_three).held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_done_next),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(streams_are_submitted_at_once_and_loaded_in_order),
		cmocka_unit_test(loads_do_not_hold_up_exports),
		cmocka_unit_test(chains),
		cmocka_unit_test(attempts_are_further_and_further_apart),
		cmocka_unit_test(what_is_late),
		cmocka_unit_test(windows_are_collected),
		cmocka_unit_test(a_batch_does_not_keep_windows_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
