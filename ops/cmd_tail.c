#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "config/config.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/service.h"
#include "sinks/sink.h"

static const struct flag flags[] = {
	{ .name = "from",
	  .value = "latest|oldest|TIME",
	  .help = "where to begin: now (default), the oldest record, a time, or -2h" },
	{ .name = "format", .value = "FORMAT", .help = "plain (default), debezium or dynamodb" },
	{ .name = "until-idle",
	  .value = "DURATION",
	  .help = "end once the stream was quiet for so long" },
	{ 0 },
};

static void member(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "\"%s\":", name);
	buf_json_text(b, str_of(value));
}

/* A configuration like any other (JSON is YAML), with a store that is forgotten. */
static void write_config(const struct arguments *a, struct buf *b)
{
	const char *from = arguments_get(a, "from"), *format = arguments_get(a, "format");

	buf_text(b, "{\"worker\":{\"threads\":1},\"checkpoint\":{\"store\":\"sqlite::memory:\"},"
		    "\"http\":{\"listen\":\"\"},\"log\":{\"level\":\"warn\"},\"streams\":[{");
	member(b, "table", a->words[0]);
	buf_text(b, ",");
	member(b, "start", from ? from : "latest");
	buf_text(b, ",\"poll\":{\"max\":\"1s\"},\"gap\":\"oldest\",\"sinks\":[\"screen\"]}],"
		    "\"sinks\":{\"screen\":{\"type\":\"stdout\",");
	member(b, "format", format ? format : "plain");
	buf_text(b, "}}}");
}

/* What a stream's start may be besides needs more than a command line says. */
static bool check_from(const char *from, struct error *err)
{
	enum config_start kind;
	int64_t time_ms;

	return !from || config_start_parse(from, 0, &kind, &time_ms, err) ||
	       error_wrap(err, "--from");
}

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	struct service_options o = { .command = "tail", .once = true };
	const char *idle = arguments_get(a, "until-idle");
	struct buf text = { 0 };
	AUTO(config) struct config *c = NULL;

	if (a->word_count != 1)
		return command_usage_error(&command_tail, "which table?");
	if (idle && !arguments_duration(idle, &o.idle_ms, &err))
		return command_usage_error(&command_tail, "--until-idle: %s", err.message);
	if (!check_from(arguments_get(a, "from"), &err))
		return command_usage_error(&command_tail, "%s", err.message);
	write_config(a, &text);
	c = config_parse(buf_str(&text), "command line", sink_config_types(), &err);
	buf_release(&text);
	if (!c)
		return command_usage_error(&command_tail, "%s", err.message);
	return service_run(c, &o);
}

const struct command command_tail = {
	.name = "tail",
	.operand = true,
	.usage = "TABLE|ARN [--from latest|oldest|TIME] [--format F]",
	.help = "Print a table's changes as they come; stores nothing.",
	.more = "Region, credentials and endpoints come from the environment and the shared AWS "
		"files.",
	.flags = flags,
	.run = run,
};
