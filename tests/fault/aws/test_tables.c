#include "aws/dynamodb.h"
#include "aws/http.h"
#include "aws/streams.h"
#include "tests/fault/aws/world.h"

/* The small calls, and keys that are renewed under way. */

#define STR_INIT(text)                                                                             \
	{                                                                                          \
		(text), sizeof(text) - 1                                                           \
	}
#define ARN      "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x"
#define SHARD(n) "shardId-0000000000000000000" #n "-abcdef01"
#define DESCRIPTION(rest)                                                                          \
	"{\"StreamDescription\":{\"StreamStatus\":\"ENABLED\",\"StreamViewType\":"                 \
	"\"NEW_AND_OLD_IMAGES\",\"TableName\":\"t\",\"KeySchema\":[{\"AttributeName\":\"pk\","     \
	"\"KeyType\":\"HASH\"},{\"AttributeName\":\"sk\",\"KeyType\":\"RANGE\"}]" rest "}}"

struct got {
	struct error err;
	struct streams_description description;
	struct streams_shard shards[2];
	struct dynamodb_table table;
	char iterator[64];
	bool done;
};

static void got_description(void *arg, const struct error *err, const struct streams_description *d)
{
	struct got *g = arg;

	g->err = *err;
	g->done = true;
	if (err->kind != ERROR_NONE) {
		assert_null(d);
		return;
	}
	g->description = *d;
	for (size_t i = 0; i < d->shard_count && i < 2; i++)
		g->shards[i] = d->shards[i];
}

static void got_iterator(void *arg, const struct error *err, const char *iterator)
{
	struct got *g = arg;

	g->err = *err;
	g->done = true;
	snprintf(g->iterator, sizeof(g->iterator), "%s", iterator ? iterator : "");
}

static void got_table(void *arg, const struct error *err, const struct dynamodb_table *t)
{
	struct got *g = arg;

	g->err = *err;
	g->done = true;
	assert_true((t != NULL) == (err->kind == ERROR_NONE));
	if (t)
		g->table = *t;
}

