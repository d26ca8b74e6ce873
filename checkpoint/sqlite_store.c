#include <stdio.h>

#include "checkpoint/sqlite.h"
#include "checkpoint/sqlite_retries.h"

static struct str column_bytes(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_blob(st, column);

	return (struct str){ p ? p : "", (size_t)sqlite3_column_bytes(st, column) };
}

/* --- sessions --- */
static bool session_begin(struct store *store, const char *id, const char *worker,
			  const char *address, int64_t lease_ms, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	int changed;

	if (!sqlite_run(s, &changed, err,
			"INSERT INTO session (id, worker, address, lease_ms) VALUES (?, ?, ?, ?) "
			"ON CONFLICT DO "
			"NOTHING",
			"ttti", id, worker, address, lease_ms))
		return false;
	return changed || error_set(err, ERROR_FENCED,
				    "session %s was begun before: begin one with another id", id);
}

static bool session_beat(struct store *store, const char *id, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	int changed;

	if (!sqlite_run(s, &changed, err,
			"UPDATE session SET beat = beat + 1 WHERE id = ? AND state = 'live'", "t",
			id))
		return false;
	return changed || sqlite_not_live(id, err);
}

/* Whatever else is in the file is near. */
static bool sessions(struct store *store, const char *near, struct store_session *out, size_t max,
		     size_t *count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT id, worker, address, beat, state, lease_ms FROM session "
			       "WHERE state <> 'buried' ORDER BY serial LIMIT ?",
			       err);
	bool row;

	(void)near;
	if (!st)
		return false;
	sqlite_bind(st, "i", (int64_t)max);
	while (sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_session *o = &out[(*count)++];

		snprintf(o->id, sizeof(o->id), "%s", sqlite_text(st, 0));
		snprintf(o->worker, sizeof(o->worker), "%s", sqlite_text(st, 1));
		snprintf(o->address, sizeof(o->address), "%s", sqlite_text(st, 2));
		o->beat = sqlite3_column_int64(st, 3);
		o->state = store_state_parse(sqlite_text(st, 4));
		o->lease_ms = sqlite3_column_int64(st, 5);
	}
	return false;
}

static bool session_kill(struct store *store, const char *id, int64_t beat, bool *done,
			 struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	int changed = 0;
	bool ok = sqlite_run(s, &changed, err,
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
	return sqlite_run(s, NULL, err, "UPDATE lane SET owner = NULL WHERE owner = ?", "t", id) &&
	       sqlite_run(s, NULL, err, "DELETE FROM member WHERE session = ?", "t", id) &&
	       sqlite_run(s, NULL, err, "UPDATE session SET state = 'buried' WHERE id = ?", "t",
			  id);
}

static bool session_bury(struct store *store, const char *id, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, bury(s, id, err), err);
}

/* --- sinks and streams --- */
static bool sinks(struct store *store, store_sink_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, "SELECT id, name FROM sink ORDER BY id", err);
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		fn(arg, sqlite3_column_int(st, 0), sqlite_text(st, 1));
	}
	return false;
}

