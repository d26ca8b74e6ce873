#pragma once
#include "tests/unit/event/transforming.h"

#include "event/schema.h"

/* Schemas from a JSON list. NULL, with err, where one is refused. */
static inline struct schemas *schemas_try(const char *list, struct error *err)
{
	json_t *json = json_loads(list, 0, NULL), *one;
	struct str definitions[SCHEMAS_MAX];
	struct schemas *s;
	size_t i;

	if (!json)
		fail_msg("not JSON: %s", list);
	json_array_foreach(json, i, one)
	{
		char *text = json_dumps(one, JSON_COMPACT);

		definitions[i] = str_of(text);
	}
	s = schemas_new(definitions, json_array_size(json), err);
	for (i = 0; i < json_array_size(json); i++)
		free((char *)(uintptr_t)definitions[i].p);
	json_decref(json);
	return s;
}

/* A page of one record, sorted by them. */
static inline struct batch *schemas_page(const struct schemas *s, bool unfit, const char *name,
					 const char *new_image, const char *old_image,
					 struct encoding encoding)
{
	const struct decode_options o = { .encodings = &encoding,
					  .encoding_count = 1,
					  .schemas = s,
					  .unfit = unfit,
					  .now_ms = 1763700009876 };
	struct error err = { 0 };
	struct batch *b;
	struct buf page;

	buf_init(&page, 0);
	transforming_page(&page, name, "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1\"}}", new_image,
			  old_image);
	b = decoding_batch(buf_str(&page), &decoding_source);
	if (!decode_page(b, &o, &err))
		fail_msg("%s", err.message);
	assert_int_equal(b->count, 1);
	buf_release(&page);
	return b;
}
