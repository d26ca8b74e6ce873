#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/health.h"
#include "base/metrics.h"
#include "checkpoint/store.h"
#include "config/config.h"

/* One life of one process in the store. Blocking; who of the others is dead, watch.h says. */
struct session_settings {
	struct store *store;
	const struct config *config;
	const struct aws_settings *aws; /* to finish rolls in S3 */
	struct credentials *credentials;
	struct clock *clock;
	struct metrics *metrics;
	struct health *health;
	const _Atomic bool *stop; /* ends the waiting: ERROR_CANCELLED */
};

struct sink_host;
/* What the sink's blocking calls need outside a running session; `session` is the caller's. */
struct sink_host session_sink_host(const struct session_settings *s,
				   const struct config_sink *sink);
/* Waits; a stop ends it: CANCELLED. */
bool session_pause(const struct session_settings *s, int64_t ms, struct error *err) MUST_CHECK;

/* Begins a session; where only one process can have the store open, buries those that were left.
 * `id` gets its id ("": it could not be begun), *beat_from_ms the boot time before it began. */
bool session_begin(const struct session_settings *s, char id[STORE_ID_SIZE], int64_t *beat_from_ms,
		   struct error *err) MUST_CHECK;
/* Ends one's own session, whose sinks are closed: finishes the rolls it left, frees its lanes.
 * `litter`: it may have left unfinished files, which are looked for and removed. */
bool session_end(const struct session_settings *s, const char *id, bool litter,
		 struct error *err) MUST_CHECK;
