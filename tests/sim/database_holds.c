/* A stream is held, reset and goes on: what 2.3_holds.sql does. */
#include <string.h>

#include "database.h"

int database_hold(struct world *w, int said)
{
	struct database *d = w->database;

	for (int i = 1; i <= d->hold_count; i++)
		if (d->holds[i].said == said)
			return d->hold == i ? i : 0;
	if (d->hold)
		return 0;
	assert(d->hold_count < HOLDS_MAX);
	d->hold = d->epoch = ++d->hold_count;
	d->holds[d->hold] = (struct hold){ .said = said, .generation = d->generation };
	return d->hold;
}

int database_owned(const struct world *w)
{
	const struct database *d = w->database;
	int owned = 0;

	for (int i = 0; i < d->row_count; i++)
		owned += d->rows[i].owner != 0;
	return owned;
}

/* Everything from its start on is read again, as if it were new. */
static void reset_all(struct world *w, int64_t start_ms)
{
	struct database *d = w->database;

	for (int i = 0; i < d->row_count; i++) {
		d->rows[i].removed = d->rows[i].forgotten = true;
		d->rows[i].wanted_by = 0;
	}
	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		w->sinks[sink].added_ms = 0;
	d->rooted = false;
	d->start_ms = start_ms;
	world_reset(w, start_ms);
}

/* A shard and its descendants are read again. */
static void reset_some(struct world *w, int shard)
{
	struct database *d = w->database;

	for (int i = 0; i < d->row_count; i++) {
		struct row *row = &d->rows[i];

		if (row->removed || !world_descends(w, row->shard, shard))
			continue;
		row->done = false;
		for (uint32_t sink = 0; sink < w->sink_count; sink++)
			row->at[sink] = (struct position){ .there = row->at[sink].there };
	}
	world_rewind(w, shard);
}

bool database_reset(struct world *w, int hold, uint64_t generation, int64_t start_ms, int shard)
{
	struct database *d = w->database;
	struct hold *h = &d->holds[hold];

	if (h->reset && h->reset_from == generation && h->start_ms == start_ms)
		return true; /* its reply was lost */
	if (d->hold != hold || d->generation != generation || database_owned(w) > 0)
		return false;
	if (shard < 0)
		reset_all(w, start_ms);
	else
		reset_some(w, shard);
	if (d->generation <= h->generation)
		d->generation = h->generation + 1;
	d->outdated = generation;
	h->reset = true;
	h->reset_from = generation;
	h->start_ms = start_ms;
	return true;
}

void database_go_on(struct world *w, int hold)
{
	if (w->database->hold == hold)
		w->database->hold = 0;
}
