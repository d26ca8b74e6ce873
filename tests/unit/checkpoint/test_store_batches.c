/* Windows that are loaded as one batch: the same contract for every store. */
#include "tests/unit/checkpoint/store_exports.h"

#define LENGTH (60 * MINUTE)

/* Window `number`, from 1, begun. */
static struct store_export begun(struct world *w, const char *session, int number, const char *view)
{
	struct store_export e =
		window(STORE_EXPORT_INCREMENTAL, T + (number - 1) * LENGTH, T + number * LENGTH);

	e.view = view;
	assert_true(begin_as(w, session, &e, T + 1));
	assert_int_equal(e.number, number);
	return e;
}

static int64_t export_it(struct world *w, int64_t id)
{
	struct store_exported what = {
		.manifest = "s3://exports/m.json", .files = 7, .items = 50, .billed_bytes = 10000000
	};

	attempt_as(w, SESSION_A, id, 1, "one", 1, "one");
	assert_done(true, store_export_submitted, w->s, SESSION_A, id, 1, "arn:1", T + 3);
	assert_done(true, store_export_exported, w->s, SESSION_A, id, 1, &what, T + 4);
	return id;
}

static void exported_windows(struct world *w, int count, int64_t *ids)
{
	for (int i = 0; i < count; i++)
		ids[i] = export_it(w, begun(w, SESSION_A, i + 1, "NEW_IMAGE").id);
}

static size_t in_batch(struct world *w, int64_t batch)
{
	return exports_of(w->s, (struct store_exports_of){ .batch = batch, .max = 99 }).count;
}

static void the_last_window_has_the_batch(void **state)
{
	struct world *w = *state;
	int64_t ids[4];
	struct files_seen files;
	struct export_seen seen;

	exported_windows(w, 4, ids);
	assert_int_equal(export_of(w->s, ids[0]).e.batch, 0);
	assert_done(true, store_export_batch, w->s, SESSION_A, ids[2], 1, 3);
	assert_done(true, store_export_batch, w->s, SESSION_A, ids[2], 1,
		    3); /* its reply was lost */
	seen = export_of(w->s, ids[2]);
	assert_int_equal(seen.e.status, STORE_EXPORT_LOADING);
	assert_int_equal(seen.e.batch, ids[2]);
	assert_int_equal(seen.e.files, 3);
	assert_int_equal(seen.e.items, 50);
	for (int i = 0; i < 2; i++) {
		seen = export_of(w->s, ids[i]);
		assert_int_equal(seen.e.status, STORE_EXPORT_EXPORTED);
		assert_int_equal(seen.e.batch, ids[2]);
		assert_int_equal(seen.e.files, 7);
	}
	assert_int_equal(export_of(w->s, ids[3]).e.batch, 0);
	assert_int_equal(in_batch(w, ids[2]), 3);
	/* They load, and are one. */
	assert_int_equal(
		exports_of(w->s, (struct store_exports_of){ .loading = true, .max = 9 }).count, 1);
	files = claim(w, SESSION_A, ids[2], 9, T + 6);
	assert_int_equal(files.count, 3);
	for (int i = 0; i < 3; i++) {
		char name[60];

		snprintf(name, sizeof(name), "batch-%lld-range-%d-of-3", (long long)ids[2], i + 1);
		assert_string_equal(files.files[i].name, name);
		assert_int_equal(files.files[i].items, 0);
	}
	files_release(&files);
}

/* All of them in the call that ends the last range, or none. */
static void its_windows_end_with_it(void **state)
{
	struct world *w = *state;
	int64_t ids[3];
	struct files_seen files;

	exported_windows(w, 3, ids);
	assert_done(true, store_export_batch, w->s, SESSION_A, ids[1], 1, 2);
	files = claim(w, SESSION_A, ids[1], 9, T + 6);
	save_file(w, SESSION_A, 1, files.files[0].lane, "", "30", 30);
	save_file(w, SESSION_A, 2, files.files[0].lane, "30", "", 30);
	assert_int_equal(status_of(w->s, ids[0]), STORE_EXPORT_EXPORTED);
	assert_int_equal(status_of(w->s, ids[1]), STORE_EXPORT_LOADING);
	assert_int_equal(export_of(w->s, ids[1]).e.files_done, 1);
	/* One that failed is tried again, as any file. */
	assert_ok(store_file_failed(w->s, SESSION_A, files.files[1].lane, "it is damaged", 0, false,
				    T + 7, err));
	assert_int_equal(status_of(w->s, ids[1]), STORE_EXPORT_FAILED);
	assert_int_equal(status_of(w->s, ids[0]), STORE_EXPORT_EXPORTED);
	assert_ok(store_export_retry(w->s, ids[1], 0, T + 8, (uint32_t[]){ 0 }, err));
	assert_int_equal(claims(w, SESSION_A, ids[1], 9, NULL), 1);
	save_file(w, SESSION_A, 3, files.files[1].lane, "", "20", 20);
	save_file(w, SESSION_A, 4, files.files[1].lane, "20", "", 20);
	files_release(&files);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(status_of(w->s, ids[i]), STORE_EXPORT_COMPLETE);
		assert_int_equal(export_of(w->s, ids[i]).e.finished_ms, T + 4000);
		assert_done(true, store_export_published, w->s, SESSION_A, ids[i], T + 9000);
	}
	assert_int_equal(export_of(w->s, ids[1]).e.records, 50);
	assert_int_equal(status_of(w->s, ids[2]), STORE_EXPORT_EXPORTED);
	/* The next one, of a single window, too. */
	assert_done(true, store_export_batch, w->s, SESSION_A, ids[2], 3, 1);
	assert_int_equal(in_batch(w, ids[2]), 1);
}

