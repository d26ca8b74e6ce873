#include <stdio.h>

#include "checkpoint/postgres.h"
#include "checkpoint/postgres_values.h"

static const char *sequence_or_null(const struct sequence *q, char text[SEQUENCE_TEXT_SIZE])
{
	return sequence_is_none(q) ? NULL : sequence_text(q, text);
}

bool postgres_gap_put(struct store *s, const char *session, struct store_gap *gap, bool accept,
		      bool *added, struct error *err)
{
	char from[SEQUENCE_TEXT_SIZE], to[SEQUENCE_TEXT_SIZE];
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT id, state, how, added FROM sluice.gap_put($1, $2, $3, $4, $5, $6, $7, $8, "
		"$9, $10, $11, $12)",
		"titttitiitii", session, gap->stream, gap->shard, store_gap_kind_name(gap->kind),
		sequence_or_null(&gap->from, from), gap->from_ms, sequence_or_null(&gap->to, to),
		gap->to_ms, gap->found_ms, accept ? "t" : "f", (int64_t)STORE_GAP_AGAIN_MS,
		(int64_t)STORE_GAP_KEPT_MS);

	if (!res)
		return false;
	gap->id = value_int(res, 0, 0);
	*added = value_bool(res, 0, 3);
	return store_gap_parse(gap, store_gap_kind_name(gap->kind), PQgetvalue(res, 0, 1),
			       PQgetvalue(res, 0, 2), err);
}

#define GAP_COLUMNS                                                                                \
	"SELECT id, stream, shard, kind, from_sequence, from_ms, to_sequence, to_ms, found_ms, "   \
	"session, worker, state, how, closed_ms FROM sluice.gap "

static bool read_gap(const PGresult *res, int row, struct store_gap *out, struct error *err)
{
	*out = (struct store_gap){ .id = value_int(res, row, 0),
				   .stream = value_int(res, row, 1),
				   .from_ms = value_int(res, row, 5),
				   .to_ms = value_int(res, row, 7),
				   .found_ms = value_int(res, row, 8),
				   .closed_ms = value_int(res, row, 13) };
	snprintf(out->shard, sizeof(out->shard), "%s", PQgetvalue(res, row, 2));
	snprintf(out->session, sizeof(out->session), "%s", PQgetvalue(res, row, 9));
	snprintf(out->worker, sizeof(out->worker), "%s", PQgetvalue(res, row, 10));
	return value_sequence(&out->from, res, row, 4, err) &&
	       value_sequence(&out->to, res, row, 6, err) &&
	       store_gap_parse(out, PQgetvalue(res, row, 3), PQgetvalue(res, row, 11),
			       PQgetvalue(res, row, 12), err);
}

static bool tell_gaps(const PGresult *res, store_gap_fn *fn, void *arg, struct error *err)
{
	struct store_gap gap;

	for (int i = 0; i < PQntuples(res); i++) {
		if (!read_gap(res, i, &gap, err))
			return false;
		fn(arg, &gap);
	}
	return res != NULL;
}

bool postgres_gaps(struct store *s, int64_t stream, store_gap_fn *fn, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err,
			      GAP_COLUMNS "WHERE stream = $1 OR $1 = 0 ORDER BY id", "i", stream);

	return tell_gaps(res, fn, arg, err);
}

bool postgres_gaps_accept(struct store *s, int64_t stream, int64_t newest, int64_t at_ms,
			  uint32_t *accepted, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err, "SELECT sluice.gaps_accept($1, $2, $3)",
				      "iii", stream, newest, at_ms);

	if (res)
		*accepted = (uint32_t)value_int(res, 0, 0);
	return res != NULL;
}

bool postgres_gaps_accepted(struct store *s, const int64_t *streams, size_t count, store_gap_fn *fn,
			    void *arg, struct error *err)
{
	POSTGRES_ARRAY(ids);

	array_ints(&ids, streams, count);

	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      GAP_COLUMNS
				      "WHERE stream = ANY ($1) AND state = 'accepted' ORDER BY id",
				      "t", array_end(&ids));

	return tell_gaps(res, fn, arg, err);
}

bool postgres_gap_close(struct store *s, int64_t id, enum store_gap_how how,
			const struct sequence *to, int64_t to_ms, int64_t at_ms, struct error *err)
{
	char text[SEQUENCE_TEXT_SIZE];

	return postgres_did(postgres_of(s), err, "SELECT sluice.gap_close($1, $2, $3, $4, $5)",
			    "ittii", id, store_gap_how_name(how), sequence_or_null(to, text), to_ms,
			    at_ms);
}
