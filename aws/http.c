#include "aws/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/memory.h"
#include "base/metrics.h"

#define CONNECT_TIMEOUT_MS 5000L
/* A transfer that is allowed minutes is given up when it stands still for this long. */
#define STALL_SECONDS 20L
/* A TLS record is 16 KB and libcurl reads one at a time: more than a few would only be memory. */
#define RECEIVE_BYTES (64L << 10)
#define SEND_BYTES    (256L << 10)
/* libcurl takes the memory for each request anew, and over TLS sends each head from there. */
#define SEND_SMALL_BYTES (16L << 10)
/* Bodies up to this size keep their memory for the next answer of the same transfer. */
#define BODY_KEPT_BYTES ((size_t)16 << 10)
#define LINES_MAX       32
#define HEADER_TEXT_MAX 2048
#define USER_AGENT      "sluice/" SLUICE_VERSION
#define SYSTEM_BUNDLE   "/etc/ssl/certs/ca-certificates.crt"

struct http_head {
	struct buf url;
	struct buf lines; /* "name: value\0name: value\0" */
	size_t starts[LINES_MAX];
	size_t count;
	bool content_type;
	struct curl_slist nodes[LINES_MAX]; /* libcurl reads the list, it does not own it */
};

/* One libcurl handle, used for one request after the other. */
struct transfer {
	struct http *http;
	CURL *easy;
	struct http_request *request; /* NULL: free */
	struct transfer *next_free;
	struct http_head head;
	struct buf body;
	struct http_response response;
	char text[HEADER_TEXT_MAX]; /* the values of response.headers */
	size_t text_used;
	char message[CURL_ERROR_SIZE];
};

struct http {
	struct loop *loop;
	struct loop_timer *timer; /* libcurl's: only libcurl moves it */
	struct loop_timer *start; /* something waits */
	CURLM *multi;
	struct metric_cell *connections;
	char *ca_bundle;
	struct transfer *transfers;
	size_t transfer_count;
	struct transfer *free;
	struct http_request *first, **last; /* waiting */
};

static const struct {
	struct str name;
	enum http_header header;
} kept_headers[] = {
	{ { "date", 4 }, HTTP_DATE },
	{ { "etag", 4 }, HTTP_ETAG },
	{ { "x-amzn-requestid", 16 }, HTTP_REQUEST_ID },
	{ { "x-amz-request-id", 16 }, HTTP_REQUEST_ID },
	{ { "content-length", 14 }, HTTP_CONTENT_LENGTH },
	{ { "content-encoding", 16 }, HTTP_CONTENT_ENCODING },
	{ { "content-range", 13 }, HTTP_CONTENT_RANGE },
	{ { "x-amz-crc32", 11 }, HTTP_CRC32 },
	{ { "x-amz-retry-after", 17 }, HTTP_RETRY_AFTER },
	{ { "x-amz-bucket-region", 19 }, HTTP_BUCKET_REGION },
	{ { "x-amz-checksum-crc32c", 21 }, HTTP_CHECKSUM_CRC32C },
	{ { "x-amz-meta-sluice-roll", 22 }, HTTP_META_ROLL },
};

static void curl_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

static const char *bundle_of(const char *set)
{
	const char *env = getenv("AWS_CA_BUNDLE");

	if (set && *set)
		return set;
	return env && *env ? env : SYSTEM_BUNDLE;
}

/* The only place that knows what a caller can do about a CURLcode. */
static enum error_kind kind_of(CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return ERROR_NONE;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_BAD_FUNCTION_ARGUMENT:
	case CURLE_UNKNOWN_OPTION:
		return ERROR_INVALID;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return ERROR_REFUSED;
	default: /* names that do not resolve, cut and silent connections, timeouts */
		return ERROR_RETRY;
	}
}

static void fail(struct error *err, CURLcode code, const char *url, const char *message,
		 const char *bundle)
{
	const char *authority = strstr(url, "://");
	size_t origin = authority ? (size_t)(authority - url) + 3 : 0;
	const char *advice = "";

	origin += strcspn(url + origin, "/?");
	if (kind_of(code) == ERROR_REFUSED || code == CURLE_SSL_CACERT_BADFILE)
		advice = "; trusted are the certificates of the file in ca_bundle, AWS_CA_BUNDLE "
			 "or the system's: ";
	error_set(err, kind_of(code), "%.*s: %s%s%s", (int)origin, url,
		  *message ? message : curl_easy_strerror(code), advice, *advice ? bundle : "");
}