static void what_is_not_exported_is_waited_for(void **state)
{
	struct world *w = *state;
	int64_t ids[4];

	exported_windows(w, 2, ids);
	ids[2] = begun(w, SESSION_A, 3, "NEW_IMAGE").id;
	ids[3] = begun(w, SESSION_A, 4, "NEW_AND_OLD_IMAGES").id;
	export_it(w, ids[3]);
	assert_done(false, store_export_batch, w->s, SESSION_A, ids[2], 1, 1);
	assert_done(false, store_export_batch, w->s, SESSION_A, ids[3], 1, 1); /* a gap */
	assert_done(false, store_export_batch, w->s, SESSION_A, ids[1], 2, 1); /* not the first */
	assert_done(false, store_export_batch, w->s, SESSION_A, ids[1], 0, 1);
	export_it(w, ids[2]);
	assert_done(false, store_export_batch, w->s, SESSION_A, ids[3], 3, 1);
	assert_done(false, store_export_batch, w->s, SESSION_A, ids[3], 1, 1); /* another view */
	assert_int_equal(in_batch(w, ids[3]), 0);
	assert_done(true, store_export_batch, w->s, SESSION_A, ids[2], 1, 1);
	assert_done(false, store_export_batch, w->s, SESSION_A, ids[1], 1, 1); /* in another one */
	assert_kind(ERROR_NOT_FOUND,
		    store_export_batch(w->s, SESSION_A, 999, 1, 1, (bool[]){ false }, err));
	assert_kind(ERROR_FENCED,
		    store_export_batch(w->s, SESSION_C, ids[2], 1, 1, (bool[]){ false }, err));
}

/* Neither loaded alone, nor finished, nor exported anew; a window begun by a person says so. */
static void a_window_of_a_batch_is_nobody_elses(void **state)
{
	struct world *w = *state;
	struct store_file file = { .name = "x", .location = "s3://b/x", .checksum = "" };
	int64_t ids[3];

	exported_windows(w, 2, ids);
	assert_false(export_of(w->s, ids[1]).e.ends_batch);
	/* It was to be loaded alone, and its files were there already. */
	assert_done(true, store_files_add, w->s, SESSION_A, ids[1], &file, 1);
	assert_done(true, store_files_add, w->s, SESSION_A, ids[0], &file, 1);
	assert_done(true, store_export_batch, w->s, SESSION_A, ids[1], 1, 2);
	assert_int_equal(claims(w, SESSION_A, ids[1], 9, NULL), 2);
	assert_int_equal(claims(w, SESSION_A, ids[0], 9, NULL), 0);
	assert_done(false, store_files_add, w->s, SESSION_A, ids[0], &file, 1);
	assert_done(false, store_export_load, w->s, SESSION_A, ids[0], T + 5);
	assert_done(false, store_export_finish, w->s, SESSION_A, ids[0], T + 5);
	assert_done(false, store_export_failed, w->s, SESSION_A, ids[0], 1, "no", T + 9, T + 5);
	assert_int_equal(status_of(w->s, ids[0]), STORE_EXPORT_EXPORTED);
	/* Given up with it. */
	assert_done(true, store_export_abandon, w->s, ids[1], "a newer one", T + 6);
	assert_int_equal(status_of(w->s, ids[0]), STORE_EXPORT_ABANDONED);
	assert_string_equal(export_of(w->s, ids[0]).error, "a newer one");

	ids[2] = begun(w, NULL, 3, "NEW_IMAGE").id;
	assert_true(export_of(w->s, ids[2]).e.ends_batch);
}

static int run(const char *name)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		TEST(the_last_window_has_the_batch),
		TEST(its_windows_end_with_it),
		TEST(what_is_not_exported_is_waited_for),
		TEST(a_window_of_a_batch_is_nobody_elses),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
