/* What a definition may say, and the steps that come of it. */
#include <stdio.h>

#include "base/memory.h"
#include "event/number.h"
#include "event/scan.h"
#include "event/transform_internal.h"
#include "event/tree.h"

struct kind {
	const char *name;
	enum transform_kind kind;
	bool (*read)(struct definer *d, const struct kind *k, const struct define *value);
	unsigned fails; /* what on_fail may be, as bits; 0: it cannot fail */
	const char *example;
};

static bool expected(struct definer *d, const struct kind *k, const struct define *at,
		     const char *what)
{
	return define_fail(d, at->at, "%s: expected %s, such as { %s }", k->name, what, k->example);
}

static struct transform_step *step_add(struct definer *d, const struct kind *k)
{
	struct transform *t = d->transform;
	struct transform_step *s = arena_alloc(&t->arena, sizeof(*s));

	*s = (struct transform_step){ .kind = k->kind, .name = k->name, .fail = FAIL_ERROR };
	if (t->last)
		t->last->next = s;
	else
		t->steps = s;
	t->last = s;
	return s;
}

/* A fault in it is told with the transform's name. */
static bool path_of(struct definer *d, const struct kind *k, const struct define *text,
		    struct transform_path *out)
{
	if (text->kind != DEFINE_TEXT || text->text.n == 0)
		return expected(d, k, text, "an attribute's path");
	return path_parse(d, text->text, text->at, out) ||
	       error_wrap(d->err, "%s: '%.*s'", k->name, SHORT(text->text));
}

/* A step for the path that a map's name is; NULL after a fault. */
static struct transform_step *step_name(struct definer *d, const struct kind *k,
					const struct define *member)
{
	struct define text = { .kind = DEFINE_TEXT, .at = member->at, .text = member->name };
	struct transform_path path;
	struct transform_step *s;

	if (!path_of(d, k, &text, &path))
		return NULL;
	s = step_add(d, k);
	s->path = path;
	return s;
}

/* A path or a list of them, each a step like the first. */
static bool paths(struct definer *d, const struct kind *k, const struct define *value,
		  const struct transform_step *like)
{
	const struct define *first = value->kind == DEFINE_LIST ? value->first : value;

	if (!first)
		return expected(d, k, value, "paths of attributes");
	for (const struct define *v = first; v; v = value->kind == DEFINE_LIST ? v->next : NULL) {
		struct transform_step *s;
		struct transform_path path;

		if (!path_of(d, k, v, &path))
			return false;
		s = step_add(d, k);
		*s = *like;
		s->path = path;
	}
	return true;
}

/* Only these members. */
static bool known(struct definer *d, const struct kind *k, const struct define *map,
		  const char *const *names)
{
	for (const struct define *m = map->first; m; m = m->next) {
		bool found = false;

		for (const char *const *n = names; *n && !found; n++)
			found = str_equal(m->name, str_of(*n));
		if (!found)
			return define_fail(d, m->at, "%s: no such setting: '%.*s'; such as { %s }",
					   k->name, SHORT(m->name), k->example);
	}
	return true;
}

static bool whole_number(const struct define *v, size_t max, size_t *out)
{
	*out = 0;
	if (v->kind != DEFINE_NUMBER || v->text.n == 0 || v->text.n > 9)
		return false;
	for (size_t i = 0; i < v->text.n; i++) {
		if (v->text.p[i] < '0' || v->text.p[i] > '9')
			return false;
		*out = *out * 10 + (size_t)(v->text.p[i] - '0');
	}
	return *out <= max;
}

static struct str keep_text(struct definer *d, struct str plain)
{
	struct arena *arena = &d->transform->arena;
	char *o = arena_alloc(arena, TREE_ESCAPE * plain.n + SCAN_PADDING);
	char *end = tree_escape(plain, o);

	memset(end, 0, SCAN_PADDING);
	return (struct str){ o, (size_t)(end - o) };
}

/* ---- keep, drop ---- */

static struct transform_keep *keep_at(struct definer *d, struct transform_keep **list,
				      const struct transform_part *part)
{
	struct transform_keep *k;

	for (k = *list; k; k = k->next)
		if (k->part.kind == part->kind && k->part.index == part->index &&
		    str_equal(k->part.name, part->name))
			return k;
	k = arena_alloc(&d->transform->arena, sizeof(*k));
	*k = (struct transform_keep){ .part = *part, .next = *list };
	*list = k;
	return k;
}

