#include "tests/unit/aws/s3_server.h"
#include "tests/unit/sinks/object_fixture.h"

#include <signal.h>

#include "aws/credentials.h"
#include "config/option.h"

/* Rolls in a bucket whose server does on order what S3 does at its worst (hazards, 2). */

static struct fixture fx;
static struct s3_server server;
static struct aws_settings aws;
/* The settings by the sink's own table: its struct is its own. */
static union {
	struct object_settings object;
	max_align_t align;
	char room[512];
} settings;

#define KEY(roll, n) "orders/20261121T101112Z-" SESSION "-" roll "-" n ".ndjson"

static void set(const char *name, const char *value)
{
	struct error err = { 0 };

	for (const struct option *o = sink_s3.config.options; o->name; o++)
		if (strcmp(o->name, name) == 0) {
			assert_true(option_set(o, &settings, value, &err));
			return;
		}
	fail_msg("no option is called %s", name);
}

static void set_tags(struct option_pair *pairs, size_t count)
{
	for (const struct option *o = sink_s3.config.options; o->name; o++)
		if (strcmp(o->name, "tags") == 0)
			*(struct option_map *)((char *)&settings + o->offset) =
				(struct option_map){ pairs, count };
}

static int setup(void **state)
{
	struct error err = { 0 };

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	fixture_init(&fx);
	s3_server_start(&server);
	aws = (struct aws_settings){ .region = "us-east-1", .connections_max = 8 };
	aws.endpoints[AWS_S3] = server.url;
	fx.host.aws = &aws;
	fx.host.credentials = credentials_open(&aws, NULL, &fx.clock, fx.host.metrics, &err);
	assert_non_null(fx.host.credentials);
	assert_true(sink_s3.config.settings_size <= sizeof(settings));
	memset(&settings, 0, sizeof(settings));
	assert_true(option_defaults(sink_s3.config.options, &settings, &err));
	set("bucket", S3_BUCKET);
	set("path", "${table}/");
	set("compression", "none");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	s3_server_stop(&server);
	credentials_close(fx.host.credentials);
	fixture_release(&fx);
	return 0;
}

static struct sink *opened(void)
{
	struct error err = { 0 };
	struct sink *s = sink_s3.open(&settings, &fx.host, &err);

	if (!s)
		fail_msg("%s", err.message);
	return s;
}

static void expect_object(const char *key, const struct parcel *p, const char *mark)
{
	struct s3_server_object *o;
	struct buf want;

	buf_init(&want, 0);
	parcel_text(p, &want);
	pthread_mutex_lock(&server.lock);
	o = s3_object_find(&server, key);
	assert_non_null(o);
	assert_int_equal(o->versions, 1);
	assert_string_equal(o->mark, mark);
	assert_int_equal(o->body.size, want.size);
	assert_memory_equal(o->body.data, want.data, want.size);
	pthread_mutex_unlock(&server.lock);
	buf_release(&want);
}

static bool was_sent(const char *text)
{
	bool found;

	pthread_mutex_lock(&server.lock);
	found = server.heads.data && strstr(server.heads.data, text);
	pthread_mutex_unlock(&server.lock);
	return found;
}

static size_t times_sent(const char *text)
{
	size_t n = 0;

	pthread_mutex_lock(&server.lock);
	for (const char *p = server.heads.data; p && (p = strstr(p, text)); p++)
		n++;
	pthread_mutex_unlock(&server.lock);
	return n;
}

/* To PREPARED. */
static struct sink *prepared(struct parcel *p)
{
	struct sink *s = opened();

	sink_s3.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_s3.prepare(s);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	return s;
}

static void finished(struct sink *s, struct parcel *p)
{
	sink_s3.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_s3.close(s);
	expect_object(KEY("1", "0"), p, SESSION "/1/0");
	assert_int_equal(fx.count, 3);
	parcel_free(p);
}

/* 12 MB: two full parts and a rest. */
static struct parcel *three_parts(void)
{
	return parcel_of(&source_orders, 0, 12000, 1000);
}

