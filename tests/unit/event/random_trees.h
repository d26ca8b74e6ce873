#pragma once
/* Random records and patterns, as filter_solver.h has trees, and their texts. */
#include <ctype.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"

/* --- random trees --- */

#define PICK(r, list) (list)[rng_below((r), sizeof(list) / sizeof((list)[0]))]

static const char *const texts[] = { "x", "X", "xy", "yx", "é", "É", "aé", "\"q\\\n", "" };
static const char *const numbers[] = { "1",
				       "1.0",
				       "-2",
				       "10",
				       "0.5",
				       "5e-1",
				       "1E1",
				       "0",
				       "-0",
				       "1E-130",
				       "99999999999999999999999999999999999999",
				       "99999999999999999999999999999999999998",
				       "9.9E+125" };
static const char *const names[] = { "a", "b", "S", "é\"" };
static const char *const types[] = {
	"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "S", "N"
};

static inline json_t *object1(const char *key, json_t *v)
{
	json_t *o = json_object();

	json_object_set_new(o, key, v);
	return o;
}

static inline json_t *strings(struct rng *r, bool number)
{
	json_t *list = json_array();

	for (uint64_t n = rng_below(r, 3) + 1; n > 0; n--)
		json_array_append_new(list,
				      json_string(number ? PICK(r, numbers) : PICK(r, texts)));
	return list;
}

static inline json_t *random_item(struct rng *r, unsigned depth);

static inline json_t *random_value(struct rng *r, unsigned depth)
{
	const char *type = PICK(r, types);
	json_t *v = NULL;

	if (depth > 2 && (*type == 'M' || *type == 'L'))
		type = "S";
	if (strcmp(type, "S") == 0)
		v = json_string(PICK(r, texts));
	else if (strcmp(type, "N") == 0)
		v = json_string(PICK(r, numbers));
	else if (strcmp(type, "B") == 0)
		v = json_string("q83v");
	else if (strcmp(type, "BOOL") == 0)
		v = json_boolean(rng_below(r, 2));
	else if (strcmp(type, "NULL") == 0)
		v = json_true();
	else if (strcmp(type, "M") == 0)
		v = random_item(r, depth + 1);
	else if (type[1] == 'S')
		v = strings(r, *type == 'N');
	else
		v = json_array();
	if (strcmp(type, "L") == 0)
		for (uint64_t n = rng_below(r, 4); n > 0; n--)
			json_array_append_new(v, random_value(r, depth + 1));
	return object1(type, v);
}

static inline json_t *random_item(struct rng *r, unsigned depth)
{
	json_t *item = json_object();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (rng_below(r, 3))
			json_object_set_new(item, names[i], random_value(r, depth));
	return item;
}

static inline json_t *random_record(struct rng *r)
{
	static const char *const events[] = { "INSERT", "MODIFY", "REMOVE" };
	static const char *const sizes[] = { "#7", "#10", "#1.0e1", "#-0" };
	json_t *record = object1("eventName", json_string(PICK(r, events)));
	json_t *change = object1("Keys", random_item(r, 3)), *identity;

	json_object_set_new(change, "SizeBytes",
			    rng_below(r, 8) ? json_string(PICK(r, sizes)) : json_null());
	if (rng_below(r, 3))
		json_object_set_new(change, "NewImage", random_item(r, 0));
	if (rng_below(r, 3))
		json_object_set_new(change, "OldImage", random_item(r, 0));
	if (rng_below(r, 3) == 0) {
		identity = object1(rng_below(r, 2) ? "Type" : "type", json_string("Service"));
		json_object_set_new(identity, rng_below(r, 2) ? "PrincipalId" : "principalId",
				    json_string("x"));
		json_object_set_new(record, "userIdentity", identity);
	}
	if (rng_below(r, 4) == 0)
		json_object_set_new(record, "eventSourceARN", json_string("x"));
	json_object_set_new(record, "dynamodb", change);
	if (rng_below(r, 2))
		json_object_set_new(record, "eventID", json_string(PICK(r, texts)));
	return record;
}

