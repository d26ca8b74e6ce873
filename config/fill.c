#include "config/fill.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/expand.h"
#include "config/patterns.h"

static const struct yaml_node *child_of(const struct yaml_node *map, const char *key, size_t length)
{
	for (const struct yaml_node *n = map->first; n; n = n->next)
		if (strlen(n->key) == length && !memcmp(n->key, key, length))
			return n;
	return NULL;
}

/* The deepest node of a dotted name that is there. */
static const struct yaml_node *node_of(const struct yaml_node *n, const char *key)
{
	while (key && *key && n->kind == YAML_MAP) {
		/* A free key may have dots of its own. */
		size_t length = strlen(key);
		const struct yaml_node *child = child_of(n, key, length);

		if (!child) {
			length = strcspn(key, ".");
			child = child_of(n, key, length);
		}
		if (!child)
			break;
		n = child;
		key += length + (key[length] == '.');
	}
	return n;
}

bool fill_fail(struct fill *f, const struct yaml_node *n, const char *key, const char *fmt, ...)
{
	char message[sizeof(f->err->message)];
	struct buf path;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	buf_init(&path, 0);
	yaml_path(n, &path);
	if (key)
		buf_printf(&path, "%s%s", path.size ? "." : "", key);
	error_set(f->err, ERROR_INVALID, "%s:%d: %.200s%s%s", f->file, node_of(n, key)->line,
		  path.data, path.size ? ": " : "", message);
	buf_release(&path);
	return false;
}

bool fill_unknown(struct fill *f, const struct yaml_node *n, const struct nearest *near)
{
	if (near->best)
		return fill_fail(f, n, NULL, "no such setting; did you mean '%s'?", near->best);
	return fill_fail(f, n, NULL, "no such setting");
}

const char *fill_text(struct fill *f, const struct yaml_node *n, bool is_template)
{
	struct error inner = { 0 };
	const char *text;

	if (n->kind != YAML_TEXT) {
		fill_fail(f, n, NULL, "expected one value, not a %s",
			  n->kind == YAML_MAP ? "map" : "list");
		return NULL;
	}
	text = expand_text(f->arena, n->text, is_template ? EXPAND_TEMPLATE : EXPAND_VALUE,
			   &f->expand_left, &inner);
	if (!text)
		fill_fail(f, n, NULL, "%s", inner.message);
	return text;
}

static bool fill_map(struct fill *f, struct option_map *map, const struct yaml_node *n)
{
	if (n->kind != YAML_MAP)
		return fill_fail(f, n, NULL, "expected a map of texts");
	map->pairs = arena_alloc(f->arena, n->count * sizeof(map->pairs[0]));
	map->count = 0;
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		const char *value = fill_text(f, c, false);

		if (!value)
			return false;
		map->pairs[map->count++] = (struct option_pair){ c->key, value };
	}
	return true;
}

static bool fill_row(struct fill *f, const struct option *o, void *base, const struct yaml_node *n)
{
	struct error inner = { 0 };
	const char *text;

	if (yaml_is_null(n))
		return true;
	if (o->type == OPTION_MAP)
		return fill_map(f, (struct option_map *)((char *)base + o->offset), n);
	if (o->type == OPTION_PATTERNS)
		return patterns_fill(f, (struct option_list *)((char *)base + o->offset), n);
	if (o->type == OPTION_TRANSFORMS)
		return transforms_fill(f, (struct option_list *)((char *)base + o->offset), n);
	if (o->type == OPTION_SCHEMAS)
		return schemas_fill(f, (struct option_list *)((char *)base + o->offset), n);
	text = fill_text(f, n, o->flags & OPTION_TEMPLATE);
	if (!text)
		return false;
	return option_set(o, base, text, &inner) || fill_fail(f, n, NULL, "%s", inner.message);
}

/* Where a row's name begins with `prefix`, what follows it. */
static const char *behind(const char *name, const char *prefix, size_t length)
{
	return strncmp(name, prefix, length) == 0 ? name + length : NULL;
}

static const struct option *row_find(const struct option *table, const char *prefix,
				     const char *key)
{
	for (const struct option *o = table; o->name; o++) {
		const char *rest = behind(o->name, prefix, strlen(prefix));

		if (rest && !strcmp(rest, key))
			return o;
	}
	return NULL;
}

