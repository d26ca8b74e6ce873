#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "aws/client.h"
#include "base/clock.h"
#include "base/health.h"
#include "base/metrics.h"
#include "config/config.h"

/* The process that `run` is: what outlives a session (configuration, credentials, store,
 * endpoints), and one session after another until it is asked to stop. */

/* What every command that talks to AWS needs, out of a configuration. */
struct service_aws {
	char region[64];
	struct aws_settings settings;
	struct credentials *credentials;
};
/* Resolves the region, gets the first credentials. clock and metrics outlive it. */
bool service_aws_open(struct service_aws *a, const struct config *c, struct clock *clock,
		      struct metrics *metrics, struct error *err) MUST_CHECK;
void service_aws_close(struct service_aws *a);

struct service_options {
	long idle_ms; /* --until-idle; 0: serve */
	bool once;    /* a session that had to end is not followed by another */
};
/* Runs until it is told to stop; returns the exit code. */
int service_run(const struct config *c, const struct service_options *o);
