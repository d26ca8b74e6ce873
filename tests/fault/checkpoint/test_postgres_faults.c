/* The real store against a Postgres that dies, stalls, cuts and refuses. Each time a save is either
 * there or not, the same save may be sent again, and it counts once. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "tests/fault/checkpoint/postgres_server.h"

#define LONG_MS  600000
#define SHORT_MS 1000 /* where a test waits for the limit to pass */

static struct postgres_server server;

struct world {
	struct store *s;
	int64_t stream, lane;
	int32_t sink;
};

static int world_up(void **state)
{
	struct world *w = memory_new(sizeof(*w));
	struct store_lane lane = lane_named(1);

	postgres_run(server.url, "DROP SCHEMA IF EXISTS sluice CASCADE");
	w->s = opened(server.url);
	w->stream = stream_named(w->s, "orders");
	w->sink = sink_named(w->s, "events");
	assert_ok(store_session_begin(w->s, SESSION_A, "a", "", 10000, err));
	assert_ok(store_lanes_add(w->s, SESSION_A, w->stream, 0, true, &lane, 1, &w->sink, 1, err));
	w->lane = lane.id;
	*state = w;
	return 0;
}

static int world_down(void **state)
{
	struct world *w = *state;

	store_close(w->s);
	free(w);
	return 0;
}

/* Save number n: from n - 1 to n. */
static bool save_number(struct world *w, struct store *s, int n, struct error *err)
{
	char from[24], to[24];
	struct store_move m = { .lane = w->lane, .sink = w->sink };
	struct store_save save = {
		.session = SESSION_A, .number = (uint64_t)n, .moves = &m, .move_count = 1
	};

	snprintf(from, sizeof(from), "%d", n - 1);
	snprintf(to, sizeof(to), "%d", n);
	m.from = n > 1 ? seq(from) : SEQUENCE_NONE;
	m.to = seq(to);
	return store_save(s, &save, err);
}

static void assert_said(const struct error *err, enum error_kind kind, const char *words)
{
	if (err->kind != kind || !strstr(err->message, words))
		fail_msg("%s: %s", error_kind_name(err->kind), err->message);
}

