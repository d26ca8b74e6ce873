#include "ops/exports.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "config/sections.h"
#include "consumer/drive.h"

#define OPEN_MAX 1000
#define LOOK_MAX 10000 /* of closed ones, where a table is asked for */

bool exports_is_of(const struct store_export *e, const char *table)
{
	return !table || strcmp(e->table_arn, table) == 0 ||
	       str_equal(config_table_name(e->table_arn), str_of(table));
}

/* --- collecting --- */

struct collecting {
	struct exports_shown *out;
	const char *table;
	bool open;
	size_t closed;
};

static bool is_over(const struct store_export *e)
{
	return e->status == STORE_EXPORT_ABANDONED ||
	       (e->status == STORE_EXPORT_COMPLETE && e->published_ms);
}

static const char *kept(struct exports_shown *s, const char *text)
{
	return arena_printf(&s->memory, "%s", text);
}

static void on_export(void *arg, const struct store_export *e)
{
	struct collecting *c = arg;
	struct exports_shown *s = c->out;
	struct store_export *row;

	if (is_over(e) == c->open || !exports_is_of(e, c->table) || (!c->open && c->closed == 0))
		return;
	c->closed -= !c->open;
	s->rows = memory_room(s->rows, s->count, sizeof(*s->rows));
	row = &s->rows[s->count++];
	*row = *e;
	row->table_arn = kept(s, e->table_arn);
	row->name = kept(s, e->name);
	row->view = kept(s, e->view);
	row->manifest = kept(s, e->manifest);
	row->token = kept(s, e->token);
	row->arn = kept(s, e->arn);
	row->error = kept(s, e->error);
}

/* Windows are loaded as the entry of the configuration says. */
static struct drive_rules rules_of(const struct config *c, const struct store_export *e)
{
	struct drive_rules rules = { .load = true };

	for (size_t i = 0; i < c->export_count; i++)
		if (str_equal(config_table_name(c->exports[i].table), str_of(e->name)))
			rules.load_every = (uint32_t)c->exports[i].load_every;
	return rules;
}

static void find_lacks(struct exports_shown *s, const struct config *c)
{
	const struct store_export **all = memory_array(s->count + 1, sizeof(*all));

	s->lacks = memory_array(s->count + 1, sizeof(*s->lacks));
	for (size_t i = 0; i < s->count; i++)
		all[i] = &s->rows[i];
	for (size_t i = 0; i < s->count; i++) {
		const struct store_export *e = all[i];
		struct drive_rules rules = rules_of(c, e);
		uint64_t newest = 0;

		for (size_t k = 0; k < s->count; k++)
			if (all[k]->kind == STORE_EXPORT_FULL && all[k]->generation > newest &&
			    strcmp(all[k]->table_arn, e->table_arn) == 0 &&
			    strcmp(all[k]->name, e->name) == 0)
				newest = all[k]->generation;
		s->lacks[i] = drive_place(e, all, s->count, newest, &rules).lacks;
	}
	free(all);
}

bool exports_collect(struct store *store, const struct config *config, const char *table,
		     size_t closed, struct exports_shown *out, struct error *err)
{
	struct collecting c = { .out = out, .table = table, .open = true, .closed = closed };
	struct store_exports_of open = { .open = true, .max = OPEN_MAX };
	struct store_exports_of all = { .max = table ? LOOK_MAX : OPEN_MAX };

	*out = (struct exports_shown){ 0 };
	arena_init(&out->memory);
	if (!store_exports(store, &open, on_export, &c, err))
		return false;
	c.open = false;
	if (!store_exports(store, &all, on_export, &c, err))
		return false;
	find_lacks(out, config);
	return true;
}

void exports_release(struct exports_shown *shown)
{
	arena_release(&shown->memory);
	free(shown->rows);
	free(shown->lacks);
}

/* --- showing --- */

struct exports_progress exports_progress(const struct store_export *e, int64_t now_ms)
{
	struct exports_progress p = { .left_ms = -1 };
	int64_t took_ms = now_ms - e->exported_ms;

	if (e->status != STORE_EXPORT_LOADING || took_ms <= 0 || e->records == 0)
		return p;
	p.rate = (double)e->records * 1000 / (double)took_ms;
	/* How many rows a batch comes to is not known. */
	if (!e->batch && e->items >= e->records)
		p.left_ms = (int64_t)((double)(e->items - e->records) * 1000 / p.rate);
	return p;
}

