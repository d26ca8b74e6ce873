#include "aws/exports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/answer.h"
#include "aws/call.h"
#include "base/memory.h"

#define TARGET(name)     "DynamoDB_20120810." name
#define TIMEOUT_MS       15000
#define ANSWER_BYTES_MAX ((size_t)1 << 20)

#define OPERATION(variable, op_name)                                                               \
	static const struct aws_operation variable = { .name = (op_name),                          \
						       .service = AWS_DYNAMODB,                    \
						       .method = "POST",                           \
						       .target = TARGET(op_name),                  \
						       .permission = "dynamodb:" op_name,          \
						       .timeout_ms = TIMEOUT_MS,                   \
						       .answer_max = ANSWER_BYTES_MAX }
OPERATION(describe_backups, "DescribeContinuousBackups");
OPERATION(update_backups, "UpdateContinuousBackups");
OPERATION(start_export, "ExportTableToPointInTime");
OPERATION(describe_export, "DescribeExport");
OPERATION(list_exports, "ListExports");

struct exports_call {
	union {
		exports_recovery_fn *recovery;
		exports_export_fn *export;
	} fn;
	void *arg;
};
_Static_assert(sizeof(struct exports_call) <= AWS_CALL_STATE, "fits in a call");

static void member(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(b, "%s\"%s\":", b->size > 1 ? "," : "", name);
	buf_json_text(b, str_of(value));
}

/* Epoch seconds, as the service takes and gives times. */
static void member_time(struct buf *b, const char *name, int64_t ms)
{
	buf_printf(b, ",\"%s\":%lld", name, (long long)(ms / 1000));
	if (ms % 1000)
		buf_printf(b, ".%03d", (int)(ms % 1000));
}

static int64_t time_of(const json_t *o, const char *name)
{
	double seconds = json_number_value(json_object_get(o, name));

	/* Nothing AWS means is beyond these. */
	return seconds > 0 && seconds < 253402300800.0 ? (int64_t)(seconds * 1000 + 0.5) : 0;
}

static uint64_t count_of(const json_t *o, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(o, name));

	return n > 0 ? (uint64_t)n : 0;
}

static struct aws_call *call_new(struct aws_client *c, const struct aws_operation *op,
				 const char *kind, const char *name, void *arg)
{
	struct aws_call *call = aws_call_new(c, op);
	struct exports_call *state = aws_call_state(call);

	state->arg = arg;
	aws_call_subject(call, kind, str_of(name));
	buf_text(aws_call_body(call), "{");
	return call;
}

/* ---- point-in-time recovery ---- */

static bool recovery_read(const json_t *root, struct exports_recovery *r, struct error *err)
{
	const json_t *backups = json_object_get(root, "ContinuousBackupsDescription");
	const json_t *o = json_object_get(backups, "PointInTimeRecoveryDescription");
	char status[32];

	if (!json_is_object(backups) ||
	    !answer_text(o, "PointInTimeRecoveryStatus", status, sizeof(status)))
		return error_set(err, ERROR_INVALID, "an answer that is no description of backups");
	r->enabled = strcmp(status, "ENABLED") == 0;
	r->days = (int)json_integer_value(json_object_get(o, "RecoveryPeriodInDays"));
	r->earliest_ms = time_of(o, "EarliestRestorableDateTime");
	r->latest_ms = time_of(o, "LatestRestorableDateTime");
	if (r->enabled && (!r->earliest_ms || !r->latest_ms))
		return error_set(err, ERROR_RETRY,
				 "PITR is on but nothing can be restored yet; ask again");
	return true;
}

static void recovery_answered(struct aws_call *call, const struct error *failed,
			      struct http_response *r)
{
	const struct exports_call *state = aws_call_state(call);
	struct exports_recovery recovery = { 0 };
	struct error err = *failed;
	json_t *root = NULL;
	bool ok = err.kind == ERROR_NONE && (root = answer_json(buf_str(r->body), &err)) &&
		  recovery_read(root, &recovery, &err);

