/* Shards whose parent was never seen, and what descends from them: they are read once the gap
 * before them is accepted, and are not in the store until then. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "consumer/worker_internal.h"

/* Its listing was mended: nothing is missing before it. */
static void mended(void *arg, const struct severed *b)
{
	struct worker_over *over = arg;

	if (b->orphan && b->gap != 0)
		worker_over_add(over, b->gap, &b->shard.starting, 0);
}

void worker_not_severed(struct worker *w, struct worker_stream *s,
			const struct lineage_found *found, size_t count)
{
	struct worker_over over = { .worker = w };

	severed_leave(&s->severed, found, count, mended, &over);
	worker_over_send(&over);
}

static void record(struct worker *w, struct worker_stream *s, size_t count)
{
	for (size_t at = 0; count > 0;) {
		size_t now = count < WORKER_GAPS_AT_ONCE ? count : WORKER_GAPS_AT_ONCE;
		struct worker_gaps *g = worker_gaps_new(w, s, now);

		for (size_t n = 0; n < now; at++) {
			struct severed *b = &s->severed.shards[at];

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
		s->orphans_recording++;
		count -= now;
	}
}

size_t worker_hold_back(struct worker *w, struct worker_stream *s, struct lineage_found *found,
			size_t count, bool sure)
{
	struct worker_over over = { .worker = w };
	size_t left = severed_see(&s->severed, found, count, mended, &over), fresh = 0;

	worker_over_send(&over);
	for (size_t i = 0; i < s->severed.count; i++) {
		const struct severed *b = &s->severed.shards[i];

		fresh += b->orphan && !b->recording && b->gap == 0;
	}
	if (sure)
		record(w, s, fresh);
	return left;
}

/* Takes the accepted orphans and what descends from them out of those that are held back. */
static void add_accepted(struct worker *w, struct worker_stream *s)
{
	struct lineage_found *found = memory_array(s->severed.count + 1, sizeof(*found));
	struct worker_over over = { .worker = w };
	struct severed_list out;

	severed_init(&out);
	severed_accept(&s->severed, &out);
	for (size_t i = 0; i < out.count; i++) {
		const struct severed *b = &out.shards[i];

		found[i] = (struct lineage_found){ .shard = &b->shard,
						   .parent = b->parent,
						   .kind = b->orphan ? LINEAGE_ORPHAN
								     : LINEAGE_CHILD };
		if (b->orphan)
			worker_over_add(&over, b->gap, &b->shard.starting,
					lineage_created_ms(b->shard.id));
	}
	worker_add_listed(w, s, found, out.count);
	worker_over_send(&over); /* behind the lanes in the saver's queue */
	severed_release(&out);
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
	for (size_t i = 0; i < gaps->count; i++) {
		const struct store_gap *g = &gaps->gaps[i].row;
		struct severed *b = severed_find(&s->severed, g->shard);

		if (b)
			b->recording = false;
		if (i >= gaps->put)
			continue;
		tell(s, b, g, gaps->gaps[i].added);
		if (!b)
			continue;
		b->gap = g->id;
		b->accepted = g->state != STORE_GAP_OPEN;
		s->orphans_accepted = s->orphans_accepted || b->accepted;
	}
	if (--s->orphans_recording == 0)
		worker_add_accepted(w);
}

void worker_orphan_accepted(struct worker_stream *s, const struct store_gap *g)
{
	struct severed *b = severed_find(&s->severed, g->shard);

	if (!b || b->gap != g->id || b->accepted)
		return;
	log_info("a gap was accepted: reading goes on behind it",
		 log_text("stream", s->config->name), log_text("shard", g->shard));
	b->accepted = s->orphans_accepted = true;
}

void worker_add_accepted(struct worker *w)
{
	for (uint32_t i = 0; i < w->stream_count; i++) {
		struct worker_stream *s = w->streams[i];

		if (!s || !s->orphans_accepted)
			continue;
		s->orphans_accepted = false;
		add_accepted(w, s);
	}
}

void worker_forget_severed(struct worker_stream *s)
{
	severed_clear(&s->severed);
}
