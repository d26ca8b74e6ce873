#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "checkpoint/sqlite.h"

/* --- adding --- */

/* *lanes: the stream of its files, 0 for none; *exported: they are to be added now; *loading: they
 * are all there. */
static bool look(struct sqlite *s, int64_t export, int64_t *lanes, bool *exported, bool *loading,
		 struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT coalesce(lanes, 0), status = 'exported' AND batch IS NULL, "
			       "exported_ms > 0 AND status IN ('loading', 'complete', 'failed') "
			       "FROM export WHERE id = ?",
			       err);
	bool row;

	if (!st)
		return false;
	sqlite_bind(st, "i", export);
	if (!sqlite_step(s, st, &row, err))
		return false;
	*lanes = sqlite3_column_int64(st, 0);
	*exported = sqlite3_column_int(st, 1) != 0;
	*loading = sqlite3_column_int(st, 2) != 0;
	return true;
}

bool sqlite_files_stream(struct sqlite *s, int64_t export, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "INSERT INTO stream (name, arn, generation, start_ms, rooted) "
			  "SELECT name, 'export ' || id, generation, 0, 1 FROM export WHERE id = ?",
			  "i", export) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET lanes = last_insert_rowid() WHERE id = ?", "i",
			  export);
}

static bool add_files(struct sqlite *s, int64_t export, const struct store_file *files,
		      size_t count, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *lane = sqlite_prepare(s,
					    "INSERT INTO lane (stream, shard, parent, root) "
					    "SELECT lanes, ?, '', 1 FROM export WHERE id = ? "
					    "ON CONFLICT DO NOTHING",
					    err);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *file =
		sqlite_prepare(s,
			       "INSERT INTO export_file (lane, export, location, checksum, items) "
			       "VALUES (last_insert_rowid(), ?, ?, ?, ?)",
			       err);
	int added;

	if (!lane || !file)
		return false;
	for (size_t i = 0; i < count; i++) {
		sqlite_bind(lane, "ti", files[i].name, export);
		if (!sqlite_finish(s, lane, &added, err))
			return false;
		if (!added)
			continue;
		sqlite_bind(file, "itti", export, files[i].location, files[i].checksum,
			    (int64_t)files[i].items);
		if (!sqlite_finish(s, file, NULL, err))
			return false;
	}
	return true;
}

static bool add(struct sqlite *s, const char *session, int64_t export,
		const struct store_file *files, size_t count, bool *done, struct error *err)
{
	bool exported, loading;
	int64_t lanes;

	if (!sqlite_export_of_live(s, session, export, err) ||
	    !look(s, export, &lanes, &exported, &loading, err))
		return false;
	*done = exported || loading;
	if (!exported)
		return true;
	return (lanes || sqlite_files_stream(s, export, err)) &&
	       add_files(s, export, files, count, err);
}

bool sqlite_files_add(struct store *store, const char *session, int64_t export,
		      const struct store_file *files, size_t count, bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, add(s, session, export, files, count, done, err), err);
}

static bool all_there(struct sqlite *s, int64_t export, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT files, (SELECT count(*) FROM export_file f "
					  "WHERE f.export = e.id) FROM export e WHERE id = ?",
					  err);
	int64_t wanted, there;
	bool row;

	if (!st)
		return false;
	sqlite_bind(st, "i", export);
	if (!sqlite_step(s, st, &row, err))
		return false;
	wanted = sqlite3_column_int64(st, 0);
	there = sqlite3_column_int64(st, 1);
	return there == wanted ||
	       error_set(err, ERROR_INVALID, "export %" PRId64 " has %" PRId64 " files of %" PRId64,
			 export, there, wanted);
}

static bool load(struct sqlite *s, const char *session, int64_t export, int64_t at_ms, bool *done,
		 struct error *err)
{
	bool exported, loading;
	int64_t lanes;

	if (!sqlite_export_of_live(s, session, export, err) ||
	    !look(s, export, &lanes, &exported, &loading, err))
		return false;
	*done = exported || loading;
	if (!exported)
		return true;
	return all_there(s, export, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET status = 'loading', "
			  "finished_ms = CASE WHEN files = 0 THEN ? ELSE 0 END WHERE id = ?",
			  "ii", at_ms, export) &&
	       /* For the trigger: one without files is complete. */
	       sqlite_run(s, NULL, err, "UPDATE export SET files_done = 0 WHERE id = ?", "i",
			  export);
}

bool sqlite_files_load(struct store *store, const char *session, int64_t export, int64_t at_ms,
		       bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, load(s, session, export, at_ms, done, err), err);
}

