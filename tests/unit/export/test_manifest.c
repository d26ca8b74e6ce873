/* Manifests as AWS writes them, and everything that must not pass for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/manifest.h"

#define TABLE    "arn:aws:dynamodb:eu-north-1:123456789012:table/orders"
#define FULL_ID  "01768385930622-efd1a093"
#define FULL_ARN TABLE "/export/" FULL_ID

static const char full[] =
	"{\"version\":\"2020-06-30\",\"exportArn\":\"" FULL_ARN "\",\"startTime\":"
	"\"2026-01-14T10:18:50.622Z\",\"endTime\":\"2026-01-14T10:24:58.984Z\",\"tableArn\":"
	"\"" TABLE "\",\"tableId\":\"cf263806-6bf1-4e51-a242-7067dcdecc72\",\"exportTime\":"
	"\"2026-01-14T10:18:50.622Z\",\"s3Bucket\":\"lake\",\"s3Prefix\":null,\"s3SseAlgorithm\":"
	"\"AES256\",\"s3SseKmsKeyId\":null,\"manifestFilesS3Key\":\"AWSDynamoDB/" FULL_ID
	"/manifest-files.json\",\"billedSizeBytes\":0,\"itemCount\":3,\"outputFormat\":"
	"\"DYNAMODB_JSON\"}";

static const char incremental[] =
	"{\"version\":\"2023-08-01\",\"exportArn\":\"" TABLE
	"/export/01768386924000-d339e52d\",\"startTime\":\"2026-01-14T10:35:24.000Z\",\"endTime\":"
	"\"2026-01-14T10:40:27.622Z\",\"tableArn\":\"" TABLE
	"\",\"tableId\":\"cf263806-6bf1-4e51-a242-7067dcdecc72\",\"exportFromTime\":"
	"\"2026-01-14T10:20:00.000Z\",\"exportToTime\":\"2026-01-14T10:35:00.000Z\",\"s3Bucket\":"
	"\"lake\",\"s3Prefix\":\"a/b\",\"s3SseAlgorithm\":\"AES256\",\"s3SseKmsKeyId\":null,"
	"\"manifestFilesS3Key\":\"a/b/AWSDynamoDB/01768386924000-d339e52d/manifest-files.json\","
	"\"billedSizeBytes\":10000000,\"itemCount\":6,\"outputFormat\":\"DYNAMODB_JSON\","
	"\"outputView\":\"NEW_AND_OLD_IMAGES\",\"exportType\":\"INCREMENTAL_EXPORT\"}";

static const char files[] =
	"{\"itemCount\":0,\"md5Checksum\":\"FjvgqIxwymKf1RbbqtrZag==\",\"etag\":"
	"\"7deb4078f238dd87d6af0538152c04e9-1\",\"dataFileS3Key\":\"AWSDynamoDB/" FULL_ID
	"/data/zqp435kgma323mmasy7jmciuje.json.gz\"}\n"
	"{\"itemCount\":3,\"md5Checksum\":\"y+zg5fVeudb3R3DOQ+RKgA==\",\"etag\":"
	"\"b5443265c5e545b6c8d8275e0b6f8c15-1\",\"dataFileS3Key\":\"AWSDynamoDB/" FULL_ID
	"/data/5mrfg3b44e3vhnfickkozoym6a.json.gz\"}\n";

/* A copy of `text` with `from` made into `to`. */
static char *changed(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *out = malloc(strlen(text) + strlen(to) + 1);

	assert_non_null(at);
	sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	return out;
}

static void a_full_export(void **state)
{
	struct manifest m;
	struct error err;

	(void)state;
	assert_true(manifest_summary_parse(str_of(full), &m, &err));
	assert_true(m.full);
	assert_int_equal(m.window.from_ms, 0);
	assert_int_equal(m.window.to_ms, 1768385930622);
	assert_string_equal(m.export_arn, FULL_ARN);
	assert_string_equal(m.table_arn, TABLE);
	assert_string_equal(m.table_id, "cf263806-6bf1-4e51-a242-7067dcdecc72");
	assert_string_equal(m.bucket, "lake");
	assert_string_equal(m.files_key, "AWSDynamoDB/" FULL_ID "/manifest-files.json");
	assert_string_equal(m.encryption, "AES256");
	assert_int_equal(m.items, 3);
	assert_true(manifest_table_check(&m, TABLE, &err));
	assert_false(manifest_table_check(&m, TABLE "2", &err));
	assert_non_null(strstr(err.message, "not of " TABLE "2"));
}

