/* sim_exports [--seeds N] [--from S]: the life of a table's exports under crashes and lost answers.
 * N is 400 or a 25th of SLUICE_SIM_SEEDS. */
#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define START_MS ((int64_t)1700006400000)
#define TELLING  40 /* seeds from which on every kind of fault has to be among them */

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

bool chance(struct world *w, unsigned in)
{
	return rng_below(&w->rng, in) == 0;
}

bool is_live(const struct world *w, const char *session)
{
	for (int i = 0; i < WORKERS; i++)
		if (strcmp(w->workers[i].session, session) == 0)
			return true;
	return false;
}

static void setup(struct world *w, uint64_t seed)
{
	static const int64_t lengths[] = { 15, 60, 240, 24 * 60, 0 };
	struct error err;

	memset(w, 0, sizeof(*w));
	rng_seed(&w->rng, seed);
	w->now_ms = START_MS + (int64_t)rng_below(&w->rng, DAY_MS);
	w->load = chance(w, 2);
	w->full_scheduled = !chance(w, 4);
	w->pitr_since_ms = chance(w, 3) ? w->now_ms : START_MS - 30 * DAY_MS;
	w->zone = zone_open("UTC", &err);
	assert(w->zone);
	if (!schedule_parse(&w->schedule, "0 4 * * *", &err))
		abort();
	w->rules = (struct chain_rules){ w->full_scheduled ? &w->schedule : NULL, w->zone,
					 lengths[rng_below(&w->rng, 5)] * MINUTE_MS };
	if (!w->full_scheduled && w->rules.length_ms == 0)
		w->rules.length_ms = HOUR_MS;
	w->drive =
		(struct drive_rules){ w->load, true, POLL_MS, RETRIES,
				      w->load && chance(w, 2) ? 2 + (uint32_t)rng_below(&w->rng, 4)
							      : 1 };
	for (int i = 0; i < WORKERS; i++)
		worker_begin(w, &w->workers[i]);
}

static struct chain chain_of(const struct world *w, uint64_t *generation)
{
	struct store_export full = { 0 }, window = { 0 };

	for (size_t i = 0; i < w->count; i++)
		*(w->rows[i].e.from_ms ? &window : &full) = w->rows[i].e;
	*generation = drive_generation(&full, &window);
	return drive_chain(&full, &window, &w->drive);
}

/* A window by hand, if one may be begun. */
static void begin_window(struct world *w)
{
	uint64_t generation;
	struct chain c = chain_of(w, &generation);
	struct window next;
	struct error err;

	if (chain_window_now(&c, WINDOW_LONGEST_MS, w->now_ms, &next, &err))
		(void)store_begin(w, "", next, generation);
}

/* What other parts of the program, and people, do. */
static void others(struct world *w)
{
	for (size_t i = 0; i < w->count; i++) {
		struct store_export *e = &w->rows[i].e;

		if (e->status == STORE_EXPORT_LOADING && chance(w, 20))
			store_loaded(w, e->id);
		if (e->status == STORE_EXPORT_FAILED && !w->rows[i].lost && chance(w, 200))
			store_retry(w, e->id);
	}
	if (w->quiet)
		return;
	if (chance(w, 2000))
		w->pitr_since_ms = 0;
	else if (w->pitr_since_ms == 0 && chance(w, 40))
		w->pitr_since_ms = w->now_ms;
	if (chance(w, 600))
		begin_window(w);
	/* A full export by hand. */
	if (chance(w, 1500))
		(void)store_begin(w, "", (struct window){ 0, w->now_ms - w->now_ms % MINUTE_MS },
				  w->count == 0 && !w->full_scheduled ? DRIVE_BESIDE_WINDOWS : 0);
}

static void turn(struct world *w)
{
	struct worker *k = &w->workers[rng_below(&w->rng, WORKERS)];

	w->now_ms += (int64_t)rng_below(&w->rng, chance(w, 500) ? 30 * MINUTE_MS : MINUTE_MS / 4);
	if (!w->quiet && chance(w, 60)) {
		w->seen.crashes++;
		worker_begin(w, k);
	} else {
		worker_turn(w, k);
	}
	others(w);
}

