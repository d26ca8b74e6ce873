/* Who is alive: another session by its beats, one's own loops by their turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "consumer/watch.h"
#include "consumer/worker.h"

#define LEASE_MS 10000
#define START_MS 5000000

static struct watch watch;

static struct store_session session(const char *id, int64_t beat, enum store_session_state state)
{
	struct store_session s = { .beat = beat, .lease_ms = LEASE_MS, .state = state };

	snprintf(s.id, sizeof(s.id), "%s", id);
	return s;
}

/* One look that shows only this one. */
static enum watch_verdict look(const char *id, int64_t beat, enum store_session_state state,
			       int64_t now_ms)
{
	struct store_session s = session(id, beat, state);
	enum watch_verdict verdict;

	watch_look(&watch, now_ms);
	verdict = watch_see(&watch, &s);
	watch_looked(&watch, now_ms);
	return verdict;
}

/* Looks as often as a steward does, from `from` on, and says at which time it may be killed. */
static int64_t killed_at(const char *id, int64_t beat, int64_t from_ms)
{
	int64_t now_ms = from_ms;

	while (look(id, beat, SESSION_LIVE, now_ms) != WATCH_KILL)
		now_ms += LEASE_MS / WATCH_LOOKS;
	return now_ms;
}

static int begin(void **state)
{
	(void)state;
	watch_init(&watch, LEASE_MS);
	return 0;
}

static void a_beat_that_stands_still_for_a_lease_is_dead(void **state)
{
	(void)state;
	/* Counted from when it was seen first, however old it may be. */
	assert_int_equal(killed_at("a", 7, START_MS), START_MS + LEASE_MS);
	assert_int_equal(look("a", 7, SESSION_LIVE, START_MS + LEASE_MS + 1), WATCH_KILL);
}

static void any_other_beat_is_a_sign_of_life(void **state)
{
	int64_t now_ms = START_MS;

	(void)state;
	for (int64_t beat = 100; beat > 0; beat--) { /* a database that was set back */
		assert_int_equal(look("a", beat, SESSION_LIVE, now_ms), WATCH_LET);
		now_ms += LEASE_MS / WATCH_LOOKS;
	}
	assert_int_equal(watch_silent(&watch), 0);
}

static void everybody_has_a_lease_of_his_own(void **state)
{
	struct store_session s = session("a", 1, SESSION_LIVE);

	(void)state;
	s.lease_ms = LEASE_MS / 5;
	watch_look(&watch, START_MS);
	assert_int_equal(watch_see(&watch, &s), WATCH_LET);
	assert_int_equal(watch_wake_ms(&watch), START_MS + LEASE_MS / 5);
	watch_look(&watch, START_MS + LEASE_MS / 5 - 1);
	assert_int_equal(watch_see(&watch, &s), WATCH_LET);
	watch_look(&watch, START_MS + LEASE_MS / 5);
	assert_int_equal(watch_see(&watch, &s), WATCH_KILL);
}

/* The store was away, or this process was stopped: nobody's beat could be seen. */
static void what_nobody_looked_at_proves_nothing(void **state)
{
	int64_t late_ms = START_MS + 3 * LEASE_MS;

	(void)state;
	assert_int_equal(look("a", 1, SESSION_LIVE, START_MS), WATCH_LET);
	assert_int_equal(look("a", 1, SESSION_LIVE, late_ms), WATCH_LET);
	assert_int_equal(killed_at("a", 1, late_ms + 1), late_ms + 1 + LEASE_MS);
}

static void one_that_left_the_list_begins_anew(void **state)
{
	(void)state;
	assert_int_equal(killed_at("a", 1, START_MS), START_MS + LEASE_MS);
	assert_int_equal(look("b", 1, SESSION_LIVE, START_MS + LEASE_MS), WATCH_LET);
	assert_null(watch_find(&watch, "a"));
	assert_int_equal(look("a", 1, SESSION_LIVE, START_MS + LEASE_MS + 1), WATCH_LET);
}

static void what_it_sent_may_land_before_it_is_buried(void **state)
{
	int64_t dead_ms = killed_at("a", 1, START_MS);

	(void)state;
	assert_int_equal(watch_killed(&watch, "a", dead_ms), WATCH_LET);
	assert_int_equal(watch_silent(&watch), 1);
	assert_int_equal(watch_wake_ms(&watch), dead_ms + LEASE_MS / 2);
	assert_int_equal(look("a", 1, SESSION_DEAD, dead_ms + LEASE_MS / 2 - 1), WATCH_LET);
	assert_int_equal(look("a", 1, SESSION_DEAD, dead_ms + LEASE_MS / 2), WATCH_BURY);
	watch_unburied(&watch, "a", dead_ms + LEASE_MS, true);
	assert_int_equal(look("a", 1, SESSION_DEAD, dead_ms + LEASE_MS - 1), WATCH_LET);
	assert_int_equal(look("a", 1, SESSION_DEAD, dead_ms + LEASE_MS), WATCH_BURY);
	watch_buried(&watch, "a");
	assert_null(watch_find(&watch, "a"));
	/* One that somebody else killed. */
	assert_int_equal(look("b", 1, SESSION_DEAD, dead_ms), WATCH_LET);
	assert_int_equal(look("b", 1, SESSION_DEAD, dead_ms + LEASE_MS / 2), WATCH_BURY);
}

