#include "tests/emulator/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "tests/emulator/exporter.h"
#include "tests/emulator/firehose.h"

/* 21 digits at first, 22 some records later: text order and number order differ. */
#define SEQUENCE_FIRST ((sequence_number)999999999999 * 1000000000 + 999995000)
#define SEQUENCE_STEP  37

void world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	pthread_mutex_init(&w->lock, NULL);
	clock_init(&w->clock);
	rng_seed(&w->rng, seed);
	fault_list_init(&w->faults, seed);
}

static void stream_free(struct stream *s)
{
	for (size_t i = 0; i < s->shard_count; i++) {
		shard_release(s->shards[i]);
		free(s->shards[i]);
	}
	firehose_free(s->firehose);
	heap_release(&s->turns);
	free(s->shards);
	free(s->roots);
	free(s);
}

void world_release(struct world *w)
{
	for (size_t i = 0; i < w->table_count; i++) {
		struct table *t = w->tables[i];

		for (size_t k = 0; k < t->stream_count; k++)
			stream_free(t->streams[k]);
		free(t->streams);
		json_decref(t->items);
		json_decref(t->counters);
		for (size_t k = 0; k < t->version_count; k++) {
			free(t->versions[k].key);
			json_decref(t->versions[k].keys);
			json_decref(t->versions[k].item);
		}
		free(t->versions);
		free(t);
	}
	for (size_t i = 0; i < w->export_count; i++)
		export_free(w->exports[i]);
	free(w->exports);
	free(w->tables);
	for (size_t i = 0; i < OPERATIONS_MAX; i++)
		json_decref(w->operations[i].errors);
	fault_list_release(&w->faults);
	pthread_mutex_destroy(&w->lock);
}

static int64_t table_now_ms(const struct table *t)
{
	return world_now_ms(t->world);
}

static void shard_name(struct shard *s)
{
	uint64_t h = generate_mix(s->stream->table->spec.seed, s->number, (uint64_t)s->created_ms);

	snprintf(s->id, sizeof(s->id), "shardId-%020lld-%08x", (long long)s->created_ms,
		 (unsigned)h);
}

/* How long the shard lives: about as long as the table says. A quarter more or less, so that not
 * all turn at one moment for ever. */
static void stream_time(struct stream *st, const struct shard *s)
{
	const struct table_spec *spec = &st->table->spec;
	uint64_t life_ms = spec->split_ms ? spec->split_ms : spec->rotate_ms;

	if (life_ms == 0)
		return;
	heap_resize(&st->turns, st->shard_capacity);
	life_ms += generate_mix(spec->seed, s->number, 13) % (life_ms / 2 + 1) - life_ms / 4;
	heap_set(&st->turns, s->number, s->born_ms + (int64_t)life_ms);
}

static struct shard *stream_add_shard(struct stream *st, struct shard *parent, int64_t created_ms)
{
	struct shard *s = memory_new(sizeof(*s));
	int64_t born_ms;

	if (st->shard_count == st->shard_capacity) {
		st->shard_capacity = st->shard_capacity ? st->shard_capacity * 2 : 16;
		st->shards = memory_resize(st->shards, st->shard_capacity * sizeof(s));
	}
	born_ms = created_ms;
	if (created_ms <= st->last_shard_ms)
		created_ms = st->last_shard_ms + 1;
	st->last_shard_ms = created_ms;
	s->stream = st;
	s->parent = parent;
	s->born_ms = born_ms;
	s->depth = parent ? parent->depth + 1 : 0;
	s->number = (uint32_t)st->shard_count;
	s->created_ms = created_ms;
	s->first = parent ? shard_end(parent) + 1 : SEQUENCE_FIRST;
	s->step = SEQUENCE_STEP;
	if (parent)
		parent->children[parent->child_count++] = s;
	shard_name(s);
	st->shards[st->shard_count++] = s;
	stream_time(st, s);
	return s;
}

/* The pace of one of `shards` shards that share the table's rate. */
static double table_each_ms(const struct table *t, uint64_t shards)
{
	return t->spec.rate ? 1000.0 * (double)shards / (double)t->spec.rate : 0;
}

