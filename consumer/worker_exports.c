/* Exports: what the store has of them, seen every few seconds, and whose turn it is. */
#include "consumer/worker_exports.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "consumer/worker_internal.h"

#define TICK_MS       500
#define LOOK_MS       4000
#define EXPORTS_MAX   1000
#define SESSIONS_MAX  256
#define ANSWERS_MIN   2 /* see worker_follow.c */
#define HEALTH_DETAIL 400

bool worker_exports_timed(const struct worker *w)
{
	return w->answers + w->exports->answers >= ANSWERS_MIN;
}

void worker_exports_look(struct worker *w)
{
	w->exports->look_at_ms = 0;
	w->exports->look_again = w->exports->looking;
}

void worker_export_changed(struct worker_export *x)
{
	x->stale = true;
	x->after = x->worker->exports->looks;
	worker_exports_look(x->worker);
}

void worker_target_health(struct worker_target *t, const char *trouble, const char *detail)
{
	struct health *h = t->worker->settings.health;
	char part[300], text[HEALTH_DETAIL];

	snprintf(part, sizeof(part), "exports %s", t->name);
	t->trouble = trouble;
	if (!trouble) {
		health_forget(h, part);
		return;
	}
	snprintf(text, sizeof(text), "%s: %s", trouble, detail);
	health_set(h, part, text);
}

/* --- a look at the store --- */

struct look_task {
	struct worker_task task; /* first */
	const char *session;
	struct worker_look *look;
};

static const char *copied(struct worker_look *k, const char *text)
{
	return arena_printf(&k->memory, "%s", text);
}

static struct store_export kept(struct worker_look *k, const struct store_export *e)
{
	struct store_export out = *e;

	out.table_arn = copied(k, e->table_arn);
	out.name = copied(k, e->name);
	out.view = copied(k, e->view);
	out.manifest = copied(k, e->manifest);
	out.token = copied(k, e->token);
	out.arn = copied(k, e->arn);
	out.error = copied(k, e->error);
	return out;
}

static void saw(void *arg, const struct store_export *e)
{
	struct worker_look *k = arg;

	k->rows = memory_room(k->rows, k->count, sizeof(*k->rows));
	k->rows[k->count++] = kept(k, e);
}

struct newest {
	struct worker_look *look;
	struct store_export *out;
};

static void saw_newest(void *arg, const struct store_export *e)
{
	struct newest *n = arg;

	*n->out = kept(n->look, e);
}

static bool newest_of(struct worker_look *k, struct store *store, const struct worker_chain *c,
		      enum store_export_kind kind, struct store_export *out, struct error *err)
{
	struct newest n = { k, out };
	struct store_exports_of of = { .table_arn = c->arn,
				       .name = c->target->name,
				       .kind = store_export_kind_name(kind),
				       .unsummed = true,
				       .max = 1 };

	*out = (struct store_export){ 0 };
	return store_exports(store, &of, saw_newest, &n, err);
}

static bool all_driven_by(const struct worker_look *k, const char *session)
{
	for (size_t i = 0; i < k->count; i++)
		if (strcmp(k->rows[i].driver, session) != 0)
			return false;
	return true;
}

/* On the saver's thread, which alone has the look meanwhile. Chains before rows: what is begun in
 * between is then among the rows, and the chain is looked at again before anything follows. */
static bool look_work(struct saver_task *task, struct store *store, struct error *err)
{
	struct look_task *t = (struct look_task *)task;
	struct worker_look *k = t->look;
	struct store_exports_of open = { .open = true, .unsummed = true, .max = EXPORTS_MAX };

	arena_release(&k->memory);
	arena_init(&k->memory);
	k->count = k->session_count = 0;
	for (size_t i = 0; i < k->chain_count; i++)
		if (!newest_of(k, store, &k->chains[i], STORE_EXPORT_FULL, &k->chains[i].full,
			       err) ||
		    !newest_of(k, store, &k->chains[i], STORE_EXPORT_INCREMENTAL,
			       &k->chains[i].window, err))
			return false;
	return store_exports(store, &open, saw, k, err) &&
	       (all_driven_by(k, t->session) ||
		store_sessions(store, k->sessions, SESSIONS_MAX, &k->session_count, err));
}

static struct worker_export *export_of(struct worker *w, int64_t id)
{
	for (struct worker_export *x = w->exports->exports; x; x = x->next)
		if (x->row.id == id)
			return x;
	return NULL;
}

static void export_free(struct worker_export *x)
{
	listing_free(x->listing);
	buf_release(&x->manifest);
	arena_release(&x->texts);
	free(x);
}

static struct worker_export *export_new(struct worker *w, int64_t id)
{
	struct worker_export *x = memory_new(sizeof(*x));

