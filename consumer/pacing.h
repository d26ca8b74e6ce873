#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

/* Pure: when a shard is asked again, who of those that are due comes first, and how many calls a
 * stream may make.
 *
 * A shard is asked at once while it gives records; backing off from `min` towards `max` while it is
 * empty; slower when it throttles; with jitter. Where not all that are due can be asked (a budget,
 * a throttled stream, no memory, no connection), those that are behind come first, then those that
 * had records lately, then the idle ones and data files; yet of any four calls one is for these, if
 * some wait.
 * So nobody starves: of N idle shards each is asked within 4·N calls. */
struct pacing_limits {
	int64_t min_ms, max_ms;
	int64_t budget; /* calls a second for the whole stream, all its workers; 0: no limit */
};

enum pacing_class { PACING_BEHIND, PACING_WARM, PACING_IDLE, PACING_CLASSES };

struct pacing {
	uint8_t empties;  /* in a row */
	uint8_t failures; /* in a row: faults and throttles */
	bool behind;
	bool bulk;                       /* a file: it has time, and counts as idle */
	uint8_t called_in, throttled_in; /* second of the brake; 0: never */
};

enum pacing_result { PACING_RECORDS, PACING_EMPTY, PACING_THROTTLED, PACING_FAILED };

/* How long to wait (ms, 0: not at all) after this result. */
int64_t pacing_after(struct pacing *p, const struct pacing_limits *limits,
		     enum pacing_result result, struct rng *rng);

/* A page with records, as far as it tells how far its reader is. */
struct pacing_page {
	size_t records, limit; /* limit: that was asked for; 0: unknown */
	size_t bytes;          /* of the body */
	int64_t age_ms;        /* of its newest record, by AWS's clock */
};
/* Behind is who has more to read than what just came: the page was full, or its newest record is
 * older than an idle shard's pause explains. */
void pacing_page(struct pacing *p, const struct pacing_limits *limits,
		 const struct pacing_page *page);
enum pacing_class pacing_class(const struct pacing *p);

/* --- turns --- */

/* Whose turn it is among classes that wait (a bit each, at least one). */
struct pacing_turns {
	uint8_t passed[PACING_CLASSES]; /* calls since its last, while it waited */
};
enum pacing_class pacing_turn(const struct pacing_turns *t, unsigned waiting);
void pacing_turn_taken(struct pacing_turns *t, unsigned waiting, enum pacing_class taken);

/* --- calls a second --- */

/* A bucket that holds one second's worth, and one call at least. Rates are thousandths of a call a
 * second; 0 is no limit. */
struct pacing_bucket {
	int64_t tokens; /* millionths of a call; below 0: in debt */
	int64_t at_ms;
};
/* How long until there is a call (0: now). */
int64_t pacing_wait_ms(struct pacing_bucket *b, int64_t rate_milli, int64_t now_ms);
/* Takes the call that there is. */
void pacing_take(struct pacing_bucket *b, int64_t rate_milli);

/* What one worker may take of a stream's budget: the part that its shards are of all shards that
 * are held, and never nothing. In thousandths; 0: no limit. */
int64_t pacing_share_milli(int64_t budget, uint64_t own, uint64_t all);

/* --- the brake --- */

/* Slows a whole stream down after a second in which many of its shards were throttled: to half of
 * the calls that it made in it. Each second without that gives a tenth of those calls back, until
 * twice as many are allowed; then it lets go. */
struct pacing_brake {
	int64_t rate_milli; /* 0: it is off */
	int64_t from_milli; /* the calls a second that were too many */
	/* The second under way. Shards are counted once, so that a few that have too many readers
	 * do not slow down the rest. */
	int64_t since_ms;
	uint8_t second; /* its number: 1 to 255, around and around; 0: none yet */
	bool held;      /* its answers are of calls made before it braked */
	uint32_t calls, called, throttled;
};
/* Moves on to the second of `now_ms`: before any of the others. True where it brakes, because of
 * the second that is over. */
bool pacing_brake_turn(struct pacing_brake *b, int64_t now_ms);
void pacing_brake_call(struct pacing_brake *b, struct pacing *p);
void pacing_brake_throttled(struct pacing_brake *b, struct pacing *p);
/* The stream's limit: the brake's or the share of the budget, whichever is less. */
int64_t pacing_limit_milli(const struct pacing_brake *b, int64_t share_milli);
