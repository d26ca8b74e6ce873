#pragma once
#include "checkpoint/exports.h"
#include "consumer/worker_internal.h"

/* Between worker_loads.c (which exports are loaded, and as what) and worker_files.c (their data
 * files: claimed, read, done or failed). All of it on the worker's thread, but for what a task
 * works on. */

/* A data file that this session has. */
enum worker_file_state {
	FILE_WAITS, /* for its turn to be read */
	FILE_READ,  /* it is: a lane of the core */
	FILE_OVER,  /* it was, or cannot be: its end or its failure is on its way into the store */
};
struct worker_file {
	struct worker_file *next;
	int64_t lane;   /* the store's */
	uint32_t index; /* of the core; CORE_NONE: it is not there */
	enum worker_file_state state;
	char name[STORE_SHARD_SIZE];
	char *location, *md5;
	uint64_t items;
	uint32_t retries;
	bool suspect; /* it failed before, and may have been mended */
	struct frontier_move at[CORE_SINKS_MAX];
};

/* An export that the store says is loading. On the heap, as lanes and their readers point into it.
 */
struct worker_load {
	struct worker_load *next;
	struct worker *worker;
	int64_t id;
	enum store_export_kind kind;
	char *table_arn, *name, *view;
	char table[256], account[16], region[64];
	int64_t to_ms;
	uint64_t generation, number;
	enum store_export_status status;
	bool seen;                                            /* in the last look */
	uint64_t files, files_done, files_failed, files_held; /* of all workers */
	int64_t counted_ms;                                   /* when files_held was looked at */
	/* Finding out what it is. */
	bool asking, hopeless;
	bool told;        /* that no configuration has it */
	int64_t since_ms; /* seen first */
	uint64_t moved;   /* files that were done or failed then */
	int64_t ask_at_ms;
	struct log_limit log;
	/* What the configuration says. */
	struct worker_uses uses;
	struct config_stream_sink only; /* of a load into one sink */
	uint32_t retries;
	char key_hash[256], key_range[256];
	/* Of a batch: its windows, the last of which it is. count 0: it is none. */
	struct merging_window *windows;
	size_t window_count;
	struct lane_batch batch;
	/* Open: its lanes may be in the core. */
	bool open;
	struct lane_stream lanes;
	struct worker_attached attached;
	/* Its files here, in the order of their claims. */
	struct worker_file *first, **last;
	uint32_t held, reading, waiting; /* held: all of them */
	uint32_t ramp; /* how many it may have before it has shown that they are small */
	uint32_t quick, quick_before; /* files read to their end since the last look; before it */
	bool claiming, dry;           /* dry: there was nothing to claim since the last look */
	/* The claim under way, or its result. */
	struct worker_file *claimed;
	struct taken *positions;
};

struct worker_loads {
	struct worker_load *first,
		*parted; /* parted: closed, their lanes are still at their readers */
	struct loop_timer *look, *pump;
	int64_t count_at_ms;
	bool looking, looked;
	bool greeting, greeted; /* AWS, where no stream does it */
	uint32_t reading, reading_max;
	uint32_t merging; /* ranges of batches among them: one at a time, as it takes memory */
	uint32_t failed;  /* files, for good, in this session */
	char failed_last[STORE_SHARD_SIZE];
	struct log_limit log;
	/* What a look found; the task's while `looking`. */
	struct worker_found {
		struct store_export e;
		char *table_arn, *name, *view;
		struct merging_window *windows;
		size_t window_count;
	} * found;
	size_t found_count, found_capacity;
};

/* worker_files.c */
/* At once, but not in the middle of a step: what waits is read, and where little is left more is
 * claimed. */
void worker_pump_later(struct worker *w);
loop_timer_fn worker_pump;
/* A look is over: what it did not have may be there now. */
void worker_files_look(struct worker *w, struct worker_load *l);
void worker_free_files(struct worker_load *l);
