#include "event/number.h"

#define DIGITS_MAX   38
#define EXPONENT_MIN (-130)
#define EXPONENT_MAX 125

/* The parts of a number's text; digits count from the first that is not 0 to the last. */
struct parts {
	const char *whole, *fraction,
		*exponent; /* where they begin; digits only, exponent with sign */
	size_t whole_n, fraction_n, exponent_n;
	bool negative;
	const char *end;
};

static size_t digits(const char *p)
{
	size_t n = 0;

	while ((unsigned char)(p[n] - '0') <= 9)
		n++;
	return n;
}

/* False where it is no number. Needs a byte behind the number that is no part of one. */
static bool split(const char *p, struct parts *parts)
{
	*parts = (struct parts){ 0 };
	parts->negative = *p == '-';
	if (*p == '-' || *p == '+')
		p++;
	parts->whole = p;
	parts->whole_n = digits(p);
	p += parts->whole_n;
	parts->fraction = p;
	if (*p == '.') {
		parts->fraction = ++p;
		parts->fraction_n = digits(p);
		p += parts->fraction_n;
	}
	if (parts->whole_n + parts->fraction_n == 0)
		return false;
	parts->exponent = p;
	if (*p == 'e' || *p == 'E') {
		size_t sign = p[1] == '-' || p[1] == '+', n = digits(p + 1 + sign);

		if (n == 0)
			return false;
		parts->exponent = p + 1;
		parts->exponent_n = sign + n;
		p += 1 + sign + n;
	}
	parts->end = p;
	return true;
}

/* Beyond any length a page can have it does not matter how far. */
static int64_t exponent_value(const struct parts *parts)
{
	const char *p = parts->exponent, *end = p + parts->exponent_n;
	bool negative = false;
	int64_t v = 0;

	if (p < end && (*p == '-' || *p == '+'))
		negative = *p++ == '-';
	for (; p < end; p++)
		if (v < INT32_MAX)
			v = v * 10 + (*p - '0');
	return negative ? -v : v;
}

/* Digit i of whole and fraction together. */
static char digit_at(const struct parts *parts, size_t i)
{
	return i < parts->whole_n ? parts->whole[i] : parts->fraction[i - parts->whole_n];
}

/* First and behind the last digit that is not 0; equal for zero. */
static void significant(const struct parts *parts, size_t *first, size_t *last)
{
	*first = 0;
	*last = parts->whole_n + parts->fraction_n;
	while (*first < *last && digit_at(parts, *first) == '0')
		++*first;
	while (*last > *first && digit_at(parts, *last - 1) == '0')
		--*last;
}

/* NULL, or what DynamoDB's range asks for instead. */
static const char *beyond(const struct parts *parts)
{
	size_t first, last;
	int64_t exponent;

	significant(parts, &first, &last);
	if (first == last)
		return NULL;
	exponent = (int64_t)parts->whole_n - 1 - (int64_t)first + exponent_value(parts);
	if (last - first > DIGITS_MAX)
		return "a number of at most 38 significant digits";
	if (exponent > EXPONENT_MAX || exponent < EXPONENT_MIN)
		return "a number between 1E-130 and 9.9E+125";
	return NULL;
}

/* The parts of the text from p to its closing quote. */
static bool read_text(struct scan *s, const char *p, struct parts *parts)
{
	const char *fault;

	if (!split(p, parts) || *parts->end != '"') {
		scan_fail(s, p, "the digits of a number and a quote");
		return false;
	}
	fault = beyond(parts);
	if (fault)
		scan_fail(s, p, fault);
	return !fault;
}

static char *append(char *o, const char *p, size_t n)
{
	memcpy(o, p, n);
	return o + n;
}

struct span number_copy_any(struct scan *s, const char *p, char *o)
{
	struct parts parts;

