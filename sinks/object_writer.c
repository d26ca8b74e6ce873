#include "sinks/object_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"

#define BUFFER_FIRST ((size_t)64 << 10)
#define DRAIN_MAX_MS 3000
#define LOG_EACH_MS  30000
#define MARK_SIZE    96

enum { CALL_CREATE, CALL_PART, CALL_SEAL, CALL_COMMIT, CALL_DROP };
static const char *const call_names[] = {
	[CALL_CREATE] = "beginning", [CALL_PART] = "writing",  [CALL_SEAL] = "closing",
	[CALL_COMMIT] = "finishing", [CALL_DROP] = "dropping",
};

struct object_part {
	struct object_part *next; /* while it waits for its file to be created */
	char *data;
	size_t size, capacity;
	int number;
};

struct object_file {
	struct object_roll *roll;
	struct roll_file *record; /* the roll's */
	char *stream, *arn;       /* "" for a manifest */
	char *place;              /* what its events have in common, as place_text; "" */
	enum compression compression;
	struct compressor *compressor; /* NULL: ended */
	struct object_part *filling;   /* NULL: between two parts */
	struct object_part *early;     /* full before the file was created */
	int parts;                     /* given to the place so far */
	unsigned storing;              /* of those, not yet stored */
	bool creating, created;
};

/* --- buffers --- */

static void part_free(struct object_writer *w, struct object_part *part)
{
	if (!part)
		return;
	w->held_bytes -= part->capacity;
	free(part->data);
	free(part);
}

static struct object_part *part_new(struct object_file *f)
{
	struct object_writer *w = f->roll->writer;
	struct object_part *part = memory_new(sizeof(*part));

	/* A file that has filled a part is likely to fill the next one. */
	part->capacity = f->parts > 0 ? w->ops->part_bytes : BUFFER_FIRST;
	part->data = memory_resize(NULL, part->capacity);
	part->number = ++f->parts;
	w->held_bytes += part->capacity;
	return part;
}

static void part_grow(struct object_writer *w, struct object_part *part)
{
	size_t capacity =
		part->capacity * 2 < w->ops->part_bytes ? part->capacity * 2 : w->ops->part_bytes;

	part->data = memory_resize(part->data, capacity);
	w->held_bytes += capacity - part->capacity;
	part->capacity = capacity;
}

static void part_store(struct object_file *f, struct object_part *part)
{
	struct object_writer *w = f->roll->writer;

	f->storing++;
	w->storing_bytes += part->capacity;
	if (f->created) {
		jobs_add(&w->jobs, CALL_PART, f, part);
		return;
	}
	part->next = f->early;
	f->early = part;
	if (!f->creating) {
		f->creating = true;
		jobs_add(&w->jobs, CALL_CREATE, f, NULL);
	}
}

/* Room to compress into: what is full goes to the place. */
static struct object_part *file_room(struct object_file *f)
{
	struct object_writer *w = f->roll->writer;

	if (f->filling && f->filling->size == w->ops->part_bytes)
		part_store(f, MOVE(f->filling));
	if (!f->filling)
		f->filling = part_new(f);
	if (f->filling->size == f->filling->capacity)
		part_grow(w, f->filling);
	return f->filling;
}

static void file_wrote(struct object_file *f, size_t bytes)
{
	f->filling->size += bytes;
	f->record->bytes += bytes;
	if (f->record->bytes > f->roll->largest_bytes)
		f->roll->largest_bytes = f->record->bytes;
}

static void file_write(struct object_file *f, struct str bytes)
{
	while (bytes.n > 0) {
		struct object_part *part = file_room(f);

		file_wrote(f, compressor_feed(f->compressor, &bytes, part->data + part->size,
					      part->capacity - part->size));
	}
}

/* --- files --- */

char *object_time_text(int64_t epoch_ms, char out[OBJECT_TIME_SIZE])
{
	time_t seconds = epoch_ms / 1000;
	struct tm tm = { 0 };

	gmtime_r(&seconds, &tm);
	strftime(out, OBJECT_TIME_SIZE, "%Y%m%dT%H%M%SZ", &tm);
	return out;
}

static void file_name(const struct object_roll *r, size_t n, const char *suffix, struct buf *out)
{
	char start[OBJECT_TIME_SIZE];

	if (out->size > 0 && out->data[out->size - 1] != '/')
		buf_text(out, "/");
	buf_printf(out, "%s-%s-%" PRIu64 "-%zu.%s", object_time_text(r->began_aws_ms, start),
		   r->writer->host->session, r->record->number, n, suffix);
}

