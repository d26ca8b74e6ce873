/* Transforms on whole pages: which items they are applied to, in which form, what becomes of
 * faults, and records that are not like the one before. */
#include "tests/unit/event/transforming.h"

#define KEYS       "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}"
#define ITEM(more) "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}" more "}"

static struct encoding with(enum event_format format, const struct transform *t)
{
	return (struct encoding){ .format = format, .transform = t };
}

static struct batch *one(const char *name, const char *new_image, const char *old_image,
			 struct encoding encoding)
{
	struct batch *b;
	struct buf page;

	buf_init(&page, 0);
	transforming_page(&page, name, KEYS, new_image, old_image);
	b = transforming_decode(buf_str(&page), encoding);
	buf_release(&page);
	return b;
}

static void assert_holds(struct str payload, const char *text)
{
	if (!payload.p || !memmem(payload.p, payload.n, text, strlen(text)))
		fail_msg("%.*s\nhas no\n%s", STR_ARG(payload), text);
}

static void assert_begins(struct str payload, const char *text)
{
	if (payload.n < strlen(text) || memcmp(payload.p, text, strlen(text)) != 0)
		fail_msg("%.*s\ndoes not begin with\n%s", STR_ARG(payload), text);
}

/* Where the key stands in for an image it is transformed as one; in Kafka it is as it came. */
static void keys_are_transformed_where_they_are_shown(void **state)
{
	AUTO(transform)
	struct transform *t =
		transforming("[{\"rename\":{\"pk\":\"id\"}},{\"cast\":{\"sk\":\"string\"}},{"
			     "\"set\":{\"from\":\"${op}\"}}]");
	static const struct {
		const char *name, *new_image, *old_image;
		enum event_format format;
		const char *shown;
	} cases[] = {
		{ "REMOVE", NULL, KEYS, FORMAT_PLAIN,
		  "{\"id\":\"a\",\"sk\":\"1\",\"from\":\"d\",\"_op\":" },
		{ "REMOVE", NULL, NULL, FORMAT_PLAIN,
		  "{\"id\":\"a\",\"sk\":\"1\",\"from\":\"d\",\"_op\":" },
		{ "MODIFY", NULL, NULL, FORMAT_PLAIN,
		  "{\"id\":\"a\",\"sk\":\"1\",\"from\":\"r\",\"_op\":" },
		{ "REMOVE", NULL, NULL, FORMAT_DEBEZIUM,
		  "{\"before\":{\"id\":\"a\",\"sk\":\"1\",\"from\":\"d\"},\"after\":null," },
		{ "INSERT", NULL, NULL, FORMAT_DEBEZIUM,
		  "{\"before\":null,\"after\":{\"id\":\"a\",\"sk\":\"1\",\"from\":\"c\"}," },
		{ "MODIFY", NULL, KEYS, FORMAT_DEBEZIUM,
		  "{\"before\":{\"id\":\"a\",\"sk\":\"1\",\"from\":\"u\"},\"after\":{\"id\":\"a\","
		  "\"sk\":\"1\","
		  "\"from\":\"u\"}," },
		{ "REMOVE", NULL, KEYS, FORMAT_DYNAMODB,
		  "\"Keys\":{\"id\":{\"S\":\"a\"},\"sk\":{\"S\":\"1\"}},\"SequenceNumber\":"
		  "\"111111111111111111111\",\"OldImage\":{\"id\":{\"S\":\"a\"},\"sk\":{\"S\":"
		  "\"1\"},\"from\":{"
		  "\"S\":\"d\"}}}" },
		{ "INSERT", KEYS, NULL, FORMAT_DYNAMODB,
		  "\"NewImage\":{\"id\":{\"S\":\"a\"},\"sk\":{\"S\":\"1\"},\"from\":{\"S\":\"c\"}}"
		  "," },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(batch)
		struct batch *b = one(cases[i].name, cases[i].new_image, cases[i].old_image,
				      with(cases[i].format, t));

		assert_int_equal(b->fault_count, 0);
		assert_holds(b->payloads[0][0], cases[i].shown);
		assert_str(b->events[0].key, "{\"pk\":\"a\",\"sk\":1}");
	}
}

