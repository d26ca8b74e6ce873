/* Tables that are exported: which they are, their point-in-time recovery, what is begun of them. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/sections.h"
#include "consumer/worker_exports.h"
#include "consumer/worker_internal.h"

#define RETRY_BASE_MS 500
#define RETRY_MAX_MS  60000
#define LOG_EVERY_MS  60000
/* PITR that is off is asked for so often: a person has to turn it on. Turning it on takes AWS a
 * moment. */
#define OFF_MS     60000
#define ENABLED_MS 2000
/* Of a baseline and of loads, which have no setting for it. */
#define POLL_MS 30000
#define RETRIES 5

/* --- targets --- */

static void cells(struct worker_target *t)
{
	struct metrics *m = t->worker->settings.metrics;

	t->completed = metrics_cell(m, METRIC_EXPORT_ATTEMPTS, t->name, "completed");
	t->failed = metrics_cell(m, METRIC_EXPORT_ATTEMPTS, t->name, "failed");
	t->billed = metrics_cell(m, METRIC_EXPORT_BILLED_BYTES, t->name, NULL);
	if (!t->entry)
		return;
	t->behind = metrics_cell(m, METRIC_EXPORT_WINDOWS_BEHIND, t->name, NULL);
	t->late = metrics_cell(m, METRIC_EXPORTS_LATE, t->name, NULL);
	t->gaps = metrics_cell(m, METRIC_EXPORT_GAPS, t->name, NULL);
	if (t->drive.load)
		worker_file_cells(t->worker, t->name);
}

static struct worker_target *target_new(struct worker *w, const char *name,
					enum store_export_kind kind)
{
	struct worker_target *t = memory_new(sizeof(*t)), **at = &w->exports->targets;

	while (*at)
		at = &(*at)->next;
	*at = t;
	t->worker = w;
	t->kind = kind;
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->drive = (struct drive_rules){ .load = true, .poll_ms = POLL_MS, .retries = RETRIES };
	return t;
}

static void target_of_entry(struct worker *w, const struct config_export *entry)
{
	struct str table = config_table_name(entry->table);
	char name[STORE_NAME_MAX + 1];
	struct worker_target *t;
	struct error err;

	snprintf(name, sizeof(name), "%.*s", STR_ARG(table));
	t = target_new(w, name, STORE_EXPORT_FULL);
	t->entry = entry;
	t->table = entry->table;
	t->bucket = entry->bucket;
	t->bucket_owner = entry->bucket_owner;
	t->prefix = entry->prefix;
	t->view = entry->view;
	t->enable_pitr = entry->enable_pitr;
	t->deadline_ms = entry->deadline_ms;
	t->drive = (struct drive_rules){ .load = entry->load,
					 .publishes = true,
					 .poll_ms = entry->poll_ms,
					 .retries = (uint32_t)entry->retries,
					 .load_every = (uint32_t)entry->load_every };
	t->rules.length_ms = entry->incremental_ms;
	/* The configuration's check took both. */
	if (entry->full && schedule_parse(&t->schedule, entry->full, &err))
		t->rules.full = &t->schedule;
	t->zone = zone_open(entry->timezone, &err);
	t->rules.zone = t->zone;
	cells(t);
}

static struct worker_target *target_of_stream(struct worker *w, const struct store_export *e)
{
	struct worker_target *t;

	for (const struct worker_table *k = w->tables; k; k = k->next) {
		const struct config_baseline *b = &k->config.baseline;

		if (strcmp(k->config.name, e->name) != 0 || !b->bucket)
			continue;
		t = target_new(w, e->name, STORE_EXPORT_BASELINE);
		snprintf(t->arn, sizeof(t->arn), "%s", e->table_arn);
		t->bucket = b->bucket;
		t->bucket_owner = b->bucket_owner;
		t->prefix = b->prefix;
		t->enable_pitr = b->enable_pitr;
		t->drive.poll_ms = b->poll_ms;
		cells(t);
		return t;
	}
	return NULL;
}

