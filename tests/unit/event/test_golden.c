/* Every format of one page with every type, byte for byte. */
#include "tests/unit/event/decoding.h"

static void assert_lines(const struct batch *b, const struct str *payloads, const char *name)
{
	struct buf golden;
	size_t n = 0;

	decoding_file(name, &golden);
	for (size_t i = 0; i < b->count; i++) {
		const char *line = golden.data + n, *end = strchr(line, '\n');
		char *want = memory_text_n(line, (size_t)(end - line));

		assert_str(payloads[i], want);
		assert_int_equal(payloads[i].p[payloads[i].n], '\n');
		free(want);
		n += (size_t)(end - line) + 1;
	}
	assert_int_equal(n, golden.size);
	/* One behind the other: what a file takes in one piece. */
	assert_memory_equal(payloads[0].p, golden.data, golden.size);
	buf_release(&golden);
}

static const struct {
	struct encoding encoding;
	const char *file;
} formats[] = {
	{ { .format = FORMAT_DEBEZIUM }, "debezium.ndjson" },
	{ { .format = FORMAT_PLAIN }, "plain.ndjson" },
	{ { .format = FORMAT_DYNAMODB }, "dynamodb.ndjson" },
	{ { .format = FORMAT_DEBEZIUM, .numbers_as_strings = true }, "debezium_strings.ndjson" },
	{ { .format = FORMAT_PLAIN, .numbers_as_strings = true }, "plain_strings.ndjson" },
};
#define FORMATS (sizeof(formats) / sizeof(formats[0]))

static void each_format_alone(void **state)
{
	struct buf page;

	(void)state;
	decoding_file("page.json", &page);
	for (size_t i = 0; i < FORMATS; i++) {
		struct error err;
		struct batch *b = decoding_try(buf_str(&page), false, formats[i].encoding, &err);

		assert_non_null(b);
		assert_lines(b, b->payloads[0], formats[i].file);
		batch_free(b);
	}
	buf_release(&page);
}

/* The first one is what items are read for; the others are made from it or anew. */
static void all_formats_at_once(void **state)
{
	struct buf page;

	(void)state;
	decoding_file("page.json", &page);
	for (size_t first = 0; first < FORMATS; first++) {
		struct encoding encodings[FORMATS];
		struct decode_options o = { .encodings = encodings,
					    .encoding_count = FORMATS,
					    .lenient = false,
					    .now_ms = 1763700009876 };
		AUTO(batch) struct batch *b = decoding_batch(buf_str(&page), &decoding_source);
		struct error err;

		for (size_t i = 0; i < FORMATS; i++)
			encodings[i] = formats[(first + i) % FORMATS].encoding;
		assert_true(decode_page(b, &o, &err));
		assert_int_equal(b->encoding_count, FORMATS);
		for (size_t i = 0; i < FORMATS; i++)
			assert_lines(b, b->payloads[i], formats[(first + i) % FORMATS].file);
	}
	buf_release(&page);
}

static void events_say_what_the_records_say(void **state)
{
	static const enum event_op ops[] = { EVENT_CREATE, EVENT_UPDATE, EVENT_READ,
					     EVENT_DELETE, EVENT_DELETE, EVENT_CREATE };
	static const char *const keys[] = { "{\"pk\":\"a\",\"sk\":1}", "{\"pk\":\"a\",\"sk\":1}",
					    "{\"pk\":\"b\",\"sk\":2}", "{\"pk\":\"a\",\"sk\":1}",
					    "{\"pk\":\"c\",\"sk\":3}", "{\"pk\":\"d\",\"sk\":4}" };
	struct buf page;
	struct batch *b;
	char sequence[SEQUENCE_TEXT_SIZE], order[EVENT_ORDER_SIZE];

	(void)state;
	decoding_file("page.json", &page);
	b = decoding_page(page.data);
	assert_int_equal(b->count, 6);
	assert_int_equal(b->bad_count, 0);
	assert_false(b->closed);
	assert_str(b->next_iterator, "arn|1|AAAA");
	for (size_t i = 0; i < b->count; i++) {
		assert_int_equal(b->events[i].op, ops[i]);
		assert_str(b->events[i].key, keys[i]);
		assert_int_equal(b->events[i].ttl, i == 4);
		assert_null(b->events[i].bad);
		assert_int_equal(b->events[i].raw.p[0], '{');
		assert_int_equal(b->events[i].raw.p[b->events[i].raw.n - 1], '}');
		assert_int_equal(b->events[i].time_ms, i == 1 ? 1763700000500 : 1763700000000);
	}
	assert_str(b->events[0].id, "id-11");
	assert_string_equal(sequence_text(&b->events[0].sequence, sequence), "111");
	assert_string_equal(sequence_text(&b->events[5].sequence, sequence),
			    "9999999999999999999999999999999999999999");
	assert_string_equal(event_order_text(7, &b->events[0].sequence, order),
			    "0000000007-0000000000000000000000000000000000000111");
	batch_free(b);
	buf_release(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_format_alone),
		cmocka_unit_test(all_formats_at_once),
		cmocka_unit_test(events_say_what_the_records_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
