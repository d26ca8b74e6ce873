#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "tests/emulator/allowance.h"
#include "tests/emulator/generate.h"

/* One shard: a run of records numbered 0, 1, …, each with a sequence number and a time, of which
 * the oldest may be trimmed. Records are generated when they are read, or were put by hand; nothing
 * that is generated is kept. Pure: times come from the caller (AWS time, epoch ms). */

typedef unsigned __int128 sequence_number;
#define SHARD_ID_SIZE       66
#define SHARD_SEQUENCE_SIZE 41
#define SHARD_CHILDREN_MAX  8

/* From record `from` on (of the generated ones) they were made at at_ms, at_ms + each_ms, … */
struct shard_pace {
	uint64_t from;
	int64_t at_ms;
	double each_ms;
};

struct shard_put {
	uint64_t index;
	int64_t created_ms;
	char *json; /* a whole record; owned */
	size_t size;
};

struct firehose;
struct shard {
	char id[SHARD_ID_SIZE];
	struct stream *stream;
	struct shard *parent; /* NULL: a root */
	struct shard *children[SHARD_CHILDREN_MAX];
	size_t child_count;
	unsigned depth;
	uint32_t number;    /* in its stream */
	int64_t created_ms; /* what its id says; ids of one moment differ by milliseconds */
	int64_t born_ms, closed_ms;
	bool closed, gone; /* gone: left the listing, its data with it */
	sequence_number first;
	uint32_t step;
	/* Generated records go round pairs of keys: three records a pair, one key twice, the other
	 * once, by turns. `base` is each key's change number before this shard. */
	uint32_t *pairs;
	uint64_t *base; /* two a pair */
	uint32_t pair_count;
	uint64_t total; /* generated, once all are due */
	struct shard_pace *paces;
	size_t pace_count;
	struct shard_put *puts;
	size_t put_count, put_capacity;
	uint64_t trimmed;
	const struct firehose *firehose; /* its records instead, `total` pages of them */
	/* What was asked of it. */
	uint64_t calls, records_served;
	uint32_t readers, readers_most;
	struct allowance allowance;         /* of GetRecords */
	int64_t first_read_ms, end_read_ms; /* boot time: its first GetRecords was asked, its end
					       was told; 0: not yet */
};

void shard_release(struct shard *s);
/* Records that exist at `now_ms`. */
uint64_t shard_count(const struct shard *s, int64_t now_ms);
/* Records made from now on have this pace; each_ms 0: all that are left are there at once. */
void shard_pace(struct shard *s, int64_t now_ms, double each_ms);
/* The clock jumped: what was produced stays where it was, production goes on from `to_ms`. */
void shard_jump(struct shard *s, int64_t from_ms, int64_t to_ms);
/* No more records; children, if any, begin behind shard_end. */
void shard_close(struct shard *s, int64_t now_ms);
void shard_put(struct shard *s, int64_t now_ms, int64_t created_ms, const char *json, size_t size);

sequence_number shard_sequence(const struct shard *s, uint64_t index);
sequence_number shard_end(const struct shard *s); /* closed only: the EndingSequenceNumber */
char *sequence_number_text(sequence_number n, char out[SHARD_SEQUENCE_SIZE]);
/* Digits only, 1 to 40 of them; more than 38 significant ones count as the largest. */
bool sequence_number_parse(struct str text, sequence_number *out);
/* The first record whose number is >= n, or the count where there is none. */
uint64_t shard_find(const struct shard *s, sequence_number n, uint64_t count);
uint64_t shard_find_time(const struct shard *s, int64_t time_ms, uint64_t count);
/* The same, of those that are trimmed, too. */
uint64_t shard_find_past(const struct shard *s, int64_t time_ms, uint64_t count);
int64_t shard_created_ms(const struct shard *s, uint64_t index);

/* Which generated record this is of which key; false for one that was put. */
bool shard_change(const struct shard *s, uint64_t index, uint64_t *key, uint64_t *n);
/* Adds the record's JSON (not of a firehose) and returns its accounted size. */
size_t shard_record(struct buf *out, const struct shard *s, const struct generator *g,
		    uint64_t index, const char *region);
/* Each key's change number after the generated ones of the first `count` records; ends[2 ·
 * pair_count]. */
void shard_counters(const struct shard *s, uint64_t count, uint64_t *ends);
