#pragma once
#include "checkpoint/savepoints.h"
#include "config/config.h"

/* The place just before a record of a shard, as AWS has it: that of the record before it. *before
 * has a sequence and a time, or none where the shard begins with that record. NOT_FOUND: the shard
 * has no such record (any more); REFUSED: what was before it has left the stream. *record_ms: the
 * record's own time. */
bool replay_find(const struct config *c, const char *arn, const char *shard,
		 const struct sequence *record, struct store_place *before, int64_t *record_ms,
		 struct error *err) MUST_CHECK;
