/* How fast a page is decoded, strictly, and filtered by three conditions of which two are inside of
 * maps, that one record in a hundred passes; what ten transforms cost, a schema that names every
 * attribute, and two placeholders of a topic; against decoding it all, in thread CPU time, the best
 * of several rounds in which all take turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "event/decode.h"
#include "event/transform.h"
#include "sinks/compress.h"
#include "tests/bench/decoding.h"

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

static const char *const transforms[] = {
	"{\"keep\":[\"status\",\"version\",\"updated_at\",\"created_at\",\"order_id\",\"name\","
	"\"amount\",\"currency\",\"paid\",\"items\",\"address\",\"tags\",\"token\",\"warehouse\","
	"\"note\"]}",
	"{\"drop\":[\"token\"]}",
	"{\"rename\":{\"warehouse\":\"depot\"}}",
	"{\"move\":{\"address.zip\":\"zip\"}}",
	"{\"set\":{\"label\":\"${table}: ${attribute:status} ${attribute:currency}\"}}",
	"{\"cast\":{\"items\":\"string\"}}",
	"{\"mask\":{\"paths\":[\"order_id\"],\"keep_last\":4}}",
	"{\"hash\":{\"paths\":[\"name\"],\"key\":\"0123456789abcdef0123456789abcdef\"}}",
	"{\"truncate\":{\"note\":20}}",
	"{\"flatten\":[\"address\"]}",
};
#define TRANSFORMS (sizeof(transforms) / sizeof(transforms[0]))

static const char schema[] =
	"{\"name\":\"order\",\"when\":{\"status\":{\"anything-but\":\"none\"}},\"mode\":\"strict\","
	"\"columns\":["
	"{\"path\":\"status\",\"type\":\"string\",\"required\":true},"
	"{\"path\":\"version\",\"type\":\"integer\"},{\"path\":\"updated_at\",\"type\":\"any\"},"
	"{\"path\":\"created_at\",\"type\":\"any\"},{\"path\":\"order_id\",\"type\":\"string\"},"
	"{\"path\":\"name\",\"type\":\"string\"},{\"path\":\"amount\",\"type\":\"number\"},"
	"{\"path\":\"currency\",\"type\":\"string\"},{\"path\":\"paid\",\"type\":\"boolean\"},{"
	"\"path\":\"coupon\",\"type\":\"string\"},"
	"{\"path\":\"items\",\"type\":\"any\"},{\"path\":\"address\",\"type\":\"map\"},"
	"{\"path\":\"address.town\",\"type\":\"string\"},{\"path\":\"tags\",\"type\":\"any\"},"
	"{\"path\":\"token\",\"type\":\"any\"},{\"path\":\"warehouse\",\"type\":\"any\"},"
	"{\"path\":\"note\",\"type\":\"string\"}]}";

/* What else a page is decoded with. */
struct besides {
	struct schemas *schemas;
	struct route *route;
};

