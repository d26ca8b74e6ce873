#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "event/decode.h"

/* What the tests of the decoder share: a table with a hash and a range key, and ways to decode
 * text. */
#define DECODING_ARN                                                                               \
	"arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-20T21:21:33"

static const struct source decoding_source = {
	.stream = "orders",
	.table = "orders-table",
	.arn = DECODING_ARN,
	.account = "123456789012",
	.region = "eu-west-1",
	.key_hash = "pk",
	.key_range = "sk",
	.version = "0.1.0",
	.generation = 7,
	.new_images = true,
	.old_images = true,
};

/* A file of golden/. */
/* Payloads have no zero byte behind them. */
static inline bool decoding_has(struct str payload, const char *text)
{
	return payload.p && memmem(payload.p, payload.n, text, strlen(text));
}

static inline void decoding_file(const char *name, struct buf *out)
{
	char path[256], block[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "tests/unit/event/golden/%s", name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s is not there", path);
	buf_init(out, 0);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		assert_true(buf_add(out, block, n));
	fclose(f);
}

static inline struct batch *decoding_batch(struct str page, const struct source *source)
{
	struct batch *b = batch_new();

	b->source = source;
	b->shard = "shardId-00000001763700000000-0a1b2c3d";
	assert_true(buf_add(&b->body, page.p, page.n));
	return b;
}

/* NULL, with err, where the page is refused. */
static inline struct batch *decoding_try(struct str page, bool lenient, struct encoding encoding,
					 struct error *err)
{
	struct decode_options o = { .encodings = &encoding,
				    .encoding_count = 1,
				    .lenient = lenient,
				    .now_ms = 1763700009876 };
	struct batch *b = decoding_batch(page, &decoding_source);

	if (decode_page(b, &o, err))
		return b;
	batch_free(b);
	return NULL;
}

/* The page must decode, in debezium's form. */
static inline struct batch *decoding_page(const char *page)
{
	struct encoding debezium = { .format = FORMAT_DEBEZIUM };
	struct error err;
	struct batch *b = decoding_try(str_of(page), false, debezium, &err);

	if (!b)
		fail_msg("%s", err.message);
	return b;
}

/* A page of one record around `change`, the members of "dynamodb" without Keys, time and sequence;
 * `more` are members of the record, with a comma behind. */
static inline void decoding_record(struct buf *out, const char *name, const char *change,
				   const char *more)
{
	buf_printf(out,
		   "{%s\"eventID\":\"e1\",\"eventName\":\"%s\",\"dynamodb\":{"
		   "\"ApproximateCreationDateTime\":1763700000,%s\"Keys\":{\"pk\":{\"S\":\"a\"},"
		   "\"sk\":{\"N\":\"1\"}},\"SequenceNumber\":\"111111111111111111111\"}}",
		   more, name, change);
}

/* The page {"Records":[…]} of one INSERT whose new image is the key and the attribute v of `value`,
 * decoded; NULL where it is refused. */
static inline struct batch *decoding_value(const char *value, struct encoding encoding,
					   struct error *err)
{
	struct buf page, change;
	struct batch *b;

	buf_init(&page, 0);
	buf_init(&change, 0);
	buf_printf(&change, "\"NewImage\":{\"v\":%s},", value);
	buf_text(&page, "{\"Records\":[");
	decoding_record(&page, "INSERT", change.data, "");
	buf_text(&page, "]}");
	b = decoding_try(buf_str(&page), false, encoding, err);
	buf_release(&page);
	buf_release(&change);
	return b;
}

#define assert_str(s, text)                                                                        \
	do {                                                                                       \
		struct str got_ = (s);                                                             \
		char *copy_ = memory_text_n(got_.p ? got_.p : "(null)", got_.p ? got_.n : 6);      \
		assert_string_equal(copy_, text);                                                  \
		free(copy_);                                                                       \
	} while (0)
