/* What a page may cost in memory: a handful of allocations; body and arena, four times its size. */
#include "tests/unit/event/decoding.h"

#include "tests/allocations.h"
#include "tests/bench/page.h"

/* Allocations of decoding one page; bytes: of the arena, for each byte of the page. */
static size_t transform_count(const struct transform *transform, enum page_shape shape,
			      size_t page_bytes, double *bytes)
{
	const struct encoding encoding = { .format = FORMAT_DEBEZIUM, .transform = transform };
	struct decode_options o = {
		.encodings = &encoding, .encoding_count = 1, .lenient = false, .now_ms = 1
	};
	struct batch *b = batch_new();
	struct error err;
	size_t n;

	b->source = page_source(shape);
	b->shard = page_shard;
	page_make(1, shape, page_bytes, &b->body);
	allocations = 0;
	assert_true(decode_page(b, &o, &err));
	n = allocations;
	assert_true(b->count > 0);
	assert_int_equal(b->fault_count, 0);
	*bytes = (double)b->arena.bytes / (double)b->body.size;
	batch_free(b);
	return n;
}

static size_t decode_count(enum page_shape shape, size_t page_bytes, double *bytes)
{
	return transform_count(NULL, shape, page_bytes, bytes);
}

static void allocations_do_not_grow_with_records(void **state)
{
	(void)state;
	for (enum page_shape shape = 0; shape < PAGE_SHAPES; shape++) {
		double bytes;
		size_t few = decode_count(shape, 1000, &bytes);
		size_t many = decode_count(shape, 1 << 20, &bytes);

		/* Chunks of the arena grow as they are asked for, so a thousand times the records
		 * take a few more. */
		assert_in_range(few, 1, 16);
		assert_in_range(many, 1, 24);
	}
}

/* Nor do they with transforms, whose memory is used again for each item. */
static void transforms_allocate_nothing_for_a_record(void **state)
{
	const struct str definitions[] = {
		STR("{\"drop\":[\"token\",\"address.zip\",\"branch_0\"]}"),
		STR("{\"hash\":{\"paths\":[\"name\",\"branch_1\"],\"key\":\"0123456789abcdef\"}}"),
		STR("{\"set\":{\"label\":\"${attribute:pk} ${attribute:branch_2:-none}\"}}"),
		STR("{\"flatten\":[\"address\",\"branch_1\"]}"),
	};
	struct error err;
	AUTO(transform) struct transform *t = transform_new(definitions, 4, &err);

	(void)state;
	assert_non_null(t);
	for (enum page_shape shape = 0; shape < PAGE_SHAPES; shape++) {
		double bytes;

		assert_in_range(transform_count(t, shape, 1000, &bytes), 1, 40);
		assert_in_range(transform_count(t, shape, 1 << 20, &bytes), 1, 48);
	}
}

/* Of a shard at rest this is all there is, thousands of times a second: the batch is used again,
 * its body has room. */
static void a_page_without_records_takes_no_memory(void **state)
{
	const struct encoding encoding = { .format = FORMAT_DEBEZIUM };
	struct decode_options o = {
		.encodings = &encoding, .encoding_count = 1, .lenient = false, .now_ms = 1
	};
	struct batch *b = batch_new();
	struct error err;

	(void)state;
	b->source = page_source(PAGE_MAIN);
	b->shard = page_shard;
	for (unsigned turn = 0; turn < 3; turn++) {
		buf_text(&b->body, "{\"Records\":[],\"NextShardIterator\":\"next\"}");
		allocations = 0;
		assert_true(decode_page(b, &o, &err));
		if (turn > 0)
			assert_int_equal(allocations, 0);
		assert_int_equal(b->count, 0);
		assert_int_equal(b->arena.bytes, 0);
		batch_clear(b);
		b->source = page_source(PAGE_MAIN);
		b->shard = page_shard;
	}
	batch_free(b);
}

static void an_arena_is_at_most_three_times_its_page(void **state)
{
	(void)state;
	for (enum page_shape shape = 0; shape < PAGE_SHAPES; shape++) {
		double bytes;

		decode_count(shape, 1 << 20, &bytes);
		if (bytes > 3)
			fail_msg("%s: %.2f times the page", page_shape_name(shape), bytes);
	}
}

/* The same of an export's lines. */
static size_t lines_count(size_t body_bytes, double *bytes)
{
	const struct encoding encoding = { .format = FORMAT_DEBEZIUM };
	const struct decode_options o = {
		.encodings = &encoding, .encoding_count = 1, .lenient = false, .now_ms = 1
	};
	const struct rows rows = { .time_ms = 1763700000000 };
	struct batch *b = batch_new();
	size_t n;

	b->source = page_source(PAGE_MAIN);
	for (uint64_t i = 0; b->body.size < body_bytes; i++) {
		buf_text(&b->body, "{\"Item\":");
		page_item(1, i, &b->body);
		buf_text(&b->body, "}\n");
	}
	allocations = 0;
	decode_lines(b, &o, &rows);
	n = allocations;
	assert_true(b->count > 0 && b->bad_count == 0);
	*bytes = (double)b->arena.bytes / (double)b->body.size;
	batch_free(b);
	return n;
}

static void lines_cost_no_more_than_pages(void **state)
{
	double bytes;

	(void)state;
	assert_in_range(lines_count(1000, &bytes), 1, 16);
	assert_in_range(lines_count(1 << 20, &bytes), 1, 24);
	if (bytes > 3)
		fail_msg("%.2f times the lines", bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_do_not_grow_with_records),
		cmocka_unit_test(transforms_allocate_nothing_for_a_record),
		cmocka_unit_test(a_page_without_records_takes_no_memory),
		cmocka_unit_test(an_arena_is_at_most_three_times_its_page),
		cmocka_unit_test(lines_cost_no_more_than_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
