#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ops/command.h"
#include "ops/export_command.h"
#include "ops/exports.h"

/* What is tried again: exports, or one file. */
struct plan {
	int64_t file;
	int64_t exports[EXPORT_TABLES_MAX];
	size_t count;
	const struct store_export *row; /* whose files are looked at */
	bool found;
};

static void on_file(void *arg, const struct store_file *f)
{
	struct plan *p = arg;

	if ((p->file && f->lane != p->file) || f->status == STORE_FILE_COMPLETED ||
	    (f->status != STORE_FILE_FAILED && f->retry_at_ms == 0))
		return;
	p->found = true;
	printf("  file %" PRId64 "  %s  %s  retries %u  %s\n", f->lane, f->name,
	       store_file_status_name(f->status), f->retries, f->error);
}

static bool plan_of(struct store *store, struct plan *p, const struct store_export *e,
		    int64_t now_ms, struct error *err)
{
	bool whole = e->exported_ms == 0 &&
		     (e->status == STORE_EXPORT_FAILED || e->retry_at_ms > now_ms);
	struct buf text = { 0 };

	if (p->count == EXPORT_TABLES_MAX || (p->file && whole))
		return true;
	if (!whole && e->status != STORE_EXPORT_FAILED && e->status != STORE_EXPORT_LOADING)
		return true;
	p->found = whole;
	exports_text(e, 0, now_ms, &text);
	if (whole)
		puts(text.data);
	buf_release(&text);
	p->row = e;
	if (!whole && !store_files(store, e->id, on_file, p, err))
		return false;
	if (p->found)
		p->exports[p->count++] = e->id;
	return true;
}

static bool show(struct export_context *x, struct plan *p, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open_reader(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	struct exports_shown shown;
	bool ok;

	if (!store)
		return false;
	ok = exports_collect(store, x->config, arguments_get(x->arguments, "table"), 0, &shown,
			     err);
	if (ok)
		puts("Tried again at once:");
	for (size_t i = 0; ok && i < shown.count; i++)
		ok = plan_of(store, p, &shown.rows[i], clock_aws_ms(&x->clock), err);
	exports_release(&shown);
	return ok;
}

static bool retry(struct export_context *x, const struct plan *p, uint32_t *all, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);

	for (size_t i = 0; store && i < p->count; i++) {
		uint32_t retried;

		if (!store_export_retry(store, p->exports[i], p->file, clock_aws_ms(&x->clock),
					&retried, err))
			return false;
		*all += retried;
	}
	return store && export_say_workers(store, err);
}

static int retry_planned(struct export_context *x, struct plan *p)
{
	struct error err = { 0 };
	uint32_t all = 0;

	if (!show(x, p, &err))
		return export_failed(&err);
	if (p->count == 0) {
		puts("  nothing: no export and no file has failed or waits for its next attempt");
		return EXIT_DONE;
	}
	if (!export_sure(x, "Try again?"))
		return EXIT_USAGE;
	if (!retry(x, p, &all, &err))
		return export_failed(&err);
	printf("%u tried again\n", all);
	return EXIT_DONE;
}

int export_retry(struct export_context *x)
{
	const char *file = arguments_get(x->arguments, "file");
	struct plan *p = memory_new(sizeof(*p));
	char *end = NULL;
	int code;

	p->file = file ? strtoll(file, &end, 10) : 0;
	if (file && (p->file <= 0 || *end)) {
		fprintf(stderr, "sluice export: --file: expected a number as status shows it\n");
		code = EXIT_USAGE;
	} else {
		code = retry_planned(x, p);
	}
	free(p);
	return code;
}
