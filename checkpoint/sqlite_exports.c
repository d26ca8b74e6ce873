#include <stdio.h>
#include <string.h>

#include "checkpoint/sqlite.h"

#define EXPORT_COLUMNS                                                                             \
	"SELECT e.id, coalesce(e.stream, 0), e.table_arn, e.name, e.kind, e.from_ms, e.to_ms, "    \
	"e.generation, e.number, e.status, e.attempt, e.token, e.arn, e.manifest, "                \
	"e.retry_at_ms, e.error, coalesce(e.driver, ''), e.begun_ms, e.submitted_ms, "             \
	"e.exported_ms, e.finished_ms, e.published_ms, e.items, e.billed_bytes, e.files, "         \
	"e.files_done, e.files_failed, count(l.owner), "                                           \
	"e.records + coalesce(sum(f.records), 0), e.bytes + coalesce(sum(f.bytes), 0), "           \
	"coalesce(e.lanes, 0), e.view, coalesce(e.batch, 0), e.ends_batch "                        \
	"FROM export e LEFT JOIN export_file f "                                                   \
	"ON f.export = e.id AND NOT f.completed AND e.status <> 'complete' AND NOT ?9 "            \
	"LEFT JOIN lane l ON l.id = f.lane "

/* Its texts live until the statement is stepped again. */
static bool read_export(sqlite3_stmt *st, struct store_export *out, struct error *err)
{
#define N(column) sqlite3_column_int64(st, column)
#define U(column) ((uint64_t)sqlite3_column_int64(st, column))
	*out = (struct store_export){ .id = N(0),
				      .stream = N(1),
				      .table_arn = sqlite_text(st, 2),
				      .name = sqlite_text(st, 3),
				      .from_ms = N(5),
				      .to_ms = N(6),
				      .generation = U(7),
				      .number = U(8),
				      .attempt = (uint32_t)N(10),
				      .token = sqlite_text(st, 11),
				      .arn = sqlite_text(st, 12),
				      .manifest = sqlite_text(st, 13),
				      .retry_at_ms = N(14),
				      .error = sqlite_text(st, 15),
				      .begun_ms = N(17),
				      .submitted_ms = N(18),
				      .exported_ms = N(19),
				      .finished_ms = N(20),
				      .published_ms = N(21),
				      .items = U(22),
				      .billed_bytes = U(23),
				      .files = U(24),
				      .files_done = U(25),
				      .files_failed = U(26),
				      .files_held = U(27),
				      .records = U(28),
				      .bytes = U(29),
				      .lanes = N(30),
				      .view = sqlite_text(st, 31),
				      .batch = N(32),
				      .ends_batch = N(33) != 0 };
#undef N
#undef U
	snprintf(out->driver, sizeof(out->driver), "%s", sqlite_text(st, 16));
	return store_export_parse(out, sqlite_text(st, 4), sqlite_text(st, 9), err);
}

static bool list(struct store *store, const struct store_exports_of *of, store_export_fn *fn,
		 void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		EXPORT_COLUMNS "WHERE (?1 = 0 OR e.id = ?1) AND (?2 IS NULL OR e.table_arn = ?2) "
			       "AND (?3 IS NULL OR e.name = ?3) AND (?4 = 0 OR e.stream = ?4) "
			       "AND (NOT ?5 OR NOT (e.status = 'abandoned' "
			       "  OR e.status = 'complete' AND e.published_ms > 0)) "
			       "AND (NOT ?7 "
			       "  OR e.status IN ('loading', 'failed') AND e.exported_ms > 0) "
			       "AND (?8 IS NULL OR e.kind = ?8) AND (?10 = 0 OR e.batch = ?10) "
			       "GROUP BY e.id ORDER BY e.id DESC LIMIT ?6",
		err);
	struct store_export e;
	bool row;

	if (st)
		sqlite_bind(st, "ittiiiitii", of->id, of->table_arn, of->name, of->stream,
			    (int64_t)of->open, (int64_t)of->max, (int64_t)of->loading, of->kind,
			    (int64_t)of->unsummed, of->batch);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		if (!read_export(st, &e, err))
			return false;
		fn(arg, &e);
	}
	return false;
}