static void test_whole_life(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s;

	(void)state;
	set("prefix", "deep");
	set("encryption.type", "aws:kms");
	set("encryption.key", "key-1");
	set("storage_class", "STANDARD_IA");
	set("bucket_owner", "123456789012");
	set_tags((struct option_pair[]){ { "team", "sales & co" }, { "kind", "" } }, 2);
	s = prepared(p);
	assert_int_equal(server.object_count, 0);
	sink_s3.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_s3.close(s);
	expect_object("deep/" KEY("1", "0"), p, SESSION "/1/0");
	assert_int_equal(server.uploads[0].part_count, 3);
	assert_int_equal(s3_part_slot(&server.uploads[0], 1)->body.size, 5 << 20);
	assert_int_equal(s3_part_slot(&server.uploads[0], 2)->body.size, 5 << 20);
	assert_true(was_sent("x-amz-checksum-algorithm: CRC32C"));
	assert_true(was_sent("x-amz-server-side-encryption: aws:kms"));
	assert_true(was_sent("x-amz-server-side-encryption-aws-kms-key-id: key-1"));
	assert_true(was_sent("x-amz-storage-class: STANDARD_IA"));
	assert_true(was_sent("x-amz-tagging: team=sales%20%26%20co&kind="));
	assert_int_equal(metric_get(metrics_cell(fx.host.metrics, METRIC_DELIVERED, "lake", NULL)),
			 12000);
	parcel_free(p);
}

/* A bucket of another account is neither written nor read nor cleared: each call asks for its
 * owner. */
static void test_the_owner_of_a_bucket(void **state)
{
	struct parcel *p = three_parts();
	struct error err = { 0 };
	bool committed = false;
	struct buf said;
	struct sink *s;

	(void)state;
	set("bucket_owner", "123456789012");
	set("manifest", "true");
	s = prepared(p);
	s3_server_fault(&server,
			(struct s3_fault){ "POST", "uploadId", S3_ANSWER, 400, "InvalidPart", 1 });
	sink_s3.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_s3.close(s);
	/* Finished twice: the upload is gone, and the object is looked at. */
	assert_true(
		sink_s3.bury(&settings, &fx.host, str_of(fx.answers[1].blob), &committed, &err));
	assert_true(sink_s3.sweep(&settings, &fx.host, SESSION, &err));
	buf_init(&said, 0);
	assert_true(sink_s3.check(&settings, &fx.host, &said, &err));
	assert_true(times_sent("HEAD /") >= 2);
	assert_true(times_sent("GET /") >= 3);
	assert_true(times_sent("DELETE /") >= 2);
	assert_int_equal(times_sent("x-amz-expected-bucket-owner: 123456789012"),
			 times_sent(" HTTP/1.1\r\n"));
	/* S3 does not say that this is what it refuses. */
	s3_server_fault(&server,
			(struct s3_fault){ "POST", "uploads", S3_ANSWER, 403, "AccessDenied", 1 });
	assert_false(sink_s3.check(&settings, &fx.host, &said, &err));
	assert_non_null(strstr(err.message, "is account 123456789012 the bucket's owner "
					    "(bucket_owner)?; allow s3:PutObject"));
	buf_release(&said);
	parcel_free(p);
}

static void test_tags_that_s3_does_not_take(void **state)
{
	struct option_pair many[11], bad[] = { { "aws:x", "y" }, { "", "y" } };
	char text[300];
	struct error err;

	(void)state;
	for (size_t i = 0; i < 11; i++)
		many[i] = (struct option_pair){ "k", "v" };
	set_tags(many, 10);
	assert_true(sink_s3.config.validate(&settings, &err));
	set_tags(many, 11);
	assert_false(sink_s3.config.validate(&settings, &err));
	assert_non_null(strstr(err.message, "tags: an object has 10 at most, not 11"));
	memset(text, 'v', sizeof(text));
	text[257] = '\0';
	many[0].value = text;
	set_tags(many, 1);
	assert_false(sink_s3.config.validate(&settings, &err));
	assert_non_null(strstr(err.message, "tags: 'k': a key has"));
	for (size_t i = 0; i < 2; i++) {
		set_tags(&bad[i], 1);
		assert_false(sink_s3.config.validate(&settings, &err));
	}
}

/* Folders that events name are files of one roll, which is buried as a whole. The server knows keys
 * as they stand in addresses. */
