#pragma once
/* What the tests of exports share: short ways to begin one, to load its files, to look at both. */
#include "checkpoint/exports.h"
#include "tests/unit/checkpoint/store_world.h"

#define TABLE  "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
#define MINUTE 60000
#define T      (1700000000000 - 1700000000000 % MINUTE)

/* --- short words --- */
struct export_seen {
	struct store_export e;
	char token[STORE_TOKEN_SIZE], arn[200], manifest[200], error[200], name[64];
	char view[32];
	size_t count;
};

FIXTURE void saw_export(void *arg, const struct store_export *e)
{
	struct export_seen *seen = arg;

	if (seen->count++ > 0)
		return;
	seen->e = *e;
	snprintf(seen->token, sizeof(seen->token), "%s", e->token);
	snprintf(seen->arn, sizeof(seen->arn), "%s", e->arn);
	snprintf(seen->manifest, sizeof(seen->manifest), "%s", e->manifest);
	snprintf(seen->error, sizeof(seen->error), "%s", e->error);
	snprintf(seen->name, sizeof(seen->name), "%s", e->name);
	snprintf(seen->view, sizeof(seen->view), "%s", e->view);
}

FIXTURE struct export_seen exports_of(struct store *s, struct store_exports_of of)
{
	struct export_seen seen = { 0 };

	assert_ok(store_exports(s, &of, saw_export, &seen, err));
	return seen;
}

FIXTURE struct export_seen export_of(struct store *s, int64_t id)
{
	struct export_seen seen = exports_of(s, (struct store_exports_of){ .id = id, .max = 9 });

	assert_int_equal(seen.count, 1);
	return seen;
}

FIXTURE enum store_export_status status_of(struct store *s, int64_t id)
{
	return export_of(s, id).e.status;
}

FIXTURE struct store_export window(enum store_export_kind kind, int64_t from_ms, int64_t to_ms)
{
	return (struct store_export){ .table_arn = TABLE,
				      .name = "orders",
				      .kind = kind,
				      .from_ms = from_ms,
				      .to_ms = to_ms };
}

FIXTURE bool begin_as(struct world *w, const char *session, struct store_export *e, int64_t at_ms)
{
	bool created;

	assert_ok(store_export_begin(w->s, session, e, at_ms, &created, err));
	return created;
}

FIXTURE int64_t full_begun(struct world *w)
{
	struct store_export e = window(STORE_EXPORT_FULL, 0, T);

	assert_true(begin_as(w, SESSION_A, &e, T + 1));
	return e.id;
}

#define assert_done(wanted, call, ...)                                                             \
	do {                                                                                       \
		bool done_ = !(wanted);                                                            \
		assert_ok(call(__VA_ARGS__, &done_, err));                                         \
		assert_int_equal(done_, wanted);                                                   \
	} while (0)

FIXTURE void attempt_as(struct world *w, const char *session, int64_t export, uint32_t number,
			const char *token, uint32_t wanted, const char *wanted_token)
{
	struct store_attempt_made made = { .attempt = number };

	snprintf(made.token, sizeof(made.token), "%s", token);
	assert_done(true, store_export_attempt, w->s, session, export, &made, T + 2);
	assert_int_equal(made.attempt, wanted);
	assert_string_equal(made.token, wanted_token);
}

/* Exported with so many files, which are there. */
FIXTURE int64_t exported(struct world *w, int count)
{
	struct store_exported what = { .manifest = "s3://exports/m.json",
				       .files = (uint64_t)count,
				       .items = 100,
				       .billed_bytes = 10000000 };
	struct store_file *files = memory_array((size_t)count + 1, sizeof(*files));
	int64_t id = full_begun(w);

	attempt_as(w, SESSION_A, id, 1, "one", 1, "one");
	assert_done(true, store_export_submitted, w->s, SESSION_A, id, 1, "arn:1", T + 3);
	assert_done(true, store_export_exported, w->s, SESSION_A, id, 1, &what, T + 4);
	for (int i = 0; i < count; i++) {
		files[i] = (struct store_file){ .location = "data/a \"b\\c,{}.json.gz",
						.checksum = "md5==",
						.items = (uint64_t)i };
		snprintf(files[i].name, sizeof(files[i].name), "%026d.json.gz", i);
	}
	assert_done(true, store_files_add, w->s, SESSION_A, id, files, (size_t)count);
	free(files);
	return id;
}

