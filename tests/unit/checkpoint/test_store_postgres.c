/* What only Postgres has: several workers at once. Needs SLUICE_TEST_POSTGRES. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "checkpoint/migrations.h"
#include "tests/unit/checkpoint/store_fixture.h"

static char url[600];

static int schema_down(void **state)
{
	(void)state;
	postgres_run(url, "DROP SCHEMA IF EXISTS sluice CASCADE");
	return 0;
}

/* --- the schema --- */
/* The schema as a program made it that knew the first `count` migrations. */
static void schema_of(int count)
{
	__attribute__((cleanup(buf_release))) struct buf sql = { 0 };

	buf_text(&sql, "DO $m$ BEGIN CREATE SCHEMA sluice; CREATE TABLE sluice.version ("
		       "one boolean PRIMARY KEY DEFAULT true, major integer, minor integer);");
	buf_printf(&sql, "INSERT INTO sluice.version (major, minor) VALUES (%d, %d);",
		   migrations_postgres[count - 1].major, migrations_postgres[count - 1].minor);
	for (int i = 0; i < count; i++)
		buf_text(&sql, migrations_postgres[i].sql);
	buf_text(&sql, "END $m$");
	postgres_run(url, sql.data);
}

static void migrate_at_once(void)
{
	enum { COUNT = 4 };
	pid_t children[COUNT];
	int gate[2], status;
	char *said;

	assert_int_equal(pipe(gate), 0);
	for (int i = 0; i < COUNT; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			struct error err = { 0 };
			struct store *s;
			char c;

			close(gate[1]);
			if (read(gate[0], &c, 1) != 0) /* until the parent closes it */
				_exit(2);
			s = store_open(url, TIMEOUT_MS, &err);
			if (!s)
				fprintf(stderr, "%s\n", err.message);
			store_close(s);
			_exit(s ? 0 : 1);
		}
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	said = postgres_sql(url, "SELECT count(*) || ' ' || max(major) FROM sluice.version");
	assert_string_equal(said, "1 2");
	free(said);
}

/* From nothing, and from what an older program left. */
static void many_processes_migrate_at_once(void **state)
{
	(void)state;
	migrate_at_once();
	schema_down(state);
	schema_of(1);
	migrate_at_once();
}

/* A migration whose backend dies in the middle leaves nothing; the next one does it. */
static void half_a_migration_is_none(void **state)
{
	PGconn *holder = PQconnectdb(url);
	struct error err = { 0 };
	PGresult *res;
	char *said;
	pid_t child;
	int status;

	(void)state;
	schema_of(1);
	/* It has made tables by the time that it wants this one. */
	res = PQexec(holder, "BEGIN; SELECT FROM sluice.lane");
	assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
	PQclear(res);
	child = fork();
	if (child == 0)
		_exit(store_open(url, TIMEOUT_MS, &err) ? 1 : err.kind == ERROR_RETRY ? 0 : 2);
	for (said = NULL; !said || !*said; usleep(20000)) {
		free(said);
		said = postgres_sql(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
					 "WHERE application_name = 'sluice' "
					 "AND datname = current_database() "
					 "AND wait_event_type = 'Lock'");
	}
	free(said);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	said = postgres_sql(url,
			    "SELECT major || ' ' || coalesce(to_regclass('sluice.member')::text"
			    ", 'none') FROM sluice.version");
	assert_string_equal(said, "1 none");
	free(said);
	PQfinish(holder);
	store_close(opened(url));
	said = postgres_sql(url, "SELECT to_regclass('sluice.member')");
	assert_string_equal(said, "sluice.member");
	free(said);
}

static void a_newer_minor_is_fine_a_newer_major_is_not(void **state)
{
	char *said;

	(void)state;
	store_close(opened(url));
	postgres_run(url, "UPDATE sluice.version SET minor = 999");
	store_close(opened(url));
	store_close(opened_reader(url));
	said = postgres_sql(url, "SELECT minor FROM sluice.version");
	assert_string_equal(said, "999");
	free(said);
	postgres_run(url, "UPDATE sluice.version SET major = 99, minor = 0");
	assert_not_opened(store_open, url, ERROR_INVALID, "run a newer sluice");
	assert_not_opened(store_open_reader, url, ERROR_INVALID, "run a newer sluice");
	postgres_run(url, "UPDATE sluice.version SET major = 0, minor = 1");
	assert_not_opened(store_open_reader, url, ERROR_INVALID, "start a worker");
}

