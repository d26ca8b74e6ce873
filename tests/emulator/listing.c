/* DescribeStream: what a listing shows of the shards, late or wrong where that was asked for. */
#include <string.h>

#include "tests/emulator/call.h"

#define PAGE_MAX 100

enum moment { MOMENT_BORN, MOMENT_CLOSED };

/* One page that is being made. */
struct listing {
	struct call *call;
	const struct stream *stream;
	const struct shard *of; /* its children alone; NULL: everything */
	int64_t now_ms;         /* a listing that is old on order shows this moment */
	size_t listed, limit;
	const struct shard *last;
};

/* How much later than it happened a moment of the shard shows: each has its own delay. */
static int64_t late_ms(const struct shard *s, enum moment moment)
{
	const struct table_spec *spec = &s->stream->table->spec;

	if (spec->stale_ms == 0)
		return 0;
	return (int64_t)(generate_mix(spec->seed, s->number, 21 + moment) % (spec->stale_ms + 1));
}

static bool shown(const struct listing *l, const struct shard *s)
{
	return !s->gone && (!l->of || s->parent == l->of) &&
	       s->born_ms + late_ms(s, MOMENT_BORN) <= l->now_ms &&
	       !fault_listed(&l->call->world->faults, FAULT_HIDE, s->id);
}

static bool shown_closed(const struct listing *l, const struct shard *s)
{
	return s->closed && s->closed_ms + late_ms(s, MOMENT_CLOSED) <= l->now_ms &&
	       !fault_listed(&l->call->world->faults, FAULT_OPEN, s->id);
}

static void list_shard(struct listing *l, const struct shard *s)
{
	struct buf *out = l->call->reply->body;
	const struct fault *wrong = fault_listed(&l->call->world->faults, FAULT_PARENT, s->id);
	const char *parent = wrong ? wrong->parent : s->parent ? s->parent->id : "";
	char text[SHARD_SEQUENCE_SIZE];

	buf_printf(
		out,
		"%s{\"ShardId\":\"%s\",\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"%s\"",
		l->listed ? "," : "", s->id, sequence_number_text(s->first, text));
	if (shown_closed(l, s))
		buf_printf(out, ",\"EndingSequenceNumber\":\"%s\"",
			   sequence_number_text(shard_end(s), text));
	buf_text(out, "}");
	if (*parent)
		buf_printf(out, ",\"ParentShardId\":\"%s\"", parent);
	buf_text(out, "}");
	l->listed++;
	l->last = s;
}

/* From the shard with number `i` on; true where there is more behind the page. */
static bool list_from(struct listing *l, size_t i)
{
	const struct stream *s = l->stream;
	size_t end = s->shard_count;

	/* Children come after their parent; of a table of thousands only they are looked at. */
	if (l->of && l->of->child_count == 0)
		return false;
	if (l->of) {
		size_t first = l->of->children[0]->number;

		i = i > first ? i : first;
		end = (size_t)l->of->children[l->of->child_count - 1]->number + 1;
	}
	for (; i < end; i++) {
		if (!shown(l, s->shards[i]))
			continue;
		if (l->listed == l->limit)
			return true;
		list_shard(l, s->shards[i]);
		if (l->call->reply->fault.kind == FAULT_DUPLICATE)
			list_shard(l, s->shards[i]);
	}
	return false;
}

static void list_shards(struct listing *l, const char *after)
{
	struct buf *out = l->call->reply->body;
	bool more = false;

	buf_text(out, ",\"Shards\":[");
	/* Behind an id that is not there (any more) nothing is listed. */
	if (!stream_enabling(l->stream) && l->call->reply->fault.kind != FAULT_EMPTY &&
	    (!*after || stream_shard(l->stream, after)))
		more = list_from(l, stream_after(l->stream, after));
	buf_text(out, "]");
	if (more)
		buf_printf(out, ",\"LastEvaluatedShardId\":\"%s\"", l->last->id);
}

/* The shard of a CHILD_SHARDS filter; "" without one, NULL where it is wrong (answered). */
static const char *call_filter(struct call *c, const struct stream *s)
{
	const json_t *filter = json_object_get(c->request, "ShardFilter");
	const char *type = json_string_value(json_object_get(filter, "Type"));
	const char *id = json_string_value(json_object_get(filter, "ShardId"));

	if (!filter || s->table->spec.child_filter == SPEC_FILTER_IGNORED)
		return "";
	if (s->table->spec.child_filter == SPEC_FILTER_REFUSED)
		call_invalid(c, "Unknown member: ShardFilter");
	else if (!type || strcmp(type, "CHILD_SHARDS") != 0)
		call_invalid(
			c,
			"1 validation error detected: Value at 'shardFilter.type' failed to "
			"satisfy constraint: Member must satisfy enum value set: [CHILD_SHARDS]");
	else if (!id || strlen(id) < 28 || strlen(id) > 65)
		call_invalid(c, "ShardFilter needs the ShardId of 28 to 65 characters");
	else
		return id;
	return NULL;
}

static bool describe_allowed(struct call *c, struct stream *s)
{
	int64_t now_ms = clock_boot_ms(&c->world->clock);

	rush_note(&c->world->describes, now_ms);
	if (allowance_take(&s->describes, s->table->spec.describes, now_ms))
		return true;
	reply_error(c->reply, 400, "ThrottlingException",
		    "Rate of requests exceeds the allowed throughput.");
	return false;
}

void call_describe_stream(struct call *c)
{
	struct stream *s = call_stream(c);
	size_t limit = s ? call_limit(c, PAGE_MAX, PAGE_MAX) : 0;
	const char *after = limit ? call_text(c, "ExclusiveStartShardId", 28, 65, true) : NULL;
	const char *parent = after ? call_filter(c, s) : NULL;
	struct buf *out = c->reply->body;
	struct listing l = { .call = c, .stream = s, .limit = limit };

	if (!parent || !describe_allowed(c, s))
		return;
	fault_listing(&c->world->faults, s->table->spec.name);
	l.now_ms = world_now_ms(c->world) - fault_listing_age_ms(&c->world->faults);
	buf_printf(out,
		   "{\"StreamDescription\":{\"StreamArn\":\"%s\",\"StreamLabel\":\"%s\","
		   "\"StreamStatus\":\"%s\",\"StreamViewType\":\"%s\",\"TableName\":\"%s\","
		   "\"CreationRequestDateTime\":",
		   s->arn, s->label,
		   s->disabled          ? "DISABLED"
		   : stream_enabling(s) ? "ENABLING"
					: "ENABLED",
		   view_name(s->view), s->table->spec.name);
	call_seconds(out, s->created_ms);
	buf_text(out, ",\"KeySchema\":");
	call_key_schema(out, &s->table->spec);
	l.of = *parent ? stream_shard(s, parent) : NULL;
	if (*parent && !l.of)
		buf_text(out, ",\"Shards\":[]");
	else
		list_shards(&l, after);
	buf_text(out, "}}");
}
