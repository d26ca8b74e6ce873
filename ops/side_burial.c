#include "ops/side_burial.h"

#include <string.h>

#include "consumer/burial.h"
#include "ops/service.h"

#define SESSIONS_MAX 256

struct burying {
	struct session_settings settings;
	char id[STORE_ID_SIZE]; /* of this command's session */
	struct store_session before[SESSIONS_MAX], after[SESSIONS_MAX];
	size_t known, left;
};

/* How long it takes to see whether one of them still beats; 0: none is alive. */
static int64_t lease_ms(const struct burying *b)
{
	int64_t ms = 0;

	for (size_t i = 0; i < b->known; i++)
		if (strcmp(b->before[i].id, b->id) != 0 && b->before[i].state == SESSION_LIVE &&
		    b->before[i].lease_ms > ms)
			ms = b->before[i].lease_ms;
	return ms;
}

static bool stood_still(const struct burying *b, const struct store_session *now)
{
	for (size_t i = 0; i < b->known; i++)
		if (strcmp(b->before[i].id, now->id) == 0)
			return b->before[i].beat == now->beat;
	return false;
}

static bool bury(const struct burying *b, const struct store_session *o, struct error *err)
{
	bool dead = o->state == SESSION_DEAD;

	if (strcmp(o->id, b->id) == 0 || (!dead && !stood_still(b, o)))
		return true;
	return (dead || store_session_kill(b->settings.store, o->id, o->beat, &dead, err)) &&
	       (!dead || burial_try(&b->settings, o->id, true, err) == BURIAL_DONE);
}

static void find_epoch(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	struct store_stream *wanted = arg;

	(void)name;
	(void)arn;
	if (s->id == wanted->id)
		*wanted = *s;
}

/* As a member of the stream it is shown who else is one. */
static bool bury_others(struct burying *b, int64_t stream, int32_t sink, struct error *err)
{
	struct store *s = b->settings.store;
	struct store_stream now = { .id = stream };
	bool ok = store_streams(s, find_epoch, &now, err) &&
		  store_join(s, b->id, stream, now.epoch, &sink, 1, err) &&
		  store_sessions_near(s, b->id, b->before, SESSIONS_MAX, &b->known, err);

	if (ok && lease_ms(b) > 0)
		ok = session_pause(&b->settings, lease_ms(b), err);
	ok = ok && store_sessions_near(s, b->id, b->after, SESSIONS_MAX, &b->left, err);
	for (size_t i = 0; ok && i < b->left; i++)
		ok = bury(b, &b->after[i], err);
	return ok;
}

bool side_burial(const struct config *c, struct store *s, int64_t stream, int32_t sink,
		 struct error *err)
{
	static struct burying b;
	static const _Atomic bool never = false;
	struct service_client aws;
	struct clock clock;
	struct error at_end;
	int64_t beat_ms;
	bool ok;

	clock_init(&clock);
	ok = service_client_open(&aws, c, &clock, err);
	b = (struct burying){ .settings = { .store = s,
					    .config = c,
					    .aws = &aws.aws.settings,
					    .credentials = aws.aws.credentials,
					    .clock = &clock,
					    .metrics = aws.metrics,
					    .health = health_new(&clock),
					    .stop = &never } };
	/* Where only one process can have the store, its beginning buries the others. */
	ok = ok && session_begin(&b.settings, b.id, &beat_ms, err) &&
	     (store_exclusive(s) || bury_others(&b, stream, sink, err));
	if (*b.id && !session_end(&b.settings, b.id, false, ok ? err : &at_end))
		ok = false;
	health_free(b.settings.health);
	service_client_close(&aws);
	return ok;
}
