/* A manifest from a scripted S3 server: all of it once, in parts, and nothing that is not good. */
#include "tests/unit/aws/s3_client.h"

#include <string.h>

#include "export/listing.h"

#define TABLE  "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
#define ID     "01768385930622-47364cea"
#define FOLDER "p/AWSDynamoDB/" ID "/"
#define KEY    FOLDER "manifest-summary.json"

/* --- what lies there --- */

static void put(const char *folder, const char *name, struct str body)
{
	struct s3_server_object *o;
	char key[300];
	bool ok;

	snprintf(key, sizeof(key), "%s%s", folder, name);
	pthread_mutex_lock(&server.lock);
	o = s3_object_find(&server, key);
	if (!o) {
		o = &server.objects[server.object_count++];
		o->key = memory_text(key);
	}
	buf_clear(&o->body);
	ok = buf_add(&o->body, body.p, body.n);
	assert_true(ok);
	o->versions++;
	pthread_mutex_unlock(&server.lock);
}

static void put_checked(const char *folder, const char *name, struct str body)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char md5[32], file[64];

	EVP_Digest(body.p, body.n, hash, NULL, EVP_md5(), NULL);
	EVP_EncodeBlock((unsigned char *)md5, hash, 16);
	snprintf(file, sizeof(file), "%s.json", name);
	put(folder, file, body);
	snprintf(file, sizeof(file), "%s.md5", name);
	put(folder, file, str_of(md5));
}

/* Each third file is empty. */
static void export_of(const char *folder, const char *table, const char *format, int files)
{
	struct buf list = { 0 }, summary = { 0 };
	int items = 0;

	for (int i = 0; i < files; i++) {
		int n = i % 3 ? i : 0;

		buf_printf(&list,
			   "{\"itemCount\":%d,\"md5Checksum\":\"FjvgqIxwymKf1RbbqtrZag==\","
			   "\"etag\":\"7d-1\",\"dataFileS3Key\":\"p/AWSDynamoDB/" ID
			   "/data/%026d.json.gz\"}\n",
			   n, i);
		items += n;
	}
	put_checked(folder, "manifest-files", buf_str(&list));
	buf_printf(&summary,
		   "{\"version\":\"2020-06-30\",\"exportArn\":\"%s/export/" ID
		   "\",\"startTime\":\"2026-01-14T10:18:50.622Z\",\"endTime\":"
		   "\"2026-01-14T10:24:58.984Z\",\"tableArn\":\"%s\",\"tableId\":\"c\","
		   "\"exportTime\":\"2026-01-14T10:18:00.000Z\",\"s3Bucket\":\"lake\","
		   "\"s3Prefix\":\"p\",\"s3SseAlgorithm\":\"AES256\",\"s3SseKmsKeyId\":null,"
		   "\"manifestFilesS3Key\":\"" FOLDER
		   "manifest-files.json\",\"billedSizeBytes\":0,\"itemCount\":%d,"
		   "\"outputFormat\":\"%s\"}",
		   table, table, items, format);
	put_checked(folder, "manifest-summary", buf_str(&summary));
	buf_release(&list);
	buf_release(&summary);
}

/* --- reading --- */

struct told {
	struct listing *listing;
	struct error err;
	bool done;
	size_t parts, files;
	uint64_t items;
	char last[100], location[300];
};

static void on_part(void *arg, const struct error *err, const struct listing_part *part)
{
	struct told *t = arg;

	t->err = *err;
	t->parts++;
	for (size_t i = 0; part && i < part->count; i++) {
		assert_true(part->files[i].items > 0);
		assert_true(strcmp(part->files[i].name, t->last) > 0); /* once, and in order */
		snprintf(t->last, sizeof(t->last), "%s", part->files[i].name);
		snprintf(t->location, sizeof(t->location), "%s", part->files[i].location);
		assert_string_equal(part->files[i].md5, "FjvgqIxwymKf1RbbqtrZag==");
		t->items += part->files[i].items;
		t->files++;
	}
	if (!part || part->end)
		t->done = true;
	else
		listing_next(t->listing, on_part, t);
}

static struct told read_all(const char *key, const char *table)
{
	struct listing_place place = { .bucket = S3_BUCKET, .key = key, .table_arn = table };
	struct told t = { .listing = listing_new(client, &place) };

	listing_next(t.listing, on_part, &t);
	aws_wait(client, &t.done);
	listing_free(t.listing);
	return t;
}

#define assert_fails(t, kind_, part)                                                               \
	do {                                                                                       \
		struct told t_ = (t);                                                              \
		if (t_.err.kind != (kind_) || !strstr(t_.err.message, (part)))                     \
			fail_msg("%d: %s", t_.err.kind, t_.err.message);                           \
	} while (0)