static void the_first_version_comes_along(void **state)
{
	struct store *s;

	(void)state;
	schema_of(1);
	postgres_run(url, first_version_rows("SET search_path = sluice;"));
	assert_not_opened(store_open_reader, url, ERROR_INVALID, "start a worker");
	s = opened(url);
	assert_first_version_came_along(s);
	store_close(s);
}

static void the_second_version_comes_along(void **state)
{
	struct store *s;

	(void)state;
	schema_of(2);
	postgres_run(url, second_version_rows("SET search_path = sluice;"));
	assert_not_opened(store_open_reader, url, ERROR_INVALID, "start a worker");
	s = opened(url);
	assert_second_version_came_along(s);
	store_close(s);
}

/* What an older worker calls and reads: functions with arguments and results, columns with types;
 * and what it may leave out when it inserts. */
static char *interface(void)
{
	return postgres_sql(
		url,
		"SELECT string_agg(line, E'\n' ORDER BY line) FROM ("
		"SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ') ' || "
		"pg_get_function_result(p.oid) FROM pg_proc p "
		"WHERE p.pronamespace = 'sluice'::regnamespace UNION ALL "
		"SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, "
		"a.atttypmod) || ' ' || CASE WHEN a.attnotnull AND NOT a.atthasdef "
		"AND a.attidentity = '' THEN 'needed' ELSE '' END FROM pg_attribute a "
		"JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' "
		"WHERE c.relnamespace = 'sluice'::regnamespace AND a.attnum > 0 "
		"AND NOT a.attisdropped) AS lines (line)");
}

static bool has_line(const char *text, const char *line, size_t n)
{
	for (const char *at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, line, n) == 0 && (at[n] == '\n' || at[n] == 0))
			return true;
	}
	return false;
}

/* The same of a line's first n bytes. */
static bool has_beginning(const char *text, const char *beginning, size_t n)
{
	for (const char *at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, beginning, n) == 0)
			return true;
	}
	return false;
}

/* A minor step takes nothing away, changes nothing and asks for nothing: what an older worker does
 * beside one of this version works as before (its statements run in every other test here). */
static size_t goes_on_from(int count)
{
	char *before, *after, *line;
	size_t lines = 0, tables = 0;

	schema_of(count);
	before = interface();
	store_close(opened(url));
	after = interface();
	for (line = before; *line; lines++) {
		size_t n = strcspn(line, "\n");

		if (!has_line(after, line, n))
			fail_msg("%d.%d had: %.*s", migrations_postgres[count - 1].major,
				 migrations_postgres[count - 1].minor, (int)n, line);
		line += n + (line[n] == '\n');
	}
	assert_true(lines > 60);
	for (line = after; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t n = strcspn(line, "\n");

		/* A column that must be given is in a table that the older one does not know. */
		if (strncmp(line + n - 6, "needed", 6) == 0 && !has_line(before, line, n)) {
			if (has_beginning(before, line, strcspn(line, ".") + 1))
				fail_msg("an older worker does not give: %.*s", (int)n, line);
			tables++;
		}
	}
	free(before);
	free(after);
	return tables;
}

static void an_older_worker_goes_on(void **state)
{
	size_t tables = 0;

	(void)state;
	for (int count = 2; migrations_postgres[count].sql; count++) {
		tables += goes_on_from(count);
		postgres_run(url, "DROP SCHEMA sluice CASCADE");
	}
	assert_true(tables > 0);
}

static void a_reader_makes_no_schema(void **state)
{
	char *said;

	(void)state;
	assert_not_opened(store_open_reader, url, ERROR_NOT_FOUND, "sluice run");
	said = postgres_sql(url, "SELECT coalesce(to_regnamespace('sluice')::text, 'none')");
	assert_string_equal(said, "none");
	free(said);
}

