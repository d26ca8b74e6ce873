/* The truth about the stream and the sinks, and what must hold of it. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "database.h"

#define OPEN_SPREAD_MS 20000 /* the records of a shard that stays open come within */

uint64_t roll(struct world *w, uint64_t n)
{
	return rng_below(&w->rng, n);
}

bool one_in(struct world *w, uint64_t n)
{
	return roll(w, n) == 0;
}

int64_t soon(struct world *w, int64_t most_ms)
{
	return 1 + (int64_t)roll(w, (uint64_t)most_ms);
}

/* --- the stream --- */

static void number_records(struct shard *s, uint64_t first)
{
	s->first_sequence = first;
	for (int i = 0; i < RECORDS_MAX; i++) {
		char text[32];
		struct error err;
		int n = snprintf(text, sizeof(text), "%llu",
				 (unsigned long long)(first + (uint64_t)i));
		bool ok = sequence_parse(&s->sequence[i], (struct str){ text, (size_t)n }, &err);

		assert(ok);
	}
}

/* What a sink has no use for is as if it were there. */
static void filter_some(struct world *w, struct sink_world *k, int shard)
{
	int from = (int)roll(w, RECORDS_MAX), to = (int)roll(w, RECORDS_MAX);

	for (int i = from; i < to && w->filters; i++)
		k->filtered[shard][i] = true;
}

static int add_shard(struct world *w, int parent, int64_t opens_ms)
{
	int at = w->shard_count++;
	struct shard *s = &w->shards[at];

	*s = (struct shard){ .parent = parent,
			     .count = one_in(w, 6) ? 0 : (int)roll(w, RECORDS_MAX + 1),
			     .opens_ms = opens_ms,
			     .closes_ms = INT64_MAX };
	number_records(s, 1000 + (uint64_t)opens_ms * 100);
	/* A listing shows a child late, or a little before its parent looks closed. */
	s->listed_ms = opens_ms + (one_in(w, 3) ? (int64_t)roll(w, 6000) : 0) - 1500;
	if (parent < 0)
		s->listed_ms = 0;
	else if (s->listed_ms < w->shards[parent].listed_ms)
		s->listed_ms = w->shards[parent].listed_ms;
	snprintf(s->id, sizeof(s->id), "shardId-%020lld-%08x", (long long)(AWS_EPOCH_MS + opens_ms),
		 at);
	for (int i = 0; i < s->count; i++) {
		s->key[i] = (uint8_t)roll(w, KEYS);
		s->poison[i] = one_in(w, 80);
	}
	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		filter_some(w, &w->sinks[sink], at);
	return at;
}

/* While everybody is away for hours, shards rotate as they do. */
static int64_t life_ms(struct world *w, int64_t opens_ms)
{
	int64_t ms = one_in(w, 4) ? soon(w, 2000) : 1000 + (int64_t)roll(w, 25000);

	if (w->outage_ms == 0 || opens_ms + ms < w->outage_ms || opens_ms >= w->outage_until_ms)
		return ms;
	if (opens_ms < w->outage_ms)
		opens_ms = w->outage_ms;
	return (int64_t)roll(w, 5 * (uint64_t)HOUR_MS) + 60000;
}

static void grow_stream(struct world *w)
{
	int64_t until_ms = w->outage_ms ? w->outage_until_ms + 20000 : w->quiet_ms;

	for (uint64_t i = 1 + roll(w, 4); i > 0; i--)
		add_shard(w, -1, 1 + (int64_t)i);
	/* Shards split and rotate one after the other. */
	for (int i = 0; i < w->shard_count && w->shard_count + 2 <= SHARDS_MAX; i++) {
		struct shard *s = &w->shards[i];
		bool splits = one_in(w, 3);

		if (one_in(w, 8) || s->opens_ms > until_ms)
			continue;
		s->closes_ms = s->opens_ms + life_ms(w, s->opens_ms);
		if (s->closes_ms > until_ms + 20000) {
			s->closes_ms = INT64_MAX;
			continue;
		}
		count_fault(w, splits ? FAULT_SPLIT : FAULT_ROTATED);
		for (int n = 1; n <= 1 + splits; n++)
			add_shard(w, i, s->closes_ms + n);
	}
}

void world_make(struct world *w, uint64_t seed)
{
	struct database *database = w->database;

	memset(w, 0, sizeof(*w));
	w->database = database;
	rng_seed(&w->rng, seed);
	w->sink_count = 1 + (uint32_t)roll(w, SINKS_MAX);
	for (uint32_t i = 0; i < w->sink_count; i++) {
		w->sinks[i].rolls = one_in(w, 2);
		w->sinks[i].transactions = w->sinks[i].rolls && !one_in(w, 3);
	}
	w->stop_on_error = one_in(w, 8);
	w->filters = one_in(w, 3);
	w->rolls_when_asked = one_in(w, 5);
	w->memory = 20000 + (int64_t)roll(w, one_in(w, 3) ? 400000 : 60000000);
	plan_make(w);
	grow_stream(w);
	database_make(w);
}

