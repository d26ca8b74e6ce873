#include "consumer/letter.h"

#include <inttypes.h>
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

struct letter *letter_new(struct lane *lane, uint32_t slot, const struct event *event,
			  const char *reason, const char *error, unsigned attempts, int64_t now_ms)
{
	struct letter *l = memory_new(sizeof(*l));
	const struct source *source = &lane->stream->source;
	const char *sink = slot == LETTER_PAGE ? "" : lane->stream->sinks[slot].name;
	char time[CLOCK_TEXT_SIZE];

	l->lane = lane;
	l->slot = slot;
	sequence_text(&event->sequence, l->sequence);
	buf_init(&l->json, 0);
	buf_text(&l->json, "{");
	member(&l->json, "reason", reason);
	member(&l->json, "error", error);
	member(&l->json, "stream", source->stream);
	member(&l->json, "shard", lane->shard);
	member(&l->json, "sequence", l->sequence);
	member(&l->json, "time", clock_text(now_ms, time));
	buf_printf(&l->json, ",\"attempts\":%u", attempts);
	member(&l->json, "sink", sink);
	buf_text(&l->json, ",\"record\":");
	decode_letter_record(source, event->raw, &l->json);
	buf_text(&l->json, "}");
	l->row = (struct store_letter){ .stream = source->stream,
					.sink = sink,
					.shard = lane->shard,
					.sequence = l->sequence,
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
