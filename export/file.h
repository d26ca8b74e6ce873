#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/s3.h"
#include "base/buf.h"
#include "base/error.h"

/* One data file of an export, on its way from S3 to lines: ranged GETs, pinned by the etag of the
 * first, that go on where a connection broke; MD5 and inflation as it arrives. Blocks of whole
 * lines are asked for one by one, and while nobody asks nothing is inflated and at most one range
 * is fetched ahead: memory is two ranges and a line, whatever the file's size. On the thread of the
 * client's loop.
 *
 * A place inside is an offset in the inflated text, at a line's beginning. To go on there the file
 * is fetched and inflated anew and what comes before is thrown away, which costs less than loading
 * it does (./dev bench export: `skip`). So no state of the inflater has to be stored, and the MD5
 * of the whole file is proven each time, and its lines are counted. */
struct file;

#define FILE_LINE_BYTES_MAX  ((size_t)16 << 20)
#define FILE_RANGE_BYTES_MIN ((size_t)64 << 10)

struct file_options {
	struct s3_place place; /* its texts outlive the file */
	const char *md5;       /* base64 of the bytes as they lie there; NULL: not known */
	uint64_t from;         /* the place to begin at; 0: the file's beginning */
	size_t range_bytes;    /* of one GET */
	size_t block_bytes;    /* of lines, about */
	bool verify;           /* no lines: the first answer is the end, or what is wrong with it */
};

struct file_block {
	uint64_t from, to; /* places; `to` is where to go on behind this block */
	bool end;          /* no lines: all of the file was there and nothing was wrong with it */
};
/* On errors b is NULL. ERROR_RETRY, ERROR_THROTTLED: the block may be asked for again, and nothing
 * is lost. Else the file can only be freed: ERROR_INVALID where it is damaged, or `from` is not in
 * it; others as s3_get. The message names the file and the place. */
typedef void file_fn(void *arg, const struct error *err, const struct file_block *b);

struct file *file_new(struct aws_client *c, const struct file_options *o);
/* Also from inside the callback, and while a block is asked for: it is not answered then. */
void file_free(struct file *f);
/* Fills `lines`, an empty buffer of the caller, with the next block; the last line gets its '\n'
 * where it lacks it. One at a time; `fn` runs from the loop. `lines` may be given away by then. */
void file_next(struct file *f, struct buf *lines, file_fn *fn, void *arg);

/* Lines that came before `from`, or were verified, and have something in them, so far. */
uint64_t file_passed_lines(const struct file *f);
/* For progress: of the file's bytes as they lie there. total 0: not known yet. */
uint64_t file_fetched(const struct file *f);
uint64_t file_total(const struct file *f);
