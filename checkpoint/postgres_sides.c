#include "checkpoint/postgres.h"
#include "checkpoint/postgres_values.h"

static bool list(struct store *s, store_side_fn *fn, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT d.stream, d.source, d.sink, d.said, d.who, "
				      "s.start_ms, d.until_ms, d.begun_ms FROM sluice.side d "
				      "JOIN sluice.stream s ON s.id = d.stream ORDER BY d.stream",
				      "");

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_side d = { .stream = value_int(res, i, 0),
					.source = value_int(res, i, 1),
					.sink = (int32_t)value_int(res, i, 2),
					.said = PQgetvalue(res, i, 3),
					.who = PQgetvalue(res, i, 4),
					.start_ms = value_int(res, i, 5),
					.until_ms = value_int(res, i, 6),
					.begun_ms = value_int(res, i, 7) };

		fn(arg, &d);
	}
	return res != NULL;
}

static bool begin(struct store *s, struct store_side *d, const struct store_side_start *start,
		  bool *begun, struct error *err)
{
	POSTGRES_ARRAY(shards);
	POSTGRES_ARRAY(sequences);
	POSTGRES_ARRAY(events);
	POSTGRES_ARRAY(dones);
	AUTO(pg_result) PGresult *res = NULL;

	for (size_t i = 0; i < start->count; i++) {
		array_text(&shards, start->places[i].shard);
		array_sequence(&sequences, &start->places[i].sequence);
		array_int(&events, start->places[i].event_ms);
		array_bool(&dones, start->places[i].done);
	}
	res = postgres_call(postgres_of(s), err,
			    "SELECT sluice.side_begin($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
			    "$11, $12, $13, $14)",
			    "iitttiiittttti", d->source, (int64_t)d->sink, start->name, d->said,
			    d->who, d->start_ms, d->until_ms, d->begun_ms,
			    start->placed ? "t" : "f", array_end(&shards), array_end(&sequences),
			    array_end(&events), array_end(&dones), start->read_at_ms);
	if (!res)
		return false;
	d->stream = value_int(res, 0, 0);
	*begun = d->stream != 0;
	return true;
}

static bool over(struct store *s, int64_t stream, bool *is_over, struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err, "SELECT sluice.side_over($1)", "i", stream);

	if (!res)
		return false;
	if (PQgetisnull(res, 0, 0))
		return error_set(err, ERROR_NOT_FOUND, "the side run is over already");
	*is_over = value_bool(res, 0, 0);
	return true;
}

static bool end(struct store *s, int64_t stream, const char *who, const char *said, int64_t at_ms,
		struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.side_end($1, $2, $3, $4)", "itti",
			    stream, who, said, at_ms);
}

const struct store_side_ops store_sides_postgres = {
	.list = list,
	.begin = begin,
	.over = over,
	.end = end,
};
