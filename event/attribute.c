#include "event/attribute.h"

#include <stdlib.h>

#include "base/memory.h"

#define NAME_BYTES 256

static void value_look(struct attribute *a)
{
	struct tree t = { .raw = a->value };

	a->inside = tree_inside(&t);
	a->type = tree_type(&t);
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

bool attribute_next(const char **p, struct attribute *out)
{
	struct scan scan; /* no fault can come up: it was read before */
	const char *at = scan_space(&scan, *p), *end;

	if (*at == ',')
		at = scan_space(&scan, at + 1);
	if (*at == '}')
		return false;
	at = scan_name(&scan, at, &out->name);
	if (UNLIKELY(!value_usual(at, out))) {
		end = scan_skip(&scan, at);
		out->value = (struct str){ at, (size_t)(end - at) };
		value_look(out);
	}
	*p = out->value.p + out->value.n;
	return true;
}

bool attribute_is_called(struct str name, struct str plain)
{
	char room[NAME_BYTES], *said = room;
	bool is;

	if (LIKELY(!memchr(name.p, '\\', name.n)))
		return str_equal(name, plain);
	if (name.n > sizeof(room))
		said = memory_new(name.n);
	is = str_equal((struct str){ said, scan_unescape(name, said) }, plain);
	if (said != room)
		free(said);
	return is;
}

bool attribute_find(const char *item, const struct str *names, size_t count, struct attribute *out)
{
	for (size_t i = 0; i < count; i++) {
		struct scan scan;
		const char *p;

		if (i > 0 && out->type != TREE_M)
			return false;
		p = scan_space(&scan, i > 0 ? out->inside : item) + 1;
		do
			if (!attribute_next(&p, out))
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
