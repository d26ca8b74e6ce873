#pragma once
#include "base/rng.h"
#include "consumer/search.h"

/* Between search.c (which call comes next) and search_answer.c (what an answer means). */

/* AWS's own adapter asks up to 10 times, 50 ms · 2^n up to 1 s (aws-semantics, 1.3). */
#define CHILD_TRIES   10
#define CHILD_BASE_MS 50
#define CHILD_MAX_MS  1000
#define RETRY_BASE_MS 200
#define RETRY_MAX_MS  10000

/* A closed shard whose children are looked for. */
enum search_state {
	SEARCH_WAITING, /* until due_ms */
	SEARCH_ASKED,   /* CHILD_SHARDS is out */
	SEARCH_SHARED,  /* a tail runs that began since */
	SEARCH_LAST,    /* a complete listing decides … */
	SEARCH_LISTED,  /* … and runs */
};
struct search_parent {
	struct search_parent *next, **place;
	enum search_state state;
	unsigned tries;
	int64_t due_ms;
	char id[STREAMS_SHARD_MAX + 1];
};

struct search_listing {
	bool running, out;     /* out: its next page is asked for */
	bool urgent;           /* somebody waits for it */
	int64_t not_before_ms; /* after a failure */
	unsigned failures;     /* in a row */
	unsigned pages;        /* of this one, then of the last one */
	int64_t begun_aws_ms;
	char start[STREAMS_SHARD_MAX + 1], after[STREAMS_SHARD_MAX + 1];
	struct streams_shard *shards;
	size_t count, capacity;
};

struct search_stream {
	uint32_t number;
	bool lister;
	bool asked; /* a complete listing is, from asked_ms on */
	int64_t asked_ms;
	unsigned empties;             /* complete listings without a shard, in a row */
	int64_t turn_ms, complete_ms; /* the net: next turn, and when it is a complete one */
	struct search_listing complete, tail;
	/* All between these two, but for what is listed late, was given. "": not known. */
	char from[STREAMS_SHARD_MAX + 1], anchor[STREAMS_SHARD_MAX + 1];
	bool from_start; /* `from` is before the first shard */
	bool unsorted;   /* this service's listings have another order: no tails */
	struct search_parent *parents, **parents_end;
};

struct search_call {
	struct search_call *next;
	struct search_stream *stream; /* NULL: removed meanwhile */
	struct search_parent *parent; /* NULL: a page of … */
	struct search_listing *listing;
	unsigned place; /* in the quota */
};

struct search {
	struct search_settings settings;
	struct quota quota;
	struct rng rng;
	struct search_stream **streams; /* by number; NULL: there is none */
	uint32_t stream_count;
	uint32_t turn; /* streams take turns */
	struct search_call *calls;
	unsigned filter_refusals; /* CHILD_SHARDS, in a row */
	bool no_filter;           /* the service does not know CHILD_SHARDS */
};

/* When the lister comes back to the stream, after now. */
void search_plan_turn(struct search *s, struct search_stream *st, int64_t now_ms);
void search_plan_complete(struct search *s, struct search_stream *st, int64_t now_ms);
void search_listing_end(struct search_listing *l);
void search_parent_free(struct search_stream *st, struct search_parent *p);
