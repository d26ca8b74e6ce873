#pragma once
#include "base/buf.h"
#include "tests/emulator/world.h"

/* What a table was at a time, as the lines of an export: out of its generated records, which are
 * functions of their numbers, and of what was put by hand. The world's lock is held. */

struct history_file {
	struct buf lines;
	uint64_t items;
};

/* Lines of {"Item":…}: the table at at_ms. files[t->spec.partitions]: initialised, lines are added.
 */
void history_full(const struct table *t, int64_t at_ms, struct history_file *files);
/* How many items it has now, and their bytes as JSON; of a table with many keys 0, as AWS says it
 * of one that it has not counted yet. */
void history_size(const struct table *t, uint64_t *items, uint64_t *bytes);
/* Net changes of [from_ms, to_ms), a line a key; old: with old images. */
void history_window(const struct table *t, int64_t from_ms, int64_t to_ms, bool old,
		    struct history_file *files);
/* Whether its past can be told: not that of a firehose, nor of more keys than fit in memory. */
bool history_known(const struct table *t);
