#include "event/fold.h"

#include <stdint.h>

/* Capital letters from `first` to `last`, each `step` from the next, and how far the small ones
 * are. */
static const struct {
	uint16_t first, last;
	int16_t delta;
	uint8_t step;
} ranges[] = {
	{ 0x0041, 0x005A, 32, 1 }, { 0x00C0, 0x00D6, 32, 1 },   { 0x00D8, 0x00DE, 32, 1 },
	{ 0x0100, 0x012E, 1, 2 },  { 0x0132, 0x0136, 1, 2 },    { 0x0139, 0x0147, 1, 2 },
	{ 0x014A, 0x0176, 1, 2 },  { 0x0178, 0x0178, -121, 1 }, { 0x0179, 0x017D, 1, 2 },
	{ 0x01A0, 0x01A4, 1, 2 },  { 0x01AF, 0x01AF, 1, 1 },    { 0x01CD, 0x01DB, 1, 2 },
	{ 0x01DE, 0x01EE, 1, 2 },  { 0x01F8, 0x021E, 1, 2 },    { 0x0222, 0x0232, 1, 2 },
	{ 0x0386, 0x0386, 38, 1 }, { 0x0388, 0x038A, 37, 1 },   { 0x038C, 0x038C, 64, 1 },
	{ 0x038E, 0x038F, 63, 1 }, { 0x0391, 0x03A1, 32, 1 },   { 0x03A3, 0x03AB, 32, 1 },
	{ 0x0400, 0x040F, 80, 1 }, { 0x0410, 0x042F, 32, 1 },   { 0x0460, 0x0480, 1, 2 },
	{ 0x048A, 0x04BE, 1, 2 },  { 0x04C1, 0x04CD, 1, 2 },    { 0x04D0, 0x052E, 1, 2 },
	{ 0x0531, 0x0556, 48, 1 }, { 0x1E00, 0x1E94, 1, 2 },    { 0x1EA0, 0x1EFE, 1, 2 },
	{ 0xFF21, 0xFF3A, 32, 1 },
};
#define RANGES (sizeof(ranges) / sizeof(ranges[0]))

static uint32_t fold(uint32_t code)
{
	if (code < 0x80)
		return code - 'A' < 26 ? code + 32 : code;
	for (size_t i = 1; i < RANGES && code >= ranges[i].first; i++)
		if (code <= ranges[i].last && (code - ranges[i].first) % ranges[i].step == 0)
			return code + (uint32_t)ranges[i].delta;
	return code;
}

static size_t length_of(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The character at p, folded, as UTF-8; its length there. */
static size_t fold_one(const char *p, char out[4], size_t *out_n)
{
	size_t n = length_of((unsigned char)*p);
	uint32_t code = (unsigned char)*p;

	if (n > 1)
		code &= 0x7Fu >> n;
	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)p[i] & 0x3F);
	code = fold(code);
	if (code < 0x80) {
		out[0] = (char)code;
		*out_n = 1;
		return n;
	}
	*out_n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	for (size_t i = *out_n - 1; i > 0; i--, code >>= 6)
		out[i] = (char)(0x80 | (code & 0x3F));
	out[0] = (char)((0xF0 << (4 - *out_n) & 0xFF) | code);
	return n;
}

size_t fold_text(struct str text, char *out)
{
	size_t used = 0, n;

	for (size_t i = 0; i < text.n;) {
		i += fold_one(text.p + i, out + used, &n);
		used += n;
	}
	return used;
}

/* How many bytes of `text` say what `folded` says, from its beginning; SIZE_MAX: it does not. */
static size_t match(struct str folded, struct str text)
{
	size_t at = 0, i = 0, n;
	char one[4];

	while (at < folded.n) {
		if (i == text.n)
			return SIZE_MAX;
		i += fold_one(text.p + i, one, &n);
		if (folded.n - at < n || memcmp(folded.p + at, one, n) != 0)
			return SIZE_MAX;
		at += n;
	}
	return i;
}

bool fold_equal(struct str folded, struct str text)
{
	return match(folded, text) == text.n;
}

bool fold_prefix(struct str folded, struct str text)
{
	return match(folded, text) != SIZE_MAX;
}

bool fold_suffix(struct str folded, struct str text)
{
	size_t characters = 0, i = text.n;

	for (size_t k = 0; k < folded.n; k++)
		characters += ((unsigned char)folded.p[k] & 0xC0) != 0x80;
	for (; characters > 0 && i > 0; characters--)
		do
			i--;
		while (((unsigned char)text.p[i] & 0xC0) == 0x80);
	return characters == 0 && fold_equal(folded, (struct str){ text.p + i, text.n - i });
}
