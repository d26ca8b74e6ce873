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
	out->back_ms = sqlite3_column_int64(st, column + 6);
	return store_hold_parse(sqlite_text(st, column + 1), &out->why, err);
}

/* --- beginning --- */
bool sqlite_hold_put(struct sqlite *s, int64_t stream, const struct store_hold *hold,
		     int64_t from_generation, struct error *err)
{
	int64_t made;

	if (!sqlite_run(s, NULL, err,
			"INSERT INTO audit (stream, at_ms, what, why, who, said, "
			"from_generation, to_generation, to_ms) SELECT id, ?2, 'hold', ?3, ?4, ?5, "
			"?6, generation, ?7 FROM stream WHERE id = ?1",
			"iitttii", stream, hold->since_ms, store_hold_why_name(hold->why),
			hold->who, hold->said, from_generation, hold->back_ms))
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

/* What refuses the new hold for its generation ends no other. */
static bool begin_instead(struct sqlite *s, int64_t stream, uint64_t generation, int64_t instead,
			  struct store_hold *hold, bool *done, struct error *err)
{
	bool fits, ended;

	return sqlite_asks(s, &fits, err,
			   "SELECT 1 FROM stream WHERE id = ? AND ? IN (0, generation)", "ii",
			   stream, (int64_t)generation) &&
	       (!fits || instead == 0 ||
		end(s, stream, instead, hold->who, hold->since_ms, &ended, err)) &&
	       begin(s, stream, generation, hold, done, err);
}

bool sqlite_stream_hold(struct store *store, int64_t stream, uint64_t generation, int64_t instead,
			struct store_hold *hold, bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, begin_instead(s, stream, generation, instead, hold, done, err), err);
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

/* --- what is done under a hold --- */

struct change {
	int64_t stream, hold, generation, at_ms;
	const char *what, *who, *said;
	int64_t to_ms, lanes;
	/* Given back. */
	int64_t raised; /* the stream's generation from now on */
	uint32_t owned;
};

/* *done: it was made before, and its reply was lost. *may: it may be made now. */
static bool may_change(struct sqlite *s, struct change *c, bool *done, bool *may, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT to_generation FROM audit WHERE hold = ? AND what = ? AND stream = ? "
		"AND from_generation = ? AND (what = 'rewind' OR to_ms = ?) AND at_ms = ?",
		err);
	struct stream_now now;

	*may = false;
	c->owned = 0;
	if (st)
		sqlite_bind(st, "itiiii", c->hold, c->what, c->stream, c->generation, c->to_ms,
			    c->at_ms);
	if (!look(s, c->stream, &now, err) || !st || !sqlite_step(s, st, done, err))
		return false;
	if (*done)
		c->raised = sqlite3_column_int64(st, 0);
	if (*done || now.hold.id == 0 || now.hold.id != c->hold || now.generation != c->generation)
		return true;
	if (!sqlite_stream_owned(&s->base, c->stream, &c->owned, err))
		return false;
	c->raised = (int64_t)now.hold.generation + 1;
	if (c->raised < now.generation)
		c->raised = now.generation;
	*may = c->owned == 0;
	return true;
}

/* Before anything is changed: it says how far the lanes were. */
static bool write_audit(struct sqlite *s, const struct change *c, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "INSERT INTO audit (stream, at_ms, what, hold, why, who, said, "
			  "from_generation, to_generation, from_ms, to_ms, lanes) "
			  "SELECT ?1, ?2, ?3, a.id, a.why, ?4, ?5, ?6, ?7, "
			  "coalesce((SELECT min(p.event_ms) FROM lane l JOIN position p "
			  "  ON p.lane = l.id WHERE l.stream = ?1 AND NOT l.done AND NOT p.done "
			  "  AND p.event_ms > 0), 0), ?8, ?9 FROM audit a WHERE a.id = ?10",
			  "iitttiiiii", c->stream, c->at_ms, c->what, c->who, c->said,
			  c->generation, c->raised, c->to_ms, c->lanes, c->hold) &&
	       sqlite_run(s, NULL, err, "UPDATE stream SET generation = ? WHERE id = ?", "ii",
			  c->raised, c->stream);
}

/* SQL: goal g is kept where it is further than the new one. */
#define FURTHER_GOAL                                                                               \
	" ON CONFLICT DO UPDATE SET sequence = CASE "                                              \
	"WHEN sequence IS NULL OR excluded.sequence IS NULL THEN NULL "                            \
	"WHEN (length(sequence), sequence) < (length(excluded.sequence), excluded.sequence) "      \
	"THEN excluded.sequence ELSE sequence END"

/* --- a reset --- */

static bool count_lanes(struct sqlite *s, int64_t stream, int64_t *lanes, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, "SELECT count(*) FROM lane WHERE stream = ?", err);
	bool row;

	if (st)
		sqlite_bind(st, "i", stream);
	if (!st || !sqlite_step(s, st, &row, err))
		return false;
	*lanes = sqlite3_column_int64(st, 0);
	return true;
}

static bool write_reset(struct sqlite *s, const struct store_reset *r, struct change *c,
			struct error *err)
{
	return count_lanes(s, c->stream, &c->lanes, err) && write_audit(s, c, err) &&
	       sqlite_run(
		       s, NULL, err,
		       "INSERT INTO rewind_goal (stream, shard, sink, sequence) "
		       "SELECT l.stream, l.shard, p.sink, CASE WHEN NOT p.done THEN p.sequence END "
		       "FROM lane l JOIN position p ON p.lane = l.id JOIN audit a ON a.id = ?2 "
		       "WHERE l.stream = ?1 AND a.why = 'rewind' "
		       "AND (p.done OR p.sequence IS NOT NULL)" FURTHER_GOAL,
		       "ii", c->stream, c->hold) &&
	       sqlite_run(s, NULL, err, "DELETE FROM lane WHERE stream = ?", "i", c->stream) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE gap SET state = 'closed', closed_ms = ?1, "
			  "how = CASE WHEN ?2 = '' THEN how ELSE ?2 END "
			  "WHERE stream = ?3 AND state <> 'closed'",
			  "iti", r->at_ms, store_gap_how_name(r->gaps), c->stream) &&
	       sqlite_run(s, NULL, err, "UPDATE stream SET rooted = 0, start_ms = ? WHERE id = ?",
			  "ii", r->start_ms, c->stream);
}

