#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/client.h"
#include "aws/http.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* One call of an AWS operation: built by the functions below, then sent; signed anew at each of its
 * attempts; checked, inflated, retried; its errors turned into kinds. For the files of this folder
 * that offer typed calls. All on the loop's thread. */
struct aws_call;

/* A constant row per operation. */
struct aws_operation {
	const char *name; /* "GetRecords": in metrics and messages */
	enum aws_service service;
	const char *method;
	const char *target;     /* X-Amz-Target, a JSON call; NULL for S3 */
	const char *permission; /* the IAM action it needs: "dynamodb:GetRecords" */
	long timeout_ms;        /* of one attempt */
	size_t answer_max;      /* bytes; aws_call_answer_max changes it for one call */
	bool error_in_success;  /* a 200 may hold an <Error> (CompleteMultipartUpload) */
	bool once;  /* one attempt: the caller counts its calls, and makes the next one itself */
	bool paced; /* the caller spaces its calls: a throttle goes to it at once */
	/* The answer's body is an object as it lies there: it is not inflated, and what came before
	 * the connection broke ends the call, with ERROR_RETRY, rather than be asked for again. */
	bool object;
};

/* What a refused call's message has before the permission that is missing, which ends it. */
#define CALL_ALLOW "; allow "

/* Exactly once per call. `err` is never NULL; its kind is ERROR_NONE on success. `r` is never NULL
 * either: on errors its status may be 0 and its body empty. Both are valid during the call, as are
 * aws_call_state and aws_call_code. New calls may be made in here. */
typedef void aws_call_fn(struct aws_call *call, const struct error *err, struct http_response *r);

struct aws_call *aws_call_new(struct aws_client *c, const struct aws_operation *op);
/* Room for the typed layer's callback and argument: zeroed, aligned, AWS_CALL_STATE bytes. */
#define AWS_CALL_STATE 96
void *aws_call_state(struct aws_call *call);
/* What the call is about, for messages: kind ("stream", "bucket": a literal) and name (copied). */
void aws_call_subject(struct aws_call *call, const char *kind, struct str name);
/* The body: either built in the call's own buffer … */
struct buf *aws_call_body(struct aws_call *call);
/* … or the caller's bytes, not copied, which stay until the callback. Over TLS `hashed` false
 * leaves the body's hash out of the signature (UNSIGNED-PAYLOAD; S3 only, where a checksum header
 * covers it); over plain HTTP it is always hashed. */
void aws_call_borrow(struct aws_call *call, struct str body, bool hashed);
/* S3: virtual-hosted or path style as the endpoint and the name ask. Copied; key NULL: the bucket.
 */
void aws_call_bucket(struct aws_call *call, const char *bucket, const char *key);
/* Names are literals (headers in lower case), values are copied. NULL values are left out, so that
 * optional settings need no ifs; a parameter without value ("uploads") has "". Values with control
 * characters end the call with ERROR_INVALID. */
void aws_call_query(struct aws_call *call, const char *name, const char *value);
void aws_call_header(struct aws_call *call, const char *name, const char *value);
void aws_call_answer_max(struct aws_call *call, size_t bytes);
void aws_call_send(struct aws_call *call, aws_call_fn *fn);

/* AWS's error code ("NoSuchUpload", "ResourceNotFoundException"); "" where there was none. */
const char *aws_call_code(const struct aws_call *call);
/* Puts operation and subject before an error that the typed layer found in the answer itself, as
 * the call's own errors have them. Returns false. */
bool aws_call_wrap(const struct aws_call *call, struct error *err);
/* AWS's time, at the callback that of the answer. */
int64_t aws_call_now_ms(const struct aws_call *call);
struct aws_client *aws_call_client(const struct aws_call *call);
/* The name that aws_call_subject was given. */
const char *aws_call_subject_name(const struct aws_call *call);
