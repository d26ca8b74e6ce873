/* Any bytes as transforms, one a line, a zero byte, and any bytes as a page. A definition is taken
 * or refused with a place inside it; what is taken makes JSON of the page's records, in every form,
 * or says why it cannot; and it makes the same when it is asked again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "event/decode.h"
#include "event/transform.h"
#include "tests/fuzz/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEFINITIONS_MAX 32

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

/* NULL: one of them is refused. */
static struct transform *transform_of(struct str text)
{
	struct str lines[DEFINITIONS_MAX];
	struct error err = { 0 };
	struct transform *t;
	size_t count = 0;

	for (const char *end = text.p + text.n; text.p < end && count < DEFINITIONS_MAX;) {
		const char *stop = memchr(text.p, '\n', (size_t)(end - text.p));
		size_t at = 0;

		stop = stop ? stop : end;
		lines[count] = (struct str){ text.p, (size_t)(stop - text.p) };
		if (!transform_check(lines[count], &at, &err)) {
			assert(err.kind == ERROR_INVALID && *err.message && at <= lines[count].n);
			return NULL;
		}
		count++;
		text.p = stop + 1;
	}
	if (count == 0)
		return NULL;
	t = transform_new(lines, count, &err);
	assert(t);
	return t;
}

static struct batch *decode(const struct transform *t, struct str page)
{
	static const struct event_fields fields = { "op", "_ts", "@seq", "g.n", "__order" };
	const struct encoding encodings[] = {
		{ .format = FORMAT_DEBEZIUM, .transform = t },
		{ .format = FORMAT_PLAIN, .numbers_as_strings = true, .transform = t },
		{ .format = FORMAT_DYNAMODB, .transform = t },
		{ .format = FORMAT_PLAIN, .fields = &fields, .transform = t },
	};
	/* One each. */
	const struct decode_output outputs[] = {
		{ .encoding = 0 }, { .encoding = 1 }, { .encoding = 2 }, { .encoding = 3 }
	};
	struct decode_options o = { .encodings = encodings,
				    .encoding_count = 4,
				    .outputs = outputs,
				    .output_count = 4,
				    .lenient = true };
	struct batch *b = batch_new();
	struct error err;

	b->source = &source;
	b->shard = "shardId-00000001763700000000-0a1b2c3d";
	if (!buf_add(&b->body, page.p, page.n))
		abort();
	if (decode_page(b, &o, &err))
		return b;
	batch_free(b);
	return NULL;
}

static void check_fault(const struct batch *b, size_t event, size_t encoding)
{
	for (size_t i = 0; i < b->fault_count; i++)
		if (b->faults[i].event == event && b->faults[i].outputs >> encoding & 1) {
			assert(*b->faults[i].error);
			return;
		}
	assert(b->events[event].bad);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	struct str text = { (const char *)data, end ? (size_t)(end - data) : size };
	struct transform *t = transform_of(text);
	struct batch *b = NULL, *again = NULL;
	struct str page;

	if (t && end) {
		page = (struct str){ (const char *)end + 1, size - text.n - 1 };
		b = decode(t, page);
		again = b ? decode(t, page) : NULL;
	}
	for (size_t i = 0; b && i < b->count; i++)
		for (size_t k = 0; k < b->encoding_count; k++) {
			struct str s = b->payloads[k][i];

			assert(str_equal(s, again->payloads[k][i]));
			if (!s.p) {
				check_fault(b, i, k);
				continue;
			}
			assert(s.p[s.n] == '\n' && !memchr(s.p, '\n', s.n));
			check_json(s.p, s.n);
		}
	batch_free(b);
	batch_free(again);
	transform_free(t);
	return 0;
}
