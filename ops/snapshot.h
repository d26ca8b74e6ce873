#pragma once
#include "base/buf.h"
#include "config/config.h"

/* What the store knows of all workers, for the status page: read on a thread of its own, while
 * somebody asks, at most every two seconds, however many ask. Any thread. */
struct snapshot;

/* Called once for each snapshot_ask, on the snapshot's thread or the caller's: `json` is an object,
 * that of `sluice status --json`, or {"error":…} where ok is false. */
typedef void snapshot_fn(void *arg, bool ok, struct str json);

/* Of the store that the configuration names, which outlives it. */
struct snapshot *snapshot_start(const struct config *config);
void snapshot_ask(struct snapshot *s, snapshot_fn *fn, void *arg);
/* Nothing is read any more: who waits is answered, and who asks from now on, that there is nothing.
 */
void snapshot_end(struct snapshot *s);
void snapshot_free(struct snapshot *s); /* after snapshot_end */
