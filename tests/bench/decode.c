/* How fast a page becomes payloads: against simdjson's DOM parse and jansson's of the same page, in
 * thread CPU time, the best of several rounds in which all take turns. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/decode.h"
#include "tests/bench/decode_simdjson.h"
#include "tests/bench/decoding.h"

#define PAGE_BYTES     ((size_t)1 << 20)
#define ROUNDS         60
#define ROUNDS_JANSSON 3

/* Best CPU seconds for one page. */
struct result {
	size_t bytes, records;
	double envelope, plain, dynamodb, simdjson, jansson;
};

/* As a reader does it: a new batch for each page; its body has come already. */
static double decode_s(const struct buf *page, enum page_shape shape, enum event_format format,
		       size_t *records)
{
	struct encoding encoding = { .format = format };
	struct decode_options options = { .encodings = &encoding,
					  .encoding_count = 1,
					  .lenient = false,
					  .now_ms = 1763700001234 };
	AUTO(batch) struct batch *b = decoding_batch(shape, page);
	struct error err;
	double begin;

	begin = bench_cpu_s();
	if (!decode_page(b, &options, &err)) {
		fprintf(stderr, "bench decode: %s\n", err.message);
		exit(1);
	}
	*records = b->count;
	return bench_cpu_s() - begin;
}

static double simdjson_s(const struct buf *page)
{
	double begin = bench_cpu_s();

	decode_simdjson_parse(page->data, page->size);
	return bench_cpu_s() - begin;
}

static double jansson_s(const struct buf *page)
{
	double begin = bench_cpu_s();
	json_t *root = json_loadb(page->data, page->size, 0, NULL);

	if (!root)
		abort();
	json_decref(root);
	return bench_cpu_s() - begin;
}

static struct result measure(enum page_shape shape)
{
	struct result r = { 0 };
	struct buf page;
	size_t size;

	buf_init(&page, 0);
	page_make(1, shape, PAGE_BYTES, &page);
	size = page.size;
	for (size_t i = 0; i < decode_simdjson_padding(); i++)
		buf_text(&page, " ");
	page.size = r.bytes = size;
	for (unsigned i = 0; i < ROUNDS; i++) {
		bench_best(&r.envelope, decode_s(&page, shape, FORMAT_DEBEZIUM, &r.records));
		bench_best(&r.simdjson, simdjson_s(&page));
		bench_best(&r.plain, decode_s(&page, shape, FORMAT_PLAIN, &r.records));
		bench_best(&r.dynamodb, decode_s(&page, shape, FORMAT_DYNAMODB, &r.records));
		if (i < ROUNDS_JANSSON)
			bench_best(&r.jansson, jansson_s(&page));
	}
	buf_release(&page);
	return r;
}

static void print(enum page_shape shape, const struct result *r)
{
	double mb = (double)r->bytes / 1e6, records = (double)r->records;

	printf("%-9s %5zu records of %5.0f bytes: debezium %4.0f ns a record, %5.0f MB/s "
	       "(plain %5.0f, dynamodb %5.0f); simdjson DOM %5.0f, jansson %4.0f; "
	       "%.2f times simdjson, %.0f times jansson\n",
	       page_shape_name(shape), r->records, (double)r->bytes / records,
	       r->envelope / records * 1e9, mb / r->envelope, mb / r->plain, mb / r->dynamodb,
	       mb / r->simdjson, mb / r->jansson, r->simdjson / r->envelope,
	       r->jansson / r->envelope);
}

int main(int argc, char **argv)
{
	struct result results[PAGE_SHAPES];
	const struct result *first = &results[PAGE_MAIN];
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	double worst = 0;

	if (argc > 1 && !json) {
		fprintf(stderr, "usage: bench_decode [--json]\n");
		return 2;
	}
	decoding_malloc();
	printf("decode: CPU time, best of %d; simdjson's kernel is %s\n", ROUNDS,
	       decode_simdjson_kernel());
	for (enum page_shape shape = 0; shape < PAGE_SHAPES; shape++) {
		const struct result *r = &results[shape];

		results[shape] = measure(shape);
		print(shape, r);
		bench_best(&worst, r->simdjson / r->envelope);
	}
	if (json)
		printf("{\"bench\":\"decode\",\"figures\":{\"envelope_vs_simdjson_dom\":%.3f,"
		       "\"envelope_vs_jansson\":%.1f,\"worst_vs_simdjson_dom\":%.3f,"
		       "\"envelope_mb_per_cpu_s\":%.0f}}\n",
		       first->simdjson / first->envelope, first->jansson / first->envelope, worst,
		       (double)first->bytes / 1e6 / first->envelope);
	return 0;
}
