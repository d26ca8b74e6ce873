#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/source.h"

/* The endpoints that a container (ECS, EKS Pod Identity) or an EC2 instance has for its own role.
 * Never through a proxy. */

#define ANSWER_MAX      ((size_t)64 << 10)
#define TOKEN_MAX       ((size_t)8 << 10)
#define TIMEOUT_MS      2000
#define CONTAINER_TRIES 3
#define INSTANCE_TRIES  2
#define ECS_HOST        "http://169.254.170.2"
#define RELATIVE_URI    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL_URI        "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN_FILE      "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
#define TOKEN           "AWS_CONTAINER_AUTHORIZATION_TOKEN"

/* ---- container ---- */

static bool container_configured(const struct source_context *x, bool *yes, struct error *err)
{
	(void)x;
	(void)err;
	*yes = source_env(RELATIVE_URI) || source_env(FULL_URI);
	return true;
}

/* The token must not be sent in clear text to anybody but the machine itself. */
static bool host_allowed(const char *url)
{
	static const char *const known[] = { "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
					     "[::1]", "localhost" };
	char host[128];
	const char *at = url + strlen("http://");
	size_t n = at[0] == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":/?#");
	struct in_addr v4;

	if (strncasecmp(url, "https://", 8) == 0)
		return true;
	if (strncasecmp(url, "http://", 7) != 0 || n >= sizeof(host) || memchr(at, '@', strlen(at)))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)n, at);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasecmp(host, known[i]) == 0)
			return true;
	return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

/* The Authorization line, or "" where none is set. */
static bool container_token(char *out, size_t size, struct error *err)
{
	const char *file = source_env(TOKEN_FILE), *text = source_env(TOKEN);
	struct buf token = { 0 };

	out[0] = '\0';
	if (file) {
		bool ok = source_read(file, TOKEN_MAX, &token, err);

		if (ok)
			snprintf(out, size, "Authorization: %s", token.data);
		buf_release(&token);
		return ok;
	}
	if (!text)
		return true;
	if (strpbrk(text, "\r\n") || strlen(text) > TOKEN_MAX)
		return error_set(err, ERROR_INVALID, "%s has line breaks or is too long", TOKEN);
	snprintf(out, size, "Authorization: %s", text);
	return true;
}

static bool container_fetch(const struct source_context *x, struct credentials_keys *out,
			    struct error *err)
{
	const char *relative = source_env(RELATIVE_URI), *full = source_env(FULL_URI);
	char authorization[TOKEN_MAX + 32], url[1024];
	const char *headers[] = { "Accept: application/json", NULL, NULL };
	struct buf body = { 0 };
	int status = 0;
	bool ok;

	snprintf(url, sizeof(url), "%s%s", relative ? ECS_HOST : "", relative ? relative : full);
	if (relative && relative[0] != '/')
		return error_set(err, ERROR_INVALID, RELATIVE_URI ": '%s' does not begin with /",
				 relative);
	if (!host_allowed(url))
		return error_set(err, ERROR_INVALID,
				 FULL_URI ": '%s': only https, this machine, 169.254.170.2 and .23 "
					  "and fd00:ec2::23 may get the token",
				 url);
	if (!container_token(authorization, sizeof(authorization), err))
		return false;
	headers[1] = *authorization ? authorization : NULL;
	ok = source_fetch(x,
			  &(struct http_fetch){ .method = "GET",
						.url = url,
						.headers = headers,
						.timeout_ms = TIMEOUT_MS,
						.body_max = ANSWER_MAX,
						.ca_bundle = x->settings->ca_bundle,
						.direct = true },
			  CONTAINER_TRIES, &status, &body, err);
	if (ok && status != 200)
		ok = error_set(err, status >= 500 || status == 429 ? ERROR_RETRY : ERROR_REFUSED,
			       "%s answered HTTP %d", url, status);
	else if (ok && !source_parse(buf_str(&body), "Token", out, err))
		ok = error_wrap(err, "%s", url);
	buf_release(&body);
	return ok;
}

const struct source_ops source_container = {
	.name = "container",
	.configured = container_configured,
	.fetch = container_fetch,
};

/* ---- instance (IMDSv2) ---- */

static bool instance_configured(const struct source_context *x, bool *yes, struct error *err)
{
	const char *disabled = source_env("AWS_EC2_METADATA_DISABLED");

	(void)x;
	(void)err;
	*yes = !disabled || strcasecmp(disabled, "true") != 0;
	return true;
}

static bool instance_ask(const struct source_context *x, const char *method, const char *path,
			 const char *header, struct buf *body, struct error *err)
{
	const char *endpoint = source_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = source_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	const char *headers[] = { header, NULL };
	char url[1024];
	size_t n;
	int status = 0;

	if (!endpoint)
		endpoint = mode && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]"
								 : "http://169.254.169.254";
	n = strlen(endpoint);
	while (n && endpoint[n - 1] == '/')
		n--;
	snprintf(url, sizeof(url), "%.*s/latest/%s", (int)n, endpoint, path);
	if (!source_fetch(x,
			  &(struct http_fetch){ .method = method,
						.url = url,
						.headers = headers,
						.timeout_ms = TIMEOUT_MS,
						.body_max = ANSWER_MAX,
						.direct = true },
			  INSTANCE_TRIES, &status, body, err))
		return false;
	if (status == 200 && body->size)
		return true;
	return error_set(err, status >= 500 || status == 429 ? ERROR_RETRY : ERROR_REFUSED,
			 "%s answered HTTP %d%s", url, status,
			 status == 404 ? "; has the instance a role?" : "");
}

static bool instance_steps(const struct source_context *x, struct buf *body,
			   struct credentials_keys *out, struct error *err)
{
	char token[1024], role[256], path[320];

	if (!instance_ask(x, "PUT", "api/token", "x-aws-ec2-metadata-token-ttl-seconds: 21600",
			  body, err))
		return error_wrap(err, "no session token (in a container the hop limit must be 2)");
	if (body->size > sizeof(token) - 64 || strpbrk(body->data, "\r\n"))
		return error_set(err, ERROR_RETRY, "its session token is not one");
	snprintf(token, sizeof(token), "x-aws-ec2-metadata-token: %s", body->data);
	if (!instance_ask(x, "GET", "meta-data/iam/security-credentials/", token, body, err))
		return false;
	body->data[strcspn(body->data, "\r\n")] = '\0';
	if (!source_copy(role, sizeof(role), body->data, "the role's name", err))
		return false;
	snprintf(path, sizeof(path), "meta-data/iam/security-credentials/%s", role);
	return instance_ask(x, "GET", path, token, body, err) &&
	       source_parse(buf_str(body), "Token", out, err);
}

static bool instance_fetch(const struct source_context *x, struct credentials_keys *out,
			   struct error *err)
{
	struct buf body = { 0 };
	bool ok = instance_steps(x, &body, out, err);

	buf_release(&body);
	return ok;
}

const struct source_ops source_instance = {
	.name = "instance metadata",
	.configured = instance_configured,
	.fetch = instance_fetch,
};
