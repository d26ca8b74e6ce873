#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/streams.h"

/* Finds shards: the children of one that is closed (CHILD_SHARDS with short retries), and the full
 * listing as the net. Asynchronous on the client's loop; one listing a stream at a time. */
struct discover;

/* A listing is here: complete (parent NULL; maybe empty), or the children of `parent`. The shards
 * are valid during the call. */
typedef void discover_fn(void *arg, uint32_t stream, const char *parent,
			 const struct streams_shard *shards, size_t count);
/* `parent` has been dealt with: its children were given, or a full listing was looked through. */
typedef void discover_done_fn(void *arg, uint32_t stream, const char *parent);

struct discover_settings {
	struct aws_client *client;
	const char *const *arns; /* by stream */
	const char *const *names;
	uint32_t stream_count;
	discover_fn *found;
	discover_done_fn *done;
	void *arg;
	uint64_t seed;
};

struct discover *discover_new(const struct discover_settings *settings);
/* After the client was freed: no callback can come any more. */
void discover_free(struct discover *d);
/* Whether this session lists the stream: at once, and again and again from then on. */
void discover_set_lister(struct discover *d, uint32_t stream, bool lister);
void discover_children(struct discover *d, uint32_t stream, const char *parent);
