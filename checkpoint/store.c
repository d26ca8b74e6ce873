#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/store_ops.h"

static const struct {
	const char *prefix;
	const struct store_ops *ops;
} kinds[] = {
	{ "sqlite:", &store_sqlite },
	{ "postgres://", &store_postgres },
	{ "postgresql://", &store_postgres },
};

static const struct store_ops *kind_of(const char *url)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(url, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return kinds[i].ops;
	return NULL;
}

static struct store *open_any(const char *url, int64_t timeout_ms, bool reader, struct error *err)
{
	const struct store_ops *kind = kind_of(url);
	struct store *s;

	assert(timeout_ms > 0);
	if (!kind) {
		/* Not the text itself: it may hold a password. */
		error_set(err, ERROR_INVALID,
			  "the checkpoint store is neither postgres://… nor sqlite:PATH");
		return NULL;
	}
	s = kind->open(url, timeout_ms, reader, err);
	if (s)
		s->ops = kind;
	return s;
}

void store_place(const char *url, char *out, size_t size)
{
	const struct store_ops *kind = kind_of(url);

	if (!kind || !kind->place(url, out, size))
		snprintf(out, size, "unreadable");
}

struct store *store_open(const char *url, int64_t timeout_ms, struct error *err)
{
	return open_any(url, timeout_ms, false, err);
}

struct store *store_open_reader(const char *url, int64_t timeout_ms, struct error *err)
{
	return open_any(url, timeout_ms, true, err);
}

void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

void store_end_by(struct store *s, int64_t boot_ms)
{
	atomic_store(&s->end_by_ms, boot_ms);
}

const char *store_describe(const struct store *s)
{
	return s->describe;
}

bool store_exclusive(const struct store *s)
{
	return s->exclusive;
}

bool store_session_begin(struct store *s, const char *id, const char *worker, const char *address,
			 int64_t lease_ms, struct error *err)
{
	assert(strlen(id) == STORE_ID_SIZE - 1 && lease_ms > 0);
	return store_named(s, s->ops->session_begin(s, id, worker, address, lease_ms, err), err);
}

bool store_session_beat(struct store *s, const char *id, struct error *err)
{
	return store_named(s, s->ops->session_beat(s, id, err), err);
}

bool store_sessions(struct store *s, struct store_session *out, size_t max, size_t *count,
		    struct error *err)
{
	*count = 0;
	return store_named(s, s->ops->sessions(s, "", out, max, count, err), err);
}

bool store_sessions_near(struct store *s, const char *session, struct store_session *out,
			 size_t max, size_t *count, struct error *err)
{
	*count = 0;
	return store_named(s, s->ops->sessions(s, session, out, max, count, err), err);
}

bool store_session_kill(struct store *s, const char *id, int64_t beat, bool *done,
			struct error *err)
{
	*done = false;
	return store_named(s, s->ops->session_kill(s, id, beat, done, err), err);
}

bool store_session_bury(struct store *s, const char *id, struct error *err)
{
	return store_named(s, s->ops->session_bury(s, id, err), err);
}

bool store_sink(struct store *s, const char *name, int32_t *id, struct error *err)
{
	return store_named(s, s->ops->sink(s, name, id, err), err);
}

bool store_sinks(struct store *s, store_sink_fn *fn, void *arg, struct error *err)
{
	return store_named(s, s->ops->sinks(s, fn, arg, err), err);
}

bool store_stream(struct store *s, const char *name, const char *arn, int64_t start_ms,
		  struct store_stream *out, struct error *err)
{
	return store_named(s, s->ops->stream(s, name, arn, start_ms, NULL, out, err), err);
}

bool store_stream_held(struct store *s, const char *name, const char *arn,
		       const struct store_hold *hold, struct store_stream *out, struct error *err)
{
	assert(hold->why != STORE_HOLD_NONE);
	return store_named(s, s->ops->stream(s, name, arn, 0, hold, out, err), err);
}

bool store_streams(struct store *s, store_stream_fn *fn, void *arg, struct error *err)
{
	return store_named(s, s->ops->streams(s, fn, arg, err), err);
}

bool store_stream_hold(struct store *s, int64_t stream, uint64_t generation,
		       struct store_hold *hold, bool *done, struct error *err)
{
	return store_stream_hold_instead(s, stream, generation, 0, hold, done, err);
}

bool store_stream_hold_instead(struct store *s, int64_t stream, uint64_t generation,
			       int64_t instead, struct store_hold *hold, bool *done,
			       struct error *err)
{
	assert(hold->why != STORE_HOLD_NONE);
	*done = false;
	return store_named(s, s->ops->hold(s, stream, generation, instead, hold, done, err), err);
}

bool store_stream_owned(struct store *s, int64_t stream, uint32_t *owned, struct error *err)
{
	*owned = 0;
	return store_named(s, s->ops->owned(s, stream, owned, err), err);
}

bool store_stream_reset(struct store *s, int64_t stream, struct store_reset *reset, bool *done,
			struct error *err)
{
	*done = false;
	return store_named(s, s->ops->reset(s, stream, reset, done, err), err);
}

