#include "aws/s3.h"

#include <assert.h>
#include <inttypes.h>
#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/call.h"
#include "aws/xml.h"
#include "base/memory.h"

#define SHORT_MS     10000L
#define PART_MS      120000L
#define COMPLETE_MS  120000L /* S3 puts the parts together and sends spaces meanwhile */
#define ANSWER_SMALL ((size_t)64 << 10)
#define ANSWER_LIST  ((size_t)4 << 20) /* a page of 1,000 with long keys */

#define OPERATION(variable, op_name, op_method, op_permission, ms, max)                            \
	static const struct aws_operation variable = { .name = (op_name),                          \
						       .service = AWS_S3,                          \
						       .method = (op_method),                      \
						       .permission = (op_permission),              \
						       .timeout_ms = (ms),                         \
						       .answer_max = (max) }
OPERATION(upload_create, "CreateMultipartUpload", "POST", "s3:PutObject", SHORT_MS, ANSWER_SMALL);
OPERATION(upload_part, "UploadPart", "PUT", "s3:PutObject", PART_MS, ANSWER_SMALL);
OPERATION(object_put, "PutObject", "PUT", "s3:PutObject", SHORT_MS, ANSWER_SMALL);
OPERATION(upload_abort, "AbortMultipartUpload", "DELETE", "s3:AbortMultipartUpload", SHORT_MS,
	  ANSWER_SMALL);
OPERATION(upload_parts, "ListParts", "GET", "s3:ListMultipartUploadParts", SHORT_MS, ANSWER_LIST);
OPERATION(uploads_list, "ListMultipartUploads", "GET", "s3:ListBucketMultipartUploads", SHORT_MS,
	  ANSWER_LIST);
OPERATION(object_head, "HeadObject", "HEAD", "s3:GetObject and s3:ListBucket", SHORT_MS,
	  ANSWER_SMALL);
OPERATION(bucket_head, "HeadBucket", "HEAD", "s3:ListBucket", SHORT_MS, ANSWER_SMALL);
OPERATION(bucket_lifecycle, "GetBucketLifecycleConfiguration", "GET",
	  "s3:GetLifecycleConfiguration", SHORT_MS, ANSWER_LIST);
static const struct aws_operation object_get = { .name = "GetObject",
						 .service = AWS_S3,
						 .method = "GET",
						 .permission = "s3:GetObject and s3:ListBucket",
						 .timeout_ms = PART_MS,
						 .answer_max = ANSWER_SMALL,
						 .object = true };
static const struct aws_operation upload_complete = { .name = "CompleteMultipartUpload",
						      .service = AWS_S3,
						      .method = "POST",
						      .permission = "s3:PutObject",
						      .timeout_ms = COMPLETE_MS,
						      .answer_max = ANSWER_SMALL,
						      .error_in_success = true };

/* What a typed call remembers until its answer; lives in the call. */
struct s3_call {
	union {
		s3_upload_fn *upload;
		s3_part_fn *part;
		s3_done_fn *done;
		s3_head_fn *head;
		s3_range_fn *range;
		s3_lifecycle_fn *lifecycle;
	} fn;
	void *arg;
	uint64_t size; /* of a part; where a range begins */
	int number;
	char checksum[S3_CHECKSUM_SIZE];
};
_Static_assert(sizeof(struct s3_call) <= AWS_CALL_STATE, "the call has no room for it");

static struct aws_call *call_new(struct aws_client *c, const struct aws_operation *op,
				 const char *bucket, const char *key, const char *owner)
{
	struct aws_call *call = aws_call_new(c, op);

	aws_call_bucket(call, bucket, key);
	aws_call_subject(call, "bucket", str_of(bucket));
	aws_call_header(call, "x-amz-expected-bucket-owner", owner);
	return call;
}

/* A bucket that is not there is none of the things that NOT_FOUND says here of uploads and objects,
 * and it may be there again. */