static void an_incremental_export(void **state)
{
	char *keys_only = changed(incremental, "NEW_AND_OLD_IMAGES", "NEW_IMAGE");
	struct manifest m;
	struct error err;

	(void)state;
	assert_true(manifest_summary_parse(str_of(incremental), &m, &err));
	assert_false(m.full);
	assert_int_equal(m.view, MANIFEST_NEW_AND_OLD_IMAGES);
	assert_int_equal(m.window.from_ms, 1768386000000);
	assert_int_equal(m.window.to_ms, 1768386900000);
	assert_int_equal(m.billed_bytes, 10000000);
	assert_true(manifest_summary_parse(str_of(keys_only), &m, &err));
	assert_int_equal(m.view, MANIFEST_NEW_IMAGE);
	free(keys_only);
}

static void summaries_that_are_refused(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} rows[] = {
		{ "2023-08-01", "2031-01-01", "version 2031-01-01 is not known" },
		{ "\"2023-08-01\"", "3", "version" },
		{ "DYNAMODB_JSON", "ION", "export anew" },
		{ "INCREMENTAL_EXPORT", "DIFFERENTIAL_EXPORT", "DIFFERENTIAL_EXPORT is not known" },
		{ "NEW_AND_OLD_IMAGES", "OLD_IMAGE", "OLD_IMAGE" },
		{ "\"outputView\"", "\"other\"", "outputView" },
		{ "\"itemCount\":6", "\"itemCount\":-6", "itemCount" },
		{ "\"itemCount\":6", "\"itemCount\":\"6\"", "itemCount" },
		{ "\"itemCount\":6", "\"itemCount\":6.5", "itemCount" },
		{ "\"exportToTime\"", "\"exportTime\"", "exportToTime" },
		{ "10:35:00.000Z", "10:35:00.000", "exportToTime" },
		{ "2026-01-14T10:35:00.000Z", "1768386900", "exportToTime" },
		{ "\"manifestFilesS3Key\"", "\"x\"", "manifestFilesS3Key" },
		{ "\"tableArn\":\"", "\"tableArn\":\"\\u0000", "line 1" },
		{ "\"s3Bucket\":\"lake\"", "\"s3Bucket\":\"\"", "s3Bucket" },
		{ "\"itemCount\":6,", "\"itemCount\":6,\"filterSpecification\":{},", "filtered" },
		{ "{", "[", "line 1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = changed(incremental, rows[i].from, rows[i].to);
		struct manifest m;
		struct error err = { 0 };

		if (manifest_summary_parse(str_of(text), &m, &err) ||
		    !strstr(err.message, rows[i].says) ||
		    !strstr(err.message, "manifest-summary.json"))
			fail_msg("%s: \"%s\"", rows[i].to, err.message);
		assert_int_equal(err.kind, ERROR_INVALID);
		free(text);
	}
}

static void the_summary_has_a_checksum(void **state)
{
	struct error err;

	(void)state;
	/* printf abc | openssl md5 -binary | base64 */
	assert_true(manifest_summary_check(STR("abc"), STR("kAFQmDzST7DWlj99KOF/cg=="), &err));
	assert_true(manifest_summary_check(STR("abc"), STR("kAFQmDzST7DWlj99KOF/cg==\n"), &err));
	assert_false(manifest_summary_check(STR("abd"), STR("kAFQmDzST7DWlj99KOF/cg=="), &err));
	assert_non_null(strstr(err.message, "damaged or changed"));
	assert_false(manifest_summary_check(STR("abc"), STR(""), &err));
	assert_false(manifest_summary_check(STR("abc"), STR("\0"), &err));
}

static void assert_resolves(const char *summary, const char *found, const char *key,
			    const char *want)
{
	struct manifest m;
	struct error err;
	struct buf out;

	buf_init(&out, 0);
	assert_true(manifest_summary_parse(str_of(summary), &m, &err));
	if (!want) {
		assert_false(manifest_resolve(&m, found, key, &out, &err));
	} else {
		assert_true(manifest_resolve(&m, found, key, &out, &err));
		assert_string_equal(out.data, want);
	}
	buf_release(&out);
}