	arena_init(&x->texts);
	x->worker = w;
	x->row.id = id;
	x->next = w->exports->exports;
	w->exports->exports = x;
	return x;
}

/* What was known of another state or attempt is nothing now. */
static void refresh(struct worker_export *x, const struct store_export *e)
{
	bool other = x->row.status != e->status || x->row.attempt != e->attempt ||
		     x->row.retry_at_ms != e->retry_at_ms;

	arena_release(&x->texts);
	arena_init(&x->texts);
	x->row = *e;
#define KEEP(text) x->row.text = arena_printf(&x->texts, "%s", e->text)
	KEEP(table_arn);
	KEEP(name);
	KEEP(view);
	KEEP(manifest);
	KEEP(token);
	KEEP(arn);
	KEEP(error);
#undef KEEP
	x->due_ms = 0;
	if (!other)
		return;
	x->known = (struct drive_known){ 0 };
	x->failures = 0;
	x->missing_ms = 0;
	buf_clear(&x->manifest);
}

static void take_rows(struct worker *w)
{
	const struct worker_look *k = &w->exports->look;

	for (struct worker_export *x = w->exports->exports; x; x = x->next)
		x->seen = false;
	for (size_t i = 0; i < k->count; i++) {
		struct worker_export *x = export_of(w, k->rows[i].id);

		if (!x)
			x = export_new(w, k->rows[i].id);
		x->seen = true;
		if (x->busy || (x->stale && w->exports->looks == x->after))
			continue;
		x->stale = false;
		refresh(x, &k->rows[i]);
		if (!x->target)
			x->target = worker_target_of(w, &x->row);
	}
	for (struct worker_export **at = &w->exports->exports; *at;) {
		struct worker_export *x = *at;

		if (x->seen || x->busy) {
			at = &x->next;
			continue;
		}
		*at = x->next;
		export_free(x);
	}
}

/* Up to here all of the chain is loaded: windows that wait for their batch are not. */
static int64_t loaded_to_ms(const struct worker_look *k, const struct store_export *last)
{
	int64_t to_ms = last->to_ms;

	for (size_t i = 0; i < k->count; i++) {
		const struct store_export *e = &k->rows[i];

		if (e->kind == last->kind && e->generation == last->generation &&
		    e->status != STORE_EXPORT_COMPLETE && e->from_ms < to_ms &&
		    strcmp(e->name, last->name) == 0 && strcmp(e->table_arn, last->table_arn) == 0)
			to_ms = e->from_ms;
	}
	return to_ms;
}

static void take_chain(const struct worker_look *k, const struct worker_chain *found)
{
	struct worker_target *t = found->target;
	const struct store_export *full = &found->full, *last = &found->window;

	t->chain = drive_chain(full, last, &t->drive);
	t->newest = full->generation;
	t->generation = drive_generation(full, last);
	t->chain_known = true;
	if (t->chain.end_ms && !t->chain.full_open)
		t->complete_to_ms = loaded_to_ms(k, last);
	else if (full->id != 0 && !t->chain.open)
		t->complete_to_ms = full->to_ms;
}

static void looked(struct worker *w, struct worker_task *task)
{
	struct worker_exports *x = w->exports;

	x->looking = false;
	if (!task->saver.ok) {
		if (task->saver.error.kind != ERROR_CANCELLED &&
		    task->saver.error.kind != ERROR_FENCED)
			worker_end_with(w, WORKER_FAILED, &task->saver.error);
		return;
	}
	if (!x->timer)
		return; /* it stops */
	x->looked = true;
	take_rows(w);
	for (size_t i = 0; i < x->look.chain_count; i++)
		if (x->looks != x->look.chains[i].target->after)
			take_chain(&x->look, &x->look.chains[i]);
	worker_expect(w);
	loop_timer_arm(x->timer, 0);
}

static void look(struct worker *w)
{
	struct worker_exports *x = w->exports;
	struct worker_look *k = &x->look;
	struct look_task *t = memory_new(sizeof(*t));

	*t = (struct look_task){ .task = { .saver.work = look_work, .done = looked },
				 .session = w->session,
				 .look = k };
	k->chain_count = 0;
	for (struct worker_target *g = x->targets; g; g = g->next) {
		if (!g->entry || !*g->arn)
			continue;
		k->chains = memory_room(k->chains, k->chain_count, sizeof(*k->chains));
		k->chains[k->chain_count] = (struct worker_chain){ .target = g };
		memcpy(k->chains[k->chain_count++].arn, g->arn, sizeof(g->arn));
	}
	x->looking = true;
	x->looks++;
	x->look_again = false;
	x->look_at_ms = loop_now_ms(w->loop) + LOOK_MS * 3 / 4 +
			(int64_t)rng_below(&x->rng, LOOK_MS / 2 + 1);
	saver_work(w->saver, &t->task.saver);
}

