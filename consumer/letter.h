#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "checkpoint/store.h"
#include "consumer/lane.h"

/* A record that could not be decoded, that a sink refused or whose transform failed, on its way to
 * the dead letters: whole, with reason and position. Made by a reader, stored by the saver,
 * answered to the reader, which frees it. */
enum { LETTER_PAGE = CORE_SINKS_MAX }; /* slot of a record that is bad for every sink */

struct letter {
	struct lane *lane;
	uint32_t slot; /* the sink's, or LETTER_PAGE */
	bool of_page;  /* a page waits for it before any sink gets that, and not the sink alone: */
	uint64_t page; /* which of the lane's */
	struct buf json;
	char identity[SEQUENCE_TEXT_SIZE]; /* its sequence, or what stands for it */
	struct store_letter row;           /* looks into this letter and its lane */
};

/* What a letter says before its record. NULL and "" are null. */
struct letter_head {
	const char *reason, *error, *stream, *shard, *sequence, *time, *sink;
	unsigned attempts;
	uint64_t generation; /* in which the record was read; 0: of an older program, it does not
				say */
};
/* The letter up to its record, which follows; then comes a '}'. */
void letter_begin(const struct letter_head *head, struct buf *out);
/* Where a whole letter has its record; n 0: it is none. */
struct str letter_record(struct str json);

/* What a record without a sequence number is known by; the caller's. */
char *letter_identity_of(struct str record);

/* `batch`: that the event is in, for rows of a file. `error` is copied. now_ms: AWS time. */
struct letter *letter_new(struct lane *lane, uint32_t slot, const struct batch *batch,
			  const struct event *event, const char *reason, const char *error,
			  unsigned attempts, int64_t now_ms);
void letter_free(struct letter *l);
DEFINE_AUTO(letter)