/* What one sends at the last moment has landed before anybody can have its shards. */
static void nobody_emits_into_somebody_elses_turn(void **state)
{
	int64_t free_ms = killed_at("a", 1, START_MS) + LEASE_MS / 2;

	(void)state;
	assert_true(watch_emit_until_ms(START_MS, LEASE_MS) > START_MS + LEASE_MS / 2);
	assert_true(watch_emit_until_ms(START_MS, LEASE_MS) + LEASE_MS / 2 < free_ms);
}

/* One that cannot be buried, as its sink is away and each try waits for it. */
static void a_burial_that_takes_long_does_not_hide_another_death(void **state)
{
	struct store_session a = session("a", 1, SESSION_DEAD), b = session("b", 1, SESSION_LIVE);
	enum watch_verdict verdict = WATCH_LET;
	int64_t now_ms = START_MS;

	(void)state;
	while (verdict != WATCH_KILL && now_ms < START_MS + 10 * LEASE_MS) {
		int64_t look_ms = now_ms;

		watch_look(&watch, look_ms);
		if (watch_see(&watch, &a) == WATCH_BURY) {
			now_ms += LEASE_MS * 2 / 3;
			watch_unburied(&watch, "a", now_ms + LEASE_MS / 5, true);
		}
		verdict = watch_see(&watch, &b);
		watch_looked(&watch, now_ms);
		now_ms += LEASE_MS / WATCH_LOOKS;
	}
	assert_int_equal(verdict, WATCH_KILL);
	assert_in_range(now_ms, START_MS + LEASE_MS, START_MS + 2 * LEASE_MS);
}

/* Its store did not answer meanwhile: nobody else's beat could be seen either. */
static void a_burial_during_which_the_store_was_away_proves_nothing(void **state)
{
	struct store_session a = session("a", 1, SESSION_DEAD), b = session("b", 1, SESSION_LIVE);
	int64_t bury_ms = START_MS + LEASE_MS / 2, back_ms = bury_ms + 2 * LEASE_MS;

	(void)state;
	watch_look(&watch, START_MS);
	assert_int_equal(watch_see(&watch, &a), WATCH_LET);
	assert_int_equal(watch_see(&watch, &b), WATCH_LET);
	watch_looked(&watch, START_MS);
	for (int64_t ms = START_MS; ms < bury_ms; ms += LEASE_MS / WATCH_LOOKS) {
		watch_look(&watch, ms);
		assert_int_equal(watch_see(&watch, &a), WATCH_LET);
		assert_int_equal(watch_see(&watch, &b), WATCH_LET);
		watch_looked(&watch, ms);
	}
	watch_look(&watch, bury_ms);
	assert_int_equal(watch_see(&watch, &a), WATCH_BURY);
	watch_unburied(&watch, "a", back_ms, false);
	assert_int_equal(watch_see(&watch, &b), WATCH_LET);
	watch_looked(&watch, back_ms);
	assert_int_equal(killed_at("b", 1, back_ms), back_ms + LEASE_MS);
}

/* A single call that failed, over and over: the others are seen in between. */
static void a_burial_that_fails_at_once_hides_nobody(void **state)
{
	struct store_session a = session("a", 1, SESSION_DEAD), b = session("b", 1, SESSION_LIVE);
	enum watch_verdict verdict = WATCH_LET;
	int64_t now_ms = START_MS;

	(void)state;
	while (verdict != WATCH_KILL && now_ms < START_MS + 2 * LEASE_MS) {
		now_ms += LEASE_MS / WATCH_LOOKS;
		watch_look(&watch, now_ms);
		if (watch_see(&watch, &a) == WATCH_BURY)
			watch_unburied(&watch, "a", now_ms + 1, false);
		verdict = watch_see(&watch, &b);
		watch_looked(&watch, now_ms + 1);
	}
	assert_int_equal(verdict, WATCH_KILL);
	assert_int_equal(now_ms, START_MS + LEASE_MS / WATCH_LOOKS + LEASE_MS);
}

