#include "event/transform.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/scan.h"
#include "event/transform_internal.h"
#include "event/tree.h"

/* ---- templates ---- */

static struct str escaped(struct definer *d, struct str plain)
{
	char *o = arena_alloc(&d->transform->arena, TREE_ESCAPE * plain.n + SCAN_PADDING);

	return (struct str){ o, (size_t)(tree_escape(plain, o) - o) };
}

/* attribute:PATH or attribute:PATH:-DEFAULT */
static bool attribute(struct definer *d, const struct define *value, struct str inside,
		      struct transform_piece *piece)
{
	const char *def = memmem(inside.p, inside.n, ":-", 2);
	struct str path = inside;

	piece->kind = PIECE_ATTRIBUTE;
	if (def) {
		path.n = (size_t)(def - inside.p);
		piece->text = escaped(d, (struct str){ def + 2, inside.n - path.n - 2 });
	}
	if (!path_parse(d, path, value->at, &piece->path))
		return false;
	return !path_has(&piece->path, PART_ALL) ||
	       define_fail(d, value->at, "a placeholder is of one attribute, without [*]");
}

static bool placeholder(struct definer *d, const struct define *value, struct str inside,
			struct transform_piece *piece)
{
	static const struct {
		const char *name;
		enum transform_piece_kind kind;
	} words[] = { { "table", PIECE_TABLE },
		      { "stream", PIECE_STREAM },
		      { "region", PIECE_REGION },
		      { "account", PIECE_ACCOUNT },
		      { "op", PIECE_OP } };
	static const char prefix[] = "attribute:";

	if (inside.n >= sizeof(prefix) && memcmp(inside.p, prefix, sizeof(prefix) - 1) == 0) {
		inside.p += sizeof(prefix) - 1;
		inside.n -= sizeof(prefix) - 1;
		return attribute(d, value, inside, piece);
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!str_equal(str_of(words[i].name), inside))
			continue;
		piece->kind = words[i].kind;
		return true;
	}
	return define_fail(
		d, value->at,
		"unknown placeholder ${%.*s}; there are ${attribute:PATH}, "
		"${attribute:PATH:-DEFAULT}, ${table}, ${stream}, ${region}, ${account}, "
		"${op}, and $${ is a plain ${",
		SHORT(inside));
}

static struct transform_piece *piece_add(struct definer *d, struct transform_piece ***link)
{
	struct transform_piece *piece = arena_alloc(&d->transform->arena, sizeof(*piece));

	*piece = (struct transform_piece){ .kind = PIECE_TEXT };
	**link = piece;
	*link = &piece->next;
	return piece;
}

bool define_template(struct definer *d, const struct define *value, struct transform_set *out)
{
	struct transform_piece **link = &out->pieces;
	const char *p = value->text.p, *end = p + value->text.n, *begin = p;

	while (p < end) {
		const char *open = memmem(p, (size_t)(end - p), "${", 2), *close;
		bool plain = open && open > begin && open[-1] == '$';

		if (!open || open > begin) {
			const char *stop = !open ? end : plain ? open - 1 : open;

			if (stop > begin)
				piece_add(d, &link)->text =
					escaped(d, (struct str){ begin, (size_t)(stop - begin) });
		}
		if (!open)
			return true;
		begin = open;
		p = open + 2;
		if (plain)
			continue;
		close = memchr(open, '}', (size_t)(end - open));
		if (!close)
			return define_fail(d, value->at,
					   "${ without its }, such as ${attribute:total}; $${ is a "
					   "plain ${");
		if (!placeholder(d, value, (struct str){ p, (size_t)(close - p) },
				 piece_add(d, &link)))
			return false;
		begin = p = close + 1;
	}
	if (end > begin)
		piece_add(d, &link)->text =
			escaped(d, (struct str){ begin, (size_t)(end - begin) });
	return true;
}

/* ---- all of them ---- */

/* What a transformer has of its own for a step has the step's number. */
static void number_steps(struct transform *t)
{
	for (struct transform_step *s = t->steps; s; s = s->next)
		if (s->kind == TRANSFORM_HASH)
			s->hash.memo = t->hash_count++;
		else if (s->kind == TRANSFORM_LUA)
			s->lua.index = t->script_count++;
}

static struct transform *make(const struct str *definitions, size_t count, size_t *at,
			      struct error *err)
{
	AUTO(transform) struct transform *t = memory_new(sizeof(*t));
	struct definer d = { .transform = t, .what = "transform", .err = err };

	arena_init(&t->arena);
	for (size_t i = 0; i < count; i++) {
		const struct define *definition = define_parse(&d, definitions[i]);

		if (!definition || !define_steps(&d, definition)) {
			if (at)
				*at = (size_t)(d.at - d.text);
			return NULL;
		}
	}
	number_steps(t);
	transform_plan(t);
	return MOVE(t);
}

struct transform *transform_new(const struct str *definitions, size_t count, struct error *err)
{
	return make(definitions, count, NULL, err);
}

bool transform_check(struct str definition, size_t *at, struct error *err)
{
	struct transform *t = make(&definition, 1, at, err);

	transform_free(t);
	return t != NULL;
}

bool transform_has_script(const struct transform *t)
{
	return t->script_count > 0;
}

void transform_free(struct transform *t)
{
	if (!t)
		return;
	for (struct transform_step *s = t->steps; s; s = s->next)
		if (s->kind == TRANSFORM_HASH)
			OPENSSL_cleanse(s->hash.key, sizeof(*s->hash.key));
	arena_release(&t->arena);
	free(t);
}
