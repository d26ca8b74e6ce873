#include <stdio.h>

#include "checkpoint/postgres.h"
#include "checkpoint/postgres_values.h"

#define LETTERS_PAGE 32 /* a letter holds a whole record, up to 400 KB and more */

/* --- sessions --- */
static bool session_begin(struct store *s, const char *id, const char *worker, const char *address,
			  int64_t lease_ms, struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.session_begin($1, $2, $3, $4)",
			    "ttti", id, worker, address, lease_ms);
}

static bool session_beat(struct store *s, const char *id, struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.session_beat($1)", "t", id);
}

static bool sessions(struct store *s, const char *near, struct store_session *out, size_t max,
		     size_t *count, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT id, worker, address, beat, state, lease_ms FROM sluice.session s "
		"WHERE state <> 'buried' AND ($2 = '' "
		"OR NOT EXISTS (SELECT FROM sluice.member m WHERE m.session = s.id) "
		"OR EXISTS (SELECT FROM sluice.member m JOIN sluice.member o USING (stream) "
		"WHERE m.session = s.id AND o.session = nullif($2, '')::uuid)) "
		"ORDER BY serial LIMIT $1",
		"it", (int64_t)max, near);

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_session *o = &out[(*count)++];

		snprintf(o->id, sizeof(o->id), "%s", PQgetvalue(res, i, 0));
		snprintf(o->worker, sizeof(o->worker), "%s", PQgetvalue(res, i, 1));
		snprintf(o->address, sizeof(o->address), "%s", PQgetvalue(res, i, 2));
		o->beat = value_int(res, i, 3);
		o->state = store_state_parse(PQgetvalue(res, i, 4));
		o->lease_ms = value_int(res, i, 5);
	}
	return res != NULL;
}

static bool session_kill(struct store *s, const char *id, int64_t beat, bool *done,
			 struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err, "SELECT sluice.session_kill($1, $2)",
				      "ti", id, beat);

	*done = res && value_bool(res, 0, 0);
	return res != NULL;
}

static bool session_bury(struct store *s, const char *id, struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.session_bury($1)", "t", id);
}

/* --- sinks and streams --- */
static bool sinks(struct store *s, store_sink_fn *fn, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT id, name FROM sluice.sink ORDER BY id", "");

	for (int i = 0; i < PQntuples(res); i++)
		fn(arg, (int32_t)value_int(res, i, 0), PQgetvalue(res, i, 1));
	return res != NULL;
}

static bool sink_id(struct store *s, const char *name, int32_t *id, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err, "SELECT sluice.sink_id($1)", "t", name);

	if (res)
		*id = (int32_t)value_int(res, 0, 0);
	return res != NULL;
}

#define STREAM_COLUMNS                                                                             \
	"SELECT s.id, s.generation, s.start_ms, s.rooted, s.name, s.arn, s.epoch, "                \
	"coalesce((SELECT max(x.at_ms) FROM sluice.audit x WHERE x.stream = s.id "                 \
	"AND x.what = 'reset'), 0), " POSTGRES_HOLD " FROM sluice.stream s "                       \
	"LEFT JOIN sluice.audit a ON a.id = s.hold "

static bool read_stream(const PGresult *res, int row, struct store_stream *out, struct error *err)
{
	out->id = value_int(res, row, 0);
	out->generation = (uint64_t)value_int(res, row, 1);
	out->start_ms = value_int(res, row, 2);
	out->rooted = value_bool(res, row, 3);
	out->epoch = value_int(res, row, 6);
	out->reset_ms = value_int(res, row, 7);
	return postgres_hold_at(res, row, 8, &out->hold, err);
}

/* Making it is one call, and reading how it is now another. */
static bool stream_find(struct store *s, const char *name, const char *arn, int64_t start_ms,
			const struct store_hold *hold, struct store_stream *out, struct error *err)
{
	AUTO(pg_result) PGresult *made = NULL;
	AUTO(pg_result) PGresult *res = NULL;

	if (hold)
		made = postgres_call(postgres_of(s), err,
				     "SELECT sluice.stream_find_held($1, $2, $3, $4, $5, $6)",
				     "ttttti", name, arn, store_hold_why_name(hold->why), hold->who,
				     hold->said, hold->since_ms);
	else
		made = postgres_call(postgres_of(s), err,
				     "SELECT created FROM sluice.stream_find($1, $2, $3)", "tti",
				     name, arn, start_ms);
	if (made)
		res = postgres_call(postgres_of(s), err,
				    STREAM_COLUMNS "WHERE s.name = $1 AND s.arn = $2", "tt", name,
				    arn);
	if (!res)
		return false;
	out->created = value_bool(made, 0, 0);
	return read_stream(res, 0, out, err);
}

