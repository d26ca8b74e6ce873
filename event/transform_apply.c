/* What each step does to an item. */
#include <string.h>

#include "event/transformer_internal.h"

/* ---- keep, strip_replication ---- */

static const struct transform_keep *kept_by(const struct transform_keep *k, const struct tree *t,
					    size_t index, bool map)
{
	const struct transform_keep *all = NULL;

	for (; k; k = k->next) {
		if (map ? k->part.kind == PART_NAME && str_equal(k->part.name, t->name)
			: k->part.kind == PART_INDEX && k->part.index == index)
			return k;
		if (!map && k->part.kind == PART_ALL)
			all = k;
	}
	return all;
}

/* Of the value of `t` only what k says. False: nothing is left of it. */
static bool keep_inside(struct transformer *x, const struct transform_keep *keep, struct tree *t)
{
	bool map, left = false;
	size_t index = 0;

	if (!transformer_settle(x, t))
		return false;
	map = tree_type(t) == TREE_M;
	if (!transformer_enter(x, t, map ? TREE_M : TREE_L))
		return false;
	for (struct tree *c = t->first; c; c = c->next) {
		const struct transform_keep *k;

		if (c->gone)
			continue;
		k = kept_by(keep, c, index++, map);
		if (k && (k->all || keep_inside(x, k->inside, c)))
			left = true;
		else
			c->gone = true;
	}
	tree_changed(t);
	return left;
}

/* Attributes of the item's key are always kept. */
static void keep(struct transformer *x, const struct transform_step *s)
{
	struct tree *last = NULL, **link = &x->root.first;

	for (struct tree *t = x->root.first; t; t = t->next) {
		const struct transform_keep *k = NULL;

		if (t->gone)
			continue;
		if (t->id)
			for (k = s->keep; k && k->part.id != t->id;)
				k = k->next;
		if (!(k && k->all) &&
		    (!t->id || (t->id != x->key_ids[0] && t->id != x->key_ids[1])) &&
		    !(k && keep_inside(x, k->inside, t))) {
			x->by_id[t->id] = NULL;
			continue;
		}
		*link = last = t;
		link = &t->next;
	}
	*link = NULL;
	x->root.last = last;
}

static void strip(struct transformer *x)
{
	static const char prefix[] = "aws:rep:";
	const size_t n = sizeof(prefix) - 1;

	for (struct tree *t = x->root.first; t; t = t->next) {
		if (t->gone || (t->name.n == 0 && !transformer_settle(x, t)))
			continue;
		if (t->name.n > n && memcmp(t->name.p, prefix, n) == 0)
			transformer_remove(x, &x->root, t);
	}
}

/* ---- move, set ---- */

/* The map that the last name of a path is in; it is made where it is not there. NULL: something on
 * the way is no map. */
static struct tree *place_of(struct transformer *x, const struct transform_path *path)
{
	struct tree *parent = &x->root;

	for (size_t i = 0; i + 1 < path->count; i++) {
		const struct transform_part *part = &path->parts[i];
		struct tree *t = transformer_child(x, parent, part);

		if (!t) {
			if (x->fault)
				return NULL;
			t = tree_new(&x->memory);
			if (!transformer_room(x, t))
				return NULL;
			t->type = TREE_M;
			t->open = true;
			tree_add(parent, NULL, t);
			transformer_name(x, parent, t, part->name, part->id);
		}
		if (!transformer_enter(x, t, TREE_M))
			return NULL;
		tree_changed(t);
		parent = t;
	}
	return parent;
}

static const char not_a_map[] = "its new place is in something that is no map";

static void put(struct transformer *x, struct tree *parent, const struct transform_path *path,
		struct tree *t)
{
	const struct transform_part *last = &path->parts[path->count - 1];
	struct tree *before = transformer_child(x, parent, last);

	t->id = 0;
	tree_add(parent, before, t);
	if (before)
		transformer_remove(x, parent, before);
	transformer_name(x, parent, t, last->name, parent == &x->root ? last->id : 0);
}

static bool move(struct transformer *x, const struct transform_step *s, struct tree *parent,
		 struct tree *t)
{
	struct tree *moved, *to;

	/* What is moved is out of the way first: its new place may be where it was inside of. */
	moved = tree_copy(&x->memory, t);
	if (!transformer_room(x, moved))
		return false;
	moved->seen = NULL;
	to = place_of(x, &s->to);
	if (!to) {
		if (!x->fault)
			transformer_fail(x, s, parent, t, not_a_map);
		return false;
	}
	transformer_remove(x, parent, t);
	put(x, to, &s->to, moved);
	return true;
}

/* The value that a path leads to, settled; NULL: there is none. */
static struct tree *find(struct transformer *x, const struct transform_path *path)
{
	struct tree *t = x->by_id[path->parts[0].id];

