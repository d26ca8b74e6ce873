#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A slice of somebody else's bytes: no ownership, no terminating zero. */
struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *text)
{
	return (struct str){ text, strlen(text) };
}
static inline bool str_equal(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
