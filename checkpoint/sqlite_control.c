#include "checkpoint/sqlite.h"

/* The stream is known; *added: the event was not there. */
static bool add(struct sqlite *s, const struct store_control *e, bool *added, struct error *err)
{
	int changed = 0;
	bool ok = sqlite_run(
		s, &changed, err,
		"INSERT INTO control (stream, name, kind, phase, generation, time_ms, key, sink, "
		"detail) SELECT id, name, ?1, ?2, CASE WHEN ?3 > 0 THEN ?3 ELSE generation END, "
		"?4, ?5, nullif(?6, 0), ?7 FROM stream WHERE id = ?8 ON CONFLICT DO NOTHING",
		"ttiititi", store_control_kind_name(e->kind), store_control_phase_name(e->phase),
		(int64_t)e->generation, e->time_ms, e->key, (int64_t)e->sink,
		e->detail ? e->detail : "", e->stream);

	*added = changed > 0;
	return ok;
}

static bool put_event(struct sqlite *s, const char *session, const struct store_control *e,
		      bool *added, struct error *err)
{
	uint64_t saves;

	return (!session || sqlite_session_live(s, session, &saves, err)) &&
	       sqlite_stream_known(s, e->stream, err) && add(s, e, added, err);
}

static bool put(struct store *store, const char *session, const struct store_control *e,
		bool *added, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, put_event(s, session, e, added, err), err);
}

/* --- the end of rewinds --- */

/* SQL: stream s has goals, and nothing before them is left to read for the sinks that it has. */
#define REACHED                                                                                    \
	"s.rooted AND s.hold IS NULL "                                                             \
	"AND EXISTS (SELECT 1 FROM rewind_goal g WHERE g.stream = s.id) AND NOT EXISTS ("          \
	"SELECT 1 FROM rewind_goal g JOIN lane l ON l.stream = g.stream AND l.shard = g.shard "    \
	"JOIN position p ON p.lane = l.id AND p.sink = g.sink "                                    \
	"WHERE g.stream = s.id AND (s.sinks IS NULL OR g.sink IN "                                 \
	"(SELECT k.value FROM json_each(s.sinks) k)) "                                             \
	"AND NOT p.done AND (p.sequence IS NULL OR g.sequence IS NULL "                            \
	"OR (length(p.sequence), p.sequence) < (length(g.sequence), g.sequence)))"

static bool end_rewinds(struct sqlite *s, int64_t at_ms, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "INSERT INTO control (stream, name, kind, phase, generation, time_ms, "
			  "key, detail) SELECT s.id, s.name, 'rewind', 'end', s.generation, ?, "
			  "'rewind ' || s.generation || ' end', '' FROM stream s WHERE " REACHED
			  " ON CONFLICT DO NOTHING",
			  "i", at_ms) &&
	       sqlite_run(s, NULL, err,
			  "DELETE FROM rewind_goal WHERE stream IN (SELECT s.id FROM stream s "
			  "WHERE " REACHED ")",
			  "");
}

/* --- telling --- */

/* SQL: whether session ?1 may hand out event c: it serves the stream with the stored sinks, or no
 * live session does. */
#define SERVED                                                                                     \
	"EXISTS (SELECT 1 FROM stream s JOIN member m ON m.stream = s.id WHERE s.name = c.name "   \
	"AND m.sinks = s.sinks AND m.session "
#define MAY_HAND_OUT "(NOT " SERVED "IN " SQLITE_LIVE ") OR " SERVED "= ?1))"
/* SQL: what stream ?2 still has to tell in sink ?3, as d. */
#define UNTOLD                                                                                     \
	"FROM control_delivery d JOIN control c ON c.id = d.event "                                \
	"WHERE c.name = ?2 AND d.sink = ?3 AND d.told_ms = 0 "

/* SQL: something that delivery d comes after is not visible yet. */
#define WAITS                                                                                      \
	"EXISTS (SELECT 1 FROM control_roll e JOIN roll r ON r.session = e.session "               \
	"AND r.sink = e.sink AND r.number <= e.number "                                            \
	"WHERE e.event = d.event AND e.sink = d.sink)"

