#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "checkpoint/migrations.h"
#include "checkpoint/postgres.h"

#define PARAMETERS_MAX       22
#define NUMBER_SIZE          24
#define MIGRATION_TIMEOUT_MS 60000
#define SQLSTATE_SIZE        6
/* How often a call that waits looks whether it has to end earlier. */
#define LOOK_EVERY_MS 500

/* The one place that knows SQLSTATEs: the first prefix that fits decides. */
static const struct {
	const char *prefix;
	enum error_kind kind;
	bool reconnect; /* this connection will not get better */
} sqlstates[] = {
	{ "SL001", ERROR_FENCED, false },    /* raised by our own functions */
	{ "SL002", ERROR_INVALID, false },   /* the same */
	{ "SL003", ERROR_NOT_FOUND, false }, /* the same */
	{ "08", ERROR_RETRY, true },         /* connection */
	{ "25006", ERROR_RETRY, true },      /* read only: this host is a standby now */
	{ "28", ERROR_REFUSED, true },       /* password, pg_hba.conf */
	{ "3D000", ERROR_REFUSED, true },    /* no such database */
	{ "40", ERROR_RETRY, false },        /* deadlock, serialization */
	{ "42501", ERROR_REFUSED, false },   /* permission */
	{ "53", ERROR_RETRY, false },        /* disk full, too many connections */
	{ "55P03", ERROR_RETRY, false },     /* lock timeout */
	{ "57014", ERROR_RETRY, false },     /* statement timeout */
	{ "57", ERROR_RETRY, true },         /* shutdown, crash, starting up */
	{ "58", ERROR_RETRY, true },         /* input and output */
	{ "XX", ERROR_RETRY, true },         /* its own bug */
	{ "", ERROR_INVALID, false },
};

static void disconnect(struct postgres *p)
{
	PQfinish(p->conn);
	p->conn = NULL;
}

static bool sqlstate_failed(struct postgres *p, const char *state, const char *said,
			    struct error *err)
{
	size_t i = 0;

	while (strncmp(state, sqlstates[i].prefix, strlen(sqlstates[i].prefix)) != 0)
		i++;
	if (sqlstates[i].reconnect || PQstatus(p->conn) == CONNECTION_BAD)
		disconnect(p);
	if (strncmp(state, "SL", 2) == 0)
		return error_set(err, sqlstates[i].kind, "%s", said);
	return error_set(err, sqlstates[i].kind, "%s (SQLSTATE %s)", said, state);
}

static bool lost(struct postgres *p, const char *what, struct error *err)
{
	disconnect(p);
	return error_set(err, ERROR_RETRY, "%s", what);
}

/* --- connecting --- */

/* libpq's verbose text is lines of "… failed: FATAL:  28P01: …" and "LOCATION:  …". Copies the
 * SQLSTATE of the last one that has any, and the text in one line without the locations. */
static void read_complaint(const char *text, char state[SQLSTATE_SIZE], char *out, size_t size)
{
	size_t used = 0;

	state[0] = out[0] = 0;
	while (*text) {
		size_t line = strcspn(text, "\n");

		if (strncmp(text, "LOCATION:", 9) != 0 && line > 0 && used < size)
			used += (size_t)snprintf(out + used, size - used, "%s%.*s",
						 used ? "; " : "", (int)line, text);
		for (const char *at = text; at + 9 < text + line; at++) {
			size_t n = 0;

			if (strncmp(at, ":  ", 3) != 0)
				continue;
			while (n < 5 && (isdigit((unsigned char)at[3 + n]) ||
					 isupper((unsigned char)at[3 + n])))
				n++;
			if (n == 5 && at[8] == ':')
				snprintf(state, SQLSTATE_SIZE, "%.5s", at + 3);
		}
		text += line + (text[line] == '\n');
	}
}

