#include "tests/unit/sinks/object_fixture.h"

/* Input in odd slices, output in rooms of `room` bytes. */
static void compress_all(enum compression kind, struct str in, size_t room, struct buf *out)
{
	AUTO(compressor) struct compressor *c = compressor_new(kind);
	char *at = memory_new(room);
	bool done = false;

	for (size_t slice = 1; in.n > 0; slice = slice * 3 + 1) {
		struct str part = { in.p, in.n < slice ? in.n : slice };

		in.p += part.n;
		in.n -= part.n;
		while (part.n > 0) {
			size_t n = compressor_feed(c, &part, at, room);

			assert_true(n <= room);
			assert_true(n == room || part.n == 0);
			assert_true(buf_add(out, at, n));
		}
	}
	while (!done)
		assert_true(buf_add(out, at, compressor_end(c, at, room, &done)));
	free(at);
}

static void round_trip(enum compression kind)
{
	static const size_t rooms[] = { 13, 4096, 1 << 20 };
	struct parcel *p = parcel_of(&source_orders, 0, 2000, 500);

	for (size_t i = 0; i < 3; i++) {
		struct buf packed, text;

		buf_init(&packed, 0);
		buf_init(&text, 0);
		compress_all(kind, (struct str){ p->text, 2000 * 500 }, rooms[i], &packed);
		decompress(kind, buf_str(&packed), &text);
		assert_int_equal(text.size, 2000 * 500);
		assert_memory_equal(text.data, p->text, text.size);
		if (kind != COMPRESSION_NONE)
			assert_true(packed.size < text.size * 7 / 10);
		buf_release(&packed);
		buf_release(&text);
	}
	parcel_free(p);
}

static void test_none(void **state)
{
	(void)state;
	round_trip(COMPRESSION_NONE);
}

static void test_gzip(void **state)
{
	(void)state;
	round_trip(COMPRESSION_GZIP);
}

static void test_zstd(void **state)
{
	(void)state;
	round_trip(COMPRESSION_ZSTD);
}

static void test_empty_file(void **state)
{
	(void)state;
	for (int kind = COMPRESSION_NONE; kind <= COMPRESSION_ZSTD; kind++) {
		struct buf packed, text;

		buf_init(&packed, 0);
		buf_init(&text, 0);
		compress_all((enum compression)kind, (struct str){ "", 0 }, 7, &packed);
		if (packed.size > 0)
			decompress((enum compression)kind, buf_str(&packed), &text);
		assert_int_equal(text.size, 0);
		buf_release(&packed);
		buf_release(&text);
	}
}

/* The limit on memory counts with it. */
static void test_bytes_cover_zstd(void **state)
{
	(void)state;
	assert_true(compressor_bytes(COMPRESSION_ZSTD) > (size_t)1 << 20);
	assert_true(compressor_bytes(COMPRESSION_GZIP) > (size_t)256 << 10);
	assert_true(compressor_bytes(COMPRESSION_NONE) < (size_t)128 << 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_empty_file),
		cmocka_unit_test(test_bytes_cover_zstd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
