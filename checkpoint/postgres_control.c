#include "checkpoint/postgres.h"
#include "checkpoint/postgres_values.h"

static bool put(struct store *s, const char *session, const struct store_control *e, bool *added,
		struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err,
			      "SELECT sluice.control_put($1, $2, $3, $4, $5, $6, $7, $8, $9)",
			      "tittiitit", session, e->stream, store_control_kind_name(e->kind),
			      store_control_phase_name(e->phase), (int64_t)e->generation,
			      e->time_ms, e->key, (int64_t)e->sink, e->detail ? e->detail : "");

	if (res)
		*added = value_bool(res, 0, 0);
	return res != NULL;
}

static bool claim(struct store *s, const char *session, const struct store_control_of *of,
		  size_t count, int64_t at_ms, bool *some, bool *waits, struct error *err)
{
	POSTGRES_ARRAY(names);
	POSTGRES_ARRAY(sinks);

	for (size_t i = 0; i < count; i++) {
		array_text(&names, of[i].name);
		array_int(&sinks, of[i].sink);
	}

	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT claimed, waits FROM sluice.control_claim($1, $2, $3, $4, $5, $6, $7)",
		"tttiiii", session, array_end(&names), array_end(&sinks),
		(int64_t)STORE_CONTROL_CLAIM_MAX, at_ms, (int64_t)STORE_CONTROL_KEPT_MS,
		(int64_t)STORE_CONTROL_LATE_MS);

	if (!res)
		return false;
	*some = value_int(res, 0, 0) > 0;
	*waits = value_bool(res, 0, 1);
	return true;
}

static bool claimed(struct store *s, const char *session, store_control_fn *fn, void *arg,
		    struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT c.id, c.stream, c.name, s.arn, c.kind, c.phase, c.generation, c.time_ms, "
		"c.key, d.sink, c.detail, (SELECT '{' || string_agg(format('\"%s\":%s', r.session, "
		"r.number), ',' ORDER BY r.session) || '}' FROM sluice.control_roll r "
		"WHERE r.event = c.id AND r.sink = d.sink) "
		"FROM sluice.control_delivery d JOIN sluice.control c ON c.id = d.event "
		"JOIN sluice.stream s ON s.id = c.stream "
		"WHERE d.told_ms = 0 AND d.owner = $1 ORDER BY d.sink, c.id",
		"t", session);

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_control e = { .id = value_int(res, i, 0),
					   .stream = value_int(res, i, 1),
					   .name = PQgetvalue(res, i, 2),
					   .arn = PQgetvalue(res, i, 3),
					   .generation = (uint64_t)value_int(res, i, 6),
					   .time_ms = value_int(res, i, 7),
					   .key = PQgetvalue(res, i, 8),
					   .sink = (int32_t)value_int(res, i, 9),
					   .detail = PQgetvalue(res, i, 10),
					   .rolls = PQgetvalue(res, i, 11) };

		if (!store_control_parse(&e, PQgetvalue(res, i, 4), PQgetvalue(res, i, 5), err))
			return false;
		fn(arg, &e);
	}
	return res != NULL;
}

static bool told(struct store *s, const char *session, int32_t sink, const int64_t *events,
		 size_t count, int64_t at_ms, struct error *err)
{
	POSTGRES_ARRAY(ids);

	array_ints(&ids, events, count);
	return postgres_did(postgres_of(s), err, "SELECT sluice.control_told($1, $2, $3, $4)",
			    "titi", session, (int64_t)sink, array_end(&ids), at_ms);
}

static bool topic_seen(struct store *s, const char *session, const struct store_topic *t,
		       int64_t at_ms, uint32_t *before, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err, "SELECT sluice.topic_seen($1, $2, $3, $4, $5, $6)", "tiitii",
		session, t->stream, (int64_t)t->sink, t->topic, (int64_t)t->partitions, at_ms);

	if (res)
		*before = (uint32_t)value_int(res, 0, 0);
	return res != NULL;
}

const struct store_control_ops store_control_postgres = {
	.put = put,
	.claim = claim,
	.claimed = claimed,
	.told = told,
	.topic_seen = topic_seen,
};
