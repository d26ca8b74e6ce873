#include "aws/s3_probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "aws/endpoint.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"

#define PROBE_MS 10000
#define CLEAR_MS 5000
/* Of no upload. Who may ask for it is told that there is none. */
#define NO_UPLOAD "sluice-check"

struct visit {
	const struct s3_probe *probe;
	struct loop *loop;
	struct aws_client *client;
	struct clock *clock;
	int64_t end_ms;
	struct s3_place at;
	char key[1025], bucket[320], objects[1400]; /* the last two as ARNs */
	char upload[S3_UPLOAD_ID_MAX];              /* "" where none was begun */
	bool done, cleared, looked;
	struct error err, clearing;
	permission_fn *tell;
	void *arg;
};

static void on_done(void *arg, const struct error *err)
{
	struct visit *v = arg;

	v->err = *err;
	v->done = true;
}

static void on_upload(void *arg, const struct error *err, const char *upload_id)
{
	struct visit *v = arg;

	if (upload_id)
		snprintf(v->upload, sizeof(v->upload), "%s", upload_id);
	on_done(v, err);
}

static void on_part(void *arg, const struct error *err, const struct s3_part *part)
{
	(void)part;
	on_done(arg, err);
}

static void on_parts(void *arg, const struct error *err, const struct s3_part *parts, size_t count)
{
	(void)parts;
	(void)count;
	on_done(arg, err);
}

static void on_listed(void *arg, const char *key, const char *upload_id)
{
	(void)arg;
	(void)key;
	(void)upload_id;
}

static void on_head(void *arg, const struct error *err, const struct s3_object *o)
{
	(void)o;
	on_done(arg, err);
}

/* Of a call of its own: one that came too late may still answer. */
static void on_cleared(void *arg, const struct error *err)
{
	struct visit *v = arg;

	v->clearing = *err;
	v->cleared = true;
}

/* May come too late, too: then it was told already. */
static void on_lifecycle(void *arg, const struct error *err, const struct lifecycle *l)
{
	struct visit *v = arg;

	if (!v->looked)
		v->probe->lifecycle(v->probe->lifecycle_arg, err, l);
	v->looked = true;
	on_done(v, err);
}

static const char *upload_of(const struct visit *v)
{
	return *v->upload ? v->upload : NO_UPLOAD;
}

static void begin(struct visit *v)
{
	s3_upload_create(v->client, &v->at, v->probe->options, on_upload, v);
}

/* A bucket's key is used with the first byte only. */
static void part(struct visit *v)
{
	s3_upload_part(v->client, &v->at, v->upload, 1, str_of("\n"), on_part, v);
}

static void parts(struct visit *v)
{
	s3_upload_parts(v->client, &v->at, upload_of(v), on_parts, v);
}

static void drop(struct visit *v)
{
	s3_upload_abort(v->client, &v->at, upload_of(v), on_done, v);
}

static void list(struct visit *v)
{
	s3_uploads(v->client, v->at.bucket, v->at.bucket_owner, v->key, on_listed, on_done, v);
}

static void bucket(struct visit *v)
{
	s3_bucket_check(v->client, v->at.bucket, v->at.bucket_owner, on_done, v);
}

static void head(struct visit *v)
{
	s3_head(v->client, &v->at, on_head, v);
}

static void lifecycle(struct visit *v)
{
	s3_lifecycle(v->client, v->at.bucket, v->at.bucket_owner, on_lifecycle, v);
}

static bool wait_answer(struct visit *v, const bool *done, int64_t end_ms, struct error *err)
{
	while (!*done) {
		int64_t left_ms = end_ms - clock_boot_ms(v->clock);

		if (left_ms <= 0)
			return error_set(err, ERROR_RETRY, "bucket %s does not answer in time",
					 v->at.bucket);
		loop_once(v->loop, (int)left_ms);
	}
	return true;
}

static bool ask(struct visit *v, void (*call)(struct visit *v))
{
	v->done = false;
	call(v);
	return wait_answer(v, &v->done, v->end_ms, &v->err);
}

