#pragma once
#include <libdeflate.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/rng.h"
#include "base/str.h"
#include "tests/emulator/fault.h"
#include "tests/emulator/firehose.h"
#include "tests/emulator/http.h"

/* One answer: written as text into `body`, then made into the bytes that go out, with CRC-32, gzip,
 * date, request id and whatever the fault of this request does to it. Belongs to a connection; what
 * all connections of a thread share while an answer is made is the thread's `reply_tools`. */

struct reply_tools {
	struct buf body, packed;
	struct libdeflate_compressor *gzip;
	struct rng rng;
	int64_t date_s;
	char date[40];
};

struct shard;
struct reply {
	struct reply_tools *tools;
	int status;
	struct buf *body;          /* the tools': of the answer, or what comes behind the page */
	struct firehose *firehose; /* not NULL: page_number of it is the answer's beginning */
	uint64_t page_number;
	char code[80]; /* an error's; "" for none */
	bool control;  /* no AWS headers, no compression */
	struct fault fault;
	struct shard *shard; /* its reader until this is sent */
	/* Made by reply_finish. */
	struct buf out;
	struct firehose_page *page;
	const char *bytes;
	size_t size, body_size;
	bool close; /* the connection, afterwards */
};

void reply_tools_init(struct reply_tools *t, uint64_t seed);
void reply_tools_release(struct reply_tools *t);
void reply_begin(struct reply *r, struct reply_tools *t);
/* AWS's shape, under the name space that the code has there. */
void reply_error(struct reply *r, int status, const char *code, const char *fmt, ...) PRINTF(4, 5);
void reply_finish(struct reply *r, const struct http_request *request, int64_t date_ms);
/* Sent or given up: the page goes back, a large buffer is let go. */
void reply_end(struct reply *r);
