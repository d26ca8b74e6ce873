#include "ops/replay_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* --- what there is --- */

static void on_lane(void *arg, const struct store_lane *lane)
{
	struct replay_stream *s = arg;

	s->lanes = memory_room(s->lanes, s->lane_count, sizeof(*s->lanes));
	s->lanes[s->lane_count++] = (struct replay_lane){ .lane = *lane };
}

static void on_position(void *arg, const struct store_position *p)
{
	struct replay_stream *s = arg;

	s->positions = memory_room(s->positions, s->position_count, sizeof(*s->positions));
	s->positions[s->position_count++] = *p;
}

bool replay_stream_read(struct store *s, int64_t stream, struct replay_stream *out,
			struct error *err)
{
	size_t at = 0;

	*out = (struct replay_stream){ 0 };
	if (!store_lanes_list(s, stream, on_lane, on_position, out, err))
		return false;
	/* Both come in the order of the lanes' ids. */
	for (size_t i = 0; i < out->lane_count; i++) {
		struct replay_lane *l = &out->lanes[i];

		while (at < out->position_count && out->positions[at].lane < l->lane.id)
			at++;
		l->positions = &out->positions[at];
		for (; at < out->position_count && out->positions[at].lane == l->lane.id; at++)
			l->count++;
	}
	return true;
}

void replay_stream_release(struct replay_stream *s)
{
	free(s->lanes);
	free(s->positions);
	*s = (struct replay_stream){ 0 };
}

void replay_plan_release(struct replay_plan *p)
{
	free(p->places);
	*p = (struct replay_plan){ 0 };
}

/* By shard: a big table has tens of thousands in a day. */
struct named {
	const struct replay_lane **sorted;
	size_t count;
};

static int by_name(const void *a, const void *b)
{
	const struct replay_lane *l = *(const struct replay_lane *const *)a,
				 *m = *(const struct replay_lane *const *)b;

	return strcmp(l->lane.shard, m->lane.shard);
}

static struct named named_of(const struct replay_stream *s)
{
	struct named n = { memory_array(s->lane_count + 1, sizeof(*n.sorted)), s->lane_count };

	for (size_t i = 0; i < n.count; i++)
		n.sorted[i] = &s->lanes[i];
	qsort(n.sorted, n.count, sizeof(*n.sorted), by_name);
	return n;
}

static int to_name(const void *shard, const void *lane)
{
	return strcmp(shard, (*(const struct replay_lane *const *)lane)->lane.shard);
}

static const struct replay_lane *lane_of(const struct named *n, const char *shard)
{
	const struct replay_lane **found =
		n->count ? bsearch(shard, n->sorted, n->count, sizeof(*n->sorted), to_name) : NULL;

	return found ? *found : NULL;
}

static bool is_wanted(const struct store_position *p, int32_t sink)
{
	return sink == REPLAY_ALL_SINKS || p->sink == sink;
}

/* Nothing of it was delivered. */
static bool is_unread(const struct store_position *p)
{
	return !p->done && sequence_is_none(&p->sequence);
}

static bool is_behind(const struct store_place *place, const struct store_position *p)
{
	if (p->done || place->done)
		return p->done && !place->done;
	return sequence_compare(&place->sequence, &p->sequence) < 0;
}

/* --- what is planned --- */

static void put(struct replay_plan *out, const struct replay_lane *l, const struct store_place *to,
		int32_t sink)
{
	bool begin = !to->done && sequence_is_none(&to->sequence);

	if (out->count == 0 || out->places[out->count - 1].shard != l->lane.shard) {
		out->lanes++;
		out->to_begin += begin;
	}
	if (!begin && (out->oldest_ms == 0 || to->event_ms < out->oldest_ms))
		out->oldest_ms = to->event_ms;
	out->places = memory_room(out->places, out->count, sizeof(*out->places));
	out->places[out->count] = *to;
	out->places[out->count].shard = l->lane.shard;
	out->places[out->count++].sink = sink;
}

