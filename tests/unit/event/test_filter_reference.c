/* A second implementation of the pattern language, written for clarity: the record is flattened
 * into a list of values, each with its path and its place in lists, and a pattern is solved by
 * trying one value after another. It has to agree with the filter on random patterns and records.
 *
 * Trees are jansson's; a number is a text that begins with '#', so that it keeps its digits. */
#include "tests/unit/event/decoding.h"

#include <ctype.h>
#include <jansson.h>

#include "base/arena.h"
#include "base/rng.h"
#include "event/filter.h"
#include "event/scan.h"

#define PATTERNS          1001
#define RECORDS_A_PATTERN 25

/* --- numbers: written out with all their digits around a point, and compared as text --- */

#define DIGITS_BEFORE 140
#define DIGITS        400

struct digits {
	bool negative;
	char text[DIGITS + 1];
};

static bool number_expand(const char *text, struct digits *out)
{
	char digits[64];
	long exponent = 0, count = 0, point = -1;

	memset(out->text, '0', DIGITS);
	out->text[DIGITS] = '\0';
	out->negative = *text == '-';
	text += *text == '-';
	for (; isdigit((unsigned char)*text) || *text == '.'; text++) {
		if (*text == '.')
			point = count;
		else
			digits[count++] = *text;
	}
	if (count == 0 || (*text && *text != 'e' && *text != 'E'))
		return false;
	if (*text)
		exponent = strtol(text + 1, NULL, 10);
	exponent += point < 0 ? count : point;
	for (long i = 0; i < count; i++)
		out->text[DIGITS_BEFORE - exponent + i] = digits[i];
	if (strspn(out->text, "0") == DIGITS)
		out->negative = false;
	return true;
}

static int number_order(const char *a, const char *b)
{
	struct digits x, y;

	assert_true(number_expand(a, &x) && number_expand(b, &y));
	if (x.negative != y.negative)
		return x.negative ? -1 : 1;
	return x.negative ? strcmp(y.text, x.text) : strcmp(x.text, y.text);
}

/* --- the record, flat --- */

struct spot {
	int list, index;
	const struct spot *up;
};
struct field {
	const char *path;
	const json_t *value; /* NULL: a map or list, which is there and no more */
	bool number;
	const struct spot *spot; /* the elements of lists that it is in */
};
#define FIELDS_MAX 4096
struct flat {
	struct arena arena;
	struct field fields[FIELDS_MAX];
	int count, lists;
	int chosen[FIELDS_MAX]; /* the element of each list that is looked into; -1: any */
};

static void add_field(struct flat *f, const char *path, const json_t *v, bool number,
		      const struct spot *spot)
{
	assert_true(f->count < FIELDS_MAX);
	f->fields[f->count++] = (struct field){ path, v, number, spot };
}

static void flatten(struct flat *f, const char *path, const char *key, json_t *v,
		    const struct spot *spot)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_object(v)) {
		if (strcmp(key, "M") == 0)
			add_field(f, path, NULL, false, spot);
		json_object_foreach(v, name, member) flatten(
			f, arena_printf(&f->arena, "%s/%s", path, name), name, member, spot);
	} else if (json_is_array(v)) {
		int list = f->lists++;

		if (strcmp(key, "L") == 0)
			add_field(f, path, NULL, false, spot);
		json_array_foreach(v, i, member)
		{
			struct spot *s = arena_alloc(&f->arena, sizeof(*s));

			*s = (struct spot){ list, (int)i, spot };
			flatten(f, path, "", member, json_is_object(member) ? s : spot);
		}
	} else {
		size_t n = strlen(path);

		add_field(f, path, v,
			  strcmp(path + n - 2, "/N") == 0 || strcmp(path + n - 3, "/NS") == 0,
			  spot);
	}
}

/* --- entries of a pattern's list --- */

static char *lower(const char *text)
{
	char *copy = memory_text(text);

	for (char *p = copy; *p; p++)
		if (memcmp(p, "É", 2) == 0)
			p[1] = "é"[1];
		else if ((unsigned char)*p < 0x80)
			*p = (char)tolower(*p);
	return copy;
}

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
	return strlen(text) >= strlen(with) &&
	       strcmp(text + strlen(text) - strlen(with), with) == 0;
}

