/* What a Lua script costs an event: one that gives back what it gets, one that reads, adds, drops
 * and looks up some attributes, one that makes two of each; against no transform, in thread CPU
 * time, the best of several rounds in which all take turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/decode.h"
#include "event/transform.h"
#include "tests/bench/decoding.h"

#define PAGE_BYTES ((size_t)1 << 20)
#define ROUNDS     60

static const struct {
	const char *name, *definition; /* NULL: none */
} cases[] = {
	{ "none", NULL },
	{ "identity", "{\"lua\":\"tests/bench/lua/identity.lua\"}" },
	{ "typical", "{\"lua\":{\"file\":\"tests/bench/lua/typical.lua\",\"lookup\":{\"houses\":"
		     "\"tests/bench/lua/houses.csv\"}}}" },
	{ "split", "{\"lua\":\"tests/bench/lua/split.lua\"}" },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* Scripts that each event stops. */
static const struct {
	const char *name, *definition;
} endless[] = {
	{ "loops", "{\"lua\":\"tests/bench/lua/endless.lua\"}" },
	{ "hungry", "{\"lua\":\"tests/bench/lua/hungry.lua\"}" },
};
#define ENDLESS (sizeof(endless) / sizeof(endless[0]))

static double decode_s(const struct buf *page, const struct transform *t, bool stopped,
		       size_t *count)
{
	struct encoding encoding = { .format = FORMAT_DEBEZIUM, .transform = t };
	struct decode_options options = { .encodings = &encoding,
					  .encoding_count = 1,
					  .now_ms = 1763700001234 };
	AUTO(batch) struct batch *b = decoding_batch(PAGE_MAIN, page);
	struct error err = { 0 };
	double begin;

	begin = bench_cpu_s();
	if (!decode_page(b, &options, &err) || b->fault_count != (stopped ? b->count : 0)) {
		fprintf(stderr, "bench lua: %s\n",
			err.kind         ? err.message
			: b->fault_count ? b->faults[0].error
					 : "not stopped");
		exit(1);
	}
	*count = b->count;
	return bench_cpu_s() - begin;
}

int main(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct transform *transforms[CASES];
	double least[CASES] = { 0 }, ns[CASES], stopped_ms[ENDLESS];
	size_t count = 0;
	struct buf page;

	if (argc > 1 && !json) {
		fprintf(stderr, "usage: bench_lua [--json]\n");
		return 2;
	}
	decoding_malloc();
	buf_init(&page, 0);
	page_make(1, PAGE_MAIN, PAGE_BYTES, &page);
	for (size_t i = 0; i < CASES; i++)
		transforms[i] =
			cases[i].definition ? decoding_transform(&cases[i].definition, 1) : NULL;
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < CASES; i++)
			bench_best(&least[i], decode_s(&page, transforms[i], false, &count));
	printf("lua: CPU time, best of %d; %zu records of %zu bytes, decoded and encoded\n", ROUNDS,
	       count, page.size / count);
	for (size_t i = 0; i < CASES; i++) {
		ns[i] = least[i] / (double)count * 1e9;
		printf("%-9s %5.0f ns a record, %5.0f more than none\n", cases[i].name, ns[i],
		       ns[i] - ns[0]);
	}
	for (size_t i = 0; i < ENDLESS; i++) {
		struct transform *t = decoding_transform(&endless[i].definition, 1);

		stopped_ms[i] = decode_s(&page, t, true, &count) / (double)count * 1e3;
		printf("%-9s %5.2f ms a record until it is stopped\n", endless[i].name,
		       stopped_ms[i]);
		transform_free(t);
	}
	if (json)
		printf("{\"bench\":\"lua\",\"figures\":{\"identity_ns\":%.0f,\"typical_ns\":%.0f,"
		       "\"split_ns\":%.0f,\"loops_ms\":%.2f,\"hungry_ms\":%.2f}}\n",
		       ns[1] - ns[0], ns[2] - ns[0], ns[3] - ns[0], stopped_ms[0], stopped_ms[1]);
	for (size_t i = 0; i < CASES; i++)
		transform_free(transforms[i]);
	buf_release(&page);
	return 0;
}
