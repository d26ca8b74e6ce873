#include <stdio.h>
#include <stdlib.h>

#include "checkpoint/postgres.h"
#include "checkpoint/postgres_values.h"

#define SHARDS_PAGE 10000

/* --- members --- */

/* What counts is asked for by a call of its own: what changes answers with little. */
static bool starts_now(struct postgres *p, int64_t stream, struct store_start *starts, size_t count,
		       struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		p, err, "SELECT sink, start_ms, at_ms FROM sluice.sink_start WHERE stream = $1",
		"i", stream);

	for (size_t i = 0; i < count; i++) {
		starts[i].start_ms = STORE_START_LATEST;
		starts[i].at_ms = 0;
		for (int row = 0; row < PQntuples(res); row++) {
			if (value_int(res, row, 0) != starts[i].sink)
				continue;
			starts[i].start_ms = value_int(res, row, 1);
			starts[i].at_ms = value_int(res, row, 2);
		}
	}
	return res != NULL;
}

bool postgres_sinks_start(struct store *s, int64_t stream, struct store_start *starts, size_t count,
			  int64_t at_ms, struct error *err)
{
	struct postgres *p = postgres_of(s);
	POSTGRES_ARRAY(sinks);
	POSTGRES_ARRAY(times);

	for (size_t i = 0; i < count; i++) {
		array_int(&sinks, starts[i].sink);
		array_int(&times, starts[i].start_ms);
	}
	return postgres_did(p, err, "SELECT sluice.sinks_start($1, $2, $3, $4, $5)", "ittii",
			    stream, array_end(&sinks), array_end(&times), at_ms, STORE_KEPT_MS) &&
	       starts_now(p, stream, starts, count, err);
}

bool postgres_join(struct store *s, const char *session, int64_t stream, int64_t epoch,
		   const int32_t *sinks, size_t count, struct error *err)
{
	POSTGRES_ARRAY(sink_ids);

	array_sinks(&sink_ids, sinks, count);
	return postgres_did(postgres_of(s), err, "SELECT sluice.stream_join_at($1, $2, $3, $4)",
			    "tiit", session, stream, epoch, array_end(&sink_ids));
}

bool postgres_leave(struct store *s, const char *session, int64_t stream, struct error *err)
{
	return postgres_did(postgres_of(s), err,
			    "WITH gone AS (DELETE FROM sluice.member "
			    "WHERE stream = $1 AND session = $2) "
			    "UPDATE sluice.stream SET lister = NULL WHERE id = $1 AND lister = $2",
			    "it", stream, session);
}

enum round_column {
	ROUND_KIND,
	ROUND_STREAM,
	ROUND_SESSION,
	ROUND_LANE,
	ROUND_HELD,
	ROUND_HELD_SUM,
	ROUND_LEAVING,
	ROUND_COMING,
	ROUND_CLAIMABLE,
	ROUND_ROOTED,
	ROUND_SERVED,
	ROUND_LISTER,
	ROUND_VACANT,
	ROUND_STALE,
	ROUND_HOLD,
	ROUND_WHY,
};

/* One statement, one moment: the round is that of the first 2.x, which knows no holds. */
static PGresult *look(struct store *s, const char *session, struct error *err)
{
	return postgres_call(
		postgres_of(s), err,
		"SELECT r.kind, r.stream, r.session, r.lane, r.held, r.held_sum, r.leaving, "
		"r.coming, CASE WHEN s.hold IS NULL AND m.epoch = s.epoch "
		"THEN r.claimable ELSE 0 END, r.rooted, r.served, r.lister, r.vacant, "
		"m.epoch <> s.epoch, s.hold, a.why FROM sluice.round($1, $2) r "
		"LEFT JOIN sluice.member m ON m.stream = r.stream AND m.session = r.session "
		"LEFT JOIN sluice.stream s ON s.id = m.stream "
		"LEFT JOIN sluice.audit a ON a.id = s.hold "
		"ORDER BY strpos('smw', r.kind), r.stream, r.session, r.lane",
		"ti", session, (int64_t)STORE_WANTED_MAX);
}

