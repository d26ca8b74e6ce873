#include <stdio.h>

#include "checkpoint/sqlite.h"

bool sqlite_stream_known(struct sqlite *s, int64_t stream, struct error *err)
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

/* Of a lane l. */
#define WAITS                                                                                      \
	"EXISTS (SELECT 1 FROM lane u WHERE u.stream = l.stream AND u.shard = l.parent "           \
	"AND NOT u.done)"
#define BEGUN                                                                                      \
	"(l.done OR l.read_at_ms > 0 OR EXISTS (SELECT 1 FROM position p WHERE p.lane = l.id "     \
	"AND (p.sequence IS NOT NULL OR p.done)))"

struct addition {
	const char *session;
	int64_t stream;
	int64_t epoch;
	bool own;
	const int32_t *sinks;
	size_t sink_count;
	sqlite3_stmt *insert, *find, *position;
};

static bool add_lane(struct sqlite *s, const struct addition *a, struct store_lane *l,
		     struct error *err)
{
	int added;
	bool row;

	sqlite_bind(a->insert, "ittqiiti", a->stream, l->shard, l->parent, &l->starting,
		    (int64_t)l->root, (int64_t)l->done_unread, a->session, (int64_t)a->own);
	if (!sqlite_finish(s, a->insert, &added, err))
		return false;
	sqlite_bind(a->find, "it", a->stream, l->shard);
	if (!sqlite_step(s, a->find, &row, err))
		return false;
	l->id = sqlite3_column_int64(a->find, 0);
	snprintf(l->owner, sizeof(l->owner), "%s", sqlite_text(a->find, 1));
	l->done = sqlite3_column_int(a->find, 2) != 0;
	l->waits = sqlite3_column_int(a->find, 3) != 0;
	l->begun = sqlite3_column_int(a->find, 4) != 0;
	l->root = sqlite3_column_int(a->find, 5) != 0;
	for (size_t i = 0; added && i < a->sink_count; i++) {
		sqlite_bind(a->position, "iii", l->id, (int64_t)a->sinks[i],
			    (int64_t)l->done_unread);
		if (!sqlite_finish(s, a->position, NULL, err))
			return false;
	}
	return true;
}

static bool may_add(struct sqlite *s, const struct addition *a, bool *may, struct error *err)
{
	return sqlite_asks(s, may, err,
			   "SELECT 1 FROM stream WHERE id = ? AND hold IS NULL AND epoch = ?", "ii",
			   a->stream, a->epoch);
}

static bool add(struct sqlite *s, struct addition *a, struct store_lane *lanes, size_t count,
		struct error *err)
{
	uint64_t saves;
	bool may;

	if (!sqlite_session_live(s, a->session, &saves, err) ||
	    !sqlite_stream_known(s, a->stream, err) || !may_add(s, a, &may, err))
		return false;
	for (size_t i = 0; !may && i < count; i++)
		lanes[i].id = 0;
	if (!may)
		return true;
	AUTO(sqlite3_stmt)
	sqlite3_stmt *insert = sqlite_prepare(
		s,
		"INSERT INTO lane (stream, shard, parent, starting, root, done, owner) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, CASE WHEN ?6 THEN NULL WHEN ?8 THEN ?7 ELSE "
		"(SELECT p.owner FROM lane p WHERE p.stream = ?1 AND p.shard = ?3 "
		"AND p.owner = ?7) END) ON CONFLICT DO NOTHING",
		err);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *find =
		sqlite_prepare(s,
			       "SELECT id, coalesce(owner, ''), done, " WAITS ", " BEGUN
			       ", root FROM lane l WHERE stream = ? AND shard = ?",
			       err);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *position =
		sqlite_prepare(s, "INSERT INTO position (lane, sink, done) VALUES (?, ?, ?)", err);

	if (!insert || !find || !position)
		return false;
	a->insert = insert;
	a->find = find;
	a->position = position;
	for (size_t i = 0; i < count; i++)
		if (!add_lane(s, a, &lanes[i], err))
			return false;
	return sqlite_run(s, NULL, err, "UPDATE stream SET rooted = 1 WHERE id = ?", "i",
			  a->stream);
}

bool sqlite_lanes_add(struct store *store, const char *session, int64_t stream, int64_t epoch,
		      bool own, struct store_lane *lanes, size_t count, const int32_t *sinks,
		      size_t sink_count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	struct addition a = { .session = session,
			      .stream = stream,
			      .epoch = epoch,
			      .own = own,
			      .sinks = sinks,
			      .sink_count = sink_count };

	return sqlite_begin(s, err) && sqlite_end(s, add(s, &a, lanes, count, err), err);
}

/* --- claims --- */

/* *row: there is a first column to read. */
static bool one_int(struct sqlite *s, sqlite3_stmt *st, int64_t *value, bool *row,
		    struct error *err)
{
	if (!st || !sqlite_step(s, st, row, err))
		return false;
	if (*row)
		*value = sqlite3_column_int64(st, 0);
	return true;
}

