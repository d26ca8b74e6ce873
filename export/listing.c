#include "export/listing.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "aws/s3.h"
#include "base/arena.h"
#include "base/memory.h"

/* About a thousand files. */
#define RANGE_BYTES   ((size_t)256 << 10)
#define MD5_BYTES_MAX ((size_t)4 << 10)
#define SCHEME        "s3://"

struct listing {
	struct aws_client *client;
	char *bucket, *owner, *key, *table_arn;
	listing_fn *fn;
	void *arg;
	bool calling, freed;
	struct manifest manifest;
	struct buf at, summary; /* the key that is asked for; the summary until it is checked */
	char files_md5[64];
	/* The list of files. */
	struct manifest_files list;
	char etag[S3_ETAG_MAX]; /* "" before its first range */
	uint64_t fetched, total;
	struct arena memory; /* of `files` */
	struct listing_file *files;
	size_t count;
};

static bool on_file(void *arg, const struct manifest_file *f, struct error *err);

struct listing *listing_new(struct aws_client *c, const struct listing_place *place)
{
	struct listing *l = memory_new(sizeof(*l));

	l->client = c;
	l->bucket = memory_text(place->bucket);
	l->owner = memory_text(place->owner);
	l->key = memory_text(place->key);
	l->table_arn = memory_text(place->table_arn);
	arena_init(&l->memory);
	manifest_files_init(&l->list, on_file, l);
	return l;
}

static void release(struct listing *l)
{
	manifest_files_release(&l->list);
	arena_release(&l->memory);
	buf_release(&l->at);
	buf_release(&l->summary);
	free(l->files);
	free(l->bucket);
	free(l->owner);
	free(l->key);
	free(l->table_arn);
	free(l);
}

void listing_free(struct listing *l)
{
	if (!l)
		return;
	if (l->calling)
		l->freed = true;
	else
		release(l);
}

/* --- telling --- */

/* The callback may free the listing. */
static void tell(struct listing *l, const struct error *err, bool end)
{
	static const struct error none = { 0 };
	struct listing_part part = {
		.manifest = &l->manifest, .files = l->files, .count = l->count, .end = end
	};

	l->fn(l->arg, err ? err : &none, err ? NULL : &part);
}

static void fail(struct listing *l, const struct error *err)
{
	struct error told = *err;

	error_wrap(&told, "s3://%.100s/%.300s", l->bucket, buf_str(&l->at).p);
	tell(l, &told, false);
}

/* --- what it says of itself: three small objects --- */

/* `name` beside the manifest. */
static void ask(struct listing *l, const char *name, size_t max, s3_range_fn *fn)
{
	struct s3_place place = { .bucket = l->bucket, .bucket_owner = l->owner };
	struct error err = { 0 };

	buf_clear(&l->at);
	if (!manifest_beside(l->key, name, &l->at, &err)) {
		buf_text(&l->at, l->key);
		fail(l, &err);
		return;
	}
	place.key = l->at.data;
	l->calling = true;
	s3_get(l->client, &place, NULL, 0, max, fn, l);
}

/* True where there is something to go on with. */
static bool came(struct listing *l, const struct error *err, const struct s3_range *r)
{
	struct error part;

	l->calling = false;
	if (l->freed) {
		release(l);
		return false;
	}
	if (err->kind != ERROR_NONE) {
		fail(l, err);
		return false;
	}
	/* Pieces are for what can be large: a piece of a small one is the fault of a moment. */
	if (r->offset == 0 && r->total != r->body->size) {
		error_set(
			&part, r->total > MANIFEST_SUMMARY_BYTES_MAX ? ERROR_INVALID : ERROR_RETRY,
			"%zu of its %llu bytes came", r->body->size, (unsigned long long)r->total);
		fail(l, &part);
		return false;
	}
	return true;
}

static void on_files_md5(void *arg, const struct error *err, struct s3_range *r)
{
	struct listing *l = arg;

	if (!came(l, err, r))
		return;
	snprintf(l->files_md5, sizeof(l->files_md5), "%.*s", STR_ARG(buf_str(r->body)));
	tell(l, NULL, false);
}

