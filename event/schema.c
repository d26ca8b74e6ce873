#include "event/schema.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/attribute.h"
#include "event/schema_internal.h"

bool schema_is_integer(const char *p)
{
	struct number n;

	return number_view(p, &n, NULL) &&
	       (n.first == n.last || (int64_t)(n.last - n.first) <= n.point);
}

/* ---- conditions ---- */

static bool fits_value(const struct schema_test *t, const struct attribute *a);

static bool fits_any(const struct schema_test *t, const struct attribute *a)
{
	for (; t; t = t->next)
		if (fits_value(t, a))
			return true;
	return false;
}

static bool text_fits(const struct schema_test *t, struct str raw)
{
	char *said = NULL;
	struct str s = raw;
	bool fits;

	if (UNLIKELY(memchr(raw.p, '\\', raw.n))) {
		said = memory_new(raw.n + 1);
		s = (struct str){ said, scan_unescape(raw, said) };
	}
	if (t->kind == TEST_TEXT)
		fits = str_equal(s, t->text);
	else
		fits = s.n >= t->text.n &&
		       memcmp(t->kind == TEST_PREFIX ? s.p : s.p + s.n - t->text.n, t->text.p,
			      t->text.n) == 0;
	free(said);
	return fits;
}

static bool fits_value(const struct schema_test *t, const struct attribute *a)
{
	struct number n;

	switch (t->kind) {
	case TEST_TEXT:
	case TEST_PREFIX:
	case TEST_SUFFIX:
		return a->type == TREE_S && text_fits(t, attribute_body(a));
	case TEST_NUMBER:
		return a->type == TREE_N && number_view(a->inside + 1, &n, NULL) &&
		       number_compare(&n, &t->number) == 0;
	case TEST_TRUE:
	case TEST_FALSE:
		return a->type == TREE_BOOL && (*a->inside == 't') == (t->kind == TEST_TRUE);
	case TEST_NULL:
		return a->type == TREE_NULL;
	case TEST_EXISTS:
		return true;
	case TEST_NOT:
		return !fits_any(t->inner, a);
	case TEST_ABSENT:
		break;
	}
	return false;
}

static bool fits_absent(const struct schema_test *t)
{
	for (; t; t = t->next)
		if (t->kind == TEST_ABSENT)
			return true;
	return false;
}

static const struct schema *schema_of(const struct schemas *all, struct attributes item)
{
	for (const struct schema *s = all->first; s; s = s->next) {
		const struct schema_condition *c = s->when;

		for (; c; c = c->next) {
			struct attribute a;

			if (attribute_find(item, c->path, c->count, &a) ? !fits_any(c->tests, &a)
									: !fits_absent(c->tests))
				break;
		}
		if (!c)
			return s;
	}
	return NULL;
}

/* ---- columns ---- */

#define WORDS (SCHEMA_COLUMNS_MAX / 64 + 1)

struct check {
	struct schema_sorter *sorter;
	const struct schema *schema;
	uint64_t seen[WORDS]; /* columns */
};

