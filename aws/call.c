#include "aws/call.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/answer.h"
#include "aws/parts.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"

/* aws-semantics, 3.4: what the SDKs do. */
#define ATTEMPTS_MAX         4
#define BACKOFF_DYNAMODB_MS  25
#define BACKOFF_OTHER_MS     50
#define BACKOFF_THROTTLED_MS 1000
#define BACKOFF_MAX_MS       20000
#define HINT_EXTRA_MAX_MS    5000
#define RETRY_COST           14
#define RETRY_COST_THROTTLED 5
#define RETRY_TOKENS_MAX     500

/* While another thread gets new keys. */
#define REFRESH_POLL_MS      100

#define FIELDS_MAX           12
#define SUBJECT_MAX          320 /* a table's ARN fits */
#define SPARE_CALLS_MAX      64
#define SPARE_BODY_BYTES_MAX ((size_t)4 << 10)

/* A slice of the call's `text`, which moves as it grows. */
struct field {
	const char *name;
	size_t at, n;
};

struct aws_call {
	_Alignas(max_align_t) char state[AWS_CALL_STATE];
	struct aws_client *client;
	const struct aws_operation *operation;
	struct http_request request;
	aws_call_fn *fn;
	struct loop_timer *timer;       /* of retries; made with the first */
	struct aws_call *next, **place; /* in client->waiting; `next` in client->spare */
	struct buf body, text;
	bool hashed;
	bool fresh_keys_asked, clock_corrected;
	int attempt; /* 1.. */
	int last_cost;
	uint64_t keys_version;           /* that signed the attempt */
	char region[CLIENT_REGION_SIZE]; /* that the attempt went to */
	size_t bucket_n, key_at, key_n;
	bool has_bucket;
	struct field query[FIELDS_MAX], headers[FIELDS_MAX];
	size_t query_count, header_count;
	const char *bad_field; /* a header that cannot be sent */
	const char *subject_kind;
	char subject[SUBJECT_MAX];
	char code[ANSWER_CODE_MAX];
};

/* ---- building ---- */

struct aws_call *aws_call_new(struct aws_client *c, const struct aws_operation *op)
{
	struct aws_call *call = c->spare;
	struct buf body = { 0 }, text = { 0 };
	struct loop_timer *timer = NULL;

	if (call) {
		c->spare = call->next;
		c->spare_count--;
		body = call->body;
		text = call->text;
		timer = call->timer;
		buf_clear(&body);
		buf_clear(&text);
	} else {
		call = memory_new(sizeof(*call));
	}
	/* The arrays behind their counts need no clearing. */
	memset(call->state, 0, sizeof(call->state));
	call->client = c;
	call->operation = op;
	call->request = (struct http_request){ .method = op->method,
					       .body_max = op->answer_max,
					       .timeout_ms = op->timeout_ms };
	call->timer = timer;
	call->next = NULL;
	call->place = NULL;
	call->body = body;
	call->text = text;
	call->hashed = true;
	call->fresh_keys_asked = call->clock_corrected = false;
	call->attempt = call->last_cost = 0;
	call->has_bucket = false;
	call->bucket_n = call->key_at = call->key_n = 0;
	call->query_count = call->header_count = 0;
	call->bad_field = call->subject_kind = NULL;
	call->subject[0] = call->code[0] = '\0';
	return call;
}

static void call_free(struct aws_call *call)
{
	loop_timer_free(call->timer);
	buf_release(&call->body);
	buf_release(&call->text);
	free(call);
}

static void call_spare(struct aws_call *call)
{
	struct aws_client *c = call->client;

	if (c->closing || c->spare_count >= SPARE_CALLS_MAX) {
		call_free(call);
		return;
	}
	if (call->body.capacity > SPARE_BODY_BYTES_MAX)
		buf_release(&call->body);
	call->next = c->spare;
	c->spare = call;
	c->spare_count++;
}

void *aws_call_state(struct aws_call *call)
{
	return call->state;
}

