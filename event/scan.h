#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The tokens of strict JSON, read straight from a padded body: SCAN_PADDING zero bytes stand behind
 * its last byte, so that no loop asks for the end (a zero byte is no part of any token) and blocks
 * may be loaded past it. Functions that read take the place where their token begins and return the
 * place behind it, or NULL after noting the fault. Output needs SCAN_PADDING bytes to spare, as
 * blocks are stored whole. */
#define SCAN_PADDING   64
#define SCAN_DEPTH_MAX 128 /* containers inside each other, of values that are only skipped */

struct arena;
struct scan {
	const char *fault_at; /* the first byte that does not fit */
	const char *fault;    /* what was expected instead: "a string" */
	bool spaced;          /* white space between tokens was seen; cleared by who asks */
};

/* An input place and an output place that move together. in NULL: a fault was noted. */
struct span {
	const char *in;
	char *out;
};

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

static inline const char *scan_fail(struct scan *s, const char *p, const char *expected)
{
	s->fault_at = p;
	s->fault = expected;
	return NULL;
}
static inline struct span span_fail(struct scan *s, const char *p, const char *expected)
{
	return (struct span){ scan_fail(s, p, expected), NULL };
}

/* Any value: checked, not kept. */
const char *scan_skip(struct scan *s, const char *p);
/* A member's name without its quotes; the place of its value. */
const char *scan_name(struct scan *s, const char *p, struct str *name);
/* A number as JSON writes them. */
const char *scan_number(struct scan *s, const char *p);
/* p at a byte inside a string that is no plain ASCII and no quote: the length of the escape, of the
 * pair of escapes or of the UTF-8 character that begins there; 0: a fault was noted. Not over 12.
 */
unsigned scan_rare(struct scan *s, const char *p);
const char *scan_space_rare(struct scan *s, const char *p);
/* The end of a number, string or container whose bytes may be wrong inside: only quotes,
 * backslashes and brackets are looked at. NULL where it does not end before `end`. */
const char *scan_border(const char *p, const char *end);
/* A copy in the arena with SCAN_PADDING bytes behind it that may be read. */
struct str scan_keep(struct str s, struct arena *arena);
/* What a valid string without its quotes says, in UTF-8; not longer than it. */
size_t scan_unescape(struct str text, char *out);

static inline const char *scan_space(struct scan *s, const char *p)
{
	if (LIKELY((unsigned char)*p > ' '))
		return p;
	return scan_space_rare(s, p);
}

static inline uint64_t scan_load(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* How many bytes from p on are plain: no quote, backslash, control, nor part of a longer UTF-8
 * character. At most SCAN_BLOCK. `scan_copy_block` copies a block meanwhile. */
#ifdef __SSE2__
#define SCAN_BLOCK 32
static inline unsigned scan_special(__m128i v)
{
	/* Signed: bytes of longer characters are negative, so one comparison finds them and
	 * controls. */
	__m128i special = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
				       _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
						    _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));

	return (unsigned)_mm_movemask_epi8(special);
}

static inline unsigned scan_copy_block(const char *p, char *o)
{
	__m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));
	uint64_t special = scan_special(a) | scan_special(b) << 16 | (uint64_t)1 << SCAN_BLOCK;

	_mm_storeu_si128((__m128i *)(void *)o, a);
	_mm_storeu_si128((__m128i *)(void *)(o + 16), b);
	return (unsigned)__builtin_ctzll(special);
}

static inline unsigned scan_block(const char *p)
{
	__m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));

	return (unsigned)__builtin_ctzll(scan_special(a) | scan_special(b) << 16 |
					 (uint64_t)1 << SCAN_BLOCK);
}

/* How many of the first 32 bytes are the same. */
static inline unsigned scan_common(const char *p, const char *q)
{
	__m128i a = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p),
				   _mm_loadu_si128((const __m128i *)(const void *)q));
	__m128i b = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16)),
				   _mm_loadu_si128((const __m128i *)(const void *)(q + 16)));
	uint64_t same = (uint64_t)(unsigned)_mm_movemask_epi8(a) |
			(uint64_t)(unsigned)_mm_movemask_epi8(b) << 16;

	return (unsigned)__builtin_ctzll(~same);
}

