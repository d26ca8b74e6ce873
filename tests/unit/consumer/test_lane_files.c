/* Lanes that are data files: all rows of an export have one sequence number, and places tell them
 * apart. */
#include "lanes.h"

#include <jansson.h>

#include "base/memory.h"
#include "consumer/letter.h"
#include "event/decode.h"

#define NAME "bhcgmiwzbi3hlfrm7jdnyqdkey.json.gz"

static struct lane *file_lane(uint32_t sinks, enum config_on_error on_error)
{
	struct lane_stream *s = lanes_stream_new(sinks);
	struct lane *l;

	s->files = true;
	s->rows = (struct rows){ .window = 7, .old_images = true };
	s->on_error = on_error;
	s->source.arn = NULL;
	l = lane_new_file(s, NAME, "s3://exports/a/b/data/" NAME, "md5==", 4);
	assert_non_null(l);
	return l;
}

/* A block of rows "from a window" as it lies at `place`. */
static struct batch *block(struct lane *l, uint64_t place, const char *lines)
{
	static const struct encoding encoding = { .format = FORMAT_PLAIN };
	struct decode_options o = { .encodings = &encoding, .encoding_count = 1 };
	struct batch *b = batch_new();

	b->source = &l->stream->source;
	b->place = place;
	assert_true(buf_add(&b->body, lines, strlen(lines)));
	decode_lines(b, &o, &l->stream->rows);
	return b;
}

#define ROW(n)                                                                                     \
	"{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1700000000000000\"}},\"Keys\":"          \
	"{\"pk\":{\"S\":\"" n "\"},\"sk\":{\"N\":\"1\"}},\"NewImage\":{\"pk\":{\"S\":\"" n         \
	"\"},\"sk\":{\"N\":\"1\"}}}\n"
#define ROW_BYTES (sizeof(ROW("a")) - 1)

static void what_a_location_is(void **state)
{
	struct lane_stream *s = lanes_stream_new(1);
	AUTO(lane) struct lane *l = lane_new_file(s, NAME, "s3://bucket/a/b/c", "", 3);

	(void)state;
	assert_string_equal(l->file->bucket, "bucket");
	assert_string_equal(l->file->key, "a/b/c");
	assert_null(l->file->md5);
	assert_null(lane_new_file(s, NAME, "s3://bucket", "", 3));
	assert_null(lane_new_file(s, NAME, "s3://bucket/", "", 3));
	assert_null(lane_new_file(s, NAME, "s3:///key", "", 3));
	assert_null(lane_new_file(s, NAME, "data/x.json.gz", "", 3));
}

static void places_are_positions(void **state)
{
	static const uint64_t places[] = { 0, 1, 10, 999, 1000, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct sequence at = lane_at_place(places[i]);

		assert_int_equal(lane_place(&at), places[i]);
		assert_int_equal(sequence_is_none(&at), places[i] == 0);
	}
}

static void a_rows_position_is_behind_its_line(void **state)
{
	AUTO(lane) struct lane *l = file_lane(1, ON_ERROR_DEAD_LETTER);
	AUTO(batch)
	struct batch *b = block(l, 1000, "\n" ROW("a") " " ROW("b") "bad   \n" ROW("c"));
	static const uint64_t places[] = { ROW_BYTES + 1, 2 * ROW_BYTES + 2, 2 * ROW_BYTES + 9,
					   3 * ROW_BYTES + 9 };

	(void)state;
	assert_int_equal(b->count, 4);
	for (size_t i = 0; i < 4; i++) {
		struct sequence at = lane_position(l, b, i);

		assert_int_equal(lane_place(&at), 1000 + places[i]);
	}
	assert_int_equal(lane_row_place(b, &b->events[1]), 1000 + ROW_BYTES + 2);
}

