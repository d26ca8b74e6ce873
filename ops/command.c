#include "ops/command.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ops/arguments.h"

const struct command *const commands[] = {
	&command_run,    &command_check,  &command_tail,       &command_status,
	&command_pause,  &command_resume, &command_replay,     &command_checkpoint,
	&command_skip,   &command_export, &command_deadletter, &command_config,
	&command_health, &command_advise, &command_completion, &command_version,
};
const size_t command_count = sizeof(commands) / sizeof(*commands);

static void print_all(FILE *out)
{
	fputs("Sluice moves changes out of DynamoDB: from a table's stream to Kafka, S3 or "
	      "files.\n\n",
	      out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "  sluice %-10s %s\n", commands[i]->name, commands[i]->help);
	fputs("\nsluice COMMAND --help says more. Exit codes: 0 done, 1 failed, 2 wrong usage or "
	      "configuration.\n",
	      out);
}

static void print_one(const struct command *c, FILE *out)
{
	fprintf(out, "sluice %s %s\n\n%s\n", c->name, c->usage, c->help);
	for (const struct flag *f = c->flags; f && f->name; f++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s %s", f->letter ? "-" : "",
			 f->letter ? f->letter : ' ', f->letter ? ", " : "   ", f->name,
			 f->value ? f->value : "");
		fprintf(out, "  %-28s %s\n", left, f->help);
	}
	if (c->more)
		fprintf(out, "\n%s\n", c->more);
}

int command_usage_error(const struct command *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "sluice %s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nusage: sluice %s %s\n", c->name, c->usage);
	return EXIT_USAGE;
}

static int run(const struct command *c, int argc, char **argv)
{
	struct arguments a;
	struct error err = { 0 };

	if (!arguments_parse(&a, c->flags, argc, argv, &err))
		return command_usage_error(c, "%s", err.message);
	if (a.help) {
		print_one(c, stdout);
		return EXIT_DONE;
	}
	if (a.word_count > 0 && !c->words && !c->operand)
		return command_usage_error(c, "not understood: %s", a.words[0]);
	return c->run(&a);
}

int command_main(int argc, char **argv)
{
	/* Supervisors may leave it ignored; then nobody can ask how a child ended. */
	signal(SIGCHLD, SIG_DFL);
	if (argc < 2) {
		print_all(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_all(stdout);
		return EXIT_DONE;
	}
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = "version";
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(argv[1], commands[i]->name) == 0)
			return run(commands[i], argc - 2, argv + 2);
	fprintf(stderr, "sluice: no such command: %s (sluice --help lists them)\n", argv[1]);
	return EXIT_USAGE;
}
