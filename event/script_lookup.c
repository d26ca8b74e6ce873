/* Tables that scripts look into: keys and values in one arena, found by a hash. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "event/script.h"

#define COLUMNS_MAX 1000

struct entry {
	struct str key; /* plain text */
	struct str raw; /* the value in DynamoDB's JSON, padded */
};
struct script_lookup {
	struct arena arena;
	struct entry *entries; /* by hash, empty ones have no value; a power of two of them */
	size_t room, count;
};

static uint64_t hash_of(struct str key)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (unsigned char)key.p[i]) * 0x100000001b3;
	return h ^ h >> 29;
}

static struct entry *place_of(const struct script_lookup *l, struct str key)
{
	size_t i = (size_t)hash_of(key) & (l->room - 1);

	while (l->entries[i].raw.p && !str_equal(l->entries[i].key, key))
		i = (i + 1) & (l->room - 1);
	return &l->entries[i];
}

static void grow(struct script_lookup *l)
{
	struct script_lookup larger = *l;

	larger.room = l->room ? 2 * l->room : 64;
	larger.entries = memory_array(larger.room, sizeof(struct entry));
	for (size_t i = 0; i < l->room; i++)
		if (l->entries[i].raw.p)
			*place_of(&larger, l->entries[i].key) = l->entries[i];
	free(l->entries);
	*l = larger;
}

/* False: it is there already. The key is kept where it is. */
static bool add(struct script_lookup *l, struct str key, struct str raw)
{
	struct entry *e;

	if (2 * (l->count + 1) > l->room)
		grow(l);
	e = place_of(l, key);
	if (e->raw.p)
		return false;
	*e = (struct entry){ key, scan_keep(raw, &l->arena) };
	l->count++;
	return true;
}

struct str script_lookup_find(const struct script_lookup *l, struct str key)
{
	return l->count ? place_of(l, key)->raw : (struct str){ 0 };
}

size_t script_lookup_count(const struct script_lookup *l)
{
	return l->count;
}

/* ---- JSON ---- */

static bool fail(struct error *err, struct str text, const char *at, const char *what)
{
	size_t line = 1;

	for (const char *p = text.p; p < at && p < text.p + text.n; p++)
		line += *p == '\n';
	return error_set(err, ERROR_INVALID, "%zu: %s", line, what);
}

static bool read_json(struct script_lookup *l, struct str text, struct tree_out *out,
		      struct error *err)
{
	struct scan scan;
	const char *begin = scan_space(&scan, text.p), *end = scan_skip(&scan, begin), *p;

	if (!end) {
		char what[120];

		snprintf(what, sizeof(what), "not JSON: expected %s", scan.fault);
		return fail(err, text, scan.fault_at, what);
	}
	if (*begin != '{' || scan_space(&scan, end) != text.p + text.n)
		return fail(err, text, *begin != '{' ? begin : end,
			    "expected one JSON object, whose names are what is looked up, such as "
			    "{\"4000\": {\"town\": \"Porto\"}}");
	for (p = scan_space(&scan, begin + 1); *p != '}';) {
		struct str name, key;
		const char *at = p, *fault;
		char *plain;

		p = scan_name(&scan, p, &name);
		plain = arena_alloc(&l->arena, name.n + 1);
		key = (struct str){ plain, scan_unescape(name, plain) };
		out->at = out->begin;
		p = tree_out_json(out, p, &fault);
		if (!p || out->full)
			return fail(err, text, at, p ? "a value of more than 8 MiB" : fault);
		if (!add(l, key, (struct str){ out->begin, (size_t)(out->at - out->begin) }))
			return fail(err, text, at, "this name is there twice");
		p = scan_space(&scan, p);
		if (*p == ',')
			p = scan_space(&scan, p + 1);
	}
	return true;
}

/* ---- CSV: fields with commas between, or in quotes, in which "" is a quote ---- */

/* The field at p, plain, in the arena; the place behind it. NULL: its quote does not end. */
static const char *field(struct arena *arena, const char *p, const char *end, struct str *out)
{
	const char *stop = p;
	char *o;

	if (p == end || *p != '"') {
		while (stop < end && *stop != ',' && *stop != '\n')
			stop++;
		*out = (struct str){ p, (size_t)(stop - p) };
		if (stop > p && stop[-1] == '\r' && (stop == end || *stop == '\n'))
			out->n--;
		return stop;
	}
	for (stop = p + 1;; stop++) {
		if (stop >= end)
			return NULL;
		if (*stop == '"' && (stop + 1 == end || stop[1] != '"'))
			break;
		stop += *stop == '"';
	}
	o = arena_alloc(arena, (size_t)(stop - p));
	out->p = o;
	for (p++; p < stop; p++) {
		*o++ = *p;
		p += *p == '"';
	}
	out->n = (size_t)(o - out->p);
	stop++;
	return stop < end && *stop == '\r' ? stop + 1 : stop;
}

