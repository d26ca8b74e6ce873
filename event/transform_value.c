/* What steps do to one value. */
#include <stdlib.h>

#include "event/number.h"
#include "event/transformer_internal.h"

/* body: padded */
static inline bool scalar(struct transformer *x, struct tree *t, enum tree_type type,
			  struct str body)
{
	char *o = tree_bytes(&x->memory, body.n + 8);

	if (!transformer_room(x, o))
		return false;
	memcpy(o, type == TREE_N ? "{\"N\":\"" : type == TREE_B ? "{\"B\":\"" : "{\"S\":\"", 6);
	if (LIKELY(body.n <= 128))
		scan_copy(o + 6, body.p, body.n);
	else
		memcpy(o + 6, body.p, body.n);
	memcpy(o + 6 + body.n, "\"}", 2);
	tree_replace(t, type, (struct str){ o, body.n + 8 });
	return true;
}

/* ---- text ---- */

void transform_text_begin(struct transformer *x)
{
	x->text.at = x->text.begin;
	x->text.full = false;
}

struct str transform_text_made(const struct transformer *x)
{
	return (struct str){ x->text.begin, (size_t)(x->text.at - x->text.begin) };
}

/* The value as plain JSON, behind x->text. */
static void add_json(struct transformer *x, const struct tree *t)
{
	const struct value_style exact = { 0 };

	tree_write_plain(&x->text, t, x->have, exact);
}

void transform_text(struct transformer *x, struct tree *t)
{
	enum tree_type type = tree_type(t);
	size_t begin = (size_t)(x->text.at - x->text.begin), n;
	char *o;

	if (type == TREE_S || type == TREE_B || type == TREE_N) {
		tree_out_copy(&x->text, tree_body(t));
		return;
	}
	add_json(x, t);
	if (type == TREE_BOOL || type == TREE_NULL || x->text.full)
		return;
	/* The JSON of a set, list or map, made longer in place. */
	n = (size_t)(x->text.at - x->text.begin) - begin;
	o = tree_out_room(&x->text, 2 * n);
	if (!o)
		return;
	o = x->text.begin + begin + 2 * n;
	memmove(o, x->text.begin + begin, n);
	x->text.at = tree_escape((struct str){ o, n }, x->text.begin + begin);
}

/* ---- cast ---- */

static bool to_string(struct transformer *x, const struct transform_step *s, struct tree *parent,
		      struct tree *t)
{
	enum tree_type type = tree_type(t);

	if (type == TREE_S || type == TREE_NULL)
		return false;
	if (type == TREE_N || type == TREE_B)
		return scalar(x, t, TREE_S, tree_body(t));
	transform_text_begin(x);
	transform_text(x, t);
	if (x->text.full)
		return transformer_fail(x, s, parent, t, "its text is longer than 8 MiB");
	return scalar(x, t, TREE_S, transform_text_made(x));
}

/* Whether the text is all of a number as DynamoDB has them. */
static bool is_number(struct str body)
{
	struct number number;
	const char *end;

	/* A quote or a backslash ends it: no number has one. */
	return number_view(body.p, &number, &end) && end == body.p + body.n && number_fits(&number);
}

static bool to_number(struct transformer *x, const struct transform_step *s, struct tree *parent,
		      struct tree *t)
{
	enum tree_type type = tree_type(t);

	if (type == TREE_N || type == TREE_NULL)
		return false;
	if (type == TREE_BOOL)
		return scalar(x, t, TREE_N,
			      *tree_inside(t) == 't' ? TRANSFORM_PADDED("1")
						     : TRANSFORM_PADDED("0"));
	if (type != TREE_S)
		return transformer_fail(x, s, parent, t, "expected an S, N or BOOL");
	if (!is_number(tree_body(t)))
		return transformer_fail(x, s, parent, t,
					"expected a number of at most 38 digits as text");
	return scalar(x, t, TREE_N, tree_body(t));
}