static struct worker_target *target_of_load(struct worker *w, const char *sink)
{
	for (uint32_t i = 0; i < w->sink_count; i++) {
		struct worker_target *t;

		if (strcmp(w->sinks[i].config->name, sink) != 0)
			continue;
		t = target_new(w, sink, STORE_EXPORT_LOAD);
		t->drive.publishes = true;
		cells(t);
		return t;
	}
	return NULL;
}

static enum store_export_kind sort_of(enum store_export_kind kind)
{
	if (kind == STORE_EXPORT_INCREMENTAL)
		return STORE_EXPORT_FULL;
	return kind == STORE_EXPORT_REPAIR ? STORE_EXPORT_BASELINE : kind;
}

struct worker_target *worker_target_of(struct worker *w, const struct store_export *e)
{
	enum store_export_kind kind = sort_of(e->kind);

	for (struct worker_target *t = w->exports->targets; t; t = t->next)
		if (t->kind == kind && strcmp(t->name, e->name) == 0)
			return !t->entry || strcmp(t->arn, e->table_arn) == 0 ? t : NULL;
	if (kind == STORE_EXPORT_LOAD)
		return target_of_load(w, e->name);
	return kind == STORE_EXPORT_BASELINE ? target_of_stream(w, e) : NULL;
}

/* --- the table --- */

static void heard(struct worker_target *t, const struct error *err)
{
	struct worker *w = t->worker;

	if (err->kind == ERROR_NONE)
		w->exports->answers++;
	/* Where there are streams, they tell of AWS. */
	if (w->settings.config->stream_count == 0)
		health_set(w->settings.health, "aws",
			   err->kind == ERROR_NONE ? NULL : err->message);
}

static void looked(void *arg, const struct error *err, const struct dynamodb_table *table)
{
	static const char unknown[] = "its table cannot be looked up";
	struct worker_target *t = arg;
	struct worker *w = t->worker;
	int64_t now_ms, follow_ms = w->settings.config->worker.follow_ms;
	uint64_t repeated;

	t->looking = false;
	if (err->kind == ERROR_CANCELLED)
		return;
	now_ms = loop_now_ms(w->loop);
	heard(t, err);
	if (table) {
		bool first = !*t->arn;

		t->failures = 0;
		t->look_at_ms = now_ms + follow_ms * 3 / 4 +
				(int64_t)rng_below(&w->exports->rng, (uint64_t)follow_ms / 2 + 1);
		snprintf(t->arn, sizeof(t->arn), "%s", table->arn);
		if (first)
			worker_exports_look(w);
		if (t->trouble == unknown)
			worker_target_health(t, NULL, NULL);
		return;
	}
	t->look_at_ms = now_ms + rng_backoff_ms(&w->exports->rng, t->failures++, RETRY_BASE_MS,
						RETRY_MAX_MS);
	worker_target_health(t, unknown, err->message);
	if (log_limit_pass(&w->exports->log, now_ms, LOG_EVERY_MS, &repeated))
		log_warn("a table that is exported cannot be looked up, it is tried again",
			 log_text("table", t->name), log_text("error", err->message),
			 log_int("repeated", (int64_t)repeated));
}

/* --- point-in-time recovery --- */

static void ask_later(struct worker_target *t, int64_t delay_ms)
{
	t->ask_at_ms = loop_now_ms(t->worker->loop) + delay_ms;
}

static void told_on(struct worker_target *t, const struct exports_recovery *r)
{
	t->pitr = (struct recovery){ .state = RECOVERY_ON,
				     .asked_ms = clock_aws_ms(t->worker->settings.clock),
				     .earliest_ms = r->earliest_ms,
				     .latest_ms = r->latest_ms };
	t->asked_in_vain = 0;
	if (t->trouble)
		worker_target_health(t, NULL, NULL);
}

