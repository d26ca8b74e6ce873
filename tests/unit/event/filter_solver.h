#pragma once
/* A second implementation of the pattern language, written for clarity: the record is flattened
 * into a list of values, each with its path and its place in lists, and a pattern is solved by
 * trying one value after another.
 *
 * Trees are jansson's; a number is a text that begins with '#', so that it keeps its digits. */
#include "tests/unit/event/decoding.h"

#include <ctype.h>
#include <jansson.h>

#include "base/arena.h"
#include "base/memory.h"

/* --- numbers: written out with all their digits around a point, and compared as text --- */

#define DIGITS_BEFORE 140
#define DIGITS        400

struct digits {
	bool negative;
	char text[DIGITS + 1];
};

static inline bool number_expand(const char *text, struct digits *out)
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

static inline int number_order(const char *a, const char *b)
{
	struct digits x = { 0 }, y = { 0 };

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

static inline void add_field(struct flat *f, const char *path, const json_t *v, bool number,
			     const struct spot *spot)
{
	assert_true(f->count < FIELDS_MAX);
	f->fields[f->count++] = (struct field){ path, v, number, spot };
}

static inline bool ends(const char *text, const char *with)
{
	return strlen(text) >= strlen(with) &&
	       strcmp(text + strlen(text) - strlen(with), with) == 0;
}

static inline void flatten(struct flat *f, const char *path, const char *key, json_t *v,
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
		add_field(f, path, v, ends(path, "/N") || ends(path, "/NS"), spot);
	}
}

/* --- entries of a pattern's list --- */

static inline char *lower(const char *text)
{
	char *copy = memory_text(text);

	for (char *p = copy; *p; p++)
		if (memcmp(p, "É", 2) == 0)
			p[1] = "é"[1];
		else if ((unsigned char)*p < 0x80)
			*p = (char)tolower(*p);
	return copy;
}

static inline bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* prefix, suffix, equals-ignore-case, and the first two without case. */
static inline bool text_passes(const char *operator, const json_t * with, const char *text)
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

static inline const char *text_of(const struct field *f)
{
	const char *text = json_string_value(f->value);

	return text && *text != '#' ? text : NULL;
}

static inline const char *number_of(const struct field *f)
{
	const char *text = json_string_value(f->value);

	return text && *text == '#' ? text + 1 : f->number ? text : NULL;
}

static inline bool equals(const json_t *entry, const struct field *f)
{
	const char *text = json_string_value(entry);

	if (text && *text == '#')
		return number_of(f) && number_order(number_of(f), text + 1) == 0;
	if (text)
		return text_of(f) && strcmp(text_of(f), text) == 0;
	return json_typeof(entry) == json_typeof(f->value);
}

static inline bool anything_but(const json_t *but, const struct field *f)
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

static inline bool numeric(const json_t *list, const struct field *f)
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

static inline bool entry_passes(const json_t *entry, const struct field *f)
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

static inline bool solve(struct flat *f, const struct todo *t);

static inline const struct todo *todo(struct flat *f, const char *path, const json_t *pattern,
				      bool either, const struct todo *rest)
{
	struct todo *t = arena_alloc(&f->arena, sizeof(*t));

	*t = (struct todo){ path, pattern, either, rest };
	return t;
}

static inline bool consistent(const struct flat *f, const struct spot *s)
{
	for (; s; s = s->up)
		if (f->chosen[s->list] >= 0 && f->chosen[s->list] != s->index)
			return false;
	return true;
}

static inline bool solve_with(struct flat *f, const struct field *field, const struct todo *rest)
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

static inline bool solve_list(struct flat *f, const struct todo *t)
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

static inline bool solve(struct flat *f, const struct todo *t)
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

static inline void rename_member(json_t *o, const char *from, const char *to)
{
	if (json_object_get(o, from))
		json_object_set(o, to, json_object_get(o, from));
	json_object_del(o, from);
}

static inline bool reference(const json_t *pattern, const json_t *record)
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
