/* The thread that watches the others, over a store that is scripted: it shows a dead session and
 * one whose beat stands still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/queue.h"
#include "checkpoint/store_ops.h"
#include "config/config.h"
#include "consumer/steward.h"

#define LEASE_MS    10000
#define BEGIN_MS    1000000
#define DEADLINE_MS 60000

/* --- the store --- */

static struct {
	_Atomic int64_t boot_ms;
	int64_t burial_takes_ms;
	bool away; /* while it is asked for the dead one's rolls, once */
	int64_t back_ms;
	bool over;            /* nobody else is there any more */
	struct queue *killed; /* when the live one was */
} t;

static int64_t read_boot(const struct clock *c)
{
	(void)c;
	return atomic_load(&t.boot_ms);
}

static const struct clock fake_clock = { .boot_ms = read_boot, .wall_ms = read_boot };

static bool sessions(struct store *s, const char *near, struct store_session *out, size_t max,
		     size_t *count, struct error *err)
{
	(void)s, (void)near, (void)err;
	assert(max >= 2);
	out[0] = (struct store_session){ .id = "dead", .state = SESSION_DEAD };
	out[1] = (struct store_session){ .id = "live", .state = SESSION_LIVE };
	out[0].lease_ms = out[1].lease_ms = LEASE_MS;
	*count = t.over ? 0 : 2;
	return true;
}

static bool rolls(struct store *s, const char *session, store_roll_fn *fn, void *arg,
		  struct error *err)
{
	(void)s;
	assert(strcmp(session, "dead") == 0);
	if (t.away && t.back_ms == 0) {
		t.back_ms = atomic_fetch_add(&t.boot_ms, t.burial_takes_ms) + t.burial_takes_ms;
		return error_set(err, ERROR_RETRY, "timed out");
	}
	if (!t.away)
		atomic_fetch_add(&t.boot_ms, t.burial_takes_ms);
	fn(arg, "elsewhere", 1, (struct str){ "", 0 });
	return true;
}

static bool session_kill(struct store *s, const char *id, int64_t beat, bool *done,
			 struct error *err)
{
	int64_t now_ms = atomic_load(&t.boot_ms);

	(void)s, (void)beat, (void)err;
	assert(strcmp(id, "live") == 0);
	*done = t.over = true;
	assert(queue_push(t.killed, &now_ms));
	return true;
}

static bool twins(struct store *s, const char *session, store_twin_fn *fn, void *arg,
		  struct error *err)
{
	(void)s, (void)session, (void)fn, (void)arg, (void)err;
	return true;
}

static const struct store_ops ops = {
	.sessions = sessions, .rolls = rolls, .session_kill = session_kill, .twins = twins
};
static struct store store = { .ops = &ops, .describe = "scripted" };

/* --- the worker --- */

/* The last of a round: the next one is due. */
static void viewed(void *arg, struct steward_view *view)
{
	(void)arg;
	steward_view_free(view);
	if (!t.over)
		atomic_fetch_add(&t.boot_ms, LEASE_MS / 5);
}

static void lost(void *arg, const struct error *err)
{
	(void)arg, (void)err;
	assert(false && "its own session lives");
}

struct fixture {
	struct steward *steward;
	struct config config;
	struct metrics *metrics;
	struct health *health;
};

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&t, 0, sizeof(t));
	t.boot_ms = BEGIN_MS;
	t.killed = queue_new(sizeof(int64_t), 1);
	f->config.checkpoint.lease_ms = LEASE_MS;
	f->metrics = metrics_new();
	f->health = health_new(&fake_clock);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	queue_free(t.killed);
	metrics_free(f->metrics);
	health_free(f->health);
	free(f);
	return 0;
}

/* When the live one was declared dead. */
static int64_t killed_at(struct fixture *f)
{
	struct clock clock = fake_clock;
	struct steward_settings s = { .session = { .store = &store,
						   .config = &f->config,
						   .clock = &clock,
						   .metrics = f->metrics,
						   .health = f->health },
				      .id = "own",
				      .seed = 1,
				      .viewed = viewed,
				      .lost = lost };
	int64_t at_ms = 0;

	f->steward = steward_start(&s);
	for (int i = 0; i < 10 && queue_drain(t.killed, &at_ms, 1) == 0; i++)
		queue_wait(t.killed, DEADLINE_MS / 10);
	queue_close(t.killed);
	steward_stop(f->steward);
	return at_ms;
}

/* Nobody could beat, and it sees that nobody did: not that somebody is dead. */
static void after_an_outage_during_a_burial_nobody_is_declared_dead(void **state)
{
	int64_t killed_ms;

	t.away = true;
	t.burial_takes_ms = 3 * LEASE_MS;
	killed_ms = killed_at(*state);
	assert_true(t.back_ms > 0);
	assert_in_range(killed_ms, t.back_ms + LEASE_MS, t.back_ms + 2 * LEASE_MS);
}

/* What holds it up is not the store, which showed that nobody beat meanwhile. */
static void a_burial_that_waits_for_its_sink_hides_nobody_s_death(void **state)
{
	t.burial_takes_ms = LEASE_MS / 2;
	assert_in_range(killed_at(*state), BEGIN_MS + LEASE_MS, BEGIN_MS + 2 * LEASE_MS);
}

int main(void)
{
#define STEWARD(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		STEWARD(after_an_outage_during_a_burial_nobody_is_declared_dead),
		STEWARD(a_burial_that_waits_for_its_sink_hides_nobody_s_death),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
