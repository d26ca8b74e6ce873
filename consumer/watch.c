#include "consumer/watch.h"

#include <string.h>

void watch_init(struct watch *w, int64_t lease_ms)
{
	w->lease_ms = lease_ms;
	w->looked_at_ms = 0;
	w->unheard = false;
	w->count = 0;
}

static struct watched *row_of(struct watch *w, const char *id)
{
	for (unsigned i = 0; i < w->count; i++)
		if (strcmp(w->rows[i].id, id) == 0)
			return &w->rows[i];
	return NULL;
}

const struct watched *watch_find(const struct watch *w, const char *id)
{
	for (unsigned i = 0; i < w->count; i++)
		if (strcmp(w->rows[i].id, id) == 0)
			return &w->rows[i];
	return NULL;
}

void watch_look(struct watch *w, int64_t now_ms)
{
	bool paused = now_ms - w->looked_at_ms > WATCH_PAUSE_LOOK * w->lease_ms / WATCH_LOOKS;

	for (unsigned i = 0; i < w->count; i++) {
		if (paused)
			w->rows[i].since_ms = now_ms;
		w->rows[i].listed = false;
	}
	w->looked_at_ms = now_ms;
	w->unheard = false;
}

static enum watch_verdict dead(struct watched *r, int64_t now_ms)
{
	if (!r->dead)
		r->bury_at_ms = now_ms + r->lease_ms / 2;
	r->dead = true;
	return now_ms >= r->bury_at_ms ? WATCH_BURY : WATCH_LET;
}

static bool see_first(struct watch *w, const struct store_session *o)
{
	struct watched *r = &w->rows[w->count];

	if (w->count == WATCH_MAX)
		return false;
	w->count++;
	*r = (struct watched){ .beat = o->beat, .since_ms = w->looked_at_ms };
	memcpy(r->id, o->id, sizeof(r->id));
	return true;
}

enum watch_verdict watch_see(struct watch *w, const struct store_session *o)
{
	struct watched *r = row_of(w, o->id);

	if (!r && !see_first(w, o))
		return WATCH_LET;
	if (!r)
		r = &w->rows[w->count - 1];
	r->listed = true;
	/* 0: from before sessions told their lease. */
	r->lease_ms = o->lease_ms > 0 ? o->lease_ms : w->lease_ms;
	if (r->beat != o->beat) {
		r->beats = true;
		r->beat = o->beat;
		r->since_ms = w->looked_at_ms;
	}
	if (o->state == SESSION_DEAD)
		return dead(r, w->looked_at_ms);
	r->dead = false;
	return w->looked_at_ms - r->since_ms >= r->lease_ms ? WATCH_KILL : WATCH_LET;
}

enum watch_verdict watch_killed(struct watch *w, const char *id, int64_t now_ms)
{
	struct watched *r = row_of(w, id);

	return r ? dead(r, now_ms) : WATCH_LET;
}

static void forget(struct watch *w, unsigned i)
{
	w->rows[i] = w->rows[--w->count];
}

void watch_buried(struct watch *w, const char *id)
{
	struct watched *r = row_of(w, id);

	if (r)
		forget(w, (unsigned)(r - w->rows));
}

void watch_unburied(struct watch *w, const char *id, int64_t again_ms, bool heard)
{
	struct watched *r = row_of(w, id);

	w->unheard = w->unheard || !heard;
	if (!r)
		return;
	r->bury_at_ms = again_ms;
	r->tries++;
}

void watch_looked(struct watch *w, int64_t now_ms)
{
	if (!w->unheard)
		w->looked_at_ms = now_ms;
	for (unsigned i = w->count; i-- > 0;)
		if (!w->rows[i].listed)
			forget(w, i);
}

unsigned watch_silent(const struct watch *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->count; i++)
		n += w->rows[i].dead || !w->rows[i].beats;
	return n;
}

unsigned watch_unburied_count(const struct watch *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->count; i++)
		n += w->rows[i].tries > 0;
	return n;
}

int64_t watch_wake_ms(const struct watch *w)
{
	int64_t wake_ms = INT64_MAX;

	for (unsigned i = 0; i < w->count; i++) {
		const struct watched *r = &w->rows[i];
		int64_t due_ms = r->dead ? r->bury_at_ms : r->since_ms + r->lease_ms;

		if (due_ms < wake_ms)
			wake_ms = due_ms;
	}
	return wake_ms;
}

/* Three quarters: half a lease for what is sent by then to land, and a quarter for the others to be
 * sure, before the shards can be free (a lease and a half after the beat). */
int64_t watch_emit_until_ms(int64_t sent_ms, int64_t lease_ms)
{
	return sent_ms + lease_ms * 3 / 4;
}
