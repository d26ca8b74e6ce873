#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tests/emulator/spec.h"

/* Stream records out of a seed: the same (seed, key, change) gives the same bytes for ever. Pure.
 *
 * A key's life: change 1 inserts it, later ones modify it, each GENERATE_LIFE-th removes it and the
 * next one inserts it again. The attribute `n` is the change's number, so that the order and the
 * completeness of what arrived can be proven from the output: per key it grows by one per record,
 * where a REMOVE counts as one more than the `n` of its old image. An image depends on (key,
 * change) alone: a record's old image is its predecessor's new image. */
#define GENERATE_LIFE 16

struct generator {
	uint64_t seed;
	size_t bytes; /* of a record with two images, exactly, where there is room for the keys */
	enum view view;
	bool milliseconds; /* in a record's time, which else is of whole seconds */
	const struct key_attribute *hash, *range;
};

struct change {
	uint64_t key;
	uint64_t n; /* from 1 */
	const char *sequence;
	int64_t created_ms;
	const char *region;
};

#define GENERATE_SEQUENCE_DIGITS 21 /* with which a record has its size exactly */
/* Adds one record's JSON and returns the size that DynamoDB would account for it. */
size_t generate_record(struct buf *out, const struct generator *g, const struct change *c);
/* The item after its n-th change, as the records' images have it, and its key attributes alone,
 * both in DynamoDB's JSON. */
void generate_item(struct buf *out, const struct generator *g, uint64_t key, uint64_t n,
		   const char *region);
void generate_item_key(struct buf *out, const struct generator *g, uint64_t key);
/* The primary key as `{"pk":"a","sk":1}`, the way Sluice writes a Kafka key (binary as base64). */
void generate_key(struct buf *out, const struct generator *g, uint64_t key);
static inline bool generate_exists(uint64_t n)
{
	return n % GENERATE_LIFE != 0;
}
uint64_t generate_mix(uint64_t seed, uint64_t a, uint64_t b);
