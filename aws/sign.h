#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"

/* Signature Version 4. A signer belongs to one thread and to the keys of one struct credentials
 * (it tells them apart by their version); it keeps the HMAC pads of the last signing keys, so that
 * a signature costs three small hashes. */
struct signer;
struct credentials_keys;

#define SIGN_HASH_SIZE   65 /* hex SHA-256 and its zero byte */
#define SIGN_DATE_SIZE   17 /* 20150830T123600Z */
#define SIGN_HEADERS_MAX 24
#define SIGN_QUERY_MAX   12
#define SIGN_UNSIGNED    "UNSIGNED-PAYLOAD"

struct sign_field {
	struct str name, value;
};

/* What is signed. Header names in lower case, each once, in any order; `host` and `x-amz-date` (and
 * `x-amz-security-token`, where keys have one) are among them. The path is as sent (for S3: encoded
 * once, not normalised; other services: only "/"), the query as sign_query writes it. */
struct sign_request {
	struct str method, path, query;
	const struct sign_field *headers;
	size_t header_count; /* <= SIGN_HEADERS_MAX */
	struct str payload;  /* hex SHA-256 of the body, or SIGN_UNSIGNED */
	const char *date;    /* sign_date */
	const char *region, *service;
};

struct signer *signer_new(void);
void signer_free(struct signer *s);
DEFINE_AUTO(signer)
/* Appends the Authorization header's value to `out`. */
void signer_sign(struct signer *s, const struct credentials_keys *keys,
		 const struct sign_request *r, struct buf *out);
/* Appends the query of a URL that is signed itself, for that long: the fields with what a signature
 * adds. The request's one header is `host`, its query is not looked at. */
void signer_presign(struct signer *s, const struct credentials_keys *keys,
		    const struct sign_request *r, const struct sign_field *fields, size_t count,
		    long expires_s, struct buf *out);
/* Hex SHA-256; returns out. */
char *signer_hash(struct signer *s, struct str data, char out[SIGN_HASH_SIZE]);

char *sign_date(int64_t epoch_ms, char out[SIGN_DATE_SIZE]);
/* Percent-encodes all but unreserved characters, and `/` too unless `path`. */
void sign_encode(struct buf *out, struct str text, bool path);
/* "a=1&b=2", sorted and encoded as it must be signed and sent. Sorts the fields. Names are of
 * unreserved characters, each once. */
void sign_query(struct buf *out, struct sign_field *fields, size_t count);
