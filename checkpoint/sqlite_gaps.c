#include <stdio.h>

#include "checkpoint/sqlite.h"

#define GAP_COLUMNS                                                                                \
	"SELECT id, stream, shard, kind, from_sequence, from_ms, to_sequence, to_ms, found_ms, "   \
	"session, worker, state, how, closed_ms FROM gap "

static bool read_gap(sqlite3_stmt *st, struct store_gap *out, struct error *err)
{
	*out = (struct store_gap){ .id = sqlite3_column_int64(st, 0),
				   .stream = sqlite3_column_int64(st, 1),
				   .from_ms = sqlite3_column_int64(st, 5),
				   .to_ms = sqlite3_column_int64(st, 7),
				   .found_ms = sqlite3_column_int64(st, 8),
				   .closed_ms = sqlite3_column_int64(st, 13) };
	snprintf(out->shard, sizeof(out->shard), "%s", sqlite_text(st, 2));
	snprintf(out->session, sizeof(out->session), "%s", sqlite_text(st, 9));
	snprintf(out->worker, sizeof(out->worker), "%s", sqlite_text(st, 10));
	return store_sequence_parse(&out->from, sqlite_text(st, 4), err) &&
	       store_sequence_parse(&out->to, sqlite_text(st, 6), err) &&
	       store_gap_parse(out, sqlite_text(st, 3), sqlite_text(st, 11), sqlite_text(st, 12),
			       err);
}

/* *found: there is one at that place, read into `out`. */
static bool find_gap(struct sqlite *s, const struct store_gap *gap, struct store_gap *out,
		     bool *found, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       GAP_COLUMNS "WHERE stream = ? AND shard = ? AND "
					   "CASE WHEN shard = '' THEN kind ELSE '' END = ? "
					   "AND coalesce(from_sequence, '') = coalesce(?, '')",
			       err);

	if (!st)
		return false;
	sqlite_bind(st, "ittq", gap->stream, gap->shard,
		    *gap->shard ? "" : store_gap_kind_name(gap->kind), &gap->from);
	return sqlite_step(s, st, found, err) && (!*found || read_gap(st, out, err));
}

static bool add_gap(struct sqlite *s, const char *session, const struct store_gap *gap,
		    struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "DELETE FROM gap WHERE stream = ? AND state <> 'open' AND closed_ms < ?",
			  "ii", gap->stream, gap->found_ms - STORE_GAP_KEPT_MS) &&
	       sqlite_run(s, NULL, err,
			  "INSERT INTO gap (stream, shard, kind, from_sequence, from_ms, "
			  "to_sequence, to_ms, found_ms, session, worker) "
			  "SELECT ?, ?, ?, ?, ?, ?, ?, ?, id, worker FROM session WHERE id = ?",
			  "ittqiqiit", gap->stream, gap->shard, store_gap_kind_name(gap->kind),
			  &gap->from, gap->from_ms, &gap->to, gap->to_ms, gap->found_ms, session);
}

static bool put(struct sqlite *s, const char *session, struct store_gap *gap, bool accept,
		bool *added, struct error *err)
{
	struct store_gap was;
	uint64_t saves;
	bool found;

	if (!sqlite_session_live(s, session, &saves, err) ||
	    !sqlite_stream_known(s, gap->stream, err) || !find_gap(s, gap, &was, &found, err))
		return false;
	if (found && was.state != STORE_GAP_OPEN &&
	    gap->found_ms - was.closed_ms > STORE_GAP_AGAIN_MS) {
		/* What was lost a day after it was accepted is another loss. */
		if (!sqlite_run(s, NULL, err, "DELETE FROM gap WHERE id = ?", "i", was.id))
			return false;
		found = false;
	}
	if (!found && (!add_gap(s, session, gap, err) || !find_gap(s, gap, &was, &found, err)))
		return false;
	if (accept && was.state == STORE_GAP_OPEN) {
		if (!sqlite_run(s, NULL, err,
				"UPDATE gap SET state = 'accepted', how = 'oldest', closed_ms = ? "
				"WHERE id = ?",
				"ii", gap->found_ms, was.id))
			return false;
		was.state = STORE_GAP_ACCEPTED;
		was.how = STORE_GAP_OLDEST;
	}
	gap->id = was.id;
	gap->state = was.state;
	gap->how = was.how;
	/* Said again where the reply was lost. */
	*added = was.found_ms == gap->found_ms && strcmp(was.session, session) == 0;
	return true;
}

bool sqlite_gap_put(struct store *store, const char *session, struct store_gap *gap, bool accept,
		    bool *added, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, put(s, session, gap, accept, added, err), err);
}

static bool tell_gaps(struct sqlite *s, sqlite3_stmt *st, store_gap_fn *fn, void *arg,
		      struct error *err)
{
	struct store_gap gap;
	bool row;

	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;
		if (!read_gap(st, &gap, err))
			return false;
		fn(arg, &gap);
	}
	return false;
}

bool sqlite_gaps(struct store *store, int64_t stream, store_gap_fn *fn, void *arg,
		 struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s, GAP_COLUMNS "WHERE stream = ?1 OR ?1 = 0 ORDER BY id", err);

	if (st)
		sqlite_bind(st, "i", stream);
	return tell_gaps(s, st, fn, arg, err);
}

static bool accept_all(struct sqlite *s, int64_t stream, int64_t newest, int64_t at_ms,
		       uint32_t *accepted, struct error *err)
{
	int changed = 0;
	bool ok = sqlite_stream_known(s, stream, err) &&
		  sqlite_run(s, &changed, err,
			     "UPDATE gap SET state = 'accepted', how = 'resume', closed_ms = ? "
			     "WHERE stream = ? AND state = 'open' AND id <= ?",
			     "iii", at_ms, stream, newest);

	*accepted = (uint32_t)changed;
	return ok;
}

bool sqlite_gaps_accept(struct store *store, int64_t stream, int64_t newest, int64_t at_ms,
			uint32_t *accepted, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, accept_all(s, stream, newest, at_ms, accepted, err), err);
}

bool sqlite_gaps_accepted(struct store *store, const int64_t *streams, size_t count,
			  store_gap_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s, GAP_COLUMNS "WHERE stream = ? AND state = 'accepted' ORDER BY id", err);

	for (size_t i = 0; st && i < count; i++) {
		sqlite_bind(st, "i", streams[i]);
		if (!tell_gaps(s, st, fn, arg, err))
			return false;
	}
	return st;
}

bool sqlite_gap_close(struct store *store, int64_t id, enum store_gap_how how,
		      const struct sequence *to, int64_t to_ms, int64_t at_ms, struct error *err)
{
	return sqlite_run(sqlite_of(store), NULL, err,
			  "UPDATE gap SET state = 'closed', closed_ms = ?1, "
			  "how = CASE WHEN ?2 = '' THEN how ELSE ?2 END, "
			  "to_sequence = coalesce(?3, to_sequence), "
			  "to_ms = CASE WHEN ?4 > 0 THEN ?4 ELSE to_ms END "
			  "WHERE id = ?5 AND state <> 'closed'",
			  "itqii", at_ms, store_gap_how_name(how), to, to_ms, id);
}