static bool hand_out(struct sqlite *s, const char *session, const struct store_control_of *of,
		     size_t count, int64_t at_ms, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (of[i].sink > 0 &&
		    !sqlite_run(s, NULL, err,
				"INSERT INTO control_delivery (event, sink) "
				"SELECT c.id, ?3 FROM control c WHERE c.name = ?2 "
				"AND NOT c.handed_out AND (c.sink IS NULL OR c.sink = ?3) "
				"AND " MAY_HAND_OUT " ON CONFLICT DO NOTHING",
				"tti", session, of[i].name, (int64_t)of[i].sink))
			return false;
	for (size_t i = 0; i < count; i++)
		if (!sqlite_run(s, NULL, err,
				"UPDATE control AS c SET handed_out = 1 WHERE c.name = ?2 "
				"AND NOT c.handed_out AND " MAY_HAND_OUT,
				"tt", session, of[i].name))
			return false;
	return sqlite_run(s, NULL, err,
			  "DELETE FROM control WHERE time_ms < ?1 AND handed_out AND NOT EXISTS "
			  "(SELECT 1 FROM control_delivery d WHERE d.event = id AND d.told_ms = 0) "
			  "OR time_ms < ?2",
			  "ii", at_ms - STORE_CONTROL_KEPT_MS, at_ms - STORE_CONTROL_LATE_MS);
}

/* The oldest of them, up to one of which something is not visible yet; none while another session
 * is about to tell some. */
static bool take(struct sqlite *s, const char *session, const struct store_control_of *of,
		 struct error *err)
{
	return sqlite_run(
		s, NULL, err,
		"UPDATE control_delivery SET owner = ?1 WHERE sink = ?3 AND owner IS NOT ?1 "
		"AND event IN (SELECT d.event " UNTOLD "ORDER BY d.event LIMIT ?4) AND NOT EXISTS "
		"(SELECT 1 " UNTOLD "AND d.owner <> ?1 AND d.owner IN " SQLITE_LIVE ") "
		"AND event < ifnull((SELECT min(d.event) " UNTOLD "AND " WAITS
		"), 9223372036854775807)",
		"ttii", session, of->name, (int64_t)of->sink, (int64_t)STORE_CONTROL_CLAIM_MAX);
}

static bool claim_all(struct sqlite *s, const char *session, const struct store_control_of *of,
		      size_t count, int64_t at_ms, bool *some, bool *waits, struct error *err)
{
	uint64_t saves;

	if (!sqlite_session_live(s, session, &saves, err) || !end_rewinds(s, at_ms, err) ||
	    !hand_out(s, session, of, count, at_ms, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (of[i].sink > 0 && !take(s, session, &of[i], err))
			return false;
	return sqlite_asks(s, some, err,
			   "SELECT 1 FROM control_delivery WHERE told_ms = 0 AND owner = ?", "t",
			   session) &&
	       sqlite_asks(s, waits, err,
			   "SELECT 1 FROM control_delivery d WHERE told_ms = ? AND " WAITS, "i",
			   (int64_t)0);
}

static bool claim(struct store *store, const char *session, const struct store_control_of *of,
		  size_t count, int64_t at_ms, bool *some, bool *waits, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	bool any;

	/* One process has the file: what is in it is for this one. */
	if (!sqlite_asks(s, &any, err,
			 "SELECT 1 FROM control_delivery WHERE told_ms = ?1 "
			 "UNION ALL SELECT 1 FROM control WHERE NOT handed_out "
			 "UNION ALL SELECT 1 FROM rewind_goal",
			 "i", (int64_t)0))
		return false;
	return !any ||
	       (sqlite_begin(s, err) &&
		sqlite_end(s, claim_all(s, session, of, count, at_ms, some, waits, err), err));
}

static bool read_event(sqlite3_stmt *st, store_control_fn *fn, void *arg, struct error *err)
{
	struct store_control e = { .id = sqlite3_column_int64(st, 0),
				   .stream = sqlite3_column_int64(st, 1),
				   .name = sqlite_text(st, 2),
				   .arn = sqlite_text(st, 3),
				   .generation = (uint64_t)sqlite3_column_int64(st, 6),
				   .time_ms = sqlite3_column_int64(st, 7),
				   .key = sqlite_text(st, 8),
				   .sink = sqlite3_column_int(st, 9),
				   .detail = sqlite_text(st, 10),
				   .rolls = sqlite_text(st, 11) };

	if (!e.rolls)
		e.rolls = "";
	if (!store_control_parse(&e, sqlite_text(st, 4), sqlite_text(st, 5), err))
		return false;
	fn(arg, &e);
	return true;
}

static bool claimed(struct store *store, const char *session, store_control_fn *fn, void *arg,
		    struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT c.id, c.stream, c.name, s.arn, c.kind, c.phase, c.generation, c.time_ms, "
		"c.key, d.sink, c.detail, (SELECT '{' || group_concat('\"' || session || '\":' || "
		"number) || '}' FROM (SELECT session, number FROM control_roll "
		"WHERE event = c.id AND sink = d.sink ORDER BY session)) "
		"FROM control_delivery d JOIN control c ON c.id = d.event "
		"JOIN stream s ON s.id = c.stream "
		"WHERE d.told_ms = 0 AND d.owner = ? ORDER BY d.sink, c.id",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "t", session);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		if (!read_event(st, fn, arg, err))
			return false;
	}
	return false;
}

