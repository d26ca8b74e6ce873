#include <stdio.h>

#include "checkpoint/sqlite.h"

bool sqlite_hold_at(sqlite3_stmt *st, int column, struct store_hold *out, struct error *err)
{
	*out = (struct store_hold){ .id = sqlite3_column_int64(st, column) };
	if (out->id == 0)
		return true;
	snprintf(out->who, sizeof(out->who), "%s", sqlite_text(st, column + 2));
	snprintf(out->said, sizeof(out->said), "%s", sqlite_text(st, column + 3));
	out->since_ms = sqlite3_column_int64(st, column + 4);
	out->generation = (uint64_t)sqlite3_column_int64(st, column + 5);
	return store_hold_parse(sqlite_text(st, column + 1), &out->why, err);
}

/* --- beginning --- */
bool sqlite_hold_put(struct sqlite *s, int64_t stream, const struct store_hold *hold,
		     int64_t from_generation, struct error *err)
{
	int64_t made;

	if (!sqlite_run(s, NULL, err,
			"INSERT INTO audit (stream, at_ms, what, why, who, said, "
			"from_generation, to_generation) SELECT id, ?2, 'hold', ?3, ?4, ?5, ?6, "
			"generation FROM stream WHERE id = ?1",
			"iittti", stream, hold->since_ms, store_hold_why_name(hold->why), hold->who,
			hold->said, from_generation))
		return false;
	made = sqlite3_last_insert_rowid(s->db);
	return sqlite_run(s, NULL, err, "UPDATE stream SET hold = ?1, epoch = ?1 WHERE id = ?2",
			  "ii", made, stream);
}

static bool forget_old(struct sqlite *s, int64_t stream, int64_t before_ms, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "DELETE FROM audit WHERE stream = ?1 AND at_ms < ?2 "
			  "AND NOT EXISTS (SELECT 1 FROM stream s "
			  "  WHERE s.hold IN (audit.id, audit.hold)) "
			  "AND NOT EXISTS (SELECT 1 FROM audit o "
			  "  WHERE o.hold = audit.id AND o.at_ms >= ?2)",
			  "ii", stream, before_ms);
}

struct stream_now {
	int64_t generation;
	struct store_hold hold;
};

static bool look(struct sqlite *s, int64_t stream, struct stream_now *now, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT s.generation, " SQLITE_HOLD
			       " FROM stream s LEFT JOIN audit a ON a.id = s.hold WHERE s.id = ?",
			       err);
	bool row;

	if (st)
		sqlite_bind(st, "i", stream);
	if (!sqlite_stream_known(s, stream, err) || !st || !sqlite_step(s, st, &row, err))
		return false;
	now->generation = sqlite3_column_int64(st, 0);
	return sqlite_hold_at(st, 1, &now->hold, err);
}

static bool begin(struct sqlite *s, int64_t stream, uint64_t generation, struct store_hold *hold,
		  bool *done, struct error *err)
{
	struct stream_now now;
	bool made = false;

	if (!look(s, stream, &now, err) ||
	    !sqlite_asks(s, &made, err,
			 "SELECT 1 FROM audit WHERE stream = ? AND what = 'hold' AND why = ? "
			 "AND who = ? AND at_ms = ?",
			 "itti", stream, store_hold_why_name(hold->why), hold->who, hold->since_ms))
		return false;
	if (!made &&
	    (!forget_old(s, stream, hold->since_ms - STORE_AUDIT_KEPT_MS, err) ||
	     (now.hold.id == 0 && (generation == 0 || (int64_t)generation == now.generation) &&
	      (!sqlite_hold_put(s, stream, hold, now.generation, err) ||
	       !look(s, stream, &now, err)))))
		return false;
	*done = now.hold.id != 0 && now.hold.why == hold->why &&
		now.hold.since_ms == hold->since_ms && strcmp(now.hold.who, hold->who) == 0;
	*hold = now.hold;
	return true;
}

bool sqlite_stream_hold(struct store *store, int64_t stream, uint64_t generation,
			struct store_hold *hold, bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, begin(s, stream, generation, hold, done, err), err);
}

bool sqlite_stream_owned(struct store *store, int64_t stream, uint32_t *owned, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s, "SELECT count(*) FROM lane WHERE stream = ? AND owner IS NOT NULL", err);
	bool row;

	if (st)
		sqlite_bind(st, "i", stream);
	if (!st || !sqlite_step(s, st, &row, err))
		return false;
	*owned = (uint32_t)sqlite3_column_int64(st, 0);
	return true;
}

/* --- a reset --- */

/* *done: it was made before, and its reply was lost. */
static bool was_reset(struct sqlite *s, int64_t stream, struct store_reset *r, bool *done,
		      struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT to_generation FROM audit WHERE hold = ? AND what = 'reset' AND stream = ? "
		"AND from_generation = ? AND to_ms = ? AND at_ms = ?",
		err);

	if (st)
		sqlite_bind(st, "iiiii", r->hold, stream, (int64_t)r->generation, r->start_ms,
			    r->at_ms);
	if (!st || !sqlite_step(s, st, done, err))
		return false;
	if (*done)
		r->generation = (uint64_t)sqlite3_column_int64(st, 0);
	return true;
}

