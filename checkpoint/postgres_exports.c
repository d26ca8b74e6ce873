#include <stdio.h>
#include <stdlib.h>

#include "checkpoint/postgres.h"
#include "checkpoint/postgres_values.h"

#define FILES_PAGE 10000

/* Calls a function that answers with one boolean. */
#define did(done, ...)                                                                             \
	({                                                                                         \
		AUTO(pg_result) PGresult *res_ = postgres_call(__VA_ARGS__);                       \
		if (res_)                                                                          \
			*(done) = value_bool(res_, 0, 0);                                          \
		res_ != NULL;                                                                      \
	})

static bool begin(struct store *s, const char *session, struct store_export *e, int64_t at_ms,
		  bool *created, struct error *err)
{
	const char *kind = store_export_kind_name(e->kind);
	AUTO(pg_result)
	PGresult *res = postgres_call(
		postgres_of(s), err,
		"SELECT id, generation, number, status, attempt, created "
		"FROM sluice.export_begin($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
		"titttiiitti", session, e->stream, e->table_arn, e->name, kind, e->from_ms,
		e->to_ms, (int64_t)e->generation, e->view ? e->view : "",
		e->manifest ? e->manifest : "", at_ms);

	if (!res)
		return false;
	e->id = 0;
	if (PQntuples(res) == 0)
		return true;
	e->id = value_int(res, 0, 0);
	e->generation = (uint64_t)value_int(res, 0, 1);
	e->number = (uint64_t)value_int(res, 0, 2);
	e->attempt = (uint32_t)value_int(res, 0, 4);
	*created = value_bool(res, 0, 5);
	return store_export_parse(e, kind, PQgetvalue(res, 0, 3), err);
}

static bool take(struct store *s, const char *session, int64_t export, bool *mine,
		 struct error *err)
{
	return did(mine, postgres_of(s), err, "SELECT sluice.export_take($1, $2)", "ti", session,
		   export);
}

static bool attempt(struct store *s, const char *session, int64_t export,
		    struct store_attempt_made *made, int64_t at_ms, bool *done, struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err,
			      "SELECT attempt, token FROM sluice.export_try($1, $2, $3, $4, $5)",
			      "tiiti", session, export, (int64_t)made->attempt, made->token, at_ms);

	if (!res || PQntuples(res) == 0)
		return res != NULL;
	*done = true;
	made->attempt = (uint32_t)value_int(res, 0, 0);
	snprintf(made->token, sizeof(made->token), "%s", PQgetvalue(res, 0, 1));
	return true;
}

static bool submitted(struct store *s, const char *session, int64_t export, uint32_t number,
		      const char *arn, int64_t at_ms, bool *done, struct error *err)
{
	return did(done, postgres_of(s), err, "SELECT sluice.export_submitted($1, $2, $3, $4, $5)",
		   "tiiti", session, export, (int64_t)number, arn, at_ms);
}

static bool exported(struct store *s, const char *session, int64_t export, uint32_t number,
		     const struct store_exported *what, int64_t at_ms, bool *done,
		     struct error *err)
{
	return did(done, postgres_of(s), err,
		   "SELECT sluice.export_exported($1, $2, $3, $4, $5, $6, $7, $8)", "tiitiiii",
		   session, export, (int64_t)number, what->manifest, (int64_t)what->files,
		   (int64_t)what->items, (int64_t)what->billed_bytes, at_ms);
}

static bool failed(struct store *s, const char *session, int64_t export, uint32_t number,
		   const char *error, int64_t retry_at_ms, int64_t at_ms, bool *done,
		   struct error *err)
{
	return did(done, postgres_of(s), err, "SELECT sluice.export_failed($1, $2, $3, $4, $5, $6)",
		   "tiitii", session, export, (int64_t)number, error, retry_at_ms, at_ms);
}

static bool finish(struct store *s, const char *session, int64_t export, int64_t at_ms, bool *done,
		   struct error *err)
{
	return did(done, postgres_of(s), err, "SELECT sluice.export_finish($1, $2, $3)", "tii",
		   session, export, at_ms);
}