/* "": an export's rows, which have no stream. */
static const char *arn_of(const struct source *source)
{
	return source->arn ? source->arn : "";
}

/* The values of a place as one text, which is another one for other values. */
static char *place_text(const struct batch_route *route, size_t place)
{
	const struct str *v = &route->values_of[place * route->values];
	struct buf text;

	buf_init(&text, 0);
	for (size_t i = 0; i < route->values; i++)
		if (v[i].p)
			buf_json_text(&text, v[i]);
		else
			buf_text(&text, "-");
	return buf_steal(&text);
}

static struct object_file *file_find(const struct object_roll *r, const struct source *source,
				     const char *place)
{
	for (size_t i = 0; i < r->record->file_count; i++)
		if (strcmp(r->files[i]->place, place) == 0 &&
		    strcmp(r->files[i]->stream, source->stream) == 0 &&
		    strcmp(r->files[i]->arn, arn_of(source)) == 0)
			return r->files[i];
	return NULL;
}

static size_t file_number(const struct object_roll *r)
{
	return r->writer->host->index * (size_t)OBJECT_FILES_MAX + r->record->file_count;
}

static struct object_file *file_add(struct object_roll *r, const char *stream, const char *arn,
				    const char *place, enum compression compression,
				    const char *path)
{
	struct object_writer *w = r->writer;
	struct object_file *f = memory_new(sizeof(*f));
	char mark[MARK_SIZE];

	snprintf(mark, sizeof(mark), "%s/%" PRIu64 "/%zu", w->host->session, r->record->number,
		 file_number(r));
	f->roll = r;
	f->stream = memory_text(stream);
	f->arn = memory_text(arn);
	f->place = memory_text(place);
	f->compression = compression;
	f->compressor = compressor_new(compression);
	w->held_bytes += compressor_bytes(compression);
	r->files =
		memory_resize(r->files, (r->record->file_count + 1) * sizeof(struct object_file *));
	r->files[r->record->file_count] = f;
	f->record = roll_file_add(r->record, path, mark);
	return f;
}

/* PREFIX/rendered path/START-SESSION-ROLL-N.ndjson.zst */
static struct object_file *file_new(struct object_roll *r, const struct source *source,
				    const char *place, const struct str *event, struct error *err)
{
	struct object_writer *w = r->writer;
	enum compression compression = (enum compression)w->settings->compression;
	struct template_values values = { .source = source,
					  .event = event,
					  .time_ms = r->began_aws_ms };
	struct object_file *f = NULL;
	char suffix[16];
	struct buf path;

	buf_init(&path, 0);
	buf_text(&path, w->place->prefix);
	if (template_render(w->path, &values, &path, err)) {
		snprintf(suffix, sizeof(suffix), "ndjson%s", compression_suffix(compression));
		file_name(r, file_number(r), suffix, &path);
		f = file_add(r, source->stream, arn_of(source), place, compression, path.data);
	} else {
		error_wrap(err, "path of stream %s", source->stream);
	}
	buf_release(&path);
	return f;
}

static void file_compressor_free(struct object_file *f)
{
	struct object_writer *w = f->roll->writer;

	if (!f->compressor)
		return;
	w->held_bytes -= compressor_bytes(f->compression);
	compressor_free(MOVE(f->compressor));
}

static void file_free(struct object_file *f)
{
	struct object_writer *w = f->roll->writer;

	file_compressor_free(f);
	part_free(w, f->filling);
	while (f->early) {
		struct object_part *part = f->early;

		f->early = part->next;
		w->storing_bytes -= part->capacity;
		part_free(w, part);
	}
	free(f->stream);
	free(f->arn);
	free(f->place);
	free(f);
}

/* Ended and every part stored: the place may close it. */
static void file_seal_if_stored(struct object_file *f)
{
	if (!f->compressor && f->storing == 0)
		jobs_add(&f->roll->writer->jobs, CALL_SEAL, f, NULL);
}

static void file_end(struct object_file *f)
{
	bool done = false;

	while (!done) {
		struct object_part *part = file_room(f);

		file_wrote(f, compressor_end(f->compressor, part->data + part->size,
					     part->capacity - part->size, &done));
	}
	/* Counted before the last part goes, which may be stored within the call. */
	f->storing++;
	file_compressor_free(f);
	if (f->filling->size > 0)
		part_store(f, MOVE(f->filling));
	part_free(f->roll->writer, MOVE(f->filling));
	f->storing--;
	file_seal_if_stored(f);
}

