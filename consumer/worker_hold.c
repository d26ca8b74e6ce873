/* Streams that are held, and streams that were reset: all that this session has of one is let go
 * of, nothing of it is listed, and once it goes on it is opened as if the session had just begun
 * with it. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

/* --- told --- */
static void tell_health(const struct worker *w, const struct worker_stream *s)
{
	char part[STORE_NAME_MAX + 16], said[STORE_NAME_MAX + 200];

	snprintf(part, sizeof(part), "hold %s", s->config->name);
	if (s->hold == 0) {
		health_forget(w->settings.health, part);
		return;
	}
	if (s->hold_why == STORE_HOLD_PAUSE)
		snprintf(said, sizeof(said),
			 "nothing is read of it: it is paused; `sluice resume -c FILE --stream %s` "
			 "goes on",
			 s->config->name);
	else
		snprintf(said, sizeof(said),
			 "nothing is read of it until its %s is done; `sluice status -c FILE` "
			 "shows how far that is",
			 store_hold_why_name(s->hold_why));
	health_set(w->settings.health, part, said);
}

static void tell(struct worker *w, struct worker_stream *s, int64_t hold, enum store_hold_why why)
{
	if (s->hold == hold)
		return;
	if (hold != 0)
		log_info("a stream is held: its shards are let go of, and nothing of it is read",
			 log_text("stream", s->config->name),
			 log_text("why", store_hold_why_name(why)));
	else
		log_info("a stream is not held any more", log_text("stream", s->config->name));
	s->hold = hold;
	s->hold_why = why;
	tell_health(w, s);
	worker_expect(w);
}

/* --- let go of --- */
static void hold_stream(struct worker *w, struct worker_stream *s, int64_t hold,
			enum store_hold_why why)
{
	struct core_event e = { .type = CORE_HOLD,
				.now_ms = loop_now_ms(w->loop),
				.stream = s->lanes.index };

	if (hold == 0)
		log_info("a stream was held or reset meanwhile: it is begun anew",
			 log_text("stream", s->config->name));
	s->held = true;
	s->lister = false;
	s->unclaimed = 0;
	worker_forget_severed(s);
	discover_set_lister(w->discover, s->lanes.index, false);
	worker_follow_later(w, s);
	tell(w, s, hold, why);
	if (!s->settled_first) {
		s->settled_first = true;
		worker_settle(w, s, CORE_NONE); /* nothing is awaited of it */
	}
	worker_feed(w, &e);
}

bool worker_hold_opened(struct worker *w, struct worker_stream *s)
{
	const struct store_hold *h = &s->stored.hold;

	tell_health(w, s); /* an earlier session may have told of another */
	if (h->id != 0)
		hold_stream(w, s, h->id, h->why);
	return s->held;
}

/* --- opened again --- */

/* Nothing of it is left here or in the store, and no call is out that would come back to it. */
static bool is_clear(const struct worker *w, const struct worker_stream *s,
		     const struct store_round_stream *r)
{
	return r->held == 0 && w->core.streams[s->lanes.index].lane_count == 0 && s->adding == 0 &&
	       s->table->check == CHECK_NONE;
}

static void open_again(struct worker *w, struct worker_stream *s,
		       const struct store_round_stream *r)
{
	if (!w->serving || !is_clear(w, s, r))
		return;
	s->again = true;
	worker_remove_stream(w, s);
}

bool worker_hold_see(struct worker *w, struct worker_stream *s, const struct store_round_stream *r)
{
	s->join.leads = r->lister;
	if (!s->held && (r->hold != 0 || r->stale))
		hold_stream(w, s, r->hold, r->hold_why);
	if (!s->held)
		return false;
	tell(w, s, r->hold, r->hold_why);
	if (r->hold == 0)
		open_again(w, s, r);
	return true;
}

bool worker_served_see(struct worker *w, struct worker_stream *s,
		       const struct store_round_stream *r)
{
	if (!r->served && !s->unserved)
		log_warn("the stream's other workers have another set of sinks: this one waits "
			 "until they have ended",
			 log_text("stream", s->config->name));
	s->unserved = s->unserved || !r->served;
	if (!s->unserved)
		return true;
	if (r->served)
		open_again(w, s, r);
	return false;
}

/* --- where no steward looks --- */

/* What the store shows of the streams, for a worker that is alone with it. */
struct look {
	struct worker_task task; /* first */
	const char *session;
	struct store_round_stream *streams;
	int64_t *unheld_ms;
	size_t count;
};

static void saw_stream(void *arg, const struct store_round_stream *r)
{
	struct look *l = arg;

	l->streams = memory_room(l->streams, l->count, sizeof(*l->streams));
	l->unheld_ms = memory_room(l->unheld_ms, l->count, sizeof(*l->unheld_ms));
	l->unheld_ms[l->count] = 0;
	l->streams[l->count++] = *r;
}

static void saw_member(void *arg, const struct store_round_member *m)
{
	(void)arg;
	(void)m;
}

static void saw_wanted(void *arg, int64_t stream, int64_t lane)
{
	(void)arg;
	(void)stream;
	(void)lane;
}

static bool look_work(struct saver_task *task, struct store *store, struct error *err)
{
	static const struct store_round_fns fns = { .stream = saw_stream,
						    .member = saw_member,
						    .wanted = saw_wanted };
	struct look *l = (struct look *)task;
	struct loss_unheld unheld = { 0 };

	l->count = 0;
	if (!store_round(store, l->session, &fns, l, err))
		return false;
	for (size_t i = 0; i < l->count; i++) {
		if (l->streams[i].hold == 0)
			continue;
		unheld.place_ms = 0;
		if (!store_unheld(store, l->streams[i].stream, loss_unheld, &unheld, err))
			return false;
		l->unheld_ms[i] = unheld.place_ms;
	}
	return true;
}

static void looked(struct worker *w, struct worker_task *task)
{
	struct look *l = (struct look *)task;

	w->looking = false;
	for (size_t i = 0; task->saver.ok && i < l->count; i++)
		for (uint32_t n = 0; n < w->stream_count; n++) {
			struct worker_stream *s = w->streams[n];

			if (!s || s->removing || s->stored.id != l->streams[i].stream)
				continue;
			s->unheld_ms = l->unheld_ms[i];
			worker_hold_see(w, s, &l->streams[i]);
		}
}

static void release(struct worker_task *task)
{
	struct look *l = (struct look *)task;

	free(l->streams);
	free(l->unheld_ms);
}

void worker_hold_look(struct worker *w)
{
	struct look *l;

	if (w->steward || w->looking || !w->serving)
		return;
	w->looking = true;
	l = memory_new(sizeof(*l));
	*l = (struct look){ .task = { .saver.work = look_work, .done = looked, .release = release },
			    .session = w->session };
	saver_work(w->saver, &l->task.saver);
}
