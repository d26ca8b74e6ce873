/* Exports that are loaded: seen in the store, looked up in the configuration and at AWS, opened,
 * and closed when nothing of them is left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/dynamodb.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/sections.h"
#include "consumer/batching.h"
#include "consumer/reader_internal.h"
#include "consumer/watch.h"
#include "consumer/worker_files.h"
#include "export/merging.h"

#define LOADS_MAX 1000 /* that a look sees */
/* So many files a reader are read at a time, as a file's ranges come one after the other; and so
 * much of worker.memory is for these ranges, which are no pages yet. */
#define FILES_A_READER 4
#define RANGES_PART    16
#define ASK_AGAIN_MS   5000
#define LOG_EVERY_MS   60000
/* Leases. What all workers have of the files is counted less often than looked at; another worker
 * may have in its configuration what this one does not know. */
#define COUNT_EVERY(lease_ms) ((lease_ms)*3 / 2)
#define UNKNOWN(lease_ms)     ((lease_ms)*6)
/* Where the configuration does not say. */
#define RETRIES 5

/* --- what the configuration says --- */

static bool has_export(struct worker_load *l, const struct config_export *x)
{
	bool arn = strncmp(x->table, "arn:", 4) == 0;

	if (arn ? strcmp(x->table, l->table_arn) != 0
		: !str_equal(config_table_name(x->table), str_of(l->table)))
		return false;
	l->uses = (struct worker_uses){ .sinks = x->sinks, .sink_count = x->sink_count };
	l->lanes.bucket_owner = x->bucket_owner;
	l->retries = (uint32_t)x->retries;
	return true;
}

static bool has_stream(struct worker_load *l, const struct config_stream *c)
{
	if (strcmp(c->name, l->name) != 0)
		return false;
	l->uses = (struct worker_uses){ .filter = &c->filter,
					.transform = &c->transform,
					.schemas = &c->schemas,
					.unfit = c->schemaless != 0,
					.sinks = c->sinks,
					.sink_count = c->sink_count };
	l->lanes.on_error = (enum config_on_error)c->on_error;
	l->lanes.bucket_owner = c->baseline.bucket_owner;
	l->lanes.source.stream = l->name;
	return true;
}

static bool has_sink(struct worker *w, struct worker_load *l)
{
	for (uint32_t i = 0; i < w->sink_count; i++) {
		if (strcmp(w->sinks[i].config->name, l->name) != 0)
			continue;
		l->only =
			(struct config_stream_sink){ .name = w->sinks[i].config->name, .sink = i };
		l->uses = (struct worker_uses){ .sinks = &l->only, .sink_count = 1 };
		return true;
	}
	return false;
}

/* False: nothing here is called so. */
static bool find_config(struct worker *w, struct worker_load *l)
{
	const struct config *c = w->settings.config;
	bool found = false;

	l->lanes.on_error = ON_ERROR_DEAD_LETTER;
	l->lanes.source.stream = l->table;
	l->retries = RETRIES;
	switch (l->kind) {
	case STORE_EXPORT_FULL:
	case STORE_EXPORT_INCREMENTAL:
		for (size_t i = 0; i < c->export_count && !found; i++)
			found = has_export(l, &c->exports[i]);
		break;
	case STORE_EXPORT_BASELINE:
	case STORE_EXPORT_REPAIR:
		for (const struct worker_table *t = w->tables; t && !found; t = t->next)
			found = has_stream(l, &t->config);
		break;
	case STORE_EXPORT_LOAD:
		found = has_sink(w, l);
		break;
	}
	return found && l->uses.sink_count > 0;
}

/* Is anybody at it? `files_held` is fresh here. */
static void see_unknown(struct worker *w, struct worker_load *l)
{
	int64_t lease_ms = w->settings.config->checkpoint.lease_ms;

	if (l->told || loop_now_ms(w->loop) < l->since_ms + UNKNOWN(lease_ms) || l->counted_ms == 0)
		return;
	if (l->files_held > 0 || l->files_done + l->files_failed > l->moved) {
		l->since_ms = loop_now_ms(w->loop);
		l->moved = l->files_done + l->files_failed;
		return;
	}
	l->told = true;
	log_warn("an export waits to be loaded, and no worker's configuration has it",
		 log_text("table", l->table_arn), log_text("export", l->name),
		 log_text("kind", store_export_kind_name(l->kind)), log_int("id", l->id));
}

