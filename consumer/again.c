#include "consumer/again.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "config/sections.h"
#include "consumer/compile.h"
#include "consumer/lane.h"
#include "consumer/letter.h"
#include "consumer/resolve.h"
#include "event/decode.h"
#include "sinks/template.h"

/* Of Lambda's form of an export's row. */
#define ROW_MEMBER "sluice"

struct again {
	const struct again_stream *stream;
	struct filter *filter, *own_filter;
	struct schemas *schemas;
	struct transform *transform;
	struct template *place;
	struct encoding encoding;
	struct decode_output output;
};

struct again *again_new(const struct again_stream *stream, struct error *err)
{
	const struct config_stream *c = stream->config;
	const struct config_stream_sink *use = &c->sinks[stream->use];
	const struct sink_ops *ops = sink_ops_find(stream->sink->type->type);
	struct again *a = memory_new(sizeof(*a));

	a->stream = stream;
	*err = (struct error){ 0 };
	if (ops->place) {
		a->place = ops->place(stream->sink->settings, &a->output.route_required, err);
		if (!a->place) {
			again_free(a);
			return NULL;
		}
		a->output.route = template_route(a->place);
	}
	a->filter = compile_filter(&c->filter);
	a->own_filter = compile_filter(&use->filter);
	a->schemas = compile_schemas(&c->schemas);
	a->transform = compile_transform(&c->transform, &use->transform);
	a->encoding = ops->encoding(stream->sink->settings);
	a->encoding.transform = a->transform;
	a->output.filter = a->own_filter;
	return a;
}

void again_free(struct again *a)
{
	if (!a)
		return;
	filter_free(a->filter);
	filter_free(a->own_filter);
	schemas_free(a->schemas);
	transform_free(a->transform);
	template_free(a->place);
	free(a);
}

/* --- a record --- */

/* The stream that it came from, which the table need not have any more. */
static char *arn_of(struct str record, const char *otherwise)
{
	json_t *root = json_loadb(record.p, record.n, JSON_ALLOW_NUL, NULL);
	const char *arn = json_string_value(json_object_get(root, "eventSourceARN"));
	char *out = memory_text(arn ? arn : otherwise);

	json_decref(root);
	return out;
}

static void describe(struct again_record *r, const struct again_stream *stream, uint64_t generation)
{
	struct str table = config_table_name(r->arn);

	r->table = memory_text_n(table.p, table.n);
	resolve_arn_parts(r->arn, r->region, r->account);
	r->source = (struct source){ .stream = stream->name,
				     .table = r->table,
				     .arn = r->arn,
				     .account = r->account,
				     .region = r->region,
				     .key_hash = stream->key_hash,
				     .key_range = stream->key_range,
				     .version = SLUICE_VERSION,
				     .generation = generation };
}

static void bad(struct again_record *r, const char *reason, const char *error)
{
	r->fate = AGAIN_BAD;
	r->reason = reason;
	error_set(&r->error, ERROR_INVALID, "%s", error);
}

static void decide(struct again_record *r, const struct again *a)
{
	struct batch *b = r->batch;

	if (b->count != 1) {
		bad(r, "undecodable", "it is not one record of a stream");
	} else if (b->events[0].bad) {
		bad(r, "undecodable", b->events[0].bad);
	} else if (b->fault_count > 0) {
		bad(r, lane_why(b->faults[0].why), b->faults[0].error);
	} else if (!b->payloads[0][0].p) {
		r->fate = AGAIN_NOTHING;
	} else {
		r->fate = AGAIN_EVENT;
		r->delivery = (struct delivery){ .batch = b,
						 .payloads = b->payloads[0],
						 .route = a->output.route ? &b->routes[0] : NULL,
						 .count = 1 };
	}
}

struct again_record *again_record_new(struct again *a, const struct store_retried *letter,
				      int64_t now_ms)
{
	const struct decode_options o = { .encodings = &a->encoding,
					  .encoding_count = 1,
					  .lenient = true,
					  .now_ms = now_ms,
					  .filter = a->filter,
					  .schemas = a->schemas,
					  .unfit = a->stream->config->schemaless != 0,
					  .outputs = &a->output,
					  .output_count = 1 };
	struct again_record *r = memory_new(sizeof(*r));
	struct str record = letter_record(letter->json);

	r->arn = arn_of(record, a->stream->arn);
	r->shard = memory_text(letter->shard);
	describe(r, a->stream, letter->generation);
	r->batch = batch_new();
	r->batch->source = &r->source;
	r->batch->shard = r->shard;
	buf_printf(&r->batch->body, "{\"Records\":[%.*s]}", STR_ARG(record));
	r->fate = AGAIN_BAD;
	r->reason = "undecodable";
	if (decode_page(r->batch, &o, &r->error))
		decide(r, a);
	return r;
}

void again_record_free(struct again_record *r)
{
	if (!r)
		return;
	batch_free(r->batch);
	free(r->arn);
	free(r->table);
	free(r->shard);
	free(r);
}

/* --- a letter --- */

static char *text_of(const json_t *head, const char *name)
{
	const char *text = json_string_value(json_object_get(head, name));

	return memory_text(text ? text : "");
}

/* It stands at the end, behind the stream's own members. */
static bool is_row(struct str record)
{
	json_t *root = json_loadb(record.p, record.n, JSON_ALLOW_NUL, NULL);
	bool row = json_is_object(json_object_get(root, ROW_MEMBER));

	json_decref(root);
	return row;
}

