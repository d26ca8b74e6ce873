#include <stdio.h>

#include "checkpoint/sqlite.h"

/* Windows that are loaded as one; as sluice.export_batch of Postgres. */

/* Windows of the generation of ?1, from number ?2 on to that one. */
#define OF_BATCH                                                                                   \
	"FROM export x JOIN export e ON e.id = ?1 AND coalesce(x.stream, 0) = "                    \
	"coalesce(e.stream, 0) AND x.table_arn = e.table_arn AND x.name = e.name "                 \
	"AND x.kind = e.kind AND x.generation = e.generation "                                     \
	"AND x.number BETWEEN ?2 AND e.number "

struct batch {
	int64_t export, first, ranges;
};

/* All are exported, and nothing is before them that is not over. */
static bool is_ready(struct sqlite *s, const struct batch *b, bool *ready, struct error *err)
{
	return sqlite_asks(
		s, ready, err,
		"SELECT 1 FROM export e WHERE e.id = ?1 AND ?2 > 0 AND e.number - ?2 + 1 = "
		"(SELECT count(*) " OF_BATCH "AND x.from_ms > 0 AND x.view = e.view "
		"AND x.status = 'exported' AND x.batch IS NULL) AND NOT EXISTS ("
		"SELECT 1 FROM export x WHERE coalesce(x.stream, 0) = coalesce(e.stream, 0) "
		"AND x.table_arn = e.table_arn AND x.name = e.name "
		"AND (x.kind = 'load') = (e.kind = 'load') AND x.generation = e.generation "
		"AND x.number < ?2 AND x.status NOT IN ('complete', 'abandoned'))",
		"ii", b->export, b->first);
}

static bool add_ranges(struct sqlite *s, const struct batch *b, struct error *err)
{
	char name[STORE_SHARD_SIZE];

	for (int64_t i = 1; i <= b->ranges; i++) {
		snprintf(name, sizeof(name), "batch-%lld-range-%lld-of-%lld", (long long)b->export,
			 (long long)i, (long long)b->ranges);
		if (!sqlite_run(s, NULL, err,
				"INSERT INTO lane (stream, shard, parent, root) "
				"SELECT lanes, ?, '', 1 FROM export WHERE id = ?",
				"ti", name, b->export) ||
		    !sqlite_run(s, NULL, err,
				"INSERT INTO export_file (lane, export, location, checksum, items) "
				"VALUES (last_insert_rowid(), ?, '', '', 0)",
				"i", b->export))
			return false;
	}
	return true;
}

static bool inside(struct sqlite *s, const char *session, const struct batch *b, bool *done,
		   struct error *err)
{
	bool ready, stream;

	if (!sqlite_export_of_live(s, session, b->export, err) ||
	    !sqlite_asks(s, done, err,
			 "SELECT 1 FROM export WHERE id = ?1 AND batch = ?1 "
			 "AND status IN ('loading', 'complete', 'failed')",
			 "i", b->export) ||
	    !is_ready(s, b, &ready, err))
		return false;
	if (*done || !ready)
		return true;
	*done = true;
	/* Files of windows that were to be loaded alone before: nobody has one. */
	return sqlite_run(s, NULL, err,
			  "DELETE FROM lane WHERE stream IN (SELECT x.lanes " OF_BATCH ")", "ii",
			  b->export, b->first) &&
	       sqlite_asks(s, &stream, err,
			   "SELECT 1 FROM export WHERE id = ? AND lanes IS NOT NULL", "i",
			   b->export) &&
	       (stream || sqlite_files_stream(s, b->export, err)) && add_ranges(s, b, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET batch = ?1 WHERE id IN (SELECT x.id " OF_BATCH ")",
			  "ii", b->export, b->first) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE export SET files = ?, status = 'loading' WHERE id = ?", "ii",
			  b->ranges, b->export);
}

bool sqlite_export_batch(struct store *store, const char *session, int64_t export, uint64_t first,
			 uint32_t ranges, bool *done, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	struct batch b = { export, (int64_t)first, ranges };

	return sqlite_begin(s, err) && sqlite_end(s, inside(s, session, &b, done, err), err);
}
