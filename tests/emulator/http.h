#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* An HTTP/1.1 request's head, parsed out of bytes that stay the caller's. Pure. */
#define HTTP_HEAD_MAX    (32 << 10)
#define HTTP_HEADERS_MAX 64

struct http_header {
	struct str name, value; /* value without blanks around it */
};

struct http_request {
	struct str method, target; /* target with its query */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t header_count;
	size_t head_size, body_size;
	struct str body; /* set by who has it */
	bool close, expect_continue, gzip;
};

enum http_parse { HTTP_MORE, HTTP_DONE, HTTP_BAD };
/* HTTP_MORE: the head is not complete yet. HTTP_BAD: answer 400 and close. */
enum http_parse http_parse(struct http_request *r, struct str bytes);
/* The value, or a str whose p is NULL. Names compare without case. */
struct str http_header(const struct http_request *r, const char *name);
