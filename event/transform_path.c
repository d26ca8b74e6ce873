/* Paths of attributes: a.b[0].c */
#include "event/scan.h"
#include "event/transform_internal.h"
#include "event/tree.h"

static struct str name_keep(struct definer *d, struct str plain)
{
	struct arena *arena = &d->transform->arena;
	char *o = arena_alloc(arena, TREE_ESCAPE * plain.n + SCAN_PADDING);
	char *end = tree_escape(plain, o);

	memset(end, 0, SCAN_PADDING);
	return (struct str){ o, (size_t)(end - o) };
}

static uint32_t name_id(struct definer *d, struct str name)
{
	struct transform *t = d->transform;

	for (uint32_t i = 0; i < t->name_count; i++)
		if (str_equal(t->names[i], name))
			return i + 1;
	/* Room for twice as many, whenever they are a power of two. */
	if ((t->name_count & (t->name_count - 1)) == 0) {
		struct str *more =
			arena_alloc(&t->arena, (2 * t->name_count + 1) * sizeof(t->names[0]));

		if (t->name_count)
			memcpy(more, t->names, t->name_count * sizeof(t->names[0]));
		t->names = more;
	}
	t->names[t->name_count] = name;
	return ++t->name_count;
}

/* A name up to a dot, a bracket or the end. `plain` has room for it. */
static bool name_read(struct definer *d, struct str *rest, const char *at, char *plain,
		      struct transform_part *out)
{
	size_t n = 0;

	while (rest->n > 0 && *rest->p != '.' && *rest->p != '[') {
		if (*rest->p == ']')
			return define_fail(
				d, at,
				"']' without its '['; write \\] for one in a name, as in c\\[1\\]");
		if (*rest->p == '\\') {
			rest->p++;
			rest->n--;
			if (rest->n == 0)
				return define_fail(d, at,
						   "a path that ends with '\\'; it stands before "
						   "another character, as in a\\.b");
		}
		plain[n++] = *rest->p++;
		rest->n--;
	}
	if (n == 0)
		return define_fail(d, at,
				   "expected an attribute's path such as address.town or "
				   "lines[0].price, with a name at each place");
	out->kind = PART_NAME;
	out->name = name_keep(d, (struct str){ plain, n });
	return true;
}

/* [0] or [*] */
static bool index_read(struct definer *d, struct str *rest, const char *at,
		       struct transform_part *out)
{
	const char *close = memchr(rest->p, ']', rest->n);
	struct str inside;

	if (!close)
		return define_fail(
			d, at,
			"'[' without its ']'; expected lines[0] or lines[*]; write \\[ for one in "
			"a name");
	inside = (struct str){ rest->p + 1, (size_t)(close - rest->p - 1) };
	rest->n -= (size_t)(close + 1 - rest->p);
	rest->p = close + 1;
	if (str_equal(inside, STR("*"))) {
		out->kind = PART_ALL;
		return true;
	}
	out->kind = PART_INDEX;
	if (inside.n == 0 || inside.n > 6)
		return define_fail(
			d, at,
			"expected [0], [1], … or [*] behind a list's name, such as lines[0]");
	for (size_t i = 0; i < inside.n; i++) {
		if (inside.p[i] < '0' || inside.p[i] > '9')
			return define_fail(d, at,
					   "expected [0], [1], … or [*] behind a list's name, such "
					   "as lines[0]");
		out->index = out->index * 10 + (size_t)(inside.p[i] - '0');
	}
	return true;
}

/* For people, who get whole characters of what is long. */
static const char *path_text(struct arena *arena, struct str text)
{
	size_t n = text.n < 60 ? text.n : 60;

	while (n > 0 && n < text.n && ((unsigned char)text.p[n] & 0xC0) == 0x80)
		n--;
	return arena_printf(arena, "%.*s", (int)n, text.p);
}

bool path_parse(struct definer *d, struct str text, const char *at, struct transform_path *out)
{
	struct arena *arena = &d->transform->arena;
	char *plain = arena_alloc(arena, text.n + 1);
	struct str rest = text;

	out->count = 0;
	out->text = path_text(arena, text);
	out->parts = arena_alloc(arena, TRANSFORM_PARTS_MAX * sizeof(out->parts[0]));
	for (;;) {
		struct transform_part *part = &out->parts[out->count];

		if (out->count == TRANSFORM_PARTS_MAX)
			return define_fail(d, at, "a path has at most %d parts",
					   TRANSFORM_PARTS_MAX);
		*part = (struct transform_part){ 0 };
		if (rest.n > 0 && *rest.p == '[' && out->count > 0) {
			if (!index_read(d, &rest, at, part))
				return false;
		} else if (!name_read(d, &rest, at, plain, part)) {
			return false;
		}
		out->count++;
		if (rest.n == 0)
			break;
		if (*rest.p == '[')
			continue;
		if (*rest.p != '.')
			return define_fail(
				d, at, "expected '.' or '[' behind ']', such as lines[0].price");
		rest.p++;
		rest.n--;
		if (rest.n > 0 && *rest.p == '[')
			return define_fail(d, at,
					   "expected a name behind '.', such as lines[0].price");
		if (rest.n == 0)
			return define_fail(
				d, at,
				"a path that ends with '.'; expected one such as address.town");
	}
	out->parts[0].id = name_id(d, out->parts[0].name);
	return true;
}

bool path_has(const struct transform_path *path, enum transform_part_kind kind)
{
	for (size_t i = 0; i < path->count; i++)
		if (path->parts[i].kind == kind)
			return true;
	return false;
}

bool path_begins(const struct transform_path *path, const struct transform_path *with)
{
	if (with->count > path->count)
		return false;
	for (size_t i = 0; i < with->count; i++) {
		const struct transform_part *a = &path->parts[i], *b = &with->parts[i];

		if (a->kind != b->kind || a->index != b->index || !str_equal(a->name, b->name))
			return false;
	}
	return true;
}
