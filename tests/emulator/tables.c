#include <string.h>

#include "tests/emulator/call.h"
#include "tests/emulator/history.h"

void call_key_schema(struct buf *out, const struct table_spec *spec)
{
	buf_text(out, "[{\"AttributeName\":");
	buf_json_text(out, str_of(spec->hash.name));
	buf_text(out, ",\"KeyType\":\"HASH\"}");
	if (spec->range.name[0]) {
		buf_text(out, ",{\"AttributeName\":");
		buf_json_text(out, str_of(spec->range.name));
		buf_text(out, ",\"KeyType\":\"RANGE\"}");
	}
	buf_text(out, "]");
}

static void definitions(struct buf *out, const struct table_spec *spec)
{
	buf_text(out, "[{\"AttributeName\":");
	buf_json_text(out, str_of(spec->hash.name));
	buf_printf(out, ",\"AttributeType\":\"%c\"}", spec->hash.type);
	if (spec->range.name[0]) {
		buf_text(out, ",{\"AttributeName\":");
		buf_json_text(out, str_of(spec->range.name));
		buf_printf(out, ",\"AttributeType\":\"%c\"}", spec->range.type);
	}
	buf_text(out, "]");
}

struct table *call_table(struct call *c, const char *missing)
{
	const char *name = call_text(c, "TableName", 1, 1024, false);
	struct table *t = name ? world_table(c->world, name) : NULL;

	if (name && !t)
		reply_error(c->reply, 400, missing,
			    "Requested resource not found: Table: %s not found", name);
	return t;
}

static void describe(struct buf *out, const char *member, const struct table *t)
{
	const struct stream *s = table_stream(t);
	uint64_t items, bytes;
	char arn[ARN_SIZE];

	table_arn(t, arn);
	history_size(t, &items, &bytes);
	buf_printf(out,
		   "{\"%s\":{\"TableName\":\"%s\",\"TableArn\":\"%s\",\"TableStatus\":\"%s\","
		   "\"ItemCount\":%llu,\"TableSizeBytes\":%llu,\"CreationDateTime\":",
		   member, t->spec.name, arn, s && stream_enabling(s) ? "UPDATING" : "ACTIVE",
		   (unsigned long long)items, (unsigned long long)bytes);
	call_seconds(out, t->created_ms);
	buf_text(out, ",\"KeySchema\":");
	call_key_schema(out, &t->spec);
	buf_text(out, ",\"AttributeDefinitions\":");
	definitions(out, &t->spec);
	buf_text(out, ",\"BillingModeSummary\":{\"BillingMode\":\"PAY_PER_REQUEST\"}"
		      ",\"DeletionProtectionEnabled\":false");
	if (s && !s->disabled)
		buf_printf(out,
			   ",\"StreamSpecification\":{\"StreamEnabled\":true,\"StreamViewType\":\"%"
			   "s\"}",
			   view_name(s->view));
	if (s)
		buf_printf(out, ",\"LatestStreamLabel\":\"%s\",\"LatestStreamArn\":\"%s\"",
			   s->label, s->arn);
	buf_text(out, "}}");
}

void call_describe_table(struct call *c)
{
	const struct table *t = call_table(c, "ResourceNotFoundException");

	if (t)
		describe(c->reply->body, "Table", t);
}

void call_update_table(struct call *c)
{
	struct table *t = call_table(c, "ResourceNotFoundException");
	const struct stream *s = t ? table_stream(t) : NULL;
	const json_t *spec = json_object_get(c->request, "StreamSpecification");
	const json_t *enabled = json_object_get(spec, "StreamEnabled");
	const char *type = json_string_value(json_object_get(spec, "StreamViewType"));
	bool on = s && !s->disabled;
	enum view view;

	if (!t)
		return;
	if (s && stream_enabling(s)) {
		reply_error(c->reply, 400, "ResourceInUseException",
			    "Attempt to change a resource which is still in use: Table is being "
			    "updated: %s",
			    t->spec.name);
		return;
	}
	if (!json_is_boolean(enabled)) {
		call_invalid(
			c,
			"At least one of ProvisionedThroughput, BillingMode, StreamSpecification "
			"… is required");
	} else if (json_is_false(enabled)) {
		if (!on)
			call_invalid(c, "Table has no stream to disable");
		else
			table_disable(t);
	} else if (on) {
		call_invalid(c, "Table already has an enabled stream: %s", s->arn);
	} else if (!type || !view_parse(type, &view)) {
		call_invalid(
			c, "Invalid StreamViewType: Stream ViewType must not be null or empty when "
			   "enabling streams.");
	} else {
		table_enable(t, view);
	}
	if (c->reply->status == 200)
		describe(c->reply->body, "TableDescription", t);
}

void call_delete_table(struct call *c)
{
	struct table *t = call_table(c, "ResourceNotFoundException");

	if (!t)
		return;
	describe(c->reply->body, "TableDescription", t);
	table_delete(t);
}

void call_list_tables(struct call *c)
{
	size_t limit = call_limit(c, 100, 100), listed = 0;
	const char *after = limit ? call_text(c, "ExclusiveStartTableName", 3, 255, true) : NULL;
	struct buf *out = c->reply->body;
	const char *last = "";
	bool skip;

	if (!after)
		return;
	skip = *after;
	buf_text(out, "{\"TableNames\":[");
	for (size_t i = 0; i < c->world->table_count; i++) {
		const char *name = c->world->tables[i]->spec.name;

		if (skip) {
			skip = strcmp(name, after) != 0;
			continue;
		}
		if (c->world->tables[i]->deleted)
			continue;
		if (listed == limit) {
			buf_printf(out, "],\"LastEvaluatedTableName\":\"%s\"}", last);
			return;
		}
		buf_printf(out, "%s\"%s\"", listed++ ? "," : "", name);
		last = name;
	}
	buf_text(out, "]}");
}