/* Only what a payload shows is transformed: what is wrong with another image is nobody's affair. */
static void a_fault_is_of_an_encoding(void **state)
{
	AUTO(transform) struct transform *t = transforming("[{\"cast\":{\"n\":\"number\"}}]");
	static const char good[] = ITEM(",\"n\":{\"S\":\"1\"}"),
			  bad[] = ITEM(",\"n\":{\"S\":\"x\"}");
	const struct encoding encodings[] = { with(FORMAT_DEBEZIUM, t), with(FORMAT_PLAIN, t),
					      with(FORMAT_DYNAMODB, NULL) };
	const struct decode_output outputs[] = {
		{ .encoding = 0 }, { .encoding = 2 }, { .encoding = 0 }, { .encoding = 1 }
	};
	struct decode_options o = {
		.encodings = encodings, .encoding_count = 3, .outputs = outputs, .output_count = 4
	};
	struct error err = { 0 };
	struct batch *b;
	struct buf page;

	(void)state;
	buf_init(&page, 0);
	transforming_page(&page, "MODIFY", KEYS, good, bad);
	b = decoding_batch(buf_str(&page), &decoding_source);
	assert_true(decode_page(b, &o, &err));
	assert_int_equal(b->count, 1);
	assert_int_equal(b->bad_count, 0);
	assert_null(b->events[0].bad);
	assert_int_equal(b->fault_count, 1);
	assert_int_equal(b->faults[0].event, 0);
	assert_int_equal(b->faults[0].outputs, 5);
	assert_int_equal(b->faults[0].why, FAULT_TRANSFORM);
	assert_int_equal(b->events[0].faulty, 5);
	assert_string_equal(b->faults[0].error,
			    "OldImage: cast: n: expected a number of at most 38 "
			    "digits as text");
	assert_null(b->payloads[0][0].p);
	assert_non_null(b->payloads[1][0].p);
	assert_non_null(b->payloads[2][0].p);
	batch_free(b);
	buf_release(&page);
}

static void faults_name_transform_and_attribute(void **state)
{
	static const struct {
		const char *transform, *item, *error;
	} cases[] = {
		{ "[{\"cast\":{\"a\":\"bool\"}}]", ITEM(",\"a\":{\"N\":\"2\"}"),
		  "NewImage: cast: a: expected true, false, 1 or 0" },
		{ "[{\"cast\":{\"a.b\":\"number\"}}]", ITEM(",\"a\":{\"M\":{\"b\":{\"L\":[]}}}"),
		  "NewImage: cast: a.b: expected an S, N or BOOL" },
		{ "[{\"parse\":\"a\"}]", ITEM(",\"a\":{\"S\":\"{'a':1}\"}"),
		  "NewImage: parse: a: expected a text that is JSON" },
		{ "[{\"parse\":\"a\"}]", ITEM(",\"a\":{\"S\":\"{\\\"a\\\":1,\\\"a\\\":2}\"}"),
		  "NewImage: parse: a: expected each name of a map once" },
		{ "[{\"parse\":\"a\"}]", ITEM(",\"a\":{\"S\":\"[1e200]\"}"),
		  "NewImage: parse: a: expected numbers of at most 38 digits" },
		{ "[{\"move\":{\"a\":\"pk.x\"}}]", ITEM(",\"a\":{\"S\":\"\"}"),
		  "NewImage: move: a: its new place is in something that is no map" },
		{ "[{\"set\":{\"pk.x\":\"y\"}}]", ITEM(""),
		  "NewImage: set: pk.x: its new place is in something that is no map" },
		{ "[{\"flatten\":\"a\"}]",
		  ITEM(",\"a\":{\"M\":{\"b\":{\"S\":\"\"}}},\"a_b\":{\"S\":\"\"}"),
		  "NewImage: flatten: a: an attribute of such a name is there already" },
		{ "[{\"split\":\"a\"}]", ITEM(",\"a\":{\"S\":\"\"},\"a_s\":{\"S\":\"\"}"),
		  "NewImage: split: a: an attribute of such a name is there already" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(transform) struct transform *t = transforming(cases[i].transform);
		AUTO(batch)
		struct batch *b = one("INSERT", cases[i].item, NULL, with(FORMAT_PLAIN, t));

		assert_int_equal(b->fault_count, 1);
		assert_string_equal(b->faults[0].error, cases[i].error);
	}
}

/* What doubles again and again comes to an end. */
static void what_grows_without_end_is_a_fault(void **state)
{
	static const char *const grows[] = {
		"{\"set\":{\"a\":\"${attribute:a}${attribute:a}\"}}",
		"{\"set\":{\"m.a\":\"${attribute:m}\",\"m.b\":\"${attribute:m}\"}}"
	};
	struct buf chain;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		buf_init(&chain, 0);
		buf_printf(&chain, "[%s", grows[k]);
		for (unsigned i = 0; i < 40; i++)
			buf_printf(&chain, ",%s", grows[k]);
		buf_text(&chain, "]");
		AUTO(transform) struct transform *t = transforming(chain.data);
		AUTO(batch)
		struct batch *b =
			one("INSERT", ITEM(",\"a\":{\"S\":\"0123456789\"},\"m\":{\"M\":{}}"), NULL,
			    with(FORMAT_DEBEZIUM, t));

		assert_int_equal(b->fault_count, 1);
		assert_non_null(strstr(b->faults[0].error, "NewImage: transforms make"));
		buf_release(&chain);
	}
}

