#include "export/file.h"

#include <assert.h>
#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/memory.h"

/* Behind a block's lines, for the decoder's padding. */
#define ROOM_BEHIND ((size_t)128)
#define MD5_BYTES   16
#define MD5_TEXT    25

struct file {
	struct aws_client *client;
	struct file_options options;
	char etag[S3_ETAG_MAX]; /* "" before the first range */
	uint64_t fetched, total;
	struct buf ranges[2]; /* [0] is being inflated, [1] waits; .size 0: not there */
	size_t used;          /* of ranges[0] */
	bool in_flight, freed, started;
	struct error err;    /* kind NONE: all well */
	struct error passes; /* of the range behind those that are there; the same */

	struct inflate_state inflate;
	bool inflating; /* inside a gzip member */
	EVP_MD_CTX *md5;
	struct buf carry;  /* the beginning of a line */
	uint64_t inflated; /* so far */
	uint64_t told;     /* where the next block begins */
	uint64_t passed;   /* lines before options.from */
	bool in_line;      /* the last of them is counted, and not at its end */
	bool ended;

	/* What was asked for. */
	struct loop_timer *turn;
	struct buf *lines;
	size_t size; /* it is full with so much */
	file_fn *fn;
	void *arg;
};

static bool fail(struct file *f, enum error_kind kind, const char *what)
{
	return error_set(&f->err, kind, "file %.300s, at byte %" PRIu64 " of %" PRIu64 ": %s",
			 f->options.place.key,
			 f->fetched - (f->ranges[0].size - f->used) - f->ranges[1].size, f->total,
			 what);
}

/* ---- fetching ---- */

static void work(struct file *f);

static void release(struct file *f)
{
	EVP_MD_CTX_free(f->md5);
	buf_release(&f->ranges[0]);
	buf_release(&f->ranges[1]);
	buf_release(&f->carry);
	free(f);
}

static bool has_all(const struct file *f)
{
	return f->total > 0 && f->fetched == f->total;
}

static void fetched(void *arg, const struct error *err, struct s3_range *r);

/* Into the place behind the range that is being inflated, if that is free. */
static void fetch(struct file *f)
{
	if (f->in_flight || f->ranges[1].size || has_all(f) || f->err.kind != ERROR_NONE ||
	    f->passes.kind != ERROR_NONE)
		return;
	f->in_flight = true;
	s3_get(f->client, &f->options.place, f->etag[0] ? f->etag : NULL, f->fetched,
	       f->options.range_bytes, fetched, f);
}

static void take(struct file *f, struct s3_range *r)
{
	struct buf *range = &f->ranges[f->ranges[0].size ? 1 : 0];

	memcpy(f->etag, r->etag, sizeof(f->etag));
	f->total = r->total;
	f->fetched += r->body->size;
	EVP_DigestUpdate(f->md5, r->body->data, r->body->size);
	*range = *r->body;
	*r->body = (struct buf){ 0 };
}

static void fetched(void *arg, const struct error *err, struct s3_range *r)
{
	struct file *f = arg;

	f->in_flight = false;
	if (f->freed) {
		release(f);
		return;
	}
	if (err->kind != ERROR_NONE) {
		struct error *told = error_passes(err->kind) ? &f->passes : &f->err;

		*told = *err;
		error_wrap(told, "file %.200s", f->options.place.key);
	} else if (f->total && r->total != f->total) {
		fail(f, ERROR_INVALID, "it has another size now");
	} else {
		take(f, r);
	}
	fetch(f);
	if (f->started)
		work(f);
}

/* ---- inflating ---- */

static bool damaged(struct file *f, int code)
{
	static const struct {
		int code;
		const char *what;
	} rows[] = {
		{ ISAL_INVALID_WRAPPER, "it is not gzip" },
		{ ISAL_UNSUPPORTED_METHOD, "it is not gzip" },
		{ ISAL_INCORRECT_CHECKSUM, "its CRC-32 is wrong: the file is damaged" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].code == code)
			return fail(f, ERROR_INVALID, rows[i].what);
	return fail(f, ERROR_INVALID, "its gzip data are damaged");
}

