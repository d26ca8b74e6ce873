#pragma once
#include "base/buf.h"
#include "event/event.h"

/* The lines of several windows of one table as one: a line a key, with the new image of the last
 * line of the key and the old image of its first one, so that it says what became of the item from
 * the first window's beginning to the last one's end. Where there was nothing before and there is
 * nothing after, there is no line; without old images nobody knows that, and the last line stands
 * for itself. Pure.
 *
 * Lines come in any order, file by file and block by block, and merged ones go out in the order of
 * their keys' hashes: the same lines and the same part always give the same rows in the same order,
 * whatever memory there was. So the number of a row is a place to go on at. Memory is bounded: what
 * does not fit is left out, and the lines are read again, in another pass that begins behind it.
 *
 * A line that is no row of a window has no key; it goes out as it came, once each time it is there.
 *
 * A merged line is one of a window with "Window":N in front, the number of the window that its last
 * line is of (rows.merged). */
struct merge;

struct merge_options {
	const struct source *source; /* outlives it */
	bool old_images;             /* the windows tell them */
	/* All keys are cut into so many parts of about the same size, by their hashes: this one. */
	uint32_t part, parts;
	size_t memory_bytes; /* of lines, about; one line more where that one alone is longer */
};
struct merge *merge_new(const struct merge_options *o);
void merge_free(struct merge *m);

/* What comes now is the first line of a pass: also before the first one, and after a pass was given
 * up. */
void merge_begin(struct merge *m);
/* Whole lines of one data file. `line` is the number of the first of them in the file, `file` that
 * of the file in its window, `window` that of the window: of lines with the same key the one with
 * the highest (window, file, line) is the last. Returns how many there are. The buffer is empty
 * then, and keeps its memory. */
size_t merge_add(struct merge *m, uint64_t window, uint64_t file, uint64_t line, struct buf *lines);
/* All lines were added. False: too little memory for even the smallest part of them, and another
 * pass is needed, with a smaller one. */
bool merge_end(struct merge *m);
/* Appends the next merged line. False: there is none any more in this pass. */
bool merge_next(struct merge *m, struct buf *out);
/* The same; false: nor in another one. */
bool merge_more(const struct merge *m);
/* What it holds. */
size_t merge_bytes(const struct merge *m);