	if (failed->kind == ERROR_NONE && !ok)
		aws_call_wrap(call, &err);
	state->fn.recovery(state->arg, &err, ok ? &recovery : NULL);
	json_decref(root);
}

static struct aws_call *recovery_call(struct aws_client *c, const struct aws_operation *op,
				      const char *table, exports_recovery_fn *fn, void *arg)
{
	struct aws_call *call = call_new(c, op, "table", table, arg);

	((struct exports_call *)aws_call_state(call))->fn.recovery = fn;
	member(aws_call_body(call), "TableName", table);
	return call;
}

void exports_recovery_get(struct aws_client *c, const char *table, exports_recovery_fn *fn,
			  void *arg)
{
	struct aws_call *call = recovery_call(c, &describe_backups, table, fn, arg);

	buf_text(aws_call_body(call), "}");
	aws_call_send(call, recovery_answered);
}

void exports_recovery_enable(struct aws_client *c, const char *table, exports_recovery_fn *fn,
			     void *arg)
{
	struct aws_call *call = recovery_call(c, &update_backups, table, fn, arg);

	buf_text(aws_call_body(call), ",\"PointInTimeRecoverySpecification\":{"
				      "\"PointInTimeRecoveryEnabled\":true}}");
	aws_call_send(call, recovery_answered);
}

/* ---- one export ---- */

static bool status_read(const json_t *o, enum exports_status *out)
{
	static const char *const names[] = { "IN_PROGRESS", "COMPLETED", "FAILED" };
	const char *text = json_string_value(json_object_get(o, "ExportStatus"));

	for (enum exports_status s = EXPORTS_RUNNING; s <= EXPORTS_FAILED; s++) {
		if (text && strcmp(text, names[s]) == 0) {
			*out = s;
			return true;
		}
	}
	return false;
}

/* A text for people: what does not fit is cut. */
static void words(const json_t *o, const char *name, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(o, name));

	snprintf(out, size, "%s", text ? text : "");
}

static bool export_read(const json_t *root, struct exports_export *e, struct error *err)
{
	const json_t *o = json_object_get(root, "ExportDescription");

	if (!answer_text(o, "ExportArn", e->arn, sizeof(e->arn)) || !e->arn[0] ||
	    !answer_text(o, "ExportManifest", e->manifest, sizeof(e->manifest)) ||
	    !status_read(o, &e->status))
		return error_set(err, ERROR_INVALID, "an answer that is no export's description");
	if (e->status == EXPORTS_COMPLETED && !e->manifest[0])
		return error_set(err, ERROR_RETRY,
				 "the export has ended but its manifest is not told yet");
	words(o, "FailureCode", e->failure_code, sizeof(e->failure_code));
	words(o, "FailureMessage", e->failure_message, sizeof(e->failure_message));
	e->start_ms = time_of(o, "StartTime");
	e->end_ms = time_of(o, "EndTime");
	e->items = count_of(o, "ItemCount");
	e->billed_bytes = count_of(o, "BilledSizeBytes");
	return true;
}

static void export_answered(struct aws_call *call, const struct error *failed,
			    struct http_response *r)
{
	const struct exports_call *state = aws_call_state(call);
	struct exports_export export = { 0 };
	struct error err = *failed;
	json_t *root = NULL;
	bool ok = err.kind == ERROR_NONE && (root = answer_json(buf_str(r->body), &err)) &&
		  export_read(root, &export, &err);

	if (failed->kind == ERROR_NONE && !ok)
		aws_call_wrap(call, &err);
	/* An ARN that is unknown, in AWS's other words. */
	if (failed->kind == ERROR_INVALID && strstr(err.message, "Invalid Export ARN"))
		err.kind = ERROR_NOT_FOUND;
	state->fn.export(state->arg, &err, ok ? &export : NULL);
	json_decref(root);
}

