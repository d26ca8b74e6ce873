#include "tests/unit/aws/credentials_world.h"

/* Roles that are taken: of the configuration, and of profiles that build on each other. */

#define KEYS(id, expiration)                                                                       \
	"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>" id "</AccessKeyId>"     \
	"<SecretAccessKey>s-" id "</SecretAccessKey><SessionToken>t-" id "</SessionToken>"         \
	"<Expiration>" expiration "</Expiration></Credentials></AssumeRoleResult>"                 \
	"</AssumeRoleResponse>"
#define READER "arn:aws:iam::123456789012:role/reader"

static void keys_in_environment(void)
{
	setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_ACCOUNT_ID", "210987654321", 1);
}

static void expect(const struct world *w, const char *part)
{
	if (!w->script.asked.data || !strstr(w->script.asked.data, part))
		fail_msg("not asked: %s\n%s", part,
			 w->script.asked.data ? w->script.asked.data : "nothing");
}

static void test_a_role_of_the_configuration(void **state)
{
	static const struct answer answers[] = {
		{ 200, KEYS("ONE", "2026-11-21T11:00:00Z") },
		{ 200, KEYS("TWO", "2026-11-21T12:00:00Z") },
	};
	const struct aws_role role = { READER, "a b/1", "orders-1", 1800 };
	struct world w;

	(void)state;
	keys_in_environment();
	assert_true(open_as(&w, role, NULL, answers, 2));
	assert_string_equal(credentials_source(w.credentials), "environment, role " READER);
	assert_string_equal(w.keys.access_key, "ONE");
	assert_string_equal(w.keys.secret_key, "s-ONE");
	assert_string_equal(w.keys.session_token, "t-ONE");
	assert_string_equal(w.keys.account, "123456789012"); /* the role's, not the caller's */
	assert_int_equal(w.keys.expires_ms, wall_ms + 3600000);
	expect(&w, "POST https://sts.eu-west-1.amazonaws.com/\n"
		   "Content-Type: application/x-www-form-urlencoded\n"
		   "X-Amz-Date: 20261121T100000Z\n"
		   "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/sts/"
		   "aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=");
	expect(&w, "\nAction=AssumeRole&Version=2011-06-15"
		   "&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader"
		   "&RoleSessionName=orders-1&ExternalId=a%20b%2F1&DurationSeconds=1800\n");
	/* They are renewed before they end. */
	pass((int64_t)46 * 60000);
	credentials_turn(w.credentials);
	assert_int_equal(w.script.at, 2);
	assert_true(credentials_get(w.credentials, &w.keys));
	assert_string_equal(w.keys.access_key, "TWO");
	close_it(&w);
}

static void test_a_role_that_is_refused(void **state)
{
	static const struct answer denied[] = { { 403, STS_ERROR("AccessDenied") } };
	static const struct answer busy[] = { { 400, STS_ERROR("Throttling") } };
	static const struct answer no_keys[] = { { 200, "<AssumeRoleResponse/>" } };
	const struct aws_role role = { .arn = READER };
	struct world w;

	(void)state;
	keys_in_environment();
	assert_false(open_as(&w, role, NULL, denied, 1));
	assert_int_equal(w.err.kind, ERROR_REFUSED);
	assert_non_null(strstr(w.err.message, "credentials from: environment, role " READER
					      ": AssumeRole for " READER ": AccessDenied: no "
					      "(HTTP 403); the role's trust policy"));
	close_it(&w);
	assert_false(open_as(&w, role, NULL, busy, 1));
	assert_int_equal(w.err.kind, ERROR_THROTTLED);
	close_it(&w);
	assert_false(open_as(&w, role, NULL, no_keys, 1));
	assert_non_null(strstr(w.err.message, "without proper keys"));
	close_it(&w);
}

#define SKEWED(code, text)                                                                         \
	"<ErrorResponse><Error><Type>Sender</Type><Code>" code "</Code><Message>" text             \
	"</Message></Error></ErrorResponse>"
#define EXPIRED                                                                                    \
	SKEWED("SignatureDoesNotMatch", "Signature expired: 20261121T100000Z is now earlier than " \
					"20261121T115500Z (20261121T120000Z - 5 min.)")

