#include "tests/unit/sinks/object_fixture.h"

#include <glob.h>
#include <signal.h>
#include <sys/resource.h>

static struct fixture fx;
static struct object_settings settings;
static char path_text[128];

static int setup(void **state)
{
	(void)state;
	fixture_init(&fx);
	snprintf(path_text, sizeof(path_text), "%s/out/${table}/date=${yyyy}-${MM}-${dd}/",
		 fx.root);
	settings = (struct object_settings){ .path = path_text,
					     .format = FORMAT_PLAIN,
					     .compression = COMPRESSION_ZSTD,
					     .roll_bytes = 128L << 20,
					     .roll_age_ms = 3600000 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_release(&fx);
	return 0;
}

static struct sink *opened(void)
{
	struct error err = { 0 };
	struct sink *s = sink_directory.open(&settings, &fx.host, &err);

	if (!s)
		fail_msg("%s", err.message);
	return s;
}

static const char *in_root(const char *fmt, const char *a)
{
	static char out[2][512];
	static unsigned turn;
	char *at = out[turn++ % 2];
	size_t n = (size_t)snprintf(at, sizeof(out[0]), "%s/out/", fx.root);

	snprintf(at + n, sizeof(out[0]) - n, "%s/date=2026-11-21/%s", a, fmt);
	return at;
}

#define NAME(roll, n) "20261121T101112Z-" SESSION "-" roll "-" n ".ndjson"

static void expect_file(const char *table, const char *name, const struct parcel *const *parcels,
			size_t count)
{
	char full[512];
	struct buf raw, text, want;

	buf_init(&raw, 0);
	buf_init(&text, 0);
	buf_init(&want, 0);
	snprintf(full, sizeof(full), "%s%s", in_root(name, table),
		 compression_suffix((enum compression)settings.compression));
	read_whole(full, &raw);
	decompress((enum compression)settings.compression, buf_str(&raw), &text);
	for (size_t i = 0; i < count; i++)
		parcel_text(parcels[i], &want);
	assert_int_equal(text.size, want.size);
	assert_memory_equal(text.data, want.data, want.size);
	buf_release(&raw);
	buf_release(&text);
	buf_release(&want);
}

static int64_t metric(enum metric row, const char *label2)
{
	return metric_get(metrics_cell(fx.host.metrics, row, "lake", label2));
}

/* --- one roll from beginning to end --- */

static void whole_life(enum compression compression)
{
	struct parcel *a = parcel_of(&source_orders, 0, 100, 700);
	struct parcel *b = parcel_of(&source_users, 0, 50, 300);
	struct parcel *c = parcel_of(&source_orders, 100, 20000, 700);
	struct sink *s;

	settings.compression = compression;
	s = opened();
	sink_directory.write(s, &a->delivery);
	sink_directory.write(s, &b->delivery);
	sink_directory.write(s, &c->delivery);
	for (size_t i = 0; i < 3; i++)
		expect_answer(&fx, i, SINK_TAKEN, 1);
	assert_ptr_equal(fx.answers[2].delivery, &c->delivery);
	assert_int_equal(metric(METRIC_SINK_UNANSWERED_BYTES, NULL), 0);

	sink_directory.prepare(s);
	expect_answer(&fx, 3, SINK_PREPARED, 1);
	assert_int_equal(folder_count(in_root("", "orders"), false), 0);
	assert_int_equal(folder_count(in_root("", "users"), false), 0);
	assert_int_equal(folder_count(in_root("", "orders"), true), 1);
	assert_int_equal(metric(METRIC_DELIVERED, NULL), 0);

	sink_directory.finish(s, 1);
	expect_answer(&fx, 4, SINK_FINISHED, 1);
	assert_int_equal(folder_count(in_root("", "orders"), true), 0);
	expect_file("orders", NAME("1", "0"), (const struct parcel *[]){ a, c }, 2);
	expect_file("users", NAME("1", "1"), (const struct parcel *[]){ b }, 1);
	assert_int_equal(metric(METRIC_DELIVERED, NULL), 20150);
	assert_int_equal(metric(METRIC_DELIVERED_BYTES, NULL), 20100 * 700 + 50 * 300);
	assert_int_equal(metric(METRIC_ROLLS, "finished"), 1);
	sink_directory.close(s);
	parcel_free(a);
	parcel_free(b);
	parcel_free(c);
}

static void test_zstd(void **state)
{
	(void)state;
	whole_life(COMPRESSION_ZSTD);
}

static void test_gzip(void **state)
{
	(void)state;
	whole_life(COMPRESSION_GZIP);
}

static void test_none(void **state)
{
	(void)state;
	whole_life(COMPRESSION_NONE);
}

/* Records that are in already, that are not for this sink, and texts that do not touch. */
static void test_only_what_is_due(void **state)
{
	struct parcel *p = parcel_new(&source_orders, 6);
	static const char *const texts[] = { "{\"n\":0}\n", "{\"n\":1}\n", NULL,
					     "{\"n\":3}\n", "{\"n\":4}\n", NULL };
	struct sink *s;
	struct buf raw;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		if (texts[i])
			p->payloads[i] = (struct str){ texts[i], strlen(texts[i]) - 1 };
	p->batch.count = 6;
	p->delivery.first = 1;
	p->delivery.count = 3;
	settings.compression = COMPRESSION_NONE;
	s = opened();
	sink_directory.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	sink_directory.close(s);
	buf_init(&raw, 0);
	read_whole(in_root(NAME("1", "0"), "orders"), &raw);
	assert_string_equal(raw.data, "{\"n\":1}\n{\"n\":3}\n{\"n\":4}\n");
	buf_release(&raw);
	parcel_free(p);
}

static void test_nothing_in_it_is_durable_at_once(void **state)
{
	struct parcel *empty = parcel_new(&source_orders, 3);
	struct parcel *full = parcel_of(&source_orders, 0, 1, 100);
	struct sink *s = opened();

	(void)state;
	empty->batch.count = 3;
	sink_directory.write(s, &empty->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 0);
	/* Behind something that is not saved yet it belongs to the roll. */
	sink_directory.write(s, &full->delivery);
	expect_answer(&fx, 1, SINK_TAKEN, 1);
	sink_directory.write(s, &empty->delivery);
	expect_answer(&fx, 2, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	expect_answer(&fx, 3, SINK_PREPARED, 1);
	sink_directory.write(s, &empty->delivery);
	expect_answer(&fx, 4, SINK_TAKEN, 2);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 5, SINK_FINISHED, 1);
	sink_directory.prepare(s);
	expect_answer(&fx, 6, SINK_PREPARED, 2);
	sink_directory.finish(s, 2);
	expect_answer(&fx, 7, SINK_FINISHED, 2);
	sink_directory.close(s);
	assert_int_equal(fx.count, 8);
	parcel_free(empty);
	parcel_free(full);
}

/* --- one unfinished roll at a time --- */

static void test_next_roll_waits_for_finish(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 100);
	struct parcel *b = parcel_of(&source_orders, 10, 10, 100);
	struct sink *s = opened();

	(void)state;
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	sink_directory.write(s, &b->delivery);
	expect_answer(&fx, 2, SINK_TAKEN, 2);
	sink_directory.prepare(s);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 3, SINK_FINISHED, 1);
	expect_answer(&fx, 4, SINK_PREPARED, 2);
	sink_directory.finish(s, 2);
	expect_answer(&fx, 5, SINK_FINISHED, 2);
	sink_directory.close(s);
	expect_file("orders", NAME("1", "0"), (const struct parcel *[]){ a }, 1);
	expect_file("orders", NAME("2", "0"), (const struct parcel *[]){ b }, 1);
	parcel_free(a);
	parcel_free(b);
}

