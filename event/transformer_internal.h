#pragma once
#include "event/transform_internal.h"
#include "event/transformer.h"
#include "event/tree.h"

/* Between transformer.c (items and their attributes), transformer_events.c (where scripts make
 * events of them), transform_apply.c (what a step does) and transform_value.c (to one value). */

/* Which names there may be; a bit that is not set is of none. */
struct transform_names {
	uint64_t bits[4];
};

/* The attributes of an item as they are when the steps that ask for names alone are done, kept for
 * all items that have the same names in the same order. Neighbours that no further step asks for
 * are one node (tree.run). One for new images, one for old ones. */
struct transform_layout {
	uint32_t n, changes; /* of which items: see struct item */
	uint32_t count;      /* of nodes, which are copied to `work` and linked there */
	struct tree nodes[VALUE_MEMORY_MAX], work[VALUE_MEMORY_MAX];
	struct tree **by_id; /* of `work` */
	struct transform_names there;
};

/* The last value that a step hashed: mostly the other image has the same. */
#define TRANSFORM_MEMO_MAX 128
struct transform_memo {
	size_t n;
	enum tree_type type;
	char raw[TRANSFORM_MEMO_MAX];
	struct str text; /* of the digest; in `digits` */
	char digits[2 * HMAC_BYTES + SCAN_PADDING];
};

struct transformer {
	const struct transform *transform;
	const struct source *source;
	enum event_format format;
	struct value_style have, want;
	struct tree_memory memory;
	struct tree_out out;  /* of items that are done */
	struct tree_out text; /* of texts that are made of values */
	struct str *names;    /* the transform's, and those of the key; from id 1 on */
	uint32_t name_count, key_ids[2];
	struct transform_names known; /* of `names` */
	struct tree **by_id;          /* attributes of the item; [0] is not used */
	struct transform_names there; /* of those */
	struct transform_layout layouts[2];
	struct transform_memo *memos;

	/* The new image, when all steps were done to it by its layout; else NULL. */
	const struct item *followed;

	/* The item in work. */
	enum event_op op;
	struct tree root;
	const char *fault; /* NULL: there is none */
	char message[256];

	/* What became of the record. */
	struct transformed one, *made; /* of scripts: `room` of them */
	size_t room;
	struct script_state **states;   /* by a script's number */
	enum script_fault script_fault; /* which `fault` is */
};

/* Of the record, those that the form shows, by enum script_item; NULL: not. */
void transformer_shown(const struct transformer *x, const struct record *r,
		       const struct item *shown[SCRIPT_ITEMS]);
/* Puts the item's name before the fault. */
void transformer_name_fault(struct transformer *x, enum script_item which);
/* Puts it into x->root, where that has nothing at its place. */
void transformer_fill(struct transformer *x, const struct record_fill *f);
/* The item may have attributes of any name. */
void transformer_any_name(struct transformer *x);
/* The item's attributes become the root's. False: a fault. */
bool transformer_members(struct transformer *x, const char *raw);
/* transformer_apply where there are scripts. */
const char *transformer_events(struct transformer *x, const struct record *r,
			       const struct record_fills *fills, const struct transformed **out,
			       size_t *count);

/* False: too much memory, which is the fault. */
bool transformer_room(struct transformer *x, const void *p);
/* The step cannot do it: the value becomes what `on_fail` says. Returns whether it changed. */
bool transformer_fail(struct transformer *x, const struct transform_step *s, struct tree *parent,
		      struct tree *t, const char *why);

/* --- attributes --- */
/* A part's attribute or element of `parent`, settled; NULL: there is none. */
struct tree *transformer_child(struct transformer *x, const struct tree *parent,
			       const struct transform_part *part);
bool transformer_settle_seen(struct transformer *x, struct tree *t);
static inline bool transformer_settle(struct transformer *x, struct tree *t)
{
	return LIKELY(!t->seen || t->settled) || transformer_settle_seen(x, t);
}
/* Ready to have its children looked at; false: it is no map (M) or list (L). */
bool transformer_enter(struct transformer *x, struct tree *t, enum tree_type type);
void transformer_remove(struct transformer *x, struct tree *parent, struct tree *t);
/* The attribute of that name, or the node that it is in; id 0: no step speaks of the name. */
struct tree *transformer_namesake(struct transformer *x, const struct tree *parent, struct str name,
				  uint32_t id);
/* The place of `t` in parent is taken by its name; another one of that name goes. */
void transformer_name(struct transformer *x, struct tree *parent, struct tree *t, struct str name,
		      uint32_t id);
/* An attribute, with its name, becomes one of parent's: behind `after`, or all others. */
void transformer_add(struct transformer *x, struct tree *parent, struct tree *after,
		     struct tree *t);
/* 0: no step speaks of it. */
uint32_t transformer_id(const struct transformer *x, struct str name);

/* --- steps --- */
/* The second image of a record, when all steps were done to the first one with this layout: x->root
 * becomes what they make of it. False: do them one by one. */
bool transformer_follow(struct transformer *x, const struct transform_layout *l,
			const struct item *first, const struct item *second);
/* A step to a settled attribute of the item, and what is in it. */
void transformer_inside(struct transformer *x, const struct transform_step *s, struct tree *t);
/* What a `set` sets; NULL: nothing, or a fault. */
struct tree *transformer_set_value(struct transformer *x, const struct transform_step *s);
void transformer_step(struct transformer *x, const struct transform_step *s);

/* --- values; true: it is another now --- */
bool transform_cast(struct transformer *x, const struct transform_step *s, struct tree *parent,
		    struct tree *t);
bool transform_mask(struct transformer *x, const struct transform_step *s, struct tree *t);
bool transform_hash(struct transformer *x, const struct transform_step *s, struct tree *t);
bool transform_truncate(struct transformer *x, const struct transform_step *s, struct tree *t);
bool transform_parse(struct transformer *x, const struct transform_step *s, struct tree *parent,
		     struct tree *t);
/* x->text is empty again. */
void transform_text_begin(struct transformer *x);
/* What it has. */
struct str transform_text_made(const struct transformer *x);
/* A value as text between JSON's quotes, behind x->text: what S says, N's digits, true, null, the
 * base64 of B, others as JSON. */
void transform_text(struct transformer *x, struct tree *t);
