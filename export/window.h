#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Which windows of incremental exports are asked for, so that nothing between two of them is lost:
 * contiguous, in whole seconds, of 15 minutes to 24 hours. Pure. Times are epoch ms of AWS's clock.
 *
 * An export's cut is fuzzy by a minute, and an item that is born and deleted inside one window
 * leaves no line in it. So the first window behind a cut T (of a full export, or of a position in
 * the stream) is as short as AWS allows and ends just behind the cut: [T - 13 min, T + 2 min). */
struct window {
	int64_t from_ms, to_ms; /* from_ms is inside, to_ms is not */
};

#define WINDOW_MINUTE_MS     ((int64_t)60 * 1000)
#define WINDOW_HOUR_MS       (60 * WINDOW_MINUTE_MS)
#define WINDOW_SHORTEST_MS   (15 * WINDOW_MINUTE_MS) /* AWS's limits */
#define WINDOW_LONGEST_MS    (24 * WINDOW_HOUR_MS)
#define WINDOW_BEFORE_CUT_MS (13 * WINDOW_MINUTE_MS)
#define WINDOW_AFTER_CUT_MS  (2 * WINDOW_MINUTE_MS)
/* A stream that is joined to an export begins so long before the export's cut. */
#define WINDOW_STREAM_OVERLAP_MS (5 * WINDOW_MINUTE_MS)
/* The stream is started once the last window's end is younger than this … */
#define WINDOW_NEAR_MS (6 * WINDOW_HOUR_MS)
/* … and straight behind a full export where that took no longer than this. */
#define WINDOW_DIRECT_MS (20 * WINDOW_HOUR_MS)

/* The first window behind a full export at t_ms. Its export can be had once PITR reaches back to
 * window.from_ms: t_ms has to be window_cut_earliest(EarliestRestorableDateTime) or later. */
struct window window_first(int64_t t_ms);
int64_t window_cut_earliest(int64_t earliest_ms);
/* The one behind a window that ended at end_ms; length_ms within AWS's limits. */
struct window window_next(int64_t end_ms, int64_t length_ms);
/* How many of these are due: those that end at latest_ms (LatestRestorableDateTime) or before. */
int64_t window_behind(int64_t end_ms, int64_t length_ms, int64_t latest_ms);

/* What may become of a window's export now. */
enum window_state {
	WINDOW_READY,
	WINDOW_EARLY, /* LatestRestorableDateTime has not reached its end: later */
	WINDOW_LOST,  /* PITR was off: what happened from its start to earliest_ms is gone for good
		       */
};
enum window_state window_state(const struct window *w, int64_t earliest_ms, int64_t latest_ms);
/* The error of a WINDOW_LOST for people: the gap by name, and what cures it. Returns false. */
bool window_lost(const struct window *w, int64_t earliest_ms, const char *table, struct error *err);

/* Windows that are loaded in order; those that are planned together are submitted together. A plan
 * is all zero before its first window. */
struct window_plan {
	struct window *windows; /* contiguous, oldest first */
	size_t count;
};
void window_plan_release(struct window_plan *p);
/* A window of a plan that was made before and stored: it begins where the last one ends. */
void window_plan_add(struct window_plan *p, const struct window *w);
/* The end of the last one. The stream goes on at this less WINDOW_STREAM_OVERLAP_MS. */
int64_t window_plan_end(const struct window_plan *p);

/* Behind a full export at t_ms, up to latest_ms (at least t_ms + 2 min). */
void window_plan_baseline(struct window_plan *p, int64_t t_ms, int64_t latest_ms);
/* One round more, from the plan's end up to latest_ms; nothing where that is less than the shortest
 * window behind. */
void window_plan_more(struct window_plan *p, int64_t latest_ms);
/* Closes a gap: `positions_ms` (any order) are where shards stood that the stream is not read on
 * from there, but from the plan's end. A cut 2 min behind each of them that lies before that, at
 * least 15 min apart; then up to end_ms, or as far behind it as the last window needs to be long
 * enough. Goes on with a plan that has windows already; of a new one count > 0. */
void window_plan_repair(struct window_plan *p, const int64_t *positions_ms, size_t count,
			int64_t end_ms);
/* Whether the exports of this plan and the stream behind it may not give back the delete of an item
 * that was born at born_ms and deleted at deleted_ms, in a shard that was delivered up to
 * position_ms (or by a full export of that T, `fuzzy_position`): its birth was delivered, both
 * moments lie in one window, and the stream begins later. Exports' cuts may be off by fuzz_ms. */
bool window_plan_misses(const struct window_plan *p, int64_t position_ms, bool fuzzy_position,
			int64_t born_ms, int64_t deleted_ms, int64_t fuzz_ms);

/* Whether rounds of windows ever come near enough to the present. */
struct window_pace {
	int64_t covered_ms; /* so much of the table's history */
	int64_t load_ms;    /* took so long to load, or will at this rate */
	int64_t fixed_ms;   /* what a round takes before its load begins */
};
struct window_forecast {
	bool arrives;
	double ratio;       /* load_ms for each ms of history */
	unsigned rounds;    /* until the end is younger than WINDOW_NEAR_MS, */
	int64_t took_ms;    /* and how long they take together */
	int64_t settles_ms; /* the age that the end cannot come below; INT64_MAX: it grows */
};
/* For an end that is age_ms old now. */
struct window_forecast window_forecast(const struct window_pace *pace, int64_t age_ms);
/* "loading an hour of changes takes 54 minutes, …": the numbers, and what can be done where it does
 * not arrive. Returns out. */
#define WINDOW_FORECAST_TEXT_SIZE 320
char *window_forecast_text(const struct window_forecast *f, char out[WINDOW_FORECAST_TEXT_SIZE]);

/* Names one attempt at one export: the same request has the same token, so that AWS starts it once,
 * whoever asks and how often; another attempt, or a request that differs in anything, has another.
 */
struct window_request {
	const char *table_arn;
	const char *bucket;
	const char *prefix;   /* with all that is asked of AWS, as it is asked */
	const char *view;     /* "" for a full export */
	struct window window; /* a full export's begins at 0 and ends at its T */
	unsigned attempt;
};
#define WINDOW_TOKEN_SIZE 48
char *window_token(const struct window_request *r, char out[WINDOW_TOKEN_SIZE]);
