#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define BUF_CAPACITY_MIN ((size_t)256)

void buf_init(struct buf *b, size_t limit)
{
	*b = (struct buf){ .limit = limit ? limit : BUF_LIMIT_DEFAULT };
}

void buf_release(struct buf *b)
{
	free(b->data);
	buf_init(b, b->limit);
}

void buf_clear(struct buf *b)
{
	buf_truncate(b, 0);
}

void buf_truncate(struct buf *b, size_t size)
{
	assert(size <= b->size);
	b->size = size;
	if (b->data)
		b->data[size] = '\0';
}

/* Makes room for `size` more bytes and the zero byte behind them. */
static bool buf_room(struct buf *b, size_t size)
{
	size_t limit = b->limit ? b->limit : BUF_LIMIT_DEFAULT;
	size_t capacity = b->capacity ? b->capacity : BUF_CAPACITY_MIN;

	if (size > limit || b->size > limit - size)
		return false;
	while (capacity < b->size + size + 1)
		capacity *= 2;
	if (!b->data || capacity != b->capacity) {
		b->data = memory_resize(b->data, capacity);
		b->capacity = capacity;
	}
	return true;
}

bool buf_add(struct buf *b, const void *data, size_t size)
{
	if (!buf_room(b, size))
		return false;
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
	b->data[b->size] = '\0';
	return true;
}

/* For what only a bug makes larger than the limit. */
static void buf_must(struct buf *b, const char *data, size_t size)
{
	bool fits = buf_add(b, data, size);

	assert(fits);
}

void buf_text(struct buf *b, const char *text)
{
	buf_must(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	bool fits;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	assert(n >= 0);
	fits = buf_room(b, (size_t)n);
	assert(fits);
	vsnprintf(b->data + b->size, (size_t)n + 1, fmt, ap);
	b->size += (size_t)n;
}

void buf_json_text(struct buf *b, struct str text)
{
	static const char *const short_forms[0x20] = {
		['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r",
	};
	size_t plain = 0;

	buf_must(b, "\"", 1);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_must(b, text.p + plain, i - plain);
		plain = i + 1;
		if (c >= 0x20)
			buf_printf(b, "\\%c", c);
		else if (short_forms[c])
			buf_text(b, short_forms[c]);
		else
			buf_printf(b, "\\u%04x", c);
	}
	buf_must(b, text.p + plain, text.n - plain);
	buf_must(b, "\"", 1);
}

char *buf_steal(struct buf *b)
{
	char *data;

	if (!b->data)
		buf_text(b, "");
	data = b->data;
	*b = (struct buf){ .limit = b->limit };
	return data;
}
