/* Several windows' files from a scripted S3 server as merged lines: each row once and in order,
 * from any row on, whatever breaks; and a file that is no good is told before anything goes out. */
#include "tests/unit/aws/s3_client.h"

#include <libdeflate.h>
#include <string.h>

#include "export/merging.h"

#define TABLE   "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
#define TEN_MS  ((int64_t)1768384800000) /* 2026-01-14T10:00:00Z */
#define WINDOWS 3
#define FILES   3 /* a window */
#define KEYS    3000

static struct buf expected;
static size_t expected_rows;

static const struct source source = { .key_hash = "pk", .key_range = "" };
static struct merging_window windows[WINDOWS];

/* ---- what lies there ---- */

static void md5_of(struct str body, char out[32])
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	EVP_Digest(body.p, body.n, hash, NULL, EVP_md5(), NULL);
	EVP_EncodeBlock((unsigned char *)out, hash, 16);
}

static void put_checked(unsigned window, const char *name, struct str body)
{
	char key[100], md5[32];

	snprintf(key, sizeof(key), "AWSDynamoDB/w%u/%s.json", window, name);
	s3_server_put(&server, key, body);
	snprintf(key, sizeof(key), "AWSDynamoDB/w%u/%s.md5", window, name);
	md5_of(body, md5);
	s3_server_put(&server, key, str_of(md5));
}

static void put_file(unsigned window, unsigned file, struct str lines, char md5[32])
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
	size_t bound = libdeflate_gzip_compress_bound(c, lines.n), n;
	char *out = memory_new(bound), key[100];

	n = libdeflate_gzip_compress(c, lines.p, lines.n, out, bound);
	libdeflate_free_compressor(c);
	snprintf(key, sizeof(key), "AWSDynamoDB/data/%u-%u.json.gz", window, file);
	s3_server_put(&server, key, (struct str){ out, n });
	md5_of((struct str){ out, n }, md5);
	free(out);
}

static void put_manifest(unsigned window, struct str files, unsigned items)
{
	struct buf summary = { 0 };

	put_checked(window, "manifest-files", files);
	buf_printf(&summary,
		   "{\"version\":\"2023-08-01\",\"exportArn\":\"" TABLE
		   "/export/0-1\",\"startTime\":\"2026-01-14T10:35:24.000Z\",\"endTime\":"
		   "\"2026-01-14T10:40:27.622Z\",\"tableArn\":\"" TABLE
		   "\",\"tableId\":\"c\",\"exportFromTime\":\"2026-01-14T1%u:00:00.000Z\","
		   "\"exportToTime\":\"2026-01-14T1%u:00:00.000Z\",\"s3Bucket\":\"" S3_BUCKET
		   "\",\"s3Prefix\":null,\"s3SseAlgorithm\":\"AES256\",\"s3SseKmsKeyId\":null,"
		   "\"manifestFilesS3Key\":\"AWSDynamoDB/w%u/"
		   "manifest-files.json\",\"billedSizeBytes\":0,"
		   "\"itemCount\":%u,\"outputFormat\":\"DYNAMODB_JSON\",\"outputView\":"
		   "\"NEW_AND_OLD_IMAGES\",\"exportType\":\"INCREMENTAL_EXPORT\"}",
		   window, window + 1, window, items);
	put_checked(window, "manifest-summary", buf_str(&summary));
	buf_release(&summary);
}

/* Key k is in window w where (k + w) % 4 is not 0; what it was before is what the window before
 * left, and 1. */
static void put_windows(void)
{
	struct merge_options o = {
		.source = &source, .old_images = true, .parts = 1, .memory_bytes = 64 << 20
	};
	struct merge *m = merge_new(&o);
	struct buf lines = { 0 };

	merge_begin(m);
	for (unsigned w = 0; w < WINDOWS; w++) {
		struct buf files = { 0 };
		unsigned items = 0;

		for (unsigned f = 0; f < FILES; f++) {
			unsigned n = 0;
			char md5[32];

			for (unsigned k = f; k < KEYS; k += FILES) {
				if ((k + w) % 4 == 0)
					continue;
				buf_printf(
					&lines,
					"{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"%u\"}},"
					"\"Keys\":{\"pk\":{\"S\":\"%u\"}},\"OldImage\":{\"pk\":"
					"{\"S\":\"%u\"},\"v\":{\"N\":\"%u\"}},\"NewImage\":"
					"{\"pk\":{\"S\":\"%u\"},\"v\":{\"N\":\"%u\"},\"x\":"
					"{\"S\":\"%0120u\"}}}\n",
					1000000 * w, k, k, w, k, w + 1, k * 7919);
				n++;
			}
			put_file(w, f, buf_str(&lines), md5);
			buf_printf(&files,
				   "{\"itemCount\":%u,\"md5Checksum\":\"%s\",\"etag\":\"7d-1\","
				   "\"dataFileS3Key\":\"AWSDynamoDB/data/%u-%u.json.gz\"}\n",
				   n, md5, w, f);
			assert_int_equal(merge_add(m, w + 1, f, 0, &lines), n);
			items += n;
		}
		put_manifest(w, buf_str(&files), items);
		buf_release(&files);
		free(windows[w].manifest);
		windows[w] =
			(struct merging_window){ .manifest = memory_new(100),
						 .window = { TEN_MS + w * WINDOW_HOUR_MS,
							     TEN_MS + (w + 1) * WINDOW_HOUR_MS },
						 .number = w + 1,
						 .items = items };
		snprintf(windows[w].manifest, 100,
			 "s3://" S3_BUCKET "/AWSDynamoDB/w%u/manifest-summary.json", w);
	}
	assert_true(merge_end(m));
	buf_clear(&expected);
	for (expected_rows = 0; merge_next(m, &expected);)
		expected_rows++;
	merge_free(m);
	buf_release(&lines);
}