	if (!read_text(s, p, &parts))
		return (struct span){ NULL, NULL };
	if (parts.negative)
		*o++ = '-';
	while (parts.whole_n > 1 && *parts.whole == '0') {
		parts.whole++;
		parts.whole_n--;
	}
	if (parts.whole_n == 0)
		*o++ = '0';
	o = append(o, parts.whole, parts.whole_n);
	if (parts.fraction_n > 0) {
		*o++ = '.';
		o = append(o, parts.fraction, parts.fraction_n);
	}
	if (parts.exponent_n > 0) {
		*o++ = 'E';
		o = append(o, parts.exponent, parts.exponent_n);
	}
	return (struct span){ parts.end, o };
}

struct span number_copy_quoted(struct scan *s, const char *p, char *o)
{
	struct parts parts;

	if (!read_text(s, p, &parts))
		return (struct span){ NULL, NULL };
	/* Both quotes are part of the text in the page. */
	o = append(o, p - 1, (size_t)(parts.end - p) + 2);
	return (struct span){ parts.end, o };
}

struct span number_canonical(const char *p, char *o)
{
	struct parts parts;
	size_t first, last;
	int64_t point;

	if (!split(p, &parts))
		return (struct span){ NULL, NULL };
	significant(&parts, &first, &last);
	if (first == last) {
		*o++ = '0';
		return (struct span){ parts.end, o };
	}
	if (parts.negative)
		*o++ = '-';
	/* Where the point stands, counted from the first digit that is not 0. */
	point = (int64_t)parts.whole_n - (int64_t)first + exponent_value(&parts);
	if (point <= 0) {
		*o++ = '0';
		*o++ = '.';
		for (int64_t i = point; i < 0; i++)
			*o++ = '0';
	}
	for (size_t i = first; i < last; i++, point--) {
		if (point == 0 && i > first)
			*o++ = '.';
		*o++ = digit_at(&parts, i);
	}
	for (; point > 0; point--)
		*o++ = '0';
	return (struct span){ parts.end, o };
}

bool number_milliseconds(const char *p, int64_t *ms)
{
	const int64_t most = 253402300799999;
	struct parts parts;
	int64_t point, v = 0;
	size_t n;

	if (!split(p, &parts) || parts.negative)
		return false;
	n = parts.whole_n + parts.fraction_n;
	point = (int64_t)parts.whole_n + exponent_value(&parts) + 3;
	for (size_t i = 0; point > 0 && v <= most; i++, point--) {
		if (i < n)
			v = v * 10 + (digit_at(&parts, i) - '0');
		else if (v == 0)
			break;
		else
			v *= 10;
	}
	*ms = v;
	return v <= most;
}

bool number_view(const char *p, struct number *out, const char **end)
{
	struct parts parts;

	if (!split(p, &parts))
		return false;
	*out = (struct number){ .whole = parts.whole,
				.fraction = parts.fraction,
				.whole_n = parts.whole_n };
	significant(&parts, &out->first, &out->last);
	out->point = (int64_t)parts.whole_n - (int64_t)out->first + exponent_value(&parts);
	out->negative = parts.negative && out->first < out->last;
	if (end)
		*end = parts.end;
	return true;
}

static int digit_of(const struct number *n, size_t i)
{
	if (i >= n->last)
		return '0';
	return i < n->whole_n ? n->whole[i] : n->fraction[i - n->whole_n];
}

static int magnitude_compare(const struct number *a, const struct number *b)
{
	size_t i = a->first, k = b->first;

	if (i == a->last || k == b->last)
		return (i < a->last) - (k < b->last);
	if (a->point != b->point)
		return a->point < b->point ? -1 : 1;
	for (; i < a->last || k < b->last; i++, k++) {
		int difference = digit_of(a, i) - digit_of(b, k);

		if (difference)
			return difference;
	}
	return 0;
}

int number_compare(const struct number *a, const struct number *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	return a->negative ? magnitude_compare(b, a) : magnitude_compare(a, b);
}

bool number_fits(const struct number *n)
{
	return n->first == n->last ||
	       (n->last - n->first <= DIGITS_MAX && n->point - 1 <= EXPONENT_MAX &&
		n->point - 1 >= EXPONENT_MIN);
}
