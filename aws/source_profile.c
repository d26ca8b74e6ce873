#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/profile.h"
#include "aws/sts.h"

/* A profile of the shared files: keys, a program that prints some, a role that is taken with the
 * keys of another profile (and so on), or with those of the machine. */

#define CHAIN_MAX      8
#define DURATION_S_MIN 900
#define DURATION_S_MAX 43200

static const char *get(const struct profiles *p, const char *profile, const char *key)
{
	return profiles_get(p, profile, key);
}

static bool has_keys(const struct profiles *p, const char *profile)
{
	return get(p, profile, "aws_access_key_id") != NULL;
}

static bool has_role(const struct profiles *p, const char *profile)
{
	return get(p, profile, "role_arn") && !get(p, profile, "web_identity_token_file");
}

/* The AWS command line can, where a person was asked before. */
static bool needs_a_person(const struct profiles *p, const char *profile, const char *key,
			   const char *why, struct error *err)
{
	char where[PROFILES_WHERE_SIZE];

	return error_set(err, ERROR_REFUSED,
			 "%s: %s %s; use a profile that has credential_process = aws configure "
			 "export-credentials --profile %.60s, or a role that a machine may take",
			 profiles_where(p, profile, key, where), key, why, profile);
}

/* What a profile may say besides, and what is wrong with it: going on to the next source would run
 * under an identity that nobody meant. */
static bool usable(const struct profiles *p, const char *profile, struct error *err)
{
	static const char *const of_person[] = { "sso_session", "sso_start_url", "login_session" };
	static const char *const of_role[] = { "source_profile", "credential_source" };

	for (size_t i = 0; i < sizeof(of_person) / sizeof(of_person[0]); i++)
		if (get(p, profile, of_person[i]))
			return needs_a_person(p, profile, of_person[i], "signs in as a person",
					      err);
	for (size_t i = 0; i < sizeof(of_role) / sizeof(of_role[0]); i++)
		if (get(p, profile, of_role[i]) && !get(p, profile, "role_arn"))
			return error_set(
				err, ERROR_REFUSED,
				"it has source_profile or credential_source, but no role_arn");
	return true;
}

/* ---- the way from a profile to keys ---- */

/* The role of profiles[0] is taken with keys of the role of profiles[1], and so on; that of the
 * last one with the keys of `base`, or of `source`. */
struct chain {
	const char *profiles[CHAIN_MAX];
	size_t count;
	const char *base;
	const struct source_ops *source; /* NULL: base */
};

static const struct source_ops *source_named(const char *name)
{
	static const struct {
		const char *name;
		const struct source_ops *source;
	} names[] = {
		{ "Environment", &source_environment },
		{ "EcsContainer", &source_container },
		{ "Ec2InstanceMetadata", &source_instance },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i].name) == 0)
			return names[i].source;
	return NULL;
}

/* Whether the chain may go over this profile's role. */
static bool may_follow(const struct profiles *p, const struct chain *c, const char *profile,
		       struct error *err)
{
	bool from_profile = get(p, profile, "source_profile") != NULL;
	bool from_source = get(p, profile, "credential_source") != NULL;

	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->profiles[i], profile) == 0)
			return error_set(err, ERROR_REFUSED,
					 "its source_profile leads back to it, and it has no keys");
	if (c->count == CHAIN_MAX)
		return error_set(err, ERROR_REFUSED, "more than %d roles one after another",
				 CHAIN_MAX);
	if (get(p, profile, "mfa_serial"))
		return needs_a_person(p, profile, "mfa_serial",
				      "asks for a code, and nobody is here to give it", err);
	if (from_profile == from_source)
		return error_set(err, ERROR_REFUSED,
				 "role_arn needs source_profile or credential_source%s",
				 from_profile ? ", not both" : "");
	return true;
}

static bool step(const struct profiles *p, struct chain *c, const char **profile, struct error *err)
{
	const char *next = get(p, *profile, "source_profile");
	const char *source = get(p, *profile, "credential_source");

	if (!may_follow(p, c, *profile, err))
		return false;
	c->profiles[c->count++] = *profile;
	if (source) {
		c->source = source_named(source);
		return c->source ||
		       error_set(err, ERROR_REFUSED,
				 "credential_source: expected Environment, EcsContainer or "
				 "Ec2InstanceMetadata, not '%.60s'",
				 source);
	}
	if (!profiles_has(p, next))
		return error_set(err, ERROR_REFUSED,
				 "there is no profile '%.100s', its "
				 "source_profile",
				 next);
	*profile = next;
	return true;
}

/* A profile that another one builds on gives its keys where it has some, whatever else it says: so
 * one may build on itself. */
