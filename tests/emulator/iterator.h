#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "tests/emulator/world.h"

/* A shard iterator as text: `<stream ARN>|1|<base64>`, where the base64 holds all there is to know,
 * so that the emulator keeps nothing of it. */
#define ITERATOR_VALID_MS (15 * 60 * 1000)

struct iterator {
	uint32_t shard; /* number in the stream */
	uint64_t position;
	int64_t created_ms;
};

void iterator_write(struct buf *out, const struct stream *s, const struct iterator *it,
		    uint32_t nonce);
/* False where the text is none of ours; a stream that isn't there (any more) is NULL. */
bool iterator_read(struct world *w, struct str text, struct stream **stream, struct iterator *out);