/* Items of many shapes in one page: names, order, spelling, white space, more attributes than are
 * remembered. Each is what it would be alone. */
static void items_need_not_be_alike(void **state)
{
	AUTO(transform)
	struct transform *t =
		transforming("[{\"drop\":\"b\"},{\"rename\":{\"c\":\"C\"}},{\"cast\":{\"n\":"
			     "\"string\"}},{\"flatten\":\"m\"},{\"mask\":[\"s\"]}]");
	static const char *const items[] = {
		",\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"},\"c\":{\"S\":\"3\"},\"n\":{\"N\":\"4."
		"50\"}",
		",\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"},\"c\":{\"S\":\"3\"},\"n\":{\"N\":\"4."
		"50\"}",
		",\"n\":{\"N\":\"5\"},\"c\":{\"S\":\"3\"},\"a\":{\"S\":\"1\"}",
		" , \"c\" : { \"S\" : \"3\" } , \"b\":{\"NULL\":true},\"m\":{ \"M\" : { "
		"\"x\":{\"N\":\"1\"} } }",
		",\"\\u0063\":{\"S\":\"3\"},\"\\u0062\":{\"S\":\"2\"},\"s\":{\"SS\":[\"x\"]}",
		",\"m\":{\"M\":{\"x\":{\"N\":\"1\"},\"y\":{\"L\":[]}}},\"m_z\":{\"S\":\"\"}",
		"",
		",\"c\":{\"BOOL\":true},\"s\":{\"S\":\"secret\"},\"a_name_of_more_than_thirty_"
		"bytes\":{\"S\":"
		"\"1\"}",
	};
	const size_t count = sizeof(items) / sizeof(items[0]);
	struct buf page, many, alone;

	(void)state;
	buf_init(&page, 0);
	buf_init(&many, 0);
	buf_init(&alone, 0);
	for (unsigned i = 0; i < 100; i++)
		buf_printf(&many, ",\"n%u\":{\"N\":\"%u\"}", i, i);
	buf_text(&many, ",\"c\":{\"S\":\"3\"},\"n\":{\"N\":\"1\"}");
	buf_text(&page, "{\"Records\":[");
	for (size_t i = 0; i < 3 * count; i++) {
		const char *more = i % count == 6 ? many.data : items[i % count];

		buf_printf(&page,
			   "%s{\"eventID\":\"e1\",\"eventName\":\"MODIFY\",\"dynamodb\":{"
			   "\"ApproximateCreationDateTime\":1763700000,\"Keys\":" KEYS
			   ",\"NewImage\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}%s},"
			   "\"SequenceNumber\":\"111111111111111111111\",\"OldImage\":{\"sk\":{"
			   "\"N\":\"1\"},"
			   "\"pk\":{\"S\":\"a\"}%s}}}",
			   i ? "," : "", more, items[(i * 5) % count]);
	}
	buf_text(&page, "]}");
	for (int format = FORMAT_DEBEZIUM; format <= FORMAT_DYNAMODB; format++) {
		struct encoding encoding = with((enum event_format)format, t);
		AUTO(batch) struct batch *b = transforming_decode(buf_str(&page), encoding);

		assert_int_equal(b->fault_count, 0);
		assert_int_equal(b->count, 3 * count);
		for (size_t i = 0; i < b->count; i++) {
			struct batch *single;

			buf_clear(&alone);
			buf_printf(&alone, "{\"Records\":[%.*s]}", STR_ARG(b->events[i].raw));
			single = transforming_decode(buf_str(&alone), encoding);
			if (!str_equal(single->payloads[0][0], b->payloads[0][i]))
				fail_msg("%.*s\nalone\n%.*s", STR_ARG(b->payloads[0][i]),
					 STR_ARG(single->payloads[0][0]));
			batch_free(single);
		}
		if (format == FORMAT_PLAIN) {
			assert_str(b->payloads[0][0],
				   "{\"pk\":\"a\",\"sk\":1,\"a\":\"1\",\"C\":\"3\",\"n\":\"4.50\","
				   "\"_op\":\"u\",\"_ts\":"
				   "1763700000000,\"_seq\":\"111111111111111111111\",\"_gen\":7,\"_"
				   "order\":"
				   "\"0000000007-0000000000000000000111111111111111111111\"}");
			assert_begins(b->payloads[0][3],
				      "{\"pk\":\"a\",\"sk\":1,\"C\":\"3\",\"m_x\":1,\"_op\"");
			assert_begins(b->payloads[0][4],
				      "{\"pk\":\"a\",\"sk\":1,\"C\":\"3\",\"s\":[\"***\"],");
		}
	}
	buf_release(&page);
	buf_release(&many);
	buf_release(&alone);
}

