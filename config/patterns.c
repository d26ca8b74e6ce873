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
	bool (*check)(struct str json, size_t *at, struct error *err);
	bool transform; /* it may have templates and secrets */
	bool shows;     /* what is printed of it is wanted, too */
	struct buf json;
	struct buf shown;       /* the same as the file has it, without secrets */
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

/* Whether n stands below this key of a transform: set: { …: n }. */
static bool is_below(const struct writer *w, const struct yaml_node *n, const char *key)
{
	const struct yaml_node *parent = n->parent;

	return w->transform && parent && parent->kind == YAML_MAP && parent->key &&
	       !strcmp(parent->key, key);
}

static void both(struct writer *w, const char *text)
{
	buf_text(&w->json, text);
	if (w->shows)
		buf_text(&w->shown, text);
}

/* What expansion would take for itself is escaped, as it is where all else is printed. */
static void show_text(struct writer *w, const char *text, bool is_template, bool is_secret)
{
	struct buf escaped;

	if (!w->shows)
		return;
	buf_init(&escaped, 0);
	for (const char *p = is_secret ? "***" : text; *p; p++)
		buf_printf(&escaped, "%s%c", *p == '$' && !is_template ? "$" : "", *p);
	buf_json_text(&w->shown, buf_str(&escaped));
	buf_release(&escaped);
}

/* Without quotes YAML means a number, true, false or null where it looks like one. What a transform
 * sets is a template of the event, and the key of a hash is a secret. */
static bool write_scalar(struct writer *w, const struct yaml_node *n)
{
	bool is_template = is_below(w, n, "set");
	bool is_secret = is_below(w, n, "hash") && !strcmp(n->key, "key");
	const char *text = fill_text(w->fill, n, is_template);

	if (!text)
		return false;
	if (yaml_is_null(n)) {
		both(w, "null");
	} else if (n->plain && !is_secret &&
		   (is_number(text) || !strcmp(text, "true") || !strcmp(text, "false"))) {
		both(w, text);
	} else {
		buf_json_text(&w->json, str_of(text));
		show_text(w, text, is_template, is_secret);
	}
	return true;
}

static bool write_node(struct writer *w, const struct yaml_node *n)
{
	bool map = n->kind == YAML_MAP;

	note(w, n);
	if (n->kind == YAML_TEXT)
		return write_scalar(w, n);
	both(w, map ? "{" : "[");
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		if (c != n->first)
			both(w, ",");
		note(w, c);
		if (map) {
			buf_json_text(&w->json, str_of(c->key));
			if (w->shows)
				buf_json_text(&w->shown, str_of(c->key));
			both(w, ":");
		}
		if (!write_node(w, c))
			return false;
	}
	both(w, map ? "}" : "]");
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

static bool refuse(struct writer *w, const struct yaml_node *n, size_t at,
		   const struct error *inner)
{
	struct buf path;

	buf_init(&path, 0);
	yaml_path(n, &path);
	error_set(w->fill->err, ERROR_INVALID, "%s:%d: %.100s: %s", w->fill->file,
		  line_at(w, n, at), path.data, inner->message);
	buf_release(&path);
	return false;
}

static bool check(struct writer *w, const struct yaml_node *n)
{
	struct error inner = { 0 };
	size_t at = 0;

	return w->check(buf_str(&w->json), &at, &inner) || refuse(w, n, at, &inner);
}

static const char *pattern_fill(struct fill *f, const struct yaml_node *n)
{
	struct writer w = { .fill = f, .check = f->pattern };
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

/* As JSON in *text, and as it is printed in *shown. */
static bool transform_fill(struct fill *f, const struct yaml_node *n, const char **text,
			   const char **shown, size_t *left)
{
	struct writer w = { .fill = f, .check = f->transform, .transform = true, .shows = true };
	bool ok;

	buf_init(&w.json, 0);
	buf_init(&w.shown, 0);
	ok = write_node(&w, n) && check(&w, n);
	if (ok && w.json.size > *left)
		ok = fill_fail(f, n, NULL, "expected transforms of at most %zu bytes, together",
			       OPTION_TRANSFORMS_BYTES_MAX);
	if (ok) {
		*left -= w.json.size;
		*text = arena_printf(f->arena, "%s", w.json.data);
		*shown = arena_printf(f->arena, "%s", w.shown.data);
	}
	buf_release(&w.json);
	buf_release(&w.shown);
	free(w.origins);
	return ok;
}

bool transforms_fill(struct fill *f, struct option_list *list, const struct yaml_node *n)
{
	size_t left = OPTION_TRANSFORMS_BYTES_MAX;

	if (n->kind != YAML_LIST)
		return fill_fail(f, n, NULL,
				 "expected a list of transforms, such as [{ drop: [password] }]");
	if (n->count > OPTION_PATTERNS_MAX)
		return fill_fail(f, n, NULL, "expected at most %d transforms, not %zu",
				 OPTION_PATTERNS_MAX, n->count);
	list->texts = arena_alloc(f->arena, (n->count + 1) * sizeof(list->texts[0]));
	list->shown = arena_alloc(f->arena, (n->count + 1) * sizeof(list->shown[0]));
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		if (!transform_fill(f, c, &list->texts[list->count], &list->shown[list->count],
				    &left))
			return false;
		list->count++;
	}
	return true;
}

/* The schema behind those in `list`. */
static bool schema_fill(struct fill *f, const struct yaml_node *n, struct option_list *list)
{
	struct writer w = { .fill = f, .shows = true };
	struct str all[OPTION_PATTERNS_MAX];
	struct error inner = { 0 };
	size_t at = 0;
	bool ok;

	buf_init(&w.json, 0);
	buf_init(&w.shown, 0);
	for (size_t i = 0; i < list->count; i++)
		all[i] = str_of(list->texts[i]);
	ok = write_node(&w, n);
	all[list->count] = buf_str(&w.json);
	if (ok && !f->schemas(all, list->count + 1, &at, &inner))
		ok = refuse(&w, n, at, &inner);
	if (ok) {
		list->texts[list->count] = arena_printf(f->arena, "%s", w.json.data);
		list->shown[list->count++] = arena_printf(f->arena, "%s", w.shown.data);
	}
	buf_release(&w.json);
	buf_release(&w.shown);
	free(w.origins);
	return ok;
}

bool schemas_fill(struct fill *f, struct option_list *list, const struct yaml_node *n)
{
	if (n->kind != YAML_LIST)
		return fill_fail(f, n, NULL,
				 "expected a list of schemas, such as [{ name: order, columns: "
				 "[{ path: total, type: number }] }]");
	if (n->count > OPTION_PATTERNS_MAX)
		return fill_fail(f, n, NULL, "expected at most %d schemas, not %zu",
				 OPTION_PATTERNS_MAX, n->count);
	list->texts = arena_alloc(f->arena, (n->count + 1) * sizeof(list->texts[0]));
	list->shown = arena_alloc(f->arena, (n->count + 1) * sizeof(list->shown[0]));
	for (const struct yaml_node *c = n->first; c; c = c->next)
		if (!schema_fill(f, c, list))
			return false;
	return true;
}
