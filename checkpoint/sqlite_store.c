#include <stdio.h>

#include "checkpoint/sqlite.h"

static struct sqlite *sqlite_of(struct store *s)
{
	return (struct sqlite *)s;
}

/* One statement, bound and run; *changed may be NULL. */
#define RUN(s, changed, err, sql, types, ...)                                                      \
	({                                                                                         \
		AUTO(sqlite3_stmt) sqlite3_stmt *run_ = sqlite_prepare(s, sql, err);               \
		if (run_)                                                                          \
			sqlite_bind(run_, types __VA_OPT__(, ) __VA_ARGS__);                       \
		run_ &&sqlite_finish(s, run_, changed, err);                                       \
	})

static const char *column_text(sqlite3_stmt *st, int column)
{
	return (const char *)sqlite3_column_text(st, column);
}

static struct str column_bytes(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_blob(st, column);

	return (struct str){ p ? p : "", (size_t)sqlite3_column_bytes(st, column) };
}

/* --- sessions --- */
static bool session_begin(struct store *store, const char *id, const char *worker,
			  const char *address, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	int changed;

	if (!RUN(s, &changed, err,
		 "INSERT INTO session (id, worker, address) VALUES (?, ?, ?) ON CONFLICT DO "
		 "NOTHING",
		 "ttt", id, worker, address))
		return false;
	return changed || error_set(err, ERROR_FENCED,
				    "session %s was begun before: begin one with another id", id);
}

static bool not_live(const char *id, struct error *err)
{
	return error_set(err, ERROR_FENCED, "session %s is not live", id);
}

static bool session_beat(struct store *store, const char *id, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	int changed;

	if (!RUN(s, &changed, err,
		 "UPDATE session SET beat = beat + 1 WHERE id = ? AND state = 'live'", "t", id))
		return false;
	return changed || not_live(id, err);
}

static bool sessions(struct store *store, struct store_session *out, size_t max, size_t *count,
		     struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT id, worker, address, beat, state FROM session "
					  "WHERE state <> 'buried' ORDER BY serial LIMIT ?",
					  err);
	bool row;

	if (!st)
		return false;
	sqlite_bind(st, "i", (int64_t)max);
	while (sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_session *o = &out[(*count)++];

		snprintf(o->id, sizeof(o->id), "%s", column_text(st, 0));
		snprintf(o->worker, sizeof(o->worker), "%s", column_text(st, 1));
		snprintf(o->address, sizeof(o->address), "%s", column_text(st, 2));
		o->beat = sqlite3_column_int64(st, 3);
		o->state = store_state_parse(column_text(st, 4));
	}
	return false;
}

static bool session_kill(struct store *store, const char *id, int64_t beat, bool *done,
			 struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	int changed = 0;
	bool ok = RUN(s, &changed, err,
		      "UPDATE session SET state = 'dead' "
		      "WHERE id = ? AND state = 'live' AND beat = ?",
		      "ti", id, beat);

	*done = ok && changed;
	return ok;
}

static bool bury(struct sqlite *s, const char *id, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT (SELECT count(*) FROM roll WHERE session = id) FROM session WHERE id = ?",
		err);
	bool row;

	if (!st)
		return false;
	sqlite_bind(st, "t", id);
	if (!sqlite_step(s, st, &row, err))
		return false;
	if (!row)
		return error_set(err, ERROR_NOT_FOUND, "session %s is not known", id);
	if (sqlite3_column_int(st, 0) > 0)
		return error_set(err, ERROR_INVALID,
				 "session %s has %d unfinished rolls: finish them first", id,
				 sqlite3_column_int(st, 0));
	return RUN(s, NULL, err, "UPDATE lane SET owner = NULL WHERE owner = ?", "t", id) &&
	       RUN(s, NULL, err, "UPDATE session SET state = 'buried' WHERE id = ?", "t", id);
}

static bool session_bury(struct store *store, const char *id, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, bury(s, id, err), err);
}

/* *saves: number of its last save. */
static bool session_live(struct sqlite *s, const char *id, uint64_t *saves, struct error *err)
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
	*saves = (uint64_t)sqlite3_column_int64(st, 0);
	return row || not_live(id, err);
}

/* --- sinks and streams --- */
static bool sink_id(struct store *store, const char *name, int32_t *id, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	bool row;

	if (!RUN(s, NULL, err, "INSERT INTO sink (name) VALUES (?) ON CONFLICT DO NOTHING", "t",
		 name))
		return false;
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, "SELECT id FROM sink WHERE name = ?", err);

	if (!st)
		return false;
	sqlite_bind(st, "t", name);
	if (!sqlite_step(s, st, &row, err))
		return false;
	*id = sqlite3_column_int(st, 0);
	return true;
}

#define STREAM_COLUMNS "SELECT id, generation, start_ms, rooted, name, arn FROM stream "

