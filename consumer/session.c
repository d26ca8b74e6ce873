#include "consumer/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "consumer/burial.h"
#include "sinks/sink.h"

#define SESSIONS_MAX  256
#define RETRY_BASE_MS 100
#define RETRY_MAX_MS  5000
#define LOG_EVERY_MS  10000
#define POLL_STEP_MS  50

static bool stopped(const struct session_settings *s)
{
	return atomic_load(s->stop);
}

/* Waits in small steps, so that a signal ends it. */
bool session_pause(const struct session_settings *s, int64_t ms, struct error *err)
{
	int64_t until = clock_boot_ms(s->clock) + ms;

	while (!stopped(s) && clock_boot_ms(s->clock) < until)
		nanosleep(&(struct timespec){ .tv_nsec = POLL_STEP_MS * 1000000L }, NULL);
	return !stopped(s) || error_set(err, ERROR_CANCELLED, "stopped while it waited");
}

struct sink_host session_sink_host(const struct session_settings *s, const struct config_sink *sink)
{
	return (struct sink_host){ .index = (unsigned)(sink - s->config->sinks),
				   .name = sink->name,
				   .lease_ms = s->config->checkpoint.lease_ms,
				   .clock = s->clock,
				   .metrics = s->metrics,
				   .aws = s->aws,
				   .credentials = s->credentials };
}

static void new_id(char id[STORE_ID_SIZE])
{
	unsigned char b[16];

	rng_random(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(id, STORE_ID_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

/* --- a store that only one process can have open --- */

/* Whatever is wrong, a person may mend it while this waits: it is tried until it is done. */
static bool bury(const struct session_settings *s, const char *id, struct error *err)
{
	struct rng rng;
	struct log_limit limit = { 0 };
	uint64_t repeated, seed;

	rng_random(&seed, sizeof(seed));
	rng_seed(&rng, seed);
	for (unsigned tries = 0; burial_try(s, id, true, err) != BURIAL_DONE; tries++) {
		if (err->kind == ERROR_CANCELLED)
			return false;
		health_set(s->health, "burial", err->message);
		if (log_limit_pass(&limit, clock_boot_ms(s->clock), LOG_EVERY_MS, &repeated))
			log_error("an ended session cannot be buried, its shards wait",
				  log_text("session", id), log_text("error", err->message),
				  log_int("repeated", (int64_t)repeated));
		if (!session_pause(s, rng_backoff_ms(&rng, tries, RETRY_BASE_MS, RETRY_MAX_MS),
				   err))
			return false;
	}
	health_forget(s->health, "burial");
	return true;
}

/* Whatever session is found in it is over: its process held the store and does no more. */
static bool bury_others(const struct session_settings *s, const char *id, struct error *err)
{
	struct store_session *others = memory_array(SESSIONS_MAX, sizeof(*others));
	size_t count;
	bool killed, ok = store_sessions(s->store, others, SESSIONS_MAX, &count, err);

	for (size_t i = 0; ok && i < count; i++) {
		if (strcmp(others[i].id, id) == 0)
			continue;
		log_info("the last session did not end itself, it is buried",
			 log_text("session", others[i].id), log_text("worker", others[i].worker));
		ok = (others[i].state != SESSION_LIVE ||
		      store_session_kill(s->store, others[i].id, others[i].beat, &killed, err)) &&
		     bury(s, others[i].id, err);
	}
	free(others);
	return ok;
}

/* --- begin and end --- */

bool session_begin(const struct session_settings *s, char id[STORE_ID_SIZE], int64_t *beat_from_ms,
		   struct error *err)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	for (;;) {
		new_id(id);
		*beat_from_ms = clock_boot_ms(s->clock);
		if (store_session_begin(s->store, id, s->config->worker.name, host,
					s->config->checkpoint.lease_ms, err))
			break;
		id[0] = '\0'; /* nothing to end */
		if (!error_passes(err->kind))
			return false;
		health_set(s->health, "store", err->message);
		if (!session_pause(s, RETRY_MAX_MS / 5, err))
			return false;
	}
	health_set(s->health, "store", NULL);
	return !store_exclusive(s->store) || bury_others(s, id, err);
}

bool session_end(const struct session_settings *s, const char *id, bool litter, struct error *err)
{
	return burial_try(s, id, litter, err) == BURIAL_DONE;
}