static bool published(struct store *s, const char *session, int64_t export, int64_t at_ms,
		      bool *first, struct error *err)
{
	return did(first, postgres_of(s), err, "SELECT sluice.export_published($1, $2, $3)", "tii",
		   session, export, at_ms);
}

static bool abandon(struct store *s, int64_t export, const char *error, int64_t at_ms, bool *done,
		    struct error *err)
{
	return did(done, postgres_of(s), err, "SELECT sluice.export_abandon($1, $2, $3)", "iti",
		   export, error, at_ms);
}

enum export_column {
	EXPORT_ID,
	EXPORT_STREAM,
	EXPORT_TABLE_ARN,
	EXPORT_NAME,
	EXPORT_KIND,
	EXPORT_FROM,
	EXPORT_TO,
	EXPORT_GENERATION,
	EXPORT_NUMBER,
	EXPORT_STATUS,
	EXPORT_ATTEMPT,
	EXPORT_TOKEN,
	EXPORT_ARN,
	EXPORT_MANIFEST,
	EXPORT_RETRY_AT,
	EXPORT_ERROR,
	EXPORT_DRIVER,
	EXPORT_BEGUN,
	EXPORT_SUBMITTED,
	EXPORT_EXPORTED,
	EXPORT_FINISHED,
	EXPORT_PUBLISHED,
	EXPORT_ITEMS,
	EXPORT_BILLED_BYTES,
	EXPORT_FILES,
	EXPORT_FILES_DONE,
	EXPORT_FILES_FAILED,
	EXPORT_FILES_HELD,
	EXPORT_RECORDS,
	EXPORT_BYTES,
	EXPORT_LANES,
	EXPORT_VIEW,
	EXPORT_BATCH,
	EXPORT_ENDS_BATCH,
};

static bool tell_export(const PGresult *res, int row, store_export_fn *fn, void *arg,
			struct error *err)
{
#define N(column) value_int(res, row, column)
#define U(column) ((uint64_t)value_int(res, row, column))
#define T(column) PQgetvalue(res, row, column)
	struct store_export e = { .id = N(EXPORT_ID),
				  .stream = N(EXPORT_STREAM),
				  .table_arn = T(EXPORT_TABLE_ARN),
				  .name = T(EXPORT_NAME),
				  .from_ms = N(EXPORT_FROM),
				  .to_ms = N(EXPORT_TO),
				  .generation = U(EXPORT_GENERATION),
				  .number = U(EXPORT_NUMBER),
				  .attempt = (uint32_t)N(EXPORT_ATTEMPT),
				  .token = T(EXPORT_TOKEN),
				  .arn = T(EXPORT_ARN),
				  .manifest = T(EXPORT_MANIFEST),
				  .retry_at_ms = N(EXPORT_RETRY_AT),
				  .error = T(EXPORT_ERROR),
				  .begun_ms = N(EXPORT_BEGUN),
				  .submitted_ms = N(EXPORT_SUBMITTED),
				  .exported_ms = N(EXPORT_EXPORTED),
				  .finished_ms = N(EXPORT_FINISHED),
				  .published_ms = N(EXPORT_PUBLISHED),
				  .items = U(EXPORT_ITEMS),
				  .billed_bytes = U(EXPORT_BILLED_BYTES),
				  .files = U(EXPORT_FILES),
				  .files_done = U(EXPORT_FILES_DONE),
				  .files_failed = U(EXPORT_FILES_FAILED),
				  .files_held = U(EXPORT_FILES_HELD),
				  .records = U(EXPORT_RECORDS),
				  .bytes = U(EXPORT_BYTES),
				  .lanes = N(EXPORT_LANES),
				  .view = T(EXPORT_VIEW),
				  .batch = N(EXPORT_BATCH),
				  .ends_batch = value_bool(res, row, EXPORT_ENDS_BATCH) };

