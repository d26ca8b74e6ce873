#include "aws/msk.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/credentials.h"
#include "aws/sign.h"
#include "base/memory.h"

#define SERVICE "kafka-cluster"
/* Not signed: it only says who made the token. */
#define AGENT "&User-Agent=sluice%2F" SLUICE_VERSION

/* As base64 is in URLs, without the signs that fill it up. */
static void base64_url(struct str text, struct buf *out)
{
	char *encoded = memory_new(4 * ((text.n + 2) / 3) + 1);
	size_t n;

	EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)text.p, (int)text.n);
	n = strcspn(encoded, "=");
	for (size_t i = 0; i < n; i++)
		if (encoded[i] == '+' || encoded[i] == '/')
			encoded[i] = encoded[i] == '+' ? '-' : '_';
	encoded[n] = '\0';
	buf_text(out, encoded);
	OPENSSL_cleanse(encoded, n);
	free(encoded);
}

void msk_token(const struct credentials_keys *keys, const char *region, int64_t aws_ms,
	       struct buf *out)
{
	AUTO(signer) struct signer *signer = signer_new();
	const struct sign_field action = { STR("Action"), STR("kafka-cluster:Connect") };
	char date[SIGN_DATE_SIZE], hash[SIGN_HASH_SIZE], host[96];
	struct sign_field headers[1];
	struct buf url = { 0 };

	/* The same host in all partitions: it is signed, and nobody is asked there. */
	snprintf(host, sizeof(host), "kafka.%s.amazonaws.com", region);
	headers[0] = (struct sign_field){ STR("host"), str_of(host) };
	buf_printf(&url, "https://%s/?", host);
	signer_presign(
		signer, keys,
		&(struct sign_request){ .method = STR("GET"),
					.path = STR("/"),
					.headers = headers,
					.header_count = 1,
					.payload = str_of(signer_hash(signer, STR(""), hash)),
					.date = sign_date(aws_ms, date),
					.region = region,
					.service = SERVICE },
		&action, 1, MSK_TOKEN_S, &url);
	buf_text(&url, AGENT);
	base64_url(buf_str(&url), out);
	OPENSSL_cleanse(url.data, url.size);
	buf_release(&url);
}