/* Takes the parent's pairs that hash to this child, with the counts they had at its end. */
static void shard_inherit(struct shard *s, const struct shard *parent, size_t child, size_t fanout)
{
	uint64_t *ends = memory_array((size_t)parent->pair_count * 2 + 1, sizeof(*ends));

	s->pairs = memory_array((size_t)parent->pair_count + 1, sizeof(s->pairs[0]));
	s->base = memory_array((size_t)parent->pair_count * 2 + 1, sizeof(s->base[0]));
	shard_counters(parent, shard_count(parent, 0), ends);
	for (uint32_t i = 0; i < parent->pair_count; i++) {
		if ((generate_mix(5, parent->pairs[i], 0) >> s->depth) % fanout != child)
			continue;
		s->pairs[s->pair_count] = parent->pairs[i];
		s->base[(size_t)s->pair_count * 2] = ends[(size_t)i * 2];
		s->base[(size_t)s->pair_count * 2 + 1] = ends[(size_t)i * 2 + 1];
		s->pair_count++;
	}
	free(ends);
}

static void shard_produce(struct shard *s, uint64_t records, int64_t from_ms, double each_ms)
{
	s->total = s->pair_count ? records : 0;
	shard_pace(s, from_ms, each_ms);
}

bool shard_divide(struct shard *s, int64_t at_ms, size_t fanout, uint64_t records,
		  struct error *err)
{
	int64_t jumped_ms = s->stream->table->world->jumped_ms;
	double each_ms = s->pace_count ? s->paces[s->pace_count - 1].each_ms : 0;
	uint64_t total = s->total;

	if (s->closed)
		return error_set(err, ERROR_INVALID, "shard %s is closed already", s->id);
	if (fanout > SHARD_CHILDREN_MAX || s->stream->shard_count + fanout > SHARD_LIMIT)
		return error_set(err, ERROR_INVALID, "shard %s: too many shards", s->id);
	shard_close(s, at_ms);
	if (records == RECORDS_LEFT)
		records = fanout ? (total - s->total) / fanout : 0;
	for (size_t i = 0; i < fanout; i++) {
		struct shard *child = stream_add_shard(s->stream, s, at_ms);

		shard_inherit(child, s, i, fanout);
		/* Nothing is made in the time that was jumped over. */
		shard_produce(child, records, at_ms > jumped_ms ? at_ms : jumped_ms,
			      each_ms * (double)fanout);
	}
	return true;
}

static struct shard *stream_add_root(struct stream *st, int64_t created_ms)
{
	struct shard *s = stream_add_shard(st, NULL, created_ms);

	st->roots = memory_resize(st->roots, (st->root_count + 1) * sizeof(s));
	st->roots[st->root_count++] = s;
	return s;
}

/* A root with the keys that are its own: pairs number·keys/2 and on. */
static void stream_first_root(struct stream *st, size_t i, int64_t created_ms, double each_ms)
{
	const struct table_spec *spec = &st->table->spec;
	struct shard *s = stream_add_root(st, created_ms);

	if (st->firehose) {
		s->firehose = st->firehose;
		s->first = firehose_first(st->firehose);
		s->total = (spec->records + firehose_page_records(st->firehose) - 1) /
			   firehose_page_records(st->firehose);
		s->closed = spec->closed;
		return;
	}
	s->pair_count = (uint32_t)(spec->keys / 2);
	s->pairs = memory_array(s->pair_count, sizeof(s->pairs[0]));
	s->base = memory_array((size_t)s->pair_count * 2, sizeof(s->base[0]));
	for (uint32_t k = 0; k < s->pair_count; k++)
		s->pairs[k] = (uint32_t)i * s->pair_count + k;
	shard_produce(s, spec->records, created_ms, each_ms);
}

/* Closes the open shards at `now_ms` and gives each its children, as if time had passed. */
static void stream_next_generation(struct stream *st, int64_t now_ms, double each_ms)
{
	size_t count = st->shard_count;
	const struct table_spec *spec = &st->table->spec;

	for (size_t i = 0; i < count; i++) {
		struct shard *s = st->shards[i];

		if (s->closed)
			continue;
		shard_close(s, now_ms);
		for (size_t k = 0; k < spec->fanout; k++) {
			struct shard *child = stream_add_shard(st, s, now_ms);

			shard_inherit(child, s, k, spec->fanout);
			shard_produce(child, spec->records, child->created_ms, each_ms);
		}
	}
}

/* The roots and, where the table has depth, their descendants up to now. A generation in the past
 * made its records evenly over its hours. */