static void test_folders_of_events(void **state)
{
	static const struct str values[] = { STR("a/b"), STR("20"), { NULL, 0 }, STR("21") };
	static uint32_t of[] = { 0, 1, 1, 0, 1 };
	struct parcel *p = parcel_of(&source_orders, 0, 5, 100);
	struct s3_server_object *o[2];
	struct error err = { 0 };
	bool committed = false;
	size_t all;

	(void)state;
	set("path", "t=${attribute:t}/day=${event:dd}/");
	set("roll.files", "10");
	p->route = (struct batch_route){ .places = 2, .values = 2, .values_of = values, .of = of };
	p->delivery.route = &p->route;
	sink_s3.close(prepared(p)); /* it dies before any of them is visible */
	assert_int_equal(server.object_count, 0);
	for (int i = 0; i < 2; i++)
		assert_true(sink_s3.bury(&settings, &fx.host, str_of(fx.answers[1].blob),
					 &committed, &err));
	o[0] = s3_object_find(&server,
			      "t%3Da%252Fb/day%3D20/20261121T101112Z-" SESSION "-1-0.ndjson");
	o[1] = s3_object_find(&server,
			      "t%3D_missing/day%3D21/20261121T101112Z-" SESSION "-1-1.ndjson");
	if (!o[0] || !o[1])
		fail_msg("%s %s", server.objects[0].key, server.objects[1].key);
	assert_int_equal(server.object_count, 2);
	assert_int_equal(o[0]->versions, 1);
	all = o[0]->body.size + o[1]->body.size;
	assert_int_equal(all, 5 * (p->payloads[0].n + 1));
	assert_int_equal(o[0]->body.size, 2 * all / 5);
	p->route.of = NULL;
	parcel_free(p);
}

static void test_small_file(void **state)
{
	struct parcel *p = parcel_of(&source_orders, 0, 1, 100);

	(void)state;
	finished(prepared(p), p);
}

static void test_manifest(void **state)
{
	struct parcel *p = parcel_of(&source_orders, 0, 1, 100);
	struct s3_server_object *o;
	struct sink *s;

	(void)state;
	set("manifest", "true");
	set("path", "data-${table}/");
	set("prefix", "deep");
	s = prepared(p);
	sink_s3.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_s3.close(s);
	o = s3_object_find(&server, "deep/_manifest/20261121T101112Z-" SESSION "-1-1.json");
	assert_non_null(o);
	assert_ptr_equal(o, &server.objects[1]);
	assert_non_null(strstr(o->body.data, "\"path\":\"deep/data-" KEY("1", "0") "\""));
	/* It is not compressed as the data is. */
	assert_true(was_sent("content-type: application/json"));
	parcel_free(p);
}

/* B9: Complete is done, the answer is lost, and it is asked again. */
static void test_lost_reply(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = prepared(p);

	(void)state;
	s3_server_fault(&server, (struct s3_fault){ "POST", "uploadId", S3_LOSE, .times = 1 });
	finished(s, p);
}

static void test_garbled_reply(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = prepared(p);

	(void)state;
	s3_server_fault(&server, (struct s3_fault){ "POST", "uploadId", S3_GARBLE, .times = 1 });
	finished(s, p);
	assert_true(metric_get(metrics_cell(fx.host.metrics, METRIC_SINK_RETRIES, "lake",
					    "retry")) > 0);
}

static void test_error_in_200(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = prepared(p);

	(void)state;
	s3_server_fault(&server, (struct s3_fault){ "POST", "uploadId", S3_IN_200,
						    .code = "InternalError", .times = 1 });
	finished(s, p);
}

/* B10: a part that was sent twice lands again after the roll was written down. */
static void test_part_lands_again(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = prepared(p);
	struct s3_stored *part = &server.uploads[0].parts[1];
	char *copy = memory_text_n(part->body.data, part->body.size);

	(void)state;
	pthread_mutex_lock(&server.lock);
	s3_part_set(&server, &server.uploads[0], part->number,
		    (struct str){ copy, part->body.size });
	pthread_mutex_unlock(&server.lock);
	finished(s, p);
	free(copy);
}

static void bury_badly(struct str blob, enum error_kind kind, const char *said)
{
	struct error err = { 0 };

	assert_false(sink_s3.bury(&settings, &fx.host, blob, &(bool){ false }, &err));
	if (!strstr(err.message, said))
		fail_msg("%s", err.message);
	assert_int_equal(err.kind, kind);
}

