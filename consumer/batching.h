#pragma once
#include "config/config.h"

/* Windows that are loaded as one batch: in how many ranges of keys, and with what memory. Pure.
 *
 * A range is a lane, as a data file is: its place is the number of a row. For each range all files
 * of the batch are read, so that there are no more of them than the memory of a worker asks for; a
 * worker merges one at a time. */

/* For the lines of the range that is merged; a part of worker.memory … */
int64_t batching_memory(const struct config *c);
/* … which is kept for that where windows are loaded together; else 0. */
int64_t batching_kept(const struct config *c);
/* For windows of so many bytes by AWS's count. A guess: more or less only costs time. */
#define BATCHING_RANGES_MAX 1000
uint32_t batching_ranges(uint64_t billed_bytes, int64_t memory_bytes);
/* Out of a lane's name, as the store gives it. False: it is none. */
bool batching_range(const char *name, uint32_t *part, uint32_t *parts);
