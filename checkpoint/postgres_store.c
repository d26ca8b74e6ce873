#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "checkpoint/postgres.h"

#define LETTERS_PAGE    32 /* a letter holds a whole record, up to 400 KB and more */
#define ARRAY_BYTES_MAX ((size_t)512 << 20) /* ten million moves */

static struct postgres *postgres_of(struct store *s)
{
	return (struct postgres *)s;
}

/* --- array parameters, built as text: {1,2,NULL} --- */
#define ARRAY(name)                                                                                \
	__attribute__((cleanup(buf_release))) struct buf name = { .limit = ARRAY_BYTES_MAX }

static void array_next(struct buf *b)
{
	buf_text(b, b->size ? "," : "{");
}

static void array_int(struct buf *b, int64_t n)
{
	array_next(b);
	buf_printf(b, "%" PRId64, n);
}

static void array_bool(struct buf *b, bool value)
{
	array_next(b);
	buf_text(b, value ? "t" : "f");
}

static void array_sequence(struct buf *b, const struct sequence *q)
{
	char text[SEQUENCE_TEXT_SIZE];

	array_next(b);
	buf_text(b, sequence_is_none(q) ? "NULL" : sequence_text(q, text));
}

static void array_text(struct buf *b, const char *text)
{
	array_next(b);
	buf_text(b, "\"");
	for (; *text; text++) {
		char escaped[3] = { '\\', *text, 0 };

		buf_text(b, *text == '"' || *text == '\\' ? escaped : escaped + 1);
	}
	buf_text(b, "\"");
}

static void array_bytes(struct buf *b, struct str bytes)
{
	static const char digits[] = "0123456789abcdef";

	array_next(b);
	buf_text(b, "\"\\\\x");
	for (size_t i = 0; i < bytes.n;) {
		char hex[1025];
		size_t n = 0;

		for (; n < sizeof(hex) - 1 && i < bytes.n; i++) {
			hex[n++] = digits[(unsigned char)bytes.p[i] >> 4];
			hex[n++] = digits[bytes.p[i] & 15];
		}
		hex[n] = 0;
		buf_text(b, hex);
	}
	buf_text(b, "\"");
}

static const char *array_end(struct buf *b)
{
	buf_text(b, b->size ? "}" : "{}");
	return b->data;
}

static void array_sinks(struct buf *b, const int32_t *sinks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		array_int(b, sinks[i]);
}

/* --- results --- */
static int64_t value_int(const PGresult *res, int row, int column)
{
	return strtoll(PQgetvalue(res, row, column), NULL, 10);
}

static bool value_bool(const PGresult *res, int row, int column)
{
	return *PQgetvalue(res, row, column) == 't';
}

static bool value_sequence(struct sequence *out, const PGresult *res, int row, int column,
			   struct error *err)
{
	return store_sequence_parse(
		out, PQgetisnull(res, row, column) ? NULL : PQgetvalue(res, row, column), err);
}

/* --- sessions --- */
static bool session_begin(struct store *s, const char *id, const char *worker, const char *address,
			  struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.session_begin($1, $2, $3)", "ttt",
			    id, worker, address);
}

static bool session_beat(struct store *s, const char *id, struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.session_beat($1)", "t", id);
}

static bool sessions(struct store *s, struct store_session *out, size_t max, size_t *count,
		     struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT id, worker, address, beat, state FROM sluice.session "
				      "WHERE state <> 'buried' ORDER BY serial LIMIT $1",
				      "i", (int64_t)max);

	for (int i = 0; i < PQntuples(res); i++) {
		struct store_session *o = &out[(*count)++];

		snprintf(o->id, sizeof(o->id), "%s", PQgetvalue(res, i, 0));
		snprintf(o->worker, sizeof(o->worker), "%s", PQgetvalue(res, i, 1));
		snprintf(o->address, sizeof(o->address), "%s", PQgetvalue(res, i, 2));
		o->beat = value_int(res, i, 3);
		o->state = store_state_parse(PQgetvalue(res, i, 4));
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
static bool sink_id(struct store *s, const char *name, int32_t *id, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err, "SELECT sluice.sink_id($1)", "t", name);

	if (res)
		*id = (int32_t)value_int(res, 0, 0);
	return res != NULL;
}

static void read_stream(const PGresult *res, int row, struct store_stream *out)
{
	out->id = value_int(res, row, 0);
	out->generation = (uint64_t)value_int(res, row, 1);
	out->start_ms = value_int(res, row, 2);
	out->rooted = value_bool(res, row, 3);
}

static bool stream_find(struct store *s, const char *name, const char *arn, int64_t start_ms,
			struct store_stream *out, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT id, generation, start_ms, rooted, created "
				      "FROM sluice.stream_find($1, $2, $3)",
				      "tti", name, arn, start_ms);

	if (!res)
		return false;
	read_stream(res, 0, out);
	out->created = value_bool(res, 0, 4);
	return true;
}

static bool streams(struct store *s, store_stream_fn *fn, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT id, generation, start_ms, rooted, name, arn "
				      "FROM sluice.stream ORDER BY id",
				      "");
	struct store_stream stream = { 0 };

	for (int i = 0; i < PQntuples(res); i++) {
		read_stream(res, i, &stream);
		fn(arg, PQgetvalue(res, i, 4), PQgetvalue(res, i, 5), &stream);
	}
	return res != NULL;
}

/* --- lanes --- */

/* The ids do not come with the change that made them: what changes answers with little, so that a
 * client that stops reading cannot make the server hold its locks. */