static void a_list_in_parts(void **state)
{
	struct told t;

	(void)state;
	export_of(FOLDER, TABLE, "DYNAMODB_JSON", 4000);
	t = read_all(KEY, TABLE);
	assert_int_equal(t.err.kind, ERROR_NONE);
	assert_int_equal(t.files, 4000 - 1334);
	assert_int_equal(t.items, 3999 * 4000 / 2 - 3 * (1333 * 1334 / 2));
	assert_true(t.parts > 2);
	assert_string_equal(t.location, "s3://lake/p/AWSDynamoDB/" ID
					"/data/00000000000000000000003998.json.gz");
}

static void only_empty_files(void **state)
{
	struct told t;

	(void)state;
	export_of(FOLDER, TABLE, "DYNAMODB_JSON", 1);
	t = read_all(KEY, NULL);
	assert_int_equal(t.err.kind, ERROR_NONE);
	assert_int_equal(t.files, 0);
}

static void a_copy_is_found_where_it_lies(void **state)
{
	struct told t;

	(void)state;
	export_of("copies/x/AWSDynamoDB/" ID "/", TABLE, "DYNAMODB_JSON", 3);
	t = read_all("copies/x/AWSDynamoDB/" ID "/manifest-summary.json", TABLE);
	assert_int_equal(t.err.kind, ERROR_NONE);
	assert_string_equal(t.location, "s3://lake/copies/x/AWSDynamoDB/" ID
					"/data/00000000000000000000000002.json.gz");
}

static void a_connection_that_breaks(void **state)
{
	struct told t;

	(void)state;
	export_of(FOLDER, TABLE, "DYNAMODB_JSON", 3000);
	server.faults[0] = (struct s3_fault){
		.method = "GET", .query = "", .kind = S3_BREAK, .status = 70000, .times = 8
	};
	t = read_all(KEY, TABLE);
	assert_int_equal(t.err.kind, ERROR_NONE);
	assert_int_equal(t.files, 2000);
}

static void what_is_no_good(void **state)
{
	(void)state;
	assert_fails(read_all(KEY, TABLE), ERROR_NOT_FOUND, KEY);
	assert_fails(read_all("p/other.json", TABLE), ERROR_INVALID, "p/other.json");
	export_of(FOLDER, TABLE, "DYNAMODB_JSON", 10);
	assert_fails(read_all(KEY, TABLE "2"), ERROR_INVALID, "not of " TABLE "2");
	put(FOLDER, "manifest-summary.md5", STR("xxxxxxxxxxxxxxxxxxxxxx=="));
	assert_fails(read_all(KEY, TABLE), ERROR_INVALID, "MD5");
	export_of(FOLDER, TABLE, "ION", 10);
	assert_fails(read_all(KEY, TABLE), ERROR_INVALID, "ION");
	export_of(FOLDER, TABLE, "DYNAMODB_JSON", 10);
	put(FOLDER, "manifest-files.md5", STR("xxxxxxxxxxxxxxxxxxxxxx=="));
	assert_fails(read_all(KEY, TABLE), ERROR_INVALID, "MD5");
	export_of(FOLDER, TABLE, "DYNAMODB_JSON", 10);
	put_checked(FOLDER, "manifest-files", STR("{\"itemCount\":1}\n"));
	assert_fails(read_all(KEY, TABLE), ERROR_INVALID, "manifest-files.json");
}

/* Also while it is asked for. */
static void left_alone(void **state)
{
	struct listing_place place = { .bucket = S3_BUCKET, .key = KEY };
	struct told t = { .listing = listing_new(client, &place) };

	(void)state;
	export_of(FOLDER, TABLE, "DYNAMODB_JSON", 10);
	listing_next(t.listing, on_part, &t);
	listing_free(t.listing);
	for (int i = 0; i < 20; i++)
		loop_once(loop, 10);
	assert_int_equal(t.parts, 0);
	listing_free(listing_new(client, &place));
	listing_free(NULL);
}

static void places(void **state)
{
	const char *key;

	(void)state;
	assert_int_equal(listing_location("s3://lake/a/b.json", &key), 4);
	assert_string_equal(key, "a/b.json");
	assert_int_equal(listing_location("s3://lake", &key), 0);
	assert_int_equal(listing_location("s3://lake/", &key), 0);
	assert_int_equal(listing_location("lake/a", &key), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s3_client_up, s3_client_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_list_in_parts),
		TEST(only_empty_files),
		TEST(a_copy_is_found_where_it_lies),
		TEST(a_connection_that_breaks),
		TEST(what_is_no_good),
		TEST(left_alone),
		TEST(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
