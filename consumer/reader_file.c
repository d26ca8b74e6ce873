/* Data files of exports are fetched, and ranges of batches: a block of whole lines is a page. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "consumer/reader_internal.h"
#include "event/decode.h"
#include "export/merging.h"

/* As large as a shard's largest page. */
#define BLOCK_BYTES  ((size_t)1 << 20)
#define LOG_EVERY_MS 10000

/* --- open files --- */

static bool is_open(const struct lane_file *f)
{
	return f->file || f->merging;
}

static void open_range(struct reader *r, struct lane *l)
{
	const struct lane_stream *s = l->stream;
	struct lane_file *f = l->file;
	struct merging_options o = { .windows = s->batch->windows,
				     .count = s->batch->count,
				     .table_arn = s->batch->table_arn,
				     .bucket_owner = s->bucket_owner,
				     .source = &s->source,
				     .old_images = s->rows.old_images,
				     .part = f->part,
				     .parts = f->parts,
				     .memory_bytes = s->batch->memory_bytes,
				     .from = lane_place(&l->read),
				     .block_bytes = BLOCK_BYTES };

	f->merging = merging_new(r->client, &o);
	atomic_store_explicit(&f->rows, o.from, memory_order_relaxed);
}

static void open_file(struct reader *r, struct lane *l)
{
	struct lane_file *f = l->file;
	struct file_options o = { .place = { .bucket = f->bucket,
					     .key = f->key,
					     .bucket_owner = l->stream->bucket_owner },
				  .md5 = f->md5,
				  .from = lane_place(&l->read),
				  .range_bytes = READER_RANGE_BYTES,
				  .block_bytes = BLOCK_BYTES,
				  .verify = f->suspect };

	f->verifying = f->suspect;
	f->file = file_new(r->client, &o);
	atomic_store_explicit(&f->bytes, o.from, memory_order_relaxed);
}

static void open(struct reader *r, struct lane *l)
{
	struct lane_file *f = l->file;

	if (f->parts)
		open_range(r, l);
	else
		open_file(r, l);
	f->reader = r;
	f->next = r->files;
	r->files = f;
}

void reader_shut_file(struct reader *r, struct lane_file *f)
{
	struct lane_file **at = &r->files;

	if (!is_open(f))
		return;
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	file_free(f->file);
	f->file = NULL;
	merging_free(f->merging);
	f->merging = NULL;
	buf_release(&f->lines);
}

static file_fn on_block;

static void next_block(struct reader *r, struct lane *l)
{
	struct lane_file *f = l->file;

	if (!is_open(f))
		open(r, l);
	f->asked = true;
	if (f->merging)
		merging_next(f->merging, &f->lines, on_block, f);
	else
		file_next(f->file, &f->lines, on_block, f);
}

/* --- what is told --- */

/* The fetch gave nothing, and nothing more is fetched. */
static void tell_left(struct reader *r, struct lane *l)
{
	r->fetching--;
	reader_tell_core(r, (struct core_event){ .type = CORE_FETCH_FAILED,
						 .lane = l->index,
						 .failure = ERROR_INVALID,
						 .leaves = true });
}

void reader_fail_file(struct reader *r, struct lane *l, const char *what, const char *why)
{
	struct lane_file *f = l->file;

	if (f->failed)
		return;
	f->failed = true;
	snprintf(f->failure, sizeof(f->failure), "%s: %s", what, why);
	lane_well(r, l); /* the store tells of files that failed */
	reader_shut_file(r, f);
	if (!f->asked)
		return;
	f->asked = false;
	tell_left(r, l);
}

void reader_stop_file(struct reader *r, struct lane *l, const char *what, const char *why)
{
	l->file->stopped = l->file->stopped || !l->file->failed;
	reader_fail_file(r, l, what, why);
}

/* It may work later, and what is there of it stays. */
static void come_again(struct reader *r, struct lane *l, const struct error *err)
{
	bool cancelled = err->kind == ERROR_CANCELLED;
	uint64_t repeated;

	if (!cancelled && err->kind != ERROR_THROTTLED)
		lane_ill(r, l, err->message);
	if (!cancelled &&
	    log_limit_pass(&r->fetch_log, loop_now_ms(r->loop), LOG_EVERY_MS, &repeated))
		log_warn("a data file could not be read, it is asked again",
			 log_text("export", l->stream->source.stream), log_text("file", l->shard),
			 log_text("kind", error_kind_name(err->kind)),
			 log_text("error", err->message), log_int("repeated", (int64_t)repeated));
	r->fetching--;
	reader_tell_core(r, (struct core_event){ .type = CORE_FETCH_FAILED,
						 .lane = l->index,
						 .failure = err->kind == ERROR_THROTTLED
								    ? ERROR_THROTTLED
								    : ERROR_RETRY });
}

