/* Any bytes as a page. What is taken strictly is JSON on the way out, in every format, and is taken
 * leniently as well; what is taken leniently is JSON too, and every record fits a dead letter. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "event/decode.h"
#include "tests/fuzz/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct source source = {
	.stream = "orders",
	.table = "orders",
	.arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/"
	       "2026-11-20T21:21:33.291",
	.account = "123456789012",
	.region = "eu-west-1",
	.key_hash = "pk",
	.key_range = "",
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

static void check_batch(const struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct buf letter;

		for (size_t k = 0; k < b->encoding_count; k++) {
			struct str s = b->payloads[k][i];

			assert((s.p != NULL) == !b->events[i].bad);
			if (!s.p)
				continue;
			assert(s.p[s.n] == '\n' && !memchr(s.p, '\n', s.n));
			check_json(s.p, s.n);
		}
		if (!b->events[i].bad)
			check_json(b->events[i].key.p, b->events[i].key.n);
		buf_init(&letter, 0);
		buf_text(&letter, "["); /* an array: a letter may be a string */
		decode_letter_record(&source, b->events[i].raw, &letter);
		buf_text(&letter, "]");
		check_json(letter.data, letter.size);
		buf_release(&letter);
	}
}

static struct batch *decode(const uint8_t *data, size_t size, size_t first, bool lenient)
{
	struct encoding order[ENCODINGS];
	struct decode_options o = { .encodings = order,
				    .encoding_count = ENCODINGS,
				    .lenient = lenient,
				    .now_ms = 1763700001234 };
	struct batch *b = batch_new();
	struct error err;

	for (size_t i = 0; i < ENCODINGS; i++)
		order[i] = encodings[(first + i) % ENCODINGS];
	b->source = &source;
	b->shard = "shardId-00000001763700000000-0a1b2c3d";
	if (!buf_add(&b->body, data, size))
		abort();
	if (decode_page(b, &o, &err))
		return b;
	assert(err.kind == (lenient ? ERROR_INVALID : ERROR_RETRY));
	batch_free(b);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first = size % ENCODINGS;
	AUTO(batch) struct batch *strict = decode(data, size, first, false);
	AUTO(batch) struct batch *lenient = decode(data, size, first, true);

	if (strict) {
		assert(lenient && lenient->count == strict->count);
		assert(strict->bad_count == 0 && lenient->bad_count == 0);
		for (size_t i = 0; i < strict->count; i++)
			assert(str_equal(strict->payloads[0][i], lenient->payloads[0][i]));
		check_batch(strict);
	}
	if (lenient)
		check_batch(lenient);
	return 0;
}
