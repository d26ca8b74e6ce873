#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/client.h"
#include "aws/profile.h"

static bool take(const char *region, char *out, size_t size, struct error *err)
{
	if (strlen(region) >= size)
		return error_set(err, ERROR_INVALID, "'%s' is no region", region);
	snprintf(out, size, "%s", region);
	return true;
}

bool aws_region_resolve(const char *explicit_region, const char *profile, char *out, size_t size,
			struct error *err)
{
	static const char *const variables[] = { "AWS_REGION", "AWS_DEFAULT_REGION" };
	const char *name = profile_name(profile);
	const char *region;

	if (explicit_region && *explicit_region)
		return take(explicit_region, out, size, err);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		if ((region = getenv(variables[i])) && *region)
			return take(region, out, size, err);

	AUTO(profiles) struct profiles *p = profiles_load(err);
	if (!p)
		return false;
	region = profiles_get(p, name, "region");
	if (region)
		return take(region, out, size, err);
	return error_set(err, ERROR_INVALID,
			 "no region: set aws.region, AWS_REGION or region in the AWS profile '%s'",
			 name);
}
