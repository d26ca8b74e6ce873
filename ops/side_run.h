#pragma once
#include <stdio.h>

#include "checkpoint/sides.h"
#include "config/config.h"
#include "ops/operator.h"
#include "ops/replay_plan.h"

/* A stream is read once more, into a sink that it does not have: by this process, which is a worker
 * for that alone, up to a time. The stream itself is left as it is. In the store it is a side run
 * (checkpoint/sides.h): whoever dies in between says the same again, which goes on with it. */
struct side_run {
	const struct config *config;
	const char *into, *from, *to; /* as they were said; `to` NULL: up to now */
	const struct operator_streams *streams;
	const struct store_stream *source; /* the one of these that is read */
	int64_t start_ms, until_ms, now_ms;
	bool placed; /* it begins at `plan`, whose places were last read at read_at_ms */
	struct replay_plan plan;
	int64_t read_at_ms;
	const char *shard; /* with what descends from it: it alone is read; NULL: all are */
	/* Found by side_run_look. */
	const struct config_sink *sink;
	const struct config_stream *entry; /* the configuration's, of the source */
	char name[2 * STORE_NAME_MAX];     /* of the stream that it is read as */
	char said[STORE_NAME_MAX + 1];     /* what was asked for */
	struct store_side known;           /* the one that the store has; stream 0: none */
	char known_said[STORE_NAME_MAX + 1], known_who[STORE_NAME_MAX + 1];
};

/* The configuration's sink of that name; NULL: none. */
const struct config_sink *side_run_sink(const struct config *c, const char *name);
/* Where the plan goes: what the sink writes must not come between. */
FILE *side_run_out(const struct side_run *r);
/* May it be? REFUSED or INVALID: the message says what to do. */
bool side_run_look(struct side_run *r, struct store *s, struct error *err) MUST_CHECK;
/* The store has one that was asked for in the same words: it goes on, whatever the plan says. */
bool side_run_goes_on(const struct side_run *r);
void side_run_show(const struct side_run *r);
/* The one that the store has into `into`, of any of `streams`, to be dropped. NOT_FOUND: none. */
bool side_run_find(struct side_run *r, struct store *s, struct error *err) MUST_CHECK;
void side_run_show_drop(const struct side_run *r);
/* Ends it where it is, with what its processes left under way. REFUSED while one reads it. */
bool side_run_drop(struct side_run *r, struct error *err) MUST_CHECK;
/* Begins it and reads to its end; returns the exit code. What went wrong is said. */
int side_run_run(struct side_run *r);