void aws_call_subject(struct aws_call *call, const char *kind, struct str name)
{
	size_t n = name.n < SUBJECT_MAX ? name.n : SUBJECT_MAX - 1;

	call->subject_kind = kind;
	memcpy(call->subject, name.p, n);
	call->subject[n] = '\0';
}

struct buf *aws_call_body(struct aws_call *call)
{
	return &call->body;
}

void aws_call_borrow(struct aws_call *call, struct str body, bool hashed)
{
	call->request.body = body;
	call->hashed = hashed;
}

void aws_call_answer_max(struct aws_call *call, size_t bytes)
{
	call->request.body_max = bytes;
}

static void keep(struct aws_call *call, const char *value, size_t *at, size_t *n)
{
	*at = call->text.size;
	*n = strlen(value);
	buf_text(&call->text, value);
}

void aws_call_bucket(struct aws_call *call, const char *bucket, const char *key)
{
	size_t first;

	assert(call->text.size == 0);
	keep(call, bucket, &first, &call->bucket_n);
	if (key)
		keep(call, key, &call->key_at, &call->key_n);
	call->has_bucket = true;
}

static void field_add(struct aws_call *call, struct field *fields, size_t *count, const char *name,
		      const char *value)
{
	struct field *f = &fields[*count];

	if (!value)
		return;
	assert(*count < FIELDS_MAX);
	f->name = name;
	keep(call, value, &f->at, &f->n);
	++*count;
}

void aws_call_query(struct aws_call *call, const char *name, const char *value)
{
	field_add(call, call->query, &call->query_count, name, value);
}

