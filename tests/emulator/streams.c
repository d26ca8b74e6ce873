#include <string.h>

#include "tests/emulator/call.h"
#include "tests/emulator/firehose.h"
#include "tests/emulator/iterator.h"

#define PAGE_BYTES_MAX ((size_t)1 << 20) /* as DynamoDB accounts them */
#define RECORDS_MAX    1000

struct stream *call_stream(struct call *c)
{
	const char *arn = call_text(c, "StreamArn", 37, 1024, false);
	struct stream *s;

	if (!arn)
		return NULL;
	if (strncmp(arn, "arn:", 4) != 0 || !strstr(arn, "/stream/")) {
		call_invalid(c, "Invalid StreamArn: %s", arn);
		return NULL;
	}
	s = world_stream(c->world, arn);
	if (s && s->disabled && world_now_ms(c->world) > s->disabled_ms + RETENTION_MS)
		s = NULL;
	if (!s)
		reply_error(c->reply, 400, "ResourceNotFoundException",
			    "Requested resource not found: Stream: %s not found", arn);
	return s;
}

void call_list_streams(struct call *c)
{
	const char *name = call_text(c, "TableName", 1, 1024, true);
	const char *after = name ? call_text(c, "ExclusiveStartStreamArn", 37, 1024, true) : NULL;
	size_t limit = after ? call_limit(c, 100, 100) : 0, listed = 0;
	struct buf *out = c->reply->body;
	const struct stream *last = NULL;
	bool skip, more = false;

	if (!limit)
		return;
	skip = *after;
	buf_text(out, "{\"Streams\":[");
	for (size_t i = 0; i < c->world->table_count; i++) {
		const struct table *t = c->world->tables[i];

		for (size_t k = t->stream_count; k-- > 0;) {
			const struct stream *s = t->streams[k];

			if (*name && world_table(c->world, name) != t)
				continue;
			if (skip) {
				skip = strcmp(s->arn, after) != 0;
				continue;
			}
			more = listed == limit;
			if (more)
				break;
			buf_printf(out,
				   "%s{\"StreamArn\":\"%s\",\"TableName\":\"%s\",\"StreamLabel\":"
				   "\"%s\"}",
				   listed++ ? "," : "", s->arn, t->spec.name, s->label);
			last = s;
		}
		if (more)
			break;
	}
	buf_text(out, "]");
	if (more)
		buf_printf(out, ",\"LastEvaluatedStreamArn\":\"%s\"", last->arn);
	buf_text(out, "}");
}

/* AT_ and AFTER_SEQUENCE_NUMBER. */
static bool position_by_sequence(struct call *c, const struct shard *s, bool after, uint64_t count,
				 uint64_t *position)
{
	const char *text = call_text(c, "SequenceNumber", 21, 40, true);
	sequence_number n;

	if (!text)
		return false;
	if (!*text || !sequence_number_parse(str_of(text), &n)) {
		call_invalid(c,
			     "One or more parameter values were invalid: Invalid SequenceNumber");
		return false;
	}
	if (n < s->first) {
		call_invalid(c, "Invalid SequenceNumber for the shard");
		return false;
	}
	if (s->trimmed && n < shard_sequence(s, s->trimmed)) {
		reply_error(c->reply, 400, "TrimmedDataAccessException",
			    "The operation attempted to read past the oldest stream record in a "
			    "shard.");
		return false;
	}
	*position = shard_find(s, after ? n + 1 : n, count);
	return true;
}

static bool position_by_time(struct call *c, const struct shard *s, uint64_t count,
			     uint64_t *position)
{
	const json_t *value = json_object_get(c->request, "Timestamp");
	double seconds = json_number_value(value);

	if (!json_is_number(value)) {
		call_invalid(c, "One or more parameter values were invalid: Timestamp is missing");
		return false;
	}
	if (seconds * 1000 > (double)world_now_ms(c->world)) {
		call_invalid(
			c, "One or more parameter values were invalid: Timestamp is in the future");
		return false;
	}
	*position = shard_find_time(s, (int64_t)(seconds * 1000), count);
	return true;
}

static bool call_position(struct call *c, const struct shard *s, const char *type,
			  uint64_t *position)
{
	uint64_t count = shard_count(s, world_now_ms(c->world));
	bool after = strcmp(type, "AFTER_SEQUENCE_NUMBER") == 0;

	if (after || strcmp(type, "AT_SEQUENCE_NUMBER") == 0)
		return position_by_sequence(c, s, after, count, position);
	if (json_object_get(c->request, "SequenceNumber")) {
		call_invalid(c,
			     "One or more parameter values were invalid: SequenceNumber should not "
			     "be passed for this iterator type");
		return false;
	}
	if (strcmp(type, "AT_TIMESTAMP") == 0)
		return position_by_time(c, s, count, position);
	if (strcmp(type, "TRIM_HORIZON") == 0)
		*position = s->trimmed;
	else if (strcmp(type, "LATEST") == 0)
		*position = count;
	else
		call_invalid(c, "Invalid ShardIteratorType.");
	return c->reply->status == 200;
}

void call_get_shard_iterator(struct call *c)
{
	struct stream *s = call_stream(c);
	const char *id = s ? call_text(c, "ShardId", 28, 65, false) : NULL;
	const char *type = id ? call_text(c, "ShardIteratorType", 0, 64, true) : NULL;
	struct shard *shard = type ? stream_shard(s, id) : NULL;
	struct buf *out = c->reply->body;
	struct iterator it = { .created_ms = world_now_ms(c->world) };

	if (!type)
		return;
	if (!shard) {
		reply_error(c->reply, 400, "ResourceNotFoundException",
			    "Requested resource not found: Shard %s in Stream %s not found", id,
			    s->arn);
		return;
	}
	it.shard = shard->number;
	if (!call_position(c, shard, type, &it.position))
		return;
	buf_text(out, "{\"ShardIterator\":\"");
	iterator_write(out, s, &it, (uint32_t)rng_next(&c->reply->tools->rng));
	buf_text(out, "\"}");
}

