#include "aws/exports.h"
#include "tests/fault/aws/world.h"

/* Point-in-time recovery and exports: what is asked, and what is made of AWS's answers. */

#define STR_INIT(text)                                                                             \
	{                                                                                          \
		(text), sizeof(text) - 1                                                           \
	}
#define TABLE "arn:aws:dynamodb:eu-west-1:123456789012:table/t"
#define ARN   TABLE "/export/01768385930622-efd1a093"
#define ERROR_BODY(code, message)                                                                  \
	"{\"__type\":\"com.amazonaws.dynamodb.v20120810#" code "\",\"message\":\"" message "\"}"
#define OK(text)                                                                                   \
	{                                                                                          \
		200, NULL, STR_INIT(text), REPLY_WHOLE                                             \
	}
#define REFUSED(code, message)                                                                     \
	{                                                                                          \
		400, NULL, STR_INIT(ERROR_BODY(code, message)), REPLY_WHOLE                        \
	}

struct got {
	bool done;
	struct error err;
	struct exports_recovery recovery;
	struct exports_export export;
	char list[512];
};

static void got_recovery(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct got *g = arg;

	g->err = *err;
	g->done = true;
	assert_true((r != NULL) == (err->kind == ERROR_NONE));
	if (r)
		g->recovery = *r;
}

static void got_export(void *arg, const struct error *err, const struct exports_export *e)
{
	struct got *g = arg;

	g->err = *err;
	g->done = true;
	assert_true((e != NULL) == (err->kind == ERROR_NONE));
	if (e)
		g->export = *e;
}

static void got_each(void *arg, const char *arn, enum exports_status status, bool full)
{
	struct got *g = arg;
	size_t n = strlen(g->list);

	snprintf(g->list + n, sizeof(g->list) - n, "%s %d %d;", arn, (int)status, full);
}

static void got_all(void *arg, const struct error *err)
{
	struct got *g = arg;

	g->err = *err;
	g->done = true;
}

#define BACKUPS(rest)                                                                              \
	"{\"ContinuousBackupsDescription\":{\"ContinuousBackupsStatus\":\"ENABLED\","              \
	"\"PointInTimeRecoveryDescription\":{" rest "}}}"