/* Room for `size` bytes in all, and for what the decoder puts behind. */
static void reserve(struct buf *b, size_t size)
{
	if (b->capacity >= size + ROOM_BEHIND)
		return;
	b->data = memory_resize(b->data, size + ROOM_BEHIND);
	b->capacity = size + ROOM_BEHIND;
	if (b->limit && b->limit < b->capacity)
		b->limit = b->capacity;
}

/* Lines of white space are none, as for the decoder. */
static void count_lines(struct file *f, const char *p, size_t n)
{
	for (const char *end = p + n; p < end; p++) {
		if (f->in_line) {
			p = memchr(p, '\n', (size_t)(end - p));
			if (!p)
				return;
			f->in_line = false;
		} else if ((unsigned char)*p > ' ') {
			f->in_line = true;
			f->passed++;
		}
	}
}

/* What comes before options.from is not for the caller, nor is what is verified. */
static void skip(struct file *f)
{
	uint64_t begin = f->inflated - f->lines->size, n;

	if (begin >= f->options.from && !f->options.verify)
		return;
	n = f->options.from - begin;
	if (n > f->lines->size || f->options.verify)
		n = f->lines->size;
	count_lines(f, f->lines->data, n);
	memmove(f->lines->data, f->lines->data + n, f->lines->size - n);
	f->lines->size -= n;
}

/* Goes on until the range or the room ends. */
static bool inflate_some(struct file *f)
{
	struct buf *range = &f->ranges[0], *out = f->lines;
	struct inflate_state *s = &f->inflate;
	size_t room = f->size - out->size;
	int code;

	if (!f->inflating) { /* a file may have several members */
		isal_inflate_reset(s);
		f->inflating = true;
	}
	s->next_in = (uint8_t *)range->data + f->used;
	s->avail_in = (uint32_t)(range->size - f->used);
	s->next_out = (uint8_t *)out->data + out->size;
	s->avail_out = (uint32_t)room;
	code = isal_inflate(s);
	if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT)
		return damaged(f, code);
	f->used = range->size - s->avail_in;
	out->size += room - s->avail_out;
	f->inflated += room - s->avail_out;
	if (s->block_state == ISAL_BLOCK_FINISH)
		f->inflating = false;
	skip(f);
	return true;
}

static void md5_check(struct file *f)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char ours[MD5_TEXT], what[160];

	EVP_DigestFinal_ex(f->md5, hash, NULL);
	EVP_EncodeBlock((unsigned char *)ours, hash, MD5_BYTES);
	if (!f->options.md5 || strcmp(ours, f->options.md5) == 0)
		return;
	snprintf(what, sizeof(what),
		 "its MD5 is %s, and the manifest says %.30s: it is damaged, or another file", ours,
		 f->options.md5);
	fail(f, ERROR_INVALID, what);
}

/* ---- blocks ---- */

static void answer(struct file *f, const struct error *err, const struct file_block *b)
{
	f->started = false;
	f->lines = NULL;
	f->fn(f->arg, err, b);
}

static void give(struct file *f)
{
	struct file_block b = { .from = f->told, .to = f->told + f->lines->size };
	const struct error none = { 0 };

	b.end = f->lines->size == 0;
	f->told = b.to;
	f->lines->data[f->lines->size] = '\0';
	answer(f, &none, &b);
}

/* Cuts the full block behind its last line, and the rest waits; else makes it longer. False: it is
 * too long. */
static bool cut(struct file *f, bool *good)
{
	struct buf *b = f->lines;
	const char *last = memrchr(b->data, '\n', b->size);
	size_t n = last ? (size_t)(last + 1 - b->data) : 0;

	*good = n > 0 && buf_add(&f->carry, b->data + n, b->size - n);
	if (*good) {
		b->size = n;
		return true;
	}
	f->size *= 2;
	if (f->size > FILE_LINE_BYTES_MAX)
		return fail(f, ERROR_INVALID, "it has a line of more than 16 MiB");
	reserve(b, f->size);
	return true;
}