/* Nobody else may have been asked for AWS's time before. */
static void test_a_clock_that_is_wrong_at_the_start(void **state)
{
	static const char *const said[] = {
		EXPIRED,
		SKEWED("SignatureDoesNotMatch", "Signature not yet current: 2 is later than 1"),
		SKEWED("RequestExpired", "Request has expired"),
	};
	const struct aws_role role = { .arn = READER };
	struct world w;

	(void)state;
	keys_in_environment();
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		const struct answer answers[] = { { 403, said[i] },
						  { 200, KEYS("ONE", "2026-11-21T13:00:00Z") },
						  { 200, KEYS("TWO", "2026-11-21T13:46:00Z") } };

		answers_date = "Sat, 21 Nov 2026 12:00:00 GMT";
		assert_true(open_as(&w, role, NULL, answers, 3));
		expect(&w, "X-Amz-Date: 20261121T100000Z\n");
		expect(&w, "X-Amz-Date: 20261121T120000Z\n");
		assert_int_equal(clock_aws_ms(&w.clock), wall_ms + 7200500);
		assert_int_equal(
			metric_get(metrics_cell(w.metrics, METRIC_AWS_CLOCK_OFFSET, NULL, NULL)),
			7200500);
		/* They live for an hour, not for three. */
		pass((int64_t)46 * 60000);
		credentials_turn(w.credentials);
		assert_int_equal(w.script.at, 3);
		close_it(&w);
	}
	answers_date = "";
}

static void test_a_clock_that_nobody_corrects(void **state)
{
	static const struct answer answers[] = { { 403, EXPIRED }, { 403, EXPIRED } };
	const struct aws_role role = { .arn = READER };
	struct world w;

	(void)state;
	keys_in_environment();
	assert_false(open_as(&w, role, NULL, answers, 1));
	assert_int_equal(w.err.kind, ERROR_REFUSED);
	assert_non_null(strstr(w.err.message, "5 min.) (HTTP 403); set this machine's clock"));
	close_it(&w);
	answers_date = "Sat, 21 Nov 2026 12:00:00 GMT";
	assert_false(open_as(&w, role, NULL, answers, 2));
	assert_int_equal(w.script.at, 2);
	assert_non_null(strstr(w.err.message, "; set this machine's clock"));
	close_it(&w);
	answers_date = "";
}

static const char profiles_of_test[] =
	"[profile base]\naws_access_key_id = BASE\naws_secret_access_key = b\n"
	"[profile middle]\nrole_arn = arn:aws:iam::2:role/middle\nsource_profile = base\n"
	"external_id = ext\n"
	"[profile top]\nrole_arn = arn:aws:iam::3:role/top\nsource_profile = middle\n"
	"role_session_name = s\nduration_seconds = 900\n"
	"[profile self]\nrole_arn = arn:aws:iam::4:role/self\nsource_profile = self\n"
	"aws_access_key_id = SELF\naws_secret_access_key = s\n"
	"[profile own]\nrole_arn = arn:aws:iam::5:role/own\nsource_profile = self\n"
	"[profile pod]\nrole_arn = arn:aws:iam::6:role/pod\n"
	"web_identity_token_file = /nonexistent/token\n"
	"[profile over-pod]\nrole_arn = arn:aws:iam::7:role/over\nsource_profile = pod\n"
	"[profile machine]\nrole_arn = arn:aws:iam::8:role/m\ncredential_source = ecscontainer\n"
	"[profile shell]\nrole_arn = arn:aws:iam::9:role/e\ncredential_source = Environment\n";

