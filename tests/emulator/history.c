#include "tests/emulator/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define KEYS_MAX     ((uint64_t)20000000)
#define COUNTED_KEYS ((uint64_t)10000)

/* A window, or a moment (from_ms == to_ms). */
struct span {
	const struct table *table;
	int64_t from_ms, to_ms;
};

/* A key at both ends. */
struct ends {
	uint64_t before,
		after; /* changes of a generated one; versions of a hand-made one, from 1 */
	int64_t last_ms;
};

static uint64_t text_hash(const char *key)
{
	uint64_t h = 14695981039346656037u;

	for (const char *p = key; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211u;
	return h;
}

/* Where an export cuts a key's changes at at_ms: the same for every export that does. */
static int64_t cut(const struct table *t, uint64_t key, int64_t at_ms)
{
	uint64_t fuzz = t->spec.fuzz_ms;

	if (!fuzz)
		return at_ms;
	return at_ms +
	       (int64_t)(generate_mix(t->spec.seed ^ (uint64_t)at_ms, key, 31) % (2 * fuzz + 1)) -
	       (int64_t)fuzz;
}

static struct history_file *file_of(const struct table *t, struct history_file *files, uint64_t key)
{
	return &files[generate_mix(t->spec.seed, key, 33) % t->spec.partitions];
}

/* ---- generated keys ---- */

static void shard_note(const struct span *span, const struct shard *s, struct ends *keys)
{
	const struct table *t = span->table;
	int64_t fuzz = (int64_t)t->spec.fuzz_ms;
	uint64_t count = shard_count(s, world_now_ms(t->world));
	uint64_t first = shard_find_past(s, span->from_ms - fuzz, count);
	uint64_t end = shard_find_past(s, span->to_ms + fuzz + 1, count);
	uint64_t *made = memory_array((size_t)s->pair_count * 2 + 1, sizeof(*made));

	/* A shard that was born later begins with what its parent had by then. */
	if (s->born_ms <= span->from_ms - fuzz) {
		shard_counters(s, first, made);
		for (size_t i = 0; i < (size_t)s->pair_count * 2; i++) {
			struct ends *e = &keys[(uint64_t)s->pairs[i / 2] * 2 + i % 2];

			if (made[i] > e->before)
				e->before = made[i];
			if (made[i] > e->after)
				e->after = made[i];
		}
	}
	free(made);
	for (uint64_t i = first; i < end; i++) {
		int64_t at_ms = shard_created_ms(s, i);
		uint64_t key, n;

		if (!shard_change(s, i, &key, &n))
			continue;
		if (at_ms < cut(t, key, span->from_ms) && n > keys[key].before)
			keys[key].before = n;
		if (at_ms < cut(t, key, span->to_ms) && n > keys[key].after) {
			keys[key].after = n;
			keys[key].last_ms = at_ms;
		}
	}
}

static uint64_t key_count(const struct table *t)
{
	return t->spec.keys * t->spec.shards;
}

static struct ends *generated(const struct span *span)
{
	const struct table *t = span->table;
	struct ends *keys = memory_array(key_count(t) + 1, sizeof(*keys));

	for (size_t k = 0; k < t->stream_count; k++)
		for (size_t i = 0; i < t->streams[k]->shard_count; i++)
			shard_note(span, t->streams[k]->shards[i], keys);
	return keys;
}

static void add_time(struct buf *out, int64_t ms, uint64_t key)
{
	buf_printf(out, "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"%lld%03d\"}},\"Keys\":",
		   (long long)ms, (int)(generate_mix(key, (uint64_t)ms, 35) % 1000));
}

/* Nothing where it neither was nor is. */
static void generated_line(struct history_file *f, const struct generator *g, uint64_t key,
			   const struct ends *e, bool old)
{
	bool was = e->before && generate_exists(e->before);
	bool is = e->after && generate_exists(e->after);
	struct buf *out = &f->lines;

	if (e->before == e->after || (!was && !is))
		return;
	add_time(out, e->last_ms, key);
	generate_item_key(out, g, key);
	if (old && was) {
		buf_text(out, ",\"OldImage\":");
		generate_item(out, g, key, e->before, WORLD_REGION);
	}
	if (is) {
		buf_text(out, ",\"NewImage\":");
		generate_item(out, g, key, e->after, WORLD_REGION);
	}
	buf_text(out, "}\n");
	f->items++;
}

/* ---- what was put by hand ---- */

static struct ends *versions(const struct span *span)
{
	const struct table *t = span->table;
	/* Of each version's key; kept at the key's first one. */
	struct ends *all = memory_array(t->version_count + 1, sizeof(*all));
	json_t *firsts = json_object();

	for (size_t i = 0; i < t->version_count; i++) {
		const struct item_version *v = &t->versions[i];
		uint64_t hash = text_hash(v->key);
		json_t *known = json_object_get(firsts, v->key);
		struct ends *e = &all[known ? (size_t)json_integer_value(known) : i];

		if (!known)
			json_object_set_new(firsts, v->key, json_integer((json_int_t)i));
		if (v->at_ms < cut(t, hash, span->from_ms))
			e->before = i + 1;
		if (v->at_ms < cut(t, hash, span->to_ms)) {
			e->after = i + 1;
			e->last_ms = v->at_ms;
		}
	}
	json_decref(firsts);
	return all;
}

static const json_t *version_item(const struct table *t, uint64_t number)
{
	return number ? t->versions[number - 1].item : NULL;
}

static void add_json(struct buf *out, const char *head, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);

	buf_text(out, head);
	buf_text(out, text);
	free(text);
}