/* A bit for each of 32 bytes that is no decimal digit. */
static inline uint32_t scan_not_digits(const char *p)
{
	__m128i zero = _mm_set1_epi8('0'), nine = _mm_set1_epi8(9);
	__m128i a = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), zero);
	__m128i b = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16)), zero);

	a = _mm_cmpeq_epi8(_mm_min_epu8(a, nine), a);
	b = _mm_cmpeq_epi8(_mm_min_epu8(b, nine), b);
	return ~((uint32_t)_mm_movemask_epi8(a) | (uint32_t)_mm_movemask_epi8(b) << 16);
}
#else
#define SCAN_BLOCK 8
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read as bytes in order");
#define SCAN_ONES  ((uint64_t)0x0101010101010101)
#define SCAN_TOPS  ((uint64_t)0x8080808080808080)

static inline unsigned scan_block(const char *p)
{
	uint64_t v = scan_load(p), quote = v ^ SCAN_ONES * '"', backslash = v ^ SCAN_ONES * '\\';
	/* The lowest mark is exact; borrows only reach the ones above it. */
	uint64_t special =
		(v | (v - SCAN_ONES * 0x20) | (quote - SCAN_ONES) | (backslash - SCAN_ONES)) &
		SCAN_TOPS;

	return special ? (unsigned)__builtin_ctzll(special) / 8 : SCAN_BLOCK;
}

static inline unsigned scan_copy_block(const char *p, char *o)
{
	memcpy(o, p, SCAN_BLOCK);
	return scan_block(p);
}

static inline unsigned scan_common(const char *p, const char *q)
{
	for (unsigned i = 0; i < 32; i += 8) {
		uint64_t other = scan_load(p + i) ^ scan_load(q + i);

		if (other)
			return i + (unsigned)__builtin_ctzll(other) / 8;
	}
	return 32;
}

static inline uint32_t scan_not_digits(const char *p)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 32; i += 8) {
		uint64_t v = scan_load(p + i) ^ SCAN_ONES * '0'; /* digits are 0 to 9 now */
		uint64_t other = (v | ((v & ~SCAN_TOPS) + SCAN_ONES * (0x80 - 10))) & SCAN_TOPS;

		/* Eight marks gathered in the top byte. */
		bits |= (uint32_t)((other >> 7) * 0x0102040810204080 >> 56) << i;
	}
	return bits;
}
#endif

/* 32 bytes, which may overlap. Spelled out: gcc (12) takes an array between two memcpy's through
 * the stack, and what reads it there waits for what was stored. */
static inline void scan_copy_32(char *o, const char *p)
{
#ifdef __SSE2__
	__m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));

	_mm_storeu_si128((__m128i *)(void *)o, a);
	_mm_storeu_si128((__m128i *)(void *)(o + 16), b);
#else
	uint64_t a = scan_load(p), b = scan_load(p + 8), c = scan_load(p + 16),
		 d = scan_load(p + 24);

	memcpy(o, &a, 8);
	memcpy(o + 8, &b, 8);
	memcpy(o + 16, &c, 8);
	memcpy(o + 24, &d, 8);
#endif
}

/* Whole blocks: for what is short and may be read and spoilt up to 31 bytes behind its end. The
 * blocks may overlap, the n bytes themselves not. */
static inline char *scan_copy(char *o, const char *p, size_t n)
{
	size_t i = 0;

	do
		scan_copy_32(o + i, p + i);
	while ((i += 32) < n);
	return o + n;
}

/* A string from behind its opening quote; the place of the closing one. */
static inline const char *scan_string(struct scan *s, const char *p)
{
	for (;;) {
		unsigned n = scan_block(p);

		p += n;
		if (LIKELY(*p == '"'))
			return p;
		if (n < SCAN_BLOCK) {
			n = scan_rare(s, p);
			if (!n)
				return NULL;
			p += n;
		}
	}
}

static inline struct span scan_string_copy(struct scan *s, const char *p, char *o)
{
	for (;;) {
		unsigned n = scan_copy_block(p, o);

		p += n;
		o += n;
		if (LIKELY(*p == '"'))
			return (struct span){ p, o };
		if (n < SCAN_BLOCK) {
			n = scan_rare(s, p);
			if (!n)
				return (struct span){ NULL, NULL };
			memcpy(o, p, 16);
			p += n;
			o += n;
		}
	}
}

/* Any value; strings and whole numbers at once. */
static inline const char *scan_value(struct scan *s, const char *p)
{
	unsigned n;

	if (*p == '"') {
		p = scan_string(s, p + 1);
		return LIKELY(p) ? p + 1 : NULL;
	}
	n = (unsigned)__builtin_ctzll(scan_not_digits(p) | (uint64_t)1 << 32);
	if ((p[n] == ',' || p[n] == '}') && (n == 1 || (n > 1 && *p != '0')))
		return p + n;
	return scan_skip(s, p);
}