static bool lane_ids(struct postgres *p, int64_t stream, const char *shards,
		     struct store_lane *lanes, size_t count, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		p, err,
		"SELECT l.id, l.owner FROM unnest($2::text[]) WITH ORDINALITY AS w (shard, n) "
		"JOIN sluice.lane l ON l.stream = $1 AND l.shard = w.shard ORDER BY w.n",
		"it", stream, shards);

	if (!res)
		return false;
	if ((size_t)PQntuples(res) != count)
		return error_set(err, ERROR_RETRY, "a lane went away while lanes were added");
	for (size_t i = 0; i < count; i++) {
		lanes[i].id = value_int(res, (int)i, 0);
		snprintf(lanes[i].owner, sizeof(lanes[i].owner), "%s", PQgetvalue(res, (int)i, 1));
	}
	return true;
}

static bool lanes_add(struct store *s, const char *session, int64_t stream,
		      struct store_lane *lanes, size_t count, const int32_t *sinks,
		      size_t sink_count, struct error *err)
{
	struct postgres *p = postgres_of(s);
	ARRAY(shards);
	ARRAY(parents);
	ARRAY(startings);
	ARRAY(roots);
	ARRAY(done);
	ARRAY(sink_ids);

	for (size_t i = 0; i < count; i++) {
		array_text(&shards, lanes[i].shard);
		array_text(&parents, lanes[i].parent);
		array_sequence(&startings, &lanes[i].starting);
		array_bool(&roots, lanes[i].root);
		array_bool(&done, lanes[i].done_unread);
	}
	array_sinks(&sink_ids, sinks, sink_count);
	return postgres_did(p, err, "SELECT sluice.lanes_add($1, $2, $3, $4, $5, $6, $7, $8)",
			    "titttttt", session, stream, array_end(&shards), array_end(&parents),
			    array_end(&startings), array_end(&roots), array_end(&done),
			    array_end(&sink_ids)) &&
	       lane_ids(p, stream, shards.data, lanes, count, err);
}

static bool lanes_claim(struct store *s, const char *session, int64_t stream, const int32_t *sinks,
			size_t sink_count, struct error *err)
{
	ARRAY(sink_ids);

	array_sinks(&sink_ids, sinks, sink_count);
	return postgres_did(postgres_of(s), err, "SELECT sluice.lanes_claim($1, $2, $3)", "tit",
			    session, stream, array_end(&sink_ids));
}

/* Lanes and positions come joined, so that they are of one moment: rows of one lane stand
 * together, and one without positions has a NULL sink. */
static bool lanes_list(struct store *s, int64_t stream, const char *owner, store_lane_fn *lane,
		       store_position_fn *position, void *arg, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT l.id, l.shard, l.parent, l.starting, l.root, l.read_at_ms, l.owner, "
		"p.sink, p.sequence, p.event_ms, p.done "
		"FROM sluice.lane l LEFT JOIN sluice.position p ON p.lane = l.id "
		"WHERE l.stream = $1 AND ($2::uuid IS NULL OR l.owner = $2) ORDER BY l.id, p.sink",
		"it", stream, owner);
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

static bool lanes_forget(struct store *s, const char *session, const int64_t *lanes, size_t count,
			 struct error *err)
{
	ARRAY(ids);

	for (size_t i = 0; i < count; i++)
		array_int(&ids, lanes[i]);
	return postgres_did(postgres_of(s), err, "SELECT sluice.lanes_forget($1, $2)", "tt",
			    session, array_end(&ids));
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

static bool save_all(struct store *s, const struct store_save *save, struct error *err)
{
	ARRAY(lanes);
	ARRAY(sinks);
	ARRAY(from);
	ARRAY(to);
	ARRAY(event_ms);
	ARRAY(done);
	ARRAY(roll_sinks);
	ARRAY(roll_numbers);
	ARRAY(roll_blobs);
	ARRAY(finished_sinks);
	ARRAY(finished_numbers);
	ARRAY(read);

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
	return postgres_did(postgres_of(s), err,
			    "SELECT sluice.save($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
			    "$13, $14, $15)",
			    "titttttttttttti", save->session, (int64_t)save->number,
			    array_end(&lanes), array_end(&sinks), array_end(&from), array_end(&to),
			    array_end(&event_ms), array_end(&done), array_end(&roll_sinks),
			    array_end(&roll_numbers), array_end(&roll_blobs),
			    array_end(&finished_sinks), array_end(&finished_numbers),
			    array_end(&read), save->read_at_ms);
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
			  uint64_t number, struct error *err)
{
	return postgres_did(postgres_of(s), err,
			    "DELETE FROM sluice.roll r USING sluice.sink k "
			    "WHERE k.id = r.sink AND r.session = $1 AND k.name = $2 "
			    "AND r.number = $3",
			    "tti", session, sink_name, (int64_t)number);
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
					      "ORDER BY id LIMIT $2",
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

static bool letter_drop(struct store *s, int64_t id, struct error *err)
{
	return postgres_did(postgres_of(s), err, "SELECT sluice.letter_drop($1)", "i", id);
}

const struct store_ops store_postgres = {
	.open = postgres_open,
	.close = postgres_close,
	.session_begin = session_begin,
	.session_beat = session_beat,
	.sessions = sessions,
	.session_kill = session_kill,
	.session_bury = session_bury,
	.sink = sink_id,
	.stream = stream_find,
	.streams = streams,
	.lanes_add = lanes_add,
	.lanes_claim = lanes_claim,
	.lanes_list = lanes_list,
	.lanes_forget = lanes_forget,
	.save = save_all,
	.rolls = rolls,
	.roll_finished = roll_finished,
	.letter_put = letter_put,
	.letters = letters,
	.letter_drop = letter_drop,
};