/* --- calls to the place --- */

static void call_done(void *arg, const struct error *err)
{
	jobs_done(arg, err);
}

static void call_start(void *arg, struct object_job *job)
{
	struct object_writer *w = arg;
	struct object_file *f = job->file;
	struct object_part *part = job->part;

	switch (job->kind) {
	case CALL_CREATE:
		w->ops->create(w->place, f->record, call_done, job);
		break;
	case CALL_PART:
		w->ops->part(w->place, f->record, part->number,
			     (struct str){ part->data, part->size }, call_done, job);
		break;
	case CALL_SEAL:
		w->ops->seal(w->place, f->record, call_done, job);
		break;
	case CALL_COMMIT:
		w->ops->commit(w->place, f->roll->record, f->record, call_done, job);
		break;
	default:
		assert(job->kind == CALL_DROP);
		w->ops->drop(w->place, f->record, call_done, job);
		break;
	}
}

static void trouble_set(struct object_writer *w, const char *call, const char *path,
			const struct error *err)
{
	pthread_mutex_lock(&w->trouble_lock);
	if (!err)
		w->trouble[0] = '\0';
	else
		snprintf(w->trouble, sizeof(w->trouble), "%s %s: %s", call, path, err->message);
	pthread_mutex_unlock(&w->trouble_lock);
}

static void call_failed(struct object_writer *w, const struct object_job *job,
			const struct error *err)
{
	const struct object_file *f = job->file;
	int64_t now_ms = clock_boot_ms(w->host->clock);
	uint64_t repeated;

	if (job->attempt == 0)
		w->failing++;
	metric_add(metrics_cell(w->host->metrics, METRIC_SINK_RETRIES, w->host->name,
				error_kind_name(err->kind)),
		   1);
	trouble_set(w, call_names[job->kind], f->record->path, err);
	if (log_limit_pass(&w->log_limit, now_ms, LOG_EACH_MS, &repeated))
		log_warn("a file sink's call failed and will be repeated",
			 log_text("sink", w->host->name), log_text("call", call_names[job->kind]),
			 log_text("path", f->record->path), log_text("error", err->message),
			 log_int("repeated", (int64_t)repeated));
}

/* It is not repeated any more. */
static void call_over(struct object_writer *w, const struct object_job *job)
{
	if (job->attempt > 0 && --w->failing == 0 && w->fatal.kind == ERROR_NONE)
		trouble_set(w, NULL, NULL, NULL);
}

static void part_over(struct object_writer *w, struct object_part *part)
{
	w->storing_bytes -= part->capacity;
	part_free(w, part);
}

/* Once all that it names can be seen. It is the last file of its roll. */
static void manifest_commit(struct object_roll *r)
{
	size_t last = r->record->file_count - 1;

	if (r->committed == last && r->record->files[last]->manifest)
		jobs_add(&r->writer->jobs, CALL_COMMIT, r->files[last], NULL);
}

static void call_succeeded(struct object_writer *w, const struct object_job *job)
{
	struct object_file *f = job->file;

	switch (job->kind) {
	case CALL_CREATE:
		f->created = true;
		while (f->early) {
			struct object_part *part = f->early;

			f->early = part->next;
			jobs_add(&w->jobs, CALL_PART, f, part);
		}
		break;
	case CALL_PART:
		part_over(w, job->part);
		f->storing--;
		file_seal_if_stored(f);
		break;
	case CALL_SEAL:
		f->roll->sealed++;
		break;
	case CALL_COMMIT:
		f->roll->committed++;
		manifest_commit(f->roll);
		break;
	default:
		break;
	}
}

/* What no repetition can cure: the file is not where it was left, or not what it was. Before the
 * commit nothing is lost by it, as the positions have not moved: the next session reads it again.
 */
static bool hopeless(const struct object_job *job, const struct error *err)
{
	return err->kind == ERROR_NOT_FOUND ||
	       (err->kind == ERROR_INVALID && job->kind == CALL_COMMIT);
}

static void call_hopeless(struct object_writer *w, const struct object_job *job,
			  const struct error *err)
{
	struct object_file *f = job->file;

	if (w->fatal.kind == ERROR_NONE) {
		w->fatal = *err;
		error_wrap(&w->fatal, "sink %s: %s %s", w->host->name, call_names[job->kind],
			   f->record->path);
		trouble_set(w, call_names[job->kind], f->record->path, err);
	}
	if (job->kind == CALL_COMMIT)
		f->roll->lost++;
	if (job->part)
		part_over(w, job->part);
}