/* Records come evenly over the shard's life. */
static int64_t ends_ms(const struct shard *s)
{
	return s->closes_ms == INT64_MAX ? s->opens_ms + OPEN_SPREAD_MS : s->closes_ms;
}

int64_t world_record_ms(const struct shard *s, int index)
{
	return s->opens_ms + (ends_ms(s) - s->opens_ms) * (index + 1) / (s->count + 1);
}

int world_available(const struct world *w, const struct shard *s)
{
	int64_t life = ends_ms(s) - s->opens_ms, age = w->now_ms - s->opens_ms;
	int64_t n = age <= 0 ? 0 : age >= life ? s->count : age * (s->count + 1) / life;

	if (n > s->count)
		n = s->count;
	while (n > 0 && world_record_ms(s, (int)n - 1) > w->now_ms)
		n--;
	return (int)n;
}

int world_first_kept(const struct world *w, const struct shard *s)
{
	int first = 0;

	if (w->now_ms <= RETENTION_MS)
		return 0;
	while (first < s->count && world_record_ms(s, first) < w->now_ms - RETENTION_MS)
		first++;
	return first;
}

bool world_closed(const struct world *w, const struct shard *s)
{
	return w->now_ms >= s->closes_ms;
}

bool world_gone(const struct world *w, const struct shard *s)
{
	return s->closes_ms != INT64_MAX && s->closes_ms < w->now_ms - RETENTION_MS;
}

int world_shard(const struct world *w, const char *id)
{
	for (int i = 0; i < w->shard_count; i++)
		if (strcmp(w->shards[i].id, id) == 0)
			return i;
	assert(false && "unknown shard");
	return -1;
}

/* A sequence's place in its shard: the number of the first record behind it. */
int world_index_after(const struct shard *s, const struct sequence *at)
{
	uint64_t value = 0;

	for (int i = 0; i < at->length; i++)
		value = value * 10 + (uint64_t)(at->digits[i] - '0');
	return sequence_is_none(at) ? 0 : (int)(value - s->first_sequence) + 1;
}

bool world_descends(const struct world *w, int shard, int from)
{
	while (shard >= 0 && shard != from)
		shard = w->shards[shard].parent;
	return shard == from;
}

/* --- the sinks --- */

/* Nothing can take this record away from the sink any more, or it is lost and that was told. */
static bool covered(struct world *w, uint32_t sink, int shard, int index)
{
	const struct sink_world *k = &w->sinks[sink];

	return k->seen[shard][index] || k->filtered[shard][index] || k->lettered[shard][index] ||
	       k->stored[shard][index] || w->shards[shard].told[index] ||
	       world_record_ms(&w->shards[shard], index) < w->start_ms;
}

void world_must_cover(struct world *w, uint32_t sink, int shard, int count)
{
	int *prefix = &w->sinks[sink].prefix[shard];

	while (*prefix < count && covered(w, sink, shard, *prefix))
		++*prefix;
	assert(*prefix >= count);
}

void world_must_see(struct world *w, uint32_t sink, int shard, int count)
{
	const struct sink_world *k = &w->sinks[sink];

	for (int i = 0; i < count; i++)
		assert(k->seen[shard][i] || k->filtered[shard][i] || k->lettered[shard][i] ||
		       w->shards[shard].told[i] ||
		       world_record_ms(&w->shards[shard], i) < w->start_ms);
}

/* What is lost for good holds nobody up: that it is told, the end checks. */
static void must_precede(struct world *w, uint32_t sink, int shard, int count)
{
	int kept = w->now_ms > RETENTION_MS ? world_first_kept(w, &w->shards[shard]) : 0;
	int *prefix = &w->sinks[sink].prefix[shard];

	while (*prefix < count && covered(w, sink, shard, *prefix))
		++*prefix;
	for (int i = *prefix; i < count; i++)
		assert(i < kept || covered(w, sink, shard, i));
}

/* The shard that has to be there before this one; order does not reach over a gap. */
static int before(const struct world *w, int shard)
{
	return w->shards[shard].orphan ? -1 : w->shards[shard].parent;
}

/* First deliveries come in order, along parent and child and across workers; a sink of rolls has
 * every record once. */
void world_append(struct world *w, uint32_t sink, struct ref r)
{
	struct sink_world *k = &w->sinks[sink];

	assert(k->log_count < LOG_MAX);
	assert(!k->rolls || !k->seen[r.shard][r.index]);
	if (!k->seen[r.shard][r.index] && !k->given_up) {
		must_precede(w, sink, r.shard, r.index);
		for (int up = before(w, r.shard); up >= 0; up = before(w, up))
			must_precede(w, sink, up, w->shards[up].count);
	}
	k->log[k->log_count++] = r;
	k->seen[r.shard][r.index] = true;
}

void world_exempt(struct world *w, uint32_t sink, int shard, int count)
{
	memset(w->sinks[sink].filtered[shard], true, (size_t)count * sizeof(bool));
}

static bool lost(struct world *w, int shard, int index)
{
	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		if (!covered(w, sink, shard, index))
			return true;
	return false;
}

void world_tell(struct world *w, int shard, int to)
{
	struct shard *s = &w->shards[shard];

	for (int i = 0; i < to; i++)
		s->told[i] = s->told[i] || lost(w, shard, i);
}

