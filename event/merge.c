#include "event/merge.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/decode.h"
#include "event/line.h"

/* A pass is cut by the hash into so many slices. Where memory gets short the last ones go, whole.
 */
#define SLICES    16
#define TABLE_MIN 64

/* Where a line came from. */
struct origin {
	uint64_t window, file, line;
};

struct text {
	char *p;
	size_t n, room;
};

struct row {
	uint64_t hash;
	struct origin first, last;
	struct str key;   /* a bad one: the line */
	struct text old;  /* of the first line: its old image; n 0: it has none */
	struct text rest; /* of the last line: "Keys":…,"NewImage":… */
	int64_t time_ms;
	bool present, bad; /* present: with a new image */
};

struct slice {
	struct arena texts;
	struct row *rows;
	size_t count, capacity;
	uint32_t *table; /* row + 1 by hash; 0: free */
	size_t table_size;
};

struct merge {
	struct merge_options options;
	EVP_MD_CTX *hash;
	struct batch *batch; /* of the lines that are added */
	uint64_t last;       /* hash of the part, the highest */
	/* The pass: hashes from `from` to `to`, in slices of `width`, of which `live` are kept. */
	uint64_t from, to, width;
	uint32_t live;
	struct slice slices[SLICES];
	size_t bytes;
	bool torn;  /* not even one slice fits */
	bool ended; /* its lines go out, */
	uint32_t out_slice;
	size_t out_row; /* from this one on */
	bool sorted;    /* that slice is */
};

/* ---- memory ---- */

static size_t slice_bytes(const struct slice *s)
{
	return s->texts.bytes + s->capacity * sizeof(*s->rows) + s->table_size * sizeof(*s->table);
}

static void slice_release(struct merge *m, struct slice *s)
{
	m->bytes -= slice_bytes(s);
	arena_release(&s->texts);
	free(s->rows);
	free(s->table);
	*s = (struct slice){ 0 };
}

static void release_all(struct merge *m)
{
	for (uint32_t i = 0; i < SLICES; i++)
		slice_release(m, &m->slices[i]);
}

/* Hash of the first key of a part; of the one behind the last part it is 0. */
static uint64_t part_begin(const struct merge_options *o, uint32_t part)
{
	return (uint64_t)(((unsigned __int128)part << 64) / o->parts);
}

struct merge *merge_new(const struct merge_options *o)
{
	struct merge *m = memory_new(sizeof(*m));

	assert(o->part < o->parts);
	m->options = *o;
	m->hash = EVP_MD_CTX_new();
	if (!m->hash || EVP_DigestInit_ex(m->hash, EVP_sha256(), NULL) != 1)
		abort();
	m->batch = batch_new();
	m->from = part_begin(o, o->part);
	m->to = m->last = part_begin(o, o->part + 1) - 1;
	return m;
}

void merge_free(struct merge *m)
{
	if (!m)
		return;
	release_all(m);
	EVP_MD_CTX_free(m->hash);
	batch_free(m->batch);
	free(m);
}

/* ---- a pass ---- */

/* The highest hash that this pass has. */
static uint64_t reached(const struct merge *m)
{
	uint64_t kept = m->live * m->width;

	return kept > m->to - m->from ? m->to : m->from + kept - 1;
}

/* Behind a pass for which there was too little memory the next one tries some times as many keys as
 * that one had: its slices are small enough, and there are few passes. */
static void next_part(struct merge *m)
{
	uint64_t had = reached(m) - m->from, left;

	assert(reached(m) < m->last);
	m->from = reached(m) + 1;
	left = m->last - m->from;
	m->to = had < left / 8 ? m->from + 4 * had + 3 : m->last;
}

void merge_begin(struct merge *m)
{
	if (m->torn)
		m->to = m->from + m->width - 1;
	else if (m->ended)
		next_part(m);
	m->torn = m->ended = m->sorted = false;
	release_all(m);
	m->width = (m->to - m->from) / SLICES + 1;
	m->live = SLICES;
	m->out_slice = 0;
	m->out_row = 0;
}

