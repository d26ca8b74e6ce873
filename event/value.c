#include "event/value.h"

#include "event/number.h"

/* What the recursion carries along. */
struct pass {
	struct scan *scan;
	struct value_style style;
};

static const struct span none = { NULL, NULL };

static struct span value(struct pass *pass, const char *p, char *o, unsigned depth);

/* The first six bytes of a value, as scan_load gives them. */
#define HEAD(a, b, c, d, e, f)                                                                     \
	((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 |          \
	 (uint64_t)(e) << 32 | (uint64_t)(f) << 40)
#define HEAD_MASK 0xFFFFFFFFFFFFu

/* Bytes from p on of base64's alphabet; at most 16 at a time where there is SSE2. */
static size_t base64_run(const char *p)
{
	size_t n = 0;

#ifdef __SSE2__
	for (;; n += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + n));
		__m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
		__m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)),
					       _mm_cmplt_epi8(lower, _mm_set1_epi8('z' + 1)));
		/* '/' stands right before '0'. */
		__m128i digit = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8('/' - 1)),
					      _mm_cmplt_epi8(v, _mm_set1_epi8('9' + 1)));
		__m128i known = _mm_or_si128(_mm_or_si128(letter, digit),
					     _mm_cmpeq_epi8(v, _mm_set1_epi8('+')));
		unsigned other = ~(unsigned)_mm_movemask_epi8(known) & 0xFFFF;

		if (other)
			return n + (unsigned)__builtin_ctz(other);
	}
#else
	while ((p[n] >= '/' && p[n] <= '9') || p[n] == '+' ||
	       ((p[n] | 0x20) >= 'a' && (p[n] | 0x20) <= 'z'))
		n++;
	return n;
#endif
}

/* The text of a B from behind its opening quote to the closing one. JSON may write '/' as "\/". */
static struct span binary(struct pass *pass, const char *p, char *o)
{
	size_t symbols = 0, padding = 0;

	for (;;) {
		size_t n = base64_run(p);

		memcpy(o, p, n);
		p += n;
		o += n;
		symbols += n;
		if (p[0] != '\\' || p[1] != '/')
			break;
		*o++ = *p++;
	}
	for (; *p == '='; padding++)
		*o++ = *p++;
	if (*p != '"' || padding > 2 || (symbols + padding) % 4 != 0)
		return span_fail(pass->scan, p, "base64 with its padding");
	return (struct span){ p, o };
}

/* The text of an S, N or B from behind its opening quote; in: the place of the closing one. */
static struct span text(struct pass *pass, char type, const char *p, char *o)
{
	struct span t;

	if (type == 'N')
		return pass->style.numbers_as_strings ? number_copy_quoted(pass->scan, p, o)
						      : number_copy(pass->scan, p, o);
	*o = '"';
	t = type == 'S' ? scan_string_copy(pass->scan, p, o + 1) : binary(pass, p, o + 1);
	if (LIKELY(t.in))
		*t.out++ = '"';
	return t;
}

/* SS, NS, BS from the '['; `type` is what its members are. */
static struct span set(struct pass *pass, char type, const char *p, char *o)
{
	struct span t;

	if (*p != '[')
		return span_fail(pass->scan, p, "'['");
	*o++ = '[';
	do {
		p = scan_space(pass->scan, p + 1);
		if (*p != '"')
			return span_fail(pass->scan, p, "a string of the set");
		t = text(pass, type, p + 1, o);
		if (!t.in)
			return t;
		p = scan_space(pass->scan, t.in + 1);
		o = t.out;
		*o++ = *p;
	} while (*p == ',');
	if (*p != ']')
		return span_fail(pass->scan, p, "',' or ']'");
	return (struct span){ p + 1, o };
}

static struct span list(struct pass *pass, const char *p, char *o, unsigned depth)
{
	if (UNLIKELY(depth > VALUE_DEPTH_MAX))
		return span_fail(pass->scan, p, "at most 32 lists and maps inside each other");
	*o++ = '[';
	p = scan_space(pass->scan, p + 1);
	if (*p == ']') {
		*o++ = ']';
		return (struct span){ p + 1, o };
	}
	for (;;) {
		struct span t = value(pass, p, o, depth);

		if (!t.in)
			return t;
		p = scan_space(pass->scan, t.in);
		o = t.out;
		*o++ = *p;
		if (*p == ']')
			return (struct span){ p + 1, o };
		if (*p != ',')
			return span_fail(pass->scan, p, "',' or ']'");
		p = scan_space(pass->scan, p + 1);
	}
}

/* An attribute's name from its quote up to and with the colon. */
static inline struct span name(struct pass *pass, const char *p, char *o, bool escaped)
{
	struct span t;

	if (UNLIKELY(*p != '"'))
		return span_fail(pass->scan, p, "an attribute's name");
	*o = '"';
	t = scan_string_copy(pass->scan, p + 1, o + 1);
	if (UNLIKELY(!t.in))
		return t;
	if (UNLIKELY(escaped) &&
	    value_name_reserved((struct str){ p + 1, (size_t)(t.in - p - 1) })) {
		memmove(o + 2, o + 1, (size_t)(t.out - o - 1));
		o[1] = '_';
		t.out++;
	}
	*t.out++ = '"';
	*t.out++ = ':';
	t.in = scan_space(pass->scan, t.in + 1);
	if (UNLIKELY(*t.in != ':'))
		return span_fail(pass->scan, t.in, "':'");
	t.in = scan_space(pass->scan, t.in + 1);
	return t;
}

