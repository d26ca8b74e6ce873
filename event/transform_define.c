/* A definition's JSON as a tree. */
#include <stdarg.h>
#include <stdio.h>

#include "event/scan.h"
#include "event/transform_internal.h"

#define DEPTH_MAX   5 /* of containers; no definition has more */
#define MEMBERS_MAX 1000

bool define_fail(struct definer *d, const char *at, const char *fmt, ...)
{
	char message[sizeof(d->err->message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	d->at = at;
	return error_set(d->err, ERROR_INVALID, "%s", message);
}

static struct str text_of(struct definer *d, struct str raw)
{
	char *plain = arena_alloc(&d->transform->arena, raw.n + 1);

	return (struct str){ plain, scan_unescape(raw, plain) };
}

/* Valid JSON; the place behind the value. */
static const char *read_value(struct definer *d, const char *p, unsigned depth, struct define *out);

static const char *read_children(struct definer *d, const char *p, unsigned depth,
				 struct define *out)
{
	bool map = *p == '{';
	struct define **link = &out->first;
	struct scan scan;

	out->kind = map ? DEFINE_MAP : DEFINE_LIST;
	if (depth == DEPTH_MAX) {
		define_fail(d, p, "maps and lists inside each other: no %s has that many", d->what);
		return NULL;
	}
	p = scan_space(&scan, p + 1);
	while (*p != (map ? '}' : ']')) {
		struct define *child = arena_alloc(&d->transform->arena, sizeof(*child));
		const char *begin = p;

		*child = (struct define){ 0 };
		if (out->count == MEMBERS_MAX) {
			define_fail(d, p, "at most %d of them; use a second %s", MEMBERS_MAX,
				    d->what);
			return NULL;
		}
		if (map) {
			struct str name;

			p = scan_name(&scan, p, &name);
			child->name = text_of(d, name);
		}
		p = read_value(d, p, depth + 1, child);
		if (!p)
			return NULL;
		if (map)
			child->at = begin;
		for (const struct define *c = out->first; map && c; c = c->next)
			if (str_equal(c->name, child->name)) {
				define_fail(d, begin, "'%.*s' is there twice", SHORT(c->name));
				return NULL;
			}
		*link = child;
		link = &child->next;
		out->count++;
		p = scan_space(&scan, p);
		if (*p == ',')
			p = scan_space(&scan, p + 1);
	}
	return p + 1;
}

static const char *read_value(struct definer *d, const char *p, unsigned depth, struct define *out)
{
	struct scan scan;
	const char *end;

	out->at = p;
	if (*p == '{' || *p == '[')
		return read_children(d, p, depth, out);
	end = scan_skip(&scan, p);
	out->text = (struct str){ p, (size_t)(end - p) };
	switch (*p) {
	case '"':
		out->kind = DEFINE_TEXT;
		out->text = text_of(d, (struct str){ p + 1, (size_t)(end - p) - 2 });
		break;
	case 't':
		out->kind = DEFINE_TRUE;
		break;
	case 'f':
		out->kind = DEFINE_FALSE;
		break;
	case 'n':
		out->kind = DEFINE_NULL;
		break;
	default:
		out->kind = DEFINE_NUMBER;
	}
	return end;
}

struct define *define_parse(struct definer *d, struct str json)
{
	struct define *root = arena_alloc(&d->transform->arena, sizeof(*root));
	struct scan scan = { 0 };
	const char *p, *end;

	*root = (struct define){ 0 };
	d->text = d->at = "";
	if (json.n > TRANSFORM_DEFINITION_MAX) {
		define_fail(d, d->text, "a %s is at most %zu bytes long", d->what,
			    TRANSFORM_DEFINITION_MAX);
		return NULL;
	}
	d->text = scan_keep(json, &d->transform->arena).p;
	p = scan_space(&scan, d->text);
	end = scan_skip(&scan, p);
	if (end && scan_space(&scan, end) != d->text + json.n) {
		scan_fail(&scan, end, "nothing behind it");
		end = NULL;
	}
	if (!end) {
		define_fail(d, scan.fault_at, "not JSON: expected %s", scan.fault);
		return NULL;
	}
	return read_value(d, p, 0, root) ? root : NULL;
}

struct define *define_member(const struct define *map, const char *name)
{
	if (map->kind != DEFINE_MAP)
		return NULL;
	for (struct define *c = map->first; c; c = c->next)
		if (str_equal(c->name, str_of(name)))
			return c;
	return NULL;
}
