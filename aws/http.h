#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

/* HTTP/1.1 over libcurl, asynchronous on one loop: a bounded pool of connections and of transfers
 * that are made once and used again; requests beyond it wait in order. Nothing else in the program
 * looks at a CURLcode. No redirects. The process must ignore SIGPIPE. */
struct http;
struct loop;
struct metric_cell;

struct http_settings {
	const char *ca_bundle;           /* NULL: AWS_CA_BUNDLE, else the system's */
	long connections_max;            /* > 0 */
	struct metric_cell *connections; /* counts those opened; NULL: nobody counts */
};

/* What is kept of an answer's head. */
enum http_header {
	HTTP_DATE,
	HTTP_ETAG,
	HTTP_REQUEST_ID, /* x-amzn-RequestId, x-amz-request-id */
	HTTP_CONTENT_LENGTH,
	HTTP_CONTENT_ENCODING,
	HTTP_CONTENT_RANGE,
	HTTP_CRC32,       /* x-amz-crc32 */
	HTTP_RETRY_AFTER, /* x-amz-retry-after */
	HTTP_BUCKET_REGION,
	HTTP_CHECKSUM_CRC32C, /* x-amz-checksum-crc32c */
	HTTP_META_ROLL,       /* x-amz-meta-sluice-roll */
	HTTP_HEADERS,
};

/* A body whose length was told has so much room behind it, for what its reader puts there: a page
 * need not move to be padded. */
#define HTTP_BODY_SPARE 128

struct http_response {
	int status;       /* 0: no answer came */
	struct buf *body; /* the callee may take its memory, or leave other for the next answer */
	struct str headers[HTTP_HEADERS]; /* n 0: not there */
	bool too_large;                   /* the body passed body_max (error ERROR_INVALID) */
	int64_t elapsed_ms;               /* from sending to the last byte */
};

/* The head of a request, written at the moment it is sent: a signature must not age in the queue.
 */
struct http_head;
struct buf *http_head_url(struct http_head *h); /* empty; to be filled */
void http_head_add(struct http_head *h, struct str name, struct str value);

/* False: the request ends with that error. */
typedef bool http_prepare_fn(void *arg, struct http_head *head, struct error *err);
/* `err` has kind NONE where an answer came, whatever its status. `r` is valid during the call. */
typedef void http_done_fn(void *arg, const struct error *err, struct http_response *r);

/* One request: the caller's memory, untouched by the caller from http_send to its `done`. */
struct http_request {
	const char *method; /* GET, HEAD, POST, PUT, DELETE */
	struct str body;
	size_t body_max; /* of the answer */
	long timeout_ms; /* in all, from sending; time in the queue is not counted */
	http_prepare_fn *prepare;
	http_done_fn *done;
	void *arg;
	struct http_request *next; /* http's own */
};

struct http *http_new(struct loop *loop, const struct http_settings *settings, struct error *err);
/* Ends what is under way with ERROR_CANCELLED. Not from inside a callback. */
void http_free(struct http *h);
DEFINE_AUTO(http)
/* `done` runs from loop_once or http_free, never from in here. */
void http_send(struct http *h, struct http_request *r);

/* One blocking request, for what happens seldom (credentials). */
#define HTTP_DATE_SIZE 32
struct http_fetch {
	const char *method, *url;
	const char *const *headers; /* "name: value", ends with NULL; NULL: none */
	struct str body;
	long timeout_ms;
	size_t body_max;
	const char *ca_bundle; /* as above */
	bool direct;           /* no proxy whatever the environment says */
	char *date;            /* of HTTP_DATE_SIZE: the answer's Date, "" where it has none;
				  NULL: nobody asks */
};
/* True where an answer came, whatever its status; the body is added to `body`. */
bool http_fetch(const struct http_fetch *f, int *status, struct buf *body,
		struct error *err) MUST_CHECK;