void world_tell_orphan(struct world *w, int shard)
{
	int parent = w->shards[shard].parent;

	assert(parent >= 0 && world_gone(w, &w->shards[parent])); /* no false alarm */
	w->shards[shard].orphan = true;
	for (int up = w->shards[shard].parent; up >= 0 && !database_knows(w, up);
	     up = w->shards[up].parent)
		world_tell(w, up, world_first_kept(w, &w->shards[up]));
}

bool world_kept(const struct world *w, int shard)
{
	for (int s = 0; s < w->shard_count; s++)
		if (world_descends(w, s, shard) &&
		    (world_gone(w, &w->shards[s]) || world_first_kept(w, &w->shards[s]) > 0))
			return false;
	return true;
}

void world_rewind(struct world *w, int shard)
{
	for (int s = 0; s < w->shard_count; s++)
		for (uint32_t sink = 0; sink < w->sink_count && world_descends(w, s, shard);
		     sink++) {
			struct sink_world *k = &w->sinks[sink];

			assert(!k->rolls || memchr(k->stored[s], true, RECORDS_MAX) == NULL);
			memset(k->seen[s], 0, sizeof(k->seen[s]));
			memset(k->lettered[s], 0, sizeof(k->lettered[s]));
			k->prefix[s] = 0;
		}
}

/* What was told of gaps is as if it had not been: it is found again, or does not matter. */
void world_reset(struct world *w, int64_t start_ms)
{
	for (int s = 0; s < w->shard_count; s++) {
		struct shard *shard = &w->shards[s];

		world_rewind(w, s);
		memset(shard->told, 0, sizeof(shard->told));
		shard->gap_stops = shard->first = shard->orphan = false;
	}
	w->start_ms = start_ms;
}

/* --- the end --- */

static bool stands_at_gap(const struct world *w, int shard)
{
	while (shard >= 0 && !w->shards[shard].gap_stops)
		shard = w->shards[shard].parent;
	return shard >= 0;
}

static bool behind_gap(const struct world *w, int shard)
{
	while (shard >= 0 && !w->shards[shard].gap)
		shard = w->shards[shard].parent;
	return shard >= 0;
}

bool world_stands(const struct world *w, int shard)
{
	if (stands_at_gap(w, shard))
		return true;
	for (int up = shard; up >= 0; up = w->shards[up].parent) {
		for (int i = 0; w->stop_on_error && i < w->shards[up].count; i++)
			if (w->shards[up].poison[i])
				return true;
	}
	return false;
}

/* What a sink lacked when it was taken out went with the shard's row: it was done for the others.
 */
static bool forgotten(const struct world *w, uint32_t sink, int shard)
{
	return w->sinks[sink].given_up && database_knows(w, shard) &&
	       database_row(w->database, shard) < 0;
}

static bool shard_complete(struct world *w, int shard, unsigned sinks)
{
	const struct shard *s = &w->shards[shard];

	if (w->now_ms < ends_ms(s))
		return false;
	if (world_stands(w, shard))
		return true;
	for (uint32_t sink = 0; sink < w->sink_count; sink++)
		for (int i = 0; (sinks & (1u << sink)) && i < s->count; i++)
			if (!covered(w, sink, shard, i) && !forgotten(w, sink, shard))
				return false;
	return world_gone(w, s) || database_settled(w, shard);
}

bool world_complete(struct world *w)
{
	for (int i = 0; i < w->shard_count; i++)
		if (!shard_complete(w, i, w->worker[0].sinks))
			return false;
	return database_balanced(w);
}

/* Per key the last that was written is the newest that there is, whatever came twice: unless what
 * came again was cut short, by a gap or where the shard stands still; or it is older than the start
 * that the stream was reset to. */
static void check_last_is_newest(const struct world *w, uint32_t sink)
{
	const struct sink_world *k = &w->sinks[sink];
	static size_t last[SHARDS_MAX][RECORDS_MAX];

	memset(last, 0, sizeof(last));
	for (size_t i = 0; i < k->log_count; i++)
		if (world_record_ms(&w->shards[k->log[i].shard], k->log[i].index) >= w->start_ms)
			last[k->log[i].shard][k->log[i].index] = i + 1;
	for (int s = 0; s < w->shard_count; s++) {
		size_t newest[KEYS] = { 0 };

		if (world_stands(w, s) || behind_gap(w, s))
			continue;
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

/* Nothing is lost in silence. */
static void check_whole(struct world *w, uint32_t sink)
{
	for (int s = 0; s < w->shard_count; s++)
		if (!world_stands(w, s))
			world_must_see(w, sink, s, w->shards[s].count);
}

void world_check_end(struct world *w)
{
	for (uint32_t sink = 0; sink < w->sink_count; sink++) {
		if (!(w->worker[0].sinks & (1u << sink)) || w->sinks[sink].given_up)
			continue;
		check_whole(w, sink);
		check_last_is_newest(w, sink);
	}
	for (size_t i = 0; i < ROLLS_MAX; i++)
		assert(w->rolls[i].state != ROLL_STORED);
	database_check_end(w);
}
