/* Windows' lines as one line a key: against what became of the items, whatever the order, the parts
 * and the memory. */
#include "base/rng.h"
#include "event/merge.h"
#include "tests/unit/event/decoding.h"

#define WINDOWS 5
#define FILES   3
#define KEYS    400

/* A block of lines of one file. */
struct block {
	uint64_t window, file, line;
	struct buf lines;
};

static const struct merge_options whole = {
	.source = &decoding_source, .old_images = true, .parts = 1, .memory_bytes = 64 << 20
};

/* All of a part, the blocks each time anew; *passes and *most: how many it took, and held. */
static struct buf merged(const struct merge_options *o, struct block *blocks, size_t count,
			 unsigned *passes, size_t *most)
{
	struct merge *m = merge_new(o);
	struct buf out = { 0 }, copy = { 0 };

	*passes = 0;
	*most = 0;
	do {
		(*passes)++;
		merge_begin(m);
		for (size_t i = 0; i < count; i++) {
			const struct block *b = &blocks[i];

			assert_true(buf_add(&copy, b->lines.data, b->lines.size));
			merge_add(m, b->window, b->file, b->line, &copy);
			assert_int_equal(copy.size, 0);
			if (merge_bytes(m) > *most)
				*most = merge_bytes(m);
		}
		if (!merge_end(m))
			continue;
		while (merge_next(m, &out))
			;
	} while (!merge_end(m) || merge_more(m));
	merge_free(m);
	buf_release(&copy);
	return out;
}

static struct batch *decoded(const struct buf *lines, const struct merge_options *o)
{
	const struct encoding debezium = { .format = FORMAT_DEBEZIUM };
	const struct rows rows = { .window = WINDOWS, .old_images = o->old_images, .merged = true };
	struct decode_options d = { .encodings = &debezium, .encoding_count = 1 };
	struct batch *b = decoding_batch(buf_str(lines), &decoding_source);

	b->shard = NULL;
	decode_lines(b, &d, &rows);
	return b;
}

static void add_line(struct buf *out, unsigned key, unsigned window, unsigned old, unsigned new)
{
	buf_printf(out,
		   "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"%llu\"}},"
		   "\"Keys\":{\"pk\":{\"S\":\"k%u\"},\"sk\":{\"N\":\"1\"}}",
		   1763700000000000ull + window * 1000000ull, key);
	if (old)
		buf_printf(out,
			   ",\"OldImage\":{\"pk\":{\"S\":\"k%u\"},\"sk\":{\"N\":\"1\"},"
			   "\"v\":{\"N\":\"%u\"}}",
			   key, old);
	if (new)
		buf_printf(out,
			   ",\"NewImage\":{\"v\":{\"N\":\"%u\"},\"pk\":{\"S\":\"k%u\"},"
			   "\"sk\":{\"N\":\"1\"},\"pad\":{\"S\":\"%0*u\"}}",
			   new, key, (int)(new % 97), 7);
	buf_text(out, "}\n");
}

/* ---- what becomes of an item ---- */

static const struct {
	const char *name;
	struct {
		unsigned old, new;
	} lines[4]; /* of windows 1, 2, … ; both 0: none */
	char op;    /* ' ': no event */
	unsigned before, after, window;
} cases[] = {
	{ "made", { { 0, 5 } }, 'c', 0, 5, 1 },
	{ "changed", { { 4, 5 } }, 'u', 4, 5, 1 },
	{ "deleted", { { 4, 0 } }, 'd', 4, 0, 1 },
	{ "made and changed", { { 0, 5 }, { 5, 6 } }, 'c', 0, 6, 2 },
	{ "changed twice, with a pause", { { 4, 5 }, { 0, 0 }, { 5, 6 } }, 'u', 4, 6, 3 },
	{ "made, changed, deleted", { { 0, 5 }, { 5, 6 }, { 6, 0 } }, ' ', 0, 0, 0 },
	{ "changed, deleted", { { 4, 5 }, { 5, 0 } }, 'd', 4, 0, 2 },
	{ "deleted and made anew", { { 4, 0 }, { 0, 7 } }, 'u', 4, 7, 2 },
	{ "deleted, made, deleted", { { 4, 0 }, { 0, 7 }, { 7, 0 } }, 'd', 4, 0, 3 },
	{ "made, deleted, made", { { 0, 5 }, { 5, 0 }, { 0, 8 } }, 'c', 0, 8, 3 },
};

static void assert_image(struct str payload, const char *name, unsigned value)
{
	char text[80];

	snprintf(text, sizeof(text), value ? "\"%s\":{" : "\"%s\":null", name);
	assert_non_null(memmem(payload.p, payload.n, text, strlen(text)));
	snprintf(text, sizeof(text), "\"v\":%u", value);
	if (value)
		assert_non_null(memmem(payload.p, payload.n, text, strlen(text)));
}

