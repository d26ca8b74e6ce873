/* Exports are begun once and move on once: the same contract for every store. */
#include "tests/unit/checkpoint/store_exports.h"

static void the_same_window_is_begun_once(void **state)
{
	struct world *w = *state;
	struct store_export e = window(STORE_EXPORT_FULL, 0, T), again = e, other = e;
	struct export_seen seen;

	assert_true(begin_as(w, SESSION_A, &e, T + 1));
	assert_true(e.id > 0);
	assert_int_equal(e.generation, 1);
	assert_int_equal(e.number, 0);
	assert_int_equal(e.status, STORE_EXPORT_WAITING);
	assert_true(begin_as(w, SESSION_A, &again, T + 1)); /* its reply was lost */
	assert_false(begin_as(w, SESSION_A, &again, T + 2));
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	assert_false(begin_as(w, SESSION_B, &again, T + 1));
	assert_int_equal(again.id, e.id);
	other.name = "users";
	assert_true(begin_as(w, SESSION_B, &other, T + 1));
	assert_int_not_equal(other.id, e.id);

	assert_int_equal(exports_of(w->s, (struct store_exports_of){ .max = 9 }).count, 2);
	assert_int_equal(exports_of(w->s, (struct store_exports_of){ .max = 1 }).e.id, other.id);
	seen = exports_of(
		w->s, (struct store_exports_of){ .table_arn = TABLE, .name = "orders", .max = 9 });
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.e.id, e.id);
	assert_int_equal(seen.e.to_ms, T);
	assert_int_equal(seen.e.begun_ms, T + 1);
	assert_int_equal(seen.e.kind, STORE_EXPORT_FULL);
	assert_string_equal(seen.e.driver, SESSION_A);
	assert_string_equal(seen.name, "orders");
	assert_kind(ERROR_FENCED,
		    store_export_begin(w->s, SESSION_C, &e, T, (bool[]){ false }, err));
}

static void windows_of_a_generation_are_contiguous(void **state)
{
	struct world *w = *state;
	struct store_export full = window(STORE_EXPORT_FULL, 0, T),
			    first = window(STORE_EXPORT_INCREMENTAL, T - 13 * MINUTE,
					   T + 2 * MINUTE),
			    second = window(STORE_EXPORT_INCREMENTAL, T + 2 * MINUTE,
					    T + 62 * MINUTE),
			    torn = window(STORE_EXPORT_INCREMENTAL, T + 2 * MINUTE,
					  T + 32 * MINUTE),
			    late = window(STORE_EXPORT_INCREMENTAL, T + 63 * MINUTE,
					  T + 93 * MINUTE);

	begin_as(w, SESSION_A, &full, T + 1);
	assert_true(begin_as(w, SESSION_A, &first, T + 1));
	assert_true(begin_as(w, SESSION_A, &second, T + 1));
	assert_int_equal(first.generation, 1);
	assert_int_equal(first.number, 1);
	assert_int_equal(second.number, 2);
	/* Another worker, whose configuration has another length: neither overlap nor gap. */
	assert_false(begin_as(w, SESSION_A, &torn, T + 1));
	assert_int_equal(torn.id, 0);
	assert_false(begin_as(w, SESSION_A, &late, T + 1));
	assert_int_equal(late.id, 0);

	full.generation = 0;
	full.to_ms = T + 100 * MINUTE;
	assert_true(begin_as(w, SESSION_A, &full, T + 2));
	assert_int_equal(full.generation, 2);
	late.from_ms = full.to_ms - 13 * MINUTE;
	late.to_ms = full.to_ms + 2 * MINUTE;
	late.generation = 0;
	assert_true(begin_as(w, SESSION_A, &late, T + 2));
	assert_int_equal(late.generation, 2);
	assert_int_equal(late.number, 1);
}

static void hold(struct world *w)
{
	struct store_hold h = { .why = STORE_HOLD_BASELINE, .who = "worker-a", .since_ms = T };
	bool done;

	assert_ok(store_stream_hold(w->s, w->stream, 0, &h, &done, err));
	assert_true(done);
}

