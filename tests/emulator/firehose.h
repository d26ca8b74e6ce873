#pragma once
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/page.h"

/* The benchmarks' source: one prepared page that is served over and over, with the page's number
 * written into its sequence numbers, so that they grow. Its event ids and images repeat. Copies of
 * the page wait in a pool and keep the number that was written last: a reader that asks for the
 * same page again, or another shard that is as far, gets it as it is.
 *
 * A page belongs to whom firehose_take gave it, until firehose_give. Any thread. */
#define FIREHOSE_PAGE_STEP 1000000000u /* between the sequence numbers of two pages */
#define FIREHOSE_ROOM      2048        /* before and behind the page's own bytes, for the caller */

struct firehose;
struct firehose_page {
	struct firehose_page *next;
	struct firehose *owner;
	uint64_t number;
	uint32_t crc; /* of the bytes of the page */
	char *bytes;  /* the answer up to the end of the last record; FIREHOSE_ROOM around it */
};

/* The records were made at now_ms. */
struct firehose *firehose_new(uint64_t seed, enum page_shape shape, size_t page_bytes,
			      int64_t now_ms);
void firehose_free(struct firehose *f);
uint64_t firehose_page_records(const struct firehose *f);
size_t firehose_page_size(const struct firehose *f);
/* Record i of page p has the sequence number first + p · FIREHOSE_PAGE_STEP + i + 1. */
unsigned __int128 firehose_first(const struct firehose *f);
/* Where record `index` of a page begins; of the count: one behind the last record's end. */
size_t firehose_offset(const struct firehose *f, uint64_t index);
struct firehose_page *firehose_take(struct firehose *f, uint64_t number);
void firehose_give(struct firehose_page *page);
