#include "export/merging.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/memory.h"
#include "export/listing.h"

/* Files that are open at a time, as their ranges come one after the other; with two ranges and a
 * block each. */
#define SOURCES     4
#define RANGE_BYTES ((size_t)256 << 10)
#define BLOCK_BYTES ((size_t)256 << 10)
/* Rows in front of the place that are passed over in one turn of the loop. */
#define PASSED_AT_ONCE 1000

struct merging_source {
	struct merging *merging;
	struct file *file; /* NULL: none is open */
	char *bucket, *key;
	char md5[MANIFEST_MD5_SIZE];
	uint64_t number, items, lines;
	bool asked;
	struct buf block;
};

struct merging {
	struct aws_client *client;
	struct merging_options options;
	struct merge *merge;
	/* A pass over all files. */
	bool reading;
	size_t window;           /* whose files are read; count: all are */
	struct listing *listing; /* of it; NULL: not begun */
	bool listing_asked, listed;
	char *bucket; /* the listing's */
	const struct listing_file *files;
	size_t file_count, file_at;
	uint64_t file_number; /* of the next one in its window */
	struct merging_source sources[SOURCES];
	/* What goes out. */
	uint64_t row;   /* the number of the next one */
	uint64_t bytes; /* of those before it */
	bool ended;
	struct error err, passes; /* for good; of this moment */

	struct loop_timer *turn;
	struct buf *lines; /* asked for; NULL: nothing is */
	file_fn *fn;
	void *arg;
};

/* ---- a pass ---- */

static void close_source(struct merging_source *s)
{
	file_free(s->file);
	s->file = NULL;
	s->asked = false;
	free(s->bucket);
	free(s->key);
	s->bucket = s->key = NULL;
	buf_clear(&s->block);
}

static void close_listing(struct merging *m)
{
	listing_free(m->listing);
	m->listing = NULL;
	free(m->bucket);
	m->bucket = NULL;
	m->listing_asked = m->listed = false;
	m->files = NULL;
	m->file_count = m->file_at = 0;
}

static void close_all(struct merging *m)
{
	for (int i = 0; i < SOURCES; i++)
		close_source(&m->sources[i]);
	close_listing(m);
}

static void begin_pass(struct merging *m)
{
	close_all(m);
	merge_begin(m->merge);
	m->window = 0;
	m->file_number = 0;
	m->reading = true;
}

static void go_on(struct merging *m)
{
	if (m->lines)
		loop_timer_arm(m->turn, 0);
}

static bool is_of_moment(const struct error *err)
{
	return err->kind == ERROR_CANCELLED || error_passes(err->kind);
}

/* ---- files ---- */

static void on_block(void *arg, const struct error *err, const struct file_block *b)
{
	struct merging_source *s = arg;
	struct merging *m = s->merging;

	s->asked = false;
	if (err->kind != ERROR_NONE) {
		*(is_of_moment(err) ? &m->passes : &m->err) = *err;
	} else if (!b->end) {
		s->lines += merge_add(m->merge, m->options.windows[m->window].number, s->number,
				      s->lines, &s->block);
	} else {
		if (s->lines != s->items)
			error_set(&m->err, ERROR_INVALID,
				  "file %.200s has %" PRIu64
				  " rows, and the manifest says %" PRIu64,
				  s->key, s->lines, s->items);
		close_source(s);
	}
	go_on(m);
}

static void open_source(struct merging *m, struct merging_source *s)
{
	const struct listing_file *f = &m->files[m->file_at++];
	struct file_options o = { .range_bytes = RANGE_BYTES, .block_bytes = BLOCK_BYTES };
	const char *key;
	size_t n = listing_location(f->location, &key);

	s->bucket = memory_text_n(key - 1 - n, n);
	s->key = memory_text(key);
	memcpy(s->md5, f->md5, sizeof(s->md5));
	s->number = m->file_number++;
	s->items = f->items;
	s->lines = 0;
	o.place = (struct s3_place){ .bucket = s->bucket,
				     .key = s->key,
				     .bucket_owner = m->options.bucket_owner };
	o.md5 = s->md5;
	s->file = file_new(m->client, &o);
}

/* False: no file of this part of the list is open or to be opened. */
static bool read_files(struct merging *m)
{
	bool some = false;

	for (int i = 0; i < SOURCES; i++) {
		struct merging_source *s = &m->sources[i];

		if (!s->file && m->file_at < m->file_count)
			open_source(m, s);
		if (!s->file)
			continue;
		some = true;
		if (s->asked)
			continue;
		s->asked = true;
		file_next(s->file, &s->block, on_block, s);
	}
	return some;
}

/* ---- lists ---- */

static bool is_as_before(const struct merging *m, const struct manifest *is, struct error *err)
{
	const struct merging_window *was = &m->options.windows[m->window];

	if (!is->full && is->window.from_ms / 1000 == was->window.from_ms / 1000 &&
	    is->window.to_ms / 1000 == was->window.to_ms / 1000 && is->items == was->items &&
	    (is->view == MANIFEST_NEW_AND_OLD_IMAGES) == m->options.old_images)
		return true;
	return error_set(err, ERROR_INVALID, "%s is not what it was when it was exported",
			 was->manifest);
}

