#include "aws/s3.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/s3_probe.h"
#include "aws/sign.h"
#include "base/memory.h"
#include "config/sections.h"
#include "sinks/object.h"
#include "sinks/s3_lifecycle.h"

/* A bucket as a place: a file is a multipart upload, whose parts no reader sees, until it is
 * completed. Completing is what has to be repeatable by anyone, whatever became of the replies of
 * earlier attempts (design, "S3 and directories"). */

#define CALLS_MAX         8
#define SWEEP_MS          300000
#define PARTS_LOOKS_MAX   3 /* at the parts, within one commit */
#define BUCKET_OWNER_SIZE 12
#define TAGS_MAX          10
#define TAG_KEY_MAX       128
#define TAG_VALUE_MAX     256

static const char *const encryption_names[] = { "none", "AES256", "aws:kms", "aws:kms:dsse", NULL };

struct s3_settings {
	struct object_settings object;
	const char *bucket, *prefix, *bucket_owner;
	long encryption; /* index into encryption_names; 0: the bucket's default */
	const char *encryption_key;
	const char *storage_class;
	struct option_map tags;
};

static const struct option s3_options[] = {
	{ "bucket", OPTION_TEXT, offsetof(struct s3_settings, bucket), NULL, 0, 0, NULL,
	  OPTION_REQUIRED, "The bucket.", NULL },
	{ "prefix", OPTION_TEXT, offsetof(struct s3_settings, prefix), NULL, 0, 0, NULL, 0,
	  "What every key begins with.", NULL },
	{ "path", OPTION_TEXT, offsetof(struct object_settings, path),
	  "${table}/date=${yyyy}-${MM}-${dd}/hour=${HH}/", 0, 0, NULL, OPTION_TEMPLATE,
	  "The folders behind the prefix: ${table} ${stream} ${region} ${account}, ${yyyy} "
	  "${MM} ${dd} ${HH} ${mm} of the roll's start in UTC, and what events say (${op}, "
	  "${schema}, ${attribute:PATH}, ${event:yyyy}): docs/delivery.md.",
	  NULL },
	OBJECT_OPTIONS,
	{ "encryption.type", OPTION_ENUM, offsetof(struct s3_settings, encryption), "none", 0, 0,
	  encryption_names, 0, "Server-side encryption; none: as the bucket does by default.",
	  NULL },
	{ "encryption.key", OPTION_TEXT, offsetof(struct s3_settings, encryption_key), NULL, 0, 0,
	  NULL, 0, "The KMS key's ARN or id; without it the account's own S3 key.", NULL },
	{ "storage_class", OPTION_TEXT, offsetof(struct s3_settings, storage_class), NULL, 0, 0,
	  NULL, 0, "The objects' storage class; without it S3's default.", NULL },
	{ "tags", OPTION_MAP, offsetof(struct s3_settings, tags), NULL, 0, 0, NULL, 0,
	  "Tags of the objects, ten at most; writing them needs s3:PutObjectTagging.", NULL },
	{ "bucket_owner", OPTION_TEXT, offsetof(struct s3_settings, bucket_owner), NULL, 0, 0, NULL,
	  0, "The 12 digits of the account that must own the bucket; else nothing is written.",
	  NULL },
	{ 0 },
};

struct s3_bucket {
	struct place place;
	const struct s3_settings *settings;
	const struct sink_host *host;
	struct aws_settings aws;
	struct aws_client *client;
	struct buf tags; /* as they are sent; empty: none */
};

static struct s3_bucket *bucket_of(struct place *p)
{
	return (struct s3_bucket *)((char *)p - offsetof(struct s3_bucket, place));
}

/* --- one file's upload --- */

/* A call under way; freed with its callback. */
struct upload_call {
	struct roll_file *file;
	place_done_fn *done;
	void *arg;
};

static struct upload_call *upload_call_new(struct roll_file *f, place_done_fn *done, void *arg)
{
	struct upload_call *call = memory_new(sizeof(*call));

