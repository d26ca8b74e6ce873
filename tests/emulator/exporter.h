#pragma once
#include "tests/emulator/world.h"

/* Exports to S3, written by a thread of their own as AWS writes them (aws-semantics, 2.3). The API
 * adds them to the world; the world's lock guards their members. */

enum export_status { EXPORT_RUNNING, EXPORT_COMPLETED, EXPORT_FAILED };
struct export
{
	struct table *table;
	char id[40], arn[ARN_SIZE + 60];
	enum export_status status;
	bool full, named, old_images, ion; /* named: the request had an ExportType */
	int64_t at_ms, from_ms, to_ms;
	char *bucket, *owner, *prefix, *encryption, *kms_key, *token;
	json_t *request; /* as it came, its token aside: what a duplicate has to be equal to */
	int64_t start_ms, due_ms, end_ms;
	bool begun; /* _started is there */
	char failure_code[80], failure_message[400];
	uint64_t items, billed_bytes;
};
void export_free(struct export *e);
/* [prefix/]AWSDynamoDB/ID/NAME. Appends. */
void export_key(const struct export *e, const char *name, struct buf *out);

struct exporter;
/* s3: where buckets are; NULL: every export fails. key: AKID:SECRET. */
struct exporter *exporter_start(struct world *w, const char *s3, const char *key,
				const char *region);
void exporter_stop(struct exporter *x); /* NULL is fine */
