/* One export, step by step: at AWS, and in the store before and after. Each step may be cut off
 * anywhere, and be done again by whoever drives the export then. */
#include <stdlib.h>
#include <string.h>

#include "aws/s3.h"
#include "base/memory.h"
#include "config/sections.h"
#include "consumer/batching.h"
#include "consumer/worker_exports.h"
#include "consumer/worker_internal.h"

#define AGAIN_BASE_MS 1000
#define AGAIN_MAX_MS  300000
#define LOG_EVERY_MS  60000
#define ADD_AT_ONCE   1000
#define TEXT_MAX      1200
_Static_assert((int)LISTING_NAME_SIZE <= (int)STORE_SHARD_SIZE, "a file's name is its lane's");
_Static_assert((int)WINDOW_TOKEN_SIZE <= (int)STORE_TOKEN_SIZE, "a token fits");

/* One allocation: where the session ends, tasks are freed by others. */
struct step {
	struct worker_task task; /* first */
	struct worker_export *export;
	enum export_step what;
	const char *session;
	int64_t id, at_ms, retry_at_ms;
	uint32_t attempt, ranges;
	uint64_t first; /* of a batch */
	bool done, lost, end;
	struct store_attempt_made made;
	struct store_exported exported;
	const struct listing_file *files; /* the listing's, until it is asked for more */
	size_t count, put;
	char text[TEXT_MAX]; /* an ARN, a place, an error */
};

static int64_t aws_ms(const struct worker_export *x)
{
	return clock_aws_ms(x->worker->settings.clock);
}

static struct log_field name_field(const struct worker_export *x)
{
	return log_text("table", x->target->name);
}

/* --- what goes wrong --- */

void worker_export_trouble(struct worker_export *x, const struct error *err)
{
	struct worker_exports *all = x->worker->exports;
	char window[DRIVE_WINDOW_SIZE];
	uint64_t repeated;

	x->busy = false;
	x->known.again_ms =
		aws_ms(x) + rng_backoff_ms(&all->rng, x->failures++, AGAIN_BASE_MS, AGAIN_MAX_MS);
	x->due_ms = 0;
	worker_target_health(x->target, "an export cannot go on", err->message);
	if (log_limit_pass(&all->log, loop_now_ms(x->worker->loop), LOG_EVERY_MS, &repeated))
		log_warn("an export cannot go on, it is tried again", name_field(x),
			 log_text("export", drive_window(&x->row, window)),
			 log_text("error", err->message), log_int("repeated", (int64_t)repeated));
}

static void recovered(struct worker_export *x)
{
	x->failures = 0;
	if (x->target->trouble)
		worker_target_health(x->target, NULL, NULL);
}

/* --- the store --- */

static bool add_files(struct step *s, struct store *store, struct error *err)
{
	struct store_file *rows = memory_array(ADD_AT_ONCE, sizeof(*rows));
	bool ok = true;

	s->done = true;
	while (ok && s->done && s->put < s->count) {
		size_t n = s->count - s->put < ADD_AT_ONCE ? s->count - s->put : ADD_AT_ONCE;

		for (size_t i = 0; i < n; i++) {
			const struct listing_file *f = &s->files[s->put + i];

			rows[i] = (struct store_file){ .location = f->location,
						       .checksum = f->md5,
						       .items = f->items };
			snprintf(rows[i].name, sizeof(rows[i].name), "%s", f->name);
		}
		ok = store_files_add(store, s->session, s->id, rows, n, &s->done, err);
		if (ok)
			s->put += n;
	}
	free(rows);
	return ok;
}

static bool work(struct saver_task *task, struct store *store, struct error *err)
{
	struct step *s = (struct step *)task;

	switch (s->what) {
	case STEP_TAKE:
		return store_export_take(store, s->session, s->id, &s->done, err);
	case STEP_ATTEMPT:
		return store_export_attempt(store, s->session, s->id, &s->made, s->at_ms, &s->done,
					    err);
	case STEP_SUBMITTED:
		return store_export_submitted(store, s->session, s->id, s->attempt, s->text,
					      s->at_ms, &s->done, err);
	case STEP_EXPORTED:
		return store_export_exported(store, s->session, s->id, s->attempt, &s->exported,
					     s->at_ms, &s->done, err);
	case STEP_FAILED:
		return store_export_failed(store, s->session, s->id, s->attempt, s->text,
					   s->retry_at_ms, s->at_ms, &s->done, err);
	case STEP_FILES:
		return add_files(s, store, err);
	case STEP_LOAD:
		return store_export_load(store, s->session, s->id, s->at_ms, &s->done, err);
	case STEP_FINISH:
		return store_export_finish(store, s->session, s->id, s->at_ms, &s->done, err);
	case STEP_BATCH:
		return store_export_batch(store, s->session, s->id, s->first, s->ranges, &s->done,
					  err);
	case STEP_PUBLISHED:
		return store_export_published(store, s->session, s->id, s->at_ms, &s->done, err);
	case STEP_ABANDON:
		return store_export_abandon(store, s->id, s->text, s->at_ms, &s->done, err);
	}
	__builtin_unreachable();
}

