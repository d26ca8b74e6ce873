/* Any bytes as a configuration: it is refused with a line, or what it prints loads again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "event/filter.h"
#include "event/schema.h"
#include "event/transform.h"
#include "export/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
	const char *path, *topic, *password;
	long format, age_ms, size_bytes, count;
	bool flag;
	struct option_map properties;
};

static const char *const formats[] = { "plain", "debezium", NULL };
#define ROW(name_, type_, field_, ...)                                                             \
	{                                                                                          \
		.name = (name_), .type = (type_), .offset = offsetof(struct settings, field_),     \
		.help = "", __VA_ARGS__                                                            \
	}
static const struct option options[] = {
	ROW("path", OPTION_TEXT, path),
	ROW("topic", OPTION_TEXT, topic, .flags = OPTION_TEMPLATE),
	ROW("password", OPTION_TEXT, password, .flags = OPTION_SECRET),
	ROW("format", OPTION_ENUM, format, .choices = formats),
	ROW("roll.age", OPTION_MS, age_ms, .min = 1, .max = 1000000),
	ROW("roll.size", OPTION_BYTES, size_bytes),
	ROW("count", OPTION_INT, count),
	ROW("flag", OPTION_BOOL, flag),
	ROW("properties", OPTION_MAP, properties),
	{ 0 },
};

static const struct config_sink_type sink_types[] = {
	{ "file", options, sizeof(struct settings), NULL, NULL },
	{ 0 },
};
static bool schedule_check(const char *text, struct error *err)
{
	struct schedule s;

	return schedule_parse(&s, text, err);
}

/* Which ones there are depends on the machine. */
static bool timezone_check(const char *text, struct error *err)
{
	return *text == 'U' || error_set(err, ERROR_INVALID, "there is none");
}

static const struct config_types types = { sink_types,    filter_check,   transform_check,
					   schemas_check, schedule_check, timezone_check };

static void check(bool ok, const char *what, const char *text)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s\n", what, text);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { 0 };
	struct config *c, *again;
	struct buf first, second;

	c = config_parse((struct str){ (const char *)data, size }, "f", &types, &err);
	if (!c) {
		check(err.kind == ERROR_INVALID && !strncmp(err.message, "f:", 2), "bad error",
		      err.message);
		return 0;
	}
	/* Files of the machine would make runs differ. */
	if (memmem(data, size, "${", 2)) {
		config_free(c);
		return 0;
	}
	buf_init(&first, 0);
	buf_init(&second, 0);
	config_print(c, &first);
	/* The key of a hash is not shown, and three stars are too few for one. */
	if (strstr(first.data, "\"key\":\"***\"")) {
		buf_release(&first);
		config_free(c);
		return 0;
	}
	again = config_parse(buf_str(&first), "f", &types, &err);
	check(again != NULL, err.message, first.data);
	config_print(again, &second);
	check(str_equal(buf_str(&first), buf_str(&second)), "printed twice, differs", first.data);
	buf_release(&first);
	buf_release(&second);
	config_free(c);
	config_free(again);
	return 0;
}
