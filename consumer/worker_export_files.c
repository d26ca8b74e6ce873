/* An export's manifest: read once to know that it is good and how much there is, and again to make
 * its files rows of the store, part by part. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "consumer/worker_exports.h"
#include "consumer/worker_internal.h"

/* AWS has finished it: so long its manifest may take to be seen. */
#define MISSING_MS (10LL * 60 * 1000)

/* False: it failed, and is not read on. */
static bool came(struct worker_export *x, const struct error *err)
{
	int64_t now_ms = clock_aws_ms(x->worker->settings.clock);

	if (err->kind == ERROR_NONE)
		return true;
	x->busy = false;
	if (err->kind == ERROR_CANCELLED)
		return false;
	listing_free(x->listing);
	x->listing = NULL;
	if (err->kind == ERROR_NOT_FOUND && !x->missing_ms)
		x->missing_ms = now_ms;
	if (err->kind == ERROR_INVALID ||
	    (err->kind == ERROR_NOT_FOUND && now_ms - x->missing_ms > MISSING_MS))
		worker_export_fail(x, err->message, false);
	else
		worker_export_trouble(x, err);
	return false;
}

static bool is_same_export(const struct worker_export *x, const struct manifest *m,
			   struct error *err)
{
	const struct store_export *e = &x->row;
	char wanted[DRIVE_WINDOW_SIZE], found[DRIVE_WINDOW_SIZE];
	struct store_export of = { .from_ms = m->window.from_ms, .to_ms = m->window.to_ms };
	bool old_images = strcmp(e->view, "NEW_AND_OLD_IMAGES") == 0;

	if (m->full != (e->from_ms == 0) || m->window.from_ms / 1000 != e->from_ms / 1000 ||
	    m->window.to_ms / 1000 != e->to_ms / 1000)
		return error_set(err, ERROR_INVALID, "it is the export %s, not %s",
				 drive_window(&of, found), drive_window(e, wanted));
	if (!m->full && (m->view == MANIFEST_NEW_AND_OLD_IMAGES) != old_images)
		return error_set(err, ERROR_INVALID, "it has another view than %s", e->view);
	return true;
}

static struct listing *open(struct worker_export *x, const char *location, struct error *err)
{
	const char *key;
	size_t n = listing_location(location, &key);
	char bucket[256];
	struct listing_place place = { .bucket = bucket,
				       .owner = x->target->bucket_owner,
				       .table_arn = x->row.table_arn };

	if (n == 0 || n >= sizeof(bucket)) {
		error_set(err, ERROR_INVALID, "\"%.300s\" is no place of a manifest", location);
		return NULL;
	}
	snprintf(bucket, sizeof(bucket), "%.*s", (int)n, key - 1 - n);
	place.key = key;
	return listing_new(x->worker->client, &place);
}

static void begin(struct worker_export *x, const char *location, listing_fn *fn)
{
	struct error err = { 0 };

	x->busy = true;
	x->files = 0;
	listing_free(x->listing); /* of what another worker was quicker with */
	x->listing = open(x, location, &err);
	if (x->listing)
		listing_next(x->listing, fn, x);
	else
		(void)came(x, &err);
}

/* --- the first time --- */

static const char *place_of(const struct worker_export *x)
{
	return x->row.kind == STORE_EXPORT_LOAD ? x->row.manifest : x->manifest.data;
}

static void seen(void *arg, const struct error *err, const struct listing_part *part)
{
	struct worker_export *x = arg;
	struct error other = { 0 };
	struct store_exported what;

	if (!came(x, err))
		return;
	if (part->count == 0 && !part->end && !is_same_export(x, part->manifest, &other)) {
		(void)came(x, &other);
		return;
	}
	x->files += part->count;
	if (!part->end) {
		listing_next(x->listing, seen, x);
		return;
	}
	what = (struct store_exported){ .manifest = place_of(x),
					.files = x->files,
					.items = part->manifest->items,
					.billed_bytes = part->manifest->billed_bytes };
	x->busy = false;
	worker_export_exported(x, &what);
	listing_free(x->listing);
	x->listing = NULL;
}

void worker_export_read(struct worker_export *x)
{
	begin(x, place_of(x), seen);
}

/* --- the second time --- */

static void told(void *arg, const struct error *err, const struct listing_part *part)
{
	struct worker_export *x = arg;

	if (came(x, err))
		worker_export_add(x, part);
}

void worker_export_added(struct worker_export *x, bool end)
{
	if (end) {
		listing_free(x->listing);
		x->listing = NULL;
		worker_export_do(x, STEP_LOAD);
	} else {
		x->busy = true;
		listing_next(x->listing, told, x);
	}
}

void worker_export_load(struct worker_export *x)
{
	begin(x, x->row.manifest, told);
}