static bool any_vacant(const PGresult *res)
{
	for (int i = 0; i < PQntuples(res); i++)
		if (value_bool(res, i, ROUND_VACANT))
			return true;
	return false;
}

static bool tell_stream(const PGresult *res, int row, const struct store_round_fns *fns, void *arg,
			struct error *err)
{
	struct store_round_stream r = {
		.stream = value_int(res, row, ROUND_STREAM),
		.rooted = value_bool(res, row, ROUND_ROOTED),
		.served = value_bool(res, row, ROUND_SERVED),
		.lister = value_bool(res, row, ROUND_LISTER),
		.claimable = (uint32_t)value_int(res, row, ROUND_CLAIMABLE),
		.held = (uint32_t)value_int(res, row, ROUND_HELD),
		.held_sum = strtoull(PQgetvalue(res, row, ROUND_HELD_SUM), NULL, 10),
		.stale = value_bool(res, row, ROUND_STALE),
		.hold = value_int(res, row, ROUND_HOLD),
	};

	if (!store_hold_parse(PQgetvalue(res, row, ROUND_WHY), &r.hold_why, err))
		return false;
	fns->stream(arg, &r);
	return true;
}

static void tell_member(const PGresult *res, int row, const struct store_round_fns *fns, void *arg)
{
	struct store_round_member m = {
		.stream = value_int(res, row, ROUND_STREAM),
		.served = value_bool(res, row, ROUND_SERVED),
		.stream_held = value_int(res, row, ROUND_HOLD) != 0,
		.held = (uint32_t)value_int(res, row, ROUND_HELD),
		.leaving = (uint32_t)value_int(res, row, ROUND_LEAVING),
		.coming = (uint32_t)value_int(res, row, ROUND_COMING),
	};

	snprintf(m.session, sizeof(m.session), "%s", PQgetvalue(res, row, ROUND_SESSION));
	fns->member(arg, &m);
}

/* What is empty is taken by a call of its own, which is rare: the look may answer with much, and
 * what changes must not wait for a client to read. */
bool postgres_round(struct store *s, const char *session, const struct store_round_fns *fns,
		    void *arg, struct error *err)
{
	AUTO(pg_result) PGresult *res = look(s, session, err);

	if (any_vacant(res)) {
		PQclear(res);
		res = NULL;
		if (!postgres_did(postgres_of(s), err, "SELECT sluice.round_take($1)", "t",
				  session))
			return false;
		res = look(s, session, err);
	}
	for (int i = 0; i < PQntuples(res); i++) {
		switch (*PQgetvalue(res, i, ROUND_KIND)) {
		case 's':
			if (!tell_stream(res, i, fns, arg, err))
				return false;
			break;
		case 'm':
			tell_member(res, i, fns, arg);
			break;
		default:
			fns->wanted(arg, value_int(res, i, ROUND_STREAM),
				    value_int(res, i, ROUND_LANE));
		}
	}
	return res != NULL;
}

/* --- lanes --- */

/* Of a lane l. */
#define WAITS                                                                                      \
	"EXISTS (SELECT FROM sluice.lane u WHERE u.stream = l.stream AND u.shard = l.parent "      \
	"AND NOT u.done)"
#define BEGUN                                                                                      \
	"(l.done OR l.read_at_ms > 0 OR EXISTS (SELECT FROM sluice.position p "                    \
	"WHERE p.lane = l.id AND (p.sequence IS NOT NULL OR p.done)))"

/* The ids do not come with the change that made them: what changes answers with little, so that a
 * client that stops reading cannot make the server hold its locks. */
