#include "checkpoint/sqlite.h"

static bool list(struct store *store, store_side_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT d.stream, d.source, d.sink, d.said, d.who, "
					  "s.start_ms, d.until_ms, d.begun_ms FROM side d "
					  "JOIN stream s ON s.id = d.stream ORDER BY d.stream",
					  err);
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_side d = { .stream = sqlite3_column_int64(st, 0),
					.source = sqlite3_column_int64(st, 1),
					.sink = sqlite3_column_int(st, 2),
					.said = sqlite_text(st, 3),
					.who = sqlite_text(st, 4),
					.start_ms = sqlite3_column_int64(st, 5),
					.until_ms = sqlite3_column_int64(st, 6),
					.begun_ms = sqlite3_column_int64(st, 7) };

		fn(arg, &d);
	}
	return false;
}

/* --- its beginning --- */

static bool other(struct sqlite *s, struct store_side *d, bool *there, bool *begun,
		  struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT stream, who = ?3 AND begun_ms = ?4 FROM side WHERE source = ?1 AND "
		"sink = ?2",
		err);

	if (st)
		sqlite_bind(st, "iiti", d->source, (int64_t)d->sink, d->who, d->begun_ms);
	if (!st || !sqlite_step(s, st, there, err))
		return false;
	*begun = *there && sqlite3_column_int(st, 1) != 0;
	d->stream = *begun ? sqlite3_column_int64(st, 0) : 0;
	return true;
}

static bool put_place(struct sqlite *s, const struct store_side *d,
		      const struct store_side_start *start, const struct store_place *p,
		      struct error *err)
{
	int64_t read_at_ms = sequence_is_none(&p->sequence) ? 0 : start->read_at_ms;
	int added;

	return sqlite_run(s, &added, err,
			  "INSERT INTO lane (stream, shard, parent, starting, root, done, "
			  "read_at_ms) SELECT ?1, shard, parent, starting, root, ?4, ?5 FROM lane "
			  "WHERE stream = ?2 AND shard = ?3",
			  "iitii", d->stream, d->source, p->shard, (int64_t)p->done, read_at_ms) &&
	       (added == 0 ||
		sqlite_run(s, NULL, err,
			   "INSERT INTO position (lane, sink, sequence, event_ms, done) "
			   "VALUES (?, ?, ?, ?, ?)",
			   "iiqii", sqlite3_last_insert_rowid(s->db), (int64_t)d->sink,
			   &p->sequence, p->event_ms, (int64_t)p->done));
}

/* SQL: a goal of the source's lane l; the further one of two that are no ends. */
#define GOAL                                                                                       \
	"SELECT ?1, l.shard, CASE WHEN NOT max(p.done) THEN (SELECT q.sequence "                   \
	"FROM position q WHERE q.lane = l.id AND q.sequence IS NOT NULL "                          \
	"ORDER BY length(q.sequence) DESC, q.sequence DESC LIMIT 1) END "                          \
	"FROM lane l JOIN position p ON p.lane = l.id "                                            \
	"WHERE l.stream = ?2 AND (p.done OR p.sequence IS NOT NULL) GROUP BY l.id"

static bool put_all(struct sqlite *s, const struct store_side *d,
		    const struct store_side_start *start, struct error *err)
{
	if (!sqlite_run(s, NULL, err,
			"INSERT INTO side (stream, source, sink, said, who, until_ms, begun_ms) "
			"VALUES (?, ?, ?, ?, ?, ?, ?)",
			"iiittii", d->stream, d->source, (int64_t)d->sink, d->said, d->who,
			d->until_ms, d->begun_ms))
		return false;
	for (size_t i = 0; i < start->count; i++)
		if (!put_place(s, d, start, &start->places[i], err))
			return false;
	return sqlite_run(s, NULL, err, "INSERT INTO side_goal (stream, shard, sequence) " GOAL,
			  "ii", d->stream, d->source) &&
	       sqlite_run(s, NULL, err,
			  "INSERT INTO skip (stream, shard, sequence, who, at_ms) "
			  "SELECT ?1, shard, sequence, who, at_ms FROM skip WHERE stream = ?2",
			  "ii", d->stream, d->source) &&
	       sqlite_run(s, NULL, err,
			  "INSERT INTO audit (stream, at_ms, what, why, who, said, "
			  "from_generation, to_generation, to_ms, lanes) "
			  "SELECT id, ?2, 'rewind', 'rewind', ?3, ?4, generation, generation, ?5, "
			  "?6 FROM stream WHERE id = ?1",
			  "iittii", d->source, d->begun_ms, d->who, d->said, d->start_ms,
			  (int64_t)start->count);
}

