/* From the request of an export to its rows, against the emulator, which writes into a real S3
 * server: SLUICE_TEST_S3 is its URL, SLUICE_TEST_S3_BUCKET a bucket, and the environment has keys
 * for it. Left out where there is none, unless SLUICE_TEST_REQUIRE_S3 is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/exports.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "event/decode.h"
#include "export/file.h"
#include "export/manifest.h"
#include "export/path.h"
#include "tests/emulator/emulator.h"

#define TABLE "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
#define YOUNG "arn:aws:dynamodb:eu-west-1:123456789012:table/young"

static struct emulator *emulator;
static struct clock clock_;
static struct metrics *metrics;
static struct credentials *credentials;
static struct aws_settings settings;
static struct loop *loop;
static struct aws_client *client;
static const char *bucket;
static char prefix[64];

static int setup(void **state)
{
	const char *region = getenv("AWS_REGION"), *s3 = getenv("SLUICE_TEST_S3");
	struct error err = { 0 };
	struct emulator_options o = {
		.seed = 1,
		/* Records of the last six hours; keys are deleted for the first time about three
		 * hours ago, and for the second time about eighty minutes ago. */
		.tables = { "orders:pitr=1:shards=2:keys=40:records=620:depth=2:hours=3:"
			    "partitions=7",
			    "young" },
		.s3 = s3,
		.s3_region = region,
	};
	char key[256], url[64];
	uint64_t random;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	snprintf(key, sizeof(key), "%s:%s", getenv("AWS_ACCESS_KEY_ID"),
		 getenv("AWS_SECRET_ACCESS_KEY"));
	o.s3_key = key;
	emulator = emulator_start(&o, &err);
	assert_non_null(emulator);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", emulator_port(emulator));
	clock_init(&clock_);
	metrics = metrics_new();
	settings = (struct aws_settings){ .region = region ? region : "us-east-1",
					  .connections_max = 4 };
	settings.endpoints[AWS_S3] = s3;
	settings.endpoints[AWS_DYNAMODB] = url;
	credentials = credentials_open(&settings, NULL, &clock_, metrics, &err);
	if (!credentials)
		fail_msg("%s", err.message);
	loop = loop_new(&clock_);
	client = aws_client_new(loop, &settings, credentials, &clock_, metrics, &err);
	assert_non_null(client);
	bucket = getenv("SLUICE_TEST_S3_BUCKET");
	rng_random(&random, sizeof(random));
	snprintf(prefix, sizeof(prefix), "loading/%016llx", (unsigned long long)random);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	aws_client_free(client);
	loop_free(loop);
	credentials_close(credentials);
	metrics_free(metrics);
	emulator_stop(emulator);
	return 0;
}

/* ---- calls that wait ---- */

struct got {
	bool done;
	struct error err;
	struct exports_recovery recovery;
	struct exports_export export;
	struct buf body;
	uint64_t total;
	size_t listed;
};

static void got_recovery(void *arg, const struct error *err, const struct exports_recovery *r)
{
	struct got *g = arg;

	g->err = *err;
	g->recovery = r ? *r : (struct exports_recovery){ 0 };
	g->done = true;
}

static void got_export(void *arg, const struct error *err, const struct exports_export *e)
{
	struct got *g = arg;

	g->err = *err;
	if (e)
		g->export = *e;
	g->done = true;
}

static void got_each(void *arg, const char *arn, enum exports_status status, bool full)
{
	struct got *g = arg;

	(void)full;
	assert_int_equal(status, EXPORTS_COMPLETED);
	assert_non_null(strstr(arn, TABLE "/export/"));
	g->listed++;
}

static void got_all(void *arg, const struct error *err)
{
	struct got *g = arg;

	g->err = *err;
	g->done = true;
}

static void got_range(void *arg, const struct error *err, struct s3_range *r)
{
	struct got *g = arg;

	g->err = *err;
	if (r) {
		g->body = *r->body;
		*r->body = (struct buf){ 0 };
		g->total = r->total;
	}
	g->done = true;
}

static void wait_for(struct got *g)
{
	aws_wait(client, &g->done);
	if (g->err.kind != ERROR_NONE)
		fail_msg("%s", g->err.message);
}

static struct exports_export start(const struct exports_request *r)
{
	struct got g = { 0 };

	exports_start(client, r, got_export, &g);
	wait_for(&g);
	return g.export;
}

static struct exports_export ended(const char *arn)
{
	struct got g;

	do {
		g = (struct got){ 0 };
		exports_describe(client, arn, got_export, &g);
		wait_for(&g);
	} while (g.export.status == EXPORTS_RUNNING);
	assert_int_equal(g.export.status, EXPORTS_COMPLETED);
	return g.export;
}