/* All that is due is done, and told. */
static void check_end(struct world *w)
{
	unsigned untold = 0, collected = 0;
	uint64_t generation;
	struct chain c = chain_of(w, &generation);

	if (w->full_scheduled) {
		int64_t due_ms = schedule_previous(&w->schedule, w->zone, w->now_ms - 6 * HOUR_MS);

		assert(c.full_ms >= due_ms);
	}
	/* Without a schedule a gap stays until a person sees to it. The shortest windows take about
	 * as long as they are: one by one they do not catch up in this time. */
	if (w->rules.length_ms > WINDOW_SHORTEST_MS && (w->full_scheduled || w->seen.lost == 0))
		assert(chain_behind(&w->rules, &c, w->now_ms - 3 * HOUR_MS) <= 1);
	for (size_t i = 0; i < w->count; i++) {
		const struct store_export *e = &w->rows[i].e, *last = &w->rows[w->count - 1].e;

		/* What was under way when the newest generation began, a moment ago, may still be.
		 */
		assert(e->generation == last->generation || e->status == STORE_EXPORT_COMPLETE ||
		       e->status == STORE_EXPORT_ABANDONED ||
		       (e->generation + 1 == last->generation && last->number == 0 &&
			w->now_ms - last->begun_ms < HOUR_MS));
		untold += e->status == STORE_EXPORT_COMPLETE && !e->published_ms;
		collected += e->from_ms && e->status == STORE_EXPORT_EXPORTED && !e->batch;
	}
	assert(untold <= w->drive.load_every); /* what was done last */
	/* Not more than a batch waits, and what may be exported meanwhile. */
	assert(w->drive.load_every == 1 || collected <= 2 * w->drive.load_every);
}

static void run(struct world *w, uint64_t seed)
{
	int64_t end_ms;

	running = seed;
	setup(w, seed);
	for (end_ms = w->now_ms + 2 * DAY_MS; w->now_ms < end_ms;)
		turn(w);
	w->quiet = true;
	if (w->pitr_since_ms == 0)
		w->pitr_since_ms = w->now_ms;
	for (end_ms = w->now_ms + 3 * DAY_MS; w->now_ms < end_ms;)
		turn(w);
	store_check(w);
	check_end(w);
	zone_close(w->zone);
}

/* Seeds that failed once stay here for good. */
static const uint64_t failed_once[] = {
	260,              /* a batch was under way when the next generation began */
	2149, 2498, 3220, /* a full export was sent first, then the window that was begun with it */
};

static uint64_t number_after(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return strtoull(argv[i + 1], NULL, 10);
	return otherwise;
}

int main(int argc, char **argv)
{
	static struct world w;
	const char *given = getenv("SLUICE_SIM_SEEDS");
	uint64_t seeds =
		number_after(argc, argv, "--seeds", given ? strtoull(given, NULL, 10) / 25 : 400);
	uint64_t from = number_after(argc, argv, "--from", 1);
	unsigned crashes = 0, failures = 0, lost = 0, abandoned = 0, repeated = 0, windows = 0;
	unsigned batches = 0, shorter = 0;

	signal(SIGABRT, last_words);
	for (size_t i = 0; i < sizeof(failed_once) / sizeof(*failed_once); i++)
		run(&w, failed_once[i]);
	for (uint64_t seed = from; seed < from + seeds; seed++) {
		run(&w, seed);
		crashes += w.seen.crashes;
		failures += w.seen.failures;
		lost += w.seen.lost;
		abandoned += w.seen.abandoned;
		repeated += w.seen.repeated;
		windows += w.seen.windows;
		batches += w.seen.batches;
		shorter += w.seen.shorter;
	}
	printf("sim: %" PRIu64
	       " seeds: %u windows, %u crashes, %u failed attempts, %u lost windows, "
	       "%u given up, %u tokens sent again, %u batches, %u of them short\n",
	       seeds, windows, crashes, failures, lost, abandoned, repeated, batches, shorter);
	assert(seeds < TELLING ||
	       (crashes && failures && lost && abandoned && repeated && shorter));
	return 0;
}