static void ignore_notice(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

static bool connect_now(struct postgres *p, struct error *err)
{
	char seconds[NUMBER_SIZE], user_timeout[NUMBER_SIZE], state[SQLSTATE_SIZE], said[400];
	/* What stands before dbname may be set otherwise in the URL. */
	const char *names[] = { "connect_timeout",
				"tcp_user_timeout",
				"keepalives_idle",
				"keepalives_interval",
				"keepalives_count",
				"fallback_application_name",
				"dbname",
				"client_encoding",
				NULL };
	const char *values[] = { seconds,  user_timeout, "10",   "5", "3",
				 "sluice", p->url,       "UTF8", NULL };

	snprintf(seconds, sizeof(seconds), "%" PRId64,
		 p->timeout_ms < 2000 ? 2 : (p->timeout_ms + 999) / 1000);
	snprintf(user_timeout, sizeof(user_timeout), "%" PRId64, p->timeout_ms);
	/* Started and then reset: only a handle that exists can be told to put SQLSTATEs into what
	 * it says about connecting, and only the blocking reset goes on to the URL's next host
	 * when one does not answer. */
	p->conn = PQconnectStartParams(names, values, 1);
	assert(p->conn);
	PQsetErrorVerbosity(p->conn, PQERRORS_VERBOSE);
	PQsetNoticeProcessor(p->conn, ignore_notice, NULL);
	PQreset(p->conn);
	if (PQstatus(p->conn) == CONNECTION_OK && PQsetnonblocking(p->conn, 1) == 0 &&
	    PQenterPipelineMode(p->conn) == 1)
		return true;
	read_complaint(PQerrorMessage(p->conn), state, said, sizeof(said));
	if (PQconnectionNeedsPassword(p->conn))
		snprintf(state, sizeof(state), "28P01");
	return *state ? sqlstate_failed(p, state, said, err) : lost(p, said, err);
}

/* --- one call --- */
struct parameters {
	int count;
	const char *values[PARAMETERS_MAX];
	int lengths[PARAMETERS_MAX], formats[PARAMETERS_MAX];
	char numbers[PARAMETERS_MAX][NUMBER_SIZE];
};

static void read_parameters(struct parameters *out, const char *types, va_list ap)
{
	for (out->count = 0; types[out->count]; out->count++) {
		int i = out->count;

		assert(i < PARAMETERS_MAX);
		out->formats[i] = 0;
		out->lengths[i] = 0;
		switch (types[i]) {
		case 'i':
			snprintf(out->numbers[i], NUMBER_SIZE, "%" PRId64, va_arg(ap, int64_t));
			out->values[i] = out->numbers[i];
			break;
		case 't':
			out->values[i] = va_arg(ap, const char *);
			break;
		default: {
			struct str s = va_arg(ap, struct str);

			assert(s.n <= INT32_MAX);
			out->values[i] = s.n ? s.p : "";
			out->lengths[i] = (int)s.n;
			out->formats[i] = 1;
		}
		}
	}
}

/* Behind a pooler the limits cannot be the session's. They are set for the transaction alone, by a
 * statement that travels with the one it guards: without a BEGIN all up to the sync is one
 * transaction, and statement_timeout counts from each statement's start. What is asked takes some
 * milliseconds at most, and an estimate that is wrong would make the server compile it for more. */
static bool send_call(struct postgres *p, const char *sql, const struct parameters *with)
{
	static const char limits[] = "SELECT set_config('statement_timeout', $1, true), "
				     "set_config('lock_timeout', $2, true), "
				     "set_config('synchronous_commit', 'on', true), "
				     "set_config('jit', 'off', true)";
	char statement[NUMBER_SIZE], lock[NUMBER_SIZE];
	const char *values[] = { statement, lock };

	/* Earlier than our own deadline: an answer says more than none. */
	snprintf(statement, sizeof(statement), "%" PRId64, p->timeout_ms - p->timeout_ms / 8);
	snprintf(lock, sizeof(lock), "%" PRId64, p->timeout_ms - p->timeout_ms / 4);
	return PQsendQueryParams(p->conn, limits, 2, NULL, values, NULL, NULL, 0) &&
	       PQsendQueryParams(p->conn, sql, with->count, NULL, with->values, with->lengths,
				 with->formats, 0) &&
	       PQpipelineSync(p->conn);
}

/* Takes what has come. True when it is over: the sync was answered, or the connection is gone.
 * *failed: the first refusal; *last: the result of the last statement. */
static bool take_results(struct postgres *p, PGresult **failed, PGresult **last)
{
	bool between = false;

	while (!PQisBusy(p->conn)) {
		PGresult *res = PQgetResult(p->conn);
		ExecStatusType status = PQresultStatus(res);

		if (!res && between)
			return true; /* no sync will come */
		between = !res;
		if (!res)
			continue;
		if (status == PGRES_PIPELINE_SYNC) {
			PQclear(res);
			return true;
		}
		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && !*failed) {
			*failed = res;
			continue;
		}
		PQclear(*last);
		*last = res;
	}
	return false;
}

