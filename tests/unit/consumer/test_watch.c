/* Who is alive: another session by its beats, one's own loops by their turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "consumer/session.h"
#include "consumer/worker.h"

#define LEASE_MS 10000

static struct store_session session(const char *id, int64_t beat)
{
	struct store_session s = { .beat = beat };

	snprintf(s.id, sizeof(s.id), "%s", id);
	return s;
}

static void a_beat_that_stands_still_for_a_lease_is_dead(void **state)
{
	struct session_seen seen = { 0 };
	struct store_session s = session("a", 7);

	(void)state;
	/* Counted from when it was seen first, however old it may be. */
	assert_false(session_watch(&seen, &s, 5000000, LEASE_MS));
	assert_false(session_watch(&seen, &s, 5000000 + LEASE_MS - 1, LEASE_MS));
	assert_true(session_watch(&seen, &s, 5000000 + LEASE_MS, LEASE_MS));
	assert_true(session_watch(&seen, &s, 5000000 + 2 * LEASE_MS, LEASE_MS));
}

static void any_other_beat_is_a_sign_of_life(void **state)
{
	struct session_seen seen = { 0 };
	int64_t now = 1000;

	(void)state;
	for (int64_t beat = 10; beat > 0; beat--) {
		struct store_session s = session("a", beat); /* a database that was set back */

		assert_false(session_watch(&seen, &s, now, LEASE_MS));
		now += LEASE_MS - 1;
		assert_false(session_watch(&seen, &s, now, LEASE_MS));
		now += LEASE_MS;
	}
}

/* Rows move up when one before them is buried. */
static void another_session_in_its_place_begins_anew(void **state)
{
	struct session_seen seen = { 0 };
	struct store_session a = session("a", 1), b = session("b", 1);

	(void)state;
	assert_false(session_watch(&seen, &a, 0, LEASE_MS));
	assert_true(session_watch(&seen, &a, LEASE_MS, LEASE_MS));
	assert_false(session_watch(&seen, &b, LEASE_MS, LEASE_MS));
	assert_false(session_watch(&seen, &a, 2 * LEASE_MS, LEASE_MS));
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
	struct worker_pulse p = { .active = true, .core_ms = 1000000, .readers = 3 };
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
		cmocka_unit_test(a_beat_that_stands_still_for_a_lease_is_dead),
		cmocka_unit_test(any_other_beat_is_a_sign_of_life),
		cmocka_unit_test(another_session_in_its_place_begins_anew),
		cmocka_unit_test(a_loop_that_stands_still_is_named),
		cmocka_unit_test(between_sessions_no_loop_has_to_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
