/* What definitions of schemas say. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/schema_internal.h"
#include "event/tree.h"

/* How one is written, for messages. */
#define EXAMPLE_SCHEMA                                                                             \
	"{ name: order, when: { type: order }, columns: [{ path: total, type: number }] }"
#define EXAMPLE_COLUMN "{ path: address.town, type: string, required: true }"
#define EXAMPLE_WHEN   "when: { type: [order, { prefix: ORDER- }] }"

#define BIT(type)      (1u << (type))
static const struct schema_type types[] = {
	{ "string", "a string", BIT(TREE_S), false },
	{ "number", "a number", BIT(TREE_N), false },
	{ "integer", "an integer", BIT(TREE_N), true },
	{ "boolean", "a boolean", BIT(TREE_BOOL), false },
	{ "binary", "binary", BIT(TREE_B), false },
	{ "list", "a list", BIT(TREE_L), false },
	{ "map", "a map", BIT(TREE_M), false },
	{ "string_set", "a set of strings", BIT(TREE_SS), false },
	{ "number_set", "a set of numbers", BIT(TREE_NS), false },
	{ "binary_set", "a set of binaries", BIT(TREE_BS), false },
	{ "set", "a set", BIT(TREE_SS) | BIT(TREE_NS) | BIT(TREE_BS), false },
	{ "any", "a value", 0, false },
};
#define TYPES (sizeof(types) / sizeof(types[0]))
/* Of a map on the way to columns. */
static const struct schema_type way = { "map", "a map", BIT(TREE_M), false };

/* What is being read. */
struct maker {
	struct definer d;
	struct schemas *all;
	struct schema *schema;
	size_t capacity; /* of its columns */
};

static struct arena *arena_of(struct maker *m)
{
	return &m->all->names->arena;
}

static void *make(struct maker *m, size_t size)
{
	return memset(arena_alloc(arena_of(m), size), 0, size);
}

/* Ends with a zero. */
static struct str keep(struct maker *m, struct str s)
{
	return (struct str){ arena_printf(arena_of(m), "%.*s", STR_ARG(s)), s.n };
}

static bool expected(struct maker *m, const struct define *at, const char *what,
		     const char *example)
{
	return define_fail(&m->d, at->at, "expected %s, such as %s", what, example);
}

/* The names of a path that has nothing else, plain and as JSON writes them. */
static bool names_of(struct maker *m, const struct define *at, struct str path, struct str **plain,
		     struct str **spelled, size_t *count, const char **text)
{
	struct transform_path p;

	if (!path_parse(&m->d, path, at->at, &p))
		return false;
	if (path_has(&p, PART_INDEX) || path_has(&p, PART_ALL))
		return define_fail(&m->d, at->at,
				   "'%.*s': expected names with dots between such as address.town, "
				   "without [ ]; \\[ is one in a name",
				   SHORT(path));
	*count = p.count;
	*text = p.text;
	*plain = arena_alloc(arena_of(m), p.count * sizeof(**plain));
	*spelled = arena_alloc(arena_of(m), p.count * sizeof(**spelled));
	for (size_t i = 0; i < p.count; i++) {
		struct str name = p.parts[i].name;
		char *o = arena_alloc(arena_of(m), name.n + 1);

		(*spelled)[i] = name;
		(*plain)[i] = (struct str){ o, scan_unescape(name, o) };
	}
	return true;
}

/* ---- when ---- */

static bool read_test(struct maker *m, const struct define *v, struct schema_test **link);

/* A value or a list of them. */
static bool read_tests(struct maker *m, const struct define *v, struct schema_test **link)
{
	if (v->kind != DEFINE_LIST)
		return read_test(m, v, link);
	if (!v->first)
		return expected(m, v, "a value that fits", EXAMPLE_WHEN);
	for (const struct define *c = v->first; c; c = c->next) {
		if (!read_test(m, c, link))
			return false;
		link = &(*link)->next;
	}
	return true;
}

