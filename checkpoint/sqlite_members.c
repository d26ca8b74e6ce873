#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/memory.h"
#include "checkpoint/sqlite.h"

static int by_number(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return x < y ? -1 : x > y;
}

void sqlite_set_text(struct buf *out, const int32_t *sinks, size_t count)
{
	int32_t *sorted = memory_array(count + 1, sizeof(*sorted));

	for (size_t i = 0; i < count; i++)
		sorted[i] = sinks[i];
	qsort(sorted, count, sizeof(*sorted), by_number);
	buf_text(out, "[");
	for (size_t i = 0; i < count; i++)
		if (i == 0 || sorted[i] != sorted[i - 1])
			buf_printf(out, "%s%" PRId32, i ? "," : "", sorted[i]);
	buf_text(out, "]");
	free(sorted);
}

/* --- where sinks begin --- */

/* SQL: sink ?2 is of stream ?1's stored set, or has a place in one of its lanes. */
#define KNOWN                                                                                      \
	"(EXISTS (SELECT 1 FROM stream s, json_each(s.sinks) k WHERE s.id = ?1 "                   \
	"AND k.value = ?2) OR EXISTS (SELECT 1 FROM lane l JOIN position p ON p.lane = l.id "      \
	"AND p.sink = ?2 WHERE l.stream = ?1))"

static bool start_one(struct sqlite *s, int64_t stream, struct store_start *w, int64_t at_ms,
		      struct error *err)
{
	AUTO(sqlite3_stmt) sqlite3_stmt *st = NULL;
	int64_t sink = w->sink;
	bool row;

	if (w->start_ms < 0
		    ? !sqlite_run(s, NULL, err,
				  "DELETE FROM sink_start WHERE stream = ?1 AND sink = ?2 "
				  "AND NOT " KNOWN,
				  "ii", stream, sink)
		    : !sqlite_run(s, NULL, err,
				  "INSERT INTO sink_start (stream, sink, start_ms, at_ms) "
				  "SELECT id, ?2, ?3, ?4 FROM stream WHERE id = ?1 AND rooted "
				  "AND NOT " KNOWN " ON CONFLICT DO UPDATE "
				  "SET start_ms = excluded.start_ms, at_ms = excluded.at_ms "
				  "WHERE at_ms < excluded.at_ms - ?5",
				  "iiiii", stream, sink, w->start_ms, at_ms,
				  (int64_t)STORE_KEPT_MS))
		return false;
	st = sqlite_prepare(
		s, "SELECT start_ms, at_ms FROM sink_start WHERE stream = ? AND sink = ?", err);
	if (st)
		sqlite_bind(st, "ii", stream, sink);
	if (!st || !sqlite_step(s, st, &row, err))
		return false;
	w->start_ms = row ? sqlite3_column_int64(st, 0) : STORE_START_LATEST;
	w->at_ms = row ? sqlite3_column_int64(st, 1) : 0;
	return true;
}

static bool start_all(struct sqlite *s, int64_t stream, struct store_start *starts, size_t count,
		      int64_t at_ms, struct error *err)
{
	if (!sqlite_stream_known(s, stream, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!start_one(s, stream, &starts[i], at_ms, err))
			return false;
	return true;
}

bool sqlite_sinks_start(struct store *store, int64_t stream, struct store_start *starts,
			size_t count, int64_t at_ms, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, start_all(s, stream, starts, count, at_ms, err), err);
}

/* The places of those that are not of the stored set yet. Of a lane that was read to its end more
 * than a day before nothing is left. */
static bool place_new(struct sqlite *s, const char *session, int64_t stream, struct error *err)
{
	return sqlite_run(
		s, NULL, err,
		"INSERT INTO position (lane, sink) SELECT l.id, k.sink FROM stream s "
		"JOIN member m ON m.stream = s.id AND m.session = ?2 "
		"JOIN sink_start k ON k.stream = s.id JOIN lane l ON l.stream = s.id "
		"WHERE s.id = ?1 AND k.sink IN (SELECT value FROM json_each(m.sinks)) "
		"AND k.sink NOT IN (SELECT value FROM json_each(coalesce(s.sinks, '[]'))) "
		"AND NOT (l.done AND l.read_at_ms > 0 AND l.read_at_ms < k.at_ms - ?3) "
		"ON CONFLICT DO NOTHING",
		"iti", stream, session, (int64_t)STORE_KEPT_MS);
}

/* --- joining --- */