static void test_describe_stream(void **state)
{
	static const struct reply script[] = {
		{ 200, NULL,
		  STR_INIT(DESCRIPTION(",\"Shards\":[{\"ShardId\":\"" SHARD(
			  1) "\",\"SequenceNumberRange\":{"
			     "\"StartingSequenceNumber\":\"000100000000000000000000\","
			     "\"EndingSequenceNumber\":\"200000000000000000000\"}},{\"ShardId\":"
			     "\"" SHARD(2) "\",\"ParentShardId\":\"" SHARD(
				     1) "\",\"SequenceNumberRange\":{"
					"\"StartingSequenceNumber\":\"300000000000000000000\"}}],"
					"\"LastEvaluatedShardId\":\"" SHARD(2) "\"")),
		  REPLY_WHOLE },
		{ 200, NULL, STR_INIT(DESCRIPTION(",\"Shards\":[],\"New\":{}")), REPLY_CHUNKED },
	};
	struct world w;
	struct got g = { 0 };

	(void)state;
	world_open(&w, script, 2, 2, NULL, NULL);
	streams_describe(w.client, ARN, "", NULL, got_description, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_int_equal(g.description.status, STREAM_ENABLED);
	assert_string_equal(g.description.view_type, "NEW_AND_OLD_IMAGES");
	assert_string_equal(g.description.table, "t");
	assert_string_equal(g.description.key_hash, "pk");
	assert_string_equal(g.description.key_range, "sk");
	assert_string_equal(g.description.last_shard, SHARD(2));
	assert_int_equal(g.description.shard_count, 2);
	assert_string_equal(g.shards[0].parent, "");
	assert_true(g.shards[0].closed);
	assert_int_equal(g.shards[0].starting.length, 21);
	assert_string_equal(g.shards[1].parent, SHARD(1));
	assert_false(g.shards[1].closed);
	assert_non_null(strstr(server_log(&w.server), "\r\n\r\n{\"StreamArn\":\"" ARN "\"}"));

	g = (struct got){ 0 };
	streams_describe(w.client, ARN, SHARD(2), SHARD(1), got_description, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_int_equal(g.description.shard_count, 0);
	assert_string_equal(g.description.last_shard, "");
	assert_non_null(strstr(server_log(&w.server),
			       "{\"StreamArn\":\"" ARN "\",\"ExclusiveStartShardId\":\"" SHARD(
				       2) "\",\"ShardFilter\":{\"Type\":\"CHILD_SHARDS\","
					  "\"ShardId\":\"" SHARD(1) "\"}}"));
	world_close(&w);
}

static void test_a_throttled_listing_is_asked_again(void **state)
{
	static const struct reply script[] = {
		{ 400, "x-amz-retry-after: 1\r\n",
		  STR_INIT("{\"__type\":\"x#ThrottlingException\",\"message\":\"slow\"}"),
		  REPLY_WHOLE },
		{ 200, NULL, STR_INIT(DESCRIPTION(",\"Shards\":[]")), REPLY_WHOLE },
	};
	struct world w;
	struct got g = { 0 };

	(void)state;
	world_open(&w, script, 2, 2, NULL, NULL);
	streams_describe(w.client, ARN, "", NULL, got_description, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_int_equal(w.server.requests, 2);
	world_close(&w);
}

static void test_bad_descriptions(void **state)
{
	static const struct reply scripts[] = {
		{ 200, NULL, STR_INIT("{}"), REPLY_WHOLE },
		{ 200, NULL, STR_INIT("[1]"), REPLY_WHOLE },
		{ 200, NULL, STR_INIT("nonsense"), REPLY_WHOLE },
		{ 200, NULL, STR_INIT(DESCRIPTION(",\"Shards\":[{}]")), REPLY_WHOLE },
		{ 200, NULL, STR_INIT(DESCRIPTION(",\"Shards\":[7]")), REPLY_WHOLE },
		{ 200, NULL,
		  STR_INIT(DESCRIPTION(",\"Shards\":[{\"ShardId\":\"x\",\"SequenceNumberRange\":{"
				       "\"StartingSequenceNumber\":\"x1\"}}]")),
		  REPLY_WHOLE },
		{ 200, NULL, STR_INIT(DESCRIPTION(",\"LastEvaluatedShardId\":5")), REPLY_WHOLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct world w;
		struct got g = { 0 };

		world_open(&w, &scripts[i], 1, 2, NULL, NULL);
		streams_describe(w.client, ARN, "", NULL, got_description, &g);
		aws_wait(w.client, &g.done);
		if (g.err.kind == ERROR_NONE)
			fail_msg("%zu was taken", i);
		assert_non_null(strstr(g.err.message, "DescribeStream"));
		world_close(&w);
	}
}

static void test_iterators(void **state)
{
	static const struct {
		enum streams_iterator_type type;
		const char *body;
	} cases[] = {
		{ ITERATOR_TRIM_HORIZON, "\"ShardIteratorType\":\"TRIM_HORIZON\"}" },
		{ ITERATOR_LATEST, "\"ShardIteratorType\":\"LATEST\"}" },
		{ ITERATOR_AT_SEQUENCE, "\"ShardIteratorType\":\"AT_SEQUENCE_NUMBER\","
					"\"SequenceNumber\":\"000000000000000000123\"}" },
		{ ITERATOR_AFTER_SEQUENCE, "\"ShardIteratorType\":\"AFTER_SEQUENCE_NUMBER\","
					   "\"SequenceNumber\":\"000000000000000000123\"}" },
		{ ITERATOR_AT_TIMESTAMP, "\"ShardIteratorType\":\"AT_TIMESTAMP\","
					 "\"Timestamp\":1795255872.007}" },
	};
	static const struct reply script[] = {
		{ 200, NULL, STR_INIT("{\"ShardIterator\":\"a|1|b\"}"), REPLY_WHOLE }
	};
	static const struct reply none[] = { { 200, NULL, STR_INIT("{}"), REPLY_WHOLE } };
	struct sequence sequence;
	struct error err;
	struct world w;
	struct got g = { 0 };

	(void)state;
	assert_true(sequence_parse(&sequence, STR("123"), &err));
	world_open(&w, script, 1, 2, NULL, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		g = (struct got){ 0 };
		streams_iterator(w.client, ARN, SHARD(1), cases[i].type, &sequence, 1795255872007,
				 got_iterator, &g);
		aws_wait(w.client, &g.done);
		assert_string_equal(g.iterator, "a|1|b");
		assert_non_null(strstr(server_log(&w.server), cases[i].body));
	}
	world_close(&w);
	world_open(&w, none, 1, 2, NULL, NULL);
	g = (struct got){ 0 };
	streams_iterator(w.client, ARN, SHARD(1), ITERATOR_LATEST, NULL, 0, got_iterator, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_INVALID);
	world_close(&w);
}

#define TABLE(member, stream)                                                                      \
	"{\"" member "\":{\"TableName\":\"t\",\"TableArn\":\"arn:t\",\"TableStatus\":\"ACTIVE\","  \
	"\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"}]" stream "}}"
