#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/rng.h"
#include "consumer/reader.h"

/* Between reader.c (the thread), reader_shard.c and reader_file.c (what is fetched), reader_page.c
 * (pages that were decoded) and hand.c (pages to sinks). */

enum reader_command_type {
	READER_FETCH,
	READER_ANSWER,
	READER_LETTERED,
	READER_GO_ON,
	READER_UNLISTED,
	READER_DROP,
	READER_HALT_FILES,
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
	bool no_timestamps;      /* the service does not know AT_TIMESTAMP */
	struct lane_file *files; /* that are open */
	struct log_limit fetch_log, sink_log, letter_log;
};

void reader_tell_core(struct reader *r, struct core_event event);
/* Of a fetch that gave nothing: nobody waits for that. */
void reader_tell_empty(struct reader *r, struct core_event event);
void reader_wait(struct reader *r, struct reader_wait wait, int64_t delay_ms);

/* reader_shard.c: the next page of a shard; one that stands at a gap, accepted, goes on. */
void reader_fetch_shard(struct reader *r, struct lane *l);
void reader_go_on_shard(struct lane *l);

/* reader_file.c: the next page of a data file. While it is open it may have two ranges of so many
 * bytes in memory, beside the pages. */
#define READER_RANGE_BYTES ((size_t)1 << 20)
void reader_fetch_file(struct reader *r, struct lane *l);
/* Nothing more is read of it, and why. A fetch that is out gives nothing. */
void reader_fail_file(struct reader *r, struct lane *l, const char *what, const char *why);
/* The same because of a row, with on_error: stop. */
void reader_stop_file(struct reader *r, struct lane *l, const char *what, const char *why);
/* All that are open; fetches that are out give nothing. */
void reader_shut_files(struct reader *r);
/* Before the lane or the reader goes. */
void reader_shut_file(struct reader *r, struct lane_file *f);

/* reader_page.c */
void lane_ill(struct reader *r, struct lane *l, const char *trouble);
void lane_well(struct reader *r, struct lane *l);
/* A batch for the lane's next page: it takes the answer's memory, which gets that of a page that
 * had nothing. */
struct batch *page_batch(struct reader *r, const struct lane *l, struct buf *answer);
/* The end of the page's first `count` records: the last one whose position could be read. False:
 * there is none. */
bool page_end(const struct lane *l, const struct batch *b, size_t count, struct core_event *e);
/* The decoded page becomes the lane's, the core is told of it with `e`, and the sinks get it. Takes
 * the batch. */
void page_deliver(struct reader *r, struct lane *l, struct batch *b, struct core_event *e);

/* The page was added to the lane: letters first, then the sinks. */
void hand_page(struct reader *r, struct lane *l);
void hand_answer(struct reader *r, struct lane_delivery *d);
void hand_again(struct reader *r, struct lane *l, uint32_t slot);
void hand_lettered(struct reader *r, struct letter *letter, bool stored);
