#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *memory_check(void *p, size_t count, size_t size)
{
	if (p)
		return p;
	fprintf(stderr, "sluice: the system gives no memory for %zu x %zu bytes\n", count, size);
	abort();
}

void *memory_new(size_t size)
{
	return memory_array(1, size);
}

void *memory_array(size_t count, size_t size)
{
	/* calloc may give NULL for nothing; callers never see NULL. */
	if (count == 0 || size == 0)
		count = size = 1;
	return memory_check(calloc(count, size), count, size);
}

void *memory_resize(void *p, size_t size)
{
	return memory_check(realloc(p, size ? size : 1), 1, size);
}

void *memory_room(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	return memory_resize(array, (count ? 2 * count : 1) * size);
}

char *memory_text(const char *text)
{
	return text ? memory_text_n(text, strlen(text)) : NULL;
}

char *memory_text_n(const char *text, size_t n)
{
	char *copy = memory_check(malloc(n + 1), 1, n + 1);

	if (n)
		memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}
