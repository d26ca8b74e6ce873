#pragma once
#include <stdbool.h>

#include "base/str.h"
#include "event/scan.h"

/* DynamoDB's numbers: text of up to 38 significant digits, zero or 1E-130 to 9.9…E+125. */

/* Reads the text of an N from behind its opening quote, writes it as a JSON number: the digits as
 * they came where JSON allows them, else changed as little as it asks ("+1", "007", ".5", "5.").
 * Not longer than the text and its quotes. Returns the places of the closing quote and behind the
 * number. */
struct span number_copy_any(struct scan *s, const char *p, char *o);
/* The same, but as a string with the text as it came, with its quotes. */
struct span number_copy_quoted(struct scan *s, const char *p, char *o);

/* One text for one number, from a number that one of the above let pass and a byte that is no part
 * of it: no exponent, no leading or trailing zeros, zero is "0". in NULL: there is no number. */
#define NUMBER_CANONICAL_MAX 176
struct span number_canonical(const char *p, char *o);

/* Copies whole blocks first and looks closer only at what is no plain "123", "-4" or "5.67" of up
 * to 31 characters. */
static inline struct span number_copy(struct scan *s, const char *p, char *o)
{
	unsigned negative = *p == '-';
	uint32_t other = scan_not_digits(p) & ~negative;
	unsigned n, whole;

	memcpy(o, p, 32);
	if (UNLIKELY(other == 0))
		return number_copy_any(s, p, o);
	n = whole = (unsigned)__builtin_ctz(other);
	if (p[n] == '.' && (other & (other - 1)) != 0) {
		other &= other - 1;
		n = (unsigned)__builtin_ctz(other);
		if (n == whole + 1)
			return number_copy_any(s, p, o);
	}
	if (UNLIKELY(p[n] != '"' || whole == negative ||
		     (p[negative] == '0' && whole > negative + 1)))
		return number_copy_any(s, p, o);
	return (struct span){ p + n, o + n };
}
/* Seconds, as a valid JSON number, to milliseconds, the rest cut off. False where that is negative
 * or beyond the year 9999. */
bool number_milliseconds(const char *p, int64_t *ms);

/* What a number's text says, as a view of it: to be compared by value, digit for digit. */
struct number {
	const char *whole, *fraction;
	size_t whole_n;
	size_t first, last; /* of its digits, those that count; equal for zero */
	int64_t point;      /* where the point stands, counted from the first that counts */
	bool negative;      /* and not zero */
};
/* p at a number with a byte behind it that is no part of one; false where there is none. `end`, if
 * not NULL: the place behind it. */
bool number_view(const char *p, struct number *out, const char **end);
/* < 0, 0, > 0 */
int number_compare(const struct number *a, const struct number *b);
/* Whether it has at most 38 digits that count and is in DynamoDB's range. */
bool number_fits(const struct number *n);
