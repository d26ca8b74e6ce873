#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/sections.h"
#include "config/yaml.h"

#define SECRET        "***"
#define KEY_DEPTH_MAX 4 /* of dots in a setting's name */

static void indent_print(struct buf *out, int indent)
{
	buf_printf(out, "%*s", indent, "");
}

/* The text as the file would have it: what expansion would take for itself is escaped. */
static void text_print(struct buf *out, const char *text, bool is_template)
{
	struct buf escaped;

	if (is_template || !strchr(text, '$')) {
		yaml_quote(out, text);
		return;
	}
	buf_init(&escaped, 0);
	for (const char *p = text; *p; p++)
		buf_printf(&escaped, "%s%c", *p == '$' ? "$" : "", *p);
	yaml_quote(out, escaped.data);
	buf_release(&escaped);
}

/* scheme://user:PASSWORD@host and …?password=PASSWORD& */
static char *url_masked(const char *text)
{
	const char *host = strstr(text, "://"), *at, *colon, *query, *authority;
	struct buf out;

	buf_init(&out, 0);
	if (!host) {
		buf_text(&out, text);
		return buf_steal(&out);
	}
	host += 3;
	query = host + strcspn(host, "?");
	/* A path of HTTP may have an @; before Postgres's all is the password, even with a / in it.
	 */
	authority = strncmp(text, "http", 4) ? query : host + strcspn(host, "/?");
	at = memrchr(host, '@', (size_t)(authority - host));
	colon = at ? memchr(host, ':', (size_t)(at - host)) : NULL;
	if (colon)
		buf_printf(&out, "%.*s" SECRET "%.*s", (int)(colon + 1 - text), text,
			   (int)(query - at), at);
	else
		buf_printf(&out, "%.*s", (int)(query - text), text);
	while (*query) {
		size_t length = 1 + strcspn(query + 1, "&");
		const char *value = memchr(query, '=', length);

		if (value && memmem(query, (size_t)(value - query), "password", 8))
			buf_printf(&out, "%.*s" SECRET, (int)(value + 1 - query), query);
		else
			buf_printf(&out, "%.*s", (int)length, query);
		query += length;
	}
	return buf_steal(&out);
}

static void map_print(struct buf *out, const struct option_map *map, int indent)
{
	if (map->count == 0)
		buf_text(out, " {}");
	buf_text(out, "\n");
	for (size_t i = 0; i < map->count; i++) {
		indent_print(out, indent + 2);
		yaml_quote(out, map->pairs[i].key);
		buf_text(out, ": ");
		if (option_key_is_secret(map->pairs[i].key))
			buf_text(out, "\"" SECRET "\"");
		else
			text_print(out, map->pairs[i].value, false);
		buf_text(out, "\n");
	}
}

static void patterns_print(struct buf *out, const struct option_list *list, int indent)
{
	if (list->count == 0)
		buf_text(out, " []");
	buf_text(out, "\n");
	for (size_t i = 0; i < list->count; i++) {
		indent_print(out, indent + 2);
		buf_text(out, "- ");
		text_print(out, list->texts[i], false);
		buf_text(out, "\n");
	}
}

static void shown_print(struct buf *out, const struct option_list *list, int indent)
{
	if (list->count == 0)
		buf_text(out, " []");
	buf_text(out, "\n");
	for (size_t i = 0; i < list->count; i++) {
		indent_print(out, indent + 2);
		buf_printf(out, "- %s\n", list->shown[i]);
	}
}

static void value_print(struct buf *out, const struct option *o, const char *value)
{
	char *masked;

	if (o->flags & OPTION_SECRET) {
		buf_text(out, "\"" SECRET "\"");
	} else if (o->type == OPTION_TEXT) {
		masked = url_masked(value);
		text_print(out, masked, o->flags & OPTION_TEMPLATE);
		free(masked);
	} else {
		buf_text(out, value);
	}
}

/* One table being printed. A group without a row that is set leaves nothing behind. */
struct printer {
	struct buf *out;
	const void *base;
	int indent;
	size_t entered[KEY_DEPTH_MAX], opened[KEY_DEPTH_MAX]; /* sizes before and behind "group:" */
	size_t depth;
	const char *skip; /* a group that is left out; may be NULL */
};

