/* Tables and their streams: each call that reading needs is made once, also where an earlier one
 * was refused, as permissions differ between them. A check changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/dynamodb.h"
#include "aws/endpoint.h"
#include "base/loop.h"
#include "base/memory.h"
#include "config/sections.h"
#include "consumer/follow.h"
#include "consumer/resolve.h"
#include "ops/check.h"
#include "sinks/sink.h"

/* Of no stream and no shard: who may ask for them is told that they are not there. */
#define NO_STREAM  "/stream/1970-01-01T00:00:00.000"
#define NO_SHARD   "shardId-00000000000000000000-00000000"
#define NO_ACCOUNT "*"
#define PAGE_BYTES ((size_t)16 << 20)

static bool is_arn(const char *text)
{
	return strncmp(text, "arn:", 4) == 0;
}

static bool is_stream_arn(const char *text)
{
	return is_arn(text) && strstr(text, "/stream/") != NULL;
}

/* --- the table --- */

struct described {
	bool done;
	struct error err;
	char arn[1025];
};

static void on_table(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct described *d = arg;

	d->err = *err;
	d->done = true;
	if (t)
		snprintf(d->arn, sizeof(d->arn), "%s", t->arn);
}

/* A table that is named is the caller's account's, which AWS tells with its refusal: "User:
 * arn:aws:sts::123456789012:assumed-role/…". */
static void guess_arn(const struct check *k, const char *table, const char *said, char arn[1025])
{
	const char *partition = endpoint_partition(k->client.aws.region);
	char account[13] = NO_ACCOUNT;

	if (is_arn(table)) {
		snprintf(arn, 1025, "%s", table);
		return;
	}
	for (const char *at = said; (at = strstr(at, "arn:")) != NULL; at++)
		if (sscanf(at, "arn:%*[^:]:%*[^:]::%12[0-9]:", account) == 1)
			break;
	snprintf(arn, 1025, "arn:%s:dynamodb:%s:%s:table/%s", partition, k->client.aws.region,
		 account, table);
}

bool check_describe(struct check *k, struct aws_client *c, const char *table, char arn[1025],
		    struct error *err)
{
	struct described d = { 0 };

	dynamodb_describe_table(c, table, on_table, &d);
	aws_wait(c, &d.done);
	*err = d.err;
	if (d.err.kind == ERROR_NONE)
		memcpy(arn, d.arn, sizeof(d.arn));
	else
		guess_arn(k, table, d.err.message, arn);
	/* Of a table that is not there nothing else can be asked. */
	return d.err.kind != ERROR_NOT_FOUND &&
	       permission_judge(&d.err, "dynamodb:DescribeTable", arn, check_permission, k);
}

/* --- the stream --- */

struct first_page {
	bool known; /* the stream is there, as far as is known */
	bool done;
	struct error err;
	char shard[STREAMS_SHARD_MAX + 1];
	char iterator[STREAMS_ITERATOR_MAX + 1]; /* "" where none was given */
};

static void on_describe(void *arg, const struct error *err, const struct streams_description *d)
{
	struct first_page *p = arg;

	p->err = *err;
	p->done = true;
	if (err->kind == ERROR_NONE && d->shard_count > 0)
		snprintf(p->shard, sizeof(p->shard), "%s", d->shards[d->shard_count - 1].id);
}

static void on_iterator(void *arg, const struct error *err, const char *iterator)
{
	struct first_page *p = arg;

	p->err = *err;
	p->done = true;
	if (err->kind == ERROR_NONE)
		snprintf(p->iterator, sizeof(p->iterator), "%s", iterator);
}

static void on_records(void *arg, const struct error *err, struct streams_records *r)
{
	struct first_page *p = arg;

	(void)r;
	p->err = *err;
	p->done = true;
}

static bool answered(struct check *k, struct aws_client *c, struct first_page *p,
		     const char *action, const char *arn)
{
	aws_wait(c, &p->done);
	p->done = false;
	if (permission_judge(&p->err, action, arn, check_permission, k))
		return true;
	if (p->known || p->err.kind != ERROR_INVALID)
		return false;
	permission_untried(action, arn, "there is no stream to try it with", check_permission, k);
	return true;
}

