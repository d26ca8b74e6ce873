#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "aws/client.h"
#include "aws/credentials.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "tests/fault/aws/server.h"

/* A client, its loop and its keys, in front of a scripted server. */
struct world {
	struct server server;
	struct clock clock, credentials_clock;
	struct metrics *metrics;
	struct credentials *credentials;
	struct loop *loop;
	struct aws_client *client;
	bool done;
};

/* `boot_ms` is the time of the credentials; the loop has the machine's. */
static inline void world_open_timed(struct world *w, const struct reply *script, size_t size,
				    long connections, SSL_CTX *tls, const char *ca_bundle,
				    int64_t (*boot_ms)(const struct clock *))
{
	struct error err = { 0 };
	struct aws_settings settings = { .region = "eu-west-1",
					 .ca_bundle = ca_bundle,
					 .connections_max = connections };

	*w = (struct world){ 0 };
	server_start(&w->server, script, size, tls);
	for (int i = 0; i < AWS_SERVICES; i++)
		settings.endpoints[i] = w->server.url;
	clock_init(&w->clock);
	w->metrics = metrics_new();
	w->credentials_clock = w->clock;
	if (boot_ms)
		w->credentials_clock.boot_ms = boot_ms;
	w->credentials = credentials_open(&settings, NULL, &w->credentials_clock, w->metrics, &err);
	if (!w->credentials)
		fail_msg("%s", err.message);
	w->loop = loop_new(&w->clock);
	w->client = aws_client_new(w->loop, &settings, w->credentials, &w->clock, w->metrics, &err);
	if (!w->client)
		fail_msg("%s", err.message);
}

static inline void world_open(struct world *w, const struct reply *script, size_t size,
			      long connections, SSL_CTX *tls, const char *ca_bundle)
{
	world_open_timed(w, script, size, connections, tls, ca_bundle, NULL);
}

static inline void world_close(struct world *w)
{
	aws_client_free(w->client);
	loop_free(w->loop);
	credentials_close(w->credentials);
	metrics_free(w->metrics);
	server_stop(&w->server);
}

/* The environment of every test: fixed keys, no files, no proxy, no endpoints. */
static inline int world_environment(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_SESSION_TOKEN", "token+/=", 1);
	setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
	setenv("no_proxy", "*", 1);
	unsetenv("AWS_PROFILE");
	unsetenv("AWS_ENDPOINT_URL");
	unsetenv("AWS_CA_BUNDLE");
	return 0;
}