static void tell_failed(struct worker_export *x, const struct step *s)
{
	char window[DRIVE_WINDOW_SIZE], again[CLOCK_TEXT_SIZE];
	const struct log_field what = log_text("export", drive_window(&x->row, window)),
			       error = log_text("error", s->text),
			       number = log_int("attempt", s->attempt);

	metric_add(x->target->failed, 1);
	if (s->lost) {
		if (x->target->gaps)
			metric_add(x->target->gaps, 1);
		log_error("changes can never be exported: the table's exports stand still until "
			  "the next full one (sluice export full)",
			  name_field(x), what, error);
	} else if (s->retry_at_ms == 0) {
		log_error("an export failed for good: nothing is exported behind it until sluice "
			  "export retry",
			  name_field(x), what, number, error);
	} else {
		log_warn("an export failed, it is tried again", name_field(x), what, number,
			 log_text("at", clock_text(s->retry_at_ms, again)), error);
	}
	worker_target_health(x->target, "an export failed", s->text);
}

/* It is in the store, by this call. */
static void stepped(struct worker_export *x, const struct step *s)
{
	char window[DRIVE_WINDOW_SIZE];
	const struct log_field what = log_text("export", drive_window(&x->row, window));

	switch (s->what) {
	case STEP_TAKE:
		memcpy(x->row.driver, x->worker->session, sizeof(x->row.driver));
		break;
	case STEP_SUBMITTED:
		log_info("an export is submitted", name_field(x), what,
			 log_int("attempt", s->attempt), log_text("arn", s->text));
		break;
	case STEP_EXPORTED:
		metric_add(x->target->completed, 1);
		metric_add(x->target->billed, (int64_t)s->exported.billed_bytes);
		log_info("an export is written", name_field(x), what,
			 log_int("files", (int64_t)s->exported.files),
			 log_int("items", (int64_t)s->exported.items),
			 log_text("manifest", s->text));
		break;
	case STEP_FAILED:
		tell_failed(x, s);
		break;
	case STEP_LOAD:
		log_info("an export is being loaded", name_field(x), what);
		break;
	case STEP_BATCH:
		log_info("windows are being loaded as one", name_field(x),
			 log_int("first", (int64_t)s->first),
			 log_int("last", (int64_t)x->row.number), log_int("ranges", s->ranges));
		break;
	case STEP_PUBLISHED:
		log_info("an export is complete", name_field(x), what);
		break;
	case STEP_ABANDON:
		log_info("an export is given up", name_field(x), what, log_text("why", s->text));
		break;
	case STEP_ATTEMPT:
	case STEP_FILES:
	case STEP_FINISH:
		break;
	}
}

static void stepped_back(struct worker *w, struct worker_task *task)
{
	struct step *s = (struct step *)task;
	struct worker_export *x = s->export;
	const struct error *err = &task->saver.error;

	(void)w;
	x->busy = false;
	if (!task->saver.ok) {
		if (err->kind == ERROR_CANCELLED || err->kind == ERROR_FENCED)
			return;
		/* What the manifest says and what is there is not the same. */
		if (s->what == STEP_LOAD && err->kind == ERROR_INVALID)
			worker_export_fail(x, err->message, false);
		else
			worker_export_trouble(x, err);
		return;
	}
	if (s->done && s->what == STEP_FILES) {
		worker_export_added(x, s->end);
		return;
	}
	if (s->done)
		stepped(x, s);
	worker_export_changed(x);
}

static struct step *step_new(struct worker_export *x, enum export_step what, const char *text)
{
	struct step *s = memory_new(sizeof(*s));

	*s = (struct step){ .task = { .saver.work = work, .done = stepped_back },
			    .export = x,
			    .what = what,
			    .session = x->worker->session,
			    .id = x->row.id,
			    .at_ms = aws_ms(x),
			    .attempt = x->row.attempt };
	snprintf(s->text, sizeof(s->text), "%s", text);
	return s;
}