static void text_of_load(const struct store_export *e, int64_t now_ms, struct buf *out)
{
	struct exports_progress p = exports_progress(e, now_ms);

	buf_printf(out,
		   "  %s %" PRIu64 " of %" PRIu64 " (%" PRIu64 " at work, %" PRIu64
		   " failed)  records %" PRIu64,
		   e->batch ? "ranges" : "files", e->files_done, e->files, e->files_held,
		   e->files_failed, e->records);
	if (!e->batch)
		buf_printf(out, " of %" PRIu64, e->items);
	if (p.rate > 0)
		buf_printf(out, "  %.0f/s", p.rate);
	if (p.left_ms >= 0)
		buf_printf(out, "  done in about %" PRId64 "m%02ds", p.left_ms / 60000,
			   (int)(p.left_ms / 1000 % 60));
}

static void text_of_batch(const struct store_export *e, uint32_t lacks, struct buf *out)
{
	if (e->batch == e->id)
		buf_text(out, "  a batch of windows");
	else if (e->batch)
		buf_printf(out, "  loaded with export %" PRId64, e->batch);
	else if (lacks > 0)
		buf_printf(out, "  waits for %u window%s more", lacks, lacks > 1 ? "s" : "");
}

void exports_text(const struct store_export *e, uint32_t lacks, int64_t now_ms, struct buf *out)
{
	struct str table = config_table_name(e->table_arn);
	char window[DRIVE_WINDOW_SIZE], time[CLOCK_TEXT_SIZE];

	buf_printf(out, "export   %" PRId64 "  %.*s  %s  %s  generation %" PRIu64 "  %s", e->id,
		   STR_ARG(table), store_export_kind_name(e->kind), drive_window(e, window),
		   e->generation, store_export_status_name(e->status));
	if (e->attempt > 1)
		buf_printf(out, "  attempt %u", e->attempt);
	if (e->status == STORE_EXPORT_WAITING && e->retry_at_ms > now_ms)
		buf_printf(out, "  not before %s", clock_text(e->retry_at_ms, time));
	text_of_batch(e, lacks, out);
	if (e->status == STORE_EXPORT_LOADING || e->files_failed)
		text_of_load(e, now_ms, out);
	else if (e->status == STORE_EXPORT_COMPLETE)
		buf_printf(out, "  items %" PRIu64 "  at %s", e->items,
			   clock_text(e->finished_ms, time));
	if (*e->error)
		buf_printf(out, "\n         %s", e->error);
}

void exports_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "\"%s\":", name);
	buf_json_text(out, str_of(value));
}

void exports_json(const struct store_export *e, uint32_t lacks, int64_t now_ms, struct buf *out)
{
	struct exports_progress p = exports_progress(e, now_ms);
	const struct {
		const char *name, *value;
	} texts[] = {
		{ "table_arn", e->table_arn },
		{ "name", e->name },
		{ "kind", store_export_kind_name(e->kind) },
		{ "status", store_export_status_name(e->status) },
		{ "view", e->view },
		{ "manifest", e->manifest },
		{ "arn", e->arn },
		{ "error", e->error },
		{ "driver", e->driver },
	};
	const struct {
		const char *name;
		int64_t value;
	} numbers[] = {
		{ "from_ms", e->from_ms },
		{ "to_ms", e->to_ms },
		{ "generation", (int64_t)e->generation },
		{ "number", (int64_t)e->number },
		{ "attempt", e->attempt },
		{ "retry_at_ms", e->retry_at_ms },
		{ "begun_ms", e->begun_ms },
		{ "submitted_ms", e->submitted_ms },
		{ "exported_ms", e->exported_ms },
		{ "finished_ms", e->finished_ms },
		{ "published_ms", e->published_ms },
		{ "items", (int64_t)e->items },
		{ "billed_bytes", (int64_t)e->billed_bytes },
		{ "files", (int64_t)e->files },
		{ "files_completed", (int64_t)e->files_done },
		{ "files_failed", (int64_t)e->files_failed },
		{ "files_in_progress", (int64_t)e->files_held },
		{ "records", (int64_t)e->records },
		{ "bytes", (int64_t)e->bytes },
		{ "batch", e->batch },
		{ "batch_lacks", lacks },
	};

	buf_printf(out, "\"id\":%" PRId64, e->id);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		buf_text(out, ",");
		exports_member(out, texts[i].name, texts[i].value);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		buf_printf(out, ",\"%s\":%" PRId64, numbers[i].name, numbers[i].value);
	buf_printf(out, ",\"records_per_second\":%.1f,\"left_seconds\":", p.rate);
	if (p.left_ms >= 0)
		buf_printf(out, "%" PRId64, p.left_ms / 1000);
	else
		buf_text(out, "null");
}