	*call = (struct upload_call){ f, done, arg };
	return call;
}

static void upload_created(void *arg, const struct error *err, const char *upload_id)
{
	struct upload_call call = *(struct upload_call *)arg;

	free(arg);
	if (err->kind == ERROR_NONE)
		call.file->pending = memory_text(upload_id);
	call.done(call.arg, err);
}

/* `roll` NULL: of none. */
static struct s3_options object_options(const struct s3_bucket *b, const char *content_type,
					const char *roll)
{
	const struct s3_settings *set = b->settings;

	return (struct s3_options){
		.content_type = content_type,
		.encryption = set->encryption ? encryption_names[set->encryption] : NULL,
		.kms_key = set->encryption_key,
		.storage_class = set->storage_class,
		.tags = b->tags.data,
		.metadata_roll = roll,
	};
}

static void s3_create(struct place *p, struct roll_file *f, place_done_fn *done, void *arg)
{
	struct s3_bucket *b = bucket_of(p);
	struct s3_place at = { p->name, f->path, p->owner };
	const char *content_type =
		f->manifest ? "application/json"
			    : compression_content_type(
				      (enum compression)b->settings->object.compression);
	struct s3_options o = object_options(b, content_type, f->mark);

	s3_upload_create(b->client, &at, &o, upload_created, upload_call_new(f, done, arg));
}

static void part_stored(void *arg, const struct error *err, const struct s3_part *part)
{
	struct upload_call call = *(struct upload_call *)arg;

	free(arg);
	if (err->kind == ERROR_NONE)
		roll_part_add(call.file, part);
	call.done(call.arg, err);
}

static void s3_part(struct place *p, struct roll_file *f, int number, struct str body,
		    place_done_fn *done, void *arg)
{
	struct s3_place at = { p->name, f->path, p->owner };

	s3_upload_part(bucket_of(p)->client, &at, f->pending, number, body, part_stored,
		       upload_call_new(f, done, arg));
}

/* A stored part is durable, and the upload was there before its first part. */
static void s3_seal(struct place *p, struct roll_file *f, place_done_fn *done, void *arg)
{
	static const struct error none = { 0 };

	(void)p;
	(void)f;
	done(arg, &none);
}

static void s3_drop(struct place *p, const struct roll_file *f, place_done_fn *done, void *arg)
{
	struct s3_place at = { p->name, f->path, p->owner };

	s3_upload_abort(bucket_of(p)->client, &at, f->pending, done, arg);
}

static void s3_place_put(struct place *p, const char *path, const char *pending,
			 const char *content_type, struct str body, place_done_fn *done, void *arg)
{
	struct s3_bucket *b = bucket_of(p);
	struct s3_place at = { p->name, path, p->owner };
	struct s3_options o = object_options(b, content_type, NULL);

	(void)pending;
	s3_put(b->client, &at, &o, body, done, arg);
}

/* --- commit --- */

struct commit {
	struct aws_client *client;
	struct s3_place at;
	const struct roll_file *file;
	struct s3_part *parts; /* as they will be completed */
	int looks;
	place_done_fn *done;
	void *arg;
};

static void commit_complete(struct commit *c);

static void commit_end(struct commit *c, const struct error *err)
{
	struct commit copy = *c;

	free(c->parts);
	free(c);
	copy.done(copy.arg, err);
}

/* There is no upload any more: it was completed earlier, or it is gone. */
static void commit_headed(void *arg, const struct error *err, const struct s3_object *o)
{
	struct commit *c = arg;
	const struct roll_file *f = c->file;
	struct error said = *err;

	if (err->kind == ERROR_NOT_FOUND)
		error_set(&said, ERROR_NOT_FOUND,
			  "lost?: the upload %.64s is gone and there is no object; its %" PRIu64
			  " records are saved as delivered. Did a lifecycle rule abort the upload "
			  "(it must wait %d days), or was the object moved or deleted?",
			  f->pending, f->records, S3_LIFECYCLE_DAYS);
	else if (err->kind == ERROR_NONE &&
		 (o->size != f->bytes || strcmp(o->metadata_roll, f->mark) != 0))
		error_set(&said, ERROR_INVALID,
			  "lost?: the upload %.64s is gone and another object is at its key "
			  "(%" PRIu64 " bytes, not %" PRIu64 "; x-amz-meta-sluice-roll is '%s', "
			  "not '%s'): who wrote it?",
			  f->pending, o->size, f->bytes, o->metadata_roll, f->mark);
	commit_end(c, &said);
}

