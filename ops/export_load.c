#include <stdio.h>
#include <string.h>

#include "consumer/drive.h"
#include "export/listing.h"
#include "ops/command.h"
#include "ops/export_command.h"
#include "ops/exports.h"

/* An export that is there already, of whomever: its manifest is looked at here, and read and loaded
 * by workers. */

struct read {
	bool done;
	struct error err;
	struct manifest manifest;
};

static void on_part(void *arg, const struct error *err, const struct listing_part *part)
{
	struct read *r = arg;

	r->err = *err;
	if (part)
		r->manifest = *part->manifest;
	r->done = true;
}

static bool look(struct export_context *x, const char *from, struct read *r, struct error *err)
{
	const char *key;
	size_t n = listing_location(from, &key);
	char bucket[256];
	struct listing_place place = { .bucket = bucket };
	struct listing *l;

	if (n == 0 || n >= sizeof(bucket))
		return error_set(err, ERROR_INVALID,
				 "--from: expected s3://BUCKET/…/manifest-summary.json, not "
				 "'%.200s'",
				 from);
	snprintf(bucket, sizeof(bucket), "%.*s", (int)n, key - 1 - n);
	place.key = key;
	l = listing_new(x->aws.client, &place);
	listing_next(l, on_part, r);
	aws_wait(x->aws.client, &r->done);
	listing_free(l);
	*err = r->err;
	return err->kind == ERROR_NONE;
}

static bool is_of_table(const struct manifest *m, const char *table, struct error *err)
{
	struct store_export e = { .table_arn = m->table_arn };

	return exports_is_of(&e, table) ||
	       error_set(err, ERROR_INVALID, "it is an export of %.150s, not of %.150s",
			 m->table_arn, table);
}

static bool has_sink(const struct config *c, const char *sink, struct error *err)
{
	for (size_t i = 0; i < c->sink_count; i++)
		if (strcmp(c->sinks[i].name, sink) == 0)
			return true;
	return error_set(err, ERROR_INVALID, "--into: the configuration has no sink '%.100s'",
			 sink);
}

static struct store_export row_of(const struct manifest *m, const char *from, const char *sink)
{
	return (struct store_export){
		.table_arn = m->table_arn,
		.name = sink,
		.kind = STORE_EXPORT_LOAD,
		.from_ms = m->full ? 0 : m->window.from_ms,
		.to_ms = m->window.to_ms,
		.view = m->full                                  ? ""
			: m->view == MANIFEST_NEW_AND_OLD_IMAGES ? "NEW_AND_OLD_IMAGES"
								 : "NEW_IMAGE",
		.manifest = from,
	};
}

static bool put(struct export_context *x, struct store_export *e, struct error *err)
{
	AUTO(store)
	struct store *store =
		store_open(x->config->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	bool created;

	if (!store || !store_export_begin(store, NULL, e, clock_aws_ms(&x->clock), &created, err))
		return false;
	if (e->id == 0)
		return error_set(
			err, ERROR_INVALID,
			"windows are loaded in their order, each behind the one before it: "
			"this one does not begin where the last one into %s ended, see "
			"`sluice export status`",
			e->name);
	printf("export %lld  %s\n", (long long)e->id,
	       created ? "is begun"
		       : "was begun before: what is loaded is not loaded again, see `sluice export "
			 "status`");
	return arguments_get(x->arguments, "wait") || export_say_workers(store, err);
}

int export_load(struct export_context *x)
{
	const char *from = arguments_get(x->arguments, "from"),
		   *sink = arguments_get(x->arguments, "into");
	char window[DRIVE_WINDOW_SIZE];
	struct read r = { 0 };
	struct store_export e;
	struct error err = { 0 };

	if (!has_sink(x->config, sink, &err)) {
		fprintf(stderr, "sluice export: %s\n", err.message);
		return EXIT_USAGE;
	}
	if (!service_client_open(&x->aws, x->config, &x->clock, &err) || !look(x, from, &r, &err) ||
	    !is_of_table(&r.manifest, arguments_get(x->arguments, "table"), &err))
		return export_failed(&err);
	e = row_of(&r.manifest, from, sink);
	printf("%s  %s  %llu items  into %s\n", r.manifest.table_arn, drive_window(&e, window),
	       (unsigned long long)r.manifest.items, sink);
	if (!export_sure(x, "Load it?"))
		return EXIT_USAGE;
	if (!put(x, &e, &err))
		return export_failed(&err);
	return arguments_get(x->arguments, "wait") ? export_wait(x, &e.id, 1) : EXIT_DONE;
}