static bool keep_path(struct definer *d, const struct kind *k, const struct define *v,
		      struct transform_keep **root)
{
	struct transform_keep **link = root, *found = NULL;
	struct transform_path path;

	if (!path_of(d, k, v, &path))
		return false;
	for (size_t i = 0; i < path.count; i++) {
		found = keep_at(d, link, &path.parts[i]);
		link = &found->inside;
	}
	found->all = true;
	return true;
}

static void keep_merge(struct definer *d, struct transform_keep **into,
		       const struct transform_keep *from)
{
	for (; from; from = from->next) {
		struct transform_keep *k = keep_at(d, into, &from->part);

		k->all |= from->all;
		keep_merge(d, &k->inside, from->inside);
	}
}

/* What is kept of each element is kept of those with an index, too. */
static void keep_settle(struct definer *d, struct transform_keep *first)
{
	const struct transform_keep *all = first;

	while (all && all->part.kind != PART_ALL)
		all = all->next;
	for (struct transform_keep *k = first; k; k = k->next) {
		if (all && k->part.kind == PART_INDEX) {
			k->all |= all->all;
			keep_merge(d, &k->inside, all->inside);
		}
		keep_settle(d, k->inside);
	}
}

static bool keep(struct definer *d, const struct kind *k, const struct define *value)
{
	const struct define *first = value->kind == DEFINE_LIST ? value->first : value;
	struct transform_keep *root = NULL;

	if (!first || value->kind == DEFINE_MAP)
		return expected(d, k, value, "paths of attributes");
	for (const struct define *v = first; v; v = value->kind == DEFINE_LIST ? v->next : NULL)
		if (!keep_path(d, k, v, &root))
			return false;
	keep_settle(d, root);
	step_add(d, k)->keep = root;
	return true;
}

static bool only_paths(struct definer *d, const struct kind *k, const struct define *value)
{
	struct transform_step like = { .kind = k->kind, .name = k->name, .fail = FAIL_ERROR };

	if (value->kind == DEFINE_MAP)
		return expected(d, k, value, "paths of attributes");
	return paths(d, k, value, &like);
}

/* ---- rename, move ---- */

static bool is_map(struct definer *d, const struct kind *k, const struct define *value,
		   const char *what)
{
	return (value->kind == DEFINE_MAP && value->count > 0) || expected(d, k, value, what);
}

/* What an earlier entry made would be taken on by a later one: hardly what was meant. */
static bool not_again(struct definer *d, const struct kind *k, const struct define *value,
		      const struct define *entry)
{
	for (const struct define *m = value->first; m != entry; m = m->next)
		if (m->kind == DEFINE_TEXT && str_equal(m->text, entry->name))
			return define_fail(d, entry->at,
					   "%s: '%.*s' is what another entry makes; write the "
					   "second as a transform of its own",
					   k->name, SHORT(entry->name));
	return true;
}

static bool rename_to(struct definer *d, const struct kind *k, const struct define *value)
{
	if (!is_map(d, k, value, "a map of paths to names"))
		return false;
	for (const struct define *m = value->first; m; m = m->next) {
		struct transform_path to;
		struct transform_step *s;

		if (m->kind != DEFINE_TEXT || m->text.n == 0)
			return expected(d, k, m, "an attribute's new name");
		s = not_again(d, k, value, m) ? step_name(d, k, m) : NULL;
		if (!s)
			return false;
		if (s->path.parts[s->path.count - 1].kind != PART_NAME)
			return expected(d, k, m, "a path that ends with a name");
		if (!path_of(d, k, m, &to))
			return false;
		if (to.count > 1)
			return define_fail(
				d, m->at,
				"%s: '%.*s': a new name, not a path: use move for another "
				"place, such as { move: { address.town: town } }, \\. for a dot in "
				"a name",
				k->name, SHORT(m->text));
		s->rename = to.parts[0];
	}
	return true;
}

static bool move_to(struct definer *d, const struct kind *k, const struct define *value)
{
	if (!is_map(d, k, value, "a map of paths to paths"))
		return false;
	for (const struct define *m = value->first; m; m = m->next) {
		struct transform_step *s;

		if (m->kind != DEFINE_TEXT || m->text.n == 0)
			return expected(d, k, m, "the path of its new place");
		s = not_again(d, k, value, m) ? step_name(d, k, m) : NULL;
		if (!s)
			return false;
		if (path_has(&s->path, PART_ALL))
			return expected(d, k, m, "the path of one attribute, without [*]");
		if (!path_of(d, k, m, &s->to))
			return false;
		if (path_has(&s->to, PART_ALL) || path_has(&s->to, PART_INDEX))
			return expected(d, k, m, "a new place in maps, without [ ]");
		if (path_begins(&s->to, &s->path))
			return expected(d, k, m, "a new place that is not in itself");
	}
	return true;
}