static void a_wrong_url_says_so(void **state)
{
	char other[700];

	(void)state;
	assert_not_opened(store_open, "postgres://u:hidden@[h/d", ERROR_INVALID, "cannot be read");
	assert_not_opened(store_open, "postgres://u:hidden@127.0.0.1:1/d", ERROR_RETRY,
			  "postgres 127.0.0.1/d");
	postgres_url(url, "no_such_database", other, sizeof(other));
	assert_not_opened(store_open, other, ERROR_REFUSED, "no_such_database");
}

/* --- several at once --- */
struct saver {
	struct store *s;
	int64_t lane;
	int32_t sink;
	atomic_int saved;
	struct error last;
};

/* Moves its lane 1, 2, 3, … until it is fenced. */
static void *save_until_fenced(void *arg)
{
	struct saver *v = arg;
	char text[24];

	for (int n = 1;; n++) {
		struct store_move m = { .lane = v->lane, .sink = v->sink, .event_ms = n };
		struct store_save save = {
			.session = SESSION_A, .number = (uint64_t)n, .moves = &m, .move_count = 1
		};

		snprintf(text, sizeof(text), "%d", n - 1);
		m.from = n > 1 ? seq(text) : SEQUENCE_NONE;
		snprintf(text, sizeof(text), "%d", n);
		m.to = seq(text);
		if (!store_save(v->s, &save, &v->last))
			return NULL;
		atomic_store(&v->saved, n);
	}
}

static void *beat_until_fenced(void *arg)
{
	struct saver *v = arg;

	while (store_session_beat(v->s, SESSION_A, &v->last))
		atomic_fetch_add(&v->saved, 1);
	return NULL;
}

static void a_kill_orders_itself_with_beats_and_saves(void **state)
{
	struct saver saver = { .s = opened(url) }, beater = { .s = opened(url) };
	struct store *watcher = opened(url);
	struct store_lane lane = lane_named(1);
	struct store_session all[4];
	struct seen seen = { 0 };
	int64_t stream = stream_named(watcher, "orders");
	char text[SEQUENCE_TEXT_SIZE];
	pthread_t threads[2];
	size_t count;
	bool done = false;

	(void)state;
	saver.sink = sink_named(watcher, "events");
	assert_ok(store_session_begin(saver.s, SESSION_A, "a", "", 10000, err));
	assert_ok(store_session_begin(watcher, SESSION_B, "b", "", 10000, err));
	assert_ok(store_lanes_add(saver.s, SESSION_A, stream, 0, true, &lane, 1, &saver.sink, 1,
				  err));
	saver.lane = lane.id;
	pthread_create(&threads[0], NULL, save_until_fenced, &saver);
	pthread_create(&threads[1], NULL, beat_until_fenced, &beater);
	while (atomic_load(&saver.saved) < 20 || atomic_load(&beater.saved) < 20)
		sched_yield();
	while (!done) { /* the beat moves all the time: it takes some tries */
		assert_ok(store_sessions(watcher, all, 4, &count, err));
		assert_ok(store_session_kill(watcher, SESSION_A, all[0].beat, &done, err));
	}
	assert_ok(store_session_bury(watcher, SESSION_A, err));
	seen = claimed(watcher, SESSION_B, stream, &saver.sink, 1, UINT32_MAX);
	assert_int_equal(seen.lane_count, 1);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	assert_int_equal(saver.last.kind, ERROR_FENCED);
	assert_int_equal(beater.last.kind, ERROR_FENCED);
	/* What the new owner sees is what the old one was told, no less and no more. */
	assert_int_equal(atoi(sequence_text(&seen.positions[0].sequence, text)),
			 atomic_load(&saver.saved));
	seen_release(&seen);
	store_close(saver.s);
	store_close(beater.s);
	store_close(watcher);
}

struct claimer {
	struct store *s;
	char session[STORE_ID_SIZE];
	int64_t stream;
	int32_t sink;
	uint32_t max;
	struct seen seen;
	struct error err;
	bool ok;
};

static void *claim_once(void *arg)
{
	struct claimer *c = arg;

	c->ok = store_join(c->s, c->session, c->stream, 0, &c->sink, 1, &c->err) &&
		store_lanes_claim(c->s, c->session, c->stream, &c->sink, 1, c->max, seen_lane,
				  seen_position, &c->seen, &c->err);
	return NULL;
}

