#include "tests/emulator/reply.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"

#define COMPRESS_MIN 4096
#define KEEP_BYTES   (64 << 10)
#define BODY_LIMIT   ((size_t)128 << 20)

void reply_tools_init(struct reply_tools *t, uint64_t seed)
{
	*t = (struct reply_tools){ .gzip = libdeflate_alloc_compressor(1), .date_s = -1 };
	buf_init(&t->body, BODY_LIMIT);
	buf_init(&t->packed, BODY_LIMIT);
	rng_seed(&t->rng, seed);
}

void reply_tools_release(struct reply_tools *t)
{
	libdeflate_free_compressor(t->gzip);
	buf_release(&t->body);
	buf_release(&t->packed);
}

void reply_begin(struct reply *r, struct reply_tools *t)
{
	struct buf out = r->out;

	*r = (struct reply){ .tools = t, .status = 200, .body = &t->body, .out = out };
	r->out.limit = BODY_LIMIT;
	buf_clear(&r->out);
	buf_clear(&t->body);
}

void reply_error(struct reply *r, int status, const char *code, const char *fmt, ...)
{
	static const char *const generic[] = {
		"SerializationException",
		"UnknownOperationException",
		"AccessDeniedException",
		"UnrecognizedClientException",
		"MissingAuthenticationTokenException",
		"IncompleteSignatureException",
		"InvalidSignatureException",
		"ExpiredTokenException",
	};
	const char *space = "com.amazonaws.dynamodb.v20120810", *member = "message";
	char message[512];
	va_list ap;

	for (size_t i = 0; i < sizeof(generic) / sizeof(generic[0]); i++) {
		if (strcmp(code, generic[i]) == 0) {
			space = "com.amazon.coral.service";
			member = "Message";
		}
	}
	if (strcmp(code, "ValidationException") == 0)
		space = "com.amazon.coral.validate";
	else if (strcmp(code, "ThrottlingException") == 0)
		space = "com.amazon.coral.availability";
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	r->status = status;
	r->firehose = NULL;
	snprintf(r->code, sizeof(r->code), "%s", code);
	buf_clear(r->body);
	buf_printf(r->body, "{\"__type\":\"%s#%s\",\"%s\":", space, code, member);
	buf_json_text(r->body, str_of(message));
	buf_text(r->body, "}");
}

