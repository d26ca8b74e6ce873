#include <stdio.h>

#include "checkpoint/postgres.h"
#include "checkpoint/postgres_values.h"

bool postgres_hold_at(const PGresult *res, int row, int column, struct store_hold *out,
		      struct error *err)
{
	*out = (struct store_hold){ .id = value_int(res, row, column) };
	if (out->id == 0)
		return true;
	snprintf(out->who, sizeof(out->who), "%s", PQgetvalue(res, row, column + 2));
	snprintf(out->said, sizeof(out->said), "%s", PQgetvalue(res, row, column + 3));
	out->since_ms = value_int(res, row, column + 4);
	out->generation = (uint64_t)value_int(res, row, column + 5);
	out->back_ms = value_int(res, row, column + 6);
	return store_hold_parse(PQgetvalue(res, row, column + 1), &out->why, err);
}

/* One statement, so that it is one transaction; the one function waits for the other's answer. What
 * refuses the new hold for its generation ends no other. */
bool postgres_stream_hold(struct store *s, int64_t stream, uint64_t generation, int64_t instead,
			  struct store_hold *hold, bool *done, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT h.id, why, who, said, since_ms, generation, back_ms, done "
		"FROM (SELECT CASE WHEN $2 IN (0, (SELECT s.generation FROM sluice.stream s "
		"WHERE s.id = $1 FOR NO KEY UPDATE)) THEN sluice.hold_end($1, $9, $4, $6) "
		"ELSE false END AS ended) AS e "
		"CROSS JOIN LATERAL sluice.hold_begin_at(CASE WHEN e.ended IS NOT NULL THEN $1 "
		"END, "
		"$2, $3, $4, $5, $6, $7, $8) AS h",
		"iitttiiii", stream, (int64_t)generation, store_hold_why_name(hold->why), hold->who,
		hold->said, hold->since_ms, (int64_t)STORE_AUDIT_KEPT_MS, hold->back_ms, instead);

	if (!res)
		return false;
	*done = value_bool(res, 0, 7);
	return postgres_hold_at(res, 0, 0, hold, err);
}

bool postgres_stream_owned(struct store *s, int64_t stream, uint32_t *owned, struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err, "SELECT sluice.stream_owned($1)", "i", stream);

	if (res)
		*owned = (uint32_t)value_int(res, 0, 0);
	return res != NULL;
}

bool postgres_stream_reset(struct store *s, int64_t stream, struct store_reset *r, bool *done,
			   struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err,
			      "SELECT done, generation, owned "
			      "FROM sluice.hold_reset($1, $2, $3, $4, $5, $6, $7, $8)",
			      "iiiittti", stream, r->hold, (int64_t)r->generation, r->start_ms,
			      store_gap_how_name(r->gaps), r->who, r->said, r->at_ms);

	if (!res)
		return false;
	*done = value_bool(res, 0, 0);
	if (*done)
		r->generation = (uint64_t)value_int(res, 0, 1);
	r->owned = (uint32_t)value_int(res, 0, 2);
	return true;
}

bool postgres_stream_rewind(struct store *s, int64_t stream, struct store_rewind *r, bool *done,
			    struct error *err)
{
	POSTGRES_ARRAY(shards);
	POSTGRES_ARRAY(sinks);
	POSTGRES_ARRAY(sequences);
	POSTGRES_ARRAY(events);
	POSTGRES_ARRAY(dones);
	AUTO(pg_result) PGresult *res = NULL;

	for (size_t i = 0; i < r->count; i++) {
		array_text(&shards, r->places[i].shard);
		array_int(&sinks, r->places[i].sink);
		array_sequence(&sequences, &r->places[i].sequence);
		array_int(&events, r->places[i].event_ms);
		array_bool(&dones, r->places[i].done);
	}
	res = postgres_call(postgres_of(s), err,
			    "SELECT done, generation, owned FROM "
			    "sluice.hold_rewind($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
			    "iiitttttttii", stream, r->hold, (int64_t)r->generation,
			    array_end(&shards), array_end(&sinks), array_end(&sequences),
			    array_end(&events), array_end(&dones), r->who, r->said, r->at_ms,
			    r->read_at_ms);
	if (!res)
		return false;
	*done = value_bool(res, 0, 0);
	if (*done)
		r->generation = (uint64_t)value_int(res, 0, 1);
	r->owned = (uint32_t)value_int(res, 0, 2);
	return true;
}

bool postgres_stream_go_on(struct store *s, int64_t stream, int64_t hold, const char *who,
			   int64_t at_ms, bool *ended, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err, "SELECT sluice.hold_end($1, $2, $3, $4)",
				      "iiti", stream, hold, who, at_ms);

	*ended = res && value_bool(res, 0, 0);
	return res != NULL;
}

bool postgres_audit(struct store *s, int64_t stream, uint32_t max, store_audit_fn *fn, void *arg,
		    struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT id, stream, at_ms, what, coalesce(hold, id), why, who, said, "
		"from_generation, to_generation, from_ms, to_ms, lanes FROM sluice.audit "
		"WHERE stream = $1 OR $1 = 0 ORDER BY id DESC LIMIT $2",
		"ii", stream, (int64_t)max);

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_audit a = { .id = value_int(res, i, 0),
					 .stream = value_int(res, i, 1),
					 .at_ms = value_int(res, i, 2),
					 .hold = value_int(res, i, 4),
					 .who = PQgetvalue(res, i, 6),
					 .said = PQgetvalue(res, i, 7),
					 .from_generation = (uint64_t)value_int(res, i, 8),
					 .to_generation = (uint64_t)value_int(res, i, 9),
					 .from_ms = value_int(res, i, 10),
					 .to_ms = value_int(res, i, 11),
					 .lanes = (uint32_t)value_int(res, i, 12) };

		if (!store_audit_parse(&a, PQgetvalue(res, i, 3), PQgetvalue(res, i, 5), err))
			return false;
		fn(arg, &a);
	}
	return res != NULL;
}