	if (t && !transformer_settle(x, t))
		return NULL;
	for (size_t i = 1; i < path->count && t; i++) {
		enum tree_type type = path->parts[i].kind == PART_NAME ? TREE_M : TREE_L;

		t = transformer_enter(x, t, type) ? transformer_child(x, t, &path->parts[i]) : NULL;
	}
	return t;
}

static struct str of_source(const struct transformer *x, enum transform_piece_kind kind)
{
	const struct source *source = x->source;
	const char *text = kind == PIECE_TABLE    ? source->table
			   : kind == PIECE_STREAM ? source->stream
			   : kind == PIECE_REGION ? source->region
						  : source->account;

	return text ? str_of(text) : STR("");
}

/* Behind x->text; false: an attribute is not there. */
static bool piece_text(struct transformer *x, const struct transform_piece *piece)
{
	char letter = event_op_letter(x->op), *o;
	struct tree *t;
	struct str s;

	switch (piece->kind) {
	case PIECE_TEXT:
		tree_out_copy(&x->text, piece->text);
		return true;
	case PIECE_ATTRIBUTE:
		t = find(x, &piece->path);
		if (t)
			transform_text(x, t);
		else if (piece->text.p)
			tree_out_copy(&x->text, piece->text);
		return t || piece->text.p;
	case PIECE_OP:
		tree_out_put(&x->text, (struct str){ &letter, 1 });
		return true;
	default:
		s = of_source(x, piece->kind);
		o = tree_out_room(&x->text, TREE_ESCAPE * s.n);
		if (o)
			x->text.at = tree_escape(s, o);
		return true;
	}
}

struct tree *transformer_set_value(struct transformer *x, const struct transform_step *s)
{
	const struct transform_set *set = &s->set;
	const struct transform_piece *only = set->pieces;
	struct tree *t;

	/* A placeholder alone keeps the type. */
	if (only && !only->next && only->kind == PIECE_ATTRIBUTE) {
		t = find(x, &only->path);
		if (t) {
			t = tree_clone(&x->memory, t);
			return transformer_room(x, t) ? t : NULL;
		}
	}
	transform_text_begin(x);
	for (const struct transform_piece *p = set->pieces; p; p = p->next)
		if (!piece_text(x, p))
			return NULL;
	t = tree_new(&x->memory);
	if (!transformer_room(x, t))
		return NULL;
	if (set->raw.p) {
		tree_replace(t, (enum tree_type)set->type, set->raw);
		return t;
	}
	if (x->text.full || !tree_replace_scalar(&x->memory, t, TREE_S, transform_text_made(x))) {
		transformer_room(x, NULL);
		return NULL;
	}
	return t;
}

static void set(struct transformer *x, const struct transform_step *s)
{
	struct tree *t = transformer_set_value(x, s), *parent;

	if (!t || x->fault)
		return;
	parent = place_of(x, &s->path);
	if (parent)
		put(x, parent, &s->path, t);
	else if (!x->fault)
		transformer_fail(x, s, &x->root, t, not_a_map);
}

/* ---- flatten, split ---- */

/* name, separator, child, all of them padded */
static struct str joined(struct transformer *x, struct str name, struct str separator,
			 struct str child)
{
	size_t n = name.n + separator.n + child.n;
	char *o = tree_bytes(&x->memory, n);

	if (!transformer_room(x, o))
		return (struct str){ 0 };
	scan_copy(scan_copy(scan_copy(o, name.p, name.n), separator.p, separator.n), child.p,
		  child.n);
	return (struct str){ o, n };
}

/* What a map has, behind `after`; the last of it. *taken: there is an attribute of such a name. */
static struct tree *flatten_into(struct transformer *x, const struct transform_step *s,
				 struct tree *parent, struct tree *after, struct str name,
				 const struct tree *map, bool *taken)
{
	for (struct tree *c = map->first; c && !x->fault && !*taken; c = c->next) {
		struct tree *copy;
		struct str full;

		if (c->gone)
			continue;
		full = joined(x, name, s->separator, c->name);
		if (x->fault)
			return NULL;
		if (tree_type(c) == TREE_M && transformer_enter(x, c, TREE_M) && c->first) {
			after = flatten_into(x, s, parent, after, full, c, taken);
			continue;
		}
		copy = tree_copy(&x->memory, c);
		if (!transformer_room(x, copy))
			return NULL;
		copy->name = full;
		copy->id = parent == &x->root ? transformer_id(x, full) : 0;
		if (transformer_namesake(x, parent, full, copy->id)) {
			*taken = true;
			return NULL;
		}
		transformer_add(x, parent, after, copy);
		after = copy;
	}
	return after;
}

static bool flatten(struct transformer *x, const struct transform_step *s, struct tree *parent,
		    struct tree *t)
{
	struct tree *behind = t->next;
	bool taken = false;