	snprintf(e.driver, sizeof(e.driver), "%s", T(EXPORT_DRIVER));
	if (!store_export_parse(&e, T(EXPORT_KIND), T(EXPORT_STATUS), err))
		return false;
	fn(arg, &e);
	return true;
#undef N
#undef U
#undef T
}

static bool list(struct store *s, const struct store_exports_of *of, store_export_fn *fn, void *arg,
		 struct error *err)
{
#define EXPORTS_WITH(held)                                                                         \
	"SELECT e.id, coalesce(e.stream, 0), e.table_arn, e.name, e.kind, e.from_ms, e.to_ms, "    \
	"e.generation, e.number, e.status, e.attempt, e.token, e.arn, e.manifest, "                \
	"e.retry_at_ms, e.error, coalesce(e.driver::text, ''), e.begun_ms, e.submitted_ms, "       \
	"e.exported_ms, e.finished_ms, e.published_ms, e.items, e.billed_bytes, e.files, "         \
	"e.files_done, e.files_failed, h.held, e.records + h.records, e.bytes + h.bytes, "         \
	"coalesce(e.lanes, 0), e.view, coalesce(e.batch, 0), e.ends_batch "                        \
	"FROM sluice.export e CROSS JOIN LATERAL (" held ") h "                                    \
	"WHERE ($1 = 0 OR e.id = $1) AND ($2::text IS NULL OR e.table_arn = $2) "                  \
	"AND ($3::text IS NULL OR e.name = $3) AND ($4 = 0 OR e.stream = $4) "                     \
	"AND (NOT $5::boolean OR NOT (e.status = 'abandoned' "                                     \
	"  OR e.status = 'complete' AND e.published_ms > 0)) "                                     \
	"AND (NOT $7::boolean OR e.status IN ('loading', 'failed') AND e.exported_ms > 0) "        \
	"AND ($8::text IS NULL OR e.kind = $8) AND ($9 = 0 OR e.batch = $9) "                      \
	"ORDER BY e.id DESC LIMIT $6"
	static const char unsummed[] = EXPORTS_WITH("SELECT 0 AS held, 0 AS records, 0 AS bytes");
	static const char summed[] = EXPORTS_WITH(
		"SELECT count(*) FILTER (WHERE l.owner IS NOT NULL) AS held, "
		"coalesce(sum(f.records), 0) AS records, coalesce(sum(f.bytes), 0) AS bytes "
		"FROM sluice.export_file f JOIN sluice.lane l ON l.id = f.lane "
		"WHERE f.export = e.id AND NOT f.completed AND e.status <> 'complete'");
#undef EXPORTS_WITH
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err, of->unsummed ? unsummed : summed, "ittititti",
			      of->id, of->table_arn, of->name, of->stream, of->open ? "t" : "f",
			      (int64_t)of->max, of->loading ? "t" : "f", of->kind, of->batch);

	for (int i = 0; i < PQntuples(res); i++)
		if (!tell_export(res, i, fn, arg, err))
			return false;
	return res != NULL;
}

/* --- files --- */
static bool files_add(struct store *s, const char *session, int64_t export,
		      const struct store_file *files, size_t count, bool *done, struct error *err)
{
	POSTGRES_ARRAY(names);
	POSTGRES_ARRAY(locations);
	POSTGRES_ARRAY(checksums);
	POSTGRES_ARRAY(items);

	for (size_t i = 0; i < count; i++) {
		array_text(&names, files[i].name);
		array_text(&locations, files[i].location);
		array_text(&checksums, files[i].checksum);
		array_int(&items, (int64_t)files[i].items);
	}
	return did(done, postgres_of(s), err, "SELECT sluice.files_add($1, $2, $3, $4, $5, $6)",
		   "titttt", session, export, array_end(&names), array_end(&locations),
		   array_end(&checksums), array_end(&items));
}

static bool load(struct store *s, const char *session, int64_t export, int64_t at_ms, bool *done,
		 struct error *err)
{
	return did(done, postgres_of(s), err, "SELECT sluice.export_load($1, $2, $3)", "tii",
		   session, export, at_ms);
}