void exports_start(struct aws_client *c, const struct exports_request *r, exports_export_fn *fn,
		   void *arg)
{
	struct aws_call *call = call_new(c, &start_export, "table", r->table_arn, arg);
	struct buf *b = aws_call_body(call);

	((struct exports_call *)aws_call_state(call))->fn.export = fn;
	member(b, "TableArn", r->table_arn);
	member(b, "S3Bucket", r->bucket);
	member(b, "S3BucketOwner", r->bucket_owner);
	member(b, "S3Prefix", r->prefix && *r->prefix ? r->prefix : NULL);
	member(b, "S3SseAlgorithm", r->encryption);
	member(b, "S3SseKmsKeyId", r->kms_key);
	member(b, "ClientToken", r->token);
	member(b, "ExportFormat", "DYNAMODB_JSON");
	if (r->view) {
		member(b, "ExportType", "INCREMENTAL_EXPORT");
		buf_text(b, ",\"IncrementalExportSpecification\":{\"ExportViewType\":");
		buf_json_text(b, str_of(r->view));
		member_time(b, "ExportFromTime", r->from_ms);
		member_time(b, "ExportToTime", r->to_ms);
		buf_text(b, "}");
	} else {
		member(b, "ExportType", "FULL_EXPORT");
		member_time(b, "ExportTime", r->time_ms);
	}
	buf_text(b, "}");
	aws_call_send(call, export_answered);
}

void exports_describe(struct aws_client *c, const char *export_arn, exports_export_fn *fn,
		      void *arg)
{
	struct aws_call *call = call_new(c, &describe_export, "export", export_arn, arg);

	((struct exports_call *)aws_call_state(call))->fn.export = fn;
	member(aws_call_body(call), "ExportArn", export_arn);
	buf_text(aws_call_body(call), "}");
	aws_call_send(call, export_answered);
}

/* ---- all exports: one page after the other; the walk lives until its last callback ---- */

struct walk {
	struct aws_client *client;
	char *table_arn;
	exports_each_fn *each;
	exports_done_fn *done;
	void *arg;
};

static void walk_ask(struct walk *w, const char *token);

static void walk_end(struct walk *w, const struct error *err)
{
	w->done(w->arg, err);
	free(w->table_arn);
	free(w);
}

static bool summaries_read(const json_t *root, const struct walk *w, struct error *err)
{
	const json_t *summaries = json_object_get(root, "ExportSummaries"), *o;
	size_t i;

	if (!json_is_array(summaries))
		return error_set(err, ERROR_INVALID, "an answer that is no list of exports");
	json_array_foreach(summaries, i, o)
	{
		const char *arn = json_string_value(json_object_get(o, "ExportArn"));
		const char *type = json_string_value(json_object_get(o, "ExportType"));
		enum exports_status status;

		if (!arn || !status_read(o, &status))
			return error_set(err, ERROR_INVALID,
					 "an answer with an export that has no status");
		w->each(w->arg, arn, status, !type || strcmp(type, "INCREMENTAL_EXPORT") != 0);
	}
	return true;
}

static void listed(struct aws_call *call, const struct error *failed, struct http_response *r)
{
	struct walk *w = ((struct exports_call *)aws_call_state(call))->arg;
	struct error err = *failed;
	json_t *root = NULL;
	const char *token = NULL;

	if (err.kind == ERROR_NONE &&
	    (!(root = answer_json(buf_str(r->body), &err)) || !summaries_read(root, w, &err)))
		aws_call_wrap(call, &err);
	if (err.kind == ERROR_NONE)
		token = json_string_value(json_object_get(root, "NextToken"));
	if (token)
		walk_ask(w, token);
	else
		walk_end(w, &err);
	json_decref(root);
}

static void walk_ask(struct walk *w, const char *token)
{
	struct aws_call *call = call_new(w->client, &list_exports, "table", w->table_arn, w);

	member(aws_call_body(call), "TableArn", w->table_arn);
	member(aws_call_body(call), "NextToken", token);
	buf_text(aws_call_body(call), ",\"MaxResults\":25}");
	aws_call_send(call, listed);
}

void exports_list(struct aws_client *c, const char *table_arn, exports_each_fn *each,
		  exports_done_fn *done, void *arg)
{
	struct walk *w = memory_new(sizeof(*w));

	*w = (struct walk){ c, memory_text(table_arn), each, done, arg };
	walk_ask(w, NULL);
}
