#include <stdio.h>
#include <stdlib.h>

#include "aws/profile.h"
#include "aws/source.h"

/* Keys that stand in the environment or in a file. */

static bool environment_configured(const struct source_context *x, bool *yes, struct error *err)
{
	const char *id = source_env("AWS_ACCESS_KEY_ID");
	const char *secret = source_env("AWS_SECRET_ACCESS_KEY");

	*yes = !x->profile_in_code && (id || secret);
	if (*yes && !(id && secret))
		return error_set(err, ERROR_REFUSED, "%s is set without %s",
				 id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
				 id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	return true;
}

static bool environment_fetch(const struct source_context *x, struct credentials_keys *out,
			      struct error *err)
{
	const char *token = source_env("AWS_SESSION_TOKEN");
	const char *account = source_env("AWS_ACCOUNT_ID");
	const char *expires = source_env("AWS_CREDENTIAL_EXPIRATION");

	(void)x;
	if (!token)
		token = source_env("AWS_SECURITY_TOKEN");
	if (expires && !source_time(expires, &out->expires_ms))
		return error_set(err, ERROR_INVALID, "AWS_CREDENTIAL_EXPIRATION: '%s' is no time",
				 expires);
	return source_copy(out->access_key, sizeof(out->access_key),
			   source_env("AWS_ACCESS_KEY_ID"), "AWS_ACCESS_KEY_ID", err) &&
	       source_copy(out->secret_key, sizeof(out->secret_key),
			   source_env("AWS_SECRET_ACCESS_KEY"), "AWS_SECRET_ACCESS_KEY", err) &&
	       source_copy(out->session_token, sizeof(out->session_token), token ? token : "",
			   "AWS_SESSION_TOKEN", err) &&
	       source_copy(out->account, sizeof(out->account), account ? account : "",
			   "AWS_ACCOUNT_ID", err);
}

const struct source_ops source_environment = {
	.name = "environment",
	.configured = environment_configured,
	.fetch = environment_fetch,
};

/* Ways to keys that a profile may ask for and that are not ours. Going on to the next source would
 * run under an identity that nobody meant. */
static const char *profile_unsupported(const struct profiles *p, const char *profile)
{
	static const char *const keys[] = { "credential_process", "sso_session", "sso_start_url",
					    "source_profile", "credential_source" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (profiles_get(p, profile, keys[i]))
			return keys[i];
	return NULL;
}

static bool profile_configured(const struct source_context *x, bool *yes, struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);
	const char *other;

	*yes = false;
	if (!p)
		return false;
	if (x->profile_asked && !profiles_has(p, x->profile))
		return error_set(err, ERROR_REFUSED,
				 "there is no AWS profile '%s'; add it to ~/.aws/config or correct "
				 "the name",
				 x->profile);
	*yes = profiles_get(p, x->profile, "aws_access_key_id") != NULL;
	other = profile_unsupported(p, x->profile);
	if (!*yes && other)
		return error_set(err, ERROR_REFUSED,
				 "the AWS profile '%s' uses %s, which is not supported; give it "
				 "keys, a web_identity_token_file, or use another profile",
				 x->profile, other);
	return true;
}

static bool profile_fetch(const struct source_context *x, struct credentials_keys *out,
			  struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);
	const char *id, *secret, *token;

	if (!p)
		return false;
	id = profiles_get(p, x->profile, "aws_access_key_id");
	secret = profiles_get(p, x->profile, "aws_secret_access_key");
	token = profiles_get(p, x->profile, "aws_session_token");
	if (!id || !secret)
		return error_set(err, ERROR_REFUSED,
				 "the AWS profile '%s' needs aws_access_key_id and "
				 "aws_secret_access_key",
				 x->profile);
	return source_copy(out->access_key, sizeof(out->access_key), id, "aws_access_key_id",
			   err) &&
	       source_copy(out->secret_key, sizeof(out->secret_key), secret,
			   "aws_secret_access_key", err) &&
	       source_copy(out->session_token, sizeof(out->session_token), token ? token : "",
			   "aws_session_token", err);
}

const struct source_ops source_profile = {
	.name = "profile",
	.configured = profile_configured,
	.fetch = profile_fetch,
};
