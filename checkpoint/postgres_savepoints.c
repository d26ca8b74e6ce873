#include "checkpoint/postgres.h"
#include "checkpoint/postgres_values.h"

static bool put(struct store *s, const char *name, const int64_t *streams, size_t count,
		const char *who, int64_t at_ms, bool *made, struct error *err)
{
	POSTGRES_ARRAY(ids);
	AUTO(pg_result) PGresult *res = NULL;

	array_ints(&ids, streams, count);
	res = postgres_call(postgres_of(s), err, "SELECT sluice.savepoint_put($1, $2, $3, $4)",
			    "ttti", name, array_end(&ids), who, at_ms);
	*made = res && value_bool(res, 0, 0);
	return res != NULL;
}

static bool list(struct store *s, store_savepoint_fn *fn, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT v.name, s.name, s.arn, v.who, v.stream, v.at_ms, v.generation, "
		"(SELECT count(*) FROM sluice.savepoint_place p WHERE p.savepoint = v.id) "
		"FROM sluice.savepoint v JOIN sluice.stream s ON s.id = v.stream "
		"ORDER BY v.at_ms, v.name, v.stream",
		"");

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_savepoint v = { .name = PQgetvalue(res, i, 0),
					     .stream_name = PQgetvalue(res, i, 1),
					     .arn = PQgetvalue(res, i, 2),
					     .who = PQgetvalue(res, i, 3),
					     .stream = value_int(res, i, 4),
					     .at_ms = value_int(res, i, 5),
					     .generation = (uint64_t)value_int(res, i, 6),
					     .places = (uint32_t)value_int(res, i, 7) };

		fn(arg, &v);
	}
	return res != NULL;
}

static bool places(struct store *s, const char *name, int64_t stream, store_place_fn *fn, void *arg,
		   struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT p.shard, p.sink, p.sequence, p.event_ms, p.done "
				      "FROM sluice.savepoint_place p "
				      "JOIN sluice.savepoint v ON v.id = p.savepoint "
				      "WHERE v.name = $1 AND v.stream = $2 "
				      "ORDER BY p.shard COLLATE \"C\", p.sink",
				      "ti", name, stream);

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_place p = { .shard = PQgetvalue(res, i, 0),
					 .sink = (int32_t)value_int(res, i, 1),
					 .event_ms = value_int(res, i, 3),
					 .done = value_bool(res, i, 4) };

		if (!value_sequence(&p.sequence, res, i, 2, err))
			return false;
		fn(arg, &p);
	}
	return res != NULL;
}

static bool drop(struct store *s, const char *name, bool *dropped, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"WITH gone AS (DELETE FROM sluice.savepoint WHERE name = $1 RETURNING id) "
		"SELECT EXISTS (SELECT FROM gone)",
		"t", name);

	*dropped = res && value_bool(res, 0, 0);
	return res != NULL;
}

const struct store_savepoint_ops store_savepoints_postgres = {
	.put = put,
	.list = list,
	.places = places,
	.drop = drop,
};
