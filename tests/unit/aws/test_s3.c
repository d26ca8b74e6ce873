#include "tests/unit/aws/s3_client.h"

#include "aws/s3.h"
#include "aws/s3_probe.h"

/* The S3 calls and their answers, one by one. */

static const struct s3_place at = { S3_BUCKET, "a b/\xc3\xa9\"<&>.zst", NULL };

/* What a callback was told. */
struct told {
	bool done;
	struct error err;
	char upload_id[S3_UPLOAD_ID_MAX];
	struct s3_part parts[16];
	size_t count;
	struct s3_object object;
	char uploads[1024];
	char body[64];
	struct s3_range range;
	int rules; /* -1: none were told */
	char rule[64];
};

static void told_upload(void *arg, const struct error *err, const char *upload_id)
{
	struct told *t = arg;

	t->err = *err;
	if (upload_id)
		snprintf(t->upload_id, sizeof(t->upload_id), "%s", upload_id);
	t->done = true;
}

static void told_part(void *arg, const struct error *err, const struct s3_part *part)
{
	struct told *t = arg;

	t->err = *err;
	if (part)
		t->parts[t->count++] = *part;
	t->done = true;
}

static void told_parts(void *arg, const struct error *err, const struct s3_part *parts,
		       size_t count)
{
	struct told *t = arg;

	t->err = *err;
	assert_true(count <= 16);
	if (count > 0)
		memcpy(t->parts, parts, count * sizeof(*parts));
	t->count = count;
	t->done = true;
}

static void told_done(void *arg, const struct error *err)
{
	struct told *t = arg;

	t->err = *err;
	t->done = true;
}

static void told_head(void *arg, const struct error *err, const struct s3_object *o)
{
	struct told *t = arg;

	t->err = *err;
	if (o)
		t->object = *o;
	t->done = true;
}

static void told_range(void *arg, const struct error *err, struct s3_range *r)
{
	struct told *t = arg;

	t->err = *err;
	t->done = true;
	assert_true((r != NULL) == (err->kind == ERROR_NONE));
	if (!r)
		return;
	t->range = *r;
	snprintf(t->body, sizeof(t->body), "%.*s", STR_ARG(buf_str(r->body)));
}

static void told_each(void *arg, const char *key, const char *upload_id)
{
	struct told *t = arg;
	size_t n = strlen(t->uploads);

	snprintf(t->uploads + n, sizeof(t->uploads) - n, "%s %s;", key, upload_id);
}

static void told_lifecycle(void *arg, const struct error *err, const struct lifecycle *l)
{
	struct told *t = arg;

	assert_true((l != NULL) == (err->kind == ERROR_NONE));
	assert_false(t->done);
	t->err = *err;
	t->done = true;
	t->rules = l ? (int)l->count : -1;
	if (l && l->count)
		snprintf(t->rule, sizeof(t->rule), "%s under %s: %d", l->rules[0].id,
			 l->rules[0].prefix, l->rules[0].days);
}

static void wait_told(struct told *t, enum error_kind kind)
{
	aws_wait(client, &t->done);
	if (t->err.kind != kind)
		fail_msg("%s", t->err.message);
	t->done = false;
}

static void create(struct told *t, const struct s3_place *place)
{
	const struct s3_options o = { .metadata_roll = "s/1/0" };

	s3_upload_create(client, place, &o, told_upload, t);
	wait_told(t, ERROR_NONE);
}

static void send_parts(struct told *t, int count)
{
	static const char *const bodies[] = { "123456789", "two", "three", "four", "five" };

	for (int i = 0; i < count; i++) {
		s3_upload_part(client, &at, t->upload_id, i + 1, str_of(bodies[i]), told_part, t);
		wait_told(t, ERROR_NONE);
	}
}