bool sqlite_count_claim(struct sqlite *s, const char *session, int64_t *claim, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s, "SELECT claims + 1 FROM session WHERE id = ? AND state = 'live'", err);
	bool row;

	if (st)
		sqlite_bind(st, "t", session);
	if (!one_int(s, st, claim, &row, err))
		return false;
	if (!row)
		return sqlite_not_live(session, err);
	return sqlite_run(s, NULL, err, "UPDATE session SET claims = ? WHERE id = ?", "it", *claim,
			  session);
}

#define SERVED                                                                                     \
	"EXISTS (SELECT 1 FROM member m JOIN stream s ON s.id = m.stream "                         \
	"WHERE m.session = ?1 AND m.stream = ?2 AND m.sinks = s.sinks "                            \
	"AND s.hold IS NULL AND m.epoch = s.epoch)"

static bool claim_lanes(struct sqlite *s, const char *session, int64_t stream, const int32_t *sinks,
			size_t sink_count, uint32_t max, int64_t *claim, struct error *err)
{
	if (!sqlite_count_claim(s, session, claim, err) || !sqlite_stream_known(s, stream, err) ||
	    !sqlite_run(s, NULL, err,
			"UPDATE lane SET owner = ?1, wanted_by = NULL, claim = ?4 WHERE id IN ("
			"WITH RECURSIVE head AS ("
			"  SELECT l.id, l.shard FROM lane l WHERE l.stream = ?2 AND " SQLITE_HEAD
			"  AND " SERVED " ORDER BY l.wanted_by IS ?1 DESC, l.id LIMIT ?3"
			"), taken AS ("
			"  SELECT id, shard FROM head UNION "
			"  SELECT c.id, c.shard FROM taken t JOIN lane c ON c.stream = ?2 "
			"  AND c.parent = t.shard AND c.owner IS NULL AND NOT c.done"
			") SELECT id FROM taken)",
			"tiii", session, stream, (int64_t)max, *claim))
		return false;
	for (size_t i = 0; i < sink_count; i++)
		if (!sqlite_run(
			    s, NULL, err,
			    "INSERT INTO position (lane, sink, sequence, event_ms, done) "
			    "SELECT l.id, ?1, f.sequence, coalesce(f.event_ms, 0), "
			    "coalesce(f.done, 0) FROM lane l LEFT JOIN position f "
			    "ON f.lane = l.id AND f.sink = (SELECT p.sink FROM position p "
			    "  WHERE p.lane = l.id ORDER BY p.done DESC, length(p.sequence) DESC, "
			    "  p.sequence DESC LIMIT 1) "
			    "WHERE l.owner = ?2 AND l.stream = ?3 AND l.claim = ?4 AND NOT EXISTS "
			    "  (SELECT 1 FROM position p WHERE p.lane = l.id AND p.sink = ?1)",
			    "itii", (int64_t)sinks[i], session, stream, *claim))
			return false;
	return true;
}

bool sqlite_lanes_claim(struct store *store, const char *session, int64_t stream,
			const int32_t *sinks, size_t sink_count, uint32_t max, int64_t *claim,
			struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, claim_lanes(s, session, stream, sinks, sink_count, max, claim, err),
			  err);
}

bool sqlite_unheld(struct store *store, int64_t stream, store_unheld_fn *fn, void *arg,
		   struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT l.shard, (SELECT min(p.event_ms) FROM position p WHERE p.lane = l.id "
		"AND NOT p.done AND (s.sinks IS NULL OR p.sink IN "
		"(SELECT k.value FROM json_each(s.sinks) k))), l.read_at_ms "
		"FROM lane l JOIN stream s ON s.id = l.stream WHERE l.stream = ? AND NOT l.done "
		"AND (l.owner IS NULL OR l.owner NOT IN " SQLITE_LIVE ") AND NOT " WAITS,
		err);
	bool row;

	if (st)
		sqlite_bind(st, "i", stream);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		fn(arg, sqlite_text(st, 0), sqlite3_column_int64(st, 1),
		   sqlite3_column_int64(st, 2));
	}
	return false;
}

static bool wish(struct sqlite *s, const char *session, const char *from, int64_t stream,
		 uint32_t max, uint32_t *wished, struct error *err)
{
	uint64_t saves;
	int changed = 0;
	bool ok = sqlite_session_live(s, session, &saves, err) &&
		  sqlite_stream_known(s, stream, err) &&
		  sqlite_run(s, &changed, err,
			     "UPDATE lane SET wanted_by = ?1 WHERE id IN ("
			     "SELECT l.id FROM lane l WHERE l.owner = ?3 AND l.stream = ?2 "
			     "AND ?3 <> ?1 AND ?3 IN " SQLITE_LIVE " AND " SERVED " "
			     "AND (l.wanted_by IS NULL OR l.wanted_by NOT IN " SQLITE_LIVE ") "
			     "AND NOT EXISTS (SELECT 1 FROM lane p WHERE p.stream = ?2 "
			     "  AND p.shard = l.parent AND NOT p.done) "
			     "ORDER BY l.id DESC LIMIT ?4)",
			     "titi", session, stream, from, (int64_t)max);

	*wished = (uint32_t)changed;
	return ok;
}