/* Are the parts that S3 has the ones that were sent, by size and checksum? Then its etags count: a
 * part that was sent twice may have got another one, under KMS. */
static bool parts_same(struct commit *c, const struct s3_part *listed, size_t count)
{
	size_t at = 0;

	for (size_t i = 0; i < c->file->part_count; i++) {
		struct s3_part *part = &c->parts[i];

		while (at < count && listed[at].number < part->number)
			at++;
		if (at == count || listed[at].number != part->number ||
		    listed[at].size != part->size ||
		    strcmp(listed[at].checksum, part->checksum) != 0)
			return false;
		memcpy(part->etag, listed[at].etag, sizeof(part->etag));
	}
	return true;
}

static void commit_listed(void *arg, const struct error *err, const struct s3_part *parts,
			  size_t count)
{
	struct commit *c = arg;
	struct error said = *err;

	if (err->kind == ERROR_NOT_FOUND) {
		s3_head(c->client, &c->at, commit_headed, c);
		return;
	}
	if (err->kind == ERROR_NONE && parts_same(c, parts, count)) {
		commit_complete(c);
		return;
	}
	if (err->kind == ERROR_NONE)
		error_set(
			&said, ERROR_INVALID,
			"the parts of upload %.64s are not the ones that were sent (S3 lists %zu, "
			"sent were %zu): who else writes to it?",
			c->file->pending, count, c->file->part_count);
	commit_end(c, &said);
}

static void commit_completed(void *arg, const struct error *err)
{
	struct commit *c = arg;
	struct error said = *err;

	if (err->kind == ERROR_NOT_FOUND) {
		s3_head(c->client, &c->at, commit_headed, c);
		return;
	}
	if (err->kind == ERROR_INVALID && c->looks < PARTS_LOOKS_MAX) {
		c->looks++;
		s3_upload_parts(c->client, &c->at, c->file->pending, commit_listed, c);
		return;
	}
	if (err->kind == ERROR_INVALID) /* the parts were right at each look */
		said.kind = ERROR_RETRY;
	commit_end(c, &said);
}

static void commit_complete(struct commit *c)
{
	s3_upload_complete(c->client, &c->at, c->file->pending, c->parts, c->file->part_count,
			   commit_completed, c);
}

static void s3_commit(struct place *p, const struct roll *r, const struct roll_file *f,
		      place_done_fn *done, void *arg)
{
	struct commit *c = memory_new(sizeof(*c));

	/* Where the roll says, which need not be where the sink writes today. */
	*c = (struct commit){ .client = bucket_of(p)->client,
			      .at = { r->place, f->path, r->owner },
			      .file = f,
			      .done = done,
			      .arg = arg };
	c->parts = memory_array(f->part_count, sizeof(*c->parts));
	memcpy(c->parts, f->parts, f->part_count * sizeof(*c->parts));
	commit_complete(c);
}

/* --- the place --- */

static void tags_write(const struct option_map *tags, struct buf *out)
{
	for (size_t i = 0; i < tags->count; i++) {
		buf_text(out, i ? "&" : "");
		sign_encode(out, str_of(tags->pairs[i].key), false);
		buf_text(out, "=");
		sign_encode(out, str_of(tags->pairs[i].value), false);
	}
}

/* The prefix with its '/'. */
static char *prefix_text(const struct s3_settings *set)
{
	const char *prefix = set->prefix ? set->prefix : "";
	size_t n = strlen(prefix);
	char *out = memory_new(n + 2);

	snprintf(out, n + 2, "%s%s", prefix, n > 0 && prefix[n - 1] != '/' ? "/" : "");
	return out;
}

