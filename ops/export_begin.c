#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/dynamodb.h"
#include "aws/exports.h"
#include "base/memory.h"
#include "config/sections.h"
#include "consumer/drive.h"
#include "ops/command.h"
#include "ops/export_command.h"
#include "ops/exports.h"

/* An export that a person begins: its row in the store, which workers then drive. */

struct begun {
	const struct config_export *entry;
	char name[256];
	struct dynamodb_table table;
	struct exports_recovery pitr;
	struct store_export full, window; /* the newest; id 0: none */
	struct store_export row;          /* to be begun */
};

struct answer {
	bool done;
	struct error err;
	struct dynamodb_table table;
	struct exports_recovery pitr;
};

static void on_table(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct answer *a = arg;

	a->err = *err;
	if (t)
		a->table = *t;
	a->done = true;
}

static void on_recovery(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct answer *a = arg;

	a->err = *err;
	if (r)
		a->pitr = *r;
	a->done = true;
}

static bool ask_aws(struct export_context *x, struct begun *b, struct error *err)
{
	struct answer a = { 0 };

	dynamodb_describe_table(x->aws.client, b->entry->table, on_table, &a);
	aws_wait(x->aws.client, &a.done);
	if (a.err.kind == ERROR_NONE) {
		b->table = a.table;
		a.done = false;
		exports_recovery_get(x->aws.client, b->table.arn, on_recovery, &a);
		aws_wait(x->aws.client, &a.done);
		b->pitr = a.pitr;
	}
	*err = a.err;
	if (err->kind != ERROR_NONE)
		return error_wrap(err, "table %s", b->name);
	return b->pitr.enabled || b->entry->enable_pitr ||
	       error_set(err, ERROR_INVALID,
			 "table %s: exports need point-in-time recovery, which is off: turn it on, "
			 "or set enable_pitr",
			 b->name);
}

/* T depends on since when it is on. */
static bool turn_on(struct export_context *x, struct begun *b, struct error *err)
{
	struct answer a = { 0 };

	if (b->pitr.enabled)
		return true;
	exports_recovery_enable(x->aws.client, b->table.arn, on_recovery, &a);
	aws_wait(x->aws.client, &a.done);
	*err = a.err;
	b->pitr = a.pitr;
	if (err->kind != ERROR_NONE)
		return error_wrap(err, "table %s", b->name);
	return b->pitr.enabled ||
	       error_set(err, ERROR_RETRY,
			 "table %s: point-in-time recovery is being turned on; try again in a "
			 "minute",
			 b->name);
}

/* --- what there is --- */

static void on_newest(void *arg, const struct store_export *e)
{
	struct store_export *out = arg;

	*out = *e;
	out->table_arn = out->name = out->view = out->manifest = out->token = out->arn =
		out->error = ""; /* they live no longer */
}

static bool newest(struct store *store, const struct begun *b, enum store_export_kind kind,
		   struct store_export *out, struct error *err)
{
	struct store_exports_of of = { .table_arn = b->table.arn,
				       .name = b->name,
				       .kind = store_export_kind_name(kind),
				       .max = 1 };

	return store_exports(store, &of, on_newest, out, err);
}

static bool read_chain(struct export_context *x, struct begun *all, size_t count, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open_reader(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);

	/* No worker has made it yet. */
	if (!store)
		return err->kind == ERROR_NOT_FOUND;
	for (size_t i = 0; i < count; i++)
		if (!newest(store, &all[i], STORE_EXPORT_FULL, &all[i].full, err) ||
		    !newest(store, &all[i], STORE_EXPORT_INCREMENTAL, &all[i].window, err))
			return false;
	return true;
}

/* --- what is begun --- */

static bool choose(struct export_context *x, struct begun *b, enum store_export_kind kind,
		   struct error *err)
{
	int64_t now_ms = clock_aws_ms(&x->clock), length_ms = b->entry->incremental_ms;
	struct drive_rules drive = { .load = b->entry->load,
				     .load_every = (uint32_t)b->entry->load_every };
	struct chain chain = drive_chain(&b->full, &b->window, &drive);
	struct chain_rules rules = { .length_ms = length_ms };
	struct recovery pitr = { .state = b->pitr.enabled ? RECOVERY_ON : RECOVERY_OFF,
				 .earliest_ms = b->pitr.earliest_ms,
				 .latest_ms = b->pitr.latest_ms };
	bool none = b->full.id == 0 && b->window.id == 0;
	uint64_t beside = none && length_ms && !b->entry->full ? DRIVE_BESIDE_WINDOWS : 0;
	struct window w = { 0 };