static bool is_word(struct str s, const char *word)
{
	size_t n = strlen(word);

	if (s.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((s.p[i] | 0x20) != word[i])
			return false;
	return true;
}

static bool to_bool(struct transformer *x, const struct transform_step *s, struct tree *parent,
		    struct tree *t)
{
	enum tree_type type = tree_type(t);
	struct str body;
	int value = -1;

	if (type == TREE_BOOL || type == TREE_NULL)
		return false;
	if (type != TREE_S && type != TREE_N)
		return transformer_fail(x, s, parent, t, "expected an S, N or BOOL");
	body = tree_body(t);
	if (str_equal(body, STR("1")) || (type == TREE_S && is_word(body, "true")))
		value = 1;
	else if (str_equal(body, STR("0")) || (type == TREE_S && is_word(body, "false")))
		value = 0;
	if (value < 0)
		return transformer_fail(x, s, parent, t, "expected true, false, 1 or 0");
	tree_replace(t, TREE_BOOL,
		     value ? TRANSFORM_PADDED("{\"BOOL\":true}")
			   : TRANSFORM_PADDED("{\"BOOL\":false}"));
	return true;
}

bool transform_cast(struct transformer *x, const struct transform_step *s, struct tree *parent,
		    struct tree *t)
{
	switch (s->cast) {
	case CAST_STRING:
		return to_string(x, s, parent, t);
	case CAST_NUMBER:
		return to_number(x, s, parent, t);
	case CAST_BOOL:
	default:
		return to_bool(x, s, parent, t);
	}
}

/* ---- each value of what has several ---- */

typedef bool one_value(struct transformer *x, const struct transform_step *s, struct tree *t);

/* A set as the list of its elements; SS becomes S and so on. */
static bool set_opened(struct transformer *x, struct tree *t)
{
	enum tree_type of = tree_type(t) == TREE_NS ? TREE_N : t->type == TREE_SS ? TREE_S : TREE_B;
	const char *p = tree_inside(t);
	struct scan scan;

	t->type = TREE_L;
	t->open = true;
	tree_changed(t);
	p = scan_space(&scan, p + 1);
	while (*p != ']') {
		struct tree *c = tree_new(&x->memory);
		const char *end = scan_string(&scan, p + 1);

		if (!transformer_room(x, c) ||
		    !scalar(x, c, of, (struct str){ p + 1, (size_t)(end - p - 1) }))
			return false;
		tree_add(t, NULL, c);
		p = scan_space(&scan, end + 1);
		if (*p == ',')
			p = scan_space(&scan, p + 1);
	}
	return true;
}

/* All values inside of a map, list or set. */
static bool each_value(struct transformer *x, const struct transform_step *s, struct tree *t,
		       one_value *one)
{
	enum tree_type type = tree_type(t);
	bool changed = false;

	if (type == TREE_NULL)
		return false;
	if (type < TREE_SS)
		return one(x, s, t);
	if (type == TREE_M || type == TREE_L)
		transformer_enter(x, t, type);
	else
		changed = set_opened(x, t);
	for (struct tree *c = t->first; c && !x->fault; c = c->next)
		if (!c->gone)
			changed |= each_value(x, s, c, one);
	if (changed)
		tree_changed(t);
	return changed;
}

/* ---- mask, truncate ---- */

/* How many bytes are characters of one byte, from the first one on. */
static size_t plain_bytes(struct str body)
{
	size_t n = 0;

	while (n < body.n) {
		unsigned some = scan_block(body.p + n);

		n += some;
		if (some < SCAN_BLOCK)
			break;
	}
	return n < body.n ? n : body.n;
}

/* plain: its plain_bytes. The place behind n characters of text between JSON's quotes, or its end.
 */
static const char *behind(struct str body, size_t plain, size_t n)
{
	const char *p = body.p, *end = p + body.n;
	struct scan scan;

	if (LIKELY(plain >= n || plain == body.n))
		return p + (n < plain ? n : plain);
	for (; n > 0 && p < end; n--) {
		unsigned char c = (unsigned char)*p;

		p += c >= 0x80 || c == '\\' ? scan_rare(&scan, p) : 1;
	}
	return p;
}

static size_t characters(struct str body, size_t plain)
{
	size_t n = plain;
	const char *p = body.p + n, *end = body.p + body.n;
	struct scan scan;

	for (; p < end; n++) {
		unsigned char c = (unsigned char)*p;

		p += c >= 0x80 || c == '\\' ? scan_rare(&scan, p) : 1;
	}
	return n;
}

static bool mask_one(struct transformer *x, const struct transform_step *s, struct tree *t)
{
	size_t shown = s->mask.first + s->mask.last, plain, count;
	struct str body, with = s->mask.with;
	const char *first, *last;
	char *o, *end;

	if (shown == 0 || tree_type(t) > TREE_N)
		return scalar(x, t, TREE_S, with);
	body = tree_body(t);
	plain = plain_bytes(body);
	count = characters(body, plain);
	/* Of a short text too much would be told. */
	if (count < 2 * shown)
		return scalar(x, t, TREE_S, with);
	first = behind(body, plain, s->mask.first);
	last = behind(body, plain, count - s->mask.last);
	o = tree_bytes(&x->memory, body.n + with.n + 8);
	if (!transformer_room(x, o))
		return false;
	end = scan_copy(o, TRANSFORM_PADDED("{\"S\":\"").p, 6);
	end = scan_copy(end, body.p, (size_t)(first - body.p));
	end = scan_copy(end, with.p, with.n);
	end = scan_copy(end, last, (size_t)(body.p + body.n - last));
	memcpy(end, "\"}", 2);
	tree_replace(t, TREE_S, (struct str){ o, (size_t)(end + 2 - o) });
	return true;
}

bool transform_mask(struct transformer *x, const struct transform_step *s, struct tree *t)
{
	return each_value(x, s, t, mask_one);
}

/* Whole groups of four, and what is left of the last one. */
static bool cut_binary(struct transformer *x, struct tree *t, size_t bytes)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct str body = tree_body(t);
	size_t padding = 0, n = (bytes + 2) / 3 * 4, part = bytes % 3;
	char *o = tree_bytes(&x->memory, body.n + 8), *to, *end;

	if (!transformer_room(x, o))
		return false;
	to = o + 6;
	end = to + scan_unescape(body, to); /* "\/" is '/' */
	for (; padding < 2 && end - padding > to && end[-1 - (int)padding] == '=';)
		padding++;
	if ((size_t)(end - to) / 4 * 3 - padding <= bytes)
		return false;
	if (part) {
		char *last = to + n - 4;
		size_t keep = part == 1 ? 1 : 2;
		const char *at = strchr(alphabet, last[keep]);
		unsigned bits = (unsigned)(at - alphabet) & (part == 1 ? 0x30 : 0x3C);

		last[keep] = alphabet[bits];
		memset(last + keep + 1, '=', 3 - keep);
	}
	memcpy(o, "{\"B\":\"", 6);
	memcpy(to + n, "\"}", 2);
	tree_replace(t, TREE_B, (struct str){ o, n + 8 });
	return true;
}

