/* The thread that talks to the store, over a store that is scripted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/queue.h"
#include "checkpoint/store_ops.h"
#include "consumer/saver.h"

#define LEASE_MS    10000
#define DEADLINE_MS 60000

/* --- the store: one letter a call, in their order --- */

static struct {
	char calls[64];
	size_t count;
	bool tidies;
	int64_t tidy_takes_ms;
	_Atomic int64_t boot_ms;
	_Atomic int64_t emit_until_ms;
	struct queue *answers; /* letters again */
} t;

static int64_t read_boot(const struct clock *c)
{
	(void)c;
	return atomic_load(&t.boot_ms);
}

static const struct clock fake_clock = { .boot_ms = read_boot, .wall_ms = read_boot };

static void called(char what)
{
	if (t.count < sizeof(t.calls) - 1)
		t.calls[t.count++] = what;
}

static bool beat(struct store *s, const char *id, struct error *err)
{
	(void)s, (void)id, (void)err;
	called('B');
	return true;
}

static bool tidy(struct store *s, int64_t stream, int64_t before_ms, uint32_t *removed,
		 struct error *err)
{
	(void)s, (void)stream, (void)before_ms;
	called('T');
	atomic_fetch_add(&t.boot_ms, t.tidy_takes_ms);
	*removed = 0;
	return t.tidies || error_set(err, ERROR_RETRY, "canceling statement");
}

static bool shards(struct store *s, int64_t stream, int64_t after, store_shard_fn *fn, void *arg,
		   struct error *err)
{
	(void)s, (void)stream, (void)after, (void)err;
	called('S');
	fn(arg, 5, "shard", "", false);
	return true;
}

static bool save(struct store *s, const struct store_save *what, struct error *err)
{
	(void)s, (void)what, (void)err;
	called('V');
	return true;
}

static const struct store_ops ops = {
	.session_beat = beat, .tidy = tidy, .shards = shards, .save = save
};
static struct store store = { .ops = &ops, .describe = "scripted" };

/* --- the worker --- */

static bool alive(void *arg)
{
	(void)arg;
	return true;
}

static void answer(char what)
{
	assert(queue_push(t.answers, &what));
}

static void on_saved(void *arg)
{
	(void)arg;
	answer('V');
}

static void on_shards(void *arg, struct saver_shards *job)
{
	(void)arg;
	answer(job->ok && job->count == 1 ? 'S' : '-');
	saver_shards_free(job);
}

static void on_lost(void *arg, const struct error *err)
{
	(void)arg, (void)err;
	answer('L');
}

static char next_answer(void)
{
	char what = '?';

	for (int i = 0; i < 10 && queue_drain(t.answers, &what, 1) == 0; i++)
		queue_wait(t.answers, DEADLINE_MS / 10);
	return what;
}

struct fixture {
	struct saver *saver;
	struct metrics *metrics;
	struct health *health;
};

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&t, 0, sizeof(t));
	t.boot_ms = 1000000;
	t.answers = queue_new(1, 16);
	f->metrics = metrics_new();
	f->health = health_new(&fake_clock);
	*state = f;
	return 0;
}

/* The first beat is its first call. */
static void start(struct fixture *f)
{
	struct saver_settings s = { .store = &store,
				    .session = "session",
				    .lease_ms = LEASE_MS,
				    .beat_from_ms = t.boot_ms,
				    .jobs_max = 16,
				    .clock = &fake_clock,
				    .metrics = f->metrics,
				    .health = f->health,
				    .seed = 1,
				    .emit_until_ms = &t.emit_until_ms,
				    .alive = alive,
				    .saved = on_saved,
				    .shards = on_shards,
				    .lost = on_lost };

	f->saver = saver_start(&s);
}

static int end(void **state)
{
	struct fixture *f = *state;

	if (f->saver)
		saver_stop(f->saver);
	queue_free(t.answers);
	metrics_free(f->metrics);
	health_free(f->health);
	free(f);
	return 0;
}

static void ask_shards(struct fixture *f)
{
	saver_shards(f->saver, calloc(1, sizeof(struct saver_shards)));
}

static void what_cannot_be_tidied_up_holds_up_nothing(void **state)
{
	static const struct store_save nothing = { .session = "session", .number = 1 };
	struct fixture *f = *state;

	start(f);
	ask_shards(f);
	saver_save(f->saver, &nothing);
	assert_int_equal(next_answer(), 'S');
	assert_int_equal(next_answer(), 'V');
	/* Nor does each listing try it again. */
	ask_shards(f);
	assert_int_equal(next_answer(), 'S');
	assert_int_equal(metric_get(metrics_cell(f->metrics, METRIC_STORE_ERRORS,
						 error_kind_name(ERROR_RETRY), NULL)),
			 1);
	saver_stop(f->saver);
	f->saver = NULL;
	assert_string_equal(t.calls, "BTSVS");
}

static void it_is_tried_again_later(void **state)
{
	struct fixture *f = *state;

	start(f);
	ask_shards(f);
	assert_int_equal(next_answer(), 'S');
	atomic_fetch_add(&t.boot_ms, 11 * 60 * 1000);
	t.tidies = true;
	ask_shards(f);
	ask_shards(f);
	assert_int_equal(next_answer(), 'S');
	assert_int_equal(next_answer(), 'S');
	saver_stop(f->saver);
	f->saver = NULL;
	assert_string_equal(t.calls, "BTSBTSTS");
}

/* As long as a statement may take: the question behind it may take as long again. */
static void a_beat_comes_behind_it(void **state)
{
	struct fixture *f = *state;

	t.tidy_takes_ms = LEASE_MS * 7 / 16;
	start(f);
	ask_shards(f);
	assert_int_equal(next_answer(), 'S');
	saver_stop(f->saver);
	f->saver = NULL;
	assert_string_equal(t.calls, "BTBS");
}

int main(void)
{
#define SAVER(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		SAVER(what_cannot_be_tidied_up_holds_up_nothing),
		SAVER(it_is_tried_again_later),
		SAVER(a_beat_comes_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