static void test_prepare_of_nothing(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 100);
	struct sink *s = opened();

	(void)state;
	sink_directory.prepare(s);
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.close(s);
	assert_true(fx.count <= 2);
	parcel_free(a);
}

static void test_rolls_by_size(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 1000);
	struct parcel *b = parcel_of(&source_orders, 10, 10, 1000);
	struct sink *s;

	(void)state;
	settings.compression = COMPRESSION_NONE;
	settings.roll_bytes = 15000;
	s = opened();
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.write(s, &b->delivery);
	expect_answer(&fx, 1, SINK_TAKEN, 1);
	expect_answer(&fx, 2, SINK_PREPARED, 1);
	sink_directory.close(s);
	parcel_free(a);
	parcel_free(b);
}

static void test_rolls_by_age(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 1000);
	struct sink *s;

	(void)state;
	settings.roll_age_ms = 20;
	s = opened();
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	sink_directory.close(s);
	parcel_free(a);
}

/* Too little memory for two deliveries: the roll ends early, and what does not fit in while it is
 * unfinished waits without an answer. */
static void test_memory_is_a_limit(void **state)
{
	struct parcel *p[4];
	struct sink *s;

	(void)state;
	settings.compression = COMPRESSION_NONE;
	fx.host.memory_bytes = 300000;
	for (size_t i = 0; i < 4; i++)
		p[i] = parcel_of(&source_orders, i * 200, 200, 1000);
	s = opened();
	for (size_t i = 0; i < 4; i++)
		sink_directory.write(s, &p[i]->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	expect_answer(&fx, 2, SINK_TAKEN, 2);
	assert_true(metric(METRIC_SINK_UNANSWERED_BYTES, NULL) >= 400000);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 3, SINK_FINISHED, 1);
	expect_answer(&fx, 4, SINK_PREPARED, 2);
	expect_answer(&fx, 5, SINK_TAKEN, 3);
	sink_directory.finish(s, 2);
	expect_answer(&fx, 6, SINK_FINISHED, 2);
	expect_answer(&fx, 7, SINK_PREPARED, 3);
	expect_answer(&fx, 8, SINK_TAKEN, 4);
	sink_directory.close(s);
	assert_int_equal(fx.count, 9);
	for (size_t i = 0; i < 4; i++)
		parcel_free(p[i]);
}

