#include "tests/emulator/firehose.h"

#include <assert.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define PAGE_DIGITS                                                                                \
	9 /* of the page's number in a sequence number, and of the record's in the page */
#define DIGITS_MIN  21 /* of a sequence number */
#define DIGITS_MAX  38
#define TIME_DIGITS 10

struct firehose {
	pthread_mutex_t lock; /* the pool is shared by the server's threads */
	struct firehose_page *pool;
	struct buf page; /* number 0 */
	size_t count, capacity, digits;
	size_t *offsets; /* of the records; one more: the end */
	size_t *patches; /* of the page's number in each sequence number */
};

static void add_offset(struct firehose *f, size_t offset)
{
	if (f->count == f->capacity) {
		f->capacity = f->capacity ? f->capacity * 2 : 1024;
		f->offsets = memory_resize(f->offsets, f->capacity * sizeof(f->offsets[0]));
	}
	f->offsets[f->count++] = offset;
}

/* Where the records begin; the page is cut behind the last one. */
static void find_records(struct firehose *f)
{
	const char *start = memchr(f->page.data, '[', f->page.size), *p = start;
	bool text = false;
	int depth = 0;

	assert(start);
	do {
		p++;
		if (text && *p == '\\')
			p++;
		else if (*p == '"')
			text = !text;
		else if (!text && *p == '{' && depth++ == 0)
			add_offset(f, (size_t)(p - f->page.data));
		else if (!text && *p == '}')
			depth--;
	} while (text || depth || *p != ']');
	f->page.size = (size_t)(p - f->page.data);
	/* As if a comma stood behind the last one, too. */
	add_offset(f, f->page.size + 1);
	f->count--;
}

/* The value of a member of record i, of which each has one; it must have the length it has in all.
 */
static char *member(struct firehose *f, size_t i, const char *name)
{
	char *record = f->page.data + f->offsets[i];
	char *at = memmem(record, f->offsets[i + 1] - f->offsets[i], name, strlen(name));

	assert(at);
	return at + strlen(name);
}

static void digits_write(char *out, size_t width, uint64_t n)
{
	while (width-- > 0) {
		out[width] = (char)('0' + n % 10);
		n /= 10;
	}
}

/* Sequence numbers of fixed width, 1000…, page, record, and the time of now. */
static void number_records(struct firehose *f, int64_t now_ms)
{
	f->digits = strspn(member(f, 0, "\"SequenceNumber\":\""), "0123456789");
	assert(f->digits >= DIGITS_MIN && f->digits <= DIGITS_MAX);
	f->patches = memory_array(f->count, sizeof(f->patches[0]));
	for (size_t i = 0; i < f->count; i++) {
		char *sequence = member(f, i, "\"SequenceNumber\":\"");
		char *record = sequence + f->digits - PAGE_DIGITS;

		assert(strspn(sequence, "0123456789") == f->digits);
		memset(sequence, '0', f->digits);
		*sequence = '1';
		digits_write(record, PAGE_DIGITS, i + 1);
		f->patches[i] = (size_t)(record - PAGE_DIGITS - f->page.data);
		digits_write(member(f, i, "\"ApproximateCreationDateTime\":"), TIME_DIGITS,
			     (uint64_t)(now_ms / 1000));
	}
}

struct firehose *firehose_new(uint64_t seed, enum page_shape shape, size_t page_bytes,
			      int64_t now_ms)
{
	struct firehose *f = memory_new(sizeof(*f));

	pthread_mutex_init(&f->lock, NULL);
	buf_init(&f->page, 0);
	page_make(seed, shape, page_bytes, &f->page);
	find_records(f);
	number_records(f, now_ms);
	return f;
}

void firehose_free(struct firehose *f)
{
	if (!f)
		return;
	while (f->pool) {
		struct firehose_page *page = f->pool;

		f->pool = page->next;
		free(page->bytes - FIREHOSE_ROOM);
		free(page);
	}
	pthread_mutex_destroy(&f->lock);
	buf_release(&f->page);
	free(f->offsets);
	free(f->patches);
	free(f);
}

uint64_t firehose_page_records(const struct firehose *f)
{
	return f->count;
}

size_t firehose_page_size(const struct firehose *f)
{
	return f->page.size;
}

unsigned __int128 firehose_first(const struct firehose *f)
{
	unsigned __int128 first = 1;

	for (size_t i = 1; i < f->digits; i++)
		first *= 10;
	return first;
}

size_t firehose_offset(const struct firehose *f, uint64_t index)
{
	return f->offsets[index];
}

static struct firehose_page *firehose_copy(struct firehose *f)
{
	struct firehose_page *page = memory_new(sizeof(*page));
	char *memory = memory_new(f->page.size + 2 * (size_t)FIREHOSE_ROOM);

	page->owner = f;
	page->bytes = memory + FIREHOSE_ROOM;
	memcpy(page->bytes, f->page.data, f->page.size);
	page->crc = libdeflate_crc32(0, page->bytes, f->page.size);
	return page;
}

static void firehose_patch(const struct firehose *f, struct firehose_page *page, uint64_t number)
{
	char digits[PAGE_DIGITS];

	digits_write(digits, PAGE_DIGITS, number);
	for (size_t i = 0; i < f->count; i++)
		memcpy(page->bytes + f->patches[i], digits, PAGE_DIGITS);
	page->crc = libdeflate_crc32(0, page->bytes, f->page.size);
	page->number = number;
}

struct firehose_page *firehose_take(struct firehose *f, uint64_t number)
{
	struct firehose_page *page = NULL, **at;

	pthread_mutex_lock(&f->lock);
	for (at = &f->pool; *at && (*at)->number != number; at = &(*at)->next)
		;
	if (!*at)
		at = &f->pool;
	if (*at) {
		page = *at;
		*at = page->next;
	}
	pthread_mutex_unlock(&f->lock);
	if (!page)
		page = firehose_copy(f);
	if (page->number != number)
		firehose_patch(f, page, number);
	return page;
}

void firehose_give(struct firehose_page *page)
{
	struct firehose *f = page->owner;

	pthread_mutex_lock(&f->lock);
	page->next = f->pool;
	f->pool = page;
	pthread_mutex_unlock(&f->lock);
}
