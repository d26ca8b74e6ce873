#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/client.h"
#include "export/manifest.h"

/* An export's manifest on its way from S3: first what it says of itself, then its data files, part
 * by part as they are asked for, so that memory is one range whatever the table's size. All of it
 * is checked (manifest.h), and nothing that was told may be used before the part that ends it. On
 * the thread of the client's loop. */
struct listing;

struct listing_place {
	const char *bucket, *owner; /* owner NULL: not checked */
	const char *key;            /* of manifest-summary.json */
	const char *table_arn;      /* whose export it has to be; NULL: of any table */
};

#define LISTING_NAME_SIZE 64
struct listing_file {
	char name[LISTING_NAME_SIZE]; /* the last part of its key: of one export no two are the same
				       */
	const char *location;         /* s3://BUCKET/KEY, where it lies now */
	char md5[MANIFEST_MD5_SIZE];
	uint64_t items; /* at least one: files without need not be read, and are left out */
};
struct listing_part {
	const struct manifest *manifest;
	const struct listing_file *files;
	size_t count; /* 0 in the first part */
	bool end;     /* all of it was there, and nothing was wrong */
};
/* On errors `part` is NULL, and the listing can only be freed. ERROR_NOT_FOUND: no such export, or
 * its manifest is not there yet; ERROR_INVALID: it is no good; ERROR_REFUSED, ERROR_RETRY as
 * s3_get. Valid until the next part is asked for. */
typedef void listing_fn(void *arg, const struct error *err, const struct listing_part *part);

/* Texts are copied. */
struct listing *listing_new(struct aws_client *c, const struct listing_place *place);
/* Also from inside the callback, and while a part is asked for: it is not answered then. */
void listing_free(struct listing *l);
/* The next part; `fn` runs from the loop, or at once where the key is none. */
void listing_next(struct listing *l, listing_fn *fn, void *arg);

/* "s3://BUCKET/KEY": the length of the bucket; *key points behind it. 0: it is none. */
size_t listing_location(const char *text, const char **key);