void reader_shut_files(struct reader *r)
{
	const struct error cancelled = { .kind = ERROR_CANCELLED };

	for (struct lane_file *f = r->files, *next; f; f = next) {
		bool asked = f->asked;

		next = f->next;
		f->asked = false;
		reader_shut_file(r, f);
		if (asked)
			come_again(r, f->lane, &cancelled);
	}
}

static void cannot_be_read(struct reader *r, struct lane *l, const struct error *err)
{
	/* Of a range nothing is delivered before all of its files were proven. */
	l->file->damaged = err->kind == ERROR_INVALID && !l->file->parts;
	reader_fail_file(r, l, "it cannot be loaded", err->message);
	tell_left(r, l);
}

static void miscounted(struct reader *r, struct lane *l, uint64_t rows)
{
	char why[100];

	snprintf(why, sizeof(why), "it has %" PRIu64 " rows, and the manifest says %" PRIu64, rows,
		 l->file->items);
	reader_fail_file(r, l, "it cannot be loaded", why);
	tell_left(r, l);
}

static void end_file(struct reader *r, struct lane *l)
{
	reader_shut_file(r, l->file);
	lane_well(r, l);
	r->fetching--;
	reader_tell_core(
		r, (struct core_event){ .type = CORE_PAGE, .lane = l->index, .closed = true });
}

/* All of it was there and is what the manifest says. */
static void read_to_its_end(struct reader *r, struct lane *l)
{
	struct lane_file *f = l->file;
	uint64_t rows;

	if (f->merging) { /* their rows were counted */
		end_file(r, l);
		return;
	}
	rows = file_passed_lines(f->file) + f->counted;
	if (rows != f->items) {
		miscounted(r, l, rows);
		return;
	}
	if (f->verifying) {
		reader_shut_file(r, f);
		f->suspect = false;
		next_block(r, l);
		return;
	}
	atomic_store_explicit(&f->rows, rows, memory_order_relaxed);
	end_file(r, l);
}

/* --- blocks --- */

static void count_block(struct lane_file *f, const struct batch *b, const struct file_block *block)
{
	uint64_t rows = block->to, bytes = block->to;

	f->counted += b->count;
	if (f->merging)
		bytes = merging_passed_bytes(f->merging);
	else
		rows = file_passed_lines(f->file) + f->counted;
	atomic_store_explicit(&f->rows, rows, memory_order_relaxed);
	atomic_store_explicit(&f->bytes, bytes, memory_order_relaxed);
}

static void read_block(struct reader *r, struct lane *l, const struct file_block *block)
{
	const struct lane_stream *s = l->stream;
	struct lane_file *f = l->file;
	struct decode_options o = { .encodings = s->encodings,
				    .encoding_count = s->encoding_count,
				    .now_ms = clock_aws_ms(r->settings.clock),
				    .filter = s->filter,
				    .schemas = s->schemas,
				    .unfit = s->unfit,
				    .outputs = s->outputs,
				    .output_count = s->sink_count };
	struct batch *b = page_batch(r, l, &f->lines);
	struct core_event e = { .type = CORE_PAGE, .lane = l->index, .bytes = b->body.size };

	b->place = block->from;
	b->numbered = f->merging != NULL;
	decode_lines(b, &o, &s->rows);
	e.records = b->count;
	count_block(f, b, block);
	l->read = lane_at_place(block->to);
	if (page_end(l, b, b->count, &e))
		e.end = l->read; /* with what is blank behind the last row */
	r->fetching--;
	lane_well(r, l);
	page_deliver(r, l, b, &e);
}

static void on_block(void *arg, const struct error *err, const struct file_block *block)
{
	struct lane_file *f = arg;
	struct lane *l = f->lane;
	struct reader *r = f->reader;

	f->asked = false;
	if (err->kind == ERROR_CANCELLED || error_passes(err->kind))
		come_again(r, l, err);
	else if (!block)
		cannot_be_read(r, l, err);
	else if (block->end)
		read_to_its_end(r, l);
	else
		read_block(r, l, block);
}

void reader_fetch_file(struct reader *r, struct lane *l)
{
	struct lane_file *f = l->file;

	r->fetching++;
	if (f->failed) { /* the core did not know it yet */
		tell_left(r, l);
		return;
	}
	next_block(r, l);
}
