#pragma once
#include <string.h>

#include "config/config.h"

/* Two kinds of sink as the configuration sees them, with every type of row. */
struct broker_settings {
	const char *brokers, *topic, *password;
	long format, linger_ms, batch_bytes, retries;
	bool tombstones;
	struct option_map properties;
};

struct folder_settings {
	const char *path;
	long roll_bytes, roll_age_ms;
};

static const char *const formats[] = { "debezium", "plain", "dynamodb", NULL };

#define BROKER(name_, type_, field_, ...)                                                          \
	{                                                                                          \
		.name = (name_), .type = (type_),                                                  \
		.offset = offsetof(struct broker_settings, field_), __VA_ARGS__                    \
	}
static const struct option broker_options[] = {
	BROKER("brokers", OPTION_TEXT, brokers, .flags = OPTION_REQUIRED, .help = "Host:port."),
	BROKER("topic", OPTION_TEXT, topic, .def = "dynamodb.${table}", .flags = OPTION_TEMPLATE,
	       .help = "Where to."),
	BROKER("password", OPTION_TEXT, password, .flags = OPTION_SECRET, .help = "Of the user."),
	BROKER("format", OPTION_ENUM, format, .def = "plain", .choices = formats,
	       .help = "One of a|b."),
	BROKER("batch.linger", OPTION_MS, linger_ms, .def = "5ms", .min = 0, .max = 60000,
	       .help = "Longest wait."),
	BROKER("batch.size", OPTION_BYTES, batch_bytes, .def = "1MiB", .min = 1024, .max = 1L << 30,
	       .help = "Largest batch."),
	BROKER("retries", OPTION_INT, retries, .def = "5", .min = 0, .max = 100, .help = "Tries."),
	BROKER("tombstones", OPTION_BOOL, tombstones, .def = "true", .help = "After deletes."),
	BROKER("properties", OPTION_MAP, properties, .help = "Passed on."),
	{ 0 },
};

#define FOLDER(name_, type_, field_, ...)                                                          \
	{                                                                                          \
		.name = (name_), .type = (type_),                                                  \
		.offset = offsetof(struct folder_settings, field_), __VA_ARGS__                    \
	}
static const struct option folder_options[] = {
	FOLDER("path", OPTION_TEXT, path, .flags = OPTION_REQUIRED | OPTION_TEMPLATE,
	       .help = "Folder."),
	FOLDER("roll.size", OPTION_BYTES, roll_bytes, .def = "128MiB", .help = "Ends the roll."),
	FOLDER("roll.age", OPTION_MS, roll_age_ms, .def = "5m", .help = "Ends the roll."),
	{ 0 },
};

static bool folder_validate(const void *settings, struct error *err)
{
	const struct folder_settings *s = settings;

	if (strstr(s->path, ".."))
		return error_set(err, ERROR_INVALID, "path: must not leave its folder");
	if (s->roll_bytes == 0 && s->roll_age_ms == 0)
		return error_set(err, ERROR_INVALID, "roll.age: a roll needs an end");
	return true;
}

static bool folder_letters(const void *settings, struct error *err)
{
	return strcmp(((const struct folder_settings *)settings)->path, "changes") != 0 ||
	       error_set(err, ERROR_INVALID, "path: not for letters");
}

static bool broker_validate(const void *settings, struct error *err)
{
	const struct option_map *map = &((const struct broker_settings *)settings)->properties;

	for (size_t i = 0; i < map->count; i++)
		if (!strcmp(map->pairs[i].key, "max.in.flight"))
			return error_set(err, ERROR_INVALID, "properties.max.in.flight: is fixed");
	return true;
}

static const struct option no_options[] = { { 0 } };

static const struct config_sink_type sink_types[] = {
	{ "broker", broker_options, sizeof(struct broker_settings), broker_validate, NULL },
	{ "folder", folder_options, sizeof(struct folder_settings), folder_validate,
	  folder_letters },
	{ "screen", no_options, 0, NULL, NULL },
	{ 0 },
};

/* What a pattern or a transform may be is not the configuration's affair: here it may not hold
 * "wrong". */
static bool pattern_check(struct str pattern, size_t *at, struct error *err)
{
	const char *p = memmem(pattern.p, pattern.n, "wrong", 5);

	if (!p)
		return true;
	*at = (size_t)(p - pattern.p);
	return error_set(err, ERROR_INVALID, "eventName: that is wrong");
}

static bool schema_check(const struct str *definitions, size_t count, size_t *at, struct error *err)
{
	return pattern_check(definitions[count - 1], at, err);
}

/* The same of schedules and time zones. */
static bool no_weekends(const char *text, struct error *err)
{
	return !strstr(text, "SUN") || error_set(err, ERROR_INVALID, "not on a weekend");
}

static bool not_on_mars(const char *text, struct error *err)
{
	return !strstr(text, "Mars") || error_set(err, ERROR_INVALID, "there is no %s", text);
}

static const struct config_types types = { sink_types,   pattern_check, pattern_check,
					   schema_check, no_weekends,   not_on_mars };
