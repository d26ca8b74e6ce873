#include <stdio.h>
#include <stdlib.h>

#include "aws/source.h"

/* Keys that stand in the environment. */

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
