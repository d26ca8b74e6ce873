#include "aws/credentials.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "aws/profile.h"
#include "aws/sts.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/rng.h"

#define REFRESH_AHEAD_MS   (15 * 60 * 1000)
#define REFRESH_SPREAD_MS  60000 /* so that a thousand workers do not ask in one second */
#define UNCHANGED_AGAIN_MS 60000
#define FAILED_BASE_MS     2000
#define FAILED_MAX_MS      60000
#define REFUSED_AGAIN_MS   10000 /* refused keys are not asked for again sooner */
#define EXPIRY_METRIC_MS   10000

struct credentials {
	struct source_context context;
	struct aws_settings settings; /* a copy; its texts are the caller's */
	char *profile;
	char *name;
	const struct source_ops *source;
	struct clock *clock;
	struct metrics *metrics;
	struct metric_cell *refreshed, *failed;
	struct rng rng;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* for what follows: many threads sign, one refreshes */
	pthread_cond_t changed;
	struct credentials_keys keys;
	_Atomic uint64_t version;
	_Atomic bool wanted; /* a refresh was asked for and is not done */
	bool stop;
	unsigned failures; /* in a row */
	int64_t due_ms;    /* boot time of the next refresh; INT64_MAX: never */
	int64_t tried_ms;  /* boot time of the last one */
};

/* In this order; the first that is configured is used. */
static const struct source_ops *const sources[] = {
	&source_environment, &source_profile,  &source_web_identity,
	&source_container,   &source_instance,
};

static bool world_fetch(void *arg, const struct http_fetch *f, int *status, struct buf *body,
			struct error *err)
{
	(void)arg;
	return http_fetch(f, status, body, err);
}

/* Waits without holding up credentials_close. Under the lock. */
static void wait_ms(struct credentials *c, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&c->changed, &c->lock, &until);
}

/* Later ones are wanted until the end: what is in flight is delivered with them. */
static bool gives_up(const struct credentials *c)
{
	const _Atomic bool *stop = c->settings.stop;

	return c->stop || (stop && atomic_load(stop) && !atomic_load(&c->version));
}

static bool world_pause(void *arg, int64_t ms)
{
	struct credentials *c = arg;
	int64_t end = clock_boot_ms(c->clock) + ms, left;
	bool go_on;

	pthread_mutex_lock(&c->lock);
	while (!gives_up(c) && (left = end - clock_boot_ms(c->clock)) > 0)
		wait_ms(c, left);
	go_on = !gives_up(c);
	pthread_mutex_unlock(&c->lock);
	return go_on;
}

/* When to refresh keys that live that long. */
static int64_t delay_of(struct credentials *c, int64_t lives_ms)
{
	int64_t ahead = lives_ms / 2 < REFRESH_AHEAD_MS ? lives_ms / 2 : REFRESH_AHEAD_MS;
	int64_t delay = lives_ms - ahead;

	if (delay <= 0) /* expired already: instances serve such keys when their source is away */
		return UNCHANGED_AGAIN_MS;
	return delay +
	       (ahead > REFRESH_SPREAD_MS ? (int64_t)rng_below(&c->rng, REFRESH_SPREAD_MS) : 0);
}

static bool same_keys(const struct credentials_keys *a, const struct credentials_keys *b)
{
	return strcmp(a->access_key, b->access_key) == 0 &&
	       strcmp(a->secret_key, b->secret_key) == 0 &&
	       strcmp(a->session_token, b->session_token) == 0 && a->expires_ms == b->expires_ms;
}

/* Under the lock. */
static void keys_take(struct credentials *c, struct credentials_keys *fresh)
{
	int64_t now = clock_boot_ms(c->clock);
	uint64_t version = atomic_load(&c->version);

	c->failures = 0;
	if (version && same_keys(fresh, &c->keys)) {
		c->due_ms = fresh->expires_ms ? now + UNCHANGED_AGAIN_MS : INT64_MAX;
		return;
	}
	fresh->version = version + 1;
	c->keys = *fresh;
	c->due_ms = fresh->expires_ms
			    ? now + delay_of(c, fresh->expires_ms - clock_aws_ms(c->clock))
			    : INT64_MAX;
	atomic_store(&c->version, fresh->version);
}

