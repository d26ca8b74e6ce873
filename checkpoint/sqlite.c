#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "checkpoint/migrations.h"
#include "checkpoint/sqlite.h"

bool sqlite_failed(struct sqlite *s, struct error *err)
{
	const char *said = sqlite3_errmsg(s->db);

	switch (sqlite3_errcode(s->db) & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_IOERR:
	case SQLITE_FULL:
	case SQLITE_INTERRUPT:
		return error_set(err, ERROR_RETRY, "%s", said);
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return error_set(err, ERROR_REFUSED, "%s: check who may read and write it", said);
	default:
		return error_set(err, ERROR_INVALID, "%s", said);
	}
}

sqlite3_stmt *sqlite_prepare(struct sqlite *s, const char *sql, struct error *err)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		sqlite_failed(s, err);
	return st;
}

void sqlite_bind(sqlite3_stmt *st, const char *types, ...)
{
	va_list ap;

	sqlite3_reset(st);
	va_start(ap, types);
	for (int i = 1; types[i - 1]; i++) {
		switch (types[i - 1]) {
		case 'i':
			sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 't':
			sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
			break;
		case 'q': {
			const struct sequence *q = va_arg(ap, const struct sequence *);

			if (sequence_is_none(q))
				sqlite3_bind_null(st, i);
			else
				sqlite3_bind_text(st, i, q->digits, q->length, SQLITE_STATIC);
			break;
		}
		default: {
			struct str v = va_arg(ap, struct str);
			/* A NULL pointer would bind NULL, not the empty value. */
			const char *p = v.n ? v.p : "";

			if (types[i - 1] == 'b')
				sqlite3_bind_blob64(st, i, p, v.n, SQLITE_STATIC);
			else
				sqlite3_bind_text64(st, i, p, v.n, SQLITE_STATIC, SQLITE_UTF8);
		}
		}
	}
	va_end(ap);
}

bool sqlite_step(struct sqlite *s, sqlite3_stmt *st, bool *row, struct error *err)
{
	int code = sqlite3_step(st);

	*row = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE || sqlite_failed(s, err);
}

bool sqlite_finish(struct sqlite *s, sqlite3_stmt *st, int *changed, struct error *err)
{
	bool row;

	if (!sqlite_step(s, st, &row, err))
		return false;
	if (changed)
		*changed = sqlite3_changes(s->db);
	sqlite3_reset(st);
	return true;
}

static bool execute(struct sqlite *s, const char *sql, struct error *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || sqlite_failed(s, err);
}

bool sqlite_begin(struct sqlite *s, struct error *err)
{
	return execute(s, "BEGIN IMMEDIATE", err);
}

bool sqlite_end(struct sqlite *s, bool ok, struct error *err)
{
	if (ok && execute(s, "COMMIT", err))
		return true;
	/* Some failures have rolled back already, and then this one has nothing to say. */
	sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

bool sqlite_not_live(const char *id, struct error *err)
{
	return error_set(err, ERROR_FENCED, "session %s is not live", id);
}

bool sqlite_session_live(struct sqlite *s, const char *id, uint64_t *saves, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s, "SELECT saves FROM session WHERE id = ? AND state = 'live'", err);
	bool row;

	if (!st)
		return false;
	sqlite_bind(st, "t", id);
	if (!sqlite_step(s, st, &row, err))
		return false;
	if (!row)
		return sqlite_not_live(id, err);
	*saves = (uint64_t)sqlite3_column_int64(st, 0);
	return true;
}

static bool version(struct sqlite *s, int *major, int *minor, struct error *err)
{
	AUTO(sqlite3_stmt) sqlite3_stmt *st = sqlite_prepare(s, "PRAGMA user_version", err);
	bool row;

	if (!st || !sqlite_step(s, st, &row, err))
		return false;
	*major = sqlite3_column_int(st, 0) >> 16;
	*minor = sqlite3_column_int(st, 0) & 0xffff;
	return true;
}

static bool migrate(struct sqlite *s, const struct migration *m, struct error *err)
{
	char pragma[64];

	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", m->major << 16 | m->minor);
	return sqlite_begin(s, err) &&
	       sqlite_end(s, execute(s, m->sql, err) && execute(s, pragma, err), err);
}

static bool bring_up(struct sqlite *s, bool reader, struct error *err)
{
	int major, minor;

	if (!version(s, &major, &minor, err) ||
	    !migrations_accept(migrations_sqlite, major, minor, reader, err))
		return false;
	for (const struct migration *m = migrations_sqlite; m->sql; m++)
		if (migration_before(major, minor, m) && !migrate(s, m, err))
			return error_wrap(err, "schema %d.%d", m->major, m->minor);
	return true;
}

/* Beside the file and not on it: closing any descriptor of the file itself would drop the locks
 * that SQLite holds on it. The lock file stays: to remove it would race with the next process. */
static bool hold(struct sqlite *s, struct error *err)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.lock", s->path);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (s->lock_fd < 0)
		return error_set(err, ERROR_REFUSED, "%s: %m", path);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno != EWOULDBLOCK)
		return error_set(err, ERROR_RETRY, "%s: %m", path);
	return error_set(err, ERROR_REFUSED,
			 "%s is in use by another sluice process: stop that one, or use postgres "
			 "for several workers",
			 s->path);
}

static bool directory_exists(const char *path, struct error *err)
{
	char *copy = memory_text(path);
	const char *directory = dirname(copy);
	struct stat st;
	bool there = stat(directory, &st) == 0 && S_ISDIR(st.st_mode);

	if (!there)
		error_set(err, ERROR_INVALID, "there is no directory %s: create it", directory);
	free(copy);
	return there;
}

static bool connect_file(struct sqlite *s, int64_t timeout_ms, bool reader, struct error *err)
{
	bool memory = strcmp(s->path, ":memory:") == 0;
	int flags = reader ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

	if (!*s->path)
		return error_set(err, ERROR_INVALID, "no path after sqlite:");
	if (!memory && !directory_exists(s->path, err))
		return false;
	if (!memory && !reader && !hold(s, err))
		return false;
	if (reader && !memory && access(s->path, F_OK) != 0)
		return error_set(err, ERROR_NOT_FOUND,
				 "there is no such file: start a worker with `sluice run` first");
	if (sqlite3_open_v2(s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return sqlite_failed(s, err);
	sqlite3_busy_timeout(s->db, (int)timeout_ms);
	if (reader)
		return true;
	return execute(s,
		       "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		       "PRAGMA foreign_keys = ON",
		       err);
}

bool sqlite_place(const char *url, char *out, size_t size)
{
	snprintf(out, size, "sqlite %s", url + strlen("sqlite:"));
	return true;
}

struct store *sqlite_open(const char *url, int64_t timeout_ms, bool reader, struct error *err)
{
	struct sqlite *s = memory_new(sizeof(*s));

	s->lock_fd = -1;
	s->base.exclusive = true;
	(void)sqlite_place(url, s->base.describe, sizeof(s->base.describe));
	s->path = s->base.describe + strlen("sqlite ");
	if (strlen(url) >= sizeof(s->base.describe) - strlen(".lock"))
		error_set(err, ERROR_INVALID, "the path is too long");
	else if (connect_file(s, timeout_ms, reader, err) && bring_up(s, reader, err))
		return &s->base;
	error_wrap(err, "%s", s->base.describe);
	sqlite_close(&s->base);
	return NULL;
}

void sqlite_close(struct store *store)
{
	struct sqlite *s = (struct sqlite *)store;

	sqlite3_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}
