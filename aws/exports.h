#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "aws/client.h"

/* Point-in-time recovery and the exports of a table (aws-semantics, 2). Texts that are given to a
 * call are copied; answers are valid during the callback only. Times are epoch ms.
 *
 * ERROR_NOT_FOUND: no such table, or export. ERROR_INVALID: PITR is off, a time that cannot be
 * exported, a token that was used for something else. ERROR_THROTTLED: too many exports at once. */

struct exports_recovery {
	bool enabled;
	int days;                       /* RecoveryPeriodInDays; 0 where it does not say */
	int64_t earliest_ms, latest_ms; /* what can be exported; 0 while it is off */
};
typedef void exports_recovery_fn(void *arg, const struct error *err,
				 const struct exports_recovery *r);
/* DescribeContinuousBackups. `table` is a name or a table ARN. */
void exports_recovery_get(struct aws_client *c, const char *table, exports_recovery_fn *fn,
			  void *arg);
/* UpdateContinuousBackups: PITR on. It may not say so at once, and a young table refuses it for a
 * while (ERROR_RETRY): ask again. */
void exports_recovery_enable(struct aws_client *c, const char *table, exports_recovery_fn *fn,
			     void *arg);

enum exports_status { EXPORTS_RUNNING, EXPORTS_COMPLETED, EXPORTS_FAILED };
struct exports_export {
	char arn[1100];
	enum exports_status status;
	int64_t start_ms, end_ms;
	char manifest[1025]; /* the key of manifest-summary.json; "" until it is there */
	char failure_code[128], failure_message[512];
	uint64_t items, billed_bytes;
};
typedef void exports_export_fn(void *arg, const struct error *err, const struct exports_export *e);

struct exports_request { /* texts may be NULL where AWS does not need them */
	const char *table_arn;
	const char *bucket, *bucket_owner, *prefix;
	const char *encryption, *kms_key; /* AES256, KMS */
	const char *token;
	const char *view; /* NULL: a full export of time_ms; else the window [from_ms, to_ms) */
	int64_t time_ms, from_ms, to_ms;
};
/* ExportTableToPointInTime. The same request with the same token is one export, for 8 h after it
 * has ended. */
void exports_start(struct aws_client *c, const struct exports_request *r, exports_export_fn *fn,
		   void *arg);
/* DescribeExport. */
void exports_describe(struct aws_client *c, const char *export_arn, exports_export_fn *fn,
		      void *arg);

/* ListExports, all pages: `each` for each export of the last 90 days, then `done`. */
typedef void exports_each_fn(void *arg, const char *arn, enum exports_status status, bool full);
typedef void exports_done_fn(void *arg, const struct error *err);
void exports_list(struct aws_client *c, const char *table_arn, exports_each_fn *each,
		  exports_done_fn *done, void *arg);
