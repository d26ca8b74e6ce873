#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A subcommand's flags and words. A flag is "--name VALUE", "--name=VALUE" or a bare "--name"; a
 * short one is a single letter. */
struct flag {
	const char *name;  /* NULL ends the table */
	char letter;       /* 0: none */
	const char *value; /* what --help calls its value; NULL: it has none */
	const char *help;
	bool required;
};

#define ARGUMENTS_FLAGS_MAX 16
#define ARGUMENTS_WORDS_MAX 16
struct arguments {
	const struct flag *flags;
	const char *values[ARGUMENTS_FLAGS_MAX]; /* by flag; "" for a bare one; NULL: not given */
	const char *words[ARGUMENTS_WORDS_MAX];
	size_t word_count;
	bool help;
};

/* INVALID: an unknown flag (with the nearest name), a missing value, a required flag left out. */
bool arguments_parse(struct arguments *a, const struct flag *flags, int argc, char **argv,
		     struct error *err) MUST_CHECK;
/* NULL where it was not given. */
const char *arguments_get(const struct arguments *a, const char *flag);
/* "2s", "500ms", … */
bool arguments_duration(const char *text, long *ms, struct error *err) MUST_CHECK;