static inline json_t *hashed(struct rng *r)
{
	char text[64];

	snprintf(text, sizeof(text), "#%s", PICK(r, numbers));
	return json_string(text);
}

static inline json_t *random_numeric(struct rng *r)
{
	static const char *const lows[] = { ">", ">=" }, *const highs[] = { "<", "<=" };
	json_t *list = json_array();
	uint64_t kind = rng_below(r, 4);

	if (kind == 0)
		json_array_append_new(list, json_string("="));
	if (kind == 1 || kind == 3)
		json_array_append_new(list, json_string(PICK(r, lows)));
	if (kind != 2)
		json_array_append_new(list, hashed(r));
	if (kind >= 2) {
		json_array_append_new(list, json_string(PICK(r, highs)));
		json_array_append_new(list, hashed(r));
	}
	return object1("numeric", list);
}

static inline json_t *some_of(struct rng *r, json_t *one(struct rng *r))
{
	json_t *list;

	if (rng_below(r, 2))
		return one(r);
	list = json_array();
	for (uint64_t n = rng_below(r, 3) + 1; n > 0; n--)
		json_array_append_new(list, one(r));
	return list;
}

static inline json_t *random_text(struct rng *r)
{
	return json_string(PICK(r, texts));
}

/* Not empty: every text begins with that. */
static inline json_t *random_word(struct rng *r)
{
	return json_string(texts[rng_below(r, sizeof(texts) / sizeof(texts[0]) - 1)]);
}

static inline json_t *random_operator(struct rng *r, bool text, bool number)
{
	static const char *const affixes[] = { "prefix", "suffix" };
	static const char *const inverted[] = { "prefix", "suffix", "equals-ignore-case" };

	if (rng_below(r, 3) == 0)
		return object1("exists", json_boolean(rng_below(r, 2)));
	if (number && (!text || rng_below(r, 2)))
		return rng_below(r, 2) ? random_numeric(r)
				       : object1("anything-but", some_of(r, hashed));
	switch (rng_below(r, 5)) {
	case 0:
		return object1("anything-but", some_of(r, random_text));
	case 1:
		return object1("anything-but", object1(PICK(r, inverted), some_of(r, random_word)));
	case 2:
		return object1("equals-ignore-case", random_text(r));
	case 3:
		return object1(PICK(r, affixes), object1("equals-ignore-case", random_text(r)));
	default:
		return object1(PICK(r, affixes), random_text(r));
	}
}

/* What a list may hold: texts, numbers, or neither. */
static inline json_t *random_list(struct rng *r, bool text, bool number)
{
	json_t *list = json_array();

	for (uint64_t n = rng_below(r, 3) + 1; n > 0; n--) {
		if (rng_below(r, 2))
			json_array_append_new(list, random_operator(r, text, number));
		else
			json_array_append_new(list, number && (!text || rng_below(r, 2))
							    ? hashed(r)
							    : random_text(r));
	}
	return list;
}

static inline json_t *exists_or(struct rng *r, json_t *v)
{
	json_t *list = json_array();

	json_array_append_new(list, rng_below(r, 2)
					    ? object1("exists", json_boolean(rng_below(r, 2)))
					    : json_incref(v));
	json_decref(v);
	return list;
}

typedef json_t *map_maker(struct rng *r, unsigned depth);

/* A map of what `make` makes, sometimes as one of several. */
static inline json_t *maybe_or(struct rng *r, map_maker *make, unsigned depth)
{
	json_t *map = make(r, depth), *list;

	if (rng_below(r, 6))
		return map;
	list = json_array();
	for (uint64_t n = rng_below(r, 2) + 2; n > 0; n--)
		json_array_append_new(list, make(r, depth));
	if (rng_below(r, 2)) {
		json_decref(map);
		map = json_object();
	}
	json_object_set_new(map, "$or", list);
	return map;
}

static inline json_t *item_pattern(struct rng *r, unsigned depth);

