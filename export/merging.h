#pragma once
#include "event/merge.h"
#include "export/file.h"
#include "export/window.h"

/* The data files of several windows' exports, on their way from S3 to merged lines: one part of
 * them (event/merge.h). Manifests and files are read, some files at a time, and each is proven as a
 * file is that is loaded alone (file.h), its lines counted; nothing goes out before all of them
 * were. What does not fit into the memory comes in a further pass, for which all of them are read
 * again. On the thread of the client's loop. */
struct merging;

struct merging_window {
	char *manifest;       /* s3://BUCKET/KEY of manifest-summary.json */
	struct window window; /* it has to be of this one, */
	uint64_t number;
	uint64_t items; /* and of so many items */
};
/* What it points to outlives the merging. */
struct merging_options {
	const struct merging_window *windows; /* oldest first */
	size_t count;
	const char *table_arn, *bucket_owner; /* bucket_owner NULL: not checked */
	const struct source *source;
	bool old_images;
	uint32_t part, parts;
	size_t memory_bytes; /* of merged lines; besides, some files are open */
	uint64_t from;       /* the row to begin at; 0: the part's first one */
	size_t block_bytes;  /* of lines, about */
};

struct merging *merging_new(struct aws_client *c, const struct merging_options *o);
/* Also from inside the callback, and while a block is asked for: it is not answered then. */
void merging_free(struct merging *m);
/* As file_next; places are numbers of rows. ERROR_INVALID: one of the files, or a manifest, is not
 * what it was. */
void merging_next(struct merging *m, struct buf *lines, file_fn *fn, void *arg);
/* For progress: of all rows so far, those in front of `from`, too. */
uint64_t merging_passed_bytes(const struct merging *m);
