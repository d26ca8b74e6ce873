/* How fast a page is decoded, strictly, and filtered by three conditions of which two are inside of
 * maps, that one record in a hundred passes; against decoding it all, in thread CPU time, the best
 * of several rounds in which all take turns. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/decode.h"
#include "tests/bench/page.h"

#define PAGE_BYTES ((size_t)1 << 20)
#define ROUNDS     60

static const struct {
	const char *name, *pattern;
} cases[] = {
	{ "three conditions", "{\"dynamodb\":{\"NewImage\":{\"address\":{\"M\":{\"town\":{\"S\":["
			      "\"Porto\"]}}},\"status\":{\"S\":[{\"prefix\":\"PA\"}]},\"amount\":{"
			      "\"N\":[{\"numeric\":[\">=\",1900.5]}]}}}}" },
	{ "all have it",
	  "{\"dynamodb\":{\"NewImage\":{\"warehouse\":{\"S\":[{\"prefix\":\"RTM\"}]}}"
	  ",\"OldImage\":{\"warehouse\":{\"S\":[{\"prefix\":\"RTM\"}]}}}}" },
	{ "none has it", "{\"dynamodb\":{\"OldImage\":{\"none\":{\"S\":[{\"exists\":true}]}}}}" },
	{ "no filter", NULL },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* As a reader does it: a new batch for each page; its body has come already. */
static double decode_s(const struct buf *page, const struct filter *filter, struct batch **out)
{
	struct encoding encoding = { .format = FORMAT_DEBEZIUM };
	struct decode_output output = { .filter = NULL, .encoding = 0 };
	struct decode_options options = { .encodings = &encoding,
					  .encoding_count = 1,
					  .now_ms = 1763700001234,
					  .filter = filter,
					  .outputs = &output,
					  .output_count = 1 };
	struct batch *b = *out = batch_new();
	struct error err;
	double begin;

	b->source = page_source(PAGE_MAIN);
	b->shard = page_shard;
	if (!buf_add(&b->body, page->data, page->size))
		abort();
	begin = bench_cpu_s();
	if (!decode_page(b, &options, &err)) {
		fprintf(stderr, "bench filter: %s\n", err.message);
		exit(1);
	}
	return bench_cpu_s() - begin;
}

static size_t kept_of(const struct batch *b)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->count; i++)
		kept += b->payloads[0][i].p != NULL;
	return kept;
}

static struct filter *filter_of(const char *pattern)
{
	struct str text;
	struct error err;
	struct filter *f;

	if (!pattern)
		return NULL;
	text = str_of(pattern);
	f = filter_new(&text, 1, &err);
	if (!f) {
		fprintf(stderr, "bench filter: %s\n", err.message);
		exit(1);
	}
	return f;
}

int main(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct filter *filters[CASES];
	double least[CASES] = { 0 };
	size_t kept[CASES], count = 0;
	struct buf page;

	if (argc > 1 && !json) {
		fprintf(stderr, "usage: bench_filter [--json]\n");
		return 2;
	}
	/* As the service sets them: pages are not given back to the kernel and faulted in again. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	buf_init(&page, 0);
	page_make(1, PAGE_MAIN, PAGE_BYTES, &page);
	for (size_t i = 0; i < CASES; i++)
		filters[i] = filter_of(cases[i].pattern);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < CASES; i++) {
			struct batch *b;

			bench_best(&least[i], decode_s(&page, filters[i], &b));
			kept[i] = kept_of(b);
			count = b->count;
			batch_free(b);
		}
	printf("filter: CPU time, best of %d; %zu records of %zu bytes\n", ROUNDS, count,
	       page.size / count);
	for (size_t i = 0; i < CASES; i++)
		printf("%-16s keeps %5.1f %%: %4.0f ns a record, %5.0f MB/s\n", cases[i].name,
		       100.0 * (double)kept[i] / (double)count, least[i] / (double)count * 1e9,
		       (double)page.size / 1e6 / least[i]);
	if (json)
		printf("{\"bench\":\"filter\",\"figures\":{\"mb_per_cpu_s\":%.0f}}\n",
		       (double)page.size / 1e6 / least[0]);
	for (size_t i = 0; i < CASES; i++)
		filter_free(filters[i]);
	buf_release(&page);
	return 0;
}
