#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/sequence.h"

/* Pure: how far one sink has one lane, and what of that may be saved.
 *
 * A sink answers the pages of a lane in order. What it answers is either settled at once (durable,
 * or nothing of the page was for this sink) or part of a roll, which becomes durable only when the
 * roll's blob and the position are saved together. At most two rolls are unsaved: the one being
 * prepared and the next one. A settled page behind an unsaved roll is never saved past it; it
 * extends the last roll's range instead.
 *
 * A roll may also be a transaction, which the sink commits after its blob is saved: then the blob
 * is saved with the place that it leads to, as pending, and the position moves with a later save,
 * once it is known that the transaction was committed. */
#define FRONTIER_ROLLS 2
struct frontier {
	struct sequence saved; /* what the store has */
	int64_t saved_ms;      /* its time */
	struct sequence end;   /* last record answered; >= saved */
	int64_t end_ms;        /* its time */
	struct {
		uint64_t number;
		struct sequence end;
		int64_t end_ms;
	} rolls[FRONTIER_ROLLS]; /* oldest first */
	uint8_t roll_count;
	uint64_t newest_roll; /* that took something of the lane; 0: none did */
	bool closed;          /* the lane ends at `end`: nothing more will be answered */
	bool done;            /* the store knows that, too */
};

struct frontier_move {
	struct sequence from, to;
	int64_t event_ms;
	bool done;
};

void frontier_start(struct frontier *f, const struct sequence *saved, int64_t event_ms, bool done);
/* A page was answered up to `end`, all of it settled (roll 0) or held in `roll`. */
void frontier_answer(struct frontier *f, const struct sequence *end, int64_t end_ms, uint64_t roll);
/* The last page of the lane was answered. */
void frontier_close(struct frontier *f);
/* What a save may move now. `roll`: the sink's prepared roll, saved with it; of transactions the
 * one that was committed; or 0. `may_end`: that the lane is closed may be saved, too. False:
 * nothing. */
bool frontier_move(const struct frontier *f, uint64_t roll, bool may_end,
		   struct frontier_move *move);
/* Where the lane will be once transaction `roll` is committed: `to`, event_ms. The next one takes
 * nothing before that. False: it has nothing of the lane. */
bool frontier_pending(const struct frontier *f, uint64_t roll, struct frontier_move *move);
/* That move is in the store. */
void frontier_saved(struct frontier *f, uint64_t roll, const struct frontier_move *move);
/* Everything that was answered is in the store. */
bool frontier_clean(const struct frontier *f);
/* Every roll that took something of the lane is visible; `finished`: the sink's newest that is. */
bool frontier_visible(const struct frontier *f, uint64_t finished);