/* While the last roll is unfinished the open one cannot end; it does not grow for ever either. */
static void test_unfinished_roll_holds_back(void **state)
{
	struct parcel *p[4];
	struct sink *s;

	(void)state;
	settings.compression = COMPRESSION_NONE;
	settings.roll_bytes = 10000;
	for (size_t i = 0; i < 4; i++)
		p[i] = parcel_of(&source_orders, i * 10, 20, 1000);
	s = opened();
	for (size_t i = 0; i < 4; i++)
		sink_directory.write(s, &p[i]->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	expect_answer(&fx, 2, SINK_TAKEN, 2);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 3, SINK_FINISHED, 1);
	expect_answer(&fx, 4, SINK_PREPARED, 2);
	expect_answer(&fx, 5, SINK_TAKEN, 3);
	sink_directory.purge(s);
	expect_answer(&fx, 6, SINK_FAILED, 0);
	assert_ptr_equal(fx.answers[6].delivery, &p[3]->delivery);
	sink_directory.close(s);
	for (size_t i = 0; i < 4; i++)
		parcel_free(p[i]);
}

static void test_purge_fails_what_comes(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 1000);
	struct parcel *b = parcel_of(&source_orders, 10, 10, 1000);
	struct sink *s = opened();

	(void)state;
	sink_directory.write(s, &a->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.purge(s);
	sink_directory.prepare(s);
	sink_directory.write(s, &b->delivery);
	expect_answer(&fx, 1, SINK_FAILED, 0);
	assert_ptr_equal(fx.answers[1].delivery, &b->delivery);
	sink_directory.close(s);
	assert_int_equal(fx.count, 2);
	assert_int_equal(metric(METRIC_SINK_UNANSWERED_BYTES, NULL), 0);
	assert_int_equal(folder_count(in_root("", "orders"), true), 0);
	parcel_free(a);
	parcel_free(b);
}

static bool tell(const struct sink_control *c, size_t count, size_t *told, struct error *err)
{
	static const _Atomic bool stop = false;

	return sink_directory.control(&settings, &fx.host, c, count, &stop, told, err);
}

static void expect_event(const char *name, const char *json)
{
	char full[512];
	struct buf raw;

	buf_init(&raw, 0);
	snprintf(full, sizeof(full), "%s/out/_control/%s", fx.root, name);
	read_whole(full, &raw);
	assert_int_equal(raw.size, strlen(json));
	assert_memory_equal(raw.data, json, raw.size);
	buf_release(&raw);
}

static void test_control_events(void **state)
{
	const struct source odd = { .stream = "a/b:\xc3\xbc" };
	struct sink_control c[] = {
		{ .id = 7,
		  .time_ms = WALL_MS,
		  .kind = "gap",
		  .phase = "begin",
		  .source = &source_orders,
		  .json = STR("{\"id\":7}") },
		{ .id = 8,
		  .time_ms = WALL_MS,
		  .kind = "rewind",
		  .phase = "end",
		  .source = &odd,
		  .json = STR("{\"id\":8}"),
		  .end = true,
		  .rolls = "" },
	};
	struct error err = { 0 };
	size_t told;

	(void)state;
	assert_true(sink_directory.tells(&settings));
	for (int i = 0; i < 2; i++) {
		assert_true(tell(c, 2, &told, &err));
		assert_int_equal(told, 2);
		expect_event("20261121T101112Z-orders-gap-begin-7.json", "{\"id\":7}\n");
		expect_event("20261121T101112Z-a_b___-rewind-end-8.json",
			     "{\"id\":8,\"rolls\":{}}\n");
	}
}