/* --- claims --- */
struct claim {
	const char *session;
	int64_t export, lanes, at_ms, number;
	struct store_files_wanted wanted;
	const int32_t *sinks;
	size_t sink_count;
};

/* *fits: the stored set of sinks is the claim's, now or already. */
static bool settle_sinks(struct sqlite *s, const struct claim *c, bool *fits, struct error *err)
{
	__attribute__((cleanup(buf_release))) struct buf set = { 0 };
	bool held;

	sqlite_set_text(&set, c->sinks, c->sink_count);
	if (!sqlite_asks(s, fits, err, "SELECT 1 FROM stream WHERE id = ? AND sinks = ?", "it",
			 c->lanes, set.data) ||
	    !sqlite_asks(s, &held, err, "SELECT 1 FROM lane WHERE stream = ? AND owner IS NOT NULL",
			 "i", c->lanes))
		return false;
	if (*fits || held)
		return true; /* workers with the stored set are at it */
	*fits = true;
	/* As for shards; but what is completed stays so. */
	return sqlite_run(s, NULL, err, "UPDATE stream SET sinks = ? WHERE id = ?", "ti", set.data,
			  c->lanes) &&
	       sqlite_run(
		       s, NULL, err,
		       "UPDATE lane SET done = 1, read_at_ms = max(read_at_ms, ?1) "
		       "WHERE stream = ?2 AND NOT done AND EXISTS (SELECT 1 FROM position p "
		       "  WHERE p.lane = lane.id AND p.done) "
		       "AND NOT EXISTS (SELECT 1 FROM position p, stream s, json_each(s.sinks) k "
		       "  WHERE s.id = ?2 AND p.lane = lane.id AND NOT p.done AND p.sink = "
		       "k.value)",
		       "ii", c->at_ms, c->lanes);
}

/* Of a file's attempt that is under way: it did not go well. */
static bool end_attempt(struct sqlite *s, int64_t lane, const char *how, const char *error,
			int64_t at_ms, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "INSERT INTO export_attempt (export, lane, number, session, worker, "
			  "began_ms, ended_ms, how, error) SELECT export, lane, attempts, session, "
			  "worker, tried_ms, ?, ?, ? FROM export_file WHERE lane = ? "
			  "AND tried_ms > 0",
			  "itti", at_ms, how, error, lane);
}

/* What a claim does with each file that it takes, in this order; ?1 is the lane. */
static bool take_file(struct sqlite *s, const struct claim *c, int64_t lane, struct error *err)
{
	for (size_t i = 0; i < c->sink_count; i++)
		if (!sqlite_run(s, NULL, err,
				"INSERT INTO position (lane, sink, sequence, event_ms, done) "
				"SELECT l.id, ?2, f.sequence, coalesce(f.event_ms, 0), "
				"coalesce(f.done, 0) FROM lane l LEFT JOIN position f "
				"ON f.lane = l.id AND f.sink = (SELECT p.sink FROM position p "
				"  WHERE p.lane = l.id ORDER BY p.done DESC, "
				"  length(p.sequence) DESC, p.sequence DESC LIMIT 1) "
				"WHERE l.id = ?1 ON CONFLICT DO NOTHING",
				"ii", lane, (int64_t)c->sinks[i]))
			return false;
	return sqlite_run(s, NULL, err, "UPDATE lane SET owner = ?2, claim = ?3 WHERE id = ?1",
			  "iti", lane, c->session, c->number) &&
	       end_attempt(s, lane, "lost", "", c->at_ms, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export_file SET attempts = attempts + 1, retry_at_ms = 0, "
			  "started_ms = CASE WHEN started_ms = 0 THEN ?2 ELSE started_ms END, "
			  "updated_ms = ?2, tried_ms = ?2, session = ?3, "
			  "worker = (SELECT worker FROM session WHERE id = ?3) WHERE lane = ?1",
			  "iit", lane, c->at_ms, c->session);
}

/* *lane: the oldest that may be claimed, 0: none. */
static bool next_file(struct sqlite *s, const struct claim *c, int64_t *lane, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT l.id FROM lane l CROSS JOIN export_file f ON f.lane = l.id "
		"WHERE l.stream = ?1 AND l.owner IS NULL AND NOT l.done AND NOT f.completed "
		"AND NOT f.failed AND f.retry_at_ms <= ?2 ORDER BY l.id LIMIT 1",
		err);
	bool row;

	if (!st)
		return false;
	sqlite_bind(st, "ii", c->lanes, c->at_ms);
	if (!sqlite_step(s, st, &row, err))
		return false;
	*lane = row ? sqlite3_column_int64(st, 0) : 0;
	return true;
}

