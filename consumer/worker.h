#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/health.h"
#include "base/metrics.h"
#include "checkpoint/store.h"
#include "config/config.h"

/* When the worker's loops last turned, for /livez: outlives the sessions. Atomic. */
#define WORKER_READERS_MAX 256
struct worker_pulse {
	_Atomic bool active; /* a session is at work */
	_Atomic int64_t core_ms;
	_Atomic unsigned readers;
	_Atomic int64_t reader_ms[WORKER_READERS_MAX];
};
/* False where a loop of a session at work stands still; names it. */
bool worker_pulse_ok(const struct worker_pulse *p, const struct clock *clock, char *stuck,
		     size_t size);

/* One session at work: from resolving the streams to releasing the lanes. It owns the core, the
 * readers, the saver and the sinks, and runs the core on the calling thread. */
struct worker_settings {
	const struct config *config;
	struct store *store; /* the worker's while it runs */
	const struct aws_settings *aws;
	struct credentials *credentials;
	struct clock *clock;
	struct metrics *metrics;
	struct health *health;
	int64_t idle_ms;          /* --until-idle; 0: serve until asked to stop */
	const _Atomic bool *stop; /* set when the process shall end … */
	int stop_fd;              /* … and then readable */
	struct worker_pulse *pulse;
};

enum worker_end {
	WORKER_STOPPED, /* asked to; everything that was home is saved */
	WORKER_IDLE,    /* --until-idle is fulfilled, everything is delivered and saved */
	WORKER_STANDS,  /* as WORKER_IDLE, but something stands still: `err` names it */
	WORKER_AGAIN,   /* the session had to end (`err` says why): begin a new one */
	WORKER_FAILED,  /* `err`: what a person has to change */
};

enum worker_end worker_run(const struct worker_settings *settings, struct error *err);
