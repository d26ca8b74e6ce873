#pragma once
#include <openssl/sha.h>

#include "base/str.h"

/* HMAC-SHA-256 with one key for many short texts: the key's two blocks are hashed once. */
#define HMAC_BYTES SHA256_DIGEST_LENGTH
struct hmac_key {
	SHA256_CTX inner, outer;
};
void hmac_key_init(struct hmac_key *k, struct str key);
void hmac(const struct hmac_key *k, struct str data, unsigned char out[HMAC_BYTES]);
