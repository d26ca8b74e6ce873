/* Lua's patterns (manual, 6.4.1), as its own library matches them, but each step of the work is
 * counted: some patterns take for ever with some texts, and the library's loops cannot be stopped
 * from outside. */
#include <ctype.h>
#include <string.h>

#include "event/script_internal.h"

#define DEPTH_MAX 200
#define ESCAPE    '%'

void script_match_init(struct script_match *m, lua_State *L, struct str text, struct str pattern)
{
	m->L = L;
	m->text = text.p;
	m->text_end = text.p + text.n;
	m->pattern_end = pattern.p + pattern.n;
	m->depth = DEPTH_MAX;
	m->level = 0;
}

/* The place behind one item of the pattern: a character, %x or [set]. */
static const char *item_end(struct script_match *m, const char *p)
{
	if (*p == ESCAPE) {
		if (p + 1 == m->pattern_end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		return p + 2;
	}
	if (*p++ != '[')
		return p;
	if (p < m->pattern_end && *p == '^')
		p++;
	do { /* a ']' that comes first is one of the set */
		if (p == m->pattern_end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		if (*p++ == ESCAPE && p < m->pattern_end)
			p++;
	} while (p == m->pattern_end || *p != ']');
	return p + 1;
}

static bool in_class(int c, int class)
{
	bool in;

	switch (tolower(class)) {
	case 'a':
		in = isalpha(c);
		break;
	case 'c':
		in = iscntrl(c);
		break;
	case 'd':
		in = isdigit(c);
		break;
	case 'g':
		in = isgraph(c);
		break;
	case 'l':
		in = islower(c);
		break;
	case 'p':
		in = ispunct(c);
		break;
	case 's':
		in = isspace(c);
		break;
	case 'u':
		in = isupper(c);
		break;
	case 'w':
		in = isalnum(c);
		break;
	case 'x':
		in = isxdigit(c);
		break;
	default:
		return class == c;
	}
	return isupper(class) ? !in : in;
}

/* p at the '[', end at its ']'. */
static bool in_set(int c, const char *p, const char *end)
{
	bool yes = true;

	if (p[1] == '^') {
		yes = false;
		p++;
	}
	while (++p < end) {
		if (*p == ESCAPE) {
			p++;
			if (in_class(c, (unsigned char)*p))
				return yes;
		} else if (p[1] == '-' && p + 2 < end) {
			p += 2;
			if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
				return yes;
		} else if ((unsigned char)*p == c) {
			return yes;
		}
	}
	return !yes;
}

/* Whether the character at s is one of the item from p to end. */
static bool one(struct script_match *m, const char *s, const char *p, const char *end)
{
	int c;

	if (s >= m->text_end)
		return false;
	c = (unsigned char)*s;
	switch (*p) {
	case '.':
		return true;
	case ESCAPE:
		return in_class(c, (unsigned char)p[1]);
	case '[':
		script_charge(m->L, (size_t)(end - p) / 8);
		return in_set(c, p, end - 1);
	default:
		return (unsigned char)*p == c;
	}
}

static const char *match(struct script_match *m, const char *s, const char *p);

/* %bxy */
static const char *balanced(struct script_match *m, const char *s, const char *p)
{
	size_t open = 1;

	if (p + 1 >= m->pattern_end)
		luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
	if (s >= m->text_end || *s != *p)
		return NULL;
	for (const char *at = s + 1; at < m->text_end; at++) {
		script_charge(m->L, 1);
		if (*at == p[1]) {
			if (--open == 0)
				return at + 1;
		} else if (*at == *p) {
			open++;
		}
	}
	return NULL;
}

/* x* and x+ */
static const char *most(struct script_match *m, const char *s, const char *p, const char *end)
{
	ptrdiff_t n = 0;

	while (one(m, s + n, p, end)) {
		script_charge(m->L, 1);
		n++;
	}
	for (; n >= 0; n--) {
		const char *found = match(m, s + n, end + 1);

		if (found)
			return found;
	}
	return NULL;
}

/* x- */
static const char *least(struct script_match *m, const char *s, const char *p, const char *end)
{
	for (;;) {
		const char *found = match(m, s, end + 1);

		if (found)
			return found;
		if (!one(m, s, p, end))
			return NULL;
		s++;
	}
}

static const char *capture_begin(struct script_match *m, const char *s, const char *p, ptrdiff_t n)
{
	const char *found;

	if (m->level >= SCRIPT_CAPTURES_MAX)
		luaL_error(m->L, "too many captures");
	m->captures[m->level].p = s;
	m->captures[m->level].n = n;
	m->level++;
	found = match(m, s, p);
	if (!found)
		m->level--;
	return found;
}

static const char *capture_end(struct script_match *m, const char *s, const char *p)
{
	const char *found;
	int i = m->level - 1;

	while (i >= 0 && m->captures[i].n != SCRIPT_CAPTURE_OPEN)
		i--;
	if (i < 0)
		luaL_error(m->L, "invalid pattern capture");
	m->captures[i].n = s - m->captures[i].p;
	found = match(m, s, p);
	if (!found)
		m->captures[i].n = SCRIPT_CAPTURE_OPEN;
	return found;
}

/* %1: the same text again. */
static const char *captured(struct script_match *m, const char *s, int digit)
{
	int i = digit - '1';
	size_t n;

	if (i < 0 || i >= m->level || m->captures[i].n == SCRIPT_CAPTURE_OPEN)
		luaL_error(m->L, "invalid capture index %%%d", i + 1);
	if (m->captures[i].n == SCRIPT_CAPTURE_PLACE)
		return NULL;
	n = (size_t)m->captures[i].n;
	script_charge(m->L, n / 16);
	if ((size_t)(m->text_end - s) < n || memcmp(m->captures[i].p, s, n) != 0)
		return NULL;
	return s + n;
}

/* %f[set], p at the set. */
static bool frontier(struct script_match *m, const char *s, const char *p, const char *end)
{
	int before = s == m->text ? 0 : (unsigned char)s[-1];
	int after = s == m->text_end ? 0 : (unsigned char)*s;

	return !in_set(before, p, end - 1) && in_set(after, p, end - 1);
}

/* An item and what says how often. *s, *p: to go on there; false: *s is the answer. */
static bool repeated(struct script_match *m, const char **s, const char **p)
{
	const char *end = item_end(m, *p);
	char how = end < m->pattern_end ? *end : '\0';

	if (how == '?') {
		if (one(m, *s, *p, end)) {
			const char *found = match(m, *s + 1, end + 1);

			if (found) {
				*s = found;
				return false;
			}
		}
		*p = end + 1;
		return true;
	}
	if (how == '*') {
		*s = most(m, *s, *p, end);
		return false;
	}
	if (how == '+') {
		*s = one(m, *s, *p, end) ? most(m, *s + 1, *p, end) : NULL;
		return false;
	}
	if (how == '-') {
		*s = least(m, *s, *p, end);
		return false;
	}
	if (!one(m, *s, *p, end)) {
		*s = NULL;
		return false;
	}
	++*s;
	*p = end;
	return true;
}

/* What % announces beside classes. *done: there is nothing behind it to go on with. */
static bool special(struct script_match *m, const char **s, const char **p)
{
	const char *end;
	char what = *p + 1 < m->pattern_end ? (*p)[1] : '\0';

	if (what == 'b') {
		*s = balanced(m, *s, *p + 2);
		*p += 4;
		return true;
	}
	if (what == 'f') {
		*p += 2;
		if (*p == m->pattern_end || **p != '[')
			luaL_error(m->L, "missing '[' after '%%f' in pattern");
		end = item_end(m, *p);
		if (!frontier(m, *s, *p, end))
			*s = NULL;
		*p = end;
		return true;
	}
	if (what >= '0' && what <= '9') {
		*s = captured(m, *s, what);
		*p += 2;
		return true;
	}
	return false;
}

static const char *match_here(struct script_match *m, const char *s, const char *p)
{
	while (s && p < m->pattern_end) {
		script_charge(m->L, 2);
		if (*p == '(') {
			if (p + 1 < m->pattern_end && p[1] == ')')
				return capture_begin(m, s, p + 2, SCRIPT_CAPTURE_PLACE);
			return capture_begin(m, s, p + 1, SCRIPT_CAPTURE_OPEN);
		}
		if (*p == ')')
			return capture_end(m, s, p + 1);
		if (*p == '$' && p + 1 == m->pattern_end)
			return s == m->text_end ? s : NULL;
		if (*p == ESCAPE && special(m, &s, &p))
			continue;
		if (!repeated(m, &s, &p))
			return s;
	}
	return s;
}

static const char *match(struct script_match *m, const char *s, const char *p)
{
	const char *found;

	if (m->depth-- == 0)
		luaL_error(m->L, "pattern too complex");
	found = match_here(m, s, p);
	m->depth++;
	return found;
}

const char *script_match_at(struct script_match *m, const char *p, const char *pattern)
{
	m->level = 0;
	m->depth = DEPTH_MAX;
	return match(m, p, pattern);
}