/* The audit first: it says how far the lanes were. */
static bool write_reset(struct sqlite *s, int64_t stream, const struct store_reset *r,
			int64_t generation, struct error *err)
{
	return sqlite_run(
		       s, NULL, err,
		       "INSERT INTO audit (stream, at_ms, what, hold, why, who, said, "
		       "from_generation, to_generation, from_ms, to_ms, lanes) "
		       "SELECT ?1, ?2, 'reset', a.id, a.why, ?3, ?4, ?5, ?6, "
		       "coalesce((SELECT min(p.event_ms) FROM lane l JOIN position p "
		       "  ON p.lane = l.id WHERE l.stream = ?1 AND NOT l.done AND NOT p.done "
		       "  AND p.event_ms > 0), 0), ?7, "
		       "(SELECT count(*) FROM lane WHERE stream = ?1) FROM audit a WHERE a.id = ?8",
		       "iittiiii", stream, r->at_ms, r->who, r->said, (int64_t)r->generation,
		       generation, r->start_ms, r->hold) &&
	       sqlite_run(s, NULL, err, "DELETE FROM lane WHERE stream = ?", "i", stream) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE gap SET state = 'closed', closed_ms = ?1, "
			  "how = CASE WHEN ?2 = '' THEN how ELSE ?2 END "
			  "WHERE stream = ?3 AND state <> 'closed'",
			  "iti", r->at_ms, store_gap_how_name(r->gaps), stream) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE stream SET rooted = 0, start_ms = ?, generation = ? WHERE id = ?",
			  "iii", r->start_ms, generation, stream);
}

static bool reset(struct sqlite *s, int64_t stream, struct store_reset *r, bool *done,
		  struct error *err)
{
	struct stream_now now;
	int64_t generation;

	r->owned = 0;
	if (!look(s, stream, &now, err) || !was_reset(s, stream, r, done, err))
		return false;
	if (*done || now.hold.id == 0 || now.hold.id != r->hold ||
	    now.generation != (int64_t)r->generation)
		return true;
	if (!sqlite_stream_owned(&s->base, stream, &r->owned, err))
		return false;
	if (r->owned > 0)
		return true;
	generation = (int64_t)now.hold.generation + 1;
	if (generation < now.generation)
		generation = now.generation;
	if (!write_reset(s, stream, r, generation, err))
		return false;
	r->generation = (uint64_t)generation;
	*done = true;
	return true;
}

bool sqlite_stream_reset(struct store *store, int64_t stream, struct store_reset *r, bool *done,
			 struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, reset(s, stream, r, done, err), err);
}

/* --- the end --- */
static bool end(struct sqlite *s, int64_t stream, int64_t hold, const char *who, int64_t at_ms,
		bool *ended, struct error *err)
{
	int changed;

	return sqlite_stream_known(s, stream, err) &&
	       sqlite_run(s, &changed, err,
			  "UPDATE stream SET hold = NULL WHERE id = ? AND hold = ?", "ii", stream,
			  hold) &&
	       (!changed ||
		sqlite_run(s, NULL, err,
			   "INSERT INTO audit (stream, at_ms, what, hold, why, who, said, "
			   "from_generation, to_generation) SELECT s.id, ?1, 'go on', a.id, a.why, "
			   "?2, '', a.from_generation, s.generation FROM stream s JOIN audit a "
			   "ON a.id = ?3 WHERE s.id = ?4",
			   "itii", at_ms, who, hold, stream)) &&
	       sqlite_asks(s, ended, err,
			   "SELECT 1 FROM audit WHERE hold = ? AND what = 'go on' AND who = ? "
			   "AND at_ms = ?",
			   "iti", hold, who, at_ms);
}

bool sqlite_stream_go_on(struct store *store, int64_t stream, int64_t hold, const char *who,
			 int64_t at_ms, bool *ended, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, end(s, stream, hold, who, at_ms, ended, err), err);
}

/* --- the audit --- */
bool sqlite_audit(struct store *store, int64_t stream, uint32_t max, store_audit_fn *fn, void *arg,
		  struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT id, stream, at_ms, what, coalesce(hold, id), why, who, said, "
		"from_generation, to_generation, from_ms, to_ms, lanes FROM audit "
		"WHERE stream = ?1 OR ?1 = 0 ORDER BY id DESC LIMIT ?2",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "ii", stream, (int64_t)max);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_audit a = { .id = sqlite3_column_int64(st, 0),
					 .stream = sqlite3_column_int64(st, 1),
					 .at_ms = sqlite3_column_int64(st, 2),
					 .hold = sqlite3_column_int64(st, 4),
					 .who = sqlite_text(st, 6),
					 .said = sqlite_text(st, 7),
					 .from_generation = (uint64_t)sqlite3_column_int64(st, 8),
					 .to_generation = (uint64_t)sqlite3_column_int64(st, 9),
					 .from_ms = sqlite3_column_int64(st, 10),
					 .to_ms = sqlite3_column_int64(st, 11),
					 .lanes = (uint32_t)sqlite3_column_int64(st, 12) };

		if (!store_audit_parse(&a, sqlite_text(st, 3), sqlite_text(st, 5), err))
			return false;
		fn(arg, &a);
	}
	return false;
}
