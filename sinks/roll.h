#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/s3.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

/* A roll as it is written down: everything a session had open for one sink, as a list of files,
 * with all that is needed to make them visible from any process. Its text form (JSON, versioned) is
 * the blob that the store keeps from the commit until the files are visible.
 *
 * A file of an S3 roll is a multipart upload (pending: the upload's id, path: the key, place: the
 * bucket); one of a directory is a file whose name begins with a dot (pending) and that will be
 * called `path`; both are absolute there. */
struct roll_file {
	char *path;
	char *pending; /* NULL until it was created */
	char *mark;    /* SESSION/ROLL/N: what an S3 object carries as proof that it is this file */
	uint64_t bytes, records;
	bool manifest;         /* names the roll's other files: made visible after them */
	struct s3_part *parts; /* ascending; empty for a directory */
	size_t part_count, part_capacity;
};

struct roll {
	uint64_t number;
	char *session;
	char *place; /* the bucket; "" for a directory */
	char *owner; /* of the bucket; NULL: not checked */
	struct roll_file **files;
	size_t file_count, file_capacity;
};

struct roll *roll_new(uint64_t number, const char *session, const char *place, const char *owner);
void roll_free(struct roll *r);
DEFINE_AUTO(roll)
/* The roll's; valid until roll_free. `path` and `mark` are copied. */
struct roll_file *roll_file_add(struct roll *r, const char *path, const char *mark);
/* In any order of numbers; stays sorted. */
void roll_part_add(struct roll_file *f, const struct s3_part *part);

/* The text of a manifest: the files that `r` has so far. */
void roll_manifest(const struct roll *r, struct buf *out);

/* `kind` is the sink's type, so that a blob of another kind of sink is told apart. */
void roll_encode(const struct roll *r, const char *kind, struct buf *out);
/* ERROR_INVALID: not a roll of this kind, or of a later version of the program. */
struct roll *roll_decode(struct str blob, const char *kind, struct error *err);