static const struct error *judged(const struct aws_call *call, const struct error *err,
				  struct error *room)
{
	if (strcmp(aws_call_code(call), "NoSuchBucket") != 0)
		return err;
	*room = *err;
	room->kind = ERROR_REFUSED;
	return room;
}

static const struct error *unreadable(struct error *err, const char *operation)
{
	error_set(err, ERROR_RETRY,
		  "S3's answer to %s cannot be read: is there a proxy in between, or a server that "
		  "is not S3?",
		  operation);
	return err;
}

/* The bytes between an etag's quotes. */
static bool etag_copy(struct str text, char out[S3_ETAG_MAX])
{
	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = (struct str){ text.p + 1, text.n - 2 };
	if (text.n == 0 || text.n >= S3_ETAG_MAX)
		return false;
	memcpy(out, text.p, text.n);
	out[text.n] = '\0';
	return true;
}

static void checksum_text(struct str body, char out[S3_CHECKSUM_SIZE])
{
	uint32_t crc = UINT32_MAX;
	uint8_t bytes[4];

	while (body.n > 0) {
		int n = body.n < INT32_MAX ? (int)body.n : INT32_MAX;

		/* ISA-L's parameter is not const; it only reads. */
		crc = crc32_iscsi((unsigned char *)(uintptr_t)body.p, n, crc);
		body.p += n;
		body.n -= (size_t)n;
	}
	crc = ~crc;
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(crc >> (24 - 8 * i));
	EVP_EncodeBlock((unsigned char *)out, bytes, sizeof(bytes));
}

/* --- create --- */

static void created(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	char upload_id[S3_UPLOAD_ID_MAX];
	struct error changed;

	if (err->kind == ERROR_NONE &&
	    !(xml_text(buf_str(r->body), "UploadId", upload_id, sizeof(upload_id)) && upload_id[0]))
		err = unreadable(&changed, upload_create.name);
	state->fn.upload(state->arg, judged(call, err, &changed),
			 err->kind == ERROR_NONE ? upload_id : NULL);
}

static void options_add(struct aws_call *call, const struct s3_options *o)
{
	aws_call_header(call, "content-type", o->content_type);
	aws_call_header(call, "content-encoding", o->content_encoding);
	aws_call_header(call, "x-amz-server-side-encryption", o->encryption);
	aws_call_header(call, "x-amz-server-side-encryption-aws-kms-key-id", o->kms_key);
	aws_call_header(call, "x-amz-storage-class", o->storage_class);
	aws_call_header(call, "x-amz-tagging", o->tags);
	aws_call_header(call, "x-amz-meta-sluice-roll", o->metadata_roll);
}

void s3_upload_create(struct aws_client *c, const struct s3_place *at, const struct s3_options *o,
		      s3_upload_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, &upload_create, at->bucket, at->key, at->bucket_owner);
	struct s3_call *state = aws_call_state(call);

	state->fn.upload = fn;
	state->arg = arg;
	aws_call_query(call, "uploads", "");
	aws_call_header(call, "x-amz-checksum-algorithm", "CRC32C");
	options_add(call, o);
	aws_call_send(call, created);
}

/* --- parts --- */

static void part_stored(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	struct s3_part part = { .number = state->number, .size = state->size };
	struct error changed;

	memcpy(part.checksum, state->checksum, sizeof(part.checksum));
	if (err->kind == ERROR_NONE && !etag_copy(r->headers[HTTP_ETAG], part.etag))
		err = unreadable(&changed, upload_part.name);
	state->fn.part(state->arg, judged(call, err, &changed),
		       err->kind == ERROR_NONE ? &part : NULL);
}