static void point_in_time_recovery(void **state)
{
	static const struct reply script[] = {
		OK(BACKUPS("\"PointInTimeRecoveryStatus\":\"DISABLED\"")),
		OK(BACKUPS("\"PointInTimeRecoveryStatus\":\"ENABLED\",\"RecoveryPeriodInDays\":35,"
			   "\"EarliestRestorableDateTime\":1768385930.622,"
			   "\"LatestRestorableDateTime\":1.768386E9")),
	};
	struct world w;
	struct got g = { 0 };

	(void)state;
	world_open(&w, script, 2, 2, NULL, NULL);
	exports_recovery_get(w.client, "t", got_recovery, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_false(g.recovery.enabled);
	assert_int_equal(g.recovery.earliest_ms, 0);
	assert_non_null(
		strstr(server_log(&w.server), "DynamoDB_20120810.DescribeContinuousBackups"));
	assert_non_null(strstr(server_log(&w.server), "\r\n\r\n{\"TableName\":\"t\"}"));
	g = (struct got){ 0 };
	exports_recovery_enable(w.client, TABLE, got_recovery, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_true(g.recovery.enabled);
	assert_int_equal(g.recovery.days, 35);
	assert_int_equal(g.recovery.earliest_ms, 1768385930622);
	assert_int_equal(g.recovery.latest_ms, 1768386000000);
	assert_non_null(strstr(server_log(&w.server),
			       "{\"TableName\":\"" TABLE "\",\"PointInTimeRecoverySpecification\":"
			       "{\"PointInTimeRecoveryEnabled\":true}}"));
	world_close(&w);
}

#define EXPORT(rest) "{\"ExportDescription\":{\"ExportArn\":\"" ARN "\"," rest "}}"

static void starting_exports(void **state)
{
	static const struct reply script[] = {
		OK(EXPORT("\"ExportStatus\":\"IN_PROGRESS\",\"StartTime\":1768385930.622")),
		OK(EXPORT("\"ExportStatus\":\"IN_PROGRESS\"")),
	};
	const struct exports_request full = { .table_arn = TABLE,
					      .bucket = "lake",
					      .prefix = "",
					      .token = "sluice-1",
					      .time_ms = 1768385930000 };
	const struct exports_request window = { .table_arn = TABLE,
						.bucket = "lake",
						.bucket_owner = "123456789012",
						.prefix = "a\"b",
						.encryption = "KMS",
						.kms_key = "key/1",
						.token = "sluice-2",
						.view = "NEW_IMAGE",
						.from_ms = 1768385930250,
						.to_ms = 1768386830000 };
	struct world w;
	struct got g = { 0 };

	(void)state;
	world_open(&w, script, 2, 2, NULL, NULL);
	exports_start(w.client, &full, got_export, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_string_equal(g.export.arn, ARN);
	assert_int_equal(g.export.status, EXPORTS_RUNNING);
	assert_int_equal(g.export.start_ms, 1768385930622);
	assert_string_equal(g.export.manifest, "");
	assert_non_null(strstr(server_log(&w.server),
			       "\r\n\r\n{\"TableArn\":\"" TABLE
			       "\",\"S3Bucket\":\"lake\",\"ClientToken\":"
			       "\"sluice-1\",\"ExportFormat\":\"DYNAMODB_JSON\",\"ExportType\":"
			       "\"FULL_EXPORT\",\"ExportTime\":1768385930}"));
	g = (struct got){ 0 };
	exports_start(w.client, &window, got_export, &g);
	aws_wait(w.client, &g.done);
	assert_non_null(
		strstr(server_log(&w.server),
		       "{\"TableArn\":\"" TABLE "\",\"S3Bucket\":\"lake\",\"S3BucketOwner\":"
		       "\"123456789012\",\"S3Prefix\":\"a\\\"b\",\"S3SseAlgorithm\":\"KMS\","
		       "\"S3SseKmsKeyId\":\"key/1\",\"ClientToken\":\"sluice-2\",\"ExportFormat\":"
		       "\"DYNAMODB_JSON\",\"ExportType\":\"INCREMENTAL_EXPORT\","
		       "\"IncrementalExportSpecification\":{\"ExportViewType\":\"NEW_IMAGE\","
		       "\"ExportFromTime\":1768385930.250,\"ExportToTime\":1768386830}}"));
	world_close(&w);
}

static void exports_that_ended(void **state)
{
	static const struct reply script[] = {
		OK(EXPORT("\"ExportStatus\":\"COMPLETED\",\"EndTime\":1768386000,"
			  "\"ExportManifest\":\"AWSDynamoDB/01/manifest-summary.json\","
			  "\"ItemCount\":7,\"BilledSizeBytes\":10000000")),
		OK(EXPORT("\"ExportStatus\":\"FAILED\",\"FailureCode\":\"S3NoSuchBucket\","
			  "\"FailureMessage\":\"The specified bucket does not exist\"")),
		OK(EXPORT("\"ExportStatus\":\"COMPLETED\"")),
	};
	struct world w;
	struct got g = { 0 };

	(void)state;
	world_open(&w, script, 3, 2, NULL, NULL);
	exports_describe(w.client, ARN, got_export, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_int_equal(g.export.status, EXPORTS_COMPLETED);
	assert_string_equal(g.export.manifest, "AWSDynamoDB/01/manifest-summary.json");
	assert_int_equal(g.export.items, 7);
	assert_int_equal(g.export.billed_bytes, 10000000);
	assert_int_equal(g.export.end_ms, 1768386000000);
	assert_non_null(strstr(server_log(&w.server), "\r\n\r\n{\"ExportArn\":\"" ARN "\"}"));
	g.done = false;
	exports_describe(w.client, ARN, got_export, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.export.status, EXPORTS_FAILED);
	assert_string_equal(g.export.failure_code, "S3NoSuchBucket");
	assert_string_equal(g.export.failure_message, "The specified bucket does not exist");
	/* Ended, but where? The next answer will say. */
	g.done = false;
	exports_describe(w.client, ARN, got_export, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_RETRY);
	assert_non_null(strstr(g.err.message, "DescribeExport on export " ARN));
	world_close(&w);
}

static void all_pages_of_a_list(void **state)
{
	static const struct reply script[] = {
		OK("{\"ExportSummaries\":[{\"ExportArn\":\"a\",\"ExportStatus\":\"IN_PROGRESS\","
		   "\"ExportType\":\"INCREMENTAL_EXPORT\"},{\"ExportArn\":\"b\",\"ExportStatus\":"
		   "\"FAILED\",\"ExportType\":\"FULL_EXPORT\"}],\"NextToken\":\"next\"}"),
		OK("{\"ExportSummaries\":[{\"ExportArn\":\"c\",\"ExportStatus\":\"COMPLETED\"}]}"),
	};
	struct world w;
	struct got g = { 0 };

	(void)state;
	world_open(&w, script, 2, 2, NULL, NULL);
	exports_list(w.client, TABLE, got_each, got_all, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_string_equal(g.list, "a 0 0;b 2 1;c 1 1;");
	assert_non_null(strstr(server_log(&w.server),
			       "{\"TableArn\":\"" TABLE
			       "\",\"NextToken\":\"next\",\"MaxResults\":25}"));
	world_close(&w);
}

static void errors_mean_something(void **state)
{
	static const struct {
		struct reply reply;
		enum error_kind kind;
		const char *says;
	} rows[] = {
		{ REFUSED("TableNotFoundException", "Table not found: t"), ERROR_NOT_FOUND,
		  "Table not found" },
		{ REFUSED("PointInTimeRecoveryUnavailableException",
			  "Point in time recovery is not enabled for table 't'"),
		  ERROR_INVALID, "not enabled" },
		{ REFUSED("InvalidExportTimeException", "The export time is in the future"),
		  ERROR_INVALID, "in the future" },
		{ REFUSED("ExportConflictException", "Duplicate request detected"), ERROR_INVALID,
		  "Duplicate request" },
		{ REFUSED("ExportNotFoundException", "Export not found"), ERROR_NOT_FOUND,
		  "Export not found" },
		{ REFUSED("ValidationException", "Invalid Export ARN"), ERROR_NOT_FOUND,
		  "Invalid Export ARN" },
		{ REFUSED("ValidationException", "S3Prefix is too long"), ERROR_INVALID,
		  "too long" },
		{ REFUSED("AccessDeniedException", "no"), ERROR_REFUSED, "allow dynamodb:" },
		{ REFUSED("AccessDeniedException", "User: u is not authorized to perform: "
						   "dynamodb:Other on resource: arn:t"),
		  ERROR_REFUSED, "; allow dynamodb:DescribeExport" },
		{ REFUSED("AccessDeniedException",
			  "User: u is not authorized to perform: kms:Decrypt on resource: arn:k "
			  "because"),
		  ERROR_REFUSED, "; allow kms:Decrypt on arn:k" },
		{ REFUSED("AccessDeniedException",
			  "User: u is not authorized to perform: kms:Decrypt on resource: arn:cu"),
		  ERROR_REFUSED, "; allow kms:Decrypt" },
		{ OK("{}"), ERROR_INVALID, "no export's description" },
		{ OK("{\"ExportDescription\":{\"ExportArn\":\"a\",\"ExportStatus\":\"ODD\"}}"),
		  ERROR_INVALID, "no export's description" },
		{ OK("nonsense"), ERROR_RETRY, "no JSON" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;
		struct got g = { 0 };

		world_open(&w, &rows[i].reply, 1, 2, NULL, NULL);
		exports_describe(w.client, ARN, got_export, &g);
		aws_wait(w.client, &g.done);
		if (g.err.kind != rows[i].kind || !strstr(g.err.message, rows[i].says))
			fail_msg("%s: %s", rows[i].says, g.err.message);
		assert_non_null(strstr(g.err.message, "DescribeExport"));
		world_close(&w);
	}
}

static void a_young_table_is_asked_again(void **state)
{
	static const struct reply script[] = {
		REFUSED("ContinuousBackupsUnavailableException",
			"Backups are being enabled for the table: t. Please retry later"),
		OK(BACKUPS("\"PointInTimeRecoveryStatus\":\"ENABLED\"")),
		OK("{\"ContinuousBackupsDescription\":{}}"),
		OK("{}"),
	};
	static const enum error_kind kinds[] = { ERROR_RETRY, ERROR_RETRY, ERROR_NONE,
						 ERROR_INVALID };
	struct world w;

	(void)state;
	world_open(&w, script, 4, 2, NULL, NULL);
	for (size_t i = 0; i < 4; i++) {
		struct got g = { 0 };

		exports_recovery_enable(w.client, "t", got_recovery, &g);
		aws_wait(w.client, &g.done);
		assert_int_equal(g.err.kind, kinds[i]);
	}
	world_close(&w);
}

static void lists_that_are_none(void **state)
{
	static const struct reply script[] = {
		OK("{}"),
		OK("{\"ExportSummaries\":[{}]}"),
		REFUSED("ValidationException", "no"),
	};
	struct world w;

	(void)state;
	world_open(&w, script, 3, 2, NULL, NULL);
	for (size_t i = 0; i < 3; i++) {
		struct got g = { 0 };

		exports_list(w.client, TABLE, got_each, got_all, &g);
		aws_wait(w.client, &g.done);
		assert_int_equal(g.err.kind, ERROR_INVALID);
		assert_string_equal(g.list, "");
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(point_in_time_recovery),
		cmocka_unit_test(starting_exports),
		cmocka_unit_test(exports_that_ended),
		cmocka_unit_test(all_pages_of_a_list),
		cmocka_unit_test(errors_mean_something),
		cmocka_unit_test(a_young_table_is_asked_again),
		cmocka_unit_test(lists_that_are_none),
	};

	return cmocka_run_group_tests(tests, world_environment, NULL);
}