static void test_upload(void **state)
{
	struct told t = { 0 };

	(void)state;
	create(&t, &at);
	assert_string_equal(t.upload_id, "upload-1+/=");
	send_parts(&t, 2);
	/* CRC32C's check value, as base64 of its four bytes. */
	assert_string_equal(t.parts[0].checksum, "4waSgw==");
	assert_int_equal(t.parts[0].size, 9);
	assert_int_equal(t.parts[1].number, 2);
	assert_string_equal(t.parts[1].etag, "etag-2-2");
	s3_upload_complete(client, &at, t.upload_id, t.parts, 2, told_done, &t);
	wait_told(&t, ERROR_NONE);
	s3_head(client, &at, told_head, &t);
	wait_told(&t, ERROR_NONE);
	assert_int_equal(t.object.size, 12);
	assert_string_equal(t.object.metadata_roll, "s/1/0");
	assert_string_equal(t.object.etag, "whole");
	s3_upload_complete(client, &at, t.upload_id, t.parts, 2, told_done, &t);
	wait_told(&t, ERROR_NOT_FOUND);
	s3_upload_abort(client, &at, t.upload_id, told_done, &t);
	wait_told(&t, ERROR_NONE);
}

/* Written again it is the same. */
static void test_put(void **state)
{
	const struct s3_options plain = { 0 };
	struct told t = { 0 };

	(void)state;
	for (int twice = 0; twice < 2; twice++) {
		s3_put(client, &at, &plain, STR(""), told_done, &t);
		wait_told(&t, ERROR_NONE);
		s3_head(client, &at, told_head, &t);
		wait_told(&t, ERROR_NONE);
		assert_int_equal(t.object.size, 0);
	}
	s3_put(client, &at, &plain, STR("123456789"), told_done, &t);
	wait_told(&t, ERROR_NONE);
	s3_get(client, &at, NULL, 0, 100, told_range, &t);
	wait_told(&t, ERROR_NONE);
	assert_string_equal(t.body, "123456789");
	assert_non_null(strstr(buf_str(&server.heads).p, "x-amz-checksum-crc32c: 4waSgw=="));
}

static void test_pages(void **state)
{
	struct told t = { 0 };
	const struct s3_place other = { S3_BUCKET, "other", NULL };

	(void)state;
	create(&t, &at);
	send_parts(&t, 5);
	s3_upload_parts(client, &at, t.upload_id, told_parts, &t);
	wait_told(&t, ERROR_NONE);
	assert_int_equal(t.count, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(t.parts[i].number, i + 1);
	assert_string_equal(t.parts[0].checksum, "4waSgw==");
	assert_int_equal(t.parts[4].size, 4);
	for (int i = 0; i < 4; i++)
		create(&t, &other);
	s3_uploads(client, S3_BUCKET, NULL, "oth", told_each, told_done, &t);
	wait_told(&t, ERROR_NONE);
	assert_string_equal(t.uploads, "other upload-2+/=;other upload-3+/=;other upload-4+/=;"
				       "other upload-5+/=;");
}

static void test_invalid_part(void **state)
{
	struct told t = { 0 };

	(void)state;
	create(&t, &at);
	send_parts(&t, 2);
	t.parts[0].etag[0] = 'x';
	s3_upload_complete(client, &at, t.upload_id, t.parts, 2, told_done, &t);
	wait_told(&t, ERROR_INVALID);
	/* The same within a 200, and what is not cured by a look at the parts. */
	s3_server_fault(&server, (struct s3_fault){ "POST", "", S3_IN_200, .code = "InvalidPart",
						    .times = 4 });
	s3_upload_complete(client, &at, t.upload_id, t.parts, 2, told_done, &t);
	wait_told(&t, ERROR_INVALID);
	s3_server_let_go(&server);
	s3_server_fault(&server,
			(struct s3_fault){ "POST", "", S3_ANSWER, 400, "EntityTooSmall", 1 });
	s3_upload_complete(client, &at, t.upload_id, t.parts, 2, told_done, &t);
	wait_told(&t, ERROR_REFUSED);
}

static void test_no_bucket_is_not_no_upload(void **state)
{
	const struct s3_place nowhere = { "nowhere", "k", NULL };
	struct told t = { 0 };

	(void)state;
	s3_upload_complete(client, &nowhere, "id", NULL, 0, told_done, &t);
	wait_told(&t, ERROR_REFUSED);
	s3_upload_parts(client, &nowhere, "id", told_parts, &t);
	wait_told(&t, ERROR_REFUSED);
	s3_bucket_check(client, "nowhere", NULL, told_done, &t);
	wait_told(&t, ERROR_NOT_FOUND);
	s3_head(client, &at, told_head, &t);
	wait_told(&t, ERROR_NOT_FOUND);
}

/* Answers that are not S3's are faults of the way there, and pass. */
static void test_answers_of_others(void **state)
{
	struct told t = { 0 };

	(void)state;
	create(&t, &at);
	send_parts(&t, 1);
	s3_server_fault(&server, (struct s3_fault){ "POST", "", S3_GARBLE, .times = 2 });
	s3_upload_create(client, &at, &(struct s3_options){ 0 }, told_upload, &t);
	wait_told(&t, ERROR_RETRY);
	s3_upload_complete(client, &at, t.upload_id, t.parts, 1, told_done, &t);
	wait_told(&t, ERROR_RETRY);
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_GARBLE, .times = 1 });
	s3_uploads(client, S3_BUCKET, NULL, "", told_each, told_done, &t);
	wait_told(&t, ERROR_RETRY);
	/* A part whose answer has no etag cannot be completed later. */
	s3_server_fault(&server, (struct s3_fault){ "PUT", "", S3_GARBLE, .times = 1 });
	t.count = 0;
	s3_upload_part(client, &at, t.upload_id, 1, STR("x"), told_part, &t);
	wait_told(&t, ERROR_RETRY);
	assert_int_equal(t.count, 0);
}

