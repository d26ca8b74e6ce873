#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "tests/emulator/world.h"

/* Changes made by hand: items put and deleted as a writer of the table would, and records given
 * whole, broken ones too. The world's lock is held. */

struct item_place {
	const struct shard *shard;
	char sequence[SHARD_SEQUENCE_SIZE];
	bool changed; /* false: the item was so already, and DynamoDB writes no record then */
};

/* Puts `item` ({"pk":{"S":…},…}), or deletes the item with the key `item`; `ttl` marks a delete as
 * the service's own. created_ms < 0: now. */
bool item_put(struct table *t, const json_t *item, int64_t created_ms, struct item_place *place,
	      struct error *err) MUST_CHECK;
bool item_delete(struct table *t, const json_t *key, bool ttl, int64_t created_ms,
		 struct item_place *place, struct error *err) MUST_CHECK;
/* Adds a record as it is; "@SEQUENCE@" in it becomes its sequence number. */
bool item_append(struct shard *s, struct str record, int64_t created_ms, struct item_place *place,
		 struct error *err) MUST_CHECK;