/* --- open --- */

static void describe_rows(struct worker_load *l)
{
	bool old_images = strcmp(l->view, "NEW_AND_OLD_IMAGES") == 0;
	struct source *s = &l->lanes.source;

	s->table = l->table;
	s->account = l->account;
	s->region = l->region;
	s->key_hash = l->key_hash;
	s->key_range = l->key_range;
	s->version = SLUICE_VERSION;
	s->generation = l->generation;
	s->new_images = true;
	s->old_images = old_images;
	l->lanes.files = true;
	l->lanes.rows = (struct rows){ .window = l->number,
				       .time_ms = l->to_ms,
				       .old_images = old_images,
				       .merged = l->window_count > 0 };
}

static void describe_batch(struct worker *w, struct worker_load *l)
{
	if (l->window_count == 0)
		return;
	l->batch = (struct lane_batch){
		.windows = l->windows,
		.count = l->window_count,
		.table_arn = l->table_arn,
		.memory_bytes = (size_t)batching_memory(w->settings.config),
	};
	l->lanes.batch = &l->batch;
}

static void load_cells(struct worker *w, struct worker_load *l)
{
	static const char *const ops[] = { "c", "u", "d", "r" };
	struct metrics *m = w->settings.metrics;
	const char *name = l->lanes.source.stream;

	for (int op = 0; op < 4; op++)
		l->lanes.records[op] = metrics_cell(m, METRIC_RECORDS, name, ops[op]);
	l->lanes.bytes = metrics_cell(m, METRIC_RECORD_BYTES, name, NULL);
	l->lanes.file_rows = metrics_cell(m, METRIC_EXPORT_RECORDS, l->table, NULL);
	l->lanes.file_bytes = metrics_cell(m, METRIC_EXPORT_BYTES, l->table, NULL);
}

static void open_load(struct worker *w, struct worker_load *l)
{
	uint32_t of_core[CORE_SINKS_MAX];

	describe_rows(l);
	describe_batch(w, l);
	load_cells(w, l);
	worker_attach_sinks(w, &l->lanes, &l->uses, &l->attached);
	for (uint32_t slot = 0; slot < l->lanes.sink_count; slot++)
		of_core[slot] = l->lanes.sinks[slot].index;
	l->lanes.index = core_add_files(&w->core, of_core, l->lanes.sink_count);
	worker_note_stream(w, l->lanes.index);
	l->open = true;
	log_info("an export is loaded", log_text("export", l->name),
		 log_text("kind", store_export_kind_name(l->kind)), log_int("id", l->id),
		 log_int("files", (int64_t)l->files), log_int("windows", (int64_t)l->window_count));
	worker_files_look(w, l);
}

static void on_table(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct worker_load *l = arg;
	struct worker *w = l->worker;
	struct error why = *err;
	uint64_t repeated;

	l->asking = false;
	if (err->kind == ERROR_CANCELLED || w->core.stopping)
		return;
	l->ask_at_ms = loop_now_ms(w->loop) + ASK_AGAIN_MS;
	if (err->kind == ERROR_NONE && strcmp(t->arn, l->table_arn) == 0) {
		memcpy(l->key_hash, t->key_hash, sizeof(l->key_hash));
		memcpy(l->key_range, t->key_range, sizeof(l->key_range));
		open_load(w, l);
		return;
	}
	if (err->kind == ERROR_NONE)
		error_set(&why, ERROR_INVALID, "AWS says that it is %s", t->arn);
	l->hopeless = !error_passes(why.kind);
	if (log_limit_pass(&l->log, loop_now_ms(w->loop), LOG_EVERY_MS, &repeated))
		log_warn("an export waits to be loaded: its table cannot be described",
			 log_text("table", l->table_arn), log_text("export", l->name),
			 log_int("id", l->id), log_text("error", why.message),
			 log_int("repeated", (int64_t)repeated));
	worker_expect(w);
}

/* --- what the store has --- */

static void free_windows(struct merging_window *windows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(windows[i].manifest);
	free(windows);
}

