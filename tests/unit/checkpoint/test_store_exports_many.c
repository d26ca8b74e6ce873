/* Many workers at one export: what only Postgres has. Needs SLUICE_TEST_POSTGRES. */
#include <pthread.h>

#include "checkpoint/exports.h"
#include "tests/unit/checkpoint/store_fixture.h"

static char url[600];

static int schema_down(void **state)
{
	(void)state;
	postgres_run(url, "DROP SCHEMA IF EXISTS sluice CASCADE");
	return 0;
}

#define EXPORT_TABLE "arn:aws:dynamodb:eu-west-1:1:table/orders"

struct starter {
	struct store *s;
	char session[STORE_ID_SIZE];
	int64_t to_ms;
	struct store_export e;
	struct store_attempt_made made;
	bool created, done, ok;
	struct error err;
};

/* The whole start of an export, with a token of its own. */
static void *start_export(void *arg)
{
	struct starter *v = arg;

	v->e = (struct store_export){ .table_arn = EXPORT_TABLE,
				      .name = "orders",
				      .kind = STORE_EXPORT_INCREMENTAL,
				      .from_ms = 1000,
				      .to_ms = v->to_ms };
	v->made.attempt = 1;
	snprintf(v->made.token, sizeof(v->made.token), "token of %s", v->session);
	v->ok = store_export_begin(v->s, v->session, &v->e, 5, &v->created, &v->err) &&
		(v->e.id == 0 ||
		 store_export_attempt(v->s, v->session, v->e.id, &v->made, 6, &v->done, &v->err));
	return NULL;
}

/* The same schedule on several workers, some with another length of the window, starts one. */
static void a_window_is_started_once(void **state)
{
	enum { COUNT = 6 };
	struct starter starters[COUNT] = { 0 };
	pthread_t threads[COUNT];
	const struct starter *winner = NULL;
	char *said;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		starters[i].s = opened(url);
		starters[i].to_ms = i % 2 ? 901000 : 1801000;
		snprintf(starters[i].session, STORE_ID_SIZE,
			 "eeeeeeee-0000-4000-8000-0000000000%02x", (unsigned char)i);
		assert_ok(store_session_begin(starters[i].s, starters[i].session, "e", "", 10000,
					      err));
	}
	for (int i = 0; i < COUNT; i++)
		pthread_create(&threads[i], NULL, start_export, &starters[i]);
	for (int i = 0; i < COUNT; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < COUNT; i++) {
		if (!starters[i].ok)
			fail_msg("%s", starters[i].err.message);
		if (starters[i].created) {
			assert_null(winner);
			winner = &starters[i];
		}
	}
	assert_non_null(winner);
	for (int i = 0; i < COUNT; i++) {
		bool same = starters[i].to_ms == winner->to_ms;

		assert_int_equal(starters[i].e.id, same ? winner->e.id : 0);
		if (!same)
			continue;
		assert_true(starters[i].done);
		assert_int_equal(starters[i].made.attempt, 1);
		assert_string_equal(starters[i].made.token, winner->made.token);
	}
	said = postgres_sql(url, "SELECT (SELECT count(*) FROM sluice.export) || ' ' || "
				 "(SELECT count(*) FROM sluice.export_attempt)");
	assert_string_equal(said, "1 1");
	free(said);
	for (int i = 0; i < COUNT; i++)
		store_close(starters[i].s);
}

struct loader {
	struct store *s;
	char session[STORE_ID_SIZE];
	int64_t export;
	int32_t sink;
	int64_t lanes[16];
	size_t count;
	uint64_t saves;
	unsigned loaded;
	bool dies; /* in the middle, with files in its hands */
	bool ok;
	struct error err;
};

static void loader_file(void *arg, const struct store_file *f)
{
	struct loader *l = arg;

	l->lanes[l->count++] = f->lane;
}

static void loader_position(void *arg, const struct store_position *p)
{
	struct loader *l = arg;

	(void)l;
	assert_true(sequence_is_none(&p->sequence));
}

/* Takes up to four, ends them in one save, until there are none; one in a session's every fourth
 * turn fails first. */
static void *load_files(void *arg)
{
	struct loader *l = arg;

	l->ok = true;
	for (unsigned turn = 0; l->ok; turn++) {
		struct store_move moves[4];
		struct store_file_progress files[4];
		struct store_save save = { .session = l->session,
					   .number = l->saves + 1,
					   .moves = moves,
					   .files = files,
					   .read_at_ms = 9 };

		l->count = 0;
		l->ok = store_files_claim(l->s, l->session, l->export, &l->sink, 1,
					  &(struct store_files_wanted){ .max = 4 }, 8, loader_file,
					  loader_position, l, &l->err);
		if (!l->ok || l->count == 0 || (l->dies && turn == 5))
			return NULL;
		if (turn % 4 == 3) {
			l->ok = store_file_failed(l->s, l->session, l->lanes[0], "cut", 8, false, 8,
						  &l->err);
			continue;
		}
		for (size_t i = 0; i < l->count; i++) {
			moves[i] = (struct store_move){ .lane = l->lanes[i],
							.sink = l->sink,
							.done = true };
			files[i] = (struct store_file_progress){ l->lanes[i], 3, 30 };
		}
		save.move_count = save.file_count = l->count;
		l->ok = l->ok && store_save(l->s, &save, &l->err);
		l->saves += l->ok;
		l->loaded += l->ok ? (unsigned)l->count : 0;
	}
	return NULL;
}