static void a_free_lane_goes_to_one(void **state)
{
	enum { LANES = 300, CLAIMERS = 4, ROUNDS = 5 };
	struct store *s = opened(url);
	int64_t stream = stream_named(s, "orders");
	int32_t sink = sink_named(s, "events");
	struct store_lane lanes[LANES];
	struct claimer claimers[CLAIMERS] = { 0 };
	pthread_t threads[CLAIMERS];
	char *said;

	(void)state;
	for (int i = 0; i < LANES; i++)
		lanes[i] = lane_named(i);
	assert_ok(store_session_begin(s, SESSION_A, "a", "", 10000, err));
	assert_ok(store_lanes_add(s, SESSION_A, stream, 0, true, lanes, LANES, &sink, 1, err));
	assert_ok(store_session_bury(s, SESSION_A, err));
	for (int round = 0; round < ROUNDS; round++) {
		size_t total = 0;

		for (int i = 0; i < CLAIMERS; i++) {
			struct claimer *c = &claimers[i];

			if (!c->s)
				c->s = opened(url);
			c->stream = stream;
			c->sink = sink;
			c->max = round == 0 ? UINT32_MAX : LANES / CLAIMERS;
			snprintf(c->session, sizeof(c->session),
				 "cccccccc-0000-4000-8000-0000000000%02x",
				 (unsigned char)(round * CLAIMERS + i));
			assert_ok(store_session_begin(c->s, c->session, "c", "", 10000, err));
		}
		for (int i = 0; i < CLAIMERS; i++)
			pthread_create(&threads[i], NULL, claim_once, &claimers[i]);
		for (int i = 0; i < CLAIMERS; i++) {
			pthread_join(threads[i], NULL);
			if (!claimers[i].ok)
				fail_msg("%s", claimers[i].err.message);
			total += claimers[i].seen.lane_count;
			seen_release(&claimers[i].seen);
		}
		assert_int_equal(total, LANES);
		for (int i = 0; i < CLAIMERS; i++)
			assert_ok(store_session_bury(claimers[i].s, claimers[i].session, err));
	}
	said = postgres_sql(url, "SELECT count(*) FROM sluice.member"); /* nothing stays */
	assert_string_equal(said, "0");
	free(said);
	for (int i = 0; i < CLAIMERS; i++)
		store_close(claimers[i].s);
	store_close(s);
}

/* A chain is never torn, however many claim at once. */
static void a_chain_goes_to_one(void **state)
{
	enum { CHAINS = 100, LENGTH = 3, CLAIMERS = 4 };
	struct store *s = opened(url);
	int64_t stream = stream_named(s, "orders");
	int32_t sink = sink_named(s, "events");
	struct store_lane *lanes = memory_array((size_t)CHAINS * LENGTH, sizeof(*lanes));
	struct claimer claimers[CLAIMERS] = { 0 };
	pthread_t threads[CLAIMERS];
	size_t total = 0;

	(void)state;
	for (int i = 0; i < CHAINS * LENGTH; i++) {
		lanes[i] = lane_named(i);
		if (i >= CHAINS)
			snprintf(lanes[i].parent, STORE_SHARD_SIZE, "%s", lanes[i - CHAINS].shard);
	}
	assert_ok(store_session_begin(s, SESSION_A, "a", "", 10000, err));
	assert_ok(store_lanes_add(s, SESSION_A, stream, 0, false, lanes, (size_t)CHAINS * LENGTH,
				  &sink, 1, err));
	for (int i = 0; i < CLAIMERS; i++) {
		struct claimer *c = &claimers[i];

		c->s = opened(url);
		c->stream = stream;
		c->sink = sink;
		c->max = CHAINS / CLAIMERS;
		snprintf(c->session, sizeof(c->session), "cccccccc-0000-4000-8000-0000000000%02x",
			 (unsigned char)i);
		assert_ok(store_session_begin(c->s, c->session, "c", "", 10000, err));
	}
	for (int i = 0; i < CLAIMERS; i++)
		pthread_create(&threads[i], NULL, claim_once, &claimers[i]);
	for (int i = 0; i < CLAIMERS; i++) {
		const struct seen *seen = &claimers[i].seen;

		pthread_join(threads[i], NULL);
		if (!claimers[i].ok)
			fail_msg("%s", claimers[i].err.message);
		assert_int_equal(seen->lane_count, CHAINS / CLAIMERS * LENGTH);
		total += seen->lane_count;
		for (size_t k = 0; k < seen->lane_count / LENGTH; k++) /* oldest first */
			assert_string_equal(seen->lanes[k].shard,
					    seen->lanes[k + CHAINS / CLAIMERS].parent);
	}
	assert_int_equal(total, CHAINS * LENGTH);
	for (int i = 0; i < CLAIMERS; i++) {
		seen_release(&claimers[i].seen);
		store_close(claimers[i].s);
	}
	free(lanes);
	store_close(s);
}