static void send(struct step *s)
{
	s->export->busy = true;
	saver_work(s->export->worker->saver, &s->task.saver);
}

void worker_export_do(struct worker_export *x, enum export_step step)
{
	send(step_new(x, step, ""));
}

void worker_export_take(struct worker_export *x)
{
	worker_export_do(x, STEP_TAKE);
}

void worker_export_fail(struct worker_export *x, const char *error, bool lost)
{
	struct step *s = step_new(x, STEP_FAILED, error);
	const struct drive_rules *rules = &x->target->drive;

	s->lost = lost;
	/* One that is there already gets no better. */
	if (!lost && x->row.kind != STORE_EXPORT_LOAD)
		s->retry_at_ms = drive_retry_at(s->attempt, rules->retries, s->at_ms,
						&x->worker->exports->rng);
	send(s);
}

void worker_export_exported(struct worker_export *x, const struct store_exported *what)
{
	struct step *s = step_new(x, STEP_EXPORTED, what->manifest);

	recovered(x);
	s->exported = *what;
	s->exported.manifest = s->text;
	send(s);
}

void worker_export_add(struct worker_export *x, const struct listing_part *part)
{
	struct step *s = step_new(x, STEP_FILES, "");

	s->files = part->files;
	s->count = part->count;
	s->end = part->end;
	send(s);
}

/* --- AWS --- */

/* The folder of an export's files, S3Prefix of its request. */
static bool folder(const struct worker_export *x, struct buf *out, struct error *err)
{
	const struct worker_target *t = x->target;
	struct str table = config_table_name(x->row.table_arn);
	char region[64], account[16], name[256];
	struct window w = { x->row.from_ms, x->row.to_ms };
	struct export_place place = {
		.prefix = t->prefix, .account = account, .region = region, .table = name
	};

	resolve_arn_parts(x->row.table_arn, region, account);
	snprintf(name, sizeof(name), "%.*s", STR_ARG(table));
	return path_export(&place, &w, out, err);
}

static const char *view_of(const struct worker_export *x)
{
	return x->row.from_ms ? x->row.view : "";
}

static void attempt(struct worker_export *x)
{
	struct buf prefix = { 0 };
	struct error err = { 0 };

	if (!folder(x, &prefix, &err)) {
		worker_export_fail(x, err.message, false);
	} else {
		struct window_request r = { .table_arn = x->row.table_arn,
					    .bucket = x->target->bucket,
					    .prefix = prefix.data,
					    .view = view_of(x),
					    .window = { x->row.from_ms, x->row.to_ms },
					    .attempt = x->row.attempt + 1 };
		struct step *s = step_new(x, STEP_ATTEMPT, "");

		s->made.attempt = r.attempt;
		window_token(&r, s->made.token);
		send(s);
	}
	buf_release(&prefix);
}

static void started(void *arg, const struct error *err, const struct exports_export *e)
{
	struct worker_export *x = arg;

	x->busy = false;
	if (err->kind == ERROR_CANCELLED)
		return;
	if (e) {
		x->worker->exports->answers++;
		recovered(x);
		send(step_new(x, STEP_SUBMITTED, e->arn));
	} else if (error_passes(err->kind) || err->kind == ERROR_REFUSED) {
		worker_export_trouble(x, err); /* nothing was started: the same again */
	} else {
		x->target->pitr.asked_ms = 0; /* it may be off by now */
		worker_export_fail(x, err->message, false);
	}
}

static void submit(struct worker_export *x)
{
	const struct worker_target *t = x->target;
	struct buf prefix = { 0 };
	struct error err = { 0 };

	if (!folder(x, &prefix, &err)) {
		worker_export_fail(x, err.message, false);
	} else {
		struct exports_request r = { .table_arn = x->row.table_arn,
					     .bucket = t->bucket,
					     .bucket_owner = t->bucket_owner,
					     .prefix = prefix.data,
					     .token = x->row.token,
					     .view = x->row.from_ms ? view_of(x) : NULL,
					     .time_ms = x->row.to_ms,
					     .from_ms = x->row.from_ms,
					     .to_ms = x->row.to_ms };

		x->busy = true;
		exports_start(x->worker->client, &r, started, x);
	}
	buf_release(&prefix);
}

static void poll_later(struct worker_export *x)
{
	x->known.again_ms =
		drive_poll_at(x->target->drive.poll_ms, aws_ms(x), &x->worker->exports->rng);
	x->due_ms = 0;
}

