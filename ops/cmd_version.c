#include <stdio.h>

#include "ops/arguments.h"
#include "ops/command.h"

static int run(const struct arguments *a)
{
	(void)a;
	printf("sluice %s\n", SLUICE_VERSION);
	return EXIT_DONE;
}

const struct command command_version = {
	.name = "version",
	.usage = "",
	.help = "Print the version.",
	.run = run,
};
