#include "tests/unit/aws/credentials_world.h"

static void test_environment(void **state)
{
	struct world w;

	(void)state;
	setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
	assert_false(open_with(&w, NULL, NULL, 0));
	assert_int_equal(w.err.kind, ERROR_REFUSED);
	assert_non_null(strstr(w.err.message, "AWS_SECRET_ACCESS_KEY"));
	close_it(&w);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_SESSION_TOKEN", "token", 1);
	setenv("AWS_ACCOUNT_ID", "123456789012", 1);
	assert_true(open_with(&w, NULL, NULL, 0));
	assert_string_equal(credentials_source(w.credentials), "environment");
	assert_string_equal(w.keys.access_key, "AKID");
	assert_string_equal(w.keys.secret_key, "secret");
	assert_string_equal(w.keys.session_token, "token");
	assert_string_equal(w.keys.account, "123456789012");
	assert_int_equal(w.keys.expires_ms, 0);
	assert_int_equal(credentials_turn(w.credentials), -1); /* nothing to do, ever */
	close_it(&w);
	setenv("AWS_ACCESS_KEY_ID", "AKID\r\nx: y", 1);
	assert_false(open_with(&w, NULL, NULL, 0));
	close_it(&w);
}

static void test_profiles(void **state)
{
	struct world w;

	(void)state;
	environment_file(
		"AWS_SHARED_CREDENTIALS_FILE",
		"# keys\n[default]\naws_access_key_id=DEF\naws_secret_access_key = s3cr#t ; no\n"
		"[ orders ]\n  \nAWS_ACCESS_KEY_ID = ORD\naws_secret_access_key=x=y\n"
		"aws_session_token=tok\n[half]\naws_access_key_id=HALF\n");
	environment_file("AWS_CONFIG_FILE",
			 "[default]\nregion=eu-west-1\n[profile \"my one\"]\n"
			 "aws_access_key_id = MINE\naws_secret_access_key = k\n"
			 "[orders]\naws_access_key_id = IGNORED\n"
			 "[profile orders]\naws_access_key_id = LOSES\nregion=eu-central-1\n");
	assert_true(open_with(&w, NULL, NULL, 0));
	assert_string_equal(credentials_source(w.credentials), "profile default");
	assert_string_equal(w.keys.access_key, "DEF");
	assert_string_equal(w.keys.secret_key, "s3cr#t");
	close_it(&w);
	setenv("AWS_PROFILE", "orders", 1);
	assert_true(open_with(&w, NULL, NULL, 0));
	assert_string_equal(w.keys.access_key, "ORD");
	assert_string_equal(w.keys.secret_key, "x=y");
	assert_string_equal(w.keys.session_token, "tok");
	close_it(&w);
	assert_true(open_with(&w, "my one", NULL, 0));
	assert_string_equal(w.keys.access_key, "MINE");
	assert_string_equal(credentials_profile(w.credentials), "my one");
	close_it(&w);
	/* A profile that the configuration names beats the environment's keys, AWS_PROFILE not. */
	setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "env", 1);
	assert_true(open_with(&w, NULL, NULL, 0));
	assert_string_equal(w.keys.access_key, "ENV");
	close_it(&w);
	assert_true(open_with(&w, "orders", NULL, 0));
	assert_string_equal(w.keys.access_key, "ORD");
	close_it(&w);
	/* Whatever is configured and wrong stops the chain. */
	assert_false(open_with(&w, "missing", NULL, 0));
	assert_non_null(strstr(w.err.message, "no AWS profile 'missing'"));
	close_it(&w);
	assert_false(open_with(&w, "half", NULL, 0));
	assert_non_null(strstr(w.err.message, "aws_secret_access_key"));
	close_it(&w);
}

/* With the file's path between the two. */
static void expect_refused(const char *profile, const char *before, const char *behind)
{
	struct buf whole = { 0 };
	struct world w;

	buf_printf(&whole, "%s%s%s", before, getenv("AWS_CONFIG_FILE"), behind);
	assert_false(open_with(&w, profile, NULL, 0));
	assert_int_equal(w.err.kind, ERROR_REFUSED);
	assert_string_equal(w.err.message, whole.data);
	close_it(&w);
	buf_release(&whole);
}

