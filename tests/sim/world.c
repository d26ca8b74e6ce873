#include "world.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

uint64_t world_roll(struct world *w, uint64_t n)
{
	return rng_below(&w->rng, n);
}

/* --- the stream --- */

/* What a sink has no use for is as if it were there. */
static void filter_some(struct world *w, struct sink_world *k, int shard)
{
	int from = (int)world_roll(w, RECORDS_MAX), to = (int)world_roll(w, RECORDS_MAX);

	for (int i = from; i < to && w->filters; i++)
		k->lettered[shard][i] = true;
}

static int add_shard(struct world *w, int parent, int64_t opens_ms)
{
	int at = w->shard_count++;
	struct shard *s = &w->shards[at];

	*s = (struct shard){ .parent = parent,
			     .count = world_roll(w, 6) ? (int)world_roll(w, RECORDS_MAX) : 0,
			     .opens_ms = opens_ms,
			     .closes_ms = INT64_MAX,
			     .first_sequence = 1000 + (uint64_t)(opens_ms * 10) };
	/* A listing may show a child late, or a little before its parent looks closed. */
	s->listed_ms = opens_ms + (int64_t)world_roll(w, 400) - 50;
	if (parent < 0)
		s->listed_ms = 0;
	else if (s->listed_ms < w->shards[parent].listed_ms)
		s->listed_ms = w->shards[parent].listed_ms;
	snprintf(s->id, sizeof(s->id), "shardId-%020lld-%08x", (long long)opens_ms, at);
	for (int i = 0; i < s->count; i++) {
		s->key[i] = (uint8_t)world_roll(w, KEYS);
		s->poison[i] = world_roll(w, 60) == 0;
	}
	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		filter_some(w, &w->sinks[sink], at);
	return at;
}

void world_make(struct world *w, uint64_t seed)
{
	*w = (struct world){ 0 };
	rng_seed(&w->rng, seed);
	w->sink_count = 1 + (uint32_t)world_roll(w, SINKS_MAX);
	for (uint32_t i = 0; i < w->sink_count; i++)
		w->sinks[i].rolls = world_roll(w, 2);
	w->stop_on_error = world_roll(w, 8) == 0;
	w->gaps = world_roll(w, 6) == 0;
	w->filters = world_roll(w, 3) == 0;
	w->rolls_when_asked = world_roll(w, 5) == 0;
	w->memory = 20000 + (int64_t)world_roll(w, world_roll(w, 3) ? 60000000 : 400000);
	w->crashes_left = (int)world_roll(w, 5);
	w->stops_left = (int)world_roll(w, 3);
	w->releases_left = (int)world_roll(w, 20);
	for (uint64_t i = world_roll(w, 3) + 1; i > 0; i--)
		add_shard(w, -1, 1 + (int64_t)i);
	/* Shards split and rotate one after the other. */
	for (int i = 0; i < w->shard_count && w->shard_count + 2 <= SHARDS_MAX; i++) {
		if (world_roll(w, 3) == 0)
			continue;
		w->shards[i].closes_ms = w->shards[i].opens_ms + 200 + (int64_t)world_roll(w, 3000);
		for (uint64_t n = 1 + world_roll(w, 2); n > 0; n--)
			add_shard(w, i, w->shards[i].closes_ms + (int64_t)n);
	}
}

struct sequence world_sequence(const struct shard *s, int index)
{
	char text[32];
	struct sequence out;
	struct error err;
	int n = snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)(s->first_sequence + (uint64_t)index));
	bool ok = sequence_parse(&out, (struct str){ text, (size_t)n }, &err);

	assert(ok);
	return out;
}

/* Records come evenly over the shard's life. */
int world_available(const struct world *w, const struct shard *s)
{
	int64_t end = s->closes_ms == INT64_MAX ? s->opens_ms + 2000 : s->closes_ms;

	if (w->now_ms >= end)
		return s->count;
	if (w->now_ms <= s->opens_ms)
		return 0;
	return (int)(s->count * (w->now_ms - s->opens_ms) / (end - s->opens_ms));
}

