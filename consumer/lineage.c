#include "consumer/lineage.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* How far a shard's id may be off its first record (design, "start at time X"). */
#define CREATED_SLACK_MS (60 * 60 * 1000)
/* A shard whose parent cannot have left the listing, which keeps closed ones for 24 hours. */
#define YOUNG_MS (23LL * 60 * 60 * 1000)
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
	*l = (struct lineage){ .bucket_count = 64, .unused = LINEAGE_NONE };
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
		link_shard(l, i); /* all are in use: else there was no need to grow */
}

static uint32_t index_take(struct lineage *l)
{
	uint32_t at = l->unused;

	if (at != LINEAGE_NONE) {
		l->unused = l->shards[at].next;
		return at;
	}
	if (l->count == l->capacity)
		grow(l);
	return l->count++;
}

static void note_child(struct lineage_shard *parent, const char *child)
{
	int64_t created_ms = lineage_created_ms(child);

	if (created_ms < 0)
		created_ms = INT64_MAX;
	if (created_ms > parent->child_ms)
		parent->child_ms = created_ms;
}

uint32_t lineage_add(struct lineage *l, const char *id, uint32_t parent)
{
	struct lineage_shard *s;
	uint32_t at;

	assert(lineage_find(l, id) == LINEAGE_NONE);
	at = index_take(l);
	s = &l->shards[at];
	*s = (struct lineage_shard){ .parent = parent };
	strncpy(s->id, id, sizeof(s->id) - 1);
	link_shard(l, at);
	if (parent != LINEAGE_NONE)
		note_child(&l->shards[parent], id);
	return at;
}

void lineage_link(struct lineage *l, uint32_t index, uint32_t parent)
{
	if (l->shards[index].parent == LINEAGE_NONE && parent != index)
		l->shards[index].parent = parent;
}

void lineage_listed(struct lineage *l, const struct streams_shard *listed, size_t count,
		    int64_t now_ms)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (l->shards[i].seen_ms == 0)
			l->shards[i].seen_ms = now_ms;
	for (size_t i = 0; i < count; i++) {
		uint32_t at = lineage_find(l, listed[i].id);

		if (at != LINEAGE_NONE)
			l->shards[at].seen_ms = now_ms;
	}
}

static void forget(struct lineage *l, uint32_t at)
{
	uint32_t *place = &l->buckets[hash(l->shards[at].id) & (l->bucket_count - 1)];

	while (*place != at)
		place = &l->shards[*place].next;
	*place = l->shards[at].next;
	l->shards[at] = (struct lineage_shard){ .parent = LINEAGE_NONE, .next = l->unused };
	l->unused = at;
}

uint32_t lineage_forget(struct lineage *l, int64_t before_ms, lineage_needed_fn *needed, void *arg)
{
	uint32_t forgotten = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct lineage_shard *s = &l->shards[i];

		if (!*s->id || s->seen_ms == 0 || s->seen_ms >= before_ms || needed(arg, i))
			continue;
		forget(l, i);
		forgotten++;
	}
	for (uint32_t i = 0; forgotten > 0 && i < l->count; i++) {
		struct lineage_shard *s = &l->shards[i];

		if (s->parent != LINEAGE_NONE && !*l->shards[s->parent].id)
			s->parent = LINEAGE_NONE;
	}
	return forgotten;
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

/* The listing by id, so that a parent is found without walking the page again. Of a shard that is
 * listed twice, the first one counts: the one that is closed, as it is newer. */