/* What asks for a person is said with its place, and the way that there is. */
static void test_profiles_of_persons(void **state)
{
	(void)state;
	environment_file("AWS_CONFIG_FILE",
			 "[profile sso]\nregion = x\nsso_session = me\n\n"
			 "[profile old]\nsso_start_url = https://x.awsapps.com/start\n"
			 "[profile mfa]\nrole_arn = arn\nsource_profile = keys\n"
			 "mfa_serial = arn:aws:iam::1:mfa/me\n"
			 "[profile over]\nrole_arn = arn\nsource_profile = sso\n");
	expect_refused("sso", "credentials: the AWS profile 'sso': ",
		       ":3: sso_session signs in as a person; use a profile that has "
		       "credential_process = aws configure export-credentials --profile sso, or "
		       "a role that a machine may take");
	expect_refused("old", "credentials: the AWS profile 'old': ",
		       ":6: sso_start_url signs in as a person; use a profile that has "
		       "credential_process = aws configure export-credentials --profile old, or "
		       "a role that a machine may take");
	expect_refused("mfa", "credentials from: profile mfa: the AWS profile 'mfa': ",
		       ":10: mfa_serial asks for a code, and nobody is here to give it; use a "
		       "profile that has credential_process = aws configure export-credentials "
		       "--profile mfa, or a role that a machine may take");
	expect_refused("over", "credentials from: profile over: the AWS profile 'sso': ",
		       ":3: sso_session signs in as a person; use a profile that has "
		       "credential_process = aws configure export-credentials --profile sso, or "
		       "a role that a machine may take");
}

static void test_damaged_files_are_named(void **state)
{
	struct error err;

	(void)state;
	environment_file("AWS_CONFIG_FILE", "[default]\nregion eu-west-1\n");
	assert_null(profiles_load(&err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_non_null(strstr(err.message, ":2: neither a section nor"));
	environment_file("AWS_CONFIG_FILE", "[default\n");
	assert_null(profiles_load(&err));
	assert_non_null(strstr(err.message, ":1: a section without ]"));
}

static void test_web_identity(void **state)
{
	static const struct answer answers[] = {
		{ 0, "" },
		{ 503, "busy" },
		{ 400, STS_ERROR("InvalidIdentityToken") },
		{ 200, STS_KEYS("ASIA", "2026-11-21T11:00:00Z") },
	};
	static const struct answer denied[] = { { 403, STS_ERROR("AccessDenied") } };
	struct world w;

	(void)state;
	environment_file("AWS_WEB_IDENTITY_TOKEN_FILE", "ey.J+/=\n");
	assert_false(open_with(&w, NULL, NULL, 0));
	assert_non_null(strstr(w.err.message, "AWS_ROLE_ARN"));
	close_it(&w);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
	assert_true(open_with(&w, NULL, answers, 4));
	assert_string_equal(credentials_source(w.credentials), "web identity");
	assert_string_equal(w.keys.session_token, "t&u");
	assert_int_equal(w.keys.expires_ms, wall_ms + 3600000);
	assert_int_equal(w.script.pauses, 3);
	assert_non_null(strstr(w.script.asked.data,
			       "POST https://sts.eu-west-1.amazonaws.com/\n"
			       "Content-Type: application/x-www-form-urlencoded\n"
			       "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
			       "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=sluice"
			       "&WebIdentityToken=ey.J%2B%2F%3D\n"));
	close_it(&w);
	assert_false(open_with(&w, NULL, denied, 1));
	assert_int_equal(w.err.kind, ERROR_REFUSED);
	assert_non_null(strstr(w.err.message, "credentials from: web identity: "));
	assert_non_null(strstr(w.err.message, "AccessDenied: no"));
	close_it(&w);
}

#define JSON_KEYS(id, expiration)                                                                  \
	"{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"s\","              \
	"\"Token\":\"t\",\"Expiration\":\"" expiration "\",\"AccountId\":\"210987654321\"}"

static void test_container(void **state)
{
	static const struct answer answers[] = {
		{ 0, "" }, { 200, JSON_KEYS("ASIA", "2026-11-21T16:00:00Z") }
	};
	static const char *const forbidden[] = { "http://example.com/x", "http://127.0.0.1@evil/",
						 "http://169.254.170.99/", "ftp://localhost/" };
	static const char *const allowed[] = { "https://example.com/x", "http://127.0.0.2:80/",
					       "http://169.254.170.23/v1", "http://[fd00:ec2::23]/",
					       "http://localhost:1/" };
	struct world w;

	(void)state;
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", 1);
	assert_true(open_with(&w, NULL, answers, 2));
	assert_string_equal(w.keys.access_key, "ASIA");
	assert_string_equal(w.keys.account, "210987654321");
	assert_non_null(strstr(w.script.asked.data, "GET http://169.254.170.2/v2/x direct\n"
						    "Accept: application/json\n\n"));
	close_it(&w);
	unsetenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "loses", 1);
	environment_file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "Bearer 1\n");
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", allowed[i], 1);
		assert_true(open_with(&w, NULL, answers + 1, 1));
		assert_non_null(strstr(w.script.asked.data, "\nAuthorization: Bearer 1\n"));
		close_it(&w);
	}
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", forbidden[i], 1);
		assert_false(open_with(&w, NULL, answers, 0));
		assert_int_equal(w.err.kind, ERROR_INVALID);
		close_it(&w);
	}
}