/* *held: so many of the export the session has. */
static bool count_held(struct sqlite *s, const struct claim *c, int64_t *held, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s, "SELECT count(*) FROM lane WHERE owner = ? AND stream = ?", err);
	bool row;

	if (!st)
		return false;
	sqlite_bind(st, "ti", c->session, c->lanes);
	if (!sqlite_step(s, st, &row, err))
		return false;
	*held = sqlite3_column_int64(st, 0);
	return true;
}

/* *from: as its number is given back. */
static bool claim(struct sqlite *s, struct claim *c, int64_t *from, struct error *err)
{
	int64_t held, most = c->wanted.known;
	bool fits, loading;

	if (!sqlite_export_of_live(s, c->session, c->export, err) ||
	    !sqlite_count_claim(s, c->session, &c->number, err) ||
	    !look(s, c->export, &c->lanes, &fits, &loading, err) ||
	    !sqlite_asks(s, &loading, err,
			 "SELECT 1 FROM export WHERE id = ? AND status = 'loading'", "i",
			 c->export))
		return false;
	if (!c->lanes || !loading || c->wanted.max == 0)
		return true;
	if (!settle_sinks(s, c, &fits, err) || !count_held(s, c, &held, err))
		return false;
	*from = held == c->wanted.known ? c->number : 0;
	/* What ended since the caller counted is not made up for: it would be too much at once. */
	if (held > most)
		most = held;
	for (int64_t lane = 1; fits && lane && most < c->wanted.max; most++)
		if (!next_file(s, c, &lane, err) || (lane && !take_file(s, c, lane, err)))
			return false;
	return true;
}

bool sqlite_files_claim(struct store *store, const char *session, int64_t export,
			const int32_t *sinks, size_t sink_count,
			const struct store_files_wanted *wanted, int64_t at_ms, int64_t *from,
			struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	struct claim c = { .session = session,
			   .export = export,
			   .at_ms = at_ms,
			   .wanted = *wanted,
			   .sinks = sinks,
			   .sink_count = sink_count };

	return sqlite_begin(s, err) && sqlite_end(s, claim(s, &c, from, err), err);
}

/* --- failures --- */
struct failure {
	const char *session, *error;
	int64_t lane, retry_at_ms, at_ms;
	bool anew;
};

/* Its reply was lost, or the file is not the session's. */
static bool said_before(struct sqlite *s, const struct failure *f, struct error *err)
{
	bool yes;

	return sqlite_asks(s, &yes, err,
			   "SELECT 1 FROM export_file WHERE lane = ? AND session = ? "
			   "AND error = ? AND updated_ms = ?",
			   "itti", f->lane, f->session, f->error, f->at_ms) &&
	       (yes || error_set(err, ERROR_FENCED, "file %" PRId64 " is not one of session %s",
				 f->lane, f->session));
}

static bool fail(struct sqlite *s, const struct failure *f, struct error *err)
{
	uint64_t saves;
	int changed;

	if (!sqlite_session_live(s, f->session, &saves, err) ||
	    !sqlite_run(s, &changed, err, "UPDATE lane SET owner = NULL WHERE id = ? AND owner = ?",
			"it", f->lane, f->session))
		return false;
	if (!changed)
		return said_before(s, f, err);
	return (!f->anew ||
		(sqlite_run(s, NULL, err,
			    "UPDATE position SET sequence = NULL, event_ms = 0, done = 0 "
			    "WHERE lane = ?",
			    "i", f->lane) &&
		 sqlite_run(s, NULL, err,
			    "UPDATE export_file SET records = 0, bytes = 0 WHERE lane = ?", "i",
			    f->lane))) &&
	       end_attempt(s, f->lane, "failed", f->error, f->at_ms, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export_file SET failed = ?1 = 0, retry_at_ms = ?1, "
			  "retries = retries + 1, error = ?2, updated_ms = ?3, tried_ms = 0 "
			  "WHERE lane = ?4",
			  "itii", f->retry_at_ms, f->error, f->at_ms, f->lane) &&
	       (f->retry_at_ms != 0 ||
		sqlite_run(s, NULL, err,
			   "UPDATE export SET files_failed = files_failed + 1 "
			   "WHERE id = (SELECT export FROM export_file WHERE lane = ?)",
			   "i", f->lane));
}

