#pragma once
#include "base/cleanup.h"
#include "base/error.h"
#include "base/health.h"
#include "base/metrics.h"
#include "ops/snapshot.h"

/* /livez, /readyz, /metrics and the status page over libmicrohttpd, on a thread of its own. It only
 * reads. */
struct http_server;

struct http_server_settings {
	const char *listen; /* host:port; port 0 picks one */
	struct health *health;
	struct metrics *metrics;
	struct snapshot *snapshot; /* NULL: there is no status page. Ended before the server */
	/* Are the loops turning? Else writes which one is stuck. Any thread. */
	bool (*alive)(void *arg, char *stuck, size_t size);
	void *arg;
};

/* INVALID where the address cannot be listened on. */
struct http_server *http_server_start(const struct http_server_settings *settings,
				      struct error *err);
void http_server_stop(struct http_server *s); /* NULL is fine */
int http_server_port(const struct http_server *s);
