#pragma once
#include "event/transform_internal.h"
#include "event/transformer.h"
#include "event/tree.h"

/* Between transformer.c (items and their attributes), transform_apply.c (what a step does) and
 * transform_value.c (to one value). */

/* What an attribute's name was at its place in the item before, and its id. */
struct transform_slot {
	const char *name; /* in the page, at its quote */
	uint32_t n;       /* with quotes and colon; UINT32_MAX: not known */
	uint32_t id;
};

/* The last value that a step hashed: mostly the other image has the same. */
#define TRANSFORM_MEMO_MAX 128
struct transform_memo {
	size_t n;
	enum tree_type type;
	char raw[TRANSFORM_MEMO_MAX];
	unsigned char digest[HMAC_BYTES];
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
	struct tree **by_id; /* attributes of the item; [0] is not used */
	struct transform_slot slots[VALUE_MEMORY_MAX];
	struct transform_memo *memos;

	/* The item in work. */
	enum event_op op;
	struct tree root;
	const char *fault; /* NULL: there is none */
	char message[160];
};

/* False: too much memory, which is the fault. */
bool transformer_room(struct transformer *x, const void *p);
/* The step cannot do it: the value becomes what `on_fail` says. Returns whether it changed. */
bool transformer_fail(struct transformer *x, const struct transform_step *s, struct tree *parent,
		      struct tree *t, const char *why);

/* --- attributes --- */
/* A part's attribute or element of `parent`, settled; NULL: there is none. */
struct tree *transformer_child(struct transformer *x, const struct tree *parent,
			       const struct transform_part *part);
bool transformer_settle(struct transformer *x, struct tree *t);
/* Ready to have its children looked at; false: it is no map (M) or list (L). */
bool transformer_enter(struct transformer *x, struct tree *t, enum tree_type type);
void transformer_remove(struct transformer *x, struct tree *parent, struct tree *t);
/* The place of `t` in parent is taken by its name; another one of that name goes. */
void transformer_name(struct transformer *x, struct tree *parent, struct tree *t, struct str name,
		      uint32_t id);
/* 0: no step speaks of it. */
uint32_t transformer_id(const struct transformer *x, struct str name);

/* --- steps --- */
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
/* A value as text between JSON's quotes, behind x->text: what S says, N's digits, true, null, the
 * base64 of B, others as JSON. */
void transform_text(struct transformer *x, struct tree *t);
