#include "config/patterns.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Which line of the file a byte of the JSON text comes from. */
struct origin {
	size_t offset;
	int line;
};
struct writer {
	struct fill *fill;
	struct buf json;
	struct origin *origins; /* by offset */
	size_t count;
};

static void note(struct writer *w, const struct yaml_node *n)
{
	w->origins = memory_room(w->origins, w->count, sizeof(*w->origins));
	w->origins[w->count++] = (struct origin){ w->json.size, n->line };
}

static size_t digits(const char *p)
{
	return strspn(p, "0123456789");
}

/* As JSON writes them. */
static bool is_number(const char *p)
{
	size_t n;

	p += *p == '-';
	n = digits(p);
	if (n == 0 || (n > 1 && *p == '0'))
		return false;
	p += n;
	if (*p == '.') {
		n = digits(p + 1);
		if (n == 0)
			return false;
		p += n + 1;
	}
	if (*p == 'e' || *p == 'E') {
		p += p[1] == '+' || p[1] == '-' ? 2 : 1;
		n = digits(p);
		if (n == 0)
			return false;
		p += n;
	}
	return *p == '\0';
}

/* Without quotes YAML means a number, true, false or null where it looks like one. */
static bool write_scalar(struct writer *w, const struct yaml_node *n)
{
	const char *text = fill_text(w->fill, n, false);

	if (!text)
		return false;
	if (yaml_is_null(n))
		buf_text(&w->json, "null");
	else if (n->plain && (is_number(text) || !strcmp(text, "true") || !strcmp(text, "false")))
		buf_text(&w->json, text);
	else
		buf_json_text(&w->json, str_of(text));
	return true;
}

static bool write_node(struct writer *w, const struct yaml_node *n)
{
	bool map = n->kind == YAML_MAP;

	note(w, n);
	if (n->kind == YAML_TEXT)
		return write_scalar(w, n);
	buf_text(&w->json, map ? "{" : "[");
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		if (c != n->first)
			buf_text(&w->json, ",");
		note(w, c);
		if (map) {
			buf_json_text(&w->json, str_of(c->key));
			buf_text(&w->json, ":");
		}
		if (!write_node(w, c))
			return false;
	}
	buf_text(&w->json, map ? "}" : "]");
	return true;
}

static int line_at(const struct writer *w, const struct yaml_node *n, size_t at)
{
	int line = n->line;

	for (size_t i = 0; i < w->count && w->origins[i].offset <= at; i++)
		line = w->origins[i].line;
	if (n->kind != YAML_TEXT || !strchr(n->text, '\n'))
		return line;
	/* A text of several lines begins behind its '|'. */
	for (size_t i = 0; i < at && w->json.data[i]; i++)
		line += w->json.data[i] == '\n';
	return line + 1;
}

static bool check(struct writer *w, const struct yaml_node *n)
{
	struct error inner = { 0 };
	struct buf path;
	size_t at = 0;

	if (w->fill->pattern(buf_str(&w->json), &at, &inner))
		return true;
	buf_init(&path, 0);
	yaml_path(n, &path);
	error_set(w->fill->err, ERROR_INVALID, "%s:%d: %.100s: %s", w->fill->file,
		  line_at(w, n, at), path.data, inner.message);
	buf_release(&path);
	return false;
}

static const char *pattern_fill(struct fill *f, const struct yaml_node *n)
{
	struct writer w = { .fill = f };
	const char *text = NULL;

	buf_init(&w.json, 0);
	if (n->kind == YAML_MAP) {
		if (write_node(&w, n) && check(&w, n))
			text = arena_printf(f->arena, "%s", w.json.data);
	} else if (n->kind == YAML_TEXT && !yaml_is_null(n)) {
		const char *json = fill_text(f, n, false);

		if (json)
			buf_text(&w.json, json);
		if (json && check(&w, n))
			text = json;
	} else {
		fill_fail(f, n, NULL,
			  "expected a pattern: a map such as { eventName: [INSERT] }, or its JSON "
			  "as a text");
	}
	buf_release(&w.json);
	free(w.origins);
	return text;
}

bool patterns_fill(struct fill *f, struct option_list *list, const struct yaml_node *n)
{
	if (n->kind != YAML_LIST)
		return fill_fail(f, n, NULL,
				 "expected a list of patterns, such as [{ eventName: [INSERT] }]");
	if (n->count > OPTION_PATTERNS_MAX)
		return fill_fail(f, n, NULL, "expected at most %d patterns, not %zu",
				 OPTION_PATTERNS_MAX, n->count);
	list->texts = arena_alloc(f->arena, (n->count + 1) * sizeof(list->texts[0]));
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		const char *text = pattern_fill(f, c);

		if (!text)
			return false;
		list->texts[list->count++] = text;
	}
	return true;
}
