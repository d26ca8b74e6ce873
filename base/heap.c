#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void heap_init(struct heap *h, size_t capacity)
{
	*h = (struct heap){ 0 };
	heap_resize(h, capacity);
}

void heap_release(struct heap *h)
{
	free(h->keys);
	free(h->order);
	free(h->place);
	*h = (struct heap){ 0 };
}

void heap_resize(struct heap *h, size_t capacity)
{
	assert(capacity <= UINT32_MAX / 2);
	if (capacity <= h->capacity)
		return;
	h->keys = memory_resize(h->keys, capacity * sizeof(h->keys[0]));
	h->order = memory_resize(h->order, capacity * sizeof(h->order[0]));
	h->place = memory_resize(h->place, capacity * sizeof(h->place[0]));
	memset(h->place + h->capacity, 0, (capacity - h->capacity) * sizeof(h->place[0]));
	h->capacity = capacity;
}

static bool heap_before(const struct heap *h, uint32_t a, uint32_t b)
{
	return h->keys[a] != h->keys[b] ? h->keys[a] < h->keys[b] : a < b;
}

static void heap_put(struct heap *h, size_t at, uint32_t id)
{
	h->order[at] = id;
	h->place[id] = (uint32_t)at + 1;
}

static void heap_up(struct heap *h, size_t at, uint32_t id)
{
	while (at > 0) {
		size_t parent = (at - 1) / 2;

		if (!heap_before(h, id, h->order[parent]))
			break;
		heap_put(h, at, h->order[parent]);
		at = parent;
	}
	heap_put(h, at, id);
}

static void heap_down(struct heap *h, size_t at, uint32_t id)
{
	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= h->count)
			break;
		if (child + 1 < h->count && heap_before(h, h->order[child + 1], h->order[child]))
			child++;
		if (!heap_before(h, h->order[child], id))
			break;
		heap_put(h, at, h->order[child]);
		at = child;
	}
	heap_put(h, at, id);
}

/* Puts `id` where it belongs, beginning at the free place `at`. */
static void heap_settle(struct heap *h, size_t at, uint32_t id)
{
	if (at > 0 && heap_before(h, id, h->order[(at - 1) / 2]))
		heap_up(h, at, id);
	else
		heap_down(h, at, id);
}

void heap_set(struct heap *h, uint32_t id, int64_t key)
{
	size_t at;

	assert(id < h->capacity);
	at = h->place[id] ? h->place[id] - 1 : h->count++;
	h->keys[id] = key;
	heap_settle(h, at, id);
}

void heap_remove(struct heap *h, uint32_t id)
{
	size_t at;
	uint32_t last;

	if (!heap_contains(h, id))
		return;
	at = h->place[id] - 1;
	h->place[id] = 0;
	last = h->order[--h->count];
	if (last != id)
		heap_settle(h, at, last);
}

bool heap_contains(const struct heap *h, uint32_t id)
{
	return id < h->capacity && h->place[id] != 0;
}

bool heap_top(const struct heap *h, uint32_t *id, int64_t *key)
{
	if (h->count == 0)
		return false;
	*id = h->order[0];
	*key = h->keys[*id];
	return true;
}
