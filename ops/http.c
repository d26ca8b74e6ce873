#include "ops/http.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

/* Few people look at a time; a slow or an idle one does not keep its place for long. */
#define CONNECTIONS_MAX 32
#define TIMEOUT_S       10

struct http_server {
	struct http_server_settings settings;
	struct MHD_Daemon *daemon;
	int port;
};

static enum MHD_Result respond(struct MHD_Connection *c, unsigned status, const char *type,
			       struct buf *body)
{
	size_t size = body->size;
	struct MHD_Response *r =
		MHD_create_response_from_buffer(size, buf_steal(body), MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "X-Frame-Options", "DENY");
	MHD_add_response_header(r, "Content-Security-Policy", "default-src 'none'");
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
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

static const struct page {
	const char *path;
	enum MHD_Result (*serve)(struct http_server *s, struct MHD_Connection *c);
} pages[] = { { "/livez", livez }, { "/readyz", readyz }, { "/metrics", metrics } };

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	struct http_server *s = arg;
	struct buf body = { 0 };

	(void)version;
	(void)upload;
	(void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		*upload_size = 0;
		buf_text(&body, "this port only reads: GET\n");
		return respond(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &body);
	}
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
		if (strcmp(url, pages[i].path) == 0)
			return pages[i].serve(s, c);
	buf_text(&body, "there are /livez, /readyz and /metrics\n");
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
	s->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL,
				     handle, s, MHD_OPTION_LISTEN_SOCKET, fd,
				     MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
				     MHD_OPTION_END);
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
