#pragma once
#include <sqlite3.h>

#include "base/buf.h"
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

bool sqlite_place(const char *url, char *out, size_t size);
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

/* One statement, bound and run; *changed may be NULL. */
#define sqlite_run(s, changed, err, sql, types, ...)                                               \
	({                                                                                         \
		AUTO(sqlite3_stmt) sqlite3_stmt *run_ = sqlite_prepare(s, sql, err);               \
		if (run_)                                                                          \
			sqlite_bind(run_, types __VA_OPT__(, ) __VA_ARGS__);                       \
		run_ &&sqlite_finish(s, run_, changed, err);                                       \
	})

static inline struct sqlite *sqlite_of(struct store *s)
{
	return (struct sqlite *)s;
}
/* NULL where the column is. */
static inline const char *sqlite_text(sqlite3_stmt *st, int column)
{
	return (const char *)sqlite3_column_text(st, column);
}

/* FENCED where the session is not live. *saves: number of its last save. */
bool sqlite_session_live(struct sqlite *s, const char *id, uint64_t *saves,
			 struct error *err) MUST_CHECK;
bool sqlite_not_live(const char *id, struct error *err);

/* NOT_FOUND where it is not. */
bool sqlite_stream_known(struct sqlite *s, int64_t stream, struct error *err) MUST_CHECK;

/* SQL: the live sessions; whether lane l may begin a claim of session ?1. */
#define SQLITE_LIVE "(SELECT id FROM session WHERE state = 'live')"
#define SQLITE_HEAD                                                                                \
	"l.owner IS NULL AND NOT l.done AND (l.wanted_by IS NULL OR l.wanted_by = ?1 "             \
	"OR l.wanted_by NOT IN " SQLITE_LIVE ") AND NOT EXISTS ("                                  \
	"SELECT 1 FROM lane p WHERE p.stream = l.stream AND p.shard = l.parent "                   \
	"AND NOT p.done AND p.owner IS NOT ?1)"

/* As the tables hold a set of sinks: sorted, each once. */
void sqlite_set_text(struct buf *out, const int32_t *sinks, size_t count);

/* Of struct store_ops, in sqlite_members.c. */
bool sqlite_sinks_start(struct store *store, int64_t stream, struct store_start *starts,
			size_t count, int64_t at_ms, struct error *err);
bool sqlite_join(struct store *s, const char *session, int64_t stream, int64_t epoch,
		 const int32_t *sinks, size_t count, struct error *err);
bool sqlite_leave(struct store *store, const char *session, int64_t stream, struct error *err);
bool sqlite_twins(struct store *store, const char *session, store_twin_fn *fn, void *arg,
		  struct error *err);
bool sqlite_round(struct store *s, const char *session, const struct store_round_fns *fns,
		  void *arg, struct error *err);

/* The same, in sqlite_lanes.c. */
bool sqlite_lanes_add(struct store *s, const char *session, int64_t stream, int64_t epoch, bool own,
		      struct store_lane *lanes, size_t count, const int32_t *sinks,
		      size_t sink_count, struct error *err);
bool sqlite_lanes_claim(struct store *s, const char *session, int64_t stream, const int32_t *sinks,
			size_t sink_count, uint32_t max, int64_t *claim, struct error *err);
bool sqlite_lanes_list(struct store *s, int64_t stream, const struct store_of *of,
		       store_lane_fn *lane, store_position_fn *position, void *arg,
		       struct error *err);
bool sqlite_unheld(struct store *s, int64_t stream, store_unheld_fn *fn, void *arg,
		   struct error *err);
bool sqlite_lanes_wish(struct store *s, const char *session, const char *from, int64_t stream,
		       uint32_t max, uint32_t *wished, struct error *err);
bool sqlite_lanes_release(struct store *s, const char *session, const int64_t *lanes, size_t count,
			  struct error *err);
bool sqlite_shards(struct store *s, int64_t stream, int64_t after, store_shard_fn *fn, void *arg,
		   struct error *err);
bool sqlite_tidy(struct store *s, int64_t stream, int64_t before_ms, uint32_t *removed,
		 struct error *err);

/* The same, in sqlite_holds.c. */
bool sqlite_stream_hold(struct store *store, int64_t stream, uint64_t generation, int64_t instead,
			struct store_hold *hold, bool *done, struct error *err);
bool sqlite_stream_owned(struct store *store, int64_t stream, uint32_t *owned, struct error *err);
bool sqlite_stream_reset(struct store *store, int64_t stream, struct store_reset *r, bool *done,
			 struct error *err);
