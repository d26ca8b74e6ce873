#include "world.h"

#include <string.h>

const char *const fault_texts[FAULTS] = {
	[FAULT_BASELINE] = "a stream that begins with a full export",
	[FAULT_WINDOWS] = "and windows behind it",
	[FAULT_LONG] = "an export of more than a day",
	[FAULT_REPAIR] = "a gap that is repaired",
	[FAULT_ROUNDS] = "with another round of windows",
	[FAULT_CRASH] = "a worker dies between two calls",
	[FAULT_STALE] = "two workers take steps at once",
	[FAULT_ATTEMPT] = "an export fails and is tried again",
	[FAULT_RETRY] = "and again, once a person said so",
	[FAULT_TOO_MANY] = "more repairs than a day may have",
	[FAULT_BEYOND] = "a gap out of PITR's reach",
	[FAULT_ANEW] = "a baseline of a stream that was read before",
	[FAULT_OUTAGE] = "all workers are away for hours",
	[FAULT_STUCK] = "one shard is not read for hours",
	[FAULT_GHOST] = "a delete that exports cannot give back",
	[FAULT_ABANDON] = "a join is given up by a person",
	[FAULT_ACCEPT] = "a loss is accepted while it is to be repaired",
};

uint64_t roll(struct world *w, uint64_t n)
{
	return rng_below(&w->rng, n);
}

bool one_in(struct world *w, uint64_t n)
{
	return roll(w, n) == 0;
}

int64_t between(struct world *w, int64_t least_ms, int64_t most_ms)
{
	return least_ms + (int64_t)roll(w, (uint64_t)(most_ms - least_ms + 1));
}

/* --- the table --- */

int table_state(const struct world *w, int key, int64_t t_ms)
{
	int at = w->newest[key];

	while (at >= 0 && w->changes[at].at_ms >= t_ms)
		at = w->changes[at].before;
	return at < 0 ? 0 : w->changes[at].value;
}

void table_write(struct world *w)
{
	bool lasting = one_in(w, 5);
	int key = lasting ? (int)roll(w, LASTING)
			  : LASTING + (w->bursts * 8 + (int)roll(w, 8)) % (KEYS - LASTING);
	struct lane *l = &w->lanes[key % w->lanes_count];
	bool gone = table_state(w, key, NEVER) && (lasting ? one_in(w, 6) : !one_in(w, 3));

	assert(w->change_count < CHANGES_MAX);
	w->changes[w->change_count] = (struct change){ .at_ms = w->now_ms,
						       .key = key,
						       .value = gone ? 0 : w->change_count + 1,
						       .before = w->newest[key] };
	w->newest[key] = w->change_count;
	if (w->now_ms >= w->enabled_ms)
		l->records[l->count++] = w->change_count;
	w->change_count++;
	if (w->burst-- <= 0) {
		w->burst = one_in(w, 2) ? (int)roll(w, 60) : (int)roll(w, 5);
		w->bursts++;
	}
	w->write_ms = w->now_ms + (w->burst > 0 ? between(w, 1, 60 * SECOND_MS)
						: between(w, MIN_MS, 40 * MIN_MS));
}

/* --- downstream --- */

void deliver(struct world *w, uint64_t generation, uint64_t sequence, int key, int value,
	     bool zombie)
{
	struct known now = { generation, sequence, value }, *best = &w->best[key];

	if (generation > best->generation ||
	    (generation == best->generation && sequence >= best->sequence))
		*best = now;
	if (!zombie)
		w->last[key] = now;
}

/* --- the end --- */

static struct window_plan plan_of(const struct world *w, const struct join *j)
{
	struct window_plan p = { 0 };

	for (int i = 0; i < w->export_count; i++) {
		const struct store_export *e = &w->exports[i];

		if (e->generation == j->generation && e->from_ms > 0)
			window_plan_add(&p, &(struct window){ e->from_ms, e->to_ms });
	}
	return p;
}

/* What the documentation says of what exports cannot give back, whatever the plan was. */
static bool is_documented(const struct join *j, int64_t place_ms, int64_t born_ms,
			  int64_t deleted_ms)
{
	int64_t slack_ms = FUZZ_MS + 2 * SECOND_MS;

	if (j->full || place_ms == j->oldest_ms)
		return born_ms >= place_ms - 13 * MIN_MS - slack_ms &&
		       deleted_ms <= place_ms + 2 * MIN_MS + slack_ms;
	return deleted_ms <= place_ms + 17 * MIN_MS + slack_ms;
}

struct life {
	int64_t born_ms, deleted_ms;
};

static bool place_misses(const struct world *w, const struct join *j, const struct window_plan *p,
			 int64_t place_ms, int64_t delivered_ms, bool fuzzy, struct life life)
{
	if (p->count == 0 || !window_plan_misses(p, delivered_ms, fuzzy, life.born_ms,
						 life.deleted_ms, w->exact ? 0 : FUZZ_MS))
		return false;
	assert(is_documented(j, place_ms, life.born_ms, life.deleted_ms));
	return true;
}

