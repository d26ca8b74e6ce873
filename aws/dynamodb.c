#include "aws/dynamodb.h"

#include <stdlib.h>
#include <string.h>

#include "aws/answer.h"
#include "aws/call.h"
#include "base/memory.h"

#define TARGET(name)     "DynamoDB_20120810." name
#define TIMEOUT_MS       15000
#define ANSWER_BYTES_MAX ((size_t)1 << 20)

static const struct aws_operation describe_table = {
	.name = "DescribeTable",
	.service = AWS_DYNAMODB,
	.method = "POST",
	.target = TARGET("DescribeTable"),
	.permission = "dynamodb:DescribeTable",
	.timeout_ms = TIMEOUT_MS,
	.answer_max = ANSWER_BYTES_MAX,
};
static const struct aws_operation update_table = {
	.name = "UpdateTable",
	.service = AWS_DYNAMODB,
	.method = "POST",
	.target = TARGET("UpdateTable"),
	.permission = "dynamodb:UpdateTable",
	.timeout_ms = TIMEOUT_MS,
	.answer_max = ANSWER_BYTES_MAX,
};
static const struct aws_operation list_tables = {
	.name = "ListTables",
	.service = AWS_DYNAMODB,
	.method = "POST",
	.target = TARGET("ListTables"),
	.permission = "dynamodb:ListTables",
	.timeout_ms = TIMEOUT_MS,
	.answer_max = ANSWER_BYTES_MAX,
};

struct table_call {
	dynamodb_table_fn *fn;
	void *arg;
};
_Static_assert(sizeof(struct table_call) <= AWS_CALL_STATE, "fits in a call");

static bool parse_table(const json_t *table, struct dynamodb_table *out, struct error *err)
{
	const json_t *stream = json_object_get(table, "StreamSpecification"), *key;
	const json_t *schema = json_object_get(table, "KeySchema");
	size_t i;
	bool ok = answer_text(table, "TableName", out->name, sizeof(out->name)) &&
		  answer_text(table, "TableArn", out->arn, sizeof(out->arn)) &&
		  answer_text(table, "TableStatus", out->status, sizeof(out->status)) &&
		  answer_text(table, "LatestStreamArn", out->stream_arn, sizeof(out->stream_arn)) &&
		  answer_text(stream, "StreamViewType", out->view_type, sizeof(out->view_type));

	json_array_foreach(schema, i, key)
	{
		const char *type = json_string_value(json_object_get(key, "KeyType"));
		bool range = type && strcmp(type, "RANGE") == 0;

		ok &= answer_text(key, "AttributeName", range ? out->key_range : out->key_hash,
				  sizeof(out->key_hash));
	}
	out->stream_enabled = json_is_true(json_object_get(stream, "StreamEnabled"));
	out->items = json_integer_value(json_object_get(table, "ItemCount"));
	out->bytes = json_integer_value(json_object_get(table, "TableSizeBytes"));
	if (!ok || !out->name[0])
		return error_set(err, ERROR_INVALID, "an answer that is no table's description");
	return true;
}

/* `member` is where the answer has the table. */
static void table_answer(struct aws_call *call, const char *member, const struct error *failed,
			 const struct http_response *r)
{
	const struct table_call *state = aws_call_state(call);
	struct dynamodb_table table = { 0 };
	struct error err = *failed;
	json_t *root = NULL;
	bool ok = err.kind == ERROR_NONE && (root = answer_json(buf_str(r->body), &err)) &&
		  parse_table(json_object_get(root, member), &table, &err);

	if (failed->kind == ERROR_NONE && !ok)
		aws_call_wrap(call, &err);
	state->fn(state->arg, &err, ok ? &table : NULL);
	json_decref(root);
}

static void described(struct aws_call *call, const struct error *err, struct http_response *r)
{
	table_answer(call, "Table", err, r);
}

static struct aws_call *table_call(struct aws_client *c, const struct aws_operation *op,
				   const char *table, dynamodb_table_fn *fn, void *arg)
{
	struct aws_call *call = aws_call_new(c, op);
	struct table_call *state = aws_call_state(call);

	*state = (struct table_call){ .fn = fn, .arg = arg };
	aws_call_subject(call, "table", str_of(table));
	buf_text(aws_call_body(call), "{\"TableName\":");
	buf_json_text(aws_call_body(call), str_of(table));
	return call;
}