/* prefix, suffix, equals-ignore-case, and the first two without case. */
static bool text_passes(const char *operator, const json_t * with, const char *text)
{
	const char *plain = json_string_value(with);
	const json_t *inner = json_object_get(with, "equals-ignore-case");
	char *a, *b;
	bool yes;

	if (plain && strcmp(operator, "prefix") == 0)
		return starts(text, plain);
	if (plain && strcmp(operator, "suffix") == 0)
		return ends(text, plain);
	a = lower(text);
	b = lower(json_string_value(inner ? inner : with));
	yes = strcmp(operator, "prefix") == 0   ? starts(a, b)
	      : strcmp(operator, "suffix") == 0 ? ends(a, b)
						: strcmp(a, b) == 0;
	free(a);
	free(b);
	return yes;
}

static const char *text_of(const struct field *f)
{
	const char *text = json_string_value(f->value);

	return text && *text != '#' ? text : NULL;
}

static const char *number_of(const struct field *f)
{
	const char *text = json_string_value(f->value);

	return text && *text == '#' ? text + 1 : f->number ? text : NULL;
}

static bool equals(const json_t *entry, const struct field *f)
{
	const char *text = json_string_value(entry);

	if (text && *text == '#')
		return number_of(f) && number_order(number_of(f), text + 1) == 0;
	if (text)
		return text_of(f) && strcmp(text_of(f), text) == 0;
	return json_typeof(entry) == json_typeof(f->value);
}

static bool anything_but(const json_t *but, const struct field *f)
{
	void *only = json_object_iter((json_t *)(uintptr_t)but);
	const char *operator= only ? json_object_iter_key(only) : NULL;
	const json_t *list = only ? json_object_iter_value(only) : but, *e;
	size_t i;

	if (!json_is_array(list))
		return operator? !text_of(f) || !text_passes(operator, list, text_of(f))
			       : !equals(list, f);
	json_array_foreach(list, i,
			   e) if (operator? text_of(f) && text_passes(operator, e, text_of(f))
					  : equals(e, f)) return false;
	return true;
}

static bool numeric(const json_t *list, const struct field *f)
{
	if (!number_of(f))
		return false;
	for (size_t i = 0; i < json_array_size(list); i += 2) {
		const char *operator= json_string_value(json_array_get(list, i));
		int order = number_order(number_of(f),
					 json_string_value(json_array_get(list, i + 1)) + 1);

		if (!(order < 0 ? *operator == '<' : order > 0 ? *operator == '>'
							      : strchr(operator, '=') != NULL))
			return false;
	}
	return true;
}

static bool entry_passes(const json_t *entry, const struct field *f)
{
	void *only = json_object_iter((json_t *)(uintptr_t)entry);
	const char *operator= only ? json_object_iter_key(only) : NULL;
	const json_t *v = only ? json_object_iter_value(only) : NULL;

	if (operator&& strcmp(operator, "exists") == 0)
		return true;
	if (!f->value)
		return false;
	if (!operator)
		return equals(entry, f);
	if (strcmp(operator, "anything-but") == 0)
		return anything_but(v, f);
	if (strcmp(operator, "numeric") == 0)
		return numeric(v, f);
	return text_of(f) && text_passes(operator, v, text_of(f));
}

/* --- solving --- */

struct todo {
	const char *path;
	const json_t *pattern;
	bool either; /* the list of an $or */
	const struct todo *rest;
};

static bool solve(struct flat *f, const struct todo *t);

static const struct todo *todo(struct flat *f, const char *path, const json_t *pattern, bool either,
			       const struct todo *rest)
{
	struct todo *t = arena_alloc(&f->arena, sizeof(*t));

	*t = (struct todo){ path, pattern, either, rest };
	return t;
}

static bool consistent(const struct flat *f, const struct spot *s)
{
	for (; s; s = s->up)
		if (f->chosen[s->list] >= 0 && f->chosen[s->list] != s->index)
			return false;
	return true;
}

static bool solve_with(struct flat *f, const struct field *field, const struct todo *rest)
{
	int before[64], n = 0;
	bool yes;

	for (const struct spot *s = field->spot; s; s = s->up) {
		before[n++] = f->chosen[s->list];
		f->chosen[s->list] = s->index;
	}
	yes = solve(f, rest);
	n = 0;
	for (const struct spot *s = field->spot; s; s = s->up)
		f->chosen[s->list] = before[n++];
	return yes;
}

