/* A filter's programs asked of a record: one walk over its bytes each, which looks into what the
 * program asks for, passes over the rest unread, and ends as soon as the answer is known. The
 * record was checked before, so nothing is checked here. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "event/filter_internal.h"
#include "event/fold.h"
#include "event/scan.h"

struct walk {
	uint64_t violated; /* branches that found what has to be absent */
	unsigned lists;    /* that we are in: outside of any, a branch that fails is out for good */
	unsigned open;     /* containers that were left before their end */
	struct str arn;
};

static const char *space(const char *p)
{
	while (UNLIKELY((unsigned char)*p <= ' '))
		p++;
	return p;
}

/* A string from behind its opening quote; the place of the closing one. */
static inline const char *quote(const char *p, bool *escaped)
{
	for (;;) {
#ifdef __SSE2__
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned hits = (unsigned)_mm_movemask_epi8(
			_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
				     _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));

		if (!hits) {
			p += 16;
			continue;
		}
		p += (unsigned)__builtin_ctz(hits);
#else
		while (*p != '"' && *p != '\\')
			p++;
#endif
		if (*p == '"')
			return p;
		*escaped = true;
		p += 2;
	}
}

/* Behind the end of `depth` containers around p, which is at no byte of a string. */
static const char *leave(const char *p, unsigned depth)
{
	bool escaped;

	for (;;) {
#ifdef __SSE2__
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i curly = _mm_or_si128(v, _mm_set1_epi8(0x20)); /* [ and ] are, then, too */
		unsigned hits = (unsigned)_mm_movemask_epi8(
			_mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(curly, _mm_set1_epi8('{')),
						  _mm_cmpeq_epi8(curly, _mm_set1_epi8('}'))),
				     _mm_cmpeq_epi8(v, _mm_set1_epi8('"'))));

		if (!hits) {
			p += 16;
			continue;
		}
		p += (unsigned)__builtin_ctz(hits);
#else
		while (!strchr("{}[]\"", *p))
			p++;
#endif
		if (*p == '"')
			p = quote(p + 1, &escaped);
		else if ((*p | 0x20) == '{')
			depth++;
		else if (--depth == 0)
			return p + 1;
		p++;
	}
}

static const char *skip(const char *p)
{
	bool escaped;

	/* {"S":"…"} and {"N":"…"}, as most values are. */
	if (LIKELY(memcmp(p, "{\"", 2) == 0 && memcmp(p + 3, "\":\"", 3) == 0)) {
		p = quote(p + 6, &escaped) + 1;
		return *p == '}' ? p + 1 : leave(p, 1);
	}
	if (*p == '{' || *p == '[')
		return leave(p + 1, 1);
	if (*p == '"')
		return quote(p + 1, &escaped) + 1;
	while ((unsigned char)*p > ' ' && *p != ',' && *p != '}' && *p != ']')
		p++;
	return p;
}

/* A value that is no container. */
struct value {
	struct str text; /* of a string what it says, else as it stands there */
	bool string;
	bool viewed, numeric;
	struct number number;
};

/* A string that is a number is an N: patterns compare nothing else with numbers. */
static const struct number *number_of(struct value *v)
{
	if (!v->viewed) {
		const char *end = NULL;

		v->numeric =
			number_view(v->text.p, &v->number, &end) && end == v->text.p + v->text.n;
		v->viewed = true;
	}
	return v->numeric ? &v->number : NULL;
}

static bool within(const struct filter_test *t, struct value *v)
{
	const struct number *n = number_of(v);
	int low, high;

	if (!n)
		return false;
	low = t->low.given ? number_compare(n, &t->low.number) : 1;
	high = t->high.given ? number_compare(n, &t->high.number) : -1;
	return (t->low.open ? low > 0 : low >= 0) && (t->high.open ? high < 0 : high <= 0);
}

static bool passes(const struct filter_test *t, struct value *v);

static bool any_passes(const struct filter_test *t, struct value *v)
{
	for (; t; t = t->next)
		if (passes(t, v))
			return true;
	return false;
}

static bool passes(const struct filter_test *t, struct value *v)
{
	struct str a = t->text, b = v->text;

	switch (t->kind) {
	case FILTER_TEXT:
		return v->string && str_equal(a, b);
	case FILTER_PREFIX:
		return v->string && b.n >= a.n && memcmp(a.p, b.p, a.n) == 0;
	case FILTER_SUFFIX:
		return v->string && b.n >= a.n && memcmp(a.p, b.p + b.n - a.n, a.n) == 0;
	case FILTER_TEXT_FOLDED:
		return v->string && fold_equal(a, b);
	case FILTER_PREFIX_FOLDED:
		return v->string && fold_prefix(a, b);
	case FILTER_SUFFIX_FOLDED:
		return v->string && fold_suffix(a, b);
	case FILTER_WORD:
		return !v->string && str_equal(a, b);
	case FILTER_RANGE:
		return within(t, v);
	case FILTER_NOT:
		return !any_passes(t->inner, v);
	}
	return false;
}

/* Which of the wanted branches it satisfies. */
static uint64_t ask(const struct filter_node *n, uint64_t wanted, struct value *v)
{
	uint64_t passed = 0;

	for (const struct filter_use *u = n->uses; u; u = u->next)
		if ((u->branches & wanted) && any_passes(u->leaf->tests, v))
			passed |= u->branches;
	return passed;
}

/* What an escaped text says, on the stack where it fits; *heap is the caller's to free. */
#define TEXT_SHORT 1024
static struct str unescape(struct str text, char small[TEXT_SHORT], char **heap)
{
	char *out = small;
	size_t n;

