#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "export/schedule.h"
#include "export/window.h"

/* Which export of a table is begun next, by its schedule and by what was begun before. Pure: who
 * asks with the same answers of the store and of AWS gets the same export, so that several workers
 * begin one. All times are epoch ms of AWS's clock.
 *
 * A full export of the scheduled minute T begins a generation, and with it a chain of windows: the
 * first is window_first(T), each later one begins where the one before it ends. Of several minutes
 * that were missed only the last one counts, and it counts before the first start, too, as far as
 * point-in-time recovery reaches back. Where nothing says that there will be a full export, the
 * first window begins at the last whole multiple of their length (since 1970, UTC). */
struct chain_rules {
	const struct schedule *full; /* NULL: by hand alone */
	const struct zone *zone;     /* of `full` */
	int64_t length_ms;           /* of windows; 0: none are begun by themselves */
};

/* What was begun, of the newest generation; all zero: nothing. */
struct chain {
	int64_t full_ms;    /* T of its full export; 0: it has none */
	int64_t end_ms;     /* of its last window; 0: none yet */
	bool open;          /* something of it is not complete: no window is begun behind that */
	bool full_open;     /* the full export is under way: neither complete nor failed */
	bool window_undone; /* the last window is not complete */
};

/* Point-in-time recovery, as AWS told it last. */
enum recovery_state { RECOVERY_UNKNOWN, RECOVERY_OFF, RECOVERY_ON };
struct recovery {
	enum recovery_state state;
	int64_t asked_ms;               /* when AWS said so */
	int64_t earliest_ms, latest_ms; /* ON: what can be exported */
};

enum chain_what {
	CHAIN_NOTHING,
	CHAIN_ASK, /* AWS has to be asked first: whether PITR is on, and how far it reaches */
	CHAIN_FULL,
	CHAIN_WINDOW,
};
struct chain_next {
	enum chain_what what;
	struct window window; /* to be begun; a full export's begins at 0 and ends at its T */
	int64_t look_at_ms;   /* NOTHING: unless the chain changes, not before; INT64_MAX: never */
	int64_t due_ms;       /* what is due and was not begun: since when; 0: nothing */
	int64_t left_out_ms;  /* a scheduled minute to which PITR does not reach back; 0: none */
};
struct chain_next chain_next(const struct chain_rules *r, const struct chain *c,
			     const struct recovery *pitr, int64_t now_ms);

/* Windows that are over (at latest_ms) and not complete. */
int64_t chain_behind(const struct chain_rules *r, const struct chain *c, int64_t latest_ms);

/* A full export by hand: T is this minute, or the first one at which the windows behind it can be
 * had. */
int64_t chain_full_now(const struct chain_rules *r, const struct recovery *pitr, int64_t now_ms);
/* A window by hand: the next one, of length_ms or shorter where less than that has passed.
 * ERROR_INVALID: there is none yet, and why. */
bool chain_window_now(const struct chain *c, int64_t length_ms, int64_t now_ms, struct window *out,
		      struct error *err) MUST_CHECK;
