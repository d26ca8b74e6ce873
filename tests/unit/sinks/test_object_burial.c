#include "tests/unit/sinks/object_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

/* What becomes of a roll whose process is gone, and of a disk that says no. The process is gone
 * when the sink was closed and only the blob is left. */

static struct fixture fx;
static struct object_settings settings;
static char path_text[128], folder[256];

#define NAME(roll, n) "20261121T101112Z-" SESSION "-" roll "-" n ".ndjson"

static int setup(void **state)
{
	(void)state;
	fixture_init(&fx);
	snprintf(path_text, sizeof(path_text), "%s/out/${table}/", fx.root);
	snprintf(folder, sizeof(folder), "%s/out/orders", fx.root);
	settings = (struct object_settings){ .path = path_text,
					     .fields = event_fields_default,
					     .format = FORMAT_PLAIN,
					     .compression = COMPRESSION_NONE,
					     .roll_bytes = 128L << 20,
					     .roll_age_ms = 3600000 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_release(&fx);
	return 0;
}

static struct sink *opened(void)
{
	struct error err = { 0 };
	struct sink *s = sink_directory.open(&settings, &fx.host, &err);

	if (!s)
		fail_msg("%s", err.message);
	return s;
}

static const char *in_folder(const char *name)
{
	static char out[2][512];
	static unsigned turn;
	char *at = out[turn++ % 2];

	snprintf(at, sizeof(out[0]), "%s/%s", folder, name);
	return at;
}

static void expect_text(const char *name, const struct parcel *p)
{
	struct buf raw, want;

	buf_init(&raw, 0);
	buf_init(&want, 0);
	read_whole(in_folder(name), &raw);
	parcel_text(p, &want);
	assert_int_equal(raw.size, want.size);
	assert_memory_equal(raw.data, want.data, want.size);
	buf_release(&raw);
	buf_release(&want);
}

/* Writes one delivery, prepares, and dies; the blob stays. */
static struct str die_prepared(const struct parcel *a, const struct parcel *b)
{
	struct sink *s = opened();
	size_t at = fx.count;
	const char *blob;

	sink_directory.write(s, (struct delivery *)(uintptr_t)&a->delivery);
	expect_answer(&fx, at++, SINK_TAKEN, 1);
	if (b) {
		sink_directory.write(s, (struct delivery *)(uintptr_t)&b->delivery);
		expect_answer(&fx, at++, SINK_TAKEN, 1);
	}
	sink_directory.prepare(s);
	expect_answer(&fx, at, SINK_PREPARED, 1);
	blob = fx.answers[at].blob;
	sink_directory.close(s);
	return str_of(blob);
}

static void bury_well(struct str blob)
{
	struct error err = { 0 };

	if (!sink_directory.bury(&settings, &fx.host, blob, &(bool){ false }, &err))
		fail_msg("%s", err.message);
}

static void test_died_before_prepared(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 20000, 500);
	struct sink *s = opened();

	(void)state;
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	assert_int_equal(folder_count(folder, true), 1);
	assert_int_equal(folder_count(folder, false), 0);
	sink_directory.close(s);
	assert_int_equal(fx.count, 1);
	assert_int_equal(folder_count(folder, true), 0);
	assert_int_equal(folder_count(folder, false), 0);
	parcel_free(a);
}

static void test_died_prepared(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 20000, 500);
	struct str blob = die_prepared(a, NULL);

	(void)state;
	assert_int_equal(folder_count(folder, false), 0);
	assert_int_equal(folder_count(folder, true), 1);
	bury_well(blob);
	expect_text(NAME("1", "0"), a);
	assert_int_equal(folder_count(folder, true), 0);
	/* The store's answer may be lost: again, and once more. */
	bury_well(blob);
	bury_well(blob);
	assert_int_equal(folder_count(folder, false), 1);
	parcel_free(a);
}

/* From another working directory, with another path configured since. */
static void test_buried_from_elsewhere(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	char *home = getcwd(NULL, 0);
	struct str blob;

	(void)state;
	assert_int_equal(chdir(fx.root), 0);
	settings.path = "out/${table}";
	blob = die_prepared(a, NULL);
	assert_int_equal(chdir("/"), 0);
	settings.path = "/tmp/somewhere/else/";
	bury_well(blob);
	expect_text(NAME("1", "0"), a);
	assert_int_equal(chdir(home), 0);
	free(home);
	parcel_free(a);
}