static bool group_exists(const struct option *table, const char *prefix, const char *key)
{
	size_t length = strlen(key);

	for (const struct option *o = table; o->name; o++) {
		const char *rest = behind(o->name, prefix, strlen(prefix));

		if (rest && !strncmp(rest, key, length) && rest[length] == '.')
			return true;
	}
	return false;
}

/* The word that may stand for the group; NULL: none may. */
static const char *word_for_group(const struct option *table, const char *prefix, const char *key)
{
	size_t length = strlen(key);

	for (const struct option *o = table; o->name; o++) {
		const char *rest = behind(o->name, prefix, strlen(prefix));

		if (o->instead && rest && !strncmp(rest, key, length) && rest[length] == '.')
			return o->instead;
	}
	return NULL;
}

static bool row_unknown(struct fill *f, const struct option *table, const char *prefix,
			const char *other, const struct yaml_node *n)
{
	struct nearest near;

	nearest_init(&near, n->key);
	for (const struct option *o = table; o->name; o++) {
		const char *rest = behind(o->name, prefix, strlen(prefix));
		size_t length = rest ? strcspn(rest, ".") : 0;

		if (rest)
			nearest_offer(&near, arena_printf(f->arena, "%.*s", (int)length, rest));
	}
	if (other && !*prefix)
		nearest_offer(&near, other);
	return fill_unknown(f, n, &near);
}

/* The keys of one level; `prefix` is "" or ends with a dot. */
static bool fill_level(struct fill *f, const struct option *table, void *base,
		       const struct yaml_node *map, const char *prefix, const char *other)
{
	if (yaml_is_null(map))
		return true;
	if (map->kind != YAML_MAP)
		return fill_fail(f, map, NULL, "expected a map of settings");
	for (const struct yaml_node *n = map->first; n; n = n->next) {
		const struct option *o = row_find(table, prefix, n->key);

		if (other && !*prefix && !strcmp(n->key, other))
			continue;
		/* A dotted key would be a second spelling of a nested one. */
		if (o && !strchr(n->key, '.')) {
			if (!fill_row(f, o, base, n))
				return false;
		} else if (group_exists(table, prefix, n->key)) {
			const char *inner = arena_printf(f->arena, "%s%s.", prefix, n->key);
			const char *word = word_for_group(table, prefix, n->key);

			if (word && n->kind == YAML_TEXT && strcmp(n->text, word) == 0)
				continue;
			if (word && n->kind != YAML_MAP && !yaml_is_null(n))
				return fill_fail(f, n, NULL, "expected a map of settings, or %s",
						 word);
			if (!fill_level(f, table, base, n, inner, NULL))
				return false;
		} else {
			return row_unknown(f, table, prefix, other, n);
		}
	}
	return true;
}

static bool is_given(const struct yaml_node *map, const char *name)
{
	size_t length = strcspn(name, ".");
	const struct yaml_node *n = child_of(map, name, length);

	if (!n)
		return false;
	return name[length] ? n->kind == YAML_MAP && is_given(n, name + length + 1)
			    : !yaml_is_null(n);
}

bool fill_table(struct fill *f, const struct option *table, void *base, const struct yaml_node *map,
		const char *other)
{
	if (!option_defaults(table, base, f->err))
		return false;
	if (!map)
		return true;
	if (!fill_level(f, table, base, map, "", other))
		return false;
	for (const struct option *o = table; o->name; o++)
		if ((o->flags & OPTION_REQUIRED) &&
		    (map->kind != YAML_MAP || !is_given(map, o->name)))
			return fill_fail(f, map, o->name, "is required: %s", o->help);
	return true;
}

bool fill_check(struct fill *f, const struct option *table, const void *base,
		bool (*check)(const void *settings, struct error *err), const struct yaml_node *map)
{
	struct error inner = { 0 };
	size_t length;

	if (!check || check(base, &inner))
		return true;
	length = strcspn(inner.message, ":");
	for (const struct option *o = table; o->name; o++) {
		size_t name = strlen(o->name);

		if (strncmp(o->name, inner.message, name) != 0)
			continue;
		if (name == length || (o->type == OPTION_MAP && inner.message[name] == '.'))
			return fill_fail(
				f, map, arena_printf(f->arena, "%.*s", (int)length, inner.message),
				"%s",
				inner.message + length + strspn(inner.message + length, ": "));
	}
	return fill_fail(f, map, NULL, "%s", inner.message);
}