static bool tell(struct sqlite *s, const char *session, int32_t sink, const int64_t *events,
		 size_t count, int64_t at_ms, struct error *err)
{
	uint64_t saves;

	if (!sqlite_session_live(s, session, &saves, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!sqlite_run(s, NULL, err,
				"UPDATE control_delivery SET told_ms = ? WHERE event = ? "
				"AND sink = ? AND told_ms = 0 AND owner = ?",
				"iiit", at_ms, events[i], (int64_t)sink, session))
			return false;
	return true;
}

static bool told(struct store *store, const char *session, int32_t sink, const int64_t *events,
		 size_t count, int64_t at_ms, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, tell(s, session, sink, events, count, at_ms, err), err);
}

/* --- topics --- */

struct topic_row {
	bool found, said; /* said: by this call, whose reply was lost */
	int64_t partitions, before;
};

static bool find_topic(struct sqlite *s, const char *session, const struct store_topic *t,
		       int64_t at_ms, struct topic_row *out, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT partitions, before, session = ? AND seen_ms = ? "
					  "FROM topic WHERE sink = ? AND topic = ? "
					  "AND name = (SELECT name FROM stream WHERE id = ?)",
					  err);

	if (!st)
		return false;
	sqlite_bind(st, "tiiti", session, at_ms, (int64_t)t->sink, t->topic, t->stream);
	if (!sqlite_step(s, st, &out->found, err))
		return false;
	if (out->found) {
		out->partitions = sqlite3_column_int64(st, 0);
		out->before = sqlite3_column_int64(st, 1);
		out->said = sqlite3_column_int(st, 2) != 0;
	}
	return true;
}

static bool say_changed(struct sqlite *s, const struct store_topic *t, int64_t was, int64_t at_ms,
			struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "INSERT INTO control (stream, name, kind, phase, generation, time_ms, "
			  "key, sink, detail) SELECT id, name, 'partitions', 'begin', generation, "
			  "?1, 'topic ' || ?2 || ' ' || ?3 || ' ' || ?1, ?2, "
			  "json_object('topic', ?3, 'from', ?4, 'to', ?5) "
			  "FROM stream WHERE id = ?6 ON CONFLICT DO NOTHING",
			  "iitiii", at_ms, (int64_t)t->sink, t->topic, was, (int64_t)t->partitions,
			  t->stream);
}

static bool see_topic(struct sqlite *s, const char *session, const struct store_topic *t,
		      int64_t at_ms, uint32_t *before, struct error *err)
{
	struct topic_row was = { 0 };
	uint64_t saves;

	if (!sqlite_session_live(s, session, &saves, err) ||
	    !sqlite_stream_known(s, t->stream, err) || !find_topic(s, session, t, at_ms, &was, err))
		return false;
	if (was.found && was.partitions == t->partitions) {
		*before = was.said ? (uint32_t)was.before : 0;
		return true;
	}
	*before = (uint32_t)was.partitions;
	return sqlite_run(s, NULL, err,
			  "INSERT INTO topic (name, sink, topic, partitions, before, session, "
			  "seen_ms) SELECT name, ?, ?, ?, ?, ?, ? FROM stream WHERE id = ? "
			  "ON CONFLICT DO UPDATE SET partitions = excluded.partitions, "
			  "before = excluded.before, session = excluded.session, "
			  "seen_ms = excluded.seen_ms",
			  "itiitii", (int64_t)t->sink, t->topic, (int64_t)t->partitions,
			  was.partitions, session, at_ms, t->stream) &&
	       (!was.found || say_changed(s, t, was.partitions, at_ms, err));
}

static bool topic_seen(struct store *store, const char *session, const struct store_topic *t,
		       int64_t at_ms, uint32_t *before, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, see_topic(s, session, t, at_ms, before, err), err);
}

const struct store_control_ops store_control_sqlite = {
	.put = put,
	.claim = claim,
	.claimed = claimed,
	.told = told,
	.topic_seen = topic_seen,
};