void s3_upload_part(struct aws_client *c, const struct s3_place *at, const char *upload_id,
		    int number, struct str body, s3_part_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, &upload_part, at->bucket, at->key, at->bucket_owner);
	struct s3_call *state = aws_call_state(call);
	char text[12];

	state->fn.part = fn;
	state->arg = arg;
	state->number = number;
	state->size = body.n;
	checksum_text(body, state->checksum);
	snprintf(text, sizeof(text), "%d", number);
	aws_call_query(call, "partNumber", text);
	aws_call_query(call, "uploadId", upload_id);
	aws_call_header(call, "x-amz-checksum-crc32c", state->checksum);
	/* The checksum is signed and covers the bytes. */
	aws_call_borrow(call, body, false);
	aws_call_send(call, part_stored);
}

/* --- complete, abort --- */

static void done(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	struct error changed;

	(void)r;
	state->fn.done(state->arg, judged(call, err, &changed));
}

void s3_put(struct aws_client *c, const struct s3_place *at, const struct s3_options *o,
	    struct str body, s3_done_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, &object_put, at->bucket, at->key, at->bucket_owner);
	struct s3_call *state = aws_call_state(call);

	state->fn.done = fn;
	state->arg = arg;
	checksum_text(body, state->checksum);
	options_add(call, o);
	aws_call_header(call, "x-amz-checksum-crc32c", state->checksum);
	aws_call_borrow(call, body, false);
	aws_call_send(call, done);
}

static void completed(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	struct str body = buf_str(r->body), inner;
	struct error changed;

	if (err->kind == ERROR_NONE && !xml_next(&body, "CompleteMultipartUploadResult", &inner)) {
		err = unreadable(&changed, upload_complete.name);
	} else if (err->kind != ERROR_NONE) {
		bool parts = strcmp(aws_call_code(call), "InvalidPart") == 0;

		/* INVALID is what a look at the parts may cure, whatever status it came with, and
		 * nothing else. */
		changed = *err;
		if (parts)
			changed.kind = ERROR_INVALID;
		else if (err->kind == ERROR_INVALID)
			changed.kind = ERROR_REFUSED;
		err = &changed;
	}
	state->fn.done(state->arg, judged(call, err, &changed));
}

static void escape(struct buf *out, const char *text)
{
	for (; *text; text++)
		if (*text == '&')
			buf_text(out, "&amp;");
		else if (*text == '<')
			buf_text(out, "&lt;");
		else
			buf_printf(out, "%c", *text);
}

void s3_upload_complete(struct aws_client *c, const struct s3_place *at, const char *upload_id,
			const struct s3_part *parts, size_t count, s3_done_fn *fn, void *arg)
{
	struct aws_call *call =
		call_new(c, &upload_complete, at->bucket, at->key, at->bucket_owner);
	struct s3_call *state = aws_call_state(call);
	struct buf *body = aws_call_body(call);

	state->fn.done = fn;
	state->arg = arg;
	aws_call_query(call, "uploadId", upload_id);
	aws_call_header(call, "content-type", "application/xml");
	buf_text(body, "<CompleteMultipartUpload "
		       "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (size_t i = 0; i < count; i++) {
		buf_printf(body, "<Part><PartNumber>%d</PartNumber><ETag>\"", parts[i].number);
		escape(body, parts[i].etag);
		buf_text(body, "\"</ETag><ChecksumCRC32C>");
		escape(body, parts[i].checksum);
		buf_text(body, "</ChecksumCRC32C></Part>");
	}
	buf_text(body, "</CompleteMultipartUpload>");
	aws_call_send(call, completed);
}

static void aborted(struct aws_call *call, const struct error *err, struct http_response *r)
{
	static const struct error none = { 0 };

	done(call, strcmp(aws_call_code(call), "NoSuchUpload") == 0 ? &none : err, r);
}

void s3_upload_abort(struct aws_client *c, const struct s3_place *at, const char *upload_id,
		     s3_done_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, &upload_abort, at->bucket, at->key, at->bucket_owner);
	struct s3_call *state = aws_call_state(call);

	state->fn.done = fn;
	state->arg = arg;
	aws_call_query(call, "uploadId", upload_id);
	aws_call_send(call, aborted);
}

/* --- listings: one page after the other; the walk lives until its last callback --- */