static void test_other_part(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = prepared(p);
	struct s3_stored *part = &server.uploads[0].parts[1];
	char *other = memory_new(part->body.size);

	(void)state;
	pthread_mutex_lock(&server.lock);
	s3_part_set(&server, &server.uploads[0], part->number,
		    (struct str){ other, part->body.size });
	pthread_mutex_unlock(&server.lock);
	sink_s3.finish(s, 1);
	expect_answer(&fx, 2, SINK_FATAL, 0);
	sink_s3.close(s);
	bury_badly(str_of(fx.answers[1].blob), ERROR_INVALID, "not the ones that were sent");
	assert_int_equal(server.object_count, 0);
	free(other);
	parcel_free(p);
}

/* B7: a lifecycle rule was faster. */
static void test_lost(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = prepared(p);

	(void)state;
	pthread_mutex_lock(&server.lock);
	server.uploads[0].gone = true;
	pthread_mutex_unlock(&server.lock);
	sink_s3.finish(s, 1);
	expect_answer(&fx, 2, SINK_FATAL, 0);
	assert_non_null(strstr(fx.answers[2].err.message, "lost?"));
	assert_non_null(strstr(fx.answers[2].err.message, KEY("1", "0")));
	sink_s3.close(s);
	bury_badly(str_of(fx.answers[1].blob), ERROR_NOT_FOUND, "lost?");
	parcel_free(p);
}

static void test_other_object_at_the_key(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = prepared(p);
	struct s3_server_object *o;

	(void)state;
	sink_s3.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_s3.close(s);
	o = s3_object_find(&server, KEY("1", "0"));
	assert_non_null(o);
	o->mark[0] = 'x';
	bury_badly(str_of(fx.answers[1].blob), ERROR_INVALID, "another object");
	parcel_free(p);
}

static void test_lifecycle_while_writing(void **state)
{
	struct parcel *p = three_parts(), *q = three_parts();
	struct sink *s = opened();

	(void)state;
	s3_server_fault(&server, (struct s3_fault){ "PUT", "partNumber=3", S3_ANSWER, 404,
						    "NoSuchUpload", 1 });
	sink_s3.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_s3.prepare(s);
	expect_answer(&fx, 1, SINK_FATAL, 0);
	sink_s3.write(s, &q->delivery);
	expect_answer(&fx, 2, SINK_FAILED, 0);
	sink_s3.close(s);
	assert_int_equal(fx.count, 3);
	parcel_free(p);
	parcel_free(q);
}

/* S3 says no for longer than one call insists: visible, counted, and well afterwards. */
static void test_server_errors(void **state)
{
	struct parcel *p = three_parts();
	char out[600];
	struct sink *s;

	(void)state;
	s3_server_fault(&server,
			(struct s3_fault){ "POST", "uploads", S3_ANSWER, 403, "AccessDenied", 1 });
	s3_server_fault(&server,
			(struct s3_fault){ "PUT", "partNumber=1", S3_ANSWER, 400, "BadDigest", 2 });
	s3_server_fault(&server, (struct s3_fault){ "PUT", "partNumber=2", S3_CUT, .times = 6 });
	s = opened();
	sink_s3.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	while (!sink_s3.trouble(s, out, sizeof(out)))
		sched_yield();
	sink_s3.prepare(s);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	assert_null(sink_s3.trouble(s, out, sizeof(out)));
	assert_int_equal(
		metric_get(metrics_cell(fx.host.metrics, METRIC_SINK_RETRIES, "lake", "refused")),
		1);
	finished(s, p);
}

/* Uploads that lag: what does not fit in waits, and is not answered. */
static void test_slow_uploads(void **state)
{
	struct parcel *p[30];
	size_t taken;
	struct sink *s;

	(void)state;
	fx.host.memory_bytes = (size_t)12 << 20;
	s3_server_fault(&server, (struct s3_fault){ "PUT", "", S3_HOLD, .times = 1000 });
	s = opened();
	for (size_t i = 0; i < 30; i++) {
		p[i] = parcel_of(&source_orders, i * 1000, 1000, 1000);
		sink_s3.write(s, &p[i]->delivery);
	}
	s3_server_wait_held(&server, 2);
	pthread_mutex_lock(&fx.lock);
	taken = fx.count;
	pthread_mutex_unlock(&fx.lock);
	assert_true(taken <= 12);
	assert_true(metric_get(metrics_cell(fx.host.metrics, METRIC_SINK_UNANSWERED_BYTES, "lake",
					    NULL)) >= 18000000);
	s3_server_let_go(&server);
	for (size_t i = 0; i < 30; i++)
		expect_answer(&fx, i, SINK_TAKEN, 1);
	sink_s3.close(s);
	assert_int_equal(fx.count, 30);
	assert_int_equal(s3_open_uploads(&server), 0);
	for (size_t i = 0; i < 30; i++)
		parcel_free(p[i]);
}

