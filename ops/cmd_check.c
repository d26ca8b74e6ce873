#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/dynamodb.h"
#include "aws/exports.h"
#include "aws/s3.h"
#include "base/memory.h"
#include "checkpoint/store.h"
#include "config/sections.h"
#include "consumer/follow.h"
#include "consumer/resolve.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/service.h"
#include "sinks/sink.h"

/* A line each for everything that `run` will need, and what to do about what is not there. */

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ 0 },
};

struct check {
	const struct config *config;
	struct clock clock;
	struct service_client aws;
	unsigned failed;
};

static void say(struct check *k, bool ok, const char *part, const char *name, const char *text)
{
	printf("%-4s  %-11s %s%s%s\n", ok ? "ok" : "FAIL", part, name, *name ? ": " : "", text);
	k->failed += !ok;
}

static void check_credentials(struct check *k)
{
	struct error err = { 0 };
	bool open = service_client_open(&k->aws, k->config, &k->clock, &err);
	const struct service_aws *aws = &k->aws.aws;
	char text[256];

	if (aws->credentials)
		snprintf(text, sizeof(text), "%s, region %s", credentials_source(aws->credentials),
			 aws->region);
	say(k, aws->credentials, "credentials", "", aws->credentials ? text : err.message);
	if (aws->credentials && !open)
		say(k, false, "aws", "", err.message);
}

static void check_store(struct check *k)
{
	struct error err = { 0 };
	AUTO(store)
	struct store *s = store_open(k->config->checkpoint.store,
				     k->config->checkpoint.lease_ms / 2 - 1, &err);

	say(k, s != NULL, "store", "", s ? store_describe(s) : err.message);
}

struct first_page {
	bool done;
	struct error err;
	size_t shards;
	char shard[STREAMS_SHARD_MAX + 1];
	char iterator[STREAMS_ITERATOR_MAX + 1];
};