/* ---- set ---- */

/* A number, true, false or null. */
static bool constant(struct definer *d, const struct kind *k, const struct define *v,
		     struct transform_set *out)
{
	struct arena *arena = &d->transform->arena;
	struct number number;

	if (v->kind == DEFINE_NUMBER) {
		if (!number_view(v->text.p, &number, NULL) || !number_fits(&number))
			return expected(d, k, v, "a number as DynamoDB has them");
		out->raw = str_of(arena_printf(arena, "{\"N\":\"%.*s\"}", STR_ARG(v->text)));
		out->type = TREE_N;
	} else if (v->kind == DEFINE_NULL) {
		out->raw = STR("{\"NULL\":true}");
		out->type = TREE_NULL;
	} else {
		out->raw =
			v->kind == DEFINE_TRUE ? STR("{\"BOOL\":true}") : STR("{\"BOOL\":false}");
		out->type = TREE_BOOL;
	}
	out->raw = scan_keep(out->raw, arena);
	return true;
}

static bool set_to(struct definer *d, const struct kind *k, const struct define *value)
{
	if (!is_map(d, k, value, "a map of paths to values"))
		return false;
	for (const struct define *m = value->first; m; m = m->next) {
		struct transform_step *s;

		if (m->kind == DEFINE_LIST || m->kind == DEFINE_MAP)
			return expected(d, k, m, "a text, number, true, false or null");
		s = step_name(d, k, m);
		if (!s)
			return false;
		if (path_has(&s->path, PART_ALL) || path_has(&s->path, PART_INDEX))
			return expected(d, k, m, "a place in maps, without [ ]");
		if (m->kind == DEFINE_TEXT ? !define_template(d, m, &s->set)
					   : !constant(d, k, m, &s->set))
			return m->kind != DEFINE_TEXT
				       ? false
				       : error_wrap(d->err, "%s: '%.*s'", k->name, SHORT(m->name));
	}
	return true;
}

/* ---- cast, truncate ---- */

static bool cast_to(struct definer *d, const struct kind *k, const struct define *value)
{
	static const char *const words[] = { "string", "number", "bool" };

	if (!is_map(d, k, value, "a map of paths to types"))
		return false;
	for (const struct define *m = value->first; m; m = m->next) {
		struct transform_step *s;
		int cast = -1;

		for (int i = 0; i < 3 && m->kind == DEFINE_TEXT; i++)
			if (str_equal(m->text, str_of(words[i])))
				cast = i;
		if (cast < 0)
			return expected(d, k, m, "string, number or bool");
		s = step_name(d, k, m);
		if (!s)
			return false;
		s->cast = (enum transform_cast)cast;
	}
	return true;
}

static bool truncate_to(struct definer *d, const struct kind *k, const struct define *value)
{
	if (!is_map(d, k, value, "a map of paths to lengths"))
		return false;
	for (const struct define *m = value->first; m; m = m->next) {
		struct transform_step *s;
		size_t length;

		if (!whole_number(m, 1000000, &length) || length == 0)
			return expected(d, k, m, "a length of 1 to 1000000");
		s = step_name(d, k, m);
		if (!s)
			return false;
		s->truncate = length;
	}
	return true;
}

/* ---- those with settings ---- */

/* Paths alone, or a map with `paths` and settings, of which no other is taken. */
static bool paths_of(struct definer *d, const struct kind *k, const struct define *value,
		     const char *const *settings, const struct define **out)
{
	*out = value;
	if (value->kind != DEFINE_MAP)
		return true;
	if (!known(d, k, value, settings))
		return false;
	*out = define_member(value, "paths");
	return *out || expected(d, k, value, "paths");
}

