#include "consumer/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "sinks/sink.h"

#define SESSIONS_MAX  256
#define BEATS_A_LEASE 10
#define RETRY_BASE_MS 100
#define RETRY_MAX_MS  5000
#define LOG_EVERY_MS  10000
#define POLL_STEP_MS  50

static bool stopped(const struct session_settings *s)
{
	return atomic_load(s->stop);
}

/* Waits in small steps, so that a signal ends it. */
static bool pause_ms(const struct session_settings *s, int64_t ms, struct error *err)
{
	int64_t until = clock_boot_ms(s->clock) + ms;

	while (!stopped(s) && clock_boot_ms(s->clock) < until)
		nanosleep(&(struct timespec){ .tv_nsec = POLL_STEP_MS * 1000000L }, NULL);
	return !stopped(s) || error_set(err, ERROR_CANCELLED, "stopped while it waited");
}

bool session_watch(struct session_seen *seen, const struct store_session *now, int64_t now_ms,
		   int64_t lease_ms)
{
	if (strcmp(seen->id, now->id) != 0 || seen->beat != now->beat) {
		memcpy(seen->id, now->id, sizeof(seen->id));
		seen->beat = now->beat;
		seen->since_ms = now_ms;
	}
	return now_ms - seen->since_ms >= lease_ms;
}