static void test_profiles_that_build_on_each_other(void **state)
{
	static const struct answer two[] = { { 200, KEYS("MID", "2026-11-21T11:00:00Z") },
					     { 200, KEYS("TOP", "2026-11-21T10:15:00Z") } };
	struct world w;

	(void)state;
	environment_file("AWS_CONFIG_FILE", profiles_of_test);
	assert_true(open_with(&w, "top", two, 2));
	assert_string_equal(credentials_source(w.credentials), "profile top");
	assert_string_equal(w.keys.access_key, "TOP");
	assert_int_equal(w.keys.expires_ms, wall_ms + 15 * 60000);
	expect(&w, "Credential=BASE/");
	expect(&w, "%3Arole%2Fmiddle&RoleSessionName=sluice&ExternalId=ext\n");
	expect(&w, "Credential=MID/");
	expect(&w, "\nX-Amz-Security-Token: t-MID\n");
	expect(&w, "%3Arole%2Ftop&RoleSessionName=s&DurationSeconds=900\n");
	close_it(&w);
	/* And the role of the configuration is taken with those of the profile. */
	assert_true(open_as(&w, (struct aws_role){ .arn = READER }, "middle", two, 2));
	assert_string_equal(w.keys.access_key, "TOP");
	expect(&w, "%3Arole%2Fmiddle&");
	expect(&w, "%3Arole%2Freader&");
	close_it(&w);
}

static void test_a_profile_that_builds_on_itself(void **state)
{
	static const struct answer one[] = { { 200, KEYS("ONE", "2026-11-21T11:00:00Z") } };
	struct world w;

	(void)state;
	environment_file("AWS_CONFIG_FILE", profiles_of_test);
	assert_true(open_with(&w, "self", one, 1));
	assert_string_equal(w.keys.access_key, "ONE"); /* the role's, though it has keys */
	expect(&w, "Credential=SELF/");
	close_it(&w);
	/* For another profile it is its keys that count. */
	assert_true(open_with(&w, "own", one, 1));
	expect(&w, "Credential=SELF/");
	expect(&w, "%3Arole%2Fown&");
	close_it(&w);
}

#define CONTAINER_KEYS                                                                             \
	"{\"AccessKeyId\":\"BOX\",\"SecretAccessKey\":\"s\",\"Token\":\"t\","                      \
	"\"Expiration\":\"2026-11-21T16:00:00Z\"}"

static void test_a_role_with_the_machines_keys(void **state)
{
	static const struct answer answers[] = { { 200, CONTAINER_KEYS },
						 { 200, KEYS("ONE", "2026-11-21T11:00:00Z") } };
	struct world w;

	(void)state;
	environment_file("AWS_CONFIG_FILE", profiles_of_test);
	assert_false(open_with(&w, "machine", NULL, 0));
	assert_non_null(strstr(w.err.message, "'machine': credential_source, container: nothing"));
	close_it(&w);
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/", 1);
	assert_true(open_with(&w, "machine", answers, 2));
	assert_string_equal(w.keys.access_key, "ONE");
	expect(&w, "Credential=BOX/");
	close_it(&w);
	keys_in_environment();
	assert_true(open_with(&w, "shell", answers + 1, 1));
	expect(&w, "Credential=AKID/");
	close_it(&w);
}

static void test_a_role_with_those_of_a_token(void **state)
{
	static const struct answer answers[] = { { 200, STS_KEYS("POD", "2026-11-21T11:00:00Z") },
						 { 200, KEYS("ONE", "2026-11-21T11:00:00Z") } };
	struct buf text = { 0 };
	struct world w;

	(void)state;
	environment_file("AWS_CONFIG_FILE", profiles_of_test);
	assert_false(open_with(&w, "over-pod", NULL, 0));
	assert_non_null(strstr(w.err.message, "the AWS profile 'pod': /nonexistent/token"));
	close_it(&w);
	environment_file("TOKEN_OF_TEST", "ey.J");
	buf_printf(&text,
		   "[profile pod]\nrole_arn = arn:aws:iam::6:role/pod\n"
		   "web_identity_token_file = %s\n"
		   "[profile over]\nrole_arn = arn:aws:iam::7:role/over\nsource_profile = pod\n",
		   getenv("TOKEN_OF_TEST"));
	environment_file("AWS_CONFIG_FILE", text.data);
	assert_true(open_with(&w, "over", answers, 2));
	assert_string_equal(w.keys.access_key, "ONE");
	expect(&w, "&WebIdentityToken=ey.J\n");
	expect(&w, "Credential=POD/");
	close_it(&w);
	buf_release(&text);
}