static void test_died_prepared(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = prepared(p);
	struct error err = { 0 };

	(void)state;
	sink_s3.close(s);
	assert_int_equal(s3_open_uploads(&server), 1);
	assert_int_equal(server.object_count, 0);
	/* What another configuration says now does not matter. */
	set("bucket", "elsewhere");
	for (int i = 0; i < 3; i++)
		if (!sink_s3.bury(&settings, &fx.host, str_of(fx.answers[1].blob), &(bool){ false },
				  &err))
			fail_msg("%s", err.message);
	expect_object(KEY("1", "0"), p, SESSION "/1/0");
	parcel_free(p);
}

static void test_closed_unprepared(void **state)
{
	struct parcel *p = three_parts();
	struct sink *s = opened();

	(void)state;
	sink_s3.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	s3_server_fault(&server,
			(struct s3_fault){ "PUT", "", S3_ANSWER, 403, "AccessDenied", 1000 });
	sink_s3.close(s);
	assert_int_equal(s3_open_uploads(&server), 0);
	assert_int_equal(server.object_count, 0);
	parcel_free(p);
}

static void upload_of(const char *key)
{
	struct s3_server_upload *u = &server.uploads[server.upload_count++];

	snprintf(u->id, sizeof(u->id), "upload-%zu", server.upload_count);
	u->key = memory_text(key);
}

/* B2: nobody's but the dead session's. */
static void test_sweep(void **state)
{
	struct error err = { 0 };

	(void)state;
	set("prefix", "lake");
	for (int i = 0; i < 3; i++) {
		upload_of("lake/" KEY("1", "0"));
		upload_of("lake/orders/20261121T101112Z-" OTHER "-1-0.ndjson");
	}
	upload_of("lake/" SESSION "/report.csv");
	upload_of("else/" KEY("1", "0"));
	assert_true(sink_s3.sweep(&settings, &fx.host, SESSION, &err));
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(server.uploads[i].gone, i < 6 && i % 2 == 0);
	assert_true(sink_s3.sweep(&settings, &fx.host, SESSION, &err));
	s3_server_fault(&server, (struct s3_fault){ "GET", "", S3_ANSWER, 403, "AccessDenied", 1 });
	assert_false(sink_s3.sweep(&settings, &fx.host, SESSION, &err));
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_non_null(strstr(err.message, "s3:ListBucketMultipartUploads"));
}

static const struct sink_control two_events[] = {
	{ .id = 7,
	  .time_ms = WALL_MS,
	  .kind = "repair",
	  .phase = "begin",
	  .source = &source_orders,
	  .json = { "{\"id\":7}", 8 } },
	{ .id = 8,
	  .time_ms = WALL_MS + 60000,
	  .kind = "repair",
	  .phase = "end",
	  .source = &source_orders,
	  .json = { "{\"id\":8}", 8 },
	  .end = true,
	  .rolls = "{\"" SESSION "\":3}" },
};
#define BEGIN_KEY "lake/_control/20261121T101112Z-orders-repair-begin-7.json"
#define END_KEY   "lake/_control/20261121T101212Z-orders-repair-end-8.json"

static bool tell(const _Atomic bool *stop, size_t *told, struct error *err)
{
	return sink_s3.control(&settings, &fx.host, two_events, 2, stop, told, err);
}

static void expect_event(const char *key, const char *json, int versions)
{
	struct s3_server_object *o;

	pthread_mutex_lock(&server.lock);
	o = s3_object_find(&server, key);
	assert_non_null(o);
	assert_int_equal(o->versions, versions);
	assert_int_equal(o->body.size, strlen(json));
	assert_memory_equal(o->body.data, json, strlen(json));
	pthread_mutex_unlock(&server.lock);
}