bool world_closed(const struct world *w, const struct shard *s)
{
	return w->now_ms >= s->closes_ms;
}

/* --- the sinks --- */

static bool in_refs(const struct ref *refs, size_t count, int shard, int index)
{
	for (size_t i = 0; i < count; i++)
		if (refs[i].shard == shard && refs[i].index == index)
			return true;
	return false;
}

/* Nothing can take this record away from the sink any more. */
bool world_covered(const struct world *w, uint32_t sink, int shard, int index)
{
	const struct sink_world *k = &w->sinks[sink];

	return k->lettered[shard][index] || k->seen[shard][index] ||
	       (k->stored && in_refs(k->stored_refs, k->stored_count, shard, index));
}

static void must_be_covered(const struct world *w, uint32_t sink, int shard, int count)
{
	for (int i = 0; i < count; i++)
		assert(w->shards[shard].trimmed || world_covered(w, sink, shard, i));
}

/* The shard that has to be there before this one; order does not reach over a gap. */
static int before(const struct world *w, int shard)
{
	int parent = w->shards[shard].parent;

	return parent >= 0 && w->shards[parent].trimmed ? -1 : parent;
}

/* In a sink of rolls every record is seen once, and never before one that came before it. */
static void check_once_in_order(const struct world *w, uint32_t sink, struct ref r)
{
	assert(!w->sinks[sink].seen[r.shard][r.index]);
	must_be_covered(w, sink, r.shard, r.index);
	for (int up = before(w, r.shard); up >= 0; up = before(w, up))
		must_be_covered(w, sink, up, w->shards[up].count);
}

void world_append(struct world *w, uint32_t sink, struct ref r)
{
	struct sink_world *k = &w->sinks[sink];

	assert(k->log_count < LOG_MAX);
	if (k->rolls)
		check_once_in_order(w, sink, r);
	k->log[k->log_count++] = r;
	k->seen[r.shard][r.index] = true;
}

/* --- the store --- */

static struct row *row_of(struct world *w, int64_t id)
{
	assert(id >= 1 && id <= w->store.row_count);
	return &w->store.rows[id - 1];
}

static int index_after(const struct shard *s, const struct sequence *at)
{
	int i = 0;

	while (i < s->count) {
		struct sequence here = world_sequence(s, i);

		if (sequence_compare(&here, at) > 0)
			break;
		i++;
	}
	return i;
}

/* A position may never be ahead of what the sink holds. */
static void check_not_ahead(struct world *w, const struct row *r, uint32_t sink,
			    const struct sequence *to, bool done)
{
	const struct shard *s = &w->shards[r->shard];
	int end = done ? s->count : index_after(s, to);

	must_be_covered(w, sink, r->shard, end);
}

/* What is done for every sink is nobody's any more. */
static void row_settle(const struct world *w, struct row *r)
{
	r->done = true;
	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		r->done = r->done && r->at[sink].done;
	if (r->done)
		r->owner = 0;
}

int world_row(const struct world *w, int shard)
{
	for (int i = 0; i < w->store.row_count; i++)
		if (w->store.rows[i].shard == shard)
			return i;
	return -1;
}

bool world_claimable(const struct world *w, int row, uint64_t session)
{
	const struct row *r = &w->store.rows[row];
	int parent = w->shards[r->shard].parent, before = parent < 0 ? -1 : world_row(w, parent);

	if (r->owner != 0 || r->done)
		return false;
	if (before < 0)
		return true;
	if (w->store.rows[before].done)
		world_check_visible(w, before);
	return w->store.rows[before].done || w->store.rows[before].owner == session;
}