static bool solve_list(struct flat *f, const struct todo *t)
{
	bool there = false;
	const json_t *e;
	size_t i;

	for (int k = 0; k < f->count; k++)
		there |= strcmp(f->fields[k].path, t->path) == 0;
	json_array_foreach(t->pattern, i, e)
	{
		if (json_is_false(json_object_get(e, "exists"))) {
			if (!there && solve(f, t->rest))
				return true;
			continue;
		}
		for (int k = 0; k < f->count; k++) {
			const struct field *field = &f->fields[k];

			if (strcmp(field->path, t->path) == 0 && consistent(f, field->spot) &&
			    entry_passes(e, field) && solve_with(f, field, t->rest))
				return true;
		}
	}
	return false;
}

static bool solve(struct flat *f, const struct todo *t)
{
	const struct todo *rest;
	const char *name;
	json_t *member;
	size_t i;

	if (!t)
		return true;
	rest = t->rest;
	if (t->either) {
		json_array_foreach(
			t->pattern, i,
			member) if (solve(f, todo(f, t->path, member, false, rest))) return true;
		return false;
	}
	if (json_is_array(t->pattern))
		return solve_list(f, t);
	json_object_foreach((json_t *)(uintptr_t)t->pattern, name, member)
	{
		bool either = strcmp(name, "$or") == 0;

		rest = todo(f, either ? t->path : arena_printf(&f->arena, "%s/%s", t->path, name),
			    member, either, rest);
	}
	return solve(f, rest);
}

static void rename_member(json_t *o, const char *from, const char *to)
{
	if (json_object_get(o, from))
		json_object_set(o, to, json_object_get(o, from));
	json_object_del(o, from);
}

static bool reference(const json_t *pattern, const json_t *record)
{
	struct flat *f = memory_new(sizeof(*f));
	json_t *lambda = json_deep_copy(record),
	       *identity = json_object_get(lambda, "userIdentity");
	bool yes;

	arena_init(&f->arena);
	memset(f->chosen, 0xFF, sizeof(f->chosen));
	rename_member(identity, "Type", "type");
	rename_member(identity, "PrincipalId", "principalId");
	if (!json_object_get(lambda, "eventSourceARN"))
		json_object_set_new(lambda, "eventSourceARN", json_string(DECODING_ARN));
	flatten(f, "", "", lambda, NULL);
	yes = solve(f, todo(f, "", pattern, false, NULL));
	json_decref(lambda);
	arena_release(&f->arena);
	free(f);
	return yes;
}

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

static json_t *object1(const char *key, json_t *v)
{
	json_t *o = json_object();

	json_object_set_new(o, key, v);
	return o;
}

static json_t *strings(struct rng *r, bool number)
{
	json_t *list = json_array();

	for (uint64_t n = rng_below(r, 3) + 1; n > 0; n--)
		json_array_append_new(list,
				      json_string(number ? PICK(r, numbers) : PICK(r, texts)));
	return list;
}

static json_t *random_item(struct rng *r, unsigned depth);

static json_t *random_value(struct rng *r, unsigned depth)
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

static json_t *random_item(struct rng *r, unsigned depth)
{
	json_t *item = json_object();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (rng_below(r, 3))
			json_object_set_new(item, names[i], random_value(r, depth));
	return item;
}

static json_t *random_record(struct rng *r)
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

static json_t *hashed(struct rng *r)
{
	char text[64];

	snprintf(text, sizeof(text), "#%s", PICK(r, numbers));
	return json_string(text);
}

static json_t *random_numeric(struct rng *r)
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

static json_t *some_of(struct rng *r, json_t *one(struct rng *r))
{
	json_t *list;

	if (rng_below(r, 2))
		return one(r);
	list = json_array();
	for (uint64_t n = rng_below(r, 3) + 1; n > 0; n--)
		json_array_append_new(list, one(r));
	return list;
}

static json_t *random_text(struct rng *r)
{
	return json_string(PICK(r, texts));
}

/* Not empty: every text begins with that. */
static json_t *random_word(struct rng *r)
{
	return json_string(texts[rng_below(r, sizeof(texts) / sizeof(texts[0]) - 1)]);
}

static json_t *random_operator(struct rng *r, bool text, bool number)
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
static json_t *random_list(struct rng *r, bool text, bool number)
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

static json_t *exists_or(struct rng *r, json_t *v)
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
static json_t *maybe_or(struct rng *r, map_maker *make, unsigned depth)
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

static json_t *item_pattern(struct rng *r, unsigned depth);

static json_t *value_pattern(struct rng *r, unsigned depth)
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