static bool mask(struct definer *d, const struct kind *k, const struct define *value)
{
	static const char *const settings[] = { "paths", "with", "keep_first", "keep_last", NULL };
	struct transform_step like = { .kind = k->kind, .name = k->name, .fail = FAIL_ERROR };
	const struct define *list, *v;

	if (!paths_of(d, k, value, settings, &list))
		return false;
	like.mask.with = TRANSFORM_PADDED("***");
	v = define_member(value, "with");
	if (v && v->kind != DEFINE_TEXT)
		return expected(d, k, v, "a text for `with`");
	if (v)
		like.mask.with = keep_text(d, v->text);
	v = define_member(value, "keep_first");
	if (v && !whole_number(v, 1000, &like.mask.first))
		return expected(d, k, v, "0 to 1000 characters for keep_first");
	v = define_member(value, "keep_last");
	if (v && !whole_number(v, 1000, &like.mask.last))
		return expected(d, k, v, "0 to 1000 characters for keep_last");
	return paths(d, k, list, &like);
}

static bool hash(struct definer *d, const struct kind *k, const struct define *value)
{
	static const char *const settings[] = { "paths", "key", "encoding", NULL };
	struct transform_step like = { .kind = k->kind, .name = k->name, .fail = FAIL_ERROR };
	const struct define *list, *key, *encoding = define_member(value, "encoding");

	if (value->kind != DEFINE_MAP)
		return expected(d, k, value, "paths and a key");
	if (!paths_of(d, k, value, settings, &list))
		return false;
	key = define_member(value, "key");
	if (!key)
		return expected(d, k, value, "a key");
	/* Its value is not shown: it is a secret. */
	if (key->kind != DEFINE_TEXT || key->text.n < TRANSFORM_KEY_MIN)
		return define_fail(d, key->at,
				   "hash: key: expected a secret of %d bytes or more, such as "
				   "{ %s }",
				   TRANSFORM_KEY_MIN, k->example);
	if (encoding &&
	    (encoding->kind != DEFINE_TEXT ||
	     (!str_equal(encoding->text, STR("hex")) && !str_equal(encoding->text, STR("base64")))))
		return expected(d, k, encoding, "hex or base64 for encoding");
	like.hash.base64 = encoding && str_equal(encoding->text, STR("base64"));
	like.hash.key = arena_alloc(&d->transform->arena, sizeof(*like.hash.key));
	hmac_key_init(like.hash.key, key->text);
	return paths(d, k, list, &like);
}

/* flatten and split */
static bool separated(struct definer *d, const struct kind *k, const struct define *value)
{
	static const char *const settings[] = { "paths", "separator", NULL };
	struct transform_step like = { .kind = k->kind, .name = k->name, .fail = FAIL_ERROR };
	const struct define *list, *v = define_member(value, "separator");

	if (!paths_of(d, k, value, settings, &list))
		return false;
	like.separator = TRANSFORM_PADDED("_");
	if (v && (v->kind != DEFINE_TEXT || v->text.n > 60))
		return expected(d, k, v, "a short text for separator");
	if (v)
		like.separator = keep_text(d, v->text);
	return paths(d, k, list, &like);
}

/* An element of a list has no name that could be made longer. */
static bool named(struct definer *d, const struct kind *k, const struct define *value)
{
	struct transform_step *before = d->transform->last, *s;

	if (!separated(d, k, value))
		return false;
	for (s = before ? before->next : d->transform->steps; s; s = s->next)
		if (s->path.parts[s->path.count - 1].kind != PART_NAME)
			return expected(d, k, value, "paths that end with a name");
	return true;
}

static bool strip(struct definer *d, const struct kind *k, const struct define *value)
{
	if (value->kind != DEFINE_TRUE)
		return expected(d, k, value, "true");
	step_add(d, k);
	return true;
}

static bool lua(struct definer *d, const struct kind *k, const struct define *value)
{
	return define_script(d, value, step_add(d, k));
}

/* ---- one definition ---- */