static bool read_operator(struct maker *m, const struct define *v, struct schema_test *t)
{
	static const char wanted[] = "one of prefix, suffix, exists, anything-but";
	const struct define *o = v->first;
	bool text = o && o->kind == DEFINE_TEXT;

	if (v->count != 1)
		return expected(m, v, wanted, EXAMPLE_WHEN);
	if (str_equal(o->name, STR("prefix")) || str_equal(o->name, STR("suffix"))) {
		t->kind = str_equal(o->name, STR("prefix")) ? TEST_PREFIX : TEST_SUFFIX;
		t->text = o->text;
		return (text && o->text.n > 0) ||
		       expected(m, o, "a text for it", "{ prefix: ORDER- }");
	}
	if (str_equal(o->name, STR("exists"))) {
		t->kind = o->kind == DEFINE_TRUE ? TEST_EXISTS : TEST_ABSENT;
		return o->kind == DEFINE_TRUE || o->kind == DEFINE_FALSE ||
		       expected(m, o, "true or false", "{ exists: true }");
	}
	if (str_equal(o->name, STR("anything-but"))) {
		t->kind = TEST_NOT;
		for (const struct define *c = o->first; c; c = c->next)
			if (c->kind == DEFINE_MAP)
				return expected(m, c, "values", "{ anything-but: [draft, test] }");
		return o->kind == DEFINE_MAP
			       ? expected(m, o, "values", "{ anything-but: [draft, test] }")
			       : read_tests(m, o, &t->inner);
	}
	return expected(m, o, wanted, EXAMPLE_WHEN);
}

static bool read_test(struct maker *m, const struct define *v, struct schema_test **link)
{
	struct schema_test *t = *link = make(m, sizeof(*t));

	switch (v->kind) {
	case DEFINE_TEXT:
		t->kind = TEST_TEXT;
		t->text = v->text;
		return true;
	case DEFINE_NUMBER:
		t->kind = TEST_NUMBER;
		t->text = v->text;
		return (number_view(v->text.p, &t->number, NULL) && number_fits(&t->number)) ||
		       expected(m, v, "a number as DynamoDB has them", "when: { version: 2 }");
	case DEFINE_TRUE:
		t->kind = TEST_TRUE;
		return true;
	case DEFINE_FALSE:
		t->kind = TEST_FALSE;
		return true;
	case DEFINE_NULL:
		t->kind = TEST_NULL;
		return true;
	case DEFINE_MAP:
		return read_operator(m, v, t);
	default:
		return expected(m, v, "a value", EXAMPLE_WHEN);
	}
}

static bool read_when(struct maker *m, const struct define *v)
{
	struct schema_condition **link = &m->schema->when;

	if (v->kind != DEFINE_MAP || v->count == 0)
		return expected(m, v, "a map of paths and what fits them", EXAMPLE_WHEN);
	for (const struct define *c = v->first; c; c = c->next) {
		struct schema_condition *made = make(m, sizeof(*made));
		struct str *unused;
		const char *text;

		if (!names_of(m, c, c->name, &made->path, &unused, &made->count, &text) ||
		    !read_tests(m, c, &made->tests))
			return false;
		*link = made;
		link = &made->next;
	}
	return true;
}

/* ---- columns ---- */

static const struct schema_type *type_find(struct maker *m, const struct define *v)
{
	char all[160];
	size_t n = 0;

	for (size_t i = 0; i < TYPES; i++) {
		if (v->kind == DEFINE_TEXT && str_equal(v->text, str_of(types[i].name)))
			return &types[i];
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "",
				      types[i].name);
	}
	define_fail(&m->d, v->at, "type: expected one of %s, such as " EXAMPLE_COLUMN, all);
	return NULL;
}

/* The column's value in DynamoDB's JSON, in *fill. */
static bool read_default(struct maker *m, const struct define *v, const struct schema_type *type,
			 struct record_fill *fill)
{
	char *o, *p;

	switch (v->kind) {
	case DEFINE_TEXT:
		fill->type = TREE_S;
		o = arena_alloc(arena_of(m), TREE_ESCAPE * v->text.n + 16);
		p = tree_escape(v->text, stpcpy(o, "{\"S\":\""));
		stpcpy(p, "\"}");
		fill->raw = str_of(o);
		break;
	case DEFINE_NUMBER: {
		struct number n;

		if (!number_view(v->text.p, &n, NULL) || !number_fits(&n))
			return expected(m, v, "a number as DynamoDB has them", "default: 0");
		fill->type = TREE_N;
		fill->raw = str_of(arena_printf(arena_of(m), "{\"N\":\"%.*s\"}", STR_ARG(v->text)));
		if (type->integer && !schema_is_integer(v->text.p))
			return define_fail(&m->d, v->at,
					   "default: expected an integer, such as default: 0");
		break;
	}
	case DEFINE_TRUE:
	case DEFINE_FALSE:
		fill->type = TREE_BOOL;
		fill->raw =
			v->kind == DEFINE_TRUE ? STR("{\"BOOL\":true}") : STR("{\"BOOL\":false}");
		break;
	default:
		return expected(m, v, "a text, number, true or false for default",
				"{ path: state, type: string, default: open }");
	}
	fill->raw = scan_keep(fill->raw, arena_of(m));
	if (!type->types || type->types & BIT(fill->type))
		return true;
	if (!(type->types & (BIT(TREE_S) | BIT(TREE_N) | BIT(TREE_BOOL))))
		return define_fail(&m->d, v->at,
				   "default: %s has none; a text, number or boolean has, such as "
				   "{ path: state, type: string, default: open }",
				   type->article);
	return define_fail(&m->d, v->at, "default: expected %s, as the column is one, such as %s",
			   type->article,
			   type->types & BIT(TREE_S)   ? "default: open"
			   : type->types & BIT(TREE_N) ? "default: 0"
						       : "default: false");
}

