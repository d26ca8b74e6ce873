/* Point-in-time recovery and exports: the calls. exporter.c writes the files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/emulator/call.h"
#include "tests/emulator/exporter.h"
#include "tests/emulator/history.h"

#define MINUTE_MS      ((int64_t)60 * 1000)
#define HOUR_MS        (60 * MINUTE_MS)
#define DAY_MS         (24 * HOUR_MS)
#define LATEST_AGE_MS  (5 * MINUTE_MS)
#define WINDOW_MIN_MS  (15 * MINUTE_MS)
#define WINDOW_MAX_MS  DAY_MS
#define TOKEN_MS       (8 * HOUR_MS)
#define LISTED_MS      (90 * DAY_MS)
#define CONCURRENT_MAX 300

/* ---- point-in-time recovery ---- */

static int64_t earliest_ms(const struct table *t)
{
	int64_t oldest = world_now_ms(t->world) - t->recovery_days * DAY_MS;

	return t->recovery_since_ms > oldest ? t->recovery_since_ms : oldest;
}

static int64_t latest_ms(const struct table *t)
{
	int64_t latest = world_now_ms(t->world) - LATEST_AGE_MS, earliest = earliest_ms(t);

	return latest > earliest ? latest : earliest;
}

static void describe_backups(struct call *c, const struct table *t)
{
	struct buf *out = c->reply->body;

	buf_printf(out,
		   "{\"ContinuousBackupsDescription\":{\"ContinuousBackupsStatus\":\"ENABLED\","
		   "\"PointInTimeRecoveryDescription\":{\"PointInTimeRecoveryStatus\":\"%s\"",
		   t->recovery_since_ms ? "ENABLED" : "DISABLED");
	if (t->recovery_since_ms) {
		buf_printf(out, ",\"RecoveryPeriodInDays\":%lld,\"EarliestRestorableDateTime\":",
			   (long long)t->recovery_days);
		call_seconds(out, earliest_ms(t));
		buf_text(out, ",\"LatestRestorableDateTime\":");
		call_seconds(out, latest_ms(t));
	}
	buf_text(out, "}}}");
}

void call_describe_continuous_backups(struct call *c)
{
	const struct table *t = call_table(c, "TableNotFoundException");

	if (t)
		describe_backups(c, t);
}

void call_update_continuous_backups(struct call *c)
{
	struct table *t = call_table(c, "TableNotFoundException");
	const json_t *spec = json_object_get(c->request, "PointInTimeRecoverySpecification");
	const json_t *on = json_object_get(spec, "PointInTimeRecoveryEnabled");
	const json_t *days = json_object_get(spec, "RecoveryPeriodInDays");

	if (!t)
		return;
	if (!json_is_boolean(on)) {
		call_invalid(c, "1 validation error detected: Value null at "
				"'pointInTimeRecoverySpecification.pointInTimeRecoveryEnabled' "
				"failed to satisfy constraint: Member must not be null");
		return;
	}
	if (days && (json_integer_value(days) < 1 || json_integer_value(days) > 35)) {
		call_invalid(c, "RecoveryPeriodInDays must be between 1 and 35");
		return;
	}
	if (world_now_ms(c->world) < t->created_ms + (int64_t)t->spec.backups_ms) {
		reply_error(c->reply, 400, "ContinuousBackupsUnavailableException",
			    "Backups are being enabled for the table: %s. Please retry later",
			    t->spec.name);
		return;
	}
	if (days)
		t->recovery_days = json_integer_value(days);
	if (!json_is_true(on))
		t->recovery_since_ms = 0;
	else if (!t->recovery_since_ms) /* the past before is not kept */
		t->recovery_since_ms = world_now_ms(c->world);
	describe_backups(c, t);
}

/* ---- exports ---- */

static void member(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(out, ",\"%s\":", name);
	buf_json_text(out, str_of(value));
}

static void member_time(struct buf *out, const char *name, int64_t ms)
{
	buf_printf(out, ",\"%s\":", name);
	call_seconds(out, ms);
}

