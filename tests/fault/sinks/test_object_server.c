#include "tests/unit/sinks/object_fixture.h"

#include <signal.h>

#include "aws/call.h"
#include "aws/credentials.h"
#include "config/option.h"

/* Rolls against a real S3 server, which checks signatures and checksums: SLUICE_TEST_S3 is its URL,
 * SLUICE_TEST_S3_BUCKET a bucket, and the environment has keys for it. Left out where there is
 * none, unless SLUICE_TEST_REQUIRE_S3 is set. */

static struct fixture fx;
static struct aws_settings aws;
static struct loop *loop;
static struct aws_client *client;
static char prefix[64];
static union {
	struct object_settings object;
	max_align_t align;
	char room[512];
} settings;

static void set(const char *name, const char *value)
{
	struct error err = { 0 };

	for (const struct option *o = sink_s3.config.options; o->name; o++)
		if (strcmp(o->name, name) == 0)
			assert_true(option_set(o, &settings, value, &err));
}

static int setup(void **state)
{
	const char *region = getenv("AWS_REGION"); /* of the server */
	struct error err = { 0 };

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	fixture_init(&fx);
	clock_init(&fx.clock); /* a signature needs the time as it is */
	aws = (struct aws_settings){ .region = region ? region : "us-east-1",
				     .connections_max = 8 };
	aws.endpoints[AWS_S3] = getenv("SLUICE_TEST_S3");
	fx.host.aws = &aws;
	fx.host.credentials = credentials_open(&aws, NULL, &fx.clock, fx.host.metrics, &err);
	if (!fx.host.credentials)
		fail_msg("%s", err.message);
	loop = loop_new(&fx.clock);
	client = aws_client_new(loop, &aws, fx.host.credentials, &fx.clock, fx.host.metrics, &err);
	assert_non_null(client);
	memset(&settings, 0, sizeof(settings));
	assert_true(option_defaults(sink_s3.config.options, &settings, &err));
	/* The directory's name is new each time. */
	snprintf(prefix, sizeof(prefix), "%s/", strrchr(fx.root, '/') + 1);
	set("bucket", getenv("SLUICE_TEST_S3_BUCKET"));
	set("prefix", prefix);
	set("path", "${table}/");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	aws_client_free(client);
	loop_free(loop);
	credentials_close(fx.host.credentials);
	fixture_release(&fx);
	return 0;
}

struct got {
	bool done;
	struct buf body;
	struct error err;
};

static void object_got(struct aws_call *call, const struct error *err, struct http_response *r)
{
	struct got *g = *(struct got **)aws_call_state(call);

	g->err = *err;
	g->body.size = r->body->size;
	g->body.data = buf_steal(r->body);
	g->done = true;
}

/* The one object of a roll that was written down. */
static struct got object_get(void)
{
	static const struct aws_operation get = { .name = "GetObject",
						  .service = AWS_S3,
						  .method = "GET",
						  .timeout_ms = 10000,
						  .answer_max = 32 << 20 };
	struct aws_call *call = aws_call_new(client, &get);
	struct got g = { 0 };
	struct error err = { 0 };
	AUTO(roll) struct roll *r = roll_decode(str_of(fx.answers[1].blob), "s3", &err);

	assert_non_null(r);
	assert_int_equal(strncmp(r->files[0]->path, prefix, strlen(prefix)), 0);
	aws_call_bucket(call, r->place, r->files[0]->path);
	*(struct got **)aws_call_state(call) = &g;
	aws_call_send(call, object_got);
	aws_wait(client, &g.done);
	return g;
}

static void expect_object(const struct parcel *p)
{
	struct got g = object_get();
	struct buf text, want;

	if (g.err.kind != ERROR_NONE)
		fail_msg("%s", g.err.message);
	buf_init(&text, 0);
	buf_init(&want, 0);
	decompress(COMPRESSION_ZSTD, buf_str(&g.body), &text);
	parcel_text(p, &want);
	assert_int_equal(text.size, want.size);
	assert_memory_equal(text.data, want.data, want.size);
	buf_release(&text);
	buf_release(&want);
	free(g.body.data);
}

static void expect_nothing(void)
{
	struct got g = object_get();

	assert_int_equal(g.err.kind, ERROR_NOT_FOUND);
	free(g.body.data);
}

