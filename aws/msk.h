#pragma once
#include <stdint.h>

#include "base/buf.h"

/* What Amazon MSK takes in place of a password (its IAM access control): a URL that is signed as a
 * call of Kafka's Connect, in base64. Pure. */
struct credentials_keys;

#define MSK_TOKEN_S 900 /* how long one is good; no longer than its keys */

/* Appends the token for the clusters of a region. */
void msk_token(const struct credentials_keys *keys, const char *region, int64_t aws_ms,
	       struct buf *out);