static void test_control_events_in_part(void **state)
{
	struct sink_control c[] = {
		{ .id = 7,
		  .kind = "gap",
		  .phase = "end",
		  .source = &source_orders,
		  .json = STR("{}") },
		{ .id = 8,
		  .kind = "gap",
		  .phase = "end",
		  .source = &source_orders,
		  .json = STR("{}") },
	};
	char wall[512], left[512];
	struct error err = { 0 };
	size_t told;

	(void)state;
	snprintf(wall, sizeof(wall), "%s/out/_control/19700101T000000Z-orders-gap-end-8.json",
		 fx.root);
	assert_true(tell(c, 1, &told, &err));
	assert_int_equal(mkdir(wall, 0755), 0);
	assert_false(tell(c, 2, &told, &err));
	assert_int_equal(told, 1);
	assert_non_null(strstr(err.message, "cannot rename"));
	/* What it left behind goes with the session. */
	snprintf(left, sizeof(left), "%s/out/_control/.19700101T000000Z-" SESSION "-control-8",
		 fx.root);
	assert_int_equal(access(left, F_OK), 0);
	assert_true(sink_directory.sweep(&settings, &fx.host, SESSION, &err));
	assert_int_not_equal(access(left, F_OK), 0);
}

/* --- folders that events name --- */

static char long_name[300];
static const struct str folders[] = {
	STR("a"),    STR("1"), STR("b/.."),        STR("1"),
	{ NULL, 0 }, STR("2"), { long_name, 256 }, STR("2"),
};

/* Record i goes to the folder `of[i % count]`, a pair of the above. */
static struct parcel *parcel_routed(size_t from, size_t count, const uint32_t *of, size_t of_count)
{
	struct parcel *p = parcel_of(&source_orders, from, count, 100);

	memset(long_name, 'x', sizeof(long_name));
	p->route = (struct batch_route){ .places = 4, .values = 2, .values_of = folders };
	p->route.of = memory_array(count, sizeof(uint32_t));
	for (size_t i = 0; i < count; i++)
		p->route.of[i] = of[i % of_count];
	p->delivery.route = &p->route;
	return p;
}

static void routed(long files)
{
	snprintf(path_text, sizeof(path_text), "%s/out/t=${attribute:t}/${event:dd}", fx.root);
	settings.compression = COMPRESSION_NONE;
	settings.roll_files = files;
	settings.missing = 1;
}

