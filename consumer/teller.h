#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "checkpoint/control.h"
#include "checkpoint/letters.h"
#include "consumer/session.h"

/* The thread that tells control events to the sinks, or delivers dead letters to one: it waits for
 * them where nobody else may wait. What is told when, and what becomes of it, the worker says
 * (worker_control.c, worker_letters.c). */
struct teller;
#define TELLER_JOBS_MAX 1024 /* that it has at once */

/* Events or letters for one sink, in their order; the teller's until it is given back. */
struct teller_event;
struct teller_letters;
struct teller_job {
	struct teller_job *next; /* the caller's */
	const struct config_sink *sink;
	uint32_t slot; /* the worker's, of the sink */
	int64_t *ids;  /* of the events or letters */
	struct teller_event **events;
	struct teller_letters *letters; /* NULL: events */
	size_t count, told;
	size_t refused;     /* of letters: this one can never get in; `count`: none is known */
	struct error error; /* kind NONE: all were told */
};
struct teller_job *teller_job_new(const struct config_sink *sink, uint32_t slot);
void teller_job_free(struct teller_job *job);
/* Copies the event. */
void teller_job_add(struct teller_job *job, const struct store_control *event);
/* What readers get, but for what the sink adds to an end (docs/delivery.md). */
void teller_json(const struct store_control *event, struct buf *out);

/* A batch of one stream's letters, those of the first one's. */
struct teller_job *teller_letters_new(const struct config_sink *sink,
				      const struct store_outgoing *first);
/* Copies the letter. */
void teller_letters_add(struct teller_job *job, const struct store_outgoing *letter);
const char *teller_letters_stream(const struct teller_job *job);

/* `told` comes on its thread. */
struct teller *teller_start(const struct session_settings *session, const char *id,
			    void (*told)(void *arg, struct teller_job *job), void *arg);
/* What is under way is given up, and all jobs are given back. Frees. */
void teller_stop(struct teller *t);
void teller_tell(struct teller *t, struct teller_job *job);
