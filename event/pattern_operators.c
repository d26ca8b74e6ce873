/* What a list's entry means: plain values and operators. */
#include <stdarg.h>
#include <stdio.h>

#include "event/fold.h"
#include "event/pattern_internal.h"

bool pattern_fail(struct parser *ps, const char *p, const struct filter_step *step, const char *fmt,
		  ...)
{
	char what[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	ps->at = p;
	return error_set(ps->err, ERROR_INVALID, "%.160s%s%s",
			 step ? pattern_path(step, ps->arena) : "", step ? ": " : "", what);
}

const char *pattern_kind(const char *p)
{
	switch (*p) {
	case '{':
		return "a map";
	case '[':
		return "a list";
	case '"':
		return "a text";
	case 't':
	case 'f':
		return "true or false";
	case 'n':
		return "null";
	default:
		return "a number";
	}
}

const char *pattern_expected(enum place place)
{
	switch (place) {
	case PLACE_NAME:
		return "\"INSERT\", \"MODIFY\" or \"REMOVE\"";
	case PLACE_NUMBER:
		return "a number, or {\"numeric\": [\">=\", 5]}";
	case PLACE_N:
		return "a number such as 5, {\"numeric\": [\">=\", 5]} or a text";
	case PLACE_BOOL:
		return "true, false or {\"exists\": false}";
	case PLACE_TRUE:
		return "true or {\"exists\": false}";
	case PLACE_INSIDE:
		return "{\"exists\": true}, {\"exists\": false}, or a map that asks for what is "
		       "inside";
	default:
		return "a text in quotes such as \"paid\", or {\"prefix\": \"pa\"}";
	}
}

static bool takes_text(enum place place)
{
	return place == PLACE_TEXT || place == PLACE_NAME || place == PLACE_N;
}

static bool takes_number(enum place place)
{
	return place == PLACE_NUMBER || place == PLACE_N;
}

/* --- values --- */

const char *pattern_text(struct parser *ps, const char *p, struct str *out)
{
	const char *end = scan_string(&ps->scan, p + 1);
	char *text = arena_alloc(ps->arena, (size_t)(end - p));

	*out = (struct str){ text,
			     scan_unescape((struct str){ p + 1, (size_t)(end - p - 1) }, text) };
	return end + 1;
}

static const char *word_read(const char *p, struct str *out)
{
	*out = (struct str){ p, *p == 'f' ? 5 : 4 };
	return p + out->n;
}

static struct filter_test *test_new(struct parser *ps, enum filter_test_kind kind)
{
	struct filter_test *t = arena_alloc(ps->arena, sizeof(*t));

	*t = (struct filter_test){ .kind = kind };
	return t;
}

static struct str folded(struct parser *ps, struct str text)
{
	char *out = arena_alloc(ps->arena, text.n * FOLD_GROWTH + 1);

	return (struct str){ out, fold_text(text, out) };
}

static const char *number_read(struct parser *ps, const struct spot *s, const char *p,
			       struct filter_bound *out)
{
	const char *end = NULL;

	if (!number_view(p, &out->number, &end)) {
		pattern_fail(ps, p, s->step, "expected a number such as 5, not %s",
			     pattern_kind(p));
		return NULL;
	}
	if (!number_fits(&out->number)) {
		pattern_fail(ps, p, s->step,
			     "a number has at most 38 digits and lies between 1E-130 and "
			     "9.9E+125, such as 129.90");
		return NULL;
	}
	out->given = true;
	return end;
}

const char *pattern_plain(struct parser *ps, const struct spot *s, const char *p,
			  struct filter_test **out)
{
	const char *begin = p;
	struct filter_test *t;
	bool fits;

	if (*p == '"') {
		*out = t = test_new(ps, FILTER_TEXT);
		fits = takes_text(s->place);
		p = fits ? pattern_text(ps, p, &t->text) : p;
		if (fits && s->place == PLACE_NAME && !str_equal(t->text, STR("INSERT")) &&
		    !str_equal(t->text, STR("MODIFY")) && !str_equal(t->text, STR("REMOVE"))) {
			pattern_fail(ps, begin, s->step, "expected %s, not \"%.*s\"",
				     pattern_expected(s->place), SHORT(t->text));
			return NULL;
		}
	} else if (*p == 't' || *p == 'f' || *p == 'n') {
		*out = t = test_new(ps, FILTER_WORD);
		fits = *p == 'n' ? s->place == PLACE_TEXT || s->place == PLACE_NUMBER
				 : s->place == PLACE_BOOL || (s->place == PLACE_TRUE && *p == 't');
		p = fits ? word_read(p, &t->text) : p;
	} else {
		*out = t = test_new(ps, FILTER_RANGE);
		fits = takes_number(s->place);
		if (fits) {
			p = number_read(ps, s, p, &t->low);
			t->high = t->low;
		}
	}
	if (fits)
		return p;
	pattern_fail(ps, p, s->step, "expected %s, not %s", pattern_expected(s->place),
		     pattern_kind(p));
	return NULL;
}

/* --- operators: each gets the place of its value --- */

typedef const char *operator_read(struct parser *ps, const struct spot *s, const char *p,
				  struct filter_test **out);

/* The one member of a map, from its '{'; the place of its value. *at: where its name is. */
static const char *only_member(struct parser *ps, const struct spot *s, const char *p,
			       struct str *name, const char **at)
{
	const char *begin = p, *value, *end;

	p = scan_space(&ps->scan, p + 1);
	if (*p == '}') {
		pattern_fail(ps, begin, s->step,
			     "a map in a list names one operator, such as {\"prefix\": \"pa\"}; "
			     "this one is empty");
		return NULL;
	}
	*at = p;
	p = scan_space(&ps->scan, pattern_text(ps, p, name));
	value = scan_space(&ps->scan, p + 1);
	end = scan_space(&ps->scan, scan_skip(&ps->scan, value));
	if (*end == '}')
		return value;
	pattern_fail(ps, end, s->step,
		     "a map in a list names one operator; write two maps for either of two, such "
		     "as {\"prefix\": \"pa\"}, {\"suffix\": \"id\"}");
	return NULL;
}

/* Behind the value that ends at p, and the '}' around it. */
static const char *closed(struct parser *ps, const char *p)
{
	return scan_space(&ps->scan, p) + 1;
}

static const char *one_text(struct parser *ps, const struct spot *s, const char *p,
			    const char *operator, struct str * out)
{
	if (*p == '"' && takes_text(s->place))
		return pattern_text(ps, p, out);
	if (!takes_text(s->place))
		pattern_fail(ps, p, s->step, "%s compares texts; expected %s", operator,
			     pattern_expected(s->place));
	else
		pattern_fail(
			ps, p, s->step,
			"%s: expected a text, such as {\"%s\": \"pa\"}, not %s", operator, operator,
			pattern_kind(p));
	return NULL;
}

static const char *folded_test(struct parser *ps, const struct spot *s, const char *p,
			       enum filter_test_kind kind, struct filter_test **out)
{
	struct str text;

	p = one_text(ps, s, p, "equals-ignore-case", &text);
	if (!p)
		return NULL;
	*out = test_new(ps, kind);
	(*out)->text = folded(ps, text);
	return p;
}

static const char *ignore_case(struct parser *ps, const struct spot *s, const char *p,
			       struct filter_test **out)
{
	return folded_test(ps, s, p, FILTER_TEXT_FOLDED, out);
}

/* prefix and suffix; their value may be {"equals-ignore-case": TEXT}. */
static const char *affix(struct parser *ps, const struct spot *s, const char *p,
			 const char *operator, enum filter_test_kind kind,
			 enum filter_test_kind kind_folded, struct filter_test **out)
{
	struct str name, text;
	const char *at;

	if (*p == '{') {
		p = only_member(ps, s, p, &name, &at);
		if (p && !str_equal(name, STR("equals-ignore-case"))) {
			pattern_fail(ps, at, s->step,
				     "%s: expected a text, such as \"pa\" or "
				     "{\"equals-ignore-case\": \"pa\"}",
				     operator);
			return NULL;
		}
		p = p ? folded_test(ps, s, p, kind_folded, out) : NULL;
		return p ? closed(ps, p) : NULL;
	}
	p = one_text(ps, s, p, operator, & text);
	if (!p)
		return NULL;
	*out = test_new(ps, kind);
	(*out)->text = text;
	return p;
}

static const char *prefix(struct parser *ps, const struct spot *s, const char *p,
			  struct filter_test **out)
{
	return affix(ps, s, p, "prefix", FILTER_PREFIX, FILTER_PREFIX_FOLDED, out);
}

static const char *suffix(struct parser *ps, const struct spot *s, const char *p,
			  struct filter_test **out)
{
	return affix(ps, s, p, "suffix", FILTER_SUFFIX, FILTER_SUFFIX_FOLDED, out);
}

/* A list of what `read` takes, or one of it. */
static const char *some(struct parser *ps, const struct spot *s, const char *p, operator_read *read,
			const struct filter_test **out)
{
	struct filter_test *t = NULL;

	if (*p != '[') {
		p = read(ps, s, p, &t);
		*out = t;
		return p;
	}
	p = scan_space(&ps->scan, p + 1);
	if (*p == ']') {
		pattern_fail(ps, p, s->step,
			     "anything-but: the list is empty; expected values, such as "
			     "{\"anything-but\": [\"draft\", \"test\"]}");
		return NULL;
	}
	for (;;) {
		p = read(ps, s, p, &t);
		if (!p)
			return NULL;
		t->next = *out;
		*out = t;
		p = scan_space(&ps->scan, p);
		if (*p == ']')
			return p + 1;
		p = scan_space(&ps->scan, p + 1);
	}
}

/* What anything-but takes by itself. */
static const char *text_or_number(struct parser *ps, const struct spot *s, const char *p,
				  struct filter_test **out)
{
	if (*p == '"' || *p == '-' || (*p >= '0' && *p <= '9'))
		return pattern_plain(ps, s, p, out);
	pattern_fail(ps, p, s->step,
		     "anything-but: expected a text, a number, a list of these such as "
		     "[\"draft\", \"test\"], or {\"prefix\": \"pa\"}; not %s",
		     pattern_kind(p));
	return NULL;
}

static const struct {
	struct str name;
	operator_read *read;
} inverted[] = {
	{ { "prefix", 6 }, prefix },
	{ { "suffix", 6 }, suffix },
	{ { "equals-ignore-case", 18 }, ignore_case },
};

static const char *inverted_operator(struct parser *ps, const struct spot *s, const char *p,
				     const struct filter_test **out)
{
	const char *at;
	struct str name;

	p = only_member(ps, s, p, &name, &at);
	for (size_t i = 0; p && i < sizeof(inverted) / sizeof(inverted[0]); i++) {
		if (!str_equal(name, inverted[i].name))
			continue;
		p = some(ps, s, p, inverted[i].read, out);
		return p ? closed(ps, p) : NULL;
	}
	if (p)
		pattern_fail(ps, at, s->step,
			     "anything-but: expected prefix, suffix or equals-ignore-case, such as "
			     "{\"prefix\": \"pa\"}, not '%.*s'",
			     SHORT(name));
	return NULL;
}

static const char *anything_but(struct parser *ps, const struct spot *s, const char *p,
				struct filter_test **out)
{
	const char *begin = p;
	bool texts = false, numbers = false, nothing = false;

	*out = test_new(ps, FILTER_NOT);
	p = *p == '{' ? inverted_operator(ps, s, p, &(*out)->inner)
		      : some(ps, s, p, text_or_number, &(*out)->inner);
	if (!p)
		return NULL;
	for (const struct filter_test *t = (*out)->inner; t; t = t->next) {
		*(t->kind == FILTER_RANGE ? &numbers : &texts) = true;
		nothing |= t->text.n == 0 &&
			   (t->kind == FILTER_PREFIX || t->kind == FILTER_SUFFIX ||
			    t->kind == FILTER_PREFIX_FOLDED || t->kind == FILTER_SUFFIX_FOLDED);
	}
	if (texts && numbers)
		pattern_fail(
			ps, begin, s->step,
			"anything-but: expected only texts or only numbers, such as [\"draft\", "
			"\"test\"] or [1, 2]");
	else if (nothing)
		pattern_fail(ps, begin, s->step,
			     "anything-but: every text begins and ends with \"\"; expected one "
			     "such as \"pa\"");
	else
		return p;
	return NULL;
}

/* One half of `numeric`: an operator and its number. */
static const char *comparison(struct parser *ps, const struct spot *s, const char *p,
			      struct str *operator, struct filter_bound * bound)
{
	if (*p != '"') {
		pattern_fail(ps, p, s->step,
			     "numeric: expected one of = < <= > >= in quotes, such as [\">=\", 5], "
			     "not %s",
			     pattern_kind(p));
		return NULL;
	}
	p = scan_space(&ps->scan, pattern_text(ps, p, operator));
	if (*p == ']') {
		pattern_fail(ps, p, s->step,
			     "numeric: a number is missing behind \"%.*s\"; expected one such as "
			     "[\">=\", 5]",
			     SHORT(*operator));
		return NULL;
	}
	p = number_read(ps, s, scan_space(&ps->scan, p + 1), bound);
	return p ? scan_space(&ps->scan, p) : NULL;
}

/* "<" and the like into its bound; false: it is none. */
static bool bound_set(struct filter_test *t, struct str operator, struct filter_bound bound)
{
	bool low = str_equal(operator, STR(">")) || str_equal(operator, STR(">="));
	bool high = str_equal(operator, STR("<")) || str_equal(operator, STR("<="));
	struct filter_bound *b = low ? &t->low : &t->high;

	if (str_equal(operator, STR("="))) {
		if (t->low.given || t->high.given)
			return false;
		t->low = t->high = bound;
		return true;
	}
	if ((!low && !high) || b->given)
		return false;
	*b = bound;
	b->open = operator.n == 1;
	return true;
}

/* Whether there is a number in it at all. */
static bool range_is_empty(const struct filter_test *t)
{
	int c = t->low.given && t->high.given ? number_compare(&t->low.number, &t->high.number)
					      : -1;

	return c > 0 || (c == 0 && (t->low.open || t->high.open));
}

static const char *numeric(struct parser *ps, const struct spot *s, const char *p,
			   struct filter_test **out)
{
	const char *begin = p;
	struct filter_bound bound = { 0 };
	struct str operator;

	if (!takes_number(s->place)) {
		pattern_fail(ps, p, s->step,
			     "numeric compares numbers (N, NS, SizeBytes, "
			     "ApproximateCreationDateTime); expected %s",
			     pattern_expected(s->place));
		return NULL;
	}
	*out = test_new(ps, FILTER_RANGE);
	p = *p == '[' ? scan_space(&ps->scan, p + 1) : NULL;
	if (!p || *p == ']') {
		pattern_fail(ps, begin, s->step,
			     "numeric: expected a list such as [\">\", 0, \"<=\", 5]");
		return NULL;
	}
	for (;;) {
		p = comparison(ps, s, p, &operator, & bound);
		if (!p)
			return NULL;
		if (!bound_set(*out, operator, bound)) {
			pattern_fail(
				ps, begin, s->step,
				"numeric: expected one comparison, or a lower and an upper one, "
				"such as [\">\", 0, \"<=\", 5]");
			return NULL;
		}
		bound = (struct filter_bound){ 0 };
		if (*p == ']')
			break;
		p = scan_space(&ps->scan, p + 1);
	}
	if (range_is_empty(*out)) {
		pattern_fail(ps, begin, s->step,
			     "numeric: no number is in this range; expected one such as [\">\", 0, "
			     "\"<=\", 5]");
		return NULL;
	}
	return p + 1;
}

static const struct {
	struct str name;
	operator_read *read;
} operators[] = {
	{ { "prefix", 6 }, prefix },
	{ { "suffix", 6 }, suffix },
	{ { "anything-but", 12 }, anything_but },
	{ { "numeric", 7 }, numeric },
	{ { "equals-ignore-case", 18 }, ignore_case },
};
#define OPERATORS (sizeof(operators) / sizeof(operators[0]))

const char *pattern_operator(struct parser *ps, const struct spot *s, const char *p,
			     struct filter_test **out, char *exists)
{
	const char *at;
	struct str name;

	p = only_member(ps, s, p, &name, &at);
	if (!p)
		return NULL;
	if (str_equal(name, STR("exists"))) {
		if (*p != 't' && *p != 'f') {
			pattern_fail(ps, p, s->step,
				     "exists: expected true or false, such as {\"exists\": false}, "
				     "not %s",
				     pattern_kind(p));
			return NULL;
		}
		*exists = *p;
		return closed(ps, word_read(p, &name));
	}
	for (size_t i = 0; i < OPERATORS; i++) {
		if (!str_equal(name, operators[i].name))
			continue;
		if (!takes_text(s->place) && !takes_number(s->place)) {
			pattern_fail(ps, at, s->step, "%.*s does not go with this; expected %s",
				     SHORT(name), pattern_expected(s->place));
			return NULL;
		}
		p = operators[i].read(ps, s, p, out);
		return p ? closed(ps, p) : NULL;
	}
	pattern_fail(ps, at, s->step,
		     "there is no operator '%.*s'; expected prefix, suffix, anything-but, numeric, "
		     "exists or equals-ignore-case, such as {\"prefix\": \"pa\"}",
		     SHORT(name));
	return NULL;
}