bool sqlite_file_failed(struct store *store, const char *session, int64_t lane, const char *error,
			int64_t retry_at_ms, bool anew, int64_t at_ms, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	struct failure f = { .session = session,
			     .error = error,
			     .lane = lane,
			     .retry_at_ms = retry_at_ms,
			     .at_ms = at_ms,
			     .anew = anew };

	return sqlite_begin(s, err) && sqlite_end(s, fail(s, &f, err), err);
}

static bool retry(struct sqlite *s, int64_t export, int64_t lane, int64_t at_ms, uint32_t *retried,
		  struct error *err)
{
	int whole = 0, waiting = 0, failed = 0;

	if (!sqlite_export_known(s, export, err) ||
	    !sqlite_run(s, &whole, err,
			"UPDATE export SET retry_at_ms = ?3, "
			"status = CASE WHEN kind = 'load' THEN 'running' ELSE 'waiting' END "
			"WHERE id = ?1 AND ?2 = 0 AND exported_ms = 0 AND (status = 'failed' "
			"OR status IN ('waiting', 'running') AND retry_at_ms > ?3)",
			"iii", export, lane, at_ms))
		return false;
	/* One that waits for its next attempt need not wait any longer. */
	if (!whole &&
	    !(sqlite_run(s, &waiting, err,
			 "UPDATE export_file SET retry_at_ms = 0 WHERE export = ?1 "
			 "AND (?2 = 0 OR lane = ?2) AND retry_at_ms > 0 AND ?1 IN "
			 "(SELECT id FROM export WHERE status IN ('loading', 'failed'))",
			 "ii", export, lane) &&
	      sqlite_run(s, &failed, err,
			 "UPDATE export_file SET failed = 0, retries = 0, updated_ms = ?3 "
			 "WHERE export = ?1 AND (?2 = 0 OR lane = ?2) AND failed AND ?1 IN "
			 "(SELECT id FROM export WHERE status IN ('loading', 'failed'))",
			 "iii", export, lane, at_ms) &&
	      (!failed ||
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET files_failed = files_failed - ? WHERE id = ?", "ii",
			  (int64_t)failed, export))))
		return false;
	*retried = (uint32_t)(whole + waiting + failed);
	return true;
}

bool sqlite_files_retry(struct store *store, int64_t export, int64_t lane, int64_t at_ms,
			uint32_t *retried, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, retry(s, export, lane, at_ms, retried, err), err);
}

/* --- lists --- */
#define FILES                                                                                      \
	"SELECT f.lane, f.export, l.shard, f.location, f.checksum, f.items, f.completed, "         \
	"f.failed, f.retry_at_ms, f.retries, f.attempts, f.error, f.records, f.bytes, "            \
	"f.started_ms, f.ended_ms, f.updated_ms, coalesce(l.owner, ''), f.worker "                 \
	"FROM export_file f JOIN lane l ON l.id = f.lane "
/* Of a lane l: a session's of an export, by its claims from a number on. */
#define HELD                                                                                       \
	"l.owner = ?1 AND l.stream = (SELECT lanes FROM export WHERE id = ?2) AND l.claim >= ?3 "

/* Of a statement that is FILES, and bound. */
static bool tell_files(struct sqlite *s, sqlite3_stmt *st, store_file_fn *fn, void *arg,
		       struct error *err)
{
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_file f = { .lane = sqlite3_column_int64(st, 0),
					.export = sqlite3_column_int64(st, 1),
					.location = sqlite_text(st, 3),
					.checksum = sqlite_text(st, 4),
					.items = (uint64_t)sqlite3_column_int64(st, 5),
					.retry_at_ms = sqlite3_column_int64(st, 8),
					.retries = (uint32_t)sqlite3_column_int64(st, 9),
					.attempts = (uint32_t)sqlite3_column_int64(st, 10),
					.error = sqlite_text(st, 11),
					.records = (uint64_t)sqlite3_column_int64(st, 12),
					.bytes = (uint64_t)sqlite3_column_int64(st, 13),
					.started_ms = sqlite3_column_int64(st, 14),
					.ended_ms = sqlite3_column_int64(st, 15),
					.updated_ms = sqlite3_column_int64(st, 16),
					.worker = sqlite_text(st, 18) };

		snprintf(f.name, sizeof(f.name), "%s", sqlite_text(st, 2));
		snprintf(f.owner, sizeof(f.owner), "%s", sqlite_text(st, 17));
		f.status = store_file_status_of(sqlite3_column_int(st, 6) != 0,
						sqlite3_column_int(st, 7) != 0, f.owner);
		fn(arg, &f);
	}
	return false;
}

