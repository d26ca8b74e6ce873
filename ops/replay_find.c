#include "ops/replay_find.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "aws/streams.h"
#include "base/memory.h"
#include "ops/service.h"

#define PAGE_RECORDS 1000
#define PAGE_MAX     ((size_t)64 << 20)
/* At the tip of an open shard all pages are empty. So are many on the way, where little is written:
 * only who asks for a record that is not there waits for so many. */
#define EMPTY_MAX 1000

struct find {
	struct aws_client *client;
	const char *arn, *shard;
	const struct sequence *record;
	struct sequence starting; /* the shard's */
	char after[STREAMS_SHARD_MAX + 1];
	bool listed;
	char *iterator;
	struct store_place *before;
	int64_t record_ms;
	bool found, passed, ended;
	unsigned empty; /* pages in a row */
	/* Of a call. */
	bool done;
	struct error err;
};

/* --- the shard --- */

static void on_page(void *arg, const struct error *err, const struct streams_description *d)
{
	struct find *f = arg;

	f->done = true;
	f->err = *err;
	if (err->kind != ERROR_NONE)
		return;
	for (size_t i = 0; i < d->shard_count; i++) {
		if (strcmp(d->shards[i].id, f->shard) != 0)
			continue;
		f->listed = true;
		f->starting = d->shards[i].starting;
	}
	memcpy(f->after, d->last_shard, sizeof(f->after));
}

static bool find_shard(struct find *f, struct error *err)
{
	do {
		f->done = false;
		streams_describe(f->client, f->arn, f->after, NULL, on_page, f);
		aws_wait(f->client, &f->done);
		*err = f->err;
		if (err->kind != ERROR_NONE)
			return false;
	} while (!f->listed && *f->after);
	return f->listed ||
	       error_set(err, ERROR_NOT_FOUND,
			 "AWS does not list shard %s: its records have left the stream", f->shard);
}

/* --- its records --- */

static void on_iterator(void *arg, const struct error *err, const char *iterator)
{
	struct find *f = arg;

	f->done = true;
	f->err = *err;
	if (err->kind == ERROR_NONE)
		f->iterator = memory_text(iterator);
}

static void see_record(struct find *f, const json_t *record)
{
	const json_t *change = json_object_get(record, "dynamodb");
	const char *digits = json_string_value(json_object_get(change, "SequenceNumber"));
	struct sequence q;
	int64_t time_ms;
	int order;

	if (!digits || !sequence_parse(&q, str_of(digits), &f->err))
		return;
	order = sequence_compare(&q, f->record);
	time_ms = (int64_t)(json_number_value(
				    json_object_get(change, "ApproximateCreationDateTime")) *
			    1000);
	if (order == 0)
		f->record_ms = time_ms;
	f->found = f->found || order == 0;
	f->passed = f->passed || order >= 0;
	if (f->passed)
		return;
	f->before->sequence = q;
	f->before->event_ms = time_ms;
}

static void on_records(void *arg, const struct error *err, struct streams_records *r)
{
	struct find *f = arg;
	const char *next;
	json_t *page, *record;
	size_t i;

	f->done = true;
	f->err = *err;
	if (err->kind != ERROR_NONE)
		return;
	page = json_loadb(r->body->data, r->body->size, JSON_ALLOW_NUL, NULL);
	if (!page) {
		error_set(&f->err, ERROR_INVALID, "shard %s: an answer that is no JSON", f->shard);
		return;
	}
	json_array_foreach(json_object_get(page, "Records"), i, record) see_record(f, record);
	next = json_string_value(json_object_get(page, "NextShardIterator"));
	free(f->iterator);
	f->iterator = next ? memory_text(next) : NULL;
	f->empty = json_array_size(json_object_get(page, "Records")) == 0 ? f->empty + 1 : 0;
	f->ended = !next || f->empty == EMPTY_MAX;
	json_decref(page);
}

static bool ask_iterator(struct find *f, enum streams_iterator_type type, const struct sequence *at,
			 struct error *err)
{
	f->done = false;
	streams_iterator(f->client, f->arn, f->shard, type, at, 0, on_iterator, f);
	aws_wait(f->client, &f->done);
	*err = f->err;
	return err->kind == ERROR_NONE;
}

static bool read_page(struct find *f, struct error *err)
{
	f->done = false;
	streams_records(f->client, f->iterator, PAGE_RECORDS, PAGE_MAX, on_records, f);
	aws_wait(f->client, &f->done);
	*err = f->err;
	return err->kind == ERROR_NONE;
}

/* The record is the first that AWS has. */
static bool begins_with_it(struct find *f, struct error *err)
{
	free(f->iterator);
	f->iterator = NULL;
	if (ask_iterator(f, ITERATOR_AT_SEQUENCE, &f->starting, err))
		return true;
	return err->kind == ERROR_TRIMMED
		       ? error_set(err, ERROR_REFUSED,
				   "it is the oldest record that is left of shard %s: use --from "
				   "oldest",
				   f->shard)
		       : false;
}

static bool search(struct find *f, struct error *err)
{
	if (!ask_iterator(f, ITERATOR_TRIM_HORIZON, NULL, err))
		return false;
	while (!f->passed && !f->ended)
		if (!read_page(f, err))
			return false;
	if (!f->found)
		return error_set(err, ERROR_NOT_FOUND, "shard %s has no such record (any more)",
				 f->shard);
	return !sequence_is_none(&f->before->sequence) || begins_with_it(f, err);
}

bool replay_find(const struct config *c, const char *arn, const char *shard,
		 const struct sequence *record, struct store_place *before, int64_t *record_ms,
		 struct error *err)
{
	struct find f = { .arn = arn, .shard = shard, .record = record, .before = before };
	struct service_client aws;
	struct clock clock;
	bool ok;

	*before = (struct store_place){ .shard = shard };
	clock_init(&clock);
	ok = service_client_open(&aws, c, &clock, err);
	f.client = aws.client;
	ok = ok && find_shard(&f, err) && search(&f, err);
	*record_ms = f.record_ms;
	free(f.iterator);
	service_client_close(&aws);
	return ok;
}
