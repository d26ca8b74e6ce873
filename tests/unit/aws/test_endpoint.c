#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/endpoint.h"
#include "aws/profile.h"
#include "base/buf.h"
#include "tests/unit/aws/environment.h"

#define GOLDEN "tests/unit/aws/endpoints.tsv"

static bool resolve(struct endpoint *e, enum aws_service service, const char *region,
		    const char *setting, struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);

	return p && endpoint_resolve(e, service, region, setting, p, "default", err);
}

/* AWS's own rules, as botocore has them. */
static void test_same_as_botocore(void **state)
{
	static const char *const names[] = { "dynamodb", "streams", "s3", "sts" };
	FILE *file = fopen(GOLDEN, "re");
	char service[16], region[32], fips[2], dual[2], url[128], ours[600];
	int count = 0;

	(void)state;
	assert_non_null(file);
	while (fscanf(file, "%15s %31s %1s %1s %127s", service, region, fips, dual, url) == 5) {
		struct endpoint e;
		struct error err;
		enum aws_service which = AWS_DYNAMODB;

		while (strcmp(names[which], service) != 0)
			which++;
		setenv("AWS_USE_FIPS_ENDPOINT", fips[0] == '1' ? "true" : "false", 1);
		setenv("AWS_USE_DUALSTACK_ENDPOINT", dual[0] == '1' ? "true" : "false", 1);
		assert_true(resolve(&e, which, region, NULL, &err));
		snprintf(ours, sizeof(ours), "%s://%s%s", e.tls ? "https" : "http", e.host, e.path);
		assert_string_equal(ours, url);
		assert_false(e.given);
		count++;
	}
	assert_true(count > 150);
	fclose(file);
}

static void test_overrides_in_their_order(void **state)
{
	struct endpoint e;
	struct error err;

	(void)state;
	environment_file("AWS_CONFIG_FILE", "[default]\nendpoint_url = http://profile:1\n"
					    "services = local\n[services local]\ns3 =\n"
					    "  endpoint_url = https://section:2/base/\n");
	assert_true(resolve(&e, AWS_DYNAMODB, "eu-west-1", NULL, &err));
	assert_string_equal(e.host, "profile:1");
	assert_true(resolve(&e, AWS_S3, "eu-west-1", NULL, &err));
	assert_string_equal(e.host, "section:2");
	assert_string_equal(e.path, "/base");
	assert_true(e.tls && e.given);
	setenv("AWS_ENDPOINT_URL", "http://all:3", 1);
	assert_true(resolve(&e, AWS_S3, "eu-west-1", NULL, &err));
	assert_string_equal(e.host, "all:3");
	setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "http://[::1]:4", 1);
	assert_true(resolve(&e, AWS_STREAMS, "eu-west-1", NULL, &err));
	assert_string_equal(e.host, "[::1]:4");
	assert_true(resolve(&e, AWS_DYNAMODB, "eu-west-1", NULL, &err));
	assert_string_equal(e.host, "all:3");
	assert_true(resolve(&e, AWS_STREAMS, "eu-west-1", "HTTPS://Set:443/", &err));
	assert_string_equal(e.host, "set");
	assert_string_equal(e.path, "");
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
	assert_true(resolve(&e, AWS_S3, "eu-west-1", NULL, &err));
	assert_string_equal(e.host, "s3.eu-west-1.amazonaws.com");
	assert_true(resolve(&e, AWS_S3, "eu-west-1", "http://set:80", &err));
	assert_string_equal(e.host, "set");
}

static void test_nonsense_is_refused(void **state)
{
	static const char *const urls[] = { "localhost:8000",  "ftp://x",      "http://",
					    "http://u:p@host", "http://h?a=b", "http://h h" };
	static const char *const regions[] = { "", "eu west", "evil.example/", "-a", "EU-WEST-1" };
	struct endpoint e;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		assert_false(resolve(&e, AWS_S3, "eu-west-1", urls[i], &err));
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_non_null(strstr(err.message, "the endpoint setting"));
	}
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
		assert_false(resolve(&e, AWS_S3, regions[i], NULL, &err));
	setenv("AWS_USE_FIPS_ENDPOINT", "true", 1);
	assert_false(resolve(&e, AWS_S3, "eu-west-1", "http://x", &err));
	assert_non_null(strstr(err.message, "AWS_USE_FIPS_ENDPOINT"));
}

