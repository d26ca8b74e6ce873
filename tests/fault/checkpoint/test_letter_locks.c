/* Whoever locks several letters does so by their number, so that no two wait for each other: every
 * call that does, beside another one that holds some of them. */
#include <pthread.h>

#include "checkpoint/letters.h"
#include "tests/fault/checkpoint/postgres_server.h"

#define AT_MS      1700000000000
#define STATE_SIZE 6

static struct postgres_server server;

struct world {
	struct store *s;
	int32_t sink;
	int64_t ids[3];
	/* The call under test, on a thread of its own. */
	bool (*call)(struct world *w, struct error *err);
	bool ok;
	struct error err;
};

static void put(struct world *w, const char *sink)
{
	struct store_letter l = { "orders", sink, "shard-1", "7", "refused", STR("{\"n\":1}") };

	assert_ok(store_letter_put(w->s, &l, 1 << 20, err));
}

static void note(void *arg, int64_t id, struct str json)
{
	int64_t **to = arg;

	(void)json;
	*(*to)++ = id;
}

/* Three letters of one record, the second for every sink. The first lies behind the others on the
 * disk. */
static int world_up(void **state)
{
	struct world *w = memory_new(sizeof(*w));
	int64_t *to = w->ids;

	postgres_run(server.url, "DROP SCHEMA IF EXISTS sluice CASCADE");
	w->s = opened(server.url);
	(void)stream_named(w->s, "orders");
	w->sink = sink_named(w->s, "events");
	assert_ok(store_session_begin(w->s, SESSION_A, "a", "", 10000, err));
	put(w, "events");
	put(w, "");
	put(w, "lake");
	assert_ok(store_letters(w->s, note, &to, err));
	assert_ok(store_letter_again(w->s, w->ids[0], "schema", STR("{\"n\":2}"), err));
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

/* --- the calls --- */

static void heard_outgoing(void *arg, const struct store_outgoing *l)
{
	(void)arg;
	(void)l;
}

static void heard_retried(void *arg, const struct store_retried *l)
{
	(void)arg;
	(void)l;
}

static void heard_part(void *arg, const char *sink, int64_t letter)
{
	(void)arg;
	(void)sink;
	(void)letter;
}

static bool call_claim(struct world *w, struct error *err)
{
	static const char *const streams[] = { "orders" };

	return store_letters_claim(w->s, SESSION_A, w->sink, streams, 1, AT_MS, heard_outgoing,
				   NULL, err);
}

static bool call_sent(struct world *w, struct error *err)
{
	return store_letters_sent(w->s, SESSION_A, w->ids, 3, AT_MS, err);
}

static bool call_retry(struct world *w, struct error *err)
{
	const struct store_retry r = { .owner = SESSION_B,
				       .first = true,
				       .stream = "orders",
				       .sink = w->sink,
				       .letters = w->ids,
				       .count = 3,
				       .at_ms = AT_MS };

	return store_letters_retry(w->s, &r, heard_retried, NULL, err);
}

static bool call_gone(struct world *w, struct error *err)
{
	return store_letters_gone(w->s, w->ids, 3, err);
}

static bool call_split(struct world *w, struct error *err)
{
	static const struct store_part parts[] = { { "lake", { "{}", 2 } },
						   { "events", { "{}", 2 } } };

	return store_letter_split(w->s, w->ids[1], parts, 2, 1 << 20, heard_part, NULL, err);
}

/* --- beside another one --- */

static void *run_call(void *arg)
{
	struct world *w = arg;

	w->ok = w->call(w, &w->err);
	return NULL;
}

/* Another connection, in a transaction. */
static PGconn *other(void)
{
	PGconn *conn = PQconnectdb(server.url);

	PQsetNoticeProcessor(conn, postgres_quiet, NULL);
	PQclear(PQexec(conn, "BEGIN"));
	return conn;
}

/* Until so many wait for a lock. */
static void await_waiting(int count)
{
	for (int tries = 0; tries < 3000; tries++) {
		char *said = postgres_sql(server.url, "SELECT count(*) FROM pg_stat_activity "
						      "WHERE wait_event_type = 'Lock'");
		int now = atoi(said);

		free(said);
		if (now >= count)
			return;
		server_pause();
	}
	fail_msg("nobody waits for a lock");
}

/* The state of what it was asked, "": it went well. */
static void finish(PGconn *conn, char state[STATE_SIZE])
{
	PGresult *res;

	*state = 0;
	while ((res = PQgetResult(conn))) {
		const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);

		if (code)
			snprintf(state, STATE_SIZE, "%s", code);
		PQclear(res);
	}
	PQfinish(conn);
}

/* One holds the last letter, and the call waits for that; another one takes all by their number
 * meanwhile. Then the first one lets go. */
static void beside(struct world *w, bool (*call)(struct world *w, struct error *err))
{
	PGconn *first = other(), *second = other();
	char state[STATE_SIZE], sql[100];
	pthread_t thread;

	w->call = call;
	snprintf(sql, sizeof(sql), "SELECT FROM sluice.letter WHERE id = %lld FOR UPDATE",
		 (long long)w->ids[2]);
	PQclear(PQexec(first, sql));
	pthread_create(&thread, NULL, run_call, w);
	await_waiting(1);
	PQclear(PQexec(second, "SET LOCAL deadlock_timeout = '100ms'"));
	assert_int_equal(
		PQsendQuery(second, "SELECT FROM sluice.letter ORDER BY id FOR UPDATE; COMMIT"), 1);
	await_waiting(2);
	PQfinish(first);
	pthread_join(thread, NULL);
	finish(second, state);
	if (!w->ok || *state)
		fail_msg("%s %s", w->err.message, state);
}

static void one_claims_them(void **state)
{
	beside(*state, call_claim);
}

static void one_has_sent_them(void **state)
{
	beside(*state, call_sent);
}

static void one_tries_them(void **state)
{
	beside(*state, call_retry);
}

static void one_has_delivered_them(void **state)
{
	beside(*state, call_gone);
}

static void one_divides_one(void **state)
{
	beside(*state, call_split);
}

/* What is forgotten by the way is not waited for: the call holds later ones by then. */
static void one_forgets_old_ones(void **state)
{
	struct world *w = *state;
	PGconn *first = other();
	char *said;

	assert_ok(call_sent(w, err));
	PQclear(PQexec(first, "SELECT FROM sluice.letter WHERE sink = 'events' FOR UPDATE"));
	assert_ok(
		store_letters_sent(w->s, SESSION_A, NULL, 0, AT_MS + STORE_SENT_KEPT_MS + 1, err));
	PQfinish(first);
	said = postgres_sql(server.url, "SELECT string_agg(sink, ',') FROM sluice.letter");
	assert_string_equal(said, "events");
	free(said);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		T(one_claims_them),        T(one_has_sent_them), T(one_tries_them),
		T(one_has_delivered_them), T(one_divides_one),   T(one_forgets_old_ones),
	};
	int failed;

	if (!server_up(&server, &failed))
		return failed;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	server_down(&server, failed);
	return failed;
}
