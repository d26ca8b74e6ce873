/* The lines of an export, every format byte for byte, and each against the same change as a record
 * of a stream. */
#include "tests/unit/event/decoding.h"
#include "tests/unit/event/random_page.h"

static const struct rows full_export = { .window = 0, .time_ms = 1763700000123 };
static const struct rows window_old = { .window = 12, .old_images = true };
static const struct rows window_new = { .window = 12 };

static struct batch *lines_of(struct str text, const struct source *source, const struct rows *rows,
			      const struct encoding *encodings, size_t count)
{
	struct decode_options o = { .encodings = encodings,
				    .encoding_count = count,
				    .lenient = false,
				    .now_ms = 1763700009876 };
	struct batch *b = decoding_batch(text, source);

	b->shard = NULL;
	decode_lines(b, &o, rows);
	return b;
}

static struct batch *debezium_lines(const char *text, const struct rows *rows)
{
	const struct encoding debezium = { .format = FORMAT_DEBEZIUM };

	return lines_of(str_of(text), &decoding_source, rows, &debezium, 1);
}

/* ---- golden ---- */

static const struct {
	const char *lines;
	const struct rows *rows;
	struct encoding encoding;
	const char *file;
} golden[] = {
	{ "full_lines.json", &full_export, { .format = FORMAT_DEBEZIUM }, "full_debezium.ndjson" },
	{ "full_lines.json",
	  &full_export,
	  { .format = FORMAT_PLAIN, .numbers_as_strings = true },
	  "full_plain.ndjson" },
	{ "full_lines.json", &full_export, { .format = FORMAT_DYNAMODB }, "full_dynamodb.ndjson" },
	{ "window_lines.json",
	  &window_old,
	  { .format = FORMAT_DEBEZIUM },
	  "window_debezium.ndjson" },
	{ "window_lines.json",
	  &window_old,
	  { .format = FORMAT_PLAIN, .numbers_as_strings = true },
	  "window_plain.ndjson" },
	{ "window_lines.json",
	  &window_old,
	  { .format = FORMAT_DYNAMODB },
	  "window_dynamodb.ndjson" },
	{ "window_lines.json", &window_new, { .format = FORMAT_DEBEZIUM }, "new_debezium.ndjson" },
	{ "window_lines.json", &window_new, { .format = FORMAT_PLAIN }, "new_plain.ndjson" },
	{ "window_lines.json", &window_new, { .format = FORMAT_DYNAMODB }, "new_dynamodb.ndjson" },
};
#define GOLDEN (sizeof(golden) / sizeof(golden[0]))

static void assert_golden(const struct batch *b, const struct str *payloads, const char *name)
{
	struct buf file, ours;

	decoding_file(name, &file);
	buf_init(&ours, 0);
	for (size_t i = 0; i < b->count; i++) {
		assert_null(b->events[i].bad);
		assert_true(buf_add(&ours, payloads[i].p, payloads[i].n + 1));
	}
	assert_str(buf_str(&ours), file.data);
	/* One behind the other: what a file takes in one piece. */
	assert_memory_equal(payloads[0].p, file.data, file.size);
	buf_release(&ours);
	buf_release(&file);
}

static void each_format_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOLDEN; i++) {
		struct buf lines;
		struct batch *b;

		decoding_file(golden[i].lines, &lines);
		b = lines_of(buf_str(&lines), &decoding_source, golden[i].rows, &golden[i].encoding,
			     1);
		assert_golden(b, b->payloads[0], golden[i].file);
		batch_free(b);
		buf_release(&lines);
	}
}

static void all_formats_at_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOLDEN; i += 3) {
		for (size_t first = 0; first < 3; first++) {
			struct encoding order[3];
			struct buf lines;
			struct batch *b;

			for (size_t k = 0; k < 3; k++)
				order[k] = golden[i + (first + k) % 3].encoding;
			decoding_file(golden[i].lines, &lines);
			b = lines_of(buf_str(&lines), &decoding_source, golden[i].rows, order, 3);
			for (size_t k = 0; k < 3; k++)
				assert_golden(b, b->payloads[k], golden[i + (first + k) % 3].file);
			batch_free(b);
			buf_release(&lines);
		}
	}
}

