/* Filters on whole pages: who wants which record, what is encoded, and what a filter never hides.
 */
#include "tests/unit/event/decoding.h"

#define CHANGE(state)                                                                              \
	"\"NewImage\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"},\"state\":{\"S\":\"" state "\"}}" \
	","
#define WANT(state) "{\"dynamodb\":{\"NewImage\":{\"state\":{\"S\":[" state "]}}}}"

static const struct encoding encodings[] = { { .format = FORMAT_DEBEZIUM },
					     { .format = FORMAT_PLAIN } };

static struct filter *one(const char *pattern)
{
	struct str text = str_of(pattern);
	struct error err = { 0 };
	struct filter *f = filter_new(&text, 1, &err);

	if (!f)
		fail_msg("%s", err.message);
	return f;
}

/* A page of three records in the states open, paid and sent; the second broken if asked. */
static void make_page(struct buf *page, bool broken)
{
	buf_text(page, "{\"Records\":[");
	decoding_record(page, "INSERT", CHANGE("open"), "");
	buf_text(page, ",");
	decoding_record(page, "INSERT",
			broken ? "\"NewImage\":{\"v\":{\"N\":\"x\"}}," : CHANGE("paid"), "");
	buf_text(page, ",");
	decoding_record(page, "INSERT", CHANGE("sent"), "");
	buf_text(page, "]}");
}

/* "101": the records with a payload of the encoding. */
static const char *marks(const struct batch *b, size_t encoding)
{
	static char out[16];

	for (size_t i = 0; i < b->count; i++)
		out[i] = b->payloads[encoding][i].p ? '1' : '0';
	out[b->count] = '\0';
	return out;
}

static struct batch *decode(const struct filter *filter, const struct decode_output *outputs,
			    size_t output_count, bool broken)
{
	struct decode_options o = { .encodings = encodings,
				    .encoding_count = 2,
				    .lenient = broken,
				    .now_ms = 1,
				    .filter = filter,
				    .outputs = outputs,
				    .output_count = output_count };
	struct error err = { 0 };
	struct batch *b;
	struct buf page;

	buf_init(&page, 0);
	make_page(&page, broken);
	b = decoding_batch(buf_str(&page), &decoding_source);
	if (!decode_page(b, &o, &err))
		fail_msg("%s", err.message);
	buf_release(&page);
	return b;
}

static void a_record_is_encoded_for_those_who_want_it(void **state)
{
	AUTO(filter) struct filter *open = one(WANT("\"open\""));
	AUTO(filter) struct filter *not_sent = one(WANT("{\"anything-but\":\"sent\"}"));
	const struct decode_output outputs[] = { { .filter = open, .encoding = 0 },
						 { .filter = not_sent, .encoding = 1 },
						 { .filter = NULL, .encoding = 1 } };
	AUTO(batch) struct batch *b = decode(NULL, outputs, 2, false);
	AUTO(batch) struct batch *three = decode(NULL, outputs, 3, false);

	(void)state;
	assert_int_equal(b->count, 3);
	assert_string_equal(marks(b, 0), "100");
	assert_string_equal(marks(b, 1), "110");
	assert_int_equal(b->events[0].unwanted, 0);
	assert_int_equal(b->events[1].unwanted, 1);
	assert_int_equal(b->events[2].unwanted, 3);
	assert_str(b->events[1].key, "{\"pk\":\"a\",\"sk\":1}");
	/* Nobody wants it: it has a place and no more. */
	assert_int_equal(b->events[2].key.n, 0);
	assert_int_equal(b->events[2].sequence.length, 21);
	/* The second and the third output share an encoding. */
	assert_string_equal(marks(three, 1), "111");
	assert_int_equal(three->events[2].unwanted, 3);
}