/* Members of the plain form and attributes that are called like them. */
static void names_of_the_plain_form_stay_apart(void **state)
{
	AUTO(transform)
	struct transform *t = transforming("[{\"rename\":{\"a\":\"_seq\"}},{\"drop\":\"x\"}]");
	const struct encoding encodings[] = { with(FORMAT_DEBEZIUM, t), with(FORMAT_PLAIN, t) };
	struct decode_options o = { .encodings = encodings, .encoding_count = 2 };
	struct error err = { 0 };

	(void)state;
	for (size_t first = 0; first < 2; first++) {
		struct buf page;
		struct batch *b;

		buf_init(&page, 0);
		transforming_page(&page, "INSERT", KEYS,
				  ITEM(",\"_op\":{\"S\":\"o\"},\"a\":{\"S\":\"s\"},\"x\":{\"S\":"
				       "\"\"},\"\\u005fts\":{\"N\":"
				       "\"1\"}"),
				  NULL);
		b = decoding_batch(buf_str(&page), &decoding_source);
		/* Both forms together, and plain alone: then the page is read in its style. */
		o.encodings = encodings + first;
		o.encoding_count = 2 - first;
		assert_true(decode_page(b, &o, &err));
		assert_begins(b->payloads[1 - first][0],
			      "{\"pk\":\"a\",\"sk\":1,\"__op\":\"o\",\"__seq\":\"s\",\"_");
		batch_free(b);
		buf_release(&page);
	}
}

/* Neighbours that no step asks for are written as one, whatever there is between them, and their
 * names are taken. */
static void neighbours_stay_what_they_are(void **state)
{
	AUTO(transform)
	struct transform *t = transforming("[{\"keep\":[\"a\",\"b\",\"c\",\"m\",\"m_y\",\"d\",\"_"
					   "e\",\"f\",\"_ts\"]},{\"mask\":"
					   "\"c\"},{\"flatten\":\"m\",\"on_fail\":\"keep\"}]");
	static const struct {
		const char *item, *debezium, *plain;
	} cases[] = {
		{ ",\"a\":{\"N\":\"1.0\"},\"b\":{\"S\":\"2\"},\"c\":{\"S\":\"3\"},\"m\":{\"M\":{"
		  "\"x\":{"
		  "\"N\":\"4\"}}},\"d\":{\"N\":\"5\"},\"_e\":{\"NULL\":true},\"f\":{\"BOOL\":true}",
		  "\"a\":\"1.0\",\"b\":\"2\",\"c\":\"***\",\"m_x\":\"4\",\"d\":\"5\",\"_e\":null,"
		  "\"f\":true}",
		  "\"a\":1.0,\"b\":\"2\",\"c\":\"***\",\"m_x\":4,\"d\":5,\"_e\":null,\"f\":true,"
		  "\"_op\"" },
		/* m_y is there already. */
		{ ",\"x\":{\"N\":\"0\"},\"a\":{\"N\":\"1\"},\"m_y\":{\"N\":\"2\"},\"b\":{\"S\":"
		  "\"\"},"
		  "\"m\":{\"M\":{\"y\":{\"N\":\"4\"}}},\"_ts\":{\"N\":\"5\"},\"d\":{\"N\":\"6\"}",
		  "\"a\":\"1\",\"m_y\":\"2\",\"b\":\"\",\"m\":{\"y\":\"4\"},\"_ts\":\"5\",\"d\":"
		  "\"6\"}",
		  "\"a\":1,\"m_y\":2,\"b\":\"\",\"m\":{\"y\":4},\"__ts\":5,\"d\":6,\"_op\"" },
	};
	struct encoding encodings[] = { with(FORMAT_DEBEZIUM, t), with(FORMAT_PLAIN, t) };
	const struct decode_options o = { .encodings = encodings, .encoding_count = 2 };

	(void)state;
	encodings[0].numbers_as_strings = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = { 0 };
		struct buf item, page;
		struct batch *b;

		buf_init(&item, 0);
		buf_init(&page, 0);
		buf_printf(&item, "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}%s}", cases[i].item);
		buf_text(&page, "{\"Records\":[");
		transforming_record(&page, "INSERT", KEYS, item.data, NULL);
		buf_text(&page, ",");
		transforming_record(&page, "INSERT", KEYS, item.data, NULL);
		buf_text(&page, "]}");
		b = decoding_batch(buf_str(&page), &decoding_source);
		assert_true(decode_page(b, &o, &err));
		assert_int_equal(b->fault_count, 0);
		for (size_t k = 0; k < 2; k++) {
			assert_holds(b->payloads[0][k], cases[i].debezium);
			assert_holds(b->payloads[1][k], cases[i].plain);
		}
		batch_free(b);
		buf_release(&page);
		buf_release(&item);
	}
}

