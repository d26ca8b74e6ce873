#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"

/* The parts of the process as /readyz shows them: is it well, since when, and why not. A part is
 * *required* until it was well once; after that its troubles are a row of the answer and never make
 * the worker unready (contract, "Endpoints"). Thread safe; a mutex, as rows hold text. */
struct health;
struct clock;

#define HEALTH_PARTS_MAX 1100 /* a row for each of a thousand streams, and the others */

struct health *health_new(const struct clock *clock);
void health_free(struct health *h);
DEFINE_AUTO(health)
/* Makes the row where there is none. Up to HEALTH_PARTS_MAX of them; more are not kept. */
void health_require(struct health *h, const char *part);
/* trouble NULL: well. */
void health_set(struct health *h, const char *part, const char *trouble);
/* Removes the row; one that is not there is fine. */
void health_forget(struct health *h, const char *part);
/* Every required part was well once. */
bool health_ready(struct health *h);
/* {"ready":true,"parts":[{"part":…,"ok":…,"since":…,"age_seconds":…,"reason":…}]} */
void health_print(struct health *h, struct buf *out);