static void fail_too_large(struct error *err, size_t limit)
{
	error_set(err, ERROR_INVALID, "the answer is larger than the limit of %zu bytes", limit);
}

/* ---- the answer ---- */

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	const char *colon = memchr(line, ':', n);
	struct str name, value;

	(void)size;                                   /* always 1 */
	if (n > 5 && memcmp(line, "HTTP/", 5) == 0) { /* a new head: what came before was a 1xx */
		memset(t->response.headers, 0, sizeof(t->response.headers));
		t->text_used = 0;
		return n;
	}
	if (!colon)
		return n;
	name = (struct str){ line, (size_t)(colon - line) };
	value = (struct str){ colon + 1, n - name.n - 1 };
	while (value.n && strchr(" \t", value.p[0]))
		value = (struct str){ value.p + 1, value.n - 1 };
	while (value.n && strchr(" \t\r\n", value.p[value.n - 1]))
		value.n--;
	for (size_t i = 0; i < sizeof(kept_headers) / sizeof(kept_headers[0]); i++) {
		if (kept_headers[i].name.n != name.n ||
		    strncasecmp(kept_headers[i].name.p, name.p, name.n) != 0)
			continue;
		if (value.n >= sizeof(t->text) - t->text_used)
			break;
		memcpy(t->text + t->text_used, value.p, value.n);
		t->response.headers[kept_headers[i].header] =
			(struct str){ t->text + t->text_used, value.n };
		t->text_used += value.n;
		t->text[t->text_used++] = '\0';
		break;
	}
	return n;
}

/* Takes the memory of the whole body at once, where the answer says how much it will be. */
static void body_reserve(struct buf *body, struct str length)
{
	unsigned long long n = length.n ? strtoull(length.p, NULL, 10) : 0;

	if (n < body->capacity || n > body->limit)
		return;
	body->data = memory_resize(body->data, n + HTTP_BODY_SPARE);
	body->capacity = n + HTTP_BODY_SPARE;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	(void)size;
	if (t->body.size == 0)
		body_reserve(&t->body, t->response.headers[HTTP_CONTENT_LENGTH]);
	if (buf_add(&t->body, data, n))
		return n;
	t->response.too_large = true;
	return 0;
}

/* ---- one transfer ---- */

static CURL *easy_new(const char *bundle, char *message)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	CURL *easy;

	pthread_once(&once, curl_init);
	easy = curl_easy_init();
	if (!easy)
		abort();
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* it is signed as it is */
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* Debian's libcurl has a CApath compiled in, and with one it reads all certificates anew
	 * for each connection: 18 ms and 890 KB instead of 0.5 ms and 69 KB. */
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CAINFO, bundle);
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 24L * 3600);
	return easy;
}

static void easy_method(CURL *easy, const char *method, struct str body)
{
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE,
			 body.n < SEND_SMALL_BYTES ? SEND_SMALL_BYTES : SEND_BYTES);
	if (body.n || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.n ? body.p : "");
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
	} else if (strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	} else {
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
	}
}

static void easy_timeouts(CURL *easy, long timeout_ms)
{
	bool may_stall = timeout_ms > STALL_SECONDS * 1000;

	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, may_stall ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, may_stall ? STALL_SECONDS : 0L);
}

struct buf *http_head_url(struct http_head *h)
{
	return &h->url;
}

static void head_text(struct http_head *h, struct str text)
{
	bool fits = buf_add(&h->lines, text.p, text.n);

	assert(fits);
}

void http_head_add(struct http_head *h, struct str name, struct str value)
{
	assert(h->count < LINES_MAX - 2); /* two are ours */
	h->starts[h->count++] = h->lines.size;
	head_text(h, name);
	/* libcurl's way to say that a header has no value, which S3 and the signature allow. */
	head_text(h, value.n ? STR(": ") : STR(";"));
	head_text(h, value);
	head_text(h, (struct str){ "", 1 });
	h->content_type |= name.n == 12 && strncasecmp(name.p, "content-type", 12) == 0;
}

static void head_suppress(struct http_head *h, const char *line)
{
	h->starts[h->count++] = h->lines.size;
	head_text(h, (struct str){ line, strlen(line) + 1 });
}

static struct curl_slist *head_list(struct http_head *h)
{
	head_suppress(h, "Expect:"); /* no round trip to ask whether a body is welcome */
	if (!h->content_type)
		head_suppress(h, "Content-Type:");
	for (size_t i = 0; i < h->count; i++)
		h->nodes[i] =
			(struct curl_slist){ .data = h->lines.data + h->starts[i],
					     .next = i + 1 < h->count ? &h->nodes[i + 1] : NULL };
	return h->nodes;
}