static void a_baseline_raises_its_streams_generation(void **state)
{
	struct world *w = *state;
	struct store_export full = window(STORE_EXPORT_BASELINE, 0, T), again, other,
			    next = window(STORE_EXPORT_BASELINE, T - 13 * MINUTE, T + 2 * MINUTE);
	struct store_stream stream;

	full.stream = w->stream;
	again = other = full;
	hold(w);
	assert_true(begin_as(w, SESSION_A, &full, T + 1));
	assert_int_equal(full.generation, 2);
	assert_false(begin_as(w, SESSION_A, &again, T + 7));
	assert_int_equal(again.generation, 2);
	next.stream = w->stream;
	next.generation = full.generation;
	assert_true(begin_as(w, SESSION_A, &next, T + 1));
	assert_int_equal(next.generation, 2);
	assert_int_equal(next.number, 1);
	assert_ok(store_stream(w->s, "orders", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0,
			       &stream, err));
	assert_int_equal(stream.generation, 2);
	/* Another worker, a little later: of its own T, in the same generation. */
	other.generation = 2;
	other.to_ms = T + MINUTE;
	assert_false(begin_as(w, SESSION_A, &other, T + 2));
	assert_int_equal(other.id, 0);
	next.stream = 4711;
	assert_kind(ERROR_NOT_FOUND,
		    store_export_begin(w->s, SESSION_A, &next, T, (bool[]){ false }, err));
}

static struct store_export repair_of(struct world *w, uint64_t generation)
{
	struct store_export e = window(STORE_EXPORT_REPAIR, T - 13 * MINUTE, T + 2 * MINUTE);

	e.stream = w->stream;
	e.generation = generation;
	return e;
}

static void a_join_is_begun_while_its_stream_is_held(void **state)
{
	struct world *w = *state;
	struct store_export e = repair_of(w, 2), late = repair_of(w, 2), again = repair_of(w, 3),
			    far = repair_of(w, 5);
	struct store_stream stream;

	assert_false(begin_as(w, SESSION_A, &e, T + 1));
	assert_int_equal(e.id, 0);
	hold(w);
	assert_true(begin_as(w, SESSION_A, &e, T + 1));
	assert_int_equal(e.generation, 2);
	late.to_ms += MINUTE; /* who planned the same a little later */
	assert_false(begin_as(w, SESSION_A, &late, T + 2));
	assert_int_equal(late.id, 0);
	assert_false(begin_as(w, SESSION_A, &far, T + 2));
	assert_int_equal(far.id, 0);
	/* It was given up, and begins again at the same place. */
	assert_true(begin_as(w, SESSION_A, &again, T + 3));
	assert_int_not_equal(again.id, e.id);
	assert_int_equal(again.generation, 3);
	assert_int_equal(again.number, 1);
	assert_ok(store_stream(w->s, "orders", "arn:aws:dynamodb:eu-west-1:1:table/t/stream/x", 0,
			       &stream, err));
	assert_int_equal(stream.generation, 3);
}

static void one_live_session_drives(void **state)
{
	struct world *w = *state;
	int64_t id = full_begun(w);

	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	assert_done(true, store_export_take, w->s, SESSION_A, id);
	assert_done(false, store_export_take, w->s, SESSION_B, id);
	bury_a(w);
	assert_kind(ERROR_FENCED, store_export_take(w->s, SESSION_A, id, (bool[]){ false }, err));
	assert_done(true, store_export_take, w->s, SESSION_B, id);
	assert_kind(ERROR_NOT_FOUND,
		    store_export_take(w->s, SESSION_B, 4711, (bool[]){ false }, err));
}

