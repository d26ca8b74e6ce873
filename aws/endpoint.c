#include "aws/endpoint.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/profile.h"
#include "aws/sign.h"

/* By the region's prefix; the last row is for all others. */
static const struct partition {
	const char *prefix, *name, *suffix, *dual_suffix;
} partitions[] = {
	{ "cn-", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn" },
	{ "us-gov-", "aws-us-gov", "amazonaws.com", "api.aws" },
	{ "eusc-", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu" },
	{ "us-iso-", "aws-iso", "c2s.ic.gov", "api.aws.ic.gov" },
	{ "us-isob-", "aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud" },
	{ "eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk" },
	{ "us-isof-", "aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov" },
	{ "", "aws", "amazonaws.com", "api.aws" },
};

/* A host is NAME.REGION.SUFFIX; the last four are its names. */
static const struct service {
	const char *signing, *variable, *section;
	const char *standard, *fips, *dual, *fips_dual;
	bool dual_keeps_suffix; /* S3 had dual stack before the other suffix came up */
} services[AWS_SERVICES] = {
	[AWS_DYNAMODB] = { "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB", "dynamodb", "dynamodb",
			   "dynamodb-fips", "dynamodb", "dynamodb-fips", false },
	[AWS_STREAMS] = { "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "dynamodb_streams",
			  "streams.dynamodb", "streams.dynamodb-fips", "streams-dynamodb",
			  "streams-dynamodb-fips", false },
	[AWS_S3] = { "s3", "AWS_ENDPOINT_URL_S3", "s3", "s3", "s3-fips", "s3.dualstack",
		     "s3-fips.dualstack", true },
	[AWS_STS] = { "sts", "AWS_ENDPOINT_URL_STS", "sts", "sts", "sts-fips", "sts", "sts-fips",
		      false },
};

const char *endpoint_signing_name(enum aws_service service)
{
	return services[service].signing;
}

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* A switch that the environment or the profile may set. */
static bool switched_on(const char *variable, const struct profiles *profiles, const char *profile,
			const char *key)
{
	const char *value = env(variable);

	if (!value)
		value = profiles_get(profiles, profile, key);
	return value && strcasecmp(value, "true") == 0;
}

/* The override that counts, and where it was found. */
static const char * override(const struct service *s, const char *setting,
			     const struct profiles *profiles, const char *profile,
			     const char **source)
{
	const char *url;

	*source = "the endpoint setting";
	if (setting && *setting)
		return setting;
	if (switched_on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", profiles, profile,
			"ignore_configured_endpoint_urls"))
		return NULL;
	*source = s->variable;
	if ((url = env(*source)))
		return url;
	*source = "AWS_ENDPOINT_URL";
	if ((url = env(*source)))
		return url;
	*source = "endpoint_url of the profile's services section";
	if ((url = profiles_service(profiles, profile, s->section, "endpoint_url")))
		return url;
	*source = "endpoint_url of the profile";
	return profiles_get(profiles, profile, "endpoint_url");
}

static bool parse_url(struct endpoint *out, const char *url, const char *source, struct error *err)
{
	const char *host = strstr(url, "://");
	const char *port = NULL, *own_port;
	size_t n, path;

	if (!host || (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0))
		return error_set(err, ERROR_INVALID,
				 "%s: '%s' is no URL; write http://host:port or https://host",
				 source, url);
	out->tls = tolower((unsigned char)url[4]) == 's';
	own_port = out->tls ? ":443" : ":80";
	host += 3;
	n = strcspn(host, "/?#");
	path = strcspn(host + n, "?#");
	if (!n || host[n + path] || memchr(host, '@', n) || memchr(host, ' ', n) ||
	    n >= sizeof(out->host) || path >= sizeof(out->path))
		return error_set(err, ERROR_INVALID,
				 "%s: '%s': only a host, a port and a path are possible", source,
				 url);
	for (size_t i = n; i-- > 0 && host[i] != ']';)
		if (host[i] == ':')
			port = host + i;
	if (port && n - (size_t)(port - host) == strlen(own_port) &&
	    memcmp(port, own_port, strlen(own_port)) == 0)
		snprintf(out->host, sizeof(out->host), "%.*s", (int)(port - host), host);
	else
		snprintf(out->host, sizeof(out->host), "%.*s", (int)n, host);
	for (char *c = out->host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	while (path && host[n + path - 1] == '/')
		path--;
	snprintf(out->path, sizeof(out->path), "%.*s", (int)path, host + n);
	return true;
}

bool endpoint_region_valid(const char *region)
{
	size_t n = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n < 64 && !region[n] && region[0] != '-' && region[n - 1] != '-';
}

static const struct partition *partition_of(const char *region)
{
	const struct partition *p = partitions;

	while (strncmp(region, p->prefix, strlen(p->prefix)) != 0)
		p++;
	return p;
}

const char *endpoint_partition(const char *region)
{
	return partition_of(region)->name;
}

static void own_host(struct endpoint *out, const struct service *s, const char *region, bool fips,
		     bool dual)
{
	const struct partition *p = partition_of(region);
	const char *name = dual ? (fips ? s->fips_dual : s->dual) : (fips ? s->fips : s->standard);

	/* GovCloud's ordinary hosts are the FIPS ones, but for S3. */
	if (fips && !dual && strcmp(p->prefix, "us-gov-") == 0 && s != &services[AWS_S3])
		name = s->standard;
	snprintf(out->host, sizeof(out->host), "%s.%s.%s", name, region,
		 dual && !s->dual_keeps_suffix ? p->dual_suffix : p->suffix);
	out->tls = true;
}

bool endpoint_resolve(struct endpoint *out, enum aws_service service, const char *region,
		      const char *setting, const struct profiles *profiles, const char *profile,
		      struct error *err)
{
	const struct service *s = &services[service];
	bool fips = switched_on("AWS_USE_FIPS_ENDPOINT", profiles, profile, "use_fips_endpoint");
	bool dual = switched_on("AWS_USE_DUALSTACK_ENDPOINT", profiles, profile,
				"use_dualstack_endpoint");
	const char *source;
	const char *url = override(s, setting, profiles, profile, &source);

	*out = (struct endpoint){ 0 };
	if (!endpoint_region_valid(region))
		return error_set(err, ERROR_INVALID, "'%s' is no region", region);
	if (!url) {
		own_host(out, s, region, fips, dual);
		return true;
	}
	if (fips || dual)
		return error_set(err, ERROR_INVALID,
				 "%s names an endpoint and %s asks for AWS's own; keep one", source,
				 fips ? "AWS_USE_FIPS_ENDPOINT" : "AWS_USE_DUALSTACK_ENDPOINT");
	out->given = true;
	return parse_url(out, url, source, err);
}

struct endpoint endpoint_in_region(const struct endpoint *e, const char *from, const char *to)
{
	struct endpoint out = *e;
	char part[72];
	const char *at;

	snprintf(part, sizeof(part), ".%.63s.", from);
	at = e->given ? NULL : strstr(e->host, part);
	if (at)
		snprintf(out.host, sizeof(out.host), "%.*s.%.63s.%.128s", (int)(at - e->host),
			 e->host, to, at + strlen(part));
	return out;
}

static bool is_address(const char *host)
{
	char name[sizeof(((struct endpoint *)0)->host)];
	struct in_addr v4;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(host, ":"), host);
	return host[0] == '[' || inet_pton(AF_INET, name, &v4) == 1;
}

/* Whether the bucket's name can be a label of a host's name. */
static bool can_be_host(struct str bucket, bool tls)
{
	if (bucket.n < 3 || bucket.n > 63)
		return false;
	for (size_t i = 0; i < bucket.n; i++) {
		unsigned char c = (unsigned char)bucket.p[i];

		if (!(islower(c) || isdigit(c) || c == '-' || (c == '.' && !tls)))
			return false; /* a wildcard certificate covers no further dots */
	}
	return bucket.p[0] != '-' && bucket.p[bucket.n - 1] != '-';
}

void endpoint_bucket(const struct endpoint *e, struct str bucket, struct buf *host,
		     struct buf *path)
{
	if (!e->given && !is_address(e->host) && can_be_host(bucket, e->tls)) {
		buf_printf(host, "%.*s.%s", STR_ARG(bucket), e->host);
		return;
	}
	buf_text(host, e->host);
	buf_printf(path, "%s/", e->path);
	sign_encode(path, bucket, false);
}