static json_t *item_pattern(struct rng *r, unsigned depth)
{
	json_t *item = json_object();

	for (uint64_t n = rng_below(r, 2) + 1; n > 0; n--)
		json_object_set_new(item, PICK(r, names), maybe_or(r, value_pattern, depth));
	return item;
}

static json_t *change_pattern(struct rng *r, unsigned depth)
{
	static const char *const images[] = { "Keys", "NewImage", "OldImage", "NewImage" };
	json_t *change = object1(PICK(r, images), maybe_or(r, item_pattern, depth));

	if (rng_below(r, 4) == 0)
		json_object_set_new(change, "SizeBytes", random_list(r, false, true));
	if (rng_below(r, 4) == 0)
		json_object_set_new(change, PICK(r, images), maybe_or(r, item_pattern, depth));
	return change;
}

static json_t *random_pattern(struct rng *r, unsigned depth)
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

static void space(struct rng *r, struct buf *b)
{
	if (rng_below(r, 10) == 0)
		buf_text(b, rng_below(r, 2) ? " " : "\n\t ");
}

static void write_text(struct rng *r, const char *text, struct buf *b)
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

static void write_tree(struct rng *r, json_t *v, struct buf *b)
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

/* A pattern and its text. */
struct pattern {
	json_t *tree;
	struct buf text;
};

static struct pattern pattern_make(struct rng *r)
{
	struct pattern p = { .tree = maybe_or(r, random_pattern, 0) };

	buf_init(&p.text, 0);
	write_tree(r, p.tree, &p.text);
	return p;
}

static void pattern_release(struct pattern *p)
{
	json_decref(p->tree);
	buf_release(&p->text);
}

/* Of the patterns one that matches is enough. */
static bool compare(struct rng *r, const struct filter *f, const struct pattern *patterns,
		    size_t count)
{
	json_t *record = random_record(r);
	bool expected = false, found;
	struct buf b;
	size_t n;

	for (size_t i = 0; i < count; i++)
		expected |= reference(patterns[i].tree, record);
	buf_init(&b, 0);
	write_tree(r, record, &b);
	n = b.size;
	for (unsigned i = 0; i < SCAN_PADDING; i++)
		assert_true(buf_add(&b, "", 1));
	found = filter_match(f, b.data + strspn(b.data, " \n\t"), STR(DECODING_ARN));
	if (found != expected)
		fail_msg("%s\n%s\nof\n%.*s\nis expected to %s", patterns[0].text.data,
			 patterns[count - 1].text.data, (int)n, b.data,
			 expected ? "match" : "match not");
	buf_release(&b);
	json_decref(record);
	return expected;
}

static struct filter *filter_of(const struct pattern *patterns, size_t count, struct error *err)
{
	struct str both[2];

	for (size_t i = 0; i < count; i++)
		both[i] = buf_str(&patterns[i].text);
	return filter_new(both, count, err);
}

static void test_agree(void **state)
{
	unsigned refused = 0, matched = 0, compared = 0, have = 0;
	struct pattern pair[2];
	struct rng r;

	(void)state;
	rng_seed(&r, 20261125);
	for (unsigned i = 0; i < PATTERNS; i++) {
		struct error err = { 0 };
		struct filter *f;

		pair[have] = pattern_make(&r);
		f = filter_of(pair + have, 1, &err);
		/* Chance makes empty ranges and the like; it does not make bad JSON. */
		if (!f && (strstr(err.message, "JSON") || !strstr(err.message, ": ")))
			fail_msg("%s: %s", pair[have].text.data, err.message);
		refused += !f;
		for (unsigned k = 0; f && k < RECORDS_A_PATTERN; k++, compared++)
			matched += compare(&r, f, pair + have, 1);
		if (!f)
			pattern_release(&pair[have]);
		have += f != NULL;
		filter_free(f);
		if (have < 2)
			continue;
		/* What was taken by itself is taken together. */
		f = filter_of(pair, 2, &err);
		assert_non_null(f);
		for (unsigned k = 0; k < RECORDS_A_PATTERN; k++, compared++)
			matched += compare(&r, f, pair, 2);
		filter_free(f);
		for (; have > 0; have--)
			pattern_release(&pair[have - 1]);
	}
	if (have)
		pattern_release(&pair[0]);
	print_message("%u pairs, %u match; %u patterns are refused\n", compared, matched, refused);
	assert_true(refused < PATTERNS / 4);
	assert_true(compared > RECORDS_A_PATTERN * PATTERNS && matched > compared / 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
