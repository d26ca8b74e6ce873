#include "consumer/resolve.h"

#include <stdio.h>
#include <string.h>

struct table_answer {
	bool done;
	struct error err;
	struct dynamodb_table table;
};

static void on_table(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct table_answer *a = arg;

	a->err = *err;
	if (err->kind == ERROR_NONE)
		a->table = *t;
	a->done = true;
}

static bool describe_table(struct aws_client *c, const char *table, struct dynamodb_table *out,
			   struct error *err)
{
	struct table_answer a = { 0 };

	dynamodb_describe_table(c, table, on_table, &a);
	aws_wait(c, &a.done);
	*out = a.table;
	*err = a.err;
	return a.err.kind == ERROR_NONE;
}

static bool enable_stream(struct aws_client *c, const char *table, const char *view,
			  struct dynamodb_table *out, struct error *err)
{
	struct table_answer a = { 0 };

	dynamodb_enable_stream(c, table, view, on_table, &a);
	aws_wait(c, &a.done);
	*out = a.table;
	*err = a.err;
	return a.err.kind == ERROR_NONE;
}

struct stream_answer {
	bool done;
	struct error err;
	struct resolved_stream *out;
};

static void on_stream(void *arg, const struct error *err, const struct streams_description *d)
{
	struct stream_answer *a = arg;

	a->err = *err;
	a->done = true;
	if (err->kind != ERROR_NONE)
		return;
	snprintf(a->out->table, sizeof(a->out->table), "%s", d->table);
	snprintf(a->out->key_hash, sizeof(a->out->key_hash), "%s", d->key_hash);
	snprintf(a->out->key_range, sizeof(a->out->key_range), "%s", d->key_range);
	snprintf(a->out->view_type, sizeof(a->out->view_type), "%s", d->view_type);
	a->out->status = d->status;
}

static bool describe_stream(struct aws_client *c, struct resolved_stream *out, struct error *err)
{
	struct stream_answer a = { .out = out };

	streams_describe(c, out->arn, "", NULL, on_stream, &a);
	aws_wait(c, &a.done);
	*err = a.err;
	return a.err.kind == ERROR_NONE;
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

static bool stream_of_table(struct aws_client *c, const char *table, const char *enable,
			    struct resolved_stream *out, struct error *err)
{
	struct dynamodb_table t;

	if (!describe_table(c, table, &t, err))
		return false;
	if (!t.stream_enabled && enable) {
		if (!enable_stream(c, table, enable, &t, err))
			return error_wrap(err, "turning on the stream of %s", table);
		if (!t.stream_enabled)
			return turning_on(table, err);
	}
	if (!*t.stream_arn)
		return error_set(err, ERROR_INVALID,
				 "table %s has no stream: turn it on with the view type "
				 "NEW_AND_OLD_IMAGES, or let Sluice do it with enable_stream",
				 table);
	snprintf(out->arn, sizeof(out->arn), "%s", t.stream_arn);
	return true;
}

void resolve_arn_parts(const char *arn, char region[64], char account[16])
{
	region[0] = account[0] = '\0';
	sscanf(arn, "arn:%*[^:]:dynamodb:%63[^:]:%15[^:]:", region, account);
}

bool resolve_stream(struct aws_client *c, const char *table, const char *enable,
		    struct resolved_stream *out, struct error *err)
{
	*out = (struct resolved_stream){ 0 };
	if (is_stream_arn(table))
		snprintf(out->arn, sizeof(out->arn), "%s", table);
	else if (!stream_of_table(c, table, enable, out, err))
		return false;
	if (!describe_stream(c, out, err))
		return false;
	if (out->status == STREAM_ENABLING)
		return turning_on(out->table, err);
	resolve_arn_parts(out->arn, out->region, out->account);
	out->new_images = strcmp(out->view_type, "NEW_AND_OLD_IMAGES") == 0 ||
			  strcmp(out->view_type, "NEW_IMAGE") == 0;
	out->old_images = strcmp(out->view_type, "NEW_AND_OLD_IMAGES") == 0 ||
			  strcmp(out->view_type, "OLD_IMAGE") == 0;
	return true;
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