static bool put_text(struct tree_out *out, struct str plain)
{
	char *o = tree_out_room(out, TREE_ESCAPE * plain.n + 2), *end;
	struct scan scan;

	if (!o)
		return false;
	*o = '"';
	end = tree_escape(plain, o + 1);
	memset(end, 0, SCAN_PADDING);
	*end = '"';
	if (scan_string(&scan, o + 1) != end)
		return false;
	out->at = end + 1;
	return true;
}

struct csv {
	struct str text;
	struct str columns[COLUMNS_MAX];
	size_t count;
};

/* One line's fields; *p: behind it. False: a fault at *p. */
static bool read_line(struct arena *arena, const struct csv *c, const char **p, struct str *fields,
		      size_t *count, const char **fault)
{
	const char *end = c->text.p + c->text.n, *at = *p;

	for (*count = 0;; at++) {
		if (*count == COLUMNS_MAX) {
			*fault = "more than 1000 columns";
			return false;
		}
		at = field(arena, at, end, &fields[*count]);
		if (!at || (at < end && *at != ',' && *at != '\n')) {
			*fault = at ? "expected a comma behind the quote"
				    : "a quote that does not end";
			return false;
		}
		++*count;
		if (at == end || *at == '\n')
			break;
	}
	*p = at == end ? end : at + 1;
	return true;
}

static bool put_row(struct tree_out *out, const struct csv *c, const struct str *fields)
{
	out->at = out->begin;
	tree_out_put(out, STR("{\"M\":{"));
	for (size_t i = 0; i < c->count; i++) {
		if (i > 0)
			tree_out_put(out, STR(","));
		if (!put_text(out, c->columns[i]))
			return false;
		tree_out_put(out, STR(":{\"S\":"));
		if (!put_text(out, fields[i]))
			return false;
		tree_out_put(out, STR("}"));
	}
	tree_out_put(out, STR("}}"));
	return !out->full;
}

static const char *column_fault(const struct csv *c, size_t at)
{
	if (c->columns[at].n == 0)
		return "a column without a name; expected a line such as zip,town";
	for (size_t i = 0; i < at; i++)
		if (str_equal(c->columns[i], c->columns[at]))
			return "two columns have one name; expected a line such as zip,town";
	return NULL;
}

static bool read_csv(struct script_lookup *l, struct str text, struct tree_out *out,
		     struct error *err)
{
	struct csv *c = memory_new(sizeof(*c));
	struct str *fields = memory_array(COLUMNS_MAX, sizeof(*fields));
	const char *p, *end = text.p + text.n, *at, *fault = NULL;
	bool ok = true;
	size_t count;

	c->text = text;
	p = at = text.p + (text.n >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0);
	if (p == end)
		fault = "expected a line with the columns' names, such as zip,town";
	else if (read_line(&l->arena, c, &p, c->columns, &c->count, &fault))
		for (size_t i = 0; i < c->count && !fault; i++)
			fault = column_fault(c, i);
	while (!fault && p < end) {
		at = p;
		if (*p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n')) {
			p += *p == '\n' ? 1 : 2;
			continue;
		}
		if (!read_line(&l->arena, c, &p, fields, &count, &fault))
			break;
		if (count != c->count)
			fault = "another number of fields than columns";
		else if (!put_row(out, c, fields))
			fault = "a row that is no UTF-8, or longer than 8 MiB";
		else if (!add(l, fields[0],
			      (struct str){ out->begin, (size_t)(out->at - out->begin) }))
			fault = "the first column's text is there twice";
	}
	if (fault)
		ok = fail(err, text, at, fault);
	free(fields);
	free(c);
	return ok;
}

struct script_lookup *script_lookup_new(struct str text, bool csv, struct error *err)
{
	struct script_lookup *l = memory_new(sizeof(*l));
	struct tree_out out = { 0 };
	struct str kept;
	bool ok;

	arena_init(&l->arena);
	/* Keys look into it. */
	kept = scan_keep(text, &l->arena);
	ok = tree_out_room(&out, 1) &&
	     (csv ? read_csv(l, kept, &out, err) : read_json(l, kept, &out, err));
	tree_out_release(&out);
	if (ok)
		return l;
	script_lookup_free(l);
	return NULL;
}

void script_lookup_free(struct script_lookup *l)
{
	if (!l)
		return;
	arena_release(&l->arena);
	free(l->entries);
	free(l);
}
