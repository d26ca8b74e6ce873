/* The language of patterns: what may stand where. */
#include "event/pattern_internal.h"

static const struct row {
	enum place of;
	const char *name, *alias;
	enum place map, list; /* what stands there as a map, or as a list */
} rows[] = {
	{ PLACE_RECORD, "eventID", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_RECORD, "eventName", NULL, PLACE_NONE, PLACE_NAME },
	{ PLACE_RECORD, "eventVersion", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_RECORD, "eventSource", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_RECORD, "awsRegion", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_RECORD, "eventSourceARN", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_RECORD, "userIdentity", NULL, PLACE_IDENTITY, PLACE_NONE },
	{ PLACE_RECORD, "dynamodb", NULL, PLACE_CHANGE, PLACE_NONE },
	{ PLACE_RECORD, "sluice", NULL, PLACE_ROW, PLACE_NONE },
	/* The API's spelling is not Lambda's. */
	{ PLACE_IDENTITY, "type", "Type", PLACE_NONE, PLACE_TEXT },
	{ PLACE_IDENTITY, "principalId", "PrincipalId", PLACE_NONE, PLACE_TEXT },
	{ PLACE_ROW, "op", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_ROW, "window", NULL, PLACE_NONE, PLACE_NUMBER },
	{ PLACE_CHANGE, "ApproximateCreationDateTime", NULL, PLACE_NONE, PLACE_NUMBER },
	{ PLACE_CHANGE, "Keys", NULL, PLACE_ITEM, PLACE_NONE },
	{ PLACE_CHANGE, "NewImage", NULL, PLACE_ITEM, PLACE_NONE },
	{ PLACE_CHANGE, "OldImage", NULL, PLACE_ITEM, PLACE_NONE },
	{ PLACE_CHANGE, "SequenceNumber", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_CHANGE, "SizeBytes", NULL, PLACE_NONE, PLACE_NUMBER },
	{ PLACE_CHANGE, "StreamViewType", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_VALUE, "S", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_VALUE, "N", NULL, PLACE_NONE, PLACE_N },
	{ PLACE_VALUE, "B", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_VALUE, "BOOL", NULL, PLACE_NONE, PLACE_BOOL },
	{ PLACE_VALUE, "NULL", NULL, PLACE_NONE, PLACE_TRUE },
	{ PLACE_VALUE, "M", NULL, PLACE_ITEM, PLACE_INSIDE },
	{ PLACE_VALUE, "L", NULL, PLACE_VALUE, PLACE_INSIDE },
	{ PLACE_VALUE, "SS", NULL, PLACE_NONE, PLACE_TEXT },
	{ PLACE_VALUE, "NS", NULL, PLACE_NONE, PLACE_N },
	{ PLACE_VALUE, "BS", NULL, PLACE_NONE, PLACE_TEXT },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))
/* Any name is an attribute's. */
static const struct row attribute = { PLACE_ITEM, NULL, NULL, PLACE_VALUE, PLACE_NONE };

char *pattern_path(const struct filter_step *step, struct arena *arena)
{
	if (!step->parent)
		return arena_printf(arena, "%.*s", STR_ARG(step->name));
	return arena_printf(arena, "%s.%.*s", pattern_path(step->parent, arena),
			    STR_ARG(step->name));
}

/* --- lists --- */

/* What a list said, taken apart: {"exists": false} is an alternative to all the rest. */
struct list {
	const struct filter_test *tests;
	bool exists, absent;
};

static const char *operator_entry(struct parser *ps, const struct spot *s, const char *p,
				  struct list *l)
{
	struct filter_test *t = NULL;
	char exists = 0;

	p = pattern_operator(ps, s, p, &t, &exists);
	l->exists |= exists == 't';
	l->absent |= exists == 'f';
	if (!p || !t)
		return p;
	t->next = l->tests;
	l->tests = t;
	return p;
}

static const char *entry(struct parser *ps, const struct spot *s, const char *p, struct list *l)
{
	struct filter_test *t = NULL;

	if (*p == '{')
		return operator_entry(ps, s, p, l);
	if (*p == '[') {
		pattern_fail(ps, p, s->step, "a list inside of a list; expected %s",
			     pattern_expected(s->place));
		return NULL;
	}
	p = pattern_plain(ps, s, p, &t);
	if (!p)
		return NULL;
	t->next = l->tests;
	l->tests = t;
	return p;
}

static struct filter_clause *clause_new(struct parser *ps, const struct filter_step *step,
					const char *at)
{
	struct filter_clause *c = arena_alloc(ps->arena, sizeof(*c));

	*c = (struct filter_clause){ .step = step, .at = at };
	return c;
}

static const struct filter_leaf *leaf_new(struct parser *ps, struct filter_leaf leaf)
{
	struct filter_leaf *l = arena_alloc(ps->arena, sizeof(*l));

	*l = leaf;
	return l;
}