/* The last slices go until it fits. One key, however long its lines are, is kept. */
static void keep_bounds(struct merge *m)
{
	while (m->bytes > m->options.memory_bytes && m->live > 1)
		slice_release(m, &m->slices[--m->live]);
	if (m->bytes <= m->options.memory_bytes || m->width == 1)
		return;
	slice_release(m, &m->slices[0]);
	m->torn = true;
}

static uint64_t hash_of(struct merge *m, struct str key)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	uint64_t hash = 0;

	if (EVP_DigestInit_ex(m->hash, NULL, NULL) != 1 ||
	    EVP_DigestUpdate(m->hash, key.p, key.n) != 1 ||
	    EVP_DigestFinal_ex(m->hash, digest, NULL) != 1)
		abort();
	for (int i = 0; i < 8; i++)
		hash = hash << 8 | digest[i];
	return hash;
}

/* NULL: it is of another part, or of one for which there is no room in this pass. */
static struct slice *slice_of(struct merge *m, uint64_t hash)
{
	uint64_t i;

	if (hash < m->from || hash > m->to)
		return NULL;
	i = (hash - m->from) / m->width;
	return i < m->live ? &m->slices[i] : NULL;
}

/* ---- rows ---- */

static void table_put(struct slice *s, uint32_t row)
{
	size_t mask = s->table_size - 1, at = s->rows[row].hash & mask;

	while (s->table[at])
		at = (at + 1) & mask;
	s->table[at] = row + 1;
}

static void table_grow(struct slice *s)
{
	s->table_size = s->table_size ? 2 * s->table_size : TABLE_MIN;
	free(s->table);
	s->table = memory_array(s->table_size, sizeof(*s->table));
	for (size_t i = 0; i < s->count; i++)
		if (!s->rows[i].bad)
			table_put(s, (uint32_t)i);
}

static struct row *find(const struct slice *s, uint64_t hash, struct str key)
{
	size_t mask = s->table_size - 1;

	for (size_t at = hash & mask; s->table_size && s->table[at]; at = (at + 1) & mask) {
		struct row *r = &s->rows[s->table[at] - 1];

		if (r->hash == hash && str_equal(r->key, key))
			return r;
	}
	return NULL;
}

static struct row *add_row(struct slice *s, uint64_t hash, struct str key, bool bad)
{
	struct row *r;

	if (s->count == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : TABLE_MIN / 2;
		s->rows = memory_resize(s->rows, s->capacity * sizeof(*s->rows));
	}
	r = &s->rows[s->count++];
	*r = (struct row){ .hash = hash, .key = arena_copy(&s->texts, key), .bad = bad };
	if (2 * s->count > s->table_size)
		table_grow(s);
	else if (!bad)
		table_put(s, (uint32_t)s->count - 1);
	return r;
}

static int origin_compare(const struct origin *a, const struct origin *b)
{
	if (a->window != b->window)
		return a->window < b->window ? -1 : 1;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	return a->line == b->line ? 0 : a->line < b->line ? -1 : 1;
}

/* Where the text before was as long, in its place. */
static char *text_set(struct slice *s, struct text *t, size_t n)
{
	if (n > t->room) {
		t->p = arena_alloc(&s->texts, n);
		t->room = n;
	}
	t->n = n;
	return t->p;
}

static char *put(char *o, struct str text)
{
	memcpy(o, text.p, text.n);
	return o + text.n;
}

static void set_first(struct slice *s, struct row *r, const struct origin *at,
		      const struct line_parts *parts)
{
	char *o = text_set(s, &r->old, parts->old_image.n);

	r->first = *at;
	if (r->old.n)
		put(o, parts->old_image);
}

static void set_last(struct slice *s, struct row *r, const struct origin *at, const struct event *e,
		     const struct line_parts *parts)
{
	const struct str keys = STR("\"Keys\":"), image = STR(",\"NewImage\":");
	size_t n = keys.n + parts->keys.n;
	char *o;

	r->last = *at;
	r->time_ms = e->time_ms;
	r->present = parts->new_image.p != NULL;
	if (r->present)
		n += image.n + parts->new_image.n;
	o = put(put(text_set(s, &r->rest, n), keys), parts->keys);
	if (r->present)
		put(put(o, image), parts->new_image);
}