static void put_begin(struct replay_plan *out, const struct replay_lane *l, int32_t sink)
{
	static const struct store_place begin = { .shard = NULL };

	for (size_t i = 0; i < l->count; i++)
		if (is_wanted(&l->positions[i], sink) && !is_unread(&l->positions[i]))
			put(out, l, &begin, l->positions[i].sink);
}

static int by_shard(const void *a, const void *b)
{
	const struct store_place *p = *(const struct store_place *const *)a,
				 *q = *(const struct store_place *const *)b;
	int order = strcmp(p->shard, q->shard);

	return order ? order : (p->sink > q->sink) - (p->sink < q->sink);
}

struct kept {
	const struct store_place **sorted;
	size_t count;
};

static struct kept kept_in_order(const struct store_place *kept, size_t count)
{
	struct kept k = { memory_array(count + 1, sizeof(*k.sorted)), count };

	for (size_t i = 0; i < count; i++)
		k.sorted[i] = &kept[i];
	qsort(k.sorted, count, sizeof(*k.sorted), by_shard);
	return k;
}

static const struct store_place *kept_of(const struct kept *k, const char *shard, int32_t sink)
{
	const struct store_place wanted = { .shard = shard, .sink = sink }, *p = &wanted;
	const struct store_place **found =
		k->count ? bsearch(&p, k->sorted, k->count, sizeof(*k->sorted), by_shard) : NULL;

	return found ? *found : NULL;
}

static bool keeps_shard(const struct kept *k, const struct replay_lane *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (kept_of(k, l->lane.shard, l->positions[i].sink))
			return true;
	return false;
}

static bool nothing_is_gone(const struct named *n, const struct kept *k, int32_t sink,
			    struct error *err)
{
	const char *last = "";

	for (size_t i = 0; i < k->count; i++) {
		const struct store_place *p = k->sorted[i];

		if (p->done || (sink != REPLAY_ALL_SINKS && p->sink != sink) ||
		    strcmp(p->shard, last) == 0)
			continue;
		last = p->shard;
		if (!lane_of(n, p->shard))
			return error_set(err, ERROR_NOT_FOUND,
					 "shard %s was not read to its end then, and is not there "
					 "any more: its records have left the stream",
					 p->shard);
	}
	return true;
}

bool replay_to_savepoint(const struct replay_stream *s, const struct store_place *kept,
			 size_t count, int32_t sink, struct replay_plan *out, struct error *err)
{
	struct kept k = kept_in_order(kept, count);
	struct named n = named_of(s);
	bool ok;

	*out = (struct replay_plan){ 0 };
	ok = nothing_is_gone(&n, &k, sink, err);
	for (size_t i = 0; ok && i < s->lane_count; i++) {
		const struct replay_lane *l = &s->lanes[i];

		if (!keeps_shard(&k, l)) {
			put_begin(out, l, sink);
			continue;
		}
		for (size_t j = 0; j < l->count; j++) {
			const struct store_position *p = &l->positions[j];
			const struct store_place *to = kept_of(&k, l->lane.shard, p->sink);

			if (to && is_wanted(p, sink) && is_behind(to, p))
				put(out, l, to, p->sink);
		}
	}
	free(n.sorted);
	free(k.sorted);
	return ok;
}

/* Marks what descends from `from`. Parents come before their children, but for those that were seen
 * late: so it is looked through again until nothing is added. */
static void mark_descendants(const struct replay_stream *s, const struct named *n,
			     const struct replay_lane *from, bool *marked)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < s->lane_count; i++) {
			const char *name = s->lanes[i].lane.parent;
			const struct replay_lane *parent = *name ? lane_of(n, name) : NULL;

			if (marked[i] || !parent || (parent != from && !marked[parent - s->lanes]))
				continue;
			marked[i] = more = true;
		}
	}
}