/* A small object, in pieces. */
static struct buf object(const char *key, size_t piece)
{
	struct s3_place at = { bucket, key, NULL };
	struct buf all;
	uint64_t total = 1;

	buf_init(&all, 0);
	while (all.size < total) {
		struct got g = { 0 };

		s3_get(client, &at, NULL, all.size, piece, got_range, &g);
		wait_for(&g);
		total = g.total;
		assert_true(buf_add(&all, g.body.data, g.body.size));
		buf_release(&g.body);
	}
	return all;
}

/* ---- loading ---- */

struct load {
	struct manifest manifest;
	const char *found; /* the summary's key */
	struct rows rows;
	struct buf keys; /* of the data files, each with its MD5: "KEY MD5\n" */
	uint64_t ops[4], items, files;
	bool done;
	struct file *file;
	struct batch *batch;
};

static const struct source source = {
	.stream = "orders",
	.table = "orders",
	.account = "123456789012",
	.region = "eu-west-1",
	.key_hash = "pk",
	.key_range = "sk",
	.version = "0",
	.generation = 1,
};

static bool on_file(void *arg, const struct manifest_file *f, struct error *err)
{
	struct load *l = arg;

	l->files++;
	if (!f->items)
		return true;
	if (!manifest_resolve(&l->manifest, l->found, f->key, &l->keys, err))
		return false;
	buf_printf(&l->keys, " %s\n", f->md5);
	return true;
}

static void on_block(void *arg, const struct error *err, const struct file_block *b)
{
	const struct encoding encoding = { .format = FORMAT_DEBEZIUM };
	const struct decode_options o = { .encodings = &encoding,
					  .encoding_count = 1,
					  .lenient = false,
					  .now_ms = 1763700009876 };
	struct load *l = arg;

	if (!b)
		fail_msg("%s", err->message);
	l->done = b->end;
	if (b->end)
		return;
	l->batch->source = &source;
	decode_lines(l->batch, &o, &l->rows);
	assert_int_equal(l->batch->bad_count, 0);
	for (size_t i = 0; i < l->batch->count; i++)
		l->ops[l->batch->events[i].op]++;
	l->items += l->batch->count;
	batch_free(l->batch);
	l->batch = batch_new();
	file_next(l->file, &l->batch->body, on_block, l);
}

static void load_file(struct load *l, const char *key, const char *md5)
{
	struct file_options o = { .place = { bucket, key, NULL },
				  .md5 = md5,
				  .range_bytes = FILE_RANGE_BYTES_MIN,
				  .block_bytes = 5000 };

	l->done = false;
	l->batch = batch_new();
	l->file = file_new(client, &o);
	file_next(l->file, &l->batch->body, on_block, l);
	aws_wait(client, &l->done);
	file_free(l->file);
	batch_free(l->batch);
}

static struct buf beside(const char *found, const char *name)
{
	struct error err;
	struct buf key, out;

	buf_init(&key, 0);
	assert_true(manifest_beside(found, name, &key, &err));
	out = object(key.data, 1000);
	buf_release(&key);
	return out;
}

/* Manifests, then each file. */
static void load_export(struct load *l, const char *summary_key)
{
	struct buf summary = object(summary_key, 100),
		   md5 = beside(summary_key, "manifest-summary.md5");
	struct manifest_files files;
	struct buf key, list;
	char *line, *rest;
	struct error err = { 0 };

	l->found = summary_key;
	buf_init(&l->keys, 0);
	buf_init(&key, 0);
	assert_true(manifest_summary_check(buf_str(&summary), buf_str(&md5), &err));
	assert_true(manifest_summary_parse(buf_str(&summary), &l->manifest, &err));
	assert_true(manifest_table_check(&l->manifest, TABLE, &err));
	buf_release(&md5);
	md5 = beside(summary_key, "manifest-files.md5");
	assert_true(manifest_resolve(&l->manifest, summary_key, l->manifest.files_key, &key, &err));
	list = object(key.data, 333);
	manifest_files_init(&files, on_file, l);
	for (size_t at = 0; at < list.size; at += 333)
		assert_true(manifest_files_feed(
			&files,
			(struct str){ list.data + at, list.size - at < 333 ? list.size - at : 333 },
			&err));
	assert_true(manifest_files_end(&files, &l->manifest, buf_str(&md5), &err));
	manifest_files_release(&files);
	rest = l->keys.data;
	while ((line = strsep(&rest, "\n")) && *line) {
		char *space = strchr(line, ' ');

		*space = '\0';
		load_file(l, line, space + 1);
	}
	assert_int_equal(l->items, l->manifest.items);
	buf_release(&summary);
	buf_release(&md5);
	buf_release(&list);
	buf_release(&key);
	buf_release(&l->keys);
}

