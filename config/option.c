#include "config/option.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHOWN_MAX   60 /* of a wrong value in a message */
#define NEAREST_MAX 64 /* longer names are nobody's typing error */
#define KEY_SIZE    64 /* of one level of a setting's name */

struct unit {
	const char *name;
	long factor;
};

static const struct unit ms_units[] = {
	{ "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { 0 }
};
static const struct unit byte_units[] = {
	{ "TiB", 1L << 40 }, { "GiB", 1L << 30 }, { "MiB", 1L << 20 },
	{ "KiB", 1L << 10 }, { "", 1 },           { 0 },
};
static const struct unit int_units[] = { { "", 1 }, { 0 } };

static const struct unit *units_of(enum option_type type)
{
	switch (type) {
	case OPTION_INT:
		return int_units;
	case OPTION_MS:
		return ms_units;
	case OPTION_BYTES:
		return byte_units;
	case OPTION_DECIMAL:
	case OPTION_TEXT:
	case OPTION_BOOL:
	case OPTION_ENUM:
	case OPTION_MAP:
	case OPTION_PATTERNS:
	case OPTION_TRANSFORMS:
	case OPTION_SCHEMAS:
		break;
	}
	return NULL;
}

static bool number_parse(const char *text, const struct unit *units, long *out)
{
	const char *p = text;
	long n = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
			return false;
	for (; units->name; units++)
		if (!strcmp(p, units->name))
			return !__builtin_mul_overflow(n, units->factor, out);
	return false;
}

static bool decimal_parse(const char *text, long *out)
{
	const char *point = strchr(text, '.'), *p = point ? point + 1 : "";
	long whole, factor = OPTION_DECIMAL_ONE;
	char before[24];
	size_t n = point ? (size_t)(point - text) : strlen(text);

	if (n >= sizeof(before) || (point && !*p))
		return false;
	memcpy(before, text, n);
	before[n] = '\0';
	if (!number_parse(before, int_units, &whole) ||
	    __builtin_mul_overflow(whole, OPTION_DECIMAL_ONE, &whole))
		return false;
	for (; *p >= '0' && *p <= '9' && factor > 1; p++) {
		factor /= 10;
		if (__builtin_add_overflow(whole, (*p - '0') * factor, &whole))
			return false;
	}
	*out = whole;
	return !*p;
}

static bool long_parse(enum option_type type, const char *text, long *out)
{
	return type == OPTION_DECIMAL ? decimal_parse(text, out)
				      : number_parse(text, units_of(type), out);
}

bool option_parse_ms(const char *text, long *out)
{
	return number_parse(text, ms_units, out);
}

bool option_parse_bytes(const char *text, long *out)
{
	return number_parse(text, byte_units, out);
}

/* With the largest unit that leaves a whole number. */
static void number_print(long n, const struct unit *units, struct buf *out)
{
	while (units[1].name && (n % units->factor != 0 || (n == 0 && units->factor != 1000)))
		units++;
	buf_printf(out, "%ld%s", n / units->factor, units->name);
}

static void decimal_print(long n, struct buf *out)
{
	long rest = n % OPTION_DECIMAL_ONE;
	int digits = 6;

	buf_printf(out, "%ld", n / OPTION_DECIMAL_ONE);
	if (rest == 0)
		return;
	for (; rest % 10 == 0; rest /= 10)
		digits--;
	buf_printf(out, ".%0*ld", digits, rest);
}

static void long_print(enum option_type type, long n, struct buf *out)
{
	if (type == OPTION_DECIMAL)
		decimal_print(n, out);
	else
		number_print(n, units_of(type), out);
}

static void choices_print(const char *const *choices, struct buf *out)
{
	for (size_t i = 0; choices[i]; i++)
		buf_printf(out, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
}

static void range_print(const struct option *o, const char *what, const char *examples,
			struct buf *out)
{
	buf_text(out, what);
	if (o->min == 0 && o->max == 0) {
		buf_text(out, examples);
		return;
	}
	if (o->max == LONG_MAX) {
		buf_text(out, " of at least ");
		long_print(o->type, o->min, out);
		return;
	}
	buf_text(out, o->type == OPTION_INT || o->type == OPTION_DECIMAL ? " from " : " of ");
	long_print(o->type, o->min, out);
	buf_text(out, " to ");
	long_print(o->type, o->max, out);
}

void option_expected(const struct option *o, struct buf *out)
{
	switch (o->type) {
	case OPTION_TEXT:
		if (o->choices)
			choices_print(o->choices, out);
		else
			buf_text(out, "a text");
		return;
	case OPTION_BOOL:
		buf_text(out, "true or false");
		return;
	case OPTION_INT:
		range_print(o, "a number", "", out);
		return;
	case OPTION_DECIMAL:
		range_print(o, "a number", " such as 0.02", out);
		return;
	case OPTION_MS:
		range_print(o, "a duration", " such as 500ms, 2s, 5m, 24h", out);
		return;
	case OPTION_BYTES:
		range_print(o, "a size", " such as 64KiB, 256MiB, 1GiB", out);
		return;
	case OPTION_ENUM:
		choices_print(o->choices, out);
		return;
	case OPTION_MAP:
		buf_text(out, "a map of texts");
		return;
	case OPTION_PATTERNS:
		buf_text(out, "a list of event patterns");
		return;
	case OPTION_TRANSFORMS:
		buf_text(out, "a list of transforms");
		return;
	case OPTION_SCHEMAS:
		buf_text(out, "a list of schemas");
		return;
	}
}

static bool wrong(const struct option *o, const char *text, bool syntax, struct error *err)
{
	struct option plain = *o;
	struct buf expected;

	/* Not a number at all: show how one is written rather than the range. */
	if (syntax && (o->type == OPTION_MS || o->type == OPTION_BYTES))
		plain.min = plain.max = 0;
	buf_init(&expected, 0);
	option_expected(&plain, &expected);
	if (o->flags & OPTION_SECRET)
		error_set(err, ERROR_INVALID, "expected %s", expected.data);
	else
		error_set(err, ERROR_INVALID, "expected %s, not '%.*s%s'", expected.data, SHOWN_MAX,
			  text, strlen(text) > SHOWN_MAX ? "…" : "");
	buf_release(&expected);
	return false;
}

static bool choice_find(const char *const *choices, const char *text, long *out)
{
	for (long i = 0; choices[i]; i++)
		if (!strcmp(choices[i], text)) {
			*out = i;
			return true;
		}
	return false;
}

bool option_set(const struct option *o, void *base, const char *text, struct error *err)
{
	void *field = (char *)base + o->offset;
	long n;

	switch (o->type) {
	case OPTION_TEXT:
		if (o->choices && !choice_find(o->choices, text, &n))
			return wrong(o, text, true, err);
		*(const char **)field = text;
		return true;
	case OPTION_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return wrong(o, text, true, err);
		*(bool *)field = !strcmp(text, "true");
		return true;
	case OPTION_INT:
	case OPTION_DECIMAL:
	case OPTION_MS:
	case OPTION_BYTES:
		if (!long_parse(o->type, text, &n))
			return wrong(o, text, true, err);
		if ((o->min || o->max) && (n < o->min || n > o->max))
			return wrong(o, text, false, err);
		*(long *)field = n;
		return true;
	case OPTION_ENUM:
		return choice_find(o->choices, text, field) || wrong(o, text, true, err);
	case OPTION_MAP:
	case OPTION_PATTERNS:
	case OPTION_TRANSFORMS:
	case OPTION_SCHEMAS:
		break;
	}
	assert(false && "a row that is no single text");
	return false;
}

bool option_defaults(const struct option *table, void *base, struct error *err)
{
	for (const struct option *o = table; o->name; o++)
		if (o->def && !option_set(o, base, o->def, err))
			return error_wrap(err, "%s: default", o->name);
	return true;
}

bool option_text(const struct option *o, const void *base, struct buf *out)
{
	const void *field = (const char *)base + o->offset;

	switch (o->type) {
	case OPTION_TEXT:
		if (*(const char *const *)field)
			buf_text(out, *(const char *const *)field);
		return *(const char *const *)field != NULL;
	case OPTION_BOOL:
		buf_text(out, *(const bool *)field ? "true" : "false");
		return true;
	case OPTION_INT:
	case OPTION_DECIMAL:
	case OPTION_MS:
	case OPTION_BYTES:
		/* Without a default, 0 is "not given" where it could not have been given. */
		if (*(const long *)field == 0 && !o->def && o->min > 0)
			return false;
		long_print(o->type, *(const long *)field, out);
		return true;
	case OPTION_ENUM:
		buf_text(out, o->choices[*(const long *)field]);
		return true;
	case OPTION_MAP:
	case OPTION_PATTERNS:
	case OPTION_TRANSFORMS:
	case OPTION_SCHEMAS:
		break;
	}
	assert(false && "a row that is no single text");
	return false;
}

bool option_key_is_secret(const char *key)
{
	return strcasestr(key, "password") || strcasestr(key, "secret") ||
	       strcasestr(key, "token") || !strncasecmp(key, "sasl.", 5) ||
	       !strncasecmp(key, "ssl.key.", 8);
}

/* Edits from a to b: one letter more, less, other, or two swapped. */
static size_t edit_distance(const char *a, size_t an, const char *b, size_t bn)
{
	size_t rows[3][NEAREST_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= bn; j++)
		last[j] = before[j] = j;
	for (size_t i = 1; i <= an; i++) {
		size_t *oldest = before;

		row[0] = i;
		for (size_t j = 1; j <= bn; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		before = last;
		last = row;
		row = oldest;
	}
	return last[bn];
}

void nearest_init(struct nearest *n, const char *name)
{
	size_t length = strlen(name);

	/* A third of the letters may be wrong. */
	*n = (struct nearest){ .name = name, .distance = (length < 3 ? 1 : length / 3) + 1 };
}

void nearest_offer(struct nearest *n, const char *candidate)
{
	size_t a = strlen(n->name), b = strlen(candidate), distance;

	if (a > NEAREST_MAX || b > NEAREST_MAX)
		return;
	distance = edit_distance(n->name, a, candidate, b);
	if (distance < n->distance) {
		n->distance = distance;
		n->best = candidate;
	}
}

const char *option_nearest(const struct option *table, const char *name)
{
	struct nearest n;

	nearest_init(&n, name);
	for (const struct option *o = table; o->name; o++)
		nearest_offer(&n, o->name);
	return n.best;
}

static bool group_seen(const struct option *from, const struct option *o, size_t length)
{
	for (; from < o; from++)
		if (!strncmp(from->name, o->name, length))
			return true;
	return false;
}

/* Rows whose names begin with the first `length` bytes of `first`'s name. */
static void visit_level(const struct option *first, size_t length, const struct option_visitor *v)
{
	for (const struct option *o = first; o->name; o++) {
		const char *rest, *dot;
		char group[KEY_SIZE];

		if (length > 0 && strncmp(o->name, first->name, length) != 0)
			continue;
		rest = o->name + length;
		dot = strchr(rest, '.');
		if (!dot) {
			v->row(v->arg, o, rest);
			continue;
		}
		if (group_seen(first, o, (size_t)(dot + 1 - o->name)))
			continue;
		assert((size_t)(dot - rest) < sizeof(group));
		memcpy(group, rest, (size_t)(dot - rest));
		group[dot - rest] = '\0';
		v->enter(v->arg, group);
		visit_level(o, (size_t)(dot + 1 - o->name), v);
		v->leave(v->arg, group);
	}
}

void option_visit(const struct option *table, const struct option_visitor *v)
{
	visit_level(table, 0, v);
}
