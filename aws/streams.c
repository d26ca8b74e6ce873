#include "aws/streams.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/answer.h"
#include "aws/call.h"
#include "base/memory.h"

#define TARGET(name)     "DynamoDBStreams_20120810." name
#define TIMEOUT_MS       30000
#define SMALL_ANSWER_MAX ((size_t)256 << 10)
#define SHARDS_PAGE_MAX  100

static const struct aws_operation describe_stream = {
	.name = "DescribeStream",
	.service = AWS_STREAMS,
	.method = "POST",
	.target = TARGET("DescribeStream"),
	.permission = "dynamodb:DescribeStream",
	.timeout_ms = TIMEOUT_MS,
	.answer_max = SMALL_ANSWER_MAX,
};
static const struct aws_operation describe_stream_once = {
	.name = "DescribeStream",
	.service = AWS_STREAMS,
	.method = "POST",
	.target = TARGET("DescribeStream"),
	.permission = "dynamodb:DescribeStream",
	.timeout_ms = TIMEOUT_MS,
	.answer_max = SMALL_ANSWER_MAX,
	.once = true,
};
static const struct aws_operation get_shard_iterator = {
	.name = "GetShardIterator",
	.service = AWS_STREAMS,
	.method = "POST",
	.target = TARGET("GetShardIterator"),
	.permission = "dynamodb:GetShardIterator",
	.timeout_ms = TIMEOUT_MS,
	.answer_max = SMALL_ANSWER_MAX,
	.paced = true,
};
static const struct aws_operation get_records = {
	.name = "GetRecords",
	.service = AWS_STREAMS,
	.method = "POST",
	.target = TARGET("GetRecords"),
	.permission = "dynamodb:GetRecords",
	.timeout_ms = TIMEOUT_MS,
	.paced = true,
};

/* What waits for an answer, in the call's state. */
struct describe_call {
	streams_describe_fn *fn;
	void *arg;
};
struct iterator_call {
	streams_iterator_fn *fn;
	void *arg;
};
struct records_call {
	streams_records_fn *fn;
	void *arg;
};
_Static_assert(sizeof(struct records_call) <= AWS_CALL_STATE, "fits in a call");

/* ---- DescribeStream ---- */

static bool parse_shard(const json_t *json, struct streams_shard *out, struct error *err)
{
	const json_t *range = json_object_get(json, "SequenceNumberRange");
	const char *starting = json_string_value(json_object_get(range, "StartingSequenceNumber"));

	if (!answer_text(json, "ShardId", out->id, sizeof(out->id)) || !out->id[0] ||
	    !answer_text(json, "ParentShardId", out->parent, sizeof(out->parent)))
		return error_set(err, ERROR_INVALID, "an answer with a shard without a proper id");
	out->starting = SEQUENCE_NONE;
	if (starting && !sequence_parse(&out->starting, str_of(starting), err))
		return error_wrap(err, "shard %s", out->id);
	out->closed = json_is_string(json_object_get(range, "EndingSequenceNumber"));
	return true;
}

static bool parse_status(const json_t *stream, enum streams_status *out, struct error *err)
{
	static const char *const names[] = { "ENABLING", "ENABLED", "DISABLING", "DISABLED" };
	const char *name = json_string_value(json_object_get(stream, "StreamStatus"));

	for (int i = 0; name && i <= STREAM_DISABLED; i++)
		if (strcmp(name, names[i]) == 0) {
			*out = (enum streams_status)i;
			return true;
		}
	return error_set(err, ERROR_INVALID, "an answer with the stream status %s",
			 name ? name : "missing");
}

static bool parse_keys(const json_t *stream, struct streams_description *out)
{
	const json_t *schema = json_object_get(stream, "KeySchema"), *key;
	size_t i;

	json_array_foreach(schema, i, key)
	{
		const char *type = json_string_value(json_object_get(key, "KeyType"));
		bool range = type && strcmp(type, "RANGE") == 0;

		if (!answer_text(key, "AttributeName", range ? out->key_range : out->key_hash,
				 sizeof(out->key_hash)))
			return false;
	}
	return true;
}

static bool parse_description(const json_t *root, struct streams_description *out,
			      struct streams_shard *shards, struct error *err)
{
	const json_t *stream = json_object_get(root, "StreamDescription");
	const json_t *list = json_object_get(stream, "Shards"), *shard;
	size_t i;

	if (!parse_status(stream, &out->status, err))
		return false;
	if (!answer_text(stream, "StreamViewType", out->view_type, sizeof(out->view_type)) ||
	    !answer_text(stream, "TableName", out->table, sizeof(out->table)) ||
	    !answer_text(stream, "LastEvaluatedShardId", out->last_shard,
			 sizeof(out->last_shard)) ||
	    !parse_keys(stream, out) || json_array_size(list) > SHARDS_PAGE_MAX)
		return error_set(err, ERROR_INVALID, "an answer that is no stream's description");
	json_array_foreach(list, i, shard) if (!parse_shard(shard, &shards[i], err)) return false;
	out->shards = shards;
	out->shard_count = json_array_size(list);
	return true;
}

static void described(struct aws_call *call, const struct error *failed, struct http_response *r)
{
	const struct describe_call *state = aws_call_state(call);
	struct streams_description description = { 0 }, *answer = NULL;
	struct error err = *failed;
	struct streams_shard *shards = NULL;
	json_t *root = NULL;

	if (err.kind == ERROR_NONE && (root = answer_json(buf_str(r->body), &err))) {
		shards = memory_array(SHARDS_PAGE_MAX, sizeof(shards[0]));
		if (parse_description(root, &description, shards, &err))
			answer = &description;
	}
	if (failed->kind == ERROR_NONE && !answer)
		aws_call_wrap(call, &err);
	state->fn(state->arg, &err, answer);
	json_decref(root);
	free(shards);
}

