#include "tests/emulator/api.h"

#include <stdio.h>
#include <string.h>

#include "tests/emulator/call.h"
#include "tests/emulator/iterator.h"
#include "tests/emulator/signature.h"

#define STREAMS  "DynamoDBStreams_20120810."
#define DYNAMODB "DynamoDB_20120810."

static const struct operation {
	const char *service, *name;
	call_fn *fn;
} operations[] = {
	{ STREAMS, "GetRecords", call_get_records },
	{ STREAMS, "GetShardIterator", call_get_shard_iterator },
	{ STREAMS, "DescribeStream", call_describe_stream },
	{ STREAMS, "ListStreams", call_list_streams },
	{ DYNAMODB, "DescribeTable", call_describe_table },
	{ DYNAMODB, "UpdateTable", call_update_table },
	{ DYNAMODB, "DeleteTable", call_delete_table },
	{ DYNAMODB, "ListTables", call_list_tables },
	{ DYNAMODB, "DescribeContinuousBackups", call_describe_continuous_backups },
	{ DYNAMODB, "UpdateContinuousBackups", call_update_continuous_backups },
	{ DYNAMODB, "ExportTableToPointInTime", call_export_table },
	{ DYNAMODB, "DescribeExport", call_describe_export },
	{ DYNAMODB, "ListExports", call_list_exports },
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))
_Static_assert(OPERATIONS <= OPERATIONS_MAX, "a counter for each operation");

const char *api_operation_name(size_t i)
{
	return i < OPERATIONS ? operations[i].name : NULL;
}

void call_invalid(struct call *c, const char *fmt, ...)
{
	char message[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	reply_error(c->reply, 400, "ValidationException", "%s", message);
}

const char *call_text(struct call *c, const char *name, size_t min, size_t max, bool optional)
{
	const json_t *value = json_object_get(c->request, name);
	size_t length = json_string_length(value);
	const char *text = json_string_value(value);

	if (!value && optional)
		return "";
	if (value && !text) {
		reply_error(c->reply, 400, "SerializationException",
			    "%s cannot be converted to String", name);
		return NULL;
	}
	if (text && length >= min && length <= max)
		return text;
	if (!text)
		call_invalid(c,
			     "1 validation error detected: Value null at '%s' failed to satisfy "
			     "constraint: Member must not be null",
			     name);
	else
		call_invalid(c,
			     "1 validation error detected: Value '%.80s' at '%s' failed to satisfy "
			     "constraint: Member must have length %s than or equal to %zu",
			     text, name, length < min ? "greater" : "less",
			     length < min ? min : max);
	return NULL;
}

size_t call_limit(struct call *c, size_t max, size_t missing)
{
	const json_t *value = json_object_get(c->request, "Limit");
	json_int_t limit = json_integer_value(value);

	if (!value)
		return missing;
	if (!json_is_integer(value)) {
		reply_error(c->reply, 400, "SerializationException",
			    "Limit cannot be converted to Integer");
		return 0;
	}
	if (limit >= 1 && limit <= (json_int_t)max)
		return (size_t)limit;
	if (limit < 1)
		call_invalid(
			c,
			"1 validation error detected: Value '%lld' at 'limit' failed to satisfy "
			"constraint: Member must have value greater than or equal to 1",
			(long long)limit);
	else
		call_invalid(c,
			     "One or more parameter values were invalid: Limit should be less than "
			     "or equal to %zu",
			     max);
	return 0;
}

void call_seconds(struct buf *out, int64_t ms)
{
	buf_printf(out, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
}

/* Of TableArn or ExportArn; NULL: none. */
static const char *table_of_arn(const struct call *c)
{
	const char *arn = json_string_value(json_object_get(c->request, "TableArn"));
	const struct table *t;

	if (!arn)
		arn = json_string_value(json_object_get(c->request, "ExportArn"));
	t = arn ? world_table_of(c->world, arn) : NULL;
	return t ? t->spec.name : NULL;
}

/* What a fault's rule can name: the table and the shard that the request is about. */
static void call_subject(struct call *c, const char **table, const char **shard)
{
	const char *text = json_string_value(json_object_get(c->request, "ShardIterator"));
	const char *arn = json_string_value(json_object_get(c->request, "StreamArn"));
	struct stream *stream = arn ? world_stream(c->world, arn) : NULL;
	struct iterator it;

	*table = json_string_value(json_object_get(c->request, "TableName"));
	if (!*table)
		*table = table_of_arn(c);
	*shard = json_string_value(json_object_get(c->request, "ShardId"));
	if (text && iterator_read(c->world, str_of(text), &stream, &it) && stream)
		*shard = stream->shards[it.shard]->id;
	if (stream)
		*table = stream->table->spec.name;
	*table = *table ? *table : "";
	*shard = *shard ? *shard : "";
}

static void api_count(struct operation_count *count, const struct reply *r)
{
	json_t *errors;

	count->calls++;
	count->bytes += r->body->size + (r->firehose ? firehose_page_size(r->firehose) : 0);
	if (!r->code[0])
		return;
	if (!count->errors)
		count->errors = json_object();
	errors = json_object_get(count->errors, r->code);
	json_object_set_new(count->errors, r->code, json_integer(json_integer_value(errors) + 1));
}

static void api_call(struct world *w, const struct operation *op, json_t *request, struct reply *r)
{
	struct call c = { w, request, r };
	const char *table, *shard;

	pthread_mutex_lock(&w->lock);
	world_turn(w);
	if (w->faults.count) {
		call_subject(&c, &table, &shard);
		fault_match(&w->faults, op->name, table, shard, &r->fault);
	}
	if (r->fault.kind == FAULT_ERROR)
		reply_error(r, r->fault.status, r->fault.code, "%s", r->fault.message);
	else if (r->fault.kind != FAULT_HANG && r->fault.kind != FAULT_CUT)
		op->fn(&c);
	api_count(&w->operations[op - operations], r);
	pthread_mutex_unlock(&w->lock);
}

void api_answer(struct world *w, const struct signature_key *key,
		const struct http_request *request, struct reply *r)
{
	struct str target = http_header(request, "x-amz-target");
	const struct operation *op = NULL;
	struct error err;
	const char *code;
	json_t *body;

	for (size_t i = 0; i < OPERATIONS && !op; i++) {
		size_t service = strlen(operations[i].service);

		if (target.n > service && memcmp(target.p, operations[i].service, service) == 0 &&
		    str_equal((struct str){ target.p + service, target.n - service },
			      str_of(operations[i].name)))
			op = &operations[i];
	}
	if (!op || !str_equal(request->method, STR("POST"))) {
		reply_error(r, 400, "UnknownOperationException",
			    "An unknown operation was requested.");
		return;
	}
	if (!signature_check(key, request, world_date_ms(w), &code, &err)) {
		reply_error(r, 400, code, "%s", err.message);
		return;
	}
	body = json_loadb(request->body.p, request->body.n, 0, NULL);
	if (!json_is_object(body))
		reply_error(r, 400, "SerializationException", "The request is no JSON object");
	else
		api_call(w, op, body, r);
	json_decref(body);
}

void api_sent(struct world *w, struct reply *reply)
{
	if (!reply->shard)
		return;
	pthread_mutex_lock(&w->lock);
	reply->shard->readers--;
	pthread_mutex_unlock(&w->lock);
	reply->shard = NULL;
}