static void read_stream(sqlite3_stmt *st, struct store_stream *out)
{
	out->id = sqlite3_column_int64(st, 0);
	out->generation = (uint64_t)sqlite3_column_int64(st, 1);
	out->start_ms = sqlite3_column_int64(st, 2);
	out->rooted = sqlite3_column_int(st, 3) != 0;
}

static bool stream_find(struct store *store, const char *name, const char *arn, int64_t start_ms,
			struct store_stream *out, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	int changed;
	bool row;

	if (!RUN(s, &changed, err,
		 "INSERT INTO stream (name, arn, start_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
		 "tti", name, arn, start_ms))
		return false;
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, STREAM_COLUMNS "WHERE name = ? AND arn = ?", err);

	if (!st)
		return false;
	sqlite_bind(st, "tt", name, arn);
	if (!sqlite_step(s, st, &row, err))
		return false;
	read_stream(st, out);
	out->created = changed > 0;
	return true;
}

static bool streams(struct store *store, store_stream_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt) sqlite3_stmt *st = sqlite_prepare(s, STREAM_COLUMNS "ORDER BY id", err);
	struct store_stream stream = { 0 };
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		read_stream(st, &stream);
		fn(arg, column_text(st, 4), column_text(st, 5), &stream);
	}
	return false;
}

/* --- lanes --- */
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
		 sqlite3_column_type(find, 1) == SQLITE_NULL ? "" : column_text(find, 1));
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

	if (!session_live(s, session, &saves, err) || !stream_known(s, stream, err))
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
	return RUN(s, NULL, err, "UPDATE stream SET rooted = 1 WHERE id = ?", "i", stream);
}

static bool lanes_add(struct store *store, const char *session, int64_t stream,
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

	if (!session_live(s, session, &saves, err) || !stream_known(s, stream, err) ||
	    !RUN(s, NULL, err, "UPDATE lane SET owner = ? WHERE stream = ? AND owner IS NULL", "ti",
		 session, stream))
		return false;
	for (size_t i = 0; i < sink_count; i++)
		if (!RUN(s, NULL, err,
			 "INSERT INTO position (lane, sink, sequence, event_ms, done) "
			 "SELECT l.id, ?1, f.sequence, coalesce(f.event_ms, 0), coalesce(f.done, "
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

static bool lanes_claim(struct store *store, const char *session, int64_t stream,
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
		snprintf(l.shard, sizeof(l.shard), "%s", column_text(st, 1));
		snprintf(l.parent, sizeof(l.parent), "%s", column_text(st, 2));
		if (!store_sequence_parse(&l.starting, column_text(st, 3), err))
			return false;
		l.root = sqlite3_column_int(st, 4) != 0;
		l.read_at_ms = sqlite3_column_int64(st, 5);
		snprintf(l.owner, sizeof(l.owner), "%s", column_text(st, 6));
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
		if (!store_sequence_parse(&p.sequence, column_text(st, 2), err))
			return false;
		p.event_ms = sqlite3_column_int64(st, 3);
		p.done = sqlite3_column_int(st, 4) != 0;
		fn(arg, &p);
	}
	return false;
}

static bool lanes_list(struct store *store, int64_t stream, const char *owner, store_lane_fn *lane,
		       store_position_fn *position, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	/* One transaction, one snapshot; it only reads, so that a reader may do it too. */
	return RUN(s, NULL, err, "BEGIN", "") &&
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

	if (!st || !session_live(s, session, &saves, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		sqlite_bind(st, "it", lanes[i], session);
		if (!sqlite_finish(s, st, NULL, err))
			return false;
	}
	return true;
}

static bool lanes_forget(struct store *store, const char *session, const int64_t *lanes,
			 size_t count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, forget(s, session, lanes, count, err), err);
}

/* --- saves and rolls --- */
static bool save_moves(struct sqlite *s, const struct store_save *save, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"UPDATE position SET sequence = ?, event_ms = ?, done = ? "
		"WHERE lane = ? AND sink = ? AND sequence IS ? "
		"AND EXISTS (SELECT 1 FROM lane l WHERE l.id = lane AND l.owner = ?)",
		err);
	int changed;

	for (size_t i = 0; st && i < save->move_count; i++) {
		const struct store_move *m = &save->moves[i];

		sqlite_bind(st, "qiiiiqt", &m->to, m->event_ms, (int64_t)m->done, m->lane,
			    (int64_t)m->sink, &m->from, save->session);
		if (!sqlite_finish(s, st, &changed, err))
			return false;
		if (!changed)
			return error_set(err, ERROR_FENCED,
					 "save %llu of session %s: lane %lld is not its own or not "
					 "where it left it",
					 (unsigned long long)save->number, save->session,
					 (long long)m->lane);
	}
	return st;
}

static bool save_rolls(struct sqlite *s, const struct store_save *save, struct error *err)
{
	for (size_t i = 0; i < save->finished_count; i++)
		if (!RUN(s, NULL, err,
			 "DELETE FROM roll WHERE session = ? AND sink = ? AND number = ?", "tii",
			 save->session, (int64_t)save->finished[i].sink,
			 (int64_t)save->finished[i].number))
			return false;
	for (size_t i = 0; i < save->roll_count; i++)
		if (!RUN(s, NULL, err,
			 "INSERT INTO roll (session, sink, number, blob) VALUES (?, ?, ?, ?)",
			 "tiib", save->session, (int64_t)save->rolls[i].sink,
			 (int64_t)save->rolls[i].number, save->rolls[i].blob))
			return false;
	return true;
}

static bool save_read(struct sqlite *s, const struct store_save *save, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "UPDATE lane SET read_at_ms = max(read_at_ms, ?) "
					  "WHERE id = ? AND owner = ?",
					  err);

	for (size_t i = 0; st && i < save->read_count; i++) {
		sqlite_bind(st, "iit", save->read_at_ms, save->read_lanes[i], save->session);
		if (!sqlite_finish(s, st, NULL, err))
			return false;
	}
	return st;
}

