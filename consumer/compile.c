#include "consumer/compile.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

struct filter *compile_filter(const struct option_list *patterns)
{
	struct error err = { 0 };
	struct filter *f;
	struct str *texts;

	if (patterns->count == 0)
		return NULL;
	texts = memory_array(patterns->count, sizeof(*texts));
	for (size_t i = 0; i < patterns->count; i++)
		texts[i] = str_of(patterns->texts[i]);
	f = filter_new(texts, patterns->count, &err);
	assert(f);
	free(texts);
	return f;
}

struct schemas *compile_schemas(const struct option_list *schemas)
{
	struct error err = { 0 };
	struct schemas *s;
	struct str *texts;

	if (schemas->count == 0)
		return NULL;
	texts = memory_array(schemas->count, sizeof(*texts));
	for (size_t i = 0; i < schemas->count; i++)
		texts[i] = str_of(schemas->texts[i]);
	s = schemas_new(texts, schemas->count, &err);
	assert(s);
	free(texts);
	return s;
}

struct transform *compile_transform(const struct option_list *first, const struct option_list *own)
{
	size_t before = first ? first->count : 0;
	struct error err = { 0 };
	struct transform *t;
	struct str *texts;

	if (before + own->count == 0)
		return NULL;
	texts = memory_array(before + own->count, sizeof(*texts));
	for (size_t i = 0; i < before; i++)
		texts[i] = str_of(first->texts[i]);
	for (size_t i = 0; i < own->count; i++)
		texts[before + i] = str_of(own->texts[i]);
	t = transform_new(texts, before + own->count, &err);
	assert(t);
	free(texts);
	return t;
}
