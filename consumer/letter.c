#include "consumer/letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "event/decode.h"

static void member(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "%s\"%s\":", b->size > 1 ? "," : "", name);
	if (value && *value)
		buf_json_text(b, str_of(value));
	else
		buf_text(b, "null");
}

/* The store keeps one letter a sequence number; a record that has none is known by its bytes, so
 * that it is not taken for another, nor for a new one when it is read again. Rows of an export have
 * one sequence number all together: one is known by its file and its place in it. */
static void letter_identity(const struct lane *lane, const struct batch *batch,
			    const struct event *e, char out[SEQUENCE_TEXT_SIZE])
{
	uint64_t hash = 14695981039346656037u;

	if (lane->file) {
		snprintf(out, SEQUENCE_TEXT_SIZE, "place:%" PRIu64, lane_row_place(batch, e));
		return;
	}
	sequence_text(&e->sequence, out);
	if (*out)
		return;
	for (size_t i = 0; i < e->raw.n; i++)
		hash = (hash ^ (unsigned char)e->raw.p[i]) * 1099511628211u;
	snprintf(out, SEQUENCE_TEXT_SIZE, "none:%016" PRIx64, hash);
}

struct letter *letter_new(struct lane *lane, uint32_t slot, const struct batch *batch,
			  const struct event *event, const char *reason, const char *error,
			  unsigned attempts, int64_t now_ms)
{
	struct letter *l = memory_new(sizeof(*l));
	const struct source *source = &lane->stream->source;
	const char *sink = slot == LETTER_PAGE ? "" : lane->stream->sinks[slot].name;
	char time[CLOCK_TEXT_SIZE], sequence[SEQUENCE_TEXT_SIZE];

	l->lane = lane;
	l->slot = slot;
	letter_identity(lane, batch, event, l->identity);
	buf_init(&l->json, 0);
	buf_text(&l->json, "{");
	member(&l->json, "reason", reason);
	member(&l->json, "error", error);
	member(&l->json, "stream", source->stream);
	member(&l->json, "shard", lane->shard);
	member(&l->json, "sequence", sequence_text(&event->sequence, sequence));
	member(&l->json, "time", clock_text(now_ms, time));
	buf_printf(&l->json, ",\"attempts\":%u", attempts);
	member(&l->json, "sink", sink);
	buf_text(&l->json, ",\"record\":");
	if (lane->file)
		decode_letter_line(source, &lane->stream->rows, event->raw, &l->json);
	else
		decode_letter_record(source, event->raw, &l->json);
	buf_text(&l->json, "}");
	l->row = (struct store_letter){ .stream = source->stream,
					.sink = sink,
					.shard = lane->shard,
					.sequence = l->identity,
					.reason = reason,
					.json = buf_str(&l->json) };
	return l;
}

void letter_free(struct letter *l)
{
	if (!l)
		return;
	buf_release(&l->json);
	free(l);
}