/* Both images of a change become what each becomes alone, whatever differs between them. */
static void images_of_a_change_do_not_mix(void **state)
{
	static const struct {
		const char *transforms, *one, *two;
	} cases[] = {
		{ "[{\"cast\":{\"n\":\"number\"},\"on_fail\":\"drop\"}]", "\"n\":{\"S\":\"5\"}",
		  "\"n\":{\"S\":\"x\"}" },
		{ "[{\"cast\":{\"n\":\"number\"},\"on_fail\":\"null\"},{\"rename\":{\"n\":\"N\"}}]",
		  "\"n\":{\"S\":\"5\"}", "\"n\":{\"S\":\"x\"}" },
		{ "[{\"set\":{\"a\":\"${attribute:m.x}\"}}]",
		  "\"m\":{\"M\":{\"x\":{\"S\":\"1\"}}},\"a\":{\"S\":\"one\"}",
		  "\"m\":{\"M\":{\"y\":{\"S\":\"1\"}}},\"a\":{\"S\":\"two\"}" },
		{ "[{\"set\":{\"a\":\"${attribute:m.x}\"}}]",
		  "\"m\":{\"M\":{\"x\":{\"S\":\"1\"}}},\"\\u0061\":{\"S\":\"one\"}",
		  "\"m\":{\"M\":{\"y\":{\"S\":\"1\"}}},\"\\u0061\":{\"S\":\"two\"}" },
		{ "[{\"set\":{\"b\":\"${attribute:m.x} ${attribute:a}\"}}]",
		  "\"m\":{\"M\":{\"x\":{\"S\":\"1\"}}},\"a\":{\"S\":\"one\"}",
		  "\"m\":{\"M\":{\"y\":{\"S\":\"1\"}}},\"a\":{\"S\":\"two\"}" },
		{ "[{\"set\":{\"a\":\"${attribute:a}${attribute:b:-?}\"}},{\"mask\":\"c\"}]",
		  "\"a\":{\"S\":\"one\"},\"b\":{\"S\":\"1\"},\"c\":{\"S\":\"x\"}",
		  "\"a\":{\"S\":\"two\"},\"b\":{\"S\":\"2\"},\"c\":{\"S\":\"y\"}" },
		{ "[{\"truncate\":{\"s\":1}},{\"mask\":\"m.x\"},{\"drop\":\"m.y\"}]",
		  "\"s\":{\"S\":\"ab\"},\"m\":{\"M\":{\"x\":{\"S\":\"1\"},\"y\":{\"S\":\"2\"}}},"
		  "\"z\":{"
		  "\"S\":\"1\"}",
		  "\"s\":{\"S\":\"b\"},\"m\":{\"M\":{\"x\":{\"S\":\"3\"},\"z\":{\"S\":\"4\"}}},"
		  "\"z\":{"
		  "\"S\":\"2\"}" },
		{ "[{\"move\":{\"m.x\":\"x\"}},{\"flatten\":\"m\"},{\"hash\":{\"paths\":\"s\","
		  "\"key\":"
		  "\"0123456789abcdef\"}}]",
		  "\"s\":{\"S\":\"a\"},\"m\":{\"M\":{\"x\":{\"S\":\"1\"},\"y\":{\"S\":\"2\"}}}",
		  "\"s\":{\"S\":\"b\"},\"m\":{\"M\":{\"y\":{\"S\":\"3\"}}}" },
		{ "[{\"mask\":\"list\"},{\"cast\":{\"n\":\"string\"}}]",
		  "\"list\":{\"L\":[{\"S\":\"1\"}]},\"n\":{\"N\":\"1\"}",
		  "\"list\":{\"L\":[{\"N\":\"1\"},{\"NULL\":true}]},\"n\":{\"N\":\"2\"}" },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(transform) struct transform *t = transforming(cases[i / 2].transforms);
		const struct encoding encoding = with(FORMAT_DEBEZIUM, t);
		struct buf first, second, wanted;

		buf_init(&first, 0);
		buf_init(&second, 0);
		buf_init(&wanted, 0);
		buf_printf(&first, ITEM(",%s"), i % 2 ? cases[i / 2].two : cases[i / 2].one);
		buf_printf(&second, ITEM(",%s"), i % 2 ? cases[i / 2].one : cases[i / 2].two);
		for (unsigned k = 0; k < 2; k++) {
			AUTO(batch)
			struct batch *b =
				one("INSERT", k ? first.data : second.data, NULL, encoding);
			const char *after = strstr(b->payloads[0][0].p, "\"after\":") + 8;
			const char *end = strstr(after, ",\"source\"");

			buf_printf(&wanted, k ? ",\"after\":%.*s" : "{\"before\":%.*s",
				   (int)(end - after), after);
		}
		{
			AUTO(batch)
			struct batch *b = one("MODIFY", first.data, second.data, encoding);

			assert_begins(b->payloads[0][0], wanted.data);
		}
		buf_release(&first);
		buf_release(&second);
		buf_release(&wanted);
	}
}

