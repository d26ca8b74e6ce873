#pragma once
#include "event/event.h"
#include "event/record.h"

/* One line of an export's data file as a record, its images as plain JSON:
 * {"Item":{…}} of a full export,
 * {"Metadata":{"WriteTimestampMicros":{"N":"…"}},"Keys":{…},"OldImage":{…},"NewImage":{…}} of a
 * window. Known members may come in any order, but once; unknown ones are checked and passed over.
 *
 * A merged line says of which window it is in a member of its own, "Window":N (event/merge.h).
 *
 * A full export's line has no keys of its own: they are taken out of the item, so that `keys` of
 * the record lies in the scratch, not in the line. */
struct line_reader {
	struct record_reader *records;
	const struct rows *rows;
	struct sequence sequence;
	const char *names[2];  /* of the key; [1] "" where there is no range key */
	struct str heads[2];   /* "pk": */
	unsigned slots[2];     /* where they were in the item before */
	const char *lacks_key; /* what is expected where they are missing */
};
struct arena;

/* `records` was made for the body that the lines are in; its scratch has three times the bytes of
 * the longest line and 4 * SCAN_PADDING. All of them outlive the reader. */
void line_reader_init(struct line_reader *l, struct record_reader *records,
		      const struct source *source, const struct rows *rows, struct arena *arena);
/* p at the line's '{'; the place behind the object, or NULL: see records->scan.fault. */
const char *line_read(struct line_reader *l, const char *p, struct record *out);

/* Where the parts of a window's line are that was read and is good. p NULL: it has none. */
struct line_parts {
	struct str keys, new_image, old_image;
};
/* p at its '{', with SCAN_PADDING bytes that may be read behind the line. */
struct line_parts line_parts(const char *p);