void world_check_visible(const struct world *w, int row)
{
	const struct row *r = &w->store.rows[row];
	const struct shard *s = &w->shards[r->shard];

	for (uint32_t sink = 0; sink < w->sink_count; sink++) {
		const struct sink_world *k = &w->sinks[sink];
		int end = r->at[sink].done ? s->count : index_after(s, &r->at[sink].sequence);

		for (int i = 0; i < end; i++)
			assert(s->trimmed || k->seen[r->shard][i] || k->lettered[r->shard][i]);
	}
}

bool world_save(struct world *w, uint64_t session, const struct process *p)
{
	if (session != w->store.session || p->save_number != w->store.saves + 1)
		return false;
	for (size_t i = 0; i < p->save.move_count; i++) {
		const struct core_move *m = &p->moves[i];

		if (row_of(w, m->store_id)->owner != session)
			return false;
		if (!sequence_equal(&row_of(w, m->store_id)->at[m->sink].sequence, &m->move.from))
			return false;
	}
	w->store.saves++;
	for (size_t i = 0; i < p->save.roll_count; i++) {
		uint32_t sink = p->save.rolls[i].sink;
		struct sink_world *k = &w->sinks[sink];

		assert(!k->stored);
		assert(p->prepared[sink].number == p->save.rolls[i].roll);
		k->stored = true;
		k->stored_number = p->save.rolls[i].roll;
		k->stored_count = p->prepared[sink].count;
		memcpy(k->stored_refs, p->prepared[sink].refs,
		       k->stored_count * sizeof(*k->stored_refs));
	}
	for (size_t i = 0; i < p->save.move_count; i++) {
		const struct core_move *m = &p->moves[i];
		struct row *r = row_of(w, m->store_id);

		assert(!r->at[m->sink].done);
		assert(sequence_compare(&m->move.to, &m->move.from) >= 0);
		check_not_ahead(w, r, m->sink, &m->move.to, m->move.done);
		r->at[m->sink].sequence = m->move.to;
		r->at[m->sink].done = m->move.done;
		row_settle(w, r);
	}
	return true;
}

/* --- the end --- */

/* A bad record holds it or one before it for ever. */
bool world_stands(const struct world *w, int shard)
{
	for (int up = shard; up >= 0; up = before(w, up))
		for (int i = 0; w->stop_on_error && i < w->shards[up].count; i++)
			if (w->shards[up].poison[i])
				return true;
	return false;
}

/* Per key the last that was written is the newest that there is, whatever came twice. */
static void check_last_is_newest(const struct world *w, uint32_t sink)
{
	const struct sink_world *k = &w->sinks[sink];
	static size_t last[SHARDS_MAX][RECORDS_MAX];

	memset(last, 0, sizeof(last));
	for (size_t i = 0; i < k->log_count; i++)
		last[k->log[i].shard][k->log[i].index] = i + 1;
	for (int s = 0; s < w->shard_count; s++) {
		size_t newest[KEYS] = { 0 };

		for (int up = before(w, s); up >= 0; up = before(w, up))
			for (int i = 0; i < w->shards[up].count; i++)
				if (last[up][i] > newest[w->shards[up].key[i]])
					newest[w->shards[up].key[i]] = last[up][i];
		for (int i = 0; i < w->shards[s].count; i++) {
			size_t *n = &newest[w->shards[s].key[i]];

			if (!last[s][i])
				continue;
			assert(last[s][i] > *n);
			*n = last[s][i];
		}
	}
}

void world_check_end(const struct world *w)
{
	for (uint32_t sink = 0; sink < w->sink_count; sink++) {
		assert(!w->sinks[sink].stored);
		for (int s = 0; s < w->shard_count; s++)
			if (!world_stands(w, s))
				must_be_covered(w, sink, s, w->shards[s].count);
		check_last_is_newest(w, sink);
	}
	for (int s = 0; s < w->shard_count; s++) {
		int parent = w->shards[s].parent;

		if (parent >= 0 && w->shards[parent].trimmed && !w->shards[s].trimmed)
			/* the gap was seen */
			assert(w->shards[s].listed_again > 0 || world_stands(w, s));
	}
}