static bool batch(struct store *s, const char *session, int64_t export, uint64_t first,
		  uint32_t ranges, bool *done, struct error *err)
{
	return did(done, postgres_of(s), err, "SELECT sluice.export_batch($1, $2, $3, $4)", "tiii",
		   session, export, (int64_t)first, (int64_t)ranges);
}

static bool files_claim(struct store *s, const char *session, int64_t export, const int32_t *sinks,
			size_t sink_count, const struct store_files_wanted *wanted, int64_t at_ms,
			int64_t *claim, struct error *err)
{
	POSTGRES_ARRAY(ids);

	array_sinks(&ids, sinks, sink_count);
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err,
				      "SELECT sluice.files_claim($1, $2, $3, $4, $5, $6)", "titiii",
				      session, export, array_end(&ids), (int64_t)wanted->max, at_ms,
				      (int64_t)wanted->known);

	if (res)
		*claim = value_int(res, 0, 0);
	return res != NULL;
}

static bool file_failed(struct store *s, const char *session, int64_t lane, const char *error,
			int64_t retry_at_ms, bool anew, int64_t at_ms, struct error *err)
{
	return postgres_did(postgres_of(s), err,
			    "SELECT sluice.file_failed($1, $2, $3, $4, $5, $6)", "titiit", session,
			    lane, error, retry_at_ms, at_ms, anew ? "t" : "f");
}

static bool retry(struct store *s, int64_t export, int64_t lane, int64_t at_ms, uint32_t *retried,
		  struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err, "SELECT sluice.export_retry($1, $2, $3)",
				      "iii", export, lane, at_ms);

	if (res)
		*retried = (uint32_t)value_int(res, 0, 0);
	return res != NULL;
}

static void tell_file(const PGresult *res, int row, store_file_fn *fn, void *arg)
{
	struct store_file f = { .lane = value_int(res, row, 0),
				.export = value_int(res, row, 1),
				.location = PQgetvalue(res, row, 3),
				.checksum = PQgetvalue(res, row, 4),
				.items = (uint64_t)value_int(res, row, 5),
				.retry_at_ms = value_int(res, row, 8),
				.retries = (uint32_t)value_int(res, row, 9),
				.attempts = (uint32_t)value_int(res, row, 10),
				.error = PQgetvalue(res, row, 11),
				.records = (uint64_t)value_int(res, row, 12),
				.bytes = (uint64_t)value_int(res, row, 13),
				.started_ms = value_int(res, row, 14),
				.ended_ms = value_int(res, row, 15),
				.updated_ms = value_int(res, row, 16),
				.worker = PQgetvalue(res, row, 18) };

	snprintf(f.name, sizeof(f.name), "%s", PQgetvalue(res, row, 2));
	snprintf(f.owner, sizeof(f.owner), "%s", PQgetvalue(res, row, 17));
	f.status = store_file_status_of(value_bool(res, row, 6), value_bool(res, row, 7), f.owner);
	fn(arg, &f);
}

enum { FILE_SINK = 19, FILE_SEQUENCE, FILE_EVENT_MS, FILE_DONE }; /* behind a file's own */

static bool files(struct store *s, int64_t export, store_file_fn *fn, void *arg, struct error *err)
{
	int64_t after = 0;

	for (int rows = FILES_PAGE; rows == FILES_PAGE;) {
		AUTO(pg_result)
		PGresult *res = postgres_call(
			postgres_of(s), err,
			"SELECT f.lane, f.export, l.shard, f.location, f.checksum, f.items, "
			"f.completed, f.failed, f.retry_at_ms, f.retries, f.attempts, f.error, "
			"f.records, f.bytes, f.started_ms, f.ended_ms, f.updated_ms, l.owner, "
			"f.worker FROM sluice.export_file f JOIN sluice.lane l ON l.id = f.lane "
			"WHERE f.export = $1 AND f.lane > $2 ORDER BY f.lane LIMIT $3",
			"iii", export, after, (int64_t)FILES_PAGE);

		if (!res)
			return false;
		rows = PQntuples(res);
		for (int i = 0; i < rows; i++)
			tell_file(res, i, fn, arg);
		if (rows > 0)
			after = value_int(res, rows - 1, 0);
	}
	return true;
}