struct parts_walk {
	struct aws_client *client;
	struct s3_place at;
	const char *upload_id;
	s3_parts_fn *fn;
	void *arg;
	struct s3_part *parts;
	size_t count, capacity;
};

static void parts_ask(struct parts_walk *w);

static void parts_end(struct parts_walk *w, const struct error *err)
{
	w->fn(w->arg, err, w->parts, err->kind == ERROR_NONE ? w->count : 0);
	free(w->parts);
	free(w);
}

static bool part_read(struct str element, struct s3_part *part)
{
	char number[16], size[24], etag[S3_ETAG_MAX + 2];
	char *end;

	*part = (struct s3_part){ 0 };
	if (!xml_text(element, "PartNumber", number, sizeof(number)) ||
	    !xml_text(element, "Size", size, sizeof(size)) ||
	    !xml_text(element, "ETag", etag, sizeof(etag)) || !etag_copy(str_of(etag), part->etag))
		return false;
	/* A server without checksums of parts leaves it out. */
	(void)xml_text(element, "ChecksumCRC32C", part->checksum, sizeof(part->checksum));
	part->number = (int)strtol(number, &end, 10);
	if (*end || part->number < 1 || part->number > S3_PARTS_MAX)
		return false;
	part->size = strtoull(size, &end, 10);
	return !*end;
}

static bool parts_page(struct parts_walk *w, struct str body)
{
	struct str element;

	while (xml_next(&body, "Part", &element)) {
		if (w->count == w->capacity) {
			w->capacity = w->capacity ? w->capacity * 2 : 64;
			w->parts = memory_resize(w->parts, w->capacity * sizeof(*w->parts));
		}
		/* Ascending, as the next page is asked for by the last number of this one. */
		if (!part_read(element, &w->parts[w->count]) ||
		    (w->count > 0 && w->parts[w->count].number <= w->parts[w->count - 1].number))
			return false;
		w->count++;
	}
	return true;
}

static bool is_truncated(struct str body)
{
	char text[8];

	return xml_text(body, "IsTruncated", text, sizeof(text)) && strcmp(text, "true") == 0;
}

static void parts_listed(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	struct parts_walk *w = state->arg;
	struct str body = buf_str(r->body), result = { "", 0 };
	struct error changed;
	size_t before = w->count;

	/* A page that is not the last and has nothing would be asked for for ever. */
	if (err->kind == ERROR_NONE &&
	    !(xml_next(&body, "ListPartsResult", &result) && parts_page(w, result) &&
	      (!is_truncated(result) || w->count > before)))
		err = unreadable(&changed, upload_parts.name);
	if (err->kind == ERROR_NONE && is_truncated(result))
		parts_ask(w);
	else
		parts_end(w, judged(call, err, &changed));
}

static void parts_ask(struct parts_walk *w)
{
	struct aws_call *call =
		call_new(w->client, &upload_parts, w->at.bucket, w->at.key, w->at.bucket_owner);
	struct s3_call *state = aws_call_state(call);
	char marker[12];

	state->arg = w;
	snprintf(marker, sizeof(marker), "%d", w->count ? w->parts[w->count - 1].number : 0);
	aws_call_query(call, "uploadId", w->upload_id);
	aws_call_query(call, "part-number-marker", marker);
	aws_call_send(call, parts_listed);
}

void s3_upload_parts(struct aws_client *c, const struct s3_place *at, const char *upload_id,
		     s3_parts_fn *fn, void *arg)
{
	struct parts_walk *w = memory_new(sizeof(*w));

	*w = (struct parts_walk){
		.client = c, .at = *at, .upload_id = upload_id, .fn = fn, .arg = arg
	};
	parts_ask(w);
}

#define KEY_MAX 1025

struct uploads_walk {
	struct aws_client *client;
	const char *bucket, *owner, *prefix;
	s3_upload_each_fn *each;
	s3_done_fn *done;
	void *arg;
	char key_marker[KEY_MAX], id_marker[S3_UPLOAD_ID_MAX]; /* "" on the first page */
};

