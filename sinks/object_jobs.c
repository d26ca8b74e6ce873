#include "sinks/object_jobs.h"

#include <assert.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/memory.h"

#define BACKOFF_BASE_MS 200
#define BACKOFF_MAX_MS  20000

static void pump(struct object_jobs *jobs)
{
	/* A call that ends at once comes back in here: the loop below goes on with it. */
	if (jobs->pumping)
		return;
	jobs->pumping = true;
	while (jobs->ready && jobs->running < jobs->limit) {
		struct object_job *job = jobs->ready;

		jobs->ready = job->next;
		if (!jobs->ready)
			jobs->ready_tail = &jobs->ready;
		jobs->running++;
		jobs->owner.start(jobs->owner.arg, job);
	}
	jobs->pumping = false;
}

static void enqueue(struct object_jobs *jobs, struct object_job *job)
{
	job->next = NULL;
	*jobs->ready_tail = job;
	jobs->ready_tail = &job->next;
}

static void arm(struct object_jobs *jobs)
{
	int64_t first = INT64_MAX;

	for (const struct object_job *job = jobs->waiting; job; job = job->next)
		if (job->due_ms < first)
			first = job->due_ms;
	if (!jobs->waiting)
		loop_timer_arm(jobs->timer, -1);
	else
		loop_timer_arm(jobs->timer, first > loop_now_ms(jobs->loop)
						    ? first - loop_now_ms(jobs->loop)
						    : 0);
}

static void due(void *arg)
{
	struct object_jobs *jobs = arg;
	struct object_job **at = &jobs->waiting;

	while (*at) {
		struct object_job *job = *at;

		if (job->due_ms > loop_now_ms(jobs->loop)) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		enqueue(jobs, job);
	}
	arm(jobs);
	pump(jobs);
}

void jobs_init(struct object_jobs *jobs, struct loop *loop, unsigned limit,
	       struct object_jobs_owner owner)
{
	uint64_t seed;

	*jobs = (struct object_jobs){ .owner = owner, .loop = loop, .limit = limit };
	jobs->timer = loop_timer_new(loop, due, jobs);
	jobs->ready_tail = &jobs->ready;
	rng_random(&seed, sizeof(seed));
	rng_seed(&jobs->rng, seed);
}

static void list_forget(struct object_jobs *jobs, struct object_job *job)
{
	const struct error cancelled = { ERROR_CANCELLED, "the sink is being closed" };

	while (job) {
		struct object_job *next = job->next;
		bool again = jobs->owner.ended(jobs->owner.arg, job, &cancelled);

		assert(!again);
		free(job);
		job = next;
	}
}

void jobs_forget(struct object_jobs *jobs)
{
	struct object_job *ready = MOVE(jobs->ready), *waiting = MOVE(jobs->waiting);

	jobs->ready_tail = &jobs->ready;
	arm(jobs);
	list_forget(jobs, ready);
	list_forget(jobs, waiting);
}

void jobs_release(struct object_jobs *jobs)
{
	assert(jobs->running == 0);
	jobs_forget(jobs);
	loop_timer_free(jobs->timer);
}

void jobs_add(struct object_jobs *jobs, int kind, void *file, void *part)
{
	struct object_job *job = memory_new(sizeof(*job));

	job->kind = kind;
	job->file = file;
	job->part = part;
	job->jobs = jobs;
	enqueue(jobs, job);
	pump(jobs);
}

void jobs_done(struct object_job *job, const struct error *err)
{
	struct object_jobs *jobs = job->jobs;

	assert(jobs->running > 0);
	jobs->running--;
	if (!jobs->owner.ended(jobs->owner.arg, job, err)) {
		free(job);
	} else {
		job->attempt++;
		job->due_ms =
			loop_now_ms(jobs->loop) + rng_backoff_ms(&jobs->rng, job->attempt - 1,
								 BACKOFF_BASE_MS, BACKOFF_MAX_MS);
		job->next = jobs->waiting;
		jobs->waiting = job;
		arm(jobs);
	}
	pump(jobs);
}

bool jobs_idle(const struct object_jobs *jobs)
{
	return jobs->running == 0 && !jobs->ready && !jobs->waiting;
}