/* Records from `at` on; gives how many. */
static uint64_t add_records(struct call *c, const struct stream *s, const struct shard *shard,
			    uint64_t at, uint64_t count, size_t limit)
{
	struct buf *out = c->reply->body;
	size_t bytes = 0;
	uint64_t n = 0;

	for (; n < limit && at + n < count && bytes < PAGE_BYTES_MAX; n++) {
		size_t before = out->size, size;

		if (n)
			buf_text(out, ",");
		size = shard_record(out, shard, &s->generator, at + n, WORLD_REGION);
		if (n && bytes + size > PAGE_BYTES_MAX) {
			out->size = before;
			break;
		}
		bytes += size;
	}
	return n;
}

/* A whole page goes out as it is, from its beginning; part of one is copied. */
static uint64_t add_firehose(struct call *c, const struct shard *shard, uint64_t at, uint64_t count,
			     size_t limit)
{
	struct firehose *f = shard->stream->firehose;
	uint64_t per_page = firehose_page_records(f), start = at % per_page;
	uint64_t n = per_page - start < limit ? per_page - start : limit;
	struct firehose_page *page;
	bool fits;

	if (at >= count)
		return 0;
	if (n == per_page) {
		buf_clear(c->reply->body);
		c->reply->firehose = f;
		c->reply->page_number = at / per_page;
		return n;
	}
	page = firehose_take(f, at / per_page);
	fits = buf_add(c->reply->body, page->bytes + firehose_offset(f, start),
		       firehose_offset(f, start + n) - firehose_offset(f, start) - 1);
	firehose_give(page);
	return fits ? n : 0;
}

static bool read_allowed(struct call *c, const struct stream *s, struct shard *shard,
			 const struct iterator *it)
{
	uint64_t readers = s->table->spec.readers;

	if (shard->gone)
		reply_error(c->reply, 400, "ResourceNotFoundException",
			    "Requested resource not found: Shard %s not found", shard->id);
	else if (world_now_ms(c->world) - it->created_ms > ITERATOR_VALID_MS)
		reply_error(c->reply, 400, "ExpiredIteratorException",
			    "Iterator expired. The iterator was created at time %lld.",
			    (long long)it->created_ms / 1000);
	else if (it->position < shard->trimmed)
		reply_error(c->reply, 400, "TrimmedDataAccessException",
			    "The operation attempted to read past the oldest stream record in a "
			    "shard.");
	else if (readers && shard->readers > readers)
		reply_error(c->reply, 400, "LimitExceededException",
			    "More than %llu readers of shard %s at once",
			    (unsigned long long)readers, shard->id);
	else if (!allowance_take(&shard->allowance, s->table->spec.shard_calls,
				 clock_boot_ms(&c->world->clock)))
		reply_error(c->reply, 400, "ProvisionedThroughputExceededException",
			    "Rate exceeded for shard %s", shard->id);
	return c->reply->status == 200;
}

static void read_records(struct call *c, struct stream *s, struct shard *shard, struct iterator *it,
			 size_t limit)
{
	uint64_t count = shard_count(shard, world_now_ms(c->world)), n = 0;
	uint64_t every = s->table->spec.empty_every;
	bool empty = c->reply->fault.kind == FAULT_EMPTY || (every && shard->calls % every == 0);
	struct buf *out = c->reply->body;

	buf_text(out, "{\"Records\":[");
	if (!empty)
		n = shard->firehose ? add_firehose(c, shard, it->position, count, limit)
				    : add_records(c, s, shard, it->position, count, limit);
	shard->records_served += n;
	it->position += n;
	it->created_ms = world_now_ms(c->world);
	if (shard->closed && it->position >= count) {
		shard->end_read_ms = clock_boot_ms(&c->world->clock);
		buf_text(out, "]}");
		return;
	}
	buf_text(out, "],\"NextShardIterator\":\"");
	iterator_write(out, s, it, (uint32_t)rng_next(&c->reply->tools->rng));
	buf_text(out, "\"}");
}

void call_get_records(struct call *c)
{
	const char *text = call_text(c, "ShardIterator", 1, 2048, false);
	size_t limit = text ? call_limit(c, RECORDS_MAX, RECORDS_MAX) : 0;
	struct iterator it;
	struct stream *s;
	struct shard *shard;

	if (!limit)
		return;
	if (!iterator_read(c->world, str_of(text), &s, &it)) {
		call_invalid(c, "Invalid ShardIterator");
		return;
	}
	if (!s || (s->disabled && world_now_ms(c->world) > s->disabled_ms + RETENTION_MS)) {
		reply_error(c->reply, 400, "ResourceNotFoundException",
			    "Requested resource not found: Stream not found");
		return;
	}
	shard = s->shards[it.shard];
	shard->calls++;
	if (shard->first_read_ms == 0)
		shard->first_read_ms = clock_boot_ms(&c->world->clock);
	shard->readers++;
	if (shard->readers > shard->readers_most)
		shard->readers_most = shard->readers;
	c->reply->shard = shard;
	if (read_allowed(c, s, shard, &it))
		read_records(c, s, shard, &it, limit);
}