#define STREAM_ON                                                                                  \
	",\"LatestStreamArn\":\"" ARN "\",\"StreamSpecification\":{\"StreamEnabled\":true,"        \
	"\"StreamViewType\":\"KEYS_ONLY\"}"
#define VALIDATION "{\"__type\":\"x#ValidationException\",\"message\":\"already\"}"

static void test_tables(void **state)
{
	static const struct reply script[] = {
		{ 200, NULL, STR_INIT(TABLE("Table", "")), REPLY_WHOLE },
		{ 400, NULL, STR_INIT("{\"__type\":\"x#ResourceNotFoundException\"}"),
		  REPLY_WHOLE },
		{ 200, NULL, STR_INIT(TABLE("TableDescription", STREAM_ON)), REPLY_WHOLE },
		{ 400, NULL, STR_INIT(VALIDATION), REPLY_WHOLE },
		{ 200, NULL, STR_INIT(TABLE("Table", STREAM_ON)), REPLY_WHOLE },
		{ 400, NULL, STR_INIT(VALIDATION), REPLY_WHOLE },
		{ 200, NULL, STR_INIT(TABLE("Table", "")), REPLY_WHOLE },
	};
	struct world w;
	struct got g = { 0 };

	(void)state;
	world_open(&w, script, 7, 2, NULL, NULL);
	dynamodb_describe_table(w.client, "t", got_table, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_string_equal(g.table.arn, "arn:t");
	assert_string_equal(g.table.key_hash, "pk");
	assert_string_equal(g.table.key_range, "");
	assert_string_equal(g.table.stream_arn, "");
	assert_false(g.table.stream_enabled);
	g.done = false;
	dynamodb_describe_table(w.client, "gone", got_table, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NOT_FOUND);
	assert_string_equal(g.err.message,
			    "DescribeTable on table gone: ResourceNotFoundException");
	/* Enabled; enabled before; refused for another reason. */
	for (int i = 0; i < 2; i++) {
		g = (struct got){ 0 };
		dynamodb_enable_stream(w.client, "t", "KEYS_ONLY", got_table, &g);
		aws_wait(w.client, &g.done);
		assert_int_equal(g.err.kind, ERROR_NONE);
		assert_true(g.table.stream_enabled);
		assert_string_equal(g.table.stream_arn, ARN);
		assert_string_equal(g.table.view_type, "KEYS_ONLY");
	}
	g = (struct got){ 0 };
	dynamodb_enable_stream(w.client, "t", "KEYS_ONLY", got_table, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_INVALID);
	assert_non_null(strstr(g.err.message, "UpdateTable on table t: ValidationException"));
	assert_int_equal(w.server.requests, 7);
	world_close(&w);
}

struct listed {
	struct error err;
	struct dynamodb_names names;
	bool done;
};

static void got_names(void *arg, const struct error *err, const struct dynamodb_names *n)
{
	struct listed *l = arg;

	l->err = *err;
	l->done = true;
	assert_true((n != NULL) == (err->kind == ERROR_NONE));
	if (n)
		l->names = *n;
}

static void test_list_tables(void **state)
{
	static const struct reply script[] = {
		{ 200, NULL,
		  STR_INIT("{\"TableNames\":[\"a\",\"b\"],\"LastEvaluatedTableName\":\"b\"}"),
		  REPLY_WHOLE },
		{ 200, NULL, STR_INIT("{\"TableNames\":[]}"), REPLY_WHOLE },
		{ 200, NULL, STR_INIT("{\"TableNames\":[1]}"), REPLY_WHOLE },
		{ 200, NULL, STR_INIT("{\"Tables\":[]}"), REPLY_WHOLE },
		{ 400, NULL, STR_INIT("{\"__type\":\"x#AccessDeniedException\"}"), REPLY_WHOLE },
	};
	static const enum error_kind kinds[] = { ERROR_NONE, ERROR_NONE, ERROR_INVALID,
						 ERROR_INVALID, ERROR_REFUSED };
	struct world w;
	struct listed l = { 0 };

	(void)state;
	world_open(&w, script, 5, 2, NULL, NULL);
	for (int i = 0; i < 5; i++) {
		l.done = false;
		dynamodb_list_tables(w.client, i == 1 ? l.names.last : "", got_names, &l);
		aws_wait(w.client, &l.done);
		assert_int_equal(l.err.kind, kinds[i]);
		if (i == 0) {
			assert_int_equal(l.names.count, 2);
			assert_string_equal(l.names.names[1], "b");
			assert_string_equal(l.names.last, "b");
		}
	}
	assert_int_equal(l.names.count, 0);
	assert_string_equal(l.names.last, "");
	assert_non_null(strstr(l.err.message, "dynamodb:ListTables"));
	world_close(&w);
}

static _Atomic int64_t ahead_ms;
static int64_t boot_ahead(const struct clock *c)
{
	struct clock real;

	(void)c;
	clock_init(&real);
	return clock_boot_ms(&real) + ahead_ms;
}

static void write_keys(const char *path, const char *id)
{
	FILE *file = fopen(path, "we");

	fprintf(file, "[default]\naws_access_key_id=%s\naws_secret_access_key=s\n", id);
	fclose(file);
}

/* Keys that AWS no longer takes are read anew, and the same call goes through with the new ones. */
static void test_expired_keys_are_renewed(void **state)
{
	static const struct reply script[] = {
		{ 400, NULL, STR_INIT("{\"__type\":\"x#ExpiredTokenException\"}"), REPLY_WHOLE },
		{ 200, NULL, STR_INIT(TABLE("Table", "")), REPLY_WHOLE },
		{ 400, NULL, STR_INIT("{\"__type\":\"x#UnrecognizedClientException\"}"),
		  REPLY_WHOLE },
	};
	char path[] = "/tmp/sluice-test-keys-XXXXXX";
	struct world w;
	struct got g = { 0 };

	(void)state;
	close(mkstemp(path));
	write_keys(path, "OLD");
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	ahead_ms = 0;
	world_open_timed(&w, script, 3, 2, NULL, NULL, boot_ahead);
	write_keys(path, "NEW");
	ahead_ms = 60000; /* refused keys are not asked for again within seconds */
	dynamodb_describe_table(w.client, "t", got_table, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_NONE);
	assert_non_null(strstr(server_log(&w.server), "Credential=OLD/"));
	assert_non_null(strstr(server_log(&w.server), "Credential=NEW/"));
	/* Nothing new to be had: the error says whose keys they are. */
	ahead_ms = 120000;
	g = (struct got){ 0 };
	dynamodb_describe_table(w.client, "t", got_table, &g);
	aws_wait(w.client, &g.done);
	assert_int_equal(g.err.kind, ERROR_REFUSED);
	assert_non_null(strstr(g.err.message, "profile default"));
	assert_int_equal(w.server.requests, 4);
	world_close(&w);
	unlink(path);
	world_environment(NULL);
}

static void test_fetch(void **state)
{
	static const char *const headers[] = { "X-Test: yes", NULL };
	static const struct reply script[] = { { 404, NULL, STR_INIT("none"), REPLY_WHOLE } };
	struct server s;
	struct buf body = { 0 };
	struct error err;
	int status = 0;
	struct http_fetch f = { .method = "PUT",
				.headers = headers,
				.timeout_ms = 5000,
				.body_max = 4,
				.direct = true };

	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("no_proxy", "", 1);
	server_start(&s, script, 1, NULL);
	f.url = s.url;
	assert_true(http_fetch(&f, &status, &body, &err));
	assert_int_equal(status, 404);
	assert_string_equal(body.data, "none");
	assert_non_null(strstr(server_log(&s), "PUT / HTTP/1.1\r\n"));
	assert_non_null(strstr(server_log(&s), "X-Test: yes\r\n"));
	f.body_max = 3;
	buf_clear(&body);
	assert_false(http_fetch(&f, &status, &body, &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_non_null(strstr(err.message, "limit of 3 bytes"));
	server_stop(&s);
	buf_release(&body);
	assert_false(http_fetch(&f, &status, &body, &err));
	assert_int_equal(err.kind, ERROR_RETRY);
	unsetenv("http_proxy");
	world_environment(NULL);
	buf_release(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_describe_stream),
		cmocka_unit_test(test_a_throttled_listing_is_asked_again),
		cmocka_unit_test(test_bad_descriptions),
		cmocka_unit_test(test_iterators),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_list_tables),
		cmocka_unit_test(test_expired_keys_are_renewed),
		cmocka_unit_test(test_fetch),
	};

	return cmocka_run_group_tests(tests, world_environment, NULL);
}
