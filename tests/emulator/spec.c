#include "tests/emulator/spec.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const view_names[] = {
	[VIEW_KEYS_ONLY] = "KEYS_ONLY",
	[VIEW_NEW_IMAGE] = "NEW_IMAGE",
	[VIEW_OLD_IMAGE] = "OLD_IMAGE",
	[VIEW_NEW_AND_OLD_IMAGES] = "NEW_AND_OLD_IMAGES",
};

const char *view_name(enum view view)
{
	return view_names[view];
}

bool view_parse(const char *text, enum view *out)
{
	for (size_t i = 0; i < sizeof(view_names) / sizeof(view_names[0]); i++) {
		if (strcmp(text, view_names[i]) == 0) {
			*out = (enum view)i;
			return true;
		}
	}
	return false;
}

enum word_type { WORD_NUMBER, WORD_FLAG, WORD_VIEW, WORD_SHAPE, WORD_KEY };

static const struct word {
	const char *name;
	enum word_type type;
	size_t offset;
	uint64_t min, max;
} words[] = {
#define WORD(name, type, member, min, max)                                                         \
	{                                                                                          \
		name, type, offsetof(struct table_spec, member), min, max                          \
	}
	WORD("hash", WORD_KEY, hash, 0, 0),
	WORD("range", WORD_KEY, range, 0, 0),
	WORD("shape", WORD_SHAPE, shape, 0, 0),
	WORD("stream", WORD_FLAG, stream, 0, 1),
	WORD("view", WORD_VIEW, view, 0, 0),
	WORD("seed", WORD_NUMBER, seed, 0, UINT64_MAX),
	WORD("shards", WORD_NUMBER, shards, 1, SPEC_SHARDS_MAX),
	WORD("depth", WORD_NUMBER, depth, 0, 64),
	WORD("fanout", WORD_NUMBER, fanout, 1, 2),
	WORD("hours", WORD_NUMBER, hours, 0, 48),
	WORD("records", WORD_NUMBER, records, 0, (uint64_t)1 << 40),
	WORD("keys", WORD_NUMBER, keys, 2, 1 << 20),
	WORD("bytes", WORD_NUMBER, bytes, 300, 800 << 10),
	WORD("rate", WORD_NUMBER, rate, 0, 10000000),
	WORD("page", WORD_NUMBER, page, 0, 16 << 20),
	WORD("enabling_ms", WORD_NUMBER, enabling_ms, 0, 600000),
	WORD("rotate_ms", WORD_NUMBER, rotate_ms, 0, (uint64_t)48 * 3600 * 1000),
	WORD("split_ms", WORD_NUMBER, split_ms, 0, (uint64_t)48 * 3600 * 1000),
	WORD("stale_ms", WORD_NUMBER, stale_ms, 0, 3600 * 1000),
	WORD("child_filter", WORD_NUMBER, child_filter, 0, SPEC_FILTER_IGNORED),
	WORD("describes", WORD_NUMBER, describes, 0, 100000),
	WORD("shard_calls", WORD_NUMBER, shard_calls, 0, 100000),
	WORD("empty_every", WORD_NUMBER, empty_every, 0, UINT64_MAX),
	WORD("readers", WORD_NUMBER, readers, 0, 1000),
	WORD("milliseconds", WORD_FLAG, milliseconds, 0, 1),
	WORD("closed", WORD_FLAG, closed, 0, 1),
	WORD("pitr", WORD_FLAG, pitr, 0, 1),
	WORD("backups_ms", WORD_NUMBER, backups_ms, 0, 3600 * 1000),
	WORD("export_ms", WORD_NUMBER, export_ms, 0, (uint64_t)60 * 24 * 3600 * 1000),
	WORD("fuzz_ms", WORD_NUMBER, fuzz_ms, 0, 120 * 1000),
	WORD("partitions", WORD_NUMBER, partitions, 1, 10000),
#undef WORD
};

static bool shape_parse(const char *text, enum page_shape *out)
{
	for (enum page_shape i = 0; i < PAGE_SHAPES; i++) {
		if (strcmp(text, page_shape_name(i)) == 0) {
			*out = i;
			return true;
		}
	}
	return false;
}

static bool key_parse(struct key_attribute *out, const char *text, struct error *err)
{
	const char *colon = strrchr(text, '/');
	size_t length = colon ? (size_t)(colon - text) : strlen(text);

	if (length == 0 || length > SPEC_NAME_MAX ||
	    (colon && (strlen(colon) != 2 || !strchr("SNB", colon[1]))))
		return error_set(err, ERROR_INVALID, "key \"%s\": want NAME or NAME/S, /N, /B",
				 text);
	memcpy(out->name, text, length);
	out->name[length] = '\0';
	out->type = colon ? colon[1] : 'S';
	return true;
}