static void test_instance(void **state)
{
	static const struct answer answers[] = {
		{ 200, "IMDSTOKEN" },
		{ 200, "my-role\n" },
		{ 200, JSON_KEYS("ASIA", "2026-11-21T16:00:00Z") },
	};
	static const struct answer no_v2[] = { { 403, "" } };
	static const struct answer failed[] = { { 200, "T" },
						{ 200, "r" },
						{ 200, "{\"Code\":\"Failed\"}" } };
	struct world w;

	(void)state;
	assert_true(open_with(&w, NULL, answers, 3));
	assert_string_equal(credentials_source(w.credentials), "instance metadata");
	assert_string_equal(
		w.script.asked.data,
		"PUT http://169.254.169.254/latest/api/token direct\n"
		"x-aws-ec2-metadata-token-ttl-seconds: 21600\n\n"
		"GET http://169.254.169.254/latest/meta-data/iam/security-credentials/ direct\n"
		"x-aws-ec2-metadata-token: IMDSTOKEN\n\n"
		"GET http://169.254.169.254/latest/meta-data/iam/security-credentials/my-role "
		"direct\nx-aws-ec2-metadata-token: IMDSTOKEN\n\n");
	close_it(&w);
	/* Never without a token: that would be version 1. */
	assert_false(open_with(&w, NULL, no_v2, 1));
	assert_non_null(strstr(w.err.message, "AWS_ACCESS_KEY_ID"));
	close_it(&w);
	assert_false(open_with(&w, NULL, failed, 3));
	assert_non_null(strstr(w.err.message, "Failed"));
	close_it(&w);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	assert_false(open_with(&w, NULL, NULL, 0));
	assert_int_equal(w.err.kind, ERROR_REFUSED);
	close_it(&w);
}

static int64_t refreshes(struct world *w, const char *result)
{
	return metric_get(metrics_cell(w->metrics, METRIC_CREDENTIAL_REFRESHES, result, NULL));
}

static void test_refresh_ahead_and_old_keys_in_between(void **state)
{
	static const struct answer answers[] = {
		{ 200, JSON_KEYS("ONE", "2026-11-21T11:00:00Z") },
		{ 404, "" },
		{ 200, JSON_KEYS("ONE", "2026-11-21T11:00:00Z") }, /* not renewed yet */
		{ 200, JSON_KEYS("TWO", "2026-11-21T12:00:00Z") },
	};
	struct world w;
	int64_t next;

	(void)state;
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/", 1);
	assert_true(open_with(&w, NULL, answers, 4));
	assert_int_equal(w.keys.version, 1);
	pass(44 * 60000);
	next = credentials_turn(w.credentials);
	assert_true(next >= 0 && next <= 60000);
	assert_int_equal(w.script.at, 1); /* from 15 minutes before the end, not sooner */
	assert_int_equal(metric_get(metrics_cell(w.metrics, METRIC_CREDENTIALS_EXPIRY, NULL, NULL)),
			 16 * 60000);
	pass(2 * 60000);
	credentials_turn(w.credentials);
	assert_int_equal(refreshes(&w, "failed"), 1);
	assert_true(credentials_get(w.credentials, &w.keys));
	assert_string_equal(w.keys.access_key, "ONE");
	pass(60000);
	credentials_turn(w.credentials);
	assert_int_equal(w.script.at, 3);
	assert_int_equal(credentials_version(w.credentials), 1);
	pass(60000);
	credentials_turn(w.credentials);
	assert_int_equal(w.script.at, 4);
	assert_int_equal(credentials_version(w.credentials), 2);
	assert_true(credentials_get(w.credentials, &w.keys));
	assert_string_equal(w.keys.access_key, "TWO");
	assert_int_equal(refreshes(&w, "ok"), 3);
	close_it(&w);
}

static void test_refused_keys_are_renewed_once(void **state)
{
	static const struct answer answers[] = {
		{ 200, JSON_KEYS("ONE", "2026-11-21T16:00:00Z") },
		{ 200, JSON_KEYS("TWO", "2026-11-21T16:00:00Z") },
	};
	struct world w;

	(void)state;
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/", 1);
	assert_true(open_with(&w, NULL, answers, 2));
	pass(20000);
	for (int i = 0; i < 3; i++)
		credentials_refused(w.credentials, 1);
	assert_true(credentials_refreshing(w.credentials));
	credentials_turn(w.credentials);
	assert_false(credentials_refreshing(w.credentials));
	assert_int_equal(credentials_version(w.credentials), 2);
	credentials_refused(w.credentials, 1); /* somebody who is late */
	assert_false(credentials_refreshing(w.credentials));
	credentials_refused(w.credentials, 2); /* these are brand new: asking again won't help */
	assert_false(credentials_refreshing(w.credentials));
	close_it(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_environment),
		TEST(test_profiles),
		TEST(test_profiles_of_persons),
		TEST(test_damaged_files_are_named),
		TEST(test_web_identity),
		TEST(test_container),
		TEST(test_instance),
		TEST(test_refresh_ahead_and_old_keys_in_between),
		TEST(test_refused_keys_are_renewed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