/* Without an iterator only a refusal says something: AWS looks at the iterator, too. */
static bool read_records(struct check *k, struct aws_client *c, struct first_page *p,
			 const char *arn)
{
	static const char action[] = "dynamodb:GetRecords";
	bool known = *p->iterator;

	if (!known)
		snprintf(p->iterator, sizeof(p->iterator), "%s|1|none", arn);
	streams_records(c, p->iterator, 1, PAGE_BYTES, on_records, p);
	aws_wait(c, &p->done);
	if (known || permission_lacking(&p->err))
		return permission_judge(&p->err, action, arn, check_permission, k);
	permission_untried(action, arn, "there is no iterator to try it with", check_permission, k);
	return true;
}

/* `arn` is the stream's or, where none is known, what a stream of the table is called. */
static bool read_once(struct check *k, struct aws_client *c, const char *arn, bool known,
		      struct error *err)
{
	struct first_page p = { .known = known, .shard = NO_SHARD };
	bool ok;

	streams_describe(c, arn, "", NULL, on_describe, &p);
	ok = answered(k, c, &p, "dynamodb:DescribeStream", arn);
	if (ok) {
		streams_iterator(c, arn, p.shard, ITERATOR_LATEST, NULL, 0, on_iterator, &p);
		ok = answered(k, c, &p, "dynamodb:GetShardIterator", arn) &&
		     read_records(k, c, &p, arn);
	}
	if (!ok)
		*err = p.err;
	return ok;
}

static void reading_untried(struct check *k, const char *table_arn)
{
	static const char *const actions[] = { "dynamodb:DescribeStream",
					       "dynamodb:GetShardIterator", "dynamodb:GetRecords" };
	char arn[1025 + 16];

	snprintf(arn, sizeof(arn), "%s/stream/*", table_arn);
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		permission_untried(actions[i], arn,
				   "without dynamodb:DescribeTable the stream is not known",
				   check_permission, k);
}

/* Where no stream is known, one that is not there is asked for. */
static bool check_reading(struct check *k, struct aws_client *c, const char *table_arn,
			  const struct resolved_stream *r, struct error *err)
{
	char arn[STREAMS_ARN_MAX + 1];

	if (strstr(table_arn, ":" NO_ACCOUNT ":")) {
		reading_untried(k, table_arn);
		return true;
	}
	if (*r->arn)
		snprintf(arn, sizeof(arn), "%s", r->arn);
	else
		snprintf(arn, sizeof(arn), "%.900s" NO_STREAM, table_arn);
	return read_once(k, c, arn, *r->arn, err);
}

static bool images_fit(const struct check *k, const struct config_stream *s,
		       const struct resolved_stream *r, struct error *err)
{
	for (size_t i = 0; i < s->sink_count; i++) {
		const struct config_sink *sink = &k->config->sinks[s->sinks[i].sink];
		const struct sink_ops *ops = sink_ops_find(sink->type->type);

		if (!resolve_images_fit(r, s->name, sink->name, ops->encoding(sink->settings), err))
			return false;
	}
	return true;
}

/* What the stream is, after its permissions. */
static void say_stream(struct check *k, unsigned missing, const struct config_stream *s,
		       const struct resolved_stream *r, const char *name, struct error *err)
{
	bool ok = err->kind == ERROR_NONE, none = err->kind == ERROR_INVALID && !*r->arn;
	char text[1400];

	if (none && s->enable_stream)
		snprintf(text, sizeof(text), "has no stream yet; run turns it on with %s",
			 s->enable_stream);
	else if (none && s->is_pattern)
		snprintf(text, sizeof(text), "has no stream: run leaves it out until it has one");
	else if (ok && images_fit(k, s, r, err))
		snprintf(text, sizeof(text), "%s, %s%s", r->arn, r->view_type,
			 r->old_images
				 ? ""
				 : " (no old images: updates are 'r', deletes carry their keys)");
	else
		snprintf(text, sizeof(text), "%s", err->message);
	ok = err->kind == ERROR_NONE || (none && (s->enable_stream || s->is_pattern));
	check_part(k, missing, ok, "stream", name, text);
}