static void s3_place_close(struct place *p)
{
	struct s3_bucket *b = bucket_of(p);

	aws_client_free(b->client);
	buf_release(&b->tags);
	free(p->name);
	free(p->owner);
	free(p->prefix);
	free(b);
}

static struct place *s3_place_open(const void *settings, const struct sink_host *host,
				   struct loop *loop, struct error *err)
{
	const struct s3_settings *set = settings;
	struct s3_bucket *b = memory_new(sizeof(*b));

	assert(host->aws && host->credentials);
	b->settings = set;
	b->host = host;
	b->aws = *host->aws;
	b->aws.connections_max = CALLS_MAX;
	b->place.name = memory_text(set->bucket);
	b->place.owner = memory_text(set->bucket_owner);
	b->place.prefix = prefix_text(set);
	tags_write(&set->tags, &b->tags);
	b->client =
		aws_client_new(loop, &b->aws, host->credentials, host->clock, host->metrics, err);
	if (b->client)
		return &b->place;
	s3_place_close(&b->place);
	return NULL;
}

static const struct place_ops place_s3 = {
	.kind = "s3",
	.part_bytes = S3_PART_MIN,
	.calls_max = CALLS_MAX,
	.open = s3_place_open,
	.close = s3_place_close,
	.create = s3_create,
	.part = s3_part,
	.seal = s3_seal,
	.commit = s3_commit,
	.drop = s3_drop,
	.put = s3_place_put,
};

/* --- the sink --- */

static struct sink *s3_open(const void *settings, const struct sink_host *host, struct error *err)
{
	return object_open(&place_s3, settings, host, err);
}

static bool s3_bury(const void *settings, const struct sink_host *host, struct str blob,
		    bool *committed, struct error *err)
{
	return object_bury(&place_s3, settings, host, blob, committed, err);
}

static bool s3_control(const void *settings, const struct sink_host *host,
		       const struct sink_control *events, size_t count, const _Atomic bool *stop,
		       size_t *told, struct error *err)
{
	return object_control(&place_s3, settings, host, events, count, stop, told, err);
}

static bool s3_letters(const void *settings, const struct sink_host *host,
		       const struct sink_letters *batch, const _Atomic bool *stop, size_t *sent,
		       size_t *refused, struct error *err)
{
	return object_letters(&place_s3, settings, host, batch, stop, sent, refused, err);
}

static bool s3_again(const void *settings, const struct sink_host *host,
		     const struct sink_again *batch, const _Atomic bool *stop, size_t *sent,
		     size_t *refused, struct error *err)
{
	return object_again(&place_s3, settings, host, batch, stop, sent, refused, err);
}

/* A conversation without a sink: its own loop, one step after the other. */
struct visit {
	struct loop *loop;
	struct s3_bucket *bucket;
	unsigned running;
	struct error err; /* the first one */
	const char *session;
	struct roll *found; /* the uploads of the session */
};

static bool visit_open(struct visit *v, const void *settings, const struct sink_host *host,
		       struct error *err)
{
	struct place *p;

	*v = (struct visit){ .loop = loop_new(host->clock) };
	p = s3_place_open(settings, host, v->loop, err);
	if (p)
		v->bucket = bucket_of(p);
	else
		loop_free(v->loop);
	return p;
}

static void visit_close(struct visit *v)
{
	s3_place_close(&v->bucket->place);
	loop_free(v->loop);
}

static void visit_done(void *arg, const struct error *err)
{
	struct visit *v = arg;

	v->running--;
	if (v->err.kind == ERROR_NONE)
		v->err = *err;
}

