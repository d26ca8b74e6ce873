#pragma once
#include <stddef.h>

#include "base/str.h"

/* A bump allocator: everything of one batch, freed at once. Chunks grow; `bytes` is what it holds.
 * Not thread safe; one owner at a time. */
struct arena_chunk;
struct arena {
	struct arena_chunk *chunks; /* newest first */
	char *at, *end;
	size_t reserved; /* by the last arena_reserve, not yet taken */
	size_t bytes;    /* taken from the system */
};

void arena_init(struct arena *a);
void arena_release(struct arena *a);
/* Forgets everything, but keeps memory for as much again, in one chunk; at most 4 MiB. */
void arena_clear(struct arena *a);
/* 16-byte aligned, not zeroed; aborts where the system has no memory. */
void *arena_alloc(struct arena *a, size_t size);
/* For output of a size not known before: makes sure of `size` contiguous bytes at the returned
 * pointer without taking them; arena_take(a, used) takes what was really used (<= size) and ends
 * the reservation. Under AddressSanitizer everything that was not asked for is out of bounds. */
char *arena_reserve(struct arena *a, size_t size);
void arena_take(struct arena *a, size_t used);
struct str arena_copy(struct arena *a, struct str s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