/* The elements of a set that are left, as they stand. */
static bool cut_set(struct transformer *x, struct tree *t, size_t count)
{
	const char *inside = tree_inside(t), *p = inside, *cut = inside;
	enum tree_type type = tree_type(t);
	struct scan scan;
	size_t n;
	char *o;

	for (size_t i = 0; i < count; i++) {
		p = scan_string(&scan, scan_space(&scan, p + 1) + 1);
		cut = p + 1;
		p = scan_space(&scan, cut);
		if (*p == ']')
			return false;
	}
	n = (size_t)(cut - inside);
	o = tree_bytes(&x->memory, n + 8);
	if (!transformer_room(x, o))
		return false;
	memcpy(o, "{\"", 2);
	memcpy(o + 2, tree_type_name(type), 2);
	memcpy(o + 4, "\":", 2);
	memcpy(o + 6, inside, n);
	memcpy(o + 6 + n, "]}", 2);
	tree_replace(t, type, (struct str){ o, n + 8 });
	return true;
}

bool transform_truncate(struct transformer *x, const struct transform_step *s, struct tree *t)
{
	enum tree_type type = tree_type(t);
	bool changed = false;
	struct str body;
	size_t i = 0;

	switch (type) {
	case TREE_S:
		body = tree_body(t);
		if (body.n <= s->truncate)
			return false;
		i = (size_t)(behind(body, plain_bytes(body), s->truncate) - body.p);
		return i < body.n && scalar(x, t, TREE_S, (struct str){ body.p, i });
	case TREE_B:
		return cut_binary(x, t, s->truncate);
	case TREE_SS:
	case TREE_NS:
	case TREE_BS:
		return cut_set(x, t, s->truncate);
	case TREE_L:
		if (!transformer_enter(x, t, TREE_L))
			return false;
		for (struct tree *c = t->first; c; c = c->next)
			if (!c->gone && i++ >= s->truncate)
				changed = c->gone = true;
		if (changed)
			tree_changed(t);
		return changed;
	default:
		return false;
	}
}