/* The member takes what is empty: the stream's set of sinks, its lister's place. */
static bool settle(struct sqlite *s, const char *session, int64_t stream, struct error *err)
{
	bool changed;

	if (!sqlite_asks(s, &changed, err,
			 "SELECT 1 FROM stream s JOIN member m ON m.stream = s.id "
			 "WHERE s.id = ?1 AND m.session = ?2 AND s.sinks IS NOT m.sinks "
			 "AND NOT EXISTS (SELECT 1 FROM member o WHERE o.stream = ?1 "
			 "  AND o.sinks = s.sinks AND o.session IN " SQLITE_LIVE ")",
			 "it", stream, session) ||
	    (changed && (!place_new(s, session, stream, err) ||
			 !sqlite_run(s, NULL, err,
				     "UPDATE stream SET sinks = m.sinks FROM member m "
				     "WHERE stream.id = ?1 AND m.stream = ?1 AND m.session = ?2",
				     "it", stream, session))))
		return false;
	/* Another sink that a lane does not have yet will start where its furthest position is. */
	if (changed && !sqlite_run(s, NULL, err,
				   "UPDATE lane SET done = t.done, wanted_by = NULL, "
				   "owner = CASE WHEN NOT t.done THEN owner END "
				   "FROM (SELECT x.id, NOT EXISTS ("
				   "  SELECT 1 FROM stream s, json_each(s.sinks) k "
				   "  LEFT JOIN position p ON p.lane = x.id AND p.sink = k.value "
				   "  WHERE s.id = ?1 AND NOT coalesce(p.done, EXISTS ("
				   "    SELECT 1 FROM position o WHERE o.lane = x.id AND o.done)) "
				   "  ) AS done FROM lane x WHERE x.stream = ?1) t "
				   "WHERE lane.id = t.id AND lane.done <> t.done",
				   "i", stream))
		return false;
	return sqlite_run(
		s, NULL, err,
		"UPDATE stream SET lister = ?2 WHERE id = ?1 "
		"AND (lister IS NULL OR lister NOT IN " SQLITE_LIVE ") "
		"AND sinks = (SELECT sinks FROM member WHERE stream = ?1 AND session = ?2)",
		"it", stream, session);
}

static bool join(struct sqlite *s, const char *session, int64_t stream, int64_t epoch,
		 const char *sinks, struct error *err)
{
	uint64_t saves;

	return sqlite_session_live(s, session, &saves, err) &&
	       sqlite_stream_known(s, stream, err) &&
	       sqlite_run(s, NULL, err,
			  "INSERT INTO member (stream, session, sinks, epoch) "
			  "SELECT id, ?2, ?3, iif(hold IS NULL AND epoch = ?4, ?4, -1) "
			  "FROM stream WHERE id = ?1 ON CONFLICT DO UPDATE "
			  "SET sinks = excluded.sinks, epoch = excluded.epoch",
			  "itti", stream, session, sinks, epoch) &&
	       settle(s, session, stream, err);
}

bool sqlite_join(struct store *store, const char *session, int64_t stream, int64_t epoch,
		 const int32_t *sinks, size_t count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	__attribute__((cleanup(buf_release))) struct buf set = { 0 };

	sqlite_set_text(&set, sinks, count);
	return sqlite_begin(s, err) &&
	       sqlite_end(s, join(s, session, stream, epoch, set.data, err), err);
}

bool sqlite_leave(struct store *store, const char *session, int64_t stream, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s,
			  sqlite_run(s, NULL, err,
				     "DELETE FROM member WHERE stream = ? AND session = ?", "it",
				     stream, session) &&
				  sqlite_run(s, NULL, err,
					     "UPDATE stream SET lister = NULL "
					     "WHERE id = ? AND lister = ?",
					     "it", stream, session),
			  err);
}

/* --- rounds --- */
struct round {
	const char *session;
	const struct store_round_fns *fns;
	void *arg;
};

static bool settle_all(struct sqlite *s, const char *session, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s, "SELECT stream FROM member WHERE session = ? ORDER BY stream", err);
	bool row;

	if (st)
		sqlite_bind(st, "t", session);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		if (!settle(s, session, sqlite3_column_int64(st, 0), err))
			return false;
	}
	return false;
}