static void clear_found(struct worker_loads *s)
{
	for (size_t i = 0; i < s->found_count; i++) {
		free_windows(s->found[i].windows, s->found[i].window_count);
		free(s->found[i].table_arn);
		free(s->found[i].name);
		free(s->found[i].view);
	}
	s->found_count = 0;
}

static void on_export(void *arg, const struct store_export *e)
{
	struct worker_loads *s = arg;
	struct worker_found *f;

	if (s->found_count == s->found_capacity) {
		s->found_capacity = s->found_capacity ? 2 * s->found_capacity : 8;
		s->found = memory_resize(s->found, s->found_capacity * sizeof(*s->found));
	}
	f = &s->found[s->found_count++];
	*f = (struct worker_found){ .e = *e,
				    .table_arn = memory_text(e->table_arn),
				    .name = memory_text(e->name),
				    .view = memory_text(e->view) };
}

static void on_counts(void *arg, const struct store_export *e)
{
	struct store_export *to = arg;

	to->files_done = e->files_done;
	to->files_failed = e->files_failed;
	to->files_held = e->files_held;
}

static void on_window(void *arg, const struct store_export *e)
{
	struct worker_found *f = arg;

	f->windows = memory_room(f->windows, f->window_count, sizeof(*f->windows));
	f->windows[f->window_count++] =
		(struct merging_window){ .manifest = memory_text(e->manifest),
					 .window = { e->from_ms, e->to_ms },
					 .number = e->number,
					 .items = e->items };
}