/* All ranges are inflated: what there is are the last lines. */
static void finish(struct file *f)
{
	struct buf *b = f->lines;

	if (f->ended)
		return;
	if (f->inflating)
		fail(f, ERROR_INVALID, "it ends in the middle of its gzip data");
	else if (f->inflated < f->options.from)
		fail(f, ERROR_INVALID, "it ends before the place where it was to go on");
	else
		md5_check(f);
	f->ended = true;
	/* One byte more than a full block is always there. */
	if (b->size > 0 && b->data[b->size - 1] != '\n')
		b->data[b->size++] = '\n';
}

/* The next range takes the place of the one that is inflated. False: it has to come first. */
static bool advance(struct file *f)
{
	buf_release(&f->ranges[0]);
	f->ranges[0] = f->ranges[1];
	f->ranges[1] = (struct buf){ 0 };
	f->used = 0;
	fetch(f);
	return f->ranges[0].size > 0;
}

/* The range that is needed now was not to be had. What there is of the block waits. */
static void come_again(struct file *f)
{
	struct error passes = f->passes;
	bool kept = buf_add(&f->carry, f->lines->data, f->lines->size);

	assert(kept);
	buf_clear(f->lines);
	f->passes = (struct error){ 0 };
	answer(f, &passes, NULL);
}

/* Fills the block that is asked for, as far as what is there goes. */
static void work(struct file *f)
{
	bool full = false;

	while (f->err.kind == ERROR_NONE && !full) {
		if (f->lines->size >= f->size) {
			(void)!cut(f, &full);
		} else if (f->used < f->ranges[0].size) {
			(void)!inflate_some(f);
		} else if (has_all(f) && !f->ranges[1].size) {
			finish(f);
			break;
		} else if (!advance(f)) {
			if (f->passes.kind != ERROR_NONE)
				come_again(f);
			return;
		}
	}
	if (f->err.kind != ERROR_NONE)
		answer(f, &f->err, NULL);
	else
		give(f);
}

static void on_turn(void *arg)
{
	struct file *f = arg;
	bool taken;

	f->started = true;
	f->size = f->options.block_bytes + f->carry.size;
	reserve(f->lines, f->size);
	taken = f->carry.size == 0 || buf_add(f->lines, f->carry.data, f->carry.size);
	assert(taken);
	buf_clear(&f->carry);
	work(f);
}

struct file *file_new(struct aws_client *c, const struct file_options *o)
{
	struct file *f = memory_new(sizeof(*f));

	assert(o->range_bytes >= FILE_RANGE_BYTES_MIN && o->range_bytes <= INT32_MAX);
	assert(o->block_bytes > 0 && o->block_bytes <= FILE_LINE_BYTES_MAX);
	f->client = c;
	f->options = *o;
	f->told = o->from;
	f->md5 = EVP_MD_CTX_new();
	if (!f->md5 || EVP_DigestInit_ex(f->md5, EVP_md5(), NULL) != 1)
		abort();
	isal_inflate_init(&f->inflate);
	f->inflate.crc_flag = ISAL_GZIP;
	f->turn = loop_timer_new(aws_client_loop(c), on_turn, f);
	return f;
}

void file_free(struct file *f)
{
	if (!f)
		return;
	loop_timer_free(f->turn);
	f->started = false;
	f->freed = true;
	if (!f->in_flight) /* else when that is answered */
		release(f);
}

void file_next(struct file *f, struct buf *lines, file_fn *fn, void *arg)
{
	assert(!f->lines && lines->size == 0);
	f->lines = lines;
	f->fn = fn;
	f->arg = arg;
	loop_timer_arm(f->turn, 0);
}

uint64_t file_passed_lines(const struct file *f)
{
	return f->passed;
}

uint64_t file_fetched(const struct file *f)
{
	return f->fetched;
}

uint64_t file_total(const struct file *f)
{
	return f->total;
}
