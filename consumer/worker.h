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
	_Atomic int64_t saver_ms, saver_stuck_ms; /* the second: how long it may not turn */
	_Atomic unsigned readers;
	_Atomic int64_t reader_ms[WORKER_READERS_MAX];
};
/* False where a loop of a session at work stands still; names it. */
bool worker_pulse_ok(const struct worker_pulse *p, const struct clock *clock, char *stuck,
		     size_t size);

/* A side run (checkpoint/sides.h): the configuration has one stream, with the name that the store
 * has for it, and exports are left to other workers. */
struct worker_side {
	const char *stream; /* the source's name, which events have */
	int64_t id;         /* of its row: the name may be another run's by now */
	int64_t until_ms;   /* a shard ends where its records are younger */
	const char *shard;  /* with what descends from it: nothing else is wanted; NULL: all is */
};

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
	struct worker_standby *standby;
	const struct worker_side *side; /* NULL: none */
};

/* Why a process stands by, see standby.h: outlives the sessions; of the thread that runs them. */
struct worker_standby {
	uint32_t sink;    /* that did not answer */
	unsigned in_vain; /* sessions in a row that ended for it, and had no answer of it */
};

enum worker_end {
	WORKER_STOPPED, /* asked to; everything that was home is saved */
	WORKER_IDLE,    /* --until-idle is fulfilled, everything is delivered and saved */
	WORKER_STANDS,  /* as WORKER_IDLE, but something stands still: `err` names it */
	WORKER_AGAIN,   /* the session had to end (`err` says why): begin a new one */
	WORKER_STALLED, /* a sink does not answer (`err` says which), and others may reach it */
	WORKER_FAILED,  /* `err`: what a person has to change */
};

/* "stopped", "idle", "lost", "sink_silent", "failed": for the metric. */
const char *worker_end_name(enum worker_end end);
/* After WORKER_STALLED, before the next session: holds no shards and waits until the sink can be
 * reached. Where it can at once, and the session after that is silent all the same, it waits twice
 * as long each time, up to an hour. Blocking; false: stopped meanwhile. */
bool worker_stand_by(const struct worker_settings *settings) MUST_CHECK;

enum worker_end worker_run(const struct worker_settings *settings, struct error *err);