static void the_stream_s_filter_is_for_all(void **state)
{
	AUTO(filter) struct filter *paid = one(WANT("\"paid\""));
	AUTO(filter) struct filter *open = one(WANT("\"open\""));
	const struct decode_output outputs[] = { { .filter = open, .encoding = 0 },
						 { .filter = NULL, .encoding = 1 } };
	AUTO(batch) struct batch *b = decode(paid, outputs, 2, false);

	(void)state;
	assert_string_equal(marks(b, 0), "000");
	assert_string_equal(marks(b, 1), "010");
	assert_int_equal(b->events[0].unwanted & 3, 3);
	assert_int_equal(b->events[1].unwanted & 3, 1);
}

static void a_bad_record_passes_no_filter_by(void **state)
{
	AUTO(filter) struct filter *none = one(WANT("\"none\""));
	const struct decode_output outputs[] = { { .filter = none, .encoding = 0 } };
	AUTO(batch) struct batch *b = decode(none, outputs, 1, true);

	(void)state;
	assert_int_equal(b->bad_count, 1);
	assert_non_null(b->events[1].bad);
	assert_int_equal(b->events[1].unwanted, 0);
	assert_int_equal(b->events[0].unwanted & 1, 1);
	assert_string_equal(marks(b, 0), "000");
}

/* A strict page is refused for a fault in a record that no filter lets pass. */
static void a_filter_does_not_make_decoding_lax(void **state)
{
	AUTO(filter) struct filter *remove = one("{\"eventName\":[\"REMOVE\"]}");
	const struct decode_output output = { .filter = NULL, .encoding = 0 };
	const struct decode_options o = { .encodings = encodings,
					  .encoding_count = 1,
					  .filter = remove,
					  .outputs = &output,
					  .output_count = 1 };
	struct error err = { 0 };
	struct batch *b;
	struct buf page;

	(void)state;
	buf_init(&page, 0);
	make_page(&page, true);
	b = decoding_batch(buf_str(&page), &decoding_source);
	assert_false(decode_page(b, &o, &err));
	assert_int_equal(err.kind, ERROR_RETRY);
	batch_free(b);
	buf_release(&page);
}

/* Rows of an export are asked as a Lambda function would see them. */
static void rows_of_an_export_are_filtered_too(void **state)
{
	static const struct {
		const char *pattern, *marks;
	} cases[] = {
		{ WANT("\"open\""), "10" },
		{ "{\"eventName\":[\"INSERT\"],\"sluice\":{\"op\":[\"r\"],\"window\":[0]}}", "11" },
		{ "{\"dynamodb\":{\"Keys\":{\"sk\":{\"N\":[{\"numeric\":[\">\",1]}]}}}}", "01" },
		{ "{\"eventSourceARN\":[{\"prefix\":\"arn:\"}]}", "11" },
		{ "{\"sluice\":{\"op\":[{\"exists\":false}]}}", "00" },
	};
	const struct rows full = { .window = 0, .time_ms = 1763700000123 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(filter) struct filter *f = one(cases[i].pattern);
		const struct decode_output output = { .filter = f, .encoding = 0 };
		const struct decode_options o = { .encodings = encodings,
						  .encoding_count = 1,
						  .outputs = &output,
						  .output_count = 1 };
		struct batch *b = decoding_batch(
			STR("{\"Item\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"},\"state\":{\"S\":"
			    "\"open\"}}}\n"
			    "{ \"Item\" : {\"state\":{\"S\": "
			    "\"paid\"},\"sk\":{\"N\":\"2\"},\"pk\":{\"S\":\"b\"}}}\n"),
			&decoding_source);

		b->shard = NULL;
		decode_lines(b, &o, &full);
		assert_int_equal(b->bad_count, 0);
		if (strcmp(marks(b, 0), cases[i].marks) != 0)
			fail_msg("%s: %s", cases[i].pattern, marks(b, 0));
		batch_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_encoded_for_those_who_want_it),
		cmocka_unit_test(the_stream_s_filter_is_for_all),
		cmocka_unit_test(a_bad_record_passes_no_filter_by),
		cmocka_unit_test(a_filter_does_not_make_decoding_lax),
		cmocka_unit_test(rows_of_an_export_are_filtered_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
