#include <libdeflate.h>
#include <signal.h>

#include "aws/s3.h"
#include "aws/streams.h"
#include "tests/fault/aws/world.h"

/* GetRecords against answers as the network and AWS spoil them. */

#define PAGE     "{\"Records\":[],\"NextShardIterator\":\"next\"}"
#define ITERATOR "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x|1|abc"
#define ID       "x-amzn-RequestId: REQ1\r\n"
#define OK                                                                                         \
	{                                                                                          \
		200, ID, STR_INIT(PAGE), REPLY_WHOLE                                               \
	}
#define STR_INIT(text)                                                                             \
	{                                                                                          \
		(text), sizeof(text) - 1                                                           \
	}
#define ERROR_BODY(code, message)                                                                  \
	STR_INIT("{\"__type\":\"com.amazonaws.dynamodb.v20120810#" code                            \
		 "\",\"message\":\"" message "\"}")

struct got {
	struct error err;
	char *page;
	size_t size;
	bool too_large, done;
	int calls;
};

static void got_records(void *arg, const struct error *err, struct streams_records *r)
{
	struct got *g = arg;

	g->err = *err;
	g->too_large = r->too_large;
	g->size = r->body->size;
	if (err->kind == ERROR_NONE)
		g->page = buf_steal(r->body);
	g->done = true;
	g->calls++;
}

static void ask(struct world *w, struct got *g, size_t body_max)
{
	*g = (struct got){ 0 };
	streams_records(w->client, ITERATOR, 1000, body_max, got_records, g);
	assert_false(g->done); /* never from inside the call */
	aws_wait(w->client, &g->done);
}

static int64_t counted(struct world *w, const char *operation, const char *result)
{
	return metric_get(metrics_cell(w->metrics, METRIC_AWS_CALLS, operation, result));
}

