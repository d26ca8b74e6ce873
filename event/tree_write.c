#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/tree.h"

void tree_out_release(struct tree_out *o)
{
	free(o->begin);
	*o = (struct tree_out){ 0 };
}

char *tree_out_room_more(struct tree_out *o, size_t n)
{
	size_t used = (size_t)(o->at - o->begin), size;

	if (used + n > TREE_OUT_MAX) {
		/* What was begun does not look whole. */
		o->full = true;
		return NULL;
	}
	size = 2 * (used + n) + SCAN_PADDING;
	o->begin = memory_resize(o->begin, size);
	o->at = o->begin + used;
	o->end = o->begin + size;
	return o->at;
}

void tree_out_put(struct tree_out *o, struct str s)
{
	char *at = tree_out_room(o, s.n);

	if (LIKELY(at) && s.n > 0) {
		memcpy(at, s.p, s.n);
		o->at = at + s.n;
	}
}

static inline void put_byte(struct tree_out *o, char c)
{
	char *at = tree_out_room(o, 1);

	if (UNLIKELY(!at))
		return;
	*at = c;
	o->at = at + 1;
}

/* Without white space between tokens. */
static void put_compact(struct tree_out *o, struct str s)
{
	char *at = tree_out_room(o, s.n);
	bool quoted = false;

	if (!at)
		return;
	for (const char *p = s.p; p < s.p + s.n; p++) {
		if (!quoted && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
			continue;
		*at++ = *p;
		if (*p == '\\')
			*at++ = *++p;
		else if (*p == '"')
			quoted = !quoted;
	}
	o->at = at;
}

static void put_name(struct tree_out *o, struct str name, bool escaped)
{
	char *at = tree_out_room(o, name.n + 4);

	if (UNLIKELY(!at))
		return;
	*at++ = '"';
	if (UNLIKELY(escaped))
		*at++ = '_';
	at = scan_copy(at, name.p, name.n);
	*at++ = '"';
	*at++ = ':';
	o->at = at;
}

/* ---- plain JSON ---- */

static inline bool text_serves(const struct tree *t, struct value_style have,
			       struct value_style want)
{
	return t->text.p &&
	       (have.numbers_as_strings == want.numbers_as_strings || t->type == TREE_S);
}

static void plain_children(struct tree_out *o, const struct tree *t, struct value_style have,
			   struct value_style want)
{
	const char *between = t->type == TREE_M ? "{" : "[";

	for (const struct tree *c = t->first; c; c = c->next) {
		if (c->gone)
			continue;
		put_byte(o, *between);
		between = ",";
		if (t->type == TREE_M)
			put_name(o, c->name, false);
		tree_write_plain(o, c, have, want);
	}
	if (*between != ',')
		put_byte(o, *between);
	put_byte(o, t->type == TREE_M ? '}' : ']');
}

void tree_write_plain(struct tree_out *o, const struct tree *t, struct value_style have,
		      struct value_style want)
{
	struct scan scan; /* no fault can come up: it was read before, or made by us */
	char *at;

	if (LIKELY(text_serves(t, have, want))) {
		tree_out_copy(o, t->text);
		return;
	}
	if (!t->raw.p) {
		plain_children(o, t, have, want);
		return;
	}
	at = tree_out_room(o, t->raw.n);
	if (!at)
		return;
	at = value_plain(&scan, want, t->raw.p, at).out;
	assert(at);
	o->at = at;
}

/* Attributes that nobody touched and that stand one behind the other are one piece. */
struct piece {
	const char *p, *end;
};

static inline void piece_end(struct tree_out *o, struct piece *piece, char *between)
{
	size_t n;
	char *at;

	if (!piece->p)
		return;
	n = (size_t)(piece->end - piece->p);
	at = tree_out_room(o, n + 1);
	if (LIKELY(at)) {
		*at++ = *between;
		if (LIKELY(n <= 128))
			scan_copy(at, piece->p, n);
		else
			memcpy(at, piece->p, n);
		o->at = at + n;
	}
	*between = ',';
	piece->p = NULL;
}

static inline void piece_add(struct tree_out *o, struct piece *piece, const char *p,
			     const char *end, char *between)
{
	if (!piece->p || p != piece->end + 1) {
		piece_end(o, piece, between);
		piece->p = p;
	}
	piece->end = end;
}

static void item_end(struct tree_out *o, struct piece *piece, char *between)
{
	piece_end(o, piece, between);
	if (*between != ',')
		put_byte(o, '{');
	put_byte(o, '}');
}

/* Whether the attribute's text serves as it is. */
static bool seen_serves(const struct value_seen *seen, struct value_style have,
			struct value_style want)
{
	if (have.numbers_as_strings != want.numbers_as_strings)
		return false;
	return value_names_serve(have, want, seen->in[1] != '_' && seen->in[1] != '\\');
}

/* An attribute whose value is known as text in the wanted style. */
static inline void put_attribute(struct tree_out *o, struct str name, bool escaped, struct str text,
				 char *between)
{
	char *at = tree_out_room(o, name.n + text.n + 5);

	if (UNLIKELY(!at))
		return;
	*at++ = *between;
	*between = ',';
	*at++ = '"';
	if (UNLIKELY(escaped))
		*at++ = '_';
	at = scan_copy(at, name.p, name.n);
	*at++ = '"';
	*at++ = ':';
	if (LIKELY(text.n <= 128))
		scan_copy(at, text.p, text.n);
	else
		memcpy(at, text.p, text.n);
	o->at = at + text.n;
}

static void put_member(struct tree_out *o, struct str name, const struct tree *t,
		       struct value_style have, struct value_style want, char *between)
{
	bool escaped = value_name_escaped(want, name);

	if (LIKELY(text_serves(t, have, want))) {
		put_attribute(o, name, escaped, t->text, between);
		return;
	}
	put_byte(o, *between);
	*between = ',';
	put_name(o, name, escaped);
	tree_write_plain(o, t, have, want);
}

/* Attributes as they were read, in another style or with another name. */
static void seen_plain(struct tree_out *o, const struct tree *t, struct value_style have,
		       struct value_style want, char *between)
{
	for (const struct value_seen *seen = t->seen; seen <= t->seen + t->run; seen++) {
		struct tree_read r = tree_read(seen);
		struct tree read = { .raw = r.raw, .text = r.text };

		put_member(o, t->renamed ? t->name : r.name, &read, have, want, between);
	}
}

void tree_write_item_plain(struct tree_out *o, const struct tree *item, struct value_style have,
			   struct value_style want)
{
	struct piece piece = { 0 };
	char between = '{';

	for (const struct tree *t = item->first; t; t = t->next) {
		if (t->gone)
			continue;
		if (LIKELY(t->seen && !t->renamed && seen_serves(t->seen, have, want))) {
			const struct value_seen *last = t->seen + t->run;

			piece_add(o, &piece, t->seen->out, last->out + last->out_n, &between);
			continue;
		}
		piece_end(o, &piece, &between);
		if (t->seen)
			seen_plain(o, t, have, want, &between);
		else
			put_member(o, t->name, t, have, want, &between);
	}
	item_end(o, &piece, &between);
}

/* ---- DynamoDB's JSON ---- */

static void raw_value(struct tree_out *o, const struct tree *t, bool spaced)
{
	bool map = t->type == TREE_M;
	char between = map ? '{' : '[';

	if (t->raw.p) {
		if (UNLIKELY(spaced))
			put_compact(o, t->raw);
		else
			tree_out_copy(o, t->raw);
		return;
	}
	tree_out_put(o, map ? STR("{\"M\":") : STR("{\"L\":"));
	for (const struct tree *c = t->first; c; c = c->next) {
		if (c->gone)
			continue;
		put_byte(o, between);
		between = ',';
		if (map)
			put_name(o, c->name, false);
		raw_value(o, c, spaced);
	}
	if (between != ',')
		put_byte(o, between);
	put_byte(o, map ? '}' : ']');
	put_byte(o, '}');
}

static void seen_raw(struct tree_out *o, const struct tree *t, bool spaced, char *between)
{
	for (const struct value_seen *seen = t->seen; seen <= t->seen + t->run; seen++) {
		struct tree_read r = tree_read(seen);
		struct tree read = { .raw = r.raw };

		put_byte(o, *between);
		*between = ',';
		put_name(o, t->renamed ? t->name : r.name, false);
		raw_value(o, &read, spaced);
	}
}

void tree_write_item(struct tree_out *o, const struct tree *item, bool spaced)
{
	struct piece piece = { 0 };
	char between = '{';

	for (const struct tree *t = item->first; t; t = t->next) {
		if (t->gone)
			continue;
		if (LIKELY(t->seen && !t->renamed && !spaced)) {
			const struct value_seen *last = t->seen + t->run;

			piece_add(o, &piece, t->seen->in, last->in + last->in_n, &between);
			continue;
		}
		piece_end(o, &piece, &between);
		if (t->seen) {
			seen_raw(o, t, spaced, &between);
		} else {
			put_byte(o, between);
			between = ',';
			put_name(o, t->name, false);
			raw_value(o, t, spaced);
		}
	}
	item_end(o, &piece, &between);
}