/* Of the table or stream that is configured: false where something else than a permission is in the
 * way. A table without a stream is `err`, and its permissions can be tried. */
static bool look_up(struct check *k, struct aws_client *c, const char *table, char arn[1025],
		    struct resolved_stream *r, struct error *err)
{
	if (is_stream_arn(table)) {
		resolve_table_arn(table, arn);
		snprintf(r->arn, sizeof(r->arn), "%s", table);
	} else if (!check_describe(k, c, table, arn, err)) {
		return false;
	} else if (permission_lacking(err)) {
		return true;
	}
	if (resolve_stream(c, table, NULL, r, err))
		return true;
	if (is_stream_arn(table))
		snprintf(r->arn, sizeof(r->arn), "%s", table);
	return permission_lacking(err) || (err->kind == ERROR_INVALID && !*r->arn);
}

/* `table` under the name that its stream gets. */
static void check_table(struct check *k, struct aws_client *c, const struct config_stream *s,
			const char *table, const char *name)
{
	struct resolved_stream r = { 0 };
	struct error err = { 0 }, failed = { 0 };
	unsigned missing = k->missing;
	char arn[1025] = "";

	if (look_up(k, c, table, arn, &r, &err)) {
		if (!check_reading(k, c, arn, &r, &failed))
			err = failed;
		if (s->enable_stream)
			permission_untried("dynamodb:UpdateTable", arn,
					   "it would turn the stream on", check_permission, k);
	}
	say_stream(k, missing, s, &r, name, &err);
}

/* --- patterns --- */

struct names {
	bool done;
	struct error err;
	struct dynamodb_names page;
};

static void on_names(void *arg, const struct error *err, const struct dynamodb_names *page)
{
	struct names *n = arg;

	n->err = *err;
	n->done = true;
	if (page)
		n->page = *page;
}

static void check_match(struct check *k, struct aws_client *c, const char *table, unsigned *matches)
{
	const struct config_stream *other, *s = follow_entry(k->config, table, &other);
	char name[CONFIG_STREAM_NAME_MAX + 1];
	struct error err = { 0 };

	if (!s || !s->is_pattern)
		return;
	matches[s - k->config->streams]++;
	if (config_stream_name(s, table, name, &err))
		check_table(k, c, s, table, name);
	else
		check_say(k, CHECK_FAILED, "stream", table, err.message);
}

/* A line for each table that matches, and one for a pattern that none does. */
static void check_patterns(struct check *k, struct aws_client *c)
{
	unsigned *matches = memory_array(k->config->stream_count, sizeof(*matches));
	struct names *n = memory_new(sizeof(*n));
	unsigned missing = k->missing;

	do {
		char after[sizeof(n->page.last)];

		memcpy(after, n->page.last, sizeof(after));
		n->done = false;
		dynamodb_list_tables(c, after, on_names, n);
		aws_wait(c, &n->done);
		(void)permission_judge(&n->err, "dynamodb:ListTables", "*", check_permission, k);
		for (size_t i = 0; n->err.kind == ERROR_NONE && i < n->page.count; i++)
			check_match(k, c, n->page.names[i], matches);
	} while (n->err.kind == ERROR_NONE && *n->page.last);
	if (n->err.kind != ERROR_NONE)
		check_part(k, missing, false, "tables", "", n->err.message);
	for (size_t i = 0; n->err.kind == ERROR_NONE && i < k->config->stream_count; i++)
		if (k->config->streams[i].is_pattern && matches[i] == 0)
			check_say(k, CHECK_OK, "stream", k->config->streams[i].table,
				  "no table matches yet");
	free(matches);
	free(n);
}

void check_tables(struct check *k, struct aws_client *c)
{
	bool patterns = false;

	for (size_t i = 0; i < k->config->stream_count; i++) {
		const struct config_stream *s = &k->config->streams[i];

		patterns = patterns || s->is_pattern;
		if (!s->is_pattern)
			check_table(k, c, s, s->table, s->name);
	}
	if (patterns)
		check_patterns(k, c);
}
