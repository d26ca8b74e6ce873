#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* What one thread needs to call AWS: a connection pool on its loop, region, endpoints, credentials,
 * clock. Every call is asynchronous on the loop's thread: its callback runs from loop_once, exactly
 * once, also at aws_client_free (ERROR_CANCELLED). Transient failures are retried inside a call
 * (aws-semantics, 3.4: four attempts with jitter); what is left is an error whose kind says what
 * the caller may do. */
struct aws_client;
struct loop;
struct clock;
struct metrics;
struct credentials;

enum aws_service { AWS_DYNAMODB, AWS_STREAMS, AWS_S3, AWS_STS, AWS_SERVICES };

/* A role that is taken for the time of a session; texts NULL: not given. */
struct aws_role {
	const char *arn, *external_id;
	const char *session; /* its name; "sluice" where none is given */
	long duration_s;     /* 0: an hour */
};

struct aws_settings {
	const char *region; /* resolved; never NULL for a client */
	/* Overrides; NULL: the environment's or the profile's, else AWS's own. */
	const char *endpoints[AWS_SERVICES];
	const char *ca_bundle; /* NULL: AWS_CA_BUNDLE, else the system's bundle */
	long connections_max;  /* of this client */
	struct aws_role role;  /* taken with the keys that are found; arn NULL: none */
	/* Set when the process shall end: the first keys are not waited for then. NULL: nobody
	 * asks for that. */
	const _Atomic bool *stop;
};

/* The settings, the credentials, the clock and the metrics stay the caller's and outlive it. */
struct aws_client *aws_client_new(struct loop *loop, const struct aws_settings *settings,
				  struct credentials *credentials, struct clock *clock,
				  struct metrics *metrics, struct error *err);
void aws_client_free(struct aws_client *c);
DEFINE_AUTO(aws_client)
struct loop *aws_client_loop(struct aws_client *c);
/* Turns the client's loop until a callback sets the flag. For commands and for starting up. */
void aws_wait(struct aws_client *c, const bool *done);

/* explicit > AWS_REGION > AWS_DEFAULT_REGION > profile. ERROR_INVALID where there is none. The text
 * is copied into `out`. */
bool aws_region_resolve(const char *explicit_region, const char *profile, char *out, size_t size,
			struct error *err) MUST_CHECK;
