#include "tests/emulator/item.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define SEQUENCE_MARK "@SEQUENCE@"

/* The attributes of the primary key out of an item; NULL where they are missing. */
static json_t *key_of(const struct table *t, const json_t *item, struct error *err)
{
	const struct key_attribute *attributes[] = { &t->spec.hash, &t->spec.range };
	json_t *key = json_object();

	for (int i = 0; i < 2; i++) {
		const struct key_attribute *a = attributes[i];
		char type[2] = { a->type, '\0' };
		json_t *value = json_object_get(item, a->name);

		if (!a->name[0])
			continue;
		if (!json_is_string(json_object_get(value, type))) {
			error_set(err, ERROR_INVALID,
				  "table %s: the item lacks its key \"%s\" of type %s",
				  t->spec.name, a->name, type);
			json_decref(key);
			return NULL;
		}
		json_object_set(key, a->name, value);
	}
	return key;
}

/* The key as Sluice writes it for Kafka: {"pk":"a","sk":1}. */
static void key_text(struct buf *out, const struct table *t, const json_t *key)
{
	const struct key_attribute *attributes[] = { &t->spec.hash, &t->spec.range };

	for (int i = 0; i < 2; i++) {
		const struct key_attribute *a = attributes[i];
		char type[2] = { a->type, '\0' };
		const char *value =
			json_string_value(json_object_get(json_object_get(key, a->name), type));

		if (!a->name[0])
			continue;
		buf_text(out, i ? "," : "{");
		buf_json_text(out, str_of(a->name));
		buf_text(out, ":");
		if (a->type == 'N')
			buf_text(out, value);
		else
			buf_json_text(out, str_of(value));
	}
	buf_text(out, "}");
}

static void add_json(struct buf *out, const char *name, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);

	buf_printf(out, ",\"%s\":", name);
	buf_text(out, text);
	free(text);
}

static void record_text(struct buf *out, const struct table *t, const struct stream *s,
			const json_t *key, const json_t *old, const json_t *new_image, bool ttl,
			int64_t created_ms, uint64_t id)
{
	enum view view = s->view;

	buf_printf(out,
		   "{\"eventID\":\"%016llx%016llx\",\"eventName\":\"%s\",\"eventVersion\":\"1.1\","
		   "\"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"%s\",\"dynamodb\":{"
		   "\"ApproximateCreationDateTime\":%lld",
		   (unsigned long long)generate_mix(t->spec.seed, id, 21),
		   (unsigned long long)generate_mix(t->spec.seed, id, 22),
		   !new_image ? "REMOVE"
		   : old      ? "MODIFY"
			      : "INSERT",
		   WORLD_REGION, (long long)(created_ms / 1000));
	add_json(out, "Keys", key);
	if (new_image && (view == VIEW_NEW_IMAGE || view == VIEW_NEW_AND_OLD_IMAGES))
		add_json(out, "NewImage", new_image);
	if (old && (view == VIEW_OLD_IMAGE || view == VIEW_NEW_AND_OLD_IMAGES))
		add_json(out, "OldImage", old);
	buf_printf(out,
		   ",\"SequenceNumber\":\"" SEQUENCE_MARK "\",\"SizeBytes\":%zu,"
		   "\"StreamViewType\":\"%s\"}%s}",
		   out->size / 2, view_name(view),
		   ttl ? ",\"userIdentity\":{\"Type\":\"Service\",\"PrincipalId\":"
			 "\"dynamodb.amazonaws.com\"}"
		       : "");
}

/* What exports of the past are made from. */
static void item_remember(struct table *t, const char *name, json_t *key, const json_t *item,
			  int64_t at_ms)
{
	t->versions = memory_room(t->versions, t->version_count, sizeof(t->versions[0]));
	t->versions[t->version_count++] =
		(struct item_version){ .at_ms = at_ms,
				       .key = memory_text(name),
				       .keys = json_incref(key),
				       .item = item ? json_deep_copy(item) : NULL };
}

/* `item` NULL: the key's item goes. */
static bool item_change(struct table *t, json_t *key, const json_t *item, bool ttl,
			int64_t created_ms, struct item_place *place, struct error *err)
{
	struct stream *s = table_stream(t);
	struct buf name = { 0 }, record = { 0 };
	const json_t *old;
	struct shard *shard = NULL;
	json_int_t n;
	bool good = true;

	key_text(&name, t, key);
	old = json_object_get(t->items, name.data);
	n = json_integer_value(json_object_get(t->counters, name.data));
	*place = (struct item_place){ .changed =
					      item ? !old || !json_equal(old, item) : old != NULL };
	if (created_ms < 0)
		created_ms = world_now_ms(t->world);
	if (place->changed && s && !s->disabled) {
		shard = stream_route(s, name.data);
		if (shard)
			record_text(&record, t, s, key, old, item, ttl, created_ms,
				    rng_next(&t->world->rng));
		good = shard ? item_append(shard, buf_str(&record), created_ms, place, err)
			     : error_set(err, ERROR_INVALID, "table %s: the shard of %s is closed",
					 t->spec.name, name.data);
	}
	if (good && place->changed) {
		item_remember(t, name.data, key, item, created_ms);
		json_object_set_new(t->counters, name.data, json_integer(n + 1));
		if (item)
			json_object_set_new(t->items, name.data, json_deep_copy(item));
		else
			json_object_del(t->items, name.data);
	}
	buf_release(&record);
	buf_release(&name);
	return good;
}

bool item_put(struct table *t, const json_t *item, int64_t created_ms, struct item_place *place,
	      struct error *err)
{
	json_t *key = key_of(t, item, err);
	bool good = key && item_change(t, key, item, false, created_ms, place, err);

	json_decref(key);
	return good;
}

bool item_delete(struct table *t, const json_t *key, bool ttl, int64_t created_ms,
		 struct item_place *place, struct error *err)
{
	json_t *own = key_of(t, key, err);
	bool good = own && item_change(t, own, NULL, ttl, created_ms, place, err);

	json_decref(own);
	return good;
}

bool item_append(struct shard *s, struct str record, int64_t created_ms, struct item_place *place,
		 struct error *err)
{
	int64_t now_ms = world_now_ms(s->stream->table->world);
	struct buf text = { 0 };
	const char *mark;
	bool fits = true;

	if (s->closed || s->firehose)
		return error_set(err, ERROR_INVALID, "shard %s takes no record: it is %s", s->id,
				 s->closed ? "closed" : "a firehose");
	*place = (struct item_place){ .shard = s, .changed = true };
	sequence_number_text(shard_sequence(s, shard_count(s, now_ms)), place->sequence);
	while ((mark = memmem(record.p, record.n, SEQUENCE_MARK, sizeof(SEQUENCE_MARK) - 1))) {
		size_t before = (size_t)(mark - record.p),
		       used = before + sizeof(SEQUENCE_MARK) - 1;

		fits = fits && buf_add(&text, record.p, before);
		buf_text(&text, place->sequence);
		record = (struct str){ record.p + used, record.n - used };
	}
	fits = fits && buf_add(&text, record.p, record.n);
	if (fits)
		shard_put(s, now_ms, created_ms < 0 ? now_ms : created_ms, text.data, text.size);
	buf_release(&text);
	return fits || error_set(err, ERROR_INVALID, "a record of more than 64 MiB");
}