static void a_batch_says_what_became_of_an_item(void **state)
{
	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct block blocks[4] = { 0 };
		char window[4];
		unsigned passes;
		size_t most;
		struct buf out;
		AUTO(batch) struct batch *b = NULL;

		print_message("%s\n", cases[c].name);
		for (unsigned i = 0; i < 4; i++) { /* the last window first */
			struct block *k = &blocks[3 - i];

			k->window = i + 1;
			if (cases[c].lines[i].old || cases[c].lines[i].new)
				add_line(&k->lines, 1, i + 1, cases[c].lines[i].old,
					 cases[c].lines[i].new);
		}
		out = merged(&whole, blocks, 4, &passes, &most);
		b = decoded(&out, &whole);
		assert_int_equal(b->count, cases[c].op != ' ');
		if (b->count) {
			struct str payload = b->payloads[0][0];

			assert_null(b->events[0].bad);
			assert_int_equal(event_op_letter(b->events[0].op), cases[c].op);
			assert_image(payload, "before", cases[c].before);
			assert_image(payload, "after", cases[c].after);
			snprintf(window, sizeof(window), "%u", cases[c].window);
			assert_memory_equal(b->events[0].sequence.digits, window, strlen(window));
			assert_int_equal(b->events[0].time_ms,
					 1763700000000 + cases[c].window * 1000);
		}
		for (unsigned i = 0; i < 4; i++)
			buf_release(&blocks[i].lines);
		buf_release(&out);
	}
}

/* The last line wins, and a delete stays one: nobody knows whether anything was there before. */
static void without_old_images_the_last_line_stands(void **state)
{
	struct merge_options o = whole;
	struct block blocks[2] = { { .window = 3 }, { .window = 4 } };
	unsigned passes;
	size_t most;
	struct buf out;
	AUTO(batch) struct batch *b = NULL;

	(void)state;
	o.old_images = false;
	add_line(&blocks[0].lines, 1, 3, 0, 5);
	add_line(&blocks[0].lines, 2, 3, 0, 5);
	add_line(&blocks[1].lines, 1, 4, 0, 6);
	add_line(&blocks[1].lines, 2, 4, 0, 0);
	out = merged(&o, blocks, 2, &passes, &most);
	b = decoded(&out, &o);
	assert_int_equal(b->count, 2);
	for (size_t i = 0; i < 2; i++) {
		bool gone = b->events[i].op == EVENT_DELETE;

		assert_true(gone || b->events[i].op == EVENT_READ);
		assert_int_equal(b->events[i].sequence.digits[0], '4');
		assert_image(b->payloads[0][i], "after", gone ? 0 : 6);
		assert_non_null(
			memmem(b->events[i].key.p, b->events[i].key.n, gone ? "k2" : "k1", 2));
	}
	buf_release(&blocks[0].lines);
	buf_release(&blocks[1].lines);
	buf_release(&out);
}

/* ---- many ---- */

struct model {
	struct block blocks[WINDOWS * FILES * 4];
	size_t count;
	unsigned before[KEYS], after[KEYS], window[KEYS]; /* window 0: no line */
};

static void make(struct model *m, struct rng *r)
{
	unsigned value = 1;

	memset(m, 0, sizeof(*m));
	for (unsigned k = 0; k < KEYS; k++)
		m->before[k] = m->after[k] = rng_below(r, 2) ? value++ : 0;
	for (unsigned w = 1; w <= WINDOWS; w++) {
		struct block *first = &m->blocks[m->count];
		uint64_t lines[FILES] = { 0 };

		for (unsigned i = 0; i < FILES * 4; i++)
			first[i] = (struct block){ .window = w, .file = i / 4 };
		for (unsigned k = 0; k < KEYS; k++) {
			unsigned next = rng_below(r, 3) ? value++ : 0;
			struct block *b = &first[rng_below(r, FILES * 4)];

			if (rng_below(r, 2) || (!m->after[k] && !next))
				continue;
			add_line(&b->lines, k, w, m->after[k], next);
			m->after[k] = next;
			m->window[k] = w;
		}
		for (unsigned i = 0; i < FILES * 4; i++) {
			first[i].line = lines[i / 4];
			for (size_t at = 0; at < first[i].lines.size; at++)
				lines[i / 4] += first[i].lines.data[at] == '\n';
		}
		m->count += FILES * 4;
	}
}

static void shuffle(struct model *m, struct rng *r)
{
	for (size_t i = m->count; i-- > 1;) {
		size_t other = rng_below(r, i + 1);
		struct block b = m->blocks[i];

		m->blocks[i] = m->blocks[other];
		m->blocks[other] = b;
	}
}

static void release(struct model *m)
{
	for (size_t i = 0; i < m->count; i++)
		buf_release(&m->blocks[i].lines);
}