static void stream_populate(struct stream *st)
{
	const struct table_spec *spec = &st->table->spec;
	int64_t span_ms = (int64_t)spec->hours * 3600 * 1000;
	int64_t at_ms = st->created_ms - span_ms * (int64_t)spec->depth;
	double past_ms = spec->records ? (double)span_ms / (double)(spec->records + 1) : 0;

	for (uint64_t g = 0, count = spec->shards; g <= spec->depth; g++, at_ms += span_ms) {
		double each_ms = g < spec->depth ? past_ms : table_each_ms(st->table, count);

		count *= spec->fanout;
		/* Ids grow by a millisecond each: begin early enough to end by then. */
		if (g > 0)
			stream_next_generation(st, at_ms, each_ms);
		for (uint64_t i = 0; g == 0 && i < spec->shards; i++)
			stream_first_root(st, i, at_ms - (int64_t)(spec->shards - i), each_ms);
	}
	for (size_t i = 0; spec->closed && i < st->shard_count; i++)
		if (!st->shards[i]->closed)
			shard_close(st->shards[i], st->created_ms);
}

/* What is older than the retention goes: records, closed shards with all their data, streams'. */
static void stream_expire(struct stream *st, int64_t horizon_ms)
{
	for (size_t i = 0; i < st->shard_count; i++) {
		struct shard *s = st->shards[i];
		uint64_t count = shard_count(s, horizon_ms + RETENTION_MS);
		uint64_t old = shard_find_time(s, horizon_ms, count);

		if (old > s->trimmed)
			s->trimmed = old;
		if (s->closed && s->trimmed == count && s->closed_ms < horizon_ms)
			s->gone = true;
	}
}

static struct stream *stream_new(struct table *t, enum view view)
{
	struct stream *st = memory_new(sizeof(*st));
	int64_t now_ms = table_now_ms(t);
	char table[ARN_SIZE];

	/* Two streams of one table in the same millisecond would have one ARN. */
	if (t->stream_count && now_ms <= t->streams[t->stream_count - 1]->created_ms)
		now_ms = t->streams[t->stream_count - 1]->created_ms + 1;
	st->table = t;
	st->view = view;
	st->created_ms = now_ms;
	heap_init(&st->turns, 16);
	clock_text(now_ms, st->label);
	st->label[strcspn(st->label, "Z")] = '\0';
	table_arn(t, table);
	if ((size_t)snprintf(st->arn, sizeof(st->arn), "%s/stream/%s", table, st->label) >=
	    ARN_SIZE)
		abort();
	st->generator = (struct generator){ .seed = t->spec.seed,
					    .bytes = t->spec.bytes,
					    .view = view,
					    .milliseconds = t->spec.milliseconds,
					    .hash = &t->spec.hash,
					    .range = &t->spec.range };
	if (t->spec.page)
		st->firehose = firehose_new(t->spec.seed, t->spec.shape, t->spec.page, now_ms);
	t->streams = memory_resize(t->streams, (t->stream_count + 1) * sizeof(st));
	t->streams[t->stream_count++] = st;
	return st;
}

void table_enable(struct table *t, enum view view)
{
	struct stream *old = table_stream(t), *st = stream_new(t, view);

	if (!old || t->spec.page) {
		stream_populate(st);
		stream_expire(st, st->created_ms - RETENTION_MS);
		return;
	}
	for (size_t i = 0; i < old->shard_count; i++) {
		struct shard *s;

		if (old->shards[i]->child_count)
			continue;
		s = stream_add_root(st, st->created_ms);
		shard_inherit(s, old->shards[i], 0, 1);
		shard_produce(s, t->spec.records, st->created_ms, table_each_ms(t, t->spec.shards));
	}
}

void table_disable(struct table *t)
{
	struct stream *st = table_stream(t);

	for (size_t i = 0; i < st->shard_count; i++)
		if (!st->shards[i]->closed)
			shard_close(st->shards[i], table_now_ms(t));
	st->disabled = true;
	st->disabled_ms = table_now_ms(t);
}

bool world_add_table(struct world *w, const struct table_spec *spec, struct error *err)
{
	struct table *t;

	if (world_table(w, spec->name))
		return error_set(err, ERROR_INVALID, "table %s exists already", spec->name);
	t = memory_new(sizeof(*t));
	t->world = w;
	t->spec = *spec;
	t->created_ms = world_now_ms(w);
	t->items = json_object();
	t->counters = json_object();
	t->recovery_days = 35;
	/* Longer than any window reaches back. */
	if (spec->pitr)
		t->recovery_since_ms = t->created_ms - 36 * RETENTION_MS;
	w->tables = memory_resize(w->tables, (w->table_count + 1) * sizeof(t));
	w->tables[w->table_count++] = t;
	if (spec->stream)
		table_enable(t, spec->view);
	return true;
}