static bool transfer_prepare(struct transfer *t, struct error *err)
{
	struct http_request *r = t->request;

	buf_clear(&t->head.url);
	buf_clear(&t->head.lines);
	t->head.count = 0;
	t->head.content_type = false;
	if (t->body.capacity > BODY_KEPT_BYTES)
		buf_release(&t->body);
	buf_clear(&t->body);
	t->body.limit = r->body_max;
	t->response = (struct http_response){ .body = &t->body };
	t->text_used = 0;
	t->message[0] = '\0';
	if (!r->prepare(r->arg, &t->head, err))
		return false;
	curl_easy_setopt(t->easy, CURLOPT_URL, t->head.url.data);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, head_list(&t->head));
	easy_method(t->easy, r->method, r->body);
	easy_timeouts(t->easy, r->timeout_ms);
	return true;
}

/* The answer lives in the transfer, so that it is free only after the callback. */
static void transfer_end(struct transfer *t, const struct error *err)
{
	struct http_request *r = t->request;
	struct http *h = t->http;

	r->done(r->arg, err, &t->response);
	t->request = NULL;
	t->next_free = h->free;
	h->free = t;
}

static void transfer_done(struct transfer *t, CURLcode code)
{
	struct error err = { 0 };
	long status = 0, opened = 0;
	curl_off_t elapsed_us = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &opened);
	curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &elapsed_us);
	curl_multi_remove_handle(t->http->multi, t->easy);
	if (opened && t->http->connections)
		metric_add(t->http->connections, opened);
	t->response.elapsed_ms = elapsed_us / 1000;
	if (t->response.too_large) {
		t->response.status = (int)status;
		fail_too_large(&err, t->body.limit);
	} else if (code != CURLE_OK) {
		fail(&err, code, t->head.url.data, t->message, t->http->ca_bundle);
	} else {
		t->response.status = (int)status;
	}
	transfer_end(t, &err);
}

/* ---- the loop ---- */

static void start_waiting(struct http *h)
{
	while (h->first && h->free) {
		struct transfer *t = h->free;
		struct error err = { 0 };

		h->free = t->next_free;
		t->request = h->first;
		h->first = h->first->next;
		if (!h->first)
			h->last = &h->first;
		if (!transfer_prepare(t, &err))
			transfer_end(t, &err);
		else if (curl_multi_add_handle(h->multi, t->easy) != CURLM_OK)
			abort();
	}
}

static void act(struct http *h, curl_socket_t fd, int flags)
{
	CURLMsg *message;
	int running, left;

	curl_multi_socket_action(h->multi, fd, flags, &running);
	while ((message = curl_multi_info_read(h->multi, &left))) {
		CURLcode code = message->data.result;
		struct transfer *t;

		assert(message->msg == CURLMSG_DONE);
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		transfer_done(t, code);
	}
	start_waiting(h);
}

static void on_fd(void *arg, int fd, uint32_t events)
{
	int flags = (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP) ? CURL_CSELECT_IN : 0) |
		    (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		    (events & EPOLLERR ? CURL_CSELECT_ERR : 0);

	act(arg, fd, flags);
}

static void on_timer(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_start(void *arg)
{
	start_waiting(arg);
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct http *h = arg;
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);

	(void)easy;
	(void)unused;
	loop_watch(h->loop, fd, what == CURL_POLL_REMOVE ? 0 : events, on_fd, h);
	return 0;
}