bool sqlite_lanes_wish(struct store *store, const char *session, const char *from, int64_t stream,
		       uint32_t max, uint32_t *wished, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, wish(s, session, from, stream, max, wished, err), err);
}

static bool release(struct sqlite *s, const char *session, const int64_t *lanes, size_t count,
		    struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s, "UPDATE lane SET owner = NULL WHERE id = ? AND owner = ?", err);
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

bool sqlite_lanes_release(struct store *store, const char *session, const int64_t *lanes,
			  size_t count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, release(s, session, lanes, count, err), err);
}

/* --- lists --- */
#define LISTED "l.stream = ?1 AND (?2 IS NULL OR l.owner = ?2) AND (?3 = 0 OR l.claim = ?3)"

static bool list_lanes(struct sqlite *s, int64_t stream, const struct store_of *of,
		       store_lane_fn *fn, void *arg, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT l.id, l.shard, l.parent, l.starting, l.root, "
			       "CASE WHEN l.read_at_ms = 0 AND ?2 IS NOT NULL THEN "
			       "(SELECT max(r.read_at_ms) FROM lane r WHERE r.stream = ?1) "
			       "ELSE l.read_at_ms END, "
			       "coalesce(l.owner, ''), l.done, " WAITS
			       ", l.read_at_ms > 0 FROM lane l WHERE " LISTED " ORDER BY l.id",
			       err);
	bool row;

	if (st)
		sqlite_bind(st, "iti", stream, of->owner, of->claim);
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
		l.done = sqlite3_column_int(st, 7) != 0;
		l.waits = sqlite3_column_int(st, 8) != 0;
		l.was_read = sqlite3_column_int(st, 9) != 0;
		fn(arg, &l);
	}
	return false;
}

static bool list_positions(struct sqlite *s, int64_t stream, const struct store_of *of,
			   store_position_fn *fn, void *arg, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT p.lane, p.sink, p.sequence, p.event_ms, p.done "
					  "FROM lane l JOIN position p ON p.lane = l.id "
					  "WHERE " LISTED " ORDER BY p.lane, p.sink",
					  err);
	bool row;

	if (st)
		sqlite_bind(st, "iti", stream, of->owner, of->claim);
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

bool sqlite_lanes_list(struct store *store, int64_t stream, const struct store_of *of,
		       store_lane_fn *lane, store_position_fn *position, void *arg,
		       struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	/* One transaction, one snapshot; it only reads, so that a reader may do it too. */
	return sqlite_run(s, NULL, err, "BEGIN", "") &&
	       sqlite_end(s,
			  list_lanes(s, stream, of, lane, arg, err) &&
				  list_positions(s, stream, of, position, arg, err),
			  err);
}

bool sqlite_shards(struct store *store, int64_t stream, int64_t after, store_shard_fn *fn,
		   void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT id, shard, parent, done FROM lane "
					  "WHERE stream = ? AND id > ? ORDER BY id",
					  err);
	bool row;

	if (st)
		sqlite_bind(st, "ii", stream, after);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		fn(arg, sqlite3_column_int64(st, 0), sqlite_text(st, 1), sqlite_text(st, 2),
		   sqlite3_column_int(st, 3) != 0);
	}
	return false;
}

/* --- cleaning --- */
static bool tidy(struct sqlite *s, int64_t stream, int64_t before_ms, uint32_t *removed,
		 struct error *err)
{
	int changed = 0;
	bool ok = sqlite_run(s, NULL, err,
			     "DELETE FROM session WHERE serial IN (SELECT serial FROM session "
			     "WHERE state = 'buried' ORDER BY serial DESC LIMIT -1 OFFSET ?)",
			     "i", (int64_t)STORE_BURIED_MAX) &&
		  sqlite_stream_known(s, stream, err) &&
		  sqlite_run(s, NULL, err,
			     "UPDATE lane SET read_at_ms = "
			     "(SELECT max(read_at_ms) FROM lane WHERE stream = ?1) "
			     "WHERE stream = ?1 AND done AND read_at_ms = 0",
			     "i", stream) &&
		  sqlite_run(s, &changed, err,
			     "DELETE FROM lane WHERE id IN (SELECT l.id FROM lane l "
			     "WHERE l.stream = ?1 AND l.done AND l.read_at_ms > 0 "
			     "AND l.read_at_ms < ?2 AND EXISTS (SELECT 1 FROM lane c "
			     "  WHERE c.stream = ?1 AND c.parent = l.shard) "
			     "ORDER BY l.id LIMIT ?3)",
			     "iii", stream, before_ms, (int64_t)STORE_TIDY_MAX);

	*removed = (uint32_t)changed;
	return ok;
}

bool sqlite_tidy(struct store *store, int64_t stream, int64_t before_ms, uint32_t *removed,
		 struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, tidy(s, stream, before_ms, removed, err), err);
}
