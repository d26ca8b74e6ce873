#include "base/sequence.h"

bool sequence_parse(struct sequence *out, struct str text, struct error *err)
{
	struct str s = text;

	*out = SEQUENCE_NONE;
	if (s.n == 0)
		return error_set(err, ERROR_INVALID, "a sequence number is empty");
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return error_set(err, ERROR_INVALID, "'%.*s' is not a sequence number",
					 s.n > 60 ? 60 : (int)s.n, s.p);
	for (; s.n > 1 && s.p[0] == '0'; s.n--)
		s.p++;
	if (s.n > SEQUENCE_DIGITS_MAX)
		return error_set(err, ERROR_INVALID,
				 "a sequence number of %zu digits; the most is %d", s.n,
				 SEQUENCE_DIGITS_MAX);
	memcpy(out->digits, s.p, s.n);
	out->length = (uint8_t)s.n;
	return true;
}

int sequence_compare(const struct sequence *a, const struct sequence *b)
{
	/* Without leading zeros the longer number is the larger one. */
	if (a->length != b->length)
		return a->length < b->length ? -1 : 1;
	return memcmp(a->digits, b->digits, a->length);
}

char *sequence_text(const struct sequence *s, char out[SEQUENCE_TEXT_SIZE])
{
	memcpy(out, s->digits, s->length);
	out[s->length] = '\0';
	return out;
}
