/* Records of dead letters once more, into files: one a folder, with the same name whoever writes
 * it. */
#include "tests/unit/sinks/object_fixture.h"

#define BATCH "1795255872345" /* WALL_MS */

static struct fixture fx;
static struct object_settings settings;
static char path_text[128];
static const _Atomic bool go_on = false;
static size_t sent, refused;
static struct error err;

static int setup(void **state)
{
	(void)state;
	fixture_init(&fx);
	snprintf(path_text, sizeof(path_text), "%s/out/op=${op}/day=${dd}/", fx.root);
	settings = (struct object_settings){ .path = path_text,
					     .format = FORMAT_PLAIN,
					     .compression = COMPRESSION_ZSTD };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_release(&fx);
	return 0;
}

#define RECORDS_MAX 8
struct records {
	struct parcel *parcels[RECORDS_MAX];
	size_t count;
};

static const struct str ops[] = { { "c", 1 }, { "d", 1 } };

/* Of the op that their place says. */
static struct records records_new(const size_t *places, size_t count)
{
	struct records r = { .count = count };

	for (size_t i = 0; i < count; i++) {
		struct parcel *p = r.parcels[i] = parcel_of(&source_orders, i, 1, 64);

		p->route = (struct batch_route){ .of = memory_array(1, sizeof(*p->route.of)),
						 .places = 2,
						 .values = 1,
						 .values_of = ops };
		p->route.of[0] = (uint32_t)places[i];
		p->delivery.route = &p->route;
	}
	return r;
}

static void records_free(struct records *r)
{
	for (size_t i = 0; i < r->count; i++)
		parcel_free(r->parcels[i]);
}
#define RECORDS __attribute__((cleanup(records_free))) struct records

static bool deliver(const struct records *r)
{
	const struct delivery *deliveries[RECORDS_MAX];
	const struct sink_again b = { .chain = OTHER,
				      .batch = WALL_MS,
				      .stream = "orders",
				      .records = deliveries,
				      .count = r->count };

	for (size_t i = 0; i < r->count; i++)
		deliveries[i] = &r->parcels[i]->delivery;
	sent = refused = 99;
	return sink_directory.again(&settings, &fx.host, &b, &go_on, &sent, &refused, &err);
}

static void file_text(const char *path, enum compression kind, struct buf *text)
{
	char full[512];
	struct buf raw;

	snprintf(full, sizeof(full), "%s/out/%s", fx.root, path);
	buf_init(&raw, 0);
	read_whole(full, &raw);
	decompress(kind, buf_str(&raw), text);
	buf_release(&raw);
}

static void expect_file(const char *path, const struct records *r, const size_t *which,
			size_t count)
{
	struct buf text, want;

	buf_init(&text, 0);
	buf_init(&want, 0);
	file_text(path, (enum compression)settings.compression, &text);
	for (size_t i = 0; i < count; i++)
		parcel_text(r->parcels[which[i]], &want);
	assert_int_equal(text.size, want.size);
	assert_memory_equal(text.data, want.data, want.size);
	buf_release(&text);
	buf_release(&want);
}

#define NAME "20261121T101112Z-orders-again-" OTHER "-" BATCH

static void a_file_for_each_folder(void **state)
{
	RECORDS r = records_new((const size_t[]){ 0, 1, 0 }, 3);

	(void)state;
	for (int again = 0; again < 2; again++) {
		char folder[128];

		if (!deliver(&r))
			fail_msg("%s", err.message);
		assert_int_equal(sent, 3);
		assert_int_equal(refused, 3);
		expect_file("op=c/day=21/" NAME ".ndjson.zst", &r, (const size_t[]){ 0, 2 }, 2);
		expect_file("op=d/day=21/" NAME ".ndjson.zst", &r, (const size_t[]){ 1 }, 1);
		snprintf(folder, sizeof(folder), "%s/out/op=c/day=21", fx.root);
		assert_int_equal(folder_count(folder, false), 1);
		assert_int_equal(folder_count(folder, true), 0);
	}
}

static void compressed_as_the_others(void **state)
{
	RECORDS r = records_new((const size_t[]){ 0 }, 1);

	(void)state;
	settings.compression = COMPRESSION_NONE;
	assert_true(deliver(&r));
	expect_file("op=c/day=21/" NAME ".ndjson", &r, (const size_t[]){ 0 }, 1);
	settings.compression = COMPRESSION_GZIP;
	assert_true(deliver(&r));
	expect_file("op=c/day=21/" NAME ".ndjson.gz", &r, (const size_t[]){ 0 }, 1);
}

static void a_list_of_them(void **state)
{
	RECORDS r = records_new((const size_t[]){ 0, 1, 0 }, 3);
	struct buf text;

	(void)state;
	settings.manifest = true;
	settings.compression = COMPRESSION_NONE;
	assert_true(deliver(&r));
	buf_init(&text, 0);
	file_text("_manifest/" NAME ".json", COMPRESSION_NONE, &text);
	assert_non_null(strstr(text.data, "{\"roll\":" BATCH ",\"session\":\"" OTHER "\","));
	assert_non_null(strstr(text.data, "{\"bytes\":128,\"records\":2,"));
	assert_non_null(strstr(text.data, "op=d/day=21/" NAME ".ndjson"));
	buf_release(&text);
}

static void a_folder_that_there_cannot_be(void **state)
{
	static char long_name[300];
	static const struct str place[] = { { long_name, sizeof(long_name) } };
	RECORDS r = records_new((const size_t[]){ 0, 0 }, 2);

	(void)state;
	memset(long_name, 'x', sizeof(long_name));
	r.parcels[1]->route.values_of = place;
	assert_false(deliver(&r));
	assert_int_equal(refused, 1);
	assert_int_equal(sent, 0);
}

static void a_place_that_is_away(void **state)
{
	RECORDS r = records_new((const size_t[]){ 0 }, 1);
	char wall[128];

	(void)state;
	snprintf(wall, sizeof(wall), "%s/out", fx.root);
	fclose(fopen(wall, "w"));
	assert_false(deliver(&r));
	assert_int_equal(refused, 1);
	assert_int_equal(sent, 0);
	assert_non_null(strstr(err.message, "sink lake"));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_file_for_each_folder),        T(compressed_as_the_others), T(a_list_of_them),
		T(a_folder_that_there_cannot_be), T(a_place_that_is_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
