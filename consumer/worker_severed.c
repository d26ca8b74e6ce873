/* Shards whose parent was never seen, and what descends from them: they are read once the gap
 * before them is accepted, and are not in the store until then. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

/* A call to the store each, and a beat has to come between them. */
#define GAPS_AT_ONCE 100

static struct severed *severed_find(struct severed *list, size_t count, const char *shard)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].shard.id, shard) == 0)
			return &list[i];
	return NULL;
}

static struct severed *find(const struct worker_stream *s, const char *shard)
{
	return severed_find(s->severed, s->severed_count, shard);
}

static void add(struct worker_stream *s, const struct severed *b)
{
	s->severed = memory_room(s->severed, s->severed_count, sizeof(*s->severed));
	s->severed[s->severed_count++] = *b;
}

size_t worker_new_orphans(const struct worker_stream *s, const struct lineage_found *found,
			  size_t count)
{
	size_t fresh = 0;

	for (size_t i = 0; i < count; i++) {
		const struct severed *b =
			found[i].kind == LINEAGE_ORPHAN ? find(s, found[i].shard->id) : NULL;

		fresh += found[i].kind == LINEAGE_ORPHAN && !(b && (b->recording || b->gap != 0));
	}
	return fresh;
}

/* Its listing was mended: nothing is missing before it. */
static void mended(struct worker *w, const struct severed *b)
{
	if (b->orphan && b->gap != 0)
		worker_gap_over(w, b->gap, &b->shard.starting, 0);
}

void worker_not_severed(struct worker *w, struct worker_stream *s, const char *shard)
{
	struct severed *b = find(s, shard);

	if (!b)
		return;
	mended(w, b);
	memmove(b, b + 1, (size_t)(s->severed + s->severed_count - (b + 1)) * sizeof(*b));
	s->severed_count--;
}

static void keep(struct worker_stream *s, const struct lineage_found *f, const struct severed *old)
{
	struct severed b = { .shard = *f->shard, .orphan = f->kind == LINEAGE_ORPHAN };

	if (old && old->orphan == b.orphan)
		b = *old;
	snprintf(b.parent, sizeof(b.parent), "%s", f->parent);
	add(s, &b);
}

static void record(struct worker *w, struct worker_stream *s, size_t count)
{
	for (size_t at = 0; count > 0;) {
		size_t now = count < GAPS_AT_ONCE ? count : GAPS_AT_ONCE;
		struct worker_gaps *g = worker_gaps_new(w, s, now);

		for (size_t n = 0; n < now; at++) {
			struct severed *b = &s->severed[at];

			if (!b->orphan || b->recording || b->gap != 0)
				continue;
			b->recording = true;
			g->gaps[n].row = (struct store_gap){
				.stream = s->stored.id,
				.kind = STORE_GAP_ORPHAN,
				.to = b->shard.starting,
				.found_ms = clock_aws_ms(w->settings.clock),
			};
			memcpy(g->gaps[n++].row.shard, b->shard.id, sizeof(b->shard.id));
		}
		worker_put_gaps(w, g);
		count -= now;
	}
}

size_t worker_hold_back(struct worker *w, struct worker_stream *s, struct lineage_found *found,
			size_t count, bool sure)
{
	struct severed *was = s->severed;
	size_t was_count = s->severed_count, left = 0, fresh = 0;

	s->severed = NULL;
	s->severed_count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct severed *old = severed_find(was, was_count, found[i].shard->id);

		if (found[i].kind == LINEAGE_ORPHAN || find(s, found[i].parent)) {
			keep(s, &found[i], old);
			continue;
		}
		if (old)
			mended(w, old);
		found[left++] = found[i];
	}
	free(was);
	for (size_t i = 0; i < s->severed_count; i++)
		fresh += s->severed[i].orphan && !s->severed[i].recording && s->severed[i].gap == 0;
	if (sure)
		record(w, s, fresh);
	return left;
}

/* Takes the accepted orphans and what descends from them out of those that are held back. */
static void add_accepted(struct worker *w, struct worker_stream *s)
{
	struct lineage_found *found = memory_array(s->severed_count + 1, sizeof(*found));
	struct severed *was = s->severed, *out = memory_array(s->severed_count + 1, sizeof(*out));
	size_t was_count = s->severed_count, n = 0;

	s->severed = NULL;
	s->severed_count = 0;
	for (size_t i = 0; i < was_count; i++) {
		const struct severed *b = &was[i];

		if (b->orphan ? !b->accepted : !severed_find(out, n, b->parent)) {
			add(s, b);
			continue;
		}
		out[n] = *b;
		found[n] = (struct lineage_found){ .shard = &out[n].shard,
						   .parent = out[n].parent,
						   .kind = b->orphan ? LINEAGE_ORPHAN
								     : LINEAGE_CHILD };
		n++;
	}
	worker_add_listed(w, s, found, n);
	/* Behind the lanes in the saver's queue. */
	for (size_t i = 0; i < n; i++)
		if (out[i].orphan)
			worker_gap_over(w, out[i].gap, &out[i].shard.starting,
					lineage_created_ms(out[i].shard.id));
	free(was);
	free(out);
	free(found);
}

static void tell(struct worker_stream *s, const struct severed *b, const struct store_gap *g,
		 bool added)
{
	char reason[STREAMS_SHARD_MAX + 64];

	if (!b)
		snprintf(reason, sizeof(reason), "it is not listed any more");
	else if (strcmp(b->parent, b->shard.parent) != 0)
		snprintf(reason, sizeof(reason), "it is listed as a descendant of itself");
	else
		snprintf(reason, sizeof(reason), "its parent %s was never seen", b->parent);
	worker_tell_gap(s, g, added, reason);
}

void worker_orphans_recorded(struct worker *w, const struct worker_gaps *gaps)
{
	struct worker_stream *s = gaps->stream;
	bool accepted = false;

	for (size_t i = 0; i < gaps->count; i++) {
		const struct store_gap *g = &gaps->gaps[i].row;
		struct severed *b = find(s, g->shard);

		if (b)
			b->recording = false;
		if (i >= gaps->put)
			continue;
		tell(s, b, g, gaps->gaps[i].added);
		if (!b)
			continue;
		b->gap = g->id;
		b->accepted = g->state != STORE_GAP_OPEN;
		accepted = accepted || b->accepted;
	}
	if (accepted)
		add_accepted(w, s);
}

void worker_orphan_accepted(struct worker *w, struct worker_stream *s, const struct store_gap *g)
{
	struct severed *b = find(s, g->shard);

	if (!b || b->gap != g->id)
		return;
	log_info("a gap was accepted: reading goes on behind it",
		 log_text("stream", s->config->name), log_text("shard", g->shard));
	b->accepted = true;
	add_accepted(w, s);
}

void worker_forget_severed(struct worker_stream *s)
{
	free(s->severed);
	s->severed = NULL;
	s->severed_count = 0;
}
