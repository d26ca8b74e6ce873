#include "event/value.h"

#include "event/event.h"
#include "event/number.h"

/* What the recursion carries along. */
struct pass {
	struct scan *scan;
	struct value_style style;
};

static const struct span none = { NULL, NULL };

static struct span map(struct pass *pass, const char *p, char *o, unsigned depth);
static struct span list(struct pass *pass, const char *p, char *o, unsigned depth);

/* The bytes a value begins with, as scan_load gives them. */
#define HEAD(a, b, c, d, e, f, g, h)                                                               \
	((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 |          \
	 (uint64_t)(e) << 32 | (uint64_t)(f) << 40 | (uint64_t)(g) << 48 | (uint64_t)(h) << 56)
/* {"S":" {"M":{ {"L":[ and the like. */
#define HEAD6(type, open) HEAD('{', '"', type, '"', ':', open, 0, 0)
#define HEAD6_MASK        HEAD(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0)

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
static inline __attribute__((always_inline)) struct span text(struct pass *pass, char type,
							      const char *p, char *o)
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

/* The '}' behind a value whose last byte stands before t.in. */
static inline struct span closed(struct pass *pass, struct span t)
{
	if (UNLIKELY(!t.in))
		return none;
	if (UNLIKELY(*t.in != '}'))
		t.in = scan_space(pass->scan, t.in);
	if (UNLIKELY(*t.in != '}'))
		return span_fail(pass->scan, t.in, "'}' after the one type of a value");
	return (struct span){ t.in + 1, t.out };
}

/* The same for an S, N or B, from its text's closing quote. */
static inline struct span unquoted(struct pass *pass, struct span t)
{
	return closed(pass, t.in ? (struct span){ t.in + 1, t.out } : none);
}

static struct span boolean(struct pass *pass, const char *p, char *o)
{
	size_t n = *p == 't' ? 4 : 5;

	if (memcmp(p, n == 4 ? "true" : "false", n) != 0)
		return span_fail(pass->scan, p, "true or false");
	memcpy(o, p, 5);
	return (struct span){ p + n, o + n };
}

/* The value of a type from its first byte; `type` is the type's name with its closing quote. */
static struct span typed(struct pass *pass, const char *type, size_t n, const char *p, char *o,
			 unsigned depth)
{
	struct span t;

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
	if (n == 4 && memcmp(type, "BOOL", 4) == 0)
		return boolean(pass, p, o);
	if (n == 4 && memcmp(type, "NULL", 4) == 0) {
		if (memcmp(p, "true", 4) != 0)
			return span_fail(pass->scan, p, "true");
		memcpy(o, "null", 4);
		return (struct span){ p + 4, o + 4 };
	}
	return span_fail(pass->scan, type, "one of the types S N B BOOL NULL M L SS NS BS");
}

/* Any value in any spelling. depth: lists and maps around it. */
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
	return closed(pass, t);
}

/* What value() leaves over, first what is spelled in the usual way. */
static __attribute__((noinline)) struct span value_rare(struct pass *pass, const char *p, char *o,
							unsigned depth)
{
	switch (scan_load(p)) {
	case HEAD('{', '"', 'B', 'O', 'O', 'L', '"', ':'):
		return closed(pass, boolean(pass, scan_space(pass->scan, p + 8), o));
	case HEAD('{', '"', 'S', 'S', '"', ':', '[', '"'):
		return closed(pass, set(pass, 'S', p + 6, o));
	case HEAD('{', '"', 'N', 'S', '"', ':', '[', '"'):
		return closed(pass, set(pass, 'N', p + 6, o));
	default:
		break;
	}
	if ((scan_load(p) & HEAD6_MASK) == HEAD6('B', '"'))
		return unquoted(pass, text(pass, 'B', p + 6, o));
	return value_any(pass, p, o, depth);
}