static int by_id(const void *a, const void *b)
{
	const struct streams_shard *const *x = a, *const *y = b;
	int by = strcmp((*x)->id, (*y)->id);

	return by ? by : (int)(*y)->closed - (int)(*x)->closed;
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
	enum mark { MARK_NONE, MARK_CLIMBED, MARK_PLACED } * marks;
	size_t *path; /* upwards */
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

/* Only what certainly ended before the start is done unread. What is closed ended before now; but a
 * child that was made after the start says that now is not where this machine takes it to be, and
 * what a later listing shows may have ended since. */
static bool unread(const struct diff *d, size_t i)
{
	if (d->start_ms == 0 || !d->sorted[i]->closed)
		return false;
	if (d->first && d->start_ms >= d->now_ms - NOW_SLACK_MS)
		return d->newest_child[i] <= d->start_ms + NOW_SLACK_MS ||
		       d->newest_child[i] == INT64_MAX;
	return d->newest_child[i] >= 0 && d->newest_child[i] < d->start_ms - CREATED_SLACK_MS;
}

static bool is_known(const struct diff *d, size_t i)
{
	return lineage_find(d->lineage, d->sorted[i]->id) != LINEAGE_NONE;
}

/* The first listing came too early for it. While it is so young, a parent would still be listed,
 * and nothing of it was trimmed: so nothing was missed. */
static bool late_root(const struct diff *d, size_t i)
{
	int64_t created_ms = lineage_created_ms(d->sorted[i]->id);

	return !*d->sorted[i]->parent && created_ms >= d->now_ms - YOUNG_MS;
}

/* cut: what the listing says of its parent cannot be. */
static enum lineage_kind kind_of(const struct diff *d, size_t i, bool cut)
{
	bool parent_known = d->parents[i] != SIZE_MAX ||
			    (*d->sorted[i]->parent &&
			     lineage_find(d->lineage, d->sorted[i]->parent) != LINEAGE_NONE);

	if (unread(d, i))
		return LINEAGE_UNREAD;
	if (cut)
		return LINEAGE_ORPHAN;
	/* Behind a parent that is not read, the stream's start decides, not the shard's. */
	if (d->first && d->parents[i] != SIZE_MAX && unread(d, d->parents[i]))
		return LINEAGE_ROOT;
	if (parent_known)
		return LINEAGE_CHILD;
	return d->first || late_root(d, i) ? LINEAGE_ROOT : LINEAGE_ORPHAN;
}

static void emit(struct diff *d, size_t i, bool cut)
{
	d->marks[i] = MARK_PLACED;
	if (is_known(d, i))
		return;
	d->found[d->found_count++] =
		(struct lineage_found){ .shard = d->sorted[i],
					.parent = cut ? "" : d->sorted[i]->parent,
					.kind = kind_of(d, i, cut) };
}

static void reverse(size_t *path, size_t from, size_t to)
{
	for (; from + 1 < to; from++, to--) {
		size_t kept = path[from];

		path[from] = path[to - 1];
		path[to - 1] = kept;
	}
}

/* The path's end from `first` on is a loop, each the child of the next, the last of the first. It
 * is turned so that the oldest is the last, or one whose place is known already. */
static void turn_loop(const struct diff *d, size_t first, size_t count)
{
	size_t top = first;

	for (size_t i = first; i < count; i++) {
		bool known = is_known(d, d->path[i]), top_known = is_known(d, d->path[top]);

		if (known != top_known ? known : d->path[i] < d->path[top])
			top = i;
	}
	reverse(d->path, first, top + 1);
	reverse(d->path, top + 1, count);
	reverse(d->path, first, count);
}

/* Its unplaced ancestors, then the shard itself; each shard is climbed over once. */
static void place(struct diff *d, size_t i)
{
	size_t n = 0, at = i, first = 0;
	bool loop;

	for (; at != SIZE_MAX && d->marks[at] == MARK_NONE; at = d->parents[at]) {
		d->marks[at] = MARK_CLIMBED;
		d->path[n++] = at;
	}
	loop = at != SIZE_MAX && d->marks[at] == MARK_CLIMBED;
	if (loop) {
		while (d->path[first] != at)
			first++;
		turn_loop(d, first, n);
	}
	for (bool cut = loop; n > 0; cut = false)
		emit(d, d->path[--n], cut);
}

size_t lineage_diff(const struct lineage *l, const struct streams_shard *listed, size_t count,
		    bool first, int64_t start_ms, int64_t now_ms, struct lineage_found *found)
{
	struct diff d = { .lineage = l,
			  .sorted = memory_array(count + 1, sizeof(*d.sorted)),
			  .parents = memory_array(count + 1, sizeof(*d.parents)),
			  .newest_child = memory_array(count + 1, sizeof(*d.newest_child)),
			  .marks = memory_array(count + 1, sizeof(*d.marks)),
			  .path = memory_array(count + 1, sizeof(*d.path)),
			  .first = first,
			  .start_ms = start_ms,
			  .now_ms = now_ms,
			  .found = found };

	for (size_t i = 0; i < count; i++)
		d.sorted[i] = &listed[i];
	qsort(d.sorted, count, sizeof(*d.sorted), by_id);
	/* Pages of a moving listing may name a shard twice. */
	for (size_t i = 0; i < count; i++)
		if (d.count == 0 || strcmp(d.sorted[i]->id, d.sorted[d.count - 1]->id) != 0)
			d.sorted[d.count++] = d.sorted[i];
	diff_prepare(&d);
	for (size_t i = 0; i < d.count; i++)
		place(&d, i);
	free(d.sorted);
	free(d.parents);
	free(d.newest_child);
	free(d.marks);
	free(d.path);
	return d.found_count;
}

size_t lineage_without_orphans(struct lineage_found *found, size_t count)
{
	struct lineage out;
	size_t kept = 0;

	lineage_init(&out);
	for (size_t i = 0; i < count; i++) {
		if (found[i].kind == LINEAGE_ORPHAN ||
		    lineage_find(&out, found[i].parent) != LINEAGE_NONE)
			lineage_add(&out, found[i].shard->id, LINEAGE_NONE);
		else
			found[kept++] = found[i];
	}
	lineage_release(&out);
	return kept;
}

/* Listings may lie: no way up is longer than there are shards. */
static bool is_below(const struct lineage *l, uint32_t at, uint32_t top)
{
	for (uint32_t steps = 0; at != LINEAGE_NONE && steps <= l->count; steps++) {
		if (at == top)
			return true;
		at = l->shards[at].parent;
	}
	return false;
}

void lineage_only_below(const struct lineage *l, const char *shard, struct lineage_found *found,
			size_t count)
{
	uint32_t top = lineage_find(l, shard);
	struct lineage wanted;

	lineage_init(&wanted);
	for (size_t i = 0; i < count; i++) {
		struct lineage_found *f = &found[i];

		if (f->kind != LINEAGE_ORPHAN && lineage_find(&wanted, f->parent) == LINEAGE_NONE &&
		    (top == LINEAGE_NONE || !is_below(l, lineage_find(l, f->parent), top)))
			f->kind = LINEAGE_UNREAD;
		if (f->kind != LINEAGE_UNREAD)
			lineage_add(&wanted, f->shard->id, LINEAGE_NONE);
	}
	lineage_release(&wanted);
}

static bool is_lost_later(const struct lineage *before, const struct lineage_found *f)
{
	return f->kind == LINEAGE_ROOT ||
	       (f->kind == LINEAGE_UNREAD && lineage_find(before, f->parent) == LINEAGE_NONE);
}

size_t lineage_order(const struct lineage_found *found, size_t count, struct lineage_found *ordered)
{
	bool *first = memory_array(count + 1, sizeof(*first));
	struct lineage before;
	size_t n = 0, at = 0;

	lineage_init(&before);
	for (size_t i = 0; i < count; i++) {
		first[i] = is_lost_later(&before, &found[i]);
		n += first[i];
		lineage_add(&before, found[i].shard->id, LINEAGE_NONE);
	}
	lineage_release(&before);
	for (int part = 1; part >= 0; part--)
		for (size_t i = 0; i < count; i++)
			if (first[i] == part)
				ordered[at++] = found[i];
	free(first);
	return n;
}
