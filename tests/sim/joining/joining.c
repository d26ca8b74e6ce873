/* joining [--seeds N] [--from S]: joins of a stream with exports of its table (seeds.h). */
#include <inttypes.h>
#include <stdio.h>

#include "../seeds.h"
#include "world.h"

#define PATIENCE_MS (25 * DAY_MS) /* behind the last fault */
#define EVENTS_MAX  2000000

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

static uint64_t total_events;

static void run(uint64_t seed, uint64_t *counted)
{
	static struct world w;
	uint64_t events = 0;

	world_make(&w, seed);
	while (!is_settled(&w)) {
		step(&w);
		assert(++events < EVENTS_MAX);
		assert(w.now_ms < w.calm_ms + PATIENCE_MS); /* it gets somewhere */
	}
	world_check_end(&w);
	total_events += events;
	for (int f = 0; f < FAULTS; f++)
		counted[f] = w.counted[f];
}

static void told(void)
{
	printf("%" PRIu64 " events\n", total_events);
}

int main(int argc, char **argv)
{
	static const struct seeds seeds = { .name = "joining",
					    .count = 3000,
					    .run = run,
					    .fault_texts = fault_texts,
					    .fault_count = FAULTS,
					    .told = told };

	return seeds_main(&seeds, argc, argv);
}
