/* The store's promises (checkpoint/exports.h), and AWS's rules. */
#include <assert.h>
#include <string.h>

#include "world.h"

static struct row *row_of(struct world *w, int64_t id)
{
	assert(id > 0 && (size_t)id <= w->count);
	return &w->rows[id - 1];
}

int64_t store_begin(struct world *w, const char *session, struct window window, uint64_t generation)
{
	bool full = window.from_ms == 0;
	uint64_t newest = 0, number = 0;
	int64_t end_ms = 0;
	struct row *r;

	for (size_t i = 0; i < w->count; i++) {
		const struct store_export *e = &w->rows[i].e;

		if (e->from_ms == window.from_ms && e->to_ms == window.to_ms &&
		    (generation == 0 || e->generation == generation))
			return e->id;
		newest = e->generation > newest ? e->generation : newest;
	}
	if (generation == 0)
		generation = full ? newest + 1 : newest > 0 ? newest : 1;
	for (size_t i = 0; i < w->count && !full; i++) {
		const struct store_export *e = &w->rows[i].e;

		if (e->generation != generation || e->from_ms == 0)
			continue;
		number = e->number;
		end_ms = e->to_ms;
	}
	if (number > 0 && end_ms != window.from_ms)
		return 0;
	assert(w->count < ROWS_MAX);
	r = &w->rows[w->count++];
	*r = (struct row){ .aws = -1 };
	r->e = (struct store_export){ .id = (int64_t)w->count,
				      .table_arn = "arn",
				      .name = "orders",
				      .kind = full ? STORE_EXPORT_FULL : STORE_EXPORT_INCREMENTAL,
				      .from_ms = window.from_ms,
				      .to_ms = window.to_ms,
				      .generation = generation,
				      .view = "",
				      .ends_batch = !*session,
				      .number = full ? 0 : number + 1,
				      .begun_ms = w->now_ms };
	strcpy(r->driver, session);
	w->seen.fulls += full;
	w->seen.windows += !full;
	return r->e.id;
}

void store_take(struct world *w, const char *session, int64_t id)
{
	struct row *r = row_of(w, id);

	if (!is_live(w, r->driver))
		strcpy(r->driver, session);
}

void store_attempt(struct world *w, int64_t id, uint32_t attempt, int64_t looked_ms)
{
	struct row *r = row_of(w, id);

	if (r->e.status != STORE_EXPORT_WAITING || r->e.attempt != attempt - 1)
		return;
	/* The one before has ended, for everybody to see. */
	assert(r->e.attempt == 0 || r->e.retry_at_ms > 0);
	assert(w->now_ms >= r->e.retry_at_ms);
	assert(attempt <= RETRIES + 1 + r->retried);
	r->e.attempt = attempt;
	r->decided_ms = looked_ms;
	r->e.retry_at_ms = 0;
	r->aws = -1;
}

void store_submitted(struct world *w, int64_t id, uint32_t attempt, int aws)
{
	struct row *r = row_of(w, id);

	if (r->e.status != STORE_EXPORT_WAITING || r->e.attempt != attempt)
		return;
	r->e.status = STORE_EXPORT_RUNNING;
	r->aws = aws;
}

void store_exported(struct world *w, int64_t id, uint32_t attempt)
{
	struct row *r = row_of(w, id);

	if (r->e.status == STORE_EXPORT_RUNNING && r->e.attempt == attempt)
		r->e.status = STORE_EXPORT_EXPORTED;
}

void store_failed(struct world *w, int64_t id, uint32_t attempt, int64_t retry_at_ms, bool lost)
{
	struct row *r = row_of(w, id);

	if (r->e.status > STORE_EXPORT_EXPORTED || r->e.attempt != attempt || r->e.batch)
		return;
	r->e.status = retry_at_ms ? STORE_EXPORT_WAITING : STORE_EXPORT_FAILED;
	r->e.retry_at_ms = retry_at_ms;
	r->lost = lost;
	if (r->aws >= 0)
		w->exports[r->aws].given_up = true;
	w->seen.failures++;
	w->seen.lost += lost;
}

static bool is_over(const struct store_export *e)
{
	return e->status == STORE_EXPORT_COMPLETE || e->status == STORE_EXPORT_ABANDONED;
}

/* No window of its generation comes behind it any more. */
static bool is_last(const struct world *w, const struct row *r)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->rows[i].e.from_ms == 0 && w->rows[i].e.generation > r->e.generation)
			return true;
	return false;
}

/* Nothing that comes before it may be undone. */
static void in_order(const struct world *w, const struct row *r)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct store_export *o = &w->rows[i].e;

		assert(o->generation != r->e.generation || o->number >= r->e.number ||
		       o->status == STORE_EXPORT_COMPLETE);
	}
}

void store_finish(struct world *w, int64_t id)
{
	struct row *r = row_of(w, id);

	if (r->e.status != STORE_EXPORT_EXPORTED || r->e.batch)
		return;
	in_order(w, r);
	r->e.status = STORE_EXPORT_COMPLETE;
}

void store_load(struct world *w, int64_t id)
{
	struct row *r = row_of(w, id);

	if (r->e.status != STORE_EXPORT_EXPORTED || r->e.batch)
		return;
	/* Windows that could be loaded together are. */
	assert(r->e.from_ms == 0 || w->drive.load_every == 1 || r->e.ends_batch || is_last(w, r));
	in_order(w, r);
	for (size_t i = 0; i < w->count; i++)
		assert(w->rows[i].e.status != STORE_EXPORT_LOADING);
	r->e.status = STORE_EXPORT_LOADING;
}