static struct filter_alternative *alternative_new(struct parser *ps,
						  const struct filter_clause *clauses,
						  const struct filter_alternative *next)
{
	struct filter_alternative *a = arena_alloc(ps->arena, sizeof(*a));

	*a = (struct filter_alternative){ clauses, next };
	return a;
}

/* A list from its '[' as one clause. */
static const char *list(struct parser *ps, const struct spot *s, const char *p,
			struct filter_clause **out)
{
	struct filter_clause *c = clause_new(ps, s->step, p), *positive, *negative;
	struct list l = { 0 };

	p = scan_space(&ps->scan, p + 1);
	if (*p == ']') {
		pattern_fail(ps, p, s->step, "the list is empty; expected %s",
			     pattern_expected(s->place));
		return NULL;
	}
	for (;;) {
		p = entry(ps, s, p, &l);
		if (!p)
			return NULL;
		p = scan_space(&ps->scan, p);
		if (*p == ']')
			break;
		p = scan_space(&ps->scan, p + 1);
	}
	*out = c;
	if (!l.absent || (!l.tests && !l.exists)) {
		c->leaf = leaf_new(ps, (struct filter_leaf){ l.tests, l.exists, l.absent });
		return p + 1;
	}
	positive = clause_new(ps, s->step, c->at);
	positive->leaf = leaf_new(ps, (struct filter_leaf){ l.tests, l.exists, false });
	negative = clause_new(ps, s->step, c->at);
	negative->leaf = leaf_new(ps, (struct filter_leaf){ .absent = true });
	c->any = alternative_new(ps, positive, alternative_new(ps, negative, NULL));
	return p + 1;
}

/* --- maps --- */

static const char *map(struct parser *ps, enum place place, const struct filter_step *step,
		       const char *p, struct filter_clause **out);

static const char *alternatives(struct parser *ps, enum place place, const struct filter_step *step,
				const char *p, struct filter_clause *c)
{
	size_t count = 0;

	if (*p == '[')
		p = scan_space(&ps->scan, p + 1);
	else
		p = NULL;
	while (p && *p == '{') {
		struct filter_clause *clauses = NULL;

		p = map(ps, place, step, p, &clauses);
		if (!p)
			return NULL;
		c->any = alternative_new(ps, clauses, c->any);
		count++;
		p = scan_space(&ps->scan, p);
		if (*p == ',')
			p = scan_space(&ps->scan, p + 1);
	}
	if (p && *p == ']' && count >= 2)
		return p + 1;
	pattern_fail(ps, p ? p : c->at, step,
		     "$or: expected a list of two maps or more, such as [" PATTERN_EXAMPLE
		     ", {\"userIdentity\": {\"type\": [\"Service\"]}}]");
	return NULL;
}

/* A map as it may stand there. */
static const char *example_of(enum place place)
{
	switch (place) {
	case PLACE_IDENTITY:
		return "{\"type\": [\"Service\"]}";
	case PLACE_ROW:
		return "{\"op\": [\"r\"]}";
	case PLACE_CHANGE:
		return "{\"NewImage\": {\"state\": {\"S\": [\"paid\"]}}}";
	case PLACE_ITEM:
		return "{\"state\": {\"S\": [\"paid\"]}}";
	case PLACE_VALUE:
		return "{\"S\": [\"paid\"]}";
	default:
		return PATTERN_EXAMPLE;
	}
}

/* The names that a place knows: "Keys, NewImage or OldImage". */
static const char *names_of(struct parser *ps, enum place place)
{
	const char *text = "", *between = "";

	for (size_t i = ROWS; i-- > 0;) {
		if (rows[i].of != place)
			continue;
		text = arena_printf(ps->arena, "%s%s%s", rows[i].name, between, text);
		between = *between ? ", " : " or ";
	}
	return text;
}

static const struct row *row_of(struct parser *ps, enum place place, const struct filter_step *step,
				struct str name, const char *at)
{
	if (place == PLACE_ITEM)
		return &attribute;
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].of == place && str_equal(name, str_of(rows[i].name)))
			return &rows[i];
	if (place == PLACE_VALUE)
		pattern_fail(ps, at, step,
			     "'%.*s' is no type of DynamoDB; expected a value's type, such "
			     "as {\"S\": [\"paid\"]}; the types are %s",
			     SHORT(name), names_of(ps, place));
	else
		pattern_fail(ps, at, step, "there is no '%.*s' here; expected %s, such as %s",
			     SHORT(name), names_of(ps, place), example_of(place));
	return NULL;
}

static bool wrong_kind(struct parser *ps, const struct row *row, const struct filter_step *step,
		       const char *p)
{
	if (row == &attribute)
		return pattern_fail(ps, p, step,
				    "expected the attribute's type around it, such as "
				    "{\"S\": [\"paid\"]} or {\"S\": [{\"exists\": false}]}");
	if (row->map == PLACE_NONE || row->list != PLACE_NONE)
		return pattern_fail(ps, p, step, "expected a list, such as [%s], not %s",
				    row->list == PLACE_NAME ? "\"INSERT\""
				    : row->list == PLACE_BOOL || row->list == PLACE_TRUE ? "true"
				    : row->list == PLACE_TEXT   ? "\"paid\""
				    : row->list == PLACE_INSIDE ? "{\"exists\": true}"
								: "5",
				    pattern_kind(p));
	return pattern_fail(ps, p, step, "expected a map of %s, such as %s, not %s",
			    row->map == PLACE_ITEM ? "attributes" : names_of(ps, row->map),
			    example_of(row->map), pattern_kind(p));
}