static void in_vain(struct worker_target *t, const struct error *err)
{
	struct worker *w = t->worker;
	uint64_t repeated;

	ask_later(t, rng_backoff_ms(&w->exports->rng, t->asked_in_vain++, RETRY_BASE_MS,
				    RETRY_MAX_MS));
	/* A young table refuses it for a moment. */
	if (error_passes(err->kind) && t->asked_in_vain < 3)
		return;
	worker_target_health(t, "point-in-time recovery", err->message);
	if (log_limit_pass(&w->exports->log, loop_now_ms(w->loop), LOG_EVERY_MS, &repeated))
		log_warn("point-in-time recovery could not be asked for or turned on, it is tried "
			 "again",
			 log_text("table", t->name), log_text("error", err->message),
			 log_int("repeated", (int64_t)repeated));
}

static void enabled(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct worker_target *t = arg;

	t->asking = false;
	if (err->kind == ERROR_CANCELLED)
		return;
	heard(t, err);
	if (!r) {
		in_vain(t, err);
		return;
	}
	log_info("point-in-time recovery was turned on", log_text("table", t->name));
	if (r->enabled)
		told_on(t, r);
	else
		ask_later(t, ENABLED_MS);
}

static void off(struct worker_target *t)
{
	static const char trouble[] = "point-in-time recovery is off";

	t->pitr = (struct recovery){ .state = RECOVERY_OFF,
				     .asked_ms = clock_aws_ms(t->worker->settings.clock) };
	if (t->enable_pitr) {
		t->asking = true;
		exports_recovery_enable(t->worker->client, t->arn, enabled, t);
		return;
	}
	ask_later(t, OFF_MS);
	if (t->trouble != trouble)
		log_error("exports need point-in-time recovery, which is off: turn it on, or set "
			  "enable_pitr",
			  log_text("table", t->name));
	worker_target_health(t, trouble, "turn it on, or set enable_pitr");
}

static void recovery(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct worker_target *t = arg;

	t->asking = false;
	if (err->kind == ERROR_CANCELLED)
		return;
	heard(t, err);
	if (!r)
		in_vain(t, err);
	else if (r->enabled)
		told_on(t, r);
	else
		off(t);
}

void worker_target_ask(struct worker_target *t)
{
	if (t->asking || !*t->arn || loop_now_ms(t->worker->loop) < t->ask_at_ms)
		return;
	t->asking = true;
	exports_recovery_get(t->worker->client, t->arn, recovery, t);
}

/* --- what is begun --- */

struct begin_task {
	struct worker_task task; /* first */
	struct worker_target *target;
	const char *session;
	struct store_export row;
	int64_t at_ms;
	bool created;
	char arn[1025];
};

static bool begin_work(struct saver_task *task, struct store *store, struct error *err)
{
	struct begin_task *b = (struct begin_task *)task;

	return store_export_begin(store, b->session, &b->row, b->at_ms, &b->created, err);
}

static void begun(struct worker *w, struct worker_task *task)
{
	struct begin_task *b = (struct begin_task *)task;
	char window[DRIVE_WINDOW_SIZE];

	b->target->beginning = false;
	if (!task->saver.ok) {
		if (task->saver.error.kind != ERROR_CANCELLED &&
		    task->saver.error.kind != ERROR_FENCED)
			worker_end_with(w, WORKER_FAILED, &task->saver.error);
		return;
	}
	if (b->created)
		log_info("an export is due", log_text("table", b->target->name),
			 log_text("export", drive_window(&b->row, window)),
			 log_int("id", b->row.id));
	/* Another look at the chain, before anything else is begun. */
	b->target->chain_known = false;
	b->target->after = w->exports->looks;
	worker_exports_look(w);
}

static void begin(struct worker_target *t, const struct chain_next *next)
{
	struct begin_task *b = memory_new(sizeof(*b));
	bool full = next->what == CHAIN_FULL;

	*b = (struct begin_task){ .task = { .saver.work = begin_work, .done = begun },
				  .target = t,
				  .session = t->worker->session,
				  .at_ms = clock_aws_ms(t->worker->settings.clock) };
	memcpy(b->arn, t->arn, sizeof(b->arn));
	b->row = (struct store_export){
		.table_arn = b->arn,
		.name = t->name,
		.kind = full ? STORE_EXPORT_FULL : STORE_EXPORT_INCREMENTAL,
		.from_ms = next->window.from_ms,
		.to_ms = next->window.to_ms,
		.generation = full ? 0 : t->generation,
		.view = full ? "" : t->view,
	};
	t->beginning = true;
	t->chain_known = false;
	saver_work(t->worker->saver, &b->task.saver);
}

