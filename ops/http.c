#include "ops/http.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "ops/page/page.h"

/* Few people look at a time; a slow or an idle one does not keep its place for long, and nobody
 * takes all of them. */
#define CONNECTIONS_MAX     64
#define CONNECTIONS_ONE_MAX 24
#define CONNECTION_BYTES    ((size_t)16 << 10)
#define TIMEOUT_S           10
/* What the status page may do: show what comes with it, and ask this port. */
#define PAGE_POLICY                                                                                \
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "            \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct http_server {
	struct http_server_settings settings;
	struct MHD_Daemon *daemon;
	int port;
};

static enum MHD_Result send_response(struct MHD_Connection *c, unsigned status, const char *type,
				     const char *policy, struct MHD_Response *r)
{
	enum MHD_Result result;

	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "X-Frame-Options", "DENY");
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(r, "Content-Security-Policy", policy);
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result respond(struct MHD_Connection *c, unsigned status, const char *type,
			       struct buf *body)
{
	size_t size = body->size;

	return send_response(
		c, status, type, "default-src 'none'",
		MHD_create_response_from_buffer(size, buf_steal(body), MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result livez(struct http_server *s, struct MHD_Connection *c)
{
	struct buf body = { 0 };
	char stuck[64];
	bool ok = s->settings.alive(s->settings.arg, stuck, sizeof(stuck));

	if (ok)
		buf_text(&body, "ok\n");
	else
		buf_printf(&body, "this loop does not turn: %s\n", stuck);
	return respond(c, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", &body);
}

static enum MHD_Result readyz(struct http_server *s, struct MHD_Connection *c)
{
	struct buf body = { 0 };
	bool ok = health_ready(s->settings.health);

	health_print(s->settings.health, &body);
	return respond(c, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json",
		       &body);
}

static enum MHD_Result metrics(struct http_server *s, struct MHD_Connection *c)
{
	struct buf body = { 0 };

	metrics_print(s->settings.metrics, &body);
	return respond(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
}

/* --- the status page --- */

static enum MHD_Result respond_file(struct MHD_Connection *c, const char *type, const char *text)
{
	return send_response(c, MHD_HTTP_OK, type, PAGE_POLICY,
			     MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
							     MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result status_page(struct http_server *s, struct MHD_Connection *c)
{
	(void)s;
	return respond_file(c, "text/html; charset=utf-8", page_status_html);
}

static enum MHD_Result status_style(struct http_server *s, struct MHD_Connection *c)
{
	(void)s;
	return respond_file(c, "text/css; charset=utf-8", page_status_css);
}

static enum MHD_Result status_script(struct http_server *s, struct MHD_Connection *c)
{
	(void)s;
	return respond_file(c, "text/javascript; charset=utf-8", page_status_js);
}

/* A request that waits for the store; its connection sleeps meanwhile. */
struct waiting {
	struct MHD_Connection *connection;
	bool ok;
	struct buf json;
};

static void on_snapshot(void *arg, bool ok, struct str json)
{
	struct waiting *w = arg;

	w->ok = ok;
	if (!buf_add(&w->json, json.p, json.n))
		w->ok = false;
	MHD_resume_connection(w->connection);
}

static enum MHD_Result status_json_of(struct http_server *s, struct MHD_Connection *c, void **state)
{
	struct waiting *w = *state;

	if (!w) {
		w = memory_new(sizeof(*w));
		w->connection = c;
		*state = w;
		MHD_suspend_connection(c);
		snapshot_ask(s->settings.snapshot, on_snapshot, w);
		return MHD_YES;
	}
	return respond(c, w->ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json",
		       &w->json);
}

static void completed(void *arg, struct MHD_Connection *c, void **state,
		      enum MHD_RequestTerminationCode why)
{
	struct waiting *w = *state;

	(void)arg;
	(void)c;
	(void)why;
	if (w)
		buf_release(&w->json);
	free(w);
	*state = NULL;
}

static const struct page {
	const char *path;
	enum MHD_Result (*serve)(struct http_server *s, struct MHD_Connection *c);
	bool is_status; /* only with a snapshot */
} pages[] = {
	{ "/livez", livez, false },
	{ "/readyz", readyz, false },
	{ "/metrics", metrics, false },
	{ "/status", status_page, true },
	{ "/status.css", status_style, true },
	{ "/status.js", status_script, true },
};

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	struct http_server *s = arg;
	struct buf body = { 0 };

	(void)version;
	(void)upload;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		*upload_size = 0;
		buf_text(&body, "this port only reads: GET\n");
		return respond(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &body);
	}
	if (s->settings.snapshot && strcmp(url, "/status.json") == 0)
		return status_json_of(s, c, state);
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
		if (strcmp(url, pages[i].path) == 0 &&
		    (s->settings.snapshot || !pages[i].is_status))
			return pages[i].serve(s, c);
	buf_text(&body, "there are /livez, /readyz, /metrics, /status and /status.json\n");
	return respond(c, MHD_HTTP_NOT_FOUND, "text/plain", &body);
}

/* "host:port", "[v6]:port" → a listening socket, so that an error names its cause. */
static int listen_on(const char *address, int *port, struct error *err)
{
	const char *colon = strrchr(address, ':');
	char host[256] = "";
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE };
	struct addrinfo *found = NULL;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} bound = { 0 };
	socklen_t size = sizeof(bound);
	int fd = -1, on = 1, code;

	if (!colon || (size_t)(colon - address) >= sizeof(host)) {
		error_set(err, ERROR_INVALID, "http.listen: expected HOST:PORT, not '%s'", address);
		return -1;
	}
	memcpy(host, address, (size_t)(colon - address));
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		memmove(host, host + 1, strlen(host));
	}
	code = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
	if (code != 0) {
		error_set(err, ERROR_INVALID, "http.listen: %s: %s", address, gai_strerror(code));
		return -1;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
	    listen(fd, CONNECTIONS_MAX) != 0) {
		error_set(err, ERROR_INVALID,
			  "http.listen: %s: %m; choose another port, or 0 to have one picked",
			  address);
		if (fd >= 0)
			close(fd);
		fd = -1;
	} else if (getsockname(fd, &bound.any, &size) == 0) {
		*port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port
							      : bound.v4.sin_port);
	}
	freeaddrinfo(found);
	return fd;
}

struct http_server *http_server_start(const struct http_server_settings *settings,
				      struct error *err)
{
	struct http_server *s = memory_new(sizeof(*s));
	int fd = listen_on(settings->listen, &s->port, err);

	if (fd < 0) {
		free(s);
		return NULL;
	}
	s->settings = *settings;
	s->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
		NULL, handle, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_ONE_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_NOTIFY_COMPLETED,
		completed, NULL, MHD_OPTION_END);
	if (!s->daemon) {
		error_set(err, ERROR_INVALID, "http.listen: %s: the server did not start",
			  settings->listen);
		close(fd);
		free(s);
		return NULL;
	}
	return s;
}

void http_server_stop(struct http_server *s)
{
	if (!s)
		return;
	MHD_stop_daemon(s->daemon);
	free(s);
}

int http_server_port(const struct http_server *s)
{
	return s->port;
}