/* Of a range of a batch rows are counted: how long they are does not matter. */
static void a_range_counts_its_rows(void **state)
{
	static const struct lane_batch batch = { 0 };
	struct lane_stream *s = lanes_stream_new(1);
	AUTO(lane) struct lane *l = NULL;
	AUTO(batch) struct batch *b = NULL;

	(void)state;
	s->files = true;
	s->rows = (struct rows){ .window = 7, .old_images = true };
	s->source.arn = NULL;
	s->batch = &batch;
	assert_null(lane_new_file(s, NAME, "s3://bucket/a/b/c", "", 3));
	l = lane_new_file(s, "batch-12-range-2-of-3", "", "", 0);
	assert_int_equal(l->file->part, 1);
	assert_int_equal(l->file->parts, 3);
	b = block(l, 1000, ROW("a") "bad\n" ROW("c"));
	b->numbered = true;
	assert_int_equal(b->count, 3);
	for (size_t i = 0; i < 3; i++) {
		struct sequence at = lane_position(l, b, i);

		assert_int_equal(lane_place(&at), 1001 + i);
		assert_int_equal(lane_row_place(b, &b->events[i]), 1000 + i);
	}
}

/* One sink is further than the other, in the middle of a block. */
static void a_sink_gets_what_it_does_not_have(void **state)
{
	AUTO(lane) struct lane *l = file_lane(3, ON_ERROR_DEAD_LETTER);
	struct frontier_move at[3] = { { .to = lane_at_place(ROW_BYTES) },
				       { .to = lane_at_place(3 * ROW_BYTES) },
				       { .to = lane_at_place(4 * ROW_BYTES) } };
	struct lane_page *p;

	(void)state;
	lane_set_positions(l, at);
	assert_int_equal(lane_place(&l->read), ROW_BYTES);
	p = lane_add_page(l, block(l, ROW_BYTES, ROW("b") ROW("c") ROW("d")));
	assert_int_equal(p->count, 3);
	assert_int_equal(lane_page_left(p, 0, 0), 3);
	assert_int_equal(lane_page_left(p, 1, 0), 1);
	assert_null(p->payloads[1][1].p);
	assert_non_null(p->payloads[1][2].p);
	assert_int_equal(lane_page_left(p, 2, 0), 0);
	p = lane_add_page(l, block(l, 4 * ROW_BYTES, ROW("e") ROW("f")));
	for (uint32_t slot = 0; slot < 3; slot++)
		assert_int_equal(lane_page_left(p, slot, 0), 2);
}

static json_t *parsed(const struct letter *l)
{
	json_t *root = json_loadb(l->json.data, l->json.size, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(root);
	return root;
}

/* Rows of one window: the same sequence, and yet each has a letter of its own, which is a row of an
 * export wherever it goes from there. */
static void rows_have_letters_of_their_own(void **state)
{
	AUTO(lane) struct lane *l = file_lane(1, ON_ERROR_DEAD_LETTER);
	AUTO(batch) struct batch *b = block(l, 1000, ROW("a") ROW("b") "bad\n");
	AUTO(letter)
	struct letter *one = letter_new(l, 0, b, &b->events[0], "refused", "large", 1, 5),
		      *two = letter_new(l, 0, b, &b->events[1], "refused", "large", 1, 5),
		      *bad = letter_new(l, LETTER_PAGE, b, &b->events[2], "undecodable",
					b->events[2].bad, 1, 5);
	json_t *root = parsed(two), *record = json_object_get(root, "record"),
	       *ours = json_object_get(record, "sluice");
	char place[64];

	(void)state;
	snprintf(place, sizeof(place), "place:%zu", 1000 + ROW_BYTES);
	assert_string_equal(one->row.sequence, "place:1000");
	assert_string_equal(two->row.sequence, place);
	assert_string_equal(two->row.shard, NAME);
	assert_string_equal(json_string_value(json_object_get(root, "sequence")), "7");
	assert_string_equal(json_string_value(json_object_get(root, "shard")), NAME);
	assert_string_equal(json_string_value(json_object_get(record, "eventName")), "INSERT");
	assert_string_equal(json_string_value(json_object_get(ours, "op")), "c");
	assert_int_equal(json_integer_value(json_object_get(ours, "window")), 7);
	json_decref(root);
	root = parsed(bad);
	assert_string_equal(json_string_value(json_object_get(root, "record")), "YmFk");
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_location_is),
		cmocka_unit_test(places_are_positions),
		cmocka_unit_test(a_rows_position_is_behind_its_line),
		cmocka_unit_test(a_range_counts_its_rows),
		cmocka_unit_test(a_sink_gets_what_it_does_not_have),
		cmocka_unit_test(rows_have_letters_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
