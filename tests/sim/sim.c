/* sim [--seeds N] [--from S]: runs seeds S … S+N-1, and first those that ever failed. N is 10,000
 * or SLUICE_SIM_SEEDS. */
#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define STEPS_MAX 400000
/* What a lane is charged before its pages' size is known. One fetch is always allowed, and the
 * pages of this world are never larger than what they were charged. */
#define CHARGE_FIRST (4 * (1024 * 1024 + 1000 * 768))

static uint64_t running; /* the seed, for the last words of an assertion */

static void last_words(int number)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "sim: seed %" PRIu64 " failed\n", running);
	ssize_t written = write(2, text, (size_t)n);

	(void)written;
	signal(number, SIG_DFL);
	raise(number);
}

static size_t next_pending(const struct world *w)
{
	size_t next = 0;

	for (size_t i = 1; i < w->pending_count; i++)
		if (w->pending[i].at_ms < w->pending[next].at_ms)
			next = i;
	return next;
}

static void step(struct world *w)
{
	int64_t wake = core_wake_ms(&w->process->core);
	size_t next = next_pending(w);

	assert(++w->steps < STEPS_MAX); /* it gets somewhere */
	if (w->pending_count == 0 || wake < w->pending[next].at_ms) {
		if (wake > w->now_ms)
			w->now_ms = wake;
		process_tick(w);
		return;
	}

	struct pending e = w->pending[next];

	w->pending[next] = w->pending[--w->pending_count];
	if (e.at_ms > w->now_ms)
		w->now_ms = e.at_ms;
	process_happen(w, &e);
}

static void stop_and_drain(struct world *w)
{
	process_stop(w);
	while (!w->process->drained)
		step(w);
	process_check_drained(w);
	process_kill(w);
}

static uint64_t run(uint64_t seed)
{
	static struct world w;

	running = seed;
	world_make(&w, seed);
	process_boot(&w);
	while (!process_done(&w)) {
		step(&w);
		if (w.crashes_left > 0 && world_roll(&w, 300) == 0) {
			w.crashes_left--;
			process_kill(&w);
			w.now_ms += (int64_t)world_roll(&w, w.gaps ? 4000 : 500);
			process_boot(&w);
		} else if (w.stops_left > 0 && world_roll(&w, 500) == 0) {
			w.stops_left--;
			stop_and_drain(&w);
			process_boot(&w);
		} else if (w.releases_left > 0 && world_roll(&w, 60) == 0) {
			w.releases_left--;
			process_release_some(&w);
		}
	}
	stop_and_drain(&w);
	assert(w.most_charged <= (w.memory > CHARGE_FIRST ? w.memory : CHARGE_FIRST));
	world_check_end(&w);
	return w.steps;
}

/* Seeds that failed once stay here for good. */
static const uint64_t failed_once[] = {
	22,   /* an empty child was done while its parent waited for a roll; a crash, and the
		 grandchild was read before the parent */
	1698, /* a page that came after every sink of its lane had stopped kept its credit */
};

int main(int argc, char **argv)
{
	const char *wanted = getenv("SLUICE_SIM_SEEDS");
	uint64_t seeds = wanted ? strtoull(wanted, NULL, 10) : 10000, from = 1, steps = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seeds") == 0)
			seeds = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--from") == 0)
			from = strtoull(argv[i + 1], NULL, 10);
	}
	signal(SIGABRT, last_words);
	for (size_t i = 0; i < sizeof(failed_once) / sizeof(*failed_once); i++)
		steps += run(failed_once[i]);
	for (uint64_t s = from; s < from + seeds; s++)
		steps += run(s);
	printf("sim: %" PRIu64 " seeds, %" PRIu64 " steps\n", seeds, steps);
	return 0;
}
