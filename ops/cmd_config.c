#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "ops/arguments.h"
#include "ops/command.h"
#include "sinks/sink.h"

static const struct flag flags[] = {
	{ .name = "config", .letter = 'c', .value = "FILE", .help = "the configuration to print" },
	{ 0 },
};

static int print(const char *path, struct buf *out)
{
	struct error err = { 0 };
	AUTO(config) struct config *c = NULL;

	if (!path)
		return command_usage_error(&command_config, "print needs -c FILE");
	c = config_load(path, sink_config_types(), &err);
	if (!c) {
		fprintf(stderr, "sluice config: %s\n", err.message);
		return EXIT_USAGE;
	}
	config_print(c, out);
	return EXIT_DONE;
}

static int run(const struct arguments *a)
{
	const char *what = a->word_count == 1 ? a->words[0] : "";
	struct buf out = { 0 };
	int code = EXIT_DONE;

	if (strcmp(what, "print") == 0)
		code = print(arguments_get(a, "config"), &out);
	else if (strcmp(what, "reference") == 0)
		config_reference(sink_config_types(), &out);
	else if (strcmp(what, "schema") == 0)
		config_schema(sink_config_types(), &out);
	else
		code = command_usage_error(&command_config, "print, reference or schema?");
	if (code == EXIT_DONE)
		fwrite(out.data, 1, out.size, stdout);
	buf_release(&out);
	return code;
}

const struct command command_config = {
	.name = "config",
	.usage = "print -c FILE | reference | schema",
	.help = "Print the effective configuration, the reference (Markdown) or the JSON Schema.",
	.words = "print reference schema",
	.flags = flags,
	.run = run,
};
