#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/rng.h"
#include "consumer/reader.h"

/* Between reader.c (thread, fetches) and hand.c (pages to sinks). */

enum reader_command_type {
	READER_FETCH,
	READER_ANSWER,
	READER_LETTERED,
	READER_GO_ON,
	READER_UNLISTED,
	READER_DROP,
};
struct reader_command {
	enum reader_command_type type;
	bool stored;      /* LETTERED */
	bool stream_gone; /* UNLISTED */
	union {
		struct lane *lane;
		struct lane_delivery *delivery;
		struct letter *letter;
	};
};

/* What waits for its time: a delivery to be sent again, a letter to be stored again. */
struct reader_wait {
	int64_t at_ms;
	struct lane *lane;
	uint32_t slot;         /* LETTER_PAGE with a letter */
	struct letter *letter; /* NULL: the slot's page goes again */
};

struct reader {
	struct reader_settings settings;
	pthread_t thread;
	struct loop *loop;
	struct aws_client *client;
	struct queue *commands;
	_Atomic uint32_t drops;  /* commands; no more than their part of the queue */
	struct batch *spare;     /* of an empty page, for the next page; may be NULL */
	uint32_t fetching;       /* fetches whose result was not told yet */
	uint32_t told;           /* results that the core was not woken for */
	struct loop_timer *tell; /* … but has to be */
	struct loop_timer *timer;
	struct reader_wait *waits; /* unordered; empty unless something fails */
	size_t wait_count, wait_capacity;
	struct rng rng;
	bool no_timestamps; /* the service does not know AT_TIMESTAMP */
	struct log_limit fetch_log, sink_log, letter_log;
};

void reader_tell_core(struct reader *r, struct core_event event);
void reader_wait(struct reader *r, struct reader_wait wait, int64_t delay_ms);

/* The page was added to the lane: letters first, then the sinks. */
void hand_page(struct reader *r, struct lane *l);
void hand_answer(struct reader *r, struct lane_delivery *d);
void hand_again(struct reader *r, struct lane *l, uint32_t slot);
void hand_lettered(struct reader *r, struct letter *letter, bool stored);