static bool is_over(struct postgres *p)
{
	int64_t end_by_ms = atomic_load(&p->base.end_by_ms);

	return end_by_ms > 0 && clock_boot_ms(&p->clock) >= end_by_ms;
}

static bool receive(struct postgres *p, int64_t deadline_ms, PGresult **failed, PGresult **last,
		    struct error *err)
{
	for (;;) {
		int flushed = PQflush(p->conn);
		int64_t left_ms = deadline_ms - clock_boot_ms(&p->clock);
		struct pollfd fd = { .fd = PQsocket(p->conn),
				     .events = (short)(flushed > 0 ? POLLIN | POLLOUT : POLLIN) };

		if (take_results(p, failed, last))
			return true;
		if (left_ms <= 0 || left_ms > INT32_MAX || is_over(p))
			return lost(p, "no answer in time", err);
		if (poll(&fd, 1, (int)(left_ms < LOOK_EVERY_MS ? left_ms : LOOK_EVERY_MS)) > 0 &&
		    !PQconsumeInput(p->conn))
			return true;
	}
}

PGresult *postgres_call(struct postgres *p, struct error *err, const char *sql, const char *types,
			...)
{
	AUTO(pg_result) PGresult *failed = NULL;
	AUTO(pg_result) PGresult *last = NULL;
	struct parameters with;
	const char *state;
	va_list ap;

	va_start(ap, types);
	read_parameters(&with, types, ap);
	va_end(ap);
	if (!p->conn && is_over(p)) {
		error_set(err, ERROR_RETRY, "it is not connected to any more");
		return NULL;
	}
	if (!p->conn && !connect_now(p, err))
		return NULL;
	if (send_call(p, sql, &with) &&
	    !receive(p, clock_boot_ms(&p->clock) + p->timeout_ms, &failed, &last, err))
		return NULL;
	state = PQresultErrorField(failed, PG_DIAG_SQLSTATE);
	if (state) {
		sqlstate_failed(p, state, PQresultErrorField(failed, PG_DIAG_MESSAGE_PRIMARY), err);
		return NULL;
	}
	if (failed || !last || PQstatus(p->conn) == CONNECTION_BAD) {
		lost(p, "the connection was lost", err);
		return NULL;
	}
	return MOVE(last);
}

/* --- the schema --- */
static bool version(struct postgres *p, int *major, int *minor, struct error *err)
{
	AUTO(pg_result)
	PGresult *there = postgres_call(
		p, err, "SELECT 1 WHERE to_regclass('sluice.version') IS NOT NULL", "");

	*major = *minor = 0;
	if (!there || PQntuples(there) == 0)
		return there != NULL;
	AUTO(pg_result)
	PGresult *res = postgres_call(p, err, "SELECT major, minor FROM sluice.version", "");

	if (res && PQntuples(res) > 0) {
		*major = atoi(PQgetvalue(res, 0, 0));
		*minor = atoi(PQgetvalue(res, 0, 1));
	}
	return res != NULL;
}

