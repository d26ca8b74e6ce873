#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/client.h"
#include "base/cleanup.h"
#include "base/health.h"
#include "base/queue.h"
#include "consumer/core.h"
#include "consumer/lane.h"
#include "consumer/letter.h"

/* One thread with one loop and a small pool of connections, over which it carries many requests for
 * many lanes. It fetches what the core tells it to, decodes and encodes the page in the batch's
 * arena, and hands it to the sinks; what became of it goes to the core as events. */
struct reader;

struct reader_settings {
	unsigned index;
	const struct aws_settings *aws;
	struct credentials *credentials;
	struct clock *clock;
	struct metrics *metrics;
	struct health *health;
	uint32_t lanes_max;   /* that this reader may be given: the size of its queues */
	uint32_t fetches_max; /* that the core has out at a time */
	struct queue *core;   /* of struct core_event; never full (conventions, 21) */
	/* Boot time from which nothing more may go to a sink: the lease is in doubt (saver.h). */
	const _Atomic int64_t *emit_until_ms;
	/* Stores a letter and calls reader_lettered. Any thread; takes it. */
	void (*letter)(void *arg, struct letter *l);
	/* The lane reads on behind the store's gap; `to`: the first record there, or none. Any
	 * thread. */
	void (*gap_over)(void *arg, int64_t gap, const struct sequence *to, int64_t to_ms);
	void *arg;
	uint64_t seed;
};

/* Starts the thread. */
struct reader *reader_start(const struct reader_settings *settings, struct error *err);
/* Ends the thread: nothing is fetched or handed over any more; open requests are cancelled. */
void reader_stop(struct reader *r);
/* After reader_stop, when no sink can answer any more. NULL is fine. */
void reader_free(struct reader *r);

/* From any thread. A lane is its reader's from the first call with it. The fetch may wait for the
 * next reader_wake: one for several is cheaper. */
void reader_fetch(struct reader *r, struct lane *lane);
void reader_wake(struct reader *r);
/* The lane stands at a gap (lane->gap), which is accepted: told before the core's CORE_GAP. */
void reader_go_on(struct reader *r, struct lane *lane);
/* AWS does not know the lane, and complete listings agree, or say that the whole stream is gone: if
 * AWS says so once more, nothing of it is left. */
void reader_unlisted(struct reader *r, struct lane *lane, bool stream_gone);
/* Nothing more is fetched, as the core stops: a block of a data file may be long in coming, and
 * nobody waits for it. */
void reader_halt_files(struct reader *r);
/* Nothing of the lane is under way: the reader may still be at the end of it, and frees it. False
 * where it has not yet freed lanes_max of them: the lane stays the caller's, for later. */
bool reader_drop(struct reader *r, struct lane *lane) MUST_CHECK;
void reader_answer(struct reader *r, struct lane_delivery *d);
/* `stored`: else the dead letters are full or away, and the reader asks again later. */
void reader_lettered(struct reader *r, struct letter *l, bool stored);
/* Boot time when its loop last turned. */
int64_t reader_beat_ms(const struct reader *r);
