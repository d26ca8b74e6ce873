#include "sinks/sink.h"

#include <pthread.h>

#include "event/filter.h"
#include "event/schema.h"
#include "event/transform.h"
#include "export/schedule.h"

const char *const sink_formats[] = { "debezium", "plain", "dynamodb", NULL };
const char *const sink_numbers[] = { "exact", "string", NULL };
const char *const sink_missing[] = { "_missing", "dead_letter", NULL };

bool sink_fields_check(const struct event_fields *fields, long format, struct error *err)
{
	const char *fault = event_fields_fault(fields);

	if (fault)
		return error_set(err, ERROR_INVALID, "fields: %s", fault);
	if (event_fields_set(fields) && format != FORMAT_PLAIN)
		return error_set(err, ERROR_INVALID,
				 "fields: names members of format: plain alone");
	return true;
}

static const struct sink_ops *const kinds[] = { &sink_kafka, &sink_s3, &sink_directory,
						&sink_stdout };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* A type's row stands in its own file, and C cannot gather them at compile time: filled once, then
 * constant. */
static struct config_sink_type types[KINDS + 1];
static bool schedule_check(const char *text, struct error *err)
{
	struct schedule s;

	return schedule_parse(&s, text, err);
}

static bool timezone_check(const char *text, struct error *err)
{
	struct zone *z = zone_open(text, err);

	zone_close(z);
	return z != NULL;
}

static const struct config_types all = { .sinks = types,
					 .pattern = filter_check,
					 .transform = transform_check,
					 .schemas = schemas_check,
					 .schedule = schedule_check,
					 .timezone = timezone_check };
static pthread_once_t types_once = PTHREAD_ONCE_INIT;

static void types_fill(void)
{
	for (size_t i = 0; i < KINDS; i++)
		types[i] = kinds[i]->config;
}

void sink_control_with(const struct sink_control *c, const char *member, struct str value,
		       struct buf *out)
{
	buf_printf(out, "%.*s,\"%s\":%.*s}", (int)c->json.n - 1, c->json.p, member, STR_ARG(value));
}

const struct sink_ops *sink_ops_find(const char *type)
{
	for (size_t i = 0; i < KINDS; i++)
		if (strcmp(kinds[i]->config.type, type) == 0)
			return kinds[i];
	return NULL;
}

const struct config_types *sink_config_types(void)
{
	pthread_once(&types_once, types_fill);
	return &all;
}
