#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/sections.h"

#define NAME_PATTERN "^[A-Za-z0-9_.-]{1,128}$"
#define DEPTH_MAX    5

/* What has a variable in it can be checked only when it is read. */
#define VARIABLE_PATTERN "\\$\\{"

static void put(json_t *object, const char *key, json_t *value)
{
	int failed = json_object_set_new(object, key, value);

	assert(!failed);
}

static void append(json_t *array, json_t *value)
{
	int failed = json_array_append_new(array, value);

	assert(!failed);
}

static json_t *typed(const char *type)
{
	json_t *o = json_object();

	put(o, "type", json_string(type));
	return o;
}

static json_t *pattern(const char *text)
{
	json_t *o = typed("string");

	put(o, "pattern", json_string(text));
	return o;
}

static json_t *either(json_t *a, json_t *b)
{
	json_t *o = json_object(), *any = json_array();

	append(any, a);
	append(any, b);
	put(o, "anyOf", any);
	return o;
}

static json_t *object_schema(void)
{
	json_t *o = typed("object");

	put(o, "additionalProperties", json_false());
	put(o, "properties", json_object());
	return o;
}

static void require(json_t *object, const char *key)
{
	json_t *required = json_object_get(object, "required");

	if (!required) {
		put(object, "required", json_array());
		required = json_object_get(object, "required");
	}
	for (size_t i = 0; i < json_array_size(required); i++)
		if (!strcmp(json_string_value(json_array_get(required, i)), key))
			return;
	append(required, json_string(key));
}

static json_t *choices_schema(const char *const *choices)
{
	json_t *o = json_object(), *list = json_array();

	for (; *choices; choices++)
		append(list, json_string(*choices));
	put(o, "enum", list);
	return either(o, pattern(VARIABLE_PATTERN));
}

static json_t *map_schema(void)
{
	json_t *o = typed("object"), *values = json_object(), *types = json_array();

	append(types, json_string("string"));
	append(types, json_string("number"));
	append(types, json_string("boolean"));
	put(values, "type", types);
	put(o, "additionalProperties", values);
	return o;
}

/* What may stand in a pattern, a transform or a schema is said where it is read. */
static json_t *patterns_schema(void)
{
	json_t *list = typed("array");

	put(list, "maxItems", json_integer(OPTION_PATTERNS_MAX));
	put(list, "items", either(typed("object"), typed("string")));
	return list;
}

static json_t *int_schema(const struct option *o)
{
	json_t *number = typed("integer");

	if (o->min || o->max) {
		put(number, "minimum", json_integer(o->min));
		put(number, "maximum", json_integer(o->max));
	} else {
		put(number, "minimum", json_integer(0));
	}
	return either(number, pattern(VARIABLE_PATTERN));
}

static json_t *decimal_schema(const struct option *o)
{
	json_t *number = typed("number");

	put(number, "minimum", json_real((double)o->min / OPTION_DECIMAL_ONE));
	if (o->max)
		put(number, "maximum", json_real((double)o->max / OPTION_DECIMAL_ONE));
	return either(number, pattern(VARIABLE_PATTERN));
}

static json_t *value_schema(const struct option *o)
{
	switch (o->type) {
	case OPTION_TEXT:
		return o->choices ? choices_schema(o->choices) : typed("string");
	case OPTION_BOOL:
		return either(typed("boolean"), pattern(VARIABLE_PATTERN));
	case OPTION_INT:
		return int_schema(o);
	case OPTION_DECIMAL:
		return decimal_schema(o);
	case OPTION_MS:
		return pattern("^[0-9]+(ms|s|m|h)$|" VARIABLE_PATTERN);
	case OPTION_BYTES:
		return either(typed("integer"),
			      pattern("^[0-9]+(KiB|MiB|GiB|TiB)?$|" VARIABLE_PATTERN));
	case OPTION_ENUM:
		return choices_schema(o->choices);
	case OPTION_MAP:
		return map_schema();
	case OPTION_PATTERNS:
	case OPTION_TRANSFORMS:
	case OPTION_SCHEMAS:
		return patterns_schema();
	}
	return NULL;
}

static json_t *default_value(const struct option *o)
{
	if (o->type == OPTION_BOOL)
		return json_boolean(!strcmp(o->def, "true"));
	if (o->type == OPTION_INT)
		return json_integer(atol(o->def));
	if (o->type == OPTION_DECIMAL)
		return json_real(strtod(o->def, NULL));
	return json_string(o->def);
}

/* The objects from the table's own to the group that is open. */
struct builder {
	json_t *objects[DEPTH_MAX];
	size_t depth;
};

/* A word may stand for the group that is being built. */
static void word_allow(struct builder *b, const char *word)
{
	json_t *around = json_object_get(b->objects[b->depth - 1], "properties"), *member;
	json_t *group = b->objects[b->depth], *choices = json_array(), *only = typed("string");
	const char *name;
	void *next;

	json_array_append_new(choices, json_string(word));
	put(only, "enum", choices);
	json_object_foreach_safe(around, next, name, member) if (member == group)
		put(around, name, either(only, json_incref(group)));
}

