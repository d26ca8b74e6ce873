#include "checkpoint/control.h"

#include "checkpoint/store_ops.h"

bool store_control_put(struct store *s, const char *session, const struct store_control *event,
		       bool *added, struct error *err)
{
	*added = false;
	return store_named(s, s->ops->control->put(s, session, event, added, err), err);
}

bool store_control_claim(struct store *s, const char *session, const struct store_control_of *of,
			 size_t count, int64_t at_ms, bool *waits, store_control_fn *fn, void *arg,
			 struct error *err)
{
	const struct store_control_ops *ops = s->ops->control;
	bool some = false;

	*waits = false;
	return store_named(s,
			   ops->claim(s, session, of, count, at_ms, &some, waits, err) &&
				   (!some || ops->claimed(s, session, fn, arg, err)),
			   err);
}

bool store_control_told(struct store *s, const char *session, int32_t sink, const int64_t *events,
			size_t count, int64_t at_ms, struct error *err)
{
	return store_named(s, s->ops->control->told(s, session, sink, events, count, at_ms, err),
			   err);
}

bool store_topic_seen(struct store *s, const char *session, const struct store_topic *topic,
		      int64_t at_ms, uint32_t *before, struct error *err)
{
	*before = 0;
	return store_named(s, s->ops->control->topic_seen(s, session, topic, at_ms, before, err),
			   err);
}

/* --- names of the tables --- */
static const char *const kinds[] = { "baseline", "repair",    "rewind",
				     "gap",      "reenabled", "partitions" };
static const char *const phases[] = { "begin", "end" };

const char *store_control_kind_name(enum store_control_kind kind)
{
	return kinds[kind];
}

const char *store_control_phase_name(enum store_control_phase phase)
{
	return phases[phase];
}

bool store_control_parse(struct store_control *out, const char *kind, const char *phase,
			 struct error *err)
{
	int k = store_name_find(kinds, sizeof(kinds) / sizeof(*kinds), kind),
	    p = store_name_find(phases, sizeof(phases) / sizeof(*phases), phase);

	if (k < 0 || p < 0)
		return error_set(err, ERROR_INVALID,
				 "a control event that is %s, %s: run a newer sluice", kind, phase);
	out->kind = (enum store_control_kind)k;
	out->phase = (enum store_control_phase)p;
	return true;
}