static const struct s3_place plain = { S3_BUCKET, "plain.gz", NULL };

static void get(struct told *t, const char *etag, uint64_t offset, size_t size,
		enum error_kind want)
{
	t->done = false;
	t->body[0] = '\0';
	s3_get(client, &plain, etag, offset, size, told_range, t);
	wait_told(t, want);
}

static void test_pieces_of_an_object(void **state)
{
	struct told t = { 0 };
	char etag[S3_ETAG_MAX];

	(void)state;
	s3_server_put(&server, plain.key, STR("0123456789"));
	get(&t, NULL, 0, 4, ERROR_NONE);
	assert_string_equal(t.body, "0123");
	assert_int_equal(t.range.offset, 0);
	assert_int_equal(t.range.total, 10);
	assert_string_equal(t.range.etag, "whole-1");
	strcpy(etag, t.range.etag);
	get(&t, etag, 4, 100, ERROR_NONE);
	assert_string_equal(t.body, "456789");
	assert_int_equal(t.range.offset, 4);
	get(&t, etag, 10, 4, ERROR_INVALID);
	/* Another object has come in its place, or none. */
	s3_server_put(&server, plain.key, STR("abcdefghij"));
	get(&t, etag, 4, 4, ERROR_INVALID);
	assert_non_null(strstr(t.err.message, "PreconditionFailed"));
	get(&t, NULL, 4, 4, ERROR_NONE);
	assert_string_equal(t.body, "efgh");
	t.done = false;
	s3_get(client, &(struct s3_place){ S3_BUCKET, "nothing", NULL }, NULL, 0, 4, told_range,
	       &t);
	wait_told(&t, ERROR_NOT_FOUND);
}

/* What came is given, so that any progress is progress; where nothing came it is asked again. */
static void test_pieces_that_break_off(void **state)
{
	struct told t = { 0 };

	(void)state;
	s3_server_put(&server, plain.key, STR("0123456789"));
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_BREAK, 3, NULL, 1 });
	get(&t, NULL, 2, 6, ERROR_NONE);
	assert_string_equal(t.body, "234");
	assert_int_equal(t.range.total, 10);
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_CUT, 0, NULL, 2 });
	get(&t, NULL, 5, 6, ERROR_NONE);
	assert_string_equal(t.body, "56789");
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_ANSWER, 503, "SlowDown", 1 });
	get(&t, NULL, 5, 1, ERROR_NONE);
	assert_string_equal(t.body, "5");
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_GARBLE, 0, NULL, 1 });
	get(&t, NULL, 5, 64, ERROR_RETRY);
}