static void test_answer_is_handed_over(void **state)
{
	static const struct reply script[] = { OK };
	struct world w;
	struct got g;
	const char *log;

	(void)state;
	world_open(&w, script, 1, 2, NULL, NULL);
	ask(&w, &g, 1 << 20);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_string_equal(g.page, PAGE);
	free(g.page);
	log = server_log(&w.server);
	assert_non_null(strstr(log, "POST / HTTP/1.1\r\n"));
	assert_non_null(strstr(log, "x-amz-target: DynamoDBStreams_20120810.GetRecords\r\n"));
	assert_non_null(strstr(log, "content-type: application/x-amz-json-1.0\r\n"));
	assert_non_null(strstr(log, "x-amz-security-token: token+/=\r\n"));
	assert_non_null(strstr(log, "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
	assert_non_null(strstr(log, "/eu-west-1/dynamodb/aws4_request, "
				    "SignedHeaders=content-type;host;x-amz-date;"
				    "x-amz-security-token;x-amz-target, Signature="));
	assert_non_null(strstr(log, "\r\n\r\n{\"ShardIterator\":\"" ITERATOR "\",\"Limit\":1000}"));
	assert_null(strcasestr(log, "expect:"));
	assert_int_equal(counted(&w, "GetRecords", "ok"), 1);
	world_close(&w);
}

/* What spoils one attempt and not the next. */
static void test_transient_failures_are_retried(void **state)
{
	static const struct reply faults[] = {
		{ 200, ID, STR_INIT(PAGE), REPLY_CUT },
		{ 200, ID, STR_INIT(PAGE), REPLY_RESET },
		{ 200, ID "x-amz-crc32: 12345\r\n", STR_INIT(PAGE), REPLY_WHOLE },
		{ 200, ID "x-amz-crc32: junk\r\n", STR_INIT(PAGE), REPLY_WHOLE },
		{ 500, ID, ERROR_BODY("InternalServerError", "oops"), REPLY_WHOLE },
		{ 503, NULL, STR_INIT("<html>busy</html>"), REPLY_WHOLE },
		{ 504, NULL, STR_INIT(""), REPLY_WHOLE },
		{ 200, ID "Content-Encoding: gzip\r\n", STR_INIT("no gzip at all, not a\x05\0\0\0"),
		  REPLY_WHOLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const struct reply script[] = { faults[i], OK };
		struct world w;
		struct got g;

		world_open(&w, script, 2, 2, NULL, NULL);
		ask(&w, &g, 1 << 20);
		if (g.err.kind != ERROR_NONE)
			fail_msg("fault %zu: %s", i, g.err.message);
		assert_string_equal(g.page, PAGE);
		free(g.page);
		assert_int_equal(w.server.requests, 2);
		world_close(&w);
	}
}

static void test_retries_end(void **state)
{
	static const struct reply script[] = { { 500, ID, ERROR_BODY("InternalServerError", "oops"),
						 REPLY_WHOLE } };
	struct world w;
	struct got g;

	(void)state;
	world_open(&w, script, 1, 2, NULL, NULL);
	ask(&w, &g, 1 << 20);
	assert_int_equal(g.err.kind, ERROR_RETRY);
	assert_int_equal(w.server.requests, 4);
	assert_string_equal(g.err.message,
			    "GetRecords on stream arn:aws:dynamodb:eu-west-1:1:table/t/stream/x: "
			    "InternalServerError: oops (request REQ1)");
	assert_int_equal(counted(&w, "GetRecords", "retry"), 1);
	world_close(&w);
}

/* The shard's own pacing slows it down: a second one in here would multiply the calls. */
static void test_a_throttle_is_the_callers(void **state)
{
	static const struct reply throttles[] = {
		{ 400, ID, ERROR_BODY("ProvisionedThroughputExceededException", "slow"),
		  REPLY_WHOLE },
		{ 400, ID, ERROR_BODY("ThrottlingException", "slow"), REPLY_WHOLE },
		{ 400, ID, ERROR_BODY("LimitExceededException", "readers"), REPLY_WHOLE },
		{ 429, ID, STR_INIT(""), REPLY_WHOLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(throttles) / sizeof(throttles[0]); i++) {
		const struct reply script[] = { throttles[i], OK };
		struct world w;
		struct got g;

		world_open(&w, script, 2, 2, NULL, NULL);
		ask(&w, &g, 1 << 20);
		assert_int_equal(g.err.kind, ERROR_THROTTLED);
		assert_int_equal(w.server.requests, 1);
		world_close(&w);
	}
}

/* What only the caller or a person can help: one attempt, and the right kind. */
static void test_final_errors(void **state)
{
	static const struct {
		struct reply reply;
		enum error_kind kind;
		const char *says;
	} cases[] = {
		{ { 400, ID, ERROR_BODY("ExpiredIteratorException", "old"), REPLY_WHOLE },
		  ERROR_EXPIRED,
		  "ExpiredIteratorException: old (request REQ1)" },
		{ { 400, ID, ERROR_BODY("TrimmedDataAccessException", "gone"), REPLY_WHOLE },
		  ERROR_TRIMMED,
		  "TrimmedDataAccessException" },
		{ { 400, ID, ERROR_BODY("ResourceNotFoundException", "none"), REPLY_WHOLE },
		  ERROR_NOT_FOUND,
		  "ResourceNotFoundException" },
		{ { 400, ID, ERROR_BODY("ValidationException", "bad"), REPLY_WHOLE },
		  ERROR_INVALID,
		  "ValidationException" },
		{ { 400, ID, ERROR_BODY("AccessDeniedException", "User x may not"), REPLY_WHOLE },
		  ERROR_REFUSED,
		  "AccessDeniedException: User x may not (request REQ1); allow "
		  "dynamodb:GetRecords" },
		{ { 400, ID, ERROR_BODY("InvalidSignatureException", "no match"), REPLY_WHOLE },
		  ERROR_REFUSED,
		  "is the secret key the right one?" },
		{ { 400, NULL, STR_INIT("not json"), REPLY_WHOLE }, ERROR_INVALID, "HTTP 400" },
		{ { 403, NULL, STR_INIT(""), REPLY_WHOLE }, ERROR_REFUSED, "HTTP 403" },
		{ { 200, ID "Content-Encoding: br\r\n", STR_INIT(PAGE), REPLY_WHOLE },
		  ERROR_INVALID,
		  "encoding we cannot read: br" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		struct got g;

		world_open(&w, &cases[i].reply, 1, 2, NULL, NULL);
		ask(&w, &g, 1 << 20);
		assert_int_equal(g.err.kind, cases[i].kind);
		if (!strstr(g.err.message, cases[i].says))
			fail_msg("%s", g.err.message);
		assert_int_equal(w.server.requests, 1);
		world_close(&w);
	}
}

static void test_body_limit_is_exact(void **state)
{
	static const struct reply script[] = { OK, { 200, ID, STR_INIT(PAGE), REPLY_CHUNKED } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world w;
		struct got g;

		world_open(&w, &script[i], 1, 2, NULL, NULL);
		ask(&w, &g, sizeof(PAGE) - 1);
		assert_int_equal(g.err.kind, ERROR_NONE);
		free(g.page);
		ask(&w, &g, sizeof(PAGE) - 2);
		assert_int_equal(g.err.kind, ERROR_INVALID);
		assert_true(g.too_large);
		assert_int_equal(w.server.requests, 2);
		world_close(&w);
	}
}

static void test_gzip_is_checked_and_inflated(void **state)
{
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(6);
	char packed[512], headers[256];
	size_t n = libdeflate_gzip_compress(z, PAGE, sizeof(PAGE) - 1, packed, sizeof(packed));
	struct reply script[] = { { 200, headers, { packed, n }, REPLY_WHOLE } };
	struct world w;
	struct got g;

	(void)state;
	snprintf(headers, sizeof(headers), ID "Content-Encoding: gzip\r\nx-amz-crc32: %u\r\n",
		 libdeflate_crc32(0, packed, n)); /* over what was transferred */
	world_open(&w, script, 1, 2, NULL, NULL);
	ask(&w, &g, 1 << 20);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_string_equal(g.page, PAGE);
	free(g.page);
	ask(&w, &g, sizeof(PAGE) - 2); /* a small body that inflates beyond the limit */
	assert_true(g.err.kind == ERROR_INVALID && g.too_large);
	libdeflate_free_compressor(z);
	world_close(&w);
}

static void test_skewed_clock_is_corrected(void **state)
{
	static const struct reply script[] = {
		{ 400, ID "Date: Tue, 19 Jan 2038 03:14:07 GMT\r\n",
		  ERROR_BODY("InvalidSignatureException", "Signature expired: x is now earlier"),
		  REPLY_WHOLE },
		OK,
	};
	struct world w;
	struct got g;

	(void)state;
	world_open(&w, script, 2, 2, NULL, NULL);
	ask(&w, &g, 1 << 20);
	assert_int_equal(g.err.kind, ERROR_NONE);
	free(g.page);
	assert_int_equal(w.server.requests, 2);
	assert_non_null(strstr(server_log(&w.server), "x-amz-date: 20380119T0314"));
	assert_int_equal(metric_get(metrics_cell(w.metrics, METRIC_AWS_CLOCK_OFFSET, NULL, NULL)),
			 atomic_load(&w.clock.aws_offset_ms));
	world_close(&w);
}

/* A proxy's page, a lone old answer and nonsense do not move the clock; two answers that agree do.
 */
static void test_clock_believes_only_aws(void **state)
{
#define FAR "Date: Tue, 19 Jan 2038 03:14:07 GMT\r\n"
	static const struct reply script[] = {
		{ 200, FAR, STR_INIT(PAGE), REPLY_WHOLE },
		{ 200, FAR, STR_INIT(PAGE), REPLY_WHOLE },
		{ 200, ID "Date: Tue, 19 Jan 1938 03:14:07 GMT\r\n", STR_INIT(PAGE), REPLY_WHOLE },
		{ 200, ID "Date: soon\r\n", STR_INIT(PAGE), REPLY_WHOLE },
		{ 200, ID FAR, STR_INIT(PAGE), REPLY_WHOLE },
		{ 200, ID FAR, STR_INIT(PAGE), REPLY_WHOLE },
	};
	struct world w;
	struct got g;

	(void)state;
	world_open(&w, script, 6, 2, NULL, NULL);
	for (int i = 0; i < 5; i++) {
		ask(&w, &g, 1 << 20);
		free(g.page);
		assert_int_equal(atomic_load(&w.clock.aws_offset_ms), 0);
	}
	ask(&w, &g, 1 << 20);
	free(g.page);
	assert_true(atomic_load(&w.clock.aws_offset_ms) > 0);
	world_close(&w);
}

static void put(void *arg, const struct error *err)
{
	struct world *w = arg;

	assert_int_equal(err->kind, ERROR_NONE);
	w->done = true;
}

static const char *put_date(struct world *w)
{
	static const struct s3_place place = { .bucket = "some-bucket", .key = "key" };
	static const struct s3_options plain;
	static char date[32];
	const char *last = NULL;

	w->done = false;
	s3_put(w->client, &place, &plain, STR("x"), put, w);
	aws_wait(w->client, &w->done);
	for (const char *at = server_log(&w->server); (at = strstr(at, "x-amz-date: ")); at++)
		last = at;
	assert_non_null(last);
	snprintf(date, sizeof(date), "%.8s", last + strlen("x-amz-date: "));
	return date;
}

/* Its requests are signed with it, and AWS's time is what it was. */
static void test_a_store_of_files_has_a_time_of_its_own(void **state)
{
	static const struct reply script[] = {
		{ 403, "x-amz-request-id: R\r\n" FAR,
		  STR_INIT("<Error><Code>RequestTimeTooSkewed</Code></Error>"), REPLY_WHOLE },
		{ 200, "x-amz-request-id: R\r\n" FAR, STR_INIT(""), REPLY_WHOLE },
		OK,
		{ 200, "x-amz-request-id: R\r\n" FAR, STR_INIT(""), REPLY_WHOLE },
	};
	struct world w;
	struct got g;

	(void)state;
	world_open(&w, script, 4, 2, NULL, NULL);
	assert_string_equal(put_date(&w), "20380119");
	ask(&w, &g, 1 << 20);
	free(g.page);
	assert_string_equal(put_date(&w), "20380119");
	assert_int_equal(atomic_load(&w.clock.aws_offset_ms), 0);
	assert_int_equal(w.server.requests, 4);
	world_close(&w);
}

static void count_up(void *arg, const struct error *err, struct streams_records *r)
{
	struct got *g = arg;

	(void)r;
	assert_int_equal(err->kind, ERROR_NONE);
	g->done = --g->calls == 0;
}

static void test_connections_are_kept_and_bounded(void **state)
{
	static const struct reply script[] = { OK };
	struct got g = { .calls = 1000 };
	struct world w;

	(void)state;
	world_open(&w, script, 1, 4, NULL, NULL);
	for (int i = 0; i < 1000; i++)
		streams_records(w.client, ITERATOR, 1000, 1 << 20, count_up, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(w.server.requests, 1000);
	assert_in_range(w.server.connections, 1, 4);
	assert_int_equal(metric_get(metrics_cell(w.metrics, METRIC_CONNECTIONS, NULL, NULL)),
			 w.server.connections);
	world_close(&w);
}

static void test_free_cancels_all(void **state)
{
	static const struct reply script[] = { { 200, NULL, STR_INIT(PAGE), REPLY_HANG } };
	struct got g[20] = { 0 };
	struct world w;

	(void)state;
	world_open(&w, script, 1, 3, NULL, NULL);
	for (int i = 0; i < 20; i++)
		streams_records(w.client, ITERATOR, 1000, 1 << 20, got_records, &g[i]);
	while (w.server.requests < 3)
		loop_once(w.loop, 1);
	aws_client_free(w.client);
	w.client = NULL;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(g[i].calls, 1);
		assert_int_equal(g[i].err.kind, ERROR_CANCELLED);
	}
	world_close(&w);
}

static void test_nobody_listens(void **state)
{
	static const struct reply script[] = { OK };
	struct error err = { 0 };
	struct aws_settings settings = { .region = "eu-west-1", .connections_max = 2 };
	struct world w;
	struct got g;

	(void)state;
	world_open(&w, script, 1, 2, NULL, NULL);
	aws_client_free(w.client);
	server_stop(&w.server);
	settings.endpoints[AWS_STREAMS] = w.server.url;
	w.client = aws_client_new(w.loop, &settings, w.credentials, &w.clock, w.metrics, &err);
	ask(&w, &g, 1 << 20);
	assert_int_equal(g.err.kind, ERROR_RETRY);
	assert_non_null(strstr(g.err.message, w.server.url));
	server_start(&w.server, script, 1, NULL);
	world_close(&w);
}

static void test_tls_is_verified(void **state)
{
	static const struct reply script[] = { OK };
	char path[] = "/tmp/sluice-test-ca-XXXXXX";
	int fd = mkstemp(path);
	SSL_CTX *tls = server_tls(path);
	struct world w;
	struct got g;

	(void)state;
	close(fd);
	world_open(&w, script, 1, 2, tls, path);
	for (int i = 0; i < 3; i++) {
		ask(&w, &g, 1 << 20);
		assert_int_equal(g.err.kind, ERROR_NONE);
		free(g.page);
	}
	assert_int_equal(w.server.connections, 1);
	world_close(&w);
	world_open(&w, script, 1, 2, tls, "/etc/ssl/certs/ca-certificates.crt");
	ask(&w, &g, 1 << 20);
	assert_int_equal(g.err.kind, ERROR_REFUSED);
	assert_non_null(strstr(g.err.message, "AWS_CA_BUNDLE"));
	assert_int_equal(w.server.requests, 0);
	world_close(&w);
	SSL_CTX_free(tls);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_is_handed_over),
		cmocka_unit_test(test_transient_failures_are_retried),
		cmocka_unit_test(test_retries_end),
		cmocka_unit_test(test_a_throttle_is_the_callers),
		cmocka_unit_test(test_final_errors),
		cmocka_unit_test(test_body_limit_is_exact),
		cmocka_unit_test(test_gzip_is_checked_and_inflated),
		cmocka_unit_test(test_skewed_clock_is_corrected),
		cmocka_unit_test(test_a_store_of_files_has_a_time_of_its_own),
		cmocka_unit_test(test_clock_believes_only_aws),
		cmocka_unit_test(test_connections_are_kept_and_bounded),
		cmocka_unit_test(test_free_cancels_all),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_tls_is_verified),
	};

	return cmocka_run_group_tests(tests, world_environment, NULL);
}