bool sqlite_export_known(struct sqlite *s, int64_t export, struct error *err)
{
	bool yes;

	return sqlite_asks(s, &yes, err, "SELECT 1 FROM export WHERE id = ?", "i", export) &&
	       (yes ||
		error_set(err, ERROR_NOT_FOUND, "export %lld is not known", (long long)export));
}

bool sqlite_export_of_live(struct sqlite *s, const char *session, int64_t export, struct error *err)
{
	uint64_t saves;

	return sqlite_session_live(s, session, &saves, err) && sqlite_export_known(s, export, err);
}

/* --- beginning --- */
#define SAME_TABLE "coalesce(stream, 0) = ?1 AND table_arn = ?2 AND name = ?3 "
#define SAME_CHAIN SAME_TABLE "AND (kind = 'load') = (?4 = 'load') "

/* *found: this window is there, and *created says whether by this call, sent before. */
static bool find_window(struct sqlite *s, const char *session, struct store_export *e,
			int64_t at_ms, bool *found, bool *created, struct error *err)
{
	const char *kind = store_export_kind_name(e->kind);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT id, generation, number, status, attempt, "
			       "begun_ms = ?7 AND driver IS ?8 FROM export WHERE " SAME_TABLE
			       "AND kind = ?4 AND from_ms = ?5 AND to_ms = ?6 "
			       "AND (?9 = 0 OR generation = ?9) ORDER BY id DESC LIMIT 1",
			       err);

	if (!st)
		return false;
	sqlite_bind(st, "itttiiiti", e->stream, e->table_arn, e->name, kind, e->from_ms, e->to_ms,
		    at_ms, session, (int64_t)e->generation);
	if (!sqlite_step(s, st, found, err))
		return false;
	if (!*found)
		return true;
	e->id = sqlite3_column_int64(st, 0);
	e->generation = (uint64_t)sqlite3_column_int64(st, 1);
	e->number = (uint64_t)sqlite3_column_int64(st, 2);
	e->attempt = (uint32_t)sqlite3_column_int64(st, 4);
	*created = sqlite3_column_int(st, 5) != 0;
	return store_export_parse(e, kind, sqlite_text(st, 3), err);
}

static bool next_generation(struct sqlite *s, struct store_export *e, struct error *err)
{
	bool incremental = e->kind == STORE_EXPORT_INCREMENTAL, row;
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s, "SELECT coalesce(max(generation), 0) FROM export WHERE " SAME_CHAIN, err);

	if (!st)
		return false;
	sqlite_bind(st, "ittt", e->stream, e->table_arn, e->name, store_export_kind_name(e->kind));
	if (!sqlite_step(s, st, &row, err))
		return false;
	e->generation = (uint64_t)sqlite3_column_int64(st, 0);
	if (!incremental || e->generation == 0)
		e->generation++;
	return true;
}

/* Nothing is mixed with what the stream brings, and of two who begin it one is late: else *fits. */
static bool generation_of_stream(struct sqlite *s, struct store_export *e, bool *fits,
				 struct error *err)
{
	bool row, more = false;
	int64_t now;
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s, "SELECT generation, hold IS NOT NULL FROM stream WHERE id = ?1", err);

	if (!st)
		return false;
	sqlite_bind(st, "i", e->stream);
	if (!sqlite_step(s, st, &row, err))
		return false;
	now = sqlite3_column_int64(st, 0);
	*fits = sqlite3_column_int(st, 1) && (e->generation == 0 || (int64_t)e->generation == now ||
					      (int64_t)e->generation == now + 1);
	if (*fits && e->from_ms == 0 &&
	    !sqlite_asks(s, &more, err, "SELECT 1 FROM export WHERE stream = ? AND generation = ?",
			 "ii", e->stream, (int64_t)e->generation))
		return false;
	*fits = *fits && !more;
	if (!*fits || (int64_t)e->generation == now)
		return true;
	e->generation = (uint64_t)now + 1;
	return sqlite_run(s, NULL, err, "UPDATE stream SET generation = ? WHERE id = ?", "ii",
			  now + 1, e->stream);
}

