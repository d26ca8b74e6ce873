#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A binary min-heap of (key, id) with ids in 0..capacity-1, each at most once; moving an id's key
 * is O(log n). Pure; memory is taken once. Ties: the smaller id first. */
struct heap {
	int64_t *keys;   /* by id */
	uint32_t *order; /* heap of ids */
	uint32_t *place; /* id → index in order + 1; 0: absent */
	size_t count, capacity;
};

void heap_init(struct heap *h, size_t capacity);
void heap_release(struct heap *h);
void heap_resize(struct heap *h, size_t capacity);       /* grows only */
void heap_set(struct heap *h, uint32_t id, int64_t key); /* adds or moves */
void heap_remove(struct heap *h, uint32_t id);           /* absent is fine */
bool heap_contains(const struct heap *h, uint32_t id);
bool heap_top(const struct heap *h, uint32_t *id, int64_t *key);