/* The column of a path, with those that it is in. */
static struct schema_column *column_at(struct maker *m, const struct str *names, size_t count)
{
	struct schema_column *c = &m->schema->root;

	for (size_t i = 0; i < count; i++) {
		struct schema_column **link = &c->first, *parent = c;

		while (*link && !str_equal((*link)->name, names[i]))
			link = &(*link)->next;
		c = *link;
		if (c)
			continue;
		c = *link = make(m, sizeof(*c));
		c->name = names[i];
		c->parent = parent;
		c->type = &way;
		c->id = UINT32_MAX;
		c->path = arena_printf(arena_of(m), "%s%s%.*s", parent->path,
				       *parent->path ? "." : "", SHORT(names[i]));
	}
	return c;
}

static bool read_column(struct maker *m, const struct define *v)
{
	static const char *const keys[] = { "path", "type", "required", "default" };
	const struct define *of[4] = { NULL };
	const struct schema_type *type;
	struct schema *s = m->schema;
	struct schema_column *c;
	struct str *plain, *spelled;
	const char *text;
	size_t count;

	if (v->kind != DEFINE_MAP)
		return expected(m, v, "a column", EXAMPLE_COLUMN);
	for (const struct define *k = v->first; k; k = k->next) {
		size_t i = 0;

		while (i < 4 && !str_equal(k->name, str_of(keys[i])))
			i++;
		if (i == 4)
			return define_fail(&m->d, k->at,
					   "a column has no '%.*s'; expected path, type, required "
					   "or default, such as " EXAMPLE_COLUMN,
					   SHORT(k->name));
		of[i] = k;
	}
	if (!of[0] || of[0]->kind != DEFINE_TEXT || of[0]->text.n == 0)
		return expected(m, of[0] ? of[0] : v, "a column with a path", EXAMPLE_COLUMN);
	if (!of[1])
		return expected(m, v, "a column with a type", EXAMPLE_COLUMN);
	if (of[2] && of[2]->kind != DEFINE_TRUE && of[2]->kind != DEFINE_FALSE)
		return expected(m, of[2], "true or false for required", EXAMPLE_COLUMN);
	type = type_find(m, of[1]);
	if (!type || !names_of(m, of[0], of[0]->text, &plain, &spelled, &count, &text))
		return false;
	c = column_at(m, plain, count);
	if (c->is_column)
		return define_fail(
			&m->d, of[0]->at,
			"'%s' is there twice; a path has one column, such as " EXAMPLE_COLUMN,
			text);
	if (c->first && type->types && !(type->types & BIT(TREE_M)))
		return define_fail(&m->d, of[1]->at,
				   "'%s': expected a map, as it has columns, such as "
				   "{ path: address, type: map }",
				   text);
	if (c->parent->is_column && c->parent->type->types &&
	    !(c->parent->type->types & BIT(TREE_M)))
		return define_fail(&m->d, of[0]->at,
				   "'%s': '%s' is no map; expected for it { path: %s, type: map }",
				   text, c->parent->path, c->parent->path);
	c->is_column = true;
	c->type = type;
	c->required = of[2] && of[2]->kind == DEFINE_TRUE;
	c->path = text;
	if (s->column_count == SCHEMA_COLUMNS_MAX)
		return define_fail(&m->d, v->at, "a schema has at most %d columns",
				   SCHEMA_COLUMNS_MAX);
	c->id = (unsigned)s->column_count;
	s->columns[s->column_count++] = c;
	if (!of[3])
		return true;
	if (++s->fill_count > SCHEMA_FILLS_MAX)
		return define_fail(&m->d, of[3]->at, "a schema has at most %d defaults",
				   SCHEMA_FILLS_MAX);
	struct record_fill *fill = make(m, sizeof(*fill));

	fill->names = spelled;
	fill->plain = plain;
	fill->count = count;
	c->fill = fill;
	return read_default(m, of[3], type, fill);
}

static bool read_columns(struct maker *m, const struct define *v)
{
	if (v->kind != DEFINE_LIST)
		return expected(m, v, "a list of columns", "columns: [" EXAMPLE_COLUMN "]");
	m->schema->columns = arena_alloc(arena_of(m), (v->count + 1) * sizeof(void *));
	for (const struct define *c = v->first; c; c = c->next)
		if (!read_column(m, c))
			return false;
	return true;
}