bool replay_to_place(const struct replay_stream *s, const struct store_place *to, int32_t sink,
		     bool ahead, struct replay_plan *out, struct error *err)
{
	struct named n = named_of(s);
	const struct replay_lane *l = lane_of(&n, to->shard);
	bool *marked = memory_array(s->lane_count + 1, sizeof(*marked));
	bool back = false, ok = l != NULL;

	*out = (struct replay_plan){ 0 };
	if (!l)
		error_set(err, ERROR_NOT_FOUND, "the store has no shard %s", to->shard);
	for (size_t i = 0; ok && i < l->count; i++) {
		const struct store_position *p = &l->positions[i];

		if (!is_wanted(p, sink))
			continue;
		if (is_behind(to, p))
			back = true;
		else if (!ahead)
			ok = error_set(err, ERROR_INVALID, "shard %s is not read up to there yet",
				       to->shard);
		if (ok)
			put(out, l, to, p->sink);
	}
	if (ok && out->count == 0)
		ok = error_set(err, ERROR_NOT_FOUND, "shard %s is not delivered to that sink",
			       to->shard);
	if (ok && back) {
		mark_descendants(s, &n, l, marked);
		for (size_t i = 0; i < s->lane_count; i++)
			if (marked[i])
				put_begin(out, &s->lanes[i], sink);
	}
	free(marked);
	free(n.sorted);
	return ok;
}

/* --- aside --- */

static void put_aside(struct replay_plan *out, const struct replay_lane *l,
		      const struct store_place *at)
{
	bool begin = sequence_is_none(&at->sequence);

	out->places = memory_room(out->places, out->count, sizeof(*out->places));
	out->places[out->count] = *at;
	out->places[out->count].shard = l->lane.shard;
	out->places[out->count++].sink = REPLAY_ALL_SINKS;
	if (at->done)
		return;
	out->lanes++;
	out->to_begin += begin;
	if (!begin && (out->oldest_ms == 0 || at->event_ms < out->oldest_ms))
		out->oldest_ms = at->event_ms;
}

static bool is_before(const struct store_place *p, const struct store_place *q)
{
	if (p->done || q->done)
		return q->done && !p->done;
	return sequence_compare(&p->sequence, &q->sequence) < 0;
}

bool replay_aside_savepoint(const struct replay_stream *s, const struct store_place *kept,
			    size_t count, int32_t sink, struct replay_plan *out, struct error *err)
{
	static const struct store_place begin = { .shard = NULL };
	struct kept k = kept_in_order(kept, count);
	struct named n = named_of(s);
	bool ok;

	*out = (struct replay_plan){ 0 };
	ok = nothing_is_gone(&n, &k, sink, err);
	for (size_t i = 0; ok && i < s->lane_count; i++) {
		const struct replay_lane *l = &s->lanes[i];
		const struct store_place *first = NULL;

		for (size_t j = 0; j < l->count; j++) {
			const struct store_position *p = &l->positions[j];
			const struct store_place *was =
				is_wanted(p, sink) ? kept_of(&k, l->lane.shard, p->sink) : NULL;

			if (was && (!first || is_before(was, first)))
				first = was;
		}
		put_aside(out, l, first ? first : &begin);
	}
	free(n.sorted);
	free(k.sorted);
	return ok;
}

bool replay_aside_place(const struct replay_stream *s, const struct store_place *to,
			struct replay_plan *out, struct error *err)
{
	static const struct store_place begin = { .shard = NULL }, done = { .done = true };
	struct named n = named_of(s);
	const struct replay_lane *l = lane_of(&n, to->shard);
	bool *marked = memory_array(s->lane_count + 1, sizeof(*marked));

	*out = (struct replay_plan){ 0 };
	if (l)
		mark_descendants(s, &n, l, marked);
	for (size_t i = 0; l && i < s->lane_count; i++)
		put_aside(out, &s->lanes[i], &s->lanes[i] == l ? to : marked[i] ? &begin : &done);
	free(marked);
	free(n.sorted);
	return l || error_set(err, ERROR_NOT_FOUND, "the store has no shard %s", to->shard);
}