	if (!transformer_enter(x, t, TREE_M) || !t->first)
		return false;
	t->gone = true; /* one of its own may have its name */
	if (parent == &x->root && t->id)
		x->by_id[t->id] = NULL;
	flatten_into(x, s, parent, t, t->name, t, &taken);
	if (!taken || x->fault)
		return true;
	/* As it was before. */
	for (struct tree *c = t->next; c != behind; c = c->next)
		transformer_remove(x, parent, c);
	t->gone = false;
	if (parent == &x->root && t->id)
		x->by_id[t->id] = t;
	return transformer_fail(x, s, parent, t, "an attribute of such a name is there already");
}

static bool split(struct transformer *x, const struct transform_step *s, struct tree *parent,
		  struct tree *t)
{
	static const char endings[][SCAN_PADDING] = {
		[TREE_S] = "s",       [TREE_N] = "n",   [TREE_B] = "b",   [TREE_BOOL] = "bool",
		[TREE_NULL] = "null", [TREE_SS] = "ss", [TREE_NS] = "ns", [TREE_BS] = "bs",
		[TREE_M] = "m",       [TREE_L] = "l"
	};
	enum tree_type type = tree_type(t);
	struct str name;
	uint32_t id;

	if (type == TREE_NULL)
		return false;
	name = joined(x, t->name, s->separator, str_of(endings[type]));
	if (x->fault)
		return false;
	id = parent == &x->root ? transformer_id(x, name) : 0;
	if (transformer_namesake(x, parent, name, id))
		return transformer_fail(x, s, parent, t,
					"an attribute of such a name is there already");
	transformer_name(x, parent, t, name, id);
	return true;
}

/* ---- the way to an attribute ---- */

static bool apply(struct transformer *x, const struct transform_step *s, struct tree *parent,
		  struct tree *t)
{
	switch (s->kind) {
	case TRANSFORM_DROP:
		transformer_remove(x, parent, t);
		return true;
	case TRANSFORM_RENAME:
		transformer_name(x, parent, t, s->rename.name,
				 parent == &x->root ? s->rename.id : 0);
		return true;
	case TRANSFORM_MOVE:
		return move(x, s, parent, t);
	case TRANSFORM_CAST:
		return transform_cast(x, s, parent, t);
	case TRANSFORM_MASK:
		return transform_mask(x, s, t);
	case TRANSFORM_HASH:
		return transform_hash(x, s, t);
	case TRANSFORM_TRUNCATE:
		return transform_truncate(x, s, t);
	case TRANSFORM_FLATTEN:
		return flatten(x, s, parent, t);
	case TRANSFORM_PARSE:
		return transform_parse(x, s, parent, t);
	case TRANSFORM_SPLIT:
		return split(x, s, parent, t);
	default:
		return false;
	}
}

static bool walk(struct transformer *x, const struct transform_step *s, struct tree *parent,
		 size_t i);

/* At the value of part i. */
static bool at_value(struct transformer *x, const struct transform_step *s, struct tree *parent,
		     struct tree *t, size_t i)
{
	enum tree_type type;

	if (!transformer_settle(x, t))
		return false;
	if (i + 1 == s->path.count)
		return apply(x, s, parent, t);
	type = s->path.parts[i + 1].kind == PART_NAME ? TREE_M : TREE_L;
	if (!transformer_enter(x, t, type) || !walk(x, s, t, i + 1))
		return false;
	tree_changed(t);
	return true;
}

/* True: something in `parent` is another now. */
static bool walk(struct transformer *x, const struct transform_step *s, struct tree *parent,
		 size_t i)
{
	const struct transform_part *part = &s->path.parts[i];
	bool changed = false;
	struct tree *t;

	if (part->kind != PART_ALL) {
		t = transformer_child(x, parent, part);
		return t && at_value(x, s, parent, t, i);
	}
	for (t = parent->first; t && !x->fault; t = t->next)
		if (!t->gone)
			changed |= at_value(x, s, parent, t, i);
	return changed;
}

void transformer_inside(struct transformer *x, const struct transform_step *s, struct tree *t)
{
	at_value(x, s, &x->root, t, 0);
}

/* To an attribute of the item itself, which need not be settled. */
static void by_name(struct transformer *x, const struct transform_step *s)
{
	struct tree *t = x->by_id[s->path.parts[0].id];

	if (!t)
		return;
	if (s->kind == TRANSFORM_DROP) {
		transformer_remove(x, &x->root, t);
	} else {
		transformer_name(x, &x->root, t, s->rename.name, s->rename.id);
	}
}

void transformer_step(struct transformer *x, const struct transform_step *s)
{
	struct tree *t;

	switch (s->kind) {
	case TRANSFORM_KEEP:
		keep(x, s);
		return;
	case TRANSFORM_STRIP:
		strip(x);
		return;
	case TRANSFORM_SET:
		set(x, s);
		return;
	case TRANSFORM_DROP:
	case TRANSFORM_RENAME:
		if (s->path.count == 1) {
			by_name(x, s);
			return;
		}
		break;
	default:
		break;
	}
	t = x->by_id[s->path.parts[0].id];
	if (t)
		at_value(x, s, &x->root, t, 0);
}