/* ---- a schema ---- */

static bool read_name(struct maker *m, const struct define *v)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-";
	struct str name;

	if (v->kind != DEFINE_TEXT || v->text.n == 0 || v->text.n > SCHEMA_NAME_MAX)
		return expected(m, v, "a name", "name: order");
	name = keep(m, v->text);
	if (strspn(name.p, chars) != name.n || *name.p == '_')
		return define_fail(&m->d, v->at,
				   "name: expected letters, digits, - and _, not at the front, as "
				   "it is part of topics and paths, such as name: order-v2");
	for (const struct schema *s = m->all->first; s; s = s->next)
		if (str_equal(s->name, name))
			return define_fail(
				&m->d, v->at,
				"name: '%s' is there twice; expected another one, such as "
				"name: %s-2",
				name.p, name.p);
	m->schema->name = name;
	return true;
}

static bool read_mode(struct maker *m, const struct define *v)
{
	m->schema->evolve = v->kind == DEFINE_TEXT && str_equal(v->text, STR("evolve"));
	return m->schema->evolve || (v->kind == DEFINE_TEXT && str_equal(v->text, STR("strict"))) ||
	       expected(m, v, "strict or evolve", "mode: evolve");
}

static bool read_append_only(struct maker *m, const struct define *v)
{
	m->schema->append_only = v->kind == DEFINE_TRUE;
	return v->kind == DEFINE_TRUE || v->kind == DEFINE_FALSE ||
	       expected(m, v, "true or false", "append_only: true");
}

static bool read_member(struct maker *m, const struct define *v)
{
	static const struct {
		const char *key;
		bool (*read)(struct maker *m, const struct define *v);
	} members[] = {
		{ "name", read_name },
		{ "when", read_when },
		{ "columns", read_columns },
		{ "mode", read_mode },
		{ "append_only", read_append_only },
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (str_equal(v->name, str_of(members[i].key)))
			return members[i].read(m, v);
	return define_fail(&m->d, v->at,
			   "a schema has no '%.*s'; expected name, when, columns, mode or "
			   "append_only, such as " EXAMPLE_SCHEMA,
			   SHORT(v->name));
}

static bool read_schema(struct maker *m, struct str definition)
{
	const struct define *root = define_parse(&m->d, definition), *mode;
	struct schema *s = m->schema = make(m, sizeof(*s));

	s->root.path = "";
	s->root.type = &way;
	if (!root)
		return false;
	if (root->kind != DEFINE_MAP)
		return expected(m, root, "a schema", EXAMPLE_SCHEMA);
	for (const struct define *c = root->first; c; c = c->next)
		if (!read_member(m, c))
			return false;
	if (!s->name.p)
		return expected(m, root, "a schema with a name", EXAMPLE_SCHEMA);
	mode = define_member(root, "mode");
	if (mode && s->column_count == 0)
		return define_fail(&m->d, mode->at,
				   "mode: says what becomes of what columns do not name; expected "
				   "columns: [" EXAMPLE_COLUMN "]");
	for (const struct schema *before = m->all->first; before; before = before->next)
		if (!before->when)
			return define_fail(
				&m->d, root->at,
				"it is never reached: schema '%s' before it has no "
				"`when`, and fits every item; put it last, or give it one "
				"such as when: { type: order }",
				before->name.p);
	if (m->all->last)
		m->all->last->next = s;
	else
		m->all->first = s;
	m->all->last = s;
	m->all->fills |= s->fill_count > 0;
	return true;
}

static struct schemas *make_all(const struct str *definitions, size_t count, size_t *at,
				struct error *err)
{
	AUTO(schemas) struct schemas *s = memory_new(sizeof(*s));

	s->names = memory_new(sizeof(*s->names));
	arena_init(&s->names->arena);
	for (size_t i = 0; i < count; i++) {
		struct maker m = { .d = { .transform = s->names, .what = "schema", .err = err },
				   .all = s };

		if (read_schema(&m, definitions[i]))
			continue;
		if (at)
			*at = (size_t)(m.d.at - m.d.text);
		return NULL;
	}
	return MOVE(s);
}

struct schemas *schemas_new(const struct str *definitions, size_t count, struct error *err)
{
	return make_all(definitions, count, NULL, err);
}

bool schemas_check(const struct str *definitions, size_t count, size_t *at, struct error *err)
{
	struct schemas *s = make_all(definitions, count, at, err);

	schemas_free(s);
	return s != NULL;
}

void schemas_free(struct schemas *s)
{
	if (!s)
		return;
	transform_free(s->names);
	free(s);
}
