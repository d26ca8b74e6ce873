#include "consumer/letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const char record_name[] = ",\"record\":";

void letter_begin(const struct letter_head *head, struct buf *out)
{
	buf_text(out, "{");
	member(out, "reason", head->reason);
	member(out, "error", head->error);
	member(out, "stream", head->stream);
	member(out, "shard", head->shard);
	member(out, "sequence", head->sequence);
	member(out, "time", head->time);
	buf_printf(out, ",\"attempts\":%u", head->attempts);
	member(out, "sink", head->sink);
	if (head->generation > 0)
		buf_printf(out, ",\"generation\":%" PRIu64, head->generation);
	buf_text(out, record_name);
}

struct str letter_record(struct str json)
{
	const size_t n = sizeof(record_name) - 1;
	/* The first one: a quote within a text before it stands behind a backslash. */
	const char *at = memmem(json.p, json.n, record_name, n), *end = json.p + json.n;

	if (!at || at + n + 1 >= end)
		return (struct str){ NULL, 0 };
	return (struct str){ at + n, (size_t)(end - 1 - at) - n };
}

static void by_bytes(struct str record, char out[SEQUENCE_TEXT_SIZE])
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < record.n; i++)
		hash = (hash ^ (unsigned char)record.p[i]) * 1099511628211u;
	snprintf(out, SEQUENCE_TEXT_SIZE, "none:%016" PRIx64, hash);
}

/* The store keeps one letter a sequence number; a record that has none is known by its bytes, so
 * that it is not taken for another, nor for a new one when it is read again. Rows of an export have
 * one sequence number all together: one is known by its file and its place in it. */
static void letter_identity(const struct lane *lane, const struct batch *batch,
			    const struct event *e, char out[SEQUENCE_TEXT_SIZE])
{
	if (lane->file) {
		snprintf(out, SEQUENCE_TEXT_SIZE, "place:%" PRIu64, lane_row_place(batch, e));
		return;
	}
	sequence_text(&e->sequence, out);
	if (!*out)
		by_bytes(e->raw, out);
}

char *letter_identity_of(struct str record)
{
	char out[SEQUENCE_TEXT_SIZE];

	by_bytes(record, out);
	return memory_text(out);
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
	letter_begin(&(struct letter_head){ .reason = reason,
					    .error = error,
					    .stream = source->stream,
					    .shard = lane->shard,
					    .sequence = sequence_text(&event->sequence, sequence),
					    .time = clock_text(now_ms, time),
					    .sink = sink,
					    .attempts = attempts,
					    .generation = source->generation },
		     &l->json);
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
