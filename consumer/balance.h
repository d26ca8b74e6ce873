#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/store.h"

/* Pure: who takes what. Out of one round (what the store shows of the streams that this session
 * serves, and of the others that serve them) comes how many free lanes to claim, and whom to ask
 * for more.
 *
 * Everybody aims at the same share of the lanes, counted over all streams that it sees. Free lanes
 * are claimed up to the share at once. Where none is free, who is below asks the one who holds
 * most, and that one lets them go at the end of its open rolls (design, "Sessions"). What nobody
 * takes for some rounds, as others are at their limit, is taken beyond the share. */

#define BALANCE_PATIENCE                                                                           \
	3                 /* rounds in which lanes stay free before somebody goes over its share   \
			   */
#define BALANCE_MOVES 256 /* asked for in one round */

struct balance_round {
	const char *session; /* ours */
	uint32_t held_max;   /* worker.max_shards */
	const struct store_round_stream *streams;
	uint32_t stream_count;
	const struct store_round_member *members; /* a session's rows stand together */
	uint32_t member_count;
	uint32_t patience; /* rounds in a row before this one that left lanes free */
};

struct balance_plan {
	uint32_t *claims; /* by stream of the round: how many at most. The caller's memory */
	uint32_t share;   /* what each aims at, rounded up */
	/* 0: ask nobody. */
	uint32_t wish;
	char from[STORE_ID_SIZE];
	int64_t wish_stream;
};

void balance_decide(const struct balance_round *r, struct balance_plan *plan);

/* How much of a stream is ours: for what the workers share by it. Counted are the lanes that are
 * held, and those that are claimed now. */
struct balance_part {
	uint64_t own, all;
};
struct balance_part balance_part(const struct balance_round *r, const struct balance_plan *plan,
				 uint32_t stream);