static inline json_t *value_pattern(struct rng *r, unsigned depth)
{
	const char *type = PICK(r, types);
	json_t *v;

	if (depth > 2 && (*type == 'M' || *type == 'L'))
		type = "NS";
	if (strcmp(type, "M") == 0 || strcmp(type, "L") == 0)
		v = rng_below(r, 3) == 0
			    ? exists_or(r, object1("exists", json_true()))
			    : maybe_or(r, *type == 'M' ? item_pattern : value_pattern, depth + 1);
	else if (strcmp(type, "BOOL") == 0)
		v = exists_or(r, json_boolean(rng_below(r, 2)));
	else if (strcmp(type, "NULL") == 0)
		v = exists_or(r, json_true());
	else
		v = random_list(r, true, *type == 'N');
	return object1(type, v);
}

static inline json_t *item_pattern(struct rng *r, unsigned depth)
{
	json_t *item = json_object();

	for (uint64_t n = rng_below(r, 2) + 1; n > 0; n--)
		json_object_set_new(item, PICK(r, names), maybe_or(r, value_pattern, depth));
	return item;
}

static inline json_t *change_pattern(struct rng *r, unsigned depth)
{
	static const char *const images[] = { "Keys", "NewImage", "OldImage", "NewImage" };
	json_t *change = object1(PICK(r, images), maybe_or(r, item_pattern, depth));

	if (rng_below(r, 4) == 0)
		json_object_set_new(change, "SizeBytes", random_list(r, false, true));
	if (rng_below(r, 4) == 0)
		json_object_set_new(change, PICK(r, images), maybe_or(r, item_pattern, depth));
	return change;
}

static inline json_t *random_pattern(struct rng *r, unsigned depth)
{
	static const char *const members[] = { "eventID", "awsRegion", "eventSourceARN" };
	json_t *pattern = object1("dynamodb", maybe_or(r, change_pattern, depth));

	if (rng_below(r, 6) == 0)
		json_object_set_new(pattern, PICK(r, members), random_list(r, true, false));
	if (rng_below(r, 6) == 0)
		json_object_set_new(pattern, "userIdentity",
				    object1(rng_below(r, 2) ? "type" : "principalId",
					    random_list(r, true, false)));
	return pattern;
}

/* --- written as JSON, with white space and escapes here and there --- */

static inline void space(struct rng *r, struct buf *b)
{
	if (rng_below(r, 10) == 0)
		buf_text(b, rng_below(r, 2) ? " " : "\n\t ");
}

static inline void write_text(struct rng *r, const char *text, struct buf *b)
{
	struct buf plain;

	buf_init(&plain, 0);
	buf_json_text(&plain, str_of(text));
	for (const char *p = plain.data; *p; p++)
		if (*p == '\\')
			buf_printf(b, "%c%c", p[0], p[1]), p++;
		else if (isalpha((unsigned char)*p) && rng_below(r, 20) == 0)
			buf_printf(b, "\\u%04x", (unsigned)*p);
		else
			buf_printf(b, "%c", *p);
	buf_release(&plain);
}

static inline void write_tree(struct rng *r, json_t *v, struct buf *b)
{
	const char *name, *between = "", *text = json_string_value(v);
	json_t *member;
	size_t i;

	space(r, b);
	if (json_is_object(v)) {
		buf_text(b, "{");
		json_object_foreach(v, name, member)
		{
			buf_text(b, between);
			space(r, b);
			write_text(r, name, b);
			space(r, b);
			buf_text(b, ":");
			write_tree(r, member, b);
			between = ",";
		}
		space(r, b);
		buf_text(b, "}");
	} else if (json_is_array(v)) {
		buf_text(b, "[");
		json_array_foreach(v, i, member)
		{
			buf_text(b, between);
			write_tree(r, member, b);
			between = ",";
		}
		space(r, b);
		buf_text(b, "]");
	} else if (text && *text == '#') {
		buf_text(b, text + 1);
	} else if (text) {
		/* A number has no escapes in a record that was found valid. */
		if (strspn(text, "0123456789.+-Ee") == strlen(text) && *text)
			buf_printf(b, "\"%s\"", text);
		else
			write_text(r, text, b);
	} else {
		buf_text(b, json_is_null(v) ? "null" : json_is_true(v) ? "true" : "false");
	}
	space(r, b);
}
