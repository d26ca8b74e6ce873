#pragma once
#include "event/event.h"

/* The canonical key of an item: {"pk":"a","sk":1}, the same bytes for the same item for ever
 * (contract, "Events"). */
struct key_shape {
	/* The names as JSON strings in their canonical spelling, with what stands around them:
	 * {"pk": and ,"sk": as scan_keep gives them. n 0: no range key. */
	struct str heads[2];
	const char *expected; /* for faults: what Keys should have been */
};
struct arena;
void key_shape_init(struct key_shape *k, const struct source *source, struct arena *arena);

/* keys: the record's Keys as compact plain JSON, numbers as numbers, SCAN_PADDING bytes readable
 * behind it. out has room for key_bound(keys). Its length; 0 where a key attribute is missing or
 * neither string, number nor binary. */
size_t key_bound(const struct key_shape *k, struct str keys);
size_t key_make(const struct key_shape *k, struct str keys, char *out);