/* Windows of a generation are contiguous: *fits, and then number is the next one. */
static bool next_number(struct sqlite *s, struct store_export *e, bool *fits, struct error *err)
{
	bool row;
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT to_ms, number FROM export WHERE " SAME_CHAIN
					  "AND generation = ?5 AND from_ms > 0 "
					  "ORDER BY number DESC LIMIT 1",
					  err);

	e->number = 0;
	*fits = true;
	if (!st || e->from_ms == 0)
		return st;
	sqlite_bind(st, "ittti", e->stream, e->table_arn, e->name, store_export_kind_name(e->kind),
		    (int64_t)e->generation);
	if (!sqlite_step(s, st, &row, err))
		return false;
	*fits = !row || sqlite3_column_int64(st, 0) == e->from_ms;
	e->number = row ? (uint64_t)sqlite3_column_int64(st, 1) + 1 : 1;
	return true;
}

static bool begin_inside(struct sqlite *s, const char *session, struct store_export *e,
			 int64_t at_ms, bool *created, struct error *err)
{
	const char *manifest = e->manifest ? e->manifest : "";
	uint64_t saves;
	bool found, fits;

	e->id = 0;
	if ((session && !sqlite_session_live(s, session, &saves, err)) ||
	    !find_window(s, session, e, at_ms, &found, created, err) ||
	    (!found && e->stream && !sqlite_stream_known(s, e->stream, err)))
		return false;
	if (found)
		return session ||
		       sqlite_run(s, NULL, err, "UPDATE export SET ends_batch = 1 WHERE id = ?",
				  "i", e->id);
	if (e->stream && !generation_of_stream(s, e, &fits, err))
		return false;
	if (e->stream && !fits)
		return true;
	if ((e->generation == 0 && !next_generation(s, e, err)) || !next_number(s, e, &fits, err))
		return false;
	if (!fits)
		return true;
	return sqlite_run(
		       s, NULL, err,
		       "INSERT INTO export (stream, table_arn, name, kind, from_ms, to_ms, "
		       "generation, number, view, status, manifest, driver, begun_ms, "
		       "ends_batch) VALUES (nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       "itttiiiittttii", e->stream, e->table_arn, e->name,
		       store_export_kind_name(e->kind), e->from_ms, e->to_ms,
		       (int64_t)e->generation, (int64_t)e->number, e->view ? e->view : "",
		       *manifest ? "running" : "waiting", manifest, session, at_ms,
		       (int64_t)!session) &&
	       find_window(s, session, e, at_ms, &found, created, err);
}

static bool begin(struct store *store, const char *session, struct store_export *e, int64_t at_ms,
		  bool *created, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, begin_inside(s, session, e, at_ms, created, err), err);
}

static bool take_inside(struct sqlite *s, const char *session, int64_t export, bool *mine,
			struct error *err)
{
	return sqlite_export_of_live(s, session, export, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET driver = ? WHERE id = ? "
			  "AND (driver IS NULL OR driver NOT IN " SQLITE_LIVE ")",
			  "ti", session, export) &&
	       sqlite_asks(s, mine, err, "SELECT 1 FROM export WHERE id = ? AND driver = ?", "it",
			   export, session);
}

static bool take(struct store *store, const char *session, int64_t export, bool *mine,
		 struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, take_inside(s, session, export, mine, err), err);
}

/* --- attempts at AWS --- */
static bool attempt_end(struct sqlite *s, int64_t export, const char *how, const char *error,
			int64_t at_ms, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "UPDATE export_attempt SET how = ?, error = ?, ended_ms = ? "
			  "WHERE export = ? AND lane IS NULL AND how = ''",
			  "ttii", how, error, at_ms, export);
}

static bool attempt_new(struct sqlite *s, const char *session, int64_t export,
			const struct store_attempt_made *made, int64_t at_ms, struct error *err)
{
	int changed;

	if (!sqlite_run(
		    s, &changed, err,
		    "UPDATE export SET attempt = ?1, token = ?2, arn = '', retry_at_ms = 0, "
		    "submitted_ms = 0 WHERE id = ?3 AND status = 'waiting' AND attempt = ?1 - 1",
		    "iti", (int64_t)made->attempt, made->token, export))
		return false;
	return !changed ||
	       (attempt_end(s, export, "lost", "", at_ms, err) &&
		sqlite_run(s, NULL, err,
			   "INSERT INTO export_attempt (export, number, session, worker, token, "
			   "began_ms) SELECT ?, ?, id, worker, ?, ? FROM session WHERE id = ?",
			   "iitit", export, (int64_t)made->attempt, made->token, at_ms, session));
}

