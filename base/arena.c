#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h> /* its macros do nothing in other builds */
#else
#define ASAN_POISON_MEMORY_REGION(p, size)   ((void)(p), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(p, size) ((void)(p), (void)(size))
#endif

#define ARENA_ALIGN ((size_t)16)
#define CHUNK_MIN   ((size_t)64 << 10)
#define CHUNK_MAX   ((size_t)4 << 20)

struct arena_chunk {
	_Alignas(ARENA_ALIGN) struct arena_chunk *next;
	_Alignas(ARENA_ALIGN) char data[];
};

static size_t arena_round(size_t size)
{
	assert(size <= SIZE_MAX / 2);
	return (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
}

void arena_init(struct arena *a)
{
	*a = (struct arena){ 0 };
}

void arena_release(struct arena *a)
{
	for (struct arena_chunk *next, *c = a->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	arena_init(a);
}

/* Chunks are as large as all before them together, so that their number stays logarithmic. */
static void arena_grow(struct arena *a, size_t rounded)
{
	size_t size = a->bytes;
	struct arena_chunk *c;

	if (size < CHUNK_MIN)
		size = CHUNK_MIN;
	if (size > CHUNK_MAX)
		size = CHUNK_MAX;
	size &= ~(ARENA_ALIGN - 1);
	if (size < rounded + sizeof(*c))
		size = rounded + sizeof(*c);
	c = memory_resize(NULL, size); /* not zeroed: chunks are large and hot */
	c->next = a->chunks;
	a->chunks = c;
	a->at = c->data;
	a->end = (char *)c + size;
	a->bytes += size;
	ASAN_POISON_MEMORY_REGION(a->at, (size_t)(a->end - a->at));
}

void arena_clear(struct arena *a)
{
	size_t bytes = a->bytes;

	if (a->chunks && !a->chunks->next) {
		a->at = a->chunks->data;
		a->reserved = 0;
		ASAN_POISON_MEMORY_REGION(a->at, (size_t)(a->end - a->at));
		return;
	}
	arena_release(a);
	if (bytes > CHUNK_MAX)
		bytes = CHUNK_MAX;
	if (bytes > 0)
		arena_grow(a, bytes);
}

char *arena_reserve(struct arena *a, size_t size)
{
	size_t rounded = arena_round(size);

	if (!a->at || (size_t)(a->end - a->at) < rounded)
		arena_grow(a, rounded);
	ASAN_UNPOISON_MEMORY_REGION(a->at, size);
	a->reserved = size;
	return a->at;
}

void arena_take(struct arena *a, size_t used)
{
	assert(used <= a->reserved);
	ASAN_POISON_MEMORY_REGION(a->at + used, a->reserved - used);
	a->at += arena_round(used);
	a->reserved = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
	char *p = arena_reserve(a, size);

	arena_take(a, size);
	return p;
}

struct str arena_copy(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n);

	if (s.n)
		memcpy(p, s.p, s.n);
	return (struct str){ p, s.n };
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