	if (kind == STORE_EXPORT_FULL)
		w.to_ms = chain_full_now(&rules, &pitr, now_ms);
	else if (!chain_window_now(&chain, length_ms ? length_ms : WINDOW_LONGEST_MS, now_ms, &w,
				   err))
		return error_wrap(err, "table %s", b->name);
	b->row = (struct store_export){
		.table_arn = b->table.arn,
		.name = b->name,
		.kind = kind,
		.from_ms = w.from_ms,
		.to_ms = w.to_ms,
		.generation =
			kind == STORE_EXPORT_FULL ? beside : drive_generation(&b->full, &b->window),
		.view = kind == STORE_EXPORT_FULL ? "" : b->entry->view,
	};
	return true;
}

static void show(const struct begun *b)
{
	char window[DRIVE_WINDOW_SIZE];

	printf("%s  %s  into s3://%s/%s%s", b->name, drive_window(&b->row, window),
	       b->entry->bucket, b->entry->prefix, b->entry->load ? ", then loaded into" : "");
	for (size_t i = 0; b->entry->load && i < b->entry->sink_count; i++)
		printf(" %s", b->entry->sinks[i].name);
	puts("");
	if (!b->pitr.enabled)
		puts("  point-in-time recovery is off: it is turned on, and the export's time is "
		     "one that it reaches");
}

static bool put(struct export_context *x, struct begun *all, size_t count, int64_t *ids,
		struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	char window[DRIVE_WINDOW_SIZE];

	for (size_t i = 0; store && i < count; i++) {
		struct begun *b = &all[i];
		bool created;

		if (!store_export_begin(store, NULL, &b->row, clock_aws_ms(&x->clock), &created,
					err))
			return false;
		if (b->row.id == 0)
			return error_set(err, ERROR_RETRY,
					 "table %s: another export was begun in this moment; look "
					 "at `sluice export status`, and try again",
					 b->name);
		printf("export %lld  %s  %s  %s\n", (long long)b->row.id, b->name,
		       drive_window(&b->row, window), created ? "is begun" : "was begun before");
		ids[i] = b->row.id;
	}
	return store && (arguments_get(x->arguments, "wait") || export_say_workers(store, err));
}

static bool plan(struct export_context *x, struct begun *all, size_t count,
		 enum store_export_kind kind, struct error *err)
{
	if (!service_client_open(&x->aws, x->config, &x->clock, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!ask_aws(x, &all[i], err))
			return false;
	if (!read_chain(x, all, count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!choose(x, &all[i], kind, err))
			return false;
		show(&all[i]);
	}
	return true;
}

static int begin_planned(struct export_context *x, struct begun *all, size_t count,
			 enum store_export_kind kind)
{
	int64_t *ids = memory_array(count, sizeof(*ids));
	struct error err = { 0 };
	int code = EXIT_DONE;

	if (!plan(x, all, count, kind, &err)) {
		code = export_failed(&err);
	} else if (!export_sure(x, "Begin?")) {
		code = EXIT_USAGE;
	} else {
		bool ok = true;

		for (size_t i = 0; ok && i < count; i++)
			ok = turn_on(x, &all[i], &err) && choose(x, &all[i], kind, &err);
		if (!ok || !put(x, all, count, ids, &err))
			code = export_failed(&err);
		else if (arguments_get(x->arguments, "wait"))
			code = export_wait(x, ids, count);
	}
	free(ids);
	return code;
}

int export_begin(struct export_context *x, enum store_export_kind kind)
{
	const char *table = arguments_get(x->arguments, "table");
	struct begun *all = memory_array(x->config->export_count + 1, sizeof(*all));
	size_t count = 0;
	int code = EXIT_USAGE;

	for (size_t i = 0; i < x->config->export_count; i++) {
		const struct config_export *entry = &x->config->exports[i];
		struct str name = config_table_name(entry->table);

		if (table && strcmp(table, entry->table) != 0 && !str_equal(str_of(table), name))
			continue;
		all[count].entry = entry;
		snprintf(all[count].name, sizeof(all[count].name), "%.*s", STR_ARG(name));
		count++;
	}
	if (count > 0)
		code = begin_planned(x, all, count, kind);
	else
		fprintf(stderr, "sluice export: the configuration exports no table%s%s\n",
			table ? " " : "", table ? table : "");
	free(all);
	return code;
}