static const char *status_name(enum export_status status)
{
	static const char *const names[] = { "IN_PROGRESS", "COMPLETED", "FAILED" };

	return names[status];
}

static void describe(struct call *c, const struct export *e)
{
	struct buf *out = c->reply->body, key = { 0 };
	char arn[ARN_SIZE];

	table_arn(e->table, arn);
	buf_printf(out, "{\"ExportDescription\":{\"ExportArn\":\"%s\",\"ExportStatus\":\"%s\"",
		   e->arn, status_name(e->status));
	member_time(out, "StartTime", e->start_ms);
	member(out, "TableArn", arn);
	member(out, "S3Bucket", e->bucket);
	member(out, "S3BucketOwner", e->owner);
	member(out, "S3Prefix", e->prefix);
	member(out, "S3SseAlgorithm", e->encryption ? e->encryption : "AES256");
	member(out, "S3SseKmsKeyId", e->kms_key);
	member(out, "ClientToken", e->token);
	member(out, "ExportFormat", e->ion ? "ION" : "DYNAMODB_JSON");
	if (e->named)
		member(out, "ExportType", e->full ? "FULL_EXPORT" : "INCREMENTAL_EXPORT");
	if (e->full) {
		member_time(out, "ExportTime", e->at_ms);
	} else {
		buf_printf(out, ",\"IncrementalExportSpecification\":{\"ExportViewType\":\"%s\"",
			   e->old_images ? "NEW_AND_OLD_IMAGES" : "NEW_IMAGE");
		member_time(out, "ExportFromTime", e->from_ms);
		member_time(out, "ExportToTime", e->to_ms);
		buf_text(out, "}");
	}
	if (e->status != EXPORT_RUNNING)
		member_time(out, "EndTime", e->end_ms);
	if (e->status == EXPORT_COMPLETED) {
		export_key(e, "manifest-summary.json", &key);
		member(out, "ExportManifest", key.data);
		buf_printf(out, ",\"ItemCount\":%llu,\"BilledSizeBytes\":%llu",
			   (unsigned long long)e->items, (unsigned long long)e->billed_bytes);
		buf_release(&key);
	}
	if (e->status == EXPORT_FAILED) {
		member(out, "FailureCode", e->failure_code);
		member(out, "FailureMessage", e->failure_message);
	}
	buf_text(out, "}}");
}

static bool invalid_time(struct call *c, const char *message)
{
	reply_error(c->reply, 400, "InvalidExportTimeException", "%s", message);
	return false;
}

/* Epoch seconds; `missing` where it is absent. */
static int64_t time_of(const json_t *o, const char *name, int64_t missing)
{
	const json_t *value = json_object_get(o, name);

	return json_is_number(value) ? (int64_t)(json_number_value(value) * 1000 + 0.5) : missing;
}

static bool read_times(struct call *c, struct export *e)
{
	const json_t *o = json_object_get(c->request, "IncrementalExportSpecification");
	const char *view = json_string_value(json_object_get(o, "ExportViewType"));
	int64_t now_ms = world_now_ms(c->world), oldest_ms = earliest_ms(e->table);

	if (e->full) {
		e->at_ms = time_of(c->request, "ExportTime", now_ms);
		if (e->at_ms < oldest_ms)
			return invalid_time(c, "The export time is before the earliest restorable "
					       "time");
		return e->at_ms <= now_ms || invalid_time(c, "The export time is in the future");
	}
	if (view && strcmp(view, "NEW_IMAGE") != 0 && strcmp(view, "NEW_AND_OLD_IMAGES") != 0) {
		call_invalid(c,
			     "1 validation error detected: Value '%.40s' at "
			     "'incrementalExportSpecification.exportViewType' failed to satisfy "
			     "constraint: Member must satisfy enum value set: [NEW_AND_OLD_IMAGES, "
			     "NEW_IMAGE]",
			     view);
		return false;
	}
	e->old_images = !view || strcmp(view, "NEW_IMAGE") != 0;
	e->from_ms = time_of(o, "ExportFromTime", -1);
	e->to_ms = time_of(o, "ExportToTime", latest_ms(e->table));
	if (e->from_ms < 0) {
		call_invalid(c, "ExportFromTime is required for an incremental export");
		return false;
	}
	if (e->to_ms - e->from_ms < WINDOW_MIN_MS)
		return invalid_time(c, "Difference between export period from time and export "
				       "period to time is less than 15 minutes");
	if (e->to_ms - e->from_ms > WINDOW_MAX_MS)
		return invalid_time(c, "Difference between export period from time and export "
				       "period to time is greater than 24 hours");
	if (e->from_ms < oldest_ms)
		return invalid_time(c, "Export period from time is before the earliest restorable "
				       "time");
	return e->to_ms <= now_ms || invalid_time(c, "Export period to time is in the future");
}

