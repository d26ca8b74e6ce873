#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "consumer/core.h"
#include "consumer/handover.h"
#include "consumer/lineage.h"

/* The whole service in one thread and virtual time. What is outside of the process (the stream, the
 * store, what the sinks hold for ever) is a world that outlives its crashes; the process is the
 * real core, lineage, frontiers and handovers with the thinnest glue. A seed names a run for ever.
 */

#define SHARDS_MAX  24
#define RECORDS_MAX 48
#define SINKS_MAX   3
#define KEYS        5
#define ROLL_MAX    4096 /* entries of one roll */
#define LOG_MAX     65536
#define EVENTS_MAX  1024

/* One record: its shard and index say everything else. */
struct ref {
	uint8_t shard, index;
};

struct shard {
	char id[STREAMS_SHARD_MAX + 1];
	int parent; /* -1: none */
	int count;  /* records it will have */
	int64_t opens_ms, closes_ms;
	int64_t listed_ms; /* when listings begin to show it */
	uint64_t first_sequence;
	uint8_t key[RECORDS_MAX];
	bool poison[RECORDS_MAX]; /* refused by the sink that is asked */
	bool trimmed;             /* gone before anybody read it */
	int listed_again;         /* how often it was reported as an orphan */
};

struct position {
	struct sequence sequence;
	bool done;
};

/* A row of the store. */
struct row {
	int shard;
	uint64_t owner; /* session; 0: free, or done */
	bool done;
	struct position at[SINKS_MAX];
};

/* What a sink holds for ever. */
struct sink_world {
	bool rolls;
	struct ref log[LOG_MAX];
	size_t log_count;
	bool seen[SHARDS_MAX][RECORDS_MAX];     /* is it in the log */
	bool lettered[SHARDS_MAX][RECORDS_MAX]; /* or filtered: it need not be there */
	/* of the roll that the store has and nobody may see yet */
	bool stored;
	uint64_t stored_number;
	struct ref stored_refs[ROLL_MAX];
	size_t stored_count;
};

struct store {
	struct row rows[SHARDS_MAX];
	int row_count;
	bool rooted;
	uint64_t session; /* the live one */
	uint64_t saves;   /* of the live session */
};

enum pending_type {
	PENDING_FETCH,
	PENDING_ANSWER,
	PENDING_RETRY,
	PENDING_LETTER,
	PENDING_SAVE,
	PENDING_LIST,
	PENDING_PREPARED,
	PENDING_FINISHED,
	PENDING_ROLL,    /* a sink's own wish to roll */
	PENDING_RELEASE, /* the store lets a lane go that has left */
	PENDING_CLAIM,   /* what is free is claimed */
	PENDING_DROP,    /* a lane that has ended */
};

/* Something that will happen. */
struct pending {
	int64_t at_ms;
	enum pending_type type;
	uint64_t session;
	uint32_t lane, sink;
	uint64_t roll;
	enum { OUTCOME_TAKEN, OUTCOME_FAILED, OUTCOME_REFUSED } outcome;
	size_t first;
	bool children_of_lane; /* LIST: because the lane closed */
	bool applied;          /* SAVE: the store has it, only the reply is under way */
};

struct page {
	int from, to; /* record indices [from, to) */
};

/* A lane of the process. */
struct sim_lane {
	bool used;
	int shard, row;
	int next; /* index of the next record to read */
	struct page pages[CORE_PAGES];
	uint64_t pages_read;
	struct handover handovers[SINKS_MAX];
	struct sequence have[SINKS_MAX];
};

struct open_roll {
	uint64_t number;
	uint64_t deliveries;
	struct ref refs[ROLL_MAX];
	size_t count;
};

struct process {
	struct core core;
	int64_t booted_ms, calls;
	struct lineage lineage;
	uint32_t lane_of[SHARDS_MAX];         /* by lineage index */
	struct sim_lane lanes[SHARDS_MAX];    /* by index of the core */
	struct open_roll open[SINKS_MAX];     /* takes what comes */
	struct open_roll prepared[SINKS_MAX]; /* count 0: none under way */
	bool unfinished[SINKS_MAX];           /* prepared and not yet finished */
	struct core_save save;                /* copy of the save in flight */
	struct core_move moves[SHARDS_MAX * SINKS_MAX];
	uint64_t save_number;
	bool drained;
};

struct world {
	struct rng rng;
	int64_t now_ms;
	struct shard shards[SHARDS_MAX];
	int shard_count;
	struct sink_world sinks[SINKS_MAX];
	uint32_t sink_count;
	bool stop_on_error, gaps, filters;
	bool rolls_when_asked; /* neither size nor age ever ends a roll */
	int64_t memory;
	struct store store;
	struct process *process;
	struct pending pending[EVENTS_MAX];
	size_t pending_count;
	uint64_t sessions;
	int crashes_left, stops_left, releases_left;
	uint64_t steps;
	int64_t most_charged;
};

/* world.c: what is there, and what must hold */
void world_make(struct world *w, uint64_t seed);
struct sequence world_sequence(const struct shard *s, int index);
int world_available(const struct world *w, const struct shard *s);
bool world_closed(const struct world *w, const struct shard *s);
bool world_covered(const struct world *w, uint32_t sink, int shard, int index);
void world_append(struct world *w, uint32_t sink, struct ref r);
/* The session's row of the shard, or -1. */
int world_row(const struct world *w, int shard);
/* It may be the session's: nobody has it, and what is before it is done or the session's own. */
bool world_claimable(const struct world *w, int row, uint64_t session);
/* What is done, or left a session, may be read on by anybody: it has to be in the sinks, visible.
 */
void world_check_visible(const struct world *w, int row);
/* As the store's contract has it; false: fenced. */
bool world_save(struct world *w, uint64_t session, const struct process *p);
bool world_stands(const struct world *w, int shard);
void world_check_end(const struct world *w);
uint64_t world_roll(struct world *w, uint64_t n);

/* process_lanes.c: how lanes come and go */
void process_claim(struct world *w);
void process_listed(struct world *w, const struct pending *list);
void process_release_some(struct world *w);
void process_released(struct world *w, uint32_t lane);
void process_drop(struct world *w, uint32_t lane);

/* process.c: the glue around the pure parts */
void process_feed(struct world *w, struct core_event e);
void process_boot(struct world *w);
void process_kill(struct world *w);
void process_happen(struct world *w, const struct pending *p);
void process_stop(struct world *w);
void process_tick(struct world *w);
bool process_done(const struct world *w);
void process_check_drained(const struct world *w);
void pend(struct world *w, struct pending p, int64_t delay_ms);
int64_t soon(struct world *w, int64_t most_ms);
