#include "ops/rewind.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "checkpoint/control.h"

#define LOOK_EVERY_MS 200
/* Who has shards and is alive lets go of them within a beat or two, and the dead are buried within
 * a lease and some more. */
#define LET_GO_MS    120000
#define SAY_EVERY_MS 10000

struct run {
	struct rewind *rewind;
	struct store *store;
	struct clock clock;
	int64_t hold;
	uint64_t generation;
	char who[STORE_NAME_MAX + 1];
};

bool rewind_allowed(const struct rewind *r, struct error *err)
{
	const struct store_hold *h = &r->stream->hold;
	char since[CLOCK_TEXT_SIZE];

	if (h->id == 0 || h->why == STORE_HOLD_PAUSE || h->why == STORE_HOLD_REWIND)
		return true;
	return error_set(err, ERROR_REFUSED,
			 "%s is held until its %s is done (since %s, by %s): try again after that",
			 r->streams.name, store_hold_why_name(h->why),
			 clock_text(h->since_ms, since), h->who);
}

/* Its pause ends here, as it is read again afterwards; a replay that was given up is taken up. */
static bool hold(struct run *x, struct error *err)
{
	const struct store_stream *s = x->rewind->stream;
	struct store_hold h = { .why = STORE_HOLD_REWIND, .since_ms = clock_aws_ms(&x->clock) };
	bool done;

	x->generation = s->generation;
	if (s->hold.why == STORE_HOLD_REWIND && s->hold.id != 0) {
		x->hold = s->hold.id;
		return true;
	}
	memcpy(h.who, x->who, sizeof(h.who));
	snprintf(h.said, sizeof(h.said), "%s", x->rewind->said);
	if (!store_stream_hold_instead(x->store, s->id, s->generation, s->hold.id, &h, &done, err))
		return false;
	x->hold = h.id;
	return done || error_set(err, ERROR_RETRY,
				 "%s was changed by somebody else a moment ago; look at `sluice "
				 "status`, and try again",
				 x->rewind->streams.name);
}

static void on_owner(void *arg, const struct store_lane *lane)
{
	char *owner = arg;

	if (*lane->owner)
		memcpy(owner, lane->owner, STORE_ID_SIZE);
}

static void on_position(void *arg, const struct store_position *p)
{
	(void)arg;
	(void)p;
}

static bool not_let_go(struct run *x, uint32_t owned, struct error *err)
{
	char owner[STORE_ID_SIZE] = "";

	if (!store_lanes_list(x->store, x->rewind->stream->id, on_owner, on_position, owner, err))
		return false;
	return error_set(err, ERROR_RETRY,
			 "%u shards of %s are still held, by session %s and maybe others. Is no "
			 "worker running? Then start one, which buries the dead. The stream stays "
			 "held: say the same again, or `sluice resume -c FILE --stream %s` to give "
			 "it up",
			 owned, x->rewind->streams.name, owner, x->rewind->streams.name);
}

static bool wait_let_go(struct run *x, struct error *err)
{
	static const struct timespec look = { .tv_nsec = LOOK_EVERY_MS * 1000000L };
	int64_t begun_ms = clock_boot_ms(&x->clock), said_ms = begun_ms;

	for (;;) {
		int64_t now_ms = clock_boot_ms(&x->clock);
		uint32_t owned;

		if (!store_stream_owned(x->store, x->rewind->stream->id, &owned, err))
			return false;
		if (owned == 0)
			return true;
		if (now_ms - begun_ms > LET_GO_MS || store_exclusive(x->store))
			return not_let_go(x, owned, err);
		if (now_ms - said_ms > SAY_EVERY_MS) {
			printf("waiting: %u shards are still held\n", owned);
			fflush(stdout);
			said_ms = now_ms;
		}
		nanosleep(&look, NULL);
	}
}

static bool changed(struct run *x, bool done, uint32_t owned, struct error *err)
{
	if (done)
		return true;
	return error_set(err, ERROR_RETRY,
			 owned ? "%s was taken up again before it was set back; look at `sluice "
				 "status`, and try again"
			       : "somebody else ended the hold of %s; nothing was set back",
			 x->rewind->streams.name);
}

static bool reset(struct run *x, struct error *err)
{
	struct store_reset r = { .hold = x->hold,
				 .generation = x->generation,
				 .start_ms = x->rewind->start_ms,
				 .gaps = STORE_GAP_NOHOW,
				 .who = x->who,
				 .said = x->rewind->said,
				 .at_ms = clock_aws_ms(&x->clock) };
	bool done;

	if (!store_stream_reset(x->store, x->rewind->stream->id, &r, &done, err))
		return false;
	x->generation = r.generation;
	return changed(x, done, r.owned, err);
}

static bool set_back(struct run *x, struct error *err)
{
	struct rewind *r = x->rewind;
	struct store_rewind set = { .hold = x->hold,
				    .generation = x->generation,
				    .read_at_ms = r->read_at_ms,
				    .who = x->who,
				    .said = r->said,
				    .at_ms = clock_aws_ms(&x->clock) };
	struct replay_stream now = { 0 };
	struct replay_plan plan = { 0 };
	bool done = false, ok;

	/* Where they have got to meanwhile counts, not what was shown. */
	ok = replay_stream_read(x->store, r->stream->id, &now, err) && r->plan(r, &now, &plan, err);
	set.places = plan.places;
	set.count = plan.count;
	ok = ok && store_stream_rewind(x->store, r->stream->id, &set, &done, err);
	replay_plan_release(&plan);
	replay_stream_release(&now);
	x->generation = set.generation;
	return ok && changed(x, done, set.owned, err);
}

bool rewind_tell(struct store *s, int64_t stream, uint64_t generation, const char *detail,
		 int64_t now_ms, struct error *err)
{
	char key[64];
	struct store_control e = { .stream = stream,
				   .kind = STORE_CONTROL_REWIND,
				   .phase = STORE_CONTROL_BEGIN,
				   .time_ms = now_ms,
				   .key = key,
				   .detail = detail };
	bool added;

	snprintf(key, sizeof(key), "rewind %llu begin", (unsigned long long)generation);
	return store_control_put(s, NULL, &e, &added, err);
}

static bool tell(struct run *x, struct error *err)
{
	return rewind_tell(x->store, x->rewind->stream->id, x->generation, x->rewind->detail,
			   clock_aws_ms(&x->clock), err);
}

static bool go_on(struct run *x, struct error *err)
{
	bool ended;

	return store_stream_go_on(x->store, x->rewind->stream->id, x->hold, x->who,
				  clock_aws_ms(&x->clock), &ended, err);
}

bool rewind_run(struct rewind *r, const struct config *c, struct error *err)
{
	AUTO(store)
	struct store *store = store_open(c->checkpoint.store, OPERATOR_STORE_TIMEOUT_MS, err);
	struct run x = { .rewind = r, .store = store };

	if (!store)
		return false;
	clock_init(&x.clock);
	operator_name(x.who, sizeof(x.who));
	if (!rewind_allowed(r, err) || !hold(&x, err) || !wait_let_go(&x, err) ||
	    !(r->plan ? set_back(&x, err) : reset(&x, err)) || !tell(&x, err) || !go_on(&x, err))
		return false;
	printf("%s goes back, as generation %llu: %s\n", r->streams.name,
	       (unsigned long long)x.generation,
	       store_exclusive(store) ? "it is read again with the next start of the worker"
				      : "running workers read it again within seconds");
	return true;
}