/* Keys begin at the bucket's root, with the prefix; incremental exports share a data folder. */
static void keys_are_found_where_the_export_is(void **state)
{
	const char *made = "AWSDynamoDB/" FULL_ID "/manifest-summary.json";
	const char *there = "copies/AWSDynamoDB/2026/AWSDynamoDB/" FULL_ID "/manifest-summary.json";

	(void)state;
	assert_resolves(full, made, "AWSDynamoDB/" FULL_ID "/data/x.json.gz",
			"AWSDynamoDB/" FULL_ID "/data/x.json.gz");
	assert_resolves(full, there, "AWSDynamoDB/" FULL_ID "/data/x.json.gz",
			"copies/AWSDynamoDB/2026/AWSDynamoDB/" FULL_ID "/data/x.json.gz");
	assert_resolves(incremental, "AWSDynamoDB/01768386924000-d339e52d/manifest-summary.json",
			"a/b/AWSDynamoDB/data/x.json.gz", "AWSDynamoDB/data/x.json.gz");
	assert_resolves(incremental, "c/AWSDynamoDB/1/manifest-summary.json",
			"a/b/AWSDynamoDB/data/x.json.gz", "c/AWSDynamoDB/data/x.json.gz");
	assert_resolves(incremental, "c/AWSDynamoDB/1/manifest-summary.json",
			"c/AWSDynamoDB/data/x.json.gz", NULL);
	assert_resolves(incremental, "c/AWSDynamoDB/1/manifest-summary.json", "x", NULL);
	assert_resolves(incremental, "flat/manifest-summary.json", "a/b/AWSDynamoDB/data/x", NULL);
	assert_resolves(incremental, "MyAWSDynamoDB/1/manifest-summary.json",
			"a/b/AWSDynamoDB/data/x", NULL);
}

static void files_beside_the_summary(void **state)
{
	struct error err;
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_true(
		manifest_beside("a/1/manifest-summary.json", "manifest-summary.md5", &out, &err));
	assert_string_equal(out.data, "a/1/manifest-summary.md5");
	buf_clear(&out);
	assert_true(manifest_beside("manifest-summary.json", "manifest-files.md5", &out, &err));
	assert_string_equal(out.data, "manifest-files.md5");
	assert_false(manifest_beside("a/1/manifest-files.json", "x", &out, &err));
	assert_false(manifest_beside("a/my-manifest-summary.json", "x", &out, &err));
	buf_release(&out);
}

/* ---- manifest-files.json ---- */

struct seen {
	struct manifest_file files[4];
	char keys[4][200];
	size_t count;
	bool refuse;
};

static bool on_file(void *arg, const struct manifest_file *f, struct error *err)
{
	struct seen *s = arg;

	if (s->refuse)
		return error_set(err, ERROR_CANCELLED, "no more");
	assert_true(s->count < 4);
	s->files[s->count] = *f;
	snprintf(s->keys[s->count++], 200, "%s", f->key);
	return true;
}

static void md5_text(const char *text, size_t n, char out[MANIFEST_MD5_SIZE])
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	assert_int_equal(EVP_Digest(text, n, hash, NULL, EVP_md5(), NULL), 1);
	EVP_EncodeBlock((unsigned char *)out, hash, 16);
}

/* In pieces of `piece` bytes. */
static bool read_files(const char *text, size_t piece, uint64_t items, struct seen *s,
		       struct error *err)
{
	struct manifest m = { .items = items };
	struct manifest_files f;
	char md5[MANIFEST_MD5_SIZE];
	size_t n = strlen(text);
	bool good = true;

	md5_text(text, n, md5);
	s->count = 0;
	manifest_files_init(&f, on_file, s);
	for (size_t at = 0; good && at < n; at += piece)
		good = manifest_files_feed(
			&f, (struct str){ text + at, n - at < piece ? n - at : piece }, err);
	good = good && manifest_files_end(&f, &m, str_of(md5), err);
	manifest_files_release(&f);
	return good;
}