static void test_buckets(void **state)
{
	static const struct {
		const char *setting, *bucket, *host, *path;
	} cases[] = {
		{ NULL, "plain-1", "plain-1.s3.eu-west-1.amazonaws.com", "" },
		{ NULL, "with.dots", "s3.eu-west-1.amazonaws.com", "/with.dots" },
		{ NULL, "Upper", "s3.eu-west-1.amazonaws.com", "/Upper" },
		{ NULL, "under_score", "s3.eu-west-1.amazonaws.com", "/under_score" },
		{ "http://127.0.0.1:9000", "plain", "127.0.0.1:9000", "/plain" },
		{ "https://store/base", "plain", "store", "/base/plain" },
		{ "https://store/base", "a b", "store", "/base/a%20b" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf host = { 0 }, path = { 0 };
		struct endpoint e;
		struct error err;

		assert_true(resolve(&e, AWS_S3, "eu-west-1", cases[i].setting, &err));
		endpoint_bucket(&e, str_of(cases[i].bucket), &host, &path);
		assert_string_equal(buf_str(&host).p, cases[i].host);
		assert_string_equal(buf_str(&path).p, cases[i].path);
		buf_release(&host);
		buf_release(&path);
	}
}

/* As if the other region had been asked for from the start; a given one stays. */
static void test_in_another_region(void **state)
{
	static const char *const switches[] = { "AWS_USE_FIPS_ENDPOINT",
						"AWS_USE_DUALSTACK_ENDPOINT" };
	struct endpoint from, to, moved;
	struct error err;

	(void)state;
	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < 2; j++)
			setenv(switches[j], i & 1 << j ? "true" : "false", 1);
		assert_true(resolve(&from, AWS_S3, "us-east-1", NULL, &err));
		assert_true(resolve(&to, AWS_S3, "ap-southeast-2", NULL, &err));
		moved = endpoint_in_region(&from, "us-east-1", "ap-southeast-2");
		assert_string_equal(moved.host, to.host);
		moved = endpoint_in_region(&from, "us-east-1", "us-east-1");
		assert_string_equal(moved.host, from.host);
	}
	environment_clean(NULL);
	assert_true(resolve(&from, AWS_S3, "us-east-1", "http://s3.us-east-1.example", &err));
	moved = endpoint_in_region(&from, "us-east-1", "eu-west-1");
	assert_string_equal(moved.host, "s3.us-east-1.example");
}

static void test_region(void **state)
{
	struct error err;
	char region[64];

	(void)state;
	environment_file("AWS_CONFIG_FILE", "[default]\nregion = eu-north-1\n"
					    "[profile other]\nregion=eu-south-1 # note\n");
	assert_true(aws_region_resolve(NULL, NULL, region, sizeof(region), &err));
	assert_string_equal(region, "eu-north-1");
	assert_true(aws_region_resolve(NULL, "other", region, sizeof(region), &err));
	assert_string_equal(region, "eu-south-1");
	setenv("AWS_PROFILE", "other", 1);
	assert_true(aws_region_resolve(NULL, NULL, region, sizeof(region), &err));
	assert_string_equal(region, "eu-south-1");
	setenv("AWS_DEFAULT_REGION", "us-east-2", 1);
	assert_true(aws_region_resolve(NULL, NULL, region, sizeof(region), &err));
	assert_string_equal(region, "us-east-2");
	setenv("AWS_REGION", "us-east-1", 1);
	assert_true(aws_region_resolve("", NULL, region, sizeof(region), &err));
	assert_string_equal(region, "us-east-1");
	assert_true(aws_region_resolve("local", NULL, region, sizeof(region), &err));
	assert_string_equal(region, "local");
	environment_clean(NULL);
	assert_false(aws_region_resolve(NULL, NULL, region, sizeof(region), &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_non_null(strstr(err.message, "AWS_REGION"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, environment_clean, environment_clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_same_as_botocore),    TEST(test_overrides_in_their_order),
		TEST(test_nonsense_is_refused), TEST(test_buckets),
		TEST(test_in_another_region),   TEST(test_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