/* As a reader does it: a new batch for each page; its body has come already. */
static double decode_s(const struct buf *page, const struct filter *filter,
		       const struct transform *transform, const struct besides *besides,
		       struct batch **out)
{
	struct encoding encoding = { .format = FORMAT_DEBEZIUM, .transform = transform };
	struct decode_output output = { .encoding = 0, .route = besides->route };
	struct decode_options options = { .encodings = &encoding,
					  .encoding_count = 1,
					  .now_ms = 1763700001234,
					  .filter = filter,
					  .schemas = besides->schemas,
					  .outputs = &output,
					  .output_count = 1 };
	struct batch *b = *out = decoding_batch(PAGE_MAIN, page);
	struct error err;
	double begin;

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

/* What the ten cost of an event's way into a file: decoded, encoded and compressed, as the sinks
 * for files do it; of decoding and encoding alone; and which of them costs what. */
struct work {
	struct transform *all, *each[TRANSFORMS];
	struct besides sorted, routed;
	double all_s, each_s[TRANSFORMS];
	double sorted_s, routed_s;
	double file_s[2]; /* without and with them, compression included */
	char *room;
	size_t room_bytes;
};

static double compress_s(const struct work *w, const struct batch *b)
{
	AUTO(compressor) struct compressor *c = compressor_new(COMPRESSION_ZSTD);
	const struct str *last = &b->payloads[0][b->count - 1];
	struct str in = { b->payloads[0][0].p, 0 };
	double begin = bench_cpu_s();
	bool done = false;

	in.n = (size_t)(last->p + last->n + 1 - in.p);
	while (in.n > 0)
		compressor_feed(c, &in, w->room, w->room_bytes);
	while (!done)
		compressor_end(c, w->room, w->room_bytes, &done);
	return bench_cpu_s() - begin;
}

static void work_round(struct work *w, const struct buf *page)
{
	static const struct besides nothing;
	struct batch *b;
	double s = decode_s(page, NULL, NULL, &nothing, &b);

	bench_best(&w->file_s[0], s + compress_s(w, b));
	batch_free(b);
	bench_best(&w->sorted_s, decode_s(page, NULL, NULL, &w->sorted, &b));
	if (b->fault_count) {
		fprintf(stderr, "bench filter: %s\n", b->faults[0].error);
		exit(1);
	}
	batch_free(b);
	bench_best(&w->routed_s, decode_s(page, NULL, NULL, &w->routed, &b));
	batch_free(b);
	s = decode_s(page, NULL, w->all, &nothing, &b);
	if (b->fault_count) {
		fprintf(stderr, "bench filter: %s\n", b->faults[0].error);
		exit(1);
	}
	bench_best(&w->all_s, s);
	bench_best(&w->file_s[1], s + compress_s(w, b));
	batch_free(b);
	for (size_t i = 0; i < TRANSFORMS; i++) {
		bench_best(&w->each_s[i], decode_s(page, NULL, w->each[i], &nothing, &b));
		batch_free(b);
	}
}

static void work_print(const struct work *w, double none_s, size_t count)
{
	printf("ten transforms: %.0f ns a record, %.2f of none; with zstd %.0f, %.2f of none\n",
	       w->all_s / (double)count * 1e9, w->all_s / none_s,
	       w->file_s[1] / (double)count * 1e9, w->file_s[1] / w->file_s[0]);
	printf("each alone adds:");
	for (size_t i = 0; i < TRANSFORMS; i++)
		printf(" %.*s %.0f", (int)strcspn(transforms[i] + 2, "\""), transforms[i] + 2,
		       (w->each_s[i] - none_s) / (double)count * 1e9);
	printf(" ns\na schema of 17 columns adds %.0f, a topic by two attributes %.0f ns\n",
	       (w->sorted_s - none_s) / (double)count * 1e9,
	       (w->routed_s - none_s) / (double)count * 1e9);
}

static void besides_init(struct work *w)
{
	const struct str text = str_of(schema);
	struct error err;
	unsigned place;

	w->sorted.schemas = schemas_new(&text, 1, &err);
	w->routed.route = route_new();
	if (w->sorted.schemas &&
	    route_add(w->routed.route, ROUTE_ATTRIBUTE, STR("status"), &place, &err) &&
	    route_add(w->routed.route, ROUTE_ATTRIBUTE, STR("address.town"), &place, &err))
		return;
	fprintf(stderr, "bench filter: %s\n", err.message);
	exit(1);
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
	struct work work = { .all = decoding_transform(transforms, TRANSFORMS),
			     .room_bytes = 2 * PAGE_BYTES };
	struct buf page;

	if (argc > 1 && !json) {
		fprintf(stderr, "usage: bench_filter [--json]\n");
		return 2;
	}
	decoding_malloc();
	buf_init(&page, 0);
	page_make(1, PAGE_MAIN, PAGE_BYTES, &page);
	for (size_t i = 0; i < CASES; i++)
		filters[i] = filter_of(cases[i].pattern);
	work.room = memory_new(work.room_bytes);
	besides_init(&work);
	for (size_t i = 0; i < TRANSFORMS; i++)
		work.each[i] = decoding_transform(transforms + i, 1);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < CASES; i++) {
			struct batch *b;

			bench_best(&least[i],
				   decode_s(&page, filters[i], NULL, &(struct besides){ 0 }, &b));
			kept[i] = kept_of(b);
			count = b->count;
			batch_free(b);
		}
		work_round(&work, &page);
	}
	printf("filter: CPU time, best of %d; %zu records of %zu bytes\n", ROUNDS, count,
	       page.size / count);
	for (size_t i = 0; i < CASES; i++)
		printf("%-16s keeps %5.1f %%: %4.0f ns a record, %5.0f MB/s\n", cases[i].name,
		       100.0 * (double)kept[i] / (double)count, least[i] / (double)count * 1e9,
		       (double)page.size / 1e6 / least[i]);
	work_print(&work, least[CASES - 1], count);
	if (json)
		printf("{\"bench\":\"filter\",\"figures\":{\"mb_per_cpu_s\":%.0f,"
		       "\"ten_transforms_cost\":%.3f,\"ten_transforms_decode_cost\":%.3f}}\n",
		       (double)page.size / 1e6 / least[0], work.file_s[1] / work.file_s[0] - 1,
		       work.all_s / least[CASES - 1] - 1);
	transform_free(work.all);
	schemas_free(work.sorted.schemas);
	route_free(work.routed.route);
	free(work.room);
	for (size_t i = 0; i < TRANSFORMS; i++)
		transform_free(work.each[i]);
	for (size_t i = 0; i < CASES; i++)
		filter_free(filters[i]);
	buf_release(&page);
	return 0;
}
