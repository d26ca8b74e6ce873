#include "event/attribute.h"

#include <stdlib.h>

#include "base/memory.h"

#define NAME_BYTES 256

static void value_look(struct attribute *a)
{
	struct scan scan; /* no fault can come up: it was read before */
	struct str type;

	a->inside = scan_name(&scan, scan_space(&scan, a->value.p + 1), &type);
	switch (*type.p) {
	case 'S':
		a->type = type.n > 1 ? TREE_SS : TREE_S;
		break;
	case 'N':
		a->type = type.n == 1 ? TREE_N : type.n == 2 ? TREE_NS : TREE_NULL;
		break;
	case 'B':
		a->type = type.n == 1 ? TREE_B : type.n == 2 ? TREE_BS : TREE_BOOL;
		break;
	case 'M':
		a->type = TREE_M;
		break;
	default:
		a->type = TREE_L;
	}
}

/* {"S":"…"}, {"N":"…"} and {"B":"…"}, as most values are spelled. */
static bool value_usual(const char *p, struct attribute *a)
{
	struct scan scan;
	const char *end;

	if (p[0] != '{' || p[1] != '"' || p[3] != '"' || p[4] != ':' || p[5] != '"')
		return false;
	end = scan_string(&scan, p + 6);
	if (end[1] != '}')
		return false;
	a->type = p[2] == 'S' ? TREE_S : p[2] == 'N' ? TREE_N : TREE_B;
	a->inside = p + 5;
	a->value = (struct str){ p, (size_t)(end + 2 - p) };
	return true;
}

/* As the memory of values knows it: with quotes and colon, and {"S":" behind them. */
static inline void take_seen(const struct value_seen *seen, struct attribute *out)
{
	const char *p = NULL;
	struct scan scan;

	if (LIKELY(seen->head_n != UINT32_MAX)) {
		out->name = (struct str){ seen->in + 1, seen->head_n - 3 - (seen->type ? 6 : 0) };
		p = out->name.p + out->name.n + 2;
	}
	if (UNLIKELY(!p || p[-1] != ':' || p[0] != '{'))
		p = scan_name(&scan, seen->in, &out->name);
	out->value = (struct str){ p, (size_t)(seen->in + seen->in_n - p) };
	if (UNLIKELY(!seen->type || p[1] != '"' || p[3] != '"' || p[4] != ':')) {
		value_look(out);
		return;
	}
	out->inside = p + 5;
	out->type = seen->type == 'S'   ? TREE_S
		    : seen->type == 'N' ? TREE_N
		    : seen->type == 'M' ? TREE_M
					: TREE_L;
}

struct attributes attributes_of_image(const struct item *image, bool kept)
{
	if (kept && image->seen_n > 0)
		return (struct attributes){ .seen = image->seen,
					    .end = image->seen + image->seen_n };
	return attributes_in(image->raw.p);
}

struct attributes attributes_of(const struct record *r, bool kept)
{
	if (r->new_image.raw.p)
		return attributes_of_image(&r->new_image, kept);
	if (r->old_image.raw.p)
		return attributes_of_image(&r->old_image, kept);
	return attributes_in(r->keys.raw.p);
}

bool attribute_next(struct attributes *a, struct attribute *out)
{
	struct scan scan; /* no fault can come up: it was read before */
	const char *p, *end;

	if (LIKELY(a->seen)) {
		if (a->seen == a->end)
			return false;
		take_seen(a->seen++, out);
		return true;
	}
	p = scan_space(&scan, a->p);
	if (*p == ',' || *p == '{')
		p = scan_space(&scan, p + 1);
	if (*p == '}')
		return false;
	p = scan_name(&scan, p, &out->name);
	if (UNLIKELY(!value_usual(p, out))) {
		end = scan_skip(&scan, p);
		out->value = (struct str){ p, (size_t)(end - p) };
		value_look(out);
	}
	a->p = out->value.p + out->value.n;
	return true;
}

bool attribute_says(struct str name, struct str plain)
{
	char room[NAME_BYTES], *said = room;
	bool is;

	if (name.n > sizeof(room))
		said = memory_new(name.n);
	is = str_equal((struct str){ said, scan_unescape(name, said) }, plain);
	if (said != room)
		free(said);
	return is;
}

bool attribute_find(struct attributes a, const struct str *names, size_t count,
		    struct attribute *out)
{
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && out->type != TREE_M)
			return false;
		if (i > 0)
			a = attributes_in(out->inside);
		do
			if (!attribute_next(&a, out))
				return false;
		while (!attribute_is_called(out->name, names[i]));
	}
	return true;
}

struct str attribute_body(const struct attribute *a)
{
	struct scan scan;
	const char *p = a->inside + 1;

	return (struct str){ p, (size_t)(scan_string(&scan, p) - p) };
}