static void files_in_pieces_of_any_size(void **state)
{
	struct seen s = { 0 };
	struct error err;

	(void)state;
	for (size_t piece = 1; piece < sizeof(files) + 1; piece++) {
		if (!read_files(files, piece, 3, &s, &err))
			fail_msg("%s", err.message);
		assert_int_equal(s.count, 2);
		assert_int_equal(s.files[0].items, 0);
		assert_int_equal(s.files[1].items, 3);
		assert_string_equal(s.files[1].md5, "y+zg5fVeudb3R3DOQ+RKgA==");
		assert_string_equal(s.files[1].etag, "b5443265c5e545b6c8d8275e0b6f8c15-1");
		assert_string_equal(s.keys[1], "AWSDynamoDB/" FULL_ID
					       "/data/5mrfg3b44e3vhnfickkozoym6a.json.gz");
	}
	/* Without the last end of line, and with those of other systems. */
	assert_true(read_files("{\"itemCount\":1,\"md5Checksum\":\"FjvgqIxwymKf1RbbqtrZag==\","
			       "\"dataFileS3Key\":\"x\"}\r\n\n"
			       "{\"itemCount\":2,\"md5Checksum\":\"FjvgqIxwymKf1RbbqtrZag==\","
			       "\"dataFileS3Key\":\"y\"}",
			       7, 3, &s, &err));
	assert_int_equal(s.count, 2);
	assert_string_equal(s.files[0].etag, "");
	assert_true(read_files("", 1, 0, &s, &err));
	assert_int_equal(s.count, 0);
}

static void file_lists_that_are_refused(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} rows[] = {
		{ "\"itemCount\":3", "\"itemCount\":4", "4 items in all, and the summary says 3" },
		{ "\"itemCount\":3", "\"items\":3", "line 2: its member itemCount" },
		{ "y+zg5fVeudb3R3DOQ+RKgA==", "y+zg5fVeudb3R3DOQ+RKg", "md5Checksum" },
		{ "y+zg5fVeudb3R3DOQ+RKgA==", "y+zg5fVeudb3R3DOQ+RKgAAA", "md5Checksum" },
		{ "y+zg5fVeudb3R3DOQ+RKgA==", "y+zg5fVe*db3R3DOQ+RKgA==", "md5Checksum" },
		{ "\"dataFileS3Key\"", "\"key\"", "line 1: its member dataFileS3Key" },
		{ "}\n{", "},{", "line 1" },
		{ "{\"itemCount\":3", "[{\"itemCount\":3", "line 2" },
	};
	struct seen s = { 0 };
	char *huge, *text;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		text = changed(files, rows[i].from, rows[i].to);
		if (read_files(text, 100, 3, &s, &err) || !strstr(err.message, rows[i].says))
			fail_msg("%s: \"%s\"", rows[i].to, err.message);
		assert_int_equal(err.kind, ERROR_INVALID);
		free(text);
	}
	huge = malloc(MANIFEST_LINE_BYTES_MAX + 2);
	memset(huge, ' ', MANIFEST_LINE_BYTES_MAX + 1);
	huge[MANIFEST_LINE_BYTES_MAX + 1] = '\0';
	assert_false(read_files(huge, 512, 3, &s, &err));
	assert_non_null(strstr(err.message, "line 1 has more than"));
	free(huge);
	s.refuse = true;
	assert_false(read_files(files, 100, 3, &s, &err));
	assert_int_equal(err.kind, ERROR_CANCELLED);
}

static void a_changed_list_is_noticed(void **state)
{
	struct manifest m = { .items = 3 };
	struct manifest_files f;
	struct seen s = { 0 };
	struct error err;

	(void)state;
	manifest_files_init(&f, on_file, &s);
	assert_true(manifest_files_feed(&f, str_of(files), &err));
	assert_false(manifest_files_end(&f, &m, STR("kAFQmDzST7DWlj99KOF/cg=="), &err));
	assert_non_null(strstr(err.message, "manifest-files.json has the MD5"));
	manifest_files_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_export),
		cmocka_unit_test(an_incremental_export),
		cmocka_unit_test(summaries_that_are_refused),
		cmocka_unit_test(the_summary_has_a_checksum),
		cmocka_unit_test(keys_are_found_where_the_export_is),
		cmocka_unit_test(files_beside_the_summary),
		cmocka_unit_test(files_in_pieces_of_any_size),
		cmocka_unit_test(file_lists_that_are_refused),
		cmocka_unit_test(a_changed_list_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
