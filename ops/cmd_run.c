#include <stdio.h>

#include "ops/arguments.h"
#include "ops/command.h"
#include "ops/service.h"
#include "sinks/sink.h"

static const struct flag flags[] = {
	{ .name = "config",
	  .letter = 'c',
	  .value = "FILE",
	  .help = "the configuration",
	  .required = true },
	{ .name = "until-idle",
	  .value = "DURATION",
	  .help = "drain, save and end once every shard has been empty for that long" },
	{ 0 },
};

static int run(const struct arguments *a)
{
	struct error err = { 0 };
	struct service_options o = { .command = "run" };
	const char *idle = arguments_get(a, "until-idle");
	AUTO(config) struct config *c = NULL;

	if (idle && !arguments_duration(idle, &o.idle_ms, &err))
		return command_usage_error(&command_run, "--until-idle: %s", err.message);
	c = config_load(arguments_get(a, "config"), sink_config_types(), &err);
	if (!c) {
		fprintf(stderr, "sluice run: %s\n", err.message);
		return EXIT_USAGE;
	}
	return service_run(c, &o);
}

const struct command command_run = {
	.name = "run",
	.usage = "-c FILE [--until-idle 2s]",
	.help = "Read the configured streams and deliver their changes.",
	.more = "SIGTERM and SIGINT: deliver what is in flight, save, end with 0 within "
		"worker.shutdown;\n"
		"a second one ends it at once. SIGHUP reads the log level again.",
	.flags = flags,
	.run = run,
};
