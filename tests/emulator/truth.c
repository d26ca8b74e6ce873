#include "tests/emulator/truth.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/emulator/api.h"

static void add_dump(struct buf *out, const json_t *value)
{
	char *dump = value ? json_dumps(value, JSON_COMPACT) : NULL;

	buf_text(out, dump ? dump : "{}");
	free(dump);
}

static void add_shard(struct buf *out, const struct shard *s, int64_t now_ms, bool first)
{
	char starting[SHARD_SEQUENCE_SIZE];

	buf_printf(out,
		   "%s\"%s\":{\"records\":%llu,\"trimmed\":%llu,\"closed\":%s,\"gone\":%s,"
		   "\"depth\":%u,\"starting\":\"%s\",\"calls\":%llu,\"served\":%llu,"
		   "\"readers\":%u,\"readers_most\":%u,\"first_read_ms\":%lld,"
		   "\"end_read_ms\":%lld",
		   first ? "" : ",", s->id, (unsigned long long)shard_count(s, now_ms),
		   (unsigned long long)s->trimmed, s->closed ? "true" : "false",
		   s->gone ? "true" : "false", s->depth, sequence_number_text(s->first, starting),
		   (unsigned long long)s->calls, (unsigned long long)s->records_served, s->readers,
		   s->readers_most, (long long)s->first_read_ms, (long long)s->end_read_ms);
	if (s->parent)
		buf_printf(out, ",\"parent\":\"%s\"", s->parent->id);
	buf_text(out, "}");
}

static void add_streams(struct buf *out, const struct table *t, const char *after)
{
	int64_t now_ms = world_now_ms(t->world);
	bool first;

	buf_printf(out, "{\"table\":\"%s\",\"streams\":[", t->spec.name);
	for (size_t k = 0; k < t->stream_count; k++) {
		const struct stream *s = t->streams[k];

		buf_printf(out, "%s{\"arn\":\"%s\",\"disabled\":%s,\"shards\":{", k ? "," : "",
			   s->arn, s->disabled ? "true" : "false");
		first = true;
		for (size_t i = 0; i < s->shard_count; i++) {
			if (strcmp(s->shards[i]->id, after) <= 0)
				continue;
			add_shard(out, s->shards[i], now_ms, first);
			first = false;
		}
		buf_text(out, "}}");
	}
	buf_text(out, "]");
}

void truth_shards(struct buf *out, const struct table *t, const char *after)
{
	add_streams(out, t, after);
	buf_text(out, "}");
}

/* The keys of a leaf: what all its ancestors and itself made of them. */
static bool add_leaf(struct buf *out, const struct shard *s, int64_t now_ms, bool first)
{
	uint64_t *ends = memory_array((size_t)s->pair_count * 2 + 1, sizeof(*ends));

	shard_counters(s, shard_count(s, now_ms), ends);
	for (uint32_t i = 0; i < s->pair_count * 2; i++) {
		struct buf key = { 0 };

		if (!ends[i])
			continue;
		generate_key(&key, &s->stream->generator, (uint64_t)s->pairs[i / 2] * 2 + i % 2);
		buf_text(out, first ? "" : ",");
		buf_json_text(out, buf_str(&key));
		buf_printf(out, ":{\"n\":%llu,\"exists\":%s}", (unsigned long long)ends[i],
			   generate_exists(ends[i]) ? "true" : "false");
		buf_release(&key);
		first = false;
	}
	free(ends);
	return first;
}

void truth_table(struct buf *out, const struct table *t)
{
	const struct stream *s = table_stream(t);
	int64_t now_ms = world_now_ms(t->world);
	bool first = true;

	add_streams(out, t, "");
	buf_text(out, ",\"keys\":{");
	for (size_t i = 0; s && i < s->shard_count; i++)
		if (s->shards[i]->child_count == 0)
			first = add_leaf(out, s->shards[i], now_ms, first);
	buf_text(out, "},\"items\":");
	add_dump(out, t->items);
	buf_text(out, ",\"counters\":");
	add_dump(out, t->counters);
	buf_text(out, "}");
}

void truth_stats(struct buf *out, const struct world *w)
{
	buf_printf(out,
		   "{\"requests\":%llu,\"connections\":%llu,\"connections_open\":%llu,"
		   "\"handshakes\":%llu,\"describes_most\":%u,\"operations\":{",
		   (unsigned long long)w->requests, (unsigned long long)w->connections,
		   (unsigned long long)w->connections_open, (unsigned long long)w->handshakes,
		   w->describes.most);
	for (size_t i = 0; api_operation_name(i); i++) {
		const struct operation_count *o = &w->operations[i];

		buf_printf(out, "%s\"%s\":{\"calls\":%llu,\"bytes\":%llu,\"errors\":", i ? "," : "",
			   api_operation_name(i), (unsigned long long)o->calls,
			   (unsigned long long)o->bytes);
		add_dump(out, o->errors);
		buf_text(out, "}");
	}
	buf_text(out, "},\"tables\":{");
	for (size_t i = 0; i < w->table_count; i++) {
		buf_printf(out, "%s\"%s\":", i ? "," : "", w->tables[i]->spec.name);
		truth_shards(out, w->tables[i], "");
	}
	buf_text(out, "}}");
}

void truth_reset(struct world *w)
{
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		json_decref(w->operations[i].errors);
		w->operations[i] = (struct operation_count){ 0 };
	}
	w->requests = 0;
	w->connections = 0;
	w->handshakes = 0;
	w->describes = (struct rush){ 0 };
	for (size_t i = 0; i < w->table_count; i++) {
		const struct table *t = w->tables[i];

		for (size_t k = 0; k < t->stream_count; k++) {
			for (size_t n = 0; n < t->streams[k]->shard_count; n++) {
				struct shard *s = t->streams[k]->shards[n];

				s->calls = 0;
				s->records_served = 0;
				s->first_read_ms = s->end_read_ms = 0;
				s->readers_most = s->readers;
			}
		}
	}
}
