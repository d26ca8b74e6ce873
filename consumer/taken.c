#include "consumer/taken.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct taken *taken_new(uint32_t stream, bool all)
{
	struct taken *t = memory_new(sizeof(*t));

	t->stream = stream;
	t->all = all;
	return t;
}

void taken_free(struct taken *t)
{
	if (!t)
		return;
	free(t->lanes);
	free(t->positions);
	free(t);
}

void taken_lane(void *arg, const struct store_lane *lane)
{
	struct taken *t = arg;

	if (t->count == t->capacity) {
		t->capacity = t->capacity ? 2 * t->capacity : 64;
		t->lanes = memory_resize(t->lanes, t->capacity * sizeof(*t->lanes));
	}
	t->lanes[t->count++] = *lane;
}

void taken_position(void *arg, const struct store_position *p)
{
	struct taken *t = arg;

	if (t->position_count == t->position_capacity) {
		t->position_capacity = t->position_capacity ? 2 * t->position_capacity : 64;
		t->positions =
			memory_resize(t->positions, t->position_capacity * sizeof(*t->positions));
	}
	t->positions[t->position_count++] = *p;
}

void taken_positions(const struct taken *t, int64_t lane, const int32_t *sinks, size_t sink_count,
		     struct frontier_move *at)
{
	size_t low = 0, high = t->position_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (t->positions[middle].lane < lane)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < t->position_count && t->positions[low].lane == lane; low++)
		for (size_t slot = 0; slot < sink_count; slot++)
			if (sinks[slot] == t->positions[low].sink)
				at[slot] = (struct frontier_move){
					.to = t->positions[low].sequence,
					.event_ms = t->positions[low].event_ms,
					.done = t->positions[low].done,
				};
}

struct taken_shards {
	const struct taken *taken;
	size_t *sorted; /* indices of its lanes, by shard */
	bool *has;      /* by the same order */
};

static int by_shard(const void *a, const void *b, void *arg)
{
	const struct taken *t = arg;
	const size_t *x = a, *y = b;

	return strcmp(t->lanes[*x].shard, t->lanes[*y].shard);
}

struct taken_shards *taken_shards_new(const struct taken *t)
{
	struct taken_shards *s = memory_new(sizeof(*s));

	s->taken = t;
	s->sorted = memory_array(t->count + 1, sizeof(*s->sorted));
	s->has = memory_array(t->count + 1, sizeof(*s->has));
	for (size_t i = 0; i < t->count; i++) {
		s->sorted[i] = i;
		s->has[i] = true;
	}
	qsort_r(s->sorted, t->count, sizeof(*s->sorted), by_shard, (void *)(uintptr_t)t);
	return s;
}

void taken_shards_free(struct taken_shards *s)
{
	if (!s)
		return;
	free(s->sorted);
	free(s->has);
	free(s);
}

/* SIZE_MAX: it was not taken. */
static size_t find(const struct taken_shards *s, const char *shard)
{
	size_t low = 0, high = s->taken->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(s->taken->lanes[s->sorted[middle]].shard, shard) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->taken->count && strcmp(s->taken->lanes[s->sorted[low]].shard, shard) == 0
		       ? low
		       : SIZE_MAX;
}

bool taken_shards_has(const struct taken_shards *s, const char *shard)
{
	size_t at = find(s, shard);

	return at != SIZE_MAX && s->has[at];
}

void taken_shards_remove(struct taken_shards *s, const char *shard)
{
	s->has[find(s, shard)] = false;
}
