#include <stdio.h>
#include <string.h>

#include "aws/profile.h"
#include "aws/sts.h"

/* A token file and a role, as Kubernetes gives them: exchanged at STS for keys. */

#define TOKEN_MAX       20000
#define REJECTION_TRIES 2 /* the file may have been rotated just then */

struct identity {
	const char *token_file, *role, *session;
};

static struct identity identity_of_profile(const struct profiles *p, const char *profile)
{
	return (struct identity){ profiles_get(p, profile, "web_identity_token_file"),
				  profiles_get(p, profile, "role_arn"),
				  profiles_get(p, profile, "role_session_name") };
}

static struct identity identity_of(const struct source_context *x, const struct profiles *p)
{
	struct identity id = { source_env("AWS_WEB_IDENTITY_TOKEN_FILE"),
			       source_env("AWS_ROLE_ARN"), source_env("AWS_ROLE_SESSION_NAME") };

	if (!id.token_file || x->profile_in_code) {
		struct identity own = identity_of_profile(p, x->profile);

		if (own.token_file || x->profile_in_code)
			id = own;
	}
	return id;
}

static bool web_identity_configured(const struct source_context *x, bool *yes, struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);
	struct identity id;

	*yes = false;
	if (!p)
		return false;
	id = identity_of(x, p);
	*yes = id.token_file != NULL;
	if (*yes && !id.role)
		return error_set(err, ERROR_REFUSED,
				 "AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN");
	return true;
}

/* One exchange. `rejected`: STS did not like the token itself. */
static bool exchange(const struct source_context *x, const struct identity *id,
		     struct credentials_keys *out, bool *rejected, struct error *err)
{
	const struct aws_role role = { .arn = id->role, .session = id->session };
	char what[400], code[ANSWER_CODE_MAX] = "";
	struct buf token = { 0 }, form = { 0 };
	bool ok = source_read(id->token_file, TOKEN_MAX, &token, err);

	if (ok) {
		snprintf(what, sizeof(what),
			 "AssumeRoleWithWebIdentity for %.140s with the token in %.140s", id->role,
			 id->token_file);
		sts_form(&form, "AssumeRoleWithWebIdentity", &role);
		sts_form_add(&form, "WebIdentityToken", buf_str(&token));
		ok = sts_ask(x, buf_str(&form), NULL, what, "check the role's trust policy", out,
			     code, err);
	}
	*rejected = strcmp(code, "InvalidIdentityToken") == 0 ||
		    strncmp(code, "ExpiredToken", 12) == 0 ||
		    strcmp(code, "IDPCommunicationError") == 0;
	buf_release(&token);
	buf_release(&form);
	return ok;
}

static bool take(const struct source_context *x, const struct identity *id,
		 struct credentials_keys *out, struct error *err)
{
	for (int i = 1;; i++) {
		bool rejected;

		if (exchange(x, id, out, &rejected, err))
			return true;
		if (!rejected || i == REJECTION_TRIES || !x->world.pause(x->world.arg, 1000))
			return false;
	}
}

bool source_profile_identity(const struct source_context *x, const struct profiles *p,
			     const char *profile, struct credentials_keys *out, struct error *err)
{
	struct identity id = identity_of_profile(p, profile);

	if (!id.role)
		return error_set(err, ERROR_REFUSED, "web_identity_token_file without role_arn");
	return take(x, &id, out, err);
}

static bool web_identity_fetch(const struct source_context *x, struct credentials_keys *out,
			       struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);
	struct identity id;

	if (!p)
		return false;
	id = identity_of(x, p);
	return take(x, &id, out, err);
}

const struct source_ops source_web_identity = {
	.name = "web identity",
	.configured = web_identity_configured,
	.fetch = web_identity_fetch,
};
