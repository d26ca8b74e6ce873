/* What only a sqlite file has: one holder, versions in its header, a process that dies. */
#include <signal.h>
#include <sys/wait.h>

#include <sqlite3.h>

#include "checkpoint/migrations.h"
#include "tests/unit/checkpoint/store_fixture.h"

static char directory[64], path[128], url[160];

static int directory_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/sluice-sqlite-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/state.db", directory);
	snprintf(url, sizeof(url), "sqlite:%s", path);
	return 0;
}

static int directory_down(void **state)
{
	char more[160];

	(void)state;
	for (const char **end = (const char *[]){ "", "-wal", "-shm", ".lock", NULL }; *end;
	     end++) {
		snprintf(more, sizeof(more), "%s%s", path, *end);
		unlink(more);
	}
	return rmdir(directory);
}

static void one_process_holds_it(void **state)
{
	struct store *s = opened(url);

	(void)state;
	assert_true(store_exclusive(s));
	assert_non_null(strstr(store_describe(s), path));
	assert_not_opened(store_open, url, ERROR_REFUSED, "in use by another sluice process");
	store_close(s);
	s = opened(url);
	store_close(s);
}

static void a_place_has_to_be_there(void **state)
{
	char nowhere[200];

	(void)state;
	snprintf(nowhere, sizeof(nowhere), "sqlite:%s/missing/state.db", directory);
	assert_not_opened(store_open, nowhere, ERROR_INVALID, "/missing: create it");
	assert_not_opened(store_open, "sqlite:", ERROR_INVALID, "no path");
	assert_not_opened(store_open, "mysql://u:secret@h/d", ERROR_INVALID, "postgres://");
	assert_not_opened(store_open_reader, url, ERROR_NOT_FOUND, "sluice run");
	assert_int_not_equal(access(path, F_OK), 0); /* looking makes nothing */
}

static void a_reader_changes_nothing(void **state)
{
	struct store *s = opened(url), *reader = opened_reader(url);

	(void)state;
	assert_kind(ERROR_REFUSED, store_session_begin(reader, SESSION_B, "w", "", 10000, err));
	store_close(reader);
	store_close(s);
}

static void run_sql(const char *sql)
{
	char *said = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &said) != SQLITE_OK)
		fail_msg("%s", said);
	sqlite3_close(db);
}

static void set_version(int major, int minor)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", major << 16 | minor);
	run_sql(sql);
}

static void a_newer_minor_is_fine_a_newer_major_is_not(void **state)
{
	(void)state;
	store_close(opened(url));
	set_version(2, 999);
	store_close(opened(url));
	store_close(opened_reader(url));
	set_version(99, 0);
	assert_not_opened(store_open, url, ERROR_INVALID, "run a newer sluice");
	assert_not_opened(store_open_reader, url, ERROR_INVALID, "run a newer sluice");
	set_version(0, 1); /* older than anything: only a worker may bring it up to date */
	assert_not_opened(store_open_reader, url, ERROR_INVALID, "start a worker");
}

static void the_first_version_comes_along(void **state)
{
	struct store *s;

	(void)state;
	run_sql(migrations_sqlite[0].sql);
	run_sql(first_version_rows(""));
	set_version(migrations_sqlite[0].major, migrations_sqlite[0].minor);
	assert_not_opened(store_open_reader, url, ERROR_INVALID, "start a worker");
	s = opened(url);
	assert_first_version_came_along(s);
	store_close(s);
}

static void the_second_version_comes_along(void **state)
{
	struct store *s;

	(void)state;
	run_sql(migrations_sqlite[0].sql);
	run_sql(migrations_sqlite[1].sql);
	run_sql(second_version_rows(""));
	set_version(2, 0);
	assert_not_opened(store_open_reader, url, ERROR_INVALID, "start a worker");
	s = opened(url);
	assert_second_version_came_along(s);
	store_close(s);
}

static void a_file_that_is_no_store(void **state)
{
	FILE *f = fopen(path, "w");

	(void)state;
	assert_non_null(f);
	for (int i = 0; i < 1000; i++)
		fputs("this is not a database\n", f);
	fclose(f);
	assert_not_opened(store_open, url, ERROR_INVALID, "not a database");
}

/* Saves 1, 2, 3, …, and says each number once it is saved. */
static void save_until_killed(int out)
{
	struct store *s = opened(url);
	int64_t stream = stream_named(s, "orders");
	int32_t sink = sink_named(s, "events");
	struct store_lane lane = lane_named(1);
	char text[24];

	assert_ok(store_session_begin(s, SESSION_A, "w", "", 10000, err));
	assert_ok(store_lanes_add(s, SESSION_A, stream, 0, true, &lane, 1, &sink, 1, err));
	for (uint64_t n = 1;; n++) {
		struct store_move m = { .lane = lane.id, .sink = sink };
		struct store_save save = {
			.session = SESSION_A, .number = n, .moves = &m, .move_count = 1
		};

		snprintf(text, sizeof(text), "%d", (int)n - 1);
		m.from = n > 1 ? seq(text) : SEQUENCE_NONE;
		snprintf(text, sizeof(text), "%d", (int)n);
		m.to = seq(text);
		assert_ok(store_save(s, &save, err));
		if (write(out, &n, sizeof(n)) != sizeof(n))
			_exit(1);
	}
}

static void what_was_saved_outlives_the_process(void **state)
{
	int ends[2];
	uint64_t n, last = 0;
	struct store_position p;
	char text[SEQUENCE_TEXT_SIZE];
	int64_t stream;
	struct store *s;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0)
		save_until_killed(ends[1]);
	close(ends[1]);
	while (last < 30 && read(ends[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	while (read(ends[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	close(ends[0]);
	assert_true(last >= 30);

	s = opened(url); /* the lock went with its holder */
	stream = stream_named(s, "orders");
	p = position_of(s, stream, 1, sink_named(s, "events"));
	n = strtoull(sequence_text(&p.sequence, text), NULL, 10);
	assert_in_range(n, last, last + 1);
	assert_ok(store_session_bury(s, SESSION_A, err));
	store_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, directory_up, directory_down)
	const struct CMUnitTest tests[] = {
		T(one_process_holds_it),          T(a_place_has_to_be_there),
		T(a_reader_changes_nothing),      T(a_newer_minor_is_fine_a_newer_major_is_not),
		T(the_first_version_comes_along), T(the_second_version_comes_along),
		T(a_file_that_is_no_store),       T(what_was_saved_outlives_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
