#include "ops/arguments.h"

#include <assert.h>
#include <string.h>

#include "config/option.h"

static const struct flag *find(const struct flag *flags, const char *name, size_t length)
{
	for (const struct flag *f = flags; f && f->name; f++) {
		if (strlen(f->name) == length && strncmp(f->name, name, length) == 0)
			return f;
		if (length == 1 && f->letter == *name)
			return f;
	}
	return NULL;
}

static bool required_given(const struct arguments *a, struct error *err)
{
	for (const struct flag *f = a->flags; f && f->name; f++)
		if (f->required && !a->values[f - a->flags])
			return f->letter ? error_set(err, ERROR_INVALID, "-%c %s is missing",
						     f->letter, f->value)
					 : error_set(err, ERROR_INVALID, "--%s %s is missing",
						     f->name, f->value);
	return true;
}

/* One flag at argv[*i]; moves *i over its value. */
static bool take_flag(struct arguments *a, int argc, char **argv, int *i, struct error *err)
{
	const char *text = argv[*i], *name = text + (text[1] == '-' ? 2 : 1);
	const char *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct flag *f = find(a->flags, name, length);
	const char **value;

	if (!f)
		return error_set(err, ERROR_INVALID, "no such option: %s", text);
	value = &a->values[f - a->flags];
	if (*value)
		return error_set(err, ERROR_INVALID, "%s is given twice", text);
	if (!f->value) {
		*value = "";
		return !equals || error_set(err, ERROR_INVALID, "--%s takes no value", f->name);
	}
	if (equals)
		*value = equals + 1;
	else if (++*i < argc)
		*value = argv[*i];
	else
		return error_set(err, ERROR_INVALID, "%s needs a value: %s", text, f->value);
	return true;
}

bool arguments_parse(struct arguments *a, const struct flag *flags, int argc, char **argv,
		     struct error *err)
{
	*a = (struct arguments){ .flags = flags };
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			a->help = true;
			return true;
		}
		if (argv[i][0] == '-' && argv[i][1]) {
			if (!take_flag(a, argc, argv, &i, err))
				return false;
		} else if (a->word_count < ARGUMENTS_WORDS_MAX) {
			a->words[a->word_count++] = argv[i];
		} else {
			return error_set(err, ERROR_INVALID, "too many words: %s", argv[i]);
		}
	}
	return required_given(a, err);
}

const char *arguments_get(const struct arguments *a, const char *flag)
{
	const struct flag *f = find(a->flags, flag, strlen(flag));

	assert(f);
	return a->values[f - a->flags];
}

bool arguments_duration(const char *text, long *ms, struct error *err)
{
	static const struct option row = {
		.name = "duration", .type = OPTION_MS, .min = 1, .max = 24L * 60 * 60 * 1000
	};

	return option_set(&row, ms, text, err);
}
