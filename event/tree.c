#include "event/tree.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

#define TREE_PIECE ((size_t)32 << 10)

/* ---- memory ---- */

void tree_memory_clear(struct tree_memory *m)
{
	/* The first piece of memory is enough for nearly every item. */
	if (LIKELY(m->left == TREE_BYTES_MAX - TREE_PIECE)) {
		m->at = m->end - TREE_PIECE;
		return;
	}
	arena_clear(&m->arena);
	m->at = m->end = NULL;
	m->left = TREE_BYTES_MAX;
}

char *tree_bytes_more(struct tree_memory *m, size_t n)
{
	size_t size = n > TREE_PIECE ? n : TREE_PIECE;
	char *p;

	if (size > m->left)
		return NULL;
	m->left -= size;
	p = arena_alloc(&m->arena, size);
	m->at = p + n;
	m->end = p + size;
	return p;
}

struct tree *tree_new(struct tree_memory *m)
{
	struct tree *t = (struct tree *)(void *)tree_bytes(m, sizeof(*t));

	if (LIKELY(t))
		memset(t, 0, sizeof(*t));
	return t;
}

struct tree *tree_copy(struct tree_memory *m, const struct tree *t)
{
	struct tree *copy = (struct tree *)(void *)tree_bytes(m, sizeof(*copy));

	if (LIKELY(copy))
		*copy = *t;
	return copy;
}

/* ---- reading ---- */

char *tree_escape(struct str plain, char *o)
{
	static const char hex[] = "0123456789abcdef", from[] = "\b\f\n\r\t", to[] = "bfnrt";

	for (size_t i = 0; i < plain.n; i++) {
		unsigned char c = (unsigned char)plain.p[i];
		const char *known;

		if (c >= 0x20 && c != '"' && c != '\\') {
			*o++ = (char)c;
			continue;
		}
		*o++ = '\\';
		known = c && c < 0x20 ? strchr(from, c) : NULL;
		if (c >= 0x20) {
			*o++ = (char)c;
		} else if (known) {
			*o++ = to[known - from];
		} else {
			memcpy(o, "u00", 3);
			o[3] = hex[c >> 4];
			o[4] = hex[c & 15];
			o += 5;
		}
	}
	return o;
}

/* Names are compared byte for byte, so each has one spelling. */
static bool name_settle(struct tree_memory *m, struct tree *t)
{
	char *plain, *o;

	if (LIKELY(!memchr(t->name.p, '\\', t->name.n)))
		return true;
	plain = tree_bytes(m, (1 + TREE_ESCAPE) * t->name.n);
	if (!plain)
		return false;
	o = plain + t->name.n;
	t->name.n =
		(size_t)(tree_escape((struct str){ plain, scan_unescape(t->name, plain) }, o) - o);
	t->name.p = o;
	return true;
}

struct tree_read tree_read(const struct value_seen *seen)
{
	struct scan scan; /* no fault can come up: it was read before */
	struct tree_read r;
	const char *value = NULL;
	size_t text;

	/* What the memory knows: quotes and colon, and {"S":" behind them. */
	if (LIKELY(seen->head_n != UINT32_MAX)) {
		r.name = (struct str){ seen->in + 1, seen->head_n - 3 - (seen->type ? 6 : 0) };
		value = r.name.p + r.name.n + 2;
	}
	if (UNLIKELY(!value || value[-1] != ':' || value[0] != '{'))
		value = scan_name(&scan, seen->in, &r.name);
	r.raw = (struct str){ value, (size_t)(seen->in + seen->in_n - value) };
	/* A name that is reserved has one underscore more there. */
	text = r.name.n + 3 + (seen->out[r.name.n + 1] != '"');
	r.text = (struct str){ seen->out + text, seen->out_n - text };
	return r;
}

bool tree_settle_seen(struct tree_memory *m, struct tree *t)
{
	struct tree_read r = tree_read(t->seen);

	t->type = t->seen->type == 'S'   ? TREE_S
		  : t->seen->type == 'N' ? TREE_N
		  : t->seen->type == 'M' ? TREE_M
		  : t->seen->type == 'L' ? TREE_L
					 : TREE_UNKNOWN;
	t->settled = true;
	t->raw = r.raw;
	t->text = r.text;
	/* Renamed, or known to be spelled as it has to be. */
	if (t->name.n > 0)
		return true;
	t->name = r.name;
	return name_settle(m, t);
}

/* The type's name, behind its quote; and the place of what it has. */
static const char *type_text(const struct tree *t, const char **inside)
{
	const char *p = t->raw.p;
	struct scan scan;
	struct str name;

	if (LIKELY(p[1] == '"' && p[3] == '"' && p[4] == ':' && (unsigned char)p[5] > ' ')) {
		*inside = p + 5;
		return p + 2;
	}
	*inside = scan_name(&scan, scan_space(&scan, p + 1), &name);
	return name.p;
}

enum tree_type tree_type(struct tree *t)
{
	const char *inside, *p;

