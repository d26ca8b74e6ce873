/* A digest a record and attribute: OpenSSL's newer functions take five times as long as the hash.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "event/hmac.h"

#include <openssl/crypto.h>

void hmac_key_init(struct hmac_key *k, struct str key)
{
	unsigned char block[SHA256_CBLOCK] = { 0 };

	if (key.n > sizeof(block)) {
		SHA256_Init(&k->inner);
		SHA256_Update(&k->inner, key.p, key.n);
		SHA256_Final(block, &k->inner);
	} else {
		memcpy(block, key.p, key.n);
	}
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	SHA256_Init(&k->inner);
	SHA256_Update(&k->inner, block, sizeof(block));
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&k->outer);
	SHA256_Update(&k->outer, block, sizeof(block));
	OPENSSL_cleanse(block, sizeof(block));
}

void hmac(const struct hmac_key *k, struct str data, unsigned char out[HMAC_BYTES])
{
	SHA256_CTX work = k->inner;

	SHA256_Update(&work, data.p, data.n);
	SHA256_Final(out, &work);
	work = k->outer;
	SHA256_Update(&work, out, HMAC_BYTES);
	SHA256_Final(out, &work);
}
