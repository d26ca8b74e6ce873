#pragma once
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/error.h"

/* AWS's shared files as they are now: AWS_CONFIG_FILE (~/.aws/config) and
 * AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials). Immutable once loaded. A file that is not there
 * is empty; one that cannot be read or parsed is ERROR_INVALID with its name and line. */
struct profiles;
struct profiles *profiles_load(struct error *err);
void profiles_free(struct profiles *p);
DEFINE_AUTO(profiles)
bool profiles_has(const struct profiles *p, const char *profile);
/* NULL where it is not set. Where both files say something, the credentials file counts. */
const char *profiles_get(const struct profiles *p, const char *profile, const char *key);
/* "FILE:LINE" of what profiles_get gives, in `out`, which it returns. */
#define PROFILES_WHERE_SIZE 128
const char *profiles_where(const struct profiles *p, const char *profile, const char *key,
			   char out[PROFILES_WHERE_SIZE]);
/* From the [services NAME] section that the profile names: its SERVICE's sub-key. */
const char *profiles_service(const struct profiles *p, const char *profile, const char *service,
			     const char *key);
/* `asked`, else AWS_PROFILE, else "default". */
const char *profile_name(const char *asked);
