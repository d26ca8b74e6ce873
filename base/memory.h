#pragma once
#include <stddef.h>

/* Small fixed allocations: they abort with a message where the system has no memory left, so that
 * nobody writes an error path that nothing can test. Sizes that a peer decides are checked against
 * a limit first (conventions, 15). Free with free(). */
void *memory_new(size_t size);                 /* zeroed */
void *memory_array(size_t count, size_t size); /* zeroed; aborts on overflow */
void *memory_resize(void *p, size_t size);
/* Room for one more element behind `count`, in an array that grows by nothing else: by doubling. */
void *memory_room(void *array, size_t count, size_t size);
char *memory_text(const char *text); /* NULL gives NULL */
char *memory_text_n(const char *text, size_t n);