static void on_part(void *arg, const struct error *err, const struct listing_part *part)
{
	struct merging *m = arg;

	m->listing_asked = false;
	if (err->kind != ERROR_NONE) {
		*(is_of_moment(err) ? &m->passes : &m->err) = *err;
		/* It cannot be asked again, and which of its files were read is not kept. */
		begin_pass(m);
	} else {
		m->files = part->files;
		m->file_count = part->count;
		m->file_at = 0;
		m->listed = part->end;
		if (part->count == 0 && !part->end)
			(void)!is_as_before(m, part->manifest, &m->err);
	}
	go_on(m);
}

static void open_listing(struct merging *m)
{
	const struct merging_window *w = &m->options.windows[m->window];
	struct listing_place place = { .owner = m->options.bucket_owner,
				       .table_arn = m->options.table_arn };
	size_t n = listing_location(w->manifest, &place.key);

	if (n == 0) {
		error_set(&m->err, ERROR_INVALID, "\"%.300s\" is no place of a manifest",
			  w->manifest);
		return;
	}
	m->bucket = memory_text_n(place.key - 1 - n, n);
	place.bucket = m->bucket;
	m->listing = listing_new(m->client, &place);
	m->file_number = 0;
}

/* The next part of a list. False: the last one was read. */
static bool read_list(struct merging *m)
{
	if (m->listing_asked)
		return true;
	if (m->listed) {
		close_listing(m);
		m->window++;
	}
	if (m->window == m->options.count)
		return false;
	if (!m->listing)
		open_listing(m);
	if (m->listing) {
		m->listing_asked = true;
		listing_next(m->listing, on_part, m);
	}
	return true;
}

/* ---- blocks ---- */

static void answer(struct merging *m, const struct error *err, const struct file_block *b)
{
	m->lines = NULL;
	m->fn(m->arg, err, b);
}

/* The pass has no more rows. */
static void pass_over(struct merging *m)
{
	struct file_block end = { .from = m->row, .to = m->row, .end = true };
	const struct error none = { 0 };

	if (merge_more(m->merge)) {
		begin_pass(m);
		go_on(m);
	} else if (m->row < m->options.from) {
		error_set(&m->err, ERROR_INVALID,
			  "it has %" PRIu64 " rows, and was to go on behind %" PRIu64, m->row,
			  m->options.from);
		go_on(m);
	} else {
		m->ended = true;
		answer(m, &none, &end);
	}
}

static void give(struct merging *m)
{
	const struct error none = { 0 };
	struct file_block b;
	bool more = true;

	for (int i = 0; more && m->row < m->options.from && i < PASSED_AT_ONCE; i++) {
		more = merge_next(m->merge, m->lines);
		m->row += more;
		m->bytes += m->lines->size;
		buf_clear(m->lines);
	}
	if (more && m->row < m->options.from) {
		go_on(m);
		return;
	}
	b = (struct file_block){ .from = m->row };
	while (more && m->lines->size < m->options.block_bytes) {
		more = merge_next(m->merge, m->lines);
		m->row += more;
	}
	b.to = m->row;
	m->bytes += m->lines->size;
	if (m->lines->size)
		answer(m, &none, &b);
	else
		pass_over(m);
}

static void on_turn(void *arg)
{
	struct merging *m = arg;
	struct error passes = m->passes;

	if (m->err.kind != ERROR_NONE) {
		answer(m, &m->err, NULL);
	} else if (passes.kind != ERROR_NONE) {
		m->passes = (struct error){ 0 };
		answer(m, &passes, NULL);
	} else if (!m->reading) {
		give(m);
	} else if (!read_files(m) && !read_list(m)) {
		m->reading = !merge_end(m->merge);
		if (m->reading)
			begin_pass(m);
		go_on(m);
	} else if (m->err.kind != ERROR_NONE) {
		go_on(m);
	}
}

struct merging *merging_new(struct aws_client *c, const struct merging_options *o)
{
	struct merging *m = memory_new(sizeof(*m));
	struct merge_options merge = { .source = o->source,
				       .old_images = o->old_images,
				       .part = o->part,
				       .parts = o->parts,
				       .memory_bytes = o->memory_bytes };

	assert(o->count > 0 && o->block_bytes > 0);
	m->client = c;
	m->options = *o;
	m->merge = merge_new(&merge);
	m->turn = loop_timer_new(aws_client_loop(c), on_turn, m);
	for (int i = 0; i < SOURCES; i++)
		m->sources[i].merging = m;
	begin_pass(m);
	return m;
}

void merging_free(struct merging *m)
{
	if (!m)
		return;
	loop_timer_free(m->turn);
	m->lines = NULL;
	close_all(m);
	for (int i = 0; i < SOURCES; i++)
		buf_release(&m->sources[i].block);
	merge_free(m->merge);
	free(m);
}

void merging_next(struct merging *m, struct buf *lines, file_fn *fn, void *arg)
{
	assert(!m->lines && lines->size == 0 && !m->ended);
	m->lines = lines;
	m->fn = fn;
	m->arg = arg;
	go_on(m);
}

uint64_t merging_passed_bytes(const struct merging *m)
{
	return m->bytes;
}