/* ---- hash ---- */

static int symbol(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : 63;
}

static size_t from_base64(struct str text, char *out)
{
	char *o = out;

	for (size_t i = 0; i + 4 <= text.n; i += 4) {
		const char *p = text.p + i;
		unsigned v = (unsigned)symbol(p[0]) << 18 | (unsigned)symbol(p[1]) << 12 |
			     (unsigned)symbol(p[2]) << 6 | (unsigned)symbol(p[3]);

		*o++ = (char)(v >> 16);
		if (p[2] != '=')
			*o++ = (char)(v >> 8);
		if (p[3] != '=')
			*o++ = (char)v;
	}
	return (size_t)(o - out);
}

/* The bytes that are hashed: a text in UTF-8, a number in its one spelling, binary itself. */
static struct str hashed(struct transformer *x, struct tree *t)
{
	enum tree_type type = tree_type(t);
	struct str body;
	char *o;

	if (type == TREE_BOOL)
		return *tree_inside(t) == 't' ? STR("true") : STR("false");
	body = tree_body(t);
	if (type == TREE_S && LIKELY(!memchr(body.p, '\\', body.n)))
		return body;
	o = tree_bytes(&x->memory, body.n + NUMBER_CANONICAL_MAX);
	if (!transformer_room(x, o))
		return (struct str){ 0 };
	if (type == TREE_N)
		return (struct str){ o, (size_t)(number_canonical(body.p, o).out - o) };
	body = (struct str){ o, scan_unescape(body, o) };
	if (type == TREE_B)
		body.n = from_base64(body, o);
	return body;
}

static struct str digest_text(const unsigned char *digest, bool base64, char *out)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *o = out;

	if (!base64) {
		/* Without a table, so that a compiler can do several at a time. */
		for (size_t i = 0; i < HMAC_BYTES; i++) {
			unsigned char high = digest[i] >> 4, low = digest[i] & 15;

			out[2 * i] = (char)(high + (high > 9 ? 'a' - 10 : '0'));
			out[2 * i + 1] = (char)(low + (low > 9 ? 'a' - 10 : '0'));
		}
		return (struct str){ out, (size_t)2 * HMAC_BYTES };
	}
	for (size_t i = 0; i < HMAC_BYTES; i += 3) {
		unsigned third = i + 2 < HMAC_BYTES ? digest[i + 2] : 0;
		unsigned v = (unsigned)digest[i] << 16 | (unsigned)digest[i + 1] << 8 | third;

		for (int shift = 18; shift >= 0; shift -= 6)
			*o++ = alphabet[v >> shift & 63];
	}
	o[-1] = '=';
	return (struct str){ out, (size_t)(o - out) };
}

static bool hash_one(struct transformer *x, const struct transform_step *s, struct tree *t)
{
	struct transform_memo *memo = &x->memos[s->hash.memo];
	enum tree_type type = tree_type(t);
	unsigned char digest[HMAC_BYTES];
	struct str bytes;

	if (memo->n == t->raw.n && memo->type == type && memcmp(memo->raw, t->raw.p, memo->n) == 0)
		return scalar(x, t, TREE_S, memo->text);
	bytes = hashed(x, t);
	if (x->fault)
		return false;
	hmac(s->hash.key, bytes, digest);
	memo->text = digest_text(digest, s->hash.base64, memo->digits);
	memo->n = 0;
	if (t->raw.n <= TRANSFORM_MEMO_MAX) {
		memo->n = t->raw.n;
		memo->type = type;
		memcpy(memo->raw, t->raw.p, t->raw.n);
	}
	return scalar(x, t, TREE_S, memo->text);
}

bool transform_hash(struct transformer *x, const struct transform_step *s, struct tree *t)
{
	return each_value(x, s, t, hash_one);
}