static bool sink_id(struct store *store, const char *name, int32_t *id, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	bool row;

	if (!sqlite_run(s, NULL, err, "INSERT INTO sink (name) VALUES (?) ON CONFLICT DO NOTHING",
			"t", name))
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

#define STREAM_COLUMNS                                                                             \
	"SELECT s.id, s.generation, s.start_ms, s.rooted, s.name, s.arn, s.epoch, "                \
	"coalesce((SELECT max(x.at_ms) FROM audit x WHERE x.stream = s.id "                        \
	"AND x.what = 'reset'), 0), " SQLITE_HOLD " FROM stream s "                                \
	"LEFT JOIN audit a ON a.id = s.hold "

static bool read_stream(sqlite3_stmt *st, struct store_stream *out, struct error *err)
{
	out->id = sqlite3_column_int64(st, 0);
	out->generation = (uint64_t)sqlite3_column_int64(st, 1);
	out->start_ms = sqlite3_column_int64(st, 2);
	out->rooted = sqlite3_column_int(st, 3) != 0;
	out->epoch = sqlite3_column_int64(st, 6);
	out->reset_ms = sqlite3_column_int64(st, 7);
	return sqlite_hold_at(st, 8, &out->hold, err);
}

static bool find(struct sqlite *s, const char *name, const char *arn, int64_t start_ms,
		 const struct store_hold *hold, struct store_stream *out, struct error *err)
{
	int changed;
	bool row;

	if (!sqlite_run(s, &changed, err,
			"INSERT INTO stream (name, arn, start_ms, generation) SELECT ?1, ?2, ?3, "
			"coalesce(max(generation), 1) FROM stream WHERE name = ?1 "
			"AND id NOT IN (SELECT lanes FROM export WHERE lanes IS NOT NULL) "
			"ON CONFLICT DO NOTHING",
			"tti", name, arn, start_ms) ||
	    (hold && changed &&
	     !sqlite_hold_put(s, sqlite3_last_insert_rowid(s->db), hold, 0, err)))
		return false;
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, STREAM_COLUMNS "WHERE s.name = ? AND s.arn = ?", err);

	if (!st)
		return false;
	sqlite_bind(st, "tt", name, arn);
	if (!sqlite_step(s, st, &row, err))
		return false;
	out->created = changed > 0;
	return read_stream(st, out, err);
}

static bool stream_find(struct store *store, const char *name, const char *arn, int64_t start_ms,
			const struct store_hold *hold, struct store_stream *out, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, find(s, name, arn, start_ms, hold, out, err), err);
}

static bool streams(struct store *store, store_stream_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		STREAM_COLUMNS
		"WHERE s.id NOT IN (SELECT lanes FROM export WHERE lanes IS NOT NULL) "
		"ORDER BY s.id",
		err);
	struct store_stream stream = { 0 };
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		if (!read_stream(st, &stream, err))
			return false;
		fn(arg, sqlite_text(st, 4), sqlite_text(st, 5), &stream);
	}
	return false;
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

/* [[lane, "sequence", event_ms], …] of the sink; NULL where it has none. */
static const char *pending_text(const struct store_save *save, int32_t sink, struct buf *out)
{
	char digits[SEQUENCE_TEXT_SIZE];

	for (size_t i = 0; i < save->pending_count; i++) {
		const struct store_pending *p = &save->pending[i];

		if (p->sink != sink)
			continue;
		buf_printf(out, "%s[%lld,\"%s\",%lld]", out->size ? "," : "[", (long long)p->lane,
			   sequence_text(&p->to, digits), (long long)p->event_ms);
	}
	if (out->size == 0)
		return NULL;
	buf_text(out, "]");
	return out->data;
}

static bool save_roll(struct sqlite *s, const struct store_save *save,
		      const struct store_roll *roll, struct error *err)
{
	__attribute__((cleanup(buf_release))) struct buf pending = { 0 };

	return sqlite_run(s, NULL, err,
			  "INSERT INTO roll (session, sink, number, blob, pending) "
			  "VALUES (?, ?, ?, ?, ?)",
			  "tiibt", save->session, (int64_t)roll->sink, (int64_t)roll->number,
			  roll->blob, pending_text(save, roll->sink, &pending));
}

static bool save_rolls(struct sqlite *s, const struct store_save *save, struct error *err)
{
	for (size_t i = 0; i < save->finished_count; i++)
		if (!sqlite_run(s, NULL, err,
				"DELETE FROM roll WHERE session = ? AND sink = ? AND number = ?",
				"tii", save->session, (int64_t)save->finished[i].sink,
				(int64_t)save->finished[i].number))
			return false;
	for (size_t i = 0; i < save->roll_count; i++)
		if (!save_roll(s, save, &save->rolls[i], err))
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

static bool save_files(struct sqlite *s, const struct store_save *save, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"UPDATE export_file SET records = ?, bytes = ?, updated_ms = ? WHERE lane = ? "
		"AND EXISTS (SELECT 1 FROM lane l WHERE l.id = lane AND l.owner = ?)",
		err);

	for (size_t i = 0; st && i < save->file_count; i++) {
		const struct store_file_progress *f = &save->files[i];

		sqlite_bind(st, "iiiit", (int64_t)f->records, (int64_t)f->bytes, save->read_at_ms,
			    f->lane, save->session);
		if (!sqlite_finish(s, st, NULL, err))
			return false;
	}
	return st;
}