/* Its lines, of the only file in the folder. */
static size_t lines_in(const char *folder, long *first)
{
	char name[512];
	struct buf text;
	size_t count = 0;
	glob_t found;

	snprintf(name, sizeof(name), "%s/out/%s/*.ndjson", fx.root, folder);
	assert_int_equal(glob(name, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	buf_init(&text, 0);
	read_whole(found.gl_pathv[0], &text);
	*first = atol(text.data + sizeof("{\"n\":") - 1);
	for (size_t i = 0; i < text.size; i++)
		count += text.data[i] == '\n';
	buf_release(&text);
	globfree(&found);
	return count;
}

static void events_name_their_folders(void **state)
{
	struct parcel *p, *q;
	struct sink *s;
	bool required = false;
	long first;

	(void)state;
	routed(10);
	p = parcel_routed(0, 90, (const uint32_t[]){ 0, 0, 1, 2 }, 4);
	q = parcel_routed(90, 10, (const uint32_t[]){ 1 }, 1);
	p->payloads[4].p = NULL;
	s = opened();
	assert_non_null(sink_directory.route(s, &required));
	assert_true(required);
	sink_directory.write(s, &p->delivery);
	sink_directory.write(s, &q->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	expect_answer(&fx, 1, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	expect_answer(&fx, 2, SINK_PREPARED, 1);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 3, SINK_FINISHED, 1);
	assert_int_equal(lines_in("t=a/1", &first), 46 - 1);
	assert_int_equal(first, 0);
	assert_int_equal(lines_in("t=b%2F../1", &first), 22 + 10);
	assert_int_equal(first, 2);
	assert_int_equal(lines_in("t=_missing/2", &first), 22);
	assert_int_equal(first, 3);
	assert_int_equal(metric(METRIC_DELIVERED, NULL), 99);
	sink_directory.close(s);
	parcel_free(p);
	parcel_free(q);
}

/* The answer of this kind among the first n, whose order is not told. */
static const struct noted *answer_of(size_t n, enum sink_answer_kind kind)
{
	answer_at(&fx, n - 1);
	for (size_t i = 0; i < n; i++)
		if (fx.answers[i].kind == kind && fx.answers[i].roll > 0)
			return &fx.answers[i];
	fail_msg("there is none");
	return NULL;
}

static void a_roll_ends_before_it_has_too_many_files(void **state)
{
	struct parcel *one, *two;
	struct sink *s;

	(void)state;
	routed(2);
	one = parcel_routed(0, 4, (const uint32_t[]){ 0 }, 1);
	two = parcel_routed(4, 4, (const uint32_t[]){ 1, 2 }, 2);
	two->route.places = 3;
	s = opened();
	sink_directory.write(s, &one->delivery);
	expect_answer(&fx, 0, SINK_TAKEN, 1);
	sink_directory.write(s, &two->delivery);
	assert_int_equal(answer_of(3, SINK_PREPARED)->roll, 1);
	assert_int_equal(fx.answers[fx.answers[1].kind == SINK_TAKEN ? 1 : 2].roll, 2);
	sink_directory.close(s);
	parcel_free(one);
	parcel_free(two);
}

/* A delivery that alone needs more is taken in parts. */
static void what_needs_too_many_files_is_taken_in_parts(void **state)
{
	struct parcel *p;
	struct sink *s;
	long first;

	(void)state;
	routed(2);
	p = parcel_routed(0, 9, (const uint32_t[]){ 0, 1, 0, 2, 1 }, 5);
	s = opened();
	sink_directory.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_FAILED, 0);
	assert_int_equal(fx.answers[0].roll, 1);
	assert_int_equal(fx.answers[0].first, 3);
	assert_int_equal(fx.answers[0].err.kind, ERROR_THROTTLED);
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	sink_directory.finish(s, 1);
	expect_answer(&fx, 2, SINK_FINISHED, 1);
	p->delivery.first = 3;
	sink_directory.write(s, &p->delivery);
	expect_answer(&fx, 3, SINK_FAILED, 0);
	assert_int_equal(fx.answers[3].roll, 2);
	assert_int_equal(fx.answers[3].first, 5);
	expect_answer(&fx, 4, SINK_PREPARED, 2);
	sink_directory.finish(s, 2);
	expect_answer(&fx, 5, SINK_FINISHED, 2);
	assert_int_equal(lines_in("t=_missing/2", &first), 1);
	assert_int_equal(first, 3);
	assert_int_equal(metric(METRIC_DELIVERED, NULL), 5);
	sink_directory.close(s);
	parcel_free(p);
}

/* And only as many as there is memory for. */
static void files_have_their_share_of_memory(void **state)
{
	struct parcel *p;
	struct sink *s;

	(void)state;
	routed(100);
	settings.compression = COMPRESSION_ZSTD;
	fx.host.memory_bytes = (size_t)2 << 20;
	p = parcel_routed(0, 2, (const uint32_t[]){ 0, 1 }, 2);
	s = opened();
	sink_directory.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_FAILED, 1);
	assert_int_equal(fx.answers[0].first, 1);
	assert_int_equal(fx.answers[0].roll, 1);
	assert_non_null(strstr(fx.answers[0].err.message, "worker.memory"));
	expect_answer(&fx, 1, SINK_PREPARED, 1);
	sink_directory.close(s);
	parcel_free(p);
}

static void a_folder_that_cannot_be_is_refused(void **state)
{
	struct parcel *p;
	struct sink *s;

	(void)state;
	routed(10);
	p = parcel_routed(0, 3, (const uint32_t[]){ 0, 3, 0 }, 3);
	s = opened();
	sink_directory.write(s, &p->delivery);
	expect_answer(&fx, 0, SINK_REFUSED, 1);
	assert_int_equal(fx.answers[0].first, 1);
	assert_non_null(strstr(fx.answers[0].err.message, "gives a path that is too long"));
	p->delivery.first = 2;
	sink_directory.write(s, &p->delivery);
	expect_answer(&fx, 1, SINK_TAKEN, 1);
	assert_int_equal(metric(METRIC_SINK_UNANSWERED_BYTES, NULL), 0);
	sink_directory.close(s);
	parcel_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(events_name_their_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(a_roll_ends_before_it_has_too_many_files, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_needs_too_many_files_is_taken_in_parts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(files_have_their_share_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_zstd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gzip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_what_is_due, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_in_it_is_durable_at_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_next_roll_waits_for_finish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prepare_of_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rolls_by_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rolls_by_age, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_is_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unfinished_roll_holds_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_purge_fails_what_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control_events_in_part, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
