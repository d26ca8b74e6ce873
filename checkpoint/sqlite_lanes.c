#include <stdio.h>

#include "checkpoint/sqlite.h"

static bool stream_known(struct sqlite *s, int64_t stream, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, "SELECT 1 FROM stream WHERE id = ?", err);
	bool row;

	if (!st)
		return false;
	sqlite_bind(st, "i", stream);
	if (!sqlite_step(s, st, &row, err))
		return false;
	return row ||
	       error_set(err, ERROR_NOT_FOUND, "stream %lld is not known", (long long)stream);
}

static bool lane_add(struct sqlite *s, const char *session, int64_t stream, struct store_lane *l,
		     sqlite3_stmt *lane, sqlite3_stmt *find, sqlite3_stmt *position,
		     const int32_t *sinks, size_t sink_count, struct error *err)
{
	int added;
	bool row;

	sqlite_bind(lane, "ittqit", stream, l->shard, l->parent, &l->starting, (int64_t)l->root,
		    session);
	if (!sqlite_finish(s, lane, &added, err))
		return false;
	sqlite_bind(find, "it", stream, l->shard);
	if (!sqlite_step(s, find, &row, err))
		return false;
	l->id = sqlite3_column_int64(find, 0);
	snprintf(l->owner, sizeof(l->owner), "%s",
		 sqlite3_column_type(find, 1) == SQLITE_NULL ? "" : sqlite_text(find, 1));
	for (size_t i = 0; added && i < sink_count; i++) {
		sqlite_bind(position, "iii", l->id, (int64_t)sinks[i], (int64_t)l->done_unread);
		if (!sqlite_finish(s, position, NULL, err))
			return false;
	}
	return true;
}

static bool add(struct sqlite *s, const char *session, int64_t stream, struct store_lane *lanes,
		size_t count, const int32_t *sinks, size_t sink_count, struct error *err)
{
	uint64_t saves;

	if (!sqlite_session_live(s, session, &saves, err) || !stream_known(s, stream, err))
		return false;
	AUTO(sqlite3_stmt)
	sqlite3_stmt *lane =
		sqlite_prepare(s,
			       "INSERT INTO lane (stream, shard, parent, starting, root, owner) "
			       "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			       err);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *find =
		sqlite_prepare(s, "SELECT id, owner FROM lane WHERE stream = ? AND shard = ?", err);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *position =
		sqlite_prepare(s, "INSERT INTO position (lane, sink, done) VALUES (?, ?, ?)", err);

	if (!lane || !find || !position)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!lane_add(s, session, stream, &lanes[i], lane, find, position, sinks,
			      sink_count, err))
			return false;
	return sqlite_run(s, NULL, err, "UPDATE stream SET rooted = 1 WHERE id = ?", "i", stream);
}

bool sqlite_lanes_add(struct store *store, const char *session, int64_t stream,
		      struct store_lane *lanes, size_t count, const int32_t *sinks,
		      size_t sink_count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, add(s, session, stream, lanes, count, sinks, sink_count, err), err);
}

static bool claim(struct sqlite *s, const char *session, int64_t stream, const int32_t *sinks,
		  size_t sink_count, struct error *err)
{
	uint64_t saves;

	if (!sqlite_session_live(s, session, &saves, err) || !stream_known(s, stream, err) ||
	    !sqlite_run(s, NULL, err,
			"UPDATE lane SET owner = ? WHERE stream = ? AND owner IS NULL", "ti",
			session, stream))
		return false;
	for (size_t i = 0; i < sink_count; i++)
		if (!sqlite_run(
			    s, NULL, err,
			    "INSERT INTO position (lane, sink, sequence, event_ms, done) "
			    "SELECT l.id, ?1, f.sequence, coalesce(f.event_ms, 0), "
			    "coalesce(f.done, "
			    "0) "
			    "FROM lane l LEFT JOIN (SELECT lane, sequence, event_ms, done, "
			    "  row_number() OVER (PARTITION BY lane "
			    "  ORDER BY done DESC, length(sequence) DESC, sequence DESC) AS place "
			    "  FROM position) f ON f.lane = l.id AND f.place = 1 "
			    "WHERE l.stream = ?2 AND l.owner = ?3 AND NOT EXISTS "
			    "  (SELECT 1 FROM position p WHERE p.lane = l.id AND p.sink = ?1)",
			    "iit", (int64_t)sinks[i], stream, session))
			return false;
	return true;
}