static void left_out(struct worker_target *t, int64_t minute_ms)
{
	char time[CLOCK_TEXT_SIZE], earliest[CLOCK_TEXT_SIZE];

	if (minute_ms == t->left_out_ms)
		return;
	t->left_out_ms = minute_ms;
	log_warn("a full export is left out: point-in-time recovery does not reach back to its "
		 "time; the next one is made",
		 log_text("table", t->name), log_text("time", clock_text(minute_ms, time)),
		 log_text("earliest", clock_text(t->pitr.earliest_ms, earliest)));
}

static void step_chain(struct worker_target *t)
{
	int64_t now_ms = clock_aws_ms(t->worker->settings.clock);
	struct chain_next next = chain_next(&t->rules, &t->chain, &t->pitr, now_ms);

	if (next.left_out_ms)
		left_out(t, next.left_out_ms);
	t->due_ms = next.due_ms;
	switch (next.what) {
	case CHAIN_NOTHING:
		break;
	case CHAIN_ASK:
		worker_target_ask(t);
		break;
	case CHAIN_FULL:
	case CHAIN_WINDOW:
		begin(t, &next);
		break;
	}
}

void worker_target_step(struct worker_target *t)
{
	struct worker *w = t->worker;

	if (!t->entry)
		return;
	if (!t->looking && loop_now_ms(w->loop) >= t->look_at_ms) {
		t->looking = true;
		dynamodb_describe_table(w->client, t->table, looked, t);
	}
	/* Once at the start: that it is off is better known before anything is due. */
	if (t->pitr.state == RECOVERY_UNKNOWN)
		worker_target_ask(t);
	if (t->pitr.state != RECOVERY_UNKNOWN && worker_exports_timed(w) && t->chain_known &&
	    !t->beginning)
		step_chain(t);
}

/* --- what is told --- */

static void tell_late(struct worker_export *x)
{
	char window[DRIVE_WINDOW_SIZE];

	if (x->late_told)
		return;
	x->late_told = true;
	log_error("an export is late: it is not complete within its deadline",
		  log_text("table", x->target->name),
		  log_text("export", drive_window(&x->row, window)),
		  log_text("status", store_export_status_name(x->row.status)),
		  log_text("error", x->row.error));
}

static void count_late(struct worker_target *t, int64_t now_ms)
{
	int64_t late = t->due_ms && now_ms > t->due_ms + t->deadline_ms;

	for (struct worker_export *x = t->worker->exports->exports; x; x = x->next) {
		if (x->target != t || !drive_is_late(&x->row, &t->drive, t->deadline_ms, now_ms))
			continue;
		late++;
		tell_late(x);
	}
	metric_set(t->late, late);
}

void worker_target_metrics(struct worker_target *t)
{
	struct metrics *m = t->worker->settings.metrics;
	int64_t now_ms = clock_aws_ms(t->worker->settings.clock);

	if (!t->entry || !t->chain_known || !worker_exports_timed(t->worker))
		return;
	count_late(t, now_ms);
	metric_set(t->behind, chain_behind(&t->rules, &t->chain, now_ms));
	if (t->complete_to_ms && !t->age)
		t->age = metrics_cell(m, METRIC_EXPORT_AGE, t->name, NULL);
	if (t->age)
		metric_set(t->age, now_ms - t->complete_to_ms);
}

/* --- a life --- */

void worker_targets_init(struct worker *w)
{
	const struct config *c = w->settings.config;

	for (size_t i = 0; i < c->export_count; i++)
		target_of_entry(w, &c->exports[i]);
}

void worker_targets_release(struct worker *w)
{
	struct worker_target *next;

	for (struct worker_target *t = w->exports->targets; t; t = next) {
		next = t->next;
		zone_close(t->zone);
		free(t);
	}
}