/* One DO block, so one transaction: many processes may come at once, the lock lets one do it and
 * the others find it done. The number of the lock is "sluice" in ASCII. */
static bool migrate(struct postgres *p, const struct migration *m, struct error *err)
{
	__attribute__((cleanup(buf_release))) struct buf sql = { 0 };

	buf_printf(&sql,
		   "DO $sluice_migration$\nBEGIN\n"
		   "PERFORM pg_advisory_xact_lock(126909663503205);\n"
		   "IF to_regnamespace('sluice') IS NULL THEN CREATE SCHEMA sluice; END IF;\n"
		   "CREATE TABLE IF NOT EXISTS sluice.version (\n"
		   "	one boolean PRIMARY KEY DEFAULT true CHECK (one),\n"
		   "	major integer NOT NULL, minor integer NOT NULL);\n"
		   "IF EXISTS (SELECT FROM sluice.version\n"
		   "	WHERE (major, minor) >= (%d, %d)) THEN RETURN; END IF;\n",
		   m->major, m->minor);
	buf_text(&sql, m->sql);
	buf_printf(&sql,
		   "INSERT INTO sluice.version (major, minor) VALUES (%d, %d)\n"
		   "ON CONFLICT (one) DO UPDATE SET major = excluded.major, "
		   "minor = excluded.minor;\n"
		   "END $sluice_migration$",
		   m->major, m->minor);
	return postgres_did(p, err, sql.data, "") ||
	       error_wrap(err, "schema %d.%d", m->major, m->minor);
}

static bool bring_up(struct postgres *p, bool reader, struct error *err)
{
	int64_t timeout_ms = p->timeout_ms;
	int major, minor;
	bool ok;

	if (!version(p, &major, &minor, err) ||
	    !migrations_accept(migrations_postgres, major, minor, reader, err))
		return false;
	p->timeout_ms = MIGRATION_TIMEOUT_MS;
	ok = true;
	for (const struct migration *m = migrations_postgres; m->sql && ok; m++)
		if (migration_before(major, minor, m))
			ok = migrate(p, m, err);
	p->timeout_ms = timeout_ms;
	return ok;
}

bool postgres_place(const char *url, char *out, size_t size)
{
	char *said = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &said);
	const char *host = NULL, *database = NULL, *user = NULL;
	bool ok;

	PQfreemem(said); /* it quotes the URL, password and all */
	if (!options)
		return false;
	for (const PQconninfoOption *o = options; o->keyword; o++) {
		if (strcmp(o->keyword, "host") == 0)
			host = o->val;
		else if (strcmp(o->keyword, "dbname") == 0)
			database = o->val;
		else if (strcmp(o->keyword, "user") == 0)
			user = o->val;
	}
	/* Behind a '/' in a password that is not written as %2F all is the database's name. */
	ok = !database || !strchr(database, '@');
	snprintf(out, size, "postgres %s/%s", host ? host : "localhost",
		 database ? database
		 : user   ? user
			  : "");
	PQconninfoFree(options);
	return ok;
}

static bool describe(struct postgres *p, struct error *err)
{
	return postgres_place(p->url, p->base.describe, sizeof(p->base.describe)) ||
	       error_set(err, ERROR_INVALID,
			 "postgres: the URL cannot be read: want "
			 "postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters as "
			 "%%XX");
}

struct store *postgres_open(const char *url, int64_t timeout_ms, bool reader, struct error *err)
{
	struct postgres *p = memory_new(sizeof(*p));

	p->url = memory_text(url);
	clock_init(&p->clock);
	p->timeout_ms = timeout_ms;
	if (describe(p, err)) {
		if (bring_up(p, reader, err))
			return &p->base;
		error_wrap(err, "%s", p->base.describe);
	}
	postgres_close(&p->base);
	return NULL;
}

void postgres_close(struct store *store)
{
	struct postgres *p = (struct postgres *)store;

	PQfinish(p->conn);
	free(p->url);
	free(p);
}