/* What the store refuses, the worker looks at again; what it takes has to be right. */
void store_batch(struct world *w, int64_t id, uint64_t first)
{
	struct row *last = row_of(w, id);
	uint64_t size = last->e.number - first + 1, ready = 0;

	for (size_t i = 0; i < w->count; i++) {
		const struct store_export *e = &w->rows[i].e;

		if (e->generation != last->e.generation || e->number < first ||
		    e->number > last->e.number)
			continue;
		if (e->status != STORE_EXPORT_EXPORTED || e->batch)
			return;
		ready++;
		assert(!e->ends_batch || e->number == last->e.number);
	}
	assert(ready == size && size > 1 && size <= w->drive.load_every);
	assert(size == w->drive.load_every || last->e.ends_batch || is_last(w, last));
	for (size_t i = 0; i < w->count; i++) {
		struct store_export *e = &w->rows[i].e;

		assert(e->status != STORE_EXPORT_LOADING);
		if (e->generation == last->e.generation && e->number < first)
			assert(is_over(e));
		if (e->generation == last->e.generation && e->number >= first &&
		    e->number <= last->e.number)
			e->batch = id;
	}
	last->e.status = STORE_EXPORT_LOADING;
	w->seen.batches++;
	w->seen.shorter += size < w->drive.load_every;
}

void store_loaded(struct world *w, int64_t id)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->rows[i].e.id == id || w->rows[i].e.batch == id)
			w->rows[i].e.status = STORE_EXPORT_COMPLETE;
}

void store_published(struct world *w, int64_t id)
{
	struct row *r = row_of(w, id);

	if (r->e.status == STORE_EXPORT_COMPLETE && r->e.published_ms == 0)
		r->e.published_ms = w->now_ms;
}

void store_abandon(struct world *w, int64_t id)
{
	struct row *r = row_of(w, id);

	if (r->e.status == STORE_EXPORT_COMPLETE)
		return;
	/* What AWS may be at is not thrown away. */
	assert(r->e.status == STORE_EXPORT_FAILED || r->e.status == STORE_EXPORT_ABANDONED ||
	       !drive_in_flight(&r->e));
	w->seen.abandoned += r->e.status != STORE_EXPORT_ABANDONED;
	r->e.status = STORE_EXPORT_ABANDONED;
}

void store_retry(struct world *w, int64_t id)
{
	struct row *r = row_of(w, id);

	if (r->e.status != STORE_EXPORT_FAILED)
		return;
	r->e.status = STORE_EXPORT_WAITING;
	r->e.retry_at_ms = w->now_ms;
	r->retried++;
}

void store_check(const struct world *w)
{
	const struct store_export *full = NULL, *last = NULL;

	for (uint64_t g = 1; g <= (w->count ? w->rows[w->count - 1].e.generation : 0); g++) {
		full = last = NULL;
		for (size_t i = 0; i < w->count; i++) {
			const struct store_export *e = &w->rows[i].e;

			if (e->generation != g)
				continue;
			if (e->from_ms == 0) {
				assert(!full && !last);
				full = e;
				continue;
			}
			/* The first one around the cut, then without a gap and without an overlap.
			 */
			if (!last && full)
				assert(e->from_ms == full->to_ms - WINDOW_BEFORE_CUT_MS &&
				       e->to_ms == full->to_ms + WINDOW_AFTER_CUT_MS);
			if (last)
				assert(e->from_ms == last->to_ms && e->number == last->number + 1);
			last = e;
		}
	}
}

/* --- AWS --- */

int64_t aws_latest_ms(const struct world *w)
{
	int64_t latest_ms = w->now_ms - 5 * MINUTE_MS;

	return latest_ms > w->pitr_since_ms ? latest_ms : w->pitr_since_ms;
}

/* The generation was begun after the row's worker had looked. */
static bool is_unseen(const struct world *w, const struct row *row, uint64_t generation)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->rows[i].e.generation == generation)
			return generation > row->e.generation &&
			       w->rows[i].e.begun_ms >= row->decided_ms;
	return false;
}

int aws_start(struct world *w, const struct row *row)
{
	const struct store_export *e = &row->e;
	int64_t from_ms = e->from_ms ? e->from_ms : e->to_ms;
	struct aws_export *x;

	/* What the worker sends is written down before. */
	assert(e->attempt > 0);
	for (size_t i = 0; i < w->export_count; i++)
		if (w->exports[i].window.from_ms == e->from_ms &&
		    w->exports[i].window.to_ms == e->to_ms &&
		    w->exports[i].generation == e->generation &&
		    w->exports[i].attempt == e->attempt) {
			w->seen.repeated++;
			return (int)i; /* the same token */
		}
	if (w->pitr_since_ms == 0 || from_ms < w->pitr_since_ms)
		return -1;
	assert(e->to_ms <= aws_latest_ms(w));
	for (size_t i = 0; i < w->export_count; i++) {
		x = &w->exports[i];
		/* One at a time. A window of the generation before may have been begun in the same
		 * moment, by another worker: it is useless, and does no harm, whichever of the two
		 * is sent first. */
		assert(x->given_up || x->due_ms <= w->now_ms || x->generation < e->generation ||
		       is_unseen(w, row, x->generation));
		/* And each window once. */
		assert(x->window.from_ms != e->from_ms || x->window.to_ms != e->to_ms ||
		       x->generation != e->generation || x->fails || x->bad);
	}
	assert(w->export_count < ROWS_MAX);
	x = &w->exports[w->export_count++];
	*x = (struct aws_export){ .window = { e->from_ms, e->to_ms },
				  .attempt = e->attempt,
				  .generation = e->generation,
				  .due_ms = w->now_ms + MINUTE_MS +
					    (int64_t)rng_below(&w->rng, 5 * MINUTE_MS),
				  .fails = !w->quiet && chance(w, 6),
				  .bad = !w->quiet && chance(w, 10) };
	return (int)(w->export_count - 1);
}
