#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "aws/client.h"
#include "aws/credentials.h"
#include "aws/http.h"
#include "base/error.h"
#include "base/str.h"

/* Where keys can come from: one constant struct per source. For credentials.c, the sources and
 * their tests. A source is asked by one thread at a time and may block. */

/* What a source may do to the outside. */
struct source_world {
	/* As http_fetch. */
	bool (*fetch)(void *arg, const struct http_fetch *f, int *status, struct buf *body,
		      struct error *err);
	/* Waits before another try; false: shutting down, give up. 0: only asks. */
	bool (*pause)(void *arg, int64_t ms);
	void *arg;
};

struct source_context {
	struct source_world world;
	const struct aws_settings *settings;
	struct clock *clock;
	struct metrics *metrics;
	const char *profile;  /* its name; never NULL */
	bool profile_in_code; /* asked for by our configuration: beats the environment's keys */
	bool profile_asked;   /* by the configuration or AWS_PROFILE: it must exist */
};

struct source_ops {
	const char *name;
	/* Whether the environment or the files ask for this source. An error is a reason to stop.
	 */
	bool (*configured)(const struct source_context *x, bool *yes, struct error *err);
	/* Fills all but the version. */
	bool (*fetch)(const struct source_context *x, struct credentials_keys *out,
		      struct error *err);
};
extern const struct source_ops source_environment, source_profile, source_web_identity,
	source_container, source_instance;

/* Ways to keys that a profile may name: a token file and a role, a command. */
struct profiles;
bool source_profile_identity(const struct source_context *x, const struct profiles *p,
			     const char *profile, struct credentials_keys *out,
			     struct error *err) MUST_CHECK;
bool source_profile_process(const struct source_context *x, const char *command,
			    struct credentials_keys *out, struct error *err) MUST_CHECK;

/* For the sources: */
const char *source_env(const char *name); /* NULL where it is unset or empty */
/* Copies a text that must fit; `what` is for the error. */
bool source_copy(char *out, size_t size, const char *text, const char *what,
		 struct error *err) MUST_CHECK;
/* "2026-11-21T10:11:12Z" */
bool source_time(const char *text, int64_t *epoch_ms);
/* A token file's text without the blanks around it. */
bool source_read(const char *path, size_t max, struct buf *out, struct error *err) MUST_CHECK;
/* {"AccessKeyId","SecretAccessKey",TOKEN,"Expiration","AccountId"}; `token`: what the session's
 * token is called. */
bool source_parse(struct str body, const char *token, struct credentials_keys *out,
		  struct error *err) MUST_CHECK;
/* Fetches; tries again after transport errors, 429 and 5xx, `tries` times in all. */
bool source_fetch(const struct source_context *x, const struct http_fetch *f, int tries,
		  int *status, struct buf *body, struct error *err) MUST_CHECK;

/* The parts of credentials_open. */
struct credentials *credentials_new(const struct source_world *world,
				    const struct aws_settings *settings, const char *profile,
				    struct clock *clock, struct metrics *metrics,
				    struct error *err);
/* What the background thread does each time it wakes: refreshes if it is time to or was asked for.
 * Returns after how many ms to come again; -1: only when asked. */
int64_t credentials_turn(struct credentials *c);
