/* Dead letters have the form that the contract gives them. */
#include "lanes.h"

#include <jansson.h>

#include "consumer/again.h"
#include "consumer/letter.h"

#define NOW_MS INT64_C(1763700099123)

static struct letter *letter_of(struct lane *l, uint32_t slot, const struct event *e,
				const char *reason, const char *error)
{
	return letter_new(l, slot, NULL, e, reason, error, 3, NOW_MS);
}

static json_t *parsed(const struct letter *l)
{
	json_error_t e;
	json_t *root = json_loadb(l->json.data, l->json.size, JSON_REJECT_DUPLICATES, &e);

	if (!root)
		fail_msg("%s\n%.*s", e.text, (int)l->json.size, l->json.data);
	return root;
}

static const char *text(const json_t *root, const char *name)
{
	return json_string_value(json_object_get(root, name));
}

static void a_refused_record_is_whole_and_names_its_place(void **state)
{
	AUTO(lane) struct lane *l = lane_new(lanes_stream_new(2), LANES_SHARD);
	struct event e = {
		.sequence = lanes_sequence(1),
		.raw = STR(
			"{\"eventID\":\"e1\",\"eventName\":\"INSERT\",\"dynamodb\":{\"Keys\":"
			"{\"pk\":{\"S\":\"a\"}},\"SequenceNumber\":\"000000000000000100001\"}}")
	};
	AUTO(letter)
	struct letter *letter = letter_of(l, 1, &e, "refused", "message \"too\"\nlarge");
	json_t *root = parsed(letter), *record = json_object_get(root, "record");

	(void)state;
	assert_int_equal(json_object_size(root), 10);
	assert_int_equal(json_integer_value(json_object_get(root, "generation")),
			 l->stream->source.generation);
	assert_string_equal(text(root, "reason"), "refused");
	assert_string_equal(text(root, "error"), "message \"too\"\nlarge");
	assert_string_equal(text(root, "stream"), "orders");
	assert_string_equal(text(root, "shard"), LANES_SHARD);
	assert_string_equal(text(root, "sequence"), "100001");
	assert_string_equal(text(root, "time"), "2025-11-21T04:41:39.123Z");
	assert_int_equal(json_integer_value(json_object_get(root, "attempts")), 3);
	assert_string_equal(text(root, "sink"), "two");
	assert_string_equal(text(record, "eventName"), "INSERT");
	assert_string_equal(text(record, "eventSourceARN"), LANES_ARN);
	/* As AWS gave it. */
	assert_string_equal(text(json_object_get(record, "dynamodb"), "SequenceNumber"),
			    "000000000000000100001");
	json_decref(root);

	assert_string_equal(letter->row.stream, "orders");
	assert_string_equal(letter->row.sink, "two");
	assert_string_equal(letter->row.shard, LANES_SHARD);
	assert_string_equal(letter->row.sequence, "100001");
	assert_string_equal(letter->row.reason, "refused");
	assert_ptr_equal(letter->row.json.p, letter->json.data);
}

static void what_is_bad_for_every_sink_names_none(void **state)
{
	AUTO(lane) struct lane *l = lane_new(lanes_stream_new(1), LANES_SHARD);
	struct event e = { .sequence = lanes_sequence(1), .raw = STR("{\"a\":\xff") };
	AUTO(letter)
	struct letter *letter = letter_of(l, LETTER_PAGE, &e, "undecodable", "no UTF-8");
	json_t *root = parsed(letter);

	(void)state;
	assert_true(json_is_null(json_object_get(root, "sink")));
	assert_string_equal(letter->row.sink, "");
	/* What is no JSON is there as base64. */
	assert_string_equal(text(root, "record"), "eyJhIjr/");
	json_decref(root);
}

static void an_error_that_says_nothing_is_null(void **state)
{
	AUTO(lane) struct lane *l = lane_new(lanes_stream_new(1), LANES_SHARD);
	struct event e = { .sequence = lanes_sequence(1), .raw = STR("{}") };
	AUTO(letter) struct letter *letter = letter_of(l, 0, &e, "refused", "");
	json_t *root = parsed(letter);

	(void)state;
	assert_true(json_is_null(json_object_get(root, "error")));
	json_decref(root);
}

/* The store keeps one letter a stream, sink, shard and sequence. */
static void without_a_sequence_its_bytes_tell_it_from_others(void **state)
{
	AUTO(lane) struct lane *l = lane_new(lanes_stream_new(1), LANES_SHARD);
	struct event one = { .raw = STR("{\"a\":1}") }, other = { .raw = STR("{\"a\":2}") };
	AUTO(letter) struct letter *a = letter_of(l, LETTER_PAGE, &one, "undecodable", "x");
	AUTO(letter) struct letter *again = letter_of(l, LETTER_PAGE, &one, "undecodable", "x");
	AUTO(letter) struct letter *b = letter_of(l, LETTER_PAGE, &other, "undecodable", "x");
	json_t *root = parsed(a);

	(void)state;
	assert_true(json_is_null(json_object_get(root, "sequence")));
	assert_string_equal(a->row.sequence, again->row.sequence);
	assert_string_not_equal(a->row.sequence, b->row.sequence);
	assert_string_not_equal(a->row.sequence, "");
	json_decref(root);
}

/* What is tried is copied more than once, into buffers that have a limit. */
static void what_is_larger_than_any_letter_is_none(void **state)
{
	static const char begin[] =
		"{\"stream\":\"s\",\"shard\":\"h\",\"reason\":\"r\",\"sequence\":\"1\","
		"\"record\":{\"a\":\"";
	struct again_letter head;
	struct buf line, json;
	struct error err = { 0 };

	(void)state;
	buf_init(&line, 0);
	buf_init(&json, 0);
	buf_printf(&line, "%s%0*d\"}}", begin, AGAIN_LETTER_BYTES_MAX / 2, 0);
	assert_true(again_letter_line(buf_str(&line), &head, &json, &err));
	again_letter_release(&head);
	buf_clear(&line);
	buf_clear(&json);
	buf_printf(&line, "%s%0*d\"}}", begin, AGAIN_LETTER_BYTES_MAX, 0);
	assert_false(again_letter_line(buf_str(&line), &head, &json, &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_non_null(strstr(err.message, "33554432 bytes"));
	/* In the form that the store has, this one would be. */
	buf_clear(&line);
	buf_printf(&line, "%.*s[", (int)sizeof(begin) - 2, begin);
	for (int i = 0; i < AGAIN_LETTER_BYTES_MAX / 20; i++)
		buf_text(&line, "1e-7,");
	buf_text(&line, "0]}}");
	buf_release(&json);
	buf_init(&json, 6 * line.size + 1024);
	assert_false(again_letter_line(buf_str(&line), &head, &json, &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	buf_release(&json);
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_record_is_whole_and_names_its_place),
		cmocka_unit_test(what_is_bad_for_every_sink_names_none),
		cmocka_unit_test(an_error_that_says_nothing_is_null),
		cmocka_unit_test(without_a_sequence_its_bytes_tell_it_from_others),
		cmocka_unit_test(what_is_larger_than_any_letter_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