static bool reset(struct sqlite *s, int64_t stream, struct store_reset *r, bool *done,
		  struct error *err)
{
	struct change c = { .stream = stream,
			    .hold = r->hold,
			    .generation = (int64_t)r->generation,
			    .at_ms = r->at_ms,
			    .what = "reset",
			    .who = r->who,
			    .said = r->said,
			    .to_ms = r->start_ms };
	bool may;

	if (!may_change(s, &c, done, &may, err) || (may && !write_reset(s, r, &c, err)))
		return false;
	*done = *done || may;
	r->owned = c.owned;
	if (*done)
		r->generation = (uint64_t)c.raised;
	return true;
}

bool sqlite_stream_reset(struct store *store, int64_t stream, struct store_reset *r, bool *done,
			 struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, reset(s, stream, r, done, err), err);
}

/* --- a rewind --- */

/* What it was before is the goal, where it goes back. */
static bool set_place(struct sqlite *s, int64_t stream, const struct store_place *p, int *set,
		      struct error *err)
{
	return (p->done ||
		sqlite_run(
			s, NULL, err,
			"INSERT INTO rewind_goal (stream, shard, sink, sequence) "
			"SELECT l.stream, l.shard, p.sink, CASE WHEN NOT p.done THEN p.sequence "
			"END "
			"FROM lane l JOIN position p ON p.lane = l.id WHERE l.stream = ?1 "
			"AND l.shard = ?2 AND p.sink = ?3 AND (p.done OR (p.sequence IS NOT NULL "
			"AND (?4 IS NULL OR (length(p.sequence), p.sequence) > (length(?4), "
			"?4))))" FURTHER_GOAL,
			"itiq", stream, p->shard, (int64_t)p->sink, &p->sequence)) &&
	       sqlite_run(s, set, err,
			  "UPDATE position SET sequence = ?4, event_ms = ?5, done = ?6 "
			  "WHERE sink = ?3 AND lane = (SELECT id FROM lane WHERE stream = ?1 "
			  "AND shard = ?2)",
			  "itiqii", stream, p->shard, (int64_t)p->sink, &p->sequence, p->event_ms,
			  (int64_t)p->done);
}

/* Once its places are set. */
static bool unread(struct sqlite *s, int64_t stream, const struct store_rewind *r,
		   struct error *err)
{
	for (size_t i = 0; i < r->count && r->read_at_ms > 0; i++)
		if (!r->places[i].done &&
		    !sqlite_run(s, NULL, err,
				"UPDATE lane SET read_at_ms = min(read_at_ms, ?1) "
				"WHERE stream = ?2 AND shard = ?3",
				"iit", r->read_at_ms, stream, r->places[i].shard))
			return false;
	return true;
}

static bool write_rewind(struct sqlite *s, const struct store_rewind *r, struct change *c,
			 struct error *err)
{
	const char *last = "";

	for (size_t i = 0; i < r->count; i++) {
		const struct store_place *p = &r->places[i];

		if (!p->done && (c->to_ms == INT64_MAX || p->event_ms < c->to_ms))
			c->to_ms = p->event_ms;
	}
	if (c->to_ms == INT64_MAX)
		c->to_ms = 0;
	if (!write_audit(s, c, err))
		return false;
	for (size_t i = 0; i < r->count; i++) {
		int set;

		if (!set_place(s, c->stream, &r->places[i], &set, err))
			return false;
		if (set == 0 || strcmp(last, r->places[i].shard) == 0)
			continue;
		c->lanes++;
		last = r->places[i].shard;
	}
	return unread(s, c->stream, r, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE audit SET lanes = ? WHERE hold = ? AND what = 'rewind' "
			  "AND at_ms = ?",
			  "iii", c->lanes, c->hold, c->at_ms) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE lane SET wanted_by = NULL, done = NOT done WHERE stream = ? "
			  "AND done = EXISTS (SELECT 1 FROM position p JOIN stream s "
			  "ON s.id = lane.stream WHERE p.lane = lane.id AND NOT p.done "
			  "AND (s.sinks IS NULL OR p.sink IN "
			  "(SELECT k.value FROM json_each(s.sinks) k)))",
			  "i", c->stream);
}

static bool rewind_places(struct sqlite *s, int64_t stream, struct store_rewind *r, bool *done,
			  struct error *err)
{
	struct change c = { .stream = stream,
			    .hold = r->hold,
			    .generation = (int64_t)r->generation,
			    .at_ms = r->at_ms,
			    .what = "rewind",
			    .who = r->who,
			    .said = r->said,
			    .to_ms = INT64_MAX };
	bool may;

	if (!may_change(s, &c, done, &may, err) || (may && !write_rewind(s, r, &c, err)))
		return false;
	*done = *done || may;
	r->owned = c.owned;
	if (*done)
		r->generation = (uint64_t)c.raised;
	return true;
}

bool sqlite_stream_rewind(struct store *store, int64_t stream, struct store_rewind *r, bool *done,
			  struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, rewind_places(s, stream, r, done, err), err);
}

/* --- the end --- */
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
