#include "consumer/lineage.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* How far a shard's id may be off its first record (design, "start at time X"). */
#define CREATED_SLACK_MS (60 * 60 * 1000)
/* A start this close to now wants nothing that is already closed. */
#define NOW_SLACK_MS 1000

static uint32_t hash(const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return h;
}

void lineage_init(struct lineage *l)
{
	*l = (struct lineage){ .bucket_count = 64 };
	l->buckets = memory_array(l->bucket_count, sizeof(*l->buckets));
	memset(l->buckets, 0xff, l->bucket_count * sizeof(*l->buckets));
}

void lineage_release(struct lineage *l)
{
	free(l->shards);
	free(l->buckets);
	*l = (struct lineage){ 0 };
}

uint32_t lineage_find(const struct lineage *l, const char *id)
{
	uint32_t at = l->buckets[hash(id) & (l->bucket_count - 1)];

	while (at != LINEAGE_NONE && strcmp(l->shards[at].id, id) != 0)
		at = l->shards[at].next;
	return at;
}

static void link_shard(struct lineage *l, uint32_t at)
{
	uint32_t *bucket = &l->buckets[hash(l->shards[at].id) & (l->bucket_count - 1)];

	l->shards[at].next = *bucket;
	*bucket = at;
}

static void grow(struct lineage *l)
{
	l->capacity = l->capacity ? 2 * l->capacity : 64;
	l->shards = memory_resize(l->shards, l->capacity * sizeof(*l->shards));
	if (l->capacity <= l->bucket_count)
		return;
	l->bucket_count = l->capacity;
	l->buckets = memory_resize(l->buckets, l->bucket_count * sizeof(*l->buckets));
	memset(l->buckets, 0xff, l->bucket_count * sizeof(*l->buckets));
	for (uint32_t i = 0; i < l->count; i++)
		link_shard(l, i);
}

uint32_t lineage_add(struct lineage *l, const char *id, uint32_t parent)
{
	assert(lineage_find(l, id) == LINEAGE_NONE);
	if (l->count == l->capacity)
		grow(l);

	struct lineage_shard *s = &l->shards[l->count];

	strncpy(s->id, id, sizeof(s->id) - 1);
	s->id[sizeof(s->id) - 1] = '\0';
	s->parent = parent;
	link_shard(l, l->count);
	return l->count++;
}

int64_t lineage_created_ms(const char *shard)
{
	static const char prefix[] = "shardId-";
	int64_t ms = 0;

	if (strncmp(shard, prefix, sizeof(prefix) - 1) != 0)
		return -1;
	shard += sizeof(prefix) - 1;
	for (int i = 0; i < 20; i++, shard++) {
		if (*shard < '0' || *shard > '9' || ms > INT64_MAX / 10 - 9)
			return -1;
		ms = ms * 10 + (*shard - '0');
	}
	return *shard == '-' ? ms : -1;
}

/* The listing by id, so that a parent is found without walking the page again. */
static int by_id(const void *a, const void *b)
{
	const struct streams_shard *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

static size_t listed_find(const struct streams_shard *const *sorted, size_t count, const char *id)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(sorted[middle]->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && strcmp(sorted[low]->id, id) == 0 ? low : SIZE_MAX;
}

struct diff {
	const struct lineage *lineage;
	const struct streams_shard **sorted;
	size_t count;
	size_t *parents;       /* by sorted index: sorted index of the listed parent, or SIZE_MAX */
	int64_t *newest_child; /* by sorted index: latest creation of a listed child; INT64_MAX
				  where one does not tell; -1 without children */
	bool first;
	int64_t start_ms, now_ms;
	bool *placed;
	struct lineage_found *found;
	size_t found_count;
};

static void diff_prepare(struct diff *d)
{
	for (size_t i = 0; i < d->count; i++) {
		const char *parent = d->sorted[i]->parent;

		d->parents[i] = *parent ? listed_find(d->sorted, d->count, parent) : SIZE_MAX;
		d->newest_child[i] = -1;
	}
	for (size_t i = 0; i < d->count; i++) {
		if (d->parents[i] == SIZE_MAX)
			continue;
		int64_t created = lineage_created_ms(d->sorted[i]->id);
		int64_t *newest = &d->newest_child[d->parents[i]];

		if (created < 0)
			created = INT64_MAX;
		if (created > *newest)
			*newest = created;
	}
}

/* Only what certainly ended before the start is done unread. */
static bool unread(const struct diff *d, size_t i)
{
	if (d->start_ms == 0 || !d->sorted[i]->closed)
		return false;
	if (d->start_ms >= d->now_ms - NOW_SLACK_MS)
		return true;
	return d->newest_child[i] >= 0 && d->newest_child[i] < d->start_ms - CREATED_SLACK_MS;
}

static enum lineage_kind kind_of(const struct diff *d, size_t i)
{
	bool parent_known = d->parents[i] != SIZE_MAX ||
			    (*d->sorted[i]->parent &&
			     lineage_find(d->lineage, d->sorted[i]->parent) != LINEAGE_NONE);

	if (d->first && unread(d, i))
		return LINEAGE_UNREAD;
	/* Behind a parent that is not read, the stream's start decides, not the shard's. */
	if (d->first && d->parents[i] != SIZE_MAX && unread(d, d->parents[i]))
		return LINEAGE_ROOT;
	if (parent_known)
		return LINEAGE_CHILD;
	return d->first ? LINEAGE_ROOT : LINEAGE_ORPHAN;
}

/* Parents first; the depth of a listing's tree is bounded by its size, a loop of parents (which no
 * honest listing has) is cut by `placed`. */
static void place(struct diff *d, size_t i)
{
	size_t chain = i, depth = 0;

	while (!d->placed[i]) {
		chain = i;
		depth = 0;
		while (d->parents[chain] != SIZE_MAX && !d->placed[d->parents[chain]] &&
		       depth++ < d->count)
			chain = d->parents[chain];
		d->placed[chain] = true;
		if (lineage_find(d->lineage, d->sorted[chain]->id) == LINEAGE_NONE)
			d->found[d->found_count++] =
				(struct lineage_found){ .shard = d->sorted[chain],
							.kind = kind_of(d, chain) };
	}
}

size_t lineage_diff(const struct lineage *l, const struct streams_shard *listed, size_t count,
		    bool first, int64_t start_ms, int64_t now_ms, struct lineage_found *found)
{
	struct diff d = { .lineage = l,
			  .sorted = memory_array(count + 1, sizeof(*d.sorted)),
			  .parents = memory_array(count + 1, sizeof(*d.parents)),
			  .newest_child = memory_array(count + 1, sizeof(*d.newest_child)),
			  .placed = memory_array(count + 1, sizeof(*d.placed)),
			  .first = first,
			  .start_ms = start_ms,
			  .now_ms = now_ms,
			  .found = found };

	for (size_t i = 0; i < count; i++)
		d.sorted[i] = &listed[i];
	qsort(d.sorted, count, sizeof(*d.sorted), by_id);
	/* Pages of a moving listing may name a shard twice. */
	for (size_t i = 0; i < count; i++)
		if (i == 0 || strcmp(d.sorted[i]->id, d.sorted[d.count - 1]->id) != 0)
			d.sorted[d.count++] = d.sorted[i];
	diff_prepare(&d);
	for (size_t i = 0; i < d.count; i++)
		place(&d, i);
	free(d.sorted);
	free(d.parents);
	free(d.newest_child);
	free(d.placed);
	return d.found_count;
}