static bool PRINTF(2, 3) misfit(struct check *c, const char *fmt, ...)
{
	char *out = c->sorter->fault;
	size_t size = sizeof(c->sorter->fault);
	int n = snprintf(out, size, "schema %s: ", c->schema->name.p);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + n, size - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

static uint64_t hash_of(const char *schema, const char *path)
{
	uint64_t hash = 14695981039346656037u;

	for (const char *p = schema; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211u;
	hash = (hash ^ '/') * 1099511628211u;
	for (const char *p = path; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211u;
	return hash;
}

/* What no column is. `in`: the map that it is in. */
static bool unknown(struct check *c, const struct schema_column *in, struct str name)
{
	struct schema_sorter *s = c->sorter;
	struct schema_news *news = &s->news[s->news_count];
	char path[sizeof(news->attribute)];
	uint64_t hash;
	size_t n = name.n < 60 ? name.n : 60;

	/* Whole characters of what is long. */
	while (n > 0 && n < name.n && ((unsigned char)name.p[n] & 0xC0) == 0x80)
		n--;
	snprintf(path, sizeof(path), "%.30s%s%.*s", in->path, *in->path ? "." : "", (int)n, name.p);
	if (!c->schema->evolve)
		return misfit(c, "%s: no column is called so (mode: strict)", path);
	if (s->news_count == SCHEMA_NEWS_MAX)
		return true;
	hash = hash_of(c->schema->name.p, path);
	for (size_t i = 0; i < s->news_count; i++)
		if (s->news[i].hash == hash)
			return true;
	news->schema = c->schema->name.p;
	news->hash = hash;
	memcpy(news->attribute, path, sizeof(path));
	s->news_count++;
	return true;
}

static const char *kind_of(enum tree_type type)
{
	static const char *const kinds[] = {
		[TREE_S] = "a string",
		[TREE_N] = "a number",
		[TREE_B] = "binary",
		[TREE_BOOL] = "a boolean",
		[TREE_NULL] = "NULL",
		[TREE_L] = "a list",
		[TREE_SS] = "a set of strings",
		[TREE_NS] = "a set of numbers",
		[TREE_BS] = "a set of binaries",
		[TREE_M] = "a map",
	};

	return kinds[type];
}

/* DynamoDB's own, or the table's key, which needs no column. */
static bool is_given(const struct check *c, struct str name)
{
	static const char replication[] = "aws:rep:";
	const struct source *source = c->sorter->source;

	return (name.n >= sizeof(replication) &&
		memcmp(name.p, replication, sizeof(replication) - 1) == 0) ||
	       attribute_is_called(name, str_of(source->key_hash)) ||
	       attribute_is_called(name, str_of(source->key_range));
}

static bool check_map(struct check *c, const struct schema_column *in, struct attributes map);

static bool check_value(struct check *c, const struct schema_column *column,
			const struct attribute *a)
{
	const struct schema_type *type = column->type;

	if (a->type == TREE_NULL)
		return !column->required || misfit(c, "%s: it is required, and NULL", column->path);
	if (column->id != UINT32_MAX)
		c->seen[column->id / 64] |= (uint64_t)1 << column->id % 64;
	if ((type->types && !(type->types >> a->type & 1)) || (column->first && a->type != TREE_M))
		return misfit(c, "%s: expected %s, found %s", column->path,
			      column->first ? "a map" : type->article, kind_of(a->type));
	if (type->integer && !schema_is_integer(a->inside + 1))
		return misfit(c, "%s: expected an integer, found %.*s", column->path,
			      SHORT(attribute_body(a)));
	return !column->first || check_map(c, column, attributes_in(a->inside));
}

static bool check_map(struct check *c, const struct schema_column *in, struct attributes map)
{
	const struct schema_column *expected = in->first;
	struct attribute a;

	while (attribute_next(&map, &a)) {
		/* Mostly they come in one order. */
		const struct schema_column *column = expected;

		while (column && !attribute_is_called(a.name, column->name))
			column = column->next;
		for (const struct schema_column *f = column ? expected : in->first;
		     !column && f != expected; f = f->next)
			if (attribute_is_called(a.name, f->name)) {
				column = f;
				break;
			}
		if (column) {
			expected = column->next;
			if (!check_value(c, column, &a))
				return false;
		} else if (!in->is_column && (in->parent || !is_given(c, a.name)) &&
			   !unknown(c, in, a.name)) {
			return false;
		}
	}
	return true;
}

static bool is_seen(const struct check *c, const struct schema_column *column)
{
	return c->seen[column->id / 64] >> column->id % 64 & 1;
}

static bool check_required(struct check *c)
{
	const struct schema *s = c->schema;

	for (size_t i = 0; i < s->column_count; i++) {
		const struct schema_column *column = s->columns[i];

		if (column->required && !column->fill && !is_seen(c, column))
			return misfit(c, "%s: it is required, and missing", column->path);
	}
	return true;
}

/* What the image lacks that has a default; NULL is no lack. */
static const struct record_fill *lacks(struct schema_sorter *sorter, const struct schema *s,
				       struct attributes item, unsigned which)
{
	const struct record_fill *first = NULL;
	size_t count = s->fill_count;

	for (size_t i = s->column_count; count > 0 && i-- > 0;) {
		const struct record_fill *fill = s->columns[i]->fill;
		struct attribute a;

		if (!fill)
			continue;
		count--;
		if (attribute_find(item, fill->plain, fill->count, &a))
			continue;
		sorter->lacks[which][count] = *fill;
		sorter->lacks[which][count].next = first;
		first = &sorter->lacks[which][count];
	}
	return first;
}

static void fill_images(struct schema_sorter *sorter, const struct schema *s,
			const struct record *r)
{
	const struct schema *old;
	struct attributes old_image = attributes_of_image(&r->old_image, true);

	if (s && s->fill_count && r->new_image.raw.p)
		sorter->fills.new_image =
			lacks(sorter, s, attributes_of_image(&r->new_image, true), 0);
	if (!r->old_image.raw.p)
		return;
	/* What was another kind of item before has its own. */
	old = schema_of(sorter->schemas, old_image);
	if (old && old->fill_count)
		sorter->fills.old_image = lacks(sorter, old, old_image, 1);
}

const char *schema_sort(struct schema_sorter *sorter, const struct record *r, bool unfit)
{
	struct attributes item = attributes_of(r, true);
	const struct schema *s = schema_of(sorter->schemas, item);
	struct check c = { .sorter = sorter, .schema = s };
	bool changed = r->op == EVENT_UPDATE || (r->op == EVENT_READ && !sorter->rows);

	sorter->name = s ? s->name : (struct str){ 0 };
	sorter->fills = (struct record_fills){ 0 };
	if (sorter->schemas->fills)
		fill_images(sorter, s, r);
	if (r->op == EVENT_DELETE)
		return NULL;
	if (!s && unfit && r->new_image.raw.p)
		return "no schema fits it (schemaless: dead_letter)";
	if (s && s->append_only && changed) {
		misfit(&c, "the item was changed (append_only)");
		return sorter->fault;
	}
	if (!s || !r->new_image.raw.p || s->column_count == 0)
		return NULL;
	return check_map(&c, &s->root, item) && check_required(&c) ? NULL : sorter->fault;
}
