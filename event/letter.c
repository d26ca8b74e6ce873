#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/memory.h"
#include "event/decode.h"
#include "event/encode.h"
#include "event/line.h"

static void add(struct buf *out, const char *p, size_t n)
{
	bool added = buf_add(out, p, n);

	/* Records come out of pages, whose limit is well below that of any letter. */
	assert(added);
}

static void add_base64(struct buf *out, struct str raw)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	buf_text(out, "\"");
	for (size_t i = 0; i < raw.n; i += 3) {
		const unsigned char *p = (const unsigned char *)raw.p + i;
		size_t n = raw.n - i < 3 ? raw.n - i : 3;
		unsigned v = (unsigned)p[0] << 16;
		char four[4];

		if (n > 1)
			v |= (unsigned)p[1] << 8;
		if (n > 2)
			v |= p[2];
		four[0] = alphabet[v >> 18];
		four[1] = alphabet[v >> 12 & 63];
		four[2] = n > 1 ? alphabet[v >> 6 & 63] : '=';
		four[3] = n > 2 ? alphabet[v & 63] : '=';
		add(out, four, sizeof(four));
	}
	buf_text(out, "\"");
}

void decode_letter_record(const struct source *source, struct str raw, struct buf *out)
{
	struct encoding lambda = { .format = FORMAT_DYNAMODB };
	char *padded = memory_new(raw.n + SCAN_PADDING);
	struct record_reader reader;
	struct encoder encoder;
	struct record record;
	struct arena arena;
	const char *p, *end;
	char *text;

	record_reader_init(&reader, (struct value_style){ 0 }, padded, NULL);
	if (raw.n)
		memcpy(padded, raw.p, raw.n);
	p = scan_space(&reader.scan, padded);
	end = *p == '{' ? record_outline(&reader, p, &record) : NULL;
	if (!end || scan_space(&reader.scan, end) != padded + raw.n) {
		add_base64(out, raw);
		free(padded);
		return;
	}
	arena_init(&arena);
	encoder_init(&encoder, lambda, source, "", NULL, 0, &arena);
	text = arena_alloc(&arena, encoder_bound(&encoder, &record, NULL));
	end = encoder_write(&encoder, &record, NULL, reader.style, text);
	add(out, text, (size_t)(end - text));
	arena_release(&arena);
	free(padded);
}

void decode_letter_line(const struct source *source, const struct rows *rows, struct str raw,
			struct buf *out)
{
	struct encoding lambda = { .format = FORMAT_DYNAMODB };
	struct decode_options o = { .encodings = &lambda, .encoding_count = 1 };
	AUTO(batch) struct batch *b = batch_new();

	b->source = source;
	add(&b->body, raw.p, raw.n);
	decode_lines(b, &o, rows);
	if (b->count == 1 && !b->events[0].bad)
		add(out, b->payloads[0][0].p, b->payloads[0][0].n);
	else
		decode_letter_record(source, raw, out);
}
