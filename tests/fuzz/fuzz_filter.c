/* Any bytes as a pattern, a zero byte, and any bytes as a record. A pattern is taken or refused
 * with a place inside it; what is taken is asked of the record where that is a valid one. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "event/filter.h"
#include "event/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct filter *f, const uint8_t *data, size_t size)
{
	/* A page begins before its first record. */
	char *page = calloc(1, 1 + size + SCAN_PADDING);
	char *scratch = calloc(1, 1 + size + 2 * SCAN_PADDING);
	struct record_reader reader;
	struct record record;
	const char *p;

	assert(page && scratch);
	page[0] = '[';
	if (size)
		memcpy(page + 1, data, size);
	record_reader_init(&reader, (struct value_style){ 0 }, page, scratch);
	p = scan_space(&reader.scan, page + 1);
	if (*p == '{' && record_read(&reader, p, &record)) {
		bool once = filter_match(f, p, STR("arn:aws:dynamodb:x"));

		assert(filter_match(f, p, STR("arn:aws:dynamodb:x")) == once);
	}
	free(page);
	free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	struct str pattern = { (const char *)data, end ? (size_t)(end - data) : size };
	struct error err = { 0 };
	size_t at = 0;
	struct filter *f;

	if (!filter_check(pattern, &at, &err)) {
		assert(err.kind == ERROR_INVALID && *err.message && at <= pattern.n);
		return 0;
	}
	f = filter_new(&pattern, 1, &err);
	assert(f);
	if (end)
		ask(f, end + 1, size - pattern.n - 1);
	filter_free(f);
	return 0;
}