/* A connection's socket is watched during a request and not between two: it is kept, as each change
 * would be a system call. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http *h = arg;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void)purpose;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	loop_keep(h->loop, fd);
	return fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
	struct http *h = arg;

	loop_forget(h->loop, fd);
	return close(fd);
}

static int on_timeout(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *h = arg;

	(void)multi;
	loop_timer_arm(h->timer, timeout_ms);
	return 0;
}

void http_send(struct http *h, struct http_request *r)
{
	r->next = NULL;
	*h->last = r;
	h->last = &r->next;
	if (h->free)
		loop_timer_arm(h->start, 0);
}

static void transfer_init(struct transfer *t, struct http *h)
{
	t->http = h;
	t->easy = easy_new(h->ca_bundle, t->message);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, h);
	curl_easy_setopt(t->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(t->easy, CURLOPT_CLOSESOCKETDATA, h);
	buf_init(&t->head.url, 0);
	buf_init(&t->head.lines, 0);
	buf_init(&t->body, 0);
	t->next_free = h->free;
	h->free = t;
}

struct http *http_new(struct loop *loop, const struct http_settings *settings, struct error *err)
{
	const char *bundle = bundle_of(settings->ca_bundle);
	struct http *h;

	assert(settings->connections_max > 0);
	if (strcmp(bundle, SYSTEM_BUNDLE) != 0 && access(bundle, R_OK) != 0) {
		error_set(err, ERROR_INVALID,
			  "CA bundle %s: %m; correct ca_bundle or AWS_CA_BUNDLE", bundle);
		return NULL;
	}
	h = memory_new(sizeof(*h));
	h->loop = loop;
	h->timer = loop_timer_new(loop, on_timer, h);
	h->start = loop_timer_new(loop, on_start, h);
	h->connections = settings->connections;
	h->ca_bundle = memory_text(bundle);
	h->last = &h->first;
	h->transfer_count = (size_t)settings->connections_max;
	h->transfers = memory_array(h->transfer_count, sizeof(h->transfers[0]));
	for (size_t i = 0; i < h->transfer_count; i++)
		transfer_init(&h->transfers[i], h);
	h->multi = curl_multi_init();
	if (!h->multi)
		abort();
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, settings->connections_max);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, settings->connections_max);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return h;
}

static void cancel_all(struct http *h)
{
	struct error err = { 0 };
	struct http_response none = { .body = &(struct buf){ 0 } };

	error_set(&err, ERROR_CANCELLED, "shutting down");
	for (size_t i = 0; i < h->transfer_count; i++) {
		struct transfer *t = &h->transfers[i];

		if (!t->request)
			continue;
		curl_multi_remove_handle(h->multi, t->easy);
		buf_clear(&t->body);
		t->response = (struct http_response){ .body = &t->body };
		transfer_end(t, &err);
	}
	while (h->first) {
		struct http_request *r = h->first;

		h->first = r->next;
		if (!h->first)
			h->last = &h->first;
		r->done(r->arg, &err, &none);
	}
}

void http_free(struct http *h)
{
	if (!h)
		return;
	cancel_all(h);
	for (size_t i = 0; i < h->transfer_count; i++) {
		struct transfer *t = &h->transfers[i];

		curl_easy_cleanup(t->easy);
		buf_release(&t->head.url);
		buf_release(&t->head.lines);
		buf_release(&t->body);
	}
	curl_multi_cleanup(h->multi);
	loop_timer_free(h->timer);
	loop_timer_free(h->start);
	free(h->transfers);
	free(h->ca_bundle);
	free(h);
}

/* ---- blocking ---- */

struct fetched {
	struct buf *body;
	bool too_large;
};

static size_t on_fetched(char *data, size_t size, size_t n, void *arg)
{
	struct fetched *f = arg;

	(void)size;
	f->too_large = !buf_add(f->body, data, n);
	return f->too_large ? 0 : n;
}

static void take_date(CURL *easy, char out[HTTP_DATE_SIZE])
{
	struct curl_header *date;
	bool there = curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &date) == CURLHE_OK;

	snprintf(out, HTTP_DATE_SIZE, "%s", there ? date->value : "");
}

bool http_fetch(const struct http_fetch *f, int *status, struct buf *body, struct error *err)
{
	char message[CURL_ERROR_SIZE] = "";
	const char *bundle = bundle_of(f->ca_bundle);
	CURL *easy = easy_new(bundle, message);
	struct fetched fetched = { .body = body };
	struct curl_slist *list = NULL;
	CURLcode code;
	long answered = 0;

	for (const char *const *line = f->headers; line && *line; line++)
		list = curl_slist_append(list, *line);
	body->limit = f->body_max;
	curl_easy_setopt(easy, CURLOPT_URL, f->url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_fetched);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &fetched);
	if (f->direct)
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	easy_method(easy, f->method, f->body);
	easy_timeouts(easy, f->timeout_ms);
	code = curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answered);
	*status = (int)answered;
	if (f->date)
		take_date(easy, f->date);
	if (fetched.too_large)
		fail_too_large(err, f->body_max);
	else if (code != CURLE_OK)
		fail(err, code, f->url, message, bundle);
	curl_slist_free_all(list);
	curl_easy_cleanup(easy);
	return code == CURLE_OK;
}