static bool join_misses(const struct world *w, const struct join *j, int key, struct life life)
{
	int lane = key % w->lanes_count;
	struct window_plan p = plan_of(w, j);
	bool misses = j->full ? place_misses(w, j, &p, j->t_ms, j->t_ms, true, life)
			      : place_misses(w, j, &p, j->places_ms[lane], j->delivered_ms[lane],
					     false, life);

	for (int i = 0; i < j->loaded_count && !misses; i++)
		misses = place_misses(w, j, &p, j->loaded_ms[i], j->loaded_ms[i], true, life);
	window_plan_release(&p);
	return misses;
}

/* The life that the key's change number `at` ends, or none. */
static bool life_of(const struct world *w, int at, struct life *out)
{
	int born = w->changes[at].before;

	if (w->changes[at].value || born < 0)
		return false;
	while (w->changes[born].before >= 0 && w->changes[w->changes[born].before].value)
		born = w->changes[born].before;
	*out = (struct life){ w->changes[born].at_ms, w->changes[at].at_ms };
	return true;
}

/* One of the key's lives is one whose end some join could not tell. */
static bool foreseen(const struct world *w, int key)
{
	struct life life;

	for (int at = w->newest[key]; at >= 0; at = w->changes[at].before)
		for (int j = 0; life_of(w, at, &life) && j < w->join_count; j++)
			if (join_misses(w, &w->joins[j], key, life))
				return true;
	return false;
}

/* A key of a single life that the only join could not tell the end of, where nothing is fuzzy. */
static bool certain(const struct world *w, int key)
{
	const struct join *j = &w->joins[0];
	int at = w->newest[key];
	int64_t delivered_ms = j->full ? j->t_ms : j->delivered_ms[key % w->lanes_count] + 1;
	struct life life;

	if (!w->exact || w->join_count != 1 || at < 0 || !life_of(w, at, &life))
		return false;
	while (w->changes[at].before >= 0) {
		at = w->changes[at].before;
		if (!w->changes[at].value)
			return false;
	}
	return table_state(w, key, delivered_ms) && join_misses(w, j, key, life);
}

static void check_key(struct world *w, int key, const struct known *known)
{
	int is = table_state(w, key, NEVER);

	if (known->value != is) {
		/* Only a deleted item can stay; nothing else is lost. */
		assert(is == 0);
		assert(foreseen(w, key));
		w->counted[FAULT_GHOST]++;
	} else {
		assert(!certain(w, key));
	}
}

void world_check_end(struct world *w)
{
	for (int i = 0; i < w->export_count; i++)
		assert(w->exports[i].published_ms > 0 ||
		       w->exports[i].status == STORE_EXPORT_ABANDONED);
	for (int key = 0; key < KEYS && !w->lossy; key++) {
		check_key(w, key, &w->best[key]);
		check_key(w, key, &w->last[key]);
	}
}

/* --- the beginning --- */

void world_make(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	rng_seed(&w->rng, seed);
	w->begin_ms = w->now_ms = 1763700000000 + between(w, 0, DAY_MS);
	w->salt = rng_next(&w->rng);
	w->exact = one_in(w, 4);
	w->lanes_count = 1 + (int)roll(w, LANES_MAX);
	w->worker_count = 1 + (int)roll(w, WORKERS_MAX);
	w->chaos_ms = w->begin_ms + DAY_MS + between(w, 0, 5 * DAY_MS);
	w->calm_ms = w->chaos_ms + 12 * HOUR_MS;
	w->write_ms = w->begin_ms;
	/* It may have been off until a moment ago. */
	w->enabled_ms = w->begin_ms + between(w, 2 * HOUR_MS, 3 * HOUR_MS);
	w->generation = 1;
	w->hold = (struct hold){ .id = ++w->last_hold, .why = JOINING_BASELINE };
	w->pitr = !one_in(w, 5);
	w->may_enable = true;
	w->earliest_ms = one_in(w, 2) ? w->begin_ms - DAY_MS : w->enabled_ms;
	w->pitr_off_ms = one_in(w, 6) ? between(w, w->enabled_ms, w->chaos_ms) : NEVER;
	w->pitr_on_ms = NEVER;
	w->slowness = 0.01 + 0.6 * rng_unit(&w->rng);
	w->aws = (int)roll(w, 4);
	w->aws_fails = one_in(w, 4);
	w->outage_ms = one_in(w, 3) ? NEVER : between(w, w->enabled_ms, w->chaos_ms);
	w->person_ms = w->enabled_ms + HOUR_MS;
	memset(w->newest, 0xff, sizeof(w->newest));
	for (int i = 0; i < LANES_MAX; i++)
		w->lanes[i].owner = -1;
	for (int i = 0; i < w->worker_count; i++) {
		w->workers[i] =
			(struct worker){ .read_ms = NEVER,
					 .drive_ms = NEVER,
					 .op_ms = NEVER,
					 .boot_ms = w->enabled_ms + between(w, 0, 3 * MIN_MS) };
		w->workers[i].buried = true;
	}
}
