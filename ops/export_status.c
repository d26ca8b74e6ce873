#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ops/command.h"
#include "ops/export_command.h"
#include "ops/exports.h"

#define CLOSED_SHOWN 10
/* Of an export: those that take longest, those that failed. */
#define FILES_SHOWN 10

/* Files of interest. */
struct files {
	struct arena memory;
	struct store_file *rows; /* at work, failed, or to be tried again */
	size_t count;
};

static void on_file(void *arg, const struct store_file *f)
{
	struct files *files = arg;
	struct store_file *row;

	if (f->status == STORE_FILE_COMPLETED ||
	    (f->status == STORE_FILE_PENDING && f->retries == 0))
		return;
	files->rows = memory_room(files->rows, files->count, sizeof(*files->rows));
	row = &files->rows[files->count++];
	*row = *f;
	row->location = arena_printf(&files->memory, "%s", f->location);
	row->checksum = "";
	row->error = arena_printf(&files->memory, "%s", f->error);
	row->worker = arena_printf(&files->memory, "%s", f->worker);
}

/* What failed first, then what has been at work for longest. */
static int by_interest(const void *a, const void *b)
{
	const struct store_file *x = a, *y = b;
	bool fx = x->status == STORE_FILE_FAILED, fy = y->status == STORE_FILE_FAILED;

	if (fx != fy)
		return fx ? -1 : 1;
	return (x->started_ms > y->started_ms) - (x->started_ms < y->started_ms);
}

static void text_of_file(const struct store_file *f)
{
	char since[CLOCK_TEXT_SIZE];

	printf("  file %" PRId64 "  %s  %s  since %s  by %s  records %" PRIu64 " of %" PRIu64,
	       f->lane, f->name, store_file_status_name(f->status),
	       clock_text(f->started_ms, since), f->worker, f->records, f->items);
	if (f->retries)
		printf("  retries %u", f->retries);
	printf("%s%s\n", *f->error ? "  " : "", f->error);
}

static void json_of_file(const struct store_file *f, struct buf *out)
{
	buf_printf(out, "{\"id\":%" PRId64 ",", f->lane);
	exports_member(out, "name", f->name);
	buf_text(out, ",");
	exports_member(out, "location", f->location);
	buf_text(out, ",");
	exports_member(out, "status", store_file_status_name(f->status));
	buf_text(out, ",");
	exports_member(out, "error", f->error);
	buf_text(out, ",");
	exports_member(out, "worker", f->worker);
	buf_printf(out,
		   ",\"retries\":%u,\"attempts\":%u,\"items\":%" PRIu64 ",\"records\":%" PRIu64
		   ",\"bytes\":%" PRIu64 ",\"started_ms\":%" PRId64 ",\"updated_ms\":%" PRId64 "}",
		   f->retries, f->attempts, f->items, f->records, f->bytes, f->started_ms,
		   f->updated_ms);
}

/* --- the audit --- */

struct audit {
	struct buf *json; /* NULL: text */
	size_t count;
};

static void on_attempt(void *arg, const struct store_attempt *a)
{
	struct audit *t = arg;
	char began[CLOCK_TEXT_SIZE], ended[CLOCK_TEXT_SIZE];

	if (t->json) {
		buf_printf(t->json,
			   "%s{\"file\":%" PRId64 ",\"number\":%u,\"began_ms\":%" PRId64
			   ",\"ended_ms\":%" PRId64 ",",
			   t->count++ ? "," : "", a->lane, a->number, a->began_ms, a->ended_ms);
		exports_member(t->json, "how", *a->how ? a->how : "under way");
		buf_text(t->json, ",");
		exports_member(t->json, "worker", a->worker);
		buf_text(t->json, ",");
		exports_member(t->json, "session", a->session);
		buf_text(t->json, ",");
		exports_member(t->json, "arn", a->arn);
		buf_text(t->json, ",");
		exports_member(t->json, "error", a->error);
		buf_text(t->json, "}");
		return;
	}
	if (a->lane)
		printf("  attempt %u of file %" PRId64, a->number, a->lane);
	else
		printf("  attempt %u", a->number);
	printf("  by %s  %s until %s  %s  %s\n", a->worker, clock_text(a->began_ms, began),
	       a->ended_ms ? clock_text(a->ended_ms, ended) : "now", *a->how ? a->how : "under way",
	       a->error);
}

/* --- one export --- */

static bool show_json(struct export_context *x, struct store *store, const struct store_export *e,
		      uint32_t lacks, const struct files *files, struct buf *out, struct error *err)
{
	struct audit audit = { out, 0 };
	bool ok = true;

	buf_text(out, "{");
	exports_json(e, lacks, clock_aws_ms(&x->clock), out);
	buf_text(out, ",\"files_of_interest\":[");
	for (size_t i = 0; i < files->count; i++) {
		buf_text(out, i ? "," : "");
		json_of_file(&files->rows[i], out);
	}
	buf_text(out, "]");
	if (arguments_get(x->arguments, "attempts")) {
		buf_text(out, ",\"attempts\":[");
		ok = store_attempts(store, e->id, on_attempt, &audit, err);
		buf_text(out, "]");
	}
	buf_text(out, "}");
	return ok;
}

static bool show_text(struct export_context *x, struct store *store, const struct store_export *e,
		      uint32_t lacks, const struct files *files, struct error *err)
{
	struct audit audit = { 0 };
	struct buf text = { 0 };

	exports_text(e, lacks, clock_aws_ms(&x->clock), &text);
	puts(text.data);
	buf_release(&text);
	if (*e->manifest)
		printf("         %s\n", e->manifest);
	for (size_t i = 0; i < files->count && i < FILES_SHOWN; i++)
		text_of_file(&files->rows[i]);
	if (files->count > FILES_SHOWN)
		printf("  and %zu files more, see --json\n", files->count - FILES_SHOWN);
	return !arguments_get(x->arguments, "attempts") ||
	       store_attempts(store, e->id, on_attempt, &audit, err);
}

static bool show(struct export_context *x, struct store *store, const struct store_export *e,
		 uint32_t lacks, struct buf *json, struct error *err)
{
	struct files files = { 0 };
	bool loads = e->status == STORE_EXPORT_LOADING || e->status == STORE_EXPORT_FAILED, ok;

	arena_init(&files.memory);
	ok = !loads || store_files(store, e->id, on_file, &files, err);
	if (files.count)
		qsort(files.rows, files.count, sizeof(*files.rows), by_interest);
	if (ok)
		ok = json ? show_json(x, store, e, lacks, &files, json, err)
			  : show_text(x, store, e, lacks, &files, err);
	arena_release(&files.memory);
	free(files.rows);
	return ok;
}

int export_status(struct export_context *x)
{
	const char *table = arguments_get(x->arguments, "table");
	bool json = arguments_get(x->arguments, "json") != NULL, ok;
	struct error err = { 0 };
	struct exports_shown shown = { 0 };
	struct buf out = { 0 };
	AUTO(store)
	struct store *store =
		store_open_reader(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, &err);

	ok = store && exports_collect(store, x->config, table, CLOSED_SHOWN, &shown, &err);
	buf_text(&out, "{\"exports\":[");
	for (size_t i = 0; ok && i < shown.count; i++) {
		buf_text(&out, i ? "," : "");
		ok = show(x, store, &shown.rows[i], shown.lacks[i], json ? &out : NULL, &err);
	}
	buf_text(&out, "]}");
	if (ok && json)
		puts(out.data);
	else if (ok && shown.count == 0)
		puts("no exports");
	buf_release(&out);
	exports_release(&shown);
	return ok ? EXIT_DONE : export_failed(&err);
}
