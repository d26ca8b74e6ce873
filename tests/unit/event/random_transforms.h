#pragma once
/* Random items in DynamoDB's JSON, and random transforms of them. */
#include <jansson.h>

#include "base/rng.h"
#include "tests/unit/event/transform_solver.h"

#define PICK(r, list) (list)[rng_below((r), sizeof(list) / sizeof((list)[0]))]

static const char *const names[] = { "a", "b", "c", "d", "a_a", "a_s", "b_c" };
static const char *const texts[] = { "",
				     "x",
				     "true",
				     "17",
				     "\xc3\xa9t\xc3\xa9",
				     "q\"\\\n",
				     "[1,{\"a\":2}]",
				     "{\"b\":null}",
				     "4000123412341234" };
static const char *const numbers[] = { "0", "1", "17", "-5", "12345" };

static json_t *random_map(struct rng *r, unsigned depth);

static json_t *random_value(struct rng *r, unsigned depth)
{
	json_t *list = json_array();

	switch (rng_below(r, depth > 2 ? 8 : 12)) {
	case 0:
	case 1:
	case 2:
		json_decref(list);
		return typed("S", json_string(PICK(r, texts)));
	case 3:
		json_decref(list);
		return typed("N", json_string(PICK(r, numbers)));
	case 4:
		json_decref(list);
		return typed("B", json_string(rng_below(r, 2) ? "q83v" : "qw=="));
	case 5:
		json_decref(list);
		return rng_below(r, 2) ? typed("BOOL", json_boolean(rng_below(r, 2)))
				       : typed("NULL", json_true());
	case 6:
		json_array_append_new(list, json_string("x"));
		json_array_append_new(list, json_string(PICK(r, texts)));
		return typed("SS", list);
	case 7:
		json_array_append_new(list, json_string(PICK(r, numbers)));
		json_array_append_new(list, json_string("77"));
		return typed("NS", list);
	case 8:
	case 9:
		json_decref(list);
		return typed("M", random_map(r, depth + 1));
	default:
		for (uint64_t n = rng_below(r, 4); n > 0; n--)
			json_array_append_new(list, random_value(r, depth + 1));
		return typed("L", list);
	}
}

static json_t *random_map(struct rng *r, unsigned depth)
{
	json_t *map = json_object();

	for (uint64_t n = rng_below(r, 5); n > 0; n--)
		json_object_set_new(map, PICK(r, names), random_value(r, depth));
	return map;
}

static json_t *random_item(struct rng *r)
{
	json_t *item = json_pack("{s:{s:s},s:{s:s}}", "pk", "S", "a", "sk", "N", "1");

	for (uint64_t n = rng_below(r, 7); n > 0; n--)
		json_object_set_new(item, PICK(r, names), random_value(r, 0));
	return item;
}

static const char *const paths[] = { "a",      "b",    "c",    "d",      "a.a",    "a.b",
				     "b.c.a",  "a[0]", "b[1]", "a[*]",   "a[*].b", "c.d[0]",
				     "b[0].a", "a_s",  "none", "c[*][0]" };
static const char *const places[] = { "a", "b", "d", "a.b", "c.x.y", "new", "b.c" };
static const char *const templates[] = { "",
					 "t",
					 "${attribute:a}",
					 "${attribute:b.c}",
					 "<${attribute:a}|${attribute:d:-none}>",
					 "${attribute:a[0]:-z}",
					 "${attribute:c} ${attribute:b}" };

static json_t *random_pairs(struct rng *r, const char *kind)
{
	static const char *const types[] = { "string", "number", "bool" };
	json_t *pairs = json_object();
	const char *path = PICK(r, paths);

	if (strcmp(kind, "cast") == 0)
		json_object_set_new(pairs, path, json_string(PICK(r, types)));
	else if (strcmp(kind, "truncate") == 0)
		json_object_set_new(pairs, path, json_integer((json_int_t)rng_below(r, 3) + 1));
	else if (strcmp(kind, "rename") == 0)
		json_object_set_new(pairs, path, json_string(PICK(r, names)));
	else if (strcmp(kind, "move") == 0)
		json_object_set_new(pairs, path, json_string(PICK(r, places)));
	else
		json_object_set_new(pairs, PICK(r, places),
				    rng_below(r, 4)   ? json_string(PICK(r, templates))
				    : rng_below(r, 2) ? json_integer(12)
						      : json_null());
	return pairs;
}

static inline json_t *random_definition(struct rng *r)
{
	static const char *const kinds[] = {
		"keep", "drop", "rename",   "move",    "set",   "cast",
		"mask", "hash", "truncate", "flatten", "parse", "split"
	};
	static const char *const fails[] = { "keep", "null", "drop" };
	const char *kind = PICK(r, kinds);
	json_t *d = json_object(), *list = json_array(), *of;
	bool values = !strcmp(kind, "cast") || !strcmp(kind, "parse");

	for (uint64_t n = rng_below(r, 3) + 1; n > 0; n--)
		json_array_append_new(list, json_string(PICK(r, paths)));
	if (!strcmp(kind, "hash")) {
		of = json_pack("{s:o,s:s}", "paths", list, "key", SECRET);
	} else if (!strcmp(kind, "mask")) {
		of = json_pack("{s:o,s:s,s:i,s:i}", "paths", list, "with", "*", "keep_first",
			       (int)rng_below(r, 2), "keep_last", (int)rng_below(r, 3));
	} else if (!strcmp(kind, "flatten") || !strcmp(kind, "split")) {
		of = json_pack("{s:o,s:s}", "paths", list, "separator", "_");
	} else if (!strcmp(kind, "keep") || !strcmp(kind, "drop") || !strcmp(kind, "parse")) {
		of = list;
	} else {
		json_decref(list);
		of = random_pairs(r, kind);
	}
	json_object_set_new(d, kind, of);
	if (values && rng_below(r, 4))
		json_object_set_new(d, "on_fail", json_string(PICK(r, fails)));
	if (strstr("move set flatten split", kind) && rng_below(r, 4))
		json_object_set_new(d, "on_fail", json_string("keep"));
	return d;
}