static void events_say_what_the_lines_say(void **state)
{
	static const char *const keys[] = { "{\"pk\":\"a\",\"sk\":1}", "{\"pk\":\"bé/\",\"sk\":2}",
					    "{\"pk\":\"c\",\"sk\":3}", "{\"pk\":\"d\",\"sk\":4}" };
	static const enum event_op ops[] = { EVENT_CREATE, EVENT_UPDATE, EVENT_DELETE, EVENT_DELETE,
					     EVENT_CREATE };
	static const enum event_op new_ops[] = { EVENT_READ, EVENT_READ, EVENT_DELETE, EVENT_DELETE,
						 EVENT_READ };
	char sequence[SEQUENCE_TEXT_SIZE], order[EVENT_ORDER_SIZE];
	struct buf lines;
	struct batch *b;

	(void)state;
	decoding_file("full_lines.json", &lines);
	b = debezium_lines(lines.data, &full_export);
	assert_int_equal(b->count, 4);
	assert_int_equal(b->bad_count, 0);
	assert_false(b->closed);
	for (size_t i = 0; i < 4; i++) {
		const struct event *e = &b->events[i];

		assert_str(e->key, keys[i]);
		assert_int_equal(e->op, EVENT_READ);
		assert_int_equal(e->time_ms, 1763700000123);
		assert_int_equal(e->id.n, 0);
		assert_false(e->ttl);
		assert_int_equal(e->raw.p[0], '{');
		assert_int_equal(e->raw.p[e->raw.n - 1], '}');
		assert_string_equal(sequence_text(&e->sequence, sequence), "0");
	}
	assert_string_equal(event_order_text(7, &b->events[0].sequence, order),
			    "0000000007-0000000000000000000000000000000000000000");
	batch_free(b);
	buf_release(&lines);
	decoding_file("window_lines.json", &lines);
	b = debezium_lines(lines.data, &window_old);
	assert_int_equal(b->count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(b->events[i].op, ops[i]);
	assert_int_equal(b->events[0].time_ms, 1768387654353);
	assert_int_equal(b->events[3].time_ms, 1768387655000);
	assert_string_equal(sequence_text(&b->events[0].sequence, sequence), "12");
	batch_free(b);
	b = debezium_lines(lines.data, &window_new);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(b->events[i].op, new_ops[i]);
	batch_free(b);
	buf_release(&lines);
}

/* A table that has no stream, and none that has a range key. */
static void a_source_without_a_stream(void **state)
{
	const struct encoding dynamodb = { .format = FORMAT_DYNAMODB };
	struct source source = decoding_source;
	struct batch *b;
	struct buf letter;

	(void)state;
	source.arn = NULL;
	source.key_range = "";
	b = lines_of(STR("{\"Item\":{\"pk\":{\"N\":\"7.0\"}}}"), &source, &full_export, &dynamodb,
		     1);
	assert_int_equal(b->count, 1);
	assert_str(b->events[0].key, "{\"pk\":7}");
	assert_str(b->payloads[0][0],
		   "{\"eventName\":\"INSERT\",\"eventVersion\":\"1.1\",\"eventSource\":"
		   "\"aws:dynamodb\",\"awsRegion\":\"eu-west-1\",\"dynamodb\":{"
		   "\"ApproximateCreationDateTime\":1763700000,\"Keys\":{\"pk\":{\"N\":\"7.0\"}},"
		   "\"NewImage\":{\"pk\":{\"N\":\"7.0\"}},\"SequenceNumber\":\"0\"},\"sluice\":{"
		   "\"op\":\"r\",\"window\":0}}");
	buf_init(&letter, 0);
	decode_letter_record(&source, STR("{\"Item\":7}"), &letter);
	assert_str(buf_str(&letter), "{\"Item\":7}");
	buf_release(&letter);
	batch_free(b);
}

/* ---- bad lines ---- */

#define GOOD_FULL "{\"Item\":{\"pk\":{\"S\":\"z\"},\"sk\":{\"N\":\"9\"}}}"
#define GOOD_WINDOW                                                                                \
	"{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1\"}},\"Keys\":{\"pk\":{\"S\":\"z\"},"   \
	"\"sk\":{\"N\":\"9\"}}}"

static void bad_lines_are_told_one_by_one(void **state)
{
	static const struct {
		const char *line, *says;
		bool window;
	} rows[] = {
		{ "x", "expected a row of an export, '{', found 'x'", false },
		{ "$ion_1_0 {Item:{}}", "byte 0 of the record: expected a row", false },
		{ "{}", "a row with an Item", false },
		{ "[]", "a row of an export", false },
		{ "{\"Item\":null}", "an item, '{'", false },
		{ "{\"Item\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}",
		  "',' or '}', found the end of the line", false },
		{ "{\"Item\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}} {}", "the end of the row",
		  false },
		{ "{\"Item\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}},}", "a member's name",
		  false },
		{ "{\"Item\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}},\"Item\":{}}",
		  "each member of a line once", false },
		{ "{\"Item\":{\"pk\":{\"S\":\"a\"}}}", "an item with pk and sk", false },
		{ "{\"Item\":{}}", "an item with pk and sk", false },
		{ "{\"Item\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"BOOL\":true}}}",
		  "Keys with pk and sk as S, N or B", false },
		{ "{\"Item\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"one\"}}}", "the digits", false },
		{ "{\"Item\":{\"pk\":{\"S\":\"\xff\"},\"sk\":{\"N\":\"1\"}}}", "UTF-8", false },
		{ GOOD_WINDOW, "a row with an Item", false },
		{ GOOD_FULL, "Metadata with WriteTimestampMicros", true },
		{ "{\"Keys\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}}", "Metadata", true },
		{ "{\"Metadata\":{}}", "Metadata with", true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1\"}}}", "a row with Keys",
		  true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"-1\"}}}", "microseconds",
		  true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1.5\"}}}", "'\"'", true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"253402300800000000\"}}}",
		  "before the year 10000", true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":{\"S\":\"1\"}}}", "a number", true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1\",\"S\":\"\"}}}", "'}'",
		  true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":1},\"Metadata\":{}}", "once", true },
		{ "{\"Metadata\":[]}", "'{'", true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":1},\"Keys\":null}", "an item", true },
		{ "{\"Metadata\":{\"WriteTimestampMicros\":1},\"Keys\":{\"pk\":{\"S\":\"a\"}}}",
		  "Keys with pk and sk", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *good = rows[i].window ? GOOD_WINDOW : GOOD_FULL;
		struct buf text;
		struct batch *b;

		/* Its neighbours are read, whatever it says; the last one, too, without its end. */
		buf_init(&text, 0);
		buf_printf(&text, "%s\n%s\n \t\r\n%s", good, rows[i].line, good);
		b = debezium_lines(text.data, rows[i].window ? &window_old : &full_export);
		assert_int_equal(b->count, 3);
		assert_int_equal(b->bad_count, 1);
		assert_str(b->events[0].key, "{\"pk\":\"z\",\"sk\":9}");
		assert_str(b->events[2].key, "{\"pk\":\"z\",\"sk\":9}");
		assert_str(b->events[1].raw, rows[i].line);
		assert_null(b->payloads[0][1].p);
		assert_true(sequence_is_none(&b->events[1].sequence));
		if (!strstr(b->events[1].bad, rows[i].says))
			fail_msg("%s: %s", rows[i].line, b->events[1].bad);
		batch_free(b);
		buf_release(&text);
	}
}

/* An object that goes on behind its line's end is two bad lines. */
static void a_row_is_one_line(void **state)
{
	struct batch *b =
		debezium_lines("{\"Item\":{\"pk\":{\"S\":\"a\"},\n\"sk\":{\"N\":\"1\"}}}\n"
			       "{\"Item\":{\"pk\":{\"S\":\"b\"},\"sk\":{\"N\":\"1\"}}\n}\n",
			       &full_export);

	(void)state;
	assert_int_equal(b->count, 4);
	assert_int_equal(b->bad_count, 4);
	assert_str(b->events[3].raw, "}");
	batch_free(b);
	/* What was read of the next line on the way is read anew. */
	b = debezium_lines("{\"Item\":{\"x\":{\"L\":[{\"S\":\"\"}]},\n"
			   "\"y\":{\"S\"?{\"Item\":{\n" GOOD_FULL "\n" GOOD_FULL "\n",
			   &full_export);
	assert_int_equal(b->count, 4);
	assert_int_equal(b->bad_count, 2);
	assert_true(str_equal(b->payloads[0][2], b->payloads[0][3]));
	batch_free(b);
	b = debezium_lines("", &full_export);
	assert_int_equal(b->count, 0);
	batch_free(b);
}

static void letters_of_lines(void **state)
{
	struct source source = decoding_source;
	struct buf letter;

	(void)state;
	buf_init(&letter, 0);
	decode_letter_line(&source, &full_export, STR(GOOD_FULL), &letter);
	assert_non_null(strstr(letter.data, "\"NewImage\":{\"pk\":{\"S\":\"z\"}"));
	assert_non_null(strstr(letter.data, "\"sluice\":{\"op\":\"r\",\"window\":0}"));
	buf_clear(&letter);
	decode_letter_line(&source, &full_export, STR("{\"Item\":1}"), &letter);
	assert_str(buf_str(&letter), "{\"Item\":1,\"eventSourceARN\":\"" DECODING_ARN "\"}");
	buf_clear(&letter);
	decode_letter_line(&source, &full_export, STR("?"), &letter);
	assert_str(buf_str(&letter), "\"Pw==\"");
	buf_release(&letter);
}

/* ---- against a stream's record of the same change ---- */

static void one_line_of(struct buf *b, size_t from)
{
	for (size_t i = from; i < b->size; i++)
		if (b->data[i] == '\n')
			b->data[i] = ' ';
}

/* A random item with its key attributes at any place; more of them than are remembered, at times.
 */
static void keyed_item(struct rng *r, struct buf *out)
{
	static const char *const keys[] = { "\"pk\":{\"S\":\"a\"}", "\"sk\":{\"N\":\"1\"}" };
	uint64_t seeds[ATTRIBUTES], filling = rng_below(r, 8) ? 0 : rng_below(r, 90);
	size_t from = out->size;
	struct buf rest;

	for (unsigned i = 0; i < ATTRIBUTES; i++)
		seeds[i] = rng_next(r);
	buf_init(&rest, 0);
	add_item(r, seeds, &rest);
	buf_printf(out, "{%s", rng_below(r, 2) ? keys[1] : keys[0]);
	for (uint64_t i = 0; i < filling; i++)
		buf_printf(out, ",\"f%u\":{\"S\":\"pk\"}", (unsigned)i);
	if (rest.size > 2)
		buf_printf(out, ",%.*s", (int)rest.size - 2, rest.data + 1);
	buf_printf(out, ",%s%s",
		   strstr(out->data + from, keys[0]) == out->data + from + 1 ? keys[1] : keys[0],
		   filling % 2 ? ",\"z\":{\"S\":\"\"}}" : "}");
	one_line_of(out, from);
	buf_release(&rest);
}

static void random_items_agree_with_records(void **state)
{
	static const struct encoding encodings[] = { { .format = FORMAT_DEBEZIUM },
						     { .format = FORMAT_PLAIN } };

	(void)state;
	for (uint64_t seed = 0; seed < 3000; seed++) {
		struct buf lines, page;
		struct batch *a, *b;
		struct rng r;
		struct decode_options o = { .encodings = encodings,
					    .encoding_count = 2,
					    .lenient = false,
					    .now_ms = 1763700009876 };
		struct error err;

		rng_seed(&r, seed);
		buf_init(&lines, 0);
		buf_init(&page, 0);
		buf_text(&page, "{\"Records\":[");
		for (unsigned i = 0; i < 6; i++) {
			size_t from;

			buf_text(&lines, "{\"Item\":");
			from = lines.size;
			keyed_item(&r, &lines);
			buf_printf(&page,
				   "%s{\"eventName\":\"MODIFY\",\"dynamodb\":{"
				   "\"ApproximateCreationDateTime\":1763700000.123,"
				   "\"SequenceNumber\":\"0\",\"Keys\":{\"pk\":{\"S\":\"a\"},"
				   "\"sk\":{\"N\":\"1\"}},\"NewImage\":%s}}",
				   i ? "," : "", lines.data + from);
			buf_text(&lines, "}\n");
		}
		buf_text(&page, "]}");
		a = lines_of(buf_str(&lines), &decoding_source, &full_export, encodings, 2);
		b = decoding_batch(buf_str(&page), &decoding_source);
		if (!decode_page(b, &o, &err))
			fail_msg("%s", err.message);
		assert_int_equal(a->count, 6);
		for (size_t i = 0; i < 6; i++) {
			size_t n = 0;

			if (a->events[i].bad)
				fail_msg("seed %llu: %s", (unsigned long long)seed,
					 a->events[i].bad);
			assert_true(str_equal(a->events[i].key, b->events[i].key));
			/* An update without its old image is a read: the same in `plain`. */
			assert_true(str_equal(a->payloads[1][i], b->payloads[1][i]));
			n = (size_t)((char *)memmem(b->payloads[0][i].p, b->payloads[0][i].n,
						    ",\"source\":{", 11) -
				     b->payloads[0][i].p);
			assert_memory_equal(a->payloads[0][i].p, b->payloads[0][i].p, n);
		}
		batch_free(a);
		batch_free(b);
		buf_release(&lines);
		buf_release(&page);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_format_alone),
		cmocka_unit_test(all_formats_at_once),
		cmocka_unit_test(events_say_what_the_lines_say),
		cmocka_unit_test(a_source_without_a_stream),
		cmocka_unit_test(bad_lines_are_told_one_by_one),
		cmocka_unit_test(a_row_is_one_line),
		cmocka_unit_test(letters_of_lines),
		cmocka_unit_test(random_items_agree_with_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
