#include "consumer/batching.h"

#include <stdio.h>

#define MEMORY_PART 4
/* A line has both images, and names of attributes and types around each value. */
#define LINE_PER_BILLED 2

int64_t batching_memory(const struct config *c)
{
	return c->worker.memory_bytes / MEMORY_PART;
}

int64_t batching_kept(const struct config *c)
{
	for (size_t i = 0; i < c->export_count; i++)
		if (c->exports[i].load_every > 1)
			return batching_memory(c);
	return 0;
}

uint32_t batching_ranges(uint64_t billed_bytes, int64_t memory_bytes)
{
	uint64_t ranges = billed_bytes / (uint64_t)(memory_bytes / LINE_PER_BILLED) + 1;

	return ranges < BATCHING_RANGES_MAX ? (uint32_t)ranges : BATCHING_RANGES_MAX;
}

bool batching_range(const char *name, uint32_t *part, uint32_t *parts)
{
	int end = 0;

	if (sscanf(name, "batch-%*u-range-%u-of-%u%n", part, parts, &end) != 2 || end == 0 ||
	    name[end] || *part < 1 || *part > *parts)
		return false;
	*part -= 1;
	return true;
}