static void test_control(void **state)
{
	static const _Atomic bool stop = false;
	struct error err = { 0 };
	size_t told;

	(void)state;
	set("prefix", "lake");
	set("encryption.type", "aws:kms");
	assert_true(sink_s3.tells(&settings));
	s3_server_fault(&server, (struct s3_fault){ "PUT", "", S3_LOSE, 0, "", 1 });
	assert_true(tell(&stop, &told, &err)); /* a lost answer is asked for again */
	assert_int_equal(told, 2);
	expect_event(BEGIN_KEY, "{\"id\":7}\n", 2);
	expect_event(END_KEY, "{\"id\":8,\"rolls\":{\"" SESSION "\":3}}\n", 1);
	assert_true(was_sent("x-amz-server-side-encryption: aws:kms"));
	assert_true(was_sent("content-type: application/json"));
	assert_true(tell(&stop, &told, &err)); /* another worker says the same */
	expect_event(END_KEY, "{\"id\":8,\"rolls\":{\"" SESSION "\":3}}\n", 2);
	assert_int_equal(server.object_count, 2);
}

static void test_control_is_refused(void **state)
{
	static const _Atomic bool stop = false, stopped = true;
	struct error err = { 0 };
	size_t told = 9;

	(void)state;
	s3_server_fault(&server, (struct s3_fault){ "PUT", "", S3_ANSWER, 403, "AccessDenied", 1 });
	assert_false(tell(&stop, &told, &err));
	assert_int_equal(err.kind, ERROR_REFUSED);
	assert_non_null(strstr(err.message, "s3:PutObject"));
	assert_int_equal(told, 0);
	assert_false(tell(&stopped, &told, &err));
	assert_int_equal(err.kind, ERROR_CANCELLED);
}

static void test_check(void **state)
{
	struct error err = { 0 };
	struct buf said;

	(void)state;
	buf_init(&said, 0);
	assert_true(sink_s3.check(&settings, &fx.host, &said, &err));
	assert_non_null(strstr(said.data, "writing is allowed"));
	assert_int_equal(server.upload_count, 1);
	assert_int_equal(s3_open_uploads(&server), 0);
	s3_server_fault(&server,
			(struct s3_fault){ "POST", "uploads", S3_ANSWER, 403, "AccessDenied", 1 });
	assert_false(sink_s3.check(&settings, &fx.host, &said, &err));
	assert_non_null(strstr(err.message, "s3:PutObject"));
	set("bucket", "nowhere");
	assert_false(sink_s3.check(&settings, &fx.host, &said, &err));
	assert_non_null(strstr(err.message, "nowhere"));
	buf_release(&said);
}

static void invalid(const char *said)
{
	struct error err = { 0 };

	assert_false(sink_s3.config.validate(&settings, &err));
	if (!strstr(err.message, said))
		fail_msg("%s", err.message);
}

static void test_validate(void **state)
{
	struct error err = { 0 };

	(void)state;
	assert_true(sink_s3.config.validate(&settings, &err));
	set("bucket_owner", "1234");
	invalid("bucket_owner");
	set("bucket_owner", "123456789012");
	set("encryption.key", "k");
	invalid("encryption.key");
	set("encryption.type", "aws:kms");
	assert_true(sink_s3.config.validate(&settings, &err));
	set("prefix", "/x");
	invalid("prefix");
	set("prefix", "x");
	set("path", "${nothing}");
	invalid("path");
	set("path", "/${table}");
	invalid("path: must not begin with '/'");
	set("path", "${table}");
	set("bucket", "a/b");
	invalid("bucket: 'a/b' is no bucket's name; folders go into prefix");
	set("bucket", "My_Lake");
	invalid("bucket: expected a bucket's name: 3 to 63 of a-z 0-9 . -, not 'My_Lake'");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole_life),
		TEST(test_the_owner_of_a_bucket),
		TEST(test_tags_that_s3_does_not_take),
		TEST(test_folders_of_events),
		TEST(test_small_file),
		TEST(test_manifest),
		TEST(test_lost_reply),
		TEST(test_garbled_reply),
		TEST(test_error_in_200),
		TEST(test_part_lands_again),
		TEST(test_other_part),
		TEST(test_lost),
		TEST(test_other_object_at_the_key),
		TEST(test_lifecycle_while_writing),
		TEST(test_server_errors),
		TEST(test_slow_uploads),
		TEST(test_died_prepared),
		TEST(test_closed_unprepared),
		TEST(test_sweep),
		TEST(test_control),
		TEST(test_control_is_refused),
		TEST(test_check),
		TEST(test_validate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