static void test_region_is_named(void **state)
{
	struct told t = { 0 };

	(void)state;
	s3_server_fault(&server, (struct s3_fault){ "POST", "uploads", S3_ANSWER, 301,
						    "PermanentRedirect", 1 });
	s3_upload_create(client, &at, &(struct s3_options){ 0 }, told_upload, &t);
	aws_wait(client, &t.done);
	assert_non_null(strstr(t.err.message, "region"));
}

static void lifecycle(struct told *t, const char *bucket, enum error_kind want)
{
	s3_lifecycle(client, bucket, "123456789012", told_lifecycle, t);
	wait_told(t, want);
}

/* A bucket without rules is not one that is not there, or whose rules cannot be told. */
static void test_lifecycle(void **state)
{
	struct told t = { 0 };

	(void)state;
	lifecycle(&t, S3_BUCKET, ERROR_NONE);
	assert_int_equal(t.rules, 0);
	server.rules = "<LifecycleConfiguration><Rule><ID>a</ID><Filter><Prefix>raw/</Prefix>"
		       "</Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload>"
		       "<DaysAfterInitiation>7</DaysAfterInitiation>"
		       "</AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>";
	lifecycle(&t, S3_BUCKET, ERROR_NONE);
	assert_int_equal(t.rules, 1);
	assert_string_equal(t.rule, "a under raw/: 7");
	assert_non_null(strstr(buf_str(&server.heads).p, "GET /" S3_BUCKET "?lifecycle= HTTP"));
	assert_non_null(
		strstr(buf_str(&server.heads).p, "x-amz-expected-bucket-owner: 123456789012"));
	lifecycle(&t, "nowhere", ERROR_REFUSED);
	assert_int_equal(t.rules, -1);
	s3_server_fault(&server, (struct s3_fault){ "GET", "lifecycle", S3_GARBLE, .times = 1 });
	lifecycle(&t, S3_BUCKET, ERROR_RETRY);
	s3_server_fault(&server, (struct s3_fault){ "GET", "lifecycle", S3_ANSWER, 501,
						    "NotImplemented", 1 });
	lifecycle(&t, S3_BUCKET, ERROR_RETRY);
	assert_non_null(strstr(t.err.message, "NotImplemented"));
	s3_server_fault(&server, (struct s3_fault){ "GET", "lifecycle", S3_ANSWER, 405,
						    "MethodNotAllowed", 1 });
	lifecycle(&t, S3_BUCKET, ERROR_INVALID);
	server.rules = NULL;
}

static size_t times_in(const struct buf *heads, const char *part)
{
	size_t n = 0;

	for (const char *p = heads->data; p && (p = strstr(p, part)); p++)
		n++;
	return n;
}

/* It is called where S3 says that it is, from then on at once. */
static void test_a_bucket_in_another_region(void **state)
{
	struct told t = { 0 };

	(void)state;
	server.region = "eu-central-1";
	s3_bucket_check(client, S3_BUCKET, NULL, told_done, &t);
	aws_wait(client, &t.done);
	assert_int_equal(t.err.kind, ERROR_NONE);
	assert_int_equal(times_in(&server.heads, "/us-east-1/s3/"), 1);
	assert_int_equal(times_in(&server.heads, "/eu-central-1/s3/"), 1);
	t = (struct told){ 0 };
	s3_upload_create(client, &at, &(struct s3_options){ 0 }, told_upload, &t);
	aws_wait(client, &t.done);
	assert_int_equal(t.err.kind, ERROR_NONE);
	assert_int_equal(times_in(&server.heads, "/us-east-1/s3/"), 1);
	assert_int_equal(times_in(&server.heads, "/eu-central-1/s3/"), 2);
	/* By the body alone, when it moved again. */
	server.region = "us-west-2";
	t = (struct told){ 0 };
	s3_upload_create(client, &at, &(struct s3_options){ 0 }, told_upload, &t);
	aws_wait(client, &t.done);
	assert_int_equal(t.err.kind, ERROR_NONE);
	assert_int_equal(times_in(&server.heads, "/us-west-2/s3/"), 1);
	/* What is no region is followed nowhere. */
	server.region = "evil.example/x";
	t = (struct told){ 0 };
	s3_upload_create(client, &at, &(struct s3_options){ 0 }, told_upload, &t);
	aws_wait(client, &t.done);
	assert_non_null(strstr(t.err.message, "the bucket is in evil.example/x"));
	assert_int_equal(times_in(&server.heads, "evil"), 0);
	server.region = NULL;
}

