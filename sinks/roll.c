#include "sinks/roll.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define ROLL_VERSION 1

struct roll *roll_new(uint64_t number, const char *session, const char *place, const char *owner)
{
	struct roll *r = memory_new(sizeof(*r));

	r->number = number;
	r->session = memory_text(session);
	r->place = memory_text(place);
	r->owner = memory_text(owner);
	return r;
}

void roll_free(struct roll *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->file_count; i++) {
		free(r->files[i]->path);
		free(r->files[i]->pending);
		free(r->files[i]->mark);
		free(r->files[i]->parts);
		free(r->files[i]);
	}
	free(r->files);
	free(r->session);
	free(r->place);
	free(r->owner);
	free(r);
}

struct roll_file *roll_file_add(struct roll *r, const char *path, const char *mark)
{
	struct roll_file *f = memory_new(sizeof(*f));

	f->path = memory_text(path);
	f->mark = memory_text(mark);
	if (r->file_count == r->file_capacity) {
		r->file_capacity = r->file_capacity ? r->file_capacity * 2 : 8;
		r->files = memory_resize(r->files, r->file_capacity * sizeof(struct roll_file *));
	}
	r->files[r->file_count++] = f;
	return f;
}

void roll_part_add(struct roll_file *f, const struct s3_part *part)
{
	size_t at = f->part_count;

	if (f->part_count == f->part_capacity) {
		f->part_capacity = f->part_capacity ? f->part_capacity * 2 : 4;
		f->parts = memory_resize(f->parts, f->part_capacity * sizeof(*f->parts));
	}
	while (at > 0 && f->parts[at - 1].number > part->number) {
		f->parts[at] = f->parts[at - 1];
		at--;
	}
	f->parts[at] = *part;
	f->part_count++;
}

/* NULL: left out. */
static void member_encode(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(out, ",\"%s\":", name);
	buf_json_text(out, str_of(value));
}

static void file_encode(const struct roll_file *f, struct buf *out)
{
	buf_printf(out, "{\"bytes\":%" PRIu64 ",\"records\":%" PRIu64, f->bytes, f->records);
	member_encode(out, "path", f->path);
	member_encode(out, "pending", f->pending);
	member_encode(out, "mark", f->mark);
	if (f->manifest)
		buf_text(out, ",\"manifest\":true");
	buf_text(out, ",\"parts\":[");
	for (size_t i = 0; i < f->part_count; i++) {
		const struct s3_part *p = &f->parts[i];

		buf_printf(out, "%s[%d,%" PRIu64 ",", i ? "," : "", p->number, p->size);
		buf_json_text(out, str_of(p->etag));
		buf_text(out, ",");
		buf_json_text(out, str_of(p->checksum));
		buf_text(out, "]");
	}
	buf_text(out, "]}");
}

void roll_manifest(const struct roll *r, struct buf *out)
{
	buf_printf(out, "{\"roll\":%" PRIu64, r->number);
	member_encode(out, "session", r->session);
	buf_text(out, ",\"files\":[");
	for (size_t i = 0; i < r->file_count; i++) {
		const struct roll_file *f = r->files[i];

		buf_printf(out, "%s{\"bytes\":%" PRIu64 ",\"records\":%" PRIu64, i ? "," : "",
			   f->bytes, f->records);
		member_encode(out, "path", f->path);
		buf_text(out, "}");
	}
	buf_text(out, "]}\n");
}

void roll_encode(const struct roll *r, const char *kind, struct buf *out)
{
	buf_printf(out, "{\"version\":%d,\"roll\":%" PRIu64, ROLL_VERSION, r->number);
	member_encode(out, "type", kind);
	member_encode(out, "session", r->session);
	member_encode(out, "place", r->place);
	member_encode(out, "owner", r->owner);
	buf_text(out, ",\"files\":[");
	for (size_t i = 0; i < r->file_count; i++) {
		if (i)
			buf_text(out, ",");
		file_encode(r->files[i], out);
	}
	buf_text(out, "]}");
}

static bool damaged(struct error *err, const char *what)
{
	return error_set(err, ERROR_INVALID,
			 "the stored roll cannot be read: %s; its row in the store was changed or "
			 "damaged",
			 what);
}

static bool part_decode(json_t *json, struct roll_file *f, struct error *err)
{
	struct s3_part part = { 0 };
	const char *etag, *checksum;
	json_int_t size;

	if (json_unpack(json, "[iIss!]", &part.number, &size, &etag, &checksum) != 0 ||
	    part.number < 1 || part.number > S3_PARTS_MAX || size < 0 ||
	    strlen(etag) >= sizeof(part.etag) || strlen(checksum) >= sizeof(part.checksum))
		return damaged(err, "a part is wrong");
	part.size = (uint64_t)size;
	memcpy(part.etag, etag, strlen(etag));
	memcpy(part.checksum, checksum, strlen(checksum));
	roll_part_add(f, &part);
	return true;
}

static bool file_decode(json_t *json, struct roll *r, struct error *err)
{
	const char *path, *pending, *mark;
	json_int_t bytes, records;
	json_t *parts;
	struct roll_file *f;
	int manifest = 0;

	if (json_unpack(json, "{sI,sI,ss,ss,ss,s?b,so}", "bytes", &bytes, "records", &records,
			"path", &path, "pending", &pending, "mark", &mark, "manifest", &manifest,
			"parts", &parts) != 0 ||
	    bytes < 0 || records < 0 || !json_is_array(parts))
		return damaged(err, "a file lacks a member");
	f = roll_file_add(r, path, mark);
	f->pending = memory_text(pending);
	f->bytes = (uint64_t)bytes;
	f->records = (uint64_t)records;
	f->manifest = manifest;
	for (size_t i = 0; i < json_array_size(parts); i++)
		if (!part_decode(json_array_get(parts, i), f, err))
			return false;
	return true;
}

static struct roll *json_decode(json_t *json, const char *kind, struct error *err)
{
	const char *type, *session, *place, *owner = NULL;
	json_int_t number;
	json_t *files;
	int version;

	if (json_unpack(json, "{si}", "version", &version) != 0) {
		damaged(err, "it has no version");
		return NULL;
	}
	if (version != ROLL_VERSION) {
		error_set(err, ERROR_INVALID,
			  "the stored roll has form %d, this program knows form %d: finish it with "
			  "the version that wrote it, or a later one",
			  version, ROLL_VERSION);
		return NULL;
	}
	if (json_unpack(json, "{sI,ss,ss,ss,s?s,so}", "roll", &number, "type", &type, "session",
			&session, "place", &place, "owner", &owner, "files", &files) != 0 ||
	    number < 0 || !json_is_array(files)) {
		damaged(err, "a member is missing");
		return NULL;
	}
	if (strcmp(type, kind) != 0) {
		error_set(err, ERROR_INVALID,
			  "the stored roll was written by a sink of type %s, this one is %s: give "
			  "the new sink a name of its own, and let the old one finish its rolls",
			  type, kind);
		return NULL;
	}
	AUTO(roll) struct roll *r = roll_new((uint64_t)number, session, place, owner);
	for (size_t i = 0; i < json_array_size(files); i++)
		if (!file_decode(json_array_get(files, i), r, err))
			return NULL;
	return MOVE(r);
}

struct roll *roll_decode(struct str blob, const char *kind, struct error *err)
{
	json_error_t why;
	json_t *json = json_loadb(blob.p, blob.n, JSON_REJECT_DUPLICATES, &why);
	struct roll *r;

	if (!json) {
		damaged(err, why.text);
		return NULL;
	}
	r = json_decode(json, kind, err);
	json_decref(json);
	return r;
}