void aws_call_header(struct aws_call *call, const char *name, const char *value)
{
	for (const char *c = value; c && *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			call->bad_field = name;
	field_add(call, call->headers, &call->header_count, name, value);
}

const char *aws_call_code(const struct aws_call *call)
{
	return call->code;
}

bool aws_call_wrap(const struct aws_call *call, struct error *err)
{
	if (!call->subject_kind)
		return error_wrap(err, "%s", call->operation->name);
	return error_wrap(err, "%s on %s %s", call->operation->name, call->subject_kind,
			  call->subject);
}

struct aws_client *aws_call_client(const struct aws_call *call)
{
	return call->client;
}

const char *aws_call_subject_name(const struct aws_call *call)
{
	return call->subject;
}

int64_t aws_call_now_ms(const struct aws_call *call)
{
	return clock_aws_ms(call->client->clock);
}

/* ---- one attempt ---- */

static struct str field_value(const struct aws_call *call, const struct field *f)
{
	return (struct str){ call->text.data + f->at, f->n };
}

static struct str bucket_name(const struct aws_call *call)
{
	return (struct str){ call->text.data, call->bucket_n };
}

static void locate(struct aws_call *call, const struct endpoint *e)
{
	struct aws_client *c = call->client;
	const char *region =
		call->has_bucket ? client_bucket_region(c, bucket_name(call)) : c->region;
	struct endpoint moved;
	struct sign_field query[FIELDS_MAX];

	buf_clear(&c->host);
	buf_clear(&c->path);
	buf_clear(&c->query);
	memcpy(call->region, region, sizeof(call->region));
	if (region != c->region) {
		moved = endpoint_in_region(e, c->region, region);
		e = &moved;
	}
	if (call->has_bucket) {
		endpoint_bucket(e, bucket_name(call), &c->host, &c->path);
		if (call->key_n || c->path.size == 0)
			buf_text(&c->path, "/");
		if (call->key_n)
			sign_encode(&c->path,
				    (struct str){ call->text.data + call->key_at, call->key_n },
				    true);
	} else {
		buf_text(&c->host, e->host);
		buf_text(&c->path, e->path);
		buf_text(&c->path, "/");
	}
	for (size_t i = 0; i < call->query_count; i++)
		query[i] = (struct sign_field){ str_of(call->query[i].name),
						field_value(call, &call->query[i]) };
	sign_query(&c->query, query, call->query_count);
}

/* Signs and writes the head. libcurl writes Host itself, from the URL. */
static bool call_prepare(void *arg, struct http_head *head, struct error *err)
{
	struct aws_call *call = arg;
	struct aws_client *c = call->client;
	const struct aws_operation *op = call->operation;
	const struct endpoint *e = &c->endpoints[op->service];
	struct sign_field headers[SIGN_HEADERS_MAX];
	char hash[SIGN_HASH_SIZE] = SIGN_UNSIGNED;
	struct buf *url = http_head_url(head);
	size_t n = 0;

	if (call->bad_field)
		return error_set(err, ERROR_INVALID, "the value for %s has control characters",
				 call->bad_field);
	if (!client_keys(c))
		return error_set(err, ERROR_REFUSED, "there are no credentials");
	call->keys_version = c->keys.version;
	locate(call, e);
	buf_printf(url, "%s://%s%s%s%s", e->tls ? "https" : "http", c->host.data, c->path.data,
		   c->query.size ? "?" : "", c->query.size ? c->query.data : "");
	if (call->hashed || !e->tls)
		signer_hash(c->signer, call->request.body, hash);

	headers[n++] = (struct sign_field){ STR("host"), buf_str(&c->host) };
	headers[n++] =
		(struct sign_field){ STR("x-amz-date"), str_of(client_date(c, op->service)) };
	if (op->target) {
		headers[n++] = (struct sign_field){ STR("content-type"),
						    STR("application/x-amz-json-1.0") };
		headers[n++] = (struct sign_field){ STR("x-amz-target"), str_of(op->target) };
	}
	if (op->service == AWS_S3)
		headers[n++] = (struct sign_field){ STR("x-amz-content-sha256"), str_of(hash) };
	if (c->keys.session_token[0])
		headers[n++] = (struct sign_field){ STR("x-amz-security-token"),
						    str_of(c->keys.session_token) };
	for (size_t i = 0; i < call->header_count; i++)
		headers[n++] = (struct sign_field){ str_of(call->headers[i].name),
						    field_value(call, &call->headers[i]) };
	buf_clear(&c->authorization);
	signer_sign(c->signer, &c->keys,
		    &(struct sign_request){ .method = str_of(op->method),
					    .path = buf_str(&c->path),
					    .query = buf_str(&c->query),
					    .headers = headers,
					    .header_count = n,
					    .payload = str_of(hash),
					    .date = c->date,
					    .region = call->region,
					    .service = endpoint_signing_name(op->service) },
		    &c->authorization);
	for (size_t i = 1; i < n; i++)
		http_head_add(head, headers[i].name, headers[i].value);
	http_head_add(head, STR("authorization"), buf_str(&c->authorization));
	return true;
}

/* ---- checking the answer ---- */

static bool body_check(const struct http_response *r, struct error *err)
{
	struct str told = r->headers[HTTP_CRC32];
	uint32_t crc;
	char *end;

	if (!told.n)
		return true;
	crc = libdeflate_crc32(0, r->body->data, r->body->size);
	if (strtoull(told.p, &end, 10) == crc && end == told.p + told.n)
		return true;
	return error_set(err, ERROR_RETRY,
			 "the answer's %zu bytes were damaged on the way (CRC-32 %u, not %.*s)",
			 r->body->size, crc, STR_ARG(told));
}

static bool body_inflate(struct aws_call *call, struct http_response *r, struct error *err)
{
	struct str coding = r->headers[HTTP_CONTENT_ENCODING];
	struct aws_client *c = call->client;
	struct buf *body = r->body;
	struct buf out = { .limit = body->limit };
	uint32_t size;

	if (call->operation->object || !coding.n || str_equal(coding, STR("identity")) ||
	    !body->size)
		return true;
	if (!str_equal(coding, STR("gzip")) || body->size < 18)
		return error_set(err, ERROR_INVALID,
				 "an answer in an encoding we cannot read: %.*s", STR_ARG(coding));
	memcpy(&size, body->data + body->size - sizeof(size), sizeof(size)); /* little endian */
	if (size > call->request.body_max) {
		r->too_large = true;
		return error_set(err, ERROR_INVALID,
				 "the answer is larger than the limit of %zu bytes",
				 call->request.body_max);
	}
	out.data = memory_new((size_t)size + 1);
	out.capacity = (size_t)size + 1;
	out.size = size;
	if (!c->inflater && !(c->inflater = libdeflate_alloc_decompressor()))
		abort();
	if (libdeflate_gzip_decompress(c->inflater, body->data, body->size, out.data, size, NULL) !=
	    LIBDEFLATE_SUCCESS) {
		buf_release(&out);
		return error_set(err, ERROR_RETRY, "the answer's gzip data are damaged");
	}
	buf_release(body);
	*body = out;
	return true;
}

/* What S3 says of where the bucket is, where it is not where the attempt went; n 0: nothing. */
static struct str other_region(const struct aws_call *call, const struct answer_error *e,
			       const struct http_response *r)
{
	struct str region = r->headers[HTTP_BUCKET_REGION];

	if (!region.n)
		region = str_of(e->region);
	if (!call->has_bucket || (r->status != 301 && r->status != 307 && r->status != 400) ||
	    str_equal(region, str_of(call->region)))
		region.n = 0;
	return region;
}

static struct str expected_owner(const struct aws_call *call)
{
	for (size_t i = 0; i < call->header_count; i++)
		if (strcmp(call->headers[i].name, "x-amz-expected-bucket-owner") == 0)
			return field_value(call, &call->headers[i]);
	return (struct str){ 0 };
}

/* "… is not authorized to perform: kms:Decrypt on resource: ARN because …": a call may need more
 * than its own permission, that for the key of a bucket or a table, for an object's tags.
 * DynamoDB's calls have one each of DynamoDB's own. Where another account owns the bucket than is
 * expected, S3 says no more than that access is denied. */
static void allow(const struct aws_call *call, const char *message, char *out, size_t size)
{
	static const char perform[] = "perform: ", on[] = " on resource: ";
	const char *own = call->operation->permission;
	const char *told = strstr(message, perform), *arn = told ? strstr(told, on) : NULL;
	struct str owner = expected_owner(call);
	size_t n, arn_n = 0;

	told = told ? told + strlen(perform) : "";
	n = strcspn(told, " ");
	if (arn) {
		arn += strlen(on);
		arn_n = strcspn(arn, " ");
		arn_n = arn[arn_n] ? arn_n : 0; /* it may be cut */
	}
	if (n == 0 && owner.n)
		snprintf(out, size,
			 "; is account %.*s the bucket's owner (bucket_owner)?" CALL_ALLOW "%s",
			 STR_ARG(owner), own);
	else if (n == 0 || strncmp(told, own, n) == 0 ||
		 (strncmp(told, "dynamodb:", 9) == 0 && strncmp(own, "dynamodb:", 9) == 0))
		snprintf(out, size, CALL_ALLOW "%s", own);
	else
		snprintf(out, size, CALL_ALLOW "%.*s%s%.*s", (int)n, told, arn_n ? " on " : "",
			 (int)arn_n, arn ? arn : "");
}

/* What people need to act: AWS's own words, and what they mean here. */
static bool refuse(const struct aws_call *call, const struct answer_error *e,
		   struct answer_verdict verdict, const struct http_response *r, struct error *err)
{
	struct str id = r->headers[HTTP_REQUEST_ID];
	struct str region = other_region(call, e, r);
	char advice[200] = "", status[16];

	snprintf(status, sizeof(status), "HTTP %d", r->status);
	if (r->status == 301 || r->status == 307 || region.n)
		snprintf(advice, sizeof(advice), "; the bucket is in %s%.*s: set its region",
			 region.n ? "" : "another region", STR_ARG(region));
	else if (verdict.remedy == ANSWER_REFRESH)
		snprintf(advice, sizeof(advice), "; AWS does not take the credentials from: %s",
			 credentials_source(call->client->credentials));
	else if (verdict.remedy == ANSWER_CLOCK)
		snprintf(advice, sizeof(advice), "; set this machine's clock");
	else if (verdict.kind == ERROR_REFUSED && strstr(e->code, "Signature"))
		snprintf(advice, sizeof(advice), "; is the secret key the right one?");
	else if (verdict.kind == ERROR_REFUSED)
		allow(call, e->message, advice, sizeof(advice));
	/* The advice is last, and has to be there whatever is put before all this. */
	return error_set(err, verdict.kind, "%s%s%.*s%s%.*s%s%s", *e->code ? e->code : status,
			 *e->message ? ": " : "", *advice ? 150 : 220, e->message,
			 id.n ? " (request " : "", (int)(id.n < 64 ? id.n : 64), id.n ? id.p : "",
			 id.n ? ")" : "", advice);
}

/* The remedy is for an error only. */
static bool answer_check(struct aws_call *call, struct http_response *r, enum answer_remedy *remedy,
			 struct error *err)
{
	struct answer_error e = { 0 };
	struct answer_verdict verdict;
	bool success = r->status >= 200 && r->status < 300;

	*remedy = ANSWER_AGAIN;
	if (!body_check(r, err))
		return false;
	if (!body_inflate(call, r, err)) {
		*remedy = err->kind == ERROR_RETRY ? ANSWER_AGAIN : ANSWER_NO_REMEDY;
		return false;
	}
	if (success && !call->operation->error_in_success)
		return true;
	answer_parse(buf_str(r->body), &e);
	if (success && !*e.code)
		return true;
	/* Such an error came too late for a status of its own. */
	verdict = answer_judge(&e, success ? 500 : r->status);
	snprintf(call->code, sizeof(call->code), "%s", e.code);
	*remedy = verdict.remedy;
	if (other_region(call, &e, r).n &&
	    client_bucket_moved(call->client, bucket_name(call), other_region(call, &e, r)))
		*remedy = ANSWER_AGAIN;
	return refuse(call, &e, verdict, r, err);
}

/* ---- attempts ---- */

static void call_end(struct aws_call *call, struct error *err, struct http_response *r)
{
	client_count(call->client, call->operation, err->kind);
	if (err->kind != ERROR_NONE)
		aws_call_wrap(call, err);
	call->fn(call, err, r);
	call_spare(call);
}

static void wait_enter(struct aws_call *call)
{
	struct aws_client *c = call->client;

	call->next = c->waiting;
	call->place = &c->waiting;
	if (call->next)
		call->next->place = &call->next;
	c->waiting = call;
}

static void wait_leave(struct aws_call *call)
{
	*call->place = call->next;
	if (call->next)
		call->next->place = call->place;
	call->place = NULL;
}

static void attempt_start(struct aws_call *call)
{
	call->attempt++;
	call->code[0] = '\0';
	http_send(call->client->http, &call->request);
}

/* After a pause, or once there are keys of another version. */
static void on_retry_time(void *arg)
{
	struct aws_call *call = arg;
	struct credentials *credentials = call->client->credentials;

	if (call->fresh_keys_asked && credentials_version(credentials) == call->keys_version &&
	    credentials_refreshing(credentials)) {
		loop_timer_arm(call->timer, REFRESH_POLL_MS);
		return;
	}
	wait_leave(call);
	attempt_start(call);
}

static void retry_after(struct aws_call *call, int64_t delay_ms)
{
	if (!call->timer)
		call->timer = loop_timer_new(call->client->loop, on_retry_time, call);
	loop_timer_arm(call->timer, delay_ms);
	wait_enter(call);
}

static int64_t backoff_ms(struct aws_call *call, enum error_kind kind,
			  const struct http_response *r)
{
	struct str hint = r->headers[HTTP_RETRY_AFTER];
	enum aws_service service = call->operation->service;
	int64_t base = service == AWS_DYNAMODB || service == AWS_STREAMS ? BACKOFF_DYNAMODB_MS
									 : BACKOFF_OTHER_MS;
	int64_t delay, hinted;

	if (kind == ERROR_THROTTLED)
		base = BACKOFF_THROTTLED_MS;
	delay = rng_backoff_ms(&call->client->rng, (unsigned)call->attempt - 1, base,
			       BACKOFF_MAX_MS);
	if (!hint.n)
		return delay;
	hinted = strtoll(hint.p, NULL, 10);
	if (hinted < delay)
		return delay;
	return hinted < delay + HINT_EXTRA_MAX_MS ? hinted : delay + HINT_EXTRA_MAX_MS;
}

/* True where another attempt was arranged. */
static bool call_again(struct aws_call *call, enum answer_remedy remedy, enum error_kind kind,
		       const struct http_response *r)
{
	struct aws_client *c = call->client;
	int cost = kind == ERROR_THROTTLED ? RETRY_COST_THROTTLED : RETRY_COST;

	switch (remedy) {
	case ANSWER_NO_REMEDY:
		return false;
	case ANSWER_CLOCK: /* client_note_time has corrected it, if it could */
		if (call->clock_corrected)
			return false;
		call->clock_corrected = true;
		retry_after(call, 0);
		return true;
	case ANSWER_REFRESH:
		if (call->fresh_keys_asked)
			return false;
		call->fresh_keys_asked = true;
		credentials_refused(c->credentials, call->keys_version);
		retry_after(call, 0);
		return true;
	case ANSWER_AGAIN:
		break;
	}
	if (kind == ERROR_THROTTLED && call->operation->paced)
		return false;
	if (call->operation->once || call->attempt >= ATTEMPTS_MAX || c->retry_tokens < cost)
		return false;
	c->retry_tokens -= cost;
	call->last_cost = cost;
	retry_after(call, backoff_ms(call, kind, r));
	return true;
}

static void call_answered(void *arg, const struct error *transport, struct http_response *r)
{
	struct aws_call *call = arg;
	struct aws_client *c = call->client;
	struct error err = *transport;
	enum answer_remedy remedy = ANSWER_NO_REMEDY;

	if (err.kind == ERROR_RETRY && call->operation->object && r->body->size) {
		remedy = ANSWER_NO_REMEDY;
	} else if (err.kind == ERROR_RETRY) {
		remedy = ANSWER_AGAIN;
	} else if (err.kind == ERROR_NONE && answer_check(call, r, &remedy, &err)) {
		remedy = ANSWER_NO_REMEDY;
		c->retry_tokens += call->last_cost ? call->last_cost : 1;
		if (c->retry_tokens > RETRY_TOKENS_MAX)
			c->retry_tokens = RETRY_TOKENS_MAX;
	}
	if (r->status &&
	    !client_note_time(c, call->operation->service, r, remedy == ANSWER_CLOCK) &&
	    remedy == ANSWER_CLOCK)
		remedy = ANSWER_NO_REMEDY;
	if (!c->closing && call_again(call, remedy, err.kind, r))
		return;
	call_end(call, &err, r);
}

void aws_call_send(struct aws_call *call, aws_call_fn *fn)
{
	call->fn = fn;
	call->request.prepare = call_prepare;
	call->request.done = call_answered;
	call->request.arg = call;
	if (!call->request.body.p)
		call->request.body = buf_str(&call->body);
	if (call->client->closing) /* calls_cancel answers it */
		wait_enter(call);
	else
		attempt_start(call);
}

void calls_cancel(struct aws_client *c)
{
	while (c->waiting) {
		struct aws_call *call = c->waiting;
		struct http_response none = { .body = &(struct buf){ 0 } };
		struct error err;

		/* Through its place it takes itself off c->waiting, which the analyzer misses.
		 * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		wait_leave(call);
		error_set(&err, ERROR_CANCELLED, "shutting down");
		call_end(call, &err, &none);
	}
	while (c->spare) {
		struct aws_call *call = c->spare;

		c->spare = call->next;
		call_free(call);
	}
}