/* A sink that the stream has no longer does not hold up a lane. */
static bool save_done(struct sqlite *s, const struct store_save *save, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"UPDATE lane SET done = 1, owner = NULL, wanted_by = NULL, "
		"read_at_ms = max(read_at_ms, ?) WHERE id = ? AND NOT EXISTS ("
		"SELECT 1 FROM position p JOIN stream s ON s.id = lane.stream "
		"WHERE p.lane = lane.id AND NOT p.done AND (s.sinks IS NULL OR p.sink IN "
		"(SELECT k.value FROM json_each(s.sinks) k)))",
		err);

	for (size_t i = 0; st && i < save->move_count; i++) {
		if (!save->moves[i].done)
			continue;
		sqlite_bind(st, "ii", save->read_at_ms, save->moves[i].lane);
		if (!sqlite_finish(s, st, NULL, err))
			return false;
	}
	return st;
}

static bool save_inside(struct sqlite *s, const struct store_save *save, struct error *err)
{
	uint64_t saves;

	if (!sqlite_session_live(s, save->session, &saves, err))
		return false;
	if (saves == save->number)
		return true;
	if (saves + 1 != save->number)
		return error_set(
			err, ERROR_FENCED, "save %llu of session %s: its last one was %llu",
			(unsigned long long)save->number, save->session, (unsigned long long)saves);
	return sqlite_run(s, NULL, err, "UPDATE session SET saves = ? WHERE id = ?", "it",
			  (int64_t)save->number, save->session) &&
	       save_moves(s, save, err) && save_rolls(s, save, err) && save_read(s, save, err) &&
	       save_files(s, save, err) && save_done(s, save, err);
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
		fn(arg, sqlite_text(st, 0), (uint64_t)sqlite3_column_int64(st, 1),
		   column_bytes(st, 2));
	}
	return false;
}

#define ROLL_IS                                                                                    \
	"r.session = ?1 AND r.number = ?2 AND r.sink = (SELECT id FROM sink WHERE name = ?3)"

static bool move_pending(struct sqlite *s, const char *session, const char *sink_name,
			 uint64_t number, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "UPDATE position SET sequence = t.target, event_ms = t.event_ms "
			  "FROM (SELECT r.sink, j.value ->> 0 AS lane, j.value ->> 1 AS target, "
			  "j.value ->> 2 AS event_ms FROM roll r, json_each(r.pending) j "
			  "WHERE " ROLL_IS ") t JOIN lane l ON l.id = t.lane AND l.owner = ?1 "
			  "WHERE position.lane = t.lane AND position.sink = t.sink",
			  "tit", session, (int64_t)number, sink_name);
}

static bool roll_finished(struct store *store, const char *session, const char *sink_name,
			  uint64_t number, bool committed, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s,
			  (!committed || move_pending(s, session, sink_name, number, err)) &&
				  sqlite_run(s, NULL, err, "DELETE FROM roll AS r WHERE " ROLL_IS,
					     "tit", session, (int64_t)number, sink_name),
			  err);
}

/* --- dead letters --- */
/* SQL: that of stream ?1 now: a rewind may raise it later. */
#define GENERATION "ifnull((SELECT max(s.generation) FROM stream s WHERE s.name = ?1), 1)"

static bool put(struct sqlite *s, const struct store_letter *l, int64_t max_bytes,
		struct error *err)
{
	int changed;