static bool lane_ids(struct postgres *p, int64_t stream, const char *shards,
		     struct store_lane *lanes, size_t count, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(p, err,
				      "SELECT l.id, l.owner, l.done, " WAITS ", " BEGUN ", l.root "
				      "FROM unnest($2::text[]) WITH ORDINALITY AS w (shard, n) "
				      "JOIN sluice.lane l ON l.stream = $1 AND l.shard = w.shard "
				      "ORDER BY w.n",
				      "it", stream, shards);

	if (!res)
		return false;
	if ((size_t)PQntuples(res) != count)
		return error_set(err, ERROR_RETRY, "a lane went away while lanes were added");
	for (size_t i = 0; i < count; i++) {
		lanes[i].id = value_int(res, (int)i, 0);
		snprintf(lanes[i].owner, sizeof(lanes[i].owner), "%s", PQgetvalue(res, (int)i, 1));
		lanes[i].done = value_bool(res, (int)i, 2);
		lanes[i].waits = value_bool(res, (int)i, 3);
		lanes[i].begun = value_bool(res, (int)i, 4);
		lanes[i].root = value_bool(res, (int)i, 5);
	}
	return true;
}

bool postgres_lanes_add(struct store *s, const char *session, int64_t stream, int64_t epoch,
			bool own, struct store_lane *lanes, size_t count, const int32_t *sinks,
			size_t sink_count, struct error *err)
{
	struct postgres *p = postgres_of(s);
	POSTGRES_ARRAY(shards);
	POSTGRES_ARRAY(parents);
	POSTGRES_ARRAY(startings);
	POSTGRES_ARRAY(roots);
	POSTGRES_ARRAY(done);
	POSTGRES_ARRAY(sink_ids);

	for (size_t i = 0; i < count; i++) {
		array_text(&shards, lanes[i].shard);
		array_text(&parents, lanes[i].parent);
		array_sequence(&startings, &lanes[i].starting);
		array_bool(&roots, lanes[i].root);
		array_bool(&done, lanes[i].done_unread);
	}
	array_sinks(&sink_ids, sinks, sink_count);

	AUTO(pg_result)
	PGresult *res = postgres_call(
		p, err, "SELECT sluice.lanes_put($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		"tiittttttt", session, stream, epoch, own ? "t" : "f", array_end(&shards),
		array_end(&parents), array_end(&startings), array_end(&roots), array_end(&done),
		array_end(&sink_ids));

	if (!res)
		return false;
	if (value_bool(res, 0, 0))
		return lane_ids(p, stream, shards.data, lanes, count, err);
	for (size_t i = 0; i < count; i++)
		lanes[i].id = 0;
	return true;
}

bool postgres_lanes_claim(struct store *s, const char *session, int64_t stream,
			  const int32_t *sinks, size_t sink_count, uint32_t max, int64_t *claim,
			  struct error *err)
{
	POSTGRES_ARRAY(sink_ids);

	array_sinks(&sink_ids, sinks, sink_count);
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err, "SELECT sluice.lanes_claim($1, $2, $3, $4)",
			      "titi", session, stream, array_end(&sink_ids), (int64_t)max);

	if (res)
		*claim = value_int(res, 0, 0);
	return res != NULL;
}

/* Lanes and positions come joined, so that they are of one moment: rows of one lane stand
 * together, and one without positions has a NULL sink. */
bool postgres_lanes_list(struct store *s, int64_t stream, const struct store_of *of,
			 store_lane_fn *lane, store_position_fn *position, void *arg,
			 struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err,
			      "SELECT l.id, l.shard, l.parent, l.starting, l.root, "
			      "CASE WHEN l.read_at_ms = 0 AND $2::uuid IS NOT NULL THEN "
			      "(SELECT max(r.read_at_ms) FROM sluice.lane r WHERE r.stream = $1) "
			      "ELSE l.read_at_ms END, l.owner, p.sink, p.sequence, p.event_ms, "
			      "p.done, l.done, " WAITS ", l.read_at_ms > 0 "
			      "FROM sluice.lane l LEFT JOIN sluice.position p ON p.lane = l.id "
			      "WHERE l.stream = $1 AND ($2::uuid IS NULL OR l.owner = $2) "
			      "AND ($3::bigint = 0 OR l.claim = $3) ORDER BY l.id, p.sink",
			      "iti", stream, of->owner, of->claim);
	int64_t last = -1;

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_lane l = { .id = value_int(res, i, 0) };

		if (l.id == last)
			continue;
		last = l.id;
		snprintf(l.shard, sizeof(l.shard), "%s", PQgetvalue(res, i, 1));
		snprintf(l.parent, sizeof(l.parent), "%s", PQgetvalue(res, i, 2));
		if (!value_sequence(&l.starting, res, i, 3, err))
			return false;
		l.root = value_bool(res, i, 4);
		l.read_at_ms = value_int(res, i, 5);
		snprintf(l.owner, sizeof(l.owner), "%s", PQgetvalue(res, i, 6));
		l.done = value_bool(res, i, 11);
		l.waits = value_bool(res, i, 12);
		l.was_read = value_bool(res, i, 13);
		lane(arg, &l);
	}
	for (int i = 0; i < PQntuples(res); i++) {
		struct store_position p = { .lane = value_int(res, i, 0) };

		if (PQgetisnull(res, i, 7))
			continue;
		p.sink = (int32_t)value_int(res, i, 7);
		if (!value_sequence(&p.sequence, res, i, 8, err))
			return false;
		p.event_ms = value_int(res, i, 9);
		p.done = value_bool(res, i, 10);
		position(arg, &p);
	}
	return res != NULL;
}

