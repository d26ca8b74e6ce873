#pragma once
#include "base/clock.h"
#include "base/error.h"
#include "config/config.h"

/* Sets the clock by AWS's, as a worker does before it judges a start (base/clock.h): from what AWS
 * answers about the stream with this ARN. For commands that count back from now. */
bool aws_time(const struct config *c, const char *arn, struct clock *clock,
	      struct error *err) MUST_CHECK;
