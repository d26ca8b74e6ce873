#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "event/value.h"

/* An item that can be changed: its attributes in their order, of which only what somebody looks
 * into is taken apart. What was not touched is written as it came, byte for byte. Lives in a
 * tree_memory, and looks into the page and the texts that it was read into. */

enum tree_type {
	TREE_UNKNOWN, /* nobody asked yet */
	TREE_S,
	TREE_N,
	TREE_B,
	TREE_BOOL,
	TREE_NULL,
	TREE_SS,
	TREE_NS,
	TREE_BS,
	TREE_M,
	TREE_L,
};

/* An attribute of an item or map, an element of a list, or an item itself (an M that is open). */
struct tree {
	struct tree *next;
	/* An attribute whose value is as it was read, and its name, too, unless `renamed`. */
	const struct value_seen *seen;
	/* What is `settled`, or was never `seen`, has all that follows; else the name may be known.
	 */
	struct str name; /* as JSON writes it, without quotes, in its one spelling */
	struct str raw;  /* the value in DynamoDB's JSON; p NULL: it is made of its children */
	struct str text; /* the value in plain JSON, in the reader's style; p NULL: not known */
	struct tree *first, *last;
	uint32_t id; /* of the name, where its user knows it; 0: not */
	uint8_t type;
	bool settled, renamed;
	bool open; /* its children are there: of an M or L */
	bool gone; /* no longer part of what is around it */
	/* So many attributes more, which stand behind it in `seen`, are part of it: nobody looks
	 * into one of them, none is renamed, and the name of none begins with '_' or has an escape.
	 */
	uint8_t run;
};

/* Memory of one item, which is limited. */
struct tree_memory {
	struct arena arena;
	char *at, *end; /* of what was taken from the arena and not yet given out */
	size_t left;    /* of what may be taken from it */
};
#define TREE_BYTES_MAX ((size_t)32 << 20)
void tree_memory_clear(struct tree_memory *m);
char *tree_bytes_more(struct tree_memory *m, size_t n);
/* With SCAN_PADDING bytes behind it that may be read and spoilt; NULL: it would be too much. */
static inline char *tree_bytes(struct tree_memory *m, size_t n)
{
	char *p = m->at;

	n = (n + SCAN_PADDING + 15) & ~(size_t)15;
	if (UNLIKELY((size_t)(m->end - p) < n))
		return tree_bytes_more(m, n);
	m->at = p + n;
	return p;
}
struct tree *tree_new(struct tree_memory *m);
/* Of the node alone. */
struct tree *tree_copy(struct tree_memory *m, const struct tree *t);

/* Where a tree is written to. Grows; what would pass the limit sets `full` and is left out. */
struct tree_out {
	char *begin, *at, *end;
	bool full;
};
#define TREE_OUT_MAX ((size_t)8 << 20)
void tree_out_release(struct tree_out *o);
/* A place for n bytes and SCAN_PADDING, not taken; NULL: full. */
char *tree_out_room_more(struct tree_out *o, size_t n);
static inline char *tree_out_room(struct tree_out *o, size_t n)
{
	if (LIKELY((size_t)(o->end - o->at) >= n + SCAN_PADDING))
		return o->at;
	return tree_out_room_more(o, n);
}
void tree_out_put(struct tree_out *o, struct str s);
/* The same of what is mostly short, and padded. */
static inline void tree_out_copy(struct tree_out *o, struct str s)
{
	char *at = tree_out_room(o, s.n);

	if (UNLIKELY(!at))
		return;
	if (LIKELY(s.n <= 128))
		scan_copy(at, s.p, s.n);
	else
		memcpy(at, s.p, s.n);
	o->at = at + s.n;
}
/* A value of valid plain JSON, padded, as DynamoDB's; the place behind it, or NULL and what
 * DynamoDB cannot hold. */
const char *tree_out_json(struct tree_out *o, const char *p, const char **fault);

/* Takes an attribute away from how it was read: name, raw and text are set. False: too much memory.
 */
bool tree_settle_seen(struct tree_memory *m, struct tree *t);
static inline bool tree_settle(struct tree_memory *m, struct tree *t)
{
	return LIKELY(!t->seen || t->settled) || tree_settle_seen(m, t);
}
/* An attribute as it was read: its name as it stands in the JSON, and its value. */
struct tree_read {
	struct str name, raw, text;
};
struct tree_read tree_read(const struct value_seen *seen);

/* The following are of settled nodes. */
enum tree_type tree_type(struct tree *t);
const char *tree_type_name(enum tree_type type);
/* What stands between the quotes of an S, N or B. */
struct str tree_body(struct tree *t);
/* The value behind the type: [ of a set or L, { of M, true of BOOL. */
const char *tree_inside(const struct tree *t);
/* Makes the children of an M or L, whose values are not opened. False: too much memory. */
bool tree_open(struct tree_memory *m, struct tree *t);
/* The attributes of an item as children of `item`; p at its '{'. */
bool tree_members(struct tree_memory *m, struct tree *item, const char *p);
/* The value is another one now: raw in DynamoDB's JSON without spaces, SCAN_PADDING readable. */
static inline void tree_replace(struct tree *t, enum tree_type type, struct str raw)
{
	t->seen = NULL;
	t->raw = raw;
	t->text.p = NULL;
	if (type == TREE_S) /* its text is part of it */
		t->text = (struct str){ raw.p + 5, raw.n - 6 };
	t->type = (uint8_t)type;
	t->open = false;
	t->first = t->last = NULL;
}
/* {"S":"body"}; body is valid inside of JSON's quotes. False: too much memory. */
bool tree_replace_scalar(struct tree_memory *m, struct tree *t, enum tree_type type,
			 struct str body);
/* Its children are not what they were. */
static inline void tree_changed(struct tree *t)
{
	t->raw.p = t->text.p = NULL;
	t->seen = NULL;
}
/* Behind all others, or behind `after`. */
void tree_add(struct tree *parent, struct tree *after, struct tree *t);
struct tree *tree_find(const struct tree *parent, struct str name);
/* NULL: too much memory. */
struct tree *tree_clone(struct tree_memory *m, const struct tree *t);

/* A value in plain JSON. have: the style of `text`s. */
void tree_write_plain(struct tree_out *o, const struct tree *t, struct value_style have,
		      struct value_style want);
/* An item, of which nothing but its attributes has to be settled; spaced: there is white space
 * between its tokens, which is left out. */
void tree_write_item_plain(struct tree_out *o, const struct tree *item, struct value_style have,
			   struct value_style want);
void tree_write_item(struct tree_out *o, const struct tree *item, bool spaced);

/* Plain text as JSON writes it between quotes: ", \ and controls escaped. At most TREE_ESCAPE times
 * as long. */
#define TREE_ESCAPE 6
char *tree_escape(struct str plain, char *o);