static bool save_inside(struct sqlite *s, const struct store_save *save, struct error *err)
{
	uint64_t saves;

	if (!session_live(s, save->session, &saves, err))
		return false;
	if (saves == save->number)
		return true;
	if (saves + 1 != save->number)
		return error_set(
			err, ERROR_FENCED, "save %llu of session %s: its last one was %llu",
			(unsigned long long)save->number, save->session, (unsigned long long)saves);
	return RUN(s, NULL, err, "UPDATE session SET saves = ? WHERE id = ?", "it",
		   (int64_t)save->number, save->session) &&
	       save_moves(s, save, err) && save_rolls(s, save, err) && save_read(s, save, err);
}

static bool save_all(struct store *store, const struct store_save *save, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, save_inside(s, save, err), err);
}

static bool rolls(struct store *store, const char *session, store_roll_fn *fn, void *arg,
		  struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT k.name, r.number, r.blob FROM roll r JOIN sink k "
			       "ON k.id = r.sink WHERE r.session = ? ORDER BY r.sink, r.number",
			       err);
	bool row;

	if (st)
		sqlite_bind(st, "t", session);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		fn(arg, column_text(st, 0), (uint64_t)sqlite3_column_int64(st, 1),
		   column_bytes(st, 2));
	}
	return false;
}

static bool roll_finished(struct store *store, const char *session, const char *sink_name,
			  uint64_t number, struct error *err)
{
	return RUN(sqlite_of(store), NULL, err,
		   "DELETE FROM roll WHERE session = ? AND number = ? AND "
		   "sink = (SELECT id FROM sink WHERE name = ?)",
		   "tit", session, (int64_t)number, sink_name);
}

/* --- dead letters --- */
static bool put(struct sqlite *s, const struct store_letter *l, int64_t max_bytes,
		struct error *err)
{
	int changed;

	if (!RUN(s, &changed, err,
		 "INSERT INTO letter (stream, sink, shard, sequence, reason, json) "
		 "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		 "ttttts", l->stream, l->sink, l->shard, l->sequence, l->reason, l->json))
		return false;
	if (!changed)
		return true;
	if (!RUN(s, &changed, err,
		 "UPDATE letter_total SET bytes = bytes + ?1 WHERE bytes + ?1 <= ?2", "ii",
		 (int64_t)l->json.n, max_bytes))
		return false;
	return changed || error_set(err, ERROR_INVALID,
				    "the dead letters would pass %lld bytes: retry or drop some",
				    (long long)max_bytes);
}

static bool letter_put(struct store *store, const struct store_letter *letter, int64_t max_bytes,
		       struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, put(s, letter, max_bytes, err), err);
}

static bool letters(struct store *store, store_letter_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, "SELECT id, json FROM letter ORDER BY id", err);
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		fn(arg, sqlite3_column_int64(st, 0), column_bytes(st, 1));
	}
	return false;
}

static bool drop(struct sqlite *s, int64_t id, struct error *err)
{
	return RUN(s, NULL, err,
		   "UPDATE letter_total SET bytes = bytes - coalesce("
		   "(SELECT length(CAST(json AS BLOB)) FROM letter WHERE id = ?), 0)",
		   "i", id) &&
	       RUN(s, NULL, err, "DELETE FROM letter WHERE id = ?", "i", id);
}

static bool letter_drop(struct store *store, int64_t id, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, drop(s, id, err), err);
}

const struct store_ops store_sqlite = {
	.open = sqlite_open,
	.close = sqlite_close,
	.session_begin = session_begin,
	.session_beat = session_beat,
	.sessions = sessions,
	.session_kill = session_kill,
	.session_bury = session_bury,
	.sink = sink_id,
	.stream = stream_find,
	.streams = streams,
	.lanes_add = lanes_add,
	.lanes_claim = lanes_claim,
	.lanes_list = lanes_list,
	.lanes_forget = lanes_forget,
	.save = save_all,
	.rolls = rolls,
	.roll_finished = roll_finished,
	.letter_put = letter_put,
	.letters = letters,
	.letter_drop = letter_drop,
};