	if (LIKELY(t->type != TREE_UNKNOWN))
		return (enum tree_type)t->type;
	p = type_text(t, &inside);
	switch (*p) {
	case 'S':
		t->type = p[1] == 'S' ? TREE_SS : TREE_S;
		break;
	case 'N':
		t->type = p[1] == 'S' ? TREE_NS : p[1] == 'U' ? TREE_NULL : TREE_N;
		break;
	case 'B':
		t->type = p[1] == 'S' ? TREE_BS : p[1] == 'O' ? TREE_BOOL : TREE_B;
		break;
	case 'M':
		t->type = TREE_M;
		break;
	default:
		t->type = TREE_L;
	}
	return (enum tree_type)t->type;
}

const char *tree_type_name(enum tree_type type)
{
	static const char *const names[] = { "",   "S",  "N",  "B", "BOOL", "NULL",
					     "SS", "NS", "BS", "M", "L" };

	return names[type];
}

const char *tree_inside(const struct tree *t)
{
	const char *inside;

	type_text(t, &inside);
	return inside;
}

struct str tree_body(struct tree *t)
{
	const char *p = t->raw.p, *end = p + t->raw.n;
	struct scan scan;

	if (LIKELY(p[1] == '"' && p[3] == '"' && p[4] == ':' && p[5] == '"' && end[-2] == '"'))
		return (struct str){ p + 6, t->raw.n - 8 };
	p = tree_inside(t) + 1;
	return (struct str){ p, (size_t)(scan_string(&scan, p) - p) };
}

/* The end of a value that was found valid before; its type where it is spelled in the usual way. */
static inline const char *value_end(struct tree *t, const char *p)
{
	struct scan scan;

	if (LIKELY(p[0] == '{' && p[1] == '"' && p[3] == '"' && p[4] == ':' && p[5] == '"')) {
		const char *end = scan_string(&scan, p + 6);

		if (LIKELY(end[1] == '}')) {
			t->type = p[2] == 'S' ? TREE_S : p[2] == 'N' ? TREE_N : TREE_B;
			if (t->type != TREE_N) /* it is part of it */
				t->text = (struct str){ p + 5, (size_t)(end + 1 - (p + 5)) };
			return end + 2;
		}
	}
	return scan_skip(&scan, p);
}

bool tree_members(struct tree_memory *m, struct tree *item, const char *p)
{
	struct scan scan;

	item->open = true;
	item->type = TREE_M;
	p = scan_space(&scan, p + 1);
	while (*p != '}') {
		struct tree *t = tree_new(m);
		const char *end;

		if (!t)
			return false;
		p = scan_name(&scan, p, &t->name);
		end = value_end(t, p);
		assert(end);
		t->raw = (struct str){ p, (size_t)(end - p) };
		if (!name_settle(m, t))
			return false;
		tree_add(item, NULL, t);
		p = scan_space(&scan, end);
		if (*p == ',')
			p = scan_space(&scan, p + 1);
	}
	return true;
}

static bool elements(struct tree_memory *m, struct tree *list, const char *p)
{
	struct scan scan;

	p = scan_space(&scan, p + 1);
	while (*p != ']') {
		struct tree *t = tree_new(m);
		const char *end;

		if (!t)
			return false;
		end = value_end(t, p);
		assert(end);
		t->raw = (struct str){ p, (size_t)(end - p) };
		tree_add(list, NULL, t);
		p = scan_space(&scan, end);
		if (*p == ',')
			p = scan_space(&scan, p + 1);
	}
	return true;
}

bool tree_open(struct tree_memory *m, struct tree *t)
{
	if (t->open)
		return true;
	if (tree_type(t) == TREE_M)
		return tree_members(m, t, tree_inside(t));
	assert(t->type == TREE_L);
	t->open = true;
	return elements(m, t, tree_inside(t));
}

/* ---- changing ---- */

bool tree_replace_scalar(struct tree_memory *m, struct tree *t, enum tree_type type,
			 struct str body)
{
	char *o = tree_bytes(m, body.n + 8);

	if (!o)
		return false;
	memcpy(o, type == TREE_N ? "{\"N\":\"" : type == TREE_B ? "{\"B\":\"" : "{\"S\":\"", 6);
	if (body.n)
		memcpy(o + 6, body.p, body.n);
	memcpy(o + 6 + body.n, "\"}", 2);
	tree_replace(t, type, (struct str){ o, body.n + 8 });
	return true;
}

void tree_add(struct tree *parent, struct tree *after, struct tree *t)
{
	if (!after)
		after = parent->last;
	if (after) {
		t->next = after->next;
		after->next = t;
	} else {
		t->next = NULL;
		parent->first = t;
	}
	if (parent->last == after)
		parent->last = t;
}

struct tree *tree_find(const struct tree *parent, struct str name)
{
	for (struct tree *t = parent->first; t; t = t->next)
		if (t->name.n == name.n && !t->gone && memcmp(t->name.p, name.p, name.n) == 0)
			return t;
	return NULL;
}

struct tree *tree_clone(struct tree_memory *m, const struct tree *t)
{
	struct tree *copy = tree_new(m);

	if (!copy)
		return NULL;
	*copy = *t;
	copy->seen = NULL;
	copy->next = copy->first = copy->last = NULL;
	if (t->raw.p) {
		copy->open = false;
		return copy;
	}
	for (const struct tree *c = t->first; c; c = c->next) {
		struct tree *child;

		if (c->gone)
			continue;
		child = tree_clone(m, c);
		if (!child)
			return NULL;
		tree_add(copy, NULL, child);
	}
	return copy;
}