/* The source's keys, or those of the role that they take. */
static bool fetch(struct credentials *c, struct credentials_keys *fresh, struct error *err)
{
	const struct aws_role *role = &c->settings.role;

	return c->source->fetch(&c->context, fresh, err) &&
	       (!role->arn || sts_assume_role(&c->context, role, fresh, err));
}

static bool refresh(struct credentials *c, struct error *err)
{
	struct credentials_keys fresh = { 0 };
	bool ok = fetch(c, &fresh, err);

	pthread_mutex_lock(&c->lock);
	c->tried_ms = clock_boot_ms(c->clock);
	if (ok) {
		keys_take(c, &fresh);
		metric_add(c->refreshed, 1);
	} else {
		c->due_ms = c->tried_ms + FAILED_BASE_MS / 2 +
			    rng_backoff_ms(&c->rng, c->failures, FAILED_BASE_MS, FAILED_MAX_MS);
		if (c->failures < 16)
			c->failures++;
		metric_add(c->failed, 1);
	}
	atomic_store(&c->wanted, false);
	pthread_mutex_unlock(&c->lock);
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return ok;
}

/* Under the lock: the gauge, and how long until somebody must look again. */
static int64_t next_turn_ms(struct credentials *c)
{
	int64_t left = c->due_ms == INT64_MAX ? -1 : c->due_ms - clock_boot_ms(c->clock);

	if (!c->keys.expires_ms)
		return left < 0 && c->due_ms != INT64_MAX ? 0 : left;
	/* The series is there only for keys that expire: no alarm should see a zero otherwise. */
	metric_set(metrics_cell(c->metrics, METRIC_CREDENTIALS_EXPIRY, NULL, NULL),
		   c->keys.expires_ms - clock_aws_ms(c->clock));
	return left < 0 ? 0 : left < EXPIRY_METRIC_MS ? left : EXPIRY_METRIC_MS;
}

int64_t credentials_turn(struct credentials *c)
{
	struct error err = { 0 };
	int64_t next, left_ms;
	bool due;

	pthread_mutex_lock(&c->lock);
	due = atomic_load(&c->wanted) || clock_boot_ms(c->clock) >= c->due_ms;
	pthread_mutex_unlock(&c->lock);
	if (due && !refresh(c, &err) && err.kind != ERROR_CANCELLED) {
		left_ms = c->keys.expires_ms - clock_aws_ms(c->clock);
		log_write(c->keys.expires_ms && left_ms <= 0 ? LOG_ERROR : LOG_WARN,
			  "credentials were not refreshed, the old ones stay in use",
			  log_text("source", c->name), log_text("error", err.message),
			  log_int("expires_in_s", c->keys.expires_ms ? left_ms / 1000 : 0));
	}
	pthread_mutex_lock(&c->lock);
	next = next_turn_ms(c);
	pthread_mutex_unlock(&c->lock);
	return next;
}

static void *run(void *arg)
{
	struct credentials *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		int64_t next;

		pthread_mutex_unlock(&c->lock);
		next = credentials_turn(c);
		pthread_mutex_lock(&c->lock);
		if (c->stop || atomic_load(&c->wanted))
			continue;
		if (next < 0)
			pthread_cond_wait(&c->changed, &c->lock);
		else if (next > 0)
			wait_ms(c, next);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* "profile orders, role arn:…" */
static char *name_of(const struct credentials *c)
{
	const char *role = c->settings.role.arn;
	bool profile = c->source == &source_profile;
	char *name;

	if (asprintf(&name, "%s%s%s%s%s", c->source->name, profile ? " " : "",
		     profile ? c->profile : "", role ? ", role " : "", role ? role : "") < 0)
		abort();
	return name;
}

static bool choose(struct credentials *c, struct error *err)
{
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		bool yes;

		if (!sources[i]->configured(&c->context, &yes, err))
			return error_wrap(err, "credentials");
		if (!yes)
			continue;
		c->source = sources[i];
		c->name = name_of(c);
		return true;
	}
	return error_set(
		err, ERROR_REFUSED,
		"no credentials: neither AWS_ACCESS_KEY_ID, a profile with keys or a role, "
		"AWS_WEB_IDENTITY_TOKEN_FILE nor a container's endpoint is configured, and "
		"AWS_EC2_METADATA_DISABLED keeps the instance's role away");
}

