#include "checkpoint/sqlite_retries.h"
#include "checkpoint/sqlite.h"

bool sqlite_letters_full(int64_t bytes_max, struct error *err)
{
	return error_set(err, ERROR_INVALID,
			 "the dead letters would pass %lld bytes: retry or drop some",
			 (long long)bytes_max);
}

static bool total_bytes(struct sqlite *s, int64_t *bytes, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s, "SELECT bytes FROM letter_total", err);
	bool row;

	if (!st || !sqlite_step(s, st, &row, err))
		return false;
	*bytes = row ? sqlite3_column_int64(st, 0) : 0;
	return true;
}

/* SQL: letter l is in the last batch of stream ?1 for sink ?2. Zero is named for the index, which
 * leaves those out. */
#define IN_CHAIN                                                                                   \
	"l.stream = ?1 AND l.retry_sink = ?2 AND l.json <> '' AND l.retry <> 0 "                   \
	"AND l.retry = (SELECT c.number FROM letter_chain c WHERE c.stream = ?1 "                  \
	"AND c.sink = ?2) "

/* --- a batch --- */

static bool still_mine(struct sqlite *s, const struct store_retry *r, struct error *err)
{
	bool other;

	return sqlite_asks(
		       s, &other, err,
		       "SELECT 1 FROM letter_chain WHERE stream = ? AND sink = ? AND owner <> ?",
		       "tit", r->stream, (int64_t)r->sink, r->owner) &&
	       (!other || error_set(err, ERROR_FENCED,
				    "another command tries the letters of %s by now", r->stream));
}

static bool mine(struct sqlite *s, const struct store_retry *r, struct error *err)
{
	if (!sqlite_run(s, NULL, err,
			"INSERT INTO letter_chain (stream, sink, number, id, owner) "
			"VALUES (?1, ?2, 0, ?3, ?3) ON CONFLICT DO NOTHING",
			"tit", r->stream, (int64_t)r->sink, r->owner))
		return false;
	if (!r->first)
		return still_mine(s, r, err);
	return sqlite_run(s, NULL, err,
			  "UPDATE letter_chain SET owner = ?3 WHERE stream = ?1 AND sink = ?2",
			  "tit", r->stream, (int64_t)r->sink, r->owner);
}

/* *early: as sluice.letter_is_early of Postgres. Sequences are texts without leading zeros. */
static bool is_early(struct sqlite *s, const struct store_retry *r, int64_t letter, bool *early,
		     struct error *err)
{
	return sqlite_asks(
		s, early, err,
		"SELECT 1 FROM letter l JOIN lane n ON n.stream = (SELECT max(id) FROM stream "
		"WHERE name = l.stream) AND n.shard = l.shard "
		"JOIN position p ON p.lane = n.id AND p.sink = ?2 "
		"WHERE l.id = ?1 AND NOT p.done AND (p.sequence IS NULL OR "
		"(l.sequence NOT GLOB '*[^0-9]*' AND (length(p.sequence), p.sequence) < "
		"(length(l.sequence), l.sequence)))",
		"ii", letter, (int64_t)r->sink);
}

/* Those of the call that may be tried, while they fit in. */
static bool choose(struct sqlite *s, const struct store_retry *r, store_retried_fn *fn, void *arg,
		   struct error *err)
{
	int64_t bytes = 0;
	int taken = 0;

	for (size_t i = 0; i < r->count && taken < STORE_OUTGOING_MAX; i++) {
		AUTO(sqlite3_stmt)
		sqlite3_stmt *st = sqlite_prepare(s,
						  "SELECT length(CAST(json AS BLOB)) FROM letter "
						  "WHERE id = ? AND stream = ? AND json <> ''",
						  err);
		bool row, early;

		if (st)
			sqlite_bind(st, "it", r->letters[i], r->stream);
		if (!st || !sqlite_step(s, st, &row, err) ||
		    !is_early(s, r, r->letters[i], &early, err))
			return false;
		if (row && early)
			fn(arg, &(struct store_retried){ .id = r->letters[i], .early = true });
		if (!row || early)
			continue;
		if (bytes >= STORE_OUTGOING_BYTES_MAX)
			break;
		bytes += sqlite3_column_int64(st, 0);
		taken++;
		if (!sqlite_run(s, NULL, err,
				"UPDATE letter SET retry_sink = ?2, retry = (SELECT number "
				"FROM letter_chain WHERE stream = ?1 AND sink = ?2) WHERE id = ?3",
				"tii", r->stream, (int64_t)r->sink, r->letters[i]))
			return false;
	}
	return true;
}