static int setup(void **state)
{
	s3_client_up(state);
	put_windows();
	return 0;
}

static int teardown(void **state)
{
	s3_client_down(state);
	for (unsigned w = 0; w < WINDOWS; w++) {
		free(windows[w].manifest);
		windows[w] = (struct merging_window){ 0 };
	}
	buf_release(&expected);
	return 0;
}

static struct merging_options usual(void)
{
	return (struct merging_options){ .windows = windows,
					 .count = WINDOWS,
					 .table_arn = TABLE,
					 .source = &source,
					 .old_images = true,
					 .parts = 1,
					 .memory_bytes = 64 << 20,
					 .block_bytes = 20000 };
}

/* ---- reading ---- */

struct reading {
	struct merging *merging;
	struct buf lines, all;
	struct error err;
	uint64_t row;
	unsigned again; /* how often it was to be asked again */
	bool done, stop;
};

static size_t rows_in(const struct buf *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->size; i++)
		n += b->data[i] == '\n';
	return n;
}

static void on_block(void *arg, const struct error *err, const struct file_block *b)
{
	struct reading *r = arg;

	assert_true((b != NULL) == (err->kind == ERROR_NONE));
	r->err = *err;
	if (!b && error_passes(err->kind)) {
		r->again++;
		assert_int_equal(r->lines.size, 0);
		s3_server_let_go(&server);
		merging_next(r->merging, &r->lines, on_block, r);
		return;
	}
	r->done = !b || b->end || r->stop;
	if (!b)
		return;
	assert_int_equal(b->from, r->row);
	assert_int_equal(b->to - b->from, rows_in(&r->lines));
	assert_int_equal(b->end, r->lines.size == 0);
	r->row = b->to;
	assert_true(buf_add(&r->all, r->lines.data ? r->lines.data : "", r->lines.size));
	buf_clear(&r->lines);
	if (!r->done)
		merging_next(r->merging, &r->lines, on_block, r);
}

static void reading_start(struct reading *r, const struct merging_options *o)
{
	buf_clear(&server.heads);
	*r = (struct reading){ .merging = merging_new(client, o), .row = o->from };
	merging_next(r->merging, &r->lines, on_block, r);
}

static void reading_end(struct reading *r)
{
	merging_free(r->merging);
	buf_release(&r->lines);
	buf_release(&r->all);
}

static void read_all(struct reading *r, const struct merging_options *o)
{
	reading_start(r, o);
	aws_wait(client, &r->done);
}

static const char *behind(uint64_t rows)
{
	const char *p = expected.data;

	while (rows-- > 0)
		p = strchr(p, '\n') + 1;
	return p;
}

static void assert_rows(const struct reading *r, uint64_t from)
{
	const char *rest = behind(from);

	if (r->err.kind != ERROR_NONE)
		fail_msg("%s", r->err.message);
	assert_int_equal(r->row, expected_rows);
	assert_int_equal(r->all.size, strlen(rest));
	assert_memory_equal(r->all.data ? r->all.data : "", rest, r->all.size);
}

static void from_any_row_on(void **state)
{
	struct merging_options o = usual();

	(void)state;
	assert_true(expected_rows == KEYS);
	for (uint64_t from = 0; from <= expected_rows; from += expected_rows / 4) {
		struct reading r;

		o.from = from;
		read_all(&r, &o);
		assert_rows(&r, from);
		reading_end(&r);
	}
	o.from = expected_rows + 1;
	struct reading r;

	read_all(&r, &o);
	assert_int_equal(r.err.kind, ERROR_INVALID);
	assert_int_equal(r.all.size, 0);
	reading_end(&r);
}

/* Windows in which nothing happened. */
static void nothing_at_all(void **state)
{
	static const char empty[] =
		"{\"itemCount\":0,\"md5Checksum\":\"FjvgqIxwymKf1RbbqtrZag==\",\"etag\":\"7d-1\","
		"\"dataFileS3Key\":\"AWSDynamoDB/data/empty.json.gz\"}\n";
	struct merging_options o = usual();
	struct reading r;

	(void)state;
	for (unsigned w = 0; w < WINDOWS; w++) {
		put_manifest(w, STR(empty), 0);
		windows[w].items = 0;
	}
	read_all(&r, &o);
	assert_int_equal(r.err.kind, ERROR_NONE);
	assert_int_equal(r.row, 0);
	assert_int_equal(merging_passed_bytes(r.merging), 0);
	reading_end(&r);
}