bool store_stream_go_on(struct store *s, int64_t stream, int64_t hold, const char *who,
			int64_t at_ms, bool *ended, struct error *err)
{
	*ended = false;
	return store_named(s, s->ops->go_on(s, stream, hold, who, at_ms, ended, err), err);
}

bool store_audit(struct store *s, int64_t stream, uint32_t max, store_audit_fn *fn, void *arg,
		 struct error *err)
{
	return store_named(s, s->ops->audit(s, stream, max, fn, arg, err), err);
}

bool store_twins(struct store *s, const char *session, store_twin_fn *fn, void *arg,
		 struct error *err)
{
	return store_named(s, s->ops->twins(s, session, fn, arg, err), err);
}

bool store_sinks_start(struct store *s, int64_t stream, struct store_start *starts, size_t count,
		       int64_t at_ms, struct error *err)
{
	return store_named(s, s->ops->sinks_start(s, stream, starts, count, at_ms, err), err);
}

bool store_join(struct store *s, const char *session, int64_t stream, int64_t epoch,
		const int32_t *sinks, size_t count, struct error *err)
{
	return store_named(s, s->ops->join(s, session, stream, epoch, sinks, count, err), err);
}

bool store_leave(struct store *s, const char *session, int64_t stream, struct error *err)
{
	return store_named(s, s->ops->leave(s, session, stream, err), err);
}

bool store_round(struct store *s, const char *session, const struct store_round_fns *fns, void *arg,
		 struct error *err)
{
	return store_named(s, s->ops->round(s, session, fns, arg, err), err);
}

bool store_lanes_add(struct store *s, const char *session, int64_t stream, int64_t epoch, bool own,
		     struct store_lane *lanes, size_t count, const int32_t *sinks,
		     size_t sink_count, struct error *err)
{
	return store_named(s,
			   s->ops->lanes_add(s, session, stream, epoch, own, lanes, count, sinks,
					     sink_count, err),
			   err);
}

bool store_lanes_claim(struct store *s, const char *session, int64_t stream, const int32_t *sinks,
		       size_t sink_count, uint32_t max, store_lane_fn *lane,
		       store_position_fn *position, void *arg, struct error *err)
{
	struct store_of of = { .owner = session };

	return store_named(
		s,
		s->ops->lanes_claim(s, session, stream, sinks, sink_count, max, &of.claim, err) &&
			s->ops->lanes_list(s, stream, &of, lane, position, arg, err),
		err);
}

bool store_lanes_held(struct store *s, const char *session, int64_t stream, store_lane_fn *lane,
		      store_position_fn *position, void *arg, struct error *err)
{
	struct store_of of = { .owner = session };

	return store_named(s, s->ops->lanes_list(s, stream, &of, lane, position, arg, err), err);
}

bool store_lanes_list(struct store *s, int64_t stream, store_lane_fn *lane,
		      store_position_fn *position, void *arg, struct error *err)
{
	struct store_of all = { 0 };

	return store_named(s, s->ops->lanes_list(s, stream, &all, lane, position, arg, err), err);
}

bool store_unheld(struct store *s, int64_t stream, store_unheld_fn *fn, void *arg,
		  struct error *err)
{
	return store_named(s, s->ops->unheld(s, stream, fn, arg, err), err);
}

bool store_lanes_wish(struct store *s, const char *session, const char *from, int64_t stream,
		      uint32_t max, uint32_t *wished, struct error *err)
{
	*wished = 0;
	return store_named(s, s->ops->lanes_wish(s, session, from, stream, max, wished, err), err);
}

bool store_lanes_release(struct store *s, const char *session, const int64_t *lanes, size_t count,
			 struct error *err)
{
	return store_named(s, s->ops->lanes_release(s, session, lanes, count, err), err);
}

bool store_shards(struct store *s, int64_t stream, int64_t after, store_shard_fn *fn, void *arg,
		  struct error *err)
{
	return store_named(s, s->ops->shards(s, stream, after, fn, arg, err), err);
}

bool store_tidy(struct store *s, int64_t stream, int64_t before_ms, uint32_t *removed,
		struct error *err)
{
	*removed = 0;
	return store_named(s, s->ops->tidy(s, stream, before_ms, removed, err), err);
}

bool store_save(struct store *s, const struct store_save *save, struct error *err)
{
	size_t bytes = 0;

	assert(save->number > 0);
	for (size_t i = 0; i < save->roll_count; i++)
		bytes += save->rolls[i].blob.n;
	if (bytes > STORE_ROLLS_MAX)
		return error_set(err, ERROR_INVALID,
				 "%s: rolls of %zu bytes are over %zu: roll more often",
				 s->describe, bytes, STORE_ROLLS_MAX);
	return store_named(s, s->ops->save(s, save, err), err);
}

bool store_rolls(struct store *s, const char *session, store_roll_fn *fn, void *arg,
		 struct error *err)
{
	return store_named(s, s->ops->rolls(s, session, fn, arg, err), err);
}

