/* RFC 4231's vectors. */
#include "tests/unit/event/decoding.h"

#include "event/hmac.h"

static void check(struct str key, struct str data, const char *digest)
{
	unsigned char out[HMAC_BYTES];
	char hex[2 * HMAC_BYTES + 1];
	struct hmac_key k;

	hmac_key_init(&k, key);
	/* A key is for many texts. */
	for (unsigned again = 0; again < 2; again++) {
		hmac(&k, data, out);
		for (size_t i = 0; i < HMAC_BYTES; i++)
			sprintf(hex + 2 * i, "%02x", out[i]);
		assert_string_equal(hex, digest);
	}
}

static void the_vectors_of_the_rfc(void **state)
{
	char key[131];

	(void)state;
	memset(key, 0x0b, 20);
	check((struct str){ key, 20 }, STR("Hi There"),
	      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	check(STR("Jefe"), STR("what do ya want for nothing?"),
	      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	check((struct str){ key, sizeof(key) },
	      STR("Test Using Larger Than Block-Size Key - Hash Key First"),
	      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_the_rfc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