static void add_line(struct merge *m, const struct event *e, const struct origin *at)
{
	struct str key = e->bad ? e->raw : e->key;
	uint64_t hash = hash_of(m, key);
	struct slice *s = slice_of(m, hash);
	struct line_parts parts;
	size_t before;
	struct row *r;

	if (!s)
		return;
	before = slice_bytes(s);
	r = e->bad ? NULL : find(s, hash, key);
	parts = e->bad ? (struct line_parts){ 0 } : line_parts(e->raw.p);
	if (!m->options.old_images)
		parts.old_image = (struct str){ 0 };
	if (!r) {
		r = add_row(s, hash, key, e->bad != NULL);
		set_first(s, r, at, &parts);
		if (!r->bad)
			set_last(s, r, at, e, &parts);
	} else {
		if (origin_compare(at, &r->first) < 0)
			set_first(s, r, at, &parts);
		if (origin_compare(at, &r->last) > 0)
			set_last(s, r, at, e, &parts);
	}
	m->bytes += slice_bytes(s) - before;
	keep_bounds(m);
}

size_t merge_add(struct merge *m, uint64_t window, uint64_t file, uint64_t line, struct buf *lines)
{
	static const struct decode_options nothing;
	struct rows rows = { .window = window, .old_images = m->options.old_images };
	struct batch *b = m->batch;
	struct buf body = *lines;

	*lines = b->body;
	b->body = body;
	b->source = m->options.source;
	decode_lines(b, &nothing, &rows);
	for (size_t i = 0; i < b->count && !m->torn; i++) {
		struct origin at = { window, file, line + i };

		add_line(m, &b->events[i], &at);
	}
	line = b->count;
	body = b->body;
	b->body = *lines;
	*lines = body;
	buf_clear(lines);
	batch_clear(b);
	return line;
}

bool merge_end(struct merge *m)
{
	m->ended = !m->torn;
	return m->ended;
}

/* ---- what goes out ---- */

static int row_compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
	int order;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->bad != y->bad)
		return x->bad ? 1 : -1;
	order = memcmp(x->key.p, y->key.p, n);
	if (order == 0 && x->key.n != y->key.n)
		order = x->key.n < y->key.n ? -1 : 1;
	return order ? order : origin_compare(&x->first, &y->first);
}

/* NULL: there is none any more. */
static const struct row *next_row(struct merge *m)
{
	while (m->out_slice < m->live) {
		struct slice *s = &m->slices[m->out_slice];

		if (!m->sorted && s->count)
			qsort(s->rows, s->count, sizeof(*s->rows), row_compare);
		m->sorted = true;
		if (m->out_row < s->count)
			return &s->rows[m->out_row++];
		slice_release(m, s);
		m->out_slice++;
		m->out_row = 0;
		m->sorted = false;
	}
	return NULL;
}

static void add(struct buf *out, const char *p, size_t n)
{
	bool added = buf_add(out, p, n);

	assert(added); /* a line is well below any buffer's limit */
}

static void write_row(const struct row *r, struct buf *out)
{
	if (r->bad) {
		add(out, r->key.p, r->key.n);
	} else {
		buf_printf(out,
			   "{\"Window\":%" PRIu64
			   ",\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"%" PRId64 "\"}},",
			   r->last.window, r->time_ms * 1000);
		add(out, r->rest.p, r->rest.n);
		if (r->old.n) {
			buf_text(out, ",\"OldImage\":");
			add(out, r->old.p, r->old.n);
		}
		buf_text(out, "}");
	}
	buf_text(out, "\n");
}

bool merge_next(struct merge *m, struct buf *out)
{
	const struct row *r;

	assert(m->ended);
	do
		r = next_row(m);
	while (r && !r->bad && m->options.old_images && !r->present && r->old.n == 0);
	if (r)
		write_row(r, out);
	return r != NULL;
}

bool merge_more(const struct merge *m)
{
	return reached(m) != m->last;
}

size_t merge_bytes(const struct merge *m)
{
	return m->bytes;
}
