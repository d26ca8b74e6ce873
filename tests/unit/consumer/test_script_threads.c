/* One script of many readers, each of which decodes pages with it: states are used by one at a
 * time, and what one of them breaks is nobody else's. */
#include "tests/unit/event/scripting.h"

#include <pthread.h>

#define THREADS 4
#define PAGES   150

static const char source[] =
	"local count = 0\n"
	"function transform(event)\n"
	"  count = count + 1\n"
	"  if event.new.a == \"loop\" then while true do end end\n"
	"  if event.new.a == \"memory\" then local s = \"x\" while true do s = s .. s end end\n"
	"  if event.new.a == \"error\" then error(\"no\") end\n"
	"  event.new.from = lookup.t[event.new.a]\n"
	"  return event, { new = { n = 2 } }\n"
	"end\n";

struct reader {
	const struct transform *t;
	unsigned first, faults, events;
};

static void *read_pages(void *arg)
{
	static const char *const images[] = {
		"{\"a\":{\"S\":\"PT\"}}", "{\"a\":{\"S\":\"loop\"}}",
		"{\"a\":{\"S\":\"PT\"}}", "{\"a\":{\"S\":\"error\"}}",
		"{\"a\":{\"S\":\"PT\"}}", "{\"a\":{\"S\":\"memory\"}}",
	};
	struct reader *r = arg;

	for (unsigned i = 0; i < PAGES; i++) {
		AUTO(batch)
		struct batch *b =
			scripting_run(r->t, FORMAT_PLAIN, images[(r->first + i) % 6], "{}");

		r->faults += (unsigned)b->fault_count;
		r->events += b->fault_count == 0 &&
			     decoding_has(b->payloads[0][0], "{\"a\":\"PT\",\"from\":7,\"_op\"") &&
			     decoding_has(b->payloads[0][0], "{\"n\":2,\"_op\"");
	}
	return NULL;
}

static void readers_share_a_script(void **state)
{
	struct scripting_file table = scripting_write("t.json", STR("{\"PT\":7}"));
	struct reader readers[THREADS];
	pthread_t threads[THREADS];
	char settings[160];

	(void)state;
	snprintf(settings, sizeof(settings),
		 ",\"memory\":\"1MiB\",\"instructions\":20000,\"lookup\":{\"t\":\"%s\"}",
		 table.path);
	AUTO(transform) struct transform *t = scripting_with(source, settings);
	for (unsigned i = 0; i < THREADS; i++) {
		readers[i] = (struct reader){ .t = t, .first = i };
		assert_int_equal(pthread_create(&threads[i], NULL, read_pages, &readers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(readers[i].faults, PAGES / 2);
		assert_int_equal(readers[i].events, PAGES / 2);
	}
	scripting_remove(&table);
}

/* Streams are opened on one thread while others read. */
static void *check_again(void *arg)
{
	struct error err = { 0 };
	size_t at;

	for (unsigned i = 0; i < 200; i++)
		if (!transform_check(*(struct str *)arg, &at, &err))
			fail_msg("%s", err.message);
	return NULL;
}

static void a_file_is_read_once(void **state)
{
	struct scripting_file f =
		scripting_write("s.lua", STR("function transform(e) return e end"));
	pthread_t threads[THREADS];
	struct error err = { 0 };
	struct transform *t;
	struct str definition;
	char text[128];
	size_t at;

	(void)state;
	snprintf(text, sizeof(text), "{\"lua\":\"%s\"}", f.path);
	definition = str_of(text);
	assert_true(transform_check(definition, &at, &err));
	scripting_remove(&f);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, check_again, &definition), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	t = transform_new(&definition, 1, &err);
	assert_non_null(t);
	transform_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_share_a_script),
		cmocka_unit_test(a_file_is_read_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