static void test_died_half_finished(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	struct parcel *b = parcel_of(&source_users, 0, 10, 500);
	struct str blob = die_prepared(a, b);

	(void)state;
	assert_int_equal(rename(in_folder("." NAME("1", "0")), in_folder(NAME("1", "0"))), 0);
	bury_well(blob);
	expect_text(NAME("1", "0"), a);
	snprintf(folder, sizeof(folder), "%s/out/users", fx.root);
	expect_text(NAME("1", "1"), b);
	assert_int_equal(folder_count(folder, true), 0);
	parcel_free(a);
	parcel_free(b);
}

static void bury_badly(struct str blob, enum error_kind kind, const char *said)
{
	struct error err = { 0 };

	assert_false(sink_directory.bury(&settings, &fx.host, blob, &(bool){ false }, &err));
	assert_int_equal(err.kind, kind);
	if (!strstr(err.message, said))
		fail_msg("%s", err.message);
}

static void test_lost(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	struct str blob = die_prepared(a, NULL);

	(void)state;
	assert_int_equal(unlink(in_folder("." NAME("1", "0"))), 0);
	bury_badly(blob, ERROR_NOT_FOUND, "lost?");
	bury_badly(STR("{}"), ERROR_INVALID, "stored roll");
	parcel_free(a);
}

static void test_changed(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	struct str blob = die_prepared(a, NULL);

	(void)state;
	assert_int_equal(truncate(in_folder("." NAME("1", "0")), 100), 0);
	bury_badly(blob, ERROR_INVALID, "100 bytes");
	assert_int_equal(folder_count(folder, false), 0);
	parcel_free(a);
}

/* A roll that is lost while its session lives ends the session; nothing is said to be finished. */
static void test_lost_alive(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	struct sink *s = opened();
	char out[600];

	(void)state;
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	assert_int_equal(unlink(in_folder("." NAME("1", "0"))), 0);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 2, SINK_FATAL, 0);
	assert_non_null(strstr(fx.answers[2].err.message, "lost?"));
	assert_non_null(sink_directory.trouble(s, out, sizeof(out)));
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 3, SINK_FAILED, 0);
	sink_directory.close(s);
	assert_int_equal(fx.count, 4);
	parcel_free(a);
}

