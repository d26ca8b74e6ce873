/* Exports: point-in-time recovery, AWS's export calls, and the bucket that AWS writes with the
 * caller's rights. A check begins no export, and turns nothing on. */
#include <stdio.h>
#include <string.h>

#include "aws/endpoint.h"
#include "aws/exports.h"
#include "aws/s3_probe.h"
#include "base/clock.h"
#include "base/loop.h"
#include "config/sections.h"
#include "ops/check.h"

/* A time that no table can be exported of: years before point-in-time recovery reaches back. */
#define NO_TIME_MS 1000
/* Of no export. */
#define NO_EXPORT "/export/01000000000000-00000000"

/* An export as the configuration has it, of its own block or of a stream's baseline. */
struct export_entry {
	const char *table, *name;
	const char *bucket, *bucket_owner, *prefix;
	bool enable_pitr;
};

struct told {
	bool done;
	struct error err;
	struct exports_recovery pitr;
};

static void on_recovery(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct told *a = arg;

	a->err = *err;
	a->done = true;
	if (r)
		a->pitr = *r;
}

static void on_export(void *arg, const struct error *err, const struct exports_export *e)
{
	struct told *a = arg;

	(void)e;
	a->err = *err;
	a->done = true;
}

/* That the time is refused says that the caller is not; other errors may come before AWS has looked
 * at that. */
static void try_starting(struct check *k, struct aws_client *c, const struct export_entry *x,
			 const char *table_arn)
{
	static const char action[] = "dynamodb:ExportTableToPointInTime";
	struct exports_request r = { .table_arn = table_arn,
				     .bucket = x->bucket,
				     .bucket_owner = x->bucket_owner,
				     .prefix = x->prefix,
				     .time_ms = NO_TIME_MS };
	struct told a = { 0 };

	exports_start(c, &r, on_export, &a);
	aws_wait(c, &a.done);
	if (strstr(a.err.message, "InvalidExportTimeException") ||
	    strstr(a.err.message, "PointInTimeRecoveryUnavailableException"))
		a.err = (struct error){ 0 };
	if (a.err.kind != ERROR_NOT_FOUND &&
	    permission_judge(&a.err, action, table_arn, check_permission, k))
		return;
	permission_untried(action, table_arn, "it shows with the first export", check_permission,
			   k);
}

static void try_describing(struct check *k, struct aws_client *c, const char *table_arn)
{
	static const char action[] = "dynamodb:DescribeExport";
	char one[1100], every[1100];
	struct told a = { 0 };

	snprintf(one, sizeof(one), "%s" NO_EXPORT, table_arn);
	snprintf(every, sizeof(every), "%s/export/*", table_arn);
	exports_describe(c, one, on_export, &a);
	aws_wait(c, &a.done);
	if (!permission_judge(&a.err, action, every, check_permission, k))
		permission_untried(action, every, "it shows with the first export",
				   check_permission, k);
}

/* False: `err` says what is in the way, which is no permission. */
static bool try_recovery(struct check *k, struct aws_client *c, const struct export_entry *x,
			 char arn[1025], struct exports_recovery *pitr, struct error *err)
{
	struct told a = { 0 };
	const char *table;

	if (!check_describe(k, c, x->table, arn, err))
		return false;
	table = permission_lacking(err) ? x->table : arn;
	*err = (struct error){ 0 };
	exports_recovery_get(c, table, on_recovery, &a);
	aws_wait(c, &a.done);
	*pitr = a.pitr;
	*err = a.err;
	return permission_judge(&a.err, "dynamodb:DescribeContinuousBackups", arn, check_permission,
				k);
}

static void check_recovery(struct check *k, struct aws_client *c, const struct export_entry *x)
{
	char text[600], arn[1025] = "", earliest[CLOCK_TEXT_SIZE];
	struct exports_recovery pitr = { 0 };
	unsigned missing = k->missing;
	struct error err = { 0 };
	bool ok = try_recovery(k, c, x, arn, &pitr, &err);

	if (ok) {
		if (x->enable_pitr)
			permission_untried("dynamodb:UpdateContinuousBackups", arn,
					   "it would turn point-in-time recovery on",
					   check_permission, k);
		try_starting(k, c, x, arn);
		try_describing(k, c, arn);
	}
	ok = ok && err.kind == ERROR_NONE;
	if (ok && pitr.enabled)
		snprintf(text, sizeof(text), "point-in-time recovery reaches back to %s",
			 clock_text(pitr.earliest_ms, earliest));
	else if (ok && x->enable_pitr)
		snprintf(text, sizeof(text), "point-in-time recovery is off; run turns it on");
	else if (ok)
		snprintf(text, sizeof(text),
			 "point-in-time recovery is off: turn it on, or set enable_pitr");
	else
		snprintf(text, sizeof(text), "%s", err.message);
	check_part(k, missing, ok && (pitr.enabled || x->enable_pitr), "export", x->name, text);
}

static void check_bucket(struct check *k, const struct export_entry *x)
{
	static const struct s3_options none = { 0 };
	char prefix[1026] = "", objects[1400], text[200];
	size_t n = x->prefix ? strlen(x->prefix) : 0;
	unsigned missing = k->missing;
	struct error err = { 0 };
	bool ok;

	if (n > 0)
		snprintf(prefix, sizeof(prefix), "%.1000s%s", x->prefix,
			 x->prefix[n - 1] == '/' ? "" : "/");
	ok = s3_probe(
		&(struct s3_probe){ x->bucket, x->bucket_owner, prefix, &none, .clears_up = false },
		&k->client.aws.settings, k->client.aws.credentials, &k->clock, k->client.metrics,
		check_permission, k, &err);
	if (ok) {
		snprintf(objects, sizeof(objects), "arn:%s:s3:::%s/%s*",
			 endpoint_partition(k->client.aws.region), x->bucket, prefix);
		permission_untried("s3:PutObjectAcl", objects,
				   "AWS needs it when it writes the first export", check_permission,
				   k);
	}
	snprintf(text, sizeof(text), "the bucket %s answers", x->bucket);
	check_part(k, missing, ok, "export", x->name, ok ? text : err.message);
}

/* Whether AWS may write there shows only with the first export. */
void check_exports(struct check *k, struct aws_client *c)
{
	for (size_t i = 0; i < k->config->export_count; i++) {
		const struct config_export *x = &k->config->exports[i];
		struct export_entry e = { x->table,        x->table,  x->bucket,
					  x->bucket_owner, x->prefix, x->enable_pitr };

		check_recovery(k, c, &e);
		check_bucket(k, &e);
	}
	for (size_t i = 0; i < k->config->stream_count; i++) {
		const struct config_stream *s = &k->config->streams[i];
		const struct config_baseline *b = &s->baseline;
		struct export_entry e;
		struct str table;
		char name[256];

		if (!b->bucket)
			continue;
		table = config_table_name(s->table);
		snprintf(name, sizeof(name), "%.*s", STR_ARG(table));
		e = (struct export_entry){ name,      s->is_pattern ? s->table : s->name,
					   b->bucket, b->bucket_owner,
					   b->prefix, b->enable_pitr };
		if (!s->is_pattern)
			check_recovery(k, c, &e);
		check_bucket(k, &e);
	}
}
