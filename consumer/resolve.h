#pragma once
#include <stdbool.h>

#include "aws/dynamodb.h"
#include "aws/streams.h"
#include "base/cleanup.h"
#include "event/event.h"

/* From what a configuration names (a table, a table's ARN, a stream's ARN) to the stream that is
 * read. */
struct resolved_stream {
	char arn[STREAMS_ARN_MAX + 1]; /* of the stream */
	char table[256];
	char account[16], region[64]; /* out of the ARN; "" where it has none */
	char key_hash[256], key_range[256];
	char view_type[32];
	bool new_images, old_images;
	enum streams_status status;
};

typedef void resolve_fn(void *arg, const struct error *err, const struct resolved_stream *r);
/* On the client's loop; `fn` comes once, with what resolve_stream gives. One call of DescribeTable
 * where that tells all; DescribeStream only of streams that are given by their ARN, or not just on.
 */
void resolve_start(struct aws_client *c, const char *table, const char *enable, resolve_fn *fn,
		   void *arg);
/* The same, blocking: for commands. `enable`: the view type to turn the stream on with where there
 * is none, or NULL. NOT_FOUND: no such table or stream; INVALID: the table has no stream; the
 * message says what to do. RETRY also while the stream is being turned on. */
bool resolve_stream(struct aws_client *c, const char *table, const char *enable,
		    struct resolved_stream *out, struct error *err) MUST_CHECK;
/* "arn:PARTITION:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL" → region and account. */
void resolve_arn_parts(const char *arn, char region[64], char account[16]);
/* The ARN of the stream's table. */
void resolve_table_arn(const char *arn, char out[STREAMS_ARN_MAX + 1]);
/* AWS time at which the stream was turned on, out of its ARN's label; -1: not to be told from it.
 */
int64_t resolve_created_ms(const char *arn);
/* Both are streams' ARNs of one table. */
bool resolve_same_table(const char *arn, const char *other);
/* Does the stream carry the images that this encoding needs? INVALID says how to get them. */
bool resolve_images_fit(const struct resolved_stream *r, const char *stream, const char *sink,
			struct encoding encoding, struct error *err) MUST_CHECK;
