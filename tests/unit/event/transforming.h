#pragma once
#include "tests/unit/event/decoding.h"

#include <jansson.h>

#include "event/transform.h"

/* A transform from a JSON list of definitions. NULL, with err, where one is refused. */
static inline struct transform *transforming_try(const char *list, struct error *err)
{
	json_t *json = json_loads(list, JSON_ALLOW_NUL, NULL), *one;
	struct str texts[64];
	struct transform *t;
	size_t i;

	if (!json)
		fail_msg("not JSON: %s", list);
	json_array_foreach(json, i, one)
	{
		char *text = json_dumps(one, JSON_COMPACT | JSON_ENCODE_ANY);

		texts[i] = str_of(text);
	}
	t = transform_new(texts, json_array_size(json), err);
	for (i = 0; i < json_array_size(json); i++)
		free((char *)(uintptr_t)texts[i].p);
	json_decref(json);
	return t;
}

static inline struct transform *transforming(const char *list)
{
	struct error err = { 0 };
	struct transform *t = transforming_try(list, &err);

	if (!t)
		fail_msg("%s: %s", list, err.message);
	return t;
}

/* A record with these images (NULL: none) and keys. */
static inline void transforming_record(struct buf *page, const char *name, const char *keys,
				       const char *new_image, const char *old_image)
{
	buf_printf(page,
		   "{\"eventID\":\"e1\",\"eventName\":\"%s\",\"dynamodb\":{"
		   "\"ApproximateCreationDateTime\":1763700000,\"Keys\":%s",
		   name, keys);
	if (new_image)
		buf_printf(page, ",\"NewImage\":%s", new_image);
	buf_text(page, ",\"SequenceNumber\":\"111111111111111111111\"");
	if (old_image)
		buf_printf(page, ",\"OldImage\":%s", old_image);
	buf_text(page, "}}");
}

/* A page of one such record. */
static inline void transforming_page(struct buf *page, const char *name, const char *keys,
				     const char *new_image, const char *old_image)
{
	buf_text(page, "{\"Records\":[");
	transforming_record(page, name, keys, new_image, old_image);
	buf_text(page, "]}");
}

static inline struct batch *transforming_decode(struct str page, struct encoding encoding)
{
	struct error err = { 0 };
	struct batch *b = decoding_try(page, false, encoding, &err);

	if (!b)
		fail_msg("%s", err.message);
	return b;
}