struct credentials *credentials_new(const struct source_world *world,
				    const struct aws_settings *settings, const char *profile,
				    struct clock *clock, struct metrics *metrics, struct error *err)
{
	struct credentials *c = memory_new(sizeof(*c));
	pthread_condattr_t monotonic;
	uint64_t seed;

	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	rng_random(&seed, sizeof(seed));
	rng_seed(&c->rng, seed);
	c->clock = clock;
	c->due_ms = INT64_MAX;
	c->metrics = metrics;
	c->refreshed = metrics_cell(metrics, METRIC_CREDENTIAL_REFRESHES, "ok", NULL);
	c->failed = metrics_cell(metrics, METRIC_CREDENTIAL_REFRESHES, "failed", NULL);
	c->settings = *settings;
	c->profile = memory_text(profile_name(profile));
	c->context = (struct source_context){
		.world = *world,
		.settings = &c->settings,
		.clock = clock,
		.metrics = metrics,
		.profile = c->profile,
		.profile_in_code = profile && *profile,
		.profile_asked = (profile && *profile) || source_env("AWS_PROFILE"),
	};
	if (!c->context.world.pause) {
		c->context.world.pause = world_pause;
		c->context.world.arg = c;
	}
	if (choose(c, err) && refresh(c, err))
		return c;
	if (c->source == &source_instance)
		error_wrap(err,
			   "credentials from: %s, as neither AWS_ACCESS_KEY_ID, keys in the "
			   "profile '%s', AWS_WEB_IDENTITY_TOKEN_FILE nor a container's "
			   "endpoint is set",
			   c->name, c->profile);
	else if (c->source)
		error_wrap(err, "credentials from: %s", c->name);
	credentials_close(c);
	return NULL;
}

struct credentials *credentials_open(const struct aws_settings *settings, const char *profile,
				     struct clock *clock, struct metrics *metrics,
				     struct error *err)
{
	struct source_world world = { .fetch = world_fetch };
	struct credentials *c = credentials_new(&world, settings, profile, clock, metrics, err);

	if (!c)
		return NULL;
	if (pthread_create(&c->thread, NULL, run, c) != 0)
		abort();
	c->started = true;
	return c;
}

void credentials_close(struct credentials *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	if (c->started)
		pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	OPENSSL_cleanse(&c->keys, sizeof(c->keys));
	free(c->profile);
	free(c->name);
	free(c);
}

const char *credentials_source(const struct credentials *c)
{
	return c->name;
}

const char *credentials_profile(const struct credentials *c)
{
	return c->profile;
}

bool credentials_get(struct credentials *c, struct credentials_keys *out)
{
	pthread_mutex_lock(&c->lock);
	*out = c->keys;
	pthread_mutex_unlock(&c->lock);
	return out->version != 0;
}

uint64_t credentials_version(const struct credentials *c)
{
	return atomic_load_explicit(&c->version, memory_order_acquire);
}

void credentials_refused(struct credentials *c, uint64_t version)
{
	pthread_mutex_lock(&c->lock);
	if (version == atomic_load(&c->version) && !atomic_load(&c->wanted) &&
	    clock_boot_ms(c->clock) - c->tried_ms >= REFUSED_AGAIN_MS) {
		atomic_store(&c->wanted, true);
		pthread_cond_broadcast(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
}

bool credentials_refreshing(const struct credentials *c)
{
	return atomic_load_explicit(&c->wanted, memory_order_acquire);
}