static void uploads_ask(struct uploads_walk *w);

static void uploads_end(struct uploads_walk *w, const struct error *err)
{
	w->done(w->arg, err);
	free(w);
}

static bool uploads_page(struct uploads_walk *w, struct str body)
{
	struct str element;

	while (xml_next(&body, "Upload", &element)) {
		char key[KEY_MAX], upload_id[S3_UPLOAD_ID_MAX];

		if (!xml_text(element, "Key", key, sizeof(key)) ||
		    !xml_text(element, "UploadId", upload_id, sizeof(upload_id)))
			return false;
		w->each(w->arg, key, upload_id);
	}
	return true;
}

/* Markers that do not move would ask for the same page for ever. */
static bool uploads_next(struct uploads_walk *w, struct str body)
{
	char key[KEY_MAX], id[S3_UPLOAD_ID_MAX];

	if (!xml_text(body, "NextKeyMarker", key, sizeof(key)) || !key[0])
		return false;
	(void)xml_text(body, "NextUploadIdMarker", id, sizeof(id));
	if (strcmp(key, w->key_marker) == 0 && strcmp(id, w->id_marker) == 0)
		return false;
	memcpy(w->key_marker, key, sizeof(key));
	memcpy(w->id_marker, id, sizeof(id));
	return true;
}

static void uploads_listed(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	struct uploads_walk *w = state->arg;
	struct str body = buf_str(r->body), result = { "", 0 };
	struct error changed;

	if (err->kind == ERROR_NONE &&
	    !(xml_next(&body, "ListMultipartUploadsResult", &result) && uploads_page(w, result) &&
	      (!is_truncated(result) || uploads_next(w, result))))
		err = unreadable(&changed, uploads_list.name);
	if (err->kind == ERROR_NONE && is_truncated(result))
		uploads_ask(w);
	else
		uploads_end(w, judged(call, err, &changed));
}

static void uploads_ask(struct uploads_walk *w)
{
	struct aws_call *call = call_new(w->client, &uploads_list, w->bucket, NULL, w->owner);
	struct s3_call *state = aws_call_state(call);

	state->arg = w;
	aws_call_query(call, "uploads", "");
	aws_call_query(call, "prefix", w->prefix);
	aws_call_query(call, "key-marker", w->key_marker[0] ? w->key_marker : NULL);
	aws_call_query(call, "upload-id-marker", w->id_marker[0] ? w->id_marker : NULL);
	aws_call_send(call, uploads_listed);
}

void s3_uploads(struct aws_client *c, const char *bucket, const char *bucket_owner,
		const char *prefix, s3_upload_each_fn *each, s3_done_fn *fn, void *arg)
{
	struct uploads_walk *w = memory_new(sizeof(*w));

	w->client = c;
	w->bucket = bucket;
	w->owner = bucket_owner;
	w->prefix = prefix;
	w->each = each;
	w->done = fn;
	w->arg = arg;
	uploads_ask(w);
}

/* --- heads --- */

static void headed(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	struct str size = r->headers[HTTP_CONTENT_LENGTH], mark = r->headers[HTTP_META_ROLL];
	struct s3_object o = { 0 };
	struct error changed;
	char digits[24];

	if (err->kind == ERROR_NONE) {
		if (size.n == 0 || size.n >= sizeof(digits) || mark.n >= sizeof(o.metadata_roll)) {
			err = unreadable(&changed, object_head.name);
		} else {
			snprintf(digits, sizeof(digits), "%.*s", STR_ARG(size));
			o.size = strtoull(digits, NULL, 10);
			if (mark.n)
				memcpy(o.metadata_roll, mark.p, mark.n);
			(void)etag_copy(r->headers[HTTP_ETAG], o.etag);
		}
	}
	state->fn.head(state->arg, err, err->kind == ERROR_NONE ? &o : NULL);
}