/* --- whose turn it is --- */

static bool is_live(const struct worker_look *k, const char *session)
{
	for (size_t i = 0; i < k->session_count; i++)
		if (k->sessions[i].state == SESSION_LIVE && strcmp(k->sessions[i].id, session) == 0)
			return true;
	return false;
}

/* Where too many sessions live, the store says it. */
static bool may_be_taken(const struct worker_look *k, const struct worker_export *x)
{
	return k->session_count == SESSIONS_MAX || !is_live(k, x->row.driver);
}

/* Which of them wait for their batch, whoever drives them. */
static void collect(struct worker_exports *all, const struct store_export **rows, size_t count)
{
	bool changed = false;

	for (struct worker_export *x = all->exports; x; x = x->next) {
		struct drive_place place;
		bool waited = x->waits;

		x->waits = false;
		if (x->target && x->row.status == STORE_EXPORT_EXPORTED) {
			place = drive_place(&x->row, rows, count, x->target->newest,
					    &x->target->drive);
			x->waits = drive_waits_for_batch(&x->row, &place) && place.lacks > 0;
		}
		changed = changed || x->waits != waited;
	}
	if (changed && all->exports)
		worker_expect(all->exports->worker);
}

static void step_rows(struct worker *w)
{
	struct worker_exports *all = w->exports;
	int64_t now_ms = clock_aws_ms(w->settings.clock);
	const struct store_export *rows[EXPORTS_MAX];
	size_t count = 0;

	for (struct worker_export *x = all->exports; x; x = x->next)
		if (count < EXPORTS_MAX)
			rows[count++] = &x->row;
	collect(all, rows, count);
	for (struct worker_export *x = all->exports; x; x = x->next) {
		bool mine = strcmp(x->row.driver, w->session) == 0;
		struct drive_place place;
		struct drive_next next;

		if (x->busy || x->stale || !x->target || now_ms < x->due_ms)
			continue;
		if (!mine && !all->looking && may_be_taken(&all->look, x))
			worker_export_take(x);
		if (!mine)
			continue;
		place = drive_place(&x->row, rows, count, x->target->newest, &x->target->drive);
		next = drive_next(&x->row, &place, &x->known, &x->target->pitr, &x->target->drive,
				  now_ms);
		if (next.what == DRIVE_WAIT)
			x->due_ms = next.at_ms;
		else
			worker_export_step(x, &next, &place);
	}
}

static void tick(void *arg)
{
	struct worker *w = arg;
	struct worker_exports *x = w->exports;

	if (!x->looking && (x->look_again || loop_now_ms(w->loop) >= x->look_at_ms))
		look(w);
	for (struct worker_target *t = x->targets; t; t = t->next)
		worker_target_step(t);
	if (worker_exports_timed(w))
		step_rows(w);
	for (struct worker_target *t = x->targets; t; t = t->next)
		worker_target_metrics(t);
	loop_timer_arm(x->timer, TICK_MS);
}

uint32_t worker_exports_expected(const struct worker *w)
{
	const struct worker_exports *x = w->exports;
	uint32_t n = 0;

	if (!x)
		return 0;
	for (const struct worker_export *e = x->exports; e; e = e->next)
		n += e->target && e->row.status != STORE_EXPORT_FAILED &&
		     (e->row.status != STORE_EXPORT_WAITING || drive_in_flight(&e->row)) &&
		     (e->row.status != STORE_EXPORT_COMPLETE || e->target->drive.publishes) &&
		     !e->waits;
	return n + !x->looked;
}

/* --- a life --- */

void worker_exports_start(struct worker *w)
{
	struct worker_exports *x = memory_new(sizeof(*x));

	w->exports = x;
	arena_init(&x->look.memory);
	x->look.sessions = memory_array(SESSIONS_MAX, sizeof(*x->look.sessions));
	rng_seed(&x->rng, (uint64_t)clock_boot_ms(w->settings.clock) ^ (uint64_t)(uintptr_t)w);
	x->timer = loop_timer_new(w->loop, tick, w);
	worker_targets_init(w);
	worker_expect(w);
	loop_timer_arm(x->timer, 0);
}

void worker_exports_stop(struct worker *w)
{
	if (!w->exports)
		return;
	loop_timer_free(w->exports->timer);
	w->exports->timer = NULL;
}

void worker_exports_release(struct worker *w)
{
	struct worker_exports *x = w->exports;

	if (!x)
		return;
	while (x->exports) {
		struct worker_export *e = x->exports;

		x->exports = e->next;
		export_free(e);
	}
	worker_targets_release(w);
	arena_release(&x->look.memory);
	free(x->look.rows);
	free(x->look.sessions);
	free(x->look.chains);
	free(x);
}
