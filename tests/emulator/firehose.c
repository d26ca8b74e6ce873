#include "tests/emulator/firehose.h"

#include <libdeflate.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct firehose {
	pthread_mutex_t lock; /* the pool is shared by the server's threads */
	struct firehose_page *pool;
	struct buf page; /* number 0 */
	size_t count;
	size_t *offsets; /* of the records; one more: the end */
	size_t *patches; /* of the sequence numbers */
};

struct firehose *firehose_new(const struct generator *g, size_t page_bytes)
{
	struct firehose *f = memory_new(sizeof(*f));
	static const char member[] = "\"SequenceNumber\":\"";
	size_t room;

	pthread_mutex_init(&f->lock, NULL);
	buf_init(&f->page, 0);
	f->count = page_bytes / (g->bytes + 1);
	f->offsets = memory_array(f->count + 1, sizeof(f->offsets[0]));
	f->patches = memory_array(f->count, sizeof(f->patches[0]));
	generate_page(&f->page, g, f->count, f->offsets);
	/* One more than its record's start, as if a comma stood behind the last. */
	f->offsets[f->count] = f->page.size + 1;
	for (size_t i = 0; i < f->count; i++) {
		const char *start = f->page.data + f->offsets[i];

		room = f->offsets[i + 1] - 1 - f->offsets[i];
		f->patches[i] =
			(size_t)((const char *)memmem(start, room, member, sizeof(member) - 1) -
				 f->page.data) +
			sizeof(member) - 1;
	}
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
	char sequence[GENERATE_PAGE_DIGITS + 1];

	generate_page_sequence(sequence, number, 0);
	for (size_t i = 0; i < f->count; i++)
		memcpy(page->bytes + f->patches[i], sequence, 12);
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
