/* Records of dead letters, delivered once more: files of their own, each visible as a whole or not
 * at all. Sent again they have the same names, so that none comes twice. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "sinks/object_post.h"
#include "sinks/template.h"

#define ROOM ((size_t)64 << 10)

struct again_file {
	struct buf path, lines;
	uint64_t records, bytes; /* bytes: of the file as it lies there */
};

struct again {
	const struct object_settings *settings;
	const struct sink_again *batch;
	struct object_post post;
	struct template *path;
	struct again_file *files;
	size_t count;
};

struct template *object_place(const void *settings, bool *required, struct error *err)
{
	const struct object_settings *s = settings;

	*required = s->missing != 0;
	return template_new(s->path, TEMPLATE_PATH, err);
}

/* TIME-STREAM-again-CHAIN-BATCH */
static void file_name(const struct again *a, struct buf *out)
{
	char time[OBJECT_TIME_SIZE];

	buf_printf(out, "%s-", object_time_text(a->batch->batch, time));
	object_post_name(a->batch->stream, out);
	buf_printf(out, "-again-%s-%" PRId64, a->batch->chain, a->batch->batch);
}

/* ERROR_INVALID: there can be no such folder. */
static bool file_path(const struct again *a, const struct delivery *d, struct buf *out,
		      struct error *err)
{
	const struct template_values values = {
		.source = d->batch->source,
		.event = d->route ? batch_place(d->route, d->first) : NULL,
		.time_ms = a->batch->batch,
	};

	buf_text(out, a->post.place->prefix);
	if (!template_render(a->path, &values, out, err))
		return false;
	if (out->size > 0 && out->data[out->size - 1] != '/')
		buf_text(out, "/");
	file_name(a, out);
	buf_printf(out, ".ndjson%s",
		   compression_suffix((enum compression)a->settings->compression));
	return true;
}

/* Takes the path. */
static struct again_file *file_of(struct again *a, struct buf *path)
{
	struct again_file *f;

	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->files[i].path.data, path->data) == 0) {
			buf_release(path);
			return &a->files[i];
		}
	a->files = memory_room(a->files, a->count, sizeof(*a->files));
	f = &a->files[a->count++];
	*f = (struct again_file){ .path = *path };
	buf_init(&f->lines, 0);
	return f;
}

static bool add_records(struct again *a, size_t *refused, struct error *err)
{
	for (size_t i = 0; i < a->batch->count; i++) {
		const struct delivery *d = a->batch->records[i];
		struct str payload = d->payloads[d->first];
		struct again_file *f;
		struct buf path;

		buf_init(&path, 0);
		if (!file_path(a, d, &path, err)) {
			buf_release(&path);
			*refused = i;
			return false;
		}
		f = file_of(a, &path);
		buf_printf(&f->lines, "%.*s\n", STR_ARG(payload));
		f->records++;
	}
	return true;
}

static void compress(const struct again *a, struct str in, struct buf *out)
{
	AUTO(compressor)
	struct compressor *c = compressor_new((enum compression)a->settings->compression);
	char *room = memory_new(ROOM);
	bool done = false, added = true;

	while (in.n > 0)
		added = buf_add(out, room, compressor_feed(c, &in, room, ROOM)) && added;
	while (!done)
		added = buf_add(out, room, compressor_end(c, room, ROOM, &done)) && added;
	assert(added); /* a batch is far smaller than the buffer's limit */
	free(room);
}

static bool put(struct again *a, const char *path, const char *content_type, struct str body,
		const _Atomic bool *stop, struct error *err)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash + 1 - path) : 0;
	struct buf pending;
	bool ok;

	buf_init(&pending, 0);
	buf_printf(&pending, "%.*s.", folder, path);
	file_name(a, &pending);
	ok = object_post_put(&a->post, path, pending.data, content_type, body, stop, err);
	buf_release(&pending);
	return ok;
}

static bool put_file(struct again *a, struct again_file *f, const _Atomic bool *stop,
		     struct error *err)
{
	struct buf body;
	bool ok;

	buf_init(&body, 0);
	compress(a, buf_str(&f->lines), &body);
	f->bytes = body.size;
	ok = put(a, f->path.data,
		 compression_content_type((enum compression)a->settings->compression),
		 buf_str(&body), stop, err);
	buf_release(&body);
	return ok;
}

/* As a roll has one, behind all its files. */
static bool put_manifest(struct again *a, const _Atomic bool *stop, struct error *err)
{
	AUTO(roll) struct roll *r = roll_new((uint64_t)a->batch->batch, a->batch->chain, "", NULL);
	char *folder = object_folder(a->post.place->prefix, a->settings->path);
	struct buf path, text;
	bool ok;

	buf_init(&path, 0);
	buf_init(&text, 0);
	for (size_t i = 0; i < a->count; i++) {
		struct roll_file *f = roll_file_add(r, a->files[i].path.data, "");

		f->records = a->files[i].records;
		f->bytes = a->files[i].bytes;
	}
	buf_printf(&path, "%s_manifest/", folder);
	file_name(a, &path);
	buf_text(&path, ".json");
	roll_manifest(r, &text);
	ok = put(a, path.data, "application/json", buf_str(&text), stop, err);
	buf_release(&path);
	buf_release(&text);
	free(folder);
	return ok;
}

static bool deliver(struct again *a, const _Atomic bool *stop, size_t *refused, struct error *err)
{
	bool ok = add_records(a, refused, err);

	for (size_t i = 0; ok && i < a->count; i++)
		ok = put_file(a, &a->files[i], stop, err);
	return ok && (!a->settings->manifest || put_manifest(a, stop, err));
}

bool object_again(const struct place_ops *ops, const void *settings, const struct sink_host *host,
		  const struct sink_again *batch, const _Atomic bool *stop, size_t *sent,
		  size_t *refused, struct error *err)
{
	struct again a = { .settings = settings,
			   .batch = batch,
			   .post = { .ops = ops, .host = host } };
	bool required, ok;

	*refused = batch->count;
	a.path = object_place(settings, &required, err);
	ok = object_post_open(&a.post, settings, err) && a.path && deliver(&a, stop, refused, err);
	*sent = ok ? batch->count : 0;
	for (size_t i = 0; i < a.count; i++) {
		buf_release(&a.files[i].path);
		buf_release(&a.files[i].lines);
	}
	free(a.files);
	object_post_close(&a.post);
	template_free(a.path);
	return ok || error_wrap(err, "sink %s", host->name);
}