/* Until all calls have answered, or boot time is `end_ms`. False: the first error of them. */
static bool visit_wait(struct visit *v, int64_t end_ms)
{
	while (v->running > 0) {
		int64_t left_ms = end_ms - clock_boot_ms(v->bucket->host->clock);

		if (left_ms <= 0)
			return error_set(&v->err, ERROR_RETRY, "bucket %s does not answer in time",
					 v->bucket->settings->bucket);
		loop_once(v->loop, (int)left_ms);
	}
	return v->err.kind == ERROR_NONE;
}

static void sweep_found(void *arg, const char *key, const char *upload_id)
{
	struct visit *v = arg;
	const char *slash = strrchr(key, '/');

	if (object_name_of(slash ? slash + 1 : key, v->session))
		roll_file_add(v->found, key, "")->pending = memory_text(upload_id);
}

static bool s3_sweep(const void *settings, const struct sink_host *host, const char *session,
		     struct error *err)
{
	struct visit v;
	int64_t end_ms;
	char *prefix;
	bool ok;

	if (!visit_open(&v, settings, host, err))
		return error_wrap(err, "sink %s", host->name);
	end_ms = clock_boot_ms(host->clock) + SWEEP_MS;
	v.session = session;
	v.found = roll_new(0, session, v.bucket->place.name, v.bucket->place.owner);
	prefix = object_folder(v.bucket->place.prefix, v.bucket->settings->object.path);
	v.running++;
	s3_uploads(v.bucket->client, v.bucket->place.name, v.bucket->place.owner, prefix,
		   sweep_found, visit_done, &v);
	ok = visit_wait(&v, end_ms);
	for (size_t i = 0; ok && i < v.found->file_count; i++) {
		v.running++;
		s3_drop(&v.bucket->place, v.found->files[i], visit_done, &v);
	}
	ok = ok && visit_wait(&v, end_ms);
	if (!ok)
		*err = v.err;
	visit_close(&v);
	roll_free(v.found);
	free(prefix);
	return ok || error_wrap(err, "sink %s", host->name);
}

struct asked {
	const struct sink_host *host;
	const char *bucket;
	struct error missing; /* the first permission that is */
	struct s3_keys keys;
	struct buf said;       /* of the bucket's rules */
	struct error unsuited; /* one of them is */
};

static void on_permission(void *arg, const struct permission *p)
{
	struct asked *a = arg;

	if (p->state == PERMISSION_MISSING && a->missing.kind == ERROR_NONE)
		error_set(&a->missing, ERROR_REFUSED, "%s", p->why);
	if (a->host->permission)
		a->host->permission(a->host->permission_arg, p);
}

static void on_lifecycle(void *arg, const struct error *err, const struct lifecycle *l)
{
	struct asked *a = arg;

	if (!l)
		buf_printf(&a->said, ", its lifecycle rules are not looked at (%s)", err->message);
	else if (!s3_lifecycle_say(l, &a->keys, &a->said, &a->unsuited))
		error_wrap(&a->unsuited, "bucket %s", a->bucket);
}

/* `folder`: that all files are under. */
static bool probe(struct s3_bucket *b, const char *folder, struct asked *a, struct error *err)
{
	/* With all that files are created with: it may be what is not allowed. */
	const struct s3_options o = object_options(b, "application/x-ndjson", NULL);
	const struct s3_probe p = { .bucket = b->place.name,
				    .bucket_owner = b->place.owner,
				    .prefix = folder,
				    .options = &o,
				    .clears_up = true,
				    .lifecycle = on_lifecycle,
				    .lifecycle_arg = a };

	if (!s3_probe(&p, &b->aws, a->host->credentials, a->host->clock, a->host->metrics,
		      on_permission, a, err))
		return false;
	if (a->missing.kind != ERROR_NONE)
		*err = a->missing;
	else if (a->unsuited.kind != ERROR_NONE)
		*err = a->unsuited;
	return err->kind == ERROR_NONE;
}

static bool s3_check(const void *settings, const struct sink_host *host, struct buf *said,
		     struct error *err)
{
	const struct s3_settings *set = settings;
	struct asked asked = { .host = host };
	struct buf manifests = { 0 };
	struct visit v;
	char *folder;
	bool ok;

