#include "event/key.h"

#include "base/arena.h"
#include "base/buf.h"
#include "event/number.h"
#include "event/scan.h"

static struct str head(char before, const char *name, struct arena *arena)
{
	struct buf text;
	struct str copy;

	buf_init(&text, 0);
	buf_printf(&text, "%c", before);
	buf_json_text(&text, str_of(name));
	buf_text(&text, ":");
	copy = scan_keep(buf_str(&text), arena);
	buf_release(&text);
	return copy;
}

void key_shape_init(struct key_shape *k, const struct source *source, struct arena *arena)
{
	bool range = source->key_range[0] != '\0';

	k->heads[0] = head('{', source->key_hash, arena);
	k->heads[1] = range ? head(',', source->key_range, arena) : (struct str){ 0 };
	k->expected = arena_printf(arena, "Keys with %s%s%s as S, N or B", source->key_hash,
				   range ? " and " : "", source->key_range);
}

size_t key_bound(const struct key_shape *k, struct str keys)
{
	return keys.n + k->heads[0].n + k->heads[1].n + 2 * (size_t)NUMBER_CANONICAL_MAX +
	       SCAN_PADDING;
}

/* A valid string with its quotes, in its one spelling: not longer. */
static char *canonical_string(struct str string, char *o)
{
	static const char hex[] = "0123456789abcdef", from[] = "\b\f\n\r\t", to[] = "bfnrt";
	const char *p = string.p + 1, *end = string.p + string.n - 1;

	if (!memchr(p, '\\', (size_t)(end - p))) {
		memcpy(o, string.p, string.n);
		return o + string.n;
	}
	*o++ = '"';
	while (p < end) {
		char plain[4];
		size_t n = 1, taken;

		if (*p != '\\') {
			*o++ = *p++;
			continue;
		}
		taken = 2;
		if (p[1] == 'u')
			taken = (p[2] | 0x20) == 'd' && p[3] >= '8' ? 12 : 6;
		n = scan_unescape((struct str){ p, taken }, plain);
		p += taken;
		if (n == 1 && (plain[0] == '"' || plain[0] == '\\')) {
			*o++ = '\\';
			*o++ = plain[0];
		} else if (n == 1 && (unsigned char)plain[0] < 0x20) {
			const char *known = plain[0] ? strchr(from, plain[0]) : NULL;

			*o++ = '\\';
			if (known) {
				*o++ = to[known - from];
			} else {
				memcpy(o, "u00", 3);
				o[3] = hex[plain[0] >> 4];
				o[4] = hex[plain[0] & 15];
				o += 5;
			}
		} else {
			memcpy(o, plain, n);
			o += n;
		}
	}
	*o++ = '"';
	return o;
}

/* The end of a member's value in compact JSON. */
static const char *value_end(const char *p, const char *end)
{
	struct scan unused;

	if (*p == '"')
		return scan_string(&unused, p + 1) + 1;
	return scan_border(p, end);
}

/* Any spelling in any order. */
static size_t make_any(const struct key_shape *k, struct str keys, char *out)
{
	const char *p = keys.p + 1, *end = keys.p + keys.n;
	struct str values[2] = { 0 };
	char *o = out;

	while (*p == '"') {
		struct str name = { p, (size_t)(value_end(p, end) - p) };
		const char *value = name.p + name.n + 1;

		p = value_end(value, end);
		/* No other place is needed for the canonical name: the key is written later. */
		name = (struct str){ out, (size_t)(canonical_string(name, out) - out) };
		for (unsigned i = 0; i < 2; i++)
			if (k->heads[i].n == name.n + 2 &&
			    memcmp(k->heads[i].p + 1, name.p, name.n) == 0)
				values[i] = (struct str){ value, (size_t)(p - value) };
		p += *p == ',';
	}
	for (unsigned i = 0; i < 2 && k->heads[i].n > 0; i++) {
		memcpy(o, k->heads[i].p, k->heads[i].n);
		o += k->heads[i].n;
		if (values[i].p && *values[i].p == '"')
			o = canonical_string(values[i], o);
		else if (!values[i].p || !(o = number_canonical(values[i].p, o).out))
			return 0;
	}
	*o++ = '}';
	return (size_t)(o - out);
}

/* A value that is canonical as it stands: a string without escapes, ASCII alone; or whole digits.
 * in NULL: it is another. */
static inline struct span usual_value(const char *p, char *o)
{
	uint32_t other;
	unsigned n;

	if (*p != '"') {
		other = scan_not_digits(p);
		n = other ? (unsigned)__builtin_ctz(other) : 0;
		if (n == 0 || (n > 1 && *p == '0') || (p[n] != ',' && p[n] != '}'))
			return (struct span){ NULL, NULL };
		memcpy(o, p, 32);
		return (struct span){ p + n, o + n };
	}
	*o++ = *p++;
	do {
		n = scan_copy_block(p, o);
		p += n;
		o += n;
		if (LIKELY(*p == '"')) {
			*o = '"';
			return (struct span){ p + 1, o + 1 };
		}
	} while (n == SCAN_BLOCK);
	return (struct span){ NULL, NULL };
}

size_t key_make(const struct key_shape *k, struct str keys, char *out)
{
	struct span t = { keys.p, out };

	for (unsigned i = 0; i < 2 && k->heads[i].n > 0; i++) {
		size_t n = k->heads[i].n;

		if (UNLIKELY(n > 32 || scan_common(t.in, k->heads[i].p) < n))
			return make_any(k, keys, out);
		scan_copy(t.out, k->heads[i].p, n);
		t = usual_value(t.in + n, t.out + n);
		if (UNLIKELY(!t.in))
			return make_any(k, keys, out);
	}
	if (UNLIKELY(*t.in != '}'))
		return make_any(k, keys, out);
	*t.out++ = '}';
	return (size_t)(t.out - out);
}
