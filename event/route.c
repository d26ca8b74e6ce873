#include "event/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/memory.h"
#include "event/attribute.h"
#include "event/number.h"
#include "event/transform_internal.h"

struct value {
	enum route_kind kind;
	const char *text; /* of the path */
	struct str *names;
	size_t count;
};
struct route {
	struct transform *names; /* of paths; has no steps */
	size_t count;
	bool timed;
	struct value values[ROUTE_VALUES_MAX];
};

struct route *route_new(void)
{
	struct route *r = memory_new(sizeof(*r));

	r->names = memory_new(sizeof(*r->names));
	arena_init(&r->names->arena);
	return r;
}

void route_free(struct route *r)
{
	if (!r)
		return;
	transform_free(r->names);
	free(r);
}

/* As a text of `set` has it. */
static bool has_default(struct str path)
{
	for (size_t i = 0; i + 1 < path.n; i++)
		if (path.p[i] == ':' && path.p[i + 1] == '-' && (i == 0 || path.p[i - 1] != '\\'))
			return true;
	return false;
}

static bool read_path(struct route *r, struct str path, struct value *v, struct error *err)
{
	struct definer d = { .transform = r->names, .what = "placeholder", .err = err };
	struct arena *arena = &r->names->arena;
	struct transform_path p;

	if (has_default(path))
		return error_set(
			err, ERROR_INVALID,
			"${attribute:%.*s}: has no default here, `missing` says what stands "
			"for it: ${attribute:address.town}; \\: is a : in a name",
			SHORT(path));
	if (!path_parse(&d, path, path.p, &p))
		return error_wrap(err, "${attribute:%.*s}", SHORT(path));
	if (path_has(&p, PART_ALL) || path_has(&p, PART_INDEX))
		return error_set(err, ERROR_INVALID,
				 "${attribute:%.*s}: expected names with dots between, such as "
				 "${attribute:address.town}; \\[ is one in a name",
				 SHORT(path));
	v->text = p.text;
	v->count = p.count;
	v->names = arena_alloc(arena, p.count * sizeof(v->names[0]));
	for (size_t i = 0; i < p.count; i++) {
		char *o = arena_alloc(arena, p.parts[i].name.n + 1);

		v->names[i] = (struct str){ o, scan_unescape(p.parts[i].name, o) };
	}
	return true;
}

bool route_add(struct route *r, enum route_kind kind, struct str path, unsigned *place,
	       struct error *err)
{
	struct value *v = &r->values[r->count];

	if (r->count == ROUTE_VALUES_MAX)
		return error_set(err, ERROR_INVALID, "over %d placeholders of the event",
				 ROUTE_VALUES_MAX);
	v->kind = kind;
	if (kind == ROUTE_ATTRIBUTE && !read_path(r, path, v, err))
		return false;
	r->timed |= kind >= ROUTE_YEAR;
	*place = (unsigned)r->count++;
	return true;
}

size_t route_values(const struct route *r)
{
	return r->count;
}

/* ---- at work ---- */

#define SLOTS_FIRST 64
#define MISSING     SIZE_MAX

struct router {
	const struct route *route;
	struct arena arena; /* of places */
	struct str *values; /* of all places */
	uint64_t *hashes;
	size_t count, capacity;
	uint32_t *slots; /* by hash: place + 1, 0: free */
	size_t slot_count;
	uint32_t last; /* the place of the record before */
	int64_t minute;
	struct tm tm; /* of it */
	/* Of the record in work. */
	struct buf text;
	size_t ends[ROUTE_VALUES_MAX]; /* of its values in the text */
	bool missing[ROUTE_VALUES_MAX];
	char fault[160];
};

struct router *router_new(const struct route *r)
{
	struct router *x = memory_new(sizeof(*x));

	x->route = r;
	arena_init(&x->arena);
	x->slot_count = SLOTS_FIRST;
	x->slots = memory_array(x->slot_count, sizeof(x->slots[0]));
	x->minute = INT64_MIN;
	buf_init(&x->text, 0);
	buf_text(&x->text, " "); /* so that it has memory */
	return x;
}

void router_free(struct router *x)
{
	if (!x)
		return;
	arena_release(&x->arena);
	buf_release(&x->text);
	free(x->values);
	free(x->hashes);
	free(x->slots);
	free(x);
}

static bool put(struct router *x, const char *p, size_t n)
{
	return buf_add(&x->text, p, n);
}

/* Unescaped. */
static bool put_text(struct router *x, struct str raw)
{
	char *said;
	bool ok;

	if (LIKELY(!memchr(raw.p, '\\', raw.n)))
		return put(x, raw.p, raw.n);
	said = memory_new(raw.n);
	ok = put(x, said, scan_unescape(raw, said));
	free(said);
	return ok;
}

/* False: it is missing. */
static bool put_attribute(struct router *x, const struct value *v, struct attributes item)
{
	char digits[NUMBER_CANONICAL_MAX + SCAN_PADDING];
	struct attribute a;
	struct span end;

	if (!attribute_find(item, v->names, v->count, &a))
		return false;
	switch (a.type) {
	case TREE_S:
		return put_text(x, attribute_body(&a));
	case TREE_B:
		return put(x, attribute_body(&a).p, attribute_body(&a).n);
	case TREE_N:
		end = number_canonical(a.inside + 1, digits);
		return end.in && put(x, digits, (size_t)(end.out - digits));
	case TREE_BOOL:
		return *a.inside == 't' ? put(x, "true", 4) : put(x, "false", 5);
	default:
		return false;
	}
}