bool sqlite_files(struct store *store, int64_t export, store_file_fn *fn, void *arg,
		  struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, FILES "WHERE f.export = ? ORDER BY f.lane", err);

	if (st)
		sqlite_bind(st, "i", export);
	return tell_files(s, st, fn, arg, err);
}

static bool held_positions(struct sqlite *s, const char *session, int64_t export, int64_t claim,
			   store_position_fn *fn, void *arg, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT p.lane, p.sink, p.sequence, p.event_ms, p.done FROM lane l "
		"JOIN position p ON p.lane = l.id WHERE " HELD "ORDER BY p.lane, p.sink",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "tii", session, export, claim);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_position p = { .lane = sqlite3_column_int64(st, 0),
					    .sink = sqlite3_column_int(st, 1),
					    .event_ms = sqlite3_column_int64(st, 3),
					    .done = sqlite3_column_int(st, 4) != 0 };

		if (!store_sequence_parse(&p.sequence, sqlite_text(st, 2), err))
			return false;
		fn(arg, &p);
	}
	return false;
}

static bool list_held(struct sqlite *s, const char *session, int64_t export, int64_t claim,
		      store_file_fn *file, store_position_fn *position, void *arg,
		      struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, FILES "WHERE " HELD "ORDER BY f.lane", err);

	if (st)
		sqlite_bind(st, "tii", session, export, claim);
	return tell_files(s, st, file, arg, err) &&
	       held_positions(s, session, export, claim, position, arg, err);
}

bool sqlite_files_held(struct store *store, const char *session, int64_t export, int64_t claim,
		       store_file_fn *file, store_position_fn *position, void *arg,
		       struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	/* One snapshot, as for lanes. */
	return sqlite_run(s, NULL, err, "BEGIN", "") &&
	       sqlite_end(s, list_held(s, session, export, claim, file, position, arg, err), err);
}

bool sqlite_attempts(struct store *store, int64_t export, store_attempt_fn *fn, void *arg,
		     struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT coalesce(lane, 0), number, session, worker, token, arn, "
			       "began_ms, ended_ms, how, error FROM export_attempts "
			       "WHERE export = ? ORDER BY began_ms, lane, number",
			       err);
	bool row;

	if (st)
		sqlite_bind(st, "i", export);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_attempt a = { .export = export,
					   .lane = sqlite3_column_int64(st, 0),
					   .number = (uint32_t)sqlite3_column_int64(st, 1),
					   .worker = sqlite_text(st, 3),
					   .token = sqlite_text(st, 4),
					   .arn = sqlite_text(st, 5),
					   .began_ms = sqlite3_column_int64(st, 6),
					   .ended_ms = sqlite3_column_int64(st, 7),
					   .how = sqlite_text(st, 8),
					   .error = sqlite_text(st, 9) };

		snprintf(a.session, sizeof(a.session), "%s", sqlite_text(st, 2));
		fn(arg, &a);
	}
	return false;
}

/* --- cleaning --- */
#define OVER "e.status IN ('complete', 'abandoned') AND e.finished_ms < ?1 "

static bool tidy(struct sqlite *s, int64_t before_ms, uint32_t *removed, struct error *err)
{
	int changed = 0;
	bool ok = sqlite_run(s, &changed, err,
			     "DELETE FROM lane WHERE id IN (SELECT f.lane FROM export e "
			     "JOIN export_file f ON f.export = e.id "
			     "JOIN lane l ON l.id = f.lane WHERE " OVER "AND l.owner IS NULL "
			     "ORDER BY f.lane LIMIT ?2)",
			     "ii", before_ms, (int64_t)STORE_TIDY_MAX) &&
		  sqlite_run(s, NULL, err,
			     "DELETE FROM export WHERE id IN (SELECT e.id FROM export e WHERE " OVER
			     "AND NOT EXISTS (SELECT 1 FROM export_file f WHERE f.export = e.id) "
			     "AND EXISTS (SELECT 1 FROM export n WHERE n.table_arn = e.table_arn "
			     "  AND n.name = e.name AND n.kind = e.kind AND n.stream IS e.stream "
			     "  AND n.id > e.id AND n.status = 'complete'))",
			     "i", before_ms) &&
		  sqlite_run(s, NULL, err,
			     "DELETE FROM stream WHERE substr(arn, 1, 7) = 'export ' "
			     "AND id NOT IN (SELECT lanes FROM export WHERE lanes IS NOT NULL)",
			     "");

	*removed = ok ? (uint32_t)changed : 0;
	return ok;
}

bool sqlite_exports_tidy(struct store *store, int64_t before_ms, uint32_t *removed,
			 struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, tidy(s, before_ms, removed, err), err);
}