void dynamodb_describe_table(struct aws_client *c, const char *table, dynamodb_table_fn *fn,
			     void *arg)
{
	struct aws_call *call = table_call(c, &describe_table, table, fn, arg);

	buf_text(aws_call_body(call), "}");
	aws_call_send(call, described);
}

struct names_call {
	dynamodb_names_fn *fn;
	void *arg;
};
_Static_assert(sizeof(struct names_call) <= AWS_CALL_STATE, "fits in a call");

static bool parse_names(const json_t *root, struct dynamodb_names *out, struct error *err)
{
	const json_t *names = json_object_get(root, "TableNames"), *name;
	bool ok = json_is_array(names) && json_array_size(names) <= DYNAMODB_NAMES_MAX &&
		  answer_text(root, "LastEvaluatedTableName", out->last, sizeof(out->last));
	size_t i;

	json_array_foreach(names, i, name)
	{
		const char *text = json_string_value(name);

		if (!ok || !text || strlen(text) >= sizeof(out->names[i]))
			return error_set(err, ERROR_INVALID, "an answer that lists no tables");
		memcpy(out->names[i], text, strlen(text) + 1);
		out->count++;
	}
	return ok || error_set(err, ERROR_INVALID, "an answer that lists no tables");
}

static void listed(struct aws_call *call, const struct error *failed, struct http_response *r)
{
	const struct names_call *state = aws_call_state(call);
	struct dynamodb_names *names = memory_new(sizeof(*names));
	struct error err = *failed;
	json_t *root = NULL;
	bool ok = err.kind == ERROR_NONE && (root = answer_json(buf_str(r->body), &err)) &&
		  parse_names(root, names, &err);

	if (failed->kind == ERROR_NONE && !ok)
		aws_call_wrap(call, &err);
	state->fn(state->arg, &err, ok ? names : NULL);
	json_decref(root);
	free(names);
}

void dynamodb_list_tables(struct aws_client *c, const char *after, dynamodb_names_fn *fn, void *arg)
{
	struct aws_call *call = aws_call_new(c, &list_tables);

	*(struct names_call *)aws_call_state(call) = (struct names_call){ .fn = fn, .arg = arg };
	buf_printf(aws_call_body(call), "{\"Limit\":%d", DYNAMODB_NAMES_MAX);
	if (*after) {
		buf_text(aws_call_body(call), ",\"ExclusiveStartTableName\":");
		buf_json_text(aws_call_body(call), str_of(after));
	}
	buf_text(aws_call_body(call), "}");
	aws_call_send(call, listed);
}

/* AWS refuses to enable what is enabled, as a bad request or as a table in use, and says the same
 * of real mistakes: only looking tells. */
struct enable_call {
	dynamodb_table_fn *fn;
	void *arg;
	struct error refusal;
};

static void looked(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct enable_call *e = arg;

	if (err->kind == ERROR_NONE && !t->stream_enabled)
		e->fn(e->arg, &e->refusal, NULL);
	else
		e->fn(e->arg, err, t);
	free(e);
}

static void updated(struct aws_call *call, const struct error *err, struct http_response *r)
{
	const struct table_call *state = aws_call_state(call);
	struct enable_call *e;

	if (strcmp(aws_call_code(call), "ValidationException") != 0 &&
	    strcmp(aws_call_code(call), "ResourceInUseException") != 0) {
		table_answer(call, "TableDescription", err, r);
		return;
	}
	e = memory_new(sizeof(*e));
	*e = (struct enable_call){ .fn = state->fn, .arg = state->arg, .refusal = *err };
	dynamodb_describe_table(aws_call_client(call), aws_call_subject_name(call), looked, e);
}

void dynamodb_enable_stream(struct aws_client *c, const char *table, const char *view_type,
			    dynamodb_table_fn *fn, void *arg)
{
	struct aws_call *call = table_call(c, &update_table, table, fn, arg);
	struct buf *body = aws_call_body(call);

	buf_text(body, ",\"StreamSpecification\":{\"StreamEnabled\":true,\"StreamViewType\":");
	buf_json_text(body, str_of(view_type));
	buf_text(body, "}}");
	aws_call_send(call, updated);
}
