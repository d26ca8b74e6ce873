#include <stdlib.h>

#include "base/memory.h"
#include "checkpoint/postgres.h"
#include "checkpoint/postgres_retries.h"
#include "checkpoint/postgres_values.h"

bool postgres_letters_retry(struct store *s, const struct store_retry *retry, store_retried_fn *fn,
			    void *arg, struct error *err)
{
	POSTGRES_ARRAY(ids);

	array_ints(&ids, retry->letters, retry->count);

	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err, "SELECT sluice.letters_try($1, $2, $3, $4, $5, $6, $7, $8)",
		"tttitiii", retry->owner, retry->first ? "t" : "f", retry->stream,
		(int64_t)retry->sink, array_end(&ids), (int64_t)STORE_OUTGOING_MAX,
		STORE_OUTGOING_BYTES_MAX, retry->at_ms);

	for (int i = 0; i < PQntuples(res); i++) {
		const struct store_retried early = { .id = value_int(res, i, 0), .early = true };

		fn(arg, &early);
	}
	return res != NULL;
}

bool postgres_letters_retried(struct store *s, const struct store_retry *retry,
			      store_retried_fn *fn, void *arg, struct error *err)
{
	/* A row without a letter, where the batch has none. Zero is named for the index, which
	 * leaves those out. */
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT l.id, l.generation, c.id, c.number, l.shard, l.json, c.owner = $3 "
		"FROM sluice.letter_chain c LEFT JOIN sluice.letter l ON l.stream = c.stream "
		"AND l.retry_sink = c.sink AND l.retry = c.number AND l.retry <> 0 "
		"AND l.json <> '' "
		"WHERE c.stream = $1 AND c.sink = $2 ORDER BY l.id",
		"tit", retry->stream, (int64_t)retry->sink, retry->owner);

	/* Between the two calls. */
	if (PQntuples(res) > 0 && !value_bool(res, 0, 6))
		return error_set(err, ERROR_FENCED,
				 "another command tries the letters of %s by now", retry->stream);
	for (int i = 0; i < PQntuples(res) && !PQgetisnull(res, i, 0); i++) {
		struct store_retried l = { .id = value_int(res, i, 0),
					   .generation = (uint64_t)value_int(res, i, 1),
					   .chain = PQgetvalue(res, i, 2),
					   .batch = value_int(res, i, 3),
					   .shard = PQgetvalue(res, i, 4),
					   .json = { PQgetvalue(res, i, 5),
						     (size_t)PQgetlength(res, i, 5) } };

		fn(arg, &l);
	}
	return res != NULL;
}

bool postgres_letters_gone(struct store *s, const int64_t *letters, size_t count, struct error *err)
{
	POSTGRES_ARRAY(ids);

	array_ints(&ids, letters, count);
	return postgres_did(postgres_of(s), err, "SELECT sluice.letters_gone($1)", "t",
			    array_end(&ids));
}

bool postgres_letter_again(struct store *s, int64_t letter, const char *reason, struct str json,
			   struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.letter_again($1, $2, $3)", "its",
			    letter, reason, json);
}

bool postgres_letter_split(struct store *s, int64_t letter, const struct store_part *parts,
			   size_t count, int64_t bytes_max, store_part_fn *fn, void *arg,
			   struct error *err)
{
	POSTGRES_ARRAY(sinks);
	POSTGRES_ARRAY(jsons);

	for (size_t i = 0; i < count; i++) {
		char *json = memory_text_n(parts[i].json.p, parts[i].json.n);

		array_text(&sinks, parts[i].sink);
		array_text(&jsons, json);
		free(json);
	}

	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err, "SELECT letter, name FROM sluice.letter_split($1, $2, $3, $4)",
		"itti", letter, array_end(&sinks), array_end(&jsons), bytes_max);

	for (int i = 0; i < PQntuples(res); i++)
		fn(arg, PQgetvalue(res, i, 1), value_int(res, i, 0));
	return res != NULL;
}

bool postgres_letter_load(struct store *s, const struct store_letter *l, uint64_t generation,
			  int64_t bytes_max, bool *added, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT sluice.letter_load($1, $2, $3, $4, $5, $6, $7, $8)",
				      "tttttsii", l->stream, l->sink, l->shard, l->sequence,
				      l->reason, l->json, (int64_t)generation, bytes_max);

	if (res)
		*added = value_bool(res, 0, 0);
	return res != NULL;
}

bool postgres_retry_audit_put(struct store *s, const struct store_retry_audit *a, struct error *err)
{
	return postgres_did(postgres_of(s), err,
			    "SELECT sluice.letter_audit_put($1, $2, $3, $4, $5, $6)", "tittii",
			    a->stream, a->at_ms, a->who, a->said, (int64_t)a->letters,
			    (int64_t)STORE_AUDIT_KEPT_MS);
}

bool postgres_retry_audit(struct store *s, const char *stream, uint32_t max,
			  store_retry_audit_fn *fn, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT stream, who, said, at_ms, letters "
				      "FROM sluice.letter_audit WHERE stream = $1 "
				      "ORDER BY id DESC LIMIT $2",
				      "ti", stream, (int64_t)max);

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_retry_audit a = { .stream = PQgetvalue(res, i, 0),
					       .who = PQgetvalue(res, i, 1),
					       .said = PQgetvalue(res, i, 2),
					       .at_ms = value_int(res, i, 3),
					       .letters = (uint64_t)value_int(res, i, 4) };

		fn(arg, &a);
	}
	return res != NULL;
}