static void folder(const struct window *w, struct buf *out)
{
	struct export_place place = { prefix, source.account, source.region, source.table };
	struct error err;

	buf_init(out, 0);
	assert_true(path_export(&place, w, out, &err));
}

static void a_full_export_is_loaded(void **state)
{
	struct window w = { 0, clock_aws_ms(&clock_) / 60000 * 60000 - 4 * WINDOW_HOUR_MS };
	struct exports_request r = {
		.table_arn = TABLE, .bucket = bucket, .time_ms = w.to_ms, .token = "full-1"
	};
	struct load l = { 0 };
	struct exports_export e, again;
	struct buf path;

	(void)state;
	folder(&w, &path);
	r.prefix = path.data;
	e = start(&r);
	again = start(&r);
	assert_string_equal(e.arn, again.arn);
	e = ended(e.arn);
	assert_int_equal(strncmp(e.manifest, path.data, path.size), 0);
	l.rows.time_ms = w.to_ms;
	load_export(&l, e.manifest);
	assert_true(l.manifest.full);
	assert_int_equal(l.manifest.window.to_ms, w.to_ms);
	assert_int_equal(l.files, 7);
	assert_int_equal(l.items, e.items);
	assert_true(l.items > 30);
	assert_int_equal(l.ops[EVENT_READ], l.items);
	buf_release(&path);
}

static void a_window_is_loaded(void **state)
{
	int64_t end = clock_aws_ms(&clock_) / 60000 * 60000 - 84 * WINDOW_MINUTE_MS;
	struct window w = { end - 96 * WINDOW_MINUTE_MS, end };
	struct exports_request r = { .table_arn = TABLE,
				     .bucket = bucket,
				     .from_ms = w.from_ms,
				     .to_ms = w.to_ms,
				     .view = "NEW_AND_OLD_IMAGES",
				     .token = "window-1" };
	struct load l = { .rows = { .window = 1, .old_images = true } };
	struct exports_export e;
	struct got g = { 0 };
	struct buf path;

	(void)state;
	folder(&w, &path);
	r.prefix = path.data;
	e = ended(start(&r).arn);
	load_export(&l, e.manifest);
	assert_false(l.manifest.full);
	assert_int_equal(l.manifest.window.from_ms, w.from_ms);
	assert_int_equal(l.manifest.window.to_ms, w.to_ms);
	assert_true(l.ops[EVENT_CREATE] > 0 && l.ops[EVENT_UPDATE] > 0 && l.ops[EVENT_DELETE] > 0);
	assert_int_equal(l.ops[EVENT_READ], 0);
	exports_list(client, TABLE, got_each, got_all, &g);
	wait_for(&g);
	assert_int_equal(g.listed, 1);
	buf_release(&path);
}

static void recovery_has_to_be_on(void **state)
{
	int64_t now = clock_aws_ms(&clock_);
	struct exports_request r = {
		.table_arn = YOUNG, .bucket = bucket, .time_ms = now, .token = "young"
	};
	struct got g = { 0 };

	(void)state;
	exports_recovery_get(client, "young", got_recovery, &g);
	wait_for(&g);
	assert_false(g.recovery.enabled);
	g = (struct got){ 0 };
	exports_start(client, &r, got_export, &g);
	aws_wait(client, &g.done);
	assert_int_equal(g.err.kind, ERROR_INVALID);
	assert_non_null(strstr(g.err.message, "recovery is not enabled"));
	g = (struct got){ 0 };
	exports_recovery_enable(client, YOUNG, got_recovery, &g);
	wait_for(&g);
	assert_true(g.recovery.enabled);
	assert_true(g.recovery.earliest_ms > now - 60000);
	/* What was before is lost. */
	g = (struct got){ 0 };
	r.time_ms = now - WINDOW_HOUR_MS;
	exports_start(client, &r, got_export, &g);
	aws_wait(client, &g.done);
	assert_int_equal(g.err.kind, ERROR_INVALID);
	assert_non_null(strstr(g.err.message, "InvalidExportTime"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_export_is_loaded),
		TEST(a_window_is_loaded),
		TEST(recovery_has_to_be_on),
	};

	if (!getenv("SLUICE_TEST_S3") || !getenv("SLUICE_TEST_S3_BUCKET")) {
		fprintf(stderr, "left out: SLUICE_TEST_S3 and SLUICE_TEST_S3_BUCKET are not set\n");
		return getenv("SLUICE_TEST_REQUIRE_S3") ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
