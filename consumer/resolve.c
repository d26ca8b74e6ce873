#include "consumer/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/config.h"

/* One look-up: the table, then perhaps its stream. */
struct look {
	struct aws_client *client;
	char *table; /* as it was asked for */
	char *enable;
	resolve_fn *fn;
	void *arg;
	bool was_enabled; /* the stream was turned on by this look-up */
	struct resolved_stream found;
};

static void finish(struct look *l, const struct error *err)
{
	l->fn(l->arg, err, err->kind == ERROR_NONE ? &l->found : NULL);
	free(l->table);
	free(l->enable);
	free(l);
}

static bool is_stream_arn(const char *text)
{
	return strncmp(text, "arn:", 4) == 0 && strstr(text, "/stream/") != NULL;
}

static bool turning_on(const char *what, struct error *err)
{
	return error_set(err, ERROR_RETRY,
			 "the stream of %s is being turned on, which takes some seconds", what);
}

static bool no_stream(const char *table, struct error *err)
{
	return error_set(err, ERROR_INVALID,
			 "table %s has no stream: turn it on with the view type "
			 "NEW_AND_OLD_IMAGES, or let Sluice do it with enable_stream",
			 table);
}

static bool view_has(const struct resolved_stream *r, const char *view)
{
	return strcmp(r->view_type, "NEW_AND_OLD_IMAGES") == 0 || strcmp(r->view_type, view) == 0;
}

static void found(struct look *l)
{
	struct error err = { 0 };
	struct resolved_stream *r = &l->found;

	resolve_arn_parts(r->arn, r->region, r->account);
	r->new_images = view_has(r, "NEW_IMAGE");
	r->old_images = view_has(r, "OLD_IMAGE");
	finish(l, &err);
}

static void on_stream(void *arg, const struct error *failed, const struct streams_description *d)
{
	struct look *l = arg;
	struct resolved_stream *r = &l->found;
	struct error err = *failed;

	/* The last stream of a table that has none any more is known for a day. */
	if (err.kind == ERROR_NOT_FOUND && !is_stream_arn(l->table))
		no_stream(l->table, &err);
	else if (err.kind == ERROR_NONE && d->status == STREAM_ENABLING)
		turning_on(d->table, &err);
	if (err.kind != ERROR_NONE) {
		finish(l, &err);
		return;
	}
	snprintf(r->table, sizeof(r->table), "%s", d->table);
	snprintf(r->key_hash, sizeof(r->key_hash), "%s", d->key_hash);
	snprintf(r->key_range, sizeof(r->key_range), "%s", d->key_range);
	snprintf(r->view_type, sizeof(r->view_type), "%s", d->view_type);
	r->status = d->status;
	found(l);
}

static void on_table(void *arg, const struct error *failed, const struct dynamodb_table *t)
{
	struct look *l = arg;
	struct resolved_stream *r = &l->found;
	struct error err = *failed;

	if (err.kind != ERROR_NONE && l->was_enabled)
		error_wrap(&err, "turning on the stream of %s", l->table);
	else if (err.kind == ERROR_NONE && !t->stream_enabled && l->was_enabled)
		turning_on(l->table, &err);
	else if (err.kind == ERROR_NONE && (t->stream_enabled || !l->enable) && !*t->stream_arn)
		no_stream(l->table, &err);
	if (err.kind != ERROR_NONE) {
		finish(l, &err);
		return;
	}
	if (!t->stream_enabled && l->enable) {
		l->was_enabled = true;
		dynamodb_enable_stream(l->client, l->table, l->enable, on_table, l);
		return;
	}
	snprintf(r->arn, sizeof(r->arn), "%s", t->stream_arn);
	/* Only DescribeStream, of which there are few a second, tells whether it is on already. */
	if (!t->stream_enabled || strcmp(t->status, "ACTIVE") != 0) {
		streams_describe(l->client, r->arn, "", NULL, on_stream, l);
		return;
	}
	snprintf(r->table, sizeof(r->table), "%s", t->name);
	snprintf(r->key_hash, sizeof(r->key_hash), "%s", t->key_hash);
	snprintf(r->key_range, sizeof(r->key_range), "%s", t->key_range);
	snprintf(r->view_type, sizeof(r->view_type), "%s", t->view_type);
	r->status = STREAM_ENABLED;
	found(l);
}

void resolve_start(struct aws_client *c, const char *table, const char *enable, resolve_fn *fn,
		   void *arg)
{
	struct look *l = memory_new(sizeof(*l));

	*l = (struct look){ .client = c,
			    .table = memory_text(table),
			    .enable = memory_text(enable),
			    .fn = fn,
			    .arg = arg };
	if (is_stream_arn(table)) {
		snprintf(l->found.arn, sizeof(l->found.arn), "%s", table);
		streams_describe(c, table, "", NULL, on_stream, l);
	} else {
		dynamodb_describe_table(c, table, on_table, l);
	}
}

void resolve_arn_parts(const char *arn, char region[64], char account[16])
{
	region[0] = account[0] = '\0';
	sscanf(arn, "arn:%*[^:]:dynamodb:%63[^:]:%15[^:]:", region, account);
}

void resolve_table_arn(const char *arn, char out[STREAMS_ARN_MAX + 1])
{
	const char *end = strstr(arn, "/stream/");

	snprintf(out, STREAMS_ARN_MAX + 1, "%.*s", end ? (int)(end - arn) : (int)strlen(arn), arn);
}

int64_t resolve_created_ms(const char *arn)
{
	const char *label = strstr(arn, "/stream/");
	char text[64];
	enum config_start kind;
	int64_t time_ms;
	struct error err;

	if (!label || label[8] == '-' || strlen(label + 8) + 2 > sizeof(text))
		return -1;
	snprintf(text, sizeof(text), "%sZ", label + 8);
	return config_start_parse(text, 0, &kind, &time_ms, &err) && kind == START_TIME ? time_ms
											: -1;
}

bool resolve_same_table(const char *arn, const char *other)
{
	const char *label = strstr(arn, "/stream/");

	return label && strncmp(arn, other, (size_t)(label - arn) + 8) == 0;
}

struct answer {
	bool done;
	struct error err;
	struct resolved_stream *out;
};

static void on_answer(void *arg, const struct error *err, const struct resolved_stream *r)
{
	struct answer *a = arg;

	a->done = true;
	a->err = *err;
	if (r)
		*a->out = *r;
}

bool resolve_stream(struct aws_client *c, const char *table, const char *enable,
		    struct resolved_stream *out, struct error *err)
{
	struct answer a = { .out = out };

	*out = (struct resolved_stream){ 0 };
	resolve_start(c, table, enable, on_answer, &a);
	aws_wait(c, &a.done);
	*err = a.err;
	return a.err.kind == ERROR_NONE;
}

bool resolve_images_fit(const struct resolved_stream *r, const char *stream, const char *sink,
			struct encoding encoding, struct error *err)
{
	if (r->new_images || encoding.format == FORMAT_DYNAMODB)
		return true;
	return error_set(
		err, ERROR_INVALID,
		"stream %s gives %s, but the sink '%s' needs new images: turn the stream off "
		"and on again with NEW_AND_OLD_IMAGES, or give the sink 'format: dynamodb'",
		stream, r->view_type, sink);
}