/* Whatever is wrong with a chain is said before anybody is asked, with the profile's name. */
static void test_chains_that_lead_nowhere(void **state)
{
	static const struct {
		const char *text, *message;
	} wrong[] = {
		{ "role_arn = arn\nsource_profile = b\n[profile b]\nrole_arn = arn\n"
		  "source_profile = a\n",
		  "'a': its source_profile leads back to it" },
		{ "role_arn = arn\nsource_profile = a\n", "'a': its source_profile leads back" },
		{ "role_arn = arn\nsource_profile = c\n", "'a': there is no profile 'c'" },
		{ "role_arn = arn\n", "'a': role_arn needs source_profile or credential_source" },
		{ "role_arn = arn\nsource_profile = b\ncredential_source = Environment\n",
		  "'a': role_arn needs source_profile or credential_source, not both" },
		{ "role_arn = arn\ncredential_source = Moon\n", "not 'Moon'" },
		{ "source_profile = b\n", "'a': it has source_profile" },
		{ "role_arn = arn\nsource_profile = b\n[profile b]\nregion = x\n",
		  "'b': it has neither keys, a role nor" },
		{ "role_arn = arn\nsource_profile = b\n[profile b]\naws_access_key_id = x\n",
		  "'b': it needs aws_access_key_id and" },
		{ "role_arn = arn\nsource_profile = b\nduration_seconds = 1h\n[profile b]\n"
		  "aws_access_key_id = x\naws_secret_access_key = y\n",
		  "'a': duration_seconds: expected 900 to 43200, not '1h'" },
		{ "role_arn = r\nsource_profile = 1\n[profile 1]\nrole_arn = r\n"
		  "source_profile = 2\n[profile 2]\nrole_arn = r\nsource_profile = 3\n"
		  "[profile 3]\nrole_arn = r\nsource_profile = 4\n[profile 4]\nrole_arn = r\n"
		  "source_profile = 5\n[profile 5]\nrole_arn = r\nsource_profile = 6\n"
		  "[profile 6]\nrole_arn = r\nsource_profile = 7\n[profile 7]\nrole_arn = r\n"
		  "source_profile = 8\n[profile 8]\nrole_arn = r\nsource_profile = 9\n",
		  "'8': more than 8 roles" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct buf text = { 0 };
		struct world w;

		buf_printf(&text, "[profile a]\n%s", wrong[i].text);
		environment_file("AWS_CONFIG_FILE", text.data);
		assert_false(open_with(&w, "a", NULL, 0));
		assert_int_equal(w.err.kind, ERROR_REFUSED);
		if (!strstr(w.err.message, wrong[i].message))
			fail_msg("\"%s\" lacks \"%s\"", w.err.message, wrong[i].message);
		close_it(&w);
		buf_release(&text);
	}
}

static void test_the_profile_and_the_role_are_named(void **state)
{
	static const struct answer answers[] = { { 200, KEYS("MID", "2026-11-21T11:00:00Z") },
						 { 403, STS_ERROR("AccessDenied") } };
	struct world w;

	(void)state;
	environment_file("AWS_CONFIG_FILE", profiles_of_test);
	assert_false(open_with(&w, "top", answers, 2));
	assert_non_null(strstr(w.err.message, "the AWS profile 'top': AssumeRole for "
					      "arn:aws:iam::3:role/top: AccessDenied"));
	close_it(&w);
	assert_false(open_with(&w, "top", answers + 1, 1));
	assert_non_null(strstr(w.err.message, "the AWS profile 'middle': AssumeRole for "
					      "arn:aws:iam::2:role/middle: AccessDenied"));
	close_it(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_role_of_the_configuration),
		TEST(test_a_role_that_is_refused),
		TEST(test_a_clock_that_is_wrong_at_the_start),
		TEST(test_a_clock_that_nobody_corrects),
		TEST(test_profiles_that_build_on_each_other),
		TEST(test_a_profile_that_builds_on_itself),
		TEST(test_a_role_with_the_machines_keys),
		TEST(test_a_role_with_those_of_a_token),
		TEST(test_chains_that_lead_nowhere),
		TEST(test_the_profile_and_the_role_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