/* A text that must be one of two; the first where it is absent. -1: answered. */
static int choice(struct call *c, const char *name, const char *first, const char *second)
{
	const char *text = call_text(c, name, 0, 64, true);

	if (text && (!*text || strcmp(text, first) == 0))
		return 0;
	if (text && strcmp(text, second) == 0)
		return 1;
	if (text)
		call_invalid(c,
			     "1 validation error detected: Value '%s' at '%s' failed to satisfy "
			     "constraint: Member must satisfy enum value set: [%s, %s]",
			     text, name, first, second);
	return -1;
}

static char *given(const char *text)
{
	return text && *text ? memory_text(text) : NULL;
}

static bool read_place(struct call *c, struct export *e)
{
	const char *bucket = call_text(c, "S3Bucket", 1, 255, false);
	const char *prefix = bucket ? call_text(c, "S3Prefix", 1, 1024, true) : NULL;
	const char *owner = prefix ? call_text(c, "S3BucketOwner", 12, 12, true) : NULL;
	const char *kms = owner ? call_text(c, "S3SseKmsKeyId", 1, 2048, true) : NULL;
	int encryption = kms ? choice(c, "S3SseAlgorithm", "AES256", "KMS") : -1;
	int format = encryption >= 0 ? choice(c, "ExportFormat", "DYNAMODB_JSON", "ION") : -1;

	if (format < 0)
		return false;
	e->bucket = given(bucket);
	e->prefix = given(prefix);
	e->owner = given(owner);
	e->kms_key = given(kms);
	e->encryption = encryption ? memory_text("KMS") : NULL;
	e->ion = format == 1;
	return true;
}

static struct table *export_table(struct call *c)
{
	const char *arn = call_text(c, "TableArn", 1, 1024, false);
	struct table *t = arn ? world_table_of(c->world, arn) : NULL;

	if (!arn)
		return NULL;
	if (!t)
		reply_error(c->reply, 400, "TableNotFoundException", "Table not found: %s", arn);
	else if (!t->recovery_since_ms)
		reply_error(c->reply, 400, "PointInTimeRecoveryUnavailableException",
			    "Point in time recovery is not enabled for table '%s'", t->spec.name);
	else if (!history_known(t))
		call_invalid(c, "the emulator cannot export table %s", t->spec.name);
	else
		return t;
	return NULL;
}

/* Answered by what this token started before, if it still counts. */
static bool repeated(struct call *c, const char *token, const json_t *request)
{
	struct world *w = c->world;

	for (size_t i = w->export_count; *token && i > 0; i--) {
		const struct export *e = w->exports[i - 1];

		if (strcmp(e->token, token) != 0)
			continue;
		if (e->status != EXPORT_RUNNING && world_now_ms(w) > e->end_ms + TOKEN_MS)
			return false;
		if (json_equal(e->request, request))
			describe(c, e);
		else
			reply_error(c->reply, 400, "ExportConflictException",
				    "Duplicate request detected");
		return true;
	}
	return false;
}