	if (text.n >= TEXT_SHORT)
		out = *heap = memory_new(text.n + 1);
	n = scan_unescape(text, out);
	out[n] = '\0';
	return (struct str){ out, n };
}

static const char *scalar(const struct filter_node *n, const char *p, uint64_t wanted,
			  uint64_t *passed)
{
	struct value v = { .string = *p == '"' };
	char small[TEXT_SHORT], *heap = NULL;
	bool escaped = false;
	const char *end;

	if (!v.string) {
		end = skip(p);
		v.text = (struct str){ p, (size_t)(end - p) };
		*passed |= ask(n, wanted, &v);
		return end;
	}
	end = quote(p + 1, &escaped);
	v.text = (struct str){ p + 1, (size_t)(end - p - 1) };
	if (UNLIKELY(escaped))
		v.text = unescape(v.text, small, &heap);
	*passed |= ask(n, wanted, &v);
	free(heap);
	return end + 1;
}

static const struct filter_node *child(const struct filter_node *n, struct str name, bool escaped)
{
	char small[TEXT_SHORT], *heap = NULL;
	const struct filter_node *c;

	if (UNLIKELY(escaped))
		name = unescape(name, small, &heap);
	for (c = n->first; c; c = c->next)
		if (str_equal(c->name, name) || (c->alias.n && str_equal(c->alias, name)))
			break;
	free(heap);
	return c;
}

/* Which branches a value satisfies by itself, and by what is inside of it. */
struct found {
	uint64_t here, below;
};

static const char *object(struct walk *w, const struct filter_node *n, const char *p,
			  uint64_t alive, uint64_t *passed);

static const char *collect(struct walk *w, const struct filter_node *n, const char *p,
			   uint64_t wanted, struct found *f)
{
	uint64_t inside;

	if (*p == '{') {
		if (w->lists > 0)
			wanted &= n->below & ~f->below;
		if (!n->first || (!wanted && !n->absent_below))
			return leave(p + 1, 1);
		p = object(w, n, p, wanted, &inside);
		f->below |= inside;
		return p;
	}
	if (*p != '[')
		return scalar(n, p, wanted & n->here & ~f->here, &f->here);
	w->lists++;
	p = space(p + 1);
	while (*p != ']') {
		p = collect(w, n, p, wanted, f);
		if (w->open > 0)
			p = leave(p, w->open);
		w->open = 0;
		p = space(p);
		if (*p == ',')
			p = space(p + 1);
	}
	w->lists--;
	return p + 1;
}

/* The value of a member that the program asks for. NULL: no branch is left. */
static const char *member(struct walk *w, const struct filter_node *c, const char *p,
			  uint64_t *alive)
{
	struct found f = { .here = c->exists };

	w->violated |= c->absent;
	if (w->lists == 0)
		*alive &= ~w->violated;
	p = collect(w, c, p, *alive, &f);
	if (w->lists == 0)
		*alive &= ~w->violated;
	*alive &= (~c->here | f.here) & (~c->below | f.below);
	return p;
}

/* What the record would say if it were Lambda's. */
static uint64_t ask_source_arn(struct walk *w, const struct filter_node *c, uint64_t alive)
{
	struct value v = { .text = w->arn, .string = true };

	w->violated |= c->absent;
	return alive & (~c->here | c->exists | ask(c, alive, &v)) & ~c->absent;
}

static uint64_t ask_missing(struct walk *w, const struct filter_node *n, const uint64_t *seen,
			    uint64_t alive)
{
	for (const struct filter_node *c = n->first; c; c = c->next)
		if (!(seen[c->index / 64] >> c->index % 64 & 1))
			alive = c->source_arn && w->arn.p ? ask_source_arn(w, c, alive)
							  : alive & ~(c->here | c->below);
	return alive;
}

/* An object from its '{': *passed are those of `alive` that it satisfies. It is left at once where
 * nothing is to be learned from what follows. */
static const char *object(struct walk *w, const struct filter_node *n, const char *p,
			  uint64_t alive, uint64_t *passed)
{
	uint64_t seen[FILTER_CHILDREN_MAX / 64];
	unsigned left = n->count;

	memset(seen, 0, (n->count + 63) / 64 * sizeof(seen[0]));
	p = space(p + 1);
	while (*p != '}') {
		const char *name = p + 1;
		const struct filter_node *c;
		bool escaped = false;

		p = quote(name, &escaped);
		c = child(n, (struct str){ name, (size_t)(p - name) }, escaped);
		p = space(space(p + 1) + 1); /* the colon between */
		if (!c) {
			p = skip(p);
		} else {
			p = member(w, c, p, &alive);
			left -= !(seen[c->index / 64] >> c->index % 64 & 1);
			seen[c->index / 64] |= (uint64_t)1 << c->index % 64;
			if (left == 0 || (alive == 0 && !(w->lists && n->absent_below))) {
				w->open++;
				*passed = alive;
				return p;
			}
			if (w->open > 0)
				p = leave(p, w->open);
			w->open = 0;
		}
		p = space(p);
		if (*p == ',')
			p = space(p + 1);
	}
	*passed = left > 0 ? ask_missing(w, n, seen, alive) : alive;
	return p + 1;
}

bool filter_match(const struct filter *f, const char *record, struct str arn)
{
	for (const struct filter_program *program = f->programs; program; program = program->next) {
		struct walk w = { .arn = arn };
		uint64_t passed;

		object(&w, &program->root, record, program->branches, &passed);
		if (passed & ~w.violated)
			return true;
	}
	return false;
}