	if (!host->credentials)
		return error_set(err, ERROR_REFUSED, "sink %s: there are no credentials",
				 host->name);
	if (!visit_open(&v, settings, host, err))
		return error_wrap(err, "sink %s", host->name);
	folder = object_folder(v.bucket->place.prefix, set->object.path);
	buf_printf(&manifests, "%s_manifest/", folder);
	asked.bucket = set->bucket;
	asked.keys = (struct s3_keys){ .prefix = v.bucket->place.prefix,
				       .path = set->object.path,
				       .manifests = set->object.manifest ? manifests.data : NULL,
				       .tables = host->tables,
				       .table_count = host->table_count };
	ok = probe(v.bucket, folder, &asked, err);
	if (ok)
		buf_printf(said, "s3 bucket %s: reachable, writing is allowed%.*s", set->bucket,
			   STR_ARG(buf_str(&asked.said)));
	buf_release(&manifests);
	buf_release(&asked.said);
	visit_close(&v);
	free(folder);
	return ok || error_wrap(err, "sink %s", host->name);
}

static bool tags_fit(const struct option_map *tags, struct error *err)
{
	if (tags->count > TAGS_MAX)
		return error_set(err, ERROR_INVALID, "tags: an object has %d at most, not %zu",
				 TAGS_MAX, tags->count);
	for (size_t i = 0; i < tags->count; i++) {
		const struct option_pair *t = &tags->pairs[i];

		if (!*t->key || strlen(t->key) > TAG_KEY_MAX || strlen(t->value) > TAG_VALUE_MAX ||
		    strncmp(t->key, "aws:", 4) == 0)
			return error_set(
				err, ERROR_INVALID,
				"tags: '%.140s': a key has 1 to %d bytes and does not begin "
				"with aws:, a value has %d at most",
				t->key, TAG_KEY_MAX, TAG_VALUE_MAX);
	}
	return true;
}

static bool s3_validate(const void *settings, struct error *err)
{
	const struct s3_settings *set = settings;
	const char *owner = set->bucket_owner;

	if (strchr(set->bucket, '/'))
		return error_set(err, ERROR_INVALID,
				 "bucket: '%s' is no bucket's name; folders go into prefix",
				 set->bucket);
	if (!config_bucket_check("bucket", set->bucket, err))
		return false;
	if (set->prefix && set->prefix[0] == '/')
		return error_set(err, ERROR_INVALID,
				 "prefix: must not begin with '/': such as lake/changes");
	if (set->object.path[0] == '/')
		return error_set(err, ERROR_INVALID,
				 "path: must not begin with '/', which would be a folder without "
				 "a name: such as ${table}/");
	if (owner && (strlen(owner) != BUCKET_OWNER_SIZE ||
		      strspn(owner, "0123456789") != BUCKET_OWNER_SIZE))
		return error_set(err, ERROR_INVALID,
				 "bucket_owner: '%s' is no account; 12 digits, in quotes", owner);
	if (set->encryption_key && strncmp(encryption_names[set->encryption], "aws:kms", 7) != 0)
		return error_set(err, ERROR_INVALID,
				 "encryption.key: needs encryption.type aws:kms or aws:kms:dsse");
	return tags_fit(&set->tags, err) && object_validate(settings, err);
}

const struct sink_ops sink_s3 = {
	.config = { "s3", s3_options, sizeof(struct s3_settings), s3_validate,
		    object_letters_validate },
	.commit = object_commit,
	.encoding = object_encoding,
	.open = s3_open,
	.route = object_route,
	.write = object_write,
	.prepare = object_prepare,
	.finish = object_finish,
	.bury = s3_bury,
	.sweep = s3_sweep,
	.tells = object_tells,
	.control = s3_control,
	.letters = s3_letters,
	.place = object_place,
	.again = s3_again,
	.purge = object_purge,
	.check = s3_check,
	.trouble = object_trouble,
	.close = object_close,
};