static const char *member_value(struct parser *ps, const struct row *row,
				const struct filter_step *step, const char *p,
				struct filter_clause **out)
{
	if (*p == '{' && row->map != PLACE_NONE)
		return map(ps, row->map, step, p, out);
	if (*p == '[' && row->list != PLACE_NONE)
		return list(ps, &(struct spot){ step, row->list }, p, out);
	wrong_kind(ps, row, step, p);
	return NULL;
}

/* A member from its name; *out gets the clauses that it is. */
static const char *member(struct parser *ps, enum place place, const struct filter_step *parent,
			  const char *p, struct filter_clause **out)
{
	const char *at = p;
	struct filter_step *step = arena_alloc(ps->arena, sizeof(*step));
	const struct row *row;

	*step = (struct filter_step){ .parent = parent };
	p = scan_space(&ps->scan, pattern_text(ps, p, &step->name));
	p = scan_space(&ps->scan, p + 1);
	if (str_equal(step->name, STR("$or"))) {
		*out = clause_new(ps, parent, at);
		return alternatives(ps, place, parent, p, *out);
	}
	row = row_of(ps, place, parent, step->name, at);
	if (!row)
		return NULL;
	if (row->alias)
		step->alias = str_of(row->alias);
	return member_value(ps, row, step, p, out);
}

static bool given_twice(const char *at, struct str name, struct scan *s, const char *p)
{
	struct str other;

	/* Names as they are written: two spellings of one name are two lists of one value. */
	for (p = scan_space(s, p + 1); p < at;) {
		const char *value = scan_name(s, p, &other);

		if (str_equal(other, name))
			return true;
		p = scan_space(s, scan_skip(s, value));
		p = scan_space(s, p + 1);
	}
	return false;
}

/* A map from its '{'; *out gets the clauses of all its members. */
static const char *map(struct parser *ps, enum place place, const struct filter_step *step,
		       const char *p, struct filter_clause **out)
{
	const char *begin = p;

	p = scan_space(&ps->scan, p + 1);
	if (*p == '}') {
		pattern_fail(ps, begin, step,
			     "the map is empty; leave it out to ask for nothing, or fill it, such "
			     "as %s",
			     example_of(place));
		return NULL;
	}
	*out = NULL;
	for (unsigned count = 1;; count++) {
		struct filter_clause *clauses = NULL, *last;
		struct str name;

		if (count > FILTER_CHILDREN_MAX) {
			pattern_fail(ps, p, step, "a map has at most %d members",
				     FILTER_CHILDREN_MAX);
			return NULL;
		}
		scan_name(&ps->scan, p, &name);
		if (given_twice(p, name, &ps->scan, begin)) {
			pattern_fail(ps, p, step, "'%.*s' is given twice", SHORT(name));
			return NULL;
		}
		p = member(ps, place, step, p, &clauses);
		if (!p)
			return NULL;
		for (last = clauses; last->next;)
			last = last->next;
		last->next = *out;
		*out = clauses;
		p = scan_space(&ps->scan, p);
		if (*p == '}')
			return p + 1;
		p = scan_space(&ps->scan, p + 1);
	}
}

const struct filter_clause *pattern_parse(struct str pattern, struct arena *arena,
					  const char **text, const char **at, struct error *err)
{
	struct parser ps = { .arena = arena, .err = err };
	struct filter_clause *clauses = NULL;
	const char *p, *end, *good = NULL;

	*text = scan_keep(pattern, arena).p;
	p = scan_space(&ps.scan, *text);
	end = scan_skip(&ps.scan, p);
	ps.at = p;
	if (pattern.n > FILTER_PATTERN_MAX)
		error_set(err, ERROR_INVALID, "a pattern has at most 64KiB, not %zu bytes",
			  pattern.n);
	else if (!end || scan_space(&ps.scan, end) != *text + pattern.n) {
		ps.at = end ? scan_space(&ps.scan, end) : ps.scan.fault_at;
		error_set(err, ERROR_INVALID,
			  "not valid JSON: expected %s at byte %zu; a pattern is a map, such as "
			  "%s",
			  end ? "nothing behind the map" : ps.scan.fault, (size_t)(ps.at - *text),
			  PATTERN_EXAMPLE);
	} else if (*p != '{')
		error_set(err, ERROR_INVALID, "expected a map such as %s, not %s", PATTERN_EXAMPLE,
			  pattern_kind(p));
	else
		good = map(&ps, PLACE_RECORD, NULL, p, &clauses);
	*at = ps.at;
	return good ? clauses : NULL;
}
