#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "event/event.h"

/* Pages as GetRecords answers them, made up: the same seed, shape and size give the same bytes for
 * ever. For benches and tests. */
enum page_shape {
	PAGE_MAIN,     /* updates, 1,570 bytes a record with both images; few attributes differ */
	PAGE_SMALL,    /* 310 bytes a record: keys alone, no range key */
	PAGE_DEEP,     /* lists and maps inside each other, both images */
	PAGE_REPLACED, /* as MAIN, but the two images have nothing but the keys in common */
	PAGE_SHAPES,
};
const char *page_shape_name(enum page_shape shape);

/* Appends a page of about target_bytes, with an iterator. */
void page_make(uint64_t seed, enum page_shape shape, size_t target_bytes, struct buf *out);
/* The new image of such a record of MAIN, as an export has it. */
void page_item(uint64_t seed, uint64_t number, struct buf *out);
/* The stream that such records come from, and their shard. */
const struct source *page_source(enum page_shape shape);
extern const char page_shard[];

/* Of this thread. */
double bench_cpu_s(void);
/* Keeps the least of what was measured; 0: nothing was. */
void bench_best(double *least, double s);
