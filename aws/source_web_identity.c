#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "aws/answer.h"
#include "aws/endpoint.h"
#include "aws/profile.h"
#include "aws/sign.h"
#include "aws/source.h"
#include "aws/xml.h"

/* A token file and a role, as Kubernetes gives them: exchanged at STS for keys. */

#define TOKEN_MAX       20000
#define ANSWER_MAX      ((size_t)64 << 10)
#define TIMEOUT_MS      10000
#define TRIES           3
#define REJECTION_TRIES 2 /* the file may have been rotated just then */

struct identity {
	const char *token_file, *role, *session;
};

static struct identity identity_of(const struct source_context *x, const struct profiles *p)
{
	struct identity id = { source_env("AWS_WEB_IDENTITY_TOKEN_FILE"),
			       source_env("AWS_ROLE_ARN"), source_env("AWS_ROLE_SESSION_NAME") };

	if (!id.token_file || x->profile_in_code) {
		const char *file = profiles_get(p, x->profile, "web_identity_token_file");

		if (file || x->profile_in_code)
			id = (struct identity){ file, profiles_get(p, x->profile, "role_arn"),
						profiles_get(p, x->profile, "role_session_name") };
	}
	if (!id.session)
		id.session = "sluice";
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

static void form_add(struct buf *form, const char *name, struct str value)
{
	buf_printf(form, "&%s=", name);
	sign_encode(form, value, false);
}

static bool parse_keys(struct str body, struct credentials_keys *out, struct error *err)
{
	char expiration[64];

	if (!xml_next(&body, "Credentials", &body) ||
	    !xml_text(body, "AccessKeyId", out->access_key, sizeof(out->access_key)) ||
	    !xml_text(body, "SecretAccessKey", out->secret_key, sizeof(out->secret_key)) ||
	    !xml_text(body, "SessionToken", out->session_token, sizeof(out->session_token)) ||
	    !xml_text(body, "Expiration", expiration, sizeof(expiration)) ||
	    !source_time(expiration, &out->expires_ms))
		return error_set(err, ERROR_RETRY, "STS: an answer without proper keys");
	return true;
}

/* One exchange. `rejected`: STS did not like the token itself. */
static bool exchange(const struct source_context *x, const struct identity *id, const char *url,
		     struct credentials_keys *out, bool *rejected, struct error *err)
{
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded",
					       NULL };
	struct buf token = { 0 }, form = { 0 }, answer = { 0 };
	struct answer_error e;
	int status = 0;
	bool ok = source_read(id->token_file, TOKEN_MAX, &token, err);

	if (ok) {
		buf_text(&form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
		form_add(&form, "RoleArn", str_of(id->role));
		form_add(&form, "RoleSessionName", str_of(id->session));
		form_add(&form, "WebIdentityToken", buf_str(&token));
		ok = source_fetch(x,
				  &(struct http_fetch){ .method = "POST",
							.url = url,
							.headers = headers,
							.body = buf_str(&form),
							.timeout_ms = TIMEOUT_MS,
							.body_max = ANSWER_MAX,
							.ca_bundle = x->settings->ca_bundle },
				  TRIES, &status, &answer, err);
	}
	if (ok && status == 200) {
		ok = parse_keys(buf_str(&answer), out, err);
	} else if (ok) {
		answer_parse(buf_str(&answer), &e);
		*rejected = strcmp(e.code, "InvalidIdentityToken") == 0 ||
			    strncmp(e.code, "ExpiredToken", 12) == 0 ||
			    strcmp(e.code, "IDPCommunicationError") == 0;
		ok = error_set(err, status >= 500 ? ERROR_RETRY : ERROR_REFUSED,
			       "AssumeRoleWithWebIdentity for %s with the token in %s: %s%s%s "
			       "(HTTP %d); check the role's trust policy",
			       id->role, id->token_file, e.code, *e.message ? ": " : "", e.message,
			       status);
	}
	buf_release(&token);
	buf_release(&form);
	buf_release(&answer);
	return ok;
}

static bool web_identity_fetch(const struct source_context *x, struct credentials_keys *out,
			       struct error *err)
{
	AUTO(profiles) struct profiles *p = profiles_load(err);
	struct endpoint sts;
	struct identity id;
	char url[600];

	if (!p)
		return false;
	if (!x->settings->region)
		return error_set(err, ERROR_INVALID,
				 "STS needs a region: set aws.region or AWS_REGION");
	if (!endpoint_resolve(&sts, AWS_STS, x->settings->region, x->settings->endpoints[AWS_STS],
			      p, x->profile, err))
		return false;
	snprintf(url, sizeof(url), "%s://%s%s/", sts.tls ? "https" : "http", sts.host, sts.path);
	id = identity_of(x, p);
	for (int i = 1;; i++) {
		bool rejected = false;

		if (exchange(x, &id, url, out, &rejected, err))
			return true;
		if (!rejected || i == REJECTION_TRIES || !x->world.pause(x->world.arg, 1000))
			return false;
	}
}

const struct source_ops source_web_identity = {
	.name = "web identity",
	.configured = web_identity_configured,
	.fetch = web_identity_fetch,
};