/* Whatever went wrong before, and also where the time is over. */
static bool clear_up(struct visit *v)
{
	if (!*v->upload)
		return true;
	s3_upload_abort(v->client, &v->at, v->upload, on_cleared, v);
	return wait_answer(v, &v->cleared, clock_boot_ms(v->clock) + CLEAR_MS, &v->clearing) &&
	       v->clearing.kind == ERROR_NONE;
}

/* What is not there is the bucket. */
static bool judge(struct visit *v, const char *action, const char *resource)
{
	return v->err.kind != ERROR_NOT_FOUND &&
	       permission_judge(&v->err, action, resource, v->tell, v->arg);
}

static bool try_one(struct visit *v, void (*call)(struct visit *v), const char *action,
		    const char *resource)
{
	return ask(v, call) && judge(v, action, resource);
}

/* Here it is the upload, or the object. */
static bool try_absent(struct visit *v, void (*call)(struct visit *v), const char *action)
{
	return ask(v, call) && permission_judge(&v->err, action, v->objects, v->tell, v->arg);
}

/* An upload that cannot be aborted has no bytes at least. */
static bool try_writing(struct visit *v, bool may_abort)
{
	return ask(v, begin) && (v->err.kind != ERROR_NONE || !may_abort || ask(v, part)) &&
	       judge(v, "s3:PutObject", v->objects) &&
	       (!v->probe->clears_up || try_absent(v, parts, "s3:ListMultipartUploadParts"));
}

/* AWS says "not there" only to who may list; to others it is as if it were forbidden. */
static bool try_reading(struct visit *v)
{
	bool may_list;

	if (!try_one(v, bucket, "s3:ListBucket", v->bucket))
		return false;
	may_list = v->err.kind == ERROR_NONE;
	if (may_list)
		return try_absent(v, head, "s3:GetObject");
	permission_untried("s3:GetObject", v->objects,
			   "without s3:ListBucket AWS does not tell of objects", v->tell, v->arg);
	return true;
}

/* Nothing that happens here is a failure. */
static void look(struct visit *v)
{
	if (ask(v, lifecycle))
		permission_judge_optional(&v->err, "s3:GetLifecycleConfiguration", v->bucket,
					  "only the look at the bucket's rules is left out",
					  v->tell, v->arg);
	else
		on_lifecycle(v, &v->err, NULL);
}

/* First of all whether what is begun can be cleared away. These errors have words, too; those of a
 * HEAD have none. */
static bool try_all(struct visit *v)
{
	bool may_abort, written, ok;

	if (!try_one(v, drop, "s3:AbortMultipartUpload", v->objects))
		return false;
	may_abort = v->err.kind == ERROR_NONE;
	written = try_writing(v, may_abort);
	if (!clear_up(v) && may_abort && written) {
		v->err = v->clearing;
		return false;
	}
	ok = written &&
	     (!v->probe->clears_up ||
	      try_one(v, list, "s3:ListBucketMultipartUploads", v->bucket)) &&
	     try_reading(v);
	if (ok && v->probe->lifecycle)
		look(v);
	return ok;
}

bool s3_probe(const struct s3_probe *p, const struct aws_settings *settings,
	      struct credentials *credentials, struct clock *clock, struct metrics *metrics,
	      permission_fn *tell, void *arg, struct error *err)
{
	struct visit *v = memory_new(sizeof(*v));
	const char *partition = endpoint_partition(settings->region);
	bool ok;

	*v = (struct visit){ .probe = p,
			     .loop = loop_new(clock),
			     .clock = clock,
			     .end_ms = clock_boot_ms(clock) + PROBE_MS,
			     .tell = tell,
			     .arg = arg };
	v->at = (struct s3_place){ p->bucket, v->key, p->bucket_owner };
	snprintf(v->key, sizeof(v->key), "%.900s_check", p->prefix);
	snprintf(v->bucket, sizeof(v->bucket), "arn:%s:s3:::%s", partition, p->bucket);
	snprintf(v->objects, sizeof(v->objects), "%s/%.900s*", v->bucket, p->prefix);
	v->client = aws_client_new(v->loop, settings, credentials, clock, metrics, &v->err);
	ok = v->client && try_all(v);
	*err = ok ? (struct error){ 0 } : v->err;
	aws_client_free(v->client); /* what is under way is called back here */
	loop_free(v->loop);
	free(v);
	return ok;
}