static void on_summary_md5(void *arg, const struct error *err, struct s3_range *r)
{
	struct listing *l = arg;
	struct error bad = { 0 };

	if (!came(l, err, r))
		return;
	if (!manifest_summary_check(buf_str(&l->summary), buf_str(r->body), &bad) ||
	    !manifest_summary_parse(buf_str(&l->summary), &l->manifest, &bad) ||
	    (l->table_arn && !manifest_table_check(&l->manifest, l->table_arn, &bad))) {
		fail(l, &bad);
		return;
	}
	ask(l, "manifest-files.md5", MD5_BYTES_MAX, on_files_md5);
}

static void on_summary(void *arg, const struct error *err, struct s3_range *r)
{
	struct listing *l = arg;

	if (!came(l, err, r))
		return;
	l->summary = *r->body;
	*r->body = (struct buf){ 0 };
	ask(l, "manifest-summary.md5", MD5_BYTES_MAX, on_summary_md5);
}

/* --- its files --- */

static bool on_file(void *arg, const struct manifest_file *f, struct error *err)
{
	struct listing *l = arg;
	const char *slash = strrchr(f->key, '/'), *name = slash ? slash + 1 : f->key;
	struct listing_file *out;
	struct buf location = { 0 };
	bool ok;

	if (f->items == 0)
		return true;
	if (!*name || strlen(name) >= LISTING_NAME_SIZE)
		return error_set(err, ERROR_INVALID,
				 "the file %.300s has a name that AWS gives none", f->key);
	l->files = memory_room(l->files, l->count, sizeof(*l->files));
	out = &l->files[l->count];
	*out = (struct listing_file){ .items = f->items };
	snprintf(out->name, sizeof(out->name), "%s", name);
	memcpy(out->md5, f->md5, sizeof(out->md5));
	buf_printf(&location, SCHEME "%s/", l->bucket);
	ok = manifest_resolve(&l->manifest, l->key, f->key, &location, err);
	if (ok) {
		out->location = arena_printf(&l->memory, "%s", location.data);
		l->count++;
	}
	buf_release(&location);
	return ok;
}

static void ask_files(struct listing *l);

static void on_files(void *arg, const struct error *err, struct s3_range *r)
{
	struct listing *l = arg;
	struct error bad = { 0 };
	bool end;

	l->calling = false;
	if (l->freed) {
		release(l);
		return;
	}
	if (err->kind != ERROR_NONE) {
		fail(l, err);
		return;
	}
	memcpy(l->etag, r->etag, sizeof(l->etag));
	l->total = r->total;
	l->fetched += r->body->size;
	end = l->fetched == l->total;
	if (!manifest_files_feed(&l->list, buf_str(r->body), &bad) ||
	    (end && !manifest_files_end(&l->list, &l->manifest, str_of(l->files_md5), &bad)))
		fail(l, &bad);
	else if (!end && l->count == 0)
		ask_files(l);
	else
		tell(l, NULL, end);
}

static void ask_files(struct listing *l)
{
	struct s3_place place = { .bucket = l->bucket, .bucket_owner = l->owner };
	struct error err = { 0 };

	l->count = 0;
	arena_release(&l->memory);
	arena_init(&l->memory);
	buf_clear(&l->at);
	if (!manifest_resolve(&l->manifest, l->key, l->manifest.files_key, &l->at, &err)) {
		buf_text(&l->at, l->key);
		fail(l, &err);
		return;
	}
	place.key = l->at.data;
	l->calling = true;
	s3_get(l->client, &place, *l->etag ? l->etag : NULL, l->fetched, RANGE_BYTES, on_files, l);
}

void listing_next(struct listing *l, listing_fn *fn, void *arg)
{
	assert(!l->calling);
	l->fn = fn;
	l->arg = arg;
	if (*l->files_md5)
		ask_files(l);
	else
		ask(l, "manifest-summary.json", MANIFEST_SUMMARY_BYTES_MAX, on_summary);
}

size_t listing_location(const char *text, const char **key)
{
	size_t scheme = strlen(SCHEME), n;

	if (strncmp(text, SCHEME, scheme) != 0)
		return 0;
	n = strcspn(text + scheme, "/");
	if (!text[scheme + n] || !text[scheme + n + 1])
		return 0;
	*key = text + scheme + n + 1;
	return n;
}
