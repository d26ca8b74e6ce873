/* joining [--seeds N] [--from S]: joins of a stream with exports of its table, seeds S … S+N-1, and
 * first those that ever failed. N is 3,000, or SLUICE_SIM_SEEDS. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define PATIENCE_MS   (25 * DAY_MS) /* behind the last fault */
#define EVENTS_MAX    2000000
#define TELLING_SEEDS 1000
#define COVERED_SHARE 100

static uint64_t running; /* the seed, for the last words of an assertion */

static void last_words(int number)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "joining: seed %" PRIu64 " failed\n", running);
	ssize_t written = write(2, text, (size_t)n);

	(void)written;
	signal(number, SIG_DFL);
	raise(number);
}

typedef void actor_fn(struct world *w, int index);

struct next {
	int64_t at_ms;
	actor_fn *fn;
	int index;
};

static void consider(struct next *n, int64_t at_ms, actor_fn *fn, int index)
{
	if (at_ms < n->at_ms)
		*n = (struct next){ at_ms, fn, index };
}

static void write_happen(struct world *w, int index)
{
	(void)index;
	table_write(w);
	if (w->now_ms >= w->chaos_ms + 6 * HOUR_MS)
		w->write_ms = NEVER;
}

static void outage_happen(struct world *w, int index)
{
	int64_t until_ms = w->now_ms + between(w, HOUR_MS, 40 * HOUR_MS);

	(void)index;
	w->counted[FAULT_OUTAGE]++;
	w->outage_ms = one_in(w, 2) && w->now_ms < w->chaos_ms
			       ? w->now_ms + between(w, 2 * HOUR_MS, 3 * DAY_MS)
			       : NEVER;
	for (int i = 0; i < w->worker_count; i++) {
		worker_crash(w, i);
		w->workers[i].boot_ms = until_ms + between(w, 0, 10 * MIN_MS);
	}
}

static void pitr_turn(struct world *w, int index)
{
	(void)index;
	pitr_happen(w);
}

static void person_turn(struct world *w, int index)
{
	(void)index;
	person_happen(w);
}

static void step(struct world *w)
{
	struct next n = { .at_ms = NEVER };

	consider(&n, w->write_ms, write_happen, 0);
	consider(&n, w->outage_ms, outage_happen, 0);
	consider(&n, w->pitr_off_ms < w->pitr_on_ms ? w->pitr_off_ms : w->pitr_on_ms, pitr_turn, 0);
	consider(&n, w->person_ms, person_turn, 0);
	for (int i = 0; i < w->worker_count; i++) {
		const struct worker *p = &w->workers[i];

		consider(&n, p->read_ms, worker_read, i);
		consider(&n, p->drive_ms, worker_drive, i);
		consider(&n, p->op_ms, worker_op, i);
		consider(&n, p->boot_ms, worker_boot, i);
	}
	for (int i = 0; i < w->export_count; i++)
		consider(&n, export_next_ms(w, i), export_happen, i);
	assert(n.fn);
	if (n.at_ms > w->now_ms)
		w->now_ms = n.at_ms;
	n.fn(w, n.index);
}

/* The stream is read to its end, and nothing is to be joined. */
static bool is_settled(const struct world *w)
{
	if (w->now_ms < w->calm_ms || w->write_ms != NEVER || !w->listed ||
	    w->hold.why != JOINING_NONE)
		return false;
	for (int i = 0; i < w->lanes_count; i++)
		if (w->lanes[i].gap || w->lanes[i].saved < w->lanes[i].count)
			return false;
	for (int i = 0; i < w->export_count; i++)
		if (export_next_ms(w, i) != NEVER)
			return false;
	return true;
}

static struct {
	uint64_t seeds, events, with[FAULTS];
} total;

static void run(uint64_t seed)
{
	static struct world w;
	uint64_t events = 0;

	running = seed;
	world_make(&w, seed);
	while (!is_settled(&w)) {
		step(&w);
		assert(++events < EVENTS_MAX);
		assert(w.now_ms < w.calm_ms + PATIENCE_MS); /* it gets somewhere */
	}
	world_check_end(&w);
	total.seeds++;
	total.events += events;
	for (int f = 0; f < FAULTS; f++)
		total.with[f] += w.counted[f] > 0;
}

static bool print_coverage(void)
{
	bool all = true;

	printf("%7s  what the seeds had\n", "share");
	for (int f = 0; f < FAULTS; f++) {
		bool enough = total.with[f] * COVERED_SHARE >= total.seeds;

		printf("%6.1f%%  %s%s\n", 100.0 * (double)total.with[f] / (double)total.seeds,
		       fault_texts[f], enough ? "" : "  <- too few");
		all = all && enough;
	}
	return all || total.seeds < TELLING_SEEDS;
}

int main(int argc, char **argv)
{
	const char *wanted = getenv("SLUICE_SIM_SEEDS");
	uint64_t seeds = wanted ? strtoull(wanted, NULL, 10) : 3000, from = 1;
	bool covered;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seeds") == 0)
			seeds = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--from") == 0)
			from = strtoull(argv[i + 1], NULL, 10);
	}
	signal(SIGABRT, last_words);
	for (uint64_t s = from; s < from + seeds; s++)
		run(s);
	covered = print_coverage();
	printf("joining: %" PRIu64 " seeds, %" PRIu64 " events\n", total.seeds, total.events);
	return covered ? 0 : 1;
}
