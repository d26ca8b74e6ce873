#include "aws/xml.h"

#include <stdint.h>
#include <stdlib.h>

static const struct {
	struct str escape;
	char plain;
} entities[] = {
	{ { "&lt;", 4 }, '<' },   { { "&gt;", 4 }, '>' },    { { "&amp;", 5 }, '&' },
	{ { "&quot;", 6 }, '"' }, { { "&apos;", 6 }, '\'' },
};

/* `<tag` followed by what ends a name. */
static const char *open_tag(struct str in, const char *tag, size_t n)
{
	const char *end = in.p + in.n;

	for (const char *at = in.p; (at = memchr(at, '<', (size_t)(end - at))); at++)
		if ((size_t)(end - at) > n + 1 && memcmp(at + 1, tag, n) == 0 &&
		    strchr("> \t\r\n/", at[n + 1]) && at[n + 1])
			return at;
	return NULL;
}

bool xml_next(struct str *rest, const char *tag, struct str *inner)
{
	size_t n = strlen(tag);
	const char *end = rest->p + rest->n;
	const char *open = rest->n ? open_tag(*rest, tag, n) : NULL;
	const char *text = open ? memchr(open, '>', (size_t)(end - open)) : NULL;

	if (!text)
		return false;
	text++;
	if (text[-2] == '/') { /* <tag/> */
		*rest = (struct str){ text, (size_t)(end - text) };
		*inner = (struct str){ text, 0 };
		return true;
	}
	for (const char *at = text; (at = memmem(at, (size_t)(end - at), "</", 2)); at += 2) {
		if ((size_t)(end - at) < n + 3 || memcmp(at + 2, tag, n) != 0 || at[n + 2] != '>')
			continue;
		*rest = (struct str){ at + n + 3, (size_t)(end - at) - n - 3 };
		*inner = (struct str){ text, (size_t)(at - text) };
		return true;
	}
	return false;
}

/* One character, plain or escaped, from the start of `in`; returns how many bytes it took. */
static size_t unescape(struct str in, char *c)
{
	*c = in.p[0];
	if (in.p[0] != '&')
		return 1;
	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
		struct str e = entities[i].escape;

		if (in.n >= e.n && memcmp(in.p, e.p, e.n) == 0) {
			*c = entities[i].plain;
			return e.n;
		}
	}
	if (in.n > 3 && in.p[1] == '#') { /* S3 writes quotes and control characters like this */
		bool is_hex = in.p[2] == 'x';
		uint32_t code = 0;
		size_t i = is_hex ? 3 : 2;

		for (; i < in.n && i < 9 && in.p[i] != ';'; i++) {
			char digit[2] = { in.p[i], 0 }, *end;

			code = code * (is_hex ? 16 : 10) +
			       (uint32_t)strtoul(digit, &end, is_hex ? 16 : 10);
			if (*end)
				return 1;
		}
		if (i < in.n && in.p[i] == ';' && code > 0 && code < 0x80) {
			*c = (char)code;
			return i + 1;
		}
	}
	return 1;
}

bool xml_text(struct str document, const char *tag, char *out, size_t size)
{
	struct str inner;
	size_t used = 0;

	out[0] = '\0';
	if (!xml_next(&document, tag, &inner))
		return false;
	while (inner.n) {
		char c;
		size_t taken = unescape(inner, &c);

		if (used + 1 >= size) {
			out[0] = '\0';
			return false;
		}
		out[used++] = c;
		inner = (struct str){ inner.p + taken, inner.n - taken };
	}
	out[used] = '\0';
	return true;
}