void table_arn(const struct table *t, char out[ARN_SIZE])
{
	snprintf(out, ARN_SIZE, "arn:aws:dynamodb:%s:%s:table/%s", WORLD_REGION, WORLD_ACCOUNT,
		 t->spec.name);
}

struct table *world_table(struct world *w, const char *name)
{
	const char *slash = strncmp(name, "arn:", 4) == 0 ? strrchr(name, '/') : NULL;

	name = slash ? slash + 1 : name;
	for (size_t i = 0; i < w->table_count; i++)
		if (!w->tables[i]->deleted && strcmp(w->tables[i]->spec.name, name) == 0)
			return w->tables[i];
	return NULL;
}

struct table *world_table_of(struct world *w, const char *arn)
{
	const char *name = strstr(arn, ":table/");
	size_t n = name ? strcspn(name + 7, "/") : 0;

	for (size_t i = 0; i < w->table_count && n; i++)
		if (!w->tables[i]->deleted && strlen(w->tables[i]->spec.name) == n &&
		    memcmp(w->tables[i]->spec.name, name + 7, n) == 0)
			return w->tables[i];
	return NULL;
}

void table_delete(struct table *t)
{
	const struct stream *s = table_stream(t);

	if (s && !s->disabled)
		table_disable(t);
	t->deleted = true;
}

struct stream *table_stream(const struct table *t)
{
	return t->stream_count ? t->streams[t->stream_count - 1] : NULL;
}

struct stream *world_stream(struct world *w, const char *arn)
{
	for (size_t i = 0; i < w->table_count; i++)
		for (size_t k = 0; k < w->tables[i]->stream_count; k++)
			if (strcmp(w->tables[i]->streams[k]->arn, arn) == 0)
				return w->tables[i]->streams[k];
	return NULL;
}

bool stream_enabling(const struct stream *s)
{
	return !s->disabled &&
	       table_now_ms(s->table) < s->created_ms + (int64_t)s->table->spec.enabling_ms;
}

size_t stream_after(const struct stream *s, const char *after)
{
	size_t low = 0, high = s->shard_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(s->shards[middle]->id, after) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	while (low < s->shard_count && s->shards[low]->gone)
		low++;
	return low;
}

struct shard *stream_shard(const struct stream *s, const char *id)
{
	size_t low = 0, high = s->shard_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(s->shards[middle]->id, id);

		if (order == 0)
			return s->shards[middle]->gone ? NULL : s->shards[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void shard_trim(struct shard *s, uint64_t before)
{
	uint64_t count = shard_count(s, table_now_ms(s->stream->table));

	if (before > s->trimmed)
		s->trimmed = before < count ? before : count;
}

struct shard *stream_route(const struct stream *st, const char *key)
{
	uint64_t h = 14695981039346656037u;
	struct shard *s;

	if (!st->root_count)
		return NULL;
	for (const char *p = key; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211u;
	s = st->roots[generate_mix(h, 1, 0) % st->root_count];
	while (s->child_count) {
		h = generate_mix(h, 2, 0);
		s = s->children[h % s->child_count];
	}
	return s->closed ? NULL : s;
}

static void stream_turn(struct stream *st)
{
	size_t fanout = st->table->spec.split_ms ? 2 : 1;
	int64_t now_ms = table_now_ms(st->table), at_ms;
	struct error err;
	uint32_t number;

	while (!st->disabled && heap_top(&st->turns, &number, &at_ms) && at_ms <= now_ms) {
		heap_remove(&st->turns, number);
		/* Where there are too many they stay as they are. */
		if (!st->shards[number]->closed)
			(void)!shard_divide(st->shards[number], at_ms, fanout, RECORDS_LEFT, &err);
	}
}

void world_turn(struct world *w)
{
	for (size_t i = 0; i < w->table_count; i++)
		if (w->tables[i]->stream_count)
			stream_turn(table_stream(w->tables[i]));
}

void world_advance(struct world *w, int64_t ms)
{
	int64_t before_ms = world_now_ms(w);

	atomic_fetch_add(&w->clock.aws_offset_ms, ms);
	w->jumped_ms = before_ms + ms;
	for (size_t i = 0; i < w->table_count; i++) {
		for (size_t k = 0; k < w->tables[i]->stream_count; k++) {
			struct stream *st = w->tables[i]->streams[k];

			for (size_t n = 0; n < st->shard_count; n++)
				shard_jump(st->shards[n], before_ms, before_ms + ms);
			stream_turn(st);
			stream_expire(st, before_ms + ms - RETENTION_MS);
		}
	}
}
