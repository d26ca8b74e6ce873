#include <assert.h>
#include <string.h>

#include "checkpoint/store_ops.h"

bool store_export_begin(struct store *s, const char *session, struct store_export *e, int64_t at_ms,
			bool *created, struct error *err)
{
	*created = false;
	assert(e->from_ms >= 0 && e->from_ms < e->to_ms);
	return store_named(s, s->ops->exports->begin(s, session, e, at_ms, created, err), err);
}

bool store_export_take(struct store *s, const char *session, int64_t export, bool *mine,
		       struct error *err)
{
	*mine = false;
	return store_named(s, s->ops->exports->take(s, session, export, mine, err), err);
}

bool store_export_attempt(struct store *s, const char *session, int64_t export,
			  struct store_attempt_made *made, int64_t at_ms, bool *done,
			  struct error *err)
{
	*done = false;
	assert(made->attempt > 0);
	return store_named(s, s->ops->exports->attempt(s, session, export, made, at_ms, done, err),
			   err);
}

bool store_export_submitted(struct store *s, const char *session, int64_t export, uint32_t attempt,
			    const char *arn, int64_t at_ms, bool *done, struct error *err)
{
	*done = false;
	return store_named(
		s, s->ops->exports->submitted(s, session, export, attempt, arn, at_ms, done, err),
		err);
}

bool store_export_exported(struct store *s, const char *session, int64_t export, uint32_t attempt,
			   const struct store_exported *what, int64_t at_ms, bool *done,
			   struct error *err)
{
	*done = false;
	assert(at_ms > 0);
	return store_named(
		s, s->ops->exports->exported(s, session, export, attempt, what, at_ms, done, err),
		err);
}

bool store_export_failed(struct store *s, const char *session, int64_t export, uint32_t attempt,
			 const char *error, int64_t retry_at_ms, int64_t at_ms, bool *done,
			 struct error *err)
{
	*done = false;
	return store_named(s,
			   s->ops->exports->failed(s, session, export, attempt, error, retry_at_ms,
						   at_ms, done, err),
			   err);
}

bool store_export_finish(struct store *s, const char *session, int64_t export, int64_t at_ms,
			 bool *done, struct error *err)
{
	*done = false;
	return store_named(s, s->ops->exports->finish(s, session, export, at_ms, done, err), err);
}

bool store_export_published(struct store *s, const char *session, int64_t export, int64_t at_ms,
			    bool *first, struct error *err)
{
	*first = false;
	return store_named(s, s->ops->exports->published(s, session, export, at_ms, first, err),
			   err);
}

bool store_export_abandon(struct store *s, int64_t export, const char *error, int64_t at_ms,
			  bool *done, struct error *err)
{
	*done = false;
	return store_named(s, s->ops->exports->abandon(s, export, error, at_ms, done, err), err);
}

bool store_exports(struct store *s, const struct store_exports_of *of, store_export_fn *fn,
		   void *arg, struct error *err)
{
	return store_named(s, s->ops->exports->list(s, of, fn, arg, err), err);
}

bool store_files_add(struct store *s, const char *session, int64_t export,
		     const struct store_file *files, size_t count, bool *done, struct error *err)
{
	*done = false;
	return store_named(
		s, s->ops->exports->files_add(s, session, export, files, count, done, err), err);
}

bool store_export_load(struct store *s, const char *session, int64_t export, int64_t at_ms,
		       bool *done, struct error *err)
{
	*done = false;
	return store_named(s, s->ops->exports->load(s, session, export, at_ms, done, err), err);
}

bool store_export_batch(struct store *s, const char *session, int64_t export, uint64_t first,
			uint32_t ranges, bool *done, struct error *err)
{
	*done = false;
	assert(ranges > 0 && ranges <= STORE_FILES_MAX);
	return store_named(s, s->ops->exports->batch(s, session, export, first, ranges, done, err),
			   err);
}

bool store_files_claim(struct store *s, const char *session, int64_t export, const int32_t *sinks,
		       size_t sink_count, const struct store_files_wanted *wanted, int64_t at_ms,
		       store_file_fn *file, store_position_fn *position, void *arg,
		       struct error *err)
{
	const struct store_export_ops *ops = s->ops->exports;
	struct store_files_wanted bounded = *wanted;
	int64_t claim = 0;

	if (bounded.max > STORE_FILES_MAX)
		bounded.max = STORE_FILES_MAX;
	return store_named(
		s,
		ops->files_claim(s, session, export, sinks, sink_count, &bounded, at_ms, &claim,
				 err) &&
			ops->files_held(s, session, export, claim, file, position, arg, err),
		err);
}

bool store_file_failed(struct store *s, const char *session, int64_t lane, const char *error,
		       int64_t retry_at_ms, bool anew, int64_t at_ms, struct error *err)
{
	return store_named(s,
			   s->ops->exports->file_failed(s, session, lane, error, retry_at_ms, anew,
							at_ms, err),
			   err);
}

bool store_export_retry(struct store *s, int64_t export, int64_t lane, int64_t at_ms,
			uint32_t *retried, struct error *err)
{
	*retried = 0;
	return store_named(s, s->ops->exports->retry(s, export, lane, at_ms, retried, err), err);
}

bool store_files(struct store *s, int64_t export, store_file_fn *fn, void *arg, struct error *err)
{
	return store_named(s, s->ops->exports->files(s, export, fn, arg, err), err);
}

bool store_attempts(struct store *s, int64_t export, store_attempt_fn *fn, void *arg,
		    struct error *err)
{
	return store_named(s, s->ops->exports->attempts(s, export, fn, arg, err), err);
}

bool store_exports_tidy(struct store *s, int64_t before_ms, uint32_t *removed, struct error *err)
{
	*removed = 0;
	return store_named(s, s->ops->exports->tidy(s, before_ms, removed, err), err);
}

/* --- names of the tables --- */
static const char *const kinds[] = { "full", "incremental", "baseline", "repair", "load" };
static const char *const statuses[] = { "waiting",  "running", "exported", "loading",
					"complete", "failed",  "abandoned" };
static const char *const file_statuses[] = { "PENDING", "IN_PROGRESS", "COMPLETED", "FAILED" };

const char *store_export_kind_name(enum store_export_kind kind)
{
	return kinds[kind];
}

const char *store_export_status_name(enum store_export_status status)
{
	return statuses[status];
}

const char *store_file_status_name(enum store_file_status status)
{
	return file_statuses[status];
}

bool store_export_parse(struct store_export *out, const char *kind, const char *status,
			struct error *err)
{
	int k = store_name_find(kinds, sizeof(kinds) / sizeof(*kinds), kind),
	    s = store_name_find(statuses, sizeof(statuses) / sizeof(*statuses), status);

	if (k < 0 || s < 0)
		return error_set(err, ERROR_INVALID, "an export that is %s, %s: run a newer sluice",
				 kind, status);
	out->kind = (enum store_export_kind)k;
	out->status = (enum store_export_status)s;
	return true;
}

enum store_file_status store_file_status_of(bool completed, bool failed, const char *owner)
{
	if (completed)
		return STORE_FILE_COMPLETED;
	if (failed)
		return STORE_FILE_FAILED;
	return *owner ? STORE_FILE_IN_PROGRESS : STORE_FILE_PENDING;
}
