#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/str.h"

/* A growable run of bytes with a limit. Invariant: data[size] is a zero byte while data is set, so
 * that text needs no copy. `limit` 0 means BUF_LIMIT_DEFAULT. */
#define BUF_LIMIT_DEFAULT ((size_t)64 << 20)
struct buf {
	char *data;
	size_t size, capacity, limit;
};

void buf_init(struct buf *b, size_t limit);
void buf_release(struct buf *b);
void buf_clear(struct buf *b);                 /* keeps the memory */
void buf_truncate(struct buf *b, size_t size); /* forgets what is behind `size` (<= b->size) */
/* False where the limit would be passed: nothing was added. Memory itself aborts. */
bool buf_add(struct buf *b, const void *data, size_t size) MUST_CHECK;
/* For text of our own making: aborts at the limit, as that is our bug. */
void buf_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);
/* `text` as a JSON string with its quotes: ", \ and controls escaped, UTF-8 raw. */
void buf_json_text(struct buf *b, struct str text);
/* Gives the bytes away (free()); the buffer is empty again. */
char *buf_steal(struct buf *b);
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->data ? b->data : "", b->size };
}