static bool streams(struct store *s, store_stream_fn *fn, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err,
			      STREAM_COLUMNS "WHERE NOT EXISTS ("
					     "SELECT FROM sluice.export e WHERE e.lanes = s.id) "
					     "ORDER BY s.id",
			      "");
	struct store_stream stream = { 0 };

	for (int i = 0; i < PQntuples(res); i++) {
		if (!read_stream(res, i, &stream, err))
			return false;
		fn(arg, PQgetvalue(res, i, 4), PQgetvalue(res, i, 5), &stream);
	}
	return res != NULL;
}

static bool twins(struct store *s, const char *session, store_twin_fn *fn, void *arg,
		  struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT s.name, t.name FROM sluice.member m "
				      "JOIN sluice.stream s ON s.id = m.stream "
				      "JOIN sluice.stream t ON t.arn = s.arn AND t.id <> s.id "
				      "WHERE m.session = $1 AND EXISTS ("
				      "SELECT FROM sluice.member o JOIN sluice.session x "
				      "ON x.id = o.session AND x.state = 'live' "
				      "WHERE o.stream = t.id) AND NOT EXISTS ("
				      "SELECT FROM sluice.side d WHERE d.stream IN (s.id, t.id)) "
				      "ORDER BY s.name, t.name",
				      "t", session);

	for (int i = 0; i < PQntuples(res); i++)
		fn(arg, PQgetvalue(res, i, 0), PQgetvalue(res, i, 1));
	return res != NULL;
}

/* --- saves and rolls --- */
static void array_rolls(const struct store_roll *rolls, size_t count, struct buf *sinks,
			struct buf *numbers)
{
	for (size_t i = 0; i < count; i++) {
		array_int(sinks, rolls[i].sink);
		array_int(numbers, (int64_t)rolls[i].number);
	}
}

#define SAVE_TYPES      "titttttttttttti"
#define SAVE_PARAMETERS "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15"

/* The function that knows all of what is in it, and its parameters' types: those before have fewer.
 */
static void save_call(const struct store_save *save, const char **sql, const char **types)
{
	if (save->pending_count) {
		*sql = "SELECT sluice.save_pending(" SAVE_PARAMETERS
		       ", $16, $17, $18, $19, $20, $21, $22)";
		*types = SAVE_TYPES "ttttttt";
	} else if (save->file_count) {
		*sql = "SELECT sluice.save_files(" SAVE_PARAMETERS ", $16, $17, $18)";
		*types = SAVE_TYPES "ttt";
	} else {
		*sql = "SELECT sluice.save(" SAVE_PARAMETERS ")";
		*types = SAVE_TYPES;
	}
}

static bool save_all(struct store *s, const struct store_save *save, struct error *err)
{
	POSTGRES_ARRAY(lanes);
	POSTGRES_ARRAY(sinks);
	POSTGRES_ARRAY(from);
	POSTGRES_ARRAY(to);
	POSTGRES_ARRAY(event_ms);
	POSTGRES_ARRAY(done);
	POSTGRES_ARRAY(roll_sinks);
	POSTGRES_ARRAY(roll_numbers);
	POSTGRES_ARRAY(roll_blobs);
	POSTGRES_ARRAY(finished_sinks);
	POSTGRES_ARRAY(finished_numbers);
	POSTGRES_ARRAY(read);
	POSTGRES_ARRAY(files);
	POSTGRES_ARRAY(records);
	POSTGRES_ARRAY(bytes);
	POSTGRES_ARRAY(pending_lanes);
	POSTGRES_ARRAY(pending_sinks);
	POSTGRES_ARRAY(pending_to);
	POSTGRES_ARRAY(pending_ms);
	const char *sql, *types;

	save_call(save, &sql, &types);
	for (size_t i = 0; i < save->move_count; i++) {
		const struct store_move *m = &save->moves[i];

		array_int(&lanes, m->lane);
		array_int(&sinks, m->sink);
		array_sequence(&from, &m->from);
		array_sequence(&to, &m->to);
		array_int(&event_ms, m->event_ms);
		array_bool(&done, m->done);
	}
	array_rolls(save->rolls, save->roll_count, &roll_sinks, &roll_numbers);
	for (size_t i = 0; i < save->roll_count; i++)
		array_bytes(&roll_blobs, save->rolls[i].blob);
	array_rolls(save->finished, save->finished_count, &finished_sinks, &finished_numbers);
	for (size_t i = 0; i < save->read_count; i++)
		array_int(&read, save->read_lanes[i]);
	for (size_t i = 0; i < save->file_count; i++) {
		array_int(&files, save->files[i].lane);
		array_int(&records, (int64_t)save->files[i].records);
		array_int(&bytes, (int64_t)save->files[i].bytes);
	}
	for (size_t i = 0; i < save->pending_count; i++) {
		array_int(&pending_lanes, save->pending[i].lane);
		array_int(&pending_sinks, save->pending[i].sink);
		array_sequence(&pending_to, &save->pending[i].to);
		array_int(&pending_ms, save->pending[i].event_ms);
	}
	return postgres_did(
		postgres_of(s), err, sql, types, save->session, (int64_t)save->number,
		array_end(&lanes), array_end(&sinks), array_end(&from), array_end(&to),
		array_end(&event_ms), array_end(&done), array_end(&roll_sinks),
		array_end(&roll_numbers), array_end(&roll_blobs), array_end(&finished_sinks),
		array_end(&finished_numbers), array_end(&read), save->read_at_ms, array_end(&files),
		array_end(&records), array_end(&bytes), array_end(&pending_lanes),
		array_end(&pending_sinks), array_end(&pending_to), array_end(&pending_ms));
}

