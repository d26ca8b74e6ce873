#include "tests/bench/decoding.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

void decoding_malloc(void)
{
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

struct batch *decoding_batch(enum page_shape shape, const struct buf *page)
{
	struct batch *b = batch_new();

	b->source = page_source(shape);
	b->shard = page_shard;
	if (!buf_add(&b->body, page->data, page->size))
		abort();
	return b;
}

struct transform *decoding_transform(const char *const *definitions, size_t count)
{
	struct str *texts = memory_array(count, sizeof(*texts));
	struct transform *t;
	struct error err;

	for (size_t i = 0; i < count; i++)
		texts[i] = str_of(definitions[i]);
	t = transform_new(texts, count, &err);
	free(texts);
	if (!t) {
		fprintf(stderr, "bench: %s\n", err.message);
		exit(1);
	}
	return t;
}
