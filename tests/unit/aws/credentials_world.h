#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/profile.h"
#include "aws/source.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "tests/unit/aws/environment.h"

/* A world that answers from a script and writes down what it was asked. */
struct answer {
	int status; /* 0: no connection */
	const char *body;
};
static const char *answers_date = "";
struct script {
	const struct answer *answers;
	size_t count, at;
	struct buf asked; /* "METHOD url\nheader\n…body\n" */
	int pauses;
};

static inline bool scripted_fetch(void *arg, const struct http_fetch *f, int *status,
				  struct buf *body, struct error *err)
{
	struct script *s = arg;
	const struct answer *a = &s->answers[s->at];

	assert_true(s->at < s->count);
	s->at++;
	buf_printf(&s->asked, "%s %s%s\n", f->method, f->url, f->direct ? " direct" : "");
	for (const char *const *h = f->headers; h && *h; h++)
		buf_printf(&s->asked, "%s\n", *h);
	buf_printf(&s->asked, "%.*s\n", STR_ARG(f->body));
	if (!a->status)
		return error_set(err, ERROR_RETRY, "%s: refused", f->url);
	*status = a->status;
	if (f->date)
		snprintf(f->date, HTTP_DATE_SIZE, "%s", answers_date);
	buf_text(body, a->body);
	return true;
}

static inline bool scripted_pause(void *arg, int64_t ms)
{
	struct script *s = arg;

	s->pauses += ms > 0;
	return true;
}

static int64_t boot_ms, wall_ms;
static inline int64_t fake_boot(const struct clock *c)
{
	(void)c;
	return boot_ms;
}
static inline int64_t fake_wall(const struct clock *c)
{
	(void)c;
	return wall_ms;
}

struct world {
	struct script script;
	struct clock clock;
	struct metrics *metrics;
	struct aws_settings settings;
	struct credentials *credentials;
	struct credentials_keys keys;
	struct error err;
};

/* With a role of the configuration, which may have no arn. */
static inline bool open_as(struct world *w, struct aws_role role, const char *profile,
			   const struct answer *answers, size_t count)
{
	struct source_world outside = { scripted_fetch, scripted_pause, &w->script };

	*w = (struct world){ .script = { answers, count, 0, { 0 }, 0 },
			     .clock = { .boot_ms = fake_boot, .wall_ms = fake_wall },
			     .metrics = metrics_new(),
			     .settings = { .region = "eu-west-1", .role = role } };
	boot_ms = 1000000;
	wall_ms = 1795255200000; /* 2026-11-21T10:00:00Z */
	w->credentials =
		credentials_new(&outside, &w->settings, profile, &w->clock, w->metrics, &w->err);
	return w->credentials && credentials_get(w->credentials, &w->keys);
}

static inline bool open_with(struct world *w, const char *profile, const struct answer *answers,
			     size_t count)
{
	return open_as(w, (struct aws_role){ 0 }, profile, answers, count);
}

static inline void close_it(struct world *w)
{
	credentials_close(w->credentials);
	metrics_free(w->metrics);
	buf_release(&w->script.asked);
}

static inline void pass(int64_t ms)
{
	boot_ms += ms;
	wall_ms += ms;
}

#define STS_KEYS(id, expiration)                                                                   \
	"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"        \
	"<AccessKeyId>" id "</AccessKeyId><SecretAccessKey>s/1</SecretAccessKey>"                  \
	"<SessionToken>t&amp;u</SessionToken><Expiration>" expiration "</Expiration>"              \
	"</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
#define STS_ERROR(code)                                                                            \
	"<ErrorResponse><Error><Type>Sender</Type><Code>" code "</Code><Message>no</Message>"      \
	"</Error></ErrorResponse>"

#define TEST(name) cmocka_unit_test_setup_teardown(name, environment_clean, environment_clean)
