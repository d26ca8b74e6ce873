#include <stdio.h>
#include <string.h>

#include "checkpoint/sqlite.h"
#include "checkpoint/sqlite_retries.h"

/* SQL: letter l is to be sent. */
#define WAITS "l.json <> '' AND NOT l.loaded AND (l.kept IS NULL OR l.kept NOT IN " SQLITE_LIVE ") "
/* SQL: a letter of stream ?1 is in the last batch to sink ?2, and to be sent. */
#define IN_BATCH                                                                                   \
	"EXISTS (SELECT 1 FROM letter_batch b JOIN letter l ON l.stream = b.stream "               \
	"AND l.batch_sink = b.sink AND l.batch = b.number "                                        \
	"WHERE b.stream = ?1 AND b.sink = ?2 AND " WAITS ") "

/* One of a stream whose last batch is sent. */
static bool make_batch(struct sqlite *s, const char *session, int32_t sink, const char *stream,
		       int64_t at_ms, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "INSERT INTO letter_batch (stream, sink, number, chain, owner) "
			  "VALUES (?2, ?3, ?4, ?1, ?1) ON CONFLICT DO UPDATE "
			  "SET number = max(number + 1, excluded.number), owner = excluded.owner",
			  "ttii", session, stream, (int64_t)sink, at_ms) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE letter SET batch_sink = ?2, batch = (SELECT number "
			  "FROM letter_batch b WHERE b.stream = ?1 AND b.sink = ?2) WHERE id IN "
			  "(SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes "
			  "AS before FROM (SELECT l.id, length(CAST(l.json AS BLOB)) AS bytes "
			  "FROM letter l WHERE l.stream = ?1 AND " WAITS
			  "ORDER BY l.id LIMIT ?3)) WHERE before < ?4)",
			  "tiii", stream, (int64_t)sink, (int64_t)STORE_OUTGOING_MAX,
			  STORE_OUTGOING_BYTES_MAX);
}

static bool claim_of(struct sqlite *s, const char *session, int32_t sink, const char *stream,
		     int64_t at_ms, bool *some, struct error *err)
{
	bool waits, open;
	int changed = 0;

	if (!sqlite_asks(s, &waits, err, "SELECT 1 FROM letter l WHERE l.stream = ? AND " WAITS,
			 "t", stream) ||
	    !sqlite_asks(s, &open, err, "SELECT 1 WHERE " IN_BATCH, "ti", stream, (int64_t)sink))
		return false;
	if (!waits)
		return true;
	if (!open) {
		*some = true;
		return make_batch(s, session, sink, stream, at_ms, err);
	}
	if (!sqlite_run(s, &changed, err,
			"UPDATE letter_batch SET owner = ?1 WHERE stream = ?2 AND sink = ?3 "
			"AND (owner = ?1 OR owner NOT IN " SQLITE_LIVE ")",
			"tti", session, stream, (int64_t)sink))
		return false;
	*some = *some || changed > 0;
	return true;
}

static bool claim_all(struct sqlite *s, const char *session, int32_t sink,
		      const char *const *streams, size_t count, int64_t at_ms, bool *some,
		      struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT l.stream FROM letter l WHERE " WAITS
					  "GROUP BY l.stream ORDER BY min(l.id)",
					  err);
	uint64_t saves;
	size_t claimed = 0;
	bool row = true, ok = st && sqlite_session_live(s, session, &saves, err);

	while (ok && claimed < STORE_OUTGOING_STREAMS) {
		const char *name = NULL;

		ok = sqlite_step(s, st, &row, err);
		if (!ok || !row)
			break;
		for (size_t i = 0; i < count && !name; i++)
			if (strcmp(streams[i], sqlite_text(st, 0)) == 0)
				name = streams[i];
		if (!name)
			continue;
		claimed++;
		ok = claim_of(s, session, sink, name, at_ms, some, err);
	}
	return ok;
}

static bool claim(struct store *store, const char *session, int32_t sink,
		  const char *const *streams, size_t count, int64_t at_ms, bool *some,
		  struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	bool any;

	if (!sqlite_asks(s, &any, err, "SELECT 1 FROM letter WHERE json <> ?", "t", ""))
		return false;
	return !any ||
	       (sqlite_begin(s, err) &&
		sqlite_end(s, claim_all(s, session, sink, streams, count, at_ms, some, err), err));
}