/* Files and positions joined, as lanes are. */
static bool files_held(struct store *s, const char *session, int64_t export, int64_t claim,
		       store_file_fn *file, store_position_fn *position, void *arg,
		       struct error *err)
{
	AUTO(pg_result)
	PGresult *res =
		postgres_call(postgres_of(s), err, "SELECT * FROM sluice.files_held($1, $2, $3)",
			      "tii", session, export, claim);
	int64_t last = 0;

	for (int i = 0; i < PQntuples(res); i++) {
		if (value_int(res, i, 0) != last)
			tell_file(res, i, file, arg);
		last = value_int(res, i, 0);
	}
	for (int i = 0; i < PQntuples(res); i++) {
		struct store_position p = { .lane = value_int(res, i, 0),
					    .sink = (int32_t)value_int(res, i, FILE_SINK),
					    .event_ms = value_int(res, i, FILE_EVENT_MS),
					    .done = value_bool(res, i, FILE_DONE) };

		if (PQgetisnull(res, i, FILE_SINK))
			continue;
		if (!value_sequence(&p.sequence, res, i, FILE_SEQUENCE, err))
			return false;
		position(arg, &p);
	}
	return res != NULL;
}

static bool attempts(struct store *s, int64_t export, store_attempt_fn *fn, void *arg,
		     struct error *err)
{
	struct store_attempt a = { .export = export };

	for (int rows = FILES_PAGE; rows == FILES_PAGE;) {
		AUTO(pg_result)
		PGresult *res = postgres_call(
			postgres_of(s), err,
			"SELECT coalesce(lane, 0), number, session, worker, token, arn, "
			"began_ms, ended_ms, how, error FROM sluice.export_attempts "
			"WHERE export = $1 "
			"AND (began_ms, coalesce(lane, 0), number) > ($2, $3, $4) "
			"ORDER BY began_ms, coalesce(lane, 0), number LIMIT $5",
			"iiiii", export, a.began_ms, a.lane, (int64_t)a.number,
			(int64_t)FILES_PAGE);

		if (!res)
			return false;
		rows = PQntuples(res);
		for (int i = 0; i < rows; i++) {
			a.lane = value_int(res, i, 0);
			a.number = (uint32_t)value_int(res, i, 1);
			a.worker = PQgetvalue(res, i, 3);
			a.token = PQgetvalue(res, i, 4);
			a.arn = PQgetvalue(res, i, 5);
			a.began_ms = value_int(res, i, 6);
			a.ended_ms = value_int(res, i, 7);
			a.how = PQgetvalue(res, i, 8);
			a.error = PQgetvalue(res, i, 9);
			snprintf(a.session, sizeof(a.session), "%s", PQgetvalue(res, i, 2));
			fn(arg, &a);
		}
	}
	return true;
}

static bool tidy(struct store *s, int64_t before_ms, uint32_t *removed, struct error *err)
{
	AUTO(pg_result)
	PGresult *res = postgres_call(postgres_of(s), err, "SELECT sluice.exports_tidy($1, $2)",
				      "ii", before_ms, (int64_t)STORE_TIDY_MAX);

	if (res)
		*removed = (uint32_t)value_int(res, 0, 0);
	return res != NULL;
}

const struct store_export_ops store_exports_postgres = {
	.begin = begin,
	.take = take,
	.attempt = attempt,
	.submitted = submitted,
	.exported = exported,
	.failed = failed,
	.finish = finish,
	.published = published,
	.abandon = abandon,
	.list = list,
	.files_add = files_add,
	.load = load,
	.batch = batch,
	.files_claim = files_claim,
	.files_held = files_held,
	.file_failed = file_failed,
	.retry = retry,
	.files = files,
	.attempts = attempts,
	.tidy = tidy,
};