static void check(const struct model *m, const struct buf *lines)
{
	AUTO(batch) struct batch *b = decoded(lines, &whole);
	bool seen[KEYS] = { 0 };

	for (size_t i = 0; i < b->count; i++) {
		const struct event *e = &b->events[i];
		unsigned k;

		assert_null(e->bad);
		assert_int_equal(sscanf(e->key.p, "{\"pk\":\"k%u\"", &k), 1);
		assert_false(seen[k]);
		seen[k] = true;
		assert_image(b->payloads[0][i], "before", m->before[k]);
		assert_image(b->payloads[0][i], "after", m->after[k]);
		assert_int_equal(e->sequence.digits[0] - '0', m->window[k]);
	}
	for (unsigned k = 0; k < KEYS; k++)
		assert_int_equal(seen[k], m->window[k] && (m->before[k] || m->after[k]));
}

/* Parts one behind the other are the whole; how much memory there was is not to be seen. */
static void the_same_lines_give_the_same_rows(void **state)
{
	static struct model m;
	struct rng r;

	(void)state;
	rng_seed(&r, 5);
	for (unsigned seed = 0; seed < 10; seed++) {
		struct buf all, parts = { 0 };
		unsigned passes, sum = 0;
		size_t most;

		make(&m, &r);
		all = merged(&whole, m.blocks, m.count, &passes, &most);
		assert_int_equal(passes, 1);
		check(&m, &all);
		for (uint32_t part = 0; part < 3; part++) {
			struct merge_options o = { &decoding_source, true, part, 3, 200 << 10 };
			struct buf some;

			shuffle(&m, &r);
			some = merged(&o, m.blocks, m.count, &passes, &most);
			assert_true(buf_add(&parts, some.data, some.size));
			buf_release(&some);
			/* A slice has 64 KiB at least, and is looked at with each line. */
			assert_true(most <= (200 << 10));
			sum += passes;
		}
		assert_true(sum > 3);
		assert_int_equal(parts.size, all.size);
		assert_memory_equal(parts.data, all.data, all.size);
		buf_release(&all);
		buf_release(&parts);
		release(&m);
	}
}

/* Lines that are longer than all the memory, and others: one at a time, and each once. */
static void one_line_always_fits(void **state)
{
	struct merge_options o = whole;
	struct block block = { .window = 1 };
	unsigned passes;
	size_t most;
	struct buf out;
	AUTO(batch) struct batch *b = NULL;

	(void)state;
	o.memory_bytes = 100 << 10;
	for (unsigned i = 0; i < 3; i++)
		buf_printf(&block.lines,
			   "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1\"}},\"Keys\":"
			   "{\"pk\":{\"S\":\"%u\"},\"sk\":{\"N\":\"1\"}},\"NewImage\":{\"pk\":"
			   "{\"S\":\"%u\"},\"sk\":{\"N\":\"1\"},\"a\":{\"S\":\"%0*u\"}}}\n",
			   i, i, 300 << 10, i);
	out = merged(&o, &block, 1, &passes, &most);
	b = decoded(&out, &o);
	assert_int_equal(b->count, 3);
	assert_true(passes > 3);
	buf_release(&block.lines);
	buf_release(&out);
}

/* They go out as they came, for the dead letters; what was good of their keys stays. */
static void bad_lines_stay_bad(void **state)
{
	static const char nonsense[] = "nonsense\n", torn[] = "{\"Metadata\":{}}\n";
	struct block blocks[2] = { { .window = 1 }, { .window = 2 } };
	unsigned passes;
	size_t most, bad = 0;
	struct buf out;
	AUTO(batch) struct batch *b = NULL;

	(void)state;
	buf_text(&blocks[0].lines, nonsense);
	add_line(&blocks[0].lines, 1, 1, 4, 5);
	buf_text(&blocks[1].lines, torn);
	buf_text(&blocks[1].lines, nonsense);
	/* The key's last line cannot be read. */
	buf_text(&blocks[1].lines,
		 "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1\"}},\"Keys\":{\"pk\":{\"S\":"
		 "\"k1\"},\"sk\":{\"N\":\"1\"}},\"NewImage\":{\"pk\":{\"S\":1}}}\n");
	out = merged(&whole, blocks, 2, &passes, &most);
	b = decoded(&out, &whole);
	assert_int_equal(b->count, 5);
	for (size_t i = 0; i < b->count; i++) {
		bad += b->events[i].bad != NULL;
		if (!b->events[i].bad)
			assert_image(b->payloads[0][i], "after", 5);
	}
	assert_int_equal(bad, 4);
	assert_int_equal(b->bad_count, 4);
	buf_release(&blocks[0].lines);
	buf_release(&blocks[1].lines);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_says_what_became_of_an_item),
		cmocka_unit_test(without_old_images_the_last_line_stands),
		cmocka_unit_test(the_same_lines_give_the_same_rows),
		cmocka_unit_test(one_line_always_fits),
		cmocka_unit_test(bad_lines_stay_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