static void touch(const char *name)
{
	int fd = open(in_folder(name), O_CREAT | O_WRONLY, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static void test_sweep(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	struct error err = { 0 };

	(void)state;
	/* Nothing was ever written. */
	assert_true(sink_directory.sweep(&settings, &fx.host, SESSION, &err));
	bury_well(die_prepared(a, NULL));
	touch("." NAME("2", "0"));
	touch(".20261121T101112Z-" OTHER "-1-0.ndjson");
	touch(".notes-" SESSION "-");
	touch(".profile");
	assert_true(sink_directory.sweep(&settings, &fx.host, SESSION, &err));
	assert_int_equal(access(in_folder("." NAME("2", "0")), F_OK), -1);
	assert_int_equal(access(in_folder(NAME("1", "0")), F_OK), 0);
	assert_int_equal(access(in_folder(".20261121T101112Z-" OTHER "-1-0.ndjson"), F_OK), 0);
	assert_int_equal(access(in_folder(".profile"), F_OK), 0);
	assert_true(sink_directory.sweep(&settings, &fx.host, SESSION, &err));
	parcel_free(a);
}

/* Where the folder should be there is a file: repeated, counted, said, and well once it is gone. */
static void test_place_away(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	char block[256], out[600];
	const char *said;
	struct sink *s;

	(void)state;
	snprintf(block, sizeof(block), "%s/out", fx.root);
	close(open(block, O_CREAT | O_WRONLY, 0644));
	s = opened();
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	while (!(said = sink_directory.trouble(s, out, sizeof(out))))
		sched_yield();
	assert_non_null(strstr(said, "Not a directory"));
	assert_int_equal(unlink(block), 0);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	assert_null(sink_directory.trouble(s, out, sizeof(out)));
	assert_true(metric_get(metrics_cell(fx.host.metrics, METRIC_SINK_RETRIES, "lake",
					    "invalid")) > 0);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_directory.close(s);
	expect_text(NAME("1", "0"), a);
	parcel_free(a);
}

/* A disk that takes half of a part and then no more: nothing of it is seen, and all of it is there
 * in the end. */
static void test_disk_full(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 4000, 500);
	struct rlimit before, tight;
	char out[600];
	struct sink *s;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight = before;
	tight.rlim_cur = 1000000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	s = opened();
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	while (!sink_directory.trouble(s, out, sizeof(out)))
		sched_yield();
	assert_int_equal(folder_count(folder, false), 0);
	assert_int_equal(fx.count, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_directory.close(s);
	expect_text(NAME("1", "0"), a);
	parcel_free(a);
}

/* Somebody removes the unfinished file between two parts: the session ends, nothing is claimed. */
static void test_removed_while_written(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 20000, 500);
	struct sink *s = opened();

	(void)state;
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	assert_int_equal(unlink(in_folder("." NAME("1", "0"))), 0);
	sink_directory.prepare(s);
	expect_answer(&fx, 1, SINK_FATAL, 0);
	sink_directory.close(s);
	assert_int_equal(fx.count, 2);
	parcel_free(a);
}

static void test_check(void **state)
{
	struct error err = { 0 };
	struct buf said;
	char block[256];

	(void)state;
	buf_init(&said, 0);
	assert_true(sink_directory.check(&settings, &fx.host, &said, &err));
	assert_non_null(strstr(said.data, "/out/: writable"));
	snprintf(block, sizeof(block), "%s/file", fx.root);
	close(open(block, O_CREAT | O_WRONLY, 0644));
	settings.path = block;
	assert_false(sink_directory.check(&settings, &fx.host, &said, &err));
	assert_non_null(strstr(err.message, block));
	buf_release(&said);
}

static void test_validate(void **state)
{
	struct error err = { 0 };

	(void)state;
	assert_true(sink_directory.config.validate(&settings, &err));
	settings.path = "";
	assert_false(sink_directory.config.validate(&settings, &err));
	settings.path = "out/${sequence}/";
	assert_false(sink_directory.config.validate(&settings, &err));
	assert_non_null(strstr(err.message, "path"));
}

/* Two sinks of one session that write to the same place never use the same name. */
static void test_two_sinks_one_place(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	struct str first = die_prepared(a, NULL), second;

	(void)state;
	fx.host.index = 1;
	second = die_prepared(a, NULL);
	bury_well(first);
	bury_well(second);
	assert_int_equal(folder_count(folder, false), 2);
	parcel_free(a);
}

#define MANIFEST(n) "20261121T101112Z-" SESSION "-1-" n ".json"

/* The list of files comes with them, and never before them. */
static void test_manifest(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	struct parcel *b = parcel_of(&source_users, 0, 4, 250);
	char want[1024];
	struct buf text;
	struct str blob;

	(void)state;
	settings.manifest = true;
	blob = die_prepared(a, b);
	snprintf(folder, sizeof(folder), "%s/out/_manifest", fx.root);
	assert_int_equal(folder_count(folder, true), 1);
	/* One of its files is lost: nothing says that it is there. */
	snprintf(folder, sizeof(folder), "%s/out/users", fx.root);
	assert_int_equal(rename(in_folder("." NAME("1", "1")), in_folder("aside")), 0);
	bury_badly(blob, ERROR_NOT_FOUND, "lost?");
	assert_int_equal(rename(in_folder("aside"), in_folder("." NAME("1", "1"))), 0);
	snprintf(folder, sizeof(folder), "%s/out/_manifest", fx.root);
	assert_int_equal(folder_count(folder, false), 0);
	bury_well(blob);
	bury_well(blob);
	buf_init(&text, 0);
	read_whole(in_folder(MANIFEST("2")), &text);
	snprintf(
		want, sizeof(want),
		"{\"roll\":1,\"session\":\"" SESSION "\",\"files\":[{\"bytes\":5000,"
		"\"records\":10,\"path\":\"%s/out/orders/" NAME(
			"1", "0") "\"},{\"bytes\":1000,"
				  "\"records\":4,\"path\":\"%s/out/users/" NAME("1", "1") "\"}]}\n",
		fx.root, fx.root);
	assert_string_equal(text.data, want);
	buf_release(&text);
	parcel_free(a);
	parcel_free(b);
}

static void test_manifest_alive(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 500);
	struct sink *s;

	(void)state;
	settings.manifest = true;
	s = opened();
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_directory.close(s);
	expect_text(NAME("1", "0"), a);
	snprintf(folder, sizeof(folder), "%s/out/_manifest", fx.root);
	assert_int_equal(folder_count(folder, false), 1);
	assert_int_equal(folder_count(folder, true), 0);
	parcel_free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_died_before_prepared),
		TEST(test_died_prepared),
		TEST(test_buried_from_elsewhere),
		TEST(test_died_half_finished),
		TEST(test_lost),
		TEST(test_changed),
		TEST(test_lost_alive),
		TEST(test_sweep),
		TEST(test_place_away),
		TEST(test_disk_full),
		TEST(test_removed_while_written),
		TEST(test_check),
		TEST(test_validate),
		TEST(test_two_sinks_one_place),
		TEST(test_manifest),
		TEST(test_manifest_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