static const struct kind kinds[] = {
	{ "keep", TRANSFORM_KEEP, keep, 0, "keep: [total, address.town]" },
	{ "drop", TRANSFORM_DROP, only_paths, 0, "drop: [password, \"lines[*].secret\"]" },
	{ "rename", TRANSFORM_RENAME, rename_to, 0, "rename: { custName: customer_name }" },
	{ "move", TRANSFORM_MOVE, move_to, FAIL_ERROR | FAIL_KEEP, "move: { address.town: town }" },
	{ "set", TRANSFORM_SET, set_to, FAIL_ERROR | FAIL_KEEP,
	  "set: { full: \"${attribute:first} ${attribute:last}\" }" },
	{ "cast", TRANSFORM_CAST, cast_to, FAIL_ERROR | FAIL_KEEP | FAIL_NULL | FAIL_DROP,
	  "cast: { total: string }" },
	{ "mask", TRANSFORM_MASK, mask, 0, "mask: { paths: [card], keep_last: 4 }" },
	{ "hash", TRANSFORM_HASH, hash, 0,
	  "hash: { paths: [email], key: \"${file:/run/secrets/hash}\" }" },
	{ "truncate", TRANSFORM_TRUNCATE, truncate_to, 0, "truncate: { note: 100 }" },
	{ "flatten", TRANSFORM_FLATTEN, named, FAIL_ERROR | FAIL_KEEP, "flatten: [address]" },
	{ "parse", TRANSFORM_PARSE, only_paths, FAIL_ERROR | FAIL_KEEP | FAIL_NULL | FAIL_DROP,
	  "parse: [payload]" },
	{ "split", TRANSFORM_SPLIT, named, FAIL_ERROR | FAIL_KEEP, "split: [value]" },
	{ "strip_replication", TRANSFORM_STRIP, strip, 0, "strip_replication: true" },
	{ "lua", TRANSFORM_LUA, lua, 0, "lua: scripts/orders.lua" },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind *kind_find(struct str name)
{
	for (size_t i = 0; i < KINDS; i++)
		if (str_equal(str_of(kinds[i].name), name))
			return &kinds[i];
	return NULL;
}

static bool unknown(struct definer *d, const char *at, struct str name)
{
	char all[256];
	size_t n = 0;

	for (size_t i = 0; i < KINDS; i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "",
				      kinds[i].name);
	return define_fail(d, at, "no such transform: '%.*s'; there are %s; such as { %s }",
			   SHORT(name), all, kinds[1].example);
}

static bool on_fail(struct definer *d, const struct kind *k, const struct define *v,
		    enum transform_fail *out)
{
	static const struct {
		const char *word;
		enum transform_fail fail;
	} words[] = { { "error", FAIL_ERROR },
		      { "keep", FAIL_KEEP },
		      { "null", FAIL_NULL },
		      { "drop", FAIL_DROP } };
	/* YAML's null without quotes is meant, too. */
	struct str text = v->kind == DEFINE_NULL ? STR("null") : v->text;
	char list[64] = "";
	size_t n = 0;

	if (!k->fails)
		return define_fail(
			d, v->at,
			"on_fail: does not go with %s; only move, set, cast, flatten, parse "
			"and split have it, such as { cast: { total: number }, on_fail: "
			"keep }",
			k->name);
	for (size_t i = 0; i < 4; i++) {
		if (!(k->fails & words[i].fail))
			continue;
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
				      words[i].word);
		if ((v->kind == DEFINE_TEXT || v->kind == DEFINE_NULL) &&
		    str_equal(text, str_of(words[i].word))) {
			*out = words[i].fail;
			return true;
		}
	}
	return define_fail(d, v->at, "on_fail: expected one of %s, such as { %s, on_fail: keep }",
			   list, k->example);
}

bool define_steps(struct definer *d, const struct define *definition)
{
	struct transform_step *before = d->transform->last, *s;
	const struct define *fail = define_member(definition, "on_fail"), *only = NULL;
	static const struct define yes = { .kind = DEFINE_TRUE };
	enum transform_fail how = FAIL_ERROR;
	const struct kind *k;

	if (definition->kind == DEFINE_TEXT) {
		k = kind_find(definition->text);
		if (k && k->kind == TRANSFORM_STRIP)
			return k->read(d, k, &yes);
		return k ? expected(d, k, definition, "a map")
			 : unknown(d, definition->at, definition->text);
	}
	if (definition->kind != DEFINE_MAP)
		return expected(d, &kinds[1], definition, "a map with one transform");
	for (const struct define *m = definition->first; m; m = m->next) {
		if (m == fail)
			continue;
		if (!kind_find(m->name))
			return unknown(d, m->at, m->name);
		if (only)
			return define_fail(d, m->at,
					   "'%.*s' beside '%.*s': each transform is an entry of "
					   "its own, so that their order is told, such as [{ %s }, "
					   "{ %s }]",
					   SHORT(m->name), SHORT(only->name),
					   kind_find(only->name)->example,
					   kind_find(m->name)->example);
		only = m;
	}
	if (!only)
		return expected(d, &kinds[1], definition, "a map with one transform");
	k = kind_find(only->name);
	if ((fail && !on_fail(d, k, fail, &how)) || !k->read(d, k, only))
		return false;
	for (s = before ? before->next : d->transform->steps; s; s = s->next)
		s->fail = how;
	return true;
}
