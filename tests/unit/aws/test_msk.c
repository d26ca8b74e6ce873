#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/msk.h"

#define GOLDEN "tests/unit/aws/tokens.tsv"
#define FIELDS 6

/* The URL in the token; its base64 is of the kind for URLs, and not filled up. */
static char *decoded(const char *token)
{
	size_t n = strlen(token), filled = (n + 3) / 4 * 4;
	char *text = calloc(filled + 1, 1);
	unsigned char *out = calloc(filled + 1, 1);

	assert_int_equal(strspn(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789-_"),
			 n);
	memset(text, '=', filled);
	for (size_t i = 0; i < n; i++)
		text[i] = token[i] == '-' ? '+' : token[i] == '_' ? '/' : token[i];
	assert_true(EVP_DecodeBlock(out, (unsigned char *)text, (int)filled) > 0);
	free(text);
	return (char *)out;
}

/* What botocore signs for the same call. */
static void test_same_as_botocore(void **state)
{
	FILE *file = fopen(GOLDEN, "re");
	char *line = NULL;
	size_t size = 0, count = 0;

	(void)state;
	assert_non_null(file);
	while (getline(&line, &size, file) > 0) {
		struct credentials_keys keys = { .version = ++count };
		char *f[FIELDS], *at = line, *url, *agent;
		struct buf token = { 0 };

		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < FIELDS; i++)
			f[i] = strsep(&at, "\t");
		assert_non_null(f[FIELDS - 1]);
		snprintf(keys.access_key, sizeof(keys.access_key), "%s", f[2]);
		snprintf(keys.secret_key, sizeof(keys.secret_key), "%s", f[3]);
		snprintf(keys.session_token, sizeof(keys.session_token), "%s", f[4]);
		msk_token(&keys, f[0], strtoll(f[1], NULL, 10) * 1000 + 999, &token);
		url = decoded(token.data);
		agent = strstr(url, "&User-Agent=");
		assert_non_null(agent);
		assert_string_equal(agent, "&User-Agent=sluice%2F" SLUICE_VERSION);
		*agent = '\0';
		assert_string_equal(url, f[FIELDS - 1]);
		free(url);
		buf_release(&token);
	}
	assert_int_equal(count, 100);
	fclose(file);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_botocore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