bool postgres_unheld(struct store *s, int64_t stream, store_unheld_fn *fn, void *arg,
		     struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT l.shard, (SELECT min(p.event_ms) FROM sluice.position p "
		"WHERE p.lane = l.id AND NOT p.done "
		"AND (s.sinks IS NULL OR p.sink = ANY (s.sinks))), l.read_at_ms "
		"FROM sluice.lane l JOIN sluice.stream s ON s.id = l.stream "
		"WHERE l.stream = $1 AND NOT l.done AND (l.owner IS NULL OR NOT EXISTS ("
		"SELECT FROM sluice.session o WHERE o.id = l.owner AND o.state = 'live')) "
		"AND NOT " WAITS,
		"i", stream);

	for (int i = 0; i < PQntuples(res); i++)
		fn(arg, PQgetvalue(res, i, 0), value_int(res, i, 1), value_int(res, i, 2));
	return res != NULL;
}

bool postgres_lanes_wish(struct store *s, const char *session, const char *from, int64_t stream,
			 uint32_t max, uint32_t *wished, struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err, "SELECT sluice.lanes_wish($1, $2, $3, $4)",
			      "ttii", session, from, stream, (int64_t)max);

	if (res)
		*wished = (uint32_t)value_int(res, 0, 0);
	return res != NULL;
}

bool postgres_lanes_release(struct store *s, const char *session, const int64_t *lanes,
			    size_t count, struct error *err)
{
	POSTGRES_ARRAY(ids);

	array_ints(&ids, lanes, count);
	return postgres_did(postgres_of(s), err, "SELECT sluice.lanes_release($1, $2)", "tt",
			    session, array_end(&ids));
}

bool postgres_shards(struct store *s, int64_t stream, int64_t after, store_shard_fn *fn, void *arg,
		     struct error *err)
{
	for (int rows = SHARDS_PAGE; rows == SHARDS_PAGE;) {
		AUTO(pg_result)
		PGresult *res = postgres_call(postgres_of(s), err,
					      "SELECT id, shard, parent, done FROM sluice.lane "
					      "WHERE stream = $1 AND id > $2 ORDER BY id LIMIT $3",
					      "iii", stream, after, (int64_t)SHARDS_PAGE);

		if (!res)
			return false;
		rows = PQntuples(res);
		for (int i = 0; i < rows; i++) {
			after = value_int(res, i, 0);
			fn(arg, after, PQgetvalue(res, i, 1), PQgetvalue(res, i, 2),
			   value_bool(res, i, 3));
		}
	}
	return true;
}

bool postgres_tidy(struct store *s, int64_t stream, int64_t before_ms, uint32_t *removed,
		   struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err, "SELECT sluice.tidy($1, $2, $3, $4)",
				      "iiii", stream, before_ms, (int64_t)STORE_TIDY_MAX,
				      (int64_t)STORE_BURIED_MAX);

	if (res)
		*removed = (uint32_t)value_int(res, 0, 0);
	return res != NULL;
}
