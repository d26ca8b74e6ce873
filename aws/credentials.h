#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Where the keys come from. The first *configured* source wins and fails loudly (aws-semantics,
 * 3.1): environment, shared files with profiles, web identity, container endpoint, IMDSv2. Where
 * the settings name a role, it is taken with these keys, and its own are what is given.
 * Thread safe: credentials_get copies under a lock; one background caller refreshes ahead of expiry
 * (from 15 min before), and old keys stay in use while a refresh fails. */
struct credentials;
struct clock;
struct metrics;
struct aws_settings;

#define CREDENTIALS_TOKEN_MAX 8192
struct credentials_keys {
	char access_key[160];
	char secret_key[160];
	char session_token[CREDENTIALS_TOKEN_MAX]; /* "" where there is none */
	char account[16];                          /* "" where unknown */
	int64_t expires_ms;                        /* AWS time; 0: never */
	uint64_t version;                          /* grows with each refresh */
};

/* Makes the chain and gets the first keys (blocking). The error names the source that was tried and
 * what to set. `profile` NULL: AWS_PROFILE, else default. Settings, clock and metrics stay the
 * caller's and outlive it. */
struct credentials *credentials_open(const struct aws_settings *settings, const char *profile,
				     struct clock *clock, struct metrics *metrics,
				     struct error *err);
void credentials_close(struct credentials *c);
/* "environment", "profile orders", "web identity", "container", "instance metadata"; with a role
 * ", role ARN" behind it. */
const char *credentials_source(const struct credentials *c);
/* False only before any keys were had. */
bool credentials_get(struct credentials *c, struct credentials_keys *out);
/* Of the keys that credentials_get would give; without a lock, so that it can be asked each time.
 */
uint64_t credentials_version(const struct credentials *c);
/* The profile whose settings count: the one asked for, else AWS_PROFILE, else "default". */
const char *credentials_profile(const struct credentials *c);
/* AWS refused keys of this version: refresh now, once, whoever else asks. */
void credentials_refused(struct credentials *c, uint64_t version);
/* Whether a refresh that was asked for is still to come. */
bool credentials_refreshing(const struct credentials *c);