static void describe(struct aws_client *c, const struct aws_operation *how, const char *arn,
		     const char *after, const char *children_of, streams_describe_fn *fn, void *arg)
{
	struct aws_call *call = aws_call_new(c, how);
	struct buf *body = aws_call_body(call);

	*(struct describe_call *)aws_call_state(call) = (struct describe_call){ fn, arg };
	aws_call_subject(call, "stream", str_of(arn));
	buf_text(body, "{\"StreamArn\":");
	buf_json_text(body, str_of(arn));
	if (after && *after) {
		buf_text(body, ",\"ExclusiveStartShardId\":");
		buf_json_text(body, str_of(after));
	}
	if (children_of) {
		buf_text(body, ",\"ShardFilter\":{\"Type\":\"CHILD_SHARDS\",\"ShardId\":");
		buf_json_text(body, str_of(children_of));
		buf_text(body, "}");
	}
	buf_text(body, "}");
	aws_call_send(call, described);
}

void streams_describe(struct aws_client *c, const char *arn, const char *after,
		      const char *children_of, streams_describe_fn *fn, void *arg)
{
	describe(c, &describe_stream, arn, after, children_of, fn, arg);
}

void streams_describe_once(struct aws_client *c, const char *arn, const char *after,
			   const char *children_of, streams_describe_fn *fn, void *arg)
{
	describe(c, &describe_stream_once, arn, after, children_of, fn, arg);
}

/* ---- GetShardIterator ---- */

static void iterator_got(struct aws_call *call, const struct error *failed, struct http_response *r)
{
	const struct iterator_call *state = aws_call_state(call);
	struct error err = *failed;
	json_t *root = NULL;
	const char *iterator = NULL;

	if (err.kind == ERROR_NONE && (root = answer_json(buf_str(r->body), &err))) {
		iterator = json_string_value(json_object_get(root, "ShardIterator"));
		if (!iterator || !*iterator || strlen(iterator) > STREAMS_ITERATOR_MAX) {
			error_set(&err, ERROR_INVALID, "an answer without an iterator");
			iterator = NULL;
		}
	}
	if (failed->kind == ERROR_NONE && !iterator)
		aws_call_wrap(call, &err);
	state->fn(state->arg, &err, iterator);
	json_decref(root);
}

/* No number may be shorter than 21 digits. AWS's are not; DynamoDB Local gives zeros in front,
 * which we do not keep, and wants them back. */
static void put_sequence(struct buf *body, const struct sequence *s)
{
	static const char zeros[] = "000000000000000000000";
	size_t present = s->length < sizeof(zeros) - 1 ? s->length : sizeof(zeros) - 1;
	char digits[SEQUENCE_TEXT_SIZE];

	buf_printf(body, ",\"SequenceNumber\":\"%s%s\"", zeros + present, sequence_text(s, digits));
}

void streams_iterator(struct aws_client *c, const char *arn, const char *shard,
		      enum streams_iterator_type type, const struct sequence *sequence,
		      int64_t time_ms, streams_iterator_fn *fn, void *arg)
{
	static const char *const types[] = {
		[ITERATOR_TRIM_HORIZON] = "TRIM_HORIZON",
		[ITERATOR_LATEST] = "LATEST",
		[ITERATOR_AT_SEQUENCE] = "AT_SEQUENCE_NUMBER",
		[ITERATOR_AFTER_SEQUENCE] = "AFTER_SEQUENCE_NUMBER",
		[ITERATOR_AT_TIMESTAMP] = "AT_TIMESTAMP",
	};
	struct aws_call *call = aws_call_new(c, &get_shard_iterator);
	struct buf *body = aws_call_body(call);

	*(struct iterator_call *)aws_call_state(call) = (struct iterator_call){ fn, arg };
	aws_call_subject(call, "shard", str_of(shard));
	buf_text(body, "{\"StreamArn\":");
	buf_json_text(body, str_of(arn));
	buf_text(body, ",\"ShardId\":");
	buf_json_text(body, str_of(shard));
	buf_printf(body, ",\"ShardIteratorType\":\"%s\"", types[type]);
	if (type == ITERATOR_AT_SEQUENCE || type == ITERATOR_AFTER_SEQUENCE)
		put_sequence(body, sequence);
	if (type == ITERATOR_AT_TIMESTAMP) {
		assert(time_ms >= 0);
		buf_printf(body, ",\"Timestamp\":%lld.%03lld", (long long)time_ms / 1000,
			   (long long)time_ms % 1000);
	}
	buf_text(body, "}");
	aws_call_send(call, iterator_got);
}

/* ---- GetRecords: the hot path ---- */

static void records_got(struct aws_call *call, const struct error *err, struct http_response *r)
{
	const struct records_call *state = aws_call_state(call);
	struct streams_records records = {
		.body = r->body,
		.too_large = r->too_large,
		.answered_ms = aws_call_now_ms(call),
	};

	state->fn(state->arg, err, &records);
}

void streams_records(struct aws_client *c, const char *iterator, int limit, size_t body_max,
		     streams_records_fn *fn, void *arg)
{
	struct aws_call *call = aws_call_new(c, &get_records);
	struct buf *body = aws_call_body(call);

	*(struct records_call *)aws_call_state(call) = (struct records_call){ fn, arg };
	/* AWS's iterators begin with the stream's ARN. */
	aws_call_subject(call, "stream", (struct str){ iterator, strcspn(iterator, "|") });
	aws_call_answer_max(call, body_max);
	buf_text(body, "{\"ShardIterator\":");
	buf_json_text(body, str_of(iterator));
	buf_printf(body, ",\"Limit\":%d}", limit);
	aws_call_send(call, records_got);
}