static int64_t export_loading(struct store *s, const char *session, int count)
{
	struct store_export e = { .table_arn = EXPORT_TABLE,
				  .name = "orders",
				  .kind = STORE_EXPORT_LOAD,
				  .to_ms = 1,
				  .manifest = "s3://b/m" };
	struct store_exported what = { .manifest = "s3://b/m", .files = (uint64_t)count };
	struct store_file *files = memory_array((size_t)count, sizeof(*files));
	bool done;

	for (int i = 0; i < count; i++) {
		files[i] = (struct store_file){ .location = "l", .checksum = "", .items = 3 };
		snprintf(files[i].name, STORE_SHARD_SIZE, "file %d", i);
	}
	assert_ok(store_export_begin(s, session, &e, 1, &done, err));
	assert_ok(store_export_exported(s, session, e.id, 0, &what, 2, &done, err));
	assert_ok(store_files_add(s, session, e.id, files, (size_t)count, &done, err));
	assert_ok(store_export_load(s, session, e.id, 3, &done, err));
	free(files);
	return e.id;
}

struct export_last {
	struct store_export e;
};

static void keep_export(void *arg, const struct store_export *e)
{
	struct export_last *last = arg;

	last->e = *e;
}

/* Claims, saves, failures and a burial at once: each file is done once, the export is complete with
 * the last one. */
static void a_queue_is_emptied_once(void **state)
{
	enum { FILES = 400, LOADERS = 4 };
	struct store *s = opened(url);
	struct loader loaders[LOADERS] = { 0 };
	pthread_t threads[LOADERS];
	struct export_last last = { 0 };
	struct store_exports_of of = { .max = 1 };
	int32_t sink = sink_named(s, "events");
	unsigned loaded = 0;
	int64_t id;
	bool done;

	(void)state;
	assert_ok(store_session_begin(s, SESSION_A, "a", "", 10000, err));
	id = export_loading(s, SESSION_A, FILES);
	for (int i = 0; i < LOADERS; i++) {
		struct loader *l = &loaders[i];

		*l = (struct loader){
			.s = opened(url), .export = id, .sink = sink, .dies = i == 0
		};
		snprintf(l->session, STORE_ID_SIZE, "ffffffff-0000-4000-8000-0000000000%02x",
			 (unsigned char)i);
		assert_ok(store_session_begin(l->s, l->session, "f", "", 10000, err));
		pthread_create(&threads[i], NULL, load_files, l);
	}
	pthread_join(threads[0], NULL);
	assert_true(loaders[0].ok);
	assert_ok(store_session_kill(s, loaders[0].session, 0, &done, err));
	assert_ok(store_session_bury(s, loaders[0].session, err));
	for (int i = 1; i < LOADERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 1; i < LOADERS; i++) {
		if (!loaders[i].ok)
			fail_msg("%s", loaders[i].err.message);
		load_files(&loaders[i]); /* what was freed after it had looked */
		assert_true(loaders[i].ok);
	}
	for (int i = 0; i < LOADERS; i++) {
		loaded += loaders[i].loaded;
		store_close(loaders[i].s);
	}
	assert_int_equal(loaded, FILES);
	assert_ok(store_exports(s, &of, keep_export, &last, err));
	assert_int_equal(last.e.status, STORE_EXPORT_COMPLETE);
	assert_int_equal(last.e.files_done, FILES);
	assert_int_equal(last.e.files_failed, 0);
	assert_int_equal(last.e.records, FILES * 3);
	assert_int_equal(last.e.bytes, FILES * 30);
	store_close(s);
}

/* An older worker's save, which knows no files, completes one as well. */
static void a_save_of_2_1_completes_a_file(void **state)
{
	struct store *s = opened(url);
	int32_t sink = sink_named(s, "events");
	struct loader l = { .s = s, .sink = sink };
	struct store_move m = { .sink = sink, .done = true };
	struct store_save save = {
		.session = SESSION_A, .number = 1, .moves = &m, .move_count = 1, .read_at_ms = 7
	};
	struct export_last last = { 0 };
	struct store_exports_of of = { .max = 1 };

	(void)state;
	assert_ok(store_session_begin(s, SESSION_A, "a", "", 10000, err));
	l.export = export_loading(s, SESSION_A, 1);
	assert_ok(store_files_claim(s, SESSION_A, l.export, &sink, 1,
				    &(struct store_files_wanted){ .max = 1 }, 5, loader_file,
				    loader_position, &l, err));
	m.lane = l.lanes[0];
	assert_ok(store_save(s, &save, err)); /* without files: it calls 2.0's function */
	assert_ok(store_exports(s, &of, keep_export, &last, err));
	assert_int_equal(last.e.status, STORE_EXPORT_COMPLETE);
	assert_int_equal(last.e.finished_ms, 7);
	store_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup(test, schema_down)
	const struct CMUnitTest tests[] = {
		T(a_window_is_started_once),
		T(a_queue_is_emptied_once),
		T(a_save_of_2_1_completes_a_file),
	};
	int failed = 0;
	const char *admin = postgres_admin(&failed);

	if (!admin)
		return failed;
	postgres_create(admin, url, sizeof(url));
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	postgres_drop(admin);
	return failed;
}