/* A map or item from its '{'; depth 0: the item itself. */
static struct span map(struct pass *pass, const char *p, char *o, unsigned depth)
{
	bool escaped = depth == 0 && pass->style.escape_names;

	if (UNLIKELY(depth > VALUE_DEPTH_MAX))
		return span_fail(pass->scan, p, "at most 32 lists and maps inside each other");
	*o++ = '{';
	p = scan_space(pass->scan, p + 1);
	if (*p == '}') {
		*o++ = '}';
		return (struct span){ p + 1, o };
	}
	for (;;) {
		struct span t = name(pass, p, o, escaped);

		if (UNLIKELY(!t.in))
			return t;
		t = value(pass, t.in, t.out, depth);
		if (UNLIKELY(!t.in))
			return t;
		p = scan_space(pass->scan, t.in);
		o = t.out;
		*o++ = *p;
		if (*p == '}')
			return (struct span){ p + 1, o };
		if (UNLIKELY(*p != ','))
			return span_fail(pass->scan, p, "',' or '}'");
		p = scan_space(pass->scan, p + 1);
	}
}

/* The value of a type from its first byte; `type` is the type's name with its closing quote. */
static struct span typed(struct pass *pass, const char *type, size_t n, const char *p, char *o,
			 unsigned depth)
{
	struct span t;
	bool is_true = memcmp(p, "true", 4) == 0;

	if (n == 1 && (*type == 'S' || *type == 'N' || *type == 'B')) {
		if (*p != '"')
			return span_fail(pass->scan, p, "a string");
		t = text(pass, *type, p + 1, o);
		return t.in ? (struct span){ t.in + 1, t.out } : t;
	}
	if (n == 1 && *type == 'M')
		return *p == '{' ? map(pass, p, o, depth + 1) : span_fail(pass->scan, p, "'{'");
	if (n == 1 && *type == 'L')
		return *p == '[' ? list(pass, p, o, depth + 1) : span_fail(pass->scan, p, "'['");
	if (n == 2 && type[1] == 'S' && (*type == 'S' || *type == 'N' || *type == 'B'))
		return set(pass, *type, p, o);
	if (n == 4 && memcmp(type, "BOOL", 4) == 0) {
		if (!is_true && memcmp(p, "false", 5) != 0)
			return span_fail(pass->scan, p, "true or false");
		memcpy(o, p, 5);
		return (struct span){ p + 5 - is_true, o + 5 - is_true };
	}
	if (n == 4 && memcmp(type, "NULL", 4) == 0) {
		if (!is_true)
			return span_fail(pass->scan, p, "true");
		memcpy(o, "null", 4);
		return (struct span){ p + 4, o + 4 };
	}
	return span_fail(pass->scan, type, "one of the types S N B BOOL NULL M L SS NS BS");
}

/* depth: lists and maps around the value. Any value in any spelling; what the short way of value()
 * does not know. */
static struct span value_any(struct pass *pass, const char *p, char *o, unsigned depth)
{
	const char *type;
	struct span t;
	size_t n;

	if (*p != '{')
		return span_fail(pass->scan, p, "an attribute value, '{'");
	type = scan_space(pass->scan, p + 1);
	if (*type != '"')
		return span_fail(pass->scan, type, "the type of an attribute value");
	p = scan_string(pass->scan, ++type);
	if (!p)
		return none;
	n = (size_t)(p - type);
	p = scan_space(pass->scan, p + 1);
	if (*p != ':')
		return span_fail(pass->scan, p, "':'");
	t = typed(pass, type, n, scan_space(pass->scan, p + 1), o, depth);
	if (!t.in)
		return none;
	p = scan_space(pass->scan, t.in);
	if (*p != '}')
		return span_fail(pass->scan, p, "'}' after the one type of a value");
	return (struct span){ p + 1, t.out };
}

/* Nearly every value is spelled one of these ways; the heads are compared whole. */
static inline struct span value(struct pass *pass, const char *p, char *o, unsigned depth)
{
	struct span t;

	switch (scan_load(p) & HEAD_MASK) {
	case HEAD('{', '"', 'S', '"', ':', '"'):
		t = text(pass, 'S', p + 6, o);
		break;
	case HEAD('{', '"', 'N', '"', ':', '"'):
		t = text(pass, 'N', p + 6, o);
		break;
	default:
		return value_any(pass, p, o, depth);
	}
	if (UNLIKELY(!t.in))
		return none;
	p = scan_space(pass->scan, t.in + 1);
	if (UNLIKELY(*p != '}'))
		return span_fail(pass->scan, p, "'}' after the one type of a value");
	return (struct span){ p + 1, t.out };
}

struct span value_item(struct scan *s, struct value_style style, const char *p, char *o)
{
	struct pass pass = { .scan = s, .style = style };

	if (*p != '{')
		return span_fail(s, p, "an item, '{'");
	return map(&pass, p, o, 0);
}

bool value_name_reserved(struct str name)
{
	static const char *const words[] = { "op", "ts", "seq", "gen", "order" };
	char plain[64];
	struct str word;

	if (name.n == 0 || name.n > sizeof(plain) || (name.p[0] != '_' && name.p[0] != '\\'))
		return false;
	word = (struct str){ plain, scan_unescape(name, plain) };
	if (word.n == 0 || word.p[0] != '_')
		return false;
	while (word.n > 0 && word.p[0] == '_') {
		word.p++;
		word.n--;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (str_equal(word, str_of(words[i])))
			return true;
	return false;
}