/* Values that are spelled in the usual way: the head is compared whole. */
static inline __attribute__((always_inline)) struct span value(struct pass *pass, const char *p,
							       char *o, unsigned depth)
{
	uint64_t head = scan_load(p), six = head & HEAD6_MASK;

	if (six == HEAD6('S', '"'))
		return unquoted(pass, text(pass, 'S', p + 6, o));
	if (six == HEAD6('N', '"'))
		return unquoted(pass, text(pass, 'N', p + 6, o));
	if (six == HEAD6('M', '{'))
		return closed(pass, map(pass, p + 5, o, depth + 1));
	if (six == HEAD6('L', '['))
		return closed(pass, list(pass, p + 5, o, depth + 1));
	return value_rare(pass, p, o, depth);
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
static inline struct span name(struct pass *pass, const char *p, char *o, bool top)
{
	struct span t;

	if (UNLIKELY(*p != '"'))
		return span_fail(pass->scan, p, "an attribute's name");
	*o = '"';
	t = scan_string_copy(pass->scan, p + 1, o + 1);
	if (UNLIKELY(!t.in))
		return t;
	if (top && value_name_escaped(pass->style, (struct str){ p + 1, (size_t)(t.in - p - 1) })) {
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
	if (UNLIKELY(depth > VALUE_DEPTH_MAX))
		return span_fail(pass->scan, p, "at most 32 lists and maps inside each other");
	*o++ = '{';
	p = scan_space(pass->scan, p + 1);
	if (*p == '}') {
		*o++ = '}';
		return (struct span){ p + 1, o };
	}
	for (;;) {
		struct span t = name(pass, p, o, depth == 0);

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

void value_memory_init(struct value_memory *m, const char *page)
{
	m->count = m->changes = 0;
	value_memory_forget(m, page);
}

void value_memory_forget(struct value_memory *m, const char *page)
{
	for (unsigned i = 0; i < VALUE_MEMORY_MAX; i++)
		m->seen[i] = (struct value_seen){ .in = page, .head_n = UINT32_MAX };
	m->since = page + 1;
}

/* Whether the attribute at p is all of `seen`, whose first bytes were compared already. */
static inline bool same(const struct value_seen *seen, const char *p, unsigned common)
{
	if (LIKELY(seen->in_n <= 32))
		return common >= seen->in_n;
	return common == 32 && memcmp(p + 32, seen->in + 32, seen->in_n - 32) == 0;
}

/* An attribute whose name and type are those of `seen`: only the value is new. */
static inline __attribute__((always_inline)) struct span
like(struct pass *pass, const struct value_seen *seen, const char *p, char *o)
{
	size_t n = seen->head_n;

	memcpy(o, p, 32);
	p += n;
	if (seen->type == 'S')
		return unquoted(pass, text(pass, 'S', p, o + n - 6));
	if (seen->type == 'N')
		return unquoted(pass, text(pass, 'N', p, o + n - 6));
	if (seen->type == 'M')
		return closed(pass, map(pass, p - 1, o + n - 6, 1));
	if (seen->type == 'L')
		return closed(pass, list(pass, p - 1, o + n - 6, 1));
	return value(pass, scan_space(pass->scan, p), o + n, 0);
}

/* An attribute of which nothing is known. `seen` learns its head. */
static struct span unlike(struct pass *pass, struct value_seen *seen, const char *p, char *o)
{
	struct span t = name(pass, p, o, true);
	uint64_t six;
	size_t n;

	/* Whatever comes of it, what was here is no longer. */
	seen->in = p;
	seen->head_n = UINT32_MAX;
	if (UNLIKELY(!t.in))
		return t;
	n = (size_t)(t.in - p);
	six = scan_load(t.in) & HEAD6_MASK;
	seen->type = (unsigned char)t.in[2];
	if (six == HEAD6('S', '"') || six == HEAD6('N', '"') || six == HEAD6('M', '{') ||
	    six == HEAD6('L', '['))
		n += 6;
	else
		seen->type = 0;
	/* Heads are compared and copied as one block, and only where the name goes out as it is. */
	if (n <= 32 && t.out - o == t.in - p)
		seen->head_n = (uint32_t)n;
	return value(pass, t.in, t.out, 0);
}

/* The attribute at p is not the one that was expected, `seen`. That one is gone, if p is the next;
 * else p is new, and the expected one comes later. */
static __attribute__((noinline)) struct span unexpected(struct pass *pass, struct value_memory *m,
							struct value_seen *seen, const char *p,
							char *o)
{
	struct value_seen *end = m->seen + VALUE_MEMORY_MAX;

	m->changes++;
	if (seen + 1 < end && scan_common(p, seen[1].in) >= seen[1].head_n) {
		memmove(seen, seen + 1, (size_t)(end - seen - 1) * sizeof(*seen));
		return like(pass, seen, p, o);
	}
	if (seen + 1 < end)
		memmove(seen + 1, seen, (size_t)(end - seen - 1) * sizeof(*seen));
	return unlike(pass, seen, p, o);
}

static struct span item(struct pass *pass, struct value_memory *m, const char *p, char *o)
{
	struct value_seen *seen = m->seen, *last = seen + VALUE_MEMORY_MAX - 1;

	*o++ = '{';
	p = scan_space(pass->scan, p + 1);
	if (UNLIKELY(*p == '}')) {
		m->count = 0;
		*o++ = '}';
		return (struct span){ p + 1, o };
	}
	for (;;) {
		unsigned common = scan_common(p, seen->in);
		struct span t;

		if (seen->in >= m->since && same(seen, p, common)) {
			scan_copy(o, seen->out, seen->out_n);
			t = (struct span){ p + seen->in_n, o + seen->out_n };
		} else {
			if (LIKELY(common >= seen->head_n))
				t = like(pass, seen, p, o);
			else
				t = unexpected(pass, m, seen, p, o);
			if (UNLIKELY(!t.in))
				return none;
			seen->in_n = (uint32_t)(t.in - p);
			seen->out_n = (uint32_t)(t.out - o);
		}
		seen->in = p;
		seen->out = o;
		seen += seen < last;
		p = scan_space(pass->scan, t.in);
		o = t.out;
		*o++ = *p;
		if (*p == '}') {
			m->count = (uint32_t)(seen - m->seen);
			return (struct span){ p + 1, o };
		}
		if (UNLIKELY(*p != ','))
			return span_fail(pass->scan, p, "',' or '}'");
		p = scan_space(pass->scan, p + 1);
	}
}

struct span value_item(struct scan *s, struct value_style style, struct value_memory *memory,
		       const char *p, char *o)
{
	struct pass pass = { .scan = s, .style = style };

	if (*p != '{')
		return span_fail(s, p, "an item, '{'");
	return memory ? item(&pass, memory, p, o) : map(&pass, p, o, 0);
}

struct span value_plain(struct scan *s, struct value_style style, const char *p, char *o)
{
	struct pass pass = { .scan = s, .style = style };

	return value(&pass, p, o, 0);
}

bool value_name_escaped(struct value_style style, struct str name)
{
	char plain[256]; /* a field's name, however it is written */

	if (LIKELY(!style.escape_names) || name.n == 0 || name.n > sizeof(plain))
		return false;
	if (!style.fields && name.p[0] != '_' && name.p[0] != '\\')
		return false;
	return event_fields_reserve(style.fields,
				    (struct str){ plain, scan_unescape(name, plain) });
}