static void an_attempt_is_saved_before_the_call(void **state)
{
	struct world *w = *state;
	struct store_attempt_made late = { .attempt = 1, .token = "late" };
	int64_t id = full_begun(w);
	struct export_seen seen;

	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	attempt_as(w, SESSION_A, id, 1, "token-1", 1, "token-1");
	attempt_as(w, SESSION_A, id, 1, "token-1", 1, "token-1"); /* its reply was lost */
	/* Both send the same token, and AWS starts one. */
	attempt_as(w, SESSION_B, id, 1, "other-1", 1, "token-1");
	assert_done(true, store_export_submitted, w->s, SESSION_B, id, 1, "arn:1", T + 3);
	assert_done(true, store_export_submitted, w->s, SESSION_A, id, 1, "arn:1", T + 9);
	seen = export_of(w->s, id);
	assert_int_equal(seen.e.status, STORE_EXPORT_RUNNING);
	assert_int_equal(seen.e.submitted_ms, T + 3);
	assert_string_equal(seen.token, "token-1");
	assert_string_equal(seen.arn, "arn:1");

	/* S3NoSuchBucket: the next attempt has another token, and the last one's ARN is nothing. */
	for (int twice = 0; twice < 2; twice++)
		assert_done(true, store_export_failed, w->s, SESSION_A, id, 1, "S3NoSuchBucket",
			    T + 60, T + 4);
	seen = export_of(w->s, id);
	assert_int_equal(seen.e.status, STORE_EXPORT_WAITING);
	assert_int_equal(seen.e.retry_at_ms, T + 60);
	assert_string_equal(seen.error, "S3NoSuchBucket");
	attempt_as(w, SESSION_A, id, 2, "token-2", 2, "token-2");
	assert_done(true, store_export_attempt, w->s, SESSION_B, id, &late, T + 5);
	assert_string_equal(late.token, "token-2");
	assert_done(false, store_export_submitted, w->s, SESSION_B, id, 1, "arn:1", T + 5);
	assert_done(false, store_export_failed, w->s, SESSION_B, id, 1, "late", 0, T + 5);
	assert_string_equal(export_of(w->s, id).arn, "");

	/* For the same reason as the one before, and for good: under way it is no failure yet. */
	assert_done(true, store_export_submitted, w->s, SESSION_A, id, 2, "arn:2", T + 6);
	assert_done(true, store_export_failed, w->s, SESSION_A, id, 2, "S3NoSuchBucket", 0, T + 6);
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_FAILED);
	late.attempt = 3;
	assert_done(false, store_export_attempt, w->s, SESSION_B, id, &late, T + 7);
	assert_done(false, store_export_finish, w->s, SESSION_A, id, T + 7);
}

static void a_person_tries_an_export_again(void **state)
{
	struct world *w = *state;
	int64_t id = full_begun(w);
	uint32_t retried;

	attempt_as(w, SESSION_A, id, 1, "token-1", 1, "token-1");
	assert_done(true, store_export_failed, w->s, SESSION_A, id, 1, "no", 0, T + 4);
	assert_ok(store_export_retry(w->s, id, 0, T + 5, &retried, err));
	assert_int_equal(retried, 1);
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_WAITING);
	/* Not 0: the failed attempt is not under way. */
	assert_int_equal(export_of(w->s, id).e.retry_at_ms, T + 5);
	assert_ok(store_export_retry(w->s, id, 0, T + 5, &retried, err));
	assert_int_equal(retried, 0);
	attempt_as(w, SESSION_A, id, 2, "token-2", 2, "token-2");
	assert_int_equal(export_of(w->s, id).e.retry_at_ms, 0);
	assert_ok(store_export_retry(w->s, id, 0, T + 6, &retried, err));
	assert_int_equal(retried, 0);
	/* One that waits need not. */
	assert_done(true, store_export_failed, w->s, SESSION_A, id, 2, "no", T + 90, T + 7);
	assert_ok(store_export_retry(w->s, id, 0, T + 8, &retried, err));
	assert_int_equal(retried, 1);
	assert_int_equal(export_of(w->s, id).e.retry_at_ms, T + 8);
	assert_kind(ERROR_NOT_FOUND, store_export_retry(w->s, 4711, 0, T, &retried, err));
}

