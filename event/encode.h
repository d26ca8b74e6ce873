#pragma once
#include "event/record.h"
#include "event/transformer.h"

/* Writes one format's payload of a record. What is the same for every record of a page is prepared
 * once. */
struct arena;
struct encoder {
	struct encoding encoding;
	struct str texts[8]; /* the constant runs, in the order of the format */
	size_t fixed;        /* bytes of a payload that do not depend on the record, at most */
	bool rows;           /* of an export, not records of a stream */
	uint64_t generation;
	int64_t time_ms; /* of the record before, */
	struct str time; /* and its digits */
	char digits[24 + SCAN_PADDING];
};

/* rows: NULL for a stream's records; else `shard` is NULL. */
void encoder_init(struct encoder *e, struct encoding encoding, const struct source *source,
		  const char *shard, const struct rows *rows, int64_t now_ms, struct arena *arena);
/* How items have to be read for this encoding. */
struct value_style encoder_style(const struct encoder *e);
/* made: the record's items as a transformer of this encoding made them; NULL: as they came. */

/* The most that encoder_write writes, with all that it may spoil behind. */
size_t encoder_bound(const struct encoder *e, const struct record *r,
		     const struct transformed *made);
/* About what it writes. */
size_t encoder_guess(const struct encoder *e, const struct record *r,
		     const struct transformed *made);
/* One payload without its '\n'; its end. `style` is the one that r was read with: items are read
 * anew where it is another than this encoder's. */
char *encoder_write(struct encoder *e, const struct record *r, const struct transformed *made,
		    struct value_style style, char *o);