static void on_describe(void *arg, const struct error *err, const struct streams_description *d)
{
	struct first_page *p = arg;

	p->err = *err;
	p->done = true;
	if (err->kind == ERROR_NONE && d->shard_count > 0) {
		p->shards = d->shard_count;
		snprintf(p->shard, sizeof(p->shard), "%s", d->shards[d->shard_count - 1].id);
	}
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

static bool step(struct aws_client *c, struct first_page *p, struct error *err)
{
	aws_wait(c, &p->done);
	p->done = false;
	*err = p->err;
	if (err->kind == ERROR_THROTTLED) /* by other readers; who is throttled may read */
		*err = (struct error){ 0 };
	return err->kind == ERROR_NONE;
}

/* One call of each operation that reading needs: permissions differ between them. */
static bool read_once(struct aws_client *c, const struct resolved_stream *s, struct error *err)
{
	struct first_page p = { 0 };

	streams_describe(c, s->arn, "", NULL, on_describe, &p);
	if (!step(c, &p, err) || p.shards == 0)
		return err->kind == ERROR_NONE;
	streams_iterator(c, s->arn, p.shard, ITERATOR_LATEST, NULL, 0, on_iterator, &p);
	if (!step(c, &p, err) || !*p.iterator)
		return err->kind == ERROR_NONE;
	streams_records(c, p.iterator, 1, (size_t)16 << 20, on_records, &p);
	return step(c, &p, err);
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

/* `table` under the name that its stream gets. */
static void check_table(struct check *k, struct aws_client *c, const struct config_stream *s,
			const char *table, const char *name)
{
	struct resolved_stream r;
	struct error err = { 0 };
	char text[1400];
	/* A check changes nothing: a stream that would be turned on is only told of. */
	bool ok = resolve_stream(c, table, NULL, &r, &err);

	if (!ok && s->enable_stream && err.kind == ERROR_INVALID) {
		snprintf(text, sizeof(text), "has no stream yet; run turns it on with %s",
			 s->enable_stream);
		say(k, true, "stream", name, text);
		return;
	}
	if (!ok && s->is_pattern && err.kind == ERROR_INVALID) {
		snprintf(text, sizeof(text), "has no stream: run leaves it out until it has one");
		say(k, true, "stream", name, text);
		return;
	}
	ok = ok && images_fit(k, s, &r, &err) && read_once(c, &r, &err);
	if (ok)
		snprintf(text, sizeof(text), "%s, %s%s", r.arn, r.view_type,
			 r.old_images
				 ? ""
				 : " (no old images: updates are 'r', deletes carry their keys)");
	say(k, ok, "stream", name, ok ? text : err.message);
}

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
		say(k, false, "stream", table, err.message);
}

/* A line for each table that matches, and one for a pattern that none does. */
static void check_patterns(struct check *k, struct aws_client *c)
{
	unsigned *matches = memory_array(k->config->stream_count, sizeof(*matches));
	struct names *n = memory_new(sizeof(*n));

	do {
		char after[sizeof(n->page.last)];

		memcpy(after, n->page.last, sizeof(after));
		n->done = false;
		dynamodb_list_tables(c, after, on_names, n);
		aws_wait(c, &n->done);
		for (size_t i = 0; n->err.kind == ERROR_NONE && i < n->page.count; i++)
			check_match(k, c, n->page.names[i], matches);
	} while (n->err.kind == ERROR_NONE && *n->page.last);
	if (n->err.kind != ERROR_NONE)
		say(k, false, "tables", "", n->err.message);
	for (size_t i = 0; n->err.kind == ERROR_NONE && i < k->config->stream_count; i++)
		if (k->config->streams[i].is_pattern && matches[i] == 0)
			say(k, true, "stream", k->config->streams[i].table, "no table matches yet");
	free(matches);
	free(n);
}

/* --- exports --- */

struct told {
	bool done;
	struct error err;
	char arn[1025];
	struct exports_recovery pitr;
};

static void on_export_table(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct told *a = arg;

	a->err = *err;
	a->done = true;
	if (t)
		snprintf(a->arn, sizeof(a->arn), "%s", t->arn);
}

static void on_recovery(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct told *a = arg;

	a->err = *err;
	a->done = true;
	if (r)
		a->pitr = *r;
}

static void on_bucket(void *arg, const struct error *err)
{
	struct told *a = arg;

	a->err = *err;
	a->done = true;
}

static bool table_of(struct aws_client *c, const char *table, struct told *a)
{
	*a = (struct told){ 0 };
	dynamodb_describe_table(c, table, on_export_table, a);
	aws_wait(c, &a->done);
	a->done = false;
	return a->err.kind == ERROR_NONE;
}

/* Nothing is turned on here. */
static void check_recovery(struct check *k, struct aws_client *c, const char *table,
			   const char *name, bool enable)
{
	char text[200], earliest[CLOCK_TEXT_SIZE];
	struct told a;
	bool ok = table_of(c, table, &a);

	if (ok) {
		exports_recovery_get(c, a.arn, on_recovery, &a);
		aws_wait(c, &a.done);
		ok = a.err.kind == ERROR_NONE;
	}
	if (ok && a.pitr.enabled)
		snprintf(text, sizeof(text), "point-in-time recovery reaches back to %s",
			 clock_text(a.pitr.earliest_ms, earliest));
	else if (ok && enable)
		snprintf(text, sizeof(text), "point-in-time recovery is off; run turns it on");
	else if (ok)
		snprintf(text, sizeof(text),
			 "point-in-time recovery is off: turn it on, or set enable_pitr");
	say(k, ok && (a.pitr.enabled || enable), "export", name, ok ? text : a.err.message);
}

static void check_bucket(struct check *k, struct aws_client *c, const char *bucket,
			 const char *owner, const char *name)
{
	struct told a = { 0 };
	char text[120];

	s3_bucket_check(c, bucket, owner, on_bucket, &a);
	aws_wait(c, &a.done);
	snprintf(text, sizeof(text), "the bucket %s answers", bucket);
	say(k, a.err.kind == ERROR_NONE, "export", name,
	    a.err.kind == ERROR_NONE ? text : a.err.message);
}

/* Whether AWS may write there shows only with the first export. */
static void check_exports(struct check *k, struct aws_client *c)
{
	for (size_t i = 0; i < k->config->export_count; i++) {
		const struct config_export *x = &k->config->exports[i];

		check_recovery(k, c, x->table, x->table, x->enable_pitr);
		check_bucket(k, c, x->bucket, x->bucket_owner, x->table);
	}
	for (size_t i = 0; i < k->config->stream_count; i++) {
		const struct config_stream *s = &k->config->streams[i];
		struct str table;
		char name[256];

		if (!s->baseline.bucket || s->is_pattern)
			continue;
		table = config_table_name(s->table);
		snprintf(name, sizeof(name), "%.*s", STR_ARG(table));
		check_recovery(k, c, name, s->name, s->baseline.enable_pitr);
		check_bucket(k, c, s->baseline.bucket, s->baseline.bucket_owner, s->name);
	}
}

static void check_streams(struct check *k)
{
	struct aws_client *c = k->aws.client;
	bool patterns = false;

	for (size_t i = 0; i < k->config->stream_count; i++) {
		const struct config_stream *s = &k->config->streams[i];

		patterns = patterns || s->is_pattern;
		if (!s->is_pattern)
			check_table(k, c, s, s->table, s->name);
	}
	if (patterns)
		check_patterns(k, c);
	check_exports(k, c);
}

static void check_sink(struct check *k, const struct config_sink *sink, unsigned index)
{
	struct sink_host host = { .index = index,
				  .name = sink->name,
				  .session = "check",
				  .readers = 1,
				  .lease_ms = k->config->checkpoint.lease_ms,
				  .memory_bytes = (size_t)k->config->worker.memory_bytes,
				  .clock = &k->clock,
				  .metrics = k->aws.metrics,
				  .aws = &k->aws.aws.settings,
				  .credentials = k->aws.aws.credentials };
	struct buf said = { 0 };
	struct error err = { 0 };
	bool ok = sink_ops_find(sink->type->type)->check(sink->settings, &host, &said, &err);

	buf_text(&said, "");
	say(k, ok, "sink", sink->name, ok ? said.data : err.message);
	buf_release(&said);
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	struct check k = { 0 };
	AUTO(config)
	struct config *c = config_load(arguments_get(a, "config"), sink_config_types(), &err);

	if (a->word_count > 0)
		return command_usage_error(&command_check, "not understood: %s", a->words[0]);
	if (!c) {
		fprintf(stderr, "sluice check: %s\n", err.message);
		return EXIT_USAGE;
	}
	log_setup(LOG_ERROR, LOG_TEXT);
	k.config = c;
	clock_init(&k.clock);
	say(&k, true, "config", "", c->path);
	check_credentials(&k);
	if (k.aws.client)
		check_streams(&k);
	check_store(&k);
	for (size_t i = 0; i < c->sink_count; i++)
		check_sink(&k, &c->sinks[i], (unsigned)i);
	service_client_close(&k.aws);
	return k.failed ? EXIT_FAILED : EXIT_DONE;
}

const struct command command_check = {
	.name = "check",
	.usage = "-c FILE",
	.help = "Validate the configuration, then reach each part: a line each.",
	.flags = flags,
	.run = run,
};