static bool attempt_inside(struct sqlite *s, const char *session, int64_t export,
			   struct store_attempt_made *made, int64_t at_ms, bool *done,
			   struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT attempt, token FROM export WHERE id = ? "
					  "AND status IN ('waiting', 'running') AND attempt >= ?",
					  err);

	if (!st || !sqlite_export_of_live(s, session, export, err) ||
	    !attempt_new(s, session, export, made, at_ms, err))
		return false;
	sqlite_bind(st, "ii", export, (int64_t)made->attempt);
	if (!sqlite_step(s, st, done, err))
		return false;
	if (*done) {
		made->attempt = (uint32_t)sqlite3_column_int64(st, 0);
		snprintf(made->token, sizeof(made->token), "%s", sqlite_text(st, 1));
	}
	return true;
}

static bool attempt(struct store *store, const char *session, int64_t export,
		    struct store_attempt_made *made, int64_t at_ms, bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, attempt_inside(s, session, export, made, at_ms, done, err), err);
}

static bool submitted_inside(struct sqlite *s, const char *session, int64_t export, uint32_t number,
			     const char *arn, int64_t at_ms, bool *done, struct error *err)
{
	int changed;

	if (!sqlite_export_of_live(s, session, export, err) ||
	    !sqlite_run(s, &changed, err,
			"UPDATE export SET status = 'running', arn = ?, submitted_ms = ? "
			"WHERE id = ? AND status = 'waiting' AND attempt = ?",
			"tiii", arn, at_ms, export, (int64_t)number))
		return false;
	if (!changed)
		return sqlite_asks(s, done, err,
				   "SELECT 1 FROM export WHERE id = ? AND attempt = ? AND arn = ? "
				   "AND status <> 'waiting'",
				   "iit", export, (int64_t)number, arn);
	*done = true;
	return sqlite_run(s, NULL, err,
			  "UPDATE export_attempt SET arn = ? "
			  "WHERE export = ? AND lane IS NULL AND how = ''",
			  "ti", arn, export);
}

static bool submitted(struct store *store, const char *session, int64_t export, uint32_t number,
		      const char *arn, int64_t at_ms, bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, submitted_inside(s, session, export, number, arn, at_ms, done, err),
			  err);
}

static bool exported_inside(struct sqlite *s, const char *session, int64_t export, uint32_t number,
			    const struct store_exported *what, int64_t at_ms, bool *done,
			    struct error *err)
{
	int changed;

	if (!sqlite_export_of_live(s, session, export, err) ||
	    !sqlite_run(
		    s, &changed, err,
		    "UPDATE export SET status = 'exported', manifest = ?, files = ?, items = ?, "
		    "billed_bytes = ?, exported_ms = ?, error = '' "
		    "WHERE id = ? AND status = 'running' AND attempt = ?",
		    "tiiiiii", what->manifest, (int64_t)what->files, (int64_t)what->items,
		    (int64_t)what->billed_bytes, at_ms, export, (int64_t)number))
		return false;
	if (!changed)
		return sqlite_asks(
			s, done, err,
			"SELECT 1 FROM export WHERE id = ? AND attempt = ? AND exported_ms > 0 "
			"AND status IN ('exported', 'loading', 'complete', 'failed')",
			"ii", export, (int64_t)number);
	*done = true;
	return attempt_end(s, export, "done", "", at_ms, err);
}

static bool exported(struct store *store, const char *session, int64_t export, uint32_t number,
		     const struct store_exported *what, int64_t at_ms, bool *done,
		     struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, exported_inside(s, session, export, number, what, at_ms, done, err),
			  err);
}

struct failure {
	const char *session, *error;
	int64_t export, number, retry_at_ms, at_ms;
};

