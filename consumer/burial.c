#include "consumer/burial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "sinks/sink.h"

struct burial {
	const struct session_settings *s;
	const char *session;
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

static enum burial_end store_failed(const struct error *err)
{
	return error_passes(err->kind) ? BURIAL_UNHEARD : BURIAL_LEFT;
}

static enum burial_end bury_roll(const struct burial *b, size_t i, const struct config_sink *sink,
				 struct error *err)
{
	const struct session_settings *s = b->s;
	const struct sink_ops *ops = sink_ops_find(sink->type->type);
	struct sink_host host = session_sink_host(s, sink);
	bool committed = true;

	host.session = b->session;
	if (!ops->bury) {
		error_set(err, ERROR_INVALID,
			  "session %s left a roll of the sink '%s', which by now is one of type "
			  "%s: give the new sink a name of its own, and let the old one finish its "
			  "rolls",
			  b->session, sink->name, sink->type->type);
		return BURIAL_LEFT;
	}
	if (!ops->bury(sink->settings, &host, (struct str){ b->rolls[i].blob, b->rolls[i].size },
		       &committed, err)) {
		error_wrap(err, "sink %s: roll %" PRIu64 " of session %s", sink->name,
			   b->rolls[i].number, b->session);
		return BURIAL_LEFT;
	}
	if (!store_roll_finished(s->store, b->session, sink->name, b->rolls[i].number, committed,
				 err))
		return store_failed(err);
	log_info(committed ? "finished a roll that a session left"
			   : "dropped a transaction that a session did not commit",
		 log_text("sink", sink->name), log_text("session", b->session),
		 log_int("roll", (int64_t)b->rolls[i].number));
	return BURIAL_DONE;
}

static enum burial_end bury_rolls(const struct burial *b, struct error *err)
{
	const struct session_settings *s = b->s;
	enum burial_end end = BURIAL_DONE;

	for (size_t i = 0; end == BURIAL_DONE && i < b->count; i++) {
		const struct config_sink *sink = sink_named(s->config, b->rolls[i].sink);

		if (!sink) {
			error_set(
				err, ERROR_RETRY,
				"session %s left a roll of the sink '%s', which is not configured "
				"here: configure it, so that the roll can be finished",
				b->session, b->rolls[i].sink);
			return BURIAL_LEFT;
		}
		end = bury_roll(b, i, sink, err);
	}
	return end;
}

/* What it had begun and not committed is litter; that it could not be removed holds nobody up. */
void burial_sweep(const struct session_settings *s, const char *session)
{
	for (size_t i = 0; i < s->config->sink_count; i++) {
		const struct config_sink *sink = &s->config->sinks[i];
		const struct sink_ops *ops = sink_ops_find(sink->type->type);
		struct sink_host host = session_sink_host(s, sink);
		struct error err = { 0 };

		host.session = session;
		if (ops->commit(sink->settings) != SINK_IMMEDIATE &&
		    !ops->sweep(sink->settings, &host, session, &err))
			log_warn("unfinished files of an ended session were left",
				 log_text("sink", sink->name), log_text("session", session),
				 log_text("error", err.message));
	}
}

enum burial_end burial_try(const struct session_settings *s, const char *id, bool litter,
			   struct error *err)
{
	struct burial b = { .s = s, .session = id };
	enum burial_end end = store_rolls(s->store, id, note_roll, &b, err) ? bury_rolls(&b, err)
									    : store_failed(err);

	if (end == BURIAL_DONE && !store_session_bury(s->store, id, err))
		end = store_failed(err);
	/* Not earlier: a save whose reply was lost may reach the store as long as the session
	 * lives, and its roll would then name files that are gone. */
	if (end == BURIAL_DONE && litter)
		burial_sweep(s, id);
	for (size_t i = 0; i < b.count; i++)
		free(b.rolls[i].blob);
	free(b.rolls);
	return end;
}
