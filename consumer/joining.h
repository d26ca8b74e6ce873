#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "checkpoint/exports.h"
#include "export/window.h"

/* Pure: how a stream is joined to exports of its table, step by step: a baseline, which is a full
 * export and windows behind it, or a repair, which is windows alone.
 *
 * What was done is in the store alone: the stream's hold, and its exports. So each step may be
 * repeated, by anyone, after a crash at any point; two workers that take the same step do it once.
 * A join happens under one hold and is one generation of the stream: its first export raises it, so
 * that what it loads comes before everything that the stream brings later, and behind everything
 * from before. It is over when its exports are published. All times are AWS time in epoch ms. */

/* A stream that is held for a baseline gets one, also where it was read before. */
enum joining_kind { JOINING_NONE, JOINING_BASELINE, JOINING_REPAIR };

/* The stream is on for so long before the time of its full export. */
#define JOINING_ENABLED_MS (2 * WINDOW_MINUTE_MS)
/* A repair's windows end so long after the moment at which nobody read the stream any more. */
#define JOINING_BEHIND_HOLD_MS (2 * WINDOW_MINUTE_MS)
/* So many repairs in this time; then a person is asked. */
#define JOINING_REPAIRS_MAX       2
#define JOINING_REPAIRS_WITHIN_MS (24 * WINDOW_HOUR_MS)

/* So long behind the place where a shard stood may deletes be among those that a repair cannot give
 * back: its cut lies 2 min behind it, or shares one at most 15 min later, by a clock that is off by
 * a minute. */
#define JOINING_MISSES_MS (WINDOW_AFTER_CUT_MS + WINDOW_SHORTEST_MS + WINDOW_MINUTE_MS)

struct joining_facts {
	int64_t now_ms;
	const char *table;
	/* The stream. */
	bool enabled;
	int64_t enabled_ms; /* since when */
	uint64_t generation;
	enum joining_kind hold;   /* what it is held for */
	uint64_t hold_generation; /* the stream's before that; 0: it was made held */
	bool paused;              /* it is held for something else */
	bool released;            /* no session has a lane of it, nor its burial to do */
	bool repair;              /* gaps are open that a repair closes, or a person asks for one */
	bool waits;               /* and nothing of the stream may be read while they are */
	/* Where lanes stand that are not done and wait for no parent, as joining_place_ms has it,
	 * and what a person wants to go back to; looked at for a repair alone. */
	const int64_t *places_ms;
	size_t place_count;
	/* Point-in-time recovery of the table. */
	bool pitr_known, pitr, may_enable_pitr;
	int64_t earliest_ms, latest_ms; /* what can be restored */
	/* Its exports of the kinds BASELINE and REPAIR, in the order in which they were begun. */
	const struct store_export *exports;
	size_t export_count;
};

enum joining_act {
	JOINING_NOTHING, /* the stream is to be read as it is */
	JOINING_WAIT,    /* for something to happen, at the latest until until_ms (0: no time) */
	JOINING_ENABLE_PITR, /* switch it on */
	JOINING_HOLD,        /* the stream, for a repair: so that all of it is released */
	JOINING_BEGIN,       /* these exports, in this order; all of it to be looked at again where
				one cannot be begun */
	JOINING_START,       /* reset the stream to start_ms, which closes its gaps, tell of the
				end, publish the exports, end the hold: in this order */
	JOINING_GO_ON,       /* end the hold: there is nothing to join (any more), or nothing can
				be: then `error` says why */
	JOINING_LEAVE,       /* of a join that is over, or was given up: give up what is not
				complete, publish the rest */
	JOINING_STOP,        /* `error` says why, and what a person has to do */
};

struct joining_step {
	enum joining_act act;
	enum joining_kind kind;
	int64_t until_ms;
	/* BEGIN, START, LEAVE. A generation one above the stream's raises it. */
	uint64_t generation;
	int64_t at_ms;          /* BEGIN: as which moment that counts */
	struct window *windows; /* a full export of T: { 0, T } */
	size_t count;
	int64_t start_ms;
	struct error error;
};

/* `step` is overwritten; to be released. */
void joining_next(const struct joining_facts *f, struct joining_step *step);
void joining_step_release(struct joining_step *step);

/* Whether the files of exports[at] may be loaded: everything before it in its generation is. */
bool joining_loads(const struct store_export *exports, size_t count, size_t at);

/* Where a lane stands: up to there it was delivered, and what comes behind it is younger. event_ms
 * is the time of the last record in the sink that is furthest behind, 0 before the first one;
 * start_ms the stream's start. 0: not known. */
int64_t joining_place_ms(const char *shard, int64_t event_ms, int64_t start_ms);

/* The join under way: its exports, and whether its windows ever come near the present, by how fast
 * those so far were loaded. */
struct joining_progress {
	enum joining_kind kind; /* NONE: none is under way */
	uint64_t generation;
	size_t exports, loaded;
	int64_t begun_ms;
	int64_t up_to_ms; /* what is loaded; 0: nothing yet */
	bool foreseen;
	struct window_forecast forecast;
};
void joining_progress(const struct joining_facts *f, struct joining_progress *out);
