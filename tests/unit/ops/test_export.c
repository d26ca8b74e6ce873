/* `sluice export` beside a store that has some: what it shows, what it refuses, what it tries
 * again. */
#include "tests/unit/ops/output.h"

#include <stdlib.h>

#include "checkpoint/exports.h"
#include "ops/command.h"
#include "ops/exports.h"

#define TABLE "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
#define T     ((int64_t)1700006400000)
#define A     "aaaaaaaa-0000-4000-8000-000000000001"

static struct output said;
static char folder[] = "/tmp/sluice-export-XXXXXX";

static int setup(void **state)
{
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	f = fopen("c.yaml", "w");
	assert_non_null(f);
	fputs("checkpoint: {store: 'sqlite:state.db'}\n"
	      "sinks: {screen: {type: stdout}}\n"
	      "exports: [{table: orders, bucket: abc, full: '0 4 * * *', load: false}]\n",
	      f);
	fclose(f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink("c.yaml");
	unlink("state.db");
	rmdir(folder);
	return 0;
}

static int run(int argc, char **argv)
{
	char *all[16] = { (char *)(uintptr_t) "sluice", (char *)(uintptr_t) "export",
			  (char *)(uintptr_t) "-c", (char *)(uintptr_t) "c.yaml" };
	int code;

	for (int i = 0; i < argc; i++)
		all[4 + i] = argv[i];
	output_begin(&said);
	code = command_main(argc + 4, all);
	output_end(&said);
	return code;
}
#define export(...)                                                                                \
	run((int)(sizeof((char *[]){ __VA_ARGS__ }) / sizeof(char *)), (char *[]){ __VA_ARGS__ })

static void words_and_flags_that_do_not_fit_are_wrong_usage(void **state)
{
	(void)state;
	assert_int_equal(export("fill"), EXIT_USAGE);
	assert_int_equal(export("full", "now"), EXIT_USAGE);
	assert_int_equal(export("full", "--json"), EXIT_USAGE);
	assert_says(said.err, "full knows no --json");
	assert_int_equal(export("load", "--into", "screen"), EXIT_USAGE);
	assert_says(said.err, "load needs --table");
	assert_int_equal(
		export("load", "--into", "scren", "--table", "orders", "--from", "s3://a/b"),
		EXIT_USAGE);
	assert_says(said.err, "no sink 'scren'");
	assert_int_equal(export("full", "--table", "users"), EXIT_USAGE);
	assert_says(said.err, "exports no table users");
	assert_int_equal(export("retry", "--file", "x"), EXIT_USAGE);
}

static void without_a_store_there_is_nothing_to_show(void **state)
{
	(void)state;
	assert_int_equal(export("status"), EXIT_FAILED);
	assert_says(said.err, "state.db");
	assert_int_not_equal(access("state.db", F_OK), 0);
}

#define ok(call)                                                                                   \
	do {                                                                                       \
		if (!(call))                                                                       \
			fail_msg("%s: %s", #call, err.message);                                    \
	} while (0)

/* One that failed, and one that is being loaded: a file of it failed, too. */
static void fill(void)
{
	struct store_export full = { .table_arn = TABLE,
				     .name = "orders",
				     .kind = STORE_EXPORT_FULL,
				     .to_ms = T },
			    next = full;
	struct store_exported what = {
		.manifest = "s3://abc/m.json", .files = 2, .items = 30, .billed_bytes = 1
	};
	struct store_file files[2] = {
		{ .name = "one", .location = "s3://abc/1", .checksum = "", .items = 10 },
		{ .name = "two", .location = "s3://abc/2", .checksum = "", .items = 20 }
	};
	struct store_attempt_made made = { .attempt = 1, .token = "t" };
	struct error err = { 0 };
	struct store *s = store_open("sqlite:state.db", 1000, &err);
	int32_t sink;
	bool done;

	assert_non_null(s);
	ok(store_session_begin(s, A, "worker-a", "", 10000, &err));
	ok(store_sink(s, "screen", &sink, &err));
	ok(store_export_begin(s, A, &full, T, &done, &err));
	ok(store_export_attempt(s, A, full.id, &made, T, &done, &err));
	ok(store_export_failed(s, A, full.id, 1, "S3NoSuchBucket: no", 0, T + 1, &done, &err));
	next.to_ms = T + 60000;
	ok(store_export_begin(s, A, &next, T, &done, &err));
	ok(store_export_attempt(s, A, next.id, &made, T, &done, &err));
	ok(store_export_submitted(s, A, next.id, 1, "arn:1", T, &done, &err));
	ok(store_export_exported(s, A, next.id, 1, &what, T, &done, &err));
	ok(store_files_add(s, A, next.id, files, 2, &done, &err));
	ok(store_export_load(s, A, next.id, T, &done, &err));
	store_close(s);
}

static void what_failed_is_shown_and_tried_again(void **state)
{
	(void)state;
	fill();
	assert_int_equal(export("status"), EXIT_DONE);
	assert_says(said.out,
		    "orders  full  full at 2023-11-15T00:00:00.000Z  generation 1  failed");
	assert_says(said.out, "S3NoSuchBucket: no");
	assert_says(said.out,
		    "generation 2  loading  files 0 of 2 (0 at work, 0 failed)  records 0 of 30");
	assert_null(strstr(said.out, "attempt 1 "));
	assert_int_equal(export("status", "--attempts"), EXIT_DONE);
	assert_says(said.out, "attempt 1  by worker-a");
	assert_int_equal(export("status", "--json", "--attempts", "--table", "orders"), EXIT_DONE);
	assert_says(said.out, "\"files\":2,\"files_completed\":0");
	assert_says(said.out, "\"how\":\"failed\"");
	assert_int_equal(export("status", "--table", "users"), EXIT_DONE);
	assert_says(said.out, "no exports");

	/* Nobody to ask. */
	assert_int_equal(export("retry"), EXIT_USAGE);
	assert_says(said.err, "needs --yes");
	assert_int_equal(export("retry", "--table", "users", "--yes"), EXIT_DONE);
	assert_says(said.out, "nothing");
	assert_int_equal(export("retry", "--yes"), EXIT_DONE);
	assert_says(said.out, "1 tried again");
	assert_int_equal(export("retry", "--yes"), EXIT_DONE);
	assert_says(said.out, "nothing");
}

static void how_a_load_goes_on(void **state)
{
	struct store_export e = {
		.status = STORE_EXPORT_LOADING, .exported_ms = T, .records = 100, .items = 400
	};
	struct exports_progress p = exports_progress(&e, T + 50000);

	(void)state;
	assert_true(p.rate > 1.99 && p.rate < 2.01);
	assert_int_equal(p.left_ms, 150000);
	e.records = 0;
	p = exports_progress(&e, T + 50000);
	assert_true(p.rate < 0.01 && p.left_ms == -1);
	e.records = 100;
	e.status = STORE_EXPORT_COMPLETE;
	assert_int_equal(exports_progress(&e, T + 50000).left_ms, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_and_flags_that_do_not_fit_are_wrong_usage),
		cmocka_unit_test(without_a_store_there_is_nothing_to_show),
		cmocka_unit_test(what_failed_is_shown_and_tried_again),
		cmocka_unit_test(how_a_load_goes_on),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