static const char *reply_date(struct reply_tools *t, int64_t ms)
{
	time_t seconds = ms / 1000;
	struct tm tm;

	if (seconds != t->date_s) {
		t->date_s = seconds;
		gmtime_r(&seconds, &tm);
		strftime(t->date, sizeof(t->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return t->date;
}

static void reply_request_id(struct reply_tools *t, char out[53])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	uint64_t h = 0;

	for (int i = 0; i < 52; i++) {
		if (i % 12 == 0)
			h = rng_next(&t->rng);
		out[i] = alphabet[h % 36];
		h /= 36;
	}
	out[52] = '\0';
}

static const char *reason(int status)
{
	return status == 200 ? "OK" : status < 500 ? "Bad Request" : "Internal Server Error";
}

static int reply_head(struct reply *r, char *out, size_t size, uint32_t crc, bool gzip,
		      int64_t date_ms)
{
	char id[53], aws[200] = "";
	int n;

	if (!r->control) {
		reply_request_id(r->tools, id);
		snprintf(aws, sizeof(aws), "x-amzn-RequestId: %s\r\nx-amz-crc32: %u\r\n%s", id, crc,
			 gzip ? "Content-Encoding: gzip\r\n" : "");
	}
	n = snprintf(out, size,
		     "HTTP/1.1 %d %s\r\nServer: Server\r\nDate: %s\r\n"
		     "Content-Type: application/%s\r\nContent-Length: %zu\r\n"
		     "Connection: %s\r\n%s\r\n",
		     r->status, reason(r->status), reply_date(r->tools, date_ms),
		     r->control ? "json" : "x-amz-json-1.0", r->body_size,
		     r->close ? "close" : "keep-alive", aws);
	assert(n > 0 && (size_t)n < size);
	return n;
}

/* The page's bytes, head and tail around them in its own room. */
static void reply_finish_page(struct reply *r, int64_t date_ms)
{
	size_t page_size = firehose_page_size(r->firehose);
	char head[FIREHOSE_ROOM];
	uint32_t crc;
	int n;

	r->page = firehose_take(r->firehose, r->page_number);
	assert(r->body->size <= FIREHOSE_ROOM);
	memcpy(r->page->bytes + page_size, r->body->data, r->body->size);
	crc = libdeflate_crc32(r->page->crc, r->body->data, r->body->size);
	if (r->fault.kind == FAULT_WRONG_CRC)
		crc ^= 1;
	r->body_size = page_size + r->body->size;
	n = reply_head(r, head, sizeof(head), crc, false, date_ms);
	memcpy(r->page->bytes - n, head, (size_t)n);
	r->bytes = r->page->bytes - n;
	r->size = (size_t)n + r->body_size;
}

static void must_add(struct buf *b, const char *bytes, size_t size)
{
	bool fits = buf_add(b, bytes, size);

	assert(fits);
}

/* Makes an ordinary body of a page, for those who change it. */
static void reply_unpage(struct reply *r)
{
	struct firehose_page *page = firehose_take(r->firehose, r->page_number);
	size_t size = firehose_page_size(r->firehose), tail = r->body->size;
	char *behind = memory_text_n(r->body->data, tail);

	buf_clear(r->body);
	must_add(r->body, page->bytes, size);
	must_add(r->body, behind, tail);
	free(behind);
	firehose_give(page);
	r->firehose = NULL;
}

static void body_repeat_records(struct buf *body)
{
	static const char start[] = "{\"Records\":[";
	const size_t head = sizeof(start) - 1;
	char *end = body->size > head ? memrchr(body->data, ']', body->size) : NULL;
	size_t records;
	char *copy;

	if (!end || memcmp(body->data, start, head) != 0 || end == body->data + head)
		return;
	records = (size_t)(end - body->data) - head;
	copy = memory_text_n(body->data + head, body->size - head);
	body->size = head + records;
	buf_text(body, ",");
	must_add(body, copy, strlen(copy));
	free(copy);
}

static void body_pad(struct buf *body, size_t size)
{
	static const char blanks[4096] = { [0 ... 4095] = ' ' };

	if (!body->size)
		return;
	body->size--;
	while (body->size < size)
		must_add(body, blanks, sizeof(blanks));
	buf_text(body, "}");
}

static void reply_spoil(struct reply *r)
{
	switch (r->fault.kind) {
	case FAULT_MALFORMED:
		r->body->size /= 2;
		break;
	case FAULT_GARBAGE:
		buf_clear(r->body);
		buf_text(r->body, "<html><body><h1>It works!</h1></body></html>");
		break;
	case FAULT_DUPLICATE:
		body_repeat_records(r->body);
		break;
	case FAULT_OVERSIZED:
		body_pad(r->body, (size_t)r->fault.bytes);
		break;
	default:
		break;
	}
}

static bool reply_compress(struct reply *r)
{
	struct buf *packed = &r->tools->packed;
	size_t bound = libdeflate_gzip_compress_bound(r->tools->gzip, r->body->size);

	if (packed->capacity < bound) {
		packed->data = memory_resize(packed->data, bound);
		packed->capacity = bound;
	}
	packed->size = libdeflate_gzip_compress(r->tools->gzip, r->body->data, r->body->size,
						packed->data, packed->capacity);
	return packed->size > 0;
}

void reply_finish(struct reply *r, const struct http_request *request, int64_t date_ms)
{
	bool spoilt = r->fault.kind == FAULT_MALFORMED || r->fault.kind == FAULT_GARBAGE ||
		      r->fault.kind == FAULT_DUPLICATE || r->fault.kind == FAULT_OVERSIZED;
	bool gzip = request->gzip && !r->control;
	const struct buf *body = r->body;
	char head[1024];
	uint32_t crc;
	int n;

	r->close = r->close || request->close;
	if (r->fault.kind == FAULT_SKEW)
		date_ms += r->fault.seconds * 1000;
	if (r->firehose && (spoilt || gzip))
		reply_unpage(r);
	if (r->firehose) {
		reply_finish_page(r, date_ms);
		return;
	}
	reply_spoil(r);
	gzip = gzip && body->size > COMPRESS_MIN && reply_compress(r);
	if (gzip)
		body = &r->tools->packed;
	crc = libdeflate_crc32(0, body->data, body->size);
	if (r->fault.kind == FAULT_WRONG_CRC)
		crc ^= 1;
	r->body_size = body->size;
	n = reply_head(r, head, sizeof(head), crc, gzip, date_ms);
	must_add(&r->out, head, (size_t)n);
	must_add(&r->out, body->data ? body->data : "", body->size);
	r->bytes = r->out.data;
	r->size = r->out.size;
}

void reply_end(struct reply *r)
{
	if (r->page)
		firehose_give(r->page);
	r->page = NULL;
	r->bytes = NULL;
	if (r->out.capacity > KEEP_BYTES)
		buf_release(&r->out);
}