static bool make_batch(struct sqlite *s, const struct store_retry *r, store_retried_fn *fn,
		       void *arg, struct error *err)
{
	bool open;

	if (!mine(s, r, err) ||
	    !sqlite_asks(s, &open, err, "SELECT 1 FROM letter l WHERE " IN_CHAIN, "ti", r->stream,
			 (int64_t)r->sink))
		return false;
	return open || r->count == 0 ||
	       (sqlite_run(s, NULL, err,
			   "UPDATE letter_chain SET number = max(number + 1, ?3) "
			   "WHERE stream = ?1 AND sink = ?2",
			   "tii", r->stream, (int64_t)r->sink, r->at_ms) &&
		choose(s, r, fn, arg, err));
}

bool sqlite_letters_retry(struct store *store, const struct store_retry *retry,
			  store_retried_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, make_batch(s, retry, fn, arg, err), err);
}

bool sqlite_letters_retried(struct store *store, const struct store_retry *retry,
			    store_retried_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT l.id, l.generation, k.id, k.number, l.shard, "
			       "l.json FROM letter l JOIN letter_chain k "
			       "ON k.stream = ?1 AND k.sink = ?2 WHERE " IN_CHAIN "ORDER BY l.id",
			       err);
	bool row;

	if (!st || !still_mine(s, retry, err))
		return false;
	sqlite_bind(st, "ti", retry->stream, (int64_t)retry->sink);
	while (sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;

		struct store_retried l = { .id = sqlite3_column_int64(st, 0),
					   .generation = (uint64_t)sqlite3_column_int64(st, 1),
					   .chain = sqlite_text(st, 2),
					   .batch = sqlite3_column_int64(st, 3),
					   .shard = sqlite_text(st, 4),
					   .json = { sqlite_text(st, 5),
						     (size_t)sqlite3_column_bytes(st, 5) } };

		fn(arg, &l);
	}
	return false;
}

/* --- what became of them --- */

static bool weigh(struct sqlite *s, int64_t letter, int64_t sign, struct error *err)
{
	return sqlite_run(s, NULL, err,
			  "UPDATE letter_total SET bytes = bytes + ?2 * ifnull((SELECT "
			  "length(CAST(json AS BLOB)) FROM letter WHERE id = ?1), 0)",
			  "ii", letter, sign);
}

static bool remove_all(struct sqlite *s, const int64_t *letters, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!weigh(s, letters[i], -1, err) ||
		    !sqlite_run(s, NULL, err, "DELETE FROM letter WHERE id = ?", "i", letters[i]))
			return false;
	return true;
}

bool sqlite_letters_gone(struct store *store, const int64_t *letters, size_t count,
			 struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, remove_all(s, letters, count, err), err);
}

static bool change(struct sqlite *s, int64_t letter, const char *reason, struct str json,
		   struct error *err)
{
	return weigh(s, letter, -1, err) &&
	       sqlite_run(s, NULL, err,
			  "UPDATE letter SET reason = ?, json = ?, retry = 0, retry_sink = 0 "
			  "WHERE id = ? AND json <> ''",
			  "tsi", reason, json, letter) &&
	       weigh(s, letter, 1, err);
}

bool sqlite_letter_again(struct store *store, int64_t letter, const char *reason, struct str json,
			 struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, change(s, letter, reason, json, err), err);
}

/* --- one for each sink --- */

/* What was sent to a sink of letters is one again, and in none of the batches that it was in: one
 * may be in its sink, without it. */
#define AGAIN_ONE                                                                                  \
	"ON CONFLICT DO UPDATE SET reason = excluded.reason, json = excluded.json, "               \
	"sent_ms = 0, batch = 0, batch_sink = 0, retry = 0, retry_sink = 0, "                      \
	"loaded = excluded.loaded, generation = max(generation, excluded.generation) "             \
	"WHERE json = ''"

/* What is one stays as it is. */
static bool put_part(struct sqlite *s, int64_t letter, const struct store_part *p,
		     struct error *err)
{
	int changed;

	if (!sqlite_run(s, &changed, err,
			"INSERT INTO letter (stream, sink, shard, sequence, reason, json, "
			"generation, loaded) "
			"SELECT stream, ?2, shard, sequence, reason, ?3, generation, loaded "
			"FROM letter WHERE id = ?1 AND json <> '' " AGAIN_ONE,
			"its", letter, p->sink, p->json))
		return false;
	return !changed || sqlite_run(s, NULL, err, "UPDATE letter_total SET bytes = bytes + ?",
				      "i", (int64_t)p->json.n);
}

static bool tell_part(struct sqlite *s, int64_t letter, const struct store_part *p,
		      store_part_fn *fn, void *arg, struct error *err)
{
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st =
		sqlite_prepare(s,
			       "SELECT p.id FROM letter l JOIN letter p ON "
			       "p.stream = l.stream AND p.shard = l.shard "
			       "AND p.sequence = l.sequence WHERE l.id = ? AND p.sink = ?",
			       err);
	bool row;

	if (st)
		sqlite_bind(st, "it", letter, p->sink);
	if (!st || !sqlite_step(s, st, &row, err))
		return false;
	if (row)
		fn(arg, p->sink, sqlite3_column_int64(st, 0));
	return true;
}