static void row_print(void *arg, const struct option *o, const char *key)
{
	struct printer *p = arg;
	const void *field = (const char *)p->base + o->offset;
	struct buf value;

	buf_init(&value, 0);
	if (o->type == OPTION_MAP) {
		indent_print(p->out, p->indent);
		buf_printf(p->out, "%s:", key);
		map_print(p->out, field, p->indent);
	} else if (o->type == OPTION_PATTERNS) {
		indent_print(p->out, p->indent);
		buf_printf(p->out, "%s:", key);
		patterns_print(p->out, field, p->indent);
	} else if (o->type == OPTION_TRANSFORMS || o->type == OPTION_SCHEMAS) {
		indent_print(p->out, p->indent);
		buf_printf(p->out, "%s:", key);
		shown_print(p->out, field, p->indent);
	} else if (option_text(o, p->base, &value)) {
		indent_print(p->out, p->indent);
		buf_printf(p->out, "%s: ", key);
		value_print(p->out, o, buf_str(&value).p);
		buf_text(p->out, "\n");
	}
	buf_release(&value);
}

static void group_enter(void *arg, const char *key)
{
	struct printer *p = arg;

	assert(p->depth < KEY_DEPTH_MAX);
	p->entered[p->depth] = p->out->size;
	indent_print(p->out, p->indent);
	buf_printf(p->out, "%s:\n", key);
	p->opened[p->depth++] = p->out->size;
	p->indent += 2;
}

static void group_leave(void *arg, const char *key)
{
	struct printer *p = arg;

	p->indent -= 2;
	if (p->out->size == p->opened[--p->depth] || (p->skip && !strcmp(p->skip, key)))
		buf_truncate(p->out, p->entered[p->depth]);
}

static void table_print(struct buf *out, const struct option *table, const void *base, int indent,
			const char *skip)
{
	struct printer p = { .out = out, .base = base, .indent = indent, .skip = skip };

	option_visit(table, &(struct option_visitor){ row_print, group_enter, group_leave, &p });
}

/* An entry of a list: its first row, which is required, stands behind the dash. */
static void item_print(struct buf *out, const struct option *table, const void *base, int indent,
		       const char *skip)
{
	size_t start = out->size;

	table_print(out, table, base, indent, skip);
	out->data[start + (size_t)indent - 2] = '-';
}

static void streams_print(struct buf *out, const struct config *c)
{
	if (c->stream_count)
		buf_text(out, "streams:\n");
	for (size_t i = 0; i < c->stream_count; i++) {
		const struct config_stream *s = &c->streams[i];

		item_print(out, config_stream_section.options, s, 4,
			   s->baseline.bucket ? NULL : "baseline");
		buf_text(out, "    sinks:\n");
		for (size_t k = 0; k < s->sink_count; k++)
			item_print(out, config_stream_sink_section.options, &s->sinks[k], 8, NULL);
	}
}

static void exports_print(struct buf *out, const struct config *c)
{
	if (c->export_count)
		buf_text(out, "exports:\n");
	for (size_t i = 0; i < c->export_count; i++) {
		const struct config_export *x = &c->exports[i];

		item_print(out, config_export_section.options, x, 4, NULL);
		if (x->sink_count)
			buf_text(out, "    sinks:\n");
		for (size_t k = 0; k < x->sink_count; k++)
			item_print(out, config_stream_sink_section.options, &x->sinks[k], 8, NULL);
	}
}

static void sinks_print(struct buf *out, const struct config *c)
{
	buf_text(out, "sinks:\n");
	for (size_t i = 0; i < c->sink_count; i++) {
		buf_text(out, "  ");
		yaml_quote(out, c->sinks[i].name);
		buf_printf(out, ":\n    type: %s\n", c->sinks[i].type->type);
		table_print(out, c->sinks[i].type->options, c->sinks[i].settings, 4, NULL);
	}
}

void config_print(const struct config *c, struct buf *out)
{
	for (const struct section *s = config_sections; s->name; s++) {
		/* The file's order: what is read and where it goes stand before the rest. */
		if (!strcmp(s->name, "dead_letter")) {
			streams_print(out, c);
			exports_print(out, c);
			sinks_print(out, c);
		}
		buf_printf(out, "%s:\n", s->name);
		table_print(out, s->options, (const char *)c + s->offset, 2, NULL);
	}
}