static bool failed_inside(struct sqlite *s, const struct failure *f, bool *done, struct error *err)
{
	int changed;

	if (!sqlite_export_of_live(s, f->session, f->export, err) ||
	    !sqlite_asks(s, done, err,
			 "SELECT 1 FROM export WHERE id = ?1 AND attempt = ?2 AND exported_ms = 0 "
			 "AND error = ?3 AND retry_at_ms = ?4 AND (status = 'failed') = (?4 = 0) "
			 "AND status IN ('waiting', 'running', 'failed')",
			 "iiti", f->export, f->number, f->error, f->retry_at_ms))
		return false;
	if (*done)
		return true;
	if (!sqlite_run(
		    s, &changed, err,
		    "UPDATE export SET error = ?1, retry_at_ms = ?2, exported_ms = 0, files = 0, "
		    "items = 0, billed_bytes = 0, status = CASE WHEN ?2 = 0 THEN 'failed' "
		    "WHEN kind = 'load' THEN 'running' ELSE 'waiting' END "
		    "WHERE id = ?3 AND attempt = ?4 AND batch IS NULL "
		    "AND status IN ('waiting', 'running', 'exported')",
		    "tiii", f->error, f->retry_at_ms, f->export, f->number))
		return false;
	*done = changed > 0;
	/* The next attempt has other files. Nobody has one of these: it was not loaded yet. */
	return !changed ||
	       (sqlite_run(
			s, NULL, err,
			"DELETE FROM lane WHERE stream = (SELECT lanes FROM export WHERE id = ?)",
			"i", f->export) &&
		attempt_end(s, f->export, "failed", f->error, f->at_ms, err));
}

static bool failed(struct store *store, const char *session, int64_t export, uint32_t number,
		   const char *error, int64_t retry_at_ms, int64_t at_ms, bool *done,
		   struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	struct failure f = { .session = session,
			     .error = error,
			     .export = export,
			     .number = number,
			     .retry_at_ms = retry_at_ms,
			     .at_ms = at_ms };

	return sqlite_begin(s, err) && sqlite_end(s, failed_inside(s, &f, done, err), err);
}

/* --- ends --- */
static bool finish_inside(struct sqlite *s, const char *session, int64_t export, int64_t at_ms,
			  bool *done, struct error *err)
{
	return sqlite_export_of_live(s, session, export, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET status = 'complete', finished_ms = ? "
			  "WHERE id = ? AND status = 'exported' AND batch IS NULL",
			  "ii", at_ms, export) &&
	       sqlite_asks(s, done, err,
			   "SELECT 1 FROM export WHERE id = ? AND status = 'complete'", "i",
			   export);
}

static bool finish(struct store *store, const char *session, int64_t export, int64_t at_ms,
		   bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, finish_inside(s, session, export, at_ms, done, err), err);
}

static bool published_inside(struct sqlite *s, const char *session, int64_t export, int64_t at_ms,
			     bool *first, struct error *err)
{
	return sqlite_export_of_live(s, session, export, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET published_ms = ? "
			  "WHERE id = ? AND status = 'complete' AND published_ms = 0",
			  "ii", at_ms, export) &&
	       sqlite_asks(s, first, err, "SELECT 1 FROM export WHERE id = ? AND published_ms = ?",
			   "ii", export, at_ms);
}

static bool published(struct store *store, const char *session, int64_t export, int64_t at_ms,
		      bool *first, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, published_inside(s, session, export, at_ms, first, err), err);
}

static bool abandon_inside(struct sqlite *s, int64_t export, const char *error, int64_t at_ms,
			   bool *done, struct error *err)
{
	return sqlite_export_known(s, export, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET status = 'abandoned', error = ?, finished_ms = ? "
			  "WHERE id = ? AND status NOT IN ('complete', 'abandoned')",
			  "tii", error, at_ms, export) &&
	       sqlite_asks(s, done, err,
			   "SELECT 1 FROM export WHERE id = ? AND status = 'abandoned'", "i",
			   export) &&
	       (!*done || attempt_end(s, export, "lost", error, at_ms, err));
}

static bool abandon(struct store *store, int64_t export, const char *error, int64_t at_ms,
		    bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, abandon_inside(s, export, error, at_ms, done, err), err);
}

const struct store_export_ops store_exports_sqlite = {
	.begin = begin,
	.take = take,
	.attempt = attempt,
	.submitted = submitted,
	.exported = exported,
	.failed = failed,
	.finish = finish,
	.published = published,
	.abandon = abandon,
	.list = list,
	.files_add = sqlite_files_add,
	.load = sqlite_files_load,
	.batch = sqlite_export_batch,
	.files_claim = sqlite_files_claim,
	.files_held = sqlite_files_held,
	.file_failed = sqlite_file_failed,
	.retry = sqlite_files_retry,
	.files = sqlite_files,
	.attempts = sqlite_attempts,
	.tidy = sqlite_exports_tidy,
};