bool sqlite_stream_rewind(struct store *store, int64_t stream, struct store_rewind *r, bool *done,
			  struct error *err);
bool sqlite_stream_go_on(struct store *store, int64_t stream, int64_t hold, const char *who,
			 int64_t at_ms, bool *ended, struct error *err);
bool sqlite_audit(struct store *store, int64_t stream, uint32_t max, store_audit_fn *fn, void *arg,
		  struct error *err);
/* Columns of a stream's hold, from `column` on: those of an audit row a. */
#define SQLITE_HOLD "a.id, a.why, a.who, a.said, a.at_ms, a.from_generation, a.to_ms"
bool sqlite_hold_at(sqlite3_stmt *st, int column, struct store_hold *out,
		    struct error *err) MUST_CHECK;
/* Within a transaction: the stream, which is not held, is from now on. */
bool sqlite_hold_put(struct sqlite *s, int64_t stream, const struct store_hold *hold,
		     int64_t from_generation, struct error *err) MUST_CHECK;

/* The same, in sqlite_gaps.c. */
bool sqlite_gap_put(struct store *s, const char *session, struct store_gap *gap, bool accept,
		    bool *added, struct error *err);
bool sqlite_gaps(struct store *s, int64_t stream, store_gap_fn *fn, void *arg, struct error *err);
bool sqlite_gaps_accept(struct store *s, int64_t stream, int64_t newest, int64_t at_ms,
			uint32_t *accepted, struct error *err);
bool sqlite_gaps_accepted(struct store *s, const int64_t *streams, size_t count, store_gap_fn *fn,
			  void *arg, struct error *err);
bool sqlite_gap_close(struct store *s, int64_t id, enum store_gap_how how,
		      const struct sequence *to, int64_t to_ms, int64_t at_ms, struct error *err);

/* *yes: the statement, bound, has a row. */
#define sqlite_asks(s, yes, err, sql, types, ...)                                                  \
	({                                                                                         \
		AUTO(sqlite3_stmt) sqlite3_stmt *ask_ = sqlite_prepare(s, sql, err);               \
		if (ask_)                                                                          \
			sqlite_bind(ask_, types, __VA_ARGS__);                                     \
		ask_ &&sqlite_step(s, ask_, yes, err);                                             \
	})
/* FENCED where the session is not live, NOT_FOUND where the export is not known. */
bool sqlite_export_known(struct sqlite *s, int64_t export, struct error *err) MUST_CHECK;
bool sqlite_export_of_live(struct sqlite *s, const char *session, int64_t export,
			   struct error *err) MUST_CHECK;

/* *claim: the number of the session's next claim. */
bool sqlite_count_claim(struct sqlite *s, const char *session, int64_t *claim,
			struct error *err) MUST_CHECK;

/* Of struct store_export_ops, in sqlite_files.c. */
bool sqlite_files_add(struct store *store, const char *session, int64_t export,
		      const struct store_file *files, size_t count, bool *done, struct error *err);
/* The stream of its files is made. */
bool sqlite_files_stream(struct sqlite *s, int64_t export, struct error *err) MUST_CHECK;
bool sqlite_export_batch(struct store *store, const char *session, int64_t export, uint64_t first,
			 uint32_t ranges, bool *done, struct error *err);
bool sqlite_files_load(struct store *store, const char *session, int64_t export, int64_t at_ms,
		       bool *done, struct error *err);
bool sqlite_files_claim(struct store *store, const char *session, int64_t export,
			const int32_t *sinks, size_t sink_count,
			const struct store_files_wanted *wanted, int64_t at_ms, int64_t *claim,
			struct error *err);
bool sqlite_files_held(struct store *store, const char *session, int64_t export, int64_t claim,
		       store_file_fn *file, store_position_fn *position, void *arg,
		       struct error *err);
bool sqlite_file_failed(struct store *store, const char *session, int64_t lane, const char *error,
			int64_t retry_at_ms, bool anew, int64_t at_ms, struct error *err);
bool sqlite_files_retry(struct store *store, int64_t export, int64_t lane, int64_t at_ms,
			uint32_t *retried, struct error *err);
bool sqlite_files(struct store *store, int64_t export, store_file_fn *fn, void *arg,
		  struct error *err);
bool sqlite_attempts(struct store *store, int64_t export, store_attempt_fn *fn, void *arg,
		     struct error *err);
bool sqlite_exports_tidy(struct store *store, int64_t before_ms, uint32_t *removed,
			 struct error *err);