static void the_same_window_of_another_generation_is_another_one(void **state)
{
	struct world *w = *state;
	struct store_export full = window(STORE_EXPORT_FULL, 0, T),
			    old = window(STORE_EXPORT_INCREMENTAL, T - 13 * MINUTE, T + 2 * MINUTE),
			    again = old, any = old;

	old.generation = 1;
	assert_true(begin_as(w, SESSION_A, &old, T));
	full.generation = 2;
	assert_true(begin_as(w, SESSION_A, &full, T + 1));
	again.generation = 2;
	assert_true(begin_as(w, SESSION_A, &again, T + 2));
	assert_int_not_equal(again.id, old.id);
	assert_int_equal(again.number, 1);
	assert_false(begin_as(w, SESSION_A, &again, T + 3));
	assert_false(begin_as(w, SESSION_A, &any, T + 4));
	assert_int_equal(any.id, again.id);
	assert_int_equal(any.generation, 2);
}

static void a_person_begins_one(void **state)
{
	struct world *w = *state;
	struct store_export e = window(STORE_EXPORT_FULL, 0, T),
			    again = window(STORE_EXPORT_FULL, 0, T),
			    next = window(STORE_EXPORT_INCREMENTAL, T - 13 * MINUTE,
					  T + 2 * MINUTE);
	struct store_exports_of full = { .table_arn = TABLE, .kind = "full", .max = 9 };
	bool mine;

	assert_true(begin_as(w, NULL, &e, T + 1));
	assert_true(begin_as(w, NULL, &again, T + 1));
	assert_int_equal(again.id, e.id);
	assert_false(begin_as(w, SESSION_A, &again, T + 2));
	assert_string_equal(export_of(w->s, e.id).e.driver, "");
	assert_ok(store_export_take(w->s, SESSION_A, e.id, &mine, err));
	assert_true(mine);
	assert_string_equal(export_of(w->s, e.id).e.driver, SESSION_A);
	assert_true(begin_as(w, NULL, &next, T + 3));
	assert_int_equal(exports_of(w->s, full).e.id, e.id);
	full.kind = "load";
	assert_int_equal(exports_of(w->s, full).count, 0);
}

static void what_is_not_loaded_is_finished_and_published_once(void **state)
{
	struct world *w = *state;
	struct store_exported what = { .manifest = "s3://exports/m.json", .files = 3 };
	struct store_exports_of open = { .open = true, .max = 9 };
	int64_t id = full_begun(w);

	attempt_as(w, SESSION_A, id, 1, "one", 1, "one");
	assert_done(true, store_export_submitted, w->s, SESSION_A, id, 1, "arn:1", T + 3);
	assert_done(false, store_export_published, w->s, SESSION_A, id, T + 4);
	for (int twice = 0; twice < 2; twice++)
		assert_done(true, store_export_exported, w->s, SESSION_A, id, 1, &what, T + 4);
	for (int twice = 0; twice < 2; twice++)
		assert_done(true, store_export_finish, w->s, SESSION_A, id, T + 5 + twice);
	assert_int_equal(exports_of(w->s, open).count, 1);
	assert_done(true, store_export_published, w->s, SESSION_A, id, T + 6);
	assert_done(true, store_export_published, w->s, SESSION_A, id, T + 6);
	assert_done(false, store_export_published, w->s, SESSION_A, id, T + 7);
	assert_int_equal(exports_of(w->s, open).count, 0);
	assert_int_equal(export_of(w->s, id).e.finished_ms, T + 5);
	assert_int_equal(export_of(w->s, id).e.published_ms, T + 6);
	assert_string_equal(export_of(w->s, id).manifest, "s3://exports/m.json");
	assert_done(false, store_export_abandon, w->s, id, "no", T + 8);
}

