#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/credentials.h"
#include "aws/sign.h"

#define GOLDEN     "tests/unit/aws/signatures.tsv"
#define FIELDS_MAX 20
#define NONE                                                                                       \
	{                                                                                          \
		{                                                                                  \
			STR(""), STR("")                                                           \
		}                                                                                  \
	}

/* AWS's published examples: key, date, region and service are the same for all. */
static void test_published_vectors(void **state)
{
	static const struct {
		const char *method, *path;
		struct sign_field query[3], headers[3];
		const char *body, *signature;
	} vectors[] = {
		{ "GET", "/", NONE, NONE, "",
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "POST", "/", NONE, NONE, "",
		  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
		/* get-vanilla-query-order-key-case */
		{ "GET",
		  "/",
		  { { STR("Param2"), STR("value2") }, { STR("Param1"), STR("value1") } },
		  NONE,
		  "",
		  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
		/* get-header-value-trim */
		{ "GET",
		  "/",
		  NONE,
		  { { STR("my-header1"), STR(" value1") },
		    { STR("my-header2"), STR(" \"a   b   c\"") } },
		  "",
		  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
		/* post-x-www-form-urlencoded */
		{ "POST",
		  "/",
		  NONE,
		  { { STR("content-type"), STR("application/x-www-form-urlencoded") } },
		  "Param1=value1",
		  "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
	};
	struct credentials_keys keys = { .access_key = "AKIDEXAMPLE",
					 .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
					 .version = 1 };
	struct signer *s = signer_new();
	struct buf out = { 0 }, query = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct sign_field headers[5] = {
			{ STR("host"), STR("example.amazonaws.com") },
			{ STR("x-amz-date"), STR("20150830T123600Z") },
		};
		struct sign_field pairs[3];
		char hash[SIGN_HASH_SIZE];
		size_t n = 2, q = 0;

		for (; vectors[i].headers[n - 2].name.n; n++)
			headers[n] = vectors[i].headers[n - 2];
		for (; vectors[i].query[q].name.n; q++)
			pairs[q] = vectors[i].query[q];
		buf_clear(&out);
		buf_clear(&query);
		sign_query(&query, pairs, q);
		signer_hash(s, str_of(vectors[i].body), hash);
		signer_sign(s, &keys,
			    &(struct sign_request){ .method = str_of(vectors[i].method),
						    .path = str_of(vectors[i].path),
						    .query = buf_str(&query),
						    .headers = headers,
						    .header_count = n,
						    .payload = str_of(hash),
						    .date = "20150830T123600Z",
						    .region = "us-east-1",
						    .service = "service" },
			    &out);
		assert_string_equal(strstr(out.data, "Signature=") + 10, vectors[i].signature);
		assert_non_null(strstr(out.data, "Credential=AKIDEXAMPLE/20150830/us-east-1/"
						 "service/aws4_request, SignedHeaders="));
	}
	buf_release(&out);
	buf_release(&query);
	signer_free(s);
}

static size_t split(char *line, char separator, char **fields, size_t max)
{
	size_t n = 0;

	for (char *at = line; at && n < max; n++) {
		fields[n] = at;
		at = strchr(at, separator);
		if (at)
			*at++ = '\0';
	}
	return n;
}

static char *decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		*to++ = (char)strtol((char[]){ from[1], from[2], 0 }, NULL, 16);
		from += 2;
	}
	*to = '\0';
	return text;
}

/* "a=b&c=d", each part percent-encoded, into fields. */
static size_t pairs_of(char *text, struct sign_field *out)
{
	char *pairs[FIELDS_MAX];
	size_t n = *text ? split(text, '&', pairs, FIELDS_MAX) : 0;

	for (size_t i = 0; i < n; i++) {
		char *value = strchr(pairs[i], '=');

		*value++ = '\0';
		out[i].name = str_of(decode(pairs[i]));
		out[i].value = str_of(decode(value));
	}
	return n;
}

/* What botocore signs for random requests of the three services. */
static void test_same_as_botocore(void **state)
{
	FILE *file = fopen(GOLDEN, "re");
	char *line = NULL, *f[FIELDS_MAX];
	struct signer *s = signer_new();
	struct buf out = { 0 }, query = { 0 }, path = { 0 };
	size_t size = 0;
	uint64_t count = 0;

	(void)state;
	assert_non_null(file);
	while (getline(&line, &size, file) > 0) {
		struct credentials_keys keys = { .version = ++count };
		struct sign_field headers[FIELDS_MAX], pairs[FIELDS_MAX];
		char hash[SIGN_HASH_SIZE] = SIGN_UNSIGNED;
		size_t n;

		line[strcspn(line, "\n")] = '\0';
		assert_int_equal(split(line, '\t', f, FIELDS_MAX), 14);
		snprintf(keys.access_key, sizeof(keys.access_key), "%s", f[3]);
		snprintf(keys.secret_key, sizeof(keys.secret_key), "%s", f[4]);
		snprintf(keys.session_token, sizeof(keys.session_token), "%s", f[5]);
		buf_clear(&out);
		buf_clear(&query);
		buf_clear(&path);
		sign_encode(&path, str_of(decode(f[8])), true);
		sign_query(&query, pairs, pairs_of(f[9], pairs));
		n = pairs_of(f[10], headers);
		if (strcmp(f[12], "signed") == 0)
			signer_hash(s, str_of(decode(f[11])), hash);
		headers[n++] = (struct sign_field){ STR("x-amz-date"), str_of(f[2]) };
		headers[n++] = (struct sign_field){ STR("host"), str_of(f[7]) };
		if (keys.session_token[0])
			headers[n++] = (struct sign_field){ STR("x-amz-security-token"),
							    str_of(keys.session_token) };
		if (strcmp(f[0], "s3") == 0)
			headers[n++] =
				(struct sign_field){ STR("x-amz-content-sha256"), str_of(hash) };
		signer_sign(s, &keys,
			    &(struct sign_request){ .method = str_of(f[6]),
						    .path = buf_str(&path),
						    .query = buf_str(&query),
						    .headers = headers,
						    .header_count = n,
						    .payload = str_of(hash),
						    .date = f[2],
						    .region = f[1],
						    .service = f[0] },
			    &out);
		if (strcmp(out.data, f[13]) != 0)
			fail_msg("line %lu of " GOLDEN ":\n%s\n%s\n%s %s", (unsigned long)count,
				 out.data, f[13], path.data, query.size ? query.data : "");
	}
	assert_int_equal(count, 500);
	fclose(file);
	free(line);
	buf_release(&out);
	buf_release(&query);
	buf_release(&path);
	signer_free(s);
}

/* A pad of another day, region, service or version must not be used again. */
static void test_cached_keys_are_told_apart(void **state)
{
	static const struct {
		const char *date, *region, *service;
		uint64_t version;
	} uses[] = {
		{ "20261121T000000Z", "eu-west-1", "dynamodb", 1 },
		{ "20261122T000000Z", "eu-west-1", "dynamodb", 1 },
		{ "20261121T000000Z", "eu-west-2", "dynamodb", 1 },
		{ "20261121T000000Z", "eu-west-1", "s3", 1 },
		{ "20261121T000000Z", "eu-west-1", "dynamodb", 2 },
		{ "20261121T000000Z", "eu-west-1", "sts", 2 },
		{ "20261121T000000Z", "eu-west-1", "s3", 2 },
		{ "20261121T000000Z", "eu-west-3", "s3", 2 },
	};
	struct signer *kept = signer_new();
	struct buf a = { 0 }, b = { 0 };

	(void)state;
	for (size_t round = 0; round < 20; round++) {
		size_t i = round * 7 % 8;
		struct credentials_keys keys = { .access_key = "A", .version = uses[i].version };
		struct sign_field headers[] = { { STR("host"), STR("h") },
						{ STR("x-amz-date"), str_of(uses[i].date) } };
		struct sign_request r = { .method = STR("GET"),
					  .path = STR("/"),
					  .query = STR(""),
					  .headers = headers,
					  .header_count = 2,
					  .payload = STR(SIGN_UNSIGNED),
					  .date = uses[i].date,
					  .region = uses[i].region,
					  .service = uses[i].service };
		struct signer *fresh = signer_new();

		snprintf(keys.secret_key, sizeof(keys.secret_key), "secret %d", (int)keys.version);
		buf_clear(&a);
		buf_clear(&b);
		signer_sign(kept, &keys, &r, &a);
		signer_sign(fresh, &keys, &r, &b);
		assert_string_equal(a.data, b.data);
		signer_free(fresh);
	}
	buf_release(&a);
	buf_release(&b);
	signer_free(kept);
}

static void test_date_is_utc(void **state)
{
	char date[SIGN_DATE_SIZE];

	(void)state;
	assert_string_equal(sign_date(1440938160000, date), "20150830T123600Z");
	assert_string_equal(sign_date(951782399999, date), "20000228T235959Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_same_as_botocore),
		cmocka_unit_test(test_cached_keys_are_told_apart),
		cmocka_unit_test(test_date_is_utc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
