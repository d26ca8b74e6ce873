#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/discover.h"
#include "consumer/quota.h"

/* Pure: which DescribeStream call comes next, of all streams together, and what its answer means.
 *
 * The children of a closed shard are asked for by CHILD_SHARDS, again after short waits where there
 * are none yet. Where more shards have ended than the quota lets ask for, those of one stream share
 * a tail: the listing read on from a shard behind which all that is new must stand, as pages come
 * in the order of ids and an id begins with the time of creation. A tail brings news; that there is
 * none proves nothing, since any answer may be stale. Only a complete listing, begun after the
 * search was given up, ends it without children.
 *
 * Priorities: tails that shards wait for, children, complete listings that somebody waits for, and
 * last the net: from time to time the lister of a stream reads its tail, and more rarely, the
 * rarer the longer it is, the complete listing. Each leaves calls to those before it.
 *
 * Times are CLOCK_BOOTTIME in ms, aws_ms AWS's time. */
struct search;

struct search_settings {
	discover_fn *found;
	discover_done_fn *done;
	/* A call failed (it will be made again), or a listing had no end. */
	void (*failed)(void *arg, uint32_t stream, const struct error *err);
	discover_gone_fn *gone;
	void *arg;
	uint64_t seed;
};

struct search *search_new(const struct search_settings *settings);
/* No call may be out. */
void search_free(struct search *s);
void search_add(struct search *s, uint32_t stream);
/* Calls that are out may still be answered. */
void search_remove(struct search *s, uint32_t stream);
void search_set_lister(struct search *s, uint32_t stream, bool lister, int64_t now_ms);
/* A complete listing that begins at at_ms or later. */
void search_list(struct search *s, uint32_t stream, int64_t at_ms);
void search_children(struct search *s, uint32_t stream, const char *parent, int64_t now_ms);

/* A call that is to be made, then answered exactly once. The texts are valid until the next call of
 * a function of this file. */
struct search_call;
struct search_ask {
	struct search_call *call;
	uint32_t stream;
	const char *after;  /* "": from the start */
	const char *parent; /* NULL: a page of the listing */
};
/* False where there is none to be made now; search_wake_ms then says when to ask again. */
bool search_next(struct search *s, int64_t now_ms, int64_t aws_ms, struct search_ask *ask);
/* `d` where err's kind is NONE. Calls back. */
void search_answer(struct search *s, struct search_call *call, const struct error *err,
		   const struct streams_description *d, int64_t now_ms);
/* INT64_MAX: only when something happens. */
int64_t search_wake_ms(const struct search *s, int64_t now_ms);