FIXTURE int64_t loading(struct world *w, int count)
{
	int64_t id = exported(w, count);

	assert_done(true, store_export_load, w->s, SESSION_A, id, T + 5);
	return id;
}

struct files_seen {
	struct store_file *files;
	struct store_position *positions;
	size_t count, position_count;
	char error[200], worker[64]; /* of the last one */
};

FIXTURE void saw_file(void *arg, const struct store_file *f)
{
	struct files_seen *seen = arg;

	assert_int_equal(seen->position_count, 0); /* all files come first */
	seen->files = memory_room(seen->files, seen->count, sizeof(*f));
	seen->files[seen->count++] = *f;
	snprintf(seen->error, sizeof(seen->error), "%s", f->error);
	snprintf(seen->worker, sizeof(seen->worker), "%s", f->worker);
}

FIXTURE void saw_position(void *arg, const struct store_position *p)
{
	struct files_seen *seen = arg;

	seen->positions = memory_room(seen->positions, seen->position_count, sizeof(*p));
	seen->positions[seen->position_count++] = *p;
}

FIXTURE void files_release(struct files_seen *seen)
{
	free(seen->files);
	free(seen->positions);
	*seen = (struct files_seen){ 0 };
}

FIXTURE struct files_seen claim_with(struct world *w, const char *session, int64_t export,
				     const int32_t *sinks, size_t sinks_count, uint32_t max,
				     int64_t at_ms)
{
	struct files_seen seen = { 0 };
	struct store_files_wanted wanted = { .max = max };

	assert_ok(store_files_claim(w->s, session, export, sinks, sinks_count, &wanted, at_ms,
				    saw_file, saw_position, &seen, err));
	return seen;
}

FIXTURE struct files_seen claim(struct world *w, const char *session, int64_t export, uint32_t max,
				int64_t at_ms)
{
	return claim_with(w, session, export, &w->sink, 1, max, at_ms);
}

/* How many the session has after it; *first: the lane of the oldest. */
FIXTURE size_t claims(struct world *w, const char *session, int64_t export, uint32_t max,
		      int64_t *first)
{
	struct files_seen seen = claim(w, session, export, max, T + 6);
	size_t count = seen.count;

	if (first && count)
		*first = seen.files[0].lane;
	files_release(&seen);
	return count;
}

FIXTURE struct files_seen files_of(struct world *w, int64_t export)
{
	struct files_seen seen = { 0 };

	assert_ok(store_files(w->s, export, saw_file, &seen, err));
	return seen;
}

FIXTURE struct store_file file_at(struct world *w, int64_t export, int64_t lane)
{
	struct files_seen seen = files_of(w, export);
	struct store_file found = { 0 };

	for (size_t i = 0; i < seen.count; i++)
		if (seen.files[i].lane == lane)
			found = seen.files[i];
	assert_int_equal(found.lane, lane);
	files_release(&seen);
	found.location = found.checksum = found.error = found.worker = NULL;
	return found;
}

/* Saves a file's place; `to` "" ends it where it stands. */
FIXTURE void save_file(struct world *w, const char *session, uint64_t number, int64_t lane,
		       const char *from, const char *to, uint64_t records)
{
	struct store_move m = { .lane = lane,
				.sink = w->sink,
				.from = seq(from),
				.to = seq(*to ? to : from),
				.done = !*to };
	struct store_file_progress f = { lane, records, records * 100 };
	struct store_save save = save_of(session, number, &m, 1);

	save.read_at_ms = T + 1000 * (int64_t)number;
	save.files = &f;
	save.file_count = 1;
	assert_ok(store_save(w->s, &save, err));
	assert_ok(store_save(w->s, &save, err)); /* its reply was lost */
}
