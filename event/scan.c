#include "event/scan.h"

#include "base/arena.h"

const char *scan_space_rare(struct scan *s, const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') {
		s->spaced = true;
		p++;
	}
	return p;
}

/* -1: not four hexadecimal digits. */
static int hex4(const char *p)
{
	int v = 0;

	for (unsigned i = 0; i < 4; i++) {
		int c = (unsigned char)p[i];

		if (c >= '0' && c <= '9')
			c -= '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			c = (c | 0x20) - 'a' + 10;
		else
			return -1;
		v = v << 4 | c;
	}
	return v;
}

static unsigned fail(struct scan *s, const char *p, const char *expected)
{
	scan_fail(s, p, expected);
	return 0;
}

static unsigned escape(struct scan *s, const char *p)
{
	int unit;

	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return 2;
	case 'u':
		unit = hex4(p + 2);
		if (unit < 0)
			return fail(s, p, "four hexadecimal digits behind \\u");
		if (unit < 0xD800 || unit > 0xDFFF)
			return 6;
		if (unit > 0xDBFF)
			return fail(s, p, "the high half of a surrogate pair before its low half");
		if (p[6] != '\\' || p[7] != 'u' || (hex4(p + 8) & 0xFC00) != 0xDC00)
			return fail(s, p, "the low half of a surrogate pair behind its high half");
		return 12;
	default:
		return fail(s, p, "an escape that JSON knows");
	}
}

static bool continues(char c)
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

unsigned scan_rare(struct scan *s, const char *p)
{
	unsigned char c = (unsigned char)p[0], d = (unsigned char)p[1];

	if (c == '\\')
		return escape(s, p);
	if (c < 0x20)
		return fail(s, p, "the rest of a string, controls escaped");
	if (c >= 0xC2 && c <= 0xDF && continues(p[1]))
		return 2;
	/* Neither overlong nor a surrogate nor beyond U+10FFFF. */
	if ((c & 0xF0) == 0xE0 && continues(p[1]) && continues(p[2]) && !(c == 0xE0 && d < 0xA0) &&
	    !(c == 0xED && d > 0x9F))
		return 3;
	if (c >= 0xF0 && c <= 0xF4 && continues(p[1]) && continues(p[2]) && continues(p[3]) &&
	    !(c == 0xF0 && d < 0x90) && !(c == 0xF4 && d > 0x8F))
		return 4;
	return fail(s, p, "valid UTF-8");
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *digits(struct scan *s, const char *p)
{
	if (!digit(*p))
		return scan_fail(s, p, "a digit");
	while (digit(*p))
		p++;
	return p;
}

const char *scan_number(struct scan *s, const char *p)
{
	if (*p == '-')
		p++;
	if (*p == '0')
		p++;
	else
		p = digits(s, p);
	if (p && *p == '.')
		p = digits(s, p + 1);
	if (p && (*p == 'e' || *p == 'E')) {
		p++;
		if (*p == '+' || *p == '-')
			p++;
		p = digits(s, p);
	}
	return p;
}

static const char *word(struct scan *s, const char *p)
{
	if (memcmp(p, "true", 4) == 0 || memcmp(p, "null", 4) == 0)
		return p + 4;
	if (memcmp(p, "false", 5) == 0)
		return p + 5;
	return scan_fail(s, p, "a value");
}

/* A value that is no container. */
static const char *scalar(struct scan *s, const char *p)
{
	if (*p == '"') {
		p = scan_string(s, p + 1);
		return p ? p + 1 : NULL;
	}
	if (*p == '-' || digit(*p))
		return scan_number(s, p);
	return word(s, p);
}

const char *scan_name(struct scan *s, const char *p, struct str *name)
{
	if (*p != '"')
		return scan_fail(s, p, "a member's name");
	name->p = p + 1;
	p = scan_string(s, name->p);
	if (!p)
		return NULL;
	name->n = (size_t)(p - name->p);
	p = scan_space(s, p + 1);
	if (*p != ':')
		return scan_fail(s, p, "':'");
	return scan_space(s, p + 1);
}

const char *scan_skip(struct scan *s, const char *p)
{
	char closing[SCAN_DEPTH_MAX];
	struct str name;
	unsigned depth = 0;

	for (;;) {
		if (*p == '{' || *p == '[') {
			char close = *p == '{' ? '}' : ']';

			if (depth == SCAN_DEPTH_MAX)
				return scan_fail(s, p, "at most 128 containers inside each other");
			closing[depth] = close;
			p = scan_space(s, p + 1);
			if (*p != close) {
				depth++;
				p = close == '}' ? scan_name(s, p, &name) : p;
				if (!p)
					return NULL;
				continue;
			}
			p++;
		} else {
			p = scalar(s, p);
			if (!p)
				return NULL;
		}
		/* Behind a value. */
		for (; depth > 0; depth--, p++) {
			p = scan_space(s, p);
			if (*p != closing[depth - 1])
				break;
		}
		if (depth == 0)
			return p;
		if (*p != ',')
			return scan_fail(s, p, "',' or the end of the container");
		p = scan_space(s, p + 1);
		p = closing[depth - 1] == '}' ? scan_name(s, p, &name) : p;
		if (!p)
			return NULL;
	}
}

const char *scan_border(const char *p, const char *end)
{
	size_t depth = 0;
	bool quoted = false;

	for (; p < end; p++) {
		if (quoted) {
			if (*p == '\\')
				p++;
			else if (*p == '"')
				quoted = false;
		} else if (*p == '"') {
			quoted = true;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			if (depth == 0)
				return p;
			depth--;
		} else if (*p == ',' && depth == 0) {
			return p;
		}
	}
	return NULL;
}

struct str scan_keep(struct str s, struct arena *arena)
{
	char *p = arena_alloc(arena, s.n + SCAN_PADDING);

	memcpy(p, s.p, s.n);
	memset(p + s.n, 0, SCAN_PADDING);
	return (struct str){ p, s.n };
}

static size_t utf8(unsigned code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xC0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xE0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3F));
		out[2] = (char)(0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3F));
	out[2] = (char)(0x80 | (code >> 6 & 0x3F));
	out[3] = (char)(0x80 | (code & 0x3F));
	return 4;
}

size_t scan_unescape(struct str text, char *out)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *p = text.p, *end = p + text.n, *known;
	char *o = out;

	while (p < end) {
		if (*p != '\\') {
			*o++ = *p++;
		} else if (p[1] == 'u') {
			unsigned code = (unsigned)hex4(p + 2);

			p += 6;
			if (code >= 0xD800 && code <= 0xDBFF) {
				code = 0x10000 + ((code & 0x3FF) << 10) +
				       ((unsigned)hex4(p + 2) & 0x3FF);
				p += 6;
			}
			o += utf8(code, o);
		} else {
			known = strchr(from, p[1]);
			*o++ = known ? to[known - from] : p[1];
			p += 2;
		}
	}
	return (size_t)(o - out);
}
