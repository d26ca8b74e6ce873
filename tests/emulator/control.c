#include "tests/emulator/control.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/emulator/api.h"
#include "tests/emulator/exporter.h"
#include "tests/emulator/item.h"
#include "tests/emulator/truth.h"

#define ADVANCE_S_MAX (366 * 24 * 3600)

/* One control call: false with err is the answer 400, else what is in `out`. */
struct control {
	struct world *world;
	const json_t *request;
	struct buf *out;
	struct table *table; /* of the ones that name one */
};

static int64_t member(const struct control *c, const char *name, int64_t missing)
{
	const json_t *value = json_object_get(c->request, name);

	return json_is_integer(value) ? json_integer_value(value) : missing;
}

static const char *text(const struct control *c, const char *name)
{
	return json_string_value(json_object_get(c->request, name));
}

/* The lineage, or what of it comes behind the shard "after". */
static void show_shards(const struct control *c)
{
	const char *after = text(c, "after");

	truth_shards(c->out, c->table, after ? after : "");
}

static bool put_place(struct control *c, bool good, const struct item_place *p)
{
	if (good && p->shard)
		buf_printf(c->out, "{\"changed\":true,\"shard\":\"%s\",\"sequence\":\"%s\"}",
			   p->shard->id, p->sequence);
	else if (good)
		buf_printf(c->out, "{\"changed\":%s}", p->changed ? "true" : "false");
	return good;
}

static bool control_table(struct control *c, struct error *err)
{
	struct table_spec spec;

	if (!spec_parse_json(&spec, c->request, err) || !world_add_table(c->world, &spec, err))
		return false;
	truth_shards(c->out, world_table(c->world, spec.name), "");
	return true;
}

static bool control_drop(struct control *c, struct error *err)
{
	(void)err;
	table_delete(c->table);
	show_shards(c);
	return true;
}

static bool control_put(struct control *c, struct error *err)
{
	struct item_place place = { 0 };
	bool good = item_put(c->table, json_object_get(c->request, "item"),
			     member(c, "created_ms", -1), &place, err);

	return put_place(c, good, &place);
}

static bool control_delete(struct control *c, struct error *err)
{
	struct item_place place = { 0 };
	bool good = item_delete(c->table, json_object_get(c->request, "key"),
				json_is_true(json_object_get(c->request, "ttl")),
				member(c, "created_ms", -1), &place, err);

	return put_place(c, good, &place);
}

/* The shard that the request names, or the table's first open one. */
static struct shard *control_shard(struct control *c, struct error *err)
{
	const struct stream *s = table_stream(c->table);
	const char *id = text(c, "shard");
	struct shard *shard = s && id ? stream_shard(s, id) : NULL;

	for (size_t i = 0; s && !id && !shard && i < s->shard_count; i++)
		if (!s->shards[i]->closed)
			shard = s->shards[i];
	if (!shard)
		error_set(err, ERROR_INVALID, "table %s has no shard %s", c->table->spec.name,
			  id ? id : "that is open");
	return shard;
}

/* A record as an object, as a text, or as bytes in base64, which may be no UTF-8. */
static bool control_append(struct control *c, struct error *err)
{
	struct shard *s = control_shard(c, err);
	const json_t *record = json_object_get(c->request, "record");
	const char *plain = text(c, "text"), *base64 = text(c, "base64");
	struct item_place place = { 0 };
	char *bytes = NULL;
	int size = -1;
	bool good;

	if (!s)
		return false;
	if (json_is_object(record)) {
		bytes = json_dumps(record, JSON_COMPACT);
		size = (int)strlen(bytes);
	} else if (plain) {
		bytes = memory_text(plain);
		size = (int)strlen(plain);
	} else if (base64) {
		size_t length = strlen(base64), padding = 0;

		while (padding < 2 && length > padding && base64[length - 1 - padding] == '=')
			padding++;
		bytes = memory_new(length + 1);
		size = EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)base64,
				       (int)length);
		size -= (int)padding;
	}
	good = size >= 0 ? item_append(s, (struct str){ bytes, (size_t)size },
				       member(c, "created_ms", -1), &place, err)
			 : error_set(err, ERROR_INVALID, "append wants record, text or base64");
	free(bytes);
	return put_place(c, good, &place);
}