static void new_id(char id[STORE_ID_SIZE])
{
	unsigned char b[16];

	rng_random(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(id, STORE_ID_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

/* --- burial --- */

struct burial {
	const struct session_settings *s;
	const char *session;
	const char *own_id; /* of the session that buries and beats meanwhile; NULL: the same */
	struct {
		char sink[STORE_NAME_MAX + 1];
		uint64_t number;
		char *blob;
		size_t size;
	} * rolls;
	size_t count;
};

static void note_roll(void *arg, const char *sink, uint64_t number, struct str blob)
{
	struct burial *b = arg;

	b->rolls = memory_resize(b->rolls, (b->count + 1) * sizeof(*b->rolls));
	snprintf(b->rolls[b->count].sink, sizeof(b->rolls[b->count].sink), "%s", sink);
	b->rolls[b->count].number = number;
	b->rolls[b->count].blob = memory_text_n(blob.p, blob.n);
	b->rolls[b->count].size = blob.n;
	b->count++;
}

static const struct config_sink *sink_named(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->sink_count; i++)
		if (strcmp(c->sinks[i].name, name) == 0)
			return &c->sinks[i];
	return NULL;
}

static struct sink_host host_of(const struct session_settings *s, const struct config_sink *sink)
{
	return (struct sink_host){ .index = (unsigned)(sink - s->config->sinks),
				   .name = sink->name,
				   .lease_ms = s->config->checkpoint.lease_ms,
				   .clock = s->clock,
				   .metrics = s->metrics,
				   .aws = s->aws,
				   .credentials = s->credentials };
}

static bool bury_rolls(struct burial *b, struct error *err)
{
	const struct session_settings *s = b->s;

	for (size_t i = 0; i < b->count; i++) {
		const struct config_sink *sink = sink_named(s->config, b->rolls[i].sink);

		if (!sink)
			return error_set(err, ERROR_RETRY,
					 "session %s left a roll of the sink '%s', which is not "
					 "configured here: configure it, so that the roll can be "
					 "finished",
					 b->session, b->rolls[i].sink);

		struct sink_host host = host_of(s, sink);

		host.session = b->session;
		if (b->own_id && !store_session_beat(s->store, b->own_id, err))
			return false;
		if (!sink_ops_find(sink->type->type)
			     ->bury(sink->settings, &host,
				    (struct str){ b->rolls[i].blob, b->rolls[i].size }, err))
			return error_wrap(err, "sink %s: roll %" PRIu64 " of session %s",
					  sink->name, b->rolls[i].number, b->session);
		if (!store_roll_finished(s->store, b->session, sink->name, b->rolls[i].number, err))
			return false;
		log_info("finished a roll that a session left", log_text("sink", sink->name),
			 log_text("session", b->session),
			 log_int("roll", (int64_t)b->rolls[i].number));
	}
	return true;
}

/* What it had begun and not committed is litter; that it could not be removed holds nobody up. */
static void sweep(const struct session_settings *s, const char *session)
{
	for (size_t i = 0; i < s->config->sink_count; i++) {
		const struct config_sink *sink = &s->config->sinks[i];
		const struct sink_ops *ops = sink_ops_find(sink->type->type);
		struct sink_host host = host_of(s, sink);
		struct error err = { 0 };

		host.session = session;
		if (ops->commit(sink->settings) == SINK_ROLL &&
		    !ops->sweep(sink->settings, &host, session, &err))
			log_warn("unfinished files of an ended session were left",
				 log_text("sink", sink->name), log_text("session", session),
				 log_text("error", err.message));
	}
}

static bool bury_once(const struct session_settings *s, const char *id, const char *own_id,
		      bool litter, struct error *err)
{
	struct burial b = { .s = s, .session = id, .own_id = own_id };
	bool ok = store_rolls(s->store, id, note_roll, &b, err) && bury_rolls(&b, err);

	ok = ok && store_session_bury(s->store, id, err);
	/* Not earlier: a save whose reply was lost may reach the store as long as the session
	 * lives, and its roll would then name files that are gone. */
	if (ok && litter)
		sweep(s, id);
	for (size_t i = 0; i < b.count; i++)
		free(b.rolls[i].blob);
	free(b.rolls);
	return ok;
}

/* Whatever is wrong, a person may mend it while this waits: it is tried until it is done. */
static bool bury(const struct session_settings *s, const char *id, const char *own_id,
		 struct error *err)
{
	struct rng rng;
	struct log_limit limit = { 0 };
	uint64_t repeated, seed;

	rng_random(&seed, sizeof(seed));
	rng_seed(&rng, seed);
	for (unsigned tries = 0; !bury_once(s, id, own_id, true, err); tries++) {
		if (err->kind == ERROR_CANCELLED)
			return false;
		health_set(s->health, "burial", err->message);
		if (log_limit_pass(&limit, clock_boot_ms(s->clock), LOG_EVERY_MS, &repeated))
			log_error("an ended session cannot be buried, its shards wait",
				  log_text("session", id), log_text("error", err->message),
				  log_int("repeated", (int64_t)repeated));
		if (!pause_ms(s, rng_backoff_ms(&rng, tries, RETRY_BASE_MS, RETRY_MAX_MS), err))
			return false;
		if (own_id && !store_session_beat(s->store, own_id, err) &&
		    !error_passes(err->kind))
			return false;
	}
	health_forget(s->health, "burial");
	return true;
}

/* --- beginning --- */

struct waiting {
	const struct session_settings *s;
	const char *id;
	struct session_seen *seen;
	struct store_session *others;
	int64_t beat_from_ms;
	struct log_limit log;
};

/* Messages that a dead process gave to Kafka may land until their timeout (hazards, A3). */
static bool outlast_kafka(struct waiting *w, struct error *err)
{
	int64_t until = clock_boot_ms(w->s->clock) + w->s->config->checkpoint.lease_ms / 2;
	bool kafka = false;

	for (size_t i = 0; i < w->s->config->sink_count; i++)
		kafka = kafka || strcmp(w->s->config->sinks[i].type->type, "kafka") == 0;
	while (kafka && clock_boot_ms(w->s->clock) < until) {
		if (!pause_ms(w->s, w->s->config->checkpoint.lease_ms / BEATS_A_LEASE, err))
			return false;
		w->beat_from_ms = clock_boot_ms(w->s->clock);
		if (!store_session_beat(w->s->store, w->id, err) && !error_passes(err->kind))
			return false;
	}
	return true;
}

/* What is known of this session; the list that it stands in shrinks and grows. */
static struct session_seen *seen_of(struct waiting *w, const char *id)
{
	struct session_seen *empty = &w->seen[0];

	for (size_t i = SESSIONS_MAX; i-- > 0;) {
		if (strcmp(w->seen[i].id, id) == 0)
			return &w->seen[i];
		if (!*w->seen[i].id)
			empty = &w->seen[i];
	}
	return empty;
}

static void log_dead(const struct store_session *o, bool exclusive)
{
	if (exclusive)
		log_info("the last session did not end itself, it is buried",
			 log_text("session", o->id), log_text("worker", o->worker));
	else
		log_warn("a session is dead: its beat stood still for a whole lease",
			 log_text("session", o->id), log_text("worker", o->worker));
}

/* One round over the sessions before ours; *waiting while one of them may still live. */
static bool round_of_watching(struct waiting *w, bool *waiting, struct error *err)
{
	const struct session_settings *s = w->s;
	bool exclusive = store_exclusive(s->store), killed;
	size_t count;
	uint64_t repeated;

	w->beat_from_ms = clock_boot_ms(s->clock);
	if (!store_session_beat(s->store, w->id, err) ||
	    !store_sessions(s->store, w->others, SESSIONS_MAX, &count, err))
		return false;
	*waiting = false;
	for (size_t i = 0; i < count && strcmp(w->others[i].id, w->id) != 0; i++) {
		struct store_session *o = &w->others[i];

		if (o->state == SESSION_LIVE) {
			if (!exclusive &&
			    !session_watch(seen_of(w, o->id), o, clock_boot_ms(s->clock),
					   s->config->checkpoint.lease_ms)) {
				if (log_limit_pass(&w->log, clock_boot_ms(s->clock), LOG_EVERY_MS,
						   &repeated))
					log_info("waiting for another session to end",
						 log_text("session", o->id),
						 log_text("worker", o->worker));
				*waiting = true;
				continue;
			}
			if (!store_session_kill(s->store, o->id, o->beat, &killed, err))
				return false;
			if (!killed) {
				*waiting = true;
				continue;
			}
			log_dead(o, exclusive);
		}
		if (!exclusive && !outlast_kafka(w, err))
			return false;
		if (!bury(s, o->id, w->id, err))
			return false;
	}
	return true;
}

static bool begin(struct waiting *w, char id[STORE_ID_SIZE], struct error *err)
{
	const struct session_settings *s = w->s;
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	for (;;) {
		new_id(id);
		if (store_session_begin(s->store, id, s->config->worker.name, host, err))
			return true;
		if (!error_passes(err->kind))
			return false;
		health_set(s->health, "store", err->message);
		if (!pause_ms(s, RETRY_MAX_MS / 5, err))
			return false;
	}
}

bool session_begin(const struct session_settings *s, char id[STORE_ID_SIZE], int64_t *beat_from_ms,
		   struct error *err)
{
	struct waiting w = { .s = s,
			     .id = id,
			     .seen = memory_array(SESSIONS_MAX, sizeof(*w.seen)),
			     .others = memory_array(SESSIONS_MAX, sizeof(*w.others)) };
	bool ok = begin(&w, id, err), waiting = true;

	if (!ok)
		id[0] = '\0'; /* nothing to end */
	while (ok && waiting) {
		ok = round_of_watching(&w, &waiting, err);
		if (!ok && error_passes(err->kind)) {
			health_set(s->health, "store", err->message);
			ok = waiting = true;
		} else if (ok) {
			health_set(s->health, "store", NULL);
		}
		if (ok && waiting)
			ok = pause_ms(s, s->config->checkpoint.lease_ms / BEATS_A_LEASE, err);
	}
	*beat_from_ms = w.beat_from_ms;
	free(w.seen);
	free(w.others);
	return ok;
}

bool session_end(const struct session_settings *s, const char *id, bool litter, struct error *err)
{
	return bury_once(s, id, NULL, litter, err);
}