static void a_load_begins_at_its_manifest(void **state)
{
	struct world *w = *state;
	struct store_export e = window(STORE_EXPORT_LOAD, 0, T);
	struct store_exported what = { .manifest = "s3://a/m.json" };

	e.manifest = "s3://a/m.json";
	assert_true(begin_as(w, SESSION_A, &e, T + 1));
	assert_int_equal(e.status, STORE_EXPORT_RUNNING);
	assert_done(true, store_export_failed, w->s, SESSION_A, e.id, 0, "not there", T + 9, T + 2);
	assert_int_equal(status_of(w->s, e.id), STORE_EXPORT_RUNNING);
	assert_done(true, store_export_exported, w->s, SESSION_A, e.id, 0, &what, T + 3);
	/* Without a file it is complete at once. */
	assert_done(true, store_export_load, w->s, SESSION_A, e.id, T + 4);
	assert_int_equal(status_of(w->s, e.id), STORE_EXPORT_COMPLETE);
	assert_int_equal(export_of(w->s, e.id).e.finished_ms, T + 4);
}

static void a_window_has_a_view(void **state)
{
	struct world *w = *state;
	struct store_export e = window(STORE_EXPORT_INCREMENTAL, T, T + 15 * MINUTE), again = e;

	e.view = "NEW_AND_OLD_IMAGES";
	assert_true(begin_as(w, SESSION_A, &e, T + 1));
	again.view = "NEW_IMAGE"; /* the configuration was changed meanwhile */
	assert_false(begin_as(w, SESSION_A, &again, T + 2));
	assert_int_equal(again.id, e.id);
	assert_string_equal(export_of(w->s, e.id).view, "NEW_AND_OLD_IMAGES");
	assert_string_equal(export_of(w->s, full_begun(w)).view, "");
}

static void those_that_load_are_told_apart(void **state)
{
	struct world *w = *state;
	struct store_exports_of of = { .loading = true, .unsummed = true, .max = 9 };
	struct export_seen seen;
	int64_t id = exported(w, 2), lane = 0;

	assert_int_equal(exports_of(w->s, of).count, 0);
	assert_done(true, store_export_load, w->s, SESSION_A, id, T + 5);
	assert_int_equal(claims(w, SESSION_A, id, 1, &lane), 1);
	save_file(w, SESSION_A, 1, lane, "", "100", 7);
	seen = exports_of(w->s, of);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.e.id, id);
	assert_int_equal(seen.e.files_held, 0); /* that is not looked at */
	assert_int_equal(seen.e.records, 0);
	seen = export_of(w->s, id);
	assert_int_equal(seen.e.files_held, 1);
	assert_int_equal(seen.e.records, 7);
	assert_ok(store_file_failed(w->s, SESSION_A, lane, "no", 0, false, T + 7, err));
	assert_int_equal(claims(w, SESSION_A, id, 1, &lane), 1);
	assert_ok(store_file_failed(w->s, SESSION_A, lane, "no", 0, false, T + 7, err));
	seen = exports_of(w->s, of);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.e.status, STORE_EXPORT_FAILED);
	assert_int_equal(seen.e.files_failed, 2);
	assert_done(true, store_export_abandon, w->s, id, "no", T + 8);
	assert_int_equal(exports_of(w->s, of).count, 0);
}

static int run(const char *name)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		TEST(the_same_window_is_begun_once),
		TEST(windows_of_a_generation_are_contiguous),
		TEST(a_baseline_raises_its_streams_generation),
		TEST(a_join_is_begun_while_its_stream_is_held),
		TEST(one_live_session_drives),
		TEST(an_attempt_is_saved_before_the_call),
		TEST(a_person_tries_an_export_again),
		TEST(a_person_begins_one),
		TEST(the_same_window_of_another_generation_is_another_one),
		TEST(what_is_not_loaded_is_finished_and_published_once),
		TEST(a_load_begins_at_its_manifest),
		TEST(a_window_has_a_view),
		TEST(those_that_load_are_told_apart),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
