#pragma once
#include <stdbool.h>

#include "aws/client.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Where a service is. A plain value. */
struct endpoint {
	bool tls;
	bool given;     /* by a setting or the environment, not AWS's own */
	char host[256]; /* as in the Host header: with the port where it is not the scheme's */
	char path[256]; /* what goes before a request's path: "" or "/prefix" */
};

struct profiles;

/* Settings > AWS_ENDPOINT_URL_<SERVICE> > AWS_ENDPOINT_URL > the profile's services section > its
 * endpoint_url > AWS's own host for the region, FIPS and dual stack as the environment or the
 * profile ask. ERROR_INVALID names the setting that is wrong. */
bool endpoint_resolve(struct endpoint *out, enum aws_service service, const char *region,
		      const char *setting, const struct profiles *profiles, const char *profile,
		      struct error *err) MUST_CHECK;
/* Whether a text can be a region's name, and so a part of a host's. */
bool endpoint_region_valid(const char *region);
/* The same service in another region; one that was given stays where it is. */
struct endpoint endpoint_in_region(const struct endpoint *e, const char *from, const char *to);
/* The name that a signature's scope has: "dynamodb", "s3", "sts". */
const char *endpoint_signing_name(enum aws_service service);
/* The partition of a region's ARNs: "aws", "aws-cn", … */
const char *endpoint_partition(const char *region);
/* Host and path of a bucket, virtual-hosted where the name and the endpoint allow. Appends. */
void endpoint_bucket(const struct endpoint *e, struct str bucket, struct buf *host,
		     struct buf *path);