/* On the shard that is named, or on all that are open. */
static bool divide(struct control *c, size_t fanout, struct error *err)
{
	const struct stream *s = table_stream(c->table);
	uint64_t records = (uint64_t)member(c, "records", -1);
	int64_t now_ms = world_now_ms(c->world);
	size_t count = s ? s->shard_count : 0;

	if (text(c, "shard")) {
		struct shard *shard = control_shard(c, err);

		if (!shard || !shard_divide(shard, now_ms, fanout, records, err))
			return false;
	}
	for (size_t i = 0; !text(c, "shard") && i < count; i++)
		if (!s->shards[i]->closed &&
		    !shard_divide(s->shards[i], now_ms, fanout, records, err))
			return false;
	show_shards(c);
	return true;
}

static bool control_split(struct control *c, struct error *err)
{
	int64_t fanout = member(c, "children", 2);

	if (fanout < 1 || fanout > SHARD_CHILDREN_MAX)
		return error_set(err, ERROR_INVALID, "children: 1 to %d", SHARD_CHILDREN_MAX);
	return divide(c, (size_t)fanout, err);
}

static bool control_rotate(struct control *c, struct error *err)
{
	return divide(c, 1, err);
}

static bool control_close(struct control *c, struct error *err)
{
	return divide(c, 0, err);
}

/* "before": an index; "gone": the shard leaves the listing. */
static bool control_trim(struct control *c, struct error *err)
{
	struct shard *s = control_shard(c, err);

	if (!s)
		return false;
	shard_trim(s, (uint64_t)member(c, "before", 0));
	if (json_is_true(json_object_get(c->request, "gone")))
		s->gone = true;
	show_shards(c);
	return true;
}

static bool control_disable(struct control *c, struct error *err)
{
	const struct stream *s = table_stream(c->table);

	if (!s || s->disabled)
		return error_set(err, ERROR_INVALID, "table %s has no enabled stream",
				 c->table->spec.name);
	table_disable(c->table);
	show_shards(c);
	return true;
}

static bool control_enable(struct control *c, struct error *err)
{
	const struct stream *s = table_stream(c->table);
	const char *name = text(c, "view");
	enum view view = s ? s->view : c->table->spec.view;

	if (s && !s->disabled)
		return error_set(err, ERROR_INVALID, "table %s has an enabled stream",
				 c->table->spec.name);
	if (name && !view_parse(name, &view))
		return error_set(err, ERROR_INVALID, "view \"%s\" is unknown", name);
	table_enable(c->table, view);
	show_shards(c);
	return true;
}

static bool control_advance(struct control *c, struct error *err)
{
	int64_t seconds = member(c, "seconds", 0);

	if (seconds < 0 || seconds > ADVANCE_S_MAX)
		return error_set(err, ERROR_INVALID, "seconds: 0 to %d", ADVANCE_S_MAX);
	world_advance(c->world, seconds * 1000);
	if (json_is_true(json_object_get(c->request, "date")))
		c->world->date_offset_ms += seconds * 1000;
	buf_printf(c->out, "{\"now_ms\":%lld}", (long long)world_now_ms(c->world));
	return true;
}

static bool control_date(struct control *c, struct error *err)
{
	int64_t seconds = member(c, "seconds", 0);

	if (seconds < -ADVANCE_S_MAX || seconds > ADVANCE_S_MAX)
		return error_set(err, ERROR_INVALID, "seconds: %d at most", ADVANCE_S_MAX);
	c->world->date_offset_ms = seconds * 1000;
	buf_text(c->out, "{}");
	return true;
}

static bool control_fault(struct control *c, struct error *err)
{
	uint64_t id;

	if (!fault_list_add(&c->world->faults, c->request, &id, err))
		return false;
	buf_printf(c->out, "{\"id\":%llu}", (unsigned long long)id);
	return true;
}

static bool control_faults(struct control *c, struct error *err)
{
	json_t *rules = fault_list_json(&c->world->faults);
	char *dump = json_dumps(rules, JSON_COMPACT);

	(void)err;
	buf_text(c->out, dump);
	free(dump);
	json_decref(rules);
	return true;
}

static bool control_clear(struct control *c, struct error *err)
{
	(void)err;
	fault_list_clear(&c->world->faults, (uint64_t)member(c, "id", 0));
	buf_text(c->out, "{}");
	return true;
}

static bool control_stats(struct control *c, struct error *err)
{
	(void)err;
	truth_stats(c->out, c->world);
	return true;
}

static bool control_reset(struct control *c, struct error *err)
{
	(void)err;
	truth_reset(c->world);
	buf_text(c->out, "{}");
	return true;
}

static bool control_shards(struct control *c, struct error *err)
{
	(void)err;
	show_shards(c);
	return true;
}

static bool control_truth(struct control *c, struct error *err)
{
	(void)err;
	truth_table(c->out, c->table);
	return true;
}

