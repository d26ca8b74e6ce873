#include "event/batch.h"

#include <stdlib.h>

#include "base/memory.h"

struct batch *batch_new(void)
{
	struct batch *b = memory_new(sizeof(*b));

	arena_init(&b->arena);
	buf_init(&b->body, 0);
	return b;
}

void batch_clear(struct batch *b)
{
	struct buf body = b->body;

	arena_release(&b->arena);
	*b = (struct batch){ .body = body };
	buf_clear(&b->body);
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	arena_release(&b->arena);
	buf_release(&b->body);
	free(b);
}

size_t batch_bytes(const struct batch *b)
{
	return b->arena.bytes + b->body.capacity;
}
