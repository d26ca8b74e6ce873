#include "event/key.h"

#include "base/arena.h"
#include "base/buf.h"
#include "event/number.h"
#include "event/scan.h"

static struct str json_name(const char *name, struct arena *arena)
{
	struct buf text;
	struct str copy;

	buf_init(&text, 0);
	buf_json_text(&text, str_of(name));
	copy = arena_copy(arena, buf_str(&text));
	buf_release(&text);
	return copy;
}

void key_shape_init(struct key_shape *k, const struct source *source, struct arena *arena)
{
	bool range = source->key_range[0] != '\0';

	k->hash = json_name(source->key_hash, arena);
	k->range = range ? json_name(source->key_range, arena) : (struct str){ 0 };
	k->expected = arena_printf(arena, "Keys with %s%s%s as S, N or B", source->key_hash,
				   range ? " and " : "", source->key_range);
}

size_t key_bound(const struct key_shape *k, struct str keys)
{
	return keys.n + k->hash.n + k->range.n + 2 * (size_t)NUMBER_CANONICAL_MAX;
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

size_t key_make(const struct key_shape *k, struct str keys, char *out)
{
	const char *p = keys.p + 1, *end = keys.p + keys.n;
	const char *values[2] = { 0 }, *ends[2] = { 0 };
	char *o = out;

	while (*p == '"') {
		struct str name = { p, (size_t)(value_end(p, end) - p) };
		const char *value = name.p + name.n + 1;

		p = value_end(value, end);
		/* No other place is needed for the canonical name: the key is written later. */
		name = (struct str){ out, (size_t)(canonical_string(name, out) - out) };
		for (unsigned i = 0; i < 2; i++)
			if (str_equal(name, i ? k->range : k->hash)) {
				values[i] = value;
				ends[i] = p;
			}
		p += *p == ',';
	}
	*o++ = '{';
	for (unsigned i = 0; i < 2; i++) {
		struct str name = i ? k->range : k->hash;

		if (name.n == 0)
			break;
		if (i)
			*o++ = ',';
		memcpy(o, name.p, name.n);
		o += name.n;
		*o++ = ':';
		if (values[i] && *values[i] == '"')
			o = canonical_string(
				(struct str){ values[i], (size_t)(ends[i] - values[i]) }, o);
		else if (!values[i] || !(o = number_canonical(values[i], o).out))
			return 0;
	}
	*o++ = '}';
	return (size_t)(o - out);
}