static bool follow(const struct profiles *p, const char *profile, struct chain *c,
		   struct error *err)
{
	*c = (struct chain){ 0 };
	while (has_role(p, profile) && !c->source && !(c->count && has_keys(p, profile))) {
		const char *at = profile;

		if (!step(p, c, &profile, err))
			return error_wrap(err, "the AWS profile '%.100s'", at);
	}
	c->base = profile;
	return true;
}

/* ---- keys ---- */

static bool take_keys(const struct profiles *p, const char *profile, struct credentials_keys *out,
		      struct error *err)
{
	const char *id = get(p, profile, "aws_access_key_id");
	const char *secret = get(p, profile, "aws_secret_access_key");
	const char *token = get(p, profile, "aws_session_token");
	const char *account = get(p, profile, "aws_account_id");

	if (!id || !secret)
		return error_set(err, ERROR_REFUSED,
				 "it needs aws_access_key_id and aws_secret_access_key");
	return source_copy(out->access_key, sizeof(out->access_key), id, "aws_access_key_id",
			   err) &&
	       source_copy(out->secret_key, sizeof(out->secret_key), secret,
			   "aws_secret_access_key", err) &&
	       source_copy(out->session_token, sizeof(out->session_token), token ? token : "",
			   "aws_session_token", err) &&
	       source_copy(out->account, sizeof(out->account), account ? account : "",
			   "aws_account_id", err);
}

static bool take_base(const struct source_context *x, const struct profiles *p, const char *profile,
		      struct credentials_keys *out, struct error *err)
{
	const char *command = get(p, profile, "credential_process");
	bool ok;

	if (has_keys(p, profile))
		ok = take_keys(p, profile, out, err);
	else if (command)
		ok = source_profile_process(x, command, out, err);
	else if (get(p, profile, "web_identity_token_file"))
		ok = source_profile_identity(x, p, profile, out, err);
	else
		ok = usable(p, profile, err) &&
		     error_set(err, ERROR_REFUSED,
			       "it has neither keys, a role nor a credential_process");
	return ok || error_wrap(err, "the AWS profile '%.100s'", profile);
}

static bool take_source(const struct source_context *x, const struct chain *c,
			struct credentials_keys *out, struct error *err)
{
	struct source_context of = *x;
	bool yes, ok;

	of.profile_in_code = false; /* it asks for the environment itself */
	ok = c->source->configured(&of, &yes, err) &&
	     (yes || error_set(err, ERROR_REFUSED, "nothing of it is set")) &&
	     c->source->fetch(&of, out, err);
	return ok || (error_wrap(err, "credential_source, %s", c->source->name),
		      error_wrap(err, "the AWS profile '%.100s'", c->profiles[c->count - 1]));
}

static bool role_of(const struct profiles *p, const char *profile, struct aws_role *out,
		    struct error *err)
{
	const char *seconds = get(p, profile, "duration_seconds");
	char *end = NULL;

	*out = (struct aws_role){ .arn = get(p, profile, "role_arn"),
				  .external_id = get(p, profile, "external_id"),
				  .session = get(p, profile, "role_session_name") };
	if (!seconds)
		return true;
	out->duration_s = strtol(seconds, &end, 10);
	return (!*end && out->duration_s >= DURATION_S_MIN && out->duration_s <= DURATION_S_MAX) ||
	       error_set(err, ERROR_REFUSED, "duration_seconds: expected %d to %d, not '%.30s'",
			 DURATION_S_MIN, DURATION_S_MAX, seconds);
}

static bool take_roles(const struct source_context *x, const struct profiles *p,
		       const struct chain *c, struct credentials_keys *keys, struct error *err)
{
	for (size_t i = c->count; i-- > 0;) {
		struct aws_role role;

		if (!role_of(p, c->profiles[i], &role, err) ||
		    !sts_assume_role(x, &role, keys, err))
			return error_wrap(err, "the AWS profile '%.100s'", c->profiles[i]);
	}
	return true;
}

static bool profile_configured(const struct source_context *x, bool *yes, struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);

	*yes = false;
	if (!p)
		return false;
	if (x->profile_asked && !profiles_has(p, x->profile))
		return error_set(err, ERROR_REFUSED,
				 "there is no AWS profile '%s'; add it to ~/.aws/config or correct "
				 "the name",
				 x->profile);
	*yes = has_keys(p, x->profile) || has_role(p, x->profile) ||
	       get(p, x->profile, "credential_process");
	return *yes || usable(p, x->profile, err) ||
	       error_wrap(err, "the AWS profile '%.100s'", x->profile);
}

static bool profile_fetch(const struct source_context *x, struct credentials_keys *out,
			  struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);
	struct chain c;

	return p && follow(p, x->profile, &c, err) &&
	       (c.source ? take_source(x, &c, out, err) : take_base(x, p, c.base, out, err)) &&
	       take_roles(x, p, &c, out, err);
}

const struct source_ops source_profile = {
	.name = "profile",
	.configured = profile_configured,
	.fetch = profile_fetch,
};