static void rows_of_an_export_are_transformed_too(void **state)
{
	AUTO(transform)
	struct transform *t =
		transforming("[{\"hash\":{\"paths\":\"x\",\"key\":\"0123456789abcdef\"}},{"
			     "\"rename\":{\"pk\":\"id\"}}]");
	const struct encoding encodings[] = { with(FORMAT_PLAIN, t), with(FORMAT_DYNAMODB, t) };
	const struct decode_options o = { .encodings = encodings, .encoding_count = 2 };
	const struct rows full = { .window = 0, .time_ms = 1763700000123 };
	const struct rows window = { .window = 3, .old_images = true };
	struct batch *b = decoding_batch(STR("{\"Item\":{\"pk\":{\"S\":\"a\"},\"x\":{\"N\":\"1.0\"}"
					     ",\"sk\":{\"N\":\"1\"}}}\n"),
					 &decoding_source);

	(void)state;
	b->shard = NULL;
	decode_lines(b, &o, &full);
	assert_int_equal(b->bad_count + b->fault_count, 0);
	assert_begins(b->payloads[0][0], "{\"id\":\"a\",\"x\":\"");
	assert_str(b->events[0].key, "{\"pk\":\"a\",\"sk\":1}");
	assert_holds(b->payloads[1][0], "\"Keys\":{\"id\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}");
	batch_free(b);
	b = decoding_batch(
		STR("{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1763700000123456\"}},"
		    "\"Keys\":" KEYS ",\"OldImage\":" ITEM(",\"x\":{\"S\":\"\"}") "}\n"),
		&decoding_source);
	b->shard = NULL;
	decode_lines(b, &o, &window);
	assert_int_equal(b->bad_count + b->fault_count, 0);
	assert_begins(b->payloads[0][0], "{\"id\":\"a\",\"sk\":1,\"_op\":\"d\"");
	assert_holds(b->payloads[1][0], "\"OldImage\":{\"id\":");
	batch_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_transformed_where_they_are_shown),
		cmocka_unit_test(a_fault_is_of_an_encoding),
		cmocka_unit_test(faults_name_transform_and_attribute),
		cmocka_unit_test(what_grows_without_end_is_a_fault),
		cmocka_unit_test(items_need_not_be_alike),
		cmocka_unit_test(names_of_the_plain_form_stay_apart),
		cmocka_unit_test(neighbours_stay_what_they_are),
		cmocka_unit_test(images_of_a_change_do_not_mix),
		cmocka_unit_test(rows_of_an_export_are_transformed_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