static void version_line(const struct table *t, struct history_file *f, size_t i,
			 const struct ends *e, bool old)
{
	const json_t *was = version_item(t, e->before), *is = version_item(t, e->after);
	struct buf *out = &f->lines;

	if (e->before == e->after || (!was && !is))
		return;
	add_time(out, e->last_ms, i);
	add_json(out, "", t->versions[i].keys);
	if (old && was)
		add_json(out, ",\"OldImage\":", was);
	if (is)
		add_json(out, ",\"NewImage\":", is);
	buf_text(out, "}\n");
	f->items++;
}

/* ---- both ---- */

void history_full(const struct table *t, int64_t at_ms, struct history_file *files)
{
	struct span span = { t, at_ms, at_ms };
	struct ends *keys = generated(&span), *hand = versions(&span);
	const struct stream *s = table_stream(t);

	for (uint64_t key = 0; s && key < key_count(t); key++) {
		struct history_file *f = file_of(t, files, key);

		if (!keys[key].after || !generate_exists(keys[key].after))
			continue;
		buf_text(&f->lines, "{\"Item\":");
		generate_item(&f->lines, &s->generator, key, keys[key].after, WORLD_REGION);
		buf_text(&f->lines, "}\n");
		f->items++;
	}
	for (size_t i = 0; i < t->version_count; i++) {
		struct history_file *f = file_of(t, files, text_hash(t->versions[i].key));
		const json_t *item = version_item(t, hand[i].after);

		if (!item)
			continue;
		add_json(&f->lines, "{\"Item\":", item);
		buf_text(&f->lines, "}\n");
		f->items++;
	}
	free(keys);
	free(hand);
}

void history_window(const struct table *t, int64_t from_ms, int64_t to_ms, bool old,
		    struct history_file *files)
{
	struct span span = { t, from_ms, to_ms };
	struct ends *keys = generated(&span), *hand = versions(&span);
	const struct stream *s = table_stream(t);

	for (uint64_t key = 0; s && key < key_count(t); key++)
		generated_line(file_of(t, files, key), &s->generator, key, &keys[key], old);
	for (size_t i = 0; i < t->version_count; i++)
		version_line(t, file_of(t, files, text_hash(t->versions[i].key)), i, &hand[i], old);
	free(keys);
	free(hand);
}

void history_size(const struct table *t, uint64_t *items, uint64_t *bytes)
{
	const size_t wrapping = strlen("{\"Item\":}\n");
	struct history_file *files;

	*items = *bytes = 0;
	if (!history_known(t) || key_count(t) > COUNTED_KEYS)
		return;
	files = memory_array(t->spec.partitions, sizeof(*files));
	for (size_t i = 0; i < t->spec.partitions; i++)
		buf_init(&files[i].lines, 0);
	history_full(t, world_now_ms(t->world), files);
	for (size_t i = 0; i < t->spec.partitions; i++) {
		*items += files[i].items;
		*bytes += files[i].lines.size - files[i].items * wrapping;
		buf_release(&files[i].lines);
	}
	free(files);
}

bool history_known(const struct table *t)
{
	return !t->spec.page && key_count(t) <= KEYS_MAX;
}