static bool rolls(struct store *s, const char *session, store_roll_fn *fn, void *arg,
		  struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT k.name, r.number, r.blob FROM sluice.roll r "
				      "JOIN sluice.sink k ON k.id = r.sink WHERE r.session = $1 "
				      "ORDER BY r.sink, r.number",
				      "t", session);

	for (int i = 0; i < PQntuples(res); i++) {
		size_t size;
		unsigned char *bytes =
			PQunescapeBytea((const unsigned char *)PQgetvalue(res, i, 2), &size);

		fn(arg, PQgetvalue(res, i, 0), (uint64_t)value_int(res, i, 1),
		   (struct str){ (const char *)bytes, size });
		PQfreemem(bytes);
	}
	return res != NULL;
}

static bool roll_finished(struct store *s, const char *session, const char *sink_name,
			  uint64_t number, bool committed, struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.roll_finished($1, $2, $3, $4)",
			    "ttit", session, sink_name, (int64_t)number,
			    committed ? "true" : "false");
}

/* --- dead letters --- */
static bool letter_put(struct store *s, const struct store_letter *l, int64_t max_bytes,
		       struct error *err)
{
	return postgres_did(postgres_of(s), err,
			    "SELECT sluice.letter_put($1, $2, $3, $4, $5, $6, $7)", "tttttsi",
			    l->stream, l->sink, l->shard, l->sequence, l->reason, l->json,
			    max_bytes);
}

static bool letters(struct store *s, store_letter_fn *fn, void *arg, struct error *err)
{
	int64_t last = 0;

	for (int rows = LETTERS_PAGE; rows == LETTERS_PAGE;) {
		AUTO(pg_result)
		PGresult *res = postgres_call(postgres_of(s), err,
					      "SELECT id, json FROM sluice.letter WHERE id > $1 "
					      "AND json <> '' ORDER BY id LIMIT $2",
					      "ii", last, (int64_t)LETTERS_PAGE);

		if (!res)
			return false;
		rows = PQntuples(res);
		for (int i = 0; i < rows; i++) {
			last = value_int(res, i, 0);
			fn(arg, last,
			   (struct str){ PQgetvalue(res, i, 1), (size_t)PQgetlength(res, i, 1) });
		}
	}
	return true;
}

static bool letters_count(struct store *s, uint64_t *count, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT count(*) FROM sluice.letter WHERE json <> ''", "");

	if (res)
		*count = (uint64_t)value_int(res, 0, 0);
	return res != NULL;
}

static bool letter_drop(struct store *s, int64_t id, struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.letter_drop($1)", "i", id);
}

const struct store_ops store_postgres = {
	.place = postgres_place,
	.open = postgres_open,
	.close = postgres_close,
	.session_begin = session_begin,
	.session_beat = session_beat,
	.sessions = sessions,
	.session_kill = session_kill,
	.session_bury = session_bury,
	.sink = sink_id,
	.sinks = sinks,
	.stream = stream_find,
	.streams = streams,
	.hold = postgres_stream_hold,
	.owned = postgres_stream_owned,
	.reset = postgres_stream_reset,
	.rewind = postgres_stream_rewind,
	.go_on = postgres_stream_go_on,
	.audit = postgres_audit,
	.sinks_start = postgres_sinks_start,
	.join = postgres_join,
	.leave = postgres_leave,
	.twins = twins,
	.round = postgres_round,
	.lanes_add = postgres_lanes_add,
	.lanes_claim = postgres_lanes_claim,
	.lanes_list = postgres_lanes_list,
	.unheld = postgres_unheld,
	.lanes_wish = postgres_lanes_wish,
	.lanes_release = postgres_lanes_release,
	.shards = postgres_shards,
	.tidy = postgres_tidy,
	.save = save_all,
	.rolls = rolls,
	.roll_finished = roll_finished,
	.letter_put = letter_put,
	.letters = letters,
	.letters_count = letters_count,
	.letter_drop = letter_drop,
	.gap_put = postgres_gap_put,
	.gaps = postgres_gaps,
	.gaps_accept = postgres_gaps_accept,
	.gaps_accepted = postgres_gaps_accepted,
	.gap_close = postgres_gap_close,
	.exports = &store_exports_postgres,
	.control = &store_control_postgres,
	.savepoints = &store_savepoints_postgres,
	.letter = &store_letters_postgres,
	.sides = &store_sides_postgres,
};
