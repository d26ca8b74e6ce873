#pragma once
#include "base/buf.h"
#include "tests/emulator/world.h"

/* What tests compare with: all as JSON. The world's lock is held. */

/* Each key's last change number (`n`) and whether its item exists now, the records of each shard,
 * and the items put by hand. */
void truth_table(struct buf *out, const struct table *t);
/* The lineage as it is, whatever listings say; of each stream the shards behind `after`, an id. */
void truth_shards(struct buf *out, const struct table *t, const char *after);
/* Calls, errors, bytes, connections, and per shard the calls and the most readers at once. */
void truth_stats(struct buf *out, const struct world *w);
void truth_reset(struct world *w);