/* --- a look, and wishes, beside saves --- */
static void ignore_stream(void *arg, const struct store_round_stream *r)
{
	(void)arg;
	(void)r;
}

static void ignore_member(void *arg, const struct store_round_member *m)
{
	(void)arg;
	(void)m;
}

static void ignore_wanted(void *arg, int64_t stream, int64_t lane)
{
	(void)arg;
	(void)stream;
	(void)lane;
}

static const struct store_round_fns ignoring = { ignore_stream, ignore_member, ignore_wanted };

/* A round waits for nobody: neither for a save that hangs nor for a claim. */
static void a_round_waits_for_no_lock(void **state)
{
	struct store *s = opened(url);
	int64_t stream = stream_named(s, "orders");
	int32_t sink = sink_named(s, "events");
	struct store_lane lane = lane_named(1);
	PGconn *holder;
	PGresult *res;

	(void)state;
	assert_ok(store_session_begin(s, SESSION_A, "a", "", 10000, err));
	assert_ok(store_join(s, SESSION_A, stream, 0, &sink, 1, err));
	assert_ok(store_lanes_add(s, SESSION_A, stream, 0, true, &lane, 1, &sink, 1, err));
	holder = PQconnectdb(url);
	res = PQexec(holder, "BEGIN; SELECT FROM sluice.session FOR UPDATE; "
			     "SELECT FROM sluice.stream FOR UPDATE; "
			     "SELECT FROM sluice.lane FOR UPDATE");
	assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
	PQclear(res);
	assert_ok(store_round(s, SESSION_A, &ignoring, NULL, err));
	PQfinish(holder);
	store_close(s);
}

struct reading {
	struct store *s;
	struct store_lane *lanes;
	size_t count;
	atomic_bool over;
	struct error err;
	bool ok;
};

/* Saves that touch every lane, in the order that locks would like least. */
static void *save_reads(void *arg)
{
	struct reading *r = arg;
	int64_t *ids = memory_array(r->count, sizeof(*ids));

	for (size_t i = 0; i < r->count; i++)
		ids[i] = r->lanes[i].id;
	r->ok = true;
	for (uint64_t n = 1; r->ok && !atomic_load(&r->over); n++) {
		struct store_save save = { .session = SESSION_A,
					   .number = n,
					   .read_lanes = ids,
					   .read_count = r->count,
					   .read_at_ms = (int64_t)n };

		r->ok = store_save(r->s, &save, &r->err);
	}
	free(ids);
	return NULL;
}