/* To PREPARED: about 15 MB compressed, in three parts and a rest. */
static struct sink *prepared(struct parcel *p)
{
	struct error err = { 0 };
	struct sink *s = sink_s3.open(&settings, &fx.host, &err);

	if (!s)
		fail_msg("%s", err.message);
	sink_s3.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_s3.prepare(s);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	return s;
}

static struct parcel *large(void)
{
	return parcel_of(&source_orders, 0, 30000, 1000);
}

static void test_whole_life(void **state)
{
	struct parcel *p = large();
	struct sink *s = prepared(p);

	(void)state;
	expect_nothing();
	sink_s3.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_s3.close(s);
	expect_object(p);
	parcel_free(p);
}

/* Its process died; the first burial's answer is lost, the second finds the object. */
static void test_buried_twice(void **state)
{
	struct parcel *p = large();
	struct error err = { 0 };

	(void)state;
	sink_s3.close(prepared(p));
	expect_nothing();
	for (int i = 0; i < 2; i++)
		if (!sink_s3.bury(&settings, &fx.host, str_of(fx.answers[1].blob), &(bool){ false },
				  &err))
			fail_msg("%s", err.message);
	expect_object(p);
	parcel_free(p);
}

/* An etag that is not the one S3 has, as after a part that landed twice. */
static void test_other_etag(void **state)
{
	struct parcel *p = large();
	struct error err = { 0 };
	struct roll *r;
	struct buf blob;

	(void)state;
	sink_s3.close(prepared(p));
	r = roll_decode(str_of(fx.answers[1].blob), "s3", &err);
	assert_non_null(r);
	assert_true(r->files[0]->part_count >= 3);
	snprintf(r->files[0]->parts[1].etag, S3_ETAG_MAX, "0123456789abcdef0123456789abcdef");
	buf_init(&blob, 0);
	roll_encode(r, "s3", &blob);
	if (!sink_s3.bury(&settings, &fx.host, buf_str(&blob), &(bool){ false }, &err))
		fail_msg("%s", err.message);
	expect_object(p);
	buf_release(&blob);
	roll_free(r);
	parcel_free(p);
}

static void test_sweep_then_lost(void **state)
{
	struct parcel *p = large();
	struct error err = { 0 };

	(void)state;
	sink_s3.close(prepared(p));
	/* Another session's sweep leaves it alone … */
	assert_true(sink_s3.sweep(&settings, &fx.host, OTHER, &err));
	/* … its own, too early, loses it, and that is said. */
	if (!sink_s3.sweep(&settings, &fx.host, SESSION, &err))
		fail_msg("%s", err.message);
	assert_false(sink_s3.bury(&settings, &fx.host, str_of(fx.answers[1].blob), &(bool){ false },
				  &err));
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
	assert_non_null(strstr(err.message, "lost?"));
	parcel_free(p);
}

static void test_other_sessions_sweep(void **state)
{
	struct parcel *p = large();
	struct error err = { 0 };

	(void)state;
	sink_s3.close(prepared(p));
	assert_true(sink_s3.sweep(&settings, &fx.host, OTHER, &err));
	if (!sink_s3.bury(&settings, &fx.host, str_of(fx.answers[1].blob), &(bool){ false }, &err))
		fail_msg("%s", err.message);
	expect_object(p);
	parcel_free(p);
}

static void test_check(void **state)
{
	struct error err = { 0 };
	struct buf said;

	(void)state;
	buf_init(&said, 0);
	if (!sink_s3.check(&settings, &fx.host, &said, &err))
		fail_msg("%s", err.message);
	set("bucket", "there-is-no-such-bucket");
	assert_false(sink_s3.check(&settings, &fx.host, &said, &err));
	buf_release(&said);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole_life),      TEST(test_buried_twice),         TEST(test_other_etag),
		TEST(test_sweep_then_lost), TEST(test_other_sessions_sweep), TEST(test_check),
	};

	if (!getenv("SLUICE_TEST_S3") || !getenv("SLUICE_TEST_S3_BUCKET")) {
		fprintf(stderr, "left out: SLUICE_TEST_S3 and SLUICE_TEST_S3_BUCKET are not set\n");
		return getenv("SLUICE_TEST_REQUIRE_S3") ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