#define assert_fails(kind, words, call)                                                            \
	do {                                                                                       \
		struct error err_ = { 0 }, *err = &err_;                                           \
		if (call)                                                                          \
			fail_msg("%s: succeeded", #call);                                          \
		assert_said(err, kind, words);                                                     \
	} while (0)

static struct store *opened_with(int64_t timeout_ms)
{
	struct error err = { 0 };
	struct store *s = store_open(server.url, timeout_ms, &err);

	if (!s)
		fail_msg("%s", err.message);
	return s;
}

/* An outsider's connection that holds something. */
static PGconn *outsider(const char *sql)
{
	PGconn *conn = PQconnectdb(server.url);
	PGresult *res;

	PQsetNoticeProcessor(conn, postgres_quiet, NULL);
	res = PQexec(conn, sql);
	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s", PQerrorMessage(conn));
	PQclear(res);
	return conn;
}

/* The pid of the store's backend; with `waiting`, once it waits for a lock. */
static pid_t backend(bool waiting)
{
	for (int tries = 0; tries < 3000; tries++) {
		char *said = postgres_sql(
			server.url,
			waiting ? "SELECT pid FROM pg_stat_activity WHERE application_name = "
				  "'sluice' AND wait_event_type = 'Lock'"
				: "SELECT pid FROM pg_stat_activity WHERE application_name = "
				  "'sluice' AND backend_type = 'client backend'");
		pid_t pid = atoi(said);

		free(said);
		if (pid)
			return pid;
		server_pause();
	}
	fail_msg("the store has no backend");
	return 0;
}

/* --- kill -9 --- */
struct saver {
	struct world *w;
	atomic_int saved;
	atomic_bool stop;
	int retries;
	struct error err;
};

/* Each save again and again until it is known to be there. */
static void *save_on(void *arg)
{
	struct saver *v = arg;

	for (int n = 1; !atomic_load(&v->stop); n++) {
		while (!save_number(v->w, v->w->s, n, &v->err)) {
			if (v->err.kind != ERROR_RETRY)
				return NULL;
			v->retries++;
			server_pause();
		}
		atomic_store(&v->saved, n);
	}
	v->err.kind = ERROR_NONE;
	return NULL;
}

static void wait_saved(struct saver *v, int more)
{
	int wanted = atomic_load(&v->saved) + more;

	for (int tries = 0; atomic_load(&v->saved) < wanted; tries++) {
		if (tries > 3000)
			fail_msg("no save comes through: %s", v->err.message);
		server_pause();
	}
}

static void saves_go_on_through_crashes(void **state)
{
	struct saver v = { .w = *state };
	char text[24];
	pthread_t thread;

	pthread_create(&thread, NULL, save_on, &v);
	for (int round = 0; round < 3; round++) {
		wait_saved(&v, 20);
		if (round == 1) {
			kill(backend(false), SIGKILL); /* the server throws everybody out */
			wait_saved(&v, 20);
			continue;
		}
		server_kill(&server);
		server_start(&server);
	}
	wait_saved(&v, 20);
	atomic_store(&v.stop, true);
	pthread_join(thread, NULL);
	if (v.err.kind != ERROR_NONE)
		fail_msg("%s: %s", error_kind_name(v.err.kind), v.err.message);
	assert_true(v.retries >= 3);
	snprintf(text, sizeof(text), "%d", atomic_load(&v.saved));
	assert_at(v.w->s, v.w->stream, v.w->lane, v.w->sink, text);
}

static void nobody_listens(void **state)
{
	struct world *w = *state;

	server_kill(&server);
	assert_not_opened(store_open, server.url, ERROR_RETRY, "postgres");
	assert_kind(ERROR_RETRY, save_number(w, w->s, 1, err));
	assert_kind(ERROR_RETRY, save_number(w, w->s, 1, err));
	server_start(&server);
	assert_ok(save_number(w, w->s, 1, err));
	assert_at(w->s, w->stream, w->lane, w->sink, "1");
}

/* --- cuts --- */
struct attempt {
	struct world *w;
	struct store *s;
	bool ok;
	struct error err;
};

static void *save_first(void *arg)
{
	struct attempt *a = arg;

	a->ok = save_number(a->w, a->s, 1, &a->err);
	return NULL;
}

#define HOLD_POSITION "BEGIN; SELECT FROM sluice.position FOR UPDATE"

static void a_connection_cut_during_a_save(void **state)
{
	struct world *w = *state;
	struct attempt a = { .w = w, .s = w->s };
	PGconn *holder = outsider(HOLD_POSITION);
	pthread_t thread;
	char sql[100];

	pthread_create(&thread, NULL, save_first, &a);
	snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", (int)backend(true));
	postgres_run(server.url, sql);
	pthread_join(thread, NULL);
	assert_false(a.ok);
	assert_said(&a.err, ERROR_RETRY, "57P01");
	PQfinish(holder);
	assert_at(w->s, w->stream, w->lane, w->sink, "");
	assert_ok(save_number(w, w->s, 1, err));
	assert_ok(save_number(w, w->s, 2, err));
	assert_at(w->s, w->stream, w->lane, w->sink, "2");
}

/* The server is there and says nothing. The client leaves by its own clock, comes back with the
 * same save, and then the old backend wakes up with the first one. */
static void an_old_backend_wakes_up(void **state)
{
	struct world *w = *state;
	struct attempt a = { .w = w };
	PGconn *holder;
	pthread_t thread;
	pid_t old;

	store_close(w->s);
	a.s = w->s = opened_with(SHORT_MS);
	holder = outsider(HOLD_POSITION);
	pthread_create(&thread, NULL, save_first, &a);
	old = backend(true);
	kill(old, SIGSTOP);
	pthread_join(thread, NULL);
	assert_false(a.ok);
	assert_said(&a.err, ERROR_RETRY, "no answer in time");
	PQfinish(holder);
	/* It holds the session's row as it sleeps: also the next try has to give up. */
	assert_fails(ERROR_RETRY, "55P03", save_number(w, w->s, 1, err));
	kill(old, SIGCONT);
	for (int tries = 0; !save_number(w, w->s, 1, &a.err); tries++) {
		assert_int_equal(a.err.kind, ERROR_RETRY);
		assert_true(tries < 60);
	}
	assert_at(w->s, w->stream, w->lane, w->sink, "1");
	assert_ok(save_number(w, w->s, 2, err));
}

/* --- limits --- */
static void a_lock_is_not_waited_for_too_long(void **state)
{
	struct world *w = *state;
	PGconn *holder;

	store_close(w->s);
	w->s = opened_with(SHORT_MS);
	holder = outsider(HOLD_POSITION);
	assert_fails(ERROR_RETRY, "55P03", save_number(w, w->s, 1, err));
	assert_ok(store_session_beat(w->s, SESSION_A, err)); /* the session's row is free again */
	PQfinish(holder);
	assert_ok(save_number(w, w->s, 1, err));
	assert_at(w->s, w->stream, w->lane, w->sink, "1");
}

/* Where the process ends, it waits no longer than it may take for that. */
static void no_call_outlasts_the_end(void **state)
{
	struct world *w = *state;
	PGconn *holder;
	struct clock clock;

	store_close(w->s);
	w->s = opened_with(LONG_MS);
	assert_ok(store_session_beat(w->s, SESSION_A, err));
	holder = outsider(HOLD_POSITION);
	clock_init(&clock);
	store_end_by(w->s, clock_boot_ms(&clock) + 700);
	assert_fails(ERROR_RETRY, "no answer in time", save_number(w, w->s, 1, err));
	assert_fails(ERROR_RETRY, "not connected to any more",
		     store_session_beat(w->s, SESSION_A, err));
	PQfinish(holder);
}

static void a_statement_does_not_run_too_long(void **state)
{
	struct world *w = *state;

	postgres_run(server.url, "CREATE FUNCTION sluice.slow() RETURNS trigger LANGUAGE plpgsql "
				 "AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;"
				 "CREATE TRIGGER slow BEFORE UPDATE ON sluice.position "
				 "FOR EACH ROW EXECUTE FUNCTION sluice.slow()");
	store_close(w->s);
	w->s = opened_with(SHORT_MS);
	assert_fails(ERROR_RETRY, "57014", save_number(w, w->s, 1, err));
	postgres_run(server.url, "DROP TRIGGER slow ON sluice.position");
	assert_ok(save_number(w, w->s, 1, err));
	assert_at(w->s, w->stream, w->lane, w->sink, "1");
}

/* The limits are the transaction's: what the connection did before and does later has its own. */
static void limits_end_with_their_call(void **state)
{
	struct world *w = *state;
	char *said;

	postgres_run(server.url,
		     "CREATE TABLE sluice.seen (statement text, sync text);"
		     "CREATE FUNCTION sluice.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
		     "INSERT INTO sluice.seen SELECT current_setting('statement_timeout'), "
		     "current_setting('synchronous_commit'); RETURN NEW; END $$;"
		     "CREATE TRIGGER look BEFORE UPDATE ON sluice.position "
		     "FOR EACH ROW EXECUTE FUNCTION sluice.look();"
		     "ALTER DATABASE postgres SET synchronous_commit = off");
	store_close(w->s);
	w->s = opened(server.url);
	assert_ok(save_number(w, w->s, 1, err));
	postgres_run(server.url, "ALTER DATABASE postgres RESET synchronous_commit");
	said = postgres_sql(server.url, "SELECT statement || ' ' || sync FROM sluice.seen");
	assert_string_equal(said, "4375ms on");
	free(said);
}

/* --- refusals --- */
/* As after a failover: the old host answers, but takes nothing. */
static void a_host_that_became_a_standby(void **state)
{
	struct world *w = *state;

	postgres_run(server.url, "ALTER DATABASE postgres SET default_transaction_read_only = on");
	store_close(w->s);
	w->s = opened(server.url);
	assert_fails(ERROR_RETRY, "25006", save_number(w, w->s, 1, err));
	postgres_run(server.url,
		     "BEGIN READ WRITE; "
		     "ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT");
	assert_ok(save_number(w, w->s, 1, err)); /* over a new connection */
}

static void a_password_and_a_permission(void **state)
{
	char url[400], path[100];
	struct error err = { 0 };
	struct store *s;
	FILE *hba;

	(void)state;
	postgres_run(server.url, "DROP ROLE IF EXISTS keyed");
	postgres_run(server.url, "CREATE ROLE keyed LOGIN PASSWORD 'right'");
	snprintf(path, sizeof(path), "%s/data/pg_hba.conf", server.directory);
	hba = fopen(path, "w");
	assert_non_null(hba);
	fputs("local all keyed scram-sha-256\nlocal all all trust\n", hba);
	fclose(hba);
	postgres_run(server.url, "SELECT pg_reload_conf()");
	for (int i = 0; i < 2; i++) {
		snprintf(url, sizeof(url), "postgres://keyed%s@/postgres?host=%s",
			 i ? ":hunter2" : "", server.directory);
		/* The new rules come a moment after the reload: until then everybody is let in. */
		for (int tries = 0;
		     (s = store_open(url, TIMEOUT_MS, &err)) || strstr(err.message, "42501");
		     tries++) {
			store_close(s);
			assert_true(tries < 3000);
			server_pause();
		}
		assert_int_equal(err.kind, ERROR_REFUSED);
		assert_null(strstr(err.message, "hunter2"));
		assert_null(strstr(err.message, "LOCATION"));
	}
	assert_non_null(strstr(err.message, "28P01"));

	snprintf(url, sizeof(url), "postgres://keyed:right@/postgres?host=%s", server.directory);
	assert_not_opened(store_open, url, ERROR_REFUSED, "42501");
	postgres_run(server.url, "DROP ROLE keyed");
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(saves_go_on_through_crashes),       T(nobody_listens),
		T(a_connection_cut_during_a_save),    T(an_old_backend_wakes_up),
		T(a_lock_is_not_waited_for_too_long), T(a_statement_does_not_run_too_long),
		T(no_call_outlasts_the_end),          T(limits_end_with_their_call),
		T(a_host_that_became_a_standby),      T(a_password_and_a_permission),
	};
	int failed;

	if (!server_up(&server, &failed))
		return failed;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	server_down(&server, failed);
	return failed;
}