static void ended(struct worker_export *x, const struct exports_export *e)
{
	char text[sizeof(e->failure_code) + sizeof(e->failure_message) + 4];

	if (e->status == EXPORTS_FAILED) {
		snprintf(text, sizeof(text), "%s: %s",
			 *e->failure_code ? e->failure_code : "AWS says no more",
			 e->failure_message);
		worker_export_fail(x, text, false);
		return;
	}
	buf_clear(&x->manifest);
	buf_printf(&x->manifest, "s3://%s/%s", x->target->bucket, e->manifest);
	x->known = (struct drive_known){ .exported = true };
	x->due_ms = 0;
}

static void polled(void *arg, const struct error *err, const struct exports_export *e)
{
	struct worker_export *x = arg;

	x->busy = false;
	if (err->kind == ERROR_CANCELLED)
		return;
	if (e) {
		x->worker->exports->answers++;
		recovered(x);
		if (e->status == EXPORTS_RUNNING)
			poll_later(x);
		else
			ended(x, e);
	} else if (err->kind == ERROR_NOT_FOUND) {
		worker_export_fail(x, err->message, false);
	} else {
		worker_export_trouble(x, err);
	}
}

/* --- its end --- */

struct publication {
	struct worker_export *export;
	struct s3_place place;
	struct buf key;
};

static void published(void *arg, const struct error *err)
{
	struct publication *p = arg;
	struct worker_export *x = p->export;

	x->busy = false;
	buf_release(&p->key);
	free(p);
	if (err->kind == ERROR_CANCELLED)
		return;
	if (err->kind != ERROR_NONE) {
		worker_export_trouble(x, err);
		return;
	}
	recovered(x);
	worker_export_do(x, STEP_PUBLISHED);
}

/* The mark before the store: after a crash it is written again, and it is the same. */
static void publish(struct worker_export *x)
{
	static const struct s3_options plain;
	struct publication *p;
	struct error err = { 0 };

	if (x->row.kind == STORE_EXPORT_LOAD) {
		worker_export_do(x, STEP_PUBLISHED); /* the folder is not ours */
		return;
	}
	p = memory_new(sizeof(*p));
	p->export = x;
	if (!folder(x, &p->key, &err)) {
		worker_export_trouble(x, &err);
		free(p);
		return;
	}
	buf_text(&p->key, "/_SUCCESS");
	p->place = (struct s3_place){ .bucket = x->target->bucket,
				      .key = p->key.data,
				      .bucket_owner = x->target->bucket_owner };
	x->busy = true;
	s3_put(x->worker->client, &p->place, &plain, STR(""), published, p);
}

/* --- windows that are loaded together --- */

static void batch(struct worker_export *x, uint64_t first)
{
	struct step *s = step_new(x, STEP_BATCH, "");
	uint64_t billed = 0;

	for (const struct worker_export *o = x->worker->exports->exports; o; o = o->next)
		if (o->target == x->target && o->row.generation == x->row.generation &&
		    o->row.number >= first && o->row.number <= x->row.number)
			billed += o->row.billed_bytes;
	s->first = first;
	s->ranges = batching_ranges(billed, batching_memory(x->worker->settings.config));
	send(s);
}

static void lose(struct worker_export *x)
{
	struct window w = { x->row.from_ms ? x->row.from_ms : x->row.to_ms, x->row.to_ms };
	struct error err = { 0 };

	(void)!window_lost(&w, x->target->pitr.earliest_ms, x->target->name, &err);
	worker_export_fail(x, err.message, true);
}

void worker_export_step(struct worker_export *x, const struct drive_next *next,
			const struct drive_place *place)
{
	switch (next->what) {
	case DRIVE_WAIT:
		break;
	case DRIVE_ASK:
		worker_target_ask(x->target);
		break;
	case DRIVE_ATTEMPT:
		attempt(x);
		break;
	case DRIVE_SUBMIT:
		submit(x);
		break;
	case DRIVE_POLL:
		x->busy = true;
		exports_describe(x->worker->client, x->row.arn, polled, x);
		break;
	case DRIVE_MANIFEST:
		worker_export_read(x);
		break;
	case DRIVE_FILES:
		worker_export_load(x);
		break;
	case DRIVE_BATCH:
		batch(x, place->first);
		break;
	case DRIVE_FINISH:
		worker_export_do(x, STEP_FINISH);
		break;
	case DRIVE_PUBLISH:
		publish(x);
		break;
	case DRIVE_LOST:
		lose(x);
		break;
	case DRIVE_ABANDON:
		send(step_new(x, STEP_ABANDON, "a newer full export was begun"));
		break;
	}
}
