#pragma once
#include <sqlite3.h>

#include "base/cleanup.h"
#include "base/sequence.h"
#include "checkpoint/store_ops.h"

/* A SQLite file that one process holds, and the few ways to ask it something. */
struct sqlite {
	struct store base;
	sqlite3 *db;
	int lock_fd; /* flock on PATH.lock; -1: none */
	const char *path;
};

struct store *sqlite_open(const char *url, int64_t timeout_ms, bool reader, struct error *err);
void sqlite_close(struct store *s);

/* The one place that turns SQLite's codes into kinds. */
bool sqlite_failed(struct sqlite *s, struct error *err);

/* One transaction: sqlite_begin(s, err) && sqlite_end(s, body(s, …), err). */
bool sqlite_begin(struct sqlite *s, struct error *err) MUST_CHECK;
bool sqlite_end(struct sqlite *s, bool ok, struct error *err) MUST_CHECK;

static inline void sqlite3_stmt_free(struct sqlite3_stmt *st)
{
	sqlite3_finalize(st);
}
DEFINE_AUTO(sqlite3_stmt)
/* NULL: err is set. */
sqlite3_stmt *sqlite_prepare(struct sqlite *s, const char *sql, struct error *err);
/* Binds one argument for each letter: i int64_t, t const char * (NULL is NULL), s struct str as
 * text, b struct str as a blob, q const struct sequence * (none is NULL). What they point to has to
 * live until the statement was stepped. Resets the statement first. */
void sqlite_bind(sqlite3_stmt *st, const char *types, ...);
/* *row: there is one to read. */
bool sqlite_step(struct sqlite *s, sqlite3_stmt *st, bool *row, struct error *err) MUST_CHECK;
/* A bound statement without rows; *changed (may be NULL): rows it touched. */
bool sqlite_finish(struct sqlite *s, sqlite3_stmt *st, int *changed, struct error *err) MUST_CHECK;