static bool tell_streams(struct sqlite *s, const struct round *r, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT s.id, s.rooted, m.sinks = s.sinks, s.lister IS ?1, "
			       "(SELECT count(*) FROM lane l WHERE l.stream = s.id AND " SQLITE_HEAD
			       "  AND m.sinks = s.sinks AND s.hold IS NULL "
			       "  AND m.epoch = s.epoch), "
			       "count(l.id), coalesce(sum(l.id), 0), "
			       "m.epoch <> s.epoch, s.hold, "
			       "(SELECT a.why FROM audit a WHERE a.id = s.hold) "
			       "FROM member m JOIN stream s ON s.id = m.stream "
			       "LEFT JOIN lane l ON l.owner = ?1 AND l.stream = s.id "
			       "WHERE m.session = ?1 GROUP BY s.id ORDER BY s.id",
			       err);
	bool row;

	if (st)
		sqlite_bind(st, "t", r->session);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_round_stream stream = {
			.stream = sqlite3_column_int64(st, 0),
			.rooted = sqlite3_column_int(st, 1) != 0,
			.served = sqlite3_column_int(st, 2) != 0,
			.lister = sqlite3_column_int(st, 3) != 0,
			.claimable = (uint32_t)sqlite3_column_int64(st, 4),
			.held = (uint32_t)sqlite3_column_int64(st, 5),
			.held_sum = (uint64_t)sqlite3_column_int64(st, 6),
			.stale = sqlite3_column_int(st, 7) != 0,
			.hold = sqlite3_column_int64(st, 8),
		};

		if (stream.hold && !store_hold_parse(sqlite_text(st, 9), &stream.hold_why, err))
			return false;
		r->fns->stream(r->arg, &stream);
	}
	return false;
}

static bool tell_members(struct sqlite *s, const struct round *r, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT m.stream, m.session, m.sinks = s.sinks, count(l.id), "
			       "count(l.id) FILTER (WHERE l.wanted_by IN " SQLITE_LIVE "), "
			       "(SELECT count(*) FROM lane c WHERE c.wanted_by = m.session "
			       "  AND c.stream = m.stream), s.hold IS NOT NULL "
			       "FROM member own JOIN member m ON m.stream = own.stream "
			       "JOIN stream s ON s.id = m.stream "
			       "LEFT JOIN lane l ON l.owner = m.session AND l.stream = m.stream "
			       "WHERE own.session = ?1 AND m.session IN " SQLITE_LIVE " "
			       "GROUP BY m.stream, m.session ORDER BY m.stream, m.session",
			       err);
	bool row;

	if (st)
		sqlite_bind(st, "t", r->session);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_round_member member = {
			.stream = sqlite3_column_int64(st, 0),
			.served = sqlite3_column_int(st, 2) != 0,
			.held = (uint32_t)sqlite3_column_int64(st, 3),
			.leaving = (uint32_t)sqlite3_column_int64(st, 4),
			.coming = (uint32_t)sqlite3_column_int64(st, 5),
			.stream_held = sqlite3_column_int(st, 6) != 0,
		};

		snprintf(member.session, sizeof(member.session), "%s", sqlite_text(st, 1));
		r->fns->member(r->arg, &member);
	}
	return false;
}

static bool tell_wanted(struct sqlite *s, const struct round *r, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT l.stream, l.id FROM lane l JOIN member m "
					  "ON m.stream = l.stream AND m.session = ?1 "
					  "WHERE l.owner = ?1 AND l.wanted_by IN " SQLITE_LIVE " "
					  "ORDER BY l.id LIMIT ?2",
					  err);
	bool row;

	if (st)
		sqlite_bind(st, "ti", r->session, (int64_t)STORE_WANTED_MAX);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		r->fns->wanted(r->arg, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1));
	}
	return false;
}

static bool make_round(struct sqlite *s, const struct round *r, struct error *err)
{
	uint64_t saves;

	return sqlite_session_live(s, r->session, &saves, err) && settle_all(s, r->session, err) &&
	       tell_streams(s, r, err) && tell_members(s, r, err) && tell_wanted(s, r, err);
}

bool sqlite_round(struct store *store, const char *session, const struct store_round_fns *fns,
		  void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	struct round r = { .session = session, .fns = fns, .arg = arg };

	return sqlite_begin(s, err) && sqlite_end(s, make_round(s, &r, err), err);
}

bool sqlite_twins(struct store *store, const char *session, store_twin_fn *fn, void *arg,
		  struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT s.name, t.name FROM member m JOIN stream s ON s.id = m.stream "
		"JOIN stream t ON t.arn = s.arn AND t.id <> s.id "
		"WHERE m.session = ? AND EXISTS (SELECT 1 FROM member o "
		"WHERE o.stream = t.id AND o.session IN " SQLITE_LIVE ") "
		"AND NOT EXISTS (SELECT 1 FROM side d WHERE d.stream IN (s.id, t.id)) "
		"ORDER BY s.name, t.name",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "t", session);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		fn(arg, sqlite_text(st, 0), sqlite_text(st, 1));
	}
	return false;
}