static bool claimed(struct store *store, const char *session, int32_t sink, store_outgoing_fn *fn,
		    void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(
		s,
		"SELECT l.id, l.stream, ifnull((SELECT s.arn FROM stream s "
		"WHERE s.name = l.stream ORDER BY s.id DESC LIMIT 1), ''), b.chain, b.number, "
		"l.shard, l.sequence, l.reason, l.json FROM letter_batch b "
		"JOIN letter l ON l.stream = b.stream AND l.batch_sink = b.sink "
		"AND l.batch = b.number WHERE b.owner = ? AND b.sink = ? AND " WAITS
		"ORDER BY l.stream, l.id",
		err);
	bool row;

	if (st)
		sqlite_bind(st, "ti", session, (int64_t)sink);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;

		struct store_outgoing l = { .id = sqlite3_column_int64(st, 0),
					    .stream = sqlite_text(st, 1),
					    .arn = sqlite_text(st, 2),
					    .chain = sqlite_text(st, 3),
					    .batch = sqlite3_column_int64(st, 4),
					    .shard = sqlite_text(st, 5),
					    .sequence = sqlite_text(st, 6),
					    .reason = sqlite_text(st, 7),
					    .json = { sqlite_text(st, 8),
						      (size_t)sqlite3_column_bytes(st, 8) } };

		fn(arg, &l);
	}
	return false;
}

/* One that came back meanwhile is not meant, where this call comes a second time. */
static bool send_all(struct sqlite *s, const char *session, const int64_t *letters, size_t count,
		     int64_t at_ms, struct error *err)
{
	uint64_t saves;

	if (!sqlite_session_live(s, session, &saves, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!sqlite_run(s, NULL, err,
				"UPDATE letter_total SET bytes = bytes - ifnull((SELECT "
				"length(CAST(json AS BLOB)) FROM letter WHERE id = ? AND NOT "
				"loaded), 0)",
				"i", letters[i]) ||
		    !sqlite_run(s, NULL, err,
				"UPDATE letter SET json = '', sent_ms = ? WHERE id = ? "
				"AND json <> '' AND NOT loaded",
				"ii", at_ms, letters[i]))
			return false;
	return sqlite_run(s, NULL, err, "DELETE FROM letter WHERE json = '' AND sent_ms < ?", "i",
			  at_ms - STORE_SENT_KEPT_MS);
}

static bool sent(struct store *store, const char *session, const int64_t *letters, size_t count,
		 int64_t at_ms, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, send_all(s, session, letters, count, at_ms, err), err);
}

static bool keep(struct store *store, const char *session, int64_t letter, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	uint64_t saves;

	return sqlite_session_live(s, session, &saves, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE letter SET kept = ?, batch = 0, batch_sink = 0 WHERE id = ?",
			  "ti", session, letter);
}

static bool put_skip(struct sqlite *s, int64_t stream, const struct store_skip *skip,
		     struct error *err)
{
	return sqlite_stream_known(s, stream, err) &&
	       sqlite_run(s, NULL, err, "DELETE FROM skip WHERE at_ms < ?", "i",
			  skip->at_ms - STORE_SKIP_KEPT_MS) &&
	       sqlite_run(s, NULL, err,
			  "INSERT INTO skip (stream, shard, sequence, who, at_ms) "
			  "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			  "itqti", stream, skip->shard, &skip->sequence, skip->who, skip->at_ms);
}

static bool skip_put(struct store *store, int64_t stream, const struct store_skip *skip,
		     struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, put_skip(s, stream, skip, err), err);
}

static bool skips(struct store *store, int64_t stream, store_skip_fn *fn, void *arg,
		  struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT shard, sequence, who, at_ms FROM skip "
					  "WHERE stream = ? ORDER BY shard, length(sequence), "
					  "sequence",
					  err);
	bool row;

	if (st)
		sqlite_bind(st, "i", stream);
	while (st && sqlite_step(s, st, &row, err)) {
		struct store_skip k = { 0 };

		if (!row)
			return true;
		k.at_ms = sqlite3_column_int64(st, 3);
		snprintf(k.shard, sizeof(k.shard), "%s", sqlite_text(st, 0));
		snprintf(k.who, sizeof(k.who), "%s", sqlite_text(st, 2));
		if (!store_sequence_parse(&k.sequence, sqlite_text(st, 1), err))
			return false;
		fn(arg, &k);
	}
	return false;
}

const struct store_letter_ops store_letters_sqlite = {
	.claim = claim,
	.claimed = claimed,
	.sent = sent,
	.keep = keep,
	.retry = sqlite_letters_retry,
	.retried = sqlite_letters_retried,
	.gone = sqlite_letters_gone,
	.again = sqlite_letter_again,
	.split = sqlite_letter_split,
	.load = sqlite_letter_load,
	.audit_put = sqlite_retry_audit_put,
	.audit = sqlite_retry_audit,
	.skip_put = skip_put,
	.skips = skips,
};
