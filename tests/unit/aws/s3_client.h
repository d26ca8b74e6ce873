#pragma once
/* A client of the scripted S3 server, for one test at a time. */
#include "tests/unit/aws/s3_server.h"

#include <signal.h>

#include "aws/client.h"
#include "aws/credentials.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/metrics.h"

static struct s3_server server;
static struct clock clock_;
static struct metrics *metrics;
static struct credentials *credentials;
static struct aws_settings settings;
static struct loop *loop;
static struct aws_client *client;

static inline int s3_client_up(void **state)
{
	struct error err = { 0 };

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	s3_server_start(&server);
	clock_init(&clock_);
	metrics = metrics_new();
	settings = (struct aws_settings){ .region = "us-east-1", .connections_max = 8 };
	settings.endpoints[AWS_S3] = server.url;
	credentials = credentials_open(&settings, NULL, &clock_, metrics, &err);
	assert_non_null(credentials);
	loop = loop_new(&clock_);
	client = aws_client_new(loop, &settings, credentials, &clock_, metrics, &err);
	assert_non_null(client);
	return 0;
}

static inline int s3_client_down(void **state)
{
	(void)state;
	aws_client_free(client);
	loop_free(loop);
	credentials_close(credentials);
	metrics_free(metrics);
	s3_server_stop(&server);
	return 0;
}
