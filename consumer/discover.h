#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/streams.h"

/* Finds shards: the children of one that is closed (CHILD_SHARDS with short retries), and the full
 * listing as the net. Asynchronous on the client's loop; one listing a stream at a time. A stream
 * is a small number of the caller's, which may be used again once it was removed. */
struct discover;

struct discover_listing {
	const char *parent; /* these are children of it; NULL: shards of the whole stream */
	bool complete;      /* every shard that the stream has, maybe none; what is not in there is
			       not listed any more, or not yet */
	const struct streams_shard *shards;
	size_t count;
};
/* A listing is here; valid during the call. No stream may be removed in there. */
typedef void discover_fn(void *arg, uint32_t stream, const struct discover_listing *listing);
/* `parent` has been dealt with: its children were given, or a complete listing was looked through.
 */
typedef void discover_done_fn(void *arg, uint32_t stream, const char *parent);

struct discover_settings {
	struct aws_client *client;
	discover_fn *found;
	discover_done_fn *done;
	void *arg;
	uint64_t seed;
};

struct discover *discover_new(const struct discover_settings *settings);
/* After the client was freed: no callback can come any more. */
void discover_free(struct discover *d);
/* The texts stay the caller's, until the stream is removed. */
void discover_add(struct discover *d, uint32_t stream, const char *arn, const char *name);
/* Nothing more is told of it; `done` of what was asked does not come. */
void discover_remove(struct discover *d, uint32_t stream);
/* Whether this session lists the stream: at once, and again and again from then on. */
void discover_set_lister(struct discover *d, uint32_t stream, bool lister);
/* A complete listing that begins after this call, as soon as possible, whoever lists the stream. */
void discover_list(struct discover *d, uint32_t stream);
void discover_children(struct discover *d, uint32_t stream, const char *parent);