static bool begin_all(struct sqlite *s, struct store_side *d, const struct store_side_start *start,
		      bool *begun, struct error *err)
{
	bool there;

	if (!sqlite_stream_known(s, d->source, err) || !other(s, d, &there, begun, err))
		return false;
	if (there)
		return true;
	if (!sqlite_run(s, NULL, err,
			"INSERT INTO stream (name, arn, generation, start_ms, rooted) "
			"SELECT ?2, arn, generation, ?3, ?4 FROM stream WHERE id = ?1",
			"itii", d->source, start->name, d->start_ms, (int64_t)start->placed))
		return false;
	*begun = true;
	d->stream = sqlite3_last_insert_rowid(s->db);
	return put_all(s, d, start, err);
}

static bool begin(struct store *store, struct store_side *d, const struct store_side_start *start,
		  bool *begun, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, begin_all(s, d, start, begun, err), err);
}

/* --- its end --- */

static bool over(struct store *store, int64_t stream, bool *is_over, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT s.rooted AND s.hold IS NULL AND NOT EXISTS ("
		"SELECT 1 FROM side_goal g JOIN lane l ON l.stream = s.id AND l.shard = g.shard "
		"JOIN position p ON p.lane = l.id AND p.sink = d.sink "
		"WHERE g.stream = s.id AND NOT p.done AND (p.sequence IS NULL "
		"OR g.sequence IS NULL "
		"OR (length(p.sequence), p.sequence) < (length(g.sequence), g.sequence))) "
		"FROM stream s JOIN side d ON d.stream = s.id WHERE s.id = ?",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "i", stream);
	if (!st || !sqlite_step(s, st, &row, err))
		return false;
	if (!row)
		return error_set(err, ERROR_NOT_FOUND, "the side run is over already");
	*is_over = sqlite3_column_int(st, 0) != 0;
	return true;
}

static bool end_all(struct sqlite *s, int64_t stream, const char *who, const char *said,
		    int64_t at_ms, struct error *err)
{
	/* In this order: nothing may be left that names what goes. */
	static const char *const gone[] = {
		"DELETE FROM lane WHERE stream = ?",
		"DELETE FROM gap WHERE stream = ?",
		"DELETE FROM control WHERE stream = ?",
		"DELETE FROM rewind_goal WHERE stream = ?",
		"DELETE FROM savepoint WHERE stream = ?",
		"DELETE FROM member WHERE stream = ?",
		"DELETE FROM skip WHERE stream = ?",
		"DELETE FROM topic WHERE name = (SELECT name FROM stream WHERE id = ?)",
		"UPDATE stream SET hold = NULL WHERE id = ?",
		"DELETE FROM audit WHERE stream = ?",
		"DELETE FROM side WHERE stream = ?",
		"DELETE FROM stream WHERE id = ?",
	};
	int told;

	if (!sqlite_run(s, &told, err,
			"INSERT INTO audit (stream, at_ms, what, why, who, said, from_generation, "
			"to_generation, to_ms, lanes) SELECT d.source, ?2, 'go on', 'rewind', ?3, "
			"?4, s.generation, s.generation, d.until_ms, "
			"(SELECT count(*) FROM lane l WHERE l.stream = d.stream) "
			"FROM side d JOIN stream s ON s.id = d.stream WHERE d.stream = ?1",
			"iitt", stream, at_ms, who, said))
		return false;
	for (size_t i = 0; told > 0 && i < sizeof(gone) / sizeof(*gone); i++)
		if (!sqlite_run(s, NULL, err, gone[i], "i", stream))
			return false;
	return true;
}

static bool end(struct store *store, int64_t stream, const char *who, const char *said,
		int64_t at_ms, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, end_all(s, stream, who, said, at_ms, err), err);
}

const struct store_side_ops store_sides_sqlite = {
	.list = list,
	.begin = begin,
	.over = over,
	.end = end,
};