static bool call_ended(void *arg, struct object_job *job, const struct error *err)
{
	struct object_writer *w = arg;

	if (err->kind == ERROR_NONE) {
		call_over(w, job);
		call_succeeded(w, job);
		return false;
	}
	if (w->stopping) {
		if (job->part)
			part_over(w, job->part);
		return false;
	}
	if (hopeless(job, err)) {
		call_over(w, job);
		call_hopeless(w, job, err);
		return false;
	}
	call_failed(w, job, err);
	return true;
}

/* --- rolls --- */

struct object_roll *object_roll_new(struct object_writer *w, uint64_t number)
{
	struct object_roll *r = memory_new(sizeof(*r));

	r->writer = w;
	r->record = roll_new(number, w->host->session, w->place->name, w->place->owner);
	r->began_ms = clock_boot_ms(w->host->clock);
	r->began_aws_ms = clock_aws_ms(w->host->clock);
	return r;
}

void object_roll_free(struct object_roll *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->record->file_count; i++)
		file_free(r->files[i]);
	free(r->files);
	roll_free(r->record);
	free(r);
}

bool object_roll_has_room(const struct object_roll *r, size_t files)
{
	const struct object_writer *w = r->writer;
	size_t most = template_route(w->path) ? (size_t)w->settings->roll_files : OBJECT_FILES_MAX;

	return r->record->file_count + files <= most;
}

size_t object_file_bytes(const struct object_writer *w)
{
	return compressor_bytes((enum compression)w->settings->compression) + BUFFER_FIRST;
}

size_t object_roll_lacks(const struct object_roll *r, const struct delivery *d)
{
	size_t lacks = 0;

	if (!d->route)
		return !file_find(r, d->batch->source, "");
	for (size_t place = 0; place < d->route->places; place++) {
		char *text = place_text(d->route, place);

		lacks += !file_find(r, d->batch->source, text);
		free(text);
	}
	return lacks;
}

size_t object_delivery_bytes(const struct delivery *d)
{
	size_t bytes = 0;

	for (size_t i = d->first; i < d->batch->count; i++)
		if (d->payloads[i].p)
			bytes += d->payloads[i].n + 1;
	return bytes;
}

/* Payloads that stand one behind the other and go to one place, with the newline that ends each,
 * are one run of bytes: the compressor is called a few times a delivery and not once a record. */
struct run {
	struct str bytes; /* p NULL: there are no more */
	size_t first;     /* its first record */
	uint64_t records;
};

static size_t place_of(const struct delivery *d, size_t record)
{
	return d->route ? d->route->of[record] : 0;
}

static struct run next_run(const struct delivery *d, size_t *at)
{
	struct run run = { 0 };

	for (; *at < d->batch->count; ++*at) {
		const struct str *payload = &d->payloads[*at];

		if (!payload->p)
			continue;
		if (!run.bytes.p) {
			run.bytes.p = payload->p;
			run.first = *at;
		} else if (run.bytes.p + run.bytes.n != payload->p ||
			   place_of(d, *at) != place_of(d, run.first)) {
			break;
		}
		run.bytes.n += payload->n + 1;
		run.records++;
	}
	return run;
}

/* Room for one more file that events name. The first is always let in. */
static bool may_add(const struct object_roll *r, struct error *err)
{
	const struct object_writer *w = r->writer;

	if (!object_roll_has_room(r, 1))
		return error_set(err, ERROR_THROTTLED,
				 "its events name more than %ld folders (roll.files): the rest of "
				 "them is for the next roll",
				 w->settings->roll_files);
	return r->record->file_count == 0 ||
	       w->held_bytes + object_file_bytes(w) <= w->host->memory_bytes ||
	       error_set(err, ERROR_THROTTLED,
			 "its events name more folders than a quarter of worker.memory has room "
			 "for: the rest of them is for the next roll");
}

/* The file that record i goes to. */
static struct object_file *file_of(struct object_roll *r, const struct delivery *d, size_t i,
				   struct error *err)
{
	const struct source *source = d->batch->source;
	char *text = d->route ? place_text(d->route, place_of(d, i)) : NULL;
	const char *place = text ? text : "";
	struct object_file *f = file_find(r, source, place);

	if (!f && (!d->route || may_add(r, err)))
		f = file_new(r, source, place, d->route ? batch_place(d->route, i) : NULL, err);
	free(text);
	return f;
}