/* What does not fit into the memory is read again, and the parts are the whole. */
static void in_parts_and_passes(void **state)
{
	struct buf all = { 0 };
	size_t gets = 0;

	(void)state;
	for (uint32_t part = 0; part < 2; part++) {
		struct merging_options o = usual();
		struct reading r;

		o.part = part;
		o.parts = 2;
		server.gets = 0;
		read_all(&r, &o);
		gets += server.gets;
		reading_end(&r);
		o.memory_bytes = 300 << 10;
		server.gets = 0;
		read_all(&r, &o);
		assert_int_equal(r.err.kind, ERROR_NONE);
		assert_true(server.gets >= 2 * gets / (part + 1));
		assert_true(buf_add(&all, r.all.data, r.all.size));
		reading_end(&r);
	}
	assert_int_equal(all.size, expected.size);
	assert_memory_equal(all.data, expected.data, all.size);
	buf_release(&all);
}

/* Where the server is away for longer than a call tries, the block is asked for again. */
static void a_server_that_comes_back(void **state)
{
	struct merging_options o = usual();

	(void)state;
	for (int first = 0; first < 16; first += 3) {
		struct reading r;

		reading_start(&r, &o);
		server.gets = 0;
		while (server.gets < (size_t)first && !r.done)
			loop_once(loop, 1);
		s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_CUT, 0, NULL, 1000 });
		aws_wait(client, &r.done);
		s3_server_let_go(&server);
		assert_rows(&r, 0);
		reading_end(&r);
	}
}

/* ---- damage ---- */

static void assert_fails(const char *says)
{
	struct merging_options o = usual();
	struct reading r;

	read_all(&r, &o);
	if (r.err.kind == ERROR_NONE || !strstr(r.err.message, says))
		fail_msg("%s: %s", says, r.err.message);
	/* Nothing of what was good goes out. */
	assert_int_equal(r.all.size, 0);
	reading_end(&r);
}

static void damage_is_told_by_name(void **state)
{
	struct s3_server_object *o = s3_object_find(&server, "AWSDynamoDB/data/1-2.json.gz");
	struct buf manifest = { 0 };
	char md5[32];

	(void)state;
	o->body.data[o->body.size / 2] ^= 1;
	assert_fails("AWSDynamoDB/data/1-2.json.gz");
	/* It is good, but another one than the manifest says. */
	put_file(1, 2, STR("{}\n"), md5);
	assert_fails("MD5");
	buf_printf(&manifest,
		   "{\"itemCount\":2,\"md5Checksum\":\"%s\",\"etag\":\"7d-1\",\"dataFileS3Key\":"
		   "\"AWSDynamoDB/data/1-2.json.gz\"}\n",
		   md5);
	put_manifest(1, buf_str(&manifest), 2);
	assert_fails("AWSDynamoDB/w1/manifest-summary.json is not what it was");
	windows[1].items = 2;
	assert_fails("AWSDynamoDB/data/1-2.json.gz has 1 rows, and the manifest says 2");
	windows[1].window.to_ms += 60000;
	assert_fails("is not what it was");
	windows[1].window.to_ms -= 60000;
	buf_text(&s3_object_find(&server, "AWSDynamoDB/w2/manifest-summary.md5")->body, "x");
	windows[1].items = 2;
	buf_clear(&manifest);
	put_manifest(1, STR("\n"), 0);
	windows[1].items = 0;
	assert_fails("AWSDynamoDB/w2/manifest-summary");
	buf_release(&manifest);
}

static bool held(void)
{
	bool any;

	pthread_mutex_lock(&server.lock);
	any = server.held > 0;
	pthread_mutex_unlock(&server.lock);
	return any;
}

static void free_at_once(void *arg, const struct error *err, const struct file_block *b)
{
	struct reading *r = arg;

	(void)err;
	assert_non_null(b);
	merging_free(r->merging);
	r->done = true;
}

static void mergings_that_are_given_up(void **state)
{
	struct merging_options o = usual();
	struct reading r;

	(void)state;
	reading_start(&r, &o);
	reading_end(&r);
	for (size_t gets = 0; gets < 18; gets++) { /* of manifests, and of files */
		reading_start(&r, &o);
		server.gets = 0;
		while (server.gets < gets)
			loop_once(loop, 1);
		s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_HOLD, 0, NULL, 1 });
		while (!held() && !r.done)
			loop_once(loop, 1);
		reading_end(&r);
		s3_server_let_go(&server);
	}
	r = (struct reading){ .merging = merging_new(client, &o) };
	merging_next(r.merging, &r.lines, free_at_once, &r);
	aws_wait(client, &r.done);
	buf_release(&r.lines);
	merging_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(from_any_row_on),        TEST(in_parts_and_passes),
		TEST(nothing_at_all),         TEST(a_server_that_comes_back),
		TEST(damage_is_told_by_name), TEST(mergings_that_are_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
