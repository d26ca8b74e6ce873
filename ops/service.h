#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "aws/client.h"
#include "base/clock.h"
#include "base/health.h"
#include "base/metrics.h"
#include "config/config.h"
#include "consumer/worker.h"

/* The process that `run` is: what outlives a session (configuration, credentials, store,
 * endpoints), and one session after another until it is asked to stop. */

/* What every command that talks to AWS needs, out of a configuration. */
struct service_aws {
	char region[64];
	struct aws_settings settings;
	struct credentials *credentials;
};
/* Resolves the region, gets the first credentials, for as long as `stop` is not set (NULL: nobody
 * sets it). clock, metrics and stop outlive it. */
bool service_aws_open(struct service_aws *a, const struct config *c, struct clock *clock,
		      struct metrics *metrics, const _Atomic bool *stop,
		      struct error *err) MUST_CHECK;
void service_aws_close(struct service_aws *a);

/* The same and a client, for a command that asks AWS something and ends. */
struct service_client {
	struct metrics *metrics;
	struct service_aws aws;
	struct loop *loop;
	struct aws_client *client; /* NULL: it is not open */
};
/* To be closed also after an error; one that was never opened is closed when it is all zero. The
 * clock outlives it. */
bool service_client_open(struct service_client *s, const struct config *c, struct clock *clock,
			 struct error *err) MUST_CHECK;
void service_client_close(struct service_client *s);

struct service_end {
	enum worker_end how; /* of the last session */
	int64_t delivered;   /* records that the first sink of the configuration got */
};
struct service_options {
	const char *command;            /* that is run, for people */
	long idle_ms;                   /* --until-idle; 0: serve */
	bool once;                      /* a session that had to end is not followed by another */
	const struct worker_side *side; /* NULL: none */
	struct service_end *end;        /* given back; NULL: nobody asks */
};
/* Runs until it is told to stop; returns the exit code. */
int service_run(const struct config *c, const struct service_options *o);