static void wishes_do_not_disturb_saves(void **state)
{
	enum { LANES = 500, WISHES = 60 };
	struct store *s = opened(url);
	int64_t stream = stream_named(s, "orders");
	int32_t sink = sink_named(s, "events");
	struct reading r = { .s = opened(url), .count = LANES };
	pthread_t thread;
	char session[STORE_ID_SIZE];
	uint32_t wished, total = 0;

	(void)state;
	r.lanes = memory_array(LANES, sizeof(*r.lanes));
	for (int i = 0; i < LANES; i++)
		r.lanes[i] = lane_named(i);
	assert_ok(store_session_begin(s, SESSION_A, "a", "", 10000, err));
	assert_ok(store_join(s, SESSION_A, stream, 0, &sink, 1, err));
	assert_ok(store_lanes_add(s, SESSION_A, stream, 0, true, r.lanes, LANES, &sink, 1, err));
	pthread_create(&thread, NULL, save_reads, &r);
	for (int i = 0; i < WISHES; i++) {
		snprintf(session, sizeof(session), "dddddddd-0000-4000-8000-0000000000%02x",
			 (unsigned char)i);
		assert_ok(store_session_begin(s, session, "d", "", 10000, err));
		assert_ok(store_join(s, session, stream, 0, &sink, 1, err));
		assert_ok(store_lanes_wish(s, session, SESSION_A, stream, LANES, &wished, err));
		assert_ok(store_session_bury(s, session, err)); /* and the next may wish */
		total += wished;
	}
	atomic_store(&r.over, true);
	pthread_join(thread, NULL);
	if (!r.ok)
		fail_msg("%s", r.err.message);
	assert_true(total > 0);
	free(r.lanes);
	store_close(r.s);
	store_close(s);
}

/* The old backend still has the save, the new connection sends it again. */
static void one_save_over_two_connections_counts_once(void **state)
{
	struct store *one = opened(url), *two = opened(url);
	int64_t stream = stream_named(one, "orders");
	int32_t sink = sink_named(one, "events");
	struct store_lane lane = lane_named(1);
	struct store_roll roll = { .sink = sink, .number = 1, .blob = STR("blob") };
	struct store_move m = { .sink = sink, .to = seq("5") };
	struct store_save save = { .session = SESSION_A,
				   .number = 1,
				   .moves = &m,
				   .move_count = 1,
				   .rolls = &roll,
				   .roll_count = 1 };

	(void)state;
	assert_ok(store_session_begin(one, SESSION_A, "a", "", 10000, err));
	assert_ok(store_lanes_add(one, SESSION_A, stream, 0, true, &lane, 1, &sink, 1, err));
	m.lane = lane.id;
	assert_ok(store_save(one, &save, err));
	assert_ok(store_save(two, &save, err));
	m.to = seq("6"); /* read again after the cut, and saved under the next number from the old
			    place */
	save.number = 2;
	save.roll_count = 0;
	assert_kind(ERROR_FENCED, store_save(two, &save, err));
	assert_at(one, stream, lane.id, sink, "5");
	store_close(one);
	store_close(two);
}

/* Nothing of ours stays in the database's session: the next client of a pooler gets it clean. */
static void the_session_stays_clean(void **state)
{
	struct store *s = opened(url);
	char *said;

	(void)state;
	assert_ok(store_session_begin(s, SESSION_A, "a", "", 10000, err));
	said = postgres_sql(url, "SELECT count(*) FILTER (WHERE state <> 'idle') || ' ' || "
				 "count(*) FROM pg_stat_activity WHERE application_name = 'sluice' "
				 "AND datname = current_database()");
	assert_string_equal(said, "0 1");
	free(said);
	said = postgres_sql(url, "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a "
				 "USING (pid) WHERE a.application_name = 'sluice' "
				 "AND a.datname = current_database()");
	assert_string_equal(said, "0");
	free(said);
	store_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, schema_down)
	const struct CMUnitTest tests[] = {
		T(many_processes_migrate_at_once),
		T(half_a_migration_is_none),
		T(a_newer_minor_is_fine_a_newer_major_is_not),
		T(the_first_version_comes_along),
		T(the_second_version_comes_along),
		T(an_older_worker_goes_on),
		T(a_reader_makes_no_schema),
		T(a_wrong_url_says_so),
		T(a_kill_orders_itself_with_beats_and_saves),
		T(a_free_lane_goes_to_one),
		T(a_chain_goes_to_one),
		T(a_round_waits_for_no_lock),
		T(wishes_do_not_disturb_saves),
		T(one_save_over_two_connections_counts_once),
		T(the_session_stays_clean),
	};
	int failed = 0;
	const char *admin = postgres_admin(&failed);

	if (!admin)
		return failed;
	postgres_create(admin, url, sizeof(url));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	postgres_drop(admin);
	return failed;
}