bool store_roll_finished(struct store *s, const char *session, const char *sink_name,
			 uint64_t number, bool committed, struct error *err)
{
	return store_named(s, s->ops->roll_finished(s, session, sink_name, number, committed, err),
			   err);
}

bool store_letter_put(struct store *s, const struct store_letter *letter, int64_t max_bytes,
		      struct error *err)
{
	return store_named(s, s->ops->letter_put(s, letter, max_bytes, err), err);
}

bool store_letters(struct store *s, store_letter_fn *fn, void *arg, struct error *err)
{
	return store_named(s, s->ops->letters(s, fn, arg, err), err);
}

bool store_letters_count(struct store *s, uint64_t *count, struct error *err)
{
	return store_named(s, s->ops->letters_count(s, count, err), err);
}

bool store_letter_drop(struct store *s, int64_t id, struct error *err)
{
	return store_named(s, s->ops->letter_drop(s, id, err), err);
}

bool store_gap_put(struct store *s, const char *session, struct store_gap *gap, bool accept,
		   bool *added, struct error *err)
{
	*added = false;
	return store_named(s, s->ops->gap_put(s, session, gap, accept, added, err), err);
}

bool store_gaps(struct store *s, int64_t stream, store_gap_fn *fn, void *arg, struct error *err)
{
	return store_named(s, s->ops->gaps(s, stream, fn, arg, err), err);
}

bool store_gaps_accept(struct store *s, int64_t stream, int64_t newest, int64_t at_ms,
		       uint32_t *accepted, struct error *err)
{
	*accepted = 0;
	return store_named(s, s->ops->gaps_accept(s, stream, newest, at_ms, accepted, err), err);
}

bool store_gaps_accepted(struct store *s, const int64_t *streams, size_t count, store_gap_fn *fn,
			 void *arg, struct error *err)
{
	return store_named(s, s->ops->gaps_accepted(s, streams, count, fn, arg, err), err);
}

bool store_gap_close(struct store *s, int64_t id, enum store_gap_how how, const struct sequence *to,
		     int64_t to_ms, int64_t at_ms, struct error *err)
{
	return store_named(s, s->ops->gap_close(s, id, how, to, to_ms, at_ms, err), err);
}

/* --- names of the tables --- */
static const char *const gap_kinds[] = { "trimmed", "vanished", "orphan", "reenabled" };
static const char *const gap_states[] = { "open", "accepted", "closed" };
static const char *const gap_hows[] = { "", "oldest", "resume", "repair" };
static const char *const hold_whys[] = { "", "pause", "baseline", "repair", "rewind" };
static const char *const audit_whats[] = { "hold", "reset", "rewind", "go on" };

const char *store_gap_kind_name(enum store_gap_kind kind)
{
	return gap_kinds[kind];
}

const char *store_gap_state_name(enum store_gap_state state)
{
	return gap_states[state];
}

const char *store_gap_how_name(enum store_gap_how how)
{
	return gap_hows[how];
}

const char *store_hold_why_name(enum store_hold_why why)
{
	return hold_whys[why];
}

const char *store_audit_what_name(enum store_audit_what what)
{
	return audit_whats[what];
}

#define NAMES(list) (list), sizeof(list) / sizeof(*(list))
int store_name_find(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

bool store_gap_parse(struct store_gap *out, const char *kind, const char *state, const char *how,
		     struct error *err)
{
	int k = store_name_find(NAMES(gap_kinds), kind),
	    s = store_name_find(NAMES(gap_states), state),
	    h = store_name_find(NAMES(gap_hows), how);

	if (k < 0 || s < 0 || h < 0)
		return error_set(err, ERROR_INVALID, "a gap that is %s, %s, %s: run a newer sluice",
				 kind, state, how);
	out->kind = (enum store_gap_kind)k;
	out->state = (enum store_gap_state)s;
	out->how = (enum store_gap_how)h;
	return true;
}

bool store_hold_parse(const char *name, enum store_hold_why *why, struct error *err)
{
	int found = store_name_find(NAMES(hold_whys), name);

	if (found < 0)
		return error_set(err, ERROR_INVALID, "a hold for %s: run a newer sluice", name);
	*why = (enum store_hold_why)found;
	return true;
}

bool store_audit_parse(struct store_audit *out, const char *what, const char *why,
		       struct error *err)
{
	int found = store_name_find(NAMES(audit_whats), what);

	if (found < 0)
		return error_set(err, ERROR_INVALID, "an audit of %s: run a newer sluice", what);
	out->what = (enum store_audit_what)found;
	return store_hold_parse(why, &out->why, err);
}

enum store_session_state store_state_parse(const char *text)
{
	if (strcmp(text, "live") == 0)
		return SESSION_LIVE;
	return strcmp(text, "dead") == 0 ? SESSION_DEAD : SESSION_BURIED;
}

bool store_sequence_parse(struct sequence *out, const char *digits, struct error *err)
{
	if (digits)
		return sequence_parse(out, str_of(digits), err);
	*out = SEQUENCE_NONE;
	return true;
}