static bool too_many(struct call *c)
{
	size_t running = 0;

	for (size_t i = 0; i < c->world->export_count; i++)
		running += c->world->exports[i]->status == EXPORT_RUNNING;
	if (running < CONCURRENT_MAX)
		return false;
	reply_error(c->reply, 400, "LimitExceededException",
		    "Subscriber limit exceeded: there are %zu concurrent exports", running);
	return true;
}

static void begin(struct call *c, struct export *e, const char *token)
{
	struct world *w = c->world;
	char arn[ARN_SIZE], invented[40];

	snprintf(invented, sizeof(invented), "%016llx", (unsigned long long)rng_next(&w->rng));
	e->token = memory_text(*token ? token : invented);
	e->start_ms = world_now_ms(w);
	e->due_ms = e->start_ms + (int64_t)e->table->spec.export_ms;
	snprintf(e->id, sizeof(e->id), "0%lld-%08x", (long long)e->start_ms,
		 (unsigned)rng_next(&w->rng));
	table_arn(e->table, arn);
	snprintf(e->arn, sizeof(e->arn), "%s/export/%s", arn, e->id);
	w->exports = memory_room(w->exports, w->export_count, sizeof(w->exports[0]));
	w->exports[w->export_count++] = e;
	describe(c, e);
}

void call_export_table(struct call *c)
{
	struct table *t = export_table(c);
	const char *token = t ? call_text(c, "ClientToken", 1, 256, true) : NULL;
	int type = token ? choice(c, "ExportType", "FULL_EXPORT", "INCREMENTAL_EXPORT") : -1;
	json_t *request = json_copy(c->request);
	struct export *e;

	json_object_del(request, "ClientToken");
	if (type < 0 || repeated(c, token, request)) {
		json_decref(request);
		return;
	}
	e = memory_new(sizeof(*e));
	*e = (struct export){ .table = t,
			      .full = type == 0,
			      .named = json_object_get(request, "ExportType") != NULL,
			      .request = request };
	if (read_place(c, e) && read_times(c, e) && !too_many(c))
		begin(c, e, token);
	else
		export_free(e);
}

void call_describe_export(struct call *c)
{
	const char *arn = call_text(c, "ExportArn", 37, 1024, false);

	if (!arn)
		return;
	for (size_t i = 0; i < c->world->export_count; i++) {
		if (strcmp(c->world->exports[i]->arn, arn) == 0) {
			describe(c, c->world->exports[i]);
			return;
		}
	}
	if (strstr(arn, "/export/"))
		reply_error(c->reply, 400, "ExportNotFoundException", "Export not found: %s", arn);
	else
		call_invalid(c, "Invalid Export ARN");
}

void call_list_exports(struct call *c)
{
	const char *arn = call_text(c, "TableArn", 1, 1024, true);
	const char *after = arn ? call_text(c, "NextToken", 1, 1024, true) : NULL;
	const json_t *value = json_object_get(c->request, "MaxResults");
	json_int_t limit = value ? json_integer_value(value) : 25, listed = 0;
	const struct table *t = arn && *arn ? world_table_of(c->world, arn) : NULL;
	struct buf *out = c->reply->body;

	if (!after)
		return;
	if (limit < 1 || limit > 25) {
		call_invalid(c, "MaxResults must be between 1 and 25");
		return;
	}
	buf_text(out, "{\"ExportSummaries\":[");
	for (size_t i = *after ? strtoul(after, NULL, 10) : c->world->export_count; i > 0; i--) {
		const struct export *e = c->world->exports[i - 1];

		if ((*arn && e->table != t) || e->start_ms < world_now_ms(c->world) - LISTED_MS)
			continue;
		if (listed == limit) {
			buf_printf(out, "],\"NextToken\":\"%zu\"}", i);
			return;
		}
		buf_printf(out, "%s{\"ExportArn\":\"%s\",\"ExportStatus\":\"%s\"",
			   listed++ ? "," : "", e->arn, status_name(e->status));
		member(out, "ExportType", e->full ? "FULL_EXPORT" : "INCREMENTAL_EXPORT");
		buf_text(out, "}");
	}
	buf_text(out, "]}");
}