bool sqlite_lanes_claim(struct store *store, const char *session, int64_t stream,
			const int32_t *sinks, size_t sink_count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, claim(s, session, stream, sinks, sink_count, err), err);
}

static bool list_lanes(struct sqlite *s, int64_t stream, const char *owner, store_lane_fn *fn,
		       void *arg, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT id, shard, parent, starting, root, read_at_ms, coalesce(owner, '') "
		"FROM lane WHERE stream = ?1 AND (?2 IS NULL OR owner = ?2) ORDER BY id",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "it", stream, owner);
	while (st && sqlite_step(s, st, &row, err)) {
		struct store_lane l = { 0 };

		if (!row)
			return true;
		l.id = sqlite3_column_int64(st, 0);
		snprintf(l.shard, sizeof(l.shard), "%s", sqlite_text(st, 1));
		snprintf(l.parent, sizeof(l.parent), "%s", sqlite_text(st, 2));
		if (!store_sequence_parse(&l.starting, sqlite_text(st, 3), err))
			return false;
		l.root = sqlite3_column_int(st, 4) != 0;
		l.read_at_ms = sqlite3_column_int64(st, 5);
		snprintf(l.owner, sizeof(l.owner), "%s", sqlite_text(st, 6));
		fn(arg, &l);
	}
	return false;
}

static bool list_positions(struct sqlite *s, int64_t stream, const char *owner,
			   store_position_fn *fn, void *arg, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT p.lane, p.sink, p.sequence, p.event_ms, p.done "
		"FROM lane l JOIN position p ON p.lane = l.id "
		"WHERE l.stream = ?1 AND (?2 IS NULL OR l.owner = ?2) ORDER BY p.lane, p.sink",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "it", stream, owner);
	while (st && sqlite_step(s, st, &row, err)) {
		struct store_position p = { 0 };

		if (!row)
			return true;
		p.lane = sqlite3_column_int64(st, 0);
		p.sink = sqlite3_column_int(st, 1);
		if (!store_sequence_parse(&p.sequence, sqlite_text(st, 2), err))
			return false;
		p.event_ms = sqlite3_column_int64(st, 3);
		p.done = sqlite3_column_int(st, 4) != 0;
		fn(arg, &p);
	}
	return false;
}

bool sqlite_lanes_list(struct store *store, int64_t stream, const char *owner, store_lane_fn *lane,
		       store_position_fn *position, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	/* One transaction, one snapshot; it only reads, so that a reader may do it too. */
	return sqlite_run(s, NULL, err, "BEGIN", "") &&
	       sqlite_end(s,
			  list_lanes(s, stream, owner, lane, arg, err) &&
				  list_positions(s, stream, owner, position, arg, err),
			  err);
}

static bool forget(struct sqlite *s, const char *session, const int64_t *lanes, size_t count,
		   struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "DELETE FROM lane WHERE id = ? AND owner = ? AND NOT EXISTS "
			       "(SELECT 1 FROM position p WHERE p.lane = lane.id AND NOT p.done)",
			       err);
	uint64_t saves;

	if (!st || !sqlite_session_live(s, session, &saves, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		sqlite_bind(st, "it", lanes[i], session);
		if (!sqlite_finish(s, st, NULL, err))
			return false;
	}
	return true;
}

bool sqlite_lanes_forget(struct store *store, const char *session, const int64_t *lanes,
			 size_t count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, forget(s, session, lanes, count, err), err);
}
