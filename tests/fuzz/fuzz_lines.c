/* Any bytes as the lines of an export. Whatever they are, every line that is not blank is an event;
 * a good one is JSON on the way out, in every format, and so is every letter. The first byte says
 * which kind of export they are taken for. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "event/decode.h"
#include "tests/fuzz/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct source source = {
	.stream = "orders",
	.table = "orders",
	.account = "123456789012",
	.region = "eu-west-1",
	.key_hash = "pk",
	.key_range = "s\"k",
	.version = "0.1.0",
	.generation = 1,
};

static const struct event_fields fields = { "op", "_ts", "@seq", "g.n", "__order" };
static const struct encoding encodings[] = {
	{ .format = FORMAT_DEBEZIUM },
	{ .format = FORMAT_PLAIN, .numbers_as_strings = true },
	{ .format = FORMAT_DYNAMODB },
	{ .format = FORMAT_PLAIN },
	{ .format = FORMAT_PLAIN, .fields = &fields },
};
#define ENCODINGS (sizeof(encodings) / sizeof(encodings[0]))

static size_t lines(const uint8_t *p, size_t n)
{
	size_t count = 0;
	bool blank = true;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n')
			blank = true;
		else if (blank && p[i] != ' ' && p[i] != '\t' && p[i] != '\r') {
			blank = false;
			count++;
		}
	}
	return count;
}

static void check_letter(const struct rows *rows, const struct event *e)
{
	struct buf letter;

	buf_init(&letter, 0);
	buf_text(&letter, "["); /* an array: a letter may be a string */
	decode_letter_line(&source, rows, e->raw, &letter);
	buf_text(&letter, "]");
	check_json(letter.data, letter.size);
	buf_release(&letter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned kind = size ? data[0] : 0;
	struct rows rows = { .window = kind & 1, .time_ms = 1, .old_images = kind & 2 };
	struct encoding order[ENCODINGS];
	struct decode_options o = { .encodings = order,
				    .encoding_count = ENCODINGS,
				    .lenient = false,
				    .now_ms = 1763700001234 };
	AUTO(batch) struct batch *b = batch_new();
	size_t bad = 0;

	for (size_t i = 0; i < ENCODINGS; i++)
		order[i] = encodings[(kind / 4 + i) % ENCODINGS];
	data += size > 0;
	size -= size > 0;
	b->source = &source;
	if (!buf_add(&b->body, data, size))
		abort();
	decode_lines(b, &o, &rows);
	assert(b->count == lines(data, size));
	for (size_t i = 0; i < b->count; i++) {
		bad += b->events[i].bad != NULL;
		for (size_t k = 0; k < ENCODINGS; k++) {
			struct str s = b->payloads[k][i];

			assert((s.p != NULL) == !b->events[i].bad);
			if (!s.p)
				continue;
			assert(s.p[s.n] == '\n' && !memchr(s.p, '\n', s.n));
			check_json(s.p, s.n);
		}
		if (!b->events[i].bad)
			check_json(b->events[i].key.p, b->events[i].key.n);
		check_letter(&rows, &b->events[i]);
	}
	assert(bad == b->bad_count);
	return 0;
}
