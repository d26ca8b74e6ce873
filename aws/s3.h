#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/client.h"
#include "aws/lifecycle.h"
#include "base/str.h"

/* The S3 calls that rolls and exports need (aws-semantics, 4). Texts and bodies given to a call
 * stay the caller's until its callback; answers are valid during the callback only. */
struct s3_place {
	const char *bucket;
	const char *key;
	const char *bucket_owner; /* NULL: not checked */
};

struct s3_options { /* of a new object; every member may be NULL */
	const char *content_type;
	const char *content_encoding;
	const char *encryption; /* AES256, aws:kms, aws:kms:dsse */
	const char *kms_key;
	const char *storage_class;
	const char *tags;          /* "a=1&b=2", percent-encoded */
	const char *metadata_roll; /* x-amz-meta-sluice-roll: says that an object is ours */
};

#define S3_UPLOAD_ID_MAX 1024
#define S3_ETAG_MAX      128
#define S3_CHECKSUM_SIZE 16 /* base64 of CRC32C, with the zero byte */
#define S3_PART_MIN      ((size_t)5 << 20)
#define S3_PARTS_MAX     10000

struct s3_part {
	int number; /* 1.. */
	uint64_t size;
	char etag[S3_ETAG_MAX];
	char checksum[S3_CHECKSUM_SIZE]; /* CRC32C */
};

typedef void s3_upload_fn(void *arg, const struct error *err, const char *upload_id);
typedef void s3_part_fn(void *arg, const struct error *err, const struct s3_part *part);
typedef void s3_done_fn(void *arg, const struct error *err);

void s3_upload_create(struct aws_client *c, const struct s3_place *at, const struct s3_options *o,
		      s3_upload_fn *fn, void *arg);
void s3_upload_part(struct aws_client *c, const struct s3_place *at, const char *upload_id,
		    int number, struct str body, s3_part_fn *fn, void *arg);
/* Unconditional. ERROR_NOT_FOUND: NoSuchUpload; ERROR_INVALID: InvalidPart (look at the parts). */
void s3_upload_complete(struct aws_client *c, const struct s3_place *at, const char *upload_id,
			const struct s3_part *parts, size_t count, s3_done_fn *fn, void *arg);
/* NoSuchUpload counts as done. */
void s3_upload_abort(struct aws_client *c, const struct s3_place *at, const char *upload_id,
		     s3_done_fn *fn, void *arg);

typedef void s3_parts_fn(void *arg, const struct error *err, const struct s3_part *parts,
			 size_t count);
void s3_upload_parts(struct aws_client *c, const struct s3_place *at, const char *upload_id,
		     s3_parts_fn *fn, void *arg); /* all pages */

/* An object in one call: it is there as a whole or not at all. */
void s3_put(struct aws_client *c, const struct s3_place *at, const struct s3_options *o,
	    struct str body, s3_done_fn *fn, void *arg);

struct s3_object {
	uint64_t size;
	char etag[S3_ETAG_MAX];
	char metadata_roll[256]; /* "" where it has none */
};
typedef void s3_head_fn(void *arg, const struct error *err, const struct s3_object *o);
/* ERROR_NOT_FOUND where there is none (404); REFUSED for 403. */
void s3_head(struct aws_client *c, const struct s3_place *at, s3_head_fn *fn, void *arg);

/* A piece of an object, as it lies there (never inflated). */
struct s3_range {
	struct buf *body; /* the callee may buf_steal it; at least one byte */
	uint64_t offset, total;
	char etag[S3_ETAG_MAX];
};
typedef void s3_range_fn(void *arg, const struct error *err, struct s3_range *r);
/* At most `size` bytes from `offset` on, as read(2) gives them: fewer where the object ends or the
 * connection broke; ask for the rest. etag: the object must still be that one (NULL: any).
 * ERROR_NOT_FOUND where there is none; ERROR_INVALID where it is another one now, or has nothing
 * there. */
void s3_get(struct aws_client *c, const struct s3_place *at, const char *etag, uint64_t offset,
	    size_t size, s3_range_fn *fn, void *arg);

/* Unfinished uploads under a prefix, all pages; `each` for each one, then `done`. */
typedef void s3_upload_each_fn(void *arg, const char *key, const char *upload_id);
void s3_uploads(struct aws_client *c, const char *bucket, const char *bucket_owner,
		const char *prefix, s3_upload_each_fn *each, s3_done_fn *done, void *arg);
/* HEAD of the bucket: does it exist, may we see it. */
void s3_bucket_check(struct aws_client *c, const char *bucket, const char *bucket_owner,
		     s3_done_fn *fn, void *arg);
/* The bucket's rules for uploads; a bucket without rules has none, which is no error. */
typedef void s3_lifecycle_fn(void *arg, const struct error *err, const struct lifecycle *l);
void s3_lifecycle(struct aws_client *c, const char *bucket, const char *bucket_owner,
		  s3_lifecycle_fn *fn, void *arg);
