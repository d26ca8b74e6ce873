/* How the pages of a lane go to a sink: the moves that are allowed, and those that abort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumer/handover.h"

static void move_failed(struct handover *h)
{
	handover_failed(h, h->first);
}
static void move_refused(struct handover *h)
{
	handover_refused(h, h->first);
}

static const struct move {
	const char *name;
	void (*make)(struct handover *h);
	unsigned from; /* bits of the states in which it is allowed */
	enum handover_state to;
} moves[] = {
#define IN(s) (1u << HANDOVER_##s)
	{ "sent", handover_sent, IN(IDLE), HANDOVER_SENT },
	{ "held", handover_held, IN(IDLE), HANDOVER_RETRY },
	/* From idle, too: a page of which nothing is for this sink. */
	{ "taken", handover_taken, IN(IDLE) | IN(SENT) | IN(RETRY) | IN(LETTER), HANDOVER_IDLE },
	{ "failed", move_failed, IN(SENT), HANDOVER_RETRY },
	{ "refused", move_refused, IN(SENT), HANDOVER_LETTER },
	{ "again", handover_again, IN(IDLE) | IN(SENT) | IN(RETRY) | IN(LETTER), HANDOVER_IDLE },
	{ "lettered", handover_lettered, IN(IDLE) | IN(SENT) | IN(RETRY) | IN(LETTER),
	  HANDOVER_IDLE },
	{ "stop", handover_stop, IN(IDLE) | IN(SENT) | IN(RETRY) | IN(LETTER), HANDOVER_STOPPED },
};
#define STATES (HANDOVER_STOPPED + 1)

/* In a process of its own: true where it aborted. */
static bool aborts(const struct move *m, enum handover_state from)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct handover h = { .state = from };

		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		m->make(&h);
		_exit(h.state == m->to ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void every_move_from_every_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++)
		for (int from = 0; from < STATES; from++)
			if (aborts(&moves[i], (enum handover_state)from) ==
			    ((moves[i].from >> from & 1) != 0))
				fail_msg("%s from state %d", moves[i].name, from);
}

static void one_page_at_a_time_in_order(void **state)
{
	struct handover h = { 0 };

	(void)state;
	assert_false(handover_ready(&h, 0));
	assert_true(handover_ready(&h, 1));
	handover_sent(&h);
	assert_false(handover_ready(&h, 2));
	handover_taken(&h);
	assert_int_equal(h.page, 1);
	assert_false(handover_ready(&h, 1));
	assert_true(handover_ready(&h, 2));
	handover_stop(&h);
	assert_false(handover_ready(&h, 2));
}

static void a_failure_sends_from_the_first_failed_record(void **state)
{
	struct handover h = { 0 };

	(void)state;
	handover_sent(&h);
	handover_failed(&h, 3);
	assert_false(handover_ready(&h, 1));
	assert_int_equal(h.first, 3);
	assert_int_equal(h.attempts, 0);
	for (unsigned i = 1; i <= 5; i++) {
		handover_again(&h);
		assert_true(handover_ready(&h, 1));
		handover_sent(&h);
		handover_failed(&h, 3);
		assert_int_equal(h.attempts, i);
	}
	/* Progress starts the count anew. */
	handover_again(&h);
	handover_sent(&h);
	handover_failed(&h, 4);
	assert_int_equal(h.attempts, 0);
	handover_again(&h);
	handover_sent(&h);
	handover_taken(&h);
	assert_int_equal(h.page, 1);
	assert_int_equal(h.first, 0);
	assert_int_equal(h.attempts, 0);
}

static void what_the_lease_holds_back_is_no_attempt(void **state)
{
	struct handover h = { 0 };

	(void)state;
	handover_sent(&h);
	handover_failed(&h, 3);
	handover_again(&h);
	handover_sent(&h);
	handover_failed(&h, 3);
	assert_int_equal(h.attempts, 1);
	for (int i = 0; i < 100; i++) {
		handover_again(&h);
		handover_held(&h);
		assert_false(handover_ready(&h, 1));
	}
	assert_int_equal(h.attempts, 1);
	assert_int_equal(h.first, 3);
	handover_again(&h);
	assert_true(handover_ready(&h, 1));
}

static void a_refused_record_is_passed_by_one(void **state)
{
	struct handover h = { 0 };

	(void)state;
	handover_sent(&h);
	handover_refused(&h, 2);
	assert_false(handover_ready(&h, 1));
	assert_int_equal(h.first, 2);
	handover_lettered(&h);
	assert_int_equal(h.first, 3);
	assert_int_equal(h.page, 0);
	assert_true(handover_ready(&h, 1));
	handover_sent(&h);
	handover_refused(&h, 3);
	handover_lettered(&h);
	assert_int_equal(h.first, 4);
}

static void a_sink_that_goes_back_is_our_bug(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		struct handover h = { .state = HANDOVER_SENT, .first = 5 };

		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		handover_failed(&h, 4);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_move_from_every_state),
		cmocka_unit_test(one_page_at_a_time_in_order),
		cmocka_unit_test(a_failure_sends_from_the_first_failed_record),
		cmocka_unit_test(what_the_lease_holds_back_is_no_attempt),
		cmocka_unit_test(a_refused_record_is_passed_by_one),
		cmocka_unit_test(a_sink_that_goes_back_is_our_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
