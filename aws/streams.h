#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/client.h"
#include "base/buf.h"
#include "base/sequence.h"

/* The DynamoDB Streams API (aws-semantics, 1.3). One function a call; the callback gets an error
 * (kind NONE on success) and the answer, which is valid during the callback only, unless said. */

#define STREAMS_ARN_MAX      1024
#define STREAMS_SHARD_MAX    65
#define STREAMS_ITERATOR_MAX 2048

struct streams_shard {
	char id[STREAMS_SHARD_MAX + 1];
	char parent[STREAMS_SHARD_MAX + 1]; /* "" for none */
	struct sequence starting;
	bool closed; /* has an EndingSequenceNumber */
};

enum streams_status { STREAM_ENABLING, STREAM_ENABLED, STREAM_DISABLING, STREAM_DISABLED };

struct streams_description {
	enum streams_status status;
	char view_type[32];
	char table[256];
	char key_hash[256], key_range[256]; /* range "" where the table has none */
	const struct streams_shard *shards; /* of this page, in the listing's order */
	size_t shard_count;
	char last_shard[STREAMS_SHARD_MAX + 1]; /* "" on the last page */
};

typedef void streams_describe_fn(void *arg, const struct error *err,
				 const struct streams_description *d);
/* One page of up to 100 shards, after `after` ("" from the start). With `children_of` set: only the
 * immediate children of that shard (CHILD_SHARDS). */
void streams_describe(struct aws_client *c, const char *arn, const char *after,
		      const char *children_of, streams_describe_fn *fn, void *arg);
/* The same in one attempt, for who keeps count of the calls. */
void streams_describe_once(struct aws_client *c, const char *arn, const char *after,
			   const char *children_of, streams_describe_fn *fn, void *arg);

enum streams_iterator_type {
	ITERATOR_TRIM_HORIZON,
	ITERATOR_LATEST,
	ITERATOR_AT_SEQUENCE,
	ITERATOR_AFTER_SEQUENCE,
	ITERATOR_AT_TIMESTAMP,
};
/* A throttle ends this call and streams_records at once: who reads a shard knows when to ask again.
 */
typedef void streams_iterator_fn(void *arg, const struct error *err, const char *iterator);
void streams_iterator(struct aws_client *c, const char *arn, const char *shard,
		      enum streams_iterator_type type, const struct sequence *sequence,
		      int64_t time_ms, streams_iterator_fn *fn, void *arg);

/* `body` is the answer as it came (inflated, CRC checked): the callee may take its bytes, and leave
 * memory of its own for the next answer. ERROR_INVALID with `too_large` set: the body passed the
 * limit; ask again with a smaller `limit` (1..1000). */
struct streams_records {
	struct buf *body;
	bool too_large;
	int64_t answered_ms; /* AWS time */
};
typedef void streams_records_fn(void *arg, const struct error *err, struct streams_records *r);
void streams_records(struct aws_client *c, const char *iterator, int limit, size_t body_max,
		     streams_records_fn *fn, void *arg);
