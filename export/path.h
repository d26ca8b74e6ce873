#pragma once
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "export/window.h"

/* The folder of a raw export, the same for whoever looks for it:
 *     PREFIX/ACCOUNT/REGION/TABLE/exports/START_END
 * with times in UTC as 1970-01-01-00-00-00-000000; a full export's START is 1970. AWS puts its own
 * folder AWSDynamoDB/ below. Pure. */
struct export_place {
	const char *prefix; /* slashes around it do not count; "": none */
	const char *account, *region, *table;
};

#define PATH_PREFIX_MAX 1024 /* AWS's limit of S3Prefix */
/* Appends the folder, without a slash at its end: S3Prefix of the request. ERROR_INVALID where it
 * is too long for AWS. */
bool path_export(const struct export_place *place, const struct window *w, struct buf *out,
		 struct error *err) MUST_CHECK;
/* One time as it stands in there; negative ones and those beyond the year 9999 are our bug. */
#define PATH_TIME_SIZE 32
char *path_time(int64_t epoch_ms, char out[PATH_TIME_SIZE]);
