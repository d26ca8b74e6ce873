#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/rng.h"

/* The calls that a file sink has to make, in order of arrival and a limited number at once. One
 * that fails is made again after a while, until it succeeds or its owner gives it up. One thread's,
 * on its loop. Invariant: a job is in exactly one place: ready, under way, or waiting for its time.
 */
struct object_job {
	int kind;         /* the owner's */
	void *file;       /* the owner's */
	void *part;       /* the owner's */
	unsigned attempt; /* failures so far */
	/* The runner's. */
	struct object_jobs *jobs;
	struct object_job *next;
	int64_t due_ms;
};

struct object_jobs_owner {
	/* Begins the call; jobs_done follows, possibly from inside. */
	void (*start)(void *arg, struct object_job *job);
	/* The call has ended (kind NONE: well). True: make it again later. The job is gone
	 * otherwise. */
	bool (*ended)(void *arg, struct object_job *job, const struct error *err);
	void *arg;
};

struct object_jobs {
	struct object_jobs_owner owner;
	struct loop *loop;
	struct loop_timer *timer;
	struct rng rng;
	unsigned limit, running;
	bool pumping;
	struct object_job *ready, **ready_tail, *waiting;
};

void jobs_init(struct object_jobs *jobs, struct loop *loop, unsigned limit,
	       struct object_jobs_owner owner);
/* Nothing may be under way. */
void jobs_release(struct object_jobs *jobs);
void jobs_add(struct object_jobs *jobs, int kind, void *file, void *part);
void jobs_done(struct object_job *job, const struct error *err);
/* Ends what is ready or waiting with ERROR_CANCELLED (`ended` may not ask for more); what is under
 * way goes on. */
void jobs_forget(struct object_jobs *jobs);
bool jobs_idle(const struct object_jobs *jobs);