	if (!sqlite_run(s, &changed, err,
			"INSERT INTO letter (stream, sink, shard, sequence, reason, json, "
			"generation) VALUES (?1, ?2, ?3, ?4, ?5, ?6, " GENERATION ") "
			"ON CONFLICT DO NOTHING",
			"ttttts", l->stream, l->sink, l->shard, l->sequence, l->reason, l->json))
		return false;
	if (!changed)
		return sqlite_run(
			s, NULL, err,
			"UPDATE letter SET generation = max(generation, " GENERATION ") "
			"WHERE stream = ?1 AND sink = ?2 AND shard = ?3 AND sequence = ?4",
			"tttt", l->stream, l->sink, l->shard, l->sequence);
	if (!sqlite_run(s, &changed, err,
			"UPDATE letter_total SET bytes = bytes + ?1 WHERE bytes + ?1 <= ?2", "ii",
			(int64_t)l->json.n, max_bytes))
		return false;
	return changed || sqlite_letters_full(max_bytes, err);
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
	sqlite3_stmt *st =
		sqlite_prepare(s, "SELECT id, json FROM letter WHERE json <> '' ORDER BY id", err);
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		fn(arg, sqlite3_column_int64(st, 0), column_bytes(st, 1));
	}
	return false;
}

static bool letters_count(struct store *store, uint64_t *count, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, "SELECT count(*) FROM letter WHERE json <> ''", err);
	bool row;

	if (!st || !sqlite_step(s, st, &row, err))
		return false;
	*count = (uint64_t)sqlite3_column_int64(st, 0);
	return true;
}

static bool drop(struct sqlite *s, int64_t id, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "UPDATE letter_total SET bytes = bytes - coalesce("
			  "(SELECT length(CAST(json AS BLOB)) FROM letter WHERE id = ?), 0)",
			  "i", id) &&
	       sqlite_run(s, NULL, err, "DELETE FROM letter WHERE id = ?", "i", id);
}

static bool letter_drop(struct store *store, int64_t id, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, drop(s, id, err), err);
}

const struct store_ops store_sqlite = {
	.place = sqlite_place,
	.open = sqlite_open,
	.close = sqlite_close,
	.session_begin = session_begin,
	.session_beat = session_beat,
	.sessions = sessions,
	.session_kill = session_kill,
	.session_bury = session_bury,
	.sink = sink_id,
	.sinks = sinks,
	.stream = stream_find,
	.streams = streams,
	.hold = sqlite_stream_hold,
	.owned = sqlite_stream_owned,
	.reset = sqlite_stream_reset,
	.rewind = sqlite_stream_rewind,
	.go_on = sqlite_stream_go_on,
	.audit = sqlite_audit,
	.sinks_start = sqlite_sinks_start,
	.join = sqlite_join,
	.leave = sqlite_leave,
	.twins = sqlite_twins,
	.round = sqlite_round,
	.lanes_add = sqlite_lanes_add,
	.lanes_claim = sqlite_lanes_claim,
	.lanes_list = sqlite_lanes_list,
	.unheld = sqlite_unheld,
	.lanes_wish = sqlite_lanes_wish,
	.lanes_release = sqlite_lanes_release,
	.shards = sqlite_shards,
	.tidy = sqlite_tidy,
	.save = save_all,
	.rolls = rolls,
	.roll_finished = roll_finished,
	.letter_put = letter_put,
	.letters = letters,
	.letters_count = letters_count,
	.letter_drop = letter_drop,
	.gap_put = sqlite_gap_put,
	.gaps = sqlite_gaps,
	.gaps_accept = sqlite_gaps_accept,
	.gaps_accepted = sqlite_gaps_accepted,
	.gap_close = sqlite_gap_close,
	.exports = &store_exports_sqlite,
	.control = &store_control_sqlite,
	.savepoints = &store_savepoints_sqlite,
	.letter = &store_letters_sqlite,
	.sides = &store_sides_sqlite,
};