static void row_build(void *arg, const struct option *o, const char *key)
{
	struct builder *b = arg;
	json_t *value = value_schema(o), *object = b->objects[b->depth];
	struct buf text;

	buf_init(&text, 0);
	buf_text(&text, o->help);
	if (o->type == OPTION_MS || o->type == OPTION_BYTES) {
		buf_text(&text, " Expected: ");
		option_expected(o, &text);
		buf_text(&text, ".");
	}
	put(value, "description", json_string(text.data));
	buf_release(&text);
	if (o->def)
		put(value, "default", default_value(o));
	put(json_object_get(object, "properties"), key, value);
	if (o->instead)
		word_allow(b, o->instead);
	if (!(o->flags & OPTION_REQUIRED))
		return;
	require(object, key);
	/* Then the groups around it are required, too. */
	for (size_t i = b->depth; i > 0; i--) {
		const char *name;
		json_t *member;

		json_object_foreach(json_object_get(b->objects[i - 1], "properties"), name,
				    member) if (member == b->objects[i])
			require(b->objects[i - 1], name);
	}
}

static void group_enter(void *arg, const char *key)
{
	struct builder *b = arg;
	json_t *group = object_schema();

	assert(b->depth + 1 < DEPTH_MAX);
	put(json_object_get(b->objects[b->depth], "properties"), key, group);
	b->objects[++b->depth] = group;
}

static void group_leave(void *arg, const char *key)
{
	(void)key;
	((struct builder *)arg)->depth--;
}

static void table_build(json_t *object, const struct option *table)
{
	struct builder b = { .objects = { object } };

	option_visit(table, &(struct option_visitor){ row_build, group_enter, group_leave, &b });
}

static json_t *stream_sinks_schema(void)
{
	json_t *list = typed("array"), *use = object_schema();

	table_build(use, config_stream_sink_section.options);
	put(list, "minItems", json_integer(1));
	put(list, "description", json_string("Names of `sinks`, or maps with a name."));
	put(list, "items", either(typed("string"), use));
	return list;
}

static json_t *streams_schema(void)
{
	json_t *list = typed("array"), *stream = object_schema();

	table_build(stream, config_stream_section.options);
	put(json_object_get(stream, "properties"), "sinks", stream_sinks_schema());
	require(stream, "sinks");
	put(list, "description", json_string(config_stream_section.help));
	put(list, "minItems", json_integer(1));
	put(list, "items", stream);
	return list;
}

static json_t *exports_schema(void)
{
	json_t *list = typed("array"), *export = object_schema();

	table_build(export, config_export_section.options);
	put(json_object_get(export, "properties"), "sinks", stream_sinks_schema());
	put(list, "description", json_string(config_export_section.help));
	put(list, "items", export);
	return list;
}

/* There is something to do: streams, and where they go to, or exports. */
static json_t *work_schema(void)
{
	json_t *of_streams = json_object(), *of_exports = json_object(), *any = json_array();

	require(of_streams, "streams");
	require(of_streams, "sinks");
	require(of_exports, "exports");
	append(any, of_streams);
	append(any, of_exports);
	return any;
}

static json_t *sinks_schema(const struct config_sink_type *types)
{
	json_t *map = typed("object"), *names = json_object(), *one = json_object();
	json_t *of = json_array();

	for (; types->type; types++) {
		json_t *sink = object_schema(), *type = json_object();

		put(type, "const", json_string(types->type));
		put(json_object_get(sink, "properties"), "type", type);
		require(sink, "type");
		table_build(sink, types->options);
		append(of, sink);
	}
	put(one, "oneOf", of);
	put(names, "pattern", json_string(NAME_PATTERN));
	put(map, "description", json_string("Sinks by name; the name is the sink's identity."));
	put(map, "propertyNames", names);
	put(map, "additionalProperties", one);
	return map;
}

void config_schema(const struct config_types *types, struct buf *out)
{
	json_t *root = json_object(), *body = object_schema();
	json_t *properties = json_object_get(body, "properties");
	char *text;

	put(root, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
	put(root, "title", json_string("Configuration of Sluice"));
	for (const struct section *s = config_sections; s->name; s++) {
		json_t *section = object_schema();

		put(section, "description", json_string(s->help));
		table_build(section, s->options);
		put(properties, s->name, section);
	}
	put(properties, "streams", streams_schema());
	put(properties, "exports", exports_schema());
	put(properties, "sinks", sinks_schema(types->sinks));
	put(body, "anyOf", work_schema());
	json_object_update(root, body);
	json_decref(body);
	text = json_dumps(root, JSON_INDENT(2));
	assert(text);
	buf_printf(out, "%s\n", text);
	free(text);
	json_decref(root);
}