static bool put_time(struct router *x, enum route_kind kind)
{
	const struct tm *t = &x->tm;
	char text[16];
	int n = kind == ROUTE_YEAR    ? snprintf(text, sizeof(text), "%04d", t->tm_year + 1900)
		: kind == ROUTE_MONTH ? snprintf(text, sizeof(text), "%02d", t->tm_mon + 1)
		: kind == ROUTE_DAY   ? snprintf(text, sizeof(text), "%02d", t->tm_mday)
		: kind == ROUTE_HOUR  ? snprintf(text, sizeof(text), "%02d", t->tm_hour)
				      : snprintf(text, sizeof(text), "%02d", t->tm_min);

	return put(x, text, (size_t)n);
}

static void read_values(struct router *x, const struct record *r, struct str schema)
{
	struct attributes item = attributes_of(r, true);
	char op = event_op_letter(r->op);

	buf_clear(&x->text);
	if (x->route->timed && x->minute != r->time_ms / 60000) {
		time_t seconds = (time_t)(r->time_ms / 1000);

		x->minute = r->time_ms / 60000;
		gmtime_r(&seconds, &x->tm);
	}
	for (size_t i = 0; i < x->route->count; i++) {
		const struct value *v = &x->route->values[i];
		bool there;

		if (v->kind == ROUTE_OP)
			there = put(x, &op, 1);
		else if (v->kind == ROUTE_SCHEMA)
			there = schema.n > 0 && put(x, schema.p, schema.n);
		else if (v->kind == ROUTE_ATTRIBUTE)
			there = put_attribute(x, v, item);
		else
			there = put_time(x, v->kind);
		x->ends[i] = x->text.size;
		x->missing[i] = !there;
	}
}

static uint64_t hash_values(const struct router *x)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < x->text.size; i++)
		hash = (hash ^ (unsigned char)x->text.data[i]) * 1099511628211u;
	for (size_t i = 0; i < x->route->count; i++)
		hash = (hash ^ (x->missing[i] ? MISSING : x->ends[i])) * 1099511628211u;
	return hash;
}

static bool is_place(const struct router *x, uint32_t place)
{
	const struct str *v = &x->values[place * x->route->count];
	size_t from = 0;

	for (size_t i = 0; i < x->route->count; from = x->ends[i++])
		if (x->missing[i] ? v[i].p != NULL
				  : !v[i].p || v[i].n != x->ends[i] - from ||
					    memcmp(v[i].p, x->text.data + from, v[i].n) != 0)
			return false;
	return true;
}

static void slots_grow(struct router *x)
{
	free(x->slots);
	x->slot_count *= 2;
	x->slots = memory_array(x->slot_count, sizeof(x->slots[0]));
	for (size_t i = 0; i < x->count; i++) {
		size_t at = x->hashes[i] & (x->slot_count - 1);

		while (x->slots[at])
			at = (at + 1) & (x->slot_count - 1);
		x->slots[at] = (uint32_t)i + 1;
	}
}

static uint32_t place_add(struct router *x, uint64_t hash)
{
	size_t n = x->route->count, from = 0;
	char *text = arena_alloc(&x->arena, x->text.size + 1);

	if (x->count == x->capacity) {
		x->capacity = x->capacity ? 2 * x->capacity : 16;
		x->values = memory_resize(x->values, x->capacity * n * sizeof(x->values[0]));
		x->hashes = memory_resize(x->hashes, x->capacity * sizeof(x->hashes[0]));
	}
	if (x->text.size)
		memcpy(text, x->text.data, x->text.size);
	for (size_t i = 0; i < n; from = x->ends[i++])
		x->values[x->count * n + i] =
			x->missing[i] ? (struct str){ 0 }
				      : (struct str){ text + from, x->ends[i] - from };
	x->hashes[x->count] = hash;
	return (uint32_t)x->count++;
}

static uint32_t place_find(struct router *x)
{
	uint64_t hash;
	size_t at;

	if (x->count > 0 && is_place(x, x->last))
		return x->last;
	hash = hash_values(x);
	for (at = hash & (x->slot_count - 1); x->slots[at]; at = (at + 1) & (x->slot_count - 1))
		if (x->hashes[x->slots[at] - 1] == hash && is_place(x, x->slots[at] - 1))
			return x->slots[at] - 1;
	x->slots[at] = place_add(x, hash) + 1;
	if (2 * x->count > x->slot_count)
		slots_grow(x);
	return (uint32_t)x->count - 1;
}

bool router_place(struct router *x, const struct record *r, struct str schema, bool required,
		  uint32_t *place, const char **fault)
{
	read_values(x, r, schema);
	for (size_t i = 0; required && i < x->route->count; i++) {
		const struct value *v = &x->route->values[i];

		if (!x->missing[i])
			continue;
		if (v->kind == ROUTE_ATTRIBUTE)
			snprintf(x->fault, sizeof(x->fault),
				 "there is no %s that says where it goes (missing: dead_letter)",
				 v->text);
		else
			snprintf(x->fault, sizeof(x->fault),
				 "it has no schema, which says where it goes (missing: "
				 "dead_letter)");
		*fault = x->fault;
		return false;
	}
	*place = x->last = place_find(x);
	return true;
}

void router_places(const struct router *x, struct arena *arena, struct batch_route *out)
{
	size_t n = x->route->count;
	struct str *values = arena_alloc(arena, (x->count * n + 1) * sizeof(*values));

	for (size_t i = 0; i < x->count * n; i++) {
		char *text = x->values[i].p ? arena_alloc(arena, x->values[i].n + 1) : NULL;

		if (text && x->values[i].n)
			memcpy(text, x->values[i].p, x->values[i].n);
		values[i] = (struct str){ text, x->values[i].n };
	}
	out->places = x->count;
	out->values = n;
	out->values_of = values;
}