/* What was asked for and what became of it, oldest first. */
static bool control_exports(struct control *c, struct error *err)
{
	static const char *const names[] = { "IN_PROGRESS", "COMPLETED", "FAILED" };
	const struct world *w = c->world;
	bool first = true;

	(void)err;
	buf_text(c->out, "{\"exports\":[");
	for (size_t i = 0; i < w->export_count; i++) {
		const struct export *e = w->exports[i];

		if (e->table != c->table)
			continue;
		buf_printf(c->out,
			   "%s{\"arn\":\"%s\",\"status\":\"%s\",\"full\":%s,\"at_ms\":%lld,"
			   "\"from_ms\":%lld,\"to_ms\":%lld,\"start_ms\":%lld,\"end_ms\":%lld,"
			   "\"items\":%llu,\"token\":",
			   first ? "" : ",", e->arn, names[e->status], e->full ? "true" : "false",
			   (long long)e->at_ms, (long long)e->from_ms, (long long)e->to_ms,
			   (long long)e->start_ms, (long long)e->end_ms,
			   (unsigned long long)e->items);
		buf_json_text(c->out, str_of(e->token));
		buf_text(c->out, ",\"prefix\":");
		buf_json_text(c->out, str_of(e->prefix ? e->prefix : ""));
		buf_text(c->out, "}");
		first = false;
	}
	buf_text(c->out, "]}");
	return true;
}

static const struct verb {
	const char *name;
	bool (*fn)(struct control *c, struct error *err);
	bool table; /* needs "table" */
} verbs[] = {
	{ "table", control_table, false },    { "drop", control_drop, true },
	{ "put", control_put, true },         { "delete", control_delete, true },
	{ "append", control_append, true },   { "split", control_split, true },
	{ "rotate", control_rotate, true },   { "close", control_close, true },
	{ "trim", control_trim, true },       { "disable", control_disable, true },
	{ "enable", control_enable, true },   { "advance", control_advance, false },
	{ "date", control_date, false },      { "fault", control_fault, false },
	{ "faults", control_faults, false },  { "clear", control_clear, false },
	{ "stats", control_stats, false },    { "reset", control_reset, false },
	{ "shards", control_shards, true },   { "truth", control_truth, true },
	{ "exports", control_exports, true },
};

static bool control_run(struct world *w, const struct verb *verb, const json_t *request,
			struct buf *out, struct error *err)
{
	struct control c = { .world = w, .request = request, .out = out };
	const char *name = text(&c, "table");

	if (verb->table) {
		c.table = name ? world_table(w, name) : NULL;
		if (!c.table)
			return error_set(err, ERROR_NOT_FOUND, "no table \"%s\"", name ? name : "");
	}
	return verb->fn(&c, err);
}

/* ?table=NAME as the member of a request without a body. */
static json_t *request_json(const struct http_request *request, struct str query)
{
	static const char table[] = "table=";

	if (request->body.n)
		return json_loadb(request->body.p, request->body.n, 0, NULL);
	if (query.n > sizeof(table) - 1 && memcmp(query.p, table, sizeof(table) - 1) == 0)
		return json_pack("{ss%}", "table", query.p + sizeof(table) - 1,
				 query.n - sizeof(table) + 1);
	return json_object();
}

void control_answer(struct world *w, const struct http_request *request, struct reply *reply)
{
	const size_t prefix = strlen("/_control/");
	struct str path = { request->target.p + prefix, request->target.n - prefix };
	const char *mark = memchr(path.p, '?', path.n);
	struct str query = { "", 0 };
	json_t *body;
	struct error err = { .kind = ERROR_NONE };
	const struct verb *verb = NULL;

	if (mark) {
		query = (struct str){ mark + 1, path.n - (size_t)(mark + 1 - path.p) };
		path.n = (size_t)(mark - path.p);
	}
	body = request_json(request, query);
	reply->control = true;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (str_equal(path, str_of(verbs[i].name)))
			verb = &verbs[i];
	pthread_mutex_lock(&w->lock);
	world_turn(w);
	if (!verb)
		error_set(&err, ERROR_NOT_FOUND, "no such control call");
	else if (!json_is_object(body))
		error_set(&err, ERROR_INVALID, "the body is no JSON object");
	else
		(void)!control_run(w, verb, body, reply->body, &err);
	pthread_mutex_unlock(&w->lock);
	json_decref(body);
	if (err.kind == ERROR_NONE)
		return;
	reply->status = 400;
	buf_clear(reply->body);
	buf_text(reply->body, "{\"error\":");
	buf_json_text(reply->body, str_of(err.message));
	buf_text(reply->body, "}");
}