static bool spec_set(struct table_spec *spec, const char *name, const char *value,
		     struct error *err)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const struct word *w = &words[i];
		void *member = (char *)spec + w->offset;
		unsigned long long number;
		char *end;

		if (strcmp(w->name, name) != 0)
			continue;
		if (w->type == WORD_KEY && member == &spec->range && !*value) {
			spec->range.name[0] = '\0';
			return true;
		}
		if (w->type == WORD_KEY)
			return key_parse(member, value, err);
		if (w->type == WORD_SHAPE) {
			if (!shape_parse(value, member))
				return error_set(err, ERROR_INVALID, "shape \"%s\" is unknown",
						 value);
			return true;
		}
		if (w->type == WORD_VIEW) {
			if (!view_parse(value, member))
				return error_set(err, ERROR_INVALID, "view \"%s\" is unknown",
						 value);
			return true;
		}
		errno = 0;
		number = strtoull(value, &end, 10);
		if (*value < '0' || *value > '9' || *end || errno || number < w->min ||
		    number > w->max)
			return error_set(err, ERROR_INVALID,
					 "%s=%s: want a number from %llu to %llu", name, value,
					 (unsigned long long)w->min, (unsigned long long)w->max);
		if (w->type == WORD_FLAG)
			*(bool *)member = number != 0;
		else
			*(uint64_t *)member = number;
		return true;
	}
	return error_set(err, ERROR_INVALID, "\"%s\" is no property of a table", name);
}

static void spec_init(struct table_spec *spec)
{
	*spec = (struct table_spec){
		.hash = { "pk", 'S' },
		.range = { "sk", 'N' },
		.stream = true,
		.view = VIEW_NEW_AND_OLD_IMAGES,
		.seed = 1,
		.shards = 1,
		.fanout = 2,
		.keys = 64,
		.bytes = 1570,
		.child_filter = SPEC_FILTER_KNOWN,
		.partitions = 4,
	};
}

static bool spec_check(struct table_spec *spec, const char *name, struct error *err)
{
	size_t length = strlen(name);

	if (length < 3 || length > SPEC_NAME_MAX)
		return error_set(err, ERROR_INVALID, "table name \"%s\": want 3 to 255 characters",
				 name);
	memcpy(spec->name, name, length + 1);
	if (spec->keys % 2)
		return error_set(err, ERROR_INVALID, "table %s: keys must be even", name);
	if (spec->page && (spec->depth || spec->rate || spec->rotate_ms || spec->split_ms))
		return error_set(err, ERROR_INVALID,
				 "table %s: a firehose (page) has neither depth nor rate, and its "
				 "shards stay",
				 name);
	if (spec->page) {
		/* The prepared records' own. */
		const struct source *source = page_source(spec->shape);

		snprintf(spec->hash.name, sizeof(spec->hash.name), "%s", source->key_hash);
		snprintf(spec->range.name, sizeof(spec->range.name), "%s", source->key_range);
		spec->hash.type = spec->range.type = 'S';
		spec->view = source->new_images ? VIEW_NEW_AND_OLD_IMAGES : VIEW_KEYS_ONLY;
	}
	if (spec->depth &&
	    (spec->shards << (spec->fanout == 2 ? spec->depth : 0)) > SPEC_SHARDS_MAX)
		return error_set(err, ERROR_INVALID, "table %s: more than %d shards", name,
				 SPEC_SHARDS_MAX);
	return true;
}

bool spec_parse(struct table_spec *out, const char *text, struct error *err)
{
	char copy[1024];
	char *save = NULL, *name, *part;

	spec_init(out);
	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
		return error_set(err, ERROR_INVALID, "a table's description is too long");
	name = strtok_r(copy, ":", &save);
	if (!name)
		return error_set(err, ERROR_INVALID, "a table needs a name");
	while ((part = strtok_r(NULL, ":", &save))) {
		char *value = strchr(part, '=');

		if (!value)
			return error_set(err, ERROR_INVALID, "table %s: \"%s\" is not NAME=VALUE",
					 name, part);
		*value++ = '\0';
		if (!spec_set(out, part, value, err))
			return error_wrap(err, "table %s", name);
	}
	return spec_check(out, name, err);
}

bool spec_parse_json(struct table_spec *out, const json_t *object, struct error *err)
{
	const char *name = json_string_value(json_object_get(object, "name"));
	const char *key;
	json_t *value;

	spec_init(out);
	if (!name)
		return error_set(err, ERROR_INVALID, "a table needs a \"name\"");
	/* jansson iterates over a mutable object only. */
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		char text[64];

		if (strcmp(key, "name") == 0)
			continue;
		if (json_is_integer(value))
			snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
				 json_integer_value(value));
		else if (json_is_boolean(value))
			snprintf(text, sizeof(text), "%d", json_is_true(value));
		else if (!json_is_string(value))
			return error_set(err, ERROR_INVALID, "table %s: bad value of \"%s\"", name,
					 key);
		if (!spec_set(out, key, json_is_string(value) ? json_string_value(value) : text,
			      err))
			return error_wrap(err, "table %s", name);
	}
	return spec_check(out, name, err);
}
