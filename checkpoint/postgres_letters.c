#include <stdio.h>

#include "checkpoint/postgres.h"
#include "checkpoint/postgres_retries.h"
#include "checkpoint/postgres_values.h"

static bool claim(struct store *s, const char *session, int32_t sink, const char *const *streams,
		  size_t count, int64_t at_ms, bool *some, struct error *err)
{
	POSTGRES_ARRAY(names);

	for (size_t i = 0; i < count; i++)
		array_text(&names, streams[i]);

	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT sluice.letters_claim($1, $2, $3, $4, $5, $6, $7)",
				      "titiiii", session, (int64_t)sink, array_end(&names),
				      (int64_t)STORE_OUTGOING_STREAMS, (int64_t)STORE_OUTGOING_MAX,
				      STORE_OUTGOING_BYTES_MAX, at_ms);

	if (res)
		*some = value_bool(res, 0, 0);
	return res != NULL;
}

static bool claimed(struct store *s, const char *session, int32_t sink, store_outgoing_fn *fn,
		    void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT l.id, l.stream, coalesce((SELECT s.arn FROM sluice.stream s "
		"WHERE s.name = l.stream ORDER BY s.id DESC LIMIT 1), ''), b.chain, b.number, "
		"l.shard, l.sequence, l.reason, l.json FROM sluice.letter_batch b "
		"JOIN sluice.letter l ON l.stream = b.stream AND l.batch_sink = b.sink "
		"AND l.batch = b.number WHERE b.owner = $1 AND b.sink = $2 "
		"AND sluice.letter_waits(l) ORDER BY l.stream, l.id",
		"ti", session, (int64_t)sink);

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_outgoing l = { .id = value_int(res, i, 0),
					    .stream = PQgetvalue(res, i, 1),
					    .arn = PQgetvalue(res, i, 2),
					    .chain = PQgetvalue(res, i, 3),
					    .batch = value_int(res, i, 4),
					    .shard = PQgetvalue(res, i, 5),
					    .sequence = PQgetvalue(res, i, 6),
					    .reason = PQgetvalue(res, i, 7),
					    .json = { PQgetvalue(res, i, 8),
						      (size_t)PQgetlength(res, i, 8) } };

		fn(arg, &l);
	}
	return res != NULL;
}

static bool sent(struct store *s, const char *session, const int64_t *letters, size_t count,
		 int64_t at_ms, struct error *err)
{
	POSTGRES_ARRAY(ids);

	array_ints(&ids, letters, count);
	return postgres_did(postgres_of(s), err, "SELECT sluice.letters_sent($1, $2, $3, $4)",
			    "ttii", session, array_end(&ids), at_ms, (int64_t)STORE_SENT_KEPT_MS);
}

static bool keep(struct store *s, const char *session, int64_t letter, struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.letter_keep($1, $2)", "ti", session,
			    letter);
}

static bool skip_put(struct store *s, int64_t stream, const struct store_skip *skip,
		     struct error *err)
{
	char sequence[SEQUENCE_TEXT_SIZE];

	return postgres_did(postgres_of(s), err, "SELECT sluice.skip_put($1, $2, $3, $4, $5, $6)",
			    "itttii", stream, skip->shard, sequence_text(&skip->sequence, sequence),
			    skip->who, skip->at_ms, (int64_t)STORE_SKIP_KEPT_MS);
}

static bool skips(struct store *s, int64_t stream, store_skip_fn *fn, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT shard, sequence, who, at_ms FROM sluice.skip "
				      "WHERE stream = $1 ORDER BY shard, sequence",
				      "i", stream);

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_skip k = { .at_ms = value_int(res, i, 3) };

		snprintf(k.shard, sizeof(k.shard), "%s", PQgetvalue(res, i, 0));
		snprintf(k.who, sizeof(k.who), "%s", PQgetvalue(res, i, 2));
		if (!value_sequence(&k.sequence, res, i, 1, err))
			return false;
		fn(arg, &k);
	}
	return res != NULL;
}

const struct store_letter_ops store_letters_postgres = {
	.claim = claim,
	.claimed = claimed,
	.sent = sent,
	.keep = keep,
	.retry = postgres_letters_retry,
	.retried = postgres_letters_retried,
	.gone = postgres_letters_gone,
	.again = postgres_letter_again,
	.split = postgres_letter_split,
	.load = postgres_letter_load,
	.audit_put = postgres_retry_audit_put,
	.audit = postgres_retry_audit,
	.skip_put = skip_put,
	.skips = skips,
};
