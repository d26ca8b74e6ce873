#include "checkpoint/sqlite.h"

static bool keep(struct sqlite *s, const char *name, int64_t stream, const char *who, int64_t at_ms,
		 struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "INSERT INTO savepoint (name, stream, generation, who, at_ms) "
			  "SELECT ?1, id, generation, ?3, ?4 FROM stream WHERE id = ?2",
			  "titi", name, stream, who, at_ms) &&
	       sqlite_run(
		       s, NULL, err,
		       "INSERT INTO savepoint_place (savepoint, shard, sink, sequence, event_ms, "
		       "done) SELECT v.id, l.shard, p.sink, p.sequence, p.event_ms, p.done "
		       "FROM savepoint v JOIN lane l ON l.stream = v.stream "
		       "JOIN position p ON p.lane = l.id WHERE v.name = ? AND v.stream = ?",
		       "ti", name, stream);
}

static bool keep_all(struct sqlite *s, const char *name, const int64_t *streams, size_t count,
		     const char *who, int64_t at_ms, bool *made, struct error *err)
{
	bool taken;

	if (!sqlite_asks(s, &taken, err, "SELECT 1 FROM savepoint WHERE name = ?", "t", name))
		return false;
	if (taken) /* said again where the reply was lost, or by somebody else */
		return sqlite_asks(
			s, made, err,
			"SELECT 1 FROM savepoint WHERE name = ? AND who = ? AND at_ms = ?", "tti",
			name, who, at_ms);
	*made = true;
	for (size_t i = 0; i < count; i++)
		if (!keep(s, name, streams[i], who, at_ms, err))
			return false;
	return true;
}

static bool put(struct store *store, const char *name, const int64_t *streams, size_t count,
		const char *who, int64_t at_ms, bool *made, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, keep_all(s, name, streams, count, who, at_ms, made, err), err);
}

static bool list(struct store *store, store_savepoint_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT v.name, s.name, s.arn, v.who, v.stream, v.at_ms, v.generation, "
		"(SELECT count(*) FROM savepoint_place p WHERE p.savepoint = v.id) "
		"FROM savepoint v JOIN stream s ON s.id = v.stream "
		"ORDER BY v.at_ms, v.name, v.stream",
		err);
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_savepoint v = {
			.name = sqlite_text(st, 0),
			.stream_name = sqlite_text(st, 1),
			.arn = sqlite_text(st, 2),
			.who = sqlite_text(st, 3),
			.stream = sqlite3_column_int64(st, 4),
			.at_ms = sqlite3_column_int64(st, 5),
			.generation = (uint64_t)sqlite3_column_int64(st, 6),
			.places = (uint32_t)sqlite3_column_int64(st, 7),
		};

		fn(arg, &v);
	}
	return false;
}

static bool places(struct store *store, const char *name, int64_t stream, store_place_fn *fn,
		   void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT p.shard, p.sink, p.sequence, p.event_ms, p.done FROM savepoint_place p "
		"JOIN savepoint v ON v.id = p.savepoint WHERE v.name = ? AND v.stream = ? "
		"ORDER BY p.shard, p.sink",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "ti", name, stream);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		struct store_place p = { .shard = sqlite_text(st, 0),
					 .sink = sqlite3_column_int(st, 1),
					 .event_ms = sqlite3_column_int64(st, 3),
					 .done = sqlite3_column_int(st, 4) != 0 };

		if (!store_sequence_parse(&p.sequence, sqlite_text(st, 2), err))
			return false;
		fn(arg, &p);
	}
	return false;
}

static bool drop(struct store *store, const char *name, bool *dropped, struct error *err)
{
	int gone = 0;
	bool ok = sqlite_run(sqlite_of(store), &gone, err, "DELETE FROM savepoint WHERE name = ?",
			     "t", name);

	*dropped = gone > 0;
	return ok;
}

const struct store_savepoint_ops store_savepoints_sqlite = {
	.put = put,
	.list = list,
	.places = places,
	.drop = drop,
};