static int by_number(const void *a, const void *b)
{
	const struct merging_window *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* The windows of a batch, the oldest first. */
static bool look_windows(struct store *store, struct worker_found *f, struct error *err)
{
	struct store_exports_of of = { .batch = f->e.batch, .unsummed = true, .max = LOADS_MAX };

	if (!f->e.batch)
		return true;
	if (!store_exports(store, &of, on_window, f, err))
		return false;
	qsort(f->windows, f->window_count, sizeof(*f->windows), by_number);
	return true;
}

struct look {
	struct worker_task task; /* first */
	struct worker_loads *loads;
	bool count; /* the files that are held, too */
};

/* On the saver's thread, which alone has what is found meanwhile. */
static bool look(struct saver_task *task, struct store *store, struct error *err)
{
	struct look *k = (struct look *)task;
	struct worker_loads *s = k->loads;
	struct store_exports_of of = { .loading = true, .unsummed = true, .max = LOADS_MAX };

	clear_found(s);
	if (!store_exports(store, &of, on_export, s, err))
		return false;
	for (size_t i = 0; i < s->found_count; i++)
		if (!look_windows(store, &s->found[i], err))
			return false;
	for (size_t i = 0; k->count && i < s->found_count; i++)
		if (!store_exports(store,
				   &(struct store_exports_of){ .id = s->found[i].e.id, .max = 1 },
				   on_counts, &s->found[i].e, err))
			return false;
	return true;
}

static struct worker_load *find(const struct worker_loads *s, int64_t id)
{
	struct worker_load *l = s->first;

	while (l && l->id != id)
		l = l->next;
	return l;
}

static struct worker_load *add(struct worker *w, struct worker_found *f)
{
	struct worker_load *l = memory_new(sizeof(*l));
	const char *table = strrchr(f->table_arn, '/');

	l->worker = w;
	l->id = f->e.id;
	l->kind = f->e.kind;
	l->table_arn = memory_text(f->table_arn);
	l->name = memory_text(f->name);
	l->view = memory_text(f->view);
	l->windows = f->windows;
	l->window_count = f->window_count;
	f->windows = NULL;
	f->window_count = 0;
	snprintf(l->table, sizeof(l->table), "%s", table ? table + 1 : f->table_arn);
	resolve_arn_parts(l->table_arn, l->region, l->account);
	l->to_ms = f->e.to_ms;
	l->generation = f->e.generation;
	l->number = f->e.number;
	l->since_ms = loop_now_ms(w->loop);
	l->moved = f->e.files_done + f->e.files_failed;
	l->last = &l->first;
	l->next = w->loads->first;
	w->loads->first = l;
	return l;
}

static void see(struct worker *w, struct worker_found *f, bool counted)
{
	struct worker_load *l = find(w->loads, f->e.id);

	if (!l)
		l = add(w, f);
	l->seen = true;
	l->status = f->e.status;
	l->files = f->e.files;
	l->files_done = f->e.files_done;
	l->files_failed = f->e.files_failed;
	if (!counted)
		return;
	l->files_held = f->e.files_held;
	l->counted_ms = loop_now_ms(w->loop);
}

static void free_load(struct worker_load *l)
{
	worker_free_files(l);
	worker_detach_sinks(&l->attached);
	free_windows(l->windows, l->window_count);
	free(l->table_arn);
	free(l->name);
	free(l->view);
	free(l);
}

/* Nothing of it is here any more. */
static void close_load(struct worker *w, struct worker_load *l)
{
	if (l->open) {
		log_info("an export is not loaded any more", log_text("export", l->name),
			 log_int("id", l->id), log_int("files", (int64_t)l->files),
			 log_int("failed", (int64_t)l->files_failed));
		core_remove_stream(&w->core, l->lanes.index);
	}
	l->next = w->loads->parted;
	w->loads->parted = l;
}

/* True where it may go. */
static bool step(struct worker *w, struct worker_load *l)
{
	bool loading = l->seen && l->status == STORE_EXPORT_LOADING;

	if (l->open && loading)
		worker_files_look(w, l);
	if (l->open && !loading && l->held == 0 && !l->claiming) {
		close_load(w, l);
		return true;
	}
	if (l->open || l->asking)
		return false;
	if (!l->seen) {
		close_load(w, l);
		return true;
	}
	if (!loading || loop_now_ms(w->loop) < l->ask_at_ms)
		return false;
	if (!find_config(w, l)) {
		see_unknown(w, l);
		return false;
	}
	l->asking = true;
	dynamodb_describe_table(w->client, l->table_arn, on_table, l);
	return false;
}

static void looked(struct worker *w, struct worker_task *task)
{
	struct worker_loads *s = w->loads;
	bool counted = ((struct look *)task)->count;
	uint64_t repeated;

	s->looking = false;
	if (!task->saver.ok) {
		if (task->saver.error.kind != ERROR_CANCELLED &&
		    task->saver.error.kind != ERROR_FENCED &&
		    log_limit_pass(&s->log, loop_now_ms(w->loop), LOG_EVERY_MS, &repeated))
			log_warn("exports could not be listed, it is tried again",
				 log_text("error", task->saver.error.message),
				 log_int("repeated", (int64_t)repeated));
		return;
	}
	for (struct worker_load *l = s->first; l; l = l->next)
		l->seen = false;
	for (size_t i = s->found_count; i-- > 0;) /* the newest came first */
		see(w, &s->found[i], counted);
	clear_found(s);
	for (struct worker_load **at = &s->first, *l; (l = *at);) {
		struct worker_load *next = l->next;

		if (step(w, l))
			*at = next;
		else
			at = &l->next;
	}
	s->looked = true;
	worker_expect(w);
}

/* Where there are no streams: whether AWS takes the credentials has to be known at the start. */
static void on_greeted(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct worker *w = arg;

	(void)t;
	w->loads->greeting = false;
	if (err->kind == ERROR_CANCELLED)
		return;
	w->loads->greeted = err->kind == ERROR_NONE || err->kind == ERROR_NOT_FOUND;
	health_set(w->settings.health, "aws", w->loads->greeted ? NULL : err->message);
}

static void greet(struct worker *w)
{
	const struct config *c = w->settings.config;

	if (c->stream_count > 0 || w->loads->greeted || w->loads->greeting)
		return;
	w->loads->greeting = true;
	dynamodb_describe_table(w->client, c->exports[0].table, on_greeted, w);
}

/* Each beat; where another one is under way, the store is slow. */
static void on_look(void *arg)
{
	struct worker *w = arg;
	int64_t lease_ms = w->settings.config->checkpoint.lease_ms;
	struct worker_loads *s = w->loads;
	struct look *k;

	loop_timer_arm(s->look, lease_ms / WATCH_LOOKS);
	if (w->core.stopping)
		return;
	greet(w);
	if (s->looking)
		return;
	k = memory_new(sizeof(*k));
	*k = (struct look){ .task = { .saver.work = look, .done = looked },
			    .loads = s,
			    .count = loop_now_ms(w->loop) >= s->count_at_ms };
	if (k->count)
		s->count_at_ms = loop_now_ms(w->loop) + COUNT_EVERY(lease_ms);
	s->looking = true;
	saver_work(w->saver, &k->task.saver);
}

/* --- a session's --- */

static uint32_t reading_max(const struct worker *w)
{
	int64_t by_memory = w->settings.config->worker.memory_bytes / RANGES_PART /
			    (int64_t)(2 * READER_RANGE_BYTES);
	uint32_t most = FILES_A_READER * w->reader_count;

	if (by_memory < most)
		most = (uint32_t)by_memory;
	/* Their fetches may take long, and shards shall not wait for them. */
	if (most > w->core.settings.fetches_max / 2)
		most = w->core.settings.fetches_max / 2;
	return most > w->reader_count ? most : w->reader_count;
}

void worker_load(struct worker *w)
{
	w->loads = memory_new(sizeof(*w->loads));
	w->loads->reading_max = reading_max(w);
	w->loads->look = loop_timer_new(w->loop, on_look, w);
	w->loads->pump = loop_timer_new(w->loop, worker_pump, w);
	worker_expect(w);
	on_look(w);
}

uint32_t worker_loads_expected(const struct worker *w)
{
	uint32_t n = 0;

	if (!w->loads)
		return 0;
	if (!w->loads->looked)
		return 1;
	for (const struct worker_load *l = w->loads->first; l; l = l->next)
		n += l->status == STORE_EXPORT_LOADING && !l->hopeless && (l->open || l->asking);
	return n;
}

static struct metric_cell *files_cell(struct worker *w, const char *table, int status)
{
	static const char *const names[] = { "pending", "in_progress", "completed", "failed" };

	return metrics_cell(w->settings.metrics, METRIC_EXPORT_FILES, table, names[status]);
}

void worker_file_cells(struct worker *w, const char *table)
{
	for (int i = 0; i < 4; i++)
		files_cell(w, table, i);
}

/* Files of all exports of a table, by status. */
static void tell_files(struct worker *w, const char *table, const uint64_t counts[4])
{
	for (int i = 0; i < 4; i++)
		metric_set(files_cell(w, table, i), (int64_t)counts[i]);
}

static bool counted_before(const struct worker_load *first, const struct worker_load *l)
{
	for (; first != l; first = first->next)
		if (strcmp(first->table, l->table) == 0)
			return true;
	return false;
}

static void count_files(struct worker *w, const struct worker_load *first)
{
	uint64_t counts[4] = { 0 };

	for (const struct worker_load *l = first; l; l = l->next) {
		uint64_t done = l->files_done + l->files_failed, held = l->files_held;

		if (strcmp(l->table, first->table) != 0 || !l->seen)
			continue;
		/* They are of several looks. */
		if (done + held > l->files)
			held = l->files - done;
		counts[0] += l->files - done - held;
		counts[1] += held;
		counts[2] += l->files_done;
		counts[3] += l->files_failed;
	}
	tell_files(w, first->table, counts);
}

void worker_watch_loads(struct worker *w)
{
	struct worker_loads *s = w->loads;

	if (!s)
		return;
	for (struct worker_load **at = &s->parted, *l; (l = *at);) {
		const uint64_t none[4] = { 0 };

		if (atomic_load(&l->lanes.lanes) > 0) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		tell_files(w, l->table, none); /* of others of the table it is told below */
		free_load(l);
	}
	for (struct worker_load *l = s->first; l; l = l->next)
		if (!counted_before(s->first, l))
			count_files(w, l);
}

void worker_name_failed_files(const struct worker *w, struct error *err)
{
	if (w->loads && w->loads->failed > 0)
		error_set(err, ERROR_INVALID,
			  "%u data files of exports failed, among them %s (the log says why); "
			  "`sluice export retry` tries them again",
			  w->loads->failed, w->loads->failed_last);
}

void worker_release_loads(struct worker *w)
{
	struct worker_loads *s = w->loads;

	if (!s)
		return;
	for (struct worker_load *l = s->first, *next; l; l = next) {
		next = l->next;
		free_load(l);
	}
	for (struct worker_load *l = s->parted, *next; l; l = next) {
		next = l->next;
		free_load(l);
	}
	clear_found(s);
	free(s->found);
	loop_timer_free(s->look);
	loop_timer_free(s->pump);
	free(s);
}