void s3_head(struct aws_client *c, const struct s3_place *at, s3_head_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, &object_head, at->bucket, at->key, at->bucket_owner);
	struct s3_call *state = aws_call_state(call);

	state->fn.head = fn;
	state->arg = arg;
	aws_call_send(call, headed);
}

void s3_bucket_check(struct aws_client *c, const char *bucket, const char *bucket_owner,
		     s3_done_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, &bucket_head, bucket, NULL, bucket_owner);
	struct s3_call *state = aws_call_state(call);

	state->fn.done = fn;
	state->arg = arg;
	aws_call_send(call, done);
}

/* --- the bucket's rules --- */

static void lifecycle_told(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	static const struct error none = { 0 };
	struct lifecycle l = { 0 };
	struct error changed;

	if (strcmp(aws_call_code(call), "NoSuchLifecycleConfiguration") == 0)
		err = &none;
	else if (err->kind == ERROR_NONE && !lifecycle_parse(buf_str(r->body), &l))
		err = unreadable(&changed, bucket_lifecycle.name);
	state->fn.lifecycle(state->arg, judged(call, err, &changed),
			    err->kind == ERROR_NONE ? &l : NULL);
	lifecycle_release(&l);
}

void s3_lifecycle(struct aws_client *c, const char *bucket, const char *bucket_owner,
		  s3_lifecycle_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, &bucket_lifecycle, bucket, NULL, bucket_owner);
	struct s3_call *state = aws_call_state(call);

	state->fn.lifecycle = fn;
	state->arg = arg;
	aws_call_query(call, "lifecycle", "");
	aws_call_send(call, lifecycle_told);
}

/* --- pieces of objects --- */

/* "bytes 0-99/1234" */
static bool range_read(const struct http_response *r, uint64_t offset, struct s3_range *out)
{
	struct str told = r->headers[HTTP_CONTENT_RANGE];
	uint64_t first, last, total;
	int used = 0;

	out->body = r->body;
	out->offset = offset;
	/* A server that knows no ranges gives all of it. */
	if (!told.n && r->status == 200 && offset == 0) {
		out->total = r->body->size;
		return r->body->size > 0 && etag_copy(r->headers[HTTP_ETAG], out->etag);
	}
	if (!told.n ||
	    sscanf(told.p, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64 "%n", &first, &last, &total,
		   &used) != 3 ||
	    used != (int)told.n || first != offset || last >= total ||
	    r->body->size > last - first + 1 || r->body->size == 0)
		return false;
	out->total = total;
	return etag_copy(r->headers[HTTP_ETAG], out->etag);
}

static void got(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct s3_call *state = aws_call_state(call);
	static const struct error none = { 0 };
	struct s3_range range;
	struct error changed;
	/* Where the connection broke, what came is a shorter piece. */
	bool came = (err->kind == ERROR_NONE || err->kind == ERROR_RETRY) &&
		    range_read(r, state->size, &range);

	if (came)
		err = &none;
	else if (err->kind == ERROR_NONE)
		err = unreadable(&changed, object_get.name);
	state->fn.range(state->arg, judged(call, err, &changed), came ? &range : NULL);
}

void s3_get(struct aws_client *c, const struct s3_place *at, const char *etag, uint64_t offset,
	    size_t size, s3_range_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, &object_get, at->bucket, at->key, at->bucket_owner);
	struct s3_call *state = aws_call_state(call);
	char range[64], match[S3_ETAG_MAX + 2];

	assert(size > 0);
	state->fn.range = fn;
	state->arg = arg;
	state->size = offset;
	snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, offset, offset + size - 1);
	aws_call_header(call, "range", range);
	if (etag) {
		snprintf(match, sizeof(match), "\"%s\"", etag);
		aws_call_header(call, "if-match", match);
	}
	/* What it says in the object's place has to fit, too. */
	aws_call_answer_max(call, size > ANSWER_SMALL ? size : ANSWER_SMALL);
	aws_call_send(call, got);
}