/* As if a held request had taken a minute. */
static int64_t boot_when_held(const struct clock *c)
{
	int held;

	pthread_mutex_lock(&server.lock);
	held = server.held;
	pthread_mutex_unlock(&server.lock);
	return clock_boot_ms(c->arg) + held * 60000;
}

static void told_permission(void *arg, const struct permission *p)
{
	(void)arg;
	(void)p;
}

/* An upload that was begun goes, also where its part is not answered in time. */
static void test_a_probe_clears_up(void **state)
{
	const struct s3_probe probe = { .bucket = S3_BUCKET,
					.prefix = "",
					.options = &(struct s3_options){ 0 } };
	struct clock clock = clock_;
	struct error err = { 0 };

	(void)state;
	clock.boot_ms = boot_when_held;
	clock.arg = &clock_;
	s3_server_fault(&server, (struct s3_fault){ "PUT", "", S3_HOLD, .times = 1 });
	assert_false(s3_probe(&probe, &settings, credentials, &clock, metrics, told_permission,
			      NULL, &err));
	assert_non_null(strstr(err.message, "does not answer in time"));
	assert_int_equal(server.upload_count, 1);
	assert_int_equal(s3_open_uploads(&server), 0);
}

/* The rules are told of once, also where they come too late, and hold nothing up. */
static void test_a_probe_does_not_wait_for_the_rules(void **state)
{
	struct told t = { 0 };
	const struct s3_probe probe = { .bucket = S3_BUCKET,
					.prefix = "",
					.options = &(struct s3_options){ 0 },
					.lifecycle = told_lifecycle,
					.lifecycle_arg = &t };
	struct clock clock = clock_;
	struct error err = { 0 };

	(void)state;
	clock.boot_ms = boot_when_held;
	clock.arg = &clock_;
	s3_server_fault(&server, (struct s3_fault){ "GET", "lifecycle", S3_HOLD, .times = 1 });
	assert_true(s3_probe(&probe, &settings, credentials, &clock, metrics, told_permission, NULL,
			     &err));
	assert_true(t.done);
	assert_int_equal(t.rules, -1);
	assert_non_null(strstr(t.err.message, "does not answer in time"));
}

static void test_cancelled(void **state)
{
	struct told t = { 0 };
	struct error err = { 0 };

	(void)state;
	s3_uploads(client, S3_BUCKET, NULL, "", told_each, told_done, &t);
	aws_client_free(client);
	assert_true(t.done);
	assert_int_equal(t.err.kind, ERROR_CANCELLED);
	client = aws_client_new(loop, &settings, credentials, &clock_, metrics, &err);
	assert_non_null(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s3_client_up, s3_client_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_upload),
		TEST(test_put),
		TEST(test_pages),
		TEST(test_invalid_part),
		TEST(test_no_bucket_is_not_no_upload),
		TEST(test_answers_of_others),
		TEST(test_pieces_of_an_object),
		TEST(test_pieces_that_break_off),
		TEST(test_region_is_named),
		TEST(test_a_bucket_in_another_region),
		TEST(test_lifecycle),
		TEST(test_a_probe_clears_up),
		TEST(test_a_probe_does_not_wait_for_the_rules),
		TEST(test_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