bool object_roll_write(struct object_roll *r, const struct delivery *d, size_t *first,
		       struct error *err)
{
	struct object_file **files =
		memory_array(d->route ? d->route->places + 1 : 1, sizeof(struct object_file *));
	size_t at = d->first;
	struct run run;

	while ((run = next_run(d, &at)).bytes.p) {
		struct object_file **f = &files[place_of(d, run.first)];

		if (!*f)
			*f = file_of(r, d, run.first, err);
		if (!*f) {
			*first = run.first;
			break;
		}
		r->bytes += run.bytes.n;
		r->records += run.records;
		(*f)->record->records += run.records;
		file_write(*f, run.bytes);
	}
	free(files);
	return !run.bytes.p;
}

/* The list of the roll's files is one more file of it. */
static void manifest_add(struct object_roll *r)
{
	const struct object_writer *w = r->writer;
	char *folder = object_folder(w->place->prefix, w->settings->path);
	struct object_file *f;
	struct buf path, text;

	buf_init(&path, 0);
	buf_init(&text, 0);
	buf_printf(&path, "%s_manifest/", folder);
	file_name(r, file_number(r), "json", &path);
	roll_manifest(r->record, &text);
	f = file_add(r, "", "", "", COMPRESSION_NONE, path.data);
	f->record->manifest = true;
	file_write(f, buf_str(&text));
	buf_release(&path);
	buf_release(&text);
	free(folder);
}

void object_roll_seal(struct object_roll *r)
{
	size_t count = r->record->file_count;

	for (size_t i = 0; i < count; i++)
		file_end(r->files[i]);
	if (!r->writer->settings->manifest || count == 0)
		return;
	manifest_add(r);
	file_end(r->files[count]);
}

bool object_roll_sealed(const struct object_roll *r)
{
	return r->sealed == r->record->file_count;
}

void object_roll_commit(struct object_roll *r)
{
	for (size_t i = 0; i < r->record->file_count; i++)
		if (!r->record->files[i]->manifest)
			jobs_add(&r->writer->jobs, CALL_COMMIT, r->files[i], NULL);
}

bool object_roll_settled(const struct object_roll *r)
{
	return r->committed + r->lost == r->record->file_count;
}

/* --- life --- */

bool writer_init(struct object_writer *w, const struct place_ops *ops, const void *settings,
		 const struct sink_host *host, struct loop *loop, struct error *err)
{
	struct object_jobs_owner owner = { call_start, call_ended, w };

	*w = (struct object_writer){ .ops = ops, .settings = settings, .host = host };
	w->path = template_new(w->settings->path, TEMPLATE_PATH, err);
	if (!w->path)
		return error_wrap(err, "sink %s: path", host->name);
	w->place = ops->open(settings, host, loop, err);
	if (!w->place) {
		template_free(w->path);
		return error_wrap(err, "sink %s", host->name);
	}
	jobs_init(&w->jobs, loop, ops->calls_max, owner);
	pthread_mutex_init(&w->trouble_lock, NULL);
	return true;
}

static void drain(struct object_writer *w)
{
	int64_t end_ms = clock_boot_ms(w->host->clock) + DRAIN_MAX_MS;

	while (!jobs_idle(&w->jobs)) {
		int64_t left_ms = end_ms - clock_boot_ms(w->host->clock);

		if (left_ms <= 0)
			return;
		loop_once(w->jobs.loop, (int)left_ms);
	}
}

void writer_release(struct object_writer *w, struct object_roll *const rolls[2])
{
	w->stopping = true;
	jobs_forget(&w->jobs);
	/* What is under way ends first: an upload that is just being created could not be dropped,
	 * a part that is on its way would land behind the drop. */
	drain(w);
	for (int i = 0; i < 2; i++)
		for (size_t n = 0; rolls[i] && n < rolls[i]->record->file_count; n++)
			if (rolls[i]->files[n]->record->pending)
				jobs_add(&w->jobs, CALL_DROP, rolls[i]->files[n], NULL);
	drain(w);
	jobs_forget(&w->jobs);
	w->ops->close(w->place);
	jobs_release(&w->jobs);
	template_free(w->path);
	pthread_mutex_destroy(&w->trouble_lock);
}

const char *writer_trouble(struct object_writer *w, char *out, size_t size)
{
	pthread_mutex_lock(&w->trouble_lock);
	snprintf(out, size, "%s", w->trouble);
	pthread_mutex_unlock(&w->trouble_lock);
	return out[0] ? out : NULL;
}
