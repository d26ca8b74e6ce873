#pragma once
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/rng.h"
#include "tests/emulator/allowance.h"
#include "tests/emulator/fault.h"
#include "tests/emulator/generate.h"
#include "tests/emulator/shard.h"
#include "tests/emulator/spec.h"

/* All that the emulator pretends: tables, their streams, the lineage of the shards, a clock that
 * can be moved, the faults on order, the counters. Who calls anything here holds `lock`; a request
 * is answered under it, only a firehose's pages are made outside. Nothing is freed before the
 * world. */

#define WORLD_REGION  "eu-west-1"
#define WORLD_ACCOUNT "123456789012"
#define ARN_SIZE      400
#define RETENTION_MS  ((int64_t)24 * 3600 * 1000)
#define SHARD_LIMIT   200000 /* of one stream */

struct table;
struct export;
struct stream {
	struct table *table;
	char arn[ARN_SIZE], label[32];
	enum view view;
	bool disabled;
	int64_t created_ms, disabled_ms;
	int64_t last_shard_ms; /* shard ids carry a time and sort by it */
	struct shard **shards; /* by number, which is the order of their ids */
	size_t shard_count, shard_capacity;
	struct shard **roots;
	size_t root_count;
	struct generator generator;
	struct allowance describes;
	struct heap turns; /* when a shard's time is up, by its number */
	struct firehose *firehose;
};

struct table {
	struct world *world;
	struct table_spec spec;
	int64_t created_ms;
	bool deleted;            /* another one may have its name; its streams stay readable */
	struct stream **streams; /* oldest first */
	size_t stream_count;
	json_t *items;                 /* put by hand: key text → item */
	json_t *counters;              /* how often each of them changed */
	struct item_version *versions; /* what each of these changes left behind */
	size_t version_count;
	int64_t recovery_since_ms; /* point-in-time recovery is on since then; 0: off */
	int64_t recovery_days;
};

struct item_version {
	int64_t at_ms;
	char *key;
	json_t *keys, *item; /* item NULL: deleted */
};

#define OPERATIONS_MAX 16
struct operation_count {
	uint64_t calls, bytes;
	json_t *errors; /* code → count; made with the first */
};

struct world {
	pthread_mutex_t lock; /* requests come on several threads */
	struct clock clock;   /* its AWS time is the emulated one */
	_Atomic int64_t date_offset_ms;
	int64_t jumped_ms; /* where the last jump of the emulated time ended */
	struct table **tables;
	size_t table_count;
	struct fault_list faults;
	struct rng rng;
	struct operation_count operations[OPERATIONS_MAX];
	struct rush describes;   /* DescribeStream of any stream */
	struct export **exports; /* oldest first; exporter.h */
	size_t export_count;
	_Atomic uint64_t connections, connections_open, handshakes, requests;
};

void world_init(struct world *w, uint64_t seed);
void world_release(struct world *w);
static inline int64_t world_now_ms(const struct world *w)
{
	return clock_aws_ms(&w->clock);
}
/* What the Date header says: the wall clock, moved apart from the emulated time. */
static inline int64_t world_date_ms(const struct world *w)
{
	return w->clock.wall_ms(&w->clock) + w->date_offset_ms;
}
/* Ages everything: iterators, records (those older than 24 h are trimmed), shards. */
void world_advance(struct world *w, int64_t ms);

/* ERROR_INVALID where the table exists. */
bool world_add_table(struct world *w, const struct table_spec *spec, struct error *err) MUST_CHECK;
struct table *world_table(struct world *w, const char *name);   /* or its ARN; NULL: none */
struct table *world_table_of(struct world *w, const char *arn); /* that an ARN is about; NULL */
struct stream *world_stream(struct world *w, const char *arn);
struct stream *
table_stream(const struct table *t); /* the latest, perhaps disabled; NULL: never one */
void table_arn(const struct table *t, char out[ARN_SIZE]);
/* A new stream with a new ARN; its shards go on with the keys of the last one's leaves. */
void table_enable(struct table *t, enum view view);
void table_disable(struct table *t);
void table_delete(struct table *t);

bool stream_enabling(const struct stream *s);                       /* no shard is listed yet */
struct shard *stream_shard(const struct stream *s, const char *id); /* NULL: not there (any more) */
/* The number of the first listed shard whose id is > `after` ("" for the first). */
size_t stream_after(const struct stream *s, const char *after);
/* Closes the shard and gives it `fanout` children (0: a leaf for good) that generate `records`
 * each, or what the parent had not made yet. */
#define RECORDS_LEFT UINT64_MAX
bool shard_divide(struct shard *s, int64_t at_ms, size_t fanout, uint64_t records,
		  struct error *err) MUST_CHECK;
/* Divides the shards whose time was up by now (rotate_ms, split_ms). */
void world_turn(struct world *w);
void shard_trim(struct shard *s, uint64_t before);
/* Where an item put by hand goes: by its key's hash down the lineage. NULL: closed without child.
 */
struct shard *stream_route(const struct stream *s, const char *key);
