#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/health.h"
#include "base/metrics.h"
#include "checkpoint/store.h"
#include "consumer/letter.h"

/* The thread that talks to the store while a session runs: beats, saves, new lanes, dead letters.
 * What the database's absence leaves undone is tried again with jitter until it is done; a store
 * that says FENCED ends the session. Callbacks come from its thread. */
struct saver;

/* New lanes of one stream, asked for by the worker and given back with their ids. */
struct saver_lanes {
	int64_t stream; /* the store's */
	int64_t epoch;
	bool own; /* store_lanes_add */
	struct store_lane *lanes;
	size_t count;
	const int32_t *sinks;
	size_t sink_count;
	bool ok; /* false: refused; `error` says why */
	struct error error;
	void *arg; /* the worker's */
};

/* What the store knows of a stream's shards beyond a lane, asked for by the worker. */
struct saver_shards {
	int64_t stream; /* the store's */
	int64_t after;
	int64_t tidy_before_ms; /* store_tidy, first, and maybe in vain */
	struct saver_shard {
		int64_t lane;
		char shard[STORE_SHARD_SIZE], parent[STORE_SHARD_SIZE];
	} * found;
	size_t count, capacity;
	bool ok;
	struct error error;
	void *arg; /* the worker's */
};
void saver_shards_free(struct saver_shards *job);

/* Anything else that has to be done with the store, asked for by the worker and given back. */
struct saver_task {
	/* On the saver's thread; again after an error that passes. */
	bool (*work)(struct saver_task *task, struct store *store, struct error *err);
	bool ok;
	struct error error;
};

struct saver_settings {
	struct store *store; /* the saver's until saver_stop */
	const char *session;
	int64_t lease_ms;
	int64_t beat_from_ms; /* boot time before the last beat before the start */
	int64_t letters_max_bytes;
	uint32_t jobs_max;
	const struct clock *clock;
	struct metrics *metrics;
	struct health *health;
	uint64_t seed;
	/* Kept by the saver, read by whoever emits: boot time from which nothing new may leave, as
	 * no beat was answered for most of a lease. It holds while a call to the store hangs, too.
	 */
	_Atomic int64_t *emit_until_ms;
	/* Is everything alive that the lease stands for? Else the beat is left out. */
	bool (*alive)(void *arg);
	void (*saved)(void *arg);
	void (*lanes_added)(void *arg, struct saver_lanes *job);
	void (*shards)(void *arg, struct saver_shards *job);
	void (*worked)(void *arg, struct saver_task *task);
	void (*lettered)(void *arg, struct letter *l, bool stored);
	/* The session is over: declared dead, or a save was refused. Once. */
	void (*lost)(void *arg, const struct error *err);
	void *arg;
};

struct saver *saver_start(const struct saver_settings *settings);
/* Ends after the call under way; what is still queued is given back undone. Frees. */
void saver_stop(struct saver *s);
/* Any thread: boot time when its loop last turned, also while it waits for the store to come back.
 * A call to the store that is under way is no turn. */
int64_t saver_turned_ms(const struct saver *s);
/* From any thread; what is given stays the caller's and untouched until its callback. */
void saver_save(struct saver *s, const struct store_save *save);
void saver_lanes(struct saver *s, struct saver_lanes *job);
void saver_shards(struct saver *s, struct saver_shards *job);
void saver_work(struct saver *s, struct saver_task *task);
void saver_letter(struct saver *s, struct letter *l); /* takes it until `lettered` */