static void read_head(struct again_letter *out, const json_t *root)
{
	json_int_t generation = json_integer_value(json_object_get(root, "generation"));

	out->stream = text_of(root, "stream");
	out->sink = text_of(root, "sink");
	out->reason = text_of(root, "reason");
	out->error = text_of(root, "error");
	out->shard = text_of(root, "shard");
	out->sequence = text_of(root, "sequence");
	out->time = text_of(root, "time");
	out->attempts = (unsigned)json_integer_value(json_object_get(root, "attempts"));
	out->generation = generation > 0 ? (uint64_t)generation : 0;
}

bool again_letter_read(struct str json, struct again_letter *out, struct error *err)
{
	struct str record = letter_record(json);
	struct buf head;
	json_t *root;

	buf_init(&head, 0);
	if (record.n > 0) /* without the record, and with the name that it has */
		buf_printf(&head, "%.*snull}", (int)(record.p - json.p), json.p);
	root = json_loadb(head.data ? head.data : "", head.size, JSON_ALLOW_NUL, NULL);
	buf_release(&head);
	if (!root)
		return error_set(err, ERROR_INVALID, "it is no letter of this program");
	read_head(out, root);
	out->row = is_row(record);
	json_decref(root);
	return true;
}

void again_letter_release(struct again_letter *l)
{
	free(l->stream);
	free(l->sink);
	free(l->reason);
	free(l->error);
	free(l->shard);
	free(l->sequence);
	free(l->time);
}

static void write_letter(const struct letter_head *head, struct str json, struct buf *out)
{
	letter_begin(head, out);
	buf_printf(out, "%.*s}", STR_ARG(letter_record(json)));
}

static struct letter_head head_of(const struct again_letter *l)
{
	return (struct letter_head){ .reason = l->reason,
				     .error = l->error,
				     .stream = l->stream,
				     .shard = l->shard,
				     .sequence = l->sequence,
				     .time = l->time,
				     .sink = l->sink,
				     .attempts = l->attempts,
				     .generation = l->generation };
}

/* It begins as this program writes one, and ends behind its record. */
static bool is_written_so(struct str line, struct str begins)
{
	json_t *record;

	if (line.n <= begins.n + 1 || memcmp(line.p, begins.p, begins.n) != 0)
		return false;
	record = json_loadb(line.p + begins.n, line.n - begins.n - 1,
			    JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
	json_decref(record);
	return record != NULL;
}

/* As it came, where it has the form of this program: else what is within is the same. */
static void same_letter(const struct again_letter *l, struct str line, const json_t *record,
			struct buf *out)
{
	struct letter_head head = head_of(l);

	letter_begin(&head, out);
	if (is_written_so(line, buf_str(out))) {
		buf_clear(out);
		buf_printf(out, "%.*s", STR_ARG(line));
	} else {
		char *text = json_dumps(record, JSON_COMPACT | JSON_ENCODE_ANY);

		buf_printf(out, "%s}", text);
		free(text);
	}
}

static bool is_letter(const struct again_letter *l, const json_t *record, struct error *err)
{
	struct sequence ignored;

	if (!*l->stream || !*l->shard || !*l->reason || strlen(l->stream) > STORE_NAME_MAX ||
	    strlen(l->sink) > STORE_NAME_MAX || strlen(l->reason) > STORE_NAME_MAX ||
	    strlen(l->shard) >= STORE_SHARD_SIZE ||
	    (!json_is_object(record) && !json_is_string(record)))
		return error_set(err, ERROR_INVALID,
				 "it is no dead letter: one has stream, shard, reason, and record, "
				 "an object or a text");
	if (json_is_object(json_object_get(record, ROW_MEMBER)))
		return error_set(err, ERROR_INVALID,
				 "it is of a row of an export: load the export again");
	return !*l->sequence || sequence_parse(&ignored, str_of(l->sequence), err) ||
	       error_wrap(err, "its sequence");
}

static bool too_large(struct error *err)
{
	return error_set(err, ERROR_INVALID, "it has more than %d bytes: no letter has",
			 AGAIN_LETTER_BYTES_MAX);
}

bool again_letter_line(struct str line, struct again_letter *out, struct buf *json,
		       struct error *err)
{
	json_error_t why;
	const json_t *record;
	json_t *root;

	*out = (struct again_letter){ 0 };
	if (line.n > AGAIN_LETTER_BYTES_MAX)
		return too_large(err);
	root = json_loadb(line.p, line.n, JSON_ALLOW_NUL, &why);
	record = json_object_get(root, "record");
	if (!json_is_object(root)) {
		json_decref(root);
		return error_set(err, ERROR_INVALID, "it is no JSON object%s%s", root ? "" : ": ",
				 root ? "" : why.text);
	}
	read_head(out, root);
	if (!is_letter(out, record, err)) {
		json_decref(root);
		again_letter_release(out);
		return false;
	}
	same_letter(out, line, record, json);
	if (json->size > AGAIN_LETTER_BYTES_MAX) {
		json_decref(root);
		again_letter_release(out);
		return too_large(err);
	}
	if (!*out->sequence) {
		free(out->sequence);
		out->sequence = letter_identity_of(letter_record(buf_str(json)));
	}
	json_decref(root);
	return true;
}

void again_letter_for(const struct again_letter *l, struct str json, const char *sink,
		      struct buf *out)
{
	struct letter_head head = head_of(l);

	head.sink = sink;
	write_letter(&head, json, out);
}

void again_letter_failed(const struct again_letter *l, struct str json, const char *reason,
			 const char *error, int64_t now_ms, struct buf *out)
{
	char time[CLOCK_TEXT_SIZE];
	struct letter_head head = head_of(l);

	head.reason = reason;
	head.error = error;
	head.time = clock_text(now_ms, time);
	head.attempts++;
	write_letter(&head, json, out);
}
