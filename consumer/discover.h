#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/streams.h"

/* Finds shards: the children of those that are closed, and by listings what else is new. Makes the
 * calls that consumer/search.h decides on, asynchronously on the client's loop, and within what
 * DescribeStream allows, all streams together. A stream is a small number of the caller's, which
 * may be used again once it was removed. */
struct discover;
struct clock;

struct discover_listing {
	const char *parent; /* these are children of it; NULL: shards of the whole stream */
	bool complete;      /* every shard that the stream has, maybe none; what is not in there is
			       not listed any more, or not yet */
	bool unknown;       /* complete and empty, as AWS does not know the stream */
	const struct streams_shard *shards;
	size_t count;
};
/* A listing is here, or a part of one as soon as it is known; valid during the call. No stream may
 * be removed in here, nor in `done`. */
typedef void discover_fn(void *arg, uint32_t stream, const struct discover_listing *listing);
/* `parent` has been dealt with: since it was asked for, children of it were given, or a complete
 * listing that began after that. */
typedef void discover_done_fn(void *arg, uint32_t stream, const char *parent);

/* AWS says that it does not know the stream: with each listing that fails so. */
typedef void discover_gone_fn(void *arg, uint32_t stream);

struct discover_settings {
	struct aws_client *client;
	const struct clock *clock;
	discover_fn *found;
	discover_done_fn *done;
	discover_gone_fn *gone;
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
/* A complete listing that begins after this call, whoever lists the stream: as soon as possible, or
 * after delay_ms. */
void discover_list(struct discover *d, uint32_t stream);
void discover_list_in(struct discover *d, uint32_t stream, int64_t delay_ms);
/* The children of a shard that is closed. */
void discover_children(struct discover *d, uint32_t stream, const char *parent);