/* Until each of them is buried, by whomever. */
static void as_long_as_one_cannot_be_buried_it_is_known(void **state)
{
	struct store_session a = session("a", 1, SESSION_DEAD), b = session("b", 1, SESSION_DEAD);
	int64_t late_ms = START_MS + LEASE_MS / 2;

	(void)state;
	assert_int_equal(look("a", 1, SESSION_DEAD, START_MS), WATCH_LET);
	assert_int_equal(watch_unburied_count(&watch), 0);
	watch_look(&watch, START_MS);
	watch_see(&watch, &a);
	watch_see(&watch, &b);
	watch_looked(&watch, START_MS);
	watch_look(&watch, late_ms);
	assert_int_equal(watch_see(&watch, &a), WATCH_BURY);
	watch_unburied(&watch, "a", late_ms + LEASE_MS, true);
	assert_int_equal(watch_see(&watch, &b), WATCH_BURY);
	watch_buried(&watch, "b");
	watch_looked(&watch, late_ms);
	assert_int_equal(watch_unburied_count(&watch), 1);
	/* Somebody else has buried it. */
	watch_look(&watch, late_ms + 1);
	watch_looked(&watch, late_ms + 1);
	assert_int_equal(watch_unburied_count(&watch), 0);
}

/* More sessions than it has rows for: none of those is taken for dead. */
static void a_crowd_is_not_declared_dead(void **state)
{
	(void)state;
	for (int round = 0; round < 3 * WATCH_LOOKS; round++) {
		int64_t now_ms = START_MS + round * LEASE_MS / WATCH_LOOKS;

		watch_look(&watch, now_ms);
		for (int i = 0; i < 2 * WATCH_MAX; i++) {
			char id[16];

			snprintf(id, sizeof(id), "s%d", i);

			struct store_session s = session(id, round, SESSION_LIVE);

			assert_int_equal(watch_see(&watch, &s), WATCH_LET);
		}
		watch_looked(&watch, now_ms);
	}
	assert_int_equal(watch.count, WATCH_MAX);
}

/* --- one's own loops --- */

static int64_t boot_ms;

static int64_t read_boot(const struct clock *c)
{
	(void)c;
	return boot_ms;
}

static const struct clock clock_stub = { .boot_ms = read_boot };

static void a_loop_that_stands_still_is_named(void **state)
{
	struct worker_pulse p = { .active = true,
				  .core_ms = 1000000,
				  .saver_ms = 1000000,
				  .saver_stuck_ms = 300000,
				  .readers = 3 };
	char stuck[64] = "";

	(void)state;
	boot_ms = 1000000;
	for (int i = 0; i < 3; i++)
		p.reader_ms[i] = boot_ms;
	assert_true(worker_pulse_ok(&p, &clock_stub, stuck, sizeof(stuck)));
	boot_ms += 60000;
	assert_false(worker_pulse_ok(&p, &clock_stub, stuck, sizeof(stuck)));
	assert_string_equal(stuck, "core");
	p.core_ms = p.reader_ms[0] = p.reader_ms[2] = boot_ms;
	assert_false(worker_pulse_ok(&p, &clock_stub, stuck, sizeof(stuck)));
	assert_string_equal(stuck, "reader 1");
	p.reader_ms[1] = boot_ms;
	assert_true(worker_pulse_ok(&p, &clock_stub, stuck, sizeof(stuck)));
	/* The store may be away for longer than that. */
	boot_ms = 1000000 + p.saver_stuck_ms;
	p.core_ms = p.reader_ms[0] = p.reader_ms[1] = p.reader_ms[2] = boot_ms;
	assert_true(worker_pulse_ok(&p, &clock_stub, stuck, sizeof(stuck)));
	boot_ms++;
	assert_false(worker_pulse_ok(&p, &clock_stub, stuck, sizeof(stuck)));
	assert_string_equal(stuck, "saver");
}

static void between_sessions_no_loop_has_to_turn(void **state)
{
	struct worker_pulse p = { .core_ms = 1, .readers = 2 };
	char stuck[64] = "";

	(void)state;
	boot_ms = 1000000;
	assert_true(worker_pulse_ok(&p, &clock_stub, stuck, sizeof(stuck)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_beat_that_stands_still_for_a_lease_is_dead, begin),
		cmocka_unit_test_setup(any_other_beat_is_a_sign_of_life, begin),
		cmocka_unit_test_setup(everybody_has_a_lease_of_his_own, begin),
		cmocka_unit_test_setup(what_nobody_looked_at_proves_nothing, begin),
		cmocka_unit_test_setup(one_that_left_the_list_begins_anew, begin),
		cmocka_unit_test_setup(what_it_sent_may_land_before_it_is_buried, begin),
		cmocka_unit_test_setup(nobody_emits_into_somebody_elses_turn, begin),
		cmocka_unit_test_setup(a_burial_that_takes_long_does_not_hide_another_death, begin),
		cmocka_unit_test_setup(a_burial_during_which_the_store_was_away_proves_nothing,
				       begin),
		cmocka_unit_test_setup(a_burial_that_fails_at_once_hides_nobody, begin),
		cmocka_unit_test_setup(as_long_as_one_cannot_be_buried_it_is_known, begin),
		cmocka_unit_test_setup(a_crowd_is_not_declared_dead, begin),
		cmocka_unit_test(a_loop_that_stands_still_is_named),
		cmocka_unit_test(between_sessions_no_loop_has_to_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