/* With the letter away that they are made of. */
static bool fit_in(struct sqlite *s, int64_t letter, int64_t bytes_max, int64_t before,
		   struct error *err)
{
	bool more;

	return sqlite_asks(
		       s, &more, err,
		       "SELECT 1 FROM (SELECT bytes - ifnull((SELECT length(CAST(json AS BLOB)) "
		       "FROM letter WHERE id = ?1), 0) AS bytes FROM letter_total) "
		       "WHERE bytes > max(?2, ?3)",
		       "iii", letter, bytes_max, before) &&
	       (!more || sqlite_letters_full(bytes_max, err));
}

static bool divide(struct sqlite *s, int64_t letter, const struct store_part *parts, size_t count,
		   int64_t bytes_max, store_part_fn *fn, void *arg, struct error *err)
{
	int64_t before;
	bool ok = total_bytes(s, &before, err);

	for (size_t i = 0; ok && i < count; i++)
		ok = put_part(s, letter, &parts[i], err);
	ok = ok && fit_in(s, letter, bytes_max, before, err);
	for (size_t i = 0; ok && i < count; i++)
		ok = tell_part(s, letter, &parts[i], fn, arg, err);
	return ok && remove_all(s, &letter, 1, err);
}

bool sqlite_letter_split(struct store *store, int64_t letter, const struct store_part *parts,
			 size_t count, int64_t bytes_max, store_part_fn *fn, void *arg,
			 struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, divide(s, letter, parts, count, bytes_max, fn, arg, err), err);
}

/* --- from a sink of letters --- */

static bool load(struct sqlite *s, const struct store_letter *l, uint64_t generation,
		 int64_t bytes_max, bool *added, struct error *err)
{
	int changed;
	int64_t bytes;

	if (!sqlite_run(s, &changed, err,
			"INSERT INTO letter (stream, sink, shard, sequence, reason, json, "
			"generation, loaded) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1) " AGAIN_ONE,
			"tttttsi", l->stream, l->sink, l->shard, l->sequence, l->reason, l->json,
			(int64_t)generation))
		return false;
	*added = changed > 0;
	if (!*added)
		return true;
	return sqlite_run(s, NULL, err, "UPDATE letter_total SET bytes = bytes + ?", "i",
			  (int64_t)l->json.n) &&
	       total_bytes(s, &bytes, err) &&
	       (bytes <= bytes_max || sqlite_letters_full(bytes_max, err));
}

bool sqlite_letter_load(struct store *store, const struct store_letter *letter, uint64_t generation,
			int64_t bytes_max, bool *added, struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) &&
	       sqlite_end(s, load(s, letter, generation, bytes_max, added, err), err);
}

/* --- the audit --- */

static bool put_audit(struct sqlite *s, const struct store_retry_audit *a, struct error *err)
{
	return sqlite_run(s, NULL, err, "DELETE FROM letter_audit WHERE at_ms < ?", "i",
			  a->at_ms - STORE_AUDIT_KEPT_MS) &&
	       sqlite_run(s, NULL, err,
			  "INSERT INTO letter_audit (stream, at_ms, who, said, letters) "
			  "VALUES (?, ?, ?, ?, ?)",
			  "titti", a->stream, a->at_ms, a->who, a->said, (int64_t)a->letters);
}

bool sqlite_retry_audit_put(struct store *store, const struct store_retry_audit *a,
			    struct error *err)
{
	struct sqlite *s = sqlite_of(store);

	return sqlite_begin(s, err) && sqlite_end(s, put_audit(s, a, err), err);
}

bool sqlite_retry_audit(struct store *store, const char *stream, uint32_t max,
			store_retry_audit_fn *fn, void *arg, struct error *err)
{
	struct sqlite *s = sqlite_of(store);
	AUTO(sqlite3_stmt)
	sqlite3_stmt *st = sqlite_prepare(s,
					  "SELECT stream, who, said, at_ms, letters "
					  "FROM letter_audit WHERE stream = ? "
					  "ORDER BY id DESC LIMIT ?",
					  err);
	bool row;

	if (st)
		sqlite_bind(st, "ti", stream, (int64_t)max);
	while (st && sqlite_step(s, st, &row, err)) {
		if (!row)
			return true;

		struct store_retry_audit a = { .stream = sqlite_text(st, 0),
					       .who = sqlite_text(st, 1),
					       .said = sqlite_text(st, 2),
					       .at_ms = sqlite3_column_int64(st, 3),
					       .letters = (uint64_t)sqlite3_column_int64(st, 4) };

		fn(arg, &a);
	}
	return false;
}
